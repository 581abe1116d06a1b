"""Digests the sender tells, by every header in use, on every way in: right ones are stored, of all others nothing is,
and the sender learns both digests."""

import itertools
import os
import tempfile
import unittest

import tus
from support import (Sluice, base64_of, content, curl, digest, digest_field, parse_digest_field, raw, sha256_of)

MIB = 1 << 20
HELLO = b"hello\n"
BOUNDARY = "----wire-test-boundary"
MISMATCH, BAD, UNSUPPORTED = "digest-mismatch", "bad-digest", "unsupported-digest"


def member(algorithm):
    return f"{algorithm}=:%s:", base64_of, algorithm


# How each header says a digest: name, (pattern, its spelling, algorithm), further lines beside it.
HEADERS = {
    **{f"{name} {algorithm}": (name, member(algorithm), [])
       for name in ("Content-Digest", "Repr-Digest") for algorithm in ("sha-256", "sha-512", "sha", "md5", "crc32c")},
    "Content-MD5": ("Content-MD5", ("%s", base64_of, "md5"), []),
    "X-File-Hash": ("X-File-Hash", ("%s", bytes.hex, "sha-256"), []),
    "X-File-Hash in capitals": ("X-File-Hash", ("%s", lambda value: value.hex().upper(), "sha-256"), []),
    **{f"X-File-Hash {function}": ("X-File-Hash", ("%s", bytes.hex, algorithm), [f"X-File-Hash-Function: {function}"])
       for function, algorithm in (("sha256", "sha-256"), ("sha-256", "sha-256"), ("sha512", "sha-512"),
                                   ("sha-512", "sha-512"), ("sha1", "sha"), ("sha", "sha"), ("sha-1", "sha"),
                                   ("md5", "md5"), ("crc32c", "crc32c"), ("SHA256", "sha-256"))},
    **{f"x-amz-checksum-{word}": (f"x-amz-checksum-{word}", ("%s", base64_of, algorithm), [])
       for word, algorithm in (("sha256", "sha-256"), ("sha1", "sha"), ("crc32c", "crc32c"), ("crc32", "crc32"))},
}


def told(way, data):
    """The lines that say by HEADERS[way] what `data` digests to."""
    name, (pattern, spell, algorithm), more = HEADERS[way]
    return [f"{name}: {pattern % spell(digest(algorithm, data))}", *more]


RIGHT = digest_field(HELLO, "sha-256")
WRONG = digest_field(b"other\n", "sha-256")
SHORT = base64_of(b"1234")

