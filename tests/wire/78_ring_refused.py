"""io_uring that refuses now and then: whoever waits for the disk waits no longer than the kernel needs."""

import itertools
import re
import statistics
import subprocess
import tempfile
import unittest

from support import Sluice, content, raw

MIB = 1 << 20


class RingRefused(unittest.TestCase):
    """The kernel takes nothing for now, or gives nothing back, as when it is out of memory: asked again, it does."""

    def setUp(self):
        if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
            self.skipTest("no strace here, or it may not trace")

    def test_every_third_call_fails(self):
        data = content(3 * MIB + 1)
        for name in ("EAGAIN", "EBUSY", "ENOMEM"):
            with self.subTest(name), tempfile.NamedTemporaryFile("r", prefix="sluice-strace-") as told:
                # -D: the program is our child. The first call of a thread is its look whether there is io_uring.
                strace = ["strace", "-D", "-f", "-qq", "-ttt", "-o", told.name, "-e", "trace=io_uring_enter", "-e",
                          f"inject=io_uring_enter:error={name}:when=2+3"]
                environment = {"ASAN_OPTIONS": "detect_leaks=0"}  # who is traced cannot look for them
                with Sluice(wrapper=strace, engine="io_uring", loops=1, environment=environment) as server:
                    with raw(server) as client:
                        for path in ("/a", "/b", "/c"):
                            self.assertEqual(client.request("PUT", path, data).status, 201)
                            self.assertEqual(client.request("GET", "/files" + path).body, data)
                self.assert_asked_again_at_once(told.read().splitlines())

    def assert_asked_again_at_once(self, calls):
        """Not when the next second is over, as would be if nobody woke the loop."""
        waits = {"what was asked": [], "what was given back": []}
        for refused, following in itertools.pairwise(calls):
            if "INJECTED" in refused:
                what = "what was given back" if re.search(r"enter\(\d+, 0,", refused) else "what was asked"
                waits[what].append(float(following.split()[1]) - float(refused.split()[1]))
        for what, seconds in waits.items():
            self.assertGreater(len(seconds), 3, what)
            self.assertLess(statistics.fmean(seconds), 0.5, what)


if __name__ == "__main__":
    unittest.main()
