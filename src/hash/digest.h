/* A running digest over several algorithms: what a lane carries from job to job. Used by one thread at a time. */
#ifndef SLUICE_HASH_DIGEST_H
#define SLUICE_HASH_DIGEST_H

#include "sluice/hash/hash.h"

#include <openssl/evp.h>

/* All-zero is empty. Contexts, once made, stay for the next sl_digest_begin. */
struct sl_digest {
    sl_hash_set set;
    EVP_MD_CTX *contexts[SL_HASH_ALGS];
    uint32_t crc32c;
};

/* Finds the algorithms in OpenSSL, once per process; slow the first time, so do it at start. Aborts when one is
 * missing. */
void sl_digest_prepare(void);

/* Begins anew for `set` (not empty). SL_NO_MEMORY: the digest may only be begun again or disposed. */
SL_MUST_CHECK sl_err sl_digest_begin(struct sl_digest *digest, sl_hash_set set);
void sl_digest_update(struct sl_digest *digest, const void *data, size_t len);
void sl_digest_end(struct sl_digest *digest, struct sl_digests *digests_out);
void sl_digest_dispose(struct sl_digest *digest);

#endif
