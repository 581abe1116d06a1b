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

/* What ends each turn of this thread's loop, after all that has happened, yet as a part of what h2o runs: a socket that
 * is written to and closed between two runs is freed while it is still in h2o's list of those to be told. Its memory
 * goes to the next connection, and the list goes round for ever. Embedded by its owner. */
struct sl_loop_finish {
    h2o_loop_t *loop;
    h2o_timeout_t at_once;
    h2o_timeout_entry_t entry;
    void (*on_finish)(void *ctx);
    void *ctx;
};

/* Loop thread, after every other h2o_timeout_init: of timers that are due those made last run last. finish: lent until
 * sl_loop_finish_stop. One of a thread. */
void sl_loop_finish_start(struct sl_loop_finish *finish, h2o_loop_t *loop, void (*on_finish)(void *ctx), void *ctx);
void sl_loop_finish_stop(struct sl_loop_finish *finish);

/* There is more to finish: the next turn waits for nothing. */
void sl_loop_finish_soon(struct sl_loop_finish *finish);

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
