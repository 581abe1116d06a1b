/* Fail at N for kept objects: every disk operation of keeping, going on, finishing, copying and dropping fails once, by
 * kind and number. What was answered is there after a restart, no state tells of bytes that are not, and nothing is
 * left over. And the order of the operations. */
#include "fake_disk.h"
#include "kept_case.h"

#include <errno.h>

#define FULL  ((struct sl_store_options){.durability = SL_DURABILITY_FULL})
#define FIRST ((size_t)10000)
#define BLOCK ((size_t)8192) /* where it is gone on with */
#define WHOLE (BLOCK + 100000)

static struct store_case c;
static struct kept_case k;

static int setup(void **state)
{
    store_case_open(&c, TEST_FAKE, FULL);
    c.root->has_direct = false; /* the tail is written in one piece with the rest here */
    if (!c.root->has_meta) {
        store_case_close(&c);
        skip();
    }
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static void restart(void)
{
    store_case_reopen(&c, FULL);
    c.root->has_direct = false;
}

/* ---- fail at N ---- */

struct scenario {
    const char *name;
    sl_err (*attempt)(const struct scenario *s);
    bool is_made, is_named, has_old, is_released; /* made before; a failure is let go, not dropped */
    bool is_old_kept;                             /* under KEPT_OTHER */
    enum sl_conflict conflict;
    const char *got; /* the name, NULL: "f" */
};

/* What was answered in this attempt. */
static struct {
    size_t kept; /* bytes */
    bool is_committed, is_drop_asked, is_dropped, is_removed;
} answered;

static const char *state_of_bytes(size_t bytes)
{
    static char text[32];
    snprintf(text, sizeof text, "%zu", bytes);
    return text;
}

static sl_err keep(size_t bytes)
{
    char state[32];
    snprintf(state, sizeof state, "%s", state_of_bytes(bytes));
    sl_err err = kept_keep(&c, KEPT_ID, state);
    if (err == SL_OK)
        answered.kept = bytes;
    return err;
}

/* Of an abort: told by what it leaves. */
static sl_err aborted(void)
{
    return c.object.kept == NULL ? SL_OK : sl_err_of_errno(c.object.sys_errno);
}

static void drop(void)
{
    bool is_kept = c.object.kept != NULL;
    store_abort(&c);
    answered.is_drop_asked = true; /* where only the folder was not synced, it may be gone all the same */
    answered.is_dropped = c.object.kept == NULL;
    assert_true(is_kept || answered.is_dropped);
}

/* As an owner does: what was kept before stays. */
static void let_go(const struct scenario *s)
{
    if (s->is_released && answered.kept > 0)
        kept_release(&c);
    else
        drop();
}

/* The object begins with as many of the pattern. */
static void expect_bytes(size_t len)
{
    static char pattern[WHOLE], bytes[WHOLE];
    assert_in_range(len, 0, WHOLE);
    store_pattern(pattern, 0, len);
    assert_int_equal(pread(c.object.fd, bytes, len, 0), len);
    assert_memory_equal(bytes, pattern, len);
}

static sl_err keep_twice(const struct scenario *s)
{
    sl_err err = store_begin(&c, SL_STORE_SIZE_UNKNOWN);
    if (err != SL_OK)
        return err;
    err = store_write(&c, 0, FIRST);
    if (err == SL_OK)
        err = keep(FIRST);
    if (err == SL_OK)
        err = store_write(&c, BLOCK, WHOLE - BLOCK);
    if (err == SL_OK)
        err = keep(WHOLE);
    if (err == SL_OK)
        kept_release(&c);
    else
        let_go(s);
    return err;
}

static sl_err commit(const struct scenario *s, size_t bytes)
{
    sl_err err = kept_commit(&c, &k, "f", bytes, s->conflict, KEPT_ID, "done");
    answered.is_committed = err == SL_OK;
    if (err != SL_OK)
        assert_string_equal(c.path.text, "f");
    return err;
}

static sl_err go_on_and_commit(const struct scenario *s)
{
    sl_err err = kept_resume(&c, &k, KEPT_ID);
    if (err != SL_OK)
        return err;
    assert_string_equal(k.state, state_of_bytes(FIRST));
    assert_false(c.object.is_linked);
    err = kept_expect(&c, WHOLE);
    if (err == SL_OK)
        err = store_write(&c, BLOCK, WHOLE - BLOCK);
    if (err == SL_OK)
        err = keep(WHOLE);
    if (err == SL_OK)
        err = commit(s, WHOLE);
    if (err != SL_OK)
        let_go(s);
    return err;
}

static sl_err commit_at_once(const struct scenario *s)
{
    sl_err err = store_begin(&c, WHOLE);
    if (err != SL_OK)
        return err;
    err = store_write(&c, 0, WHOLE);
    if (err == SL_OK)
        err = commit(s, WHOLE);
    if (err != SL_OK)
        drop();
    return err;
}

static sl_err copy_and_keep(const struct scenario *s)
{
    sl_err err = kept_resume(&c, &k, KEPT_ID);
    if (err != SL_OK)
        return err;
    struct sl_store_object from = c.object;
    err = store_begin(&c, SL_STORE_SIZE_UNKNOWN);
    if (err == SL_OK) {
        store_case_start(&c);
        sl_store_copy(&c.object, &from, 0, 0, FIRST, store_case_on_object, &c);
        err = store_case_finish(&c);
        if (err == SL_OK)
            err = kept_keep(&c, KEPT_OTHER, state_of_bytes(FIRST));
        if (err == SL_OK)
            expect_bytes(FIRST);
        store_abort(&c);
        if (err == SL_OK)
            err = aborted();
        if (kept_has(&c, KEPT_OTHER))
            assert_int_equal(unlink(kept_path(&c, KEPT_OTHER)), 0);
    }
    c.object = from;
    kept_release(&c);
    return err;
}

static sl_err go_on_and_drop(const struct scenario *s)
{
    sl_err err = kept_resume(&c, &k, KEPT_ID);
    if (err != SL_OK)
        return err;
    drop();
    return aborted();
}

/* The file stays. */
static sl_err drop_finished(const struct scenario *s)
{
    return go_on_and_drop(s);
}

/* A crash came before the state that tells of the name. */
static sl_err find_itself(const struct scenario *s)
{
    sl_err err = kept_resume(&c, &k, KEPT_ID);
    if (err != SL_OK)
        return err;
    assert_true(c.object.is_linked);
    err = commit(s, 0);
    if (err != SL_OK)
        kept_release(&c);
    return err;
}

static sl_err remove_it(const struct scenario *s)
{
    sl_err err = store_remove(&c, "f", NULL);
    answered.is_removed = !scratch_has(&c.scratch, "files/f"); /* also where only the folder was not synced */
    assert_true(err != SL_OK || answered.is_removed);
    return err;
}

static void prepare(const struct scenario *s)
{
    memset(&answered, 0, sizeof answered);
    if (s->has_old)
        scratch_put(&c.scratch, "files/f", "old");
    if (s->is_old_kept) {
        char other[256];
        snprintf(other, sizeof other, "%s", kept_path(&c, KEPT_OTHER));
        assert_int_equal(link(scratch_path(&c.scratch, "files/f"), other), 0);
        assert_int_equal(setxattr(other, SL_STATE_ATTRIBUTE, KEPT_OTHER "done", 30, 0), 0);
    }
    if (!s->is_made)
        return;
    kept_make(&c, KEPT_ID, FIRST, state_of_bytes(FIRST));
    answered.kept = FIRST;
    if (s->attempt == find_itself || s->attempt == remove_it || s->attempt == drop_finished) {
        assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
        assert_int_equal(kept_commit(&c, &k, "f", FIRST, SL_CONFLICT_ERROR, KEPT_ID, state_of_bytes(FIRST)), SL_OK);
    }
}

static size_t file_size(const char *path)
{
    uint64_t size;
    return store_look(&c, path, &size) == SL_OK ? (size_t)size : 0;
}

/* Bytes that the state promises are there. */
static void expect_kept(const struct scenario *s, enum sl_disk_kind kind)
{
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    bool is_done = strcmp(k.state, "done") == 0;
    size_t promised = is_done ? c.object.size : (size_t)atol(k.state);
    if (is_done)
        assert_true(c.object.is_linked);
    if (promised < answered.kept || promised > c.object.size)
        fail_msg("%s: kind %d, state %s of %zu answered, %ju there", s->name, kind, k.state, answered.kept,
                 (uintmax_t)c.object.size);
    expect_bytes(promised);
    kept_release(&c);
}

/* Finished: as it is told. Else: as it was before, but where only the sync of the folder failed behind a rename. */
static void expect_file(const struct scenario *s, enum sl_disk_kind kind)
{
    const char *got = s->got != NULL ? s->got : "f";
    bool was_there = s->attempt == find_itself || s->attempt == remove_it || s->attempt == drop_finished;
    if (answered.is_removed)
        assert_int_equal(file_size("f"), 0);
    else if (was_there)
        store_expect(&c, "f", FIRST);
    else if (answered.is_committed)
        store_expect(&c, got, WHOLE);
    else if (s->has_old && s->conflict == SL_CONFLICT_OVERWRITE && kind == SL_DISK_SYNC && file_size("f") != 3)
        store_expect(&c, "f", WHOLE);
    else if (s->has_old)
        scratch_expect(&c.scratch, "files/f", "old", 3);
    else
        assert_int_equal(scratch_count(&c.scratch, "files"), 0);
    if (answered.is_committed && !was_there && file_size(got) == WHOLE)
        assert_int_equal(c.reader.meta.digests.set, kind == SL_DISK_SETXATTR ? c.reader.meta.digests.set : 1u);
}

/* What was replaced has lost its id; it may stay where something failed, and until then. */
static void expect_old_id(const struct scenario *s, bool has_struck)
{
    bool is_there = s->is_old_kept && kept_has(&c, KEPT_OTHER);
    if (!has_struck)
        assert_false(is_there);
    if (is_there)
        assert_int_equal(unlink(kept_path(&c, KEPT_OTHER)), 0);
    else if (s->is_old_kept)
        assert_int_not_equal(file_size("f"), 3);
}

/* What may fail and be no failure of the whole. */
static bool is_forgiven(const struct scenario *s, enum sl_disk_kind kind, unsigned n)
{
    bool is_note = kind == SL_DISK_SETXATTR;
    return kind == SL_DISK_CLOSE || kind == SL_DISK_REMOVEXATTR || kind == SL_DISK_UNLINK ||
           kind == SL_DISK_TRUNCATE || is_note || (kind == SL_DISK_LINK && s->attempt == commit_at_once) ||
           kind == SL_DISK_STAT || kind == SL_DISK_OPEN || kind == SL_DISK_GETXATTR || kind == SL_DISK_ALLOCATE ||
           kind == SL_DISK_STATFS;
}

static bool fail_at(const struct scenario *s, enum sl_disk_kind kind, unsigned n, int sys_errno)
{
    setup(NULL);
    if (s->is_named)
        store_case_force_named(&c);
    prepare(s);
    unsigned fds = scratch_count_fds(), started = fake_disk_started(c.disk, kind);
    fake_disk_fail(c.disk, kind, n, sys_errno);
    sl_err err = s->attempt(s);
    bool has_struck = fake_disk_started(c.disk, kind) - started >= n;
    fake_disk_disarm(c.disk);
    if (scratch_count_fds() != fds)
        fail_msg("%s: kind %d, number %u: an fd is left", s->name, kind, n);
    if (!has_struck && err != SL_OK)
        fail_msg("%s: %s", s->name, sl_err_row(err)->name);
    if (has_struck && err == SL_OK && !is_forgiven(s, kind, n))
        fail_msg("%s: kind %d, number %u, errno %d is not told", s->name, kind, n, sys_errno);
    if (err != SL_OK)
        assert_int_equal(err, sys_errno == EIO ? SL_IO : SL_NO_SPACE);

    restart();
    if (kept_has(&c, KEPT_ID))
        expect_kept(s, has_struck ? kind : SL_DISK_KINDS);
    else if (!answered.is_drop_asked && !answered.is_removed && answered.kept > 0)
        fail_msg("%s: kind %d, number %u: lost", s->name, kind, n);
    if (answered.is_dropped)
        assert_false(kept_has(&c, KEPT_ID));
    expect_file(s, has_struck ? kind : SL_DISK_KINDS);
    expect_old_id(s, has_struck);
    if (kept_has(&c, KEPT_ID))
        kept_drop(&c, &k, KEPT_ID);
    teardown(NULL); /* nothing else is in uploads/ */
    return has_struck;
}

static const struct scenario scenarios[] = {
    {"keep", .attempt = keep_twice},
    {"keep, released", keep_twice, .is_released = true},
    {"keep, named", keep_twice, .is_named = true, .is_released = true},
    {"go on", go_on_and_commit, .is_made = true},
    {"go on, released", go_on_and_commit, .is_made = true, .is_released = true},
    {"go on, named", go_on_and_commit, .is_made = true, .is_named = true, .is_released = true},
    {"replace", go_on_and_commit, .is_made = true, .has_old = true, .conflict = SL_CONFLICT_OVERWRITE},
    {"replace, released", go_on_and_commit, .is_made = true, .has_old = true, .is_released = true,
     .conflict = SL_CONFLICT_OVERWRITE},
    {"replace, named", go_on_and_commit, .is_made = true, .has_old = true, .is_released = true, .is_named = true,
     .conflict = SL_CONFLICT_OVERWRITE},
    {"replace a kept one", go_on_and_commit, .is_made = true, .has_old = true, .is_released = true,
     .is_old_kept = true, .conflict = SL_CONFLICT_OVERWRITE},
    {"rename", go_on_and_commit, .is_made = true, .has_old = true, .is_released = true,
     .conflict = SL_CONFLICT_RENAME, .got = "f-1"},
    {"at once", .attempt = commit_at_once},
    {"at once, named", commit_at_once, .is_named = true},
    {"at once, replace", commit_at_once, .has_old = true, .conflict = SL_CONFLICT_OVERWRITE},
    {"at once, replace, named", commit_at_once, .has_old = true, .is_named = true, .conflict = SL_CONFLICT_OVERWRITE},
    {"copy", copy_and_keep, .is_made = true},
    {"drop", go_on_and_drop, .is_made = true},
    {"drop a finished one", drop_finished, .is_made = true},
    {"find itself", find_itself, .is_made = true},
    {"remove", remove_it, .is_made = true},
};

static bool can_be_full(enum sl_disk_kind kind)
{
    return kind == SL_DISK_ALLOCATE || kind == SL_DISK_WRITE || kind == SL_DISK_LINK || kind == SL_DISK_SETXATTR;
}

static void each_operation_that_fails_loses_nothing_that_was_answered(void **state)
{
    unsigned struck = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++)
            for (int is_full = 0; is_full <= can_be_full(kind); is_full++)
                for (unsigned n = 1; fail_at(&scenarios[i], kind, n, is_full ? ENOSPC : EIO); n++)
                    struck++;
    assert_in_range(struck, 200, 2000);
}

