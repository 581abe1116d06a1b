/* Content-Disposition and the parameters of Content-Type: a table of what is really sent, and of what must not pass. */
#include "sluice/decode/disposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ABSENT NULL
/* NULs and all. */
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

struct disposition_case {
    const char *what;
    const char *value;
    const char *name; /* ABSENT: no such parameter */
    const char *filename;
};

static const struct disposition_case accepted[] = {
    {"curl field", "form-data; name=\"comment\"", "comment", ABSENT},
    {"curl file", "form-data; name=\"file\"; filename=\"a.bin\"", "file", "a.bin"},
    {"no parameter", "attachment", ABSENT, ABSENT},
    {"attachment", "attachment; filename=report.pdf", ABSENT, "report.pdf"},
    {"empty name", "form-data; name=\"\"", "", ABSENT},
    {"nothing chosen", "form-data; name=\"f\"; filename=\"\"", "f", ""},
    {"any case", "Form-Data; NAME=a; FileName=b", "a", "b"},
    {"no blanks", "form-data;name=a;filename=b", "a", "b"},
    {"many blanks", " form-data \t; \tname=a ;  filename=\"b\" ", "a", "b"},
    {"empty parameters", "form-data;; name=a; ;", "a", ABSENT},
    {"unknown parameter", "form-data; size=12; name=a; x-y=\"z\"", "a", ABSENT},
    {"semicolon inside quotes", "form-data; name=\"a;b\"; filename=\"c; d=e\"", "a;b", "c; d=e"},
    {"unquoted, wider than a token", "form-data; name=a[]/(b)=c?", "a[]/(b)=c?", ABSENT},
    {"unquoted percent stays", "form-data; name=a%22b", "a%22b", ABSENT},

    {"browser quote", "form-data; name=\"a%22b\"", "a\"b", ABSENT},
    {"browser line end", "form-data; name=\"a%0D%0Ab\"", "a\r\nb", ABSENT},
    {"small hex", "form-data; name=\"a%0d%0ab\"", "a\r\nb", ABSENT},
    {"other percents stay", "form-data; name=\"100%25 %41%\"; filename=\"%2e%2E%2f%\"", "100%25 %41%", "%2e%2E%2f%"},
    {"percent at the end", "form-data; name=\"a%2\"", "a%2", ABSENT},
    {"curl --form-escape", "form-data; name=\"a\\\"b\\\\c\"", "a\"b\\c", ABSENT},
    {"escaped backslash before quote", "form-data; name=\"a\\\\\"; filename=\"b\"", "a\\", "b"},
    {"Windows path", "form-data; name=\"f\"; filename=\"C:\\dir\\new.txt\"", "f", "C:\\dir\\new.txt"},
    {"UNC path", "form-data; name=\"f\"; filename=\"\\\\host\\share\\x\"", "f", "\\host\\share\\x"},
    {"escape, then percent", "form-data; name=\"\\\"%22\\%22\"", "\"\"\\\"", ABSENT},
    {"RFC 2047 stays", "form-data; name=\"f\"; filename=\"=?UTF-8?B?w6Q=?=\"", "f", "=?UTF-8?B?w6Q=?="},
    {"RFC 2047 unquoted stays", "form-data; name=f; filename==?UTF-8?Q?=C3=A4?=", "f", "=?UTF-8?Q?=C3=A4?="},
    {"tab and escape byte stay", "form-data; name=\"a\tb\x1b\"", "a\tb\x1b", ABSENT},

    {"UTF-8", "form-data; name=\"f\"; filename=\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"", "f",
     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"unquoted UTF-8", "form-data; name=\xc3\xa4", "\xc3\xa4", ABSENT},
    {"Latin-1",
     "form-data; name=\"\xe4\xf6\xfc\"; filename=\"gr\xfc\xdf"
     "e.txt\"",
     "\xc3\xa4\xc3\xb6\xc3\xbc",
     "gr\xc3\xbc\xc3\x9f"
     "e.txt"},
    {"one bad byte makes all Latin-1", "form-data; name=\"\xc3\xa4\xff\"", "\xc3\x83\xc2\xa4\xc3\xbf", ABSENT},
    {"surrogate is not UTF-8", "form-data; name=\"\xed\xa0\x80\"", "\xc3\xad\xc2\xa0\xc2\x80", ABSENT},
    {"overlong is not UTF-8", "form-data; name=\"\xc0\xaf\"", "\xc3\x80\xc2\xaf", ABSENT},

    {"filename*", "form-data; name=f; filename*=UTF-8''%e2%82%AC%20rates", "f", "\xe2\x82\xac rates"},
    {"filename* wins", "form-data; name=f; filename=\"EURO\"; filename*=utf-8'en'%e2%82%ac", "f", "\xe2\x82\xac"},
    {"filename* wins from before", "form-data; name=f; filename*=UTF-8''long; filename=\"longer name\"", "f", "long"},
    {"filename* Latin-1", "attachment; filename*=iso-8859-1'de'gr%fc%DFe", ABSENT,
     "gr\xc3\xbc\xc3\x9f"
     "e"},
    {"filename* with encodeURIComponent's rest", "attachment; filename*=UTF-8''it's(1)*!", ABSENT, "it's(1)*!"},
    {"filename* in quotes", "attachment; filename*=\"UTF-8''a%20b\"", ABSENT, "a b"},
    {"filename* empty", "attachment; filename=a; filename*=UTF-8''", ABSENT, ""},
};

