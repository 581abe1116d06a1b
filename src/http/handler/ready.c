/* GET /readyz: can something be stored? Answered by doing it: an object is begun and dropped again, through the disk
 * engine, as an upload's would be. So it tells whether the root can be written, whether there is room and whether the
 * engine lives; the loop itself asks no disk.
 *
 * One look at a time; who asks while it is under way gets its answer, and for a second it serves those who come later.
 * A disk that does not answer is an answer, too. */
#include "ready.h"

#include "sluice/base/clock.h"
#include "sluice/http/reply.h"

#include "../reply_json.h"
#include "handler.h"

#include <assert.h>
#include <stdlib.h>

#define FRESH_NS    SL_SEC
#define PATIENCE_MS 2000

struct sl_ready {
    struct sl_http *http;
    h2o_timeout_t patience;
    struct sl_store_object object;
    struct sl_link waiting;
    uint64_t looked_ns; /* 0: never */
    sl_err err;         /* of that look */
    bool is_looking;
};

/* A request that waits; in its pool. */
struct asker {
    struct sl_sink sink;
    struct sl_link link;
    h2o_timeout_entry_t timer;
    struct sl_request *request;
};

struct sl_ready *sl_ready_create(struct sl_http *http)
{
    struct sl_ready *ready = calloc(1, sizeof *ready);
    if (ready == NULL)
        abort();
    ready->http = http;
    sl_list_init(&ready->waiting);
    h2o_timeout_init(http->context.loop, &ready->patience, PATIENCE_MS);
    return ready;
}

void sl_ready_destroy(struct sl_ready *ready)
{
    assert(!ready->is_looking && sl_list_is_empty(&ready->waiting));
    h2o_timeout_dispose(ready->http->context.loop, &ready->patience);
    free(ready);
}

/* ---- answers ---- */

static void refuse(struct sl_request *request, sl_err err, const char *detail)
{
    sl_problem_send_as(request, err, 503, sl_problem_begin(request, err, detail));
}

/* What the table says of other errors is said of a file. */
static void reply(struct sl_request *request, sl_err err)
{
    switch (err) {
    case SL_OK: sl_reply_text(request, 200, "text/plain; charset=utf-8", SL_BYTES("ready\n")); return;
    case SL_NO_SPACE: refuse(request, err, "There is less room than is to stay free (min-free)."); return;
    case SL_READ_ONLY: refuse(request, err, "The file system of the root is read-only."); return;
    case SL_QUOTA: refuse(request, err, "The quota of the account that sluice runs as is used up."); return;
    case SL_DENIED: refuse(request, err, "The account that sluice runs as may not write into the root."); return;
    case SL_TOO_MANY_FILES:
    case SL_NO_MEMORY: refuse(request, err, NULL); return;
    default: refuse(request, SL_IO, "The root cannot be written to: its folders are gone, or the disk fails.");
    }
}

static void leave(struct asker *asker)
{
    h2o_timeout_unlink(&asker->timer);
    sl_link_unlink(&asker->link);
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    leave(SL_CONTAINER_OF(sink, struct asker, sink));
}

static void on_patience_out(h2o_timeout_entry_t *entry)
{
    struct asker *asker = SL_CONTAINER_OF(entry, struct asker, timer);
    leave(asker);
    refuse(asker->request, SL_IO, "The disk does not answer.");
}

/* ---- the look ---- */

static void look_is_over(struct sl_ready *ready, sl_err err)
{
    ready->is_looking = false;
    ready->looked_ns = sl_clock_now_ns();
    ready->err = err;
    for (struct sl_link *link; (link = sl_list_shift(&ready->waiting)) != NULL;) {
        struct asker *asker = SL_CONTAINER_OF(link, struct asker, link);
        h2o_timeout_unlink(&asker->timer);
        reply(asker->request, err);
    }
}

static void on_dropped(struct sl_store_object *object, sl_err err, void *ctx)
{
    (void)object;
    look_is_over(ctx, err);
}

static void on_begun(struct sl_store_object *object, sl_err err, void *ctx)
{
    if (err != SL_OK)
        look_is_over(ctx, err);
    else
        sl_store_abort(object, on_dropped, ctx);
}

void sl_handle_ready(struct sl_request *request)
{
    static const struct sl_sink_ops ops = {.abort = on_abort};
    struct sl_http *http = request->http;
    struct sl_ready *ready = http->ready;
    bool is_known = ready->looked_ns != 0 && sl_clock_now_ns() - ready->looked_ns < FRESH_NS;
    if (http->is_draining) {
        refuse(request, SL_DRAINING, NULL);
        return;
    }
    if (is_known && !ready->is_looking) {
        reply(request, ready->err);
        return;
    }
    struct asker *asker = h2o_mem_alloc_pool(&request->h2o.pool, sizeof *asker);
    *asker = (struct asker){.sink.ops = &ops, .request = request, .timer.cb = on_patience_out};
    sl_list_append(&ready->waiting, &asker->link);
    h2o_timeout_link(http->context.loop, &ready->patience, &asker->timer);
    sl_body_attach(request, &asker->sink);
    if (ready->is_looking)
        return;
    ready->is_looking = true;
    sl_store_begin(http->intake->store, &ready->object, SL_STORE_SIZE_UNKNOWN, on_begun, ready);
}
