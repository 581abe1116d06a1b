#include "turn.h"

#include "sluice/base/clock.h"

#include <assert.h>

#define PATIENCE_NS   (5 * SL_SEC) /* with a reader, while others wait: 3 KB/s in a small buffer */
#define CUTS_PER_TURN 8            /* each closes a connection, and who is next in line begins to read */

/* How many buffers of a class an eighth of the pool makes. */
static unsigned eighth(const struct sl_http *http, enum sl_slab_class class)
{
    return sl_slab_pool_capacity(http->intake->slabs, class) / 8;
}

/* Half of the pool, counted in the larger of the two buffers that one may get. */
static unsigned places_max(const struct sl_http *http)
{
    return 4 * eighth(http, SL_SLAB_MEDIUM);
}

static unsigned smalls_max(const struct sl_http *http)
{
    return eighth(http, SL_SLAB_SMALL);
}

static void on_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct sl_turn *turn = ctx;
    (void)waiter;
    turn->slab = slab;
    turn->on_turn(turn, turn->ctx);
}

/* false: there is none. */
static bool take_place(struct sl_turn *turn)
{
    struct sl_http *http = turn->http;
    bool is_full = http->download_slabs >= places_max(http);
    turn->has_small_place = (is_full || !turn->is_large) && http->download_smalls < smalls_max(http);
    turn->has_place = !turn->has_small_place && !is_full;
    http->download_smalls += turn->has_small_place;
    http->download_slabs += turn->has_place;
    return turn->has_place || turn->has_small_place;
}

/* There is a place; now for the buffer. */
static void take_slab(struct sl_turn *turn)
{
    struct sl_slab_pool *slabs = turn->http->intake->slabs;
    if (turn->is_large && turn->has_place)
        turn->slab = sl_slab_try(slabs, SL_SLAB_MEDIUM);
    if (turn->slab != NULL)
        turn->on_turn(turn, turn->ctx);
    else
        sl_slab_wait(slabs, &turn->waiter, on_slab, turn);
}

void sl_turn_take(struct sl_turn *turn, struct sl_http *http, bool is_large, sl_turn_cb on_turn, void *ctx)
{
    assert(!turn->has_place && !turn->has_small_place && turn->slab == NULL && !sl_link_is_linked(&turn->place));
    turn->http = http;
    turn->is_large = is_large;
    turn->on_turn = on_turn;
    turn->ctx = ctx;
    if (take_place(turn))
        take_slab(turn);
    else
        sl_list_append(&http->download_line, &turn->place);
}

bool sl_turns_are_many(const struct sl_http *http)
{
    return http->download_slabs >= places_max(http) / 4;
}

/* Who reads ahead holds two buffers, perhaps for as long as a slow reader likes. So only half of the places are for
 * that: whoever comes finds one of the others. */
bool sl_turn_try(struct sl_turn *turn, struct sl_http *http)
{
    assert(!turn->has_place && !turn->has_small_place && turn->slab == NULL && !sl_link_is_linked(&turn->place));
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

static void on_sent(void *ctx)
{
    sl_turn_end(ctx);
}

void sl_turn_send(struct sl_turn *turn, struct sl_request *request)
{
    assert(turn->slab != NULL && !sl_link_is_linked(&turn->sending));
    turn->request = request;
    turn->since_ns = sl_clock_now_ns();
    request->on_sent = on_sent; /* of the last one: h2o keeps the request until its client lets go of it */
    request->on_sent_ctx = turn;
    sl_list_append(&turn->http->senders, &turn->sending);
}

static void serve_next(struct sl_http *http)
{
    struct sl_link *first = http->download_line.next;
    if (first == &http->download_line)
        return;
    struct sl_turn *next = SL_CONTAINER_OF(first, struct sl_turn, place);
    if (!take_place(next))
        return;
    sl_link_unlink(first);
    take_slab(next);
}

void sl_turn_end(struct sl_turn *turn)
{
    struct sl_http *http = turn->http;
    sl_slab_cancel(&turn->waiter);
    sl_link_unlink(&turn->place);
    sl_link_unlink(&turn->sending);
    if (turn->slab != NULL)
        sl_slab_release(turn->slab);
    turn->slab = NULL;
    if (!turn->has_place && !turn->has_small_place)
        return;
    assert(http->download_slabs >= turn->has_place && http->download_smalls >= turn->has_small_place);
    http->download_slabs -= turn->has_place;
    http->download_smalls -= turn->has_small_place;
    turn->has_place = turn->has_small_place = false;
    serve_next(http);
}

/* For a place, or for any buffer: an upload does. */
static bool does_anybody_wait(const struct sl_http *http)
{
    return !sl_list_is_empty(&http->download_line) || sl_slab_pool_stats(http->intake->slabs).waiting > 0;
}

void sl_turns_run(struct sl_http *http)
{
    for (unsigned i = 0; i < CUTS_PER_TURN; i++) {
        if (sl_list_is_empty(&http->senders) || !does_anybody_wait(http))
            return;
        struct sl_turn *oldest = SL_CONTAINER_OF(http->senders.next, struct sl_turn, sending);
        if (sl_clock_now_ns() - oldest->since_ns < PATIENCE_NS)
            return;
        sl_link_unlink(&oldest->sending);
        sl_request_cut(oldest->request);
    }
}
