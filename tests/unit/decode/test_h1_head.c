/* Heads of requests, as clients and as attackers send them. Each case runs whole, byte by byte in a growing buffer that
 * moves, and cut at every position, with the same result. */
#include "sluice/decode/h1_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define OK_HOST      "Host: h\r\n"
#define GET          "GET / HTTP/1.1\r\n"
#define PUT          "PUT /f HTTP/1.1\r\nHost: h\r\n"

static void move_span(struct sl_bytes *span, const char *from, size_t len, const char *to)
{
    if (span->base >= from && span->base <= from + len)
        span->base = to + (span->base - from);
}

/* One parse of in[0..len), from memory that ends there, so that a sanitizer sees every byte too many. Spans are moved
 * over to `in`, which outlives that memory. */
static sl_err parse_copy(struct sl_h1_head *head, struct sl_h1_scan *scan, struct sl_bytes in, size_t len)
{
    char *buf = malloc(len + (len == 0));
    memcpy(buf, in.base, len);
    sl_err err = sl_h1_head_parse(head, scan, buf, len);
    if (err == SL_OK) {
        move_span(&head->method, buf, len, in.base);
        move_span(&head->target, buf, len, in.base);
        move_span(&head->host, buf, len, in.base);
        for (size_t i = 0; i < head->header_count; i++) {
            move_span(&head->headers[i].name, buf, len, in.base);
            move_span(&head->headers[i].value, buf, len, in.base);
        }
    }
    free(buf);
    return err;
}

static bool is_same_span(struct sl_bytes a, struct sl_bytes b)
{
    return a.len == b.len && (a.len == 0 || a.base == b.base || sl_bytes_equal(a, b));
}

static bool is_same_head(const struct sl_h1_head *a, const struct sl_h1_head *b)
{
    bool is_same = is_same_span(a->method, b->method) && is_same_span(a->target, b->target) &&
                   is_same_span(a->host, b->host) && a->minor_version == b->minor_version && a->bytes == b->bytes &&
                   a->header_count == b->header_count && a->has_length == b->has_length &&
                   a->is_chunked == b->is_chunked && a->content_length == b->content_length &&
                   a->is_persistent == b->is_persistent && a->expects_continue == b->expects_continue;
    for (size_t i = 0; is_same && i < a->header_count; i++)
        is_same = a->headers[i].name.base == b->headers[i].name.base &&
                  is_same_span(a->headers[i].name, b->headers[i].name) &&
                  is_same_span(a->headers[i].value, b->headers[i].value);
    return is_same;
}

static struct sl_h1_head whole, cut_up;

/* Feeds in[0..first), then `step` more bytes a call until there is an answer. */
static sl_err parse_in_steps(struct sl_h1_head *head, struct sl_bytes in, size_t first, size_t step)
{
    struct sl_h1_scan scan = {0};
    sl_err err = parse_copy(head, &scan, in, first);
    for (size_t len = first; err == SL_AGAIN && len < in.len;) {
        len = len + step < in.len ? len + step : in.len;
        err = parse_copy(head, &scan, in, len);
    }
    return err;
}

/* The result of all ways of feeding; the head is in `whole`. */
static sl_err parse(struct sl_bytes in)
{
    sl_err err = parse_in_steps(&whole, in, in.len, 1);
    sl_err dripped = parse_in_steps(&cut_up, in, 0, 1);
    if (dripped != err || (err == SL_OK && !is_same_head(&whole, &cut_up)))
        fail_msg("dripped, another result: %.*s", (int)in.len, in.base);
    for (size_t cut = 0; cut <= in.len && in.len < 1000; cut++) {
        sl_err cut_err = parse_in_steps(&cut_up, in, cut, in.len);
        if (cut_err != err || (err == SL_OK && !is_same_head(&whole, &cut_up)))
            fail_msg("cut at %zu, another result: %.*s", cut, (int)in.len, in.base);
    }
    return err;
}

struct verdict {
    struct sl_bytes in;
    sl_err err;
};

