"""Clients of every kind that have nothing to do with resuming: those who upload at once, read, list, remove, and those
who break off, stall, or send nonsense."""

import json
import subprocess
import threading
import time

import draft_client
import support
import tus
import tus_client
import uploaders
from ledger import content, seed_of_whole
from world import DIALECTS, SECONDS

SIZES = (1, 15, 16, 4095, 4096, 4097, 16 << 10, (128 << 10) - 1, 300_000, 1 << 20, (1 << 20) + 1, 4 << 20)
LARGE = (12 << 20, (24 << 20) + 4095)
LARGE_SHARE = 0.03
HELD_MAX = 1 << 30  # acknowledged bytes on disk, from which on there is more removing than sending
CREATED = (200, 201)


class Wrong(Exception):
    """What the server must not do."""


def head(method, target, *lines):
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: wire.test", *lines, "", "")).encode()


def final(raw, method="GET"):
    answer = raw.answer(method)
    while answer.status < 200:
        answer = raw.answer(method)
    return answer


class Client(threading.Thread):
    """Does one thing after the other, at random, until the world is over."""

    def __init__(self, world, number, rng, load):
        super().__init__(daemon=True)
        self.world, self.number, self.rng = world, number, rng
        self.ledger = world.ledger
        self.ways, self.weights = zip(*load)
        self.raw = self.door = None

    def run(self):
        while True:
            with self.world.turn() as is_on:
                if not is_on:
                    return
                self.turn()

    def turn(self):
        """Some requests, on one connection if nothing comes between."""
        for _ in range(self.rng.randint(1, 6)):
            way = self.rng.choices(self.ways, self.weights)[0]
            if self.ledger.kept_bytes > HELD_MAX:
                way = remove
            server = self.world.server
            try:
                if self.raw is None:
                    self.door = self.world.door(self.rng.choice(DIALECTS))
                    self.raw = self.door.raw()
                way(self)
            except TimeoutError as error:
                self.drop()
                self.count(way.__name__, "no answer")
                if server is self.world.server and not self.world.is_stopping:
                    self.world.fail(f"{way.__name__} over {self.door.dialect} hangs: {error}")
                break
            except tus.BROKEN:
                self.drop()
                self.count(way.__name__, "cut")
                break
            except (Wrong, AssertionError, KeyError, ValueError) as error:
                self.drop()
                self.world.fail(f"{way.__name__} over {self.door.dialect}: {error!r}")
                break
            if not self.world.is_open:
                break
        self.drop()

    def drop(self):
        if self.raw is not None:
            self.raw.close()
            self.raw = None

    def count(self, way, outcome, **moved):
        self.world.count(way, outcome, **moved)

    def size(self):
        return self.rng.choice(LARGE if self.rng.random() < LARGE_SHARE else SIZES)

    def folder(self):
        """Of which some are new and some are shared."""
        return self.rng.choice(("", f"c{self.number}/", f"shared/{self.rng.randrange(8)}/",
                                f"n{self.number}/{self.rng.randrange(50)}/deep/er/"))

    def ask(self, method, target, lines=(), body=b""):
        """A request and its answer. The connection is given up with an answer that says so."""
        lines = [*lines, f"Content-Length: {len(body)}"] if body or method in ("PUT", "POST") else lines
        return self.say(head(method, target, *lines) + body, method)

    def say(self, request, method):
        try:
            self.raw.send(request)
        except ConnectionError:  # an answer may have come before all was sent
            if self.door.is_h2:
                raise
        answer = final(self.raw, method)
        if answer.headers.get("connection") == "close" or answer.status >= 400:
            self.drop()
        return answer

    def judge(self, way, answer, wanted, began, sent=0, got=0):
        """Whether it is what was wanted. What there was no reason for is wrong."""
        if answer.status in wanted:
            self.count(way, "good", sent=sent, got=got)
            return True
        self.count(way, f"refused {answer.status}")
        if not self.world.may_refuse(answer.status, began):
            raise Wrong(f"{answer}")
        return False


# ---- those who upload at once ----


def send_once(client, way, items, request, method, paths_of):
    """Sends what stores `items`; paths_of: where the answer says that they are."""
    began = time.monotonic()
    try:
        answer = client.say(request, method)
        if client.judge(way, answer, CREATED, began, sent=sum(item.size for item in items)):
            for item, path in zip(items, paths_of(answer), strict=True):
                client.ledger.keep(item, path)
            return
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        stored = [support.path_of(url) for url in answer.json().get("stored", ())] if is_problem else []
        for item in items:
            path = next((path for path in stored if path.endswith(item.leaf)), None)
            if path is not None:
                client.ledger.keep(item, path)
            else:
                client.ledger.refuse(item, answer.status)
    finally:
        for item in items:
            client.ledger.done(item)


def put(client):
    item = client.ledger.new(client.size())
    path = client.folder() + item.leaf
    more = client.rng.choice(([], [], [f"Repr-Digest: {support.digest_field(item.data, 'sha-256')}"]))
    request = head("PUT", support.quoted(path), f"Content-Length: {item.size}", *more) + item.data
    send_once(client, "put", [item], request, "PUT", lambda answer: [path])


