#include "sluice/net/transport.h"

#include "sluice/base/doing.h"
#include "sluice/base/list.h"
#include "tls_stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define SLICE_BYTES    ((size_t)32 << 10)
#define PROGRESS_BYTES 4096       /* who takes fewer in a write timeout does not read */
#define UNSENT_BYTES   (64 << 10) /* more makes it slower: it is in no cache any more when it is sent */

struct sl_transport {
    h2o_socket_t *socket; /* always DONT_READ */
    void *owner;
    sl_transport_readable_cb on_readable;
    sl_transport_written_cb on_written;
    bool is_reading, is_unix, is_admin, is_trusted, is_reset_on_close;
    /* of TLS */
    struct sl_tls_stream *tls; /* NULL: plain */
    sl_transport_ready_cb on_ready;
    h2o_timeout_t *soon;
    h2o_timeout_entry_t poke;                /* bytes are there that the socket does not tell of */
    bool is_flushing, is_ending, has_failed; /* ending: the socket's end follows the last ciphertext */
    h2o_iovec_t *pieces;                     /* of the write under way */
    size_t piece_count, piece_at, piece_used;
    char peer_text[INET6_ADDRSTRLEN];
    uint64_t taken;         /* bytes, when that was last asked */
    struct sl_peers *peers; /* NULL: nobody counts */
    struct sl_peer peer;
};

static void put_peer_text(struct sl_transport *transport)
{
    struct sockaddr_storage address = {0};
    /* Asked now, for h2o keeps the answer: the log still wants it when the peer is gone. */
    h2o_socket_getpeername(transport->socket, (struct sockaddr *)&address);
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, transport->peer_text, INET6_ADDRSTRLEN);
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, transport->peer_text, INET6_ADDRSTRLEN);
    else /* a peer that has reset already has no address */
        snprintf(transport->peer_text, INET6_ADDRSTRLEN, "%s", transport->is_unix ? "unix" : "unknown");
}

static void on_poke(h2o_timeout_entry_t *entry)
{
    struct sl_transport *transport = SL_CONTAINER_OF(entry, struct sl_transport, poke);
    const char *before = sl_doing("reading what TLS held");
    if (transport->is_reading)
        transport->on_readable(transport->owner);
    (void)sl_doing(before);
}

struct sl_transport *sl_transport_create(h2o_socket_t *socket, struct sl_tls *tls, h2o_timeout_t *soon)
{
    struct sl_transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL)
        abort();
    transport->socket = socket;
    socket->data = transport;
    h2o_socket_dont_read(socket, 1);
    int domain = AF_UNSPEC;
    socklen_t len = sizeof domain;
    (void)getsockopt(h2o_socket_get_fd(socket), SOL_SOCKET, SO_DOMAIN, &domain, &len);
    transport->is_unix = domain == AF_UNIX;
    put_peer_text(transport);
    transport->soon = soon;
    transport->poke.cb = on_poke;
    if (tls != NULL)
        transport->tls = sl_tls_stream_create(tls, h2o_socket_get_fd(socket));
    return transport;
}

bool sl_transport_count(struct sl_transport *transport, struct sl_peers *peers)
{
    struct sockaddr_storage address = {0};
    assert(transport->peers == NULL);
    h2o_socket_getpeername(transport->socket, (struct sockaddr *)&address);
    transport->peers = peers;
    return sl_peers_enter(peers, (struct sockaddr *)&address, &transport->peer);
}

void sl_transport_set_owner(struct sl_transport *transport, void *owner)
{
    transport->owner = owner;
}

static _Thread_local char waste[16384];

static enum sl_read outcome_of(ssize_t n, size_t *n_out)
{
    if (n > 0) {
        *n_out = (size_t)n;
        return SL_READ_BYTES;
    }
    if (n == 0)
        return SL_READ_END;
    return errno == EAGAIN ? SL_READ_LATER : SL_READ_BROKEN;
}

static enum sl_read receive(struct sl_transport *transport, char *into, size_t len, int flags, size_t *n_out)
{
    assert(len > 0);
    ssize_t n;
    do
        n = recv(h2o_socket_get_fd(transport->socket), into, len, flags);
    while (n < 0 && errno == EINTR);
    return outcome_of(n, n_out);
}

/* ---- ciphertext on its way out ---- */

