#include "resumable.h"

#include "rules.h"
#include "sluice/base/clock.h"
#include "sluice/http/access.h"
#include "sluice/net/peers.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the end of its life ---- */

static void free_if_over(struct sl_resumption *r)
{
    if (r->has_resumable || r->has_pipeline || r->file != NULL || r->is_later_posted)
        return;
    struct sl_request *request = r->request;
    void (*on_closed)(struct sl_request * request, void *ctx) = r->on_closed;
    void *ctx = r->on_closed_ctx;
    free(r->plan);
    free(r);
    if (request == NULL)
        return;
    assert(on_closed != NULL);
    sl_body_discard(request);
    on_closed(request, ctx);
}

static void on_pipeline_closed(struct sl_pipeline *pipeline, void *ctx)
{
    struct sl_resumption *r = ctx;
    (void)pipeline;
    r->has_pipeline = false;
    free_if_over(r);
}

/* The pipeline is lent to the upload, which may still take what came out of it: so it goes last. */
static void close_pipeline(struct sl_resumption *r)
{
    if (r->has_pipeline)
        sl_pipeline_close(&r->pipeline, on_pipeline_closed, r);
    else
        free_if_over(r);
}

static void close_all(struct sl_resumption *r)
{
    assert(!r->is_closing);
    r->is_closing = true;
    if (r->has_resumable)
        sl_resumable_close(&r->resumable);
    else
        close_pipeline(r);
}

/* The request was answered or is gone: everything is given back as it comes home, and what came is kept. */
static void give_back(struct sl_resumption *r)
{
    r->request = NULL;
    if (!r->is_closing)
        close_all(r);
}

void sl_resumption_hand_over(struct sl_resumption *r, void (*on_closed)(struct sl_request *request, void *ctx),
                             void *ctx)
{
    assert(r->purpose == SL_RESUMPTION_LOOK && r->request != NULL);
    r->on_closed = on_closed;
    r->on_closed_ctx = ctx;
}

/* ---- answers ---- */

static void tell_log(struct sl_resumption *r)
{
    sl_access_add(r->request, r->id, &r->resumable.session);
}

static void answer(struct sl_resumption *r, void (*by)(struct sl_resumption *r))
{
    tell_log(r);
    by(r);
    if (r->on_closed != NULL)
        close_all(r);
    else
        give_back(r);
}

static void refuse(struct sl_resumption *r, sl_err err)
{
    tell_log(r);
    r->dialect->refused(r, err == SL_NOT_FOUND ? SL_UPLOAD_GONE : err);
    r->resumable.session.why = err;
    give_back(r);
}

static void on_later(struct sl_mail *mail)
{
    struct sl_resumption *r = SL_CONTAINER_OF(mail, struct sl_resumption, later);
    r->is_later_posted = false;
    if (!r->is_closing)
        refuse(r, r->late_err);
    else
        free_if_over(r);
}

/* From inside a callback of the body, which may be about to look at the buffers again. */
static void refuse_later(struct sl_resumption *r, sl_err err)
{
    if (r->late_err != SL_OK)
        return;
    r->late_err = err;
    r->later.on_arrival = on_later;
    r->is_later_posted = true;
    sl_mailbox_post(r->intake->mailbox, &r->later);
}

/* ---- the sink ---- */

static struct sl_resumption *resumption_of(struct sl_sink *sink)
{
    return SL_CONTAINER_OF(sink, struct sl_resumption, sink);
}

static struct sl_room reserve(struct sl_sink *sink)
{
    struct sl_resumption *r = resumption_of(sink);
    return r->late_err == SL_OK ? sl_pipeline_room(&r->pipeline) : (struct sl_room){0};
}

static void commit(struct sl_sink *sink, size_t n)
{
    struct sl_resumption *r = resumption_of(sink);
    r->body_received += n;
    if (r->body_received > r->body_max)
        refuse_later(r, SL_TOO_LARGE);
    if (r->late_err != SL_OK) {
        sl_counter_add(&r->intake->stats->aborted_bytes, n);
        return;
    }
    sl_pipeline_filled(&r->pipeline, n);
    sl_pipeline_accept(&r->pipeline, n);
}

static sl_err check_trailer(struct sl_resumption *r)
{
    struct sl_digests promised = {.set = 0};
    if (r->promised != NULL)
        promised = *r->promised;
    sl_err err = r->read_trailer(r, &promised);
    if (err == SL_OK)
        sl_resumable_check(&r->resumable, promised.set, &promised);
    return err;
}

static void end_body(struct sl_resumption *r)
{
    bool has_length = r->offset + r->body_received == r->resumable.state.length;
    sl_resumable_end(&r->resumable, r->is_last || (r->is_last_by_length && has_length));
}

