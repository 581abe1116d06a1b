/* PUT and raw POST: the body is the file. Every body byte is the session's, so the sink is a thin coat over the
 * pipeline.
 *
 *   buffers admitted -> session open (name looked up, space taken) -> body -> flushed -> committed -> answer
 *
 * The upload outlives its request: when the client goes, what is in flight comes back first. */
#include "../rooms.h"
#include "handler.h"
#include "integrity.h"
#include "representation.h"
#include "rules.h"

#include "sluice/base/clock.h"
#include "sluice/decode/disposition.h"
#include "sluice/upload/pipeline.h"

#include <assert.h>
#include <stdlib.h>

struct upload {
    struct sl_sink sink;
    struct sl_request *request; /* NULL: it is gone */
    struct sl_http *http;
    struct sl_pipeline pipeline;
    struct sl_session session;
    enum sl_conflict conflict;
    struct sl_conditions *conditions; /* NULL: none */
    struct sl_digests *promised;      /* likewise */
    bool is_json, is_attachment, has_pipeline;
    struct sl_bytes type, filename; /* as sent, if worth keeping; in the request's pool */
};

static void free_upload(struct upload *upload)
{
    free(upload->conditions);
    free(upload->promised);
    sl_room_give(&upload->http->upload_rooms, upload);
}

static void free_if_over(struct upload *upload)
{
    bool is_over = upload->session.state == SL_SESSION_IDLE || sl_session_is_over(&upload->session);
    if (is_over && !upload->has_pipeline)
        free_upload(upload);
}

static void on_pipeline_closed(struct sl_pipeline *pipeline, void *ctx)
{
    struct upload *upload = ctx;
    (void)pipeline;
    upload->has_pipeline = false;
    free_if_over(upload);
}

/* The request was answered or is gone: everything is given back as it comes home. */
static void give_back(struct upload *upload)
{
    upload->request = NULL;
    sl_session_leave(&upload->session);
    sl_pipeline_close(&upload->pipeline, on_pipeline_closed, upload);
}

static void refuse(struct upload *upload)
{
    sl_access_add(upload->request, upload->session.id, &upload->session);
    sl_reply_problem_upload(upload->request, &upload->session, upload->promised, NULL, 0);
    give_back(upload);
}

/* Told as a download will tell it. */
static void reply(struct upload *upload)
{
    struct sl_bytes name = upload->filename.len > 0 ? upload->filename : sl_path_leaf(&upload->session.path);
    struct sl_stored stored = {
        .session = &upload->session, .filename = name, .type = sl_media_type_of(upload->request, upload->type, name)};
    sl_access_add(upload->request, upload->session.id, &upload->session);
    sl_reply_stored(upload->request, upload->is_json, &stored, 1, NULL, 0);
    give_back(upload);
}

/* ---- the sink ---- */

static struct upload *upload_of(struct sl_sink *sink)
{
    return SL_CONTAINER_OF(sink, struct upload, sink);
}

static struct sl_room reserve(struct sl_sink *sink)
{
    return sl_pipeline_room(&upload_of(sink)->pipeline);
}

static void commit(struct sl_sink *sink, size_t n)
{
    struct sl_pipeline *pipeline = &upload_of(sink)->pipeline;
    sl_pipeline_filled(pipeline, n);
    sl_pipeline_accept(pipeline, n);
}

static void finish(struct sl_sink *sink)
{
    sl_pipeline_end_file(&upload_of(sink)->pipeline);
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    struct upload *upload = upload_of(sink);
    sl_access_add(upload->request, upload->session.id, &upload->session);
    upload->session.why = why;
    give_back(upload);
}

static const struct sl_sink_ops sink_ops = {
    .reserve = reserve, .commit = commit, .finish = finish, .abort = on_abort, .is_steady = true};

/* ---- the session ---- */

static void commit_file(struct upload *upload)
{
    const struct sl_request *request = upload->request;
    struct sl_meta about = {.name = upload->filename, .type = upload->type, .is_attachment = upload->is_attachment};
    if (request->has_own_id)
        about.request_id = request->id;
    sl_session_commit(&upload->session, &about);
}

static void receive(struct upload *upload)
{
    sl_pipeline_begin_file(&upload->pipeline, &upload->session);
    sl_body_start(upload->request);
}

