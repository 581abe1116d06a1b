/* The text of GET /metrics: Prometheus' text format 0.0.4. What is counted is added up first, so that what is told of
 * one thing fits together: a histogram's count is the sum of its buckets. */
#include "metrics_labels.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <inttypes.h>

#define LINE_BYTES_MAX  128u   /* of a sample: all names and labels are ours */
#define FIXED_BYTES     32768u /* what is told once: heads, sums, the histograms of stages */
#define LOOP_LINES      32u    /* told of each loop */
#define HISTOGRAM_LINES (SL_HISTOGRAM_BOUNDS + 3u)

struct sums {
    struct sl_upload_stats uploads;
    struct sl_histogram syncs;
    struct sl_http_stats http;
    struct sl_loop_gauges gauges;
};

#define IS_ALL_COUNTERS(type) _Static_assert(sizeof(type) % sizeof(struct sl_counter) == 0, "holds counters alone")
IS_ALL_COUNTERS(struct sl_upload_stats);
IS_ALL_COUNTERS(struct sl_http_stats);
IS_ALL_COUNTERS(struct sl_histogram);
IS_ALL_COUNTERS(struct sl_loop_gauges);

/* Both are of one type that holds nothing but counters. */
static void add(void *into, const void *from, size_t bytes)
{
    struct sl_counter *sum = into;
    const struct sl_counter *counter = from;
    for (size_t i = 0; i < bytes / sizeof *sum; i++)
        sl_counter_add(&sum[i], sl_counter_read(&counter[i]));
}

static void add_up(const struct sl_metrics *metrics, struct sums *sums)
{
    memset(sums, 0, sizeof *sums);
    for (unsigned i = 0; i < metrics->loop_count; i++) {
        const struct sl_loop_stats *loop = &metrics->loops[i];
        add(&sums->uploads, &loop->uploads, sizeof sums->uploads);
        add(&sums->syncs, &loop->syncs, sizeof sums->syncs);
        add(&sums->http, &loop->http, sizeof sums->http);
        add(&sums->gauges, &loop->gauges, sizeof sums->gauges);
    }
}

/* ---- lines ---- */

static void put_head(struct sl_text *text, const char *name, const char *type, const char *help)
{
    sl_text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(struct sl_text *text, const char *name, const char *type, const char *help, uint64_t value)
{
    put_head(text, name, type, help);
    sl_text_printf(text, "%s %" PRIu64 "\n", name, value);
}

static void put_seconds(struct sl_text *text, uint64_t ns)
{
    sl_text_printf(text, "%" PRIu64 ".%09" PRIu64 "\n", ns / SL_SEC, ns % SL_SEC);
}

/* label: `stage="open"`. */
static void put_histogram(struct sl_text *text, const char *name, const char *label,
                          const struct sl_histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < SL_HISTOGRAM_BOUNDS; i++) {
        count += sl_counter_read(&histogram->counts[i]);
        sl_text_printf(text, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, label,
                       (double)sl_histogram_bound_ns(i) / SL_SEC, count);
    }
    count += sl_counter_read(&histogram->counts[SL_HISTOGRAM_BOUNDS]);
    sl_text_printf(text, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n%s_sum{%s} ", name, label, count, name, label);
    put_seconds(text, sl_counter_read(&histogram->sum_ns));
    sl_text_printf(text, "%s_count{%s} %" PRIu64 "\n", name, label, count);
}

/* ---- what is told ---- */

static void put_about(struct sl_text *text, const struct sl_metrics *metrics)
{
    put_head(text, "sluice_build_info", "gauge", "Always 1; the labels tell what runs.");
    sl_text_printf(text, "sluice_build_info{version=\"%s\"} 1\n", SLUICE_VERSION);
    put_head(text, "sluice_engine_info", "gauge", "Always 1; how each loop drives the disk.");
    for (unsigned i = 0; i < metrics->loop_count; i++) {
        const char *engine = atomic_load_explicit(&metrics->loops[i].engine, memory_order_acquire);
        if (engine != NULL)
            sl_text_printf(text, "sluice_engine_info{loop=\"%u\",engine=\"%s\"} 1\n", i, engine);
    }
}

static void put_status(struct sl_text *text, unsigned i)
{
    if (i < SL_COUNTED_STATUSES - 1)
        sl_text_printf(text, "%d", sl_statuses[i]);
    else
        sl_text_put(text, SL_BYTES("other"));
}

/* Only those that came: most of all that are thinkable never do. */
static void put_requests(struct sl_text *text, const struct sl_http_stats *http)
{
    put_head(text, "sluice_requests_total", "counter",
             "Requests that are over. Status 499: the client went before its answer began.");
    for (unsigned route = 0; route < SL_ROUTES; route++)
        for (unsigned method = 0; method < SL_COUNTED_METHODS; method++)
            for (unsigned status = 0; status < SL_COUNTED_STATUSES; status++) {
                uint64_t count = sl_counter_read(&http->requests[route][method][status]);
                if (count == 0)
                    continue;
                sl_text_printf(text, "sluice_requests_total{route=\"%s\",method=\"%s\",status=\"",
                               sl_route_names[route], sl_method_names[method]);
                put_status(text, status);
                sl_text_printf(text, "\"} %" PRIu64 "\n", count);
            }
}

static void put_problems(struct sl_text *text)
{
    put_head(text, "sluice_problems_total", "counter", "Requests answered with a problem, by its code.");
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++)
        sl_text_printf(text, "sluice_problems_total{code=\"%s\"} %" PRIu64 "\n", sl_err_row(err)->code,
                       sl_err_counted(err));
}

