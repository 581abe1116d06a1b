/* Conditional requests (RFC 9110 section 13): the fields as sent, and what they say about a representation. Pure. */
#ifndef SLUICE_DECODE_CONDITION_H
#define SLUICE_DECODE_CONDITION_H

#include "sluice/base/bytes.h"

/* The fields as sent, several lines of one joined by commas; base NULL: not sent. */
struct sl_conditions {
    struct sl_bytes if_match, if_none_match, if_modified_since, if_unmodified_since, if_range;
};

/* What stands under the name now. */
struct sl_validator {
    bool exists;
    struct sl_bytes etag; /* strong, with its quotes */
    uint64_t modified_s;  /* since 1970 */
};

enum sl_verdict {
    SL_VERDICT_GO,
    SL_VERDICT_NOT_MODIFIED, /* 304; only of reads */
    SL_VERDICT_FAILED        /* 412 */
};

/* Is anything asked at all? (If-Range alone asks nothing.) */
bool sl_conditions_are_set(const struct sl_conditions *conditions);

/* Section 13.2.2, in its order of precedence. is_read: GET or HEAD. now_s: for two-digit years. A date that is none is
 * ignored; an If-Match or If-None-Match that is no list of entity tags matches nothing. */
enum sl_verdict sl_conditions_check(const struct sl_conditions *conditions, const struct sl_validator *now,
                                    bool is_read, uint64_t now_s);

/* If-Range (section 13.1.5): does a Range field count? True if it was not sent. A date counts only if it is exactly the
 * last modification and that is older than one second. */
bool sl_if_range_holds(struct sl_bytes if_range, const struct sl_validator *now, uint64_t now_s);

/* Is the strong `etag` among those of a field value ("*" is not looked for)? is_strong: weak ones in the list do not
 * count (section 8.8.3.2). */
bool sl_etag_list_has(struct sl_bytes list, struct sl_bytes etag, bool is_strong);

#endif
