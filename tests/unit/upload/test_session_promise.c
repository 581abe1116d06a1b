/* What the sender says the bytes digest to, held against the bytes before they get a name. */
#include "session_case.h"

#include <errno.h>

#define ALL_ALGS ((1u << SL_HASH_ALGS) - 1)

static const size_t body_lens[] = {0, 1, 16384, 16385, 1 << 20};
#define BODY_LENS (sizeof body_lens / sizeof body_lens[0])

static struct sl_digests promise_of(sl_hash_set set, size_t len)
{
    struct sl_digests promised = {0};
    char *bytes = malloc(len + 1);
    assert_non_null(bytes);
    upload_fill(bytes, 0, len);
    sl_hash_now(set, bytes, len, &promised);
    free(bytes);
    return promised;
}

static void send_promised(const struct sl_digests *promised, size_t len)
{
    struct sl_session_plan plan = {.conflict = SL_CONFLICT_ERROR, .promised = promised};
    assert_int_equal(begin_plan(plan), SL_SESSION_RECEIVING);
    feed_and_finish(len);
    UPLOAD_UNTIL(&u, session.state != SL_SESSION_FLUSHING);
}

/* Stored under the digests of the server and of the sender together. */
static void expect_stored(sl_hash_set set, size_t len)
{
    assert_int_equal(session.state, SL_SESSION_STAGED);
    assert_int_equal(session.digests.set, set);
    upload_commit(&session);
    until(SL_SESSION_DONE);
    assert_int_equal(changes, 3); /* RECEIVING, STAGED, DONE */
    u.intake.digests = set;
    upload_expect(&u, "f", 0, len, &session.digests);
}

static void expect_refused(enum sl_hash_alg alg, size_t len)
{
    assert_int_equal(session.state, SL_SESSION_FAILED);
    assert_int_equal(session.mismatch, alg);
    struct sl_digests came = promise_of(session.digests.set, len);
    for (unsigned i = 0; i < SL_HASH_ALGS; i++)
        if (came.set & (1u << i))
            assert_memory_equal(session.digests.value[i], came.value[i], sl_hash_bytes(i));
    assert_true(session.digests.set & (1u << alg));
    assert_int_equal(changes, 2); /* RECEIVING, FAILED */
    leave_failed(SL_DIGEST_MISMATCH);
    assert_false(scratch_has(&u.scratch, "files/f"));
}

static void right_promise_of_any_kind_is_stored(void **state)
{
    static const sl_hash_set servers[] = {0, SHA256_ONLY, ALL_ALGS};
    for (size_t server = 0; server < 3; server++) {
        for (sl_hash_set told = 0; told <= ALL_ALGS; told++) {
            size_t len = body_lens[told % BODY_LENS];
            setup(NULL);
            u.intake.digests = servers[server];
            struct sl_digests promised = told == 0 ? (struct sl_digests){0} : promise_of(told, len);
            send_promised(&promised, len);
            expect_stored(servers[server] | told, len);
            teardown(NULL);
        }
    }
}

static void wrong_promise_is_refused_whatever_the_length(void **state)
{
    static const sl_hash_set servers[] = {0, SHA256_ONLY, ALL_ALGS};
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++) {
        for (size_t i = 0; i < BODY_LENS; i++) {
            size_t wrong_bytes[] = {0, sl_hash_bytes(alg) - 1};
            for (size_t k = 0; k < 2; k++) {
                setup(NULL);
                u.intake.digests = servers[(alg + i + k) % 3];
                struct sl_digests promised = promise_of(1u << alg, body_lens[i]);
                promised.value[alg][wrong_bytes[k]] ^= 1;
                send_promised(&promised, body_lens[i]);
                expect_refused(alg, body_lens[i]);
                teardown(NULL);
            }
        }
    }
}

