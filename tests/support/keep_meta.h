/* What a reader told stays readable after it is closed. */
#ifndef SLUICE_TESTS_KEEP_META_H
#define SLUICE_TESTS_KEEP_META_H

#include "sluice/store/store.h"

/* The metadata of an open reader, its spans moved into memory that lives until the next call. */
static inline struct sl_meta keep_meta(const struct sl_store_reader *reader)
{
    static char copy[SL_META_BYTES_MAX];
    struct sl_meta meta = reader->meta;
    struct sl_bytes *const spans[] = {&meta.name, &meta.type, &meta.request_id, &meta.field_records};
    if (reader->meta_bytes == NULL)
        return meta;
    memcpy(copy, reader->meta_bytes, sizeof copy);
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        if (spans[i]->len > 0)
            spans[i]->base = copy + (spans[i]->base - reader->meta_bytes);
    return meta;
}

#endif
