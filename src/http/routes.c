/* What a request asks for, by method and path, as the interface says:
 *
 *   PUT BASE/PATH, PUT /PATH      store under PATH        POST BASE, POST /     store, name made here
 *   GET, HEAD BASE/PATH           the file                GET, HEAD BASE        the names
 *   DELETE BASE/PATH              remove it               GET, HEAD /           the page
 *   GET, HEAD /errors             the table of errors     GET, HEAD /done       the page after a form
 *   GET, HEAD /healthz            alive                   GET, HEAD /metrics    counters
 *   GET, HEAD /readyz             can store
 *   HEAD, PATCH, DELETE /uploads/ID   an upload that may be gone on with; GET: the file, once it is complete
 *   OPTIONS                       what is allowed
 *
 * Resumable uploads are told apart from others, and tus from the IETF draft, by headers alone. */
#include "routes.h"

#include "cors.h"
#include "handler/draft.h"
#include "handler/handler.h"
#include "handler/tus.h"

#include "sluice/decode/resumable.h"

#include <assert.h>

struct page {
    const char *path;
    enum sl_route place;
};

static const struct page pages[] = {{"/", SL_ROUTE_HOME},         {"/done", SL_ROUTE_DONE},
                                    {"/errors", SL_ROUTE_ERRORS}, {"/healthz", SL_ROUTE_HEALTH},
                                    {"/readyz", SL_ROUTE_READY},  {"/metrics", SL_ROUTE_METRICS}};

static bool begins_with(struct sl_bytes text, struct sl_bytes prefix)
{
    return text.len >= prefix.len && memcmp(text.base, prefix.base, prefix.len) == 0;
}

/* The server's own paths, which nobody may PUT to, however they are written. */
static bool is_reserved(const struct sl_path *path)
{
    static const char *const names[] = {"healthz", "readyz", "metrics", "errors", "done", "uploads"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(path->text, names[i], len) == 0 && (path->text[len] == '\0' || path->text[len] == '/'))
            return true;
    }
    return false;
}

/* *rest_out: the raw path below the base or below /uploads/, or below "/" for SL_ROUTE_OTHER. */
static enum sl_route find_place(const struct sl_request *request, struct sl_bytes *rest_out)
{
    struct sl_bytes path = request->path, base = sl_bytes_of(request->http->options.base_path),
                    uploads = SL_BYTES(SL_UPLOADS_PATH);
    *rest_out = (struct sl_bytes){0};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (sl_bytes_equal(path, sl_bytes_of(pages[i].path)))
            return pages[i].place;
    if (begins_with(path, uploads) && path.len > uploads.len) {
        *rest_out = (struct sl_bytes){path.base + uploads.len, path.len - uploads.len};
        return SL_ROUTE_UPLOAD;
    }
    if (begins_with(path, base)) {
        *rest_out = (struct sl_bytes){path.base + base.len, path.len - base.len};
        return rest_out->len == 0 ? SL_ROUTE_BASE : SL_ROUTE_FILE;
    }
    if (path.len > 0 && path.base[0] == '/')
        *rest_out = (struct sl_bytes){path.base + 1, path.len - 1};
    return SL_ROUTE_OTHER;
}

static const char *allowed_at(enum sl_route place)
{
    switch (place) {
    case SL_ROUTE_HOME: return "GET, HEAD, POST, OPTIONS";
    case SL_ROUTE_BASE: return "GET, HEAD, POST, OPTIONS";
    case SL_ROUTE_FILE: return "GET, HEAD, PUT, DELETE, OPTIONS";
    case SL_ROUTE_UPLOAD: return "GET, HEAD, PATCH, DELETE, OPTIONS";
    case SL_ROUTE_DONE:
    case SL_ROUTE_ERRORS:
    case SL_ROUTE_HEALTH:
    case SL_ROUTE_READY:
    case SL_ROUTE_METRICS: return "GET, HEAD, OPTIONS";
    case SL_ROUTE_OTHER: return "PUT, OPTIONS";
    case SL_ROUTE_NONE:
    case SL_ROUTES: break;
    }
    return "";
}

