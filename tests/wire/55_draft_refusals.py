"""The IETF draft: what is refused, said again, or in the way of others."""

import os
import unittest

from draft import (COMPLETED, Case, DATA, Exchange, INCONSISTENT, MISMATCHING, NONE, NO_XATTR, PARTIAL, VERSIONS,
                   is_complete, lines_of)
from support import ORIGIN, Sluice, etag_of, sha256_of


class Refused(Case):
    """An append that does not fit leaves the upload as it was."""

    def setUp(self):
        self.file = self.name()
        _, self.upload = self.create(8, DATA[:1000], name=self.file, length=len(DATA))

    def assert_unchanged(self, target=None, offset=1000):
        self.assertEqual(self.offset(target or self.upload), offset)

    def assert_goes_on(self):
        self.assert_unchanged()
        self.assert_final(self.append(self.upload, 1000, DATA[1000:]), 8, self.file, DATA)

    def test_offset(self):
        for version in (*VERSIONS, NONE):
            for offset in (0, 999, 1001, len(DATA), 10**15 - 1):
                with self.subTest(version=version, offset=offset):
                    answer = self.append(self.upload, offset, DATA[offset:offset + 9], False, version)
                    said = self.problem(answer, 409, "offset-mismatch", MISMATCHING)
                    self.assertEqual((said["expected-offset"], said["provided-offset"]), (1000, offset))
                    self.assertEqual(answer.headers["upload-offset"], "1000")
                    self.assertEqual(is_complete(version, answer.headers), False)
                    self.assert_unchanged()
        self.assert_goes_on()

    def test_offset_is_told_before_the_body(self):
        exchange = Exchange(self.server, "PATCH", self.upload, lines_of(8, True, 5, kind=PARTIAL), len(DATA) - 5)
        self.problem(exchange.answer(), 409, "offset-mismatch", MISMATCHING)
        self.assert_goes_on()

    def test_lengths_that_contradict(self):
        size = len(DATA)
        for words, complete, body, told, is_chunked in (
                ("less than was told", True, DATA[1000:-1], {}, False),
                ("another length", False, b"x", {"length": size - 1}, False),
                ("another length, last", True, DATA[1000:], {"length": size + 1}, False),
                ("less than is there", False, b"", {"length": 999}, False),
                ("less, in chunks", True, DATA[1000:-1], {}, True),
                ("nothing", True, b"", {}, False)):
            with self.subTest(words):
                name = self.name()
                _, target = self.create(8, DATA[:1000], name=name, length=size)
                answer = self.append(target, 1000, body, complete, is_chunked=is_chunked, **told)
                self.problem(answer, 400, "inconsistent-length", INCONSISTENT)
                self.assertEqual(is_complete(8, answer.headers), False)
                self.assertFalse(self.server.path(name).exists())
                self.assert_unchanged(target)
        self.assert_goes_on()

    def test_lengths_that_contradict_at_creation(self):
        for words, complete, body, length in (("more", True, DATA, len(DATA) + 1), ("less", True, DATA, 9),
                                              ("too much", False, DATA, 9), ("none", True, b"", 9)):
            with self.subTest(words):
                name, before = self.name(), self.server.kept()
                answer = self.ask("PUT", f"/files/{name}", lines_of(8, complete, length=length), body)
                self.problem(answer, 400, "inconsistent-length", INCONSISTENT)
                self.assertEqual((answer.interims, self.server.kept()), ([], before))
                self.assertFalse(self.server.path(name).exists())

    def test_what_is_no_number_is_nothing(self):
        for value in ("-1", "1000.0", "\"1000\"", "abc", "", "1e3", "1000, 1000", "1" * 16):
            with self.subTest(value):
                lines = lines_of(8, True, value, kind=PARTIAL)
                self.problem(self.ask("PATCH", self.upload, lines, DATA[1000:]), 400, "bad-field")
                self.assert_unchanged()
                name = self.name()
                answer = self.ask("PUT", f"/files/{name}", lines_of(8, True, length=value), DATA)
                self.assert_final(answer, 8, name, DATA)
        self.assert_goes_on()

    def test_what_an_append_must_say(self):
        for version in VERSIONS:
            for words, lines in (("nothing", lines_of(version, kind=PARTIAL)),
                                 ("no offset", lines_of(version, True, kind=PARTIAL)),
                                 ("not whether it ends", lines_of(version, offset=1000, kind=PARTIAL))):
                if version == 3 and words == "not whether it ends":
                    continue  # the next test
                with self.subTest(version=version, words=words):
                    self.problem(self.ask("PATCH", self.upload, lines, DATA[1000:]), 400, "bad-field")
                    self.assert_unchanged()

    def test_the_last_of_version_3_says_nothing(self):
        """It demands Upload-Incomplete only while more follows."""
        answer = self.ask("PATCH", self.upload, lines_of(3, offset=1000, kind=PARTIAL), DATA[1000:])
        self.assert_final(answer, 3, self.file, DATA)

    def test_media_type(self):
        for version in (*VERSIONS, NONE):
            for kind in (None, "application/octet-stream", "application/partial-uploads",
                         "application/partial-upload;a=b", "Application/Partial-Upload"):
                is_right = version in (3, 5) or (kind or "").lower().split(";")[0] == PARTIAL
                with self.subTest(version=version, kind=kind):
                    _, target = self.create(8)
                    answer = self.append(target, 0, b"x", False, version, kind=kind)
                    if is_right:
                        self.assertIn(answer.status, (201, 204))
                    else:
                        self.problem(answer, 415, "patch-type")
                        self.assertIn(PARTIAL, answer.headers["accept-patch"].split(", "))
                    self.assert_unchanged(target, int(is_right))

    def test_what_is_complete(self):
        name = self.name()
        _, target = self.create(8, name=name)
        self.append(target, 0, DATA)
        size = len(DATA)
        for version in (*VERSIONS, NONE):
            with self.subTest(version=version):
                answer = self.append(target, size, b"more", version=version)
                kind = COMPLETED if version in (6, 7) else INCONSISTENT
                self.problem(answer, 400, "inconsistent-length", kind)
                self.assertEqual(is_complete(version, answer.headers), False)
                answer = self.append(target, 10, DATA[10:], version=version)
                self.problem(answer, 409, "offset-mismatch", MISMATCHING)
                self.assertEqual(answer.headers["upload-offset"], str(size))
        self.assert_stored(name, DATA)


