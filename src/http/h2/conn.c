/* The life of an HTTP/2 connection (RFC 9113): when it is read, frames from nghttp2 to the transport, one write at a
 * time, and its end. */
#include "h2.h"

#include "sluice/base/log.h"

#include <assert.h>
#include <stdlib.h>

#define FRAME_BYTES_MAX     ((size_t)10 + 16384) /* of ours; nghttp2 makes none larger */
#define MEANWHILE_BYTES_MAX ((size_t)4 << 20)    /* taken in while a write waits for its reader */
#define GIVEN_UP_BYTES_MAX  ((uint64_t)4 << 20)  /* behind the last answer, of who was given up */

static bool flush(struct sl_h2 *conn);
static void on_readable(void *owner);

/* ---- the end ---- */

static void drop_streams(struct sl_h2 *conn, sl_err why)
{
    assert(!conn->is_receiving);
    while (!sl_list_is_empty(&conn->streams))
        sl_h2_stream_destroy(SL_CONTAINER_OF(conn->streams.next, struct sl_h2_stream, link), why);
    h2o_timeout_unlink(&conn->flush_entry);
    h2o_timeout_unlink(&conn->head_timer);
    h2o_timeout_unlink(&conn->idle_timer);
    conn->base.http->h2_queued_frames -= conn->queued;
    conn->queued = 0;
    nghttp2_session_del(conn->session);
    conn->session = NULL;
    free(conn->out);
    conn->out = NULL;
}

static void close_conn(struct sl_h2 *conn, sl_err why)
{
    drop_streams(conn, why);
    sl_connection_destroy(&conn->base);
}

static void on_close_wanted(struct sl_connection *base, sl_err why)
{
    close_conn((struct sl_h2 *)base, why);
}

/* All is said. */
static void end(struct sl_h2 *conn)
{
    if (conn->was_idle) { /* no answer can be lost */
        close_conn(conn, conn->why_close);
        return;
    }
    drop_streams(conn, conn->why_close);
    conn->phase = SL_H2_ENDING;
    sl_connection_linger(&conn->base, conn->why_close == SL_OK ? SL_LINGER_BYTES_MAX : GIVEN_UP_BYTES_MAX);
}

/* ---- timers: each stream has its own; these are for when there is none, or nothing is read ---- */

static void set_timer(struct sl_h2 *conn);

/* Who was told to go does not, or what we write is not read. */
static void on_stuck(h2o_timeout_entry_t *entry)
{
    struct sl_h2 *conn = SL_CONTAINER_OF(entry, struct sl_h2, base.timer);
    if (conn->is_writing && conn->why_close == SL_OK && sl_transport_has_moved(conn->base.transport)) {
        set_timer(conn);
        return;
    }
    sl_transport_reset_on_close(conn->base.transport);
    close_conn(conn, SL_CLIENT_GONE);
}

static void go(struct sl_h2 *conn);

/* It has had the time of a round trip, even if it does not answer a PING. */
static void on_noticed(h2o_timeout_entry_t *entry)
{
    go(SL_CONTAINER_OF(entry, struct sl_h2, base.timer));
}

static void set_timer(struct sl_h2 *conn)
{
    struct sl_http *http = conn->base.http;
    if (conn->is_writing)
        sl_connection_set_timer(&conn->base, conn->why_close == SL_OK ? &http->write_timeout : &http->linger_timeout,
                                on_stuck);
    else if (conn->phase == SL_H2_NOTICED && conn->stream_count == 0)
        sl_connection_set_timer(&conn->base, &http->notice_timeout, on_noticed);
    else if (conn->phase == SL_H2_GOING && conn->stream_count == 0)
        sl_connection_set_timer(&conn->base, &http->linger_timeout, on_stuck);
    else
        sl_connection_set_timer(&conn->base, NULL, NULL);
}

void sl_h2_give_up(struct sl_h2 *conn, uint32_t code, sl_err why)
{
    if (conn->why_close != SL_OK)
        return;
    conn->why_close = why;
    sl_err_count(why);
    sl_log(SL_LOG_INFO, "an HTTP/2 connection of %s is given up: %s", sl_transport_peer_text(conn->base.transport),
           sl_err_row(why)->code);
    (void)nghttp2_session_terminate_session(conn->session, code);
    sl_transport_read_stop(conn->base.transport);
    if (conn->is_writing)
        set_timer(conn);
    sl_h2_flush_later(conn);
}

static void go(struct sl_h2 *conn)
{
    conn->phase = SL_H2_GOING;
    (void)nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(conn->session), NGHTTP2_NO_ERROR, NULL, 0);
    sl_h2_flush_later(conn);
}

static void on_idle(h2o_timeout_entry_t *entry)
{
    struct sl_h2 *conn = SL_CONTAINER_OF(entry, struct sl_h2, idle_timer);
    if (conn->phase != SL_H2_OPEN)
        return;
    conn->was_idle = true;
    go(conn);
}

