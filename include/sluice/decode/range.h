/* Range (RFC 9110 section 14.2), bounded. Pure. */
#ifndef SLUICE_DECODE_RANGE_H
#define SLUICE_DECODE_RANGE_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

#define SL_RANGES_MAX 16 /* of one request, as sent */

struct sl_range {
    uint64_t first, len; /* len > 0; inside the representation */
};

/* Which bytes of a representation of `size` bytes a Range field asks for. Overlapping and adjoining ranges become one,
 * at the place of the first of them; otherwise they stay in the order asked. Those that begin behind the end are left
 * out.
 * SL_OK with *count_out 0: the field is malformed or of another unit, and to be ignored, or the end of an empty
 * representation is wanted, which is all of it: send the whole.
 * SL_RANGE: none of them can be satisfied. SL_RANGE_LIMIT: more than SL_RANGES_MAX, or more than two that overlap:
 * nobody honest asks so (section 14.2). */
SL_MUST_CHECK sl_err sl_ranges_parse(struct sl_bytes value, uint64_t size, struct sl_range ranges_out[SL_RANGES_MAX],
                                     size_t *count_out);

#endif
