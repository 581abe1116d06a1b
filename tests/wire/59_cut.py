"""A small request of each kind, cut at every byte: what was not sent whole is not stored, no more is kept of what can
be resumed than was sent, and nothing else of it stays behind."""

import itertools
import unittest

import dialects
import draft
import h2frames
import tus
from support import Sluice, content, fds, quoted, raw, wait_until
from tus import Tus

BODY = content(40)
NAME = "the-name"
BOUNDARY = b"b0undary"


def head(method, target, *lines):
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: wire.test", *lines, "", "")).encode()


def put():
    return head("PUT", quoted(NAME), f"Content-Length: {len(BODY)}") + BODY


def put_chunked():
    return head("PUT", quoted(NAME), "Transfer-Encoding: chunked") + tus.chunked([BODY[:7], BODY[7:]], ["X: trailer"])


def form():
    body = (b'--%b\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n%b\r\n--%b--'
            % (BOUNDARY, NAME.encode(), BODY, BOUNDARY))
    return head("POST", "/", f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}",
                f"Content-Length: {len(body)}") + body


def post():
    return head("POST", f"/?name={NAME}", f"Content-Length: {len(BODY)}") + BODY


def tus_creation():
    return head("POST", "/", f"Tus-Resumable: {tus.VERSION}", f"Content-Type: {tus.PATCH_TYPE}",
                f"Upload-Length: {len(BODY)}", f"Upload-Metadata: {tus.metadata(filename=NAME)}",
                f"Content-Length: {len(BODY)}") + BODY


def draft_creation():
    return head("PUT", quoted(NAME), "Upload-Draft-Interop-Version: 8", draft.complete_line(8, True),
                f"Content-Length: {len(BODY)}") + BODY


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none", name="{filename}", upload_expiry=3600))

    def setUp(self):
        self.idle_fds = fds(self.server.pid)

    def cut(self, message, at, is_reset):
        client = raw(self.server)
        try:
            client.send(message[:at])
            if is_reset:
                client.reset()
        finally:
            client.close()

    def assert_nothing_is_held(self):
        wait_until(lambda: fds(self.server.pid) <= self.idle_fds and not self.server.temp_files(),
                   f"no more than {self.idle_fds} descriptors and no temporary file")

    def assert_stored(self):
        wait_until(lambda: self.server.stored() == [NAME], "the whole one is stored")
        self.assertEqual(self.server.path(NAME).read_bytes(), BODY)
        self.addCleanup(self.server.path(NAME).unlink)


class EveryByte(Case):
    """At each place two clients leave, one with FIN and one with RST."""

    def check(self, message):
        whole = len(message)
        for at, is_reset in itertools.product(range(whole), (False, True)):
            self.cut(message, at, is_reset)
            if at % 16 == 0:  # so that the place is told, more or less
                self.assertEqual(self.server.stored(), [], f"cut behind byte {at} of {whole}")
        self.assert_nothing_is_held()
        self.assertEqual(self.server.stored(), [])
        with raw(self.server) as client:  # who leaves at once may be gone before all of it was read
            client.send(message)
            self.wait_for_answer(client)
            self.assert_stored()

    @staticmethod
    def wait_for_answer(client):
        while client.answer().status < 200:
            pass

    def test_put(self):
        self.check(put())

    def test_put_in_chunks(self):
        self.check(put_chunked())

    def test_form(self):
        self.check(form())

    def test_raw_post(self):
        self.check(post())

    def check_kept(self, message):
        """Of what may be resumed there is at most one upload a client, with no more bytes than it sent; of whom nothing
        was told, none."""
        self.check(message)
        kept = self.server.kept()
        self.assertLessEqual(len(kept), 2 * len(BODY) + 3)
        with Tus(self.server) as client:
            for target in ("/uploads/" + one for one in kept):
                answer = client.ask("HEAD", target, *self.words, version=self.version, is_ours=False)
                self.assertIn(answer.status, (200, 204), answer)
                self.assertLessEqual(int(answer.headers["upload-offset"]), len(BODY))
                answer = client.ask("DELETE", target, *self.words, version=self.version, is_ours=False)
                self.assertEqual(answer.status, 204, answer)
        self.assertEqual(self.server.kept(), [])

    def test_tus_creation(self):
        self.words, self.version = [], tus.VERSION
        self.check_kept(tus_creation())

    def test_draft_creation(self):
        self.words, self.version = ["Upload-Draft-Interop-Version: 8"], None
        self.check_kept(draft_creation())


class Patch(Case):
    """One upload for each place: it has what was sent, or less, and goes on from there."""

    def test_tus(self):
        with Tus(self.server) as client:
            self.check(client, lambda target: tus.patch_head(target, 0, len(BODY)))

    def test_tus_in_chunks(self):
        with Tus(self.server) as client:
            self.check(client, lambda target: tus.patch_head(target, 0, None), tus.chunked([BODY[:7], BODY[7:]]))

    def test_draft(self):
        with Tus(self.server) as client:
            self.check(client, lambda target: head(
                "PATCH", target, "Upload-Draft-Interop-Version: 8", draft.complete_line(8, True), "Upload-Offset: 0",
                f"Content-Type: {draft.PARTIAL}", f"Content-Length: {len(BODY)}"))

    def check(self, client, head_of, body=BODY):
        length = len(head_of("/uploads/" + "a" * 26)) + len(body)
        for at in range(1, length):
            target = client.made(len(BODY), f"Upload-Metadata: {tus.metadata(filename=NAME)}")
            message = head_of(target) + body
            self.assertEqual(len(message), length)
            self.cut(message, at, is_reset=at % 2)
            self.finish(client, target, max(0, at - len(head_of(target))))
            self.assertEqual(self.server.path(NAME).read_bytes(), BODY, f"cut behind byte {at}")
            self.assertEqual(client.delete(target).status, 204)
            self.server.path(NAME).unlink()
        client.close()
        self.assert_nothing_is_held()

    def finish(self, client, target, sent):
        """As clients do. What was cut may be read by the server only after it told how far it is."""
        for _ in range(5):
            offset = client.offset(target)
            self.assertLessEqual(offset, sent)
            if offset == len(BODY):
                return
            answer = client.patch(target, offset, BODY[offset:])
            if answer.status not in (403, 409):  # complete, or further on
                break
        self.assertEqual(answer.status, 204, answer)


@dialects.only("h1")  # which has nothing to say about it: these are frames of their own
class Http2(Case):
    def message(self):
        """Preface, SETTINGS, the head of a PUT, and two pieces of its body: what a client says blindly."""
        fields = [(b":method", b"PUT"), (b":scheme", b"http"), (b":path", quoted(NAME).encode()),
                  (b":authority", b"wire.test"), (b"content-length", b"%d" % len(BODY))]
        block = b"".join(h2frames.literal(name, value) for name, value in fields)
        return (h2frames.PREFACE + h2frames.settings()
                + h2frames.frame(h2frames.HEADERS, h2frames.END_HEADERS, 1, block)
                + h2frames.frame(h2frames.DATA, 0, 1, BODY[:7])
                + h2frames.frame(h2frames.DATA, h2frames.END_STREAM, 1, BODY[7:]))

    def test_put(self):
        EveryByte.check(self, self.message())

    def wait_for_answer(self, client):
        """What is stored tells."""


if __name__ == "__main__":
    unittest.main()
