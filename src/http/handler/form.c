/* POST multipart/form-data: many files and text fields, on the same buffers as a PUT. The parser looks at the
 * pipeline's window in place; file data is accepted where it lies, framing is skipped, text is copied out.
 *
 * Nothing of a form becomes visible before its last byte has come: each file is staged, and all are committed at the
 * end. A commit that fails leaves the others as they are; the problem then tells which were stored. */
#include "../rooms.h"
#include "fields.h"
#include "handler.h"
#include "integrity.h"
#include "representation.h"
#include "rules.h"

#include "sluice/base/clock.h"
#include "sluice/decode/multipart.h"
#include "sluice/upload/pipeline.h"

#include <assert.h>
#include <stdlib.h>

#define COMMITS_INFLIGHT_MAX 16u

enum part_kind { PART_NONE, PART_FILE, PART_FIELD, PART_EMPTY /* a file input nobody chose a file for */ };

struct form_file {
    struct sl_link link;
    struct form *form;
    struct sl_session session;
    const char *field, *filename, *type; /* in texts */
    char *texts, short_texts[256];       /* where they are, and which usually that is */
    struct sl_digests *promised;         /* NULL: nothing */
};

struct form {
    struct sl_sink sink;
    struct sl_request *request; /* NULL: it is gone */
    struct sl_http *http;
    struct sl_pipeline pipeline;
    struct sl_multipart multipart;
    enum part_kind part;
    struct sl_link files;
    enum sl_conflict conflict;
    struct sl_fields *fields;               /* the request's; NULL: it has none */
    const struct sl_meta_field *field_list; /* from is_over on; likewise */
    size_t field_count;
    unsigned file_count, staged, committing;
    const struct form_file *refused; /* the first whose commit failed */
    sl_err why;                      /* files that are well leave all the same */
    bool has_started, is_opening, is_ended, is_body_over, has_pipeline, is_over;
};

static void fail(struct form *form, sl_err err);
static void fail_by_file(struct form *form, const struct form_file *file);
static void go_on(struct form *form);

/* ---- the end of its life ---- */

static void free_file(struct form_file *file)
{
    sl_link_unlink(&file->link);
    if (file->texts != file->short_texts)
        free(file->texts);
    free(file->promised);
    sl_room_give(&file->form->http->form_file_rooms, file);
}

static void free_if_over(struct form *form)
{
    if (form->request == NULL && !form->has_pipeline && sl_list_is_empty(&form->files))
        sl_room_give(&form->http->form_rooms, form);
}

static void on_pipeline_closed(struct sl_pipeline *pipeline, void *ctx)
{
    struct form *form = ctx;
    (void)pipeline;
    form->has_pipeline = false;
    free_if_over(form);
}

static void give_back(struct form *form)
{
    form->request = NULL;
    struct sl_link *next;
    for (struct sl_link *link = form->files.next; link != &form->files; link = next) {
        struct form_file *file = SL_CONTAINER_OF(link, struct form_file, link);
        next = link->next;
        if (file->session.state == SL_SESSION_IDLE || sl_session_is_over(&file->session))
            free_file(file);
        else {
            file->session.why = form->why;
            sl_session_leave(&file->session);
        }
    }
    sl_pipeline_close(&form->pipeline, on_pipeline_closed, form);
}

/* ---- files ---- */

static void commit_some(struct form *form);

static void on_file_change(struct sl_session *session, void *ctx)
{
    struct form_file *file = ctx;
    struct form *form = file->form;
    if (form->request == NULL) {
        if (sl_session_is_over(session)) {
            free_file(file);
            free_if_over(form);
        }
        return;
    }
    switch (session->state) {
    case SL_SESSION_RECEIVING:
        form->is_opening = false;
        sl_pipeline_begin_file(&form->pipeline, session);
        go_on(form);
        return;
    case SL_SESSION_STAGED:
        form->staged++;
        commit_some(form);
        return;
    case SL_SESSION_DONE:
        form->committing--;
        commit_some(form);
        return;
    case SL_SESSION_FAILED:
        if (form->is_over && form->committing > 0) {
            form->committing--;
            if (form->refused == NULL)
                form->refused = file;
            commit_some(form);
        } else {
            fail_by_file(form, file);
        }
        return;
    case SL_SESSION_GONE:
    case SL_SESSION_IDLE:
    case SL_SESSION_CHECKING:
    case SL_SESSION_OPENING:
    case SL_SESSION_FLUSHING:
    case SL_SESSION_COMMITTING:
    case SL_SESSION_LEAVING:
    case SL_SESSION_STATES: break;
    }
    assert(!"while its form is there, a file tells only of the states above");
}

