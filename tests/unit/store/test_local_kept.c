/* Kept objects: the contract of store/kept.h, on each engine, with unnamed and with named temporary files. */
#include "kept_case.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct store_case c;
static struct kept_case k;
static bool is_named;

#define FULL ((struct sl_store_options){.durability = SL_DURABILITY_FULL})

static void open_case(enum test_engine engine, bool named)
{
    store_case_open(&c, engine, FULL);
    if (!c.root->has_meta) {
        store_case_close(&c);
        skip();
    }
    is_named = named;
    if (named)
        store_case_force_named(&c);
}

static void restart(void)
{
    store_case_reopen(&c, FULL);
    if (is_named)
        store_case_force_named(&c);
}

static int setup_uring(void **state)
{
    open_case(TEST_IO_URING, false);
    return 0;
}

static int setup_threads(void **state)
{
    open_case(TEST_THREADS, false);
    return 0;
}

static int setup_fake(void **state)
{
    open_case(TEST_FAKE, false);
    return 0;
}

static int setup_named(void **state)
{
    open_case(TEST_THREADS, true);
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

/* ---- keeping and going on ---- */

static void is_id_of_anything_else_is_false(void **state)
{
    static const struct {
        struct sl_bytes text;
        bool is_id;
    } rows[] = {{SL_BYTES(KEPT_ID), true},
                {SL_BYTES(KEPT_OTHER), true},
                {SL_BYTES(""), false},
                {SL_BYTES("abcdefghijklmnopqrstuvwx2"), false},
                {SL_BYTES("abcdefghijklmnopqrstuvwx277"), false},
                {SL_BYTES("abcdefghijklmnopqrstuvwx28"), false},
                {SL_BYTES("abcdefghijklmnopqrstuvwx21"), false},
                {SL_BYTES("Abcdefghijklmnopqrstuvwx27"), false},
                {SL_BYTES("abcdefghijklmnopqrstuvw/27"), false},
                {SL_BYTES("abcdefghijklmnopqrstuvw\0"
                          "27"),
                 false},
                {SL_BYTES("tmp-efghijklmnopqrstuvwx27"), false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(sl_store_is_id(rows[i].text), rows[i].is_id);
}

static void keep_and_resume_after_a_restart_give_state_and_bytes(void **state)
{
    kept_make(&c, KEPT_ID, 10000, "offset 10000");
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 1);
    restart();
    kept_expect_state(&c, &k, KEPT_ID, "offset 10000");
    assert_int_equal(c.object.size, 10000);
    assert_false(c.object.is_linked);
    kept_expect_back(&c, 8192, 1808, 1808);
    kept_expect_back(&c, 8192, 4096, 1808);
    kept_expect_back(&c, 8192, 1000, 1000);
    assert_int_equal(store_write(&c, 8192, 100000), SL_OK);
    assert_int_equal(kept_keep(&c, KEPT_ID, "offset 108192"), SL_OK);
    kept_release(&c);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 1);
    assert_int_equal(scratch_count(&c.scratch, "files"), 0);
    kept_expect_state(&c, &k, KEPT_ID, "offset 108192");
    assert_int_equal(kept_commit(&c, &k, "d/f", 108192, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    assert_string_equal(c.object.kept, KEPT_ID);
    store_expect(&c, "d/f", 108192);
    assert_true(kept_is_same(&c, KEPT_ID, "d/f"));
    kept_expect_state(&c, &k, KEPT_ID, "done");
    assert_true(c.object.is_linked);
    kept_release(&c);
    assert_int_equal(store_remove(&c, "d/f", NULL), SL_OK);
}

static void keep_again_changes_the_state_and_nothing_else(void **state)
{
    char longest[SL_STORE_STATE_BYTES_MAX + 1];
    memset(longest, 'x', SL_STORE_STATE_BYTES_MAX);
    longest[SL_STORE_STATE_BYTES_MAX] = '\0';
    assert_int_equal(store_begin(&c, 200000), SL_OK);
    const char *states[] = {"", "short", longest, "a", ""};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        assert_int_equal(kept_keep(&c, KEPT_ID, states[i]), SL_OK);
        assert_string_equal(c.object.kept, KEPT_ID);
        kept_release(&c);
        kept_expect_state(&c, &k, KEPT_ID, states[i]);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 1);
    }
    store_abort(&c);
}

static void on_write_counted(struct sl_store_write *write, sl_err err, void *ctx)
{
    assert_int_equal(err, SL_OK);
    ++*(unsigned *)ctx;
}

static void keep_while_a_write_is_in_flight(void **state)
{
    struct sl_slab *slab = sl_slab_try(c.pool, SL_SLAB_LARGE);
    struct sl_store_write write;
    unsigned written = 0;
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    assert_int_equal(store_write(&c, 0, 4096), SL_OK);
    store_pattern(slab->base, 4096, 65536);
    sl_slab_seal(slab);
    sl_store_write(&c.object, &write, slab, 0, 65536, 4096, false, on_write_counted, &written);
    assert_int_equal(kept_keep(&c, KEPT_ID, "4096"), SL_OK);
    store_case_count(&c, &written, 1);
    sl_slab_release(slab);
    kept_expect_back(&c, 4096, 65536, 65536);
    store_abort(&c);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_NOT_FOUND);
}

