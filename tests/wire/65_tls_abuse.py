"""What clients do to TLS: records cut, corrupted, empty, tiny, forged; KeyUpdate and renegotiation; who stops reading
or writing. One loop serves all, so who holds it up is seen: a plain probe beside must be answered in time. In the end
all descriptors are back, nothing lies in uploads/, and no time was burnt on waiting."""

import contextlib
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from faults import is_sanitized, on_each_engine
from support import Sluice, content, fds, raw, rss_mib, sanitizer, sha256, sha256_of, wait_until
from tlspeer import (ALERT, CHANGE_CIPHER, DATA, HANDSHAKE, KEY_UPDATE_ASKING, RECORD_MAX, Authority, Secure,
                     curl_tls, port_of, urls_of)

SLOWER = 5 if sanitizer() else 1
PROBE_SECONDS = 0.8 * SLOWER  # a loop that is held up by one client holds it for longer
FLOOD = 40_000 // SLOWER  # forged records of one connection: 1 MB of the shortest
MIB = 1 << 20
HEAD = "PUT /files/{} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n"
OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def setUpModule():
    global authority, LOCAL
    folder = unittest.enterModuleContext(tempfile.TemporaryDirectory(prefix="sluice-certs-"))
    authority = Authority(folder)
    LOCAL = authority.issue("local", "localhost", "127.0.0.1")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def put(name, body):
    return HEAD.format(name, len(body)).encode() + body


class Abused:
    engine = "auto"

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(listen=["127.0.0.1:0", "127.0.0.1:0 tls"], loops=1,
                                                  engine=cls.engine, durability="none", tls_cert=LOCAL[0],
                                                  tls_key=LOCAL[1]))
        cls.port = port_of(urls_of(cls.server)[1])

    def setUp(self):
        self.opened = fds(self.server.pid)

    def tearDown(self):
        self.doCleanups()
        with raw(self.server) as probe:
            self.assertEqual(probe.request("GET", "/healthz").status, 200)
        wait_until(lambda: fds(self.server.pid) <= self.opened, "the descriptors to come back")
        self.assertEqual(self.server.temp_files(), [])

    def connect(self, **options):
        client = Secure(self.port, authority, **options)
        self.addCleanup(client.close)
        return client

    @contextlib.contextmanager
    def probed(self):
        """Asks on and on, on a connection beside, until the block ends; no answer may be late. A machine that stands
        still is not the server's fault: what somebody who only sleeps is late by is taken off."""
        late, overslept, stop, refused = [0.0], [0.0], threading.Event(), []

        def probe():
            try:
                with raw(self.server, seconds=60) as client:
                    while not stop.is_set():
                        overslept[0], began = 0.0, time.monotonic()
                        self.assertEqual(client.request("GET", "/healthz").status, 200)
                        late[0] = max(late[0], time.monotonic() - began - overslept[0])
            except (AssertionError, OSError, EOFError) as error:
                refused.append(error)

        def sleep():
            while not stop.is_set():
                began = time.monotonic()
                time.sleep(0.01)
                overslept[0] += time.monotonic() - began - 0.01

        threads = [threading.Thread(target=target) for target in (probe, sleep)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(refused, [], "another client had no answer")
        self.assertLess(late[0], PROBE_SECONDS, "seconds that another client waited for its answer")

    def flood(self, clients, floods):
        """Each client sends its bytes, at once, and then a request; the server may have ended it meanwhile. How many
        were answered?"""
        answered = []

        def send(client, data):
            try:
                client.send_plain(data)
                answered.append(client.answer().status)
            except (OSError, EOFError, ssl.SSLError):
                pass

        threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, floods, strict=True)]
        with self.probed():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return answered

    def assertEnded(self, client):
        """By an alert, an end, or a reset: what else comes is no answer."""
        try:
            self.assertEqual(client.rest(), b"")
        except (ssl.SSLError, ConnectionError):
            pass


