/* HTTP of one loop that really turns: connections over socket pairs, the disk and the mailbox watched as the worker
 * watches them. Timers are not waited for: a test says which of them is over. */
#ifndef SLUICE_TESTS_H2_CASE_H
#define SLUICE_TESTS_H2_CASE_H

#include "http_case.h"
#include "sluice/net/loop.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define H2_PATIENCE_S 60

struct h2_case {
    struct http_case h;
    struct sl_watch disk_watch, mailbox_watch;
    struct sl_loop_finish finish;
};

static inline void h2_case_on_disk(void *ctx)
{
    sl_disk_run(((struct h2_case *)ctx)->h.u.disk);
}

static inline void h2_case_on_mail(void *ctx)
{
    sl_mailbox_run(&((struct h2_case *)ctx)->h.u.mailbox);
}

static inline h2o_loop_t *h2_case_loop(struct h2_case *c)
{
    return c->h.http->context.loop;
}

static inline void h2_case_on_finish(void *ctx)
{
    sl_http_run(((struct h2_case *)ctx)->h.http);
}

static inline void h2_case_open(struct h2_case *c, enum test_engine engine)
{
    http_case_open(&c->h, engine);
    assert_int_equal(sl_watch_start(&c->disk_watch, h2_case_loop(c), sl_disk_fd(c->h.u.disk), h2_case_on_disk, c),
                     SL_OK);
    assert_int_equal(sl_watch_start(&c->mailbox_watch, h2_case_loop(c), c->h.u.mailbox.fd, h2_case_on_mail, c),
                     SL_OK);
    sl_loop_finish_start(&c->finish, h2_case_loop(c), h2_case_on_finish, c);
}

/* One turn, in the worker's order. */
static inline void h2_case_turn(struct h2_case *c, int32_t max_wait_ms)
{
    sl_loop_turn(h2_case_loop(c), max_wait_ms);
    sl_disk_flush(c->h.u.disk);
    if (sl_slab_pool_is_due(c->h.u.pool))
        sl_loop_finish_soon(&c->finish);
}

static inline bool h2_case_is_idle(struct h2_case *c)
{
    struct sl_slab_stats slabs = sl_slab_pool_stats(c->h.u.pool);
    return c->h.http->connection_count == 0 && c->h.u.intake.files == 0 && slabs.slabs_in_use == 0 &&
           slabs.waiting == 0 && sl_disk_inflight(c->h.u.disk) == 0 && sl_mailbox_is_empty(&c->h.u.mailbox);
}

/* Turns until `condition` holds; it waits for events, and a condition that does not come fails the test. `step` is
 * done before each turn. */
#define H2_UNTIL_STEP(c, step, condition)                                  \
    do {                                                                   \
        time_t h2_end = time(NULL) + H2_PATIENCE_S;                        \
        while (true) {                                                     \
            step;                                                          \
            if (condition)                                                 \
                break;                                                     \
            h2_case_turn((c), 5);                                          \
            if (time(NULL) > h2_end)                                       \
                fail_msg("%s:%d: never: " #condition, __FILE__, __LINE__); \
        }                                                                  \
    } while (0)

/* Every connection is gone by now or goes by itself: then all that was lent must come home. */
static inline void h2_case_come_home(struct h2_case *c)
{
    H2_UNTIL_STEP(c, (void)0, h2_case_is_idle(c));
    assert_int_equal(c->h.http->h2_growth_bytes, 0);
    assert_int_equal(c->h.http->h2_held_bytes, 0);
    assert_int_equal(c->h.http->h2_head_bytes, 0);
    assert_int_equal(c->h.http->h2_answer_bytes, 0);
    assert_int_equal(c->h.http->h2_queued_frames, 0);
    assert_true(sl_list_is_empty(&c->h.http->senders));
    assert_int_equal(c->h.http->text_bytes, 0);
    assert_int_equal(c->h.http->download_slabs + c->h.http->download_smalls, 0);
    assert_int_equal(c->h.u.intake.bulk_pipelines, 0);
}

static inline void h2_case_close(struct h2_case *c)
{
    h2_case_come_home(c);
    sl_watch_stop(&c->disk_watch);
    sl_watch_stop(&c->mailbox_watch);
    h2_case_turn(c, 0); /* h2o frees closed sockets in the next turn */
    sl_loop_finish_stop(&c->finish);
    http_case_close(&c->h);
}

/* A connection to the server; the client's end, which does not block, is yours. */
static inline int h2_case_connect(struct h2_case *c)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    sl_http_accept(c->h.http, h2o_evloop_socket_create(h2_case_loop(c), fds[0], H2O_SOCKET_FLAG_DONT_READ), NULL);
    return fds[1];
}

/* As if so much time had passed that everybody who waits for `timeout` has waited long enough. */
static inline void h2_case_expire(struct h2_case *c, h2o_timeout_t *timeout)
{
    h2o_timeout_run(h2_case_loop(c), timeout, h2o_now(h2_case_loop(c)) + timeout->timeout + 1);
}

/* Requests go to `on_request` instead of the routes. */
static inline void h2_case_route(struct h2_case *c, int (*on_request)(h2o_handler_t *self, h2o_req_t *h2o))
{
    c->h.http->config.hosts[0]->paths.entries[0].handlers.entries[0]->on_req = on_request;
}

#endif
