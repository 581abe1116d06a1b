/* Space: taken before, kept free, run out of, and given back. */
#include "disk_loop.h"
#include "fake_disk.h"
#include "store/local/local.h"
#include "store_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static enum test_engine engine;
static struct store_case c;

static int setup(void **state)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_DATA, .is_direct = true});
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static struct stat stat_of(const char *path)
{
    char name[64];
    struct stat st;
    snprintf(name, sizeof name, "files/%s", path);
    assert_int_equal(stat(scratch_path(&c.scratch, name), &st), 0);
    return st;
}

static void begin_of_known_length_takes_the_space(void **state)
{
    assert_int_equal(store_begin(&c, 8 * MIB), SL_OK);
    struct stat st;
    assert_int_equal(fstat(c.object.fd, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= 8 * MIB);
    store_abort(&c);
}

static void min_free_refuses_before_the_body(void **state)
{
    store_case_reopen(&c, (struct sl_store_options){.min_free = UINT64_MAX / 2});
    unsigned fds = scratch_count_fds();
    assert_int_equal(store_begin(&c, 1), SL_NO_SPACE);
    assert_int_equal(store_begin(&c, 0), SL_NO_SPACE);
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_NO_SPACE);
    assert_int_equal(scratch_count_fds(), fds);
}

/* Mounts a small file system of our own, gone with the process at the latest, and serves it. */
static struct sl_store_root *root_before;
static struct sl_store *store_before;

static void small_mount(uint64_t min_free)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("mounting takes root: skipped\n");
        skip();
    }
    assert_int_equal(mkdir(scratch_path(&c.scratch, "small"), 0700), 0);
    assert_int_equal(mount("none", scratch_path(&c.scratch, "small"), "tmpfs", 0, "size=4m"), 0);
    char message[256], path[128];
    snprintf(path, sizeof path, "%s", scratch_path(&c.scratch, "small"));
    struct sl_store_options options = {.root = path, .min_free = min_free};
    root_before = c.root;
    store_before = c.store;
    assert_int_equal(sl_store_root_open(&options, &c.root, message, sizeof message), SL_OK);
    c.store = sl_store_create(c.root, c.disk, &c.mailbox);
}

static void small_umount(void)
{
    sl_store_destroy(c.store);
    sl_store_root_close(c.root);
    c.root = root_before;
    c.store = store_before;
    /* io_uring may report a close a moment before the kernel lets go of the file. */
    assert_int_equal(umount2(scratch_path(&c.scratch, "small"), MNT_DETACH), 0);
}

/* On a disk that nobody else frees space of. */
static void more_than_there_is_is_refused(void **state)
{
    small_mount(0);
    assert_int_equal(store_begin(&c, UINT64_MAX - 1), SL_NO_SPACE);
    assert_int_equal(store_begin(&c, 4 * MIB + 1), SL_NO_SPACE);
    assert_int_equal(store_put(&c, "fits", 2 * MIB, SL_CONFLICT_ERROR), SL_OK);
    small_umount();
}

