/* The multipart decoder, held to a table of bodies: each runs whole, byte by byte and cut at every position, and must
 * tell the same story each time. The story of a body is a line of text:
 *   [name|filename|type]data;   a part ("-": no filename, "": no type), its data, its end (no ';' if it is cut off)
 *   [...|1=a|0=b]               its kept headers, by their place in kept_names
 *   .                           the closing delimiter was seen
 *   !NAME                       the error that ended it
 *   ?                           the body stopped too early; data that could still be a delimiter is not told */
#include "sluice/decode/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define STORY_ROOM  (1 << 18)
#define BODY_ROOM   (1 << 18)
#define PADDING_MAX 127

/* NULs and all. */
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }
#define CURL_BOUNDARY   "------------------------d74496d66958873e"
#define WEBKIT_BOUNDARY "----WebKitFormBoundary7MA4YWxkTrZu0gW"
#define GECKO_BOUNDARY  "----geckoformboundary1f7a8a0e4ab3d61c8b16c1b5a8a4a0c5"
#define BOUNDARY_70     "0123456789abcdefghijklmnopqrstuvwxyz'()+_,-./:=?0123456789ABCDEFGHIJKL"

/* The default boundary of the table is X7. */
#define HEAD(params) "Content-Disposition: form-data; " params "\r\n"
#define FILE_PART    "--X7\r\n" HEAD("name=\"f\"; filename=\"a.txt\"") "\r\n"
#define NEXT_PART    "\r\n" FILE_PART
#define CLOSE        "\r\n--X7--\r\n"
#define FILE_STORY   "[f|a.txt|]"
#define TENTH(x)     x x x x x x x x x x

struct form_case {
    const char *what;
    const char *boundary; /* as in the Content-Type; NULL: X7 */
    struct sl_bytes body;
    const char *story;
};

