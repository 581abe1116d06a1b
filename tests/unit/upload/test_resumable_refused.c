/* Names that are asked for with conditions, and uploads that were refused when all of them had come: those of the draft
 * are gone then, those of tus stay. */
#include "resumable_case.h"

static struct exchange x;

static struct sl_upload_state draft_state(const char *path, enum sl_conflict conflict)
{
    struct sl_upload_state state = new_state(path, UNKNOWN);
    state.dialect = SL_UPLOAD_DRAFT;
    state.conflict = conflict;
    return state;
}

static void expect_stored(const char *path, const char *text)
{
    char name[64], got[64];
    snprintf(name, sizeof name, "files/%s", path);
    int fd = open(scratch_path(&u.scratch, name), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, got, sizeof got);
    close(fd);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, (size_t)n);
}

static void expect_file(const char *path, size_t len)
{
    char name[64], *bytes = malloc(len);
    assert_non_null(bytes);
    upload_fill(bytes, 0, len);
    snprintf(name, sizeof name, "files/%s", path);
    scratch_expect(&u.scratch, name, bytes, len);
    free(bytes);
}

static struct sl_hash_state seen;

static void see_hash(struct sl_upload_state *state)
{
    seen = state->hash;
}

/* Not to be read again, whoever asks for it. */
static void expect_digested(const char *id, uint64_t len)
{
    sl_hash_set set = 0;
    uint64_t bytes = 0;
    restate(id, see_hash);
    assert_int_equal(sl_hash_state_check(&seen, &set, &bytes), SL_OK);
    assert_int_equal(set, u.intake.digests);
    assert_int_equal(bytes, len);
}

/* All of it comes, and the end is refused. */
static void append_refused(const char *id, sl_err err)
{
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, true), SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, err);
    give_back(&x);
}

static void conditions_are_judged_with_the_name(void **state)
{
    struct sl_upload_state whole = draft_state("f", SL_CONFLICT_OVERWRITE);
    whole.conditions.if_none_match = SL_BYTES("*");
    const char *id = create(&whole);
    scratch_put(&u.scratch, "files/f", "other");
    append_refused(id, SL_PRECONDITION);
    expect_stored("f", "other");
    expect_absent(id);
    assert_int_equal(unfinished(), 0);
}

static void conditions_that_hold_are_no_hindrance(void **state)
{
    struct sl_upload_state whole = draft_state("f", SL_CONFLICT_OVERWRITE);
    whole.conditions.if_match = SL_BYTES("*");
    scratch_put(&u.scratch, "files/f", "other");
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, true), SL_RESUMABLE_DONE);
    expect_done(&x, "f", 5000);
    give_back(&x);
    open_id(&x, id); /* they were of the name as it was */
    REACH(&x, OPEN);
    assert_null(x.resumable.state.conditions.if_match.base);
    give_back(&x);
}

static void conditions_of_a_new_one_are_told_before_its_body(void **state)
{
    struct sl_upload_state whole = draft_state("f", SL_CONFLICT_OVERWRITE);
    whole.conditions.if_match = SL_BYTES("\"x\"");
    scratch_put(&u.scratch, "files/f", "other");
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_announced = true}), SL_OK);
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_PRECONDITION);
    give_back(&x);
    assert_int_equal(kept(), 0);
}

static void draft_whose_name_is_taken_is_gone(void **state)
{
    struct sl_upload_state whole = draft_state("f", SL_CONFLICT_ERROR);
    const char *id = create(&whole);
    scratch_put(&u.scratch, "files/f", "other");
    assert_int_equal(append(&x, id, 4000, SIZE_MAX, false), SL_RESUMABLE_KEPT); /* not asked for yet */
    give_back(&x);
    append_refused(id, SL_EXISTS);
    expect_absent(id);
    assert_int_equal(unfinished(), 0);
    expect_counted(0);
}

static void draft_that_is_another_than_was_promised_is_gone(void **state)
{
    struct sl_upload_state whole = draft_state("f", SL_CONFLICT_ERROR);
    whole.promised.set = SHA256_ONLY;
    const char *id = create(&whole);
    append_refused(id, SL_DIGEST_MISMATCH);
    expect_absent(id);
    assert_int_equal(unfinished(), 0);
}

