#include "http/handler/handler.h"
#include "http_case.h"

#include <errno.h>
#include <unistd.h>

#define PIECE ((size_t)128 << 10)
#define SIZE  (3 * PIECE + 4321)

static struct http_case h;
static struct exchange x;
static char *bytes;

static void write_file(const char *name, size_t len)
{
    FILE *file = fopen(scratch_path(&h.u.scratch, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static int setup_engine(enum test_engine engine)
{
    http_case_open(&h, engine);
    bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)((i * 7) ^ (i >> 9));
    write_file("files/f", SIZE);
    write_file("files/small.txt", 5);
    write_file("files/empty", 0);
    x = (struct exchange){0};
    return 0;
}

static int setup(void **state)
{
    return setup_engine(TEST_FAKE);
}

static int setup_uring(void **state)
{
    return setup_engine(TEST_IO_URING);
}

static int setup_threads(void **state)
{
    return setup_engine(TEST_THREADS);
}

static int teardown(void **state)
{
    exchange_end(&x);
    http_case_close(&h);
    free(bytes);
    return 0;
}

static void begin(const char *method, const char *name, const char *const *headers)
{
    struct sl_path path = {.len = strlen(name)};
    memcpy(path.text, name, path.len);
    x = (struct exchange){0};
    exchange_begin(&x, &h, method, headers);
    sl_handle_get(&x.request, &path);
}

static bool step(void)
{
    return exchange_step(&x, &h);
}

static void finish(void)
{
    exchange_finish(&x, &h);
}

static void get(const char *method, const char *name, const char *const *headers)
{
    exchange_end(&x);
    begin(method, name, headers);
    finish();
}

static void expect_status(int status)
{
    assert_int_equal(x.request.h2o.res.status, status);
    assert_false(x.is_cut);
}

static void expect_body(size_t from, size_t len)
{
    assert_int_equal(x.length, len);
    assert_int_equal(x.len, len);
    assert_memory_equal(x.body, bytes + from, len);
}

/* ---- what is sent ---- */

static void get_of_a_file_of_several_pieces_is_its_bytes(void **state)
{
    get("GET", "f", NULL);
    expect_status(200);
    expect_body(0, SIZE);
}

static void get_of_a_small_file_is_its_bytes(void **state)
{
    get("GET", "small.txt", NULL);
    expect_status(200);
    expect_body(0, 5);
    exchange_expect_header(&x, "content-type", "text/plain");
}

static void get_of_an_empty_file_is_200_without_bytes(void **state)
{
    get("GET", "empty", NULL);
    expect_status(200);
    assert_int_equal(x.length, 0);
    assert_int_equal(x.len, 0);
    static const char *const range[] = {"range", "bytes=0-", NULL};
    get("GET", "empty", range);
    expect_status(416);
    exchange_expect_header(&x, "content-range", "bytes */0");
}

static void get_of_what_is_not_there_is_404(void **state)
{
    static const char *const conditions[] = {"if-match", "\"x\"", NULL};
    get("GET", "nothing", NULL);
    expect_status(404);
    get("GET", "nothing", conditions);
    expect_status(404);
}

static void head_has_the_headers_of_get_and_no_range(void **state)
{
    static const char *const range[] = {"range", "bytes=0-1", NULL};
    static const char *const behind[] = {"range", "bytes=999999999-", NULL};
    get("HEAD", "f", behind);
    expect_status(200);
    get("HEAD", "f", range);
    expect_status(200);
    assert_int_equal(x.length, SIZE);
    assert_int_equal(x.len, 0);
    assert_null(exchange_header(&x, "content-range"));
    assert_non_null(exchange_header(&x, "etag"));
    exchange_expect_header(&x, "accept-ranges", "bytes");
}

static void get_of_a_range_is_206_with_these_bytes(void **state)
{
    static const struct {
        const char *range;
        size_t first, len;
    } rows[] = {
        {"bytes=0-0", 0, 1},        {"bytes=5-9", 5, 5},
        {"bytes=-7", SIZE - 7, 7},  {"bytes=131071-131072", PIECE - 1, 2},
        {"bytes=1-", 1, SIZE - 1},  {"bytes=0-99999999", 0, SIZE},
        {"bytes=0-9,10-19", 0, 20}, /* one, after all */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *headers[] = {"range", rows[i].range, NULL};
        char expected[80];
        get("GET", "f", headers);
        expect_status(206);
        expect_body(rows[i].first, rows[i].len);
        snprintf(expected, sizeof expected, "bytes %zu-%zu/%zu", rows[i].first, rows[i].first + rows[i].len - 1,
                 SIZE);
        exchange_expect_header(&x, "content-range", expected);
    }
}

static void get_of_a_range_that_does_not_count_is_200(void **state)
{
    static const char *const rows[][5] = {
        {"range", "lines=1-2"},
        {"range", "bytes=2-1"},
        {"range", "bytes=0-1", "if-range", "\"another\""},
        {"range", "bytes=0-1", "if-range", "Sun, 06 Nov 1994 08:49:37 GMT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        get("GET", "f", rows[i]);
        expect_status(200);
        expect_body(0, SIZE);
    }
}

static void get_of_no_byte_of_the_file_is_416_with_its_size(void **state)
{
    static const char *const behind[] = {"range", "bytes=999999999-", NULL};
    static const char *const bomb[] = {"range", "bytes=0-,0-,0-,0-", NULL};
    char expected[80];
    snprintf(expected, sizeof expected, "bytes */%zu", SIZE);
    get("GET", "f", behind);
    expect_status(416);
    exchange_expect_header(&x, "content-range", expected);
    assert_int_equal(x.request.err, SL_RANGE);
    get("GET", "f", bomb);
    expect_status(416);
    exchange_expect_header(&x, "content-range", expected);
    assert_int_equal(x.request.err, SL_RANGE_LIMIT);
}

/* Walks the answer part by part. */
static void get_of_several_ranges_is_multipart_and_as_long_as_announced(void **state)
{
    static const char *const headers[] = {"range", "bytes=200000-350000,0-0,-10", NULL};
    static const size_t parts[][2] = {{200000, 150001}, {0, 1}, {SIZE - 10, 10}};
    char text[300];
    get("GET", "f", headers);
    expect_status(206);
    assert_null(exchange_header(&x, "content-range"));
    const char *type = exchange_header(&x, "content-type");
    assert_int_equal(strncmp(type, "multipart/byteranges; boundary=", 31), 0);
    assert_int_equal(strlen(type), 31 + 26);
    assert_int_equal(x.length, x.len);
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        int n =
            snprintf(text, sizeof text,
                     "%s--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %zu-%zu/%zu\r\n\r\n",
                     i > 0 ? "\r\n" : "", type + 31, parts[i][0], parts[i][0] + parts[i][1] - 1, SIZE);
        assert_memory_equal(x.body + at, text, n);
        at += (size_t)n;
        assert_memory_equal(x.body + at, bytes + parts[i][0], parts[i][1]);
        at += parts[i][1];
    }
    int n = snprintf(text, sizeof text, "\r\n--%s--\r\n", type + 31);
    assert_memory_equal(x.body + at, text, n);
    assert_int_equal(at + (size_t)n, x.len);
}

static void get_with_conditions_is_decided_by_etag_and_date(void **state)
{
    char etag[SL_ETAG_BYTES], date[64];
    get("HEAD", "f", NULL);
    snprintf(etag, sizeof etag, "%s", exchange_header(&x, "etag"));
    snprintf(date, sizeof date, "%s", exchange_header(&x, "last-modified"));
    const struct {
        const char *headers[7];
        int status;
    } rows[] = {
        {{"if-none-match", etag}, 304},
        {{"if-none-match", "*"}, 304},
        {{"if-none-match", "\"x\""}, 200},
        {{"if-modified-since", date}, 304},
        {{"if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"}, 200},
        {{"if-match", etag}, 200},
        {{"if-match", "\"x\""}, 412},
        {{"if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"}, 412},
        {{"range", "bytes=0-1", "if-range", etag}, 206},
        {{"range", "bytes=0-1", "if-none-match", etag}, 304},
        {{"range", "bytes=999999999-", "if-match", "\"x\""}, 412},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned head = 0; head < 2; head++) {
            get(head ? "HEAD" : "GET", "f", rows[i].headers);
            expect_status(head && rows[i].status == 206 ? 200 : rows[i].status);
            exchange_expect_header(&x, "etag", etag);
            if (rows[i].status == 304) {
                assert_true(x.length == SIZE_MAX);
                assert_int_equal(x.len, 0);
                assert_null(exchange_header(&x, "content-type"));
            }
        }
    }
}

/* ---- reading ahead ---- */

static void get_reads_one_piece_ahead_and_no_more(void **state)
{
    begin("GET", "f", NULL);
    while (!x.is_sending)
        assert_true(step());
    upload_settle(&h.u);
    assert_int_equal(fake_disk_started(h.u.disk, SL_DISK_READ), 2);
    assert_int_equal(h.http->download_slabs, 2);
    exchange_take(&x);
    assert_true(x.is_sending); /* it lay ready */
    finish();
    expect_body(0, SIZE);
}

static void get_taken_before_the_next_piece_is_read_goes_on_when_it_is(void **state)
{
    begin("GET", "f", NULL);
    while (!x.is_sending)
        assert_true(step());
    fake_disk_hold(h.u.disk, SL_DISK_READ);
    while (fake_disk_held(h.u.disk) == 0) {
        if (x.is_sending)
            exchange_take(&x);
        upload_turn(&h.u, 50);
    }
    exchange_take(&x);
    upload_settle(&h.u);
    assert_false(x.is_sending);
    fake_disk_release(h.u.disk);
    finish();
    expect_body(0, SIZE);
}

static void get_of_the_last_piece_closes_the_file_before_it_is_taken(void **state)
{
    unsigned fds = scratch_count_fds();
    get("GET", "f", NULL);
    upload_settle(&h.u);
    assert_int_equal(scratch_count_fds(), fds);
    assert_int_equal(h.http->download_slabs, 1); /* it is being written for all we know */
}

/* ---- what goes wrong ---- */

static void get_with_a_first_read_that_fails_is_a_problem(void **state)
{
    fake_disk_fail(h.u.disk, SL_DISK_READ, 1, EIO);
    get("GET", "f", NULL);
    expect_status(500);
    assert_int_equal(x.request.err, SL_IO);
    assert_non_null(strstr(exchange_header(&x, "content-type"), "problem"));
    assert_null(exchange_header(&x, "etag"));
}

static void get_with_a_later_read_that_fails_is_cut(void **state)
{
    for (unsigned nth = 2; nth <= 4; nth++) {
        exchange_end(&x);
        fake_disk_fail(h.u.disk, SL_DISK_READ, nth, EIO);
        begin("GET", "f", NULL);
        finish();
        assert_int_equal(x.request.h2o.res.status, 200);
        assert_true(x.is_cut);
        assert_int_equal(h.http->download_slabs, 0); /* though the request is still there */
        assert_int_equal(x.len, (nth - 1) * PIECE);
        assert_memory_equal(x.body, bytes, x.len);
    }
}

static void get_of_a_file_that_is_cut_short_meanwhile_is_cut(void **state)
{
    static const size_t lengths[] = {0, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        exchange_end(&x);
        write_file("files/f", SIZE);
        begin("GET", "f", NULL);
        while (!x.is_sending)
            assert_true(step());
        assert_int_equal(truncate(scratch_path(&h.u.scratch, "files/f"), (off_t)lengths[i]), 0);
        finish();
        assert_true(x.is_cut);
        assert_true(x.len < SIZE);
    }
}

/* ---- the end in any state ---- */

/* Ends the request after each number of steps, with and without a read that is still under way. */
static void end_at_every_step(const char *name, const char *const *headers, bool is_hasty)
{
    for (unsigned steps = 0, is_last = false; !is_last; steps++) {
        assert_true(steps < EXCHANGE_STEPS_MAX);
        begin("GET", name, headers);
        for (unsigned i = 0; i < steps && !is_last; i++) {
            is_last = !step();
            if (!is_hasty)
                upload_turn(&h.u, 1);
        }
        exchange_end(&x);
        while (sl_disk_inflight(h.u.disk) > 0)
            assert_true(upload_turn(&h.u, UPLOAD_PATIENCE_MS));
        assert_int_equal(h.http->download_slabs, 0);
        assert_int_equal(sl_slab_pool_stats(h.u.pool).slabs_in_use, 0);
    }
}

static void end_of_the_request_at_every_step_gives_all_back(void **state)
{
    static const char *const ranges[] = {"range", "bytes=0-200000,300000-300009", NULL};
    static const char *const behind[] = {"range", "bytes=999999999-", NULL};
    unsigned fds = scratch_count_fds();
    for (unsigned is_hasty = 0; is_hasty < 2; is_hasty++) {
        end_at_every_step("f", NULL, is_hasty);
        end_at_every_step("small.txt", NULL, is_hasty);
        end_at_every_step("empty", NULL, is_hasty);
        end_at_every_step("nothing", NULL, is_hasty);
        end_at_every_step("f", ranges, is_hasty);
        end_at_every_step("f", behind, is_hasty);
        assert_int_equal(scratch_count_fds(), fds);
    }
}

/* The same while an operation of each kind is held up. */
static void end_of_the_request_while_the_disk_works_gives_all_back_later(void **state)
{
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_GETXATTR, SL_DISK_READ,
                                              SL_DISK_CLOSE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        unsigned fds = scratch_count_fds();
        fake_disk_hold(h.u.disk, kinds[i]);
        begin("GET", "small.txt", NULL);
        while (fake_disk_held(h.u.disk) == 0)
            assert_true(upload_turn(&h.u, UPLOAD_PATIENCE_MS));
        exchange_end(&x);
        upload_settle(&h.u);
        fake_disk_release(h.u.disk);
        upload_settle(&h.u);
        assert_int_equal(h.http->download_slabs, 0);
        assert_int_equal(scratch_count_fds(), fds);
    }
}

