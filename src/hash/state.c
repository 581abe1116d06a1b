/* The saved digest: what its algorithms carry from block to block, in a form of its own, so that it can lie on disk
 * while the program and OpenSSL change.
 *
 *   version, count of algorithms    one byte each
 *   digested                        8 bytes, lowest first, as all numbers here
 *   of each algorithm               its tag, one byte, rising; its words, of 4 bytes, or of 8 with SHA-512
 *   rest                            the bytes behind the last whole block, of the algorithm with the largest blocks
 *   check                           crc32c of all before it, 4 bytes
 *
 * What is wrong by a bit would give a wrong digest in the end, and nobody could tell why: hence the check. Pure. */
#include "digest.h"

#include "crc32c.h"

#include <assert.h>
#include <string.h>

#define VERSION     1
#define HEAD_BYTES  10
#define CHECK_BYTES 4

/* On disk: never given a second meaning. In the order of the tags. */
static const struct form {
    uint8_t tag;
    enum sl_hash_alg alg;
    uint8_t words, word_bytes;
} forms[SL_HASH_ALGS] = {
    {1, SL_HASH_SHA256, 8, 4}, {2, SL_HASH_SHA512, 8, 8}, {3, SL_HASH_SHA1, 5, 4},
    {4, SL_HASH_MD5, 4, 4},    {5, SL_HASH_CRC32C, 1, 4}, {6, SL_HASH_CRC32, 1, 4},
};

static_assert(HEAD_BYTES + (1 + 32) + (1 + 64) + (1 + 20) + (1 + 16) + 2 * (1 + 4) + SL_DIGEST_BLOCK_MAX +
                      CHECK_BYTES <=
                  SL_HASH_STATE_BYTES_MAX,
              "a state of all algorithms has room");

static uint8_t *put(uint8_t *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *at++ = (uint8_t)(number >> 8 * i);
    return at;
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)at[i] << 8 * i;
    return number;
}

void sl_digest_save(const struct sl_digest *digest, struct sl_hash_state *state_out)
{
    assert(digest->digested <= SL_DIGEST_BYTES_MAX);
    uint8_t *start = state_out->bytes, *at = put(start, VERSION, 1);
    at = put(at, (unsigned)__builtin_popcount(digest->set), 1);
    at = put(at, digest->digested, 8);
    for (const struct form *form = forms; form < forms + SL_HASH_ALGS; form++) {
        if ((digest->set >> form->alg & 1) == 0)
            continue;
        uint64_t words[SL_DIGEST_WORDS_MAX];
        unsigned count = sl_digest_get_words(digest, form->alg, words);
        assert(count == form->words);
        at = put(at, form->tag, 1);
        for (unsigned i = 0; i < count; i++)
            at = put(at, words[i], form->word_bytes);
    }
    const unsigned char *rest;
    size_t rest_bytes = sl_digest_rest(digest, &rest);
    if (rest_bytes > 0)
        memcpy(at, rest, rest_bytes);
    at += rest_bytes;
    at = put(at, sl_crc32c(0, start, (size_t)(at - start)), CHECK_BYTES);
    state_out->len = (size_t)(at - start);
    assert(state_out->len <= sizeof state_out->bytes);
}

/* What a state consists of; `words` point into it. */
struct parts {
    sl_hash_set set;
    uint64_t digested;
    const uint8_t *words[SL_HASH_ALGS]; /* by form */
    const uint8_t *rest_end;
};

/* The row with this tag, if it comes behind `after`. */
static const struct form *find_form(uint8_t tag, const struct form *after)
{
    for (const struct form *form = after == NULL ? forms : after + 1; form < forms + SL_HASH_ALGS; form++)
        if (form->tag == tag)
            return form;
    return NULL;
}

/* As long as a state, in one piece, and of this version. */
static bool is_whole(const struct sl_hash_state *state)
{
    if (state->len < HEAD_BYTES + CHECK_BYTES || state->len > sizeof state->bytes || state->bytes[0] != VERSION)
        return false;
    size_t covered = state->len - CHECK_BYTES;
    return get(state->bytes + covered, CHECK_BYTES) == sl_crc32c(0, state->bytes, covered);
}

static sl_err parse(const struct sl_hash_state *state, struct parts *parts)
{
    if (!is_whole(state))
        return SL_BAD_FIELD;
    const uint8_t *at = state->bytes + HEAD_BYTES, *end = state->bytes + state->len - CHECK_BYTES;
    *parts = (struct parts){.digested = get(state->bytes + 2, 8), .rest_end = end};
    if (parts->digested > SL_DIGEST_BYTES_MAX)
        return SL_BAD_FIELD;
    const struct form *form = NULL;
    size_t block = 1;
    for (unsigned left = state->bytes[1]; left > 0; left--) {
        if (at == end || (form = find_form(*at, form)) == NULL)
            return SL_BAD_FIELD;
        size_t bytes = (size_t)form->words * form->word_bytes;
        if ((size_t)(end - at) < 1 + bytes)
            return SL_BAD_FIELD;
        parts->words[form - forms] = at + 1;
        parts->set |= 1u << form->alg;
        at += 1 + bytes;
        if (sl_digest_block_bytes(form->alg) > block)
            block = sl_digest_block_bytes(form->alg);
    }
    return (size_t)(end - at) == parts->digested % block ? SL_OK : SL_BAD_FIELD;
}

sl_err sl_digest_resume(struct sl_digest *digest, const struct sl_hash_state *state)
{
    struct parts parts;
    sl_err err = parse(state, &parts);
    if (err != SL_OK) {
        sl_digest_begin(digest, 0);
        return err;
    }
    sl_digest_begin(digest, parts.set);
    digest->digested = parts.digested;
    for (unsigned f = 0; f < SL_HASH_ALGS; f++) {
        if (parts.words[f] == NULL)
            continue;
        uint64_t words[SL_DIGEST_WORDS_MAX];
        for (unsigned i = 0; i < forms[f].words; i++)
            words[i] = get(parts.words[f] + (size_t)i * forms[f].word_bytes, forms[f].word_bytes);
        sl_digest_go_on(digest, forms[f].alg, words, parts.digested, parts.rest_end);
    }
    return SL_OK;
}

void sl_hash_state_begin(struct sl_hash_state *state, sl_hash_set set)
{
    struct sl_digest digest;
    sl_digest_begin(&digest, set);
    sl_digest_save(&digest, state);
}

sl_err sl_hash_state_check(const struct sl_hash_state *state, sl_hash_set *set_out, uint64_t *digested_out)
{
    struct parts parts;
    sl_err err = parse(state, &parts);
    if (err != SL_OK)
        return err;
    *set_out = parts.set;
    *digested_out = parts.digested;
    return SL_OK;
}

/* A state of which the caller says that it is one. */
static void resume_valid(struct sl_digest *digest, const struct sl_hash_state *state)
{
    sl_err err = sl_digest_resume(digest, state);
    assert(err == SL_OK);
    (void)err;
}

void sl_hash_state_update(struct sl_hash_state *state, const void *data, size_t len)
{
    struct sl_digest digest;
    resume_valid(&digest, state);
    sl_digest_update(&digest, data, len);
    sl_digest_save(&digest, state);
}

void sl_hash_state_end(const struct sl_hash_state *state, struct sl_digests *digests_out)
{
    struct sl_digest digest;
    resume_valid(&digest, state);
    sl_digest_end(&digest, digests_out);
}
