/* Answers of HTTP/2 requests: the last of h2o's output streams, read by nghttp2 as the peer's windows allow. */
#include "h2.h"

#include <assert.h>
#include <stdio.h>

#define PROGRESS_BYTES 4096 /* a reader that takes less in a write timeout is given up */

bool sl_h2_hold(struct sl_request *request, size_t bytes)
{
    struct sl_http *http = request->http;
    http->h2_answer_bytes += bytes;
    sl_h2_stream_of(request)->answer_bytes += bytes;
    return http->h2_answer_bytes <= SL_H2_ANSWERS_BYTES_MAX;
}

/* ---- pieces ---- */

static void on_write_timeout(h2o_timeout_entry_t *entry)
{
    struct sl_h2_stream *stream = SL_CONTAINER_OF(entry, struct sl_h2_stream, timer);
    stream->request.err = SL_CLIENT_GONE;
    sl_h2_stream_reset(stream, NGHTTP2_CANCEL);
}

/* A peer that opens no window is given up, as one that does not read is (RFC 9113 section 10.5). */
static void expect_progress(struct sl_h2_stream *stream)
{
    stream->unproven = 0;
    sl_h2_stream_set_timer(stream, &stream->conn->base.http->write_timeout, on_write_timeout);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct sl_h2_stream *stream = source->ptr;
    size_t n = 0;
    (void)session;
    (void)id;
    (void)user;
    while (n < room && stream->piece_at < stream->piece_count) {
        h2o_iovec_t *piece = &stream->pieces[stream->piece_at];
        size_t part = room - n < piece->len ? room - n : piece->len;
        memcpy(into + n, piece->base, part);
        n += part;
        piece->base += part;
        piece->len -= part;
        stream->piece_at += piece->len == 0;
    }
    stream->request.h2o.bytes_sent += n;
    sl_counter_add(&stream->conn->base.http->stats->sent_bytes, n);
    sl_h2_budget_earn(&stream->conn->budget, (double)n * SL_H2_EARNED_BY_BYTE_SENT);
    stream->unproven += n;
    if (stream->unproven >= PROGRESS_BYTES)
        expect_progress(stream);
    if (stream->piece_at < stream->piece_count)
        return (ssize_t)n;
    switch (stream->state) {
    case H2O_SEND_STATE_FINAL: *flags |= NGHTTP2_DATA_FLAG_EOF; return (ssize_t)n;
    case H2O_SEND_STATE_ERROR: return n > 0 ? (ssize_t)n : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    case H2O_SEND_STATE_IN_PROGRESS: break;
    }
    sl_h2_stream_set_timer(stream, NULL, NULL); /* now it waits for us */
    if (!stream->is_asked) /* once a piece: nghttp2 may come again before the next one is there */
        sl_list_append(&stream->conn->proceeding, &stream->proceed_link);
    stream->is_asked = true;
    return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

/* ---- the head ---- */

static nghttp2_nv field(const char *name, size_t name_len, const char *value, size_t value_len)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, name_len, value_len, NGHTTP2_NV_FLAG_NONE};
}

#define FIELD(name, value, len) field(name, sizeof(name) - 1, value, len)

static void submit_head(struct sl_h2_stream *stream, bool has_body)
{
    h2o_req_t *h2o = &stream->request.h2o;
    nghttp2_nv *fields = h2o_mem_alloc_pool(&h2o->pool, sizeof *fields * (h2o->res.headers.size + 4));
    char status[12], length[24];
    size_t count = 0;
    h2o_timestamp_t now;
    h2o_get_timestamp(h2o->conn->ctx, &h2o->pool, &now);
    fields[count++] = FIELD(":status", status, (size_t)snprintf(status, sizeof status, "%d", h2o->res.status));
    fields[count++] = FIELD("date", now.str->rfc1123, H2O_TIMESTR_RFC1123_LEN);
    fields[count++] = FIELD("server", "sluice", 6);
    if (h2o->res.content_length != SIZE_MAX)
        fields[count++] =
            FIELD("content-length", length, (size_t)snprintf(length, sizeof length, "%zu", h2o->res.content_length));
    for (size_t i = 0; i < h2o->res.headers.size; i++) {
        const h2o_header_t *header = &h2o->res.headers.entries[i];
        fields[count++] = field(header->name->base, header->name->len, header->value.base, header->value.len);
    }
    nghttp2_data_provider provider = {{.ptr = stream}, on_read};
    if (nghttp2_submit_response(stream->conn->session, stream->id, fields, count, has_body ? &provider : NULL) != 0)
        (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR);
}

static void take_pieces(struct sl_h2_stream *stream, const h2o_iovec_t *pieces, size_t count, h2o_send_state_t state)
{
    assert(stream->piece_at == stream->piece_count);
    if (count > stream->piece_room) {
        stream->pieces = h2o_mem_alloc_pool(&stream->request.h2o.pool, sizeof *pieces * count);
        stream->piece_room = count;
    }
    stream->piece_at = stream->piece_count = 0;
    for (size_t i = 0; i < count; i++)
        if (pieces[i].len > 0)
            stream->pieces[stream->piece_count++] = pieces[i];
    stream->state = state;
    stream->is_asked = false;
}

static void on_send(h2o_ostream_t *self, h2o_req_t *h2o, h2o_iovec_t *pieces, size_t count, h2o_send_state_t state)
{
    struct sl_h2_stream *stream = SL_CONTAINER_OF(self, struct sl_h2_stream, final);
    (void)h2o;
    take_pieces(stream, pieces, stream->request.is_head ? 0 : count, state);
    if (!stream->is_head_sent) {
        stream->is_head_sent = true;
        stream->request.is_response_started = true;
        bool is_empty = stream->piece_count == 0 && state == H2O_SEND_STATE_FINAL;
        submit_head(stream, !is_empty && !stream->request.is_head);
    } else {
        (void)nghttp2_session_resume_data(stream->conn->session, stream->id);
    }
    expect_progress(stream);
    sl_h2_flush_later(stream->conn);
    sl_h2_read_on(stream->conn); /* windows for it may lie behind a body that nobody wants now */
}

void sl_h2_init_answer(struct sl_h2_stream *stream)
{
    stream->final = (h2o_ostream_t){.do_send = on_send};
    stream->request.h2o._ostr_top = &stream->final;
}

int sl_h2_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    bool can_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!can_end || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct sl_h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    stream->is_ended = true;
    sl_request_sent(&stream->request);
    sl_h2_stream_set_timer(stream, NULL, NULL);
    if (!stream->is_end_seen) /* no reset yet: curl 7.88 would forget the answer */
        sl_h2_drop_rest(stream);
    return 0;
}

/* ---- interim responses ---- */

void sl_h2_send_interim(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count)
{
    struct sl_h2_stream *stream = sl_h2_stream_of(request);
    nghttp2_nv *all = h2o_mem_alloc_pool(&request->h2o.pool, sizeof *all * (count + 1));
    char text[12];
    all[0] = FIELD(":status", text, (size_t)snprintf(text, sizeof text, "%d", status));
    for (size_t i = 0; i < count; i++)
        all[i + 1] = field(fields[i].name.base, fields[i].name.len, fields[i].value.base, fields[i].value.len);
    (void)nghttp2_submit_headers(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NULL, all, count + 1, NULL);
    sl_h2_flush_later(stream->conn);
}
