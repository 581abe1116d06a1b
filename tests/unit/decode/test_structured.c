/* Structured fields: tables of items and dictionaries as RFC 9651 has them and of what it refuses, each also cut at
 * every position. */
#include "sluice/decode/structured.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* NULs and all. */
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }
#define SHA_256 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define DIGIT_9 "123456789"

static const struct {
    struct sl_bytes value;
    enum sl_sf_kind kind;
    int64_t integer;
    const char *text;
} items[] = {
    {TEXT("0"), SL_SF_INTEGER, 0, "0"},
    {TEXT("-0"), SL_SF_INTEGER, 0, "-0"},
    {TEXT("42"), SL_SF_INTEGER, 42, "42"},
    {TEXT("-042"), SL_SF_INTEGER, -42, "-042"},
    {TEXT("999999999999999"), SL_SF_INTEGER, 999999999999999, "999999999999999"},
    {TEXT("-999999999999999"), SL_SF_INTEGER, -999999999999999, "-999999999999999"},
    {TEXT("  42  "), SL_SF_INTEGER, 42, "42"},
    {TEXT("1.5"), SL_SF_DECIMAL, 1500, "1.5"},
    {TEXT("-1.05"), SL_SF_DECIMAL, -1050, "-1.05"},
    {TEXT("0.001"), SL_SF_DECIMAL, 1, "0.001"},
    {TEXT("-0.0"), SL_SF_DECIMAL, 0, "-0.0"},
    {TEXT("999999999999.999"), SL_SF_DECIMAL, 999999999999999, "999999999999.999"},
    {TEXT("\"\""), SL_SF_STRING, 0, ""},
    {TEXT("\"a b,;=()\""), SL_SF_STRING, 0, "a b,;=()"},
    {TEXT("\"a\\\"b\\\\\""), SL_SF_STRING, 0, "a\\\"b\\\\"},
    {TEXT("a"), SL_SF_TOKEN, 0, "a"},
    {TEXT("*"), SL_SF_TOKEN, 0, "*"},
    {TEXT("Foo:bar/baz!#$%&'*+-.^_`|~9"), SL_SF_TOKEN, 0, "Foo:bar/baz!#$%&'*+-.^_`|~9"},
    {TEXT("::"), SL_SF_BYTES, 0, ""},
    {TEXT(":" SHA_256 ":"), SL_SF_BYTES, 0, SHA_256},
    {TEXT(":=a=:"), SL_SF_BYTES, 0, "=a="}, /* the base64 itself is checked by who decodes it */
    {TEXT("?1"), SL_SF_BOOLEAN, 1, "?1"},
    {TEXT("?0"), SL_SF_BOOLEAN, 0, "?0"},
    {TEXT("@1659578233"), SL_SF_DATE, 1659578233, "@1659578233"},
    {TEXT("@-1"), SL_SF_DATE, -1, "@-1"},
    {TEXT("%\"\""), SL_SF_DISPLAY_STRING, 0, "%\"\""},
    {TEXT("%\"f%c3%bc%f0%9f%98%80 \\\""), SL_SF_DISPLAY_STRING, 0, "%\"f%c3%bc%f0%9f%98%80 \\\""},
    {TEXT("%\"%00%22\""), SL_SF_DISPLAY_STRING, 0, "%\"%00%22\""},
    {TEXT("?1;a;b=1;  c=\";\";*=:YQ==:;d=tok;e=?0;f=@1;g=%\"x\""), SL_SF_BOOLEAN, 1, "?1"},
    {TEXT("5;a;a=2;a=x"), SL_SF_INTEGER, 5, "5"},
    {TEXT("text;q=0.5  "), SL_SF_TOKEN, 0, "text"},
};

