/* Taking a finished object away: open its folder, wait for the turn, look, unlink, sync the folder. What is looked
 * at and what is unlinked are one, against everybody who changes names through this process. A file that is kept as
 * an upload, too, loses that name with this one. Loop thread. */
#include "local.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

enum removal_step {
    REMOVE_OPEN,
    REMOVE_LOOK,
    REMOVE_UNLINK,
    REMOVE_CLOSE,
};

static void on_removal_step(struct sl_disk_op *op, void *ctx);

static void removal_finish(struct sl_store_removal *removal)
{
    sl_name_turn_give(&removal->turn);
    removal->on_done(removal, removal->err, removal->ctx);
}

static void removal_close(struct sl_store_removal *removal, sl_err err, int sys_errno)
{
    removal->err = err;
    removal->sys_errno = sys_errno;
    removal->step = REMOVE_CLOSE;
    sl_disk_close(removal->store->disk, &removal->op, removal->dir_fd, on_removal_step, removal);
}

/* ---- its names ---- */

static void removal_unlink(struct sl_store_removal *removal)
{
    removal->step = REMOVE_UNLINK;
    sl_disk_unlink(removal->store->disk, &removal->op, removal->dir_fd, sl_local_leaf(removal->path), false,
                   on_removal_step, removal);
}

static void on_twin_found(struct sl_twin *twin)
{
    removal_unlink(SL_CONTAINER_OF(twin, struct sl_store_removal, twin));
}

static void removal_sync(struct sl_store_removal *removal);

static void on_twin_dropped(struct sl_twin *twin)
{
    removal_sync(SL_CONTAINER_OF(twin, struct sl_store_removal, twin));
}

/* `stat` is of the file. */
static void on_removal_looked(struct sl_store_removal *removal, const struct statx *stat)
{
    if (stat->stx_nlink < 2)
        removal_unlink(removal);
    else
        sl_twin_find(removal->store, &removal->twin, removal->dir_fd, sl_local_leaf(removal->path), stat,
                     on_twin_found);
}

/* ---- the look ---- */

static void on_look_closed(struct sl_store_reader *look, sl_err err, void *ctx)
{
    struct sl_store_removal *removal = ctx;
    (void)err; /* it was only to be looked at */
    if (sl_holder_passes(look, removal->conditions)) {
        on_removal_looked(removal, &look->stat);
        return;
    }
    snprintf(removal->etag, sizeof removal->etag, "%s", look->etag);
    removal_close(removal, SL_PRECONDITION, 0);
}

/* Where there is nothing, conditions are not asked (RFC 9110 section 13.2.1): without them it would not be found
 * either. */
static void on_look_opened(struct sl_store_reader *look, sl_err err, void *ctx)
{
    struct sl_store_removal *removal = ctx;
    if (err == SL_OK)
        sl_store_close(look, on_look_closed, removal);
    else
        removal_close(removal, err, look->sys_errno);
}

static void on_turn(struct sl_name_turn *turn)
{
    struct sl_store_removal *removal = SL_CONTAINER_OF(turn, struct sl_store_removal, turn);
    struct sl_store *store = removal->store;
    if (removal->conditions != NULL) {
        sl_store_open(store, &removal->look, removal->path, on_look_opened, removal);
        return;
    }
    removal->step = REMOVE_LOOK;
    sl_disk_stat(store->disk, &removal->op, removal->dir_fd, sl_local_leaf(removal->path), &removal->look.stat,
                 on_removal_step, removal);
}

/* ---- the order ---- */

static void on_folder_synced(struct sl_dirsync_waiter *waiter, sl_err err)
{
    struct sl_store_removal *removal = SL_CONTAINER_OF(waiter, struct sl_store_removal, dirsync);
    removal_close(removal, err, err == SL_OK ? 0 : waiter->sys_errno);
}

static void removal_sync(struct sl_store_removal *removal)
{
    if (removal->store->root->options.durability != SL_DURABILITY_FULL) {
        removal_close(removal, SL_OK, 0);
        return;
    }
    removal->dirsync.dir_fd = removal->dir_fd;
    sl_dirsync_wait(removal->store, removal->path, &removal->dirsync, on_folder_synced);
}

sl_err sl_local_absent_or(sl_err err)
{
    bool is_absent =
        err == SL_NOT_A_DIRECTORY || err == SL_IS_A_DIRECTORY || err == SL_OUTSIDE || err == SL_NAME_TOO_LONG;
    return is_absent ? SL_NOT_FOUND : err;
}

static void on_folder_opened(struct sl_store_removal *removal, const struct sl_disk_op *op)
{
    if (op->err != SL_OK) {
        removal->err = sl_local_absent_or(op->err);
        removal->sys_errno = op->sys_errno;
        removal_finish(removal);
        return;
    }
    removal->dir_fd = (int)op->result;
    sl_name_turn_take(removal->store, &removal->turn, removal->path, on_turn);
}

static void on_removal_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_removal *removal = ctx;
    enum removal_step step = (enum removal_step)removal->step;
    if (op->err != SL_OK && (step == REMOVE_LOOK || step == REMOVE_UNLINK)) {
        removal_close(removal, sl_local_absent_or(op->err), op->sys_errno);
        return;
    }
    switch (step) {
    case REMOVE_OPEN: on_folder_opened(removal, op); return;
    case REMOVE_LOOK:
        if (S_ISREG(removal->look.stat.stx_mode))
            on_removal_looked(removal, &removal->look.stat);
        else
            removal_close(removal, SL_NOT_FOUND, 0);
        return;
    case REMOVE_UNLINK:
        if (sl_twin_is_there(&removal->twin))
            sl_twin_drop(&removal->twin, on_twin_dropped);
        else
            removal_sync(removal);
        return;
    case REMOVE_CLOSE:
        removal->dir_fd = -1;
        removal_finish(removal);
        return;
    }
}

void sl_store_remove(struct sl_store *store, struct sl_store_removal *removal, const struct sl_path *path,
                     const struct sl_conditions *conditions, sl_store_removal_cb on_done, void *ctx)
{
    *removal = (struct sl_store_removal){.store = store, .path = path, .on_done = on_done, .ctx = ctx, .dir_fd = -1};
    if (conditions != NULL && sl_conditions_are_set(conditions))
        removal->conditions = conditions;
    size_t folder_len = sl_local_folder_len(path);
    memcpy(removal->folder, folder_len == 0 ? "." : path->text, folder_len == 0 ? 1 : folder_len);
    removal->step = REMOVE_OPEN;
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY, .resolve = SL_LOCAL_RESOLVE};
    sl_disk_open(store->disk, &removal->op, store->root->files_fd, removal->folder, how, on_removal_step, removal);
}
