"""HTTP/2 clients that mean harm, and those that only look as if. Whatever is poured in: memory stays bounded, others
on the same loop are served meanwhile, the end is the right one, and nothing is left behind.

Bounds, for all cases: GROWTH_MIB more resident memory than before, at any moment; QUICK_SECONDS for a request of
another client, a PUT that is stored included."""

import contextlib
import fcntl
import itertools
import re
import select
import struct
import subprocess
import termios
import threading
import time
import unittest

import faults
import h2frames
import support
from h2frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, GOAWAY,
                      H2, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, PADDED, PING, PRIORITY, PROTOCOL_ERROR, RST_STREAM,
                      SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, frame, literal, rst_stream, settings, window_update)
from support import Sluice, raw, wait_until

KIB, MIB = 1 << 10, 1 << 20
IS_SANITIZED = faults.is_sanitized()
GROWTH_MIB = 32
QUICK_SECONDS = 10 if IS_SANITIZED else 2
FRAMES = 50_000  # of a flood; honest clients send no such number without use, and no row here is let through with it
ROUND = 25  # streams opened, then waited for
STREAMS_MAX = 100
CONNECTIONS = 10
POURED_BYTES = 24 * MIB  # of a flood; more than the sockets of both sides hold
STALLED_SECONDS = 0.5  # the server takes nothing more
WINDOW_MAX = 0x7fffffff
LINGER_SECONDS = 5  # what comes behind a GOAWAY is dropped for so long, so that it is seen


# ---- frames ----


