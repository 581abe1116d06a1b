#!/usr/bin/env python3
"""A soak: mixed load with faults and kills, on both engines at once; nothing may be lost, and nothing may leak.

    soak.py [MINUTES] [SEED]        60 minutes, and a seed that is told

Each engine has its own server, root and clients, who upload in every way, read, list, remove, break off and stall, in
all four dialects. Its time goes by in lives of a process, of three kinds in turn:

    storm   seconds each, ended under load by SIGKILL or SIGTERM; then every file is looked at.
    calm    minutes without a fault. Now and then all clients rest: then descriptors, temporary files and memory are
            back where they were, and every file is looked at.
    faulty  the same on a disk that fails, one operation here, every one of a kind there.

The exit code is 1 if anything was lost, broken, leaked, refused without a reason, or left unanswered.
"""

import contextlib
import errno
import multiprocessing
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))

import clients  # noqa: E402
import dialects  # noqa: E402
import support  # noqa: E402
from faults import ENGINES, NO_TMPFILE  # noqa: E402
from faulty_disk import KINDS, Faults  # noqa: E402
from watch import Life  # noqa: E402
from world import World  # noqa: E402

CLIENTS = {"upload": (clients.UPLOADS, 9), "read": (clients.READS, 3), "harm": (clients.HARM, 3)}
LIFE_SECONDS = {"storm": 120, "calm": 300, "faulty": 240}
LEAST_SECONDS = 60  # of a life at the end
BEAT_SECONDS = 45  # between two rests
STORM_SECONDS = (0.3, 8)  # of one process in a storm
BODY_SECONDS = 3
EXPIRY_SECONDS = 120
KEEP_SHARE = 0.1  # of the files of an audit that stay for the next
BUFFER = "32Mi"
CUT_OFF = 4  # the exit code of a server that had to cut off somebody
STOP_SECONDS = 120
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM)
NEVER_FAILS = {"UNLINK", "STAT"}  # or else what was refused could not be taken back, and temporary files would stay


class Died(Exception):
    """A process that nobody ended."""


