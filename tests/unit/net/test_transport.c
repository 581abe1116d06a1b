/* The byte stream over a socket, on TCP and on unix sockets alike. */
#include "net_case.h"
#include "sluice/net/transport.h"

static h2o_loop_t *loop;
static bool is_unix;
static int peer; /* the other end, blocking */
static int ours; /* the transport's */
static struct sl_transport *transport;
static unsigned readable, written;
static sl_err write_err;
static unsigned fds_before;

static int setup(void **state)
{
    int fds[2];
    fds_before = scratch_count_fds();
    if (is_unix)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    else
        net_tcp_pair(fds);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    peer = fds[0];
    ours = fds[1];
    transport = sl_transport_create(h2o_evloop_socket_create(loop, fds[1], H2O_SOCKET_FLAG_DONT_READ), NULL, NULL);
    sl_transport_set_owner(transport, &loop);
    readable = written = 0;
    return 0;
}

static int teardown(void **state)
{
    if (transport != NULL)
        sl_transport_close(transport);
    transport = NULL;
    if (peer >= 0)
        close(peer);
    net_settle(loop);
    assert_int_equal(scratch_count_fds(), fds_before);
    return 0;
}

static void on_readable(void *owner)
{
    assert_ptr_equal(owner, &loop);
    readable++;
}

static void on_written(void *owner, sl_err err)
{
    assert_ptr_equal(owner, &loop);
    written++;
    write_err = err;
}

static void send_peer(const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), 0), strlen(text));
}

/* The next thing that is not LATER. */
static enum sl_read read_now(char *into, size_t len, size_t *n)
{
    enum sl_read what = SL_READ_LATER;
    NET_UNTIL(loop, (what = sl_transport_read(transport, into, len, n)) != SL_READ_LATER);
    return what;
}

static void reset_by_peer(void)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(peer);
    peer = -1;
}

/* ---- reading ---- */

static void read_gives_what_came_then_later_then_the_end(void **state)
{
    char got[16];
    size_t n = 99;
    assert_int_equal(sl_transport_read(transport, got, sizeof got, &n), SL_READ_LATER);
    send_peer("hello");
    assert_int_equal(read_now(got, 3, &n), SL_READ_BYTES);
    assert_int_equal(n, 3);
    assert_memory_equal(got, "hel", 3);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_int_equal(n, 2);
    assert_memory_equal(got, "lo", 2);
    assert_int_equal(sl_transport_read(transport, got, sizeof got, &n), SL_READ_LATER);
    send_peer("!");
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_END);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_END);
}

static void read_after_a_reset_is_broken(void **state)
{
    if (is_unix)
        skip(); /* knows no reset, but see below */
    char got[4];
    size_t n;
    reset_by_peer();
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BROKEN);
}

/* A unix peer that leaves what we wrote unread resets us. */
static void read_after_a_peer_left_unread_bytes_is_broken(void **state)
{
    char got[4];
    size_t n;
    h2o_iovec_t piece = {"hello", 5};
    sl_transport_write(transport, &piece, 1, on_written);
    NET_UNTIL(loop, written == 1);
    close(peer);
    peer = -1;
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BROKEN);
}

static void discard_throws_away_and_tells_how_much(void **state)
{
    static char bytes[50000];
    size_t left = sizeof bytes, n;
    assert_int_equal(send(peer, bytes, sizeof bytes, 0), sizeof bytes);
    send_peer("kept");
    while (left > 0) {
        enum sl_read what = sl_transport_discard(transport, left, &n);
        if (what == SL_READ_LATER) {
            sl_loop_turn(loop, 10);
            continue;
        }
        assert_int_equal(what, SL_READ_BYTES);
        assert_in_range(n, 1, left);
        left -= n;
    }
    char got[8];
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_int_equal(n, 4);
    assert_memory_equal(got, "kept", 4);
    assert_int_equal(sl_transport_discard(transport, 10, &n), SL_READ_LATER);
    shutdown(peer, SHUT_WR);
    enum sl_read what = SL_READ_LATER;
    NET_UNTIL(loop, (what = sl_transport_discard(transport, 10, &n)) != SL_READ_LATER);
    assert_int_equal(what, SL_READ_END);
}

