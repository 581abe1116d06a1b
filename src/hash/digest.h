/* A running digest over several algorithms: what a lane carries from job to job. Used by one thread at a time. It is
 * of one size, holds no other memory, and may be copied. */
#ifndef SLUICE_HASH_DIGEST_H
#define SLUICE_HASH_DIGEST_H

#include "sluice/hash/hash.h"

#include <openssl/md5.h>
#include <openssl/sha.h>

struct sl_digest {
    sl_hash_set set;
    uint64_t digested; /* bytes so far */
    SHA256_CTX sha256;
    SHA512_CTX sha512;
    SHA_CTX sha1;
    MD5_CTX md5;
    uint32_t crc32c, crc32;
};

/* Begins anew for `set` (may be empty). */
void sl_digest_begin(struct sl_digest *digest, sl_hash_set set);
void sl_digest_update(struct sl_digest *digest, const void *data, size_t len);

/* The digest is used up by this: begin it again, or copy it before. */
void sl_digest_end(struct sl_digest *digest, struct sl_digests *digests_out);

/* ---- for state.c: what an algorithm carries from block to block ---- */

#define SL_DIGEST_WORDS_MAX 8
#define SL_DIGEST_BLOCK_MAX 128
#define SL_DIGEST_BYTES_MAX (UINT64_MAX >> 3) /* SHA-256 counts bits, in 64 of them */

/* 1: it has none. */
size_t sl_digest_block_bytes(enum sl_hash_alg alg);

/* Its words behind the last whole block; their number. */
unsigned sl_digest_get_words(const struct sl_digest *digest, enum sl_hash_alg alg,
                             uint64_t words_out[SL_DIGEST_WORDS_MAX]);

/* The bytes behind the last whole block of that algorithm whose blocks are the largest; they end with those of the
 * others. *bytes_out is borrowed from the digest; without any blocks they are none. */
size_t sl_digest_rest(const struct sl_digest *digest, const unsigned char **bytes_out);

/* Puts one algorithm of a digest that was just begun behind `digested` bytes. rest_end: the end of those that are no
 * whole block. */
void sl_digest_go_on(struct sl_digest *digest, enum sl_hash_alg alg, const uint64_t words[SL_DIGEST_WORDS_MAX],
                     uint64_t digested, const unsigned char *rest_end);

/* ---- state.c: the digest, as it is kept ---- */

void sl_digest_save(const struct sl_digest *digest, struct sl_hash_state *state_out);

/* SL_BAD_FIELD: the bytes, which may be any, are no state; the digest is begun for no algorithm then. */
SL_MUST_CHECK sl_err sl_digest_resume(struct sl_digest *digest, const struct sl_hash_state *state);

#endif
