#include "sluice/http/reply.h"

#include "reply_json.h"
#include "sluice/decode/tus.h"
#include "sluice/http/http.h"

#include <assert.h>
#include <stdlib.h>

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 460: return "Checksum Mismatch";
    case 499: return "Client Closed Request";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Internal Server Error";
    }
}

static struct sl_bytes copy_to_pool(struct sl_request *request, struct sl_bytes bytes)
{
    char *copy = h2o_mem_alloc_pool(&request->h2o.pool, bytes.len + 1);
    memcpy(copy, bytes.len > 0 ? bytes.base : "", bytes.len);
    copy[bytes.len] = '\0';
    return (struct sl_bytes){copy, bytes.len};
}

void sl_reply_header(struct sl_request *request, const char *name, struct sl_bytes value)
{
    struct sl_bytes kept_name = copy_to_pool(request, sl_bytes_of(name)), kept = copy_to_pool(request, value);
    h2o_add_header_by_str(&request->h2o.pool, &request->h2o.res.headers, kept_name.base, kept_name.len, 0, NULL,
                          kept.base, kept.len);
}

/* Every response passes here. */
void sl_reply_begin(struct sl_request *request, int status, size_t length, h2o_generator_t *generator)
{
    h2o_req_t *h2o = &request->h2o;
    sl_body_discard(request);
    h2o->res.status = status;
    h2o->res.reason = reason_of(status);
    h2o->res.content_length = length;
    sl_reply_header(request, "x-request-id", request->id);
    if (request->is_tus)
        sl_reply_header(request, "tus-resumable", SL_BYTES(SL_TUS_PROTOCOL));
    h2o_start_response(h2o, generator);
}

/* One that is whole from the start, and stays where it is. */
static void send_response(struct sl_request *request, int status, struct sl_bytes body)
{
    static h2o_generator_t none;
    bool is_bodiless = status == 204 || status == 304;
    assert(!is_bodiless || body.len == 0);
    h2o_iovec_t piece = {(char *)body.base, body.len};
    sl_reply_begin(request, status, is_bodiless ? SIZE_MAX : body.len, &none);
    h2o_send(&request->h2o, &piece, 1, H2O_SEND_STATE_FINAL);
}

void sl_reply_lent(struct sl_request *request, int status, const char *type, struct sl_bytes body)
{
    sl_reply_header(request, "content-type", sl_bytes_of(type));
    sl_reply_header(request, "x-content-type-options", SL_BYTES("nosniff"));
    send_response(request, status, body);
}

void sl_reply_text(struct sl_request *request, int status, const char *type, struct sl_bytes body)
{
    (void)sl_request_hold(request, body.len); /* what it tells of is done: it must be told */
    sl_reply_lent(request, status, type, copy_to_pool(request, body));
}

void sl_reply_empty(struct sl_request *request, int status)
{
    send_response(request, status, (struct sl_bytes){"", 0});
}

struct sl_bytes sl_json_write(json_t *json, struct sl_room room)
{
    char *text = room.base;
    size_t len = json_dumpb(json, text, room.len - 1, JSON_COMPACT);
    if (len > room.len - 1) {
        text = h2o_mem_alloc(len + 1);
        len = json_dumpb(json, text, len, JSON_COMPACT);
    }
    json_decref(json);
    if (len == 0)
        abort(); /* out of memory: our strings are UTF-8 */
    text[len] = '\n';
    return (struct sl_bytes){text, len};
}

void sl_json_forget(struct sl_bytes text, struct sl_room room)
{
    if (text.base != room.base)
        free((char *)text.base);
}

void sl_reply_json(struct sl_request *request, int status, const char *type, json_t *json)
{
    char bytes[SL_JSON_USUAL_BYTES];
    struct sl_room room = {bytes, sizeof bytes};
    struct sl_bytes text = sl_json_write(json, room);
    sl_reply_text(request, status, type, (struct sl_bytes){text.base, text.len + 1});
    sl_json_forget(text, room);
}

json_t *sl_json_text(struct sl_bytes text)
{
    json_t *json = json_stringn(text.base == NULL ? "" : text.base, text.len);
    return json != NULL ? json : json_string("(not UTF-8)");
}

/* ---- URLs ---- */

/* An empty text in the request's pool for what every URL begins with and `more` bytes. */
static struct sl_text begin_url(struct sl_request *request, size_t more)
{
    const char *public_url = request->http->options.public_url;
    struct sl_bytes host = request->host;
    size_t room = strlen(public_url) + sizeof "https://" + host.len + more + 1;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    if (public_url[0] != '\0') {
        sl_text_put(&text, sl_bytes_of(public_url));
    } else if (host.len > 0) {
        const h2o_iovec_t *scheme = &request->h2o.input.scheme->name;
        sl_text_put(&text, (struct sl_bytes){scheme->base, scheme->len});
        sl_text_put(&text, SL_BYTES("://"));
        sl_text_put(&text, host);
    } /* else a relative reference: HTTP/1.0 without Host, or a head that could not be read */
    return text;
}

