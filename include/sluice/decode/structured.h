/* Structured fields (RFC 9651, once 8941): dictionaries and items, as digests and resumable uploads use them. Pure:
 * spans point into the input. A field is well-formed as a whole or it is nothing (section 4.2). */
#ifndef SLUICE_DECODE_STRUCTURED_H
#define SLUICE_DECODE_STRUCTURED_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

enum sl_sf_kind {
    SL_SF_INTEGER,
    SL_SF_DECIMAL,
    SL_SF_STRING,
    SL_SF_TOKEN,
    SL_SF_BYTES,
    SL_SF_BOOLEAN,
    SL_SF_DATE,
    SL_SF_DISPLAY_STRING,
    SL_SF_INNER_LIST
};

/* Parameters are checked and left out. */
struct sl_sf_item {
    enum sl_sf_kind kind;
    int64_t integer;      /* INTEGER, DATE; a DECIMAL in thousandths; a BOOLEAN as 0 or 1 */
    struct sl_bytes text; /* STRING: between its quotes, escapes as sent. TOKEN. BYTES: the base64 between the colons,
                             not checked further than its alphabet. Else the item as sent */
};

/* Parses a field that is one item. SL_BAD_FIELD: it is not. */
SL_MUST_CHECK sl_err sl_sf_item(struct sl_bytes value, struct sl_sf_item *item_out);

struct sl_sf_dictionary {
    struct sl_bytes rest;
};

/* Checks the whole field. SL_BAD_FIELD: malformed, nothing of it counts. An empty field is an empty dictionary.
 * value: lent as long as it is walked. */
SL_MUST_CHECK sl_err sl_sf_dictionary(struct sl_bytes value, struct sl_sf_dictionary *dictionary_out);

/* The next member, in the order sent; false: there is none. A key that comes twice is told twice: the last counts
 * (section 3.2). A key without a value is the BOOLEAN true. */
bool sl_sf_next(struct sl_sf_dictionary *dictionary, struct sl_bytes *key_out, struct sl_sf_item *item_out);

#endif
