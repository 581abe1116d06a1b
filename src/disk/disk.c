/* The door of the floor: fills operations, counts them, holds their slab, and chooses the engine at start.
 * A byte passes here from the upload pipeline (a sealed slab) to the engine. Loop thread. No system call is made
 * here but the one that wakes the loop. */
#include "sluice/disk/disk.h"

#include "engine.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

sl_err sl_disk_create(enum sl_disk_choice choice, struct sl_slab_pool *pool, struct sl_disk **disk_out,
                      char *reason_out, size_t reason_room)
{
    struct sl_text reason;
    sl_text_init(&reason, reason_out, reason_room);
    *disk_out = NULL;
    if (choice == SL_DISK_THREADS) {
        sl_text_printf(&reason, "threads: as configured");
        return sl_disk_threads_create(SL_DISK_THREAD_COUNT, disk_out);
    }

    char words[256];
    struct sl_text why;
    sl_text_init(&why, words, sizeof words);
    sl_err err = sl_disk_uring_create(pool, disk_out, &why);
    bool falls_back = err != SL_OK && choice == SL_DISK_AUTO;
    sl_text_printf(&reason, "%s: %s", falls_back ? "threads" : "io_uring", words);
    return falls_back ? sl_disk_threads_create(SL_DISK_THREAD_COUNT, disk_out) : err;
}

void sl_disk_destroy(struct sl_disk *disk)
{
    if (disk == NULL)
        return;
    assert(disk->inflight == 0);
    disk->engine->destroy(disk);
}

const char *sl_disk_engine_name(const struct sl_disk *disk)
{
    return disk->engine->name;
}

int sl_disk_fd(const struct sl_disk *disk)
{
    return disk->fd;
}

void sl_disk_run(struct sl_disk *disk)
{
    disk->engine->run(disk);
}

void sl_disk_flush(struct sl_disk *disk)
{
    disk->engine->flush(disk);
}

unsigned sl_disk_inflight(const struct sl_disk *disk)
{
    return disk->inflight;
}

void sl_disk_measure_syncs(struct sl_disk *disk, struct sl_histogram *syncs)
{
    disk->syncs = syncs;
}

/* Every operation begins here, is filled by its function, and goes on to submit(). */
static void prepare(struct sl_disk *disk, struct sl_disk_op *op, enum sl_disk_kind kind, sl_disk_cb on_done,
                    void *ctx)
{
    assert(sl_disk_op_is_idle(op) && !sl_link_is_linked(&op->link));
    assert(on_done != NULL);
    *op = (struct sl_disk_op){.kind = kind, .on_done = on_done, .ctx = ctx, .disk = disk};
}

/* ---- kinds that take turns ---- */

/* So much is copied out of the page cache in a turn of the loop, for that is done on its thread. */
#define READ_BYTES_MAX ((size_t)1 << 20)

/* A LIST reads a whole directory, a COPY many blocks, a LOCK waits, and each keeps a thread for as long. With one of a
 * kind under way the other threads are there for what a commit needs. READs are many where many read, and what they
 * bring is sent on this thread: all that end in one turn would keep everybody else waiting. A cold one waits for the
 * disk, with the helpers. NULL: op takes no turns. */
static struct sl_disk_turns *turns_of(const struct sl_disk_op *op)
{
    switch (op->kind) {
    case SL_DISK_LIST: return &op->disk->lists;
    case SL_DISK_LOCK: return &op->disk->locks;
    case SL_DISK_COPY: return &op->disk->copies;
    case SL_DISK_READ: return op->args.io.is_cold ? NULL : &op->disk->reads;
    default: return NULL;
    }
}

/* How much of what may be taken op takes. Who takes all is alone. */
static size_t weight_of(const struct sl_disk_op *op)
{
    return op->kind == SL_DISK_READ ? op->args.io.len : READ_BYTES_MAX;
}

static bool takes_turn(struct sl_disk_turns *turns, const struct sl_disk_op *op)
{
    if (turns->taken > 0 && turns->taken + weight_of(op) > READ_BYTES_MAX)
        return false;
    turns->taken += weight_of(op);
    return true;
}

