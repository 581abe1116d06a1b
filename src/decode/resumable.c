/* The fields of the resumable upload draft, between the header lines of a request and its handler. Pure, any thread.
 * What differs between the versions of the draft that clients speak is told apart here where a field is read. */
#include "sluice/decode/resumable.h"

#include "sluice/decode/structured.h"

/* One item of the kind asked for; parameters are ignored. */
static bool read_item(struct sl_bytes field, enum sl_sf_kind kind, int64_t *integer_out)
{
    struct sl_sf_item item;
    if (sl_sf_item(field, &item) != SL_OK || item.kind != kind)
        return false;
    *integer_out = item.integer;
    return true;
}

unsigned sl_draft_version(struct sl_bytes field)
{
    int64_t version;
    if (!read_item(field, SL_SF_INTEGER, &version))
        return 0;
    return version == 3 || (version >= 5 && version <= 8) ? (unsigned)version : 0;
}

enum sl_draft_complete sl_draft_complete(unsigned version, struct sl_bytes complete, struct sl_bytes incomplete)
{
    int64_t is_true;
    bool is_opposite = version == 3;
    if (!read_item(is_opposite ? incomplete : complete, SL_SF_BOOLEAN, &is_true))
        return SL_DRAFT_NOT_SAID;
    return (is_true == 1) != is_opposite ? SL_DRAFT_COMPLETE : SL_DRAFT_INCOMPLETE;
}

bool sl_draft_number(struct sl_bytes field, uint64_t *value_out)
{
    int64_t value;
    if (!read_item(field, SL_SF_INTEGER, &value) || value < 0)
        return false;
    *value_out = (uint64_t)value;
    return true;
}
