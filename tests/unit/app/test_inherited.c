/* Sockets that a process is started with: which environment means us, what of it is refused and how that is told. */
#include "config_case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>

#define FIRST  3
#define COUNT  3u
#define TO_TLS "--tls-cert=/c", "--tls-key=/k"

static struct config_case c;
static char pid[32];
static int hidden[COUNT]; /* what this process had there */

static void put_at(int fd, int at)
{
    assert_int_equal(dup2(fd, at), at);
    if (fd != at)
        close(fd);
}

static int listening(int family, int type)
{
    int fd = socket(family, type, 0);
    assert_true(fd >= 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0); /* the kernel finds a name */
    return fd;
}

static int setup(void **state)
{
    for (unsigned i = 0; i < COUNT; i++)
        hidden[i] = fcntl(FIRST + (int)i, F_DUPFD, 100);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int un = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(un, (struct sockaddr *)&name, sizeof name.sun_family), 0);
    assert_int_equal(listen(un, 1), 0);
    put_at(un, FIRST + 2);
    put_at(listening(AF_INET, SOCK_STREAM), FIRST + 1);
    put_at(listening(AF_INET6, SOCK_STREAM), FIRST);
    snprintf(pid, sizeof pid, "LISTEN_PID=%d", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    sl_config_dispose(&c.config);
    for (unsigned i = 0; i < COUNT; i++) {
        close(FIRST + (int)i);
        if (hidden[i] >= 0)
            put_at(hidden[i], FIRST + (int)i);
    }
    return 0;
}

static void load_takes_the_place_of_every_source(void **state)
{
    const char *words[] = {"--listen=:1", NULL}, *environment[] = {"SLUICE_LISTEN=:2", pid, "LISTEN_FDS=3", NULL};
    assert_int_equal(config_case_load(&c, words, environment, "listen: \":3\""), SL_CONFIG_OK);
    const struct sl_listeners *listeners = &c.config.listeners;
    assert_int_equal(listeners->count, 3);
    assert_int_equal(listeners->at[0].kind, SL_LISTEN_IPV6);
    assert_int_equal(listeners->at[1].kind, SL_LISTEN_IPV4);
    assert_int_equal(listeners->at[2].kind, SL_LISTEN_UNIX);
    assert_int_not_equal(listeners->at[1].address.in.sin_port, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(listeners->at[i].inherited_fd, FIRST + i);
        assert_false(listeners->at[i].is_tls);
    }
}

static void load_of_a_name_that_is_tls_marks_the_socket(void **state)
{
    const char *words[] = {TO_TLS, NULL};
    const char *environment[] = {pid, "LISTEN_FDS=3", "LISTEN_FDNAMES=sluice.socket:tls:", NULL};
    assert_int_equal(config_case_load(&c, words, environment, NULL), SL_CONFIG_OK);
    assert_false(c.config.listeners.at[0].is_tls);
    assert_true(c.config.listeners.at[1].is_tls);
    assert_false(c.config.listeners.at[2].is_tls);
}

