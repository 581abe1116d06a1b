/* What an object goes through is a row of small operations, each of which waits for the one before. Away from the loop,
 * on a thread of the disk, they are done one behind the other for a single change of thread. The steps are the same
 * here and there: they start operations on object->store->disk, and away that is a disk that does them at once.
 *
 * At home stays what the loop owns (turns, shared syncs, who is told in the end) and what waits for long. */
#include "local.h"

#include <assert.h>

static void run_away(struct sl_disk *here, void *ctx)
{
    struct sl_store_object *object = ctx;
    struct sl_store *home = object->store;
    struct sl_store away = {.root = home->root, .disk = here};
    void (*go_on)(struct sl_store_object * object) = object->go_on;
    object->go_on = NULL;
    object->store = &away;
    object->is_away = true;
    go_on(object);
    while (sl_disk_inflight(here) > 0)
        sl_disk_run(here);
    object->is_away = false;
    object->store = home;
    assert(object->go_on != NULL); /* every way ends at home */
}

static void on_home(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    (void)op;
    object->go_on(object);
}

void sl_local_go_away(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object))
{
    assert(!object->is_away);
    if (!sl_disk_has_errands(object->store->disk)) {
        go_on(object);
        return;
    }
    object->go_on = go_on;
    sl_disk_errand(object->store->disk, &object->errand, run_away, object, on_home, object);
}

void sl_local_come_home(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object))
{
    if (object->is_away)
        object->go_on = go_on;
    else
        go_on(object);
}
