/* What is known about an object, in the form it has on disk: there and back, its size, and what anybody may have
 * put in its place. */
#include "sluice/store/meta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define CREATED UINT64_C(0x1122334455667788)

static char encoded[SL_META_BYTES_MAX];
static const struct sl_meta_field two_fields[] = {{SL_BYTES("comment"), SL_BYTES("hello\r\n\0w")},
                                                  {SL_BYTES(""), SL_BYTES("")}};

static struct sl_digests digests_of(sl_hash_set set)
{
    struct sl_digests digests = {.set = set};
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        memset(digests.value[alg], (int)(0xa0 + alg), sl_hash_bytes(alg));
    return digests;
}

static struct sl_meta full_meta(void)
{
    return (struct sl_meta){.begun_ns = CREATED - 1,
                            .created_ns = CREATED,
                            .name = SL_BYTES("\xc3\xa4 b.txt"),
                            .type = SL_BYTES("text/plain; charset=utf-8"),
                            .request_id = SL_BYTES("r-1"),
                            .is_attachment = true,
                            .digests = digests_of((1u << SL_HASH_ALGS) - 1),
                            .fields = two_fields,
                            .field_count = 2};
}

static struct sl_bytes encode(const struct sl_meta *meta)
{
    bool has_fields;
    size_t len = sl_meta_encode(meta, encoded, &has_fields);
    assert_true(has_fields);
    return (struct sl_bytes){encoded, len};
}

static void expect_bytes(struct sl_bytes a, struct sl_bytes b)
{
    if (!sl_bytes_equal(a, b))
        fail_msg("\"%.*s\" is not \"%.*s\"", (int)a.len, a.base, (int)b.len, b.base);
}

static void expect_same(const struct sl_meta *said, struct sl_meta got)
{
    assert_true(got.created_ns == said->created_ns);
    assert_true(got.begun_ns == said->begun_ns);
    expect_bytes(got.name, said->name);
    expect_bytes(got.type, said->type);
    expect_bytes(got.request_id, said->request_id);
    assert_int_equal(got.is_attachment, said->is_attachment);
    assert_int_equal(got.digests.set, said->digests.set);
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        if (said->digests.set & 1u << alg)
            assert_memory_equal(got.digests.value[alg], said->digests.value[alg], sl_hash_bytes(alg));
    struct sl_meta_field field;
    for (size_t i = 0; i < said->field_count; i++) {
        assert_true(sl_meta_next_field(&got, &field));
        expect_bytes(field.name, said->fields[i].name);
        expect_bytes(field.value, said->fields[i].value);
    }
    assert_false(sl_meta_next_field(&got, &field));
    assert_false(sl_meta_next_field(&got, &field));
}

static void encode_comes_back(void **state)
{
    struct sl_meta metas[] = {{0},
                              full_meta(),
                              {.created_ns = UINT64_MAX, .digests = digests_of(1u << SL_HASH_CRC32C)},
                              {.is_attachment = true},
                              {.fields = two_fields, .field_count = 1},
                              {.type = SL_BYTES("image/png"), .digests = digests_of(1u << SL_HASH_SHA512)}};
    for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++) {
        struct sl_meta got;
        assert_int_equal(sl_meta_decode(encode(&metas[i]), &got), SL_OK);
        expect_same(&metas[i], got);
    }
}

/* The form lies on disks; it must not change by accident. */
static void encode_keeps_its_form(void **state)
{
    static const char form[] = "\x01"
                               "\x01\x10\x00\x01\x02\x00\x00\x00\x00\x00\x00\x88\x77\x66\x55\x44\x33\x22\x11"
                               "\x06\x05\x00\x05\xa4\xa4\xa4\xa4"
                               "\x02\x01\x00n"
                               "\x03\x03\x00"
                               "a/b"
                               "\x04\x02\x00id"
                               "\x05\x00\x00"
                               "\x07\x05\x00\x01\x00kvv";
    struct sl_meta_field field = {SL_BYTES("k"), SL_BYTES("vv")};
    struct sl_meta meta = {.begun_ns = 0x201,
                           .created_ns = CREATED,
                           .name = SL_BYTES("n"),
                           .type = SL_BYTES("a/b"),
                           .request_id = SL_BYTES("id"),
                           .is_attachment = true,
                           .digests = digests_of(1u << SL_HASH_CRC32C),
                           .fields = &field,
                           .field_count = 1};
    struct sl_bytes got = encode(&meta);
    assert_int_equal(got.len, sizeof form - 1);
    assert_memory_equal(got.base, form, got.len);
}

