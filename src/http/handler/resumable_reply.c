/* What the answers about resumable uploads have in common. */
#include "../reply_json.h"
#include "handler.h"
#include "representation.h"
#include "resumable.h"
#include "rules.h"

#include <assert.h>
#include <inttypes.h>

struct sl_bytes sl_resumption_url(struct sl_resumption *r)
{
    char page[sizeof SL_UPLOADS_PATH + sizeof r->id];
    struct sl_text text;
    sl_text_init(&text, page, sizeof page);
    sl_text_printf(&text, SL_UPLOADS_PATH "%s", r->id);
    return sl_reply_page_url(r->request, page);
}

void sl_reply_number(struct sl_request *request, const char *name, uint64_t value)
{
    char room[24];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_text_printf(&text, "%" PRIu64, value);
    sl_reply_header(request, name, (struct sl_bytes){text.base, text.len});
}

static bool has_file(const struct sl_resumption *r)
{
    return r->is_known && r->resumable.state.is_done && r->resumable.state.kind != SL_UPLOAD_PARTIAL;
}

void sl_resumption_put_file(struct sl_resumption *r)
{
    const struct sl_session *file = &r->resumable.session;
    if (!has_file(r))
        return;
    sl_reply_header(r->request, "content-location", sl_reply_url(r->request, &file->path));
    if (file->etag[0] != '\0')
        sl_reply_header(r->request, "etag", sl_bytes_of(file->etag));
}

void sl_resumption_reply_stored(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    const struct sl_session *file = &r->resumable.session;
    assert(has_file(r));
    struct sl_bytes name = state->name.len > 0 ? state->name : sl_path_leaf(&file->path);
    struct sl_stored stored = {
        .session = file, .filename = name, .type = sl_media_type_of(r->request, state->type, name)};
    sl_reply_stored(r->request, r->is_json, &stored, 1, NULL, 0);
}

/* What was promised in a trailer is not known any more. */
static void put_mismatch(const struct sl_resumption *r, json_t *json)
{
    const struct sl_session *session = &r->resumable.session;
    const struct sl_digests *promised = r->resumable.is_check_wrong ? r->promised : &r->resumable.state.promised;
    sl_hash_set wrong = 1u << session->mismatch;
    if (promised != NULL && (promised->set & wrong) != 0 && (session->digests.set & wrong) != 0)
        sl_json_put_mismatch(json, session, promised);
}

/* NULL: what the error tells everywhere. */
static const char *detail_of(const struct sl_resumption *r, sl_err err)
{
    if (r->detail == NULL && err == SL_DIGEST_MISMATCH && r->resumable.is_check_wrong)
        return sl_err_row(SL_CHECKSUM_MISMATCH)->detail;
    if (r->detail == NULL && err == SL_BUSY)
        return "Another process, which is about to stop, still holds this upload. Try again in a moment.";
    return r->detail;
}

void sl_resumption_problem(struct sl_resumption *r, sl_err err, const char *type)
{
    const struct sl_resumable *resumable = &r->resumable;
    json_t *json = sl_problem_begin(r->request, err, detail_of(r, err));
    if (type != NULL)
        json_object_set_new(json, "type", json_string(type));
    if (err == SL_OFFSET) {
        json_object_set_new(json, "expected-offset", json_integer((json_int_t)resumable->state.offset));
        json_object_set_new(json, "provided-offset", json_integer((json_int_t)r->offset));
    }
    if (err == SL_DIGEST_MISMATCH || err == SL_CHECKSUM_MISMATCH)
        put_mismatch(r, json);
    bool is_about_another = err == SL_EXISTS || err == SL_PRECONDITION;
    if (is_about_another && resumable->session.etag[0] != '\0')
        sl_reply_header(r->request, "etag", sl_bytes_of(resumable->session.etag));
    sl_problem_send_as(r->request, err, r->status != 0 ? r->status : sl_err_row(err)->status, json);
}

/* ---- the file itself ---- */

/* In the request's pool. */
struct fetch {
    char id[SL_UPLOAD_ID_BYTES];
    struct sl_path path;
};

static void fetch(struct sl_request *request, void *ctx)
{
    const struct fetch *what = ctx;
    sl_handle_get_kept(request, what->id, &what->path);
}

void sl_resumption_reply_file(struct sl_resumption *r)
{
    struct fetch *what = h2o_mem_alloc_pool(&r->request->h2o.pool, sizeof *what);
    assert(has_file(r));
    memcpy(what->id, r->id, sizeof what->id);
    what->path = r->resumable.session.path;
    sl_reply_header(r->request, "content-location", sl_reply_url(r->request, &what->path));
    sl_resumption_hand_over(r, fetch, what);
}
