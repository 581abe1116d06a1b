/* The algorithms: their names, and one pass over bytes for a set of them. The crc's are zlib's and ours, the others
 * OpenSSL's.
 *
 * A pool thread runs what a lane fed; sl_hash_now runs wherever it is called. Nothing here waits or knows of lanes. */

/* OpenSSL 3 would have its EVP used: that hides the words between two blocks, which a digest that goes on after a
 * restart needs, and takes memory for each digest. These calls reach the same assembly. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "digest.h"

#include "crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

/* With several algorithms each takes a piece this big, so that the second finds it in the cache. */
#define PIECE_BYTES ((size_t)16 * 1024)

static const struct alg {
    const char *name;
    size_t bytes, block_bytes;
} algs[SL_HASH_ALGS] = {
    [SL_HASH_SHA256] = {"sha-256", SHA256_DIGEST_LENGTH, SHA256_CBLOCK},
    [SL_HASH_SHA512] = {"sha-512", SHA512_DIGEST_LENGTH, SHA512_CBLOCK},
    [SL_HASH_SHA1] = {"sha", SHA_DIGEST_LENGTH, SHA_CBLOCK},
    [SL_HASH_MD5] = {"md5", MD5_DIGEST_LENGTH, MD5_CBLOCK},
    [SL_HASH_CRC32C] = {"crc32c", 4, 1},
    [SL_HASH_CRC32] = {"crc32", 4, 1},
};

const char *sl_hash_name(enum sl_hash_alg alg)
{
    assert(alg < SL_HASH_ALGS);
    return algs[alg].name;
}

size_t sl_hash_bytes(enum sl_hash_alg alg)
{
    assert(alg < SL_HASH_ALGS);
    return algs[alg].bytes;
}

size_t sl_digest_block_bytes(enum sl_hash_alg alg)
{
    assert(alg < SL_HASH_ALGS);
    return algs[alg].block_bytes;
}

bool sl_hash_find(struct sl_bytes name, enum sl_hash_alg *alg_out)
{
    for (int i = 0; i < SL_HASH_ALGS; i++) {
        if (sl_bytes_equal_nocase(name, sl_bytes_of(algs[i].name))) {
            *alg_out = (enum sl_hash_alg)i;
            return true;
        }
    }
    return false;
}

static bool has(sl_hash_set set, int alg)
{
    return (set >> alg & 1) != 0;
}

/* ---- one algorithm: OpenSSL's calls return 1 always ---- */

static void begin_one(struct sl_digest *digest, enum sl_hash_alg alg)
{
    switch (alg) {
    case SL_HASH_SHA256: SHA256_Init(&digest->sha256); return;
    case SL_HASH_SHA512: SHA512_Init(&digest->sha512); return;
    case SL_HASH_SHA1: SHA1_Init(&digest->sha1); return;
    case SL_HASH_MD5: MD5_Init(&digest->md5); return;
    case SL_HASH_CRC32C: digest->crc32c = 0; return;
    case SL_HASH_CRC32: digest->crc32 = 0; return;
    case SL_HASH_ALGS: break;
    }
    abort();
}

static void update_one(struct sl_digest *digest, enum sl_hash_alg alg, const unsigned char *piece, size_t len)
{
    switch (alg) {
    case SL_HASH_SHA256: SHA256_Update(&digest->sha256, piece, len); return;
    case SL_HASH_SHA512: SHA512_Update(&digest->sha512, piece, len); return;
    case SL_HASH_SHA1: SHA1_Update(&digest->sha1, piece, len); return;
    case SL_HASH_MD5: MD5_Update(&digest->md5, piece, len); return;
    case SL_HASH_CRC32C: digest->crc32c = sl_crc32c(digest->crc32c, piece, len); return;
    case SL_HASH_CRC32: digest->crc32 = (uint32_t)crc32(digest->crc32, piece, (uInt)len); return;
    case SL_HASH_ALGS: break;
    }
    abort();
}

/* Its value is a number, and travels big-endian. */
static void end_crc(uint32_t crc, uint8_t *value_out)
{
    for (int b = 0; b < 4; b++)
        value_out[b] = (uint8_t)(crc >> (24 - 8 * b));
}

static void end_one(struct sl_digest *digest, enum sl_hash_alg alg, uint8_t *value_out)
{
    switch (alg) {
    case SL_HASH_SHA256: SHA256_Final(value_out, &digest->sha256); return;
    case SL_HASH_SHA512: SHA512_Final(value_out, &digest->sha512); return;
    case SL_HASH_SHA1: SHA1_Final(value_out, &digest->sha1); return;
    case SL_HASH_MD5: MD5_Final(value_out, &digest->md5); return;
    case SL_HASH_CRC32C: end_crc(digest->crc32c, value_out); return;
    case SL_HASH_CRC32: end_crc(digest->crc32, value_out); return;
    case SL_HASH_ALGS: break;
    }
    abort();
}

/* ---- a set of them ---- */

void sl_digest_begin(struct sl_digest *digest, sl_hash_set set)
{
    assert(set >> SL_HASH_ALGS == 0);
    digest->set = set;
    digest->digested = 0;
    for (int i = 0; i < SL_HASH_ALGS; i++)
        if (has(set, i))
            begin_one(digest, (enum sl_hash_alg)i);
}

