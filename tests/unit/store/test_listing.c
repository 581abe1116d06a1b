/* The walk over all names, held against every engine and against a sorted list of what is there. */
#include "fake_disk.h"
#include "store_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_MAX  8000
#define EVERYTHING UINT32_MAX

static enum test_engine engine;
static struct store_case c;
static int files = -1;
static struct sl_store_listing listing;
static char *room; /* as long as it is said to be, for the sanitizers' sake */
static size_t room_len;

/* What files made from now on have in their attribute; where there are none, entries are only smaller. */
static size_t value_bytes;
static const char large_value[SL_META_BYTES_MAX] = {1};

/* What is there, sorted; and what was told. */
static char *names[NAMES_MAX];
static unsigned name_count;
static char *told[NAMES_MAX];
static unsigned told_count;
static unsigned empty_batches; /* of the last walk */

/* Names that begin so are told by the directory and can never be opened; looked_at bounds how often that is tried. */
static const char *gone;
static unsigned looked_at;

/* In the place of the C library's. */
int openat(int dir_fd, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (gone == NULL || strncmp(name, gone, strlen(gone)) != 0)
        return (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    if (++looked_at > 100000) {
        fprintf(stderr, "the same names are looked at again and again\n");
        abort();
    }
    errno = ESTALE;
    return -1;
}

static void forget(char **list, unsigned *count)
{
    for (unsigned i = 0; i < *count; i++)
        free(list[i]);
    *count = 0;
}

static void set_room(size_t len)
{
    free(room);
    room = malloc(len);
    assert_non_null(room);
    room_len = len;
}

static int setup(void **state)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_NONE});
    files = open(scratch_path(&c.scratch, "files"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(files >= 0);
    set_room(16384);
    return 0;
}

static int teardown(void **state)
{
    forget(names, &name_count);
    forget(told, &told_count);
    value_bytes = 0;
    gone = NULL;
    close(files);
    store_case_close(&c);
    free(room);
    room = NULL;
    return 0;
}

/* ---- trees ---- */

static void make_folders(const char *path)
{
    char copy[SL_PATH_BYTES_MAX + 1];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdirat(files, copy, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

/* A file, or a folder where the path ends in '/'. Not for the list of names. */
static void make_unlisted(const char *path)
{
    make_folders(path);
    if (path[strlen(path) - 1] == '/')
        return;
    int fd = openat(files, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    if (value_bytes > 0)
        (void)!fsetxattr(fd, "user.sluice", large_value, value_bytes, 0);
    close(fd);
}

static void make(const char *path)
{
    make_unlisted(path);
    assert_true(name_count < NAMES_MAX);
    names[name_count++] = strdup(path);
}
#define MAKE(...)                                                        \
    do {                                                                 \
        const char *const paths_[] = {__VA_ARGS__};                      \
        for (size_t i_ = 0; i_ < sizeof paths_ / sizeof paths_[0]; i_++) \
            make(paths_[i_]);                                            \
    } while (0)

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(void)
{
    qsort(names, name_count, sizeof names[0], by_bytes);
}

static uint64_t seed;

static unsigned roll(unsigned sides)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % sides;
}

static void put_text(char *text, size_t text_room, const char *more)
{
    size_t len = strlen(text);
    snprintf(text + len, text_room - len, "%s", more);
}

/* A path of one to five segments of few letters, so that names are each other's beginnings and folders get filled. */
static void make_random(void)
{
    static const char *const pieces[] = {"a", "b", "ab", "a.b", "a-", "a b", "\xc3\xa9", "b0", "~", "aaaa", "!", "c"};
    char path[200] = "";
    unsigned depth = 1 + roll(5);
    for (unsigned i = 0; i < depth; i++) {
        put_text(path, sizeof path, i > 0 ? "/" : "");
        for (unsigned k = 1 + roll(3); k > 0; k--)
            put_text(path, sizeof path, pieces[roll(12)]);
    }
    struct stat st;
    if (fstatat(files, path, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno == ENOTDIR)
        return; /* it is there, or there is a file on the way */
    value_bytes = roll(4) == 0 ? roll(SL_META_BYTES_MAX) : 0;
    make(path);
}

static void make_random_tree(unsigned tries)
{
    for (unsigned i = 0; i < tries; i++)
        make_random();
    sort_names();
}

/* ---- walks ---- */

static void on_list(struct sl_store_listing *which, sl_err err, void *ctx)
{
    assert_ptr_equal(which, &listing);
    assert_false(c.is_inside);
    c.calls++;
    c.err = err;
}

/* An empty batch got further, or is the end; none goes over more directories than it may. */
static sl_err list_batch(void)
{
    static struct sl_store_place before;
    before = listing.at;
    unsigned lists = engine == TEST_FAKE ? fake_disk_started(c.disk, SL_DISK_LIST) : 0;
    memset(room, 0x5a, room_len); /* what was in it does not count */
    store_case_start(&c);
    sl_store_list(&listing, room, room_len, on_list, NULL);
    sl_err err = store_case_finish(&c);
    if (engine == TEST_FAKE && err == SL_OK)
        assert_true(fake_disk_started(c.disk, SL_DISK_LIST) - lists <= 64 + listing.files);
    if (err == SL_OK && listing.files == 0 && !listing.is_end)
        assert_memory_not_equal(&before, &listing.at, sizeof before);
    return err;
}

static void begin(struct sl_bytes prefix, struct sl_bytes after)
{
    forget(told, &told_count);
    empty_batches = 0;
    listing = (struct sl_store_listing){0};
    assert_int_equal(sl_store_listing_init(&listing, c.store, prefix, after), SL_OK);
}

/* Takes up to `max` names of the batch; false: it has no more. */
static bool take(unsigned max)
{
    struct sl_store_entry entry;
    for (; max > 0; max--) {
        if (!sl_store_listing_next(&listing, &entry))
            return false;
        assert_int_equal(entry.path->len, strlen(entry.path->text));
        assert_true(told_count < NAMES_MAX);
        told[told_count++] = strdup(entry.path->text);
    }
    return true;
}

/* All that is left, taking up to `max` names from each batch. */
static void walk(unsigned max)
{
    bool is_over = false;
    while (!is_over) {
        assert_int_equal(list_batch(), SL_OK);
        empty_batches += listing.files == 0 && !listing.is_end;
        is_over = !take(max) && listing.is_end;
    }
    assert_int_equal(list_batch(), SL_OK); /* the end stays the end */
    assert_true(listing.is_end);
    assert_false(take(1));
}

static void expect_told(const char *prefix, const char *after)
{
    unsigned at = 0;
    for (unsigned i = 0; i < name_count; i++) {
        if (strncmp(names[i], prefix, strlen(prefix)) != 0 || strcmp(names[i], after) <= 0)
            continue;
        if (at == told_count)
            fail_msg("prefix '%s' after '%s': '%s' is missing at the end", prefix, after, names[i]);
        if (strcmp(told[at], names[i]) != 0)
            fail_msg("prefix '%s' after '%s': '%s' instead of '%s'", prefix, after, told[at], names[i]);
        at++;
    }
    if (at < told_count)
        fail_msg("prefix '%s' after '%s': '%s' is too much", prefix, after, told[at]);
}

static void expect_list(const char *prefix, const char *after)
{
    begin(sl_bytes_of(prefix), sl_bytes_of(after));
    walk(EVERYTHING);
    expect_told(prefix, after);
}

/* ---- names ---- */

static void list_of_nothing_is_empty(void **state)
{
    expect_list("", "");
    assert_int_equal(told_count, 0);
    make_unlisted("a/b/c/");
    make_unlisted("d/");
    expect_list("", "");
    expect_list("a/b", "a/b");
    expect_list("nothing/here", "");
}

static void list_tells_all_in_the_order_of_paths(void **state)
{
    MAKE("a.txt", "a/b", "a/b.c/d", "a/b0", "a0", "a-", "b/c/d/e/f/g", "b/c.d", "z", "\xc3\xa9/\xe2\x82\xac",
         ".x/.y");
    make_unlisted("a/empty/");
    make_unlisted("z-empty/a/b/");
    sort_names();
    expect_list("", "");
    assert_string_equal(told[0], ".x/.y");
    assert_string_equal(told[2], "a.txt");
    assert_string_equal(told[3], "a/b");
    assert_string_equal(told[4], "a/b.c/d");
}

static void list_prefix_and_after_may_be_anything(void **state)
{
    static const char *const texts[] = {
        "",         "a",        "a/",        "a/b",
        "a/b/",     "a/b/c",    "a/b/c/",    "a/b/cc",
        "a/b.",     "a.",       "a0",        "b",
        "b/",       "b/x/y/z",  "b/x/y/z/",  "b/x/",
        "gone",     "gone/x/y", "a/gone/x",  "~",
        "\xff",     "\xff/a",   "a/\xff",    "a/\xff/b",
        "/",        "/a",       "//",        "a//b",
        "a//",      ".",        "..",        "../a",
        "./a",      "a/..",     "a/../b",    "a/./b",
        "a/b/../c", "a\\b",     "a/\x01",    "a/\x01/b",
        "a.txt/x",  "a.txt/",   "a/b/c/d/e", "b/x/y/z/deep/er",
    };
    MAKE("a.txt", "a/a", "a/b/a", "a/b/c", "a/b/cc", "a/b/d", "a/b.x", "a/c/x", "a0", "b/x/y/z/1", "b/x/y/z/2",
         "b/x/y0", "b/x-", "c", "~", ".a", "..a/b");
    sort_names();
    size_t count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++)
            expect_list(texts[i], texts[k]);
}

static void list_bounds_with_nul_compare_as_bytes(void **state)
{
    MAKE("a", "ab", "b");
    begin(SL_BYTES("a\0"), SL_BYTES(""));
    walk(EVERYTHING);
    assert_int_equal(told_count, 0);
    begin(SL_BYTES(""), SL_BYTES("a\0zzz"));
    walk(EVERYTHING);
    expect_told("", "a");
    begin((struct sl_bytes){0}, (struct sl_bytes){0});
    walk(EVERYTHING);
    expect_told("", "");
}

static void init_with_a_bound_above_a_path_is_refused(void **state)
{
    char text[SL_PATH_BYTES_MAX + 1];
    memset(text, 'a', sizeof text);
    struct sl_bytes long_text = {text, sizeof text}, longest = {text, SL_PATH_BYTES_MAX};
    listing = (struct sl_store_listing){0};
    assert_int_equal(sl_store_listing_init(&listing, c.store, long_text, SL_BYTES("")), SL_BAD_PATH);
    assert_int_equal(sl_store_listing_init(&listing, c.store, SL_BYTES(""), long_text), SL_BAD_PATH);
    MAKE("a", "b");
    begin(longest, SL_BYTES(""));
    walk(EVERYTHING);
    assert_int_equal(told_count, 0);
    begin(SL_BYTES(""), longest);
    walk(EVERYTHING);
    assert_int_equal(told_count, 1);
    memset(text, '/', sizeof text);
    begin(SL_BYTES(""), longest);
    walk(EVERYTHING);
    assert_int_equal(told_count, 2);
}

static void list_leaves_out_what_no_url_can_say(void **state)
{
    MAKE("a", "dir/x", "z");
    make_unlisted("bad\x01name");
    make_unlisted("back\\slash");
    make_unlisted("not-utf8-\xff");
    make_unlisted("dir/line\nfeed");
    make_unlisted("bad\x02"
                  "folder/x");
    make_unlisted("dir/\xfe/y/z");
    assert_int_equal(symlinkat("dir", files, "link"), 0);
    assert_int_equal(symlinkat("/etc", files, "planted"), 0);
    assert_int_equal(symlinkat("a", files, "file-link"), 0);
    assert_int_equal(mkfifoat(files, "dir/fifo", 0600), 0);
    expect_list("", "");
    expect_list("link/", "");
    expect_list("", "link/a");
    expect_list("planted/p", "planted/passwc");
}

/* Paths up to 1024 bytes are told; what lies deeper is nobody's. */
static void list_tells_the_longest_paths_and_none_longer(void **state)
{
    char path[SL_PATH_BYTES_MAX + 8] = "";
    for (int i = 0; i < 511; i++)
        put_text(path, sizeof path, "d/"); /* 1022 bytes */
    static const char *const leaves[] = {"a", "ab", "abc", "abcd", "e/", "f/x"};
    for (int i = 0; i < 6; i++) {
        snprintf(path + 1022, sizeof path - 1022, "%s", leaves[i]);
        if (strlen(path) <= SL_PATH_BYTES_MAX && leaves[i][1] != '/')
            make(path);
        else
            make_unlisted(path);
    }
    char wide[SL_PATH_BYTES_MAX + 1];
    memset(wide, 'w', sizeof wide);
    for (int i = 0; i < 4; i++)
        wide[255 + 256 * i] = i < 3 ? '/' : '\0';
    make(wide);
    sort_names();
    set_room(SL_STORE_LIST_BYTES_MIN);
    expect_list("", "");
    assert_int_equal(told_count, 3);
    for (unsigned i = 0; i < 3; i++)
        expect_list(names[i], names[i]);
}

/* ---- what is told ---- */

static void list_tells_what_a_reader_would_tell(void **state)
{
    assert_int_equal(store_put(&c, "d/stored", 5000, SL_CONFLICT_ERROR), SL_OK);
    struct sl_meta meta = {.created_ns = UINT64_MAX / 4,
                           .name = SL_BYTES("original.txt"),
                           .type = SL_BYTES("text/plain"),
                           .digests.set = 1u << SL_HASH_SHA256};
    memset(meta.digests.value[SL_HASH_SHA256], 0x42, 32);
    char encoded[SL_META_BYTES_MAX];
    bool has_fields;
    size_t len = sl_meta_encode(&meta, encoded, &has_fields);
    int fd = openat(files, "d/stored", O_RDONLY | O_CLOEXEC);
    int rc = fsetxattr(fd, "user.sluice", encoded, len, 0);
    close(fd);
    make_unlisted("d/plain");
    begin(SL_BYTES(""), SL_BYTES(""));
    assert_int_equal(list_batch(), SL_OK);
    struct sl_store_entry entry;
    for (int i = 0; i < 2; i++) {
        struct sl_store_reader reader;
        assert_true(sl_store_listing_next(&listing, &entry));
        assert_string_equal(entry.path->text, i == 0 ? "d/plain" : "d/stored");
        c.path = *entry.path;
        store_case_start(&c);
        sl_store_open(c.store, &reader, &c.path, store_case_on_reader, &c);
        assert_int_equal(store_case_finish(&c), SL_OK);
        assert_string_equal(entry.etag, reader.etag);
        assert_int_equal(entry.size, reader.size);
        assert_int_equal(entry.modified_ns, reader.modified_ns);
        assert_true(sl_bytes_equal(entry.meta.name, reader.meta.name));
        assert_true(sl_bytes_equal(entry.meta.type, reader.meta.type));
        assert_int_equal(entry.meta.created_ns, reader.meta.created_ns);
        assert_int_equal(entry.meta.digests.set, reader.meta.digests.set);
        store_case_start(&c);
        sl_store_close(&reader, store_case_on_reader, &c);
        assert_int_equal(store_case_finish(&c), SL_OK);
    }
    if (rc == 0) {
        assert_true(sl_bytes_equal(entry.meta.type, SL_BYTES("text/plain")));
        assert_int_equal(entry.meta.digests.set, 1u << SL_HASH_SHA256);
    }
    assert_int_equal(entry.size, 5000);
    assert_false(sl_store_listing_next(&listing, &entry));
}

/* ---- against a model ---- */

static void list_random_trees_tell_everything_once(void **state)
{
    static const size_t rooms[] = {SL_STORE_LIST_BYTES_MIN, 9001, 16384, 65536};
    seed = 7;
    for (unsigned tree = 0; tree < 4; tree++) {
        make_random_tree(20 + roll(60));
        set_room(rooms[tree % 4]);
        expect_list("", "");
        for (unsigned i = 0; i < 20; i++) { /* bounds that are names, cut somewhere, sometimes with more behind */
            char prefix[220] = "", after[220] = "";
            const char *a = names[roll(name_count)], *b = names[roll(name_count)];
            static const char *const more[] = {"", "", "/", "/x", "a", "0", " "};
            if (roll(3) > 0)
                snprintf(after, sizeof after, "%.*s%s", (int)roll((unsigned)strlen(a) + 2), a, more[roll(7)]);
            if (roll(2) > 0)
                snprintf(prefix, sizeof prefix, "%.*s%s", (int)roll((unsigned)strlen(b) + 2), b, more[roll(7)]);
            expect_list(prefix, after);
        }
    }
}

/* Walks that stop anywhere in a batch and go on with another go on behind the last name. */
static void list_stopped_in_a_batch_goes_on_behind_it(void **state)
{
    seed = 11;
    make_random_tree(100);
    for (unsigned max = 1; max < 40; max += 1 + max / 5) {
        begin(SL_BYTES(""), SL_BYTES(""));
        walk(max);
        expect_told("", "");
    }
    begin(SL_BYTES("a"), SL_BYTES("a"));
    for (bool is_over = false; !is_over;) {
        assert_int_equal(list_batch(), SL_OK);
        is_over = !take(1 + roll(30)) && listing.is_end;
    }
    expect_told("a", "a");
}

static void list_many_folders_reads_each_directory_few_times(void **state)
{
    char path[64];
    for (unsigned i = 0; i < 400; i++) {
        snprintf(path, sizeof path, "top/%04u-folder/file", i);
        make(path);
    }
    sort_names();
    set_room(65536);
    expect_list("", "");
    if (engine == TEST_FAKE) /* each folder once, and of those above it a few */
        assert_in_range(fake_disk_started(c.disk, SL_DISK_LIST), 400, 480);
    set_room(SL_STORE_LIST_BYTES_MIN);
    expect_list("", "");
}

/* Folders without files take no room in a batch, but time: one batch goes over some of them, and over what did not
 * fit. */
static void list_many_empty_folders_are_passed_over_to_the_file_behind(void **state)
{
    char path[64];
    for (unsigned i = 0; i < 800; i++) {
        snprintf(path, sizeof path, "top/%04u-%s", i, i % 7 == 0 ? "folder/inner/" : "folder/");
        make_unlisted(path);
    }
    MAKE("top/0350-folder/inner/file", "top/9-file", "top/9-folder/file", "z");
    for (size_t len = SL_STORE_LIST_BYTES_MIN; len <= 65536; len *= 2) {
        set_room(len);
        expect_list("", "");
        assert_in_range(empty_batches, 5, 20);
        expect_list("top/", "top/0300");
    }
}

/* Whole pages of names that cannot be opened, with files and folders before, between and behind them. */
static void list_goes_on_behind_names_that_are_gone(void **state)
{
    char path[300];
    MAKE("a/a", "a/gonz", "gone-not", "goz/x", "zz");
    for (unsigned i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "%sgone%0200u", i % 3 == 0 ? "a/" : "", i);
        make_unlisted(path);
        snprintf(path, sizeof path, "gone%0200u/file", 1000 + i);
        if (i % 100 == 0)
            make(path);
    }
    sort_names();
    gone = "gone0";
    for (size_t len = SL_STORE_LIST_BYTES_MIN; len <= 65536; len *= 2) {
        set_room(len);
        looked_at = 0;
        expect_list("", "");
        expect_list("a/", "");
        expect_list("", "gone");
    }
    for (unsigned i = 0; i < name_count; i++)
        free(names[i]);
    name_count = 0;
    gone = "g"; /* now nearly all: what is told is told, and the rest takes no more than it may at a time */
    set_room(SL_STORE_LIST_BYTES_MIN);
    begin(SL_BYTES("gone"), SL_BYTES(""));
    walk(EVERYTHING);
    assert_int_equal(told_count, 3);
}

static void list_flat_folder_of_thousands_in_small_rooms(void **state)
{
    char path[64];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "flat/%x-file-%u", (i * 2654435761u) >> 7, i);
        make(path);
    }
    make("flat.");
    make("flat0");
    sort_names();
    expect_list("", "");
    set_room(131072);
    expect_list("flat/", "flat/5");
}

