"""The IETF draft of resumable uploads as its clients speak it, in each version that is known."""

import pathlib
import re
import unittest

from support import ORIGIN, Sluice, content, digest_field, etag_of, raw, sha256_of

KIB, MIB = 1 << 10, 1 << 20
VERSIONS = (8, 7, 6, 5, 3)
NONE = None  # a client of what is to be the RFC: it names no version
DATA = content(300 * KIB + 17)
PARTIAL = "application/partial-upload"
PROBLEM = "https://iana.org/assignments/http-problem-types#"
MISMATCHING, INCONSISTENT = PROBLEM + "mismatching-upload-offset", PROBLEM + "inconsistent-upload-length"
COMPLETED = PROBLEM + "completed-upload"
NO_XATTR = [str(pathlib.Path(__file__).with_name("no_xattr.py"))]
LINES = {"draft": "Upload-Draft-Interop-Version", "offset": "Upload-Offset", "length": "Upload-Length",
         "type": "Content-Type"}


def complete_line(version, is_complete):
    """Version 3 said the opposite, by another name."""
    if version == 3:
        return "Upload-Incomplete: " + ("?0" if is_complete else "?1")
    return "Upload-Complete: " + ("?1" if is_complete else "?0")


def lines_of(version, complete=None, offset=None, length=None, kind=None, more=()):
    told = {"draft": version, "offset": offset, "length": length, "type": kind}
    lines = [f"{LINES[name]}: {value}" for name, value in told.items() if value is not None]
    return [*lines, *([] if complete is None else [complete_line(version, complete)]), *more]


def is_complete(version, headers):
    """What an answer says of completeness, in the words of `version` and in no others; None: nothing."""
    ours, others = "upload-complete", "upload-incomplete"
    if version == 3:
        ours, others = others, ours
    assert others not in headers, headers
    said = headers.get(ours)
    assert said in (None, "?0", "?1"), headers
    return None if said is None else (said == "?1") != (version == 3)


def parse_limits(headers):
    return {key: int(value) for key, value in (pair.split("=") for pair in headers["upload-limit"].split(", "))}


class Exchange:
    """A request on a connection of its own; what came before its answer is in `interims`."""

    def __init__(self, server, method, target, lines=(), size=0, is_chunked=False):
        self.method, self.is_chunked, self.interims = method, is_chunked, []
        self.client = raw(server)
        head = [f"{method} {target} HTTP/1.1", "Host: wire.test", *lines]
        if is_chunked:
            head.append("Transfer-Encoding: chunked")
        elif size or method in ("PUT", "POST", "PATCH"):
            head.append(f"Content-Length: {size}")
        self.client.send("\r\n".join(head).encode() + b"\r\n\r\n")

    def send(self, data):
        if self.is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        self.client.send(data)
        return self

    def end(self):
        if self.is_chunked:
            self.client.send(b"0\r\n\r\n")
        return self

    def next(self):
        """An interim answer, or the final one."""
        answer = self.client.answer(self.method)
        if answer.status < 200:
            self.interims.append(answer)
        return answer

    def interim(self):
        answer = self.next()
        assert answer.status == 104, answer
        return answer

    def answer(self):
        """The final answer, with what came before it."""
        while (answer := self.next()).status < 200:
            pass
        answer.interims = self.interims
        self.close()
        return answer

    def close(self):
        self.client.close()


class Case(unittest.TestCase):
    options = {"durability": "none"}

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(**cls.options))
        cls.count = 0

    def name(self):
        """A new one."""
        type(self).count += 1
        return f"file-{self.count}"

    def ask(self, method, target, lines=(), body=b"", is_chunked=False):
        exchange = Exchange(self.server, method, target, lines, len(body), is_chunked)
        return exchange.send(body).end().answer()

    def target(self, answer):
        """Of the upload that an answer's Location tells of."""
        url = answer.headers["location"]
        self.assertTrue(re.fullmatch(re.escape(ORIGIN) + r"/uploads/[a-z2-7]{26}", url), url)
        return url.removeprefix(ORIGIN)

    def create(self, version=8, body=b"", complete=False, name=None, more=(), **told):
        """PUT. The answer, and the target of the upload."""
        lines = lines_of(version, complete, more=more, **told)
        answer = self.ask("PUT", f"/files/{name or self.name()}", lines, body)
        self.assertEqual(answer.status, 201, answer)
        return answer, self.target(answer)

    def append(self, target, offset, body=b"", complete=True, version=8, kind=PARTIAL, more=(), is_chunked=False,
               **told):
        lines = lines_of(version, complete, offset, kind=kind, more=more, **told)
        return self.ask("PATCH", target, lines, body, is_chunked)

    def append_slowly(self, target, offset, size, is_chunked=False):
        """An append that the server has begun to wait for the body of."""
        lines = lines_of(8, True, offset, kind=PARTIAL, more=["Expect: 100-continue"])
        exchange = Exchange(self.server, "PATCH", target, lines, size, is_chunked)
        self.assertEqual(exchange.next().status, 100)
        return exchange

    def head(self, target, version=8):
        answer = self.ask("HEAD", target, lines_of(version))
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        return answer.headers

    def assert_gone(self, target):
        """At once: who asks waits for whoever still has it."""
        for method in ("HEAD", "GET"):
            for version in (8, NONE):
                answer = self.ask(method, target, lines_of(version))
                self.assertEqual(answer.status, 404, answer)
                self.assertEqual(answer.headers["cache-control"], "no-store")
                self.assertNotIn("upload-offset", answer.headers)
        self.assertNotIn(target.rpartition("/")[2], self.server.kept())

    def offset(self, target):
        return int(self.head(target)["upload-offset"])

    def problem(self, answer, status, code, kind=None):
        self.assertEqual((answer.status, answer.code), (status, code), answer)
        said = answer.json()
        self.assertEqual(said["status"], status)
        if kind is not None:
            self.assertEqual(said["type"], kind)
        return said

    def assert_final(self, answer, version, name, data, status=201):
        """The answer that an ordinary PUT would have had, and what is stored."""
        url = f"{ORIGIN}/files/{name}"
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(is_complete(version, answer.headers), True, answer)
        self.assertEqual(answer.headers["upload-offset"], str(len(data)))
        self.assertEqual((answer.headers["location"], answer.headers["content-location"]), (url, url))
        self.assertEqual((answer.headers["etag"], answer.body), (etag_of(data), url.encode() + b"\n"))
        self.assertEqual(answer.headers["repr-digest"], digest_field(data, "sha-256"))
        self.assert_stored(name, data)

    def assert_stored(self, name, data):
        self.assertEqual(self.server.path(name).read_bytes(), data)
        answer = self.ask("GET", f"/files/{name}")
        self.assertEqual((answer.status, sha256_of(answer.body)), (200, sha256_of(data)))
        self.assertEqual(answer.headers["repr-digest"], digest_field(data, "sha-256"))
