/* HTTP/2 on a wire, by libnghttp2: up to --streams uploads at once. nghttp2 gives each stream its turn, frame by
 * frame; what makes them unequal is the windows that the server gives. */
#include "load_talk.h"

#include "sluice/base/clock.h"
#include "sluice/base/list.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_ROOM ((size_t)16 * 1024 + 64) /* the largest frame that we send */
#define OUT_BYTES  ((size_t)256 << 10)      /* gathered for one send */

struct talk_h2 {
    struct sl_load_talk base; /* first */
    nghttp2_session *session;
    struct sl_link streams;
    size_t out_at, out_len;
    char out[OUT_BYTES];
};

struct stream {
    struct sl_link link;
    uint64_t offset; /* of the body: what is sent */
    uint64_t started_ns;
    int status;
};

/* ---- out ---- */

static void put(struct talk_h2 *talk, const void *bytes, size_t len)
{
    assert(len <= OUT_BYTES - talk->out_len);
    memcpy(talk->out + talk->out_len, bytes, len);
    talk->out_len += len;
}

/* Tells how much of the body goes into the next frame. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct talk_h2 *talk = user;
    uint64_t left = talk->base.shape->body->size - ((struct stream *)source->ptr)->offset;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY | (left <= len ? NGHTTP2_DATA_FLAG_EOF : 0);
    return (ssize_t)(left < len ? left : len);
}

/* Puts that frame behind the others. Room for one more of any kind stays, since those cannot wait. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user)
{
    struct talk_h2 *talk = user;
    struct stream *stream = source->ptr;
    if (OUT_BYTES - talk->out_len < 2 * FRAME_ROOM)
        return NGHTTP2_ERR_WOULDBLOCK;
    put(talk, head, 9);
    put(talk, sl_load_body_slice(talk->base.shape->body, stream->offset, len).base, len);
    stream->offset += len;
    talk->base.stats->bytes += len;
    return 0;
}

static struct sl_bytes pending(struct sl_load_talk *base)
{
    struct talk_h2 *talk = (struct talk_h2 *)base;
    if (talk->out_at == talk->out_len) {
        const uint8_t *bytes;
        ssize_t n;
        talk->out_at = talk->out_len = 0;
        while (OUT_BYTES - talk->out_len >= FRAME_ROOM && (n = nghttp2_session_mem_send(talk->session, &bytes)) > 0)
            put(talk, bytes, (size_t)n);
    }
    return (struct sl_bytes){talk->out + talk->out_at, talk->out_len - talk->out_at};
}

static void sent(struct sl_load_talk *base, size_t len)
{
    ((struct talk_h2 *)base)->out_at += len;
}

/* ---- requests ---- */

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void submit(struct talk_h2 *talk)
{
    const struct sl_load_options *options = talk->base.shape->options;
    char path[SL_LOAD_TEXT_MAX], length[24];
    struct sl_text text;
    sl_text_init(&text, path, sizeof path - 1);
    sl_load_put_path(&text, options, talk->base.issued);
    path[text.len] = '\0';
    snprintf(length, sizeof length, "%llu", (unsigned long long)talk->base.shape->content_length);
    const nghttp2_nv fields[] = {
        field(":method", "PUT"),
        field(":scheme", options->dialect == SL_LOAD_H2_TLS ? "https" : "http"),
        field(":authority", options->host),
        field(":path", path),
        field("user-agent", "sl_load"),
        field("content-length", length),
    };
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        abort();
    sl_list_append(&talk->streams, &stream->link);
    stream->started_ns = sl_clock_now_ns();
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = on_read};
    if (nghttp2_submit_request(talk->session, NULL, fields, sizeof fields / sizeof fields[0], &body, stream) < 0)
        abort();
    talk->base.issued++;
}

/* ---- in ---- */

static bool received(struct sl_load_talk *base, struct sl_bytes bytes)
{
    struct talk_h2 *talk = (struct talk_h2 *)base;
    return nghttp2_session_mem_recv(talk->session, (const uint8_t *)bytes.base, bytes.len) == (ssize_t)bytes.len;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    uint64_t status;
    if (stream != NULL && name_len == 7 && memcmp(name, ":status", 7) == 0 &&
        sl_bytes_to_u64((struct sl_bytes){(const char *)value, value_len}, &status) && status < 600)
        stream->status = (int)status;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct talk_h2 *talk = user;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream == NULL)
        return 0;
    bool is_ok = stream->status >= 200 && stream->status < 300;
    if (stream->status < 200 || (is_ok && code != NGHTTP2_NO_ERROR)) {
        talk->base.stats->errors[SL_LOAD_ERROR_RESET]++;
        talk->base.ended++;
    } else if (is_ok && stream->offset < talk->base.shape->body->size) {
        talk->base.stats->errors[SL_LOAD_ERROR_BAD_REPLY]++; /* it has not even seen all of it */
        talk->base.ended++;
    } else {
        sl_load_talk_settle(&talk->base, stream->status, stream->started_ns);
    }
    sl_link_unlink(&stream->link);
    free(stream);
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    if (talk->base.issued < talk->base.shape->options->requests)
        submit(talk);
    return 0;
}

/* ---- life ---- */

static void destroy(struct sl_load_talk *base)
{
    struct talk_h2 *talk = (struct talk_h2 *)base;
    for (struct sl_link *link; (link = sl_list_shift(&talk->streams)) != NULL;)
        free(SL_CONTAINER_OF(link, struct stream, link));
    nghttp2_session_del(talk->session);
    free(talk);
}

static nghttp2_session *create_session(struct talk_h2 *talk)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    if (nghttp2_session_client_new(&session, callbacks, talk) != 0 ||
        nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0) != 0)
        abort();
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

struct sl_load_talk *sl_load_talk_create_h2(const struct sl_load_shape *shape, struct sl_load_stats *stats)
{
    static const struct sl_load_talk_ops ops = {pending, sent, received, destroy};
    struct talk_h2 *talk = calloc(1, sizeof *talk);
    if (talk == NULL)
        abort();
    talk->base = (struct sl_load_talk){.ops = &ops, .shape = shape, .stats = stats};
    sl_list_init(&talk->streams);
    talk->session = create_session(talk);
    while (talk->base.issued < shape->options->streams && talk->base.issued < shape->options->requests)
        submit(talk);
    return &talk->base;
}
