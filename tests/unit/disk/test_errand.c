/* Errands, held against both engines: what is started away is done there, in order, whatever fails. */
#include "disk_loop.h"
#include "scratch.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#define STORIES 500

struct story {
    struct sl_disk_op errand, op;
    struct sl_disk *here;
    pthread_t helper;
    char name[16], body[32];
    int fd;
    unsigned told; /* callbacks away */
    sl_err opened_again;
    bool is_home;
};

static enum test_engine engine;
static struct scratch scratch;
static struct sl_slab_pool *pool;
static struct sl_disk *disk;
static unsigned home;

static int setup(void **state)
{
    scratch_make(&scratch);
    pool = sl_slab_pool_create(0);
    disk = test_engine_make(engine, pool);
    home = 0;
    if (disk == NULL) {
        sl_slab_pool_destroy(pool);
        scratch_remove(&scratch);
        skip();
    }
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(sl_disk_inflight(disk), 0);
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
    scratch_remove(&scratch);
    return 0;
}

static void away(struct story *story, const struct sl_disk_op *op)
{
    assert_true(sl_disk_op_is_idle(op));
    assert_true(pthread_equal(pthread_self(), story->helper));
    story->told++;
}

static void on_opened_again(struct sl_disk_op *op, void *ctx)
{
    struct story *story = ctx;
    away(story, op);
    story->opened_again = op->err;
}

static void on_closed(struct sl_disk_op *op, void *ctx)
{
    struct story *story = ctx;
    struct open_how how = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
    away(story, op);
    sl_disk_open(story->here, &story->op, AT_FDCWD, story->name, how, on_opened_again, story);
}

static void on_written(struct sl_disk_op *op, void *ctx)
{
    struct story *story = ctx;
    away(story, op);
    assert_int_equal(op->err, SL_OK);
    sl_disk_close(story->here, &story->op, story->fd, on_closed, story);
}

static void on_opened(struct sl_disk_op *op, void *ctx)
{
    struct story *story = ctx;
    away(story, op);
    assert_int_equal(op->err, SL_OK);
    story->fd = (int)op->result;
    sl_disk_write_lent(story->here, &story->op, story->fd, story->body, strlen(story->body), 0, on_written, story);
    assert_false(sl_disk_op_is_idle(&story->op)); /* not inside the call */
}

static void tell(struct sl_disk *here, void *ctx)
{
    struct story *story = ctx;
    struct open_how how = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
    story->here = here;
    story->helper = pthread_self();
    sl_disk_open(here, &story->op, AT_FDCWD, story->name, how, on_opened, story);
}

static void on_home(struct sl_disk_op *op, void *ctx)
{
    struct story *story = ctx;
    assert_true(sl_disk_op_is_idle(op));
    assert_false(pthread_equal(pthread_self(), story->helper));
    assert_false(story->is_home);
    assert_int_equal(op->err, SL_OK);
    story->is_home = true;
    home++;
}

/* Many at once, and an ordinary operation among them. */
static void errands_are_done_whole_and_come_home_once(void **state)
{
    struct story *stories = calloc(STORIES, sizeof *stories);
    struct statfs statfs;
    struct sl_disk_op op = {0};
    unsigned looked = 0;
    assert_non_null(stories);
    assert_true(sl_disk_has_errands(disk));
    assert_int_equal(chdir(scratch.path), 0);
    for (unsigned i = 0; i < STORIES; i++) {
        snprintf(stories[i].name, sizeof stories[i].name, "%u", i);
        snprintf(stories[i].body, sizeof stories[i].body, "the body of %u", i);
        sl_disk_errand(disk, &stories[i].errand, tell, &stories[i], on_home, &stories[i]);
    }
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sl_disk_statfs(disk, &op, fd, &statfs, disk_loop_on_done, &looked);
    disk_loop_drain(disk);
    close(fd);
    assert_int_equal(op.err, SL_OK);
    assert_int_equal(looked, 1);
    assert_int_equal(home, STORIES);
    for (unsigned i = 0; i < STORIES; i++) {
        assert_int_equal(stories[i].told, 4);
        assert_int_equal(stories[i].opened_again, SL_EXISTS); /* its own failure, not the errand's */
        scratch_expect(&scratch, stories[i].name, stories[i].body, strlen(stories[i].body));
    }
    assert_int_equal(chdir("/"), 0);
    free(stories);
}

static void start_nothing(struct sl_disk *here, void *ctx)
{
    struct story *story = ctx;
    assert_int_equal(sl_disk_inflight(here), 0);
    story->helper = pthread_self();
}

static void errand_that_starts_nothing_comes_home(void **state)
{
    struct story story = {0};
    sl_disk_errand(disk, &story.errand, start_nothing, &story, on_home, &story);
    assert_int_equal(sl_disk_inflight(disk), 1);
    disk_loop_count(disk, &home, 1);
}

static int run_against(enum test_engine wanted, const char *name)
{
    static const struct CMUnitTest cases[] = {
        cmocka_unit_test_setup_teardown(errands_are_done_whole_and_come_home_once, setup, teardown),
        cmocka_unit_test_setup_teardown(errand_that_starts_nothing_comes_home, setup, teardown),
    };
    engine = wanted;
    return cmocka_run_group_tests_name(name, cases, NULL, NULL);
}

int main(void)
{
    return run_against(TEST_THREADS, "threads") + run_against(TEST_IO_URING, "io_uring") != 0;
}
