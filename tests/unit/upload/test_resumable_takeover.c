/* Who deals with an upload: one at a time, the newest wins, and what the others had sent is kept. Limits, too. */
#include "resumable_case.h"

static struct exchange a, b, c;

static void receive(struct exchange *x, const char *id, uint64_t end)
{
    open_id(x, id);
    REACH(x, OPEN);
    begin_body(x);
    assert_true(send_to(x, end, SIZE_MAX));
}

static void second_waits_until_the_first_ends_and_goes_on_where_that_ended(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    receive(&a, id, 70001);
    open_id(&b, id);
    UPLOAD_UNTIL(&u, a.wanted == 1);
    assert_int_equal(a.resumable.phase, SL_RESUMABLE_RECEIVING);
    upload_settle(&u);
    assert_int_equal(b.resumable.phase, SL_RESUMABLE_OPENING);
    assert_int_equal(b.changes, 0);
    leave(&a);
    REACH(&b, OPEN);
    assert_int_equal(b.resumable.state.offset, 70001);
    begin_body(&b);
    assert_true(send_to(&b, MIB, SIZE_MAX));
    end_body(&b, false);
    expect_done(&b, "f", MIB);
    give_back(&b);
}

/* Each has sent more than the last by the time the next one comes. */
static void three_writers_one_after_the_other_give_one_file(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    receive(&a, id, 100000);
    open_id(&b, id);
    open_id(&c, id);
    UPLOAD_UNTIL(&u, a.wanted > 0);
    assert_true(send_to(&a, 100001, SIZE_MAX));
    leave(&a);
    REACH(&b, OPEN);
    assert_int_equal(b.resumable.state.offset, 100001);
    begin_body(&b);
    UPLOAD_UNTIL(&u, b.resumable.is_wanted);
    assert_true(send_to(&b, 300000, 999));
    leave(&b);
    REACH(&c, OPEN);
    assert_false(c.resumable.is_wanted);
    assert_int_equal(c.resumable.state.offset, 300000);
    begin_body(&c);
    assert_true(send_to(&c, MIB, SIZE_MAX));
    end_body(&c, false);
    expect_done(&c, "f", MIB);
    give_back(&c);
}

static void one_that_waits_may_leave_and_the_next_comes_in(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    receive(&a, id, 5000);
    open_id(&b, id);
    open_id(&c, id);
    sl_resumable_close(&b.resumable); /* before its turn */
    leave(&a);
    REACH(&b, CLOSED);
    assert_int_equal(b.changes, 1);
    REACH(&c, OPEN);
    assert_int_equal(c.resumable.state.offset, 5000);
    give_back(&c);
}

static void dropped_by_the_second_is_absent_for_the_third(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    receive(&a, id, 70001);
    open_id(&b, id);
    open_id(&c, id);
    UPLOAD_UNTIL(&u, a.wanted > 0);
    leave(&a);
    REACH(&b, OPEN);
    sl_resumable_drop(&b.resumable);
    REACH(&b, GONE);
    leave(&b);
    REACH(&c, FAILED);
    assert_int_equal(c.resumable.err, SL_NOT_FOUND);
    give_back(&c);
    assert_int_equal(kept(), 0);
    assert_int_equal(unfinished(), 0);
}

static void one_that_is_made_and_announced_can_be_taken_over(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    assert_int_equal(make(&a, (struct sl_resumable_plan){.state = &whole, .is_announced = true}), SL_OK);
    REACH(&a, RECEIVING);
    begin_body(&a);
    assert_true(send_to(&a, 12345, SIZE_MAX));
    open_id(&b, a.resumable.session.id);
    UPLOAD_UNTIL(&u, a.wanted > 0);
    leave(&a);
    REACH(&b, OPEN);
    assert_int_equal(b.resumable.state.offset, 12345);
    give_back(&b);
}

static void what_is_being_named_gets_its_name_first(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    receive(&a, id, MIB);
    sl_resumable_end(&a.resumable, false);
    open_id(&b, id);
    REACH(&a, DONE);
    leave(&a);
    REACH(&b, OPEN);
    assert_true(b.resumable.state.is_done);
    give_back(&b);
}

/* ---- limits ---- */

static void limit_uploads(uint64_t count_max, uint64_t bytes_max)
{
    sl_uploads_destroy(u.intake.uploads);
    open_uploads(count_max, bytes_max);
}

static sl_err try_make(const char *path, uint64_t length)
{
    struct sl_upload_state whole = new_state(path, length);
    return make(&c, (struct sl_resumable_plan){.state = &whole, .is_bodyless = true});
}

