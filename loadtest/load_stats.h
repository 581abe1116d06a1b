/* What a run has seen, and the one JSON object that tells it. */
#ifndef SLUICE_LOADTEST_LOAD_STATS_H
#define SLUICE_LOADTEST_LOAD_STATS_H

#include "load_options.h"

#include <stdint.h>
#include <stdio.h>

/* Times in logarithmic buckets, 32 a power of two: a quantile is at most 3 % too high. */
#define SL_LOAD_BUCKETS (60 * 32)

struct sl_load_histogram {
    uint64_t counts[SL_LOAD_BUCKETS];
    uint64_t total;
    uint64_t min_ns, max_ns;
};

void sl_load_histogram_add(struct sl_load_histogram *histogram, uint64_t ns);

/* The time that `share` (0 to 1) of the values do not exceed; 0 when there are none. */
uint64_t sl_load_histogram_at(const struct sl_load_histogram *histogram, double share);

enum sl_load_error {
    SL_LOAD_ERROR_CONNECT,
    SL_LOAD_ERROR_RESET,
    SL_LOAD_ERROR_CLOSED,     /* the server closed before its answer was whole */
    SL_LOAD_ERROR_BAD_REPLY,  /* not HTTP */
    SL_LOAD_ERROR_STATUS,     /* answered, but not 2xx */
    SL_LOAD_ERROR_UNFINISHED, /* --duration ended it */
    SL_LOAD_ERRORS
};

struct sl_load_stats {
    uint64_t ok;
    uint64_t aborted; /* by us, as asked */
    uint64_t errors[SL_LOAD_ERRORS];
    uint64_t statuses[600];
    uint64_t bytes; /* of bodies, sent or received, finished or not */
    uint64_t connects;
    unsigned up, up_max; /* connections */
    uint64_t elapsed_ns;
    struct sl_load_histogram latency; /* of requests that were answered; from connect, or from the first byte */
    struct sl_load_histogram probe;   /* from the moment it was due */
    struct sl_load_histogram late;    /* how late we ourselves were in sending it: the part of `probe` that is ours */
    uint64_t probe_errors;
};

/* Requests that ended neither as wished nor as asked. */
uint64_t sl_load_stats_failures(const struct sl_load_stats *stats);

void sl_load_stats_print(const struct sl_load_stats *stats, const struct sl_load_options *options, FILE *out);

#endif
