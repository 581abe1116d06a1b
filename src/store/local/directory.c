/* Directories below files/: walking to one, making it, and syncing one for many commits at once. Loop thread. */
#include "local.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

size_t sl_local_folder_len(const struct sl_path *path)
{
    const char *slash = memrchr(path->text, '/', path->len);
    return slash == NULL ? 0 : (size_t)(slash - path->text);
}

const char *sl_local_leaf(const struct sl_path *path)
{
    const char *slash = memrchr(path->text, '/', path->len);
    return slash == NULL ? path->text : slash + 1;
}

/* ---- the walk ----
 * First the whole path at once, for mostly it is there. Only when it is not, and at home, for syncs are long, segment
 * by segment: make, open, sync the parent if something was made, close the parent. */

enum walk_step { WALK_WHOLE, WALK_MKDIR, WALK_OPEN, WALK_SYNC_PARENT, WALK_CLOSE_PARENT, WALK_CLOSE_FAILED };

static void on_walk_step(struct sl_disk_op *op, void *ctx);

static struct open_how directory_how(void)
{
    return (struct open_how){.flags = O_RDONLY | O_DIRECTORY, .resolve = SL_LOCAL_RESOLVE};
}

static void walk_finish(struct sl_dir_walk *walk, sl_err err)
{
    if (walk->folder_len > 0) { /* the path may be cut twice: behind the segment under way and behind the folder */
        walk->path->text[walk->at + strlen(walk->path->text + walk->at)] = '/';
        walk->path->text[walk->folder_len] = '/';
    }
    walk->err = err;
    if (err != SL_OK)
        walk->dir_fd = -1;
    walk->on_done(walk);
}

/* The segment under way is text[at..next '/'); the '/' behind it becomes NUL while it is walked. */
static void walk_mkdir(struct sl_dir_walk *walk)
{
    *strchrnul(walk->path->text + walk->at, '/') = '\0';
    walk->step = WALK_MKDIR;
    sl_disk_mkdir(walk->store->disk, &walk->op, walk->parent_fd, walk->path->text + walk->at, 0777, on_walk_step,
                  walk);
}

static void walk_close_parent(struct sl_dir_walk *walk, enum walk_step step)
{
    walk->step = step;
    if (walk->parent_fd == walk->store->root->files_fd) { /* not ours to close */
        walk->op = (struct sl_disk_op){0};
        on_walk_step(&walk->op, walk);
        return;
    }
    sl_disk_close(walk->store->disk, &walk->op, walk->parent_fd, on_walk_step, walk);
}

static void walk_next_segment(struct sl_dir_walk *walk)
{
    walk->at += strlen(walk->path->text + walk->at);
    if (walk->at == walk->folder_len) {
        walk_finish(walk, SL_OK);
        return;
    }
    walk->path->text[walk->at++] = '/';
    walk->parent_fd = walk->dir_fd;
    walk_mkdir(walk);
}

static void walk_note(struct sl_dir_walk *walk, const struct sl_disk_op *op)
{
    walk->err = op->err;
    walk->sys_errno = op->sys_errno;
}

static void walk_fail(struct sl_dir_walk *walk, const struct sl_disk_op *op)
{
    walk_note(walk, op);
    walk_close_parent(walk, WALK_CLOSE_FAILED);
}

/* The directory's own data is synced by whoever puts something into it; the entry that names it, here, by whoever made
 * it. Another commit that finds the directory a moment earlier relies on the file system's journal, which on ext4, xfs
 * and btrfs carries a new directory's entry along with the first sync of the directory itself. */
static void on_walk_opened(struct sl_dir_walk *walk, const struct sl_disk_op *op)
{
    if (op->err != SL_OK) {
        walk_fail(walk, op);
        return;
    }
    walk->dir_fd = (int)op->result;
    if (walk->made_it && walk->store->root->options.durability == SL_DURABILITY_FULL) {
        walk->step = WALK_SYNC_PARENT;
        sl_disk_sync(walk->store->disk, &walk->op, walk->parent_fd, false, on_walk_step, walk);
    } else {
        walk_close_parent(walk, WALK_CLOSE_PARENT);
    }
}

static void on_walk_whole(struct sl_dir_walk *walk, const struct sl_disk_op *op)
{
    walk->dir_fd = (int)op->result;
    walk_note(walk, op);
    walk_finish(walk, op->err);
}

static void on_walk_made(struct sl_dir_walk *walk, const struct sl_disk_op *op)
{
    if (op->err != SL_OK && op->err != SL_EXISTS) {
        walk_fail(walk, op);
        return;
    }
    walk->made_it = op->err == SL_OK;
    walk->step = WALK_OPEN;
    sl_disk_open(walk->store->disk, &walk->op, walk->parent_fd, walk->path->text + walk->at, directory_how(),
                 on_walk_step, walk);
}

static void on_walk_parent_synced(struct sl_dir_walk *walk, const struct sl_disk_op *op)
{
    walk_note(walk, op);
    walk_close_parent(walk, WALK_CLOSE_PARENT);
}

