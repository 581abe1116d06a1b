"""Requests over HTTP/2 frames, right and wrong: what the routes must never see, bodies in odd frames, windows that
open late, early answers, and the end of a connection."""

import unittest

import h2frames as h2
from h2frames import END_HEADERS, END_STREAM, H2, PADDED, frame, literal, window_update
from support import Sluice, wait_until

KIB = 1024


def raw_head(client, stream, fields, end=True):
    content = b"".join(literal(name.encode(), value.encode()) for name, value in fields)
    flags = END_HEADERS | (END_STREAM if end else 0)
    client.send(frame(h2.HEADERS, flags, stream, content))


class Frames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice())

    def assert_nothing_of(self, name):
        wait_until(lambda: self.server.temp_files() == [], "temporary files go")
        self.assertFalse(self.server.path(name).exists())

    def assert_lives(self, client, stream):
        client.request(stream, "GET", "/healthz")
        self.assertEqual(client.answer(stream).status, 200)
        self.assertIsNone(client.goaway)


class Heads(Frames):
    def refused(self, fields):
        """The status, or the name of the stream error."""
        with H2(self.server) as client:
            client.headers(1, fields)
            answer = client.answer(1)
            self.assert_lives(client, 3)
            return answer.status or {h2.PROTOCOL_ERROR: "malformed"}.get(answer.reset, answer.reset)

    def get(self, *more, **other):
        fields = {":method": "GET", ":scheme": "http", ":path": "/healthz", ":authority": "localhost"}
        for name, value in other.items():
            fields[f":{name}"] = value
        return [*((name, value) for name, value in fields.items() if value is not None), *more]

    def test_refused(self):
        for expected, fields in (
                (400, self.get(("host", "elsewhere"))),
                ("malformed", self.get(authority="a b")), (400, self.get(authority="user@localhost")),
                (400, self.get(authority="localhost:x")),
                ("malformed", self.get(authority=None)),
                (400, self.get(path="/healthz#there")),
                ("malformed", self.get(path="/a b")), ("malformed", self.get(path="/a\tb")),
                ("malformed", self.get(path="/a\x7f")), ("malformed", self.get(path="*")),
                ("malformed", self.get(path="http://localhost/healthz")),
                (400, self.get(method="CONNECT", scheme=None, path=None)),
                ("malformed", self.get(method="CONNECT")),
                ("malformed", self.get(method="CONNECT", scheme=None, path=None, authority=None)),
                ("malformed", self.get((":protocol", "websocket"), method="CONNECT")),
                ("malformed", self.get(method="G T")), ("malformed", self.get(method="")),
                (431, self.get(*((f"x-{i}", "y") for i in range(97)))),
                (431, self.get(*((f"x-{i}", "y" * 4096) for i in range(25)))),
                                (414, self.get(path="/" + "a" * 9000)),
                (417, self.get(("expect", "fame")))):
            with self.subTest(str(fields)[:150]):
                self.assertEqual(self.refused(fields), expected)
        self.assertEqual(self.server.stored(), [])

    def test_taken(self):
        for fields in (self.get(("host", "LOCALHOST")), self.get(("host", "localhost"), authority=None),
                       self.get(*((f"x-{i}", "y") for i in range(96))),
                       self.get(("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")), self.get(("te", "trailers")),
                       self.get(authority="[::1]:80"), self.get(scheme="https"),
                       self.get(("x", "")), self.get(("x", "\xe4"))):
            with self.subTest(str(fields)[:150]):
                self.assertEqual(self.refused(fields), 200)

    def test_options_of_all(self):
        self.assertIn(self.refused(self.get(method="OPTIONS", path="*")), (200, 204))

    def test_unknown_methods_are_answered(self):
        self.assertEqual(self.refused(self.get(method="BREW", path="/")), 405)

    def test_a_refused_head_leaves_the_table_of_fields_right(self):
        with H2(self.server) as client:
            for stream in (1, 3):  # the second uses what the first put into the table
                client.headers(stream, self.get(*((f"x-{i}", "y") for i in range(97))))
                self.assertEqual(client.answer(stream).status, 431)
            self.assert_lives(client, 5)

    def test_a_field_of_100_kib_ends_the_connection(self):  # more than nghttp2 decodes: the table is lost
        with H2(self.server) as client:
            client.headers(1, self.get(("x", "y" * 100_000)))
            self.assertEqual(client.end().code, h2.COMPRESSION_ERROR)

    def test_head_and_get_with_a_body(self):
        with H2(self.server) as client:
            client.request(1, "HEAD", "/healthz")
            client.request(3, "GET", "/healthz")
            head, get = client.answer(1), client.answer(3)
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertEqual(head.headers.get("content-length"), get.headers.get("content-length"))
            client.request(5, "GET", "/healthz", end=False)
            client.data(5, b"of no use")
            self.assertEqual(client.answer(5).status, 200)
            self.assert_lives(client, 7)


