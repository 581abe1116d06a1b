/* Paths and names, between the request line or a form field and the store. Everything that a name could do to a file
 * system, a log or a page is refused (paths) or replaced (names) here. It does not touch the disk: symbolic links and
 * existing files are the store's business. */
#include "sluice/decode/path.h"

#include "sluice/base/utf8.h"
#include "token.h"

#include <assert.h>

#define EXTENSION_BYTES_MAX 32
#define CLEAN_BYTES_MIN     4 /* one character, or "file" */

/* The byte written as %XX at s[0..len), or -1. */
static int percent_byte(const char *s, size_t len)
{
    if (len < 3)
        return -1;
    int high = sl_hex_digit((unsigned char)s[1]), low = sl_hex_digit((unsigned char)s[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool is_segment(struct sl_bytes s)
{
    if (s.len == 0 || s.len > SL_SEGMENT_BYTES_MAX || memchr(s.base, '\\', s.len) != NULL)
        return false;
    return !sl_bytes_equal(s, SL_BYTES(".")) && !sl_bytes_equal(s, SL_BYTES(".."));
}

/* segment *( "/" segment ) */
static bool is_path(struct sl_bytes path)
{
    if (!sl_utf8_is_clean(path))
        return false;
    for (const char *slash; (slash = memchr(path.base, '/', path.len)) != NULL;) {
        struct sl_bytes segment = {path.base, (size_t)(slash - path.base)};
        if (!is_segment(segment))
            return false;
        path.base += segment.len + 1;
        path.len -= segment.len + 1;
    }
    return is_segment(path);
}

/* Ends what was written into `path`, or empties it. */
static sl_err finish(struct sl_path *path, size_t len)
{
    bool is_good = len > 0 && is_path((struct sl_bytes){path->text, len});
    path->len = is_good ? len : 0;
    path->text[path->len] = '\0';
    return is_good ? SL_OK : SL_BAD_PATH;
}

sl_err sl_path_decode(struct sl_bytes raw, struct sl_path *path_out)
{
    size_t len = 0;
    for (size_t i = 0; i < raw.len; len++) {
        int c = (unsigned char)raw.base[i];
        size_t n = 1;
        if (c == '%') {
            c = percent_byte(raw.base + i, raw.len - i);
            n = 3;
            if (c < 0 || c == '/') /* a decoded slash would be a segment to us and none to whoever sent it */
                return finish(path_out, 0);
        }
        if (len == SL_PATH_BYTES_MAX)
            return finish(path_out, 0);
        path_out->text[len] = (char)c;
        i += n;
    }
    return finish(path_out, len);
}

sl_err sl_path_check(struct sl_bytes plain, struct sl_path *path_out)
{
    if (plain.len == 0 || plain.len > SL_PATH_BYTES_MAX)
        return finish(path_out, 0);
    memcpy(path_out->text, plain.base, plain.len);
    return finish(path_out, plain.len);
}

/* pchar without pct-encoded (RFC 3986 section 3.3), and '/'. */
static bool is_path_byte(unsigned char c)
{
    return sl_is_unreserved_byte(c) || (c != '\0' && strchr("!$&'()*+,;=:@/", c) != NULL);
}

void sl_path_encode(struct sl_text *text, struct sl_bytes path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.base[i];
        if (is_path_byte(c))
            sl_text_put(text, (struct sl_bytes){path.base + i, 1});
        else
            sl_text_printf(text, "%%%02X", c);
    }
}

static bool is_edge(char c)
{
    return c == ' ' || c == '.';
}

static size_t without_edge(const char *text, size_t len)
{
    while (len > 0 && is_edge(text[len - 1]))
        len--;
    return len;
}

/* Copies characters of `raw` as long as they fit, the unwanted as '_'. A result is never longer than its source. */
static size_t clean_into(char *out, size_t room, struct sl_bytes raw)
{
    size_t len = 0;
    for (size_t i = 0; i < raw.len;) {
        uint32_t rune;
        size_t n = sl_utf8_sequence((const unsigned char *)raw.base + i, raw.len - i, &rune);
        bool is_good = n > 0 && !sl_utf8_is_control(rune) && !sl_utf8_is_deceptive(rune);
        size_t put = is_good ? n : 1;
        if (put > room - len)
            break;
        if (is_good)
            memcpy(out + len, raw.base + i, n);
        else
            out[len] = '_';
        len += put;
        i += n > 0 ? n : 1;
    }
    return len;
}

/* The part behind the last separator, without spaces and dots at its ends. */
static struct sl_bytes last_segment(struct sl_bytes name)
{
    for (size_t i = name.len; i > 0; i--) {
        if (name.base[i - 1] != '/' && name.base[i - 1] != '\\')
            continue;
        name = (struct sl_bytes){name.base + i, name.len - i};
        break;
    }
    while (name.len > 0 && is_edge(name.base[0]))
        name.base++, name.len--;
    name.len = without_edge(name.base, name.len);
    return name;
}

/* From the last dot on; empty if there is none or it is too long to be meant as one. */
static struct sl_bytes extension_of(struct sl_bytes segment)
{
    const char *dot = segment.len > 0 ? memrchr(segment.base, '.', segment.len) : NULL;
    size_t len = dot != NULL ? segment.len - (size_t)(dot - segment.base) : 0;
    if (len > EXTENSION_BYTES_MAX)
        len = 0;
    return (struct sl_bytes){segment.base + segment.len - len, len};
}

/* Cuts a segment that does not fit, in its stem if that leaves any. */
static size_t clean_cut(char *out, size_t max, struct sl_bytes segment)
{
    char extension[EXTENSION_BYTES_MAX];
    struct sl_bytes raw_extension = extension_of(segment);
    size_t extension_len = clean_into(extension, sizeof extension, raw_extension);
    struct sl_bytes stem = {segment.base, segment.len - raw_extension.len};
    size_t len = extension_len < max ? clean_into(out, max - extension_len, stem) : 0;
    len = without_edge(out, len);
    if (len > 0) {
        memcpy(out + len, extension, extension_len);
        return len + extension_len;
    }
    return without_edge(out, clean_into(out, max, segment));
}

size_t sl_name_clean(struct sl_bytes name, char *out, size_t max)
{
    assert(max >= CLEAN_BYTES_MIN && max <= SL_SEGMENT_BYTES_MAX);
    struct sl_bytes segment = last_segment(name);
    if (segment.len == 0)
        segment = SL_BYTES("file");
    size_t len = segment.len <= max ? clean_into(out, max, segment) : clean_cut(out, max, segment);
    assert(len > 0 && len <= max);
    out[len] = '\0';
    return len;
}

/* Decodes one key or value of a query. false: bad percent, or longer than `room`. */
static bool query_decode(struct sl_bytes raw, char *out, size_t room, size_t *len_out)
{
    size_t len = 0;
    for (size_t i = 0; i < raw.len; len++) {
        int c = raw.base[i] == '+' ? ' ' : (unsigned char)raw.base[i];
        size_t n = 1;
        if (c == '%') {
            c = percent_byte(raw.base + i, raw.len - i);
            n = 3;
        }
        if (c < 0 || len == room)
            return false;
        out[len] = (char)c;
        i += n;
    }
    *len_out = len;
    return true;
}

/* Takes the text up to `separator`, which goes too, off the front of `rest`. */
static struct sl_bytes shift(struct sl_bytes *rest, char separator)
{
    const char *end = rest->len > 0 ? memchr(rest->base, separator, rest->len) : NULL;
    struct sl_bytes piece = {rest->base, end != NULL ? (size_t)(end - rest->base) : rest->len};
    size_t gone = end != NULL ? piece.len + 1 : piece.len;
    *rest = (struct sl_bytes){gone > 0 ? rest->base + gone : rest->base, rest->len - gone};
    return piece;
}

static bool is_key(struct sl_bytes raw, const char *key)
{
    char decoded[64];
    size_t len;
    return query_decode(raw, decoded, sizeof decoded, &len) &&
           sl_bytes_equal((struct sl_bytes){decoded, len}, sl_bytes_of(key));
}

sl_err sl_query_find(struct sl_bytes query, const char *key, char *out, size_t room, size_t *len_out)
{
    assert(room > 0 && strlen(key) <= 64);
    bool is_found = false;
    size_t len = 0;
    *len_out = 0;
    out[0] = '\0';
    while (query.len > 0) {
        struct sl_bytes value = shift(&query, '&');
        struct sl_bytes name = shift(&value, '=');
        if (!is_key(name, key))
            continue;
        if (is_found || !query_decode(value, out, room - 1, &len) || !sl_utf8_is_clean((struct sl_bytes){out, len})) {
            out[0] = '\0';
            return SL_BAD_PATH;
        }
        is_found = true;
    }
    out[len] = '\0';
    *len_out = len;
    return SL_OK;
}
