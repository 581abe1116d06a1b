/* One connection to the server, plain or by TLS, that never blocks. The TLS of a client of our own server: nothing is
 * verified, and the one cipher is the one that sl_unseal measures. */
#ifndef SLUICE_LOADTEST_LOAD_WIRE_H
#define SLUICE_LOADTEST_LOAD_WIRE_H

#include "sluice/base/bytes.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SL_LOAD_CIPHER "TLS_AES_128_GCM_SHA256"

struct sl_load_wire {
    int fd;
    SSL *ssl; /* NULL: plain */
};

/* TLS 1.3 with that cipher. Yours. */
SSL_CTX *sl_load_tls_create(const SSL_METHOD *method);

/* Takes a connected socket, plain. */
void sl_load_wire_init(struct sl_load_wire *wire, int fd);

/* Connects, by TLS if `protocol` (of ALPN) is not NULL. false: it cannot be had, and nothing is left open. */
bool sl_load_wire_open(struct sl_load_wire *wire, const struct sockaddr *address, socklen_t address_bytes,
                       const char *protocol);
void sl_load_wire_close(struct sl_load_wire *wire);

/* Both return the bytes moved, 0 when the socket has no room or nothing, -1 when the connection is gone. */
int64_t sl_load_wire_send(struct sl_load_wire *wire, struct sl_bytes bytes);
int64_t sl_load_wire_receive(struct sl_load_wire *wire, char *into, size_t len);

/* Waits until something can be read, or be sent if that is wanted. */
void sl_load_wire_wait(const struct sl_load_wire *wire, bool is_sending, uint64_t wait_ns);

#endif
