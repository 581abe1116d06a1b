/* SL_DISK_LIST, held against every engine: what is told, in which order, and that pages put together are the
 * directory. */
#include "disk_loop.h"
#include "fake_disk.h"
#include "scratch.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_MAX 6000
#define ROOM      ((size_t)64 << 10)

static enum test_engine engine;
static bool hides_types; /* as a file system that does not tell them */
static struct scratch scratch;
static struct sl_disk *disk;
static struct sl_slab_pool *pool;
static int dir = -1;
static _Alignas(8) char room[ROOM];

/* ---- a bad file system: these stand in the place of the C library's ---- */

/* `call` fails for names that begin with `name`; ".": the directory itself. */
static struct {
    const char *call, *name;
    int sys_errno;
} fault;
static int faulty_fd = -1;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* who reads a directory goes through it */
static atomic_int readers, readers_most;

static bool is_struck(const char *call, bool is_faulty)
{
    if (!is_faulty || fault.call == NULL || strcmp(fault.call, call) != 0)
        return false;
    errno = fault.sys_errno;
    return true;
}

static bool is_faulty_name(const char *name)
{
    return fault.call != NULL && strncmp(name, fault.name, strlen(fault.name)) == 0;
}

int openat(int dir_fd, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (is_struck("openat", is_faulty_name(name)))
        return -1;
    int fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    if (is_faulty_name(name))
        faulty_fd = fd;
    else if (fd == faulty_fd)
        faulty_fd = -1;
    return fd;
}

int statx(int dir_fd, const char *name, int flags, unsigned mask, struct statx *out)
{
    if (is_struck("statx", name[0] == '\0' ? dir_fd == faulty_fd : is_faulty_name(name)))
        return -1;
    return (int)syscall(SYS_statx, dir_fd, name, flags, mask, out);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t bytes)
{
    return is_struck("fgetxattr", fd == faulty_fd) ? -1 : syscall(SYS_fgetxattr, fd, name, value, bytes);
}

ssize_t getdents64(int fd, void *buffer, size_t bytes)
{
    if (is_struck("getdents64", fd == faulty_fd))
        return -1;
    int now = atomic_fetch_add(&readers, 1) + 1;
    if (now > atomic_load(&readers_most))
        atomic_store(&readers_most, now);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_sub(&readers, 1);
    ssize_t n = syscall(SYS_getdents64, fd, buffer, bytes);
    for (ssize_t at = 0; hides_types && at < n;) {
        struct dirent64 *entry = (struct dirent64 *)((char *)buffer + at);
        entry->d_type = DT_UNKNOWN;
        at += entry->d_reclen;
    }
    return n;
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
    dir = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    return 0;
}

static int teardown(void **state)
{
    hides_types = false;
    memset(&fault, 0, sizeof fault);
    assert_int_equal(sl_disk_inflight(disk), 0);
    sl_disk_destroy(disk);
    sl_slab_pool_destroy(pool);
    close(dir);
    scratch_remove(&scratch);
    return 0;
}

/* ---- a page ---- */

static void on_list(struct sl_disk_op *op, void *ctx)
{
    ++*(unsigned *)ctx;
}

static sl_err list_of(int dir_fd, struct sl_disk_list *list, int64_t *bytes_out)
{
    struct sl_disk_op op = {0};
    unsigned calls = 0;
    list->has_more = true; /* to be set either way */
    sl_disk_list(disk, &op, dir_fd, list, on_list, &calls);
    assert_int_equal(calls, 0);
    disk_loop_count(disk, &calls, 1);
    disk_loop_drain(disk);
    assert_int_equal(calls, 1);
    *bytes_out = op.result;
    return op.err;
}

static struct sl_disk_list all(void)
{
    return (struct sl_disk_list){.prefix = "", .after = "", .out = room, .room = ROOM};
}

static const struct sl_disk_entry *entry_at(int64_t at)
{
    return (const struct sl_disk_entry *)(room + at);
}

/* The names of a page, parted by spaces. */
static void expect_page(struct sl_disk_list list, const char *names, bool has_more)
{
    char got[4096] = "";
    int64_t bytes;
    assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
    for (int64_t at = 0; at < bytes; at += entry_at(at)->bytes) {
        assert_int_equal(entry_at(at)->bytes % 8, 0);
        size_t len = strlen(got);
        snprintf(got + len, sizeof got - len, "%s%.*s", len > 0 ? " " : "", (int)entry_at(at)->name_len,
                 entry_at(at)->text);
    }
    assert_string_equal(got, names);
    assert_int_equal(list.has_more, has_more);
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdirat(dir, name, 0700), 0);
}

