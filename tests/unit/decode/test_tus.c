/* The fields of tus: what clients send, what they must not, each bound, and every field cut at every position. */
#include "sluice/decode/tus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* NULs and all. */
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

/* In memory that ends where the field ends, so that a sanitizer sees what is read behind it. */
static struct sl_bytes copy_of(struct sl_bytes field)
{
    char *copy = malloc(field.len + (field.len == 0));
    assert_non_null(copy);
    if (field.len > 0)
        memcpy(copy, field.base, field.len);
    return (struct sl_bytes){copy, field.len};
}

static void free_copy(struct sl_bytes copy)
{
    free((void *)(uintptr_t)copy.base);
}

static bool is_same(struct sl_bytes got, const char *expected)
{
    return sl_bytes_equal(got, sl_bytes_of(expected));
}

/* --- Upload-Metadata --- */

static const struct {
    struct sl_bytes field;
    sl_err err;
    const char *pairs; /* "key=value;" as they are told */
} metadata[] = {
    {{NULL, 0}, SL_OK, ""},
    {TEXT(""), SL_OK, ""},
    {TEXT("   "), SL_OK, ""},
    {TEXT("filename d29ybGQ="), SL_OK, "filename=d29ybGQ=;"},
    {TEXT("filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential"), SL_OK,
     "filename=d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==;is_confidential=;"},
    {TEXT("is_confidential,filename YQ=="), SL_OK, "is_confidential=;filename=YQ==;"},
    {TEXT("empty ,filename YQ=="), SL_OK, "empty=;filename=YQ==;"},
    {TEXT("a YQ==, b Yg==  ,  c Yw=="), SL_OK, "a=YQ==;b=Yg==;c=Yw==;"},
    {TEXT(" a YQ== "), SL_OK, "a=YQ==;"},
    {TEXT("a"), SL_OK, "a=;"},
    {TEXT("a="), SL_OK, "a==;"},
    {TEXT("a,A"), SL_OK, "a=;A=;"},
    {TEXT("!#$%&'()*+-./:;<=>?@[]^_`{|}~\"\\ /+8="), SL_OK, "!#$%&'()*+-./:;<=>?@[]^_`{|}~\"\\=/+8=;"},
    {TEXT("a YWJj"), SL_OK, "a=YWJj;"},
    /* twice */
    {TEXT("a,a"), SL_BAD_FIELD, NULL},
    {TEXT("a YQ==,b,a Yg=="), SL_BAD_FIELD, NULL},
    {TEXT("a YQ==, a"), SL_BAD_FIELD, NULL},
    /* no key */
    {TEXT(","), SL_BAD_FIELD, NULL},
    {TEXT("a,"), SL_BAD_FIELD, NULL},
    {TEXT("a, "), SL_BAD_FIELD, NULL},
    {TEXT(",a"), SL_BAD_FIELD, NULL},
    {TEXT("a,,b"), SL_BAD_FIELD, NULL},
    {TEXT("a YQ==, ,b"), SL_BAD_FIELD, NULL},
    /* no base64 */
    {TEXT("a YQ"), SL_BAD_FIELD, NULL},
    {TEXT("a YQ="), SL_BAD_FIELD, NULL},
    {TEXT("a YR=="), SL_BAD_FIELD, NULL},
    {TEXT("a YQ==="), SL_BAD_FIELD, NULL},
    {TEXT("a ===="), SL_BAD_FIELD, NULL},
    {TEXT("a YWJ_"), SL_BAD_FIELD, NULL},
    {TEXT("a  YQ=="), SL_BAD_FIELD, NULL},
    {TEXT("a YQ== Yg=="), SL_BAD_FIELD, NULL},
    {TEXT("a YW\nJj"), SL_BAD_FIELD, NULL},
    /* no such key */
    {TEXT("\xc3\xa4 YQ=="), SL_BAD_FIELD, NULL},
    {TEXT("a\tYQ=="), SL_BAD_FIELD, NULL},
    {TEXT("a,\tb"), SL_BAD_FIELD, NULL},
    {TEXT("a\0b YQ=="), SL_BAD_FIELD, NULL},
    {TEXT("a\x7f"), SL_BAD_FIELD, NULL},
    {TEXT("\r\n"), SL_BAD_FIELD, NULL},
};