class Stalls(Abused):
    def test_half_a_record_costs_nothing(self):
        for version in (OLD, NEW):
            for cut in (1, 4, 5, 6, 100, 5000):
                with self.subTest(version, cut=cut):
                    client = self.connect(version=version)
                    client.send(HEAD.format("half", 5000).encode())
                    client.send_plain(client.sealed(content(5000))[:cut])
                    self.assertQuiet()
                    client.close()

    def test_half_a_hello_costs_nothing(self):
        for cut in (1, 5, 6, 100):
            client = self.connect(hello=False)
            client.send_plain(client.hello()[:cut])
            self.assertQuiet()

    def assertQuiet(self):
        with raw(self.server) as probe:
            self.assertEqual(probe.request("GET", "/healthz").status, 200)  # what came before has been looked at
            before = cpu_seconds(self.server.pid)
            probe.socket.settimeout(0.3)
            with self.assertRaises(TimeoutError):  # nothing comes: a way to wait
                probe.socket.recv(1)
        self.assertLess(cpu_seconds(self.server.pid) - before, 0.1, "seconds of CPU within 0.3")

    def test_8_uploads_and_8_downloads_that_stall_hold_nobody_up(self):
        body = content(300_000)
        big = self.server.path("big")
        with open(big, "wb") as file:
            for _ in range(32):
                file.write(content(MIB))
        memory = rss_mib(self.server.pid)[0]
        readers = [self.connect() for _ in range(8)]
        for client in readers:
            client.send(b"GET /files/big HTTP/1.1\r\nHost: a\r\n\r\n")
        writers = []
        for number in range(8):
            client = self.connect()
            sealed = client.sealed(put(f"stalled-{number}", body))
            cut = 100_000 + number * 1000
            client.send_plain(sealed[:cut])
            writers.append((client, sealed[cut:]))
        with self.probed():
            for number in range(4):
                client = self.connect()
                self.assertEqual(client.request("PUT", f"/files/beside-{number}", body).status, 201)
            url = f"https://localhost:{self.port}/files/beside-h2"
            self.assertEqual(curl_tls(authority, "2", "-T", "-", url, data=body)[1], "201")
            for client, rest in writers:
                client.send_plain(rest)
                self.assertEqual(client.answer().status, 201)
            self.assertEqual(sha256_of(readers[0].answer().body), sha256(big))
        if not is_sanitized():
            self.assertLess(rss_mib(self.server.pid)[0] - memory, 64)
        for name in [*(f"stalled-{n}" for n in range(8)), *(f"beside-{n}" for n in range(4)), "beside-h2"]:
            self.assertEqual(sha256(self.server.path(name)), sha256_of(body), name)
            self.server.path(name).unlink()

class KeyUpdates(Abused):
    def test_keys_change_in_the_middle_of_a_body_and_of_an_answer(self):
        client = self.connect()
        forge = client.forge()
        for number in range(5):
            message = put(f"keys-{number}", content(50_000))
            client.send_plain(forge.data(message[:20_000]) + forge.key_update() + forge.data(message[20_000:40_000]) +
                              forge.key_update(KEY_UPDATE_ASKING) + forge.data(message[40_000:]))
            self.assertEqual(client.answer().status, 201)
            client.send_plain(forge.data(b"GET /files/keys-%d HTTP/1.1\r\nHost: a\r\n\r\n" % number) +
                              forge.key_update(KEY_UPDATE_ASKING))
            self.assertEqual(client.answer().body, content(50_000))

    def test_openssl_changes_them(self):
        """s_client's k and K, which each also ask on: a request behind them is answered."""
        for letter in "kK":
            with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile",
                                   authority.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT) as client:
                said = b""
                for line in (letter, letter, "GET /healthz HTTP/1.0\r\n\r"):
                    client.stdin.write(line.encode() + b"\n")
                    client.stdin.flush()
                    while line == letter and b"KEYUPDATE" not in said:
                        said += client.stdout.readline()
                    said = said if line != letter else b""
                said = client.stdout.read()
            self.assertIn(b"200 OK", said)

    def test_a_flood_of_them(self):
        clients = [self.connect() for _ in range(4)]
        floods = []
        for client in clients:
            forge = client.forge()
            floods.append(b"".join(forge.key_update() for _ in range(FLOOD)) + forge.data(GET))
        self.flood(clients, floods)

    def test_a_flood_that_asks_and_never_reads(self):
        """The answers to them pile up with us, to a bound."""
        memory = rss_mib(self.server.pid)[0]
        clients = [self.connect() for _ in range(4)]
        floods = []
        for client in clients:
            forge = client.forge()
            floods.append(b"".join(forge.key_update(KEY_UPDATE_ASKING) for _ in range(FLOOD)))

        def send(client, data):
            with contextlib.suppress(OSError):
                client.send_plain(data)

        with self.probed():
            threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, floods, strict=True)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if not is_sanitized():
            self.assertLess(rss_mib(self.server.pid)[0] - memory, 16)

    def test_malformed_ones_end_the_connection(self):
        for message in (bytes([24, 0, 0, 1, 2]), bytes([24, 0, 0, 2, 0, 0]), bytes([24, 0, 0, 0]),
                        bytes([24, 255, 255, 255, 0]), bytes([24, 0, 0, 1, 0, 24, 0, 0, 1, 0])):
            with self.subTest(message):
                client = self.connect()
                forge = client.forge()
                client.send_plain(forge.seal(HANDSHAKE, message) + forge.data(GET))
                self.assertEnded(client)


