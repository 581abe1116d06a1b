#include "tls_stream.h"

#include "tls_session.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define RECORD_BYTES_MAX ((size_t)16384)

/* What TLS says of its own (handshake, answers to KeyUpdate) to a peer that does not read is given up here. */
#define UNASKED_BYTES_MAX ((size_t)64 << 10)
#define PILE_DOUBLES_TO   ((size_t)16 << 10) /* larger ones grow by what is wanted */

/* OpenSSL goes through records that carry no data (KeyUpdate, attempts to renegotiate) for as long as the socket has
 * some. With so many reads of the socket a call there is always an end, and data that is there is told all the
 * same: a whole record takes two at most. */
#define RECEIVES_MAX 4

/* A message after the handshake costs us hundreds of times what it costs the peer, and nobody needs more than one in
 * the lifetime of a key, which is gigabytes. */
#define MESSAGES_MAX      64
#define BYTES_FOR_MESSAGE ((uint64_t)1 << 20) /* data that earns another */

struct pile {
    char *base;
    size_t len, room;
};

struct sl_tls_stream {
    SSL *ssl;
    struct sl_tls *tls;
    int fd;
    char ahead[SSL3_RT_HEADER_LENGTH]; /* the head of the next record, or the beginning of it */
    size_t ahead_len;
    struct pile waiting, leaving; /* ciphertext; the second is being sent */
    size_t unasked;               /* bytes of `waiting` that no write asked for */
    uint64_t data_bytes;          /* read */
    unsigned messages;            /* that came after the handshake */
    unsigned receives;            /* of this call */
    bool is_writing;              /* what piles up now was asked for */
    bool is_shaken;               /* the handshake is over */
    bool is_dry;                  /* the last record was not whole: the socket will tell of more */
    bool is_broken;               /* nothing can be said any more */
    enum sl_read end;             /* SL_READ_END or SL_READ_BROKEN; SL_READ_BYTES: none so far */
    bool is_end_untold;           /* it came behind bytes */
};

/* ---- ciphertext ---- */

static void pile_reserve(struct pile *pile, size_t len)
{
    if (pile->room - pile->len >= len)
        return;
    size_t twice = pile->room > 0 ? 2 * pile->room : 512, wanted = pile->len + len;
    size_t room = twice > wanted && twice <= PILE_DOUBLES_TO ? twice : wanted;
    char *base = realloc(pile->base, room);
    if (base == NULL)
        abort();
    pile->base = base;
    pile->room = room;
}

static void pile_put(struct pile *pile, const char *bytes, size_t len)
{
    pile_reserve(pile, len);
    memcpy(pile->base + pile->len, bytes, len);
    pile->len += len;
}

static void pile_dispose(struct pile *pile)
{
    free(pile->base);
    *pile = (struct pile){0};
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct sl_tls_stream *stream = BIO_get_data(bio);
    if (len <= 0 || (!stream->is_writing && stream->unasked + (size_t)len > UNASKED_BYTES_MAX))
        return -1;
    stream->unasked += stream->is_writing ? 0 : (size_t)len;
    pile_put(&stream->waiting, bytes, (size_t)len);
    return len;
}

/* OpenSSL asks for the head of a record and for the rest of it in turn. With the rest comes the head of the next one,
 * or each record would take two system calls. */
static ssize_t receive(struct sl_tls_stream *stream, char *into, size_t len)
{
    struct iovec rooms[] = {{into, len}, {stream->ahead, sizeof stream->ahead}};
    ssize_t n;
    do
        n = readv(stream->fd, rooms, len > sizeof stream->ahead ? 2 : 1);
    while (n < 0 && errno == EINTR);
    if (n <= 0 || (size_t)n <= len)
        return n;
    stream->ahead_len = (size_t)n - len;
    return (ssize_t)len;
}

static int bio_read(BIO *bio, char *into, int len)
{
    struct sl_tls_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (stream->ahead_len > 0) {
        size_t n = stream->ahead_len < (size_t)len ? stream->ahead_len : (size_t)len;
        memcpy(into, stream->ahead, n);
        stream->ahead_len -= n;
        memmove(stream->ahead, stream->ahead + n, stream->ahead_len);
        return (int)n;
    }
    bool is_enough = ++stream->receives > RECEIVES_MAX;
    ssize_t n = is_enough ? -1 : receive(stream, into, (size_t)len);
    if (is_enough || (n < 0 && errno == EAGAIN))
        BIO_set_retry_read(bio);
    return (int)n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP; /* all else is not known here */
}

static BIO_METHOD *method;

__attribute__((constructor)) static void init_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice");
    if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 || BIO_meth_set_write(method, bio_write) != 1 ||
        BIO_meth_set_ctrl(method, bio_control) != 1)
        abort();
}

h2o_iovec_t sl_tls_stream_take(struct sl_tls_stream *stream)
{
    struct pile sent = stream->leaving;
    sent.len = 0;
    stream->leaving = stream->waiting;
    stream->waiting = sent; /* its memory is of use again, as long as there is something to send */
    stream->unasked = 0;
    if (stream->leaving.len == 0) {
        pile_dispose(&stream->leaving);
        pile_dispose(&stream->waiting);
    }
    return h2o_iovec_init(stream->leaving.base, stream->leaving.len);
}