static void on_session_change(struct sl_session *session, void *ctx)
{
    struct upload *upload = ctx;
    switch (session->state) {
    case SL_SESSION_RECEIVING:
        if (upload->request != NULL)
            receive(upload);
        return;
    case SL_SESSION_STAGED: commit_file(upload); return;
    case SL_SESSION_DONE:
        if (upload->request != NULL)
            reply(upload);
        else
            free_if_over(upload);
        return;
    case SL_SESSION_FAILED:
        if (upload->request != NULL)
            refuse(upload);
        return;
    case SL_SESSION_GONE: free_if_over(upload); return;
    case SL_SESSION_IDLE:
    case SL_SESSION_CHECKING:
    case SL_SESSION_OPENING:
    case SL_SESSION_FLUSHING:
    case SL_SESSION_COMMITTING:
    case SL_SESSION_LEAVING:
    case SL_SESSION_STATES: break;
    }
    assert(!"a session tells only of the states above");
}

static void on_room(struct sl_pipeline *pipeline, void *ctx)
{
    struct upload *upload = ctx;
    (void)pipeline;
    if (upload->session.state != SL_SESSION_IDLE) {
        sl_body_resume(upload->request);
        return;
    }
    struct sl_request *request = upload->request;
    struct sl_session_plan plan = {.expected = request->content_length,
                                   .conflict = upload->conflict,
                                   .conditions = upload->conditions,
                                   .promised = upload->promised,
                                   .is_small = sl_rule_is_small(request)};
    sl_err err = sl_session_open(&upload->session, request->http->intake, &plan, on_session_change, upload);
    if (err != SL_OK) {
        give_back(upload);
        sl_reply_problem(request, err, NULL);
    } else if (upload->session.state == SL_SESSION_RECEIVING) {
        receive(upload);
    }
}

/* ---- beginning ---- */

static struct upload *create_upload(struct sl_request *request)
{
    struct upload *upload = sl_room_take(&request->http->upload_rooms, sizeof *upload);
    *upload = (struct upload){.sink = {.ops = &sink_ops}, .request = request, .http = request->http};
    upload->session.created_ns = sl_clock_wall_ns();
    upload->type = sl_type_to_keep(request, sl_request_header(request, "content-type"));
    sl_upload_id(upload->session.id);
    return upload;
}

static sl_err take_promise(struct upload *upload)
{
    struct sl_digests promised;
    sl_err err = sl_integrity_of_request(upload->request, &promised);
    if (err == SL_OK)
        upload->promised = sl_promise_keep(&promised);
    return err;
}

/* What can be refused before anything is held, and what is to be known of the request. */
static sl_err read_request(struct upload *upload)
{
    struct sl_request *request = upload->request;
    uint64_t length = request->content_length;
    if (sl_request_has_header(request, "content-range"))
        return SL_RANGE_UPLOAD; /* curl -C -; taken for a whole file it would corrupt one (RFC 9110 section 14.5) */
    if (length != SL_LENGTH_UNKNOWN && length > request->http->intake->size_max)
        return SL_TOO_LARGE;
    sl_err err = sl_rule_of_conflict(request, &upload->conflict);
    if (err == SL_OK)
        err = sl_rule_of_disposition(request, &upload->is_attachment, &upload->filename);
    if (err == SL_OK)
        err = take_promise(upload);
    return err;
}

static void begin_unless(struct upload *upload, sl_err err)
{
    struct sl_request *request = upload->request;
    if (err != SL_OK) {
        free_upload(upload);
        sl_reply_problem(request, err, NULL);
        return;
    }
    upload->has_pipeline = true;
    sl_body_attach(request, &upload->sink);
    sl_pipeline_admit(&upload->pipeline, request->http->intake, request->content_length, on_room, upload);
}

void sl_handle_put(struct sl_request *request, const struct sl_path *path)
{
    struct upload *upload = create_upload(request);
    upload->session.path = *path;
    upload->is_json = sl_request_accepts(request, "application/json");
    upload->conditions = sl_rule_of_conditions(request);
    begin_unless(upload, read_request(upload));
}

/* Its name is new, so conditions say nothing about it. */
void sl_handle_post(struct sl_request *request)
{
    if (sl_rule_is_form(request)) { /* its limit is each file's, not the body's */
        sl_handle_form(request);
        return;
    }
    struct upload *upload = create_upload(request);
    upload->is_json = !sl_request_accepts(request, "text/plain");
    sl_err err = read_request(upload);
    if (err == SL_OK)
        err = sl_rule_of_name(request, &upload->filename);
    if (err == SL_OK)
        err = sl_session_name(&upload->session, request->http->intake, upload->filename);
    begin_unless(upload, err);
}
