/* The state machine of one file. See upload/session.h for the picture; session_enter is the only place where the state
 * changes. */
#include "sluice/upload/session.h"

#include "session_digest.h"

#include "sluice/base/clock.h"
#include "sluice/store/kept.h"

#include <assert.h>
#include <stdlib.h>

#define BIT(state) (1u << SL_SESSION_##state)

/* ---- counting ---- */

/* How long it was in the state it leaves for the next one on its way; what fails takes no time worth knowing. */
static void measure(struct sl_session *session, enum sl_session_state next)
{
    static const enum sl_stage stages[SL_SESSION_STATES] = {[SL_SESSION_RECEIVING] = SL_STAGE_OPEN,
                                                            [SL_SESSION_FLUSHING] = SL_STAGE_RECEIVE,
                                                            [SL_SESSION_STAGED] = SL_STAGE_FLUSH,
                                                            [SL_SESSION_DONE] = SL_STAGE_COMMIT};
    uint64_t now_ns = sl_clock_now_ns();
    if (stages[next] != SL_STAGE_QUEUE) { /* which is nobody's here */
        sl_histogram_add(&session->intake->stats->stages[stages[next]], now_ns - session->entered_ns);
        session->times.ns[stages[next]] += now_ns - session->entered_ns;
    }
    if (next != SL_SESSION_OPENING || session->state == SL_SESSION_IDLE) /* looking and taking space are one stage */
        session->entered_ns = now_ns;
}

void sl_session_count(struct sl_session *session)
{
    assert(!session->is_counted);
    session->is_counted = true;
    session->entered_ns = sl_clock_now_ns();
    sl_counter_add(&session->intake->stats->started, 1);
    sl_counter_add(&session->intake->stats->in_flight, 1);
}

static void count_end(const struct sl_session *session, enum sl_session_state end)
{
    struct sl_upload_stats *stats = session->intake->stats;
    const struct sl_session_part *part = session->plan.part;
    sl_err why = session->why != SL_OK ? session->why : SL_CANCELLED;
    sl_counter_sub(&stats->in_flight, 1);
    if (end == SL_SESSION_DONE)
        sl_counter_add(&stats->stored, 1);
    else if (session->err == SL_OK && part != NULL && part->stays)
        sl_counter_add(&stats->kept, 1);
    else
        sl_counter_add(&stats->failed[session->err != SL_OK ? session->err : why], 1);
}

/* ---- states ---- */

