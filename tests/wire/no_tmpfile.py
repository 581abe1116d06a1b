#!/usr/bin/env python3
"""Runs a program as on a file system without unnamed files (NFS, some FUSE): openat() with O_TMPFILE gets EOPNOTSUPP.

    no_tmpfile.py PROGRAM ARGS...

A seccomp filter, kept over exec. It cannot look into openat2(), which sluice uses only after openat() worked once.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

OPENAT = {"x86_64": 257, "aarch64": 56}[platform.machine()]
TMPFILE = 0o20000000  # __O_TMPFILE, the bit of O_TMPFILE that is not O_DIRECTORY

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
NUMBER, THIRD_ARGUMENT = 0, 32  # offsets in struct seccomp_data

# code, jump if true, jump if false, operand
PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 0, 3, OPENAT),
    (LOAD, 0, 0, THIRD_ARGUMENT),
    (JUMP_SET, 0, 1, TMPFILE),
    (RETURN, 0, 0, REFUSE | errno.EOPNOTSUPP),
    (RETURN, 0, 0, ALLOW),
]


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def forbid():
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in PROGRAM))
    program = Filter(len(PROGRAM), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])