static void on_readable_comes_until_stopped_and_h2o_reads_nothing(void **state)
{
    char got[8];
    size_t n;
    sl_transport_read_start(transport, on_readable);
    sl_transport_read_start(transport, on_readable);
    net_settle(loop);
    assert_int_equal(readable, 0);
    send_peer("x");
    NET_UNTIL(loop, readable > 0);
    unsigned before = readable;
    NET_UNTIL(loop, readable > before); /* still unread, so it comes again */
    sl_transport_read_stop(transport);
    sl_transport_read_stop(transport);
    before = readable;
    net_settle(loop);
    assert_int_equal(readable, before);
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_int_equal(n, 1);
    sl_transport_read_start(transport, on_readable);
    shutdown(peer, SHUT_WR);
    NET_UNTIL(loop, readable > before); /* the end is something to read */
}

/* ---- writing ---- */

#define BIG ((size_t)8 << 20)

static void write_is_whole_though_the_reader_is_slow(void **state)
{
    char *big = malloc(BIG), *got = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)(i * 31 >> 3);
    h2o_iovec_t pieces[] = {{big, 1}, {big + 1, 5000}, {big + 5001, BIG - 5001}};
    sl_transport_write(transport, pieces, 3, on_written);
    memset(pieces, 0, sizeof pieces); /* the array was lent for the call only */
    assert_int_equal(written, 0);
    net_settle(loop);
    assert_int_equal(written, 0); /* no socket takes that much */
    size_t at = 0;
    while (at < BIG) {
        ssize_t n = recv(peer, got + at, 10000, MSG_DONTWAIT);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        at += n > 0 ? (size_t)n : 0;
        sl_loop_turn(loop, 0);
    }
    NET_UNTIL(loop, written == 1);
    assert_int_equal(write_err, SL_OK);
    assert_memory_equal(big, got, BIG);
    free(big);
    free(got);
}

/* Writes until the socket has no room, though nothing of ours is left to be written. The peer's side may take some of
 * it a moment later, so whoever has no room has to have none still. */
static void fill_socket(char *bytes, size_t len)
{
    h2o_iovec_t piece = {bytes, len};
    int few = 65536;
    assert_int_equal(setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &few, sizeof few), 0);
    while (sl_transport_has_room(transport)) {
        for (unsigned before = written; sl_transport_has_room(transport); before = written) {
            sl_transport_write(transport, &piece, 1, on_written);
            NET_UNTIL(loop, written > before);
        }
        net_settle(loop);
    }
}

static void room_is_told_when_the_peer_reads(void **state)
{
    static char bytes[4096], got[1 << 20];
    unsigned before;
    do {
        fill_socket(bytes, sizeof bytes);
        before = written;
        sl_transport_await_room(transport, on_written);
        net_settle(loop);
        assert_true(written == before || sl_transport_has_room(transport));
    } while (written > before); /* TCP found some by itself: it packs more tightly when its peer asks again */
    NET_UNTIL(loop, recv(peer, got, sizeof got, MSG_DONTWAIT) != 0 && written > before);
    assert_int_equal(written, before + 1);
    assert_int_equal(write_err, SL_OK);
    assert_true(sl_transport_has_room(transport));
    h2o_iovec_t piece = {bytes, sizeof bytes};
    sl_transport_write(transport, &piece, 1, on_written);
    NET_UNTIL(loop, written == before + 2);
}

static void close_while_room_is_awaited_calls_nobody(void **state)
{
    static char bytes[4096];
    fill_socket(bytes, sizeof bytes);
    unsigned before = written;
    sl_transport_await_room(transport, on_written);
    sl_transport_close(transport);
    transport = NULL;
    net_settle(loop);
    assert_int_equal(written, before);
}

static void write_to_a_peer_that_is_gone_is_told(void **state)
{
    char *big = calloc(1, BIG);
    h2o_iovec_t piece = {big, BIG};
    sl_transport_write(transport, &piece, 1, on_written);
    net_settle(loop);
    close(peer);
    peer = -1;
    NET_UNTIL(loop, written == 1);
    assert_int_equal(write_err, SL_CLIENT_GONE);
    free(big);
}

