/* The counters of all loops, and which of them a request belongs to. */
#include "sluice/http/metrics.h"

#include "metrics_labels.h"

#include <assert.h>
#include <stdlib.h>

const char *const sl_route_names[SL_ROUTES] = {
    [SL_ROUTE_NONE] = "none",     [SL_ROUTE_HOME] = "home",       [SL_ROUTE_BASE] = "files",
    [SL_ROUTE_FILE] = "file",     [SL_ROUTE_UPLOAD] = "upload",   [SL_ROUTE_DONE] = "done",
    [SL_ROUTE_ERRORS] = "errors", [SL_ROUTE_HEALTH] = "healthz",  [SL_ROUTE_READY] = "readyz",
    [SL_ROUTE_OTHER] = "other",   [SL_ROUTE_METRICS] = "metrics",
};

const char *const sl_stage_names[SL_STAGES] = {
    [SL_STAGE_QUEUE] = "queue",   [SL_STAGE_OPEN] = "open", [SL_STAGE_RECEIVE] = "receive",
    [SL_STAGE_WRITE] = "write",   [SL_STAGE_HASH] = "hash", [SL_STAGE_FLUSH] = "flush",
    [SL_STAGE_COMMIT] = "commit",
};

const char *const sl_method_names[SL_COUNTED_METHODS] = {"GET",   "HEAD",   "PUT",     "POST",
                                                         "PATCH", "DELETE", "OPTIONS", "other"};

/* All that are answered with, and some to come. */
const int sl_statuses[SL_COUNTED_STATUSES - 1] = {200, 201, 202, 204, 206, 301, 303, 304, 307, 308, 400, 401,
                                                  403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415,
                                                  416, 417, 429, 431, 460, 499, 500, 501, 503, 505, 507};

struct sl_metrics *sl_metrics_create(unsigned loops)
{
    struct sl_metrics *metrics = calloc(1, sizeof *metrics + loops * sizeof metrics->loops[0]);
    if (metrics == NULL)
        abort();
    metrics->loop_count = loops;
    return metrics;
}

void sl_metrics_destroy(struct sl_metrics *metrics)
{
    free(metrics);
}

static unsigned index_of_method(struct sl_bytes method)
{
    unsigned i = 0;
    while (i < SL_COUNTED_METHODS - 1 && !sl_bytes_equal(method, sl_bytes_of(sl_method_names[i])))
        i++;
    return i;
}

static unsigned index_of_status(int status)
{
    unsigned i = 0;
    while (i < SL_COUNTED_STATUSES - 1 && sl_statuses[i] != status)
        i++;
    return i;
}

void sl_metrics_count_request(struct sl_http_stats *stats, enum sl_route route, struct sl_bytes method, int status)
{
    assert(route < SL_ROUTES);
    sl_counter_add(&stats->requests[route][index_of_method(method)][index_of_status(status)], 1);
}
