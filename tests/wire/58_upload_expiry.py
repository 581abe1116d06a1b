"""What becomes of uploads that nobody finishes: they expire and give everything back, they are counted and limited, and
`sluice uploads` lists them."""

import datetime
import email.utils
import json
import os
import pathlib
import subprocess
import time
import unittest

import faults
import support
import tus
from support import Sluice, content, run_program, wait_until
from tus import Tus

KIB = 1 << 10
MANY = 300 if faults.is_sanitized() else 2000
SOON_SECONDS = 10 if faults.is_sanitized() else 5  # an answer while many others go
WAIT_SECONDS = 60


def expires_of(answer):
    """Upload-Expires in seconds since 1970."""
    return email.utils.parsedate_to_datetime(answer.headers["upload-expires"]).timestamp()


def listed(root, *words):
    """What `sluice uploads --json` tells, by id."""
    done = run_program("uploads", "--root", str(root), "--json", *words)
    assert done.returncode == 0, done
    return {one["id"]: one for one in json.loads(done.stdout)}


def lines_of(root):
    done = run_program("uploads", "--root", str(root))
    assert done.returncode == 0, done
    return done.stdout.splitlines()


def deleted_files(server):
    """Open files of the program that have no name any more."""
    names = []
    for fd in pathlib.Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            names.append(os.readlink(fd))
        except FileNotFoundError:
            pass
    return [name for name in names if name.endswith("(deleted)") and str(server.root) in name]


class Expiry(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Sluice(upload_expiry=1, durability="none", loops=2))
        self.client = self.enterContext(Tus(self.server, seconds=WAIT_SECONDS))

    def wait_gone(self, *targets):
        ids = {tus.id_of(target) for target in targets}
        wait_until(lambda: not ids & set(self.server.kept()), "expired uploads are gone", WAIT_SECONDS)

    def test_abandoned_uploads_go_with_all_they_held(self):
        targets = [self.client.made(1 << 20) for _ in range(5)]
        for at, target in enumerate(targets):
            self.client.patch(target, 0, content(100 * KIB + at))
        targets.append(self.client.made(tus.DEFERRED))
        self.wait_gone(*targets)
        for target in targets:
            self.assertEqual(self.client.head(target).status, 404)
            self.assertEqual(self.client.patch(target, 0, b"x").code, "no-upload")
        wait_until(lambda: not deleted_files(self.server), "their files are closed")
        self.assertEqual(self.server.stored(), [])

    def test_every_answer_tells_when(self):
        with Sluice(upload_expiry=100, durability="none") as server, Tus(server) as client:
            before = int(time.time())
            made = client.create(10)
            target = tus.target_of(made.headers["location"])
            answers = [made, client.patch(target, 0, b"12345"), client.patch(target, 0, b"12345"), client.head(target)]
            self.assertEqual([answer.status for answer in answers], [201, 204, 409, 200])
            told = [expires_of(answer) for answer in answers]
        self.assertEqual(told, sorted(told), "it comes nearer")
        self.assertGreaterEqual(told[0], before + 100)
        self.assertLessEqual(told[-1], time.time() + 101)

    def test_finished_one_keeps_its_file(self):
        data = content(50 * KIB)
        made = self.client.create(len(data), "Upload-Metadata: " + tus.metadata(filename="kept.bin"), body=data)
        self.assertEqual(made.headers["upload-offset"], str(len(data)))
        target = tus.target_of(made.headers["location"])
        self.wait_gone(target)
        self.assertEqual(self.client.head(target).status, 404)
        (name,) = self.server.stored()
        self.assertEqual(self.server.path(name).read_bytes(), data)
        self.assertEqual(self.server.path(name).stat().st_nlink, 1)

    @unittest.skipIf(support.dialects.IS_H2, "two requests at once need two connections")
    def test_one_that_is_being_sent_stays(self):
        """The clock is that of others, which expire meanwhile: their whole lives lie within this request."""
        target = self.client.made(1000)
        with support.raw(self.server, seconds=WAIT_SECONDS) as slow:
            slow.send(tus.patch_head(target, 0, 1000) + b"a" * 500)
            for _ in range(2):
                self.wait_gone(self.client.made(7))
            slow.send(b"a" * 500)
            answer = slow.answer("PATCH")
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, "1000"), answer)
        (name,) = self.server.stored()
        self.assertEqual(self.server.path(name).read_bytes(), b"a" * 1000)

    def test_those_of_a_killed_server_go_too(self):
        target = self.client.made(1 << 20)
        self.client.patch(target, 0, content(10 * KIB))
        strange = "abcdefghijklmnopqrstuvwx27"
        (self.server.uploads / strange).write_bytes(b"no state")
        self.client.close()
        self.server.kill()
        self.server.start()
        self.wait_gone(target, "/uploads/" + strange)


