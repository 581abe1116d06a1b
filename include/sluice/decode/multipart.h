/* multipart/form-data (RFC 7578, RFC 2046 section 5.1), incremental and in place: it looks at a window of bytes the
 * caller holds and says what they are; it copies nothing but the decoded names of a part. Pure; linear in the input
 * whatever is sent; any cut of the input gives the same events. */
#ifndef SLUICE_DECODE_MULTIPART_H
#define SLUICE_DECODE_MULTIPART_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/decode/disposition.h"

#define SL_MULTIPART_BOUNDARY_MAX      70   /* RFC 2046 section 5.1.1 */
#define SL_MULTIPART_HEAD_BYTES_MAX    8192 /* all headers of one part; a window of this size always suffices */
#define SL_MULTIPART_HEADERS_MAX       32
#define SL_MULTIPART_PREAMBLE_MAX      8192
#define SL_MULTIPART_TYPE_MAX          255
#define SL_MULTIPART_PARTS_MAX_DEFAULT 1000

#define SL_MULTIPART_KEPT_MAX   8 /* headers of a part kept for the caller, and their bytes together */
#define SL_MULTIPART_KEPT_BYTES 768

/* A header of a part that the caller asked to keep. */
struct sl_part_header {
    uint16_t name; /* its place in the list of names */
    uint16_t at, len;
};

struct sl_part {
    struct sl_disposition disposition; /* has_filename: this part is a file */
    size_t type_len;
    char type[SL_MULTIPART_TYPE_MAX + 1]; /* Content-Type as sent, "" if none */
    size_t kept_count, kept_bytes;
    struct sl_part_header kept[SL_MULTIPART_KEPT_MAX]; /* in the order sent */
    char kept_text[SL_MULTIPART_KEPT_BYTES];
};

enum sl_multipart_event {
    SL_MULTIPART_MORE,     /* nothing to say yet: give a longer window (bytes is 0) */
    SL_MULTIPART_SKIP,     /* the first `bytes` of the window are framing */
    SL_MULTIPART_PART,     /* so are these, and a part begins: multipart->part */
    SL_MULTIPART_DATA,     /* the first `bytes` of the window are data of the part */
    SL_MULTIPART_PART_END, /* the part is over; bytes is 0: the delimiter comes as SKIP */
    SL_MULTIPART_END /* the closing delimiter was seen, `bytes` of framing; what follows is epilogue: ignore it */
};

struct sl_multipart {
    char delimiter[SL_MULTIPART_BOUNDARY_MAX + 5]; /* CRLF "--" boundary */
    size_t delimiter_len;
    unsigned state;
    size_t scanned; /* bytes of the window that need not be looked at again */
    size_t matched; /* bytes of the delimiter at the front of the window, while its line end is looked for */
    size_t preamble_bytes;
    size_t head_bytes; /* of the part being read, and its header lines */
    unsigned headers;
    unsigned parts, parts_max;
    uint64_t framing_bytes;        /* bytes of SKIP, PART and END so far; data is the rest */
    const char *const *kept_names; /* lower case, NULL at the end; or NULL */
    struct sl_part part;
};

/* content_type: the value of the field, lent for the call.
 * SL_BAD_TYPE: not multipart/form-data, or no, two, empty or too long boundaries. */
SL_MUST_CHECK sl_err sl_multipart_init(struct sl_multipart *multipart, struct sl_bytes content_type,
                                       unsigned parts_max);

/* From now on, headers of parts that have one of these names are kept in part.kept. names: lower case, NULL at the end;
 * lent for the parser's life. More of them in one part than there is room for is SL_FORM_LIMIT. */
void sl_multipart_keep(struct sl_multipart *multipart, const char *const *names);

/* Says what the start of the window is. The caller drops `*bytes_out` bytes from its front and calls again, until
 * MORE; it then appends what comes and calls again with the same start. Never needs more than
 * SL_MULTIPART_HEAD_BYTES_MAX undecided bytes in the window; of data, never more than delimiter_len + 128 stay
 * undecided (and while a delimiter candidate is complete but its line end is not).
 * SL_BAD_FORM: malformed, no delimiter within SL_MULTIPART_PREAMBLE_MAX bytes, no Content-Disposition: form-data with a
 * name. Nested multipart/mixed is taken as plain data.
 * SL_FORM_LIMIT: parts, headers, or header bytes over the limit.
 * After END: only call with nothing. */
SL_MUST_CHECK sl_err sl_multipart_next(struct sl_multipart *multipart, const char *window, size_t len,
                                       enum sl_multipart_event *event_out, size_t *bytes_out);

/* The body is over: SL_OK only after END, else SL_BAD_FORM. */
SL_MUST_CHECK sl_err sl_multipart_finish(const struct sl_multipart *multipart);

#endif
