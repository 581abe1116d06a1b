/* The head of a request, between the socket and the routes: the first thing that strangers' bytes meet.
 *
 * Lines are judged one by one as they become complete, the message as a whole after the last. The result depends only
 * on the bytes, never on how they were cut. Whatever two programs could read in two ways is refused: an attacker lives
 * on that difference (request smuggling). It does not read bodies, decode paths or know which methods exist. */
#include "sluice/decode/h1_head.h"

#include "token.h"

#include <assert.h>

static sl_err read_lines(struct sl_h1_head *head, struct sl_h1_scan *scan, const char *buf, size_t len);
static sl_err read_request_line(struct sl_h1_head *head, struct sl_bytes line);
static sl_err read_field_line(struct sl_h1_head *head, struct sl_bytes line);
static sl_err too_large(struct sl_bytes line, bool is_request_line);
static sl_err judge(struct sl_h1_head *head);

sl_err sl_h1_head_parse(struct sl_h1_head *head_out, struct sl_h1_scan *scan, const char *buf, size_t len)
{
    assert(scan->line_start <= scan->scanned && scan->scanned <= len);
    if (len == 0 || (len == 1 && buf[0] == '\r'))
        return SL_AGAIN; /* perhaps half an empty line, which the caller drops when it is whole */
    if (!sl_is_token_byte((unsigned char)buf[0]))
        return SL_BAD_HEAD; /* TLS and other binary greetings may never send a line end */
    bool is_resumed = scan->lines > 0;
    sl_err err = read_lines(head_out, scan, buf, len);
    if (err == SL_OK && is_resumed) {
        /* The spans of the earlier lines are from other calls, and buf may have moved since: read them again. */
        *scan = (struct sl_h1_scan){0};
        err = read_lines(head_out, scan, buf, len);
        assert(err == SL_OK);
    }
    return err != SL_OK ? err : judge(head_out);
}

size_t sl_h1_head_skip_blank(const char *buf, size_t len)
{
    return len >= 2 && buf[0] == '\r' && buf[1] == '\n' ? 2 : 0;
}

/* Reads the complete lines from scan->line_start on. SL_OK: up to and with the empty line. */
static sl_err read_lines(struct sl_h1_head *head, struct sl_h1_scan *scan, const char *buf, size_t len)
{
    size_t limit = len < SL_H1_HEAD_BYTES_MAX ? len : SL_H1_HEAD_BYTES_MAX;
    head->header_count = 0;
    for (;;) {
        const char *lf = memchr(buf + scan->scanned, '\n', limit - scan->scanned);
        struct sl_bytes line = {buf + scan->line_start, (lf != NULL ? (size_t)(lf - buf) : limit) - scan->line_start};
        if (lf == NULL) {
            scan->scanned = limit;
            return limit < SL_H1_HEAD_BYTES_MAX ? SL_AGAIN : too_large(line, scan->lines == 0);
        }
        if (line.len == 0 || line.base[line.len - 1] != '\r')
            return SL_BAD_HEAD;
        line.len--;
        scan->line_start = scan->scanned = (size_t)(lf - buf) + 1;
        if (line.len == 0) {
            head->bytes = scan->scanned;
            return SL_OK;
        }
        sl_err err = SL_HEAD_TOO_LARGE;
        if (scan->lines == 0)
            err = read_request_line(head, line);
        else if (scan->lines <= SL_H1_HEADERS_MAX)
            err = read_field_line(head, line);
        if (err != SL_OK)
            return err;
        scan->lines++;
    }
}

/* The head is over its limit within this line: is it the target's fault? */
static sl_err too_large(struct sl_bytes line, bool is_request_line)
{
    const char *space = is_request_line ? memchr(line.base, ' ', line.len) : NULL;
    if (space == NULL)
        return SL_HEAD_TOO_LARGE;
    size_t rest = line.len - (size_t)(space + 1 - line.base);
    bool is_long = rest > SL_TARGET_BYTES_MAX && memchr(space + 1, ' ', rest) == NULL;
    return is_long ? SL_URI_TOO_LONG : SL_HEAD_TOO_LARGE;
}

