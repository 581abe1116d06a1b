/* Byte ranges: the examples of RFC 9110 section 14.1.2, what the grammar refuses, and what nobody honest asks for. */
#include "sluice/decode/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define TOO_BIG "18446744073709551616" /* 2^64 */
#define HUGE    "99999999999999999999999999999999999999999999"

/* Parses into memory that ends where it must; tells the ranges as "first+len first+len". */
static sl_err parse(struct sl_bytes value, uint64_t size, struct sl_text *text)
{
    struct sl_range *ranges = malloc(SL_RANGES_MAX * sizeof *ranges);
    char *copy = malloc(value.len + (value.len == 0));
    if (value.len > 0)
        memcpy(copy, value.base, value.len);
    size_t count = 99;
    sl_err err = sl_ranges_parse((struct sl_bytes){copy, value.len}, size, ranges, &count);
    assert_true(count <= SL_RANGES_MAX);
    assert_true(err == SL_OK || count == 0);
    for (size_t i = 0; i < count; i++)
        sl_text_printf(text, "%s%ju+%ju", i == 0 ? "" : " ", (uintmax_t)ranges[i].first, (uintmax_t)ranges[i].len);
    free(copy);
    free(ranges);
    return err;
}

struct range_case {
    const char *value;
    uint64_t size;
    sl_err err;
    const char *ranges; /* as parse tells them; "": send the whole */
};

static void assert_parsed(const struct range_case *c)
{
    char room[512];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_err err = parse(sl_bytes_of(c->value), c->size, &text);
    if (err != c->err || strcmp(text.base, c->ranges) != 0)
        fail_msg("%s of %ju: %s, not %s; %s", c->value, (uintmax_t)c->size, sl_err_row(err)->name,
                 sl_err_row(c->err)->name, text.base);
}

#define ASSERT_PARSED(cases)                  \
    for (size_t i = 0; i < COUNT(cases); i++) \
    assert_parsed(&(cases)[i])

static void parse_one_range_table(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        /* section 14.1.2 */
        {"bytes=0-499", 10000, SL_OK, "0+500"},
        {"bytes=500-999", 10000, SL_OK, "500+500"},
        {"bytes=-500", 10000, SL_OK, "9500+500"},
        {"bytes=9500-", 10000, SL_OK, "9500+500"},
        /* the ends */
        {"bytes=0-", 10, SL_OK, "0+10"},
        {"bytes=0-0", 10, SL_OK, "0+1"},
        {"bytes=9-9", 10, SL_OK, "9+1"},
        {"bytes=9-", 10, SL_OK, "9+1"},
        {"bytes=0-9", 10, SL_OK, "0+10"},
        {"bytes=0-10", 10, SL_OK, "0+10"},
        {"bytes=9-10", 10, SL_OK, "9+1"},
        {"bytes=10-", 10, SL_RANGE, ""},
        {"bytes=10-10", 10, SL_RANGE, ""},
        {"bytes=11-20", 10, SL_RANGE, ""},
        {"bytes=-1", 10, SL_OK, "9+1"},
        {"bytes=-10", 10, SL_OK, "0+10"},
        {"bytes=-11", 10, SL_OK, "0+10"},
        {"bytes=-0", 10, SL_RANGE, ""},
        {"bytes=-000", 10, SL_RANGE, ""},
        {"bytes=00-007", 10, SL_OK, "0+8"},
        {"bytes=0-0", 1, SL_OK, "0+1"},
        {"bytes=1-1", 1, SL_RANGE, ""},
        /* nothing is there: all of it can be had, a byte of it cannot */
        {"bytes=0-", 0, SL_RANGE, ""},
        {"bytes=0-0", 0, SL_RANGE, ""},
        {"bytes=-0", 0, SL_RANGE, ""},
        {"bytes=0-0,-0", 0, SL_RANGE, ""},
        {"bytes=-1", 0, SL_OK, ""},
        {"bytes=0-0,-1", 0, SL_OK, ""},
        {"bytes=2-1", 0, SL_OK, ""},
    };
    ASSERT_PARSED(cases);
}