# What else may be said of HELLO: the code it is refused with, or None.
SPOKEN = {
    "two that are right": (None, [f"Content-Digest: {digest_field(HELLO, 'sha-256', 'md5')}"]),
    "one of two is wrong": (MISMATCH, [f"Content-Digest: {RIGHT}, {digest_field(b'x', 'md5')}"]),
    "two headers, one wrong": (MISMATCH, [f"Repr-Digest: {RIGHT}", f"Content-MD5: {base64_of(digest('md5', b'x'))}"]),
    "the same twice": (None, [f"Repr-Digest: {RIGHT}", f"Content-Digest: {RIGHT}", f"Content-Digest: {RIGHT}"]),
    "two that contradict": (BAD, [f"Content-Digest: {RIGHT}", f"Repr-Digest: {WRONG}"]),
    "contradiction over headers": (BAD, [f"Content-Digest: {RIGHT}", f"X-File-Hash: {sha256_of(b'x')}"]),
    "unknown beside a right one": (None, [f"Content-Digest: sha3-256=:AAAA:, {RIGHT}"]),
    "unknown beside a wrong one": (MISMATCH, [f"Content-Digest: sha3-256=:AAAA:, {WRONG}"]),
    "with parameters": (None, [f"Content-Digest: {RIGHT};a=1"]),
    "nothing but unknown": (UNSUPPORTED, ["Content-Digest: sha3-256=:AAAA:"]),
    "nothing but unknown, repr": (UNSUPPORTED, ["Repr-Digest: unixsum=:AAAA:, adler=:AAAA:"]),
    "unknown function": (UNSUPPORTED, [f"X-File-Hash: {'a' * 64}", "X-File-Hash-Function: whirlpool"]),
    "unknown checksum": (UNSUPPORTED, ["x-amz-checksum-crc64nvme: AAAAAAAAAAA="]),
    "no checksums, though they begin so": (None, ["x-amz-checksum-type: FULL_OBJECT",
                                                  "x-amz-checksum-algorithm: SHA256"]),
    "a function without a hash": (None, ["X-File-Hash-Function: sha256"]),
    "no dictionary": (BAD, ["Content-Digest: ==="]),
    "base64 without a key": (BAD, [f"Content-Digest: :{SHORT}:"]),
    "token": (BAD, ["Content-Digest: sha-256=abc"]),
    "string": (BAD, [f'Repr-Digest: sha-256="{SHORT}"']),
    "no value": (BAD, ["Content-Digest: sha-256"]),
    "no bytes": (BAD, ["Content-Digest: sha-256=::"]),
    "no end": (BAD, [f"Content-Digest: {RIGHT[:-1]}"]),
    "no base64": (BAD, ["Content-Digest: sha-256=:!!!!:"]),
    "too short": (BAD, [f"Content-Digest: sha-256=:{SHORT}:"]),
    "too long": (BAD, [f"Content-Digest: md5=:{base64_of(bytes(17))}:"]),
    "md5 no base64": (BAD, ["Content-MD5: ====="]),
    "md5 too short": (BAD, [f"Content-MD5: {SHORT}"]),
    "md5 in hex": (BAD, [f"Content-MD5: {digest('md5', HELLO).hex()}"]),
    "hash no hex": (BAD, [f"X-File-Hash: {'g' * 64}"]),
    "hash too short": (BAD, ["X-File-Hash: abcd"]),
    "hash of an odd length": (BAD, [f"X-File-Hash: {'a' * 63}"]),
    "hash too long": (BAD, [f"X-File-Hash: {'a' * 66}"]),
    "hash of another length than its function": (BAD, [f"X-File-Hash: {'a' * 64}", "X-File-Hash-Function: md5"]),
    "checksum no base64": (BAD, ["x-amz-checksum-sha256: ?"]),
    "checksum too short": (BAD, [f"x-amz-checksum-sha256: {SHORT}"]),
    "checksum too long": (BAD, [f"x-amz-checksum-crc32c: {base64_of(bytes(5))}"]),
}


