/* The other name of a finished file that is kept as an upload, too: its id in uploads/. Whoever takes its name away, or
 * gives it to another file, takes that one away as well, so that its space is free. The file's attribute tells the id;
 * but an attribute can be copied, so it is looked whether the id is of this file. Loop thread. */
#include "local.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define ID_LEN ((size_t)SL_STORE_ID_BYTES - 1)

static void on_closed(struct sl_disk_op *op, void *ctx)
{
    struct sl_twin *twin = ctx;
    (void)op; /* it was only to be looked at */
    twin->on_done(twin);
}

static void on_id_read(struct sl_disk_op *op, void *ctx)
{
    struct sl_twin *twin = ctx;
    if (op->err == SL_OK && (size_t)op->result >= ID_LEN && sl_store_is_id((struct sl_bytes){twin->room, ID_LEN}))
        snprintf(twin->id, sizeof twin->id, "%.*s", (int)ID_LEN, twin->room);
    free(twin->room);
    twin->room = NULL;
    sl_disk_close(twin->store->disk, &twin->op, twin->fd, on_closed, twin);
}

static void on_opened(struct sl_disk_op *op, void *ctx)
{
    struct sl_twin *twin = ctx;
    if (op->err != SL_OK) {
        twin->on_done(twin);
        return;
    }
    twin->fd = (int)op->result;
    twin->room = malloc(SL_STATE_ATTRIBUTE_BYTES_MAX);
    if (twin->room == NULL)
        abort();
    sl_disk_getxattr(twin->store->disk, &twin->op, twin->fd, SL_STATE_ATTRIBUTE, twin->room,
                     SL_STATE_ATTRIBUTE_BYTES_MAX, on_id_read, twin);
}

void sl_twin_find(struct sl_store *store, struct sl_twin *twin, int dir_fd, const char *leaf,
                  const struct statx *file, void (*on_done)(struct sl_twin *twin))
{
    *twin = (struct sl_twin){.store = store,
                             .on_done = on_done,
                             .inode = file->stx_ino,
                             .major = file->stx_dev_major,
                             .minor = file->stx_dev_minor};
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY, .resolve = SL_LOCAL_RESOLVE};
    sl_disk_open(store->disk, &twin->op, dir_fd, leaf, how, on_opened, twin);
}

bool sl_twin_is_there(const struct sl_twin *twin)
{
    return twin->id[0] != '\0';
}

static void on_unlinked(struct sl_disk_op *op, void *ctx)
{
    struct sl_twin *twin = ctx;
    (void)op; /* if it stays, it expires */
    twin->on_done(twin);
}

static void on_looked(struct sl_disk_op *op, void *ctx)
{
    struct sl_twin *twin = ctx;
    const struct statx *stat = &twin->stat;
    bool is_it = op->err == SL_OK && stat->stx_ino == twin->inode && stat->stx_dev_major == twin->major &&
                 stat->stx_dev_minor == twin->minor;
    if (is_it)
        sl_disk_unlink(twin->store->disk, &twin->op, twin->store->root->uploads_fd, twin->id, false, on_unlinked,
                       twin);
    else
        twin->on_done(twin);
}

void sl_twin_drop(struct sl_twin *twin, void (*on_done)(struct sl_twin *twin))
{
    twin->on_done = on_done;
    sl_disk_stat(twin->store->disk, &twin->op, twin->store->root->uploads_fd, twin->id, &twin->stat, on_looked, twin);
}
