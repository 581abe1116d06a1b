/* Operations that end together are told in several turns, on every engine: no more at a time than a loop can bear. */
#include "disk/engine.h"
#include "disk_loop.h"
#include "fake_disk.h"
#include "scratch.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#define OPS   400
#define BYTES 16
#define SLOW  40 /* ops whose on_done has much to do */
#define LARGE 60 /* reads of a MEDIUM slab */

static struct scratch scratch;
static struct sl_disk_op ops[OPS];
static unsigned done;

static void on_slow_done(struct sl_disk_op *op, void *ctx)
{
    uint64_t end_ns = sl_clock_now_ns() + SL_DISK_RUN_NS;
    done++;
    while (sl_clock_now_ns() < end_ns)
        ;
}

/* Of what lies in the page cache, so that all are over as soon as the disk has them. */
static void read_all(struct sl_disk *disk, int fd, struct sl_slab *slab, unsigned count, sl_disk_cb on_done)
{
    done = 0;
    for (unsigned i = 0; i < count; i++)
        sl_disk_read(disk, &ops[i], fd, slab, BYTES, 0, on_done, &done);
    sl_disk_flush(disk);
    assert_int_equal(done, 0);
}

/* A ring has threads beside it. */
static void expect_turns_of(struct sl_disk *disk, unsigned count, unsigned max)
{
    while (done < count) {
        unsigned before = done;
        disk_loop_turn(disk);
        assert_in_range(done - before, 0, 2 * max);
    }
}

static void operations_that_end_together_are_told_in_turns(struct sl_disk *disk, struct sl_slab_pool *pool)
{
    struct sl_slab *slab = sl_slab_try(pool, SL_SLAB_SMALL);
    scratch_put(&scratch, "f", "sixteen bytes so");
    int fd = open(scratch_path(&scratch, "f"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && slab != NULL);
    read_all(disk, fd, slab, OPS, disk_loop_on_done);
    expect_turns_of(disk, OPS, SL_DISK_RUN_MAX);
    read_all(disk, fd, slab, SLOW, on_slow_done);
    expect_turns_of(disk, SLOW, 1);
    for (unsigned i = 0; i < OPS; i++)
        assert_int_equal(ops[i].result, BYTES);
    sl_slab_release(slab);
    close(fd);
}

/* More than may be read in a turn. */
static void reads_are_done_a_megabyte_a_turn(struct sl_disk *disk, struct sl_slab_pool *pool)
{
    struct sl_slab *slab = sl_slab_try(pool, SL_SLAB_MEDIUM);
    unsigned a_turn = (unsigned)((1 << 20) / slab->bytes);
    int fd = open(scratch_path(&scratch, "large"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(fd, slab->base, slab->bytes, 0), slab->bytes);
    done = 0;
    for (unsigned i = 0; i < LARGE; i++)
        sl_disk_read(disk, &ops[i], fd, slab, slab->bytes, 0, disk_loop_on_done, &done);
    while (done < LARGE) {
        unsigned before = done;
        disk_loop_turn(disk);
        assert_in_range(done - before, 0, a_turn);
        for (unsigned i = done; i < LARGE; i++) /* the oldest first */
            assert_false(sl_disk_op_is_idle(&ops[i]));
    }
    for (unsigned i = 0; i < LARGE; i++)
        assert_int_equal(ops[i].result, slab->bytes);
    sl_slab_release(slab);
    close(fd);
}

/* A megabyte of reads is with the engine, and what is no read does not wait behind the others. */
static void reads_that_wait_hold_up_nothing_else(void **state)
{
    struct sl_slab_pool *pool = sl_slab_pool_create(0);
    struct sl_disk *disk = fake_disk_create();
    struct sl_slab *slab = sl_slab_try(pool, SL_SLAB_MEDIUM);
    struct sl_disk_op stat = {0};
    struct statx found;
    unsigned other = 0;
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    fake_disk_hold(disk, SL_DISK_READ);
    done = 0;
    for (unsigned i = 0; i < LARGE; i++)
        sl_disk_read(disk, &ops[i], fd, slab, slab->bytes, 0, disk_loop_on_done, &done);
    sl_disk_stat(disk, &stat, AT_FDCWD, ".", &found, disk_loop_on_done, &other);
    disk_loop_op(disk, &stat);
    assert_int_equal(stat.err, SL_OK);
    assert_int_equal(done, 0);
    assert_int_equal(fake_disk_held(disk), (1 << 20) / slab->bytes);
    fake_disk_release(disk);
    disk_loop_drain(disk);
    assert_int_equal(done, LARGE);
    sl_slab_release(slab);
    close(fd);
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
}

static void on_engine(enum test_engine engine, void (*test)(struct sl_disk *disk, struct sl_slab_pool *pool))
{
    scratch_make(&scratch);
    struct sl_slab_pool *pool = sl_slab_pool_create(0);
    struct sl_disk *disk = test_engine_make(engine, pool);
    if (disk != NULL)
        test(disk, pool);
    bool was_there = disk != NULL;
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
    scratch_remove(&scratch);
    if (!was_there)
        skip();
}

static void operations_that_end_together_on_io_uring(void **state)
{
    on_engine(TEST_IO_URING, operations_that_end_together_are_told_in_turns);
}

static void operations_that_end_together_on_threads(void **state)
{
    on_engine(TEST_THREADS, operations_that_end_together_are_told_in_turns);
}

static void reads_on_io_uring(void **state)
{
    on_engine(TEST_IO_URING, reads_are_done_a_megabyte_a_turn);
}

static void reads_on_threads(void **state)
{
    on_engine(TEST_THREADS, reads_are_done_a_megabyte_a_turn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_that_end_together_on_io_uring),
        cmocka_unit_test(operations_that_end_together_on_threads),
        cmocka_unit_test(reads_on_io_uring),
        cmocka_unit_test(reads_on_threads),
        cmocka_unit_test(reads_that_wait_hold_up_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
