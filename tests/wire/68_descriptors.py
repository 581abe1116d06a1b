"""Descriptors: how many there are is known and told at the start, none of their uses takes those of another, and a
process that is really out of them serves again as soon as there is one."""

import contextlib
import pathlib
import re
import resource
import unittest

import faults
from support import Sluice, content, fds, raw, sha256_of, wait_until

LIMITED = ["prlimit", "--nofile=214"]  # 64 for a loop, 150 for what it serves
PLACES = 50
SIZE = 200_000  # of an upload: that of one below 128 KiB is made with its first piece


def stalled(server, name):
    return raw(server).send(b"PUT /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nx" % (name.encode(), SIZE))


class Told(unittest.TestCase):
    def test_the_start_says_what_is_too_few_and_the_cure(self):
        with Sluice(wrapper=LIMITED, loops=1, max_connections=1000) as server:
            words = server.said("descriptors")
            self.assertRegex(words, r"\A214 are enough for 90 of the 1000 connections of .*, and 45 uploads at once; "
                                    r"raise .* to 3064 ")

    def test_and_nothing_where_there_are_enough(self):
        with Sluice(wrapper=LIMITED, loops=1, max_connections=50) as server:
            self.assertRaises(AssertionError, server.said, "descriptors")

    def test_the_kernel_has_room_for_them_before_anybody_comes(self):
        """To make it while threads run takes tens of milliseconds, each time that it is doubled."""
        with Sluice(wrapper=["prlimit", "--nofile=5000"], loops=1, max_connections=1000) as server:
            status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
            self.assertGreaterEqual(int(re.search(r"^FDSize:\s*(\d+)", status, re.MULTILINE)[1]), 3064)


class Reserve:
    engine = None

    def test_uploads_leave_some_to_downloads_and_to_each_others_ends(self):
        """Four times as many clients as may be connected: the others wait."""
        data = content(100_000)
        with (Sluice(wrapper=LIMITED, loops=1, engine=self.engine, max_connections=PLACES) as server,
              contextlib.ExitStack() as clients):
            before = fds(server.pid)
            reader = clients.enter_context(raw(server))
            self.assertEqual(reader.request("PUT", "/folder/file", data).status, 201)
            slow = [clients.enter_context(stalled(server, f"f/{number}")) for number in range(4 * PLACES)]
            wait_until(lambda: fds(server.pid) >= before + 2 * (PLACES - 1) + 1, "those who may are being written")
            for _ in range(30):
                answer = reader.request("GET", "/files/folder/file")
                self.assertEqual((answer.status, sha256_of(answer.body)), (200, sha256_of(data)))
                self.assertEqual(reader.request("GET", "/files/").status, 200)
            for client in slow:
                client.send(bytes(SIZE - 1))
            for client in slow:
                self.assertEqual(client.answer().status, 201)
                client.close()


class Exhausted:
    """The limit is taken from under the running process: from then on the kernel itself says EMFILE."""

    engine = None

    def test_it_recovers(self):
        data = content(300_000)
        with (Sluice(engine=self.engine, loops=1) as server, contextlib.ExitStack() as clients):
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/a", data).status, 201)
            open_before = [clients.enter_context(raw(server)) for _ in range(3)]
            for client in open_before:
                self.assertEqual(client.request("GET", "/healthz").status, 200)
            limit = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
            with self.subTest("what needs a descriptor is refused, and the connection lives"):
                upload, download, page = open_before
                answer = upload.request("PUT", "/b", data)
                self.assertEqual((answer.status, answer.code), (503, "too-many-files"), answer)
                answer = download.request("GET", "/files/a")
                self.assertEqual((answer.status, answer.code), (503, "too-many-files"), answer)
                self.assertIn("retry-after", answer.headers)
                self.assertEqual(page.request("GET", "/healthz").status, 200)
                waiting = clients.enter_context(raw(server, seconds=0.5))
                waiting.send(b"GET /files/a HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertRaises(TimeoutError, waiting.answer)
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limit)
            waiting.socket.settimeout(20)
            self.assertEqual(waiting.answer().body, data)
            self.assertEqual(download.request("GET", "/files/a").body, data)
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/b", data).status, 201)
            self.assertEqual(server.stored(), ["a", "b"])
            self.assertEqual(server.temp_files(), [])


faults.on_each_engine(globals(), Reserve, Exhausted)

if __name__ == "__main__":
    unittest.main()
