/* Taking finished objects away: what can be removed, on what terms, and what becomes of those who read. */
#include "fake_disk.h"
#include "meta_case.h"

#include <errno.h>
#include <sys/stat.h>

static enum test_engine engine;
static struct store_case c;

static int setup(void **state)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static void put_at(const char *name, const char *target_or_null)
{
    char path[256];
    snprintf(path, sizeof path, "%s", scratch_path(&c.scratch, name));
    if (target_or_null != NULL)
        assert_int_equal(symlink(target_or_null, path), 0);
    else
        assert_int_equal(mkfifo(path, 0600), 0);
}

static void removed_file_is_gone_and_its_folder_stays(void **state)
{
    static const char *const paths[] = {"a", "d/a", "d/e/f/a"};
    for (enum sl_durability durability = SL_DURABILITY_FULL; durability <= SL_DURABILITY_NONE; durability++) {
        store_case_reopen(&c, (struct sl_store_options){.durability = durability});
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(store_put(&c, paths[i], 10, SL_CONFLICT_ERROR), SL_OK);
            unsigned fds = scratch_count_fds();
            assert_int_equal(store_remove(&c, paths[i], NULL), SL_OK);
            assert_string_equal(c.path.text, paths[i]);
            assert_int_equal(store_look(&c, paths[i], &(uint64_t){0}), SL_NOT_FOUND);
            assert_int_equal(store_remove(&c, paths[i], NULL), SL_NOT_FOUND);
            assert_int_equal(scratch_count_fds(), fds);
        }
        assert_true(scratch_has(&c.scratch, "files/d/e/f"));
    }
}

static void only_regular_files_reached_without_links_are_removed(void **state)
{
    static const char *const paths[] = {"nothing", "d",    "d/nothing",   "d/f/x",    "no/thing",
                                        "fifo",    "link", "linked/f",    "d/linked", "dangling",
                                        "up",      "up/x", "d/linked/x/y"};
    static const struct sl_conditions any = {.if_match = SL_BYTES("*")};
    assert_int_equal(store_put(&c, "d/f", 7, SL_CONFLICT_ERROR), SL_OK);
    scratch_put(&c.scratch, "outside", "secret");
    put_at("files/fifo", NULL);
    put_at("files/link", "d/f");
    put_at("files/linked", "d");
    put_at("files/d/linked", ".");
    put_at("files/dangling", "nowhere");
    put_at("files/up", "../outside");
    unsigned fds = scratch_count_fds();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(store_remove(&c, paths[i], NULL), SL_NOT_FOUND);
        assert_int_equal(store_remove(&c, paths[i], &any), SL_NOT_FOUND);
        assert_string_equal(c.removal.etag, "");
        assert_int_equal(scratch_count_fds(), fds);
    }
    char long_name[301];
    memset(long_name, 'x', 300);
    long_name[300] = '\0';
    assert_int_equal(store_remove(&c, long_name, NULL), SL_NOT_FOUND);
    store_expect(&c, "d/f", 7);
    scratch_expect(&c.scratch, "outside", "secret", 6);
    assert_int_equal(scratch_count(&c.scratch, "files"), 6);
    assert_int_equal(scratch_count(&c.scratch, "files/d"), 2);
}