/* ---- names that come and go ---- */

static void remove_name(const char *path)
{
    char copy[SL_PATH_BYTES_MAX + 1];
    snprintf(copy, sizeof copy, "%s", path);
    assert_int_equal(unlinkat(files, copy, 0), 0);
    for (char *slash; (slash = strrchr(copy, '/')) != NULL;) { /* and the folders that are empty now */
        *slash = '\0';
        if (unlinkat(files, copy, AT_REMOVEDIR) != 0)
            break;
    }
}

static bool is_told(const char *name)
{
    return bsearch(&name, told, told_count, sizeof told[0], by_bytes) != NULL;
}

static void list_while_names_come_and_go_tells_the_others_once(void **state)
{
    seed = 23;
    set_room(SL_STORE_LIST_BYTES_MIN);
    make_random_tree(150);
    static bool is_gone[NAMES_MAX];
    memset(is_gone, 0, sizeof is_gone);
    unsigned stable = name_count;
    begin(SL_BYTES(""), SL_BYTES(""));
    for (bool is_over = false; !is_over;) {
        assert_int_equal(list_batch(), SL_OK);
        is_over = !take(1 + roll(200)) && listing.is_end;
        for (unsigned i = 0; i < 5; i++) {
            unsigned which = roll(stable);
            if (!is_gone[which])
                remove_name(names[which]);
            is_gone[which] = true;
            make_random();
        }
        while (name_count > stable) /* these may be told or not */
            free(names[--name_count]);
    }
    for (unsigned i = 1; i < told_count; i++)
        assert_true(strcmp(told[i - 1], told[i]) < 0);
    for (unsigned i = 0; i < stable; i++)
        assert_true(is_gone[i] || is_told(names[i]));
}

