/* What the system calls are and what their answers mean. Both engines end here: the threads execute operations with
 * blocking calls, and whoever made the call, sl_disk_advance() alone turns its answer into an outcome.
 * Any thread that owns the op. */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int64_t openat2_call(const struct sl_disk_op *op)
{
    return syscall(SYS_openat2, op->args.open.dir_fd, op->args.open.path, &op->args.open.how,
                   sizeof op->args.open.how);
}

static int64_t io_call(const struct sl_disk_op *op)
{
    char *base = op->args.io.base + op->args.io.done;
    size_t left = op->args.io.len - op->args.io.done;
    off_t at = (off_t)(op->args.io.offset + op->args.io.done);
    return op->kind == SL_DISK_WRITE ? pwrite(op->args.io.fd, base, left, at) : pread(op->args.io.fd, base, left, at);
}

static int64_t sync_call(const struct sl_disk_op *op)
{
    return op->args.sync.data_only ? fdatasync(op->args.sync.fd) : fsync(op->args.sync.fd);
}

/* This one returns its errno instead of setting it. */
static int64_t prefetch(int fd, uint64_t offset, uint64_t bytes)
{
    errno = posix_fadvise(fd, (off_t)offset, (off_t)bytes, POSIX_FADV_WILLNEED);
    return errno == 0 ? 0 : -1;
}

/* What a helper copies at once: it lies on its stack. */
#define HAND_BYTES ((size_t)64 * 1024)

/* Bytes from file to file through memory, where copy_file_range(2) cannot. */
static int64_t copy_by_hand(int from_fd, off_t from, int to_fd, off_t to, size_t bytes)
{
    char hand[HAND_BYTES];
    ssize_t n = pread(from_fd, hand, bytes < sizeof hand ? bytes : sizeof hand, from);
    return n <= 0 ? n : pwrite(to_fd, hand, (size_t)n, to);
}

static int64_t copy_call(const struct sl_disk_op *op)
{
    off_t from = (off_t)(op->args.copy.from_offset + op->args.copy.done);
    off_t to = (off_t)(op->args.copy.to_offset + op->args.copy.done);
    size_t left = op->args.copy.bytes - op->args.copy.done;
    if (op->args.copy.is_by_hand)
        return copy_by_hand(op->args.copy.from_fd, from, op->args.copy.to_fd, to, left);
    return copy_file_range(op->args.copy.from_fd, &from, op->args.copy.to_fd, &to, left, 0);
}

#define LOCK_TRIES   30
#define LOCK_REST_NS 10000000

static int64_t lock_call(int fd)
{
    const struct timespec rest = {.tv_nsec = LOCK_REST_NS};
    for (unsigned tries = 1; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
            return -1;
        (void)nanosleep(&rest, NULL);
    }
    return 0;
}

