/* Spans, growing texts, and the UTF-8 decoder they share with the decoders. */
#include "sluice/base/bytes.h"
#include "sluice/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void equal_nocase_ascii_letters_fold_and_nothing_else(void **state)
{
    (void)state;
    assert_true(sl_bytes_equal_nocase(SL_BYTES("Content-LENGTH"), SL_BYTES("content-length")));
    assert_true(sl_bytes_equal_nocase(SL_BYTES(""), (struct sl_bytes){NULL, 0}));
    assert_false(sl_bytes_equal_nocase(SL_BYTES("close"), SL_BYTES("closed")));
    assert_false(sl_bytes_equal_nocase(SL_BYTES("@"), SL_BYTES("`")));
    assert_false(sl_bytes_equal_nocase(SL_BYTES("["), SL_BYTES("{")));
    assert_false(sl_bytes_equal_nocase(SL_BYTES("\xc3\x84"), SL_BYTES("\xc3\xa4")));
}

static void equal_different_bytes_or_lengths_is_false(void **state)
{
    (void)state;
    assert_true(sl_bytes_equal(SL_BYTES("a\0b"), SL_BYTES("a\0b")));
    assert_false(sl_bytes_equal(SL_BYTES("a\0b"), SL_BYTES("a\0c")));
    assert_false(sl_bytes_equal(SL_BYTES("a"), SL_BYTES("A")));
    assert_false(sl_bytes_equal(SL_BYTES("a"), SL_BYTES("ab")));
}

static void trim_blanks_at_both_ends_go(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes in, out;
    } cases[] = {
        {SL_BYTES(""), SL_BYTES("")},           {SL_BYTES(" \t "), SL_BYTES("")},
        {SL_BYTES(" a b\t"), SL_BYTES("a b")},  {SL_BYTES("\r a"), SL_BYTES("\r a")},
        {SL_BYTES("a\xa0"), SL_BYTES("a\xa0")}, {SL_BYTES("\va"), SL_BYTES("\va")},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_true(sl_bytes_equal(sl_bytes_trim(cases[i].in), cases[i].out));
}

static void to_u64_table_takes_digits_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"+1", false, 0},
        {"-1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"1_0", false, 0},
        {"1.0", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 42;
        assert_int_equal(sl_bytes_to_u64(sl_bytes_of(cases[i].text), &value), cases[i].is_number);
        assert_true(value == (cases[i].is_number ? cases[i].value : 42));
    }
}

static void text_put_too_much_is_cut_and_told(void **state)
{
    (void)state;
    char room[6];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    assert_string_equal(room, "");
    sl_text_put(&text, SL_BYTES("abc"));
    sl_text_put(&text, SL_BYTES("de"));
    assert_string_equal(room, "abcde");
    assert_false(text.full);
    sl_text_put(&text, SL_BYTES(""));
    assert_false(text.full);
    sl_text_put(&text, SL_BYTES("f"));
    assert_string_equal(room, "abcde");
    assert_int_equal(text.len, 5);
    assert_true(text.full);
}

static void text_printf_too_much_is_cut_and_told(void **state)
{
    (void)state;
    char room[8];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_text_printf(&text, "%d-", 12);
    assert_string_equal(room, "12-");
    sl_text_printf(&text, "%s", "3456");
    assert_string_equal(room, "12-3456");
    assert_false(text.full);
    sl_text_printf(&text, "%s", "789");
    assert_string_equal(room, "12-3456");
    assert_int_equal(text.len, 7);
    assert_true(text.full);
}

