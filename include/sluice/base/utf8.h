/* Well-formed UTF-8 (RFC 3629): one answer for logs, paths, names and form fields. Pure. Any thread. */
#ifndef SLUICE_BASE_UTF8_H
#define SLUICE_BASE_UTF8_H

#include "sluice/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence at s[0..len), len > 0, and the character it stands for; 0 if there is none
 * (overlong, surrogate, above U+10FFFF, cut off), *rune_out is then untouched. s: lent for the call. */
size_t sl_utf8_sequence(const unsigned char *s, size_t len, uint32_t *rune_out);

/* C0, DEL and C1. */
bool sl_utf8_is_control(uint32_t rune);

/* Is all of it well-formed, without control characters? */
bool sl_utf8_is_clean(struct sl_bytes text);

/* Characters that show as nothing or turn the text around them: zero width, line separators, bidi controls, BOM. */
bool sl_utf8_is_deceptive(uint32_t rune);

#endif