/* The store looked before somebody else filled the disk, so only the file system knows. */
static void full_disk_is_told_and_the_next_one_works(void **state)
{
    small_mount(0);
    int filler = open(scratch_path(&c.scratch, "small/filler"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(fallocate(filler, 0, 0, 3 * MIB), 0);
    assert_int_equal(store_begin(&c, 2 * MIB), SL_NO_SPACE);

    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    assert_int_equal(store_write(&c, 0, 2 * MIB), SL_NO_SPACE);
    store_abort(&c);

    sl_store_tick(c.store);
    disk_loop_drain(c.disk);
    assert_in_range(sl_store_free_bytes(c.store), 1, 1 * MIB);
    assert_int_equal(ftruncate(filler, 0), 0);
    close(filler);
    assert_int_equal(store_put(&c, "fits", 2 * MIB, SL_CONFLICT_ERROR), SL_OK); /* no tick is needed */
    small_umount();
}

/* What one upload was promised is not promised to the next; what it gave back is. */
static void min_free_counts_what_others_were_promised(void **state)
{
    small_mount(1 * MIB);
    assert_int_equal(store_begin(&c, 2 * MIB), SL_OK);
    struct sl_store_object first = c.object;
    assert_int_equal(store_begin(&c, 2 * MIB), SL_NO_SPACE);
    c.object = first;
    store_abort(&c);
    assert_int_equal(store_put(&c, "fits", 2 * MIB, SL_CONFLICT_ERROR), SL_OK); /* at once */
    small_umount();
}

/* Nobody told how much would come: it is refused as it comes, and with a look at what is free by now. */
static void min_free_holds_for_what_has_no_length(void **state)
{
    small_mount(1 * MIB);
    int filler = open(scratch_path(&c.scratch, "small/filler"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(fallocate(filler, 0, 0, 2 * MIB), 0);
    sl_store_tick(c.store);
    disk_loop_drain(c.disk);
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    assert_int_equal(store_write(&c, 0, 512 << 10), SL_OK);
    assert_int_equal(store_write(&c, 512 << 10, 1 * MIB), SL_NO_SPACE);
    assert_int_equal(ftruncate(filler, 0), 0);
    assert_int_equal(store_write(&c, 512 << 10, 1 * MIB), SL_OK); /* at once */
    store_abort(&c);
    close(filler);
    small_umount();
}

static void growth_runs_ahead_and_is_cut_at_commit(void **state)
{
    static const size_t sizes[] = {1, 4096, 1 << 20, 3000000, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char path[32];
        snprintf(path, sizeof path, "g%zu", sizes[i]);
        assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
        sl_store_set_bulk(&c.object, true);
        assert_int_equal(store_write(&c, 0, sizes[i]), SL_OK);
        struct stat st;
        assert_int_equal(fstat(c.object.fd, &st), 0);
        assert_true(c.object.allocated == 0 || (uint64_t)st.st_size > sizes[i]);
        assert_int_equal(store_commit(&c, path, sizes[i], SL_CONFLICT_ERROR), SL_OK);
        store_expect(&c, path, sizes[i]);
        assert_true((uint64_t)stat_of(path).st_blocks * 512 <= sizes[i] + 2 * SL_SLAB_BLOCK_BYTES);
    }
}

static void on_write(struct sl_store_write *write, sl_err err, void *ctx)
{
    assert_int_equal(err, SL_OK);
    ++*(unsigned *)ctx;
}

static void on_object(struct sl_store_object *object, sl_err err, void *ctx)
{
    assert_int_equal(err, SL_OK);
    ++*(unsigned *)ctx;
}

static void write_block(unsigned *calls)
{
    struct sl_slab *slab = sl_slab_try(c.pool, SL_SLAB_SMALL);
    store_pattern(slab->base, 0, 4096);
    sl_slab_seal(slab);
    struct sl_store_write write;
    sl_store_write(&c.object, &write, slab, 0, 4096, 0, false, on_write, calls);
    disk_loop_count(c.disk, calls, 1);
    sl_slab_release(slab);
}

/* The allocation is started with the write and held back; whatever ends the object must not overtake it. */
static void commit_and_abort_wait_for_the_growth(void **state)
{
    if (engine != TEST_FAKE)
        return;
    for (int is_abort = 0; is_abort < 2; is_abort++) {
        unsigned calls = 0;
        assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
        sl_store_set_bulk(&c.object, true);
        fake_disk_hold(c.disk, SL_DISK_ALLOCATE);
        write_block(&calls);
        assert_int_equal(fake_disk_held(c.disk), 1);
        c.path = store_path(is_abort ? "aborted" : "grown");
        if (is_abort)
            sl_store_abort(&c.object, on_object, &calls);
        else
            sl_store_commit(&c.object, &c.path, 4096, &c.terms, on_object, &calls);
        assert_int_equal(sl_disk_inflight(c.disk), 1);
        fake_disk_release(c.disk);
        disk_loop_count(c.disk, &calls, 2);
    }
    store_expect(&c, "grown", 4096);
    assert_false(scratch_has(&c.scratch, "files/aborted"));
}

/* NFS before 4.2, some FUSE: no fallocate(2). Then the writes tell whether there is room. */
static void file_system_that_takes_no_space_ahead_is_no_hindrance(void **state)
{
    if (engine != TEST_FAKE)
        return;
    fake_disk_fail(c.disk, SL_DISK_ALLOCATE, 1, EOPNOTSUPP);
    assert_int_equal(store_put(&c, "f", 1 << 20, SL_CONFLICT_ERROR), SL_OK);
    store_expect(&c, "f", 1 << 20);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_ALLOCATE), 1);
    fake_disk_fail(c.disk, SL_DISK_ALLOCATE, 1, EOPNOTSUPP);
    fake_disk_fail(c.disk, SL_DISK_WRITE, 1, ENOSPC);
    assert_int_equal(store_put(&c, "g", 1 << 20, SL_CONFLICT_ERROR), SL_NO_SPACE);
    assert_false(scratch_has(&c.scratch, "files/g"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(begin_of_known_length_takes_the_space),
        CASE(min_free_refuses_before_the_body),
        CASE(more_than_there_is_is_refused),
        CASE(full_disk_is_told_and_the_next_one_works),
        CASE(min_free_counts_what_others_were_promised),
        CASE(min_free_holds_for_what_has_no_length),
        CASE(growth_runs_ahead_and_is_cut_at_commit),
        CASE(commit_and_abort_wait_for_the_growth),
        CASE(file_system_that_takes_no_space_ahead_is_no_hindrance),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
