/* The state machine of one file. See session.h for the picture; session_enter is the only place where the state
 * changes. */
#include "sluice/upload/session.h"

#include <assert.h>
#include <stdlib.h>

#define BIT(state) (1u << SL_SESSION_##state)

static void session_enter(struct sl_session *session, enum sl_session_state next)
{
    static const unsigned allowed[SL_SESSION_STATES] = {
        [SL_SESSION_IDLE] = BIT(CHECKING) | BIT(OPENING),
        [SL_SESSION_CHECKING] = BIT(OPENING) | BIT(FAILED) | BIT(LEAVING),
        [SL_SESSION_OPENING] = BIT(RECEIVING) | BIT(FAILED) | BIT(LEAVING),
        [SL_SESSION_RECEIVING] = BIT(FLUSHING) | BIT(FAILED) | BIT(LEAVING),
        [SL_SESSION_FLUSHING] = BIT(STAGED) | BIT(FAILED) | BIT(LEAVING),
        [SL_SESSION_STAGED] = BIT(COMMITTING) | BIT(LEAVING),
        [SL_SESSION_COMMITTING] = BIT(DONE) | BIT(FAILED) | BIT(LEAVING),
        [SL_SESSION_FAILED] = BIT(LEAVING),
        [SL_SESSION_LEAVING] = BIT(GONE),
    };
    assert(allowed[session->state] & (1u << next));
    session->state = next;
}

static void change(struct sl_session *session, enum sl_session_state next)
{
    session_enter(session, next);
    session->on_change(session, session->ctx);
}

static void session_settle(struct sl_session *session);

/* Every end passes here: what was counted and held is given back. */
static void session_end(struct sl_session *session, enum sl_session_state end)
{
    if (session->has_lane)
        sl_hash_lane_close(&session->lane);
    session->has_lane = false;
    assert(!session->has_file && session->inflight == 0 && session->intake->files > 0);
    session->intake->files--;
    change(session, end);
}

/* Runs in a later turn what must not run inside a call. */
static void on_later(struct sl_mail *mail)
{
    struct sl_session *session = SL_CONTAINER_OF(mail, struct sl_session, later);
    session->later.on_arrival = NULL;
    session_settle(session);
}

static void settle_later(struct sl_session *session)
{
    if (session->later.on_arrival != NULL)
        return;
    session->later.on_arrival = on_later;
    sl_mailbox_post(session->intake->mailbox, &session->later);
}

/* The first failure counts; the rest follow from it. Told by session_settle. */
static void session_fail(struct sl_session *session, sl_err err)
{
    assert(err != SL_OK);
    if (session->err == SL_OK)
        session->err = err;
}

/* ---- leaving ---- */

static void on_aborted(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    (void)object;
    (void)err;
    session->has_file = false;
    session_end(session, SL_SESSION_GONE);
}

static void leave_now(struct sl_session *session)
{
    if (session->state != SL_SESSION_LEAVING)
        session_enter(session, SL_SESSION_LEAVING);
    if (session->has_file)
        sl_store_abort(&session->object, on_aborted, session);
    else
        session_end(session, SL_SESSION_GONE);
}

/* ---- the way forward, one step when nothing hinders ---- */

/* Mail that is under way counts too: the owner may free the session as soon as it is gone. */
static bool is_busy(const struct sl_session *session)
{
    return session->inflight > 0 || session->later.on_arrival != NULL || session->is_ending_lane ||
           session->state == SL_SESSION_CHECKING || session->state == SL_SESSION_OPENING ||
           session->state == SL_SESSION_COMMITTING;
}

static void stage(struct sl_session *session)
{
    assert(session->written == session->size);
    assert(session->intake->digests == 0 || session->hashed == session->size);
    change(session, SL_SESSION_STAGED);
}

