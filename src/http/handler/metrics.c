/* GET /metrics: what all loops count, as Prometheus reads it. */
#include "handler.h"

#include "sluice/upload/uploads.h"

#include <stdlib.h>

void sl_handle_metrics(struct sl_request *request)
{
    const struct sl_http *http = request->http;
    const struct sl_intake *intake = http->intake;
    size_t len = sl_metrics_room(http->metrics);
    struct sl_room room = {malloc(len), len}; /* much more than the text takes, so not the request's */
    if (room.base == NULL)
        abort();
    struct sl_metrics_more more = {.disk_free_bytes = sl_store_free_bytes(intake->store),
                                   .unfinished_uploads =
                                       intake->uploads != NULL ? sl_uploads_unfinished(intake->uploads) : 0};
    sl_reply_header(request, "cache-control", SL_BYTES("no-store"));
    sl_reply_text(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                  sl_metrics_put(http->metrics, &more, room));
    free(room.base);
}
