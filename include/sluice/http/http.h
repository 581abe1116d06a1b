/* HTTP of one loop: its connections, its routes, its settings. Loop thread. */
#ifndef SLUICE_HTTP_HTTP_H
#define SLUICE_HTTP_HTTP_H

#include "sluice/base/list.h"
#include "sluice/decode/forwarded.h"
#include "sluice/http/metrics.h"
#include "sluice/http/request.h"
#include "sluice/net/peers.h"
#include "sluice/net/tls.h"
#include "sluice/upload/intake.h"

struct sl_http_options {
    const char *base_path;    /* "/files/" */
    const char *public_url;   /* "" : from Host */
    const char *cors_origins; /* origins, or "*", parted by spaces; "": none */
    uint64_t head_timeout_ms, body_timeout_ms;
    uint64_t idle_timeout_ms;         /* for the next request */
    uint64_t write_timeout_ms;        /* of a reader that takes nothing */
    uint64_t notice_timeout_ms;       /* while we drain: for what was asked by who could not know that */
    uint64_t min_rate_bytes_s;        /* 0: off */
    uint64_t max_append_bytes;        /* of one request that goes on with an upload; 0: no limit */
    struct sl_peers *peers;           /* lent; NULL: as many connections of one address as of all */
    const struct sl_trusted *trusted; /* proxies: lent; NULL: none */
    bool is_interim_on;               /* 104 to clients that understand it */
    bool is_interim_proxied;          /* also where a proxy stands between */
    struct sl_metrics *metrics;       /* lent; NULL: this one's own */
    unsigned loop;                    /* which of the metrics' loops this one is */
    bool has_admin; /* what is for the operator is served by sl_http_accept_admin's connections alone */
};

struct sl_http {
    /* fixed after create */
    struct sl_http_options options; /* its strings are lent */
    struct sl_intake *intake;
    h2o_globalconf_t config;
    h2o_context_t context;
    struct sl_metrics *metrics;  /* what GET /metrics tells */
    struct sl_http_stats *stats; /* this loop's part of it */
    bool has_own_metrics;
    struct sl_ready *ready; /* what is known of whether it can store */
    h2o_timeout_t head_timeout, keep_alive_timeout, body_timeout, write_timeout, linger_timeout;
    h2o_timeout_t notice_timeout;
    /* loop thread */
    /* Kept for the next request. */
    h2o_mem_recycle_t head_rooms, short_rooms, upload_rooms, form_rooms, form_file_rooms;
    struct sl_link connections;
    unsigned connection_count;
    size_t text_bytes;                       /* of forms' text fields */
    unsigned download_slabs;                 /* held by downloads, which must leave buffers for uploads */
    unsigned download_smalls;                /* likewise, of small ones */
    struct sl_link download_line;            /* downloads that wait for one */
    struct sl_link senders;                  /* those that send from one, the oldest first */
    uint64_t h2_growth_bytes, h2_held_bytes; /* of HTTP/2: windows beyond the first size; bodies held back */
    struct sl_h2_block *h2_spare;            /* for bodies that are to be held */
    char *h2_buffer; /* received bytes, for the length of a call; NULL until HTTP/2 is spoken */
    unsigned h2_spare_count;
    uint64_t h2_head_bytes;    /* likewise: what open streams keep of their heads */
    uint64_t h2_answer_bytes;  /* likewise: and of answers that their clients have not taken */
    uint64_t h2_queued_frames; /* likewise: what waits to be written */
    bool is_draining;
    uint64_t id_state; /* of the request ids we make */
    void (*on_connection_closed)(void *ctx);
    void *ctx;
};

/* loop, intake: lent until destroy. on_connection_closed runs after each one. Aborts when memory is out. */
struct sl_http *sl_http_create(h2o_loop_t *loop, struct sl_intake *intake, const struct sl_http_options *options,
                               void (*on_connection_closed)(void *ctx), void *ctx);

/* No connection may be left. */
void sl_http_destroy(struct sl_http *http);

/* Is a body slower than its least rate, of which `received` bytes came while `waited_ns` were waited for them? Not in
 * the first half minute, or what a body may stall if that is less. */
bool sl_http_is_too_slow(const struct sl_http *http, uint64_t waited_ns, uint64_t received);

/* As each turn of the loop ends, within it, and once a second: gives out the intake's buffers, and takes some from
 * readers who do not read for whoever still waits. */
void sl_http_run(struct sl_http *http);

/* Serves a connection. socket: taken. tls: NULL for a plain one; else shared as long as it lasts. */
void sl_http_accept(struct sl_http *http, h2o_socket_t *socket, struct sl_tls *tls);
/* The same for one that is for the operator: /metrics, /healthz and /readyz are all it gets. */
void sl_http_accept_admin(struct sl_http *http, h2o_socket_t *socket, struct sl_tls *tls);

/* Closes what is idle; the rest closes with its present answer. Who has just come is served once, if it asks soon, and
 * so is what was sent before the end could be known. */
void sl_http_drain(struct sl_http *http);

/* Closes everything now; uploads in progress are aborted. */
void sl_http_close_all(struct sl_http *http);

#endif
