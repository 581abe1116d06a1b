/* The body of an HTTP/1.1 request: from the socket straight into the sink's memory, no byte more than is asked for, and
 * chunked coding decoded in place. */
#include "h1.h"

#include "sluice/base/clock.h"

#include <assert.h>

static void on_body_readable(void *owner);

/* ---- waiting ---- */

static void on_body_timeout(h2o_timeout_entry_t *entry)
{
    sl_h1_fail(SL_CONTAINER_OF(entry, struct sl_h1, base.timer), SL_BODY_TIMEOUT);
}

static void wait_for_client(struct sl_h1 *conn)
{
    conn->waiting_since_ns = sl_clock_coarse_ns();
    sl_connection_set_timer(&conn->base, &conn->base.http->body_timeout, on_body_timeout);
    sl_transport_read_start(conn->base.transport, on_body_readable);
}

static void pause_client(struct sl_h1 *conn)
{
    conn->is_paused = true;
    sl_connection_set_timer(&conn->base, NULL, NULL);
    sl_transport_read_stop(conn->base.transport);
}

/* Time in which we did not read, because the disk was busy, is not held against the client. */
static bool is_too_slow(struct sl_h1 *conn)
{
    conn->waited_ns += sl_clock_coarse_ns() - conn->waiting_since_ns;
    return sl_http_is_too_slow(conn->base.http, conn->waited_ns, conn->request.body_received);
}

/* ---- delivering ---- */

/* n bytes were put at room.base. Hands the data among them to the sink. */
static sl_err deliver_plain(struct sl_h1 *conn, size_t n)
{
    assert(n <= conn->left);
    conn->left -= n;
    conn->request.is_body_complete = conn->left == 0;
    sl_request_took(&conn->request, n);
    conn->request.sink->ops->commit(conn->request.sink, n);
    return SL_OK;
}

/* The same for chunks. *unused_out: how many of the n bytes lie behind the end of the body. */
static sl_err deliver_chunked(struct sl_h1 *conn, char *base, size_t n, bool is_from_spare, size_t *unused_out)
{
    size_t data, used;
    bool is_done;
    sl_err err = sl_chunked_decode(&conn->chunked, base, n, &data, &used, &is_done);
    if (err != SL_OK)
        return err;
    *unused_out = n - used;
    if (!is_from_spare && *unused_out > 0) /* before commit, which may move what lies in the buffer */
        sl_h1_keep_spare(conn, base + used, *unused_out);
    conn->request.is_body_complete = is_done;
    sl_request_took(&conn->request, data);
    if (data > 0)
        conn->request.sink->ops->commit(conn->request.sink, data);
    return SL_OK;
}

static sl_err deliver_spare(struct sl_h1 *conn, struct sl_room room)
{
    size_t n = conn->spare_len < room.len ? conn->spare_len : room.len, unused = 0;
    memcpy(room.base, conn->spare, n);
    if (!conn->is_chunked) {
        sl_h1_use_spare(conn, n);
        return deliver_plain(conn, n);
    }
    sl_err err = deliver_chunked(conn, room.base, n, true, &unused);
    if (err == SL_OK)
        sl_h1_use_spare(conn, n - unused);
    return err;
}

/* SL_AGAIN: nothing to read now. */
static sl_err deliver_socket(struct sl_h1 *conn, struct sl_room room, size_t *budget)
{
    size_t n, unused;
    switch (sl_transport_read(conn->base.transport, room.base, room.len, &n)) {
    case SL_READ_LATER: return SL_AGAIN;
    case SL_READ_END: conn->has_peer_ended = true; return SL_INCOMPLETE;
    case SL_READ_BROKEN: return SL_CLIENT_GONE;
    case SL_READ_BYTES: break;
    }
    *budget -= n < *budget ? n : *budget;
    return conn->is_chunked ? deliver_chunked(conn, room.base, n, false, &unused) : deliver_plain(conn, n);
}

static void body_is_over(struct sl_h1 *conn)
{
    sl_connection_set_timer(&conn->base, NULL, NULL);
    sl_transport_read_stop(conn->base.transport);
    struct sl_sink *sink = conn->request.sink;
    if (sink != NULL)
        sink->ops->finish(sink);
}

