/* The phases of a resumable upload: made or opened, dropped, closed. See upload/resumable.h for the picture. */
#include "sluice/upload/resumable.h"

#include "resumable_work.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <stdlib.h>

#define BIT(phase) (1u << SL_RESUMABLE_##phase)

void sl_resumable_enter(struct sl_resumable *resumable, enum sl_resumable_phase next)
{
    static const unsigned allowed[SL_RESUMABLE_PHASES] = {
        [SL_RESUMABLE_IDLE] = BIT(MAKING) | BIT(OPENING),
        [SL_RESUMABLE_MAKING] = BIT(RECEIVING) | BIT(ENDING) | BIT(KEPT) | BIT(FAILED) | BIT(CLOSING),
        [SL_RESUMABLE_OPENING] = BIT(OPEN) | BIT(FAILED) | BIT(CLOSING),
        [SL_RESUMABLE_OPEN] = BIT(PREPARING) | BIT(ENDING) | BIT(CLOSING),
        [SL_RESUMABLE_PREPARING] = BIT(RECEIVING) | BIT(FAILED) | BIT(CLOSING),
        [SL_RESUMABLE_RECEIVING] = BIT(ENDING) | BIT(FAILED) | BIT(CLOSING),
        [SL_RESUMABLE_ENDING] = BIT(KEPT) | BIT(DONE) | BIT(GONE) | BIT(FAILED) | BIT(CLOSING),
        [SL_RESUMABLE_KEPT] = BIT(ENDING) | BIT(CLOSING),
        [SL_RESUMABLE_DONE] = BIT(CLOSING),
        [SL_RESUMABLE_GONE] = BIT(CLOSING),
        [SL_RESUMABLE_FAILED] = BIT(CLOSING),
        [SL_RESUMABLE_CLOSING] = BIT(CLOSED),
    };
    assert(allowed[resumable->phase] & (1u << next));
    resumable->phase = next;
}

void sl_resumable_reach(struct sl_resumable *resumable, enum sl_resumable_phase next)
{
    struct sl_resumable_work *work = resumable->work;
    if (resumable->phase == SL_RESUMABLE_CLOSING) {
        sl_resumable_close_on(resumable);
        return;
    }
    sl_resumable_enter(resumable, next);
    work->on_change(resumable, work->ctx);
}

/* The first reason counts. */
void sl_resumable_fail(struct sl_resumable *resumable, sl_err err)
{
    assert(err != SL_OK);
    if (resumable->phase == SL_RESUMABLE_FAILED)
        return;
    struct sl_resumable_work *work = resumable->work;
    work->is_settled = true;
    if (work->is_untold) /* nobody could ever go on with it */
        work->part.stays = false;
    if (resumable->phase != SL_RESUMABLE_CLOSING)
        resumable->err = err;
    resumable->is_check_wrong = work->part.is_check_wrong;
    sl_resumable_reach(resumable, SL_RESUMABLE_FAILED);
}

bool sl_resumable_may_go_on(struct sl_resumable *resumable, sl_err err)
{
    if (err != SL_OK)
        sl_resumable_fail(resumable, err);
    else if (resumable->phase == SL_RESUMABLE_CLOSING)
        sl_resumable_close_on(resumable);
    else
        return true;
    return false;
}

void sl_resumable_spoil(struct sl_resumable *resumable)
{
    if (resumable->state.dialect != SL_UPLOAD_DRAFT)
        return;
    resumable->work->is_spoilt = true;
    resumable->work->part.stays = false;
}

/* ---- what comes back in a later turn ---- */

static void on_later(struct sl_mail *mail)
{
    struct sl_resumable_work *work = SL_CONTAINER_OF(mail, struct sl_resumable_work, later);
    sl_resumable_step step = work->on_later;
    work->on_later = NULL;
    work->busy--;
    step(work->resumable, work->later_err);
}

void sl_resumable_later(struct sl_resumable *resumable, sl_resumable_step step, sl_err err)
{
    struct sl_resumable_work *work = resumable->work;
    assert(work->on_later == NULL);
    work->on_later = step;
    work->later_err = err;
    work->busy++;
    work->later.on_arrival = on_later;
    sl_mailbox_post(work->intake->mailbox, &work->later);
}

void sl_resumable_store(struct sl_resumable *resumable, sl_resumable_step step)
{
    assert(resumable->work->on_stored == NULL);
    resumable->work->on_stored = step;
    resumable->work->busy++;
}

