"""What is compressed is stored as the bytes that came and told as such, however large it would grow: nothing here ever
inflates. A content coding, which would have to be told with them for ever, is refused with a word."""

import gzip
import unittest
import zlib

import faults
import tus
from support import Sluice, content, curl, quoted, raw, rss_mib, sha256_of
from tus import Tus

MIB = 1 << 20
GROWTH_MIB = 16


def bomb(mib):
    """So many MiB of nothing, as gzip has it: a thousandth of that."""
    pieces, press = [], zlib.compressobj(9, wbits=31)
    for _ in range(mib):
        pieces.append(press.compress(bytes(MIB)))
    return b"".join(pieces) + press.flush()


class Compressed(unittest.TestCase):
    def test_a_bomb_is_stored_and_given_as_it_came(self):
        data = bomb(256)
        form = (b'--b\r\nContent-Disposition: form-data; name="f"; filename="c.gz"\r\nContent-Type: application/gzip'
                b"\r\n\r\n" + data + b"\r\n--b--\r\n")
        with Sluice(name="{filename}", max_size=2 * MIB) as server, raw(server) as client:
            before = rss_mib(server.pid)[1]
            for target, method, body, kind in (("/files/a.gz", "PUT", data, "application/gzip"),
                                               ("/?name=b.gz", "POST", data, "application/gzip"),
                                               ("/", "POST", form, "multipart/form-data; boundary=b")):
                answer = client.request(method, target, body, [f"Content-Type: {kind}"])
                self.assertEqual(answer.status, 201, answer)
            for name in server.stored():
                self.assertEqual(sha256_of(server.path(name).read_bytes()), sha256_of(data), name)
                for accepted in ("gzip, br", "identity", "identity;q=0, *;q=0"):
                    answer = client.request("GET", quoted(name), headers=[f"Accept-Encoding: {accepted}"])
                    self.assertEqual((answer.status, sha256_of(answer.body)), (200, sha256_of(data)))
                    self.assertEqual(answer.headers["content-type"], "application/gzip")
                    self.assertFalse({"content-encoding", "vary"} & answer.headers.keys(), answer)
            self.assertEqual(server.stored(), ["a.gz", "b.gz", "c.gz"])
            if not faults.is_sanitized():
                self.assertLess(rss_mib(server.pid)[1] - before, GROWTH_MIB)

    def test_curl_that_would_inflate_gets_the_file(self):
        """It does so only to what is said to be coded."""
        data = gzip.compress(content(100_000))
        with Sluice() as server:
            self.assertEqual(curl("-T", "-", f"{server.url}/a.gz", data=data).status, 201)
            answer = curl("--compressed", f"{server.url}/files/a.gz")
            self.assertEqual((answer.status, sha256_of(answer.body)), (200, sha256_of(data)))


class Coded(unittest.TestCase):
    CODINGS = ("gzip", "br", "x-gzip", "deflate", "zstd", "compress", "aws-chunked", "identity, gzip", "gzip, identity",
               "GZIP", "nonsense", '"gzip"', "identity;q=1")

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(upload_expiry=3600))
        cls.data = gzip.compress(content(5000))

    def assert_refused(self, answer):
        self.assertEqual((answer.status, answer.code), (415, "content-coding"), answer)
        self.assertEqual(answer.headers["accept-encoding"], "identity")

    def test_a_coding_is_refused_however_it_comes(self):
        form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\ndata\r\n--b--\r\n'
        draft = ["Upload-Complete: ?0", "Upload-Draft-Interop-Version: 8"]
        rows = (("PUT", "/a", [], self.data), ("POST", "/", [], self.data), ("PUT", "/b", draft, self.data),
                ("POST", "/", ["Content-Type: multipart/form-data; boundary=b"], form), ("POST", "/", draft, self.data))
        for method, target, lines, body in rows:
            for coding in self.CODINGS:
                with self.subTest(method=method, target=target, lines=lines, coding=coding):
                    with raw(self.server) as client:
                        lines_of_it = [*lines, f"Content-Encoding: {coding}"]
                        self.assert_refused(client.request(method, target, body, lines_of_it))
                        self.assertEqual(client.request("GET", "/healthz").status, 200, "the connection goes on")
        self.assertEqual((self.server.stored(), self.server.kept()), ([], []))

    def test_nor_does_it_add_to_an_upload(self):
        with Tus(self.server) as client:
            self.assert_refused(client.create(len(self.data), "Content-Encoding: gzip", body=b""))
            target = client.made(len(self.data))
            self.assert_refused(client.patch(target, 0, self.data, "Content-Encoding: gzip"))
            self.assertEqual(client.offset(target), 0)
            answer = client.patch(target, 0, self.data, "Content-Encoding: identity")
            path = tus.assert_file(self, self.server, client.head(target), self.data)
            self.assertEqual(answer.status, 204)
            self.server.path(path).unlink()
            self.assertEqual(client.delete(target).status, 204)

    def test_curl_sees_it_and_sends_nothing(self):
        answer = curl("-H", "Content-Encoding: gzip", "-H", "Expect: 100-continue", "--expect100-timeout", "30",
                      "-T", "-", f"{self.server.url}/a", data=self.data)
        self.assert_refused(answer)

    def test_no_coding_by_name_is_none(self):
        with raw(self.server) as client:
            for number, coding in enumerate(("identity", "Identity", " identity ", "")):
                with self.subTest(coding):
                    answer = client.request("PUT", f"/none-{number}", self.data, [f"Content-Encoding: {coding}"])
                    self.assertEqual(answer.status, 201, answer)
                    self.assertEqual(self.server.path(f"none-{number}").read_bytes(), self.data)
                    self.server.path(f"none-{number}").unlink()

    def test_where_no_body_is_taken_it_means_nothing(self):
        with raw(self.server) as client:
            for method, target, status in (("GET", "/healthz", 200), ("PUT", "/healthz", 405), ("GET", "/files/x", 404),
                                           ("DELETE", "/files/x", 404)):
                answer = client.request(method, target, headers=["Content-Encoding: gzip"])
                self.assertEqual(answer.status, status, answer)


if __name__ == "__main__":
    unittest.main()
