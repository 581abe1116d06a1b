#include "sluice/base/tally.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>

struct sl_tally_entry {
    struct sl_tally_key key;
    unsigned count; /* 0: free */
};

static void allocate(struct sl_tally *tally, size_t capacity)
{
    tally->entries = calloc(capacity, sizeof tally->entries[0]);
    if (tally->entries == NULL)
        abort();
    tally->mask = capacity - 1;
}

void sl_tally_init(struct sl_tally *tally, size_t keys_max)
{
    size_t capacity = 2;
    while (capacity < 2 * keys_max)
        capacity *= 2;
    *tally = (struct sl_tally){0};
    if (getrandom(tally->secret, sizeof tally->secret, 0) != (ssize_t)sizeof tally->secret)
        abort();
    allocate(tally, capacity);
}

void sl_tally_dispose(struct sl_tally *tally)
{
    free(tally->entries);
    *tally = (struct sl_tally){0};
}

static size_t place_of(const struct sl_tally *tally, const struct sl_tally_key *key)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = (key->high ^ tally->secret[0]) * odd;
    hash ^= hash >> 32;
    hash = (hash ^ key->low ^ tally->secret[1]) * odd;
    hash ^= hash >> 29;
    return hash & tally->mask;
}

/* Its entry, or the free one that would be its. */
static struct sl_tally_entry *find(const struct sl_tally *tally, const struct sl_tally_key *key)
{
    struct sl_tally_entry *entries = tally->entries;
    size_t at = place_of(tally, key);
    while (entries[at].count > 0 && (entries[at].key.high != key->high || entries[at].key.low != key->low))
        at = (at + 1) & tally->mask;
    return &entries[at];
}

static void grow(struct sl_tally *tally)
{
    struct sl_tally_entry *old = tally->entries;
    size_t old_capacity = tally->mask + 1;
    allocate(tally, 2 * old_capacity);
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].count > 0)
            *find(tally, &old[i].key) = old[i];
    free(old);
}

unsigned sl_tally_count(const struct sl_tally *tally, const struct sl_tally_key *key)
{
    return find(tally, key)->count;
}

void sl_tally_add(struct sl_tally *tally, const struct sl_tally_key *key)
{
    struct sl_tally_entry *entry = find(tally, key);
    if (entry->count == 0) {
        if (2 * (tally->used + 1) > tally->mask + 1) {
            grow(tally);
            entry = find(tally, key);
        }
        entry->key = *key;
        tally->used++;
    }
    entry->count++;
    assert(tally->used <= tally->mask);
}

/* Entries behind it that are not where they want to be move up, so that no search ends too soon. */
static void remove_entry(struct sl_tally *tally, struct sl_tally_entry *entry)
{
    struct sl_tally_entry *entries = tally->entries;
    size_t gap = (size_t)(entry - entries);
    tally->used--;
    for (size_t at = (gap + 1) & tally->mask; entries[at].count > 0; at = (at + 1) & tally->mask) {
        size_t wanted = place_of(tally, &entries[at].key);
        if (((at - wanted) & tally->mask) < ((at - gap) & tally->mask))
            continue;
        entries[gap] = entries[at];
        gap = at;
    }
    entries[gap] = (struct sl_tally_entry){0};
}

bool sl_tally_drop(struct sl_tally *tally, const struct sl_tally_key *key)
{
    struct sl_tally_entry *entry = find(tally, key);
    if (entry->count == 0)
        return false;
    if (--entry->count == 0)
        remove_entry(tally, entry);
    return true;
}