class Sending(Frames):
    def put(self, client, stream, name, *more, end=False):
        client.headers(stream, [*client.fields("PUT", f"/files/{name}"), *more], end)

    def assert_stored(self, client, stream, name, content):
        answer = client.answer(stream)
        self.assertEqual((answer.status, answer.reset), (201, None), answer)
        self.assertEqual(self.server.path(name).read_bytes(), content)

    def send(self, client, stream, frames):
        """(bytes that count, frame) one after another, as the windows allow. How many bytes that counted were sent."""
        seen, room, sent = 0, {0: 65535, stream: client.settings[h2.INITIAL_WINDOW_SIZE]}, 0

        def can_send(size):
            nonlocal seen
            for came in client.frames[seen:]:
                if came.kind == h2.WINDOW_UPDATE and came.stream in room:
                    room[came.stream] += int.from_bytes(came.payload, "big")
            seen = len(client.frames)
            return size <= min(room.values())

        waiting = b""
        for size, content in frames:
            if len(waiting) > 64 * KIB or not can_send(size):
                client.send(waiting)
                waiting = b""
                client.read_until(lambda size=size: can_send(size), "a window")
            waiting += content
            room[0] -= size
            room[stream] -= size
            sent += size
        client.send(waiting)
        return sent


class Uploads(Sending):
    def test_empty_files(self):
        with H2(self.server) as client:
            self.put(client, 1, "empty-1", ("content-length", "0"), end=True)
            self.assert_stored(client, 1, "empty-1", b"")
            self.put(client, 3, "empty-2", end=True)
            self.assert_stored(client, 3, "empty-2", b"")
            self.put(client, 5, "empty-3")
            client.data(5, b"")
            self.assert_stored(client, 5, "empty-3", b"")
            self.put(client, 7, "empty-4", ("content-length", "0"))
            client.headers(7, [("x-trailer", "1")])
            self.assert_stored(client, 7, "empty-4", b"")

    def test_without_a_length_and_with_trailers(self):
        with H2(self.server) as client:
            self.put(client, 1, "no-length")
            client.data(1, b"of any ", end=False)
            client.data(1, b"length")
            self.assert_stored(client, 1, "no-length", b"of any length")
            self.put(client, 3, "trailers", ("content-length", "4"), ("trailer", "x-more"))
            client.data(3, b"test", end=False)
            client.headers(3, [("x-more", "fields")])
            self.assert_stored(client, 3, "trailers", b"test")

    def test_wrong_lengths_store_nothing_and_touch_nobody_else(self):
        with H2(self.server) as client:
            self.put(client, 1, "right-1")
            client.data(1, b"one, ", end=False)
            self.put(client, 3, "too-short", ("content-length", "10"))
            client.data(3, b"short")
            self.put(client, 5, "too-long", ("content-length", "4"))
            client.data(5, b"long", end=False)
            client.data(5, b"er")
            self.put(client, 7, "right-2", ("content-length", "2"))
            client.data(7, b"o", end=False)
            raw_head(client, 9, [("no-pseudo", "field")])
            client.data(7, b"k")
            client.data(1, b"two")
            for stream in (3, 5, 9):
                answer = client.answer(stream)
                self.assertEqual((answer.status, answer.reset), (0, h2.PROTOCOL_ERROR), answer)
            self.assert_stored(client, 1, "right-1", b"one, two")
            self.assert_stored(client, 7, "right-2", b"ok")
        self.assert_nothing_of("too-short")
        self.assert_nothing_of("too-long")

    def test_expect_continue(self):
        with H2(self.server) as client:
            self.put(client, 1, "expected", ("expect", "100-continue"), ("content-length", "4"))
            client.read_until(lambda: client.answers[1].interim, "100")
            self.assertEqual(client.answers[1].interim[0][0], 100)
            self.assertEqual(client.answers[1].status, 0)
            client.data(1, b"test")
            self.assert_stored(client, 1, "expected", b"test")
            self.put(client, 3, "expected", ("expect", "100-continue"), ("content-length", "4"))
            client.read_until(lambda: client.answers[3].has_ended, "409")
            self.assertEqual((client.answers[3].status, client.answers[3].interim), (409, []))

    def test_padding_is_given_back(self):
        with H2(self.server) as client:
            count = 1700  # each costs of the allowance for frames of no use, which is 2000
            self.put(client, 1, "padded", ("content-length", str(count)))
            one = frame(h2.DATA, PADDED, 1, b"\xff" + b"x" + bytes(255))
            sent = self.send(client, 1, [(257, one)] * count + [(0, frame(h2.DATA, END_STREAM, 1))])
            self.assertGreater(sent, 1.5 * client.settings[h2.INITIAL_WINDOW_SIZE])
            self.assert_stored(client, 1, "padded", b"x" * count)

    def test_one_byte_a_frame(self):
        content = bytes(i % 251 for i in range(20 * KIB))
        with H2(self.server) as client:
            self.put(client, 1, "bytes", ("content-length", str(len(content))))
            self.send(client, 1, [(1, frame(h2.DATA, 0, 1, content[i:i + 1])) for i in range(len(content))])
            client.data(1, b"")
            self.assert_stored(client, 1, "bytes", content)

    def test_the_rest_behind_an_early_answer_is_dropped(self):
        self.server.path("there").write_bytes(b"before")
        with H2(self.server) as client:
            self.put(client, 1, "there", ("content-length", str(1024 * KIB)))
            client.read_until(lambda: client.answers[1].has_ended, "409")
            self.assertEqual(client.answers[1].status, 409)
            self.send(client, 1, [(16 * KIB, frame(h2.DATA, 0, 1, bytes(16 * KIB)))] * 64)
            client.ping()
            self.assertIsNone(client.answers[1].reset, "the peer was still sending")
            client.data(1, b"")
            self.assert_lives(client, 3)
            self.assertIsNone(client.answers[1].reset)
        self.assertEqual(self.server.path("there").read_bytes(), b"before")

    def test_who_says_nothing_is_given_up_like_a_head_that_does_not_end(self):
        for said in (h2.PREFACE, h2.PREFACE + h2.settings()[:5]):
            with self.subTest(said), Sluice(head_timeout=1) as server, H2(server, hello=False) as client:
                client.send(said)
                client.end(10)

    def test_trailers_behind_a_reset_are_no_head_that_does_not_end(self):
        """They crossed it, and nobody tells us when they are over."""
        with Sluice(head_timeout=1) as server, H2(server) as client:
            client.request(1, "PUT", "/healthz", end=False)
            self.assertEqual(client.answer(1).status, 405)
            client.read_until(lambda: client.answers[1].reset is not None, "its reset")
            raw_head(client, 1, [("x-trailer", "late")])
            with self.assertRaises(TimeoutError):  # nothing comes: a way to wait for longer than a head may take
                client.read_until(lambda: False, "anything", 2.5)
            self.assert_lives(client, 3)

    def test_an_upload_that_is_reset_stores_nothing(self):
        with H2(self.server) as client:
            self.put(client, 1, "reset")
            client.data(1, b"a part", end=False)
            client.ping()
            client.send(h2.rst_stream(1))
            client.ping()
            self.assert_nothing_of("reset")
            self.put(client, 3, "reset")
            client.data(3, b"whole")
            self.assert_stored(client, 3, "reset", b"whole")


