/* Bodies of HTTP/2 requests: nghttp2 pushes, sinks take what they have room for, and the rest is held. Only what a sink
 * took is given back to its stream's window, so what is held is bounded by it; windows begin small and grow with what
 * is really taken, so that one stream can fill a long fat path. */
#include "h2.h"

#include "sluice/base/clock.h"

#include <assert.h>

/* ---- windows ---- */

/* Who grows leaves as much of the budget to the others as it takes. */
static bool may_grow(const struct sl_http *http, uint64_t step)
{
    return http->h2_growth_bytes + 2 * step <= SL_H2_GROWTH_BYTES_MAX;
}

static void grow(struct sl_h2_stream *stream)
{
    struct sl_http *http = stream->conn->base.http;
    uint64_t step = (uint64_t)stream->window;
    if (stream->consumed < step || stream->window >= SL_H2_WINDOW_BYTES_MAX || !may_grow(http, step))
        return;
    stream->consumed = 0;
    if (stream->has_held) { /* a larger window would only be held */
        stream->has_held = false;
        return;
    }
    stream->window *= 2;
    http->h2_growth_bytes += step;
    (void)nghttp2_session_set_local_window_size(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, stream->window);
}

/* n bytes are of no concern any more: the peer may send as many. */
static void give_back(struct sl_h2_stream *stream, size_t n)
{
    if (n == 0)
        return;
    (void)nghttp2_session_consume_stream(stream->conn->session, stream->id, n);
    sl_h2_flush_later(stream->conn);
}

static void took(struct sl_h2_stream *stream, size_t n)
{
    give_back(stream, n);
    sl_h2_budget_earn(&stream->conn->budget, (double)n * SL_H2_EARNED_BY_BODY_BYTE);
    stream->consumed += n;
    if (!stream->is_end_seen)
        grow(stream);
}

/* ---- waiting for the client ---- */

static void on_body_timeout(h2o_timeout_entry_t *entry)
{
    sl_h2_stream_fail(SL_CONTAINER_OF(entry, struct sl_h2_stream, timer), SL_BODY_TIMEOUT);
}

static bool is_held(const struct sl_h2_stream *stream)
{
    return stream->held.bytes > 0;
}

/* Time in which the sink had no room is not held against the client. */
static void wait_if_needed(struct sl_h2_stream *stream)
{
    if (stream->request.sink == NULL || stream->request.is_response_started)
        return; /* the timer is the answer's */
    if (stream->is_end_seen || !stream->is_started || is_held(stream)) {
        sl_h2_stream_set_timer(stream, NULL, NULL);
        return;
    }
    stream->waiting_since_ns = sl_clock_coarse_ns();
    sl_h2_stream_set_timer(stream, &stream->conn->base.http->body_timeout, on_body_timeout);
}

static bool is_too_slow(struct sl_h2_stream *stream)
{
    if (!h2o_timeout_is_linked(&stream->timer))
        return false;
    stream->waited_ns += sl_clock_coarse_ns() - stream->waiting_since_ns;
    return sl_http_is_too_slow(stream->conn->base.http, stream->waited_ns, stream->request.body_received);
}

/* ---- delivering ---- */

/* Gives the sink as much as it takes. */
static size_t feed(struct sl_h2_stream *stream, const char *bytes, size_t len)
{
    struct sl_request *request = &stream->request;
    size_t done = 0;
    while (done < len && request->sink != NULL) {
        struct sl_room room = request->sink->ops->reserve(request->sink);
        if (request->sink == NULL || room.len == 0)
            break;
        size_t n = len - done < room.len ? len - done : room.len;
        if (room.base != bytes + done) /* what was received where it belongs stays there */
            memmove(room.base, bytes + done, n);
        done += n;
        sl_request_took(request, n);
        request->sink->ops->commit(request->sink, n);
    }
    return done;
}

static bool hold(struct sl_h2_stream *stream, const char *bytes, size_t len)
{
    struct sl_http *http = stream->conn->base.http;
    if (http->h2_held_bytes + len > SL_H2_HELD_BYTES_MAX)
        return false;
    sl_h2_held_put(http, &stream->held, bytes, len);
    http->h2_held_bytes += len;
    stream->has_held = true;
    return true;
}

static void let_go(struct sl_h2_stream *stream, size_t n)
{
    sl_h2_held_use(stream->conn->base.http, &stream->held, n);
    stream->conn->base.http->h2_held_bytes -= n;
}

static void finish_if_over(struct sl_h2_stream *stream)
{
    struct sl_request *request = &stream->request;
    if (!stream->is_end_seen || !stream->is_started || stream->is_finished || is_held(stream))
        return;
    stream->is_finished = request->is_body_complete = true;
    if (request->sink != NULL)
        request->sink->ops->finish(request->sink);
}

static void deliver_held(struct sl_h2_stream *stream)
{
    while (is_held(stream)) {
        struct sl_bytes front = sl_h2_held_front(&stream->held);
        size_t n = feed(stream, front.base, front.len);
        let_go(stream, n);
        took(stream, n);
        if (n < front.len)
            break;
    }
    finish_if_over(stream);
    wait_if_needed(stream);
    if (!is_held(stream))
        sl_h2_read_on(stream->conn);
}

