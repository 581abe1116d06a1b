/* An errand: many operations for one trip. One change of thread costs as much as a small operation, so whoever has
 * several to do, one behind the other, sends their whole story to a helper: what it starts there is done at once.
 *
 * The helper gives it a disk of its own, which is an engine like any other, but that it has neither thread nor fd: who
 * runs it waits. */
#include "engine.h"

#include <assert.h>

struct here {
    struct sl_disk base;
    struct sl_link begun;
};

static bool waits_for_long(enum sl_disk_kind kind)
{
    return kind == SL_DISK_SYNC || kind == SL_DISK_COPY || kind == SL_DISK_LIST || kind == SL_DISK_LOCK;
}

static void here_submit(struct sl_disk *disk, struct sl_disk_op *op)
{
    assert(!waits_for_long(op->kind)); /* the other errands would wait along */
    sl_list_append(&((struct here *)disk)->begun, &op->link);
}

static void here_flush(struct sl_disk *disk)
{
}

static void here_run(struct sl_disk *disk)
{
    for (struct sl_link *link; (link = sl_list_shift(&((struct here *)disk)->begun)) != NULL;) {
        struct sl_disk_op *op = SL_CONTAINER_OF(link, struct sl_disk_op, link);
        sl_disk_execute(op);
        sl_disk_complete(op);
    }
}

static void here_destroy(struct sl_disk *disk)
{
    assert(!"it goes with its errand");
}

static const struct sl_disk_engine engine = {
    .name = "here",
    .submit = here_submit,
    .flush = here_flush,
    .run = here_run,
    .destroy = here_destroy,
};

int64_t sl_disk_errand_now(void (*run)(struct sl_disk *here, void *ctx), void *ctx)
{
    struct here here = {.base = {.engine = &engine, .fd = -1}};
    sl_list_init(&here.begun);
    run(&here.base, ctx);
    here_run(&here.base);
    assert(here.base.inflight == 0);
    return 0;
}
