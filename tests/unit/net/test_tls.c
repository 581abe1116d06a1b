/* TLS over a socket: the server's side in the loop, the client's a plain OpenSSL client on the other end, turned by
 * hand so that one thread sees both. */
#include "net_case.h"
#include "sluice/net/transport.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static h2o_loop_t *loop;
static h2o_timeout_t soon;
static struct scratch scratch;
static struct sl_tls *tls;
static int peer;
static struct sl_transport *transport;
static SSL_CTX *client_ctx;
static SSL *client;
static unsigned ready, readable, written;
static sl_err ready_err, write_err;
static enum sl_read taken_what;

/* ---- certificates ---- */

static void write_key(const char *name, EVP_PKEY *key)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s.key", scratch.path, name);
    FILE *file = fopen(path, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static void write_pair(const char *name, const char *host)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    char path[256], names[128];
    assert_non_null(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1,
                               0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    snprintf(names, sizeof names, "DNS:%s", host);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    snprintf(path, sizeof path, "%s/%s.crt", scratch.path, name);
    FILE *file = fopen(path, "w");
    PEM_write_X509(file, cert);
    fclose(file);
    write_key(name, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void make_tls(bool offers_h2)
{
    char first_cert[128], first_key[128], second_cert[128], second_key[128], message[256];
    snprintf(first_cert, sizeof first_cert, "%s/one.crt", scratch.path);
    snprintf(first_key, sizeof first_key, "%s/one.key", scratch.path);
    snprintf(second_cert, sizeof second_cert, "%s/two.crt", scratch.path);
    snprintf(second_key, sizeof second_key, "%s/two.key", scratch.path);
    struct sl_tls_pair pairs[] = {{first_cert, first_key}, {second_cert, second_key}};
    assert_int_equal(sl_tls_create(pairs, 2, offers_h2, &tls, message, sizeof message), SL_OK);
}

/* ---- both ends ---- */

/* What it sends leaves at once. */
static void take_peer(int fd)
{
    int yes = 1;
    peer = fd;
    assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
}

static int setup(void **state)
{
    int fds[2];
    scratch_make(&scratch);
    write_pair("one", "one.test");
    write_pair("two", "two.test");
    make_tls(true);
    net_tcp_pair(fds);
    take_peer(fds[0]);
    transport = sl_transport_create(h2o_evloop_socket_create(loop, fds[1], H2O_SOCKET_FLAG_DONT_READ), tls, &soon);
    sl_transport_set_owner(transport, &loop);
    client_ctx = SSL_CTX_new(TLS_client_method());
    client = SSL_new(client_ctx);
    SSL_set_fd(client, peer);
    SSL_set_connect_state(client);
    ready = readable = written = 0;
    return 0;
}

static int teardown(void **state)
{
    SSL_free(client);
    SSL_CTX_free(client_ctx);
    if (transport != NULL)
        sl_transport_close(transport);
    transport = NULL;
    close(peer);
    sl_tls_release(tls);
    net_settle(loop);
    scratch_remove(&scratch);
    return 0;
}

static void on_ready(void *owner, sl_err err)
{
    assert_ptr_equal(owner, &loop);
    ready++;
    ready_err = err;
}

static void on_readable(void *owner)
{
    (void)owner;
    readable++;
}

static void on_written(void *owner, sl_err err)
{
    (void)owner;
    written++;
    write_err = err;
}

static void on_readable_takes_one(void *owner)
{
    char got;
    size_t n;
    (void)owner;
    readable++;
    taken_what = sl_transport_read(transport, &got, 1, &n);
}

/* As an owner does that takes all there is. */
static void on_readable_takes_all(void *owner)
{
    char got[64];
    size_t n;
    (void)owner;
    readable++;
    while ((taken_what = sl_transport_read(transport, got, sizeof got, &n)) == SL_READ_BYTES)
        ;
    if (taken_what != SL_READ_LATER)
        sl_transport_read_stop(transport);
}

/* One attempt of the client; true when it is through. */
static bool client_shakes(void)
{
    return SSL_do_handshake(client) == 1;
}

static void shake_hands(void)
{
    bool is_through = false;
    sl_transport_handshake(transport, on_ready);
    NET_UNTIL(loop, (is_through = is_through || client_shakes()) && ready > 0);
    assert_int_equal(ready, 1);
    assert_int_equal(ready_err, SL_OK);
}

static enum sl_read read_now(char *into, size_t len, size_t *n)
{
    enum sl_read what = SL_READ_LATER;
    NET_UNTIL(loop, (what = sl_transport_read(transport, into, len, n)) != SL_READ_LATER);
    return what;
}

/* ---- handshakes ---- */

static void handshake_without_alpn_is_http_1(void **state)
{
    shake_hands();
    assert_false(sl_transport_is_h2(transport));
    assert_true(sl_transport_is_tls(transport));
    assert_string_equal(SSL_get_version(client), "TLSv1.3");
}

static void handshake_with_alpn_prefers_h2(void **state)
{
    SSL_set_alpn_protos(client, (const unsigned char *)"\x08http/1.1\x02h2", 12);
    shake_hands();
    assert_true(sl_transport_is_h2(transport));
}

static void handshake_with_alpn_of_http_1_0_is_http_1(void **state)
{
    SSL_set_alpn_protos(client, (const unsigned char *)"\x08http/1.0", 9);
    shake_hands();
    assert_false(sl_transport_is_h2(transport));
}

/* ... and the client is told why, although some of what it sent was never read. */
static void handshake_with_unknown_alpn_fails_with_an_alert(void **state)
{
    SSL_set_alpn_protos(client, (const unsigned char *)"\x06gopher", 7);
    (void)client_shakes();
    assert_int_equal(send(peer, "\x17\x03\x03\x00\x01x", 6, 0), 6);
    sl_transport_handshake(transport, on_ready);
    NET_UNTIL(loop, ready > 0);
    assert_int_equal(ready_err, SL_CLIENT_GONE);
    sl_transport_close(transport);
    transport = NULL;
    ERR_clear_error();
    NET_UNTIL(loop, !client_shakes() && ERR_peek_error() != 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    ERR_clear_error();
}

static void handshake_of_a_costly_group_falls_back_to_one_of_ours(void **state)
{
    assert_int_equal(SSL_set1_groups_list(client, "ffdhe8192:P-521:P-256"), 1);
    shake_hands();
    assert_int_equal(SSL_get_negotiated_group(client), NID_X9_62_prime256v1);
}

static void handshake_by_name_gets_the_certificate_of_the_name(void **state)
{
    SSL_set_tlsext_host_name(client, "two.test");
    shake_hands();
    X509 *cert = SSL_get1_peer_certificate(client);
    assert_int_equal(X509_check_host(cert, "two.test", 0, 0, NULL), 1);
    X509_free(cert);
}

static void handshake_by_unknown_name_gets_the_first_certificate(void **state)
{
    SSL_set_tlsext_host_name(client, "three.test");
    shake_hands();
    X509 *cert = SSL_get1_peer_certificate(client);
    assert_int_equal(X509_check_host(cert, "one.test", 0, 0, NULL), 1);
    X509_free(cert);
}

static void handshake_of_tls_1_1_fails(void **state)
{
    SSL_set_security_level(client, 0);
    SSL_set_min_proto_version(client, TLS1_1_VERSION);
    SSL_set_max_proto_version(client, TLS1_1_VERSION);
    sl_transport_handshake(transport, on_ready);
    NET_UNTIL(loop, (client_shakes(), ready > 0));
    assert_int_equal(ready_err, SL_CLIENT_GONE);
}

static void handshake_of_garbage_fails(void **state)
{
    assert_int_equal(send(peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0), 27);
    sl_transport_handshake(transport, on_ready);
    NET_UNTIL(loop, ready > 0);
    assert_int_equal(ready_err, SL_CLIENT_GONE);
}

static void handshake_again_with_a_ticket_is_resumed_after_a_reload(void **state)
{
    int fds[2];
    char got[8];
    size_t n;
    shake_hands();
    sl_transport_write(transport, &(h2o_iovec_t){H2O_STRLIT("x")}, 1, on_written);
    NET_UNTIL(loop, SSL_read_ex(client, got, 1, &n) == 1); /* the ticket comes first */
    SSL_SESSION *session = SSL_get1_session(client);
    sl_transport_close(transport);
    SSL_shutdown(client); /* else OpenSSL takes the session for a bad one */
    SSL_free(client);
    close(peer);
    sl_tls_release(tls);
    make_tls(true);
    net_tcp_pair(fds);
    take_peer(fds[0]);
    transport = sl_transport_create(h2o_evloop_socket_create(loop, fds[1], H2O_SOCKET_FLAG_DONT_READ), tls, &soon);
    sl_transport_set_owner(transport, &loop);
    client = SSL_new(client_ctx);
    SSL_set_fd(client, peer);
    SSL_set_connect_state(client);
    SSL_set_session(client, session);
    SSL_SESSION_free(session);
    ready = 0;
    shake_hands();
    assert_int_equal(SSL_session_reused(client), 1);
}

/* ---- bytes ---- */

static void read_gives_what_was_sent_however_it_is_cut(void **state)
{
    static char sent[100000], got[100000];
    size_t at = 0, n, taken = 0;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 7 + i / 251);
    shake_hands();
    sl_transport_read_start(transport, on_readable);
    while (at < sizeof got) {
        if (taken < sizeof sent && SSL_write_ex(client, sent + taken, sizeof sent - taken, &n) == 1)
            taken += n;
        size_t room = 1 + at % 5000;
        sl_loop_turn(loop, 10);
        if (sl_transport_read(transport, got + at, room < sizeof got - at ? room : sizeof got - at, &n) ==
            SL_READ_BYTES)
            at += n;
    }
    assert_memory_equal(sent, got, sizeof sent);
}

/* The socket is empty, but a record was decrypted of which only a part was asked for. */
static void read_start_tells_of_bytes_that_only_tls_holds(void **state)
{
    char got[16];
    size_t n;
    shake_hands();
    assert_int_equal(SSL_write_ex(client, "0123456789", 10, &n), 1);
    assert_int_equal(read_now(got, 4, &n), SL_READ_BYTES);
    assert_int_equal(n, 4);
    readable = 0;
    sl_transport_read_start(transport, on_readable);
    NET_UNTIL(loop, readable > 0);
    assert_int_equal(sl_transport_read(transport, got, 16, &n), SL_READ_BYTES);
    assert_int_equal(n, 6);
}

/* Nothing can be done with it, so nothing is to be done until more comes: each byte costs one look. */
static void half_a_record_is_waited_for(void **state)
{
    static const char record[] = "\x17\x03\x03\x00\x40 and some of what is in it";
    shake_hands();
    sl_transport_read_start(transport, on_readable_takes_all);
    readable = 0;
    for (unsigned i = 0; i < sizeof record; i++) {
        assert_int_equal(send(peer, record + i, 1, 0), 1);
        NET_UNTIL(loop, readable > i);
        sl_loop_turn(loop, 0);
        assert_int_equal(readable, i + 1);
    }
    assert_int_equal(taken_what, SL_READ_LATER);
}

/* The owner takes little, and TLS holds the rest of a record: others have their turn in between all the same. */
static void bytes_that_only_tls_holds_are_told_of_once_a_turn(void **state)
{
    char got[16];
    size_t n;
    shake_hands();
    assert_int_equal(SSL_write_ex(client, "0123456789", 10, &n), 1);
    assert_int_equal(SSL_write_ex(client, "0123456789", 10, &n), 1);
    assert_int_equal(read_now(got, 4, &n), SL_READ_BYTES);
    sl_transport_read_start(transport, on_readable_takes_one);
    for (readable = 0; readable < 6;) {
        unsigned before = readable;
        sl_loop_turn(loop, 10);
        assert_int_equal(readable - before, 1);
    }
    NET_UNTIL(loop, readable >= 16);
    assert_int_equal(taken_what, SL_READ_BYTES);
}

static void write_arrives_and_is_told_once(void **state)
{
    static char big[300000], got[300000];
    h2o_iovec_t pieces[] = {{H2O_STRLIT("head ")}, {big, sizeof big - 5}};
    size_t at = 0, n;
    memset(big, 'x', sizeof big);
    shake_hands();
    sl_transport_write(transport, pieces, 2, on_written);
    assert_int_equal(written, 0);
    while (at < sizeof got) {
        sl_loop_turn(loop, 10);
        while (at < sizeof got && SSL_read_ex(client, got + at, sizeof got - at, &n) == 1)
            at += n;
    }
    NET_UNTIL(loop, written > 0);
    assert_int_equal(written, 1);
    assert_int_equal(write_err, SL_OK);
    assert_memory_equal(got, "head xxxx", 9);
}

static void key_update_is_answered_while_a_write_is_under_way(void **state)
{
    char got[64];
    size_t n;
    shake_hands();
    assert_int_equal(SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write_ex(client, "after", 5, &n), 1);
    sl_transport_write(transport, &(h2o_iovec_t){H2O_STRLIT("one")}, 1, on_written);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_memory_equal(got, "after", 5);
    NET_UNTIL(loop, written == 1);
    sl_transport_write(transport, &(h2o_iovec_t){H2O_STRLIT("two")}, 1, on_written);
    NET_UNTIL(loop, written == 2);
    NET_UNTIL(loop, SSL_read_ex(client, got, 3, &n) == 1);
    NET_UNTIL(loop, SSL_read_ex(client, got, 3, &n) == 1);
    assert_memory_equal(got, "two", 3);
}

/* Each costs us much more than the peer. */
static void key_updates_without_data_are_given_up(void **state)
{
    char got[64];
    size_t n;
    unsigned sent = 0;
    enum sl_read what = SL_READ_LATER;
    shake_hands();
    for (; sent < 200 && what == SL_READ_LATER; sent++) {
        assert_int_equal(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client), 1);
        sl_loop_turn(loop, 0);
        what = sl_transport_read(transport, got, sizeof got, &n);
    }
    assert_int_equal(what, SL_READ_BROKEN);
    assert_in_range(sent, 60, 100);
}

/* One call goes through a few of them only: what comes meanwhile from others is not kept waiting. */
static void read_of_many_key_updates_comes_back_in_between(void **state)
{
    char got[64];
    size_t n;
    unsigned reads = 0;
    shake_hands();
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client), 1);
    }
    assert_int_equal(SSL_write_ex(client, "after", 5, &n), 1);
    sl_transport_read_start(transport, on_readable);
    do {
        readable = 0;
        NET_UNTIL(loop, readable > 0);
        reads++;
    } while (sl_transport_read(transport, got, sizeof got, &n) == SL_READ_LATER);
    assert_memory_equal(got, "after", 5);
    assert_in_range(reads, 5, 45);
}