static void copy_texts(struct form_file *file, const struct sl_part *part)
{
    const char *const texts[] = {part->disposition.name, part->disposition.filename, part->type};
    const char **const copies[] = {&file->field, &file->filename, &file->type};
    size_t bytes = 0, at = 0;
    for (unsigned i = 0; i < 3; i++)
        bytes += strlen(texts[i]) + 1;
    file->texts = bytes <= sizeof file->short_texts ? file->short_texts : h2o_mem_alloc(bytes);
    for (unsigned i = 0; i < 3; i++) {
        size_t room = strlen(texts[i]) + 1;
        *copies[i] = memcpy(file->texts + at, texts[i], room);
        at += room;
    }
}

static struct form_file *add_file(struct form *form, const struct sl_part *part)
{
    struct form_file *file = sl_room_take(&form->http->form_file_rooms, sizeof *file);
    *file = (struct form_file){.form = form};
    copy_texts(file, part);
    file->session.created_ns = sl_clock_wall_ns();
    sl_upload_id(file->session.id);
    sl_list_append(&form->files, &file->link);
    form->file_count++;
    return file;
}

static sl_err open_file(struct form *form, const struct sl_part *part)
{
    struct sl_intake *intake = form->request->http->intake;
    struct sl_digests promised;
    if (form->file_count >= intake->files_max / 2) /* one form must leave files to others */
        return SL_FORM_LIMIT;
    sl_err err = sl_integrity_of_part(part, &promised);
    if (err != SL_OK)
        return err;
    struct form_file *file = add_file(form, part);
    file->promised = sl_promise_keep(&promised);
    err = sl_session_name(&file->session, intake, sl_bytes_of(file->filename));
    if (err != SL_OK)
        return err;
    struct sl_session_plan plan = {.expected = SL_STORE_SIZE_UNKNOWN,
                                   .conflict = form->conflict,
                                   .promised = file->promised,
                                   .is_small = sl_rule_is_small(form->request)};
    err = sl_session_open(&file->session, intake, &plan, on_file_change, file);
    bool is_receiving = err == SL_OK && file->session.state == SL_SESSION_RECEIVING;
    if (is_receiving)
        sl_pipeline_begin_file(&form->pipeline, &file->session);
    form->is_opening = err == SL_OK && !is_receiving;
    return err;
}

/* ---- parsing ---- */

static sl_err begin_part(struct form *form)
{
    const struct sl_part *part = &form->multipart.part;
    if (!part->disposition.has_filename) {
        form->part = PART_FIELD;
        if (part->kept_count > 0) /* digests are made of files */
            return SL_DIGEST_UNSUPPORTED;
        if (form->fields == NULL)
            form->fields = sl_fields_create(form->request);
        return sl_fields_begin(form->fields, (struct sl_bytes){part->disposition.name, part->disposition.name_len});
    }
    if (part->disposition.filename_len == 0) {
        form->part = PART_EMPTY;
        return SL_OK;
    }
    form->part = PART_FILE;
    return open_file(form, part);
}

static sl_err take_data(struct form *form, struct sl_bytes data)
{
    sl_err err = SL_OK;
    switch (form->part) {
    case PART_FILE: sl_pipeline_accept(&form->pipeline, data.len); return SL_OK;
    case PART_FIELD: err = sl_fields_add(form->fields, data); break;
    case PART_EMPTY: err = SL_BAD_FORM; break;
    case PART_NONE: assert(!"data comes only inside a part"); break;
    }
    sl_pipeline_skip(&form->pipeline, data.len);
    return err;
}

static void end_part(struct form *form)
{
    if (form->part == PART_FILE)
        sl_pipeline_end_file(&form->pipeline);
    form->part = PART_NONE;
}