def head(method, path, *more):
    """A request's header block that needs no state, so it can be sent any number of times."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a"), *more]
    return b"".join(literal(name, value) for name, value in fields)


GET = head(b"GET", b"/healthz")
GET_LARGE = head(b"GET", b"/files/large")
PUT = head(b"PUT", b"/abused")
PUT_5 = head(b"PUT", b"/abused", (b"content-length", b"5"))


FIRST = 101  # of a flood; those before are for what a case does first


def ids():
    return itertools.count(FIRST, 2)


def get(stream, block=GET):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def put(stream, block=PUT):
    return frame(HEADERS, END_HEADERS, stream, block)


def each(make):
    """make(id) for one new stream after the other."""
    return lambda: map(make, ids())


def again(*frames):
    return lambda: itertools.repeat(b"".join(frames))


def after(first, *frames):
    return lambda: itertools.chain([first], itertools.repeat(b"".join(frames)))


def priority(stream, depends_on):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends_on, 15))


PONG = frame(PING, ACK, 0, b"whatever")
BEGUN = frame(HEADERS, 0, FIRST, PUT)  # and no END_HEADERS

# Downloads enough to fill the sockets of who does not read: what is said from then on stays with the server.
LARGE_BYTES = 4 * MIB
GORGE = window_update(0, WINDOW_MAX - 65_535) + b"".join(get(i, GET_LARGE) for i in range(1, 21, 2))
GORGED = {INITIAL_WINDOW_SIZE: WINDOW_MAX}

# What is poured in, until the server has enough of it. All of it ends with ENHANCE_YOUR_CALM.
FLOODS = {
    # resets by the peer (CVE-2023-44487)
    "rapid reset of GETs": each(lambda i: get(i) + rst_stream(i)),
    "rapid reset of downloads": each(lambda i: get(i, GET_LARGE) + rst_stream(i)),
    "rapid reset of PUTs": each(lambda i: put(i) + rst_stream(i)),
    "rapid reset of PUTs with bodies": each(lambda i: put(i) + frame(DATA, 0, i, b"x" * 100) + rst_stream(i)),
    "rapid reset with NO_ERROR": each(lambda i: get(i) + rst_stream(i, NO_ERROR)),
    "resets of a closed stream": after(put(FIRST) + rst_stream(FIRST), rst_stream(FIRST)),
    # frames that carry nothing (CVE-2019-9511 to 9518)
    "SETTINGS": again(settings()),
    "SETTINGS with a value": again(settings({INITIAL_WINDOW_SIZE: 1000})),
    "PING": again(frame(PING, 0, 0, b"whatever")),
    "PING acknowledgements": again(PONG),
    "PRIORITY of an idle stream": again(priority(3, 0)),
    "PRIORITY of ever new streams": each(lambda i: priority(i, 0)),
    "WINDOW_UPDATE of the connection": again(window_update(0, 1)),
    "WINDOW_UPDATE of a stream": after(put(FIRST), window_update(FIRST, 1)),
    "WINDOW_UPDATE of a closed stream": after(put(FIRST) + rst_stream(FIRST), window_update(FIRST, 1)),
    "empty DATA": after(put(FIRST), frame(DATA, 0, FIRST)),
    "empty DATA, padded": after(put(FIRST), frame(DATA, PADDED, FIRST, b"\0")),
    "empty DATA, all padding": after(put(FIRST), frame(DATA, PADDED, FIRST, bytes([9] + 9 * [0]))),
    "empty DATA of a closed stream": after(put(FIRST) + rst_stream(FIRST), frame(DATA, 0, FIRST)),
    "heads of a closed stream": after(put(FIRST) + rst_stream(FIRST), get(FIRST)),
    "GOAWAY": after(put(FIRST), frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0))),
    "frames of an unknown kind": again(frame(0x77)),
    "ALTSVC": again(frame(0xa, 0, 0, b"\0\1ab")),
    "PRIORITY_UPDATE": again(frame(0x10, 0, 0, struct.pack(">I", 1) + b"u=1")),
    # heads without an end (CVE-2024-28182)
    "CONTINUATION, empty": after(BEGUN, frame(CONTINUATION, 0, FIRST)),
    "CONTINUATION, tiny": after(BEGUN, frame(CONTINUATION, 0, FIRST, literal(b"a", b"b"))),
    "CONTINUATION, full": after(BEGUN, frame(CONTINUATION, 0, FIRST, literal(b"a" * 50, b"b" * 16_000))),
    "heads of many CONTINUATIONs each": each(
        lambda i: frame(HEADERS, END_STREAM, i, GET) + 7 * frame(CONTINUATION, 0, i) +
        frame(CONTINUATION, END_HEADERS, i) + rst_stream(i)),
}

# What makes us reset a stream (CVE-2025-8671), one stream after the other.
MADE_RESETS = {
    "a window too large": lambda i: put(i) + window_update(i, WINDOW_MAX),
    "more than content-length": lambda i: put(i, PUT_5) + frame(DATA, END_STREAM, i, b"sixsix"),
    "less than content-length": lambda i: put(i, PUT_5) + frame(DATA, END_STREAM, i, b"four"),
    "an upper-case field": lambda i: put(i, head(b"PUT", b"/abused", (b"Upper", b"1"))),
    "no :path": lambda i: get(i, literal(b":method", b"GET") + literal(b":scheme", b"http")),
    "trailers that end nothing": lambda i: put(i) + frame(HEADERS, END_HEADERS, i, literal(b"a", b"b")),
    "all of these in turn": lambda i: list(MADE_RESETS.values())[i // 2 % (len(MADE_RESETS) - 1)](i),
}

# Floods that each frame of is answered.
ANSWERED = ("rapid reset of GETs", "SETTINGS", "PING", "heads of many CONTINUATIONs each")

# One frame that ends the connection at once, so nobody can make a habit of it: the code of GOAWAY.
BREAKS = {
    "DATA behind the end of its stream": (put(1) + frame(DATA, END_STREAM, 1) + frame(DATA, 0, 1, b"x"),
                                          STREAM_CLOSED),
    "a stream that depends on itself": (priority(1, 1), PROTOCOL_ERROR),
    "a reset of an idle stream": (rst_stream(1), PROTOCOL_ERROR),
    "a window of 0": (put(1) + window_update(1, 0), PROTOCOL_ERROR),
    "SETTINGS acknowledged twice": (settings(ack=True) * 2, PROTOCOL_ERROR),
    "a window of 0 of the connection": (window_update(0, 0), PROTOCOL_ERROR),
    "a window too large of the connection": (window_update(0, WINDOW_MAX), FLOW_CONTROL_ERROR),
    "another stream inside a head": (BEGUN + get(FIRST + 2), PROTOCOL_ERROR),
}


# ---- the abuser ----


def pour(h2, frames, reads=True):
    """Sends `frames`, POURED_BYTES at most, and keeps what comes. How it ended: "all" is out, the server "closed", or
    it "stopped" taking. reads: False never looks at what the server says."""
    frames, out, poured = iter(frames), b"", 0
    h2.socket.setblocking(False)
    try:
        while poured < POURED_BYTES and (out := out or b"".join(itertools.islice(frames, 2000))):
            readable, writable, _ = select.select([h2.socket] if reads else [], [h2.socket], [], STALLED_SECONDS)
            if not readable and not writable:
                return "stopped"
            if readable:
                piece = h2.socket.recv(MIB)
                if not piece:
                    return "closed"
                h2.unread += piece
            if writable:
                sent = h2.socket.send(out)
                out, poured = out[sent:], poured + sent
    except BlockingIOError:
        return "stopped"
    except ConnectionError:
        return "closed"
    finally:
        h2.socket.setblocking(True)
    return "all"


def gorge(h2):
    """Asks for downloads and does not read them, until the server's writes are stuck."""
    h2.send(GORGE)
    seen = [-1, 0]

    def has_stopped():
        seen.append(struct.unpack("i", fcntl.ioctl(h2.socket, termios.FIONREAD, bytes(4)))[0])
        return seen[-1] > 16 * KIB and len(set(seen[-10:])) == 1  # looked at ten times

    wait_until(has_stopped, "a socket that is full")


