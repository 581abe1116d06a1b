/* The state of an upload in the form it is kept in: there and back, its size, and what anybody may have put in its
 * place. */
#include "sluice/store/upload_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ALL_ALGORITHMS ((1u << SL_HASH_ALGS) - 1)
#define CREATED        UINT64_C(0x1122334455667788)
#define FIXED_BYTES    32 /* the version and the record that every state has */

static char encoded[SL_STORE_STATE_BYTES_MAX];

static struct sl_path path_of(const char *text)
{
    struct sl_path path;
    assert_int_equal(sl_path_check(sl_bytes_of(text), &path), SL_OK);
    return path;
}

static struct sl_hash_state hash_of(sl_hash_set set, size_t digested)
{
    struct sl_hash_state hash;
    sl_hash_state_begin(&hash, set);
    for (size_t i = 0; i < digested; i++)
        sl_hash_state_update(&hash, "x", 1);
    return hash;
}

static struct sl_digests digests_of(sl_hash_set set)
{
    struct sl_digests digests = {.set = set};
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        if (set & 1u << alg)
            memset(digests.value[alg], (int)(0xa0 + alg), sl_hash_bytes(alg));
    return digests;
}

static struct sl_upload_state small_state(void)
{
    return (struct sl_upload_state){
        .dialect = SL_UPLOAD_TUS, .kind = SL_UPLOAD_WHOLE, .length = SL_STORE_SIZE_UNKNOWN, .path = path_of("a")};
}

static struct sl_upload_state full_state(void)
{
    return (struct sl_upload_state){.dialect = SL_UPLOAD_TUS,
                                    .kind = SL_UPLOAD_FINAL,
                                    .is_done = true,
                                    .offset = 77,
                                    .length = 78,
                                    .created_ns = CREATED,
                                    .touched_ns = CREATED + 1,
                                    .conflict = SL_CONFLICT_OVERWRITE,
                                    .is_attachment = true,
                                    .path = path_of("folder/\xc3\xa4 b.txt"),
                                    .name = SL_BYTES("\xc3\xa4 b.txt"),
                                    .type = SL_BYTES("text/plain; charset=utf-8"),
                                    .request_id = SL_BYTES("r-1"),
                                    .metadata = SL_BYTES("filename w6QgYi50eHQ=,flag"),
                                    .concat = SL_BYTES("final;/uploads/a http://h/uploads/b"),
                                    .conditions = {.if_match = SL_BYTES("\"a\", \"\xff\""),
                                                   .if_none_match = SL_BYTES("*"),
                                                   .if_unmodified_since = SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT")},
                                    .promised = digests_of(ALL_ALGORITHMS),
                                    .wanted = 1u << SL_HASH_SHA512 | 1u << SL_HASH_MD5,
                                    .has_owner = true,
                                    .owner = {0x8877665544332211, 1},
                                    .hash = hash_of(ALL_ALGORITHMS, 77)};
}

static struct sl_bytes encode(const struct sl_upload_state *state)
{
    size_t len;
    assert_int_equal(sl_upload_state_encode(state, encoded, &len), SL_OK);
    return (struct sl_bytes){encoded, len};
}

static void expect_bytes(struct sl_bytes a, struct sl_bytes b)
{
    if (!sl_bytes_equal(a, b))
        fail_msg("\"%.*s\" is not \"%.*s\"", (int)a.len, a.base, (int)b.len, b.base);
}

/* One that was not sent is none, be it empty or not. */
static void expect_field(struct sl_bytes a, struct sl_bytes b)
{
    assert_int_equal(a.base == NULL, b.base == NULL);
    expect_bytes(a, b);
}

static void expect_same(const struct sl_upload_state *got, const struct sl_upload_state *said)
{
    assert_int_equal(got->dialect, said->dialect);
    assert_int_equal(got->kind, said->kind);
    assert_int_equal(got->is_done, said->is_done);
    assert_true(got->offset == said->offset && got->length == said->length);
    assert_true(got->created_ns == said->created_ns && got->touched_ns == said->touched_ns);
    assert_int_equal(got->conflict, said->conflict);
    assert_int_equal(got->is_attachment, said->is_attachment);
    assert_int_equal(got->is_posted, said->is_posted);
    assert_int_equal(got->is_joined, said->is_joined);
    assert_int_equal(got->is_joined, said->is_joined);
    expect_field(got->conditions.if_match, said->conditions.if_match);
    expect_field(got->conditions.if_none_match, said->conditions.if_none_match);
    expect_field(got->conditions.if_unmodified_since, said->conditions.if_unmodified_since);
    assert_int_equal(got->wanted, said->wanted);
    assert_int_equal(got->path.len, said->path.len);
    assert_string_equal(got->path.text, said->path.text);
    expect_bytes(got->name, said->name);
    expect_bytes(got->type, said->type);
    expect_bytes(got->request_id, said->request_id);
    expect_bytes(got->metadata, said->metadata);
    assert_int_equal(got->has_owner, said->has_owner);
    assert_true(got->owner.high == said->owner.high && got->owner.low == said->owner.low);
    expect_bytes(got->concat, said->concat);
    assert_memory_equal(&got->promised, &said->promised, sizeof got->promised);
    assert_int_equal(got->hash.len, said->hash.len);
    assert_memory_equal(got->hash.bytes, said->hash.bytes, said->hash.len);
}

static char *copy; /* what was decoded last: a sanitizer sees what is read behind its end */

static sl_err decode(struct sl_bytes bytes, struct sl_upload_state *state_out)
{
    free(copy);
    copy = malloc(bytes.len + (bytes.len == 0));
    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.base, bytes.len);
    return sl_upload_state_decode((struct sl_bytes){copy, bytes.len}, state_out);
}

