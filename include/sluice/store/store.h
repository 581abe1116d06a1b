/* Where uploads live: objects are begun, written, committed under a name or aborted; finished ones are opened and
 * read. local/ keeps them as files. One sl_store a loop over one root that all loops share; loop thread only,
 * except sl_store_root_*, which run at start and block.
 *
 * Starting an operation cannot fail: its callback runs once, in a later turn. One control operation (begin, commit,
 * abort, open, close, remove, list) at a time for each; writes and reads run beside each other. */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/base/mailbox.h"
#include "sluice/decode/condition.h"
#include "sluice/decode/path.h"
#include "sluice/disk/disk.h"
#include "sluice/mem/slab.h"
#include "sluice/store/meta.h"

#include <limits.h>

/* What a 2xx means: bytes and name survive power loss; bytes do; a crash of sluice is survived. */
enum sl_durability { SL_DURABILITY_FULL, SL_DURABILITY_DATA, SL_DURABILITY_NONE };

/* What to do about a name that exists. */
enum sl_conflict { SL_CONFLICT_ERROR, SL_CONFLICT_RENAME, SL_CONFLICT_OVERWRITE };

#define SL_STORE_SIZE_UNKNOWN UINT64_MAX

struct sl_store_root;
struct sl_store;

struct sl_store_options {
    const char *root; /* lent for the call */
    enum sl_durability durability;
    uint64_t min_free; /* bytes that uploads must leave free */
    bool is_direct;    /* bulk writes may bypass the page cache */
};

/* Makes the folders below the root where they are missing, removes what a crash left behind (unless another process
 * serves the same root) and finds out what the file system can do. Start-up, blocking.
 * On failure nothing is held and message_out tells the cause and the cure in one line. */
SL_MUST_CHECK sl_err sl_store_root_open(const struct sl_store_options *options, struct sl_store_root **root_out,
                                        char *message_out, size_t room);
void sl_store_root_close(struct sl_store_root *root);

/* Once nobody is left who served the root when it was opened, removes what they left behind; does nothing when that was
 * done. false: somebody is; ask again. The thread that opened it; blocking, beside loops at work. */
bool sl_store_root_clean(struct sl_store_root *root);

/* "ext4, unnamed temporary files, O_DIRECT": for the start block; lives as long as the root. */
const char *sl_store_root_summary(const struct sl_store_root *root);

/* Does the file system keep what is to be known about a file (user extended attributes)? */
bool sl_store_root_has_meta(const struct sl_store_root *root);

/* root, disk, home: lent until destroy. home: the loop's mailbox. */
struct sl_store *sl_store_create(struct sl_store_root *root, struct sl_disk *disk, struct sl_mailbox *home);
void sl_store_destroy(struct sl_store *store);

/* Looks how much is free, off the loop. The worker calls it every second; the answer is used from then on. */
void sl_store_tick(struct sl_store *store);

/* How much is free, as of the last look of any loop, less what all of them claimed since. */
uint64_t sl_store_free_bytes(const struct sl_store *store);

/* ---- an object being written ---- */

struct sl_store_object;
typedef void (*sl_store_cb)(struct sl_store_object *object, sl_err err, void *ctx);

/* A strong entity tag with its quotes and NUL: of the SHA-256 (or SHA-512) of the bytes, else of inode, size and
 * time. */
#define SL_ETAG_BYTES 56

/* On what terms an object gets its name. All lent until on_done. */
struct sl_store_terms {
    enum sl_conflict conflict;
    const struct sl_conditions *conditions; /* NULL: none. Decided in one step with the naming, against everybody who
                                               names or removes through this process */
    struct sl_room meta;                    /* encoded; empty: none. Its time is set here, when it is kept */
    const char *keep_id;                    /* store/kept.h: stays, or is now, kept under this id, too; NULL: no */
    struct sl_bytes state;                  /* with keep_id: its state from now on */
    /* NULL: `state` is it. Else asked for it once the name is final; the result is copied at once. */
    struct sl_bytes (*state_of)(const struct sl_path *path, void *ctx);
    void *state_ctx;
};

/* A turn to change what stands under a name: one at a time over all loops. */
struct sl_name_turn {
    struct sl_link link, waiters;
    struct sl_mail mail;
    struct sl_store *store; /* NULL: idle */
    const struct sl_path *path;
    void (*on_turn)(struct sl_name_turn *turn);
};

/* One place to wait for a sync of a directory that others may share. */
struct sl_dirsync_waiter {
    struct sl_link link;
    int dir_fd, sys_errno;
    void (*on_done)(struct sl_dirsync_waiter *waiter, sl_err err);
};