static void make_files(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        scratch_put(&scratch, names[i], names[i]);
}
#define MAKE_FILES(...)                                       \
    do {                                                      \
        const char *const files_[] = {__VA_ARGS__};           \
        make_files(files_, sizeof files_ / sizeof files_[0]); \
    } while (0)

/* ---- what is told ---- */

static void list_empty_directory_is_empty(void **state)
{
    expect_page(all(), "", false);
}

static void list_sorts_by_bytes_with_a_slash_behind_folders(void **state)
{
    make_folder("a");
    make_folder("b0");
    MAKE_FILES("a.txt", "a-x", "a0", "b", "B", "\xc3\xa9", "z", ".hidden", "~", "a b");
    expect_page(all(), ".hidden B a b a-x a.txt a/ a0 b b0/ z ~ \xc3\xa9", false);
}

static void list_prefix_and_after_narrow(void **state)
{
    static const struct {
        const char *prefix, *after, *names;
    } rows[] = {
        {"", "", "a ab b/ b0 ba c"},
        {"a", "", "a ab"},
        {"ab", "", "ab"},
        {"abc", "", ""},
        {"b/", "", "b/"},
        {"b/x", "", ""},
        {"b", "b", "b/ b0 ba"},
        {"", "a", "ab b/ b0 ba c"},
        {"", "aa", "ab b/ b0 ba c"},
        {"", "b", "b/ b0 ba c"},
        {"", "b.", "b/ b0 ba c"},
        {"", "b/", "b0 ba c"},
        {"", "b/x", "b0 ba c"},
        {"", "c", ""},
        {"", "\xff", ""},
        {"a", "b", ""},
        {"b", "a", "b/ b0 ba"},
    };
    make_folder("b");
    MAKE_FILES("a", "ab", "b0", "ba", "c");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_disk_list list = all();
        list.prefix = rows[i].prefix;
        list.after = rows[i].after;
        expect_page(list, rows[i].names, false);
    }
}

static void list_leaves_out_what_is_no_file_and_no_folder(void **state)
{
    for (int hides = 0; hides < 2; hides++) {
        hides_types = hides;
        if (!hides) {
            MAKE_FILES("file");
            make_folder("folder");
            make_folder("folder/inner");
            assert_int_equal(symlinkat("file", dir, "link"), 0);
            assert_int_equal(symlinkat("folder", dir, "link-to-folder"), 0);
            assert_int_equal(symlinkat("nothing", dir, "dangling"), 0);
            assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch_path(&scratch, "socket"));
            int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
            close(fd);
        }
        struct sl_disk_list list = all();
        expect_page(list, "file folder/", false);
        list.attribute = "user.sluice";
        list.value_max = 100;
        expect_page(list, "file folder/", false);
    }
}

static void list_tells_size_time_and_inode(void **state)
{
    MAKE_FILES("some-file");
    struct timespec times[2] = {{1, 2}, {1700000000, 123456789}};
    assert_int_equal(utimensat(dir, "some-file", times, 0), 0);
    struct stat st;
    assert_int_equal(fstatat(dir, "some-file", &st, 0), 0);
    for (int with_attribute = 0; with_attribute < 2; with_attribute++) {
        struct sl_disk_list list = all();
        list.attribute = with_attribute ? "user.sluice" : NULL;
        list.value_max = with_attribute ? 10 : 0;
        int64_t bytes;
        assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
        assert_int_equal(bytes, entry_at(0)->bytes);
        assert_int_equal(entry_at(0)->size, 9);
        assert_int_equal(entry_at(0)->modified_ns, UINT64_C(1700000000123456789));
        assert_int_equal(entry_at(0)->inode, st.st_ino);
        assert_int_equal(entry_at(0)->value_len, 0);
        assert_false(entry_at(0)->is_folder);
    }
}