static void flush(struct sl_transport *transport);

static void tell_written(struct sl_transport *transport)
{
    sl_transport_written_cb cb = transport->on_written;
    transport->on_written = NULL;
    free(transport->pieces);
    transport->pieces = NULL;
    transport->piece_count = 0;
    const char *before = sl_doing("going on behind a write");
    if (cb != NULL)
        cb(transport->owner, transport->has_failed ? SL_CLIENT_GONE : SL_OK);
    (void)sl_doing(before);
}

/* What TLS added meanwhile leaves before the caller is told that its bytes have. */
static void on_flushed(h2o_socket_t *socket, const char *err)
{
    struct sl_transport *transport = socket->data;
    transport->is_flushing = false;
    transport->has_failed |= err != NULL;
    if (!transport->has_failed)
        flush(transport);
    if (transport->is_flushing)
        return;
    if (transport->is_ending)
        (void)shutdown(h2o_socket_get_fd(socket), SHUT_WR);
    tell_written(transport);
}

/* So much ciphertext of ours at a time: a peer that does not read holds no second copy of a whole answer. */
static void encrypt_some(struct sl_transport *transport)
{
    size_t room = SLICE_BYTES;
    while (transport->piece_at < transport->piece_count && room > 0 && !transport->has_failed) {
        h2o_iovec_t piece = transport->pieces[transport->piece_at];
        size_t len = piece.len - transport->piece_used;
        len = len < room ? len : room;
        transport->has_failed = !sl_tls_stream_write(transport->tls, piece.base + transport->piece_used, len);
        room -= len;
        transport->piece_used += len;
        if (transport->piece_used == piece.len) {
            transport->piece_at++;
            transport->piece_used = 0;
        }
    }
}

static void flush(struct sl_transport *transport)
{
    if (transport->is_flushing)
        return;
    encrypt_some(transport);
    h2o_iovec_t ciphertext = sl_tls_stream_take(transport->tls);
    if (ciphertext.len == 0)
        return;
    transport->is_flushing = true;
    h2o_socket_write(transport->socket, &ciphertext, 1, on_flushed);
}

/* ---- reading ---- */

/* A timeout of 0 ms that is linked again from its own callback would run before any other connection has its turn, as
 * long as the peer keeps up: so it is for the case only in which the socket itself has nothing to tell. */
static bool is_socket_empty(struct sl_transport *transport)
{
    int bytes = 0;
    return ioctl(h2o_socket_get_fd(transport->socket), FIONREAD, &bytes) != 0 || bytes == 0;
}

bool sl_transport_has_unread(struct sl_transport *transport)
{
    return !is_socket_empty(transport);
}

static void poke_if_pending(struct sl_transport *transport)
{
    h2o_timeout_unlink(&transport->poke);
    if (transport->is_reading && sl_tls_stream_has_pending(transport->tls) && is_socket_empty(transport))
        h2o_timeout_link(h2o_socket_get_loop(transport->socket), transport->soon, &transport->poke);
}

static enum sl_read read_tls_pieces(struct sl_transport *transport, const struct iovec *pieces, size_t count,
                                    size_t *n_out)
{
    enum sl_read read = SL_READ_BYTES;
    size_t total = 0, n;
    for (bool is_full = true; count > 0 && is_full; pieces++, count--) {
        read = sl_tls_stream_read(transport->tls, pieces->iov_base, pieces->iov_len, &n);
        if (read == SL_READ_BYTES)
            total += n;
        is_full = read == SL_READ_BYTES && n == pieces->iov_len;
    }
    flush(transport); /* reading may have made TLS say something */
    poke_if_pending(transport);
    *n_out = total;
    return total > 0 ? SL_READ_BYTES : read; /* an end behind the bytes is told by the next read */
}

static enum sl_read read_tls(struct sl_transport *transport, char *into, size_t len, size_t *n_out)
{
    return read_tls_pieces(transport, &(struct iovec){into, len}, 1, n_out);
}

enum sl_read sl_transport_read(struct sl_transport *transport, char *into, size_t len, size_t *n_out)
{
    if (transport->tls != NULL)
        return read_tls(transport, into, len, n_out);
    return receive(transport, into, len, 0, n_out);
}

