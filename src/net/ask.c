#include "sluice/net/ask.h"

#include "sluice/base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define LINE_BYTES 64 /* of "HTTP/1.1 200 ...", as much as matters */

struct talk {
    const struct sl_ask *ask;
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    uint64_t end_ns;
};

static sl_err failed(const char *what, char *words_out, size_t room)
{
    bool is_late = errno == EAGAIN || errno == EINPROGRESS;
    snprintf(words_out, room, "%s: %s", what, is_late ? "no answer in time" : strerror(errno));
    return is_late ? SL_BUSY : sl_err_of_errno(errno);
}

static sl_err reach(struct talk *talk, char *words_out, size_t room)
{
    const struct sl_ask *ask = talk->ask;
    struct timeval timeout = {.tv_sec = ask->timeout_ms / 1000,
                              .tv_usec = (suseconds_t)(ask->timeout_ms % 1000) * 1000};
    talk->fd = socket(ask->address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (talk->fd < 0)
        return failed("no socket", words_out, room);
    (void)setsockopt(talk->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout); /* of connect(2), too */
    if (connect(talk->fd, ask->address, ask->address_bytes) != 0)
        return failed("not connected", words_out, room);
    return SL_OK;
}

static sl_err shake_hands(struct talk *talk, char *words_out, size_t room)
{
    char name[256];
    const char *host = talk->ask->host;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(host, ":"), host); /* an address in brackets is no name */
    errno = 0;
    talk->context = SSL_CTX_new(TLS_client_method());
    talk->ssl = talk->context == NULL ? NULL : SSL_new(talk->context);
    bool is_shaken = talk->ssl != NULL && SSL_set_fd(talk->ssl, talk->fd) == 1 &&
                     (name[0] == '[' || SSL_set_tlsext_host_name(talk->ssl, name) == 1) &&
                     SSL_connect(talk->ssl) == 1;
    if (is_shaken)
        return SL_OK;
    if (errno != 0)
        return failed("no TLS", words_out, room);
    snprintf(words_out, room, "no TLS spoken there");
    return SL_BAD_VERSION;
}

static ssize_t put(struct talk *talk, const char *bytes, size_t len)
{
    return talk->ssl != NULL ? SSL_write(talk->ssl, bytes, (int)len) : send(talk->fd, bytes, len, MSG_NOSIGNAL);
}

static ssize_t get(struct talk *talk, char *bytes, size_t len)
{
    return talk->ssl != NULL ? SSL_read(talk->ssl, bytes, (int)len) : recv(talk->fd, bytes, len, 0);
}

static sl_err say(struct talk *talk, char *words_out, size_t room)
{
    char request[1024];
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                       talk->ask->target, talk->ask->host);
    if (len < 0 || (size_t)len >= sizeof request) {
        snprintf(words_out, room, "the URL is too long");
        return SL_URI_TOO_LONG;
    }
    errno = 0;
    return put(talk, request, (size_t)len) == len ? SL_OK : failed("nothing could be said", words_out, room);
}

/* The first line is all that matters. */
static sl_err hear(struct talk *talk, int *status_out, char *words_out, size_t room)
{
    char line[LINE_BYTES + 1] = "";
    size_t len = 0;
    while (len < LINE_BYTES && memchr(line, '\n', len) == NULL) {
        errno = 0;
        ssize_t n = sl_clock_now_ns() < talk->end_ns ? get(talk, line + len, LINE_BYTES - len) : -1;
        if (n <= 0) {
            if (n < 0 && errno == 0)
                errno = EAGAIN;
            if (errno != 0)
                return failed("no answer", words_out, room);
            break;
        }
        len += (size_t)n;
        line[len] = '\0';
    }
    if (sscanf(line, "HTTP/1.%*1[01] %3d", status_out) == 1)
        return SL_OK;
    snprintf(words_out, room, "what answers there does not speak HTTP/1");
    return SL_BAD_VERSION;
}

sl_err sl_ask(const struct sl_ask *ask, int *status_out, char *words_out, size_t room)
{
    struct talk talk = {.ask = ask, .fd = -1, .end_ns = sl_clock_now_ns() + ask->timeout_ms * SL_MS};
    sl_err err = reach(&talk, words_out, room);
    if (err == SL_OK && ask->is_tls)
        err = shake_hands(&talk, words_out, room);
    if (err == SL_OK)
        err = say(&talk, words_out, room);
    if (err == SL_OK)
        err = hear(&talk, status_out, words_out, room);
    SSL_free(talk.ssl);
    SSL_CTX_free(talk.context);
    if (talk.fd >= 0)
        close(talk.fd);
    return err;
}
