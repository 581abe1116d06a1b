/* disk.h, held against every engine: io_uring, threads, and the fake that other tests rely on. Teardown of each case
 * looks for what must have come back: operations, slabs, fds. */
#include "disk_loop.h"
#include "fake_disk.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

#define POOL_BYTES ((size_t)4 << 20)

struct fixture {
    struct sl_disk *disk;
    struct sl_slab_pool *pool;
    char root[64];
    int dir;
    unsigned fds_before;

    struct sl_disk_op op; /* the one that DO() starts */
    unsigned calls;
    bool is_inside; /* a start or a flush: no on_done may run */
};

static const char *engine_name;
static struct sl_disk *(*make_disk)(struct sl_slab_pool *pool);

static struct sl_disk *make_uring(struct sl_slab_pool *pool)
{
    char reason[256];
    struct sl_disk *disk;
    if (sl_disk_create(SL_DISK_IO_URING, pool, &disk, reason, sizeof reason) != SL_OK)
        print_message("%s\n", reason);
    return disk;
}

static struct sl_disk *make_threads(struct sl_slab_pool *pool)
{
    char reason[256];
    struct sl_disk *disk;
    assert_int_equal(sl_disk_create(SL_DISK_THREADS, pool, &disk, reason, sizeof reason), SL_OK);
    return disk;
}

