#include "byteranges.h"

#include <assert.h>
#include <inttypes.h>

void sl_content_range_put(struct sl_text *text, const struct sl_range *range, uint64_t size)
{
    assert(range->len > 0 && range->len <= size && range->first <= size - range->len);
    sl_text_printf(text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first, range->first + range->len - 1, size);
}

void sl_byteranges_put(const struct sl_byteranges *parts, size_t index, struct sl_text *text)
{
    assert(index <= parts->count && parts->type.len <= SL_MEDIA_TYPE_BYTES_MAX);
    sl_text_printf(text, "%s--%s", index == 0 ? "" : "\r\n", parts->boundary);
    if (index == parts->count) {
        sl_text_put(text, SL_BYTES("--\r\n"));
    } else {
        sl_text_put(text, SL_BYTES("\r\nContent-Type: "));
        sl_text_put(text, parts->type);
        sl_text_put(text, SL_BYTES("\r\nContent-Range: "));
        sl_content_range_put(text, &parts->ranges[index], parts->size);
        sl_text_put(text, SL_BYTES("\r\n\r\n"));
    }
    assert(!text->full);
}

uint64_t sl_byteranges_length(const struct sl_byteranges *parts)
{
    uint64_t length = 0;
    for (size_t i = 0; i <= parts->count; i++) {
        char room[SL_BYTERANGES_TEXT_BYTES];
        struct sl_text text;
        sl_text_init(&text, room, sizeof room);
        sl_byteranges_put(parts, i, &text);
        length += text.len + (i < parts->count ? parts->ranges[i].len : 0);
    }
    return length;
}
