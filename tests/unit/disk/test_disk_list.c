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

/* In the place of the C library's. */
ssize_t getdents64(int fd, void *buffer, size_t bytes)
{
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
        if (list.has_more)
            assert_true(page_room - (size_t)bytes < 40 + strlen(names[told]));
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
        CASE(list_5000_names_page_by_page_is_the_sorted_directory),
        CASE(list_while_names_go_tells_those_that_stay),
        CASE(list_that_fails_is_counted_as_its_kind),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
