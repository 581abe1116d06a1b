/* The faults of the fake disk, since whole floors are tested with it; and through it the engines' own handling of calls
 * that come short or are interrupted. */
#include "disk_loop.h"
#include "fake_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct fixture {
    struct sl_disk *disk;
    struct sl_slab_pool *pool;
    struct sl_slab *slab; /* FILLING */
    int fd;
    struct sl_disk_op ops[4];
    struct statx st[4];
    unsigned done;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->disk = fake_disk_create();
    f->pool = sl_slab_pool_create(2 * SL_SLAB_REGION_BYTES);
    f->slab = sl_slab_try(f->pool, SL_SLAB_SMALL);
    for (size_t i = 0; i < f->slab->bytes; i++)
        f->slab->base[i] = (char)(i * 7 + (i >> 8));
    f->fd = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); /* where reads that need not wait are known */
    if (f->fd < 0)
        f->fd = memfd_create("fake", MFD_CLOEXEC);
    assert_true(f->fd >= 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sl_slab_release(f->slab);
    sl_disk_destroy(f->disk);
    sl_slab_pool_destroy(f->pool);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
    return 0;
}

static void start_stat(struct fixture *f, unsigned i)
{
    sl_disk_stat(f->disk, &f->ops[i], f->fd, "", &f->st[i], disk_loop_on_done, &f->done);
}

static void fail_nth_of_a_kind_fails_that_one(void **state)
{
    struct fixture *f = *state;
    fake_disk_fail(f->disk, SL_DISK_STAT, 3, EIO);
    for (unsigned i = 0; i < 4; i++) {
        sl_disk_sync(f->disk, &f->ops[0], f->fd, true, disk_loop_on_done, &f->done);
        disk_loop_op(f->disk, &f->ops[0]);
        assert_int_equal(f->ops[0].err, SL_OK);
        start_stat(f, i);
        assert_int_equal(f->done, 2 * i + 1);
        disk_loop_op(f->disk, &f->ops[i]);
        assert_int_equal(f->ops[i].err, i == 2 ? SL_IO : SL_OK);
        assert_int_equal(f->ops[i].sys_errno, i == 2 ? EIO : 0);
    }
    assert_int_equal(fake_disk_started(f->disk, SL_DISK_STAT), 4);
    assert_int_equal(fake_disk_started(f->disk, SL_DISK_SYNC), 4);
    assert_int_equal(fake_disk_started(f->disk, FAKE_DISK_ANY), 8);
}

static void fail_nth_of_any_kind_counts_all(void **state)
{
    struct fixture *f = *state;
    fake_disk_fail(f->disk, FAKE_DISK_ANY, 2, ENOSPC);
    start_stat(f, 0);
    sl_disk_sync(f->disk, &f->ops[1], f->fd, false, disk_loop_on_done, &f->done);
    start_stat(f, 2);
    disk_loop_drain(f->disk);
    assert_int_equal(f->ops[0].err, SL_OK);
    assert_int_equal(f->ops[1].err, SL_NO_SPACE);
    assert_int_equal(f->ops[2].err, SL_OK);
}

static void fail_close_closes_all_the_same(void **state)
{
    struct fixture *f = *state;
    fake_disk_fail(f->disk, SL_DISK_CLOSE, 1, EIO);
    sl_disk_close(f->disk, &f->ops[0], f->fd, disk_loop_on_done, &f->done);
    disk_loop_drain(f->disk);
    assert_int_equal(f->ops[0].err, SL_IO);
    assert_int_equal(fcntl(f->fd, F_GETFD), -1);
    f->fd = -1;
}

static void fail_with_eintr_is_retried_except_for_close(void **state)
{
    struct fixture *f = *state;
    fake_disk_fail(f->disk, SL_DISK_STAT, 1, EINTR);
    fake_disk_fail(f->disk, SL_DISK_CLOSE, 1, EINTR);
    start_stat(f, 0);
    sl_disk_close(f->disk, &f->ops[1], dup(f->fd), disk_loop_on_done, &f->done);
    disk_loop_drain(f->disk);
    assert_int_equal(f->ops[0].err, SL_OK);
    assert_true(f->st[0].stx_mask & STATX_SIZE);
    assert_int_equal(f->ops[1].err, SL_OK);
}

