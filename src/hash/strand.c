#include "strand.h"

#include <assert.h>

static struct sl_hash_job *first_taken(const struct sl_strand *strand)
{
    if (sl_list_is_empty(&strand->taken))
        return NULL;
    return SL_CONTAINER_OF(strand->taken.next, struct sl_hash_job, link);
}

/* Ends and posts what needs no more bytes. The next job that does, or NULL. */
static struct sl_hash_job *settle(struct sl_strand *strand)
{
    for (struct sl_hash_job *job; (job = first_taken(strand)) != NULL;) {
        if (job->data != NULL && strand->at < job->len)
            return job;
        if (job->data == NULL && job->state_out != NULL)
            sl_digest_save(&strand->digest, job->state_out);
        else if (job->data == NULL)
            sl_digest_end(&strand->digest, &job->lane->digests);
        sl_link_unlink(&job->link);
        strand->at = 0;
        sl_mailbox_post(job->lane->home, &job->mail); /* job and lane are the owner's again */
    }
    return NULL;
}

void sl_strand_run(struct sl_strand *strand, size_t bytes_max)
{
    for (struct sl_hash_job *job; (job = settle(strand)) != NULL && bytes_max > 0;) {
        size_t left = job->len - strand->at, len = left < bytes_max ? left : bytes_max;
        sl_digest_update(&strand->digest, (const unsigned char *)job->data + strand->at, len);
        strand->at += len;
        bytes_max -= len;
    }
}

void sl_strands_run(struct sl_strand *const strands[], unsigned count, const struct sl_sha256_kernel *kernel,
                    size_t blocks_max)
{
    struct sl_sha256_stream streams[SL_SHA256_LANES_MAX];
    struct sl_strand *owners[SL_SHA256_LANES_MAX];
    unsigned busy = 0;
    assert(count >= 1 && count <= kernel->lanes);
    for (unsigned i = 0; i < count; i++) {
        struct sl_strand *strand = strands[i];
        struct sl_hash_job *job = settle(strand);
        assert(strand->is_sharing);
        if (job == NULL)
            continue;
        owners[busy] = strand;
        streams[busy++] = (struct sl_sha256_stream){
            &strand->digest.sha256, (const unsigned char *)job->data + strand->at, job->len - strand->at};
    }
    if (busy == 0)
        return;
    sl_sha256_advance(kernel, streams, busy, blocks_max);
    for (unsigned i = 0; i < busy; i++) {
        size_t at = first_taken(owners[i])->len - streams[i].len;
        owners[i]->digest.digested += at - owners[i]->at;
        owners[i]->at = at;
        (void)settle(owners[i]);
    }
}