/* It would tear the bodies apart. */
/* clang-format off */
static const struct form_case forms[] = {
    {"curl -F field -F file", CURL_BOUNDARY,
     TEXT("--" CURL_BOUNDARY "\r\n" HEAD("name=\"comment\"") "\r\nhello\r\n--" CURL_BOUNDARY "\r\n" HEAD(
         "name=\"file\"; filename=\"a.bin\"") "Content-Type: application/octet-stream\r\n\r\n\x00\x01\r\n\r\n--"
         CURL_BOUNDARY
         "--\r\n"),
     "[comment|-|]hello;[file|a.bin|application/octet-stream]\\x00\x01\r\n;."},
    {"Chrome", WEBKIT_BOUNDARY,
     TEXT("--" WEBKIT_BOUNDARY "\r\n" HEAD(
         "name=\"photos\"; filename=\"a%22b.jpg\"") "Content-Type: image/jpeg\r\n\r\n"
         "JFIF\r\n--" WEBKIT_BOUNDARY "\r\n" HEAD(
         "name=\"photos\"; filename=\"\xc3\xa4.png\"") "Content-Type: image/png"
         "\r\n\r\nPNG\r\n--" WEBKIT_BOUNDARY
         "--\r\n"),
     "[photos|a\"b.jpg|image/jpeg]JFIF;[photos|\xc3\xa4.png|image/png]PNG;."},
    {"Firefox, nothing chosen", GECKO_BOUNDARY,
     TEXT("--" GECKO_BOUNDARY
         "\r\n" HEAD("name=\"f\"; filename=\"\"") "Content-Type: application/octet-stream\r\n\r\n"
         "\r\n--" GECKO_BOUNDARY "--\r\n"),
     "[f||application/octet-stream];."},
    {"no part", NULL, TEXT("--X7--\r\n"), "."},
    {"no part, no last line end", NULL, TEXT("--X7--"), "."},
    {"no part, with CRLF before", NULL, TEXT("\r\n--X7--\r\n"), "."},
    {"empty file", NULL, TEXT(FILE_PART CLOSE), FILE_STORY ";."},
    {"one byte", NULL, TEXT(FILE_PART "x" CLOSE), FILE_STORY "x;."},
    {"data begins with a delimiter without its CRLF", NULL, TEXT(FILE_PART "--X7--" CLOSE), FILE_STORY "--X7--;."},
    {"data is a form of the same boundary", NULL, TEXT(FILE_PART FILE_PART "x" CLOSE),
     FILE_STORY "--X7\r\n" HEAD("name=\"f\"; filename=\"a.txt\"") "\r\nx;."},
    {"data begins like a delimiter", NULL, TEXT(FILE_PART "--X8" CLOSE), FILE_STORY "--X8;."},
    {"data begins with a longer boundary", NULL, TEXT(FILE_PART "--X7x" CLOSE), FILE_STORY "--X7x;."},
    {"data is two dashes", NULL, TEXT(FILE_PART "--" CLOSE), FILE_STORY "--;."},

    {"data is CRLF", NULL, TEXT(FILE_PART "\r\n" CLOSE), FILE_STORY "\r\n;."},
    {"data is CRs", NULL, TEXT(FILE_PART "\r\r\r\r\r\r" CLOSE), FILE_STORY "\r\r\r\r\r\r;."},
    {"data is LFs", NULL, TEXT(FILE_PART "\n\n\n" CLOSE), FILE_STORY "\n\n\n;."},
    {"data is CRLFs", NULL, TEXT(FILE_PART "\r\n\r\n\r\n\r" CLOSE), FILE_STORY "\r\n\r\n\r\n\r;."},
    {"data ends like the delimiter's start", NULL, TEXT(FILE_PART "a\r\n--X\r\n--" CLOSE),
     FILE_STORY "a\r\n--X\r\n--;."},
    {"delimiters in data, each prefix", NULL, TEXT(FILE_PART "\r\r\n\r\n-\r\n--\r\n--X\r\n--X8" CLOSE),
     FILE_STORY "\r\r\n\r\n-\r\n--\r\n--X\r\n--X8;."},
    {"delimiter with text behind it", NULL, TEXT(FILE_PART "\r\n--X77\r\n--X7a\r\n--X7-\r\n--X7!" CLOSE),
     FILE_STORY "\r\n--X77\r\n--X7a\r\n--X7-\r\n--X7!;."},
    {"delimiter with one dash, then a real one", NULL, TEXT(FILE_PART "\r\n--X7-" CLOSE), FILE_STORY "\r\n--X7-;."},
    {"delimiter, blanks, dashes", NULL, TEXT(FILE_PART "\r\n--X7 --" CLOSE), FILE_STORY "\r\n--X7 --;."},
    {"delimiter and LF", NULL, TEXT(FILE_PART "\r\n--X7\nx" CLOSE), FILE_STORY "\r\n--X7\nx;."},
    {"delimiter and CR", NULL, TEXT(FILE_PART "\r\n--X7\rx" CLOSE), FILE_STORY "\r\n--X7\rx;."},
    {"delimiter, CR, CRLF", NULL, TEXT(FILE_PART "\r\n--X7\r" CLOSE), FILE_STORY "\r\n--X7\r;."},
    {"delimiter behind LF only", NULL, TEXT(FILE_PART "a\n--X7--\r\n" CLOSE), FILE_STORY "a\n--X7--\r\n;."},
    {"delimiter behind the blanks of a false one", NULL, TEXT(FILE_PART "\r\n--X7 \t\r" CLOSE),
     FILE_STORY "\r\n--X7 \t\r;."},
    {"boundary differs in case", NULL, TEXT(FILE_PART "\r\n--x7--" CLOSE), FILE_STORY "\r\n--x7--;."},

    {"padding behind delimiters", NULL,
     TEXT("--X7 \t\r\n" HEAD("name=\"a\"") "\r\n1\r\n--X7\t\t \r\n" HEAD("name=\"b\"") "\r\n2" CLOSE),
     "[a|-|]1;[b|-|]2;."},
    {"longest padding", NULL,
     TEXT("--X7" TENTH(TENTH(" ")) TENTH("  ") "       \r\n" HEAD("name=\"a\"") "\r\n1" CLOSE), "[a|-|]1;."},
    {"padding of 128", NULL,
     TEXT("--X7" TENTH(TENTH(" ")) TENTH("  ") "        \r\n" HEAD("name=\"a\"") "\r\n1" CLOSE), "."},
    {"padding of 128 in data", NULL, TEXT(FILE_PART "\r\n--X7" TENTH(TENTH("\t")) TENTH("  ") "        \r\n" CLOSE),
     FILE_STORY "\r\n--X7" TENTH(TENTH("\t")) TENTH("  ") "        \r\n;."},
    {"preamble", NULL, TEXT("This is MIME.\r\n-- --X7\r\n\r\n" FILE_PART "x" CLOSE), FILE_STORY "x;."},
    {"preamble that starts like a delimiter", NULL, TEXT("--X7x" NEXT_PART "x" CLOSE), FILE_STORY "x;."},
    {"preamble of CRLF", NULL, TEXT("\r\n\r\n" FILE_PART "x" CLOSE), FILE_STORY "x;."},
    {"epilogue", NULL, TEXT("--X7--\r\nthe end\r\n--X7\r\nnot a part\0"), "."},
    {"closing delimiter, then text", NULL, TEXT(FILE_PART "x\r\n--X7--more"), FILE_STORY "x;."},

    {"boundary of one", "b", TEXT("--b\r\n" HEAD("name=\"a\"") "\r\nb\r\n--\r\n-b--b\r\n--b--"),
     "[a|-|]b\r\n--\r\n-b--b;."},
    {"boundary of a dash", "-", TEXT("---\r\n" HEAD("name=\"a\"") "\r\n-----\r\n--\r\n-----"), "[a|-|]-----\r\n--;."},
    {"boundary of dashes", "------", TEXT("--------\r\n" HEAD("name=a") "\r\n------------\r\n-------\r\n----------"),
     "[a|-|]------------\r\n-------;."},
    {"boundary of 70, quoted", "\"" BOUNDARY_70 "\"",
     TEXT("--" BOUNDARY_70 "\r\n" HEAD("name=a") "\r\n" BOUNDARY_70 "\r\n--" BOUNDARY_70 "--"),
     "[a|-|]" BOUNDARY_70 ";."},
    {"boundary with spaces", "\"a b\"; charset=utf-8", TEXT("--a b\r\n" HEAD("name=a") "\r\nx\r\n--a b--"),
     "[a|-|]x;."},
    {"old Android", "*****", TEXT("--*****\r\n" HEAD("name=\"uploaded\";filename=\"x\"") "\r\nx\r\n--*****--\r\n"),
     "[uploaded|x|]x;."},

    {"nested multipart/mixed is data", NULL,
     TEXT("--X7\r\n" HEAD("name=\"f\"") "Content-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\n"
         "Content-Disposition: file; filename=\"a\"\r\n\r\nx\r\n--in--" CLOSE),
     "[f|-|multipart/mixed; boundary=in]--in\r\nContent-Disposition: file; filename=\"a\"\r\n\r\nx\r\n--in--;."},
    {"other headers are ignored", NULL,
     TEXT("--X7\r\nX-A: 1\r\ncontent-disposition:form-data;name=a\r\nContent-Transfer-Encoding: base64\r\nX-A: 1\r\n"
         "Content-Length:\r\nCONTENT-TYPE:\t text/plain; charset=utf-8 \t\r\n\r\neA==" CLOSE),
     "[a|-|text/plain; charset=utf-8]eA==;."},
    {"names as sent", NULL,
     TEXT("--X7\r\n" HEAD(
         "name=\"f\"; filename=\"C:\\x\\y.txt\"") "\r\n1"
         "\r\n--X7\r\n" HEAD("name=\"f\"; filename=\"=?utf-8?Q?=C3=A4?=\"") "\r\n2\r\n--X7\r\n" HEAD(
         "name=\"f\"; filename=\"a\"; filename*=UTF-8''%C3%A4") "\r\n3\r\n--X7\r\n"
         HEAD("name=\"f\\\"g\"; filename=\"%0D%0A\xe4\"") "\r\n4" CLOSE),
     "[f|C:\\x\\y.txt|]1;[f|=?utf-8?Q?=C3=A4?=|]2;[f|\xc3\xa4|]3;[f\"g|\r\n\xc3\xa4|]4;."},
    {"the part after one with more headers is fresh", NULL,
     TEXT("--X7\r\n" HEAD("name=f; filename=a") "Content-Type: a/b\r\n\r\n\r\n--X7\r\n" HEAD("name=g") "\r\n" CLOSE),
     "[f|a|a/b];[g|-|];."},

    {"headers are kept in the order sent, whatever their case", NULL,
     TEXT("--X7\r\nx-kept:1\r\nCONTENT-MD5: \t abc== \t \r\n" HEAD("name=f; filename=a") "X-Keptx: 2\r\nX-Kep: 3\r\n"
         "Content-Type: a/b\r\nX-Kept:\r\nX-KEPT: a \xc3\xa4, b\r\n\r\nx" CLOSE),
     "[f|a|a/b|2=1|0=abc==|2=|2=a \xc3\xa4, b]x;."},
    {"each part has its own", NULL,
     TEXT("--X7\r\n" HEAD("name=a") "X-Kept: 1\r\n\r\n\r\n--X7\r\n" HEAD("name=b") "\r\n\r\n--X7\r\n"
         "X-File-Hash: 2\r\n" HEAD("name=c") "\r\n" CLOSE),
     "[a|-||2=1];[b|-|];[c|-||1=2];."},
    {"kept header with a control byte", NULL, TEXT("--X7\r\nX-Kept: \x1b\r\n" HEAD("name=a") "\r\nx" CLOSE),
     "!BAD_FORM"},
    {"kept header that is folded", NULL, TEXT("--X7\r\nX-Kept: a\r\n b\r\n" HEAD("name=a") "\r\nx" CLOSE),
     "!BAD_FORM"},

    {"nothing", NULL, TEXT(""), "?"},
    {"text only", NULL, TEXT("hello"), "?"},
    {"another boundary", NULL, TEXT("--Y7\r\n" HEAD("name=a") "\r\nx\r\n--Y7--\r\n"), "?"},
    {"LF only", NULL, TEXT("--X7\nContent-Disposition: form-data; name=a\n\nx\n--X7--\n"), "?"},
    {"stops behind the delimiter", NULL, TEXT("--X7"), "?"},
    {"stops behind the delimiter line", NULL, TEXT("--X7\r\n"), "?"},
    {"stops in the head", NULL, TEXT("--X7\r\nContent-Disp"), "?"},
    {"stops in data", NULL, TEXT(FILE_PART "xxxxxx"), FILE_STORY "xxxxxx?"},
    {"closing delimiter without its dashes", NULL, TEXT(FILE_PART "x\r\n--X7"), FILE_STORY "x?"},
    {"closing delimiter with one dash", NULL, TEXT(FILE_PART "x\r\n--X7-"), FILE_STORY "x?"},
    {"part without a head", NULL, TEXT("--X7\r\n\r\nx" CLOSE), "!BAD_FORM"},
    {"second part without a head", NULL, TEXT(FILE_PART "\r\n--X7\r\n\r\nx" CLOSE), FILE_STORY ";!BAD_FORM"},
    {"no Content-Disposition", NULL, TEXT("--X7\r\nContent-Type: a/b\r\n\r\nx" CLOSE), "!BAD_FORM"},
    {"no name", NULL, TEXT("--X7\r\n" HEAD("filename=\"a\"") "\r\nx" CLOSE), "!BAD_FORM"},
    {"not form-data", NULL, TEXT("--X7\r\nContent-Disposition: attachment; name=a\r\n\r\nx" CLOSE), "!BAD_FORM"},
    {"two Content-Dispositions", NULL, TEXT("--X7\r\n" HEAD("name=a") HEAD("name=a") "\r\nx" CLOSE), "!BAD_FORM"},
    {"two Content-Types", NULL,
     TEXT("--X7\r\n" HEAD("name=a") "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\nx" CLOSE), "!BAD_FORM"},
    {"malformed Content-Disposition", NULL, TEXT("--X7\r\n" HEAD("name=\"a\"b\"") "\r\nx" CLOSE), "!BAD_FORM"},
    {"two names", NULL, TEXT("--X7\r\n" HEAD("name=a; name=b") "\r\nx" CLOSE), "!BAD_FORM"},
    {"NUL in a name", NULL, TEXT("--X7\r\n" HEAD("name=\"a\0b\"") "\r\nx" CLOSE), "!BAD_FORM"},
    {"NUL in another header", NULL, TEXT("--X7\r\nX: \0\r\n" HEAD("name=a") "\r\nx" CLOSE), "!BAD_FORM"},
    {"escape byte in a type", NULL, TEXT("--X7\r\n" HEAD("name=a") "Content-Type: a/\x1b\r\n\r\nx" CLOSE),
     "!BAD_FORM"},
    {"CR in a header", NULL, TEXT("--X7\r\nX: a\rb\r\n" HEAD("name=a") "\r\nx" CLOSE), "!BAD_FORM"},
    {"header without colon", NULL, TEXT("--X7\r\nX-A\r\n" HEAD("name=a") "\r\nx" CLOSE), "!BAD_FORM"},
    {"header without name", NULL, TEXT("--X7\r\n: a\r\n" HEAD("name=a") "\r\nx" CLOSE), "!BAD_FORM"},
    {"blank before colon", NULL, TEXT("--X7\r\nContent-Disposition : form-data; name=a\r\n\r\nx" CLOSE), "!BAD_FORM"},
    {"folded header", NULL, TEXT("--X7\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\nx" CLOSE), "!BAD_FORM"},
    {"LF behind a header", NULL, TEXT("--X7\r\nContent-Disposition: form-data; name=ab\n\r\nx" CLOSE), "!BAD_FORM"},
    {"LF as blank line", NULL, TEXT("--X7\r\n" HEAD("name=a") "\nx" CLOSE), "!BAD_FORM"},
    {"CR CR LF behind a header", NULL, TEXT("--X7\r\nX: a\r\r\n" HEAD("name=a") "\r\nx" CLOSE), "!BAD_FORM"},
    {"delimiter in a head", NULL, TEXT("--X7\r\n" HEAD("name=a") "--X7--\r\n"), "!BAD_FORM"},
};
/* clang-format on */

