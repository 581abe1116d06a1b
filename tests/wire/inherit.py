#!/usr/bin/env python3
"""inherit.py NAMES FD... -- PROGRAM [WORD...]: starts the program as a supervisor does that holds its listening sockets
(sd_listen_fds(3)): the descriptors FD become 3 and so on, and the environment tells how many, and their names."""

import os
import sys

names, words = sys.argv[1], sys.argv[2:]
fds = [int(word) for word in words[:words.index("--")]]
program = words[words.index("--") + 1:]
away = [os.dup2(fd, 100 + number) for number, fd in enumerate(fds)]  # none stands where another is to go
for fd in fds:
    os.close(fd)
for number, fd in enumerate(away):
    os.dup2(fd, 3 + number)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(program[0], program)
