/* One tally for all loops, under a lock that is held for a few probes twice a connection. */
#include "sluice/net/peers.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct sl_peers {
    unsigned each_max; /* fixed after create */
    pthread_mutex_t lock;
    struct sl_tally tally; /* under the lock */
};

struct sl_peers *sl_peers_create(unsigned each_max, unsigned all_max)
{
    struct sl_peers *peers = calloc(1, sizeof *peers);
    if (peers == NULL)
        abort();
    peers->each_max = each_max;
    sl_tally_init(&peers->tally, all_max);
    pthread_mutex_init(&peers->lock, NULL);
    return peers;
}

void sl_peers_destroy(struct sl_peers *peers)
{
    if (peers == NULL)
        return;
    assert(peers->tally.used == 0);
    sl_tally_dispose(&peers->tally);
    pthread_mutex_destroy(&peers->lock);
    free(peers);
}

/* ---- addresses ---- */

static struct sl_tally_key key_of_ipv4(uint32_t address)
{
    return (struct sl_tally_key){.low = address};
}

static struct sl_tally_key key_of_ipv6(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(bytes, mapped, sizeof mapped) == 0) { /* IPv4, by a listener of both */
        uint32_t address;
        memcpy(&address, bytes + sizeof mapped, sizeof address);
        return key_of_ipv4(address);
    }
    struct sl_tally_key key = {.low = UINT64_C(1) << 32}; /* no IPv4 address is so long */
    memcpy(&key.high, bytes, sizeof key.high);
    return key;
}

static bool read_address(const struct sockaddr *address, struct sl_tally_key *key_out)
{
    if (address->sa_family == AF_INET)
        *key_out = key_of_ipv4(((const struct sockaddr_in *)address)->sin_addr.s_addr);
    else if (address->sa_family == AF_INET6)
        *key_out = key_of_ipv6(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
    else
        return false;
    return true;
}

bool sl_peer_key_of_text(struct sl_bytes text, struct sl_tally_key *key_out)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr in;
    struct in6_addr in6;
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, &in) == 1)
        *key_out = key_of_ipv4(in.s_addr);
    else if (inet_pton(AF_INET6, copy, &in6) == 1)
        *key_out = key_of_ipv6(in6.s6_addr);
    else
        return false;
    return true;
}

/* ---- in and out ---- */

bool sl_peers_enter(struct sl_peers *peers, const struct sockaddr *address, struct sl_peer *peer_out)
{
    *peer_out = (struct sl_peer){0};
    if (!read_address(address, &peer_out->key))
        return true;
    pthread_mutex_lock(&peers->lock);
    peer_out->is_counted = sl_tally_count(&peers->tally, &peer_out->key) < peers->each_max;
    if (peer_out->is_counted)
        sl_tally_add(&peers->tally, &peer_out->key);
    pthread_mutex_unlock(&peers->lock);
    return peer_out->is_counted;
}

void sl_peers_leave(struct sl_peers *peers, struct sl_peer *peer)
{
    if (!peer->is_counted)
        return;
    pthread_mutex_lock(&peers->lock);
    bool was_there = sl_tally_drop(&peers->tally, &peer->key);
    pthread_mutex_unlock(&peers->lock);
    assert(was_there);
    (void)was_there;
    peer->is_counted = false;
}
