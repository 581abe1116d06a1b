/* Digests that are saved and gone on with. What is right, OpenSSL's and zlib's own calls tell. */
#include "hash/crc32c.h"
#include "hash/digest.h"
#include "sluice/hash/hash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ALL_ALGS   ((sl_hash_set)((1u << SL_HASH_ALGS) - 1))
#define DATA_BYTES (4 * 128 + 17)

static unsigned char data[DATA_BYTES];

/* What somebody else says that these bytes digest to. */
static void digest_elsewhere(enum sl_hash_alg alg, size_t len, uint8_t *value_out)
{
    static const char *const evp_names[SL_HASH_ALGS] = {
        [SL_HASH_SHA256] = "SHA256", [SL_HASH_SHA512] = "SHA512", [SL_HASH_SHA1] = "SHA1", [SL_HASH_MD5] = "MD5"};
    if (evp_names[alg] != NULL) {
        assert_true(EVP_Digest(data, len, value_out, NULL, EVP_get_digestbyname(evp_names[alg]), NULL));
        return;
    }
    uint32_t crc = alg == SL_HASH_CRC32 ? (uint32_t)crc32(0, data, (uInt)len) : sl_crc32c_portable(0, data, len);
    for (int b = 0; b < 4; b++)
        value_out[b] = (uint8_t)(crc >> (24 - 8 * b));
}

/* By length and algorithm. */
static uint8_t expected[DATA_BYTES + 1][SL_HASH_ALGS][SL_HASH_BYTES_MAX];

static int set_up(void **state)
{
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + i / 13 + 1);
    for (size_t len = 0; len <= DATA_BYTES; len++)
        for (int alg = 0; alg < SL_HASH_ALGS; alg++)
            digest_elsewhere((enum sl_hash_alg)alg, len, expected[len][alg]);
    return 0;
}

static void assert_state(const struct sl_hash_state *saved, sl_hash_set set, uint64_t digested)
{
    sl_hash_set set_is;
    uint64_t digested_is;
    assert_int_equal(sl_hash_state_check(saved, &set_is, &digested_is), SL_OK);
    assert_int_equal(set_is, set);
    assert_int_equal(digested_is, digested);
}

static void assert_ends_as(const struct sl_hash_state *saved, sl_hash_set set, size_t len)
{
    struct sl_digests digests;
    sl_hash_state_end(saved, &digests);
    assert_int_equal(digests.set, set);
    for (int alg = 0; alg < SL_HASH_ALGS; alg++) {
        static const uint8_t zero[SL_HASH_BYTES_MAX];
        assert_memory_equal(digests.value[alg], set >> alg & 1 ? expected[len][alg] : zero, SL_HASH_BYTES_MAX);
    }
}

/* From `from` on, in copies: as if it had been on disk between. */
static struct sl_hash_state updated(const struct sl_hash_state *from, size_t start, size_t len)
{
    struct sl_hash_state to;
    memset(&to, 0xee, sizeof to);
    to.len = from->len;
    memcpy(to.bytes, from->bytes, from->len);
    sl_hash_state_update(&to, data + start, len);
    return to;
}

static void update_cut_at_every_position_ends_as_one(void **state)
{
    for (int alg = 0; alg <= SL_HASH_ALGS; alg++) {
        sl_hash_set set = alg < SL_HASH_ALGS ? 1u << alg : ALL_ALGS;
        struct sl_hash_state none;
        sl_hash_state_begin(&none, set);
        assert_state(&none, set, 0);
        for (size_t cut = 0; cut <= DATA_BYTES; cut++) {
            struct sl_hash_state head = updated(&none, 0, cut);
            assert_state(&head, set, cut);
            assert_ends_as(&head, set, cut);
            struct sl_hash_state whole = updated(&head, cut, DATA_BYTES - cut);
            assert_state(&whole, set, DATA_BYTES);
            assert_ends_as(&whole, set, DATA_BYTES);
            assert_ends_as(&head, set, cut); /* ending changed nothing */
        }
    }
}

static void update_every_pair_of_cuts_ends_as_one(void **state)
{
    struct sl_hash_state none;
    sl_hash_state_begin(&none, ALL_ALGS);
    for (size_t first = 0; first <= 300; first++) {
        struct sl_hash_state head = updated(&none, 0, first);
        for (size_t second = first; second <= 300; second++) {
            struct sl_hash_state middle = updated(&head, first, second - first);
            if (second % 7 == first % 7) {
                struct sl_hash_state whole = updated(&middle, second, 300 - second);
                assert_ends_as(&whole, ALL_ALGS, 300);
            }
        }
    }
}

