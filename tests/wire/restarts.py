"""Restarts that nobody notices: a supervisor that holds the listening socket while one sluice stops and another starts,
and clients that go on as clients may (RFC 9112 section 9.3.1, RFC 9113 section 6.8), and not a bit more patient."""

import http.client
import itertools
import os
import pathlib
import random
import shutil
import socket
import tempfile
import threading

import faults
import h2frames
import support
import tus
import uploaders

INHERIT = str(pathlib.Path(__file__).with_name("inherit.py"))
SLOWNESS = 5 if faults.is_sanitized() else 1
SECONDS = 30 * SLOWNESS
H2_AT_ONCE = 3
FRAME_BYTES = 16_384


class Supervisor:
    """Holds one listening socket, and a root; starts programs on both and hears what they tell. A context manager that
    has the address of a server (host, port, url, unix)."""

    def __init__(self, name="", listener=None, wrapper=(), **options):
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.unix = self.listener.getsockname() if self.listener.family == socket.AF_UNIX else None
        self.host, self.port = (None, None) if self.unix else self.listener.getsockname()
        scheme = "https" if name == "tls" else "http"
        self.url = f"unix:{self.unix}" if self.unix else f"{scheme}://{self.host}:{self.port}"
        self.name, self.wrapper, self.options = name, wrapper, options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-restart-"))
        self.root, self.ears, self.started = self.folder / "root", {}, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.started:
            server.discard()
        for ear in self.ears.values():
            ear.close()
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """A server that has told that it is ready."""
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ear.bind(str(self.folder / f"notify-{len(self.started)}"))
        ear.settimeout(support.START_SECONDS)
        fd = self.listener.fileno()
        server = support.Sluice(root=self.root, wrapper=[INHERIT, self.name, str(fd), "--", *self.wrapper],
                                pass_fds=[fd], environment={"NOTIFY_SOCKET": ear.getsockname()},
                                **{"listen": "127.0.0.1:1", **self.options})
        self.started.append(server)
        self.ears[server] = ear
        server.start()
        self.hear(server, "READY=1")
        return server

    def hear(self, server, *lines):
        for line in lines:
            heard = self.ears[server].recv(4096).decode().split("\n")
            assert heard[0] == line, f"heard {heard}, not {line}"

    def is_over(self, server):
        """Waits for the end of one that was told to stop, which must be a good one."""
        self.hear(server, "STOPPING=1")
        code = server.wait()
        assert code == 0, f"exit code {code}: {server.log[-20:]}"


class Client(threading.Thread):
    """Uploads until it is told to end. acked: as of uploaders; `retries`: what it is a client's part to do again;
    `failures`: what must not happen."""

    seeds = itertools.count(1)
    lock = threading.Lock()

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number, self.choice = server, number, random.Random(number)
        self.acked, self.acks, self.retries, self.failures, self.is_over = {}, 0, 0, [], False

    def run(self):
        try:
            for number in itertools.count():
                if self.is_over:
                    break
                self.work(number)
            self.end()
        except Exception as error:
            self.failures.append(f"{type(self).__name__}: {error!r}")

    def end(self):
        pass

    def upload_of(self, number, sizes=uploaders.SIZES):
        with self.lock:
            seed = next(self.seeds)
        size = self.choice.choice(sizes)
        return uploaders.spread(self.number, number, seed, size), seed, size

    def acknowledge(self, stored):
        self.acked.update(stored)
        self.acks += 1


class H1(Client):
    """Keeps its connection. A new one must serve; one that was used before may be closed, and all is said again."""

    def __init__(self, server, number):
        super().__init__(server, number)
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=SECONDS)

    def work(self, number):
        upload, way = self.upload_of(number), self.choice.choice(uploaders.WAYS)
        is_kept = self.connection.sock is not None
        try:
            stored = way(self.connection, *upload)
        except (OSError, http.client.HTTPException):
            if not is_kept:
                raise
            self.retries += 1
            self.connection.close()
            stored = way(self.connection, *upload)
        self.acknowledge(stored)
        if self.choice.random() < 0.2:  # some come anew
            self.connection.close()

    def end(self):
        self.connection.close()


