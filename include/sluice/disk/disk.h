/* Every file operation of sluice, asynchronous. Two engines, equal citizens: io_uring and a pool of threads.
 *
 * One sl_disk a loop. All functions: loop thread; the callback too. An operation is a struct its owner embeds; the
 * engine links it and never allocates.
 *   - Starting cannot fail: on_done runs exactly once, always in a later turn (from sl_disk_run), never inside the
 *     call that starts it.
 *   - The op and everything it points to (paths, slab, memory) are lent until on_done starts; in on_done the op is
 *     idle and may be started again or freed.
 *   - on_done finds the outcome in op->err, op->result and, for the log, op->sys_errno.
 *   - EINTR is retried and a short write continued by the engine; a short read is the end of the file.
 *   - Operations of one fd may run in any order and at the same time.
 * A completion source: the worker watches sl_disk_fd() for reading and calls sl_disk_run(); once a turn, after all
 * callbacks and before it sleeps, it calls sl_disk_flush(), which hands all that was started in this turn to the
 * kernel at once. None of these blocks. */
#ifndef SLUICE_DISK_DISK_H
#define SLUICE_DISK_DISK_H

#include "sluice/base/err.h"
#include "sluice/base/list.h"
#include "sluice/base/stats.h"
#include "sluice/mem/slab.h"

#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>

struct sl_disk;
struct sl_disk_op;
typedef void (*sl_disk_cb)(struct sl_disk_op *op, void *ctx);

enum sl_disk_kind {
    SL_DISK_OPEN,
    SL_DISK_CLOSE,
    SL_DISK_ALLOCATE,
    SL_DISK_TRUNCATE,
    SL_DISK_WRITE,
    SL_DISK_READ,
    SL_DISK_PREFETCH,
    SL_DISK_COPY,
    SL_DISK_SYNC,
    SL_DISK_LINK,
    SL_DISK_RENAME,
    SL_DISK_UNLINK,
    SL_DISK_MKDIR,
    SL_DISK_SETXATTR,
    SL_DISK_GETXATTR,
    SL_DISK_REMOVEXATTR,
    SL_DISK_LOCK,
    SL_DISK_STAT,
    SL_DISK_STATFS,
    SL_DISK_LIST,
    SL_DISK_ERRAND,
    SL_DISK_KINDS
};

/* One entry of a listed directory; the next one follows at the next multiple of 8 bytes. */
struct sl_disk_entry {
    uint64_t size, modified_ns, inode;
    uint32_t bytes; /* of this entry, rounded up to 8 */
    uint16_t name_len, value_len;
    bool is_folder;
    char text[]; /* the name, with a '/' behind it, counted, if it is a folder; then the value of the attribute */
};

#define SL_DISK_NAME_BYTES_MAX 255 /* longer ones, which some file systems have, are not listed */

/* The room that the largest entry takes. */
#define SL_DISK_ENTRY_BYTES_MAX(value_max) ((sizeof(struct sl_disk_entry) + 256 + (value_max) + 7) / 8 * 8)

/* What is to be listed. */
struct sl_disk_list {
    const char *prefix;    /* only names that begin so; "" for all */
    const char *after;     /* only names behind this one; "" for all */
    const char *attribute; /* whose value comes along, as far as it is there and at most `value_max` bytes; or NULL */
    size_t value_max;
    char *out;   /* aligned to 8 */
    size_t room; /* at least that of the largest entry */
    /* for on_done */
    bool has_more;                         /* there are names that did not fit */
    char last[SL_DISK_NAME_BYTES_MAX + 2]; /* the last name looked at, told or left out: go on behind it */
};

struct sl_disk_op {
    /* for on_done */
    sl_err err;
    int sys_errno;  /* 0 when err is SL_OK */
    int64_t result; /* OPEN: the fd, yours. READ, WRITE, COPY, LIST, GETXATTR: bytes. Others: 0 */
    /* the engine's */
    enum sl_disk_kind kind;
    sl_disk_cb on_done; /* NULL: idle */
    void *ctx;
    struct sl_link link;
    struct sl_disk *disk;
    union {
        struct {
            int dir_fd;
            const char *path;
            struct open_how how;
        } open;
        struct {
            int fd;
        } close, lock;
        struct {
            int fd;
            uint64_t bytes;
        } allocate, truncate;
        struct {
            int fd;
            char *base;
            size_t len, done;
            uint64_t offset;
            struct sl_slab *slab; /* NULL: memory that is lent */
            bool is_cold;
        } io; /* READ, WRITE */
        struct {
            int fd;
            uint64_t offset, bytes;
        } prefetch;
        struct {
            int from_fd, to_fd;
            uint64_t from_offset, to_offset, bytes, done;
            bool is_by_hand; /* the kernel does not copy between these two */
        } copy;
        struct {
            int fd;
            bool data_only;
            uint64_t begun_ns;
        } sync;
        struct {
            int from_fd, to_fd;
            const char *from, *to;
            unsigned flags;
        } name; /* LINK, RENAME */
        struct {
            int dir_fd;
            const char *path;
            bool is_dir;
            mode_t mode;
        } path; /* UNLINK, MKDIR */
        struct {
            int fd;
            const char *name;
            void *value;
            size_t bytes;
        } xattr; /* SETXATTR, GETXATTR, REMOVEXATTR */
        struct {
            int dir_fd;
            const char *path;
            struct statx *out;
        } stat;
        struct {
            int fd;
            struct statfs *out;
        } statfs;
        struct {
            int dir_fd;
            struct sl_disk_list *list;
        } list;
        struct {
            void (*run)(struct sl_disk *here, void *ctx);
            void *ctx;
        } errand;
    } args;
};

