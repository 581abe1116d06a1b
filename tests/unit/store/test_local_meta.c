/* What is known about a finished object: kept with it, told by open, and left out once it is not true any more. */
#include "fake_disk.h"
#include "meta_case.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SHA256 (1u << SL_HASH_SHA256)
#define SHA512 (1u << SL_HASH_SHA512)
#define MD5    (1u << SL_HASH_MD5)

/* 32 bytes of 'A' */
#define ETAG_OF_A "\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\""

static enum test_engine engine;
static struct store_case c;
static struct meta_case m;
static uint64_t size;

static int setup(void **state)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_FULL, .is_direct = true});
    if (!sl_store_root_has_meta(c.root))
        print_message("no extended attributes here: some cases test little\n");
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static void put(const char *path, sl_hash_set set)
{
    c.terms.meta = meta_case_fill(&m, set, 'A');
    assert_int_equal(store_put(&c, path, 5000, SL_CONFLICT_ERROR), SL_OK);
    c.terms.meta = (struct sl_room){0};
}

static struct stat stat_of(const char *path)
{
    char name[64];
    struct stat st;
    snprintf(name, sizeof name, "files/%s", path);
    assert_int_equal(stat(scratch_path(&c.scratch, name), &st), 0);
    return st;
}

static uint64_t modified_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

/* "inode-size-time" */
static const char *etag_of_numbers(const char *path)
{
    static char etag[SL_ETAG_BYTES];
    struct stat st = stat_of(path);
    snprintf(etag, sizeof etag, "\"%jx-%jx-%jx\"", (uintmax_t)st.st_ino, (uintmax_t)st.st_size,
             (uintmax_t)modified_ns(&st));
    return etag;
}

static void expect_bytes(struct sl_bytes got, const char *expected)
{
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.base, expected, got.len);
}

static void expect_known(const char *path, sl_hash_set set)
{
    assert_int_equal(store_look(&c, path, &size), SL_OK);
    expect_bytes(c.reader.meta.name, "original name.txt");
    expect_bytes(c.reader.meta.type, "text/plain");
    assert_int_equal(c.reader.meta.digests.set, set);
}

static void expect_unknown(const char *path)
{
    static const struct sl_meta nothing = {0};
    assert_int_equal(store_look(&c, path, &size), SL_OK);
    assert_memory_equal(&c.reader.meta, &nothing, sizeof nothing);
    assert_string_equal(c.reader.etag, etag_of_numbers(path));
}

static void meta_is_kept_and_survives_a_restart(void **state)
{
    if (!c.root->has_meta)
        skip();
    put("a/f", SHA256 | MD5);
    assert_string_equal(c.object.etag, ETAG_OF_A);
    uint64_t created_ns = c.object.created_ns;
    for (int i = 0; i < 2; i++) {
        expect_known("a/f", SHA256 | MD5);
        assert_memory_equal(c.reader.meta.digests.value[SL_HASH_MD5], "AAAAAAAAAAAAAAAA", 16);
        assert_string_equal(c.reader.etag, ETAG_OF_A);
        assert_true(c.reader.meta.created_ns == created_ns);
        assert_true(c.reader.modified_ns <= created_ns);
        assert_int_equal(c.reader.size, 5000);
        store_case_reopen(&c, c.options);
    }
}

/* The size is cut at the commit, which is a change of its own; growth ahead and bytes too few lead there. */
static void digests_hold_for_files_that_are_cut(void **state)
{
    if (!c.root->has_meta)
        skip();
    c.terms.meta = meta_case_fill(&m, SHA256, 'A');
    assert_int_equal(store_begin(&c, 1 << 20), SL_OK);
    assert_int_equal(store_write(&c, 0, 4097), SL_OK);
    assert_int_equal(store_commit(&c, "short", 4097, SL_CONFLICT_ERROR), SL_OK);
    expect_known("short", SHA256);
}