static bool starts_with_nocase(struct sl_bytes s, struct sl_bytes prefix)
{
    return s.len >= prefix.len && sl_bytes_equal_nocase((struct sl_bytes){s.base, prefix.len}, prefix);
}

static struct sl_bytes without_front(struct sl_bytes s, size_t len)
{
    return (struct sl_bytes){s.base + len, s.len - len};
}

static bool is_token(struct sl_bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!sl_is_token_byte((unsigned char)s.base[i]))
            return false;
    return s.len > 0;
}

/* "HTTP/" DIGIT "." DIGIT (RFC 9112 section 2.3). Of the well-formed, those we do not speak are SL_BAD_VERSION. */
static sl_err read_version(struct sl_h1_head *head, struct sl_bytes s)
{
    if (s.len != 8 || memcmp(s.base, "HTTP/", 5) != 0 || s.base[6] != '.')
        return SL_BAD_HEAD;
    char major = s.base[5], minor = s.base[7];
    if (major < '0' || major > '9' || minor < '0' || minor > '9')
        return SL_BAD_HEAD;
    if (major != '1' || minor > '1')
        return SL_BAD_VERSION;
    head->minor_version = (unsigned)(minor - '0');
    return SL_OK;
}

/* RFC 9112 section 3.2. absolute-form is split: what names the server becomes the host, the rest the target. */
static sl_err read_target(struct sl_h1_head *head, struct sl_bytes target)
{
    bool is_options = sl_bytes_equal(head->method, SL_BYTES("OPTIONS"));
    head->host = (struct sl_bytes){NULL, 0};
    head->target = target;
    if (target.base[0] == '/')
        return SL_OK;
    if (sl_bytes_equal(target, SL_BYTES("*")))
        return is_options ? SL_OK : SL_BAD_HEAD;
    size_t scheme_len = starts_with_nocase(target, SL_BYTES("https://")) ? 8 : 7;
    if (scheme_len == 7 && !starts_with_nocase(target, SL_BYTES("http://")))
        return SL_BAD_HEAD;
    head->host = without_front(target, scheme_len);
    const char *slash = memchr(head->host.base, '/', head->host.len);
    if (slash != NULL) {
        head->host.len = (size_t)(slash - head->host.base);
        head->target = without_front(target, scheme_len + head->host.len);
    } else {
        head->target = is_options ? SL_BYTES("*") : SL_BYTES("/");
    }
    return head->host.len > 0 ? SL_OK : SL_BAD_HOST;
}

/* method SP request-target SP HTTP-version */
static sl_err read_request_line(struct sl_h1_head *head, struct sl_bytes line)
{
    const char *first = memchr(line.base, ' ', line.len);
    const char *last = memrchr(line.base, ' ', line.len);
    if (first == NULL || first == last)
        return SL_BAD_HEAD;
    head->method = (struct sl_bytes){line.base, (size_t)(first - line.base)};
    struct sl_bytes target = {first + 1, (size_t)(last - first) - 1};
    if (!is_token(head->method) || !sl_target_is_valid(target))
        return SL_BAD_HEAD;
    if (target.len > SL_TARGET_BYTES_MAX)
        return SL_URI_TOO_LONG;
    sl_err err = read_version(head, without_front(line, (size_t)(last + 1 - line.base)));
    return err != SL_OK ? err : read_target(head, target);
}

/* field-name ":" OWS field-value OWS. A folded line starts with a blank, so its name is no token. */
static sl_err read_field_line(struct sl_h1_head *head, struct sl_bytes line)
{
    const char *colon = memchr(line.base, ':', line.len);
    if (colon == NULL)
        return SL_BAD_HEAD;
    struct sl_bytes name = {line.base, (size_t)(colon - line.base)};
    struct sl_bytes value = without_front(line, name.len + 1);
    if (!is_token(name))
        return SL_BAD_HEAD;
    for (size_t i = 0; i < value.len; i++)
        if (!sl_is_field_byte((unsigned char)value.base[i]))
            return SL_BAD_HEAD;
    assert(head->header_count < SL_H1_HEADERS_MAX);
    head->headers[head->header_count++] = (struct sl_h1_header){name, sl_bytes_trim(value)};
    return SL_OK;
}

