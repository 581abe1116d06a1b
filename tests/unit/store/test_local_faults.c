/* Fail at N: every disk operation of every way to commit fails once, by kind and number. And the syncs that commits
 * share, looked at while the fake disk holds them back. */
#include "fake_disk.h"
#include "meta_case.h"

#include <errno.h>
#include <string.h>

static struct store_case c;

static int setup(void **state)
{
    store_case_open(&c, TEST_FAKE, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

/* ---- fail at N ---- */

#define SIZE ((size_t)100000)

struct scenario {
    const char *name;
    bool is_named, is_grown, has_old, has_meta, is_coarse;
    enum sl_conflict conflict;
    const char *path, *expected_path;
    struct sl_conditions conditions;
};

#define ANY   SL_BYTES("*")
#define OTHER SL_BYTES("\"another\"")

static const struct scenario scenarios[] = {
    {"unnamed", .path = "a"},
    {"named", .is_named = true, .path = "a"},
    {"overwrite", .has_old = true, .conflict = SL_CONFLICT_OVERWRITE, .path = "old"},
    {"overwrite, named", .is_named = true, .has_old = true, .conflict = SL_CONFLICT_OVERWRITE, .path = "old"},
    {"overwrite, nothing there", .conflict = SL_CONFLICT_OVERWRITE, .path = "a"},
    {"rename", .has_old = true, .conflict = SL_CONFLICT_RENAME, .path = "old", .expected_path = "old-1"},
    {"rename, named", .is_named = true, .has_old = true, .conflict = SL_CONFLICT_RENAME, .path = "old", "old-1"},
    {"new folders", .path = "n/e/w/a"},
    {"new folders, named", .is_named = true, .path = "n/e/w/a"},
    {"grown", .is_grown = true, .path = "a"},
    {"grown, named", .is_grown = true, .is_named = true, .path = "a"},
    {"meta", .has_meta = true, .path = "n/a"},
    {"meta, grown", .has_meta = true, .is_grown = true, .path = "a"},
    {"meta, coarse times", .has_meta = true, .is_coarse = true, .path = "a"},
    {"must be new", .has_meta = true, .path = "a", .conditions.if_none_match = ANY},
    {"must be new, overwrite", .conflict = SL_CONFLICT_OVERWRITE, .path = "n/a", .conditions.if_none_match = ANY},
    {"must be there", .has_meta = true, .has_old = true, .conflict = SL_CONFLICT_OVERWRITE, .path = "old",
     .conditions.if_match = ANY},
    {"must be there, named", .is_named = true, .has_old = true, .conflict = SL_CONFLICT_OVERWRITE, .path = "old",
     .conditions.if_match = ANY},
    {"must be there, rename", .has_old = true, .conflict = SL_CONFLICT_RENAME, .path = "old",
     .expected_path = "old-1", .conditions.if_match = ANY},
    {"must be another, rename", .has_old = true, .conflict = SL_CONFLICT_RENAME, .path = "old",
     .expected_path = "old-1", .conditions.if_none_match = OTHER},
};

/* begin, write, commit; whatever fails is aborted as the contract says. */
static sl_err attempt(const struct scenario *s)
{
    struct meta_case m;
    c.path = store_path(s->path);
    c.terms = (struct sl_store_terms){.conditions = &s->conditions};
    if (s->has_meta)
        c.terms.meta = meta_case_fill(&m, 1u << SL_HASH_SHA256, 'A');
    sl_err err = store_begin(&c, s->is_grown ? SL_STORE_SIZE_UNKNOWN : SIZE);
    if (err != SL_OK)
        return err;
    sl_store_set_bulk(&c.object, s->is_grown);
    err = store_write(&c, 0, SIZE);
    if (err == SL_OK)
        err = store_commit(&c, s->path, SIZE, s->conflict);
    if (err != SL_OK)
        store_abort(&c);
    return err;
}

/* Failures of these are no failure of the upload. An UNLINK is the temporary name of a file that has its own: it
 * stays until the next start. A CLOSE closes. An attribute that finds no space may only be too long. Space that could
 * not be taken ahead is taken by the writes. */
static bool is_forgiven(const struct scenario *s, enum sl_disk_kind kind, int sys_errno)
{
    return (kind == SL_DISK_SETXATTR && sys_errno == ENOSPC) || kind == SL_DISK_CLOSE || kind == SL_DISK_UNLINK ||
           (kind == SL_DISK_ALLOCATE && s->is_grown);
}

static void expect_failed(const struct scenario *s, enum sl_disk_kind kind)
{
    assert_string_equal(c.path.text, s->path);
    assert_int_equal(c.path.len, strlen(s->path));
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
    /* Only the sync of the folder comes after the rename: the old file is gone then, and the new one stays, whole. */
    uint64_t size = 0;
    if (s->has_old)
        assert_int_equal(store_look(&c, "old", &size), SL_OK);
    if (s->has_old && s->conflict == SL_CONFLICT_OVERWRITE && kind == SL_DISK_SYNC && size != 3)
        store_expect(&c, "old", SIZE);
    else if (s->has_old)
        scratch_expect(&c.scratch, "files/old", "old", 3);
    else if (!s->has_old)
        assert_int_not_equal(store_look(&c, s->path, &(uint64_t){0}), SL_OK);
    if (s->expected_path != NULL)
        assert_int_not_equal(store_look(&c, s->expected_path, &(uint64_t){0}), SL_OK);
}

static void expect_done(const struct scenario *s, enum sl_disk_kind kind)
{
    store_expect(&c, s->expected_path != NULL ? s->expected_path : s->path, SIZE);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), kind == SL_DISK_UNLINK ? 1 : 0);
}