/* --- feeding --- */

struct feed {
    struct sl_multipart multipart;
    struct sl_text story;
    uint64_t data_bytes;
    bool over; /* END or an error */
};

static char story_expected[STORY_ROOM], story_told[STORY_ROOM];

static const char *const kept_names[] = {"content-md5", "x-file-hash", "x-kept", NULL};

static void tell_part(struct feed *feed)
{
    const struct sl_part *part = &feed->multipart.part;
    assert_true(part->disposition.has_name);
    assert_int_equal(strlen(part->disposition.name), part->disposition.name_len);
    assert_int_equal(strlen(part->type), part->type_len);
    assert_true(sl_bytes_equal(part->disposition.type, SL_BYTES("form-data")));
    sl_text_printf(&feed->story, "[%s|%s|%s", part->disposition.name,
                   part->disposition.has_filename ? part->disposition.filename : "-", part->type);
    size_t kept_bytes = 0;
    for (size_t i = 0; i < part->kept_count; i++) {
        assert_int_equal(part->kept[i].at, kept_bytes);
        kept_bytes += part->kept[i].len;
        sl_text_printf(&feed->story, "|%d=%.*s", part->kept[i].name, part->kept[i].len,
                       part->kept_text + part->kept[i].at);
    }
    assert_int_equal(part->kept_bytes, kept_bytes);
    sl_text_put(&feed->story, SL_BYTES("]"));
}

