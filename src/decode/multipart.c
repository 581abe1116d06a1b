/* Splits a multipart/form-data body into parts: between the request body and the session, on the loop thread, in place.
 * It looks only at the front of the caller's window and never keeps a pointer into it. It does not gather data, decode
 * Content-Transfer-Encoding (RFC 7578 section 4.7), or open nested multipart/mixed.
 *
 * Nearly all bytes are file data, so what counts is find_delimiter. Everything else sees a line at a time. */
#include "sluice/decode/multipart.h"

#include <assert.h>

#include "delimiter.h"
#include "token.h"

enum state {
    AT_BODY_START, /* the first delimiter may stand here without its CRLF */
    IN_TEXT,       /* data of a part, or the preamble while there is no part */
    AT_CANDIDATE,  /* the delimiter is at the front, what follows it on its line decides */
    AT_DELIMITER,  /* `scanned` bytes at the front are a delimiter line */
    AT_CLOSE,      /* they are the closing delimiter */
    IN_HEAD,
    IN_EPILOGUE
};

/* Blanks after a delimiter. With a CR behind them 128 bytes are undecided, as the contract says. */
#define PADDING_BYTES_MAX 127

_Static_assert(SL_MULTIPART_KEPT_BYTES <= UINT16_MAX, "an offset into what is kept fits its field");

/* What one look at the window tells. Stays MORE while a step only changes the state, or waits. */
struct look {
    const char *window;
    size_t len;
    enum sl_multipart_event event;
    size_t bytes;
};

static void look_at_body_start(struct sl_multipart *multipart, struct look *look);
static sl_err look_at_text(struct sl_multipart *multipart, struct look *look);
static void look_at_candidate(struct sl_multipart *multipart, struct look *look);
static sl_err look_at_delimiter(struct sl_multipart *multipart, struct look *look);
static sl_err look_at_head(struct sl_multipart *multipart, struct look *look);
static void say_framing(struct sl_multipart *multipart, struct look *look, enum sl_multipart_event event,
                        size_t bytes);
static size_t find_delimiter(const struct sl_multipart *multipart, const char *window, size_t len, bool *found_out);

/* Any visible ASCII, not only bchars (RFC 2046 section 5.1.1): "*****" is an old favourite. A space at the end could
 * not be told from padding. CR must not be in it: the search relies on a delimiter having one CR, its first byte. */
static bool is_boundary(const char *boundary, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (boundary[i] < ' ' || boundary[i] > '~')
            return false;
    return len > 0 && boundary[len - 1] != ' ';
}

sl_err sl_multipart_init(struct sl_multipart *multipart, struct sl_bytes content_type, unsigned parts_max)
{
    struct sl_multipart *m = multipart;
    *m = (struct sl_multipart){.state = AT_BODY_START, .parts_max = parts_max};
    struct sl_bytes type = content_type;
    const char *semicolon = type.len > 0 ? memchr(type.base, ';', type.len) : NULL;
    if (semicolon != NULL)
        type.len = (size_t)(semicolon - type.base);
    if (!sl_bytes_equal_nocase(sl_bytes_trim(type), SL_BYTES("multipart/form-data")))
        return SL_BAD_TYPE;

    char *boundary = m->delimiter + 4;
    size_t len;
    sl_err err = sl_parameter_find(content_type, "boundary", boundary, SL_MULTIPART_BOUNDARY_MAX + 1, &len);
    if (err != SL_OK)
        return err;
    if (!is_boundary(boundary, len))
        return SL_BAD_TYPE;
    memcpy(m->delimiter, "\r\n--", 4);
    m->delimiter_len = 4 + len;
    return SL_OK;
}

void sl_multipart_keep(struct sl_multipart *multipart, const char *const *names)
{
    assert(names != NULL);
    multipart->kept_names = names;
}

sl_err sl_multipart_next(struct sl_multipart *multipart, const char *window, size_t len,
                         enum sl_multipart_event *event_out, size_t *bytes_out)
{
    struct sl_multipart *m = multipart;
    struct look look = {.window = window, .len = len, .event = SL_MULTIPART_MORE};
    sl_err err = SL_OK;
    unsigned before;
    do {
        before = m->state;
        assert(m->scanned <= len);
        switch ((enum state)before) {
        case AT_BODY_START: look_at_body_start(m, &look); break;
        case IN_TEXT: err = look_at_text(m, &look); break;
        case AT_CANDIDATE: look_at_candidate(m, &look); break;
        case AT_DELIMITER: err = look_at_delimiter(m, &look); break;
        case AT_CLOSE:
            say_framing(m, &look, SL_MULTIPART_END, m->scanned);
            m->state = IN_EPILOGUE;
            break;
        case IN_HEAD: err = look_at_head(m, &look); break;
        case IN_EPILOGUE: break;
        }
    } while (err == SL_OK && look.event == SL_MULTIPART_MORE && m->state != before);
    assert(look.bytes <= len);
    *event_out = look.event;
    *bytes_out = look.bytes;
    return err;
}

