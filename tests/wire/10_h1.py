"""HTTP/1.1 as strangers speak it: what is ambiguous is refused and the connection closed, what is sound is served
however it is cut, and an early answer arrives."""

import json
import unittest

import dialects
from support import ANSWER_SECONDS, Sluice, content, curl, raw, sha256, sha256_of, wait_until

PUT = b"PUT /%s HTTP/1.1\r\nHost: wire.test\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: wire.test\r\n"
SMUGGLED = b"PUT /smuggled HTTP/1.1\r\nHost: wire.test\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def put(name, framing, body=b""):
    return PUT % name + framing + b"\r\n" + body


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def length(value):
    """A PUT whose Content-Length is written like this."""
    return put(b"bad", b"Content-Length:" + value + b"\r\n", b"hello")


def coding(lines, body=chunks(b"hello")):
    """A PUT with these lines of Transfer-Encoding."""
    return put(b"bad", lines, body)


def chunked(body):
    return put(b"bad", CHUNKED, body)


def host(lines):
    return b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n"


def header(line):
    return GET + line + b"\r\n\r\n"


BAD_FRAMING = (400, "bad-framing")
BAD_HEAD = (400, "bad-head")
BAD_HOST = (400, "bad-host")
BAD_CHUNK = (400, "bad-chunk")
BAD_CODING = (501, "bad-transfer-coding")
TOO_LARGE = (431, "head-too-large")