static void expect_pairs(struct sl_bytes field, const char *expected)
{
    char told[SL_TUS_METADATA_BYTES_MAX + 128];
    struct sl_text text;
    sl_text_init(&text, told, sizeof told);
    struct sl_bytes rest = field, key, value;
    while (sl_tus_metadata_next(&rest, &key, &value)) {
        sl_text_put(&text, key);
        sl_text_put(&text, SL_BYTES("="));
        sl_text_put(&text, value);
        sl_text_put(&text, SL_BYTES(";"));
    }
    assert_string_equal(told, expected);
    assert_false(sl_tus_metadata_next(&rest, &key, &value));
}

static void metadata_table(void **state)
{
    for (size_t i = 0; i < COUNT(metadata); i++) {
        struct sl_bytes field = copy_of(metadata[i].field);
        if (sl_tus_metadata_check(field) != metadata[i].err)
            fail_msg("row %zu: \"%.*s\"", i, (int)field.len, field.base);
        if (metadata[i].err == SL_OK)
            expect_pairs(field, metadata[i].pairs);
        free_copy(field);
    }
}

/* What is left of a field is a field or is not: what it tells lies in it. */
static void metadata_cut_anywhere_stays_inside(void **state)
{
    for (size_t i = 0; i < COUNT(metadata); i++) {
        for (size_t len = 0; len < metadata[i].field.len; len++) {
            struct sl_bytes field = copy_of((struct sl_bytes){metadata[i].field.base, len}), key, value;
            sl_err err = sl_tus_metadata_check(field);
            assert_true(err == SL_OK || err == SL_BAD_FIELD);
            struct sl_bytes rest = field;
            while (err == SL_OK && sl_tus_metadata_next(&rest, &key, &value)) {
                assert_true(key.base >= field.base && key.base + key.len <= field.base + len);
                assert_true(value.base >= key.base + key.len && value.base + value.len <= field.base + len);
            }
            free_copy(field);
        }
    }
}

static void metadata_bounds_are_exact(void **state)
{
    char field[SL_TUS_METADATA_BYTES_MAX + 1];
    memset(field, 'k', sizeof field);
    assert_int_equal(sl_tus_metadata_check((struct sl_bytes){field, SL_TUS_METADATA_BYTES_MAX}), SL_OK);
    assert_int_equal(sl_tus_metadata_check((struct sl_bytes){field, sizeof field}), SL_HEAD_TOO_LARGE);

    memset(field, 'A', sizeof field); /* zeros, as many as fit behind a key */
    memcpy(field, "long ", 5);
    size_t len = 5 + (SL_TUS_METADATA_BYTES_MAX - 5) / 4 * 4;
    assert_int_equal(sl_tus_metadata_check((struct sl_bytes){field, len}), SL_OK);
    char value[SL_TUS_METADATA_BYTES_MAX];
    size_t value_len;
    assert_true(sl_tus_metadata_find((struct sl_bytes){field, len}, "long", value, sizeof value, &value_len));
    assert_int_equal(value_len, (len - 5) / 4 * 3);

    for (unsigned pairs = SL_TUS_METADATA_PAIRS_MAX; pairs < SL_TUS_METADATA_PAIRS_MAX + 2; pairs++) {
        struct sl_text text;
        sl_text_init(&text, field, sizeof field);
        for (unsigned i = 0; i < pairs; i++)
            sl_text_printf(&text, "%skey%u", i > 0 ? "," : "", i);
        sl_err expected = pairs <= SL_TUS_METADATA_PAIRS_MAX ? SL_OK : SL_HEAD_TOO_LARGE;
        assert_int_equal(sl_tus_metadata_check((struct sl_bytes){field, text.len}), expected);
    }
}

