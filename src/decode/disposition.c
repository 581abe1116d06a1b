/* Reads `type; name=value; name="value"`, the shape of Content-Disposition and Content-Type, and decodes the names in
 * it. Stands between the head of a part (or of a request) and whoever chooses a path. Pure, any thread. It does not
 * clean file names: what comes out is what the sender meant, path separators and all. */
#include "sluice/decode/disposition.h"

#include <assert.h>

#include "sluice/base/utf8.h"
#include "token.h"

/* Nobody sends more; it keeps the search for a parameter sent twice short. */
#define PARAMETERS_MAX 16

struct parameter {
    struct sl_bytes name;
    struct sl_bytes value; /* without its quotes, escapes still in it */
    bool quoted;
};

struct parameters {
    struct sl_bytes type;
    unsigned count;
    struct parameter list[PARAMETERS_MAX];
};

static sl_err read_parameters(struct sl_bytes value, struct parameters *parameters_out);
static const struct parameter *find(const struct parameters *parameters, const char *name);
static sl_err copy_unescaped(const struct parameter *parameter, bool percent, char *out, size_t max, size_t *len_out);
static sl_err decode_plain(const struct parameter *parameter, char *out, size_t max, size_t *len_out);
static sl_err decode_extended(const struct parameter *parameter, char *out, size_t max, size_t *len_out);

sl_err sl_disposition_parse(struct sl_bytes value, struct sl_disposition *disposition_out)
{
    struct sl_disposition *d = disposition_out;
    *d = (struct sl_disposition){0};
    struct parameters parameters;
    sl_err err = read_parameters(value, &parameters);
    if (err != SL_OK)
        return err;
    d->type = parameters.type;

    const struct parameter *name = find(&parameters, "name");
    const struct parameter *filename = find(&parameters, "filename");
    const struct parameter *extended = find(&parameters, "filename*");
    d->has_name = name != NULL;
    d->has_filename = filename != NULL || extended != NULL;
    if (name != NULL)
        err = decode_plain(name, d->name, SL_DISPOSITION_NAME_MAX, &d->name_len);
    if (err == SL_OK && filename != NULL)
        err = decode_plain(filename, d->filename, SL_DISPOSITION_FILENAME_MAX, &d->filename_len);
    if (err == SL_OK && extended != NULL)
        err = decode_extended(extended, d->filename, SL_DISPOSITION_FILENAME_MAX, &d->filename_len);
    return err;
}

sl_err sl_parameter_find(struct sl_bytes value, const char *name, char *out, size_t room, size_t *len_out)
{
    assert(room > 0);
    *len_out = 0;
    out[0] = '\0';
    struct parameters parameters;
    sl_err err = read_parameters(value, &parameters);
    if (err != SL_OK)
        return err;
    const struct parameter *parameter = find(&parameters, name);
    return parameter == NULL ? SL_OK : copy_unescaped(parameter, false, out, room - 1, len_out);
}

/* --- the grammar: type *( OWS ";" OWS [ name "=" ( token / quoted-string ) ] ), RFC 9110 section 5.6.6 --- */