static int free_last_copy(void **state)
{
    free(copy);
    return 0;
}

static void expect_comes_back(const struct sl_upload_state *said)
{
    struct sl_upload_state got;
    assert_int_equal(decode(encode(said), &got), SL_OK);
    expect_same(&got, said);
}

/* --- there and back --- */

static void encode_comes_back(void **state)
{
    struct sl_upload_state said = small_state();
    expect_comes_back(&said);
    said.path = path_of("a/b");
    said.dialect = SL_UPLOAD_DRAFT;
    expect_comes_back(&said);
    said.conflict = SL_CONFLICT_RENAME;
    expect_comes_back(&said);
    said.conflict = SL_CONFLICT_ERROR;
    said.length = 0;
    said.hash = hash_of(1u << SL_HASH_SHA256, 0);
    expect_comes_back(&said);
    said.length = INT64_MAX;
    expect_comes_back(&said);
    said.is_attachment = true;
    expect_comes_back(&said);
    said.is_attachment = false;
    said.is_posted = true;
    said.is_joined = true;
    expect_comes_back(&said);
    said.is_joined = true;
    expect_comes_back(&said);
    said.conditions.if_match = SL_BYTES("");
    expect_comes_back(&said);
    said = full_state();
    expect_comes_back(&said);
    said.is_done = false;
    expect_comes_back(&said);
}

static void encode_of_a_partial_upload_needs_no_path(void **state)
{
    struct sl_upload_state said = {.dialect = SL_UPLOAD_TUS, .kind = SL_UPLOAD_PARTIAL, .offset = 5, .length = 5};
    expect_comes_back(&said);
}

static void encode_numbers_up_to_their_last_come_back(void **state)
{
    static const uint64_t numbers[] = {1, 255, 256, UINT32_MAX, INT64_MAX, UINT64_MAX - 1};
    for (size_t i = 0; i < COUNT(numbers); i++) {
        struct sl_upload_state said = small_state();
        said.offset = said.length = said.created_ns = said.touched_ns = numbers[i];
        expect_comes_back(&said);
        said.offset = 0;
        expect_comes_back(&said);
        said.length = SL_STORE_SIZE_UNKNOWN;
        expect_comes_back(&said);
    }
}

