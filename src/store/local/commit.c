/* Giving an object its name. The order is the promise:
 *
 *   cut to size, describe, sync the file, open (make) the folder, link, sync the folder, close, answer
 *
 * so that a name is absent or whole at any moment, and durable when the answer goes out. Overwriting links under a
 * temporary name first and renames over the old one. Where the outcome hangs on what has the name now, the look at
 * it and the change are one step, in a turn for the name. Loop thread. */
#include "local.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#define RENAME_TRIES_MAX 1000
#define LOOKS_MAX        8 /* at a name that somebody outside of this process makes and removes all the time */

enum commit_step {
    COMMIT_TRUNCATE,
    COMMIT_DESCRIBE,
    COMMIT_STAT, /* the entity tag of a file without a digest is made of its numbers */
    COMMIT_SYNC,
    COMMIT_LINK,
    COMMIT_LINK_TEMP, /* overwrite: an unnamed file gets a name to be renamed from */
    COMMIT_LOOK,      /* overwrite without conditions: is there an older one? Only for the answer */
    COMMIT_REPLACE,
    COMMIT_DROP_TEMP, /* a named temporary file has its final name beside the old one */
    COMMIT_UNDO,
    COMMIT_CLOSE_DIR,
    COMMIT_CLOSE_FILE,
};

static void commit_run(struct sl_store_object *object, enum commit_step step);

static void on_commit_step(struct sl_disk_op *op, void *ctx);

static bool has_conditions(const struct sl_store_object *object)
{
    return object->terms->conditions != NULL && sl_conditions_are_set(object->terms->conditions);
}

/* "a/photo-2.jpg" -> "a/photo.jpg". Without a number the path is not touched: other loops may be reading it, to
 * compare it with the name they wait for. */
static void unnumber_path(struct sl_store_object *object)
{
    struct sl_path *path = object->path;
    if (object->digits == 0)
        return;
    char *stem_end = path->text + object->stem_len;
    memmove(stem_end, stem_end + object->digits, path->len - object->stem_len - object->digits + 1);
    path->len -= object->digits;
    object->digits = 0;
}

static void commit_finish(struct sl_store_object *object)
{
    sl_name_turn_give(&object->turn);
    if (object->err != SL_OK) {
        bool is_told = (object->err == SL_EXISTS || object->err == SL_PRECONDITION) && object->holder != NULL;
        unnumber_path(object);
        snprintf(object->etag, sizeof object->etag, "%s", is_told ? object->holder->etag : "");
    }
    sl_holder_forget(object);
    object->on_done(object, object->err, object->ctx);
}

static void close_up(struct sl_store_object *object)
{
    if (object->walk.dir_fd >= 0)
        commit_run(object, COMMIT_CLOSE_DIR);
    else
        commit_finish(object);
}

/* Whoever is refused is told whom it met, as far as that can be known. */
static void on_holder_to_tell(struct sl_store_object *object, sl_err err)
{
    (void)err;
    close_up(object);
}

static void commit_fail(struct sl_store_object *object, sl_err err, int sys_errno)
{
    object->err = err;
    object->sys_errno = sys_errno;
    unnumber_path(object);
    if (err == SL_EXISTS && object->holder == NULL)
        sl_holder_look(object, on_holder_to_tell);
    else
        close_up(object);
}

/* ---- what is known about it ---- */

static void commit_sync(struct sl_store_object *object);

/* Now all its bytes were written, and whoever writes later is found out by the file's time. */
static void commit_describe(struct sl_store_object *object)
{
    struct sl_room meta = object->terms->meta;
    object->created_ns = sl_clock_wall_ns();
    object->has_kept_meta = false;
    if (meta.len > 0)
        sl_meta_set_times(meta.base, meta.len, object->begun_ns, object->created_ns);
    commit_run(object, meta.len > 0 && object->store->root->has_meta ? COMMIT_DESCRIBE : COMMIT_STAT);
}

