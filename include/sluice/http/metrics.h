/* What all loops count, and its text for GET /metrics (Prometheus, text format 0.0.4). Each loop counts in a place of
 * its own; whoever is asked adds them up. */
#ifndef SLUICE_HTTP_METRICS_H
#define SLUICE_HTTP_METRICS_H

#include "sluice/base/bytes.h"
#include "sluice/net/loop.h"
#include "sluice/upload/stats.h"

/* What a request is for, as the routes found it. */
enum sl_route {
    SL_ROUTE_NONE, /* its head was refused */
    SL_ROUTE_HOME,
    SL_ROUTE_BASE,
    SL_ROUTE_FILE,
    SL_ROUTE_UPLOAD,
    SL_ROUTE_DONE,
    SL_ROUTE_ERRORS,
    SL_ROUTE_HEALTH,
    SL_ROUTE_READY,
    SL_ROUTE_METRICS,
    SL_ROUTE_OTHER,
    SL_ROUTES
};

#define SL_COUNTED_METHODS  8  /* the last: any other */
#define SL_COUNTED_STATUSES 36 /* likewise */

/* received = discarded + what uploads tell of theirs (upload/stats.h): written + framing + aborted + buffered. */
struct sl_http_stats {
    struct sl_counter received_bytes;  /* of bodies, without the framing of HTTP */
    struct sl_counter discarded_bytes; /* that nobody wanted any more */
    struct sl_counter sent_bytes;      /* of bodies */
    struct sl_counter requests[SL_ROUTES][SL_COUNTED_METHODS][SL_COUNTED_STATUSES];
};

/* How it is now. */
struct sl_loop_gauges {
    struct sl_counter connections;
    struct sl_counter disk_operations;
    struct sl_counter buffer_bytes, buffer_free_bytes, buffers_in_use, buffer_waiters;
};

struct sl_loop_stats {
    struct sl_lag lag;
    struct sl_upload_stats uploads;
    struct sl_histogram syncs;
    struct sl_http_stats http;
    struct sl_loop_gauges gauges;
    _Atomic(const char *) engine; /* NULL: not known yet */
};

struct sl_metrics {
    unsigned loop_count; /* fixed after create */
    struct sl_loop_stats loops[];
};

/* All zero. Aborts when memory is out: start-up only. Outlives all loops. */
struct sl_metrics *sl_metrics_create(unsigned loops);
/* NULL is fine. */
void sl_metrics_destroy(struct sl_metrics *metrics);

/* The loop's thread. */
void sl_metrics_count_request(struct sl_http_stats *stats, enum sl_route route, struct sl_bytes method, int status);

/* What is not among the counters. */
struct sl_metrics_more {
    uint64_t disk_free_bytes;
    uint64_t unfinished_uploads;
};

/* What sl_metrics_put needs, the text and room to add up in. */
size_t sl_metrics_room(const struct sl_metrics *metrics);

/* Adds up and puts the text; room: aligned as malloc does, sl_metrics_room bytes, the caller's. The result lies in it.
 * Any thread; nothing waits for anything. */
struct sl_bytes sl_metrics_put(const struct sl_metrics *metrics, const struct sl_metrics_more *more,
                               struct sl_room room);

#endif
