/* Bodies over HTTP/2: windows, what is held back, budgets, answers that come early, and a stream's end in each state.
 * A sink of the test's own takes as much as it is told to; timers are over when the test says so. */
#include "h2_client.h"
#include "http/h2/h2.h"
#include "sluice/base/log.h"

#include <fcntl.h>
#include <signal.h>

#define MIB ((uint64_t)1 << 20)

#define PADDED_FRAMES 1500 /* more than a window */

static struct h2_case c;
static struct h2_client client;
static struct h2_stream stream;

/* What the handler does with the request. */
enum way { LATER, NOW, EARLY, HELD_ANSWER, PARKED };

static struct {
    struct sl_sink sink;
    struct sl_request *request; /* NULL: gone, or answered */
    enum way way;
    bool keeps;
    uint64_t allowed, taken; /* bytes of the body */
    unsigned requests, parked, finishes, aborts;
    sl_err why;
    char room[16384];
    h2o_generator_t generator;
    unsigned stops, proceeds;
} taker;

/* ---- the handler ---- */

static struct sl_room take_room(struct sl_sink *sink)
{
    uint64_t left = taker.allowed - taker.taken;
    return (struct sl_room){taker.room, left < sizeof taker.room ? (size_t)left : sizeof taker.room};
}

static void take_bytes(struct sl_sink *sink, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(taker.room[i], upload_byte(taker.taken + i));
    taker.taken += n;
}

static void take_end(struct sl_sink *sink)
{
    taker.finishes++;
}

static void take_abort(struct sl_sink *sink, sl_err why)
{
    taker.aborts++;
    taker.why = why;
    taker.request = NULL;
}

static void answer(void)
{
    struct sl_request *request = taker.request;
    taker.request = NULL;
    sl_reply_text(request, 200, "text/plain", SL_BYTES("done"));
}

static void on_proceed(h2o_generator_t *self, h2o_req_t *h2o)
{
    taker.proceeds++;
}

static void on_stop(h2o_generator_t *self, h2o_req_t *h2o)
{
    taker.stops++;
    taker.request = NULL;
}

