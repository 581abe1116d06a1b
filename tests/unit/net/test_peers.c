/* Counting by address: who is the same, how many may be, and that nobody is forgotten among many that come and go. */
#include "sluice/net/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

static struct address address_of(const char *text)
{
    struct address address = {0};
    if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1) {
        address.in.sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &address.in6.sin6_addr), 1);
        address.in6.sin6_family = AF_INET6;
    }
    return address;
}

static bool enter(struct sl_peers *peers, const char *text, struct sl_peer *peer_out)
{
    struct address address = address_of(text);
    return sl_peers_enter(peers, &address.any, peer_out);
}

static void each_has_its_own_count(void **state)
{
    struct sl_peers *peers = sl_peers_create(2, 100);
    struct sl_peer a[3], b;
    assert_true(enter(peers, "192.0.2.1", &a[0]) && enter(peers, "192.0.2.1", &a[1]));
    assert_false(enter(peers, "192.0.2.1", &a[2]));
    assert_false(a[2].is_counted);
    assert_true(enter(peers, "192.0.2.2", &b));
    sl_peers_leave(peers, &a[2]); /* was never in */
    assert_false(enter(peers, "192.0.2.1", &a[2]));
    sl_peers_leave(peers, &a[0]);
    sl_peers_leave(peers, &a[0]); /* once is enough */
    assert_true(enter(peers, "192.0.2.1", &a[2]));
    assert_false(enter(peers, "192.0.2.1", &a[0]));
    sl_peers_leave(peers, &a[1]);
    sl_peers_leave(peers, &a[2]);
    sl_peers_leave(peers, &b);
    sl_peers_destroy(peers);
}

static void who_is_the_same(void **state)
{
    static const struct {
        const char *one, *other;
        bool is_same;
    } rows[] = {
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8::1", "2001:db8::2", true},
        {"2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", true},
        {"2001:db8::1", "2001:db8:0:1::1", false},
        {"::1", "::2", true},
        {"0.0.0.0", "::", false},
        {"255.255.255.255", "::ffff:255.255.255.255", true},
        {"0.0.0.1", "::1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_peers *peers = sl_peers_create(1, 10);
        struct sl_peer one, other;
        assert_true(enter(peers, rows[i].one, &one));
        if (enter(peers, rows[i].other, &other) == rows[i].is_same)
            fail_msg("%s, %s", rows[i].one, rows[i].other);
        sl_peers_leave(peers, &one);
        sl_peers_leave(peers, &other);
        sl_peers_destroy(peers);
    }
}

/* The log's text of an address counts as the address itself does. */
static void a_text_is_the_same_as_its_address(void **state)
{
    static const char *const addresses[] = {"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "::1", "255.255.255.255"};
    static const char *const none[] = {"", "unix", "unknown", "192.0.2",
                                       "1234:1234:1234:1234:1234:1234:1234:1234:1234"};
    struct sl_peers *peers = sl_peers_create(10, 10);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct sl_peer peer;
        struct sl_tally_key key;
        assert_true(enter(peers, addresses[i], &peer));
        assert_true(sl_peer_key_of_text(sl_bytes_of(addresses[i]), &key));
        assert_memory_equal(&key, &peer.key, sizeof key);
        sl_peers_leave(peers, &peer);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct sl_tally_key key;
        if (sl_peer_key_of_text(sl_bytes_of(none[i]), &key))
            fail_msg("\"%s\" is an address", none[i]);
    }
    sl_peers_destroy(peers);
}

static void unix_sockets_are_of_nobody(void **state)
{
    struct address address = {.un.sun_family = AF_UNIX};
    struct sl_peers *peers = sl_peers_create(1, 10);
    struct sl_peer peer;
    for (int i = 0; i < 100; i++) {
        assert_true(sl_peers_enter(peers, &address.any, &peer));
        assert_false(peer.is_counted);
    }
    sl_peers_destroy(peers);
    sl_peers_destroy(NULL);
}

#define ADDRESSES 50u
#define MEMBERS   64u
#define EACH      3u

/* Against a plain count, in a table so small that neighbours meet all the time. */
static void many_come_and_go(void **state)
{
    struct sl_peers *peers = sl_peers_create(EACH, MEMBERS);
    struct sl_peer members[MEMBERS] = {0};
    unsigned of[MEMBERS], counts[ADDRESSES] = {0}, seed = 7;
    for (unsigned i = 0; i < 200000; i++) {
        unsigned slot = (unsigned)rand_r(&seed) % MEMBERS, who = (unsigned)rand_r(&seed) % ADDRESSES;
        if (members[slot].is_counted) {
            sl_peers_leave(peers, &members[slot]);
            counts[of[slot]]--;
            continue;
        }
        struct address address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000u + who)}};
        bool is_in = sl_peers_enter(peers, &address.any, &members[slot]);
        assert_int_equal(is_in, counts[who] < EACH);
        of[slot] = who;
        counts[who] += is_in;
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        sl_peers_leave(peers, &members[i]);
    sl_peers_destroy(peers); /* asserts that nobody is left */
}

static void *come_and_go(void *arg)
{
    struct sl_peers *peers = arg;
    struct sl_peer peer;
    for (int i = 0; i < 20000; i++)
        if (enter(peers, i % 2 ? "192.0.2.1" : "192.0.2.2", &peer))
            sl_peers_leave(peers, &peer);
    return NULL;
}

static void loops_share_it(void **state)
{
    struct sl_peers *peers = sl_peers_create(1, 16);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, peers), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    sl_peers_destroy(peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_own_count),
        cmocka_unit_test(who_is_the_same),
        cmocka_unit_test(a_text_is_the_same_as_its_address),
        cmocka_unit_test(unix_sockets_are_of_nobody),
        cmocka_unit_test(many_come_and_go),
        cmocka_unit_test(loops_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
