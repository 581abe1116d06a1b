/* Every way out of every phase gives everything back, and keeps what may be kept. */
#include "resumable_case.h"

static struct exchange x;
static char id[SL_UPLOAD_ID_BYTES];

static void create_and_send(uint64_t bytes)
{
    struct sl_upload_state whole = new_state("f", 2 * MIB);
    memcpy(id, create(&whole), sizeof id);
    if (bytes == 0)
        return;
    assert_int_equal(append(&x, id, bytes, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
}

/* ---- close, in each phase ---- */

static void start_making(void)
{
    struct sl_upload_state whole = new_state("f", 2 * MIB);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_announced = true}), SL_OK);
    memcpy(id, x.resumable.session.id, sizeof id);
}

static void reach_making(void)
{
    fake_disk_hold(u.disk, SL_DISK_OPEN);
    start_making();
}

static void reach_making_keeping(void)
{
    fake_disk_hold(u.disk, SL_DISK_SETXATTR);
    start_making();
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

static void reach_opening(void)
{
    create_and_send(5000);
    fake_disk_hold(u.disk, SL_DISK_OPEN);
    open_id(&x, id);
}

static void reach_opening_looking(void)
{
    create_and_send(5000);
    fake_disk_hold(u.disk, SL_DISK_GETXATTR);
    open_id(&x, id);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

static void reach_open(void)
{
    create_and_send(5000);
    open_id(&x, id);
    REACH(&x, OPEN);
}

static void reach_preparing(void)
{
    create_and_send(5000);
    open_id(&x, id);
    REACH(&x, OPEN);
    admit(&x);
    fake_disk_hold(u.disk, SL_DISK_READ);
    sl_resumable_receive(&x.resumable, &x.pipeline);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

static void reach_receiving_nothing(void)
{
    reach_open();
    begin_body(&x);
}

static void reach_receiving(void)
{
    reach_receiving_nothing();
    assert_true(send_to(&x, 300001, SIZE_MAX));
}

static void reach_receiving_one_byte(void)
{
    reach_receiving_nothing();
    assert_true(send_to(&x, 5001, SIZE_MAX));
}

static void reach_receiving_new(void)
{
    struct sl_upload_state whole = new_state("f", 2 * MIB);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole}), SL_OK);
    memcpy(id, x.resumable.session.id, sizeof id);
    REACH(&x, RECEIVING);
    begin_body(&x);
    assert_true(send_to(&x, 300001, SIZE_MAX));
}

static void reach_receiving_announced(void)
{
    start_making();
    REACH(&x, RECEIVING);
    begin_body(&x);
    assert_true(send_to(&x, 300001, SIZE_MAX));
}

static void reach_receiving_all(void)
{
    reach_receiving_nothing();
    assert_true(send_to(&x, 2 * MIB, SIZE_MAX));
}

static void reach_receiving_checked(void)
{
    reach_open();
    sl_resumable_check(&x.resumable, SHA256_ONLY, NULL);
    begin_body(&x);
    assert_true(send_to(&x, 300001, SIZE_MAX));
}

static void reach_ending(void)
{
    reach_receiving_nothing();
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    assert_true(send_to(&x, 20000, SIZE_MAX));
    sl_resumable_end(&x.resumable, false);
}

