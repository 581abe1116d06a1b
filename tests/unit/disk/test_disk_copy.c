/* SL_DISK_COPY, held against every engine: the same bytes at the other place and nothing else changed, whatever the
 * kernel says of its own way to copy. */
#include "disk_loop.h"
#include "fake_disk.h"
#include "scratch.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)300 * 1000)

static enum test_engine engine;
static struct scratch scratch;
static struct sl_disk *disk;
static struct sl_slab_pool *pool;
static int from, to;
static char source[FILE_BYTES], before[FILE_BYTES], after[FILE_BYTES + 1];

/* ---- a kernel that cannot: this stands in the place of the C library's ---- */

static struct kernel {
    const char *name;
    unsigned works;  /* calls that do their work before the others end as below; UINT_MAX: all */
    int64_t res;     /* of those others */
    size_t most;     /* a call moves no more than this; 0: any */
    bool interrupts; /* EINTR at every other call */
} kernel;
static atomic_uint calls;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* who copies goes through it */
static atomic_int copiers, copiers_most;

ssize_t copy_file_range(int from_fd, off64_t *from_at, int to_fd, off64_t *to_at, size_t bytes, unsigned flags)
{
    unsigned call = atomic_fetch_add(&calls, 1);
    int now = atomic_fetch_add(&copiers, 1) + 1;
    if (now > atomic_load(&copiers_most))
        atomic_store(&copiers_most, now);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_sub(&copiers, 1);
    if (kernel.interrupts && call % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    if (call >= kernel.works) {
        errno = kernel.res < 0 ? (int)-kernel.res : 0;
        return kernel.res < 0 ? -1 : 0;
    }
    if (kernel.most > 0 && bytes > kernel.most)
        bytes = kernel.most;
    return syscall(SYS_copy_file_range, from_fd, from_at, to_fd, to_at, bytes, flags);
}

static const struct kernel kernels[] = {
    {"as it is", .works = UINT_MAX},
    {"short calls", .works = UINT_MAX, .most = 7001},
    {"interrupted", .works = UINT_MAX, .most = 50001, .interrupts = true},
    {"EXDEV", .res = -EXDEV},
    {"EINVAL", .res = -EINVAL},
    {"EOPNOTSUPP", .res = -EOPNOTSUPP},
    {"ENOSYS", .res = -ENOSYS},
    {"EPERM", .res = -EPERM},
    {"nothing copied", .res = 0},
    {"EXDEV later", .works = 3, .res = -EXDEV, .most = 333},
    {"nothing copied later", .works = 1, .res = 0, .most = 4096},
};
#define KERNELS (sizeof kernels / sizeof kernels[0])

static void set_kernel(struct kernel wanted)
{
    kernel = wanted;
    atomic_store(&calls, 0);
}

/* ---- each case has two files ---- */

static void fill(char *bytes, unsigned seed)
{
    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i] = (char)(seed + i * 7 + (i >> 8) * 3 + (i >> 16));
}

static int make_file(const char *name, const char *bytes)
{
    int fd = open(scratch_path(&scratch, name), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, FILE_BYTES, 0), FILE_BYTES);
    return fd;
}

static int setup(void **state)
{
    scratch_make(&scratch);
    pool = sl_slab_pool_create(2 * SL_SLAB_REGION_BYTES);
    disk = test_engine_make(engine, pool);
    if (disk == NULL) {
        sl_slab_pool_destroy(pool);
        scratch_remove(&scratch);
        skip();
    }
    set_kernel(kernels[0]);
    fill(source, 1);
    fill(before, 99);
    from = make_file("from", source);
    to = make_file("to", before);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(sl_disk_inflight(disk), 0);
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
    close(from);
    close(to);
    scratch_remove(&scratch);
    return 0;
}

/* One operation from start to end. */
static struct sl_disk_op copy(int from_fd, uint64_t from_offset, int to_fd, uint64_t to_offset, uint64_t bytes)
{
    struct sl_disk_op op = {0};
    unsigned done = 0;
    sl_disk_copy(disk, &op, from_fd, from_offset, to_fd, to_offset, bytes, disk_loop_on_done, &done);
    assert_int_equal(done, 0);
    disk_loop_op(disk, &op);
    assert_int_equal(done, 1);
    assert_true((op.err == SL_OK) == (op.sys_errno == 0));
    return op;
}

