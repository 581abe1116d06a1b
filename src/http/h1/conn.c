/* The life of an HTTP/1.1 connection: heads in, requests to the routes, and what follows an answer. */
#include "../rooms.h"
#include "h1.h"

#include "sluice/base/clock.h"
#include "sluice/base/log.h"
#include "sluice/http/reply.h"

#include <assert.h>
#include <stdlib.h>

#define KEPT_DRAIN_BYTES_MAX ((uint64_t)64 << 10) /* a rest that is cheaper to read than a new connection */

/* ---- requests ---- */

static void init_request(struct sl_h1 *conn)
{
    h2o_init_request(&conn->request.h2o, &conn->base.h2o, NULL);
    conn->request.body_ops = &sl_h1_body_ops;
    conn->request.content_length = 0;
    conn->request.is_body_complete = conn->request.has_expect = false;
    conn->request.sink = NULL;
    conn->request.http = conn->base.http;
    conn->request.host = (struct sl_bytes){0};
    conn->request.resume_entry = (h2o_timeout_entry_t){0};
    conn->request.begun_ns = 0;
    conn->request.is_response_started = false;
    conn->scan = (struct sl_h1_scan){0};
    conn->chunked = (struct sl_chunked){0};
    conn->left = conn->waited_ns = 0;
    conn->is_chunked = conn->expects_continue = conn->is_paused = conn->is_head_timed = false;
    conn->is_blank_skipped = false;
    sl_h1_init_answer(conn);
}

static void end_request(struct sl_h1 *conn)
{
    if (conn->request.begun_ns != 0)
        sl_request_log(&conn->request, sl_clock_now_ns());
    sl_body_discard(&conn->request);
    h2o_dispose_request(&conn->request.h2o);
}

void sl_h1_close(struct sl_h1 *conn, sl_err why)
{
    sl_connection_set_timer(&conn->base, NULL, NULL);
    sl_request_abort(&conn->request, why);
    end_request(conn);
    sl_h1_drop_spare(conn);
    sl_connection_destroy(&conn->base);
}

static h2o_iovec_t to_iovec(struct sl_bytes bytes)
{
    return h2o_iovec_init(bytes.base, bytes.len);
}

static void add_header(struct sl_h1 *conn, const struct sl_h1_header *header)
{
    h2o_req_t *h2o = &conn->request.h2o;
    char *name = (char *)header->name.base; /* in the request's pool: ours to lower */
    h2o_strtolower(name, header->name.len);
    const h2o_token_t *token = h2o_lookup_token(name, header->name.len);
    if (token == NULL)
        h2o_add_header_by_str(&h2o->pool, &h2o->headers, name, header->name.len, 0, NULL, header->value.base,
                              header->value.len);
    else if (!token->is_init_header_special) /* those are told by the framing */
        h2o_add_header(&h2o->pool, &h2o->headers, token, NULL, header->value.base, header->value.len);
}

/* From the parsed head to h2o's request. All spans lie in the request's pool already. */
static void fill_request(struct sl_h1 *conn, const struct sl_h1_head *head)
{
    h2o_req_t *h2o = &conn->request.h2o;
    h2o->version = 0x100 | (int)head->minor_version;
    h2o->input.method = to_iovec(head->method);
    h2o->input.path = to_iovec(head->target);
    h2o->input.authority = to_iovec(head->host);
    conn->request.host = head->host;
    h2o->input.scheme = sl_transport_is_tls(conn->base.transport) ? &H2O_URL_SCHEME_HTTPS : &H2O_URL_SCHEME_HTTP;
    h2o->http1_is_persistent = head->is_persistent && !conn->base.http->is_draining;
    h2o_vector_reserve(&h2o->pool, &h2o->headers, head->header_count);
    for (size_t i = 0; i < head->header_count; i++)
        add_header(conn, &head->headers[i]);
    conn->is_chunked = head->is_chunked;
    conn->left = head->content_length;
    conn->expects_continue = conn->request.has_expect = head->expects_continue;
    conn->request.content_length = head->is_chunked ? SL_LENGTH_UNKNOWN : head->content_length;
    conn->request.is_body_complete = !head->is_chunked && head->content_length == 0;
}

/* A span the parser made up (a target that was left out) is static and stays. */
static void move_span(struct sl_bytes *span, const char *from, size_t len, const char *to)
{
    if (span->base >= from && span->base < from + len)
        span->base = to + (span->base - from);
}

