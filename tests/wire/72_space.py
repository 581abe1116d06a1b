"""No space, no inodes, no right to write: the client sees 507 or 500 as an answer, not as a reset; what was taken is
given back; and the next upload works once there is room."""

import errno
import itertools
import os
import pathlib
import re
import tempfile
import threading
import unittest

import faults
import support
from support import curl, wait_until

MIB = 1 << 20
ROOM_MIB = 64


def fill_to_the_brim(path, free_bytes):
    with open(path, "wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes - MIB)
        file.seek(0, os.SEEK_END)
        try:
            while True:
                file.write(bytes(1024))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        os.fsync(file.fileno())


class Cases:
    """Each case has a server on a small file system of its own."""

    engine = None
    inodes = None

    def setUp(self):
        self.fs = faults.loop_fs(self, mib=ROOM_MIB, inodes=self.inodes)
        self.server = self.start()
        self.free, self.idle_fds = self.fs.free_bytes(), support.fds(self.server.pid)
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-space-")))
        self.small, self.big = folder / "small", folder / "big"
        self.small.write_bytes(support.content(self.small_bytes))
        with open(self.big, "wb") as file:
            file.truncate(2 * ROOM_MIB * MIB)

    def start(self, min_free=0):
        root = os.path.join(self.fs.path, "root")
        return self.enterContext(support.Sluice(root=root, engine=self.engine, min_free=min_free))

    def ways(self, file, name):
        """Every way to upload `file`, as words for curl."""
        url = f"{self.server.url}/{name}"
        return (["-T", file, url], ["-H", "Expect:", "-T", file, url],
                ["-H", "Transfer-Encoding: chunked", "-T", file, url],
                ["-F", f"file=@{file}", self.server.url + "/files/"])

    def put(self, name):
        return curl("-T", self.small, f"{self.server.url}/{name}")

    def assert_problem(self, answer, status, code):
        self.assertEqual((answer.status, answer.code), (status, code), answer)
        self.assertEqual(answer.exit_code, 0, answer)

    def assert_put(self, name):
        answer = self.put(name)
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(support.sha256(self.server.path(name)), support.sha256(self.small))

    def assert_works_again(self):
        """All that a refused upload took is free, and the next one succeeds at once."""
        wait_until(lambda: self.fs.free_bytes() >= self.free, f"{self.free} bytes free, as before")
        wait_until(lambda: support.fds(self.server.pid) == self.idle_fds, f"{self.idle_fds} descriptors, as before")
        self.assertEqual(self.server.stored(), [], "something became visible")
        self.assert_put("next")


class NoSpace(Cases):
    small_bytes = 3 * MIB + 1

    def test_too_long_gets_507(self):
        for words in self.ways(self.big, "big"):
            self.assert_problem(curl(*words), 507, "no-space")
        self.assert_works_again()

    def test_known_length_gets_507_before_the_body(self):
        with support.raw(self.server) as client:
            client.send(f"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: {self.free + 1}\r\n".encode())
            answer = client.send(b"Expect: 100-continue\r\n\r\n").answer()
            self.assert_problem(answer, 507, "no-space")
        self.assert_works_again()

    def test_form_whose_second_file_is_too_long_shows_none(self):
        answer = curl("-F", f"file=@{self.small}", "-F", f"file=@{self.big}", self.server.url + "/files/")
        self.assert_problem(answer, 507, "no-space")
        self.assert_works_again()

    def test_disk_filled_to_the_brim_works_again_after_a_file_is_removed(self):
        names = [f"fill-{i}" for i in range(ROOM_MIB)]
        stored = list(itertools.takewhile(lambda name: self.put(name).status == 201, names))
        self.assertGreater(len(stored) * self.small_bytes, ROOM_MIB * MIB // 2)
        for words in self.ways(self.small, "one-more"):
            self.assert_problem(curl(*words), 507, "no-space")
        self.assertEqual(self.server.stored(), sorted(stored))
        os.unlink(self.server.path(stored[0]))
        self.assert_put("one-more")

    def test_space_taken_by_somebody_else_gets_507(self):
        """The server believes in room until it asks for it: what it opened meanwhile must be given back."""
        other = os.path.join(self.fs.path, "other")
        for _ in range(3):
            with open(other, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.fs.free_bytes() - MIB)
            self.assert_problem(self.put("a"), 507, "no-space")
            os.unlink(other)
        self.assert_works_again()

    def test_started_on_a_full_disk_it_knows_its_files_as_before(self):
        """A probe that finds no room says nothing about what the file system can keep."""
        url = "/files/typed"
        stored = curl("-H", "Content-Type: text/x-mine", "-T", self.small, self.server.url + url)
        self.assertEqual(stored.status, 201, stored)
        self.server.stop()
        fill = pathlib.Path(self.fs.path, "fill")
        fill_to_the_brim(fill, self.fs.free_bytes())
        self.server.start()
        for is_full in True, False:
            told = curl("-I", self.server.url + url)
            self.assertEqual((told.headers["etag"], told.headers["content-type"]),
                             (stored.headers["etag"], "text/x-mine"), f"full: {is_full}")
            if is_full:
                self.assert_problem(self.put("more"), 507, "no-space")
                fill.unlink()
        self.assert_put("more")

    def test_space_taken_by_a_broken_upload_can_be_had_at_once(self):
        """Free bytes are looked up once a second; who comes sooner must not suffer from what was true before."""
        length = self.free * 3 // 4
        for _ in range(3):
            with support.raw(self.server) as client:
                client.send(f"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n".encode())
                answer = client.send(b"Expect: 100-continue\r\n\r\n").answer()
                self.assertEqual(answer.status, 100, answer)
                client.send(b"a part of it").reset()
            wait_until(lambda: self.fs.free_bytes() >= self.free, "space given back")
        self.assert_works_again()


class MinFree(Cases):
    small_bytes = 3 * MIB + 1

    def start(self):
        return super().start(min_free="40Mi")

    def test_it_is_kept(self):
        self.big.write_bytes(b"x" * (ROOM_MIB - 40) * MIB)
        self.assert_problem(curl("-T", self.big, self.server.url + "/big"), 507, "no-space")
        self.assert_works_again()

    def test_it_is_kept_by_those_who_do_not_tell_how_much_comes(self):
        self.big.write_bytes(b"x" * (ROOM_MIB - 40) * MIB)
        for words in self.ways(self.big, "big")[2:]:
            with self.subTest(words[:2]):
                least = self.least_free_during(lambda: self.assert_problem(curl(*words), 507, "no-space"))
                self.assertGreater(least, 39 * MIB)  # but for what the file system takes for itself
        self.assert_works_again()

    def test_buffers_of_what_is_refused_come_back(self):
        """Files of a form, which came in a buffer for short bodies, on a disk where one more is one too many. That all
        buffers are back the server asserts as it leaves."""
        two = []
        for name in "one", "two":
            path = self.small.with_name(name)
            path.write_bytes(support.content(10_000))
            two += ["-F", f"f=@{path}"]
        self.fill_up_to(40 * MIB + 4096)
        wait_until(lambda: self.told_free() < 41 * MIB, "the server has looked")
        for _ in range(3):
            self.assert_problem(curl("-H", "Expect: 100-continue", *two, self.server.url), 507, "no-space")
        self.server.stop()

    def told_free(self):
        page = curl(self.server.url + "/metrics").text
        return float(re.search(r"^sluice_disk_free_bytes (\S+)$", page, re.MULTILINE)[1])

    def fill_up_to(self, left):
        with open(os.path.join(self.fs.path, "other"), "wb") as file:
            for _ in range(100):
                more = self.fs.free_bytes() - left
                if more <= 0:
                    return
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more)
        self.fail(f"{self.fs.free_bytes()} bytes are free")

    def least_free_during(self, act):
        least, is_over = [self.fs.free_bytes()], threading.Event()

        def look():
            while not is_over.wait(0.002):
                least.append(self.fs.free_bytes())

        looker = threading.Thread(target=look)
        looker.start()
        try:
            act()
        finally:
            is_over.set()
            looker.join()
        return min(least)


class NoInodes(Cases):
    inodes = 64
    small_bytes = 70_000

    def leave(self, count):
        """Takes inodes away until `count` are left."""
        for number in range(self.fs.free_inodes() - count):
            self.server.path(f"hold-{number}").touch()
        self.assertEqual(self.fs.free_inodes(), count)

    def test_no_inode_for_a_file_gets_507_until_one_is_free(self):
        self.leave(0)
        for words in self.ways(self.small, "file"):
            self.assert_problem(curl(*words), 507, "no-space")
        self.server.path("hold-0").unlink()
        self.assert_put("file")

    def test_no_inode_for_a_folder_gets_507_and_the_files_own_back(self):
        self.leave(1)
        self.free = self.fs.free_bytes()
        self.assert_problem(self.put("new/folder/file"), 507, "no-space")
        wait_until(lambda: self.fs.free_inodes() == 1 and self.fs.free_bytes() >= self.free, "inode and space back")
        self.server.path("hold-0").unlink()
        self.server.path("hold-1").unlink()
        self.assert_put("new/folder/file")


class BadDisk(Cases):
    small_bytes = 3 * MIB + 1

    def assert_lives_and_refuses(self, code):
        for words in (*self.ways(self.small, "file"), *self.ways(self.small, "new/folder/file")):
            self.assert_problem(curl(*words), 500, code)
        self.assertEqual(curl(self.server.url + "/healthz").status, 200)

    def test_read_only_gets_500_until_it_is_writable(self):
        self.fs.remount("ro")
        self.assert_lives_and_refuses("read-only")
        self.fs.remount("rw")
        self.assert_works_again()

    def test_disk_that_fails_gets_500_and_the_server_lives(self):
        self.assert_put("before")
        self.fs.cut_power()
        self.assert_lives_and_refuses("io-error")


faults.on_each_engine(globals(), NoSpace, MinFree, NoInodes, BadDisk)

if __name__ == "__main__":
    unittest.main()
