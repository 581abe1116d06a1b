/* A client of HTTP/2, nghttp2's, at the other end of a socket pair. It says what it is told when it is told, and keeps
 * what it heard. */
#ifndef SLUICE_TESTS_H2_CLIENT_H
#define SLUICE_TESTS_H2_CLIENT_H

#include "h2_case.h"

#include <nghttp2/nghttp2.h>

#define H2_INTERIM_MAX 8
#define H2_BODY_MAX    4096
#define H2_OUT_MAX     ((size_t)1 << 18)

/* A stream, from the client's side. Zeroed to begin with; lives as long as its connection. */
struct h2_stream {
    int32_t id;
    uint64_t to_send, sent; /* of the request's body */
    bool is_open_ended;     /* more will be said later */
    int status, interim[H2_INTERIM_MAX];
    unsigned interim_count;
    char fields[512]; /* of interim responses: "name: value\n" */
    char body[H2_BODY_MAX];
    size_t body_len; /* bytes beyond the room are counted only */
    bool is_ended, is_closed, is_reset;
    uint32_t code;  /* why it was closed */
    uint64_t given; /* by WINDOW_UPDATE */
};

struct h2_client {
    struct h2_case *c;
    nghttp2_session *session;
    int fd; /* -1: cut */
    char *out;
    size_t out_at, out_len;   /* [at, at + len) waits to be sent */
    bool is_closed, is_going; /* by the server; going: GOAWAY came */
    uint32_t going_code;
    uint64_t given; /* to the connection by WINDOW_UPDATE */
};

static inline struct h2_stream *h2_client_stream(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static inline int h2_client_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                                      size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                                      void *user)
{
    struct h2_stream *stream = h2_client_stream(session, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        uint64_t status;
        assert_true(sl_bytes_to_u64((struct sl_bytes){(const char *)value, value_len}, &status));
        assert_int_equal(stream->status, 0); /* nothing follows the final one */
        if (status >= 200) {
            stream->status = (int)status;
        } else {
            assert_true(stream->interim_count < H2_INTERIM_MAX);
            stream->interim[stream->interim_count++] = (int)status;
        }
    } else if (stream->status == 0) {
        size_t len = strlen(stream->fields);
        snprintf(stream->fields + len, sizeof stream->fields - len, "%.*s: %.*s\n", (int)name_len, name,
                 (int)value_len, value);
    }
    return 0;
}

static inline int h2_client_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                                    size_t len, void *user)
{
    struct h2_stream *stream = h2_client_stream(session, id);
    if (stream == NULL)
        return 0;
    for (size_t i = 0; i < len; i++, stream->body_len++)
        if (stream->body_len < H2_BODY_MAX)
            stream->body[stream->body_len] = (char)bytes[i];
    return 0;
}

static inline int h2_client_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_client *client = user;
    struct h2_stream *stream = h2_client_stream(session, frame->hd.stream_id);
    bool can_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->is_going = true;
        client->going_code = frame->goaway.error_code;
    }
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE)
        *(stream == NULL ? &client->given : &stream->given) += (uint64_t)frame->window_update.window_size_increment;
    if (stream != NULL && frame->hd.type == NGHTTP2_RST_STREAM)
        stream->is_reset = true;
    if (stream != NULL && can_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        stream->is_ended = true;
    return 0;
}

static inline int h2_client_on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *stream = h2_client_stream(session, id);
    if (stream != NULL) {
        stream->is_closed = true;
        stream->code = code;
    }
    return 0;
}

static inline ssize_t h2_client_on_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t room,
                                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *stream = source->ptr;
    uint64_t left = stream->to_send - stream->sent;
    size_t n = left < room ? (size_t)left : room;
    upload_fill((char *)into, stream->sent, n);
    stream->sent += n;
    if (stream->sent == stream->to_send && !stream->is_open_ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

/* Preface and SETTINGS are said with the first turn. */
static inline void h2_client_open(struct h2_client *client, struct h2_case *c, const nghttp2_settings_entry *settings,
                                  size_t count)
{
    nghttp2_session_callbacks *callbacks;
    *client = (struct h2_client){.c = c, .fd = h2_case_connect(c)};
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_client_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_client_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_client_on_close);
    assert_int_equal(nghttp2_session_client_new(&client->session, callbacks, client), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, count), 0);
}

