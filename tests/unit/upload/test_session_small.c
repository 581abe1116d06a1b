/* A small file: it is made with its first piece, mostly its only one, and nothing is asked of the disk before. */
#include "session_case.h"

#include <errno.h>

static const struct sl_session_plan small_plan = {
    .expected = SL_STORE_SIZE_UNKNOWN, .conflict = SL_CONFLICT_ERROR, .is_small = true};

/* RECEIVING at once, without a word and without the disk. */
static void open_small(void)
{
    assert_int_equal(start_plan(small_plan), SL_OK);
    assert_int_equal(session.state, SL_SESSION_RECEIVING);
    assert_int_equal(fake_disk_started(u.disk, FAKE_DISK_ANY), 0);
}

static void small_files_are_those_bytes(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 16383, 16384};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        setup(NULL);
        u.intake.digests = SHA256_ONLY;
        open_small();
        feed_and_finish(sizes[i]);
        until(SL_SESSION_STAGED);
        assert_false(scratch_has(&u.scratch, "files/f"));
        upload_commit(&session);
        until(SL_SESSION_DONE);
        assert_int_equal(changes, 2);
        assert_int_equal(session.size, sizes[i]);
        upload_expect(&u, "f", 0, sizes[i], &session.digests);
        teardown(NULL);
    }
}

/* The file is made late: so is a failure told. */
static void small_file_that_cannot_be_made_fails(void **state)
{
    static const struct {
        enum sl_disk_kind kind;
        int sys_errno;
        sl_err err;
        size_t len;
    } rows[] = {
        {SL_DISK_OPEN, EMFILE, SL_TOO_MANY_FILES, 4096},
        {SL_DISK_OPEN, ENOSPC, SL_NO_SPACE, 0},
        {SL_DISK_WRITE, ENOSPC, SL_NO_SPACE, 4096},
        {SL_DISK_WRITE, EIO, SL_IO, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setup(NULL);
        open_small();
        fake_disk_fail(u.disk, rows[i].kind, 1, rows[i].sys_errno);
        feed_and_finish(rows[i].len);
        leave_failed(rows[i].err);
        assert_false(scratch_has(&u.scratch, "files/f"));
        teardown(NULL);
    }
}

static void small_file_whose_name_is_taken_is_told_with_the_naming(void **state)
{
    scratch_put(&u.scratch, "files/f", "old");
    open_small();
    feed_and_finish(100);
    until(SL_SESSION_STAGED);
    upload_commit(&session);
    until(SL_SESSION_FAILED);
    assert_int_equal(session.err, SL_EXISTS);
    assert_true(strlen(session.etag) > 0);
    leave_failed(SL_EXISTS);
    scratch_expect(&u.scratch, "files/f", "old", 3);
}

/* What comes while the file is being made waits for it, and shares its fate. */
static void pieces_wait_for_the_file(void **state)
{
    for (unsigned fails = 0; fails < 2; fails++) {
        setup(NULL);
        u.intake.digests = SHA256_ONLY;
        open_small();
        fake_disk_hold(u.disk, SL_DISK_OPEN);
        assert_true(feed(8192, false));
        assert_true(feed(4096, false));
        assert_true(feed(100, true));
        sl_session_finish(&session);
        UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
        assert_int_equal(fake_disk_started(u.disk, SL_DISK_WRITE), 0);
        if (fails)
            fake_disk_fail(u.disk, SL_DISK_WRITE, 1, ENOSPC);
        fake_disk_release(u.disk);
        if (fails) {
            leave_failed(SL_NO_SPACE);
            assert_int_equal(fake_disk_started(u.disk, SL_DISK_WRITE), 1);
        } else {
            until(SL_SESSION_STAGED);
            upload_commit(&session);
            until(SL_SESSION_DONE);
            upload_expect(&u, "f", 0, 8192 + 4096 + 100, &session.digests);
        }
        teardown(NULL);
    }
}

/* What does not fit is refused before its bytes come, as ever. */
static void small_file_without_room_is_told_before_the_body(void **state)
{
    struct sl_session_plan plan = small_plan;
    plan.expected = UINT64_MAX / 2; /* not a byte more than there is: others free some, and it would be taken */
    assert_int_equal(start_plan(plan), SL_OK);
    assert_int_equal(session.state, SL_SESSION_CHECKING);
    leave_failed(SL_NO_SPACE);
}

/* Before its bytes came, while it is being made, once it is made. */
static void leaving_gives_everything_back(void **state)
{
    for (unsigned at = 0; at < 3; at++) {
        setup(NULL);
        open_small();
        fake_disk_hold(u.disk, SL_DISK_WRITE);
        if (at > 0)
            feed_and_finish(4096);
        if (at == 1)
            UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
        sl_session_leave(&session);
        fake_disk_release(u.disk);
        if (at == 2)
            upload_settle(&u);
        until(SL_SESSION_GONE);
        assert_int_equal(changes, 1);
        assert_false(scratch_has(&u.scratch, "files/f"));
        teardown(NULL);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(small_files_are_those_bytes),
        cmocka_unit_test(small_file_that_cannot_be_made_fails),
        cmocka_unit_test(pieces_wait_for_the_file),
        CASE(small_file_whose_name_is_taken_is_told_with_the_naming),
        CASE(small_file_without_room_is_told_before_the_body),
        cmocka_unit_test(leaving_gives_everything_back),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
