/* Which engine is chosen, and what is said about it, where io_uring is allowed, forbidden, or short of something. Each
 * case sets up a child process, for a seccomp filter is for good. */
#include "disk_loop.h"
#include "forbid_uring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child found out, in memory shared with it. */
struct report {
    sl_err err;
    bool has_disk;
    char engine[16];
    char reason[256];
    sl_err write_err;
};

typedef bool (*prepare_cb)(void);

/* A write, because that is what needs the ring, its buffers and its eventfd. */
static sl_err try_write(struct sl_disk *disk, struct sl_slab_pool *pool)
{
    struct sl_disk_op op = {0};
    unsigned done = 0;
    struct sl_slab *slab = sl_slab_try(pool, SL_SLAB_SMALL);
    sl_slab_seal(slab);
    int fd = memfd_create("choice", MFD_CLOEXEC);
    sl_disk_write(disk, &op, fd, slab, 0, 1000, 0, disk_loop_on_done, &done);
    disk_loop_count(disk, &done, 1);
    sl_slab_release(slab);
    close(fd);
    return op.err;
}

static void report_choice(enum sl_disk_choice choice, struct report *report)
{
    struct sl_slab_pool *pool = sl_slab_pool_create((size_t)8 << 20);
    struct sl_disk *disk = (struct sl_disk *)&disk; /* anything but NULL */
    report->err = sl_disk_create(choice, pool, &disk, report->reason, sizeof report->reason);
    report->has_disk = disk != NULL;
    if (disk != NULL) {
        snprintf(report->engine, sizeof report->engine, "%s", sl_disk_engine_name(disk));
        report->write_err = try_write(disk, pool);
    }
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
}

/* `prepare` runs in the child first; what it cannot arrange skips the case. */
static struct report choose_in_child(enum sl_disk_choice choice, prepare_cb prepare)
{
    enum { PREPARED = 0, NOT_PREPARED = 77 };
    struct report *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (prepare != NULL && !prepare())
            _exit(NOT_PREPARED);
        report_choice(choice, shared);
        _exit(PREPARED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct report report = *shared;
    munmap(shared, sizeof *shared);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_PREPARED)
        skip();
    assert_int_equal(WEXITSTATUS(status), PREPARED);
    assert_null(strchr(report.reason, '\n'));
    return report;
}

static bool forbid_all_eperm(void)
{
    return forbid_calls(SYS_io_uring_setup, SYS_io_uring_register, EPERM) == 0;
}

static bool forbid_all_enosys(void)
{
    return forbid_calls(SYS_io_uring_setup, SYS_io_uring_register, ENOSYS) == 0;
}

static bool forbid_enter(void)
{
    return forbid_calls(SYS_io_uring_enter, SYS_io_uring_enter, EPERM) == 0;
}

static bool forbid_register(void)
{
    return forbid_calls(SYS_io_uring_register, SYS_io_uring_register, EPERM) == 0;
}

static bool lack_memory(void)
{
    return forbid_calls(SYS_io_uring_setup, SYS_io_uring_setup, ENOMEM) == 0;
}

static const char *const cure =
    "cure: allow io_uring_setup, io_uring_enter, io_uring_register in the seccomp profile "
    "(docker/seccomp.io_uring.json does)";

static const struct {
    prepare_cb prepare;
    const char *word; /* in the reason */
    bool has_seccomp_cure;
} refusals[] = {
    {forbid_all_eperm, "io_uring is forbidden here (EPERM: a seccomp profile, as of a container)", true},
    {forbid_all_enosys, "ENOSYS", true},
    {forbid_enter, "EPERM", true},
    {forbid_register, "EPERM", true},
    {lack_memory, "ENOMEM", false},
};
#define REFUSALS (sizeof refusals / sizeof refusals[0])

static bool has_uring_here(void)
{
    return choose_in_child(SL_DISK_IO_URING, NULL).err == SL_OK;
}