void sl_h2_set_idle(struct sl_h2 *conn, bool is_idle)
{
    h2o_timeout_unlink(&conn->idle_timer);
    conn->idle_timer.cb = on_idle;
    if (is_idle)
        h2o_timeout_link(conn->base.http->context.loop, &conn->base.http->keep_alive_timeout, &conn->idle_timer);
}

/* A head that does not end, or nothing at all. Nothing else can come before its end. Of one that it ignores nghttp2
 * does not tell the end. */
static void on_head_timeout(h2o_timeout_entry_t *entry)
{
    struct sl_h2 *conn = SL_CONTAINER_OF(entry, struct sl_h2, head_timer);
    if (conn->scan.is_in_head || !conn->scan.has_begun)
        sl_h2_give_up(conn, NGHTTP2_NO_ERROR, SL_HEAD_TIMEOUT);
}

static void expect_head(struct sl_h2 *conn)
{
    conn->head_timer.cb = on_head_timeout;
    h2o_timeout_link(conn->base.http->context.loop, &conn->base.http->head_timeout, &conn->head_timer);
}

/* ---- out ---- */

static void on_written(void *owner, sl_err err)
{
    struct sl_h2 *conn = owner;
    conn->is_writing = false;
    conn->out_len = conn->read_meanwhile = 0;
    if (err != SL_OK) {
        close_conn(conn, err);
        return;
    }
    sl_h2_read_on(conn);
    (void)flush(conn);
}

static void gather(struct sl_h2 *conn)
{
    const uint8_t *bytes;
    ssize_t n;
    while (conn->out_len < SL_H2_GATHER_BYTES && (n = nghttp2_session_mem_send(conn->session, &bytes)) > 0) {
        if (conn->out_len + (size_t)n > conn->out_room) {
            size_t wanted = conn->out_len + (size_t)n;
            conn->out_room = wanted < SL_H2_GATHER_BYTES / 2 ? 2 * wanted : SL_H2_GATHER_BYTES + FRAME_BYTES_MAX;
            if (conn->out_room < wanted)
                conn->out_room = wanted;
            conn->out = realloc(conn->out, conn->out_room);
            if (conn->out == NULL)
                abort();
        }
        memcpy(conn->out + conn->out_len, bytes, (size_t)n);
        conn->out_len += (size_t)n;
    }
}

/* Generators are asked for more only here, never from inside nghttp2. */
static bool ask_for_more(struct sl_h2 *conn)
{
    bool has_asked = false;
    for (struct sl_link *link; (link = sl_list_shift(&conn->proceeding)) != NULL; has_asked = true)
        h2o_proceed_response(&SL_CONTAINER_OF(link, struct sl_h2_stream, proceed_link)->request.h2o);
    return has_asked;
}

/* Also when nghttp2 has said a GOAWAY of its own: no answer goes on then, though it would. */
static bool is_over(const struct sl_h2 *conn)
{
    return !nghttp2_session_want_read(conn->session) && !nghttp2_session_want_write(conn->session);
}

bool sl_h2_count_queue(struct sl_h2 *conn)
{
    struct sl_http *http = conn->base.http;
    size_t queued = nghttp2_session_get_outbound_queue_size(conn->session);
    http->h2_queued_frames = http->h2_queued_frames - conn->queued + queued;
    conn->queued = queued;
    return queued > SL_H2_QUEUE_MAX || (queued > SL_H2_QUEUE_FREE && http->h2_queued_frames > SL_H2_QUEUES_MAX);
}

/* false: the connection is gone, or about to. */
static bool flush(struct sl_h2 *conn)
{
    if (conn->is_writing || conn->is_receiving)
        return true;
    if (!is_over(conn)) {
        do
            gather(conn);
        while (conn->out_len < SL_H2_GATHER_BYTES && ask_for_more(conn));
    }
    (void)sl_h2_count_queue(conn); /* what is too many by our own answers is not the peer's doing */
    if (conn->out_len > 0) {
        h2o_iovec_t piece = {conn->out, conn->out_len};
        conn->is_writing = true;
        sl_transport_write(conn->base.transport, &piece, 1, on_written);
    } else if (is_over(conn) || conn->why_close != SL_OK) {
        end(conn);
        return false;
    } else if (conn->out_room > 0) { /* idle connections hold no buffer */
        free(conn->out);
        conn->out = NULL;
        conn->out_room = 0;
    }
    set_timer(conn);
    return true;
}

static void on_flush(h2o_timeout_entry_t *entry)
{
    struct sl_h2 *conn = SL_CONTAINER_OF(entry, struct sl_h2, flush_entry);
    if (!conn->is_stuffed || !conn->is_writing) {
        (void)flush(conn);
        return;
    }
    /* It asks for answers and reads none: a GOAWAY would wait behind them, and they would go on to be held. */
    sl_transport_reset_on_close(conn->base.transport);
    close_conn(conn, conn->why_close);
}