static void metadata_find_table(void **state)
{
    static const char field[] = "flag,filename w6QudHh0, filetype dGV4dC9wbGFpbg==,nul AGEA,name YQ==";
    static const struct {
        const char *key;
        size_t room;
        bool is_found;
        struct sl_bytes value;
    } rows[] = {
        {"filename", 6, true, TEXT("\xc3\xa4.txt")},
        {"filename", 5, false, {NULL, 0}},
        {"filetype", 64, true, TEXT("text/plain")},
        {"flag", 0, true, TEXT("")},
        {"nul", 3, true, TEXT("\0a\0")},
        {"name", 64, true, TEXT("a")},
        {"file", 64, false, {NULL, 0}},
        {"Filename", 64, false, {NULL, 0}},
        {"filenames", 64, false, {NULL, 0}},
        {"", 64, false, {NULL, 0}},
        {"w6QudHh0", 64, false, {NULL, 0}},
    };
    assert_int_equal(sl_tus_metadata_check(SL_BYTES(field)), SL_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *out = malloc(rows[i].room + 1);
        size_t len = 0;
        assert_non_null(out);
        if (sl_tus_metadata_find(SL_BYTES(field), rows[i].key, out, rows[i].room, &len) != rows[i].is_found)
            fail_msg("row %zu: %s", i, rows[i].key);
        if (rows[i].is_found && !sl_bytes_equal((struct sl_bytes){out, len}, rows[i].value))
            fail_msg("row %zu: %s is something else", i, rows[i].key);
        free(out);
    }
    size_t len;
    assert_false(sl_tus_metadata_find((struct sl_bytes){NULL, 0}, "filename", NULL, 0, &len));
}

/* --- Upload-Checksum --- */