static struct sl_disk *make_fake(struct sl_slab_pool *pool)
{
    return fake_disk_create();
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->fds_before = scratch_count_fds();
    const char *tmp = getenv("TMPDIR");
    snprintf(f->root, sizeof f->root, "%s/sluice-disk-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->root));
    f->dir = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dir >= 0);
    f->pool = sl_slab_pool_create(POOL_BYTES);
    f->disk = make_disk(f->pool);
    assert_non_null(f->disk);
    assert_string_equal(sl_disk_engine_name(f->disk), engine_name);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(sl_disk_inflight(f->disk), 0);
    assert_int_equal(sl_slab_pool_stats(f->pool).slabs_in_use, 0);
    sl_disk_destroy(f->disk);
    sl_slab_pool_destroy(f->pool);
    close(f->dir);
    assert_int_equal(nftw(f->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    assert_int_equal(scratch_count_fds(), f->fds_before);
    free(f);
    return 0;
}

static void on_done(struct sl_disk_op *op, void *ctx)
{
    struct fixture *f = ctx;
    assert_false(f->is_inside);
    assert_true(sl_disk_op_is_idle(op));
    f->calls++;
}

static void begin(struct fixture *f)
{
    f->calls = 0;
    f->is_inside = true;
}

static sl_err finish(struct fixture *f)
{
    assert_false(sl_disk_op_is_idle(&f->op));
    assert_int_equal(sl_disk_inflight(f->disk), 1);
    sl_disk_flush(f->disk);
    f->is_inside = false;
    disk_loop_op(f->disk, &f->op);
    assert_int_equal(f->calls, 1);
    assert_int_equal(sl_disk_inflight(f->disk), 0);
    assert_true((f->op.err == SL_OK) == (f->op.sys_errno == 0));
    return f->op.err;
}

/* One operation from start to end; its outcome is in f->op. */
#define DO(f, verb, ...)       (begin(f), sl_disk_##verb((f)->disk, &(f)->op, __VA_ARGS__, on_done, (f)), finish(f))
#define SUCCEEDS(f, verb, ...) assert_int_equal(DO(f, verb, __VA_ARGS__), SL_OK)
#define REFUSES(expected_err, expected_errno, f, verb, ...)       \
    do {                                                          \
        assert_int_equal(DO(f, verb, __VA_ARGS__), expected_err); \
        assert_int_equal((f)->op.sys_errno, expected_errno);      \
        assert_int_equal((f)->op.result, 0);                      \
    } while (0)

static struct open_how how(int flags)
{
    bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return (struct open_how){
        .flags = (unsigned)flags, .mode = creates ? 0600 : 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
}

static int open_file(struct fixture *f, const char *name, int flags)
{
    SUCCEEDS(f, open, f->dir, name, how(flags));
    assert_true(f->op.result >= 0);
    return (int)f->op.result;
}

static void close_file(struct fixture *f, int fd)
{
    SUCCEEDS(f, close, fd);
    assert_int_equal(f->op.result, 0);
}

/* Different for each place and seed, so that a byte out of place shows. */
static char pattern(unsigned seed, size_t at)
{
    return (char)((seed * 131 + at * 7 + (at >> 8)) & 0xff);
}

static struct sl_slab *slab_filled(struct fixture *f, enum sl_slab_class class, unsigned seed)
{
    struct sl_slab *slab = sl_slab_try(f->pool, class);
    assert_non_null(slab);
    for (size_t i = 0; i < slab->bytes; i++)
        slab->base[i] = pattern(seed, i);
    sl_slab_seal(slab);
    return slab;
}

static void assert_pattern(const char *base, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        if (base[i] != pattern(seed, i))
            fail_msg("seed %u, byte %zu differs", seed, i);
}

/* ---- files and names ---- */

static void open_creates_and_close_ends_the_fd(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_EXCL | O_WRONLY);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close_file(f, fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(faccessat(f->dir, "a", F_OK, 0), 0);
}

static void open_path_that_leaves_is_outside(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(symlinkat("/etc", f->dir, "planted"), 0);
    assert_int_equal(symlinkat("there", f->dir, "inside"), 0);
    close_file(f, open_file(f, "there", O_CREAT | O_WRONLY));

    REFUSES(SL_OUTSIDE, EXDEV, f, open, f->dir, "..", how(O_RDONLY));
    REFUSES(SL_OUTSIDE, EXDEV, f, open, f->dir, "../x", how(O_CREAT | O_WRONLY));
    REFUSES(SL_OUTSIDE, EXDEV, f, open, f->dir, "/etc/passwd", how(O_RDONLY));
    REFUSES(SL_OUTSIDE, ELOOP, f, open, f->dir, "planted/passwd", how(O_RDONLY));
    REFUSES(SL_OUTSIDE, ELOOP, f, open, f->dir, "inside", how(O_RDONLY));
    REFUSES(SL_OUTSIDE, ELOOP, f, open, f->dir, "inside", how(O_CREAT | O_WRONLY));
}

static void names_refused_tell_why(void **state)
{
    struct fixture *f = *state;
    char long_name[300];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    close_file(f, open_file(f, "file", O_CREAT | O_WRONLY));
    close_file(f, open_file(f, "other", O_CREAT | O_WRONLY));
    SUCCEEDS(f, mkdir, f->dir, "full", 0700);
    close_file(f, open_file(f, "full/x", O_CREAT | O_WRONLY));
    struct statx st;

    REFUSES(SL_NOT_FOUND, ENOENT, f, open, f->dir, "missing", how(O_RDONLY));
    REFUSES(SL_EXISTS, EEXIST, f, open, f->dir, "file", how(O_CREAT | O_EXCL | O_WRONLY));
    REFUSES(SL_NOT_A_DIRECTORY, ENOTDIR, f, open, f->dir, "file/x", how(O_CREAT | O_WRONLY));
    REFUSES(SL_IS_A_DIRECTORY, EISDIR, f, open, f->dir, "full", how(O_WRONLY));
    REFUSES(SL_NAME_TOO_LONG, ENAMETOOLONG, f, open, f->dir, long_name, how(O_CREAT | O_WRONLY));
    REFUSES(SL_EXISTS, EEXIST, f, mkdir, f->dir, "full", 0700);
    REFUSES(SL_NOT_FOUND, ENOENT, f, mkdir, f->dir, "missing/x", 0700);
    REFUSES(SL_NOT_FOUND, ENOENT, f, unlink, f->dir, "missing", false);
    REFUSES(SL_IS_A_DIRECTORY, EISDIR, f, unlink, f->dir, "full", false);
    REFUSES(SL_IS_A_DIRECTORY, ENOTEMPTY, f, unlink, f->dir, "full", true);
    REFUSES(SL_NOT_A_DIRECTORY, ENOTDIR, f, unlink, f->dir, "file", true);
    REFUSES(SL_NOT_FOUND, ENOENT, f, rename, f->dir, "missing", f->dir, "x", 0);
    REFUSES(SL_EXISTS, EEXIST, f, rename, f->dir, "file", f->dir, "other", RENAME_NOREPLACE);
    REFUSES(SL_EXISTS, EEXIST, f, link, f->dir, "file", f->dir, "other", 0);
    REFUSES(SL_NOT_FOUND, ENOENT, f, link, f->dir, "missing", f->dir, "x", 0);
    REFUSES(SL_NOT_FOUND, ENOENT, f, stat, f->dir, "missing", &st);
}

static void names_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct statx st;
    SUCCEEDS(f, mkdir, f->dir, "d", 0700);
    SUCCEEDS(f, stat, f->dir, "d", &st);
    assert_true(S_ISDIR(st.stx_mode));
    close_file(f, open_file(f, "d/a", O_CREAT | O_WRONLY));
    SUCCEEDS(f, link, f->dir, "d/a", f->dir, "d/b", 0);
    SUCCEEDS(f, stat, f->dir, "d/b", &st);
    assert_int_equal(st.stx_nlink, 2);
    SUCCEEDS(f, rename, f->dir, "d/b", f->dir, "c", RENAME_NOREPLACE);
    SUCCEEDS(f, rename, f->dir, "d/a", f->dir, "e", 0);
    assert_int_equal(faccessat(f->dir, "c", F_OK, 0), 0);
    SUCCEEDS(f, unlink, f->dir, "c", false);
    assert_int_equal(faccessat(f->dir, "c", F_OK, 0), -1);
    SUCCEEDS(f, unlink, f->dir, "d", true);
    assert_int_equal(faccessat(f->dir, "d", F_OK, 0), -1);
}

static void link_unnamed_file_gives_it_a_name(void **state)
{
    struct fixture *f = *state;
    if (DO(f, open, f->dir, ".", how(O_TMPFILE | O_RDWR)) == SL_UNSUPPORTED) {
        print_message("no O_TMPFILE here: skipped\n");
        return;
    }
    assert_int_equal(f->op.err, SL_OK);
    int fd = (int)f->op.result;
    struct sl_slab *slab = slab_filled(f, SL_SLAB_SMALL, 1);
    SUCCEEDS(f, write, fd, slab, 0, 100, 0);
    sl_slab_release(slab);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    SUCCEEDS(f, link, AT_FDCWD, path, f->dir, "named", AT_SYMLINK_FOLLOW);
    REFUSES(SL_EXISTS, EEXIST, f, link, AT_FDCWD, path, f->dir, "named", AT_SYMLINK_FOLLOW);
    struct statx st;
    SUCCEEDS(f, stat, f->dir, "named", &st);
    assert_int_equal(st.stx_size, 100);
    close_file(f, fd);
}

static void stat_tells_size_and_does_not_follow(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_WRONLY);
    SUCCEEDS(f, truncate, fd, 12345);
    assert_int_equal(symlinkat("a", f->dir, "s"), 0);
    struct statx st;
    SUCCEEDS(f, stat, f->dir, "a", &st);
    assert_int_equal(st.stx_size, 12345);
    SUCCEEDS(f, stat, fd, "", &st);
    assert_int_equal(st.stx_size, 12345);
    SUCCEEDS(f, stat, f->dir, "s", &st);
    assert_true(S_ISLNK(st.stx_mode));
    close_file(f, fd);
}

/* ---- bytes ---- */

static void write_then_read_gives_the_same(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    struct sl_slab *out = slab_filled(f, SL_SLAB_SMALL, 3);
    SUCCEEDS(f, write, fd, out, 0, out->bytes, 0);
    assert_int_equal(f->op.result, out->bytes);
    SUCCEEDS(f, write, fd, out, 100, 50, out->bytes);
    assert_int_equal(f->op.result, 50);
    SUCCEEDS(f, write, fd, out, 0, 0, 7);
    assert_int_equal(f->op.result, 0);

    struct sl_slab *in = sl_slab_try(f->pool, SL_SLAB_MEDIUM);
    SUCCEEDS(f, read, fd, in, in->bytes, 0);
    assert_int_equal(f->op.result, out->bytes + 50); /* short: the file ends there */
    assert_memory_equal(in->base, out->base, out->bytes);
    assert_memory_equal(in->base + out->bytes, out->base + 100, 50);
    SUCCEEDS(f, read, fd, in, 10, 5);
    assert_int_equal(f->op.result, 10);
    assert_memory_equal(in->base, out->base + 5, 10);
    SUCCEEDS(f, read, fd, in, 10, 1u << 20);
    assert_int_equal(f->op.result, 0);
    sl_slab_release(in);
    sl_slab_release(out);
    close_file(f, fd);
}

static void write_holds_a_reference_until_on_done(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    struct sl_slab *slab = slab_filled(f, SL_SLAB_SMALL, 4);
    begin(f);
    sl_disk_write(f->disk, &f->op, fd, slab, 0, slab->bytes, 0, on_done, f);
    assert_int_equal(slab->references, 2);
    sl_slab_release(slab);
    assert_int_equal(slab->state, SL_SLAB_SEALED);
    assert_int_equal(finish(f), SL_OK);
    assert_int_equal(sl_slab_pool_stats(f->pool).slabs_in_use, 0);

    slab = slab_filled(f, SL_SLAB_SMALL, 4);
    REFUSES(SL_IO, EBADF, f, write, -1, slab, 0, 10, 0);
    assert_int_equal(slab->references, 1);
    sl_slab_release(slab);
    close_file(f, fd);
}

struct piece {
    struct sl_disk_op op;
    struct sl_slab *slab;
};

static void write_at_64_offsets_at_once_reads_back(void **state)
{
    enum { PIECES = 64 };
    struct fixture *f = *state;
    struct piece pieces[PIECES] = {0};
    unsigned done = 0;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    size_t bytes = sl_slab_class_bytes(SL_SLAB_SMALL);
    for (unsigned i = 0; i < PIECES; i++) {
        unsigned at = i * 37 % PIECES; /* not in the order of the file */
        pieces[at].slab = slab_filled(f, SL_SLAB_SMALL, at);
        sl_disk_write(f->disk, &pieces[at].op, fd, pieces[at].slab, 0, bytes, at * bytes, disk_loop_on_done, &done);
        sl_slab_release(pieces[at].slab);
    }
    disk_loop_count(f->disk, &done, PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        assert_int_equal(pieces[i].op.err, SL_OK);
        pieces[i].slab = sl_slab_try(f->pool, SL_SLAB_SMALL);
        memset(pieces[i].slab->base, 0, bytes);
        sl_disk_read(f->disk, &pieces[i].op, fd, pieces[i].slab, bytes, i * bytes, disk_loop_on_done, &done);
    }
    disk_loop_count(f->disk, &done, 2 * PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        assert_int_equal(pieces[i].op.err, SL_OK);
        assert_int_equal(pieces[i].op.result, bytes);
        assert_pattern(pieces[i].slab->base, bytes, i);
        sl_slab_release(pieces[i].slab);
    }
    close_file(f, fd);
}

static void write_direct_from_every_class_reads_back(void **state)
{
    struct fixture *f = *state;
    if (DO(f, open, f->dir, "a", how(O_CREAT | O_RDWR | O_DIRECT)) == SL_UNSUPPORTED) {
        print_message("no O_DIRECT here: skipped\n");
        return;
    }
    assert_int_equal(f->op.err, SL_OK);
    int fd = (int)f->op.result;
    uint64_t offset = 0;
    for (unsigned class = 0; class < SL_SLAB_CLASSES; class ++) {
        struct sl_slab *out = slab_filled(f, class, class);
        SUCCEEDS(f, write, fd, out, 0, out->bytes, offset);
        SUCCEEDS(f, write, fd, out, SL_SLAB_BLOCK_BYTES, SL_SLAB_BLOCK_BYTES, offset + out->bytes);
        struct sl_slab *in = sl_slab_try(f->pool, class);
        assert_non_null(in);
        SUCCEEDS(f, read, fd, in, in->bytes, offset);
        assert_int_equal(f->op.result, in->bytes);
        assert_pattern(in->base, in->bytes, class);
        offset += out->bytes + SL_SLAB_BLOCK_BYTES;
        sl_slab_release(in);
        sl_slab_release(out);
    }
    SUCCEEDS(f, truncate, fd, 5000); /* the end inside a block */
    struct sl_slab *in = sl_slab_try(f->pool, SL_SLAB_SMALL);
    SUCCEEDS(f, read, fd, in, in->bytes, 0);
    assert_int_equal(f->op.result, 5000);
    assert_pattern(in->base, 5000, 0);
    sl_slab_release(in);
    close_file(f, fd);
}

/* The kernel writes up to the limit and says how much; only the continued call learns why it stopped. */
static void write_cut_short_goes_on_and_ends_with_the_error(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    struct sl_slab *slab = slab_filled(f, SL_SLAB_SMALL, 5);
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 4096 + 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    sl_err err = DO(f, write, fd, slab, 0, slab->bytes, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, SL_TOO_LARGE);
    assert_int_equal(f->op.sys_errno, EFBIG);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4096 + 100);
    sl_slab_release(slab);
    close_file(f, fd);
}

