/* The kinds of request, each a row of pieces numbered from 0 (the head):
 *   get        head
 *   put, post  head, body (tus-create, too)
 *   tus        head; behind its answer another head, body
 *   chunked    head, { size line, body }, last chunk
 *   multipart  head, { part head, body }, closing delimiter
 * Rendering a piece again gives the same bytes, so a half-sent one needs no buffer. */
#include "load_request.h"

#include "sluice/base/base64.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define BOUNDARY "sluice-load-7MA4YWxkTrZu0gW"

static uint64_t chunks(const struct sl_load_shape *shape)
{
    return (shape->body->size + SL_LOAD_CHUNK_BYTES - 1) / SL_LOAD_CHUNK_BYTES;
}

static bool is_put(const struct sl_load_options *options)
{
    return options->method == SL_LOAD_PUT || options->method == SL_LOAD_CHUNKED;
}

void sl_load_put_path(struct sl_text *text, const struct sl_load_options *options, uint64_t number)
{
    sl_text_printf(text, "%s", options->path);
    if (is_put(options) || options->method == SL_LOAD_POST)
        sl_text_printf(text, "%sload-%s-%010" PRIu64 ".bin", is_put(options) ? "" : "?name=", options->run_id,
                       number);
}

/* What tus wants to know of the whole, and its name; the first head of two says that nothing follows. */
static void render_tus_fields(struct sl_text *head, const struct sl_load_shape *shape, uint64_t number)
{
    char name[SL_LOAD_RUN_ID_MAX + 32], encoded[SL_BASE64_LEN(sizeof name)];
    int len = snprintf(name, sizeof name, "load-%s-%010" PRIu64 ".bin", shape->options->run_id, number);
    size_t encoded_len = sl_base64_encode(encoded, name, (size_t)len);
    uint64_t length = shape->options->method == SL_LOAD_TUS_ABANDON ? 2 * shape->body->size : shape->body->size;
    sl_text_printf(head, "Tus-Resumable: 1.0.0\r\nUpload-Length: %" PRIu64 "\r\nUpload-Metadata: filename %.*s\r\n",
                   length, (int)encoded_len, encoded);
    if (shape->options->method == SL_LOAD_TUS)
        sl_text_printf(head, "Content-Length: 0\r\n");
    else
        sl_text_printf(head, "Content-Type: application/offset+octet-stream\r\nContent-Length: %" PRIu64 "\r\n",
                       shape->body->size);
}

/* The second head of tus. */
static size_t render_patch(const struct sl_load_shape *shape, const char *target, char text[SL_LOAD_TEXT_MAX])
{
    int len = snprintf(text, SL_LOAD_TEXT_MAX,
                       "PATCH %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sl_load\r\nTus-Resumable: 1.0.0\r\n"
                       "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
                       "Content-Length: %" PRIu64 "\r\n\r\n",
                       target, shape->options->host, shape->body->size);
    assert(len > 0 && len < SL_LOAD_TEXT_MAX);
    return (size_t)len;
}

static size_t render_head(const struct sl_load_shape *shape, uint64_t number, char text[SL_LOAD_TEXT_MAX])
{
    const struct sl_load_options *options = shape->options;
    struct sl_text head;
    sl_text_init(&head, text, SL_LOAD_TEXT_MAX);
    sl_text_printf(&head, "%s ", options->method == SL_LOAD_GET ? "GET" : is_put(options) ? "PUT" : "POST");
    sl_load_put_path(&head, options, number);
    sl_text_printf(&head, " HTTP/1.1\r\nHost: %s\r\nUser-Agent: sl_load\r\n", options->host);
    switch (options->method) {
    case SL_LOAD_GET: break;
    case SL_LOAD_TUS:        /* fall through */
    case SL_LOAD_TUS_CREATE: /* fall through */
    case SL_LOAD_TUS_ABANDON: render_tus_fields(&head, shape, number); break;
    case SL_LOAD_CHUNKED: sl_text_printf(&head, "Transfer-Encoding: chunked\r\n"); break;
    case SL_LOAD_POST: sl_text_printf(&head, "Content-Type: application/octet-stream\r\n"); /* fall through */
    case SL_LOAD_PUT: sl_text_printf(&head, "Content-Length: %" PRIu64 "\r\n", shape->content_length); break;
    case SL_LOAD_MULTIPART:
        sl_text_printf(&head,
                       "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\nContent-Length: %" PRIu64 "\r\n",
                       shape->content_length);
        break;
    }
    if (options->expect && options->method != SL_LOAD_GET)
        sl_text_printf(&head, "Expect: 100-continue\r\n");
    sl_text_printf(&head, "\r\n");
    assert(!head.full);
    return head.len;
}

/* The text between two bodies: piece 1, 3, 5, ... and the last one. */
static size_t render_framing(const struct sl_load_shape *shape, uint64_t number, uint64_t piece,
                             char text[SL_LOAD_TEXT_MAX])
{
    const char *line_end = piece == 1 ? "" : "\r\n";
    bool is_last = piece == shape->pieces - 1;
    uint64_t index = piece / 2;
    int len;
    if (shape->options->method == SL_LOAD_CHUNKED) {
        uint64_t left = shape->body->size - index * SL_LOAD_CHUNK_BYTES;
        len = is_last ? snprintf(text, SL_LOAD_TEXT_MAX, "%s0\r\n\r\n", line_end)
                      : snprintf(text, SL_LOAD_TEXT_MAX, "%s%" PRIx64 "\r\n", line_end,
                                 left < SL_LOAD_CHUNK_BYTES ? left : SL_LOAD_CHUNK_BYTES);
    } else if (is_last) {
        len = snprintf(text, SL_LOAD_TEXT_MAX, "%s--" BOUNDARY "--\r\n", line_end);
    } else {
        len = snprintf(text, SL_LOAD_TEXT_MAX,
                       "%s--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; "
                       "filename=\"load-%s-%010" PRIu64 "-%05" PRIu64 ".bin\"\r\n"
                       "Content-Type: application/octet-stream\r\n\r\n",
                       line_end, shape->options->run_id, number, index);
    }
    assert(len > 0 && len < SL_LOAD_TEXT_MAX);
    return (size_t)len;
}