/* The form lies on disks; it must not change by accident. */
static void encode_keeps_its_form(void **state)
{
    static const char form[] = "\x01"
                               "\x01\x1c\x00\x01\x03\x03\x03\x05\x00\x00\x00\x00\x00\x00\x00"
                               "\x88\x77\x66\x55\x44\x33\x22\x11\x01\x02\x00\x00\x00\x00\x00\x00"
                               "\x02\x08\x00\x06\x00\x00\x00\x00\x00\x00\x00"
                               "\x03\x03\x00p/q"
                               "\x04\x01\x00n"
                               "\x05\x03\x00"
                               "a/b"
                               "\x06\x02\x00id"
                               "\x07\x03\x00key"
                               "\x08\x08\x00"
                               "final;/a"
                               "\x09\x05\x00\x05\xa4\xa4\xa4\xa4"
                               "\x09\x05\x00\x06\xa5\xa5\xa5\xa5"
                               "\x0b\x03\x00\"v\""
                               "\x0c\x01\x00*"
                               "\x0d\x00\x00"
                               "\x0e\x02\x00\x02\x04"
                               "\x0f\x10\x00\x11\x22\x33\x44\x55\x66\x77\x88\x01\x00\x00\x00\x00\x00\x00\x00";
    struct sl_upload_state said = full_state();
    said.offset = 5;
    said.length = 6;
    said.touched_ns = 0x201;
    said.path = path_of("p/q");
    said.name = SL_BYTES("n");
    said.type = SL_BYTES("a/b");
    said.request_id = SL_BYTES("id");
    said.metadata = SL_BYTES("key");
    said.concat = SL_BYTES("final;/a");
    said.conditions.if_match = SL_BYTES("\"v\"");
    said.conditions.if_unmodified_since = SL_BYTES("");
    said.promised = digests_of(1u << SL_HASH_CRC32C | 1u << SL_HASH_CRC32);
    said.hash = (struct sl_hash_state){0};
    struct sl_bytes got = encode(&said);
    assert_int_equal(got.len, sizeof form - 1);
    assert_memory_equal(got.base, form, got.len);
}

/* --- its size --- */

static void encode_of_every_text_at_its_limit_but_one_fits(void **state)
{
    char text[1536];
    memset(text, 'x', sizeof text);
    struct sl_upload_state said = small_state();
    said.length = 1;
    said.type = (struct sl_bytes){text, 255};
    said.request_id = (struct sl_bytes){text, 128};
    said.promised = digests_of(1u << SL_HASH_SHA256);
    said.hash = hash_of(1u << SL_HASH_SHA256, 0);
    said.metadata = (struct sl_bytes){text, 1536};
    expect_comes_back(&said);
    said.metadata = (struct sl_bytes){NULL, 0};
    said.name = (struct sl_bytes){text, 1023};
    expect_comes_back(&said);
}

static void encode_says_what_does_not_fit(void **state)
{
    size_t len;
    char *text = malloc(1 << 20);
    assert_non_null(text);
    memset(text, 'x', 1 << 20);
    memcpy(text, "final;", 6);
    struct sl_upload_state said = small_state();
    said.kind = SL_UPLOAD_FINAL;
    size_t room = SL_STORE_STATE_BYTES_MAX - encode(&said).len - 3;
    static const size_t overs[] = {1, 2, 1000, 60000, 63300, 1000000};
    for (size_t i = 0; i < COUNT(overs); i++) {
        memset(encoded, 0x55, sizeof encoded);
        said.concat = (struct sl_bytes){text, room + overs[i]};
        assert_int_equal(sl_upload_state_encode(&said, encoded, &len), SL_HEAD_TOO_LARGE);
        assert_int_equal(len, 0);
    }
    said.concat = (struct sl_bytes){text, room};
    expect_comes_back(&said);
    assert_int_equal(encode(&said).len, SL_STORE_STATE_BYTES_MAX);
    said.conditions.if_match = SL_BYTES("");
    assert_int_equal(sl_upload_state_encode(&said, encoded, &len), SL_HEAD_TOO_LARGE);
    said.conditions = (struct sl_conditions){.if_none_match = {text, 60000}};
    assert_int_equal(sl_upload_state_encode(&said, encoded, &len), SL_HEAD_TOO_LARGE);
    said.conditions = (struct sl_conditions){0};
    said.name = (struct sl_bytes){text, 1};
    assert_int_equal(sl_upload_state_encode(&said, encoded, &len), SL_HEAD_TOO_LARGE);
    free(text);
}

