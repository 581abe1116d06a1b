#include "sluice/net/loop.h"

#include "sluice/base/clock.h"
#include "sluice/base/doing.h"
#include "sluice/base/list.h"
#include "sluice/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/time.h>

#define SLOW_TURN_NS    (20 * SL_MS)
#define EVENTS_PER_TURN 32

static void on_watch_readable(h2o_socket_t *socket, const char *err)
{
    struct sl_watch *watch = socket->data;
    (void)err;
    const char *before = sl_doing(watch->name != NULL ? watch->name : "a watch without a name");
    watch->on_readable(watch->ctx);
    (void)sl_doing(before);
}

sl_err sl_watch_start(struct sl_watch *watch, h2o_loop_t *loop, int fd, void (*on_readable)(void *ctx), void *ctx)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* h2o closes what it watches */
    if (own < 0)
        return sl_err_of_errno(errno);
    watch->socket = h2o_evloop_socket_create(loop, own, H2O_SOCKET_FLAG_DONT_READ);
    watch->socket->data = watch;
    watch->on_readable = on_readable;
    watch->ctx = ctx;
    h2o_socket_read_start(watch->socket, on_watch_readable);
    return SL_OK;
}

void sl_watch_stop(struct sl_watch *watch)
{
    if (watch->socket == NULL)
        return;
    h2o_socket_read_stop(watch->socket);
    h2o_socket_close(watch->socket);
    watch->socket = NULL;
}

void sl_loop_turn(h2o_loop_t *loop, int32_t max_wait_ms)
{
    /* io_uring and signals both interrupt epoll_wait, which h2o reports as failure. Anything else is a broken loop. */
    if (h2o_evloop_run(loop, max_wait_ms) != 0 && errno != EINTR)
        abort();
}

/* ---- the clock ---- */

/* h2o's timers go by the clock of the wall: while one that was set back by an hour catches up, nobody's time would come
 * and no turn would end. So this is the gettimeofday of the whole process (see epoll_wait below), which never goes
 * back. Nothing else of ours asks it; Date headers do. */
__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict now_out, void *restrict zone)
{
    uint64_t now_ns = sl_clock_onward_ns();
    (void)zone;
    *now_out =
        (struct timeval){.tv_sec = (time_t)(now_ns / SL_SEC), .tv_usec = (suseconds_t)(now_ns % SL_SEC / 1000)};
    return 0;
}

/* ---- what ends a turn ---- */

static _Thread_local struct sl_loop_finish *this_finish; /* NULL: this thread has none */

static void on_finish(h2o_timeout_entry_t *entry)
{
    struct sl_loop_finish *finish = SL_CONTAINER_OF(entry, struct sl_loop_finish, entry);
    finish->on_finish(finish->ctx);
}

void sl_loop_finish_start(struct sl_loop_finish *finish, h2o_loop_t *loop, void (*run)(void *ctx), void *ctx)
{
    assert(this_finish == NULL);
    *finish = (struct sl_loop_finish){.loop = loop, .entry.cb = on_finish, .on_finish = run, .ctx = ctx};
    h2o_timeout_init(loop, &finish->at_once, 0);
    this_finish = finish;
}

void sl_loop_finish_stop(struct sl_loop_finish *finish)
{
    assert(this_finish == finish);
    this_finish = NULL;
    h2o_timeout_unlink(&finish->entry);
    h2o_timeout_dispose(finish->loop, &finish->at_once);
}

void sl_loop_finish_soon(struct sl_loop_finish *finish)
{
    if (!h2o_timeout_is_linked(&finish->entry))
        h2o_timeout_link(finish->loop, &finish->at_once, &finish->entry);
}

/* ---- how long a turn takes ---- */

static _Thread_local struct sl_lag *this_lag; /* NULL: this thread has no loop, or nobody wants to know */

void sl_loop_measure(struct sl_lag *lag)
{
    this_lag = lag;
}

#ifdef SLUICE_TELL_SLOW_TURNS
static void tell_if_slow(void)
{
    struct sl_doing_report slow = sl_doing_end_turn();
    if (slow.turn_ns > SLOW_TURN_NS)
        sl_log(SL_LOG_INFO,
               "slow turn: %.1f ms, %.1f ms of them on the CPU, which it gave up %ld times and lost %ld times; "
               "longest at %s: %.1f ms",
               (double)slow.turn_ns / SL_MS, (double)slow.cpu_ns / SL_MS, slow.waits, slow.preemptions, slow.what,
               (double)slow.what_ns / SL_MS);
}
#endif

static void end_turn(struct sl_lag *lag)
{
    if (lag->begun_ns == 0)
        return;
    uint64_t took_ns = sl_clock_now_ns() - lag->begun_ns;
    sl_histogram_add(&lag->turns, took_ns);
    if (took_ns > sl_counter_read(&lag->max_ns))
        sl_counter_set(&lag->max_ns, took_ns);
#ifdef SLUICE_TELL_SLOW_TURNS
    tell_if_slow();
#endif
}

static void begin_turn(struct sl_lag *lag)
{
    lag->begun_ns = sl_clock_now_ns();
#ifdef SLUICE_TELL_SLOW_TURNS
    sl_doing_begin_turn();
#endif
}

/* h2o tells nobody when it begins to wait and when it ends: h2o_evloop_run of its shared library is both, and its own
 * clock has milliseconds. But it waits by epoll_wait, and of a function that the program has itself the dynamic
 * linker takes the program's, for libraries too. So this is the epoll_wait of the whole process: the same call of the
 * kernel by another name of the C library, which sanitizers know as well. A static libh2o would find it, too.
 *
 * h2o asks for 256 events, which is how many sockets have a turn each before anything else has: 10 ms, where each has a
 * request. So it gets fewer. The rest stays ready, and the kernel tells those first that it has not told yet.
 *
 * And it is here that a turn begins whose end is to come: h2o runs the timers behind the sockets. */
__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int room, int timeout_ms)
{
    struct sl_lag *lag = this_lag;
    if (lag != NULL)
        end_turn(lag);
    int count = epoll_pwait(fd, events, room < EVENTS_PER_TURN ? room : EVENTS_PER_TURN, timeout_ms, NULL);
    if (lag != NULL)
        begin_turn(lag);
    if (this_finish != NULL)
        sl_loop_finish_soon(this_finish);
    return count;
}
