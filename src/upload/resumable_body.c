/* A body that goes on with a resumable upload: from getting ready at the offset to the end, or to where it breaks
 * off. */
#include "resumable_work.h"

#include <assert.h>

/* ---- getting ready ---- */

static void check_hash(struct sl_resumable *resumable, sl_err err);
static void prime(struct sl_resumable *resumable, sl_err err);

static void receiving(struct sl_resumable *resumable, sl_err err)
{
    struct sl_resumable_work *work = resumable->work;
    (void)err;
    if (resumable->phase != SL_RESUMABLE_CLOSING) {
        if (work->part.check_set == 0)
            work->part.mark_at = work->part.offset + work->intake->checkpoint_bytes;
        sl_pipeline_begin_file(work->pipeline, &resumable->session);
    }
    sl_resumable_reach(resumable, SL_RESUMABLE_RECEIVING);
}

void sl_resumable_receive(struct sl_resumable *resumable, struct sl_pipeline *pipeline)
{
    struct sl_resumable_work *work = resumable->work;
    assert(resumable->state.kind != SL_UPLOAD_FINAL && !resumable->state.is_done);
    sl_resumable_enter(resumable, SL_RESUMABLE_PREPARING);
    sl_session_count(&resumable->session);
    work->pipeline = pipeline;
    sl_resumable_store(resumable, check_hash);
    sl_store_expect(&resumable->session.object, resumable->state.length, sl_resumable_on_stored, resumable);
}

/* The digest of what is there was saved with it, unless another sluice did that which knew other forms. */
static void check_hash(struct sl_resumable *resumable, sl_err err)
{
    if (!sl_resumable_may_go_on(resumable, err))
        return;
    if (sl_resumable_has_digests(resumable))
        prime(resumable, SL_OK);
    else
        sl_resumable_redigest(resumable, resumable->work->part.offset, prime);
}

static void on_front_read(struct sl_store_write *read, sl_err err, void *ctx)
{
    struct sl_resumable *resumable = ctx;
    struct sl_resumable_work *work = resumable->work;
    (void)read;
    work->busy--;
    if (err == SL_OK && work->bytes_read < work->part.offset % SL_SLAB_BLOCK_BYTES)
        err = SL_IO;
    if (sl_resumable_may_go_on(resumable, err))
        receiving(resumable, SL_OK);
}

/* Writes begin at a block: what lies before the offset in its block is written once more. */
static void prime(struct sl_resumable *resumable, sl_err err)
{
    struct sl_resumable_work *work = resumable->work;
    size_t n = work->part.offset % SL_SLAB_BLOCK_BYTES;
    if (!sl_resumable_may_go_on(resumable, err))
        return;
    sl_session_go_on(&resumable->session);
    if (n == 0) {
        receiving(resumable, SL_OK);
        return;
    }
    struct sl_slab *slab = sl_pipeline_prime(work->pipeline, n);
    work->busy++;
    sl_store_read_back(&resumable->session.object, &work->read, slab, n, work->part.offset - n, &work->bytes_read,
                       on_front_read, resumable);
}

void sl_resumable_attach(struct sl_resumable *resumable, struct sl_pipeline *pipeline)
{
    struct sl_resumable_work *work = resumable->work;
    assert(resumable->phase == SL_RESUMABLE_RECEIVING && work->pipeline == NULL);
    work->pipeline = pipeline;
    if (work->is_kept && work->part.check_set == 0)
        work->part.mark_at = work->intake->checkpoint_bytes;
    sl_pipeline_begin_file(pipeline, &resumable->session);
}

/* ---- what is told on the way ---- */

/* Bytes that are there or on their way to the disk. */
static uint64_t bytes_so_far(const struct sl_resumable *resumable)
{
    const struct sl_resumable_work *work = resumable->work;
    uint64_t unsealed = work->pipeline != NULL ? sl_pipeline_unsealed(work->pipeline) : 0;
    uint64_t bytes = resumable->session.size + unsealed;
    return bytes > work->part.offset ? bytes : work->part.offset;
}

sl_err sl_resumable_set_length(struct sl_resumable *resumable, uint64_t length)
{
    struct sl_upload_state *state = &resumable->state;
    struct sl_resumable_work *work = resumable->work;
    if (state->length == length)
        return SL_OK;
    if (state->length != SL_STORE_SIZE_UNKNOWN || length < bytes_so_far(resumable))
        return SL_LENGTH;
    if (length > work->intake->size_max)
        return SL_TOO_LARGE;
    state->length = work->part.limit = length; /* counts once it is kept */
    return SL_OK;
}

void sl_resumable_check(struct sl_resumable *resumable, sl_hash_set set, const struct sl_digests *promised)
{
    struct sl_session_part *part = &resumable->work->part;
    part->mark_at = UINT64_MAX; /* nothing counts before the end */
    if (part->check_set == 0)
        part->check_set = set;
    if (promised == NULL)
        return;
    part->check = *promised;
    part->check.set &= part->check_set;
}

/* ---- checkpoints ---- */