/* Each one is to be right, and the first that is not is told. */
static void one_wrong_among_right_ones_is_refused(void **state)
{
    for (sl_hash_set wrong = 1; wrong <= ALL_ALGS; wrong++) {
        enum sl_hash_alg first = (enum sl_hash_alg)__builtin_ctz(wrong);
        setup(NULL);
        struct sl_digests promised = promise_of(ALL_ALGS, 20000);
        for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
            promised.value[alg][3] ^= wrong >> alg & 1;
        send_promised(&promised, 20000);
        expect_refused(first, 20000);
        teardown(NULL);
    }
}

/* What lies behind a digest in its place is not part of it. */
static void promise_is_compared_up_to_its_length(void **state)
{
    struct sl_digests promised = promise_of(1u << SL_HASH_CRC32C, 5000);
    memset(promised.value[SL_HASH_CRC32C] + 4, 0xa5, SL_HASH_BYTES_MAX - 4);
    memset(promised.value[SL_HASH_SHA256], 0xa5, SL_HASH_BYTES_MAX);
    u.intake.digests = SHA256_ONLY;
    send_promised(&promised, 5000);
    expect_stored(SHA256_ONLY | 1u << SL_HASH_CRC32C, 5000);
}

static void body_of_several_pieces_is_held_against_its_promise(void **state)
{
    for (int is_wrong = 0; is_wrong < 2; is_wrong++) {
        setup(NULL);
        struct sl_digests promised = promise_of(ALL_ALGS, 8192 + (1 << 20) + 77);
        promised.value[SL_HASH_SHA512][0] ^= is_wrong;
        struct sl_session_plan plan = {.conflict = SL_CONFLICT_RENAME, .promised = &promised};
        assert_int_equal(begin_plan(plan), SL_SESSION_RECEIVING);
        assert_true(feed(8192, false));
        assert_true(feed(1 << 20, false));
        feed_and_finish(77);
        UPLOAD_UNTIL(&u, session.state != SL_SESSION_FLUSHING);
        if (is_wrong)
            expect_refused(SL_HASH_SHA512, 8192 + (1 << 20) + 77);
        else
            expect_stored(ALL_ALGS, 8192 + (1 << 20) + 77);
        teardown(NULL);
    }
}

/* Bytes that could not be written are the disk's fault: that is told, not that they are not what was promised. */
static void failed_write_is_told_before_a_wrong_promise(void **state)
{
    struct sl_digests promised = promise_of(SHA256_ONLY, 5000);
    promised.value[SL_HASH_SHA256][0] ^= 1;
    fake_disk_fail(u.disk, SL_DISK_WRITE, 1, ENOSPC);
    send_promised(&promised, 5000);
    assert_int_equal(session.state, SL_SESSION_FAILED);
    leave_failed(SL_NO_SPACE);
}

/* The mismatch is found only when all is in; who leaves before hears no more of it. */
static void leave_before_a_wrong_promise_is_found(void **state)
{
    struct sl_digests promised = promise_of(ALL_ALGS, (1 << 20) + 5000);
    promised.value[SL_HASH_MD5][0] ^= 1;
    struct sl_session_plan plan = {.conflict = SL_CONFLICT_ERROR, .promised = &promised};
    assert_int_equal(begin_plan(plan), SL_SESSION_RECEIVING);
    assert_true(feed(1 << 20, false));
    feed_and_finish(5000);
    sl_session_leave(&session);
    until(SL_SESSION_GONE);
    assert_int_equal(changes, 2); /* RECEIVING, GONE */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(right_promise_of_any_kind_is_stored),
        cmocka_unit_test(wrong_promise_is_refused_whatever_the_length),
        cmocka_unit_test(one_wrong_among_right_ones_is_refused),
        CASE(promise_is_compared_up_to_its_length),
        cmocka_unit_test(body_of_several_pieces_is_held_against_its_promise),
        CASE(failed_write_is_told_before_a_wrong_promise),
        CASE(leave_before_a_wrong_promise_is_found),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