/* Decides on as much of the window as can be decided on now. SL_AGAIN: more bytes are needed. */
static sl_err decide(struct form *form)
{
    while (!form->is_opening) {
        struct sl_bytes window = sl_pipeline_window(&form->pipeline);
        if (window.base == NULL)
            return SL_AGAIN;  /* no buffer now; what is undecided is being carried over */
        if (form->is_ended) { /* the epilogue is nobody's */
            sl_pipeline_skip(&form->pipeline, window.len);
            return SL_AGAIN;
        }
        enum sl_multipart_event event;
        size_t n;
        sl_err err = sl_multipart_next(&form->multipart, window.base, window.len, &event, &n);
        if (err != SL_OK)
            return err;
        switch (event) {
        case SL_MULTIPART_MORE: return SL_AGAIN;
        case SL_MULTIPART_SKIP: sl_pipeline_skip(&form->pipeline, n); break;
        case SL_MULTIPART_PART:
            sl_pipeline_skip(&form->pipeline, n);
            err = begin_part(form);
            break;
        case SL_MULTIPART_DATA: err = take_data(form, (struct sl_bytes){window.base, n}); break;
        case SL_MULTIPART_PART_END: end_part(form); break;
        case SL_MULTIPART_END:
            sl_pipeline_skip(&form->pipeline, n);
            form->is_ended = true;
            break;
        }
        if (err != SL_OK)
            return err;
    }
    return SL_OK;
}

/* Decides until bytes from outside are needed, or until something must come back first. Returns the room for them. */
static struct sl_room decide_and_make_room(struct form *form)
{
    for (;;) {
        sl_err err = decide(form);
        if (err == SL_OK)
            return (struct sl_room){0}; /* a file is being opened */
        if (err != SL_AGAIN) {
            fail(form, err);
            return (struct sl_room){0};
        }
        size_t undecided = sl_pipeline_window(&form->pipeline).len;
        struct sl_room room = sl_pipeline_room(&form->pipeline);
        /* A new buffer may have brought along bytes that were carried over: they come first. */
        if (sl_pipeline_window(&form->pipeline).len == undecided)
            return room;
    }
}

/* ---- the end ---- */

static struct sl_bytes type_to_keep(const struct form_file *file)
{
    return sl_type_to_keep(file->form->request, sl_bytes_of(file->type));
}

static void tell_log(const struct form *form)
{
    for (struct sl_link *link = form->files.next; link != &form->files; link = link->next) {
        const struct form_file *file = SL_CONTAINER_OF(link, struct form_file, link);
        sl_access_add(form->request, file->session.id, &file->session);
    }
}

static void reply(struct form *form)
{
    struct sl_request *request = form->request;
    const struct form_file *refused = form->refused;
    tell_log(form);
    form->why = refused != NULL ? refused->session.err : SL_OK;
    struct sl_stored *stored = h2o_mem_alloc_pool(&request->h2o.pool, form->file_count * sizeof *stored);
    size_t count = 0;
    for (struct sl_link *link = form->files.next; link != &form->files; link = link->next) {
        struct form_file *file = SL_CONTAINER_OF(link, struct form_file, link);
        struct sl_bytes name = sl_bytes_of(file->filename);
        stored[count++] = (struct sl_stored){.session = &file->session,
                                             .field = sl_bytes_of(file->field),
                                             .filename = name,
                                             .type = sl_media_type_of(request, type_to_keep(file), name)};
    }
    if (refused != NULL)
        sl_reply_problem_upload(request, &refused->session, refused->promised, stored, count);
    else if (sl_request_accepts(request, "text/html"))
        sl_reply_to_done_page(request, stored, count);
    else
        sl_reply_stored(request, !sl_request_accepts(request, "text/plain"), stored, count, form->field_list,
                        form->field_count);
    give_back(form);
}

static void commit_file(struct form_file *file)
{
    const struct form *form = file->form;
    const struct sl_request *request = form->request;
    struct sl_meta about = {.name = sl_bytes_of(file->filename),
                            .type = type_to_keep(file),
                            .fields = form->field_list,
                            .field_count = form->field_count};
    if (request->has_own_id)
        about.request_id = request->id;
    sl_session_commit(&file->session, &about);
}

