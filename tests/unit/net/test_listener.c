/* Opening addresses, and accepting from them. */
#include "net_case.h"
#include "sluice/net/listener.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define FDS 3u

static h2o_loop_t *loop;
static struct scratch scratch;
static int fds[FDS];
static char url[160];
static unsigned accepted;
static struct sl_listener *pauses; /* paused by the first that comes */

static int setup(void **state)
{
    scratch_make(&scratch);
    accepted = 0;
    pauses = NULL;
    return 0;
}

static int teardown(void **state)
{
    net_settle(loop);
    scratch_remove(&scratch);
    return 0;
}

static sl_err open4(in_port_t port, unsigned count)
{
    struct sockaddr_in address = net_local4(port);
    return sl_listener_open((struct sockaddr *)&address, sizeof address, count, fds, url, sizeof url);
}

static struct sockaddr_un unix_address(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch_path(&scratch, name));
    return address;
}

static sl_err open_unix(const char *name, unsigned count)
{
    struct sockaddr_un address = unix_address(name);
    return sl_listener_open((struct sockaddr *)&address, sizeof address, count, fds, url, sizeof url);
}

static void close_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

static void on_accept(h2o_socket_t *socket, void *ctx)
{
    assert_ptr_equal(ctx, &loop);
    accepted++;
    h2o_socket_close(socket);
    if (pauses != NULL)
        sl_listener_pause(pauses);
}

/* The kernel tells a TCP listener only of those who have said something. */
static int client_of(in_port_t port)
{
    struct sockaddr_in address = net_local4(port);
    int fd = net_connect((struct sockaddr *)&address, sizeof address);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    return fd;
}

/* ---- opening ---- */

static void port_0_is_one_port_for_all_sockets(void **state)
{
    assert_int_equal(open4(0, FDS), SL_OK);
    in_port_t port = net_port(fds[0]);
    char expected[64];
    snprintf(expected, sizeof expected, "http://127.0.0.1:%u", port);
    assert_string_equal(url, expected);
    for (unsigned i = 0; i < FDS; i++) {
        assert_int_equal(net_port(fds[i]), port);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    close_all(FDS);
}

static void taken_port_is_refused_in_plain_words_and_nothing_stays_open(void **state)
{
    assert_int_equal(open4(0, FDS), SL_OK);
    in_port_t port = net_port(fds[0]);
    int taken[FDS];
    memcpy(taken, fds, sizeof fds);
    unsigned before = scratch_count_fds();
    assert_int_not_equal(open4(port, 1), SL_OK);
    assert_int_not_equal(open4(port, FDS), SL_OK);
    assert_non_null(strstr(url, "cannot listen on http://127.0.0.1:"));
    assert_non_null(strstr(url, strerror(EADDRINUSE)));
    assert_int_equal(scratch_count_fds(), before);
    memcpy(fds, taken, sizeof fds);
    close_all(FDS);
}

static void port_is_free_again_after_a_restart(void **state)
{
    assert_int_equal(open4(0, 1), SL_OK);
    in_port_t port = net_port(fds[0]);
    int client = client_of(port);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    NET_UNTIL(loop, accepted == 1); /* which we close first: TIME_WAIT is ours */
    sl_listener_close(listener);
    close(client);
    assert_int_equal(open4(port, 2), SL_OK);
    close_all(2);
}

static void any_address_of_6_takes_4_too(void **state)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    assert_int_equal(sl_listener_open((struct sockaddr *)&address, sizeof address, 1, fds, url, sizeof url), SL_OK);
    assert_non_null(strstr(url, "http://localhost:"));
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    int client = client_of(net_port(fds[0]));
    NET_UNTIL(loop, accepted == 1);
    close(client);
    sl_listener_close(listener);
}

static void foreign_address_is_refused(void **state)
{
    struct sockaddr_in address = net_local4(0);
    address.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, for documentation */
    assert_int_not_equal(sl_listener_open((struct sockaddr *)&address, sizeof address, 1, fds, url, sizeof url),
                         SL_OK);
    assert_non_null(strstr(url, "192.0.2.1"));
}

