/* GET and HEAD of a stored file: opened, held against the request's conditions and Range, then read by the engine into
 * buffers of the pool and sent. While one piece is being written the next is read, if a second buffer is to be had
 * without waiting; so at most two are held, and a reader that does not read is not read for.
 *
 *   open -> 304, 412, 416, HEAD: answered, closed
 *        -> first piece read -> the answer begins -> piece by piece -> last piece read: closed -> last piece written
 *
 * The first piece is read before the answer begins, so that a file that cannot be read is an error and not half an
 * answer; later, all that is left is to cut the connection. The download outlives its request while the file is being
 * opened, read or closed. */
#include "byteranges.h"
#include "handler.h"
#include "representation.h"
#include "sluice/base/clock.h"
#include "sluice/store/kept.h"
#include "turn.h"

#include <assert.h>
#include <stdlib.h>

#define SLOW_NS     (1 * SL_SEC)          /* a piece that takes longer */
#define PROOF_BYTES ((uint64_t)128 << 10) /* more than the kernel takes of an answer that nobody reads */

_Static_assert(SL_BYTERANGES_BOUNDARY_BYTES == SL_UPLOAD_ID_BYTES, "an id is what parts the ranges");

struct download {
    h2o_generator_t generator;  /* first */
    struct sl_sink sink;        /* only to be told, before the answer begins, that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_http *http;
    struct sl_store_reader reader;
    struct sl_path path;
    char id[SL_UPLOAD_ID_BYTES]; /* of a finished upload that is fetched by it */
    int status;                  /* 200, or 206 */
    struct sl_range ranges[SL_RANGES_MAX];
    size_t count; /* of ranges; the whole file is one range */
    char boundary[SL_BYTERANGES_BOUNDARY_BYTES];

    struct sl_turn turns[2];      /* for the piece that is being written and the one that is being read */
    struct sl_turn *front, *back; /* in this order */
    size_t sent;                  /* bytes of the piece in front */
    uint64_t taken;               /* bytes of those before it: the connection took them */
    size_t part;                  /* the piece in `back`: of which range, from where in it, how many bytes */
    uint64_t at;
    size_t len;
    sl_err err;     /* of reading it */
    bool is_open;   /* there is something to close */
    bool is_busy;   /* the reader is: being opened, read from, closed */
    bool is_filled; /* `back` waits to be sent */
    bool is_sending, has_answer;
    bool is_slow; /* its reader is: it gets small pieces, that it does not keep large buffers */
};

/* ---- the end ---- */

static void give_back(struct download *download);

static void on_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    (void)reader;
    (void)err;
    download->is_busy = download->is_open = false;
    if (download->request == NULL)
        give_back(download);
}

static void close_file(struct download *download)
{
    download->is_busy = true;
    sl_store_close(&download->reader, on_closed, download);
}

/* The request is gone or answered: ends the download as soon as nothing is in flight. */
static void give_back(struct download *download)
{
    download->request = NULL;
    sl_turn_end(download->front); /* it tells of the request, and nothing is read into it */
    if (download->is_busy)
        return;
    sl_turn_end(download->back);
    if (download->is_open)
        close_file(download);
    else
        free(download);
}

/* The answer is over, well or badly. */
static void on_disposed(void *memory)
{
    give_back(*(struct download **)memory);
}

/* ---- the answer ---- */

static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o);

static struct sl_byteranges byteranges_of(struct download *download)
{
    return (struct sl_byteranges){
        .ranges = download->ranges,
        .count = download->count,
        .size = download->reader.size,
        .type = sl_representation_type(download->request, &download->reader, &download->path),
        .boundary = download->boundary,
    };
}

/* Headers and length of an answer. length: SIZE_MAX for one that must not tell any. */
static void start(struct download *download, int status, size_t length, struct sl_bytes content_type,
                  h2o_generator_t *generator)
{
    sl_representation_headers(download->request, &download->reader, &download->path, status, content_type);
    sl_reply_begin(download->request, status, length, generator);
}

static void start_parts(struct download *download)
{
    char room[sizeof "multipart/byteranges; boundary=" + SL_BYTERANGES_BOUNDARY_BYTES];
    struct sl_text type;
    sl_upload_id(download->boundary);
    sl_text_init(&type, room, sizeof room);
    sl_text_printf(&type, "multipart/byteranges; boundary=%s", download->boundary);
    struct sl_byteranges parts = byteranges_of(download);
    start(download, 206, sl_byteranges_length(&parts), (struct sl_bytes){type.base, type.len}, &download->generator);
}