/* The folder that the walk stands in, and those above it, vanish between two batches. */
static void list_in_a_folder_that_vanished_goes_on_behind_it(void **state)
{
    for (int with_file = 0; with_file < 2; with_file++) {
        forget(names, &name_count);
        MAKE("a/b/c/1", "a/b/c/2", "a/b/c/3", "a/b/d", "a/b0", "z");
        begin(SL_BYTES(""), SL_BYTES(""));
        assert_int_equal(list_batch(), SL_OK);
        assert_true(take(2));
        for (unsigned i = 0; i < 4; i++)
            remove_name(names[i]);
        if (with_file)
            make_unlisted("a/b"); /* a file in the place of the folder: it lies before what was told */
        walk(EVERYTHING);
        assert_int_equal(told_count, 4);
        assert_string_equal(told[2], "a/b0");
        assert_string_equal(told[3], "z");
        remove_name("a/b0");
        remove_name("z");
        if (with_file)
            remove_name("a/b");
    }
}

/* ---- failures ---- */

static void list_that_fails_ends_and_can_be_asked_again(void **state)
{
    if (engine != TEST_FAKE)
        return;
    seed = 31;
    make_random_tree(30);
    set_room(65536);
    begin(SL_BYTES(""), SL_BYTES(""));
    unsigned before = fake_disk_started(c.disk, FAKE_DISK_ANY);
    assert_int_equal(list_batch(), SL_OK);
    unsigned operations = fake_disk_started(c.disk, FAKE_DISK_ANY) - before;
    unsigned fds = scratch_count_fds();
    for (unsigned nth = 1; nth <= operations; nth++) {
        begin(SL_BYTES(""), SL_BYTES(""));
        fake_disk_fail(c.disk, FAKE_DISK_ANY, nth, EIO);
        sl_err err = list_batch();
        assert_true(err == SL_IO || (err == SL_OK && nth % 3 == 0)); /* a folder's fd is gone, whatever close says */
        assert_int_equal(scratch_count_fds(), fds);
        if (err == SL_IO) {
            assert_false(take(1));
            walk(EVERYTHING);
        } else {
            take(EVERYTHING);
        }
        expect_told("", "");
    }
}