static void unix_socket_is_shared_and_a_stale_one_replaced(void **state)
{
    assert_int_equal(open_unix("sock", FDS), SL_OK);
    assert_memory_equal(url, "unix:/", 6);
    int live[FDS];
    memcpy(live, fds, sizeof fds);
    assert_int_not_equal(open_unix("sock", 1), SL_OK); /* somebody answers there */
    assert_non_null(strstr(url, strerror(EADDRINUSE)));
    memcpy(fds, live, sizeof fds);
    close_all(FDS); /* as a crash does: the file stays */
    assert_true(scratch_has(&scratch, "sock"));
    assert_int_equal(open_unix("sock", 1), SL_OK);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    struct sockaddr_un address = unix_address("sock");
    int client = net_connect((struct sockaddr *)&address, sizeof address);
    NET_UNTIL(loop, accepted == 1);
    close(client);
    sl_listener_close(listener);
}

/* Whoever holds the socket goes on holding it, and who comes between two of us waits in it. */
static void adopted_socket_outlives_those_who_accept(void **state)
{
    struct sockaddr_in address = net_local4(0);
    socklen_t len = sizeof address;
    int held = socket(AF_INET, SOCK_STREAM, 0), clients[3];
    assert_int_equal(bind(held, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(held, 8), 0);
    assert_int_equal(getsockname(held, (struct sockaddr *)&address, &len), 0);
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = net_connect((struct sockaddr *)&address, len);
        int passed = dup(held);
        assert_int_equal(sl_listener_adopt(passed, FDS, fds, url, sizeof url), SL_OK);
        assert_int_equal(fds[0], passed);
        assert_int_equal(strtoul(strrchr(url, ':') + 1, NULL, 10), ntohs(address.sin_port));
        struct sl_listener *listeners[FDS];
        for (unsigned at = 0; at < FDS; at++) {
            assert_true(fcntl(fds[at], F_GETFD) & FD_CLOEXEC);
            listeners[at] = sl_listener_start(loop, fds[at], on_accept, &loop);
        }
        NET_UNTIL(loop, accepted == i + 1);
        for (unsigned at = 0; at < FDS; at++)
            sl_listener_close(listeners[at]);
        net_settle(loop);
    }
    for (unsigned i = 0; i < 3; i++)
        close(clients[i]);
    close(held);
}

static void adopted_name_without_a_file_is_told(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof address.sun_path, "@sluice-test-%d", (int)getpid());
    address.sun_path[0] = '\0';
    int held = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(held, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + len), 0);
    assert_int_equal(listen(held, 8), 0);
    assert_int_equal(sl_listener_adopt(held, 1, fds, url, sizeof url), SL_OK);
    assert_memory_equal(url, "unix:@sluice-test-", strlen("unix:@sluice-test-"));
    close_all(1);
    assert_int_equal(sl_listener_adopt(fds[0], 1, fds, url, sizeof url), SL_IO); /* it is gone */
}

static void what_is_no_socket_is_never_removed(void **state)
{
    scratch_put(&scratch, "precious", "data");
    assert_int_equal(symlink("precious", scratch_path(&scratch, "link")), 0);
    assert_int_equal(mkdir(scratch_path(&scratch, "folder"), 0700), 0);
    static const char *const names[] = {"precious", "link", "folder"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_not_equal(open_unix(names[i], 1), SL_OK);
        assert_true(scratch_has(&scratch, names[i]));
    }
    scratch_expect(&scratch, "precious", "data", 4);
}

/* ---- accepting ---- */

static void paused_listener_lets_the_kernel_hold_them(void **state)
{
    assert_int_equal(open4(0, 1), SL_OK);
    in_port_t port = net_port(fds[0]);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    sl_listener_pause(listener);
    sl_listener_pause(listener);
    int clients[] = {client_of(port), client_of(port)};
    net_settle(loop);
    assert_int_equal(accepted, 0);
    sl_listener_resume(listener);
    sl_listener_resume(listener);
    NET_UNTIL(loop, accepted == 2);
    close(clients[0]);
    close(clients[1]);
    sl_listener_close(listener);
}

static void pause_inside_on_accept_takes_no_more(void **state)
{
    int clients[4];
    assert_int_equal(open4(0, 1), SL_OK);
    in_port_t port = net_port(fds[0]);
    for (size_t i = 0; i < 4; i++)
        clients[i] = client_of(port);
    struct sl_listener *listener = pauses = sl_listener_start(loop, fds[0], on_accept, &loop);
    for (unsigned i = 1; i <= 4; i++) {
        NET_UNTIL(loop, accepted == i);
        net_settle(loop);
        assert_int_equal(accepted, i);
        sl_listener_resume(listener);
    }
    for (size_t i = 0; i < 4; i++)
        close(clients[i]);
    sl_listener_close(listener);
}