static void end_of_the_request_while_a_piece_is_read_ahead_waits_for_it(void **state)
{
    begin("GET", "f", NULL);
    fake_disk_hold(h.u.disk, SL_DISK_READ);
    while (fake_disk_held(h.u.disk) == 0)
        assert_true(upload_turn(&h.u, UPLOAD_PATIENCE_MS));
    fake_disk_release_one(h.u.disk);
    while (!x.is_sending)
        assert_true(upload_turn(&h.u, UPLOAD_PATIENCE_MS));
    assert_int_equal(fake_disk_held(h.u.disk), 1);
    exchange_end(&x);
    upload_settle(&h.u);
    assert_int_equal(h.http->download_slabs, 1);     /* the disk still writes there */
    assert_true(sl_list_is_empty(&h.http->senders)); /* or one who waits for the buffer that was sent cuts a ghost */
    fake_disk_release(h.u.disk);
    upload_settle(&h.u);
    assert_int_equal(h.http->download_slabs, 0);
}

/* ---- many ---- */

#define CROWD 30 /* there are 8 places with large buffers and 16 with small ones */

static void get_by_many_is_served_in_turn_and_leaves_the_rest_of_the_pool(void **state)
{
    static struct exchange crowd[CROWD];
    struct sl_path path = {.len = 1, .text = "f"};
    memset(crowd, 0, sizeof crowd);
    for (unsigned i = 0; i < CROWD; i++) {
        exchange_begin(&crowd[i], &h, "GET", NULL);
        sl_handle_get(&crowd[i].request, &path);
    }
    upload_settle(&h.u);
    assert_int_equal(h.http->download_slabs, 8);
    assert_int_equal(h.http->download_smalls, 16);
    struct sl_slab *mine = sl_slab_try(h.u.pool, SL_SLAB_SMALL); /* as an upload would */
    assert_non_null(mine);
    exchange_end(&crowd[CROWD - 1]); /* in line */
    exchange_end(&crowd[0]);         /* with a buffer */
    bool has_moved = true;           /* who takes nothing waits for the disk, which then has something to say */
    for (unsigned over = 0; over < CROWD - 2;) {
        bool has_event = upload_turn(&h.u, has_moved ? 0 : UPLOAD_PATIENCE_MS);
        assert_true(has_event || has_moved);
        assert_true(h.http->download_slabs <= 8);
        has_moved = false;
        over = 0;
        for (unsigned i = 1; i < CROWD - 1; i++) {
            if (crowd[i].is_sending) {
                exchange_take(&crowd[i]);
                has_moved = true;
            }
            if (crowd[i].is_over && crowd[i].is_there) {
                assert_int_equal(crowd[i].len, SIZE);
                assert_memory_equal(crowd[i].body, bytes, SIZE);
                exchange_end(&crowd[i]);
                has_moved = true;
            }
            over += !crowd[i].is_there;
        }
    }
    sl_slab_release(mine);
}