static void refuse_method(struct sl_request *request, const char *allowed)
{
    sl_reply_header(request, "allow", sl_bytes_of(allowed));
    sl_reply_problem(request, SL_METHOD, NULL);
}

/* Files are stored as they come, and what lies on the disk is what its name says, to whoever reads it there. A coding
 * would be known to an attribute alone, which not every file system keeps and no copy takes along: told without it the
 * bytes are something else. So they are refused (RFC 9110 section 15.5.16), and the answer tells what is taken. */
static bool is_coded(struct sl_request *request)
{
    struct sl_bytes coding = sl_bytes_trim(sl_request_header_list(request, "content-encoding"));
    return coding.len > 0 && !sl_bytes_equal_nocase(coding, SL_BYTES("identity"));
}

static void refuse_coding(struct sl_request *request)
{
    sl_reply_header(request, "accept-encoding", SL_BYTES("identity"));
    sl_reply_problem(request, SL_CONTENT_CODING, NULL);
}

static bool takes_uploads(enum sl_route place)
{
    return place == SL_ROUTE_HOME || place == SL_ROUTE_BASE || place == SL_ROUTE_FILE || place == SL_ROUTE_UPLOAD ||
           place == SL_ROUTE_OTHER;
}

static void reply_options(struct sl_request *request, enum sl_route place)
{
    sl_reply_header(request, "allow", sl_bytes_of(allowed_at(place)));
    if (takes_uploads(place)) {
        sl_tus_put_abilities(request);
        sl_draft_put_limits(request);
    }
    sl_reply_empty(request, 204);
}

typedef void file_handler(struct sl_request *request, const struct sl_path *path);

static void handle_file(struct sl_request *request, struct sl_bytes raw, file_handler *handle)
{
    struct sl_path path;
    sl_err err = sl_path_decode(raw, &path);
    if (err == SL_OK)
        handle(request, &path);
    else
        sl_reply_problem(request, err, NULL);
}

static void put_file(struct sl_request *request, enum sl_route place, struct sl_bytes raw)
{
    struct sl_path path;
    sl_err err = sl_path_decode(raw, &path);
    if (err != SL_OK)
        sl_reply_problem(request, err, NULL);
    else if (place == SL_ROUTE_OTHER && is_reserved(&path))
        refuse_method(request, "OPTIONS");
    else if (is_coded(request))
        refuse_coding(request);
    else if (sl_draft_is_creation(request))
        sl_handle_draft_put(request, &path);
    else
        sl_handle_put(request, &path);
}

static void post(struct sl_request *request)
{
    if (is_coded(request))
        refuse_coding(request);
    else if (request->is_tus)
        sl_handle_tus_create(request);
    else if (sl_draft_is_creation(request))
        sl_handle_draft_post(request);
    else if (sl_tus_is_asked(request))
        sl_handle_tus_create(request);
    else
        sl_handle_post(request);
}

/* ---- an upload ---- */

static bool is_tus(const struct sl_request *request, enum sl_resumption_purpose purpose)
{
    if (request->is_tus)
        return true;
    return purpose == SL_RESUMPTION_APPEND && sl_tus_has_type(request) &&
           !sl_request_has_header(request, "upload-draft-interop-version");
}

/* Who says nothing of a dialect is answered in the draft's, which is to become HTTP's own. */
static void handle_upload(struct sl_request *request, struct sl_bytes id, enum sl_resumption_purpose purpose)
{
    if (is_tus(request, purpose))
        sl_handle_tus_upload(request, id, purpose);
    else
        sl_handle_draft_upload(request, id, purpose);
}

