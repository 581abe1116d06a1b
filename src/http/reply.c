#include "sluice/http/reply.h"

#include "sluice/base/clock.h"
#include "sluice/decode/disposition.h"
#include "sluice/http/http.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 303: return "See Other";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
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
static void send_response(struct sl_request *request, int status, struct sl_bytes body)
{
    static h2o_generator_t none;
    h2o_req_t *h2o = &request->h2o;
    sl_body_discard(request);
    h2o->res.status = status;
    h2o->res.reason = reason_of(status);
    h2o->res.content_length = status == 204 ? SIZE_MAX : body.len;
    sl_reply_header(request, "x-request-id", request->id);
    struct sl_bytes kept = copy_to_pool(request, body);
    h2o_iovec_t piece = {(char *)kept.base, kept.len};
    h2o_start_response(h2o, &none);
    h2o_send(h2o, &piece, 1, H2O_SEND_STATE_FINAL);
}

void sl_reply_text(struct sl_request *request, int status, const char *type, struct sl_bytes body)
{
    sl_reply_header(request, "content-type", sl_bytes_of(type));
    sl_reply_header(request, "x-content-type-options", SL_BYTES("nosniff"));
    send_response(request, status, body);
}

void sl_reply_empty(struct sl_request *request, int status)
{
    send_response(request, status, (struct sl_bytes){0});
}

/* Takes the reference to `json`. */
static void send_json(struct sl_request *request, int status, const char *type, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL)
        abort(); /* out of memory: our strings are UTF-8 */
    size_t len = strlen(text);
    text[len] = '\n'; /* the NUL is not needed any more; a terminal is happier with a newline */
    sl_reply_text(request, status, type, (struct sl_bytes){text, len + 1});
    free(text);
}

/* ---- URLs ---- */

struct sl_bytes sl_reply_url(struct sl_request *request, const struct sl_path *path)
{
    const struct sl_http_options *options = &request->http->options;
    struct sl_bytes host = request->host;
    size_t room = strlen(options->public_url) + host.len + strlen(options->base_path) + 3 * path->len + 16;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    if (options->public_url[0] != '\0') {
        sl_text_put(&text, sl_bytes_of(options->public_url));
    } else if (host.len > 0) {
        sl_text_put(&text,
                    (struct sl_bytes){request->h2o.input.scheme->name.base, request->h2o.input.scheme->name.len});
        sl_text_put(&text, SL_BYTES("://"));
        sl_text_put(&text, host);
    } /* else a relative reference: HTTP/1.0 without Host */
    sl_text_put(&text, sl_bytes_of(options->base_path));
    sl_path_encode(&text, (struct sl_bytes){path->text, path->len});
    assert(!text.full);
    return (struct sl_bytes){text.base, text.len};
}

/* ---- problems ---- */

static json_t *to_json(struct sl_bytes text)
{
    json_t *json = json_stringn(text.base == NULL ? "" : text.base, text.len);
    return json != NULL ? json : json_string("(not UTF-8)");
}

static json_t *make_problem(struct sl_request *request, sl_err err, const char *detail)
{
    const struct sl_err_row *row = sl_err_row(err);
    json_t *json = json_object();
    json_object_set_new(json, "type", json_string("about:blank"));
    json_object_set_new(json, "title", json_string(row->title));
    json_object_set_new(json, "status", json_integer(row->status));
    if (detail != NULL)
        json_object_set_new(json, "detail", json_string(detail));
    json_object_set_new(json, "code", json_string(row->code));
    json_object_set_new(json, "request-id", to_json(request->id));
    return json;
}

void sl_reply_problem_stored(struct sl_request *request, sl_err err, const char *detail,
                             const struct sl_stored *stored, size_t count)
{
    request->err = err;
    json_t *json = make_problem(request, err, detail);
    json_t *urls = json_array();
    for (size_t i = 0; i < count; i++)
        if (stored[i].session->state == SL_SESSION_DONE)
            json_array_append_new(urls, to_json(sl_reply_url(request, &stored[i].session->path)));
    if (json_array_size(urls) > 0)
        json_object_set(json, "stored", urls);
    json_decref(urls);
    int status = sl_err_row(err)->status;
    if (status == 503)
        sl_reply_header(request, "retry-after", SL_BYTES("1"));
    send_json(request, status, "application/problem+json", json);
}

void sl_reply_problem(struct sl_request *request, sl_err err, const char *detail)
{
    sl_reply_problem_stored(request, err, detail, NULL, 0);
}

/* ---- what was stored ---- */