/* A peer that asks for answers and does not take them: what TLS would say is bounded. */
static void key_updates_without_end_are_given_up(void **state)
{
    char got[64];
    size_t n;
    enum sl_read what = SL_READ_LATER;
    int small = 4096;
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    shake_hands();
    for (unsigned i = 0; i < 1000000 && what != SL_READ_BROKEN; i++) {
        if (SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(client) != 1)
            sl_loop_turn(loop, 0);
        what = sl_transport_read(transport, got, sizeof got, &n);
    }
    assert_int_equal(what, SL_READ_BROKEN);
}

/* ---- ends ---- */

static void close_notify_is_the_end(void **state)
{
    char got[8];
    size_t n;
    shake_hands();
    SSL_shutdown(client);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_END);
}

/* The socket stays open, and has told of all it has. */
static void close_notify_behind_bytes_is_told_too(void **state)
{
    char got[64];
    size_t n;
    shake_hands();
    assert_int_equal(SSL_write_ex(client, "last", 4, &n), 1);
    SSL_shutdown(client);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_int_equal(n, 4);
    sl_transport_read_start(transport, on_readable_takes_all);
    NET_UNTIL(loop, taken_what == SL_READ_END);
}

static void bad_record_behind_bytes_is_told_too(void **state)
{
    char got[64];
    size_t n;
    shake_hands();
    assert_int_equal(SSL_write_ex(client, "last", 4, &n), 1);
    assert_int_equal(send(peer, "\x17\x03\x03\x00\x20 thirty-two bytes of some garbage", 37, 0), 37);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    sl_transport_read_start(transport, on_readable_takes_all);
    NET_UNTIL(loop, taken_what == SL_READ_BROKEN);
}