/* Copies the head into the request's pool, once, so that every string of it lives as long as the request. */
static void take_head(struct sl_h1 *conn, struct sl_h1_head *head)
{
    const char *from = conn->spare;
    char *copy = h2o_mem_alloc_pool(&conn->request.h2o.pool, head->bytes);
    memcpy(copy, from, head->bytes);
    move_span(&head->method, from, head->bytes, copy);
    move_span(&head->target, from, head->bytes, copy);
    move_span(&head->host, from, head->bytes, copy);
    for (size_t i = 0; i < head->header_count; i++) {
        move_span(&head->headers[i].name, from, head->bytes, copy);
        move_span(&head->headers[i].value, from, head->bytes, copy);
    }
    sl_h1_use_spare(conn, head->bytes);
    if (conn->spare_len > 0)
        sl_h1_size_spare(conn, conn->spare_len);
    fill_request(conn, head);
}

static void refuse_head(struct sl_h1 *conn, sl_err err)
{
    h2o_req_t *h2o = &conn->request.h2o;
    h2o->version = 0x101;
    h2o->input.method = h2o_iovec_init(H2O_STRLIT("-"));
    h2o->input.path = h2o_iovec_init(H2O_STRLIT("-"));
    h2o->method = h2o->input.method;
    h2o->pathconf = &conn->base.h2o.hosts[0]->fallback_path; /* h2o looks there for filters; no route was asked */
    conn->phase = SL_H1_BODY;
    sl_connection_begin_request(&conn->base, &conn->request);
    sl_h1_fail(conn, err);
}

/* HTTP/2 by prior knowledge (RFC 9113 section 3.3): only as the first thing on a connection, and in TLS by ALPN alone
 * (section 3.2). */
static bool may_be_h2(const struct sl_h1 *conn)
{
    size_t len = conn->spare_len < SL_H2_PREFACE_BYTES ? conn->spare_len : SL_H2_PREFACE_BYTES;
    return !conn->has_served && !sl_transport_is_tls(conn->base.transport) &&
           memcmp(conn->spare, SL_H2_PREFACE, len) == 0;
}

static void become_h2(struct sl_h1 *conn)
{
    struct sl_http *http = conn->base.http;
    struct sl_transport *transport = conn->base.transport;
    char *spare = conn->spare;
    size_t len = conn->spare_len;
    sl_transport_read_stop(transport);
    end_request(conn);
    sl_connection_leave_transport(&conn->base);
    sl_h2_begin(http, transport, (struct sl_bytes){spare, len});
    sl_room_give(&http->head_rooms, spare); /* of that size, while a head is read */
}

static void parse_head(struct sl_h1 *conn)
{
    static _Thread_local struct sl_h1_head head; /* 3 KB, of no use after this call */
    if (conn->spare_len == 1 && conn->spare[0] == '\r')
        return; /* half an empty line */
    if (!conn->is_blank_skipped)
        sl_h1_use_spare(conn, sl_h1_head_skip_blank(conn->spare, conn->spare_len));
    conn->is_blank_skipped = true; /* at most one a head */
    if (conn->spare_len == 0)
        return;
    if (may_be_h2(conn)) {
        if (conn->spare_len >= SL_H2_PREFACE_BYTES)
            become_h2(conn);
        return; /* else the rest of it is awaited */
    }
    sl_err err = sl_h1_head_parse(&head, &conn->scan, conn->spare, conn->spare_len);
    if (err == SL_AGAIN)
        return;
    sl_connection_set_timer(&conn->base, NULL, NULL);
    sl_transport_read_stop(conn->base.transport);
    if (err != SL_OK) {
        refuse_head(conn, err);
        return;
    }
    take_head(conn, &head);
    conn->has_served = true;
    conn->phase = SL_H1_BODY;
    conn->request.h2o.method = conn->request.h2o.input.method;
    conn->request.is_admin = sl_transport_is_admin(conn->base.transport);
    sl_connection_begin_request(&conn->base, &conn->request);
    h2o_process_request(&conn->request.h2o);
}

