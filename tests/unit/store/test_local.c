/* store.h over local/, held against every engine: what an object becomes, under which name, and what is refused. */
#include "store_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum test_engine engine;
static struct store_case c;

static int setup(void **state)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_FULL, .is_direct = true});
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static const char *in_files(const char *name)
{
    static char path[1200];
    snprintf(path, sizeof path, "%s", scratch_path(&c.scratch, "files/"));
    snprintf(path + strlen(path), sizeof path - strlen(path), "%s", name);
    return path;
}

/* ---- content ---- */

static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, 1048575, 1048576, 1048577, 3000000};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

static void expect_sizes(enum sl_durability durability, bool is_named, bool is_known)
{
    store_case_reopen(&c, (struct sl_store_options){.durability = durability, .is_direct = true});
    if (is_named)
        store_case_force_named(&c);
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        char path[64];
        snprintf(path, sizeof path, "%d-%d-%d/%zu", durability, is_named, is_known, sizes[i]);
        assert_int_equal(store_begin(&c, is_known ? sizes[i] : SL_STORE_SIZE_UNKNOWN), SL_OK);
        sl_store_set_bulk(&c.object, true);
        assert_int_equal(store_write(&c, 0, sizes[i]), SL_OK);
        assert_int_equal(store_commit(&c, path, sizes[i], SL_CONFLICT_ERROR), SL_OK);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
        store_expect(&c, path, sizes[i]);
    }
}

static void put_of_any_size_is_whole(void **state)
{
    for (enum sl_durability durability = SL_DURABILITY_FULL; durability <= SL_DURABILITY_NONE; durability++)
        for (int kind = 0; kind < 4; kind++)
            expect_sizes(durability, kind & 1, kind & 2);
}

static void commit_smaller_than_expected_cuts(void **state)
{
    assert_int_equal(store_begin(&c, 1 << 20), SL_OK);
    assert_int_equal(store_write(&c, 0, 4097), SL_OK);
    assert_int_equal(store_commit(&c, "short", 4097, SL_CONFLICT_ERROR), SL_OK);
    store_expect(&c, "short", 4097);
}

static void abort_leaves_nothing(void **state)
{
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        unsigned fds = scratch_count_fds();
        assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), is_named);
        assert_int_equal(store_write(&c, 0, 100000), SL_OK);
        store_abort(&c);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
        assert_int_equal(scratch_count_fds(), fds);
    }
}

/* ---- a name that exists ---- */

static void conflict_error_keeps_the_old_one(void **state)
{
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        assert_int_equal(store_put(&c, is_named ? "b" : "a", 10, SL_CONFLICT_ERROR), SL_OK);
        assert_int_equal(store_put(&c, is_named ? "b" : "a", 20, SL_CONFLICT_ERROR), SL_EXISTS);
        store_expect(&c, is_named ? "b" : "a", 10);
    }
}

static void conflict_overwrite_replaces_and_tells(void **state)
{
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        const char *path = is_named ? "d/b" : "d/a";
        assert_int_equal(store_put(&c, path, 5000, SL_CONFLICT_OVERWRITE), SL_OK);
        assert_false(c.object.has_replaced);
        assert_int_equal(store_put(&c, path, 20, SL_CONFLICT_OVERWRITE), SL_OK);
        assert_true(c.object.has_replaced);
        store_expect(&c, path, 20);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
    }
}