static const struct {
    const char *what;
    struct sl_bytes value;
} refused[] = {
    {"empty", TEXT("")},
    {"blanks", TEXT(" \t ")},
    {"no type", TEXT("; name=a")},
    {"type is a parameter", TEXT("name=\"a\"")},
    {"type with a slash and nothing", TEXT("form/; name=a")},
    {"two types", TEXT("form-data form-data; name=a")},
    {"no equals sign", TEXT("form-data; name")},
    {"no value", TEXT("form-data; name=")},
    {"no value, more follows", TEXT("form-data; name=; x=y")},
    {"no parameter name", TEXT("form-data; =a")},
    {"blank before equals sign", TEXT("form-data; name =a")},
    {"blank behind equals sign", TEXT("form-data; name= a")},
    {"blank in unquoted value", TEXT("form-data; name=a b")},
    {"comma", TEXT("form-data; name=a, form-data")},
    {"quote opened only", TEXT("form-data; name=\"a")},
    {"closing quote is escaped", TEXT("form-data; name=\"a\\\"")},
    {"quote inside unquoted", TEXT("form-data; name=a\"b\"")},
    {"unescaped quotes", TEXT("form-data; name=\"a\"b\"")},
    {"text behind quotes", TEXT("form-data; name=\"a\" b")},
    {"NUL in quotes", TEXT("form-data; name=\"a\0b\"")},
    {"NUL unquoted", TEXT("form-data; name=a\0b")},
    {"NUL in a type", TEXT("form\0data; name=a")},
    {"CR in quotes", TEXT("form-data; name=\"a\rb\"")},
    {"LF in quotes", TEXT("form-data; name=\"a\nb\"")},
    {"control byte unquoted", TEXT("form-data; name=a\x1b")},
    {"name twice", TEXT("form-data; name=a; name=a")},
    {"name twice, other case", TEXT("form-data; name=a; NAME=b")},
    {"filename twice", TEXT("form-data; filename=a; filename=b")},
    {"filename* twice", TEXT("a; filename*=UTF-8''a; filename*=UTF-8''b")},
    {"unknown one twice", TEXT("form-data; x=1; name=a; x=1")},
    {"17 parameters", TEXT("a;a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1;j=1;k=1;l=1;m=1;n=1;o=1;p=1;q=1")},
    {"filename* without charset", TEXT("a; filename*=name")},
    {"filename* with one quote", TEXT("a; filename*=UTF-8'name")},
    {"filename* percent cut", TEXT("a; filename*=UTF-8''a%2")},
    {"filename* percent not hex", TEXT("a; filename*=UTF-8''a%zz")},
    {"filename* NUL", TEXT("a; filename*=UTF-8''a%00b")},
    {"filename* not UTF-8", TEXT("a; filename*=UTF-8''%ff")},
    {"filename* unknown charset", TEXT("a; filename*=UTF-16''ab")},
};

static void check_text(const char *what, const char *expected, bool has, const char *text, size_t len)
{
    if (has != (expected != ABSENT))
        fail_msg("%s: %s", what, has ? "there is one" : "there is none");
    if (expected != ABSENT && (strcmp(text, expected) != 0 || len != strlen(expected)))
        fail_msg("%s: \"%s\" (%zu), not \"%s\"", what, text, len, expected);
}