void sl_resumable_on_stored(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_resumable *resumable = ctx;
    sl_resumable_step step = resumable->work->on_stored;
    (void)object;
    resumable->work->on_stored = NULL;
    resumable->work->busy--;
    step(resumable, err);
}

/* ---- the session and the claim ---- */

static void go_on_opening(struct sl_resumable *resumable);
static void go_on_making(struct sl_resumable *resumable);
static void reopen(struct sl_resumable *resumable);

static void reach_done(struct sl_resumable *resumable, sl_err err)
{
    (void)err;
    sl_resumable_reach(resumable, SL_RESUMABLE_DONE);
}

static void on_named(struct sl_resumable *resumable)
{
    sl_resumable_named(resumable);
    if (resumable->phase == SL_RESUMABLE_OPENING)
        reopen(resumable);
    else if (resumable->phase == SL_RESUMABLE_ENDING && resumable->state.kind == SL_UPLOAD_FINAL)
        sl_resumable_end_parts(resumable, reach_done);
    else
        reach_done(resumable, SL_OK);
}

/* Not to be found by anybody, be it durable or not. */
static bool is_away(const struct sl_store_object *object)
{
    return object->kept == NULL || object->is_id_away;
}

/* What could not be dropped is still there, and counts. */
static void on_gone(struct sl_resumable *resumable)
{
    const struct sl_store_object *object = &resumable->session.object;
    if (!resumable->work->part.stays && is_away(object))
        sl_resumable_dismiss(resumable);
    if (!resumable->work->part.stays && object->kept != NULL) {
        sl_resumable_fail(resumable, object->sys_errno != 0 ? sl_err_of_errno(object->sys_errno) : SL_IO);
        return;
    }
    sl_resumable_reach(resumable, SL_RESUMABLE_GONE);
}

/* All of it is there, and sending it again would change nothing. */
static bool is_refused_for_good(const struct sl_resumable *resumable)
{
    const struct sl_resumable_work *work = resumable->work;
    if (!work->is_completing)
        return false;
    switch (resumable->session.err) {
    case SL_EXISTS:
    case SL_PRECONDITION:
    case SL_NOT_A_DIRECTORY:
    case SL_IS_A_DIRECTORY:
    case SL_NAME_TOO_LONG:
    case SL_OUTSIDE: return true;
    case SL_DIGEST_MISMATCH: return !work->part.is_check_wrong;
    default: return false;
    }
}

static void on_kept_after_all(struct sl_resumable *resumable, sl_err err)
{
    (void)err; /* else it stays as it was kept before */
    sl_resumable_fail(resumable, resumable->session.err);
}

/* Only the name is missing: what has it may go away, and the bytes need not come again then. */
static void on_failed(struct sl_resumable *resumable)
{
    const struct sl_session *session = &resumable->session;
    const struct sl_resumable_work *work = resumable->work;
    bool is_whole = work->is_completing && resumable->state.kind == SL_UPLOAD_WHOLE;
    bool is_new = resumable->state.offset < session->size;
    if (session->err == SL_EXISTS && is_whole && work->part.saves_hash && is_new) {
        sl_resumable_keep(resumable, session->size, &work->part.hash, on_kept_after_all);
        return;
    }
    if (session->err == SL_LENGTH || is_refused_for_good(resumable))
        sl_resumable_spoil(resumable);
    sl_resumable_fail(resumable, session->err);
}

static void on_session_change(struct sl_session *session, void *ctx)
{
    struct sl_resumable *resumable = ctx;
    switch (session->state) {
    case SL_SESSION_RECEIVING:
        if (resumable->phase == SL_RESUMABLE_CLOSING)
            sl_resumable_close_on(resumable);
        else if (resumable->phase == SL_RESUMABLE_MAKING)
            go_on_making(resumable);
        else
            go_on_opening(resumable);
        return;
    case SL_SESSION_STAGED: sl_resumable_staged(resumable); return;
    case SL_SESSION_DONE: on_named(resumable); return;
    case SL_SESSION_FAILED: on_failed(resumable); return;
    case SL_SESSION_GONE: on_gone(resumable); return;
    case SL_SESSION_IDLE:
    case SL_SESSION_CHECKING:
    case SL_SESSION_OPENING:
    case SL_SESSION_FLUSHING:
    case SL_SESSION_COMMITTING:
    case SL_SESSION_LEAVING:
    case SL_SESSION_STATES: break;
    }
    assert(false); /* not told */
}

static struct sl_resumable *of_claim(struct sl_claim *claim)
{
    return SL_CONTAINER_OF(claim, struct sl_resumable_work, claim)->resumable;
}

