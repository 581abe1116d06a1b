#!/usr/bin/env python3
"""Runs a program as on a file system without extended attributes: setting one gets EOPNOTSUPP.

    no_xattr.py PROGRAM ARGS...

A seccomp filter, kept over exec. It does not see what io_uring does, which sluice asks only after it worked once.
"""

import errno
import os
import platform
import sys

from seccomp import ALLOW, JUMP_EQUAL, LOAD, NUMBER, REFUSE, RETURN, forbid

SETXATTR, LSETXATTR, FSETXATTR = {"x86_64": (188, 189, 190), "aarch64": (5, 6, 7)}[platform.machine()]

PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 2, 0, SETXATTR),
    (JUMP_EQUAL, 1, 0, LSETXATTR),
    (JUMP_EQUAL, 0, 1, FSETXATTR),
    (RETURN, 0, 0, REFUSE | errno.EOPNOTSUPP),
    (RETURN, 0, 0, ALLOW),
]

if __name__ == "__main__":
    forbid(PROGRAM)
    os.execvp(sys.argv[1], sys.argv[1:])
