/* Reading a finished object back. Loop thread. */
#include "local.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

static void on_refused_closed(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    (void)op;
    reader->on_done(reader, reader->err, reader->ctx);
}

static void on_reader_stat(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    if (op->err != SL_OK || !S_ISREG(reader->stat.stx_mode)) {
        reader->err = op->err != SL_OK ? op->err : SL_NOT_FOUND;
        reader->cause = op->err == SL_OK && S_ISDIR(reader->stat.stx_mode) ? SL_IS_A_DIRECTORY : SL_EXISTS;
        sl_disk_close(reader->store->disk, &reader->op, reader->fd, on_refused_closed, reader);
        return;
    }
    reader->size = reader->stat.stx_size;
    reader->inode = reader->stat.stx_ino;
    reader->modified_ns =
        (uint64_t)reader->stat.stx_mtime.tv_sec * UINT64_C(1000000000) + reader->stat.stx_mtime.tv_nsec;
    reader->on_done(reader, SL_OK, reader->ctx);
}

static void on_reader_open(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    if (op->err != SL_OK) {
        bool is_absent = op->err == SL_NOT_A_DIRECTORY || op->err == SL_OUTSIDE || op->err == SL_NAME_TOO_LONG ||
                         op->sys_errno == ENXIO; /* a socket */
        reader->cause = op->err;
        reader->on_done(reader, is_absent ? SL_NOT_FOUND : op->err, reader->ctx);
        return;
    }
    reader->fd = (int)op->result;
    sl_disk_stat(reader->store->disk, &reader->op, reader->fd, "", &reader->stat, on_reader_stat, reader);
}

void sl_store_open(struct sl_store *store, struct sl_store_reader *reader, const struct sl_path *path,
                   sl_store_reader_cb on_done, void *ctx)
{
    *reader = (struct sl_store_reader){.store = store, .on_done = on_done, .ctx = ctx, .fd = -1};
    /* O_NONBLOCK: a planted FIFO must not hold the engine. */
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY, .resolve = SL_LOCAL_RESOLVE};
    sl_disk_open(store->disk, &reader->op, store->root->files_fd, path->text, how, on_reader_open, reader);
}

static void on_reader_read(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    reader->bytes_read = op->err == SL_OK ? (size_t)op->result : 0;
    reader->on_done(reader, op->err, reader->ctx);
}

void sl_store_read(struct sl_store_reader *reader, struct sl_slab *slab, size_t len, uint64_t offset,
                   sl_store_reader_cb on_done, void *ctx)
{
    assert(reader->fd >= 0);
    reader->on_done = on_done;
    reader->ctx = ctx;
    sl_disk_read(reader->store->disk, &reader->op, reader->fd, slab, len, offset, on_reader_read, reader);
}

static void on_reader_closed(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    (void)op;
    reader->fd = -1;
    reader->on_done(reader, SL_OK, reader->ctx);
}

void sl_store_close(struct sl_store_reader *reader, sl_store_reader_cb on_done, void *ctx)
{
    assert(reader->fd >= 0);
    reader->on_done = on_done;
    reader->ctx = ctx;
    sl_disk_close(reader->store->disk, &reader->op, reader->fd, on_reader_closed, reader);
}
