/* HTTP of one loop over a scratch folder and a disk, and a request whose answer goes into memory instead of a socket:
 * for tests of handlers. The answer is taken one piece at a time, when the test says so. */
#ifndef SLUICE_TESTS_HTTP_CASE_H
#define SLUICE_TESTS_HTTP_CASE_H

#include "../upload/upload_case.h"
#include "fake_disk.h"
#include "sluice/base/list.h"
#include "sluice/http/http.h"
#include "sluice/http/reply.h"

#include <ctype.h>

#define EXCHANGE_STEPS_MAX 1000

struct http_case {
    struct upload_case u;
    struct sl_http *http;
};

/* A connection that is none, with its one request. */
struct exchange {
    h2o_conn_t conn; /* first */
    struct sl_request request;
    h2o_ostream_t sink;
    char *body;
    size_t len, length; /* length: as announced */
    bool is_sending;    /* a piece was handed over and not yet taken */
    bool is_there, is_over, is_cut;
    size_t held, hold_max; /* the answer; 0: as much as it likes */
};

static inline bool exchange_hold(struct sl_request *request, size_t bytes)
{
    struct exchange *x = SL_CONTAINER_OF(request, struct exchange, request);
    x->held += bytes;
    return x->hold_max == 0 || x->held <= x->hold_max;
}

static inline void http_case_on_closed(void *ctx)
{
}

static inline void http_case_open(struct http_case *h, enum test_engine engine)
{
    static const struct sl_http_options options = {.base_path = "/files/",
                                                   .public_url = "http://test",
                                                   .cors_origins = "",
                                                   .head_timeout_ms = 1000,
                                                   .body_timeout_ms = 1000,
                                                   .idle_timeout_ms = 60000,
                                                   .write_timeout_ms = 60000};
    static h2o_loop_t *loop; /* one for all cases: h2o never closes its fd */
    if (loop == NULL)
        loop = h2o_evloop_create();
    upload_case_open(&h->u, engine);
    h->http = sl_http_create(loop, &h->u.intake, &options, http_case_on_closed, NULL);
}

static inline void http_case_close(struct http_case *h)
{
    UPLOAD_UNTIL(&h->u, sl_disk_inflight(h->u.disk) == 0);
    upload_settle(&h->u);
    assert_int_equal(h->http->download_slabs, 0);
    assert_true(sl_list_is_empty(&h->http->download_line));
    sl_http_destroy(h->http);
    upload_case_close(&h->u);
}

static inline void exchange_on_send(h2o_ostream_t *sink, h2o_req_t *h2o, h2o_iovec_t *pieces, size_t count,
                                    h2o_send_state_t state)
{
    struct exchange *x = SL_CONTAINER_OF(sink, struct exchange, sink);
    assert_false(x->is_sending || x->is_over);
    x->request.is_response_started = true;
    x->length = h2o->res.content_length;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len == 0)
            continue;
        x->body = realloc(x->body, x->len + pieces[i].len);
        memcpy(x->body + x->len, pieces[i].base, pieces[i].len);
        x->len += pieces[i].len;
    }
    x->is_sending = state == H2O_SEND_STATE_IN_PROGRESS;
    x->is_over = !x->is_sending;
    x->is_cut = state == H2O_SEND_STATE_ERROR;
}

/* x: zeroed. headers: name, value, name, value ..., NULL; lower case. */
static inline void exchange_begin(struct exchange *x, struct http_case *h, const char *method,
                                  const char *const *headers)
{
    x->conn = (h2o_conn_t){.ctx = &h->http->context, .hosts = h->http->config.hosts};
    h2o_req_t *h2o = &x->request.h2o;
    h2o_init_request(h2o, &x->conn, NULL);
    x->sink = (h2o_ostream_t){.do_send = exchange_on_send};
    h2o->_ostr_top = &x->sink;
    h2o->version = 0x101;
    h2o->input.method = h2o->method = h2o_iovec_init(method, strlen(method));
    h2o->input.path = h2o_iovec_init(H2O_STRLIT("/files/f"));
    h2o->input.scheme = &H2O_URL_SCHEME_HTTP;
    h2o->http1_is_persistent = 1;
    h2o->pathconf = &x->conn.hosts[0]->fallback_path;
    for (; headers != NULL && headers[0] != NULL; headers += 2) {
        const h2o_token_t *token = h2o_lookup_token(headers[0], strlen(headers[0]));
        if (token != NULL)
            h2o_add_header(&h2o->pool, &h2o->headers, token, NULL, headers[1], strlen(headers[1]));
        else
            h2o_add_header_by_str(&h2o->pool, &h2o->headers, headers[0], strlen(headers[0]), 0, NULL, headers[1],
                                  strlen(headers[1]));
    }
    static const struct sl_body_ops ops = {.hold = exchange_hold};
    x->request.body_ops = &ops;
    x->request.is_body_complete = x->is_there = true;
    sl_request_begin(&x->request, h->http, "test", false);
}

/* The client takes the piece that lies there. */
static inline void exchange_take(struct exchange *x)
{
    assert_true(x->is_sending);
    x->is_sending = false;
    h2o_proceed_response(&x->request.h2o);
}

/* A client that takes what there is, at once. false: the answer is over. */
static inline bool exchange_step(struct exchange *x, struct http_case *h)
{
    if (x->is_over)
        return false;
    if (x->is_sending)
        exchange_take(x);
    else
        assert_true(upload_turn(&h->u, UPLOAD_PATIENCE_MS));
    return true;
}

/* Takes all of the answer. */
static inline void exchange_finish(struct exchange *x, struct http_case *h)
{
    for (unsigned steps = 0; exchange_step(x, h); steps++)
        assert_true(steps < EXCHANGE_STEPS_MAX);
}

/* The request is over, whatever became of it. A zeroed one is fine. */
static inline void exchange_end(struct exchange *x)
{
    if (!x->is_there)
        return;
    x->is_there = false;
    x->is_over = true; /* who answers it now is caught */
    sl_request_abort(&x->request, SL_CLIENT_GONE);
    h2o_dispose_request(&x->request.h2o);
    free(x->body);
    x->body = NULL;
}

/* The value of a header of the answer; NULL if it is not there, and it may be there only once. */
static inline const char *exchange_header(struct exchange *x, const char *name)
{
    const h2o_headers_t *headers = &x->request.h2o.res.headers;
    const char *value = NULL;
    for (size_t i = 0; i < headers->size; i++) {
        if (!h2o_memis(headers->entries[i].name->base, headers->entries[i].name->len, name, strlen(name)))
            continue;
        assert_null(value);
        value = headers->entries[i].value.base;
        assert_int_equal(strlen(value), headers->entries[i].value.len);
    }
    return value;
}

static inline void exchange_expect_header(struct exchange *x, const char *name, const char *value)
{
    const char *found = exchange_header(x, name);
    if (found == NULL)
        fail_msg("no header %s", name);
    assert_string_equal(found, value);
}

#endif
