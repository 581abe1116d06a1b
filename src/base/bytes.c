#include "sluice/base/bytes.h"
#include "sluice/base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool sl_bytes_equal_nocase(struct sl_bytes a, struct sl_bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.base[i]) != lower(b.base[i]))
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct sl_bytes sl_bytes_trim(struct sl_bytes s)
{
    while (s.len > 0 && is_blank(s.base[0]))
        s.base++, s.len--;
    while (s.len > 0 && is_blank(s.base[s.len - 1]))
        s.len--;
    return s;
}

bool sl_bytes_to_u64(struct sl_bytes s, uint64_t *value_out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.base[i] < '0' || s.base[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.base[i] - '0'), &value))
            return false;
    }
    *value_out = value;
    return true;
}

void sl_text_init(struct sl_text *text, char *base, size_t room)
{
    assert(room > 0);
    *text = (struct sl_text){.base = base, .room = room};
    base[0] = '\0';
}

void sl_text_put(struct sl_text *text, struct sl_bytes piece)
{
    size_t left = text->room - 1 - text->len;
    if (piece.len > left) {
        text->full = true;
        piece.len = left;
    }
    if (piece.len == 0)
        return;
    memcpy(text->base + text->len, piece.base, piece.len);
    text->len += piece.len;
    text->base[text->len] = '\0';
}

void sl_text_printf(struct sl_text *text, const char *format, ...)
{
    size_t left = text->room - text->len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->base + text->len, left, format, args);
    va_end(args);
    assert(n >= 0);
    text->full |= (size_t)n >= left;
    text->len += (size_t)n < left ? (size_t)n : left - 1;
}

static bool is_plain(uint32_t rune)
{
    return !sl_utf8_is_control(rune) && rune != '"' && rune != '\\' && !sl_utf8_is_deceptive(rune);
}

void sl_text_put_escaped(struct sl_text *text, struct sl_bytes piece)
{
    const unsigned char *s = (const unsigned char *)piece.base;
    for (size_t i = 0; i < piece.len;) {
        uint32_t rune;
        size_t n = sl_utf8_sequence(s + i, piece.len - i, &rune);
        if (n > 0 && is_plain(rune)) {
            sl_text_put(text, (struct sl_bytes){piece.base + i, n});
            i += n;
        } else {
            sl_text_printf(text, "\\x%02x", s[i]);
            i++;
        }
    }
}
