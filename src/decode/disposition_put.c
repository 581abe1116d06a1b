/* Writes Content-Disposition: between the name of a stored file, which may be anything, and a header line, which may
 * not. Pure, any thread. It does not clean names: where filename* is understood, the name comes out as it was kept. */
#include "sluice/base/utf8.h"
#include "sluice/decode/disposition.h"
#include "token.h"

/* The character at the front of `name`, *used_out bytes of it. Control characters, NUL too, and each byte that is no
 * UTF-8 are '_' in both forms of the name. */
static uint32_t front_rune(struct sl_bytes name, size_t *used_out)
{
    uint32_t rune;
    size_t n = sl_utf8_sequence((const unsigned char *)name.base, name.len, &rune);
    *used_out = n > 0 ? n : 1;
    bool is_control = n > 0 && sl_utf8_is_control(rune);
    return n == 0 || is_control ? '_' : rune;
}

/* Old clients undo percents in a quoted string, and disagree on backslashes (RFC 6266 appendix D). */
static bool is_plain(uint32_t rune)
{
    return rune < 0x7f && rune != '"' && rune != '\\' && rune != '%';
}

/* attr-char (RFC 8187 section 3.2.1). */
static bool is_attr_byte(unsigned char c)
{
    return c != '*' && c != '\'' && c != '%' && sl_is_token_byte(c);
}

/* Returns whether that lost something. */
static bool put_plain(struct sl_text *text, struct sl_bytes name)
{
    bool is_lossy = false;
    for (size_t used; name.len > 0; name.base += used, name.len -= used) {
        uint32_t rune = front_rune(name, &used);
        char c = is_plain(rune) ? (char)rune : '_';
        is_lossy |= !is_plain(rune);
        sl_text_put(text, (struct sl_bytes){&c, 1});
    }
    return is_lossy;
}

static void put_extended(struct sl_text *text, struct sl_bytes name)
{
    for (size_t used; name.len > 0; name.base += used, name.len -= used) {
        struct sl_bytes piece = front_rune(name, &used) == '_' ? SL_BYTES("_") : (struct sl_bytes){name.base, used};
        for (size_t i = 0; i < piece.len; i++) {
            unsigned char c = (unsigned char)piece.base[i];
            if (is_attr_byte(c))
                sl_text_put(text, (struct sl_bytes){piece.base + i, 1});
            else
                sl_text_printf(text, "%%%02X", c);
        }
    }
}

void sl_disposition_put(struct sl_text *text, bool is_attachment, struct sl_bytes filename)
{
    sl_text_put(text, is_attachment ? SL_BYTES("attachment") : SL_BYTES("inline"));
    if (filename.len == 0)
        return;
    sl_text_put(text, SL_BYTES("; filename=\""));
    bool is_lossy = put_plain(text, filename);
    sl_text_put(text, SL_BYTES("\""));
    if (!is_lossy)
        return;
    sl_text_put(text, SL_BYTES("; filename*=UTF-8''"));
    put_extended(text, filename);
}