/* false: op waits until end_turn() hands it on. */
static bool goes_now(struct sl_disk_turns *turns, struct sl_disk_op *op)
{
    if (!sl_link_is_linked(&turns->waiting))
        sl_list_init(&turns->waiting);
    if (sl_list_is_empty(&turns->waiting) && takes_turn(turns, op))
        return true;
    sl_list_append(&turns->waiting, &op->link);
    return false;
}

/* The oldest that wait go before what the callback of this one may start. */
static void end_turn(struct sl_disk_turns *turns, const struct sl_disk_op *op)
{
    assert(turns->taken >= weight_of(op));
    turns->taken -= weight_of(op);
    while (!sl_list_is_empty(&turns->waiting)) {
        struct sl_disk_op *next = SL_CONTAINER_OF(turns->waiting.next, struct sl_disk_op, link);
        if (!takes_turn(turns, next))
            return;
        sl_link_unlink(&next->link);
        next->disk->engine->submit(next->disk, next);
    }
}

/* ---- begin and end of every operation ---- */

static void submit(struct sl_disk_op *op)
{
    struct sl_disk_turns *turns = turns_of(op);
    op->disk->inflight++;
    if (turns == NULL || goes_now(turns, op))
        op->disk->engine->submit(op->disk, op);
}

static bool is_io(const struct sl_disk_op *op)
{
    return op->kind == SL_DISK_WRITE || op->kind == SL_DISK_READ;
}

void sl_disk_complete(struct sl_disk_op *op)
{
    assert(!sl_disk_op_is_idle(op) && !sl_link_is_linked(&op->link));
    assert(op->disk->inflight > 0);
    assert((op->err == SL_OK) == (op->sys_errno == 0));
    if (is_io(op) && op->args.io.slab != NULL)
        sl_slab_release(op->args.io.slab);
    op->disk->inflight--;
    if (op->kind == SL_DISK_SYNC && op->disk->syncs != NULL)
        sl_histogram_add(op->disk->syncs, sl_clock_now_ns() - op->args.sync.begun_ns);
    if (turns_of(op) != NULL)
        end_turn(turns_of(op), op);
    sl_disk_cb on_done = op->on_done;
    op->on_done = NULL;
    on_done(op, op->ctx);
}

void sl_disk_complete_some(struct sl_disk *disk, struct sl_link *done)
{
    uint64_t end_ns = sl_clock_now_ns() + SL_DISK_RUN_NS;
    for (unsigned i = 0; i < SL_DISK_RUN_MAX && !sl_list_is_empty(done); i++) {
        sl_disk_complete(SL_CONTAINER_OF(sl_list_shift(done), struct sl_disk_op, link));
        if (sl_clock_now_ns() >= end_ns)
            break;
    }
    uint64_t one = 1;
    if (!sl_list_is_empty(done))
        (void)!write(disk->fd, &one, sizeof one);
}

void sl_disk_open(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, struct open_how how,
                  sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_OPEN, on_done, ctx);
    op->args.open.dir_fd = dir_fd;
    op->args.open.path = path;
    op->args.open.how = how;
    op->args.open.how.flags |= O_CLOEXEC;
    submit(op);
}

void sl_disk_close(struct sl_disk *disk, struct sl_disk_op *op, int fd, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_CLOSE, on_done, ctx);
    op->args.close.fd = fd;
    submit(op);
}

void sl_disk_allocate(struct sl_disk *disk, struct sl_disk_op *op, int fd, uint64_t bytes, sl_disk_cb on_done,
                      void *ctx)
{
    prepare(disk, op, SL_DISK_ALLOCATE, on_done, ctx);
    op->args.allocate.fd = fd;
    op->args.allocate.bytes = bytes;
    submit(op);
}

