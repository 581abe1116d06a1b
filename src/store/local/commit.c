/* Giving an object its name. The order is the promise:
 *
 *   cut to size, sync the file, open (make) the folder, link, sync the folder, close, answer
 *
 * so that a name is absent or whole at any moment, and durable when the answer goes out. Overwriting links under a
 * temporary name first and renames over the old one. Loop thread. */
#include "local.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#define RENAME_TRIES_MAX 1000

enum commit_step {
    COMMIT_TRUNCATE,
    COMMIT_SYNC,
    COMMIT_LINK,
    COMMIT_LINK_TEMP, /* overwrite: an unnamed file gets a name to be renamed from */
    COMMIT_LOOK,      /* overwrite: is there an older one? Only for the answer */
    COMMIT_REPLACE,
    COMMIT_DROP_TEMP, /* a named temporary file has its final name beside the old one */
    COMMIT_UNDO,
    COMMIT_CLOSE_DIR,
    COMMIT_CLOSE_FILE,
};

static void commit_run(struct sl_store_object *object, enum commit_step step);

static void on_commit_step(struct sl_disk_op *op, void *ctx);

static bool is_synced(const struct sl_store_object *object)
{
    return object->store->root->options.durability != SL_DURABILITY_NONE;
}

/* "a/photo-2.jpg" -> "a/photo.jpg" */
static void unnumber_path(struct sl_store_object *object)
{
    struct sl_path *path = object->path;
    char *stem_end = path->text + object->stem_len;
    memmove(stem_end, stem_end + object->digits, path->len - object->stem_len - object->digits + 1);
    path->len -= object->digits;
    object->digits = 0;
}

static void commit_finish(struct sl_store_object *object)
{
    if (object->err != SL_OK)
        unnumber_path(object);
    object->on_done(object, object->err, object->ctx);
}

static void commit_fail(struct sl_store_object *object, sl_err err, int sys_errno)
{
    object->err = err;
    object->sys_errno = sys_errno;
    if (object->walk.dir_fd >= 0)
        commit_run(object, COMMIT_CLOSE_DIR);
    else
        commit_finish(object);
}

/* ---- the folder ---- */

static void on_folder_open(struct sl_dir_walk *walk)
{
    struct sl_store_object *object = SL_CONTAINER_OF(walk, struct sl_store_object, walk);
    if (walk->err != SL_OK) {
        commit_fail(object, walk->err, walk->sys_errno);
        return;
    }
    commit_run(object, object->conflict == SL_CONFLICT_OVERWRITE ? COMMIT_LOOK : COMMIT_LINK);
}

static void open_folder(struct sl_store_object *object)
{
    sl_dir_walk_start(object->store, &object->walk, object->path, on_folder_open);
}

static void on_folder_synced(struct sl_dirsync_waiter *waiter, sl_err err)
{
    struct sl_store_object *object = SL_CONTAINER_OF(waiter, struct sl_store_object, dirsync);
    object->err = err;
    if (err != SL_OK)
        object->sys_errno = waiter->sys_errno;
    /* The folder could not be synced: the new name may or may not survive, so it must not stay. Where it took the place
     * of an older file it does stay: that one is gone already, and either content is better than none. */
    bool is_undone = err != SL_OK && !object->has_replaced;
    commit_run(object, is_undone ? COMMIT_UNDO : COMMIT_CLOSE_DIR);
}

static void on_named(struct sl_store_object *object)
{
    if (object->store->root->options.durability != SL_DURABILITY_FULL) {
        commit_run(object, COMMIT_CLOSE_DIR);
        return;
    }
    object->dirsync.dir_fd = object->walk.dir_fd;
    sl_dirsync_wait(object->store, object->path, &object->dirsync, on_folder_synced);
}

/* ---- the name ---- */

static void find_stem(struct sl_store_object *object)
{
    const char *leaf = sl_local_leaf(object->path), *dot = strrchr(leaf, '.');
    object->stem_len = dot == NULL || dot == leaf ? object->path->len : (size_t)(dot - object->path->text);
    object->number = object->digits = 0;
}

/* "a/photo.jpg" -> "a/photo-1.jpg" -> "a/photo-2.jpg". false: the segment would grow too long. */
static bool number_path(struct sl_store_object *object)
{
    struct sl_path *path = object->path;
    char digits[16];
    unsigned len = (unsigned)snprintf(digits, sizeof digits, "-%u", ++object->number);
    size_t new_len = path->len - object->digits + len, folder_len = (size_t)(sl_local_leaf(path) - path->text);
    if (new_len > SL_PATH_BYTES_MAX || new_len - folder_len > SL_SEGMENT_BYTES_MAX)
        return false;
    char *stem_end = path->text + object->stem_len;
    memmove(stem_end + len, stem_end + object->digits, path->len - object->stem_len - object->digits + 1);
    memcpy(stem_end, digits, len);
    path->len = new_len;
    object->digits = len;
    return true;
}

static void on_name_taken(struct sl_store_object *object, int sys_errno)
{
    if (object->conflict != SL_CONFLICT_RENAME || object->number == RENAME_TRIES_MAX || !number_path(object)) {
        commit_fail(object, SL_EXISTS, sys_errno);
        return;
    }
    commit_run(object, COMMIT_LINK);
}

static void on_linked(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err == SL_EXISTS) {
        on_name_taken(object, op->sys_errno);
    } else if (op->err != SL_OK) {
        commit_fail(object, op->err, op->sys_errno);
    } else if (object->is_named) {
        commit_run(object, COMMIT_DROP_TEMP);
    } else {
        on_named(object);
    }
}

