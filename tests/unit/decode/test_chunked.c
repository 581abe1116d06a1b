/* The chunked coding: each case whole, byte by byte, and cut at every position, with the same data, the same end and
 * the same untouched rest. */
#include "sluice/decode/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ROOM         65536

/* What one way of feeding led to. */
struct outcome {
    sl_err err;
    bool is_done;
    size_t used; /* of the whole input, when done */
    size_t data_len;
    uint64_t framing_bytes;
    char data[ROOM];
};

/* Feeds a copy of in[from..to) that ends where its memory ends, so that a sanitizer sees every byte too many. */
static void feed(struct sl_chunked *chunked, struct outcome *outcome, struct sl_bytes in, size_t from, size_t to)
{
    if (outcome->err != SL_OK || outcome->is_done)
        return;
    char *buf = malloc(to - from + (to == from));
    memcpy(buf, in.base + from, to - from);
    size_t data, used;
    outcome->err = sl_chunked_decode(chunked, buf, to - from, &data, &used, &outcome->is_done);
    assert_true(data <= used && used <= to - from);
    if (outcome->err == SL_OK && !outcome->is_done)
        assert_int_equal(used, to - from);
    if (outcome->is_done)
        assert_memory_equal(buf + used, in.base + from + used, to - from - used);
    memcpy(outcome->data + outcome->data_len, buf, data);
    outcome->data_len += data;
    outcome->used = from + used;
    outcome->framing_bytes = chunked->framing_bytes;
    free(buf);
}

/* In pieces of `step`, or, if step is 0, in two with the cut at `cut`. */
static void decode(struct outcome *outcome, struct sl_bytes in, size_t step, size_t cut)
{
    struct sl_chunked chunked = {0};
    outcome->err = SL_OK;
    outcome->is_done = false;
    outcome->data_len = 0;
    if (step == 0) {
        feed(&chunked, outcome, in, 0, cut);
        feed(&chunked, outcome, in, cut, in.len);
        return;
    }
    for (size_t at = 0; at < in.len; at += step)
        feed(&chunked, outcome, in, at, at + step < in.len ? at + step : in.len);
}

static void assert_same(const struct outcome *a, const struct outcome *b, const char *name)
{
    if (a->err != b->err || a->is_done != b->is_done || a->data_len != b->data_len || a->used != b->used ||
        a->framing_bytes != b->framing_bytes || memcmp(a->data, b->data, a->data_len) != 0)
        fail_msg("another cut, another result: %s", name);
}

static struct outcome whole, cut_up;

/* Decodes `in` in every way; the result of all is in `whole`. */
static void decode_every_way(struct sl_bytes in, const char *name)
{
    decode(&whole, in, in.len, 0);
    decode(&cut_up, in, 1, 0);
    assert_same(&whole, &cut_up, name);
    for (size_t cut = 0; cut <= in.len; cut++) {
        decode(&cut_up, in, 0, cut);
        assert_same(&whole, &cut_up, name);
    }
}

