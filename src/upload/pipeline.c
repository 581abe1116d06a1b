/* From socket to pieces. See pipeline.h. The picture of the current buffer:
 *
 *   0          accepted   start            fill              bytes
 *   | data of the session | undecided       | room            |
 *
 * While data is accepted, start == accepted; while framing is skipped, accepted == 0. */
#include "sluice/upload/pipeline.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <stdlib.h>

#define SMALL_INFLIGHT_MAX 4
#define EPOCH_BYTES        ((uint64_t)256 << 10) /* the stretch over which speed is measured */
#define FAST_EPOCH_NS      (250 * SL_MS)         /* 1 MiB/s earns large slabs */
#define SLOW_SLAB_NS       (2 * SL_SEC)          /* a large slab that takes longer to fill is given back */
#define BULK_MIN_BYTES     ((uint64_t)1 << 20)   /* less to come is not worth a large slab */

/* ---- slabs ---- */

static void drop_slab(struct sl_pipeline *pipeline, struct sl_slab *slab)
{
    if (slab->references == 1) {
        pipeline->large_held -= slab->class == SL_SLAB_LARGE;
        pipeline->intake->medium_held -= slab->class == SL_SLAB_MEDIUM;
    }
    sl_slab_release(slab);
}

static bool reserved_is_idle(const struct sl_pipeline *pipeline)
{
    return pipeline->reserved->references == 1 && pipeline->current != pipeline->reserved;
}

static struct sl_slab *take_large(struct sl_pipeline *pipeline)
{
    if (!pipeline->is_bulk || pipeline->large_held >= sl_intake_large_share(pipeline->intake))
        return NULL;
    struct sl_slab *slab = sl_slab_try(pipeline->intake->slabs, SL_SLAB_LARGE);
    if (slab != NULL)
        pipeline->large_held++;
    return slab;
}

/* A body that fits into one goes to the disk as one piece, a trip there instead of many. */
static struct sl_slab *take_medium(struct sl_pipeline *pipeline)
{
    struct sl_intake *intake = pipeline->intake;
    uint64_t wanted = pipeline->remaining + (pipeline->carry_to - pipeline->carry_from);
    if (wanted < sl_slab_class_bytes(SL_SLAB_SMALL) || intake->medium_held >= sl_intake_medium_max(intake))
        return NULL;
    struct sl_slab *slab = sl_slab_try(intake->slabs, SL_SLAB_MEDIUM);
    intake->medium_held += slab != NULL;
    return slab;
}

static struct sl_slab *take_slab(struct sl_pipeline *pipeline)
{
    if (pipeline->inflight == SL_PIPELINE_PIECES_MAX)
        return NULL;
    struct sl_slab *slab = pipeline->is_short ? take_medium(pipeline) : take_large(pipeline);
    if (slab != NULL)
        return slab;
    if (reserved_is_idle(pipeline)) {
        if (pipeline->reserved->state == SL_SLAB_SEALED)
            sl_slab_reopen(pipeline->reserved);
        return pipeline->reserved;
    }
    if (pipeline->inflight >= SMALL_INFLIGHT_MAX)
        return NULL;
    return sl_slab_try(pipeline->intake->slabs, SL_SLAB_SMALL);
}

static void drop_carry(struct sl_pipeline *pipeline)
{
    struct sl_slab *carry = pipeline->carry;
    pipeline->carry = NULL;
    pipeline->carry_from = pipeline->carry_to = pipeline->carry_accepted = 0;
    if (carry != NULL && carry != pipeline->reserved)
        drop_slab(pipeline, carry);
}

/* Moves what was left behind into the current buffer, as much as fits. */
static void pull_carry(struct sl_pipeline *pipeline)
{
    if (pipeline->carry == NULL)
        return;
    struct sl_slab *current = pipeline->current;
    size_t left = pipeline->carry_to - pipeline->carry_from, room = current->bytes - pipeline->fill;
    size_t n = left < room ? left : room;
    memmove(current->base + pipeline->fill, pipeline->carry->base + pipeline->carry_from, n);
    if (pipeline->carry_accepted > 0) { /* less than a block: always fits at once, and always comes first */
        assert(pipeline->fill == 0 && pipeline->carry_accepted <= n);
        pipeline->accepted = pipeline->start = pipeline->carry_accepted;
        pipeline->carry_accepted = 0;
    }
    pipeline->fill += n;
    pipeline->carry_from += n;
    if (pipeline->carry_from == pipeline->carry_to)
        drop_carry(pipeline);
}