static void list_of_no_directory_tells_why(void **state)
{
    MAKE_FILES("file");
    int64_t bytes;
    struct sl_disk_list list = all();
    int file = openat(dir, "file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(list_of(file, &list, &bytes), SL_NOT_A_DIRECTORY);
    assert_int_equal(bytes, 0);
    close(file);
    assert_int_equal(list_of(-1, &list, &bytes), SL_IO);
    make_folder("gone");
    int gone = openat(dir, "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(unlinkat(dir, "gone", AT_REMOVEDIR), 0);
    assert_int_equal(list_of(gone, &list, &bytes), SL_NOT_FOUND);
    close(gone);
}

/* The place of whoever reads the directory through the same fd does not matter, and is left alone. */
static void list_twice_at_once_tells_twice(void **state)
{
    MAKE_FILES("a", "b", "c");
    struct sl_disk_op ops[8] = {0};
    struct sl_disk_list lists[8];
    unsigned calls = 0;
    for (size_t i = 0; i < 8; i++) {
        lists[i] = all();
        lists[i].room = ROOM / 8;
        lists[i].out = room + i * (ROOM / 8);
        sl_disk_list(disk, &ops[i], dir, &lists[i], on_list, &calls);
    }
    disk_loop_count(disk, &calls, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(ops[i].err, SL_OK);
        assert_int_equal(ops[i].result, 3 * 40);
    }
    assert_int_equal(lseek(dir, 0, SEEK_CUR), 0);
}

/* ---- values ---- */

static bool set_value(const char *name, size_t len)
{
    char value[4096];
    memset(value, name[0], sizeof value);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    int rc = fsetxattr(fd, "user.sluice", value, len, 0);
    close(fd);
    if (rc != 0)
        print_message("no user attributes here: skipped\n");
    return rc == 0;
}

static void list_attribute_values_come_along(void **state)
{
    static const struct {
        const char *name;
        size_t len, told;
    } rows[] = {{"a", 1, 1}, {"b", 0, 0}, {"c", 100, 100}, {"d", 101, 0}, {"e", 3000, 0}, {"f", 99, 99}};
    for (size_t i = 0; i < 6; i++) {
        MAKE_FILES(rows[i].name);
        if (!set_value(rows[i].name, rows[i].len))
            return;
    }
    MAKE_FILES("g"); /* has none */
    struct sl_disk_list list = all();
    list.attribute = "user.sluice";
    list.value_max = 100;
    expect_page(list, "a b c d e f g", false);
    int64_t at = 0;
    for (size_t i = 0; i < 6; i++, at += entry_at(at)->bytes) {
        assert_int_equal(entry_at(at)->value_len, rows[i].told);
        for (size_t k = 0; k < rows[i].told; k++)
            assert_int_equal(entry_at(at)->text[1 + k], rows[i].name[0]);
    }
    list.attribute = "user.other";
    expect_page(list, "a b c d e f g", false);
}

/* Values that make entries larger than their names promise: the page ends where the next does not fit. */
static void list_values_beyond_the_room_wait_for_the_next_page(void **state)
{
    MAKE_FILES("a", "b", "c", "d", "e");
    static const size_t lens[] = {300, 200, 0, 300, 100};
    for (size_t i = 0; i < 5; i++)
        if (!set_value((char[]){(char)('a' + i), '\0'}, lens[i]))
            return;
    struct sl_disk_list list = all();
    list.attribute = "user.sluice";
    list.value_max = 300;
    for (list.room = SL_DISK_ENTRY_BYTES_MAX(300); list.room < 1400; list.room++) {
        char after[2] = "", told[8] = "";
        list.after = after;
        int64_t bytes;
        for (bool has_more = true; has_more; has_more = list.has_more) {
            memset(room, 0x55, sizeof room);
            assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
            assert_true(bytes > 0 && (size_t)bytes <= list.room);
            assert_int_equal(room[list.room], 0x55);
            for (int64_t at = 0; at < bytes; at += entry_at(at)->bytes) {
                after[0] = entry_at(at)->text[0];
                assert_int_equal(entry_at(at)->value_len, lens[after[0] - 'a']);
                told[strlen(told)] = after[0];
            }
        }
        assert_string_equal(told, "abcde");
    }
}

static void list_unreadable_file_is_told_without_its_value(void **state)
{
    if (geteuid() == 0) {
        print_message("root reads everything: skipped\n");
        return;
    }
    MAKE_FILES("a");
    if (!set_value("a", 10))
        return;
    assert_int_equal(fchmodat(dir, "a", 0, 0), 0);
    struct sl_disk_list list = all();
    list.attribute = "user.sluice";
    list.value_max = 10;
    expect_page(list, "a", false);
    assert_int_equal(entry_at(0)->size, 1);
    assert_int_equal(entry_at(0)->value_len, 0);
}

/* ---- what cannot be looked at ---- */

/* A file that is bad itself is told without what could not be read, or left out; the others are told. */
static void list_bad_file_does_not_spoil_the_others(void **state)
{
    static const struct {
        const char *call;
        int sys_errno;
        sl_err err;
        const char *names;
    } rows[] = {
        {"openat", EIO, SL_OK, "a bad bad-too/ c"},
        {"openat", EUCLEAN, SL_OK, "a bad bad-too/ c"},
        {"openat", EACCES, SL_OK, "a bad bad-too/ c"},
        {"openat", EPERM, SL_OK, "a bad bad-too/ c"},
        {"openat", ESTALE, SL_OK, "a bad-too/ c"},
        {"openat", ENOENT, SL_OK, "a bad-too/ c"},
        {"openat", ENXIO, SL_OK, "a bad-too/ c"},
        {"openat", ENODEV, SL_OK, "a bad-too/ c"},
        {"openat", ELOOP, SL_OK, "a bad-too/ c"},
        {"openat", EMFILE, SL_TOO_MANY_FILES, ""},
        {"openat", ENFILE, SL_TOO_MANY_FILES, ""},
        {"openat", ENOMEM, SL_NO_MEMORY, ""},
        {"statx", EIO, SL_OK, "a c"},
        {"statx", EUCLEAN, SL_OK, "a c"},
        {"statx", EACCES, SL_OK, "a c"},
        {"statx", EPERM, SL_OK, "a c"},
        {"statx", ESTALE, SL_OK, "a c"},
        {"statx", ENOMEM, SL_NO_MEMORY, ""},
        {"fgetxattr", EIO, SL_OK, "a bad bad-too/ c"},
        {"fgetxattr", EUCLEAN, SL_OK, "a bad bad-too/ c"},
        {"fgetxattr", EACCES, SL_OK, "a bad bad-too/ c"},
        {"fgetxattr", EPERM, SL_OK, "a bad bad-too/ c"},
        {"fgetxattr", ENOMEM, SL_NO_MEMORY, ""},
    };
    MAKE_FILES("a", "bad", "c");
    make_folder("bad-too");
    bool has_values = set_value("a", 5) && set_value("bad", 5) && set_value("c", 5);
    struct sl_disk_list list = all();
    list.attribute = "user.sluice";
    list.value_max = 10;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t bytes;
        fault.call = rows[i].call;
        fault.name = "bad";
        fault.sys_errno = rows[i].sys_errno;
        if (rows[i].err != SL_OK) {
            assert_int_equal(list_of(dir, &list, &bytes), rows[i].err);
            continue;
        }
        expect_page(list, rows[i].names, false);
        assert_int_equal(entry_at(0)->value_len, has_values ? 5 : 0);
        const struct sl_disk_entry *second = entry_at(entry_at(0)->bytes);
        if (second->name_len == 3) {
            assert_int_equal(second->value_len, 0);
            assert_int_equal(second->size, 3);
        }
    }
}

static void list_directory_that_cannot_be_read_fails(void **state)
{
    static const struct {
        const char *call;
        int sys_errno;
        sl_err err;
    } rows[] = {
        {"openat", EIO, SL_IO},
        {"openat", EMFILE, SL_TOO_MANY_FILES},
        {"openat", EACCES, SL_OK}, /* to be read, not to be searched: no name in it can be looked at */
        {"getdents64", EIO, SL_IO},
        {"getdents64", EUCLEAN, SL_IO},
        {"getdents64", EACCES, SL_DENIED},
    };
    MAKE_FILES("a");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t bytes;
        struct sl_disk_list list = all();
        fault.call = rows[i].call;
        fault.name = ".";
        fault.sys_errno = rows[i].sys_errno;
        assert_int_equal(list_of(dir, &list, &bytes), rows[i].err);
        assert_int_equal(bytes, 0);
        assert_false(list.has_more);
    }
}