void sl_h2_flush_later(struct sl_h2 *conn)
{
    if (!h2o_timeout_is_linked(&conn->flush_entry))
        h2o_timeout_link(conn->base.http->context.loop, &conn->base.http->context.zero_timeout, &conn->flush_entry);
}

/* ---- in ---- */

static void on_readable(void *owner)
{
    struct sl_h2 *conn = owner;
    bool may_read = true;
    for (size_t used, budget = SL_READ_BUDGET_BYTES; budget > 0 && conn->why_close == SL_OK;) {
        struct sl_room room;
        may_read = sl_h2_body_next(conn, &room);
        if (!may_read)
            break;
        switch (sl_h2_receive(conn, room, &used)) {
        case SL_READ_BYTES: budget -= used < budget ? used : budget; break;
        case SL_READ_LATER: budget = 0; break;
        case SL_READ_END:
        case SL_READ_BROKEN: close_conn(conn, SL_CLIENT_GONE); return;
        }
    }
    if (!may_read || conn->read_meanwhile > MEANWHILE_BYTES_MAX) /* it may speak again when it has read */
        sl_transport_read_stop(conn->base.transport);
    (void)flush(conn);
}

void sl_h2_read_on(struct sl_h2 *conn)
{
    if (conn->why_close == SL_OK && conn->phase != SL_H2_ENDING && conn->read_meanwhile <= MEANWHILE_BYTES_MAX)
        sl_transport_read_start(conn->base.transport, on_readable);
}

/* Frames that nghttp2 is about to look into. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user)
{
    struct sl_h2 *conn = user;
    (void)session;
    if (head->type == NGHTTP2_CONTINUATION)
        return 0;
    h2o_timeout_unlink(&conn->head_timer);
    if (head->type == NGHTTP2_HEADERS) /* once, however it is dripped */
        expect_head(conn);
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct sl_h2 *conn = user;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2o_timeout_unlink(&conn->head_timer);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) && conn->phase == SL_H2_NOTICED)
        go(conn); /* what it sent before it knew has come */
    return sl_h2_on_frame_recv(session, frame, user);
}

/* HEADERS are over also when they are wrong. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    struct sl_h2 *conn = user;
    (void)session;
    (void)code;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2o_timeout_unlink(&conn->head_timer);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct sl_h2 *conn = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM && !sl_h2_budget_reset(&conn->budget, frame->rst_stream.error_code))
        sl_h2_give_up(conn, NGHTTP2_ENHANCE_YOUR_CALM, SL_FLOOD);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        sl_h2_give_up(conn, frame->goaway.error_code, SL_BAD_FRAMING);         /* nghttp2's own; now counted */
    else if (frame->hd.type == NGHTTP2_GOAWAY && conn->phase == SL_H2_NOTICED) /* not sooner: it would overtake */
        (void)nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, NULL);
    return sl_h2_on_frame_send(session, frame, user);
}

/* ---- the beginning ---- */

/* RFC 9113 section 6.8: a notice first, and the last word when what is under way has come. */
static void on_drain(struct sl_connection *base)
{
    struct sl_h2 *conn = (struct sl_h2 *)base;
    if (conn->phase != SL_H2_OPEN || conn->why_close != SL_OK)
        return;
    conn->phase = SL_H2_NOTICED;
    conn->was_idle = conn->stream_count == 0;
    (void)nghttp2_submit_shutdown_notice(conn->session);
    (void)flush(conn);
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, sl_h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, sl_h2_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, sl_h2_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, sl_h2_on_stream_close);
    return callbacks;
}

static nghttp2_session *create_session(struct sl_h2 *conn)
{
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option;
    nghttp2_session *session;
    if (nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_option_set_no_auto_window_update(option, 1); /* what was not taken is not given back */
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 64 << 10);
    if (nghttp2_session_server_new2(&session, callbacks, conn, option) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

void sl_h2_begin(struct sl_http *http, struct sl_transport *transport, struct sl_bytes bytes)
{
    static const struct sl_connection_ops ops = {.drain = on_drain, .close = on_close_wanted};
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, SL_H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, SL_H2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, SL_H2_HEAD_BYTES_MAX},
    };
    struct sl_h2 *conn = (struct sl_h2 *)sl_connection_create(sizeof *conn, http, transport, &ops);
    sl_list_init(&conn->streams);
    sl_list_init(&conn->proceeding);
    conn->flush_entry.cb = on_flush;
    conn->scan.skip = SL_H2_PREFACE_BYTES;
    sl_h2_budget_init(&conn->budget);
    conn->session = create_session(conn);
    if (nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof settings[0]) !=
            0 ||
        nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, INT32_MAX) != 0)
        abort();
    sl_transport_read_start(transport, on_readable);
    sl_h2_set_idle(conn, true);
    expect_head(conn); /* or at least a first frame */
    if (bytes.len > 0)
        (void)sl_h2_take_in(conn, bytes.base, bytes.len);
    if (http->is_draining)
        on_drain(&conn->base);
    else
        (void)flush(conn);
}
