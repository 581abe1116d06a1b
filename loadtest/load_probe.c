/* The probe shares its thread with the load, so part of what it measures is our own delay: at most one send of the
 * load, and told apart in stats.late. */
#include "load_probe.h"

#include "sluice/base/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t interval_ns(const struct sl_load_run *run)
{
    return run->options->probe_interval_ms * SL_MS;
}

static void schedule_next(struct sl_load_probe *probe, const struct sl_load_run *run, uint64_t now)
{
    probe->is_waiting = false;
    probe->due_ns += interval_ns(run);
    probe->ready_ns = probe->due_ns > now ? probe->due_ns : now;
}

/* Gives this one up; those that fell due meanwhile are not tried in a burst. */
static void fail(struct sl_load_probe *probe, struct sl_load_run *run, uint64_t now)
{
    run->stats.probe_errors++;
    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
    probe->is_connecting = false;
    do
        schedule_next(probe, run, now);
    while (probe->due_ns <= now);
}

static bool open_socket(struct sl_load_probe *probe, struct sl_load_run *run)
{
    const struct sl_load_options *options = run->options;
    int one = 1;
    probe->fd = socket(options->target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe->fd < 0)
        return false;
    setsockopt(probe->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(probe->fd, &options->target.any, options->target_bytes) != 0 && errno != EINPROGRESS)
        return false;
    /* Edges are enough: each turn tries to send or to read whatever has woken us. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = NULL};
    return epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, probe->fd, &event) == 0;
}

void sl_load_probe_init(struct sl_load_probe *probe, struct sl_load_run *run)
{
    *probe = (struct sl_load_probe){.fd = -1, .due_ns = UINT64_MAX};
    if (run->options->probe_path == NULL)
        return;
    probe->due_ns = probe->ready_ns = sl_clock_now_ns() + interval_ns(run);
    (void)open_socket(probe, run); /* if not, the first probe tries again */
}

static void send_one(struct sl_load_probe *probe, struct sl_load_run *run, uint64_t now)
{
    char text[SL_LOAD_TEXT_MAX];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sl_load-probe\r\n\r\n",
                       run->options->probe_path, run->options->host);
    if (probe->fd < 0 && !open_socket(probe, run))
        return fail(probe, run, now);
    ssize_t n = send(probe->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    probe->is_connecting = n < 0 && (errno == EAGAIN || errno == ENOTCONN);
    if (probe->is_connecting)
        return;
    if (n != len)
        return fail(probe, run, now);
    sl_load_histogram_add(&run->stats.late, now - probe->ready_ns);
    sl_load_reply_reset(&probe->reply);
    probe->is_waiting = true;
}

static void receive(struct sl_load_probe *probe, struct sl_load_run *run)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(probe->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        size_t used;
        enum sl_load_reply_event event = sl_load_reply_feed(&probe->reply, bytes, (size_t)n, &used);
        uint64_t now = sl_clock_now_ns();
        if (event == SL_LOAD_REPLY_MORE)
            continue;
        if (event != SL_LOAD_REPLY_DONE || probe->reply.status != 200 || used < (size_t)n)
            return fail(probe, run, now);
        sl_load_histogram_add(&run->stats.probe, now - probe->due_ns);
        schedule_next(probe, run, now);
        if (probe->reply.closes) {
            close(probe->fd);
            probe->fd = -1;
        }
        return;
    }
    if (n == 0 || errno != EAGAIN)
        fail(probe, run, sl_clock_now_ns());
}

void sl_load_probe_turn(struct sl_load_probe *probe, struct sl_load_run *run)
{
    if (run->options->probe_path == NULL)
        return;
    if (probe->is_waiting)
        receive(probe, run);
    uint64_t now = sl_clock_now_ns();
    if (!probe->is_waiting && now >= probe->due_ns)
        send_one(probe, run, now);
}

uint64_t sl_load_probe_next_ns(const struct sl_load_probe *probe)
{
    return probe->is_waiting || probe->is_connecting ? UINT64_MAX : probe->due_ns;
}

void sl_load_probe_stop(struct sl_load_probe *probe, struct sl_load_run *run)
{
    if (run->options->probe_path == NULL)
        return;
    uint64_t now = sl_clock_now_ns();
    for (; probe->due_ns + interval_ns(run) <= now; probe->due_ns += interval_ns(run))
        sl_load_histogram_add(&run->stats.probe, now - probe->due_ns);
    if (probe->fd >= 0)
        close(probe->fd);
}
