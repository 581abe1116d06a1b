/* The parts of the generator that decide what a number means: bytes sent, answers read, quantiles, timers. */
#include "load_body.h"
#include "load_reply.h"
#include "load_request.h"
#include "load_stats.h"
#include "load_wheel.h"

#include "sluice/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the four above */
#include <cmocka.h>

static const struct {
    const char *text;
    enum sl_load_reply_event last;
    int status;
    uint64_t body_bytes;
    bool closes;
} replies[] = {
    {"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", SL_LOAD_REPLY_DONE, 201, 0, false},
    {"HTTP/1.1 200 OK\r\ncontent-length:5\r\nConnection: close\r\n\r\nhello", SL_LOAD_REPLY_DONE, 200, 5, true},
    {"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nb;x=y\r\nhello world\r\n0\r\nA: b\r\n\r\n",
     SL_LOAD_REPLY_DONE, 404, 16, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", SL_LOAD_REPLY_DONE, 204, 0, false},
    {"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.", SL_LOAD_REPLY_DONE, 200, 1,
     false},
    {"HTTP/1.0 200 OK\r\n\r\nuntil close", SL_LOAD_REPLY_MORE, 200, 11, true},
    {"HTTP/1.1 100 Continue\r\n\r\n", SL_LOAD_REPLY_CONTINUE, 0, 0, false},
    {"SSH-2.0-OpenSSH_9.2\r\n", SL_LOAD_REPLY_BAD, 0, 0, false},
    {"HTTP/1.1 2x0 OK\r\n", SL_LOAD_REPLY_BAD, 0, 0, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", SL_LOAD_REPLY_BAD, 200, 0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", SL_LOAD_REPLY_BAD, 200, 0, false},
};

static const struct {
    const char *field, *path;
} locations[] = {
    {"Location: http://127.0.0.1:8080/uploads/abc", "/uploads/abc"},
    {"location:https://[::1]:1/uploads/abc ", "/uploads/abc"},
    {"LOCATION: /uploads/abc", "/uploads/abc"},
    {"Location: http://localhost", ""},
    {"Location: http://", ""},
    {"Location: uploads/abc", ""},
    {"Location: /a b", ""},
    {"Location: ", ""},
    {"Content-Location: /files/x", ""},
    {"Location: /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
     ""},
};

/* Feeds text in two pieces (or, with step 1, in single bytes) and returns the last event. */
static enum sl_load_reply_event feed(struct sl_load_reply *reply, const char *text, size_t first, size_t step)
{
    enum sl_load_reply_event event = SL_LOAD_REPLY_MORE;
    size_t len = strlen(text), at = 0;
    sl_load_reply_reset(reply);
    while (at < len && event == SL_LOAD_REPLY_MORE) {
        size_t piece = at == 0 && first > 0 ? first : step;
        size_t used;
        event = sl_load_reply_feed(reply, text + at, piece < len - at ? piece : len - at, &used);
        at += used;
    }
    assert_int_equal(at, len);
    return event;
}

static void reply_feed_cut_at_every_position_tells_the_same(void **state)
{
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        size_t len = strlen(replies[i].text);
        for (size_t cut = 0; cut <= len; cut++) {
            struct sl_load_reply reply;
            assert_int_equal(feed(&reply, replies[i].text, cut, cut == 0 ? 1 : len), replies[i].last);
            assert_int_equal(reply.status, replies[i].status);
            assert_int_equal(reply.body_bytes, replies[i].body_bytes);
            assert_int_equal(reply.closes, replies[i].closes);
        }
    }
}

static void reply_location_gives_its_path(void **state)
{
    for (size_t i = 0; i < sizeof locations / sizeof locations[0]; i++) {
        char text[256];
        struct sl_load_reply reply;
        snprintf(text, sizeof text, "HTTP/1.1 201 Created\r\n%s\r\nContent-Length: 0\r\n\r\n", locations[i].field);
        assert_int_equal(feed(&reply, text, 0, 1), SL_LOAD_REPLY_DONE);
        assert_string_equal(reply.location, locations[i].path);
    }
}