class Renegotiation(Abused):
    def test_it_is_refused(self):
        with self.probed():
            done = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{self.port}", "-CAfile",
                                   authority.root, "-legacy_renegotiation"], input=b"R\n" * 3, capture_output=True,
                                  timeout=30)
        said = done.stdout + done.stderr
        self.assertIn(b"RENEGOTIATING", said)
        self.assertIn(b"no renegotiation", said)

    def test_floods_of_it(self):
        """Hellos and warnings in 1.2, forged: who reads our refusals, and who does not."""
        hello = self.connect(hello=False, version=OLD).hello()[5:]
        for name, kind, message in (("hellos", HANDSHAKE, hello), ("warnings", ALERT, b"\x01\x64"),
                                    ("empty", DATA, b""), ("requests for hellos", HANDSHAKE, bytes(4))):
            with self.subTest(name):
                clients = [self.connect(version=OLD) for _ in range(4)]
                floods = []
                for client in clients:
                    forge = client.forge()
                    floods.append(b"".join(forge.seal(kind, message) for _ in range(FLOOD // 4)) + forge.data(GET))
                self.flood(clients, floods)

    def test_one_hello_is_refused_and_the_connection_goes_on_or_ends(self):
        client = self.connect(version=OLD)
        forge = client.forge()
        client.send_plain(forge.data(GET))
        self.assertEqual(client.answer().status, 200)
        client.send_plain(forge.seal(HANDSHAKE, self.connect(hello=False, version=OLD).hello()[5:]) + forge.data(GET))
        with contextlib.suppress(EOFError, ssl.SSLError, ConnectionError):
            self.assertEqual(client.answer().status, 200)

    def test_a_hello_in_13_ends_the_connection(self):
        hello = self.connect(hello=False).hello()[5:]
        client = self.connect()
        forge = client.forge()
        client.send_plain(forge.seal(HANDSHAKE, hello) + forge.data(GET))
        self.assertEnded(client)


class Records(Abused):
    def test_empty_ones(self):
        """A few are borne (RFC 8446 section 5.4 allows them), a flood ends the connection or is digested."""
        client = self.connect()
        forge = client.forge()
        client.send_plain(forge.seal(DATA, b"") + forge.data(GET[:5]) + forge.seal(DATA, b"", 100) +
                          forge.data(GET[5:]))
        self.assertEqual(client.answer().status, 200)
        clients = [self.connect() for _ in range(4)]
        floods = []
        for client in clients:
            forge = client.forge()
            floods.append(b"".join(forge.seal(DATA, b"") for _ in range(FLOOD)) + forge.data(GET))
        self.flood(clients, floods)

    def test_one_byte_each(self):
        body = content(FLOOD // 2)
        clients = [self.connect() for _ in range(4)]
        floods = [client.forge().data(put(f"tiny-{number}", body), 1) for number, client in enumerate(clients)]
        self.assertEqual(self.flood(clients, floods), [201] * 4)
        for number in range(4):
            self.assertEqual(self.server.path(f"tiny-{number}").read_bytes(), body)
            self.server.path(f"tiny-{number}").unlink()

    def test_the_largest(self):
        body = content(40 * RECORD_MAX)
        client = self.connect()
        client.send_plain(client.forge().data(put("largest", body)))
        self.assertEqual(client.answer().status, 201)
        client = self.connect()
        forge = client.forge()  # padded to the brim: one byte each
        client.send_plain(b"".join(forge.seal(DATA, GET[at:at + 1], RECORD_MAX - 1) for at in range(len(GET))))
        self.assertEqual(client.answer().status, 200)

    def test_too_large_ones_end_the_connection(self):
        for record in (lambda forge: forge.seal(DATA, content(RECORD_MAX + 1)),
                       lambda forge: forge.seal(DATA, b"x", RECORD_MAX + 256),
                       lambda forge: b"\x17\x03\x03\xff\xff" + content(70_000)):
            client = self.connect()
            with contextlib.suppress(ConnectionError):
                client.send_plain(record(client.forge()))
            self.assertEnded(client)

    def spoilt(self):
        """(what, bytes of an upload that breaks at its second record)"""
        first = HEAD.format("spoilt", 100_000).encode() + content(20_000)
        for version in (OLD, NEW):
            for at in (0, 1, 3, 5, 10, 100, -1):
                client = self.connect(version=version)
                good, record = client.sealed(first), bytearray(client.sealed(content(10_000)))
                record[at] ^= 0x55
                yield f"byte {at} flipped, {version.name}", client, good + bytes(record) + content(60_000, 2)
            client = self.connect(version=version)
            good, record, other = client.sealed(first), client.sealed(content(9000)), client.sealed(content(9000))
            for what, bad in (("swapped", other + record), ("sent twice", record + record), ("left out", other),
                              ("garbage between", record + content(300) + other),
                              ("plain alert between", record + b"\x15\x03\x03\x00\x02\x02\x28" + other),
                              ("plain request between", record + GET + other),
                              ("unknown kind", record + b"\x63\x03\x03\x00\x05hello" + other),
                              ("plain data", record + b"\x17\x03\x03\x00\x05hello" + other)):
                yield f"{what}, {version.name}", client, good + bad
                client = self.connect(version=version)
                good, record, other = client.sealed(first), client.sealed(content(9000)), client.sealed(content(9000))

    def test_spoilt_ones_end_the_upload_and_nothing_is_stored(self):
        with self.probed():
            for what, client, data in self.spoilt():
                with self.subTest(what):
                    with contextlib.suppress(ConnectionError):
                        client.send_plain(data)
                    self.assertEnded(client)
                    client.close()
        self.assertFalse(self.server.path("spoilt").exists())

    def test_spoilt_ones_while_others_come(self):
        """Who is accepted just then may get the memory of the connection that was closed."""
        for _ in range(300):
            client = self.connect()
            good = client.sealed(HEAD.format("spoilt", 100_000).encode() + content(20_000))
            bad = bytearray(client.sealed(content(10_000)))
            bad[-1] ^= 1
            with contextlib.suppress(ConnectionError), contextlib.ExitStack() as others:
                client.send_plain(good + bad + content(60_000, 2))
                for _ in range(20):
                    others.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            self.assertEnded(client)
            client.close()

    def test_cut_ones_store_nothing(self):
        body = content(30_000)
        for version in (OLD, NEW):
            for missing in (1, 16, 17, 5000, 13_700):
                client = self.connect(version=version)
                sealed = client.sealed(put("cut", body))
                client.send_plain(sealed[:-missing])
                client.plain.shutdown(socket.SHUT_WR)
                self.assertEnded(client)
                client.close()
        self.assertFalse(self.server.path("cut").exists())

    def test_alerts_and_changes_of_cipher_in_floods(self):
        def warnings(forge):
            return b"".join(forge.seal(ALERT, b"\x01\x5a") for _ in range(FLOOD)) + forge.data(GET)

        def changes(_):
            return b"\x14\x03\x03\x00\x01\x01" * FLOOD

        def hidden_changes(forge):
            return b"".join(forge.seal(CHANGE_CIPHER, b"\x01") for _ in range(FLOOD))

        for flood in (warnings, changes, hidden_changes):
            with self.subTest(flood.__name__):
                clients = [self.connect() for _ in range(4)]
                self.flood(clients, [flood(client.forge()) for client in clients])

    def test_changes_of_cipher_in_the_middle_of_a_handshake(self):
        clients = [self.connect(hello=False) for _ in range(4)]
        self.flood(clients, [client.hello() + b"\x14\x03\x03\x00\x01\x01" * FLOOD for client in clients])

    def test_hellos_that_lie(self):
        hello = self.connect(hello=False).hello()
        lies = [hello[:5] + b"\x01\xff\xff\xff" + hello[9:], hello[:3] + b"\xff\xff" + hello[5:],
                hello[:43] + b"\xff" + hello[44:], b"\x16\x03\x01\x00\x00" * FLOOD,
                b"\x16\x03\x01\x00\x01\x01" * 20_000,
                b"\x80\x2e\x01\x03\x01" + bytes(43), hello[:5] + b"\x02" + hello[6:], bytes(20_000), content(20_000)]
        for number, lie in enumerate(lies):
            with self.subTest(number):
                client = self.connect(hello=False)
                with self.probed(), contextlib.suppress(ConnectionError):
                    client.send_plain(lie)
                with contextlib.suppress(OSError):
                    client.plain.shutdown(socket.SHUT_WR)  # some wait for more
                self.assertEnded(client)


on_each_engine(globals(), Stalls)
for _case in (KeyUpdates, Renegotiation, Records):
    globals()[_case.__name__] = type(_case.__name__, (_case, unittest.TestCase), {"__module__": __name__})

if __name__ == "__main__":
    unittest.main()
