/* Runs a program where io_uring is forbidden, as in a container:
 *
 *     no_uring EPERM|ENOSYS PROGRAM ARGS...
 *
 * EPERM is what Docker's seccomp profile answers, ENOSYS what podman's does. Exit status 125: it did not come to run
 * PROGRAM; else PROGRAM's own. */
#include "../support/forbid_uring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOT_RUN 125

static int errno_named(const char *name)
{
    if (strcmp(name, "EPERM") == 0)
        return EPERM;
    if (strcmp(name, "ENOSYS") == 0)
        return ENOSYS;
    return 0;
}

int main(int argc, char **argv)
{
    int answer = argc >= 3 ? errno_named(argv[1]) : 0;
    if (answer == 0) {
        fprintf(stderr, "usage: no_uring EPERM|ENOSYS PROGRAM ARGS...\n");
        return NOT_RUN;
    }
    if (forbid_calls(SYS_io_uring_setup, SYS_io_uring_register, answer) != 0) {
        perror("no_uring: seccomp");
        return NOT_RUN;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return NOT_RUN;
}
