"""Power loss: at durability full, what was acknowledged is there after the journal is replayed; names and bytes.

The power is cut by ext4's shutdown ioctl on a loop file system: what was not on its disk is gone, the journal's tail
too. What this cannot show is a disk that lies about its own cache. SLUICE_ROUNDS sets how often each case is repeated.
"""

import os
import random
import unittest

import faults
import support
import uploaders

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "2"))
ACKS = (5, 40)  # the power goes after so many acknowledgments


class PowerLoss:
    engine = None

    def setUp(self):
        self.fs = faults.loop_fs(self, mib=512)
        self.root = os.path.join(self.fs.path, "root")

    def cut_power_under_load(self, load, is_journal_kept=False, **options):
        """Returns what the clients had been promised when the lights went out."""
        with support.Sluice(root=self.root, engine=self.engine, **options) as server:
            with uploaders.Uploaders(server, **load) as clients:
                clients.wait_for_acks(random.randint(*ACKS))
                if is_journal_kept:
                    self.fs.commit_journal()
                self.fs.cut_power()
                server.kill()
        self.fs.unmount()
        self.fs.mount()
        return clients.acked

    def assert_nothing_is_lost(self, load, **options):
        acked = {}
        for number in range(ROUNDS):
            seed = 1 + number * 1_000_000
            acked |= self.cut_power_under_load({"seed": seed, **load}, durability="full", **options)
            self.assertEqual(faults.lost(self.root, acked), [], "acknowledged, and not there or not whole")
            self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
        with support.Sluice(root=self.root, engine=self.engine) as server:
            self.assertEqual(server.temp_files(), [], "left in uploads/ after a restart")
        faults.note(f"{ROUNDS} cuts, {len(acked)} acknowledged files whole")

    def test_full_loses_nothing(self):
        self.assert_nothing_is_lost({})

    def test_full_with_named_temporary_files_loses_nothing(self):
        self.assert_nothing_is_lost({}, wrapper=faults.NO_TMPFILE)

    def test_full_while_overwriting_leaves_old_or_new(self):
        self.assert_nothing_is_lost(uploaders.OVERWRITING, conflict="overwrite")

    def test_data_may_lose_names_but_shows_no_part(self):
        """The journal is committed just before, so that names survive: their bytes must have been there first."""
        acked = self.cut_power_under_load({}, is_journal_kept=True, durability="data")
        self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
        lost = faults.lost(self.root, acked)
        self.assertLess(len(lost), len(acked), "no name survived: nothing was shown")
        faults.note(f"{len(lost)} of {len(acked)} acknowledged names lost, none broken")

    def test_none_shows_that_this_harness_can_lose(self):
        acked = self.cut_power_under_load({"sizes": [4096, 1 << 20]}, durability="none")
        faults.note(f"none: {len(faults.lost(self.root, acked))} of {len(acked)} acknowledged files lost")


faults.on_each_engine(globals(), PowerLoss)

if __name__ == "__main__":
    unittest.main()