static void update_byte_by_byte_ends_as_one_for_every_set(void **state)
{
    for (sl_hash_set set = 0; set <= ALL_ALGS; set++) {
        struct sl_hash_state saved;
        sl_hash_state_begin(&saved, set);
        for (size_t at = 0; at < DATA_BYTES; at++) {
            saved = updated(&saved, at, 1);
            assert_state(&saved, set, at + 1);
        }
        assert_ends_as(&saved, set, DATA_BYTES);
    }
}

/* Past the byte where a count of bits no longer fits 32 of them. */
static void resume_behind_half_a_gib_ends_as_without(void **state)
{
    const size_t piece = (size_t)1 << 20;
    unsigned char *zeros = calloc(1, piece);
    assert_non_null(zeros);
    struct sl_digest straight, resumed;
    sl_digest_begin(&straight, 1u << SL_HASH_SHA256 | 1u << SL_HASH_SHA1 | 1u << SL_HASH_MD5);
    for (unsigned i = 0; i < 512; i++)
        sl_digest_update(&straight, zeros, piece);
    for (unsigned i = 0; i < 3; i++) {
        struct sl_hash_state saved;
        struct sl_digests expected_digests, digests;
        sl_digest_update(&straight, zeros, 50);
        sl_digest_save(&straight, &saved);
        assert_state(&saved, straight.set, 512 * piece + 50 * (i + 1));
        assert_int_equal(sl_digest_resume(&resumed, &saved), SL_OK);
        struct sl_digest copy = straight;
        sl_digest_update(&copy, zeros, 1000);
        sl_digest_update(&resumed, zeros, 1000);
        sl_digest_end(&copy, &expected_digests);
        sl_digest_end(&resumed, &digests);
        assert_memory_equal(&digests, &expected_digests, sizeof digests);
    }
    free(zeros);
}

/* States lie on disks: their form is not for changing. */
static void save_form_is_the_same_for_ever(void **state)
{
    static const char of_abc[] = "01"
                                 "02"
                                 "0300000000000000"
                                 "01"
                                 "67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b"
                                 "06"
                                 "c2412435"
                                 "616263";
    struct sl_hash_state saved;
    char hex[2 * SL_HASH_STATE_BYTES_MAX + 1] = "";
    sl_hash_state_begin(&saved, 1u << SL_HASH_SHA256 | 1u << SL_HASH_CRC32);
    sl_hash_state_update(&saved, "abc", 3);
    for (size_t i = 0; i < saved.len - 4; i++)
        snprintf(hex + 2 * i, 3, "%02x", saved.bytes[i]);
    assert_string_equal(hex, of_abc);

    sl_hash_state_begin(&saved, ALL_ALGS);
    sl_hash_state_update(&saved, data, 300);
    assert_int_equal(saved.len, 10 + 33 + 65 + 21 + 17 + 5 + 5 + 300 % 128 + 4);
    assert_int_equal(sl_crc32c(0, saved.bytes, saved.len - 4), 0x100114ae);
    sl_hash_state_update(&saved, data + 300, 127 - 300 % 128); /* as long as it gets */
    assert_true(saved.len <= SL_HASH_STATE_BYTES_MAX);
}

/* ---- bytes that are no state ---- */

static void refuse(const struct sl_hash_state *wrong)
{
    sl_hash_set set = 77;
    uint64_t digested = 77;
    assert_int_equal(sl_hash_state_check(wrong, &set, &digested), SL_BAD_FIELD);
    assert_int_equal(set, 77);
    struct sl_digest digest;
    assert_int_equal(sl_digest_resume(&digest, wrong), SL_BAD_FIELD);
    assert_int_equal(digest.set, 0);
}

/* Somebody who knows the form makes the check right. */
static void seal(struct sl_hash_state *wrong)
{
    size_t covered = wrong->len - 4;
    uint32_t crc = sl_crc32c(0, wrong->bytes, covered);
    for (unsigned i = 0; i < 4; i++)
        wrong->bytes[covered + i] = (uint8_t)(crc >> 8 * i);
}

static struct sl_hash_state good(sl_hash_set set, size_t len)
{
    struct sl_hash_state saved;
    memset(&saved, 0, sizeof saved);
    sl_hash_state_begin(&saved, set);
    sl_hash_state_update(&saved, data, len);
    return saved;
}

static void check_any_bit_flipped_is_refused(void **state)
{
    const struct sl_hash_state saved = good(ALL_ALGS, 200);
    for (size_t bit = 0; bit < 8 * saved.len; bit++) {
        struct sl_hash_state wrong = saved;
        wrong.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refuse(&wrong);
    }
}