static void decode_good_body_yields_data_and_leaves_the_rest(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *data;
        const char *rest;
    } cases[] = {
        {"0\r\n\r\n", "", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
        {"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!", ""},
        {"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n000\r\n\r\n", "abc", ""},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""},
        {"0000000000000000000003\r\nabc\r\n0\r\n\r\n", "abc", ""},
        {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", ""}, /* data that looks like framing */
        {"7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", "0\r\n\r\n0\r", ""},
        {"2;name\r\nab\r\n0\r\n\r\n", "ab", ""},
        {"2;a=b;c=\"d \\\" ;\te\";f\r\nab\r\n0;last=1\r\n\r\n", "ab", ""},
        {"1\r\nx\r\n0\r\nDigest: a b\r\nEmpty:\r\nX: \xc3\xa4\r\n\r\n", "x", ""},
        {"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "x", "GET / HTTP/1.1\r\n"},
        {"1\r\nx\r\n0\r\nT: v\r\n\r\n\r\n5\r\nhello", "x", "\r\n5\r\nhello"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sl_bytes in = sl_bytes_of(cases[i].in);
        decode_every_way(in, cases[i].in);
        assert_int_equal(whole.err, SL_OK);
        assert_true(whole.is_done);
        assert_int_equal(whole.data_len, strlen(cases[i].data));
        assert_memory_equal(whole.data, cases[i].data, whole.data_len);
        assert_string_equal(cases[i].in + whole.used, cases[i].rest);
        assert_int_equal(whole.framing_bytes + whole.data_len, whole.used);
    }
}

static void decode_bad_framing_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct sl_bytes in;
    } cases[] = {
        {"empty size", SL_BYTES("\r\nhello\r\n0\r\n\r\n")},
        {"0x", SL_BYTES("0x5\r\nhello\r\n0\r\n\r\n")},
        {"minus", SL_BYTES("-0\r\n\r\n")},
        {"plus", SL_BYTES("+5\r\nhello\r\n0\r\n\r\n")},
        {"space behind", SL_BYTES("5 \r\nhello\r\n0\r\n\r\n")},
        {"space before", SL_BYTES(" 5\r\nhello\r\n0\r\n\r\n")},
        {"tab behind", SL_BYTES("5\t\r\nhello\r\n0\r\n\r\n")},
        {"space before ;", SL_BYTES("5 ;a\r\nhello\r\n0\r\n\r\n")},
        {"underscore", SL_BYTES("0_2e\r\n")},
        {"not hex", SL_BYTES("g\r\n")},
        {"NUL", SL_BYTES("5\0\r\nhello\r\n")},
        {"2^63", SL_BYTES("8000000000000000\r\n")},
        {"2^64 - 1", SL_BYTES("ffffffffffffffff\r\n")},
        {"2^64 + 5", SL_BYTES("10000000000000005\r\nhello\r\n0\r\n\r\n")},
        {"bare LF behind size", SL_BYTES("5\nhello\r\n0\r\n\r\n")},
        {"bare CR behind size", SL_BYTES("5\rhello\r\n0\r\n\r\n")},
        {"CR CR LF", SL_BYTES("5\r\r\nhello\r\n0\r\n\r\n")},
        {"data without CRLF", SL_BYTES("5\r\nhello0\r\n\r\n")},
        {"data with LF", SL_BYTES("5\r\nhello\n0\r\n\r\n")},
        {"data with CR", SL_BYTES("5\r\nhello\r0\r\n\r\n")},
        {"data with CR and another byte", SL_BYTES("5\r\nhello\rX0\r\n\r\n")},
        {"data too long", SL_BYTES("5\r\nhello!\r\n0\r\n\r\n")},
        {"data too short", SL_BYTES("6\r\nhello\r\n0\r\n\r\n")},
        {"empty extension", SL_BYTES("1;\r\nx\r\n0\r\n\r\n")},
        {"extension without value", SL_BYTES("1;a=\r\nx\r\n0\r\n\r\n")},
        {"bare LF in extension", SL_BYTES("1;a\nx\r\n0\r\n\r\n")},
        {"bare LF in quotes", SL_BYTES("1;a=\"\n\"\r\nx\r\n0\r\n\r\n")},
        {"CR in quotes", SL_BYTES("1;a=\"\r\"\r\nx\r\n0\r\n\r\n")},
        {"escaped LF in quotes", SL_BYTES("1;a=\"\\\n\"\r\nx\r\n0\r\n\r\n")},
        {"text behind quotes", SL_BYTES("1;a=\"b\"c\r\nx\r\n0\r\n\r\n")},
        {"NUL in extension", SL_BYTES("1;a=\0\r\nx\r\n0\r\n\r\n")},
        {"last chunk with LF", SL_BYTES("0\n\n")},
        {"end with LF", SL_BYTES("0\r\n\n")},
        {"end with CR CR", SL_BYTES("0\r\n\r\r")},
        {"trailer without colon", SL_BYTES("0\r\nabc\r\n\r\n")},
        {"trailer without name", SL_BYTES("0\r\n: v\r\n\r\n")},
        {"trailer with space before colon", SL_BYTES("0\r\na : v\r\n\r\n")},
        {"trailer folded", SL_BYTES("0\r\na: v\r\n b\r\n\r\n")},
        {"trailer with LF", SL_BYTES("0\r\na: v\n\r\n")},
        {"trailer with CR", SL_BYTES("0\r\na: v\rb\r\n\r\n")},
        {"trailer with NUL", SL_BYTES("0\r\na: \0\r\n\r\n")},
        {"binary garbage", SL_BYTES("\x16\x03\x01\x02\x00\x01")},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        decode_every_way(cases[i].in, cases[i].why);
        if (whole.err != SL_BAD_CHUNK || whole.is_done)
            fail_msg("taken: %s", cases[i].why);
    }
}