/* Pages of nothing but names that are gone: each of them gets further. */
static void list_page_of_names_that_are_gone_tells_where_to_go_on(void **state)
{
    char name[300], after[300] = "";
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%s%0200d", i % 10 == 3 ? "badly-named" : "bad", i);
        MAKE_FILES(name);
    }
    MAKE_FILES("a", "zz");
    fault.call = "openat";
    fault.name = "bad";
    fault.sys_errno = ESTALE;
    struct sl_disk_list list = all();
    list.attribute = "user.sluice";
    list.value_max = 100;
    list.room = 1000;
    list.after = after;
    unsigned empty = 0, told = 0;
    do {
        int64_t bytes;
        assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
        for (int64_t at = 0; at < bytes; at += entry_at(at)->bytes)
            assert_true(entry_at(at)->text[0] == "az"[told++]);
        empty += bytes == 0;
        assert_true(!list.has_more || strcmp(list.last, after) > 0);
        snprintf(after, sizeof after, "%s", list.last);
    } while (list.has_more);
    assert_int_equal(told, 2);
    assert_true(empty > 5);
}

/* ---- beside others ---- */

#define LISTS 12

struct order {
    struct sl_disk_op ops[LISTS + 1];
    struct sl_disk_list lists[LISTS + 1];
    unsigned done[LISTS + 1], count;
};