static void operations_on_a_bad_or_full_file_tell_why(void **state)
{
    struct fixture *f = *state;
    struct sl_slab *sealed = slab_filled(f, SL_SLAB_SMALL, 6);
    struct sl_slab *filling = sl_slab_try(f->pool, SL_SLAB_SMALL);
    struct statfs fs;
    int read_only = open_file(f, "a", O_CREAT | O_RDONLY);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(full >= 0 && null >= 0);

    REFUSES(SL_NO_SPACE, ENOSPC, f, write, full, sealed, 0, 100, 0);
    REFUSES(SL_IO, EBADF, f, write, read_only, sealed, 0, 100, 0);
    REFUSES(SL_IO, EBADF, f, read, -1, filling, 100, 0);
    REFUSES(SL_IS_A_DIRECTORY, EISDIR, f, read, f->dir, filling, 100, 0);
    REFUSES(SL_IO, EBADF, f, close, -1);
    REFUSES(SL_IO, EBADF, f, sync, -1, false);
    REFUSES(SL_IO, EBADF, f, allocate, -1, 4096);
    REFUSES(SL_IO, EBADF, f, truncate, -1, 4096);
    REFUSES(SL_TOO_LARGE, EINVAL, f, truncate, read_only, UINT64_MAX);
    REFUSES(SL_IO, EBADF, f, statfs, -1, &fs);
    REFUSES(SL_IO, EBADF, f, prefetch, -1, 0, 4096);
    REFUSES(SL_UNSUPPORTED, ENODEV, f, allocate, null, 4096);
    sl_slab_release(filling);
    sl_slab_release(sealed);
    close(full);
    close(null);
    close_file(f, read_only);
}

