"""Clients of the IETF draft that go on where they were told, by answers and by 104."""

import time

import draft
import support
import tus
from resuming import CUT_SHARE, PIECES, Lost, Resuming

VERSIONS = (8, 8, 6)
CREATED = (200, 201)


class Upload(Resuming):
    ASKED = 204

    def __init__(self, client, item):
        super().__init__(client, item.data, "draft")
        self.item, self.version = item, client.rng.choice(VERSIONS)
        self.path = client.folder() + item.leaf
        self.door, self.raw = client.door, None

    def close(self):
        if self.raw is not None:
            self.raw.close()
            self.raw = None

    def again(self):
        self.close()
        self.door = self.another_door()

    def say(self, method, target, lines, body=None, cut=None):
        """The answer; None when we were the ones to break off. What interim answers tell is taken in."""
        if self.raw is None:
            self.raw = self.door.raw()
        lines = ["Host: wire.test", *lines, *([] if body is None else [f"Content-Length: {len(body)}"])]
        request = "\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", "")).encode()
        try:
            self.raw.send(request + (body or b"")[:cut])
        except ConnectionError:
            if self.door.is_h2:
                raise
        if cut is not None:
            getattr(self.raw, self.rng.choice(("reset", "close")))()
            self.raw = None
            self.count("cut by us")
            return None
        while (answer := self.raw.answer(method)).status < 200:
            self.take_interim(answer)
        if answer.headers.get("connection") == "close" or answer.status >= 400:
            self.close()
        return answer

    def take_interim(self, answer):
        if answer.status == 104 and "location" in answer.headers:
            self.know(answer.headers["location"])
        if answer.status == 104 and "upload-offset" in answer.headers:
            self.told(int(answer.headers["upload-offset"]), answer)

    def know(self, url):
        self.target = tus.target_of(url)
        self.world.uploads.add(tus.id_of(self.target))

    def create(self, first, is_whole):
        began = time.monotonic()
        lines = draft.lines_of(self.version, is_whole)
        answer = self.say("PUT", support.quoted(self.path), lines, self.data[:first])
        if answer.status not in CREATED:
            self.refused(answer, began)
            return None
        if is_whole:
            self.acked = len(self.data)
        else:
            self.know(answer.headers["location"])
            self.told(int(answer.headers["upload-offset"]), answer)
            if self.acked != first:
                raise Lost(f"{self.target} after {first} says {answer}")
        self.count("created", sent=first)
        return answer

    def head(self):
        return self.say("HEAD", self.target, draft.lines_of(self.version))

    def take(self, answer):
        """Whether it is complete."""
        self.told(int(answer.headers["upload-offset"]), answer)
        return draft.is_complete(self.version, answer.headers)

    def is_over(self, is_complete):
        return is_complete

    def send_piece(self):
        """Whether it is complete."""
        at, began = self.acked, time.monotonic()
        end = min(len(self.data), at + self.rng.choice(PIECES))
        piece, is_last = self.data[at:end], end == len(self.data)
        cut = self.rng.randrange(len(piece)) if piece and self.rng.random() < CUT_SHARE else None
        lines = draft.lines_of(self.version, is_last, at, kind=draft.PARTIAL)
        answer = self.say("PATCH", self.target, lines, piece, cut)
        if answer is None:
            return self.ask()
        if answer.status in (200, 201, 204):
            self.told(int(answer.headers["upload-offset"]), answer)
            if self.acked != end:
                raise Lost(f"{self.target} at {end} says {answer}")
            self.count("good", sent=len(piece))
            return is_last
        return self.not_taken(answer, began)

    def finished(self):
        self.client.ledger.keep(self.item, self.path)
        self.count("finished")


def whole(client):
    """All of it at once; gone on with where that breaks."""
    item = client.ledger.new(client.size())
    upload = Upload(client, item)
    try:
        try:
            answer = upload.create(item.size, is_whole=True)
        except tus.BROKEN:
            upload.count("cut")
            if upload.target is None:
                return
            upload.again()
            answer = None
        if answer is None:
            if upload.target is None:
                return
            if not upload.ask():
                upload.send_all()
        upload.finished()
    finally:
        upload.close()
        client.ledger.done(item)


def pieces(client, is_to_end=True):
    item = client.ledger.new(client.size())
    upload = Upload(client, item)
    try:
        first = client.rng.choice((0, client.rng.randrange(item.size)))
        if upload.create(first, is_whole=False) is None:
            return
        if is_to_end:
            upload.send_all()
            upload.finished()
        else:
            upload.count("left")
    finally:
        upload.close()
        client.ledger.done(item)


def leave(client):
    pieces(client, is_to_end=False)