static void close_during_a_write_calls_nobody(void **state)
{
    char *big = calloc(1, BIG);
    h2o_iovec_t piece = {big, BIG};
    sl_transport_read_start(transport, on_readable);
    sl_transport_write(transport, &piece, 1, on_written);
    sl_transport_close(transport);
    transport = NULL;
    free(big);
    send(peer, "x", 1, MSG_NOSIGNAL);
    net_settle(loop);
    assert_int_equal(written, 0);
    assert_int_equal(readable, 0);
}

static void shutdown_write_ends_the_answer_and_still_reads(void **state)
{
    char got[8];
    size_t n;
    h2o_iovec_t piece = {"bye", 3};
    sl_transport_write(transport, &piece, 1, on_written);
    NET_UNTIL(loop, written == 1);
    sl_transport_shutdown_write(transport);
    assert_int_equal(recv(peer, got, sizeof got, MSG_WAITALL), 3);
    assert_int_equal(recv(peer, got, sizeof got, 0), 0);
    send_peer("late");
    assert_int_equal(read_now(got, sizeof got, &n), SL_READ_BYTES);
    assert_int_equal(n, 4);
}

/* ---- closing ---- */

static void close_ends_and_reset_resets(void **state)
{
    char got[8];
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        if (is_reset)
            sl_transport_reset_on_close(transport);
        sl_transport_close(transport);
        transport = NULL;
        ssize_t n = recv(peer, got, sizeof got, 0);
        if (is_reset && !is_unix) {
            assert_int_equal(n, -1);
            assert_int_equal(errno, ECONNRESET);
        } else {
            assert_int_equal(n, 0);
        }
        close(peer);
        if (!is_reset)
            setup(NULL);
    }
    peer = -1;
}

static void peer_is_told_as_text(void **state)
{
    assert_string_equal(sl_transport_peer_text(transport), is_unix ? "unix" : "127.0.0.1");
    struct sockaddr_storage address;
    assert_int_not_equal(sl_transport_local(transport, (struct sockaddr *)&address), 0);
    assert_int_equal(address.ss_family, is_unix ? AF_UNIX : AF_INET);
}

/* Reset before we came to accept it: no address any more, and yet a transport that can be asked and closed. */
static void peer_that_is_gone_before_is_no_unix_peer(void **state)
{
    if (is_unix)
        skip();
    int fds[2];
    net_tcp_pair(fds);
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fds[0]);
    struct sl_transport *gone =
        sl_transport_create(h2o_evloop_socket_create(loop, fds[1], H2O_SOCKET_FLAG_DONT_READ), NULL, NULL);
    assert_string_not_equal(sl_transport_peer_text(gone), "unix");
    size_t n;
    assert_int_equal(sl_transport_discard(gone, 100, &n), SL_READ_BROKEN);
    sl_transport_close(gone);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(read_gives_what_came_then_later_then_the_end),
        CASE(read_after_a_reset_is_broken),
        CASE(read_after_a_peer_left_unread_bytes_is_broken),
        CASE(discard_throws_away_and_tells_how_much),
        CASE(on_readable_comes_until_stopped_and_h2o_reads_nothing),
        CASE(write_is_whole_though_the_reader_is_slow),
        CASE(room_is_told_when_the_peer_reads),
        CASE(close_while_room_is_awaited_calls_nobody),
        CASE(write_to_a_peer_that_is_gone_is_told),
        CASE(close_during_a_write_calls_nobody),
        CASE(shutdown_write_ends_the_answer_and_still_reads),
        CASE(close_ends_and_reset_resets),
        CASE(peer_is_told_as_text),
        CASE(peer_that_is_gone_before_is_no_unix_peer),
    };
    signal(SIGPIPE, SIG_IGN);
    loop = h2o_evloop_create();
    int failed = cmocka_run_group_tests_name("tcp", cases, NULL, NULL);
    is_unix = true;
    return failed + cmocka_run_group_tests_name("unix", cases, NULL, NULL);
}
