/* Interim responses (RFC 9110 section 15.2): told before the final response, in order, by HTTP/1.1 and by HTTP/2. */
#include "h2_client.h"
#include "sluice/base/log.h"

#include <fcntl.h>
#include <signal.h>

#define TEXT_MAX 8192
#define INTERIM  "HTTP/1.1 104 Upload Resumption Supported\r\n"

static struct h2_case c;
static void (*handle)(struct sl_request *request);

/* Takes any body and answers when it is over. */
static struct {
    struct sl_sink sink;
    struct sl_request *request;
    char room[4096];
    unsigned aborts;
} taker;

static int on_request(h2o_handler_t *self, h2o_req_t *h2o)
{
    handle(sl_request_of(h2o));
    return 0;
}

static int setup(void **state)
{
    c = (struct h2_case){0};
    h2_case_open(&c, TEST_FAKE);
    h2_case_route(&c, on_request);
    memset(&taker, 0, sizeof taker);
    return 0;
}

static int teardown(void **state)
{
    h2_case_close(&c);
    return 0;
}

/* ---- what handlers do ---- */

static void interim(struct sl_request *request, int status, const char *name, const char *value)
{
    struct sl_interim_field field = {.name = sl_bytes_of(name == NULL ? "" : name),
                                     .value = sl_bytes_of(value == NULL ? "" : value)};
    sl_request_interim(request, status, &field, name != NULL);
}

static void answer(struct sl_request *request)
{
    sl_reply_text(request, 200, "text/plain", SL_BYTES("done"));
}

static void say_three(struct sl_request *request)
{
    interim(request, 104, "location", "/a");
    interim(request, 104, "upload-offset", "5");
    interim(request, 104, "upload-offset", "9");
    answer(request);
}

static void say_late(struct sl_request *request)
{
    answer(request);
    interim(request, 104, "location", "/late");
}

static void say_none(struct sl_request *request)
{
    answer(request);
}

static void say_bare(struct sl_request *request)
{
    interim(request, 104, NULL, NULL);
    answer(request);
}

static struct sl_room take_room(struct sl_sink *sink)
{
    return (struct sl_room){taker.room, sizeof taker.room};
}

static void take_bytes(struct sl_sink *sink, size_t n)
{
    interim(taker.request, 104, "upload-offset", "some");
}

static void take_end(struct sl_sink *sink)
{
    interim(taker.request, 104, "location", "/end");
    answer(taker.request);
}

static void take_abort(struct sl_sink *sink, sl_err why)
{
    taker.aborts++;
}

static const struct sl_sink_ops take_ops = {
    .reserve = take_room, .commit = take_bytes, .finish = take_end, .abort = take_abort};

static void take_body(struct sl_request *request)
{
    taker.sink.ops = &take_ops;
    taker.request = request;
    sl_body_attach(request, &taker.sink);
    interim(request, 104, "location", "/begin");
    sl_body_start(request);
}

/* ---- HTTP/1.1 ---- */

static int fd;
static char heard[TEXT_MAX];
static size_t heard_len;

