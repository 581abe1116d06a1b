#include "sluice/net/tls.h"

#include "tls_session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Forward secrecy and authenticated encryption only. AES-128 first: as safe, and the fastest where the CPU helps;
 * clients whose CPU does not help put ChaCha20 first and get it. */
#define CIPHERS_12                                                                             \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* No finite fields, X448 or P-521: a client that asks for those makes a handshake ten to a hundred times as dear, and
 * none needs them. */
#define GROUPS "X25519:P-256:P-384"

struct sl_tls {
    atomic_uint references;
    bool offers_h2;
    size_t count;
    SSL_CTX *contexts[SL_TLS_PAIRS_MAX];
};

/* ---- the choices of a handshake ---- */

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len, const unsigned char *offered,
                   unsigned offered_len, void *ctx)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1\x08http/1.0", old[] = "\x08http/1.1\x08http/1.0";
    const struct sl_tls *tls = ctx;
    const unsigned char *ours = tls->offers_h2 ? both : old;
    unsigned len = (unsigned)(tls->offers_h2 ? sizeof both : sizeof old) - 1;
    (void)ssl;
    if (SSL_select_next_proto((unsigned char **)chosen, chosen_len, ours, len, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2 */
    return SSL_TLSEXT_ERR_OK;
}

static int on_server_name(SSL *ssl, int *alert, void *ctx)
{
    const struct sl_tls *tls = ctx;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    if (name == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < tls->count; i++) {
        if (X509_check_host(SSL_CTX_get0_certificate(tls->contexts[i]), name, strlen(name), 0, NULL) == 1) {
            (void)SSL_set_SSL_CTX(ssl, tls->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_OK; /* the first one, whose name the client will not like, tells it more than an alert */
}

/* ---- making one ---- */

static SSL_CTX *create_context(struct sl_tls *tls)
{
    static const unsigned char session_scope[] = "sluice";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_12) != 1 || SSL_CTX_set_ciphersuites(ctx, CIPHERS_13) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1)
        abort();
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_NO_RENEGOTIATION);
    /* An idle connection holds no record buffers. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets carry the sessions */
    SSL_CTX_set_session_id_context(ctx, session_scope, sizeof session_scope - 1);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, tls);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, tls);
    sl_tls_use_tickets(ctx);
    return ctx;
}

/* Told apart from what OpenSSL would say of it, which is longer and less clear. */
static sl_err check_readable(const char *option, const char *file, char *message, size_t room)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int sys_errno = errno;
        snprintf(message, room, "%s: cannot read %s: %s", option, file, strerror(sys_errno));
        return sl_err_of_errno(sys_errno);
    }
    close(fd);
    return SL_OK;
}

static sl_err load_pair(SSL_CTX *ctx, const struct sl_tls_pair *pair, char *message, size_t room)
{
    sl_err err = check_readable("tls-cert", pair->cert_file, message, room);
    if (err == SL_OK)
        err = check_readable("tls-key", pair->key_file, message, room);
    if (err != SL_OK)
        return err;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, pair->cert_file) != 1) {
        const char *cause = ERR_reason_error_string(ERR_peek_error());
        snprintf(message, room, "tls-cert: %s holds no good certificate in PEM: %s", pair->cert_file,
                 cause == NULL ? "malformed" : cause);
        err = SL_BAD_FIELD;
    } else if (SSL_CTX_use_PrivateKey_file(ctx, pair->key_file, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(ctx) !=
                   1) { /* OpenSSL keeps a key of another kind for a certificate to come */
        snprintf(message, room, "tls-key: %s is not the private key of %s, in PEM and without a passphrase",
                 pair->key_file, pair->cert_file);
        err = SL_BAD_FIELD;
    }
    ERR_clear_error();
    return err;
}

/* A key with a passphrase would make OpenSSL ask on the terminal. */
static int refuse_passphrase(char *buf, int size, int is_for_writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)is_for_writing;
    (void)ctx;
    return -1;
}

sl_err sl_tls_create(const struct sl_tls_pair *pairs, size_t count, bool offers_h2, struct sl_tls **tls_out,
                     char *message_out, size_t room)
{
    assert(count > 0 && count <= SL_TLS_PAIRS_MAX);
    *tls_out = NULL;
    struct sl_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        abort();
    atomic_init(&tls->references, 1);
    tls->offers_h2 = offers_h2;
    for (; tls->count < count; tls->count++) {
        SSL_CTX *ctx = create_context(tls);
        SSL_CTX_set_default_passwd_cb(ctx, refuse_passphrase);
        sl_err err = load_pair(ctx, &pairs[tls->count], message_out, room);
        if (err != SL_OK) {
            SSL_CTX_free(ctx);
            sl_tls_release(tls);
            return err;
        }
        tls->contexts[tls->count] = ctx;
    }
    *tls_out = tls;
    return SL_OK;
}

struct sl_tls *sl_tls_acquire(struct sl_tls *tls)
{
    if (tls != NULL)
        atomic_fetch_add_explicit(&tls->references, 1, memory_order_relaxed);
    return tls;
}

void sl_tls_release(struct sl_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub_explicit(&tls->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < tls->count; i++)
        SSL_CTX_free(tls->contexts[i]);
    free(tls);
}

SSL *sl_tls_session(struct sl_tls *tls)
{
    SSL *ssl = SSL_new(tls->contexts[0]);
    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}