static void more_than_there_may_be_are_refused_until_one_is_done_or_gone(void **state)
{
    limit_uploads(2, UINT64_MAX);
    struct sl_upload_state one = new_state("f", 100), two = new_state("g", 100);
    char first[SL_UPLOAD_ID_BYTES], second[SL_UPLOAD_ID_BYTES];
    memcpy(first, create(&one), sizeof first);
    memcpy(second, create(&two), sizeof second);
    assert_int_equal(try_make("h", 100), SL_TOO_MANY_UPLOADS);
    assert_int_equal(u.intake.resumables, 0);
    assert_int_equal(append(&a, first, 100, SIZE_MAX, false), SL_RESUMABLE_DONE);
    give_back(&a);
    assert_int_equal(unfinished(), 1);
    open_id(&a, second);
    REACH(&a, OPEN);
    sl_resumable_drop(&a.resumable);
    REACH(&a, GONE);
    give_back(&a);
    assert_int_equal(unfinished(), 0);
    assert_int_equal(try_make("h", 100), SL_OK);
    REACH(&c, KEPT);
    give_back(&c);
}

static void bytes_are_counted_by_length_or_as_they_come(void **state)
{
    limit_uploads(100, 10000);
    assert_int_equal(try_make("f", 10001), SL_TOO_MANY_UPLOADS);
    struct sl_upload_state deferred = new_state("f", UNKNOWN);
    const char *id = create(&deferred);
    assert_int_equal(append(&a, id, 6000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&a);
    assert_int_equal(try_make("g", 4001), SL_TOO_MANY_UPLOADS);
    assert_int_equal(try_make("g", 4000), SL_OK);
    REACH(&c, KEPT);
    give_back(&c);
    assert_int_equal(append(&a, id, 7000, SIZE_MAX, true), SL_RESUMABLE_DONE);
    give_back(&a);
    assert_int_equal(try_make("h", 6001), SL_TOO_MANY_UPLOADS);
    assert_int_equal(try_make("h", 6000), SL_OK);
    REACH(&c, KEPT);
    give_back(&c);
}

static void sizes_above_the_limit_are_refused_when_they_are_known(void **state)
{
    u.intake.size_max = 5000;
    assert_int_equal(try_make("f", 5001), SL_TOO_LARGE);
    assert_int_equal(unfinished(), 0);
    struct sl_upload_state deferred = new_state("f", UNKNOWN);
    const char *id = create(&deferred);
    open_id(&a, id);
    REACH(&a, OPEN);
    assert_int_equal(sl_resumable_set_length(&a.resumable, 5001), SL_TOO_LARGE);
    give_back(&a);
    assert_int_equal(append(&a, id, 4000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&a);
    assert_int_equal(append(&a, id, 5001, SIZE_MAX, false), SL_RESUMABLE_FAILED);
    assert_int_equal(a.resumable.err, SL_TOO_LARGE);
    give_back(&a);
    assert_int_equal(offset_of(id), 4000);
}

static void texts_that_do_not_fit_are_refused(void **state)
{
    static char text[1000];
    memset(text, 'a', sizeof text);
    struct sl_upload_state whole = new_state("f", 100);
    whole.name = (struct sl_bytes){text, sizeof text};
    whole.concat = (struct sl_bytes){text, sizeof text};
    whole.type = (struct sl_bytes){text, 200};
    assert_int_equal(make(&a, (struct sl_resumable_plan){.state = &whole}), SL_HEAD_TOO_LARGE);
    assert_int_equal(unfinished(), 0);
}

static void files_above_the_limit_are_refused(void **state)
{
    struct sl_upload_state whole = new_state("f", 100);
    const char *id = create(&whole);
    u.intake.files_max = 0;
    assert_int_equal(try_make("g", 100), SL_TOO_MANY_FILES);
    open_id(&a, id);
    REACH(&a, FAILED);
    assert_int_equal(a.resumable.err, SL_TOO_MANY_FILES);
    give_back(&a);
}

static void one_that_nobody_touched_for_long_is_not_there(void **state)
{
    struct sl_upload_state whole = new_state("f", 100);
    const char *id = create(&whole);
    struct sl_uploads_options options = {.expiry_ns = 1, .done_expiry_ns = 1, .count_max = 10, .bytes_max = 1000};
    open_id(&a, id);
    REACH(&a, OPEN);
    assert_true(sl_resumable_expires_ns(&a.resumable) > sl_clock_wall_ns() + EXPIRY_NS - 100 * SL_SEC);
    assert_true(sl_resumable_expires_ns(&a.resumable) <= sl_clock_wall_ns() + EXPIRY_NS);
    give_back(&a);
    sl_uploads_destroy(u.intake.uploads);
    u.intake.uploads = sl_uploads_create(&options);
    expect_absent(id);
    assert_int_equal(kept(), 1); /* the reaper's */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(second_waits_until_the_first_ends_and_goes_on_where_that_ended),
        CASE(three_writers_one_after_the_other_give_one_file),
        CASE(one_that_waits_may_leave_and_the_next_comes_in),
        CASE(dropped_by_the_second_is_absent_for_the_third),
        CASE(one_that_is_made_and_announced_can_be_taken_over),
        CASE(what_is_being_named_gets_its_name_first),
        CASE(more_than_there_may_be_are_refused_until_one_is_done_or_gone),
        CASE(bytes_are_counted_by_length_or_as_they_come),
        CASE(sizes_above_the_limit_are_refused_when_they_are_known),
        CASE(texts_that_do_not_fit_are_refused),
        CASE(files_above_the_limit_are_refused),
        CASE(one_that_nobody_touched_for_long_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