static const struct sl_bytes bad_items[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("\t1"),
    TEXT("1\t"),
    TEXT("1\n"),
    TEXT("1 2"),
    TEXT("1,2"),
    TEXT("1\0"),
    TEXT("()"),
    TEXT("(1)"),
    TEXT("-"),
    TEXT("--1"),
    TEXT("- 1"),
    TEXT("+1"),
    TEXT(".5"),
    TEXT("1."),
    TEXT("1.."),
    TEXT("-.1"),
    TEXT("1.1.1"),
    TEXT("1.2345"),
    TEXT("1e3"),
    TEXT("1_0"),
    TEXT("0x1"),
    TEXT("1000000000000000"),
    TEXT("-1000000000000000"),
    TEXT(DIGIT_9 DIGIT_9 DIGIT_9),
    TEXT("1000000000000.1"),
    TEXT("1000000000000."),
    TEXT("999999999999999.9999"),
    TEXT("999999999999.9999"),
    TEXT("\""),
    TEXT("\"a"),
    TEXT("\"a\\\""),
    TEXT("\"\\a\""),
    TEXT("\"\\"),
    TEXT("\"a\"b"),
    TEXT("\"a\tb\""),
    TEXT("\"a\nb\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xc3\xa4\""),
    TEXT("\"a\0b\""),
    TEXT("'a'"),
    TEXT("_a"),
    TEXT("a b"),
    TEXT("a\""),
    TEXT("a\xc3\xa4"),
    TEXT(":"),
    TEXT(":YQ=="),
    TEXT("YQ==:"),
    TEXT(":YQ ==:"),
    TEXT(":_-:"),
    TEXT(":a:b:"),
    TEXT(":a\0:"),
    TEXT("?"),
    TEXT("?2"),
    TEXT("?true"),
    TEXT("?10"),
    TEXT("??1"),
    TEXT("@"),
    TEXT("@1.5"),
    TEXT("@x"),
    TEXT("@1000000000000000"),
    TEXT("%"),
    TEXT("%a"),
    TEXT("%\""),
    TEXT("%\"%\""),
    TEXT("%\"%C3%BC\""),
    TEXT("%\"%c3%Bc\""),
    TEXT("%\"%c3\""),
    TEXT("%\"%c3a\""),
    TEXT("%\"%bc\""),
    TEXT("%\"%ed%a0%80\""),
    TEXT("%\"%c0%80\""),
    TEXT("%\"%f4%90%80%80\""),
    TEXT("%\"%ff%ff%ff%ff\""),
    TEXT("%\"%0g\""),
    TEXT("%\"\xc3\xbc\""),
    TEXT("%\"a\tb\""),
    TEXT("{}"),
    TEXT("1;"),
    TEXT("1; "),
    TEXT("1;A"),
    TEXT("1;1"),
    TEXT("1;a="),
    TEXT("1;a= 1"),
    TEXT("1;a =1"),
    TEXT("1;a=()"),
    TEXT("1;a=1.1.1"),
    TEXT("1 ;a"),
    TEXT("1;\ta"),
    TEXT("1;a;"),
    TEXT("1;;a"),
    TEXT("1;a,"),
};

/* What a dictionary holds as text: key=kind:integer:text, one behind the other. */
static const struct {
    struct sl_bytes value;
    const char *story;
} dictionaries[] = {
    {TEXT(""), ""},
    {TEXT("   "), ""},
    {TEXT("sha-256=:" SHA_256 ":"), "sha-256=BYTES:0:" SHA_256 " "},
    {TEXT("md5=:YQ==:, sha-256=:Yg==:"), "md5=BYTES:0:YQ== sha-256=BYTES:0:Yg== "},
    {TEXT("sha-256=10, sha-512=3,unixsum=0"), "sha-256=INTEGER:10:10 sha-512=INTEGER:3:3 unixsum=INTEGER:0:0 "},
    {TEXT("  a=1 \t,\t b=2  "), "a=INTEGER:1:1 b=INTEGER:2:2 "},
    {TEXT("a=1\t"), "a=INTEGER:1:1 "},
    {TEXT("a,b;x=1,c=?0"), "a=BOOLEAN:1: b=BOOLEAN:1: c=BOOLEAN:0:?0 "},
    {TEXT("a=1, b=x, a=2"), "a=INTEGER:1:1 b=TOKEN:0:x a=INTEGER:2:2 "},
    {TEXT("*a_-.*9=1"), "*a_-.*9=INTEGER:1:1 "},
    {TEXT("a=()"), "a=INNER_LIST:0:() "},
    {TEXT("a=(  1  \")\"   x;p=1;q );  z=?0, b"), "a=INNER_LIST:0:(  1  \")\"   x;p=1;q ) b=BOOLEAN:1: "},
    {TEXT("a=(1 2);x;y=\",\" , b=1.5"), "a=INNER_LIST:0:(1 2) b=DECIMAL:1500:1.5 "},
    {TEXT("max-size=1234567890,  max-age=3600;soft"),
     "max-size=INTEGER:1234567890:1234567890 max-age=INTEGER:3600:3600 "},
    {TEXT("a=\"1,b=2\", c=@5, d=%\"%c3%a4\""), "a=STRING:0:1,b=2 c=DATE:5:@5 d=DISPLAY_STRING:0:%\"%c3%a4\" "},
};