class Replay(Case):
    """The last answer was lost: an empty append brings it again."""

    def test_put(self):
        for version in (*VERSIONS, NONE):
            with self.subTest(version=version):
                name = self.name()
                _, target = self.create(version, DATA[:9], name=name)
                first = self.append(target, 9, DATA[9:], version=version)
                self.assert_final(first, version, name, DATA)
                again = self.append(target, len(DATA), version=version)
                self.assert_final(again, version, name, DATA)
                self.assertEqual(again.body, first.body)
                as_json = self.append(target, len(DATA), version=version, more=["Accept: application/json"]).json()
                self.assertEqual((as_json["size"], as_json["sha256"]), (len(DATA), sha256_of(DATA)))

    def test_post(self):
        exchange = Exchange(self.server, "POST", "/files/?name=c.txt", lines_of(8, True), len(DATA))
        target = self.target(exchange.interim())
        first = exchange.send(DATA).answer()
        again = self.append(target, len(DATA))
        self.assertEqual((again.status, again.headers["location"]), (201, first.headers["location"]))
        self.assertEqual([file["url"] for file in again.json()["files"]], [first.json()["url"]])
        self.assertNotIn(target.rpartition("/")[2], first.json()["url"])  # whose name is known may not drop it
        self.assertEqual(again.json()["name"], "c.txt")

    def test_after_a_new_start(self):
        with Sluice(durability="none") as server:
            self.server = server
            name = self.name()
            _, target = self.create(8, name=name)
            self.append(target, 0, DATA)
            server.stop()
            server.start()
            self.assert_final(self.append(target, len(DATA)), 8, name, DATA)