void sl_digest_update(struct sl_digest *digest, const void *data, size_t len)
{
    digest->digested += len;
    for (const unsigned char *piece = data; len > 0;) {
        size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;
        for (int i = 0; i < SL_HASH_ALGS; i++)
            if (has(digest->set, i))
                update_one(digest, (enum sl_hash_alg)i, piece, n);
        piece += n;
        len -= n;
    }
}

void sl_digest_end(struct sl_digest *digest, struct sl_digests *digests_out)
{
    *digests_out = (struct sl_digests){.set = digest->set};
    for (int i = 0; i < SL_HASH_ALGS; i++)
        if (has(digest->set, i))
            end_one(digest, (enum sl_hash_alg)i, digests_out->value[i]);
    digest->set = 0;
}

void sl_hash_now(sl_hash_set set, const void *data, size_t len, struct sl_digests *digests_out)
{
    assert(set != 0);
    struct sl_digest digest;
    sl_digest_begin(&digest, set);
    sl_digest_update(&digest, data, len);
    sl_digest_end(&digest, digests_out);
}

/* ---- between two blocks ---- */

/* Where OpenSSL keeps an algorithm's words. Those of SHA-1 and MD5 are members of their own. */
static unsigned find_words(struct sl_digest *digest, enum sl_hash_alg alg, uint32_t *places[SL_DIGEST_WORDS_MAX])
{
    switch (alg) {
    case SL_HASH_SHA256:
        for (unsigned i = 0; i < 8; i++)
            places[i] = &digest->sha256.h[i];
        return 8;
    case SL_HASH_SHA1:
        places[0] = &digest->sha1.h0;
        places[1] = &digest->sha1.h1;
        places[2] = &digest->sha1.h2;
        places[3] = &digest->sha1.h3;
        places[4] = &digest->sha1.h4;
        return 5;
    case SL_HASH_MD5:
        places[0] = &digest->md5.A;
        places[1] = &digest->md5.B;
        places[2] = &digest->md5.C;
        places[3] = &digest->md5.D;
        return 4;
    case SL_HASH_CRC32C: places[0] = &digest->crc32c; return 1;
    case SL_HASH_CRC32: places[0] = &digest->crc32; return 1;
    case SL_HASH_SHA512: /* its words are longer */
    case SL_HASH_ALGS: break;
    }
    abort();
}

unsigned sl_digest_get_words(const struct sl_digest *digest, enum sl_hash_alg alg,
                             uint64_t words_out[SL_DIGEST_WORDS_MAX])
{
    if (alg == SL_HASH_SHA512) {
        for (unsigned i = 0; i < 8; i++)
            words_out[i] = digest->sha512.h[i];
        return 8;
    }
    uint32_t *places[SL_DIGEST_WORDS_MAX];
    unsigned count = find_words((struct sl_digest *)digest, alg, places);
    for (unsigned i = 0; i < count; i++)
        words_out[i] = *places[i];
    return count;
}

/* The count of an algorithm goes in bits, over two words. */
static void set_bits(struct sl_digest *digest, enum sl_hash_alg alg, uint64_t digested)
{
    uint64_t bits = digested << 3;
    uint32_t low = (uint32_t)bits, high = (uint32_t)(bits >> 32);
    switch (alg) {
    case SL_HASH_SHA256: digest->sha256.Nl = low, digest->sha256.Nh = high; return;
    case SL_HASH_SHA1: digest->sha1.Nl = low, digest->sha1.Nh = high; return;
    case SL_HASH_MD5: digest->md5.Nl = low, digest->md5.Nh = high; return;
    case SL_HASH_SHA512: digest->sha512.Nl = bits, digest->sha512.Nh = 0; return;
    case SL_HASH_CRC32C:
    case SL_HASH_CRC32: return;
    case SL_HASH_ALGS: break;
    }
    abort();
}

void sl_digest_go_on(struct sl_digest *digest, enum sl_hash_alg alg, const uint64_t words[SL_DIGEST_WORDS_MAX],
                     uint64_t digested, const unsigned char *rest_end)
{
    assert(has(digest->set, alg) && digested <= SL_DIGEST_BYTES_MAX);
    size_t rest = digested % algs[alg].block_bytes;
    digest->digested = digested;
    set_bits(digest, alg, digested - rest);
    if (alg == SL_HASH_SHA512) {
        for (unsigned i = 0; i < 8; i++)
            digest->sha512.h[i] = words[i];
    } else {
        uint32_t *places[SL_DIGEST_WORDS_MAX];
        unsigned count = find_words(digest, alg, places);
        for (unsigned i = 0; i < count; i++)
            *places[i] = (uint32_t)words[i];
    }
    if (rest > 0)
        update_one(digest, alg, rest_end - rest, rest);
}

size_t sl_digest_rest(const struct sl_digest *digest, const unsigned char **bytes_out)
{
    *bytes_out = NULL;
    size_t block = 1;
    for (int i = 0; i < SL_HASH_ALGS; i++)
        if (has(digest->set, i) && algs[i].block_bytes > block)
            block = algs[i].block_bytes;
    if (has(digest->set, SL_HASH_SHA512))
        *bytes_out = digest->sha512.u.p;
    else if (has(digest->set, SL_HASH_SHA256))
        *bytes_out = (const unsigned char *)digest->sha256.data;
    else if (has(digest->set, SL_HASH_SHA1))
        *bytes_out = (const unsigned char *)digest->sha1.data;
    else if (has(digest->set, SL_HASH_MD5))
        *bytes_out = (const unsigned char *)digest->md5.data;
    return digest->digested % block;
}