static void on_wanted(struct sl_claim *claim)
{
    struct sl_resumable *resumable = of_claim(claim);
    resumable->is_wanted = true;
    if (resumable->phase != SL_RESUMABLE_CLOSING)
        resumable->work->on_change(resumable, resumable->work->ctx);
}

static void open_claimed(struct sl_resumable *resumable);

static void on_mine(struct sl_claim *claim)
{
    struct sl_resumable *resumable = of_claim(claim);
    resumable->work->busy--;
    resumable->work->has_claim = true;
    if (resumable->phase == SL_RESUMABLE_CLOSING)
        sl_resumable_close_on(resumable);
    else if (resumable->phase == SL_RESUMABLE_MAKING)
        go_on_making(resumable);
    else if (resumable->phase == SL_RESUMABLE_OPENING)
        open_claimed(resumable);
}

static void begin(struct sl_resumable *resumable, struct sl_intake *intake, sl_resumable_cb on_change, void *ctx)
{
    assert(resumable->phase == SL_RESUMABLE_IDLE && intake->uploads != NULL);
    struct sl_resumable_work *work = calloc(1, sizeof *work);
    if (work == NULL)
        abort();
    work->resumable = resumable;
    work->intake = intake;
    work->on_change = on_change;
    work->ctx = ctx;
    work->part = (struct sl_session_part){
        .limit = SL_STORE_SIZE_UNKNOWN, .mark_at = UINT64_MAX, .on_mark = sl_resumable_on_mark, .is_more = true};
    resumable->work = work;
    intake->resumables++;
}

static void end(struct sl_resumable *resumable)
{
    resumable->work->intake->resumables--;
    free(resumable->work);
    resumable->work = NULL;
}

static void take_claim(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    work->busy++;
    sl_claim_take(work->intake->uploads, &work->claim, resumable->session.id, work->intake->mailbox, on_mine,
                  on_wanted);
}

/* ---- making ---- */

/* The texts are the sender's, and are gone with its request. */
static sl_err copy_state(struct sl_resumable *resumable, const struct sl_upload_state *given)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_upload_state state = *given;
    state.is_done = false;
    state.offset = 0;
    state.created_ns = state.touched_ns = sl_clock_wall_ns();
    sl_hash_set set = sl_resumable_digests(work->intake, &state);
    state.hash.len = 0;
    if (set != 0)
        sl_hash_state_begin(&state.hash, set);
    size_t len;
    sl_err err = sl_resumable_fits(&state);
    if (err == SL_OK)
        err = sl_upload_state_encode(&state, work->known, &len);
    if (err == SL_OK)
        err = sl_upload_state_decode((struct sl_bytes){work->known, len}, &resumable->state);
    return err;
}

static sl_err open_session(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    const struct sl_upload_state *state = &resumable->state;
    struct sl_session *session = &resumable->session;
    if (state->length != SL_STORE_SIZE_UNKNOWN && state->length > work->intake->size_max)
        return SL_TOO_LARGE;
    session->path = state->path;
    session->created_ns = state->created_ns;
    work->part.limit = state->length;
    work->part.hash = state->hash;
    struct sl_session_plan plan = {.expected = work->is_bodyless ? SL_STORE_SIZE_UNKNOWN : state->length,
                                   .conflict = state->conflict,
                                   .conditions = &state->conditions,
                                   .promised = &state->promised,
                                   .part = &work->part};
    return sl_session_open(session, work->intake, &plan, on_session_change, resumable);
}

static void note_owner(struct sl_resumable_work *work, const struct sl_upload_state *state)
{
    work->has_owner = state->has_owner;
    work->owner = state->owner;
}

sl_err sl_resumable_make(struct sl_resumable *resumable, struct sl_intake *intake,
                         const struct sl_resumable_plan *plan, sl_resumable_cb on_change, void *ctx)
{
    assert(plan->is_bodyless || plan->state->kind != SL_UPLOAD_FINAL);
    begin(resumable, intake, on_change, ctx);
    struct sl_resumable_work *work = resumable->work;
    work->is_announced = plan->is_announced;
    work->is_bodyless = work->is_untold = plan->is_bodyless;
    work->is_last = plan->is_last;
    sl_err err = copy_state(resumable, plan->state);
    if (err == SL_OK) {
        work->counted = sl_uploads_bytes_of(&resumable->state);
        err = sl_uploads_admit(intake->uploads, resumable->state.length, sl_uploads_owner_of(&resumable->state));
        work->has_place = err == SL_OK;
    }
    if (err == SL_OK) {
        note_owner(work, &resumable->state);
        err = open_session(resumable);
    }
    if (err != SL_OK) {
        sl_resumable_dismiss(resumable);
        end(resumable);
        return err;
    }
    sl_resumable_enter(resumable, SL_RESUMABLE_MAKING);
    take_claim(resumable);
    return SL_OK;
}

