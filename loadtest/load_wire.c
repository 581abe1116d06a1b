#include "load_wire.h"

#include "sluice/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

SSL_CTX *sl_load_tls_create(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, SL_LOAD_CIPHER) != 1)
        abort();
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

static bool has_chosen(const SSL *ssl, const char *protocol)
{
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    return len == strlen(protocol) && memcmp(chosen, protocol, len) == 0;
}

static bool begin_tls(struct sl_load_wire *wire, const char *protocol)
{
    unsigned char offer[32];
    size_t len = strlen(protocol);
    SSL_CTX *ctx = sl_load_tls_create(TLS_client_method());
    wire->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the session holds on to it */
    if (wire->ssl == NULL || len >= sizeof offer)
        abort();
    offer[0] = (unsigned char)len;
    memcpy(offer + 1, protocol, len);
    return SSL_set_alpn_protos(wire->ssl, offer, (unsigned)len + 1) == 0 && SSL_set_fd(wire->ssl, wire->fd) == 1 &&
           SSL_connect(wire->ssl) == 1 && has_chosen(wire->ssl, protocol);
}

bool sl_load_wire_open(struct sl_load_wire *wire, const struct sockaddr *address, socklen_t address_bytes,
                       const char *protocol)
{
    struct timeval patience = {.tv_sec = 5};
    int one = 1;
    *wire = (struct sl_load_wire){.fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (wire->fd < 0)
        return false;
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* of the handshake, which may block */
    if (connect(wire->fd, address, address_bytes) == 0 && (protocol == NULL || begin_tls(wire, protocol)) &&
        fcntl(wire->fd, F_SETFL, O_NONBLOCK) == 0)
        return true;
    sl_load_wire_close(wire);
    return false;
}

void sl_load_wire_init(struct sl_load_wire *wire, int fd)
{
    *wire = (struct sl_load_wire){.fd = fd};
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        abort();
}

void sl_load_wire_close(struct sl_load_wire *wire)
{
    if (wire->ssl != NULL && SSL_is_init_finished(wire->ssl))
        (void)SSL_shutdown(wire->ssl);
    SSL_free(wire->ssl);
    close(wire->fd);
    *wire = (struct sl_load_wire){.fd = -1};
}

static bool must_wait(const struct sl_load_wire *wire, int rc)
{
    int error = SSL_get_error(wire->ssl, rc);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* A record at a time leaves OpenSSL; as many as the socket takes. */
int64_t sl_load_wire_send(struct sl_load_wire *wire, struct sl_bytes bytes)
{
    if (wire->ssl == NULL) {
        ssize_t n = send(wire->fd, bytes.base, bytes.len, MSG_NOSIGNAL);
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
    }
    size_t done = 0, n;
    while (done < bytes.len) {
        int rc = SSL_write_ex(wire->ssl, bytes.base + done, bytes.len - done, &n);
        if (rc != 1)
            return done > 0 || must_wait(wire, rc) ? (int64_t)done : -1;
        done += n;
    }
    return (int64_t)done;
}

int64_t sl_load_wire_receive(struct sl_load_wire *wire, char *into, size_t len)
{
    if (wire->ssl == NULL) {
        ssize_t n = recv(wire->fd, into, len, 0);
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n == 0 ? -1 : n;
    }
    size_t n;
    int rc = SSL_read_ex(wire->ssl, into, len, &n);
    return rc == 1 ? (int64_t)n : must_wait(wire, rc) ? 0 : -1;
}

void sl_load_wire_wait(const struct sl_load_wire *wire, bool is_sending, uint64_t wait_ns)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = (short)(POLLIN | (is_sending ? POLLOUT : 0))};
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / SL_SEC), .tv_nsec = (long)(wait_ns % SL_SEC)};
    (void)ppoll(&poll_fd, 1, &wait, NULL); /* whatever comes of it, the caller looks */
}
