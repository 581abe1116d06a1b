"""What clients were told, and whether it holds: a file that was acknowledged is there and whole, one that was refused
or removed is not, and any other is whole or absent.

Every file tells what it must hold: its name ends in s<seed>-<size>.bin, and bytes of 16 and more begin with both.
"""

import os
import random
import re
import struct
import threading
import time

HEAD = struct.Struct("<QQ")  # seed, size
LEAF = re.compile(r"s(\d+)-(\d+)\.bin$")
NOISE = random.Random(1).randbytes(16 << 20)
STRIDE = 1_000_003  # between the noise of two files

# What a file may be. OPEN: nobody was told anything, or the answer was lost.
OPEN, KEPT, GONE = "open", "kept", "gone"


def content(seed, size):
    at = seed * STRIDE % len(NOISE)
    noise = NOISE[at:at + size]
    while len(noise) < size:
        noise += NOISE[:size - len(noise)]
    return HEAD.pack(seed, size) + noise[HEAD.size:] if size >= HEAD.size else noise


def seed_of_whole(data):
    """The seed of bytes that are some file of ours, or None."""
    if len(data) < HEAD.size:
        return None
    seed, size = HEAD.unpack_from(data)
    return seed if size == len(data) and data == content(seed, size) else None


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Item:
    """A file that is sent once. `is_busy`: a client is at it, and what the ledger says of it may be about to change."""

    def __init__(self, seed, size):
        self.seed, self.size, self.leaf = seed, size, f"s{seed}-{size}.bin"
        self.state, self.path, self.is_busy, self.word = OPEN, None, True, "never answered"
        self.born = time.monotonic()

    @property
    def data(self):
        return content(self.seed, self.size)

    def __repr__(self):
        return f"{self.path or self.leaf} ({self.word})"


class Over:
    """A name that one client writes again and again."""

    def __init__(self, path):
        self.path, self.acked, self.tried = path, 0, 0


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.items, self.kept, self.overs = {}, {}, {}
        self.seeds = 0
        self.kept_bytes = 0
        self.verified, self.verified_bytes = 0, 0

    # ---- the clients' side ----

    def new(self, size):
        with self.lock:
            self.seeds += 1
            item = Item(self.seeds, size)
            self.items[item.leaf] = item
            return item

    def keep(self, item, path):
        """It was acknowledged, and this is where."""
        with self.lock:
            item.path, item.word = path, "acknowledged"
            self._enter(item, KEPT)

    def refuse(self, item, status):
        with self.lock:
            item.word = f"refused with {status}"
            self._enter(item, GONE)

    def remove(self, item):
        """It was told to be gone."""
        with self.lock:
            item.word = "removed"
            self._enter(item, GONE)

    def doubt(self, item):
        """What becomes of it nobody was told."""
        with self.lock:
            self._enter(item, OPEN)

    def done(self, item):
        item.is_busy = False

    def take(self, rng):
        """Some acknowledged file that no other client is at, or None. It is busy until done()."""
        with self.lock:
            for _ in range(4):
                if not self.kept:
                    return None
                item = self.kept[rng.choice(self._keys())]
                if not item.is_busy:
                    item.is_busy = True
                    return item
            return None

    def over(self, path):
        with self.lock:
            return self.overs.setdefault(path, Over(path))

    def next_of(self, over):
        with self.lock:
            self.seeds += 1
            over.tried = self.seeds
            return over.tried

    def _keys(self):
        return list(self.kept)

    def _enter(self, item, state):
        if item.state == KEPT:
            del self.kept[item.leaf]
            self.kept_bytes -= item.size
        item.state = state
        if state == KEPT:
            self.kept[item.leaf] = item
            self.kept_bytes += item.size

    # ---- the audit: no client is at work, but some may be in the middle of an upload ----

    def audit(self, files, keep, rng):
        """Looks at every file below `files`; most of those that are right are removed, so that the disk does not fill,
        and `keep` of them stay for another time. What is wrong, as words."""
        wrong, seen = [], set()
        for folder, _, names in os.walk(files):
            for name in names:
                path = os.path.join(folder, name)
                leaf = LEAF.search(name)
                if leaf is None:
                    wrong += self._audit_over(path, os.path.relpath(path, files))
                    continue
                seen.add(leaf[0])
                wrong += self._audit_item(path, os.path.relpath(path, files), leaf[0], rng.random() < keep)
        with self.lock:
            wrong += [f"lost: {item}" for leaf, item in self.kept.items() if leaf not in seen]
            wrong += [f"lost: {over.path}, of {over.acked}" for over in self.overs.values()
                      if over.acked and not os.path.exists(os.path.join(files, over.path))]
            gone = [leaf for leaf, item in self.items.items() if not item.is_busy and item.state != KEPT]
            for leaf in gone:
                del self.items[leaf]
        return wrong

    def _audit_item(self, path, name, leaf, is_to_stay):
        item = self.items.get(leaf)
        if item is None:
            os.unlink(path)  # told once
            return [f"was gone, and is there: {name}"]
        seed, size = map(int, LEAF.search(leaf).groups())
        if read(path) != content(seed, size):
            return [f"broken: {name}, {item}, {os.path.getsize(path)} bytes are there"]
        with self.lock:
            self.verified, self.verified_bytes = self.verified + 1, self.verified_bytes + size
            if item.state == GONE:
                os.unlink(path)
                return [f"there, and was {item}: {name}"]
            if item.state == KEPT and item.path != name:
                return [f"elsewhere than told: {name}, {item}"]
            if item.is_busy or is_to_stay and item.state == KEPT:
                return []
            os.unlink(path)
            self._enter(item, GONE)
            item.word = "audited and removed"
            return []

    def _audit_over(self, path, name):
        seed, over = seed_of_whole(read(path)), self.overs.get(name)
        if over is None:
            return [f"nobody sent {name}"]
        if seed is None or not over.acked <= seed <= over.tried:
            return [f"broken: {name} holds {seed}, acknowledged was {over.acked}, tried {over.tried}"]
        self.verified += 1
        return []