static void etag_is_of_the_strongest_digest(void **state)
{
    if (!c.root->has_meta)
        skip();
    static const struct {
        const char *path;
        sl_hash_set set;
        bool is_digest;
    } rows[] = {
        {"1", SHA256, true}, {"2", SHA512, true}, {"3", SHA256 | SHA512, true}, {"4", MD5, false}, {"5", 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(rows[i].path, rows[i].set);
        assert_string_equal(c.object.etag, rows[i].is_digest ? ETAG_OF_A : etag_of_numbers(rows[i].path));
        meta_case_expect_etag(&c, rows[i].path, c.object.etag);
        expect_known(rows[i].path, rows[i].set);
    }
}

static void object_without_meta_has_an_etag_of_numbers(void **state)
{
    assert_int_equal(store_put(&c, "f", 10, SL_CONFLICT_ERROR), SL_OK);
    assert_string_equal(c.object.etag, etag_of_numbers("f"));
    assert_true(c.object.created_ns > 0);
    expect_unknown("f");
}

/* Time has passed when a file written anew has a later one; kernels count it in steps of some milliseconds. */
static void file_modified_after_storing_loses_its_digests(void **state)
{
    if (!c.root->has_meta)
        skip();
    put("f", SHA256);
    int fd = open(scratch_path(&c.scratch, "files/f"), O_WRONLY | O_CLOEXEC);
    struct stat st;
    do {
        assert_int_equal(pwrite(fd, "x", 1, 0), 1);
        assert_int_equal(fstat(fd, &st), 0);
    } while (modified_ns(&st) <= c.object.created_ns);
    close(fd);
    expect_known("f", 0);
    assert_string_equal(c.reader.etag, etag_of_numbers("f"));
}

/* As `rsync --inplace -t` leaves it, which gives the file a time from before it was uploaded. */
static void file_with_an_older_time_loses_its_digests(void **state)
{
    if (!c.root->has_meta)
        skip();
    put("f", SHA256);
    struct timespec older[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};
    assert_int_equal(utimensat(AT_FDCWD, scratch_path(&c.scratch, "files/f"), older, 0), 0);
    expect_known("f", 0);
    assert_string_equal(c.reader.etag, etag_of_numbers("f"));
}

/* ---- times that do not fit to our clock ---- */

static void put_with_time(const char *path, sl_hash_set set, struct timespec modified, uint64_t set_back_ns)
{
    c.terms.meta = meta_case_fill(&m, set, 'A');
    assert_int_equal(store_begin(&c, 5000), SL_OK);
    assert_int_equal(store_write(&c, 0, 5000), SL_OK);
    c.object.clock_gap_ns += set_back_ns;
    assert_int_equal(futimens(c.object.fd, (struct timespec[2]){modified, modified}), 0);
    assert_int_equal(store_commit(&c, path, 5000, SL_CONFLICT_OVERWRITE), SL_OK);
    c.terms.meta = (struct sl_room){0};
}

static struct timespec now_and(int seconds, bool is_whole)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct timespec){.tv_sec = now.tv_sec + seconds, .tv_nsec = is_whole ? 0 : now.tv_nsec};
}