static void conflict_rename_numbers_before_the_extension(void **state)
{
    static const struct {
        const char *asked, *got[3];
    } rows[] = {
        {"photo.jpg", {"photo.jpg", "photo-1.jpg", "photo-2.jpg"}},
        {"a/b.d/photo.tar.gz", {"a/b.d/photo.tar.gz", "a/b.d/photo.tar-1.gz", "a/b.d/photo.tar-2.gz"}},
        {".bashrc", {".bashrc", ".bashrc-1", ".bashrc-2"}},
        {"d.x/README", {"d.x/README", "d.x/README-1", "d.x/README-2"}},
        {"x.", {"x.", "x-1.", "x-2."}},
        {".a.b", {".a.b", ".a-1.b", ".a-2.b"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t n = 0; n < 3; n++) {
            assert_int_equal(store_put(&c, rows[i].asked, n + 1, SL_CONFLICT_RENAME), SL_OK);
            assert_string_equal(c.path.text, rows[i].got[n]);
            assert_int_equal(c.path.len, strlen(rows[i].got[n]));
            store_expect(&c, rows[i].got[n], n + 1);
        }
    }
}

/* 255 bytes leave no room for a number: the name stays taken, and what was asked for is what is told. */
static void conflict_rename_without_room_for_a_number_is_refused(void **state)
{
    char name[256];
    memset(name, 'x', 255);
    name[255] = '\0';
    for (size_t len = 253; len <= 255; len++) {
        const char *asked = name + 255 - len;
        assert_int_equal(store_put(&c, asked, 1, SL_CONFLICT_RENAME), SL_OK);
        assert_int_equal(store_put(&c, asked, 2, SL_CONFLICT_RENAME), len == 253 ? SL_OK : SL_EXISTS);
        assert_int_equal(c.path.len, len == 253 ? 255 : len);
        store_expect(&c, asked, 1);
    }
}

static void conflict_rename_gives_up_after_a_thousand(void **state)
{
    store_case_reopen(&c, (struct sl_store_options){.durability = SL_DURABILITY_NONE});
    scratch_put(&c.scratch, "files/t.x", "0");
    for (int i = 1; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "files/t-%d.x", i);
        scratch_put(&c.scratch, name, "taken");
    }
    assert_int_equal(store_put(&c, "t.x", 7, SL_CONFLICT_RENAME), SL_OK);
    assert_string_equal(c.path.text, "t-1000.x");
    assert_int_equal(store_put(&c, "t.x", 7, SL_CONFLICT_RENAME), SL_EXISTS);
    assert_string_equal(c.path.text, "t.x");
    assert_int_equal(c.path.len, 3);
}

/* ---- folders ---- */

static void commit_makes_deep_folders(void **state)
{
    static const char path[] = "a/bb/ccc/d/e/f/g/h/i/j/k/l/m/n/o/p/file";
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        assert_int_equal(store_put(&c, path, 10 + is_named, SL_CONFLICT_OVERWRITE), SL_OK);
        assert_string_equal(c.path.text, path);
        store_expect(&c, path, 10 + is_named);
        assert_int_equal(store_put(&c, "a/bb/ccc/d/new/leaf", 3, SL_CONFLICT_OVERWRITE), SL_OK);
        store_expect(&c, "a/bb/ccc/d/new/leaf", 3);
    }
}

static void commit_through_a_file_is_refused(void **state)
{
    static const char *const paths[] = {"f/x", "f/x/y", "d/f/x", "d/f/x/y/z"};
    assert_int_equal(store_put(&c, "f", 10, SL_CONFLICT_ERROR), SL_OK);
    assert_int_equal(store_put(&c, "d/f", 10, SL_CONFLICT_ERROR), SL_OK);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (enum sl_conflict conflict = SL_CONFLICT_ERROR; conflict <= SL_CONFLICT_OVERWRITE; conflict++) {
            assert_int_equal(store_put(&c, paths[i], 1, conflict), SL_NOT_A_DIRECTORY);
            assert_string_equal(c.path.text, paths[i]);
        }
    }
}

static void commit_over_a_folder_is_refused(void **state)
{
    assert_int_equal(store_put(&c, "d/sub/x", 1, SL_CONFLICT_ERROR), SL_OK);
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        assert_int_equal(store_put(&c, "d/sub", 1, SL_CONFLICT_ERROR), SL_EXISTS);
        assert_int_equal(store_put(&c, "d/sub", 1, SL_CONFLICT_OVERWRITE), SL_IS_A_DIRECTORY);
    }
    assert_int_equal(store_put(&c, "d/sub", 1, SL_CONFLICT_RENAME), SL_OK);
    assert_string_equal(c.path.text, "d/sub-1");
}

/* ---- what somebody planted ---- */

static void symlink_on_the_way_is_refused_at_each_level(void **state)
{
    static const char *const rows[][2] = {/* link below files/, path through it */
                                          {"ln", "ln/x"},
                                          {"a/ln", "a/ln/x"},
                                          {"a/b/ln", "a/b/ln/new/folder/x"}};
    assert_int_equal(mkdir(scratch_path(&c.scratch, "outside"), 0700), 0);
    assert_int_equal(store_put(&c, "a/b/x", 1, SL_CONFLICT_ERROR), SL_OK);
    char target[128];
    snprintf(target, sizeof target, "%s", scratch_path(&c.scratch, "outside"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int is_inside = 0; is_inside < 2; is_inside++) { /* also a link that stays below files/ */
            assert_int_equal(symlink(is_inside ? "." : target, in_files(rows[i][0])), 0);
            for (enum sl_conflict conflict = SL_CONFLICT_ERROR; conflict <= SL_CONFLICT_OVERWRITE; conflict++) {
                assert_int_equal(store_put(&c, rows[i][1], 1, conflict), SL_OUTSIDE);
                assert_string_equal(c.path.text, rows[i][1]);
            }
            uint64_t size;
            assert_int_equal(store_look(&c, rows[i][1], &size), SL_NOT_FOUND);
            assert_int_equal(unlink(in_files(rows[i][0])), 0);
        }
    }
    assert_int_equal(scratch_count(&c.scratch, "outside"), 0);
}

