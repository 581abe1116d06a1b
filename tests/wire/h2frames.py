"""An HTTP/2 client that does what it is told, right or wrong: frames out one by one, frames in as they come. HPACK is
python3-hpack's; all else is here, because a client library would not let a test break the rules.

    with H2(server) as h2:                    # preface and SETTINGS are out, the server's are read and acknowledged
        h2.request(1, "GET", "/healthz")
        answer = h2.answer(1)                 # .status, .headers, .body, .reset
"""

import collections
import socket
import ssl
import struct
import sys
import time

try:
    import hpack
except ImportError:  # another Python than Debian's; it is written in Python alone
    sys.path.append("/usr/lib/python3/dist-packages")
    import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
NAMES = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
         "CONTINUATION")
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY,
 HTTP_1_1_REQUIRED) = range(14)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = \
    range(1, 7)
SECONDS = 20  # for what must come


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    @property
    def code(self):
        """The error code of a RST_STREAM or GOAWAY."""
        return struct.unpack(">I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    def has(self, flag):
        return bool(self.flags & flag)

    def __repr__(self):
        name = NAMES[self.kind] if self.kind < len(NAMES) else hex(self.kind)
        return f"<{name} flags={self.flags:#x} stream={self.stream} {self.payload[:40]!r} ({len(self.payload)})>"


class Closed(Exception):
    """The server closed the connection."""


class Answer:
    """status 0: none came. interim: (status, headers) of those before it. reset: the code of a RST_STREAM, or None."""

    def __init__(self):
        self.status, self.headers, self.body, self.trailers = 0, {}, b"", {}
        self.interim, self.reset, self.has_ended = [], None, False

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r} reset={self.reset} ended={self.has_ended}>"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(pairs=(), ack=False):
    payload = b"".join(struct.pack(">HI", key, value) for key, value in dict(pairs).items())
    return frame(SETTINGS, ACK if ack else 0, 0, payload)


def window_update(stream, bytes_):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", bytes_))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def literal(name, value):
    """A field as HPACK would not compress it: literal without indexing, no Huffman. Any bytes, right or wrong."""
    return b"\x00" + _length(name) + name + _length(value) + value


def _length(text):
    size = len(text)
    if size < 127:
        return bytes([size])
    out, rest = [127], size - 127
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes([*out, rest])


