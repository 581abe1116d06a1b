/* The head of an HTTP/1 request (RFC 9112 sections 2 to 6), strictly: CRLF only, no obs-fold, no space before the
 * colon, no control bytes, one Host, and a framing that can be read in one way only. Pure: bytes in, spans out. */
#ifndef SLUICE_DECODE_H1_HEAD_H
#define SLUICE_DECODE_H1_HEAD_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/decode/target.h"

#define SL_H1_HEADERS_MAX    100
#define SL_H1_HEAD_BYTES_MAX 16384

struct sl_h1_header {
    struct sl_bytes name;  /* as sent */
    struct sl_bytes value; /* without OWS at both ends */
};

struct sl_h1_head {
    struct sl_bytes method;
    struct sl_bytes target; /* origin-form, or "*" of an OPTIONS; of an absolute-form only what follows the host */
    unsigned minor_version; /* 0 or 1 */
    struct sl_bytes host;   /* of an absolute-form target, else of Host; empty if HTTP/1.0 sent none */
    struct sl_h1_header headers[SL_H1_HEADERS_MAX];
    size_t header_count;
    size_t bytes; /* of the head, the empty line included */
    /* how the body is framed: RFC 9112 section 6.3 */
    bool has_length, is_chunked;
    uint64_t content_length; /* 0 unless has_length */
    bool is_persistent;
    bool expects_continue;
};

/* Where the search for the end stands, so that dripped bytes are looked at once. Zero at the start of each head. */
struct sl_h1_scan {
    size_t scanned;
    size_t line_start; /* of the line being scanned */
    size_t lines;      /* complete ones */
};

/* Looks at `buf`, which holds all bytes of the head received so far, from its first byte; between calls it may move.
 * All spans point into buf, lent as long as it stays; a target that an absolute-form leaves out ("/" or "*") is static.
 * An empty line before the request line is the caller's to drop (sl_h1_head_skip_blank, once a head, before the first
 * call; a lone CR is SL_AGAIN and leaves the scan zero, so that it can be asked again).
 * SL_AGAIN: it does not end here yet; give more. SL_OK: head_out->bytes were used.
 * SL_BAD_HEAD, SL_BAD_FRAMING, SL_BAD_HOST, SL_HEAD_TOO_LARGE, SL_URI_TOO_LONG, SL_BAD_VERSION, SL_BAD_CODING,
 * SL_BAD_EXPECT: answer and close, for nobody knows where the next request begins. A bad byte is told as soon as its
 * line is complete, not at the end of the head. */
SL_MUST_CHECK sl_err sl_h1_head_parse(struct sl_h1_head *head_out, struct sl_h1_scan *scan, const char *buf,
                                      size_t len);

/* How many bytes of CRLF at the start may be ignored before a request line (RFC 9112 section 2.2), at most two
 * (one empty line). */
size_t sl_h1_head_skip_blank(const char *buf, size_t len);

#endif