static void create_auto_where_forbidden_serves_on_threads(void **state)
{
    for (size_t i = 0; i < REFUSALS; i++) {
        struct report report = choose_in_child(SL_DISK_AUTO, refusals[i].prepare);
        assert_int_equal(report.err, SL_OK);
        assert_string_equal(report.engine, "threads");
        assert_int_equal(report.write_err, SL_OK);
        assert_true(strncmp(report.reason, "threads: ", 9) == 0);
        if (i < 2 || has_uring_here())
            assert_non_null(strstr(report.reason, refusals[i].word));
        assert_non_null(strstr(report.reason, refusals[i].has_seccomp_cure ? cure : "cure: "));
    }
}

static void create_uring_where_forbidden_is_refused(void **state)
{
    for (size_t i = 0; i < REFUSALS; i++) {
        struct report report = choose_in_child(SL_DISK_IO_URING, refusals[i].prepare);
        assert_int_equal(report.err, SL_UNSUPPORTED);
        assert_false(report.has_disk);
        assert_true(strncmp(report.reason, "io_uring: ", 10) == 0);
        assert_non_null(strstr(report.reason, "cure: "));
    }
}

static void create_threads_is_as_configured(void **state)
{
    struct report report = choose_in_child(SL_DISK_THREADS, NULL);
    assert_int_equal(report.err, SL_OK);
    assert_string_equal(report.engine, "threads");
    assert_string_equal(report.reason, "threads: as configured");
    assert_int_equal(report.write_err, SL_OK);
}

static void create_auto_where_allowed_takes_uring(void **state)
{
    if (!has_uring_here())
        skip();
    struct report report = choose_in_child(SL_DISK_AUTO, NULL);
    assert_int_equal(report.err, SL_OK);
    assert_string_equal(report.engine, "io_uring");
    assert_true(strncmp(report.reason, "io_uring: the kernel allows it", 30) == 0);
    assert_int_equal(report.write_err, SL_OK);
}

/* Enough for the ring, which kernels since 6.14 charge again, and not for the pool. CAP_IPC_LOCK would lift the
 * limit. */
static bool lock_little_memory(void)
{
    struct rlimit little = {1u << 20, 1u << 20};
    if (setrlimit(RLIMIT_MEMLOCK, &little) != 0)
        return false;
    return geteuid() != 0 || setresuid(65534, 65534, 65534) == 0;
}

static void create_with_little_lockable_memory_goes_on_unregistered(void **state)
{
    if (!has_uring_here())
        skip();
    struct report report = choose_in_child(SL_DISK_IO_URING, lock_little_memory);
    assert_int_equal(report.err, SL_OK);
    assert_string_equal(report.engine, "io_uring");
    assert_non_null(strstr(report.reason, "buffers not registered"));
    assert_non_null(strstr(report.reason, "cure: raise RLIMIT_MEMLOCK"));
    assert_int_equal(report.write_err, SL_OK);
}

static bool open_no_more_files(void)
{
    struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_NOFILE, &none) == 0;
}

static void create_out_of_fds_fails_and_gives_nothing(void **state)
{
    static const enum sl_disk_choice choices[] = {SL_DISK_AUTO, SL_DISK_THREADS};
    for (size_t i = 0; i < 2; i++) {
        struct report report = choose_in_child(choices[i], open_no_more_files);
        assert_int_equal(report.err, SL_TOO_MANY_FILES);
        assert_false(report.has_disk);
    }
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        cmocka_unit_test(create_auto_where_forbidden_serves_on_threads),
        cmocka_unit_test(create_uring_where_forbidden_is_refused),
        cmocka_unit_test(create_threads_is_as_configured),
        cmocka_unit_test(create_auto_where_allowed_takes_uring),
        cmocka_unit_test(create_with_little_lockable_memory_goes_on_unregistered),
        cmocka_unit_test(create_out_of_fds_fails_and_gives_nothing),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
