/* The answer of an HTTP/1.1 request: the last of h2o's output streams. One write at a time; h2o hands over the next
 * piece when the last one is out. */
#include "h1.h"

#include <assert.h>

#define PROOF_BYTES ((uint64_t)256 << 10)
#define LONG_BYTES  ((uint64_t)32 << 10) /* less is in the kernel at once, or nobody reads */

/* A long piece is longer for a slow reader: who took some of it has its time once more. */
static void on_write_timeout(h2o_timeout_entry_t *entry)
{
    struct sl_h1 *conn = SL_CONTAINER_OF(entry, struct sl_h1, base.timer);
    if (sl_transport_has_moved(conn->base.transport)) {
        sl_connection_set_timer(&conn->base, &conn->base.http->write_timeout, on_write_timeout);
        return;
    }
    sl_transport_reset_on_close(conn->base.transport); /* what it did not read need not wait in the kernel */
    sl_h1_close(conn, SL_CLIENT_GONE);
}

/* ---- the head ---- */

static size_t head_room(const h2o_req_t *h2o)
{
    size_t bytes = 256 + strlen(h2o->res.reason);
    for (size_t i = 0; i < h2o->res.headers.size; i++)
        bytes += h2o->res.headers.entries[i].name->len + h2o->res.headers.entries[i].value.len + 4;
    return bytes;
}

static h2o_iovec_t make_head(struct sl_h1 *conn)
{
    h2o_req_t *h2o = &conn->request.h2o;
    h2o_timestamp_t now;
    h2o_get_timestamp(h2o->conn->ctx, &h2o->pool, &now);
    size_t room = head_room(h2o);
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&h2o->pool, room), room);
    sl_text_printf(&text, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: sluice\r\n", h2o->res.status, h2o->res.reason,
                   now.str->rfc1123);
    if (!h2o->http1_is_persistent)
        sl_text_put(&text, SL_BYTES("Connection: close\r\n"));
    else if (h2o->version == 0x100)
        sl_text_put(&text, SL_BYTES("Connection: keep-alive\r\n"));
    if (h2o->res.content_length != SIZE_MAX)
        sl_text_printf(&text, "Content-Length: %zu\r\n", h2o->res.content_length);
    for (size_t i = 0; i < h2o->res.headers.size; i++) {
        const h2o_header_t *header = &h2o->res.headers.entries[i];
        sl_text_put(&text, (struct sl_bytes){header->name->base, header->name->len});
        sl_text_put(&text, SL_BYTES(": "));
        sl_text_put(&text, (struct sl_bytes){header->value.base, header->value.len});
        sl_text_put(&text, SL_BYTES("\r\n"));
    }
    sl_text_put(&text, SL_BYTES("\r\n"));
    assert(!text.full);
    return h2o_iovec_init(text.base, text.len);
}

static bool has_unknown_length(const struct sl_h1 *conn)
{
    const h2o_res_t *res = &conn->request.h2o.res;
    bool has_body = !conn->request.is_head && res->status != 204 && res->status != 304;
    return has_body && res->content_length == SIZE_MAX;
}

/* Can the connection be kept, also where the answer comes before the body was read? */
static void decide_persistence(struct sl_h1 *conn)
{
    if (!conn->request.is_body_complete && !sl_h1_can_drain(conn))
        conn->request.h2o.http1_is_persistent = 0;
    if (conn->base.http->is_draining || conn->has_peer_ended)
        conn->request.h2o.http1_is_persistent = 0;
    /* HTTP/1.0 knows no chunks: a body of unknown length ends with the connection (RFC 9112 section 6.3). */
    if (has_unknown_length(conn) && conn->request.h2o.version < 0x101)
        conn->request.h2o.http1_is_persistent = 0;
}

/* ---- writing ---- */

static void on_room(void *owner, sl_err err)
{
    struct sl_h1 *conn = owner;
    sl_connection_set_timer(&conn->base, NULL, NULL);
    if (err != SL_OK)
        sl_h1_close(conn, err);
    else
        h2o_proceed_response(&conn->request.h2o);
}

/* So much somebody has taken: our kernel alone would not. */
static void see_if_it_reads(struct sl_h1 *conn)
{
    if (conn->is_read || conn->counted_bytes < PROOF_BYTES)
        return;
    conn->is_read = true;
    sl_transport_widen(conn->base.transport);
}

/* More is asked for when the kernel would take it: who does not read holds nothing of ours meanwhile. */
static void on_more_written(void *owner, sl_err err)
{
    struct sl_h1 *conn = owner;
    sl_request_sent(&conn->request);
    see_if_it_reads(conn);
    if (err != SL_OK || sl_transport_has_room(conn->base.transport)) {
        on_room(conn, err);
        return;
    }
    sl_connection_set_timer(&conn->base, &conn->base.http->write_timeout, on_write_timeout);
    sl_transport_await_room(conn->base.transport, on_room);
}

static void on_last_written(void *owner, sl_err err)
{
    struct sl_h1 *conn = owner;
    sl_connection_set_timer(&conn->base, NULL, NULL);
    sl_request_sent(&conn->request);
    if (conn->is_broken_off) /* an ordinary end could pass for the end of the answer */
        sl_transport_reset_on_close(conn->base.transport);
    if (err != SL_OK || conn->is_broken_off)
        sl_h1_close(conn, err);
    else
        sl_h1_after_answer(conn);
}

