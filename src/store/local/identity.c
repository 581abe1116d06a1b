/* What a file is known as: its metadata as far as it is still true, and its entity tag. Pure. */
#include "local.h"

#include "sluice/base/base64.h"
#include "sluice/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define ETAG_DIGEST_BYTES 32 /* of SHA-256 all, of SHA-512 the first half */

_Static_assert(SL_BASE64_LEN(ETAG_DIGEST_BYTES) + 3 <= SL_ETAG_BYTES, "a digest fits into an entity tag");
_Static_assert(sizeof "\"0123456789abcdef-0123456789abcdef-0123456789abcdef\"" <= SL_ETAG_BYTES, "so do numbers");

static const uint8_t *strong_digest(const struct sl_digests *digests)
{
    if (digests->set & 1u << SL_HASH_SHA256)
        return digests->value[SL_HASH_SHA256];
    return digests->set & 1u << SL_HASH_SHA512 ? digests->value[SL_HASH_SHA512] : NULL;
}

bool sl_local_etag_of_digests(const struct sl_digests *digests, char etag_out[SL_ETAG_BYTES])
{
    const uint8_t *digest = strong_digest(digests);
    if (digest == NULL)
        return false;
    size_t len = sl_base64_encode(etag_out + 1, digest, ETAG_DIGEST_BYTES);
    etag_out[0] = etag_out[len + 1] = '"';
    etag_out[len + 2] = '\0';
    return true;
}

void sl_local_identify(struct sl_bytes encoded_meta, uint64_t size, uint64_t modified_ns, uint64_t inode,
                       struct sl_meta *meta_out, char etag_out[SL_ETAG_BYTES])
{
    bool is_ours = sl_meta_decode(encoded_meta, meta_out) == SL_OK;
    /* Somebody wrote to the file since, or put another in its place and an older time on it. */
    bool is_another = modified_ns > meta_out->created_ns || modified_ns < meta_out->begun_ns;
    if (!is_ours || is_another)
        meta_out->digests.set = 0;
    if (!sl_local_etag_of_digests(&meta_out->digests, etag_out))
        snprintf(etag_out, SL_ETAG_BYTES, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", inode, size, modified_ns);
}

bool sl_local_is_time_coarse(uint64_t before_ns, uint64_t modified_ns, uint64_t after_ns)
{
    return modified_ns % SL_SEC == 0 || modified_ns + SL_LOCAL_TICK_NS < before_ns || modified_ns > after_ns;
}

uint64_t sl_local_modified_ns(const struct statx *stat)
{
    return (uint64_t)stat->stx_mtime.tv_sec * SL_SEC + stat->stx_mtime.tv_nsec;
}