static void check_any_other_length_is_refused(void **state)
{
    const struct sl_hash_state saved = good(ALL_ALGS, 200);
    for (size_t len = 0; len <= SL_HASH_STATE_BYTES_MAX; len++) {
        struct sl_hash_state wrong = saved;
        wrong.len = len;
        if (len == saved.len)
            continue;
        refuse(&wrong);
        if (len >= 4) {
            seal(&wrong);
            refuse(&wrong);
        }
    }
    struct sl_hash_state wrong = saved;
    wrong.len = SL_HASH_STATE_BYTES_MAX + 1;
    refuse(&wrong);
    wrong.len = SIZE_MAX;
    refuse(&wrong);
}

static void check_sealed_but_senseless_is_refused(void **state)
{
    const size_t first = 10, second = first + 1 + 32, third = second + 1 + 20; /* where tags are */
    const struct sl_hash_state saved = good(1u << SL_HASH_SHA256 | 1u << SL_HASH_SHA1 | 1u << SL_HASH_CRC32C, 100);
    assert_int_equal(saved.bytes[third], 5);
    const struct {
        size_t at;
        uint8_t byte;
    } changes[] = {
        {0, 0},      {0, 2},      {0, 255},                 /* version */
        {1, 0},      {1, 2},      {1, 4},       {1, 255},   /* algorithms */
        {2, 99},     {2, 101},    {2, 36 + 1},  {2, 0},     /* digested: another rest */
        {9, 0x20},   {9, 0x80},                             /* digested: more bits than there can be */
        {first, 0},  {first, 7},  {first, 255}, {first, 3}, /* tags: of none, of another length, */
        {second, 1}, {second, 4}, {third, 3},   {third, 1}, /* twice, not rising */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct sl_hash_state wrong = saved;
        wrong.bytes[changes[i].at] = changes[i].byte;
        seal(&wrong);
        refuse(&wrong);
    }
    struct sl_hash_state right = saved;
    right.bytes[third] = 6; /* crc32 in the place of crc32c is as good as any */
    seal(&right);
    assert_state(&right, 1u << SL_HASH_SHA256 | 1u << SL_HASH_SHA1 | 1u << SL_HASH_CRC32, 100);
    right.bytes[8] = 1; /* and so is another count of the same blocks */
    seal(&right);
    assert_state(&right, 1u << SL_HASH_SHA256 | 1u << SL_HASH_SHA1 | 1u << SL_HASH_CRC32, 100 + (1ull << 48));
}

/* Of two that are alike in form only the order tells which is which. */
static void check_tags_that_do_not_rise_are_refused(void **state)
{
    const size_t first = 10, second = first + 1 + 4;
    static const uint8_t tags[][2] = {{6, 5}, {5, 5}, {6, 6}};
    struct sl_hash_state wrong = good(1u << SL_HASH_CRC32C | 1u << SL_HASH_CRC32, 100);
    assert_int_equal(wrong.bytes[first], 5);
    assert_int_equal(wrong.bytes[second], 6);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        wrong.bytes[first] = tags[i][0];
        wrong.bytes[second] = tags[i][1];
        seal(&wrong);
        refuse(&wrong);
    }
}

static void check_random_bytes_are_refused_or_safe(void **state)
{
    uint32_t random = 1;
    for (unsigned round = 0; round < 200 * 1000; round++) {
        struct sl_hash_state wrong = good(round % 64, round % 128);
        for (unsigned n = 0; n < 4; n++) {
            random = random * 1664525 + 1013904223;
            wrong.bytes[(random >> 16) % (n < 2 ? 12 : wrong.len)] = (uint8_t)(random >> 8);
        }
        if (round % 3 == 0)
            wrong.len = (random >> 12) % (SL_HASH_STATE_BYTES_MAX - 4) + 4;
        seal(&wrong);
        sl_hash_set set;
        uint64_t digested;
        if (sl_hash_state_check(&wrong, &set, &digested) != SL_OK)
            continue;
        if (digested <= UINT64_MAX / 16) {
            sl_hash_state_update(&wrong, data, sizeof data);
            assert_state(&wrong, set, digested + sizeof data);
        }
        struct sl_digests digests;
        sl_hash_state_end(&wrong, &digests);
        assert_int_equal(digests.set, set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(update_cut_at_every_position_ends_as_one),
        cmocka_unit_test(update_every_pair_of_cuts_ends_as_one),
        cmocka_unit_test(update_byte_by_byte_ends_as_one_for_every_set),
        cmocka_unit_test(resume_behind_half_a_gib_ends_as_without),
        cmocka_unit_test(save_form_is_the_same_for_ever),
        cmocka_unit_test(check_any_bit_flipped_is_refused),
        cmocka_unit_test(check_any_other_length_is_refused),
        cmocka_unit_test(check_sealed_but_senseless_is_refused),
        cmocka_unit_test(check_tags_that_do_not_rise_are_refused),
        cmocka_unit_test(check_random_bytes_are_refused_or_safe),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
