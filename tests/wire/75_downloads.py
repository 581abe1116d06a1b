"""Downloads by the hundred, broken off, slow, and of files that are replaced and removed meanwhile: each reader sees
one whole version, and afterwards nothing is held. That all buffers came back the server asserts itself, as it
leaves."""

import concurrent.futures
import itertools
import os
import random
import socket
import threading
import time
import unittest

import dialects
import faults
import support
from support import content, etag_of, raw, sha256_of, wait_until

MIB = 1 << 20
MANY = 200
# As in the memory test, for all the rest; a stuck connection of HTTP/2 over TLS holds some 160 KiB, twice encoded.
REST_MIB = 32 if dialects.IS_H1 else 48
SIZE = 24 * MIB
DATA = content(SIZE)
SIZES = (0, 1, 4096, 300_000, 3 * MIB)
QUICK_SECONDS = 5  # for what takes a fraction of a second on an idle machine
REPLACED = 200


class Downloads:
    engine = None

    def setUp(self):
        self.start(buffer_mib=16)

    def start(self, buffer_mib):
        self.buffer_mib = buffer_mib
        self.server = self.enterContext(support.Sluice(engine=self.engine, durability="none", conflict="overwrite",
                                                       buffer_memory=f"{buffer_mib}Mi", loops=2))
        with raw(self.server) as client:
            self.assertEqual(client.request("PUT", "/large", DATA).status, 201)
        wait_until(lambda: not self.server.temp_files(), "an idle server")
        self.idle_fds = support.fds(self.server.pid)

    def get(self, target="/files/large", *lines, seconds=60):
        with raw(self.server, seconds=seconds) as client:
            return client.request("GET", target, headers=lines)

    def at_once(self, work, count=MANY):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(work, range(count)))

    def assert_nothing_is_held(self):
        wait_until(lambda: support.fds(self.server.pid) <= self.idle_fds, f"back to {self.idle_fds} descriptors")
        self.assertEqual(sha256_of(self.get().body), sha256_of(DATA))
        peak = support.rss_mib(self.server.pid)[1]
        faults.note(f"peak {peak:.0f} MiB")
        if not faults.is_sanitized():
            self.assertLess(peak, self.buffer_mib + REST_MIB)
        self.server.stop()

    def test_many_ranges_at_once(self):
        start = threading.Barrier(MANY)

        def work(number):
            choice = random.Random(number)
            with raw(self.server, seconds=60) as client:
                start.wait()
                for _ in range(3):
                    first = choice.randrange(SIZE)
                    last = min(SIZE - 1, first + choice.choice((0, 1, 5000, 65_536, 400_000)))
                    answer = client.request("GET", "/files/large", headers=[f"Range: bytes={first}-{last}"])
                    assert answer.status == 206, answer
                    assert answer.body == DATA[first:last + 1], f"wrong bytes for {first}-{last}"

        self.at_once(work)
        self.assert_nothing_is_held()

    def test_downloads_that_break_off(self):
        def work(number):
            choice = random.Random(number)
            lines = ("", "Range: bytes=5-\r\n", "Range: bytes=5-10000000,12000000-\r\n")[number % 3]
            client = raw(self.server, seconds=60)
            client.send(f"GET /files/large HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
            if number % 5:  # else it leaves before the answer
                assert client.head()[0] in (200, 206)
                for _ in range(choice.randrange(5)):
                    client.socket.recv(100_000)
            (client.reset, client.close, client.half_close)[number % 3 if number % 5 else number % 2]()
            client.close()

        before = support.rss_mib(self.server.pid)[0]
        for _ in range(3):
            self.at_once(work)
            wait_until(lambda: support.fds(self.server.pid) <= self.idle_fds, "their descriptors")
        faults.note(f"memory {before:.0f}, now {support.rss_mib(self.server.pid)[0]:.0f} MiB")
        self.assert_nothing_is_held()

    def test_each_reader_sees_one_whole_version(self):
        """What is read is what its ETag says, from the first byte to the last, whoever replaces or removes it."""
        versions = [content(size, seed=seed) for seed, size in enumerate(SIZES)]
        seen, over = {"whole": 0, "gone": 0, "part": 0}, threading.Event()

        def change(number):
            with raw(self.server, seconds=60) as client:
                for turn in range(40):
                    if turn % 7 == 6:
                        status = client.request("DELETE", "/files/v").status
                        assert status in (204, 404), status
                    else:
                        status = client.request("PUT", "/v", versions[(turn + number) % len(versions)]).status
                        assert status in (200, 201), status

        def read(number):
            with raw(self.server, seconds=60) as client:
                for turn in itertools.count():
                    if over.is_set():
                        return
                    lines = ["Range: bytes=1000-"] if (turn + number) % 3 == 0 else []
                    answer = client.request("GET", "/files/v", headers=lines)
                    if answer.status == 200:
                        assert etag_of(answer.body) == answer.headers["etag"], "torn"
                        seen["whole"] += 1
                    elif answer.status == 206:
                        digest = f"sha-256=:{answer.headers['etag'].strip(chr(34))}:"
                        [whole] = [data for data in versions if etag_of(data) == answer.headers["etag"]]
                        assert (answer.body, answer.headers["repr-digest"]) == (whole[1000:], digest), "torn"
                        seen["part"] += 1
                    else:
                        assert answer.status in (404, 416), answer
                        seen["gone"] += answer.status == 404

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            readers = [pool.submit(read, number) for number in range(12)]
            writers = [pool.submit(change, number) for number in range(3)]
            try:
                for writer in writers:
                    writer.result()
            finally:
                over.set()
            for reader in readers:
                reader.result()
        faults.note(str(seen))
        self.assertTrue(seen["whole"] and seen["part"] and seen["gone"], seen)

    def test_a_name_that_is_replaced_is_never_gone(self):
        """Whoever looks for it in between, over HTTP or in the folder, finds the old one or the new one."""
        over, statuses, missed, looks = threading.Event(), [], 0, 0
        body = content(1000)

        def replace():
            try:
                with raw(self.server, seconds=60) as client:
                    for _ in range(REPLACED):
                        statuses.append(client.request("PUT", "/held", body).status)
            finally:
                over.set()

        def read():
            with raw(self.server, seconds=60) as client:
                while not over.is_set():
                    answer = client.request("GET", "/files/held")
                    assert (answer.status, answer.body) == (200, body), answer

        with raw(self.server) as client:
            self.assertEqual(client.request("PUT", "/held", body).status, 201)
        path = self.server.path("held")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            others = [pool.submit(replace), pool.submit(read)]
            while not over.is_set():
                looks += 1
                missed += not os.path.exists(path)
            for other in others:
                other.result()
        self.assertEqual(missed, 0, f"of {looks} looks")
        self.assertEqual(statuses, [200] * REPLACED)
        self.assert_nothing_is_held()

    def test_a_file_that_goes_in_the_middle_is_read_to_its_end(self):
        for change in ("DELETE", "PUT"):
            with self.subTest(change), raw(self.server, seconds=60) as reader, raw(self.server) as client:
                client.request("PUT", "/goes", DATA)
                reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
                reader.send(b"GET /files/goes HTTP/1.1\r\nHost: a\r\n\r\n")
                status, headers = reader.head()
                answer = client.request(change, "/files/goes", b"other" if change == "PUT" else b"")
                self.assertIn(answer.status, (200, 204))
                body = reader.take(int(headers["content-length"]))
                self.assertEqual((status, headers["etag"], sha256_of(body)), (200, etag_of(DATA), sha256_of(DATA)))
        self.assert_nothing_is_held()

    def stalled(self):
        """Many who asked for all of it and took the head."""
        clients = []
        for _ in range(MANY):
            client = self.enterContext(raw(self.server, seconds=60))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            clients.append(client.send(b"GET /files/large HTTP/1.1\r\nHost: a\r\n\r\n"))
        for client in clients:
            self.assertEqual(client.head()[0], 200)
        return clients

    def test_readers_who_do_not_read_stop_nobody(self):
        """They hold what they hold; others get their downloads and uploads through in ordinary time."""
        self.start(buffer_mib=128)
        stalled = self.stalled()
        begin = time.monotonic()
        self.assertEqual(self.get("/healthz").status, 200)
        self.assertEqual(sha256_of(self.get(seconds=QUICK_SECONDS).body), sha256_of(DATA))
        with raw(self.server, seconds=QUICK_SECONDS) as client:
            self.assertEqual(client.request("PUT", "/new", DATA).status, 201)
        took = time.monotonic() - begin
        faults.note(f"{took:.2f} s beside {MANY} who do not read")
        self.assertLess(took, QUICK_SECONDS)
        for client in stalled[:5]:  # and those who go on get the rest
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
            self.assertEqual(sha256_of(client.take(SIZE)), sha256_of(DATA))
        for client in stalled:
            client.close()
        self.assert_nothing_is_held()

    @unittest.skipIf(dialects.IS_H2, "a stream of HTTP/2 holds what its window keeps back")
    def test_who_does_not_read_holds_no_buffer(self):
        """So there is no line of those who want one: each is served, and nobody is given up for another."""
        self.start(buffer_mib=4)
        stalled = self.stalled()
        for client in stalled[::20]:
            self.assertEqual(sha256_of(client.take(SIZE)), sha256_of(DATA))
        for number, client in enumerate(stalled):
            if number % 20 != 0:
                self.assertEqual(client.take(1), DATA[:1])
            client.close()
        self.assert_nothing_is_held()


faults.on_each_engine(globals(), Downloads)

if __name__ == "__main__":
    unittest.main()