static void conditions_decide(void **state)
{
    static const struct {
        struct sl_conditions conditions; /* base NULL, len 1: its own tag */
        sl_err expected;
    } rows[] = {
        {{.if_match = SL_BYTES("*")}, SL_OK},
        {{.if_match = {NULL, 1}}, SL_OK},
        {{.if_match = SL_BYTES("\"another\"")}, SL_PRECONDITION},
        {{.if_match = SL_BYTES("no list")}, SL_PRECONDITION},
        {{.if_none_match = SL_BYTES("*")}, SL_PRECONDITION},
        {{.if_none_match = SL_BYTES("\"another\"")}, SL_OK},
        {{.if_unmodified_since = SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT")}, SL_PRECONDITION},
        {{.if_unmodified_since = SL_BYTES("Fri, 06 Nov 2155 08:49:37 GMT")}, SL_OK},
        {{.if_range = SL_BYTES("\"another\"")}, SL_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        meta_case_put(&c, "d/f", 10, 'A');
        struct sl_conditions conditions = rows[i].conditions;
        if (conditions.if_match.base == NULL && conditions.if_match.len == 1)
            conditions.if_match = sl_bytes_of(c.object.etag);
        assert_int_equal(store_remove(&c, "d/f", &conditions), rows[i].expected);
        assert_string_equal(c.removal.etag, rows[i].expected == SL_OK ? "" : c.object.etag);
        assert_int_equal(scratch_has(&c.scratch, "files/d/f"), rows[i].expected != SL_OK);
    }
}

/* Who reads goes on reading what was there, also when another took its place. */
static void readers_go_on(void **state)
{
    assert_int_equal(store_put(&c, "f", 10000, SL_CONFLICT_ERROR), SL_OK);
    struct sl_path path = store_path("f");
    store_case_start(&c);
    sl_store_open(c.store, &c.reader, &path, store_case_on_reader, &c);
    assert_int_equal(store_case_finish(&c), SL_OK);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    assert_int_equal(store_put(&c, "f", 3, SL_CONFLICT_ERROR), SL_OK);

    struct sl_slab *slab = sl_slab_try(c.pool, SL_SLAB_LARGE);
    char expected[10000];
    store_pattern(expected, 0, sizeof expected);
    store_case_start(&c);
    sl_store_read(&c.reader, slab, sizeof expected, 0, store_case_on_reader, &c);
    assert_int_equal(store_case_finish(&c), SL_OK);
    assert_int_equal(c.reader.bytes_read, sizeof expected);
    assert_memory_equal(slab->base, expected, sizeof expected);
    sl_slab_release(slab);
    store_case_start(&c);
    sl_store_close(&c.reader, store_case_on_reader, &c);
    assert_int_equal(store_case_finish(&c), SL_OK);
}

static void durability_decides_what_is_synced(void **state)
{
    if (engine != TEST_FAKE)
        skip();
    for (enum sl_durability durability = SL_DURABILITY_FULL; durability <= SL_DURABILITY_NONE; durability++) {
        store_case_reopen(&c, (struct sl_store_options){.durability = durability});
        assert_int_equal(store_put(&c, "d/f", 10, SL_CONFLICT_ERROR), SL_OK);
        unsigned before = fake_disk_started(c.disk, SL_DISK_SYNC);
        assert_int_equal(store_remove(&c, "d/f", NULL), SL_OK);
        assert_int_equal(fake_disk_started(c.disk, SL_DISK_SYNC) - before, durability == SL_DURABILITY_FULL);
    }
}

/* Fail at N. Only a sync that fails comes after the file is gone. Whatever fails, the turn is given back: the root's
 * close asserts it, and the next one is let in. */
static bool fail_at(enum sl_disk_kind kind, unsigned n, const struct sl_conditions *conditions)
{
    setup(NULL);
    meta_case_put(&c, "d/f", 10, 'A');
    unsigned fds = scratch_count_fds(), started = fake_disk_started(c.disk, kind);
    fake_disk_fail(c.disk, kind, n, EIO);
    sl_err err = store_remove(&c, "d/f", conditions);
    bool has_struck = fake_disk_started(c.disk, kind) - started >= n;
    fake_disk_disarm(c.disk);
    bool is_failed = has_struck && kind != SL_DISK_CLOSE;
    assert_int_equal(err, is_failed ? SL_IO : SL_OK);
    assert_int_equal(c.removal.sys_errno, is_failed ? EIO : 0);
    assert_int_equal(scratch_count_fds(), fds);
    bool is_there = is_failed && kind != SL_DISK_SYNC;
    assert_int_equal(scratch_has(&c.scratch, "files/d/f"), is_there);
    assert_int_equal(store_remove(&c, "d/f", NULL), is_there ? SL_OK : SL_NOT_FOUND);
    teardown(NULL);
    return has_struck;
}

static void each_operation_that_fails_is_told_and_leaves_nothing(void **state)
{
    static const struct sl_conditions any = {.if_match = SL_BYTES("*")};
    engine = TEST_FAKE;
    unsigned struck = 0;
    for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++) {
        for (unsigned n = 1; fail_at(kind, n, NULL); n++)
            struck++;
        for (unsigned n = 1; fail_at(kind, n, &any); n++)
            struck++;
    }
    assert_in_range(struck, 5 + 7, 20); /* open, look, unlink, sync, close; a look with conditions is four more */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(removed_file_is_gone_and_its_folder_stays),
        CASE(only_regular_files_reached_without_links_are_removed),
        CASE(conditions_decide),
        CASE(readers_go_on),
        CASE(durability_decides_what_is_synced),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    const struct CMUnitTest faults[] = {cmocka_unit_test(each_operation_that_fails_is_told_and_leaves_nothing)};
    return failed + cmocka_run_group_tests_name("faults", faults, NULL, NULL);
}