/* A walk to the directory of a path below files/. */
struct sl_dir_walk {
    struct sl_store *store;
    struct sl_disk_op op;
    struct sl_path *path;  /* lent; cut by NULs while it is walked, whole again at the end */
    size_t folder_len, at; /* the folder's part of path; where the segment under way begins */
    int parent_fd, dir_fd;
    bool made_it;
    sl_err err;
    int sys_errno;
    unsigned step;
    void (*on_done)(struct sl_dir_walk *walk);
};

/* The id of a finished file that is kept as an upload, too. */
struct sl_twin {
    struct sl_store *store;
    struct sl_disk_op op;
    void (*on_done)(struct sl_twin *twin);
    char id[32], *room; /* "": it has none; for its attribute */
    uint64_t inode;     /* of the file */
    uint32_t major, minor;
    int fd;
    struct statx stat;
};

/* Embedded by its owner; zeroed when idle. */
struct sl_store_object {
    /* for the owner after commit */
    bool has_replaced;        /* an older object of this name is gone */
    char etag[SL_ETAG_BYTES]; /* after SL_OK: of this object. After SL_EXISTS, SL_PRECONDITION: of the one that has
                                 the name, "" if that is not known */
    uint64_t created_ns;      /* wall clock; its metadata says a later time where the file's own clock is ahead */
    bool has_kept_meta;       /* the file system took the metadata */
    bool has_kept_fields;     /* and the text fields in it, if there are any, with it */
    bool has_kept_state;      /* with terms.keep_id, and of a keep that failed, too: its last state is there */
    uint64_t synced_ns;       /* how long it waited for syncs, of itself and of its folder */
    int sys_errno;            /* of the last failure, for the log */
    /* the store's */
    struct sl_store *store;
    sl_store_cb on_done;
    void *ctx;
    struct sl_disk_op op, grow_op, errand;
    void (*go_on)(struct sl_store_object *object); /* behind the errand */
    bool is_away;                                  /* a thread of the disk has it */
    uint64_t begun_ns;                             /* wall clock, and a little earlier: the file's own clock ticks */
    uint64_t clock_gap_ns; /* between wall and steady clock as it was begun: a change tells of a clock that was set */
    int fd;
    bool is_bulk, is_grow_running;
    bool is_named;   /* `temp` is there and to be removed */
    bool is_exposed; /* its final name may be there, whatever was answered: its bytes are not to be touched */
    void (*grow_waiter)(struct sl_store_object *object);
    char temp[40]; /* a name in uploads/ */
    char proc[24]; /* "/proc/self/fd/N" */
    uint64_t expected, allocated, size;
    struct sl_bytes first; /* lent while it is begun with them; else empty */
    uint64_t end;          /* of its bytes, where more was allocated ahead */
    uint64_t claimed;      /* up to where free space was claimed for them */
    uint64_t growing;      /* bytes of the allocation under way */
    /* of one that is kept: store/kept.h */
    const char *kept; /* its id, lent until it is idle again; after a commit, whether it is kept. NULL: it is not */
    bool is_linked;   /* after sl_store_resume: it has a name among the finished ones already */
    size_t state_len; /* likewise: of the state that was read */
    bool is_resumed;  /* the file's times are older than this object */
    bool is_only_read, is_locked, is_expired;
    bool is_id_sure;          /* the id is as durable as the store was opened for */
    bool is_id_away;          /* nothing is under it any more; after a crash, if `kept` is not NULL, it may be back */
    const char *keep_id;      /* lent while it is being kept, */
    struct sl_bytes state;    /* likewise */
    char *state_out, *room;   /* lent; ours, for a value of the attribute */
    uint64_t wanted, missing; /* of sl_store_expect: its size; what of it is not there */
    uint64_t sync_from_ns;    /* while it waits for one */
    unsigned step;
    sl_err err;
    const struct sl_store_terms *terms; /* lent while committing */
    struct sl_path *path;               /* likewise */
    struct sl_name_turn turn;
    struct sl_store_reader *holder; /* what has the name now, where that matters; ours, and closed already */
    unsigned looks;                 /* at the holder */
    void (*on_holder)(struct sl_store_object *object, sl_err err);
    size_t meta_len; /* of the encoded form, as much as is to be kept */
    bool has_look;   /* `look` tells of the object itself */
    uint64_t inode;  /* its own, once something is to be undone, or it was resumed */
    uint32_t major, minor;
    size_t stem_len;         /* where the number of a renamed file goes */
    unsigned number, digits; /* the number, and how many bytes "-number" takes */
    union {                  /* never needed together */
        struct statx stat;
        struct statfs statfs;
    } look;
    struct sl_dir_walk walk;
    struct sl_dirsync_waiter dirsync;
    struct sl_twin twin; /* of the file that it replaces */
};

