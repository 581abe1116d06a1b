/* Counting and telling. MB is a million bytes. */
#include "load_stats.h"

#include "sluice/base/clock.h"

#include <inttypes.h>
#include <sys/resource.h>

#define STEPS 32 /* buckets a power of two */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned shift = 58 - (unsigned)__builtin_clzll(ns); /* brings the value to 32..63 */
    return shift * STEPS + (unsigned)(ns >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < 2 * STEPS)
        return bucket;
    unsigned shift = bucket / STEPS - 1;
    return ((uint64_t)(bucket % STEPS + STEPS + 1) << shift) - 1;
}

void sl_load_histogram_add(struct sl_load_histogram *histogram, uint64_t ns)
{
    unsigned bucket = bucket_of(ns);
    histogram->counts[bucket < SL_LOAD_BUCKETS ? bucket : SL_LOAD_BUCKETS - 1]++;
    if (histogram->total == 0 || ns < histogram->min_ns)
        histogram->min_ns = ns;
    histogram->total++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

uint64_t sl_load_histogram_at(const struct sl_load_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total + 0.999999), seen = 0;
    for (unsigned i = 0; i < SL_LOAD_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted && seen > 0)
            return bucket_top(i) < histogram->max_ns ? bucket_top(i) : histogram->max_ns;
    }
    return 0;
}

uint64_t sl_load_stats_failures(const struct sl_load_stats *stats)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SL_LOAD_ERRORS; i++)
        sum += stats->errors[i];
    return sum;
}

static void print_times(FILE *out, const struct sl_load_histogram *h)
{
    fprintf(out, "{\"min\": %.3f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"max\": %.3f}",
            (double)h->min_ns / SL_MS, (double)sl_load_histogram_at(h, 0.5) / SL_MS,
            (double)sl_load_histogram_at(h, 0.9) / SL_MS, (double)sl_load_histogram_at(h, 0.99) / SL_MS,
            (double)h->max_ns / SL_MS);
}

static void print_errors(FILE *out, const struct sl_load_stats *stats)
{
    static const char *const names[SL_LOAD_ERRORS] = {
        [SL_LOAD_ERROR_CONNECT] = "connect", [SL_LOAD_ERROR_RESET] = "reset",
        [SL_LOAD_ERROR_CLOSED] = "closed",   [SL_LOAD_ERROR_BAD_REPLY] = "bad_reply",
        [SL_LOAD_ERROR_STATUS] = "status",   [SL_LOAD_ERROR_UNFINISHED] = "unfinished",
    };
    fprintf(out, "\"failures\": %" PRIu64 ", \"errors\": {", sl_load_stats_failures(stats));
    const char *comma = "";
    for (unsigned i = 0; i < SL_LOAD_ERRORS; i++)
        if (stats->errors[i] > 0) {
            fprintf(out, "%s\"%s\": %" PRIu64, comma, names[i], stats->errors[i]);
            comma = ", ";
        }
    fprintf(out, "}, \"statuses\": {");
    comma = "";
    for (unsigned i = 0; i < 600; i++)
        if (stats->statuses[i] > 0) {
            fprintf(out, "%s\"%u\": %" PRIu64, comma, i, stats->statuses[i]);
            comma = ", ";
        }
    fprintf(out, "}");
}

void sl_load_stats_print(const struct sl_load_stats *stats, const struct sl_load_options *options, FILE *out)
{
    double seconds = (double)stats->elapsed_ns / SL_SEC;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    fprintf(out, "{\"requests\": %" PRIu64 ", \"ok\": %" PRIu64 ", \"aborted\": %" PRIu64 ", ", options->requests,
            stats->ok, stats->aborted);
    print_errors(out, stats);
    fprintf(out, ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"mb_per_s\": %.1f, \"requests_per_s\": %.1f",
            stats->bytes, seconds, (double)stats->bytes / 1e6 / seconds,
            (double)(stats->ok + stats->aborted) / seconds);
    fprintf(out, ", \"connects\": %" PRIu64 ", \"connections_max\": %u, \"latency_ms\": ", stats->connects,
            stats->up_max);
    print_times(out, &stats->latency);
    if (options->probe_path != NULL) {
        fprintf(out,
                ", \"probe\": {\"count\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"latency_ms\": ", stats->probe.total,
                stats->probe_errors);
        print_times(out, &stats->probe);
        fprintf(out, ", \"own_delay_ms\": ");
        print_times(out, &stats->late);
        fprintf(out, "}");
    }
    fprintf(out, ", \"generator\": {\"cpu_s\": %.3f, \"peak_memory_mib\": %.1f}}\n", cpu,
            (double)usage.ru_maxrss / 1024);
}
