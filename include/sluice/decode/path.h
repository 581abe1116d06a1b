/* Paths and names from outside. Pure. */
#ifndef SLUICE_DECODE_PATH_H
#define SLUICE_DECODE_PATH_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

#define SL_PATH_BYTES_MAX    1024
#define SL_SEGMENT_BYTES_MAX 255

/* A decoded, safe, relative path: "a/b/c.txt". NUL-terminated. */
struct sl_path {
    size_t len;
    char text[SL_PATH_BYTES_MAX + 1];
};

/* Decodes `raw` (percent-encoded, no query, without the leading '/') into path_out. SL_BAD_PATH: bad percent, not
 * UTF-8, an empty, "." or ".." segment (also percent-encoded), a trailing '/', NUL, a control byte (C0, DEL, C1), a
 * backslash, "%2F" inside a segment, a segment above 255 or a path above 1024 bytes. An empty raw is SL_BAD_PATH
 * too. */
SL_MUST_CHECK sl_err sl_path_decode(struct sl_bytes raw, struct sl_path *path_out);

/* The same rules for a path that is not percent-encoded (a rendered name template). */
SL_MUST_CHECK sl_err sl_path_check(struct sl_bytes plain, struct sl_path *path_out);

/* Percent-encodes for a URL path: unreserved, sub-delims, ':' '@' and '/' stay (RFC 3986 section 3.3). */
void sl_path_encode(struct sl_text *text, struct sl_bytes path);

/* Makes one safe segment of a name somebody sent: the part behind the last '/' or '\\'; control, direction-changing,
 * zero-width and invalid bytes become '_'; spaces and dots at both ends go (a leading dot too: no hidden files); cut to
 * `max` bytes, 4 to 255, at a character, the extension kept if it is at most 32 bytes; nothing left, "file". Cannot
 * fail. out: max + 1 bytes. Returns the length. */
size_t sl_name_clean(struct sl_bytes name, char *out, size_t max);

/* The decoded value of `key` in a query string (no '?'); '+' is a space. *len_out 0 with SL_OK: not there or empty.
 * SL_BAD_PATH: bad percent, not UTF-8, NUL or control bytes, twice, or longer than the room (NUL included). */
SL_MUST_CHECK sl_err sl_query_find(struct sl_bytes query, const char *key, char *out, size_t room, size_t *len_out);

#endif
