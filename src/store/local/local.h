/* Private to store/local: the folders of a root and the state of one loop's view of it.
 *
 *   ROOT/files/    finished objects at the path their URL shows
 *   ROOT/uploads/  what is kept, by its id (store/kept.h); temporary files where the file system has no good unnamed
 *                  ones; and .lock, held shared by whoever serves. The folder itself is locked by who tries for .lock
 *                  alone */
#ifndef SLUICE_STORE_LOCAL_LOCAL_H
#define SLUICE_STORE_LOCAL_LOCAL_H

#include "sluice/base/clock.h"
#include "sluice/store/kept.h"
#include "sluice/store/store.h"

#include <pthread.h>

/* The attribute that holds what is known about a file. */
#define SL_LOCAL_META "user.sluice"

/* The attribute of what is kept: its id, by which whoever has only the file finds its name in uploads/, then its
 * state. */
#define SL_STATE_ATTRIBUTE           "user.sluice.upload"
#define SL_STATE_ATTRIBUTE_BYTES_MAX (SL_STORE_ID_BYTES - 1 + SL_STORE_STATE_BYTES_MAX)

/* The state in `value` (any bytes) of that attribute; empty if there is none, or if it is of another id. Pure. */
struct sl_bytes sl_kept_state(struct sl_bytes value, const char *id);

#define SL_LOCAL_TEMP_PREFIX "tmp-"

#define SL_NAME_TURN_BUCKETS 64u

/* Nothing on the way may be a symbolic link, and nothing may lead out. */
#define SL_LOCAL_RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

struct sl_store_root {
    struct sl_store_options options; /* fixed after open; options.root is not kept */
    int files_fd, uploads_fd, lock_fd;
    uint64_t run;  /* random: tells our temporary files from those of other processes */
    bool is_alone; /* nobody else served it when we looked last; the main thread */
    bool has_unnamed, has_direct, has_meta;
    bool has_coarse_times; /* the times of files are not of our clock, or not as fine */
    char summary[224];
    _Atomic uint64_t free_bytes;    /* as of the last look of any loop, less what was claimed since */
    _Atomic uint64_t writing_bytes; /* claimed for what is in flight, which a look does not see */
    pthread_mutex_t turns_lock;
    struct sl_link turns[SL_NAME_TURN_BUCKETS]; /* under turns_lock: those who have their turn, by name */
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
    struct sl_mailbox *home;
    struct sl_link dirsyncs; /* loop thread: those at work */
    unsigned turns;          /* held or waited for */
    struct sl_disk_op statfs_op;
    struct statfs statfs;
};

/* "ext4"; static. */
const char *sl_local_file_system_name(int fd);

/* How many bytes of `path` come before its last '/', 0 if it has none: its folder. */
size_t sl_local_folder_len(const struct sl_path *path);
/* The part behind the last '/'; points into path. */
const char *sl_local_leaf(const struct sl_path *path);

/* Opens the folder of `path` below files/ (files/ itself for a path of one segment). path: lent until on_done, when
 * walk->err tells and walk->dir_fd is the caller's (-1 on failure). */
void sl_dir_open(struct sl_store *store, struct sl_dir_walk *walk, struct sl_path *path,
                 void (*on_done)(struct sl_dir_walk *walk));
/* The same, making what is missing of it; at durability full the entries made are on disk when it is done, so not away
 * from the loop. path: of more than one segment. */
void sl_dir_make(struct sl_store *store, struct sl_dir_walk *walk, struct sl_path *path,
                 void (*on_done)(struct sl_dir_walk *walk));

/* Waits for a sync of the folder of `path`, open as waiter->dir_fd, that begins after this call. */
void sl_dirsync_wait(struct sl_store *store, const struct sl_path *path, struct sl_dirsync_waiter *waiter,
                     void (*on_done)(struct sl_dirsync_waiter *waiter, sl_err err));

/* Waits for the turn to change what stands under `path`, in order of asking over all loops; on_turn runs once, in
 * a later turn of the loop. turn: idle (zeroed). turn, path: lent until given back; path is not to change
 * meanwhile. */
void sl_name_turn_take(struct sl_store *store, struct sl_name_turn *turn, const struct sl_path *path,
                       void (*on_turn)(struct sl_name_turn *turn));

/* Gives it back and lets the next one in. An idle turn is fine; one still waited for is not. */
void sl_name_turn_give(struct sl_name_turn *turn);

/* Opens what has the object's path now, closes it and keeps what was found in object->holder. on_holder runs once,
 * in a later turn, with SL_OK, be there something or nothing, or with what kept us from looking. */