static void put_bytes(struct sl_text *text, const struct sums *sums)
{
    const struct sl_upload_stats *uploads = &sums->uploads;
    uint64_t aborted = sl_counter_read(&uploads->aborted_bytes) + sl_counter_read(&sums->http.discarded_bytes);
    put_one(text, "sluice_received_bytes_total", "counter",
            "Bytes of request bodies: the sum of written, framing, aborted and buffered.",
            sl_counter_read(&sums->http.received_bytes));
    put_one(text, "sluice_written_bytes_total", "counter", "Of them, data of files that the disk took.",
            sl_counter_read(&uploads->written_bytes));
    put_one(text, "sluice_framing_bytes_total", "counter",
            "Of them, what forms have beside the data of their files, text fields too.",
            sl_counter_read(&uploads->framing_bytes));
    put_one(text, "sluice_aborted_bytes_total", "counter",
            "Of them, dropped: the upload was refused, broke off or failed.", aborted);
    put_one(text, "sluice_buffered_bytes", "gauge", "Of them, in buffers now.",
            sl_counter_read(&uploads->buffered_bytes));
    put_one(text, "sluice_sent_bytes_total", "counter", "Bytes of answers' bodies.",
            sl_counter_read(&sums->http.sent_bytes));
}

static void put_uploads(struct sl_text *text, const struct sl_upload_stats *uploads, uint64_t unfinished)
{
    put_one(text, "sluice_uploads_started_total", "counter",
            "Files on their way in, each once a request: the sum of finished, failed and in flight.",
            sl_counter_read(&uploads->started));
    put_head(text, "sluice_uploads_finished_total", "counter",
             "Stored under their names, or kept to be gone on with.");
    sl_text_printf(text, "sluice_uploads_finished_total{outcome=\"stored\"} %" PRIu64 "\n",
                   sl_counter_read(&uploads->stored));
    sl_text_printf(text, "sluice_uploads_finished_total{outcome=\"kept\"} %" PRIu64 "\n",
                   sl_counter_read(&uploads->kept));
    put_head(text, "sluice_uploads_failed_total", "counter", "Those that came to nothing, by why.");
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++)
        sl_text_printf(text, "sluice_uploads_failed_total{reason=\"%s\"} %" PRIu64 "\n", sl_err_row(err)->code,
                       sl_counter_read(&uploads->failed[err]));
    put_one(text, "sluice_uploads_in_flight", "gauge", "Begun and not over.", sl_counter_read(&uploads->in_flight));
    put_one(text, "sluice_uploads_unfinished", "gauge", "Resumable uploads that are kept and wait for more.",
            unfinished);
}

