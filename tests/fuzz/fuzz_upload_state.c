/* Any attribute is refused or gives a state within its bounds, with spans inside of it; what was read can be written
 * again, in no more bytes, and read the same. */
#include "sluice/decode/tus.h"
#include "sluice/store/upload_state.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(struct sl_bytes text, size_t max, struct sl_bytes whole)
{
    must(text.len <= max);
    must(text.len == 0 || (text.base >= whole.base && text.base + text.len <= whole.base + whole.len));
    for (size_t i = 0; i < text.len; i++)
        must((unsigned char)text.base[i] >= 0x20 && text.base[i] != 0x7f);
}

static void check_field(struct sl_bytes field, struct sl_bytes whole)
{
    must(field.base == NULL || (field.base >= whole.base && field.base + field.len <= whole.base + whole.len));
    must(field.base != NULL || field.len == 0);
}

static bool is_same(struct sl_bytes a, struct sl_bytes b)
{
    return (a.base == NULL) == (b.base == NULL) && sl_bytes_equal(a, b);
}

static void check_bounds(const struct sl_upload_state *state, struct sl_bytes whole)
{
    must(state->dialect == SL_UPLOAD_TUS || state->dialect == SL_UPLOAD_DRAFT);
    must(state->kind == SL_UPLOAD_WHOLE || state->kind == SL_UPLOAD_PARTIAL || state->kind == SL_UPLOAD_FINAL);
    must(state->conflict == SL_CONFLICT_ERROR || state->conflict == SL_CONFLICT_RENAME ||
         state->conflict == SL_CONFLICT_OVERWRITE);
    must(state->offset <= state->length && state->promised.set >> SL_HASH_ALGS == 0);
    must(state->path.len > 0 || state->kind == SL_UPLOAD_PARTIAL);
    struct sl_path path;
    must(state->path.len == 0 || sl_path_check((struct sl_bytes){state->path.text, state->path.len}, &path) == SL_OK);
    check_text(state->name, 1023, whole);
    check_text(state->type, 255, whole);
    check_text(state->request_id, 128, whole);
    check_text(state->metadata, SL_TUS_METADATA_BYTES_MAX, whole);
    must(sl_tus_metadata_check(state->metadata) == SL_OK);
    check_text(state->concat, whole.len, whole);
    check_field(state->conditions.if_match, whole);
    check_field(state->conditions.if_none_match, whole);
    check_field(state->conditions.if_unmodified_since, whole);
    must(state->conditions.if_modified_since.base == NULL && state->conditions.if_range.base == NULL);
    must(state->wanted >> SL_HASH_ALGS == 0);
    sl_hash_set set;
    uint64_t digested;
    must(state->hash.len == 0 ||
         (sl_hash_state_check(&state->hash, &set, &digested) == SL_OK && digested == state->offset));
}

static void check_again(const struct sl_upload_state *state, size_t size)
{
    char out[SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state again;
    size_t len;
    must(sl_upload_state_encode(state, out, &len) == SL_OK && len <= size);
    must(sl_upload_state_decode((struct sl_bytes){out, len}, &again) == SL_OK);
    must(again.dialect == state->dialect && again.kind == state->kind && again.is_done == state->is_done);
    must(again.offset == state->offset && again.length == state->length);
    must(again.created_ns == state->created_ns && again.touched_ns == state->touched_ns);
    must(again.conflict == state->conflict && again.is_attachment == state->is_attachment);
    must(again.is_posted == state->is_posted && again.is_joined == state->is_joined);
    must(again.path.len == state->path.len && strcmp(again.path.text, state->path.text) == 0);
    must(sl_bytes_equal(again.name, state->name) && sl_bytes_equal(again.type, state->type));
    must(sl_bytes_equal(again.request_id, state->request_id) && sl_bytes_equal(again.metadata, state->metadata));
    must(sl_bytes_equal(again.concat, state->concat) && again.wanted == state->wanted);
    must(is_same(again.conditions.if_match, state->conditions.if_match));
    must(is_same(again.conditions.if_none_match, state->conditions.if_none_match));
    must(is_same(again.conditions.if_unmodified_since, state->conditions.if_unmodified_since));
    must(memcmp(&again.promised, &state->promised, sizeof again.promised) == 0);
    must(again.hash.len == state->hash.len && memcmp(again.hash.bytes, state->hash.bytes, again.hash.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + (size == 0));
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct sl_bytes whole = {copy, size};
    struct sl_upload_state state;
    sl_err err = sl_upload_state_decode(whole, &state);
    must(err == SL_OK || err == SL_BAD_FIELD);
    if (err == SL_OK) {
        check_bounds(&state, whole);
        check_again(&state, size);
    } else
        must(state.dialect == 0 && state.path.len == 0 && state.hash.len == 0);
    free(copy);
    return 0;
}