static void assert_verdicts(const struct verdict *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sl_err err = parse(cases[i].in);
        if (err != cases[i].err)
            fail_msg("case %zu: %d instead of %d: %s", i, (int)err, (int)cases[i].err, cases[i].in.base);
    }
}

static void assert_text(struct sl_bytes span, const char *text)
{
    if (!sl_bytes_equal(span, sl_bytes_of(text)))
        fail_msg("\"%.*s\" instead of \"%s\"", (int)span.len, span.base, text);
}

static void parse_curl_put_gives_all_spans(void **state)
{
    (void)state;
    struct sl_bytes in = SL_BYTES("PUT /a/b.txt?x=1 HTTP/1.1\r\n"
                                  "Host: localhost:8080\r\n"
                                  "User-Agent: \t curl/8.5.0 (x) \t\r\n"
                                  "Accept: */*\r\n"
                                  "X-Empty:\r\n"
                                  "X-Utf8:gr\xc3\xbc\xc3\x9f\r\n"
                                  "content-LENGTH: 5\r\n"
                                  "Expect: 100-continue\r\n"
                                  "\r\n"
                                  "hello");
    assert_int_equal(parse(in), SL_OK);
    assert_text(whole.method, "PUT");
    assert_text(whole.target, "/a/b.txt?x=1");
    assert_text(whole.host, "localhost:8080");
    assert_int_equal(whole.minor_version, 1);
    assert_int_equal(whole.header_count, 7);
    static const char *const fields[][2] = {
        {"Host", "localhost:8080"},
        {"User-Agent", "curl/8.5.0 (x)"},
        {"Accept", "*/*"},
        {"X-Empty", ""},
        {"X-Utf8", "gr\xc3\xbc\xc3\x9f"},
        {"content-LENGTH", "5"},
        {"Expect", "100-continue"},
    };
    for (size_t i = 0; i < COUNT(fields); i++) {
        assert_text(whole.headers[i].name, fields[i][0]);
        assert_text(whole.headers[i].value, fields[i][1]);
    }
    assert_int_equal(whole.bytes, in.len - 5);
    assert_true(whole.has_length);
    assert_int_equal(whole.content_length, 5);
    assert_false(whole.is_chunked);
    assert_true(whole.is_persistent);
    assert_true(whole.expects_continue);
}

static void parse_two_pipelined_heads_takes_the_first_only(void **state)
{
    (void)state;
    struct sl_bytes first = SL_BYTES(GET OK_HOST "\r\n"), both = SL_BYTES(GET OK_HOST "\r\n" PUT "\r\n");
    assert_int_equal(parse(both), SL_OK);
    assert_int_equal(whole.bytes, first.len);
    assert_text(whole.method, "GET");
}

static void parse_unfinished_head_asks_for_more(void **state)
{
    (void)state;
    struct sl_bytes in = SL_BYTES(PUT "Content-Length: 5\r\n\r\n");
    for (size_t len = 0; len < in.len; len++)
        assert_int_equal(parse((struct sl_bytes){in.base, len}), SL_AGAIN);
    assert_int_equal(parse(in), SL_OK);
}

static void parse_fault_is_told_when_its_line_is_complete(void **state)
{
    (void)state;
    static const struct verdict cases[] = {
        {SL_BYTES("GET / HTTP/9.9\r\n"), SL_BAD_VERSION},
        {SL_BYTES(GET "no colon\r\n"), SL_BAD_HEAD},
        {SL_BYTES(GET "Host: h\n"), SL_BAD_HEAD},
        {SL_BYTES("\x16\x03\x01\x02"), SL_BAD_HEAD}, /* TLS: at its first byte */
        {SL_BYTES("\x16"), SL_BAD_HEAD},
        {SL_BYTES(GET "a: \001"), SL_AGAIN},
    };
    assert_verdicts(cases, COUNT(cases));
}