static void start_range(struct download *download)
{
    char room[80];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_content_range_put(&text, &download->ranges[0], download->reader.size);
    sl_reply_header(download->request, "content-range", (struct sl_bytes){text.base, text.len});
    start(download, 206, download->ranges[0].len, (struct sl_bytes){0}, &download->generator);
}

static void begin_answer(struct download *download)
{
    /* Pool memory with a destructor is the one thing that is told of every end of a request. */
    struct download **owner = h2o_mem_alloc_shared(&download->request->h2o.pool, sizeof *owner, on_disposed);
    *owner = download;
    download->has_answer = true;
    download->generator = (h2o_generator_t){.proceed = on_proceed};
    if (download->status == 200)
        start(download, 200, download->reader.size, (struct sl_bytes){0}, &download->generator);
    else if (download->count == 1)
        start_range(download);
    else
        start_parts(download);
}

/* HEAD, an empty file, 304. */
static void answer_without_body(struct download *download, int status)
{
    static h2o_generator_t none;
    struct sl_request *request = download->request;
    h2o_iovec_t nothing = {0};
    start(download, status, status == 304 ? SIZE_MAX : download->reader.size, (struct sl_bytes){0}, &none);
    give_back(download);
    h2o_send(&request->h2o, &nothing, 0, H2O_SEND_STATE_FINAL);
}

static void refuse(struct download *download, sl_err err)
{
    struct sl_request *request = download->request;
    if (download->has_answer) { /* the length that was promised cannot be kept: the connection is cut */
        h2o_iovec_t nothing = {0};
        request->err = err;
        sl_turn_end(download->back);
        h2o_send(&request->h2o, &nothing, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    give_back(download);
    sl_reply_problem(request, err, err == SL_IO ? "The file could not be read." : NULL);
}

/* ---- a piece ---- */

static void read_on(struct download *download);

/* May it hold large buffers? Where many are held, only who has shown that it reads. */
static bool earns_large(const struct download *download)
{
    return !download->is_slow && (download->taken >= PROOF_BYTES || !sl_turns_are_many(download->http));
}

static h2o_iovec_t part_text(struct download *download, size_t index)
{
    struct sl_byteranges parts = byteranges_of(download);
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&download->request->h2o.pool, SL_BYTERANGES_TEXT_BYTES),
                 SL_BYTERANGES_TEXT_BYTES);
    sl_byteranges_put(&parts, index, &text);
    return h2o_iovec_init(text.base, text.len);
}