/* --- what may lie there instead --- */

static void decode_refuses_more_than_can_be_kept(void **state)
{
    static char longer[SL_STORE_STATE_BYTES_MAX + 1];
    struct sl_upload_state said = small_state(), got;
    struct sl_bytes whole = encode(&said);
    for (size_t len = sizeof longer - 1; len <= sizeof longer; len++) {
        size_t unknown = len - whole.len - 3;
        memcpy(longer, whole.base, whole.len);
        longer[whole.len] = (char)0xc8;
        longer[whole.len + 1] = (char)(unknown & 0xff);
        longer[whole.len + 2] = (char)(unknown >> 8);
        sl_err expected = len <= SL_STORE_STATE_BYTES_MAX ? SL_OK : SL_BAD_FIELD;
        assert_int_equal(decode((struct sl_bytes){longer, len}, &got), expected);
    }
}

static void expect_empty(const struct sl_upload_state *got)
{
    struct sl_upload_state empty = {.length = SL_STORE_SIZE_UNKNOWN};
    expect_same(got, &empty);
}

/* If it can be read, it can be written, and is the same then. */
static void expect_refused_or_sound(struct sl_bytes bytes)
{
    struct sl_upload_state got, again;
    sl_err err = decode(bytes, &got);
    assert_true(err == SL_OK || err == SL_BAD_FIELD);
    if (err == SL_BAD_FIELD) {
        expect_empty(&got);
        return;
    }
    char out[SL_STORE_STATE_BYTES_MAX];
    size_t len;
    assert_int_equal(sl_upload_state_encode(&got, out, &len), SL_OK);
    assert_int_equal(sl_upload_state_decode((struct sl_bytes){out, len}, &again), SL_OK);
    expect_same(&again, &got);
}

static void decode_cut_anywhere_is_refused_or_sound(void **state)
{
    struct sl_upload_state said = full_state();
    struct sl_bytes whole = encode(&said);
    for (size_t len = whole.len; len-- > 0;)
        expect_refused_or_sound((struct sl_bytes){whole.base, len});
}