static void on_head_timeout(h2o_timeout_entry_t *entry)
{
    struct sl_h1 *conn = SL_CONTAINER_OF(entry, struct sl_h1, base.timer);
    if (conn->spare_len > 0)
        refuse_head(conn, SL_HEAD_TIMEOUT);
    else
        sl_h1_close(conn, SL_HEAD_TIMEOUT); /* nothing was asked */
}

static void on_head_readable(void *owner)
{
    struct sl_h1 *conn = owner;
    sl_h1_size_spare(conn, SL_H1_SPARE_BYTES);
    if (!conn->is_head_timed) /* from its first byte on, however it is dripped */
        sl_connection_set_timer(&conn->base, &conn->base.http->head_timeout, on_head_timeout);
    conn->is_head_timed = true;
    size_t n;
    switch (sl_transport_read(conn->base.transport, conn->spare + conn->spare_len,
                              SL_H1_SPARE_BYTES - conn->spare_len, &n)) {
    case SL_READ_BYTES:
        conn->spare_len += n;
        parse_head(conn);
        return;
    case SL_READ_LATER:
        if (conn->spare_len == 0)
            sl_h1_use_spare(conn, 0);
        return;
    case SL_READ_END:
    case SL_READ_BROKEN: sl_h1_close(conn, SL_CLIENT_GONE); return;
    }
}

static void read_head(struct sl_h1 *conn)
{
    conn->phase = SL_H1_HEAD;
    conn->is_head_timed = conn->spare_len > 0;
    sl_connection_set_timer(
        &conn->base, conn->is_head_timed ? &conn->base.http->head_timeout : &conn->base.http->keep_alive_timeout,
        on_head_timeout);
    sl_transport_read_start(conn->base.transport, on_head_readable);
    if (conn->spare_len > 0)
        parse_head(conn);
}

/* ---- after an answer ---- */

bool sl_h1_can_drain(const struct sl_h1 *conn)
{
    return !conn->expects_continue && !conn->is_chunked && conn->left <= KEPT_DRAIN_BYTES_MAX;
}

void sl_h1_after_answer(struct sl_h1 *conn)
{
    if (conn->request.is_body_complete && conn->request.h2o.http1_is_persistent && !conn->base.http->is_draining) {
        end_request(conn);
        init_request(conn);
        read_head(conn);
    } else if (conn->has_peer_ended) {
        sl_h1_close(conn, SL_OK);
    } else if (conn->request.h2o.http1_is_persistent && !conn->request.is_body_complete) {
        sl_h1_drain_body(conn);
    } else {
        sl_h1_linger(conn); /* also after a whole body: what lies unread would turn the close into a reset */
    }
}

void sl_h1_fail(struct sl_h1 *conn, sl_err err)
{
    if (conn->request.is_response_started || sl_request_is_cut_by(&conn->request, err)) {
        sl_h1_close(conn, err);
        return;
    }
    sl_connection_set_timer(&conn->base, NULL, NULL);
    sl_transport_read_stop(conn->base.transport);
    sl_request_abort(&conn->request, err);
    conn->request.h2o.http1_is_persistent = 0;
    sl_reply_problem(&conn->request, err, NULL);
}

/* ---- connections ---- */

/* Who was served before may meet the end of its connection, and asks again on another (RFC 9112 section 9.3.1); but not
 * what has come already. Who has just connected is sure to be served. */
static void drain(struct sl_connection *base)
{
    struct sl_h1 *conn = (struct sl_h1 *)base;
    if (conn->phase != SL_H1_HEAD || conn->spare_len > 0)
        return;
    if (conn->has_served && !sl_transport_has_unread(base->transport))
        sl_h1_close(conn, SL_DRAINING);
    else
        sl_connection_set_timer(base, &base->http->notice_timeout, on_head_timeout);
}

static void close_now(struct sl_connection *base, sl_err why)
{
    sl_h1_close((struct sl_h1 *)base, why);
}

void sl_h1_begin(struct sl_http *http, struct sl_transport *transport)
{
    static const struct sl_connection_ops ops = {.drain = drain, .close = close_now};
    struct sl_h1 *conn = (struct sl_h1 *)sl_connection_create(sizeof *conn, http, transport, &ops);
    init_request(conn);
    conn->phase = SL_H1_HEAD;
    sl_connection_set_timer(&conn->base, http->is_draining ? &http->notice_timeout : &http->head_timeout,
                            on_head_timeout);
    sl_transport_read_start(transport, on_head_readable);
}