/* false: there is no nth operation of this kind, and all went well. */
static bool fail_at(const struct scenario *s, enum sl_disk_kind kind, unsigned n, int sys_errno)
{
    setup(NULL);
    if (s->is_named)
        store_case_force_named(&c);
    c.root->has_coarse_times |= s->is_coarse;
    c.root->has_direct = false; /* the tail is written in one piece with the rest here */
    if (s->has_old)
        scratch_put(&c.scratch, "files/old", "old");
    unsigned fds = scratch_count_fds(), started = fake_disk_started(c.disk, kind);
    fake_disk_fail(c.disk, kind, n, sys_errno);
    sl_err err = attempt(s);
    bool has_struck = fake_disk_started(c.disk, kind) - started >= n;
    fake_disk_disarm(c.disk);

    assert_int_equal(scratch_count_fds(), fds);
    bool is_done = !has_struck || is_forgiven(s, kind, sys_errno);
    sl_err expected = is_done ? SL_OK : sys_errno == EIO ? SL_IO : SL_NO_SPACE;
    if (err != expected)
        fail_msg("%s: kind %d, number %u, errno %d gave %s", s->name, kind, n, sys_errno, sl_err_row(err)->name);
    if (is_done)
        expect_done(s, has_struck ? kind : SL_DISK_KINDS);
    else
        expect_failed(s, kind);
    store_case_reopen(&c, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    teardown(NULL);
    return has_struck;
}

static void each_operation_that_fails_is_told_and_leaves_nothing(void **state)
{
    unsigned struck = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++)
            for (int is_full = 0; is_full < 2; is_full++)
                for (unsigned n = 1; fail_at(&scenarios[i], kind, n, is_full ? ENOSPC : EIO); n++)
                    struck++;
    assert_in_range(struck, 300, 2000);
}

static void raw_errno_is_kept_for_the_log(void **state)
{
    static const struct {
        enum sl_disk_kind kind;
        unsigned n;
    } rows[] = {{SL_DISK_OPEN, 1}, {SL_DISK_WRITE, 1}, {SL_DISK_MKDIR, 1}, {SL_DISK_LINK, 1},
                {SL_DISK_OPEN, 3}, {SL_DISK_SYNC, 1},  {SL_DISK_SYNC, 2},  {SL_DISK_SYNC, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[32];
        snprintf(path, sizeof path, "%zu/b/c/x", i);
        fake_disk_fail(c.disk, rows[i].kind, rows[i].n, EUCLEAN);
        assert_int_equal(store_put(&c, path, 10, SL_CONFLICT_ERROR), SL_IO);
        assert_int_equal(c.object.sys_errno, EUCLEAN);
        fake_disk_disarm(c.disk);
    }
}

static void open_tells_a_failing_disk_from_an_absent_file(void **state)
{
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN, SL_DISK_STAT};
    assert_int_equal(store_put(&c, "f", 10, SL_CONFLICT_ERROR), SL_OK);
    for (size_t i = 0; i < 2; i++) {
        unsigned fds = scratch_count_fds();
        fake_disk_fail(c.disk, kinds[i], 1, EIO);
        assert_int_equal(store_look(&c, "f", &(uint64_t){0}), SL_IO);
        assert_int_equal(scratch_count_fds(), fds);
    }
}

/* ---- the order ---- */