static bool take_current(struct sl_pipeline *pipeline)
{
    struct sl_slab *slab = take_slab(pipeline);
    if (slab == NULL)
        return false;
    pipeline->current = slab;
    if (slab->class != SL_SLAB_SMALL) {
        pipeline->taken_ns = sl_clock_coarse_ns();
        if (!sl_link_is_linked(&pipeline->link))
            sl_list_append(&pipeline->intake->roomy_pipelines, &pipeline->link);
    }
    pipeline->accepted = pipeline->start = pipeline->fill = 0;
    pull_carry(pipeline);
    return true;
}

/* ---- small or large ---- */

static void set_bulk(struct sl_pipeline *pipeline, bool is_bulk)
{
    if (pipeline->is_bulk == is_bulk)
        return;
    pipeline->is_bulk = is_bulk;
    pipeline->intake->bulk_pipelines += is_bulk ? 1 : -1;
    if (pipeline->session != NULL)
        sl_session_set_bulk(pipeline->session, is_bulk);
}

static void begin_epoch(struct sl_pipeline *pipeline)
{
    pipeline->epoch_ns = sl_clock_now_ns();
    pipeline->epoch_bytes = 0;
}

/* Called as a full buffer is sealed: has the upload earned large slabs, or lost them? */
static void measure_speed(struct sl_pipeline *pipeline, size_t bytes)
{
    pipeline->epoch_bytes += bytes;
    if (pipeline->epoch_bytes < EPOCH_BYTES)
        return;
    uint64_t took_ns = sl_clock_now_ns() - pipeline->epoch_ns;
    if (pipeline->is_bulk)
        set_bulk(pipeline, took_ns < SLOW_SLAB_NS);
    else
        set_bulk(pipeline, took_ns <= FAST_EPOCH_NS && pipeline->remaining >= BULK_MIN_BYTES);
    begin_epoch(pipeline);
}

/* ---- pieces ---- */

/* Pieces are kept by the intake: their number follows what is in flight, not how many clients are connected. */
static struct sl_piece *take_piece(struct sl_intake *intake)
{
    struct sl_link *link = sl_list_shift(&intake->idle_pieces);
    if (link != NULL)
        return SL_CONTAINER_OF(link, struct sl_piece, link);
    struct sl_piece *piece = calloc(1, sizeof *piece);
    if (piece == NULL)
        abort();
    return piece;
}

static void put_piece(struct sl_intake *intake, struct sl_piece *piece)
{
    assert(piece->parts_inflight == 0);
    sl_list_append(&intake->idle_pieces, &piece->link);
}

static void on_closed_later(struct sl_mail *mail);

static void close_when_idle(struct sl_pipeline *pipeline)
{
    if (pipeline->inflight > 0)
        return;
    pipeline->later.on_arrival = on_closed_later;
    sl_mailbox_post(pipeline->intake->mailbox, &pipeline->later);
}

/* Bytes leave the buffers, in one of the ways that are counted. */
static void let_go(struct sl_pipeline *pipeline, uint64_t n, struct sl_counter *counter)
{
    sl_counter_sub(&pipeline->intake->stats->buffered_bytes, n);
    sl_counter_add(counter, n);
}

static void on_piece_done(struct sl_piece *piece, void *ctx)
{
    struct sl_pipeline *pipeline = ctx;
    struct sl_upload_stats *stats = pipeline->intake->stats;
    let_go(pipeline, piece->len - piece->known, piece->is_written ? &stats->written_bytes : &stats->aborted_bytes);
    pipeline->inflight--;
    drop_slab(pipeline, piece->slab);
    put_piece(pipeline->intake, piece);
    if (pipeline->is_closing) {
        close_when_idle(pipeline);
    } else if (pipeline->is_starved) {
        pipeline->is_starved = false;
        pipeline->on_room(pipeline, pipeline->ctx);
    }
}

/* What lies behind `len` must not be lost with the buffer. If a carry is still being drained, these bytes came from it,
 * and it is wound back instead of being copied again. */
static void leave_carry(struct sl_pipeline *pipeline, size_t len)
{
    size_t left = pipeline->fill - len;
    if (pipeline->carry != NULL) {
        assert(pipeline->carry_from >= left);
        pipeline->carry_from -= left;
    } else if (left > 0) {
        pipeline->carry = pipeline->current;
        pipeline->carry_from = len;
        pipeline->carry_to = pipeline->fill;
        if (pipeline->current != pipeline->reserved)
            sl_slab_acquire(pipeline->current);
    }
    pipeline->carry_accepted = pipeline->accepted - len;
}

