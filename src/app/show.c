#include "show.h"

#include "sluice/base/utf8.h"

#include <inttypes.h>

void sl_show_text(FILE *out, struct sl_bytes text, bool is_json)
{
    const unsigned char *at = (const unsigned char *)text.base, *end = at + text.len;
    while (at < end) {
        uint32_t rune = 0;
        size_t len = sl_utf8_sequence(at, (size_t)(end - at), &rune);
        bool is_shown = len > 0 && !sl_utf8_is_control(rune) && !sl_utf8_is_deceptive(rune);
        if (!is_shown && is_json && len > 0 && rune <= 0xffff)
            fprintf(out, "\\u%04" PRIx32, rune);
        else if (!is_shown)
            fputc('?', out);
        else if (is_json && (rune == '"' || rune == '\\'))
            fprintf(out, "\\%c", (char)rune);
        else
            fwrite(at, 1, len, out);
        at += len > 0 ? len : 1;
    }
}