static void send_piece(struct download *download)
{
    h2o_iovec_t pieces[3];
    size_t count = 0;
    download->is_filled = false;
    if (download->err != SL_OK) {
        refuse(download, download->err);
        return;
    }
    if (!download->has_answer)
        begin_answer(download);
    if (download->count > 1 && download->at == 0)
        pieces[count++] = part_text(download, download->part);
    pieces[count++] = h2o_iovec_init(download->back->slab->base, download->len);
    download->at += download->len;
    download->sent = download->len;
    if (download->at == download->ranges[download->part].len) {
        download->part++;
        download->at = 0;
    }
    bool is_last = download->part == download->count;
    if (is_last && download->count > 1)
        pieces[count++] = part_text(download, download->count);
    struct sl_turn *sent = download->back;
    download->back = download->front;
    download->front = sent;
    download->is_sending = true;
    sl_turn_send(sent, download->request);
    h2o_send(&download->request->h2o, pieces, count, is_last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
    if (is_last)
        close_file(download); /* what is left lies in the buffer: a slow reader need not hold a descriptor */
    else if (earns_large(download) && sl_turn_try(download->back, download->http))
        read_on(download);
}

static void on_read(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    download->is_busy = false;
    if (download->request == NULL) {
        give_back(download);
        return;
    }
    download->err =
        err == SL_OK && reader->bytes_read < download->len ? SL_IO : err; /* fewer: somebody cut the file */
    download->is_filled = true;
    if (!download->is_sending)
        send_piece(download);
}

/* Reads the next piece into the buffer that `back` has got. */
static void read_on(struct download *download)
{
    const struct sl_range *range = &download->ranges[download->part];
    struct sl_slab *slab = download->back->slab;
    uint64_t left = range->len - download->at;
    assert(!download->is_busy && !download->is_filled && left > 0);
    download->len = left < slab->bytes ? (size_t)left : slab->bytes;
    download->is_busy = true;
    sl_store_read(&download->reader, slab, download->len, range->first + download->at, on_read, download);
}

static void on_turn(struct sl_turn *turn, void *ctx)
{
    struct download *download = ctx;
    assert(turn == download->back);
    (void)turn;
    read_on(download);
}

static void wait_for_turn(struct download *download)
{
    uint64_t left = download->ranges[download->part].len - download->at;
    bool is_large = left > sl_slab_class_bytes(SL_SLAB_SMALL) && earns_large(download);
    sl_turn_take(download->back, download->http, is_large, on_turn, download);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
    struct download *download = (struct download *)generator;
    (void)h2o;
    download->is_sending = false;
    download->is_slow = sl_clock_now_ns() - download->front->since_ns > SLOW_NS;
    download->taken += download->sent;
    sl_turn_end(download->front);
    if (download->is_filled)
        send_piece(download);
    else if (!download->is_busy)
        wait_for_turn(download);
}

/* ---- the beginning ---- */

/* Which bytes are to be sent. An error: none. */
static sl_err choose_ranges(struct download *download, const struct sl_conditions *conditions,
                            const struct sl_validator *now, uint64_t now_s)
{
    struct sl_request *request = download->request;
    struct sl_bytes field = sl_request_header_list(request, "range");
    if (field.base != NULL && !request->is_head && sl_if_range_holds(conditions->if_range, now, now_s)) {
        sl_err err = sl_ranges_parse(field, download->reader.size, download->ranges, &download->count);
        if (err != SL_OK)
            return err;
    }
    download->status = download->count > 0 ? 206 : 200;
    if (download->count == 0)
        download->ranges[download->count++] = (struct sl_range){.first = 0, .len = download->reader.size};
    return SL_OK;
}

static void refuse_range(struct download *download, sl_err err)
{
    char room[40];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_text_printf(&text, "bytes */%llu", (unsigned long long)download->reader.size);
    sl_reply_header(download->request, "content-range", (struct sl_bytes){text.base, text.len});
    refuse(download, err);
}

static void answer(struct download *download)
{
    struct sl_request *request = download->request;
    const struct sl_store_reader *reader = &download->reader;
    struct sl_conditions conditions = sl_request_conditions(request);
    struct sl_validator now = sl_store_validator(reader);
    uint64_t now_s = sl_clock_wall_ns() / SL_SEC;
    switch (sl_conditions_check(&conditions, &now, true, now_s)) {
    case SL_VERDICT_GO: break;
    case SL_VERDICT_NOT_MODIFIED: answer_without_body(download, 304); return;
    case SL_VERDICT_FAILED:
        sl_reply_header(request, "etag", now.etag);
        refuse(download, SL_PRECONDITION);
        return;
    }
    sl_err err = choose_ranges(download, &conditions, &now, now_s);
    if (err != SL_OK)
        refuse_range(download, err);
    else if (request->is_head || reader->size == 0)
        answer_without_body(download, 200);
    else
        wait_for_turn(download);
}

static void on_open(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    (void)reader;
    download->is_busy = false;
    download->is_open = err == SL_OK;
    if (download->request == NULL)
        give_back(download);
    else if (err != SL_OK)
        refuse(download, err);
    else
        answer(download);
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    give_back(SL_CONTAINER_OF(sink, struct download, sink));
}

static const struct sl_sink_ops sink_ops = {.abort = on_abort};

static struct download *begin(struct sl_request *request)
{
    struct download *download = calloc(1, sizeof *download);
    if (download == NULL)
        abort();
    download->request = request;
    download->http = request->http;
    download->sink.ops = &sink_ops;
    download->front = &download->turns[0];
    download->back = &download->turns[1];
    download->is_busy = true;
    sl_body_attach(request, &download->sink);
    return download;
}

void sl_handle_get(struct sl_request *request, const struct sl_path *path)
{
    struct download *download = begin(request);
    download->path = *path;
    sl_store_open(request->http->intake->store, &download->reader, &download->path, on_open, download);
}

void sl_handle_get_kept(struct sl_request *request, const char *id, const struct sl_path *path)
{
    struct download *download = begin(request);
    download->path = *path;
    memcpy(download->id, id, sizeof download->id);
    sl_store_open_kept(request->http->intake->store, &download->reader, download->id, on_open, download);
}
