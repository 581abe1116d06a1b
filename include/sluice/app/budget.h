/* What sluice may take at most under a configuration: descriptors, and memory as a sum of named terms, each with its
 * reason. The one place that divides descriptors: main starts the workers by it, and doctor tells it. Start-up. */
#ifndef SLUICE_APP_BUDGET_H
#define SLUICE_APP_BUDGET_H

#include "sluice/app/config.h"

#include <stddef.h>
#include <stdint.h>

#define SL_BUDGET_TERMS_MAX 12

struct sl_budget_term {
    const char *name;
    uint64_t count, each; /* the term is their product */
    const char *why;      /* one line */
};

struct sl_budget {
    /* of each loop */
    unsigned connections_max, files_max;
    /* of all */
    unsigned connections; /* how many there can be: max-connections, or what the descriptors allow */
    uint64_t fds_limit, fds_wanted;
    struct sl_budget_term fds[SL_BUDGET_TERMS_MAX], memory[SL_BUDGET_TERMS_MAX];
    size_t fds_terms, memory_terms;
    uint64_t memory_bytes; /* the sum */
};

/* config: lent for the call. fds_limit: RLIMIT_NOFILE as it will be. */
void sl_budget_make(const struct sl_config *config, uint64_t fds_limit, struct sl_budget *budget_out);

/* Has max-connections the descriptors that it wants? */
bool sl_budget_has_fds(const struct sl_budget *budget);

/* The line of the start block, and of doctor, where it has not: what it means, and the cure. */
void sl_budget_put_fds(const struct sl_budget *budget, const struct sl_config *config, char *words_out, size_t room);

/* Takes as many descriptors as this process may ever have: how many those are. */
uint64_t sl_budget_raise_fds(void);

/* Has the kernel make room for the descriptors of the budget, which costs it 8 bytes each. Before there are threads:
 * where a process has some, whoever gets the first descriptor for which there is no room waits until every CPU has been
 * elsewhere (synchronize_rcu: tens of milliseconds), and a loop gets many. Without it all works as well. */
void sl_budget_make_room_for_fds(const struct sl_budget *budget);

#endif