/* One system call (LIST, COPY, LOCK: some) for what is left of op; -1 and errno when it fails. */
static int64_t call(const struct sl_disk_op *op)
{
    switch (op->kind) {
    case SL_DISK_OPEN: return openat2_call(op);
    case SL_DISK_CLOSE: return close(op->args.close.fd);
    case SL_DISK_ALLOCATE:
        /* Not posix_fallocate(3), which writes zeros where the file system cannot. */
        return fallocate(op->args.allocate.fd, 0, 0, (off_t)op->args.allocate.bytes);
    case SL_DISK_TRUNCATE: return ftruncate(op->args.truncate.fd, (off_t)op->args.truncate.bytes);
    case SL_DISK_WRITE: return io_call(op);
    case SL_DISK_READ: return io_call(op);
    case SL_DISK_SYNC: return sync_call(op);
    case SL_DISK_LINK:
        return linkat(op->args.name.from_fd, op->args.name.from, op->args.name.to_fd, op->args.name.to,
                      (int)op->args.name.flags);
    case SL_DISK_RENAME:
        return renameat2(op->args.name.from_fd, op->args.name.from, op->args.name.to_fd, op->args.name.to,
                         op->args.name.flags);
    case SL_DISK_UNLINK:
        return unlinkat(op->args.path.dir_fd, op->args.path.path, op->args.path.is_dir ? AT_REMOVEDIR : 0);
    case SL_DISK_MKDIR: return mkdirat(op->args.path.dir_fd, op->args.path.path, op->args.path.mode);
    case SL_DISK_SETXATTR:
        return fsetxattr(op->args.xattr.fd, op->args.xattr.name, op->args.xattr.value, op->args.xattr.bytes, 0);
    case SL_DISK_GETXATTR:
        return fgetxattr(op->args.xattr.fd, op->args.xattr.name, op->args.xattr.value, op->args.xattr.bytes);
    case SL_DISK_REMOVEXATTR: return fremovexattr(op->args.xattr.fd, op->args.xattr.name);
    case SL_DISK_LOCK: return lock_call(op->args.lock.fd);
    case SL_DISK_STAT:
        return statx(op->args.stat.dir_fd, op->args.stat.path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS,
                     op->args.stat.out);
    case SL_DISK_PREFETCH: return prefetch(op->args.prefetch.fd, op->args.prefetch.offset, op->args.prefetch.bytes);
    case SL_DISK_COPY: return copy_call(op);
    case SL_DISK_STATFS: return fstatfs(op->args.statfs.fd, op->args.statfs.out);
    case SL_DISK_LIST: return sl_disk_list_now(op->args.list.dir_fd, op->args.list.list);
    case SL_DISK_ERRAND: return sl_disk_errand_now(op->args.errand.run, op->args.errand.ctx);
    case SL_DISK_KINDS: break;
    }
    assert(!"an operation of no kind");
    abort();
}

void sl_disk_execute(struct sl_disk_op *op)
{
    int64_t res;
    do {
        res = call(op);
    } while (!sl_disk_advance(op, res < 0 ? -errno : res));
}

/* The one place where an errno gets its meaning. What is common to all kinds stands in sl_err_of_errno(). */
static sl_err err_of(const struct sl_disk_op *op, int sys_errno)
{
    switch (op->kind) {
    case SL_DISK_ALLOCATE:
        if (sys_errno == ENODEV || sys_errno == ESPIPE)
            return SL_UNSUPPORTED; /* not a file that has blocks */
        if (sys_errno == EINVAL && op->args.allocate.bytes > INT64_MAX)
            return SL_TOO_LARGE;
        break;
    case SL_DISK_TRUNCATE:
        if (sys_errno == EINVAL && op->args.truncate.bytes > INT64_MAX)
            return SL_TOO_LARGE;
        break;
    case SL_DISK_LINK:
    case SL_DISK_RENAME:
        if (sys_errno == EXDEV)
            return SL_UNSUPPORTED; /* two file systems; nothing was left */
        break;
    case SL_DISK_GETXATTR:
    case SL_DISK_REMOVEXATTR:
        if (sys_errno == ENODATA)
            return SL_NOT_FOUND;
        if (sys_errno == ERANGE)
            return SL_TOO_LARGE; /* for the room given */
        break;
    case SL_DISK_LOCK:
        if (sys_errno == EWOULDBLOCK)
            return SL_BUSY;
        break;
    case SL_DISK_SETXATTR:
        if (sys_errno == E2BIG || sys_errno == ERANGE)
            return SL_TOO_LARGE;
        break;
    case SL_DISK_OPEN:
    case SL_DISK_CLOSE:
    case SL_DISK_WRITE:
    case SL_DISK_READ:
    case SL_DISK_PREFETCH:
    case SL_DISK_COPY:
    case SL_DISK_SYNC:
    case SL_DISK_UNLINK:
    case SL_DISK_MKDIR:
    case SL_DISK_STAT:
    case SL_DISK_STATFS:
    case SL_DISK_LIST:
    case SL_DISK_ERRAND:
    case SL_DISK_KINDS: break;
    }
    return sl_err_of_errno(sys_errno);
}

static bool end(struct sl_disk_op *op, int sys_errno, int64_t result)
{
    op->err = sys_errno == 0 ? SL_OK : err_of(op, sys_errno);
    op->sys_errno = sys_errno;
    op->result = sys_errno == 0 ? result : 0;
    return true;
}

