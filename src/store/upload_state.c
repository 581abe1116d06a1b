/* The state of a resumable upload as it lies on disk beside its bytes: the byte 1 (the version), one record that every
 * state has, then those that it needs. Pure, any thread. It does not know what the offset is good for: in what order
 * bytes and state are written is its caller's and the store's business (store/kept.h). */
#include "sluice/store/upload_state.h"

#include "record.h"
#include "sluice/decode/tus.h"

#include <assert.h>

#define VERSION     1
#define FIXED_LEN   28
#define OFFSET_AT   4 /* in the value of TAG_FIXED */
#define CREATED_AT  12
#define TOUCHED_AT  20
#define OWNER_LEN   16
#define FLAG_DONE   1
#define FLAG_ATTACH 2
#define FLAG_POSTED 4
#define FLAG_JOINED 8

/* Numbers on disk: never given a second meaning. */
enum tag {
    TAG_FIXED =
        1, /* dialect, kind, flags, conflict (1 byte each); offset, created, touched (8 each, little-endian) */
    TAG_LENGTH = 2, /* 8 bytes; none: not told yet */
    TAG_PATH = 3,
    TAG_NAME = 4,
    TAG_TYPE = 5,
    TAG_REQUEST_ID = 6,
    TAG_METADATA = 7,
    TAG_CONCAT = 8,
    TAG_PROMISED = 9, /* algorithm (1 byte, as in store/meta.h), digest */
    TAG_HASH = 10,    /* the form is the hash floor's */
    TAG_IF_MATCH = 11,
    TAG_IF_NONE_MATCH = 12,
    TAG_IF_UNMODIFIED_SINCE = 13,
    TAG_WANTED = 14, /* a byte for each algorithm */
    TAG_OWNER = 15,  /* the key of an address: 8 bytes twice, little-endian */
};

static const uint8_t conflict_numbers[] = {
    [SL_CONFLICT_ERROR] = 1, [SL_CONFLICT_RENAME] = 2, [SL_CONFLICT_OVERWRITE] = 3};

/* ---- writing ---- */

/* As a condition, what was sent empty is not what was not sent. */
static size_t field_bytes(struct sl_bytes field)
{
    return field.base == NULL ? 0 : SL_RECORD_HEAD + field.len;
}

static char *put_field(char *at, enum tag tag, struct sl_bytes field)
{
    if (field.base == NULL)
        return at;
    return sl_record_put_bytes(sl_record_put_head(at, tag, field.len), field.base, field.len);
}

static size_t text_bytes(struct sl_bytes text)
{
    return text.len == 0 ? 0 : SL_RECORD_HEAD + text.len;
}

static struct sl_bytes path_of(const struct sl_upload_state *state)
{
    return (struct sl_bytes){state->path.text, state->path.len};
}

static struct sl_bytes hash_of(const struct sl_upload_state *state)
{
    return (struct sl_bytes){(const char *)state->hash.bytes, state->hash.len};
}

static size_t encoded_bytes(const struct sl_upload_state *state)
{
    size_t bytes = 1 + SL_RECORD_HEAD + FIXED_LEN;
    if (state->length != SL_STORE_SIZE_UNKNOWN)
        bytes += SL_RECORD_HEAD + SL_RECORD_NUMBER_LEN;
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        if (state->promised.set & 1u << alg)
            bytes += SL_RECORD_HEAD + 1 + sl_hash_bytes(alg);
    const struct sl_bytes texts[] = {path_of(state),  state->name,   state->type,   state->request_id,
                                     state->metadata, state->concat, hash_of(state)};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bytes += text_bytes(texts[i]);
    const struct sl_conditions *conditions = &state->conditions;
    bytes += field_bytes(conditions->if_match) + field_bytes(conditions->if_none_match) +
             field_bytes(conditions->if_unmodified_since);
    if (state->has_owner)
        bytes += SL_RECORD_HEAD + OWNER_LEN;
    return bytes + sl_record_set_bytes(state->wanted);
}

