/* What all uploads of one loop share: the floors below, wired, and the limits. Loop thread. */
#ifndef SLUICE_UPLOAD_INTAKE_H
#define SLUICE_UPLOAD_INTAKE_H

#include "sluice/base/mailbox.h"
#include "sluice/hash/hash.h"
#include "sluice/mem/slab.h"
#include "sluice/store/store.h"
#include "sluice/upload/stats.h"

struct sl_intake {
    /* fixed after init; all lent for the intake's life */
    struct sl_slab_pool *slabs;
    struct sl_store *store;
    struct sl_hash_pool *hash_pool;
    struct sl_mailbox *mailbox;
    struct sl_uploads *uploads; /* NULL: none can be gone on with later, and nobody may ask for one */
    sl_hash_set digests;
    enum sl_conflict conflict;
    const char *name_template;
    uint64_t size_max;             /* bytes a file, UINT64_MAX: none */
    unsigned files_max;            /* open at once, over all uploads of this loop: file descriptors */
    uint64_t checkpoint_bytes;     /* of a resumable upload: what a crash may cost its sender. 0: as is usual */
    struct sl_upload_stats *stats; /* NULL: nobody reads them, and the intake has its own */

    /* loop thread */
    bool has_own_stats;
    unsigned files;                 /* sessions that are not idle */
    unsigned resumables;            /* that are not idle or closed */
    unsigned bulk_pipelines;        /* that share the large slabs */
    unsigned medium_held;           /* slabs of short uploads */
    struct sl_link roomy_pipelines; /* who has taken more than a small slab, perhaps given it back: for the tick */
    struct sl_link idle_pieces;     /* never more than there are slabs */
};

/* Zeroes the second half; the caller has filled the first. */
void sl_intake_init(struct sl_intake *intake);

/* Every upload must be over. */
void sl_intake_dispose(struct sl_intake *intake);

/* How many large slabs one upload may hold now: a fair share, at least one. */
unsigned sl_intake_large_share(const struct sl_intake *intake);

/* How many medium slabs all short uploads may hold together: what is left is room for many slow ones. */
unsigned sl_intake_medium_max(const struct sl_intake *intake);

/* Once a second: takes back from uploads that stall what is more than a small slab. */
void sl_intake_tick(struct sl_intake *intake);

#endif