/* ---- life ---- */

static void on_message(int is_ours, int version, int kind, const void *bytes, size_t len, SSL *ssl, void *ctx)
{
    struct sl_tls_stream *stream = ctx;
    (void)version;
    (void)bytes;
    (void)len;
    (void)ssl;
    if (kind == SSL3_RT_HANDSHAKE && !is_ours && stream->is_shaken)
        stream->messages++;
}

struct sl_tls_stream *sl_tls_stream_create(struct sl_tls *tls, int fd)
{
    struct sl_tls_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        abort();
    stream->ssl = sl_tls_session(tls);
    BIO *bio = BIO_new(method);
    if (stream->ssl == NULL || bio == NULL)
        abort();
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(stream->ssl, bio, bio); /* both ways */
    SSL_set_msg_callback(stream->ssl, on_message);
    SSL_set_msg_callback_arg(stream->ssl, stream);
    stream->fd = fd;
    stream->tls = sl_tls_acquire(tls);
    return stream;
}

void sl_tls_stream_destroy(struct sl_tls_stream *stream)
{
    if (stream == NULL)
        return;
    SSL_free(stream->ssl);
    sl_tls_release(stream->tls);
    pile_dispose(&stream->waiting);
    pile_dispose(&stream->leaving);
    free(stream);
}

/* ---- the protocol ---- */

sl_err sl_tls_stream_handshake(struct sl_tls_stream *stream)
{
    ERR_clear_error();
    stream->receives = 0;
    int rc = SSL_do_handshake(stream->ssl);
    if (rc == 1) {
        stream->is_shaken = true;
        return SL_OK;
    }
    if (SSL_get_error(stream->ssl, rc) == SSL_ERROR_WANT_READ)
        return SL_AGAIN;
    ERR_clear_error();
    stream->is_broken = true;
    return SL_CLIENT_GONE;
}

static bool has_too_many_messages(const struct sl_tls_stream *stream)
{
    return stream->messages > MESSAGES_MAX + stream->data_bytes / BYTES_FOR_MESSAGE;
}

static enum sl_read read_record(struct sl_tls_stream *stream, char *into, size_t len, size_t *n_out)
{
    stream->receives = 0;
    int rc = SSL_read_ex(stream->ssl, into, len, n_out);
    if (has_too_many_messages(stream))
        return SL_READ_BROKEN;
    if (rc == 1) {
        stream->data_bytes += *n_out;
        return SL_READ_BYTES;
    }
    switch (SSL_get_error(stream->ssl, rc)) {
    case SSL_ERROR_WANT_READ: return SL_READ_LATER;
    case SSL_ERROR_ZERO_RETURN: return SL_READ_END;
    default: return SL_READ_BROKEN; /* an end without close_notify, too: somebody may have cut it (RFC 8446, 6.1) */
    }
}

/* A record is 16 KiB at most: as many as fit are taken at once, or each would cost its caller a round. */
enum sl_read sl_tls_stream_read(struct sl_tls_stream *stream, char *into, size_t len, size_t *n_out)
{
    assert(len > 0);
    enum sl_read read = stream->end;
    size_t used = 0;
    ERR_clear_error();
    while (used < len && read == SL_READ_BYTES) {
        size_t n;
        read = read_record(stream, into + used, len - used, &n);
        used += read == SL_READ_BYTES ? n : 0;
    }
    ERR_clear_error();
    stream->is_dry = read == SL_READ_LATER;
    if (read == SL_READ_END || read == SL_READ_BROKEN)
        stream->end = read;
    stream->is_broken |= read == SL_READ_BROKEN;
    stream->is_end_untold = used > 0 && stream->end != SL_READ_BYTES;
    if (used == 0)
        return read;
    *n_out = used;
    return SL_READ_BYTES;
}

bool sl_tls_stream_has_pending(const struct sl_tls_stream *stream)
{
    if (stream->end != SL_READ_BYTES)
        return stream->is_end_untold;
    return !stream->is_dry && SSL_has_pending(stream->ssl) == 1;
}

bool sl_tls_stream_write(struct sl_tls_stream *stream, const char *bytes, size_t len)
{
    size_t n;
    if (len == 0)
        return !stream->is_broken;
    if (stream->is_broken)
        return false;
    ERR_clear_error();
    pile_reserve(&stream->waiting, len + (len / RECORD_BYTES_MAX + 1) * SSL3_RT_MAX_ENCRYPTED_OVERHEAD);
    stream->is_writing = true;
    int rc = SSL_write_ex(stream->ssl, bytes, len, &n);
    stream->is_writing = false;
    if (rc == 1)
        return true;
    ERR_clear_error();
    stream->is_broken = true;
    return false;
}

void sl_tls_stream_end(struct sl_tls_stream *stream)
{
    if (stream->is_broken || SSL_in_init(stream->ssl))
        return;
    ERR_clear_error();
    (void)SSL_shutdown(stream->ssl);
    ERR_clear_error();
}

bool sl_tls_stream_is_h2(const struct sl_tls_stream *stream)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(stream->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}
