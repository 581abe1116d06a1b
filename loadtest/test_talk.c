/* The dialects of the generator against servers made up here: what is sent, and what is counted when it ends badly. */
#include "load_talk.h"

#include "sluice/base/clock.h"

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants some of the above */
#include <cmocka.h>

#define SIZE     300001u
#define STREAMS  3u
#define REQUESTS 7u
#define LIMIT_NS (20 * SL_SEC)
#define IDS_MAX  (2 * REQUESTS + 2)

/* An HTTP/2 server that checks each body against the bytes it should have, and answers with `status`. */
struct server {
    int fd;
    const char *status;
    uint32_t reset;       /* instead of an answer, if not 0 */
    unsigned close_after; /* ended requests; 0: never */
    struct sl_load_body body;
    uint64_t got[IDS_MAX];
    unsigned ended, wrong, open, open_max;
};

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len, void *user)
{
    struct server *server = user;
    struct sl_bytes expected = sl_load_body_slice(&server->body, server->got[id], len);
    server->wrong += expected.len != len || memcmp(expected.base, bytes, len) != 0;
    server->got[id] += len;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct server *server = user;
    int32_t id = frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_HEADERS && ++server->open > server->open_max)
        server->open_max = server->open;
    if (id == 0 || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)server->status, 7, 3, 0};
    server->ended++;
    server->open--;
    server->wrong += server->got[id] != SIZE;
    return server->reset != 0 ? nghttp2_submit_rst_stream(session, 0, id, server->reset)
                              : nghttp2_submit_response(session, id, &status, 1, NULL);
}

static void *serve(void *arg)
{
    struct server *server = arg;
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    static char input[32 << 10];
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    if (nghttp2_session_server_new(&session, callbacks, server) != 0 ||
        nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0) != 0)
        abort();
    for (ssize_t n = 0; n >= 0 && (server->close_after == 0 || server->ended < server->close_after);) {
        const uint8_t *out;
        for (ssize_t len; (len = nghttp2_session_mem_send(session, &out)) > 0;)
            if (send(server->fd, out, (size_t)len, MSG_NOSIGNAL) != len)
                break;
        n = recv(server->fd, input, sizeof input, 0);
        if (n <= 0 || nghttp2_session_mem_recv(session, (uint8_t *)input, (size_t)n) != n)
            break;
    }
    nghttp2_session_del(session);
    nghttp2_session_callbacks_del(callbacks);
    close(server->fd);
    return NULL;
}

static struct sl_load_options options_of_test(enum sl_load_dialect dialect)
{
    return (struct sl_load_options){.dialect = dialect,
                                    .streams = STREAMS,
                                    .requests = REQUESTS,
                                    .path = "/files/",
                                    .run_id = "x",
                                    .host = "localhost"};
}

static void talk_h2_with(struct server *server, struct sl_load_stats *stats)
{
    struct sl_load_options options = options_of_test(SL_LOAD_H2C);
    struct sl_load_shape shape;
    pthread_t thread;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct sl_load_wire wire;
    sl_load_wire_init(&wire, fds[0]);
    server->fd = fds[1];
    sl_load_body_init(&server->body, 1, SIZE);
    sl_load_shape_init(&shape, &options, &server->body);
    *stats = (struct sl_load_stats){0};
    assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
    sl_load_talk_run(sl_load_talk_create_h2(&shape, stats), &wire, sl_clock_now_ns() + LIMIT_NS);
    sl_load_wire_close(&wire);
    pthread_join(thread, NULL);
    sl_load_body_dispose(&server->body);
    assert_int_equal(stats->ok + sl_load_stats_failures(stats), REQUESTS);
}

static void talk_h2_every_upload_arrives_whole_and_streams_are_kept_busy(void **state)
{
    static struct sl_load_stats stats;
    struct server server = {.status = "201"};
    talk_h2_with(&server, &stats);
    assert_int_equal(stats.ok, REQUESTS);
    assert_int_equal(stats.statuses[201], REQUESTS);
    assert_int_equal(stats.bytes, REQUESTS * SIZE);
    assert_int_equal(stats.latency.total, REQUESTS);
    assert_in_range(stats.latency.min_ns, 1, stats.latency.max_ns);
    assert_int_equal(server.wrong, 0);
    assert_int_equal(server.open_max, STREAMS);
}

static void talk_h2_what_ends_badly_is_counted_as_what_it_is(void **state)
{
    static struct sl_load_stats stats;
    struct server refusing = {.status = "409"}, resetting = {.status = "201", .reset = NGHTTP2_CANCEL};
    struct server leaving = {.status = "201", .close_after = 2};
    talk_h2_with(&refusing, &stats);
    assert_int_equal(stats.errors[SL_LOAD_ERROR_STATUS], REQUESTS);
    talk_h2_with(&resetting, &stats);
    assert_int_equal(stats.errors[SL_LOAD_ERROR_RESET], REQUESTS);
    talk_h2_with(&leaving, &stats);
    assert_in_range(stats.errors[SL_LOAD_ERROR_CLOSED], REQUESTS - 2, REQUESTS);
}

/* HTTP/1.1: the server's side is put into the socket beforehand. */
static void talk_h1_with(const char *answers, uint64_t requests, struct sl_load_stats *stats)
{
    struct sl_load_options options = options_of_test(SL_LOAD_H1_TLS);
    struct sl_load_body body;
    struct sl_load_shape shape;
    struct sl_load_wire wire;
    int fds[2];
    options.requests = requests;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(write(fds[1], answers, strlen(answers)), strlen(answers));
    shutdown(fds[1], SHUT_WR);
    sl_load_wire_init(&wire, fds[0]);
    sl_load_body_init(&body, 1, 5);
    sl_load_shape_init(&shape, &options, &body);
    *stats = (struct sl_load_stats){0};
    sl_load_talk_run(sl_load_talk_create_h1(&shape, stats), &wire, sl_clock_now_ns() + LIMIT_NS);
    sl_load_wire_close(&wire);
    close(fds[1]);
    sl_load_body_dispose(&body);
    assert_int_equal(stats->ok + sl_load_stats_failures(stats), requests);
}

static void talk_h1_answers_are_counted_as_what_they_are(void **state)
{
    static struct sl_load_stats stats;
    talk_h1_with("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 1, &stats);
    assert_int_equal(stats.ok, 1);
    talk_h1_with("HTTP/1.1 409 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 3, &stats);
    assert_int_equal(stats.errors[SL_LOAD_ERROR_STATUS], 1);
    assert_int_equal(stats.errors[SL_LOAD_ERROR_CLOSED], 2);
    talk_h1_with("HTTP/1.1 201 Cre", 1, &stats);
    assert_int_equal(stats.errors[SL_LOAD_ERROR_CLOSED], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talk_h2_every_upload_arrives_whole_and_streams_are_kept_busy),
        cmocka_unit_test(talk_h2_what_ends_badly_is_counted_as_what_it_is),
        cmocka_unit_test(talk_h1_answers_are_counted_as_what_they_are),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
