/* The one UTF-8 decoder. It does not normalise and knows no scripts. */
#include "sluice/base/utf8.h"

#include <assert.h>

size_t sl_utf8_sequence(const unsigned char *s, size_t len, uint32_t *rune_out)
{
    assert(len > 0);
    if (s[0] < 0x80) {
        *rune_out = s[0];
        return 1;
    }
    size_t need = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || need > len)
        return 0;
    uint32_t rune = s[0] & (0xffu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        rune = rune << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (rune < least[need] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return 0;
    *rune_out = rune;
    return need;
}

bool sl_utf8_is_control(uint32_t rune)
{
    return rune < 0x20 || (rune >= 0x7f && rune < 0xa0);
}

bool sl_utf8_is_clean(struct sl_bytes text)
{
    uint32_t rune;
    for (size_t at = 0, n; at < text.len; at += n) {
        n = sl_utf8_sequence((const unsigned char *)text.base + at, text.len - at, &rune);
        if (n == 0 || sl_utf8_is_control(rune))
            return false;
    }
    return true;
}

bool sl_utf8_is_deceptive(uint32_t rune)
{
    return rune == 0x00ad || rune == 0x061c || rune == 0x180e || (rune >= 0x200b && rune <= 0x200f) ||
           (rune >= 0x2028 && rune <= 0x202e) || (rune >= 0x2060 && rune <= 0x206f) || rune == 0xfeff ||
           (rune >= 0xfff9 && rune <= 0xfffb) || (rune >= 0xe0000 && rune <= 0xe007f);
}
