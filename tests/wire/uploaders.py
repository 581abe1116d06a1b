"""Clients that upload without pause and remember what was acknowledged, for tests that pull the rug from under the
server.

Every file tells what it must hold: its bytes begin with a seed and a size, and the rest follows from them. So any file
found later can be told whole or broken, whoever sent it, and whether it was acknowledged or not.
"""

import http.client
import itertools
import json
import os
import random
import re
import struct
import threading
import urllib.parse

HEAD = struct.Struct("<QQ")  # seed, size
NAME = re.compile(r"s(\d+)-(\d+)\.bin$")
SIZES = (1, 16, 17, 4095, 4096, 4097, 16 << 10, (128 << 10) - 1, 300_000, 1 << 20, (1 << 20) + 1, 4 << 20)
BOUNDARY = "----a-boundary-of-the-uploaders"


def content(seed, size):
    """The bytes of a file. One too short for a head is just its seed's noise."""
    noise = random.Random(seed).randbytes(size)
    return HEAD.pack(seed, size) + noise[HEAD.size:] if size >= HEAD.size else noise


def seed_of_whole(data):
    """The seed of a file that is whole; None: it is not what anybody sent."""
    if data is None or len(data) < HEAD.size:
        return None
    seed, size = HEAD.unpack_from(data)
    return seed if size == len(data) and data == content(seed, size) else None


def is_whole_by_name(path):
    """Whether the file holds what its name says."""
    seed, size = map(int, NAME.search(path).groups())
    return read(path) == content(seed, size)


def read(path):
    """What the file holds; None where the disk does not give it back, which after a power cut is one way to be lost."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def files_below(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


# ---- the ways to upload; each returns [(path below files/, seed)] once all of it is acknowledged, else raises ----


class Refused(Exception):
    """An answer came, and it is not a 2xx."""


def exchange(connection, method, target, body, headers):
    is_chunked = "Transfer-Encoding" in headers
    connection.request(method, target, body=body, headers=headers, encode_chunked=is_chunked)
    answer = connection.getresponse()
    text = answer.read()  # raises when the answer is cut short: then nothing was acknowledged
    if answer.status not in (200, 201):
        raise Refused(answer.status, text.decode(errors="replace"))
    return text


def quoted(path):
    return "/files/" + urllib.parse.quote(path)


def put(connection, path, seed, size):
    exchange(connection, "PUT", quoted(path), content(seed, size), {})
    return [(path, seed)]


def put_chunked(connection, path, seed, size):
    data = content(seed, size)
    pieces = (data[at:at + 50_001] for at in range(0, size, 50_001))
    exchange(connection, "PUT", quoted(path), pieces, {"Transfer-Encoding": "chunked"})
    return [(path, seed)]


def form_body(files, fields=()):
    """files: [(filename, bytes)]"""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields]
    for filename, data in files:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": "application/json"}


def post_form(connection, path, seed, size):
    """Two files; the server chooses their names, which end in ours."""
    leaf = os.path.basename(path)
    other = f"s{seed}-{size // 2}.bin"
    body = form_body([(leaf, content(seed, size)), (other, content(seed, size // 2))], [("comment", "two files")])
    answer = json.loads(exchange(connection, "POST", "/files/", body, FORM_TYPE))
    urls = [urllib.parse.urlsplit(file["url"]).path for file in answer["files"]]
    assert len(urls) == 2, answer
    return [(urllib.parse.unquote(url).removeprefix("/files/"), seed) for url in urls]


def post(connection, path, seed, size):
    """The bytes as they are; the server chooses the name, which ends in ours."""
    target = "/files/?" + urllib.parse.urlencode({"name": os.path.basename(path)})
    headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
    answer = json.loads(exchange(connection, "POST", target, content(seed, size), headers))
    return [(urllib.parse.unquote(urllib.parse.urlsplit(answer["url"]).path).removeprefix("/files/"), seed)]


# Via: our client would take a 104 for the answer.
DRAFT = {"Upload-Draft-Interop-Version": "8", "Upload-Complete": "?1", "Via": "1.1 front"}


def draft(connection, path, seed, size):
    """What could be gone on with, by the IETF draft, and comes at once."""
    exchange(connection, "PUT", quoted(path), content(seed, size), DRAFT)
    return [(path, seed)]


WAYS = (put, put_chunked, post_form, post, draft)


def spread(client, number, seed, size):
    """A name of its own for each upload, in folders of which some are new and some are shared."""
    folder = ("", f"c{client}/", f"shared/{number // 8}/", f"n{client}/{number}/deep/er/")[number % 4]
    return f"{folder}s{seed}-{size}.bin"


def same(client, number, seed, size):
    """One name for each client, written again and again."""
    return f"over/{client}.bin"


# Only sizes with room for a head: the name does not tell what an overwritten file must hold.
OVERWRITING = {"ways": (put, put_chunked, draft), "name": same, "sizes": [size for size in SIZES if size >= HEAD.size]}


class Uploaders:
    """A context manager: `count` clients upload until the server is gone or the block is left.

    acked: {path below files/: seed of the last upload that was acknowledged}; refused: answers that were not a 2xx.
    """

    def __init__(self, server, count=6, ways=WAYS, sizes=SIZES, name=spread, seed=None):
        self.address = (server.host, server.port)
        self.ways, self.sizes, self.name = ways, sizes, name
        self.seeds = itertools.count(1 if seed is None else seed)
        self.acked, self.refused = {}, []
        self.acks = 0
        self.changed = threading.Condition()
        self.is_over = False
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(timeout=30)
            assert not thread.is_alive(), "a client hangs: the server neither answers nor closes"

    def work(self, client):
        choice = random.Random(client)
        connection = http.client.HTTPConnection(*self.address, timeout=25)
        try:
            for number in itertools.count():
                if self.is_over:
                    return
                self.upload_once(connection, client, number, choice)
        except (OSError, http.client.HTTPException):
            pass  # the server is gone
        finally:
            connection.close()
            with self.changed:
                self.changed.notify_all()

    def upload_once(self, connection, client, number, choice):
        with self.changed:
            seed = next(self.seeds)
        size = choice.choice(self.sizes)
        path = self.name(client, number, seed, size)
        try:
            stored = choice.choice(self.ways)(connection, path, seed, size)
        except Refused as answer:
            with self.changed:
                self.refused.append((path, *answer.args))
            raise ConnectionError from answer
        with self.changed:
            self.acked.update(stored)
            self.acks += 1
            self.changed.notify_all()

    def wait_for_acks(self, count, timeout=60):
        with self.changed:
            self.changed.wait_for(lambda: self.acks >= count or not self.is_alive(), timeout)
            assert self.acks >= count, f"only {self.acks} of {count} uploads acknowledged; refused: {self.refused[:3]}"

    def promised(self):
        """What was acknowledged until now. For the moment before the power goes: an fsync that meets the shutdown of
        xfs may say yes and lose, and nobody lives to hear such an answer where the power really goes."""
        with self.changed:
            return dict(self.acked)

    def is_alive(self):
        return any(thread.is_alive() for thread in self.threads)
