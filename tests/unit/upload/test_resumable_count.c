/* What counts among the unfinished ones, and for how many bytes, is what another start would find on disk. Each case
 * has a second upload, lest what is taken away twice be hidden by the floor of the count. */
#include "resumable_case.h"
#include "store/local/local.h"

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

/* It may be back after a crash, and then another start counts it; now there is nothing that anybody could drop. */
static void drop_that_is_not_durable_is_told_and_counts_no_longer(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    u.root->options.durability = SL_DURABILITY_FULL;
    const char *id = create(&whole);
    open_id_to(&x, id, SL_RESUMABLE_TO_DROP);
    REACH(&x, OPEN);
    fake_disk_fail(u.disk, SL_DISK_SYNC, 1, EIO);
    sl_resumable_drop(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, SL_IO);
    give_back(&x);
    expect_unfinished(0, 0);
    expect_absent(id);
}

/* Of a new one that could not be kept, the third sync is of the folder without it. */
static void closing_that_is_not_durable_counts_no_longer(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    u.root->options.durability = SL_DURABILITY_FULL;
    fake_disk_fail(u.disk, SL_DISK_SYNC, 2, EIO);
    fake_disk_fail(u.disk, SL_DISK_SYNC, 3, EIO);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_bodyless = true}), SL_OK);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
    give_back(&x);
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

/* ---- for whom ---- */

static const struct sl_tally_key owner = {3, 4};

static struct sl_upload_state owned_state(const char *path, uint64_t length)
{
    struct sl_upload_state state = new_state(path, length);
    state.has_owner = true;
    state.owner = owner;
    return state;
}

/* One that starts now and one that counted along agree on how many more the owner may begin. */
static void expect_owned(unsigned count, unsigned each_max)
{
    struct sl_uploads_options options = *sl_uploads_options(u.intake.uploads);
    struct sl_uploads *started = sl_uploads_create(&options);
    assert_int_equal(sl_uploads_count_root(started, u.scratch.path), SL_OK);
    struct sl_uploads *both[] = {u.intake.uploads, started};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned more = count; more < each_max; more++)
            assert_int_equal(sl_uploads_admit(both[i], 0, &owner), SL_OK);
        assert_int_equal(sl_uploads_admit(both[i], 0, &owner), SL_TOO_MANY_UPLOADS_OF_PEER);
        for (unsigned more = count; more < each_max; more++)
            sl_uploads_dismiss(both[i], 0, &owner);
    }
    sl_uploads_destroy(started);
}

static void owner_has_a_place_less_until_it_is_over(void **state)
{
    struct sl_uploads_options options = *sl_uploads_options(u.intake.uploads);
    char ids[2][SL_UPLOAD_ID_BYTES];
    options.each_max = 3;
    sl_uploads_destroy(u.intake.uploads);
    u.intake.uploads = sl_uploads_create(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct sl_upload_state whole = owned_state(i == 0 ? "f" : "g", 5000);
        snprintf(ids[i], sizeof ids[i], "%s", create(&whole));
        expect_owned(i + 1, 3);
    }
    assert_int_equal(append(&x, ids[0], 3000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    expect_owned(2, 3);
    assert_int_equal(append(&x, ids[0], 5000, SIZE_MAX, false), SL_RESUMABLE_DONE);
    give_back(&x);
    expect_owned(1, 3);
    drop(ids[1]);
    expect_owned(0, 3);
    drop(ids[0]); /* of a finished one only its id goes */
    expect_owned(0, 3);
}

static void part_counts_for_its_owner_until_it_is_joined(void **state)
{
    struct sl_uploads_options options = *sl_uploads_options(u.intake.uploads);
    char url[64];
    options.each_max = 3;
    sl_uploads_destroy(u.intake.uploads);
    u.intake.uploads = sl_uploads_create(&options);
    struct sl_upload_state part = owned_state("", 0);
    part.kind = SL_UPLOAD_PARTIAL;
    part.length = 5000;
    const char *id = create(&part);
    snprintf(url, sizeof url, "final;/uploads/%s", id);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_DONE);
    give_back(&x);
    expect_owned(1, 3);
    struct sl_upload_state final = owned_state("joined", UNKNOWN);
    final.kind = SL_UPLOAD_FINAL;
    final.concat = sl_bytes_of(url);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
    REACH(&x, KEPT);
    sl_resumable_join(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    expect_done(&x, "joined", 5000);
    give_back(&x);
    expect_owned(0, 3);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_with_another, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(length_counts_once_it_is_kept),
        CASE(drop_that_fails_is_told_and_goes_on_counting),
        CASE(closing_that_cannot_drop_leaves_what_counts),
        CASE(drop_that_is_not_durable_is_told_and_counts_no_longer),
        CASE(closing_that_is_not_durable_counts_no_longer),
        CASE(named_without_a_note_counts_until_it_is_noted),
        CASE(complete_that_gets_no_name_can_be_dropped),
        CASE(one_whose_name_was_moved_can_be_dropped),
        CASE(owner_has_a_place_less_until_it_is_over),
        CASE(part_counts_for_its_owner_until_it_is_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