/* Begins an object without a name of its own. expected: its size, whose space is then taken at once, or
 * SL_STORE_SIZE_UNKNOWN. SL_NO_SPACE: it would not fit, or less than min_free would be left. After an error there is
 * nothing to abort. */
void sl_store_begin(struct sl_store *store, struct sl_store_object *object, uint64_t expected, sl_store_cb on_done,
                    void *ctx);

/* The same for a short one whose first bytes are there: they are written as well, and no space is taken ahead. first:
 * lent until on_done. After an error there is nothing to abort. */
void sl_store_begin_with(struct sl_store *store, struct sl_store_object *object, uint64_t expected,
                         struct sl_bytes first, sl_store_cb on_done, void *ctx);

/* Would one of so many bytes find room, as far as is known now? */
bool sl_store_has_room(const struct sl_store *store, uint64_t bytes);

struct sl_store_write;
typedef void (*sl_store_write_cb)(struct sl_store_write *write, sl_err err, void *ctx);

/* Embedded by its owner, one for each write in flight. */
struct sl_store_write {
    struct sl_disk_op op;
    struct sl_store_object *object;
    sl_store_write_cb on_done;
    void *ctx;
    size_t *bytes_out; /* of sl_store_read_back */
    size_t len;
    uint64_t claimed; /* of the free space */
};

/* Writes len bytes from slab->base + from at `offset`. slab: SEALED, shared: a reference is held until on_done. from
 * and offset are multiples of SL_SLAB_BLOCK_BYTES; so is len, but for the last write of the object (`is_tail`).
 * SL_NO_SPACE: as sl_store_begin, where no size was told. */
void sl_store_write(struct sl_store_object *object, struct sl_store_write *write, struct sl_slab *slab, size_t from,
                    size_t len, uint64_t offset, bool is_tail, sl_store_write_cb on_done, void *ctx);

/* A hint: what follows is much and comes fast (or no longer does). */
void sl_store_set_bulk(struct sl_store_object *object, bool is_bulk);

/* Gives the object, `size` bytes of which were written, the name `path`; durable as the store was opened for.
 * path, terms: lent until on_done; with RENAME path holds the name that was free. SL_EXISTS, SL_PRECONDITION,
 * SL_NOT_A_DIRECTORY, SL_IS_A_DIRECTORY and storage errors: there is no such name (of this object), and the object is
 * still to be aborted. No write may be in flight. After SL_OK the object is idle.
 * Where the file system keeps no attributes, or not as long a one, the metadata or its text fields are dropped; but one
 * that is kept needs metadata, and gets no name where it cannot be written. What it replaces loses its id, too. */
void sl_store_commit(struct sl_store_object *object, struct sl_path *path, uint64_t size,
                     const struct sl_store_terms *terms, sl_store_cb on_done, void *ctx);

/* Drops the object and gives its space back. No write may be in flight. Always SL_OK. */
void sl_store_abort(struct sl_store_object *object, sl_store_cb on_done, void *ctx);

/* ---- a finished object ---- */

struct sl_store_reader;
typedef void (*sl_store_reader_cb)(struct sl_store_reader *reader, sl_err err, void *ctx);

struct sl_store_reader {
    sl_err cause;  /* after an open that found nothing: what is in the way, SL_NOT_FOUND if nothing is */
    int sys_errno; /* of the last failure, for the log */
    uint64_t size; /* after open */
    uint64_t modified_ns;
    uint64_t inode;
    char etag[SL_ETAG_BYTES];
    struct sl_meta meta; /* what is known; its digests only if they are of the bytes as they are now. Its spans live
                            until it is closed */
    /* the store's */
    struct sl_store *store;
    sl_store_reader_cb on_done;
    void *ctx;
    struct sl_disk_op op, prefetch_op;
    struct statx stat;
    int fd;
    sl_err err; /* why it is refused, while it is closed */
    size_t bytes_read;
    uint64_t prefetched; /* asked for, or found in the page cache, so far: the end of it */
    uint64_t cold_end;   /* what lies before it was not in the page cache */
    bool is_large, is_close_wanted;
    char *meta_bytes; /* while open; most readers are only to see that there is nothing */
};

/* Opens the finished object of this name. path: lent until on_done. reader: need not be zeroed. SL_NOT_FOUND also for
 * what is not a regular file. After an error there is nothing to close. */
void sl_store_open(struct sl_store *store, struct sl_store_reader *reader, const struct sl_path *path,
                   sl_store_reader_cb on_done, void *ctx);