static void tell_data(struct feed *feed, const char *data, size_t len)
{
    feed->data_bytes += len;
    for (size_t i = 0; i < len; i++)
        if (data[i] == '\0')
            sl_text_put(&feed->story, SL_BYTES("\\x00"));
        else
            sl_text_put(&feed->story, (struct sl_bytes){data + i, 1});
}

/* One call, on a heap copy of exactly the window, so that a sanitizer sees a look beyond it or a kept pointer. */
static sl_err next(struct feed *feed, struct sl_bytes window, enum sl_multipart_event *event_out, size_t *bytes_out)
{
    char *copy = malloc(window.len + (window.len == 0));
    assert_non_null(copy);
    memcpy(copy, window.base, window.len);
    sl_err err = sl_multipart_next(&feed->multipart, copy, window.len, event_out, bytes_out);
    if (err == SL_OK && *event_out == SL_MULTIPART_DATA)
        tell_data(feed, copy, *bytes_out);
    free(copy);
    return err;
}

/* Takes what it can from the front of the window; returns how many bytes those were. */
static size_t take(struct feed *feed, struct sl_bytes window)
{
    size_t used = 0;
    while (!feed->over) {
        enum sl_multipart_event event;
        size_t bytes;
        sl_err err = next(feed, (struct sl_bytes){window.base + used, window.len - used}, &event, &bytes);
        if (err != SL_OK) {
            feed->over = true;
            sl_text_printf(&feed->story, "!%s", sl_err_row(err)->name);
            break;
        }
        assert_true(bytes <= window.len - used);
        used += bytes;
        switch (event) {
        case SL_MULTIPART_MORE: assert_int_equal(bytes, 0); return used;
        case SL_MULTIPART_SKIP: assert_true(bytes > 0); break;
        case SL_MULTIPART_DATA: assert_true(bytes > 0); break;
        case SL_MULTIPART_PART: tell_part(feed); break;
        case SL_MULTIPART_PART_END:
            assert_int_equal(bytes, 0);
            sl_text_put(&feed->story, SL_BYTES(";"));
            break;
        case SL_MULTIPART_END:
            sl_text_put(&feed->story, SL_BYTES("."));
            feed->over = true;
            break;
        }
    }
    return used;
}

