/* The algorithms: their names, and one pass over bytes for a set of them. All but crc32c are OpenSSL's.
 *
 * A pool thread runs what a lane fed; sl_hash_now runs wherever it is called. Nothing here waits or knows of lanes. */
#include "digest.h"

#include "crc32c.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* With several algorithms each takes a piece this big, so that the second finds it in the cache. */
#define PIECE_BYTES ((size_t)16 * 1024)

static const struct alg {
    const char *name;
    const char *evp_name; /* NULL: not OpenSSL's */
    size_t bytes;
} algs[SL_HASH_ALGS] = {
    [SL_HASH_SHA256] = {"sha-256", "SHA2-256", 32}, [SL_HASH_SHA512] = {"sha-512", "SHA2-512", 64},
    [SL_HASH_SHA1] = {"sha", "SHA1", 20},           [SL_HASH_MD5] = {"md5", "MD5", 16},
    [SL_HASH_CRC32C] = {"crc32c", NULL, 4},
};

static EVP_MD *fetched[SL_HASH_ALGS]; /* fixed after sl_digest_prepare, lives as long as the process */

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

static void fetch_all(void)
{
    for (int i = 0; i < SL_HASH_ALGS; i++) {
        if (algs[i].evp_name == NULL)
            continue;
        fetched[i] = EVP_MD_fetch(NULL, algs[i].evp_name, NULL);
        if (fetched[i] == NULL) {
            fprintf(stderr, "sluice: OpenSSL here has no %s\n", algs[i].evp_name);
            abort();
        }
        assert((size_t)EVP_MD_get_size(fetched[i]) == algs[i].bytes);
    }
}

void sl_digest_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_all);
}

static bool has(sl_hash_set set, int alg)
{
    return (set >> alg & 1) != 0;
}

sl_err sl_digest_begin(struct sl_digest *digest, sl_hash_set set)
{
    assert(set != 0 && set >> SL_HASH_ALGS == 0);
    sl_digest_prepare();
    digest->set = set;
    digest->crc32c = 0;
    for (int i = 0; i < SL_HASH_ALGS; i++) {
        if (!has(set, i) || fetched[i] == NULL)
            continue;
        if (digest->contexts[i] == NULL)
            digest->contexts[i] = EVP_MD_CTX_new();
        /* OpenSSL 3.0 allocates its ~100 bytes of state in here each time; since 3.1 it keeps them. */
        if (digest->contexts[i] == NULL || !EVP_DigestInit_ex2(digest->contexts[i], fetched[i], NULL))
            return SL_NO_MEMORY;
    }
    return SL_OK;
}

static void update_piece(struct sl_digest *digest, const unsigned char *piece, size_t len)
{
    for (int i = 0; i < SL_HASH_ALGS; i++) {
        if (!has(digest->set, i))
            continue;
        if (i == SL_HASH_CRC32C) {
            digest->crc32c = sl_crc32c(digest->crc32c, piece, len);
        } else {
            int is_ok = EVP_DigestUpdate(digest->contexts[i], piece, len);
            assert(is_ok);
            (void)is_ok;
        }
    }
}

void sl_digest_update(struct sl_digest *digest, const void *data, size_t len)
{
    assert(digest->set != 0);
    for (const unsigned char *piece = data; len > 0;) {
        size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;
        update_piece(digest, piece, n);
        piece += n;
        len -= n;
    }
}

void sl_digest_end(struct sl_digest *digest, struct sl_digests *digests_out)
{
    assert(digest->set != 0);
    *digests_out = (struct sl_digests){.set = digest->set};
    for (int i = 0; i < SL_HASH_ALGS; i++) {
        if (!has(digest->set, i))
            continue;
        if (i == SL_HASH_CRC32C) {
            for (int b = 0; b < 4; b++) /* the value is a number, and travels big-endian */
                digests_out->value[i][b] = (uint8_t)(digest->crc32c >> (24 - 8 * b));
        } else {
            int is_ok = EVP_DigestFinal_ex(digest->contexts[i], digests_out->value[i], NULL);
            assert(is_ok);
            (void)is_ok;
        }
    }
    digest->set = 0;
}

void sl_digest_dispose(struct sl_digest *digest)
{
    for (int i = 0; i < SL_HASH_ALGS; i++)
        EVP_MD_CTX_free(digest->contexts[i]);
    *digest = (struct sl_digest){0};
}

sl_err sl_hash_now(sl_hash_set set, const void *data, size_t len, struct sl_digests *digests_out)
{
    struct sl_digest digest = {0};
    sl_err err = sl_digest_begin(&digest, set);
    if (err == SL_OK) {
        sl_digest_update(&digest, data, len);
        sl_digest_end(&digest, digests_out);
    }
    sl_digest_dispose(&digest);
    return err;
}
