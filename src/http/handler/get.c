/* GET and HEAD of a stored file: read by the engine into a buffer of the pool, sent, read again. One buffer a download, so
 * a slow reader holds no more than that. The reader outlives its request while a read is in flight. */
#include "handler.h"

#include <assert.h>
#include <stdlib.h>

struct download {
    h2o_generator_t generator;  /* first */
    struct sl_sink sink;        /* only to be told, before the answer begins, that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_store_reader reader;
    struct sl_slab_waiter waiter;
    struct sl_slab *slab;
    struct sl_path path;
    uint64_t offset;
    bool is_open, is_busy;
};

static void on_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    (void)reader;
    (void)err;
    free(download);
}

/* Ends the download as soon as nothing is in flight. */
static void give_back(struct download *download)
{
    download->request = NULL;
    sl_slab_cancel(&download->waiter);
    if (download->is_busy)
        return;
    if (download->slab != NULL)
        sl_slab_release(download->slab);
    download->slab = NULL;
    if (download->is_open)
        sl_store_close(&download->reader, on_closed, download);
    else
        free(download);
}

/* ---- sending ---- */

static void send_piece(struct download *download, size_t len, h2o_send_state_t state)
{
    h2o_iovec_t piece = {download->slab == NULL ? "" : download->slab->base, len};
    h2o_req_t *h2o = &download->request->h2o;
    h2o_send(h2o, &piece, len > 0 ? 1 : 0, state);
}

static void read_more(struct download *download);

static void on_read(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    download->is_busy = false;
    if (download->request == NULL) {
        give_back(download);
        return;
    }
    if (err != SL_OK ||
        reader->bytes_read == 0) { /* failed, or cut by somebody: the promised length cannot be kept */
        download->request->err = err == SL_OK ? SL_IO : err;
        send_piece(download, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    download->offset += reader->bytes_read;
    bool is_last = download->offset == reader->size;
    send_piece(download, reader->bytes_read, is_last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void read_more(struct download *download)
{
    uint64_t left = download->reader.size - download->offset;
    size_t len = left < download->slab->bytes ? (size_t)left : download->slab->bytes;
    download->is_busy = true;
    sl_store_read(&download->reader, download->slab, len, download->offset, on_read, download);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
    (void)h2o;
    read_more((struct download *)generator);
}

/* The answer is over, well or badly: h2o calls it when the request is disposed of. */
static void on_disposed(void *memory)
{
    give_back(*(struct download **)memory);
}

static void on_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct download *download = ctx;
    (void)waiter;
    download->slab = slab;
    read_more(download);
}

/* A larger buffer where one is free; else the line for a small one. */
static void get_slab(struct download *download)
{
    struct sl_slab_pool *slabs = download->request->http->intake->slabs;
    if (download->reader.size > sl_slab_class_bytes(SL_SLAB_SMALL))
        download->slab = sl_slab_try(slabs, SL_SLAB_MEDIUM);
    if (download->slab != NULL)
        read_more(download);
    else
        sl_slab_wait(slabs, &download->waiter, on_slab, download);
}

/* ---- the head ---- */

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
    download->generator = (h2o_generator_t){.proceed = on_proceed};
    h2o_start_response(h2o, &download->generator);
    if (request->is_head || download->reader.size == 0)
        send_piece(download, 0, H2O_SEND_STATE_FINAL);
    else
        get_slab(download);
}

static void on_open(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct download *download = ctx;
    struct sl_request *request = download->request;
    (void)reader;
    download->is_busy = false;
    download->is_open = err == SL_OK;
    if (request == NULL) {
        give_back(download);
    } else if (err != SL_OK) {
        give_back(download);
        sl_reply_problem(request, err, NULL);
    } else {
        begin_answer(download);
    }
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
    download->path = *path;
    download->sink.ops = &sink_ops;
    download->is_busy = true;
    sl_body_attach(request, &download->sink);
    sl_store_open(request->http->intake->store, &download->reader, &download->path, on_open, download);
}
