/* The digests a sender tells, by each header in use: right, wrong in form, unknown, and at odds with each other. Each
 * row goes through a request and through a part of a form. */
#include "http/handler/integrity.h"
#include "http_case.h"

#define BIT(alg) (1u << SL_HASH_##alg)

/* Of "hello\n". */
#define MD5        "sZRqySSS0jR8YjW00mERhA=="
#define SHA        "9XLTlvrpIGYocU+yzgD3LpTyJY8="
#define SHA256     "WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="
#define SHA512     "58IrmUxZ2c8rSOVJseJGZmNgRZMNPafBrLKZ0cO3+TH5Sq5B7dosKyB6NuEPi8uNRSI+VIePWzFufOO2vAGWKQ=="
#define CRC32C     "NT3Yvg=="
#define MD5_HEX    "b1946ac92492d2347c6235b4d2611184"
#define SHA_HEX    "f572d396fae9206628714fb2ce00f72e94f2258f"
#define SHA256_HEX "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define SHA512_HEX                                                   \
    "e7c22b994c59d9cf2b48e549b1e24666636045930d3da7c1acb299d1c3b7f9" \
    "31f94aae41edda2c2b207a36e10f8bcb8d45223e54878f5b316e7ce3b6bc019629"

/* Of something else. */
#define OTHER     "2SmKENGwc1g33EvYXaxkGw887yekfl1TpU8vP1svz/o="
#define OTHER_MD5 "AAAAAAAAAAAAAAAAAAAAAA=="

#define ROW_HEADERS_MAX 8

