"""What the clients of one server share: the server, the gate that lets them work, what they were promised, what they
saw, and what went wrong."""

import collections
import contextlib
import threading
import time

import raw_h2
import support
import tus
from dialects import certificate
from ledger import Ledger

SECONDS = 90  # for an answer, of a machine that has other things to do
DIALECTS = ("h1", "h1-tls", "h2c", "h2-tls")
STARVED = 408  # of a client that got no time to send


class Door:
    """The present address of a server, in one dialect."""

    unix = None

    def __init__(self, server, dialect):
        self.dialect, self.is_tls, self.is_h2 = dialect, dialect.endswith("-tls"), dialect.startswith("h2")
        self.url = next(url for url in server.urls if url.startswith("https:" if self.is_tls else "http:"))
        self.host, _, port = self.url.rpartition("/")[2].partition(":")
        self.port = int(port)

    def raw(self):
        if self.is_h2:
            return raw_h2.RawH2(self, seconds=SECONDS, tls=certificate()[0] if self.is_tls else None)
        return support.Raw(self, seconds=SECONDS)


class World:
    def __init__(self, engine):
        self.engine = engine
        self.ledger = Ledger()
        self.lock = threading.Condition()
        self.server, self.lives = None, 0  # none is up
        self.is_open, self.is_over, self.working, self.waiting = False, False, 0, 0
        self.counts = collections.Counter()  # (way, outcome)
        self.sent_bytes = self.got_bytes = 0
        self.uploads = set()  # ids of resumable ones that clients know of
        self.wrong = []
        self.is_faulty, self.is_stopping, self.last_trouble, self.last_fault = False, False, 0.0, 0.0

    # ---- the gate ----

    def open(self):
        with self.lock:
            self.is_open = True
            self.lock.notify_all()

    def shut(self):
        """Lets nobody begin."""
        with self.lock:
            self.is_open = False

    def close(self, seconds=SECONDS * 2):
        """Lets nobody begin, and waits until everybody has ended or, where there is no server, waits for one."""
        self.shut()
        with self.lock:
            has_ended = self.lock.wait_for(lambda: self.working == 0, seconds)
        if not has_ended:
            self.fail(f"{self.working} clients do not come to an end within {seconds} s")

    def end(self):
        with self.lock:
            self.is_over = self.is_open = True
            self.lock.notify_all()

    @contextlib.contextmanager
    def turn(self):
        """One request, or one upload in many; gives whether there is to be any."""
        with self.lock:
            self.lock.wait_for(lambda: self.is_open)
            self.working += 1
        try:
            yield not self.is_over
        finally:
            with self.lock:
                self.working -= 1
                self.lock.notify_all()

    def set_server(self, server):
        """Or None. Those who waited for one are at work again, from here on and not from when they wake."""
        with self.lock:
            self.server = server
            if server is not None:
                self.lives += 1
                self.working, self.waiting = self.working + self.waiting, 0
            self.lock.notify_all()

    def door(self, dialect):
        """Of the present server; waits for one."""
        with self.lock:
            while self.server is None:
                lives = self.lives
                self.working, self.waiting = self.working - 1, self.waiting + 1
                self.lock.notify_all()
                if not self.lock.wait_for(lambda: self.lives != lives, SECONDS):
                    self.working, self.waiting = self.working + 1, self.waiting - 1
                    raise ConnectionError("no server comes up")
            return Door(self.server, dialect)

    # ---- what was seen ----

    def count(self, way, outcome, sent=0, got=0):
        with self.lock:
            self.counts[way, outcome] += 1
            self.sent_bytes += sent
            self.got_bytes += got

    def fail(self, words):
        with self.lock:
            self.wrong.append(words)
        print(f"{time.strftime('%H:%M:%S')} {self.engine}: WRONG: {words}", flush=True)

    @contextlib.contextmanager
    def trouble(self, kind):
        """As long as it lasts, and for requests that began in it, the server may answer 5xx. kind: "is_faulty" or
        "is_stopping"."""
        setattr(self, kind, True)
        try:
            yield
        finally:
            self.last_trouble = time.monotonic()
            self.last_fault = self.last_trouble if kind == "is_faulty" else self.last_fault
            setattr(self, kind, False)

    def has_failed_since(self, began):
        return self.is_faulty or self.last_fault >= began

    def may_refuse(self, status, began):
        """Is there a reason for this answer to a good request?"""
        is_troubled = self.is_faulty or self.is_stopping or self.last_trouble >= began
        return status == STARVED or status >= 500 and is_troubled


class TusClient(tus.Tus):
    """Over any dialect."""

    def __init__(self, door):
        super().__init__(door)

    def connection(self):
        if self.raw is None:
            self.raw = self.server.raw()
        return self.raw