/* A directory whose name could not be made durable is of no use: its fd goes like a parent's. */
static void on_walk_parent_closed(struct sl_dir_walk *walk)
{
    if (walk->err == SL_OK) {
        walk_next_segment(walk);
        return;
    }
    walk->parent_fd = walk->dir_fd;
    walk_close_parent(walk, WALK_CLOSE_FAILED);
}

static void on_walk_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_dir_walk *walk = ctx;
    switch ((enum walk_step)walk->step) {
    case WALK_WHOLE: on_walk_whole(walk, op); return;
    case WALK_MKDIR: on_walk_made(walk, op); return;
    case WALK_OPEN: on_walk_opened(walk, op); return;
    case WALK_SYNC_PARENT: on_walk_parent_synced(walk, op); return;
    case WALK_CLOSE_PARENT: on_walk_parent_closed(walk); return;
    case WALK_CLOSE_FAILED: walk_finish(walk, walk->err); return;
    }
}

void sl_dir_open(struct sl_store *store, struct sl_dir_walk *walk, struct sl_path *path,
                 void (*on_done)(struct sl_dir_walk *walk))
{
    *walk = (struct sl_dir_walk){.store = store,
                                 .path = path,
                                 .folder_len = sl_local_folder_len(path),
                                 .parent_fd = -1,
                                 .dir_fd = -1,
                                 .step = WALK_WHOLE,
                                 .on_done = on_done};
    const char *whole = walk->folder_len == 0 ? "." : path->text;
    if (walk->folder_len > 0)
        path->text[walk->folder_len] = '\0';
    sl_disk_open(store->disk, &walk->op, store->root->files_fd, whole, directory_how(), on_walk_step, walk);
}

void sl_dir_make(struct sl_store *store, struct sl_dir_walk *walk, struct sl_path *path,
                 void (*on_done)(struct sl_dir_walk *walk))
{
    *walk = (struct sl_dir_walk){.store = store,
                                 .path = path,
                                 .folder_len = sl_local_folder_len(path),
                                 .parent_fd = store->root->files_fd,
                                 .dir_fd = -1,
                                 .on_done = on_done};
    assert(walk->folder_len > 0);
    path->text[walk->folder_len] = '\0';
    walk_mkdir(walk);
}

/* ---- group sync ----
 * A sync that already runs may have begun before our entry was made, so it does not count for us: we join the next one,
 * together with everybody else who comes meanwhile. */

static void on_dirsync_done(struct sl_disk_op *op, void *ctx);

static void dirsync_run(struct sl_dirsync *group)
{
    sl_list_move_all(&group->running, &group->next);
    struct sl_dirsync_waiter *first = SL_CONTAINER_OF(group->running.next, struct sl_dirsync_waiter, link);
    sl_disk_sync(group->store->disk, &group->op, first->dir_fd, false, on_dirsync_done, group);
}

static void on_dirsync_done(struct sl_disk_op *op, void *ctx)
{
    struct sl_dirsync *group = ctx;
    struct sl_link done;
    sl_list_init(&done);
    sl_list_move_all(&done, &group->running);
    sl_err err = op->err;
    int sys_errno = op->sys_errno;
    /* A folder that could not be synced once is not trusted by those who came meanwhile either: what one of them put in
     * place of another's name could be undone with it. */
    if (err != SL_OK)
        sl_list_move_all(&done, &group->next);
    if (sl_list_is_empty(&group->next)) {
        sl_link_unlink(&group->link);
        free(group);
    } else {
        dirsync_run(group);
    }
    for (struct sl_link *link; (link = sl_list_shift(&done)) != NULL;) {
        struct sl_dirsync_waiter *waiter = SL_CONTAINER_OF(link, struct sl_dirsync_waiter, link);
        waiter->sys_errno = sys_errno;
        waiter->on_done(waiter, err);
    }
}

static struct sl_dirsync *dirsync_find(struct sl_store *store, const struct sl_path *path)
{
    size_t folder_len = sl_local_folder_len(path);
    for (struct sl_link *link = store->dirsyncs.next; link != &store->dirsyncs; link = link->next) {
        struct sl_dirsync *group = SL_CONTAINER_OF(link, struct sl_dirsync, link);
        if (group->folder_len == folder_len && memcmp(group->folder, path->text, folder_len) == 0)
            return group;
    }
    return NULL;
}

void sl_dirsync_wait(struct sl_store *store, const struct sl_path *path, struct sl_dirsync_waiter *waiter,
                     void (*on_done)(struct sl_dirsync_waiter *waiter, sl_err err))
{
    assert(!sl_link_is_linked(&waiter->link));
    waiter->on_done = on_done;
    struct sl_dirsync *group = dirsync_find(store, path);
    if (group != NULL) {
        sl_list_append(&group->next, &waiter->link);
        return;
    }
    size_t folder_len = sl_local_folder_len(path);
    group = calloc(1, sizeof *group + folder_len);
    if (group == NULL)
        abort();
    group->store = store;
    group->folder_len = folder_len;
    memcpy(group->folder, path->text, folder_len);
    sl_list_init(&group->running);
    sl_list_init(&group->next);
    sl_list_append(&store->dirsyncs, &group->link);
    sl_list_append(&group->next, &waiter->link);
    dirsync_run(group);
}