static void start(struct sl_request *request)
{
    struct sl_h2_stream *stream = sl_h2_stream_of(request);
    stream->is_started = true;
    if (stream->expects_continue && !stream->is_end_seen && !is_held(stream))
        sl_h2_send_interim(request, 100, NULL, 0);
    deliver_held(stream);
}

static void resume(struct sl_request *request)
{
    struct sl_h2_stream *stream = sl_h2_stream_of(request);
    if (stream->is_started && request->sink != NULL)
        deliver_held(stream);
}

static void cut(struct sl_request *request)
{
    sl_h2_stream_reset(sl_h2_stream_of(request), NGHTTP2_CANCEL);
}

const struct sl_body_ops sl_h2_body_ops = {
    .start = start, .resume = resume, .interim = sl_h2_send_interim, .cut = cut, .hold = sl_h2_hold};

/* ---- what nobody wants ---- */

static void stop_sender(struct sl_h2_stream *stream)
{
    (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    sl_h2_flush_later(stream->conn);
}

static void drop(struct sl_h2_stream *stream, size_t n)
{
    struct sl_http_stats *stats = stream->conn->base.http->stats;
    stream->dropped += n;
    sl_counter_add(&stats->received_bytes, n);
    sl_counter_add(&stats->discarded_bytes, n);
    if (stream->dropped <= SL_LINGER_BYTES_MAX)
        give_back(stream, n);
    else if (stream->is_ended) /* else its window closes, and the answer still arrives */
        stop_sender(stream);
}

static void on_linger_timeout(h2o_timeout_entry_t *entry)
{
    stop_sender(SL_CONTAINER_OF(entry, struct sl_h2_stream, timer));
}

void sl_h2_drop_rest(struct sl_h2_stream *stream)
{
    size_t held = stream->held.bytes;
    let_go(stream, held);
    drop(stream, held);
    sl_h2_read_on(stream->conn);
    sl_h2_stream_set_timer(stream, &stream->conn->base.http->linger_timeout, on_linger_timeout);
}

/* ---- from nghttp2 ---- */

/* A sink that never takes a body (GET) needs none held for it. */
static bool is_wanted(const struct sl_request *request)
{
    return request->sink != NULL && request->sink->ops->reserve != NULL && !request->is_response_started;
}

static void take(struct sl_h2_stream *stream, const char *bytes, size_t len)
{
    if (is_too_slow(stream)) {
        sl_h2_stream_fail(stream, SL_TOO_SLOW);
        drop(stream, len);
        return;
    }
    size_t taken = stream->is_started && !is_held(stream) ? feed(stream, bytes, len) : 0;
    took(stream, taken);
    if (taken < len && stream->request.sink == NULL)
        drop(stream, len - taken);
    else if (taken < len && !hold(stream, bytes + taken, len - taken)) {
        sl_h2_stream_fail(stream, SL_BUSY);
        drop(stream, len - taken);
    }
    wait_if_needed(stream);
}

int sl_h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len, void *user)
{
    struct sl_h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)user;
    (void)nghttp2_session_consume_connection(session, len);
    if (stream == NULL)
        return 0;
    if (is_wanted(&stream->request))
        take(stream, (const char *)bytes, len);
    else
        drop(stream, len);
    return 0;
}

bool sl_h2_body_next(struct sl_h2 *conn, struct sl_room *room_out)
{
    int32_t id = sl_h2_scan_body(&conn->scan);
    struct sl_h2_stream *stream = id == 0 ? NULL : nghttp2_session_get_stream_user_data(conn->session, id);
    *room_out = (struct sl_room){0};
    if (stream == NULL || !stream->is_started || stream->is_end_seen || !is_wanted(&stream->request))
        return true;
    struct sl_request *request = &stream->request;
    if (!is_held(stream))
        *room_out = request->sink->ops->reserve(request->sink);
    if (request->sink == NULL) {
        *room_out = (struct sl_room){0};
        return true;
    }
    if (!request->sink->ops->is_steady && room_out->len > conn->scan.skip)
        room_out->len = conn->scan.skip;
    if (room_out->len > 0 && !h2o_timeout_is_linked(&stream->timer))
        wait_if_needed(stream);
    if (room_out->len > 0 || conn->stream_count > 1)
        return true;
    /* Alone: the peer waits in its socket, and nothing is held. That time is ours, and its window is large enough. */
    sl_h2_stream_set_timer(stream, NULL, NULL);
    stream->has_held = true;
    return false;
}

void sl_h2_body_ended(struct sl_h2_stream *stream)
{
    stream->is_end_seen = true;
    if (stream->is_ended)
        sl_h2_stream_set_timer(stream, NULL, NULL);
    if (stream->err != SL_OK && !stream->request.is_response_started) { /* of the trailers */
        sl_h2_stream_fail(stream, stream->err);
        return;
    }
    finish_if_over(stream);
    wait_if_needed(stream);
}
