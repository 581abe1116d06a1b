"""A stored file as curl, scripts and browsers ask for it: whole, in parts, if it changed, only if it did not."""

import email.utils
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import dialects
from support import (Sluice, base64_of, content, curl, curl_command, digest, etag_of, parse_digest_field, path_of, raw,
                     sha256_of)

DAY = 86_400
SIZE = 1_000_003
DATA = content(SIZE)
ETAG = etag_of(DATA)
MODIFIED = 1_600_000_000  # long ago: a second is all that a date can tell apart
OTHER = '"another"'


def date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


def parts_of(answer):
    """A 206 taken apart: [(first, last, bytes)], each byte of the body accounted for."""
    kind = answer.headers["content-type"]
    if not kind.startswith("multipart/byteranges"):
        first, last, size = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers["content-range"]).groups())
        assert size == SIZE and len(answer.body) == last - first + 1, answer
        return [(first, last, answer.body)]
    assert "content-range" not in answer.headers, answer
    delimiter = b"\r\n--" + re.fullmatch(r'multipart/byteranges; ?boundary="?([^";]{1,70})"?', kind)[1].encode()
    rest, parts = answer.body if answer.body.startswith(b"\r\n") else b"\r\n" + answer.body, []
    while rest.startswith(delimiter + b"\r\n"):
        head, _, rest = rest[len(delimiter) + 2:].partition(b"\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n"))
        assert headers["content-type"] == "application/octet-stream", head
        first, last, size = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers["content-range"]).groups())
        assert size == SIZE and len(rest) > last - first, head
        parts.append((first, last, rest[:last - first + 1]))
        rest = rest[last - first + 1:]
    assert rest in (delimiter + b"--\r\n", delimiter + b"--"), rest[:100]
    return parts