/* The file is `before` with `bytes` of the source at to_offset, grown if it must. */
static void expect_copied(size_t from_offset, size_t to_offset, size_t bytes)
{
    size_t end = to_offset + bytes > FILE_BYTES ? to_offset + bytes : FILE_BYTES;
    char *room = malloc(end + 1);
    assert_non_null(room);
    assert_int_equal(pread(to, room, end + 1, 0), end);
    size_t head = to_offset < FILE_BYTES ? to_offset : FILE_BYTES;
    assert_memory_equal(room, before, head);
    for (size_t i = head; i < to_offset; i++)
        assert_int_equal(room[i], 0);
    assert_memory_equal(room + to_offset, source + from_offset, bytes);
    if (to_offset + bytes < FILE_BYTES)
        assert_memory_equal(room + to_offset + bytes, before + to_offset + bytes, FILE_BYTES - to_offset - bytes);
    free(room);
}

static void reset_target(void)
{
    assert_int_equal(ftruncate(to, 0), 0);
    assert_int_equal(pwrite(to, before, FILE_BYTES, 0), FILE_BYTES);
}

/* ---- cases ---- */

static const struct {
    size_t from, to, bytes;
} stretches[] = {
    {0, 0, FILE_BYTES},  {0, 0, 0},           {0, 0, 1},       {4096, 8192, 4096},          {1, 2, 3},
    {4095, 1, 100000},   {3, FILE_BYTES, 70}, {0, 0, 65536},   {65535, 5, 65537},           {7, 9, 3 * 65536},
    {0, 400000, 131073}, {299999, 0, 1},      {300000, 10, 0}, {100, FILE_BYTES - 50, 100},
};

static void copy_any_stretch_by_any_kernel_gives_the_bytes(void **state)
{
    for (size_t k = 0; k < KERNELS; k++) {
        for (size_t i = 0; i < sizeof stretches / sizeof stretches[0]; i++) {
            reset_target();
            set_kernel(kernels[k]);
            struct sl_disk_op op = copy(from, stretches[i].from, to, stretches[i].to, stretches[i].bytes);
            if (op.err != SL_OK)
                fail_msg("%s, stretch %zu: errno %d", kernels[k].name, i, op.sys_errno);
            assert_int_equal(op.result, stretches[i].bytes);
            expect_copied(stretches[i].from, stretches[i].bytes == 0 ? 0 : stretches[i].to, stretches[i].bytes);
        }
    }
}

static void copy_beyond_the_source_gives_what_is_there(void **state)
{
    for (size_t k = 0; k < KERNELS; k++) {
        reset_target();
        set_kernel(kernels[k]);
        assert_int_equal(copy(from, FILE_BYTES - 5000, to, 10, 1u << 20).result, 5000);
        expect_copied(FILE_BYTES - 5000, 10, 5000);
        reset_target();
        struct sl_disk_op op = copy(from, FILE_BYTES, to, 10, 100);
        assert_int_equal(op.err, SL_OK);
        assert_int_equal(op.result, 0);
        assert_int_equal(copy(from, INT64_MAX - 100, to, 10, 100).result, 0);
        expect_copied(0, 0, 0);
    }
}

static void copy_between_two_file_systems_gives_the_bytes(void **state)
{
    int memory = memfd_create("from", MFD_CLOEXEC);
    assert_true(memory >= 0);
    assert_int_equal(pwrite(memory, source, FILE_BYTES, 0), FILE_BYTES);
    assert_int_equal(copy(memory, 1000, to, 77, 200001).result, 200001);
    expect_copied(1000, 77, 200001);
    close(memory);
}

static void copy_within_one_file_gives_the_bytes(void **state)
{
    assert_int_equal(copy(from, 10, from, 100000, 90000).result, 90000);
    assert_int_equal(pread(from, after, sizeof after, 0), FILE_BYTES);
    assert_memory_equal(after + 100000, source + 10, 90000);
    assert_memory_equal(after, source, 100000);
}

static void refuse(sl_err err, int sys_errno, struct sl_disk_op op)
{
    assert_int_equal(op.err, err);
    assert_int_equal(op.sys_errno, sys_errno);
    assert_int_equal(op.result, 0);
}

