/* The engine on io_uring. The only file that sees liburing.
 *
 *   submit -> waiting -> (flush) SQEs -> kernel -> CQEs -> (run) done -> on_done
 *
 * submit only queues; flush fills the ring and enters the kernel once for all of a turn. No more goes in than the
 * completion ring can report, so it never overflows; the rest waits for the first flush after completions.
 * Kinds that kernel or liburing lack, and operations the kernel declines to do without blocking (EAGAIN), go to a
 * few helper threads. Helpers and ring wake the loop through one eventfd.
 *
 * Loop thread. The ring starts disabled and the first flush enables it, because with DEFER_TASKRUN it belongs to the
 * thread that enables it: so create may run on the thread that starts the loops. */
#include "engine.h"
#include "sluice/base/sanitizers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_ENTRIES   256
#define DEFERRED_FLAGS (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED)

struct uring {
    struct sl_disk base;
    /* fixed after create */
    struct sl_disk *helpers;   /* its mailbox has the eventfd */
    struct sl_slab_pool *pool; /* whose regions are the registered buffers; NULL: none are */
    bool knows[SL_DISK_KINDS]; /* what the ring can do */
    /* loop thread */
    struct io_uring ring;
    bool is_enabled;
    unsigned in_kernel; /* SQEs made whose CQE is not seen */
    struct sl_link waiting;
    struct sl_link done; /* over, and not told yet */
};

static struct sl_disk_op *op_of(struct sl_link *link)
{
    return SL_CONTAINER_OF(link, struct sl_disk_op, link);
}

static void uring_submit(struct sl_disk *disk, struct sl_disk_op *op)
{
    struct uring *uring = (struct uring *)disk;
    bool is_cold = op->kind == SL_DISK_READ && op->args.io.is_cold;
    if (uring->knows[op->kind] && !is_cold)
        sl_list_append(&uring->waiting, &op->link);
    else
        uring->helpers->engine->submit(uring->helpers, op);
}

static void make_io_sqe(struct uring *uring, struct io_uring_sqe *sqe, struct sl_disk_op *op)
{
    const struct sl_slab *slab = op->args.io.slab;
    bool is_registered = uring->pool != NULL && slab != NULL && slab->pool == uring->pool;
    bool is_write = op->kind == SL_DISK_WRITE;
    int opcode = is_registered ? (is_write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED)
                               : (is_write ? IORING_OP_WRITE : IORING_OP_READ);
    io_uring_prep_rw(opcode, sqe, op->args.io.fd, op->args.io.base + op->args.io.done,
                     (unsigned)(op->args.io.len - op->args.io.done), op->args.io.offset + op->args.io.done);
    if (is_registered)
        sqe->buf_index = (uint16_t)slab->region;
}

static void make_close_sqe(struct io_uring_sqe *sqe, struct sl_disk_op *op)
{
    io_uring_prep_close(sqe, op->args.close.fd);
    /* The last close of an unnamed file frees its blocks, which takes its time: not on this thread. */
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
}