/* More than a client without a window needs: by themselves sockets of the loopback device take 2.7 MB. */
#define HELD_MAX (1 << 20)

static void on_accept_to_talk(h2o_socket_t *socket, void *ctx)
{
    static const char piece[64 << 10];
    int fd = h2o_socket_get_fd(socket);
    size_t held = 0;
    for (ssize_t n; (n = send(fd, piece, sizeof piece, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
        held += (size_t)n;
    assert_in_range(held, 1, HELD_MAX);
    on_accept(socket, ctx);
}

static void of_an_answer_that_nobody_reads_the_kernel_holds_little(void **state)
{
    assert_int_equal(open4(0, 1), SL_OK);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept_to_talk, &loop);
    struct sockaddr_in address = net_local4(net_port(fds[0]));
    int window = 4096, client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    NET_UNTIL(loop, accepted == 1);
    close(client);
    sl_listener_close(listener);
}

static void set_fd_limit(rlim_t most)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void without_descriptors_it_waits_and_does_not_spin(void **state)
{
    assert_int_equal(open4(0, 1), SL_OK);
    in_port_t port = net_port(fds[0]);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    int clients[] = {client_of(port), client_of(port)};
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    set_fd_limit(3);
    unsigned turns = 0;
    for (uint64_t end = now_ms() + 250; now_ms() < end; turns++)
        sl_loop_turn(loop, 10);
    sl_listener_pause(listener); /* in the midst of its rest */
    sl_listener_resume(listener);
    net_settle(loop);
    set_fd_limit(before.rlim_cur);
    assert_int_equal(accepted, 0);
    assert_true(turns < 100);
    NET_UNTIL(loop, accepted == 2);
    close(clients[0]);
    close(clients[1]);
    sl_listener_close(listener);
}

static void closed_while_it_rests(void **state)
{
    assert_int_equal(open4(0, 1), SL_OK);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    int client = client_of(net_port(fds[0]));
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    set_fd_limit(3);
    net_settle(loop);
    set_fd_limit(before.rlim_cur);
    sl_listener_close(listener);
    close(client);
}

static void many_are_all_accepted(void **state)
{
    int clients[100];
    assert_int_equal(open4(0, 1), SL_OK);
    in_port_t port = net_port(fds[0]);
    struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
    for (size_t i = 0; i < 100; i++)
        clients[i] = client_of(port);
    NET_UNTIL(loop, accepted == 100);
    for (size_t i = 0; i < 100; i++)
        close(clients[i]);
    sl_listener_close(listener);
}

static void closing_takes_those_who_wait_unless_it_is_paused(void **state)
{
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(open4(0, 1), SL_OK);
        int clients[] = {client_of(net_port(fds[0])), client_of(net_port(fds[0]))};
        struct sl_listener *listener = sl_listener_start(loop, fds[0], on_accept, &loop);
        if (round == 1)
            sl_listener_pause(listener);
        sl_listener_close(listener);
        assert_int_equal(accepted, 2);
        close(clients[0]);
        close(clients[1]);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(port_0_is_one_port_for_all_sockets),
        CASE(taken_port_is_refused_in_plain_words_and_nothing_stays_open),
        CASE(port_is_free_again_after_a_restart),
        CASE(any_address_of_6_takes_4_too),
        CASE(foreign_address_is_refused),
        CASE(unix_socket_is_shared_and_a_stale_one_replaced),
        CASE(adopted_socket_outlives_those_who_accept),
        CASE(adopted_name_without_a_file_is_told),
        CASE(what_is_no_socket_is_never_removed),
        CASE(paused_listener_lets_the_kernel_hold_them),
        CASE(pause_inside_on_accept_takes_no_more),
        CASE(many_are_all_accepted),
        CASE(closing_takes_those_who_wait_unless_it_is_paused),
        CASE(of_an_answer_that_nobody_reads_the_kernel_holds_little),
        CASE(without_descriptors_it_waits_and_does_not_spin),
        CASE(closed_while_it_rests),
    };
    loop = h2o_evloop_create();
    return cmocka_run_group_tests(cases, NULL, NULL);
}
