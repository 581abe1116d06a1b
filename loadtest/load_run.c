/* The loop: timers, new requests, then whatever epoll reports. Bounded by --duration in any case. */
#include "load_run.h"

#include "load_conn.h"
#include "load_probe.h"

#include "sluice/base/clock.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CONNECTING_MAX 256 /* more at once only overflow the server's backlog, and a lost SYN costs a second */
#define EVENTS_MAX     256
#define SPARE_FDS      16

static bool raise_fd_limit(unsigned connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_max < connections + SPARE_FDS) {
        fprintf(stderr, "sl_load: %u connections need RLIMIT_NOFILE of %u, the hard limit is %llu\n", connections,
                connections + SPARE_FDS, (unsigned long long)limit.rlim_max);
        return false;
    }
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void fire_timers(struct sl_load_run *run, uint64_t now)
{
    struct sl_link due;
    sl_list_init(&due);
    sl_load_wheel_turn(&run->wheel, now, &due);
    for (struct sl_link *link; (link = sl_list_shift(&due)) != NULL;) {
        struct sl_load_timer *timer = SL_CONTAINER_OF(link, struct sl_load_timer, link);
        sl_load_conn_on_timer(SL_CONTAINER_OF(timer, struct sl_load_conn, timer), run);
    }
}

/* Nothing is left to ask: an idle connection must not keep a server that takes one at a time from the others. */
static void close_ready(struct sl_load_run *run)
{
    for (struct sl_link *link; (link = sl_list_shift(&run->ready)) != NULL;)
        sl_load_conn_stop(SL_CONTAINER_OF(link, struct sl_load_conn, link), run);
}

/* Begins the next request on each connection that has ended one. A connection that fails at once is back on the
 * list, but for the next turn: a dead server cannot keep us here. */
static void start_ready(struct sl_load_run *run)
{
    struct sl_link ready;
    sl_list_init(&ready);
    sl_list_move_all(&ready, &run->ready);
    while (run->issued < run->options->requests && run->connecting < CONNECTING_MAX) {
        struct sl_link *link = sl_list_shift(&ready);
        if (link == NULL)
            break;
        sl_load_conn_start(SL_CONTAINER_OF(link, struct sl_load_conn, link), run);
    }
    sl_list_move_all(&ready, &run->ready);
    sl_list_move_all(&run->ready, &ready);
    if (run->issued == run->options->requests)
        close_ready(run);
}

static void release_held(struct sl_load_run *run)
{
    if (run->tried < run->options->connections)
        return;
    for (struct sl_link *link; (link = sl_list_shift(&run->held)) != NULL;)
        sl_load_conn_release(SL_CONTAINER_OF(link, struct sl_load_conn, link), run);
}

static bool is_over(const struct sl_load_run *run)
{
    return run->active == 0 && run->issued == run->options->requests;
}

static struct timespec time_to_wait(const struct sl_load_run *run, uint64_t now, uint64_t end)
{
    bool can_start =
        !sl_list_is_empty(&run->ready) && run->issued < run->options->requests && run->connecting < CONNECTING_MAX;
    uint64_t next = end;
    if (sl_load_wheel_next_ns(&run->wheel) < next)
        next = sl_load_wheel_next_ns(&run->wheel);
    uint64_t wait = can_start || next <= now ? 0 : next - now;
    return (struct timespec){.tv_sec = (time_t)(wait / SL_SEC), .tv_nsec = (long)(wait % SL_SEC)};
}

static void loop(struct sl_load_run *run, uint64_t end)
{
    struct epoll_event events[EVENTS_MAX];
    for (uint64_t now; (now = sl_clock_now_ns()) < end;) {
        fire_timers(run, now);
        start_ready(run);
        release_held(run);
        if (is_over(run))
            return;
        struct timespec wait = time_to_wait(run, now, end);
        int n = epoll_pwait2(run->epoll_fd, events, EVENTS_MAX, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                sl_load_conn_on_events(events[i].data.ptr, run, events[i].events);
        }
    }
}

bool sl_load_run_all(const struct sl_load_options *options, const struct sl_load_body *body,
                     struct sl_load_stats *stats_out)
{
    unsigned count = options->connections;
    if (!raise_fd_limit(count))
        return false;
    struct sl_load_run *run = calloc(1, sizeof *run);
    struct sl_load_conn *conns = calloc(count, sizeof *conns);
    if (run == NULL || conns == NULL)
        abort();
    run->options = options;
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll_fd < 0)
        abort();
    sl_load_shape_init(&run->shape, options, body);
    sl_load_wheel_init(&run->wheel, sl_clock_now_ns());
    sl_list_init(&run->ready);
    sl_list_init(&run->held);
    for (unsigned i = 0; i < count; i++)
        sl_load_conn_init(&conns[i], run);

    /* The kernel may else wake us 50 us late, to save power, and the probe would pay for it. */
    prctl(PR_SET_TIMERSLACK, 1);
    struct sl_load_probe probe;
    sl_load_probe_start(&probe, options);
    uint64_t start = sl_clock_now_ns();
    loop(run, start + options->duration_s * SL_SEC);
    run->stats.elapsed_ns = sl_clock_now_ns() - start;

    sl_load_probe_stop(&probe, &run->stats);
    for (unsigned i = 0; i < count; i++)
        sl_load_conn_stop(&conns[i], run);
    run->stats.errors[SL_LOAD_ERROR_UNFINISHED] += options->requests - run->issued;
    *stats_out = run->stats;
    close(run->epoll_fd);
    free(conns);
    free(run);
    return true;
}