static void parse_huge_numbers_are_far_behind_the_end(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        {"bytes=0-18446744073709551615", 10, SL_OK, "0+10"},
        {"bytes=0-" TOO_BIG, 10, SL_OK, "0+10"},
        {"bytes=5-" HUGE, 10, SL_OK, "5+5"},
        {"bytes=-18446744073709551615", 10, SL_OK, "0+10"},
        {"bytes=-" TOO_BIG, 10, SL_OK, "0+10"},
        {"bytes=-" HUGE, 10, SL_OK, "0+10"},
        {"bytes=-" HUGE, 0, SL_OK, ""},
        {"bytes=18446744073709551615-", 10, SL_RANGE, ""},
        {"bytes=" TOO_BIG "-", 10, SL_RANGE, ""}, /* not byte 0 */
        {"bytes=" TOO_BIG "-" HUGE, 10, SL_RANGE, ""},
        {"bytes=" TOO_BIG "-5", 10, SL_OK, ""}, /* backwards all the same */
        {"bytes=" HUGE "-,0-0", 10, SL_OK, "0+1"},
        {"bytes=000000000000000000000000000000000000001-1", 10, SL_OK, "1+1"},
        {"bytes=0-", UINT64_MAX, SL_OK, "0+18446744073709551615"},
        {"bytes=-1", UINT64_MAX, SL_OK, "18446744073709551614+1"},
        {"bytes=-" HUGE, UINT64_MAX, SL_OK, "0+18446744073709551615"},
        {"bytes=18446744073709551614-", UINT64_MAX, SL_OK, "18446744073709551614+1"},
        {"bytes=18446744073709551615-", UINT64_MAX, SL_RANGE, ""},
        {"bytes=1-" HUGE ",0-0", UINT64_MAX, SL_OK, "0+18446744073709551615"},
        {"bytes=0-9223372036854775807,9223372036854775809-", UINT64_MAX, SL_OK,
         "0+9223372036854775808 9223372036854775809+9223372036854775806"},
    };
    ASSERT_PARSED(cases);
}

static void parse_what_the_grammar_refuses_is_ignored(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",
        "bytes",
        "bytes=",
        "=",
        "=0-1",
        "bytes=,",
        "bytes= , ,,",
        "bytes=-",
        "bytes=--1",
        "bytes=1",
        "bytes=a",
        "bytes=a-b",
        "bytes=0-b",
        "bytes=a-1",
        "bytes=1-0",
        "bytes=9-8",
        "bytes=20-19",
        "bytes=*",
        "bytes=*-",
        "bytes=0-*",
        "bytes=0-1-2",
        "bytes=0--1",
        "bytes=0-1-",
        "bytes=+0-1",
        "bytes=0-+1",
        "bytes=0x0-1",
        "bytes=0.0-1",
        "bytes=0-1;",
        "bytes=0-1;q=1",
        "bytes=0 -1",
        "bytes=0- 1",
        "bytes=0 - 1",
        "bytes=0-1 2-3",
        "bytes=0\t-1",
        "bytes=- 1",
        "bytes=1 -",
        "bytes =0-1",
        "bytes:0-1",
        "bytes 0-1",
        "bytes0-1",
        "bytes==0-1",
        "bytes=bytes=0-1",
        "byte=0-1",
        "bytess=0-1",
        "octets=0-1",
        "items=0-1",
        "none=0-1",
        "xbytes=0-1",
        "bytes=\"0-1\"",
        "0-1",
        "bytes=0-1\n",
        "bytes=\v0-1",
        "bytes=0-1\x80",
        ("bytes=0\xe2\x80\x93"
         "1"),
    };
    for (size_t i = 0; i < COUNT(values); i++)
        assert_parsed(&(struct range_case){values[i], 10, SL_OK, ""});
    /* One that is malformed takes the others with it. */
    static const char *const mixed[] = {"bytes=0-1,3-2", "bytes=3-2,0-1", "bytes=0-1,x",     "bytes=0-1,-",
                                        "bytes=99-,x",   "bytes=-0,1",    "bytes=x,0-1",     "bytes=0-1,bytes=2-3",
                                        "bytes=0-1;2-3", "bytes=0-1/10",  "bytes=0-,0-,0-,x"};
    for (size_t i = 0; i < COUNT(mixed); i++)
        assert_parsed(&(struct range_case){mixed[i], 10, SL_OK, ""});

    char room[16];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    assert_int_equal(parse(SL_BYTES("bytes=0-1\0"), 10, &text), SL_OK);
    assert_int_equal(parse(SL_BYTES("bytes=0\0-1"), 10, &text), SL_OK);
    assert_int_equal(parse((struct sl_bytes){NULL, 0}, 10, &text), SL_OK);
    assert_int_equal(text.len, 0);
}

