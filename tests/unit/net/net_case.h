/* A loop of its own, and peers that are plain blocking-free sockets of this process. */
#ifndef SLUICE_TESTS_NET_CASE_H
#define SLUICE_TESTS_NET_CASE_H

#include "scratch.h"
#include "sluice/net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NET_PATIENCE_S 60

/* Turns the loop until `condition` holds; it waits for events, and a condition that does not come fails the test. */
#define NET_UNTIL(loop, condition)                                         \
    do {                                                                   \
        time_t net_end = time(NULL) + NET_PATIENCE_S;                      \
        while (!(condition)) {                                             \
            sl_loop_turn((loop), 10);                                      \
            if (time(NULL) > net_end)                                      \
                fail_msg("%s:%d: never: " #condition, __FILE__, __LINE__); \
        }                                                                  \
    } while (0)

/* For asserting that something does not happen: turns in which it had its chance. */
static inline void net_settle(h2o_loop_t *loop)
{
    for (int i = 0; i < 5; i++)
        sl_loop_turn(loop, 10);
}

static inline struct sockaddr_in net_local4(in_port_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* The port a listening or connected socket is bound to. */
static inline in_port_t net_port(int fd)
{
    struct sockaddr_in6 address;
    socklen_t len = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin6_port); /* where sin_port is, too */
}

static inline int net_connect(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, address, len) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A pair of connected TCP sockets on the loopback. */
static inline void net_tcp_pair(int fds_out[2])
{
    struct sockaddr_in address = net_local4(0);
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    fds_out[0] = net_connect((struct sockaddr *)&address, len);
    fds_out[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fds_out[0] >= 0 && fds_out[1] >= 0);
    close(listener);
}

#endif
