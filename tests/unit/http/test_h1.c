/* HTTP/1.1 when an answer ends badly, or nobody reads it, or the rest of a body does not come. Timers are over when the
 * test says so. */
#include "h2_case.h"
#include "sluice/base/log.h"

#include <fcntl.h>
#include <signal.h>

#define HEARD_MAX 8192
#define PUT       "PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
#define GET       "GET /f HTTP/1.1\r\nHost: h\r\n\r\n"

static struct h2_case c;
static int fd; /* the client's; -1: cut */
static char heard[HEARD_MAX];
static size_t heard_len;
static bool is_closed; /* by the server */

static struct {
    struct sl_request *request;
    h2o_generator_t generator;
    size_t length; /* announced */
    bool is_at_once;
    unsigned requests, proceeds, stops;
} answerer;

/* ---- the handler ---- */

static void on_proceed(h2o_generator_t *self, h2o_req_t *h2o)
{
    answerer.proceeds++;
}

static void on_stop(h2o_generator_t *self, h2o_req_t *h2o)
{
    answerer.stops++;
}

static void send_piece(size_t len, h2o_send_state_t state)
{
    static char bytes[1 << 20];
    h2o_iovec_t piece = {bytes, len};
    memset(bytes, 'x', sizeof bytes);
    h2o_send(&answerer.request->h2o, &piece, len > 0, state);
}

static int on_request(h2o_handler_t *self, h2o_req_t *h2o)
{
    answerer.request = sl_request_of(h2o);
    answerer.requests++;
    if (answerer.is_at_once) {
        sl_reply_text(answerer.request, 200, "text/plain", SL_BYTES("done"));
    } else {
        answerer.generator = (h2o_generator_t){on_proceed, on_stop};
        sl_reply_begin(answerer.request, 200, answerer.length, &answerer.generator);
    }
    return 0;
}

/* ---- the client ---- */

static int setup(void **state)
{
    c = (struct h2_case){0};
    h2_case_open(&c, TEST_FAKE);
    h2_case_route(&c, on_request);
    memset(&answerer, 0, sizeof answerer);
    memset(heard, 0, sizeof heard);
    heard_len = 0;
    is_closed = false;
    fd = h2_case_connect(&c);
    return 0;
}

static int teardown(void **state)
{
    close(fd);
    h2_case_close(&c);
    return 0;
}

static void say(const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(void)
{
    ssize_t n = recv(fd, heard + heard_len, sizeof heard - 1 - heard_len, 0);
    heard_len += n > 0 ? (size_t)n : 0;
    is_closed |= n == 0 || (n < 0 && errno != EAGAIN);
}

#define HEAR_UNTIL(condition) H2_UNTIL_STEP(&c, hear(), condition)

/* Bytes of the body that were heard. */
static size_t body_len(void)
{
    const char *end = strstr(heard, "\r\n\r\n");
    return end == NULL ? 0 : heard_len - (size_t)(end + 4 - heard);
}

static void ask(const char *text)
{
    say(text);
    H2_UNTIL_STEP(&c, (void)0, answerer.requests == 1);
}

/* ---- answers that break off ---- */

/* Both where the failure has bytes with it and where it has none. */
static void answer_that_fails_on_the_way_is_seen_to_be_short(void **state)
{
    for (size_t last = 0; last <= 10; last += 10) {
        answerer.length = 1000;
        ask(GET);
        send_piece(100, H2O_SEND_STATE_IN_PROGRESS);
        HEAR_UNTIL(body_len() == 100 && answerer.proceeds == 1);
        send_piece(last, H2O_SEND_STATE_ERROR);
        say(GET); /* which is not answered in its place */
        HEAR_UNTIL(is_closed);
        assert_non_null(strstr(heard, "Content-Length: 1000\r\n"));
        assert_int_equal(body_len(), 100 + last);
        assert_int_equal(answerer.requests, 1);
        teardown(NULL);
        setup(NULL);
    }
}

static void answer_without_a_length_that_fails_has_no_last_chunk(void **state)
{
    answerer.length = SIZE_MAX;
    ask(GET);
    send_piece(100, H2O_SEND_STATE_IN_PROGRESS);
    HEAR_UNTIL(answerer.proceeds == 1);
    send_piece(0, H2O_SEND_STATE_ERROR);
    HEAR_UNTIL(is_closed);
    assert_non_null(strstr(heard, "transfer-encoding: chunked\r\n"));
    assert_null(strstr(heard, "\r\n0\r\n"));
}

/* ---- answers that nobody reads ---- */

/* More than the sockets hold. */
static void begin_unread_answer(void)
{
    answerer.length = 1 << 30;
    ask(GET);
    for (unsigned i = 0; answerer.proceeds == i; i++) {
        assert_true(i < 1000);
        send_piece(1 << 20, H2O_SEND_STATE_IN_PROGRESS);
        for (unsigned turn = 0; turn < 3; turn++)
            h2_case_turn(&c, 0);
    }
    assert_int_equal(c.h.http->connection_count, 1);
}

static void answer_that_is_not_taken_is_given_up(void **state)
{
    begin_unread_answer();
    h2_case_expire(&c, &c.h.http->write_timeout);
    H2_UNTIL_STEP(&c, (void)0, c.h.http->connection_count == 0);
    assert_int_equal(answerer.stops, 1);
}

/* As when others wait for its buffers. */
static void answer_that_is_cut_gives_all_back(void **state)
{
    begin_unread_answer();
    sl_request_cut(answerer.request);
    H2_UNTIL_STEP(&c, (void)0, c.h.http->connection_count == 0);
    assert_int_equal(answerer.stops, 1);
}

/* ---- what is left of a body ---- */

static void rest_of_a_body_that_comes_is_dropped_and_the_next_is_answered(void **state)
{
    answerer.is_at_once = true;
    ask(PUT "bo");
    HEAR_UNTIL(strstr(heard, "done") != NULL);
    say("dy!" GET);
    HEAR_UNTIL(answerer.requests == 2);
    assert_false(is_closed);
}

static void rest_of_a_body_that_does_not_come_ends_the_connection(void **state)
{
    answerer.is_at_once = true;
    ask(PUT "bo");
    HEAR_UNTIL(strstr(heard, "done") != NULL);
    assert_null(strstr(heard, "Connection: close"));
    h2_case_expire(&c, &c.h.http->linger_timeout);
    HEAR_UNTIL(is_closed);
    assert_int_equal(answerer.requests, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(answer_that_fails_on_the_way_is_seen_to_be_short),
        CASE(answer_without_a_length_that_fails_has_no_last_chunk),
        CASE(answer_that_is_not_taken_is_given_up),
        CASE(answer_that_is_cut_gives_all_back),
        CASE(rest_of_a_body_that_comes_is_dropped_and_the_next_is_answered),
        CASE(rest_of_a_body_that_does_not_come_ends_the_connection),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    sl_log_start(SL_LOG_TEXT, open("/dev/null", O_WRONLY | O_CLOEXEC));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sl_log_stop();
    return failed;
}