static void parse_case_of_the_unit_and_blanks_do_not_matter(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        {"BYTES=0-1", 10, SL_OK, "0+2"},
        {"Bytes=0-1", 10, SL_OK, "0+2"},
        {" bytes=0-1\t", 10, SL_OK, "0+2"},
        {"bytes= 0-1", 10, SL_OK, "0+2"},
        {"bytes=0-1,5-6", 10, SL_OK, "0+2 5+2"},
        {"bytes=0-1 ,\t5-6", 10, SL_OK, "0+2 5+2"},
        {"bytes=,0-1,, ,5-6,\t,", 10, SL_OK, "0+2 5+2"},
    };
    ASSERT_PARSED(cases);
}

static void parse_several_ranges_table(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        /* section 14.1.2 */
        {"bytes=0-0,-1", 10000, SL_OK, "0+1 9999+1"},
        {"bytes= 0-999, 4500-5499, -1000", 10000, SL_OK, "0+1000 4500+1000 9000+1000"},
        {"bytes=500-600,601-999", 10000, SL_OK, "500+500"},
        {"bytes=500-700,601-999", 10000, SL_OK, "500+500"},
        /* as small as it may get */
        {"bytes=0-0,-1", 3, SL_OK, "0+1 2+1"},
        {"bytes=0-0,-1", 2, SL_OK, "0+2"},
        {"bytes=0-0,-1", 1, SL_OK, "0+1"},
        /* in the order asked */
        {"bytes=8-8,0-0,4-4", 10, SL_OK, "8+1 0+1 4+1"},
        {"bytes=-1,0-0", 10, SL_OK, "9+1 0+1"},
        /* what is behind the end is left out */
        {"bytes=10-,0-0", 10, SL_OK, "0+1"},
        {"bytes=0-0,-0,4-4,99-100", 10, SL_OK, "0+1 4+1"},
        {"bytes=10-,-0,99-100", 10, SL_RANGE, ""},
        /* one, at the place of the first */
        {"bytes=5-6,0-1,2-4", 10, SL_OK, "0+7"},
        {"bytes=8-8,4-5,0-1,2-3", 10, SL_OK, "8+1 0+6"},
        {"bytes=4-5,8-9,2-3,0-0", 10, SL_OK, "2+4 8+2 0+1"},
        {"bytes=0-0,1-1,2-2,3-3,4-4,5-5", 10, SL_OK, "0+6"},
        {"bytes=5-5,4-4,3-3,2-2,1-1,0-0", 10, SL_OK, "0+6"},
        {"bytes=0-0,4-4,8-8,2-2,6-6,1-1,3-3,5-5,7-7", 10, SL_OK, "0+9"},
        {"bytes=0-0,8-8,6-6,4-4,2-2,7-7,5-5", 10, SL_OK, "0+1 4+5 2+1"},
        {"bytes=2-3,0-9", 10, SL_OK, "0+10"},
        {"bytes=0-9,2-3", 10, SL_OK, "0+10"},
        {"bytes=4-4,4-4", 10, SL_OK, "4+1"},
        {"bytes=0-4,-6", 10, SL_OK, "0+10"},
        {"bytes=0-3,4-7,6-9", 10, SL_OK, "0+10"}, /* two overlap, one adjoins */
        {"bytes=0-4,6-9", 10, SL_OK, "0+5 6+4"},
        {"bytes=0-4,5-9", 10, SL_OK, "0+10"},
    };
    ASSERT_PARSED(cases);
}

static void parse_bombs_are_refused(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        {"bytes=0-,0-,0-", 10, SL_RANGE_LIMIT, ""},
        {"bytes=0-,1-,2-", 10, SL_RANGE_LIMIT, ""},
        {"bytes=-1,-2,-3", 10, SL_RANGE_LIMIT, ""},
        {"bytes=0-4,2-6,5-9", 10, SL_RANGE_LIMIT, ""},       /* a chain */
        {"bytes=0-1,1-2,5-6,6-7", 10, SL_RANGE_LIMIT, ""},   /* two pairs */
        {"bytes=0-9,0-0,9-9", 10, SL_RANGE_LIMIT, ""},       /* two that do not overlap, inside one */
        {"bytes=0-0,4-4,8-8,4-4", 10, SL_OK, "0+1 4+1 8+1"}, /* one pair is no bomb */
        {"bytes=0-0,10-,10-,10-", 10, SL_OK, "0+1"},         /* behind the end nothing overlaps */
        {"bytes=0-20,9-15,10-30,12-", 10, SL_OK, "0+10"},    /* two are left */
    };
    ASSERT_PARSED(cases);
}

