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

static struct scratch scratch;
static struct sl_disk_op ops[OPS];
static unsigned done;

/* Of what lies in the page cache, so that all are over as soon as the disk has them. */
static void read_all(struct sl_disk *disk, int fd, struct sl_slab *slab)
{
    done = 0;
    for (unsigned i = 0; i < OPS; i++)
        sl_disk_read(disk, &ops[i], fd, slab, BYTES, 0, disk_loop_on_done, &done);
    sl_disk_flush(disk);
    assert_int_equal(done, 0);
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
    read_all(disk, fd, slab);
    while (done < OPS) {
        unsigned before = done;
        disk_loop_turn(disk);
        assert_in_range(done - before, 0, 2 * SL_DISK_RUN_MAX); /* a ring has threads beside it */
    }
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
