/* Listening sockets: opened at start, before the threads; each loop accepts from its own. */
#ifndef SLUICE_NET_LISTENER_H
#define SLUICE_NET_LISTENER_H

#include "sluice/base/err.h"
#include "sluice/net/loop.h"

#include <stdbool.h>

/* Opens `count` sockets for one address, so that the kernel spreads connections over as many loops (SO_REUSEPORT). A
 * unix socket cannot be spread: its one socket is duplicated, and a stale socket file is replaced. [::] takes IPv4 too,
 * and becomes 0.0.0.0 where there is no IPv6. Port 0 asks the kernel.
 * address: lent for the call. url_out, `room` bytes: what to tell people, "http://127.0.0.1:8080" or "unix:PATH"; on
 * failure, when nothing is open, the reason in plain words. fds_out is yours. */
SL_MUST_CHECK sl_err sl_listener_open(const struct sockaddr *address, socklen_t len, unsigned count, int *fds_out,
                                      char *url_out, size_t room);

/* The same with a socket that listens already and that others hold, too (taken; in the end it is closed, not shut): all
 * `count` are one, which is left as it is but for not blocking. On failure it is closed. */
SL_MUST_CHECK sl_err sl_listener_adopt(int fd, unsigned count, int *fds_out, char *url_out, size_t room);

struct sl_listener;
/* socket: yours. */
typedef void (*sl_listener_cb)(h2o_socket_t *socket, void *ctx);

/* Accepts on `fd` (taken) until closed; while the process or the machine has no descriptor left for another, it asks
 * ten times a second. Loop thread, or before it runs. */
struct sl_listener *sl_listener_start(h2o_loop_t *loop, int fd, sl_listener_cb on_accept, void *ctx);

/* Holds back, with the queue of the kernel to wait in, and goes on. Repeating either is fine. */
void sl_listener_pause(struct sl_listener *listener);
void sl_listener_resume(struct sl_listener *listener);

/* Accepts those who wait already, unless it is paused: on_accept runs meanwhile. */
void sl_listener_close(struct sl_listener *listener);

#endif
