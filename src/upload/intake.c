#include "sluice/upload/intake.h"

#include "sluice/base/clock.h"
#include "sluice/upload/pipeline.h"

#include <assert.h>
#include <stdlib.h>

#define CHECKPOINT_BYTES ((uint64_t)64 << 20)

void sl_intake_init(struct sl_intake *intake)
{
    if (intake->checkpoint_bytes == 0)
        intake->checkpoint_bytes = CHECKPOINT_BYTES;
    intake->has_own_stats = intake->stats == NULL;
    if (intake->has_own_stats)
        intake->stats = calloc(1, sizeof *intake->stats);
    if (intake->stats == NULL)
        abort();
    intake->files = 0;
    intake->resumables = 0;
    intake->bulk_pipelines = 0;
    intake->medium_held = 0;
    sl_list_init(&intake->roomy_pipelines);
    sl_list_init(&intake->idle_pieces);
}

void sl_intake_dispose(struct sl_intake *intake)
{
    assert(intake->files == 0 && intake->resumables == 0 && intake->medium_held == 0 &&
           sl_list_is_empty(&intake->roomy_pipelines));
    for (struct sl_link *link; (link = sl_list_shift(&intake->idle_pieces)) != NULL;)
        free(SL_CONTAINER_OF(link, struct sl_piece, link));
    if (intake->has_own_stats)
        free(intake->stats);
    intake->stats = NULL;
}

unsigned sl_intake_large_share(const struct sl_intake *intake)
{
    unsigned regions = sl_slab_pool_capacity(intake->slabs, SL_SLAB_LARGE);
    unsigned sharers = intake->bulk_pipelines > 0 ? intake->bulk_pipelines : 1;
    unsigned share = regions / sharers;
    return share < 1 ? 1 : share;
}

unsigned sl_intake_medium_max(const struct sl_intake *intake)
{
    return sl_slab_pool_capacity(intake->slabs, SL_SLAB_MEDIUM) / 4;
}

void sl_intake_tick(struct sl_intake *intake)
{
    uint64_t now_ns = sl_clock_now_ns();
    struct sl_link *head = &intake->roomy_pipelines;
    for (struct sl_link *link = head->next, *next; link != head; link = next) {
        next = link->next;
        sl_pipeline_yield_if_stalled(SL_CONTAINER_OF(link, struct sl_pipeline, link), now_ns);
    }
}