/* Feeds body[0..cut), then pieces of `step` bytes. Writes the story into `room`. */
static void tell(const char *boundary, unsigned parts_max, struct sl_bytes body, size_t cut, size_t step, char *room)
{
    char type[256];
    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary == NULL ? "X7" : boundary);
    struct feed feed = {.data_bytes = 0};
    assert_int_equal(sl_multipart_init(&feed.multipart, sl_bytes_of(type), parts_max), SL_OK);
    sl_multipart_keep(&feed.multipart, kept_names);
    sl_text_init(&feed.story, room, STORY_ROOM);

    size_t used = 0, arrived = cut;
    for (;;) {
        used += take(&feed, (struct sl_bytes){body.base + used, arrived - used});
        if (feed.over || arrived == body.len)
            break;
        assert_true(arrived - used <= SL_MULTIPART_HEAD_BYTES_MAX);
        arrived += step < body.len - arrived ? step : body.len - arrived;
    }
    bool ended = sl_multipart_finish(&feed.multipart) == SL_OK;
    assert_int_equal(ended, feed.over && feed.story.base[feed.story.len - 1] == '.');
    if (!feed.over)
        sl_text_put(&feed.story, SL_BYTES("?"));
    assert_int_equal(feed.multipart.framing_bytes + feed.data_bytes, used);
    assert_false(feed.story.full);
}

static void check_cut(const char *what, const char *boundary, unsigned parts_max, struct sl_bytes body, size_t cut,
                      size_t step)
{
    tell(boundary, parts_max, body, cut, step, story_told);
    if (strcmp(story_told, story_expected) != 0)
        fail_msg("%s, cut at %zu, then by %zu:\n%.2000s\nbut should be\n%.2000s", what, cut, step, story_told,
                 story_expected);
}

/* Whole, byte by byte, and in two pieces: every cut if the body is small, else about 100 cuts. */
static void check(const char *what, const char *boundary, unsigned parts_max, struct sl_bytes body, const char *story)
{
    snprintf(story_expected, sizeof story_expected, "%s", story);
    check_cut(what, boundary, parts_max, body, body.len, 1);
    check_cut(what, boundary, parts_max, body, 0, 1);
    size_t stride = body.len < 2000 ? 1 : body.len / 101;
    for (size_t cut = 0; cut < body.len; cut += stride)
        check_cut(what, boundary, parts_max, body, cut, body.len);
}

static void next_every_form_tells_its_story_however_cut(void **state)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        check(forms[i].what, forms[i].boundary, SL_MULTIPART_PARTS_MAX_DEFAULT, forms[i].body, forms[i].story);
}

/* A form that is complete is incomplete at each of its bytes but after the closing delimiter. */
static void finish_body_stopped_at_every_byte_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t story_len = strlen(forms[i].story);
        if (forms[i].story[story_len - 1] != '.')
            continue;
        tell(forms[i].boundary, 1000, forms[i].body, 0, 1, story_expected);
        size_t complete = forms[i].body.len;
        for (size_t len = 0; len <= forms[i].body.len; len++) {
            tell(forms[i].boundary, 1000, (struct sl_bytes){forms[i].body.base, len}, len, 1, story_told);
            bool ended = story_told[strlen(story_told) - 1] == '.';
            if (ended && len < complete)
                complete = len;
            if (ended != (len >= complete))
                fail_msg("%s, stopped at %zu of %zu: %s", forms[i].what, len, complete, story_told);
        }
        assert_memory_equal(forms[i].body.base + complete - 2, "--", 2);
    }
}

/* --- forms that are made --- */

static char body_room[BODY_ROOM];

static struct sl_bytes body_of(const struct sl_text *text)
{
    assert_false(text->full);
    return (struct sl_bytes){text->base, text->len};
}

static void put_times(struct sl_text *text, const char *unit, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sl_text_put(text, sl_bytes_of(unit));
}

/* Each prefix of the delimiter, at each offset up to two delimiters, before a byte that breaks it. */
static void next_delimiter_prefix_at_every_offset_is_data(void **state)
{
    static const char delimiter[] = "\r\n--bound";
    for (size_t prefix = 1; prefix < sizeof delimiter; prefix++)
        for (size_t offset = 0; offset < 2 * sizeof delimiter; offset++) {
            char data[64], story[96];
            snprintf(data, sizeof data, "%.*s%.*s!", (int)offset, "xxxxxxxxxxxxxxxxxxxxxxxx", (int)prefix, delimiter);
            struct sl_text body;
            sl_text_init(&body, body_room, sizeof body_room);
            sl_text_printf(&body, "--bound\r\n" HEAD("name=a") "\r\n%s\r\n--bound--", data);
            snprintf(story, sizeof story, "[a|-|]%s;.", data);
            check("prefix", "bound", 1, body_of(&body), story);
        }
}

