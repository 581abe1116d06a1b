/* Resumable uploads from the first byte to the name: whatever the cuts, the file and its digests are those of the whole
 * body. */
#include "resumable_case.h"

#define SMALL (16 * KIB)

/* ---- in one piece ---- */

static void make_with_whole_body_is_done_and_stays_under_its_id(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, SMALL - 1, SMALL, SMALL + 1, MIB, 3 * MIB + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int is_announced = 0; is_announced < 2; is_announced++) {
            char path[40];
            struct exchange x;
            snprintf(path, sizeof path, "f%zu-%d", i, is_announced);
            struct sl_upload_state whole = new_state(path, sizes[i]);
            assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_announced = is_announced}),
                             SL_OK);
            assert_int_equal(unfinished(), 1);
            REACH(&x, RECEIVING);
            begin_body(&x);
            assert_true(send_to(&x, sizes[i], SIZE_MAX));
            end_body(&x, false);
            expect_done(&x, path, sizes[i]);
            assert_int_equal(unfinished(), 0);
            give_back(&x);
            assert_int_equal(kept(), 2 * i + (unsigned)is_announced + 1);
            open_id(&x, x.resumable.session.id);
            REACH(&x, OPEN);
            assert_true(x.resumable.state.is_done);
            assert_int_equal(x.resumable.state.offset, sizes[i]);
            assert_string_equal(x.resumable.state.path.text, path);
            give_back(&x);
        }
    }
}

static void make_of_draft_in_one_piece_leaves_no_id(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    whole.dialect = SL_UPLOAD_DRAFT;
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole}), SL_OK);
    REACH(&x, RECEIVING);
    begin_body(&x);
    assert_true(send_to(&x, 50000, 777));
    end_body(&x, true);
    expect_done(&x, "f", 50000);
    give_back(&x);
    assert_int_equal(kept(), 0);
    assert_int_equal(unfinished(), 0);
}

static void make_without_a_body_and_length_0_is_done(void **state)
{
    struct sl_upload_state whole = new_state("f", 0);
    const char *id = create(&whole);
    assert_true(scratch_has(&u.scratch, "files/f"));
    assert_int_equal(unfinished(), 0);
    assert_int_equal(offset_of(id), 0);
}

/* ---- in pieces ---- */

/* A body of `len` bytes, sent up to each of the cuts in turn. */
static void expect_cuts(const char *path, const uint64_t *cuts, size_t count, size_t len, size_t fill_max)
{
    struct exchange x;
    struct sl_upload_state whole = new_state(path, len);
    const char *id = create(&whole);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(append(&x, id, cuts[i], fill_max, false), SL_RESUMABLE_KEPT);
        assert_int_equal(x.resumable.state.offset, cuts[i]);
        give_back(&x);
        assert_int_equal(unfinished(), 1);
        assert_int_equal(offset_of(id), cuts[i]);
    }
    append(&x, id, len, fill_max, false);
    expect_done(&x, path, len);
    assert_int_equal(unfinished(), 0);
    give_back(&x);
}

static void append_after_a_cut_at_any_offset_is_whole(void **state)
{
    static const uint64_t cuts[] = {0,     1,         4095,    4096, 4097,    SMALL - 1,
                                    SMALL, SMALL + 1, MIB - 1, MIB,  MIB + 1, MIB + 4097};
    static const size_t lens[] = {MIB + 4097, 2 * MIB + 20000};
    for (size_t l = 0; l < sizeof lens / sizeof lens[0]; l++) {
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            char path[40];
            snprintf(path, sizeof path, "f%zu-%zu", l, i);
            if (cuts[i] < lens[l])
                expect_cuts(path, &cuts[i], 1, lens[l], SIZE_MAX);
        }
    }
}

static void append_of_small_bodies_cut_everywhere_is_whole(void **state)
{
    static const size_t lens[] = {1, 2, 4095, 4096, 4097, 8192, 12289};
    static const uint64_t cuts[] = {0, 1, 63, 64, 65, 4094, 4095, 4096, 4097, 8191, 8192};
    for (size_t l = 0; l < sizeof lens / sizeof lens[0]; l++) {
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            char path[40];
            snprintf(path, sizeof path, "f%zu-%zu", l, i);
            if (cuts[i] < lens[l])
                expect_cuts(path, &cuts[i], 1, lens[l], SIZE_MAX);
        }
    }
}

static void append_cut_many_times_and_dripping_is_whole(void **state)
{
    uint64_t cuts[64];
    for (size_t i = 0; i < 64; i++)
        cuts[i] = (i + 1) * 997;
    expect_cuts("f", cuts, 64, 64 * 997 + 5000, 13);
}

static void append_of_nothing_changes_nothing(void **state)
{
    static const uint64_t cuts[] = {0, 0, 5000, 5000, 8192, 8192};
    expect_cuts("f", cuts, 6, 20000, SIZE_MAX);
    expect_cuts("g", cuts, 4, 5000 + 1, SIZE_MAX);
}

static void append_to_an_unknown_length_ends_with_the_length(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 70001, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    assert_int_equal(sl_resumable_set_length(&x.resumable, 70000), SL_LENGTH);
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_int_equal(x.resumable.state.length, UNKNOWN);
    assert_int_equal(sl_resumable_set_length(&x.resumable, 70000), SL_LENGTH);
    assert_int_equal(sl_resumable_set_length(&x.resumable, 70001), SL_OK);
    assert_int_equal(sl_resumable_set_length(&x.resumable, 70001), SL_OK);
    assert_int_equal(sl_resumable_set_length(&x.resumable, 70002), SL_LENGTH);
    end_body(&x, false); /* without a body */
    expect_done(&x, "f", 70001);
    give_back(&x);
}