class H2(Client):
    """Some requests at once on one connection. What a GOAWAY does not tell as taken is said again, and nothing else."""

    def __init__(self, server, number):
        super().__init__(server, number)
        self.connection, self.stream, self.again = None, -1, []

    def work(self, number):
        if self.connection is None:
            self.connection, self.stream = h2frames.H2(self.server), -1
        uploads = self.again or [self.upload_of(number * H2_AT_ONCE + i, [1, 17, 4096, 40_000])
                                 for i in range(H2_AT_ONCE)]
        self.again, under_way = [], {}
        for upload in uploads:
            self.stream += 2
            under_way[self.stream] = upload
        try:
            for stream, upload in under_way.items():
                self.put(stream, *upload)
            for stream in under_way:
                self.wait_for(stream)
        except (h2frames.Closed, OSError) as error:
            self.read_to_the_end()
            assert self.connection.goaway, f"closed without a word: {error!r}"
        for stream, upload in under_way.items():
            self.judge(stream, *upload)
        if self.connection.goaway:
            self.end()

    def put(self, stream, path, seed, size):
        data = uploaders.content(seed, size)
        self.connection.request(stream, "PUT", uploaders.quoted(path), {"content-length": size}, end=False)
        for at in range(0, size, FRAME_BYTES):
            self.connection.data(stream, data[at:at + FRAME_BYTES], at + FRAME_BYTES >= size)

    def is_refused(self, stream):
        goaway = self.connection.goaway
        return goaway is not None and int.from_bytes(goaway.payload[:4], "big") < stream

    def wait_for(self, stream):
        answer = self.connection.answers[stream]
        self.connection.read_until(lambda: answer.has_ended or self.is_refused(stream), "an answer", SECONDS)

    def read_to_the_end(self):
        try:
            self.connection.end(SECONDS)
        except OSError:
            pass

    def judge(self, stream, path, seed, size):
        answer = self.connection.answers[stream]
        if self.is_refused(stream):
            assert answer.status == 0, f"answered and said not to be taken: {answer}"
            self.retries += 1
            self.again.append((path, seed, size))
            return
        assert (answer.status, answer.has_ended) == (201, True), f"{answer} after {self.connection.goaway}"
        self.acknowledge([(path, seed)])

    def end(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Resumable(Client):
    """tus, in pieces, with a connection that it keeps: it asks for the offset when something broke, as its clients do,
    and an offset never goes back."""

    def __init__(self, server, number):
        super().__init__(server, number)
        self.client, self.whole = tus.Tus(server, seconds=SECONDS), []

    def said(self, say):
        """None: the connection was an old one, and is closed now."""
        is_kept = self.client.raw is not None
        try:
            return say()
        except tus.BROKEN:
            if not is_kept:
                raise
            self.retries += 1
            return None

    def work(self, number):
        _, seed, _ = self.upload_of(number)
        data = uploaders.content(seed, self.choice.choice([1, 100_000, 1 << 20]))
        answer = None
        while answer is None:
            answer = self.said(lambda: self.client.create(len(data)))
        assert answer.status == 201, answer
        target, told = tus.target_of(answer.headers["location"]), 0
        while told < len(data):
            piece = data[told:told + self.choice.randint(1, 300_000)]
            answer = self.said(lambda: self.client.patch(target, told, piece))
            if answer is None:
                offset = self.offset(target)
                assert offset >= told, f"offset {offset} after {told}"
                told = offset
            else:
                assert answer.status == 204, answer
                told += len(piece)
        self.whole.append((target, data))
        self.acks += 1

    def offset(self, target):
        while True:
            answer = self.said(lambda: self.client.head(target))
            if answer is not None and answer.status != 503:  # the one that stops has it still
                assert answer.status in (200, 204), answer
                return int(answer.headers["upload-offset"])

    def end(self):
        self.client.close()


class Load:
    """Clients of all kinds at once. A context manager; their failures are for the test to look at."""

    def __init__(self, server, kinds=(H1, H1, H1, H2, Resumable, Resumable)):
        self.clients = [kind(server, number) for number, kind in enumerate(kinds)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.is_over = True
        for client in self.clients:
            client.join(2 * SECONDS)
            assert not client.is_alive(), f"{client} hangs"

    def wait_for_more(self, count):
        """Until each has had so many more acknowledged."""
        ends = [(client, client.acks + count) for client in self.clients]
        support.wait_until(lambda: self.failures or all(client.acks >= end for client, end in ends), "acknowledgments",
                           2 * SECONDS)

    @property
    def failures(self):
        return [failure for client in self.clients for failure in client.failures]

    @property
    def acked(self):
        return {path: seed for client in self.clients for path, seed in client.acked.items()}

    @property
    def whole(self):
        """(target, bytes) of the resumable ones."""
        return [pair for client in self.clients if isinstance(client, Resumable) for pair in client.whole]