static const struct sl_bytes bad_dictionaries[] = {
    TEXT("\t"),
    TEXT("\ta"),
    TEXT(","),
    TEXT("a,"),
    TEXT("a, "),
    TEXT(",a"),
    TEXT("a,,b"),
    TEXT("a=1,b=2,"),
    TEXT("a="),
    TEXT("a= 1"),
    TEXT("a =1"),
    TEXT("a==1"),
    TEXT("=1"),
    TEXT("A=1"),
    TEXT("aB=1"),
    TEXT("1=1"),
    TEXT("-a=1"),
    TEXT("_a=1"),
    TEXT("a b"),
    TEXT("a=1 b=2"),
    TEXT("a=1;b=2;"),
    TEXT("a;b=1 c"),
    TEXT("a=1\n"),
    TEXT("a\r\n,b"),
    TEXT("a\0=1"),
    TEXT("a=1\0"),
    TEXT("a,b=1.1.1"),
    TEXT("a=1, b=:x"),
    TEXT("a=("),
    TEXT("a=(1"),
    TEXT("a=(1 "),
    TEXT("a=(1 2"),
    TEXT("a=1)"),
    TEXT("a=)"),
    TEXT("a=(1,2)"),
    TEXT("a=(1\t2)"),
    TEXT("a=(\"a\"\"b\")"),
    TEXT("a=((1))"),
    TEXT("a=(1 (2))"),
    TEXT("a=(b=1)"),
    TEXT("a=(1;)"),
    TEXT("a=(1)x"),
    TEXT("a=(1) ;b"),
    TEXT("a=(1);"),
    TEXT("a=(1);B"),
    TEXT("sha-256=" SHA_256),
    TEXT("SHA-256=:YQ==:"),
    TEXT("sha-256=:YQ==:;"),
    TEXT("sha-256=\xff"),
};

static const char *const kinds[] = {
    [SL_SF_INTEGER] = "INTEGER",
    [SL_SF_DECIMAL] = "DECIMAL",
    [SL_SF_STRING] = "STRING",
    [SL_SF_TOKEN] = "TOKEN",
    [SL_SF_BYTES] = "BYTES",
    [SL_SF_BOOLEAN] = "BOOLEAN",
    [SL_SF_DATE] = "DATE",
    [SL_SF_DISPLAY_STRING] = "DISPLAY_STRING",
    [SL_SF_INNER_LIST] = "INNER_LIST",
};

/* Of exactly its size, so that a sanitizer sees a look beyond it. */
static struct sl_bytes heap_copy(struct sl_bytes value)
{
    char *copy = malloc(value.len + (value.len == 0));
    assert_non_null(copy);
    if (value.len > 0)
        memcpy(copy, value.base, value.len);
    return (struct sl_bytes){copy, value.len};
}

static void check_span(struct sl_bytes span, struct sl_bytes value)
{
    assert_true(span.base >= value.base && span.base + span.len <= value.base + value.len);
}

static void item_wellformed_ones_tell_what_they_are(void **state)
{
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        struct sl_bytes value = heap_copy(items[i].value);
        struct sl_sf_item item;
        if (sl_sf_item(value, &item) != SL_OK)
            fail_msg("%s: refused", items[i].value.base);
        check_span(item.text, value);
        if (item.kind != items[i].kind || item.integer != items[i].integer ||
            !sl_bytes_equal(item.text, sl_bytes_of(items[i].text)))
            fail_msg("%s: %s %" PRId64 " %.*s", items[i].value.base, kinds[item.kind], item.integer,
                     (int)item.text.len, item.text.base);
        free((char *)value.base);
    }
}

static void item_malformed_ones_are_refused(void **state)
{
    for (size_t i = 0; i < sizeof bad_items / sizeof bad_items[0]; i++) {
        struct sl_bytes value = heap_copy(bad_items[i]);
        struct sl_sf_item item;
        if (sl_sf_item(value, &item) != SL_BAD_FIELD)
            fail_msg("%s: taken", bad_items[i].base);
        free((char *)value.base);
    }
    struct sl_sf_item item;
    assert_int_equal(sl_sf_item((struct sl_bytes){NULL, 0}, &item), SL_BAD_FIELD);
}

/* SL_BAD_FIELD, or what the walk tells. */
static sl_err tell(struct sl_bytes raw, char *room, size_t room_bytes)
{
    struct sl_bytes value = heap_copy(raw);
    struct sl_text story;
    sl_text_init(&story, room, room_bytes);
    struct sl_sf_dictionary dictionary;
    sl_err err = sl_sf_dictionary(value, &dictionary);
    struct sl_bytes key;
    struct sl_sf_item item;
    while (sl_sf_next(&dictionary, &key, &item)) {
        check_span(key, value);
        check_span(item.text, value);
        sl_text_printf(&story, "%.*s=%s:%" PRId64 ":", (int)key.len, key.base, kinds[item.kind], item.integer);
        sl_text_put(&story, item.text);
        sl_text_put(&story, SL_BYTES(" "));
    }
    assert_false(sl_sf_next(&dictionary, &key, &item));
    assert_false(story.full);
    free((char *)value.base);
    return err;
}

