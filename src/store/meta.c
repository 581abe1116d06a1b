#include "sluice/store/meta.h"

#include "sluice/base/utf8.h"

#include <assert.h>

#define VERSION      1
#define RECORD_HEAD  3 /* tag, length */
#define TIMES_AT     1 /* the record of the times comes first, so that they can be set later */
#define TIMES_LEN    16
#define FIELD_HEAD   2 /* length of the name */
#define NAME_MAX_LEN 1023
#define TYPE_MAX_LEN 255
#define ID_MAX_LEN   128

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

static const uint8_t digest_numbers[SL_HASH_ALGS] = {
    [SL_HASH_SHA256] = 1, [SL_HASH_SHA512] = 2, [SL_HASH_SHA1] = 3, [SL_HASH_MD5] = 4, [SL_HASH_CRC32C] = 5};

/* ---- writing ---- */

static char *put_u16(char *at, size_t value)
{
    assert(value <= UINT16_MAX);
    at[0] = (char)(value & 0xff);
    at[1] = (char)(value >> 8);
    return at + 2;
}

static char *put_head(char *at, enum tag tag, size_t len)
{
    *at = (char)tag;
    return put_u16(at + 1, len);
}

static char *put_bytes(char *at, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(at, bytes, len);
    return at + len;
}

static char *put_text(char *at, enum tag tag, struct sl_bytes text)
{
    return text.len == 0 ? at : put_bytes(put_head(at, tag, text.len), text.base, text.len);
}

static char *put_digests(char *at, const struct sl_digests *digests)
{
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++) {
        if ((digests->set & 1u << alg) == 0)
            continue;
        at = put_head(at, TAG_DIGEST, 1 + sl_hash_bytes(alg));
        *at++ = (char)digest_numbers[alg];
        at = put_bytes(at, digests->value[alg], sl_hash_bytes(alg));
    }
    return at;
}

/* All or none: half a form would be taken for the whole. */
static char *put_fields(char *at, size_t room, const struct sl_meta *meta, bool *has_fields_out)
{
    size_t bytes = 0;
    *has_fields_out = false;
    for (size_t i = 0; i < meta->field_count; i++) {
        const struct sl_meta_field *field = &meta->fields[i];
        if (field->name.len > room || field->value.len > room)
            return at;
        bytes += RECORD_HEAD + FIELD_HEAD + field->name.len + field->value.len;
        if (bytes > room)
            return at;
    }
    for (size_t i = 0; i < meta->field_count; i++) {
        const struct sl_meta_field *field = &meta->fields[i];
        at = put_head(at, TAG_FIELD, FIELD_HEAD + field->name.len + field->value.len);
        at = put_bytes(put_u16(at, field->name.len), field->name.base, field->name.len);
        at = put_bytes(at, field->value.base, field->value.len);
    }
    *has_fields_out = true;
    return at;
}

size_t sl_meta_encode(const struct sl_meta *meta, char out[SL_META_BYTES_MAX], bool *has_fields_out)
{
    assert(meta->name.len <= NAME_MAX_LEN && meta->type.len <= TYPE_MAX_LEN && meta->request_id.len <= ID_MAX_LEN);
    char *at = out;
    *at++ = VERSION;
    at = put_head(at, TAG_TIMES, TIMES_LEN) + TIMES_LEN;
    at = put_digests(at, &meta->digests);
    at = put_text(at, TAG_NAME, meta->name);
    at = put_text(at, TAG_TYPE, meta->type);
    at = put_text(at, TAG_REQUEST_ID, meta->request_id);
    if (meta->is_attachment)
        at = put_head(at, TAG_ATTACHMENT, 0);
    at = put_fields(at, SL_META_BYTES_MAX - (size_t)(at - out), meta, has_fields_out);
    sl_meta_set_times(out, (size_t)(at - out), meta->begun_ns, meta->created_ns);
    assert((size_t)(at - out) <= SL_META_BYTES_MAX);
    return (size_t)(at - out);
}

void sl_meta_set_times(char *encoded, size_t len, uint64_t begun_ns, uint64_t created_ns)
{
    char *at = encoded + TIMES_AT + RECORD_HEAD;
    assert(len >= TIMES_AT + RECORD_HEAD + TIMES_LEN && encoded[0] == VERSION && encoded[TIMES_AT] == TAG_TIMES);
    for (unsigned i = 0; i < 8; i++) {
        at[i] = (char)(begun_ns >> 8 * i & 0xff);
        at[8 + i] = (char)(created_ns >> 8 * i & 0xff);
    }
}

/* ---- reading ---- */

static uint64_t get_number(const char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)at[i] << 8 * i;
    return value;
}

/* Takes the first record off `rest`; false: there is none, or it is cut off. */
static bool take_record(struct sl_bytes *rest, unsigned *tag_out, struct sl_bytes *value_out)
{
    if (rest->len < RECORD_HEAD)
        return false;
    size_t len = get_number(rest->base + 1, 2);
    if (len > rest->len - RECORD_HEAD)
        return false;
    *tag_out = (uint8_t)rest->base[0];
    *value_out = (struct sl_bytes){rest->base + RECORD_HEAD, len};
    *rest = (struct sl_bytes){value_out->base + len, rest->len - RECORD_HEAD - len};
    return true;
}

/* These go into headers and pages, and an attribute may be anybody's. */
static bool is_text(struct sl_bytes text, size_t max)
{
    if (text.len > max)
        return false;
    uint32_t rune;
    for (size_t at = 0, n; at < text.len; at += n) {
        n = sl_utf8_sequence((const unsigned char *)text.base + at, text.len - at, &rune);
        if (n == 0 || rune < 0x20 || (rune >= 0x7f && rune < 0xa0))
            return false;
    }
    return true;
}

static void get_text(struct sl_bytes value, size_t max, struct sl_bytes *text_out)
{
    if (is_text(value, max))
        *text_out = value;
}

static void get_digest(struct sl_bytes value, struct sl_digests *digests)
{
    if (value.len == 0)
        return;
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++) {
        if (digest_numbers[alg] != (uint8_t)value.base[0] || value.len != 1 + sl_hash_bytes(alg))
            continue;
        memcpy(digests->value[alg], value.base + 1, sl_hash_bytes(alg));
        digests->set |= 1u << alg;
    }
}

static bool get_field(struct sl_bytes value, struct sl_meta_field *field_out)
{
    if (value.len < FIELD_HEAD)
        return false;
    size_t name_len = get_number(value.base, FIELD_HEAD);
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
        meta->begun_ns = get_number(value.base, 8);
        meta->created_ns = get_number(value.base + 8, 8);
        return;
    case TAG_NAME: get_text(value, NAME_MAX_LEN, &meta->name); return;
    case TAG_TYPE: get_text(value, TYPE_MAX_LEN, &meta->type); return;
    case TAG_REQUEST_ID: get_text(value, ID_MAX_LEN, &meta->request_id); return;
    case TAG_ATTACHMENT: meta->is_attachment = true; return;
    case TAG_DIGEST: get_digest(value, &meta->digests); return;
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
        if (!take_record(&rest, &tag, &value)) {
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
    while (take_record(&meta->field_records, &tag, &value))
        if (tag == TAG_FIELD && get_field(value, field_out))
            return true;
    return false;
}