static void make_sqe(struct uring *uring, struct io_uring_sqe *sqe, struct sl_disk_op *op)
{
    switch (op->kind) {
    case SL_DISK_OPEN:
        io_uring_prep_openat2(sqe, op->args.open.dir_fd, op->args.open.path, &op->args.open.how);
        break;
    case SL_DISK_CLOSE: make_close_sqe(sqe, op); break;
    case SL_DISK_ALLOCATE:
        io_uring_prep_fallocate(sqe, op->args.allocate.fd, 0, 0, (off_t)op->args.allocate.bytes);
        break;
    case SL_DISK_WRITE: make_io_sqe(uring, sqe, op); break;
    case SL_DISK_READ: make_io_sqe(uring, sqe, op); break;
    case SL_DISK_SYNC:
        io_uring_prep_fsync(sqe, op->args.sync.fd, op->args.sync.data_only ? IORING_FSYNC_DATASYNC : 0);
        break;
    case SL_DISK_LINK:
        io_uring_prep_linkat(sqe, op->args.name.from_fd, op->args.name.from, op->args.name.to_fd, op->args.name.to,
                             (int)op->args.name.flags);
        break;
    case SL_DISK_RENAME:
        io_uring_prep_renameat(sqe, op->args.name.from_fd, op->args.name.from, op->args.name.to_fd, op->args.name.to,
                               op->args.name.flags);
        break;
    case SL_DISK_UNLINK:
        io_uring_prep_unlinkat(sqe, op->args.path.dir_fd, op->args.path.path,
                               op->args.path.is_dir ? AT_REMOVEDIR : 0);
        break;
    case SL_DISK_MKDIR:
        io_uring_prep_mkdirat(sqe, op->args.path.dir_fd, op->args.path.path, op->args.path.mode);
        break;
    case SL_DISK_SETXATTR:
        io_uring_prep_fsetxattr(sqe, op->args.xattr.fd, op->args.xattr.name, op->args.xattr.value, 0,
                                (unsigned)op->args.xattr.bytes);
        break;
    case SL_DISK_GETXATTR:
        io_uring_prep_fgetxattr(sqe, op->args.xattr.fd, op->args.xattr.name, op->args.xattr.value,
                                (unsigned)op->args.xattr.bytes);
        break;
    case SL_DISK_STAT:
        io_uring_prep_statx(sqe, op->args.stat.dir_fd, op->args.stat.path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
                            STATX_BASIC_STATS, op->args.stat.out);
        break;
    case SL_DISK_PREFETCH:
    case SL_DISK_COPY:
    case SL_DISK_TRUNCATE:
    case SL_DISK_REMOVEXATTR:
    case SL_DISK_LOCK:
    case SL_DISK_STATFS:
    case SL_DISK_LIST:
    case SL_DISK_ERRAND:
    case SL_DISK_KINDS: assert(!"the helpers do this kind");
    }
    io_uring_sqe_set_data(sqe, op);
}

/* Moves what waits into the submission ring while there is room in both rings. */
static void fill_ring(struct uring *uring)
{
    while (!sl_list_is_empty(&uring->waiting) && uring->in_kernel < *uring->ring.cq.kring_entries) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
        if (sqe == NULL)
            return;
        make_sqe(uring, sqe, op_of(sl_list_shift(&uring->waiting)));
        uring->in_kernel++;
    }
}

static void wake_next_turn(struct uring *uring)
{
    uint64_t one = 1;
    (void)!write(uring->base.fd, &one, sizeof one);
}

/* By the system call: liburing 2.3 declares io_uring_enable_rings() and forgets to export it. It cannot fail: create
 * saw that the call is allowed, and nobody else enables this ring. */
static void enable(struct uring *uring)
{
    int rc = io_uring_register((unsigned)uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    assert(rc == 0);
    (void)rc;
    uring->is_enabled = true;
}

static void uring_flush(struct sl_disk *disk)
{
    struct uring *uring = (struct uring *)disk;
    if (!uring->is_enabled && !sl_list_is_empty(&uring->waiting))
        enable(uring);
    for (fill_ring(uring); io_uring_sq_ready(&uring->ring) > 0; fill_ring(uring)) {
        if (io_uring_submit(&uring->ring) <= 0) {
            /* Out of memory for now. Nothing may be in flight that would wake us, so we do it ourselves. */
            wake_next_turn(uring);
            return;
        }
    }
}

/* Takes in one completion. An op that is over goes to `done`. */
static void reap(struct uring *uring, struct sl_disk_op *op, int res)
{
    assert(uring->in_kernel > 0);
    uring->in_kernel--;
    if (res == -EAGAIN && op->kind != SL_DISK_CLOSE)
        uring->helpers->engine->submit(uring->helpers, op);
    else if (sl_disk_advance(op, res))
        sl_list_append(&uring->done, &op->link);
    else
        sl_list_append(&uring->waiting, &op->link);
}

static void uring_run(struct sl_disk *disk)
{
    struct uring *uring = (struct uring *)disk;
    /* Reads the eventfd before anything is looked at, so what comes in later wakes us again. */
    uring->helpers->engine->run(uring->helpers);
    bool is_deferred = uring->is_enabled && (uring->ring.flags & IORING_SETUP_DEFER_TASKRUN);
    if (is_deferred && io_uring_get_events(&uring->ring) < 0)
        wake_next_turn(uring); /* what is to be had was told, and is not told again */

    for (struct io_uring_cqe *cqe; io_uring_peek_cqe(&uring->ring, &cqe) == 0;) {
        struct sl_disk_op *op = io_uring_cqe_get_data(cqe);
        int res = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        reap(uring, op, res);
    }
    sl_disk_complete_some(disk, &uring->done);
}

static void uring_destroy(struct sl_disk *disk)
{
    struct uring *uring = (struct uring *)disk;
    assert(uring->in_kernel == 0 && sl_list_is_empty(&uring->waiting) && sl_list_is_empty(&uring->done));
    io_uring_queue_exit(&uring->ring);
    uring->helpers->engine->destroy(uring->helpers);
    free(uring);
}

static const struct sl_disk_engine engine = {
    .name = "io_uring",
    .has_errands = true,
    .submit = uring_submit,
    .flush = uring_flush,
    .run = uring_run,
    .destroy = uring_destroy,
};

/* 0: for all. 1: for some groups only. 2: for nobody. -1: this kernel has no such switch (before 6.6). */
static int kernel_switch;
static bool has_looked;

void sl_disk_look_at_kernel(void)
{
    char digit;
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, &digit, 1);
    if (fd >= 0)
        close(fd);
    kernel_switch = n == 1 && digit >= '0' && digit <= '2' ? digit - '0' : -1;
    has_looked = true;
}