/* The fields that decide where the message ends and whom it is for. */
struct controls {
    unsigned hosts, lengths, codings, expectations;
    struct sl_bytes host, length, coding;
    bool is_every_expectation_known;
    bool has_close, has_keep_alive;
};

static void note_connection(struct controls *controls, struct sl_bytes list)
{
    while (list.len > 0) {
        const char *comma = memchr(list.base, ',', list.len);
        struct sl_bytes option = {list.base, comma != NULL ? (size_t)(comma - list.base) : list.len};
        list = without_front(list, comma != NULL ? option.len + 1 : option.len);
        option = sl_bytes_trim(option);
        controls->has_close |= sl_bytes_equal_nocase(option, SL_BYTES("close"));
        controls->has_keep_alive |= sl_bytes_equal_nocase(option, SL_BYTES("keep-alive"));
    }
}

static void note_controls(struct controls *controls, const struct sl_h1_head *head)
{
    *controls = (struct controls){.is_every_expectation_known = true};
    for (size_t i = 0; i < head->header_count; i++) {
        struct sl_bytes name = head->headers[i].name, value = head->headers[i].value;
        if (sl_bytes_equal_nocase(name, SL_BYTES("host"))) {
            controls->hosts++;
            controls->host = value;
        } else if (sl_bytes_equal_nocase(name, SL_BYTES("content-length"))) {
            controls->lengths++;
            controls->length = value;
        } else if (sl_bytes_equal_nocase(name, SL_BYTES("transfer-encoding"))) {
            controls->codings++;
            controls->coding = value;
        } else if (sl_bytes_equal_nocase(name, SL_BYTES("connection"))) {
            note_connection(controls, value);
        } else if (sl_bytes_equal_nocase(name, SL_BYTES("expect"))) {
            controls->expectations++;
            controls->is_every_expectation_known &= sl_bytes_equal_nocase(value, SL_BYTES("100-continue"));
        }
    }
}

/* RFC 9112 section 6, where it leaves a choice the stricter one. */
static sl_err judge_framing(struct sl_h1_head *head, const struct controls *controls)
{
    head->has_length = controls->lengths > 0;
    head->is_chunked = controls->codings > 0;
    head->content_length = 0;
    if (head->is_chunked && (head->has_length || head->minor_version == 0))
        return SL_BAD_FRAMING;
    if (controls->lengths > 1)
        return SL_BAD_FRAMING;
    if (head->has_length &&
        (!sl_bytes_to_u64(controls->length, &head->content_length) || head->content_length > INT64_MAX))
        return SL_BAD_FRAMING;
    if (controls->codings > 1 || (head->is_chunked && !sl_bytes_equal_nocase(controls->coding, SL_BYTES("chunked"))))
        return SL_BAD_CODING;
    return SL_OK;
}

/* A Host beside an absolute-form target is ignored, but must be there and be sound (RFC 9112 section 3.2.2). */
static sl_err judge_host(struct sl_h1_head *head, const struct controls *controls)
{
    if (controls->hosts > 1 || (controls->hosts == 0 && head->minor_version > 0))
        return SL_BAD_HOST;
    if (controls->hosts == 1 && !sl_host_is_valid(controls->host))
        return SL_BAD_HOST;
    if (head->host.len == 0)
        head->host = controls->host;
    else if (!sl_host_is_valid(head->host))
        return SL_BAD_HOST;
    return SL_OK;
}

static sl_err judge(struct sl_h1_head *head)
{
    struct controls controls;
    note_controls(&controls, head);
    sl_err err = judge_framing(head, &controls);
    if (err == SL_OK)
        err = judge_host(head, &controls);
    if (err != SL_OK)
        return err;
    bool is_1_1 = head->minor_version > 0;
    head->is_persistent = !controls.has_close && (is_1_1 || controls.has_keep_alive);
    head->expects_continue = is_1_1 && controls.expectations > 0; /* HTTP/1.0 knows no 100: RFC 9110, 10.1.1 */
    return head->expects_continue && !controls.is_every_expectation_known ? SL_BAD_EXPECT : SL_OK;
}