/* ---- room, durability, attributes ---- */

static void allocate_makes_the_length_and_its_blocks(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    SUCCEEDS(f, allocate, fd, 0);
    if (DO(f, allocate, fd, 1000000) == SL_UNSUPPORTED) {
        print_message("no fallocate here: skipped\n");
    } else {
        assert_int_equal(f->op.err, SL_OK);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 1000000);
        assert_true(st.st_blocks * 512 >= 1000000);
    }
    REFUSES(SL_TOO_LARGE, EINVAL, f, allocate, fd, UINT64_MAX);
    close_file(f, fd);
}

/* On a tmpfs, which refuses at once what is larger than itself: no real disk gets filled. */
static void allocate_beyond_the_free_space_is_no_space(void **state)
{
    struct fixture *f = *state;
    struct statfs fs;
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || fstatfs(fd, &fs) != 0 || fs.f_type != 0x01021994 || fs.f_blocks == 0) {
        print_message("no limited tmpfs at /dev/shm: skipped\n");
        if (fd >= 0)
            close(fd);
        return;
    }
    REFUSES(SL_NO_SPACE, ENOSPC, f, allocate, fd, (fs.f_blocks + 1) * (uint64_t)fs.f_bsize);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(st.st_blocks, 0);
    close_file(f, fd);
}