void sl_holder_look(struct sl_store_object *object, void (*on_holder)(struct sl_store_object *object, sl_err err));
/* Frees object->holder. */
void sl_holder_forget(struct sl_store_object *object);
/* Of a reader after its open, closed or not: it found a file. If not, holder->cause tells what is in the way. */
bool sl_holder_is_file(const struct sl_store_reader *holder);
/* Do the conditions (or NULL: none) let what was found be changed? */
bool sl_holder_passes(const struct sl_store_reader *holder, const struct sl_conditions *conditions);

/* What is known about a file, from its attribute (lent as long as meta_out is used; any bytes, or none) and its
 * statistics: digests of bytes that were written to later are left out, and the entity tag is made. */
void sl_local_identify(struct sl_bytes encoded_meta, uint64_t size, uint64_t modified_ns, uint64_t inode,
                       struct sl_meta *meta_out, char etag_out[SL_ETAG_BYTES]);

/* Where there is a digest an entity tag can be made of. false: there is none, and etag_out is untouched. */
bool sl_local_etag_of_digests(const struct sl_digests *digests, char etag_out[SL_ETAG_BYTES]);

uint64_t sl_local_modified_ns(const struct statx *stat);

/* Around each wait of an object for a sync; they may not overlap. */
static inline void sl_local_sync_begun(struct sl_store_object *object)
{
    object->sync_from_ns = sl_clock_now_ns();
}

static inline void sl_local_sync_ended(struct sl_store_object *object)
{
    object->synced_ns += sl_clock_now_ns() - object->sync_from_ns;
}

/* Kernels count the times of files in ticks: one may be that of the tick before. */
#define SL_LOCAL_TICK_NS (20 * SL_MS)

/* Of a file that was written to between these moments of our clock: is its time too coarse, or of another clock, to
 * be compared with ours? */
bool sl_local_is_time_coarse(uint64_t before_ns, uint64_t modified_ns, uint64_t after_ns);

/* Takes in a fresh look at the file system. */
void sl_local_set_free(struct sl_store *store, const struct statfs *fs);

/* Of a finished file with more than one name, which stands under `leaf` (lent until on_done) in `dir_fd` and is about
 * to lose that name: finds out whether another one is an id in uploads/. on_done runs once, in a later turn, whatever
 * comes of it. twin: lent until then. */
void sl_twin_find(struct sl_store *store, struct sl_twin *twin, int dir_fd, const char *leaf,
                  const struct statx *file, void (*on_done)(struct sl_twin *twin));
/* Zeroed, or after a find: was there one? */
bool sl_twin_is_there(const struct sl_twin *twin);
/* Then takes it away. on_done as above. */
void sl_twin_drop(struct sl_twin *twin, void (*on_done)(struct sl_twin *twin));

/* ---- kept.c ---- */

/* Writes the attribute over object->op; on_done's is the outcome. state: lent until then, when it is for
 * sl_kept_forget_value to be called. */
void sl_kept_write(struct sl_store_object *object, const char *id, struct sl_bytes state, sl_disk_cb on_done);
void sl_kept_forget_value(struct sl_store_object *object);

/* Waits for a sync of uploads/ in object->dirsync. */
void sl_kept_sync_uploads(struct sl_store_object *object,
                          void (*on_synced)(struct sl_dirsync_waiter *waiter, sl_err err));

/* The object has the name `id` in uploads/ from now on. */
void sl_kept_set_id(struct sl_store_object *object, const char *id);

/* Of a failed open, look or unlink: what no object can be reached by, for the way to it ends, or leads through what
 * we do not follow, is not there. */
sl_err sl_local_absent_or(sl_err err);

/* Opens `name` in `dir_fd` to be read, as sl_store_open and sl_store_open_kept do. */
void sl_local_open(struct sl_store *store, struct sl_store_reader *reader, int dir_fd, const char *name,
                   sl_store_reader_cb on_done, void *ctx);

/* Closes its file over object->op. Its lock, if it has one, is given back before: the kernel may report a close and
 * drop the file, and the lock with it, a moment later, and whoever comes next must not meet it. */
void sl_local_close(struct sl_store_object *object, sl_disk_cb on_done);

/* Whether a file without a name, open as `fd` (-1: it could not be made), can be made safe before it gets one. Then it
 * is linked as `name`. */
bool sl_local_links_unnamed(int fd, int dir_fd, const char *name);
/* Whether files here have user attributes, tried on `fd`, a file of no worth. */
bool sl_local_keeps_attributes(int fd);

/* Goes on with go_on on a thread of the disk, where each operation is done as it is started: away.c. At once, here,
 * where the disk has no such threads. object: lent until it has come home, which it must. */
void sl_local_go_away(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object));
/* The last step away: go_on runs in a later turn of the loop. At home already: at once. */
void sl_local_come_home(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object));

/* Goes on at once, or when the allocation that runs ahead is over. */
void sl_local_when_grown(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object));

#endif
