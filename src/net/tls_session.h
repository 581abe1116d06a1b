/* Private to net: sessions of an sl_tls, and the keys of their tickets. */
#ifndef SLUICE_NET_TLS_SESSION_H
#define SLUICE_NET_TLS_SESSION_H

#include "sluice/net/tls.h"

#include <openssl/ssl.h>

/* A server session without BIOs, the caller's; NULL when memory is out. */
SSL *sl_tls_session(struct sl_tls *tls);

/* Ticket keys: made at the first call, new ones every hour, taken for two hours more; the same for every sl_tls of the
 * process, so that a reload loses no session. */
void sl_tls_use_tickets(SSL_CTX *ctx);

#endif