static void truncate_shortens_and_lengthens(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    static const uint64_t lengths[] = {5000, 4096, 1, 0, UINT64_C(1) << 33};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        SUCCEEDS(f, truncate, fd, lengths[i]);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, lengths[i]);
    }
    close_file(f, fd);
}

static void sync_file_and_directory_succeeds(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    struct sl_slab *slab = slab_filled(f, SL_SLAB_SMALL, 7);
    SUCCEEDS(f, write, fd, slab, 0, 1000, 0);
    sl_slab_release(slab);
    SUCCEEDS(f, sync, fd, true);
    SUCCEEDS(f, sync, fd, false);
    SUCCEEDS(f, sync, f->dir, false);
    close_file(f, fd);
}

static void lock_is_had_by_one(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR), other = open_file(f, "a", O_RDWR);
    SUCCEEDS(f, lock, fd);
    SUCCEEDS(f, lock, fd);
    REFUSES(SL_BUSY, EWOULDBLOCK, f, lock, other);
    close_file(f, fd);
    SUCCEEDS(f, lock, other);
    REFUSES(SL_IO, EBADF, f, lock, -1);
    close_file(f, other);
}

static void xattr_set_is_got_back(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    char value[64] = {0};
    if (DO(f, setxattr, fd, "user.sluice", "a value", 7) == SL_UNSUPPORTED) {
        print_message("no user attributes here: skipped\n");
    } else {
        assert_int_equal(f->op.err, SL_OK);
        SUCCEEDS(f, getxattr, fd, "user.sluice", value, sizeof value);
        assert_int_equal(f->op.result, 7);
        assert_memory_equal(value, "a value", 8);
        SUCCEEDS(f, setxattr, fd, "user.sluice", "new", 3);
        SUCCEEDS(f, getxattr, fd, "user.sluice", value, 3);
        assert_int_equal(f->op.result, 3);
        REFUSES(SL_TOO_LARGE, ERANGE, f, getxattr, fd, "user.sluice", value, 2);
        REFUSES(SL_NOT_FOUND, ENODATA, f, getxattr, fd, "user.other", value, sizeof value);
        SUCCEEDS(f, removexattr, fd, "user.sluice");
        REFUSES(SL_NOT_FOUND, ENODATA, f, getxattr, fd, "user.sluice", value, sizeof value);
        REFUSES(SL_NOT_FOUND, ENODATA, f, removexattr, fd, "user.sluice");
    }
    REFUSES(SL_IO, EBADF, f, getxattr, -1, "user.sluice", value, sizeof value);
    REFUSES(SL_IO, EBADF, f, setxattr, -1, "user.sluice", value, 1);
    REFUSES(SL_IO, EBADF, f, removexattr, -1, "user.sluice");
    close_file(f, fd);
}