/* Attributes that this file system does not have, or not of this size, are done without. */
static void on_described(struct sl_store_object *object, const struct sl_disk_op *op)
{
    struct sl_bytes encoded = {object->terms->meta.base, object->terms->meta.len};
    struct sl_meta meta;
    object->has_kept_meta = op->err == SL_OK;
    bool is_kept = op->err == SL_OK && sl_meta_decode(encoded, &meta) == SL_OK;
    if (op->err != SL_OK && op->err != SL_UNSUPPORTED && op->err != SL_TOO_LARGE)
        commit_fail(object, op->err, op->sys_errno);
    else if (is_kept && sl_local_etag_of_digests(&meta.digests, object->etag))
        commit_sync(object);
    else
        commit_run(object, COMMIT_STAT);
}

static void on_stat(struct sl_store_object *object)
{
    const struct statx *stat = &object->look.stat;
    struct sl_meta none;
    sl_local_identify((struct sl_bytes){NULL, 0}, stat->stx_size, sl_local_modified_ns(stat), stat->stx_ino, &none,
                      object->etag);
    commit_sync(object);
}

/* ---- the folder ---- */

static void look_first(struct sl_name_turn *turn);

/* Where nothing hangs on the name being there, the link alone decides, and nobody waits. */
static bool needs_turn(const struct sl_store_object *object)
{
    const struct sl_conditions *conditions = object->terms->conditions;
    return object->terms->conflict == SL_CONFLICT_OVERWRITE ||
           (has_conditions(object) &&
            (conditions->if_match.base != NULL || conditions->if_unmodified_since.base != NULL));
}

static void on_folder_open(struct sl_dir_walk *walk)
{
    struct sl_store_object *object = SL_CONTAINER_OF(walk, struct sl_store_object, walk);
    if (walk->err != SL_OK)
        commit_fail(object, walk->err, walk->sys_errno);
    else if (needs_turn(object))
        sl_name_turn_take(object->store, &object->turn, object->path, look_first);
    else
        commit_run(object, COMMIT_LINK);
}

static void open_folder(struct sl_store_object *object)
{
    sl_dir_walk_start(object->store, &object->walk, object->path, on_folder_open);
}

static void commit_sync(struct sl_store_object *object)
{
    if (object->store->root->options.durability != SL_DURABILITY_NONE)
        commit_run(object, COMMIT_SYNC);
    else
        open_folder(object);
}

static void on_folder_synced(struct sl_dirsync_waiter *waiter, sl_err err)
{
    struct sl_store_object *object = SL_CONTAINER_OF(waiter, struct sl_store_object, dirsync);
    object->err = err;
    if (err != SL_OK)
        object->sys_errno = waiter->sys_errno;
    /* The folder could not be synced: the new name may or may not survive, so it must not stay. Where it took the
     * place of an older file it does stay: that one is gone already, and either content is better than none. */
    bool is_undone = err != SL_OK && !object->has_replaced;
    commit_run(object, is_undone ? COMMIT_UNDO : COMMIT_CLOSE_DIR);
}

/* What has replaced another stays, so the next one may look at it while the folder is synced. What may yet be undone
 * keeps its turn: nobody is to replace it meanwhile and have that undone. */