static void disarm_forgets_the_fault(void **state)
{
    struct fixture *f = *state;
    fake_disk_fail(f->disk, SL_DISK_STAT, 1, EIO);
    fake_disk_disarm(f->disk);
    start_stat(f, 0);
    disk_loop_drain(f->disk);
    assert_int_equal(f->ops[0].err, SL_OK);
}

static void shorten_any_length_still_moves_all_bytes(void **state)
{
    struct fixture *f = *state;
    static const size_t cuts[] = {0, 1, 999, 4096, 9999, 10000, 50000};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        assert_int_equal(ftruncate(f->fd, 0), 0);
        sl_slab_seal(f->slab);
        fake_disk_shorten(f->disk, SL_DISK_WRITE, 1, cuts[i]);
        sl_disk_write(f->disk, &f->ops[0], f->fd, f->slab, 0, 10000, 3, disk_loop_on_done, &f->done);
        disk_loop_drain(f->disk);
        assert_int_equal(f->ops[0].err, SL_OK);
        assert_int_equal(f->ops[0].result, 10000);
        char *text = calloc(1, 10010);
        assert_int_equal(pread(f->fd, text, 10010, 0), 10003);
        assert_memory_equal(text + 3, f->slab->base, 10000);
        free(text);

        for (unsigned is_exact = 0; is_exact < 2; is_exact++) { /* up to the end of the file, and beyond it */
            struct sl_slab *in = sl_slab_try(f->pool, SL_SLAB_SMALL);
            fake_disk_shorten(f->disk, SL_DISK_READ, 1, cuts[i]);
            size_t len = is_exact ? 10000 : in->bytes;
            sl_disk_read(f->disk, &f->ops[0], f->fd, in, len, 3, disk_loop_on_done, &f->done);
            disk_loop_drain(f->disk);
            assert_int_equal(f->ops[0].result, 10000);
            assert_memory_equal(in->base, f->slab->base, 10000);
            sl_slab_release(in);
        }
        sl_slab_reopen(f->slab);
    }
}

static void hold_keeps_operations_until_released_in_order(void **state)
{
    struct fixture *f = *state;
    fake_disk_hold(f->disk, SL_DISK_STAT);
    for (unsigned i = 0; i < 3; i++)
        start_stat(f, i);
    sl_disk_sync(f->disk, &f->ops[3], f->fd, false, disk_loop_on_done, &f->done);
    disk_loop_op(f->disk, &f->ops[3]);
    assert_int_equal(f->done, 1);
    assert_int_equal(fake_disk_held(f->disk), 3);
    assert_int_equal(sl_disk_inflight(f->disk), 3);

    fake_disk_release_one(f->disk);
    disk_loop_op(f->disk, &f->ops[0]);
    assert_int_equal(f->done, 2);
    assert_int_equal(fake_disk_held(f->disk), 2);

    fake_disk_fail(f->disk, SL_DISK_STAT, 2, EIO);
    fake_disk_release(f->disk);
    disk_loop_drain(f->disk);
    assert_int_equal(f->ops[1].err, SL_OK);
    assert_int_equal(f->ops[2].err, SL_IO);
    start_stat(f, 0);
    disk_loop_drain(f->disk);
    assert_int_equal(f->done, 5);
}

static void delayed_one_is_overtaken(void **state)
{
    struct fixture *f = *state;
    fake_disk_delay(f->disk, SL_DISK_STAT, 2, UINT_MAX);
    for (unsigned i = 0; i < 4; i++)
        start_stat(f, i);
    disk_loop_op(f->disk, &f->ops[3]);
    disk_loop_op(f->disk, &f->ops[0]);
    disk_loop_op(f->disk, &f->ops[2]);
    assert_int_equal(f->done, 3);
    assert_false(sl_disk_op_is_idle(&f->ops[1]));
    disk_loop_drain(f->disk);
    assert_int_equal(f->ops[1].err, SL_OK);
    assert_int_equal(f->done, 4);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(fail_nth_of_a_kind_fails_that_one),
        CASE(fail_nth_of_any_kind_counts_all),
        CASE(fail_close_closes_all_the_same),
        CASE(fail_with_eintr_is_retried_except_for_close),
        CASE(disarm_forgets_the_fault),
        CASE(shorten_any_length_still_moves_all_bytes),
        CASE(hold_keeps_operations_until_released_in_order),
        CASE(delayed_one_is_overtaken),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
