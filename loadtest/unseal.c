/* sl_unseal: what it costs to open TLS records, and nothing else. A thread sends bytes by TLS 1.3 over the loopback
 * device, another reads them with SSL_read() and throws them away; then the same without TLS. Only the reader's CPU
 * counts. The cipher is the one that sl_load uses, so a server that is uploaded to by TLS has at least this to do.
 *
 * usage: sl_unseal SIZE CERT_PEM KEY_PEM
 * Prints one JSON object: cpu_s is with TLS, receive_cpu_s without: the difference is the cipher's. */
#include "load_body.h"
#include "load_options.h"
#include "load_wire.h"

#include "sluice/base/clock.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES ((size_t)128 << 10) /* at once: what the server's HTTP/2 asks for too */

struct sender {
    struct sockaddr_in address;
    struct sl_load_body body;
    bool is_tls;
};

struct cost {
    double cpu_s, seconds;
    uint64_t bytes;
};

static void die(const char *what)
{
    fprintf(stderr, "sl_unseal: %s\n", what);
    exit(2);
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    struct sl_load_wire wire;
    if (!sl_load_wire_open(&wire, (struct sockaddr *)&sender->address, sizeof sender->address,
                           sender->is_tls ? "http/1.1" : NULL))
        die("cannot connect");
    for (uint64_t offset = 0; offset < sender->body.size;) {
        int64_t n = sl_load_wire_send(&wire, sl_load_body_slice(&sender->body, offset, SL_LOAD_SEND_MAX));
        if (n < 0)
            die("the connection broke");
        if (n == 0)
            sl_load_wire_wait(&wire, true, SL_SEC);
        offset += (uint64_t)n;
    }
    sl_load_wire_close(&wire);
    return NULL;
}

static int choose(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len, const unsigned char *offered,
                  unsigned offered_len, void *ctx)
{
    *chosen = offered + 1; /* the only one */
    *chosen_len = offered[0];
    return SSL_TLSEXT_ERR_OK;
}

static SSL *accept_tls(SSL_CTX *ctx, int fd)
{
    SSL *ssl = SSL_new(ctx);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1)
        die("no handshake");
    return ssl;
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / SL_SEC;
}

/* Reads to the end; the handshake lies before the clock starts. */
static struct cost read_all(int fd, SSL *ssl)
{
    static char waste[READ_BYTES];
    struct cost cost = {.cpu_s = -cpu_seconds()};
    uint64_t start = sl_clock_now_ns();
    for (;;) {
        ssize_t n = ssl != NULL ? SSL_read(ssl, waste, sizeof waste) : recv(fd, waste, sizeof waste, 0);
        if (n <= 0)
            break;
        cost.bytes += (uint64_t)n;
    }
    cost.cpu_s += cpu_seconds();
    cost.seconds = (double)(sl_clock_now_ns() - start) / SL_SEC;
    return cost;
}

static struct cost measure(struct sender *sender, int listener, SSL_CTX *ctx)
{
    pthread_t thread;
    sender->is_tls = ctx != NULL;
    if (pthread_create(&thread, NULL, send_all, sender) != 0)
        die("no thread");
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("cannot accept");
    SSL *ssl = ctx != NULL ? accept_tls(ctx, fd) : NULL;
    struct cost cost = read_all(fd, ssl);
    pthread_join(thread, NULL);
    if (cost.bytes != sender->body.size)
        die("not all of it came");
    SSL_free(ssl);
    close(fd);
    return cost;
}

int main(int argc, char **argv)
{
    struct sender sender = {.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t address_bytes = sizeof sender.address;
    uint64_t size = 0;
    if (argc != 4 || !sl_load_size_read(argv[1], &size))
        die("usage: sl_unseal SIZE CERT_PEM KEY_PEM");
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *ctx = sl_load_tls_create(TLS_server_method());
    if (SSL_CTX_use_certificate_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1)
        die("cannot use that certificate and key");
    SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
    SSL_CTX_set_num_tickets(ctx, 0); /* the sender reads nothing, and to close with something unread is a reset */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&sender.address, address_bytes) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&sender.address, &address_bytes) != 0)
        die("cannot listen");
    sl_load_body_init(&sender.body, 1, size);

    struct cost tls = measure(&sender, listener, ctx), plain = measure(&sender, listener, NULL);
    printf("{\"cipher\": \"" SL_LOAD_CIPHER "\", \"bytes\": %llu, \"seconds\": %.6f, \"mb_per_s\": %.1f, "
           "\"cpu_s\": %.4f, \"receive_cpu_s\": %.4f}\n",
           (unsigned long long)tls.bytes, tls.seconds, (double)tls.bytes / 1e6 / tls.seconds, tls.cpu_s, plain.cpu_s);
    sl_load_body_dispose(&sender.body);
    SSL_CTX_free(ctx);
    close(listener);
    return 0;
}