static void without_attributes_nothing_can_be_kept(void **state)
{
    c.root->has_meta = false;
    assert_int_equal(store_begin(&c, 10), SL_OK);
    assert_int_equal(kept_keep(&c, KEPT_ID, "state"), SL_UNSUPPORTED);
    assert_null(c.object.kept);
    store_abort(&c);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_NOT_FOUND);
    assert_int_equal(store_begin(&c, 10), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 0, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    assert_null(c.object.kept);
}

static void put_attribute(const char *value, size_t len)
{
    assert_int_equal(setxattr(kept_path(&c, KEPT_ID), SL_STATE_ATTRIBUTE, value, len, 0), 0);
}

static void resume_of_attributes_that_are_not_ours_gives_no_state(void **state)
{
    char longest[SL_STATE_ATTRIBUTE_BYTES_MAX + 100];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, KEPT_ID, 26);
    kept_make(&c, KEPT_ID, 10, "state");
    static const char *const others[] = {"", "x", KEPT_OTHER "state", KEPT_ID, "abcdefghijklmnopqrstuvwx2"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        put_attribute(others[i], strlen(others[i]));
        kept_expect_state(&c, &k, KEPT_ID, "");
        kept_release(&c);
    }
    put_attribute(longest, sizeof longest);
    kept_expect_state(&c, &k, KEPT_ID, "");
    kept_release(&c);
    assert_int_equal(removexattr(kept_path(&c, KEPT_ID), SL_STATE_ATTRIBUTE), 0);
    kept_expect_state(&c, &k, KEPT_ID, "");
    store_abort(&c);
}

static void resume_of_what_is_no_file_finds_nothing(void **state)
{
    unsigned fds = scratch_count_fds();
    assert_int_equal(mkdir(kept_path(&c, KEPT_ID), 0777), 0);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_NOT_FOUND);
    assert_int_equal(rmdir(kept_path(&c, KEPT_ID)), 0);
    assert_int_equal(symlink("../files/secret", kept_path(&c, KEPT_ID)), 0);
    scratch_put(&c.scratch, "files/secret", "secret");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_NOT_FOUND);
    assert_int_equal(kept_look(&c, KEPT_ID), SL_NOT_FOUND);
    assert_int_equal(unlink(kept_path(&c, KEPT_ID)), 0);
    assert_int_equal(mkfifo(kept_path(&c, KEPT_ID), 0666), 0);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_NOT_FOUND);
    assert_int_equal(unlink(kept_path(&c, KEPT_ID)), 0);
    assert_int_equal(scratch_count_fds(), fds);
}