static json_t *digests_base64(const struct sl_digests *digests)
{
    json_t *json = json_object();
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++) {
        if (!(digests->set & (1u << alg)))
            continue;
        char text[2 * SL_HASH_BYTES_MAX];
        size_t len = h2o_base64_encode(text, digests->value[alg], sl_hash_bytes(alg), 0);
        json_object_set_new(json, sl_hash_name(alg), json_stringn(text, len));
    }
    return json;
}

static json_t *file_json(struct sl_request *request, const struct sl_stored *stored)
{
    const struct sl_session *session = stored->session;
    json_t *json = json_object();
    json_object_set_new(json, "url", to_json(sl_reply_url(request, &session->path)));
    json_object_set_new(json, "id", json_string(session->id));
    json_object_set_new(json, "name", to_json(stored->filename));
    json_object_set_new(json, "size", json_integer((json_int_t)session->size));
    json_object_set_new(json, "type", to_json(stored->type));
    if (session->digests.set & (1u << SL_HASH_SHA256)) {
        char hex[65];
        h2o_hex_encode(hex, session->digests.value[SL_HASH_SHA256], 32);
        json_object_set_new(json, "sha256", json_stringn(hex, 64));
    }
    json_object_set_new(json, "digest", digests_base64(&session->digests));
    char created[SL_CLOCK_RFC3339_BYTES];
    sl_clock_rfc3339(session->created_ns, created);
    json_object_set_new(json, "created", json_string(created));
    return json;
}

static json_t *fields_json(const struct sl_field *fields, size_t count)
{
    json_t *json = json_object();
    for (size_t i = 0; i < count; i++) {
        char name[SL_DISPOSITION_NAME_MAX + 1];
        memcpy(name, fields[i].name.base, fields[i].name.len);
        name[fields[i].name.len] = '\0';
        json_t *values = json_object_get(json, name);
        if (values == NULL) {
            values = json_array();
            json_object_set_new(json, name, values);
        }
        json_array_append_new(values, to_json(fields[i].value));
    }
    return json;
}

static json_t *stored_json(struct sl_request *request, const struct sl_stored *stored, size_t count,
                           const struct sl_field *fields, size_t field_count)
{
    json_t *json = json_object(), *files = json_array();
    json_object_set_new(json, "success", json_true());
    for (size_t i = 0; i < count; i++) {
        json_t *file = file_json(request, &stored[i]);
        if (i == 0)
            json_object_update(json, file); /* the top level mirrors the first file */
        if (stored[i].field.len > 0)
            json_object_set_new(file, "field", to_json(stored[i].field));
        json_array_append_new(files, file);
    }
    json_object_set_new(json, "files", files);
    json_object_set_new(json, "fields", fields_json(fields, field_count));
    return json;
}

void sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                     const struct sl_field *fields, size_t field_count)
{
    assert(count > 0);
    int status = count == 1 && stored[0].session->has_replaced ? 200 : 201;
    struct sl_bytes url = sl_reply_url(request, &stored[0].session->path);
    if (count == 1)
        sl_reply_header(request, "location", url);
    if (is_json) {
        send_json(request, status, "application/json", stored_json(request, stored, count, fields, field_count));
        return;
    }
    size_t room = 1;
    for (size_t i = 0; i < count; i++)
        room += sl_reply_url(request, &stored[i].session->path).len + 1;
    struct sl_text lines;
    sl_text_init(&lines, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    for (size_t i = 0; i < count; i++) {
        sl_text_put(&lines, sl_reply_url(request, &stored[i].session->path));
        sl_text_put(&lines, SL_BYTES("\n"));
    }
    sl_reply_text(request, status, "text/plain; charset=utf-8", (struct sl_bytes){lines.base, lines.len});
}

bool sl_request_accepts(const struct sl_request *request, const char *type)
{
    struct sl_bytes accept = sl_request_header(request, "accept"), wanted = sl_bytes_of(type);
    while (accept.len > 0) {
        const char *comma = memchr(accept.base, ',', accept.len);
        size_t len = comma == NULL ? accept.len : (size_t)(comma - accept.base);
        const char *semicolon = memchr(accept.base, ';', len);
        size_t type_len = semicolon == NULL ? len : (size_t)(semicolon - accept.base);
        if (sl_bytes_equal_nocase(sl_bytes_trim((struct sl_bytes){accept.base, type_len}), wanted))
            return true;
        size_t used = comma == NULL ? accept.len : len + 1;
        accept.base += used;
        accept.len -= used;
    }
    return false;
}
