/* The chunked transfer coding (RFC 9112 section 7.1), decoded in place, strictly: CRLF only, no sign, no space, sizes
 * below 2^63, bounded extensions and trailers (both validated; extensions are dropped, and trailers that nobody wants).
 * Pure; the state starts as zeros. */
#ifndef SLUICE_DECODE_CHUNKED_H
#define SLUICE_DECODE_CHUNKED_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

#define SL_CHUNKED_EXTENSION_BYTES_MAX 256  /* each chunk-size line, the size included */
#define SL_CHUNKED_TRAILER_BYTES_MAX   8192 /* all trailers */

struct sl_chunked {
    unsigned state;
    unsigned line_bytes; /* of the line being read */
    unsigned trailer_bytes;
    uint64_t left;            /* data bytes of the current chunk still to come */
    uint64_t framing_bytes;   /* everything that was not data, so far */
    struct sl_text *trailers; /* where the trailer lines are put, each with its CRLF; lent. NULL: they are dropped */
};

/* Decodes buf[0..len): data is moved to the start of buf, *data_out bytes of it; *used_out tells how much of len was
 * looked at: len, unless the body ended before (*done_out), when the rest belongs to the next request and still lies at
 * buf + *used_out, untouched. After done it is not called again.
 * SL_BAD_CHUNK ends it: every later call says so again; the data before the fault is told and good. */
SL_MUST_CHECK sl_err sl_chunked_decode(struct sl_chunked *chunked, char *buf, size_t len, size_t *data_out,
                                       size_t *used_out, bool *done_out);

#endif
