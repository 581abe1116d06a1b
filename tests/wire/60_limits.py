"""What an operator allows is what clients get: sizes, connections, space, buffers; and a kernel without io_uring."""

import concurrent.futures
import contextlib
import http.client
import os
import socket
import tempfile
import unittest
import urllib.parse

from support import (NO_URING, Answer, Sluice, content, curl, fds, free_bytes, raw, rss_mib, run_program, sha256,
                     sha256_of, wait_until)

MIB = 1 << 20


class MaxSize(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(max_size="1Mi", durability="none"))
        cls.samples = {}
        for size in (MIB, MIB + 1, 20 * MIB):
            cls.samples[size] = cls.server.root / f"sample-{size}"
            cls.samples[size].write_bytes(content(size))

    def ways(self, size):
        sample, url = self.samples[size], self.server.url
        yield "put", ["-T", sample, f"{url}/put-{size}"]
        yield "chunked", ["-H", "Transfer-Encoding: chunked", "-T", sample, f"{url}/chunked-{size}"]
        yield "post", ["--data-binary", f"@{sample}", "-H", "Content-Type: a/b", f"{url}/"]
        yield "post, chunked", ["-H", "Transfer-Encoding: chunked", "--data-binary", f"@{sample}",
                                "-H", "Content-Type: a/b", f"{url}/files/"]
        yield "form", ["-F", f"file=@{sample}", f"{url}/"]
        yield "form, chunked", ["-H", "Transfer-Encoding: chunked", "-F", f"file=@{sample}", f"{url}/"]

    def test_the_limit_itself_fits(self):
        for name, words in self.ways(MIB):
            with self.subTest(name):
                self.assertEqual(curl(*words).status, 201)

    def test_a_byte_more_is_413_and_leaves_nothing(self):
        before = self.server.stored()
        for size in (MIB + 1, 20 * MIB):
            for expect in ("Expect:", "Expect: 100-continue"):
                for name, words in self.ways(size):
                    with self.subTest(name, size=size, expect=expect):
                        answer = curl("-H", expect, *words)
                        self.assertEqual((answer.status, answer.code, answer.exit_code), (413, "too-large", 0), answer)
        self.assertEqual(self.server.stored(), before)

    def test_known_lengths_are_refused_before_the_body(self):
        with raw(self.server) as client:
            client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MIB + 1))
            self.assertEqual(client.answer().status, 413)

    def test_the_limit_is_each_files_not_the_forms(self):
        sample = self.samples[MIB]
        answer = curl("-F", f"a=@{sample}", "-F", f"b=@{sample}", f"{self.server.url}/")
        self.assertEqual((answer.status, len(answer.json()["files"])), (201, 2))

    def test_one_file_too_large_stores_none_of_the_form(self):
        before = self.server.stored()
        answer = curl("-F", f"a=@{self.samples[MIB]}", "-F", f"b=@{self.samples[MIB + 1]}", f"{self.server.url}/")
        self.assertEqual((answer.status, answer.code), (413, "too-large"))
        self.assertEqual(self.server.stored(), before)


class MaxConnections(unittest.TestCase):
    def test_more_connections_wait_and_are_served_in_the_end(self):
        """Two are allowed on the one loop. The kernel takes the third, which hears nothing until one goes."""
        with Sluice(max_connections=2, loops=1) as server, raw(server, seconds=0.5) as third:
            first, second = raw(server), raw(server)
            for client in (first, second):
                self.assertEqual(client.request("GET", "/healthz").status, 200)
            third.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertRaises(TimeoutError, third.answer)
            self.assertEqual(second.request("GET", "/healthz").status, 200)
            first.close()
            third.socket.settimeout(20)
            self.assertEqual(third.answer().status, 200)
            second.close()

    def test_descriptors_come_back(self):
        with Sluice() as server:
            before = fds(server.pid)
            clients = [raw(server) for _ in range(100)]
            for client in clients:
                self.assertEqual(client.request("GET", "/healthz").status, 200)
            self.assertGreaterEqual(fds(server.pid), before + 100)
            for client in clients:
                client.close()
            wait_until(lambda: fds(server.pid) <= before, "the descriptors of closed connections")


