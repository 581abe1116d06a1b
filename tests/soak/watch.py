"""What a process holds, and whether that stays flat within its life."""

import os
import pathlib
import re

import support

WARM_SAMPLES = 1  # of those at rest, before the first that counts
GROWTH_KIB = 6144  # what the allocator may come to keep
STEP_KIB, STEPS_LEAST, STEADY_KIB = 128, 2, 1024  # from rest to rest, each of so many; and together
SETTLE_SECONDS = 60


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: int(re.search(rf"{key}:\s+(\d+)", text)[1]) for key in ("VmRSS", "VmHWM", "Threads")}


class Life:
    """Of one process: samples taken while its clients rest, and the highest of those taken at any time."""

    def __init__(self, server):
        self.server, self.pid = server, server.pid
        self.idle_fds = support.fds(self.pid)
        self.at_rest = []  # (requests so far, KiB resident, descriptors, threads)
        self.peak_kib = self.peak_fds = 0

    def look(self):
        """At any time."""
        try:
            self.peak_kib = max(self.peak_kib, status(self.pid)["VmHWM"])
            self.peak_fds = max(self.peak_fds, support.fds(self.pid))
        except (OSError, TypeError):
            pass  # it has just died

    def now(self):
        """In words; None: it is gone."""
        try:
            return f"{status(self.pid)['VmRSS'] / 1024:.0f} MiB, {support.fds(self.pid)} fds"
        except (OSError, TypeError):
            return None

    def rest(self, requests):
        """Everything is given back, or it is told what is not, as words."""
        wrong = []
        try:
            support.wait_until(lambda: support.fds(self.pid) <= self.idle_fds, "", SETTLE_SECONDS)
        except AssertionError:
            wrong.append(f"{support.fds(self.pid)} descriptors at rest, {self.idle_fds} at first: {self.open_files()}")
        try:
            support.wait_until(lambda: self.server.temp_files() == [], "", SETTLE_SECONDS)
        except AssertionError:
            wrong.append(f"temporary files at rest: {self.server.temp_files()[:5]}")
        now = status(self.pid)
        self.at_rest.append((requests, now["VmRSS"], support.fds(self.pid), now["Threads"]))
        self.look()
        return wrong

    def open_files(self):
        names = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                names.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except OSError:
                pass
        return sorted(names)

    def leak(self):
        """The allocator keeps more after a busier moment, now and then; a leak is between any two rests."""
        kib = [sample[1] for sample in self.at_rest[WARM_SAMPLES:]]
        grown = [after - before for before, after in zip(kib, kib[1:])]
        is_steady = len(grown) >= STEPS_LEAST and min(grown) > STEP_KIB and sum(grown) > STEADY_KIB
        if support.sanitizer() or not grown or not is_steady and sum(grown) <= GROWTH_KIB:
            return []
        return [f"memory grows: {kib} KiB at rest, over {self.at_rest[-1][0] - self.at_rest[0][0]} requests"]

    def __str__(self):
        first, last = self.at_rest[min(WARM_SAMPLES, len(self.at_rest) - 1)], self.at_rest[-1]
        return (f"RSS {first[1] / 1024:.1f} -> {last[1] / 1024:.1f} MiB (peak {self.peak_kib / 1024:.1f}),"
                f" fds {first[2]} -> {last[2]} (peak {self.peak_fds}), threads {first[3]} -> {last[3]}")
