/* What has the name that an object is to get, looked at where conditions or an answer hang on it. Loop thread. */
#include "local.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <stdlib.h>

static void holder_known(struct sl_store_object *object, sl_err err)
{
    object->on_holder(object, err == SL_NOT_FOUND ? SL_OK : err);
}

static void on_holder_closed(struct sl_store_reader *holder, sl_err err, void *ctx)
{
    (void)err; /* it was only to be looked at */
    holder_known(ctx, SL_OK);
}

static void on_holder_opened(struct sl_store_reader *holder, sl_err err, void *ctx)
{
    if (err == SL_OK)
        sl_store_close(holder, on_holder_closed, ctx);
    else
        holder_known(ctx, err);
}

void sl_holder_look(struct sl_store_object *object, void (*on_holder)(struct sl_store_object *object, sl_err err))
{
    object->on_holder = on_holder;
    object->looks++;
    if (object->holder == NULL)
        object->holder = malloc(sizeof *object->holder);
    if (object->holder == NULL)
        abort();
    sl_store_open(object->store, object->holder, object->path, on_holder_opened, object);
}

bool sl_holder_is_file(const struct sl_store_reader *holder)
{
    return sl_store_validator(holder).exists;
}

bool sl_holder_passes(const struct sl_store_reader *holder, const struct sl_conditions *conditions)
{
    if (conditions == NULL)
        return true;
    struct sl_validator now = sl_store_validator(holder);
    return sl_conditions_check(conditions, &now, false, sl_clock_wall_ns() / SL_SEC) == SL_VERDICT_GO;
}

void sl_holder_forget(struct sl_store_object *object)
{
    free(object->holder);
    object->holder = NULL;
}
