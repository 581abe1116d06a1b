/* What a byte may be in HTTP: shared by the decoders, seen by nobody else. */
#ifndef SLUICE_DECODE_TOKEN_H
#define SLUICE_DECODE_TOKEN_H

#include <stdbool.h>

/* tchar (RFC 9110 section 5.6.2), by byte value. */
extern const bool sl_token_bytes[256];

static inline bool sl_is_token_byte(unsigned char c)
{
    return sl_token_bytes[c];
}

/* May stand in a field value (RFC 9110 section 5.5): tab, visible, space, obs-text. */
static inline bool sl_is_field_byte(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* unreserved (RFC 3986 section 2.3). */
static inline bool sl_is_unreserved_byte(unsigned char c)
{
    unsigned char letter = c | 0x20;
    return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* 0 to 15, or -1. */
static inline int sl_hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char letter = c | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

#endif