/* As on ext4 with small inodes, or behind a server with a clock of its own. */
static void etag_told_holds_where_times_are_coarse(void **state)
{
    if (!c.root->has_meta)
        skip();
    static const struct {
        int seconds;
        bool is_whole;
    } rows[] = {{0, true}, {3600, false}, {-3600, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        c.root->has_coarse_times = true;
        struct timespec modified = now_and(rows[i].seconds, rows[i].is_whole);
        put_with_time("f", SHA256, modified, 0);
        assert_string_equal(c.object.etag, ETAG_OF_A);
        assert_true(c.object.created_ns / SL_SEC <= (uint64_t)now_and(0, false).tv_sec);
        expect_known("f", SHA256);
        assert_string_equal(c.reader.etag, ETAG_OF_A);

        struct timespec later = {.tv_sec = modified.tv_sec + 7200};
        assert_int_equal(
            utimensat(AT_FDCWD, scratch_path(&c.scratch, "files/f"), (struct timespec[2]){later, later}, 0), 0);
        expect_known("f", 0);

        put_with_time("f", MD5, modified, 0);
        assert_string_equal(c.object.etag, etag_of_numbers("f"));
        expect_known("f", MD5);
    }
}

static void etag_told_holds_where_the_clock_was_set_back(void **state)
{
    if (!c.root->has_meta)
        skip();
    c.root->has_coarse_times = false;
    put_with_time("f", SHA256, now_and(1800, false), 3600 * SL_SEC);
    assert_string_equal(c.object.etag, ETAG_OF_A);
    expect_known("f", SHA256);
}

static void time_is_coarse_or_of_another_clock(void **state)
{
    static const struct {
        uint64_t modified_ns;
        bool is_coarse;
    } rows[] = {
        {10 * SL_SEC, true},
        {10 * SL_SEC + 500 * SL_MS, false},
        {10 * SL_SEC + 500 * SL_MS - SL_LOCAL_TICK_NS, false},
        {10 * SL_SEC + 500 * SL_MS - SL_LOCAL_TICK_NS - 1, true},
        {10 * SL_SEC + 501 * SL_MS, false},
        {10 * SL_SEC + 501 * SL_MS + 1, true},
        {0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            sl_local_is_time_coarse(10 * SL_SEC + 500 * SL_MS, rows[i].modified_ns, 10 * SL_SEC + 501 * SL_MS),
            rows[i].is_coarse);
}

static void root_finds_out_whether_times_are_coarse(void **state)
{
    assert_int_equal(store_put(&c, "f", 10, SL_CONFLICT_ERROR), SL_OK);
    assert_int_equal(c.root->has_coarse_times, stat_of("f").st_mtim.tv_nsec == 0);
}

static void attribute_of_others_is_no_meta(void **state)
{
    if (!c.root->has_meta)
        skip();
    static char long_one[SL_META_BYTES_MAX + 1] = "\x01";
    static const struct {
        const char *value;
        size_t len;
    } rows[] = {{"", 0}, {"\x02", 1}, {"text", 4}, {"\x01\x02\xff\xff", 4}, {long_one, sizeof long_one}};
    put("f", SHA256);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(setxattr(scratch_path(&c.scratch, "files/f"), SL_LOCAL_META, rows[i].value, rows[i].len, 0),
                         0);
        expect_unknown("f");
    }
    assert_int_equal(removexattr(scratch_path(&c.scratch, "files/f"), SL_LOCAL_META), 0);
    expect_unknown("f");
}

/* A file that is put beside is a new one, whatever lay there. */
static void overwriting_leaves_nothing_of_the_old_meta(void **state)
{
    put("f", SHA256);
    assert_int_equal(store_put(&c, "f", 10, SL_CONFLICT_OVERWRITE), SL_OK);
    expect_unknown("f");
}

/* ---- file systems that keep none ---- */

static void without_attributes_meta_is_dropped(void **state)
{
    c.root->has_meta = false;
    put("f", SHA256);
    assert_string_equal(c.object.etag, etag_of_numbers("f"));
    expect_unknown("f");
}

static void attribute_that_cannot_be_had_is_done_without(void **state)
{
    if (engine != TEST_FAKE)
        skip();
    static const int errnos[] = {EOPNOTSUPP, ENOSYS, E2BIG, ERANGE};
    c.root->has_meta = true;
    for (size_t i = 0; i < sizeof errnos / sizeof errnos[0]; i++) {
        char path[16];
        snprintf(path, sizeof path, "%zu", i);
        fake_disk_fail(c.disk, SL_DISK_SETXATTR, 1, errnos[i]);
        put(path, SHA256);
        assert_string_equal(c.object.etag, etag_of_numbers(path));
        expect_unknown(path);
    }
    fake_disk_fail(c.disk, SL_DISK_GETXATTR, 1, EOPNOTSUPP);
    expect_unknown("0");
}

/* ext4 says so of one that is too long for its block. */
static void attribute_without_space_is_kept_without_fields_or_not_at_all(void **state)
{
    if (engine != TEST_FAKE || !c.root->has_meta)
        skip();
    static const struct sl_meta_field fields[] = {{SL_BYTES("a"), SL_BYTES("1")}, {SL_BYTES("b"), SL_BYTES("2")}};
    static const struct {
        size_t fields;
        unsigned failures;
        int sys_errno;
        bool has_meta, has_fields;
    } rows[] = {{2, 0, 0, true, true},        {2, 1, ENOSPC, true, false}, {2, 2, ENOSPC, false, false},
                {2, 1, E2BIG, true, false},   {0, 0, 0, true, true},       {0, 1, ENOSPC, false, false},
                {2, 1, ENOTSUP, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool all;
        meta_case_fill(&m, SHA256, 'A');
        m.meta.fields = fields;
        m.meta.field_count = rows[i].fields;
        c.terms.meta = (struct sl_room){m.encoded, sl_meta_encode(&m.meta, m.encoded, &all)};
        for (unsigned nth = 1; nth <= rows[i].failures; nth++)
            fake_disk_fail(c.disk, SL_DISK_SETXATTR, nth, rows[i].sys_errno);
        unsigned started = fake_disk_started(c.disk, SL_DISK_SETXATTR);
        assert_int_equal(store_put(&c, "f", 5000, SL_CONFLICT_OVERWRITE), SL_OK);
        assert_int_equal(fake_disk_started(c.disk, SL_DISK_SETXATTR) - started,
                         rows[i].failures + (rows[i].has_meta ? 1 : 0));
        assert_int_equal(c.object.has_kept_meta, rows[i].has_meta);
        assert_int_equal(c.object.has_kept_fields, rows[i].has_fields);
        assert_string_equal(c.object.etag, rows[i].has_meta ? ETAG_OF_A : etag_of_numbers("f"));
        if (!rows[i].has_meta) {
            expect_unknown("f");
            continue;
        }
        expect_known("f", SHA256);
        struct sl_meta_field field;
        assert_int_equal(sl_meta_next_field(&c.reader.meta, &field), rows[i].has_fields && rows[i].fields > 0);
    }
    c.terms.meta = (struct sl_room){0};
}

/* What the name is is told of a socket as of all that is no file, though it cannot even be opened. */
static void socket_is_in_the_way(void **state)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch_path(&c.scratch, "files/s"));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(store_look(&c, "s", &size), SL_NOT_FOUND);
    assert_int_equal(c.reader.cause, SL_EXISTS);
}