struct sl_bytes sl_reply_url(struct sl_request *request, const struct sl_path *path)
{
    struct sl_bytes base_path = sl_bytes_of(request->http->options.base_path);
    struct sl_text text = begin_url(request, base_path.len + 3 * path->len);
    sl_text_put(&text, base_path);
    sl_path_encode(&text, (struct sl_bytes){path->text, path->len});
    assert(!text.full);
    return (struct sl_bytes){text.base, text.len};
}

struct sl_bytes sl_reply_page_url(struct sl_request *request, const char *page)
{
    assert(page[0] == '/');
    struct sl_text text = begin_url(request, strlen(page));
    sl_text_put(&text, sl_bytes_of(page));
    assert(!text.full);
    return (struct sl_bytes){text.base, text.len};
}

/* ---- problems ---- */

/* Where the error is explained. */
static json_t *type_of_problem(struct sl_request *request, const struct sl_err_row *row)
{
    struct sl_bytes page = sl_reply_page_url(request, "/errors");
    return json_sprintf("%.*s#%s", (int)page.len, page.base, row->code);
}

json_t *sl_problem_begin(struct sl_request *request, sl_err err, const char *detail)
{
    assert(err != SL_OK);
    const struct sl_err_row *row = sl_err_row(err);
    json_t *json = json_object(), *type = type_of_problem(request, row);
    json_object_set_new(json, "type",
                        type != NULL ? type : json_string("about:blank")); /* a Host that is not UTF-8 */
    json_object_set_new(json, "title", json_string(row->title));
    json_object_set_new(json, "status", json_integer(row->status));
    json_object_set_new(json, "detail", sl_json_text(sl_bytes_of(detail != NULL ? detail : row->detail)));
    json_object_set_new(json, "code", json_string(row->code));
    json_object_set_new(json, "request-id", sl_json_text(request->id));
    return json;
}

void sl_problem_send(struct sl_request *request, sl_err err, json_t *json)
{
    sl_problem_send_as(request, err, sl_err_row(err)->status, json);
}

void sl_problem_send_as(struct sl_request *request, sl_err err, int status, json_t *json)
{
    json_object_set_new(json, "status", json_integer(status));
    request->err = err;
    sl_err_count(err);
    if (status == 503)
        sl_reply_header(request, "retry-after", SL_BYTES("1"));
    else if (status == 429) /* the client's own doings are what has to end first */
        sl_reply_header(request, "retry-after", SL_BYTES("10"));
    sl_reply_json(request, status, "application/problem+json", json);
}

void sl_reply_problem(struct sl_request *request, sl_err err, const char *detail)
{
    sl_problem_send(request, err, sl_problem_begin(request, err, detail));
}

/* ---- what is wanted ---- */

static bool is_zero(const char *weight, size_t len)
{
    while (len > 0 && (weight[len - 1] == '0' || weight[len - 1] == '.'))
        len--;
    return len == 0;
}

/* ";q=0", "; Q=0.000": named in order not to be sent (RFC 9110 section 12.4.2). */
static bool is_refused(struct sl_bytes parameters)
{
    while (parameters.len > 0) {
        const char *end = memchr(parameters.base + 1, ';', parameters.len - 1);
        size_t used = end == NULL ? parameters.len : (size_t)(end - parameters.base);
        struct sl_bytes one = sl_bytes_trim((struct sl_bytes){parameters.base + 1, used - 1});
        if (one.len > 2 && (one.base[0] == 'q' || one.base[0] == 'Q') && one.base[1] == '=')
            return is_zero(one.base + 2, one.len - 2);
        parameters.base += used;
        parameters.len -= used;
    }
    return false;
}

bool sl_request_accepts(struct sl_request *request, const char *type)
{
    struct sl_bytes accept = sl_request_header_list(request, "accept"), wanted = sl_bytes_of(type);
    while (accept.len > 0) {
        const char *comma = memchr(accept.base, ',', accept.len);
        size_t len = comma == NULL ? accept.len : (size_t)(comma - accept.base);
        const char *semicolon = memchr(accept.base, ';', len);
        size_t type_len = semicolon == NULL ? len : (size_t)(semicolon - accept.base);
        struct sl_bytes parameters = {accept.base + type_len, len - type_len};
        if (sl_bytes_equal_nocase(sl_bytes_trim((struct sl_bytes){accept.base, type_len}), wanted))
            return !is_refused(parameters);
        size_t used = comma == NULL ? accept.len : len + 1;
        accept.base += used;
        accept.len -= used;
    }
    return false;
}
