/* The server's side of TLS 1.2 and 1.3: certificates, what is offered, session tickets. One sl_tls serves all loops and
 * never changes; a reload makes a new one, and connections keep the one they began with. Any thread. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include "sluice/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SL_TLS_PAIRS_MAX 64

struct sl_tls;

/* Files in PEM: the certificate with its chain, and its key. */
struct sl_tls_pair {
    const char *cert_file, *key_file;
};

/* Reads the pairs, 1 to SL_TLS_PAIRS_MAX; a client that names a server gets the first whose certificate covers the name
 * (RFC 6066 section 3), whatever kind its key is, else the first of all. offers_h2: ALPN prefers h2 to http/1.1, else
 * there is no h2. pairs: lent for the call.
 * Reads files: start-up and reload only. On failure *tls_out is NULL and message_out tells file and cause in one line:
 * SL_NOT_FOUND, SL_DENIED (the file), SL_BAD_FIELD (what is in it). */
SL_MUST_CHECK sl_err sl_tls_create(const struct sl_tls_pair *pairs, size_t count, bool offers_h2,
                                   struct sl_tls **tls_out, char *message_out, size_t room);

/* References. The last release frees. NULL is fine. */
struct sl_tls *sl_tls_acquire(struct sl_tls *tls);
void sl_tls_release(struct sl_tls *tls);

#endif