static void explain_refusal(struct sl_text *why, int sys_errno)
{
    static const char cure[] = "cure: allow io_uring_setup, io_uring_enter, io_uring_register in the seccomp "
                               "profile (docker/seccomp.io_uring.json does)";
    if (!has_looked)
        sl_disk_look_at_kernel();
    int closed = kernel_switch;
    switch (sys_errno) {
    case EPERM:
    case EACCES:
        if (closed > 0)
            sl_text_printf(why,
                           "io_uring is forbidden here (%s: kernel.io_uring_disabled is %d%s); "
                           "cure: sysctl kernel.io_uring_disabled=0",
                           strerrorname_np(sys_errno), closed,
                           closed == 1 ? ", only the group of kernel.io_uring_group may" : "");
        else
            sl_text_printf(why, "io_uring is forbidden here (%s: a seccomp profile, as of a container); %s",
                           strerrorname_np(sys_errno), cure);
        return;
    case ENOSYS:
        sl_text_printf(why, "io_uring is not to be had here (ENOSYS: %s); %s",
                       closed >= 0
                           ? "the kernel has it, a seccomp profile hides it"
                           : "a seccomp profile hides it, or the kernel is older than 5.1 or built without it",
                       cure);
        return;
    case EMFILE:
    case ENFILE:
        sl_text_printf(why, "io_uring got no file descriptor (%s); cure: raise the limit of open files",
                       strerrorname_np(sys_errno));
        return;
    case ENOMEM: sl_text_printf(why, "io_uring got no memory (ENOMEM); cure: raise RLIMIT_MEMLOCK"); return;
    default: sl_text_printf(why, "io_uring does not start (%s)", strerror(sys_errno));
    }
}

/* 0 or an errno. The newest way of running a ring first, then the plain one of older kernels. */
static int init_ring(struct uring *uring)
{
    int rc = io_uring_queue_init(RING_ENTRIES, &uring->ring, DEFERRED_FLAGS);
    if (rc == -EINVAL) {
        rc = io_uring_queue_init(RING_ENTRIES, &uring->ring, 0);
        uring->is_enabled = rc == 0;
    }
    return -rc;
}

/* 0 or an errno. A seccomp profile may allow io_uring_setup alone, so the other two calls are tried as well. */
static int try_calls(struct uring *uring)
{
    int rc = io_uring_enter((unsigned)uring->ring.ring_fd, 0, 0, 0, NULL);
    if (rc < 0 && rc != -EBADFD) /* EBADFD: allowed, and the ring is disabled still */
        return -rc;
    rc = io_uring_register_eventfd(&uring->ring, uring->base.fd);
    return rc < 0 ? -rc : 0;
}

/* 0 or an errno. Asks the kernel, not its version. What is not listed, the helpers do; so they do what brings in cold
 * bytes: the ring's own helpers inherit the loop's short time slices and would take its CPU. */