/* The real delimiter right behind each of its own prefixes. */
static void next_delimiter_behind_its_own_prefix_is_found(void **state)
{
    static const char delimiter[] = "\r\n--" CURL_BOUNDARY;
    for (size_t prefix = 0; prefix + 1 < sizeof delimiter; prefix++) {
        char story[96];
        struct sl_text body;
        sl_text_init(&body, body_room, sizeof body_room);
        sl_text_printf(&body, "--" CURL_BOUNDARY "\r\n" HEAD("name=a") "\r\n%.*s%s--", (int)prefix, delimiter,
                       delimiter);
        snprintf(story, sizeof story, "[a|-|]%.*s;.", (int)prefix, delimiter);
        check("behind a prefix", CURL_BOUNDARY, 1, body_of(&body), story);
    }
}

static void next_parts_over_the_limit_are_refused(void **state)
{
    static char story[STORY_ROOM];
    for (size_t parts = 999; parts <= 1001; parts++) {
        struct sl_text body, expected;
        sl_text_init(&body, body_room, sizeof body_room);
        sl_text_init(&expected, story, sizeof story);
        sl_text_put(&body, SL_BYTES("preamble"));
        put_times(&body, NEXT_PART "x", parts);
        put_times(&expected, FILE_STORY "x;", parts < 1000 ? parts : 1000);
        sl_text_put(&body, SL_BYTES(CLOSE));
        sl_text_put(&expected, sl_bytes_of(parts > 1000 ? "!FORM_LIMIT" : "."));
        check("parts", NULL, SL_MULTIPART_PARTS_MAX_DEFAULT, body_of(&body), story);
    }
}

static void next_headers_over_the_limit_are_refused(void **state)
{
    for (size_t others = 30; others <= 32; others++) {
        struct sl_text body;
        sl_text_init(&body, body_room, sizeof body_room);
        sl_text_put(&body, SL_BYTES("--X7\r\n"));
        put_times(&body, "X: y\r\n", others);
        sl_text_put(&body, SL_BYTES(HEAD("name=a") "\r\nx" CLOSE));
        check("headers", NULL, 1, body_of(&body), others < 32 ? "[a|-|]x;." : "!FORM_LIMIT");
    }
}

