/* Private to store/local: the folders of a root and the state of one loop's view of it.
 *
 *   ROOT/files/    finished objects at the path their URL shows
 *   ROOT/uploads/  temporary files where the file system cannot have unnamed ones, and .lock, held shared by whoever
 *                  serves */
#ifndef SLUICE_STORE_LOCAL_LOCAL_H
#define SLUICE_STORE_LOCAL_LOCAL_H

#include "sluice/store/store.h"

/* Nothing on the way may be a symbolic link, and nothing may lead out. */
#define SL_LOCAL_RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

struct sl_store_root {
    struct sl_store_options options; /* fixed after open; options.root is not kept */
    int files_fd, uploads_fd, lock_fd;
    uint64_t run; /* random: tells our temporary files from those of other processes */
    bool has_unnamed, has_direct;
    char summary[128];
};

/* A sync of one directory that commits ready together share. */
struct sl_dirsync {
    struct sl_link link;
    struct sl_store *store;
    struct sl_disk_op op;
    struct sl_link running, next;
    size_t folder_len;
    char folder[];
};

struct sl_store {
    struct sl_store_root *root; /* fixed */
    struct sl_disk *disk;
    struct sl_link dirsyncs; /* loop thread: those at work */
    struct sl_disk_op statfs_op;
    struct statfs statfs;
    uint64_t free_bytes; /* as of the last look, less what was claimed since */
};

/* How many bytes of `path` come before its last '/', 0 if it has none: its folder. */
size_t sl_local_folder_len(const struct sl_path *path);
/* The part behind the last '/'; points into path. */
const char *sl_local_leaf(const struct sl_path *path);

/* Opens the folder of `path` below files/ (files/ itself for a path of one segment), making what is missing; at
 * durability full the entries made are on disk when it is done. path: lent until on_done, when walk->err tells and
 * walk->dir_fd is the caller's (-1 on failure). */
void sl_dir_walk_start(struct sl_store *store, struct sl_dir_walk *walk, struct sl_path *path,
                       void (*on_done)(struct sl_dir_walk *walk));

/* Waits for a sync of the folder of `path`, open as waiter->dir_fd, that begins after this call. */
void sl_dirsync_wait(struct sl_store *store, const struct sl_path *path, struct sl_dirsync_waiter *waiter,
                     void (*on_done)(struct sl_dirsync_waiter *waiter, sl_err err));

/* Takes in a fresh look at the file system. */
void sl_local_set_free(struct sl_store *store, const struct statfs *fs);

/* Goes on at once, or when the allocation that runs ahead is over. */
void sl_local_when_grown(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object));

#endif