static void root_keeps_what_is_kept_and_cleans_the_rest(void **state)
{
    kept_make(&c, KEPT_ID, 10, "state");
    scratch_put(&c.scratch, "uploads/tmp-" KEPT_ID, "left over");
    restart();
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 1);
    kept_drop(&c, &k, KEPT_ID);
}

/* ---- finishing ---- */

static void expect_told(const char *path)
{
    char etag[SL_ETAG_BYTES];
    snprintf(etag, sizeof etag, "%s", c.object.etag);
    meta_case_expect_etag(&c, path, etag);
    assert_int_equal(c.reader.meta.digests.set, 1u << SL_HASH_SHA256);
}

static void commit_of_a_resumed_one_tells_its_digests_later(void **state)
{
    static const long seconds[] = {-86400, 0, 86400}; /* of its time, against our clock */
    for (size_t i = 0; i < 3; i++) {
        kept_make(&c, KEPT_ID, 5000, "state");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {now.tv_sec + seconds[i], 12345}};
        assert_int_equal(utimensat(AT_FDCWD, kept_path(&c, KEPT_ID), times, 0), 0);
        restart();
        kept_expect_state(&c, &k, KEPT_ID, "state");
        assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
        expect_told("f");
        assert_int_equal(kept_look(&c, KEPT_ID), SL_OK);
        assert_string_equal(c.reader.etag, c.object.etag);
        assert_int_equal(c.reader.size, 5000);
        assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
        assert_false(kept_has(&c, KEPT_ID));
    }
}

static void commit_cuts_what_lies_behind(void **state)
{
    kept_make(&c, KEPT_ID, 10000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    store_expect(&c, "f", 5000);
    expect_told("f");
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
}

static void commit_of_a_kept_one_replaces(void **state)
{
    for (int is_resumed = 0; is_resumed < 2; is_resumed++) {
        scratch_put(&c.scratch, "files/old", "old");
        assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
        assert_int_equal(store_write(&c, 0, 5000), SL_OK);
        assert_int_equal(kept_keep(&c, KEPT_ID, "state"), SL_OK);
        if (is_resumed) {
            kept_release(&c);
            assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
        }
        assert_int_equal(kept_commit(&c, &k, "old", 5000, SL_CONFLICT_OVERWRITE, KEPT_ID, "done"), SL_OK);
        assert_true(c.object.has_replaced);
        store_expect(&c, "old", 5000);
        expect_told("old");
        assert_true(kept_is_same(&c, KEPT_ID, "old"));
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 1);
        kept_expect_state(&c, &k, KEPT_ID, "done");
        assert_true(c.object.is_linked);
        kept_release(&c);
        assert_int_equal(store_remove(&c, "old", NULL), SL_OK);
    }
}

static void commit_over_a_finished_one_drops_its_id(void **state)
{
    static const struct sl_conditions any = {.if_match = SL_BYTES("*")};
    static const char *const others[] = {KEPT_OTHER, KEPT_ID "x", ""};
    for (int has_conditions = 0; has_conditions < 2; has_conditions++) {
        kept_make(&c, KEPT_ID, 5000, "state");
        assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
        assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
        assert_int_equal(store_begin(&c, 6000), SL_OK);
        assert_int_equal(store_write(&c, 0, 6000), SL_OK);
        c.terms.conditions = has_conditions ? &any : NULL;
        assert_int_equal(store_commit(&c, "f", 6000, SL_CONFLICT_OVERWRITE), SL_OK);
        c.terms = (struct sl_store_terms){0};
        assert_true(c.object.has_replaced);
        assert_false(kept_has(&c, KEPT_ID));
        store_expect(&c, "f", 6000);
        assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    }
    kept_make(&c, KEPT_OTHER, 5000, "state"); /* an attribute that was copied */
    for (size_t i = 0; i < 3; i++) {
        char name[256];
        scratch_put(&c.scratch, "files/copy", "copy");
        snprintf(name, sizeof name, "%s", scratch_path(&c.scratch, "files/copy"));
        assert_int_equal(setxattr(name, SL_STATE_ATTRIBUTE, others[i], strlen(others[i]), 0), 0);
        assert_int_equal(link(name, scratch_path(&c.scratch, "files/copy-2")), 0);
        assert_int_equal(store_put(&c, "copy", 100, SL_CONFLICT_OVERWRITE), SL_OK);
        assert_true(kept_has(&c, KEPT_OTHER));
        scratch_expect(&c.scratch, "files/copy-2", "copy", 4);
        assert_int_equal(unlink(scratch_path(&c.scratch, "files/copy-2")), 0);
    }
    kept_drop(&c, &k, KEPT_OTHER);
}

