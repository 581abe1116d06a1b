#include "sluice/net/listener.h"

#include "sluice/base/doing.h"
#include "sluice/base/list.h"
#include "sluice/base/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG          1024
#define ACCEPTS_PER_TURN 16 /* then others have their turn */
#define REST_MS          100

struct sl_listener {
    h2o_loop_t *loop;
    h2o_socket_t *socket;
    sl_listener_cb on_accept;
    void *ctx;
    bool is_paused, is_in_want;
    h2o_timeout_t rest; /* linked: there was no descriptor, or no memory, for one who waits */
    h2o_timeout_entry_t rest_entry;
};

/* ---- opening ---- */

static int open_unix(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const char *path = ((const struct sockaddr_un *)address)->sun_path;
    struct stat stat;
    bool is_dead = fd >= 0 && connect(fd, address, len) != 0 && errno == ECONNREFUSED;
    if (is_dead && lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode))
        (void)unlink(path); /* left by one that died */
    return fd;
}

static void share_port(int fd)
{
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

static int open_tcp(const struct sockaddr *address)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, off = 0;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    /* No handshake wakes the loop before there is something to read. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    return fd;
}

/* -1 with errno set, and nothing open. The first socket of an address is bound as the only one and shares its port only
 * then: a second sluice on it must fail, not get every other connection. */
static int open_one(const struct sockaddr *address, socklen_t len, bool is_first)
{
    bool is_tcp = address->sa_family != AF_UNIX;
    int fd = is_tcp ? open_tcp(address) : open_unix(address, len);
    if (fd < 0)
        return -1;
    if (is_tcp && !is_first)
        share_port(fd);
    bool is_bound = bind(fd, address, len) == 0;
    if (is_bound && is_tcp && is_first)
        share_port(fd);
    if (is_bound && listen(fd, BACKLOG) == 0)
        return fd;
    int sys_errno = errno;
    close(fd);
    errno = sys_errno;
    return -1;
}

/* A name without a file begins with NUL, and is written with '@'. */
static void put_unix_url(const struct sockaddr_un *un, socklen_t len, char *url_out, size_t room)
{
    size_t name_len = len - offsetof(struct sockaddr_un, sun_path);
    if (un->sun_path[0] != '\0' || name_len < 2)
        snprintf(url_out, room, "unix:%s", un->sun_path);
    else
        snprintf(url_out, room, "unix:@%.*s", (int)name_len - 1, un->sun_path + 1);
}

static void put_url(const struct sockaddr_storage *address, socklen_t len, char *url_out, size_t room)
{
    char text[INET6_ADDRSTRLEN];
    if (address->ss_family == AF_UNIX) {
        put_unix_url((const struct sockaddr_un *)address, len, url_out, room);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
            snprintf(url_out, room, "http://localhost:%u", ntohs(in6->sin6_port));
        else
            snprintf(url_out, room, "http://[%s]:%u", text, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        bool is_any = in->sin_addr.s_addr == htonl(INADDR_ANY);
        snprintf(url_out, room, "http://%s:%u", is_any ? "localhost" : text, ntohs(in->sin_port));
    }
}

/* The other sockets of the same address; the first decided what port 0 means. bound: NULL for one that cannot be had
 * twice. */
static bool open_more(const struct sockaddr_storage *bound, socklen_t len, unsigned count, int *fds)
{
    for (unsigned i = 1; i < count; i++) {
        fds[i] =
            bound == NULL ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : open_one((const struct sockaddr *)bound, len, false);
        if (fds[i] >= 0)
            continue;
        int sys_errno = errno;
        while (i-- > 0)
            close(fds[i]);
        errno = sys_errno;
        return false;
    }
    return true;
}

/* `url_out` says where, and then why not. */
static sl_err refuse(int sys_errno, char *url_out, size_t room)
{
    char where[160];
    snprintf(where, sizeof where, "%s", url_out);
    snprintf(url_out, room, "listen: cannot listen on %s: %s", where, strerror(sys_errno));
    return sl_err_of_errno(sys_errno);
}

sl_err sl_listener_open(const struct sockaddr *address, socklen_t len, unsigned count, int *fds_out, char *url_out,
                        size_t room)
{
    assert(count > 0 && len <= sizeof(struct sockaddr_storage));
    struct sockaddr_storage bound = {0};
    memcpy(&bound, address, len);
    fds_out[0] = open_one(address, len, true);
    bool is_any6 =
        address->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
    if (fds_out[0] < 0 && errno == EAFNOSUPPORT && is_any6) {
        in_port_t port = ((const struct sockaddr_in6 *)address)->sin6_port;
        struct sockaddr_in all = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_ANY)};
        return sl_listener_open((struct sockaddr *)&all, sizeof all, count, fds_out, url_out, room);
    }
    if (fds_out[0] >= 0 && bound.ss_family != AF_UNIX)
        (void)getsockname(fds_out[0], (struct sockaddr *)&bound, &len);
    put_url(&bound, len, url_out, room);
    if (fds_out[0] >= 0 && open_more(bound.ss_family == AF_UNIX ? NULL : &bound, len, count, fds_out))
        return SL_OK;
    return refuse(errno, url_out, room);
}