class Conflicts(Case):
    """What the name says, told before the body where it can be, and again at the end."""

    def test_before_the_body(self):
        name = self.name()
        self.ask("PUT", f"/files/{name}", [], b"old")
        for version in (*VERSIONS, NONE):
            for complete in (True, False):
                for status, code, more in ((409, "exists", []), (412, "precondition-failed", ["If-None-Match: *"])):
                    with self.subTest(version=version, complete=complete, code=code):
                        before = self.server.kept()
                        exchange = Exchange(self.server, "PUT", f"/files/{name}",
                                            lines_of(version, complete, more=more), len(DATA))
                        answer = exchange.answer()  # not a byte of the body was sent
                        self.problem(answer, status, code)
                        self.assertEqual(answer.interims, [])
                        self.assertNotIn("location", answer.headers)
                        self.assertEqual(answer.headers["etag"], etag_of(b"old"))
                        self.assertEqual(is_complete(version, answer.headers), complete)
                        self.assertEqual(self.server.kept(), before)
        self.assertEqual(self.server.path(name).read_bytes(), b"old")

    def test_empty_creation(self):
        name = self.name()
        self.ask("PUT", f"/files/{name}", [], b"old")
        answer = self.ask("PUT", f"/files/{name}", lines_of(8, False))
        self.problem(answer, 409, "exists")
        answer = self.ask("PUT", f"/files/{name}", lines_of(8, False, more=["If-None-Match: *"]))
        self.problem(answer, 412, "precondition-failed")
        self.assertEqual(self.ask("PUT", f"/files/{name}/below", lines_of(8, False)).code, "not-a-directory")

    def test_a_name_that_is_taken_meanwhile(self):
        name = self.name()
        _, target = self.create(8, DATA[:10], name=name)
        self.ask("PUT", f"/files/{name}", [], b"first")
        answer = self.append(target, 10, DATA[10:])
        self.problem(answer, 409, "exists")
        self.assertEqual(is_complete(8, answer.headers), True)  # all came; there is nothing to be resumed
        self.assertNotIn("upload-offset", answer.headers)
        self.assert_gone(target)
        self.assertEqual(self.server.path(name).read_bytes(), b"first")

    def test_a_name_that_is_taken_while_it_comes(self):
        name = self.name()
        exchange = Exchange(self.server, "PUT", f"/files/{name}", lines_of(8, True), len(DATA))
        target = self.target(exchange.interim())
        self.ask("PUT", f"/files/{name}", [], b"first")
        answer = exchange.send(DATA).answer()
        self.problem(answer, 409, "exists")
        self.assertEqual(is_complete(8, answer.headers), True)
        self.assert_gone(target)

    def test_a_folder_that_is_a_file_meanwhile(self):
        name = self.name()
        _, target = self.create(8, DATA[:10], name=f"{name}/below")
        self.ask("PUT", f"/files/{name}", [], b"first")
        answer = self.append(target, 10, DATA[10:])
        self.problem(answer, 409, "not-a-directory")
        self.assertEqual(is_complete(8, answer.headers), True)
        self.assert_gone(target)

    def test_a_name_that_is_taken_is_no_matter_yet(self):
        """A piece is taken all the same: the name may be free again at the end."""
        name = self.name()
        _, target = self.create(8, DATA[:10], name=name)
        self.ask("PUT", f"/files/{name}", [], b"first")
        self.assertEqual(self.append(target, 10, DATA[10:20], False).status, 204)
        self.ask("DELETE", f"/files/{name}")
        self.assert_final(self.append(target, 20, DATA[20:]), 8, name, DATA)

    def test_another_name(self):
        name = self.name()
        self.ask("PUT", f"/files/{name}", [], b"old")
        answer = self.ask("PUT", f"/files/{name}?conflict=rename", lines_of(8, False))
        target = self.target(answer)
        answer = self.append(target, 0, DATA)
        self.assertEqual(answer.headers["location"], f"{ORIGIN}/files/{name}-1")
        self.assertEqual(self.server.path(f"{name}-1").read_bytes(), DATA)
        self.assertEqual(self.head(target)["content-location"], f"{ORIGIN}/files/{name}-1")
        self.assertEqual(self.server.path(name).read_bytes(), b"old")

    def test_overwrite(self):
        answer = self.ask("PUT", f"/files/{self.name()}?conflict=overwrite", lines_of(8, False))
        self.problem(answer, 403, "conflict-not-allowed")
        with Sluice(durability="none", conflict="overwrite") as server:
            self.server = server
            name = self.name()
            self.ask("PUT", f"/files/{name}", [], b"old")
            _, target = self.create(8, DATA[:10], name=name)
            self.assertEqual(self.server.path(name).read_bytes(), b"old")
            self.assert_final(self.append(target, 10, DATA[10:]), 8, name, DATA, 200)

    def test_names_that_are_none(self):
        for target in ("/files/a//b", "/files/..", "/files/%00"):
            self.problem(self.ask("PUT", target, lines_of(8, True), b"x"), 400, "bad-path")
        self.assertEqual(self.ask("PUT", "/uploads/mine", lines_of(8, True), b"x").status, 405)