static void symlink_as_the_name_is_neither_followed_nor_replaced(void **state)
{
    scratch_put(&c.scratch, "secret", "old");
    for (int dangles = 0; dangles < 2; dangles++) {
        assert_int_equal(symlink(dangles ? "../nothing" : "../secret", in_files("ln")), 0);
        assert_int_equal(store_put(&c, "ln", 1, SL_CONFLICT_ERROR), SL_EXISTS);
        assert_int_equal(store_put(&c, "ln", 1, SL_CONFLICT_OVERWRITE), SL_EXISTS);
        uint64_t size;
        assert_int_equal(store_look(&c, "ln", &size), SL_NOT_FOUND);
        assert_int_equal(unlink(in_files("ln")), 0);
    }
    scratch_expect(&c.scratch, "secret", "old", 3);
    assert_false(scratch_has(&c.scratch, "nothing"));
}

/* ---- reading ---- */

static void open_finds_regular_files_only(void **state)
{
    uint64_t size = 99;
    assert_int_equal(store_put(&c, "d/f", 12345, SL_CONFLICT_ERROR), SL_OK);
    assert_int_equal(store_look(&c, "d/f", &size), SL_OK);
    assert_int_equal(size, 12345);
    assert_int_equal(mkfifo(in_files("fifo"), 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_files("socket"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);

    char long_name[301];
    memset(long_name, 'x', 300);
    long_name[300] = '\0';
    const char *const absent[] = {"nothing", "d", "d/nothing", "d/f/x", "no/thing", "fifo", "socket", long_name};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        assert_int_equal(store_look(&c, absent[i], &size), SL_NOT_FOUND);
}

static void on_reader(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    *(sl_err *)ctx = err;
}

#define WAIT_FOR(err)                 \
    do {                              \
        err = SL_AGAIN;               \
        while (err == SL_AGAIN) {     \
            sl_disk_flush(c.disk);    \
            sl_disk_run(c.disk);      \
        }                             \
        assert_int_equal(err, SL_OK); \
    } while (0)

static void read_gives_pieces_and_the_end(void **state)
{
    static const struct {
        uint64_t offset;
        size_t len, expected;
    } rows[] = {{0, 4096, 4096}, {100, 500, 500}, {9000, 4096, 1000}, {10000, 10, 0}, {20000, 10, 0}};
    assert_int_equal(store_put(&c, "f", 10000, SL_CONFLICT_ERROR), SL_OK);
    struct sl_store_reader reader;
    sl_err err;
    sl_store_open(c.store, &reader, &c.path, on_reader, &err);
    WAIT_FOR(err);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_slab *slab = sl_slab_try(c.pool, SL_SLAB_SMALL);
        sl_store_read(&reader, slab, rows[i].len, rows[i].offset, on_reader, &err);
        WAIT_FOR(err);
        char expected[4096];
        store_pattern(expected, rows[i].offset, rows[i].expected);
        assert_int_equal(reader.bytes_read, rows[i].expected);
        assert_memory_equal(slab->base, expected, rows[i].expected);
        sl_slab_release(slab);
    }
    sl_store_close(&reader, on_reader, &err);
    WAIT_FOR(err);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(put_of_any_size_is_whole),
        CASE(commit_smaller_than_expected_cuts),
        CASE(abort_leaves_nothing),
        CASE(conflict_error_keeps_the_old_one),
        CASE(conflict_overwrite_replaces_and_tells),
        CASE(conflict_rename_numbers_before_the_extension),
        CASE(conflict_rename_without_room_for_a_number_is_refused),
        CASE(conflict_rename_gives_up_after_a_thousand),
        CASE(commit_makes_deep_folders),
        CASE(commit_through_a_file_is_refused),
        CASE(commit_over_a_folder_is_refused),
        CASE(symlink_on_the_way_is_refused_at_each_level),
        CASE(symlink_as_the_name_is_neither_followed_nor_replaced),
        CASE(open_finds_regular_files_only),
        CASE(read_gives_pieces_and_the_end),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
