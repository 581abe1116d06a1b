"""support.Raw in the dialects of HTTP/2: HTTP/1 bytes in, frames out, so that one test serves all four. A head becomes
HEADERS, each piece of a body DATA as long as the piece, whether it had a length or came in chunks; trailers are
HEADERS again."""

import collections
import select
import threading
import time

import dialects
import h2frames
from h2frames import DATA, INITIAL_WINDOW_SIZE, SETTINGS, WINDOW_UPDATE
from support import ANSWER_SECONDS, Answer, Raw

FRAME_BYTES = 16_384
SLICE_BYTES = 1 << 17
WINDOW_BYTES, WINDOW_MAX = 65_535, (1 << 31) - 1
OF_THE_CONNECTION = {b"host", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"}  # h2 says them otherwise


def large_answer():
    answer = h2frames.Answer()
    answer.body = bytearray()  # grows without being copied
    return answer


class Connection(h2frames.H2):
    """Grants all the window there is, and knows how much it was granted."""

    def __init__(self, server, tls):
        self.initial_window, self.windows = WINDOW_BYTES, collections.defaultdict(lambda: self.initial_window)
        self.windows[0] = WINDOW_BYTES
        super().__init__(server, tls=tls, pairs={INITIAL_WINDOW_SIZE: WINDOW_MAX})
        self.answers = collections.defaultdict(large_answer)
        self.send(h2frames.window_update(0, WINDOW_MAX - WINDOW_BYTES))

    def room(self, stream):
        return min(FRAME_BYTES, self.windows[0], self.windows[stream])

    def data(self, stream, content, end=True):
        self.windows[0] -= len(content)
        self.windows[stream] -= len(content)
        super().data(stream, content, end)

    def is_readable(self):
        return self.unread or hasattr(self.socket, "pending") and self.socket.pending() or \
            select.select([self.socket], [], [], 0)[0]

    def _take_in(self, came):
        super()._take_in(came)
        if came.kind == DATA:
            self.frames.pop()  # its bytes are in the answer: once is enough
        elif came.kind == WINDOW_UPDATE:
            self.windows[came.stream] += int.from_bytes(came.payload, "big")
        elif came.kind == SETTINGS and INITIAL_WINDOW_SIZE in self.settings:
            more = self.settings[INITIAL_WINDOW_SIZE] - self.initial_window
            self.initial_window += more
            for stream in self.windows.keys() - {0}:
                self.windows[stream] += more


class RawH2(Raw):
    """One thread may send while another reads. tls: a CA file, where it is not the run's dialect that decides."""

    def __init__(self, server, seconds=ANSWER_SECONDS, tls=None):
        self.h2 = Connection(server, tls or (dialects.certificate()[0] if dialects.IS_TLS else None))
        self.socket, self.seconds, self.lock = self.h2.socket, seconds, threading.RLock()
        self.unsaid, self.say, self.missing = b"", self._say_head, 0
        self.stream, self.unanswered = -1, collections.deque()
        self.interims, self.taken = 0, 0  # of the first unanswered, what was given to the test

    # ---- out: `say` says the next thing of what is unsaid, and whether there was enough for it ----

    def send(self, data):
        for at in range(0, max(1, len(data)), SLICE_BYTES):  # what is unsaid is copied with each thing that is said
            self.unsaid += data[at:at + SLICE_BYTES]
            while self.say():
                pass
        return self

    def _say_head(self):
        if b"\r\n\r\n" not in self.unsaid:
            return False
        head, _, self.unsaid = self.unsaid.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        method, target, version = line.split(b" ")
        assert version == b"HTTP/1.1", "this cannot be said in HTTP/2"
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        told = dict(fields)
        is_chunked, self.missing = b"transfer-encoding" in told, int(told.get(b"content-length", 0))
        self.stream += 2
        self.unanswered.append(self.stream)
        pseudo = [(b":method", method), (b":scheme", self.h2.scheme.encode()), (b":path", target),
                  (b":authority", told[b"host"])]
        with self.lock:
            self.h2.headers(self.stream, [*pseudo, *(field for field in fields if field[0] not in OF_THE_CONNECTION)],
                            end=not is_chunked and not self.missing)
        self.say = self._say_size if is_chunked else self._say_body if self.missing else self._say_head
        return True

    def _say_body(self):
        piece, self.unsaid = self.unsaid[:self.missing], self.unsaid[self.missing:]
        self.missing -= len(piece)
        self._data(piece, end=not self.missing)
        if not self.missing:
            self.say = self._say_head
        return bool(piece)

    def _say_size(self):
        size, is_whole, rest = self.unsaid.partition(b"\r\n")
        if not is_whole:
            return False
        self.unsaid, self.missing = rest, int(size, 16) if size else 0
        if size:  # else it was the end of a chunk
            self.say = self._say_chunk if self.missing else self._say_last
        return True

    def _say_chunk(self):
        piece, self.unsaid = self.unsaid[:self.missing], self.unsaid[self.missing:]
        self.missing -= len(piece)
        self._data(piece, end=False)
        if not self.missing:
            self.say = self._say_size
        return bool(piece)

    def _say_last(self):
        """The end, with the trailers before it if there are any."""
        if self.unsaid.startswith(b"\r\n"):
            lines, self.unsaid = [], self.unsaid[2:]
        elif b"\r\n\r\n" in self.unsaid:
            lines, _, self.unsaid = self.unsaid.partition(b"\r\n\r\n")
            lines = lines.split(b"\r\n")
        else:
            return False
        self.say = self._say_head
        with self.lock:
            if lines:
                pairs = (line.partition(b":") for line in lines)
                self.h2.headers(self.stream, [(name.lower(), value.strip()) for name, _, value in pairs], end=True)
            else:
                self.h2.data(self.stream, b"", end=True)
        return True

    def _data(self, piece, end):
        """As the windows allow. What is for a stream that was reset is for nobody."""
        at, theirs, deadline = 0, self.h2.answers[self.stream], time.monotonic() + self.seconds
        while at < len(piece) and theirs.reset is None:
            with self.lock:
                room = self.h2.room(self.stream)
                if room <= 0 or self.h2.is_readable():
                    self._read()
                if room > 0 and theirs.reset is None:
                    part = piece[at:at + room]
                    at += len(part)
                    self.h2.data(self.stream, part, end and at == len(piece))
                    deadline = time.monotonic() + self.seconds
            if time.monotonic() > deadline:
                raise TimeoutError(f"no window within {self.seconds} s")

    # ---- in ----

    def _read(self):
        """A frame, if one comes soon: nobody is to hold the lock for long."""
        with self.lock:
            try:
                self.h2.read_frame(0.02)
            except h2frames.Closed as reason:
                raise EOFError(f"the connection was closed: {reason}") from None
            except TimeoutError:
                pass

    def _read_until(self, condition):
        deadline = time.monotonic() + self.seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {self.seconds} s: {self.h2.frames[-5:]}")
            self._read()

    @property
    def _theirs(self):
        return self.h2.answers[self.unanswered[0]]

    def _next(self):
        self.unanswered.popleft()
        self.interims = self.taken = 0

    def head(self):
        theirs = self._theirs
        self._read_until(lambda: theirs.status or theirs.reset is not None)
        return theirs.status, theirs.headers

    def take(self, length):
        theirs, end = self._theirs, self.taken + length
        self._read_until(lambda: len(theirs.body) >= end or theirs.has_ended or theirs.reset is not None)
        if len(theirs.body) < end:
            raise EOFError(f"{len(theirs.body)} of {end} bytes before the end, reset with {theirs.reset}")
        begin, self.taken = self.taken, end
        return bytes(theirs.body[begin:end])

    def rest(self):
        theirs = self._theirs
        self._read_until(lambda: theirs.has_ended or theirs.reset is not None)
        return self.take(len(theirs.body) - self.taken)

    def answer(self, method="GET"):
        theirs = self._theirs
        self._read_until(lambda: len(theirs.interim) > self.interims or theirs.has_ended or theirs.reset is not None)
        if len(theirs.interim) > self.interims:
            self.interims += 1
            return Answer(*theirs.interim[self.interims - 1], b"")
        self._next()
        if not theirs.has_ended:
            raise EOFError(f"the stream was reset with {theirs.reset} after {theirs}")
        return Answer(theirs.status, theirs.headers, bytes(theirs.body))

    def is_closed_clean(self):
        raise NotImplementedError("an answer says nothing of its connection")