static char *put_fixed(char *at, const struct sl_upload_state *state)
{
    at = sl_record_put_head(at, TAG_FIXED, FIXED_LEN);
    *at++ = (char)state->dialect;
    *at++ = (char)state->kind;
    *at++ = (char)((state->is_done ? FLAG_DONE : 0) | (state->is_attachment ? FLAG_ATTACH : 0) |
                   (state->is_posted ? FLAG_POSTED : 0) | (state->is_joined ? FLAG_JOINED : 0));
    *at++ = (char)conflict_numbers[state->conflict];
    at = sl_record_put_number(at, state->offset, SL_RECORD_NUMBER_LEN);
    at = sl_record_put_number(at, state->created_ns, SL_RECORD_NUMBER_LEN);
    return sl_record_put_number(at, state->touched_ns, SL_RECORD_NUMBER_LEN);
}

static char *put_owner(char *at, const struct sl_upload_state *state)
{
    if (!state->has_owner)
        return at;
    at = sl_record_put_head(at, TAG_OWNER, OWNER_LEN);
    at = sl_record_put_number(at, state->owner.high, SL_RECORD_NUMBER_LEN);
    return sl_record_put_number(at, state->owner.low, SL_RECORD_NUMBER_LEN);
}

sl_err sl_upload_state_encode(const struct sl_upload_state *state, char out[SL_STORE_STATE_BYTES_MAX],
                              size_t *len_out)
{
    assert(state->dialect == SL_UPLOAD_TUS || state->dialect == SL_UPLOAD_DRAFT);
    assert(state->offset <= state->length && state->hash.len <= SL_HASH_STATE_BYTES_MAX);
    assert(state->kind == SL_UPLOAD_PARTIAL || state->path.len > 0);
    *len_out = 0;
    size_t len = encoded_bytes(state);
    if (len > SL_STORE_STATE_BYTES_MAX)
        return SL_HEAD_TOO_LARGE;
    char *at = out;
    *at++ = VERSION;
    at = put_fixed(at, state);
    if (state->length != SL_STORE_SIZE_UNKNOWN) {
        at = sl_record_put_head(at, TAG_LENGTH, SL_RECORD_NUMBER_LEN);
        at = sl_record_put_number(at, state->length, SL_RECORD_NUMBER_LEN);
    }
    at = sl_record_put_text(at, TAG_PATH, path_of(state));
    at = sl_record_put_text(at, TAG_NAME, state->name);
    at = sl_record_put_text(at, TAG_TYPE, state->type);
    at = sl_record_put_text(at, TAG_REQUEST_ID, state->request_id);
    at = sl_record_put_text(at, TAG_METADATA, state->metadata);
    at = sl_record_put_text(at, TAG_CONCAT, state->concat);
    at = sl_record_put_digests(at, TAG_PROMISED, &state->promised);
    at = sl_record_put_text(at, TAG_HASH, hash_of(state));
    at = put_field(at, TAG_IF_MATCH, state->conditions.if_match);
    at = put_field(at, TAG_IF_NONE_MATCH, state->conditions.if_none_match);
    at = put_field(at, TAG_IF_UNMODIFIED_SINCE, state->conditions.if_unmodified_since);
    at = sl_record_put_set(at, TAG_WANTED, state->wanted);
    at = put_owner(at, state);
    assert((size_t)(at - out) == len);
    *len_out = len;
    return SL_OK;
}

/* ---- reading ---- */

static bool get_conflict(uint8_t number, enum sl_conflict *conflict_out)
{
    for (enum sl_conflict conflict = 0; conflict < sizeof conflict_numbers; conflict++) {
        if (conflict_numbers[conflict] != number)
            continue;
        *conflict_out = conflict;
        return true;
    }
    return false;
}

static bool get_fixed(struct sl_bytes value, struct sl_upload_state *state)
{
    if (value.len != FIXED_LEN)
        return false;
    uint8_t dialect = (uint8_t)value.base[0], kind = (uint8_t)value.base[1], flags = (uint8_t)value.base[2];
    if ((dialect != SL_UPLOAD_TUS && dialect != SL_UPLOAD_DRAFT) || kind < SL_UPLOAD_WHOLE || kind > SL_UPLOAD_FINAL)
        return false;
    state->dialect = dialect;
    state->kind = kind;
    state->is_done = flags & FLAG_DONE;
    state->is_attachment = flags & FLAG_ATTACH;
    state->is_posted = flags & FLAG_POSTED;
    state->is_joined = flags & FLAG_JOINED;
    state->offset = sl_record_number(value.base + OFFSET_AT, SL_RECORD_NUMBER_LEN);
    state->created_ns = sl_record_number(value.base + CREATED_AT, SL_RECORD_NUMBER_LEN);
    state->touched_ns = sl_record_number(value.base + TOUCHED_AT, SL_RECORD_NUMBER_LEN);
    return get_conflict((uint8_t)value.base[3], &state->conflict);
}

