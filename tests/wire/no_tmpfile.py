#!/usr/bin/env python3
"""Runs a program as on a file system without unnamed files (NFS, some FUSE): openat() with O_TMPFILE gets EOPNOTSUPP.

    no_tmpfile.py PROGRAM ARGS...

A seccomp filter, kept over exec. It cannot look into openat2(), which sluice uses only after openat() worked once.
"""

import errno
import os
import platform
import sys

from seccomp import ALLOW, JUMP_EQUAL, JUMP_SET, LOAD, NUMBER, REFUSE, RETURN, THIRD_ARGUMENT, forbid

OPENAT = {"x86_64": 257, "aarch64": 56}[platform.machine()]
TMPFILE = 0o20000000  # __O_TMPFILE, the bit of O_TMPFILE that is not O_DIRECTORY

PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 0, 3, OPENAT),
    (LOAD, 0, 0, THIRD_ARGUMENT),
    (JUMP_SET, 0, 1, TMPFILE),
    (RETURN, 0, 0, REFUSE | errno.EOPNOTSUPP),
    (RETURN, 0, 0, ALLOW),
]

if __name__ == "__main__":
    forbid(PROGRAM)
    os.execvp(sys.argv[1], sys.argv[1:])