/* What nghttp2 has to say goes behind what waits to be sent. */
static inline void h2_client_gather(struct h2_client *client)
{
    const uint8_t *bytes;
    if (client->out_len > 0 && client->out_at > 0)
        memmove(client->out, client->out + client->out_at, client->out_len);
    client->out_at = 0;
    for (ssize_t n; client->out_len < H2_OUT_MAX && (n = nghttp2_session_mem_send(client->session, &bytes)) > 0;) {
        client->out = realloc(client->out, client->out_len + (size_t)n);
        memcpy(client->out + client->out_len, bytes, (size_t)n);
        client->out_len += (size_t)n;
    }
}

/* At most `max` bytes of it, as far as the socket takes them. */
static inline void h2_client_send(struct h2_client *client, size_t max)
{
    size_t len = max < client->out_len ? max : client->out_len;
    ssize_t n = client->fd < 0 || len == 0 ? 0 : send(client->fd, client->out + client->out_at, len, MSG_NOSIGNAL);
    if (n <= 0)
        return;
    client->out_at += (size_t)n;
    client->out_len -= (size_t)n;
}

static inline void h2_client_receive(struct h2_client *client)
{
    static uint8_t buffer[1 << 16];
    ssize_t n = -1;
    while (client->fd >= 0 && (n = recv(client->fd, buffer, sizeof buffer, 0)) > 0)
        assert_int_equal(nghttp2_session_mem_recv(client->session, buffer, (size_t)n), n);
    client->is_closed |= n == 0 || (client->fd >= 0 && n < 0 && errno != EAGAIN);
}

static inline void h2_client_pump(struct h2_client *client)
{
    h2_client_receive(client);
    h2_client_gather(client);
    h2_client_send(client, SIZE_MAX);
}

#define H2_UNTIL(client, condition) H2_UNTIL_STEP((client)->c, h2_client_pump(client), condition)

/* For asserting that something does not happen: turns in which it had its chance. */
static inline void h2_client_settle(struct h2_client *client)
{
    for (int i = 0; i < 8; i++) {
        h2_client_pump(client);
        h2_case_turn(client->c, sl_disk_inflight(client->c->h.u.disk) > 0 ? 5 : 0);
    }
    h2_client_pump(client);
}

/* The client is gone, in the middle of whatever it was. */
static inline void h2_client_cut(struct h2_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

static inline void h2_client_close(struct h2_client *client)
{
    h2_client_cut(client);
    nghttp2_session_del(client->session);
    free(client->out);
    *client = (struct h2_client){.fd = -1};
}

#define H2_FIELD(name, value)                                                                    \
    (nghttp2_nv)                                                                                 \
    {                                                                                            \
        (uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE \
    }

/* A request with a body of stream->to_send bytes, if any or open-ended. more: another header, or NULL. */
static inline void h2_client_ask(struct h2_client *client, struct h2_stream *stream, const char *method,
                                 const char *path, const char *more_name, const char *more_value)
{
    nghttp2_nv fields[] = {
        H2_FIELD(":method", method), H2_FIELD(":scheme", "http"), H2_FIELD(":authority", "h"),
        H2_FIELD(":path", path),
        H2_FIELD(more_name == NULL ? "accept" : more_name, more_name == NULL ? "*/*" : more_value)};
    nghttp2_data_provider body = {{.ptr = stream}, h2_client_on_read};
    bool has_body = stream->to_send > 0 || stream->is_open_ended;
    stream->id = nghttp2_submit_request(client->session, NULL, fields, sizeof fields / sizeof fields[0],
                                        has_body ? &body : NULL, stream);
    assert_true(stream->id > 0);
}

/* More of an open-ended body; the end of it, if is_last. */
static inline void h2_client_say(struct h2_client *client, struct h2_stream *stream, uint64_t bytes, bool is_last)
{
    stream->to_send += bytes;
    stream->is_open_ended = !is_last;
    (void)nghttp2_session_resume_data(client->session, stream->id);
}

static inline void h2_client_reset(struct h2_client *client, struct h2_stream *stream)
{
    (void)nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
}

#endif
