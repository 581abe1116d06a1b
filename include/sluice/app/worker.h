/* One loop and all that belongs to it: memory, disk engine, store, uploads, connections. One worker a thread; workers
 * share only the root, the hash pool and what they were told at start. */
#ifndef SLUICE_APP_WORKER_H
#define SLUICE_APP_WORKER_H

#include "sluice/app/config.h"
#include "sluice/http/metrics.h"
#include "sluice/net/tls.h"

struct sl_worker;

struct sl_worker_options {
    const struct sl_config *config; /* lent until destroy, as are the others */
    struct sl_peers *peers;         /* of all workers; NULL: nobody counts them */
    struct sl_store_root *root;
    struct sl_hash_pool *hash_pool;
    struct sl_uploads *uploads;          /* NULL: none can be gone on with later */
    bool is_reaping;                     /* one of all: it removes what has expired */
    struct sl_tls *tls;                  /* shared; NULL: no listener is TLS */
    unsigned connections_max, files_max; /* this worker's part */
    struct sl_metrics *metrics;          /* of all workers */
    unsigned loop;                       /* which one this is */
    int listen_fds[2 * SL_LISTEN_MAX];   /* taken; in the order of config->listeners, then config->admin_listeners */
};

/* Starts the thread and waits until it serves, or knows that it cannot. reason_out: the engine that was chosen and why,
 * or what failed. */
SL_MUST_CHECK sl_err sl_worker_start(const struct sl_worker_options *options, struct sl_worker **worker_out,
                                     char *reason_out, size_t room);

/* Connections accepted from now on use it in the place of the one of the options; shared. Any thread. */
void sl_worker_set_tls(struct sl_worker *worker, struct sl_tls *tls);

/* Stop accepting from all but the operator, finish what is in flight. Any thread. */
void sl_worker_drain(struct sl_worker *worker);

/* Waits until the drain is over, or `wait_ms` have gone by. false: it is still at it. The main thread. */
bool sl_worker_wait_drained(struct sl_worker *worker, unsigned wait_ms);

/* Let the operator in no more, abort what is still in flight, and leave. Any thread. */
void sl_worker_end(struct sl_worker *worker);

/* Waits until it has left, or `wait_ms` have gone by. false: something does not come home. The main thread. */
bool sl_worker_join(struct sl_worker *worker, unsigned wait_ms);

/* After a successful join. */
void sl_worker_destroy(struct sl_worker *worker);

#endif