static struct sl_bytes state_of(const struct sl_path *path, void *ctx)
{
    char *room = ctx;
    snprintf(room, 64, "done %.40s", path->text);
    return sl_bytes_of(room);
}

static void commit_keeps_what_was_not_kept_before(void **state)
{
    static const enum sl_conflict rules[] = {SL_CONFLICT_ERROR, SL_CONFLICT_RENAME, SL_CONFLICT_OVERWRITE};
    static const char *const got[] = {"f", "f-1", "f"};
    char room[64], expected[64];
    for (size_t i = 0; i < 3; i++) {
        if (rules[i] != SL_CONFLICT_ERROR)
            scratch_put(&c.scratch, "files/f", "older");
        assert_int_equal(store_begin(&c, 5000), SL_OK);
        assert_int_equal(store_write(&c, 0, 5000), SL_OK);
        c.terms = (struct sl_store_terms){.meta = meta_case_fill(&k.m, 1u << SL_HASH_SHA256, 'K'),
                                          .keep_id = KEPT_ID,
                                          .state_of = state_of,
                                          .state_ctx = room};
        assert_int_equal(store_commit(&c, "f", 5000, rules[i]), SL_OK);
        c.terms = (struct sl_store_terms){0};
        assert_string_equal(c.object.kept, KEPT_ID);
        assert_true(kept_is_same(&c, KEPT_ID, got[i]));
        expect_told(got[i]);
        snprintf(expected, sizeof expected, "done %s", got[i]);
        kept_expect_state(&c, &k, KEPT_ID, expected);
        assert_true(c.object.is_linked);
        kept_release(&c);
        assert_int_equal(store_remove(&c, got[i], NULL), SL_OK);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
        if (i == 1)
            assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    }
}

static void commit_without_an_id_ends_the_keeping(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, NULL, NULL), SL_OK);
    assert_null(c.object.kept);
    assert_false(kept_has(&c, KEPT_ID));
    store_expect(&c, "f", 5000);
}

static void commit_that_is_refused_leaves_it_kept(void **state)
{
    scratch_put(&c.scratch, "files/f", "old");
    kept_make(&c, KEPT_ID, 5000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_EXISTS);
    assert_string_equal(c.object.kept, KEPT_ID);
    kept_release(&c);
    kept_expect_state(&c, &k, KEPT_ID, "state");
    assert_false(c.object.is_linked);
    assert_int_equal(kept_commit(&c, &k, "g", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    expect_told("g");
    scratch_expect(&c.scratch, "files/f", "old", 3);
    assert_int_equal(store_remove(&c, "g", NULL), SL_OK);
}

/* A crash came between the link and the state that tells of it. */
static void finish_but_for_the_state(const char *path)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, path, 5000, SL_CONFLICT_ERROR, KEPT_ID, "state"), SL_OK);
}

