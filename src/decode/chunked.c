/* The chunked coding, between the socket and the sink: data is moved forward over the framing, in the slab it came in.
 * Reads byte by byte outside of data, so any cut of the input gives the same result. The grammar is that of RFC 9112
 * section 7.1 without its "bad white space". It does not limit the size of the body. */
#include "sluice/decode/chunked.h"

#include "token.h"

#include <assert.h>
#include <string.h>

enum state {
    SIZE_START, /* zero: the state of a new decoder */
    SIZE,
    EXT_NAME_START,
    EXT_NAME,
    EXT_VALUE_START,
    EXT_TOKEN,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
    BAD
};

static enum state step(struct sl_chunked *chunked, unsigned char c);

sl_err sl_chunked_decode(struct sl_chunked *chunked, char *buf, size_t len, size_t *data_out, size_t *used_out,
                         bool *done_out)
{
    assert(chunked->state != DONE);
    size_t at = 0, data = 0;
    while (at < len && chunked->state != DONE && chunked->state != BAD) {
        if (chunked->state == DATA) {
            size_t run = len - at < chunked->left ? len - at : (size_t)chunked->left;
            if (data != at)
                memmove(buf + data, buf + at, run);
            data += run;
            at += run;
            chunked->left -= run;
            if (chunked->left == 0)
                chunked->state = DATA_CR;
        } else {
            chunked->state = step(chunked, (unsigned char)buf[at]);
            chunked->framing_bytes++;
            at++;
        }
    }
    assert(data <= at && at <= len);
    *data_out = data;
    *used_out = at;
    *done_out = chunked->state == DONE;
    return chunked->state == BAD ? SL_BAD_CHUNK : SL_OK;
}

static enum state expect(unsigned char c, unsigned char wanted, enum state next)
{
    return c == wanted ? next : BAD;
}

static enum state add_size_digit(struct sl_chunked *chunked, int digit)
{
    if (chunked->left >> 59 != 0) /* one more digit would reach 2^63 */
        return BAD;
    chunked->left = chunked->left << 4 | (unsigned)digit;
    return SIZE;
}

/* What may follow a complete size, extension name or extension value. */
static enum state after_size_piece(unsigned char c)
{
    return c == ';' ? EXT_NAME_START : expect(c, '\r', SIZE_LF);
}

/* Not of the empty line that ends them. */
static bool is_in_trailers(const struct sl_chunked *chunked, unsigned char c)
{
    return chunked->state >= TRAILER_START && chunked->state <= TRAILER_LF &&
           !(chunked->state == TRAILER_START && c == '\r');
}

/* Counts a byte of a line that its sender could make as long as he likes. */
static bool is_over_limit(struct sl_chunked *chunked, unsigned char c)
{
    if (chunked->state <= EXT_QUOTED_END && c != '\r')
        return ++chunked->line_bytes > SL_CHUNKED_EXTENSION_BYTES_MAX;
    if (is_in_trailers(chunked, c))
        return ++chunked->trailer_bytes > SL_CHUNKED_TRAILER_BYTES_MAX;
    return false;
}

/* *( size *( ";" token [ "=" ( token / quoted-string ) ] ) CRLF data CRLF ) *( field-line CRLF ) CRLF */
static enum state step(struct sl_chunked *chunked, unsigned char c)
{
    int digit = sl_hex_digit(c);
    bool is_token = sl_is_token_byte(c);
    if (is_over_limit(chunked, c))
        return BAD;
    if (chunked->trailers != NULL && is_in_trailers(chunked, c))
        sl_text_put(chunked->trailers, (struct sl_bytes){(const char *)&c, 1});
    switch ((enum state)chunked->state) {
    case SIZE_START: return digit >= 0 ? add_size_digit(chunked, digit) : BAD;
    case SIZE: return digit >= 0 ? add_size_digit(chunked, digit) : after_size_piece(c);
    case EXT_NAME_START: return is_token ? EXT_NAME : BAD;
    case EXT_NAME:
        if (is_token)
            return EXT_NAME;
        return c == '=' ? EXT_VALUE_START : after_size_piece(c);
    case EXT_VALUE_START:
        if (c == '"')
            return EXT_QUOTED;
        return is_token ? EXT_TOKEN : BAD;
    case EXT_TOKEN: return is_token ? EXT_TOKEN : after_size_piece(c);
    case EXT_QUOTED:
        if (c == '"')
            return EXT_QUOTED_END;
        if (c == '\\')
            return EXT_ESCAPED;
        return sl_is_field_byte(c) ? EXT_QUOTED : BAD;
    case EXT_ESCAPED: return sl_is_field_byte(c) ? EXT_QUOTED : BAD;
    case EXT_QUOTED_END: return after_size_piece(c);
    case SIZE_LF: chunked->line_bytes = 0; return expect(c, '\n', chunked->left > 0 ? DATA : TRAILER_START);
    case DATA_CR: return expect(c, '\r', DATA_LF);
    case DATA_LF: return expect(c, '\n', SIZE_START);
    case TRAILER_START:
        if (c == '\r')
            return END_LF;
        return is_token ? TRAILER_NAME : BAD;
    case TRAILER_NAME: return is_token ? TRAILER_NAME : expect(c, ':', TRAILER_VALUE);
    case TRAILER_VALUE: return sl_is_field_byte(c) ? TRAILER_VALUE : expect(c, '\r', TRAILER_LF);
    case TRAILER_LF: return expect(c, '\n', TRAILER_START);
    case END_LF: return expect(c, '\n', DONE);
    case DATA:
    case DONE:
    case BAD: break;
    }
    assert(!"no byte is stepped over in these");
    return BAD;
}