static enum sl_read receive_pieces(struct sl_transport *transport, const struct iovec *pieces, size_t count,
                                   size_t *n_out)
{
    ssize_t n;
    do
        n = readv(h2o_socket_get_fd(transport->socket), pieces, (int)count);
    while (n < 0 && errno == EINTR);
    return outcome_of(n, n_out);
}

enum sl_read sl_transport_read_pieces(struct sl_transport *transport, const struct iovec *pieces, size_t count,
                                      size_t *n_out)
{
    if (transport->tls != NULL)
        return read_tls_pieces(transport, pieces, count, n_out);
    return receive_pieces(transport, pieces, count, n_out);
}

enum sl_read sl_transport_discard(struct sl_transport *transport, size_t len, size_t *n_out)
{
    /* MSG_TRUNC discards on TCP; a unix socket would copy, and TLS must decrypt: they get a place to put it. */
    size_t room = len < sizeof waste ? len : sizeof waste;
    if (transport->tls != NULL)
        return read_tls(transport, waste, room, n_out);
    if (transport->is_unix)
        return receive(transport, waste, room, 0, n_out);
    return receive(transport, NULL, len, MSG_TRUNC, n_out);
}

static void on_readable(h2o_socket_t *socket, const char *err)
{
    struct sl_transport *transport = socket->data;
    (void)err; /* the read that follows will see it */
    const char *before = sl_doing("reading");
    transport->on_readable(transport->owner);
    (void)sl_doing(before);
}

void sl_transport_read_start(struct sl_transport *transport, sl_transport_readable_cb cb)
{
    transport->on_readable = cb;
    if (transport->is_reading)
        return;
    transport->is_reading = true;
    h2o_socket_read_start(transport->socket, on_readable);
    if (transport->tls != NULL)
        poke_if_pending(transport);
}

void sl_transport_read_stop(struct sl_transport *transport)
{
    if (!transport->is_reading)
        return;
    transport->is_reading = false;
    h2o_timeout_unlink(&transport->poke);
    h2o_socket_read_stop(transport->socket);
}

/* ---- the handshake ---- */

/* What lies unread would turn the close into a reset, and that eats the alert which tells the peer what is wrong. */
static void empty_socket(struct sl_transport *transport)
{
    size_t n;
    for (int i = 0; i < 4 && receive(transport, waste, sizeof waste, 0, &n) == SL_READ_BYTES; i++)
        ;
}

static void go_on_with_handshake(struct sl_transport *transport)
{
    sl_err err = sl_tls_stream_handshake(transport->tls);
    flush(transport);
    if (err == SL_AGAIN)
        return;
    sl_transport_read_stop(transport);
    if (err != SL_OK)
        empty_socket(transport);
    transport->on_ready(transport->owner, err);
}

static void on_handshake(h2o_socket_t *socket, const char *err)
{
    (void)err; /* reading will see it */
    const char *before = sl_doing("shaking hands");
    go_on_with_handshake(socket->data);
    (void)sl_doing(before);
}

void sl_transport_handshake(struct sl_transport *transport, sl_transport_ready_cb on_ready)
{
    assert(transport->tls != NULL && !transport->is_reading);
    transport->on_ready = on_ready;
    transport->is_reading = true;
    h2o_socket_read_start(transport->socket, on_handshake);
}

bool sl_transport_is_h2(const struct sl_transport *transport)
{
    return transport->tls != NULL && sl_tls_stream_is_h2(transport->tls);
}

bool sl_transport_is_tls(const struct sl_transport *transport)
{
    return transport->tls != NULL;
}

/* ---- writing ---- */

static void on_written(h2o_socket_t *socket, const char *err)
{
    struct sl_transport *transport = socket->data;
    transport->has_failed |= err != NULL;
    tell_written(transport);
}

static void write_tls(struct sl_transport *transport, const h2o_iovec_t *pieces, size_t count)
{
    transport->pieces = malloc(count * sizeof *pieces);
    if (transport->pieces == NULL)
        abort();
    memcpy(transport->pieces, pieces, count * sizeof *pieces);
    transport->piece_count = count;
    transport->piece_at = transport->piece_used = 0;
    flush(transport);
    if (transport->is_flushing)
        return;
    /* Nothing leaves, but the caller is told in a later turn all the same. */
    h2o_iovec_t nothing = h2o_iovec_init(H2O_STRLIT(""));
    transport->is_flushing = true;
    h2o_socket_write(transport->socket, &nothing, 1, on_flushed);
}

