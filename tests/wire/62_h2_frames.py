"""What RFC 9113 and RFC 7541 ask of a server, frame by frame: the sections of h2spec, one table. Where RFC 9113 asks
for other things than RFC 7540, which h2spec was written for, it is RFC 9113 that counts.

Each row sends bytes on a new connection and says what must come of it. A stream error may be made a connection error
(section 5.4.1); the rows where that is done say "stream error" behind them."""

import unittest

import h2frames as h2
from h2frames import (ACK, END_HEADERS, END_STREAM, H2, PADDED, WITH_PRIORITY, frame, literal, rst_stream,
                      window_update)
from support import Sluice, raw

BOTH = END_STREAM | END_HEADERS
TRANSPORT = (":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "localhost")
MAX_WINDOW = (1 << 31) - 1


# ---- bytes ----


def block(*fields):
    return b"".join(literal(name.encode(), value.encode()) for name, value in fields)


def head(stream, fields=TRANSPORT, flags=BOTH):
    return frame(h2.HEADERS, flags, stream, block(*fields))


def without(*names):
    return [field for field in TRANSPORT if field[0] not in names]


def put(stream, *more, path="/files/never", flags=END_HEADERS):
    """Its body does not come, so the stream stays open."""
    fields = (":method", "PUT"), (":scheme", "http"), (":path", path), (":authority", "localhost")
    return head(stream, [*fields, *more], flags)


def data(stream, content=b"", flags=END_STREAM):
    return frame(h2.DATA, flags, stream, content)


def priority(stream, on=0, weight=15):
    return frame(h2.PRIORITY, 0, stream, on.to_bytes(4, "big") + bytes([weight]))


def setting(key, value):
    return h2.settings({key: value})


def ping(stream=0, flags=0, payload=b"conforms"):
    return frame(h2.PING, flags, stream, payload)


def goaway(stream=0, code=0):
    return frame(h2.GOAWAY, 0, stream, bytes(4) + code.to_bytes(4, "big"))


# ---- what must come of it ----


def dies(*codes):
    """A connection error: GOAWAY with one of these codes, then the end."""
    def check(test, client):
        said = client.end()
        test.assertIsNotNone(said, f"closed without GOAWAY: {client.frames}")
        test.assertIn(said.code, codes, said)
    return check


def lives(client):
    """The connection goes on, and still carries requests."""
    stream = max([1001, *(f.stream + 2 for f in client.frames if f.stream % 2)])
    client.send(setting(h2.INITIAL_WINDOW_SIZE, 65535) + head(stream))
    return client.answer(stream).status == 200 and client.goaway is None


def resets(stream, *codes):
    """A stream error with one of these codes; the connection goes on."""
    def check(test, client):
        client.read_until(lambda: client.answers[stream].reset is not None, "RST_STREAM")
        test.assertIn(client.answers[stream].reset, codes)
        test.assertEqual(client.answers[stream].status, 0)
        test.assertTrue(lives(client))
    return check


def answers(stream, status):
    def check(test, client):
        answer = client.answer(stream)
        test.assertEqual((answer.status, answer.reset), (status, None), answer)
        test.assertTrue(lives(client))
    return check


def fine():
    """Nothing comes of it."""
    def check(test, client):
        client.ping()
        test.assertEqual([f for f in client.frames if f.kind in (h2.GOAWAY, h2.RST_STREAM)], [])
        test.assertTrue(lives(client))
    return check


def acknowledges(payload):
    def check(test, client):
        client.read_until(lambda: any(f.kind == h2.PING and f.has(ACK) and f.payload == payload
                                      for f in client.frames), "the answer to PING")
        test.assertTrue(lives(client))
    return check


def says_nothing_to_ping(payload):
    def check(test, client):
        client.ping()
        test.assertEqual([f for f in client.frames if f.kind == h2.PING and f.payload == payload], [])
        test.assertTrue(lives(client))
    return check


def acknowledges_settings(count):
    def check(test, client):
        client.read_until(lambda: sum(f.kind == h2.SETTINGS and f.has(ACK) for f in client.frames) == count, "ACK")
        test.assertTrue(lives(client))
    return check


PROTOCOL, FLOW, CLOSED = dies(h2.PROTOCOL_ERROR), dies(h2.FLOW_CONTROL_ERROR), dies(h2.STREAM_CLOSED)
SIZE, COMPRESSION = dies(h2.FRAME_SIZE_ERROR), dies(h2.COMPRESSION_ERROR)
MALFORMED = resets(1, h2.PROTOCOL_ERROR)
OK = answers(1, 200)
NO_WINDOW = setting(h2.INITIAL_WINDOW_SIZE, 0)
HALF_CLOSED = NO_WINDOW + head(1)  # its answer cannot end
LENGTH = ("content-length", "4")

# A MUST that is not held, or that another rule overrides: name -> (what comes instead, why).
ALLOWED = {
    "5.1/8 DATA after RST_STREAM": (
        fine(), "Section 6.1 asks for STREAM_CLOSED; section 5.1 lets all frames of closed streams be dropped after"
                " minimal processing, and nghttp2 keeps no closed streams. The bytes count to the connection."),
    "5.1/9 HEADERS after RST_STREAM": (
        fine(), "A MAY of section 5.1. They are decoded for HPACK and dropped."),
    "5.1.1/2 a smaller stream": (
        lambda test, client: (answers(5, 200)(test, client), test.assertNotIn(3, client.answers)),
        "Who keeps no closed streams cannot tell a stream that was passed over from one whose trailers were on their"
        " way when it was reset, and the error would hit honest clients. It is dropped: never a request."),
    "6.9.2/3 the window of a stream too large by SETTINGS": (
        resets(1, h2.FLOW_CONTROL_ERROR), "nghttp2 resets the stream alone, not the connection. The others' windows"
                                          " are right all the same."),
}

GENERIC = {
    "2/1 PRIORITY on an idle stream, then HEADERS": (priority(1) + head(1), OK),
    "2/2 WINDOW_UPDATE on a half-closed stream": (HALF_CLOSED + window_update(1, 65535), OK),
    "2/3 PRIORITY on a half-closed stream": (HALF_CLOSED + priority(1) + window_update(1, 65535), OK),
    "2/4 RST_STREAM on a half-closed stream": (HALF_CLOSED + rst_stream(1), fine()),
    "2/5 PRIORITY on a closed stream": (HALF_CLOSED + rst_stream(1) + priority(1), fine()),
    "3.1/1 one DATA": (put(1, LENGTH, path="/files/g1") + data(1, b"test"), answers(1, 201)),
    "3.1/2 many DATA": (put(1, LENGTH, path="/files/g2") + data(1, b"te", 0) + data(1, b"s", 0) + data(1, b"t"),
                        answers(1, 201)),
    "3.1/3 DATA with padding": (put(1, LENGTH, path="/files/g3") + data(1, b"\5test" + bytes(5), END_STREAM | PADDED),
                                answers(1, 201)),
    "3.1 DATA of padding alone": (put(1, LENGTH, path="/files/g4") + data(1, b"\0", PADDED) +
                                  data(1, b"\xff" + bytes(255), PADDED) + data(1, b"test"), answers(1, 201)),
    "3.2/1 HEADERS": (head(1), OK),
    "3.2/2 HEADERS with padding": (frame(h2.HEADERS, BOTH | PADDED, 1, b"\x06" + block(*TRANSPORT) + bytes(6)), OK),
    "3.2/3 HEADERS with priority": (frame(h2.HEADERS, BOTH | WITH_PRIORITY, 1, bytes(4) + b"\xff" + block(*TRANSPORT)),
                                    OK),
    "3.2 HEADERS with both": (frame(h2.HEADERS, BOTH | WITH_PRIORITY | PADDED, 1,
                                    b"\3" + bytes(4) + b"\xff" + block(*TRANSPORT) + bytes(3)), OK),
    "3.3/1 PRIORITY of weight 1": (priority(1, weight=0) + head(1), OK),
    "3.3/2 PRIORITY of weight 256": (priority(1, weight=255) + head(1), OK),
    "3.3/4 PRIORITY, exclusive": (head(1) + priority(1, 1 << 31), OK),
    "3.3/5 PRIORITY on idle streams": (priority(3, 5) + priority(5, 7) + head(1), OK),
    "3.4 RST_STREAM": (put(1) + rst_stream(1), fine()),
    "3.5 SETTINGS": (setting(h2.MAX_CONCURRENT_STREAMS, 100), acknowledges_settings(2)),
    "3.7 PING": (ping(), acknowledges(b"conforms")),
    "3.8 GOAWAY": (goaway(), lambda test, client: test.assertIsNone(client.end())),
    "3.9/1 WINDOW_UPDATE, connection": (window_update(0, 1) + head(1), OK),
    "3.9/2 WINDOW_UPDATE, stream": (HALF_CLOSED + window_update(1, 1000), OK),
    "3.10/1 CONTINUATION": (frame(h2.HEADERS, END_STREAM, 1, block(*TRANSPORT)[:9]) +
                            frame(h2.CONTINUATION, END_HEADERS, 1, block(*TRANSPORT)[9:]), OK),
    "3.10/2 many CONTINUATION": (frame(h2.HEADERS, END_STREAM, 1, block(*TRANSPORT)[:9]) +
                                 frame(h2.CONTINUATION, 0, 1, block(*TRANSPORT)[9:30]) +
                                 frame(h2.CONTINUATION, 0, 1, b"") +
                                 frame(h2.CONTINUATION, END_HEADERS, 1, block(*TRANSPORT)[30:]), OK),
    "5/1 HPACK: indexed": (frame(h2.HEADERS, BOTH, 1, b"\x82\x86" + block(*TRANSPORT[2:])), OK),
    "5/2 literal, indexed name, into the table": (
        frame(h2.HEADERS, BOTH, 1, b"\x82\x86\x44\x08/healthz\x41\x09localhost") +
        frame(h2.HEADERS, BOTH, 3, b"\x82\x86\xbf\xbe"), answers(3, 200)),
    "5/3 literal, Huffman": (frame(h2.HEADERS, BOTH, 1, b"\x82\x86" + block(TRANSPORT[2]) +
                                   b"\x41\x86\xa0\xe4\x1d\x13\x9d\x09"), OK),
    "5/5 literal, never indexed": (frame(h2.HEADERS, BOTH, 1, b"\x82\x86\x14\x08/healthz\x11\x09localhost"), OK),
    "5/9 size of the table": (frame(h2.HEADERS, BOTH, 1, b"\x20\x3f\xe1\x1f\x82\x86" + block(*TRANSPORT[2:])), OK),
}

FRAMES = {
    "4.1/1 unknown type": (frame(0xff, 0xff, 0, bytes(8)) + frame(0x60, 0, 7, bytes(80)) + ping(),
                           acknowledges(b"conforms")),
    "4.1/2 unknown flags": (ping(flags=0xfe), acknowledges(b"conforms")),
    "4.1/3 the reserved bit": (frame(h2.PING, 0, 1 << 31, b"conforms"), acknowledges(b"conforms")),
    "4.1 the reserved bit of HEADERS": (frame(h2.HEADERS, BOTH, 1 << 31 | 1, block(*TRANSPORT)), OK),
    "4.2/1 DATA of 2^14": (put(1, path="/files/f1") + data(1, bytes(16384)), answers(1, 201)),
    "4.2/2 DATA too large": (put(1) + data(1, bytes(16385)), SIZE),
    "4.2/3 HEADERS too large": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + bytes(16385)), SIZE),
    "4.2 an unknown frame too large": (frame(0x60, 0, 0, bytes(16385)), SIZE),
    "4.3/1 an invalid block": (frame(h2.HEADERS, BOTH, 1, b"\x40"), COMPRESSION),
    "4.3/2 PRIORITY within a block": (head(1, flags=END_STREAM) + priority(1), PROTOCOL),
    "4.3/3 HEADERS of another stream within a block": (head(1, flags=END_STREAM) + head(3), PROTOCOL),
    "5.1/1 DATA on an idle stream": (data(1, b"x"), PROTOCOL),
    "5.1/2 RST_STREAM on an idle stream": (rst_stream(1), PROTOCOL),
    "5.1/3 WINDOW_UPDATE on an idle stream": (window_update(1, 1), PROTOCOL),
    "5.1/4 CONTINUATION on an idle stream": (frame(h2.CONTINUATION, BOTH, 1, block(*TRANSPORT)), PROTOCOL),
    "5.1/5 DATA on a half-closed stream": (HALF_CLOSED + data(1, b"x"), CLOSED),  # stream error
    "5.1/6 HEADERS on a half-closed stream": (HALF_CLOSED + head(1), CLOSED),  # stream error
    "5.1/7 CONTINUATION on a half-closed stream": (HALF_CLOSED + frame(h2.CONTINUATION, BOTH, 1, b""), PROTOCOL),
    "5.1/8 DATA after RST_STREAM": (put(1) + rst_stream(1) + data(1, b"x"), CLOSED),
    "5.1/9 HEADERS after RST_STREAM": (put(1) + rst_stream(1) + head(1), CLOSED),
    "5.1/10 CONTINUATION after RST_STREAM": (put(1) + rst_stream(1) + frame(h2.CONTINUATION, BOTH, 1, b""), PROTOCOL),
    "5.1 WINDOW_UPDATE after RST_STREAM": (put(1) + rst_stream(1) + window_update(1, 1), fine()),
    "5.1.1/1 an even stream": (head(2), PROTOCOL),
    "5.1.1/2 a smaller stream": (head(5) + head(3), PROTOCOL),
    "5.1.2 too many streams": (b"".join(put(1 + 2 * i) for i in range(101)), PROTOCOL),  # stream error
    "5.3.1/1 HEADERS that depend on themselves": (  # RFC 9113 gave priorities up: no error is asked for
        frame(h2.HEADERS, BOTH | WITH_PRIORITY, 1, b"\0\0\0\1\xff" + block(*TRANSPORT)), PROTOCOL),
    "5.3.1/2 PRIORITY that depends on itself": (priority(1, 1), PROTOCOL),  # the same
    "5.4.1 after an error the connection ends": (ping(payload=b"short"), SIZE),
    "5.5/1 an extension frame": (frame(0x16, 0, 0, bytes(8)) + head(1), OK),
    "5.5/2 an extension frame within a block": (head(1, flags=END_STREAM) + frame(0x16, 0, 0, bytes(8)), PROTOCOL),
    "6.1/1 DATA on stream 0": (data(0, b"x"), PROTOCOL),
    "6.1/3 DATA, padding as long as all": (put(1) + data(1, b"\6test", PADDED), PROTOCOL),
    "6.1 DATA, padded and empty": (put(1) + data(1, b"", PADDED), dies(h2.PROTOCOL_ERROR, h2.FRAME_SIZE_ERROR)),
    "6.2/3 HEADERS on stream 0": (head(0), PROTOCOL),
    "6.2/4 HEADERS, padding too long": (frame(h2.HEADERS, BOTH | PADDED, 1, b"\xff" + block(*TRANSPORT)), PROTOCOL),
    "6.2 HEADERS too short for its priority": (frame(h2.HEADERS, BOTH | WITH_PRIORITY, 1, b"\0\0"), SIZE),
    "6.3/1 PRIORITY on stream 0": (priority(0), PROTOCOL),
    "6.3/2 PRIORITY of a wrong length": (put(1) + frame(h2.PRIORITY, 0, 1, bytes(4)), SIZE),  # stream error
    "6.4/1 RST_STREAM on stream 0": (rst_stream(0), PROTOCOL),
    "6.4/3 RST_STREAM of a wrong length": (put(1) + frame(h2.RST_STREAM, 0, 1, bytes(3)), SIZE),
    "6.5/1 SETTINGS, ACK with a payload": (frame(h2.SETTINGS, ACK, 0, bytes(6)), SIZE),
    "6.5/2 SETTINGS on a stream": (frame(h2.SETTINGS, 0, 1, bytes(6)), PROTOCOL),
    "6.5/3 SETTINGS of a wrong length": (frame(h2.SETTINGS, 0, 0, bytes(5)), SIZE),
    "6.5.2/1 ENABLE_PUSH 2": (setting(h2.ENABLE_PUSH, 2), PROTOCOL),
    "6.5.2/2 INITIAL_WINDOW_SIZE too large": (setting(h2.INITIAL_WINDOW_SIZE, 1 << 31), FLOW),
    "6.5.2/3 MAX_FRAME_SIZE too small": (setting(h2.MAX_FRAME_SIZE, 16383), PROTOCOL),
    "6.5.2/4 MAX_FRAME_SIZE too large": (setting(h2.MAX_FRAME_SIZE, 1 << 24), PROTOCOL),
    "6.5.2/5 an unknown setting": (setting(0xff, 1) + setting(0, 7), acknowledges_settings(3)),
    "6.5.3/1 INITIAL_WINDOW_SIZE twice": (frame(h2.SETTINGS, 0, 0, b"\0\4\0\0\0\0\0\4\0\1\0\0") + head(1), OK),
    "6.5.3/2 SETTINGS are acknowledged": (h2.settings(), acknowledges_settings(2)),
    "6.5.3 an ACK of nothing": (h2.settings(ack=True), PROTOCOL),  # no MUST
    "6.6 PUSH_PROMISE": (put(1) + frame(h2.PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(*TRANSPORT)), PROTOCOL),
    "6.7/1 PING": (ping(payload=b"12345678"), acknowledges(b"12345678")),
    "6.7/2 PING with ACK": (ping(flags=ACK), says_nothing_to_ping(b"conforms")),
    "6.7/3 PING on a stream": (ping(stream=1), PROTOCOL),
    "6.7/4 PING of a wrong length": (ping(payload=b"too long!"), SIZE),
    "6.8 GOAWAY on a stream": (goaway(1), PROTOCOL),
    "6.8 GOAWAY too short": (frame(h2.GOAWAY, 0, 0, bytes(7)), SIZE),
    "6.8 GOAWAY while a request is open": (put(1, LENGTH, path="/files/f2") + goaway() + data(1, b"test"),
                                           lambda test, client: test.assertEqual(client.answer(1).status, 201)),
    "6.9/1 WINDOW_UPDATE of 0": (window_update(0, 0), PROTOCOL),
    "6.9/2 WINDOW_UPDATE of 0 on a stream": (put(1) + window_update(1, 0), PROTOCOL),  # stream error
    "6.9/3 WINDOW_UPDATE of a wrong length": (frame(h2.WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "6.9 the reserved bit of WINDOW_UPDATE": (window_update(0, 1 << 31 | 1) + head(1), OK),
    "6.9.1/2 a window too large": (window_update(0, MAX_WINDOW), FLOW),
    "6.9.1/3 the window of a stream too large": (
        put(1) + window_update(1, MAX_WINDOW), resets(1, h2.FLOW_CONTROL_ERROR)),
    "6.9.2/3 the window of a stream too large by SETTINGS": (
        put(1) + window_update(1, 1) + setting(h2.INITIAL_WINDOW_SIZE, MAX_WINDOW), FLOW),
    "6.10/2 CONTINUATION followed by DATA": (
        put(1, flags=0) + frame(h2.CONTINUATION, 0, 1, b"") + data(1, b"x"), PROTOCOL),
    "6.10/3 CONTINUATION on stream 0": (put(1, flags=0) + frame(h2.CONTINUATION, END_HEADERS, 0, b""), PROTOCOL),
    "6.10/4 CONTINUATION after END_HEADERS": (put(1) + frame(h2.CONTINUATION, END_HEADERS, 1, b""), PROTOCOL),
    "6.10/5 CONTINUATION after CONTINUATION with END_HEADERS": (
        put(1, flags=0) + frame(h2.CONTINUATION, END_HEADERS, 1, b"") * 2, PROTOCOL),
    "6.10/6 CONTINUATION after DATA": (
        put(1) + data(1, b"x", 0) + frame(h2.CONTINUATION, END_HEADERS, 1, b""), PROTOCOL),
    "6.10 CONTINUATION of another stream": (put(1, flags=0) + frame(h2.CONTINUATION, END_HEADERS, 3, b""), PROTOCOL),
    "7/1 GOAWAY with an unknown code": (put(1, LENGTH, path="/files/f3") + goaway(code=0xff) + data(1, b"test"),
                                        lambda test, client: test.assertEqual(client.answer(1).status, 201)),
    "7/2 RST_STREAM with an unknown code": (put(1) + rst_stream(1, 0xff), fine()),
}

MESSAGES = {
    "8.1/1 a second HEADERS without END_STREAM": (put(1) + head(1, [("x", "y")], END_HEADERS), MALFORMED),
    "8.2.1 upper case": (head(1, [*TRANSPORT, ("X-Test", "ok")]), MALFORMED),
    "8.2.1 a space in a name": (head(1, [*TRANSPORT, ("x test", "ok")]), MALFORMED),
    "8.2.1 a control byte in a name": (head(1, [*TRANSPORT, ("x\x01", "ok")]), MALFORMED),
    "8.2.1 a colon in a name": (head(1, [*TRANSPORT, ("x:y", "ok")]), MALFORMED),
    "8.2.1 an empty name": (head(1, [*TRANSPORT, ("", "ok")]), MALFORMED),
    "8.2.1 a line end in a value": (head(1, [*TRANSPORT, ("x", "a\r\nb: c")]), MALFORMED),
    "8.2.1 NUL in a value": (head(1, [*TRANSPORT, ("x", "a\0b")]), MALFORMED),
    "8.2.1 a space before a value": (head(1, [*TRANSPORT, ("x", " a")]), MALFORMED),
    "8.2.1 a tab behind a value": (head(1, [*TRANSPORT, ("x", "a\t")]), MALFORMED),
    "8.3/1 an unknown pseudo-field": (head(1, [(":test", "ok"), *TRANSPORT]), MALFORMED),
    "8.3/2 a pseudo-field of answers": (head(1, [*TRANSPORT, (":status", "200")]), MALFORMED),
    "8.3/3 a pseudo-field in trailers": (put(1) + head(1, [(":method", "PUT")]), MALFORMED),
    "8.3/4 a pseudo-field after others": (head(1, [*TRANSPORT[:3], ("x", "y"), TRANSPORT[3]]), MALFORMED),
    "8.2.2/1 connection": (head(1, [*TRANSPORT, ("connection", "keep-alive")]), MALFORMED),
    "8.2.2 transfer-encoding": (head(1, [*TRANSPORT, ("transfer-encoding", "chunked")]), MALFORMED),
    "8.2.2 keep-alive": (head(1, [*TRANSPORT, ("keep-alive", "1")]), MALFORMED),
    "8.2.2 proxy-connection": (head(1, [*TRANSPORT, ("proxy-connection", "close")]), MALFORMED),
    "8.2.2 upgrade": (head(1, [*TRANSPORT, ("upgrade", "websocket")]), MALFORMED),
    "8.2.2/2 te": (head(1, [*TRANSPORT, ("te", "trailers, deflate;q=0.5")]), MALFORMED),
    "8.2.2 te: trailers": (head(1, [*TRANSPORT, ("te", "trailers")]), OK),
    "8.3.1/1 an empty path": (head(1, [*without(":path"), (":path", "")]), MALFORMED),
    "8.3.1/2 no method": (head(1, without(":method")), MALFORMED),
    "8.3.1/3 no scheme": (head(1, without(":scheme")), MALFORMED),
    "8.3.1/4 no path": (head(1, without(":path")), MALFORMED),
    "8.3.1/5 method twice": (head(1, [TRANSPORT[0], *TRANSPORT]), MALFORMED),
    "8.3.1/6 scheme twice": (head(1, [TRANSPORT[1], *TRANSPORT]), MALFORMED),
    "8.3.1/7 path twice": (head(1, [TRANSPORT[2], *TRANSPORT]), MALFORMED),
    "8.3.1 authority twice": (head(1, [TRANSPORT[3], *TRANSPORT]), MALFORMED),
    "8.3.1 no authority and no host": (head(1, without(":authority")), MALFORMED),
    "8.3.1 host alone": (head(1, [*without(":authority"), ("host", "localhost")]), OK),
    "8.3.1 a path that does not begin with a slash": (head(1, [*without(":path"), (":path", "healthz")]), MALFORMED),
    "8.1.1/1 content-length too large": (put(1, LENGTH) + data(1, b"te"), MALFORMED),
    "8.1.1/2 content-length too small": (put(1, LENGTH) + data(1, b"te", 0) + data(1, b"ste"), MALFORMED),
    "8.1.1 content-length without a body": (put(1, LENGTH, flags=BOTH), MALFORMED),
    "8.1.1 content-length and trailers": (put(1, LENGTH) + data(1, b"te", 0) + head(1, [("x", "y")]), MALFORMED),
    "8.1.1 content-length twice": (put(1, LENGTH, LENGTH) + data(1, b"test"), MALFORMED),
    "8.1.1 content-length that is no number": (put(1, ("content-length", "+4")) + data(1, b"test"), MALFORMED),
    "8.4 PUSH_PROMISE of a client": (frame(h2.PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2"), PROTOCOL),
}

HPACK = {
    "2.3.3 an index that is not there": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\xff\x00"), COMPRESSION),
    "2.3.3 the name of an index that is not there": (
        frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\x0f\x70\x01x"), COMPRESSION),
    "4.2 a size of the table at the end": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\x20"), COMPRESSION),
    "5.1 a number too large": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\xff" + b"\xff" * 9 + b"\x01"),
                               COMPRESSION),
    "5.2/1 Huffman padding of more than 7 bits": (
        frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        COMPRESSION),
    "5.2/2 Huffman padding of zeros": (
        frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), COMPRESSION),
    "5.2/3 Huffman EOS": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) +
                                b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"), COMPRESSION),
    "6.1 index 0": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\x80"), COMPRESSION),
    "6.2 a string that ends early": (frame(h2.HEADERS, BOTH, 1, block(*TRANSPORT) + b"\x00\x05x-"), COMPRESSION),
    "6.3 a table larger than was said": (
        frame(h2.HEADERS, BOTH, 1, b"\x3f\xe2\x1f" + block(*TRANSPORT)), COMPRESSION),
}


class Conformance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice())

    def check(self, rows):
        for name, (sent, outcome) in rows.items():
            instead = ALLOWED.get(name, (None, ""))[0]
            with self.subTest(name), H2(self.server) as client:
                client.send(sent)
                try:
                    (instead or outcome)(self, client)
                except (TimeoutError, h2.Closed) as reason:
                    self.fail(f"{reason}; came {client.frames}")
        self.assertEqual(self.server.temp_files(), [])
        self.assertFalse(self.server.path("never").exists())

    def test_generic(self):
        self.check(GENERIC)

    def test_frames_and_streams(self):
        self.check(FRAMES)

    def test_messages(self):
        self.check(MESSAGES)

    def test_hpack(self):
        self.check(HPACK)

    def test_each_exception_has_its_row(self):
        self.assertEqual(ALLOWED.keys() - {*GENERIC, *FRAMES, *MESSAGES, *HPACK}, set())


