"""tus 1.0.0 as a client speaks it, over the dialect of the run. What holds for all answers is looked at in each."""

import email.utils
import re
import time
import urllib.parse

import h2frames
import support

VERSION = "1.0.0"
PATCH_TYPE = "application/offset+octet-stream"
DEFERRED = "deferred"  # a length that is told later
ALGORITHMS = {"sha1": "sha", "sha256": "sha-256", "sha512": "sha-512", "md5": "md5", "crc32": "crc32",
              "crc32c": "crc32c"}  # as tus names them, as support.digest does
EXTENSIONS = {"creation", "creation-with-upload", "creation-defer-length", "expiration", "checksum",
              "checksum-trailer", "termination", "concatenation", "concatenation-unfinished"}
BROKEN = (OSError, EOFError, h2frames.Closed)  # of a connection: no answer came


def target_of(url):
    """The path of an upload's URL."""
    target = urllib.parse.urlsplit(url).path
    assert re.fullmatch(r"/uploads/" + support.UPLOAD_ID.pattern, target), f"not the URL of an upload: {url}"
    return target


def id_of(target):
    return target.removeprefix("/uploads/")


def checksum(algorithm, data):
    """The value of Upload-Checksum."""
    return f"{algorithm} {support.base64_of(support.digest(ALGORITHMS[algorithm], data))}"


def metadata(**pairs):
    """The value of Upload-Metadata."""
    return ",".join(f"{key} {support.base64_of(value.encode())}" for key, value in pairs.items())


def length_lines(length):
    if length is None:
        return []
    return ["Upload-Defer-Length: 1"] if length is DEFERRED else [f"Upload-Length: {length}"]


def chunked(pieces, trailers=()):
    """A body in chunks, and what follows it."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return body + b"0\r\n" + b"".join(line.encode() + b"\r\n" for line in trailers) + b"\r\n"


def patch_head(target, offset, length, *lines):
    """The head of a PATCH with `length` bytes, None: in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join((f"PATCH {target} HTTP/1.1", "Host: wire.test", f"Tus-Resumable: {VERSION}",
                        f"Content-Type: {PATCH_TYPE}", f"Upload-Offset: {offset}", framing, *lines, "", "")).encode()


class Tus:
    """A client with one connection, which is opened again where it was closed. A context manager.

    server: a Sluice, or what stands between us and one and has its address."""

    def __init__(self, server, seconds=support.ANSWER_SECONDS):
        self.server, self.seconds, self.raw = server, seconds, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.raw is not None:
            self.raw.close()
            self.raw = None

    def connection(self):
        if self.raw is None:
            self.raw = support.raw(self.server, seconds=self.seconds)
        return self.raw

    def say(self, head_and_body, method, is_ours=True):
        """Sends it and gives the final answer. Raises one of BROKEN when none comes."""
        try:
            raw = self.connection()
            try:
                raw.send(head_and_body)
            except ConnectionError:
                if support.dialects.IS_H2:
                    raise
            # an answer may have come before all was sent
            answer = raw.answer(method)
            while answer.status < 200:
                answer = raw.answer(method)
        except BROKEN:
            self.close()
            raise
        if answer.headers.get("connection") == "close":
            self.close()
        return self.judged(answer, method) if is_ours else answer

    @staticmethod
    def judged(answer, method):
        """What the protocol says of every answer."""
        headers = answer.headers
        assert method == "OPTIONS" or headers.get("tus-resumable") == VERSION, f"no Tus-Resumable: {answer}"
        assert "tus-version" in headers if answer.status == 412 else True, answer
        if answer.status in (404, 410):
            assert "upload-offset" not in headers, f"an offset of nothing: {answer}"
        if "upload-expires" in headers:
            expires = email.utils.parsedate_to_datetime(headers["upload-expires"])
            assert expires.timestamp() > time.time() - 2, answer
            assert headers["upload-expires"].endswith(" GMT"), answer
        return answer

    def ask(self, method, target, *lines, body=None, version=VERSION, is_ours=None):
        """Any request."""
        words = [f"{method} {target} HTTP/1.1", "Host: wire.test", *lines]
        words += [f"Tus-Resumable: {version}"] if version else []
        words += [f"Content-Length: {len(body)}"] if body is not None else []
        said = "\r\n".join(words).encode() + b"\r\n\r\n" + (body or b"")
        return self.say(said, method, version is not None if is_ours is None else is_ours)

    def create(self, length, *lines, body=None, target="/files/"):
        lines = [*length_lines(length), *lines]
        if body is not None:
            lines.append(f"Content-Type: {PATCH_TYPE}")
        return self.ask("POST", target, *lines, body=body or b"")

    def made(self, length, *lines, body=None):
        """The target of a new upload."""
        answer = self.create(length, *lines, body=body)
        assert answer.status == 201, answer
        return target_of(answer.headers["location"])

    def patch(self, target, offset, body, *lines, kind=PATCH_TYPE):
        lines = [*lines, *([f"Content-Type: {kind}"] if kind else [])]
        lines += [] if offset is None else [f"Upload-Offset: {offset}"]
        return self.ask("PATCH", target, *lines, body=body)

    def patch_chunked(self, target, offset, pieces, *lines, trailers=()):
        return self.say(patch_head(target, offset, None, *lines) + chunked(pieces, trailers), "PATCH")

    def head(self, target):
        return self.ask("HEAD", target)

    def offset(self, target):
        answer = self.head(target)
        assert answer.status in (200, 204), answer
        assert answer.headers["cache-control"] == "no-store", answer
        return int(answer.headers["upload-offset"])

    def delete(self, target):
        return self.ask("DELETE", target)


def assert_file(case, server, answer, data):
    """`answer` tells where the finished file is; it is there, whole, under that name, with the right digest. Its path
    below files/."""
    case.assertIn("content-location", answer.headers, answer)
    path = support.path_of(answer.headers["content-location"])
    case.assertEqual(support.sha256(server.path(path)), support.sha256_of(data), f"{path} holds something else")
    with support.raw(server, seconds=60) as client:
        got = client.request("HEAD", support.quoted(path))
        case.assertEqual((got.status, got.headers["content-length"]), (200, str(len(data))), got)
        digests = support.parse_digest_field(got.headers["repr-digest"])
        case.assertEqual(digests["sha-256"], support.base64_of(support.digest("sha-256", data)))
        case.assertEqual(answer.headers["etag"], got.headers["etag"])
    return path