static void prefetch_asks_for_any_stretch_of_a_file(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    assert_int_equal(ftruncate(fd, 3 << 20), 0);
    SUCCEEDS(f, prefetch, fd, 0, 2 << 20);
    SUCCEEDS(f, prefetch, fd, 4097, 1);
    SUCCEEDS(f, prefetch, fd, 5 << 20, 1 << 20);
    close_file(f, fd);
}

static void a_cold_read_brings_the_same_bytes(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    struct sl_slab *out = slab_filled(f, SL_SLAB_MEDIUM, 7);
    SUCCEEDS(f, write, fd, out, 0, out->bytes, 0);
    SUCCEEDS(f, sync, fd, true);
    assert_true(sl_disk_is_cached(fd, 0, out->bytes));
    for (int is_dropped = 0; is_dropped < 2; is_dropped++) {
        struct sl_slab *in = sl_slab_try(f->pool, SL_SLAB_MEDIUM);
        memset(in->base, 0, in->bytes);
        SUCCEEDS(f, read_cold, fd, in, in->bytes, 1);
        assert_int_equal(f->op.result, in->bytes - 1);
        assert_memory_equal(in->base, out->base + 1, in->bytes - 1);
        sl_slab_release(in);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    }
    sl_slab_release(out);
    close_file(f, fd);
}