class Rows(Sending):
    """Large frames in a row are received many at a time. What interrupts them is not to be mistaken for
    one of them, nor what it interrupts."""

    LARGE = 16 * KIB

    def large(self, stream, number):
        return frame(h2.DATA, 0, stream, bytes((number + i) % 253 for i in range(256)) * (self.LARGE // 256))

    def row(self, stream, first, count):
        return b"".join(self.large(stream, i) for i in range(first, first + count))

    def content(self, count):
        return b"".join(self.large(1, i)[9:] for i in range(count))

    def warm_up(self, client, count=256):
        """`count` frames of stream 1, by which its window has become large."""
        self.send(client, 1, [(self.LARGE, self.large(1, i)) for i in range(count)])
        client.ping()
        return count

    def test_other_frames_between(self):
        for name, between in (
                ("ping", frame(h2.PING, 0, 0, bytes(8))), ("priority", frame(h2.PRIORITY, 0, 1, bytes(4) + b"\x10")),
                ("settings", h2.settings()), ("window", window_update(1, 1)),
                ("unknown", frame(0x42, 0, 1, b"\xaa" * self.LARGE)),
                ("unknown-small", frame(0x42, 0, 0, b"\xaa")), ("empty", frame(h2.DATA, 0, 1)),
                ("two", frame(h2.PING, 0, 0, bytes(8)) + frame(0x42, 0, 0, bytes(self.LARGE)))):
            with self.subTest(name), H2(self.server) as client:
                self.put(client, 1, name)
                sent = self.warm_up(client)
                client.send(self.row(1, sent, 32) + between + self.row(1, sent + 32, 9) + between * 2 +
                            self.row(1, sent + 41, 1) + frame(h2.DATA, END_STREAM, 1))
                self.assert_stored(client, 1, name, self.content(sent + 42))

    def test_frames_of_the_body_that_are_unlike(self):
        for name, flags, payload, counted in (
                ("short", 0, b"\x55" * 5000, b"\x55" * 5000), ("byte", 0, b"\x55", b"\x55"),
                ("shorter", 0, b"\x55" * 16383, b"\x55" * 16383),
                ("padded", PADDED, b"\x07" + b"\x55" * 16376 + bytes(7), b"\x55" * 16376),
                ("all-padding", PADDED, b"\xff" + bytes(255), b"")):
            with self.subTest(name), H2(self.server) as client:
                self.put(client, 1, name)
                sent = self.warm_up(client)
                client.send(self.row(1, sent, 30) + frame(h2.DATA, flags, 1, payload) + self.row(1, sent + 30, 8) +
                            frame(h2.DATA, END_STREAM, 1, b"end"))
                whole = self.content(sent + 38)
                at = (sent + 30) * self.LARGE
                self.assert_stored(client, 1, name, whole[:at] + counted + whole[at:] + b"end")

    def test_an_end_in_a_large_frame_and_others_behind_it(self):
        with H2(self.server) as client:
            self.put(client, 1, "first")
            self.put(client, 3, "second")
            sent = self.warm_up(client)
            client.send(self.row(1, sent, 31) + frame(h2.DATA, END_STREAM, 1, b"\x11" * self.LARGE) +
                        self.row(3, 0, 12) + frame(h2.DATA, END_STREAM, 3, b"\x33" * self.LARGE))
            client.request(5, "GET", "/healthz")
            self.assert_stored(client, 1, "first", self.content(sent + 31) + b"\x11" * self.LARGE)
            self.assert_stored(client, 3, "second", self.content(12) + b"\x33" * self.LARGE)
            self.assertEqual(client.answer(5).status, 200)

    def test_streams_that_take_turns(self):
        with H2(self.server) as client:
            self.put(client, 1, "turns-1")
            self.put(client, 3, "turns-3")
            sent = self.warm_up(client)
            client.send(self.row(1, sent, 30))
            client.send(b"".join(self.large(3, i) + self.large(1, sent + 30 + i) for i in range(12)))
            client.data(1, b"")
            client.data(3, b"")
            self.assert_stored(client, 1, "turns-1", self.content(sent + 42))
            self.assert_stored(client, 3, "turns-3", self.content(12))

    def test_an_end_by_reset_or_by_length(self):
        with H2(self.server) as client:
            self.put(client, 1, "reset-in-a-row")
            sent = self.warm_up(client)
            client.send(self.row(1, sent, 30) + h2.rst_stream(1) + self.row(1, sent + 30, 9))
            self.assert_lives(client, 3)
        with H2(self.server) as client:
            self.put(client, 1, "too-long-a-row", ("content-length", str((256 + 30) * self.LARGE)))
            sent = self.warm_up(client)
            client.send(self.row(1, sent, 42))
            client.read_until(lambda: client.answers[1].reset is not None, "a reset")
            self.assertEqual(client.answers[1].reset, h2.PROTOCOL_ERROR)
            self.assert_lives(client, 3)
        self.assert_nothing_of("reset-in-a-row")
        self.assert_nothing_of("too-long-a-row")

    def test_a_row_in_pieces(self):
        with H2(self.server) as client:
            self.put(client, 1, "pieces")
            sent = self.warm_up(client, 64)
            content, at = self.row(1, sent, 16) + frame(h2.DATA, END_STREAM, 1), 0
            for step in (1, 8, 9, 10, 16383, 16384, 16392, 16393, 16394, 3 * 16393, 40000, 1 << 20):
                client.send(content[at:at + step])
                at += step
            self.assert_stored(client, 1, "pieces", self.content(sent + 16))


class Answers(Frames):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.content = bytes(i * 7 % 256 for i in range(48 * KIB))
        cls.server.path("file").write_bytes(cls.content)
        cls.server.path("large").write_bytes(bytes(1024 * KIB))

    def body(self, client, stream=1):
        return client.answers[stream].body

    def test_a_window_of_one_byte_at_a_time(self):
        with H2(self.server, pairs={h2.INITIAL_WINDOW_SIZE: 1}) as client:
            client.request(1, "GET", "/files/file", {"range": "bytes=0-99"})
            for count in range(1, 101):
                client.read_until(lambda count=count: len(self.body(client)) >= count, "the next byte")
                self.assertEqual(len(self.body(client)), count)
                client.send(window_update(1, 1))
            self.assertEqual(client.answer(1).body, self.content[:100])

    def test_the_window_shrinks_and_grows(self):
        with H2(self.server, pairs={h2.INITIAL_WINDOW_SIZE: 1000}) as client:
            client.request(1, "GET", "/files/file")
            client.read_until(lambda: len(self.body(client)) >= 1000, "the first window")
            client.send(h2.settings({h2.INITIAL_WINDOW_SIZE: 0}) + window_update(1, 1000))  # it was -1000
            client.ping()
            self.assertEqual(len(self.body(client)), 1000)
            client.send(window_update(1, 500))
            client.read_until(lambda: len(self.body(client)) >= 1500, "500 more")
            client.ping()
            self.assertEqual(len(self.body(client)), 1500)
            client.send(h2.settings({h2.INITIAL_WINDOW_SIZE: 60000}))
            self.assertEqual(client.answer(1).body, self.content)

    def test_the_window_of_the_connection_holds_for_all(self):
        with H2(self.server, pairs={h2.INITIAL_WINDOW_SIZE: 1 << 20}) as client:
            for stream in (1, 3):
                client.request(stream, "GET", "/files/large")
            total = lambda: sum(len(self.body(client, stream)) for stream in (1, 3))  # noqa: E731
            client.read_until(lambda: total() >= 65535, "the window")
            client.ping()
            self.assertEqual(total(), 65535)
            client.send(window_update(0, 4 << 20))
            for stream in (1, 3):
                self.assertEqual(client.answer(stream).body, bytes(1024 * KIB))

    def test_frames_are_no_larger_than_the_client_takes(self):
        for size in (None, 16384, 1 << 20):
            pairs = {h2.INITIAL_WINDOW_SIZE: 4 << 20, **({h2.MAX_FRAME_SIZE: size} if size else {})}
            with self.subTest(size), H2(self.server, pairs=pairs) as client:
                client.send(window_update(0, 4 << 20))
                client.request(1, "GET", "/files/large")
                self.assertEqual(client.answer(1).body, bytes(1024 * KIB))
                self.assertLessEqual(max(len(f.payload) for f in client.frames), size or 16384)

    def test_the_table_of_fields_is_as_large_as_the_client_says(self):
        with H2(self.server, pairs={h2.HEADER_TABLE_SIZE: 0}) as client:
            client.decoder.max_allowed_table_size = 0
            client.request(1, "GET", "/healthz")
            client.answer(1)
            self.assert_lives(client, 3)
            for at, size in enumerate((4096, 0, 1 << 16, 60)):
                client.send(h2.settings({h2.HEADER_TABLE_SIZE: size}))
                client.ping()  # it came
                client.decoder.max_allowed_table_size = size  # a larger one in use is an error from here on
                self.assert_lives(client, 5 + 4 * at)
                self.assert_lives(client, 7 + 4 * at)

    def test_nothing_of_a_connection_is_said(self):
        with H2(self.server) as client:
            for stream, path in ((1, "/healthz"), (3, "/files/file"), (5, "/"), (7, "/nothing"), (9, "/files/")):
                client.request(stream, "GET", path)
                with self.subTest(path):
                    fields = client.answer(stream).headers
                    of_connection = {"connection", "transfer-encoding", "keep-alive", "upgrade"}
                    self.assertEqual(fields.keys() & of_connection, set())
                    self.assertEqual([name for name in fields if name != name.lower()], [])


def last(client):
    """The last stream that the server says it takes."""
    return int.from_bytes(client.goaway.payload[:4], "big")


class Drain(unittest.TestCase):
    def test_what_is_open_ends_and_nothing_new_begins(self):
        with Sluice() as server, H2(server) as client, H2(server) as idle:
            client.request(1, "PUT", "/files/late", end=False)
            client.data(1, b"begun, ", end=False)
            client.ping()
            client.acks_pings = False
            server.terminate()
            client.read_until(lambda: client.goaway, "the notice")
            self.assertEqual((client.goaway.code, last(client)), (h2.NO_ERROR, (1 << 31) - 1))
            client.request(3, "GET", "/healthz")  # it was on its way
            client.send(frame(h2.PING, h2.ACK, 0, bytes(8)))
            self.assertEqual(idle.end().code, h2.NO_ERROR)
            client.read_until(lambda: last(client) == 3, "the last GOAWAY")
            self.assertNotEqual(client.answer(3).status, 0)
            client.request(5, "PUT", "/files/new", end=False)
            client.data(5, b"never")
            client.ping()
            client.data(1, b"ended")
            self.assertEqual(client.answer(1).status, 201)
            self.assertEqual((client.end().code, last(client)), (h2.NO_ERROR, 3))
            self.assertIn(client.answers[5].reset, (None, h2.REFUSED_STREAM))
            self.assertEqual(client.answers[5].status, 0)
            client.close()  # or the server lingers for what it may still send
            idle.close()
            self.assertEqual(server.wait(), 0)
            self.assertEqual(server.stored(), ["late"])
            self.assertEqual(server.path("late").read_bytes(), b"begun, ended")
            self.assertEqual(server.temp_files(), [])


if __name__ == "__main__":
    unittest.main()