static void start_list(struct order *order, unsigned which);

/* The first one starts one more, which has to wait its turn. */
static void on_list_in_order(struct sl_disk_op *op, void *ctx)
{
    struct order *order = ctx;
    assert_int_equal(op->err, SL_OK);
    order->done[order->count++] = (unsigned)(op - order->ops);
    if (order->count == 1)
        start_list(order, LISTS);
}

static void start_list(struct order *order, unsigned which)
{
    order->lists[which] = all();
    sl_disk_list(disk, &order->ops[which], dir, &order->lists[which], on_list_in_order, order);
}

static void expect_order(const struct order *order)
{
    assert_int_equal(order->count, LISTS + 1);
    for (unsigned i = 0; i <= LISTS; i++)
        assert_int_equal(order->done[i], i);
}

/* However many lists there are and however long they take, threads are left for what a commit needs. */
static void lists_leave_threads_to_the_others(void **state)
{
    struct order order = {0};
    struct statfs statfs;
    struct sl_disk_op op = {0};
    unsigned calls = 0;
    MAKE_FILES("a");
    int file = openat(dir, "a", O_WRONLY | O_CLOEXEC);
    atomic_store(&readers_most, 0);
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < LISTS; i++)
        start_list(&order, i);
    for (unsigned i = 0; i < 20; i++) {
        if (i % 2 == 0)
            sl_disk_statfs(disk, &op, dir, &statfs, on_list, &calls);
        else
            sl_disk_truncate(disk, &op, file, i, on_list, &calls);
        disk_loop_op(disk, &op);
        assert_int_equal(op.err, SL_OK);
    }
    assert_int_equal(order.count, 0);
    assert_int_equal(sl_disk_inflight(disk), LISTS);
    pthread_mutex_unlock(&gate);
    disk_loop_drain(disk);
    expect_order(&order);
    assert_int_equal(atomic_load(&readers_most), 1);
    close(file);
}

/* Also where they fail: the next one is started all the same. */
static void lists_go_to_the_engine_one_by_one(void **state)
{
    if (engine != TEST_FAKE)
        return;
    struct order order = {0};
    fake_disk_hold(disk, SL_DISK_LIST);
    for (unsigned i = 0; i < LISTS; i++)
        start_list(&order, i);
    for (unsigned i = 0; i <= LISTS; i++) {
        assert_int_equal(fake_disk_held(disk), 1);
        assert_int_equal(fake_disk_started(disk, SL_DISK_LIST), i + 1);
        fake_disk_release_one(disk);
        disk_loop_count(disk, &order.count, i + 1);
    }
    expect_order(&order);
    fake_disk_release(disk);
    struct sl_disk_op ops[3] = {0};
    unsigned calls = 0;
    fake_disk_fail(disk, SL_DISK_LIST, 1, EIO);
    fake_disk_fail(disk, SL_DISK_LIST, 2, EMFILE);
    for (unsigned i = 0; i < 3; i++)
        sl_disk_list(disk, &ops[i], dir, &order.lists[0], on_list, &calls);
    disk_loop_drain(disk);
    assert_int_equal(calls, 3);
    assert_int_equal(ops[0].err, SL_IO);
    assert_int_equal(ops[1].err, SL_TOO_MANY_FILES);
    assert_int_equal(ops[2].err, SL_OK);
}

/* ---- many ---- */