static void put_stages(struct sl_text *text, const struct sums *sums)
{
    static const char name[] = "sluice_stage_duration_seconds";
    put_head(
        text, name, "histogram",
        "Of each upload: queue (for a buffer), open, receive, flush (rest written and digested), commit (synced and "
        "named). Of each piece: write, hash. Of each file or folder synced: sync.");
    for (unsigned stage = 0; stage < SL_STAGES; stage++) {
        char label[32];
        snprintf(label, sizeof label, "stage=\"%s\"", sl_stage_names[stage]);
        put_histogram(text, name, label, &sums->uploads.stages[stage]);
    }
    put_histogram(text, name, "stage=\"sync\"", &sums->syncs);
}

static void put_gauges(struct sl_text *text, const struct sl_loop_gauges *gauges, uint64_t disk_free_bytes)
{
    put_one(text, "sluice_connections", "gauge", "Open connections.", sl_counter_read(&gauges->connections));
    put_one(text, "sluice_disk_operations", "gauge", "Operations on the disk that are under way or queued.",
            sl_counter_read(&gauges->disk_operations));
    put_one(text, "sluice_disk_free_bytes", "gauge",
            "Free on the disk, with what is to stay free (min-free); as of the last look, about a second ago.",
            disk_free_bytes);
    put_one(text, "sluice_buffer_bytes", "gauge", "Memory for bodies, all of it.",
            sl_counter_read(&gauges->buffer_bytes));
    put_one(text, "sluice_buffer_free_bytes", "gauge", "Of it, in regions that nobody uses any of.",
            sl_counter_read(&gauges->buffer_free_bytes));
    put_one(text, "sluice_buffers_in_use", "gauge", "Buffers of any size that somebody holds.",
            sl_counter_read(&gauges->buffers_in_use));
    put_one(text, "sluice_buffer_waiters", "gauge", "Requests that wait for a buffer.",
            sl_counter_read(&gauges->buffer_waiters));
}

static void put_loops(struct sl_text *text, const struct sl_metrics *metrics)
{
    static const char lag[] = "sluice_loop_lag_seconds", most[] = "sluice_loop_lag_max_seconds";
    char label[32];
    put_head(text, lag, "histogram", "How long each turn of an event loop kept it from what happened meanwhile.");
    for (unsigned i = 0; i < metrics->loop_count; i++) {
        snprintf(label, sizeof label, "loop=\"%u\"", i);
        put_histogram(text, lag, label, &metrics->loops[i].lag.turns);
    }
    put_head(text, most, "gauge", "The longest turn since the start.");
    for (unsigned i = 0; i < metrics->loop_count; i++) {
        sl_text_printf(text, "%s{loop=\"%u\"} ", most, i);
        put_seconds(text, sl_counter_read(&metrics->loops[i].lag.max_ns));
    }
}

/* ---- all of it ---- */

/* By all requests there can be: their counters may leave zero while we add up. */
size_t sl_metrics_room(const struct sl_metrics *metrics)
{
    size_t lines = (size_t)SL_ROUTES * SL_COUNTED_METHODS * SL_COUNTED_STATUSES + 2 * (size_t)SL_ERR_COUNT +
                   (SL_STAGES + 1) * HISTOGRAM_LINES + metrics->loop_count * LOOP_LINES;
    return sizeof(struct sums) + FIXED_BYTES + lines * LINE_BYTES_MAX;
}

struct sl_bytes sl_metrics_put(const struct sl_metrics *metrics, const struct sl_metrics_more *more,
                               struct sl_room room)
{
    assert(room.len >= sl_metrics_room(metrics));
    struct sums *sums = (struct sums *)(void *)room.base;
    struct sl_text text;
    add_up(metrics, sums);
    sl_text_init(&text, room.base + sizeof *sums, room.len - sizeof *sums);
    put_about(&text, metrics);
    put_requests(&text, &sums->http);
    put_problems(&text);
    put_bytes(&text, sums);
    put_uploads(&text, &sums->uploads, more->unfinished_uploads);
    put_stages(&text, sums);
    put_gauges(&text, &sums->gauges, more->disk_free_bytes);
    put_loops(&text, metrics);
    assert(!text.full);
    return (struct sl_bytes){text.base, text.len};
}
