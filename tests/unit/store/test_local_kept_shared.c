/* Kept objects among several processes that serve one root, what a killed one leaves, and names that others made. */
#include "fake_disk.h"
#include "kept_case.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MIB ((uint64_t)1 << 20)

static struct store_case c;
static struct kept_case k;

static void open_case(enum test_engine engine)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    if (c.root->has_meta)
        return;
    store_case_close(&c);
    skip();
}

static int setup_uring(void **state)
{
    open_case(TEST_IO_URING);
    return 0;
}

static int setup_fake(void **state)
{
    open_case(TEST_FAKE);
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

/* What another process has is another open file description. */
static void one_that_another_process_holds_is_not_resumed(void **state)
{
    unsigned fds = scratch_count_fds();
    assert_int_equal(store_begin(&c, 8 * MIB), SL_OK);
    assert_int_equal(store_write(&c, 0, 5000), SL_OK);
    assert_int_equal(kept_keep(&c, KEPT_ID, "state"), SL_OK);
    for (int is_resumed = 0; is_resumed < 2; is_resumed++) {
        struct sl_store_object held = c.object;
        assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_BUSY);
        assert_int_equal(scratch_count_fds(), fds + 1);
        assert_int_equal(kept_open_to_read(&c, &k, KEPT_ID), SL_OK);
        assert_string_equal(k.state, "state");
        kept_release(&c);
        c.object = held;
        int late = dup(c.object.fd); /* the kernel drops a file when it likes */
        kept_release(&c);
        kept_expect_state(&c, &k, KEPT_ID, "state");
        close(late);
    }
    int other = open(kept_path(&c, KEPT_ID), O_RDWR);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_BUSY);
    close(other);
    kept_drop(&c, &k, KEPT_ID);
    store_expect(&c, "f", 5000);
}

/* A process that was killed: the kernel lets its files go when its I/O is over. */
static void one_that_is_let_go_a_little_later_is_resumed(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    int other = open(kept_path(&c, KEPT_ID), O_RDWR);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    fake_disk_hold(c.disk, SL_DISK_LOCK);
    store_case_start(&c);
    sl_store_resume(c.store, &c.object, KEPT_ID, k.state, store_case_on_object, &c);
    while (fake_disk_held(c.disk) == 0)
        store_case_turn(&c);
    close(other);
    fake_disk_release(c.disk);
    assert_int_equal(store_case_finish(&c), SL_OK);
    other = open(kept_path(&c, KEPT_ID), O_RDWR);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
    close(other);
    store_abort(&c);
}

/* It was opened by us, and dropped by another before we had the lock. */
static void one_that_was_dropped_meanwhile_is_not_found(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    fake_disk_hold(c.disk, SL_DISK_STAT);
    store_case_start(&c);
    sl_store_resume(c.store, &c.object, KEPT_ID, k.state, store_case_on_object, &c);
    while (fake_disk_held(c.disk) == 0)
        store_case_turn(&c);
    assert_int_equal(unlink(kept_path(&c, KEPT_ID)), 0);
    fake_disk_release(c.disk);
    assert_int_equal(store_case_finish(&c), SL_NOT_FOUND);
}

/* A process that is killed while it has taken space ahead. */
static void space_behind_the_end_that_was_told_is_given_back(void **state)
{
    struct stat stat_of;
    kept_make(&c, KEPT_ID, 10000, "5000");
    assert_int_equal(truncate(kept_path(&c, KEPT_ID), 8 * MIB), 0);
    kept_expect_state(&c, &k, KEPT_ID, "5000");
    sl_store_set_end(&c.object, 5000);
    kept_release(&c);
    assert_int_equal(stat(kept_path(&c, KEPT_ID), &stat_of), 0);
    assert_int_equal(stat_of.st_size, 5000);
    assert_int_equal(truncate(kept_path(&c, KEPT_ID), 8 * MIB), 0);
    kept_expect_state(&c, &k, KEPT_ID, "5000");
    sl_store_set_end(&c.object, 5000);
    assert_int_equal(store_write(&c, 4096, 10000), SL_OK);
    assert_int_equal(kept_keep(&c, KEPT_ID, "14096"), SL_OK);
    kept_release(&c);
    assert_int_equal(stat(kept_path(&c, KEPT_ID), &stat_of), 0);
    assert_int_equal(stat_of.st_size, 14096);
    kept_expect_state(&c, &k, KEPT_ID, "14096");
    sl_store_set_end(&c.object, 10000);
    assert_int_equal(kept_commit(&c, &k, "f", 10000, SL_CONFLICT_ERROR, KEPT_ID, "14096"), SL_OK);
    store_expect(&c, "f", 10000);
    kept_expect_state(&c, &k, KEPT_ID, "14096"); /* a crash came before the last state */
    sl_store_set_end(&c.object, 5000);
    kept_release(&c);
    store_expect(&c, "f", 10000);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
}

static void link_of_a_backup_is_no_commit(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    kept_link(&c, KEPT_ID, "backup");
    kept_expect_state(&c, &k, KEPT_ID, "state");
    assert_false(c.object.is_linked);
    assert_int_equal(store_write(&c, 4096, 5000), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 9096, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    store_expect(&c, "f", 9096);
    kept_expect_state(&c, &k, KEPT_ID, "done");
    assert_true(c.object.is_linked);
    kept_release(&c);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    assert_false(kept_has(&c, KEPT_ID));
}

/* One that only looks at it may meet a commit that is under way. */
static void look_drops_no_temporary_name(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    kept_link(&c, KEPT_ID, "uploads/tmp-" KEPT_ID);
    assert_int_equal(kept_open_to_read(&c, &k, KEPT_ID), SL_OK);
    assert_string_equal(k.state, "state");
    assert_int_equal(c.object.size, 5000);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 2);
    struct sl_store_object from = c.object;
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    store_case_start(&c);
    sl_store_copy(&c.object, &from, 0, 0, 5000, store_case_on_object, &c);
    assert_int_equal(store_case_finish(&c), SL_OK);
    kept_expect_back(&c, 0, 5000, 5000);
    store_abort(&c);
    c.object = from;
    kept_expect_back(&c, 0, 5000, 5000);
    kept_release(&c);
    assert_int_equal(kept_open_to_read(&c, &k, KEPT_OTHER), SL_NOT_FOUND);
    kept_drop(&c, &k, KEPT_ID);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
}

int main(void)
{
#define BOTH(name)                                           \
    {#name ", io_uring", name, setup_uring, teardown, NULL}, \
    {                                                        \
#name ", fake", name, setup_fake, teardown, NULL     \
    }
    const struct CMUnitTest cases[] = {
        BOTH(one_that_another_process_holds_is_not_resumed),
        cmocka_unit_test_setup_teardown(one_that_is_let_go_a_little_later_is_resumed, setup_fake, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_dropped_meanwhile_is_not_found, setup_fake, teardown),
        BOTH(space_behind_the_end_that_was_told_is_given_back),
        BOTH(link_of_a_backup_is_no_commit),
        BOTH(look_drops_no_temporary_name),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