/* `count` ranges of one byte with a gap between them, and `tail`. */
static struct sl_text many(size_t count, const char *tail)
{
    static char room[SL_RANGES_MAX * 1000];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_text_put(&text, SL_BYTES("bytes="));
    for (size_t i = 0; i < count; i++)
        sl_text_printf(&text, "%s%zu-%zu", i == 0 ? "" : ",", 2 * i, 2 * i);
    sl_text_put(&text, sl_bytes_of(tail));
    assert_false(text.full);
    return text;
}

static void parse_number_of_ranges_at_and_over_the_limit(void **state)
{
    (void)state;
    char expected[512];
    struct sl_text text;
    sl_text_init(&text, expected, sizeof expected);
    for (size_t i = 0; i < SL_RANGES_MAX; i++)
        sl_text_printf(&text, "%s%zu+1", i == 0 ? "" : " ", 2 * i);
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX, "").base, 10000, SL_OK, expected});
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX, ",, ,").base, 10000, SL_OK, expected});
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX + 1, "").base, 10000, SL_RANGE_LIMIT, ""});
    assert_parsed(&(struct range_case){many(1000, "").base, 10000, SL_RANGE_LIMIT, ""});
    /* Counted as sent: behind the end, too. */
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX, "").base, 1, SL_OK, "0+1"});
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX + 1, "").base, 1, SL_RANGE_LIMIT, ""});
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX + 1, "").base, 0, SL_RANGE_LIMIT, ""});
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX, ",-0").base, 10000, SL_RANGE_LIMIT, ""});
    /* What is no Range is no bomb either. */
    assert_parsed(&(struct range_case){many(SL_RANGES_MAX + 1, ",x").base, 10000, SL_OK, ""});
    assert_parsed(&(struct range_case){many(1000, ",2-1").base, 10000, SL_OK, ""});
}

static bool is_wanted(const unsigned *asked, size_t count, unsigned byte)
{
    for (size_t i = 0; i < count; i++)
        if (byte >= asked[i] / 8 && byte <= asked[i] % 8)
            return true;
    return false;
}

/* All triples of ranges of eight bytes: the ranges told hold the bytes asked for and no other, each once. */
static void parse_all_triples_tell_the_bytes_asked_for(void **state)
{
    (void)state;
    for (unsigned triple = 0; triple < 64 * 64 * 64; triple++) {
        unsigned asked[] = {triple / 4096, triple / 64 % 64, triple % 64};
        char value[64];
        struct sl_text text;
        sl_text_init(&text, value, sizeof value);
        bool is_valid = true;
        for (size_t i = 0; i < 3; i++) {
            sl_text_printf(&text, "%s%u-%u", i == 0 ? "bytes=" : ",", asked[i] / 8, asked[i] % 8);
            is_valid &= asked[i] / 8 <= asked[i] % 8;
        }
        struct sl_range ranges[SL_RANGES_MAX];
        size_t count = 99;
        sl_err err = sl_ranges_parse((struct sl_bytes){text.base, text.len}, 8, ranges, &count);
        assert_true((err == SL_OK && (count > 0) == is_valid) || (err == SL_RANGE_LIMIT && is_valid && count == 0));
        if (count == 0)
            continue;
        assert_in_range(asked[0] / 8, ranges[0].first, ranges[0].first + ranges[0].len - 1);
        for (unsigned byte = 0; byte < 8; byte++) {
            unsigned told = 0;
            for (size_t i = 0; i < count; i++)
                told += byte >= ranges[i].first && byte < ranges[i].first + ranges[i].len;
            assert_int_equal(told, is_wanted(asked, 3, byte));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_one_range_table),
        cmocka_unit_test(parse_huge_numbers_are_far_behind_the_end),
        cmocka_unit_test(parse_what_the_grammar_refuses_is_ignored),
        cmocka_unit_test(parse_case_of_the_unit_and_blanks_do_not_matter),
        cmocka_unit_test(parse_several_ranges_table),
        cmocka_unit_test(parse_bombs_are_refused),
        cmocka_unit_test(parse_number_of_ranges_at_and_over_the_limit),
        cmocka_unit_test(parse_all_triples_tell_the_bytes_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
