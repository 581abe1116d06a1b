/* The event loop of one thread: h2o's evloop, what it watches besides sockets, and timers by duration. */
#ifndef SLUICE_NET_LOOP_H
#define SLUICE_NET_LOOP_H

#include "sluice/base/err.h"

#include <h2o.h>
#include <stdint.h>

/* Anything with an fd that becomes readable and a function to run then: a ring, a mailbox. Embedded by its owner. */
struct sl_watch {
    h2o_socket_t *socket;
    void (*on_readable)(void *ctx);
    void *ctx;
};

/* Watches a duplicate of `fd`, so that the owner of fd stays its owner. Loop thread (or before it runs).
 * SL_TOO_MANY_FILES. watch: lent until sl_watch_stop. */
SL_MUST_CHECK sl_err sl_watch_start(struct sl_watch *watch, h2o_loop_t *loop, int fd, void (*on_readable)(void *ctx),
                                    void *ctx);
void sl_watch_stop(struct sl_watch *watch);

/* One turn: waits at most max_wait_ms for something to happen and runs it. EINTR is a turn in which nothing
 * happened. */
void sl_loop_turn(h2o_loop_t *loop, int32_t max_wait_ms);

#endif