static inline bool sl_disk_op_is_idle(const struct sl_disk_op *op)
{
    return op->on_done == NULL;
}

enum sl_disk_choice { SL_DISK_AUTO, SL_DISK_IO_URING, SL_DISK_THREADS };

/* Reads what the kernel says of io_uring beside its answers, for the reason that sl_disk_create tells. To be called
 * once by a process that will be confined before it makes its engines: before that, by its only thread. */
void sl_disk_look_at_kernel(void);

/* Makes an engine for this loop. AUTO takes io_uring where the kernel allows it. pool: lent until destroy, its
 * memory is registered with the ring where RLIMIT_MEMLOCK allows. reason_out: one line of plain words for the log,
 * in `reason_room` bytes of the caller's, says what was chosen and why. *disk_out is yours.
 * May run on the thread that starts the loops: the ring binds itself to the thread of the first flush.
 * SL_UNSUPPORTED: IO_URING was demanded and is not to be had. SL_TOO_MANY_FILES, SL_NO_MEMORY: no eventfd, no threads.
 * On failure *disk_out is NULL. */
SL_MUST_CHECK sl_err sl_disk_create(enum sl_disk_choice choice, struct sl_slab_pool *pool, struct sl_disk **disk_out,
                                    char *reason_out, size_t reason_room);

/* Nothing may be in flight; not from on_done. Any thread, once the loop's has stopped. NULL is fine. */
void sl_disk_destroy(struct sl_disk *disk);

/* "io_uring" or "threads"; static. */
const char *sl_disk_engine_name(const struct sl_disk *disk);

int sl_disk_fd(const struct sl_disk *disk);
void sl_disk_run(struct sl_disk *disk);
void sl_disk_flush(struct sl_disk *disk);

/* Operations started whose on_done has not run. */
unsigned sl_disk_inflight(const struct sl_disk *disk);

/* Counts how long each sync takes from now on. syncs: lent until destroy. None may be under way. */
void sl_disk_measure_syncs(struct sl_disk *disk, struct sl_histogram *syncs);

/* openat2(2). how is copied. O_CLOEXEC is always added; a path that leaves dir_fd or meets a symbolic link is the
 * caller's to forbid through how.resolve. */
void sl_disk_open(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, struct open_how how,
                  sl_disk_cb on_done, void *ctx);

/* The fd is gone whatever the outcome. */
void sl_disk_close(struct sl_disk *disk, struct sl_disk_op *op, int fd, sl_disk_cb on_done, void *ctx);

/* fallocate(2), mode 0: the file becomes `bytes` long and its blocks are there, or SL_NO_SPACE. SL_UNSUPPORTED where
 * the file system cannot (never emulated by writing zeros). 0 bytes: SL_OK. After a failure some blocks may be left
 * in the file. */
void sl_disk_allocate(struct sl_disk *disk, struct sl_disk_op *op, int fd, uint64_t bytes, sl_disk_cb on_done,
                      void *ctx);

void sl_disk_truncate(struct sl_disk *disk, struct sl_disk_op *op, int fd, uint64_t bytes, sl_disk_cb on_done,
                      void *ctx);

/* Writes `len` bytes from slab->base + from at `offset`. slab: SEALED, shared; one reference is taken and given back
 * just before on_done. All bytes or an error. offset + len never passes INT64_MAX. On an fd with O_DIRECT the caller
 * keeps from, len and offset multiples of SL_SLAB_BLOCK_BYTES. */
void sl_disk_write(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t from, size_t len,
                   uint64_t offset, sl_disk_cb on_done, void *ctx);

/* The same of any memory, lent until on_done. */
void sl_disk_write_lent(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *bytes, size_t len,
                        uint64_t offset, sl_disk_cb on_done, void *ctx);

/* Reads up to `len` bytes into slab->base (FILLING, one reference as above). result < len: the file ends there. */
void sl_disk_read(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t len,
                  uint64_t offset, sl_disk_cb on_done, void *ctx);

/* The same of bytes that were on disk a moment ago: even what lies in the page cache by now is copied by a helper,
 * never by the loop. Whoever first touches memory that a host lends to a virtual machine waits for it. */
void sl_disk_read_cold(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t len,
                       uint64_t offset, sl_disk_cb on_done, void *ctx);

/* cachestat(2): whether all of these bytes of the file lie in the page cache. At once, any thread. true also where the
 * kernel does not tell (before 6.5). */