static void finish(struct sl_sink *sink)
{
    struct sl_resumption *r = resumption_of(sink);
    if (r->late_err != SL_OK)
        return;
    sl_err err = r->read_trailer != NULL ? check_trailer(r) : SL_OK;
    if (err != SL_OK)
        refuse_later(r, err);
    else
        end_body(r);
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    struct sl_resumption *r = resumption_of(sink);
    tell_log(r);
    r->resumable.session.why = why;
    give_back(r);
}

static const struct sl_sink_ops sink_ops = {
    .reserve = reserve, .commit = commit, .finish = finish, .abort = on_abort, .is_steady = true, .keeps = true};

/* ---- the body ---- */

static void make(struct sl_resumption *r);

static void on_room(struct sl_pipeline *pipeline, void *ctx)
{
    struct sl_resumption *r = ctx;
    if (r->is_closing)
        return;
    if (r->has_begun) {
        sl_body_resume(r->request);
        return;
    }
    r->has_begun = true;
    if (r->purpose == SL_RESUMPTION_MAKE)
        make(r);
    else
        sl_resumable_receive(&r->resumable, pipeline);
}

static void admit(struct sl_resumption *r)
{
    r->has_pipeline = true;
    sl_pipeline_admit(&r->pipeline, r->intake, r->request->content_length, on_room, r);
}

/* All digests of a trailer that may come: it tells by which algorithm only when it is there. */
static void begin_check(struct sl_resumption *r)
{
    if (r->read_trailer != NULL)
        sl_resumable_check(&r->resumable, (1u << SL_HASH_ALGS) - 1, NULL);
    else if (r->promised != NULL)
        sl_resumable_check(&r->resumable, r->promised->set, r->promised);
}

static void on_receiving(struct sl_resumption *r)
{
    if (r->is_receiving) {
        if (r->dialect->progressed != NULL)
            r->dialect->progressed(r);
        return;
    }
    r->is_receiving = true;
    begin_check(r);
    if (r->purpose == SL_RESUMPTION_MAKE)
        sl_resumable_attach(&r->resumable, &r->pipeline);
    if (r->is_announced && r->dialect->announced != NULL)
        r->dialect->announced(r);
    sl_body_start(r->request);
}

/* ---- going on with one ---- */

static sl_err check_append(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    bool has_size = r->request->content_length != SL_LENGTH_UNKNOWN;
    if (state->kind == SL_UPLOAD_FINAL)
        return SL_UPLOAD_DONE; /* it is made of others, and of nothing else */
    sl_err err = r->dialect->check != NULL ? r->dialect->check(r) : SL_OK;
    if (err == SL_OK && r->offset != state->offset)
        err = SL_OFFSET;
    if (err == SL_OK && has_size && r->request->content_length > r->body_max)
        err = SL_TOO_LARGE;
    if (err == SL_OK && has_size && r->request->content_length > state->length - state->offset) {
        sl_resumable_spoil(&r->resumable); /* as if it had come */
        err = SL_LENGTH;
    }
    if (err == SL_OK && r->length != SL_STORE_SIZE_UNKNOWN)
        err = sl_resumable_set_length(&r->resumable, r->length);
    bool is_above = err == SL_OK && has_size && r->request->content_length > state->length - state->offset;
    return is_above ? SL_LENGTH : err; /* of the length that it told itself */
}

static void append(struct sl_resumption *r)
{
    if (r->resumable.is_wanted) {
        refuse(r, SL_TAKEN_OVER);
        return;
    }
    if (r->resumable.state.is_done) {
        if (r->dialect->replays != NULL && r->dialect->replays(r))
            give_back(r);
        else
            refuse(r, SL_UPLOAD_DONE);
        return;
    }
    sl_err err = check_append(r);
    if (err != SL_OK)
        refuse(r, err);
    else if (r->has_body)
        admit(r);
    else
        end_body(r);
}

static void look(struct sl_resumption *r)
{
    bool is_unjoined = r->resumable.state.kind == SL_UPLOAD_FINAL && !r->resumable.state.is_done;
    if (is_unjoined && !r->resumable.is_wanted)
        sl_resumable_join(&r->resumable); /* its parts may be whole by now */
    else
        answer(r, r->dialect->looked);
}

static void do_what_is_asked(struct sl_resumption *r)
{
    switch (r->purpose) {
    case SL_RESUMPTION_MAKE: sl_resumable_join(&r->resumable); return;
    case SL_RESUMPTION_APPEND: append(r); return;
    case SL_RESUMPTION_LOOK: look(r); return;
    case SL_RESUMPTION_DROP: sl_resumable_drop(&r->resumable); return;
    }
}

