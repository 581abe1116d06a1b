/* A look at a place for a root: what is told of it, and that nothing stays behind. */
#include "sluice/store/examine.h"

#include "scratch.h"
#include "sluice/base/clock.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct scratch scratch;

static int setup(void **state)
{
    scratch_make(&scratch);
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(&scratch);
    return 0;
}

static void a_folder_that_is_there_is_tried_itself(void **state)
{
    struct sl_store_facts facts;
    sl_store_examine(scratch.path, &facts);
    assert_int_equal(facts.err, SL_OK);
    assert_true(facts.has_root);
    assert_string_equal(facts.where, scratch.path);
    assert_true(facts.free_bytes > 0 && facts.bytes >= facts.free_bytes);
    assert_true(strlen(facts.file_system) > 0);
    assert_int_equal(scratch_count(&scratch, ""), 0);
}

static void uploads_are_tried_where_a_root_has_been_served(void **state)
{
    struct sl_store_facts facts;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/uploads", scratch.path);
    assert_int_equal(mkdir(path, 0700), 0);
    sl_store_examine(scratch.path, &facts);
    assert_int_equal(facts.err, SL_OK);
    assert_string_equal(facts.where, path);
    assert_int_equal(scratch_count(&scratch, "uploads"), 0);
}

static void what_is_not_there_is_tried_where_it_would_be_and_not_made(void **state)
{
    struct sl_store_facts facts;
    char root[PATH_MAX];
    snprintf(root, sizeof root, "%s/a/b/c", scratch.path);
    sl_store_examine(root, &facts);
    assert_int_equal(facts.err, SL_OK);
    assert_false(facts.has_root);
    assert_string_equal(facts.where, scratch.path);
    assert_int_equal(scratch_count(&scratch, ""), 0);
}

static void what_is_no_folder_is_told(void **state)
{
    struct sl_store_facts facts;
    sl_store_examine("/dev/null", &facts);
    assert_int_equal(facts.err, SL_NOT_A_DIRECTORY);
    sl_store_examine("/dev/null/a", &facts);
    assert_int_equal(facts.err, SL_NOT_A_DIRECTORY);
    sl_store_examine("/proc", &facts);
    assert_int_not_equal(facts.err, SL_OK);
}

static void measure_by(enum sl_disk_choice choice, bool has_unnamed)
{
    for (enum sl_durability durability = SL_DURABILITY_FULL; durability <= SL_DURABILITY_NONE; durability++) {
        struct sl_slab_pool *slabs = sl_slab_pool_create((size_t)16 << 20);
        struct sl_store_facts facts;
        struct sl_store_speed speed;
        struct sl_disk *disk;
        char reason[512];
        assert_int_equal(sl_disk_create(choice, slabs, &disk, reason, sizeof reason), SL_OK);
        sl_store_examine(scratch.path, &facts);
        facts.has_unnamed = facts.has_unnamed && has_unnamed;
        assert_int_equal(
            sl_store_measure(&facts, durability, true, 50 * SL_MS, (uint64_t)8 << 20, disk, slabs, &speed), SL_OK);
        assert_true(speed.bulk_bytes > 0 && speed.bulk_bytes <= (uint64_t)8 << 20 && speed.bulk_ns > 0);
        assert_true(speed.smalls > 0 && speed.small_ns >= 50 * SL_MS);
        assert_int_equal(scratch_count(&scratch, ""), 0);
        sl_disk_destroy(disk);
        sl_slab_pool_destroy(slabs); /* asserts that all came back */
    }
}

static void measure_leaves_nothing(void **state)
{
    measure_by(SL_DISK_AUTO, true);
    measure_by(SL_DISK_THREADS, true);
    measure_by(SL_DISK_THREADS, false);
}

static void measure_where_nothing_can_be_written_tells(void **state)
{
    struct sl_slab_pool *slabs = sl_slab_pool_create((size_t)16 << 20);
    struct sl_store_facts facts = {.where = "/proc"};
    struct sl_store_speed speed;
    struct sl_disk *disk;
    char reason[512];
    assert_int_equal(sl_disk_create(SL_DISK_THREADS, slabs, &disk, reason, sizeof reason), SL_OK);
    assert_int_not_equal(
        sl_store_measure(&facts, SL_DURABILITY_NONE, false, SL_SEC, (uint64_t)8 << 20, disk, slabs, &speed), SL_OK);
    assert_true(speed.bulk_bytes == 0 && speed.smalls == 0);
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(slabs);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_folder_that_is_there_is_tried_itself),
        CASE(uploads_are_tried_where_a_root_has_been_served),
        CASE(what_is_not_there_is_tried_where_it_would_be_and_not_made),
        CASE(what_is_no_folder_is_told),
        CASE(measure_leaves_nothing),
        CASE(measure_where_nothing_can_be_written_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