/* Everything a request puts on the wire when each send takes `step` bytes. Yours to free. */
static char *render(const struct sl_load_shape *shape, uint64_t step, uint64_t limit, size_t *len_out)
{
    static struct sl_load_batch batch;
    struct sl_load_cursor cursor = {.target = "/uploads/abc"};
    char *wire = malloc(4 << 20);
    size_t len = 0;
    assert_non_null(wire);
    while (!sl_load_cursor_is_at_end(cursor, shape)) {
        sl_load_batch_fill(&batch, shape, 7, cursor, limit);
        assert_true(batch.count > 0);
        uint64_t left = step;
        for (unsigned i = 0; i < batch.count && left > 0; i++) {
            size_t take = batch.iov[i].iov_len < left ? batch.iov[i].iov_len : left;
            memcpy(wire + len, batch.iov[i].iov_base, take);
            len += take;
            left -= take;
        }
        sl_load_batch_sent(&batch, &cursor, step - left);
    }
    *len_out = len;
    return wire;
}

static void batch_fill_short_sends_give_the_same_bytes(void **state)
{
    static const enum sl_load_method methods[] = {SL_LOAD_PUT,        SL_LOAD_CHUNKED,    SL_LOAD_MULTIPART,
                                                  SL_LOAD_POST,       SL_LOAD_GET,        SL_LOAD_TUS,
                                                  SL_LOAD_TUS_CREATE, SL_LOAD_TUS_ABANDON};
    static const uint64_t sizes[] = {0, 1, SL_LOAD_CHUNK_BYTES, 2 * SL_LOAD_CHUNK_BYTES + 1};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct sl_load_options options = {
                .method = methods[m], .files = 3, .path = "/files/", .run_id = "x", .host = "h"};
            struct sl_load_body body;
            struct sl_load_shape shape;
            size_t whole_len, dripped_len;
            sl_load_body_init(&body, 1, sizes[i]);
            sl_load_shape_init(&shape, &options, &body);
            char *whole = render(&shape, UINT64_MAX, UINT64_MAX, &whole_len);
            char *dripped = render(&shape, 97, 61, &dripped_len);
            assert_int_equal(whole_len, dripped_len);
            assert_memory_equal(whole, dripped, whole_len);
            const char *body_start = strstr(whole, "\r\n\r\n") + 4;
            if (methods[m] == SL_LOAD_TUS)
                body_start = strstr(body_start, "\r\n\r\n") + 4;
            uint64_t sent = whole_len - (uint64_t)(body_start - whole);
            if (methods[m] == SL_LOAD_CHUNKED)
                assert_memory_equal(whole + whole_len - 5, "0\r\n\r\n", 5);
            else
                assert_int_equal(sent, methods[m] == SL_LOAD_GET ? 0 : shape.content_length);
            free(whole);
            free(dripped);
            sl_load_body_dispose(&body);
        }
}

/* tus: nothing goes behind the first head until its answer has told where; only what is sent there is body. */
static void batch_fill_tus_waits_for_its_target(void **state)
{
    static struct sl_load_batch batch;
    struct sl_load_options options = {.method = SL_LOAD_TUS, .path = "/files/", .run_id = "x", .host = "h"};
    struct sl_load_cursor cursor = {0};
    struct sl_load_body body;
    struct sl_load_shape shape;
    sl_load_body_init(&body, 1, 1000);
    sl_load_shape_init(&shape, &options, &body);
    sl_load_batch_fill(&batch, &shape, 7, cursor, UINT64_MAX);
    assert_int_equal(batch.count, 1);
    static const char first[] = "POST /files/ HTTP/1.1\r\nHost: h\r\nUser-Agent: sl_load\r\nTus-Resumable: 1.0.0\r\n"
                                "Upload-Length: 1000\r\nUpload-Metadata: filename bG9hZC14LTAwMDAwMDAwMDcuYmlu\r\n"
                                "Content-Length: 0\r\n\r\n";
    assert_int_equal(batch.iov[0].iov_len, sizeof first - 1);
    assert_memory_equal(batch.iov[0].iov_base, first, sizeof first - 1);
    assert_int_equal(sl_load_batch_sent(&batch, &cursor, sizeof first - 1), 0);
    assert_true(sl_load_cursor_waits(cursor, &shape));
    sl_load_batch_fill(&batch, &shape, 7, cursor, UINT64_MAX);
    assert_int_equal(batch.count, 0);

    cursor.target = "/uploads/abc";
    assert_false(sl_load_cursor_waits(cursor, &shape));
    sl_load_batch_fill(&batch, &shape, 7, cursor, UINT64_MAX);
    static const char second[] = "PATCH /uploads/abc HTTP/1.1\r\n";
    assert_int_equal(batch.count, 2);
    assert_memory_equal(batch.iov[0].iov_base, second, sizeof second - 1);
    assert_int_equal(sl_load_batch_sent(&batch, &cursor, batch.iov[0].iov_len + 1000), 1000);
    assert_true(sl_load_cursor_is_at_end(cursor, &shape));
    sl_load_body_dispose(&body);
}

