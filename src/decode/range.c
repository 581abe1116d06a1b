/* Byte ranges: "bytes=" 1#( first "-" [ last ] / "-" suffix-length ). Blanks around an element and empty elements are
 * allowed, as in every list (RFC 9110 section 5.6.1.2). */
#include "sluice/decode/range.h"

#include <assert.h>

enum reading { MALFORMED, BEHIND_THE_END, ALL_OF_NOTHING, INSIDE };

static bool take_unit(struct sl_bytes *value);
static struct sl_bytes take_element(struct sl_bytes *rest);
static enum reading read_range(struct sl_bytes spec, uint64_t size, struct sl_range *range_out);
static size_t count_overlapping(const struct sl_range *ranges, size_t count);
static size_t coalesce(struct sl_range *ranges, size_t count);

sl_err sl_ranges_parse(struct sl_bytes value, uint64_t size, struct sl_range ranges_out[SL_RANGES_MAX],
                       size_t *count_out)
{
    *count_out = 0;
    struct sl_bytes rest = sl_bytes_trim(value);
    if (!take_unit(&rest))
        return SL_OK;

    size_t asked = 0, count = 0;
    bool is_whole = false;
    while (rest.len > 0) {
        struct sl_bytes spec = take_element(&rest);
        if (spec.len == 0)
            continue;
        struct sl_range range;
        enum reading reading = read_range(spec, size, &range);
        if (reading == MALFORMED)
            return SL_OK;
        is_whole |= reading == ALL_OF_NOTHING;
        /* Too many are read to the end all the same: one that is malformed makes the field no Range at all. */
        if (++asked <= SL_RANGES_MAX && reading == INSIDE)
            ranges_out[count++] = range;
    }
    if (asked > SL_RANGES_MAX || count_overlapping(ranges_out, count) > 2)
        return SL_RANGE_LIMIT;
    if (asked == 0 || is_whole)
        return SL_OK;
    *count_out = coalesce(ranges_out, count);
    return count > 0 ? SL_OK : SL_RANGE;
}

/* --- the grammar --- */

static bool take_unit(struct sl_bytes *value)
{
    struct sl_bytes unit = SL_BYTES("bytes=");
    if (value->len < unit.len || !sl_bytes_equal_nocase((struct sl_bytes){value->base, unit.len}, unit))
        return false;
    value->base += unit.len;
    value->len -= unit.len;
    return true;
}

/* What stands before the next comma, which goes with it. */
static struct sl_bytes take_element(struct sl_bytes *rest)
{
    const char *comma = memchr(rest->base, ',', rest->len);
    size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->base);
    size_t used = comma == NULL ? len : len + 1;
    struct sl_bytes element = {rest->base, len};
    rest->base += used;
    rest->len -= used;
    return sl_bytes_trim(element);
}

/* 1*DIGIT. What 64 bits cannot tell is as far behind the end as what they can. */
static bool read_number(struct sl_bytes digits, uint64_t *value_out)
{
    for (size_t i = 0; i < digits.len; i++)
        if (digits.base[i] < '0' || digits.base[i] > '9')
            return false;
    if (!sl_bytes_to_u64(digits, value_out))
        *value_out = UINT64_MAX;
    return digits.len > 0;
}

static enum reading read_suffix(struct sl_bytes digits, uint64_t size, struct sl_range *range_out)
{
    uint64_t len;
    if (!read_number(digits, &len))
        return MALFORMED;
    if (len == 0)
        return BEHIND_THE_END;
    if (size == 0)
        return ALL_OF_NOTHING;
    len = len < size ? len : size;
    *range_out = (struct sl_range){size - len, len};
    return INSIDE;
}

static enum reading read_range(struct sl_bytes spec, uint64_t size, struct sl_range *range_out)
{
    const char *dash = memchr(spec.base, '-', spec.len);
    if (dash == NULL)
        return MALFORMED;
    struct sl_bytes before = {spec.base, (size_t)(dash - spec.base)};
    struct sl_bytes behind = {dash + 1, spec.len - before.len - 1};
    if (before.len == 0)
        return read_suffix(behind, size, range_out);
    uint64_t first, last = UINT64_MAX;
    if (!read_number(before, &first) || (behind.len > 0 && !read_number(behind, &last)) || first > last)
        return MALFORMED;
    if (first >= size)
        return BEHIND_THE_END;
    last = last < size ? last : size - 1;
    *range_out = (struct sl_range){first, last - first + 1};
    return INSIDE;
}

/* --- several ranges --- */

/* How many have a byte that another one has too. */
static size_t count_overlapping(const struct sl_range *ranges, size_t count)
{
    size_t overlapping = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_shared = false;
        for (size_t j = 0; j < count; j++)
            is_shared |= i != j && ranges[i].first < ranges[j].first + ranges[j].len &&
                         ranges[j].first < ranges[i].first + ranges[i].len;
        overlapping += is_shared;
    }
    return overlapping;
}

static bool do_touch(struct sl_range a, struct sl_range b)
{
    return a.first <= b.first + b.len && b.first <= a.first + a.len;
}

static struct sl_range join(struct sl_range a, struct sl_range b)
{
    uint64_t first = a.first < b.first ? a.first : b.first;
    uint64_t a_end = a.first + a.len, b_end = b.first + b.len;
    return (struct sl_range){first, (a_end > b_end ? a_end : b_end) - first};
}

/* A range that grows may touch what it did not touch before, so each join starts anew; at most 15 joins of 16. */
static size_t coalesce(struct sl_range *ranges, size_t count)
{
    assert(count <= SL_RANGES_MAX);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            if (!do_touch(ranges[i], ranges[j]))
                continue;
            ranges[i] = join(ranges[i], ranges[j]);
            memmove(&ranges[j], &ranges[j + 1], (--count - j) * sizeof ranges[0]);
            j = i;
        }
    }
    return count;
}