static void length_told_with_an_append_is_kept(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_int_equal(sl_resumable_set_length(&x.resumable, 10000), SL_OK);
    begin_body(&x);
    assert_true(send_to(&x, 10, 10));
    end_body(&x, false);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_KEPT);
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_int_equal(x.resumable.state.length, 10000);
    give_back(&x);
    append(&x, id, 10000, SIZE_MAX, false);
    expect_done(&x, "f", 10000);
    give_back(&x);
}

static void draft_is_complete_only_when_it_says_so(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", 5000);
    whole.dialect = SL_UPLOAD_DRAFT;
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_false(x.resumable.state.is_done);
    sl_resumable_end(&x.resumable, true);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    expect_done(&x, "f", 5000);
    give_back(&x);
}

static void last_that_is_not_of_the_length_is_refused_and_the_offset_stays(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", 5000);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 3000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    assert_int_equal(append(&x, id, 4000, SIZE_MAX, true), SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, SL_LENGTH);
    give_back(&x);
    assert_int_equal(append(&x, id, 5001, SIZE_MAX, false), SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, SL_LENGTH);
    give_back(&x);
    assert_int_equal(append(&x, id, 50000, SIZE_MAX, false), SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, SL_LENGTH);
    give_back(&x);
    assert_int_equal(offset_of(id), 3000);
    append(&x, id, 5000, SIZE_MAX, true);
    expect_done(&x, "f", 5000);
    give_back(&x);
}

static void append_above_a_limit_that_was_lowered_is_too_large(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 300000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    u.intake.size_max = 100000;
    assert_int_equal(append(&x, id, 300001, SIZE_MAX, false), SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, SL_TOO_LARGE);
    give_back(&x);
    assert_int_equal(offset_of(id), 300000);
}

static void partial_is_done_with_its_length_and_has_no_name(void **state)
{
    struct exchange x;
    struct sl_upload_state part = new_state("", 5000);
    part.kind = SL_UPLOAD_PARTIAL;
    const char *id = create(&part);
    assert_int_equal(append(&x, id, 4000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_DONE);
    assert_true(x.resumable.state.is_done);
    give_back(&x);
    assert_int_equal(unfinished(), 1); /* something is still to become of it */
    expect_counted(5000);
    assert_int_equal(offset_of(id), 5000);
    assert_int_equal(scratch_count(&u.scratch, "files"), 0);
    drop(id);
    assert_int_equal(unfinished(), 0);
    expect_counted(0);
}

/* ---- dropping ---- */

static void drop_of_an_unfinished_one_leaves_nothing(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", 50000);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 30000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_drop(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_GONE);
    assert_int_equal(kept(), 0);
    assert_int_equal(unfinished(), 0);
    give_back(&x);
    expect_absent(id);
}

static void drop_of_a_finished_one_leaves_the_file(void **state)
{
    struct exchange x;
    struct sl_upload_state whole = new_state("f", 5000);
    const char *id = create(&whole);
    append(&x, id, 5000, SIZE_MAX, false);
    expect_done(&x, "f", 5000);
    struct sl_digests digests = x.resumable.session.digests;
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_drop(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_GONE);
    give_back(&x);
    assert_int_equal(kept(), 0);
    upload_expect(&u, "f", 0, 5000, &digests);
    expect_absent(id);
}

/* ---- what is not there ---- */

static void open_of_nothing_is_not_found(void **state)
{
    expect_absent("abcdefghijklmnopqrstuvwxyz");
    expect_absent("");
    expect_absent("../../../../../etc/passwd");
    expect_absent("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
}

static void open_of_what_is_no_upload_is_not_found(void **state)
{
    struct exchange x;
    scratch_put(&u.scratch, "uploads/abcdefghijklmnopqrstuvwxyz", "hello");
    open_id(&x, "abcdefghijklmnopqrstuvwxyz");
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_NOT_FOUND);
    give_back(&x);
    assert_int_equal(kept(), 1);
}

#define EACH(f, e)                              \
    {                                           \
#f "/" #e, f, setup_##e, teardown, NULL \
    }
#define ALL(f) EACH(f, fake), EACH(f, threads), EACH(f, uring)

static int setup_threads(void **state)
{
    engine = TEST_THREADS;
    return setup(state);
}

static int setup_uring(void **state)
{
    engine = TEST_IO_URING;
    return setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(make_with_whole_body_is_done_and_stays_under_its_id),
        ALL(append_after_a_cut_at_any_offset_is_whole),
        ALL(append_of_small_bodies_cut_everywhere_is_whole),
        ALL(append_cut_many_times_and_dripping_is_whole),
        EACH(make_of_draft_in_one_piece_leaves_no_id, fake),
        EACH(make_without_a_body_and_length_0_is_done, fake),
        EACH(append_of_nothing_changes_nothing, fake),
        EACH(append_to_an_unknown_length_ends_with_the_length, fake),
        EACH(length_told_with_an_append_is_kept, fake),
        EACH(draft_is_complete_only_when_it_says_so, fake),
        EACH(last_that_is_not_of_the_length_is_refused_and_the_offset_stays, fake),
        EACH(append_above_a_limit_that_was_lowered_is_too_large, fake),
        EACH(partial_is_done_with_its_length_and_has_no_name, fake),
        EACH(drop_of_an_unfinished_one_leaves_nothing, fake),
        EACH(drop_of_a_finished_one_leaves_the_file, fake),
        EACH(open_of_nothing_is_not_found, fake),
        EACH(open_of_what_is_no_upload_is_not_found, fake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
