/* Reading a finished object back, and what is known about it. Loop thread. */
#include "local.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define LARGE_BYTES             ((uint64_t)1 << 20)
#define PREFETCH_BYTES          ((uint64_t)2 << 20)
#define PREFETCH_READ_MIN_BYTES ((size_t)64 << 10)

/* What its spans point into is gone with the file. */
static void forget_meta(struct sl_store_reader *reader)
{
    free(reader->meta_bytes);
    reader->meta_bytes = NULL;
    reader->meta.name = reader->meta.type = reader->meta.request_id = reader->meta.field_records =
        (struct sl_bytes){0};
}

/* Also of one that is refused while it is being opened: reader->err tells why. */
static void on_reader_closed(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    (void)op;
    reader->fd = -1;
    forget_meta(reader);
    reader->on_done(reader, reader->err, reader->ctx);
}

static void reader_close(struct sl_store_reader *reader)
{
    sl_disk_close(reader->store->disk, &reader->op, reader->fd, on_reader_closed, reader);
}

static void reader_refuse(struct sl_store_reader *reader, sl_err err, sl_err cause)
{
    reader->sys_errno = reader->op.sys_errno;
    reader->err = err;
    reader->cause = cause;
    reader_close(reader);
}

static void reader_opened(struct sl_store_reader *reader, size_t meta_len)
{
    reader->is_large = reader->size >= LARGE_BYTES;
    if (reader->is_large) /* only a flag of the open file is changed */
        (void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_RANDOM);
    sl_local_identify((struct sl_bytes){reader->meta_bytes, meta_len}, reader->size, reader->modified_ns,
                      reader->inode, &reader->meta, reader->etag);
    reader->on_done(reader, SL_OK, reader->ctx);
}

/* Without the attribute, or with one that is not ours, the file is known as far as its statistics go. But a disk that
 * fails must not change what the file is known as. */
static void on_reader_meta(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    if (op->err == SL_OK)
        reader_opened(reader, (size_t)op->result);
    else if (op->err == SL_NOT_FOUND || op->err == SL_TOO_LARGE || op->err == SL_UNSUPPORTED)
        reader_opened(reader, 0);
    else
        reader_refuse(reader, op->err, SL_EXISTS);
}

static void on_reader_stat(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    if (op->err != SL_OK) {
        reader_refuse(reader, op->err, SL_EXISTS);
        return;
    }
    if (!S_ISREG(reader->stat.stx_mode)) {
        reader_refuse(reader, SL_NOT_FOUND, S_ISDIR(reader->stat.stx_mode) ? SL_IS_A_DIRECTORY : SL_EXISTS);
        return;
    }
    reader->size = reader->stat.stx_size;
    reader->inode = reader->stat.stx_ino;
    reader->modified_ns = sl_local_modified_ns(&reader->stat);
    if (!reader->store->root->has_meta) {
        reader_opened(reader, 0);
        return;
    }
    reader->meta_bytes = malloc(SL_META_BYTES_MAX);
    if (reader->meta_bytes == NULL)
        abort();
    sl_disk_getxattr(reader->store->disk, &reader->op, reader->fd, SL_LOCAL_META, reader->meta_bytes,
                     SL_META_BYTES_MAX, on_reader_meta, reader);
}

static void on_reader_open(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    if (op->err != SL_OK) {
        bool is_socket = op->sys_errno == ENXIO;
        bool is_absent =
            op->err == SL_NOT_A_DIRECTORY || op->err == SL_OUTSIDE || op->err == SL_NAME_TOO_LONG || is_socket;
        reader->cause = is_socket ? SL_EXISTS : op->err;
        reader->sys_errno = op->sys_errno;
        reader->on_done(reader, is_absent ? SL_NOT_FOUND : op->err, reader->ctx);
        return;
    }
    reader->fd = (int)op->result;
    sl_disk_stat(reader->store->disk, &reader->op, reader->fd, "", &reader->stat, on_reader_stat, reader);
}

