/* Everything that is kept below a root (store/kept.h), one after the other, without a loop: for the start, and for a
 * look from outside while somebody serves it. Blocking; any thread. */
#ifndef SLUICE_STORE_KEPT_WALK_H
#define SLUICE_STORE_KEPT_WALK_H

#include "sluice/store/kept.h"

/* entry: lent for the call. */
typedef void (*sl_store_kept_walk_cb)(const struct sl_store_kept_entry *entry, void *ctx);

/* Tells each once, in no order; what comes and goes meanwhile, or cannot be read, may be left out. Changes nothing and
 * makes no folder. root: lent for the call. SL_NOT_FOUND: there is none, or nobody ever uploaded to it. Other errors:
 * it may not be read. */
SL_MUST_CHECK sl_err sl_store_walk_kept(const char *root, sl_store_kept_walk_cb on_entry, void *ctx);

#endif
