/* In the place of src/hash/pool.c: the same contract without threads, so that an input does the same each time. A job
 * is digested as late as may be, when it is told: what is lent until then is looked at until then. */
#include "hash/digest.h"

#include <assert.h>
#include <stdlib.h>

struct sl_strand {
    struct sl_digest digest;
};

struct sl_hash_pool {
    unsigned open_lanes;
};

struct sl_hash_pool *sl_hash_pool_create(unsigned threads)
{
    struct sl_hash_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        abort();
    return pool;
}

void sl_hash_pool_destroy(struct sl_hash_pool *pool)
{
    assert(pool == NULL || pool->open_lanes == 0);
    free(pool);
}

static void open_lane(struct sl_hash_lane *lane, struct sl_hash_pool *pool, struct sl_mailbox *home)
{
    *lane = (struct sl_hash_lane){.pool = pool, .home = home, .strand = calloc(1, sizeof *lane->strand)};
    if (lane->strand == NULL)
        abort();
    pool->open_lanes++;
}

sl_err sl_hash_lane_open(struct sl_hash_lane *lane, struct sl_hash_pool *pool, sl_hash_set set,
                         struct sl_mailbox *home)
{
    assert(set != 0);
    open_lane(lane, pool, home);
    sl_digest_begin(&lane->strand->digest, set);
    return SL_OK;
}

sl_err sl_hash_lane_resume(struct sl_hash_lane *lane, struct sl_hash_pool *pool, const struct sl_hash_state *state,
                           struct sl_mailbox *home)
{
    open_lane(lane, pool, home);
    sl_err err = sl_digest_resume(&lane->strand->digest, state);
    assert(err == SL_OK && lane->strand->digest.set != 0);
    return err;
}

static void on_job_arrival(struct sl_mail *mail)
{
    struct sl_hash_job *job = SL_CONTAINER_OF(mail, struct sl_hash_job, mail);
    struct sl_digest *digest = &job->lane->strand->digest;
    sl_hash_cb on_done = job->on_done;
    assert(job->lane->inflight > 0);
    job->lane->inflight--;
    if (job->data != NULL)
        sl_digest_update(digest, job->data, job->len);
    else if (job->state_out != NULL)
        sl_digest_save(digest, job->state_out);
    else
        sl_digest_end(digest, &job->lane->digests);
    job->on_done = NULL;
    on_done(job, job->ctx);
}

static void post(struct sl_hash_lane *lane, struct sl_hash_job *job, struct sl_hash_job filled)
{
    assert(lane->pool != NULL && !lane->is_finished && filled.on_done != NULL && job->on_done == NULL);
    *job = filled;
    job->lane = lane;
    job->mail.on_arrival = on_job_arrival;
    lane->inflight++;
    sl_mailbox_post(lane->home, &job->mail);
}

void sl_hash_lane_feed(struct sl_hash_lane *lane, struct sl_hash_job *job, const void *data, size_t len,
                       sl_hash_cb on_done, void *ctx)
{
    assert(data != NULL && len > 0);
    post(lane, job, (struct sl_hash_job){.data = data, .len = len, .on_done = on_done, .ctx = ctx});
}

void sl_hash_lane_finish(struct sl_hash_lane *lane, struct sl_hash_job *job, sl_hash_cb on_done, void *ctx)
{
    post(lane, job, (struct sl_hash_job){.on_done = on_done, .ctx = ctx});
    lane->is_finished = true;
}

void sl_hash_lane_save(struct sl_hash_lane *lane, struct sl_hash_job *job, struct sl_hash_state *state_out,
                       sl_hash_cb on_done, void *ctx)
{
    assert(state_out != NULL);
    post(lane, job, (struct sl_hash_job){.state_out = state_out, .on_done = on_done, .ctx = ctx});
}

void sl_hash_lane_close(struct sl_hash_lane *lane)
{
    if (lane->pool == NULL)
        return;
    assert(lane->inflight == 0 && lane->pool->open_lanes > 0);
    lane->pool->open_lanes--;
    free(lane->strand);
    *lane = (struct sl_hash_lane){.digests = lane->digests, .is_finished = lane->is_finished};
}