class MaxConnectionsPerAddress(unittest.TestCase):
    """Every address of 127.0.0.0/8 is ours."""

    def connect(self, server, address):
        client = self.enterContext(contextlib.closing(
            socket.create_connection((server.host, server.port), 20, (address, 0))))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        return client

    def is_served(self, client):
        try:
            return client.recv(100).startswith(b"HTTP/1.1 200 ")
        except ConnectionError:
            return False

    def test_one_takes_no_place_of_another(self):
        with Sluice(loops=2, max_connections_per_address=3) as server:
            ours = [self.connect(server, "127.0.0.2") for _ in range(3)]
            self.assertEqual([self.is_served(client) for client in ours], [True] * 3)
            for _ in range(10):
                self.assertFalse(self.is_served(self.connect(server, "127.0.0.2")))
            self.assertTrue(self.is_served(self.connect(server, "127.0.0.3")))
            ours[0].close()
            wait_until(lambda: self.is_served(self.connect(server, "127.0.0.2")), "the place is free again")
            with raw(server) as client:
                errors = client.request("GET", "/metrics").body.decode()
            self.assertRegex(errors, r'too-many-of-address"\} 1\d')

    def test_a_unix_socket_has_no_address(self):
        with tempfile.TemporaryDirectory(prefix="sluice-peers-") as folder:
            with Sluice(listen=f"unix:{folder}/socket", max_connections_per_address=1) as server:
                clients = []
                for _ in range(4):
                    client = self.enterContext(contextlib.closing(socket.socket(socket.AF_UNIX)))
                    client.settimeout(20)
                    client.connect(server.unix)
                    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                    clients.append(client)
                self.assertEqual([self.is_served(client) for client in clients], [True] * 4)


class MaxUploadsPerAddress(unittest.TestCase):
    """Of resumable uploads that are unfinished; each ask is a connection of its own."""

    def setUp(self):
        self.server = self.enterContext(Sluice(loops=2, max_uploads_per_address=2))

    def ask(self, address, method, target, lines, body=None):
        client = http.client.HTTPConnection(self.server.host, self.server.port, 20, (address, 0))
        with contextlib.closing(client):
            client.request(method, target, body, lines)
            answer = client.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def create(self, address, **lines):
        return self.ask(address, "POST", "/files/", {"Tus-Resumable": "1.0.0", "Upload-Length": "4", **lines})

    def made(self, address, **lines):
        answer = self.create(address, **lines)
        self.assertEqual(answer.status, 201, answer)
        return urllib.parse.urlsplit(answer.headers["location"]).path

    def patch(self, address, target, offset, body):
        answer = self.ask(address, "PATCH", target, {"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset),
                                                     "Content-Type": "application/offset+octet-stream"}, body)
        self.assertEqual(answer.status, 204, answer)

    def assert_refused(self, answer):
        self.assertEqual((answer.status, answer.code), (429, "too-many-uploads-of-address"), answer)
        self.assertGreater(int(answer.headers["retry-after"]), 0)

    def test_one_takes_no_place_of_another_and_what_is_over_frees_one(self):
        ours = [self.made("127.0.0.2") for _ in range(2)]
        self.assert_refused(self.create("127.0.0.2"))
        draft = {"Upload-Draft-Interop-Version": "8", "Upload-Complete": "?0"}
        self.assert_refused(self.ask("127.0.0.2", "POST", "/files/", draft, b"abcd"))
        self.made("127.0.0.3")
        self.assertEqual(self.ask("127.0.0.2", "PUT", "/files/whole", {}, b"x").status, 201)
        self.patch("127.0.0.2", ours[0], 0, b"ab")
        self.assert_refused(self.create("127.0.0.2"))
        self.patch("127.0.0.9", ours[0], 2, b"cd")  # whoever ends it: it was ours
        ours.append(self.made("127.0.0.2"))
        self.assert_refused(self.create("127.0.0.2"))
        self.assertEqual(self.ask("127.0.0.2", "DELETE", ours[1], {"Tus-Resumable": "1.0.0"}).status, 204)
        self.made("127.0.0.2")
        self.assert_refused(self.create("127.0.0.2"))

    def test_a_restart_forgets_nobody(self):
        for stop in (self.server.kill, self.server.stop):
            with self.subTest(stop.__name__):
                targets = [self.made("127.0.0.2"), self.made("127.0.0.2", **{"Upload-Concat": "partial"})]
                stop()
                self.server.start()
                self.assert_refused(self.create("127.0.0.2"))
                self.made("127.0.0.3" if stop == self.server.kill else "127.0.0.4")
                for target in targets:
                    self.assertEqual(self.ask("127.0.0.1", "DELETE", target, {"Tus-Resumable": "1.0.0"}).status, 204)
                self.made("127.0.0.2")
                self.made("127.0.0.2")
                for target in self.server.kept():
                    self.ask("127.0.0.1", "DELETE", f"/uploads/{target}", {"Tus-Resumable": "1.0.0"})

    def test_the_finished_file_does_not_know_who_sent_it(self):
        target = self.made("127.0.0.2")
        path = self.server.uploads / target.rpartition("/")[2]
        own = socket.inet_aton("127.0.0.2") + bytes(12)
        key = bytes(8) + own[:8]  # as the state keeps it
        self.assertIn(key, os.getxattr(path, "user.sluice.upload"))
        self.patch("127.0.0.2", target, 0, b"abcd")
        for name in os.listxattr(path):
            self.assertNotIn(key, os.getxattr(path, name))