sl_err sl_multipart_finish(const struct sl_multipart *multipart)
{
    return multipart->state == IN_EPILOGUE ? SL_OK : SL_BAD_FORM;
}

/* The caller will drop `bytes`, so `scanned` counts from behind them. */
static void say(struct sl_multipart *m, struct look *look, enum sl_multipart_event event, size_t bytes)
{
    assert(bytes <= m->scanned);
    m->scanned -= bytes;
    look->event = event;
    look->bytes = bytes;
}

static void say_framing(struct sl_multipart *m, struct look *look, enum sl_multipart_event event, size_t bytes)
{
    m->framing_bytes += bytes;
    say(m, look, event, bytes);
}

/* --- text: the preamble and the data of parts --- */

/* Only a preamble puts a CRLF before the first delimiter (RFC 2046 section 5.1.1, multipart-body); few bodies have
 * one. */
static void look_at_body_start(struct sl_multipart *m, struct look *look)
{
    const char *bare = m->delimiter + 2;
    size_t bare_len = m->delimiter_len - 2;
    size_t end = look->len < bare_len ? look->len : bare_len;
    if (end == m->scanned)
        return;
    if (memcmp(look->window + m->scanned, bare + m->scanned, end - m->scanned) != 0) {
        m->scanned = 0;
        m->state = IN_TEXT;
        return;
    }
    m->scanned = end;
    if (end == bare_len) {
        m->matched = bare_len;
        m->state = AT_CANDIDATE;
    }
}

static sl_err look_at_text(struct sl_multipart *m, struct look *look)
{
    bool found;
    size_t text = find_delimiter(m, look->window, look->len, &found);
    m->scanned = text;
    if (found) {
        m->scanned += m->delimiter_len;
        m->matched = m->delimiter_len;
        m->state = AT_CANDIDATE;
    }
    if (text == 0)
        return SL_OK;
    if (m->parts > 0) {
        say(m, look, SL_MULTIPART_DATA, text);
        return SL_OK;
    }
    m->preamble_bytes += text;
    if (m->preamble_bytes > SL_MULTIPART_PREAMBLE_MAX)
        return SL_BAD_FORM;
    say_framing(m, look, SL_MULTIPART_SKIP, text);
    return SL_OK;
}

/* The first place from `at` on where a delimiter could start that the window cuts off; `len` if there is none. */
static size_t find_cut_off(const struct sl_multipart *m, const char *window, size_t at, size_t len)
{
    for (; at < len; at++) {
        const char *cr = memchr(window + at, '\r', len - at);
        if (cr == NULL)
            return len;
        at = (size_t)(cr - window);
        if (memcmp(cr, m->delimiter, len - at) == 0)
            return at;
    }
    return len;
}

/* Searches from `scanned` on. Returns where the delimiter starts or, if it was not found, up to where there is none.
 * Linear, whatever is in the data: a candidate costs at most a comparison of the delimiter's length. */
