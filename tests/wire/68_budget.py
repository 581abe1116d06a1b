"""The sum of memory that `sluice doctor` tells is no lie: each kind of client costs no more than its terms say, and all
of them together stay below the sum, measured as the peak of the resident memory."""

import concurrent.futures
import contextlib
import json
import pathlib
import socket
import ssl
import subprocess
import tempfile
import unittest

import faults
import support
from h2frames import (DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, frame, literal,
                      settings, window_update)
from support import Sluice, raw, run_program, wait_until

MIB = 1 << 20
CLIENTS = 90
TOGETHER = 30  # of each kind
OPTIONS = {"loops": 1, "hash_threads": 1, "buffer_memory": "16Mi", "max_connections": 600, "durability": "none"}
ESTABLISHED = "01"
LOOKS = 20
LONG_HEAD = b"".join(b"X-%03d: %s\r\n" % (number, b"v" * 150) for number in range(90))
PINGS = 900  # fewer than what nghttp2 itself takes for a flood


def budget_of(**options):
    """{term: (count, bytes each)} and the sum."""
    done = run_program("doctor", "--quick", "--json", "--root", "/nonexistent",
                       *support.to_options([], {"listen": "127.0.0.1:0", **options}))
    memory = json.loads(done.stdout)["memory"]
    return {term["name"]: (term["count"], term["each"]) for term in memory["terms"]}, memory["bytes"]


def queues(port):
    """Bytes of all connections of the server at this port: written and not taken, come and not read."""
    written = come = 0
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[3] == ESTABLISHED:
            out, into = words[4].split(":")
            written, come = written + int(out, 16), come + int(into, 16)
    return written, come


# ---- clients: bytes for HTTP/1, or what a connection is to do ----


def partial_head(number):
    return b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 15000


def stalled_put(number):
    return b"PUT /p%d HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n%s\r\nx" % (number, LONG_HEAD)


def stalled_draft(number):
    return (b"POST /files/ HTTP/1.1\r\nHost: a\r\nUpload-Draft-Interop-Version: 8\r\nUpload-Complete: ?1\r\n"
            b"Content-Length: 200000\r\n%s\r\nx" % LONG_HEAD)


def stalled_form(number):
    return (b"POST /files/ HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 200000\r\n%s\r\n--b\r\nContent-Disposition: form-data; name=a; filename=f\r\n\r\nx"
            % LONG_HEAD)