static void close_says_close_notify(void **state)
{
    char got[8];
    size_t n;
    shake_hands();
    sl_transport_close(transport);
    transport = NULL;
    int rc = SSL_read_ex(client, got, sizeof got, &n);
    assert_int_equal(SSL_get_error(client, rc), SSL_ERROR_ZERO_RETURN);
}

static void end_without_close_notify_is_broken(void **state)
{
    char got[8];
    size_t n;
    shake_hands();
    shutdown(peer, SHUT_WR);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BROKEN);
}

static void truncated_record_is_broken(void **state)
{
    char got[8];
    size_t n;
    shake_hands();
    assert_int_equal(send(peer, "\x17\x03\x03\x00\x40garbage", 12, 0), 12);
    shutdown(peer, SHUT_WR);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BROKEN);
    sl_transport_write(transport, &(h2o_iovec_t){H2O_STRLIT("x")}, 1, on_written);
    NET_UNTIL(loop, written == 1);
    assert_int_equal(write_err, SL_CLIENT_GONE);
}

static void shutdown_write_says_close_notify_and_ends_the_socket(void **state)
{
    char got[8];
    size_t n;
    int rc = 0;
    shake_hands();
    sl_transport_shutdown_write(transport);
    NET_UNTIL(loop, (rc = SSL_read_ex(client, got, sizeof got, &n)) != 1 &&
                        SSL_get_error(client, rc) == SSL_ERROR_ZERO_RETURN);
    NET_UNTIL(loop, recv(peer, got, sizeof got, MSG_DONTWAIT) == 0);
}