static void draft_whose_last_piece_is_wrong_stays(void **state)
{
    static const struct sl_digests wrong = {.set = SHA256_ONLY};
    struct sl_upload_state whole = draft_state("f", SL_CONFLICT_ERROR);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    admit(&x);
    sl_resumable_receive(&x.resumable, &x.pipeline);
    REACH(&x, RECEIVING);
    sl_resumable_check(&x.resumable, wrong.set, &wrong);
    assert_true(send_to(&x, 5000, SIZE_MAX));
    end_body(&x, true);
    assert_int_equal(x.resumable.err, SL_DIGEST_MISMATCH);
    assert_true(x.resumable.is_check_wrong);
    give_back(&x);
    assert_int_equal(offset_of(id), 0);
    drop(id);
}

static void spoil_takes_one_of_the_draft(void **state)
{
    for (int is_tus = 0; is_tus < 2; is_tus++) {
        struct sl_upload_state whole = draft_state("f", SL_CONFLICT_ERROR);
        if (is_tus)
            whole.dialect = SL_UPLOAD_TUS;
        const char *id = create(&whole);
        open_id(&x, id);
        REACH(&x, OPEN);
        sl_resumable_spoil(&x.resumable);
        give_back(&x);
        assert_int_equal(kept(), is_tus);
        assert_int_equal(unfinished(), is_tus);
        if (is_tus)
            drop(id);
    }
}

static void tus_whose_name_is_taken_needs_not_come_again(void **state)
{
    static const size_t lengths[] = {5000, 600 * KIB + 1}; /* digested at once, and by the pool */
    for (size_t i = 0; i < 2; i++) {
        size_t len = lengths[i];
        struct sl_upload_state whole = new_state("f", len);
        const char *id = create(&whole);
        scratch_put(&u.scratch, "files/f", "other");
        assert_int_equal(append(&x, id, len, SIZE_MAX, false), SL_RESUMABLE_FAILED);
        assert_int_equal(x.resumable.err, SL_EXISTS);
        give_back(&x);
        expect_counted(len);
        expect_digested(id, len);
        open_id(&x, id); /* it is tried once more, and says so */
        REACH(&x, FAILED);
        assert_int_equal(x.resumable.err, SL_EXISTS);
        assert_int_equal(x.resumable.state.offset, len);
        give_back(&x);
        assert_int_equal(unlink(scratch_path(&u.scratch, "files/f")), 0);
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_true(x.resumable.state.is_done);
        give_back(&x);
        expect_file("f", len);
        drop(id);
        assert_int_equal(unlink(scratch_path(&u.scratch, "files/f")), 0);
    }
}

/* Gone meanwhile: what is under way is waited for. */
static void tus_whose_name_is_taken_is_left_meanwhile(void **state)
{
    for (unsigned turns = 0; turns < 40; turns++) {
        struct sl_upload_state whole = new_state("f", 5000);
        const char *id = create(&whole);
        scratch_put(&u.scratch, "files/f", "other");
        open_id(&x, id);
        REACH(&x, OPEN);
        begin_body(&x);
        assert_true(send_to(&x, 5000, SIZE_MAX));
        sl_resumable_end(&x.resumable, true);
        for (unsigned i = 0; i < turns; i++)
            (void)upload_turn(&u, 0);
        give_back(&x);
        assert_int_equal(unlink(scratch_path(&u.scratch, "files/f")), 0);
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_true(x.resumable.state.is_done || x.resumable.state.offset == 0);
        give_back(&x);
        drop(id);
        (void)unlink(scratch_path(&u.scratch, "files/f"));
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(conditions_are_judged_with_the_name),
        CASE(conditions_that_hold_are_no_hindrance),
        CASE(conditions_of_a_new_one_are_told_before_its_body),
        CASE(draft_whose_name_is_taken_is_gone),
        CASE(draft_that_is_another_than_was_promised_is_gone),
        CASE(draft_whose_last_piece_is_wrong_stays),
        CASE(spoil_takes_one_of_the_draft),
        CASE(tus_whose_name_is_taken_needs_not_come_again),
        CASE(tus_whose_name_is_taken_is_left_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
