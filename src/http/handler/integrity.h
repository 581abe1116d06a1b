/* Private to http/handler: the digests a sender tells of what it sends, by any of the headers in use. */
#ifndef SLUICE_HTTP_HANDLER_INTEGRITY_H
#define SLUICE_HTTP_HANDLER_INTEGRITY_H

#include "sluice/decode/multipart.h"
#include "sluice/hash/hash.h"
#include "sluice/http/request.h"

/* Content-Digest, Repr-Digest (RFC 9530), Content-MD5, X-File-Hash with X-File-Hash-Function, x-amz-checksum-*. Several
 * may come; each is to be right. promised_out->set 0: none was told.
 * SL_BAD_DIGEST: malformed, of the wrong length, or two that contradict each other. SL_DIGEST_UNSUPPORTED: a header
 * tells only algorithms that are unknown here. */
SL_MUST_CHECK sl_err sl_integrity_of_request(struct sl_request *request, struct sl_digests *promised_out);

/* The same of a body that is a piece of what is to be stored: Repr-Digest, X-File-Hash and Digest are of the whole
 * (draft-ietf-httpbis-resumable-upload, "Representation Digests"), all else is of the piece. */
SL_MUST_CHECK sl_err sl_integrity_of_piece(struct sl_request *request, struct sl_digests *whole_out,
                                           struct sl_digests *piece_out);

/* Does the request tell any digest, well or badly? A form may not: what it would be of is no file. */
bool sl_integrity_is_told(const struct sl_request *request);

/* The same of a part of a form, whose parser was told to keep sl_integrity_headers. */
SL_MUST_CHECK sl_err sl_integrity_of_part(const struct sl_part *part, struct sl_digests *promised_out);
extern const char *const sl_integrity_headers[];

/* What both do. Pure. lines: header lines of any names, in lower case; those of no concern here are passed over. */
struct sl_header_line {
    struct sl_bytes name, value;
};
SL_MUST_CHECK sl_err sl_integrity_parse(const struct sl_header_line *lines, size_t count,
                                        struct sl_digests *promised_out);

#endif
