/* What counts among the unfinished ones, and for how many bytes, is what another start would find on disk. Each case
 * has a second upload, lest what is taken away twice be hidden by the floor of the count. */
#include "resumable_case.h"

#define OTHER_BYTES 1000

static struct exchange x;

static int setup_with_another(void **state)
{
    setup(state);
    struct sl_upload_state other = new_state("other", OTHER_BYTES);
    (void)create(&other);
    return 0;
}

static void expect_unfinished(unsigned count, uint64_t bytes)
{
    assert_int_equal(unfinished(), count + 1);
    assert_int_equal(unfinished_on_disk(), count + 1);
    expect_counted(bytes + OTHER_BYTES);
}

/* What keeps the bytes [0, end) but fails to make anything more of them. */
static void leave_complete(const char *id, uint64_t end)
{
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    assert_true(send_to(&x, end, SIZE_MAX));
    give_back(&x);
}

static void length_counts_once_it_is_kept(void **state)
{
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    const char *id = create(&whole);
    struct sl_digests wrong = {.set = SHA256_ONLY};
    for (int i = 0; i < 4; i++) {
        bool is_kept = i == 3;
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_int_equal(sl_resumable_set_length(&x.resumable, 400000), SL_OK);
        if (!is_kept)
            sl_resumable_check(&x.resumable, SHA256_ONLY, &wrong);
        begin_body(&x);
        assert_true(send_to(&x, 5000, SIZE_MAX));
        end_body(&x, false);
        assert_int_equal(x.resumable.phase, is_kept ? SL_RESUMABLE_KEPT : SL_RESUMABLE_FAILED);
        give_back(&x);
        expect_unfinished(1, is_kept ? 400000 : 0);
    }
    drop(id);
    expect_unfinished(0, 0);
}

static void drop_that_fails_is_told_and_goes_on_counting(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    const char *id = create(&whole);
    for (int i = 0; i < 2; i++) {
        open_id_to(&x, id, SL_RESUMABLE_TO_DROP);
        REACH(&x, OPEN);
        fake_disk_fail(u.disk, SL_DISK_UNLINK, 1, EROFS);
        sl_resumable_drop(&x.resumable);
        UPLOAD_UNTIL(&u, is_at_end(&x));
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
        assert_int_equal(x.resumable.err, SL_READ_ONLY);
        give_back(&x);
        expect_unfinished(1, 5000);
    }
    drop(id);
    expect_unfinished(0, 0);
}

/* Of the draft, one that got too many bytes goes as it is closed. */
static void closing_that_cannot_drop_leaves_what_counts(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    whole.dialect = SL_UPLOAD_DRAFT;
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5001, SIZE_MAX, false), SL_RESUMABLE_FAILED);
    fake_disk_fail(u.disk, SL_DISK_UNLINK, 1, EROFS);
    give_back(&x);
    expect_unfinished(1, 5000);
    drop(id);
    expect_unfinished(0, 0);
}

static void named_without_a_note_counts_until_it_is_noted(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    assert_true(send_to(&x, 5000, SIZE_MAX));
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 2, EIO); /* the first is what is known of the file */
    end_body(&x, false);
    expect_done(&x, "f", 5000);
    give_back(&x);
    expect_unfinished(1, 5000);
    for (int i = 0; i < 2; i++) {
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_true(x.resumable.state.is_done);
        give_back(&x);
        expect_unfinished(0, 0);
    }
    drop(id);
    expect_unfinished(0, 0);
    assert_true(scratch_has(&u.scratch, "files/f"));
}

/* ---- what has all its bytes, and will never get its name ---- */

static void promise_wrongly(struct sl_upload_state *state)
{
    state->promised.set = SHA256_ONLY;
}

static void complete_that_gets_no_name_can_be_dropped(void **state)
{
    for (int is_promised = 0; is_promised < 2; is_promised++) {
        struct sl_upload_state whole = new_state("f", 5000);
        const char *id = create(&whole);
        leave_complete(id, 5000);
        if (is_promised)
            restate(id, promise_wrongly);
        else
            scratch_put(&u.scratch, "files/f", "what has the name");
        expect_unfinished(1, 5000);
        drop(id);
        expect_absent(id);
        expect_unfinished(0, 0);
        assert_int_equal(scratch_count(&u.scratch, "files"), 1 - (unsigned)is_promised);
        if (!is_promised)
            assert_int_equal(unlink(scratch_path(&u.scratch, "files/f")), 0);
    }
}

static void one_whose_name_was_moved_can_be_dropped(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    assert_true(send_to(&x, 5000, SIZE_MAX));
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 2, EIO);
    end_body(&x, false);
    give_back(&x);
    char moved[256];
    snprintf(moved, sizeof moved, "%s", scratch_path(&u.scratch, "files/g"));
    assert_int_equal(rename(scratch_path(&u.scratch, "files/f"), moved), 0);
    scratch_put(&u.scratch, "files/f", "what has the name");
    drop(id);
    expect_unfinished(0, 0);
    char bytes[5000];
    upload_fill(bytes, 0, sizeof bytes);
    scratch_expect(&u.scratch, "files/g", bytes, sizeof bytes);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_with_another, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(length_counts_once_it_is_kept),
        CASE(drop_that_fails_is_told_and_goes_on_counting),
        CASE(closing_that_cannot_drop_leaves_what_counts),
        CASE(named_without_a_note_counts_until_it_is_noted),
        CASE(complete_that_gets_no_name_can_be_dropped),
        CASE(one_whose_name_was_moved_can_be_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