static void parse_request_line_table(void **state)
{
    (void)state;
#define LINE(text) SL_BYTES(text "\r\n" OK_HOST "\r\n")
    static const struct verdict cases[] = {
        {LINE("GET / HTTP/1.1"), SL_OK},
        {LINE("GET / HTTP/1.0"), SL_OK},
        {LINE("x!#$%&'*+-.^_`|~9 / HTTP/1.1"), SL_OK},
        {LINE("GET /a?b=/?%zz[]|{}\"<>\\^`' HTTP/1.1"), SL_OK}, /* the path decoder's business */
        {LINE("GET /gr\xc3\xbc\xc3\x9f\xff HTTP/1.1"), SL_OK},
        {LINE("GET / HTTP/0.9"), SL_BAD_VERSION},
        {LINE("GET / HTTP/1.2"), SL_BAD_VERSION},
        {LINE("GET / HTTP/2.0"), SL_BAD_VERSION},
        {LINE("GET / HTTP/9.9"), SL_BAD_VERSION},
        {SL_BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), SL_BAD_VERSION},
        {LINE("GET / HTTP/1.10"), SL_BAD_HEAD},
        {LINE("GET / HTTP/1,1"), SL_BAD_HEAD},
        {LINE("GET / HTTP/1"), SL_BAD_HEAD},
        {LINE("GET / HTTP/a.b"), SL_BAD_HEAD},
        {LINE("GET / http/1.1"), SL_BAD_HEAD},
        {LINE("GET / HTTP/ 1.1"), SL_BAD_HEAD},
        {LINE("GET / ICY/1.1"), SL_BAD_HEAD},
        {LINE("GET / "), SL_BAD_HEAD},
        {LINE("GET /"), SL_BAD_HEAD}, /* HTTP/0.9 itself */
        {LINE("GET"), SL_BAD_HEAD},
        {LINE("GET HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET  HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET  / HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /  HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /a b HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET / HTTP/1.1 "), SL_BAD_HEAD},
        {LINE(" GET / HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET\t/ HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /\tHTTP/1.1"), SL_BAD_HEAD},
        {LINE("G@T / HTTP/1.1"), SL_BAD_HEAD},
        {LINE("G\xc3\xa9T / HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /a\0b HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /a\177 HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /a#b HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET /a\rb HTTP/1.1"), SL_BAD_HEAD},
        {LINE("GET / HTTP/1.1\r"), SL_BAD_HEAD},
        {SL_BYTES("GET / HTTP/1.1\n" OK_HOST "\r\n"), SL_BAD_HEAD},
        {SL_BYTES("\r\n" GET OK_HOST "\r\n"), SL_BAD_HEAD}, /* the caller drops this one first */
        {SL_BYTES("\n" GET OK_HOST "\r\n"), SL_BAD_HEAD},
        {SL_BYTES("\0\0\0\0\r\n\r\n"), SL_BAD_HEAD},
        {SL_BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"), SL_BAD_HEAD},
    };
    assert_verdicts(cases, COUNT(cases));
}