void sl_transport_write(struct sl_transport *transport, const h2o_iovec_t *pieces, size_t count,
                        sl_transport_written_cb cb)
{
    assert(transport->on_written == NULL && count > 0);
    transport->on_written = cb;
    if (transport->tls != NULL) {
        write_tls(transport, pieces, count);
        return;
    }
    h2o_socket_write(transport->socket, (h2o_iovec_t *)pieces, count, on_written);
}

bool sl_transport_has_room(const struct sl_transport *transport)
{
    struct pollfd room = {.fd = h2o_socket_get_fd(transport->socket), .events = POLLOUT};
    return poll(&room, 1, 0) != 0; /* a failure is for the next write to find */
}

void sl_transport_await_room(struct sl_transport *transport, sl_transport_written_cb cb)
{
    assert(transport->on_written == NULL && !transport->is_flushing);
    transport->on_written = cb;
    transport->is_flushing = transport->tls != NULL; /* what TLS has to say meanwhile waits, too */
    h2o_socket_notify_write(transport->socket, transport->tls != NULL ? on_flushed : on_written);
}

void sl_transport_widen(struct sl_transport *transport)
{
    int unsent = UNSENT_BYTES;
    (void)setsockopt(h2o_socket_get_fd(transport->socket), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

bool sl_transport_has_moved(struct sl_transport *transport)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    uint64_t before = transport->taken;
    if (getsockopt(h2o_socket_get_fd(transport->socket), IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
        transport->taken = info.tcpi_bytes_acked;
    return transport->taken - before >= PROGRESS_BYTES;
}

void sl_transport_shutdown_write(struct sl_transport *transport)
{
    assert(transport->on_written == NULL);
    if (transport->tls != NULL) {
        transport->is_ending = true;
        sl_tls_stream_end(transport->tls);
        flush(transport);
    }
    if (!transport->is_flushing)
        (void)shutdown(h2o_socket_get_fd(transport->socket), SHUT_WR);
}

/* A peer of TLS is told that this is the end and no cut (RFC 8446 section 6.1), if its socket takes it at once. */
static void say_end(struct sl_transport *transport)
{
    if (transport->is_flushing || transport->is_ending || transport->has_failed || transport->is_reset_on_close)
        return;
    sl_tls_stream_end(transport->tls);
    h2o_iovec_t ciphertext = sl_tls_stream_take(transport->tls);
    if (ciphertext.len > 0)
        (void)send(h2o_socket_get_fd(transport->socket), ciphertext.base, ciphertext.len,
                   MSG_DONTWAIT | MSG_NOSIGNAL);
}

void sl_transport_close(struct sl_transport *transport)
{
    if (transport->tls != NULL)
        say_end(transport);
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (transport->is_reset_on_close)
        (void)setsockopt(h2o_socket_get_fd(transport->socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    sl_transport_read_stop(transport);
    h2o_socket_close(transport->socket); /* drops what was not sent yet; then its memory may go */
    sl_tls_stream_destroy(transport->tls);
    free(transport->pieces);
    if (transport->peers != NULL)
        sl_peers_leave(transport->peers, &transport->peer);
    free(transport);
}

void sl_transport_reset_on_close(struct sl_transport *transport)
{
    transport->is_reset_on_close = true;
}

void sl_transport_set_admin(struct sl_transport *transport, bool is_admin)
{
    transport->is_admin = is_admin;
}

bool sl_transport_is_admin(const struct sl_transport *transport)
{
    return transport->is_admin;
}

void sl_transport_set_trusted(struct sl_transport *transport, bool is_trusted)
{
    transport->is_trusted = is_trusted;
}

bool sl_transport_is_trusted(const struct sl_transport *transport)
{
    return transport->is_trusted;
}

socklen_t sl_transport_peer(struct sl_transport *transport, struct sockaddr *address_out)
{
    return h2o_socket_getpeername(transport->socket, address_out);
}

socklen_t sl_transport_local(struct sl_transport *transport, struct sockaddr *address_out)
{
    return h2o_socket_getsockname(transport->socket, address_out);
}

const char *sl_transport_peer_text(const struct sl_transport *transport)
{
    return transport->peer_text;
}