static const struct {
    struct sl_bytes field;
    sl_err err;
    const char *algorithm;
    struct sl_bytes digest;
} checksums[] = {
    {TEXT("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), SL_OK, "sha1",
     TEXT("\x2a\xae\x6c\x35\xc9\x4f\xcf\xb4\x15\xdb\xe9\x5f\x40\x8b\x9c\xe9\x1e\xe8\x46\xed")},
    {TEXT("crc32 AAECAw=="), SL_OK, "crc32", TEXT("\0\1\2\3")},
    {TEXT("SHA1 YQ=="), SL_OK, "SHA1", TEXT("a")},
    {TEXT("unheard-of YWJj"), SL_OK, "unheard-of", TEXT("abc")},
    {TEXT(" sha1 YQ== "), SL_OK, "sha1", TEXT("a")},
    {TEXT(""), SL_BAD_FIELD, NULL, {NULL, 0}},
    {{NULL, 0}, SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1"), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1 "), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT(" YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1  YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1\tYQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1=YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1 YQ"), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1 :YQ==:"), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1 61"), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1 YQ==,md5 YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha1 YQ== YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha,1 YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("\xc3\xa4 YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
    {TEXT("sha\0 YQ=="), SL_BAD_FIELD, NULL, {NULL, 0}},
};

static void checksum_table_whole_and_cut(void **state)
{
    for (size_t i = 0; i < COUNT(checksums); i++) {
        for (size_t len = 0; len <= checksums[i].field.len; len++) {
            struct sl_bytes field = copy_of((struct sl_bytes){checksums[i].field.base, len}), algorithm;
            unsigned char digest[20];
            size_t digest_len;
            sl_err err = sl_tus_checksum(field, &algorithm, digest, sizeof digest, &digest_len);
            assert_true(err == SL_OK || err == SL_BAD_FIELD);
            if (len == checksums[i].field.len && err != checksums[i].err)
                fail_msg("row %zu: \"%.*s\"", i, (int)field.len, field.base);
            if (err == SL_OK)
                assert_true(algorithm.len > 0 && digest_len > 0 && digest_len <= sizeof digest);
            if (len == checksums[i].field.len && err == SL_OK) {
                assert_true(is_same(algorithm, checksums[i].algorithm));
                assert_int_equal(digest_len, checksums[i].digest.len);
                assert_memory_equal(digest, checksums[i].digest.base, digest_len);
            }
            free_copy(field);
        }
    }
}

static void checksum_longer_than_the_room_is_refused(void **state)
{
    struct sl_bytes algorithm;
    unsigned char digest[3];
    size_t len;
    assert_int_equal(sl_tus_checksum(SL_BYTES("md5 YWJj"), &algorithm, digest, 3, &len), SL_OK);
    assert_int_equal(sl_tus_checksum(SL_BYTES("md5 YWJj"), &algorithm, digest, 2, &len), SL_BAD_FIELD);
}

/* --- Upload-Concat --- */

static const struct {
    struct sl_bytes field;
    sl_err err;
    const char *urls; /* each with a line break; NULL: partial */
} concats[] = {
    {TEXT("partial"), SL_OK, NULL},
    {TEXT(" partial "), SL_OK, NULL},
    {TEXT("final;/files/a /files/b"), SL_OK, "/files/a\n/files/b\n"},
    {TEXT("final;http://h:1/uploads/a"), SL_OK, "http://h:1/uploads/a\n"},
    {TEXT("final; /a   b "), SL_OK, "/a\nb\n"},
    {TEXT("final;a;b"), SL_OK, "a;b\n"},
    {TEXT(""), SL_BAD_FIELD, NULL},
    {{NULL, 0}, SL_BAD_FIELD, NULL},
    {TEXT("final"), SL_BAD_FIELD, NULL},
    {TEXT("final;"), SL_BAD_FIELD, NULL},
    {TEXT("final; "), SL_BAD_FIELD, NULL},
    {TEXT("final /a"), SL_BAD_FIELD, NULL},
    {TEXT("final ;/a"), SL_BAD_FIELD, NULL},
    {TEXT("partial;"), SL_BAD_FIELD, NULL},
    {TEXT("partial;/a"), SL_BAD_FIELD, NULL},
    {TEXT("partially"), SL_BAD_FIELD, NULL},
    {TEXT("Partial"), SL_BAD_FIELD, NULL},
    {TEXT("FINAL;/a"), SL_BAD_FIELD, NULL},
    {TEXT(";/a"), SL_BAD_FIELD, NULL},
    {TEXT("final;/a\t/b"), SL_BAD_FIELD, NULL},
    {TEXT("final;/a /\xc3\xa4"), SL_BAD_FIELD, NULL},
    {TEXT("final;/a\0"), SL_BAD_FIELD, NULL},
    {TEXT("partial\0"), SL_BAD_FIELD, NULL},
};

static void expect_urls(struct sl_bytes urls, const char *expected)
{
    char told[256];
    struct sl_text text;
    sl_text_init(&text, told, sizeof told);
    struct sl_bytes url;
    while (sl_tus_concat_next(&urls, &url)) {
        sl_text_put(&text, url);
        sl_text_put(&text, SL_BYTES("\n"));
    }
    assert_string_equal(told, expected);
    assert_false(sl_tus_concat_next(&urls, &url));
}

static void concat_table_whole_and_cut(void **state)
{
    for (size_t i = 0; i < COUNT(concats); i++) {
        for (size_t len = 0; len <= concats[i].field.len; len++) {
            struct sl_bytes field = copy_of((struct sl_bytes){concats[i].field.base, len}), urls;
            enum sl_tus_concat concat;
            sl_err err = sl_tus_concat(field, &concat, &urls);
            assert_true(err == SL_OK || err == SL_BAD_FIELD);
            bool is_whole = len == concats[i].field.len;
            if (is_whole && err != concats[i].err)
                fail_msg("row %zu: \"%.*s\"", i, (int)field.len, field.base);
            if (is_whole && err == SL_OK) {
                assert_int_equal(concat, concats[i].urls == NULL ? SL_TUS_CONCAT_PARTIAL : SL_TUS_CONCAT_FINAL);
                expect_urls(urls, concats[i].urls == NULL ? "" : concats[i].urls);
            }
            free_copy(field);
        }
    }
}

static void url_id_table_whole_and_cut(void **state)
{
    static const struct {
        struct sl_bytes url;
        const char *id; /* NULL: none */
    } rows[] = {
        {TEXT("/uploads/abc"), "abc"},
        {TEXT("http://h/uploads/abc"), "abc"},
        {TEXT("https://user@h:8443/base/uploads/abc"), "abc"},
        {TEXT("//h/uploads/abc"), "abc"},
        {TEXT("../uploads/abc"), "abc"},
        {TEXT("/a/b/uploads/abc?x=/uploads/y#/uploads/z"), "abc"},
        {TEXT("/uploads/abc#?"), "abc"},
        {TEXT("/uploads/uploads/abc"), "abc"},
        {TEXT("/uploads/a%2Fb"), "a%2Fb"},
        {TEXT("/uploads//uploads/abc"), "abc"},
        {TEXT(""), NULL},
        {{NULL, 0}, NULL},
        {TEXT("/"), NULL},
        {TEXT("abc"), NULL},
        {TEXT("uploads/abc"), NULL},
        {TEXT("/uploads/"), NULL},
        {TEXT("/uploads"), NULL},
        {TEXT("/uploads/?abc"), NULL},
        {TEXT("/uploads/#abc"), NULL},
        {TEXT("/uploads/abc/"), NULL},
        {TEXT("/uploads//abc"), NULL},
        {TEXT("/uploads/abc/def"), NULL},
        {TEXT("/files/abc"), NULL},
        {TEXT("/uploadsabc"), NULL},
        {TEXT("/xuploads/abc"), NULL},
        {TEXT("/Uploads/abc"), NULL},
        {TEXT("/files/?/uploads/abc"), NULL},
        {TEXT("http://uploads/abc"), NULL}, /* a host */
        {TEXT("//uploads/abc"), NULL},
        {TEXT("http://"), NULL},
        {TEXT("//"), NULL},
        {TEXT("http://h"), NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t len = 0; len <= rows[i].url.len; len++) {
            struct sl_bytes url = copy_of((struct sl_bytes){rows[i].url.base, len}), id;
            bool is_found = sl_tus_url_id(url, &id);
            if (is_found)
                assert_true(id.len > 0 && id.base > url.base && id.base + id.len <= url.base + len);
            if (len == rows[i].url.len && is_found != (rows[i].id != NULL))
                fail_msg("row %zu: \"%.*s\"", i, (int)len, url.base);
            if (len == rows[i].url.len && is_found)
                assert_true(is_same(id, rows[i].id));
            free_copy(url);
        }
    }
}

static void number_table(void **state)
{
    static const struct {
        struct sl_bytes field;
        sl_err err;
        uint64_t value;
    } rows[] = {
        {TEXT("0"), SL_OK, 0},
        {TEXT("007"), SL_OK, 7},
        {TEXT("4294967296"), SL_OK, UINT64_C(4294967296)},
        {TEXT("9223372036854775807"), SL_OK, INT64_MAX},
        {TEXT("9223372036854775808"), SL_BAD_FIELD, 0},
        {TEXT("18446744073709551615"), SL_BAD_FIELD, 0},
        {TEXT("18446744073709551616"), SL_BAD_FIELD, 0},
        {TEXT("99999999999999999999999"), SL_BAD_FIELD, 0},
        {TEXT(""), SL_BAD_FIELD, 0},
        {{NULL, 0}, SL_BAD_FIELD, 0},
        {TEXT("-1"), SL_BAD_FIELD, 0},
        {TEXT("-0"), SL_BAD_FIELD, 0},
        {TEXT("+1"), SL_BAD_FIELD, 0},
        {TEXT("1.0"), SL_BAD_FIELD, 0},
        {TEXT("1e3"), SL_BAD_FIELD, 0},
        {TEXT("0x10"), SL_BAD_FIELD, 0},
        {TEXT("1, 1"), SL_BAD_FIELD, 0},
        {TEXT("1 "), SL_BAD_FIELD, 0},
        {TEXT("1\0"), SL_BAD_FIELD, 0},
        {TEXT("\xd9\xa1"), SL_BAD_FIELD, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sl_bytes field = copy_of(rows[i].field);
        uint64_t value = 0;
        if (sl_tus_number(field, &value) != rows[i].err || value != rows[i].value)
            fail_msg("row %zu: \"%.*s\"", i, (int)field.len, field.base);
        free_copy(field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_table),
        cmocka_unit_test(metadata_cut_anywhere_stays_inside),
        cmocka_unit_test(metadata_bounds_are_exact),
        cmocka_unit_test(metadata_find_table),
        cmocka_unit_test(checksum_table_whole_and_cut),
        cmocka_unit_test(checksum_longer_than_the_room_is_refused),
        cmocka_unit_test(concat_table_whole_and_cut),
        cmocka_unit_test(url_id_table_whole_and_cut),
        cmocka_unit_test(number_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