def put_chunked(client):
    item = client.ledger.new(client.size())
    path, data, step = client.folder() + item.leaf, item.data, client.rng.choice((4096, 50_001, 1 << 20))
    pieces = [data[at:at + step] for at in range(0, len(data), step)]
    request = head("PUT", support.quoted(path), "Transfer-Encoding: chunked") + tus.chunked(pieces)
    send_once(client, "put chunked", [item], request, "PUT", lambda answer: [path])


def form(client):
    items = [client.ledger.new(client.size()) for _ in range(client.rng.randint(1, 4))]
    body = uploaders.form_body([(item.leaf, item.data) for item in items], [("comment", "some files")])
    lines = [f"{name}: {value}" for name, value in uploaders.FORM_TYPE.items()]
    request = head("POST", "/files/", *lines, f"Content-Length: {len(body)}") + body
    send_once(client, "form", items, request, "POST",
              lambda answer: [support.path_of(file["url"]) for file in answer.json()["files"]])


def post(client):
    item = client.ledger.new(client.size())
    request = head("POST", f"/files/?name={item.leaf}", "Content-Type: application/octet-stream",
                   f"Content-Length: {item.size}") + item.data
    send_once(client, "post", [item], request, "POST",
              lambda answer: [support.path_of(answer.headers["location"])])


def overwrite(client):
    """One name of each client, again and again."""
    over = client.ledger.over(f"over/{client.number}.bin")
    seed, size = client.ledger.next_of(over), max(16, client.size())
    began = time.monotonic()
    answer = client.ask("PUT", support.quoted(over.path), body=content(seed, size))
    if client.judge("overwrite", answer, CREATED, began, sent=size):
        over.acked = seed


def curl(client):
    """The real one, in some dialect."""
    item, door = client.ledger.new(client.size()), client.door
    path, port = client.folder() + item.leaf, door.port
    version = {"h1": [], "h1-tls": ["--http1.1"], "h2c": ["--http2-prior-knowledge"], "h2-tls": ["--http2"]}
    words = ["curl", "-q", "-sS", "--noproxy", "*", "-m", SECONDS, *version[door.dialect], "-o", "/dev/null",
             "--resolve", f"localhost:{port}:{door.host}", "-w", "%{http_code}", "-T", "-"]
    words += ["--cacert", support.dialects.certificate()[0]] if door.is_tls else []
    url = f"{'https' if door.is_tls else 'http'}://localhost:{port}{support.quoted(path)}"
    began = time.monotonic()
    try:
        done = subprocess.run([*map(str, words), url], input=item.data, capture_output=True)
        status = int(done.stdout or 0)
        if status < 200:  # none, or 100 and no more
            raise EOFError(done.stderr.decode())
        if client.judge("curl", support.Answer(status, {}, b""), CREATED, began, sent=item.size):
            client.ledger.keep(item, path)
        else:
            client.ledger.refuse(item, status)
    finally:
        client.ledger.done(item)


# ---- those who read ----


def read(client, is_to_go=None):
    """A file that was acknowledged, by the server's own words; half of them go then."""
    item = client.ledger.take(client.rng)
    if item is None:
        return
    try:
        target, data, began = support.quoted(item.path), item.data, time.monotonic()
        lines, wanted, status = [], data, 200
        if item.size > 1 and client.rng.random() < 0.3:
            first = client.rng.randrange(item.size - 1)
            lines, wanted, status = [f"Range: bytes={first}-"], data[first:], 206
        answer = client.ask("GET", target, lines)
        if not client.judge("read", answer, (status,), began, got=len(wanted)):
            return
        if answer.body != wanted:
            raise Wrong(f"{item} reads as something else: {len(answer.body)} bytes")
        check_digest(client, item, answer.headers.get("repr-digest"))
        if is_to_go is None:
            is_to_go = client.rng.random() < 0.5
        if is_to_go:
            remove_item(client, item, target)
    finally:
        client.ledger.done(item)


def check_digest(client, item, told):
    """Where an attribute cannot be written or read, a file is stored and read without what is known of it."""
    is_right = told == support.digest_field(item.data, "sha-256")
    if not is_right and (told is not None or not client.world.has_failed_since(item.born)):
        raise Wrong(f"{item} has another digest: {told}")


def remove(client):
    read(client, is_to_go=True)


def remove_item(client, item, target):
    if client.raw is None:
        return
    client.ledger.doubt(item)
    began = time.monotonic()
    answer = client.ask("DELETE", target)
    if client.judge("remove", answer, (204,), began):
        client.ledger.remove(item)


def read_overwritten(client):
    """What others write again and again is one of what they wrote."""
    overs = [over for over in list(client.ledger.overs.values()) if over.acked]
    if not overs:
        return
    over = client.rng.choice(overs)
    least, began = over.acked, time.monotonic()
    answer = client.ask("GET", support.quoted(over.path))
    if client.judge("read overwritten", answer, (200,), began, got=len(answer.body)):
        seed = seed_of_whole(answer.body)
        if seed is None or not least <= seed <= over.tried:
            raise Wrong(f"{over.path} reads as {seed}, acknowledged was {least}, tried {over.tried}")