static const struct {
    const char *headers[2 * ROW_HEADERS_MAX + 1]; /* name, value ... */
    sl_err err;
    sl_hash_set set;
} rows[] = {
    {{"content-type", "text/plain", "x-file-hash-x", "1"}, SL_OK, 0},
    /* Content-Digest, Repr-Digest */
    {{"content-digest", "sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256)},
    {{"repr-digest", "sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256)},
    {{"repr-digest", "sha-512=:" SHA512 ":"}, SL_OK, BIT(SHA512)},
    {{"repr-digest", "sha=:" SHA ":,md5=:" MD5 ":, crc32c=:" CRC32C ":"}, SL_OK, BIT(SHA1) | BIT(MD5) | BIT(CRC32C)},
    {{"content-digest", "sha-256=:" SHA256 ":;q=1"}, SL_OK, BIT(SHA256)},
    {{"content-digest", "sha-256=:WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM:"},
     SL_OK,
     BIT(SHA256)}, /* no padding */
    {{"content-digest", "unixsum=:AAA=:, sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256)},
    {{"content-digest", "unixsum=:AAA=:", "content-digest", "sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256)},
    {{"content-digest", "md5=:" MD5 ":", "content-digest", "sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256) | BIT(MD5)},
    {{"content-digest", "sha-256=:" SHA256 ":", "repr-digest", "sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256)},
    {{"content-digest", "sha-256=:" SHA256 ":,sha-256=:" SHA256 ":"}, SL_OK, BIT(SHA256)},
    {{"content-digest", "sha-256=:" OTHER ":,sha-256=:" SHA256 ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" SHA256 ":", "content-digest", "sha-256=:" OTHER ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" SHA256 ":", "repr-digest", "sha-256=:" OTHER ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "unixsum=:AAA=:"}, SL_DIGEST_UNSUPPORTED, 0},
    {{"content-digest", "unixsum=:AAA=:, adler=:AAAAAA==:"}, SL_DIGEST_UNSUPPORTED, 0},
    {{"content-digest", "unixsum=:AAA=:", "repr-digest", "sha-256=:" SHA256 ":"}, SL_DIGEST_UNSUPPORTED, 0},
    {{"content-digest", ""}, SL_BAD_DIGEST, 0},
    {{"content-digest", "garbage"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=" SHA256}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" SHA256}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=\"" SHA256 "\""}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=10"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=::"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" MD5 ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" SHA512 ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "md5=:" SHA256 ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-512=:" SHA512 "AAAA:"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-512=:" SHA512 SHA512 SHA512 ":"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" SHA256 ":,"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "sha-256=:" SHA256 ":, sha-512=:AAAA:"}, SL_BAD_DIGEST, 0},
    {{"content-digest", "SHA-256=:" SHA256 ":"}, SL_BAD_DIGEST, 0}, /* keys are in lower case */
    /* Content-MD5 */
    {{"content-md5", MD5}, SL_OK, BIT(MD5)},
    {{"content-md5", MD5, "repr-digest", "sha-256=:" SHA256 ":"}, SL_OK, BIT(MD5) | BIT(SHA256)},
    {{"content-md5", MD5, "repr-digest", "md5=:" MD5 ":"}, SL_OK, BIT(MD5)},
    {{"content-md5", OTHER_MD5, "repr-digest", "md5=:" MD5 ":"}, SL_BAD_DIGEST, 0},
    {{"content-md5", ""}, SL_BAD_DIGEST, 0},
    {{"content-md5", MD5_HEX}, SL_BAD_DIGEST, 0},
    {{"content-md5", "sZRqySSS0jR8YjW00mERhA"}, SL_BAD_DIGEST, 0},
    {{"content-md5", SHA}, SL_BAD_DIGEST, 0},
    {{"content-md5", ":" MD5 ":"}, SL_BAD_DIGEST, 0},
    {{"content-md5", MD5 ", " MD5}, SL_BAD_DIGEST, 0},
    /* X-File-Hash */
    {{"x-file-hash", SHA256_HEX}, SL_OK, BIT(SHA256)},
    {{"x-file-hash", "5891B5B522D5DF086D0FF0B110FBD9D21BB4FC7163AF34D08286A2E846F6BE03"}, SL_OK, BIT(SHA256)},
    {{"x-file-hash", SHA256_HEX, "x-file-hash-function", "sha256"}, SL_OK, BIT(SHA256)},
    {{"x-file-hash", SHA256_HEX, "x-file-hash-function", "SHA-256"}, SL_OK, BIT(SHA256)},
    {{"x-file-hash-function", "sha512", "x-file-hash", SHA512_HEX}, SL_OK, BIT(SHA512)},
    {{"x-file-hash", SHA512_HEX, "x-file-hash-function", "sha-512"}, SL_OK, BIT(SHA512)},
    {{"x-file-hash", SHA_HEX, "x-file-hash-function", "sha"}, SL_OK, BIT(SHA1)},
    {{"x-file-hash", SHA_HEX, "x-file-hash-function", "sha1"}, SL_OK, BIT(SHA1)},
    {{"x-file-hash", SHA_HEX, "x-file-hash-function", "sha-1"}, SL_OK, BIT(SHA1)},
    {{"x-file-hash", MD5_HEX, "x-file-hash-function", "md5"}, SL_OK, BIT(MD5)},
    {{"x-file-hash", SHA256_HEX, "x-file-hash-function", "whirlpool", "x-file-hash-function", "sha256"},
     SL_BAD_DIGEST,
     0},
    {{"x-file-hash", "353dd8be", "x-file-hash-function", "crc32c"}, SL_OK, BIT(CRC32C)},
    {{"x-file-hash-function", "sha256"}, SL_OK, 0},
    {{"x-file-hash-function", "whirlpool"}, SL_OK, 0},
    {{"x-file-hash", SHA256_HEX, "x-file-hash-function", "whirlpool"}, SL_DIGEST_UNSUPPORTED, 0},
    {{"x-file-hash", SHA256_HEX, "x-file-hash-function", ""}, SL_DIGEST_UNSUPPORTED, 0},
    {{"x-file-hash", MD5_HEX, "x-file-hash-function", "md5", "x-file-hash-function", "sha256"}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", MD5_HEX, "x-file-hash-function", "md5", "x-file-hash-function", "x"}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", SHA256_HEX, "x-file-hash", SHA256_HEX}, SL_OK, BIT(SHA256)},
    {{"x-file-hash", MD5_HEX}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", SHA512_HEX}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", SHA256_HEX "0"}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", SHA512_HEX "00", "x-file-hash-function", "sha512"}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", SHA512_HEX SHA512_HEX}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", ""}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", SHA256}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", "g891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be0@"}, SL_BAD_DIGEST, 0},
    {{"x-file-hash", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be0"}, SL_BAD_DIGEST, 0},
    /* x-amz-checksum-* */
    {{"x-amz-checksum-sha256", SHA256}, SL_OK, BIT(SHA256)},
    {{"x-amz-checksum-sha1", SHA}, SL_OK, BIT(SHA1)},
    {{"x-amz-checksum-crc32c", CRC32C}, SL_OK, BIT(CRC32C)},
    {{"x-amz-checksum-sha256", SHA256_HEX}, SL_BAD_DIGEST, 0},
    {{"x-amz-checksum-sha256", OTHER, "x-amz-checksum-sha256", SHA256}, SL_BAD_DIGEST, 0},
    {{"x-amz-checksum-crc32c", "NT3Yvg"}, SL_BAD_DIGEST, 0},
    {{"x-amz-checksum-crc32c", ""}, SL_BAD_DIGEST, 0},
    {{"x-amz-checksum-crc32", "NjowIA=="}, SL_OK, BIT(CRC32)},
    {{"x-amz-checksum-crc64nvme", "AAAAAAAAAAA="}, SL_DIGEST_UNSUPPORTED, 0},
    {{"x-amz-checksum-type", "FULL_OBJECT", "x-amz-checksum-sha256", SHA256}, SL_OK, BIT(SHA256)},
    {{"x-amz-checksum-algorithm", "CRC32"}, SL_OK, 0},
    {{"x-amz-checksum-mode", "ENABLED"}, SL_OK, 0},
    {{"x-amz-content-sha256", SHA256_HEX}, SL_OK, BIT(SHA256)},
    {{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, SL_OK, 0},
    {{"x-amz-content-sha256", SHA256_HEX, "x-amz-checksum-sha256", OTHER}, SL_BAD_DIGEST, 0},
    /* Digest, as it was before RFC 9530 */
    {{"digest", "SHA-256=" SHA256}, SL_OK, BIT(SHA256)},
    {{"digest", "sha-256=" SHA256 ", MD5=" MD5}, SL_OK, BIT(SHA256) | BIT(MD5)},
    {{"digest", "unixsum=30637, SHA=" SHA}, SL_OK, BIT(SHA1)},
    {{"digest", "unixsum=30637"}, SL_DIGEST_UNSUPPORTED, 0},
    {{"digest", "sha-256=" MD5}, SL_BAD_DIGEST, 0},
    {{"digest", "sha-256"}, SL_BAD_DIGEST, 0},
    {{"digest", ""}, SL_BAD_DIGEST, 0},
    /* all of them */
    {{"content-digest", "sha-512=:" SHA512 ":", "repr-digest", "sha-256=:" SHA256 ":", "content-md5", MD5,
      "x-file-hash", SHA_HEX, "x-file-hash-function", "sha1", "x-amz-checksum-crc32c", CRC32C, "x-amz-checksum-crc32",
      "NjowIA=="},
     SL_OK,
     (1u << SL_HASH_ALGS) - 1},
};
#define ROWS (sizeof rows / sizeof rows[0])

static struct http_case h;

static int setup(void **state)
{
    http_case_open(&h, TEST_THREADS);
    return 0;
}

static int teardown(void **state)
{
    http_case_close(&h);
    return 0;
}

static void expect_row(size_t row, const char *way, sl_err err, const struct sl_digests *promised)
{
    struct sl_digests right;
    sl_hash_now((1u << SL_HASH_ALGS) - 1, "hello\n", 6, &right);
    if (err != rows[row].err || (err == SL_OK && promised->set != rows[row].set))
        fail_msg("%s, row %zu (%s: %s): %s, set %x", way, row, rows[row].headers[0], rows[row].headers[1],
                 sl_err_row(err)->name, promised->set);
    for (unsigned alg = 0; err == SL_OK && alg < SL_HASH_ALGS; alg++)
        if (promised->set & (1u << alg))
            assert_memory_equal(promised->value[alg], right.value[alg], sl_hash_bytes(alg));
}

static void headers_of_a_request_are_a_promise_or_refused(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct exchange x = {0};
        struct sl_digests promised;
        exchange_begin(&x, &h, "PUT", rows[i].headers);
        memset(&promised, 0xa5, sizeof promised);
        sl_err err = sl_integrity_of_request(&x.request, &promised);
        expect_row(i, "request", err, &promised);
        assert_int_equal(sl_integrity_is_told(&x.request), rows[i].err != SL_OK || rows[i].set != 0);
        exchange_end(&x);
    }
}

/* The parser is as large as a form: not for the stack of a sanitizer build. */
static struct sl_multipart multipart;

static void parse_part(const char *const *headers)
{
    char body[4096];
    struct sl_text text;
    sl_text_init(&text, body, sizeof body);
    sl_text_put(&text, SL_BYTES("--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n"));
    for (; headers[0] != NULL; headers += 2)
        sl_text_printf(&text, "%s: %s\r\n", headers[0], headers[1]);
    sl_text_put(&text, SL_BYTES("\r\nhello\n\r\n--b--\r\n"));
    assert_false(text.full);
    assert_int_equal(sl_multipart_init(&multipart, SL_BYTES("multipart/form-data; boundary=b"), 10), SL_OK);
    sl_multipart_keep(&multipart, sl_integrity_headers);
    enum sl_multipart_event event = SL_MULTIPART_MORE;
    for (size_t at = 0, n; event != SL_MULTIPART_PART; at += n) {
        assert_int_equal(sl_multipart_next(&multipart, text.base + at, text.len - at, &event, &n), SL_OK);
        assert_int_not_equal(event, SL_MULTIPART_MORE);
    }
}

static void headers_of_a_part_are_the_same(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct sl_digests promised;
        parse_part(rows[i].headers);
        sl_err err = sl_integrity_of_part(&multipart.part, &promised);
        expect_row(i, "part", err, &promised);
    }
}

/* Of a request any x-amz-checksum- is looked at, also one that nobody has heard of. */
static void checksum_that_is_yet_to_be_invented_is_unsupported(void **state)
{
    static const char *const names[] = {"x-amz-checksum-xxh128", "x-amz-checksum-sha2566", "x-amz-checksum-crc32cc"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct sl_header_line line = {sl_bytes_of(names[i]), SL_BYTES(SHA256)};
        struct sl_digests promised;
        assert_int_equal(sl_integrity_parse(&line, 1, &promised), SL_DIGEST_UNSUPPORTED);
    }
    struct sl_header_line prefix = {SL_BYTES("x-amz-checksum-"), SL_BYTES(SHA256)};
    struct sl_digests promised;
    assert_int_equal(sl_integrity_parse(&prefix, 1, &promised), SL_OK);
    assert_int_equal(promised.set, 0);
}

/* The wrong byte anywhere is a different promise or none, never the right one. */
static void one_byte_changed_is_not_the_same_promise(void **state)
{
    static const char right[] = "sha-256=:" SHA256 ":";
    struct sl_digests expected, promised;
    struct sl_header_line line = {SL_BYTES("repr-digest"), SL_BYTES(right)};
    assert_int_equal(sl_integrity_parse(&line, 1, &expected), SL_OK);
    for (size_t i = 0; i < sizeof right - 1; i++) {
        for (unsigned c = 0; c < 256; c++) {
            char value[sizeof right];
            memcpy(value, right, sizeof right);
            if ((unsigned char)value[i] == c)
                continue;
            value[i] = (char)c;
            line.value = (struct sl_bytes){value, sizeof right - 1};
            if (sl_integrity_parse(&line, 1, &promised) == SL_OK)
                assert_memory_not_equal(promised.value[SL_HASH_SHA256], expected.value[SL_HASH_SHA256], 32);
        }
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(headers_of_a_request_are_a_promise_or_refused),
        cmocka_unit_test(headers_of_a_part_are_the_same),
        cmocka_unit_test(checksum_that_is_yet_to_be_invented_is_unsupported),
        cmocka_unit_test(one_byte_changed_is_not_the_same_promise),
    };
    return cmocka_run_group_tests(cases, setup, teardown);
}