/* Each operation is held until it was seen. */
static void expect_order(struct scenario s, const enum sl_disk_kind *expected, size_t count)
{
    unsigned started[SL_DISK_KINDS];
    struct meta_case m;
    assert_int_equal(store_begin(&c, 1 << 20), SL_OK);
    assert_int_equal(store_write(&c, 0, 4096), SL_OK);
    c.path = store_path(s.path);
    c.terms = (struct sl_store_terms){.conflict = s.conflict, .conditions = &s.conditions};
    c.terms.meta = meta_case_fill(&m, 1u << SL_HASH_SHA256, 'A');
    for (unsigned i = 0; i < SL_DISK_KINDS; i++)
        started[i] = fake_disk_started(c.disk, i);
    fake_disk_hold(c.disk, FAKE_DISK_ANY);
    c.calls = 0;
    sl_store_commit(&c.object, &c.path, 4096, &c.terms, store_case_on_object, &c);
    for (size_t i = 0; i < count; i++) {
        while (fake_disk_held(c.disk) == 0)
            store_case_turn(&c);
        if (fake_disk_started(c.disk, expected[i]) != ++started[expected[i]])
            fail_msg("%s: operation %zu is not of kind %d", s.path, i, expected[i]);
        fake_disk_release_one(c.disk);
    }
    fake_disk_release(c.disk);
    store_case_count(&c, &c.calls, 1);
    store_case_drain(&c);
    assert_int_equal(c.err, SL_OK);
    c.terms = (struct sl_store_terms){0};
}

static void steps_of_a_commit_come_in_the_order_that_is_promised(void **state)
{
    static const enum sl_disk_kind plain[] = {SL_DISK_TRUNCATE, SL_DISK_SETXATTR, SL_DISK_SYNC,  SL_DISK_OPEN,
                                              SL_DISK_LINK,     SL_DISK_SYNC,     SL_DISK_CLOSE, SL_DISK_CLOSE};
    static const enum sl_disk_kind overwrite[] = {SL_DISK_TRUNCATE, SL_DISK_SETXATTR, SL_DISK_SYNC,   SL_DISK_OPEN,
                                                  SL_DISK_STAT,     SL_DISK_LINK,     SL_DISK_RENAME, SL_DISK_SYNC,
                                                  SL_DISK_CLOSE,    SL_DISK_CLOSE};
    static const enum sl_disk_kind judged[] = {SL_DISK_TRUNCATE, SL_DISK_SETXATTR, SL_DISK_SYNC,     SL_DISK_OPEN,
                                               SL_DISK_OPEN,     SL_DISK_STAT,     SL_DISK_GETXATTR, SL_DISK_CLOSE,
                                               SL_DISK_LINK,     SL_DISK_RENAME,   SL_DISK_SYNC,     SL_DISK_CLOSE,
                                               SL_DISK_CLOSE};
    if (!c.root->has_meta || c.root->has_coarse_times) /* then there is one look more */
        skip();
#define ORDER(kinds, ...) \
    expect_order((struct scenario){.path = "f", __VA_ARGS__}, kinds, sizeof kinds / sizeof kinds[0])
    ORDER(plain, .conflict = SL_CONFLICT_ERROR);
    ORDER(overwrite, .conflict = SL_CONFLICT_OVERWRITE);
    ORDER(judged, .conflict = SL_CONFLICT_OVERWRITE, .conditions.if_match = ANY);
    meta_case_expect_etag(&c, "f", c.object.etag);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    ORDER(plain, .conflict = SL_CONFLICT_RENAME, .conditions.if_none_match = ANY);
}

/* ---- syncs that commits share ---- */

#define COMMITS 20u

struct commit {
    struct sl_store_object object;
    struct sl_path path;
    sl_err err;
    unsigned calls;
};

static unsigned answered;

static void on_begun(struct sl_store_object *object, sl_err err, void *ctx)
{
    assert_int_equal(err, SL_OK);
    ++*(unsigned *)ctx;
}

static void on_committed(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct commit *commit = ctx;
    commit->err = err;
    commit->calls++;
    answered++;
}

/* Turns until only what the fake holds back is in flight. */
static void settle(void)
{
    while (sl_disk_inflight(c.disk) > fake_disk_held(c.disk))
        disk_loop_turn(c.disk);
}