/* Whoever gave it to us may go on using it, and so may a process like us: it keeps its options. But h2o makes it one
 * that does not block, and what is held of answers is bounded (sl_listener_start). */
sl_err sl_listener_adopt(int fd, unsigned count, int *fds_out, char *url_out, size_t room)
{
    assert(count > 0);
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    bool is_socket = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && getsockname(fd, (struct sockaddr *)&bound, &len) == 0;
    put_url(&bound, len, url_out, room);
    fds_out[0] = fd;
    if (is_socket && open_more(NULL, 0, count, fds_out))
        return SL_OK;
    sl_err err = refuse(errno, url_out, room);
    if (!is_socket)
        close(fd);
    return err;
}

/* ---- accepting ---- */

static void on_acceptable(h2o_socket_t *socket, const char *err);

static bool is_resting(struct sl_listener *listener)
{
    return h2o_timeout_is_linked(&listener->rest_entry);
}

static void on_rested(h2o_timeout_entry_t *entry)
{
    struct sl_listener *listener = SL_CONTAINER_OF(entry, struct sl_listener, rest_entry);
    if (!listener->is_paused)
        h2o_socket_read_start(listener->socket, on_acceptable);
}

/* Who waits stays in the kernel's queue, and the socket readable: asking again at once would take the whole thread from
 * those who could give a descriptor back. */
static void rest(struct sl_listener *listener)
{
    if (!listener->is_in_want)
        sl_log(SL_LOG_WARN, "connections have to wait: %s", strerror(errno));
    listener->is_in_want = true;
    h2o_socket_read_stop(listener->socket);
    h2o_timeout_link(listener->loop, &listener->rest, &listener->rest_entry);
}

static bool is_for_want(int sys_errno)
{
    return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOBUFS || sys_errno == ENOMEM;
}

/* false: nobody waits, or errno tells what there is none of. */
static bool accept_one(struct sl_listener *listener)
{
    h2o_socket_t *accepted = h2o_evloop_socket_accept(listener->socket);
    if (accepted == NULL)
        return false;
    listener->is_in_want = false;
    const char *before = sl_doing("accepting");
    listener->on_accept(accepted, listener->ctx);
    (void)sl_doing(before);
    return true;
}

static void on_acceptable(h2o_socket_t *socket, const char *err)
{
    struct sl_listener *listener = socket->data;
    if (err != NULL)
        return;
    for (int i = 0; i < ACCEPTS_PER_TURN && !listener->is_paused; i++) {
        if (accept_one(listener))
            continue;
        if (is_for_want(errno))
            rest(listener);
        return;
    }
}

/* What the kernel holds of an answer that nobody reads: by itself it would take up to 4 MB for each connection. A
 * socket that was accepted has it from here, until it is known to be read: sl_transport_widen. */
#define UNSENT_BYTES (16 << 10)

struct sl_listener *sl_listener_start(h2o_loop_t *loop, int fd, sl_listener_cb on_accept, void *ctx)
{
    int unsent = UNSENT_BYTES;
    struct sl_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        abort();
    listener->loop = loop;
    h2o_timeout_init(loop, &listener->rest, REST_MS);
    listener->rest_entry.cb = on_rested;
    listener->socket = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->socket->data = listener;
    listener->on_accept = on_accept;
    listener->ctx = ctx;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent); /* a unix socket has none */
    h2o_socket_read_start(listener->socket, on_acceptable);
    return listener;
}

void sl_listener_pause(struct sl_listener *listener)
{
    if (listener->is_paused)
        return;
    listener->is_paused = true;
    h2o_socket_read_stop(listener->socket);
}

void sl_listener_resume(struct sl_listener *listener)
{
    if (!listener->is_paused)
        return;
    listener->is_paused = false;
    if (!is_resting(listener))
        h2o_socket_read_start(listener->socket, on_acceptable);
}

/* Who was let into the queue believes to be connected, and would be reset with it. */
void sl_listener_close(struct sl_listener *listener)
{
    for (int i = 0; i < BACKLOG && !listener->is_paused && accept_one(listener); i++)
        ;
    h2o_timeout_unlink(&listener->rest_entry);
    h2o_timeout_dispose(listener->loop, &listener->rest);
    h2o_socket_read_stop(listener->socket);
    h2o_socket_close(listener->socket);
    free(listener);
}