static void reach_ending_naming(void)
{
    reach_receiving_all();
    fake_disk_hold(u.disk, SL_DISK_LINK);
    sl_resumable_end(&x.resumable, false);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

static void reach_ending_dropping(void)
{
    reach_open();
    fake_disk_hold(u.disk, SL_DISK_UNLINK);
    sl_resumable_drop(&x.resumable);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

static void reach_kept(void)
{
    reach_receiving();
    end_body(&x, false);
}

static void reach_done(void)
{
    reach_receiving_all();
    end_body(&x, false);
}

static void reach_gone(void)
{
    reach_open();
    sl_resumable_drop(&x.resumable);
    REACH(&x, GONE);
}

static void reach_failed(void)
{
    reach_receiving_nothing();
    fake_disk_fail(u.disk, SL_DISK_WRITE, 1, EIO);
    (void)send_to(&x, 300001, SIZE_MAX);
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_IO);
}

#define DONE UINT64_MAX
#define GONE (UINT64_MAX - 1)

static const struct {
    void (*reach)(void);
    enum sl_resumable_phase phase;
    uint64_t offset; /* afterwards, or GONE, DONE */
} closes[] = {
    {reach_making, SL_RESUMABLE_MAKING, GONE},
    {reach_making_keeping, SL_RESUMABLE_MAKING, 0},
    {reach_opening, SL_RESUMABLE_OPENING, 5000},
    {reach_opening_looking, SL_RESUMABLE_OPENING, 5000},
    {reach_open, SL_RESUMABLE_OPEN, 5000},
    {reach_preparing, SL_RESUMABLE_PREPARING, 5000},
    {reach_receiving_nothing, SL_RESUMABLE_RECEIVING, 5000},
    {reach_receiving_one_byte, SL_RESUMABLE_RECEIVING, 5001},
    {reach_receiving, SL_RESUMABLE_RECEIVING, 300001},
    {reach_receiving_new, SL_RESUMABLE_RECEIVING, GONE},
    {reach_receiving_announced, SL_RESUMABLE_RECEIVING, 300001},
    {reach_receiving_all, SL_RESUMABLE_RECEIVING, DONE}, /* whoever opens it next gives it its name */
    {reach_receiving_checked, SL_RESUMABLE_RECEIVING, 5000},
    {reach_ending, SL_RESUMABLE_ENDING, 20000},
    {reach_ending_naming, SL_RESUMABLE_ENDING, DONE}, /* too late */
    {reach_ending_dropping, SL_RESUMABLE_ENDING, GONE},
    {reach_kept, SL_RESUMABLE_KEPT, 300001},
    {reach_done, SL_RESUMABLE_DONE, DONE},
    {reach_gone, SL_RESUMABLE_GONE, GONE},
    {reach_failed, SL_RESUMABLE_FAILED, 5000},
};

static void expect_left(uint64_t offset)
{
    if (offset == GONE) {
        assert_int_equal(kept(), 0);
        assert_int_equal(unfinished(), 0);
        expect_absent(id);
        return;
    }
    struct exchange again;
    open_id(&again, id);
    REACH(&again, OPEN);
    if (offset == DONE) {
        assert_true(again.resumable.state.is_done);
        give_back(&again);
        assert_true(scratch_has(&u.scratch, "files/f"));
        assert_int_equal(unfinished(), 0);
        return;
    }
    assert_int_equal(again.resumable.state.offset, offset);
    give_back(&again);
    assert_int_equal(unfinished(), 1);
    append(&again, id, 2 * MIB, SIZE_MAX, false);
    expect_done(&again, "f", 2 * MIB);
    give_back(&again);
}

static void close_in_each_phase_gives_everything_back_and_keeps_what_came(void **state)
{
    for (size_t i = 0; i < sizeof closes / sizeof closes[0]; i++) {
        setup(NULL);
        closes[i].reach();
        assert_int_equal(x.resumable.phase, closes[i].phase);
        unsigned before = x.changes;
        sl_resumable_close(&x.resumable);
        assert_int_equal(x.changes, before); /* in a later turn */
        (void)upload_turn(&u, 0);
        fake_disk_release(u.disk);
        REACH(&x, CLOSED);
        assert_int_equal(x.changes, before + 1);
        close_pipeline(&x);
        upload_settle(&u);
        assert_int_equal(x.changes, before + 1);
        assert_int_equal(u.intake.files, 0);
        assert_int_equal(u.intake.resumables, 0);
        expect_left(closes[i].offset);
        teardown(NULL);
    }
}

/* What was under way fails as well: nothing is lost that was there, and everything comes back. */
static void close_with_a_failing_disk_gives_everything_back(void **state)
{
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN,     SL_DISK_ALLOCATE, SL_DISK_TRUNCATE, SL_DISK_WRITE,
                                              SL_DISK_READ,     SL_DISK_SYNC,     SL_DISK_LINK,     SL_DISK_UNLINK,
                                              SL_DISK_SETXATTR, SL_DISK_GETXATTR, SL_DISK_STAT};
    for (size_t i = 0; i < sizeof closes / sizeof closes[0]; i++) {
        setup(NULL);
        closes[i].reach();
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            fake_disk_fail(u.disk, kinds[k], 1, EIO);
        sl_resumable_close(&x.resumable);
        fake_disk_release(u.disk);
        REACH(&x, CLOSED);
        close_pipeline(&x);
        upload_settle(&u);
        assert_int_equal(u.intake.files, 0);
        fake_disk_disarm(u.disk);
        bool may_be_gone = closes[i].offset == GONE || closes[i].phase == SL_RESUMABLE_MAKING;
        assert_in_range(kept(), may_be_gone ? 0 : 1, 1);
        assert_int_equal(unfinished(), unfinished_on_disk());
        teardown(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_in_each_phase_gives_everything_back_and_keeps_what_came),
        cmocka_unit_test(close_with_a_failing_disk_gives_everything_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