/* An answer of which the first piece is there, and no more. */
static void begin_answer(void)
{
    static char piece[1000];
    h2o_iovec_t bytes = {piece, sizeof piece};
    taker.generator = (h2o_generator_t){on_proceed, on_stop};
    sl_reply_begin(taker.request, 200, SIZE_MAX, &taker.generator);
    h2o_send(&taker.request->h2o, &bytes, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static int on_request(h2o_handler_t *self, h2o_req_t *h2o)
{
    static const struct sl_sink_ops ops = {
        .reserve = take_room, .commit = take_bytes, .finish = take_end, .abort = take_abort};
    static const struct sl_sink_ops keeping_ops = {
        .reserve = take_room, .commit = take_bytes, .finish = take_end, .abort = take_abort, .keeps = true};
    if (taker.way == PARKED) {
        taker.parked++;
        return 0;
    }
    taker.request = sl_request_of(h2o);
    taker.sink.ops = taker.keeps ? &keeping_ops : &ops;
    taker.requests++;
    switch (taker.way) {
    case NOW:
        sl_body_attach(taker.request, &taker.sink);
        sl_body_start(taker.request);
        break;
    case LATER: sl_body_attach(taker.request, &taker.sink); break;
    case EARLY: answer(); break;
    case HELD_ANSWER: begin_answer(); break;
    case PARKED: break;
    }
    return 0;
}

/* ---- setup ---- */

static int setup(void **state)
{
    c = (struct h2_case){0};
    h2_case_open(&c, TEST_FAKE);
    h2_case_route(&c, on_request);
    memset(&taker, 0, sizeof taker);
    taker.way = NOW;
    taker.allowed = UINT64_MAX;
    h2_client_open(&client, &c, NULL, 0);
    stream = (struct h2_stream){0};
    return 0;
}

static int teardown(void **state)
{
    h2_client_close(&client);
    h2_case_close(&c);
    return 0;
}

static void put(uint64_t bytes, bool is_open_ended)
{
    stream.to_send = bytes;
    stream.is_open_ended = is_open_ended;
    h2_client_ask(&client, &stream, "PUT", "/f", NULL, NULL);
    H2_UNTIL(&client, taker.requests == 1);
}

/* Another request beside, which nobody answers: with it there is somebody who may want what lies behind a body. */
static void park(void)
{
    static struct h2_stream other;
    other = (struct h2_stream){0};
    taker.way = PARKED;
    h2_client_ask(&client, &other, "GET", "/other", NULL, NULL);
    H2_UNTIL(&client, taker.parked == 1);
    taker.way = NOW;
}

static void allow(uint64_t bytes)
{
    taker.allowed += bytes;
    sl_body_resume(taker.request);
}

/* ---- windows ---- */

/* What lies behind is wanted by nobody: it stays in the sockets. */
static void sink_that_takes_nothing_alone_makes_us_hold_one_read(void **state)
{
    taker.allowed = 0;
    put(SL_H2_WINDOW_BYTES, false);
    h2_client_settle(&client);
    uint64_t held = c.h.http->h2_held_bytes;
    assert_in_range(held, 1, 128 << 10);
    for (unsigned i = 0; i < 3; i++) {
        h2_client_settle(&client);
        assert_int_equal(c.h.http->h2_held_bytes, held);
    }
    allow(held + 10);
    H2_UNTIL(&client, taker.taken == held + 10);
    allow(UINT64_MAX - taker.allowed);
    H2_UNTIL(&client, taker.finishes == 1);
    assert_int_equal(taker.taken, SL_H2_WINDOW_BYTES);
    answer();
    H2_UNTIL(&client, stream.is_closed);
}

static void say_raw(const char *bytes, size_t len)
{
    size_t done = 0;
    H2_UNTIL_STEP(
        &c,
        {
            ssize_t n = send(client.fd, bytes + done, len - done, MSG_NOSIGNAL);
            done += n > 0 ? (size_t)n : 0;
        },
        done == len);
}

/* The body is received where it belongs, up to the last byte there is room for: nothing is held, nothing is read, and
 * the time is not the client's. */
static void sink_that_is_full_at_the_end_of_a_frame_is_waited_for(void **state)
{
    enum { FRAME = 16384, HEAD = 9, EARLY_BYTES = 100 };
    static const char head[HEAD] = {0, 0x40, 0, 0, 0, 0, 0, 0, 1};
    static char text[HEAD + FRAME + HEAD];
    memcpy(text, head, HEAD);
    memcpy(text + HEAD + FRAME, head, HEAD);
    for (unsigned i = 0; i < FRAME; i++)
        text[HEAD + i] = (char)upload_byte(i);
    taker.allowed = FRAME;
    put(0, true);
    say_raw(text, HEAD + EARLY_BYTES);
    H2_UNTIL(&client, taker.taken == EARLY_BYTES);
    say_raw(text + HEAD + EARLY_BYTES, sizeof text - HEAD - EARLY_BYTES);
    H2_UNTIL(&client, taker.taken == FRAME);
    h2_client_settle(&client);
    assert_int_equal(c.h.http->h2_held_bytes, 0);
    h2_case_expire(&c, &c.h.http->body_timeout);
    h2_client_settle(&client);
    assert_int_equal(taker.aborts, 0);
    for (unsigned i = 0; i < FRAME; i++)
        text[i] = (char)upload_byte(FRAME + i);
    allow(FRAME);
    say_raw(text, FRAME);
    H2_UNTIL(&client, taker.taken == 2 * FRAME);
    h2_case_expire(&c, &c.h.http->body_timeout); /* now it is */
    H2_UNTIL(&client, taker.aborts == 1);
    assert_int_equal(taker.why, SL_BODY_TIMEOUT);
}

static void sink_that_takes_nothing_gets_no_more_than_a_window(void **state)
{
    park();
    taker.allowed = 0;
    put(MIB, false);
    H2_UNTIL(&client, stream.sent == SL_H2_WINDOW_BYTES);
    h2_client_settle(&client);
    assert_int_equal(stream.sent, SL_H2_WINDOW_BYTES);
    assert_int_equal(stream.given, 0);
    assert_int_equal(c.h.http->h2_held_bytes, SL_H2_WINDOW_BYTES);
    allow(UINT64_MAX);
    H2_UNTIL(&client, taker.finishes == 1);
    assert_int_equal(taker.taken, MIB);
    assert_int_equal(c.h.http->h2_held_bytes, 0);
    answer();
    H2_UNTIL(&client, stream.is_closed);
    assert_int_equal(stream.status, 200);
}

static void body_before_it_is_started_is_held(void **state)
{
    taker.way = LATER;
    put(1000, false);
    H2_UNTIL(&client, c.h.http->h2_held_bytes == 1000);
    h2_client_settle(&client);
    assert_int_equal(taker.taken + taker.finishes, 0);
    sl_body_start(taker.request);
    assert_int_equal(taker.taken, 1000);
    assert_int_equal(taker.finishes, 1);
    answer();
    H2_UNTIL(&client, stream.is_closed);
}

static void sink_that_takes_a_part_is_given_the_rest_in_order(void **state)
{
    taker.allowed = 1;
    put(5000, false);
    H2_UNTIL(&client, c.h.http->h2_held_bytes == 4999);
    for (uint64_t left = 4999; left > 0; left -= left < 700 ? left : 700) {
        uint64_t before = taker.taken;
        allow(700);
        sl_body_resume(taker.request);         /* twice is once */
        assert_int_equal(taker.taken, before); /* never at once */
        H2_UNTIL(&client, taker.taken > before);
    }
    assert_int_equal(taker.finishes, 1);
    answer();
    H2_UNTIL(&client, stream.is_closed);
}

static int32_t window_of_stream(void)
{
    return nghttp2_session_get_stream_remote_window_size(client.session, stream.id);
}

static void window_grows_with_what_is_taken(void **state)
{
    put(20 * MIB, true);
    H2_UNTIL(&client, taker.taken == 20 * MIB);
    h2_client_settle(&client);
    assert_int_equal(c.h.http->h2_growth_bytes, SL_H2_WINDOW_BYTES_MAX - SL_H2_WINDOW_BYTES);
    assert_in_range(window_of_stream(), SL_H2_WINDOW_BYTES_MAX / 2, SL_H2_WINDOW_BYTES_MAX);
    h2_client_reset(&client, &stream);
    H2_UNTIL(&client, taker.aborts == 1);
    assert_int_equal(c.h.http->h2_growth_bytes, 0); /* given back with the stream */
}

static void window_of_a_loop_that_has_grown_enough_grows_no_more(void **state)
{
    c.h.http->h2_growth_bytes = SL_H2_GROWTH_BYTES_MAX;
    put(8 * MIB, true);
    H2_UNTIL(&client, taker.taken == 8 * MIB);
    h2_client_settle(&client);
    assert_int_equal(c.h.http->h2_growth_bytes, SL_H2_GROWTH_BYTES_MAX);
    assert_in_range(window_of_stream(), 1, SL_H2_WINDOW_BYTES);
    c.h.http->h2_growth_bytes = 0;
}

static void held_bytes_beyond_the_loop_s_are_refused(void **state)
{
    taker.allowed = 0;
    c.h.http->h2_held_bytes = SL_H2_HELD_BYTES_MAX - 100;
    stream.to_send = 101;
    stream.is_open_ended = true;
    h2_client_ask(&client, &stream, "PUT", "/f", NULL, NULL);
    H2_UNTIL(&client, stream.is_ended);
    assert_int_equal(stream.status, sl_err_row(SL_BUSY)->status);
    assert_int_equal(taker.aborts, 1);
    assert_int_equal(taker.why, SL_BUSY);
    assert_int_equal(c.h.http->h2_held_bytes, SL_H2_HELD_BYTES_MAX - 100);
    c.h.http->h2_held_bytes = 0;
}

/* Frames of one body byte and much padding: the padding counts for the windows, and comes back (RFC 9113, 6.9.1). */
static void padding_is_given_back(void **state)
{
    static const uint8_t head[] = {0, 1, 0, 0, 8, 0, 0, 0, 1, 254};
    uint8_t frame[sizeof head + 255] = {0};
    memcpy(frame, head, sizeof head);
    put(0, true);
    h2_client_settle(&client);
    for (unsigned i = 0; i < PADDED_FRAMES; i++) {
        H2_UNTIL(&client, (i + 1) * 256 <= SL_H2_WINDOW_BYTES + stream.given);
        frame[sizeof head] = (uint8_t)upload_byte(i);
        size_t done = 0;
        H2_UNTIL_STEP(
            &c,
            {
                ssize_t n = send(client.fd, frame + done, sizeof frame - done, MSG_NOSIGNAL);
                done += n > 0 ? (size_t)n : 0;
            },
            done == sizeof frame);
    }
    H2_UNTIL(&client, taker.taken == PADDED_FRAMES);
    h2_client_settle(&client);
    assert_false(client.is_going);
    assert_true(stream.given >= PADDED_FRAMES * 256 - SL_H2_WINDOW_BYTES);
}

/* ---- answers that come early ---- */

static void early_answer_drops_what_still_comes(void **state)
{
    taker.way = EARLY;
    put(3 * MIB, false);
    H2_UNTIL(&client, stream.is_closed);
    assert_int_equal(stream.status, 200);
    assert_int_equal(stream.body_len, 4);
    assert_int_equal(stream.sent, 3 * MIB); /* its windows were given back all the while */
    assert_false(stream.is_reset);
}

static void early_answer_to_a_sender_that_stalls_ends_with_a_reset(void **state)
{
    taker.way = EARLY;
    put(1000, true);
    H2_UNTIL(&client, stream.is_ended);
    h2_client_settle(&client);
    assert_false(stream.is_reset);
    h2_case_expire(&c, &c.h.http->linger_timeout);
    H2_UNTIL(&client, stream.is_closed);
    assert_true(stream.is_reset);
    assert_int_equal(stream.code, NGHTTP2_NO_ERROR);
    assert_int_equal(stream.status, 200);
}

static void answer_while_bytes_are_held_gives_them_back(void **state)
{
    park();
    taker.allowed = 0;
    put(100000, true);
    H2_UNTIL(&client, c.h.http->h2_held_bytes == 100000);
    answer();
    H2_UNTIL(&client, stream.is_ended);
    assert_int_equal(c.h.http->h2_held_bytes, 0);
    h2_client_say(&client, &stream, MIB, true);
    H2_UNTIL(&client, stream.is_closed);
    assert_int_equal(stream.sent, 100000 + MIB);
}

/* ---- timers ---- */

static void body_that_stalls_is_answered_and_ended(void **state)
{
    put(10, true);
    H2_UNTIL(&client, taker.taken == 10);
    h2_case_expire(&c, &c.h.http->body_timeout);
    H2_UNTIL(&client, stream.is_ended);
    assert_int_equal(stream.status, 408);
    assert_int_equal(taker.why, SL_BODY_TIMEOUT);
}

static void body_that_stalls_and_is_kept_is_cut(void **state)
{
    uint64_t before = sl_err_counted(SL_BODY_TIMEOUT);
    taker.keeps = true;
    put(10, true);
    H2_UNTIL(&client, taker.taken == 10);
    h2_case_expire(&c, &c.h.http->body_timeout);
    H2_UNTIL(&client, stream.is_closed);
    assert_int_equal(stream.status, 0);
    assert_int_equal(stream.code, NGHTTP2_CANCEL);
    assert_int_equal(taker.aborts, 1);
    assert_int_equal(taker.why, SL_BODY_TIMEOUT);
    assert_int_equal(sl_err_counted(SL_BODY_TIMEOUT), before + 1);
    stream = (struct h2_stream){0};
    taker.requests = taker.taken = 0;
    put(10, false); /* its connection serves on */
    H2_UNTIL(&client, taker.finishes == 1);
    answer();
    H2_UNTIL(&client, stream.status == 200);
}

static void body_that_the_sink_does_not_take_is_not_the_clients_stall(void **state)
{
    taker.allowed = 0;
    put(10, true);
    H2_UNTIL(&client, c.h.http->h2_held_bytes == 10);
    h2_case_expire(&c, &c.h.http->body_timeout);
    h2_client_settle(&client);
    assert_int_equal(taker.aborts, 0);
    allow(10);
    H2_UNTIL(&client, taker.taken == 10);
    h2_case_expire(&c, &c.h.http->body_timeout);
    H2_UNTIL(&client, stream.status == 408);
}

static void answer_that_is_not_taken_is_given_up(void **state)
{
    nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    h2_client_close(&client);
    h2_client_open(&client, &c, &none, 1);
    taker.way = HELD_ANSWER;
    put(0, false);
    H2_UNTIL(&client, stream.status == 200);
    h2_case_expire(&c, &c.h.http->write_timeout);
    H2_UNTIL(&client, stream.is_closed);
    assert_true(stream.is_reset);
    assert_int_equal(taker.stops, 1);
}

/* Who gets a part must not take it for the whole; the other streams of the connection have nothing to do with it. */
static void answer_that_fails_on_the_way_is_a_reset(void **state)
{
    for (unsigned with_bytes = 0; with_bytes < 2; with_bytes++) {
        h2o_iovec_t rest = {(char *)"rest", 4};
        taker.way = HELD_ANSWER;
        taker.requests = 0;
        stream = (struct h2_stream){0};
        put(0, false);
        H2_UNTIL(&client, stream.body_len == 1000);
        h2o_send(&taker.request->h2o, &rest, with_bytes, H2O_SEND_STATE_ERROR);
        H2_UNTIL(&client, stream.is_closed);
        assert_true(stream.is_reset && !stream.is_ended);
        assert_int_equal(stream.code, NGHTTP2_INTERNAL_ERROR);
        assert_int_equal(stream.body_len, 1000 + (with_bytes ? 4 : 0));
    }
    taker.way = EARLY;
    taker.requests = 0;
    stream = (struct h2_stream){0};
    put(0, false);
    H2_UNTIL(&client, stream.is_closed);
    assert_int_equal(stream.status, 200);
    assert_false(stream.is_reset || client.is_going);
}

static void idle_connection_is_told_to_go(void **state)
{
    h2_client_settle(&client);
    h2_case_expire(&c, &c.h.http->keep_alive_timeout);
    H2_UNTIL(&client, client.is_closed);
    assert_true(client.is_going);
    assert_int_equal(client.going_code, NGHTTP2_NO_ERROR);
}

/* ---- a stream's end, in each state ---- */

static void (*const ways_to_go[])(struct h2_client *) = {h2_client_cut, NULL};

/* Both by a reset and with the connection. */
static void go(unsigned way)
{
    if (ways_to_go[way] != NULL)
        ways_to_go[way](&client);
    else
        h2_client_reset(&client, &stream);
}

static void again(void)
{
    (void)teardown(NULL);
    (void)setup(NULL);
}

static void expect_abort(void)
{
    H2_UNTIL(&client, taker.aborts == 1);
    assert_int_equal(taker.why, SL_CLIENT_GONE);
    h2_client_settle(&client);
    assert_int_equal(taker.aborts, 1);
    assert_int_equal(c.h.http->h2_held_bytes, 0);
}

static void end_before_the_body_starts(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        taker.way = LATER;
        put(500, true);
        go(way);
        expect_abort();
    }
}

static void end_while_the_body_flows(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        put(500, true);
        H2_UNTIL(&client, taker.taken == 500);
        go(way);
        expect_abort();
    }
}

