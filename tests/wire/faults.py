"""What the fault tests share: the engines to try, and whether what lies in the root is what was promised."""

import os
import pathlib
import subprocess
import sys
import unittest

import support
import uploaders
from loopfs import LoopFs

ENGINES = ("io_uring", "threads")
NO_TMPFILE = [str(pathlib.Path(__file__).with_name("no_tmpfile.py"))]


def is_sanitized():
    """Sanitizers take memory and time of their own: bounds on these say nothing then."""
    return support.sanitizer() == "asan"


def loop_fs(test, **options):
    """A LoopFs for the rest of `test`, which is skipped where there can be none."""
    try:
        return test.enterContext(LoopFs(**options))
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", None) or str(error)
        test.skipTest(f"no loop file system here (it takes root, mkfs.ext4, a loop device): {words.strip()}")


def on_each_engine(module, *cases):
    """Makes two test classes of each class of cases, with `engine` set."""
    for case in cases:
        for engine in ENGINES:
            name = f"{case.__name__}_{engine}"
            module[name] = type(name, (case, unittest.TestCase), {"engine": engine, "__module__": case.__module__})


def note(words):
    """What was seen, beside the verdict."""
    print(f"\n    {words}", end=" ", file=sys.stderr, flush=True)


def lost(root, acked):
    """Names acknowledged and not whole: neither the acknowledged content nor, if overwritten, a later one."""
    return [path for path, seed in acked.items() if not is_kept(os.path.join(root, "files", path), seed)]


def is_kept(path, seed):
    if uploaders.NAME.search(path):
        return os.path.exists(path) and uploaders.is_whole_by_name(path)
    found = uploaders.seed_of_whole(uploaders.read(path)) if os.path.exists(path) else None
    return found is not None and found >= seed


def broken(root):
    """Names that hold anything but a whole file, acknowledged or not."""
    return [path for path in uploaders.files_below(os.path.join(root, "files")) if not is_whole(path)]


def is_whole(path):
    if uploaders.NAME.search(path):
        return uploaders.is_whole_by_name(path)
    return uploaders.seed_of_whole(uploaders.read(path)) is not None
