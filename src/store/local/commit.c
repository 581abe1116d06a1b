/* Giving an object its name. The order is the promise:
 *
 *   cut to size, describe, sync the file, open (make) the folder, link, sync the folder, close, answer
 *
 * so that a name is absent or whole at any moment, and durable when the answer goes out. Overwriting links under a
 * temporary name first and renames over the old one. One that is to be kept (store/kept.h) gets its last state, and
 * its id if it had none, behind all that and without a sync: that it has its name is found out again by the number of
 * its links and by its description. Then a commit looks for that name and touches nothing. Where the outcome hangs on
 * what has the name now, the look at it and the change are one step, in a turn for the name; so are they where a name
 * is taken back. Loop thread, or away (away.c) where no turn, no sync and no owner is asked for. */
#include "local.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#define RENAME_TRIES_MAX 1000
#define LOOKS_MAX        8            /* at a name that others make and remove all the time */
#define CLOCK_LOOK_NS    (SL_MS / 10) /* from a look at one clock to one at the other */

enum commit_step {
    COMMIT_TRUNCATE,
    COMMIT_STAT_FIRST, /* where the file's time may not fit to our clock */
    COMMIT_DESCRIBE,
    COMMIT_STAT, /* the entity tag of a file without a digest is made of its numbers */
    COMMIT_SYNC,
    COMMIT_LINK,
    COMMIT_LINK_TEMP, /* overwrite: an unnamed file gets a name to be renamed from */
    COMMIT_LOOK,      /* overwrite without conditions: is there an older one? */
    COMMIT_REPLACE,
    COMMIT_DROP_TEMP, /* a named temporary file has its final name beside the old one */
    COMMIT_UNDO_STAT, /* who are we, */
    COMMIT_UNDO_LOOK, /* and is it still us who have the name? */
    COMMIT_UNDO,
    COMMIT_NOTE, /* its last state, */
    COMMIT_KEEP, /* and its id */
    COMMIT_DROP_KEPT,
    COMMIT_CLOSE_DIR,
    COMMIT_CLOSE_FILE,
};

static void commit_run(struct sl_store_object *object, enum commit_step step);

static void on_commit_step(struct sl_disk_op *op, void *ctx);

static bool has_conditions(const struct sl_store_object *object)
{
    return object->terms->conditions != NULL && sl_conditions_are_set(object->terms->conditions);
}