class Conditions(Case):
    """What a creation asks of its name holds until it has it, over any number of requests."""

    options = {"durability": "none", "conflict": "overwrite"}

    def put(self, name, data):
        self.assertIn(self.ask("PUT", f"/files/{name}", [], data).status, (200, 201))

    def begin(self, name, condition, version=8):
        return self.create(version, DATA[:10], name=name, more=[condition])[1]

    def assert_failed(self, answer, name, stored, version=8):
        self.problem(answer, 412, "precondition-failed")
        self.assertEqual(is_complete(version, answer.headers), True)
        self.assertEqual(answer.headers["etag"], etag_of(stored))
        self.assertEqual(self.server.path(name).read_bytes(), stored)

    def test_none_is_there(self):
        for version in (*VERSIONS, NONE):
            with self.subTest(version=version):
                name = self.name()
                target = self.begin(name, "If-None-Match: *", version)
                self.put(name, b"somebody's")
                answer = self.append(target, 10, DATA[10:], version=version)
                self.assert_failed(answer, name, b"somebody's", version)
                self.assert_gone(target)
                name = self.name()
                target = self.begin(name, "If-None-Match: *", version)
                self.assert_final(self.append(target, 10, DATA[10:], version=version), version, name, DATA)

    def test_it_is_the_same(self):
        for condition in (f"If-Match: \"other\", {etag_of(b'v1')}", "If-Match: *"):
            with self.subTest(condition):
                name = self.name()
                self.put(name, b"v1")
                target = self.begin(name, condition)
                self.assert_final(self.append(target, 10, DATA[10:]), 8, name, DATA, 200)

    def test_it_is_another(self):
        name = self.name()
        self.put(name, b"v1")
        target = self.begin(name, f"If-Match: {etag_of(b'v1')}")
        self.put(name, b"v2")
        self.assert_failed(self.append(target, 10, DATA[10:]), name, b"v2")
        self.assert_gone(target)

    def test_it_is_gone(self):
        name = self.name()
        self.put(name, b"v1")
        target = self.begin(name, "If-Match: *")
        self.ask("DELETE", f"/files/{name}")
        self.problem(self.append(target, 10, DATA[10:]), 412, "precondition-failed")
        self.assertFalse(self.server.path(name).exists())

    def test_it_is_as_old(self):
        for is_newer in (False, True):
            with self.subTest(is_newer=is_newer):
                name = self.name()
                self.put(name, b"v1")
                os.utime(self.server.path(name), (10**9, 10**9))
                target = self.begin(name, "If-Unmodified-Since: Mon, 10 Sep 2001 00:00:00 GMT")
                if is_newer:
                    self.put(name, b"v2")
                answer = self.append(target, 10, DATA[10:])
                if is_newer:
                    self.assert_failed(answer, name, b"v2")
                else:
                    self.assert_final(answer, 8, name, DATA, 200)

    def test_what_is_told_before_the_end(self):
        """The announced one, and one that a new process goes on with."""
        with Sluice(**self.options) as server:
            self.server = server
            for ends_by in ("cut", "kill"):
                with self.subTest(ends_by):
                    name = self.name()
                    exchange = Exchange(server, "PUT", f"/files/{name}", lines_of(8, True, more=["If-None-Match: *"]),
                                        len(DATA))
                    target = self.target(exchange.interim())
                    if ends_by == "kill":
                        server.kill()
                        server.start()
                    exchange.close()
                    self.put(name, b"somebody's")
                    answer = self.append(target, self.offset(target), DATA)
                    self.assert_failed(answer, name, b"somebody's")

    def test_too_long_to_be_kept(self):
        tags = ", ".join(f"\"{i:020}\"" for i in range(150))
        before = self.server.kept()
        answer = self.ask("PUT", f"/files/{self.name()}", lines_of(8, False, more=[f"If-None-Match: {tags}"]), b"x")
        self.assertEqual(answer.status, 431, answer)
        self.assertEqual(self.server.kept(), before)


class NoAttributes(unittest.TestCase):
    """Where a file system cannot keep what is to be known of an upload."""

    def test_whole_ones_are_ordinary(self):
        with Sluice(durability="none", wrapper=NO_XATTR) as server:
            answer = Exchange(server, "PUT", "/files/a", lines_of(8, True), len(DATA)).send(DATA).answer()
            self.assertEqual((answer.status, answer.interims), (201, []))
            self.assertNotIn("upload-complete", answer.headers)
            self.assertEqual(server.path("a").read_bytes(), DATA)
            answer = Exchange(server, "PUT", "/files/b", lines_of(8, False), 10).answer()
            self.assertEqual((answer.status, answer.code), (500, "unsupported"))
            answer = Exchange(server, "OPTIONS", "/files/").answer()
            self.assertNotIn("upload-limit", answer.headers)
            self.assertNotIn("accept-patch", answer.headers)
            self.assertEqual(server.kept(), [])


if __name__ == "__main__":
    unittest.main()
