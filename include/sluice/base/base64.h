/* Base64 (RFC 4648 section 4), strictly: padded, no space, unused bits zero. Pure. Any thread. */
#ifndef SLUICE_BASE_BASE64_H
#define SLUICE_BASE_BASE64_H

#include "sluice/base/bytes.h"

/* How many characters `bytes` bytes become. */
#define SL_BASE64_LEN(bytes) (((bytes) + 2) / 3 * 4)

/* Writes SL_BASE64_LEN(len) characters to `out`, no NUL; returns their number. data, out: lent for the call. */
size_t sl_base64_encode(char *out, const void *data, size_t len);

/* false: not base64, or more than `room` bytes; *len_out and out are then undefined. */
bool sl_base64_decode(struct sl_bytes text, void *out, size_t room, size_t *len_out);

#endif