static void on_made_kept(struct sl_resumable *resumable, sl_err err)
{
    if (err != SL_OK)
        sl_resumable_fail(resumable, err);
    else if (!resumable->work->is_bodyless)
        sl_resumable_reach(resumable, SL_RESUMABLE_RECEIVING);
    else
        sl_resumable_reach(resumable, resumable->state.is_done ? SL_RESUMABLE_DONE : SL_RESUMABLE_KEPT);
}

/* DONE is reached from ENDING alone. */
static void end_made(struct sl_resumable *resumable)
{
    sl_resumable_enter(resumable, SL_RESUMABLE_ENDING);
    resumable->state.length = 0;
    if (resumable->state.kind == SL_UPLOAD_WHOLE)
        sl_resumable_complete(resumable, SL_OK);
    else
        sl_resumable_keep(resumable, 0, &resumable->state.hash, on_made_kept);
}

static bool is_complete(const struct sl_resumable *resumable)
{
    const struct sl_upload_state *state = &resumable->state;
    if (state->kind == SL_UPLOAD_FINAL)
        return false;
    if (resumable->work->is_last)
        return state->length == 0 || state->length == SL_STORE_SIZE_UNKNOWN;
    return state->length == 0 && state->dialect == SL_UPLOAD_TUS;
}

static void go_on_making(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    if (!work->has_claim || resumable->session.state != SL_SESSION_RECEIVING)
        return;
    if (work->is_bodyless && is_complete(resumable))
        end_made(resumable);
    else if (work->is_announced || work->is_bodyless)
        sl_resumable_keep(resumable, 0, &resumable->state.hash, on_made_kept);
    else
        sl_resumable_reach(resumable, SL_RESUMABLE_RECEIVING);
}

/* ---- opening ---- */

static void fail_not_found(struct sl_resumable *resumable, sl_err err)
{
    sl_resumable_fail(resumable, err);
}

void sl_resumable_open(struct sl_resumable *resumable, struct sl_intake *intake, const char *id,
                       enum sl_resumable_purpose purpose, sl_resumable_cb on_change, void *ctx)
{
    begin(resumable, intake, on_change, ctx);
    resumable->work->purpose = purpose;
    sl_resumable_enter(resumable, SL_RESUMABLE_OPENING);
    if (!sl_store_is_id(sl_bytes_of(id))) {
        sl_resumable_later(resumable, fail_not_found, SL_NOT_FOUND);
        return;
    }
    memcpy(resumable->session.id, id, sizeof resumable->session.id);
    take_claim(resumable);
}

static void open_claimed(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    work->part.stays = true;
    struct sl_session_plan plan = {.expected = SL_STORE_SIZE_UNKNOWN,
                                   .conditions = &resumable->state.conditions,
                                   .promised = &resumable->state.promised,
                                   .part = &work->part};
    sl_err err = sl_session_resume(&resumable->session, work->intake, &plan, resumable->session.id, work->known,
                                   on_session_change, resumable);
    if (err != SL_OK)
        sl_resumable_fail(resumable, err);
}

/* It has just got its name: once more, to find it as everybody else will. */
static void reopen(struct sl_resumable *resumable)
{
    struct sl_session *session = &resumable->session;
    char id[SL_UPLOAD_ID_BYTES];
    memcpy(id, session->id, sizeof id);
    *session = (struct sl_session){0};
    memcpy(session->id, id, sizeof id);
    resumable->work->was_named = true;
    open_claimed(resumable);
}

static bool is_readable(struct sl_resumable *resumable)
{
    const struct sl_store_object *object = &resumable->session.object;
    struct sl_upload_state *state = &resumable->state;
    struct sl_bytes encoded = {resumable->work->known, object->state_len};
    return sl_upload_state_decode(encoded, state) == SL_OK && state->offset <= object->size &&
           sl_resumable_expires_ns(resumable) > sl_clock_wall_ns();
}

/* The name is there, but the state does not say so: a crash came between. The store finds out what name it is; what was
 * promised was looked at before it got it. */