/* On a heap copy of exactly its size, so that a sanitizer sees a look beyond it. */
static sl_err parse(struct sl_bytes value, struct sl_disposition *disposition_out)
{
    char *copy = malloc(value.len + (value.len == 0));
    assert_non_null(copy);
    memcpy(copy, value.base, value.len);
    sl_err err = sl_disposition_parse((struct sl_bytes){copy, value.len}, disposition_out);
    if (err == SL_OK && (disposition_out->type.base < copy || disposition_out->type.base > copy + value.len))
        fail_msg("the type points elsewhere");
    disposition_out->type = (struct sl_bytes){NULL, 0};
    free(copy);
    return err;
}

static void parse_accepted_forms_yield_their_names(void **state)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        const struct disposition_case *c = &accepted[i];
        struct sl_disposition d;
        sl_err err = parse(sl_bytes_of(c->value), &d);
        if (err != SL_OK)
            fail_msg("%s: %s", c->what, sl_err_row(err)->name);
        check_text(c->what, c->name, d.has_name, d.name, d.name_len);
        check_text(c->what, c->filename, d.has_filename, d.filename, d.filename_len);
    }
}

static void parse_malformed_values_are_refused(void **state)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sl_disposition d;
        if (parse(refused[i].value, &d) != SL_BAD_TYPE)
            fail_msg("%s: taken", refused[i].what);
    }
}

static void parse_type_points_into_the_input(void **state)
{
    struct sl_bytes value = SL_BYTES("  form-data ; name=a");
    struct sl_disposition d;
    assert_int_equal(sl_disposition_parse(value, &d), SL_OK);
    assert_ptr_equal(d.type.base, value.base + 2);
    assert_int_equal(d.type.len, strlen("form-data"));
}

/* `prefix`, `count` times `unit`, `suffix`. */
static sl_err parse_long(const char *prefix, const char *unit, size_t count, const char *suffix,
                         struct sl_disposition *disposition_out)
{
    static char room[16384];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_text_put(&text, sl_bytes_of(prefix));
    for (size_t i = 0; i < count; i++)
        sl_text_put(&text, sl_bytes_of(unit));
    sl_text_put(&text, sl_bytes_of(suffix));
    assert_false(text.full);
    return parse((struct sl_bytes){text.base, text.len}, disposition_out);
}

static void parse_texts_at_their_limit_fit_and_one_more_is_refused(void **state)
{
    static const struct {
        const char *prefix, *unit, *suffix;
        size_t fit; /* units */
        size_t unit_bytes;
        bool is_filename;
    } cases[] = {
        {"form-data; name=\"", "n", "\"", 255, 1, false},
        {"form-data; name=\"", "%22", "\"", 255, 1, false},
        {"form-data; name=\"", "\\\"", "\"", 255, 1, false},
        {"form-data; name=\"", "\xe4", "\"", 127, 2, false}, /* Latin-1 grows */
        {"form-data; filename=\"", "f", "\"", 1023, 1, true},
        {"form-data; filename=\"", "\xc3\xa4", "\"", 511, 2, true},
        {"form-data; filename=\"", "\xff", "\"", 511, 2, true},
        {"form-data; filename*=UTF-8''", "%41", "", 1023, 1, true},
        {"form-data; filename*=ISO-8859-1''", "%e4", "", 511, 2, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_disposition d;
        assert_int_equal(parse_long(cases[i].prefix, cases[i].unit, cases[i].fit, cases[i].suffix, &d), SL_OK);
        assert_int_equal(cases[i].is_filename ? d.filename_len : d.name_len, cases[i].fit * cases[i].unit_bytes);
        assert_int_equal(strlen(cases[i].is_filename ? d.filename : d.name), cases[i].fit * cases[i].unit_bytes);
        assert_int_equal(parse_long(cases[i].prefix, cases[i].unit, cases[i].fit + 1, cases[i].suffix, &d),
                         SL_BAD_TYPE);
    }
}

static void parse_cut_anywhere_never_reads_beyond(void **state)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        for (size_t len = 0; len < strlen(accepted[i].value); len++) {
            struct sl_disposition d;
            sl_err err = parse((struct sl_bytes){accepted[i].value, len}, &d);
            assert_true(err == SL_OK || err == SL_BAD_TYPE);
        }
}

