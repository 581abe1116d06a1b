/* Removes the uploads that nobody came back to. It walks over all that is kept, a batch a tick, and drops what has
 * expired, a few at a time; behind a batch with something to drop the next comes at once. Whatever somebody deals with
 * is left alone. One for the process, on one of its loops; loop thread. */
#ifndef SLUICE_UPLOAD_REAPER_H
#define SLUICE_UPLOAD_REAPER_H

#include "sluice/upload/intake.h"
#include "sluice/upload/uploads.h"

#define SL_REAPER_SLOTS 4u /* dropped at a time */

struct sl_reaper;

/* One that has expired, on its way out. */
struct sl_reaper_slot {
    struct sl_reaper *reaper;
    struct sl_claim claim;
    struct sl_store_object object;
    char state[SL_STORE_STATE_BYTES_MAX];
    uint64_t modified_ns;      /* of the file */
    uint64_t counted_bytes;    /* is_counted */
    struct sl_tally_key owner; /* has_owner */
    bool is_busy, is_counted, has_owner;
};

struct sl_reaper {
    struct sl_intake *intake; /* fixed after init */
    char *room;
    /* the walk under way */
    struct sl_store_kept_listing listing;
    bool is_walking, is_fetching, has_batch;
    bool has_found;        /* something to drop in the batch */
    uint64_t next_walk_ns; /* steady clock */
    struct sl_reaper_slot slots[SL_REAPER_SLOTS];
    bool is_stopped;
    uint64_t dropped; /* so far */
};

/* intake: lent until dispose; with its uploads. Aborts when memory is out. */
void sl_reaper_init(struct sl_reaper *reaper, struct sl_intake *intake);
/* It must be idle. Zeroed is fine. */
void sl_reaper_dispose(struct sl_reaper *reaper);

/* About once a second. now_ns: steady clock, as sl_clock_now_ns; for the pause between two walks. */
void sl_reaper_tick(struct sl_reaper *reaper, uint64_t now_ns);

/* Begins nothing new; soon it is idle. */
void sl_reaper_stop(struct sl_reaper *reaper);
bool sl_reaper_is_idle(const struct sl_reaper *reaper);

#endif