/* It would be known as something else, and be overwritten or not by that. */
static void failing_disk_does_not_change_what_a_file_is(void **state)
{
    if (engine != TEST_FAKE || !c.root->has_meta)
        skip();
    put("f", SHA256);
    unsigned fds = scratch_count_fds();
    fake_disk_fail(c.disk, SL_DISK_GETXATTR, 1, EIO);
    assert_int_equal(store_look(&c, "f", &size), SL_IO);
    assert_int_equal(c.reader.sys_errno, EIO);
    assert_int_equal(scratch_count_fds(), fds);
}

/* ramfs has none. Mounted for this process alone. */
static void root_tells_a_file_system_without_attributes(void **state)
{
    assert_int_equal(strstr(sl_store_root_summary(c.root), "extended attributes") == NULL, c.root->has_meta);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("mounting takes root: skipped\n");
        skip();
    }
    char message[256], path[128];
    snprintf(path, sizeof path, "%s", scratch_path(&c.scratch, "plain"));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mount("none", path, "ramfs", 0, ""), 0);
    struct sl_store_root *root;
    struct sl_store_options options = {.root = path, .is_direct = true};
    assert_int_equal(sl_store_root_open(&options, &root, message, sizeof message), SL_OK);
    assert_false(sl_store_root_has_meta(root));
    assert_non_null(
        strstr(sl_store_root_summary(root), "no extended attributes: types and digests of files are not kept"));
    sl_store_root_close(root);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(meta_is_kept_and_survives_a_restart),
        CASE(digests_hold_for_files_that_are_cut),
        CASE(etag_is_of_the_strongest_digest),
        CASE(object_without_meta_has_an_etag_of_numbers),
        CASE(file_modified_after_storing_loses_its_digests),
        CASE(file_with_an_older_time_loses_its_digests),
        CASE(etag_told_holds_where_times_are_coarse),
        CASE(etag_told_holds_where_the_clock_was_set_back),
        CASE(time_is_coarse_or_of_another_clock),
        CASE(root_finds_out_whether_times_are_coarse),
        CASE(attribute_of_others_is_no_meta),
        CASE(overwriting_leaves_nothing_of_the_old_meta),
        CASE(without_attributes_meta_is_dropped),
        CASE(attribute_that_cannot_be_had_is_done_without),
        CASE(attribute_without_space_is_kept_without_fields_or_not_at_all),
        CASE(socket_is_in_the_way),
        CASE(failing_disk_does_not_change_what_a_file_is),
        CASE(root_tells_a_file_system_without_attributes),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
