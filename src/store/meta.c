#include "sluice/store/meta.h"

#include "record.h"

#include <assert.h>

#define VERSION    1
#define TIMES_AT   1 /* the record of the times comes first, so that they can be set later */
#define TIMES_LEN  16
#define FIELD_HEAD 2 /* length of the name */

/* Numbers on disk: never given a second meaning. */
enum tag {
    TAG_TIMES = 1, /* begun, created (8 bytes each, little-endian) */
    TAG_NAME = 2,
    TAG_TYPE = 3,
    TAG_REQUEST_ID = 4,
    TAG_ATTACHMENT = 5,
    TAG_DIGEST = 6, /* algorithm (1 byte), digest */
    TAG_FIELD = 7,  /* length of the name (2 bytes, little-endian), name, value */
};

/* ---- writing ---- */

/* All or none: half a form would be taken for the whole. */
static char *put_fields(char *at, size_t room, const struct sl_meta *meta, bool *has_fields_out)
{
    size_t bytes = 0;
    *has_fields_out = false;
    for (size_t i = 0; i < meta->field_count; i++) {
        const struct sl_meta_field *field = &meta->fields[i];
        if (field->name.len > room || field->value.len > room)
            return at;
        bytes += SL_RECORD_HEAD + FIELD_HEAD + field->name.len + field->value.len;
        if (bytes > room)
            return at;
    }
    for (size_t i = 0; i < meta->field_count; i++) {
        const struct sl_meta_field *field = &meta->fields[i];
        at = sl_record_put_head(at, TAG_FIELD, FIELD_HEAD + field->name.len + field->value.len);
        at = sl_record_put_bytes(sl_record_put_number(at, field->name.len, FIELD_HEAD), field->name.base,
                                 field->name.len);
        at = sl_record_put_bytes(at, field->value.base, field->value.len);
    }
    *has_fields_out = true;
    return at;
}

size_t sl_meta_encode(const struct sl_meta *meta, char out[SL_META_BYTES_MAX], bool *has_fields_out)
{
    assert(meta->name.len <= SL_RECORD_NAME_MAX && meta->type.len <= SL_RECORD_TYPE_MAX &&
           meta->request_id.len <= SL_RECORD_ID_MAX);
    char *at = out;
    *at++ = VERSION;
    at = sl_record_put_head(at, TAG_TIMES, TIMES_LEN) + TIMES_LEN;
    at = sl_record_put_digests(at, TAG_DIGEST, &meta->digests);
    at = sl_record_put_text(at, TAG_NAME, meta->name);
    at = sl_record_put_text(at, TAG_TYPE, meta->type);
    at = sl_record_put_text(at, TAG_REQUEST_ID, meta->request_id);
    if (meta->is_attachment)
        at = sl_record_put_head(at, TAG_ATTACHMENT, 0);
    at = put_fields(at, SL_META_BYTES_MAX - (size_t)(at - out), meta, has_fields_out);
    sl_meta_set_times(out, (size_t)(at - out), meta->begun_ns, meta->created_ns);
    assert((size_t)(at - out) <= SL_META_BYTES_MAX);
    return (size_t)(at - out);
}

void sl_meta_set_times(char *encoded, size_t len, uint64_t begun_ns, uint64_t created_ns)
{
    char *at = encoded + TIMES_AT + SL_RECORD_HEAD;
    assert(len >= TIMES_AT + SL_RECORD_HEAD + TIMES_LEN && encoded[0] == VERSION && encoded[TIMES_AT] == TAG_TIMES);
    at = sl_record_put_number(at, begun_ns, SL_RECORD_NUMBER_LEN);
    (void)sl_record_put_number(at, created_ns, SL_RECORD_NUMBER_LEN);
}

/* ---- reading ---- */

static bool get_field(struct sl_bytes value, struct sl_meta_field *field_out)
{
    if (value.len < FIELD_HEAD)
        return false;
    size_t name_len = sl_record_number(value.base, FIELD_HEAD);
    if (name_len > value.len - FIELD_HEAD)
        return false;
    field_out->name = (struct sl_bytes){value.base + FIELD_HEAD, name_len};
    field_out->value = (struct sl_bytes){field_out->name.base + name_len, value.len - FIELD_HEAD - name_len};
    return true;
}

static void get_record(unsigned tag, struct sl_bytes value, struct sl_meta *meta)
{
    switch (tag) {
    case TAG_TIMES:
        if (value.len != TIMES_LEN)
            return;
        meta->begun_ns = sl_record_number(value.base, SL_RECORD_NUMBER_LEN);
        meta->created_ns = sl_record_number(value.base + SL_RECORD_NUMBER_LEN, SL_RECORD_NUMBER_LEN);
        return;
    case TAG_NAME: sl_record_text(value, SL_RECORD_NAME_MAX, &meta->name); return;
    case TAG_TYPE: sl_record_text(value, SL_RECORD_TYPE_MAX, &meta->type); return;
    case TAG_REQUEST_ID: sl_record_text(value, SL_RECORD_ID_MAX, &meta->request_id); return;
    case TAG_ATTACHMENT: meta->is_attachment = true; return;
    case TAG_DIGEST: sl_record_digest(value, &meta->digests); return;
    default: return; /* fields wait for sl_meta_next_field; what is unknown is of a newer version */
    }
}

sl_err sl_meta_decode(struct sl_bytes encoded, struct sl_meta *meta_out)
{
    *meta_out = (struct sl_meta){0};
    if (encoded.len == 0 || encoded.base[0] != VERSION)
        return SL_BAD_FIELD;
    struct sl_bytes rest = {encoded.base + 1, encoded.len - 1}, value;
    struct sl_meta_field field;
    unsigned tag;
    while (rest.len > 0) {
        struct sl_bytes from_here = rest;
        if (!sl_record_take(&rest, &tag, &value)) {
            *meta_out = (struct sl_meta){0};
            return SL_BAD_FIELD;
        }
        get_record(tag, value, meta_out);
        if (tag == TAG_FIELD && meta_out->field_records.len == 0 && get_field(value, &field))
            meta_out->field_records = from_here;
    }
    return SL_OK;
}

size_t sl_meta_len_without_fields(const char *encoded, size_t len)
{
    struct sl_meta meta;
    bool is_ours = sl_meta_decode((struct sl_bytes){encoded, len}, &meta) == SL_OK;
    return is_ours ? len - meta.field_records.len : len;
}

bool sl_meta_next_field(struct sl_meta *meta, struct sl_meta_field *field_out)
{
    struct sl_bytes value;
    unsigned tag;
    while (sl_record_take(&meta->field_records, &tag, &value))
        if (tag == TAG_FIELD && get_field(value, field_out))
            return true;
    return false;
}
