/* A health check beside the load, on a thread of its own: GET at fixed times on one keep-alive connection, each timed
 * from the moment it was due. A server that stalls delays the ones behind too, and all of them are counted (no
 * coordinated omission). What the machine makes us ourselves late is told apart. */
#ifndef SLUICE_LOADTEST_LOAD_PROBE_H
#define SLUICE_LOADTEST_LOAD_PROBE_H

#include "load_options.h"
#include "load_stats.h"

#include <pthread.h>
#include <stdatomic.h>

struct sl_load_probe {
    const struct sl_load_options *options; /* lent until stop */
    pthread_t thread;
    atomic_bool is_over;
    int fd; /* the probe's thread: -1, none */
    /* of the probe's thread until stop */
    struct sl_load_histogram latency, late;
    uint64_t errors;
};

/* Options without a probe: both do nothing. */
void sl_load_probe_start(struct sl_load_probe *probe, const struct sl_load_options *options);

/* Ends the thread and adds what it saw to `stats`. */
void sl_load_probe_stop(struct sl_load_probe *probe, struct sl_load_stats *stats);

#endif
