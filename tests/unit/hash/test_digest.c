#include "hash/crc32c.h"
#include "sluice/hash/hash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define ALL_ALGS ((sl_hash_set)((1u << SL_HASH_ALGS) - 1))

static void to_hex(const uint8_t *bytes, size_t len, char *hex_out)
{
    hex_out[0] = '\0';
    for (size_t i = 0; i < len; i++)
        snprintf(hex_out + 2 * i, 3, "%02x", bytes[i]);
}

/* FIPS 180-4 examples, RFC 1321 appendix A.5, and "check" of the CRC catalogue. */
static const struct vector {
    enum sl_hash_alg alg;
    const char *text;
    const char *hex;
} vectors[] = {
    {SL_HASH_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {SL_HASH_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {SL_HASH_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {SL_HASH_SHA512, "",
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
     "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
    {SL_HASH_SHA512, "abc",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    {SL_HASH_SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {SL_HASH_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {SL_HASH_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
    {SL_HASH_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
    {SL_HASH_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
    {SL_HASH_CRC32C, "", "00000000"},
    {SL_HASH_CRC32C, "123456789", "e3069283"},
    {SL_HASH_CRC32, "", "00000000"},
    {SL_HASH_CRC32, "123456789", "cbf43926"},
};

static void hash_now_known_text_gives_published_digest(void **state)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        struct sl_digests digests;
        char hex[2 * SL_HASH_BYTES_MAX + 1];
        sl_hash_now(1u << v->alg, v->text, strlen(v->text), &digests);
        assert_int_equal(digests.set, 1u << v->alg);
        to_hex(digests.value[v->alg], sl_hash_bytes(v->alg), hex);
        assert_string_equal(hex, v->hex);
    }
}

static void hash_now_null_of_no_bytes_equals_empty_text(void **state)
{
    struct sl_digests of_null, of_text;
    sl_hash_now(ALL_ALGS, NULL, 0, &of_null);
    sl_hash_now(ALL_ALGS, "", 0, &of_text);
    assert_memory_equal(&of_null, &of_text, sizeof of_null);
}

static void hash_now_all_algorithms_equal_each_alone(void **state)
{
    static char data[100 * 1000]; /* several pieces and a rest */
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7 + i / 251);
    struct sl_digests all;
    sl_hash_now(ALL_ALGS, data, sizeof data, &all);
    assert_int_equal(all.set, ALL_ALGS);
    for (int alg = 0; alg < SL_HASH_ALGS; alg++) {
        struct sl_digests one;
        static const uint8_t zero[SL_HASH_BYTES_MAX];
        sl_hash_now(1u << alg, data, sizeof data, &one);
        assert_memory_equal(all.value[alg], one.value[alg], SL_HASH_BYTES_MAX);
        assert_memory_not_equal(one.value[alg], zero, sl_hash_bytes((enum sl_hash_alg)alg));
        for (int other = 0; other < SL_HASH_ALGS; other++)
            if (other != alg)
                assert_memory_equal(one.value[other], zero, SL_HASH_BYTES_MAX);
    }
}

static void hash_now_million_a_gives_published_digest(void **state)
{
    const size_t len = 1000 * 1000;
    char *data = malloc(len);
    assert_non_null(data);
    memset(data, 'a', len);
    struct sl_digests digests;
    sl_hash_now(1u << SL_HASH_SHA256, data, len, &digests);
    free(data);
    char hex[2 * SL_HASH_BYTES_MAX + 1];
    to_hex(digests.value[SL_HASH_SHA256], 32, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 3720 appendix B.4; the RFC lists the bytes as iSCSI sends them, lowest first. */
static void crc32c_rfc3720_examples_match_both_ways(void **state)
{
    static const unsigned char read_pdu[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
    };
    unsigned char zeroes[32] = {0}, ones[32], rising[32], falling[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) {
        rising[i] = (unsigned char)i;
        falling[i] = (unsigned char)(31 - i);
    }
    const struct {
        const unsigned char *data;
        size_t len;
        uint32_t crc;
    } examples[] = {
        {zeroes, 32, 0x8a9136aa},  {ones, 32, 0x62a8ab43},     {rising, 32, 0x46dd794e},
        {falling, 32, 0x113fdb5c}, {read_pdu, 48, 0xd9963a56},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        assert_int_equal(sl_crc32c(0, examples[i].data, examples[i].len), examples[i].crc);
        assert_int_equal(sl_crc32c_portable(0, examples[i].data, examples[i].len), examples[i].crc);
    }
}

static void crc32c_cut_at_every_position_gives_one_value(void **state)
{
    unsigned char data[67];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + 11);
    uint32_t whole = sl_crc32c(0, data, sizeof data);
    uint32_t drip = 0;
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint32_t head = sl_crc32c(0, data, cut);
        assert_int_equal(head, sl_crc32c_portable(0, data, cut));
        assert_int_equal(head, drip);
        assert_int_equal(sl_crc32c(head, data + cut, sizeof data - cut), whole);
        assert_int_equal(sl_crc32c_portable(head, data + cut, sizeof data - cut), whole);
        if (cut < sizeof data)
            drip = sl_crc32c(drip, data + cut, 1);
    }
}

static void hash_find_registered_names_found_without_case(void **state)
{
    static const struct {
        const char *name;
        enum sl_hash_alg alg;
        size_t bytes;
    } names[] = {
        {"sha-256", SL_HASH_SHA256, 32}, {"SHA-256", SL_HASH_SHA256, 32}, {"sha-512", SL_HASH_SHA512, 64},
        {"Sha", SL_HASH_SHA1, 20},       {"md5", SL_HASH_MD5, 16},        {"CRC32c", SL_HASH_CRC32C, 4},
        {"crc32", SL_HASH_CRC32, 4},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum sl_hash_alg alg;
        assert_true(sl_hash_find(sl_bytes_of(names[i].name), &alg));
        assert_int_equal(alg, names[i].alg);
        assert_int_equal(sl_hash_bytes(alg), names[i].bytes);
        assert_true(sl_bytes_equal_nocase(sl_bytes_of(sl_hash_name(alg)), sl_bytes_of(names[i].name)));
    }
}

static void hash_find_other_names_refused(void **state)
{
    static const char *const names[] = {"", "sha256", "sha-2", "sha-2567", "sha-1", "md5 ", " md5", "crc", "unixsum"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum sl_hash_alg alg = SL_HASH_ALGS;
        assert_false(sl_hash_find(sl_bytes_of(names[i]), &alg));
        assert_int_equal(alg, SL_HASH_ALGS);
    }
    enum sl_hash_alg alg;
    assert_false(sl_hash_find((struct sl_bytes){"md5\0", 4}, &alg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_now_known_text_gives_published_digest),
        cmocka_unit_test(hash_now_null_of_no_bytes_equals_empty_text),
        cmocka_unit_test(hash_now_all_algorithms_equal_each_alone),
        cmocka_unit_test(hash_now_million_a_gives_published_digest),
        cmocka_unit_test(crc32c_rfc3720_examples_match_both_ways),
        cmocka_unit_test(crc32c_cut_at_every_position_gives_one_value),
        cmocka_unit_test(hash_find_registered_names_found_without_case),
        cmocka_unit_test(hash_find_other_names_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