static void close_in_the_middle_of_a_write_gives_everything_back(void **state)
{
    static char big[8 << 20];
    shake_hands();
    sl_transport_write(transport, &(h2o_iovec_t){big, sizeof big}, 1, on_written);
    sl_transport_close(transport);
    transport = NULL;
    net_settle(loop);
    assert_int_equal(written, 0);
}

/* ---- certificates that are none ---- */

static void create_without_a_file_tells_which(void **state)
{
    struct sl_tls *none;
    char message[256];
    struct sl_tls_pair pair = {"/nowhere/a.crt", "/nowhere/a.key"};
    assert_int_equal(sl_tls_create(&pair, 1, true, &none, message, sizeof message), SL_NOT_FOUND);
    assert_null(none);
    assert_non_null(strstr(message, "/nowhere/a.crt"));
}

static void create_with_the_key_of_another_certificate_tells_so(void **state)
{
    struct sl_tls *none;
    char cert[128], key[128], message[256];
    snprintf(cert, sizeof cert, "%s/one.crt", scratch.path);
    snprintf(key, sizeof key, "%s/two.key", scratch.path);
    struct sl_tls_pair pair = {cert, key};
    assert_int_equal(sl_tls_create(&pair, 1, true, &none, message, sizeof message), SL_BAD_FIELD);
    assert_non_null(strstr(message, "two.key"));
}

