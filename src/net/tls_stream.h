/* Private to net: TLS over one socket, without a loop. OpenSSL takes its records from the socket, and plain bytes go
 * straight into the caller's memory; what is to be sent, of the caller or of TLS itself, piles up as ciphertext until
 * the transport takes it away. */
#ifndef SLUICE_NET_TLS_STREAM_H
#define SLUICE_NET_TLS_STREAM_H

#include "sluice/net/tls.h"
#include "sluice/net/transport.h"

struct sl_tls_stream;

/* tls: a reference is held until destroy. fd: lent, non-blocking. NULL when memory is out. */
struct sl_tls_stream *sl_tls_stream_create(struct sl_tls *tls, int fd);
void sl_tls_stream_destroy(struct sl_tls_stream *stream);

/* Goes on with the handshake. SL_AGAIN: more must come. SL_CLIENT_GONE: it failed; an alert may be waiting to be
 * sent. */
sl_err sl_tls_stream_handshake(struct sl_tls_stream *stream);

/* As sl_transport_read. The handshake must be over. LATER may also mean that enough was done without an outcome; the
 * socket is readable then. */
enum sl_read sl_tls_stream_read(struct sl_tls_stream *stream, char *into, size_t len, size_t *n_out);

/* Is there something to read that the socket may not tell of? Bytes that are not a whole record are nothing. */
bool sl_tls_stream_has_pending(const struct sl_tls_stream *stream);

/* Encrypts all of it. false: it cannot be done any more. */
bool sl_tls_stream_write(struct sl_tls_stream *stream, const char *bytes, size_t len);

/* Says that no more will be written (close_notify). */
void sl_tls_stream_end(struct sl_tls_stream *stream);

/* Takes the ciphertext that waits; {NULL, 0}: none. Lent until the next call, which is not before it is sent. */
h2o_iovec_t sl_tls_stream_take(struct sl_tls_stream *stream);

/* Was h2 agreed on by ALPN? */
bool sl_tls_stream_is_h2(const struct sl_tls_stream *stream);

#endif
