"""The disk of a sluice_faulty (faulty.c), which fails, shortens or delays what a test says."""

import contextlib
import mmap
import tempfile

# As include/sluice/disk/disk.h numbers them.
KINDS = ("OPEN", "CLOSE", "ALLOCATE", "TRUNCATE", "WRITE", "READ", "PREFETCH", "COPY", "SYNC", "LINK", "RENAME",
         "UNLINK", "MKDIR", "SETXATTR", "GETXATTR", "REMOVEXATTR", "LOCK", "STAT", "STATFS", "LIST", "ERRAND")
OF_NOBODY = {"PREFETCH", "STATFS", "LIST", "ERRAND"}  # done now and then, for no upload in particular
WORDS = 7  # before the counts, see faulty.c
LEFT, ERRNO, MASK, BYTES, STRUCK, EVERY, TURNS = range(WORDS)


def mask(kinds):
    return sum(1 << KINDS.index(kind) for kind in kinds)


class Faults:
    """The file that a sluice_faulty looks into."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="sluice-faults-")
        self.file.truncate(4 * (WORDS + 32))
        self.map = mmap.mmap(self.file.fileno(), 4 * (WORDS + 32))
        self.words = memoryview(self.map).cast("I")

    def close(self):
        self.words.release()
        self.map.close()
        self.file.close()

    def arm(self, nth, sys_errno=0, kinds=None, short_bytes=0, turns=0):
        """The nth operation from now fails; or with no errno moves so many bytes at first, or is late."""
        self.words[LEFT] = 0
        self.words[TURNS] = turns
        self.words[ERRNO], self.words[BYTES] = sys_errno, short_bytes
        self.words[MASK] = mask(set(KINDS) - OF_NOBODY if kinds is None else kinds)
        self.words[STRUCK] = 0
        self.words[LEFT] = nth

    def disarm(self):
        """The kind of operation that it struck, or None."""
        self.words[LEFT] = 0
        struck = self.words[STRUCK]
        return KINDS[struck - 1] if struck else None

    @contextlib.contextmanager
    def all_fail(self, sys_errno, kinds):
        self.arm(0, sys_errno, kinds)
        self.words[EVERY] = 1
        try:
            yield
        finally:
            self.words[EVERY] = 0
