#include "connection.h"

#include "sluice/base/log.h"

#include <stdlib.h>

static socklen_t get_sockname(h2o_conn_t *h2o, struct sockaddr *address)
{
    return sl_transport_local(((struct sl_connection *)h2o)->transport, address);
}

static socklen_t get_peername(h2o_conn_t *h2o, struct sockaddr *address)
{
    return sl_transport_peer(((struct sl_connection *)h2o)->transport, address);
}

struct sl_connection *sl_connection_create(size_t bytes, struct sl_http *http, struct sl_transport *transport,
                                           const struct sl_connection_ops *ops)
{
    static const h2o_conn_callbacks_t callbacks = {.get_sockname = get_sockname, .get_peername = get_peername};
    struct timeval now = *h2o_get_timestamp(&http->context, NULL, NULL);
    struct sl_connection *connection =
        (struct sl_connection *)h2o_create_connection(bytes, &http->context, http->config.hosts, now, &callbacks);
    memset((char *)connection + sizeof connection->h2o, 0, bytes - sizeof connection->h2o);
    connection->http = http;
    connection->transport = transport;
    connection->ops = ops;
    sl_transport_set_owner(transport, connection);
    sl_list_append(&http->connections, &connection->link);
    http->connection_count++;
    return connection;
}

void sl_connection_leave_transport(struct sl_connection *connection)
{
    sl_connection_set_timer(connection, NULL, NULL);
    sl_link_unlink(&connection->link);
    connection->http->connection_count--;
    free(connection);
}

void sl_connection_destroy(struct sl_connection *connection)
{
    struct sl_http *http = connection->http;
    sl_transport_close(connection->transport);
    sl_connection_leave_transport(connection);
    http->on_connection_closed(http->ctx);
}

void sl_connection_begin_request(const struct sl_connection *connection, struct sl_request *request)
{
    const struct sl_transport *transport = connection->transport;
    sl_request_begin(request, connection->http, sl_transport_peer_text(transport),
                     sl_transport_is_trusted(transport));
}

void sl_connection_set_timer(struct sl_connection *connection, h2o_timeout_t *timeout, h2o_timeout_cb on_timeout)
{
    h2o_timeout_unlink(&connection->timer);
    if (timeout == NULL)
        return;
    connection->timer.cb = on_timeout;
    h2o_timeout_link(connection->http->context.loop, timeout, &connection->timer);
}

/* ---- the end ---- */

static void on_linger_timeout(h2o_timeout_entry_t *entry)
{
    struct sl_connection *connection = SL_CONTAINER_OF(entry, struct sl_connection, timer);
    connection->ops->close(connection, SL_OK);
}

static void on_linger_readable(void *owner)
{
    struct sl_connection *connection = owner;
    size_t n, budget = SL_READ_BUDGET_BYTES;
    enum sl_read read = SL_READ_BYTES;
    bool is_over = false;
    while (budget > 0 && !is_over &&
           (read = sl_transport_discard(connection->transport, budget, &n)) == SL_READ_BYTES) {
        is_over = n > connection->linger_left;
        connection->linger_left -= is_over ? 0 : n;
        budget -= n < budget ? n : budget;
    }
    if (is_over || read == SL_READ_END || read == SL_READ_BROKEN)
        connection->ops->close(connection, SL_OK);
}

void sl_connection_linger(struct sl_connection *connection, uint64_t bytes_max)
{
    connection->linger_left = bytes_max;
    sl_transport_shutdown_write(connection->transport);
    sl_connection_set_timer(connection, &connection->http->linger_timeout, on_linger_timeout);
    sl_transport_read_start(connection->transport, on_linger_readable);
}

/* ---- shaking hands ---- */

static void close_handshake(struct sl_connection *connection, sl_err why)
{
    (void)why;
    sl_connection_destroy(connection);
}

static void on_handshake_timeout(h2o_timeout_entry_t *entry)
{
    sl_connection_destroy(SL_CONTAINER_OF(entry, struct sl_connection, timer)); /* nothing was asked */
}

static void drain_handshake(struct sl_connection *connection)
{
    sl_connection_set_timer(connection, &connection->http->notice_timeout, on_handshake_timeout);
}

static void on_ready(void *owner, sl_err err)
{
    struct sl_connection *connection = owner;
    struct sl_http *http = connection->http;
    struct sl_transport *transport = connection->transport;
    if (err != SL_OK) {
        sl_connection_destroy(connection);
        return;
    }
    sl_connection_leave_transport(connection);
    if (sl_transport_is_h2(transport))
        sl_h2_begin(http, transport, (struct sl_bytes){0});
    else
        sl_h1_begin(http, transport);
}

/* Without a word: who comes in such numbers is to cost nothing. */
static void refuse(struct sl_transport *transport)
{
    sl_err_count(SL_TOO_MANY_OF_PEER);
    sl_log(SL_LOG_DEBUG, "a connection of %s is one too many", sl_transport_peer_text(transport));
    sl_transport_reset_on_close(transport);
    sl_transport_close(transport);
}

static void accept_connection(struct sl_http *http, h2o_socket_t *socket, struct sl_tls *tls, bool is_admin)
{
    static const struct sl_connection_ops ops = {.drain = drain_handshake, .close = close_handshake};
    struct sl_transport *transport = sl_transport_create(socket, tls, &http->context.zero_timeout);
    sl_transport_set_admin(transport, is_admin);
    bool is_proxy = http->options.trusted != NULL &&
                    sl_trusted_has(http->options.trusted, sl_bytes_of(sl_transport_peer_text(transport)));
    sl_transport_set_trusted(transport, is_proxy); /* and it brings everybody: it is not one too many */
    if (!is_admin && !is_proxy && http->options.peers != NULL &&
        !sl_transport_count(transport, http->options.peers)) {
        refuse(transport);
        return;
    }
    if (tls == NULL) {
        sl_h1_begin(http, transport);
        return;
    }
    struct sl_connection *connection = sl_connection_create(sizeof *connection, http, transport, &ops);
    sl_connection_set_timer(connection, http->is_draining ? &http->notice_timeout : &http->head_timeout,
                            on_handshake_timeout);
    sl_transport_handshake(transport, on_ready);
}

void sl_http_accept(struct sl_http *http, h2o_socket_t *socket, struct sl_tls *tls)
{
    accept_connection(http, socket, tls, false);
}

void sl_http_accept_admin(struct sl_http *http, h2o_socket_t *socket, struct sl_tls *tls)
{
    accept_connection(http, socket, tls, true);
}

/* ---- all of them ---- */

static void drain(struct sl_connection *connection)
{
    connection->ops->drain(connection);
}

static void close_now(struct sl_connection *connection)
{
    connection->ops->close(connection, SL_DRAINING);
}

/* Walks the connections in a way that allows each to close itself, but no other. */
static void for_each(struct sl_http *http, void (*visit)(struct sl_connection *connection))
{
    struct sl_link *next;
    for (struct sl_link *link = http->connections.next; link != &http->connections; link = next) {
        next = link->next;
        visit(SL_CONTAINER_OF(link, struct sl_connection, link));
    }
}

void sl_http_drain(struct sl_http *http)
{
    http->is_draining = true;
    for_each(http, drain);
}

void sl_http_close_all(struct sl_http *http)
{
    http->is_draining = true;
    for_each(http, close_now);
}