static void is_cached_tells_what_was_dropped(void **state)
{
    struct fixture *f = *state;
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, (1 << 20) - 1), 1);
    assert_int_equal(fsync(fd), 0);
    assert_true(sl_disk_is_cached(fd, (1 << 20) - 1, 1));
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    if (syscall(451 /* cachestat */, -1, NULL, NULL, 0) == -1 && errno == ENOSYS)
        assert_true(sl_disk_is_cached(fd, (1 << 20) - 1, 1)); /* it cannot be known */
    else
        assert_false(sl_disk_is_cached(fd, (1 << 20) - 1, 1));
    assert_true(sl_disk_is_cached(-1, 0, 1));
    assert_true(sl_disk_is_cached(fd, 0, 0));
    close_file(f, fd);
}

static void statfs_tells_what_the_kernel_tells(void **state)
{
    struct fixture *f = *state;
    struct statfs ours = {0}, theirs;
    SUCCEEDS(f, statfs, f->dir, &ours);
    assert_int_equal(fstatfs(f->dir, &theirs), 0);
    assert_int_equal(ours.f_type, theirs.f_type);
    assert_int_equal(ours.f_bsize, theirs.f_bsize);
    assert_int_equal(ours.f_blocks, theirs.f_blocks);
}

/* ---- turns ---- */

struct chain {
    struct sl_disk_op op;
    struct sl_disk *disk;
    int dir;
    struct statx st;
    struct statfs fs;
    unsigned steps, depth;
};

/* Every other step is one that io_uring leaves to its helpers. */
static void on_chain_step(struct sl_disk_op *op, void *ctx)
{
    struct chain *chain = ctx;
    assert_int_equal(op->err, SL_OK);
    assert_int_equal(chain->depth++, 0);
    chain->steps++;
    if (chain->steps % 2 == 0 && chain->steps < 1000)
        sl_disk_stat(chain->disk, op, chain->dir, "", &chain->st, on_chain_step, chain);
    else if (chain->steps < 1000)
        sl_disk_statfs(chain->disk, op, chain->dir, &chain->fs, on_chain_step, chain);
    chain->depth--;
}

static void on_done_starting_its_own_op_again_makes_a_chain(void **state)
{
    struct fixture *f = *state;
    struct chain chain = {.disk = f->disk, .dir = f->dir};
    sl_disk_stat(f->disk, &chain.op, f->dir, "", &chain.st, on_chain_step, &chain);
    disk_loop_count(f->disk, &chain.steps, 1000);
    assert_int_equal(chain.steps, 1000);
    assert_true(sl_disk_op_is_idle(&chain.op));
}

struct counted {
    struct sl_disk_op op;
    unsigned calls;
};