def list_some(client):
    began = time.monotonic()
    try:
        answer = client.ask("GET", f"/files/?limit={client.rng.choice((1, 50, 1000))}")
    except ValueError as error:  # a chunk without a size: h2o's way to say that it has to break off
        if client.world.may_refuse(500, began):
            raise EOFError("broken off") from error
        raise
    if client.judge("list", answer, (200,), began, got=len(answer.body)):
        for entry in answer.json()["files"]:
            leaf = uploaders.NAME.search(entry["name"])
            if leaf and int(leaf[2]) != entry["size"]:
                raise Wrong(f"the list tells {entry}")


def look(client):
    began = time.monotonic()
    target = client.rng.choice(("/healthz", "/"))
    client.judge("look", client.ask("GET", target), (200,), began)


# ---- those who do harm ----


def some_request(client, item):
    """(head, body) of an upload of it."""
    data, kind = item.data, client.rng.randrange(3)
    if kind == 0:
        return head("PUT", support.quoted("cut/" + item.leaf), f"Content-Length: {item.size}"), data
    if kind == 1:
        body = tus.chunked([data[at:at + 10_000] for at in range(0, len(data), 10_000)])
        return head("PUT", support.quoted("cut/" + item.leaf), "Transfer-Encoding: chunked"), body
    body = uploaders.form_body([(item.leaf, data)])
    lines = [f"{name}: {value}" for name, value in uploaders.FORM_TYPE.items()]
    return head("POST", "/files/", *lines, f"Content-Length: {len(body)}"), body


def break_off(client):
    """Somewhere before, in, or behind the body."""
    item = client.ledger.new(max(2, min(client.size(), 4 << 20)))
    try:
        start, body = some_request(client, item)
        cut = client.rng.choice((client.rng.randrange(len(body)), len(body)))
        client.raw.send((start + body)[:len(start) + cut])
        end = client.rng.choice(("reset", "close"))
        getattr(client.raw, end)()
        client.raw = None
        client.count("break off", end)
    finally:
        client.ledger.done(item)


def break_off_in_head(client):
    item = client.ledger.new(100)
    start = some_request(client, item)[0]
    client.ledger.done(item)
    if not client.door.is_h2:
        client.raw.send(start[:client.rng.randrange(1, len(start))])
    client.raw.reset()
    client.raw = None
    client.count("break off in head", "reset")


def stall(client):
    """Until the server has enough of it."""
    item = client.ledger.new(100_000)
    try:
        start, body = some_request(client, item)
        client.raw.send(start + body[:client.rng.randrange(1, len(body) - 1)])
        answer = final(client.raw)
        client.count("stall", str(answer.status))
        if answer.status == 408 or answer.status >= 500:
            client.ledger.refuse(item, answer.status)
        else:
            raise Wrong(f"an answer to half a request: {answer}")
    finally:
        client.ledger.done(item)
        client.drop()


def read_and_leave(client):
    """Asks for a large file, takes a little, and is gone."""
    item = client.ledger.take(client.rng)
    if item is None:
        return
    try:
        client.raw.send(head("GET", support.quoted(item.path)))
        client.raw.head()
        client.raw.reset()
        client.raw = None
        client.count("read and leave", "reset")
    finally:
        client.ledger.done(item)


def send_other_bytes(client):
    """Not those whose digest it told."""
    item = client.ledger.new(min(client.size(), 1 << 20))
    path = "mismatch/" + item.leaf
    began = time.monotonic()
    try:
        answer = client.ask("PUT", support.quoted(path),
                            [f"Repr-Digest: {support.digest_field(b'other', 'sha-256')}"], item.data)
        if client.judge("send other bytes", answer, (400,), began):
            assert json.loads(answer.body)["code"] == "digest-mismatch", answer
        client.ledger.refuse(item, answer.status)
    finally:
        client.ledger.done(item)


def nonsense(client):
    if client.door.is_h2:
        client.raw.h2.send(bytes(9))  # an empty DATA of no stream
        client.drop()
        return client.count("nonsense", "sent")
    client.raw.send(client.rng.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"PUT /a HTTP/1.1\r\nHost: a"
                                       b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")))
    client.raw.half_close() if client.door.dialect == "h1" else client.raw.reset()
    if client.door.dialect == "h1":
        client.raw.rest()
    client.drop()
    client.count("nonsense", "sent")


UPLOADS = [(put, 10), (put_chunked, 6), (form, 6), (post, 5), (overwrite, 5), (curl, 1), (tus_client.whole, 3),
           (tus_client.pieces, 8), (tus_client.parts, 3), (draft_client.whole, 4), (draft_client.pieces, 6)]
READS = [(read, 10), (remove, 6), (read_overwritten, 4), (list_some, 2), (look, 2)]
HARM = [(break_off, 8), (break_off_in_head, 2), (stall, 1), (read_and_leave, 3), (send_other_bytes, 3), (nonsense, 2),
        (tus_client.leave, 3), (draft_client.leave, 3)]
