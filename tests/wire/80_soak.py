"""The soak (tests/soak, ./run soak), so short that it is no soak: all of its clients, faults and kills still work, and
nothing is lost or left behind."""

import os
import pathlib
import random
import sys
import unittest

import faults
import support

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

import soak  # noqa: E402, where it is

SECONDS = 18
SEED = os.environ.get("SLUICE_SEED", "")


class Short(unittest.TestCase):
    @unittest.skipUnless(support.FAULTY, "SLUICE_FAULTY names no sluice_faulty")
    def test_nothing_is_lost_and_nothing_is_left(self):
        seed = SEED or str(random.SystemRandom().randrange(1 << 32))
        faults.note(f"seed {seed}")
        self.assertTrue(soak.soak(SECONDS, seed), f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