def h2_head(method, path):
    fields = ((b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a"))
    return b"".join(literal(*field) for field in fields)


def h2_idle(number):
    return PREFACE + settings()


def h2_stalled_put(number):
    return (PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, h2_head(b"PUT", b"/h%d" % number))
            + frame(DATA, 0, 1, b"x" * 100))


def h2_unread(number):
    """A large answer that it does not read, and pings whose answers wait behind it."""
    return (PREFACE + settings({INITIAL_WINDOW_SIZE: 2**31 - 1}) + window_update(0, 2**31 - 2**17)
            + frame(HEADERS, END_HEADERS | END_STREAM, 1, h2_head(b"GET", b"/files/large")))


class Clients:
    """Connections of a server; gone with the context."""

    def __init__(self, case, server, port=None):
        self.stack = case.enterContext(contextlib.ExitStack())
        self.server, self.port = server, port or server.port

    def connect(self):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect((self.server.host, self.port))
        return self.stack.enter_context(contextlib.closing(peer))

    def add(self, make, count, behind=b""):
        """All of it is sent, then `behind` to each; the server has read all when this returns."""
        peers = [self.connect() for _ in range(count)]
        for number, peer in enumerate(peers):
            peer.sendall(make(number))
        self.wait()
        if not behind:
            return
        self.wait_until_stuck()
        for peer in peers:
            with contextlib.suppress(ConnectionError):  # given up: it asked for too much
                peer.sendall(behind)
        self.wait()

    def add_tls(self, count, is_shaken):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for number in range(count):
            peer, incoming, outgoing = self.connect(), ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            peer.sendall(outgoing.read())
            while is_shaken:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(peer.recv(65536))
            if is_shaken:
                tls.write(stalled_put(number))
                tls.write(b"z" * 16384)
                peer.sendall(outgoing.read()[:-10])  # the last record is not whole
        self.wait()

    def wait_until_stuck(self):
        """Nobody reads what the server writes: for some looks it has not become more."""
        seen = []

        def is_stuck():
            seen.append(queues(self.port)[0])
            return seen[-1] > 0 and len(seen) > LOOKS and max(seen[-LOOKS:]) <= max(seen[:-LOOKS])

        wait_until(is_stuck, "the server can write no more")

    def wait(self):
        wait_until(lambda: queues(self.port)[1] == 0, "the server has read what was sent")
        with raw(self.server) as client:  # and has made something of it
            assert client.request("GET", "/healthz").status == 200


KINDS = {  # what it sends, what behind it, and whether it has a file open
    "a head that does not end": (partial_head, b"", False),
    "a PUT that stalls": (stalled_put, b"", True),
    "a draft's upload that stalls": (stalled_draft, b"", True),
    "a form that stalls": (stalled_form, b"", True),
    "HTTP/2, idle": (h2_idle, b"", False),
    "HTTP/2, a PUT that stalls": (h2_stalled_put, b"", True),
    "HTTP/2, an answer that is not read": (h2_unread, frame(PING, 0, 0, b"whatever") * PINGS, False),
}


@unittest.skipIf(faults.is_sanitized(), "a sanitizer has memory of its own")
class Budget(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-budget-"))
        cert, key = pathlib.Path(folder, "cert"), pathlib.Path(folder, "key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        self.with_tls = {**OPTIONS, "listen": ["127.0.0.1:0", "127.0.0.1:0 tls"], "tls_cert": cert, "tls_key": key}

    def start(self):
        """A server, its port for TLS, and a large file in it."""
        server = self.enterContext(Sluice(**self.with_tls))
        with raw(server) as client:
            self.assertEqual(client.request("PUT", "/large", bytes(8 * MIB)).status, 201)
        return server, int(server.urls[1].rpartition(":")[2])

    def assert_costs(self, name, server, before, clients, each, of_loop=0):
        kib = (support.rss_mib(server.pid)[0] - before) * 1024
        faults.note(f"{name}: {kib / clients:.1f} KiB each, {each / 1024:.0f} allowed")
        self.assertLess(kib, (clients * each + of_loop) / 1024, name)

    def test_each_kind_of_client(self):
        terms, _ = budget_of(**self.with_tls)
        connection, tls, upload = (terms[name][1] for name in ("connections", "TLS", "uploads"))
        for name, (make, behind, has_file) in KINDS.items():
            with self.subTest(name):
                server, _ = self.start()
                before = support.rss_mib(server.pid)[0]
                Clients(self, server).add(make, CLIENTS, behind)
                self.assert_costs(name, server, before, CLIENTS, connection + has_file * upload, 8 * MIB * bool(behind))
                server.kill()
        for name, is_shaken in {"TLS, in the middle of a handshake": False, "TLS, a record in part": True}.items():
            with self.subTest(name):
                server, port = self.start()
                before = support.rss_mib(server.pid)[0]
                Clients(self, server, port).add_tls(CLIENTS, is_shaken)
                self.assert_costs(name, server, before, CLIENTS, connection + tls + is_shaken * upload)
                server.kill()

    def test_all_of_it_together(self):
        _, sum_bytes = budget_of(**self.with_tls)
        server, port = self.start()
        data = bytes(4 * MIB)

        def upload(number):
            with raw(server, seconds=60) as client:
                return client.request("PUT", f"/whole-{number}", data).status

        clients = Clients(self, server)
        for make, behind, _ in KINDS.values():
            clients.add(make, TOGETHER, behind)
        Clients(self, server, port).add_tls(TOGETHER, True)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            self.assertEqual(set(pool.map(upload, range(64))), {201})
        peak = support.rss_mib(server.pid)[1]
        faults.note(f"peak {peak:.0f} MiB, the sum says {sum_bytes / MIB:.0f}")
        self.assertLess(peak, sum_bytes / MIB)
        server.kill()

    def test_the_program_itself(self):
        """What is there before anybody comes: program, buffers, loops, threads."""
        for loops in (1, 4):
            terms, _ = budget_of(**{**OPTIONS, "loops": loops, "hash_threads": loops})
            allowed = sum(count * each for name, (count, each) in terms.items()
                          if name in ("program", "buffers", "loops", "hash threads"))
            with self.subTest(loops), Sluice(**{**OPTIONS, "loops": loops, "hash_threads": loops}) as server:
                with raw(server) as client:
                    self.assertEqual(client.request("PUT", "/a", bytes(20 * MIB)).status, 201)
                peak = support.rss_mib(server.pid)[1]
                faults.note(f"{loops} loops: peak {peak:.1f} MiB, {allowed / MIB:.1f} allowed")
                self.assertLess(peak, allowed / MIB)


if __name__ == "__main__":
    unittest.main()
