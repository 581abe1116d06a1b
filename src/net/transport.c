#include "sluice/net/transport.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

struct sl_transport {
    h2o_socket_t *socket; /* always DONT_READ */
    void *owner;
    sl_transport_readable_cb on_readable;
    sl_transport_written_cb on_written;
    bool is_reading, is_unix, is_reset_on_close;
    char peer_text[INET6_ADDRSTRLEN];
};

static void put_peer_text(struct sl_transport *transport)
{
    struct sockaddr_storage address = {0};
    /* Asked now, for h2o keeps the answer: the log still wants it when the peer is gone. */
    h2o_socket_getpeername(transport->socket, (struct sockaddr *)&address);
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, transport->peer_text, INET6_ADDRSTRLEN);
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, transport->peer_text, INET6_ADDRSTRLEN);
    else /* a peer that has reset already has no address */
        snprintf(transport->peer_text, INET6_ADDRSTRLEN, "%s", transport->is_unix ? "unix" : "unknown");
}

struct sl_transport *sl_transport_create(h2o_socket_t *socket)
{
    struct sl_transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL)
        abort();
    transport->socket = socket;
    socket->data = transport;
    h2o_socket_dont_read(socket, 1);
    int domain = AF_UNSPEC;
    socklen_t len = sizeof domain;
    (void)getsockopt(h2o_socket_get_fd(socket), SOL_SOCKET, SO_DOMAIN, &domain, &len);
    transport->is_unix = domain == AF_UNIX;
    put_peer_text(transport);
    return transport;
}

void sl_transport_set_owner(struct sl_transport *transport, void *owner)
{
    transport->owner = owner;
}

static enum sl_read receive(struct sl_transport *transport, char *into, size_t len, int flags, size_t *n_out)
{
    assert(len > 0);
    ssize_t n;
    do
        n = recv(h2o_socket_get_fd(transport->socket), into, len, flags);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        *n_out = (size_t)n;
        return SL_READ_BYTES;
    }
    if (n == 0)
        return SL_READ_END;
    return errno == EAGAIN ? SL_READ_LATER : SL_READ_BROKEN;
}

enum sl_read sl_transport_read(struct sl_transport *transport, char *into, size_t len, size_t *n_out)
{
    return receive(transport, into, len, 0, n_out);
}

enum sl_read sl_transport_discard(struct sl_transport *transport, size_t len, size_t *n_out)
{
    /* MSG_TRUNC discards on TCP; a unix socket would copy, so it gets a place to copy to. */
    static _Thread_local char waste[16384];
    if (!transport->is_unix)
        return receive(transport, NULL, len, MSG_TRUNC, n_out);
    return receive(transport, waste, len < sizeof waste ? len : sizeof waste, 0, n_out);
}

static void on_readable(h2o_socket_t *socket, const char *err)
{
    struct sl_transport *transport = socket->data;
    (void)err; /* the read that follows will see it */
    transport->on_readable(transport->owner);
}

void sl_transport_read_start(struct sl_transport *transport, sl_transport_readable_cb cb)
{
    transport->on_readable = cb;
    if (transport->is_reading)
        return;
    transport->is_reading = true;
    h2o_socket_read_start(transport->socket, on_readable);
}

void sl_transport_read_stop(struct sl_transport *transport)
{
    if (!transport->is_reading)
        return;
    transport->is_reading = false;
    h2o_socket_read_stop(transport->socket);
}

static void on_written(h2o_socket_t *socket, const char *err)
{
    struct sl_transport *transport = socket->data;
    sl_transport_written_cb cb = transport->on_written;
    transport->on_written = NULL;
    cb(transport->owner, err == NULL ? SL_OK : SL_CLIENT_GONE);
}

void sl_transport_write(struct sl_transport *transport, const h2o_iovec_t *pieces, size_t count,
                        sl_transport_written_cb cb)
{
    assert(transport->on_written == NULL && count > 0);
    transport->on_written = cb;
    h2o_socket_write(transport->socket, (h2o_iovec_t *)pieces, count, on_written);
}

void sl_transport_shutdown_write(struct sl_transport *transport)
{
    assert(transport->on_written == NULL);
    (void)shutdown(h2o_socket_get_fd(transport->socket), SHUT_WR);
}

void sl_transport_close(struct sl_transport *transport)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (transport->is_reset_on_close)
        (void)setsockopt(h2o_socket_get_fd(transport->socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    sl_transport_read_stop(transport);
    h2o_socket_close(transport->socket);
    free(transport);
}

void sl_transport_reset_on_close(struct sl_transport *transport)
{
    transport->is_reset_on_close = true;
}

socklen_t sl_transport_peer(struct sl_transport *transport, struct sockaddr *address_out)
{
    return h2o_socket_getpeername(transport->socket, address_out);
}

socklen_t sl_transport_local(struct sl_transport *transport, struct sockaddr *address_out)
{
    return h2o_socket_getsockname(transport->socket, address_out);
}

const char *sl_transport_peer_text(const struct sl_transport *transport)
{
    return transport->peer_text;
}
