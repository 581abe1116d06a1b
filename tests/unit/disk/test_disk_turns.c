/* Operations that end together are told in several turns, on every engine: no more at a time than a loop can bear. */
#include "disk/engine.h"
#include "disk_loop.h"
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

static void operations_that_end_together_are_told_in_turns(enum test_engine engine)
{
    scratch_make(&scratch);
    struct sl_slab_pool *pool = sl_slab_pool_create(0);
    struct sl_disk *disk = test_engine_make(engine, pool);
    if (disk == NULL) {
        sl_slab_pool_destroy(pool);
        scratch_remove(&scratch);
        skip();
    }
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
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
    scratch_remove(&scratch);
}

static void on_io_uring(void **state)
{
    operations_that_end_together_are_told_in_turns(TEST_IO_URING);
}

static void on_threads(void **state)
{
    operations_that_end_together_are_told_in_turns(TEST_THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_io_uring), cmocka_unit_test(on_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