class Others:
    """Honest clients on the same loop while something goes on, one over HTTP/1, one over HTTP/2: a context manager.
    They ask and upload all the time; `slowest` is the longest that both waited, `peak_mib` the most memory."""

    def __init__(self, server):
        self.server, self.slowest, self.turns, self.peak_mib = server, 0, 0, 0
        self._over, self._failure, self._h2_id = threading.Event(), None, ids()

    def __enter__(self):
        self.before_mib = support.rss_mib(self.server.pid)[0]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._over.set()
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    @property
    def growth_mib(self):
        return self.peak_mib - self.before_mib

    def _run(self):
        try:
            with raw(self.server) as h1, Client(self.server) as h2:
                while True:
                    self._ask(h1, h2)
                    self.turns += 1
                    if self._over.wait(0.005):  # a pause, that it is the abuser's time that is spent
                        return
        except Exception as failure:
            self._failure = failure

    def _ask(self, h1, h2):
        begin = time.monotonic()
        answer = h1.request("GET", "/healthz")
        assert answer.status == 200, answer
        answer = h1.request("PUT", "/other?conflict=overwrite", b"of use" * 1000)
        assert answer.status in (200, 201), answer
        answer = h2.upload(next(self._h2_id), "/other?conflict=overwrite", [b"of use" * 1000])
        assert answer.status in (200, 201), answer
        self.slowest = max(self.slowest, time.monotonic() - begin)
        self.peak_mib = max(self.peak_mib, support.rss_mib(self.server.pid)[0])


class Abuse(unittest.TestCase):
    """Cases share one server of one loop."""

    options = {}

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(
            Sluice(durability="none", conflict="overwrite", loops=1, buffer_memory="32Mi", **cls.options))
        with raw(cls.server) as client:
            assert client.request("PUT", "/large", support.content(LARGE_BYTES)).status == 201
            assert client.request("PUT", "/other", b"").status == 201
        for _ in range(2):  # what is made once and kept
            with H2(cls.server) as h2:
                h2.request(1, "GET", "/files/large")
                h2.ping()
        wait_until(lambda: not cls.server.temp_files(), "an idle server")
        cls.idle_fds = wait_until(lambda: support.fds(cls.server.pid), "descriptors")

    def floods_counted(self):
        with raw(self.server) as client:
            text = client.request("GET", "/metrics").text
        return int(re.search(r'\{code="flood"\} (\d+)', text)[1])

    @contextlib.contextmanager
    def nobody_is_hurt(self, growth_mib=GROWTH_MIB):
        with Others(self.server) as others:
            yield others
        self.assertLess(others.slowest, QUICK_SECONDS, "another client had to wait")
        self.assertGreater(others.turns, 0)
        if not IS_SANITIZED:
            self.assertLess(others.growth_mib, growth_mib, "memory grew")
        self.assert_nothing_is_held()

    def assert_nothing_is_held(self):
        wait_until(lambda: support.fds(self.server.pid) <= self.idle_fds, f"back to {self.idle_fds} descriptors")
        wait_until(lambda: not self.server.temp_files(), "nothing in uploads/")


