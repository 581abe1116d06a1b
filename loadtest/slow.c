/* sl_slow: clients that hold what they can and give as little as they can. Heads that never end, a line of one byte at
 * a time; bodies that do likewise; readers who asked for a large file and take a few bytes of it. What the server ends
 * comes again at once, as those who mean it do. Loopback only.
 *
 * usage: sl_slow --target HOST:PORT [--heads N] [--bodies N] [--readers N] [--path /files/LARGE] [--duration SECONDS]
 * Prints "up" when all are connected and each has had its turn since, goes on until its stdin ends (or --duration has
 * passed), then prints one JSON object: how many are there, how many were in the worst moment since all were, how many
 * came again. */
#include "load_options.h"

#include "sluice/base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define SLICES         1000u /* of a second: each gives its share of the connections their byte */
#define CONNECTING_MAX 256u  /* more only overflow the server's backlog, and a lost SYN costs a second */
#define READ_BYTES     16u   /* a second */
#define WINDOW_BYTES   4096  /* the kernel takes its smallest: what was asked for stays at the server */

enum kind { HEAD, BODY, READER, KINDS };
enum state { AWAY, CONNECTING, UP };

struct conn {
    int fd;
    enum kind kind;
    enum state state;
    uint64_t given; /* bytes of what never ends */
};

static struct {
    struct sl_load_options target; /* of which only that is used */
    unsigned wanted[KINDS], count;
    const char *path;
    uint64_t duration_s;
    struct conn *conns;
    int epoll_fd;
    unsigned connecting, up[KINDS], next_away;
    unsigned least_up;
    uint64_t full_since; /* slice; 0: they never were all there */
    uint64_t ended[KINDS];
} s = {.path = "/files/", .duration_s = 300};

static const char *const kind_names[KINDS] = {[HEAD] = "heads", [BODY] = "bodies", [READER] = "readers"};

static unsigned up_count(void)
{
    return s.up[HEAD] + s.up[BODY] + s.up[READER];
}

/* ---- a connection ---- */

static void leave(struct conn *conn)
{
    if (conn->state == CONNECTING)
        s.connecting--;
    if (conn->state == UP) {
        s.up[conn->kind]--;
        s.ended[conn->kind]++;
    }
    close(conn->fd);
    conn->fd = -1;
    conn->state = AWAY;
}