static int probe_kinds(struct uring *uring)
{
    static const struct {
        enum sl_disk_kind kind;
        int opcode;
    } rows[] = {
        {SL_DISK_OPEN, IORING_OP_OPENAT2},       {SL_DISK_CLOSE, IORING_OP_CLOSE},
        {SL_DISK_ALLOCATE, IORING_OP_FALLOCATE}, {SL_DISK_WRITE, IORING_OP_WRITE},
        {SL_DISK_READ, IORING_OP_READ},          {SL_DISK_SYNC, IORING_OP_FSYNC},
        {SL_DISK_LINK, IORING_OP_LINKAT},        {SL_DISK_RENAME, IORING_OP_RENAMEAT},
        {SL_DISK_UNLINK, IORING_OP_UNLINKAT},    {SL_DISK_MKDIR, IORING_OP_MKDIRAT},
        {SL_DISK_SETXATTR, IORING_OP_FSETXATTR}, {SL_DISK_GETXATTR, IORING_OP_FGETXATTR},
        {SL_DISK_STAT, IORING_OP_STATX},
    };
    struct io_uring_probe *probe = io_uring_get_probe_ring(&uring->ring);
    if (probe == NULL)
        return EOPNOTSUPP;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        uring->knows[rows[i].kind] = io_uring_opcode_supported(probe, rows[i].opcode);
    io_uring_free_probe(probe);
#ifdef SL_HAS_TSAN /* it sees no ring close: whoever is given the number next would seem to race with its last user */
    uring->knows[SL_DISK_CLOSE] = false;
#endif
    return uring->knows[SL_DISK_WRITE] && uring->knows[SL_DISK_READ] ? 0 : EOPNOTSUPP;
}

/* Registered buffers save the pinning of pages at each operation. A wish: without them all works as well. */
static void register_buffers(struct uring *uring, struct sl_slab_pool *pool, struct sl_text *why)
{
    unsigned regions;
    char *base = sl_slab_pool_memory(pool, &regions);
    struct iovec *buffers = calloc(regions, sizeof *buffers);
    if (buffers == NULL)
        abort();
    for (unsigned i = 0; i < regions; i++)
        buffers[i] = (struct iovec){base + i * SL_SLAB_REGION_BYTES, SL_SLAB_REGION_BYTES};
    int rc = io_uring_register_buffers(&uring->ring, buffers, regions);
    free(buffers);
    if (rc == 0) {
        uring->pool = pool;
        sl_text_printf(why, "the kernel allows it; %u MiB of registered buffers", regions);
    } else {
        sl_text_printf(why, "the kernel allows it; buffers not registered (%s)%s", strerror(-rc),
                       rc == -ENOMEM || rc == -EPERM ? "; cure: raise RLIMIT_MEMLOCK (ulimit -l)" : "");
    }
}

sl_err sl_disk_uring_create(struct sl_slab_pool *pool, struct sl_disk **disk_out, struct sl_text *why)
{
    struct uring *uring = calloc(1, sizeof *uring);
    if (uring == NULL)
        abort();
    uring->base.engine = &engine;
    sl_list_init(&uring->waiting);
    sl_list_init(&uring->done);

    int sys_errno = init_ring(uring);
    if (sys_errno != 0) {
        explain_refusal(why, sys_errno);
        free(uring);
        return SL_UNSUPPORTED;
    }
    sl_err err = sl_disk_threads_create(SL_DISK_THREAD_COUNT, &uring->helpers);
    if (err != SL_OK) {
        sl_text_printf(why, "no helper threads (%s)", sl_err_row(err)->title);
        goto fail;
    }
    uring->base.fd = uring->helpers->fd;
    if ((sys_errno = try_calls(uring)) != 0 || (sys_errno = probe_kinds(uring)) != 0) {
        explain_refusal(why, sys_errno);
        err = SL_UNSUPPORTED;
        goto fail;
    }
    register_buffers(uring, pool, why);
    *disk_out = &uring->base;
    return SL_OK;

fail:
    io_uring_queue_exit(&uring->ring);
    sl_disk_destroy(uring->helpers);
    free(uring);
    return err;
}