class Floods(Abuse):
    def test_a_flood_is_told_to_calm_down(self):
        for name, make in FLOODS.items():
            with self.subTest(name):
                counted = self.floods_counted()
                with self.nobody_is_hurt(), H2(self.server) as h2:
                    pour(h2, itertools.islice(make(), FRAMES))
                    goaway = h2.end(LINGER_SECONDS + QUICK_SECONDS)  # a TimeoutError: all was let through
                self.assertIsNotNone(goaway, "closed without a word")
                self.assertEqual(goaway.code, ENHANCE_YOUR_CALM, goaway)
                self.assertEqual(self.floods_counted(), counted + 1)

    def test_who_makes_us_reset_is_told_to_calm_down(self):
        """In rounds, since the streams of one burst are all open until we have answered, and too many break it."""
        for name, make in MADE_RESETS.items():
            with self.subTest(name):
                counted, i, rounds = self.floods_counted(), ids(), 0
                with self.nobody_is_hurt(), H2(self.server) as h2:
                    with contextlib.suppress(h2frames.Closed, ConnectionError):
                        for rounds in range(FRAMES // ROUND):
                            h2.send(b"".join(make(next(i)) for _ in range(ROUND)))
                            h2.ping()
                    goaway = h2.goaway or h2.end()
                self.assertIsNotNone(goaway, f"closed without a word, or let through: {rounds} rounds")
                self.assertEqual(goaway.code, ENHANCE_YOUR_CALM, goaway)
                self.assertEqual(self.floods_counted(), counted + 1)

    def test_who_does_not_read_is_heard_no_longer(self):
        """What we would answer piles up, with us: but not high, and it is not taken in for longer than a while."""
        made = {"resets made": each(MADE_RESETS["all of these in turn"])}
        for name, make in ({name: FLOODS[name] for name in ANSWERED} | made).items():
            with self.subTest(name):
                with self.nobody_is_hurt(), H2(self.server, pairs=GORGED) as h2:
                    gorge(h2)
                    begin, ended = time.monotonic(), pour(h2, make(), reads=False)
                    while ended == "all" and time.monotonic() - begin < LINGER_SECONDS + QUICK_SECONDS:
                        ended = pour(h2, itertools.repeat(frame(0x77)), reads=False)
                self.assertIn(ended, ("closed", "stopped"))

    def test_refused_streams_of_who_neither_reads_nor_acknowledges_do_not_pile_up(self):
        """Until our SETTINGS are acknowledged too many streams are refused one by one, with an answer each."""
        with self.nobody_is_hurt(), H2(self.server, hello=False) as h2:
            h2.send(h2frames.PREFACE + settings(GORGED))
            gorge(h2)
            ended = pour(h2, map(get, ids()), reads=False)
        self.assertIn(ended, ("closed", "stopped"))

    def test_what_breaks_the_connection_breaks_it_once(self):
        for name, (frames, code) in BREAKS.items():
            with self.subTest(name), self.nobody_is_hurt(), H2(self.server) as h2:
                h2.send(frames)
                goaway = h2.end()
                self.assertIsNotNone(goaway, "closed without a word")
                self.assertEqual(goaway.code, code, goaway)


# ---- heads ----


def entry(name, value):
    """A field for the dynamic table, where it gets index 62; the next pushes it on."""
    return b"\x40" + literal(name, value)[1:]


NEWEST = b"\xbe"  # index 62, one byte
LARGE_ENTRY = entry(b"x", b"v" * 4000)


class Heads(Abuse):
    options = {"head_timeout": 1, "body_timeout": 2}

    def test_an_hpack_bomb_is_431_and_takes_no_memory(self):
        """References to one field of 4 KiB, over the limit of 16 KiB; and of those a head full, 48 MiB."""
        with self.nobody_is_hurt(), H2(self.server) as h2:
            for i in itertools.islice(ids(), 50):
                h2.send(get(i, GET + LARGE_ENTRY + NEWEST * 10))
                self.assertEqual(h2.answer(i).status, 431)
            h2.send(get(9999))
            self.assertEqual(h2.answer(9999).status, 200)  # its table is still ours
            h2.send(get(10001, GET + LARGE_ENTRY + NEWEST * (16_384 - len(GET) - len(LARGE_ENTRY))))
            self.assertEqual(h2.end().code, ENHANCE_YOUR_CALM)

    def test_lists_of_many_fields_and_long_ones_are_431(self):
        for name, more in (("101 fields", literal(b"a", b"b") * 101), ("a long one", literal(b"a", b"b" * 17_000)),
                           ("empty fields", literal(b"a", b"") * 4_000)):
            with self.subTest(name), H2(self.server) as h2:
                block = GET + more
                h2.send(frame(HEADERS, END_STREAM, 1, block[:16_000]))
                h2.send(frame(CONTINUATION, END_HEADERS, 1, block[16_000:]))
                self.assertEqual(h2.answer(1).status, 431)

    def test_heads_of_stalled_streams_are_bounded_over_all_connections(self):
        """Each stream costs its client few bytes, and us a head of 12 KiB for as long as the client has no window."""
        count = 60
        with self.nobody_is_hurt(growth_mib=2 * GROWTH_MIB), contextlib.ExitStack() as clients:
            for _ in range(count):
                h2 = clients.enter_context(H2(self.server, pairs={INITIAL_WINDOW_SIZE: 0}))
                h2.send(get(1, GET + LARGE_ENTRY))
                h2.send(b"".join(get(i, GET + 3 * NEWEST) for i in itertools.islice(ids(), 1, STREAMS_MAX)))
                h2.ping()

    def assert_ends_soon(self, h2, seconds):
        begin = time.monotonic()
        h2.end(seconds)
        self.assertLess(time.monotonic() - begin, seconds)

    def test_half_a_head_meets_its_timeout(self):
        with self.nobody_is_hurt(), H2(self.server) as h2:
            h2.send(BEGUN)
            self.assert_ends_soon(h2, 5 + QUICK_SECONDS)

    def test_a_head_that_drips_meets_its_timeout_too(self):
        with self.nobody_is_hurt(), H2(self.server) as h2:
            begin = time.monotonic()
            last = frame(CONTINUATION, END_HEADERS, 1, literal(b"a", b"b" * 1000))
            h2.send(frame(HEADERS, 0, 1, GET) + last[:500])
            with contextlib.suppress(h2frames.Closed, OSError):
                while time.monotonic() - begin < 5 + QUICK_SECONDS:
                    with contextlib.suppress(TimeoutError):
                        h2.read_frame(0.3)
                    h2.send(b"b")
            self.assertLess(time.monotonic() - begin, 5 + QUICK_SECONDS, "it drips on")

    def test_a_bad_head_does_not_end_the_upload_beside_it(self):
        with H2(self.server) as h2:
            h2.send(put(1))
            h2.send(put(3, head(b"PUT", b"/abused", (b"Upper", b"1"))))
            self.assertEqual(h2.answer(3).reset, PROTOCOL_ERROR)
            with contextlib.suppress(TimeoutError):
                h2.read_until(lambda: False, "the end, which must not come", 1.5)  # head-timeout is a second
            h2.data(1, b"x")
            self.assertIn(h2.answer(1).status, (200, 201))

    def test_uploads_that_never_come_are_408_and_let_go(self):
        with self.nobody_is_hurt(), H2(self.server) as h2:
            h2.send(b"".join(put(i) for i in itertools.islice(ids(), STREAMS_MAX)))
            for i in itertools.islice(ids(), STREAMS_MAX):
                self.assertEqual(h2.answer(i).status, 408)
            self.assert_nothing_is_held_but(1)
            h2.read_until(lambda: sum(f.kind == RST_STREAM for f in h2.frames) >= STREAMS_MAX, "their slots")
            h2.send(get(9999))
            self.assertEqual(h2.answer(9999).status, 200)

    def assert_nothing_is_held_but(self, connections):
        """Beside those of Others: two connections, a file, a folder."""
        wait_until(lambda: support.fds(self.server.pid) <= self.idle_fds + connections + 4, "no files open")

# ---- who takes nothing, or all there is ----


class Client(H2):
    """An honest client: it keeps to the server's windows, and reads whatever is answered."""

    def __init__(self, server, **options):
        self.room, self.change, self.started = {0: 65_535}, 0, set()
        super().__init__(server, **options)
        self.send(window_update(0, WINDOW_MAX - 65_535))

    def _take_in(self, came):
        before = self.settings.get(INITIAL_WINDOW_SIZE, 65_535)
        super()._take_in(came)
        self.frames.pop()  # or they would fill our memory
        if came.kind == SETTINGS and not came.has(ACK):
            self.frames.append(came)
            for stream in self.started:
                self.room[stream] += self.settings.get(INITIAL_WINDOW_SIZE, 65_535) - before
        elif came.kind == WINDOW_UPDATE and came.stream in self.room:
            self.room[came.stream] += struct.unpack(">I", came.payload)[0]
        elif came.kind == PING:
            self.frames.append(came)

    def open(self, stream, path, more=()):
        self.room[stream] = self.settings.get(INITIAL_WINDOW_SIZE, 65_535)
        self.started.add(stream)
        self.request(stream, "PUT", path, more, end=False)

    def push(self, stream, data, end):
        """Sends what the windows allow of `data`, of which nothing may be left if it is to `end`. How much went."""
        size = min(len(data), self.room[0], self.room[stream], 16_384)
        if size == 0:
            return 0
        self.room[0] -= size
        self.room[stream] -= size
        self.data(stream, data[:size], end and size == len(data))
        return size

    def may_push(self, stream):
        return self.room[0] > 0 and self.room[stream] > 0

    def upload(self, stream, path, pieces, between=lambda: None):
        """A whole upload, its pieces one after the other; its answer."""
        self.open(stream, path)
        for piece in pieces:
            while piece and not self.answers[stream].has_ended:
                self.read_until(lambda: self.may_push(stream) or self.answers[stream].has_ended, "room to send")
                piece = piece[self.push(stream, piece, end=False):]
            between()
        self.data(stream, b"")
        return self.answer(stream)


class Stalls(Abuse):
    def asking_for_all(self, windows, then=b""):
        """Connections that ask for as many downloads as they may, and do not read them. windows: to begin with."""
        clients = [self.enterContext(H2(self.server, pairs={INITIAL_WINDOW_SIZE: windows[i % len(windows)]}))
                   for i in range(CONNECTIONS)]
        for h2 in clients:
            h2.send(then + b"".join(get(i, GET_LARGE) for i in itertools.islice(ids(), STREAMS_MAX)))
        return clients

    def assert_others_download(self, seconds):
        with raw(self.server, seconds=seconds) as client:
            self.assertEqual(len(client.request("GET", "/files/large").body), LARGE_BYTES)

    def test_clients_without_a_window_stop_nobody_and_are_given_up(self):
        """Who waits for a buffer has those given up that took nothing for five seconds."""
        resets = 0
        with self.nobody_is_hurt():
            clients = self.asking_for_all(windows=(0, 1))
            self.assert_others_download(10 + QUICK_SECONDS)
            for h2 in clients:
                with contextlib.suppress(TimeoutError, h2frames.Closed):
                    h2.read_until(lambda: False, "all that came", 0.1)
                resets += sum(f.kind == RST_STREAM for f in h2.frames)
                h2.close()
        faults.note(f"{resets} given up")
        self.assertGreater(resets, 0)

    def test_windows_without_end_are_not_filled_for_who_does_not_read(self):
        with self.nobody_is_hurt():
            clients = self.asking_for_all(windows=(WINDOW_MAX,), then=window_update(0, WINDOW_MAX - 65_535))
            self.assert_others_download(10 + QUICK_SECONDS)
            for h2 in clients:
                h2.close()

    def test_pages_that_nobody_reads_hold_no_more_than_they_may(self):
        """Large ones, asked for by little."""
        done = b"/done?" + b"&".join(b"file=%d" % number for number in range(200))
        for target in (done, b"/errors", b"/"):
            streams = list(itertools.islice(ids(), STREAMS_MAX))
            with self.subTest(target[:10]), self.nobody_is_hurt(growth_mib=16 + GROWTH_MIB):
                clients = [self.enterContext(H2(self.server, pairs={INITIAL_WINDOW_SIZE: 0}))
                           for _ in range(CONNECTIONS)]
                for h2 in clients:
                    h2.send(b"".join(get(i, head(b"GET", target)) for i in streams))
                for h2 in clients:
                    h2.read_until(lambda: all(h2.answers[i].status or h2.answers[i].reset for i in streams),
                                  "an answer, or a refusal, of each", 60)
                faults.note(f"{sum(h2.answers[i].status == 200 for h2 in clients for i in streams)} answers")
                for h2 in clients:
                    h2.close()

    def test_uploads_that_never_end_hold_no_more_than_they_may(self):
        """More streams than there are buffers for: what no sink has room for is held, within a bound of its own."""
        held, of_each = 64 * MIB, 100_000
        with self.nobody_is_hurt(growth_mib=held // MIB + GROWTH_MIB):
            clients = [self.enterContext(Client(self.server)) for _ in range(CONNECTIONS)]
            for h2 in clients:
                for i in itertools.islice(ids(), STREAMS_MAX):
                    h2.open(i, f"/held-{i}")
                    for _ in range(of_each // 16_384):
                        h2.push(i, bytes(16_384), end=False)
                h2.ping()
            for h2 in clients:
                h2.close()

    def test_goaway_of_the_client_ends_what_is_open_in_order(self):
        with self.nobody_is_hurt(), H2(self.server) as h2:
            h2.send(put(1) + frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)) + frame(DATA, END_STREAM, 1, b"of use"))
            self.assertIn(h2.answer(1).status, (200, 201))
            with contextlib.suppress(OSError):  # more streams from who said that it leaves: answered or not
                h2.send(b"".join(get(i) for i in itertools.islice(ids(), 50)))
            h2.end()

    def test_a_hundred_uploads_share_a_connection_fairly(self):
        size = (64 if IS_SANITIZED else 512) * KIB
        paths = {i: f"/fair-{i}" for i in itertools.islice(ids(), STREAMS_MAX)}
        data, sent, least = support.content(size), dict.fromkeys(paths, 0), None
        with self.nobody_is_hurt(), Client(self.server) as h2:
            for i, path in paths.items():
                h2.open(i, path)
            while any(at < size for at in sent.values()):
                for i in sent:
                    sent[i] += h2.push(i, data[sent[i]:sent[i] + 4096], end=sent[i] + 4096 >= size)
                if least is None and max(sent.values()) == size:
                    least = min(sent.values())
                if not any(h2.may_push(i) for i in sent if sent[i] < size) and any(at < size for at in sent.values()):
                    h2.read_until(lambda: any(h2.may_push(i) for i in sent if sent[i] < size), "room to send")
            for i in paths:
                self.assertIn(h2.answer(i).status, (200, 201))
        faults.note(f"when the first was over the last had sent {least / size:.0%}")
        self.assertGreater(least, size / 2)


# ---- in the smallest pieces ----


class Drips(Abuse):
    def test_an_upload_in_frames_of_a_byte(self):
        data = support.content(200_000)
        with self.nobody_is_hurt(), H2(self.server) as h2:
            h2.send(put(1) + b"".join(frame(DATA, 0, 1, data[i:i + 1]) for i in range(len(data))) +
                    frame(DATA, END_STREAM, 1))
            self.assertIn(h2.answer(1).status, (200, 201))
        self.assertEqual(self.server.path("abused").read_bytes(), data)

    def test_a_head_in_a_few_continuations_of_a_byte(self):
        block = GET + literal(b"a", b"b")
        cut = len(block) - 7
        with self.nobody_is_hurt(), H2(self.server) as h2:
            h2.send(frame(HEADERS, END_STREAM, 1, block[:cut]))
            for i in range(cut, len(block)):
                h2.send(frame(CONTINUATION, END_HEADERS if i == len(block) - 1 else 0, 1, block[i:i + 1]))
            self.assertEqual(h2.answer(1).status, 200)

    def test_segments_of_a_byte(self):
        with self.nobody_is_hurt(), H2(self.server, hello=False) as h2:
            all_of_it = h2frames.PREFACE + settings() + put(1) + frame(DATA, END_STREAM, 1, b"of use") + get(3)
            for i in range(len(all_of_it)):
                h2.send(all_of_it[i:i + 1])
            self.assertIn(h2.answer(1).status, (200, 201))
            self.assertEqual(h2.answer(3).status, 200)


# ---- those who only look as if ----


class Honest(Abuse):
    """Heavy, and of use. None of them is told to calm down."""

    def assert_still_welcome(self, h2):
        h2.ping()
        self.assertIsNone(h2.goaway)

    def test_thousands_of_quick_requests(self):
        count = 1000 if IS_SANITIZED else 5000
        done = subprocess.run(["h2load", f"-n{count}", "-c1", f"-m{STREAMS_MAX}", f"{self.server.url}/healthz"],
                              capture_output=True, text=True)
        self.assertIn(f"{count} succeeded, 0 failed", done.stdout, done.stdout + done.stderr)

    def test_requests_that_each_come_with_priority_and_a_window(self):
        """As Firefox and others do."""
        with H2(self.server) as h2:
            for number in range(100):
                new = range(FIRST + 100 * number, FIRST + 100 * number + 100, 2)
                h2.send(b"".join(priority(i, 0) + get(i) + window_update(i, 12 * MIB) for i in new))
                for i in new:
                    self.assertEqual(h2.answer(i).status, 200)
            self.assert_still_welcome(h2)

    def test_two_hundred_uploads_that_a_person_cancels(self):
        """A folder is dropped into a page, and Cancel pressed, twice."""
        with self.nobody_is_hurt(), Client(self.server) as h2:
            new = ids()
            for _ in range(2):
                streams = list(itertools.islice(new, STREAMS_MAX))
                for i in streams:
                    h2.open(i, f"/cancelled-{i}")
                    h2.push(i, bytes(1000), end=False)
                h2.ping()
                h2.send(b"".join(rst_stream(i) for i in streams))
            i = next(new)
            self.assertIn(h2.upload(i, "/after", [b"all is well"]).status, (200, 201))
            self.assert_still_welcome(h2)

    def test_a_large_upload_with_a_ping_for_each_piece(self):
        count = 16 if IS_SANITIZED else 256
        with self.nobody_is_hurt(), Client(self.server) as h2:
            answer = h2.upload(1, "/heavy", itertools.repeat(bytes(MIB), count), between=h2.ping)
            self.assertIn(answer.status, (200, 201))
            self.assert_still_welcome(h2)
        self.assertEqual(self.server.path("heavy").stat().st_size, count * MIB)

    def test_downloads_with_a_window_update_and_a_ping_for_each_frame(self):
        count = 4 if IS_SANITIZED else 16
        with self.nobody_is_hurt(), H2(self.server) as h2:
            for i in range(1, 2 * count, 2):
                h2.send(get(i, GET_LARGE))
                while not h2.answers[i].has_ended:
                    came = h2.read_frame()
                    if came.kind == DATA and came.payload:
                        h2.send(window_update(0, len(came.payload)) + frame(PING, 0, 0, b"how fast"))
                        if not came.has(END_STREAM):
                            h2.send(window_update(i, len(came.payload)))
                self.assertEqual(len(h2.answers[i].body), LARGE_BYTES)
                h2.frames.clear()
            self.assert_still_welcome(h2)

if __name__ == "__main__":
    unittest.main()
