/* Private to http: what connections of every protocol have in common. Loop thread. */
#ifndef SLUICE_HTTP_CONNECTION_H
#define SLUICE_HTTP_CONNECTION_H

#include "sluice/http/http.h"
#include "sluice/net/transport.h"

#define SL_H2_PREFACE        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113 section 3.4 */
#define SL_H2_PREFACE_BYTES  (sizeof SL_H2_PREFACE - 1)
#define SL_READ_BUDGET_BYTES ((size_t)1 << 20)     /* a wake-up; then other connections have their turn */
#define SL_LINGER_BYTES_MAX  ((uint64_t)256 << 20) /* what may come behind an early answer, or behind the last one */

struct sl_connection;

struct sl_connection_ops {
    /* No new requests; closes itself if it is idle, else after its present answers. */
    void (*drain)(struct sl_connection *connection);
    /* Closes itself. */
    void (*close)(struct sl_connection *connection, sl_err why);
};

struct sl_connection {
    h2o_conn_t h2o; /* first: h2o knows connections by it */
    struct sl_http *http;
    struct sl_transport *transport;
    const struct sl_connection_ops *ops;
    struct sl_link link; /* http->connections */
    h2o_timeout_entry_t timer;
    uint64_t linger_left; /* bytes that may still come */
};

/* Makes one of `bytes` bytes, zeroed behind its base, and counts it. transport: taken. Aborts when memory is out. */
struct sl_connection *sl_connection_create(size_t bytes, struct sl_http *http, struct sl_transport *transport,
                                           const struct sl_connection_ops *ops);

/* Frees it. The transport is closed with it. */
void sl_connection_destroy(struct sl_connection *connection);

/* Hands the transport over to a connection of another protocol, made meanwhile, and frees the rest. */
void sl_connection_leave_transport(struct sl_connection *connection);

/* Begins one that came by this connection: see sl_request_begin. */
void sl_connection_begin_request(const struct sl_connection *connection, struct sl_request *request);

/* One timer a connection; timeout NULL: none. */
void sl_connection_set_timer(struct sl_connection *connection, h2o_timeout_t *timeout, h2o_timeout_cb on_timeout);

/* Nothing more is said. What still comes is dropped, up to so many bytes and for linger_timeout, lest a reset eat the
 * last answer; then ops->close. Takes the timer. */
void sl_connection_linger(struct sl_connection *connection, uint64_t bytes_max);

/* The protocols. transport: taken. bytes: what was read of it already, lent for the call. */
void sl_h1_begin(struct sl_http *http, struct sl_transport *transport);
void sl_h2_begin(struct sl_http *http, struct sl_transport *transport, struct sl_bytes bytes);

/* Gives back what HTTP/2 keeps for the next body. */
void sl_h2_held_free_spare(struct sl_http *http);

#endif
