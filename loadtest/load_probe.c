#include "load_probe.h"

#include "load_reply.h"

#include "sluice/base/clock.h"

#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool open_socket(struct sl_load_probe *probe)
{
    const struct sl_load_options *options = probe->options;
    struct timeval patience = {.tv_sec = 5};
    int one = 1;
    probe->fd = socket(options->target.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe->fd < 0)
        return false;
    setsockopt(probe->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(probe->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(probe->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(probe->fd, &options->target.any, options->target_bytes) == 0;
}

static void close_socket(struct sl_load_probe *probe)
{
    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
}

static bool ask(struct sl_load_probe *probe)
{
    char text[SL_LOAD_PATH_MAX + 256];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sl_load-probe\r\n\r\n",
                       probe->options->probe_path, probe->options->host);
    return send(probe->fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}

/* false: no answer, or another one than 200. */
static bool hear(struct sl_load_probe *probe)
{
    struct sl_load_reply reply;
    char bytes[4096];
    sl_load_reply_reset(&reply);
    for (;;) {
        ssize_t n = recv(probe->fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        size_t used;
        enum sl_load_reply_event event = sl_load_reply_feed(&reply, bytes, (size_t)n, &used);
        if (event == SL_LOAD_REPLY_MORE)
            continue;
        bool is_good = event == SL_LOAD_REPLY_DONE && reply.status == 200 && used == (size_t)n;
        if (reply.closes)
            close_socket(probe);
        return is_good;
    }
}

static void sleep_until(uint64_t due_ns)
{
    struct timespec due = {.tv_sec = (time_t)(due_ns / SL_SEC), .tv_nsec = (long)(due_ns % SL_SEC)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) != 0)
        ;
}

/* Short slices (Linux 6.12): beside the load the probe itself would else wait for its turn, and measure that. */
static void ask_for_short_slices(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes = {.size = sizeof attributes, .policy = SCHED_OTHER, .runtime_ns = SL_MS / 10};
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void *run(void *arg)
{
    ask_for_short_slices();
    struct sl_load_probe *probe = arg;
    uint64_t interval_ns = probe->options->probe_interval_ms * SL_MS, free_ns = 0;
    for (uint64_t due_ns = sl_clock_now_ns() + interval_ns; !atomic_load(&probe->is_over); due_ns += interval_ns) {
        sleep_until(due_ns);
        uint64_t could_ns = due_ns > free_ns ? due_ns : free_ns;
        sl_load_histogram_add(&probe->late, sl_clock_now_ns() - could_ns);
        if ((probe->fd >= 0 || open_socket(probe)) && ask(probe) && hear(probe)) {
            sl_load_histogram_add(&probe->latency, sl_clock_now_ns() - due_ns);
        } else {
            probe->errors++;
            close_socket(probe);
        }
        free_ns = sl_clock_now_ns();
    }
    close_socket(probe);
    return NULL;
}

void sl_load_probe_start(struct sl_load_probe *probe, const struct sl_load_options *options)
{
    memset(probe, 0, sizeof *probe);
    probe->options = options;
    probe->fd = -1;
    if (options->probe_path != NULL && pthread_create(&probe->thread, NULL, run, probe) != 0)
        abort();
}

void sl_load_probe_stop(struct sl_load_probe *probe, struct sl_load_stats *stats)
{
    if (probe->options->probe_path == NULL)
        return;
    atomic_store(&probe->is_over, true);
    pthread_join(probe->thread, NULL);
    stats->probe = probe->latency;
    stats->late = probe->late;
    stats->probe_errors = probe->errors;
}