static void end_while_bytes_are_held(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        taker.allowed = 0;
        put(500, true);
        H2_UNTIL(&client, c.h.http->h2_held_bytes == 500);
        go(way);
        expect_abort();
    }
}

static void end_when_the_body_is_over_and_the_answer_is_not_there(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        put(500, false);
        H2_UNTIL(&client, taker.finishes == 1);
        go(way);
        expect_abort();
    }
}

static void end_when_resume_is_on_its_way(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        taker.allowed = 0;
        put(500, true);
        H2_UNTIL(&client, c.h.http->h2_held_bytes == 500);
        go(way);
        h2_client_pump(&client);
        allow(500); /* the loop will find both */
        H2_UNTIL(&client, taker.aborts == 1 || taker.taken == 500);
        H2_UNTIL(&client, taker.aborts == 1);
    }
}

static void end_while_an_answer_waits_for_its_generator(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        taker.way = HELD_ANSWER;
        put(0, false);
        H2_UNTIL(&client, stream.body_len == 1000 && taker.proceeds == 1);
        go(way);
        H2_UNTIL(&client, taker.stops == 1);
    }
}

static void end_while_the_rest_of_a_body_is_dropped(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        taker.way = EARLY;
        put(1000, true);
        H2_UNTIL(&client, stream.is_ended);
        go(way);
        h2_client_settle(&client);
        assert_int_equal(taker.aborts, 0); /* it was answered */
    }
}