static void write_pieces(struct sl_h1 *conn, const h2o_iovec_t *pieces, size_t count, h2o_send_state_t state)
{
    bool is_last = state != H2O_SEND_STATE_IN_PROGRESS;
    sl_transport_write(conn->base.transport, pieces, count, is_last ? on_last_written : on_more_written);
}

/* Taken once, not for each piece of a long answer. */
static h2o_iovec_t *room_for_pieces(struct sl_h1 *conn, size_t count)
{
    if (count > conn->piece_room) {
        conn->piece_room = count > SL_H1_PIECES ? count : SL_H1_PIECES;
        conn->pieces = h2o_mem_alloc_pool(&conn->request.h2o.pool, sizeof *conn->pieces * conn->piece_room);
    }
    return conn->pieces;
}

static void on_send(h2o_ostream_t *self, h2o_req_t *h2o, h2o_iovec_t *bufs, size_t count, h2o_send_state_t state)
{
    struct sl_h1 *conn = (struct sl_h1 *)h2o->conn;
    h2o_iovec_t *pieces = room_for_pieces(conn, count + 1);
    size_t used = 0;
    (void)self;
    conn->is_broken_off = state == H2O_SEND_STATE_ERROR;
    if (!conn->is_head_sent) {
        conn->is_head_sent = true;
        conn->request.is_response_started = true;
        conn->phase = SL_H1_ANSWER;
        sl_transport_read_stop(conn->base.transport);
        decide_persistence(conn);
        pieces[used++] = make_head(conn);
    }
    for (size_t i = 0; i < count; i++)
        if (bufs[i].len > 0 && !conn->request.is_head) {
            if (!h2o->bytes_counted_by_ostream) /* the filter that makes chunks counts what lies in them */
                h2o->bytes_sent += bufs[i].len;
            pieces[used++] = bufs[i];
        }
    uint64_t more = h2o->bytes_sent - conn->counted_bytes;
    sl_counter_add(&conn->base.http->stats->sent_bytes, more);
    conn->counted_bytes = h2o->bytes_sent;
    if (more >= LONG_BYTES)
        (void)sl_transport_has_moved(conn->base.transport); /* from now on */
    if (used == 0) /* a last call without bytes: the write is still what ends the answer in a later turn */
        pieces[used++] = h2o_iovec_init(H2O_STRLIT(""));
    sl_connection_set_timer(&conn->base, &conn->base.http->write_timeout, on_write_timeout);
    if (conn->is_interim_inflight) {
        conn->held.pieces = pieces;
        conn->held.count = used;
        conn->held.state = state;
        conn->held.is_set = true;
        return;
    }
    write_pieces(conn, pieces, used, state);
}

void sl_h1_init_answer(struct sl_h1 *conn)
{
    conn->final = (h2o_ostream_t){.do_send = on_send};
    conn->request.h2o._ostr_top = &conn->final;
    conn->is_head_sent = conn->is_broken_off = false;
    conn->piece_room = 0;
    conn->counted_bytes = 0;
    conn->held.is_set = false;
    conn->interim = h2o_iovec_init(NULL, 0);
}

/* ---- interim responses ---- */

static void write_interim(struct sl_h1 *conn, h2o_iovec_t text);

static void on_interim_written(void *owner, sl_err err)
{
    struct sl_h1 *conn = owner;
    h2o_iovec_t more = conn->interim;
    conn->is_interim_inflight = false;
    conn->interim = h2o_iovec_init(NULL, 0);
    if (err != SL_OK) {
        sl_h1_close(conn, err);
    } else if (more.len > 0) {
        write_interim(conn, more);
    } else if (conn->held.is_set) {
        conn->held.is_set = false;
        write_pieces(conn, conn->held.pieces, conn->held.count, conn->held.state);
    }
}

static void write_interim(struct sl_h1 *conn, h2o_iovec_t text)
{
    conn->is_interim_inflight = true;
    sl_transport_write(conn->base.transport, &text, 1, on_interim_written);
}

void sl_h1_send_interim(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count)
{
    struct sl_h1 *conn = (struct sl_h1 *)request->h2o.conn;
    size_t room = 64 + conn->interim.len;
    for (size_t i = 0; i < count; i++)
        room += fields[i].name.len + fields[i].value.len + 4;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&text, (struct sl_bytes){conn->interim.base, conn->interim.len});
    sl_text_printf(&text, "HTTP/1.1 %d %s\r\n", status, status == 100 ? "Continue" : "Upload Resumption Supported");
    for (size_t i = 0; i < count; i++) {
        sl_text_put(&text, fields[i].name);
        sl_text_put(&text, SL_BYTES(": "));
        sl_text_put(&text, fields[i].value);
        sl_text_put(&text, SL_BYTES("\r\n"));
    }
    sl_text_put(&text, SL_BYTES("\r\n"));
    assert(!text.full);
    if (conn->is_interim_inflight)
        conn->interim = h2o_iovec_init(text.base, text.len); /* one write at a time: it follows */
    else
        write_interim(conn, h2o_iovec_init(text.base, text.len));
}
