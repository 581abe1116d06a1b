/* Reading ahead in large files that are not in the page cache: what is asked for, and that it ends before the file is
 * closed. Skipped where the file system or the kernel does not let a test see what is cached. */
#include "fake_disk.h"
#include "store_case.h"

#include <errno.h>
#include <fcntl.h>

#define SIZE  ((size_t)9 << 20)
#define MIB   ((uint64_t)1 << 20)
#define PIECE ((size_t)256 << 10)

static struct store_case c;

static void expect_done(sl_err expected)
{
    assert_int_equal(store_case_finish(&c), expected);
}

static void open_reader(void)
{
    store_case_start(&c);
    sl_store_open(c.store, &c.reader, &c.path, store_case_on_reader, &c);
    expect_done(SL_OK);
}

/* A file of SIZE bytes that only the disk knows, open in c.reader. */
static int setup(void **state)
{
    store_case_open(&c, TEST_FAKE, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    assert_int_equal(store_put(&c, "large", SIZE, SL_CONFLICT_ERROR), SL_OK);
    open_reader();
    assert_int_equal(posix_fadvise(c.reader.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static void close_reader(void)
{
    store_case_start(&c);
    sl_store_close(&c.reader, store_case_on_reader, &c);
    expect_done(SL_OK);
}

static void skip_where_nothing_is_cold(void)
{
    if (!sl_disk_is_cached(c.reader.fd, 0, SIZE))
        return;
    close_reader();
    skip();
}

/* Starts a read; its slab is yours. */
static struct sl_slab *start_read(size_t len, uint64_t offset)
{
    struct sl_slab *slab = sl_slab_try(c.pool, SL_SLAB_LARGE);
    assert_non_null(slab);
    store_case_start(&c);
    sl_store_read(&c.reader, slab, len, offset, store_case_on_reader, &c);
    c.is_inside = false;
    return slab;
}

static void expect_bytes(struct sl_slab *slab, size_t len, uint64_t offset)
{
    char expected[PIECE];
    assert_true(len <= sizeof expected && len == c.reader.bytes_read);
    store_pattern(expected, offset, len);
    assert_memory_equal(slab->base, expected, len);
    sl_slab_release(slab);
}

static void read_whole(size_t len, uint64_t offset)
{
    struct sl_slab *slab = start_read(len, offset);
    expect_done(SL_OK);
    expect_bytes(slab, len, offset);
}

static void read_asks_for_what_lies_behind(void **state)
{
    skip_where_nothing_is_cold();
    /* One call of it asks for 2 MiB, when less than that is ahead of the reader. */
    static const struct {
        const char *name;
        size_t len;
        uint64_t offset;
        unsigned asked;
    } rows[] = {
        {"a small range", 4096, 3 * MIB, 0},
        {"the beginning", PIECE, 0, 1},
        {"go on", PIECE, PIECE, 1},
        {"enough is ahead", PIECE, 2 * PIECE, 0},
        {"a place elsewhere", PIECE, 6 * MIB + MIB / 2, 1},
        {"back to what was left out", PIECE, 4 * MIB + MIB / 4, 1},
        {"back to what is cached", PIECE, 0, 0},
        {"the end", PIECE, SIZE - PIECE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned before = fake_disk_started(c.disk, SL_DISK_PREFETCH);
        read_whole(rows[i].len, rows[i].offset);
        unsigned asked = fake_disk_started(c.disk, SL_DISK_PREFETCH) - before;
        if (asked != rows[i].asked)
            fail_msg("%s: asked %u times, not %u", rows[i].name, asked, rows[i].asked);
    }
    close_reader();
}

static void reads_do_not_wait_for_what_is_asked_for(void **state)
{
    skip_where_nothing_is_cold();
    fake_disk_hold(c.disk, SL_DISK_PREFETCH);
    for (unsigned i = 0; i < 3; i++) {
        struct sl_slab *slab = start_read(PIECE, i * PIECE);
        store_case_count(&c, &c.calls, 1);
        assert_int_equal(c.err, SL_OK);
        expect_bytes(slab, PIECE, i * PIECE);
        assert_int_equal(fake_disk_held(c.disk), 1); /* one at a time */
    }
    fake_disk_release(c.disk);
    store_case_drain(&c);
    close_reader();
}

static void close_waits_for_what_is_asked_for(void **state)
{
    skip_where_nothing_is_cold();
    unsigned closes = fake_disk_started(c.disk, SL_DISK_CLOSE);
    fake_disk_hold(c.disk, SL_DISK_PREFETCH);
    struct sl_slab *slab = start_read(PIECE, 0);
    store_case_count(&c, &c.calls, 1);
    expect_bytes(slab, PIECE, 0);
    store_case_start(&c);
    sl_store_close(&c.reader, store_case_on_reader, &c);
    c.is_inside = false;
    for (unsigned turn = 0; turn < 3; turn++)
        sl_disk_run(c.disk);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_CLOSE), closes);
    assert_int_equal(c.calls, 0);
    fake_disk_release(c.disk);
    expect_done(SL_OK);
    assert_int_equal(fake_disk_started(c.disk, SL_DISK_CLOSE), closes + 1);
}

static void failure_to_read_ahead_is_nobodys(void **state)
{
    skip_where_nothing_is_cold();
    fake_disk_fail(c.disk, SL_DISK_PREFETCH, 1, EIO);
    read_whole(PIECE, 0);
    read_whole(PIECE, PIECE);
    close_reader();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(read_asks_for_what_lies_behind),
        CASE(reads_do_not_wait_for_what_is_asked_for),
        CASE(close_waits_for_what_is_asked_for),
        CASE(failure_to_read_ahead_is_nobodys),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