static char names[NAMES_MAX][40];
static unsigned name_count;

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names of different lengths, some of them folders; seeded, so that a failure comes again. */
static void make_many(unsigned count)
{
    uint64_t seed = 42;
    name_count = count;
    for (unsigned i = 0; i < count; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        unsigned long random = (unsigned long)(seed >> 40);
        memset(names[i], 0, sizeof names[i]);
        snprintf(names[i], sizeof names[i], "%0*lx-%u", (int)(random % 24), random, i);
        if (random % 10 == 0) {
            make_folder(names[i]);
            names[i][strlen(names[i])] = '/'; /* zeroed behind it */
        } else {
            int fd = openat(dir, names[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
            assert_true(fd >= 0);
            close(fd);
        }
    }
    qsort(names, count, sizeof names[0], by_bytes);
}

/* Page by page it is the sorted directory, and every page but the last is as full as it can be. */
static void expect_many(size_t page_room)
{
    char after[64] = "";
    unsigned told = 0;
    struct sl_disk_list list = all();
    list.room = page_room;
    list.after = after;
    do {
        int64_t bytes;
        assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
        assert_true((size_t)bytes <= page_room);
        for (int64_t at = 0; at < bytes; at += entry_at(at)->bytes, told++) {
            assert_true(told < name_count);
            snprintf(after, sizeof after, "%.*s", (int)entry_at(at)->name_len, entry_at(at)->text);
            assert_string_equal(after, names[told]);
            assert_int_equal(entry_at(at)->is_folder, names[told][strlen(after) - 1] == '/');
        }
        if (list.has_more) {
            assert_true(page_room - (size_t)bytes < 40 + strlen(names[told]));
            assert_string_equal(list.last, after);
        }
    } while (list.has_more);
    assert_int_equal(told, name_count);
}

static void list_5000_names_page_by_page_is_the_sorted_directory(void **state)
{
    make_many(5000);
    static const size_t rooms[] = {2000, 8192, 20001, ROOM};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++)
        expect_many(rooms[i]);
    hides_types = true;
    expect_many(ROOM);
}

/* What is deleted while pages are read is told or not; what stays is told once. */
static void list_while_names_go_tells_those_that_stay(void **state)
{
    make_many(1000);
    char after[64] = "";
    unsigned told = 0, pages = 0;
    struct sl_disk_list list = all();
    list.room = 4096;
    list.after = after;
    do {
        int64_t bytes;
        assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
        for (int64_t at = 0; at < bytes; at += entry_at(at)->bytes) {
            snprintf(after, sizeof after, "%.*s", (int)entry_at(at)->name_len, entry_at(at)->text);
            while (told < name_count && names[told][0] == '\0')
                told++;
            assert_string_equal(after, names[told++]);
        }
        for (unsigned i = told + pages++ % 3; i < name_count; i += 7) {
            bool is_folder = names[i][0] != '\0' && names[i][strlen(names[i]) - 1] == '/';
            if (names[i][0] != '\0')
                assert_int_equal(unlinkat(dir, names[i], is_folder ? AT_REMOVEDIR : 0), 0);
            names[i][0] = '\0';
        }
    } while (list.has_more);
    while (told < name_count && names[told][0] == '\0')
        told++;
    assert_int_equal(told, name_count);
}

static void list_that_fails_is_counted_as_its_kind(void **state)
{
    if (engine != TEST_FAKE)
        return;
    int64_t bytes;
    struct sl_disk_list list = all();
    MAKE_FILES("a");
    fake_disk_fail(disk, SL_DISK_LIST, 2, EIO);
    assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
    assert_int_equal(list_of(dir, &list, &bytes), SL_IO);
    fake_disk_fail(disk, SL_DISK_LIST, 1, EINTR);
    assert_int_equal(list_of(dir, &list, &bytes), SL_OK);
    assert_int_equal(bytes, 40);
    assert_int_equal(fake_disk_started(disk, SL_DISK_LIST), 3);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(list_empty_directory_is_empty),
        CASE(list_sorts_by_bytes_with_a_slash_behind_folders),
        CASE(list_prefix_and_after_narrow),
        CASE(list_leaves_out_what_is_no_file_and_no_folder),
        CASE(list_tells_size_time_and_inode),
        CASE(list_of_no_directory_tells_why),
        CASE(list_twice_at_once_tells_twice),
        CASE(list_attribute_values_come_along),
        CASE(list_values_beyond_the_room_wait_for_the_next_page),
        CASE(list_unreadable_file_is_told_without_its_value),
        CASE(list_bad_file_does_not_spoil_the_others),
        CASE(list_directory_that_cannot_be_read_fails),
        CASE(list_page_of_names_that_are_gone_tells_where_to_go_on),
        CASE(lists_leave_threads_to_the_others),
        CASE(lists_go_to_the_engine_one_by_one),
        CASE(list_5000_names_page_by_page_is_the_sorted_directory),
        CASE(list_while_names_go_tells_those_that_stay),
        CASE(list_that_fails_is_counted_as_its_kind),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