# name: (status, code), the bytes. Each is sent with a sound PUT right behind, which must not be executed.
REFUSED = {
    # Content-Length
    "length -1": (BAD_FRAMING, length(b" -1")),
    "length +1": (BAD_FRAMING, length(b" +5")),
    "length in hex": (BAD_FRAMING, length(b" 0x5")),
    "length with underscore": (BAD_FRAMING, length(b" 1_0")),
    "length list": (BAD_FRAMING, length(b" 5, 5")),
    "length with blank": (BAD_FRAMING, length(b" 5 5")),
    "length empty": (BAD_FRAMING, length(b"")),
    "length 2^63": (BAD_FRAMING, length(b" 9223372036854775808")),
    "length 2^64+1": (BAD_FRAMING, length(b" 18446744073709551617")),
    "length with letter": (BAD_FRAMING, length(b" 5a")),
    "length with dot": (BAD_FRAMING, length(b" 5.0")),
    "length twice, different": (BAD_FRAMING, put(b"bad", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello")),
    "length twice, same": (BAD_FRAMING, put(b"bad", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")),
    "length and chunked": (BAD_FRAMING, put(b"bad", b"Content-Length: 5\r\n" + CHUNKED, chunks(b"hello"))),
    "chunked and length": (BAD_FRAMING, put(b"bad", CHUNKED + b"Content-Length: 5\r\n", chunks(b"hello"))),
    "chunked in HTTP/1.0": (BAD_FRAMING, b"PUT /bad HTTP/1.0\r\nHost: a\r\n" + CHUNKED + b"\r\n" + chunks(b"hello")),
    # Transfer-Encoding
    "coding xchunked": (BAD_CODING, coding(b"Transfer-Encoding: xchunked\r\n")),
    "coding list": (BAD_CODING, coding(b"Transfer-Encoding: chunked, chunked\r\n")),
    "coding gzip, chunked": (BAD_CODING, coding(b"Transfer-Encoding: gzip, chunked\r\n")),
    "coding identity": (BAD_CODING, coding(b"Transfer-Encoding: identity\r\n")),
    "coding empty": (BAD_CODING, coding(b"Transfer-Encoding:\r\n")),
    "coding quoted": (BAD_CODING, coding(b'Transfer-Encoding: "chunked"\r\n')),
    "coding with parameter": (BAD_CODING, coding(b"Transfer-Encoding: chunked;q=1\r\n")),
    "coding twice": (BAD_CODING, coding(CHUNKED + CHUNKED)),
    "coding with vertical tab": (BAD_HEAD, coding(b"Transfer-Encoding: \x0bchunked\r\n")),
    "coding with NUL": (BAD_HEAD, coding(b"Transfer-Encoding: chunked\0\r\n")),
    "coding with no-break space": (BAD_CODING, coding(b"Transfer-Encoding: \xa0chunked\r\n")),
    "coding folded": (BAD_HEAD, coding(b"Transfer-Encoding:\r\n chunked\r\n")),
    "coding with space before colon": (BAD_HEAD, coding(b"Transfer-Encoding : chunked\r\n")),
    "coding with tab before colon": (BAD_HEAD, coding(b"Transfer-Encoding\t: chunked\r\n")),
    # chunks
    "chunk size empty": (BAD_CHUNK, chunked(b"\r\nhello\r\n0\r\n\r\n")),
    "chunk size 0x5": (BAD_CHUNK, chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    "chunk size -0": (BAD_CHUNK, chunked(b"5\r\nhello\r\n-0\r\n\r\n")),
    "chunk size +5": (BAD_CHUNK, chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    "chunk size with blank behind": (BAD_CHUNK, chunked(b"5 \r\nhello\r\n0\r\n\r\n")),
    "chunk size with blank before": (BAD_CHUNK, chunked(b" 5\r\nhello\r\n0\r\n\r\n")),
    "chunk size with underscore": (BAD_CHUNK, chunked(b"0_2e\r\nhello\r\n0\r\n\r\n")),
    "chunk size of 16 f": (BAD_CHUNK, chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
    "chunk size above 2^64": (BAD_CHUNK, chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    "chunk size with bare LF": (BAD_CHUNK, chunked(b"5\nhello\r\n0\r\n\r\n")),
    "chunk size with bare CR": (BAD_CHUNK, chunked(b"5\rhello\r\n0\r\n\r\n")),
    "chunk data with bare LF": (BAD_CHUNK, chunked(b"5\r\nhello\n0\r\n\r\n")),
    "chunk data too long": (BAD_CHUNK, chunked(b"5\r\nhello!\r\n0\r\n\r\n")),
    "chunk data without end": (BAD_CHUNK, chunked(b"5\r\nhello0\r\n\r\n")),
    "chunk extension with bare LF": (BAD_CHUNK, chunked(b"5;a\nhello\r\n0\r\n\r\n")),
    "chunk extension of 64 KiB": (BAD_CHUNK, chunked(b"5;" + b"a" * 65536 + b"\r\nhello\r\n0\r\n\r\n")),
    "chunk trailers of 8 MiB": (BAD_CHUNK, chunked(b"0\r\n" + b"a: b\r\n" * (8 * 1024 * 1024 // 6) + b"\r\n")),
    "chunk trailer without colon": (BAD_CHUNK, chunked(b"0\r\nabc\r\n\r\n")),
    "chunk end with bare LF": (BAD_CHUNK, chunked(b"5\r\nhello\r\n0\r\n\n")),
    # Host
    "no host": (BAD_HOST, host(b"")),
    "two hosts": (BAD_HOST, host(b"Host: a\r\nHost: a\r\n")),
    "host empty": (BAD_HOST, host(b"Host:\r\n")),
    "host with path": (BAD_HOST, host(b"Host: a/b\r\n")),
    "host with user": (BAD_HOST, host(b"Host: me@a\r\n")),
    "host list": (BAD_HOST, host(b"Host: a, b\r\n")),
    "host with bad port": (BAD_HOST, host(b"Host: a:http\r\n")),
    "host with markup": (BAD_HOST, host(b'Host: a"><script>\r\n')),
    "absolute target without host": (BAD_HOST, b"GET http:///healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    # header lines
    "folded header": (BAD_HEAD, header(b"X: a\r\n b")),
    "header without colon": (BAD_HEAD, header(b"nonsense")),
    "header without name": (BAD_HEAD, header(b": value")),
    "header name with NUL": (BAD_HEAD, header(b"X\0Y: a")),
    "header name not ASCII": (BAD_HEAD, header(b"X\xe9: a")),
    "header name with blank": (BAD_HEAD, header(b"X Y: a")),
    "header value with NUL": (BAD_HEAD, header(b"X: a\0b")),
    "header value with bare CR": (BAD_HEAD, header(b"X: a\rContent-Length: 5")),
    "header line with bare LF": (BAD_HEAD, header(b"X: a\nY: b")),
    "head ended by bare LF": (BAD_HEAD, GET + b"\n"),
    "first header line folded": (BAD_HEAD, b"GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n"),
    # sizes
    "header of 100 KB": (TOO_LARGE, header(b"X: " + b"a" * 100_000)),
    "header name of 100 KB": (TOO_LARGE, header(b"X" * 100_000 + b": a")),
    "10000 headers": (TOO_LARGE, header(b"\r\n".join([b"X: a"] * 10_000))),
    "101 headers": (TOO_LARGE, header(b"\r\n".join([b"X: a"] * 100))),
    "method of 100 KB": (TOO_LARGE, b"G" * 100_000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target of 100 KB": ((414, "uri-too-long"), b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target of 8193 bytes": ((414, "uri-too-long"), b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    # request line and version
    "HTTP/1.2": ((505, "bad-version"), b"GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/9.9": ((505, "bad-version"), b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (BAD_HEAD, b"GET /healthz\r\n\r\n"),
    "HTTP/0.9 with its version": ((505, "bad-version"), b"GET /healthz HTTP/0.9\r\n\r\n"),
    "HTTP/2 preface with another end": ((505, "bad-version"), b"PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n"),
    "HTTP/2 preface with a header": ((505, "bad-version"), b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n"),
    "lower case http": (BAD_HEAD, b"GET /healthz http/1.1\r\nHost: a\r\n\r\n"),
    "version of two digits": (BAD_HEAD, b"GET /healthz HTTP/1.10\r\nHost: a\r\n\r\n"),
    "two blanks": (BAD_HEAD, b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    "blank in target": (BAD_HEAD, b"GET /health z HTTP/1.1\r\nHost: a\r\n\r\n"),
    "tab in request line": (BAD_HEAD, b"GET\t/healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    "control byte in target": (BAD_HEAD, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment in target": (BAD_HEAD, b"GET /healthz#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target without slash": (BAD_HEAD, b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    "star for GET": (BAD_HEAD, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "request line with bare LF": (BAD_HEAD, b"GET /healthz HTTP/1.1\nHost: a\r\n\r\n"),
    "method with bracket": (BAD_HEAD, b"GE[T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "binary": (BAD_HEAD, bytes(range(128, 256)) * 8),
    "NULs": (BAD_HEAD, b"\0" * 64),
    "TLS hello": (BAD_HEAD, bytes.fromhex("1603010200010001fc0303") + bytes(512)),
    "expectation unknown": ((417, "bad-expectation"), put(b"bad", b"Content-Length: 5\r\nExpect: fame\r\n", b"hello")),
}


class Refused(unittest.TestCase):
    def test_bad_messages_get_their_status_and_nothing_behind_them_is_executed(self):
        with Sluice() as server:
            for name, ((status, code), message) in REFUSED.items():
                with self.subTest(name):
                    self.check(server, message + SMUGGLED, status, code)
            self.assertEqual(server.stored(), [])
            self.assertEqual(curl(f"{server.url}/healthz").status, 200)

    def test_bad_messages_get_the_same_byte_by_byte(self):
        with Sluice() as server:
            for name, ((status, code), message) in REFUSED.items():
                if len(message) < 1000:
                    with self.subTest(name), raw(server) as client:
                        self.drip_until_closed(client, message)
                        answer = client.answer()
                        self.assertEqual((answer.status, answer.code), (status, code))
            self.assertEqual(server.stored(), [])

    def check(self, server, message, status, code):
        """All is sent before anything is read: the server waits for that, and a socket with TLS is for one thread."""
        with raw(server) as client:
            client.send(message)
            answer = client.answer()
            self.assertEqual((answer.status, answer.code), (status, code))
            self.assertEqual(answer.headers["connection"], "close")
            self.assertEqual(answer.json()["status"], status)
            self.assertTrue(client.is_closed_clean(), "more than one answer, or a reset")

    @staticmethod
    def drip_until_closed(client, message):
        try:
            client.drip(message)
        except OSError:
            pass


# Uploads that are refused for what they ask, before, in or after their bodies: the lines, the target, the status. The
# body of each is a request.
UNWANTED = {
    "it exists": (b"", b"there", 409),
    "conditions": (b'If-Match: "x"\r\n', b"new", 412),
    "may not overwrite": (b"", b"there?conflict=overwrite", 403),
    "no path": (b"", b"a//b", 400),
    "no method": (b"", b"healthz", 405),
    "no digest": (b"Content-Digest: sha-256=:AAAA:\r\n", b"new", 400),
    "another digest": (b"Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"new", 400),
    "a range": (b"Content-Range: bytes 0-4/10\r\n", b"new", 400),
    "too large": (b"", b"large", 413),
    "no expectation of ours": (b"Expect: cake\r\n", b"new", 417),
}


class Unwanted(unittest.TestCase):
    """What stands in a body is never executed, whether the connection is closed or goes on behind it."""

    def test_the_body_of_a_refused_upload_is_no_request(self):
        with Sluice(max_size=3 * len(SMUGGLED)) as server:
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/there", b"there").status, 201)
            for name, (lines, target, status) in UNWANTED.items():
                body = SMUGGLED * (4 if status == 413 else 2)
                for framing, said in ((b"Content-Length: %d\r\n" % len(body), body),
                                      (CHUNKED, chunks(SMUGGLED, body[len(SMUGGLED):]))):
                    for is_dripped in (False, True):
                        with self.subTest(name, framing=framing, is_dripped=is_dripped):
                            self.check(server, put(target, lines + framing, said), status, is_dripped)
            self.assertNotIn("smuggled", server.stored())

    def check(self, server, message, status, is_dripped):
        with raw(server) as client:
            try:
                (client.drip if is_dripped else client.send)(message + GET + b"\r\n")
            except OSError:
                pass  # closed before all was sent
            answer = client.answer("PUT")
            self.assertEqual(answer.status, status, answer)
            if answer.headers.get("connection") == "close":
                self.assertTrue(client.is_closed_clean(), "more than one answer, or a reset")
            else:
                self.assertEqual(client.answer().body, b"ok\n")


class Accepted(unittest.TestCase):
    """Unusual, but read by everyone in the same way."""

    ACCEPTED = {
        "empty line first": b"\r\n" + GET + b"\r\n",
        "lower case header": b"GET /healthz HTTP/1.1\r\nhOsT: a\r\n\r\n",
        "no blank behind colon": b"GET /healthz HTTP/1.1\r\nHost:a\r\n\r\n",
        "blanks around value": b"GET /healthz HTTP/1.1\r\nHost: \t a \t \r\n\r\n",
        "empty header": header(b"X:"),
        "Latin-1 in a value": header(b"X: caf\xe9"),
        "absolute target": b"GET http://other.test/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "99 more headers": header(b"\r\n".join([b"X: a"] * 99)),
        "IPv6 host": b"GET /healthz HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "target of 8192 bytes": b"GET /healthz?" + b"a" * (8192 - 9) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "length 0": header(b"Content-Length: 0"),
        "length with zeros": header(b"Content-Length: 0000000000000000000000"),
    }

    def test_sound_messages_are_served_whole_and_byte_by_byte(self):
        with Sluice() as server, raw(server) as client:
            for name, message in self.ACCEPTED.items():
                with self.subTest(name):
                    self.assertEqual(client.send(message).answer().status, 200)
                    if len(message) < 1000:
                        self.assertEqual(client.drip(message).answer().status, 200)

    def test_chunks_in_every_legal_dress(self):
        bodies = {
            "one-byte": chunks(*[bytes([byte]) for byte in b"hello"]),
            "extension": b"5;a=b;c=\"d\\\"e\"\r\nhello\r\n0;last\r\n\r\n",
            "trailers": b"5\r\nhello\r\n0\r\nDigest: x\r\nContent-Length: 99\r\n\r\n",
            "zeros": b"00000005\r\nhello\r\n0000\r\n\r\n",
        }
        with Sluice() as server, raw(server) as client:
            for name, body in bodies.items():
                for send in (client.send, client.drip):
                    with self.subTest(name, send=send.__name__):
                        path = f"{name}-{send.__name__}"
                        send(put(path.encode(), CHUNKED, body))
                        self.assertEqual(client.answer().status, 201)
                        self.assertEqual(server.path(path).read_bytes(), b"hello")


class KeepAlive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice())

    def pipeline(self, prefix):
        return (put(b"%s-1" % prefix, b"Content-Length: 5\r\n", b"first")
                + b"GET /files/%s-1 HTTP/1.1\r\nHost: a\r\n\r\n" % prefix
                + put(b"%s-2" % prefix, CHUNKED, chunks(b"sec", b"ond"))
                + b"GET /files/%s-2 HTTP/1.1\r\nHost: a\r\n\r\n" % prefix)

    def check_pipeline(self, client):
        answers = [client.answer() for _ in range(4)]
        self.assertEqual([answer.status for answer in answers], [201, 200, 201, 200])
        self.assertEqual([answer.body for answer in answers[1::2]], [b"first", b"second"])

    def test_pipelined_requests_are_answered_in_order(self):
        with raw(self.server) as client:
            client.send(self.pipeline(b"whole"))
            self.check_pipeline(client)

    def test_pipelined_requests_byte_by_byte(self):
        with raw(self.server) as client:
            client.drip(self.pipeline(b"drip"))
            self.check_pipeline(client)

    def test_pipelined_requests_cut_once_at_every_place(self):
        """Two segments each; the second waits for nothing, so most cuts are seen by the server as such."""
        with raw(self.server) as client:
            for cut in range(1, len(self.pipeline(b"c000"))):
                message = self.pipeline(b"c%03d" % cut)
                client.send(message[:cut]).send(message[cut:])
                self.check_pipeline(client)

    def test_a_thousand_requests_on_one_connection(self):
        with raw(self.server) as client:
            client.send((GET + b"\r\n") * 1000)
            self.assertEqual({client.answer().status for _ in range(1000)}, {200})

    def test_an_early_answer_with_a_short_body_keeps_the_connection(self):
        """The rest is cheaper to read than a new connection, and is not taken for a request."""
        with raw(self.server) as client:
            client.send(b"PUT /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
            self.assertEqual(client.answer().status, 405)
            self.assertEqual(client.request("GET", "/healthz").status, 200)
        self.assertNotIn("smuggled", self.server.stored())

    def test_a_get_with_a_body_does_not_smuggle(self):
        with raw(self.server) as client:
            client.send(GET + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED + GET + b"\r\n")
            self.assertEqual([client.answer().status, client.answer().status], [200, 200])
        self.assertNotIn("smuggled", self.server.stored())

    def test_what_follows_the_last_chunk_is_the_next_request(self):
        """An extra byte is not thrown away with the body: it belongs to a method that there is not."""
        for extra, second in ((b"X", 405), (b"\0", 400), (b"0\r\n\r\n", 400)):
            with self.subTest(extra), raw(self.server) as client:
                name = b"extra-%d" % extra[0]
                client.send(put(name, CHUNKED, chunks(b"hello")) + extra + SMUGGLED)
                self.assertEqual([client.answer().status, client.answer().status], [201, second])
                self.assertEqual(self.server.path(name.decode()).read_bytes(), b"hello")
        self.assertNotIn("smuggled", self.server.stored())

    def test_the_preface_of_http_2_is_no_second_request(self):
        with raw(self.server) as client:
            self.assertEqual(client.send(GET + b"\r\n").answer().status, 200)
            answer = client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED).answer()
            self.assertEqual((answer.status, answer.code), (505, "bad-version"))
            self.assertTrue(client.is_closed_clean())
        self.assertNotIn("smuggled", self.server.stored())

    def test_connection_close_is_obeyed(self):
        with raw(self.server) as client:
            answer = client.send(GET + b"Connection: close\r\n\r\n" + SMUGGLED).answer()
            self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
            self.assertTrue(client.is_closed_clean())
        self.assertNotIn("smuggled", self.server.stored())

    def test_http_1_0_closes_unless_asked(self):
        with raw(self.server) as client:
            answer = client.send(b"GET /healthz HTTP/1.0\r\n\r\n").answer()
            self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
            self.assertTrue(client.is_closed_clean())
        with raw(self.server) as client:
            client.send(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual(client.answer().headers["connection"], "keep-alive")
            self.assertEqual(client.request("GET", "/healthz").status, 200)

    def test_http_1_0_uploads_and_gets_a_relative_link_without_host(self):
        with raw(self.server) as client:
            client.send(b"PUT /ten HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
            answer = client.answer()
            self.assertEqual((answer.status, answer.headers["location"]), (201, "/files/ten"))
        self.assertEqual(self.server.path("ten").read_bytes(), b"hello")


class Methods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice())
        cls.server.path("there").write_bytes(b"hello")
        cls.client = cls.enterClassContext(raw(cls.server))

    def test_head_is_get_without_its_body(self):
        for target in ("/", "/healthz", "/files/there", "/files/nothing", "/done"):
            with self.subTest(target):
                head, get = self.client.request("HEAD", target), self.client.request("GET", target)
                self.assertEqual((head.status, head.body), (get.status, b""))
                for name in ("content-length", "content-type"):
                    self.assertEqual(head.headers[name], get.headers[name])

    def test_options_tells_what_is_allowed(self):
        for target, allowed in (("/", {"GET", "HEAD", "POST", "OPTIONS"}), ("/files/", {"POST", "OPTIONS"}),
                                ("/files/x", {"GET", "HEAD", "PUT", "OPTIONS"}), ("*", {"OPTIONS"})):
            with self.subTest(target):
                answer = self.client.request("OPTIONS", target)
                self.assertEqual(answer.status, 204)
                self.assertNotIn("content-length", answer.headers)
                self.assertLessEqual(allowed, set(answer.headers["allow"].split(", ")))

    def test_other_methods_are_405_with_allow(self):
        for method, target in (("PATCH", "/files/there"), ("POST", "/files/there"), ("PUT", "/"), ("PUT", "/files/"),
                               ("BREW", "/"), ("TRACE", "/"), ("CONNECT", "/"), ("POST", "/healthz"), ("get", "/")):
            with self.subTest(f"{method} {target}"):
                answer = self.client.request(method, target)
                self.assertEqual((answer.status, answer.code), (405, "method-not-allowed"))
                self.assertNotIn(method, answer.headers["allow"].split(", "))

    def test_the_servers_own_paths_are_405_to_a_put(self):
        for target in ("/healthz", "/readyz", "/metrics", "/uploads", "/uploads/x", "/done", "/healthz/x"):
            with self.subTest(target):
                answer = self.client.request("PUT", target, b"x")
                self.assertEqual((answer.status, answer.code), (405, "method-not-allowed"))

    def test_request_id_is_echoed_or_made(self):
        echoed = self.client.request("GET", "/healthz", headers=["X-Request-Id: abc-123_4.5"])
        self.assertEqual(echoed.headers["x-request-id"], "abc-123_4.5")
        made = [self.client.request("GET", "/healthz").headers["x-request-id"] for _ in range(2)]
        self.assertNotEqual(*made)
        for bad in ("a b", "<x>", "a" * 129, 'a"b', "a;b"):
            with self.subTest(bad):
                answer = self.client.request("GET", "/files/nothing", headers=[f"X-Request-Id: {bad}"])
                self.assertRegex(answer.headers["x-request-id"], r"\A[0-9a-f]{16}\Z")
                self.assertEqual(answer.json()["request-id"], answer.headers["x-request-id"])


class Continue(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(max_size="1Mi"))
        cls.server.path("there").write_bytes(b"old")

    def expect(self, client, target, size):
        client.send(b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (target, size)
                    + b"Expect: 100-continue\r\n\r\n")
        return client.answer()

    def test_100_is_sent_when_the_body_is_wanted(self):
        with raw(self.server) as client:
            self.assertEqual(self.expect(client, b"/wanted", 5).status, 100)
            self.assertEqual(client.send(b"hello").answer().status, 201)
            self.assertEqual(client.request("GET", "/files/wanted").body, b"hello")

    def test_no_100_when_the_body_came_unasked(self):
        with raw(self.server) as client:
            client.send(put(b"unasked", b"Content-Length: 5\r\nExpect: 100-Continue\r\n", b"hello"))
            self.assertEqual(client.answer().status, 201)

    def test_no_100_without_a_body(self):
        with raw(self.server) as client:
            self.assertEqual(self.expect(client, b"/nobody", 0).status, 201)
            client.send(GET + b"Expect: 100-continue\r\n\r\n")
            self.assertEqual(client.answer().status, 200)

    def test_no_100_without_being_asked(self):
        with raw(self.server) as client:
            client.send(put(b"asked", b"Content-Length: 5\r\n"))
            client.send(b"hello")
            self.assertEqual(client.answer().status, 201)

    def test_a_refusal_comes_instead_of_100(self):
        for target, size, status, code in ((b"/there", 5, 409, "exists"),
                                           (b"/there/below", 5, 409, "not-a-directory"),
                                           (b"/big", 2 << 20, 413, "too-large"),
                                           (b"/healthz", 5, 405, "method-not-allowed"), (b"/a//b", 5, 400, "bad-path")):
            with self.subTest(target), raw(self.server) as client:
                answer = self.expect(client, target, size)
                self.assertEqual((answer.status, answer.code), (status, code))
                self.assertEqual(answer.headers["connection"], "close")
                self.assertTrue(client.is_closed_clean())

    def test_507_comes_instead_of_100(self):
        with Sluice(min_free="1000T") as server, raw(server) as client:
            answer = self.expect(client, b"/x", 5)
            self.assertEqual((answer.status, answer.code), (507, "no-space"))

    def test_curl_sees_the_refusal_and_sends_nothing(self):
        big = self.server.root / "big"
        big.write_bytes(bytes(2 << 20))
        answer = curl("-H", "Expect: 100-continue", "--expect100-timeout", "30", "-T", big,
                      f"{self.server.url}/big")
        self.assertEqual((answer.status, answer.code, answer.exit_code), (413, "too-large", 0))
        lines = wait_until(lambda: [line for line in self.server.log if "PUT /big " in line and "curl" in line], "log")
        self.assertIn(" in=0 ", lines[0])


class EarlyError(unittest.TestCase):
    """A client that is still sending sees the answer, not a reset."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(max_size="40Mi"))
        cls.server.path("there").write_bytes(b"old")
        cls.big = cls.server.root / "big"
        cls.big.write_bytes(bytes(50 << 20))

    def test_curl_sees_the_status_with_and_without_expect(self):
        for expect in ("Expect:", "Expect: 100-continue"):
            for words, status, code in (
                (["-T", self.big, f"{self.server.url}/new"], 413, "too-large"),
                (["-H", "Transfer-Encoding: chunked", "-T", self.big, f"{self.server.url}/new"], 413, "too-large"),
                (["-H", "Transfer-Encoding: chunked", "-T", self.big, f"{self.server.url}/there"], 409, "exists"),
                (["--data-binary", f"@{self.big}", f"{self.server.url}/files/there"], 405, "method-not-allowed"),
                (["-F", f"a=@{self.big}", f"{self.server.url}/"], 413, "too-large"),
            ):
                with self.subTest(expect=expect, words=words[:2]):
                    answer = curl("-H", expect, *words)
                    self.assertEqual((answer.status, answer.code), (status, code), answer)
                    self.assertEqual(answer.exit_code, 0, answer)
        self.assertEqual(self.server.stored(), ["there"])

    def test_a_client_that_listens_only_when_all_is_sent_gets_the_answer(self):
        """As browsers do."""
        body = self.big.read_bytes()
        for target, status in (("/new", 413), ("/there", 413), ("/healthz", 405)):
            for framing in (b"Content-Length: %d\r\n\r\n" % len(body), CHUNKED + b"\r\n%x\r\n" % len(body)):
                with self.subTest(target, framing=framing[:14]), raw(self.server) as client:
                    client.send(f"PUT {target} HTTP/1.1\r\nHost: a\r\n".encode() + framing + body)
                    expected = 409 if target == "/there" and framing.startswith(CHUNKED) else status
                    self.assertEqual(client.answer().status, expected)

    def test_the_drain_is_bounded(self):
        """Whoever goes on sending is cut off in the end: by bytes (256 MiB) or by time (5 s)."""
        piece, sent = bytes(1 << 20), 0
        with raw(self.server) as client:
            client.send(b"PUT /there HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n")
            with self.assertRaises(OSError):
                while sent < 4 << 30:
                    client.send(piece)
                    sent += len(piece)
        self.assertLess(sent, 600 << 20)


class Incomplete(unittest.TestCase):
    @dialects.only("h1")  # in TLS it is a truncation; 64_tls.py has its close_notify
    def test_a_half_closed_client_is_told_that_its_body_is_short(self):
        messages = {
            "length": put(b"short", b"Content-Length: 10\r\n", b"hello"),
            "chunk": put(b"short", CHUNKED, b"a\r\nhello"),
            "no last chunk": put(b"short", CHUNKED, b"5\r\nhello\r\n"),
            "in the last chunk": put(b"short", CHUNKED, b"5\r\nhello\r\n0\r\n"),
        }
        with Sluice() as server:
            for name, message in messages.items():
                with self.subTest(name), raw(server) as client:
                    answer = client.send(message).half_close().answer()
                    self.assertEqual((answer.status, answer.code), (400, "incomplete-body"))
                    self.assertTrue(client.is_closed_clean())
            self.assertEqual(server.stored(), [])

    @dialects.only("h1")  # in TLS it is a truncation; 64_tls.py has its close_notify
    def test_a_half_closed_client_gets_the_answer_of_a_whole_request(self):
        with Sluice() as server, raw(server) as client:
            answer = client.send(put(b"whole", b"Content-Length: 5\r\n", b"hello")).half_close().answer()
            self.assertEqual(answer.status, 201)
            self.assertTrue(client.is_closed_clean())
            self.assertEqual(server.path("whole").read_bytes(), b"hello")

    @dialects.only("h1")
    def test_a_half_closed_client_gets_its_file(self):
        body = content(3_000_000)
        with Sluice() as server, raw(server) as client:
            server.path("large").write_bytes(body)
            client.send(b"GET /files/large HTTP/1.1\r\nHost: a\r\n\r\n").half_close()
            self.assertEqual(sha256_of(client.answer().body), sha256_of(body))
            self.assertTrue(client.is_closed_clean())

    def test_a_reset_in_the_middle_stores_nothing(self):
        with Sluice() as server:
            client = raw(server)
            client.send(put(b"reset", b"Content-Length: 1000000\r\n", content(500_000)))
            client.reset()
            wait_until(lambda: any("PUT /reset" in line for line in server.log), "the log of the end")
            self.assertEqual(server.stored(), [])


class Slow(unittest.TestCase):
    def test_a_slow_head_and_a_stalled_body_are_408(self):
        with Sluice(head_timeout=1, body_timeout=1) as server:
            stalled = {
                "head": (b"GET / HT", "head-timeout"),
                "headers": (b"GET / HTTP/1.1\r\nHost: a\r\n", "head-timeout"),
                "body": (put(b"stalled", b"Content-Length: 10\r\n", b"hello"), "body-timeout"),
                "chunk": (put(b"stalled", CHUNKED, b"5\r\nhel"), "body-timeout"),
                "no body at all": (put(b"stalled", b"Content-Length: 10\r\n"), "body-timeout"),
            }
            clients = {name: raw(server).send(message) for name, (message, _) in stalled.items()}
            for name, client in clients.items():
                with self.subTest(name), client:
                    answer = client.answer()
                    self.assertEqual((answer.status, answer.code), (408, stalled[name][1]))
                    self.assertTrue(client.is_closed_clean())
            self.assertEqual(server.stored(), [])

    def test_bytes_that_drip_do_not_extend_the_head_timeout(self):
        with Sluice(head_timeout=1) as server, raw(server, seconds=0.1) as client:
            client.send(b"GET / HTTP/1.1\r\n")
            answer = None
            for _ in range(10 * ANSWER_SECONDS):
                try:
                    client.send(b"X")
                    answer = client.answer()
                    break
                except TimeoutError:
                    continue
            self.assertIsNotNone(answer, "served for as long as it drips")
            self.assertEqual((answer.status, answer.code), (408, "head-timeout"))

    def test_a_connection_that_asks_nothing_is_closed_without_a_word(self):
        with Sluice(head_timeout=1) as server, raw(server) as client:
            self.assertTrue(client.is_closed_clean())

    def test_a_slow_client_that_is_fast_enough_is_served(self):
        body = content(3000)
        with Sluice(body_timeout=1, min_rate="1k") as server, raw(server, seconds=0.2) as client:
            client.send(put(b"slow", b"Content-Length: %d\r\n" % len(body)))
            for at in range(0, len(body), 300):  # the pace is the test: 1.5 kB/s for two seconds, twice the timeout
                client.send(body[at:at + 300])
                if at + 300 < len(body):
                    self.assertRaises(TimeoutError, client.answer)
            client.socket.settimeout(ANSWER_SECONDS)
            self.assertEqual(client.answer().status, 201)
            self.assertEqual(sha256(server.path("slow")), sha256_of(body))


class Log(unittest.TestCase):
    def test_what_strangers_send_is_escaped(self):
        with Sluice(log_format="json") as server, raw(server) as client:
            client.send(b'GET /files/"\\\xe2\x80\xa8\x9b?{} HTTP/1.1\r\nHost: a\r\nUser-Agent: "\\\t\x9b\r\n\r\n')
            client.answer()
            line = wait_until(lambda: [line for line in server.log if "GET" in line], "a line")[0]
            self.assertIsInstance(json.loads(line), dict)
            self.assertTrue(line.isprintable(), line)


if __name__ == "__main__":
    unittest.main()