/* ---- single faults ---- */

/* Else it could not be told from a backup's link, and would be written to after a crash. */
static void commit_of_a_kept_one_that_cannot_be_described_gets_no_name(void **state)
{
    kept_make(&c, KEPT_ID, FIRST, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    fake_disk_fail(c.disk, SL_DISK_SETXATTR, 1, ENOSPC);
    assert_int_equal(kept_commit(&c, &k, "f", FIRST, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_NO_SPACE);
    assert_false(scratch_has(&c.scratch, "files/f"));
    store_abort(&c);
}

static void resume_whose_sync_fails_tells_nothing(void **state)
{
    kept_make(&c, KEPT_ID, FIRST, "state");
    fake_disk_fail(c.disk, SL_DISK_SYNC, 1, EIO);
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_IO);
    assert_int_equal(c.object.sys_errno, EIO);
    kept_drop(&c, &k, KEPT_ID);
}

static void keep_whose_folder_fails_is_kept_by_the_next(void **state)
{
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    fake_disk_fail(c.disk, SL_DISK_SYNC, 2, EIO);
    assert_int_equal(kept_keep(&c, KEPT_ID, "one"), SL_IO);
    assert_int_equal(c.object.sys_errno, EIO);
    assert_string_equal(c.object.kept, KEPT_ID);
    unsigned before = fake_disk_started(c.disk, SL_DISK_SYNC);
    assert_int_equal(kept_keep(&c, KEPT_ID, "two"), SL_OK);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_SYNC) - before, 3); /* bytes, file, folder */
    assert_int_equal(kept_keep(&c, KEPT_ID, "three"), SL_OK);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_SYNC) - before, 5);
    store_abort(&c);
}