/* What is kept stays: on the way its owner is asked for its state. */
static void go_away(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object))
{
    if (object->kept != NULL || object->terms->keep_id != NULL || object->is_linked)
        go_on(object);
    else
        sl_local_go_away(object, go_on);
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

static void commit_tell(struct sl_store_object *object)
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

static void commit_finish(struct sl_store_object *object)
{
    sl_local_come_home(object, commit_tell);
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

/* What a file needs for its name was there when we began. Where it is gone, somebody takes the store away. */
static void commit_fail(struct sl_store_object *object, sl_err err, int sys_errno)
{
    object->err = err == SL_NOT_FOUND && !object->is_linked ? SL_IO : err;
    object->sys_errno = sys_errno;
    unnumber_path(object);
    if (err == SL_EXISTS && object->holder == NULL)
        sl_holder_look(object, on_holder_to_tell);
    else
        close_up(object);
}

/* ---- what is known about it ---- */

static void commit_sync(struct sl_store_object *object);

static void commit_attach(struct sl_store_object *object, uint64_t begun_ns, uint64_t created_ns)
{
    sl_meta_set_times(object->terms->meta.base, object->meta_len, begun_ns, created_ns);
    commit_run(object, COMMIT_DESCRIBE);
}

/* The clock was set back since the object was begun; what lies between two looks at the clocks is no change. */
static bool is_clock_set_back(const struct sl_store_object *object)
{
    uint64_t gap_ns = object->created_ns - sl_clock_now_ns();
    return object->clock_gap_ns > gap_ns && object->clock_gap_ns - gap_ns > CLOCK_LOOK_NS;
}

/* Now all its bytes were written, and whoever writes later is found out by the file's time. */
static void commit_describe(struct sl_store_object *object)
{
    const struct sl_store_root *root = object->store->root;
    object->created_ns = sl_clock_wall_ns();
    object->has_kept_meta = object->has_kept_fields = object->has_kept_state = object->has_look = false;
    object->meta_len = object->terms->meta.len;
    if (object->meta_len == 0 || !root->has_meta)
        commit_run(object, COMMIT_STAT);
    else if (root->has_coarse_times || object->is_resumed || is_clock_set_back(object))
        commit_run(object, COMMIT_STAT_FIRST);
    else
        commit_attach(object, object->begun_ns, object->created_ns);
}

/* The entity tag that is told now must be the one that is told later: the times that vouch for the digests take in
 * that of the file, be it rounded or of another clock. */
static void on_stat_first(struct sl_store_object *object)
{
    uint64_t modified_ns = sl_local_modified_ns(&object->look.stat);
    object->has_look = true;
    commit_attach(object, modified_ns < object->begun_ns ? modified_ns : object->begun_ns,
                  modified_ns > object->created_ns ? modified_ns : object->created_ns);
}

static void on_stat(struct sl_store_object *object);

/* Attributes that this file system does not have, or not of this size, are done without. ext4 says "no space" of those
 * that are too long for a block: of a disk that is really full the next steps tell. */
static void on_described(struct sl_store_object *object, const struct sl_disk_op *op)
{
    struct sl_room room = object->terms->meta;
    struct sl_meta meta;
    bool is_too_long = op->err == SL_TOO_LARGE || op->err == SL_NO_SPACE;
    size_t short_len = is_too_long ? sl_meta_len_without_fields(room.base, object->meta_len) : object->meta_len;
    if (short_len < object->meta_len) {
        object->meta_len = short_len;
        commit_run(object, COMMIT_DESCRIBE);
        return;
    }
    object->has_kept_meta = op->err == SL_OK;
    object->has_kept_fields = op->err == SL_OK && object->meta_len == room.len;
    bool is_kept = op->err == SL_OK && sl_meta_decode((struct sl_bytes){room.base, object->meta_len}, &meta) == SL_OK;
    bool is_needed = object->kept != NULL || object->terms->keep_id != NULL; /* it tells our name from a backup's */
    if (op->err != SL_OK && (is_needed || (op->err != SL_UNSUPPORTED && !is_too_long)))
        commit_fail(object, is_too_long ? SL_NO_SPACE : op->err, op->sys_errno);
    else if (is_kept && sl_local_etag_of_digests(&meta.digests, object->etag))
        commit_sync(object);
    else if (object->has_look)
        on_stat(object);
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
static void look_for_itself(struct sl_store_object *object);

/* Where nothing hangs on the name being there, the link alone decides, and nobody waits. So a name that is not there
 * may be made at any moment, turn or not. */
static bool needs_turn(const struct sl_store_object *object)
{
    const struct sl_conditions *conditions = object->terms->conditions;
    return object->terms->conflict == SL_CONFLICT_OVERWRITE ||
           (has_conditions(object) &&
            (conditions->if_match.base != NULL || conditions->if_unmodified_since.base != NULL));
}

static void take_turn(struct sl_store_object *object)
{
    sl_name_turn_take(object->store, &object->turn, object->path, look_first);
}

static void go_into_folder(struct sl_store_object *object)
{
    if (object->is_linked)
        look_for_itself(object);
    else if (needs_turn(object))
        sl_local_come_home(object, take_turn);
    else
        commit_run(object, COMMIT_LINK);
}

static void on_folder_made(struct sl_dir_walk *walk)
{
    struct sl_store_object *object = SL_CONTAINER_OF(walk, struct sl_store_object, walk);
    if (walk->err != SL_OK)
        commit_fail(object, walk->err, walk->sys_errno);
    else
        go_away(object, go_into_folder);
}

static void make_folder(struct sl_store_object *object)
{
    sl_dir_make(object->store, &object->walk, object->path, on_folder_made);
}

static void on_folder_open(struct sl_dir_walk *walk)
{
    struct sl_store_object *object = SL_CONTAINER_OF(walk, struct sl_store_object, walk);
    if (walk->err == SL_NOT_FOUND && walk->folder_len > 0)
        sl_local_come_home(object, make_folder);
    else if (walk->err != SL_OK)
        commit_fail(object, walk->err, walk->sys_errno);
    else
        go_into_folder(object);
}

static void open_folder(struct sl_store_object *object)
{
    sl_dir_open(object->store, &object->walk, object->path, on_folder_open);
}

static void sync_file(struct sl_store_object *object)
{
    commit_run(object, COMMIT_SYNC);
}

static void commit_sync(struct sl_store_object *object)
{
    if (object->store->root->options.durability != SL_DURABILITY_NONE)
        sl_local_come_home(object, sync_file);
    else
        open_folder(object);
}

static void undo_in_turn(struct sl_name_turn *turn)
{
    commit_run(SL_CONTAINER_OF(turn, struct sl_store_object, turn), COMMIT_UNDO_STAT);
}

/* Without a turn the name may have been given to another since, who was told so and must not pay for it. */
static void undo(struct sl_store_object *object)
{
    if (object->turn.store != NULL)
        undo_in_turn(&object->turn);
    else
        sl_name_turn_take(object->store, &object->turn, object->path, undo_in_turn);
}

static void on_undo_stat(struct sl_store_object *object, const struct sl_disk_op *op)
{
    const struct statx *stat = &object->look.stat;
    object->inode = stat->stx_ino;
    object->major = stat->stx_dev_major;
    object->minor = stat->stx_dev_minor;
    commit_run(object, op->err == SL_OK ? COMMIT_UNDO_LOOK : COMMIT_CLOSE_DIR);
}

static void on_undo_look(struct sl_store_object *object, const struct sl_disk_op *op)
{
    const struct statx *stat = &object->look.stat;
    bool is_ours = op->err == SL_OK && stat->stx_ino == object->inode && stat->stx_dev_major == object->major &&
                   stat->stx_dev_minor == object->minor;
    commit_run(object, is_ours ? COMMIT_UNDO : COMMIT_CLOSE_DIR);
}

/* It has its name, whatever comes of this. */
static void commit_keep(struct sl_store_object *object)
{
    if (object->terms->keep_id != NULL && object->store->root->has_meta)
        commit_run(object, COMMIT_NOTE);
    else if (object->kept != NULL)
        commit_run(object, COMMIT_DROP_KEPT);
    else
        commit_run(object, COMMIT_CLOSE_DIR);
}

static void on_noted(struct sl_store_object *object, const struct sl_disk_op *op)
{
    sl_kept_forget_value(object);
    object->has_kept_state = op->err == SL_OK;
    commit_run(object, op->err == SL_OK && object->kept == NULL ? COMMIT_KEEP : COMMIT_CLOSE_DIR);
}

static void on_folder_synced(struct sl_dirsync_waiter *waiter, sl_err err)
{
    struct sl_store_object *object = SL_CONTAINER_OF(waiter, struct sl_store_object, dirsync);
    sl_local_sync_ended(object);
    object->err = err;
    if (err != SL_OK)
        object->sys_errno = waiter->sys_errno;
    /* The folder could not be synced: the new name may or may not survive, so it must not stay. Where it took the
     * place of an older file it does stay: that one is gone already, and either content is better than none. So does
     * one that was found: it may have been answered. */
    if (err == SL_OK)
        go_away(object, commit_keep);
    else if (object->has_replaced || object->is_linked)
        commit_run(object, COMMIT_CLOSE_DIR);
    else
        undo(object);
}

static void sync_folder(struct sl_store_object *object)
{
    object->dirsync.dir_fd = object->walk.dir_fd;
    sl_local_sync_begun(object);
    sl_dirsync_wait(object->store, object->path, &object->dirsync, on_folder_synced);
}

/* What has replaced another stays, so the next one may look at it while the folder is synced. What may yet be undone
 * keeps its turn, if it has one: who comes next is not to look at what will be gone. */
static void on_named(struct sl_store_object *object)
{
    if (object->has_replaced)
        sl_name_turn_give(&object->turn);
    if (object->store->root->options.durability != SL_DURABILITY_FULL) {
        commit_keep(object);
        return;
    }
    sl_local_come_home(object, sync_folder);
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

static void replace_now(struct sl_store_object *object)
{
    commit_run(object, object->is_named ? COMMIT_REPLACE : COMMIT_LINK_TEMP);
}

static void on_twin_found(struct sl_twin *twin)
{
    replace_now(SL_CONTAINER_OF(twin, struct sl_store_object, twin));
}

static void replace(struct sl_store_object *object, const struct statx *older)
{
    object->has_replaced = true;
    if (older->stx_nlink > 1)
        sl_twin_find(object->store, &object->twin, object->walk.dir_fd, sl_local_leaf(object->path), older,
                     on_twin_found);
    else
        replace_now(object);
}

static void on_twin_dropped(struct sl_twin *twin)
{
    on_named(SL_CONTAINER_OF(twin, struct sl_store_object, twin));
}

static void on_replaced(struct sl_store_object *object)
{
    object->is_named = false;
    if (sl_twin_is_there(&object->twin))
        sl_twin_drop(&object->twin, on_twin_dropped);
    else
        on_named(object);
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
        replace(object, &holder->stat);
    } else {
        commit_fail(object, holder->cause == SL_IS_A_DIRECTORY ? SL_IS_A_DIRECTORY : SL_EXISTS, 0);
    }
}

static void look_at_name(struct sl_store_object *object)
{
    if (has_conditions(object)) {
        sl_holder_look(object, on_holder_to_judge);
        return;
    }
    object->looks++;
    commit_run(object, COMMIT_LOOK);
}

static void look_first(struct sl_name_turn *turn)
{
    look_at_name(SL_CONTAINER_OF(turn, struct sl_store_object, turn));
}

static void on_looked(struct sl_store_object *object, const struct sl_disk_op *op)
{
    object->has_replaced = false;
    if (op->err != SL_OK && op->err != SL_NOT_FOUND) {
        commit_fail(object, op->err, op->sys_errno);
        return;
    }
    if (op->err == SL_OK && !S_ISREG(object->look.stat.stx_mode)) {
        bool is_folder = S_ISDIR(object->look.stat.stx_mode);
        commit_fail(object, is_folder ? SL_IS_A_DIRECTORY : SL_EXISTS, 0);
        return;
    }
    if (op->err == SL_OK)
        replace(object, &object->look.stat);
    else
        commit_run(object, COMMIT_LINK);
}

/* Somebody made the name since we looked. */
static bool is_looked_at_again(const struct sl_store_object *object)
{
    bool has_looked = has_conditions(object) || object->terms->conflict == SL_CONFLICT_OVERWRITE;
    return has_looked && object->number == 0 && object->looks < LOOKS_MAX;
}

static void on_linked(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err == SL_EXISTS && is_looked_at_again(object)) {
        look_at_name(object);
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

/* ---- the name that it has already ---- */

static bool is_itself(const struct sl_store_object *object)
{
    const struct sl_store_reader *holder = object->holder;
    return sl_holder_is_file(holder) && holder->inode == object->inode &&
           holder->stat.stx_dev_major == object->major && holder->stat.stx_dev_minor == object->minor;
}

/* Synced once more: the crash may have come before that. Of several numbers some may be free by now. */
static void on_holder_to_compare(struct sl_store_object *object, sl_err err)
{
    const struct sl_store_reader *holder = object->holder;
    if (err != SL_OK) {
        commit_fail(object, err, holder->sys_errno);
    } else if (is_itself(object)) {
        snprintf(object->etag, sizeof object->etag, "%s", holder->etag);
        object->created_ns = holder->meta.created_ns != 0 ? holder->meta.created_ns : holder->modified_ns;
        object->has_kept_meta = object->has_kept_fields = holder->meta.created_ns != 0;
        on_named(object);
    } else if (object->terms->conflict == SL_CONFLICT_RENAME && object->number < RENAME_TRIES_MAX &&
               number_path(object)) {
        look_for_itself(object);
    } else {
        commit_fail(object, sl_holder_is_file(holder) ? SL_EXISTS : SL_NOT_FOUND, 0);
    }
}

static void look_for_itself(struct sl_store_object *object)
{
    sl_holder_look(object, on_holder_to_compare);
}

/* ---- the order ---- */

static bool is_last_word(enum commit_step step)
{
    return step == COMMIT_CLOSE_DIR || step == COMMIT_CLOSE_FILE || step == COMMIT_UNDO || step == COMMIT_DROP_TEMP ||
           step == COMMIT_LINK || step == COMMIT_LOOK || step == COMMIT_DESCRIBE || step == COMMIT_UNDO_STAT ||
           step == COMMIT_UNDO_LOOK || step == COMMIT_NOTE || step == COMMIT_KEEP || step == COMMIT_DROP_KEPT;
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
    case COMMIT_STAT_FIRST: on_stat_first(object); return;
    case COMMIT_DESCRIBE: on_described(object, op); return;
    case COMMIT_STAT: on_stat(object); return;
    case COMMIT_SYNC:
        sl_local_sync_ended(object);
        go_away(object, open_folder);
        return;
    case COMMIT_LINK: on_linked(object, op); return;
    case COMMIT_LOOK: on_looked(object, op); return;
    case COMMIT_LINK_TEMP:
        object->is_named = true;
        commit_run(object, COMMIT_REPLACE);
        return;
    case COMMIT_REPLACE: on_replaced(object); return;
    case COMMIT_DROP_TEMP:
        object->is_named = false;
        on_named(object);
        return;
    case COMMIT_UNDO_STAT: on_undo_stat(object, op); return;
    case COMMIT_UNDO_LOOK: on_undo_look(object, op); return;
    case COMMIT_UNDO: commit_run(object, COMMIT_CLOSE_DIR); return;
    case COMMIT_NOTE: on_noted(object, op); return;
    case COMMIT_KEEP:
        if (op->err == SL_OK)
            sl_kept_set_id(object, object->terms->keep_id);
        commit_run(object, COMMIT_CLOSE_DIR);
        return;
    case COMMIT_DROP_KEPT:
        object->kept = NULL;
        commit_run(object, COMMIT_CLOSE_DIR);
        return;
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

/* Another name for it, from the one that it has, if it has one. */
static void link_from_uploads(struct sl_store_object *object, int to_fd, const char *to)
{
    const char *from = object->is_named ? object->temp : object->kept != NULL ? object->kept : object->proc;
    bool is_unnamed = from == object->proc;
    sl_disk_link(object->store->disk, &object->op, is_unnamed ? AT_FDCWD : object->store->root->uploads_fd, from,
                 to_fd, to, is_unnamed ? AT_SYMLINK_FOLLOW : 0, on_commit_step, object);
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
        sl_disk_setxattr(disk, op, fd, SL_LOCAL_META, meta.base, object->meta_len, on_commit_step, object);
        return;
    case COMMIT_STAT_FIRST:
    case COMMIT_STAT:
    case COMMIT_UNDO_STAT: sl_disk_stat(disk, op, fd, "", &object->look.stat, on_commit_step, object); return;
    case COMMIT_SYNC: {
        bool data_only = object->store->root->options.durability == SL_DURABILITY_DATA;
        sl_local_sync_begun(object);
        sl_disk_sync(disk, op, fd, data_only, on_commit_step, object);
        return;
    }
    case COMMIT_LINK: link_from_uploads(object, dir_fd, leaf); return;
    case COMMIT_LOOK:
    case COMMIT_UNDO_LOOK: sl_disk_stat(disk, op, dir_fd, leaf, &object->look.stat, on_commit_step, object); return;
    case COMMIT_LINK_TEMP: link_from_uploads(object, uploads_fd, object->temp); return;
    case COMMIT_REPLACE:
        sl_disk_rename(disk, op, uploads_fd, object->temp, dir_fd, leaf, 0, on_commit_step, object);
        return;
    case COMMIT_DROP_TEMP: sl_disk_unlink(disk, op, uploads_fd, object->temp, false, on_commit_step, object); return;
    case COMMIT_UNDO: sl_disk_unlink(disk, op, dir_fd, leaf, false, on_commit_step, object); return;
    case COMMIT_NOTE: {
        const struct sl_store_terms *terms = object->terms;
        struct sl_bytes state = terms->state;
        if (terms->state_of != NULL)
            state = terms->state_of(object->path, terms->state_ctx);
        sl_kept_write(object, terms->keep_id, state, on_commit_step);
        return;
    }
    case COMMIT_KEEP:
        sl_disk_link(disk, op, AT_FDCWD, object->proc, uploads_fd, object->terms->keep_id, AT_SYMLINK_FOLLOW,
                     on_commit_step, object);
        return;
    case COMMIT_DROP_KEPT: sl_disk_unlink(disk, op, uploads_fd, object->kept, false, on_commit_step, object); return;
    case COMMIT_CLOSE_DIR: sl_disk_close(disk, op, dir_fd, on_commit_step, object); return;
    case COMMIT_CLOSE_FILE: sl_local_close(object, on_commit_step); return;
    }
}

static void commit_start(struct sl_store_object *object)
{
    if (object->is_linked)
        open_folder(object);
    else if (object->allocated > object->size || object->end > object->size)
        commit_run(object, COMMIT_TRUNCATE);
    else
        commit_describe(object);
}

static void commit_begin(struct sl_store_object *object)
{
    go_away(object, commit_start);
}

void sl_store_commit(struct sl_store_object *object, struct sl_path *path, uint64_t size,
                     const struct sl_store_terms *terms, sl_store_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && sl_disk_op_is_idle(&object->op));
    assert((object->kept == NULL && terms->keep_id == NULL) || object->is_linked || terms->meta.len > 0);
    assert(object->kept == NULL || terms->keep_id == NULL || strcmp(object->kept, terms->keep_id) == 0);
    object->path = path;
    if (!object->is_linked)
        object->size = size;
    object->terms = terms;
    object->on_done = on_done;
    object->ctx = ctx;
    object->err = SL_OK;
    find_stem(object);
    object->twin = (struct sl_twin){0};
    object->walk.dir_fd = -1;
    sl_local_when_grown(object, commit_begin);
}
