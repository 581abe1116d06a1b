#include "sluice/http/request.h"

#include "sluice/base/clock.h"
#include "sluice/base/doing.h"
#include "sluice/http/http.h"

#include <assert.h>
#include <stdio.h>

#define REQUEST_ID_BYTES_MAX 128

static bool is_named(const h2o_header_t *header, const char *name)
{
    return h2o_memis(header->name->base, header->name->len, name, strlen(name));
}

static const h2o_header_t *find_header(const struct sl_request *request, const char *name)
{
    const h2o_headers_t *headers = &request->h2o.headers;
    for (size_t i = 0; i < headers->size; i++)
        if (is_named(&headers->entries[i], name))
            return &headers->entries[i];
    return NULL;
}

struct sl_bytes sl_request_header(const struct sl_request *request, const char *name)
{
    const h2o_header_t *header = find_header(request, name);
    return header == NULL ? (struct sl_bytes){0} : (struct sl_bytes){header->value.base, header->value.len};
}

struct sl_bytes sl_request_header_list(struct sl_request *request, const char *name)
{
    const h2o_headers_t *headers = &request->h2o.headers;
    size_t lines = 0, room = 0;
    struct sl_bytes last = {0};
    for (size_t i = 0; i < headers->size; i++) {
        if (!is_named(&headers->entries[i], name))
            continue;
        last = (struct sl_bytes){headers->entries[i].value.base, headers->entries[i].value.len};
        room += last.len + 2;
        lines++;
    }
    if (lines <= 1)
        return last;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room + 1), room + 1);
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_header_t *header = &headers->entries[i];
        if (!is_named(header, name))
            continue;
        if (text.len > 0)
            sl_text_put(&text, SL_BYTES(", "));
        sl_text_put(&text, (struct sl_bytes){header->value.base, header->value.len});
    }
    return (struct sl_bytes){text.base, text.len};
}

struct sl_conditions sl_request_conditions(struct sl_request *request)
{
    return (struct sl_conditions){.if_match = sl_request_header_list(request, "if-match"),
                                  .if_none_match = sl_request_header_list(request, "if-none-match"),
                                  .if_modified_since = sl_request_header_list(request, "if-modified-since"),
                                  .if_unmodified_since = sl_request_header_list(request, "if-unmodified-since"),
                                  .if_range = sl_request_header_list(request, "if-range")};
}

bool sl_request_has_header(const struct sl_request *request, const char *name)
{
    return find_header(request, name) != NULL;
}

bool sl_request_is_method(const struct sl_request *request, const char *method)
{
    return h2o_memis(request->h2o.method.base, request->h2o.method.len, method, strlen(method));
}

bool sl_request_has_type(const struct sl_request *request, const char *type)
{
    struct sl_bytes sent = sl_request_header(request, "content-type");
    const char *semicolon = sent.len > 0 ? memchr(sent.base, ';', sent.len) : NULL;
    if (semicolon != NULL)
        sent.len = (size_t)(semicolon - sent.base);
    return sl_bytes_equal_nocase(sl_bytes_trim(sent), sl_bytes_of(type));
}

/* ---- the body ---- */

void sl_body_attach(struct sl_request *request, struct sl_sink *sink)
{
    assert(request->sink == NULL && !request->is_response_started);
    request->sink = sink;
}

void sl_body_start(struct sl_request *request)
{
    assert(request->sink != NULL && !request->is_response_started);
    request->body_ops->start(request);
}

static void on_resume(h2o_timeout_entry_t *entry)
{
    struct sl_request *request = SL_CONTAINER_OF(entry, struct sl_request, resume_entry);
    const char *before = sl_doing("resuming a body");
    request->body_ops->resume(request);
    (void)sl_doing(before);
}

void sl_body_resume(struct sl_request *request)
{
    request->resume_entry.cb = on_resume;
    if (!h2o_timeout_is_linked(&request->resume_entry))
        h2o_timeout_link(request->http->context.loop, &request->http->context.zero_timeout, &request->resume_entry);
}

void sl_body_discard(struct sl_request *request)
{
    request->sink = NULL;
    h2o_timeout_unlink(&request->resume_entry);
}

void sl_request_interim(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count)
{
    assert(status == 100 || status == 104);
    if (!request->is_response_started && request->h2o.version > 0x100)
        request->body_ops->interim(request, status, fields, count);
}

void sl_request_want_trailers(struct sl_request *request)
{
    assert(request->trailers.base == NULL);
    sl_text_init(&request->trailers, h2o_mem_alloc_pool(&request->h2o.pool, SL_TRAILERS_BYTES_MAX),
                 SL_TRAILERS_BYTES_MAX);
}

void sl_request_add_trailer(struct sl_request *request, struct sl_bytes name, struct sl_bytes value)
{
    if (request->trailers.base == NULL)
        return;
    sl_text_put(&request->trailers, name);
    sl_text_put(&request->trailers, SL_BYTES(": "));
    sl_text_put(&request->trailers, value);
    sl_text_put(&request->trailers, SL_BYTES("\r\n"));
}