static size_t find_delimiter(const struct sl_multipart *m, const char *window, size_t len, bool *found_out)
{
    size_t at = m->scanned;
    size_t end = len < m->delimiter_len ? 0 : len - m->delimiter_len + 1; /* behind the last that fits as a whole */
    while (at < end && (at = sl_delimiter_candidate(window, at, end)) < end) {
        *found_out = memcmp(window + at, m->delimiter, m->delimiter_len) == 0;
        if (*found_out)
            return at;
        at++;
    }
    *found_out = false;
    return find_cut_off(m, window, at, len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "--" closes; blanks and CRLF make it a delimiter line; after anything else it was text that looked like one. None can
 * begin inside it or the blanks, for none of these bytes but the first is a CR: the search goes on behind them. */
static void look_at_candidate(struct sl_multipart *m, struct look *look)
{
    const char *window = look->window;
    size_t at = m->scanned;
    while (at < look->len && is_blank(window[at]) && at - m->matched < PADDING_BYTES_MAX)
        at++;
    m->scanned = at;
    if (at == look->len)
        return;
    bool may_close = window[at] == '-' && at == m->matched;
    bool may_end = window[at] == '\r';
    if ((may_close || may_end) && at + 1 == look->len)
        return;

    if (may_close && window[at + 1] == '-')
        m->state = AT_CLOSE;
    else if (may_end && window[at + 1] == '\n')
        m->state = AT_DELIMITER;
    else {
        m->state = IN_TEXT;
        return;
    }
    m->scanned = at + 2;
    if (m->parts > 0)
        say(m, look, SL_MULTIPART_PART_END, 0);
}

static sl_err look_at_delimiter(struct sl_multipart *m, struct look *look)
{
    if (m->parts == m->parts_max)
        return SL_FORM_LIMIT;
    m->part = (struct sl_part){0};
    m->head_bytes = 0;
    m->headers = 0;
    m->state = IN_HEAD;
    say_framing(m, look, SL_MULTIPART_SKIP, m->scanned);
    return SL_OK;
}

/* --- the head of a part, a line at a time --- */

/* Content-Disposition must be there once (RFC 7578 section 4.2); what it says beside the names is not kept. */
static sl_err take_disposition(struct sl_part *part, struct sl_bytes value)
{
    struct sl_disposition *disposition = &part->disposition;
    if (disposition->type.len > 0 || sl_disposition_parse(value, disposition) != SL_OK)
        return SL_BAD_FORM;
    if (!sl_bytes_equal_nocase(disposition->type, SL_BYTES("form-data")) || !disposition->has_name)
        return SL_BAD_FORM;
    disposition->type = SL_BYTES("form-data"); /* the window will be gone when the part is looked at */
    return SL_OK;
}

static sl_err take_type(struct sl_part *part, struct sl_bytes value)
{
    if (part->type_len > 0)
        return SL_BAD_FORM;
    if (value.len > SL_MULTIPART_TYPE_MAX)
        return SL_FORM_LIMIT;
    memcpy(part->type, value.base, value.len);
    part->type_len = value.len;
    return SL_OK;
}

/* Comes last, when the header is known to be well-formed. */
static sl_err keep(struct sl_multipart *m, struct sl_bytes name, struct sl_bytes value)
{
    if (m->kept_names == NULL)
        return SL_OK;
    struct sl_part *part = &m->part;
    for (size_t i = 0; m->kept_names[i] != NULL; i++) {
        if (!sl_bytes_equal_nocase(name, sl_bytes_of(m->kept_names[i])))
            continue;
        if (part->kept_count == SL_MULTIPART_KEPT_MAX || value.len > SL_MULTIPART_KEPT_BYTES - part->kept_bytes)
            return SL_FORM_LIMIT;
        part->kept[part->kept_count++] = (struct sl_part_header){
            .name = (uint16_t)i, .at = (uint16_t)part->kept_bytes, .len = (uint16_t)value.len};
        memcpy(part->kept_text + part->kept_bytes, value.base, value.len);
        part->kept_bytes += value.len;
        return SL_OK;
    }
    return SL_OK;
}

static bool is_field_value(struct sl_bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!sl_is_field_byte((unsigned char)value.base[i]))
            return false;
    return true;
}

/* name ":" value, no folding; line is without its CRLF. Headers we do not know are ignored (RFC 7578 section 4.8) but
 * must be well-formed. The names in Content-Disposition may hold control bytes, as those of files can. */
static sl_err take_header(struct sl_multipart *m, struct sl_bytes line)
{
    size_t name_len = 0;
    while (name_len < line.len && sl_is_token_byte((unsigned char)line.base[name_len]))
        name_len++;
    if (name_len == 0 || name_len == line.len || line.base[name_len] != ':')
        return SL_BAD_FORM;
    struct sl_bytes name = {line.base, name_len};
    struct sl_bytes value = sl_bytes_trim((struct sl_bytes){line.base + name_len + 1, line.len - name_len - 1});
    sl_err err = SL_OK;
    if (sl_bytes_equal_nocase(name, SL_BYTES("Content-Disposition")))
        err = take_disposition(&m->part, value);
    else if (!is_field_value(value))
        err = SL_BAD_FORM;
    else if (sl_bytes_equal_nocase(name, SL_BYTES("Content-Type")))
        err = take_type(&m->part, value);
    return err == SL_OK ? keep(m, name, value) : err;
}

static sl_err look_at_head(struct sl_multipart *m, struct look *look)
{
    size_t room = SL_MULTIPART_HEAD_BYTES_MAX - m->head_bytes;
    size_t end = look->len < room ? look->len : room;
    const char *newline = NULL;
    if (end > m->scanned)
        newline = memchr(look->window + m->scanned, '\n', end - m->scanned);
    if (newline == NULL) {
        m->scanned = end;
        return end == room ? SL_FORM_LIMIT : SL_OK;
    }
    size_t line_bytes = (size_t)(newline - look->window) + 1;
    if (line_bytes < 2 || newline[-1] != '\r')
        return SL_BAD_FORM;
    m->scanned = line_bytes;
    m->head_bytes += line_bytes;
    if (line_bytes == 2) {
        if (m->part.disposition.type.len == 0)
            return SL_BAD_FORM;
        m->parts++;
        m->state = IN_TEXT;
        say_framing(m, look, SL_MULTIPART_PART, line_bytes);
        return SL_OK;
    }
    if (++m->headers > SL_MULTIPART_HEADERS_MAX)
        return SL_FORM_LIMIT;
    sl_err err = take_header(m, (struct sl_bytes){look->window, line_bytes - 2});
    if (err == SL_OK)
        say_framing(m, look, SL_MULTIPART_SKIP, line_bytes);
    return err;
}