static void on_checkpoint(struct sl_resumable *resumable, sl_err err)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_session *session = &resumable->session;
    if (err != SL_OK && session->state != SL_SESSION_STAGED) {
        sl_session_break(session, err); /* what the disk says is not to be asked twice */
        if (resumable->phase == SL_RESUMABLE_CLOSING)
            sl_resumable_close_on(resumable);
        return;
    }
    if (err != SL_OK) {
        sl_resumable_fail(resumable, err);
    } else if (session->state == SL_SESSION_STAGED) {
        sl_resumable_staged(resumable);
    } else if (resumable->phase == SL_RESUMABLE_RECEIVING) {
        work->part.mark_at = session->size + work->intake->checkpoint_bytes;
        work->on_change(resumable, work->ctx);
    } else if (resumable->phase == SL_RESUMABLE_CLOSING) {
        sl_resumable_close_on(resumable);
    }
}

void sl_resumable_on_mark(struct sl_session *session, void *ctx)
{
    struct sl_resumable *resumable = ctx;
    (void)session;
    if (resumable->phase != SL_RESUMABLE_RECEIVING || resumable->work->on_stored != NULL)
        return;
    struct sl_session_part *part = &resumable->work->part;
    sl_resumable_keep(resumable, part->marked, &part->marked_hash, on_checkpoint);
}

/* ---- the end ---- */

static void end_flow(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_pipeline *pipeline = work->pipeline;
    work->part.is_more = !work->is_completing;
    work->part.saves_hash = work->is_kept && resumable->state.dialect == SL_UPLOAD_TUS; /* its name may be taken */
    work->part.mark_at = UINT64_MAX;
    work->pipeline = NULL;
    if (pipeline != NULL)
        sl_pipeline_end_file(pipeline);
    else
        sl_session_finish(&resumable->session);
}

void sl_resumable_complete(struct sl_resumable *resumable, sl_err err)
{
    if (!sl_resumable_may_go_on(resumable, err))
        return;
    resumable->work->is_completing = true;
    sl_session_go_on(&resumable->session);
    end_flow(resumable);
}

void sl_resumable_complete_as_it_is(struct sl_resumable *resumable)
{
    if (sl_resumable_has_digests(resumable))
        sl_resumable_complete(resumable, SL_OK);
    else
        sl_resumable_redigest(resumable, resumable->work->part.offset, sl_resumable_complete);
}

static void end_with(struct sl_resumable *resumable, sl_err err)
{
    sl_resumable_fail(resumable, err);
}

static void end_bodyless(struct sl_resumable *resumable)
{
    if (resumable->work->is_completing) {
        sl_resumable_complete_as_it_is(resumable);
        return;
    }
    sl_session_go_on(&resumable->session);
    end_flow(resumable);
}

void sl_resumable_end(struct sl_resumable *resumable, bool is_last)
{
    struct sl_resumable_work *work = resumable->work;
    const struct sl_upload_state *state = &resumable->state;
    if (resumable->phase == SL_RESUMABLE_FAILED)
        return;
    bool was_open = resumable->phase == SL_RESUMABLE_OPEN;
    uint64_t bytes = bytes_so_far(resumable);
    sl_resumable_enter(resumable, SL_RESUMABLE_ENDING);
    if (resumable->session.err !=
        SL_OK) /* not told before all of that piece is back; what came since was not taken */
        return;
    sl_err err = is_last ? sl_resumable_set_length(resumable, bytes) : SL_OK;
    if (bytes > state->length) {
        sl_resumable_spoil(resumable);
        err = SL_LENGTH;
    }
    if (err != SL_OK) {
        sl_resumable_later(resumable, end_with, err);
        return;
    }
    work->is_completing = bytes == state->length && (is_last || state->dialect == SL_UPLOAD_TUS);
    if (was_open)
        end_bodyless(resumable);
    else
        end_flow(resumable);
}

static void on_end_kept(struct sl_resumable *resumable, sl_err err)
{
    resumable->work->is_settled = true;
    if (err != SL_OK)
        sl_resumable_fail(resumable, err);
    else
        sl_resumable_reach(resumable, resumable->state.is_done ? SL_RESUMABLE_DONE : SL_RESUMABLE_KEPT);
}

void sl_resumable_staged(struct sl_resumable *resumable)
{
    static const struct sl_hash_state nothing;
    struct sl_resumable_work *work = resumable->work;
    if (work->on_kept != NULL) /* a checkpoint: it comes back here */
        return;
    if (!work->is_completing)
        sl_resumable_keep(resumable, resumable->session.size, &work->part.hash, on_end_kept);
    else if (resumable->state.kind == SL_UPLOAD_PARTIAL)
        sl_resumable_keep(resumable, resumable->session.size, &nothing, on_end_kept);
    else
        sl_resumable_name(resumable);
}

void sl_resumable_break_off(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    bool is_worth = work->is_kept && work->part.check_set == 0 && bytes_so_far(resumable) > resumable->state.offset;
    if (work->pipeline == NULL || resumable->session.state != SL_SESSION_RECEIVING || !is_worth)
        return;
    work->is_completing = false;
    end_flow(resumable);
}