def part(name, data, lines=()):
    """A file of a form, with further header lines."""
    head = [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="f"; filename="{name}"', *lines, "", ""]
    return "\r\n".join(head).encode() + data + b"\r\n"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none", digest="sha-256"))
        cls.numbers = itertools.count()

    def setUp(self):
        self.client = self.enterContext(raw(self.server, seconds=60))

    # Each sends `data` with these header lines under a name of its own

    def put(self, data, lines):
        return self.client.request("PUT", f"/d{next(self.numbers)}/a", data, ["Accept: application/json", *lines])

    def chunked(self, data, lines):
        head = [f"PUT /d{next(self.numbers)}/a HTTP/1.1", "Host: a", "Accept: application/json",
                "Transfer-Encoding: chunked", *lines, "", ""]
        pieces = filter(None, (data[:len(data) // 2], data[len(data) // 2:]))
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return self.client.send("\r\n".join(head).encode() + body + b"0\r\n\r\n").answer()

    def post(self, data, lines):
        return self.client.request("POST", f"/files/?name=n{next(self.numbers)}", data, ["Content-Type: a/b", *lines])

    def form(self, data, lines, before=b""):
        body = before + part("a", data, lines) + f"--{BOUNDARY}--\r\n".encode()
        return self.client.request("POST", "/", body, [f"Content-Type: multipart/form-data; boundary={BOUNDARY}"])

    WAYS = (put, chunked, post, form)

    def everything(self):
        return sorted(self.server.files.rglob("*"))

    def assert_refused(self, answer, code, before):
        self.assertEqual((answer.status, answer.code), (400, code), answer)
        self.assertEqual(self.everything(), before, "something was left")
        self.assertEqual(self.server.temp_files(), [])
        if answer.headers.get("connection") == "close":
            self.client = self.enterContext(raw(self.server, seconds=60))

    def assert_mismatch(self, answer, algorithm, expected, actual, before):
        self.assert_refused(answer, MISMATCH, before)
        problem = answer.json()
        self.assertEqual((problem["algorithm"], problem["expected-digest"], problem["actual-digest"]),
                         (algorithm, base64_of(digest(algorithm, expected)), base64_of(digest(algorithm, actual))))

    def assert_stored(self, answer, data, algorithm="sha-256"):
        self.assertEqual(answer.status, 201, answer)
        receipt = answer.json()
        self.assertEqual((receipt["size"], receipt["sha256"]), (len(data), sha256_of(data)))
        self.assertEqual(receipt["digest"][algorithm], base64_of(digest(algorithm, data)))
        return receipt


class Headers(Case):
    def test_right_and_wrong_of_every_header_on_every_way(self):
        for header, send in itertools.product(HEADERS, self.WAYS):
            for data in (HELLO, b""):
                with self.subTest(header, way=send.__name__, size=len(data)):
                    algorithm = HEADERS[header][1][2]
                    self.assert_stored(send(self, data, told(header, data)), data, algorithm)
                    before = self.everything()
                    self.assert_mismatch(send(self, data, told(header, b"other")), algorithm, b"other", data, before)

    def test_large_bodies(self):
        """20 MiB, of which one bit differs. Each header on one way, each way with many headers."""
        data = content(20 * MIB)
        flipped = data[:-1] + bytes([data[-1] ^ 1])
        ways = itertools.cycle(self.WAYS)
        for header in ("Content-Digest sha-256", "Repr-Digest sha-512", "Content-Digest md5", "Repr-Digest sha",
                       "Content-MD5", "X-File-Hash", "x-amz-checksum-sha256", "Content-Digest crc32c"):
            with self.subTest(header):
                send, algorithm = next(ways), HEADERS[header][1][2]
                before = self.everything()
                self.assert_mismatch(send(self, flipped, told(header, data)), algorithm, data, flipped, before)
                self.assert_stored(send(self, data, told(header, data)), data, algorithm)

    def test_whatever_else_is_said(self):
        for name, (code, lines) in SPOKEN.items():
            for send in self.WAYS:
                with self.subTest(name, way=send.__name__):
                    before = self.everything()
                    answer = send(self, HELLO, lines)
                    if code is None:
                        self.assert_stored(answer, HELLO)
                    else:
                        self.assert_refused(answer, code, before)

    def test_a_name_that_has_a_file_keeps_it(self):
        with Sluice(conflict="overwrite") as server, raw(server) as client:
            client.request("PUT", "/a", b"old")
            answer = client.request("PUT", "/a", b"new", [f"Content-Digest: {RIGHT}"])
            self.assertEqual((answer.status, answer.code), (400, MISMATCH))
            self.assertEqual(server.path("a").read_bytes(), b"old")

    def test_a_promise_that_cannot_be_kept_is_refused_before_the_body(self):
        for line in ("Content-MD5: x", "Content-Digest: sha3-256=:AAAA:"):
            with self.subTest(line), raw(self.server) as client:
                client.send(f"PUT /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n{line}"
                            "\r\n\r\n".encode())
                self.assertEqual(client.answer().status, 400)


class Forms(Case):
    def test_digests_of_the_whole_form_are_not_understood(self):
        body = part("a", HELLO) + f"--{BOUNDARY}--\r\n".encode()
        for header in HEADERS:
            with self.subTest(header):
                before = self.everything()
                kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
                answer = self.client.request("POST", "/", body, [kind, *told(header, body)])
                self.assert_refused(answer, UNSUPPORTED, before)

    def test_one_wrong_part_stores_none_of_the_form(self):
        right = part("right", HELLO, told("Content-MD5", HELLO))
        before = self.everything()
        self.assert_mismatch(self.form(b"second", told("X-File-Hash", b"x"), before=right), "sha-256", b"x", b"second",
                             before)
        answer = self.form(b"second", told("X-File-Hash", b"second"), before=right)
        self.assertEqual([file["name"] for file in answer.json()["files"]], ["right", "a"])

    def test_curl_sends_a_header_of_a_part(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(HELLO)
            file.flush()
            for value, status in ((RIGHT, 201), (WRONG, 400)):
                answer = curl("-F", f'file=@{file.name};headers="Content-Digest: {value}"', self.server.url + "/")
                self.assertEqual(answer.status, status, answer)


class Kept(unittest.TestCase):
    """--digest: what is computed of every file, told, and kept."""

    def test_many_algorithms(self):
        algorithms = ["sha-256", "sha-512", "md5", "sha", "crc32c"]
        for chosen in (algorithms, ["sha-512"], ["md5", "crc32c"]):
            with self.subTest(chosen), Sluice(digest=",".join(chosen)) as server, raw(server) as client:
                for data in (b"", HELLO, content(3 * MIB)):
                    path = f"/s{len(data)}"
                    receipt = client.request("PUT", path, data, ["Accept: application/json"]).json()
                    self.assertEqual(receipt["digest"], {name: base64_of(digest(name, data)) for name in chosen})
                    kept = client.request("GET", f"/files{path}").headers["repr-digest"]
                    self.assertEqual(parse_digest_field(kept), receipt["digest"])

    def test_a_promise_outside_of_them_is_checked_told_and_kept(self):
        with Sluice(digest="none") as server, raw(server) as client:
            self.assertNotIn("repr-digest", client.request("PUT", "/plain", HELLO).headers)
            lines = ["Accept: application/json", f"Content-Digest: {digest_field(HELLO, 'sha-512')}"]
            receipt = client.request("PUT", "/a", HELLO, lines).json()
            self.assertEqual(list(receipt["digest"]), ["sha-512"])
            self.assertEqual(client.request("GET", "/files/a").headers["repr-digest"], digest_field(HELLO, "sha-512"))
            self.assertNotIn("repr-digest", client.request("GET", "/files/plain").headers)
            self.assertEqual(client.request("PUT", "/b", b"x", lines).code, MISMATCH)

    def test_promises_of_large_bodies_are_checked_where_nothing_is_computed(self):
        """These are digested by threads, which must be there."""
        data = content(3 * MIB)
        with Sluice(digest="none") as server, raw(server) as client:
            line = f"Content-Digest: {digest_field(data, 'sha-256')}"
            self.assertEqual(client.request("PUT", "/a", data, [line]).status, 201)
            self.assertEqual(client.request("PUT", "/b", data[1:], [line]).code, MISMATCH)
            self.assertEqual(client.request("GET", "/files/a").headers["repr-digest"], digest_field(data, "sha-256"))

    def test_an_upload_is_gone_on_with_where_nothing_is_computed_any_more(self):
        data = content(3 * MIB)
        with tempfile.TemporaryDirectory(prefix="sluice-integrity-") as folder:
            root = os.path.join(folder, "root")
            with Sluice(root=root) as server, tus.Tus(server) as client:
                target = client.made(len(data))
                self.assertEqual(client.patch(target, 0, data[:MIB]).status, 204)
            with Sluice(root=root, digest="none") as server, tus.Tus(server) as client:
                self.assertEqual(client.patch(target, MIB, data[MIB:]).status, 204)
                self.assertEqual(len(server.stored()), 1)

    def test_receipts_tell_what_is_wanted_and_repeat_no_digest_of_theirs(self):
        with Sluice(digest="sha-256,md5") as server, raw(server) as client:
            answer = client.request("PUT", "/a", HELLO, ["Accept: application/json", "Want-Repr-Digest: md5=3"])
            self.assertEqual(list(answer.json()["digest"]), ["md5"])
            self.assertNotIn("repr-digest", answer.headers)


if __name__ == "__main__":
    unittest.main()