static void decode_changed_anywhere_is_refused_or_sound(void **state)
{
    static const char masks[] = {1, 2, 0x10, (char)0x80, (char)0xff};
    char changed[SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state said = full_state();
    struct sl_bytes whole = encode(&said);
    for (size_t at = 0; at < whole.len; at++) {
        for (size_t i = 0; i < COUNT(masks); i++) {
            memcpy(changed, whole.base, whole.len);
            changed[at] ^= masks[i];
            expect_refused_or_sound((struct sl_bytes){changed, whole.len});
        }
    }
}

static void decode_of_noise_is_refused_or_sound(void **state)
{
    char noise[SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state said = small_state();
    struct sl_bytes whole = encode(&said);
    uint32_t seed = 1;
    for (unsigned round = 0; round < 2000; round++) {
        memcpy(noise, whole.base, whole.len);
        size_t len = whole.len + round % 64;
        for (size_t at = whole.len; at < len; at++) {
            seed = seed * 1664525 + 1013904223;
            noise[at] = (char)(seed >> 24 & (at % 3 == 0 ? 0x0f : 0xff));
        }
        expect_refused_or_sound((struct sl_bytes){noise, len});
    }
}

struct row {
    const char *what;
    struct sl_bytes record;
};

static struct sl_bytes with_record(struct sl_bytes whole, struct sl_bytes record, bool is_first, char *changed)
{
    size_t at = is_first ? FIXED_BYTES : whole.len;
    memcpy(changed, whole.base, at);
    memcpy(changed + at, record.base, record.len);
    memcpy(changed + at + record.len, whole.base + at, whole.len - at);
    return (struct sl_bytes){changed, whole.len + record.len};
}

/* What is not fit to be told, or of a newer sluice, is as if it were not there. */
static void decode_ignores_what_it_does_not_know(void **state)
{
    static const struct row rows[] = {
        {"unknown tag", SL_BYTES("\xc8\x03\x00xyz")},
        {"tag 0", SL_BYTES("\x00\x00\x00")},
        {"name with a line break", SL_BYTES("\x04\x04\x00"
                                            "a\r\nb")},
        {"name that is no UTF-8", SL_BYTES("\x04\x01\x00\xff")},
        {"type with NUL", SL_BYTES("\x05\x04\x00"
                                   "a/b\0")},
        {"id with DEL", SL_BYTES("\x06\x01\x00\x7f")},
        {"metadata with a line break", SL_BYTES("\x07\x03\x00"
                                                "a\nb")},
        {"metadata that is no base64", SL_BYTES("\x07\x03\x00"
                                                "a b")},
        {"concat of a partial one", SL_BYTES("\x08\x07\x00partial")},
        {"concat with a line break", SL_BYTES("\x08\x08\x00"
                                              "final;a\n")},
        {"digest of an unknown algorithm", SL_BYTES("\x09\x05\x00\x09xxxx")},
        {"digest too short", SL_BYTES("\x09\x04\x00\x05xxx")},
        {"no algorithm", SL_BYTES("\x09\x00\x00")},
        {"a wish for unknown algorithms", SL_BYTES("\x0e\x04\x00\x02\x09\x00\x04")},
    };
    char changed[2 * SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state said = full_state(), got;
    struct sl_bytes whole = encode(&said);
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int is_first = 0; is_first < 2; is_first++) {
            if (decode(with_record(whole, rows[i].record, is_first, changed), &got) != SL_OK)
                fail_msg("%s: refused", rows[i].what);
            expect_same(&got, &said);
        }
    }
}

static void decode_refuses_what_would_mislead(void **state)
{
    static const struct row rows[] = {
        {"length too short", SL_BYTES("\x02\x07\x00xxxxxxx")},
        {"length too long", SL_BYTES("\x02\x09\x00xxxxxxxxx")},
        {"length below the offset", SL_BYTES("\x02\x08\x00\x04\x00\x00\x00\x00\x00\x00\x00")},
        {"path upwards", SL_BYTES("\x03\x04\x00../a")},
        {"path from the root", SL_BYTES("\x03\x02\x00/a")},
        {"path of nothing", SL_BYTES("\x03\x00\x00")},
        {"path with NUL", SL_BYTES("\x03\x03\x00"
                                   "a\0b")},
        {"cut in its head", SL_BYTES("\xc8\x00")},
        {"cut in its value", SL_BYTES("\xc8\x02\x00x")},
        {"fixed record too short", SL_BYTES("\x01\x02\x00\x01\x01")},
        {"fixed record too long", SL_BYTES("\x01\x1d\x00\x01\x01\x00\x01"
                                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
        {"no dialect", SL_BYTES("\x01\x1c\x00\x00\x01\x00\x01xxxxxxxxxxxxxxxxxxxxxxxx")},
        {"unknown dialect", SL_BYTES("\x01\x1c\x00\x03\x01\x00\x01xxxxxxxxxxxxxxxxxxxxxxxx")},
        {"no kind", SL_BYTES("\x01\x1c\x00\x01\x00\x00\x01xxxxxxxxxxxxxxxxxxxxxxxx")},
        {"unknown kind", SL_BYTES("\x01\x1c\x00\x01\x04\x00\x01xxxxxxxxxxxxxxxxxxxxxxxx")},
        {"no conflict", SL_BYTES("\x01\x1c\x00\x01\x01\x00\x00xxxxxxxxxxxxxxxxxxxxxxxx")},
        {"unknown conflict", SL_BYTES("\x01\x1c\x00\x01\x01\x00\x04xxxxxxxxxxxxxxxxxxxxxxxx")},
    };
    char changed[2 * SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state said = small_state(), got;
    said.offset = 5;
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        said.kind = i % 2 == 0 ? SL_UPLOAD_WHOLE : SL_UPLOAD_PARTIAL;
        if (decode(with_record(encode(&said), row->record, false, changed), &got) != SL_BAD_FIELD)
            fail_msg("%s: taken", row->what);
        expect_empty(&got);
    }
}

static void decode_refuses_what_is_not_ours(void **state)
{
    static const struct sl_bytes rows[] = {
        SL_BYTES("\x00"),
        SL_BYTES("\x01"),
        SL_BYTES("\x02"),
        SL_BYTES("text of another program"),
        SL_BYTES("\x01\x01"),
        SL_BYTES("\x01\xff\xff\xff"),
        SL_BYTES("\x01\x03\x01\x00"
                 "a"), /* no fixed record */
        SL_BYTES("\x01\x01\x1c\x00\x01\x01\x00\x01"
                 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* a whole one without a path */
        SL_BYTES("\x02\x01\x1c\x00\x01\x02\x00\x01"
                 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* another version */
        {NULL, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sl_upload_state got;
        if (decode(rows[i], &got) != SL_BAD_FIELD)
            fail_msg("row %zu: taken", i);
        expect_empty(&got);
    }
}

/* A digest can be made anew out of the file, so a wrong one costs no upload. */
static void decode_drops_a_hash_that_is_not_of_the_offset(void **state)
{
    struct sl_upload_state said = small_state(), got;
    said.offset = 3;
    said.hash = hash_of(1u << SL_HASH_SHA256, 3);
    assert_int_equal(decode(encode(&said), &got), SL_OK);
    assert_int_equal(got.hash.len, said.hash.len);

    for (unsigned digested = 2; digested <= 4; digested += 2) {
        said.hash = hash_of(1u << SL_HASH_SHA256, digested);
        assert_int_equal(decode(encode(&said), &got), SL_OK);
        assert_int_equal(got.hash.len, 0);
        assert_int_equal(got.offset, 3);
    }
    said.hash = hash_of(1u << SL_HASH_SHA256, 3);
    said.hash.len--;
    assert_int_equal(decode(encode(&said), &got), SL_OK);
    assert_int_equal(got.hash.len, 0);

    char changed[2 * SL_STORE_STATE_BYTES_MAX];
    const size_t over = SL_HASH_STATE_BYTES_MAX + 1;
    char record[3 + SL_HASH_STATE_BYTES_MAX + 1] = {10, (char)(over & 0xff), (char)(over >> 8)};
    struct sl_bytes whole = encode(&said);
    assert_int_equal(decode(with_record(whole, (struct sl_bytes){record, sizeof record}, false, changed), &got),
                     SL_OK);
    assert_int_equal(got.hash.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_comes_back),
        cmocka_unit_test(encode_of_a_partial_upload_needs_no_path),
        cmocka_unit_test(encode_numbers_up_to_their_last_come_back),
        cmocka_unit_test(encode_keeps_its_form),
        cmocka_unit_test(encode_of_every_text_at_its_limit_but_one_fits),
        cmocka_unit_test(encode_says_what_does_not_fit),
        cmocka_unit_test(decode_refuses_more_than_can_be_kept),
        cmocka_unit_test(decode_cut_anywhere_is_refused_or_sound),
        cmocka_unit_test(decode_changed_anywhere_is_refused_or_sound),
        cmocka_unit_test(decode_of_noise_is_refused_or_sound),
        cmocka_unit_test(decode_ignores_what_it_does_not_know),
        cmocka_unit_test(decode_refuses_what_would_mislead),
        cmocka_unit_test(decode_refuses_what_is_not_ours),
        cmocka_unit_test(decode_drops_a_hash_that_is_not_of_the_offset),
    };
    return cmocka_run_group_tests(tests, NULL, free_last_copy);
}
