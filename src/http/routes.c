/* What a request asks for, by method and path, as the interface says:
 *
 *   PUT BASE/PATH, PUT /PATH      store under PATH        POST BASE, POST /     store, name made here
 *   GET, HEAD BASE/PATH           the file                GET, HEAD BASE        the names
 *   DELETE BASE/PATH              remove it               GET, HEAD /           the page
 *   GET, HEAD /errors             the table of errors     GET, HEAD /done       the page after a form
 *   GET, HEAD /healthz            alive                   GET, HEAD /metrics    counters
 *   OPTIONS                       what is allowed */
#include "routes.h"

#include "cors.h"
#include "handler/handler.h"

enum place { PLACE_HOME, PLACE_BASE, PLACE_FILE, PLACE_DONE, PLACE_ERRORS, PLACE_HEALTH, PLACE_METRICS, PLACE_OTHER };

struct page {
    const char *path;
    enum place place;
};

static const struct page pages[] = {{"/", PLACE_HOME},
                                    {"/done", PLACE_DONE},
                                    {"/errors", PLACE_ERRORS},
                                    {"/healthz", PLACE_HEALTH},
                                    {"/metrics", PLACE_METRICS}};

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

/* *rest_out: the raw path below the base, or below "/" for PLACE_OTHER. */
static enum place find_place(const struct sl_request *request, struct sl_bytes *rest_out)
{
    struct sl_bytes path = request->path, base = sl_bytes_of(request->http->options.base_path);
    *rest_out = (struct sl_bytes){0};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (sl_bytes_equal(path, sl_bytes_of(pages[i].path)))
            return pages[i].place;
    if (begins_with(path, base)) {
        *rest_out = (struct sl_bytes){path.base + base.len, path.len - base.len};
        return rest_out->len == 0 ? PLACE_BASE : PLACE_FILE;
    }
    if (path.len > 0 && path.base[0] == '/')
        *rest_out = (struct sl_bytes){path.base + 1, path.len - 1};
    return PLACE_OTHER;
}

static const char *allowed_at(enum place place)
{
    switch (place) {
    case PLACE_HOME: return "GET, HEAD, POST, OPTIONS";
    case PLACE_BASE: return "GET, HEAD, POST, OPTIONS";
    case PLACE_FILE: return "GET, HEAD, PUT, DELETE, OPTIONS";
    case PLACE_DONE:
    case PLACE_ERRORS:
    case PLACE_HEALTH:
    case PLACE_METRICS: return "GET, HEAD, OPTIONS";
    case PLACE_OTHER: return "PUT, OPTIONS";
    }
    return "";
}

static void refuse_method(struct sl_request *request, const char *allowed)
{
    sl_reply_header(request, "allow", sl_bytes_of(allowed));
    sl_reply_problem(request, SL_METHOD, NULL);
}

static void reply_options(struct sl_request *request, enum place place)
{
    sl_reply_header(request, "allow", sl_bytes_of(allowed_at(place)));
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

static void put_file(struct sl_request *request, enum place place, struct sl_bytes raw)
{
    struct sl_path path;
    sl_err err = sl_path_decode(raw, &path);
    if (err != SL_OK)
        sl_reply_problem(request, err, NULL);
    else if (place == PLACE_OTHER && is_reserved(&path))
        refuse_method(request, "OPTIONS");
    else
        sl_handle_put(request, &path);
}

static void route_get(struct sl_request *request, enum place place, struct sl_bytes rest)
{
    switch (place) {
    case PLACE_HOME: sl_handle_page(request); return;
    case PLACE_DONE: sl_handle_done_page(request); return;
    case PLACE_ERRORS: sl_handle_errors_page(request); return;
    case PLACE_HEALTH: sl_reply_text(request, 200, "text/plain; charset=utf-8", SL_BYTES("ok\n")); return;
    case PLACE_METRICS: sl_handle_metrics(request); return;
    case PLACE_FILE: handle_file(request, rest, sl_handle_get); return;
    case PLACE_BASE: sl_handle_list(request); return;
    case PLACE_OTHER: sl_reply_problem(request, SL_NOT_FOUND, NULL); return;
    }
}

static int on_request(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct sl_request *request = sl_request_of(h2o);
    struct sl_bytes rest;
    enum place place = find_place(request, &rest);
    (void)self;
    sl_cors_put_headers(request);
    if (sl_request_is_method(request, "GET") || request->is_head)
        route_get(request, place, rest);
    else if (sl_request_is_method(request, "PUT") && (place == PLACE_FILE || place == PLACE_OTHER))
        put_file(request, place, rest);
    else if (sl_request_is_method(request, "POST") && (place == PLACE_HOME || place == PLACE_BASE))
        sl_handle_post(request);
    else if (sl_request_is_method(request, "DELETE") && place == PLACE_FILE)
        handle_file(request, rest, sl_handle_delete);
    else if (sl_request_is_method(request, "OPTIONS"))
        reply_options(request, place);
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
