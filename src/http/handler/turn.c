#include "turn.h"

#include <assert.h>

/* Half of the pool, counted in the larger of the two buffers that one may get. */
static unsigned places_max(const struct sl_http *http)
{
    unsigned regions;
    (void)sl_slab_pool_memory(http->intake->slabs, &regions);
    return regions * (unsigned)(SL_SLAB_REGION_BYTES / sl_slab_class_bytes(SL_SLAB_MEDIUM)) / 2;
}

static void on_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct sl_turn *turn = ctx;
    (void)waiter;
    turn->slab = slab;
    turn->on_turn(turn, turn->ctx);
}

/* There is a place; now for the buffer. */
static void take_place(struct sl_turn *turn)
{
    struct sl_slab_pool *slabs = turn->http->intake->slabs;
    turn->http->download_slabs++;
    turn->has_place = true;
    if (turn->is_large)
        turn->slab = sl_slab_try(slabs, SL_SLAB_MEDIUM);
    if (turn->slab != NULL)
        turn->on_turn(turn, turn->ctx);
    else
        sl_slab_wait(slabs, &turn->waiter, on_slab, turn);
}

void sl_turn_take(struct sl_turn *turn, struct sl_http *http, bool is_large, sl_turn_cb on_turn, void *ctx)
{
    assert(!turn->has_place && turn->slab == NULL && !sl_link_is_linked(&turn->place));
    turn->http = http;
    turn->is_large = is_large;
    turn->on_turn = on_turn;
    turn->ctx = ctx;
    if (http->download_slabs < places_max(http))
        take_place(turn);
    else
        sl_list_append(&http->download_line, &turn->place);
}

/* Who reads ahead holds two buffers, perhaps for as long as a slow reader likes. So only half of the places are for
 * that: whoever comes finds one of the others. */
bool sl_turn_try(struct sl_turn *turn, struct sl_http *http)
{
    assert(!turn->has_place && turn->slab == NULL && !sl_link_is_linked(&turn->place));
    if (http->download_slabs >= places_max(http) / 2)
        return false;
    turn->slab = sl_slab_try(http->intake->slabs, SL_SLAB_MEDIUM);
    if (turn->slab == NULL)
        return false;
    turn->http = http;
    turn->has_place = true;
    http->download_slabs++;
    return true;
}

void sl_turn_end(struct sl_turn *turn)
{
    sl_slab_cancel(&turn->waiter);
    sl_link_unlink(&turn->place);
    if (turn->slab != NULL)
        sl_slab_release(turn->slab);
    turn->slab = NULL;
    if (!turn->has_place)
        return;
    struct sl_http *http = turn->http;
    turn->has_place = false;
    assert(http->download_slabs > 0);
    http->download_slabs--;
    struct sl_link *next = sl_list_shift(&http->download_line);
    if (next != NULL)
        take_place(SL_CONTAINER_OF(next, struct sl_turn, place));
}