/* Sends the first `len` accepted bytes of the current buffer to the session; the rest is carried over. */
static void seal(struct sl_pipeline *pipeline, size_t len, bool is_last)
{
    struct sl_slab *slab = pipeline->current;
    assert(len <= pipeline->accepted);
    leave_carry(pipeline, len);
    pipeline->current = NULL;
    pipeline->accepted = pipeline->start = pipeline->fill = 0;
    sl_slab_seal(slab);
    if (slab == pipeline->reserved)
        sl_slab_acquire(slab); /* the piece's reference; any other buffer's only one becomes the piece's */
    if (len == 0) {
        drop_slab(pipeline, slab);
        return;
    }
    size_t fresh = len - pipeline->primed;
    assert(pipeline->primed <= len && fresh <= pipeline->held_bytes);
    pipeline->held_bytes -= fresh;
    pipeline->primed = 0;
    struct sl_piece *piece = take_piece(pipeline->intake);
    if (sl_session_feed(pipeline->session, piece, slab, len, is_last, on_piece_done, pipeline)) {
        pipeline->inflight++;
    } else {
        put_piece(pipeline->intake, piece);
        drop_slab(pipeline, slab);
        let_go(pipeline, fresh, &pipeline->intake->stats->aborted_bytes);
    }
}

static void seal_full(struct sl_pipeline *pipeline)
{
    size_t len = pipeline->accepted & ~(SL_SLAB_BLOCK_BYTES - 1);
    measure_speed(pipeline, len);
    seal(pipeline, len, false);
}

/* Framing alone fills the buffer: what is undecided moves to the front. */
static void compact(struct sl_pipeline *pipeline)
{
    assert(pipeline->accepted == 0 && pipeline->start > 0);
    memmove(pipeline->current->base, pipeline->current->base + pipeline->start, pipeline->fill - pipeline->start);
    pipeline->fill -= pipeline->start;
    pipeline->start = 0;
    pull_carry(pipeline);
}

/* ---- the public side ---- */

static void on_admitted(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct sl_pipeline *pipeline = ctx;
    (void)waiter;
    pipeline->reserved = slab;
    pipeline->queued_ns = sl_clock_now_ns() - pipeline->admitted_ns;
    sl_histogram_add(&pipeline->intake->stats->stages[SL_STAGE_QUEUE], pipeline->queued_ns);
    begin_epoch(pipeline);
    pipeline->is_starved = false;
    pipeline->on_room(pipeline, pipeline->ctx);
}

void sl_pipeline_admit(struct sl_pipeline *pipeline, struct sl_intake *intake, uint64_t body_bytes,
                       sl_pipeline_cb on_room, void *ctx)
{
    assert(pipeline->intake == NULL);
    pipeline->intake = intake;
    pipeline->remaining = body_bytes;
    pipeline->is_short = body_bytes < sl_slab_class_bytes(SL_SLAB_MEDIUM);
    pipeline->admitted_ns = sl_clock_now_ns();
    pipeline->on_room = on_room;
    pipeline->ctx = ctx;
    sl_slab_wait(intake->slabs, &pipeline->waiter, on_admitted, pipeline);
}

struct sl_room sl_pipeline_room(struct sl_pipeline *pipeline)
{
    if (pipeline->current != NULL && pipeline->fill == pipeline->current->bytes) {
        if (pipeline->accepted > 0)
            seal_full(pipeline);
        else
            compact(pipeline);
    }
    bool has_buffer =
        pipeline->reserved != NULL && !pipeline->is_closing && (pipeline->current != NULL || take_current(pipeline));
    if (!has_buffer) {
        pipeline->is_starved = true;
        return (struct sl_room){0};
    }
    return (struct sl_room){pipeline->current->base + pipeline->fill, pipeline->current->bytes - pipeline->fill};
}

void sl_pipeline_filled(struct sl_pipeline *pipeline, size_t n)
{
    assert(pipeline->current != NULL && pipeline->carry == NULL && n <= pipeline->current->bytes - pipeline->fill);
    pipeline->fill += n;
    pipeline->held_bytes += n;
    sl_counter_add(&pipeline->intake->stats->buffered_bytes, n);
    pipeline->touched_ns = sl_clock_coarse_ns();
    if (pipeline->remaining != SL_STORE_SIZE_UNKNOWN)
        pipeline->remaining -= n < pipeline->remaining ? n : pipeline->remaining;
}

struct sl_bytes sl_pipeline_window(const struct sl_pipeline *pipeline)
{
    if (pipeline->current == NULL)
        return (struct sl_bytes){0};
    return (struct sl_bytes){pipeline->current->base + pipeline->start, pipeline->fill - pipeline->start};
}

void sl_pipeline_skip(struct sl_pipeline *pipeline, size_t n)
{
    assert(pipeline->accepted == 0 && n <= pipeline->fill - pipeline->start);
    assert(n <= pipeline->held_bytes);
    pipeline->held_bytes -= n;
    let_go(pipeline, n, &pipeline->intake->stats->framing_bytes);
    pipeline->start += n;
    if (pipeline->start == pipeline->fill && pipeline->current != NULL) {
        pipeline->start = pipeline->fill = 0;
        pull_carry(pipeline);
    }
}