static void commit_that_finds_itself_is_done(void **state)
{
    static const struct {
        const char *asked, *has;
        enum sl_conflict conflict;
    } rows[] = {{"f", "f", SL_CONFLICT_ERROR},
                {"f", "f", SL_CONFLICT_RENAME},
                {"f", "f", SL_CONFLICT_OVERWRITE},
                {"d/g.txt", "d/g-1.txt", SL_CONFLICT_RENAME},
                {"d/g.txt", "d/g-3.txt", SL_CONFLICT_RENAME}};
    char room[64], expected[64], etag[SL_ETAG_BYTES];
    assert_int_equal(store_put(&c, "d/g.txt", 10, SL_CONFLICT_ERROR), SL_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        finish_but_for_the_state(rows[i].has);
        snprintf(etag, sizeof etag, "%s", c.object.etag);
        restart();
        kept_expect_state(&c, &k, KEPT_ID, "state");
        assert_true(c.object.is_linked);
        c.terms = (struct sl_store_terms){.keep_id = KEPT_ID, .state_of = state_of, .state_ctx = room};
        assert_int_equal(store_commit(&c, rows[i].asked, 10, rows[i].conflict), SL_OK);
        c.terms = (struct sl_store_terms){0};
        assert_string_equal(c.path.text, rows[i].has);
        assert_string_equal(c.object.etag, etag);
        assert_int_equal(c.object.size, 5000);
        store_expect(&c, rows[i].has, 5000);
        meta_case_expect_etag(&c, rows[i].has, etag);
        snprintf(expected, sizeof expected, "done %s", rows[i].has);
        kept_expect_state(&c, &k, KEPT_ID, expected);
        kept_release(&c);
        assert_int_equal(store_remove(&c, rows[i].has, NULL), SL_OK);
        assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
    }
}

static void commit_of_one_that_was_moved_away_touches_nobody(void **state)
{
    finish_but_for_the_state("f");
    kept_link(&c, KEPT_ID, "files/moved");
    assert_int_equal(unlink(scratch_path(&c.scratch, "files/f")), 0);
    for (int rule = 0; rule < 3; rule++) {
        assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
        assert_int_equal(kept_commit(&c, &k, "f", 5000, (enum sl_conflict)rule, KEPT_ID, "done"), SL_NOT_FOUND);
        assert_string_equal(c.path.text, "f");
        kept_release(&c);
    }
    scratch_put(&c.scratch, "files/f", "another");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_OVERWRITE, KEPT_ID, "done"), SL_EXISTS);
    scratch_expect(&c.scratch, "files/f", "another", 7);
    store_abort(&c);
    store_expect(&c, "moved", 5000);
}

static void temporary_name_of_an_interrupted_commit_is_no_name(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    kept_link(&c, KEPT_ID, "uploads/tmp-" KEPT_ID);
    kept_expect_state(&c, &k, KEPT_ID, "state"); /* no restart: somebody else served the root */
    assert_false(c.object.is_linked);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 1);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_OVERWRITE, KEPT_ID, "done"), SL_OK);
    kept_link(&c, KEPT_ID, "uploads/tmp-" KEPT_ID);
    kept_expect_state(&c, &k, KEPT_ID, "done");
    assert_true(c.object.is_linked);
    kept_release(&c);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
}

/* ---- dropping ---- */

