/* A byte stream over one accepted socket, plain or TLS. h2o tells readiness, writes and keeps the socket's life; it
 * never reads: bytes go by recv() or SSL_read() straight to where the caller wants them. Loop thread. */
#ifndef SLUICE_NET_TRANSPORT_H
#define SLUICE_NET_TRANSPORT_H

#include "sluice/base/err.h"
#include "sluice/net/loop.h"
#include "sluice/net/peers.h"
#include "sluice/net/tls.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

struct sl_transport;
typedef void (*sl_transport_readable_cb)(void *owner);
/* err: SL_OK, or SL_CLIENT_GONE when the peer does not take bytes any more. */
typedef void (*sl_transport_written_cb)(void *owner, sl_err err);

/* socket: taken. tls: NULL for a plain one; else shared until close, and sl_transport_handshake comes first. soon: a
 * timeout of 0 ms of the loop, lent until close. Aborts when memory is out. */
struct sl_transport *sl_transport_create(h2o_socket_t *socket, struct sl_tls *tls, h2o_timeout_t *soon);

/* Shakes hands; then on_ready runs once, unless the transport is closed before: SL_OK, or SL_CLIENT_GONE when that
 * failed, and it is to be closed. Nothing else may be asked meanwhile. For how long is the caller's to watch. */
typedef void (*sl_transport_ready_cb)(void *owner, sl_err err);
void sl_transport_handshake(struct sl_transport *transport, sl_transport_ready_cb on_ready);

/* Was HTTP/2 agreed on (ALPN)? Is it TLS at all? */
bool sl_transport_is_h2(const struct sl_transport *transport);
bool sl_transport_is_tls(const struct sl_transport *transport);

/* Who gets the callbacks: lent until close or the next call. */
void sl_transport_set_owner(struct sl_transport *transport, void *owner);

enum sl_read { SL_READ_BYTES, SL_READ_LATER, SL_READ_END, SL_READ_BROKEN };

/* Reads up to `len` > 0 bytes into `into`. BYTES: *n_out > 0 came. LATER: none now. END: the peer sends no more.
 * BROKEN: reset. */
enum sl_read sl_transport_read(struct sl_transport *transport, char *into, size_t len, size_t *n_out);

/* The same into several places, of which the first that is not filled is the last that got any; *n_out counts all. */
enum sl_read sl_transport_read_pieces(struct sl_transport *transport, const struct iovec *pieces, size_t count,
                                      size_t *n_out);

/* The same, but what comes is thrown away, without being copied where it is plain. */
enum sl_read sl_transport_discard(struct sl_transport *transport, size_t len, size_t *n_out);

/* Has something come that was not read? Of TLS it may turn out to be nothing for us. */
bool sl_transport_has_unread(struct sl_transport *transport);

/* Calls on_readable whenever there is something to read, until stopped. Repeating either is fine. */
void sl_transport_read_start(struct sl_transport *transport, sl_transport_readable_cb on_readable);
void sl_transport_read_stop(struct sl_transport *transport);

/* Writes all of `pieces`. One write at a time. pieces' memory: lent until on_written, which runs once, never inside
 * this call, unless the transport is closed before. The array itself is lent for the call only. */
void sl_transport_write(struct sl_transport *transport, const h2o_iovec_t *pieces, size_t count,
                        sl_transport_written_cb on_written);

/* Would the socket take bytes now? */
bool sl_transport_has_room(const struct sl_transport *transport);

/* Calls on_room once it would, in a later turn, as if something had been written. */
void sl_transport_await_room(struct sl_transport *transport, sl_transport_written_cb on_room);

/* Its peer has shown that it reads: the kernel may hold more of what is to be sent, so that it need not wait for us. At
 * first it holds little. */
void sl_transport_widen(struct sl_transport *transport);

/* Has the peer taken 4 KiB or more since this was last asked? By TCP only; others say no. One system call. */
bool sl_transport_has_moved(struct sl_transport *transport);

/* No more will be written; the peer sees the end (of TLS: close_notify). Not while a write is under way. */
void sl_transport_shutdown_write(struct sl_transport *transport);

/* Closes at once; no callback comes any more. The transport is gone. */
void sl_transport_close(struct sl_transport *transport);

/* Counts its peer among `peers` (lent until it is closed) until it is closed. false: they have as many of it as they
 * take. Once. */
bool sl_transport_count(struct sl_transport *transport, struct sl_peers *peers);

/* Close will reset the connection instead of ending it properly: for a peer that does not read. */
void sl_transport_reset_on_close(struct sl_transport *transport);

/* A word of whoever accepted it for whoever serves it: it came where the operator's requests do. Not at first. */
void sl_transport_set_admin(struct sl_transport *transport, bool is_admin);
bool sl_transport_is_admin(const struct sl_transport *transport);

/* Likewise: its peer is a proxy whose word on who the client is is taken. Not at first. */
void sl_transport_set_trusted(struct sl_transport *transport, bool is_trusted);
bool sl_transport_is_trusted(const struct sl_transport *transport);

socklen_t sl_transport_peer(struct sl_transport *transport, struct sockaddr *address_out);
socklen_t sl_transport_local(struct sl_transport *transport, struct sockaddr *address_out);
/* "192.0.2.1", "2001:db8::1", "unix", or "unknown" for one that was gone at once; lives as long as the transport. */
const char *sl_transport_peer_text(const struct sl_transport *transport);

#endif