/* Where piece `piece` lies in the file, if it is a slice of the body at all. */
static bool is_body(const struct sl_load_shape *shape, uint64_t piece, uint64_t *offset_out, uint64_t *bytes_out)
{
    uint64_t size = shape->body->size;
    *offset_out = 0;
    *bytes_out = size;
    switch (shape->options->method) {
    case SL_LOAD_GET: return false;
    case SL_LOAD_PUT:         /* fall through */
    case SL_LOAD_TUS_CREATE:  /* fall through */
    case SL_LOAD_TUS_ABANDON: /* fall through */
    case SL_LOAD_POST: return piece == 1;
    case SL_LOAD_TUS: return piece == 2;
    case SL_LOAD_CHUNKED:
        if (piece == 0 || piece % 2 != 0)
            return false;
        *offset_out = (piece / 2 - 1) * SL_LOAD_CHUNK_BYTES;
        *bytes_out = size - *offset_out < SL_LOAD_CHUNK_BYTES ? size - *offset_out : SL_LOAD_CHUNK_BYTES;
        return true;
    case SL_LOAD_MULTIPART: return piece > 0 && piece % 2 == 0;
    }
    return false;
}

void sl_load_shape_init(struct sl_load_shape *shape, const struct sl_load_options *options,
                        const struct sl_load_body *body)
{
    *shape = (struct sl_load_shape){.options = options, .body = body, .content_length = body->size, .heads = 1};
    switch (options->method) {
    case SL_LOAD_GET: shape->pieces = 1; break;
    case SL_LOAD_PUT:         /* fall through */
    case SL_LOAD_TUS_CREATE:  /* fall through */
    case SL_LOAD_TUS_ABANDON: /* fall through */
    case SL_LOAD_POST: shape->pieces = 2; break;
    case SL_LOAD_TUS:
        shape->pieces = 3;
        shape->heads = 2;
        break;
    case SL_LOAD_CHUNKED: shape->pieces = 2 * chunks(shape) + 2; break;
    case SL_LOAD_MULTIPART:
        shape->pieces = 2 * (uint64_t)options->files + 2;
        shape->content_length = options->files * body->size;
        char text[SL_LOAD_TEXT_MAX];
        for (uint64_t piece = 1; piece < shape->pieces; piece += 2)
            shape->content_length += render_framing(shape, 0, piece, text);
        break;
    }
}

static size_t render_text(const struct sl_load_shape *shape, uint64_t number, struct sl_load_cursor cursor,
                          char text[SL_LOAD_TEXT_MAX])
{
    if (cursor.piece == 0)
        return render_head(shape, number, text);
    return cursor.piece < shape->heads ? render_patch(shape, cursor.target, text)
                                       : render_framing(shape, number, cursor.piece, text);
}

void sl_load_batch_fill(struct sl_load_batch *batch, const struct sl_load_shape *shape, uint64_t number,
                        struct sl_load_cursor cursor, uint64_t body_limit)
{
    uint64_t room = body_limit < SL_LOAD_SEND_MAX ? body_limit : SL_LOAD_SEND_MAX;
    batch->count = 0;
    batch->heads = shape->heads;
    for (; cursor.piece < shape->pieces && batch->count < SL_LOAD_BATCH_PIECES; cursor.piece++, cursor.offset = 0) {
        bool is_head = cursor.piece < shape->heads;
        if ((!is_head && room == 0) || sl_load_cursor_waits(cursor, shape))
            return;
        unsigned i = batch->count++;
        uint64_t file_offset, bytes;
        const char *base;
        if (is_body(shape, cursor.piece, &file_offset, &bytes)) {
            base = sl_load_body_slice(shape->body, file_offset + cursor.offset, SL_LOAD_SEND_MAX).base;
        } else {
            bytes = render_text(shape, number, cursor, batch->text[i]);
            base = batch->text[i] + cursor.offset;
        }
        uint64_t left = bytes - cursor.offset;
        uint64_t take = is_head || left < room ? left : room;
        batch->iov[i] = (struct iovec){(void *)base, take};
        batch->piece_left[i] = left;
        if (!is_head)
            room -= take;
        if (take < left)
            return;
    }
}

uint64_t sl_load_batch_sent(const struct sl_load_batch *batch, struct sl_load_cursor *cursor, uint64_t sent)
{
    uint64_t behind_head = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        uint64_t step = sent < batch->iov[i].iov_len ? sent : batch->iov[i].iov_len;
        if (cursor->piece >= batch->heads)
            behind_head += step;
        sent -= step;
        cursor->offset += step;
        if (step < batch->piece_left[i])
            break;
        cursor->piece++; /* an empty body is passed in the same step */
        cursor->offset = 0;
    }
    assert(sent == 0);
    return behind_head;
}