/* All files are staged: a few commits at a time, in order; none more after one failed. */
static void commit_some(struct form *form)
{
    if (!form->is_over || form->staged < form->file_count)
        return;
    for (struct sl_link *link = form->files.next; link != &form->files; link = link->next) {
        struct form_file *file = SL_CONTAINER_OF(link, struct form_file, link);
        if (form->committing >= COMMITS_INFLIGHT_MAX || form->refused != NULL)
            break;
        if (file->session.state == SL_SESSION_STAGED) {
            form->committing++;
            commit_file(file);
        }
    }
    if (form->committing == 0)
        reply(form);
}

static void body_is_over(struct form *form)
{
    sl_err err = sl_multipart_finish(&form->multipart);
    if (err == SL_OK && form->file_count == 0)
        err = SL_NO_FILE;
    if (err != SL_OK) {
        fail(form, err);
        return;
    }
    form->is_over = true;
    if (form->fields != NULL)
        form->field_list = sl_fields_list(form->fields, &form->field_count);
    commit_some(form);
}

/* Called when what hindered is over: a buffer came home, or a file was opened. */
static void go_on(struct form *form)
{
    if (!form->is_body_over) {
        sl_body_resume(form->request);
        return;
    }
    struct sl_room room = decide_and_make_room(form);
    if (room.len > 0)
        body_is_over(form);
}

static void fail(struct form *form, sl_err err)
{
    struct sl_request *request = form->request;
    tell_log(form);
    form->why = err;
    give_back(form);
    sl_reply_problem(request, err, NULL);
}

static void fail_by_file(struct form *form, const struct form_file *file)
{
    tell_log(form);
    sl_reply_problem_upload(form->request, &file->session, file->promised, NULL, 0);
    form->why = file->session.err;
    give_back(form);
}

/* ---- the sink ---- */

static struct form *form_of(struct sl_sink *sink)
{
    return SL_CONTAINER_OF(sink, struct form, sink);
}

static struct sl_room reserve(struct sl_sink *sink)
{
    return decide_and_make_room(form_of(sink));
}

static void commit(struct sl_sink *sink, size_t n)
{
    sl_pipeline_filled(&form_of(sink)->pipeline, n);
}

static void finish(struct sl_sink *sink)
{
    struct form *form = form_of(sink);
    form->is_body_over = true;
    go_on(form);
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    struct form *form = form_of(sink);
    tell_log(form);
    form->why = why;
    give_back(form);
}

static const struct sl_sink_ops sink_ops = {
    .reserve = reserve, .commit = commit, .finish = finish, .abort = on_abort};

static void on_room(struct sl_pipeline *pipeline, void *ctx)
{
    struct form *form = ctx;
    (void)pipeline;
    if (!form->has_started) {
        form->has_started = true;
        sl_body_start(form->request);
    } else {
        go_on(form);
    }
}

static sl_err read_request(struct form *form)
{
    struct sl_bytes type = sl_request_header(form->request, "content-type");
    sl_err err = sl_multipart_init(&form->multipart, type, SL_MULTIPART_PARTS_MAX_DEFAULT);
    if (err == SL_OK)
        err = sl_rule_of_conflict(form->request, &form->conflict);
    if (err == SL_OK && sl_integrity_is_told(form->request))
        err = SL_DIGEST_UNSUPPORTED;
    return err;
}

void sl_handle_form(struct sl_request *request)
{
    struct form *form = sl_room_take(&request->http->form_rooms, sizeof *form);
    *form = (struct form){.sink = {.ops = &sink_ops}, .request = request, .http = request->http};
    sl_err err = read_request(form);
    if (err != SL_OK) {
        sl_room_give(&request->http->form_rooms, form);
        sl_reply_problem(request, err, NULL);
        return;
    }
    sl_multipart_keep(&form->multipart, sl_integrity_headers);
    form->has_pipeline = true;
    sl_list_init(&form->files);
    sl_body_attach(request, &form->sink);
    sl_pipeline_admit(&form->pipeline, request->http->intake, request->content_length, on_room, form);
}
