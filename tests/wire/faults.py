"""What the fault tests share: the engines to try, and whether what lies in the root is what was promised."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import support
import uploaders
from loopfs import LoopFs

ENGINES = ("io_uring", "threads")
NO_TMPFILE = [str(pathlib.Path(__file__).with_name("no_tmpfile.py"))]


def is_sanitized():
    """Sanitizers take memory and time of their own: bounds on these say nothing then."""
    return support.sanitizer() in ("asan", "tsan")


def loop_fs(test, **options):
    """A LoopFs for the rest of `test`, which is skipped where there can be none."""
    try:
        return test.enterContext(LoopFs(**options))
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", None) or str(error)
        test.skipTest(f"no loop file system here (it takes root, a mkfs, a loop device): {words.strip()}")


def cut_power(fs, server):
    """Of the LoopFs that `server` writes to, and the server is gone with it."""
    if fs.kind == "btrfs":
        os.kill(server.pid, signal.SIGSTOP)
    fs.cut_power()
    server.kill()


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


def other_digests(server, root):
    """Names of which the server tells another digest than that of their bytes, or none."""
    paths = [os.path.relpath(path, os.path.join(root, "files")) for path in uploaders.files_below(f"{root}/files")]
    wrong = []
    with support.raw(server, seconds=60) as client:
        for path in paths:
            told = client.request("HEAD", support.quoted(path)).headers.get("repr-digest")
            if told != support.digest_field(uploaders.read(os.path.join(root, "files", path)), "sha-256"):
                wrong.append((path, told))
    return wrong


def remove_but(root, acked):
    """Room for the next round of a long run: all goes that is not in `acked`."""
    for path in uploaders.files_below(os.path.join(root, "files")):
        if os.path.relpath(path, os.path.join(root, "files")) not in acked:
            os.unlink(path)


class BigForm:
    """A form of many files, of which some are committed and some are not when its first name is seen."""

    COUNT, SIZE = 60, 20_000

    def __init__(self, seed):
        self.names = [f"s{seed + number}-{self.SIZE}.bin" for number in range(self.COUNT)]
        files = [(name, uploaders.content(seed + number, self.SIZE)) for number, name in enumerate(self.names)]
        self.body = uploaders.form_body(files)

    def request(self):
        lines = [f"{name}: {value}" for name, value in uploaders.FORM_TYPE.items()]
        head = ["POST /files/ HTTP/1.1", "Host: wire.test", *lines, f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(head).encode() + self.body

    def send_until_one_is_seen(self, server):
        """Without a pause between the looks: the others come at once."""
        client = support.raw(server)
        client.send(self.request())
        deadline = time.monotonic() + support.ANSWER_SECONDS
        while not os.listdir(server.files):
            assert time.monotonic() < deadline, "no file of the form is seen"
        return client


def is_whole(path):
    if uploaders.NAME.search(path):
        return uploaders.is_whole_by_name(path)
    return uploaders.seed_of_whole(uploaders.read(path)) is not None