/* What an open found, for conditions; also of one that found nothing. Lent as the reader is. */
struct sl_validator sl_store_validator(const struct sl_store_reader *reader);

/* Reads up to len bytes at offset into slab (FILLING, shared). reader->bytes_read tells how many came; fewer: the
 * end. */
void sl_store_read(struct sl_store_reader *reader, struct sl_slab *slab, size_t len, uint64_t offset,
                   sl_store_reader_cb on_done, void *ctx);

void sl_store_close(struct sl_store_reader *reader, sl_store_reader_cb on_done, void *ctx);

/* ---- removing ---- */

struct sl_store_removal;
typedef void (*sl_store_removal_cb)(struct sl_store_removal *removal, sl_err err, void *ctx);

struct sl_store_removal {
    char etag[SL_ETAG_BYTES]; /* after SL_PRECONDITION: of what is there */
    int sys_errno;            /* of the last failure, for the log */
    /* the store's */
    struct sl_store *store;
    const struct sl_path *path;
    const struct sl_conditions *conditions;
    sl_store_removal_cb on_done;
    void *ctx;
    struct sl_disk_op op;
    struct sl_store_reader look;
    struct sl_name_turn turn;
    struct sl_dirsync_waiter dirsync;
    char folder[SL_PATH_BYTES_MAX + 1];
    struct sl_twin twin;
    int dir_fd;
    unsigned step;
    sl_err err;
};

/* Removes the object of this name, durably as the store was opened for; who reads it goes on reading. removal:
 * need not be zeroed. path, conditions (or NULL): lent until on_done. SL_NOT_FOUND: nothing there, or no regular
 * file. SL_PRECONDITION: conditions say no. Folders that become empty stay. */
void sl_store_remove(struct sl_store *store, struct sl_store_removal *removal, const struct sl_path *path,
                     const struct sl_conditions *conditions, sl_store_removal_cb on_done, void *ctx);

/* ---- listing ---- */

struct sl_store_listing;
typedef void (*sl_store_listing_cb)(struct sl_store_listing *listing, sl_err err, void *ctx);

struct sl_store_entry {
    const struct sl_path *path; /* lent until the next call */
    uint64_t size, modified_ns;
    char etag[SL_ETAG_BYTES];
    struct sl_meta meta; /* as of a reader; lives until the next sl_store_list */
};

/* A place among all names: text holds a folder ("" for the topmost) and, behind its NUL, the leaf in it. */
struct sl_store_place {
    size_t folder_len;
    char text[SL_PATH_BYTES_MAX + SL_SEGMENT_BYTES_MAX + 3];
};

/* A walk over the names of finished objects in the order of their bytes, "a.txt" before "a/b". It holds a batch, not
 * the directory; names that come and go meanwhile may be told or not, all others are told once. */
struct sl_store_listing {
    bool is_end; /* behind this batch there are no more */
    /* the store's */
    struct sl_store *store;
    sl_store_listing_cb on_done;
    void *ctx;
    struct sl_disk_op op;
    struct sl_disk_list list;
    struct sl_path prefix, path; /* path: the name told last */
    size_t prefix_folder_len;
    struct sl_store_place at, here; /* what was told, or passed over, last; and where the batch was made up to */
    char *room; /* lent by the caller. The batch, and at the end the rest of folders to go on with */
    size_t room_len, used, rest, next;
    unsigned files, reads; /* in the batch, and of directories for it */
    size_t listed;
    int dir_fd;
    unsigned step;
    sl_err err;
};

/* Zeroed memory becomes a listing of the names that begin with `prefix` (any bytes, or none) and come after `after`
 * (likewise). Both: lent for the call; longer than SL_PATH_BYTES_MAX is SL_BAD_PATH. */
SL_MUST_CHECK sl_err sl_store_listing_init(struct sl_store_listing *listing, struct sl_store *store,
                                           struct sl_bytes prefix, struct sl_bytes after);

#define SL_STORE_LIST_BYTES_MIN 8192

/* Gets the next batch. room: lent until the batch was walked; aligned to 8. SL_OK: walk it. It is empty at the
 * end (listing->is_end), and where many directories were gone over and no file was found: a place to stop, or to go on
 * by fetching the next. Names that no URL can say are left out. */
void sl_store_list(struct sl_store_listing *listing, char *room, size_t len, sl_store_listing_cb on_done, void *ctx);

/* The next name of the batch; false: fetch another, or is_end. The walk may stop anywhere: the next sl_store_list
 * goes on behind the last name that was told. */
bool sl_store_listing_next(struct sl_store_listing *listing, struct sl_store_entry *entry_out);

#endif