static void find_parameters_are_unquoted(void **state)
{
    static const struct {
        const char *value, *expected; /* NULL: refused */
    } cases[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"multipart/form-data; boundary=\"a b\"", "a b"},
        {"multipart/form-data; BOUNDARY=\"a\\\"b\\c\"", "a\"b\\c"},
        {"multipart/form-data; boundary=\"a%22b\"", "a%22b"},
        {"multipart/form-data; boundary=----=_Part_1_2.3", "----=_Part_1_2.3"},
        {"multipart/form-data; charset=utf-8; boundary=x", "x"},
        {"multipart/form-data;boundary=x;charset=utf-8", "x"},
        {"multipart/form-data", ""},
        {"multipart/form-data;", ""},
        {"multipart/form-data; boundary*=x", ""},
        {"multipart/form-data; boundary=\"\"", ""},
        {"multipart/form-data; boundary=1234567890123456", "1234567890123456"},
        {"multipart/form-data; boundary=12345678901234567", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=a; boundary=b", NULL},
        {"multipart/form-data; boundary=a; Boundary=a", NULL},
        {"multipart/form-data; boundary=a, multipart/form-data", NULL},
        {"multipart/form-data boundary=a", NULL},
        {"multipart/form-data; boundary=a b", NULL},
        {"multipart/form-data; boundary=\"a", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[17];
        size_t len;
        sl_err err = sl_parameter_find(sl_bytes_of(cases[i].value), "boundary", out, sizeof out, &len);
        if (cases[i].expected == NULL) {
            assert_int_equal(err, SL_BAD_TYPE);
            continue;
        }
        assert_int_equal(err, SL_OK);
        assert_string_equal(out, cases[i].expected);
        assert_int_equal(len, strlen(cases[i].expected));
    }
}

static const struct {
    const char *what;
    struct sl_bytes name;
    const char *value; /* of an attachment */
} puts_of[] = {
    {"nothing", TEXT(""), "attachment"},
    {"plain", TEXT("report.pdf"), "attachment; filename=\"report.pdf\""},
    {"all that is plain", TEXT("a b;c=d,e'(f)*+~!#$&/:<>?@[]^`{|}"),
     "attachment; filename=\"a b;c=d,e'(f)*+~!#$&/:<>?@[]^`{|}\""},
    {"blanks at its ends", TEXT(" a "), "attachment; filename=\" a \""},
    {"quotes", TEXT("a\"; x=\"b"), "attachment; filename=\"a_; x=_b\"; filename*=UTF-8''a%22%3B%20x%3D%22b"},
    {"backslashes", TEXT("C:\\a\\\""), "attachment; filename=\"C:_a__\"; filename*=UTF-8''C%3A%5Ca%5C%22"},
    {"percents", TEXT("100%25%0d%22"), "attachment; filename=\"100_25_0d_22\"; filename*=UTF-8''100%2525%250d%2522"},
    {"attr-char and what looks like it", TEXT("%!#$&+-.^_`|~'*()"),
     "attachment; filename=\"_!#$&+-.^_`|~'*()\"; filename*=UTF-8''%25!#$&+-.^_`|~%27%2A%28%29"},
    {"line ends", TEXT("a\r\nSet-Cookie: b=c\r\n\r\n<script>"),
     "attachment; filename=\"a__Set-Cookie: b=c____<script>\""},
    {"control bytes", TEXT("\0\x01\t\x1b\x7f"), "attachment; filename=\"_____\""},
    {"C1 control characters", TEXT("a\xc2\x85z\xc2\x9f"), "attachment; filename=\"a_z_\""},
    {"NUL among others", TEXT("\xc3\xa4\0.txt"), "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A4_.txt"},
    {"umlaut",
     TEXT("gr\xc3\xbc\xc3\x9f"
          "e_.txt"),
     "attachment; filename=\"gr__e_.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe_.txt"},
    {"as two characters", TEXT("u\xcc\x88"), "attachment; filename=\"u_\"; filename*=UTF-8''u%CC%88"},
    {"emoji", TEXT("\xf0\x9f\x98\x80.png"), "attachment; filename=\"_.png\"; filename*=UTF-8''%F0%9F%98%80.png"},
    {"right to left override", TEXT("a\xe2\x80\xaegpj.exe"),
     "attachment; filename=\"a_gpj.exe\"; filename*=UTF-8''a%E2%80%AEgpj.exe"},
    {"line separator", TEXT("\xe2\x80\xa8"), "attachment; filename=\"_\"; filename*=UTF-8''%E2%80%A8"},
    {"Latin-1", TEXT("\xe4.txt"), "attachment; filename=\"_.txt\""},
    {"cut off, overlong, surrogate", TEXT("\xc3|\xc0\xaf|\xed\xa0\x80|\xe2\x82"),
     "attachment; filename=\"_|__|___|__\""},
    {"bad bytes among good ones", TEXT("\xff\xc3\xa4"), "attachment; filename=\"__\"; filename*=UTF-8''_%C3%A4"},
    {"dots", TEXT("../../etc/passwd"), "attachment; filename=\"../../etc/passwd\""},
};

/* On a heap copy of exactly its size, so that a sanitizer sees a look beyond it. */
static struct sl_bytes put(bool is_attachment, struct sl_bytes name, char *room, size_t room_bytes)
{
    char *copy = malloc(name.len + (name.len == 0));
    assert_non_null(copy);
    memcpy(copy, name.base, name.len);
    struct sl_text text;
    sl_text_init(&text, room, room_bytes);
    sl_disposition_put(&text, is_attachment, (struct sl_bytes){copy, name.len});
    free(copy);
    for (size_t i = 0; i < text.len; i++)
        assert_in_range(room[i], ' ', '~');
    return (struct sl_bytes){room, text.len};
}

static void put_names_become_one_visible_line(void **state)
{
    char value[512];
    for (size_t i = 0; i < sizeof puts_of / sizeof puts_of[0]; i++) {
        struct sl_bytes said = put(true, puts_of[i].name, value, sizeof value);
        if (strcmp(value, puts_of[i].value) != 0)
            fail_msg("%s: %s\nbut should be\n%s", puts_of[i].what, value, puts_of[i].value);
        struct sl_disposition d;
        if (sl_disposition_parse(said, &d) != SL_OK)
            fail_msg("%s: cannot be read back", puts_of[i].what);
        assert_true(sl_bytes_equal(d.type, SL_BYTES("attachment")));
        assert_int_equal(d.has_filename, puts_of[i].name.len > 0);
    }
    put(false, SL_BYTES("a"), value, sizeof value);
    assert_string_equal(value, "inline; filename=\"a\"");
    put(false, (struct sl_bytes){"", 0}, value, sizeof value);
    assert_string_equal(value, "inline");
}

/* It comes back as it was, but for what no name should hold. */
static void put_every_byte_and_many_characters_come_back(void **state)
{
    char value[64];
    struct sl_disposition d;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool is_kept = byte >= ' ' && byte < 0x7f;
        assert_int_equal(sl_disposition_parse(put(true, (struct sl_bytes){&c, 1}, value, sizeof value), &d), SL_OK);
        assert_int_equal(d.filename_len, 1);
        assert_int_equal(d.filename[0], is_kept ? c : '_');
    }
    for (unsigned rune = 0xa0; rune < 0x800; rune++) {
        char name[] = {(char)(0xc0 | rune >> 6), (char)(0x80 | (rune & 0x3f)), '\0'};
        assert_int_equal(sl_disposition_parse(put(true, sl_bytes_of(name), value, sizeof value), &d), SL_OK);
        assert_string_equal(d.filename, name);
    }
}

/* The text tells that it is full; what is in it is a line still. */
static void put_into_too_little_room_stays_a_line(void **state)
{
    struct sl_bytes name = SL_BYTES("a\r\n\xc3\xa4\"");
    char value[128], whole[128];
    size_t len = put(true, name, whole, sizeof whole).len;
    for (size_t room = 1; room <= len + 1; room++) {
        assert_int_equal(put(true, name, value, room).len, room - 1);
        assert_memory_equal(value, whole, room - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_accepted_forms_yield_their_names),
        cmocka_unit_test(parse_malformed_values_are_refused),
        cmocka_unit_test(parse_type_points_into_the_input),
        cmocka_unit_test(parse_texts_at_their_limit_fit_and_one_more_is_refused),
        cmocka_unit_test(parse_cut_anywhere_never_reads_beyond),
        cmocka_unit_test(find_parameters_are_unquoted),
        cmocka_unit_test(put_names_become_one_visible_line),
        cmocka_unit_test(put_every_byte_and_many_characters_come_back),
        cmocka_unit_test(put_into_too_little_room_stays_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
