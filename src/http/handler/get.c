/* GET and HEAD of a stored file: read by the engine into a buffer of the pool, sent, the buffer given back, and
 * again. The first piece is read before the answer begins, so that a file that cannot be read is an error and not
 * half an answer.
 *
 * Downloads together hold at most half of the pool, and pass what they hold on with every piece; who finds no place
 * waits in line. So readers that do not read keep no upload waiting. The reader outlives its request while a read is in
 * flight. */
#include "handler.h"

#include <assert.h>
#include <stdlib.h>

struct download {
    h2o_generator_t generator;  /* first */
    struct sl_sink sink;        /* only to be told, before the answer begins, that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_http *http;
    struct sl_store_reader reader;
    struct sl_link place; /* in the line, while it waits for its turn */
    struct sl_slab_waiter waiter;
    struct sl_slab *slab;
    struct sl_path path;
    uint64_t offset;
    bool is_open, is_busy, has_turn, has_answer;
};

static void take_turn(struct download *download);

/* ---- the end ---- */

static void on_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    (void)reader;
    (void)err;
    free(download);
}

/* Gives buffer and turn back; who is first in line goes on. */
static void end_turn(struct download *download)
{
    struct sl_http *http = download->http;
    sl_slab_cancel(&download->waiter);
    sl_link_unlink(&download->place);
    if (download->slab != NULL)
        sl_slab_release(download->slab);
    download->slab = NULL;
    if (!download->has_turn)
        return;
    download->has_turn = false;
    http->download_slabs--;
    struct sl_link *next = sl_list_shift(&http->download_line);
    if (next != NULL)
        take_turn(SL_CONTAINER_OF(next, struct download, place));
}

/* Ends the download as soon as nothing is in flight. */
static void give_back(struct download *download)
{
    download->request = NULL;
    if (download->is_busy)
        return;
    end_turn(download);
    if (download->is_open)
        sl_store_close(&download->reader, on_closed, download);
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

static void begin_answer(struct download *download)
{
    struct sl_request *request = download->request;
    h2o_req_t *h2o = &request->h2o;
    sl_body_discard(request);
    h2o->res.status = 200;
    h2o->res.reason = "OK";
    h2o->res.content_length = download->reader.size;
    sl_reply_header(request, "content-type", SL_BYTES("application/octet-stream"));
    sl_reply_header(request, "x-content-type-options", SL_BYTES("nosniff"));
    sl_reply_header(request, "x-request-id", request->id);
    /* Pool memory with a destructor is the one thing that is told of every end of a request. */
    struct download **owner = h2o_mem_alloc_shared(&h2o->pool, sizeof *owner, on_disposed);
    *owner = download;
    download->has_answer = true;
    download->generator = (h2o_generator_t){.proceed = on_proceed};
    h2o_start_response(h2o, &download->generator);
}

static void send_piece(struct download *download, size_t len, h2o_send_state_t state)
{
    h2o_iovec_t piece = {len > 0 ? download->slab->base : "", len};
    if (!download->has_answer)
        begin_answer(download);
    h2o_send(&download->request->h2o, &piece, len > 0 ? 1 : 0, state);
}

static void refuse(struct download *download, sl_err err)
{
    struct sl_request *request = download->request;
    if (download->has_answer) { /* the length that was promised cannot be kept: the connection is cut */
        request->err = err;
        send_piece(download, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    give_back(download);
    sl_reply_problem(request, err, NULL);
}

/* ---- a piece ---- */

static void on_read(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    download->is_busy = false;
    if (download->request == NULL) {
        give_back(download);
    } else if (err != SL_OK || reader->bytes_read == 0) { /* nothing: somebody cut the file */
        refuse(download, err == SL_OK ? SL_IO : err);
    } else {
        download->offset += reader->bytes_read;
        bool is_last = download->offset == reader->size;
        send_piece(download, reader->bytes_read, is_last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
    }
}

static void read_piece(struct download *download, struct sl_slab *slab)
{
    uint64_t left = download->reader.size - download->offset;
    size_t len = left < slab->bytes ? (size_t)left : slab->bytes;
    download->slab = slab;
    download->is_busy = true;
    sl_store_read(&download->reader, slab, len, download->offset, on_read, download);
}

static void on_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    (void)waiter;
    read_piece(ctx, slab);
}

/* Half of the pool, counted in the larger of the two buffers that a download may get. */
static unsigned slabs_max(const struct sl_http *http)
{
    unsigned regions;
    (void)sl_slab_pool_memory(http->intake->slabs, &regions);
    return regions * (unsigned)(SL_SLAB_REGION_BYTES / sl_slab_class_bytes(SL_SLAB_MEDIUM)) / 2;
}

static void take_turn(struct download *download)
{
    struct sl_http *http = download->http;
    struct sl_slab_pool *slabs = http->intake->slabs;
    if (http->download_slabs >= slabs_max(http)) {
        sl_list_append(&http->download_line, &download->place);
        return;
    }
    http->download_slabs++;
    download->has_turn = true;
    struct sl_slab *slab = NULL;
    if (download->reader.size - download->offset > sl_slab_class_bytes(SL_SLAB_SMALL))
        slab = sl_slab_try(slabs, SL_SLAB_MEDIUM);
    if (slab != NULL)
        read_piece(download, slab);
    else
        sl_slab_wait(slabs, &download->waiter, on_slab, download);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
    struct download *download = (struct download *)generator;
    (void)h2o;
    end_turn(download);
    take_turn(download);
}

/* ---- the beginning ---- */

static void on_open(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    download->is_busy = false;
    download->is_open = err == SL_OK;
    if (download->request == NULL)
        give_back(download);
    else if (err != SL_OK)
        refuse(download, err);
    else if (download->request->is_head || reader->size == 0)
        send_piece(download, 0, H2O_SEND_STATE_FINAL);
    else
        take_turn(download);
}

static struct sl_room no_room(struct sl_sink *sink)
{
    (void)sink;
    return (struct sl_room){0};
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    give_back(SL_CONTAINER_OF(sink, struct download, sink));
}

static const struct sl_sink_ops sink_ops = {.reserve = no_room, .abort = on_abort};

void sl_handle_get(struct sl_request *request, const struct sl_path *path)
{
    struct download *download = calloc(1, sizeof *download);
    if (download == NULL)
        abort();
    download->request = request;
    download->http = request->http;
    download->path = *path;
    download->sink.ops = &sink_ops;
    download->is_busy = true;
    sl_body_attach(request, &download->sink);
    sl_store_open(request->http->intake->store, &download->reader, &download->path, on_open, download);
}
