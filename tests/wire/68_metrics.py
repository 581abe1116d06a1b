"""What /metrics tells adds up, whatever became of the uploads; /readyz tells whether something can be stored, and why
not; and neither waits for a disk that does not answer. --admin-listen keeps them off the public address."""

import contextlib
import fcntl
import http.client
import itertools
import os
import pathlib
import re
import shutil
import socket
import tempfile
import time
import unittest
import urllib.parse

import dialects
import faults
import support
import tus
from support import Sluice, content, quoted, raw, wait_until

KIB, MIB = 1 << 10, 1 << 20
FREEZE, THAW = 0xC0045877, 0xC0045878  # FIFREEZE, FITHAW, _IOWR('X', 119 and 120, int)
NOBODY = 65534
NAME = r"sluice_[a-z][a-z0-9_]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-z]+="[^"\\\n]*",?)+)\}})? (\d+(?:\.\d+)?)')
OF_BODY = ("written_bytes_total", "framing_bytes_total", "aborted_bytes_total", "buffered_bytes")


class Page:
    """A page of samples. page["uploads_started_total"] is the value, or the sum over all labels; page.of(name) tells
    them apart by the labels that are asked for."""

    def __init__(self, text):
        self.text, self.samples, self.types = text, {}, {}
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith("# HELP "):
                continue
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                assert name not in self.types, f"{name} is told twice"
                self.types[name] = kind
                continue
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            family = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in self.types or self.types.get(family) == "histogram", f"{line!r} has no type"
            labels = tuple(sorted(re.findall(r'([a-z]+)="([^"]*)"', match[2] or "")))
            assert (match[1], labels) not in self.samples, f"{line!r} is there twice"
            self.samples[match[1], labels] = float(match[3])

    def of(self, name, *keys):
        """{values of these labels: value}, zeros left out."""
        sums = {}
        for (found, labels), value in self.samples.items():
            if found == f"sluice_{name}" and value:
                labels = dict(labels)
                key = tuple(labels[key] for key in keys)
                sums[key] = sums.get(key, 0) + value
        return sums

    def __getitem__(self, name):
        assert any(found == f"sluice_{name}" for found, _ in self.samples), f"no {name}"
        return sum(value for (found, _), value in self.samples.items() if found == f"sluice_{name}")


def page_of(server):
    with raw(server) as client:
        answer = client.request("GET", "/metrics")
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8", answer
    return Page(answer.text)


def quiet_page(server):
    """Of a server at which nobody is any more."""
    def look():
        page = page_of(server)
        return page if page["uploads_in_flight"] == page["buffered_bytes"] == 0 else None
    return wait_until(look, "no upload is in flight")


class Case:
    def assert_sums(self, page):
        ended = page["uploads_finished_total"] + page["uploads_failed_total"]
        self.assertEqual(page["uploads_started_total"], ended + page["uploads_in_flight"], page.text)
        self.assertEqual(page["received_bytes_total"], sum(page[name] for name in OF_BODY), page.text)


def put_head(target, size, *lines):
    return "\r\n".join((f"PUT {target} HTTP/1.1", "Host: wire.test", f"Content-Length: {size}", *lines, "",
                        "")).encode()


BOUNDARY = "Content-Type: multipart/form-data; boundary=X"


def form(*parts, end=b"--X--\r\n"):
    return b"".join(b'--X\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n%b\r\n' % part
                    for part in parts) + end