class H2:
    """One connection to `server`: its address, or its unix socket. tls: a CA file, to speak TLS and ALPN h2.
    hello: False sends no preface and reads nothing. pairs: our SETTINGS."""

    def __init__(self, server, tls=None, hello=True, pairs=(), port=None):
        if server.unix and port is None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(server.unix)
        else:
            self.socket = socket.create_connection((server.host, port or server.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authority = f"{server.host}:{port or server.port}" if server.host else "localhost"
        self.scheme = "https" if tls else "http"
        if tls:
            context = ssl.create_default_context(cafile=tls)
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            assert self.socket.selected_alpn_protocol() == "h2", "the server does not offer h2"
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.unread, self.frames = b"", []  # bytes not yet a frame; every frame that came
        self.answers = collections.defaultdict(Answer)
        self.settings, self.goaway = {}, None
        self._block = b""
        self.acks_pings = True
        if hello:
            self.send(PREFACE + settings(pairs))
            self.read_until(lambda: self.settings is not None and any(f.kind == SETTINGS and not f.has(ACK)
                                                                      for f in self.frames), "SETTINGS")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # ---- out ----

    def send(self, data):
        self.socket.sendall(data)

    def fields(self, method, path, more=(), authority=None):
        pseudo = [(":method", method), (":scheme", self.scheme), (":path", path),
                  (":authority", authority or self.authority)]
        return pseudo + [(str(name), str(value)) for name, value in dict(more).items()]

    def headers(self, stream, fields, end=True):
        """HEADERS with all of `fields`, in as many frames as they need."""
        is_huge = sum(len(name) + len(value) for name, value in fields) > 16384  # hpack takes minutes to shorten a MiB
        block = self.encoder.encode(fields, huffman=not is_huge)
        pieces = [block[i:i + 16384] for i in range(0, len(block), 16384)] or [b""]
        out = b""
        for i, piece in enumerate(pieces):
            flags = (END_HEADERS if i == len(pieces) - 1 else 0) | (END_STREAM if end and i == 0 else 0)
            out += frame(HEADERS if i == 0 else CONTINUATION, flags, stream, piece)
        self.send(out)

    def request(self, stream, method, path, more=(), end=True, authority=None):
        self.headers(stream, self.fields(method, path, more, authority), end)

    def data(self, stream, content, end=True):
        self.send(frame(DATA, END_STREAM if end else 0, stream, content))

    # ---- in ----

    def read_frame(self, seconds=SECONDS):
        """The next frame, taken in; SETTINGS and PING are acknowledged. Closed when there is none any more."""
        deadline = time.monotonic() + seconds
        while len(self.unread) < 9 or len(self.unread) < 9 + int.from_bytes(self.unread[:3], "big"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no frame within {seconds} s; so far {self.frames[-5:]}")
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(1 << 16)
            except (ConnectionError, ssl.SSLError) as reason:
                raise Closed(str(reason)) from reason
            finally:
                self.socket.settimeout(None)
            if not more:
                raise Closed("the end")
            self.unread += more
        size = int.from_bytes(self.unread[:3], "big")
        kind, flags, stream = self.unread[3], self.unread[4], int.from_bytes(self.unread[5:9], "big") & 0x7fffffff
        came = Frame(kind, flags, stream, self.unread[9:9 + size])
        self.unread = self.unread[9 + size:]
        self.frames.append(came)
        self._take_in(came)
        return came

    def _take_in(self, came):
        if came.kind == SETTINGS and not came.has(ACK):
            for i in range(0, len(came.payload), 6):
                key, value = struct.unpack(">HI", came.payload[i:i + 6])
                self.settings[key] = value
            self._try_send(settings(ack=True))
        elif came.kind == PING and not came.has(ACK) and self.acks_pings:
            self._try_send(frame(PING, ACK, 0, came.payload))
        elif came.kind == GOAWAY:
            self.goaway = came
        elif came.kind == RST_STREAM:
            self.answers[came.stream].reset = came.code
        elif came.kind in (HEADERS, CONTINUATION):
            self._block += came.payload
            if came.kind == HEADERS:
                self._ends = came.has(END_STREAM)
            if came.has(END_HEADERS):
                self._take_head(self.answers[came.stream])
        elif came.kind == DATA:
            answer = self.answers[came.stream]
            answer.body += came.payload
            answer.has_ended |= came.has(END_STREAM)

    def _take_head(self, answer):
        fields, self._block = self.decoder.decode(self._block), b""
        head = {}
        for name, value in fields:
            head[name] = f"{head[name]}, {value}" if name in head else value
        status = int(head.pop(":status", 0))
        if 100 <= status < 200:
            answer.interim.append((status, head))
        elif status:
            answer.status, answer.headers = status, head
        else:
            answer.trailers = head
        answer.has_ended |= self._ends

    def _try_send(self, data):
        try:
            self.send(data)
        except OSError:
            pass

    def read_until(self, condition, what, seconds=SECONDS):
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {seconds} s: {what}; last came {self.frames[-5:]}")
            try:
                self.read_frame(left)
            except TimeoutError as reason:
                raise TimeoutError(f"not within {seconds} s: {what}; last came {self.frames[-5:]}") from reason

    def answer(self, stream, seconds=SECONDS):
        """The whole answer of a stream: until its end, or its reset."""
        answer = self.answers[stream]
        self.read_until(lambda: answer.has_ended or answer.reset is not None, f"the answer of stream {stream}", seconds)
        return answer

    def ping(self, seconds=SECONDS):
        """Waits for the answer to a PING: all that was sent before has been taken in."""
        acks = sum(1 for f in self.frames if f.kind == PING and f.has(ACK))
        self.send(frame(PING, 0, 0, b"whatever"))
        self.read_until(lambda: sum(1 for f in self.frames if f.kind == PING and f.has(ACK)) > acks, "PING", seconds)

    def end(self, seconds=SECONDS):
        """Reads until the server closes. The GOAWAY it said, or None."""
        try:
            self.read_until(lambda: False, "the end of the connection", seconds)
        except Closed:
            pass
        return self.goaway
