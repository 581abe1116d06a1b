/* Private to hash: the pool's side of a lane, its jobs and its digest, as threads hold it. One thread at a time. */
#ifndef SLUICE_HASH_STRAND_H
#define SLUICE_HASH_STRAND_H

#include "digest.h"
#include "sha256_lanes.h"

struct sl_strand {
    struct sl_link link;     /* a queue or the free list; pool's lock, as all up to is_closed */
    struct sl_link jobs;     /* fed, and no thread has seen them */
    bool is_scheduled;       /* in a queue or with a thread */
    bool is_closed;          /* the lane is gone */
    bool is_sharing;         /* may share a vector with others: SHA-256 alone; fixed while the lane is open */
    struct sl_link taken;    /* jobs before those of `jobs`; whoever holds the strand, as all that follows */
    size_t at;               /* bytes of the first taken job that are digested */
    struct sl_digest digest; /* also the loop thread while it opens */
};

/* Digests up to about bytes_max bytes of what was taken, with OpenSSL, and posts the jobs that are done. */
void sl_strand_run(struct sl_strand *strand, size_t bytes_max);

/* Digests some of what each of 1 to kernel->lanes sharing strands has taken, and posts the jobs that are done: until
 * one has no bytes left in its job, or each got blocks_max blocks. */
void sl_strands_run(struct sl_strand *const strands[], unsigned count, const struct sl_sha256_kernel *kernel,
                    size_t blocks_max);

#endif