static void body_is_broken(struct sl_h1 *conn, sl_err err)
{
    if (err == SL_CLIENT_GONE)
        sl_h1_close(conn, err);
    else
        sl_h1_fail(conn, err);
}

static void pump(struct sl_h1 *conn)
{
    struct sl_request *request = &conn->request;
    size_t budget = SL_READ_BUDGET_BYTES;
    sl_err err = SL_OK;
    conn->is_paused = false;
    while (!request->is_body_complete && request->sink != NULL && budget > 0) {
        struct sl_room room = request->sink->ops->reserve(request->sink);
        if (request->sink == NULL)
            break;
        if (room.len == 0) {
            pause_client(conn);
            return;
        }
        if (!conn->is_chunked && room.len > conn->left)
            room.len = conn->left;
        err = conn->spare_len > 0 ? deliver_spare(conn, room) : deliver_socket(conn, room, &budget);
        if (err != SL_OK)
            break;
    }
    if (err != SL_OK && err != SL_AGAIN)
        body_is_broken(conn, err);
    else if (request->sink == NULL)
        return; /* an answer has begun; timer and reading are its business now */
    else if (request->is_body_complete)
        body_is_over(conn);
    else
        wait_for_client(conn);
}

static void on_body_readable(void *owner)
{
    struct sl_h1 *conn = owner;
    if (is_too_slow(conn))
        sl_h1_fail(conn, SL_TOO_SLOW);
    else
        pump(conn);
}

static void start(struct sl_request *request)
{
    struct sl_h1 *conn = (struct sl_h1 *)request->h2o.conn;
    if (request->is_body_complete) {
        body_is_over(conn);
        return;
    }
    if (request->trailers.base != NULL)
        conn->chunked.trailers = &request->trailers;
    if (conn->expects_continue && conn->spare_len == 0)
        sl_h1_send_interim(request, 100, NULL, 0);
    conn->expects_continue = false;
    pump(conn);
}

static void resume(struct sl_request *request)
{
    struct sl_h1 *conn = (struct sl_h1 *)request->h2o.conn;
    if (conn->is_paused && request->sink != NULL)
        pump(conn);
}

static void cut(struct sl_request *request)
{
    struct sl_h1 *conn = (struct sl_h1 *)request->h2o.conn;
    sl_transport_reset_on_close(conn->base.transport); /* what it did not read need not wait in the kernel */
    sl_h1_close(conn, SL_CLIENT_GONE);
}

const struct sl_body_ops sl_h1_body_ops = {
    .start = start, .resume = resume, .interim = sl_h1_send_interim, .cut = cut};

/* ---- dropping what nobody wants ---- */

static void on_drain_timeout(h2o_timeout_entry_t *entry)
{
    sl_h1_close(SL_CONTAINER_OF(entry, struct sl_h1, base.timer), SL_OK);
}

static void on_drain_readable(void *owner)
{
    struct sl_h1 *conn = owner;
    size_t n = 0;
    enum sl_read read = SL_READ_BYTES;
    while (conn->left > 0 && (read = sl_transport_discard(conn->base.transport, conn->left, &n)) == SL_READ_BYTES) {
        conn->left -= n;
        sl_request_dropped(&conn->request, n);
    }
    if (conn->left == 0) {
        sl_transport_read_stop(conn->base.transport);
        conn->request.is_body_complete = true;
        sl_h1_after_answer(conn);
    } else if (read != SL_READ_LATER) {
        sl_h1_close(conn, SL_CLIENT_GONE);
    }
}

void sl_h1_drain_body(struct sl_h1 *conn)
{
    conn->phase = SL_H1_DRAIN;
    size_t n = conn->spare_len < conn->left ? conn->spare_len : conn->left;
    if (n > 0)
        sl_h1_use_spare(conn, n);
    conn->left -= n;
    sl_request_dropped(&conn->request, n);
    sl_connection_set_timer(&conn->base, &conn->base.http->linger_timeout, on_drain_timeout);
    sl_transport_read_start(conn->base.transport, on_drain_readable);
    if (conn->left == 0)
        on_drain_readable(conn);
}

void sl_h1_linger(struct sl_h1 *conn)
{
    conn->phase = SL_H1_LINGER;
    sl_connection_linger(&conn->base, SL_LINGER_BYTES_MAX);
}