static void expect_that_fails_gives_back_what_it_took(void **state)
{
    kept_make(&c, KEPT_ID, FIRST, "state");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    fake_disk_fail(c.disk, SL_DISK_ALLOCATE, 1, ENOSPC);
    unsigned before = fake_disk_started(c.disk, SL_DISK_TRUNCATE);
    assert_int_equal(kept_expect(&c, 1 << 20), SL_NO_SPACE);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_TRUNCATE) - before, 1);
    fake_disk_fail(c.disk, SL_DISK_ALLOCATE, 1, EOPNOTSUPP);
    assert_int_equal(kept_expect(&c, 1 << 20), SL_OK);
    kept_release(&c);
    kept_expect_state(&c, &k, KEPT_ID, "state");
    assert_int_equal(c.object.size, FIRST);
    store_abort(&c);
}

/* ---- the order ---- */

/* Not a kind: a SYNC of the data only, where SL_DISK_SYNC stands for one of all. */
#define DATA_SYNC (SL_DISK_KINDS + 1)

/* Each operation is held until it was seen. */
static void expect_order(const char *what, const unsigned *expected, size_t count, void (*start)(const char *state),
                         const char *state)
{
    unsigned started[SL_DISK_KINDS], all = 0, data_syncs = fake_disk_started_data_syncs(c.disk);
    for (unsigned i = 0; i < SL_DISK_KINDS; i++)
        started[i] = fake_disk_started(c.disk, i);
    fake_disk_hold(c.disk, FAKE_DISK_ANY);
    c.calls = 0;
    start(state);
    for (size_t i = 0; i < count; i++) {
        while (fake_disk_held(c.disk) == 0)
            store_case_turn(&c);
        unsigned kind = expected[i] == DATA_SYNC ? SL_DISK_SYNC : expected[i];
        data_syncs += expected[i] == DATA_SYNC;
        if (fake_disk_started(c.disk, kind) != ++started[kind] || fake_disk_started_data_syncs(c.disk) != data_syncs)
            fail_msg("%s: operation %zu is not of kind %u", what, i, expected[i]);
        fake_disk_release_one(c.disk);
    }
    fake_disk_release(c.disk);
    store_case_count(&c, &c.calls, 1);
    store_case_drain(&c);
    assert_int_equal(c.err, SL_OK);
    for (unsigned i = 0; i < SL_DISK_KINDS; i++)
        all += fake_disk_started(c.disk, i) - started[i];
    assert_int_equal(all, 0); /* and no more */
}

