/* Counts by key: how often each of many is there, for limits that each of them has. Open addressing, at most half full;
 * it grows by itself. Its hash has a secret, so that nobody can choose keys that meet. One thread at a time: who shares
 * it has a lock. */
#ifndef SLUICE_BASE_TALLY_H
#define SLUICE_BASE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl_tally_key {
    uint64_t high, low;
};

struct sl_tally_entry;

/* Zeroed: nothing is held, and only dispose may be called. */
struct sl_tally {
    uint64_t secret[2];
    size_t mask, used; /* used: keys whose count is not 0 */
    struct sl_tally_entry *entries;
};

/* keys_max: so many find room without growing. Aborts when memory is out, as growing does. */
void sl_tally_init(struct sl_tally *tally, size_t keys_max);
void sl_tally_dispose(struct sl_tally *tally);

unsigned sl_tally_count(const struct sl_tally *tally, const struct sl_tally_key *key);
void sl_tally_add(struct sl_tally *tally, const struct sl_tally_key *key);
/* false: it was not there. */
bool sl_tally_drop(struct sl_tally *tally, const struct sl_tally_key *key);

#endif