class Mixed(Case):
    """A load of everything, and then the sums."""

    engine = None

    def setUp(self):
        self.server = self.enterContext(Sluice(engine=self.engine, durability="none", loops=2, max_size="3Mi",
                                               name="{filename}", min_rate=0))
        self.numbers = itertools.count()

    def name(self):
        return f"{self.engine}-{next(self.numbers)}"

    def ask(self, method, target, body=b"", *lines):
        with raw(self.server) as client:
            return client.request(method, target, body, lines)

    def finished(self):
        """Stored: 7 files, of so many bytes."""
        sizes = (0, 1, 4 * KIB, MIB + 1, 2 * MIB + 77)
        for size in sizes:
            self.assertEqual(self.ask("PUT", quoted(self.name()), content(size)).status, 201)
        two = [(self.name().encode(), content(300 * KIB)), (self.name().encode(), b"x")]
        text = b'--X\r\nContent-Disposition: form-data; name="comment"\r\n\r\nso it is\r\n'
        answer = self.ask("POST", "/files/", text + form(*two), BOUNDARY)
        self.assertEqual(answer.status, 201, answer)
        return len(sizes) + 2, sum(sizes) + 300 * KIB + 1

    def refused(self):
        """By their heads, by their names, by their sizes, by their bytes: {code: how many began}."""
        name = quoted(self.name())
        self.assertEqual(self.ask("PUT", name, b"first").status, 201)
        for _ in range(2):
            self.assertEqual(self.ask("PUT", name, content(40 * KIB)).code, "exists")
        wrong = "Content-Digest: " + support.digest_field(b"other", "sha-256")
        self.assertEqual(self.ask("PUT", quoted(self.name()), content(100 * KIB), wrong).code, "digest-mismatch")
        self.assertEqual(self.ask("PUT", quoted(self.name()), b"", "Repr-Digest: ?").code, "bad-digest")  # none began
        with raw(self.server) as client:
            client.send(f"PUT {quoted(self.name())} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            with contextlib.suppress(OSError):  # it may be answered before all is sent
                client.send(tus.chunked([content(MIB)] * 4))
            self.assertEqual(client.answer().code, "too-large")
        broken = form((self.name().encode(), content(70 * KIB)), end=b"")
        self.assertEqual(self.ask("POST", "/files/", broken, BOUNDARY).code, "bad-form")
        return {"exists": 2, "digest-mismatch": 1, "too-large": 1, "bad-form": 1}

    def leave(self, head, body):
        """Sends so much and goes, once it was all read."""
        before = page_of(self.server)["received_bytes_total"]
        with raw(self.server) as client:
            client.send(head + body)
            wait_until(lambda: page_of(self.server)["received_bytes_total"] >= before + len(body), "all was read")

    def aborted(self):
        self.leave(put_head(quoted(self.name()), 2 * MIB), content(300 * KIB + 5))
        half = form((self.name().encode(), content(200 * KIB)), end=b"")[:-2]
        self.leave(f"POST /files/ HTTP/1.1\r\nHost: a\r\n{BOUNDARY}\r\nContent-Length: {MIB}\r\n\r\n".encode(), half)
        return 2

    def resumed(self):
        """Made, broken off and finished: of three requests that bring something, two are kept."""
        data = content(2 * MIB + 5)
        with tus.Tus(self.server) as client:
            target = tus.target_of(client.create(len(data)).headers["location"])
            self.leave(tus.patch_head(target, 0, len(data)), data[:700 * KIB + 3])
            wait_until(lambda: client.offset(target) == 700 * KIB + 3, "what came is kept")
            self.assertEqual(page_of(self.server)["uploads_unfinished"], 1)
            answer = client.patch(target, 700 * KIB + 3, data[700 * KIB + 3:])
            self.assertEqual(answer.status, 204, answer)
        return {("kept",): 2, ("stored",): 1}, len(data)

    def test_it_adds_up(self):
        files, size = self.finished()
        page = quiet_page(self.server)
        self.assert_sums(page)
        self.assertEqual(page["written_bytes_total"], size)
        self.assertEqual(page["aborted_bytes_total"], 0)
        failed, gone = self.refused(), self.aborted()
        resumed, resumed_size = self.resumed()
        page = quiet_page(self.server)
        self.assert_sums(page)
        outcomes = {("stored",): files + 1 + resumed["stored",], ("kept",): resumed["kept",]}
        self.assertEqual(page.of("uploads_finished_total", "outcome"), outcomes)
        reasons = {code: count for (code,), count in page.of("uploads_failed_total", "reason").items()}
        self.assertEqual(sum(reasons.values()), sum(failed.values()) + gone, reasons)
        self.assertEqual({code: reasons.get(code) for code in failed}, failed)
        self.assertLessEqual(reasons.keys() - failed.keys(), {"client-gone", "incomplete-body", "cancelled"})
        self.assertGreaterEqual(page["written_bytes_total"], size + len(b"first") + resumed_size)
        self.assertGreaterEqual(page["aborted_bytes_total"] + page["written_bytes_total"],
                                size + resumed_size + 570 * KIB)
        self.assertEqual(page["uploads_unfinished"], 0)
        self.assertEqual(len(self.server.stored()), outcomes["stored",])

    def test_while_one_is_under_way(self):
        size, half = 200_000, 100_000
        with raw(self.server) as client:
            client.send(put_head(quoted(self.name()), size) + content(half))
            page = wait_until(lambda: (page := page_of(self.server))["received_bytes_total"] == half and page, "half")
            self.assertEqual(page["uploads_in_flight"], 1)
            self.assertGreaterEqual(page["connections"], 1)
            self.assertGreaterEqual(page["buffers_in_use"], 1)
            self.assertEqual(page["written_bytes_total"] + page["buffered_bytes"], half)
            self.assert_sums(page)
            client.send(content(half))
            self.assertEqual(client.answer().status, 201)
        page = quiet_page(self.server)
        self.assertEqual(page["written_bytes_total"], size)
        wait_until(lambda: page_of(self.server)["buffers_in_use"] == 0, "the buffers are free")

    def test_requests_by_route_method_and_status(self):
        name = quoted(self.name())
        self.ask("PUT", name, b"1")
        self.ask("PUT", name, b"2")
        self.ask("GET", name)
        self.ask("DELETE", name)
        for target in ("/", "/healthz", "/nowhere"):
            self.ask("GET", target)
        if dialects.NAME == "h1":
            self.ask("BREW", "/tea")
        expected = {("file", "PUT", "201"): 1, ("file", "PUT", "409"): 1, ("file", "GET", "200"): 1,
                    ("file", "DELETE", "204"): 1, ("home", "GET", "200"): 1, ("healthz", "GET", "200"): 1,
                    ("other", "GET", "404"): 1}
        if dialects.NAME == "h1":
            expected["other", "other", "405"] = 1

        def look():
            page = page_of(self.server)
            found = page.of("requests_total", "route", "method", "status")
            return {key: count for key, count in found.items() if key[0] != "metrics"} == expected
        wait_until(look, f"{expected}")

    def test_stages_loops_and_the_rest(self):
        for _ in range(3):
            self.ask("PUT", quoted(self.name()), content(50_000))
        page = quiet_page(self.server)
        counts = page.of("stage_duration_seconds_count", "stage")
        for stage in ("queue", "open", "receive", "flush", "commit"):
            self.assertEqual(counts[stage,], 3, page.text)
        for stage in ("write", "hash"):
            self.assertGreaterEqual(counts[stage,], 3)
        self.assertNotIn(("sync",), counts)  # durability none
        engine = self.server.said("engine").split(":")[0]
        self.assertEqual(page.of("engine_info", "loop", "engine"), {("0", engine): 1, ("1", engine): 1})
        for lag in ("loop_lag_seconds_count", "loop_lag_max_seconds"):  # a loop without work turns once a second
            wait_until(lambda: set(page_of(self.server).of(lag, "loop")) == {("0",), ("1",)}, "turns of both loops")
        self.assertEqual(page["buffer_bytes"], 128 * MIB)
        self.assertGreater(page["disk_free_bytes"], 0)
        version = self.server.banner[0].split()[1]
        self.assertEqual(page.of("build_info", "version"), {(version,): 1})

    def test_syncs_are_measured(self):
        with Sluice(engine=self.engine, durability="full") as server, raw(server) as client:
            self.assertEqual(client.request("PUT", "/files/a", b"x").status, 201)
            page = page_of(server)
        self.assertGreaterEqual(page.of("stage_duration_seconds_count", "stage")["sync",], 2)


# ---- the operator's own address ----


class Admin(Case, unittest.TestCase):
    PAGES = ("/metrics", "/healthz", "/readyz")

    def setUp(self):
        self.server = self.enterContext(Sluice(admin_listen="127.0.0.1:0", loops=2))
        self.authority = urllib.parse.urlsplit(self.server.said("admin")).netloc

    def ask(self, method, target, body=None):
        connection = http.client.HTTPConnection(self.authority, timeout=support.ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, target, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def test_it_has_these_pages_and_the_public_one_has_not(self):
        for page in self.PAGES:
            self.assertEqual(self.ask("GET", page)[0], 200, page)
            for method in ("GET", "HEAD", "PUT", "OPTIONS"):
                with raw(self.server) as client:
                    self.assertEqual(client.request(method, page).status, 404, (method, page))

    def test_it_has_nothing_else(self):
        for method, target in (("GET", "/"), ("GET", "/files/"), ("PUT", "/a"), ("PUT", "/files/a"), ("POST", "/"),
                               ("GET", "/errors"), ("OPTIONS", "/files/"), ("HEAD", "/uploads/" + "a" * 26)):
            self.assertEqual(self.ask(method, target, b"x" if method[0] == "P" else None)[0], 404, (method, target))
        self.assertEqual(self.server.stored(), [])
        with raw(self.server) as client:
            self.assertEqual(client.request("PUT", "/files/a", b"x").status, 201)

    def test_it_tells_of_the_stop_until_the_end(self):
        """Somebody uploads while the server stops: the public address is closed, this one answers."""
        with raw(self.server) as client:
            client.send(put_head("/files/slow", 10) + b"12345")
            wait_until(lambda: Page(self.ask("GET", "/metrics")[1])["uploads_in_flight"] == 1, "it is under way")
            self.assertEqual(self.ask("GET", "/readyz")[0], 200)
            self.server.terminate()
            status, body = wait_until(lambda: (told := self.ask("GET", "/readyz"))[0] == 503 and told, "not ready")
            self.assertIn('"code":"draining"', body)
            self.assertEqual(self.ask("GET", "/healthz")[0], 200)
            page = Page(self.ask("GET", "/metrics")[1])
            self.assertEqual(page["uploads_in_flight"], 1)
            with self.assertRaises(OSError):
                raw(self.server).request("GET", "/files/")
            client.send(b"67890")
            self.assertEqual(client.answer().status, 201)
        self.assertEqual(self.server.wait(), 0)
        self.assertEqual(self.server.stored(), ["slow"])

    def test_no_loop_closes_it_before_the_end(self):
        """Whoever has connected and not yet asked is waited for by a loop that has nothing left to do and could go."""
        host, port = self.authority.split(":")
        with raw(self.server) as client, contextlib.ExitStack() as stack:
            client.send(put_head("/files/slow", 10) + b"12345")
            wait_until(lambda: Page(self.ask("GET", "/metrics")[1])["uploads_in_flight"] == 1, "it is under way")
            early = [stack.enter_context(socket.create_connection((host, port), support.ANSWER_SECONDS))
                     for _ in range(16)]
            self.server.terminate()
            wait_until(lambda: self.ask("GET", "/readyz")[0] == 503, "not ready")
            for one in early:
                one.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                self.assertRegex(one.recv(64), b"^HTTP/1.1 200 ")
            client.send(b"67890")
            self.assertEqual(client.answer().status, 201)
        self.assertEqual(self.server.wait(), 0)

    def test_it_takes_more_connections_than_there_may_be(self):
        with Sluice(admin_listen="127.0.0.1:0", max_connections=1, loops=1) as server, raw(server) as client:
            self.authority = urllib.parse.urlsplit(server.said("admin")).netloc
            self.assertEqual(client.request("GET", "/files/").status, 200)
            page = Page(self.ask("GET", "/metrics")[1])
            self.assertGreaterEqual(page["connections"], 1)

    def test_a_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="sluice-admin-") as folder:
            path = pathlib.Path(folder, "admin")
            with Sluice(admin_listen=f"unix:{path}"):
                said = support.curl("--unix-socket", path, "http://localhost/readyz") if dialects.IS_H1 else None
                self.assertTrue(said is None or said.status == 200, said)
            self.assertFalse(path.exists())


# ---- ready, and why not ----


class ReadyCase(Case):
    def ask(self, server, target="/readyz"):
        with raw(server, seconds=60) as client:
            return client.request("GET", target)

    def becomes(self, server, status, code=None):
        answer = wait_until(lambda: (answer := self.ask(server)).status == status and answer, f"{status} {code}")
        self.assertEqual(answer.code, code, answer)
        return answer


class Ready(ReadyCase, unittest.TestCase):
    def test_ready(self):
        with Sluice() as server, raw(server) as client:
            for method in ("GET", "HEAD", "GET"):
                answer = client.request(method, "/readyz")
                self.assertEqual((answer.status, answer.text), (200, "" if method == "HEAD" else "ready\n"))
            self.assertEqual(client.request("POST", "/readyz").status, 405)
            self.assertEqual(server.temp_files(), [])

    def test_many_at_once_and_some_that_go(self):
        with Sluice() as server:
            clients = [raw(server) for _ in range(30)]
            for client in clients:
                client.send(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            for client in clients[::3]:
                client.close()
            for client in clients[1::3] + clients[2::3]:
                self.assertEqual(client.answer().status, 200)
                client.close()

    def test_no_room_above_min_free(self):
        fs = faults.loop_fs(self, mib=64)
        with Sluice(root=os.path.join(fs.path, "root"), min_free="8Mi") as server:
            self.becomes(server, 200)
            filler = os.path.join(fs.path, "filler")
            with open(filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, fs.free_bytes() - 4 * MIB)
            answer = self.becomes(server, 503, "no-space")
            self.assertIn("min-free", answer.json()["detail"])
            self.assertEqual(self.ask(server, "/healthz").status, 200)
            os.unlink(filler)
            self.becomes(server, 200)

    def test_a_file_system_made_read_only(self):
        fs = faults.loop_fs(self, mib=64)
        with Sluice(root=os.path.join(fs.path, "root"), min_free=0) as server:
            self.becomes(server, 200)
            fs.remount("ro")
            self.becomes(server, 503, "read-only")
            fs.remount("rw")
            self.becomes(server, 200)

    @unittest.skipUnless(os.getuid() == 0 and shutil.which("setpriv"), "it takes root, to be somebody else")
    def test_a_root_that_may_not_be_written(self):
        with tempfile.TemporaryDirectory(prefix="sluice-ready-") as folder:
            os.chmod(folder, 0o755)
            root = pathlib.Path(folder, "root")
            root.mkdir()
            os.chown(root, NOBODY, NOBODY)
            other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            with Sluice(root=root, wrapper=other) as server:
                self.becomes(server, 200)
                os.chmod(server.uploads, 0o500)
                self.becomes(server, 503, "denied")
                os.chmod(server.uploads, 0o700)
                self.becomes(server, 200)


class Frozen(ReadyCase):
    """A disk that takes nothing, until it does. Nobody who does not need it waits for it."""

    engine = None
    ASK_SECONDS = 1.0  # what an answer that needs no disk may take: a thousand times what it does

    def quick(self, server, target):
        begun = time.monotonic()
        answer = self.ask(server, target)
        took = time.monotonic() - begun
        if not support.sanitizer():
            self.assertLess(took, self.ASK_SECONDS, target)
        return answer

    def test_a_disk_that_does_not_answer(self):
        fs = faults.loop_fs(self, mib=64)
        with Sluice(root=os.path.join(fs.path, "root"), min_free=0, engine=self.engine, loops=1) as server:
            self.becomes(server, 200)
            fd = os.open(fs.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.ioctl(fd, FREEZE, 0)
                try:
                    with raw(server, seconds=60) as client:
                        client.send(put_head("/files/waits", 5) + b"12345")
                        answer = self.becomes(server, 503, "io-error")
                        self.assertEqual(answer.json()["detail"], "The disk does not answer.")
                        self.assertEqual(self.quick(server, "/healthz").status, 200)
                        page = Page(self.quick(server, "/metrics").text)
                        self.assertEqual(page["uploads_in_flight"], 1)
                        self.assertGreaterEqual(page["disk_operations"], 1)
                        if not support.sanitizer():
                            self.assertLess(page["loop_lag_max_seconds"], self.ASK_SECONDS)
                        fcntl.ioctl(fd, THAW, 0)
                        self.assertEqual(client.answer().status, 201)
                finally:
                    with contextlib.suppress(OSError):
                        fcntl.ioctl(fd, THAW, 0)
            finally:
                os.close(fd)
            self.becomes(server, 200)
            self.assert_sums(quiet_page(server))


faults.on_each_engine(globals(), Mixed, Frozen)

if __name__ == "__main__":
    unittest.main()
