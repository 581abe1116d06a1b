/* Paths are refused, names are cleaned, queries are searched: tables of what the world sends. */
#include "sluice/decode/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct sl_path path;

static void decode_good_path_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *decoded;
    } cases[] = {
        {"a", "a"},
        {"a/b/c.txt", "a/b/c.txt"},
        {"a%20b+c", "a b+c"},
        {"%41%2e%62", "A.b"},
        {"gr%C3%BC%c3%9f", "gr\xc3\xbc\xc3\x9f"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"e%CC%81", "e\xcc\x81"}, /* NFD stays */
        {"%F0%9F%8E%89", "\xf0\x9f\x8e\x89"},
        {"...", "..."},
        {".htaccess", ".htaccess"},
        {"..a/.b./c..", "..a/.b./c.."},
        {"~/-rf/CON", "~/-rf/CON"},
        {"%3Cimg%3E/$(id)", "<img>/$(id)"},
        {"100%25", "100%"},
        {"%252e%252e", "%2e%2e"}, /* decoded once, never twice */
        {"a%3Fb%23c", "a?b#c"},
        {"C:", "C:"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (sl_path_decode(sl_bytes_of(cases[i].raw), &path) != SL_OK)
            fail_msg("refused: %s", cases[i].raw);
        assert_string_equal(path.text, cases[i].decoded);
        assert_int_equal(path.len, strlen(cases[i].decoded));
    }
}

static void decode_bad_path_is_refused(void **state)
{
    (void)state;
    static const struct sl_bytes cases[] =
        {
            SL_BYTES(""),         SL_BYTES("/"),         SL_BYTES("/a"),
            SL_BYTES("a/"),       SL_BYTES("a//b"),      SL_BYTES("."),
            SL_BYTES(".."),       SL_BYTES("../../x"),   SL_BYTES("a/../b"),
            SL_BYTES("a/./b"),    SL_BYTES("a/.."),      SL_BYTES("%2e%2e"),
            SL_BYTES("%2E%2e/x"), SL_BYTES(".%2e/x"),    SL_BYTES("a/%2e"),
            SL_BYTES("..%2fx"),   SL_BYTES("a%2Fb"),     SL_BYTES("a\\b"),
            SL_BYTES("..%5cx"),   SL_BYTES("C:\\x"),     SL_BYTES("a%00b"),
            SL_BYTES("a\0b"),     SL_BYTES("a%0d%0ab"),  SL_BYTES("a\nb"),
            SL_BYTES("a%09b"),    SL_BYTES("a%1f"),      SL_BYTES("a%7f"),
            SL_BYTES("a%C2%85"), /* C1 */
            SL_BYTES("a%"),       SL_BYTES("a%4"),       SL_BYTES("a%zz"),
            SL_BYTES("a%4g"),     SL_BYTES("%%41"),      SL_BYTES("a% 41"),
            SL_BYTES("%ff"),      SL_BYTES("\xff"),      SL_BYTES("%c0%ae%c0%ae"), /* overlong dots */
            SL_BYTES("%c0%af"),   SL_BYTES("%ed%a0%80"), SL_BYTES("a/%c3"),
            SL_BYTES("%c3/%bc"), /* a character may not straddle segments */
        };
    for (size_t i = 0; i < COUNT(cases); i++) {
        path.len = 7;
        char *raw = malloc(cases[i].len + (cases[i].len == 0)); /* ends where its memory ends */
        memcpy(raw, cases[i].base, cases[i].len);
        if (sl_path_decode((struct sl_bytes){raw, cases[i].len}, &path) != SL_BAD_PATH)
            fail_msg("taken: %s", cases[i].base);
        free(raw);
        assert_int_equal(path.len, 0);
        assert_string_equal(path.text, "");
    }
}

static void decode_lengths_at_and_over_the_limits(void **state)
{
    (void)state;
    char raw[3 * SL_PATH_BYTES_MAX + 3];
    memset(raw, 'a', sizeof raw);
    assert_int_equal(sl_path_decode((struct sl_bytes){raw, SL_SEGMENT_BYTES_MAX}, &path), SL_OK);
    assert_int_equal(path.len, SL_SEGMENT_BYTES_MAX);
    assert_int_equal(sl_path_decode((struct sl_bytes){raw, SL_SEGMENT_BYTES_MAX + 1}, &path), SL_BAD_PATH);
    for (size_t i = 200; i < sizeof raw; i += 200)
        raw[i] = '/';
    assert_int_equal(sl_path_decode((struct sl_bytes){raw, SL_PATH_BYTES_MAX}, &path), SL_OK);
    assert_int_equal(path.len, SL_PATH_BYTES_MAX);
    assert_int_equal(sl_path_check((struct sl_bytes){raw, SL_PATH_BYTES_MAX}, &path), SL_OK);
    assert_int_equal(sl_path_decode((struct sl_bytes){raw, SL_PATH_BYTES_MAX + 1}, &path), SL_BAD_PATH);
    assert_int_equal(sl_path_check((struct sl_bytes){raw, SL_PATH_BYTES_MAX + 1}, &path), SL_BAD_PATH);
    for (size_t i = 0; i < sizeof raw; i += 3)
        memcpy(raw + i, i / 3 % 200 == 100 ? "/aa" : "%61", 3);
    /* The limit is on what is decoded: 1024 bytes may be sent as up to 3072. */
    size_t slashes = SL_PATH_BYTES_MAX / 200;
    assert_int_equal(sl_path_decode((struct sl_bytes){raw, 3 * (SL_PATH_BYTES_MAX - 2 * slashes)}, &path), SL_OK);
    assert_int_equal(path.len, SL_PATH_BYTES_MAX);
    assert_int_equal(sl_path_decode((struct sl_bytes){raw, 3 * (SL_PATH_BYTES_MAX + 1)}, &path), SL_BAD_PATH);
}

