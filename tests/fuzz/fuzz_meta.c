/* Any attribute is refused or gives spans inside of it, texts fit for a header, and digests of the right length;
 * what was read can be written again and read the same. */
#include <stdlib.h>
#include <string.h>

#include "sluice/store/meta.h"

#define FIELDS_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_inside(struct sl_bytes part, struct sl_bytes whole)
{
    must(part.len == 0 || (part.base >= whole.base && part.base + part.len <= whole.base + whole.len));
}

static void check_text(struct sl_bytes text, size_t max, struct sl_bytes whole)
{
    must(text.len <= max);
    check_inside(text, whole);
    for (size_t i = 0; i < text.len; i++)
        must((unsigned char)text.base[i] >= 0x20 && text.base[i] != 0x7f);
}

static size_t collect_fields(struct sl_meta meta, struct sl_meta_field fields[FIELDS_MAX], struct sl_bytes whole)
{
    size_t count = 0;
    struct sl_meta_field field;
    while (sl_meta_next_field(&meta, &field)) {
        check_inside(field.name, whole);
        check_inside(field.value, whole);
        if (count < FIELDS_MAX)
            fields[count++] = field;
    }
    return count;
}

static void check_again(struct sl_meta meta, const struct sl_meta_field *fields, size_t count)
{
    static struct sl_meta_field again_fields[FIELDS_MAX];
    char out[SL_META_BYTES_MAX];
    bool has_fields;
    struct sl_meta again;
    meta.fields = fields;
    meta.field_count = count;
    size_t len = sl_meta_encode(&meta, out, &has_fields);
    must(len <= sizeof out && sl_meta_decode((struct sl_bytes){out, len}, &again) == SL_OK);
    must(again.begun_ns == meta.begun_ns);
    must(again.created_ns == meta.created_ns && again.is_attachment == meta.is_attachment);
    must(sl_bytes_equal(again.name, meta.name) && sl_bytes_equal(again.type, meta.type));
    must(sl_bytes_equal(again.request_id, meta.request_id));
    must(memcmp(&again.digests, &meta.digests, sizeof again.digests) == 0);
    must(collect_fields(again, again_fields, (struct sl_bytes){out, len}) == (has_fields ? count : 0));
    for (size_t i = 0; i < count && has_fields; i++)
        must(sl_bytes_equal(again_fields[i].name, fields[i].name) &&
             sl_bytes_equal(again_fields[i].value, fields[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sl_meta_field fields[FIELDS_MAX];
    char *copy = malloc(size + (size == 0));
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct sl_bytes whole = {copy, size};
    struct sl_meta meta;
    sl_err err = sl_meta_decode(whole, &meta);
    must(err == SL_OK || err == SL_BAD_FIELD);
    check_text(meta.name, 1023, whole);
    check_text(meta.type, 255, whole);
    check_text(meta.request_id, 128, whole);
    must(meta.digests.set >> SL_HASH_ALGS == 0);
    size_t count = collect_fields(meta, fields, whole);
    must(err == SL_OK || (count == 0 && meta.digests.set == 0));
    check_again(meta, fields, count);
    free(copy);
    return 0;
}
