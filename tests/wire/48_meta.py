"""What is known of a file beside its bytes, however it came; all of it outlives the server; and none of it is told of
bytes that somebody changed by hand."""

import datetime
import os
import pathlib
import tempfile
import time
import unittest

import faults
from support import (Sluice, base64_of, content, curl, digest, etag_of, listed, parse_digest_field, path_of, quoted,
                     raw, wait_until)

NO_XATTR = [str(pathlib.Path(__file__).with_name("no_xattr.py"))]
CLOCK_REALTIME_COARSE = 5  # of which file systems take their times
UNICODE = "Grüße – 写真 🎉.txt"
UNICODE_PERCENT = "Gr%C3%BC%C3%9Fe%20%E2%80%93%20%E5%86%99%E7%9C%9F%20%F0%9F%8E%89.txt"
DATA = content(100_000)


def without_changing(headers):
    return {name: value for name, value in headers.items() if name not in ("date", "x-request-id", "connection")}


class Restart(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Sluice(digest="sha-256,md5", durability="none"))

    def entry(self, path):
        found = [entry for entry in listed(self.server, prefix=path) if entry["name"] == path]
        self.assertEqual(len(found), 1, path)
        return {**found[0], "url": None}  # the port changes

    def get(self, path, method="GET"):
        with raw(self.server) as client:
            answer = client.request(method, quoted(path))
            self.assertEqual(answer.status, 200)
            return answer

    def restart(self):
        self.server.stop()
        self.server.start()

    def check_kept(self, path):
        """Everything is the same before and after; returns (headers, entry)."""
        before, entry = without_changing(self.get(path).headers), self.entry(path)
        self.restart()
        after = self.get(path)
        self.assertEqual(without_changing(after.headers), before)
        self.assertEqual(without_changing(self.get(path, "HEAD").headers), before)
        self.assertEqual(self.entry(path), entry)
        self.assertEqual(after.body, DATA)
        return before, entry

    def test_a_put_with_everything(self):
        begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        with raw(self.server) as client:
            receipt = client.request("PUT", "/a/b", DATA, [
                "Accept: application/json", "Content-Type: text/x-anything; charset=utf-8", "X-Request-Id: the-id-1",
                f"Content-Disposition: attachment; filename=\"plain\"; filename*=UTF-8''{UNICODE_PERCENT}"])
        headers, entry = self.check_kept("a/b")
        self.assertEqual(headers["content-type"], "text/x-anything; charset=utf-8")
        self.assertRegex(headers["content-disposition"], r"\Aattachment; filename=")
        self.assertIn(f"filename*=UTF-8''{UNICODE_PERCENT}", headers["content-disposition"])
        self.assertEqual((headers["etag"], receipt.headers["etag"]), (etag_of(DATA), etag_of(DATA)))
        digests = {name: base64_of(digest(name, DATA)) for name in ("sha-256", "md5")}
        self.assertEqual((parse_digest_field(headers["repr-digest"]), entry["digest"]), (digests, digests))
        self.assertEqual((entry["filename"], entry["request-id"]), (UNICODE, "the-id-1"))
        self.assertEqual((entry["type"], entry["size"]), (headers["content-type"], len(DATA)))
        self.assertEqual(f'"{entry["etag"]}"', headers["etag"])
        created = datetime.datetime.fromisoformat(entry["created"])
        self.assertTrue(begin <= created <= datetime.datetime.now(datetime.timezone.utc), created)

    def test_a_form_with_fields(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(DATA)
            file.flush()
            answer = curl("-F", f"photo=@{file.name};filename={UNICODE};type=image/png", "-F", "tag=a", "-F", "tag=b",
                          "-F", "comment=Grüße\nline two", "-H", "X-Request-Id: form-1", f"{self.server.url}/files/")
        receipt = answer.json()
        self.assertEqual(answer.headers["etag"], etag_of(DATA))
        headers, entry = self.check_kept(path_of(receipt["url"]))
        self.assertEqual(headers["content-type"], "image/png")
        self.assertRegex(headers["content-disposition"], r"\Ainline; filename=")
        self.assertIn(f"filename*=UTF-8''{UNICODE_PERCENT}", headers["content-disposition"])
        self.assertEqual((entry["filename"], entry["type"], entry["request-id"]), (UNICODE, "image/png", "form-1"))
        self.assertEqual(entry["fields"], {"tag": ["a", "b"], "comment": ["Grüße\nline two"]})
        self.assertEqual(receipt["fields"], entry["fields"])
        self.assertEqual(entry["created"], receipt["created"])
        self.assertNotEqual(receipt.get("fields_stored"), False)

    def test_a_post_by_name(self):
        with raw(self.server) as client:
            answer = client.request("POST", "/files/?name=dir/p.csv", DATA, ["Content-Type: text/csv"])
        headers, entry = self.check_kept(path_of(answer.headers["location"]))
        self.assertEqual((headers["content-type"], entry["filename"]), ("text/csv", answer.json()["name"]))

    def test_a_plain_put(self):
        with raw(self.server) as client:
            client.request("PUT", "/plain", DATA)
        headers, entry = self.check_kept("plain")
        self.assertEqual((headers["content-type"], headers["etag"]), ("application/octet-stream", etag_of(DATA)))
        self.assertEqual({"fields", "request-id"} & set(entry), set())

    def test_fields_that_are_too_long_to_be_kept(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(DATA)
            file.flush()
            answer = curl("-F", f"f=@{file.name};type=image/png", "-F", f"long={'x' * 4000}", f"{self.server.url}/")
        receipt = answer.json()
        self.assertIs(receipt["fields_stored"], False)
        self.assertEqual(receipt["fields"], {"long": ["x" * 4000]})
        headers, entry = self.check_kept(path_of(receipt["url"]))
        self.assertEqual((headers["content-type"], "fields" in entry), ("image/png", False))

    def test_an_overwritten_file_has_its_own(self):
        self.server = self.enterContext(Sluice(conflict="overwrite", durability="none"))
        with raw(self.server) as client:
            client.request("PUT", "/o", b"old", ["Content-Type: text/html", "X-Request-Id: old",
                                                 "Content-Disposition: attachment; filename=old"])
            self.assertEqual(client.request("PUT", "/o", DATA, ["Content-Type: image/gif"]).status, 200)
        headers, entry = self.check_kept("o")
        self.assertEqual((headers["content-type"], headers["etag"]), ("image/gif", etag_of(DATA)))
        self.assertNotIn("old", headers["content-disposition"])
        self.assertNotIn("request-id", entry)


class Types(unittest.TestCase):
    def test_the_senders_else_the_names_else_none(self):
        with Sluice(durability="none") as server, raw(server) as client:
            for number, (name, sent, told) in enumerate((
                    ("a.txt", None, "text/plain"), ("a.jpg", None, "image/jpeg"), ("a.JPG", None, "image/jpeg"),
                    ("a.tar.gz", None, None), ("a.unheard", None, "application/octet-stream"),
                    ("a", None, "application/octet-stream"), ("a.txt", "image/png", "image/png"),
                    ("a.png", "application/x-www-form-urlencoded", "image/png"),
                    ("a.png", "application/octet-stream", "image/png"), ("a.png", "nonsense", "image/png"),
                    ("a.png", "text/plain;charset", None), ("a.png", "", "image/png"),
                    ("a.bin", "Text/Plain; charset=utf-8", "Text/Plain; charset=utf-8"))):
                with self.subTest(name, sent=sent):
                    lines = [] if sent is None else [f"Content-Type: {sent}"]
                    stored = client.request("PUT", f"/{number}/{name}", b"x", lines)
                    self.assertEqual(stored.status, 201, stored)
                    kind = client.request("GET", f"/files/{number}/{name}").headers["content-type"]
                    if told is not None:
                        self.assertEqual(kind, told)


class ByHand(unittest.TestCase):
    """Files that came or changed beside the server."""

    def check(self, server, change):
        """`change` is done to an uploaded file: it has another ETag then, and no digest is told."""
        with raw(server) as client:
            client.request("DELETE", "/files/a.txt")
            client.request("PUT", "/a.txt", DATA, ["Content-Type: image/png"])
            before = client.request("GET", "/files/a.txt").headers["etag"]
            named = time.clock_gettime(CLOCK_REALTIME_COARSE)
            wait_until(lambda: time.clock_gettime(CLOCK_REALTIME_COARSE) > named, "the file system's clock")
            change(server.path("a.txt"))
            answer = client.request("GET", "/files/a.txt")
            self.assertEqual(answer.body, server.path("a.txt").read_bytes())
            self.assertNotEqual(answer.headers["etag"], before)
            self.assertRegex(answer.headers["etag"], r'\A"[^"]+"\Z')
            self.assertNotIn("repr-digest", answer.headers)
            [entry] = listed(server)
            self.assertEqual((f'"{entry["etag"]}"', entry.get("digest", {})), (answer.headers["etag"], {}))
            self.assertEqual(client.request("GET", "/files/a.txt", headers=[f"If-None-Match: {before}"]).status, 200)
            again = client.request("HEAD", "/files/a.txt").headers["etag"]
            self.assertEqual(again, answer.headers["etag"])
            self.assertEqual(client.request("DELETE", "/files/a.txt", headers=[f"If-Match: {before}"]).status, 412)
            self.assertEqual(client.request("DELETE", "/files/a.txt", headers=[f"If-Match: {again}"]).status, 204)

    def test_changed(self):
        def write_in_place(path):
            with open(path, "r+b") as file:
                file.write(b"changed")

        def append(path):
            with open(path, "ab") as file:
                file.write(b"more")

        def replace(path):
            other = path.with_name("other")
            other.write_bytes(b"another file")
            other.rename(path)

        def restore(path):  # as `cp -p` and `rsync --inplace -t` do with an older file
            path.write_bytes(content(len(DATA), seed=2))
            os.utime(path, (1_600_000_000, 1_600_000_000))

        for engine in faults.ENGINES:
            with Sluice(engine=engine, durability="none") as server:
                for change in (write_in_place, append, replace, restore):
                    with self.subTest(engine, change=change.__name__):
                        self.check(server, change)

    def test_came(self):
        with Sluice(durability="none") as server, raw(server) as client:
            server.path("by-hand.png").write_bytes(DATA)
            answer = client.request("GET", "/files/by-hand.png")
            self.assertEqual((answer.body, answer.headers["content-type"]), (DATA, "image/png"))
            self.assertEqual(client.request("GET", "/files/by-hand.png", headers=[
                f"If-None-Match: {answer.headers['etag']}"]).status, 304)
            [entry] = listed(server)
            self.assertEqual({"created", "filename", "request-id", "fields"} & set(entry), set())

    def test_attributes_that_are_not_ours_are_ignored(self):
        with Sluice(durability="none") as server, raw(server) as client:
            for number, value in enumerate((b"", b"\0", b"\1", b"\2\1\1\0x", b"\1\1\xff\xff", b"\1" + bytes(3000),
                                            b"junk", bytes(range(256)), b"\1" + b"\1\0\0" * 900,
                                            b"\1" + b"\7\1\0x" * 500)):
                with self.subTest(value[:8]):
                    path = server.path(f"{number}.png")
                    path.write_bytes(DATA)
                    os.setxattr(path, "user.sluice", value)
                    answer = client.request("GET", f"/files/{number}.png")
                    self.assertEqual((answer.status, answer.body), (200, DATA))
                    self.assertRegex(answer.headers["etag"], r'\A"[^"]+"\Z')
            self.assertEqual(len(listed(server)), 10)


class NoAttributes(unittest.TestCase):
    def test_a_word_at_start_and_files_all_the_same(self):
        for engine in faults.ENGINES:
            with self.subTest(engine), Sluice(engine=engine, wrapper=NO_XATTR) as server, raw(server) as client:
                self.assertIn("extended attributes", "\n".join([*server.banner, *server.log]))
                stored = client.request("PUT", "/a.png", DATA, ["Content-Type: text/html"])
                self.assertEqual(stored.status, 201)
                answer = client.request("GET", "/files/a.png")
                self.assertEqual((answer.body, answer.headers["content-type"]), (DATA, "image/png"))
                self.assertEqual(stored.headers["etag"], answer.headers["etag"])
                self.assertNotIn("repr-digest", answer.headers)
                conditions = [f"If-None-Match: {answer.headers['etag']}"]
                self.assertEqual(client.request("GET", "/files/a.png", headers=conditions).status, 304)


if __name__ == "__main__":
    unittest.main()