static void check_percent_is_a_byte_like_others(void **state)
{
    (void)state;
    assert_int_equal(sl_path_check(SL_BYTES("2026/11/100%2f zz%"), &path), SL_OK);
    assert_string_equal(path.text, "2026/11/100%2f zz%");
    static const struct sl_bytes bad[] = {
        SL_BYTES(""),     SL_BYTES("/a"),     SL_BYTES("a/"),   SL_BYTES("a//b"),
        SL_BYTES(".."),   SL_BYTES("a/../b"), SL_BYTES("a\\b"), SL_BYTES("a\0b"),
        SL_BYTES("\xff"), SL_BYTES("a\x7f"),  SL_BYTES("a/."),  SL_BYTES("\xc2\x9f"),
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(sl_path_check(bad[i], &path), SL_BAD_PATH);
}

static void encode_table(void **state)
{
    (void)state;
    static const struct {
        const char *path, *encoded;
    } cases[] = {
        {"a/b-c._~9", "a/b-c._~9"},
        {"a b%?#[]", "a%20b%25%3F%23%5B%5D"},
        {"!$&'()*+,;=:@", "!$&'()*+,;=:@"},
        {"gr\xc3\xbc\xc3\x9f", "gr%C3%BC%C3%9F"},
        {"<img>\"`{|}^\\", "%3Cimg%3E%22%60%7B%7C%7D%5E%5C"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char room[128];
        struct sl_text text;
        sl_text_init(&text, room, sizeof room);
        sl_path_encode(&text, sl_bytes_of(cases[i].path));
        assert_string_equal(room, cases[i].encoded);
    }
}

static void encode_every_byte_decodes_to_itself(void **state)
{
    (void)state;
    for (unsigned c = 0x20; c < 0x7f; c++) {
        if (c == '/' || c == '\\')
            continue;
        char plain[] = {'x', (char)c, '\0'}, room[16];
        struct sl_text text;
        sl_text_init(&text, room, sizeof room);
        sl_path_encode(&text, sl_bytes_of(plain));
        assert_int_equal(sl_path_decode((struct sl_bytes){room, text.len}, &path), SL_OK);
        assert_string_equal(path.text, plain);
    }
}

#define A50  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"
#define A250 A50 A50 A50 A50 A50

static void name_clean_table_gives_one_safe_segment(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes name;
        size_t max;
        const char *clean;
    } cases[] = {
        {SL_BYTES("photo.jpg"), 255, "photo.jpg"},
        {SL_BYTES(""), 255, "file"},
        {SL_BYTES("."), 255, "file"},
        {SL_BYTES(".."), 255, "file"},
        {SL_BYTES(" . . "), 255, "file"},
        {SL_BYTES("../../x"), 255, "x"},
        {SL_BYTES("/etc/x"), 255, "x"},
        {SL_BYTES("a/"), 255, "file"},
        {SL_BYTES("a/.."), 255, "file"},
        {SL_BYTES("C:\\fakepath\\x.png"), 255, "x.png"},
        {SL_BYTES("a\\b/c"), 255, "c"},
        {SL_BYTES("a/b\\c"), 255, "c"},
        {SL_BYTES("%2e%2e"), 255, "%2e%2e"}, /* no escape to anybody: not decoded */
        {SL_BYTES("~"), 255, "~"},
        {SL_BYTES("-rf"), 255, "-rf"},
        {SL_BYTES("CON"), 255, "CON"},
        {SL_BYTES(".htaccess"), 255, "htaccess"},
        {SL_BYTES(" .a b. "), 255, "a b"},
        {SL_BYTES("a\0b\r\nc\x7f.txt"), 255, "a_b__c_.txt"},
        {SL_BYTES("\x01"), 255, "_"},
        {SL_BYTES("a\xff\xfe.txt"), 255, "a__.txt"},
        {SL_BYTES("a\xc3"), 255, "a_"},
        {SL_BYTES("a\xc2\x85z"), 255, "a_z"},
        {SL_BYTES("exe\xe2\x80\xaegpj.txt"), 255, "exe_gpj.txt"},
        {SL_BYTES("a\xe2\x80\x8b"
                  "b\xef\xbb\xbf"),
         255, "a_b_"},
        {SL_BYTES("e\xcc\x81.txt"), 255, "e\xcc\x81.txt"},
        {SL_BYTES("\xf0\x9f\x8e\x89"), 255, "\xf0\x9f\x8e\x89"},
        {SL_BYTES("<img src=x>"), 255, "<img src=x>"},
        {SL_BYTES("$(id)"), 255, "$(id)"},
        /* cutting */
        {SL_BYTES(A250 "12345"), 255, A250 "12345"},
        {SL_BYTES(A250 "123456"), 255, A250 "12345"},
        {SL_BYTES(A250 A50), 255, A250 "aaaaa"},
        {SL_BYTES(A250 "12345.jpg"), 255, A250 "1.jpg"},
        {SL_BYTES("abcdefgh.txt"), 8, "abcd.txt"},
        {SL_BYTES("abcdefgh."), 8, "abcdefgh"},
        {SL_BYTES("abcd.tar.gz"), 8, "abcd.gz"},
        {SL_BYTES("abc.abcdefghijklmnopqrstuvwxyz12345"), 34, "ab.abcdefghijklmnopqrstuvwxyz12345"},
        {SL_BYTES("abc.abcdefghijklmnopqrstuvwxyz123456"), 34, "abc.abcdefghijklmnopqrstuvwxyz1234"},
        {SL_BYTES("a.bcdefgh"), 8, "a.bcdefg"}, /* no room for both: no hidden file */
        {SL_BYTES("abc    d.abcdefgh"), 6, "abc"},
        {SL_BYTES("aaa\xc3\xbc\xc3\xbc"), 4, "aaa"},
        {SL_BYTES("\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89"), 7, "\xf0\x9f\x8e\x89"},
        {SL_BYTES("\xf0\x9f\x8e\x89.abc"), 7, "\xf0\x9f\x8e\x89.ab"},
        {SL_BYTES("aaaaa\xff\xff.\x01\x02"), 7, "aaaa.__"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *out = malloc(cases[i].max + 1);
        size_t len = sl_name_clean(cases[i].name, out, cases[i].max);
        assert_string_equal(out, cases[i].clean);
        assert_int_equal(len, strlen(cases[i].clean));
        assert_int_equal(sl_path_check((struct sl_bytes){out, len}, &path), SL_OK);
        free(out);
    }
}

static void query_find_table(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes query;
        sl_err err;
        const char *value;
    } cases[] = {
        {{NULL, 0}, SL_OK, ""},
        {SL_BYTES("name"), SL_OK, ""},
        {SL_BYTES("name="), SL_OK, ""},
        {SL_BYTES("name=f"), SL_OK, "f"},
        {SL_BYTES("a=1&name=f+g%2Fh%3D&b=2"), SL_OK, "f g/h="},
        {SL_BYTES("n%61me=x"), SL_OK, "x"},
        {SL_BYTES("name=a=b"), SL_OK, "a=b"},
        {SL_BYTES("&&name=x&&"), SL_OK, "x"},
        {SL_BYTES("filename=x&named=y&Name=z&nam=w"), SL_OK, ""},
        {SL_BYTES("%zz=1&name=x&other=%"), SL_OK, "x"}, /* what is not ours is not judged */
        {SL_BYTES("name=gr%C3%BC"), SL_OK, "gr\xc3\xbc"},
        {SL_BYTES("name=123456789"), SL_OK, "123456789"},
        {SL_BYTES("name=1234567890"), SL_BAD_PATH, ""},
        {SL_BYTES("name=a&name=a"), SL_BAD_PATH, ""},
        {SL_BYTES("name&name=a"), SL_BAD_PATH, ""},
        {SL_BYTES("name=a&n%61me=b"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%4"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%4&x=1"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%gg"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%ff"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%00"), SL_BAD_PATH, ""},
        {SL_BYTES("name=a%0d%0ab"), SL_BAD_PATH, ""},
        {SL_BYTES("name=%c2%80"), SL_BAD_PATH, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[10] = "untouched";
        size_t len = 99;
        if (sl_query_find(cases[i].query, "name", out, sizeof out, &len) != cases[i].err)
            fail_msg("another error: %s", cases[i].query.base);
        assert_string_equal(out, cases[i].value);
        assert_int_equal(len, strlen(cases[i].value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_good_path_is_taken),
        cmocka_unit_test(decode_bad_path_is_refused),
        cmocka_unit_test(decode_lengths_at_and_over_the_limits),
        cmocka_unit_test(check_percent_is_a_byte_like_others),
        cmocka_unit_test(encode_table),
        cmocka_unit_test(encode_every_byte_decodes_to_itself),
        cmocka_unit_test(name_clean_table_gives_one_safe_segment),
        cmocka_unit_test(query_find_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
