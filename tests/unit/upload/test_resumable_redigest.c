/* Bytes that are there are digested again where what was saved is not what is wanted; and nobody waits for a buffer
 * while holding one. */
#include "resumable_case.h"

static struct exchange x;

/* All slabs but `left`. */
static struct sl_slab *taken[256];
static size_t taken_count;

static void take_slabs(size_t left)
{
    for (taken_count = 0; (taken[taken_count] = sl_slab_try(u.pool, SL_SLAB_SMALL)) != NULL; taken_count++)
        assert_true(taken_count + 1 < sizeof taken / sizeof taken[0]);
    for (; left > 0; left--)
        sl_slab_release(taken[--taken_count]);
}

static void give_slabs(void)
{
    while (taken_count > 0)
        sl_slab_release(taken[--taken_count]);
}

static void many_of_few_slabs_all_end(void **state)
{
    enum { COUNT = 6, LEFT = 2 };
    static struct exchange many[COUNT];
    char ids[COUNT][SL_UPLOAD_ID_BYTES];
    for (unsigned i = 0; i < COUNT; i++) {
        char path[8];
        snprintf(path, sizeof path, "f%u", i);
        struct sl_upload_state whole = new_state(path, 100000);
        memcpy(ids[i], create(&whole), sizeof ids[i]);
        assert_int_equal(append(&x, ids[i], 70001, SIZE_MAX, false), SL_RESUMABLE_KEPT);
        give_back(&x);
        restate(ids[i], forget_hash);
    }
    take_slabs(LEFT);
    for (unsigned i = 0; i < COUNT; i += LEFT) {
        for (unsigned k = i; k < i + LEFT; k++) {
            open_id(&many[k], ids[k]);
            REACH(&many[k], OPEN);
            admit(&many[k]);
        }
        for (unsigned k = i; k < i + LEFT; k++)
            sl_resumable_receive(&many[k].resumable, &many[k].pipeline);
        for (unsigned k = i; k < i + LEFT; k++) {
            REACH(&many[k], RECEIVING);
            many[k].sent = 70001;
            assert_true(send_to(&many[k], 100000, SIZE_MAX));
            end_body(&many[k], false);
            expect_done(&many[k], many[k].resumable.session.path.text, 100000);
            leave(&many[k]);
        }
    }
    give_slabs();
}

/* Without a body there is no buffer, and it waits in line like everybody: until it is closed. */
static void close_while_it_waits_for_a_slab_ends(void **state)
{
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 70001, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    restate(id, forget_hash);
    take_slabs(0);
    for (int is_served = 0; is_served < 2; is_served++) {
        open_id(&x, id);
        REACH(&x, OPEN);
        sl_resumable_end(&x.resumable, true);
        UPLOAD_UNTIL(&u, sl_slab_pool_stats(u.pool).waiting == 1);
        if (!is_served) {
            give_back(&x);
            assert_int_equal(sl_slab_pool_stats(u.pool).waiting, 0);
            continue;
        }
        give_slabs();
        UPLOAD_UNTIL(&u, is_at_end(&x));
        expect_done(&x, "f", 70001);
        give_back(&x);
    }
}

/* ---- a digest that is not enough ---- */

static bool is_right;

static void promise_md5(struct sl_upload_state *state)
{
    char bytes[5000];
    upload_fill(bytes, 0, sizeof bytes);
    sl_hash_now(1u << SL_HASH_MD5, bytes, sizeof bytes, &state->promised);
    state->promised.value[SL_HASH_MD5][0] ^= !is_right;
}

/* 5000 bytes, digested for SHA-256 alone; what is promised was written by another hand. */
static const char *create_promising(const char *path, uint64_t length)
{
    struct sl_upload_state whole = new_state(path, length);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    assert_true(send_to(&x, 5000, SIZE_MAX));
    give_back(&x);
    restate(id, promise_md5);
    return id;
}

static void expect_verdict(void)
{
    if (is_right) {
        assert_true(x.resumable.state.is_done);
    } else {
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
        assert_int_equal(x.resumable.err, SL_DIGEST_MISMATCH);
        assert_int_equal(x.resumable.session.mismatch, SL_HASH_MD5);
    }
    give_back(&x);
}

static void digest_without_what_is_promised_is_made_again(void **state)
{
    for (int i = 0; i < 2; i++) {
        is_right = i == 1;
        const char *id = create_promising("late", 5000);
        open_id(&x, id);
        UPLOAD_UNTIL(&u, x.resumable.phase == SL_RESUMABLE_OPEN || is_at_end(&x));
        expect_verdict();

        id = create_promising("bodyless", UNKNOWN);
        open_id(&x, id);
        REACH(&x, OPEN);
        end_body(&x, true);
        expect_verdict();

        id = create_promising("body", UNKNOWN);
        append(&x, id, 5000, SIZE_MAX, true);
        expect_verdict();
    }
}

/* ---- a state without room for it ---- */

/* Leaves room for less than the state of a digest. */
static struct sl_upload_state large_state(void)
{
    static char text[1402], encoded[SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state state = new_state("f", 100000);
    struct sl_path *path = &state.path;
    size_t len;
    memset(text, 'A', sizeof text);
    memcpy(text, "k ", 2);
    state.metadata = (struct sl_bytes){text, sizeof text};
    assert_int_equal(sl_upload_state_encode(&state, encoded, &len), SL_OK);
    for (; len < SL_STORE_STATE_BYTES_MAX - 60; len++)
        path->text[path->len] = path->len % 200 == 199 ? '/' : 'f', path->len++;
    path->text[path->len] = '\0';
    assert_int_equal(sl_upload_state_encode(&state, encoded, &len), SL_OK);
    return state;
}

static void digest_that_does_not_fit_is_left_out(void **state)
{
    u.intake.digests = 0;
    struct sl_upload_state large = large_state();
    const char *id = create(&large);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    u.intake.digests = (1u << SL_HASH_ALGS) - 1;
    for (uint64_t end = 10001; end <= 70001; end += 60000) {
        assert_int_equal(append(&x, id, end, SIZE_MAX, false), SL_RESUMABLE_KEPT);
        give_back(&x);
        assert_int_equal(offset_of(id), end);
    }
    assert_int_equal(append(&x, id, 100000, SIZE_MAX, false), SL_RESUMABLE_DONE);
    expect_done(&x, large.path.text, 100000);
    give_back(&x);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(many_of_few_slabs_all_end),
        CASE(close_while_it_waits_for_a_slab_ends),
        CASE(digest_without_what_is_promised_is_made_again),
        CASE(digest_that_does_not_fit_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