static void encode_of_a_plain_upload_fits_into_an_inode(void **state)
{
    struct sl_meta meta = {.created_ns = CREATED, .digests = digests_of(1u << SL_HASH_SHA256)};
    assert_in_range(encode(&meta).len, 1, 60);
}

/* The largest of all but fields always fits; of the fields, the last byte decides. */
static void encode_leaves_out_fields_that_do_not_fit(void **state)
{
    char *text = malloc(70000);
    assert_non_null(text);
    memset(text, 'x', 70000);
    struct sl_meta meta = full_meta(), got;
    meta.name = (struct sl_bytes){text, 1023};
    meta.type = (struct sl_bytes){text, 255};
    meta.request_id = (struct sl_bytes){text, 128};
    meta.field_count = 0;
    size_t room = SL_META_BYTES_MAX - encode(&meta).len;
    assert_in_range(room, 1024, SL_META_BYTES_MAX);

    static const size_t none = SIZE_MAX;
    size_t lens[][2] = {{room - 10, none}, {room - 5, none}, {room - 4, none}, {room, none},   {room + 1, none},
                        {65536, none},     {70000, none},    {room - 14, 4},   {room - 14, 5}, {4, room - 14},
                        {4, room - 13},    {room, room},     {room - 5, 0}};
    static const bool fits[] = {true, true,  false, false, false, false, false,
                                true, false, true,  false, false, false};
    for (size_t i = 0; i < sizeof fits; i++) {
        for (int is_name = 0; is_name < 2; is_name++) {
            struct sl_meta_field fields[2] = {0};
            for (size_t j = 0; j < 2; j++) {
                struct sl_bytes bytes = {text, lens[i][j] == none ? 0 : lens[i][j]};
                *(is_name ? &fields[j].name : &fields[j].value) = bytes;
            }
            meta.fields = fields;
            meta.field_count = lens[i][1] == none ? 1 : 2;
            bool has_fields;
            size_t len = sl_meta_encode(&meta, encoded, &has_fields);
            assert_int_equal(has_fields, fits[i]);
            assert_in_range(len, 1, SL_META_BYTES_MAX);
            assert_int_equal(sl_meta_decode((struct sl_bytes){encoded, len}, &got), SL_OK);
            struct sl_meta said = meta;
            said.field_count = has_fields ? meta.field_count : 0;
            expect_same(&said, got);
        }
    }
    free(text);
}

static void set_created_changes_the_time_alone(void **state)
{
    struct sl_meta meta = full_meta(), got;
    struct sl_bytes bytes = encode(&meta);
    meta.begun_ns = 7;
    meta.created_ns = 42;
    sl_meta_set_times(encoded, bytes.len, 7, 42);
    assert_int_equal(sl_meta_decode(bytes, &got), SL_OK);
    expect_same(&meta, got);
}

static void decode_cut_anywhere_is_refused_or_shorter(void **state)
{
    struct sl_meta meta = full_meta(), got;
    struct sl_bytes whole = encode(&meta);
    for (size_t len = 0; len < whole.len; len++) {
        char *cut = malloc(len + (len == 0)); /* a sanitizer sees what is read behind it */
        assert_non_null(cut);
        memcpy(cut, whole.base, len);
        sl_err err = sl_meta_decode((struct sl_bytes){cut, len}, &got);
        assert_true(err == SL_OK || err == SL_BAD_FIELD);
        if (err == SL_BAD_FIELD) {
            static const struct sl_meta empty = {0};
            assert_memory_equal(&got, &empty, sizeof empty);
        }
        free(cut);
    }
}