static void on_named(struct sl_store_object *object)
{
    if (object->has_replaced)
        sl_name_turn_give(&object->turn);
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

/* The name asked for is not touched: its turn is over, and which number is free the link decides. */
static void on_name_taken(struct sl_store_object *object, int sys_errno)
{
    sl_name_turn_give(&object->turn);
    if (object->terms->conflict != SL_CONFLICT_RENAME || object->number == RENAME_TRIES_MAX || !number_path(object)) {
        commit_fail(object, SL_EXISTS, sys_errno);
        return;
    }
    commit_run(object, COMMIT_LINK);
}

static void replace(struct sl_store_object *object)
{
    commit_run(object, object->is_named ? COMMIT_REPLACE : COMMIT_LINK_TEMP);
}

/* Conditions come before the rule for names that exist. Only a link is sure to replace nothing, so what was not
 * there is made by one. */
static void on_holder_to_judge(struct sl_store_object *object, sl_err err)
{
    const struct sl_store_reader *holder = object->holder;
    bool is_file = sl_holder_is_file(holder);
    object->has_replaced = false;
    if (err != SL_OK) {
        commit_fail(object, err, holder->sys_errno);
    } else if (!sl_holder_passes(holder, object->terms->conditions)) {
        commit_fail(object, SL_PRECONDITION, 0);
    } else if (!is_file && holder->cause == SL_NOT_FOUND) {
        commit_run(object, COMMIT_LINK);
    } else if (object->terms->conflict != SL_CONFLICT_OVERWRITE) {
        on_name_taken(object, 0);
    } else if (is_file) {
        object->has_replaced = true;
        replace(object);
    } else {
        commit_fail(object, holder->cause == SL_IS_A_DIRECTORY ? SL_IS_A_DIRECTORY : SL_EXISTS, 0);
    }
}

static void look_first(struct sl_name_turn *turn)
{
    struct sl_store_object *object = SL_CONTAINER_OF(turn, struct sl_store_object, turn);
    if (has_conditions(object))
        sl_holder_look(object, on_holder_to_judge);
    else
        commit_run(object, COMMIT_LOOK);
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
    replace(object);
}

static void on_linked(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err == SL_EXISTS && object->number == 0 && has_conditions(object) && object->looks < LOOKS_MAX) {
        sl_holder_look(object, on_holder_to_judge);
    } else if (op->err == SL_EXISTS) {
        on_name_taken(object, op->sys_errno);
    } else if (op->err != SL_OK) {
        commit_fail(object, op->err, op->sys_errno);
    } else if (object->is_named) {
        commit_run(object, COMMIT_DROP_TEMP);
    } else {
        on_named(object);
    }
}

static void on_undone(struct sl_store_object *object)
{
    if (object->err == SL_OK)
        object->err = SL_IO;
    commit_run(object, COMMIT_CLOSE_DIR);
}

/* ---- the order ---- */

static bool is_last_word(enum commit_step step)
{
    return step == COMMIT_CLOSE_DIR || step == COMMIT_CLOSE_FILE || step == COMMIT_UNDO || step == COMMIT_DROP_TEMP ||
           step == COMMIT_LINK || step == COMMIT_LOOK || step == COMMIT_DESCRIBE;
}

static void on_commit_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    enum commit_step step = (enum commit_step)object->step;
    if (op->err != SL_OK && !is_last_word(step)) {
        commit_fail(object, op->err, op->sys_errno);
        return;
    }
    switch (step) {
    case COMMIT_TRUNCATE: commit_describe(object); return;
    case COMMIT_DESCRIBE: on_described(object, op); return;
    case COMMIT_STAT: on_stat(object); return;
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
    struct sl_room meta = object->terms->meta;
    int uploads_fd = object->store->root->uploads_fd, dir_fd = object->walk.dir_fd, fd = object->fd;
    const char *leaf = sl_local_leaf(object->path);
    object->step = step;
    object->is_exposed |= step == COMMIT_LINK || step == COMMIT_REPLACE;
    switch (step) {
    case COMMIT_TRUNCATE: sl_disk_truncate(disk, op, fd, object->size, on_commit_step, object); return;
    case COMMIT_DESCRIBE:
        sl_disk_setxattr(disk, op, fd, SL_LOCAL_META, meta.base, meta.len, on_commit_step, object);
        return;
    case COMMIT_STAT: sl_disk_stat(disk, op, fd, "", &object->look.stat, on_commit_step, object); return;
    case COMMIT_SYNC: {
        bool data_only = object->store->root->options.durability == SL_DURABILITY_DATA;
        sl_disk_sync(disk, op, fd, data_only, on_commit_step, object);
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
    case COMMIT_CLOSE_FILE: sl_disk_close(disk, op, fd, on_commit_step, object); return;
    }
}

static void commit_start(struct sl_store_object *object)
{
    if (object->allocated > object->size)
        commit_run(object, COMMIT_TRUNCATE);
    else
        commit_describe(object);
}

void sl_store_commit(struct sl_store_object *object, struct sl_path *path, uint64_t size,
                     const struct sl_store_terms *terms, sl_store_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && sl_disk_op_is_idle(&object->op));
    object->path = path;
    object->size = size;
    object->terms = terms;
    object->on_done = on_done;
    object->ctx = ctx;
    object->err = SL_OK;
    find_stem(object);
    object->walk.dir_fd = -1;
    sl_local_when_grown(object, commit_start);
}