static void text_put_escaped_table_keeps_one_line(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes in;
        const char *out;
    } cases[] = {
        {SL_BYTES("plain text"), "plain text"},
        {SL_BYTES("a\r\nb\0c\x1b[0m\x7f"), "a\\x0d\\x0ab\\x00c\\x1b[0m\\x7f"},
        {SL_BYTES("\"\\"), "\\x22\\x5c"},
        {SL_BYTES("gr\xc3\xbc\xc3\x9f \xf0\x9f\x8e\x89"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8e\x89"},
        {SL_BYTES("\xc2\x85"), "\\xc2\\x85"},
        {SL_BYTES("a\xe2\x80\xae\x62"), "a\\xe2\\x80\\xae\x62"},
        {SL_BYTES("\xef\xbb\xbf"), "\\xef\\xbb\\xbf"},
        {SL_BYTES("\xff\xc3"), "\\xff\\xc3"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char room[64];
        struct sl_text text;
        sl_text_init(&text, room, sizeof room);
        sl_text_put_escaped(&text, cases[i].in);
        assert_string_equal(room, cases[i].out);
    }
}

static void utf8_sequence_table_takes_the_shortest_form_only(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes in;
        size_t len;
        uint32_t rune;
    } cases[] = {
        {SL_BYTES("\0"), 1, 0},
        {SL_BYTES("\x7f"), 1, 0x7f},
        {SL_BYTES("\xc2\x80"), 2, 0x80},
        {SL_BYTES("\xdf\xbf"), 2, 0x7ff},
        {SL_BYTES("\xe0\xa0\x80"), 3, 0x800},
        {SL_BYTES("\xed\x9f\xbf"), 3, 0xd7ff},
        {SL_BYTES("\xee\x80\x80"), 3, 0xe000},
        {SL_BYTES("\xef\xbf\xbf tail"), 3, 0xffff},
        {SL_BYTES("\xf0\x90\x80\x80"), 4, 0x10000},
        {SL_BYTES("\xf4\x8f\xbf\xbf"), 4, 0x10ffff},
        {SL_BYTES("\x80"), 0, 0},             /* begins in the middle */
        {SL_BYTES("\xc0\xaf"), 0, 0},         /* overlong slash */
        {SL_BYTES("\xc1\xbf"), 0, 0},         /* overlong */
        {SL_BYTES("\xe0\x9f\xbf"), 0, 0},     /* overlong */
        {SL_BYTES("\xf0\x8f\xbf\xbf"), 0, 0}, /* overlong */
        {SL_BYTES("\xed\xa0\x80"), 0, 0},     /* surrogate */
        {SL_BYTES("\xf4\x90\x80\x80"), 0, 0}, /* above U+10FFFF */
        {SL_BYTES("\xf5\x80\x80\x80"), 0, 0},
        {SL_BYTES("\xff"), 0, 0},
        {SL_BYTES("\xc3"), 0, 0}, /* cut */
        {SL_BYTES("\xe2\x82"), 0, 0},
        {SL_BYTES("\xf0\x9f\x8e"), 0, 0},
        {SL_BYTES("\xc3\x28"), 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t rune = 0;
        assert_int_equal(sl_utf8_sequence((const unsigned char *)cases[i].in.base, cases[i].in.len, &rune),
                         cases[i].len);
        assert_int_equal(rune, cases[i].rune);
    }
}

static void utf8_is_deceptive_table(void **state)
{
    (void)state;
    static const uint32_t hidden[] = {0x200b, 0x200d, 0x200e, 0x2028, 0x202e, 0x2066, 0x2069, 0xfeff, 0xe0041};
    static const uint32_t plain[] = {'a', 0xe4, 0x200a, 0x2010, 0x2027, 0x202f, 0x20ac, 0x1f389};
    for (size_t i = 0; i < COUNT(hidden); i++)
        assert_true(sl_utf8_is_deceptive(hidden[i]));
    for (size_t i = 0; i < COUNT(plain); i++)
        assert_false(sl_utf8_is_deceptive(plain[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_nocase_ascii_letters_fold_and_nothing_else),
        cmocka_unit_test(equal_different_bytes_or_lengths_is_false),
        cmocka_unit_test(trim_blanks_at_both_ends_go),
        cmocka_unit_test(to_u64_table_takes_digits_only),
        cmocka_unit_test(text_put_too_much_is_cut_and_told),
        cmocka_unit_test(text_printf_too_much_is_cut_and_told),
        cmocka_unit_test(text_put_escaped_table_keeps_one_line),
        cmocka_unit_test(utf8_sequence_table_takes_the_shortest_form_only),
        cmocka_unit_test(utf8_is_deceptive_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