/* What somebody else wrote: a record that is not as it should be is as if it were not there. */
static void decode_ignores_what_it_does_not_know(void **state)
{
    static const struct {
        const char *what;
        struct sl_bytes record;
    } rows[] = {
        {"unknown tag", SL_BYTES("\xc8\x03\x00xyz")},
        {"tag 0", SL_BYTES("\x00\x00\x00")},
        {"unknown algorithm", SL_BYTES("\x06\x05\x00\x09xxxx")},
        {"no algorithm", SL_BYTES("\x06\x00\x00")},
        {"digest too short", SL_BYTES("\x06\x04\x00\x05xxx")},
        {"digest too long", SL_BYTES("\x06\x06\x00\x05xxxxx")},
        {"time too short", SL_BYTES("\x01\x07\x00xxxxxxx")},
        {"time too long", SL_BYTES("\x01\x09\x00xxxxxxxxx")},
        {"name with a line break", SL_BYTES("\x02\x04\x00"
                                            "a\r\nb")},
        {"name that is no UTF-8", SL_BYTES("\x02\x01\x00\xff")},
        {"name with C1", SL_BYTES("\x02\x02\x00\xc2\x85")},
        {"type with a line break", SL_BYTES("\x03\x04\x00"
                                            "a/b\n")},
        {"type with NUL", SL_BYTES("\x03\x04\x00"
                                   "a/b\0")},
        {"id with DEL", SL_BYTES("\x04\x01\x00\x7f")},
        {"field without a name's length", SL_BYTES("\x07\x01\x00x")},
        {"field whose name is longer than it", SL_BYTES("\x07\x03\x00\x02\x00x")},
    };
    struct sl_meta meta = full_meta(), got;
    struct sl_bytes whole = encode(&meta);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int is_first = 0; is_first < 2; is_first++) { /* before all others, and behind them */
            char changed[SL_META_BYTES_MAX];
            size_t at = is_first ? 1 : whole.len, n = rows[i].record.len;
            memcpy(changed, whole.base, at);
            memcpy(changed + at, rows[i].record.base, n);
            memcpy(changed + at + n, whole.base + at, whole.len - at);
            if (sl_meta_decode((struct sl_bytes){changed, whole.len + n}, &got) != SL_OK)
                fail_msg("%s: refused", rows[i].what);
            expect_same(&meta, got);
        }
    }
}

static void decode_texts_above_their_limit_are_ignored(void **state)
{
    static const struct {
        char tag;
        size_t max;
    } rows[] = {{2, 1023}, {3, 255}, {4, 128}};
    char bytes[2048] = {1};
    for (size_t i = 0; i < 3; i++) {
        for (size_t over = 0; over < 2; over++) {
            size_t len = rows[i].max + over;
            bytes[1] = rows[i].tag;
            bytes[2] = (char)(len & 0xff);
            bytes[3] = (char)(len >> 8);
            memset(bytes + 4, 'x', len);
            struct sl_meta got;
            assert_int_equal(sl_meta_decode((struct sl_bytes){bytes, 4 + len}, &got), SL_OK);
            size_t got_len = got.name.len + got.type.len + got.request_id.len;
            assert_int_equal(got_len, over ? 0 : len);
        }
    }
}

static void fields_are_cut_off_and_nothing_else(void **state)
{
    static const struct sl_meta_field fields[] = {{SL_BYTES("a"), SL_BYTES("1")}, {SL_BYTES("b"), SL_BYTES("")}};
    struct sl_meta meta = {.name = SL_BYTES("n"), .is_attachment = true, .fields = fields, .field_count = 2}, got;
    char with[SL_META_BYTES_MAX], without[SL_META_BYTES_MAX];
    bool has_fields;
    size_t len = sl_meta_encode(&meta, with, &has_fields);
    meta.field_count = 0;
    size_t len_without = sl_meta_encode(&meta, without, &has_fields);
    assert_int_equal(sl_meta_len_without_fields(with, len), len_without);
    assert_memory_equal(with, without, len_without);
    assert_int_equal(sl_meta_len_without_fields(with, len_without), len_without);
    assert_int_equal(sl_meta_decode((struct sl_bytes){with, len_without}, &got), SL_OK);
    assert_int_equal(sl_meta_len_without_fields("text", 4), 4);
}

static void decode_refuses_what_is_not_ours(void **state)
{
    static const struct sl_bytes rows[] = {{"", 0},
                                           {NULL, 0},
                                           SL_BYTES("\x00"),
                                           SL_BYTES("\x02\x01\x00\x00"),
                                           SL_BYTES("text of another program"),
                                           SL_BYTES("\x01\x01"),
                                           SL_BYTES("\x01\x02\x05\x00"),
                                           SL_BYTES("\x01\xff\xff\xff")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_meta got;
        assert_int_equal(sl_meta_decode(rows[i], &got), SL_BAD_FIELD);
        assert_int_equal(got.digests.set, 0);
        assert_int_equal(got.name.len, 0);
    }
    struct sl_meta got;
    assert_int_equal(sl_meta_decode(SL_BYTES("\x01"), &got), SL_OK); /* nothing is known */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_comes_back),
        cmocka_unit_test(encode_keeps_its_form),
        cmocka_unit_test(encode_of_a_plain_upload_fits_into_an_inode),
        cmocka_unit_test(encode_leaves_out_fields_that_do_not_fit),
        cmocka_unit_test(set_created_changes_the_time_alone),
        cmocka_unit_test(decode_cut_anywhere_is_refused_or_shorter),
        cmocka_unit_test(decode_ignores_what_it_does_not_know),
        cmocka_unit_test(decode_texts_above_their_limit_are_ignored),
        cmocka_unit_test(decode_refuses_what_is_not_ours),
        cmocka_unit_test(fields_are_cut_off_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