/* As sd_listen_fds(3) does. */
static void load_of_what_is_for_another_process_changes_nothing(void **state)
{
    static const char *const others[][3] = {
        {"LISTEN_PID=1", "LISTEN_FDS=3"}, {"LISTEN_FDS=3"}, {"LISTEN_PID=1", "LISTEN_FDS=x"}, {"LISTEN_PIDS=x"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(config_case_load(&c, NULL, others[i], NULL), SL_CONFIG_OK);
        assert_int_equal(c.config.listeners.count, 1);
        assert_int_equal(c.config.listeners.at[0].inherited_fd, 0);
        sl_config_dispose(&c.config);
    }
    const char *words[] = {"uploads", NULL}, *environment[] = {pid, "LISTEN_FDS=x", NULL};
    assert_int_equal(config_case_load(&c, words, environment, NULL), SL_CONFIG_OK);
}

static void load_of_garbled_variables_is_refused(void **state)
{
    static const struct {
        const char *variables[3], *told;
    } rows[] = {
        {{"LISTEN_PID=", "LISTEN_FDS=1"}, "LISTEN_PID: \"\" is not the id of a process"},
        {{"LISTEN_PID=12x", "LISTEN_FDS=1"}, "LISTEN_PID: \"12x\" is not the id of a process"},
        {{"LISTEN_FDS="}, "LISTEN_FDS: \"\" is not a number of sockets from 1 to 16"},
        {{"LISTEN_FDS=0"}, "LISTEN_FDS: \"0\" is not"},
        {{"LISTEN_FDS=-1"}, "LISTEN_FDS: \"-1\" is not"},
        {{"LISTEN_FDS=1 "}, "LISTEN_FDS: \"1 \" is not"},
        {{"LISTEN_FDS=\033[2J"}, "LISTEN_FDS: \"\\x1b[2J\" is not"},
        {{"LISTEN_FDS=17"}, "LISTEN_FDS: \"17\" is not"},
        {{"LISTEN_FDS=18446744073709551617"}, "is not a number of sockets"},
        {{"LISTEN_FDS=2", "LISTEN_FDNAMES=a"}, "LISTEN_FDNAMES: \"a\" does not name each socket once"},
        {{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:b:c"}, "LISTEN_FDNAMES: \"a:b:c\" does not name"},
        {{"LISTEN_FDS=2", "LISTEN_FDNAMES="}, "LISTEN_FDNAMES: \"\" does not name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *environment[4] = {pid};
        bool has_pid = strncmp(rows[i].variables[0], "LISTEN_PID", 10) == 0;
        memcpy(environment + !has_pid, rows[i].variables, 3 * sizeof *environment);
        assert_int_equal(config_case_load(&c, NULL, environment, NULL), SL_CONFIG_BAD);
        config_case_assert_mentions(c.message, rows[i].told);
        config_case_assert_mentions(c.message, "; start sluice by a socket unit, or unset LISTEN_PID");
    }
}

static void expect_refused(const char *told)
{
    const char *environment[] = {pid, "LISTEN_FDS=2", NULL};
    assert_int_equal(config_case_load(&c, NULL, environment, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, "LISTEN_FDS: descriptor 4 ");
    config_case_assert_mentions(c.message, told);
}

static void load_of_descriptors_that_do_not_listen_is_refused(void **state)
{
    int pair[2];
    close(FIRST + 1);
    expect_refused("is not open; let LISTEN_FDS count");
    put_at(open("/dev/null", O_RDWR), FIRST + 1);
    expect_refused("is not a socket; pass on listening sockets alone");
    put_at(listening(AF_INET, SOCK_DGRAM), FIRST + 1);
    expect_refused("takes no connections; write ListenStream=");
    put_at(socket(AF_INET, SOCK_STREAM, 0), FIRST + 1);
    expect_refused("does not listen; write Accept=no");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[0]);
    put_at(pair[1], FIRST + 1);
    expect_refused("does not listen; write Accept=no");
    put_at(socket(AF_NETLINK, SOCK_RAW, 0), FIRST + 1);
    expect_refused("is of a family that is not served");
}

static void load_of_tls_without_its_half_is_refused(void **state)
{
    const char *environment[] = {pid, "LISTEN_FDS=1", "LISTEN_FDNAMES=tls", NULL};
    assert_int_equal(config_case_load(&c, NULL, environment, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, "listen: inherited socket 3, named tls, needs a certificate");
    const char *words[] = {"--listen=:1 tls", TO_TLS, NULL};
    environment[2] = NULL;
    assert_int_equal(config_case_load(&c, words, environment, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, "tls-cert: no address uses it; name the socket of one tls");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(load_takes_the_place_of_every_source),
        CASE(load_of_a_name_that_is_tls_marks_the_socket),
        CASE(load_of_what_is_for_another_process_changes_nothing),
        CASE(load_of_garbled_variables_is_refused),
        CASE(load_of_descriptors_that_do_not_listen_is_refused),
        CASE(load_of_tls_without_its_half_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