static void say_h1(const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(void)
{
    ssize_t n = recv(fd, heard + heard_len, sizeof heard - 1 - heard_len, 0);
    heard_len += n > 0 ? (size_t)n : 0;
}

static void hear_until(const char *end)
{
    H2_UNTIL_STEP(&c, hear(), strstr(heard, end) != NULL);
}

static void open_h1(void)
{
    fd = h2_case_connect(&c);
    memset(heard, 0, sizeof heard);
    heard_len = 0;
}

/* What comes back until `end` is in it. */
static const char *talk_h1(const char *text, const char *end)
{
    open_h1();
    say_h1(text);
    hear_until(end);
    close(fd);
    return heard;
}

static void expect_begin(const char *text, const char *begin)
{
    char copy[TEXT_MAX];
    snprintf(copy, sizeof copy, "%.*s", (int)strlen(begin), text);
    assert_string_equal(copy, begin);
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static void h1_several_come_in_order_before_the_final_one(void **state)
{
    handle = say_three;
    expect_begin(talk_h1(GET, "done"),
                 INTERIM "location: /a\r\n\r\n" INTERIM "upload-offset: 5\r\n\r\n" INTERIM "upload-offset: 9\r\n\r\n"
                         "HTTP/1.1 200 OK\r\n");
}

static void h1_without_fields_is_a_line_and_a_blank(void **state)
{
    handle = say_bare;
    expect_begin(talk_h1(GET, "done"), INTERIM "\r\nHTTP/1.1 200 OK\r\n");
}

static void h1_after_the_final_one_began_is_left_out(void **state)
{
    handle = say_late;
    const char *text = talk_h1(GET, "done");
    expect_begin(text, "HTTP/1.1 200 OK\r\n");
    assert_null(strstr(text, "HTTP/1.1 1"));
}

static void h1_of_a_client_of_1_0_is_left_out(void **state)
{
    handle = say_three;
    const char *text = talk_h1("GET / HTTP/1.0\r\nHost: h\r\n\r\n", "done");
    expect_begin(text, "HTTP/1.1 200 OK\r\n");
    assert_null(strstr(text, "HTTP/1.1 1"));
}

static void h1_pipelined_requests_have_each_their_own(void **state)
{
    handle = say_bare;
    const char *text = talk_h1(GET GET, "done" INTERIM "\r\nHTTP/1.1 200 OK\r\n");
    expect_begin(text, INTERIM "\r\nHTTP/1.1 200 OK\r\n");
}

static void h1_continue_comes_before_a_body_that_is_awaited(void **state)
{
    handle = take_body;
    open_h1();
    say_h1("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    hear_until("100 Continue\r\n\r\n");
    say_h1("body");
    hear_until("done");
    close(fd);
    expect_begin(heard, INTERIM "location: /begin\r\n\r\n"
                                "HTTP/1.1 100 Continue\r\n\r\n" INTERIM "upload-offset: some\r\n\r\n" INTERIM
                                "location: /end\r\n\r\nHTTP/1.1 200 OK\r\n");
}

static void h1_client_that_goes_before_it_is_out_leaves_nothing(void **state)
{
    handle = take_body;
    open_h1();
    say_h1("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    close(fd);
    H2_UNTIL_STEP(&c, (void)0, taker.aborts == 1);
}

/* ---- HTTP/2 ---- */

static struct h2_client client;
static struct h2_stream stream;

static void open_client(void)
{
    h2_client_open(&client, &c, NULL, 0);
    stream = (struct h2_stream){0};
}

static void expect_interim(const int *statuses, unsigned count, const char *fields)
{
    assert_int_equal(stream.interim_count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(stream.interim[i], statuses[i]);
    assert_string_equal(stream.fields, fields);
    assert_int_equal(stream.status, 200);
    assert_memory_equal(stream.body, "done", 4);
    h2_client_close(&client);
}

static void get_h2(void)
{
    open_client();
    h2_client_ask(&client, &stream, "GET", "/", NULL, NULL);
    H2_UNTIL(&client, stream.is_closed);
}

static void h2_several_come_in_order_before_the_final_one(void **state)
{
    handle = say_three;
    get_h2();
    expect_interim((int[]){104, 104, 104}, 3, "location: /a\nupload-offset: 5\nupload-offset: 9\n");
}

static void h2_without_fields_is_a_status(void **state)
{
    handle = say_bare;
    get_h2();
    expect_interim((int[]){104}, 1, "");
}

static void h2_after_the_final_one_began_is_left_out(void **state)
{
    handle = say_late;
    get_h2();
    expect_interim(NULL, 0, "");
}

static void h2_none_is_made_up(void **state)
{
    handle = say_none;
    get_h2();
    expect_interim(NULL, 0, "");
}

static void h2_continue_comes_before_a_body_that_is_awaited(void **state)
{
    handle = take_body;
    open_client();
    stream.is_open_ended = true;
    h2_client_ask(&client, &stream, "PUT", "/", "expect", "100-continue");
    H2_UNTIL(&client, stream.interim_count == 2);
    h2_client_say(&client, &stream, 10, false);
    H2_UNTIL(&client, stream.interim_count == 3);
    h2_client_say(&client, &stream, 0, true);
    H2_UNTIL(&client, stream.is_closed);
    expect_interim((int[]){104, 100, 104, 104}, 4, "location: /begin\nupload-offset: some\nlocation: /end\n");
}

static void h2_interim_then_reset_leaves_nothing(void **state)
{
    handle = take_body;
    open_client();
    stream.is_open_ended = true;
    h2_client_ask(&client, &stream, "PUT", "/", NULL, NULL);
    h2_client_gather(&client);
    h2_client_reset(&client, &stream); /* in the same read as the head: the 104 is not out yet */
    H2_UNTIL(&client, taker.aborts == 1);
    h2_client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(h1_several_come_in_order_before_the_final_one, setup, teardown),
        cmocka_unit_test_setup_teardown(h1_without_fields_is_a_line_and_a_blank, setup, teardown),
        cmocka_unit_test_setup_teardown(h1_after_the_final_one_began_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(h1_of_a_client_of_1_0_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(h1_pipelined_requests_have_each_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(h1_continue_comes_before_a_body_that_is_awaited, setup, teardown),
        cmocka_unit_test_setup_teardown(h1_client_that_goes_before_it_is_out_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(h2_several_come_in_order_before_the_final_one, setup, teardown),
        cmocka_unit_test_setup_teardown(h2_without_fields_is_a_status, setup, teardown),
        cmocka_unit_test_setup_teardown(h2_after_the_final_one_began_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(h2_none_is_made_up, setup, teardown),
        cmocka_unit_test_setup_teardown(h2_continue_comes_before_a_body_that_is_awaited, setup, teardown),
        cmocka_unit_test_setup_teardown(h2_interim_then_reset_leaves_nothing, setup, teardown),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    sl_log_start(SL_LOG_TEXT, open("/dev/null", O_WRONLY | O_CLOEXEC));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sl_log_stop();
    return failed;
}
