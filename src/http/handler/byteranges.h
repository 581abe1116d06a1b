/* Private to http/handler: the text around the parts of a multipart/byteranges answer (RFC 9110 section 14.6). Pure:
 * what is announced as its length is counted from the very text that is sent. */
#ifndef SLUICE_HTTP_HANDLER_BYTERANGES_H
#define SLUICE_HTTP_HANDLER_BYTERANGES_H

#include "sluice/decode/media_type.h"
#include "sluice/decode/range.h"

#define SL_BYTERANGES_BOUNDARY_BYTES 27 /* with NUL */
/* Of one text, NUL included: boundary, type, three numbers, and the words between. */
#define SL_BYTERANGES_TEXT_BYTES (SL_BYTERANGES_BOUNDARY_BYTES + SL_MEDIA_TYPE_BYTES_MAX + 3 * 20 + 80)

struct sl_byteranges {
    const struct sl_range *ranges; /* lent */
    size_t count;
    uint64_t size;        /* of the whole representation */
    struct sl_bytes type; /* of it, lent; at most SL_MEDIA_TYPE_BYTES_MAX */
    const char *boundary; /* lent; in no part of the file, which only chance can promise */
};

/* Puts what comes before the bytes of part `index`; with index == count what ends it all. text: room for
 * SL_BYTERANGES_TEXT_BYTES. */
void sl_byteranges_put(const struct sl_byteranges *parts, size_t index, struct sl_text *text);

/* How long all of it is, parts and text. */
uint64_t sl_byteranges_length(const struct sl_byteranges *parts);

/* Puts "bytes FIRST-LAST/SIZE". */
void sl_content_range_put(struct sl_text *text, const struct sl_range *range, uint64_t size);

#endif