/* Folders we may not read, or that are gone when they are opened, are passed over; the rest is told. */
static void list_folder_that_cannot_be_opened_is_passed_over(void **state)
{
    static const int reasons[] = {ENOENT, ENOTDIR, ELOOP, EXDEV, EACCES, EPERM, ENAMETOOLONG};
    if (engine != TEST_FAKE)
        return;
    MAKE("a/1", "a/2", "b/1", "c");
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        for (int at_list = 0; at_list < (reasons[i] == ENOENT ? 2 : 1); at_list++) {
            begin(SL_BYTES(""), SL_BYTES(""));
            fake_disk_fail(c.disk, at_list ? SL_DISK_LIST : SL_DISK_OPEN, 2, reasons[i]);
            walk(EVERYTHING);
            assert_int_equal(told_count, 2);
            assert_string_equal(told[0], "b/1");
        }
    }
    fake_disk_fail(c.disk, SL_DISK_LIST, 2, EACCES); /* it was opened; what is wrong then is no matter of rights */
    begin(SL_BYTES(""), SL_BYTES(""));
    assert_int_equal(list_batch(), SL_DENIED);
    fake_disk_fail(c.disk, SL_DISK_OPEN, 2, EMFILE);
    begin(SL_BYTES(""), SL_BYTES(""));
    assert_int_equal(list_batch(), SL_TOO_MANY_FILES);
}