/* All are linked and wait for their folder; one sync of it is held, begun by the first. */
static void commit_all_up_to_the_folder(struct commit *commits, const char *format)
{
    unsigned begun = 0;
    answered = 0;
    for (unsigned i = 0; i < COMMITS; i++)
        sl_store_begin(c.store, &commits[i].object, 0, on_begun, &begun);
    disk_loop_count(c.disk, &begun, COMMITS);
    fake_disk_hold(c.disk, SL_DISK_SYNC);
    for (unsigned i = 0; i < COMMITS; i++) {
        char path[32];
        snprintf(path, sizeof path, format, i);
        commits[i].path = store_path(path);
        sl_store_commit(&commits[i].object, &commits[i].path, 0, &c.terms, on_committed, &commits[i]);
    }
    settle();
    assert_int_equal(fake_disk_held(c.disk), COMMITS); /* each one's own file */
    for (unsigned i = 0; i < COMMITS; i++)
        fake_disk_release_one(c.disk);
    settle();
    assert_int_equal(scratch_count(&c.scratch, "files/d"), COMMITS);
    assert_int_equal(answered, 0);
}

static void close_refused(struct sl_store_object *object)
{
    unsigned calls = 0;
    sl_store_abort(object, on_begun, &calls);
    disk_loop_count(c.disk, &calls, 1);
}

static void commits_into_one_folder_share_syncs_that_began_after_their_link(void **state)
{
    struct commit commits[COMMITS] = {0};
    assert_int_equal(store_put(&c, "d/x", 0, SL_CONFLICT_ERROR), SL_OK);
    assert_int_equal(unlink(scratch_path(&c.scratch, "files/d/x")), 0);
    unsigned before = fake_disk_started(c.disk, SL_DISK_SYNC);
    commit_all_up_to_the_folder(commits, "d/f%u");
    assert_int_equal(fake_disk_held(c.disk), 1);

    fake_disk_release_one(c.disk);
    settle();
    assert_int_equal(answered, 1); /* whoever was linked before the first sync began; the others' sync is held now */
    assert_int_equal(fake_disk_held(c.disk), 1);

    fake_disk_release(c.disk);
    disk_loop_drain(c.disk);
    assert_int_equal(answered, COMMITS);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_SYNC) - before, COMMITS + 2);
    for (unsigned i = 0; i < COMMITS; i++) {
        assert_int_equal(commits[i].err, SL_OK);
        assert_int_equal(commits[i].calls, 1);
    }
}

static void sync_of_the_folder_that_fails_fails_those_who_waited_for_it(void **state)
{
    struct commit commits[COMMITS] = {0};
    assert_int_equal(store_put(&c, "d/x", 0, SL_CONFLICT_ERROR), SL_OK);
    assert_int_equal(unlink(scratch_path(&c.scratch, "files/d/x")), 0);
    commit_all_up_to_the_folder(commits, "d/f%u");
    fake_disk_release_one(c.disk);
    settle();
    fake_disk_fail(c.disk, SL_DISK_SYNC, 1, EIO); /* the second, which the other 19 share */
    fake_disk_release(c.disk);
    store_case_count(&c, &answered, COMMITS);
    unsigned ok = 0;
    for (unsigned i = 0; i < COMMITS; i++) {
        assert_int_equal(commits[i].calls, 1);
        ok += commits[i].err == SL_OK;
        if (commits[i].err != SL_OK) {
            assert_int_equal(commits[i].err, SL_IO);
            close_refused(&commits[i].object);
        }
    }
    assert_int_equal(ok, 1);
    assert_int_equal(scratch_count(&c.scratch, "files/d"), 1);
}

static void durability_decides_what_is_synced(void **state)
{
    static const struct {
        enum sl_durability durability;
        unsigned syncs; /* of a file in two new folders */
    } rows[] = {{SL_DURABILITY_FULL, 1 + 2 + 1}, {SL_DURABILITY_DATA, 1}, {SL_DURABILITY_NONE, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[32];
        snprintf(path, sizeof path, "%zu/b/x", i);
        store_case_reopen(&c, (struct sl_store_options){.durability = rows[i].durability});
        unsigned before = fake_disk_started(c.disk, SL_DISK_SYNC);
        assert_int_equal(store_put(&c, path, 10, SL_CONFLICT_ERROR), SL_OK);
        assert_int_equal(fake_disk_started(c.disk, SL_DISK_SYNC) - before, rows[i].syncs);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(each_operation_that_fails_is_told_and_leaves_nothing),
        CASE(raw_errno_is_kept_for_the_log),
        CASE(open_tells_a_failing_disk_from_an_absent_file),
        CASE(steps_of_a_commit_come_in_the_order_that_is_promised),
        CASE(commits_into_one_folder_share_syncs_that_began_after_their_link),
        CASE(sync_of_the_folder_that_fails_fails_those_who_waited_for_it),
        CASE(durability_decides_what_is_synced),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