class Soak:
    """Of one engine."""

    def __init__(self, engine, seconds, seed):
        self.engine, self.seconds, self.rng = engine, seconds, random.Random(f"{seed} {engine}")
        self.world = World(engine)
        self.home = tempfile.mkdtemp(prefix="sluice-soak-")
        self.root = os.path.join(self.home, "root")
        self.faults = Faults()
        self.life, self.lives = None, 0
        self.begun = time.monotonic()
        self.deadline = self.begun + seconds
        self.done = {"SIGKILL": 0, "SIGTERM": 0, "rests": 0, "faults": 0, "audits": 0}
        self.flat = []  # a line for each long life

    def say(self, words):
        print(f"{time.strftime('%H:%M:%S')} {self.engine}: {words}", flush=True)

    def wrong(self, found):
        for words in found:
            self.world.fail(words)

    def requests(self):
        return sum(self.world.counts.values())

    # ---- the server ----

    def start(self, is_faulty=False):
        """A new process at an address of its own: nobody who still means the last one may come to it."""
        self.lives += 1
        pid = os.getpid()
        address = f"127.{1 + pid % 250}.{pid // 250 % 250}.{self.lives % 250 + 1}:0"
        cert, key = dialects.certificate()
        self.server = support.Sluice(
            root=self.root, engine=self.engine, wrapper=self.rng.choice(([], [], NO_TMPFILE)),
            binary=support.FAULTY if is_faulty else support.BINARY,
            environment={"SLUICE_TEST_FAULTS": self.faults.file.name} if is_faulty else None,
            listen=[address, f"{address} tls"], tls_cert=cert, tls_key=key, conflict="overwrite",
            durability=self.rng.choice(("full", "full", "data", "none")), body_timeout=BODY_SECONDS,
            upload_expiry=EXPIRY_SECONDS, buffer_memory=BUFFER, shutdown_timeout=5, loops=2, hash_threads=2).start()
        if self.server.temp_files():
            self.wrong([f"left in uploads/ after a start: {self.server.temp_files()[:5]}"])
        self.life = Life(self.server)
        self.world.set_server(self.server)

    def kill(self):
        self.world.is_stopping = True
        self.world.shut()
        self.world.set_server(None)
        self.ended("SIGKILL", self.server.kill(), (-9,))

    def terminate(self, wanted):
        with self.world.trouble("is_stopping"):
            self.world.set_server(None)
            self.server.terminate()
            self.ended("SIGTERM", self.server.wait(STOP_SECONDS), wanted)
        if self.server.temp_files():
            self.wrong([f"left in uploads/ after SIGTERM: {self.server.temp_files()[:5]}"])

    def ended(self, how, code, wanted):
        self.done[how] += 1
        self.world.last_trouble = time.monotonic()
        self.world.is_stopping = False
        if code not in wanted:
            self.wrong([f"exit code {code} after {how}: {self.last_words()}"])
        self.server.discard()

    def last_words(self):
        """What the log has beside requests, at the end."""
        return [line for line in self.server.log if ' "' not in line][-5:] + self.server.log[-2:]

    def look(self):
        """While it lives; a process that is gone without being told to is the worst there is."""
        if not self.server.is_running():
            raise Died(f"exit code {self.server.wait()}: {self.last_words()}")
        self.life.look()

    # ---- rests and audits ----

    def rest(self):
        """All clients come to an end, and then nothing is held and every promise is kept."""
        self.world.close()
        self.done["rests"] += 1
        self.wrong(self.life.rest(self.requests()))
        self.audit()

    def audit(self):
        self.done["audits"] += 1
        self.wrong(self.world.ledger.audit(os.path.join(self.root, "files"), KEEP_SHARE, self.rng))

    # ---- lives ----

    def work(self, seconds, step=0.2):
        """Lets the clients work for so long."""
        end = time.monotonic() + seconds
        self.world.open()
        while time.monotonic() < end:
            self.look()
            time.sleep(min(step, max(0, end - time.monotonic())))

    def long_life(self, seconds, is_faulty):
        self.start(is_faulty)
        first, rests, beat = self.requests(), self.done["rests"], min(BEAT_SECONDS, seconds / 4)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.failing() if is_faulty else contextlib.nullcontext():
                self.work(min(beat, max(0.5, end - time.monotonic())))
            self.rest()
        self.wrong(self.life.leak())
        name = "faulty" if is_faulty else "calm"
        self.flat.append(f"{name}: {self.life}, {self.requests() - first} requests, {self.done['rests'] - rests} rests")
        self.say(self.flat[-1])
        self.terminate((0,))

    @contextlib.contextmanager
    def failing(self):
        over = threading.Event()
        thread = threading.Thread(target=self.fail_now_and_then, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def fail_now_and_then(self, over):
        """Single operations for a while, or every one of a few kinds; and then nothing for a while."""
        kinds = [kind for kind in KINDS if kind not in NEVER_FAILS]
        while not over.wait(self.rng.uniform(0.2, 2)):
            with self.world.trouble("is_faulty"):
                if self.rng.random() < 0.3:
                    with self.faults.all_fail(self.rng.choice(ERRORS), set(self.rng.sample(kinds, 3))):
                        over.wait(self.rng.uniform(0.05, 1))
                    self.done["faults"] += 1
                    continue
                for _ in range(self.rng.randint(1, 30)):
                    self.arm(kinds)
                    if over.wait(0.05):
                        break
                    self.done["faults"] += self.faults.disarm() is not None
                self.faults.disarm()

    def arm(self, kinds):
        nth = self.rng.randint(1, 30)
        if self.rng.random() < 0.2:
            self.faults.arm(nth, 0, {"WRITE", "READ"}, short_bytes=self.rng.choice((0, 1, 4095)))
        elif self.rng.random() < 0.3:
            self.faults.arm(nth, turns=40)
        else:
            self.faults.arm(nth, self.rng.choice((errno.EINTR, *ERRORS)), set(kinds))

    def storm(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.start(self.rng.random() < 0.3)
            self.work(min(self.rng.uniform(*STORM_SECONDS), seconds / 3), step=0.01)
            if self.rng.random() < 0.7:
                self.kill()
            else:
                self.terminate((0, CUT_OFF))
            self.world.close()
            self.audit()

    def run(self):
        self.threads = []
        for load, count in CLIENTS.values():
            for _ in range(count):
                number = len(self.threads)
                rng = random.Random(self.rng.random())
                self.threads.append(clients.Client(self.world, number, rng, load))
        for thread in self.threads:
            thread.start()
        over = threading.Event()
        teller = threading.Thread(target=self.tell, args=(over,), daemon=True)
        teller.start()
        try:
            self.live()
        except BaseException as error:
            self.wrong([f"the soak itself: {''.join(traceback.format_exception(error))}"])
            if not isinstance(error, Exception):
                raise
        finally:
            over.set()
            self.server.discard()
            self.world.end()
            self.faults.close()
            self.summary()
            if not self.world.wrong:
                shutil.rmtree(self.home, ignore_errors=True)
            else:
                self.say(f"kept for a look: {self.home}")
        return not self.world.wrong

    def live(self):
        """All kinds of lives, shorter where there is no time; once at least."""
        scale = min(1, self.seconds / sum(LIFE_SECONDS.values()))
        while (left := self.deadline - time.monotonic()) > 0:
            for kind, seconds in LIFE_SECONDS.items():
                seconds = min(seconds * scale, max(left, LEAST_SECONDS * scale))
                try:
                    if kind == "storm":
                        self.storm(seconds)
                    else:
                        self.long_life(seconds, kind == "faulty")
                except Died as end:
                    self.died(end)
                left = self.deadline - time.monotonic()
        self.last_life()

    def died(self, end):
        """The worst there is; what it had promised still holds."""
        self.wrong([f"it died: {end}"])
        self.world.set_server(None)
        self.server.discard()
        self.world.close()
        self.audit()

    def last_life(self):
        """Whoever is in the middle of an upload ends it; then all that is left expires, and the server ends well."""
        self.start()
        self.rest()
        if self.seconds > EXPIRY_SECONDS:
            support.wait_until(lambda: self.server.kept() == [], "unfinished uploads expire", EXPIRY_SECONDS * 3)
        self.terminate((0,))
        self.wrong(self.world.ledger.audit(os.path.join(self.root, "files"), 0, self.rng))

    # ---- words ----

    def tell(self, over):
        before, moved = self.requests(), self.world.sent_bytes
        while not over.wait(60):
            now, world = self.requests(), self.world
            held = self.life.now() or "down"
            self.say(f"{(time.monotonic() - self.begun) / 60:.0f} min: {now - before} requests,"
                     f" {(world.sent_bytes - moved) >> 20} MiB in; {held}; {world.ledger.verified} files verified,"
                     f" {len(world.ledger.kept)} held; {self.done}; wrong: {len(world.wrong)}")
            before, moved = now, world.sent_bytes

    def summary(self):
        world, ways = self.world, {}
        for (way, outcome), count in world.counts.items():
            ways.setdefault(way, {})[outcome] = count
        self.say(f"summary: {self.requests()} requests, {world.sent_bytes >> 20} MiB acknowledged, "
                 f"{world.got_bytes >> 20} MiB read, {self.lives} lives, {self.done}")
        for way, outcomes in sorted(ways.items()):
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=lambda x: -x[1]))
            self.say(f"  {way}: {told}")
        for line in self.flat:
            self.say(f"  {line}")
        self.say(f"  {world.ledger.verified} files verified, {world.ledger.verified_bytes >> 20} MiB;"
                 f" {len(world.uploads)} resumable uploads")
        for words in world.wrong:
            self.say(f"  WRONG: {words}")


def soak(seconds, seed):
    """Both engines, each in a process of its own. Whether all was well."""
    dialects.certificate()
    work = [multiprocessing.get_context("fork").Process(target=lambda engine=engine: sys.exit(
        not Soak(engine, seconds, seed).run())) for engine in ENGINES]
    for one in work:
        one.start()
    for one in work:
        one.join()
    return all(one.exitcode == 0 for one in work)


def main(minutes="60", seed=None):
    seed = seed if seed is not None else str(random.SystemRandom().randrange(1 << 32))
    if not support.FAULTY:
        sys.exit("soak: SLUICE_FAULTY names no sluice_faulty")
    print(f"soak of {minutes} minutes, seed {seed}, {support.BINARY}", flush=True)
    good = soak(float(minutes) * 60, seed)
    print(f"soak: {'nothing lost, nothing leaked' if good else 'FAILED'}, seed {seed}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