static void come(struct conn *conn)
{
    int one = 1, window = WINDOW_BYTES;
    conn->fd = socket(s.target.target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = conn};
    if ((connect(conn->fd, &s.target.target.any, s.target.target_bytes) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(s.epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        close(conn->fd);
        conn->fd = -1;
        return;
    }
    conn->state = CONNECTING;
    conn->given = 0;
    s.connecting++;
}

static bool say(const struct conn *conn, const char *text, size_t len)
{
    return send(conn->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool begin(const struct conn *conn)
{
    char text[1024];
    int len = 0;
    switch (conn->kind) {
    case HEAD: len = snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: %s\r\n", s.target.host); break;
    case BODY:
        len = snprintf(text, sizeof text,
                       "PUT /files/slow-%td-%llx.bin HTTP/1.1\r\nHost: %s\r\nContent-Length: 1048576\r\n\r\n",
                       conn - s.conns, (unsigned long long)sl_clock_now_ns(), s.target.host);
        break;
    case READER:
        len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", s.path, s.target.host);
        break;
    case KINDS: abort();
    }
    return say(conn, text, (size_t)len);
}

/* A byte of the head or the body; some of the answer. false: the server has had enough. */
static bool drip(struct conn *conn)
{
    static const char field[] = "X-A: b\r\n";
    char bytes[READ_BYTES];
    if (conn->kind == READER) {
        ssize_t got = recv(conn->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        return got > 0 || (got < 0 && errno == EAGAIN);
    }
    if (recv(conn->fd, bytes, 1, MSG_DONTWAIT | MSG_PEEK) >= 0)
        return false; /* an answer, or the end: neither was asked for yet */
    return errno == EAGAIN && say(conn, &field[conn->given++ % (sizeof field - 1)], 1);
}

/* ---- all of them ---- */

static void on_event(struct conn *conn)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    epoll_ctl(s.epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    if (error != 0)
        return leave(conn);
    s.connecting--;
    conn->state = UP;
    s.up[conn->kind]++;
    if (!begin(conn))
        leave(conn);
}

/* Brings back who is away, as many as may be connecting at once, each in its turn. */
static void fill(void)
{
    for (unsigned i = 0; i < s.count && s.connecting < CONNECTING_MAX; i++) {
        struct conn *conn = &s.conns[s.next_away];
        s.next_away = (s.next_away + 1) % s.count;
        if (conn->state == AWAY)
            come(conn);
    }
}

static void drip_slice(unsigned slice)
{
    for (unsigned i = slice; i < s.count; i += SLICES)
        if (s.conns[i].state == UP && !drip(&s.conns[i]))
            leave(&s.conns[i]);
}

static void note_up(uint64_t slice)
{
    unsigned up = up_count();
    if (s.full_since == 0 && up == s.count) {
        s.full_since = slice;
        s.least_up = up;
    }
    if (s.full_since != 0 && up < s.least_up)
        s.least_up = up;
}

/* Arriving is over when each has given or taken something. */
static void tell_up(uint64_t slice)
{
    if (s.full_since == 0 || slice != s.full_since + SLICES)
        return;
    puts("up");
    fflush(stdout);
}

/* What epoll has, for as long as a slice lasts. false: stdin has ended. */
static bool wait_slice(uint64_t slice, uint64_t end_ns)
{
    struct epoll_event events[256];
    for (uint64_t now_ns; (now_ns = sl_clock_now_ns()) < end_ns;) {
        int n = epoll_wait(s.epoll_fd, events, 256, (int)((end_ns - now_ns + SL_MS - 1) / SL_MS));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                return false;
            on_event(events[i].data.ptr);
        }
        note_up(slice);
        fill();
    }
    return true;
}

static void run(void)
{
    uint64_t start_ns = sl_clock_now_ns(), slice_ns = SL_SEC / SLICES;
    struct epoll_event end = {.events = EPOLLIN | EPOLLHUP};
    epoll_ctl(s.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &end);
    fill();
    for (uint64_t slice = 1; slice <= s.duration_s * SLICES; slice++) {
        if (!wait_slice(slice, start_ns + slice * slice_ns))
            return;
        drip_slice((unsigned)(slice % SLICES));
        tell_up(slice);
    }
}

static void report(void)
{
    printf("{\"wanted\": %u, \"up\": %u, \"least_up\": %u, \"ended\": {", s.count, up_count(), s.least_up);
    for (unsigned kind = 0; kind < KINDS; kind++)
        printf("%s\"%s\": %llu", kind > 0 ? ", " : "", kind_names[kind], (unsigned long long)s.ended[kind]);
    puts("}}");
}

/* ---- start ---- */

static bool read_command_line(int argc, char **argv)
{
    enum { PATH = KINDS, TARGET, DURATION };
    static const struct option table[] = {
        {"heads", 1, NULL, HEAD}, {"bodies", 1, NULL, BODY},   {"readers", 1, NULL, READER},
        {"path", 1, NULL, PATH},  {"target", 1, NULL, TARGET}, {"duration", 1, NULL, DURATION},
        {NULL, 0, NULL, 0}};
    char *words[] = {argv[0], "--target", NULL, NULL};
    bool is_good = true;
    for (int key; (key = getopt_long(argc, argv, "", table, NULL)) != -1;)
        switch (key) {
        case HEAD:
        case BODY:
        case READER: s.wanted[key] = (unsigned)strtoul(optarg, NULL, 10); break;
        case PATH: s.path = optarg; break;
        case TARGET: words[2] = optarg; break;
        case DURATION: s.duration_s = strtoul(optarg, NULL, 10); break;
        default: is_good = false; break;
        }
    optind = 1;
    return is_good && words[2] != NULL && sl_load_options_read(&s.target, 3, words);
}

static void make_connections(void)
{
    struct rlimit limit;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned kind = 0; kind < KINDS; kind++)
        s.count += s.wanted[kind];
    s.conns = calloc(s.count, sizeof *s.conns);
    s.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s.conns == NULL || s.epoll_fd < 0)
        abort();
    for (unsigned kind = 0, at = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < s.wanted[kind]; i++)
            s.conns[at++] = (struct conn){.fd = -1, .kind = (enum kind)kind};
}

int main(int argc, char **argv)
{
    if (!read_command_line(argc, argv)) {
        fputs("usage: sl_slow --target HOST:PORT [--heads N] [--bodies N] [--readers N] [--path PATH] "
              "[--duration SECONDS]\n",
              stderr);
        return 2;
    }
    make_connections();
    if (s.count > 0)
        run();
    report();
    free(s.conns);
    return s.full_since != 0 ? 0 : 1;
}