static void get_metadata(struct sl_bytes value, struct sl_upload_state *state)
{
    if (sl_tus_metadata_check(value) == SL_OK)
        state->metadata = value;
}

static void get_concat(struct sl_bytes value, struct sl_upload_state *state)
{
    enum sl_tus_concat concat;
    struct sl_bytes urls;
    if (sl_tus_concat(value, &concat, &urls) == SL_OK && concat == SL_TUS_CONCAT_FINAL)
        state->concat = value;
}

static void get_hash(struct sl_bytes value, struct sl_upload_state *state)
{
    if (value.len > SL_HASH_STATE_BYTES_MAX)
        return;
    memcpy(state->hash.bytes, value.base, value.len);
    state->hash.len = value.len;
}

static void get_owner(struct sl_bytes value, struct sl_upload_state *state)
{
    if (value.len != OWNER_LEN)
        return;
    state->has_owner = true;
    state->owner.high = sl_record_number(value.base, SL_RECORD_NUMBER_LEN);
    state->owner.low = sl_record_number(value.base + SL_RECORD_NUMBER_LEN, SL_RECORD_NUMBER_LEN);
}

/* false: nothing can be made of the whole. A text that is not fit to be told is as if it were not there. */
static bool get_record(unsigned tag, struct sl_bytes value, struct sl_upload_state *state)
{
    switch (tag) {
    case TAG_FIXED: return get_fixed(value, state);
    case TAG_LENGTH:
        if (value.len != SL_RECORD_NUMBER_LEN)
            return false;
        state->length = sl_record_number(value.base, SL_RECORD_NUMBER_LEN);
        return true;
    case TAG_PATH: return sl_path_check(value, &state->path) == SL_OK;
    case TAG_NAME: sl_record_text(value, SL_RECORD_NAME_MAX, &state->name); return true;
    case TAG_TYPE: sl_record_text(value, SL_RECORD_TYPE_MAX, &state->type); return true;
    case TAG_REQUEST_ID: sl_record_text(value, SL_RECORD_ID_MAX, &state->request_id); return true;
    case TAG_METADATA: get_metadata(value, state); return true;
    case TAG_CONCAT: get_concat(value, state); return true;
    case TAG_PROMISED: sl_record_digest(value, &state->promised); return true;
    case TAG_HASH: get_hash(value, state); return true;
    case TAG_IF_MATCH: state->conditions.if_match = value; return true;
    case TAG_IF_NONE_MATCH: state->conditions.if_none_match = value; return true;
    case TAG_IF_UNMODIFIED_SINCE: state->conditions.if_unmodified_since = value; return true;
    case TAG_WANTED: state->wanted = sl_record_set(value); return true;
    case TAG_OWNER: get_owner(value, state); return true;
    default: return true; /* of a newer version */
    }
}

/* One of another form, or of other bytes than those before the offset, is none: the file can be digested again. */
static void drop_wrong_hash(struct sl_upload_state *state)
{
    sl_hash_set set;
    uint64_t digested;
    if (state->hash.len > 0 &&
        (sl_hash_state_check(&state->hash, &set, &digested) != SL_OK || digested != state->offset))
        state->hash = (struct sl_hash_state){0};
}

sl_err sl_upload_state_decode(struct sl_bytes encoded, struct sl_upload_state *state_out)
{
    *state_out = (struct sl_upload_state){.length = SL_STORE_SIZE_UNKNOWN};
    if (encoded.len == 0 || encoded.len > SL_STORE_STATE_BYTES_MAX || encoded.base[0] != VERSION)
        return SL_BAD_FIELD;
    struct sl_bytes rest = {encoded.base + 1, encoded.len - 1}, value;
    unsigned tag;
    bool is_ours = true;
    while (rest.len > 0 && is_ours)
        is_ours = sl_record_take(&rest, &tag, &value) && get_record(tag, value, state_out);
    bool has_path = state_out->kind == SL_UPLOAD_PARTIAL || state_out->path.len > 0;
    if (!is_ours || state_out->dialect == 0 || !has_path || state_out->offset > state_out->length) {
        *state_out = (struct sl_upload_state){.length = SL_STORE_SIZE_UNKNOWN};
        return SL_BAD_FIELD;
    }
    drop_wrong_hash(state_out);
    return SL_OK;
}