static void create_with_a_key_of_another_kind_tells_so(void **state)
{
    struct sl_tls *none;
    char cert[128], key[128], message[256];
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    write_key("rsa", rsa);
    EVP_PKEY_free(rsa);
    snprintf(cert, sizeof cert, "%s/one.crt", scratch.path);
    snprintf(key, sizeof key, "%s/rsa.key", scratch.path);
    struct sl_tls_pair pair = {cert, key};
    assert_int_equal(sl_tls_create(&pair, 1, true, &none, message, sizeof message), SL_BAD_FIELD);
    assert_non_null(strstr(message, "rsa.key"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(handshake_without_alpn_is_http_1),
        CASE(handshake_with_alpn_prefers_h2),
        CASE(handshake_with_alpn_of_http_1_0_is_http_1),
        CASE(handshake_with_unknown_alpn_fails_with_an_alert),
        CASE(handshake_of_a_costly_group_falls_back_to_one_of_ours),
        CASE(handshake_by_name_gets_the_certificate_of_the_name),
        CASE(handshake_by_unknown_name_gets_the_first_certificate),
        CASE(handshake_of_tls_1_1_fails),
        CASE(handshake_of_garbage_fails),
        CASE(handshake_again_with_a_ticket_is_resumed_after_a_reload),
        CASE(read_gives_what_was_sent_however_it_is_cut),
        CASE(read_start_tells_of_bytes_that_only_tls_holds),
        CASE(half_a_record_is_waited_for),
        CASE(bytes_that_only_tls_holds_are_told_of_once_a_turn),
        CASE(write_arrives_and_is_told_once),
        CASE(key_update_is_answered_while_a_write_is_under_way),
        CASE(key_updates_without_data_are_given_up),
        CASE(read_of_many_key_updates_comes_back_in_between),
        CASE(key_updates_without_end_are_given_up),
        CASE(close_notify_is_the_end),
        CASE(close_notify_behind_bytes_is_told_too),
        CASE(bad_record_behind_bytes_is_told_too),
        CASE(close_says_close_notify),
        CASE(end_without_close_notify_is_broken),
        CASE(truncated_record_is_broken),
        CASE(shutdown_write_says_close_notify_and_ends_the_socket),
        CASE(close_in_the_middle_of_a_write_gives_everything_back),
        CASE(create_without_a_file_tells_which),
        CASE(create_with_the_key_of_another_certificate_tells_so),
        CASE(create_with_a_key_of_another_kind_tells_so),
    };
    signal(SIGPIPE, SIG_IGN);
    loop = h2o_evloop_create();
    h2o_timeout_init(loop, &soon, 0);
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