static void abort_drops_what_is_kept_but_no_finished_file(void **state)
{
    kept_make(&c, KEPT_ID, 5000, "state");
    kept_drop(&c, &k, KEPT_ID);
    kept_make(&c, KEPT_ID, 5000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    char etag[SL_ETAG_BYTES];
    snprintf(etag, sizeof etag, "%s", c.object.etag);
    kept_drop(&c, &k, KEPT_ID);
    store_expect(&c, "f", 5000);
    meta_case_expect_etag(&c, "f", etag);
    assert_int_equal(getxattr(scratch_path(&c.scratch, "files/f"), SL_STATE_ATTRIBUTE, NULL, 0), -1);
    assert_int_equal(errno, ENODATA);
    kept_make(&c, KEPT_ID, 5000, "state"); /* a name that nobody told us of */
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    kept_link(&c, KEPT_ID, "files/backup");
    store_abort(&c);
    store_expect(&c, "backup", 5000);
}

/* Finished, then overwritten at its name, while somebody reads it. */
static void abort_leaves_bytes_that_somebody_may_read(void **state)
{
    char byte;
    kept_make(&c, KEPT_ID, 5000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_commit(&c, &k, "f", 5000, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    int reader = open(scratch_path(&c.scratch, "files/f"), O_RDONLY);
    assert_int_equal(unlink(scratch_path(&c.scratch, "files/f")), 0);
    kept_drop(&c, &k, KEPT_ID);
    assert_int_equal(pread(reader, &byte, 1, 4999), 1);
    close(reader);
}

static void remove_leaves_the_ids_of_others(void **state)
{
    kept_make(&c, KEPT_OTHER, 5000, "state");
    finish_but_for_the_state("f");
    scratch_put(&c.scratch, "files/copy", "copy");
    assert_int_equal(setxattr(scratch_path(&c.scratch, "files/copy"), SL_STATE_ATTRIBUTE, KEPT_OTHER "state", 31, 0),
                     0);
    char from[256];
    snprintf(from, sizeof from, "%s", scratch_path(&c.scratch, "files/copy"));
    assert_int_equal(link(from, scratch_path(&c.scratch, "files/copy-2")), 0);
    assert_int_equal(store_remove(&c, "copy", NULL), SL_OK);
    assert_true(kept_has(&c, KEPT_OTHER));
    assert_int_equal(setxattr(scratch_path(&c.scratch, "files/copy-2"), SL_STATE_ATTRIBUTE, "../files/f", 10, 0), 0);
    assert_int_equal(link(scratch_path(&c.scratch, "files/copy-2"), from), 0);
    assert_int_equal(store_remove(&c, "copy-2", NULL), SL_OK);
    assert_true(kept_has(&c, KEPT_ID));
    struct sl_conditions conditions = {.if_match = SL_BYTES("*")};
    assert_int_equal(store_remove(&c, "f", &conditions), SL_OK);
    assert_false(kept_has(&c, KEPT_ID));
    kept_drop(&c, &k, KEPT_OTHER);
}

/* ---- space ---- */

static uint64_t blocks_of(const char *id)
{
    struct stat stat_of;
    assert_int_equal(stat(kept_path(&c, id), &stat_of), 0);
    return (uint64_t)stat_of.st_blocks * 512;
}

#define MIB ((uint64_t)1 << 20)

static void expect_takes_space_and_release_gives_back_what_was_not_used(void **state)
{
    kept_make(&c, KEPT_ID, 10000, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_expect(&c, 8 * MIB), SL_OK);
    bool has_allocation = blocks_of(KEPT_ID) >= 8 * MIB; /* not every file system can */
    assert_int_equal(kept_expect(&c, 8 * MIB), SL_OK);
    assert_int_equal(kept_expect(&c, 100), SL_OK);
    assert_int_equal(kept_expect(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    assert_int_equal(store_write(&c, 8192, MIB), SL_OK);
    assert_int_equal(kept_keep(&c, KEPT_ID, "more"), SL_OK);
    kept_release(&c);
    if (has_allocation)
        assert_in_range(blocks_of(KEPT_ID), MIB, 2 * MIB);
    kept_expect_state(&c, &k, KEPT_ID, "more");
    assert_int_equal(c.object.size, MIB + 8192);
    kept_expect_back(&c, 4096, 65536, 65536);
    store_abort(&c);
}

static void begun_space_is_given_back_by_release(void **state)
{
    assert_int_equal(store_begin(&c, 8 * MIB), SL_OK);
    assert_int_equal(store_write(&c, 0, 4096), SL_OK);
    assert_int_equal(kept_keep(&c, KEPT_ID, "state"), SL_OK);
    kept_release(&c);
    assert_in_range(blocks_of(KEPT_ID), 0, MIB);
    kept_drop(&c, &k, KEPT_ID);
}

static void expect_more_than_there_is_changes_nothing(void **state)
{
    kept_make(&c, KEPT_ID, 10000, "state");
    uint64_t before = blocks_of(KEPT_ID);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    assert_int_equal(kept_expect(&c, (uint64_t)1 << 60), SL_NO_SPACE);
    assert_int_equal(blocks_of(KEPT_ID), before);
    c.root->free_bytes = 0;
    assert_int_equal(kept_expect(&c, MIB), SL_OK); /* a fresh look */
    c.root->options.min_free = UINT64_MAX / 2;
    assert_int_equal(kept_expect(&c, SL_STORE_SIZE_UNKNOWN), SL_NO_SPACE);
    assert_int_equal(kept_expect(&c, 5 * MIB), SL_NO_SPACE);
    c.root->options.min_free = 0;
    kept_release(&c);
    kept_expect_state(&c, &k, KEPT_ID, "state");
    assert_int_equal(c.object.size, 10000);
    store_abort(&c);
}

/* ---- copies ---- */

static sl_err copy(struct sl_store_object *from, uint64_t from_offset, uint64_t offset, uint64_t bytes)
{
    store_case_start(&c);
    sl_store_copy(&c.object, from, from_offset, offset, bytes, store_case_on_object, &c);
    return store_case_finish(&c);
}

static void copies_append_and_tell_a_source_that_is_too_short(void **state)
{
    kept_make(&c, KEPT_ID, 3 * MIB, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    struct sl_store_object from = c.object;
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    sl_store_set_bulk(&c.object, true);
    assert_int_equal(copy(&from, 0, 0, 1000), SL_OK);
    assert_int_equal(copy(&from, 1000, 1000, 3 * MIB - 1000), SL_OK);
    assert_int_equal(copy(&from, 3 * MIB - 10, 3 * MIB, 20), SL_IO);
    assert_int_equal(c.object.sys_errno, EIO);
    assert_int_equal(kept_commit(&c, &k, "whole", 3 * MIB, SL_CONFLICT_ERROR, NULL, NULL), SL_OK);
    store_expect(&c, "whole", 3 * MIB);
    expect_told("whole");
    c.object = from;
    store_abort(&c);
}

int main(void)
{
#define ALL(name)                                                 \
    {#name ", io_uring", name, setup_uring, teardown, NULL},      \
        {#name ", threads", name, setup_threads, teardown, NULL}, \
        {#name ", fake", name, setup_fake, teardown, NULL},       \
    {                                                             \
#name ", named", name, setup_named, teardown, NULL        \
    }
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(is_id_of_anything_else_is_false),
        ALL(keep_and_resume_after_a_restart_give_state_and_bytes),
        ALL(keep_again_changes_the_state_and_nothing_else),
        ALL(keep_while_a_write_is_in_flight),
        ALL(without_attributes_nothing_can_be_kept),
        ALL(resume_of_attributes_that_are_not_ours_gives_no_state),
        ALL(resume_of_what_is_no_file_finds_nothing),
        ALL(root_keeps_what_is_kept_and_cleans_the_rest),
        ALL(commit_of_a_resumed_one_tells_its_digests_later),
        ALL(commit_cuts_what_lies_behind),
        ALL(commit_of_a_kept_one_replaces),
        ALL(commit_over_a_finished_one_drops_its_id),
        ALL(commit_keeps_what_was_not_kept_before),
        ALL(commit_without_an_id_ends_the_keeping),
        ALL(commit_that_is_refused_leaves_it_kept),
        ALL(commit_that_finds_itself_is_done),
        ALL(commit_of_one_that_was_moved_away_touches_nobody),
        ALL(temporary_name_of_an_interrupted_commit_is_no_name),
        ALL(abort_drops_what_is_kept_but_no_finished_file),
        ALL(abort_leaves_bytes_that_somebody_may_read),
        ALL(remove_leaves_the_ids_of_others),
        ALL(expect_takes_space_and_release_gives_back_what_was_not_used),
        ALL(begun_space_is_given_back_by_release),
        ALL(expect_more_than_there_is_changes_nothing),
        ALL(copies_append_and_tell_a_source_that_is_too_short),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
