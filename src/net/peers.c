/* One table for all loops: open addressing, at most half full, under a lock that is held for a few probes twice a
 * connection. Its hash has a secret, so that nobody can choose addresses that meet. */
#include "sluice/net/peers.h"

#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct entry {
    uint64_t high, low;
    unsigned count; /* 0: free */
};

struct sl_peers {
    /* fixed after create */
    unsigned each_max;
    size_t mask;
    uint64_t secret[2];
    /* under the lock */
    pthread_mutex_t lock;
    size_t used;
    struct entry entries[];
};

struct sl_peers *sl_peers_create(unsigned each_max, unsigned all_max)
{
    size_t capacity = 2;
    while (capacity < 2 * (size_t)all_max)
        capacity *= 2;
    struct sl_peers *peers = calloc(1, sizeof *peers + capacity * sizeof peers->entries[0]);
    if (peers == NULL || getrandom(peers->secret, sizeof peers->secret, 0) != (ssize_t)sizeof peers->secret)
        abort();
    peers->each_max = each_max;
    peers->mask = capacity - 1;
    pthread_mutex_init(&peers->lock, NULL);
    return peers;
}

void sl_peers_destroy(struct sl_peers *peers)
{
    if (peers == NULL)
        return;
    assert(peers->used == 0);
    pthread_mutex_destroy(&peers->lock);
    free(peers);
}

/* ---- addresses ---- */

static bool read_address(const struct sockaddr *address, struct sl_peer *peer_out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *peer_out = (struct sl_peer){0};
    if (address->sa_family == AF_INET) {
        peer_out->low = ((const struct sockaddr_in *)address)->sin_addr.s_addr;
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    const uint8_t *bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;
    if (memcmp(bytes, mapped, sizeof mapped) == 0) { /* IPv4, by a listener of both */
        uint32_t in;
        memcpy(&in, bytes + sizeof mapped, sizeof in);
        peer_out->low = in;
    } else {
        memcpy(&peer_out->high, bytes, sizeof peer_out->high);
        peer_out->low = UINT64_C(1) << 32; /* no IPv4 address is so long */
    }
    return true;
}

static size_t place_of(const struct sl_peers *peers, uint64_t high, uint64_t low)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = (high ^ peers->secret[0]) * odd;
    hash ^= hash >> 32;
    hash = (hash ^ low ^ peers->secret[1]) * odd;
    hash ^= hash >> 29;
    return hash & peers->mask;
}

/* Its entry, or the free one that would be its. */
static struct entry *find(struct sl_peers *peers, const struct sl_peer *peer)
{
    size_t at = place_of(peers, peer->high, peer->low);
    while (peers->entries[at].count > 0 &&
           (peers->entries[at].high != peer->high || peers->entries[at].low != peer->low))
        at = (at + 1) & peers->mask;
    return &peers->entries[at];
}

/* Entries behind it that are not where they want to be move up, so that no search ends too soon. */
static void remove_entry(struct sl_peers *peers, struct entry *entry)
{
    size_t gap = (size_t)(entry - peers->entries);
    peers->used--;
    for (size_t at = (gap + 1) & peers->mask; peers->entries[at].count > 0; at = (at + 1) & peers->mask) {
        size_t wanted = place_of(peers, peers->entries[at].high, peers->entries[at].low);
        if (((at - wanted) & peers->mask) < ((at - gap) & peers->mask))
            continue;
        peers->entries[gap] = peers->entries[at];
        gap = at;
    }
    peers->entries[gap] = (struct entry){0};
}

/* ---- in and out ---- */

bool sl_peers_enter(struct sl_peers *peers, const struct sockaddr *address, struct sl_peer *peer_out)
{
    if (!read_address(address, peer_out))
        return true;
    pthread_mutex_lock(&peers->lock);
    struct entry *entry = find(peers, peer_out);
    bool may_enter = entry->count < peers->each_max;
    if (may_enter) {
        if (entry->count == 0) {
            *entry = (struct entry){.high = peer_out->high, .low = peer_out->low};
            peers->used++;
            assert(peers->used <= peers->mask);
        }
        entry->count++;
    }
    pthread_mutex_unlock(&peers->lock);
    peer_out->is_counted = may_enter;
    return may_enter;
}

void sl_peers_leave(struct sl_peers *peers, struct sl_peer *peer)
{
    if (!peer->is_counted)
        return;
    pthread_mutex_lock(&peers->lock);
    struct entry *entry = find(peers, peer);
    assert(entry->count > 0);
    if (--entry->count == 0)
        remove_entry(peers, entry);
    pthread_mutex_unlock(&peers->lock);
    peer->is_counted = false;
}