static void on_file_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct sl_resumption *r = ctx;
    (void)err;
    free(reader);
    r->file = NULL;
    if (r->is_closing) {
        free_if_over(r);
    } else if (r->has_lost_file) {
        r->is_known = false;
        refuse(r, SL_UPLOAD_GONE);
    } else {
        do_what_is_asked(r);
    }
}

/* Whose name is gone, or is another file's now, is gone itself: it leads nobody to the old bytes. A file that cannot be
 * read now is told of by its name alone. */
static void on_file_open(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct sl_resumption *r = ctx;
    struct sl_session *session = &r->resumable.session;
    r->has_lost_file = err == SL_OK ? reader->inode != session->object.inode : err == SL_NOT_FOUND;
    if (err != SL_OK) {
        on_file_closed(reader, SL_OK, r);
        return;
    }
    if (!r->is_closing) {
        memcpy(session->etag, reader->etag, sizeof session->etag);
        session->digests = reader->meta.digests;
        session->size = reader->size;
        session->created_ns = reader->meta.created_ns != 0 ? reader->meta.created_ns : reader->modified_ns;
    }
    sl_store_close(reader, on_file_closed, r);
}

static void look_at_file(struct sl_resumption *r)
{
    r->file = malloc(sizeof *r->file);
    if (r->file == NULL)
        abort();
    sl_store_open(r->intake->store, r->file, &r->resumable.session.path, on_file_open, r);
}

static void on_open(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    if (r->is_known)
        return; /* told again, as of somebody who wants it */
    r->is_known = true;
    if (state->is_done && state->kind != SL_UPLOAD_PARTIAL && r->purpose != SL_RESUMPTION_DROP)
        look_at_file(r);
    else
        do_what_is_asked(r);
}

/* ---- the upload ---- */

static void on_kept(struct sl_resumption *r)
{
    bool is_new_final = r->purpose == SL_RESUMPTION_MAKE && r->resumable.state.kind == SL_UPLOAD_FINAL;
    if (is_new_final && !r->is_known) {
        r->is_known = true;
        sl_resumable_join(&r->resumable);
        return;
    }
    r->is_known = true;
    switch (r->purpose) {
    case SL_RESUMPTION_MAKE: answer(r, r->dialect->created); return;
    case SL_RESUMPTION_APPEND: answer(r, r->dialect->appended); return;
    case SL_RESUMPTION_LOOK: answer(r, r->dialect->looked); return;
    case SL_RESUMPTION_DROP: break;
    }
    assert(!"what is dropped is not kept");
}

/* Who asks next goes on where this one ends: what came is kept first. While it is about to end by itself, that is the
 * quicker way. */
static bool is_to_be_left(const struct sl_resumption *r)
{
    bool is_waiting = r->resumable.phase == SL_RESUMABLE_OPEN || r->resumable.phase == SL_RESUMABLE_PREPARING ||
                      r->resumable.phase == SL_RESUMABLE_RECEIVING;
    bool has_more = r->purpose == SL_RESUMPTION_MAKE || (r->purpose == SL_RESUMPTION_APPEND && r->is_known);
    return r->resumable.is_wanted && is_waiting && has_more;
}

static void on_change(struct sl_resumable *resumable, void *ctx)
{
    struct sl_resumption *r = ctx;
    if (resumable->phase == SL_RESUMABLE_CLOSED) {
        r->has_resumable = false;
        close_pipeline(r);
        return;
    }
    if (r->is_closing)
        return;
    if (is_to_be_left(r)) {
        refuse(r, SL_TAKEN_OVER);
        return;
    }
    switch (resumable->phase) {
    case SL_RESUMABLE_OPEN: on_open(r); return;
    case SL_RESUMABLE_RECEIVING: on_receiving(r); return;
    case SL_RESUMABLE_KEPT: on_kept(r); return;
    case SL_RESUMABLE_DONE:
        r->is_known = true;
        answer(r, r->purpose == SL_RESUMPTION_LOOK ? r->dialect->looked : r->dialect->done);
        return;
    case SL_RESUMABLE_GONE: answer(r, r->dialect->dropped); return;
    case SL_RESUMABLE_FAILED: refuse(r, resumable->err); return;
    case SL_RESUMABLE_MAKING:
    case SL_RESUMABLE_OPENING:
    case SL_RESUMABLE_PREPARING:
    case SL_RESUMABLE_ENDING: return; /* somebody else wants it, and gets it soon */
    case SL_RESUMABLE_IDLE:
    case SL_RESUMABLE_CLOSING:
    case SL_RESUMABLE_CLOSED:
    case SL_RESUMABLE_PHASES: break;
    }
    assert(!"an upload tells only of the phases above");
}

/* ---- beginning ---- */

