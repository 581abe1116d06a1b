/* What a supervisor is told, as it hears it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "sluice/app/notify.h"
#include "sluice/base/clock.h"

static struct scratch scratch;
static char heard[256];

static int setup(void **state)
{
    scratch_make(&scratch);
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(&scratch);
    return 0;
}

static int listen_at(const char *value)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", value);
    if (value[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(value) + (value[0] != '@'));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static const char *hear(int fd)
{
    ssize_t len = recv(fd, heard, sizeof heard - 1, 0);
    heard[len > 0 ? len : 0] = '\0';
    return heard;
}

static void expect_all_is_told(const char *value)
{
    struct sl_notify notify;
    unsigned fds = scratch_count_fds();
    int fd = listen_at(value);
    assert_true(sl_notify_init(&notify, value));
    sl_notify_ready(&notify);
    assert_string_equal(hear(fd), "READY=1");
    unsigned long long before_us = sl_clock_now_ns() / 1000, told_us;
    sl_notify_reloading(&notify);
    assert_int_equal(sscanf(hear(fd), "RELOADING=1\nMONOTONIC_USEC=%llu", &told_us), 1);
    assert_in_range(told_us, before_us, sl_clock_now_ns() / 1000);
    sl_notify_stopping(&notify);
    assert_string_equal(hear(fd), "STOPPING=1");
    close(fd);
    sl_notify_ready(&notify); /* nobody hears it, and nothing happens */
    assert_int_equal(scratch_count_fds(), fds);
}

static void all_is_told_to_a_file(void **state)
{
    expect_all_is_told(scratch_path(&scratch, "notify"));
}

static void all_is_told_to_a_name_without_a_file(void **state)
{
    char name[64];
    snprintf(name, sizeof name, "@sluice-test-%d", (int)getpid());
    expect_all_is_told(name);
}

static void init_of_what_is_no_socket_tells_nobody(void **state)
{
    char longer[sizeof(struct sockaddr_un)];
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    static const char *const none[] = {NULL, ""}, *const bad[] = {"relative", "/", "@", "vsock:2:1234"};
    struct sl_notify notify;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_true(sl_notify_init(&notify, none[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(sl_notify_init(&notify, bad[i]));
        assert_int_equal(notify.address_bytes, 0);
        sl_notify_ready(&notify);
    }
    assert_false(sl_notify_init(&notify, longer));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_is_told_to_a_file),
        CASE(all_is_told_to_a_name_without_a_file),
        CASE(init_of_what_is_no_socket_tells_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