class MinFree(unittest.TestCase):
    def test_507_before_the_body_and_nothing_left(self):
        with Sluice(min_free="1000T") as server:
            sample = server.root / "sample"
            sample.write_bytes(content(3 * MIB))
            for name, words in {
                "put": ["-T", sample, f"{server.url}/a"],
                "chunked": ["-H", "Transfer-Encoding: chunked", "-T", sample, f"{server.url}/a"],
                "post": ["--data-binary", f"@{sample}", "-H", "Content-Type: a/b", f"{server.url}/"],
                "form": ["-F", f"a=@{sample}", f"{server.url}/"],
            }.items():
                for expect in ("Expect:", "Expect: 100-continue"):
                    with self.subTest(name, expect=expect):
                        answer = curl("-H", expect, *words)
                        self.assertEqual((answer.status, answer.code, answer.exit_code), (507, "no-space", 0), answer)
            with raw(server) as client:
                client.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
                self.assertEqual(client.answer().status, 507)
            self.assertEqual(server.stored(), [])
            self.assertEqual(curl(f"{server.url}/healthz").status, 200)

    def test_a_file_that_would_leave_too_little_is_507(self):
        """There is room for it on the disk, but not above what must stay free."""
        free = free_bytes(tempfile.gettempdir())
        with Sluice(min_free=free * 7 // 10) as server, raw(server) as client:
            self.assertEqual(client.request("PUT", "/small", b"x").status, 201)
            client.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                        % (free * 6 // 10))
            answer = client.answer()
            self.assertEqual((answer.status, answer.code), (507, "no-space"))

    def test_a_file_larger_than_the_disk_is_507(self):
        with Sluice() as server, raw(server) as client:
            client.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % 10**15)
            answer = client.answer()
            self.assertEqual((answer.status, answer.code), (507, "no-space"))


class BufferMemory(unittest.TestCase):
    uploads = 64

    def test_many_uploads_share_the_least_of_buffers(self):
        """More uploads than buffers: they wait in line, and all complete."""
        bodies = [content(1_000_000 + 4099 * number, seed=number) for number in range(self.uploads)]
        for engine in ("io_uring", "threads"):
            with self.subTest(engine), Sluice(engine=engine, buffer_memory="4Mi", durability="none") as server:
                with concurrent.futures.ThreadPoolExecutor(self.uploads) as pool:
                    statuses = list(pool.map(lambda number: self.upload(server, number, bodies[number]),
                                             range(self.uploads)))
                self.assertEqual(set(statuses), {201})
                for number, body in enumerate(bodies):
                    self.assertEqual(sha256(server.path(f"{number}")), sha256_of(body))

    @staticmethod
    def upload(server, number, body):
        with raw(server, seconds=60) as client:
            if number % 2:
                return client.request("PUT", f"/{number}", body).status
            head = f"PUT /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n"
            return client.send(head.encode() + body + b"\r\n0\r\n\r\n").answer().status

    def test_forms_share_them_too(self):
        body = content(700_000)
        with Sluice(buffer_memory="4Mi", durability="none") as server:
            sample = server.root / "sample"
            sample.write_bytes(body)
            words = ["-F", f"a=@{sample}", "-F", "text=x", "-F", f"b=@{sample}", f"{server.url}/"]
            with concurrent.futures.ThreadPoolExecutor(24) as pool:
                answers = list(pool.map(lambda _: curl(*words), range(24)))
            self.assertEqual({answer.status for answer in answers}, {201})
            told = [file["sha256"] for answer in answers for file in answer.json()["files"]]
            self.assertEqual(told, [sha256_of(body)] * 48)

    def test_uploads_that_stall_do_not_stop_others(self):
        """Those who stall hold what they reserved, and no more."""
        stalled_head = b"PUT /stalled-%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        body = content(3 * MIB)
        with Sluice(buffer_memory="8Mi", durability="none") as server:
            stalled = [raw(server).send(stalled_head % number + content(1000)) for number in range(48)]
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/moving", body).status, 201)
            self.assertEqual(sha256(server.path("moving")), sha256_of(body))
            for client in stalled:
                client.close()
            wait_until(lambda: sum("PUT /stalled-" in line for line in server.log) == len(stalled), "their end")

    def test_memory_stays_within_the_limit(self):
        with Sluice(buffer_memory="16Mi", durability="none") as server:
            before = rss_mib(server.pid)[0]
            sample = server.root / "sample"
            sample.write_bytes(bytes(200 * MIB))
            self.assertEqual(curl("-T", sample, f"{server.url}/big").status, 201)
            self.assertLess(rss_mib(server.pid)[1] - before, 32)


@unittest.skipUnless(NO_URING, "SLUICE_NO_URING names no program")
class WithoutUring(unittest.TestCase):
    """As in a container: Docker answers EPERM, podman ENOSYS."""

    def test_auto_serves_on_threads_and_says_why(self):
        for errno_name in ("EPERM", "ENOSYS"):
            with self.subTest(errno_name), Sluice(wrapper=[NO_URING, errno_name]) as server, raw(server) as client:
                engine = server.said("engine")
                self.assertRegex(engine, r"\Athreads: .*io_uring")
                data = content(3 * MIB + 1)
                self.assertEqual(client.request("PUT", "/a", data).status, 201)
                self.assertEqual(client.request("GET", "/files/a").body, data)

    def test_io_uring_alone_refuses_to_start_with_the_cure(self):
        for errno_name in ("EPERM", "ENOSYS"):
            with self.subTest(errno_name), Sluice() as other:
                done = run_program("--engine", "io_uring", "--listen", "127.0.0.1:0", "--root", str(other.root / "new"),
                                   wrapper=[NO_URING, errno_name])
                self.assertNotIn(done.returncode, (0, 125))
                self.assertEqual(done.stdout, "")
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertRegex(done.stderr, rf"io_uring.*{errno_name}.*; cure: \w+")


if __name__ == "__main__":
    unittest.main()