static bool advance_write(struct sl_disk_op *op, int64_t res)
{
    if (res < 0)
        return end(op, (int)-res, 0);
    op->args.io.done += (size_t)res;
    assert(op->args.io.done <= op->args.io.len);
    if (op->args.io.done == op->args.io.len)
        return end(op, 0, (int64_t)op->args.io.done);
    return res == 0 ? end(op, EIO, 0) : false; /* neither progress nor an error: never try that for ever */
}

static bool advance_read(struct sl_disk_op *op, int64_t res)
{
    /* With O_DIRECT a read that stopped inside a block has met the end; some file systems refuse to go on from
     * there. */
    if (res == -EINVAL && op->args.io.done > 0)
        res = 0;
    if (res < 0)
        return end(op, (int)-res, 0);
    op->args.io.done += (size_t)res;
    assert(op->args.io.done <= op->args.io.len);
    if (res > 0 && op->args.io.done < op->args.io.len)
        return false;
    return end(op, 0, (int64_t)op->args.io.done);
}

/* Two file systems, or one that cannot; no such call, or (EPERM) a sandbox that does not know it. */
static bool is_no_way_to_copy(int64_t res)
{
    return res == -EXDEV || res == -EINVAL || res == -EOPNOTSUPP || res == -ENOSYS || res == -EPERM;
}

static bool advance_copy(struct sl_disk_op *op, int64_t res)
{
    bool is_over = res == 0 && op->args.copy.done < op->args.copy.bytes;
    if (!op->args.copy.is_by_hand && (is_over || is_no_way_to_copy(res))) {
        /* Nothing copied should be the end of the file, but some file systems have no better answer: reading tells. */
        op->args.copy.is_by_hand = true;
        return false;
    }
    if (res < 0)
        return end(op, (int)-res, 0);
    op->args.copy.done += (uint64_t)res;
    assert(op->args.copy.done <= op->args.copy.bytes);
    if (res > 0 && op->args.copy.done < op->args.copy.bytes)
        return false;
    return end(op, 0, (int64_t)op->args.copy.done);
}

bool sl_disk_advance(struct sl_disk_op *op, int64_t res)
{
    if (res == -EINTR && op->kind != SL_DISK_CLOSE)
        return false;
    switch (op->kind) {
    case SL_DISK_WRITE: return advance_write(op, res);
    case SL_DISK_READ: return advance_read(op, res);
    case SL_DISK_COPY: return advance_copy(op, res);
    case SL_DISK_CLOSE:
        /* On Linux the fd is gone all the same, and its number may be somebody else's by now. */
        return end(op, res == -EINTR || res >= 0 ? 0 : (int)-res, 0);
    case SL_DISK_ALLOCATE:
        /* Nothing is always there; the kernel calls it a bad argument. */
        if (res == -EINVAL && op->args.allocate.bytes == 0)
            return end(op, 0, 0);
        break;
    case SL_DISK_OPEN:
    case SL_DISK_GETXATTR:
    case SL_DISK_LIST: return end(op, res < 0 ? (int)-res : 0, res);
    case SL_DISK_TRUNCATE:
    case SL_DISK_PREFETCH:
    case SL_DISK_SYNC:
    case SL_DISK_LINK:
    case SL_DISK_RENAME:
    case SL_DISK_UNLINK:
    case SL_DISK_MKDIR:
    case SL_DISK_SETXATTR:
    case SL_DISK_REMOVEXATTR:
    case SL_DISK_LOCK:
    case SL_DISK_STAT:
    case SL_DISK_STATFS:
    case SL_DISK_ERRAND:
    case SL_DISK_KINDS: break;
    }
    return end(op, res < 0 ? (int)-res : 0, 0);
}

bool sl_disk_is_cached(int fd, uint64_t offset, uint64_t bytes)
{
    /* Debian 12's headers do not know it. */
    enum { CACHESTAT = 451 };
    struct {
        uint64_t offset, bytes;
    } range = {offset, bytes};
    struct {
        uint64_t cached, dirty, written_back, evicted, evicted_lately;
    } pages;
    if (bytes == 0 || syscall(CACHESTAT, fd, &range, &pages, 0) != 0)
        return true;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return pages.cached >= (offset + bytes + page - 1) / page - offset / page;
}
