/* A digest as it may lie on disk: any bytes are refused, or go on as what they say: saved again they are the same, cut
 * anywhere in time they end alike, and what was refused leaves nothing. The input: a flag, whether its last four bytes
 * are the check that is to be right; how many bytes of the end are what is digested next; the state. */
#include "hash/crc32c.h"
#include "hash/digest.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES  2
#define CHECK_BYTES 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_same(const struct sl_hash_state *a, const struct sl_hash_state *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void must_agree(const struct sl_digests *a, const struct sl_digests *b)
{
    must(a->set == b->set);
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        must((a->set & 1u << alg) == 0 || memcmp(a->value[alg], b->value[alg], sl_hash_bytes(alg)) == 0);
}

/* Nobody finds a right check by chance. */
static void set_check(struct sl_hash_state *state)
{
    size_t covered = state->len - CHECK_BYTES;
    uint32_t check = sl_crc32c(0, state->bytes, covered);
    for (unsigned i = 0; i < CHECK_BYTES; i++)
        state->bytes[covered + i] = (uint8_t)(check >> 8 * i);
}

static void go_on(const struct sl_hash_state *state, const uint8_t *bytes, size_t len)
{
    struct sl_hash_state whole = *state, pieces = *state;
    struct sl_digests first, second;
    sl_hash_set set;
    uint64_t digested, behind;
    must(sl_hash_state_check(state, &set, &digested) == SL_OK && set >> SL_HASH_ALGS == 0);
    if (digested > SL_DIGEST_BYTES_MAX - len)
        return; /* no file is as long */
    sl_hash_state_update(&whole, bytes, len);
    sl_hash_state_update(&pieces, bytes, len / 3);
    sl_hash_state_update(&pieces, bytes + len / 3, len - len / 3);
    must(is_same(&whole, &pieces));
    must(sl_hash_state_check(&whole, &set, &behind) == SL_OK && behind == digested + len);
    sl_hash_state_end(&whole, &first);
    sl_hash_state_end(&pieces, &second);
    must(first.set == set);
    must_agree(&first, &second);
    if (digested == 0)
        return;
    must(!is_same(&whole, state) || len == 0);
}

static void resume(const struct sl_hash_state *state, const uint8_t *bytes, size_t len)
{
    struct sl_digest digest;
    struct sl_hash_state again;
    sl_hash_set set;
    uint64_t digested;
    sl_err err = sl_digest_resume(&digest, state);
    must(err == SL_OK || err == SL_BAD_FIELD);
    must(err == sl_hash_state_check(state, &set, &digested));
    if (err != SL_OK) {
        must(digest.set == 0 && digest.digested == 0);
        return;
    }
    must(digest.set == set && digest.digested == digested);
    sl_digest_save(&digest, &again);
    must(is_same(&again, state));
    go_on(state, bytes, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_hash_state state = {0};
    if (size < HEAD_BYTES)
        return 0;
    const uint8_t *text = data + HEAD_BYTES;
    size_t left = size - HEAD_BYTES, rest = data[1] < left ? data[1] : left, len = left - rest;
    state.len = len < sizeof state.bytes ? len : sizeof state.bytes;
    memcpy(state.bytes, text, state.len);
    if ((data[0] & 1) && state.len > CHECK_BYTES)
        set_check(&state);
    resume(&state, text + len, rest);
    return 0;
}
