/* What a container's seccomp profile does to io_uring, for the calling process and its children, for good. Shared by a
 * unit test and by wire/no_uring.c; nothing but the kernel's own headers is needed. */
#ifndef SLUICE_TESTS_FORBID_URING_H
#define SLUICE_TESTS_FORBID_URING_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* From now on the system calls first..last (numbers) fail with sys_errno. io_uring's three follow one another:
 * SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register. 0, or -1 and errno. */
static inline int forbid_calls(unsigned first, unsigned last, int sys_errno)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)sys_errno & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

#endif