static void dictionary_wellformed_ones_tell_their_members(void **state)
{
    char told[512];
    for (size_t i = 0; i < sizeof dictionaries / sizeof dictionaries[0]; i++) {
        if (tell(dictionaries[i].value, told, sizeof told) != SL_OK)
            fail_msg("%s: refused", dictionaries[i].value.base);
        assert_string_equal(told, dictionaries[i].story);
    }
    struct sl_sf_dictionary dictionary;
    struct sl_bytes key;
    struct sl_sf_item item;
    assert_int_equal(sl_sf_dictionary((struct sl_bytes){NULL, 0}, &dictionary), SL_OK);
    assert_false(sl_sf_next(&dictionary, &key, &item));
}

/* Not even of the members before the fault is one told. */
static void dictionary_malformed_ones_are_nothing(void **state)
{
    char told[512];
    for (size_t i = 0; i < sizeof bad_dictionaries / sizeof bad_dictionaries[0]; i++) {
        if (tell(bad_dictionaries[i], told, sizeof told) != SL_BAD_FIELD)
            fail_msg("%s: taken", bad_dictionaries[i].base);
        assert_string_equal(told, "");
    }
}

/* An item is the value of a member as well, and what is no item is no value. */
static void dictionary_values_are_items(void **state)
{
    char text[128], told[512];
    for (size_t i = 0; i < sizeof items / sizeof items[0] + sizeof bad_items / sizeof bad_items[0]; i++) {
        bool is_good = i < sizeof items / sizeof items[0];
        struct sl_bytes item = is_good ? items[i].value : bad_items[i - sizeof items / sizeof items[0]];
        struct sl_text value;
        sl_text_init(&value, text, sizeof text);
        sl_text_put(&value, SL_BYTES("a="));
        sl_text_put(&value, sl_bytes_trim(item));
        sl_text_put(&value, SL_BYTES(" ,b"));
        sl_err err = tell((struct sl_bytes){text, value.len}, told, sizeof told);
        bool is_list = item.len > 0 && item.base[0] == '(';
        bool is_trimmed = !sl_bytes_equal(item, sl_bytes_trim(item));
        if (!is_list && !is_trimmed && (err == SL_OK) != is_good)
            fail_msg("%s: %s", text, err == SL_OK ? "taken" : "refused");
    }
}

static void dictionary_cut_anywhere_never_reads_beyond(void **state)
{
    char told[512];
    for (size_t i = 0; i < sizeof dictionaries / sizeof dictionaries[0]; i++)
        for (size_t len = 0; len < dictionaries[i].value.len; len++) {
            sl_err err = tell((struct sl_bytes){dictionaries[i].value.base, len}, told, sizeof told);
            assert_true(err == SL_OK || (err == SL_BAD_FIELD && told[0] == '\0'));
        }
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        for (size_t len = 0; len < items[i].value.len; len++) {
            struct sl_bytes value = heap_copy((struct sl_bytes){items[i].value.base, len});
            struct sl_sf_item item;
            sl_err err = sl_sf_item(value, &item);
            assert_true(err == SL_OK || err == SL_BAD_FIELD);
            free((char *)value.base);
        }
}

/* Each member is looked at twice, however many there are. */
static void dictionary_of_many_members_is_walked(void **state)
{
    static char room[1 << 16];
    struct sl_text value;
    sl_text_init(&value, room, sizeof room);
    for (int i = 0; i < 1000; i++)
        sl_text_printf(&value, "%sk%d=(%d;x \"y\");z", i > 0 ? "," : "", i, i);
    assert_false(value.full);
    struct sl_sf_dictionary dictionary;
    assert_int_equal(sl_sf_dictionary((struct sl_bytes){room, value.len}, &dictionary), SL_OK);
    struct sl_bytes key;
    struct sl_sf_item item;
    int members = 0;
    for (; sl_sf_next(&dictionary, &key, &item); members++)
        assert_int_equal(item.kind, SL_SF_INNER_LIST);
    assert_int_equal(members, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_wellformed_ones_tell_what_they_are),
        cmocka_unit_test(item_malformed_ones_are_refused),
        cmocka_unit_test(dictionary_wellformed_ones_tell_their_members),
        cmocka_unit_test(dictionary_malformed_ones_are_nothing),
        cmocka_unit_test(dictionary_values_are_items),
        cmocka_unit_test(dictionary_cut_anywhere_never_reads_beyond),
        cmocka_unit_test(dictionary_of_many_members_is_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