/* The topmost folder is ours: without it there is no list, and that is not an empty one. */
static void list_without_a_root_fails(void **state)
{
    make("a");
    remove_name("a");
    assert_int_equal(unlinkat(c.root->files_fd, "../files", AT_REMOVEDIR), 0);
    begin(SL_BYTES(""), SL_BYTES(""));
    assert_int_equal(list_batch(), SL_IO);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(list_of_nothing_is_empty),
        CASE(list_tells_all_in_the_order_of_paths),
        CASE(list_prefix_and_after_may_be_anything),
        CASE(list_bounds_with_nul_compare_as_bytes),
        CASE(init_with_a_bound_above_a_path_is_refused),
        CASE(list_leaves_out_what_no_url_can_say),
        CASE(list_tells_the_longest_paths_and_none_longer),
        CASE(list_tells_what_a_reader_would_tell),
        CASE(list_random_trees_tell_everything_once),
        CASE(list_stopped_in_a_batch_goes_on_behind_it),
        CASE(list_many_folders_reads_each_directory_few_times),
        CASE(list_many_empty_folders_are_passed_over_to_the_file_behind),
        CASE(list_goes_on_behind_names_that_are_gone),
        CASE(list_flat_folder_of_thousands_in_small_rooms),
        CASE(list_while_names_come_and_go_tells_the_others_once),
        CASE(list_in_a_folder_that_vanished_goes_on_behind_it),
        CASE(list_that_fails_ends_and_can_be_asked_again),
        CASE(list_folder_that_cannot_be_opened_is_passed_over),
        CASE(list_without_a_root_fails),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
