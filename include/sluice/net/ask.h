/* One GET of a server of ours, by a command: blocking, with an end. It asks who it was told to, and takes no word of
 * theirs for more than it is: a certificate is not verified, for it is this machine that is asked. */
#ifndef SLUICE_NET_ASK_H
#define SLUICE_NET_ASK_H

#include "sluice/base/err.h"

#include <stdbool.h>
#include <sys/socket.h>

/* All lent for the call. */
struct sl_ask {
    const struct sockaddr *address;
    socklen_t address_bytes;
    bool is_tls;
    const char *host;   /* of the Host field; without its port what a TLS client names */
    const char *target; /* "/healthz" */
    unsigned timeout_ms;
};

/* SL_OK: *status_out is that of the answer. Else words_out tells what went wrong. */
SL_MUST_CHECK sl_err sl_ask(const struct sl_ask *ask, int *status_out, char *words_out, size_t room);

#endif
