/* Requests of an HTTP/2 connection: header fields in, to the routes, and the end of a stream. nghttp2 has checked what
 * RFC 9113 section 8 asks of a message (pseudo-fields, lower case, no connection fields, content-length); here is what
 * a server of ours asks beside it. */
#include "h2.h"

#include "sluice/base/clock.h"
#include "sluice/decode/target.h"
#include "sluice/http/reply.h"

#include <assert.h>
#include <stdlib.h>

void sl_h2_stream_set_timer(struct sl_h2_stream *stream, h2o_timeout_t *timeout, h2o_timeout_cb on_timeout)
{
    h2o_timeout_unlink(&stream->timer);
    if (timeout == NULL)
        return;
    stream->timer.cb = on_timeout;
    h2o_timeout_link(stream->conn->base.http->context.loop, timeout, &stream->timer);
}

/* ---- the head ---- */

static void init_request(struct sl_h2_stream *stream)
{
    struct sl_request *request = &stream->request;
    h2o_init_request(&request->h2o, &stream->conn->base.h2o, NULL);
    request->h2o.version = 0x200;
    request->h2o.http1_is_persistent = 1;
    request->h2o.input.scheme =
        sl_transport_is_tls(stream->conn->base.transport) ? &H2O_URL_SCHEME_HTTPS : &H2O_URL_SCHEME_HTTP;
    request->http = stream->conn->base.http;
    request->body_ops = &sl_h2_body_ops;
    request->content_length = SL_LENGTH_UNKNOWN;
    sl_h2_init_answer(stream);
}

/* REFUSED_STREAM: nothing was done, it may be asked again (RFC 9113 section 8.7). */
static void refuse(struct sl_h2 *conn, int32_t id)
{
    (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
}

static bool take_head_room(struct sl_h2_stream *stream, size_t bytes)
{
    struct sl_http *http = stream->conn->base.http;
    if (http->h2_head_bytes + bytes > SL_H2_HEADS_BYTES_MAX)
        return false;
    http->h2_head_bytes += bytes;
    stream->head_room += bytes;
    return true;
}

int sl_h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct sl_h2 *conn = user;
    int32_t id = frame->hd.stream_id;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    bool is_full = conn->base.http->h2_head_bytes + SL_H2_STREAM_BYTES > SL_H2_HEADS_BYTES_MAX;
    if (is_full || conn->phase == SL_H2_GOING) { /* the last GOAWAY may be told already */
        refuse(conn, id);
        return 0;
    }
    struct sl_h2_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        abort();
    stream->conn = conn;
    stream->id = id;
    stream->window = SL_H2_WINDOW_BYTES;
    (void)take_head_room(stream, SL_H2_STREAM_BYTES);
    init_request(stream);
    sl_list_append(&conn->streams, &stream->link);
    conn->stream_count++;
    conn->was_idle = false;
    sl_h2_set_idle(conn, false);
    (void)nghttp2_session_set_stream_user_data(session, id, stream);
    return 0;
}

static struct sl_bytes keep(struct sl_h2_stream *stream, const uint8_t *bytes, size_t len)
{
    h2o_iovec_t copy = h2o_strdup(&stream->request.h2o.pool, (const char *)bytes, len);
    return (struct sl_bytes){copy.base, copy.len};
}

static void take_field(struct sl_h2_stream *stream, struct sl_bytes name, struct sl_bytes value)
{
    h2o_req_t *h2o = &stream->request.h2o;
    h2o_iovec_t text = {(char *)value.base, value.len};
    if (sl_bytes_equal(name, SL_BYTES(":method")))
        h2o->input.method = text;
    else if (sl_bytes_equal(name, SL_BYTES(":path")))
        h2o->input.path = text;
    else if (sl_bytes_equal(name, SL_BYTES(":authority")))
        stream->authority = value;
    else if (sl_bytes_equal(name, SL_BYTES("host")))
        stream->host = value;
    else if (sl_bytes_equal(name, SL_BYTES("content-length"))) {
        if (!sl_bytes_to_u64(value, &stream->request.content_length) || stream->request.content_length > INT64_MAX)
            stream->err = SL_BAD_FRAMING;
    } else if (sl_bytes_equal(name, SL_BYTES("expect"))) {
        stream->expects_continue = sl_bytes_equal_nocase(value, SL_BYTES("100-continue"));
        stream->request.has_expect = stream->expects_continue;
        if (!stream->expects_continue)
            stream->err = SL_BAD_EXPECT;
    } else if (name.base[0] != ':') {
        const h2o_token_t *token = h2o_lookup_token(name.base, name.len);
        if (token == NULL)
            h2o_add_header_by_str(&h2o->pool, &h2o->headers, name.base, name.len, 0, NULL, value.base, value.len);
        else if (!token->is_init_header_special)
            h2o_add_header(&h2o->pool, &h2o->headers, token, NULL, value.base, value.len);
    }
}

int sl_h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                    const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct sl_h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    size_t bytes = name_len + value_len + 32; /* RFC 9113 section 6.5.2 */
    (void)flags;
    if (stream == NULL)
        return 0;
    stream->head_bytes += bytes;
    stream->head_count++;
    if (stream->head_bytes > SL_H2_DECODED_BYTES_MAX) {
        sl_h2_give_up(user, NGHTTP2_ENHANCE_YOUR_CALM, SL_FLOOD);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    bool is_trailer = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    struct sl_bytes field = {(const char *)name, name_len}, text = {(const char *)value, value_len};
    if (stream->head_bytes > SL_H2_HEAD_BYTES_MAX || stream->head_count > SL_H2_HEADERS_MAX)
        stream->err = SL_HEAD_TOO_LARGE; /* decoded all the same, or the next head could not be, but not kept */
    else if (is_trailer)
        sl_request_add_trailer(&stream->request, field, text);
    else if (!take_head_room(stream, bytes))
        stream->err = SL_BUSY;
    else
        take_field(stream, keep(stream, name, name_len), keep(stream, value, value_len));
    return 0;
}