static void start_keep(const char *state)
{
    sl_store_keep(&c.object, KEPT_ID, sl_bytes_of(state), store_case_on_object, &c);
}

static void start_commit(const char *state)
{
    c.path = store_path("f");
    c.terms = (struct sl_store_terms){
        .meta = meta_case_fill(&k.m, 1u << SL_HASH_SHA256, 'K'), .keep_id = KEPT_ID, .state = sl_bytes_of(state)};
    sl_store_commit(&c.object, &c.path, FIRST, &c.terms, store_case_on_object, &c);
}

#define ORDER(what, start, state, ...)                                           \
    do {                                                                         \
        static const unsigned kinds[] = {__VA_ARGS__};                           \
        expect_order(what, kinds, sizeof kinds / sizeof kinds[0], start, state); \
    } while (0)

static void begin_and_write(enum sl_durability durability)
{
    store_case_reopen(&c, (struct sl_store_options){.durability = durability});
    c.root->has_direct = false;
    assert_int_equal(store_begin(&c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    assert_int_equal(store_write(&c, 0, FIRST), SL_OK);
}

static void steps_of_keeping_come_in_the_order_that_is_promised(void **state)
{
    begin_and_write(SL_DURABILITY_FULL);
    ORDER("first", start_keep, "1", SL_DISK_SETXATTR, SL_DISK_SYNC, SL_DISK_LINK, SL_DISK_SYNC);
    ORDER("again", start_keep, "2", DATA_SYNC, SL_DISK_SETXATTR, SL_DISK_SYNC);
    store_abort(&c);
    begin_and_write(SL_DURABILITY_DATA);
    ORDER("data, first", start_keep, "1", SL_DISK_SETXATTR, DATA_SYNC, SL_DISK_LINK);
    ORDER("data, again", start_keep, "2", DATA_SYNC, SL_DISK_SETXATTR);
    store_abort(&c);
    begin_and_write(SL_DURABILITY_NONE);
    ORDER("none, first", start_keep, "1", SL_DISK_SETXATTR, SL_DISK_LINK);
    ORDER("none, again", start_keep, "2", SL_DISK_SETXATTR);
    store_abort(&c);
}

static void start_resume(const char *state)
{
    sl_store_resume(c.store, &c.object, KEPT_ID, k.state, store_case_on_object, &c);
}

static void start_look(const char *state)
{
    sl_store_look(c.store, &c.object, KEPT_ID, k.state, store_case_on_object, &c);
}

static void start_abort(const char *state)
{
    sl_store_abort(&c.object, store_case_on_object, &c);
}

static void start_expire(const char *state)
{
    sl_store_expire(&c.object, store_case_on_object, &c);
}

/* What a process that was killed had not synced is synced before it is told; so is its id, before the next offset. */
static void steps_of_going_on_make_durable_what_is_told(void **state)
{
    kept_make(&c, KEPT_ID, FIRST, "1");
    ORDER("full", start_resume, "", SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_SYNC, SL_DISK_GETXATTR);
    ORDER("full, first", start_keep, "2", DATA_SYNC, SL_DISK_SETXATTR, SL_DISK_SYNC, SL_DISK_SYNC);
    ORDER("full, again", start_keep, "3", DATA_SYNC, SL_DISK_SETXATTR, SL_DISK_SYNC);
    kept_release(&c);
    ORDER("look", start_look, "", SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_GETXATTR);
    kept_release(&c);
    store_case_reopen(&c, (struct sl_store_options){.durability = SL_DURABILITY_DATA});
    ORDER("data", start_resume, "", SL_DISK_OPEN, SL_DISK_STAT, DATA_SYNC, SL_DISK_GETXATTR);
    kept_release(&c);
    store_case_reopen(&c, (struct sl_store_options){.durability = SL_DURABILITY_NONE});
    ORDER("none", start_resume, "", SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_GETXATTR);
    assert_int_equal(kept_commit(&c, &k, "f", FIRST, SL_CONFLICT_ERROR, KEPT_ID, "done"), SL_OK);
    restart();
    ORDER("finished", start_resume, "", SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_UNLINK, SL_DISK_GETXATTR,
          SL_DISK_GETXATTR);
    kept_release(&c);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
}

static void steps_of_dropping_make_it_durable_but_for_what_expires(void **state)
{
    kept_make(&c, KEPT_ID, FIRST, "1");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    ORDER("full", start_abort, "", SL_DISK_UNLINK, SL_DISK_SYNC, SL_DISK_CLOSE);
    assert_null(c.object.kept);
    kept_make(&c, KEPT_ID, FIRST, "1");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    ORDER("expired", start_expire, "", SL_DISK_UNLINK, SL_DISK_CLOSE);
    assert_null(c.object.kept);
    begin_and_write(SL_DURABILITY_DATA);
    assert_int_equal(kept_keep(&c, KEPT_ID, "1"), SL_OK);
    ORDER("data", start_abort, "", SL_DISK_UNLINK, SL_DISK_STAT, SL_DISK_TRUNCATE, SL_DISK_CLOSE);
    assert_null(c.object.kept);
    restart();
    kept_make(&c, KEPT_ID, FIRST, "1");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    fake_disk_fail(c.disk, SL_DISK_SYNC, 1, EIO);
    store_abort(&c);
    assert_non_null(c.object.kept); /* it may be back after a crash */
    assert_int_equal(c.object.sys_errno, EIO);
}

static void steps_of_finishing_come_in_the_order_that_is_promised(void **state)
{
    if (c.root->has_coarse_times) /* then there is one look more */
        skip();
    begin_and_write(SL_DURABILITY_FULL);
    ORDER("at once", start_commit, "done", SL_DISK_SETXATTR, SL_DISK_SYNC, SL_DISK_OPEN, SL_DISK_LINK, SL_DISK_SYNC,
          SL_DISK_SETXATTR, SL_DISK_LINK, SL_DISK_CLOSE, SL_DISK_CLOSE);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    kept_make(&c, KEPT_ID, FIRST, "1");
    assert_int_equal(kept_resume(&c, &k, KEPT_ID), SL_OK);
    ORDER("resumed", start_commit, "done", SL_DISK_STAT, SL_DISK_SETXATTR, SL_DISK_SYNC, SL_DISK_OPEN, SL_DISK_LINK,
          SL_DISK_SYNC, SL_DISK_SETXATTR, SL_DISK_CLOSE, SL_DISK_CLOSE);
    assert_int_equal(store_remove(&c, "f", NULL), SL_OK);
    c.terms = (struct sl_store_terms){0};
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(each_operation_that_fails_loses_nothing_that_was_answered),
        CASE(commit_of_a_kept_one_that_cannot_be_described_gets_no_name),
        CASE(resume_whose_sync_fails_tells_nothing),
        CASE(keep_whose_folder_fails_is_kept_by_the_next),
        CASE(expect_that_fails_gives_back_what_it_took),
        CASE(steps_of_keeping_come_in_the_order_that_is_promised),
        CASE(steps_of_going_on_make_durable_what_is_told),
        CASE(steps_of_dropping_make_it_durable_but_for_what_expires),
        CASE(steps_of_finishing_come_in_the_order_that_is_promised),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
