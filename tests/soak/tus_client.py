"""Clients of tus 1.0.0 that go on where they were told."""

import time

import support
import tus
from resuming import CUT_SHARE, PIECES, Lost, Resuming
from world import TusClient

CHECKED_SHARE = 0.3


class Upload(Resuming):
    ASKED = 200

    def __init__(self, client, data, way):
        super().__init__(client, data, way)
        self.tus = TusClient(client.door)
        self.is_deferred = False
        self.came_whole = None  # the time before it did, in its creation

    def close(self):
        self.tus.close()

    def again(self):
        self.tus.close()
        self.tus.server = self.another_door()

    def create(self, *lines, first=0):
        """The answer, or None when nothing is known to have been made."""
        began = time.monotonic()
        length = tus.DEFERRED if self.is_deferred else len(self.data)
        body = self.data[:first] if first else None
        answer = self.tus.create(length, *lines, body=body)
        if answer.status != 201:
            self.refused(answer, began)
            return None
        self.target, self.acked = tus.target_of(answer.headers["location"]), first
        self.world.uploads.add(tus.id_of(self.target))
        self.count("created", sent=first)
        return answer

    def send_piece(self):
        at, began = self.acked, time.monotonic()
        end = min(len(self.data), at + self.rng.choice(PIECES))
        piece = self.data[at:end]
        lines = [f"Upload-Length: {len(self.data)}"] if self.is_deferred and end == len(self.data) else []
        if self.rng.random() < CUT_SHARE and len(piece) > 1:
            return self.cut(at, piece, lines)
        checked = self.rng.random() < CHECKED_SHARE
        if checked:
            is_right = self.rng.random() < 0.8
            lines.append(f"Upload-Checksum: {tus.checksum('sha256', piece if is_right else piece + b'x')}")
        answer = self.tus.patch(self.target, at, piece, *lines)
        if answer.status == 204:
            told = int(answer.headers["upload-offset"])
            if told != end or checked and not is_right:
                raise Lost(f"{self.target} at {end} says {answer}")
            self.acked = told
            self.is_deferred = self.is_deferred and end < len(self.data)
            self.count("good", sent=len(piece))
            return answer
        if answer.status == 460 and checked and not is_right:
            self.count("mismatch told")
            return self.ask()
        return self.not_taken(answer, began)

    def cut(self, at, piece, lines):
        """A part of a piece, and the connection is gone."""
        raw = self.tus.connection()
        raw.send(tus.patch_head(self.target, at, len(piece), *lines) + piece[:self.rng.randrange(len(piece))])
        getattr(raw, self.rng.choice(("reset", "close")))()
        self.tus.raw = None
        self.count("cut by us")
        return self.ask()

    def head(self):
        return self.tus.head(self.target)

    def take(self, answer):
        """The answer."""
        self.told(int(answer.headers["upload-offset"]), answer)
        self.is_deferred = "upload-defer-length" in answer.headers
        return answer

    def is_over(self, answer):
        return answer is not None and self.acked == len(self.data) and not self.is_deferred

    def leave(self):
        """It is removed now and then, and else left to expire."""
        if self.rng.random() < 0.5:
            began = time.monotonic()
            answer = self.tus.delete(self.target)
            is_lost = answer.status == 404 and self.may_be_lost()
            if answer.status != 204 and not is_lost and not self.world.may_refuse(answer.status, began):
                raise Lost(f"DELETE {self.target}: {answer}")
            self.count("removed" if answer.status == 204 else f"refused {answer.status}")


    def may_be_lost(self):
        """Its address, not the file: that is no reason to take back what has its name."""
        return self.came_whole is not None and self.world.has_failed_since(self.came_whole)


def finished(upload, item, answer):
    """It is a file now, and the answer tells where."""
    upload.client.ledger.keep(item, support.path_of(answer.headers["content-location"]))
    upload.count("finished")
    upload.leave()


def named(item):
    return f"Upload-Metadata: {tus.metadata(filename=item.leaf, filetype='application/x-soak')}"


def whole(client):
    """All of it with the creation."""
    item = client.ledger.new(min(client.size(), 1 << 20))
    upload = Upload(client, item.data, "tus whole")
    upload.came_whole = time.monotonic()
    try:
        answer = upload.create(named(item), first=item.size)
        if answer is not None:
            finished(upload, item, answer)
    finally:
        upload.close()
        client.ledger.done(item)


def pieces(client, is_to_end=True):
    item = client.ledger.new(client.size())
    upload = Upload(client, item.data, "tus")
    try:
        upload.is_deferred = client.rng.random() < 0.3
        first = client.rng.choice((0, client.rng.randrange(item.size)))
        if upload.create(named(item), first=first) is None:
            return
        if not is_to_end:
            upload.count("left")
            return
        finished(upload, item, upload.send_all())
    finally:
        upload.close()
        client.ledger.done(item)


def leave(client):
    """An upload that nobody goes on with."""
    pieces(client, is_to_end=False)


def parts(client):
    """A few uploads that become one."""
    item = client.ledger.new(max(3, min(client.size(), 4 << 20)))
    count, data = client.rng.randint(2, 4), item.data
    cuts = sorted([0, len(data), *(client.rng.randrange(len(data)) for _ in range(count - 1))])
    uploads = [Upload(client, data[a:b], "tus part") for a, b in zip(cuts, cuts[1:])]
    final = Upload(client, data, "tus final")
    try:
        for upload in uploads:
            if upload.create("Upload-Concat: partial") is None:
                return
            if upload.data:
                upload.send_all()
        targets = " ".join(upload.target for upload in uploads)
        final.again()
        began = time.monotonic()
        answer = final.tus.create(None, f"Upload-Concat: final;{targets}", named(item))
        if answer.status != 201:
            return final.refused(answer, began)
        final.target = tus.target_of(answer.headers["location"])
        client.world.uploads.add(tus.id_of(final.target))
        final.acked = len(data)
        if "content-location" not in answer.headers:
            answer = final.ask()
        finished(final, item, answer)
    finally:
        for upload in [*uploads, final]:
            upload.close()
        client.ledger.done(item)