static void parse_target_form_table(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes in;
        sl_err err;
        const char *target, *host;
    } cases[] = {
        {LINE("OPTIONS * HTTP/1.1"), SL_OK, "*", "h"},
        {LINE("GET * HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("OPTIONS ** HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("CONNECT h:443 HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("GET h:443 HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("GET files/x HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("GET ftp://h/x HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("GET http:/x HTTP/1.1"), SL_BAD_HEAD, NULL, NULL},
        {LINE("GET http://other:81/a/b?c HTTP/1.1"), SL_OK, "/a/b?c", "other:81"},
        {LINE("GET HTTPS://other/ HTTP/1.0"), SL_OK, "/", "other"},
        {LINE("GET http://other HTTP/1.1"), SL_OK, "/", "other"},
        {LINE("OPTIONS http://other HTTP/1.1"), SL_OK, "*", "other"},
        {LINE("OPTIONS http://other/ HTTP/1.1"), SL_OK, "/", "other"},
        {LINE("GET http:///x HTTP/1.1"), SL_BAD_HOST, NULL, NULL},
        {LINE("GET http:// HTTP/1.1"), SL_BAD_HOST, NULL, NULL},
        {LINE("GET http://u@other/ HTTP/1.1"), SL_BAD_HOST, NULL, NULL},
        {LINE("GET http://other?q HTTP/1.1"), SL_BAD_HOST, NULL, NULL},
        {LINE("GET http://a,b/ HTTP/1.1"), SL_BAD_HOST, NULL, NULL},
        {SL_BYTES("GET http://other/ HTTP/1.1\r\n\r\n"), SL_BAD_HOST, NULL, NULL}, /* Host is still due */
        {SL_BYTES("GET http://other/ HTTP/1.1\r\nHost: a/b\r\n\r\n"), SL_BAD_HOST, NULL, NULL},
        {SL_BYTES("GET http://other/ HTTP/1.0\r\n\r\n"), SL_OK, "/", "other"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (parse(cases[i].in) != cases[i].err)
            fail_msg("another verdict: %s", cases[i].in.base);
        if (cases[i].err != SL_OK)
            continue;
        assert_text(whole.target, cases[i].target);
        assert_text(whole.host, cases[i].host);
    }
}

static void parse_field_line_table(void **state)
{
    (void)state;
#define FIELD(text) SL_BYTES(GET OK_HOST text "\r\n\r\n")
    static const struct verdict cases[] = {
        {FIELD("a:"), SL_OK},
        {FIELD("a:b:c"), SL_OK},
        {FIELD("x!#$%&'*+-.^_`|~9: \t\x80\xff\t "), SL_OK},
        {FIELD("no colon"), SL_BAD_HEAD},
        {FIELD(": no name"), SL_BAD_HEAD},
        {FIELD("a : b"), SL_BAD_HEAD},
        {FIELD("a\t: b"), SL_BAD_HEAD},
        {FIELD("a b: c"), SL_BAD_HEAD},
        {FIELD("Content-Length : 5"), SL_BAD_HEAD},
        {FIELD("Transfer-Encoding : chunked"), SL_BAD_HEAD},
        {FIELD("Transfer-Encoding\xa0: chunked"), SL_BAD_HEAD},
        {FIELD("Transfer-Encoding\0: chunked"), SL_BAD_HEAD},
        {FIELD("Transfer-Encoding: \vchunked"), SL_BAD_HEAD},
        {FIELD("Transfer-Encoding: chunked\0"), SL_BAD_HEAD},
        {FIELD("\0: b"), SL_BAD_HEAD},
        {FIELD("n\xc3\xa4me: b"), SL_BAD_HEAD},
        {FIELD("(a): b"), SL_BAD_HEAD},
        {FIELD("\"a\": b"), SL_BAD_HEAD},
        {FIELD("a: b\0c"), SL_BAD_HEAD},
        {FIELD("a: b\x7f"), SL_BAD_HEAD},
        {FIELD("a: b\x1b"), SL_BAD_HEAD},
        {FIELD("a: b\rc: d"), SL_BAD_HEAD},            /* bare CR */
        {FIELD("a: b\r"), SL_BAD_HEAD},                /* CR CR LF */
        {FIELD("a: b\nc: d"), SL_BAD_HEAD},            /* bare LF */
        {SL_BYTES(GET OK_HOST "\n"), SL_BAD_HEAD},     /* ends with LF */
        {SL_BYTES(GET OK_HOST "\r\r\n"), SL_BAD_HEAD}, /* or almost */
        {SL_BYTES(GET " folded: first\r\n" OK_HOST "\r\n"), SL_BAD_HEAD},
        {FIELD("a: b\r\n c"), SL_BAD_HEAD}, /* obs-fold */
        {FIELD("a: b\r\n\tc"), SL_BAD_HEAD},
        {FIELD("a: b\r\n "), SL_BAD_HEAD},
        {FIELD("Transfer-Encoding:\r\n chunked"), SL_BAD_HEAD},
    };
    assert_verdicts(cases, COUNT(cases));
}

static void parse_host_table(void **state)
{
    (void)state;
#define HOST(text) SL_BYTES(GET "Host:" text "\r\n\r\n")
    static const struct verdict cases[] = {
        {HOST(" example.com"), SL_OK},
        {HOST("Ex_a-m~ple.com:8080"), SL_OK},
        {HOST("127.0.0.1:65535"), SL_OK},
        {HOST("[::1]"), SL_OK},
        {HOST("[2001:db8::192.0.2.1]:80"), SL_OK},
        {HOST(""), SL_BAD_HOST},
        {HOST(" \t"), SL_BAD_HOST},
        {HOST(" user@example.com"), SL_BAD_HOST},
        {HOST(" user:1@example.com"), SL_BAD_HOST},
        {HOST(" example.com/path"), SL_BAD_HOST},
        {HOST(" /"), SL_BAD_HOST},
        {HOST(" a,b"), SL_BAD_HOST},
        {HOST(" a, b"), SL_BAD_HOST},
        {HOST(" a b"), SL_BAD_HOST},
        {HOST(" http://a"), SL_BAD_HOST},
        {HOST(" a?b"), SL_BAD_HOST},
        {HOST(" a#b"), SL_BAD_HOST},
        {HOST(" a\\b"), SL_BAD_HOST},
        {HOST(" a\"b"), SL_BAD_HOST},
        {HOST(" <b>"), SL_BAD_HOST},
        {HOST(" a%00"), SL_BAD_HOST},
        {HOST(" b\xc3\xbc.de"), SL_BAD_HOST},
        {HOST(" :80"), SL_BAD_HOST},
        {HOST(" a:"), SL_BAD_HOST},
        {HOST(" a:x"), SL_BAD_HOST},
        {HOST(" a:-1"), SL_BAD_HOST},
        {HOST(" a:65536"), SL_BAD_HOST},
        {HOST(" a:80:80"), SL_BAD_HOST},
        {HOST(" ::1"), SL_BAD_HOST},
        {HOST(" []"), SL_BAD_HOST},
        {HOST(" [::1"), SL_BAD_HOST},
        {HOST(" [::1]x"), SL_BAD_HOST},
        {HOST(" [::g]"), SL_BAD_HOST},
        {SL_BYTES(GET "\r\n"), SL_BAD_HOST},
        {SL_BYTES(GET OK_HOST OK_HOST "\r\n"), SL_BAD_HOST}, /* even if equal */
        {SL_BYTES(GET OK_HOST "hOST: other\r\n\r\n"), SL_BAD_HOST},
        {SL_BYTES("GET / HTTP/1.0\r\n\r\n"), SL_OK},
        {SL_BYTES("GET / HTTP/1.0\r\nHost:\r\n\r\n"), SL_BAD_HOST},
        {SL_BYTES("GET / HTTP/1.0\r\n" OK_HOST OK_HOST "\r\n"), SL_BAD_HOST},
    };
    assert_verdicts(cases, COUNT(cases));
    assert_int_equal(parse(SL_BYTES("GET / HTTP/1.0\r\n\r\n")), SL_OK);
    assert_int_equal(whole.host.len, 0);
}

static void parse_framing_table(void **state)
{
    (void)state;
#define CL         "Content-Length:"
#define TE         "Transfer-Encoding:"
#define BODY(text) SL_BYTES(PUT text "\r\n\r\n")
    static const struct {
        struct sl_bytes in;
        sl_err err;
        bool has_length, is_chunked;
        uint64_t content_length;
    } cases[] = {
        {SL_BYTES(PUT "\r\n"), SL_OK, false, false, 0},
        {BODY(CL " 0"), SL_OK, true, false, 0},
        {BODY("content-length:\t005 "), SL_OK, true, false, 5},
        {BODY(CL " 9223372036854775807"), SL_OK, true, false, INT64_MAX},
        {BODY(CL " 9223372036854775808"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 18446744073709551615"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 18446744073709551617"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " -1"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " +1"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 0x10"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 1_0"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 1e3"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5.0"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5, 5"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5,"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5 5"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " \"5\""), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5;"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " \xef\xbc\x95"), SL_BAD_FRAMING, false, false, 0}, /* a full-width five */
        {BODY(CL), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5\r\n" CL " 5"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5\r\n" CL " 6"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5\r\n" CL), SL_BAD_FRAMING, false, false, 0},
        {BODY(TE " chunked"), SL_OK, false, true, 0},
        {BODY("transfer-ENCODING:CHUNKED\t"), SL_OK, false, true, 0},
        {BODY(TE " xchunked"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunkedx"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked, chunked"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked,"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " ,chunked"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " gzip, chunked"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked, identity"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked;q=1"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " \"chunked\""), SL_BAD_CODING, false, false, 0},
        {BODY(TE " \xa0"
                 "chunked"),
         SL_BAD_CODING, false, false, 0},
        {BODY(TE " identity"), SL_BAD_CODING, false, false, 0},
        {BODY(TE), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked\r\n" TE " chunked"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked\r\n" TE " identity"), SL_BAD_CODING, false, false, 0},
        {BODY(TE " chunked\r\n" CL " 5"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 5\r\n" TE " chunked"), SL_BAD_FRAMING, false, false, 0},
        {BODY(CL " 0\r\n" TE " identity"), SL_BAD_FRAMING, false, false, 0},
        {SL_BYTES("PUT / HTTP/1.0\r\n" OK_HOST TE " chunked\r\n\r\n"), SL_BAD_FRAMING, false, false, 0},
        {SL_BYTES("PUT / HTTP/1.0\r\n" OK_HOST CL " 5\r\n\r\n"), SL_OK, true, false, 5},
        {SL_BYTES(GET OK_HOST CL " 5\r\n\r\n"), SL_OK, true, false, 5},
        {BODY("X-" CL " x\r\nTE: trailers\r\nX-" TE " y"), SL_OK, false, false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (parse(cases[i].in) != cases[i].err)
            fail_msg("another verdict: %s", cases[i].in.base);
        if (cases[i].err != SL_OK)
            continue;
        assert_int_equal(whole.has_length, cases[i].has_length);
        assert_int_equal(whole.is_chunked, cases[i].is_chunked);
        assert_true(whole.content_length == cases[i].content_length);
    }
}

static void parse_connection_table(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool is_persistent_1_1, is_persistent_1_0;
    } cases[] = {
        {"", true, false},
        {"Connection:\r\n", true, false},
        {"Connection: close\r\n", false, false},
        {"cONNECTION: cLOSE\r\n", false, false},
        {"Connection: keep-alive\r\n", true, true},
        {"Connection: Upgrade ,\tKeep-Alive\r\n", true, true},
        {"Connection: keep-alive, close\r\n", false, false},
        {"Connection: te,close,x\r\n", false, false},
        {"Connection: keep-alive\r\nConnection: x\r\n", true, true},
        {"Connection: x\r\nA: b\r\nConnection: ,,close ,\r\n", false, false},
        {"Connection: keep-alive\r\nConnection: close\r\n", false, false},
        {"Connection: closed, not-close, close x\r\n", true, false},
        {"X-Connection: close\r\n", true, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        for (int minor = 0; minor <= 1; minor++) {
            snprintf(text, sizeof text, "GET / HTTP/1.%d\r\nHost: h\r\n%s\r\n", minor, cases[i].fields);
            assert_int_equal(parse(sl_bytes_of(text)), SL_OK);
            assert_int_equal(whole.minor_version, minor);
            if (whole.is_persistent != (minor == 1 ? cases[i].is_persistent_1_1 : cases[i].is_persistent_1_0))
                fail_msg("another verdict on HTTP/1.%d: %s", minor, cases[i].fields);
        }
    }
}

static void parse_expect_table(void **state)
{
    (void)state;
    static const struct {
        struct sl_bytes in;
        sl_err err;
        bool expects_continue;
    } cases[] = {
        {BODY("Expect: 100-continue"), SL_OK, true},
        {BODY("expect:\t100-CONTINUE "), SL_OK, true},
        {BODY("Expect: 100-continue\r\nExpect: 100-continue"), SL_OK, true},
        {BODY("Expect: 100-continue\r\nExpect: x"), SL_BAD_EXPECT, false},
        {BODY("Expect: x\r\nExpect: 100-continue"), SL_BAD_EXPECT, false},
        {BODY("Expect:"), SL_BAD_EXPECT, false},
        {BODY("Expect: 100"), SL_BAD_EXPECT, false},
        {BODY("Expect: 100-continue, x"), SL_BAD_EXPECT, false},
        {BODY("Expect: 100-continue;x"), SL_BAD_EXPECT, false},
        {BODY("Expect: 200-ok"), SL_BAD_EXPECT, false},
        {SL_BYTES("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), SL_OK, false},
        {SL_BYTES("PUT / HTTP/1.0\r\nExpect: x\r\n\r\n"), SL_OK, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (parse(cases[i].in) != cases[i].err)
            fail_msg("another verdict: %s", cases[i].in.base);
        if (cases[i].err == SL_OK)
            assert_int_equal(whole.expects_continue, cases[i].expects_continue);
    }
}

static void parse_several_faults_framing_is_told_first(void **state)
{
    (void)state;
    static const struct verdict cases[] = {
        {SL_BYTES(GET CL " x\r\nExpect: y\r\n\r\n"), SL_BAD_FRAMING},
        {SL_BYTES(GET TE " x\r\nExpect: y\r\n\r\n"), SL_BAD_CODING},
        {SL_BYTES(GET "Expect: y\r\n\r\n"), SL_BAD_HOST},
        {SL_BYTES("GET * HTTP/3.0\r\nbad\r\n\r\n"), SL_BAD_VERSION},
    };
    assert_verdicts(cases, COUNT(cases));
}

/* `prefix`, then `count` times `c`, then `suffix`. */
static struct sl_bytes stretched(const char *prefix, size_t count, char c, const char *suffix)
{
    static char text[102400 + 100];
    size_t at = strlen(prefix);
    assert_true(at + count + strlen(suffix) <= sizeof text);
    memcpy(text, prefix, at);
    memset(text + at, c, count);
    memcpy(text + at + count, suffix, strlen(suffix));
    return (struct sl_bytes){text, at + count + strlen(suffix)};
}

static void parse_sizes_at_and_over_the_limits(void **state)
{
    (void)state;
    const size_t target = SL_TARGET_BYTES_MAX, head = SL_H1_HEAD_BYTES_MAX;
    const size_t frame = strlen(GET OK_HOST "a:\r\n\r\n");
    const struct {
        const char *prefix;
        size_t count;
        const char *suffix;
        sl_err err;
    } cases[] = {
        {"GET /", target - 1, " HTTP/1.1\r\n" OK_HOST "\r\n", SL_OK},
        {"GET /", target, " HTTP/1.1\r\n" OK_HOST "\r\n", SL_URI_TOO_LONG},
        {"GET /", head, " HTTP/1.1\r\n" OK_HOST "\r\n", SL_URI_TOO_LONG},
        {"GET /", 102400, " HTTP/1.1\r\n" OK_HOST "\r\n", SL_URI_TOO_LONG},
        {"GET / HTTP/1.1", 102400, "\r\n" OK_HOST "\r\n", SL_HEAD_TOO_LARGE},
        {"", 102400, " / HTTP/1.1\r\n" OK_HOST "\r\n", SL_HEAD_TOO_LARGE}, /* method */
        {GET OK_HOST "a:", head - frame, "\r\n\r\n", SL_OK},
        {GET OK_HOST "a:", head - frame + 1, "\r\n\r\n", SL_HEAD_TOO_LARGE},
        {GET OK_HOST "a:", 102400, "\r\n\r\n", SL_HEAD_TOO_LARGE},
        {GET OK_HOST, 102400, ": b\r\n\r\n", SL_HEAD_TOO_LARGE}, /* name */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        sl_err err = parse(stretched(cases[i].prefix, cases[i].count, 'x', cases[i].suffix));
        if (err != cases[i].err)
            fail_msg("case %zu: %d instead of %d", i, (int)err, (int)cases[i].err);
    }
}

static void parse_endless_line_is_refused_at_the_limit(void **state)
{
    (void)state;
    struct sl_bytes in = stretched("GET /", SL_H1_HEAD_BYTES_MAX, 'x', "");
    assert_int_equal(parse((struct sl_bytes){in.base, SL_H1_HEAD_BYTES_MAX - 1}), SL_AGAIN);
    assert_int_equal(parse((struct sl_bytes){in.base, SL_H1_HEAD_BYTES_MAX}), SL_URI_TOO_LONG);
}

static void parse_header_count_at_and_over_the_limit(void **state)
{
    (void)state;
    static char text[10000 * 5 + 100];
    static const struct {
        unsigned headers;
        sl_err err;
    } cases[] = {{SL_H1_HEADERS_MAX, SL_OK}, {SL_H1_HEADERS_MAX + 1, SL_HEAD_TOO_LARGE}, {10000, SL_HEAD_TOO_LARGE}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t at = (size_t)snprintf(text, sizeof text, "%s", GET OK_HOST);
        for (unsigned n = 1; n < cases[i].headers; n++)
            at += (size_t)snprintf(text + at, sizeof text - at, "a:b\r\n");
        at += (size_t)snprintf(text + at, sizeof text - at, "\r\n");
        assert_int_equal(parse((struct sl_bytes){text, at}), cases[i].err);
    }
    assert_int_equal(parse(SL_BYTES(GET OK_HOST "\r\n")), SL_OK);
    assert_int_equal(whole.header_count, 1);
}

static void skip_blank_one_empty_line_goes(void **state)
{
    (void)state;
    assert_int_equal(sl_h1_head_skip_blank("", 0), 0);
    assert_int_equal(sl_h1_head_skip_blank("\r", 1), 0);
    assert_int_equal(sl_h1_head_skip_blank("\r\n", 2), 2);
    assert_int_equal(sl_h1_head_skip_blank("\r\n\r\nGET", 7), 2);
    assert_int_equal(sl_h1_head_skip_blank("\nGET", 4), 0);
    assert_int_equal(sl_h1_head_skip_blank("\rGET", 4), 0);
    assert_int_equal(sl_h1_head_skip_blank("GET", 3), 0);
}

static void parse_lone_cr_leaves_the_scan_for_skip_blank(void **state)
{
    (void)state;
    static const char in[] = "\r\n" GET OK_HOST "\r\n";
    struct sl_h1_scan scan = {0};
    assert_int_equal(sl_h1_head_parse(&whole, &scan, in, 1), SL_AGAIN);
    assert_int_equal(scan.scanned, 0);
    size_t blank = sl_h1_head_skip_blank(in, sizeof in - 1);
    assert_int_equal(sl_h1_head_parse(&whole, &scan, in + blank, sizeof in - 1 - blank), SL_OK);
    assert_int_equal(whole.bytes, sizeof in - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_curl_put_gives_all_spans),
        cmocka_unit_test(parse_two_pipelined_heads_takes_the_first_only),
        cmocka_unit_test(parse_unfinished_head_asks_for_more),
        cmocka_unit_test(parse_fault_is_told_when_its_line_is_complete),
        cmocka_unit_test(parse_request_line_table),
        cmocka_unit_test(parse_target_form_table),
        cmocka_unit_test(parse_field_line_table),
        cmocka_unit_test(parse_host_table),
        cmocka_unit_test(parse_framing_table),
        cmocka_unit_test(parse_connection_table),
        cmocka_unit_test(parse_expect_table),
        cmocka_unit_test(parse_several_faults_framing_is_told_first),
        cmocka_unit_test(parse_sizes_at_and_over_the_limits),
        cmocka_unit_test(parse_endless_line_is_refused_at_the_limit),
        cmocka_unit_test(parse_header_count_at_and_over_the_limit),
        cmocka_unit_test(skip_blank_one_empty_line_goes),
        cmocka_unit_test(parse_lone_cr_leaves_the_scan_for_skip_blank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