/* Whom it is for: :authority, or Host where a gateway left that one out (RFC 9113 section 8.3.1). */
static sl_err check_host(struct sl_h2_stream *stream)
{
    struct sl_bytes authority = stream->authority, host = stream->host;
    if (authority.len == 0)
        authority = host;
    if (!sl_host_is_valid(authority) || (host.len > 0 && !sl_bytes_equal_nocase(host, authority)))
        return SL_BAD_HOST;
    stream->request.host = authority;
    stream->request.h2o.input.authority = h2o_iovec_init(authority.base, authority.len);
    return SL_OK;
}

static sl_err check_head(struct sl_h2_stream *stream)
{
    h2o_req_t *h2o = &stream->request.h2o;
    struct sl_bytes path = {h2o->input.path.base, h2o->input.path.len};
    if (stream->err != SL_OK)
        return stream->err;
    if (path.len > SL_TARGET_BYTES_MAX)
        return SL_URI_TOO_LONG;
    bool is_options = h2o_memis(h2o->input.method.base, h2o->input.method.len, H2O_STRLIT("OPTIONS"));
    bool is_asterisk = is_options && sl_bytes_equal(path, SL_BYTES("*"));
    if (!sl_target_is_valid(path) || (path.base[0] != '/' && !is_asterisk)) /* also CONNECT, which has none */
        return SL_BAD_HEAD;
    return check_host(stream);
}

static void refuse_head(struct sl_h2_stream *stream, sl_err err)
{
    h2o_req_t *h2o = &stream->request.h2o;
    h2o->input.method = h2o->input.path = h2o_iovec_init(H2O_STRLIT("-"));
    h2o->method = h2o->input.method;
    h2o->pathconf = &stream->conn->base.h2o.hosts[0]->fallback_path; /* as of a refused head of HTTP/1 */
    sl_connection_begin_request(&stream->conn->base, &stream->request);
    sl_reply_problem(&stream->request, err, NULL);
}

static void begin_request(struct sl_h2_stream *stream, bool has_ended)
{
    struct sl_request *request = &stream->request;
    if (has_ended) {
        request->content_length = 0;
        request->is_body_complete = stream->is_end_seen = true;
    }
    sl_err err = check_head(stream);
    if (err == SL_BUSY) {
        refuse(stream->conn, stream->id);
        return;
    }
    if (err != SL_OK) {
        refuse_head(stream, err);
        return;
    }
    request->h2o.method = request->h2o.input.method;
    request->is_admin = sl_transport_is_admin(stream->conn->base.transport);
    sl_connection_begin_request(&stream->conn->base, request);
    h2o_process_request(&request->h2o);
}

int sl_h2_on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct sl_h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool has_ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        begin_request(stream, has_ended);
    else if (has_ended)
        sl_h2_body_ended(stream);
    return 0;
}

/* ---- the end ---- */

void sl_h2_stream_fail(struct sl_h2_stream *stream, sl_err err)
{
    sl_h2_stream_set_timer(stream, NULL, NULL);
    bool is_cut = sl_request_is_cut_by(&stream->request, err);
    if (is_cut || stream->request.is_response_started) {
        (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        sl_h2_flush_later(stream->conn);
    }
    if (stream->request.is_response_started)
        return;
    sl_request_abort(&stream->request, err);
    if (!is_cut)
        sl_reply_problem(&stream->request, err, NULL);
}

void sl_h2_stream_reset(struct sl_h2_stream *stream, uint32_t code)
{
    struct sl_h2 *conn = stream->conn;
    assert(!conn->is_receiving);
    (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, stream->id, code);
    (void)nghttp2_session_set_stream_user_data(conn->session, stream->id, NULL); /* it reads no more of the answer */
    sl_h2_flush_later(conn);
    sl_h2_stream_destroy(stream, SL_CLIENT_GONE);
}

void sl_h2_stream_destroy(struct sl_h2_stream *stream, sl_err why)
{
    struct sl_h2 *conn = stream->conn;
    struct sl_http *http = conn->base.http;
    sl_h2_stream_set_timer(stream, NULL, NULL);
    sl_request_abort(&stream->request, why);
    http->h2_held_bytes -= stream->held.bytes;
    http->h2_growth_bytes -= (uint64_t)(stream->window - SL_H2_WINDOW_BYTES);
    http->h2_head_bytes -= stream->head_room;
    http->h2_answer_bytes -= stream->answer_bytes;
    sl_h2_held_dispose(conn->base.http, &stream->held);
    sl_link_unlink(&stream->link);
    sl_link_unlink(&stream->proceed_link);
    sl_h2_read_on(conn);
    if (--conn->stream_count == 0)
        sl_h2_set_idle(conn, true);
    if (stream->request.begun_ns != 0)
        sl_request_log(&stream->request, sl_clock_now_ns());
    sl_body_discard(&stream->request);
    h2o_dispose_request(&stream->request.h2o);
    free(stream);
}

int sl_h2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct sl_h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    struct sl_h2 *conn = user;
    if (stream == NULL)
        return 0;
    if (code == NGHTTP2_NO_ERROR && stream->is_ended && stream->is_end_seen)
        sl_h2_budget_earn(&conn->budget, SL_H2_EARNED_BY_REQUEST);
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    sl_h2_stream_destroy(stream, SL_CLIENT_GONE);
    return 0;
}