static void copy_that_fails_tells_why(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int read_only = open(scratch_path(&scratch, "from"), O_RDONLY | O_CLOEXEC);
    int write_only = open(scratch_path(&scratch, "to"), O_WRONLY | O_CLOEXEC);
    int dir = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t k = 0; k < KERNELS; k++) {
        if (kernels[k].works > 0 && kernels[k].works < UINT_MAX)
            continue;
        set_kernel(kernels[k]);
        refuse(SL_IO, EBADF, copy(-1, 0, to, 0, 10));
        refuse(SL_IO, EBADF, copy(from, 0, -1, 0, 10));
        refuse(SL_IO, EBADF, copy(from, 0, read_only, 0, 10));
        refuse(SL_IO, EBADF, copy(write_only, 0, to, 0, 10));
        refuse(SL_IS_A_DIRECTORY, EISDIR, copy(dir, 0, to, 0, 10));
        refuse(SL_NO_SPACE, ENOSPC, copy(from, 0, full, 0, 10));
    }
    set_kernel((struct kernel){.works = 2, .res = -EIO, .most = 4096});
    refuse(SL_IO, EIO, copy(from, 0, to, 0, FILE_BYTES));
    set_kernel((struct kernel){.works = 2, .res = -ENOSPC, .most = 4096});
    refuse(SL_NO_SPACE, ENOSPC, copy(from, 0, to, 0, FILE_BYTES));
    close(full);
    close(read_only);
    close(write_only);
    close(dir);
}

/* The kernel copies up to the limit and says how much; only the continued call learns why it stopped. */
static void copy_cut_short_goes_on_and_ends_with_the_error(void **state)
{
    for (size_t k = 0; k < KERNELS; k++) {
        assert_int_equal(ftruncate(to, 0), 0);
        set_kernel(kernels[k]);
        struct rlimit limit, tight;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        tight = limit;
        tight.rlim_cur = 150 * 1000 + 7;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        struct sl_disk_op op = copy(from, 0, to, 0, FILE_BYTES);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        refuse(SL_TOO_LARGE, EFBIG, op);
        assert_int_equal(pread(to, after, sizeof after, 0), 150 * 1000 + 7);
        assert_memory_equal(after, source, 150 * 1000 + 7);
    }
}

#define COPIES 12 /* more than there are threads */

struct order {
    struct sl_disk_op ops[COPIES + 1];
    unsigned done[COPIES + 1], count;
};

static void start_copy(struct order *order, unsigned which);

/* One that is started by the callback of the first comes behind those that waited. */
static void on_copy_in_order(struct sl_disk_op *op, void *ctx)
{
    struct order *order = ctx;
    assert_int_equal(op->err, SL_OK);
    order->done[order->count++] = (unsigned)(op - order->ops);
    if (order->count == 1)
        start_copy(order, COPIES);
}

static void start_copy(struct order *order, unsigned which)
{
    sl_disk_copy(disk, &order->ops[which], from, which * 1000, to, which * 1000, 1000, on_copy_in_order, order);
}

static void copies_go_one_by_one_and_leave_threads_to_the_others(void **state)
{
    struct order order = {0};
    struct sl_disk_op op = {0};
    struct sl_disk_list list = {.prefix = "", .after = "", .out = calloc(1, 4096), .room = 4096};
    struct statfs statfs;
    unsigned done = 0;
    int dir = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    atomic_store(&copiers_most, 0);
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < COPIES; i++)
        start_copy(&order, i);
    for (unsigned i = 0; i < 20; i++) {
        if (i % 2 == 0)
            sl_disk_statfs(disk, &op, dir, &statfs, disk_loop_on_done, &done);
        else
            sl_disk_list(disk, &op, dir, &list, disk_loop_on_done, &done); /* nor does it wait for copies */
        disk_loop_op(disk, &op);
        assert_int_equal(op.err, SL_OK);
    }
    assert_int_equal(order.count, 0);
    assert_int_equal(sl_disk_inflight(disk), COPIES);
    pthread_mutex_unlock(&gate);
    disk_loop_drain(disk);
    assert_int_equal(order.count, COPIES + 1);
    for (unsigned i = 0; i <= COPIES; i++)
        assert_int_equal(order.done[i], i);
    assert_int_equal(atomic_load(&copiers_most), 1);
    expect_copied(0, 0, (COPIES + 1) * 1000);
    free(list.out);
    close(dir);
}