void sl_disk_truncate(struct sl_disk *disk, struct sl_disk_op *op, int fd, uint64_t bytes, sl_disk_cb on_done,
                      void *ctx)
{
    prepare(disk, op, SL_DISK_TRUNCATE, on_done, ctx);
    op->args.truncate.fd = fd;
    op->args.truncate.bytes = bytes;
    submit(op);
}

static void submit_io(struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t from, size_t len, uint64_t offset)
{
    assert(from <= slab->bytes && len <= slab->bytes - from);
    assert(offset <= (uint64_t)INT64_MAX - len);
    sl_slab_acquire(slab);
    op->args.io.fd = fd;
    op->args.io.base = slab->base + from;
    op->args.io.len = len;
    op->args.io.offset = offset;
    op->args.io.slab = slab;
    submit(op);
}

void sl_disk_write(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t from, size_t len,
                   uint64_t offset, sl_disk_cb on_done, void *ctx)
{
    assert(slab->state == SL_SLAB_SEALED);
    prepare(disk, op, SL_DISK_WRITE, on_done, ctx);
    submit_io(op, fd, slab, from, len, offset);
}

void sl_disk_write_lent(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *bytes, size_t len,
                        uint64_t offset, sl_disk_cb on_done, void *ctx)
{
    assert(offset <= (uint64_t)INT64_MAX - len);
    prepare(disk, op, SL_DISK_WRITE, on_done, ctx);
    op->args.io.fd = fd;
    op->args.io.base = (char *)bytes;
    op->args.io.len = len;
    op->args.io.offset = offset;
    submit(op);
}

static void submit_read(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t len,
                        uint64_t offset, bool is_cold, sl_disk_cb on_done, void *ctx)
{
    assert(slab->state == SL_SLAB_FILLING);
    prepare(disk, op, SL_DISK_READ, on_done, ctx);
    op->args.io.is_cold = is_cold;
    submit_io(op, fd, slab, 0, len, offset);
}

void sl_disk_read(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t len,
                  uint64_t offset, sl_disk_cb on_done, void *ctx)
{
    submit_read(disk, op, fd, slab, len, offset, false, on_done, ctx);
}

void sl_disk_read_cold(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct sl_slab *slab, size_t len,
                       uint64_t offset, sl_disk_cb on_done, void *ctx)
{
    submit_read(disk, op, fd, slab, len, offset, true, on_done, ctx);
}

void sl_disk_prefetch(struct sl_disk *disk, struct sl_disk_op *op, int fd, uint64_t offset, uint64_t bytes,
                      sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_PREFETCH, on_done, ctx);
    op->args.prefetch.fd = fd;
    op->args.prefetch.offset = offset;
    op->args.prefetch.bytes = bytes;
    submit(op);
}

void sl_disk_copy(struct sl_disk *disk, struct sl_disk_op *op, int from_fd, uint64_t from_offset, int to_fd,
                  uint64_t to_offset, uint64_t bytes, sl_disk_cb on_done, void *ctx)
{
    assert(bytes <= INT64_MAX);
    assert(from_offset <= INT64_MAX - bytes && to_offset <= INT64_MAX - bytes);
    prepare(disk, op, SL_DISK_COPY, on_done, ctx);
    op->args.copy.from_fd = from_fd;
    op->args.copy.to_fd = to_fd;
    op->args.copy.from_offset = from_offset;
    op->args.copy.to_offset = to_offset;
    op->args.copy.bytes = bytes;
    submit(op);
}

void sl_disk_sync(struct sl_disk *disk, struct sl_disk_op *op, int fd, bool data_only, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_SYNC, on_done, ctx);
    op->args.sync.fd = fd;
    op->args.sync.data_only = data_only;
    if (disk->syncs != NULL)
        op->args.sync.begun_ns = sl_clock_now_ns();
    submit(op);
}

static void submit_name(struct sl_disk_op *op, int from_fd, const char *from, int to_fd, const char *to,
                        unsigned flags)
{
    op->args.name.from_fd = from_fd;
    op->args.name.from = from;
    op->args.name.to_fd = to_fd;
    op->args.name.to = to;
    op->args.name.flags = flags;
    submit(op);
}

