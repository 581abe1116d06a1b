#include "sluice/base/base64.h"

#include <assert.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t sl_base64_encode(char *out, const void *data, size_t len)
{
    const unsigned char *in = data;
    size_t n = 0;
    for (size_t at = 0; at < len; at += 3) {
        size_t left = len - at;
        uint32_t bits = (uint32_t)in[at] << 16;
        if (left > 1)
            bits |= (uint32_t)in[at + 1] << 8;
        if (left > 2)
            bits |= in[at + 2];
        out[n++] = alphabet[bits >> 18];
        out[n++] = alphabet[bits >> 12 & 63];
        out[n++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        out[n++] = left > 2 ? alphabet[bits & 63] : '=';
    }
    assert(n == SL_BASE64_LEN(len));
    return n;
}

/* 0 to 63, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool sl_base64_decode(struct sl_bytes text, void *out, size_t room, size_t *len_out)
{
    if (text.len % 4 != 0)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.base[text.len - 1 - padding] == '=')
        padding++;
    size_t len = text.len / 4 * 3 - padding;
    if (len > room)
        return false;

    unsigned char *bytes = out;
    uint32_t bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.len - padding; i++) {
        int value = value_of(text.base[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue; /* six bits are no byte yet */
        unsigned spare = 6 - 2 * (i % 4);
        bytes[n++] = (unsigned char)(bits >> spare);
        bits &= (1u << spare) - 1;
    }
    assert(n == len);
    *len_out = len;
    return bits == 0; /* two texts for the same bytes would be one too many */
}