/* Wider than a token: boundaries come with '=' and '/', file names in any alphabet. A comma would be two fields. */
static bool is_unquoted(unsigned char c)
{
    return c > ' ' && c != 0x7f && c != '"' && c != ',' && c != ';';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void drop(struct sl_bytes *s, size_t n)
{
    assert(n <= s->len);
    s->base += n;
    s->len -= n;
}

static struct sl_bytes take(struct sl_bytes *s, size_t n)
{
    struct sl_bytes taken = {s->base, n};
    drop(s, n);
    return taken;
}

static void drop_blanks(struct sl_bytes *s)
{
    while (s->len > 0 && is_blank(s->base[0]))
        drop(s, 1);
}

static size_t token_len(struct sl_bytes s)
{
    size_t n = 0;
    while (n < s.len && sl_is_token_byte((unsigned char)s.base[n]))
        n++;
    return n;
}

/* A backslash escapes only a quote and itself: old browsers put C:\dir\file into quotes as it is. */
static bool is_escape(struct sl_bytes s, size_t at)
{
    return s.base[at] == '\\' && at + 1 < s.len && (s.base[at + 1] == '"' || s.base[at + 1] == '\\');
}

/* `rest` begins behind the opening quote and is left behind the closing one. */
static sl_err read_quoted(struct sl_bytes *rest, struct sl_bytes *value_out)
{
    size_t n = 0;
    while (n < rest->len && rest->base[n] != '"') {
        char c = rest->base[n];
        if (c == '\0' || c == '\r' || c == '\n')
            return SL_BAD_TYPE;
        n += is_escape(*rest, n) ? 2 : 1;
    }
    if (n >= rest->len)
        return SL_BAD_TYPE;
    *value_out = take(rest, n);
    drop(rest, 1);
    return SL_OK;
}

static sl_err read_parameter(struct sl_bytes *rest, struct parameter *parameter_out)
{
    size_t n = token_len(*rest);
    if (n == 0 || n == rest->len || rest->base[n] != '=')
        return SL_BAD_TYPE;
    parameter_out->name = take(rest, n);
    drop(rest, 1);
    parameter_out->quoted = rest->len > 0 && rest->base[0] == '"';
    if (parameter_out->quoted) {
        drop(rest, 1);
        return read_quoted(rest, &parameter_out->value);
    }
    n = 0;
    while (n < rest->len && is_unquoted((unsigned char)rest->base[n]))
        n++;
    parameter_out->value = take(rest, n);
    return n > 0 ? SL_OK : SL_BAD_TYPE;
}

static bool is_seen(const struct parameters *parameters, struct sl_bytes name)
{
    for (unsigned i = 0; i < parameters->count; i++)
        if (sl_bytes_equal_nocase(parameters->list[i].name, name))
            return true;
    return false;
}

static sl_err read_parameters(struct sl_bytes value, struct parameters *parameters_out)
{
    struct parameters *p = parameters_out;
    struct sl_bytes rest = sl_bytes_trim(value);
    size_t n = token_len(rest);
    if (n > 0 && n < rest.len && rest.base[n] == '/')
        n += 1 + token_len((struct sl_bytes){rest.base + n + 1, rest.len - n - 1});
    p->type = take(&rest, n);
    p->count = 0;
    if (n == 0 || p->type.base[n - 1] == '/')
        return SL_BAD_TYPE;

    for (drop_blanks(&rest); rest.len > 0; drop_blanks(&rest)) {
        if (rest.base[0] != ';')
            return SL_BAD_TYPE;
        drop(&rest, 1);
        drop_blanks(&rest);
        if (rest.len == 0 || rest.base[0] == ';')
            continue;
        if (p->count == PARAMETERS_MAX)
            return SL_BAD_TYPE;
        struct parameter *parameter = &p->list[p->count];
        sl_err err = read_parameter(&rest, parameter);
        if (err != SL_OK)
            return err;
        if (is_seen(p, parameter->name))
            return SL_BAD_TYPE;
        p->count++;
    }
    return SL_OK;
}

static const struct parameter *find(const struct parameters *parameters, const char *name)
{
    for (unsigned i = 0; i < parameters->count; i++)
        if (sl_bytes_equal_nocase(parameters->list[i].name, sl_bytes_of(name)))
            return &parameters->list[i];
    return NULL;
}

/* --- the text of a value --- */

/* The byte that the percent sign at the start of s stands for, -1 if two hex digits do not follow. */
static int percent_byte(struct sl_bytes s)
{
    if (s.len < 3)
        return -1;
    int high = sl_hex_digit((unsigned char)s.base[1]);
    int low = sl_hex_digit((unsigned char)s.base[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* With `percent`, the three bytes that browsers write as %22 %0D %0A come back (HTML, "multipart/form-data encoding
 * algorithm"); they do not encode the percent sign, so every other percent is one. out: max + 1 bytes. */
static sl_err copy_unescaped(const struct parameter *parameter, bool percent, char *out, size_t max, size_t *len_out)
{
    struct sl_bytes rest = parameter->value;
    struct sl_text text;
    sl_text_init(&text, out, max + 1);
    while (rest.len > 0) {
        size_t used = 1;
        char c = rest.base[0];
        if (parameter->quoted && is_escape(rest, 0)) {
            c = rest.base[1];
            used = 2;
        } else if (parameter->quoted && percent && c == '%') {
            int byte = percent_byte(rest);
            if (byte == '"' || byte == '\r' || byte == '\n') {
                c = (char)byte;
                used = 3;
            }
        }
        sl_text_put(&text, (struct sl_bytes){&c, 1});
        drop(&rest, used);
    }
    *len_out = text.len;
    return text.full ? SL_BAD_TYPE : SL_OK;
}

static bool is_utf8(const char *text, size_t len)
{
    uint32_t rune;
    for (size_t at = 0, n; at < len; at += n) {
        n = sl_utf8_sequence((const unsigned char *)text + at, len - at, &rune);
        if (n == 0)
            return false;
    }
    return true;
}

/* Rewrites Latin-1 as UTF-8 where it stands, from the end: each byte from 0x80 on takes two. */
static sl_err latin1_to_utf8(char *text, size_t max, size_t *len)
{
    size_t high = 0;
    for (size_t i = 0; i < *len; i++)
        high += (unsigned char)text[i] >= 0x80;
    size_t to = *len + high;
    if (to > max)
        return SL_BAD_TYPE;
    text[to] = '\0';
    size_t from = *len;
    *len = to;
    while (from < to) {
        unsigned char c = (unsigned char)text[--from];
        if (c >= 0x80) {
            text[--to] = (char)(0x80 | (c & 0x3f));
            c = (unsigned char)(0xc0 | c >> 6);
        }
        text[--to] = (char)c;
    }
    return SL_OK;
}

static sl_err decode_plain(const struct parameter *parameter, char *out, size_t max, size_t *len_out)
{
    sl_err err = copy_unescaped(parameter, true, out, max, len_out);
    if (err != SL_OK || is_utf8(out, *len_out))
        return err;
    return latin1_to_utf8(out, max, len_out);
}

/* charset "'" [ language ] "'" text (RFC 8187 section 3.2). The text may hold more than its attr-char: browsers'
 * encodeURIComponent leaves parentheses, quotes and stars alone. */
static sl_err decode_extended(const struct parameter *parameter, char *out, size_t max, size_t *len_out)
{
    struct sl_bytes rest = parameter->value;
    const char *first = memchr(rest.base, '\'', rest.len);
    if (first == NULL)
        return SL_BAD_TYPE;
    struct sl_bytes charset = take(&rest, (size_t)(first - rest.base));
    drop(&rest, 1);
    const char *second = memchr(rest.base, '\'', rest.len);
    if (second == NULL)
        return SL_BAD_TYPE;
    drop(&rest, (size_t)(second - rest.base) + 1);

    struct sl_text text;
    sl_text_init(&text, out, max + 1);
    while (rest.len > 0) {
        bool encoded = rest.base[0] == '%';
        int byte = encoded ? percent_byte(rest) : (unsigned char)rest.base[0];
        if (byte <= 0) /* bad percent, or NUL */
            return SL_BAD_TYPE;
        char c = (char)byte;
        sl_text_put(&text, (struct sl_bytes){&c, 1});
        drop(&rest, encoded ? 3 : 1);
    }
    *len_out = text.len;
    if (text.full)
        return SL_BAD_TYPE;
    if (sl_bytes_equal_nocase(charset, SL_BYTES("UTF-8")))
        return is_utf8(out, text.len) ? SL_OK : SL_BAD_TYPE;
    if (sl_bytes_equal_nocase(charset, SL_BYTES("ISO-8859-1")))
        return latin1_to_utf8(out, max, len_out);
    return SL_BAD_TYPE;
}