struct sl_resumption *sl_resumption_create(struct sl_request *request, const struct sl_dialect *dialect,
                                           enum sl_resumption_purpose purpose)
{
    struct sl_resumption *r = calloc(1, sizeof *r);
    if (r == NULL)
        abort();
    r->sink.ops = &sink_ops;
    r->request = request;
    r->intake = request->http->intake;
    r->dialect = dialect;
    r->purpose = purpose;
    r->length = SL_STORE_SIZE_UNKNOWN;
    r->body_max = UINT64_MAX;
    sl_upload_id(r->id);
    return r;
}

sl_err sl_resumption_plan(struct sl_resumption *r, struct sl_upload_state **plan_out)
{
    assert(r->plan == NULL);
    struct sl_upload_state *plan = r->plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        abort();
    plan->kind = SL_UPLOAD_WHOLE;
    if (r->request->has_own_id)
        plan->request_id = r->request->id;
    if (r->intake->uploads != NULL && sl_uploads_options(r->intake->uploads)->each_max > 0)
        plan->has_owner = sl_peer_key_of_text(r->request->peer, &plan->owner);
    *plan_out = plan;
    return sl_rule_of_conflict(r->request, &plan->conflict);
}

sl_err sl_resumption_name(struct sl_resumption *r, struct sl_bytes filename)
{
    struct sl_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        abort();
    sl_upload_id(session->id); /* names are public: who knows one may not come to the upload by it */
    session->created_ns = sl_clock_wall_ns();
    sl_err err = sl_session_name(session, r->intake, filename);
    r->plan->path = session->path;
    free(session);
    return err;
}

static void make(struct sl_resumption *r)
{
    struct sl_resumable_plan plan = {.state = r->plan,
                                     .is_announced = r->is_announced && r->has_body,
                                     .is_bodyless = !r->has_body,
                                     .is_last = r->is_last};
    memcpy(r->resumable.session.id, r->id, sizeof r->id);
    sl_err err = sl_resumable_make(&r->resumable, r->intake, &plan, on_change, r);
    if (err != SL_OK) {
        refuse(r, err == SL_HEAD_TOO_LARGE ? SL_UPLOAD_FIELDS : err);
        return;
    }
    r->has_resumable = true;
    free(r->plan);
    r->plan = NULL;
}

/* Also an empty one, if it is to be checked; one of a final upload, which has none, is not. */
static bool has_body(const struct sl_resumption *r)
{
    if (r->plan != NULL && r->plan->kind == SL_UPLOAD_FINAL)
        return false;
    return r->request->content_length != 0 || r->promised != NULL || r->read_trailer != NULL;
}

void sl_resumption_make(struct sl_resumption *r, bool is_announced)
{
    assert(r->purpose == SL_RESUMPTION_MAKE && r->plan != NULL);
    uint64_t body = r->request->content_length;
    r->is_announced = is_announced;
    r->plan->length = r->length;
    r->has_body = has_body(r);
    if (r->intake->uploads == NULL)
        sl_resumption_refuse(r, SL_UNSUPPORTED);
    else if (body != SL_LENGTH_UNKNOWN && body > r->body_max)
        sl_resumption_refuse(r, SL_TOO_LARGE);
    else if (body != SL_LENGTH_UNKNOWN && r->length != SL_STORE_SIZE_UNKNOWN && body > r->length)
        sl_resumption_refuse(r, SL_LENGTH);
    else {
        sl_body_attach(r->request, &r->sink);
        if (r->has_body)
            admit(r);
        else
            make(r);
    }
}

void sl_resumption_open(struct sl_resumption *r, struct sl_bytes id)
{
    assert(r->purpose != SL_RESUMPTION_MAKE);
    if (r->intake->uploads == NULL || !sl_store_is_id(id)) {
        sl_resumption_refuse(r, SL_UPLOAD_GONE);
        return;
    }
    memcpy(r->id, id.base, sizeof r->id - 1);
    r->has_body = has_body(r);
    r->has_resumable = true;
    sl_body_attach(r->request, &r->sink);
    bool is_to_drop = r->purpose == SL_RESUMPTION_DROP;
    sl_resumable_open(&r->resumable, r->intake, r->id, is_to_drop ? SL_RESUMABLE_TO_DROP : SL_RESUMABLE_TO_GO_ON,
                      on_change, r);
}

void sl_resumption_put_patch_types(struct sl_request *request)
{
    sl_reply_header(request, "accept-patch", SL_BYTES(SL_PARTIAL_TYPE ", " SL_TUS_PIECE_TYPE));
}

void sl_resumption_refuse(struct sl_resumption *r, sl_err err)
{
    assert(!r->has_resumable && !r->has_pipeline);
    refuse(r, err);
}
