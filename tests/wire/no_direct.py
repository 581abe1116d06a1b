#!/usr/bin/env python3
"""Runs a program as on a file system without O_DIRECT (some FUSE, ramfs, old tmpfs): fcntl() that sets it gets EINVAL.

    no_direct.py PROGRAM ARGS...

A seccomp filter, kept over exec. It cannot look into openat2(), with which sluice never asks for O_DIRECT.
"""

import errno
import fcntl
import os
import platform
import sys

from seccomp import ALLOW, JUMP_EQUAL, JUMP_SET, LOAD, NUMBER, REFUSE, RETURN, SECOND_ARGUMENT, THIRD_ARGUMENT, forbid

FCNTL = {"x86_64": 72, "aarch64": 25}[platform.machine()]

PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 0, 5, FCNTL),
    (LOAD, 0, 0, SECOND_ARGUMENT),
    (JUMP_EQUAL, 0, 3, fcntl.F_SETFL),
    (LOAD, 0, 0, THIRD_ARGUMENT),
    (JUMP_SET, 0, 1, os.O_DIRECT),
    (RETURN, 0, 0, REFUSE | errno.EINVAL),
    (RETURN, 0, 0, ALLOW),
]

if __name__ == "__main__":
    forbid(PROGRAM)
    os.execvp(sys.argv[1], sys.argv[1:])