void sl_local_open(struct sl_store *store, struct sl_store_reader *reader, int dir_fd, const char *name,
                   sl_store_reader_cb on_done, void *ctx)
{
    *reader = (struct sl_store_reader){.store = store, .on_done = on_done, .ctx = ctx, .fd = -1};
    /* O_NONBLOCK: a planted FIFO must not hold the engine. */
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY, .resolve = SL_LOCAL_RESOLVE};
    sl_disk_open(store->disk, &reader->op, dir_fd, name, how, on_reader_open, reader);
}

void sl_store_open(struct sl_store *store, struct sl_store_reader *reader, const struct sl_path *path,
                   sl_store_reader_cb on_done, void *ctx)
{
    sl_local_open(store, reader, store->root->files_fd, path->text, on_done, ctx);
}

void sl_store_open_kept(struct sl_store *store, struct sl_store_reader *reader, const char *id,
                        sl_store_reader_cb on_done, void *ctx)
{
    assert(sl_store_is_id(sl_bytes_of(id)));
    sl_local_open(store, reader, store->root->uploads_fd, id, on_done, ctx);
}

/* ---- reading ahead ----
 * The kernel would read ahead by itself, but on the way of the read that meets its mark: setting up 8 MiB of I/O took
 * milliseconds of the loop. So of large files we ask, step by step, and where it is done the loop does not wait. */

static void on_prefetched(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    (void)op;
    if (reader->is_close_wanted)
        reader_close(reader);
}

/* A read of less is the end, or a small range: what lies behind it is not wanted. */
static void prefetch_behind(struct sl_store_reader *reader, size_t len, uint64_t end)
{
    if (!reader->is_large || len < PREFETCH_READ_MIN_BYTES || !sl_disk_op_is_idle(&reader->prefetch_op))
        return;
    bool is_elsewhere = reader->prefetched < end || reader->prefetched > end + 2 * PREFETCH_BYTES;
    if (is_elsewhere)
        reader->prefetched = reader->cold_end = end;
    if (reader->prefetched >= reader->size || reader->prefetched - end >= PREFETCH_BYTES)
        return;
    uint64_t left = reader->size - reader->prefetched, bytes = left < PREFETCH_BYTES ? left : PREFETCH_BYTES;
    uint64_t from = reader->prefetched;
    reader->prefetched += bytes;
    if (sl_disk_is_cached(reader->fd, from, bytes))
        return;
    reader->cold_end = reader->prefetched;
    sl_disk_prefetch(reader->store->disk, &reader->prefetch_op, reader->fd, from, bytes, on_prefetched, reader);
}

static bool is_cold(const struct sl_store_reader *reader, size_t len, uint64_t offset)
{
    if (!reader->is_large)
        return false;
    return offset < reader->cold_end ||
           (offset + len > reader->prefetched && !sl_disk_is_cached(reader->fd, offset, len));
}

struct sl_validator sl_store_validator(const struct sl_store_reader *reader)
{
    return (struct sl_validator){.exists = reader->etag[0] != '\0',
                                 .etag = sl_bytes_of(reader->etag),
                                 .modified_s = reader->modified_ns / SL_SEC};
}

/* ---- reading ---- */

static void on_reader_read(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_reader *reader = ctx;
    reader->sys_errno = op->sys_errno;
    reader->bytes_read = op->err == SL_OK ? (size_t)op->result : 0;
    reader->on_done(reader, op->err, reader->ctx);
}

void sl_store_read(struct sl_store_reader *reader, struct sl_slab *slab, size_t len, uint64_t offset,
                   sl_store_reader_cb on_done, void *ctx)
{
    assert(reader->fd >= 0);
    reader->on_done = on_done;
    reader->ctx = ctx;
    (is_cold(reader, len, offset) ? sl_disk_read_cold : sl_disk_read)(reader->store->disk, &reader->op, reader->fd,
                                                                      slab, len, offset, on_reader_read, reader);
    prefetch_behind(reader, len, offset + len);
}

void sl_store_close(struct sl_store_reader *reader, sl_store_reader_cb on_done, void *ctx)
{
    assert(reader->fd >= 0);
    reader->on_done = on_done;
    reader->ctx = ctx;
    if (sl_disk_op_is_idle(&reader->prefetch_op))
        reader_close(reader);
    else
        reader->is_close_wanted = true;
}