static void route_upload(struct sl_request *request, struct sl_bytes id)
{
    if (sl_request_is_method(request, "HEAD"))
        handle_upload(request, id, SL_RESUMPTION_LOOK);
    else if (sl_request_is_method(request, "PATCH") && is_coded(request))
        refuse_coding(request);
    else if (sl_request_is_method(request, "PATCH"))
        handle_upload(request, id, SL_RESUMPTION_APPEND);
    else if (sl_request_is_method(request, "DELETE"))
        handle_upload(request, id, SL_RESUMPTION_DROP);
    else if (sl_request_is_method(request, "GET"))
        sl_handle_draft_upload(request, id, SL_RESUMPTION_LOOK); /* tus knows no GET */
    else
        refuse_method(request, allowed_at(SL_ROUTE_UPLOAD));
}

/* For clients of tus that have no PATCH or DELETE: this says what the request is. Anywhere else it is of no effect: it
 * would lead past those who let only some methods through. */
static void override_method(struct sl_request *request, enum sl_route place)
{
    struct sl_bytes method = sl_request_header(request, "x-http-method-override");
    if (method.len > 0 && place == SL_ROUTE_UPLOAD && request->is_tus)
        request->h2o.method = h2o_iovec_init(method.base, method.len);
}

/* ---- all of them ---- */

static void route_get(struct sl_request *request, enum sl_route place, struct sl_bytes rest)
{
    switch (place) {
    case SL_ROUTE_HOME: sl_handle_page(request); return;
    case SL_ROUTE_DONE: sl_handle_done_page(request); return;
    case SL_ROUTE_ERRORS: sl_handle_errors_page(request); return;
    case SL_ROUTE_HEALTH: sl_reply_text(request, 200, "text/plain; charset=utf-8", SL_BYTES("ok\n")); return;
    case SL_ROUTE_READY: sl_handle_ready(request); return;
    case SL_ROUTE_METRICS: sl_handle_metrics(request); return;
    case SL_ROUTE_FILE: handle_file(request, rest, sl_handle_get); return;
    case SL_ROUTE_BASE: sl_handle_list(request); return;
    case SL_ROUTE_OTHER: sl_reply_problem(request, SL_NOT_FOUND, NULL); return;
    case SL_ROUTE_UPLOAD:
    case SL_ROUTE_NONE:
    case SL_ROUTES: break;
    }
    assert(!"an upload has routes of its own");
}

/* What is for the operator, where there is a way of its own to it, and what is not, on that way. */
static bool is_elsewhere(const struct sl_request *request, enum sl_route place)
{
    bool is_for_admin = place == SL_ROUTE_HEALTH || place == SL_ROUTE_READY || place == SL_ROUTE_METRICS;
    return request->http->options.has_admin && request->is_admin != is_for_admin;
}

static int on_request(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct sl_request *request = sl_request_of(h2o);
    struct sl_bytes rest;
    enum sl_route place = find_place(request, &rest);
    (void)self;
    request->route = place;
    sl_cors_put_headers(request);
    override_method(request, place);
    if (is_elsewhere(request, place))
        sl_reply_problem(request, SL_NOT_FOUND, NULL);
    else if (sl_request_is_method(request, "OPTIONS"))
        reply_options(request, place);
    else if (place == SL_ROUTE_UPLOAD)
        route_upload(request, rest);
    else if (sl_request_is_method(request, "GET") || sl_request_is_method(request, "HEAD"))
        route_get(request, place, rest);
    else if (sl_request_is_method(request, "PUT") && (place == SL_ROUTE_FILE || place == SL_ROUTE_OTHER))
        put_file(request, place, rest);
    else if (sl_request_is_method(request, "POST") && (place == SL_ROUTE_HOME || place == SL_ROUTE_BASE))
        post(request);
    else if (sl_request_is_method(request, "DELETE") && place == SL_ROUTE_FILE)
        handle_file(request, rest, sl_handle_delete);
    else
        refuse_method(request, allowed_at(place));
    return 0;
}

void sl_routes_register(h2o_hostconf_t *host)
{
    h2o_pathconf_t *everything = h2o_config_register_path(host, "/", 0);
    h2o_handler_t *handler = h2o_create_handler(everything, sizeof *handler);
    handler->on_req = on_request;
}
