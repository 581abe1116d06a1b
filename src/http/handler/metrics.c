/* GET /metrics: counters of the whole process, as Prometheus reads them (text format 0.0.4). */
#include "handler.h"

#include <assert.h>
#include <inttypes.h>

static const char problems_head[] = "# HELP sluice_problems_total Requests answered with a problem, by its code.\n"
                                    "# TYPE sluice_problems_total counter\n";

/* Codes are of lower-case letters and '-': nothing in them needs a backslash. */
static void put_problems(struct sl_text *text)
{
    sl_text_put(text, SL_BYTES(problems_head));
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++)
        sl_text_printf(text, "sluice_problems_total{code=\"%s\"} %" PRIu64 "\n", sl_err_row(err)->code,
                       sl_err_counted(err));
}

void sl_handle_metrics(struct sl_request *request)
{
    size_t room = sizeof problems_head + SL_ERR_COUNT * 128;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    put_problems(&text);
    assert(!text.full);
    sl_reply_header(request, "cache-control", SL_BYTES("no-store"));
    sl_reply_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", (struct sl_bytes){text.base, text.len});
}