/* Called after each completion. Says what became of the session once the last thing in flight has come back. */
static void session_settle(struct sl_session *session)
{
    bool is_open = session->state == SL_SESSION_RECEIVING || session->state == SL_SESSION_FLUSHING;
    if (session->wants_to_leave) {
        if (!is_busy(session) && session->state != SL_SESSION_LEAVING)
            leave_now(session);
    } else if (session->err != SL_OK) {
        if (is_open) /* told at once, though pieces may still be in flight */
            change(session, SL_SESSION_FAILED);
    } else if (session->state == SL_SESSION_FLUSHING && !is_busy(session)) {
        stage(session);
    }
}

/* A step of opening or committing is over: on to `next`, or to what hinders. */
static void step_over(struct sl_session *session, sl_err err, enum sl_session_state next)
{
    if (err != SL_OK)
        session_fail(session, err);
    if (session->wants_to_leave)
        leave_now(session);
    else if (session->err != SL_OK)
        change(session, SL_SESSION_FAILED);
    else
        change(session, next);
}

/* ---- opening ---- */

static void on_begun(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    (void)object;
    session->has_file = err == SL_OK;
    step_over(session, err, SL_SESSION_RECEIVING);
}

static void begin(struct sl_session *session)
{
    session_enter(session, SL_SESSION_OPENING);
    sl_store_begin(session->intake->store, &session->object, session->expected, on_begun, session);
}

static sl_err exists_error(const struct sl_session *session)
{
    return session->must_be_new ? SL_PRECONDITION : SL_EXISTS;
}

static void on_look_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    (void)reader;
    (void)err;
    step_over(session, exists_error(session), SL_SESSION_OPENING);
}

/* Only an early word, before the body is sent: the name is decided when it is linked. */
static void on_looked(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    if (err == SL_OK)
        sl_store_close(reader, on_look_closed, session);
    else if (session->wants_to_leave)
        leave_now(session);
    else if (err == SL_NOT_FOUND && reader->cause != SL_NOT_FOUND) /* there is something, but no file */
        step_over(session, reader->cause == SL_EXISTS ? exists_error(session) : reader->cause, SL_SESSION_OPENING);
    else
        begin(session);
}

sl_err sl_session_open(struct sl_session *session, struct sl_intake *intake, uint64_t expected,
                       enum sl_conflict conflict, bool must_be_new, sl_session_cb on_change, void *ctx)
{
    assert(session->state == SL_SESSION_IDLE && session->path.len > 0);
    if (expected != SL_STORE_SIZE_UNKNOWN && expected > intake->size_max)
        return SL_TOO_LARGE;
    if (intake->files >= intake->files_max)
        return SL_TOO_MANY_FILES;
    intake->files++;
    session->intake = intake;
    session->expected = expected;
    session->conflict = must_be_new ? SL_CONFLICT_ERROR : conflict;
    session->must_be_new = must_be_new;
    session->on_change = on_change;
    session->ctx = ctx;
    if (session->conflict == SL_CONFLICT_ERROR) {
        session_enter(session, SL_SESSION_CHECKING);
        sl_store_open(intake->store, &session->look, &session->path, on_looked, session);
    } else {
        begin(session);
    }
    return SL_OK;
}

/* ---- pieces ---- */

/* A piece is over when both disk and hash are done with it. */
static void piece_part_done(struct sl_piece *piece)
{
    assert(piece->parts_inflight > 0);
    if (--piece->parts_inflight > 0)
        return;
    struct sl_session *session = piece->session;
    assert(session->inflight > 0);
    session->inflight--;
    piece->on_done(piece, piece->ctx);
    session_settle(session);
}

static void on_piece_written(struct sl_store_write *write, sl_err err, void *ctx)
{
    struct sl_piece *piece = ctx;
    (void)write;
    if (err == SL_OK)
        piece->session->written += piece->len;
    else
        session_fail(piece->session, err);
    piece_part_done(piece);
}

static void on_piece_hashed(struct sl_hash_job *job, void *ctx)
{
    struct sl_piece *piece = ctx;
    (void)job;
    piece->session->hashed += piece->len;
    piece_part_done(piece);
}

