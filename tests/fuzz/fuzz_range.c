/* Any value as a Range of a representation of any size. What is told lies inside, is disjoint with gaps between, and is
 * told again when it is asked for in one's own words. The first eight bytes are the size, the ninth cuts it down. */
#include "sluice/decode/range.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

static void require_sound(const struct sl_range *ranges, size_t count, uint64_t size)
{
    require(count <= SL_RANGES_MAX);
    for (size_t i = 0; i < count; i++) {
        require(ranges[i].len > 0 && ranges[i].first < size && ranges[i].len <= size - ranges[i].first);
        for (size_t j = 0; j < i; j++)
            require(ranges[i].first + ranges[i].len < ranges[j].first ||
                    ranges[j].first + ranges[j].len < ranges[i].first);
    }
}

static void require_same(const struct sl_text *text, uint64_t size, const struct sl_range *ranges, size_t count)
{
    struct sl_range again[SL_RANGES_MAX];
    size_t again_count = 99;
    require(!text->full);
    require(sl_ranges_parse((struct sl_bytes){text->base, text->len}, size, again, &again_count) == SL_OK);
    require(again_count == count);
    for (size_t i = 0; i < count; i++)
        require(again[i].first == ranges[i].first && again[i].len == ranges[i].len);
}

static void check_own_words(uint64_t size, const struct sl_range *ranges, size_t count)
{
    char room[SL_RANGES_MAX * 48];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    for (size_t i = 0; i < count; i++)
        sl_text_printf(&text, "%s%ju-%ju", i == 0 ? "BYTES=" : " , ,", (uintmax_t)ranges[i].first,
                       (uintmax_t)(ranges[i].first + ranges[i].len - 1));
    require_same(&text, size, ranges, count);
}

/* A range behind the end changes nothing, however it is put; a word that is no range makes the field none. */
static void check_neighbours(struct sl_bytes value, uint64_t size, const struct sl_range *ranges, size_t count)
{
    size_t room = value.len + 64, told;
    char *copy = malloc(room);
    struct sl_text text;
    sl_text_init(&text, copy, room);
    sl_text_put(&text, value);
    sl_text_put(&text, SL_BYTES(" ,\t, "));
    require_same(&text, size, ranges, count);
    sl_text_put(&text, SL_BYTES(",-"));
    struct sl_range none[SL_RANGES_MAX];
    require(sl_ranges_parse((struct sl_bytes){text.base, text.len}, size, none, &told) == SL_OK && told == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 9)
        return 0;
    uint64_t bytes;
    memcpy(&bytes, data, sizeof bytes);
    bytes >>= data[8] % 64;
    struct sl_bytes value = {(const char *)data + 9, size - 9};
    struct sl_range *ranges = malloc(SL_RANGES_MAX * sizeof *ranges); /* ends where its memory ends */
    size_t count = 99;
    sl_err err = sl_ranges_parse(value, bytes, ranges, &count);
    require(err == SL_OK || err == SL_RANGE || err == SL_RANGE_LIMIT);
    require(err == SL_OK || count == 0);
    require_sound(ranges, count, bytes);
    if (count > 0) {
        check_own_words(bytes, ranges, count);
        check_neighbours(value, bytes, ranges, count);
    }
    free(ranges);
    return 0;
}
