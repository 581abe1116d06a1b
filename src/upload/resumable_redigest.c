/* Bytes that are there already, read back and digested once more, off the loop: those that were joined out of others,
 * and those whose saved digest is of another form. One slab at a time. */
#include "resumable_work.h"

#include <assert.h>
#include <stdlib.h>

struct sl_redigest {
    struct sl_resumable *resumable;
    uint64_t at, bytes;
    sl_hash_set set;
    sl_resumable_step step;
    struct sl_slab_waiter waiter;
    struct sl_slab *slab;
    bool is_lent;    /* the slab is the pipeline's */
    bool is_waiting; /* for one */
    struct sl_hash_lane lane;
    struct sl_hash_job job;
    struct sl_store_write read;
    size_t bytes_read;
};

static void over(struct sl_redigest *redigest, sl_err err)
{
    struct sl_resumable *resumable = redigest->resumable;
    sl_resumable_step step = redigest->step;
    sl_hash_lane_close(&redigest->lane);
    if (redigest->slab != NULL && !redigest->is_lent)
        sl_slab_release(redigest->slab);
    free(redigest);
    resumable->work->redigest = NULL;
    resumable->work->busy--;
    step(resumable, err);
}

static void on_saved(struct sl_hash_job *job, void *ctx)
{
    (void)job;
    over(ctx, SL_OK);
}

static void on_read(struct sl_store_write *read, sl_err err, void *ctx);

/* Also the place where it is given up. */
static void read_on(struct sl_redigest *redigest)
{
    struct sl_resumable *resumable = redigest->resumable;
    uint64_t left = redigest->bytes - redigest->at;
    size_t room = redigest->slab->bytes;
    if (resumable->phase == SL_RESUMABLE_CLOSING) {
        over(redigest, SL_CANCELLED);
    } else if (left == 0) {
        sl_hash_lane_save(&redigest->lane, &redigest->job, &resumable->work->part.hash, on_saved, redigest);
    } else {
        sl_store_read_back(&resumable->session.object, &redigest->read, redigest->slab,
                           left < room ? (size_t)left : room, redigest->at, &redigest->bytes_read, on_read, redigest);
    }
}

static void on_digested(struct sl_hash_job *job, void *ctx)
{
    struct sl_redigest *redigest = ctx;
    (void)job;
    redigest->at += redigest->bytes_read;
    sl_slab_reopen(redigest->slab);
    read_on(redigest);
}

static void on_read(struct sl_store_write *read, sl_err err, void *ctx)
{
    struct sl_redigest *redigest = ctx;
    (void)read;
    uint64_t left = redigest->bytes - redigest->at;
    bool is_short = redigest->bytes_read < left && redigest->bytes_read < redigest->slab->bytes;
    if (err != SL_OK || is_short) {
        over(redigest, err != SL_OK ? err : SL_IO);
        return;
    }
    sl_slab_seal(redigest->slab);
    sl_hash_lane_feed(&redigest->lane, &redigest->job, redigest->slab->base, redigest->bytes_read, on_digested,
                      redigest);
}

/* A larger one, where it is to be had at once, is left sooner. */
static void begin(struct sl_redigest *redigest, struct sl_slab *slab)
{
    struct sl_intake *intake = redigest->resumable->work->intake;
    struct sl_slab *large = redigest->bytes > slab->bytes ? sl_slab_try(intake->slabs, SL_SLAB_LARGE) : NULL;
    redigest->slab = large != NULL ? large : slab;
    if (large != NULL && !redigest->is_lent)
        sl_slab_release(slab);
    redigest->is_lent = redigest->is_lent && large == NULL;
    sl_err err = sl_hash_lane_open(&redigest->lane, intake->hash_pool, redigest->set, intake->mailbox);
    if (err != SL_OK)
        over(redigest, err);
    else
        read_on(redigest);
}

static void on_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct sl_redigest *redigest = ctx;
    (void)waiter;
    redigest->is_waiting = false;
    begin(redigest, slab);
}

static void over_later(struct sl_resumable *resumable, sl_err err)
{
    over(resumable->work->redigest, err);
}

static void on_lent(struct sl_resumable *resumable, sl_err err)
{
    (void)err;
    begin(resumable->work->redigest, sl_pipeline_prime(resumable->work->pipeline, 0));
}

void sl_resumable_redigest(struct sl_resumable *resumable, uint64_t bytes, sl_resumable_step step)
{
    struct sl_resumable_work *work = resumable->work;
    sl_hash_set set = sl_resumable_digests(work->intake, &resumable->state);
    assert(work->redigest == NULL && set != 0);
    struct sl_redigest *redigest = work->redigest = calloc(1, sizeof *redigest);
    if (redigest == NULL)
        abort();
    redigest->resumable = resumable;
    redigest->bytes = bytes;
    redigest->set = set;
    redigest->step = step;
    work->busy++;
    if (bytes == 0) {
        sl_hash_state_begin(&work->part.hash, set);
        sl_resumable_later(resumable, over_later, SL_OK);
    } else if (work->pipeline != NULL) {
        redigest->is_lent = true;
        sl_resumable_later(resumable, on_lent, SL_OK);
    } else {
        redigest->is_waiting = true;
        sl_slab_wait(work->intake->slabs, &redigest->waiter, on_slab, redigest);
    }
}

bool sl_resumable_stop_waiting(struct sl_resumable *resumable)
{
    struct sl_redigest *redigest = resumable->work->redigest;
    if (redigest == NULL || !redigest->is_waiting)
        return false;
    sl_slab_cancel(&redigest->waiter);
    redigest->is_waiting = false;
    sl_resumable_later(resumable, over_later, SL_CANCELLED);
    return true;
}
