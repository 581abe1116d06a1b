#include "sluice/http/http.h"

#include "connection.h"
#include "handler/ready.h"
#include "handler/turn.h"
#include "reply_json.h"
#include "rooms.h"
#include "routes.h"
#include "sluice/base/clock.h"
#include "sluice/base/doing.h"

#include <assert.h>
#include <stdlib.h>

/* What a loop has under way at once while it keeps up: heads and what lies behind them for a turn, uploads for some. */
#define KEPT_HEADS   16
#define KEPT_SHORTS  64
#define KEPT_UPLOADS 128
#define KEPT_FORMS   64

#define RATE_GRACE_MS UINT64_C(30000)
#define LINGER_MS     UINT64_C(5000) /* what a refused client gets to read its answer in */

struct sl_http *sl_http_create(h2o_loop_t *loop, struct sl_intake *intake, const struct sl_http_options *options,
                               void (*on_connection_closed)(void *ctx), void *ctx)
{
    struct sl_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        abort();
    http->options = *options;
    http->intake = intake;
    http->has_own_metrics = options->metrics == NULL;
    http->metrics = http->has_own_metrics ? sl_metrics_create(options->loop + 1) : options->metrics;
    http->stats = &http->metrics->loops[options->loop].http;
    http->on_connection_closed = on_connection_closed;
    http->ctx = ctx;
    http->id_state = sl_clock_wall_ns() ^ (uint64_t)(uintptr_t)http;
    sl_list_init(&http->connections);
    sl_list_init(&http->download_line);
    sl_list_init(&http->senders);
    sl_json_room_open();
    h2o_config_init(&http->config);
    sl_routes_register(h2o_config_register_host(&http->config, h2o_iovec_init(H2O_STRLIT("default")), 65535));
    h2o_context_init(&http->context, loop, &http->config);
    h2o_timeout_init(loop, &http->head_timeout, options->head_timeout_ms);
    h2o_timeout_init(loop, &http->keep_alive_timeout, options->idle_timeout_ms);
    h2o_timeout_init(loop, &http->body_timeout, options->body_timeout_ms);
    h2o_timeout_init(loop, &http->write_timeout, options->write_timeout_ms);
    h2o_timeout_init(loop, &http->linger_timeout, LINGER_MS);
    h2o_timeout_init(loop, &http->notice_timeout, options->notice_timeout_ms);
    sl_rooms_init(&http->head_rooms, KEPT_HEADS);
    sl_rooms_init(&http->short_rooms, KEPT_SHORTS);
    sl_rooms_init(&http->upload_rooms, KEPT_UPLOADS);
    sl_rooms_init(&http->form_rooms, KEPT_FORMS);
    sl_rooms_init(&http->form_file_rooms, KEPT_FORMS);
    http->ready = sl_ready_create(http);
    return http;
}

bool sl_http_is_too_slow(const struct sl_http *http, uint64_t waited_ns, uint64_t received)
{
    uint64_t patience_ms = http->options.body_timeout_ms;
    uint64_t grace_ns = (patience_ms < RATE_GRACE_MS ? patience_ms : RATE_GRACE_MS) * SL_MS;
    return waited_ns > grace_ns && received < http->options.min_rate_bytes_s * (waited_ns / SL_SEC);
}

void sl_http_run(struct sl_http *http)
{
    struct sl_slab_pool *slabs = http->intake->slabs;
    const char *before = sl_doing("giving out buffers");
    sl_slab_pool_run(slabs);
    (void)sl_doing("giving up readers"); /* for those who are still waiting, and then have what was held */
    sl_turns_run(http);
    sl_slab_pool_run(slabs);
    (void)sl_doing(before);
}

void sl_http_destroy(struct sl_http *http)
{
    if (http == NULL)
        return;
    assert(http->connection_count == 0);
    sl_h2_held_free_spare(http);
    free(http->h2_buffer);
    sl_rooms_free(&http->head_rooms);
    sl_rooms_free(&http->short_rooms);
    sl_rooms_free(&http->upload_rooms);
    sl_rooms_free(&http->form_rooms);
    sl_rooms_free(&http->form_file_rooms);
    sl_ready_destroy(http->ready);
    h2o_loop_t *loop = http->context.loop;
    h2o_timeout_dispose(loop, &http->head_timeout);
    h2o_timeout_dispose(loop, &http->keep_alive_timeout);
    h2o_timeout_dispose(loop, &http->body_timeout);
    h2o_timeout_dispose(loop, &http->write_timeout);
    h2o_timeout_dispose(loop, &http->linger_timeout);
    h2o_timeout_dispose(loop, &http->notice_timeout);
    h2o_context_dispose(&http->context);
    h2o_config_dispose(&http->config);
    sl_json_room_close();
    if (http->has_own_metrics)
        sl_metrics_destroy(http->metrics);
    free(http);
}