/* ---- what the fake does to it ---- */

static void fail_of_a_copy_falls_back_or_fails_and_the_next_goes_on(void **state)
{
    if (engine != TEST_FAKE)
        return;
    static const int no_way[] = {EXDEV, EINVAL, EOPNOTSUPP, ENOSYS, EPERM};
    for (size_t i = 0; i < sizeof no_way / sizeof no_way[0]; i++) {
        reset_target();
        set_kernel(kernels[0]);
        fake_disk_fail(disk, SL_DISK_COPY, 1, no_way[i]);
        assert_int_equal(copy(from, 10, to, 20, 100000).result, 100000);
        expect_copied(10, 20, 100000);
        assert_int_equal(atomic_load(&calls), 0); /* by hand */
    }
    fake_disk_fail(disk, SL_DISK_COPY, 1, EINTR);
    assert_int_equal(copy(from, 10, to, 20, 100000).result, 100000);
    assert_int_equal(atomic_load(&calls), 1);

    reset_target();
    struct sl_disk_op ops[3] = {0};
    unsigned done = 0;
    fake_disk_fail(disk, SL_DISK_COPY, 1, EIO);
    fake_disk_fail(disk, SL_DISK_COPY, 2, ENOSPC);
    for (unsigned i = 0; i < 3; i++)
        sl_disk_copy(disk, &ops[i], from, 0, to, 0, 5000, disk_loop_on_done, &done);
    disk_loop_drain(disk);
    assert_int_equal(done, 3);
    refuse(SL_IO, EIO, ops[0]);
    refuse(SL_NO_SPACE, ENOSPC, ops[1]);
    assert_int_equal(ops[2].result, 5000);
    expect_copied(0, 0, 5000);
}

static void hold_and_shorten_of_a_copy_still_move_all_bytes(void **state)
{
    if (engine != TEST_FAKE)
        return;
    static const size_t cuts[] = {0, 1, 4095, 65537, 99999, 100000, 500000};
    for (size_t k = 0; k < KERNELS; k++) {
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            reset_target();
            set_kernel(kernels[k]);
            fake_disk_shorten(disk, SL_DISK_COPY, 1, cuts[i]);
            assert_int_equal(copy(from, 10, to, 20, 100000).result, 100000);
            expect_copied(10, 20, 100000);
        }
    }
    set_kernel(kernels[0]);
    reset_target();
    fake_disk_hold(disk, SL_DISK_COPY);
    struct sl_disk_op ops[2] = {0};
    unsigned done = 0, started = fake_disk_started(disk, SL_DISK_COPY);
    for (unsigned i = 0; i < 2; i++)
        sl_disk_copy(disk, &ops[i], from, 0, to, 0, 100, disk_loop_on_done, &done);
    assert_int_equal(fake_disk_held(disk), 1); /* the other waits for its turn */
    expect_copied(0, 0, 0);
    fake_disk_release_one(disk);
    disk_loop_count(disk, &done, 1);
    assert_int_equal(fake_disk_held(disk), 1);
    fake_disk_release(disk);
    disk_loop_drain(disk);
    assert_int_equal(fake_disk_started(disk, SL_DISK_COPY), started + 2);
    expect_copied(0, 0, 100);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(copy_any_stretch_by_any_kernel_gives_the_bytes),
        CASE(copy_beyond_the_source_gives_what_is_there),
        CASE(copy_between_two_file_systems_gives_the_bytes),
        CASE(copy_within_one_file_gives_the_bytes),
        CASE(copy_that_fails_tells_why),
        CASE(copy_cut_short_goes_on_and_ends_with_the_error),
        CASE(copies_go_one_by_one_and_leave_threads_to_the_others),
        CASE(fail_of_a_copy_falls_back_or_fails_and_the_next_goes_on),
        CASE(hold_and_shorten_of_a_copy_still_move_all_bytes),
    };
    int failed = 0;
    signal(SIGXFSZ, SIG_IGN);
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