class Case(unittest.TestCase):
    """A server with the file "there", and "old", whose date says something; both hold DATA."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none", digest="sha-256,sha-512,md5"))
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="sluice-wire-")))
        cls.url = cls.server.url + "/files/there"
        with raw(cls.server) as client:
            cls.receipt = client.request("PUT", "/there", DATA, ["Accept: application/json"])
            client.request("PUT", "/old", DATA)
            os.utime(cls.server.path("old"), (MODIFIED, MODIFIED))
            cls.old = client.request("HEAD", "/files/old").headers["etag"]

    def ask(self, *headers, method="GET", target="/files/there"):
        with raw(self.server) as client:
            return client.request(method, target, headers=headers)

    def sample(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path


class Typed(Case):
    """What people type, and what they get back."""

    def assert_stored(self, answer, path, data):
        self.assertEqual((answer.status, answer.exit_code), (201, 0), answer)
        self.assertEqual(answer.headers["location"], f"{self.server.url}/files/{path}")
        self.assertEqual(answer.headers["etag"], etag_of(data))
        self.assertEqual(curl(answer.headers["location"]).body, data)

    def test_uploads_that_answer_with_a_line(self):
        one, url = self.sample("one.bin", content(70_000)), self.server.url
        data = one.read_bytes()
        for words, path, stdin in ((["-T", one, f"{url}/"], "one.bin", None),
                                   (["-T", one, f"{url}/files/a/"], "a/one.bin", None),
                                   (["-T", one, f"{url}/b/c.tar"], "b/c.tar", None),
                                   (["-T", "-", f"{url}/stdin"], "stdin", data),
                                   (["-T", ".", f"{url}/dot"], "dot", data),
                                   (["-X", "PUT", "--data-binary", f"@{one}", f"{url}/data"], "data", None)):
            with self.subTest(words):
                answer = curl(*words, data=stdin)
                self.assert_stored(answer, path, data)
                self.assertEqual(answer.text, answer.headers["location"] + "\n")

    def test_uploads_that_answer_with_json(self):
        one, two, url = self.sample("1.txt", b"one"), self.sample("2.txt", content(3000)), self.server.url
        json_please = ["-H", "Accept: application/json"]
        for words, path, data in (([*json_please, "-T", one, f"{url}/j/"], "j/1.txt", b"one"),
                                  (["-F", f"file=@{one}", f"{url}/"], None, b"one"),
                                  (["--data-binary", f"@{two}", "-H", "Content-Type: a/b", f"{url}/?name=n"], None,
                                   two.read_bytes()),
                                  (["--data-binary", f"@{two}", f"{url}/files/?name=curls-own-type"], None,
                                   two.read_bytes())):
            with self.subTest(words):
                answer = curl(*words)
                told = answer.json()
                self.assert_stored(answer, path or path_of(told["url"]), data)
                self.assertEqual((told["size"], told["sha256"]), (len(data), sha256_of(data)))
                self.assertEqual(told["digest"]["md5"], base64_of(digest("md5", data)))
        many = curl(*(f"-Ffile{number}=@{file}" for number in range(20) for file in (one, two)), f"{url}/")
        self.assertEqual((many.status, len(many.json()["files"])), (201, 40))
        lines = curl("-H", "Accept: text/plain", "-F", f"a=@{one}", "-F", f"b=@{two}", f"{url}/")
        self.assertEqual([curl(line).body for line in lines.text.splitlines()], [b"one", two.read_bytes()])

    def test_parts(self):
        for words, ranges in ((["-r", "0-99"], [(0, 99)]), (["-r", "500-"], [(500, SIZE - 1)]),
                              (["-r", "-7"], [(SIZE - 7, SIZE - 1)]), (["-r", "65535-65536"], [(65_535, 65_536)]),
                              (["-r", f"{SIZE - 1}-"], [(SIZE - 1, SIZE - 1)]), (["-r", "-2000000"], [(0, SIZE - 1)]),
                              (["-r", "0-0,-1,300-400"], [(0, 0), (SIZE - 1, SIZE - 1), (300, 400)])):
            with self.subTest(words):
                answer = curl(*words, self.url)
                self.assertEqual((answer.status, answer.exit_code), (206, 0), answer)
                self.assertEqual(parts_of(answer), [(a, b, DATA[a:b + 1]) for a, b in ranges])
                self.assertEqual(answer.headers["etag"], ETAG)

    def test_only_if_newer_or_older(self):
        newer, older = self.sample("newer", b"x"), self.sample("older", b"x")
        os.utime(older, (MODIFIED - DAY, MODIFIED - DAY))
        for words, status in ((["-z", newer], 304), (["-z", older], 200), (["-z", date(MODIFIED)], 304),
                              (["-z", date(MODIFIED - 1)], 200), (["-z", "-" + date(MODIFIED - 1)], 412),
                              (["-z", "-" + date(MODIFIED)], 200)):
            with self.subTest(words):
                answer = curl(*words, self.server.url + "/files/old")
                self.assertEqual((answer.status, answer.exit_code), (status, 0), answer)
                if status == 304:
                    self.assertEqual((answer.body, answer.headers["etag"]), (b"", self.old))

    def test_a_download_that_broke_off_goes_on_where_it_was(self):
        part = self.folder / "part"
        with open(part, "wb") as file:  # the pipe breaks; curl ends
            subprocess.run(f"{shlex.join(curl_command())} {self.url} | head -c 400001", shell=True, stdout=file,
                           stderr=subprocess.DEVNULL, check=True)
        self.assertEqual(part.stat().st_size, 400_001)
        answer = curl("-C", "-", self.url, output=part)
        self.assertEqual((answer.status, answer.exit_code), (206, 0), answer)
        self.assertEqual(sha256_of(part.read_bytes()), sha256_of(DATA))

    def test_a_head_is_all_but_the_body(self):
        head, get = curl("-I", self.url), curl(self.url)
        for answer in (head, get):
            self.assertEqual(answer.status, 200)
            answer.headers.pop("x-request-id")
            answer.headers.pop("date", None)
        self.assertEqual(head.headers, get.headers)
        self.assertEqual((get.body, get.headers["content-length"]), (DATA, str(SIZE)))
        self.assertEqual(get.headers["accept-ranges"], "bytes")
        self.assertEqual(get.headers["last-modified"], date(self.server.path("there").stat().st_mtime))
        self.assertEqual(get.headers["etag"], ETAG)
        self.assertEqual(self.receipt.headers["etag"], get.headers["etag"])
        ranged = curl("-I", "-r", "0-5", self.url)  # RFC 9110 section 14.2: a range is for GET alone
        self.assertEqual((ranged.status, ranged.headers["content-length"]), (200, str(SIZE)))


class Ranges(Case):
    def test_close_ones_become_one_and_the_order_stays(self):
        for value, ranges in (("0-9,10-19", [(0, 19)]), ("5-9,0-6", [(0, 9)]), ("900-999,0-9", [(900, 999), (0, 9)]),
                              ("0-9,2000000-", [(0, 9)]), (" 0-9 , 20-29", [(0, 9), (20, 29)]),
                              ("0-18446744073709551616", [(0, SIZE - 1)]), ("0-9,,20-29", [(0, 9), (20, 29)]),
                              (",".join(f"{at}-{at}" for at in range(0, 64, 4)), [(at, at) for at in range(0, 64, 4)])):
            with self.subTest(value):
                answer = self.ask(f"Range: bytes={value}")
                self.assertEqual(answer.status, 206, answer)
                self.assertEqual(parts_of(answer), [(a, b, DATA[a:b + 1]) for a, b in ranges])

    def test_what_is_no_range_is_ignored(self):
        for value in ("bytes=", "bytes=abc", "bytes=9-5", "bytes=-", "bytes 0-5", "lines=0-5", "bytes=0-5,x",
                      "bytes=0x0-5", "bytes=0-5-9", "0-5", "bytes=+0-5"):
            with self.subTest(value):
                answer = self.ask(f"Range: {value}")
                self.assertEqual((answer.status, answer.body), (200, DATA))

    def test_ranges_behind_the_end_are_416(self):
        for value in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", f"bytes=99999999999-,{SIZE + 1}-"):
            with self.subTest(value):
                answer = self.ask(f"Range: {value}")
                self.assertEqual((answer.status, answer.code), (416, "range-not-satisfiable"))
                self.assertEqual(answer.headers["content-range"], f"bytes */{SIZE}")

    def test_range_bombs_are_416(self):
        for value in (",".join(["0-"] * 3), ",".join(f"{at}-{at}" for at in range(0, 68, 4)),
                      ",".join(["0-"] * 2000), ",".join(f"{at}-" for at in range(1000)),
                      ",".join(f"-{at}" for at in range(1, 1500))):
            with self.subTest(value[:30]):
                answer = self.ask(f"Range: bytes={value}")
                self.assertEqual((answer.status, answer.code), (416, "too-many-ranges"))

    def test_an_empty_file_has_no_bytes_to_ask_for(self):
        with raw(self.server) as client:
            self.assertEqual(client.request("PUT", "/empty").status, 201)
            answer = client.request("GET", "/files/empty", headers=["Range: bytes=0-"])
            self.assertEqual((answer.status, answer.headers["content-range"]), (416, "bytes */0"))
            self.assertIn(client.request("GET", "/files/empty", headers=["Range: bytes=-5"]).status, (200, 416))
            answer = client.request("GET", "/files/empty")
            self.assertEqual((answer.status, answer.body, answer.headers["etag"]), (200, b"", etag_of(b"")))

    def test_if_range(self):
        for value, status in ((self.old, 206), (OTHER, 200), (f"W/{self.old}", 200), (date(MODIFIED), 206),
                              (date(MODIFIED + 1), 200), (date(MODIFIED - 1), 200), ("garbage", 200)):
            with self.subTest(value):
                answer = self.ask("Range: bytes=5-9", f"If-Range: {value}", target="/files/old")
                self.assertEqual((answer.status, answer.body), (status, DATA[5:10] if status == 206 else DATA))
        self.assertEqual(self.ask(f"Range: bytes={SIZE}-", f"If-Range: {OTHER}").status, 200)


class Conditions(Case):
    def test_conditions_of_reads(self):
        old, asctime = self.old, "Sun Sep 13 12:26:40 2020"  # MODIFIED
        table = (
            (304, f"If-None-Match: {old}"), (304, "If-None-Match: *"), (304, f"If-None-Match: W/{old}"),
            (304, f"If-None-Match: {OTHER}, {old}"), (200, f"If-None-Match: {OTHER}"), (200, "If-None-Match: garbage"),
            (304, f"If-None-Match: {OTHER}", f"If-None-Match: {old}"),
            (200, f"If-Match: {old}"), (200, "If-Match: *"), (200, f"If-Match: {OTHER}, {old}"),
            (412, f"If-Match: {OTHER}"), (412, f"If-Match: W/{old}"), (412, "If-Match: garbage"),
            (304, f"If-Modified-Since: {date(MODIFIED)}"), (304, f"If-Modified-Since: {date(MODIFIED + DAY)}"),
            (200, f"If-Modified-Since: {date(MODIFIED - 1)}"), (200, "If-Modified-Since: garbage"),
            (304, f"If-Modified-Since: {asctime}"), (304, "If-Modified-Since: Sunday, 13-Sep-20 12:26:40 GMT"),
            (200, f"If-None-Match: {OTHER}", f"If-Modified-Since: {date(MODIFIED)}"),
            (200, f"If-Unmodified-Since: {date(MODIFIED)}"), (412, f"If-Unmodified-Since: {date(MODIFIED - 1)}"),
            (200, "If-Unmodified-Since: garbage"), (200, f"If-Match: {old}", f"If-Unmodified-Since: {date(0)}"),
            (412, f"If-Match: {OTHER}", f"If-None-Match: {old}"), (304, f"If-Match: {old}", f"If-None-Match: {old}"),
            (304, "Range: bytes=0-4", f"If-None-Match: {old}"), (412, "Range: bytes=0-4", f"If-Match: {OTHER}"),
        )
        for status, *headers in table:
            for method in ("GET", "HEAD"):
                with self.subTest(headers, method=method):
                    answer = self.ask(*headers, method=method, target="/files/old")
                    self.assertEqual(answer.status, status)
                    self.assertEqual(answer.headers["etag"], old)
                    if method == "GET" and status == 412:
                        self.assertEqual(answer.code, "precondition-failed")

    def test_what_is_not_there_is_404_whatever_is_asked(self):
        for header in (f"If-Match: {ETAG}", "If-None-Match: *", "Range: bytes=0-", f"If-Modified-Since: {date(0)}"):
            with self.subTest(header):
                answer = self.ask(header, target="/files/nothing")
                self.assertEqual((answer.status, answer.code), (404, "not-found"))

    def test_digests_as_they_are_wanted(self):
        everything = {"sha-256", "sha-512", "md5"}
        for want, told in ((None, everything), ("sha-512=10", {"sha-512"}), ("sha-256=1, md5=5", {"md5"}),
                           ("sha-256=5, md5=5", {"sha-256", "md5"}), ("sha-256=10, sha-512=0", {"sha-256"}),
                           ("sha-3=10", everything), ("sha-512=0", {"sha-256", "md5"}), ("!!", everything),
                           ("sha-256=0, sha-512=0, md5=0", set()), ("sha-256=11", everything)):
            for headers in ((), ("Range: bytes=5-9",)):
                with self.subTest(want, headers=headers):
                    answer = self.ask(*headers, *([] if want is None else [f"Want-Repr-Digest: {want}"]))
                    digests = parse_digest_field(answer.headers.get("repr-digest", ""))
                    self.assertEqual(set(digests), told)
                    for name, value in digests.items():  # of the whole, also beside a part
                        self.assertEqual(value, base64_of(digest(name, DATA)))

    @dialects.only("h1", "h1-tls")
    def test_http_1_0(self):
        for headers, status, body in (("", 200, DATA), ("Range: bytes=5-9\r\n", 206, DATA[5:10]),
                                      (f"If-None-Match: {ETAG}\r\n", 304, b"")):
            with self.subTest(headers), raw(self.server) as client:
                answer = client.send(f"GET /files/there HTTP/1.0\r\n{headers}\r\n".encode()).answer()
                self.assertEqual((answer.status, answer.body), (status, body))
                self.assertNotIn("transfer-encoding", answer.headers)
                self.assertTrue(client.is_closed_clean())
        with raw(self.server) as client:
            client.send(b"GET /files/there HTTP/1.0\r\nRange: bytes=0-4,10-14\r\n\r\n")
            self.assertEqual(parts_of(client.answer()), [(0, 4, DATA[:5]), (10, 14, DATA[10:15])])


if __name__ == "__main__":
    unittest.main()