struct sl_slab *sl_pipeline_prime(struct sl_pipeline *pipeline, size_t n)
{
    assert(pipeline->session == NULL && pipeline->reserved != NULL && n < SL_SLAB_BLOCK_BYTES);
    bool has_buffer = pipeline->current != NULL || take_current(pipeline);
    assert(has_buffer && pipeline->fill == 0 &&
           pipeline->carry == NULL); /* it is empty: so its reserved one is idle */
    (void)has_buffer;
    pipeline->accepted = pipeline->start = pipeline->fill = pipeline->primed = n;
    pipeline->is_lent = true;
    return pipeline->current;
}

void sl_pipeline_begin_file(struct sl_pipeline *pipeline, struct sl_session *session)
{
    pipeline->session = session;
    pipeline->is_lent = false;
    session->times.ns[SL_STAGE_QUEUE] += pipeline->queued_ns;
    pipeline->queued_ns = 0;
    if (pipeline->current != NULL && pipeline->start > pipeline->accepted)
        compact(pipeline);
    begin_epoch(pipeline);
}

void sl_pipeline_accept(struct sl_pipeline *pipeline, size_t n)
{
    assert(pipeline->session != NULL && pipeline->start == pipeline->accepted &&
           n <= pipeline->fill - pipeline->start);
    pipeline->accepted += n;
    pipeline->start = pipeline->accepted;
    if (pipeline->fill == pipeline->current->bytes && pipeline->start == pipeline->fill)
        seal_full(pipeline);
}

size_t sl_pipeline_unsealed(const struct sl_pipeline *pipeline)
{
    return pipeline->accepted;
}

void sl_pipeline_end_file(struct sl_pipeline *pipeline)
{
    assert(pipeline->session != NULL);
    if (pipeline->accepted > 0)
        seal(pipeline, pipeline->accepted, true);
    sl_session_finish(pipeline->session);
    set_bulk(pipeline, false);
    pipeline->session = NULL;
}

void sl_pipeline_yield_if_stalled(struct sl_pipeline *pipeline, uint64_t now_ns)
{
    if (pipeline->current == NULL || pipeline->current->class == SL_SLAB_SMALL) {
        sl_link_unlink(&pipeline->link);
        return;
    }
    /* Speed has not earned a short one its buffer: it is to be over in time. */
    uint64_t since_ns = pipeline->is_short ? pipeline->taken_ns : pipeline->touched_ns;
    bool is_movable = !pipeline->is_lent && pipeline->fill - pipeline->start < SL_SLAB_BLOCK_BYTES;
    /* Bytes left in a carry without a next buffer would be lost if the body ended right now. */
    bool has_next = reserved_is_idle(pipeline) && pipeline->inflight + 1 < SL_PIPELINE_PIECES_MAX;
    if (!has_next || !is_movable || now_ns - since_ns < SLOW_SLAB_NS)
        return;
    set_bulk(pipeline, false);
    pipeline->is_short = false;
    if (pipeline->accepted == 0 && pipeline->start > 0)
        compact(pipeline);
    seal(pipeline, pipeline->accepted & ~(SL_SLAB_BLOCK_BYTES - 1), false);
    bool is_moved = take_current(pipeline); /* to the reserved slab: only then is the other one free */
    assert(is_moved);
    (void)is_moved;
}

/* ---- closing ---- */

static void on_closed_later(struct sl_mail *mail)
{
    struct sl_pipeline *pipeline = SL_CONTAINER_OF(mail, struct sl_pipeline, later);
    pipeline->on_room(pipeline, pipeline->ctx);
}

void sl_pipeline_close(struct sl_pipeline *pipeline, sl_pipeline_cb on_closed, void *ctx)
{
    assert(!pipeline->is_closing && pipeline->intake != NULL);
    pipeline->is_closing = true;
    pipeline->on_room = on_closed;
    pipeline->ctx = ctx;
    sl_slab_cancel(&pipeline->waiter);
    sl_link_unlink(&pipeline->link);
    pipeline->session = NULL; /* it may be gone */
    set_bulk(pipeline, false);
    let_go(pipeline, pipeline->held_bytes, &pipeline->intake->stats->aborted_bytes);
    pipeline->held_bytes = 0;
    drop_carry(pipeline);
    if (pipeline->current != NULL && pipeline->current != pipeline->reserved)
        drop_slab(pipeline, pipeline->current);
    pipeline->current = NULL;
    if (pipeline->reserved != NULL)
        sl_slab_release(pipeline->reserved);
    pipeline->reserved = NULL;
    close_when_idle(pipeline);
}