void sl_disk_link(struct sl_disk *disk, struct sl_disk_op *op, int from_fd, const char *from, int to_fd,
                  const char *to, unsigned flags, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_LINK, on_done, ctx);
    submit_name(op, from_fd, from, to_fd, to, flags);
}

void sl_disk_rename(struct sl_disk *disk, struct sl_disk_op *op, int from_fd, const char *from, int to_fd,
                    const char *to, unsigned flags, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_RENAME, on_done, ctx);
    submit_name(op, from_fd, from, to_fd, to, flags);
}

void sl_disk_unlink(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, bool is_dir,
                    sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_UNLINK, on_done, ctx);
    op->args.path.dir_fd = dir_fd;
    op->args.path.path = path;
    op->args.path.is_dir = is_dir;
    submit(op);
}

void sl_disk_mkdir(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, mode_t mode,
                   sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_MKDIR, on_done, ctx);
    op->args.path.dir_fd = dir_fd;
    op->args.path.path = path;
    op->args.path.mode = mode;
    submit(op);
}

static void submit_xattr(struct sl_disk_op *op, int fd, const char *name, void *value, size_t bytes)
{
    op->args.xattr.fd = fd;
    op->args.xattr.name = name;
    op->args.xattr.value = value;
    op->args.xattr.bytes = bytes;
    submit(op);
}

void sl_disk_setxattr(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *name, const void *value,
                      size_t bytes, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_SETXATTR, on_done, ctx);
    submit_xattr(op, fd, name, (void *)value, bytes);
}

void sl_disk_getxattr(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *name, void *value_out,
                      size_t room, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_GETXATTR, on_done, ctx);
    submit_xattr(op, fd, name, value_out, room);
}

void sl_disk_removexattr(struct sl_disk *disk, struct sl_disk_op *op, int fd, const char *name, sl_disk_cb on_done,
                         void *ctx)
{
    prepare(disk, op, SL_DISK_REMOVEXATTR, on_done, ctx);
    submit_xattr(op, fd, name, NULL, 0);
}

void sl_disk_lock(struct sl_disk *disk, struct sl_disk_op *op, int fd, sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_LOCK, on_done, ctx);
    op->args.lock.fd = fd;
    submit(op);
}

void sl_disk_stat(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, const char *path, struct statx *stat_out,
                  sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_STAT, on_done, ctx);
    op->args.stat.dir_fd = dir_fd;
    op->args.stat.path = path;
    op->args.stat.out = stat_out;
    submit(op);
}

void sl_disk_statfs(struct sl_disk *disk, struct sl_disk_op *op, int fd, struct statfs *statfs_out,
                    sl_disk_cb on_done, void *ctx)
{
    prepare(disk, op, SL_DISK_STATFS, on_done, ctx);
    op->args.statfs.fd = fd;
    op->args.statfs.out = statfs_out;
    submit(op);
}

void sl_disk_list(struct sl_disk *disk, struct sl_disk_op *op, int dir_fd, struct sl_disk_list *list,
                  sl_disk_cb on_done, void *ctx)
{
    assert((uintptr_t)list->out % _Alignof(struct sl_disk_entry) == 0);
    assert(list->room >= SL_DISK_ENTRY_BYTES_MAX(list->value_max));
    prepare(disk, op, SL_DISK_LIST, on_done, ctx);
    list->has_more = false;
    op->args.list.dir_fd = dir_fd;
    op->args.list.list = list;
    submit(op);
}

bool sl_disk_has_errands(const struct sl_disk *disk)
{
    return disk->engine->has_errands;
}

void sl_disk_errand(struct sl_disk *disk, struct sl_disk_op *op, void (*run)(struct sl_disk *here, void *ctx),
                    void *run_ctx, sl_disk_cb on_done, void *ctx)
{
    assert(sl_disk_has_errands(disk));
    prepare(disk, op, SL_DISK_ERRAND, on_done, ctx);
    op->args.errand.run = run;
    op->args.errand.ctx = run_ctx;
    submit(op);
}
