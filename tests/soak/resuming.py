"""What clients of every protocol do when something breaks: ask, and go on. What they were told of offsets never goes
back."""

import time

import tus
from world import SECONDS

PIECES = (1, 4095, 4096, 10_000, 300_000, 1_500_000, 8 << 20)
TRIES = 300  # requests of one upload
PAUSE_SECONDS = 0.05  # after a refusal
CUT_SHARE = 0.15  # of the pieces of an upload
DIALECTS = ("h1", "h1-tls", "h2c", "h2-tls")


class Lost(AssertionError):
    """The server knows less than it told."""


class Resuming:
    """One upload in pieces, over as many connections and servers as it takes. A protocol adds

    again()        after a break: whoever is up now
    head()         the answer that tells the offset, whose status is ASKED
    take(answer)   takes it in; what is known from it
    send_piece()   the next piece, and what is known from its answer
    is_over(known) whether that is all
    """

    def __init__(self, client, data, way):
        self.client, self.data, self.way = client, data, way
        self.world, self.rng = client.world, client.rng
        self.target, self.acked = None, 0

    def count(self, outcome, **moved):
        self.world.count(self.way, outcome, **moved)

    def another_door(self):
        return self.world.door(self.rng.choice(DIALECTS))

    def refused(self, answer, began):
        self.count(f"refused {answer.status}")
        if not self.world.may_refuse(answer.status, began):
            raise Lost(f"{self.target}, {self.acked} of {len(self.data)}: {answer}")
        self.again()
        time.sleep(PAUSE_SECONDS)

    def not_taken(self, answer, began):
        """Of a piece. An offset that is not ours is ours to ask for."""
        if answer.status != 409:
            self.refused(answer, began)
        else:
            self.count("refused 409")
        return self.ask()

    def told(self, offset, answer):
        if not self.acked <= offset <= len(self.data):
            raise Lost(f"{self.target} is at {offset}, {self.acked} of {len(self.data)} was told: {answer}")
        self.acked = offset

    def ask(self):
        """HEAD, until it is answered."""
        deadline = time.monotonic() + SECONDS
        while (began := time.monotonic()) < deadline:
            try:
                answer = self.head()
            except tus.BROKEN:
                self.count("cut")
                self.again()
                time.sleep(PAUSE_SECONDS)
                continue
            if answer.status == self.ASKED:
                return self.take(answer)
            self.refused(answer, began)
        raise Lost(f"no answer of {self.target} within {SECONDS} s")

    def send_all(self):
        """What is known in the end: from the answer that made it whole, or from one that told it is."""
        for _ in range(TRIES):
            try:
                known = self.send_piece()
            except tus.BROKEN as error:
                self.count("cut")
                if isinstance(error, TimeoutError) and not self.world.is_stopping:
                    self.world.fail(f"{self.way} hangs at {self.target}: {error}")
                self.again()
                known = self.ask()
            if self.is_over(known):
                return known
        raise Lost(f"no end of {self.target} with {self.acked} of {len(self.data)} after {TRIES} requests")
