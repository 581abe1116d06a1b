/* Digests that the sender tells: of one body alone, and of the whole. */
#include "resumable_case.h"

#define SHA1_AND_CRC (1u << SL_HASH_SHA1 | 1u << SL_HASH_CRC32)

static struct exchange x;

/* Of bytes [from, to) of the test body. */
static struct sl_digests digest(sl_hash_set set, uint64_t from, uint64_t to)
{
    struct sl_digests digests = {0};
    size_t len = (size_t)(to - from);
    char *bytes = malloc(len + 1);
    assert_non_null(bytes);
    upload_fill(bytes, from, len);
    sl_hash_now(set, bytes, len, &digests);
    free(bytes);
    return digests;
}

/* One body up to `end` that is to digest to `promised`, told before it, or after it. */
static enum sl_resumable_phase append_checked(const char *id, uint64_t end, const struct sl_digests *promised,
                                              bool is_trailer)
{
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_check(&x.resumable, promised->set, is_trailer ? NULL : promised);
    begin_body(&x);
    assert_true(send_to(&x, end, SIZE_MAX));
    if (is_trailer)
        sl_resumable_check(&x.resumable, promised->set, promised);
    end_body(&x, false);
    return x.resumable.phase;
}

static void check_that_fits_moves_the_offset_and_one_that_does_not_leaves_it(void **state)
{
    static const uint64_t ends[] = {1, 100, 4096, 5000, 16384 + 5000, 16384 + 5001, MIB, 3 * MIB};
    struct sl_upload_state whole = new_state("f", 3 * MIB);
    const char *id = create(&whole);
    uint64_t from = 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct sl_digests right = digest(SHA1_AND_CRC, from, ends[i]), wrong = right;
        wrong.value[SL_HASH_SHA1][19] ^= 1;
        assert_int_equal(append_checked(id, ends[i], &wrong, i % 2), SL_RESUMABLE_FAILED);
        assert_int_equal(x.resumable.err, SL_DIGEST_MISMATCH);
        assert_true(x.resumable.is_check_wrong);
        assert_int_equal(x.resumable.session.mismatch, SL_HASH_SHA1);
        assert_memory_equal(x.resumable.session.digests.value[SL_HASH_SHA1], right.value[SL_HASH_SHA1], 20);
        assert_int_equal(x.resumable.state.offset, from);
        give_back(&x);
        assert_int_equal(offset_of(id), from);
        assert_int_equal(append_checked(id, ends[i], &right, i % 2),
                         ends[i] == 3 * MIB ? SL_RESUMABLE_DONE : SL_RESUMABLE_KEPT);
        assert_int_equal(x.resumable.state.offset, ends[i]);
        if (ends[i] == 3 * MIB)
            expect_done(&x, "f", 3 * MIB);
        give_back(&x);
        from = ends[i];
    }
}

static void check_of_no_bytes_is_of_no_bytes(void **state)
{
    struct sl_upload_state whole = new_state("f", 9000);
    const char *id = create(&whole);
    struct sl_digests right = digest(SHA1_AND_CRC, 0, 0), wrong = digest(SHA1_AND_CRC, 0, 1);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(append_checked(id, i * 5000, &wrong, false), SL_RESUMABLE_FAILED);
        give_back(&x);
        assert_int_equal(append_checked(id, 0, &right, false), SL_RESUMABLE_KEPT);
        give_back(&x);
    }
    assert_int_equal(offset_of(id), 0);
}

static void check_whose_digest_never_comes_is_none(void **state)
{
    struct sl_upload_state whole = new_state("f", 50000);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_check(&x.resumable, SHA1_AND_CRC, NULL);
    begin_body(&x);
    assert_true(send_to(&x, 40000, SIZE_MAX));
    end_body(&x, false);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_KEPT);
    give_back(&x);
    assert_int_equal(offset_of(id), 40000);
}

static void check_of_a_new_one_that_is_wrong_leaves_nothing(void **state)
{
    for (int is_announced = 0; is_announced < 2; is_announced++) {
        struct sl_upload_state whole = new_state("f", 50000);
        struct sl_digests wrong = digest(SHA1_AND_CRC, 1, 50001);
        assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_announced = is_announced}), SL_OK);
        REACH(&x, RECEIVING);
        sl_resumable_check(&x.resumable, wrong.set, &wrong);
        begin_body(&x);
        assert_true(send_to(&x, 50000, SIZE_MAX));
        end_body(&x, false);
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
        assert_true(x.resumable.is_check_wrong);
        give_back(&x);
        assert_int_equal(kept(), (unsigned)is_announced);
        assert_int_equal(unfinished(), (unsigned)is_announced);
    }
}

/* Nothing of a body that is checked counts before its end: no checkpoints. */
static void check_has_no_checkpoints(void **state)
{
    u.intake.checkpoint_bytes = 16384;
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_check(&x.resumable, SHA1_AND_CRC, NULL);
    begin_body(&x);
    assert_true(send_to(&x, MIB - 1, SIZE_MAX));
    upload_settle(&u);
    assert_int_equal(x.told, 0);
    give_back(&x);
    assert_int_equal(offset_of(id), 0);
}

/* ---- the whole ---- */

static void promise_of_the_whole_is_held_over_all_pieces(void **state)
{
    static const uint64_t cuts[] = {0, 1, 5000, 16384, 300001};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        for (int is_right = 0; is_right < 2; is_right++) {
            char path[40];
            snprintf(path, sizeof path, "f%zu-%d", i, is_right);
            struct sl_upload_state whole = new_state(path, MIB + 1);
            whole.promised = digest(1u << SL_HASH_SHA512 | 1u << SL_HASH_MD5, 0, MIB + 1);
            whole.promised.value[SL_HASH_MD5][3] ^= !is_right;
            const char *id = create(&whole);
            assert_int_equal(append(&x, id, cuts[i], SIZE_MAX, false), SL_RESUMABLE_KEPT);
            give_back(&x);
            append(&x, id, MIB + 1, SIZE_MAX, false);
            assert_int_equal(x.resumable.phase, is_right ? SL_RESUMABLE_DONE : SL_RESUMABLE_FAILED);
            if (is_right) {
                give_back(&x);
                continue;
            }
            assert_int_equal(x.resumable.err, SL_DIGEST_MISMATCH);
            assert_int_equal(x.resumable.session.mismatch, SL_HASH_MD5);
            assert_false(x.resumable.is_check_wrong);
            give_back(&x);
            assert_int_equal(offset_of(id), cuts[i]);
            assert_int_equal(scratch_count(&u.scratch, "files"), i);
        }
    }
}

static void promise_of_a_partial_one_is_held(void **state)
{
    struct sl_upload_state part = new_state("", 50000);
    part.kind = SL_UPLOAD_PARTIAL;
    part.promised = digest(SHA1_AND_CRC, 1, 50001);
    const char *id = create(&part);
    assert_int_equal(append(&x, id, 20000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    assert_int_equal(append(&x, id, 50000, SIZE_MAX, false), SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, SL_DIGEST_MISMATCH);
    give_back(&x);
    assert_int_equal(offset_of(id), 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(check_that_fits_moves_the_offset_and_one_that_does_not_leaves_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(check_of_no_bytes_is_of_no_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(check_whose_digest_never_comes_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(check_of_a_new_one_that_is_wrong_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(check_has_no_checkpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(promise_of_the_whole_is_held_over_all_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(promise_of_a_partial_one_is_held, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