/* A quarter of the places for large buffers is taken, by readers that do not read: who comes gets small pieces until it
 * has taken more than the kernel would by itself. */
static void get_beside_many_gets_large_pieces_when_it_has_shown_that_it_reads(void **state)
{
    static struct exchange idle[2];
    struct sl_path path = {.len = 1, .text = "f"};
    size_t small = sl_slab_class_bytes(SL_SLAB_SMALL), proof = (size_t)128 << 10;
    memset(idle, 0, sizeof idle);
    for (unsigned i = 0; i < 2; i++) {
        exchange_begin(&idle[i], &h, "GET", NULL);
        sl_handle_get(&idle[i].request, &path);
    }
    upload_settle(&h.u);
    begin("GET", "f", NULL);
    for (size_t before = 0; !x.is_over; before = x.len) {
        size_t left = SIZE - before, piece = before < proof ? small : PIECE;
        while (x.len == before)
            assert_true(step());
        assert_int_equal(x.len - before, left < piece ? left : piece);
    }
    assert_memory_equal(x.body, bytes, SIZE);
    exchange_end(&idle[0]);
    exchange_end(&idle[1]);
}

#define CASE(test, before) cmocka_unit_test_setup_teardown(test, before, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(get_of_a_file_of_several_pieces_is_its_bytes, setup),
        CASE(get_of_a_file_of_several_pieces_is_its_bytes, setup_uring),
        CASE(get_of_a_file_of_several_pieces_is_its_bytes, setup_threads),
        CASE(get_of_a_small_file_is_its_bytes, setup),
        CASE(get_of_an_empty_file_is_200_without_bytes, setup),
        CASE(get_of_what_is_not_there_is_404, setup),
        CASE(head_has_the_headers_of_get_and_no_range, setup),
        CASE(get_of_a_range_is_206_with_these_bytes, setup),
        CASE(get_of_a_range_that_does_not_count_is_200, setup),
        CASE(get_of_no_byte_of_the_file_is_416_with_its_size, setup),
        CASE(get_of_several_ranges_is_multipart_and_as_long_as_announced, setup),
        CASE(get_with_conditions_is_decided_by_etag_and_date, setup),
        CASE(get_reads_one_piece_ahead_and_no_more, setup),
        CASE(get_beside_many_gets_large_pieces_when_it_has_shown_that_it_reads, setup),
        CASE(get_taken_before_the_next_piece_is_read_goes_on_when_it_is, setup),
        CASE(get_of_the_last_piece_closes_the_file_before_it_is_taken, setup),
        CASE(get_with_a_first_read_that_fails_is_a_problem, setup),
        CASE(get_with_a_later_read_that_fails_is_cut, setup),
        CASE(get_of_a_file_that_is_cut_short_meanwhile_is_cut, setup),
        CASE(end_of_the_request_at_every_step_gives_all_back, setup),
        CASE(end_of_the_request_at_every_step_gives_all_back, setup_uring),
        CASE(end_of_the_request_while_the_disk_works_gives_all_back_later, setup),
        CASE(end_of_the_request_while_a_piece_is_read_ahead_waits_for_it, setup),
        CASE(get_by_many_is_served_in_turn_and_leaves_the_rest_of_the_pool, setup),
        CASE(get_by_many_is_served_in_turn_and_leaves_the_rest_of_the_pool, setup_uring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