class Many(unittest.TestCase):
    def setUp(self):
        """A server that was killed among many uploads, all alike but for their ids."""
        self.server = self.enterContext(Sluice(upload_expiry=3600, durability="none", loops=2))
        with Tus(self.server) as client:
            one = tus.id_of(client.made(1 << 20, body=b"x" * 100))
        self.server.kill()
        state = os.getxattr(self.server.uploads / one, "user.sluice.upload")
        for at in range(MANY):
            name = "".join(chr(ord("a") + at // 26 ** place % 26) for place in range(26))
            (self.server.uploads / name).write_bytes(b"x" * 100)
            os.setxattr(self.server.uploads / name, "user.sluice.upload", state.replace(one.encode(), name.encode()))

    def test_they_go_while_others_are_served(self):
        expiry = self.server.command.index("--upload-expiry") + 1
        self.server.command[expiry] = "1"
        self.server.start()
        slowest, asked = 0, 0
        with support.raw(self.server, seconds=WAIT_SECONDS) as other:
            deadline = time.monotonic() + WAIT_SECONDS
            while self.server.kept():
                self.assertLess(time.monotonic(), deadline, f"{len(self.server.kept())} are left")
                began, asked = time.monotonic(), asked + 1
                answer = other.request("PUT", f"/others/{asked}", b"some bytes")
                slowest = max(slowest, time.monotonic() - began)
                self.assertEqual(answer.status, 201, answer)
        self.assertLess(slowest, SOON_SECONDS)
        wait_until(lambda: not deleted_files(self.server), "their files are closed")


class Limits(unittest.TestCase):
    def serve(self, **options):
        self.server = self.enterContext(Sluice(durability="none", loops=2, **options))
        self.client = self.enterContext(Tus(self.server, seconds=WAIT_SECONDS))

    def refused(self, length, *lines, body=None):
        answer = self.client.create(length, *lines, body=body)
        self.assertEqual((answer.status, answer.code), (503, "too-many-uploads"), answer)
        self.assertNotIn("location", answer.headers)

    def test_places_are_counted_and_come_back(self):
        self.serve(max_uploads=2)
        first, second = self.client.made(10), self.client.made(tus.DEFERRED)
        self.refused(10)
        self.refused(10, body=b"a part")
        self.assertEqual(len(self.server.kept()), 2)
        self.assertEqual(self.client.patch(first, 0, b"go on").status, 204)  # what is there can be gone on with
        self.assertEqual(self.client.delete(second).status, 204)
        third = self.client.made(10)
        self.refused(10)
        self.assertEqual(self.client.patch(first, 5, b"to it").status, 204)  # finished
        fourth = self.client.made(10)
        self.refused(10)
        for target in (third, fourth):
            self.assertEqual(self.client.delete(target).status, 204)
        for _ in range(3):  # done at once takes no place for longer
            self.assertEqual(self.client.create(3, body=b"abc").status, 201)
        self.assertEqual(self.client.made(10) != self.client.made(10), True)

    def test_parts_count_until_they_are_joined(self):
        self.serve(max_uploads=3)
        parts = [self.client.made(3, "Upload-Concat: partial", body=b"abc") for _ in range(2)]
        self.assertEqual(set(listed(self.server.root)), {tus.id_of(part) for part in parts})
        third = self.client.made(10)
        self.refused(10)
        self.assertEqual(self.client.delete(third).status, 204)
        final = "Upload-Concat: final;" + " ".join(parts)
        answer = self.client.create(None, final, "Upload-Metadata: " + tus.metadata(filename="whole"))
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(listed(self.server.root), {})
        for _ in range(3):
            self.client.made(10)
        self.refused(10)

    def test_those_of_a_killed_server_count(self):
        self.serve(max_uploads=3)
        first = self.client.made(10)
        self.client.made(10)
        self.client.create(3, body=b"abc")  # finished
        self.client.close()
        self.server.kill()
        self.server.start()
        self.client.made(10)
        self.refused(10)
        self.assertEqual(self.client.patch(first, 0, b"1234567890").status, 204)
        self.client.made(10)
        self.refused(10)

    def test_expired_ones_count_no_more(self):
        self.serve(max_uploads=1, upload_expiry=1)
        target = self.client.made(10)
        wait_until(lambda: tus.id_of(target) not in self.server.kept(), "it expires", WAIT_SECONDS)
        wait_until(lambda: self.client.create(10).status == 201, "its place is free", WAIT_SECONDS)

    def test_broken_creation_takes_no_place(self):
        """It is given back soon after the answer."""
        self.serve(max_uploads=1)

        def attempt():
            return self.client.create(10, "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", body=b"x").status

        for _ in range(3):
            wait_until(lambda: attempt() == 460, "there is a place", WAIT_SECONDS)
            for target in self.server.kept():  # as far as it was kept at all
                self.assertEqual(self.client.delete("/uploads/" + target).status, 204)
        wait_until(lambda: self.client.create(10).status == 201, "there is a place", WAIT_SECONDS)

    def test_bytes_are_counted_by_length(self):
        self.serve(max_upload_bytes=1000)
        self.refused(1001)
        first = self.client.made(600)
        self.refused(401)
        self.client.made(400)
        self.refused(1)
        self.client.made(0)  # of no bytes, and finished
        self.assertEqual(self.client.delete(first).status, 204)
        self.client.made(600)
        self.refused(1)

    def test_bytes_of_unknown_length_are_counted_as_they_come(self):
        self.serve(max_upload_bytes=1000)
        target = self.client.made(tus.DEFERRED)
        self.client.delete(self.client.made(1000))
        self.assertEqual(self.client.patch(target, 0, b"x" * 600).status, 204)
        self.refused(401)
        self.assertEqual(self.client.patch(target, 600, b"", "Upload-Length: 900").status, 204)
        self.refused(101)
        self.client.delete(self.client.made(100))
        self.assertEqual(self.client.patch(target, 600, b"y" * 300).status, 204)  # finished
        self.client.made(1000)


class Listing(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Sluice(durability="none"))
        self.client = self.enterContext(Tus(self.server))

    def test_tells_what_is_unfinished(self):
        name = "Urlaub \u202e \"1\" \u00fc.jpg"
        whole = tus.id_of(self.client.made(1000, "Upload-Metadata: " + tus.metadata(filename=name), body=b"x" * 300))
        deferred = tus.id_of(self.client.made(tus.DEFERRED))
        part = tus.id_of(self.client.made(50, "Upload-Concat: partial", body=b"x" * 20))
        self.client.create(3, body=b"abc")  # finished
        strange = "abcdefghijklmnopqrstuvwx27"
        (self.server.uploads / strange).write_bytes(b"no state")
        self.assertEqual(len(self.server.kept()), 5)

        def check():
            told = listed(self.server.root, "--upload-expiry", "3600")
            self.assertEqual(set(told), {whole, deferred, part, strange})
            self.assertEqual((told[whole]["offset"], told[whole]["length"], told[whole]["kind"]), (300, 1000, "whole"))
            self.assertEqual((told[deferred]["offset"], told[deferred]["length"]), (0, None))
            self.assertEqual((told[part]["kind"], told[part]["path"]), ("partial", None))
            self.assertEqual((told[strange]["readable"], told[strange]["size_on_disk"]), (False, 8))
            self.assertIn("Urlaub", told[whole]["path"])
            at = {key: datetime.datetime.fromisoformat(told[whole][key]) for key in ("created", "touched", "expires")}
            self.assertLessEqual(at["created"], at["touched"])
            self.assertEqual((at["expires"] - at["touched"]).total_seconds(), 3600)
            now = datetime.datetime.now(datetime.timezone.utc)
            self.assertLess(abs((now - at["touched"]).total_seconds()), 600)

        check()  # while it is served
        self.client.close()
        self.server.stop()
        check()  # and when nobody serves it
        head, *lines = lines_of(self.server.root)
        self.assertEqual(head.split(), ["ID", "OFFSET", "LENGTH", "CREATED", "TOUCHED", "EXPIRES", "FILE"])
        rows = {line.split()[0]: line for line in lines}
        self.assertEqual(set(rows), {whole, deferred, part, strange})
        self.assertEqual(rows[whole].split()[1:3], ["300", "1000"])
        self.assertEqual(rows[deferred].split()[1:3], ["0", "-"])
        self.assertIn("(partial)", rows[part])
        self.assertIn("no readable state", rows[strange])
        self.assertNotIn("\u202e", "".join(lines))  # what would turn a line around

    def test_nothing_is_an_empty_list(self):
        self.assertEqual(listed(self.server.root), {})
        self.assertEqual(len(lines_of(self.server.root)), 1)

    def test_no_root_is_an_error(self):
        for words in ((), ("--json",)):
            done = run_program("uploads", "--root", str(self.server.root / "nowhere"), *words)
            self.assertEqual((done.returncode, done.stdout), (3, ""))
            self.assertIn("--root", done.stderr)
        self.assertFalse((self.server.root / "nowhere").exists())

    def test_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([support.BINARY, "uploads", "--root", str(self.server.root)], stdout=full,
                                  stderr=subprocess.PIPE, timeout=WAIT_SECONDS, env=support.clean_environment())
        self.assertEqual(done.returncode, 3)


if __name__ == "__main__":
    unittest.main()