static void decode_early_end_is_not_done(void **state)
{
    (void)state;
    struct sl_bytes in = SL_BYTES("5;a=\"b\"\r\nhello\r\n0\r\nT: v\r\n\r\n");
    for (size_t len = 0; len < in.len; len++) {
        decode(&whole, (struct sl_bytes){in.base, len}, len + 1, 0);
        assert_int_equal(whole.err, SL_OK);
        assert_false(whole.is_done);
    }
}

static void decode_after_a_fault_says_it_again(void **state)
{
    (void)state;
    struct sl_chunked chunked = {0};
    char bad[] = "2\r\nabc", good[] = "0\r\n\r\n";
    size_t data, used;
    bool is_done;
    assert_int_equal(sl_chunked_decode(&chunked, bad, 6, &data, &used, &is_done), SL_BAD_CHUNK);
    assert_int_equal(data, 2); /* what was good is told */
    assert_memory_equal(bad, "ab", 2);
    assert_int_equal(sl_chunked_decode(&chunked, good, 5, &data, &used, &is_done), SL_BAD_CHUNK);
    assert_int_equal(data, 0);
    assert_false(is_done);
}

static void decode_largest_size_is_taken(void **state)
{
    (void)state;
    struct sl_chunked chunked = {0};
    char buf[] = "7fffffffffffffff\r\nabc";
    size_t data, used;
    bool is_done;
    assert_int_equal(sl_chunked_decode(&chunked, buf, 21, &data, &used, &is_done), SL_OK);
    assert_int_equal(data, 3);
    assert_true(chunked.left == UINT64_C(0x7fffffffffffffff) - 3);
}

/* `prefix`, then `count` times `c`, then `suffix`. */
static struct sl_bytes long_line(const char *prefix, size_t count, char c, const char *suffix)
{
    static char text[ROOM];
    size_t at = strlen(prefix);
    memcpy(text, prefix, at);
    memset(text + at, c, count);
    memcpy(text + at + count, suffix, strlen(suffix));
    return (struct sl_bytes){text, at + count + strlen(suffix)};
}

static void decode_long_lines_meet_their_limits(void **state)
{
    (void)state;
    const size_t line = SL_CHUNKED_EXTENSION_BYTES_MAX, trailer = SL_CHUNKED_TRAILER_BYTES_MAX;
    const struct {
        const char *prefix, *suffix;
        size_t fits;
    } cases[] = {
        {"1;", "\r\nx\r\n0\r\n\r\n", line - 2},
        {"1;a=\"", "\"\r\nx\r\n0\r\n\r\n", line - 6},
        {"", "0\r\n\r\n", line - 1},
        {"0\r\nname:", "\r\n\r\n", trailer - 7},
        {"0\r\na:b\r\nname:", "\r\n\r\n", trailer - 12},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sl_bytes fits = long_line(cases[i].prefix, cases[i].fits, '0', cases[i].suffix);
        decode(&whole, fits, fits.len, 0);
        decode(&cut_up, fits, 1, 0);
        assert_same(&whole, &cut_up, cases[i].prefix);
        assert_int_equal(whole.err, SL_OK);
        assert_true(whole.is_done);
        struct sl_bytes over = long_line(cases[i].prefix, cases[i].fits + 1, '0', cases[i].suffix);
        decode(&whole, over, over.len, 0);
        decode(&cut_up, over, 1, 0);
        assert_same(&whole, &cut_up, cases[i].prefix);
        assert_int_equal(whole.err, SL_BAD_CHUNK);
    }
}

static void decode_many_chunks_limit_each_line_and_not_their_sum(void **state)
{
    (void)state;
    static char text[ROOM];
    size_t at = 0;
    for (int i = 0; i < 1000; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "1;extension=%d\r\n%c\r\n", i, 'a' + i % 26);
    at += (size_t)snprintf(text + at, sizeof text - at, "0\r\n\r\n");
    decode(&whole, (struct sl_bytes){text, at}, at, 0);
    decode(&cut_up, (struct sl_bytes){text, at}, 7, 0);
    assert_same(&whole, &cut_up, "thousand chunks");
    assert_true(whole.is_done);
    assert_int_equal(whole.data_len, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(whole.data[i], 'a' + i % 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_good_body_yields_data_and_leaves_the_rest),
        cmocka_unit_test(decode_bad_framing_is_refused),
        cmocka_unit_test(decode_early_end_is_not_done),
        cmocka_unit_test(decode_after_a_fault_says_it_again),
        cmocka_unit_test(decode_largest_size_is_taken),
        cmocka_unit_test(decode_long_lines_meet_their_limits),
        cmocka_unit_test(decode_many_chunks_limit_each_line_and_not_their_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
