/* A health check beside the load: GET at fixed times on one keep-alive connection, each timed from the moment it was
 * due. A server that stalls delays the ones behind too, and all of them are counted (no coordinated omission). */
#ifndef SLUICE_LOADTEST_LOAD_PROBE_H
#define SLUICE_LOADTEST_LOAD_PROBE_H

#include "load_reply.h"
#include "load_run.h"

struct sl_load_probe {
    int fd;             /* -1: none */
    bool is_waiting;    /* for an answer */
    bool is_connecting; /* one is due, and the connection is not up */
    uint64_t due_ns;    /* of the next one to send; while waiting, of the one that is out */
    uint64_t ready_ns;  /* the earliest we could have sent it: the connection was free, and it was due */
    struct sl_load_reply reply;
};

/* Options without a probe: everything below does nothing. */
void sl_load_probe_init(struct sl_load_probe *probe, struct sl_load_run *run);

/* To be called as often as can be, between any two sends of the load. */
void sl_load_probe_turn(struct sl_load_probe *probe, struct sl_load_run *run);

/* When to call next if nothing else happens; UINT64_MAX: an event on the connection will wake the loop. */
uint64_t sl_load_probe_next_ns(const struct sl_load_probe *probe);

/* Counts those that are overdue with the time they have waited so far. */
void sl_load_probe_stop(struct sl_load_probe *probe, struct sl_load_run *run);

#endif