static void operations_5000_in_one_turn_end_once_each(void **state)
{
    enum { OPS = 5000, BYTES = 16 };
    struct fixture *f = *state;
    struct counted *all = calloc(OPS, sizeof *all);
    assert_non_null(all);
    int fd = open_file(f, "a", O_CREAT | O_RDWR);
    struct sl_slab *slab = slab_filled(f, SL_SLAB_MEDIUM, 9);
    for (unsigned i = 0; i < OPS; i++)
        sl_disk_write(f->disk, &all[i].op, fd, slab, i * BYTES, BYTES, i * BYTES, disk_loop_on_done, &all[i].calls);
    assert_int_equal(sl_disk_inflight(f->disk), OPS);
    assert_int_equal(slab->references, OPS + 1);
    disk_loop_drain(f->disk);
    for (unsigned i = 0; i < OPS; i++) {
        assert_int_equal(all[i].calls, 1);
        assert_int_equal(all[i].op.err, SL_OK);
        assert_int_equal(all[i].op.result, BYTES);
    }
    assert_int_equal(slab->references, 1);
    struct sl_slab *in = sl_slab_try(f->pool, SL_SLAB_MEDIUM);
    SUCCEEDS(f, read, fd, in, in->bytes, 0);
    assert_int_equal(f->op.result, OPS * BYTES);
    assert_pattern(in->base, OPS * BYTES, 9);
    sl_slab_release(in);
    sl_slab_release(slab);
    close_file(f, fd);
    free(all);
}

static void run_and_flush_with_nothing_to_do_return_at_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        sl_disk_run(f->disk);
        sl_disk_flush(f->disk);
    }
    struct pollfd watched = {.fd = sl_disk_fd(f->disk), .events = POLLIN};
    assert_int_equal(poll(&watched, 1, 0), 0);
}

static void *one_loop(void *arg)
{
    struct fixture *f = arg;
    struct statx st;
    unsigned done = 0;
    sl_disk_stat(f->disk, &f->op, f->dir, "", &st, disk_loop_on_done, &done);
    disk_loop_count(f->disk, &done, 1);
    return NULL;
}

static void create_on_another_thread_than_the_loop_works(void **state)
{
    struct fixture *f = *state;
    pthread_t loop;
    assert_int_equal(pthread_create(&loop, NULL, one_loop, f), 0);
    assert_int_equal(pthread_join(loop, NULL), 0);
    assert_int_equal(f->op.err, SL_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(open_creates_and_close_ends_the_fd),
    CASE(open_path_that_leaves_is_outside),
    CASE(names_refused_tell_why),
    CASE(names_come_and_go),
    CASE(link_unnamed_file_gives_it_a_name),
    CASE(stat_tells_size_and_does_not_follow),
    CASE(write_then_read_gives_the_same),
    CASE(write_holds_a_reference_until_on_done),
    CASE(write_at_64_offsets_at_once_reads_back),
    CASE(write_direct_from_every_class_reads_back),
    CASE(write_cut_short_goes_on_and_ends_with_the_error),
    CASE(operations_on_a_bad_or_full_file_tell_why),
    CASE(allocate_makes_the_length_and_its_blocks),
    CASE(allocate_beyond_the_free_space_is_no_space),
    CASE(truncate_shortens_and_lengthens),
    CASE(sync_file_and_directory_succeeds),
    CASE(lock_is_had_by_one),
    CASE(xattr_set_is_got_back),
    CASE(prefetch_asks_for_any_stretch_of_a_file),
    CASE(a_cold_read_brings_the_same_bytes),
    CASE(is_cached_tells_what_was_dropped),
    CASE(statfs_tells_what_the_kernel_tells),
    CASE(on_done_starting_its_own_op_again_makes_a_chain),
    CASE(operations_5000_in_one_turn_end_once_each),
    CASE(run_and_flush_with_nothing_to_do_return_at_once),
    CASE(create_on_another_thread_than_the_loop_works),
};

static bool has_uring(void)
{
    struct sl_slab_pool *pool = sl_slab_pool_create(POOL_BYTES);
    struct sl_disk *disk = make_uring(pool);
    bool is_there = disk != NULL;
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
    return is_there;
}

static int run_against(const char *name, struct sl_disk *(*make)(struct sl_slab_pool *pool))
{
    engine_name = name;
    make_disk = make;
    return cmocka_run_group_tests_name(name, cases, NULL, NULL);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    int failed = run_against("threads", make_threads);
    failed += run_against("fake", make_fake);
    if (has_uring())
        failed += run_against("io_uring", make_uring);
    else
        print_message("io_uring: skipped\n");
    return failed != 0;
}
