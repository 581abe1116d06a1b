/* A walk is slow on purpose: one batch a tick, and a rest behind its end. Listing costs a helper thread a look at the
 * whole folder, and dropping costs the file system more than anything else a small upload does. Only behind a batch
 * that had something to drop the next one comes at once, or many small uploads would be kept faster than they go. What
 * a batch says may be old news when its turn comes, so it is judged again under the claim. */
#include "sluice/upload/reaper.h"

#include "sluice/base/clock.h"

#include <stdlib.h>

#define ROOM_BYTES    ((size_t)256 << 10)
#define REST_MAX_NS   (60 * SL_SEC)
#define REST_FRACTION 10 /* of the expiry */

static void go_on(struct sl_reaper *reaper);

void sl_reaper_init(struct sl_reaper *reaper, struct sl_intake *intake)
{
    assert(intake->uploads != NULL);
    *reaper = (struct sl_reaper){.intake = intake, .room = aligned_alloc(64, ROOM_BYTES)};
    if (reaper->room == NULL)
        abort();
    for (unsigned i = 0; i < SL_REAPER_SLOTS; i++)
        reaper->slots[i].reaper = reaper;
}

void sl_reaper_dispose(struct sl_reaper *reaper)
{
    assert(sl_reaper_is_idle(reaper));
    free(reaper->room);
    reaper->room = NULL;
}

/* ---- what has expired ---- */

/* What has no state of ours was kept by nobody that we know; it has its time all the same. state_out: only if it has
 * one. */
static bool has_expired(const struct sl_reaper *reaper, struct sl_bytes encoded, uint64_t modified_ns,
                        struct sl_upload_state *state_out, bool *has_state_out)
{
    const struct sl_uploads_options *options = sl_uploads_options(reaper->intake->uploads);
    uint64_t now_ns = sl_clock_wall_ns();
    *has_state_out = sl_upload_state_decode(encoded, state_out) == SL_OK;
    if (*has_state_out)
        return sl_uploads_expires_ns(options, state_out) <= now_ns;
    return modified_ns <= now_ns && now_ns - modified_ns >= options->expiry_ns;
}

/* ---- one of them ---- */

static void on_given(struct sl_claim *claim)
{
    struct sl_reaper_slot *slot = SL_CONTAINER_OF(claim, struct sl_reaper_slot, claim);
    slot->is_busy = false;
    go_on(slot->reaper);
}

static void on_released(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_reaper_slot *slot = ctx;
    sl_claim_give(&slot->claim, on_given);
}

static void on_dropped(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_reaper_slot *slot = ctx;
    struct sl_reaper *reaper = slot->reaper;
    bool is_gone = object->kept == NULL; /* else it stays, and counts, until another walk */
    if (is_gone && slot->is_counted)
        sl_uploads_dismiss(reaper->intake->uploads, slot->counted_bytes, slot->has_owner ? &slot->owner : NULL);
    reaper->dropped += is_gone;
    sl_claim_give(&slot->claim, on_given);
}

static void on_opened(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_reaper_slot *slot = ctx;
    struct sl_upload_state state;
    bool has_state;
    if (err != SL_OK) { /* gone already, or not to be opened now */
        sl_claim_give(&slot->claim, on_given);
        return;
    }
    struct sl_bytes encoded = {slot->state, object->state_len};
    if (!has_expired(slot->reaper, encoded, slot->modified_ns, &state, &has_state)) {
        sl_store_release(object, on_released, slot);
        return;
    }
    slot->is_counted = has_state && !sl_uploads_is_over(&state);
    slot->counted_bytes = slot->is_counted ? sl_uploads_bytes_of(&state) : 0;
    slot->has_owner = has_state && state.has_owner;
    slot->owner = state.owner;
    sl_store_expire(object, on_dropped, slot);
}

/* false: somebody deals with it. */
static bool drop(struct sl_reaper_slot *slot, const struct sl_store_kept_entry *entry)
{
    struct sl_intake *intake = slot->reaper->intake;
    slot->claim = (struct sl_claim){0};
    if (!sl_claim_try(intake->uploads, &slot->claim, entry->id, intake->mailbox))
        return false;
    slot->is_busy = true;
    slot->modified_ns = entry->modified_ns;
    sl_store_resume(intake->store, &slot->object, slot->claim.id, slot->state, on_opened, slot);
    return true;
}

/* ---- the walk ---- */

static struct sl_reaper_slot *find_slot(struct sl_reaper *reaper)
{
    for (unsigned i = 0; i < SL_REAPER_SLOTS; i++)
        if (!reaper->slots[i].is_busy)
            return &reaper->slots[i];
    return NULL;
}

static void fetch(struct sl_reaper *reaper);

static void end_batch(struct sl_reaper *reaper)
{
    reaper->has_batch = false;
    if (reaper->has_found && !reaper->is_stopped && !reaper->listing.is_end)
        fetch(reaper);
}

/* Drops what the batch tells, as far as there are slots. */
static void go_on(struct sl_reaper *reaper)
{
    struct sl_reaper_slot *slot = find_slot(reaper);
    while (slot != NULL && reaper->has_batch) {
        struct sl_store_kept_entry entry;
        struct sl_upload_state state;
        bool has_state;
        if (reaper->is_stopped || !sl_store_kept_next(&reaper->listing, &entry)) {
            end_batch(reaper);
        } else if (has_expired(reaper, entry.state, entry.modified_ns, &state, &has_state) && drop(slot, &entry)) {
            reaper->has_found = true;
            slot = find_slot(reaper);
        }
    }
}

static void on_batch(struct sl_store_kept_listing *listing, sl_err err, void *ctx)
{
    struct sl_reaper *reaper = ctx;
    reaper->is_fetching = false;
    reaper->has_batch = err == SL_OK;
    if (err != SL_OK)
        listing->is_end = true; /* another walk may do better */
    go_on(reaper);
}

static void fetch(struct sl_reaper *reaper)
{
    reaper->is_fetching = true;
    reaper->has_found = false;
    sl_store_list_kept(reaper->intake->store, &reaper->listing, reaper->room, ROOM_BYTES, on_batch, reaper);
}

static void end_walk(struct sl_reaper *reaper, uint64_t now_ns)
{
    uint64_t rest_ns = sl_uploads_options(reaper->intake->uploads)->done_expiry_ns / REST_FRACTION;
    reaper->is_walking = false;
    reaper->next_walk_ns = now_ns + (rest_ns < REST_MAX_NS ? rest_ns : REST_MAX_NS);
}

void sl_reaper_tick(struct sl_reaper *reaper, uint64_t now_ns)
{
    if (reaper->is_stopped || reaper->is_fetching || reaper->has_batch)
        return;
    if (reaper->is_walking && reaper->listing.is_end)
        end_walk(reaper, now_ns);
    if (!reaper->is_walking) {
        if (now_ns < reaper->next_walk_ns)
            return;
        reaper->listing = (struct sl_store_kept_listing){0};
        reaper->is_walking = true;
    }
    fetch(reaper);
}

/* ---- the end ---- */

void sl_reaper_stop(struct sl_reaper *reaper)
{
    reaper->is_stopped = true;
    reaper->has_batch = false;
}

bool sl_reaper_is_idle(const struct sl_reaper *reaper)
{
    bool is_busy = reaper->is_fetching;
    for (unsigned i = 0; i < SL_REAPER_SLOTS; i++)
        is_busy = is_busy || reaper->slots[i].is_busy;
    return !is_busy;
}