class Preface(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice())

    def test_settings_come_first(self):
        with H2(self.server, hello=False) as client:
            client.send(h2.PREFACE + h2.settings())
            first = client.read_frame()
            self.assertEqual((first.kind, first.flags, first.stream), (h2.SETTINGS, 0, 0))

    def test_one_that_comes_byte_by_byte(self):
        with H2(self.server, hello=False) as client:
            for byte in h2.PREFACE + h2.settings() + head(1):
                client.send(bytes([byte]))
            self.assertEqual(client.answer(1).status, 200)

    def test_streams_before_our_settings_were_read_are_refused_alone(self):
        with H2(self.server, hello=False) as client:
            client.send(h2.PREFACE + h2.settings() + b"".join(put(1 + 2 * i) for i in range(101)))
            client.read_until(lambda: client.answers[201].reset is not None, "RST_STREAM")
            self.assertEqual(client.answers[201].reset, h2.REFUSED_STREAM)
            client.ping()
            self.assertIsNone(client.goaway)

    def test_a_wrong_one_ends_the_connection(self):
        with raw(self.server) as client:
            answer = client.send(h2.PREFACE[:18] + b"XX\r\n\r\n").answer()
            self.assertEqual((answer.status, answer.code), (505, "bad-version"))
            self.assertTrue(client.is_closed_clean())
        for sent in (ping(), head(1), h2.settings(ack=True)):
            with self.subTest(sent), H2(self.server, hello=False) as client:
                client.send(h2.PREFACE + sent)
                self.assertEqual(client.end().code, h2.PROTOCOL_ERROR)


if __name__ == "__main__":
    unittest.main()
