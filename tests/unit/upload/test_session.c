/* The state machine of one file: its way forward, and every way out of every state. */
#include "session_case.h"

#include <errno.h>

/* ---- leave, in each state ---- */

static void reach_idle(void)
{
}

static void reach_checking(void)
{
    fake_disk_hold(u.disk, SL_DISK_OPEN);
    assert_int_equal(start(SL_STORE_SIZE_UNKNOWN, SL_CONFLICT_ERROR), SL_OK);
}

static void reach_opening(void)
{
    fake_disk_hold(u.disk, SL_DISK_OPEN);
    assert_int_equal(start(SL_STORE_SIZE_UNKNOWN, SL_CONFLICT_OVERWRITE), SL_OK);
}

static void reach_receiving(void)
{
    open_for(SL_CONFLICT_ERROR);
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    assert_true(feed(4096, false));
    assert_true(feed(4096, false));
}

static void reach_flushing(void)
{
    reach_receiving();
    sl_session_finish(&session);
}

static void reach_staged(void)
{
    stage(5000);
}

static void reach_committing(void)
{
    stage(5000);
    fake_disk_hold(u.disk, SL_DISK_LINK);
    upload_commit(&session);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

static void reach_done(void)
{
    stage(5000);
    upload_commit(&session);
    until(SL_SESSION_DONE);
}

static void reach_failed(void)
{
    open_for(SL_CONFLICT_ERROR);
    fake_disk_fail(u.disk, SL_DISK_WRITE, 1, EIO);
    assert_true(feed(4096, false));
    until(SL_SESSION_FAILED);
    assert_int_equal(session.err, SL_IO);
}

static void reach_leaving(void)
{
    open_for(SL_CONFLICT_ERROR);
    fake_disk_hold(u.disk, SL_DISK_CLOSE);
    sl_session_leave(&session);
    until(SL_SESSION_LEAVING);
}

static void reach_gone(void)
{
    open_for(SL_CONFLICT_ERROR);
    sl_session_leave(&session);
    until(SL_SESSION_GONE);
}

static const struct {
    void (*reach)(void);
    enum sl_session_state end;
    unsigned changes; /* after leave */
} leaves[SL_SESSION_STATES] = {
    [SL_SESSION_IDLE] = {reach_idle, SL_SESSION_IDLE, 0},
    [SL_SESSION_CHECKING] = {reach_checking, SL_SESSION_GONE, 1},
    [SL_SESSION_OPENING] = {reach_opening, SL_SESSION_GONE, 1},
    [SL_SESSION_RECEIVING] = {reach_receiving, SL_SESSION_GONE, 1},
    [SL_SESSION_FLUSHING] = {reach_flushing, SL_SESSION_GONE, 1},
    [SL_SESSION_STAGED] = {reach_staged, SL_SESSION_GONE, 1},
    [SL_SESSION_COMMITTING] = {reach_committing, SL_SESSION_DONE, 1}, /* too late: the name is there */
    [SL_SESSION_DONE] = {reach_done, SL_SESSION_DONE, 0},
    [SL_SESSION_FAILED] = {reach_failed, SL_SESSION_GONE, 1},
    [SL_SESSION_LEAVING] = {reach_leaving, SL_SESSION_GONE, 1},
    [SL_SESSION_GONE] = {reach_gone, SL_SESSION_GONE, 0},
};

static void expect_end(enum sl_session_state end, unsigned more_changes, unsigned before)
{
    fake_disk_release(u.disk);
    until(end);
    upload_settle(&u);
    assert_int_equal(session.state, end);
    assert_int_equal(changes - before, more_changes);
    assert_int_equal(u.intake.files, 0);
    assert_int_equal(scratch_has(&u.scratch, "files/f"), end == SL_SESSION_DONE);
    assert_int_equal(sl_session_is_over(&session), end != SL_SESSION_IDLE);
}

static void leave_in_each_state_gives_everything_back(void **state)
{
    for (enum sl_session_state at = 0; at < SL_SESSION_STATES; at++) {
        setup(NULL);
        leaves[at].reach();
        assert_int_equal(session.state, at);
        unsigned before = changes;
        sl_session_leave(&session);
        sl_session_leave(&session);
        assert_int_equal(changes, before); /* in a later turn */
        expect_end(leaves[at].end, leaves[at].changes, before);
        teardown(NULL);
    }
}

static void leave_with_what_was_under_way_failing_is_gone_without_a_word_more(void **state)
{
    static const struct {
        enum sl_session_state at;
        enum sl_disk_kind fails;
    } rows[] = {{SL_SESSION_CHECKING, SL_DISK_OPEN},   {SL_SESSION_OPENING, SL_DISK_OPEN},
                {SL_SESSION_RECEIVING, SL_DISK_WRITE}, {SL_SESSION_FLUSHING, SL_DISK_WRITE},
                {SL_SESSION_COMMITTING, SL_DISK_LINK}, {SL_SESSION_LEAVING, SL_DISK_CLOSE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setup(NULL);
        leaves[rows[i].at].reach();
        unsigned before = changes;
        sl_session_leave(&session);
        fake_disk_fail(u.disk, rows[i].fails, 1, EIO);
        expect_end(SL_SESSION_GONE, 1, before);
        teardown(NULL);
    }
}

/* The owner frees the session when it is gone: nothing of it may still lie in the mailbox then. */
static void leave_is_not_over_before_its_mail_is_read(void **state)
{
    u.intake.size_max = 4096;
    open_for(SL_CONFLICT_ERROR);
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    assert_true(feed(4096, false));
    assert_false(feed(4096, false)); /* posts: FAILED in a later turn */
    sl_session_leave(&session);
    fake_disk_release(u.disk);
    while (sl_disk_inflight(u.disk) > 0) { /* the mailbox is not run */
        sl_disk_flush(u.disk);
        sl_disk_run(u.disk);
    }
    assert_int_not_equal(session.state, SL_SESSION_GONE);
    until(SL_SESSION_GONE);
}

/* ---- failures ---- */

static void open_that_fails_is_told(void **state)
{
    fake_disk_fail(u.disk, SL_DISK_OPEN, 1, EMFILE);
    assert_int_equal(start(0, SL_CONFLICT_OVERWRITE), SL_OK);
    leave_failed(SL_TOO_MANY_FILES);
}

static void space_that_is_not_there_is_told_before_the_body(void **state)
{
    fake_disk_fail(u.disk, SL_DISK_ALLOCATE, 1, ENOSPC);
    assert_int_equal(start(1 << 20, SL_CONFLICT_OVERWRITE), SL_OK);
    leave_failed(SL_NO_SPACE);
    assert_int_equal(changes, 2);
}

static void write_that_fails_late_is_told_at_once_and_first_reason_stays(void **state)
{
    open_for(SL_CONFLICT_ERROR);
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    assert_true(feed(4096, false));
    assert_true(feed(4096, false));
    sl_session_finish(&session);
    fake_disk_fail(u.disk, SL_DISK_WRITE, 1, ENOSPC);
    fake_disk_fail(u.disk, SL_DISK_WRITE, 2, EIO);
    fake_disk_release_one(u.disk);
    until(SL_SESSION_FAILED);
    assert_int_equal(session.err, SL_NO_SPACE);
    sl_session_leave(&session);
    upload_settle(&u);
    assert_int_equal(session.state, SL_SESSION_FAILED); /* a piece is still in flight */
    fake_disk_release(u.disk);
    until(SL_SESSION_GONE);
    assert_int_equal(session.err, SL_NO_SPACE);
}

static void break_ends_a_body_and_nothing_else(void **state)
{
    stage(5000);
    unsigned before = changes;
    sl_session_break(&session, SL_IO);
    upload_settle(&u);
    assert_int_equal(changes, before);
    upload_commit(&session);
    until(SL_SESSION_DONE);
    assert_int_equal(session.err, SL_OK);

    changes = 0;
    upload_name(&session, "g");
    open_for(SL_CONFLICT_ERROR);
    sl_session_break(&session, SL_INCOMPLETE);
    assert_int_equal(session.state, SL_SESSION_RECEIVING); /* in a later turn */
    leave_failed(SL_INCOMPLETE);
}

static void feed_after_a_failure_takes_nothing(void **state)
{
    reach_failed();
    assert_false(feed(4096, true));
    sl_session_finish(&session); /* ignored */
    upload_settle(&u);
    leave_failed(SL_IO);
}

static void commit_that_fails_is_told_and_the_name_is_absent(void **state)
{
    static const struct {
        enum sl_disk_kind kind;
        int sys_errno;
        sl_err err;
    } rows[] = {{SL_DISK_LINK, EIO, SL_IO},        {SL_DISK_LINK, ENOSPC, SL_NO_SPACE},
                {SL_DISK_LINK, EEXIST, SL_EXISTS}, {SL_DISK_OPEN, EMFILE, SL_TOO_MANY_FILES},
                {SL_DISK_OPEN, ELOOP, SL_OUTSIDE}, {SL_DISK_LINK, EROFS, SL_READ_ONLY}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setup(NULL);
        stage(5000);
        fake_disk_fail(u.disk, rows[i].kind, 1, rows[i].sys_errno);
        upload_commit(&session);
        leave_failed(rows[i].err);
        assert_false(scratch_has(&u.scratch, "files/f"));
        teardown(NULL);
    }
}

/* ---- limits and conditions ---- */

static void size_limit_is_told_before_the_body_or_where_it_is_passed(void **state)
{
    u.intake.size_max = 8192;
    assert_int_equal(start(8193, SL_CONFLICT_ERROR), SL_TOO_LARGE);
    assert_int_equal(u.intake.files, 0);
    assert_int_equal(session.state, SL_SESSION_IDLE);
    open_for(SL_CONFLICT_ERROR);
    assert_true(feed(8192, false)); /* exactly as much is fine */
    unsigned before = changes;
    assert_false(feed(1, true));
    assert_int_equal(changes, before);
    leave_failed(SL_TOO_LARGE);
}

static void size_limit_itself_is_allowed(void **state)
{
    u.intake.size_max = 5000;
    assert_int_equal(start(5000, SL_CONFLICT_ERROR), SL_OK);
    until(SL_SESSION_RECEIVING);
    assert_true(feed(5000, true));
    sl_session_finish(&session);
    until(SL_SESSION_STAGED);
    upload_commit(&session);
    until(SL_SESSION_DONE);
    upload_expect(&u, "f", 0, 5000, &session.digests);
}

static void files_max_counts_those_that_are_open(void **state)
{
    u.intake.files_max = 1;
    open_for(SL_CONFLICT_ERROR);
    struct sl_session second;
    upload_name(&second, "g");
    struct sl_session_plan plan = {.conflict = SL_CONFLICT_ERROR};
    assert_int_equal(sl_session_open(&second, &u.intake, &plan, on_change, NULL), SL_TOO_MANY_FILES);
    assert_int_equal(second.state, SL_SESSION_IDLE);
    sl_session_leave(&session);
    until(SL_SESSION_GONE);
    upload_name(&session, "g");
    changes = 0;
    stage(1);
    upload_commit(&session);
    until(SL_SESSION_DONE);
}

static void conflict_rule_names_the_file(void **state)
{
    static const struct {
        enum sl_conflict conflict;
        const char *path;
        bool has_replaced;
    } rows[] = {{SL_CONFLICT_OVERWRITE, "f", true}, {SL_CONFLICT_RENAME, "f-1", false}};
    for (size_t i = 0; i < 2; i++) {
        setup(NULL);
        scratch_put(&u.scratch, "files/f", "old");
        open_for(rows[i].conflict);
        assert_true(feed(5000, true));
        sl_session_finish(&session);
        until(SL_SESSION_STAGED);
        upload_commit(&session);
        until(SL_SESSION_DONE);
        assert_string_equal(session.path.text, rows[i].path);
        assert_int_equal(session.has_replaced, rows[i].has_replaced);
        upload_expect(&u, rows[i].path, 0, 5000, &session.digests);
        teardown(NULL);
    }
}

/* ---- what it adds up to ---- */

static void digests_and_sums_are_those_of_the_bytes(void **state)
{
    static const sl_hash_set sets[] = {0, SHA256_ONLY, (1u << SL_HASH_MD5) | (1u << SL_HASH_CRC32C),
                                       (1u << SL_HASH_ALGS) - 1};
    static const size_t lens[][4] = {{0},           {1},       {16384},         {16385},
                                     {4096, 16384}, {1 << 20}, {1 << 20, 4097}, {8192, 16384, 1 << 20, 1}};
    for (size_t set = 0; set < sizeof sets / sizeof sets[0]; set++) {
        for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
            setup(NULL);
            u.intake.digests = sets[set];
            open_for(SL_CONFLICT_ERROR);
            uint64_t sum = 0;
            for (size_t k = 0; k < 4 && lens[i][k] > 0; k++) {
                assert_true(feed(lens[i][k], k == 3 || lens[i][k + 1] == 0));
                sum += lens[i][k];
            }
            sl_session_finish(&session);
            until(SL_SESSION_STAGED);
            assert_int_equal(session.size, sum);
            assert_int_equal(session.written, sum);
            assert_int_equal(session.hashed, sets[set] == 0 ? 0 : sum);
            upload_commit(&session);
            until(SL_SESSION_DONE);
            assert_int_equal(changes, 3); /* RECEIVING, STAGED, DONE */
            upload_expect(&u, "f", 0, sum, &session.digests);
            teardown(NULL);
        }
    }
}

static void leave_while_the_lane_is_busy_waits_for_it(void **state)
{
    u.intake.digests = (1u << SL_HASH_ALGS) - 1;
    open_for(SL_CONFLICT_ERROR);
    assert_true(feed(1 << 20, false));
    assert_true(feed(4096, false));
    sl_session_finish(&session);
    sl_session_leave(&session);
    until(SL_SESSION_GONE);
    assert_int_equal(changes, 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(leave_in_each_state_gives_everything_back),
        cmocka_unit_test(leave_with_what_was_under_way_failing_is_gone_without_a_word_more),
        CASE(leave_is_not_over_before_its_mail_is_read),
        CASE(open_that_fails_is_told),
        CASE(space_that_is_not_there_is_told_before_the_body),
        CASE(write_that_fails_late_is_told_at_once_and_first_reason_stays),
        CASE(break_ends_a_body_and_nothing_else),
        CASE(feed_after_a_failure_takes_nothing),
        cmocka_unit_test(commit_that_fails_is_told_and_the_name_is_absent),
        CASE(size_limit_is_told_before_the_body_or_where_it_is_passed),
        CASE(size_limit_itself_is_allowed),
        CASE(files_max_counts_those_that_are_open),
        cmocka_unit_test(conflict_rule_names_the_file),
        cmocka_unit_test(digests_and_sums_are_those_of_the_bytes),
        CASE(leave_while_the_lane_is_busy_waits_for_it),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