static void find_name(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    work->part.offset = resumable->state.length = resumable->session.object.size;
    work->part.hash.len = 0;
    resumable->session.plan.promised = NULL;
    resumable->session.plan.conditions = NULL;
    sl_resumable_complete(resumable, SL_OK);
}

/* All its bytes are there, but the name is not: likewise. */
static bool lacks_a_name(const struct sl_upload_state *state)
{
    return state->kind == SL_UPLOAD_WHOLE && state->dialect == SL_UPLOAD_TUS && state->offset == state->length;
}

static void take_in_state(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_session *session = &resumable->session;
    struct sl_upload_state *state = &resumable->state;
    work->is_kept = true;
    work->has_place = !sl_uploads_is_over(state);
    work->counted = sl_uploads_bytes_of(state);
    note_owner(work, state);
    work->part.offset = state->offset;
    work->part.limit = state->length;
    work->part.hash = state->hash;
    session->path = state->path;
    session->created_ns = state->created_ns;
    session->plan.conflict = state->conflict;
    if (!state->is_done)
        sl_store_set_end(&session->object, state->offset);
    state->is_done = state->is_done || work->was_named;
}

static void go_on_opening(struct sl_resumable *resumable)
{
    const struct sl_upload_state *state = &resumable->state;
    if (!is_readable(resumable)) {
        sl_resumable_fail(resumable, SL_NOT_FOUND);
        return;
    }
    take_in_state(resumable);
    bool is_name_wanted = !state->is_done && resumable->work->purpose == SL_RESUMABLE_TO_GO_ON;
    if (is_name_wanted && state->kind != SL_UPLOAD_PARTIAL && resumable->session.object.is_linked)
        find_name(resumable);
    else if (is_name_wanted && lacks_a_name(state))
        sl_resumable_complete_as_it_is(resumable);
    else
        sl_resumable_reach(resumable, SL_RESUMABLE_OPEN);
}

/* ---- dropping ---- */

void sl_resumable_drop(struct sl_resumable *resumable)
{
    assert(resumable->phase == SL_RESUMABLE_OPEN);
    sl_resumable_enter(resumable, SL_RESUMABLE_ENDING);
    resumable->work->part.stays = false;
    sl_session_leave(&resumable->session);
}

/* ---- closing ---- */

static void on_given(struct sl_claim *claim)
{
    struct sl_resumable *resumable = of_claim(claim);
    resumable->work->busy--;
    sl_resumable_close_on(resumable);
}

static void finish_closing(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    sl_resumable_cb on_change = work->on_change;
    void *ctx = work->ctx;
    if (!work->is_kept && is_away(&resumable->session.object))
        sl_resumable_dismiss(resumable);
    end(resumable);
    sl_resumable_enter(resumable, SL_RESUMABLE_CLOSED);
    on_change(resumable, ctx);
}

/* What was begun to the end goes to the end. */
static bool is_ending(const struct sl_session *session)
{
    return session->state == SL_SESSION_FLUSHING || session->state == SL_SESSION_STAGED ||
           session->state == SL_SESSION_COMMITTING;
}

void sl_resumable_close_on(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_session *session = &resumable->session;
    assert(resumable->phase == SL_RESUMABLE_CLOSING);
    if (work->busy > 0)
        return;
    bool is_over = session->state == SL_SESSION_IDLE || sl_session_is_over(session);
    if (!is_over) {
        if (!is_ending(session) || work->is_settled)
            sl_session_leave(session);
        return;
    }
    if (work->has_claim) {
        work->has_claim = false;
        work->busy++;
        sl_claim_give(&work->claim, on_given);
        return;
    }
    finish_closing(resumable);
}

static void on_close(struct sl_resumable *resumable, sl_err err)
{
    (void)err;
    sl_resumable_close_on(resumable);
}

void sl_resumable_close(struct sl_resumable *resumable)
{
    assert(resumable->phase != SL_RESUMABLE_IDLE && resumable->phase < SL_RESUMABLE_CLOSING);
    bool is_receiving = resumable->phase == SL_RESUMABLE_RECEIVING;
    sl_resumable_enter(resumable, SL_RESUMABLE_CLOSING);
    if (is_receiving)
        sl_resumable_break_off(resumable);
    if (!sl_resumable_stop_waiting(resumable) && resumable->work->on_later == NULL)
        sl_resumable_later(resumable, on_close, SL_OK);
}

uint64_t sl_resumable_expires_ns(const struct sl_resumable *resumable)
{
    return sl_uploads_expires_ns(sl_uploads_options(resumable->work->intake->uploads), &resumable->state);
}