static void session_enter(struct sl_session *session, enum sl_session_state next)
{
    static const unsigned allowed[SL_SESSION_STATES] = {
        [SL_SESSION_IDLE] = BIT(CHECKING) | BIT(OPENING) | BIT(RECEIVING),
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
    if (session->is_counted)
        measure(session, next);
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
    sl_session_digest_close(session);
    assert(!session->has_file && session->inflight == 0 && session->intake->files > 0);
    assert(session->look == NULL && session->terms.meta.base == NULL);
    session->intake->files--;
    if (session->is_counted)
        count_end(session, end);
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

static void on_file_gone(struct sl_store_object *object, sl_err err, void *ctx)
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
    if (!session->has_file)
        session_end(session, SL_SESSION_GONE);
    else if (session->plan.part != NULL && session->plan.part->stays)
        sl_store_release(&session->object, on_file_gone, session);
    else
        sl_store_abort(&session->object, on_file_gone, session);
}

/* ---- the way forward, one step when nothing hinders ---- */

/* Mail that is under way counts too: the owner may free the session as soon as it is gone. */
static bool is_busy(const struct sl_session *session)
{
    return session->inflight > 0 || session->later.on_arrival != NULL || session->lane_jobs > 0 ||
           session->state == SL_SESSION_CHECKING || session->state == SL_SESSION_OPENING ||
           session->state == SL_SESSION_COMMITTING;
}

static void stage(struct sl_session *session)
{
    assert(session->written == session->size);
    assert(sl_session_digests(session) == 0 || session->hashed == session->size);
    sl_err err = sl_session_digest_judge(session);
    if (err != SL_OK)
        session_fail(session, err);
    change(session, err == SL_OK ? SL_SESSION_STAGED : SL_SESSION_FAILED);
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

static void on_opened(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    (void)object;
    session->has_file = err == SL_OK;
    step_over(session, err, SL_SESSION_RECEIVING);
}

static void begin(struct sl_session *session)
{
    session_enter(session, SL_SESSION_OPENING);
    sl_store_begin(session->intake->store, &session->object, session->plan.expected, on_opened, session);
}

/* What has the name, and may this file have it? `looked`: SL_OK for a file, else SL_NOT_FOUND. Conditions come first,
 * as in HTTP: 412 wins over 409. */
static sl_err judge(const struct sl_session *session, sl_err looked)
{
    const struct sl_store_reader *look = session->look;
    enum sl_conflict conflict = session->plan.conflict;
    bool is_file = looked == SL_OK;
    sl_err cause = is_file ? SL_EXISTS : look->cause;
    struct sl_validator now = sl_store_validator(look);
    if (session->plan.conditions != NULL &&
        sl_conditions_check(session->plan.conditions, &now, false, sl_clock_wall_ns() / SL_SEC) != SL_VERDICT_GO)
        return SL_PRECONDITION;
    if (cause == SL_NOT_A_DIRECTORY || cause == SL_NAME_TOO_LONG)
        return cause; /* no rule helps */
    if (cause != SL_EXISTS && cause != SL_IS_A_DIRECTORY)
        return SL_OK; /* nothing is in the way, or what only the naming can tell */
    bool is_replaced = is_file && conflict == SL_CONFLICT_OVERWRITE;
    return is_replaced || conflict == SL_CONFLICT_RENAME ? SL_OK : cause;
}

static void look_is_over(struct sl_session *session)
{
    free(session->look);
    session->look = NULL;
    if (session->wants_to_leave)
        leave_now(session);
    else if (session->err != SL_OK)
        change(session, SL_SESSION_FAILED);
    else
        begin(session);
}

static void on_look_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    (void)reader;
    (void)err;
    look_is_over(ctx);
}

/* Only an early word, before the body is sent: it is decided with the name. So what hinders only the look hinders
 * nothing else. */
static void on_looked(struct sl_store_reader *reader, sl_err looked, void *ctx)
{
    struct sl_session *session = ctx;
    sl_err err = looked == SL_OK || looked == SL_NOT_FOUND ? judge(session, looked) : SL_OK;
    if (err != SL_OK)
        session_fail(session, err);
    if (looked != SL_OK) {
        look_is_over(session);
        return;
    }
    if (err != SL_OK)
        memcpy(session->etag, reader->etag, sizeof session->etag);
    sl_store_close(reader, on_look_closed, session);
}

/* A reader is some KB, and is needed before the body only: it is no part of the session. */
static void look(struct sl_session *session)
{
    session_enter(session, SL_SESSION_CHECKING);
    session->look = malloc(sizeof *session->look);
    if (session->look == NULL)
        abort();
    sl_store_open(session->intake->store, session->look, &session->path, on_looked, session);
}

static sl_err prepare(struct sl_session *session, struct sl_intake *intake, const struct sl_session_plan *plan,
                      sl_session_cb on_change, void *ctx)
{
    assert(session->state == SL_SESSION_IDLE);
    if (intake->files >= intake->files_max)
        return SL_TOO_MANY_FILES;
    intake->files++;
    session->intake = intake;
    session->plan = *plan;
    session->on_change = on_change;
    session->ctx = ctx;
    sl_list_init(&session->waiting);
    return SL_OK;
}

sl_err sl_session_open(struct sl_session *session, struct sl_intake *intake, const struct sl_session_plan *plan,
                       sl_session_cb on_change, void *ctx)
{
    assert(session->path.len > 0 || plan->part != NULL);
    if (plan->expected != SL_STORE_SIZE_UNKNOWN && plan->expected > intake->size_max)
        return SL_TOO_LARGE;
    sl_err err = prepare(session, intake, plan, on_change, ctx);
    if (err != SL_OK)
        return err;
    sl_session_count(session);
    if (plan->part != NULL)
        sl_session_go_on(session);
    uint64_t bytes = plan->expected != SL_STORE_SIZE_UNKNOWN ? plan->expected : sl_slab_class_bytes(SL_SLAB_SMALL);
    bool has_conditions = plan->conditions != NULL && sl_conditions_are_set(plan->conditions);
    assert(!plan->is_small || plan->part == NULL);
    session->is_late = plan->is_small && sl_store_has_room(intake->store, bytes);
    if (session->is_late)
        session_enter(session, SL_SESSION_RECEIVING);
    else if (session->path.len > 0 && (has_conditions || plan->conflict == SL_CONFLICT_ERROR))
        look(session);
    else
        begin(session);
    return SL_OK;
}

sl_err sl_session_resume(struct sl_session *session, struct sl_intake *intake, const struct sl_session_plan *plan,
                         const char *id, char *state_out, sl_session_cb on_change, void *ctx)
{
    assert(plan->part != NULL);
    sl_err err = prepare(session, intake, plan, on_change, ctx);
    if (err != SL_OK)
        return err;
    session_enter(session, SL_SESSION_OPENING);
    sl_store_resume(intake->store, &session->object, id, state_out, on_opened, session);
    return SL_OK;
}

/* Writes begin at a block: the bytes of the first one before the offset are written once more, with what follows. */
void sl_session_go_on(struct sl_session *session)
{
    struct sl_session_part *part = session->plan.part;
    assert(session->size == 0 && session->inflight == 0);
    part->known = part->offset % SL_SLAB_BLOCK_BYTES;
    session->size = session->written = part->offset - part->known;
    part->set = 0;
    if (part->hash.len == 0)
        return;
    sl_err err = sl_hash_state_check(&part->hash, &part->set, &session->hashed);
    assert(err == SL_OK && session->hashed == part->offset);
    (void)err;
}

/* ---- pieces ---- */

static void settle_mark(struct sl_session *session)
{
    struct sl_session_part *part = session->plan.part;
    if (part == NULL || !part->is_marking || part->is_mark_hashing || part->before_mark > 0)
        return;
    part->is_marking = false;
    if (session->state == SL_SESSION_RECEIVING && session->err == SL_OK && !session->wants_to_leave)
        part->on_mark(session, session->ctx);
}

static void on_mark_hashed(struct sl_hash_job *job, void *ctx)
{
    struct sl_session *session = ctx;
    (void)job;
    session->lane_jobs--;
    session->plan.part->is_mark_hashing = false;
    settle_mark(session);
    session_settle(session);
}

/* Behind the piece that was fed last; pieces go on coming meanwhile. */
static void mark(struct sl_session *session)
{
    struct sl_session_part *part = session->plan.part;
    assert(!part->is_marking);
    part->mark_at = UINT64_MAX;
    part->marked = session->size;
    part->before_mark = session->inflight;
    part->is_marking = true;
    session->epoch++;
    sl_session_digest_mark(session, on_mark_hashed);
}

/* A piece is over when both disk and hash are done with it. */
static void piece_part_done(struct sl_piece *piece)
{
    assert(piece->parts_inflight > 0);
    if (--piece->parts_inflight > 0)
        return;
    struct sl_session *session = piece->session;
    assert(session->inflight > 0);
    session->inflight--;
    if (piece->epoch != session->epoch)
        session->plan.part->before_mark--;
    piece->on_done(piece, piece->ctx);
    settle_mark(session);
    session_settle(session);
}

static void begin_span(struct sl_session_span *span, unsigned pieces, uint64_t now_ns)
{
    if (span->pieces == 0)
        span->from_ns = now_ns;
    span->pieces += pieces;
}

static void took(const struct sl_piece *piece, enum sl_stage stage)
{
    struct sl_session *session = piece->session;
    struct sl_session_span *span = stage == SL_STAGE_WRITE ? &session->writing : &session->hashing;
    uint64_t now_ns = sl_clock_now_ns();
    sl_histogram_add(&session->intake->stats->stages[stage], now_ns - piece->fed_ns);
    assert(span->pieces > 0);
    if (--span->pieces == 0)
        session->times.ns[stage] += now_ns - span->from_ns;
}

static void piece_written(struct sl_piece *piece, sl_err err)
{
    piece->is_written = err == SL_OK;
    if (err == SL_OK)
        piece->session->written += piece->len;
    else
        session_fail(piece->session, err);
    took(piece, SL_STAGE_WRITE);
    piece_part_done(piece);
}

static void on_piece_written(struct sl_store_write *write, sl_err err, void *ctx)
{
    (void)write;
    piece_written(ctx, err);
}

static void write_piece(struct sl_session *session, struct sl_piece *piece)
{
    bool is_tail = piece->len % SL_SLAB_BLOCK_BYTES != 0;
    if (is_tail) /* O_DIRECT cannot write half a block */
        sl_store_set_bulk(&session->object, false);
    sl_store_write(&session->object, &piece->write, piece->slab, 0, piece->len, piece->offset, is_tail,
                   on_piece_written, piece);
}

/* The file came with it. With the last piece the session may be gone. */
static void on_piece_begun(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_piece *piece = ctx;
    struct sl_session *session = piece->session;
    struct sl_link waiting;
    (void)object;
    session->is_beginning = false;
    session->has_file = err == SL_OK;
    sl_list_init(&waiting);
    sl_list_move_all(&waiting, &session->waiting);
    for (struct sl_link *link; (link = sl_list_shift(&waiting)) != NULL;) {
        struct sl_piece *next = SL_CONTAINER_OF(link, struct sl_piece, link);
        if (err == SL_OK)
            write_piece(session, next);
        else
            piece_written(next, err);
    }
    piece_written(piece, err);
}

/* A late file is made with its first piece; others wait for that. */
static void write_when_begun(struct sl_session *session, struct sl_piece *piece)
{
    if (session->is_beginning) {
        sl_list_append(&session->waiting, &piece->link);
    } else if (session->is_late && piece->offset == 0) {
        uint64_t expected = session->plan.expected;
        session->is_beginning = true;
        sl_store_begin_with(session->intake->store, &session->object, expected,
                            (struct sl_bytes){piece->slab->base, piece->len}, on_piece_begun, piece);
    } else {
        write_piece(session, piece);
    }
}

static void on_piece_hashed(struct sl_hash_job *job, void *ctx)
{
    struct sl_piece *piece = ctx;
    if (job == &piece->job)
        piece->session->hashed += piece->len - piece->known;
    took(piece, SL_STAGE_HASH);
    piece_part_done(piece);
}

/* What is there may be above a limit that was lowered since. */
static bool has_room(uint64_t limit, uint64_t size, size_t len)
{
    return size <= limit && limit - size >= len;
}

static sl_err judge_size(const struct sl_session *session, size_t len)
{
    const struct sl_session_part *part = session->plan.part;
    if (!has_room(session->intake->size_max, session->size, len))
        return SL_TOO_LARGE;
    return part != NULL && !has_room(part->limit, session->size, len) ? SL_LENGTH : SL_OK;
}

bool sl_session_feed(struct sl_session *session, struct sl_piece *piece, struct sl_slab *slab, size_t len,
                     bool is_last, sl_piece_cb on_done, void *ctx)
{
    assert(piece->parts_inflight == 0 && len > 0 && slab->state == SL_SLAB_SEALED);
    if (session->state != SL_SESSION_RECEIVING || session->err != SL_OK)
        return false;
    struct sl_session_part *part = session->plan.part;
    *piece = (struct sl_piece){.session = session,
                               .slab = slab,
                               .len = len,
                               .offset = session->size,
                               .fed_ns = sl_clock_now_ns(),
                               .epoch = session->epoch,
                               .on_done = on_done,
                               .ctx = ctx};
    if (part != NULL) {
        assert(part->known <= len);
        piece->known = part->known;
        part->known = 0;
    }
    sl_err err = judge_size(session, len);
    if (err == SL_OK)
        err = sl_session_digest_piece(session, piece, is_last, on_piece_hashed);
    if (err != SL_OK) {
        sl_session_break(session, err);
        return false;
    }
    begin_span(&session->hashing, piece->parts_inflight, piece->fed_ns);
    begin_span(&session->writing, 1, piece->fed_ns);
    piece->parts_inflight++;
    session->inflight++;
    write_when_begun(session, piece);
    session->size += len;
    if (part != NULL && session->size >= part->mark_at && !is_last)
        mark(session);
    return true;
}

void sl_session_break(struct sl_session *session, sl_err err)
{
    if (session->state != SL_SESSION_RECEIVING && session->state != SL_SESSION_FLUSHING)
        return;
    session_fail(session, err);
    settle_later(session);
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
    session->lane_jobs--;
    session_settle(session);
}

static void on_empty_begun(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    (void)object;
    session->inflight--;
    session->has_file = err == SL_OK;
    if (err != SL_OK)
        session_fail(session, err);
    session_settle(session);
}

/* No piece came that could have brought its file. */
static void begin_empty(struct sl_session *session)
{
    session->inflight++;
    sl_store_begin_with(session->intake->store, &session->object, 0, SL_BYTES(""), on_empty_begun, session);
}

void sl_session_finish(struct sl_session *session)
{
    if (session->state == SL_SESSION_FAILED)
        return;
    assert(session->state == SL_SESSION_RECEIVING); /* else nothing would ever be told */
    session_enter(session, SL_SESSION_FLUSHING);
    if (session->plan.part != NULL && session->size < session->plan.part->offset)
        session->size = session->written = session->plan.part->offset; /* nothing came: the end is where it was */
    sl_session_digest_end(session, on_lane_ended);
    if (session->is_late && session->size == 0 && session->err == SL_OK)
        begin_empty(session);
    if (!is_busy(session))
        settle_later(session);
}

static void free_meta(struct sl_session *session)
{
    if (session->terms.meta.base != session->short_meta)
        free(session->terms.meta.base);
    session->terms.meta = (struct sl_room){0};
}

static void on_committed(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_session *session = ctx;
    free_meta(session);
    memcpy(session->etag, object->etag, sizeof session->etag);
    if (err == SL_OK) { /* also if the owner wished to leave meanwhile: the name is there */
        session->has_file = false;
        session->has_replaced = object->has_replaced;
        session->has_kept_fields &= object->has_kept_fields;
        if (object->created_ns != 0)
            session->created_ns = object->created_ns;
        session_end(session, SL_SESSION_DONE);
        return;
    }
    step_over(session, err, SL_SESSION_DONE);
}

/* Most files have little to tell, and many may wait for a sync at once: the form is kept in memory of its own size. */
static void encode_meta(struct sl_session *session, const struct sl_meta *about)
{
    char room[SL_META_BYTES_MAX];
    struct sl_meta meta = *about;
    meta.created_ns = session->created_ns;
    meta.digests = session->digests;
    size_t len = sl_meta_encode(&meta, room, &session->has_kept_fields);
    char *encoded = len <= sizeof session->short_meta ? session->short_meta : malloc(len);
    if (encoded == NULL)
        abort();
    memcpy(encoded, room, len);
    session->terms.meta = (struct sl_room){encoded, len};
}

void sl_session_commit(struct sl_session *session, const struct sl_meta *about)
{
    session_enter(session, SL_SESSION_COMMITTING);
    session->created_ns = sl_clock_wall_ns();
    encode_meta(session, about);
    session->terms.conflict = session->plan.conflict;
    session->terms.conditions = session->plan.conditions;
    if (session->plan.part != NULL) {
        assert(!session->plan.part->is_more && session->path.len > 0);
        session->terms.keep_id = session->plan.part->keep_id;
        session->terms.state = session->plan.part->state;
        session->terms.state_of = session->plan.part->state_of;
        session->terms.state_ctx = session->ctx;
    }
    sl_store_commit(&session->object, &session->path, session->size, &session->terms, on_committed, session);
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