static void end_while_the_server_drains(void **state)
{
    for (unsigned way = 0; way < 2; way++, again()) {
        put(500, true);
        sl_http_drain(c.h.http);
        H2_UNTIL(&client, client.is_going);
        assert_int_equal(taker.aborts, 0);
        go(way);
        expect_abort();
        H2_UNTIL(&client, c.h.http->connection_count == 0);
    }
}

static void drain_lets_the_present_request_end(void **state)
{
    put(500, true);
    H2_UNTIL(&client, taker.taken == 500);
    sl_http_drain(c.h.http);
    H2_UNTIL(&client, client.is_going);
    h2_client_say(&client, &stream, 500, true);
    H2_UNTIL(&client, taker.finishes == 1);
    answer();
    H2_UNTIL(&client, stream.is_closed && client.is_closed);
    assert_int_equal(stream.status, 200);
}

static void close_all_ends_everything_at_once(void **state)
{
    put(500, true);
    H2_UNTIL(&client, taker.taken == 500);
    sl_http_close_all(c.h.http);
    assert_int_equal(taker.aborts, 1);
    assert_int_equal(taker.why, SL_DRAINING);
    assert_int_equal(c.h.http->connection_count, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(sink_that_takes_nothing_alone_makes_us_hold_one_read),
        CASE(sink_that_is_full_at_the_end_of_a_frame_is_waited_for),
        CASE(sink_that_takes_nothing_gets_no_more_than_a_window),
        CASE(body_before_it_is_started_is_held),
        CASE(sink_that_takes_a_part_is_given_the_rest_in_order),
        CASE(window_grows_with_what_is_taken),
        CASE(window_of_a_loop_that_has_grown_enough_grows_no_more),
        CASE(held_bytes_beyond_the_loop_s_are_refused),
        CASE(padding_is_given_back),
        CASE(early_answer_drops_what_still_comes),
        CASE(early_answer_to_a_sender_that_stalls_ends_with_a_reset),
        CASE(answer_while_bytes_are_held_gives_them_back),
        CASE(body_that_stalls_is_answered_and_ended),
        CASE(body_that_stalls_and_is_kept_is_cut),
        CASE(body_that_the_sink_does_not_take_is_not_the_clients_stall),
        CASE(answer_that_is_not_taken_is_given_up),
        CASE(answer_that_fails_on_the_way_is_a_reset),
        CASE(idle_connection_is_told_to_go),
        CASE(end_before_the_body_starts),
        CASE(end_while_the_body_flows),
        CASE(end_while_bytes_are_held),
        CASE(end_when_the_body_is_over_and_the_answer_is_not_there),
        CASE(end_when_resume_is_on_its_way),
        CASE(end_while_an_answer_waits_for_its_generator),
        CASE(end_while_the_rest_of_a_body_is_dropped),
        CASE(end_while_the_server_drains),
        CASE(drain_lets_the_present_request_end),
        CASE(close_all_ends_everything_at_once),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    sl_log_start(SL_LOG_TEXT, open("/dev/null", O_WRONLY | O_CLOEXEC));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sl_log_stop();
    return failed;
}