static void on_looked(struct sl_store_object *object, const struct sl_disk_op *op)
{
    object->has_replaced = op->err == SL_OK;
    if (op->err != SL_OK && op->err != SL_NOT_FOUND) {
        commit_fail(object, op->err, op->sys_errno);
        return;
    }
    if (op->err == SL_OK && !S_ISREG(object->look.stat.stx_mode)) {
        bool is_folder = S_ISDIR(object->look.stat.stx_mode);
        commit_fail(object, is_folder ? SL_IS_A_DIRECTORY : SL_EXISTS, 0);
        return;
    }
    commit_run(object, object->is_named ? COMMIT_REPLACE : COMMIT_LINK_TEMP);
}

static void on_undone(struct sl_store_object *object)
{
    if (object->err == SL_OK)
        object->err = SL_IO;
    commit_run(object, COMMIT_CLOSE_DIR);
}

/* ---- the order ---- */

static void on_commit_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    enum commit_step step = (enum commit_step)object->step;
    bool is_last_word = step == COMMIT_CLOSE_DIR || step == COMMIT_CLOSE_FILE || step == COMMIT_UNDO ||
                        step == COMMIT_DROP_TEMP || step == COMMIT_LINK || step == COMMIT_LOOK;
    if (op->err != SL_OK && !is_last_word) {
        commit_fail(object, op->err, op->sys_errno);
        return;
    }
    switch (step) {
    case COMMIT_TRUNCATE:
        if (is_synced(object))
            commit_run(object, COMMIT_SYNC);
        else
            open_folder(object);
        return;
    case COMMIT_SYNC: open_folder(object); return;
    case COMMIT_LINK: on_linked(object, op); return;
    case COMMIT_LOOK: on_looked(object, op); return;
    case COMMIT_LINK_TEMP:
        object->is_named = true;
        commit_run(object, COMMIT_REPLACE);
        return;
    case COMMIT_REPLACE:
        object->is_named = false;
        on_named(object);
        return;
    case COMMIT_DROP_TEMP:
        object->is_named = false;
        on_named(object);
        return;
    case COMMIT_UNDO: on_undone(object); return;
    case COMMIT_CLOSE_DIR:
        object->walk.dir_fd = -1;
        if (object->err == SL_OK)
            commit_run(object, COMMIT_CLOSE_FILE);
        else
            commit_finish(object); /* the owner aborts, which closes the file */
        return;
    case COMMIT_CLOSE_FILE:
        object->fd = -1;
        commit_finish(object);
        return;
    }
}

static void commit_run(struct sl_store_object *object, enum commit_step step)
{
    struct sl_disk *disk = object->store->disk;
    struct sl_disk_op *op = &object->op;
    int uploads_fd = object->store->root->uploads_fd, dir_fd = object->walk.dir_fd;
    const char *leaf = sl_local_leaf(object->path);
    object->step = step;
    object->is_exposed |= step == COMMIT_LINK || step == COMMIT_REPLACE;
    switch (step) {
    case COMMIT_TRUNCATE: sl_disk_truncate(disk, op, object->fd, object->size, on_commit_step, object); return;
    case COMMIT_SYNC: {
        bool data_only = object->store->root->options.durability == SL_DURABILITY_DATA;
        sl_disk_sync(disk, op, object->fd, data_only, on_commit_step, object);
        return;
    }
    case COMMIT_LINK:
        if (object->is_named)
            sl_disk_link(disk, op, uploads_fd, object->temp, dir_fd, leaf, 0, on_commit_step, object);
        else
            sl_disk_link(disk, op, AT_FDCWD, object->proc, dir_fd, leaf, AT_SYMLINK_FOLLOW, on_commit_step, object);
        return;
    case COMMIT_LOOK: sl_disk_stat(disk, op, dir_fd, leaf, &object->look.stat, on_commit_step, object); return;
    case COMMIT_LINK_TEMP:
        sl_disk_link(disk, op, AT_FDCWD, object->proc, uploads_fd, object->temp, AT_SYMLINK_FOLLOW, on_commit_step,
                     object);
        return;
    case COMMIT_REPLACE:
        sl_disk_rename(disk, op, uploads_fd, object->temp, dir_fd, leaf, 0, on_commit_step, object);
        return;
    case COMMIT_DROP_TEMP: sl_disk_unlink(disk, op, uploads_fd, object->temp, false, on_commit_step, object); return;
    case COMMIT_UNDO: sl_disk_unlink(disk, op, dir_fd, leaf, false, on_commit_step, object); return;
    case COMMIT_CLOSE_DIR: sl_disk_close(disk, op, dir_fd, on_commit_step, object); return;
    case COMMIT_CLOSE_FILE: sl_disk_close(disk, op, object->fd, on_commit_step, object); return;
    }
}

static void commit_start(struct sl_store_object *object)
{
    if (object->allocated > object->size)
        commit_run(object, COMMIT_TRUNCATE);
    else if (is_synced(object))
        commit_run(object, COMMIT_SYNC);
    else
        open_folder(object);
}

void sl_store_commit(struct sl_store_object *object, struct sl_path *path, uint64_t size, enum sl_conflict conflict,
                     sl_store_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && sl_disk_op_is_idle(&object->op));
    object->path = path;
    object->size = size;
    object->conflict = conflict;
    object->on_done = on_done;
    object->ctx = ctx;
    object->err = SL_OK;
    find_stem(object);
    object->walk.dir_fd = -1;
    sl_local_when_grown(object, commit_start);
}