/* A body that is over with its first piece is hashed here and now: the hop to the pool would cost more. */
static sl_err hash_piece(struct sl_session *session, struct sl_piece *piece, bool is_last)
{
    sl_hash_set set = session->intake->digests;
    if (set == 0)
        return SL_OK;
    if (!session->has_lane && is_last && piece->len <= sl_slab_class_bytes(SL_SLAB_SMALL)) {
        session->hashed += piece->len;
        return sl_hash_now(set, piece->slab->base, piece->len, &session->digests);
    }
    if (!session->has_lane) {
        sl_err err = sl_hash_lane_open(&session->lane, session->intake->hash_pool, set, session->intake->mailbox);
        if (err != SL_OK)
            return err;
        session->has_lane = true;
    }
    piece->parts_inflight++;
    sl_hash_lane_feed(&session->lane, &piece->job, piece->slab->base, piece->len, on_piece_hashed, piece);
    return SL_OK;
}

bool sl_session_feed(struct sl_session *session, struct sl_piece *piece, struct sl_slab *slab, size_t len,
                     bool is_last, sl_piece_cb on_done, void *ctx)
{
    assert(piece->parts_inflight == 0 && len > 0 && slab->state == SL_SLAB_SEALED);
    if (session->state != SL_SESSION_RECEIVING || session->err != SL_OK)
        return false;
    *piece = (struct sl_piece){.session = session, .slab = slab, .len = len, .on_done = on_done, .ctx = ctx};
    if (session->intake->size_max - session->size < len) {
        session_fail(session, SL_TOO_LARGE);
        settle_later(session);
        return false;
    }
    sl_err err = hash_piece(session, piece, is_last);
    if (err != SL_OK) {
        session_fail(session, err);
        settle_later(session);
        return false;
    }
    piece->parts_inflight++;
    session->inflight++;
    bool is_tail = len % SL_SLAB_BLOCK_BYTES != 0;
    if (is_tail) /* O_DIRECT cannot write half a block */
        sl_store_set_bulk(&session->object, false);
    sl_store_write(&session->object, &piece->write, slab, 0, len, session->size, is_tail, on_piece_written, piece);
    session->size += len;
    return true;
}

void sl_session_set_bulk(struct sl_session *session, bool is_bulk)
{
    if (session->state == SL_SESSION_RECEIVING)
        sl_store_set_bulk(&session->object, is_bulk);
}

/* ---- the end of the data, the name ---- */

static void on_lane_ended(struct sl_hash_job *job, void *ctx)
{
    struct sl_session *session = ctx;
    (void)job;
    session->is_ending_lane = false;
    session->digests = session->lane.digests;
    session_settle(session);
}

void sl_session_finish(struct sl_session *session)
{
    if (session->state != SL_SESSION_RECEIVING)
        return;
    session_enter(session, SL_SESSION_FLUSHING);
    if (session->has_lane) {
        session->is_ending_lane = true;
        sl_hash_lane_finish(&session->lane, &session->lane_end, on_lane_ended, session);
    } else if (session->size == 0 && session->intake->digests != 0) {
        sl_err err = sl_hash_now(session->intake->digests, "", 0, &session->digests);
        if (err != SL_OK)
            session_fail(session, err);
    }
    if (!is_busy(session))
        settle_later(session);
}

static void on_committed(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    if (err == SL_OK) { /* also if the owner wished to leave meanwhile: the name is there */
        session->has_file = false;
        session->has_replaced = object->has_replaced;
        session_end(session, SL_SESSION_DONE);
        return;
    }
    step_over(session, err == SL_EXISTS ? exists_error(session) : err, SL_SESSION_DONE);
}

void sl_session_commit(struct sl_session *session)
{
    session_enter(session, SL_SESSION_COMMITTING);
    sl_store_commit(&session->object, &session->path, session->size, session->conflict, on_committed, session);
}

void sl_session_leave(struct sl_session *session)
{
    if (session->wants_to_leave || session->state == SL_SESSION_IDLE || sl_session_is_over(session))
        return;
    session->wants_to_leave = true;
    if (!is_busy(session))
        settle_later(session);
}

bool sl_session_is_over(const struct sl_session *session)
{
    return session->state == SL_SESSION_DONE || session->state == SL_SESSION_GONE;
}