/* The head counts from behind the delimiter line to the end of its blank line; in one long line or in many. */
static void next_head_over_8192_bytes_is_refused(void **state)
{
    static const struct {
        size_t head_bytes, lines;
        const char *story;
    } cases[] = {
        {8191, 1, "[a|-|]x;."},  {8192, 1, "[a|-|]x;."},    {8193, 1, "!FORM_LIMIT"},  {20000, 1, "!FORM_LIMIT"},
        {8192, 30, "[a|-|]x;."}, {8193, 30, "!FORM_LIMIT"}, {8194, 30, "!FORM_LIMIT"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_text body;
        sl_text_init(&body, body_room, sizeof body_room);
        sl_text_put(&body, SL_BYTES("--X7\r\n"));
        put_times(&body, "Y: z\r\n", cases[i].lines - 1);
        sl_text_put(&body, SL_BYTES(HEAD("name=a") "X: "));
        put_times(&body, "x", cases[i].head_bytes - (body.len - strlen("--X7\r\n")) - strlen("\r\n\r\n"));
        sl_text_put(&body, SL_BYTES("\r\n\r\nx" CLOSE));
        check("head", NULL, 1, body_of(&body), cases[i].story);
    }
}

/* Of each: how many headers named X-Kept, and how long their values are together. */
static void next_kept_headers_over_their_room_are_refused(void **state)
{
    static const struct {
        size_t count, bytes;
        bool fits;
    } cases[] = {{1, 768, true}, {1, 769, false}, {2, 768, true},  {2, 769, false},  {8, 768, true},
                 {8, 0, true},   {9, 0, false},   {8, 769, false}, {1, 4000, false}, {9, 9, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char story[1024];
        struct sl_text body, expected;
        sl_text_init(&body, body_room, sizeof body_room);
        sl_text_init(&expected, story, sizeof story);
        sl_text_put(&body, SL_BYTES("--X7\r\n" HEAD("name=a")));
        sl_text_put(&expected, SL_BYTES("[a|-|"));
        for (size_t n = 0; n < cases[i].count; n++) {
            size_t len = n == 0 ? cases[i].bytes - cases[i].bytes / cases[i].count * (cases[i].count - 1)
                                : cases[i].bytes / cases[i].count;
            sl_text_put(&body, SL_BYTES("X-Kept: "));
            put_times(&body, "v", len);
            sl_text_put(&body, SL_BYTES("\r\n"));
            sl_text_put(&expected, SL_BYTES("|2="));
            put_times(&expected, "v", len);
        }
        sl_text_put(&body, SL_BYTES("\r\nx\r\n" NEXT_PART CLOSE));
        sl_text_put(&expected, SL_BYTES("]x\r\n;[f|a.txt|];."));
        check("kept", NULL, 2, body_of(&body), cases[i].fits ? story : "!FORM_LIMIT");
    }
}

static void next_nothing_is_kept_unasked(void **state)
{
    static const char body[] = "--X7\r\n" HEAD("name=a") "X-Kept: y\r\nContent-MD5: z\r\n\r\n";
    struct feed feed = {.data_bytes = 0};
    sl_text_init(&feed.story, story_told, sizeof story_told);
    assert_int_equal(sl_multipart_init(&feed.multipart, SL_BYTES("multipart/form-data; boundary=X7"), 1), SL_OK);
    assert_int_equal(take(&feed, SL_BYTES(body)), sizeof body - 1);
    assert_string_equal(story_told, "[a|-|]");
}

/* Those the parser reads itself, too: a caller may want them as they were sent. */
static void next_headers_it_reads_itself_are_kept_as_well(void **state)
{
    static const char *const names[] = {"content-type", "content-disposition", NULL};
    static const char body[] = "--X7\r\ncontent-type: \t\r\nContent-Disposition:form-data; name=a \r\n\r\n";
    struct feed feed = {.data_bytes = 0};
    sl_text_init(&feed.story, story_told, sizeof story_told);
    assert_int_equal(sl_multipart_init(&feed.multipart, SL_BYTES("multipart/form-data; boundary=X7"), 1), SL_OK);
    sl_multipart_keep(&feed.multipart, names);
    assert_int_equal(take(&feed, SL_BYTES(body)), sizeof body - 1);
    assert_string_equal(story_told, "[a|-||0=|1=form-data; name=a]");
}

static void next_type_over_255_bytes_is_refused(void **state)
{
    for (size_t len = 255; len <= 256; len++) {
        char story[512];
        struct sl_text body, expected;
        sl_text_init(&body, body_room, sizeof body_room);
        sl_text_init(&expected, story, sizeof story);
        sl_text_put(&body, SL_BYTES("--X7\r\n" HEAD("name=a") "Content-Type: "));
        put_times(&body, "t", len);
        sl_text_put(&body, SL_BYTES("\r\n\r\n" CLOSE));
        sl_text_put(&expected, SL_BYTES("[a|-|"));
        put_times(&expected, "t", len);
        sl_text_put(&expected, SL_BYTES("];."));
        check("type", NULL, 1, body_of(&body), len > 255 ? "!FORM_LIMIT" : story);
    }
}

static void next_preamble_over_8192_bytes_is_refused(void **state)
{
    for (size_t len = 8192; len <= 8193; len++) {
        struct sl_text body;
        sl_text_init(&body, body_room, sizeof body_room);
        put_times(&body, "p", len);
        sl_text_put(&body, SL_BYTES(NEXT_PART "x" CLOSE));
        check("preamble", NULL, 1, body_of(&body), len > 8192 ? "!BAD_FORM" : FILE_STORY "x;.");
    }
}

/* What the caller must keep room for. */
static void next_undecided_data_stays_below_its_bound(void **state)
{
    static const char *const tails[] = {"xyz", "\r\n--X", "\r\n--X7", "\r\n--X7-", "\r\n--X7 \t ", "\r\r\r\r\r\r\r"};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++)
        for (size_t blanks = 0; blanks <= PADDING_MAX + 3; blanks++) {
            struct feed feed = {.data_bytes = 0};
            sl_text_init(&feed.story, story_told, sizeof story_told);
            assert_int_equal(sl_multipart_init(&feed.multipart, SL_BYTES("multipart/form-data; boundary=X7"), 1),
                             SL_OK);
            struct sl_text body;
            sl_text_init(&body, body_room, sizeof body_room);
            sl_text_put(&body, SL_BYTES(FILE_PART "data"));
            sl_text_put(&body, sl_bytes_of(tails[i]));
            put_times(&body, " ", blanks);
            sl_text_put(&body, SL_BYTES("\r"));
            size_t used = take(&feed, body_of(&body));
            assert_true(body.len - used <= feed.multipart.delimiter_len + 128);
        }
}

static void init_content_types_are_checked(void **state)
{
    static const struct {
        const char *type;
        sl_err err;
        size_t boundary_len;
    } cases[] = {
        {"multipart/form-data; boundary=X7", SL_OK, 2},
        {"Multipart/Form-Data ;\tBoundary=\"a b\"", SL_OK, 3},
        {"multipart/form-data; charset=UTF-8; boundary=b", SL_OK, 1},
        {"multipart/form-data; boundary=----=_Part_3.17", SL_OK, 15},
        {"multipart/form-data; boundary=\"" BOUNDARY_70 "\"", SL_OK, 70},
        {"multipart/form-data; boundary=\"" BOUNDARY_70 "x\"", SL_BAD_TYPE, 0},
        {"", SL_BAD_TYPE, 0},
        {"multipart/form-data", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=\"\"", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=a; boundary=b", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=a; BOUNDARY=a", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=\"a \"", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=\"a\tb\"", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=\"a\rb\"", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=\"\xc3\xa4\"", SL_BAD_TYPE, 0},
        {"multipart/form-data; boundary=\"a", SL_BAD_TYPE, 0},
        {"multipart/form-data, multipart/form-data; boundary=a", SL_BAD_TYPE, 0},
        {"multipart/form-datax; boundary=a", SL_BAD_TYPE, 0},
        {"multipart/mixed; boundary=a", SL_BAD_TYPE, 0},
        {"application/x-www-form-urlencoded", SL_BAD_TYPE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_multipart multipart;
        assert_int_equal(sl_multipart_init(&multipart, sl_bytes_of(cases[i].type), 1), cases[i].err);
        if (cases[i].err == SL_OK)
            assert_int_equal(multipart.delimiter_len, cases[i].boundary_len + 4);
    }
}

static void next_epilogue_of_any_length_is_left_alone(void **state)
{
    struct sl_multipart multipart;
    enum sl_multipart_event event;
    size_t bytes;
    assert_int_equal(sl_multipart_init(&multipart, SL_BYTES("multipart/form-data; boundary=X7"), 1), SL_OK);
    assert_int_equal(sl_multipart_next(&multipart, "--X7--\r\nrest", 12, &event, &bytes), SL_OK);
    assert_int_equal(event, SL_MULTIPART_END);
    assert_int_equal(bytes, 6);
    assert_int_equal(sl_multipart_next(&multipart, "\r\nrest", 6, &event, &bytes), SL_OK);
    assert_int_equal(event, SL_MULTIPART_MORE);
    assert_int_equal(bytes, 0);
    assert_int_equal(sl_multipart_finish(&multipart), SL_OK);
}

/* --- time --- */

/* CPU time of decoding `len` bytes, `unit` again and again as the data of a part, that arrive `step` at a time. */
static double seconds_for(const char *unit, size_t len, size_t step)
{
    char *data = malloc(len);
    assert_non_null(data);
    size_t unit_len = strlen(unit);
    for (size_t i = 0; i < len; i++)
        data[i] = unit[i % unit_len];
    double best = 1e9;
    for (int run = 0; run < 3; run++) {
        struct sl_multipart multipart;
        enum sl_multipart_event event;
        size_t bytes, used = 0, data_bytes = 0;
        assert_int_equal(sl_multipart_init(&multipart, SL_BYTES("multipart/form-data; boundary=boundary"), 1), SL_OK);
        static const char head[] = "--boundary\r\n" HEAD("name=a") "\r\n";
        for (const char *at = head; at < head + sizeof head - 1; at += bytes)
            assert_int_equal(sl_multipart_next(&multipart, at, (size_t)(head + sizeof head - 1 - at), &event, &bytes),
                             SL_OK);
        clock_t start = clock();
        for (size_t arrived = step; arrived <= len; arrived += step)
            do {
                if (sl_multipart_next(&multipart, data + used, arrived - used, &event, &bytes) != SL_OK)
                    fail_msg("refused");
                used += bytes;
                data_bytes += event == SL_MULTIPART_DATA ? bytes : 0;
            } while (event != SL_MULTIPART_MORE);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        best = seconds < best ? seconds : best;
        assert_true(data_bytes > len - step - 300);
    }
    free(data);
    return best;
}

/* Eight times the bytes take about eight times as long; were it quadratic, 64 times. And no data is far worse than
 * plain text: looking at each byte once for each byte of the delimiter would be. */
static void next_hostile_data_takes_linear_time(void **state)
{
    static const char *const units[] = {
        "\r\n--boundar",
        "\r",
        "\r\n",
        "-",
        "y",
        "\r\n--boundaryx",
        "\r\n--boundary-",
        "\r\n--boundary\r",
        "\r\n--boundary" TENTH("             "),
    };
    static const struct {
        size_t step, len;
    } feeds[] = {{1, 1 << 20}, {100, 8 << 20}, {65536, 8 << 20}};
    for (size_t f = 0; f < sizeof feeds / sizeof feeds[0]; f++) {
        size_t step = feeds[f].step, len = feeds[f].len;
        double plain = seconds_for("z", len, step);
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            double small = seconds_for(units[i], len / 8, step);
            double large = seconds_for(units[i], len, step);
            if (large > 24 * small + 0.05)
                fail_msg("%s by %zu: %.4f s, then %.4f s for eight times as much", units[i], step, small, large);
            if (large > 40 * plain + 0.5)
                fail_msg("%s by %zu: %.4f s, plain text %.4f s", units[i], step, large, plain);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_content_types_are_checked),
        cmocka_unit_test(next_every_form_tells_its_story_however_cut),
        cmocka_unit_test(finish_body_stopped_at_every_byte_is_refused),
        cmocka_unit_test(next_delimiter_prefix_at_every_offset_is_data),
        cmocka_unit_test(next_delimiter_behind_its_own_prefix_is_found),
        cmocka_unit_test(next_parts_over_the_limit_are_refused),
        cmocka_unit_test(next_headers_over_the_limit_are_refused),
        cmocka_unit_test(next_head_over_8192_bytes_is_refused),
        cmocka_unit_test(next_kept_headers_over_their_room_are_refused),
        cmocka_unit_test(next_nothing_is_kept_unasked),
        cmocka_unit_test(next_headers_it_reads_itself_are_kept_as_well),
        cmocka_unit_test(next_type_over_255_bytes_is_refused),
        cmocka_unit_test(next_preamble_over_8192_bytes_is_refused),
        cmocka_unit_test(next_undecided_data_stays_below_its_bound),
        cmocka_unit_test(next_epilogue_of_any_length_is_left_alone),
        cmocka_unit_test(next_hostile_data_takes_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