bool sl_disk_is_cached(int fd, uint64_t offset, uint64_t bytes);

/* posix_fadvise(2), POSIX_FADV_WILLNEED: asks for these bytes to be brought into the page cache. A wish: what becomes
 * of it only the next read tells. */
void sl_disk_prefetch(struct sl_disk *disk, struct sl_disk_op *op, int fd, uint64_t offset, uint64_t bytes,
                      sl_disk_cb on_done, void *ctx);

/* copy_file_range(2): bytes [from_offset, + bytes) of one file to to_offset of another, shared blocks where the file
 * system can, and through a helper's memory where the kernel cannot copy between the two. result: bytes copied, fewer
 * when the source ends; after a failure some may be. Neither fd has O_DIRECT, the two stretches of one file do not
 * overlap, and no offset + bytes passes INT64_MAX.
 * It is long work for a thread: one is done at a time, the others wait, so ask for some tens of MiB. */
void sl_disk_copy(struct sl_disk *disk, struct sl_disk_op *op, int from_fd, uint64_t from_offset, int to_fd,
                  uint64_t to_offset, uint64_t bytes, sl_disk_cb on_done, void *ctx);

/* fsync(2), or fdatasync(2) if data_only. After a failure the file's content is unknown: never retry and trust. */
void sl_disk_sync(struct sl_disk *disk, struct sl_disk_op *op, int fd, bool data_only, sl_disk_cb on_done, void *ctx);

/* linkat(2). from may be "/proc/self/fd/N" with AT_SYMLINK_FOLLOW for an unnamed file. */
void sl_disk_link(struct sl_disk *disk, struct sl_disk_op *op, int from_fd, const char *from, int to_fd,
                  const char *to, unsigned flags, sl_disk_cb on_done, void *ctx);

/* renameat2(2). */
void sl_disk_rename(struct sl_disk *disk, struct sl_disk_op *op, int from_fd, const char *from, int to_fd,
                    const char *to, unsigned flags, sl_disk_cb on_done, void *ctx);

/* unlinkat(2); is_dir removes an empty directory. */
void sl_disk_unlink(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, bool is_dir,
                    sl_disk_cb on_done, void *ctx);

void sl_disk_mkdir(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, mode_t mode,
                   sl_disk_cb on_done, void *ctx);

void sl_disk_setxattr(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *name, const void *value,
                      size_t bytes, sl_disk_cb on_done, void *ctx);

/* result: bytes of the value. SL_NOT_FOUND: no such attribute (ENODATA). */
void sl_disk_getxattr(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *name, void *value_out,
                      size_t room, sl_disk_cb on_done, void *ctx);

/* SL_NOT_FOUND: as above. */
void sl_disk_removexattr(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *name, sl_disk_cb on_done,
                         void *ctx);

/* flock(2), exclusive: tried for some tenths of a second, for what a process held that was killed is let go only when
 * the kernel has ended its I/O. SL_BUSY: somebody holds it. One is tried for at a time, the others wait. */
void sl_disk_lock(struct sl_disk *disk, struct sl_disk_op *op, int fd, sl_disk_cb on_done, void *ctx);

/* statx(2), basic stats, AT_SYMLINK_NOFOLLOW; path "" is dir_fd itself. */
void sl_disk_stat(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, struct statx *stat_out,
                  sl_disk_cb on_done, void *ctx);

/* Lists the regular files and folders in the directory itself, the first of them in the order of their bytes (a
 * folder's name ends in '/'), as many as fit into list->out as struct sl_disk_entry; result: their bytes. Other kinds
 * of entries, and what vanishes meanwhile, are left out, so that there may be more even if none came. What is wrong
 * with a single file fails nothing: it is told without the value of its attribute, or left out if not even its inode
 * can be read; so a directory whose names may not be looked up is empty. Memory: bounded by `room`, not by the
 * directory, which is read once a call. list and all it points to: lent until on_done.
 * It is long work for a thread: one is done at a time, the others wait, so that they keep none from what is short. */
void sl_disk_list(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, struct sl_disk_list *list,
                  sl_disk_cb on_done, void *ctx);

/* Several operations for one change of thread: calls run(here, run_ctx) on a thread of the engine. What is started on
 * the disk `here` is done by that thread at once, one behind the other, its callbacks run there, too, and may start
 * more; the errand is over when nothing is left. run_ctx and all that is touched: lent until on_done. `here` ends
 * with the errand. Nothing that waits for long (syncs, copies, lists, locks): it would keep the thread from others.
 * Slabs stay on the loop's thread: what is written is given by sl_disk_write_lent.
 * Only where sl_disk_has_errands(). Its err is SL_OK; each operation has its own. */
void sl_disk_errand(struct sl_disk *disk, struct sl_disk_op *op, void (*run)(struct sl_disk *here, void *ctx),
                    void *run_ctx, sl_disk_cb on_done, void *ctx);
bool sl_disk_has_errands(const struct sl_disk *disk);

void sl_disk_statfs(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct statfs *statfs_out,
                    sl_disk_cb on_done, void *ctx);

#endif