sl_err sl_request_trailer(const struct sl_request *request, const char *name, struct sl_bytes *value_out)
{
    struct sl_bytes rest = {request->trailers.base, request->trailers.len};
    *value_out = (struct sl_bytes){0};
    if (request->trailers.full)
        return SL_HEAD_TOO_LARGE;
    while (rest.len > 0) {
        const char *end = memmem(rest.base, rest.len, "\r\n", 2), *colon = memchr(rest.base, ':', rest.len);
        assert(end != NULL && colon != NULL && colon < end);
        struct sl_bytes line_name = {rest.base, (size_t)(colon - rest.base)};
        if (sl_bytes_equal_nocase(line_name, sl_bytes_of(name))) {
            if (value_out->base != NULL)
                return SL_BAD_FIELD;
            *value_out = sl_bytes_trim((struct sl_bytes){colon + 1, (size_t)(end - colon - 1)});
        }
        rest = (struct sl_bytes){end + 2, rest.len - (size_t)(end + 2 - rest.base)};
    }
    return SL_OK;
}

void sl_request_abort(struct sl_request *request, sl_err why)
{
    struct sl_sink *sink = request->sink;
    sl_body_discard(request);
    if (sink != NULL && !request->is_response_started)
        sink->ops->abort(sink, why);
}

bool sl_request_is_cut_by(struct sl_request *request, sl_err err)
{
    bool is_broken = err == SL_INCOMPLETE || err == SL_BODY_TIMEOUT || err == SL_TOO_SLOW;
    if (!is_broken || request->sink == NULL || !request->sink->ops->keeps)
        return false;
    request->err = err;
    sl_err_count(err);
    return true;
}

void sl_request_cut(struct sl_request *request)
{
    request->err = SL_CLIENT_GONE;
    request->body_ops->cut(request);
}

void sl_request_sent(struct sl_request *request)
{
    void (*on_sent)(void *ctx) = request->on_sent;
    request->on_sent = NULL;
    if (on_sent != NULL)
        on_sent(request->on_sent_ctx);
}

/* ---- beginning and end ---- */

static bool is_id_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.:/+=", c) != NULL;
}

static bool is_request_id(struct sl_bytes id)
{
    if (id.len == 0 || id.len > REQUEST_ID_BYTES_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (id.base[i] == '\0' || !is_id_byte(id.base[i]))
            return false;
    return true;
}

/* splitmix64: told apart is enough for a request id; nobody is let in by one. */
static struct sl_bytes make_request_id(struct sl_request *request)
{
    uint64_t x = request->http->id_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    char *text = h2o_mem_alloc_pool(&request->h2o.pool, 17);
    snprintf(text, 17, "%016llx", (unsigned long long)x);
    return (struct sl_bytes){text, 16};
}

/* What a proxy we trust tells of its client takes the place of what we see of the proxy. */
static void look_behind_proxy(struct sl_request *request)
{
    h2o_req_t *h2o = &request->h2o;
    struct sl_forwarded fields = {.forwarded = sl_request_header_list(request, "forwarded"),
                                  .x_for = sl_request_header_list(request, "x-forwarded-for"),
                                  .x_proto = sl_request_header_list(request, "x-forwarded-proto"),
                                  .x_host = sl_request_header_list(request, "x-forwarded-host")};
    struct sl_client client;
    sl_forwarded_read(&fields, request->http->options.trusted, &client);
    if (client.has_address) {
        char *text = h2o_mem_alloc_pool(&h2o->pool, SL_ADDRESS_TEXT_BYTES);
        sl_address_write(&client.address, text);
        request->peer = sl_bytes_of(text);
    }
    if (client.has_scheme)
        h2o->input.scheme = client.is_secure ? &H2O_URL_SCHEME_HTTPS : &H2O_URL_SCHEME_HTTP;
    if (client.host.len > 0)
        request->host = client.host;
}

void sl_request_begin(struct sl_request *request, struct sl_http *http, const char *peer, bool is_trusted)
{
    request->http = http;
    request->route = SL_ROUTE_NONE;
    request->peer = sl_bytes_of(peer);
    if (is_trusted)
        look_behind_proxy(request);
    request->begun_ns = sl_clock_now_ns();
    request->sink = NULL;
    request->body_received = 0;
    request->err = SL_OK;
    request->on_sent = NULL;
    request->brought = NULL;
    request->trailers = (struct sl_text){0};
    request->is_response_started = false;
    request->resume_entry = (h2o_timeout_entry_t){0};
    h2o_iovec_t target = request->h2o.input.path;
    const char *mark = target.len == 0 ? NULL : memchr(target.base, '?', target.len);
    size_t path_len = mark == NULL ? target.len : (size_t)(mark - target.base);
    request->path = (struct sl_bytes){target.base, path_len};
    request->query = mark == NULL ? (struct sl_bytes){0} : (struct sl_bytes){mark + 1, target.len - path_len - 1};
    struct sl_bytes id = sl_request_header(request, "x-request-id");
    request->has_own_id = is_request_id(id);
    request->id = request->has_own_id ? id : make_request_id(request);
    request->is_head = sl_request_is_method(request, "HEAD");
    request->is_tus = sl_request_has_header(request, "tus-resumable");
}

void sl_request_took(struct sl_request *request, size_t n)
{
    request->body_received += n;
    sl_counter_add(&request->http->stats->received_bytes, n);
}

void sl_request_dropped(struct sl_request *request, size_t n)
{
    sl_request_took(request, n);
    sl_counter_add(&request->http->stats->discarded_bytes, n);
}
