/* The event loop of one thread: h2o's evloop, what it watches besides sockets, timers by duration, and how long each
 * turn kept it from its next look at the world. */
#ifndef SLUICE_NET_LOOP_H
#define SLUICE_NET_LOOP_H

#include "sluice/base/err.h"
#include "sluice/base/stats.h"

#include <h2o.h>
#include <stdint.h>

/* Anything with an fd that becomes readable and a function to run then: a ring, a mailbox. Embedded by its owner. */
struct sl_watch {
    h2o_socket_t *socket;
    void (*on_readable)(void *ctx);
    void *ctx;
    const char *name; /* for the report on slow turns; static. NULL: it has none */
};

/* Watches a duplicate of `fd`, so that the owner of fd stays its owner. Loop thread (or before it runs).
 * SL_TOO_MANY_FILES. watch: lent until sl_watch_stop. */
SL_MUST_CHECK sl_err sl_watch_start(struct sl_watch *watch, h2o_loop_t *loop, int fd, void (*on_readable)(void *ctx),
                                    void *ctx);
void sl_watch_stop(struct sl_watch *watch);

/* One turn: waits at most max_wait_ms for something to happen and runs it, of many things that have happened some: the
 * others have the next turns. EINTR is a turn in which nothing happened. */
void sl_loop_turn(h2o_loop_t *loop, int32_t max_wait_ms);

/* The lag of a loop: from the moment it learns what has happened until it asks again. Whatever happens meanwhile waits
 * for so long at most. */
struct sl_lag {
    struct sl_histogram turns;
    struct sl_counter max_ns;
    uint64_t begun_ns; /* loop thread; 0: no turn yet */
};

/* From now on the turns of this thread's loop are measured. lag: zeroed, lent as long as the loop turns. Two looks at
 * the clock a turn. Builds with SLUICE_TELL_SLOW_TURNS also log which work a turn of more than 20 ms was at. */
void sl_loop_measure(struct sl_lag *lag);

#endif