static void body_slice_two_slabs_of_a_body_differ(void **state)
{
    struct sl_load_body body;
    sl_load_body_init(&body, 1, 8 << 20);
    const char *first = sl_load_body_slice(&body, 0, 4096).base;
    for (uint64_t slab = 1; slab < 8; slab++)
        assert_memory_not_equal(first, sl_load_body_slice(&body, slab << 20, 4096).base, 4096);
    assert_int_equal(sl_load_body_slice(&body, (8 << 20) - 5, 4096).len, 5);
    sl_load_body_dispose(&body);
}

static void body_sha256_empty_and_known_is_right(void **state)
{
    char empty[SL_LOAD_SHA256_TEXT], one[SL_LOAD_SHA256_TEXT], other_seed[SL_LOAD_SHA256_TEXT];
    struct sl_load_body body;
    sl_load_body_init(&body, 1, 0);
    sl_load_body_sha256(&body, empty);
    assert_string_equal(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sl_load_body_dispose(&body);
    sl_load_body_init(&body, 1, 300001);
    sl_load_body_sha256(&body, one);
    sl_load_body_dispose(&body);
    sl_load_body_init(&body, 2, 300001);
    sl_load_body_sha256(&body, other_seed);
    sl_load_body_dispose(&body);
    assert_string_equal(one, "986ed515427e740abe01d48ee7e7c29dfab9f6a83dae080f9e5ef6cab28b9bc5");
    assert_string_not_equal(one, other_seed);
}

static void histogram_at_quantiles_are_within_a_bucket(void **state)
{
    static struct sl_load_histogram histogram;
    assert_int_equal(sl_load_histogram_at(&histogram, 0.99), 0);
    for (uint64_t us = 1; us <= 1000; us++)
        sl_load_histogram_add(&histogram, us * 1000);
    static const struct {
        double share;
        uint64_t ns;
    } cases[] = {{0.001, 1000}, {0.5, 500000}, {0.99, 990000}, {1, 1000000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_in_range(sl_load_histogram_at(&histogram, cases[i].share), cases[i].ns,
                        cases[i].ns + cases[i].ns / 32);
    sl_load_histogram_add(&histogram, UINT64_MAX / 2);
    assert_int_equal(sl_load_histogram_at(&histogram, 1), UINT64_MAX / 2);
}

static void wheel_turn_fires_each_timer_when_due(void **state)
{
    static struct sl_load_wheel wheel;
    static const uint64_t due_ms[] = {1, 5, 7, 100, 5119, 5120, 12345};
    enum { COUNT = sizeof due_ms / sizeof due_ms[0] };
    struct sl_load_timer timers[COUNT] = {0}, removed = {0};
    sl_load_wheel_init(&wheel, 0);
    for (size_t i = 0; i < COUNT; i++)
        sl_load_wheel_add(&wheel, &timers[i], due_ms[i] * SL_MS);
    sl_load_wheel_add(&wheel, &removed, 50 * SL_MS);
    sl_load_wheel_remove(&wheel, &removed);
    sl_load_wheel_remove(&wheel, &removed);
    uint64_t fired_ms[COUNT] = {0};
    for (uint64_t now_ms = 0; now_ms < 13000; now_ms++) {
        struct sl_link due;
        sl_list_init(&due);
        sl_load_wheel_turn(&wheel, now_ms * SL_MS, &due);
        for (struct sl_link *link; (link = sl_list_shift(&due)) != NULL;)
            fired_ms[SL_CONTAINER_OF(link, struct sl_load_timer, link) - timers] = now_ms;
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_in_range(fired_ms[i], due_ms[i], due_ms[i] + 5);
    assert_int_equal(sl_load_wheel_next_ns(&wheel), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_feed_cut_at_every_position_tells_the_same),
        cmocka_unit_test(reply_location_gives_its_path),
        cmocka_unit_test(batch_fill_short_sends_give_the_same_bytes),
        cmocka_unit_test(batch_fill_tus_waits_for_its_target),
        cmocka_unit_test(body_slice_two_slabs_of_a_body_differ),
        cmocka_unit_test(body_sha256_empty_and_known_is_right),
        cmocka_unit_test(histogram_at_quantiles_are_within_a_bucket),
        cmocka_unit_test(wheel_turn_fires_each_timer_when_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
