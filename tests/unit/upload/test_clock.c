/* The wall clock goes back, or was ahead: no upload expires before its time, what was acknowledged stays, names differ.
 * Linked with --wrap=sl_clock_wall_ns. */
#include "resumable_case.h"
#include "sluice/upload/reaper.h"

#define LEN  50000
#define DAY  (24 * 3600 * SL_SEC)
#define LATE (EXPIRY_NS + SL_SEC)

static int64_t skew_ns; /* of the clock that all of sluice sees */

uint64_t __real_sl_clock_wall_ns(void);
uint64_t __wrap_sl_clock_wall_ns(void);

uint64_t __wrap_sl_clock_wall_ns(void)
{
    return __real_sl_clock_wall_ns() + (uint64_t)skew_ns;
}

static int setup_clock(void **state)
{
    skew_ns = 0;
    return setup_fake(state);
}

static int teardown_clock(void **state)
{
    skew_ns = 0;
    return teardown(state);
}

/* One walk of a reaper, over all there is. */
static void reap(void)
{
    struct sl_reaper reaper;
    sl_reaper_init(&reaper, &u.intake);
    uint64_t now_ns = EXPIRY_NS;
    do {
        sl_reaper_tick(&reaper, now_ns);
        UPLOAD_UNTIL(&u, sl_reaper_is_idle(&reaper) && !reaper.has_batch);
    } while (!reaper.listing.is_end);
    sl_reaper_stop(&reaper);
    sl_reaper_dispose(&reaper);
}

static void expect_expiry_of(const char *id)
{
    struct exchange x;
    uint64_t now_ns = sl_clock_wall_ns();
    open_id(&x, id);
    REACH(&x, OPEN);
    uint64_t expires_ns = sl_resumable_expires_ns(&x.resumable);
    assert_true(expires_ns > now_ns && expires_ns <= sl_clock_wall_ns() + EXPIRY_NS);
    give_back(&x);
}

/* Upload-Expires is told by the new clock from the next piece on. */
static void upload_goes_on_where_it_was_and_expires_by_the_new_clock(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", LEN);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 20000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    skew_ns = -(int64_t)DAY;
    assert_int_equal(offset_of(id), 20000);
    assert_int_equal(append(&x, id, 30000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    expect_expiry_of(id);
    append(&x, id, LEN, SIZE_MAX, false);
    expect_done(&x, "f", LEN);
    give_back(&x);
}

static void nothing_is_reaped_before_its_time(void **state)
{
    struct sl_upload_state whole = new_state("f", LEN);
    const char *id = create(&whole);
    skew_ns = -(int64_t)LATE;
    reap();
    assert_int_equal(kept(), 1);
    assert_int_equal(unfinished(), 1);
    assert_int_equal(offset_of(id), 0);
    skew_ns = 0;
    reap();
    assert_int_equal(kept(), 1);
    skew_ns = (int64_t)LATE;
    reap();
    assert_int_equal(kept(), 0);
    assert_int_equal(unfinished(), 0);
}

/* It was made while the clock was ahead, and is touched once it is right again. */
static void upload_from_the_future_gets_the_time_of_who_goes_on(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", LEN);
    skew_ns = (int64_t)(365 * DAY);
    const char *id = create(&whole);
    skew_ns = 0;
    reap();
    assert_int_equal(kept(), 1);
    assert_int_equal(append(&x, id, 20000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    expect_expiry_of(id);
    skew_ns = (int64_t)LATE;
    reap();
    assert_int_equal(kept(), 0);
}

/* What no state tells of has the time of its file. */
static void file_of_the_future_stays_until_it_is_past(void **state)
{
    static const char name[] = "uploads/aaaaaaaaaaaaaaaaaaaaaaaaaa";
    scratch_put(&u.scratch, name, "bytes");
    skew_ns = -(int64_t)DAY;
    reap();
    assert_true(scratch_has(&u.scratch, name));
    skew_ns = (int64_t)LATE;
    reap();
    assert_false(scratch_has(&u.scratch, name));
}

static void name_on(struct sl_session *session)
{
    u.intake.name_template = "{yyyy}/{mm}/{dd}/{id}-{filename}";
    *session = (struct sl_session){.created_ns = sl_clock_wall_ns()};
    sl_upload_id(session->id);
    assert_int_equal(sl_session_name(session, &u.intake, SL_BYTES("a")), SL_OK);
}

/* The second is sorted before the first, and takes nobody's name. */
static void names_of_a_day_that_comes_again_differ(void **state)
{
    struct sl_session first, again;
    name_on(&first);
    skew_ns = -(int64_t)DAY;
    name_on(&again);
    assert_true(strncmp(again.path.text, first.path.text, sizeof "yyyy/mm/dd" - 1) < 0);
    skew_ns = 0;
    name_on(&again);
    assert_string_not_equal(again.path.text, first.path.text);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_clock, teardown_clock)
    const struct CMUnitTest tests[] = {
        CASE(upload_goes_on_where_it_was_and_expires_by_the_new_clock),
        CASE(nothing_is_reaped_before_its_time),
        CASE(upload_from_the_future_gets_the_time_of_who_goes_on),
        CASE(file_of_the_future_stays_until_it_is_past),
        CASE(names_of_a_day_that_comes_again_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
