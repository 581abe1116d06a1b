"""Power loss: at durability full, what was acknowledged is there after the journal is replayed; names and bytes.

The power is cut by the shutdown ioctl of ext4 and xfs on a loop file system: what was not on its disk is gone, the
journal's tail too. btrfs has none, so its disk is copied while nobody writes. What this cannot show is a disk that lies
about its own cache. SLUICE_ROUNDS sets how often each case is repeated, for a soak.
"""

import os
import random
import unittest

import faults
import support
import uploaders

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "2"))
ACKS = (5, 40)  # the power goes after so many acknowledgments


class Power:
    engine = kind = None

    def setUp(self):
        self.fs = faults.loop_fs(self, mib=512, kind=self.kind)
        self.root = os.path.join(self.fs.path, "root")

    def cut_power_under_load(self, load, is_journal_kept=False, **options):
        """Returns what the clients had been promised when the lights went out."""
        with support.Sluice(root=self.root, engine=self.engine, **options) as server:
            with uploaders.Uploaders(server, **load) as clients:
                clients.wait_for_acks(random.randint(*ACKS))
                if is_journal_kept:
                    self.fs.commit_journal()
                acked = clients.promised()
                faults.cut_power(self.fs, server)
        self.fs.unmount()
        self.fs.mount()
        return acked

    def assert_nothing_is_lost(self, load, **options):
        acked, count = {}, 0
        for number in range(ROUNDS):
            seed = 1 + number * 1_000_000
            newer = self.cut_power_under_load({"seed": seed, **load}, durability="full", **options)
            acked, count = acked | newer, count + len(newer)
            self.assertEqual(faults.lost(self.root, acked), [], "acknowledged, and not there or not whole")
            self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
            if number % 4 == 3 or number == ROUNDS - 1:
                self.assert_restart_cleans()
                faults.remove_but(self.root, newer)
                acked = newer
        faults.note(f"{ROUNDS} cuts, {count} acknowledged files whole")

    def assert_restart_cleans(self):
        with support.Sluice(root=self.root, engine=self.engine) as server:
            self.assertEqual(server.temp_files(), [], "left in uploads/ after a restart")
            self.assertEqual(faults.other_digests(server, self.root), [])

    def test_full_loses_nothing(self):
        self.assert_nothing_is_lost({})

    def test_full_while_overwriting_leaves_old_or_new(self):
        self.assert_nothing_is_lost(uploaders.OVERWRITING, conflict="overwrite")

    def test_among_the_commits_of_one_form(self):
        """Each of its files is whole or absent; nobody was told anything yet."""
        seen = []
        for number in range(ROUNDS):
            form = faults.BigForm(1 + number * 1000)
            with support.Sluice(root=self.root, engine=self.engine, name="{filename}") as server:
                with form.send_until_one_is_seen(server):
                    faults.cut_power(self.fs, server)
            self.fs.unmount()
            self.fs.mount()
            seen.append(len(server.stored()))
            self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
            self.assert_restart_cleans()
            faults.remove_but(self.root, ())
        faults.note(f"{seen} of {form.COUNT} files committed")

    def test_data_may_lose_names_but_shows_no_part(self):
        """The journal is committed just before, so that names survive: their bytes must have been there first."""
        acked = self.cut_power_under_load({}, is_journal_kept=True, durability="data")
        self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
        lost = faults.lost(self.root, acked)
        self.assertLess(len(lost), len(acked), "no name survived: nothing was shown")
        faults.note(f"{len(lost)} of {len(acked)} acknowledged names lost, none broken")

    def test_none_shows_that_this_harness_can_lose(self):
        """No journal is written within the seconds that this takes, unless somebody asks for it."""
        acked = self.cut_power_under_load({"sizes": [4096, 1 << 20]}, durability="none")
        lost = faults.lost(self.root, acked)
        faults.note(f"none: {len(lost)} of {len(acked)} acknowledged files lost")
        self.assertGreater(len(lost), 0)


class PowerLoss(Power):
    kind = "ext4"

    def test_full_with_named_temporary_files_loses_nothing(self):
        self.assert_nothing_is_lost({}, wrapper=faults.NO_TMPFILE)


class PowerLossXfs(Power):
    kind = "xfs"


class PowerLossBtrfs(Power):
    kind = "btrfs"
    test_data_may_lose_names_but_shows_no_part = None  # its journal is that of what was synced

    def test_files_have_names_before_their_bytes_are_synced(self):
        """Older kernels lose the bytes of those that had none, which the one that runs this may not."""
        with support.Sluice(root=self.root, engine=self.engine) as server:
            self.assertIn("btrfs, named temporary files", server.said("root"))


faults.on_each_engine(globals(), PowerLoss, PowerLossXfs, PowerLossBtrfs)

if __name__ == "__main__":
    unittest.main()
