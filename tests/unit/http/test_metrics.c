/* The text of GET /metrics by the rules of the format (exposition format 0.0.4 and Prometheus' naming rules), for
 * nothing counted, for something in each counter, and for the largest numbers there are. */
#include "sluice/http/metrics.h"

#include "sluice/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOPS      3
#define LINES_MAX  8192
#define FAMILY_MAX 128

struct page {
    char *text;
    char *lines[LINES_MAX];
    size_t count;
};

static struct page render(const struct sl_metrics *metrics)
{
    struct sl_metrics_more more = {.disk_free_bytes = 1, .unfinished_uploads = 2};
    struct page page = {0};
    size_t len = sl_metrics_room(metrics);
    char *room = malloc(len);
    assert_non_null(room);
    struct sl_bytes text = sl_metrics_put(metrics, &more, (struct sl_room){room, len});
    assert_int_equal(text.base[text.len - 1], '\n'); /* the last line ends, too */
    assert_null(memchr(text.base, '\0', text.len));
    page.text = strndup(text.base, text.len);
    free(room);
    char *rest = page.text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;) {
        assert_true(page.count < LINES_MAX);
        page.lines[page.count++] = line;
    }
    return page;
}

static void free_page(struct page *page)
{
    free(page->text);
}

/* ---- the rules ---- */

static bool is_name(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!(isalpha((unsigned char)at[i]) || at[i] == '_' || (i > 0 && isdigit((unsigned char)at[i]))))
            return false;
    return len > 0;
}

/* [a-z="...",...]: names, and values without anything that would have to be escaped. Behind the brace. */
static const char *skip_labels(const char *at)
{
    if (*at != '{')
        return at;
    do {
        const char *equals = strchr(++at, '=');
        assert_non_null(equals);
        assert_true(is_name(at, (size_t)(equals - at)));
        assert_int_equal(equals[1], '"');
        at = equals + 2 + strcspn(equals + 2, "\"\\\n");
        assert_int_equal(*at, '"');
        at++;
    } while (*at == ',');
    assert_int_equal(*at, '}');
    return at + 1;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);
    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* What a family of this type may be called, and its samples: base units, counters end in _total. */
static void check_family(const char *family, const char *type)
{
    bool is_counter = strcmp(type, "counter") == 0, is_gauge = strcmp(type, "gauge") == 0;
    assert_true(is_counter || is_gauge || strcmp(type, "histogram") == 0);
    assert_int_equal(strncmp(family, "sluice_", 7), 0);
    assert_true(is_name(family, strlen(family)));
    assert_int_equal(is_counter, has_suffix(family, "_total"));
    static const char *const no_base_units[] = {"_ms", "_us", "_ns", "_milliseconds", "_kib", "_mib", "_mb"};
    for (size_t k = 0; k < sizeof no_base_units / sizeof no_base_units[0]; k++)
        assert_false(has_suffix(family, no_base_units[k]));
    if (!is_counter && !is_gauge)
        assert_true(has_suffix(family, "_seconds"));
}

static void check_sample(const char *line, const char *family, const char *type)
{
    size_t len = strcspn(line, "{ ");
    bool is_histogram = strcmp(type, "histogram") == 0;
    assert_true(is_name(line, len));
    assert_int_equal(strncmp(line, family, strlen(family)), 0);
    const char *rest = line + strlen(family);
    if (is_histogram)
        assert_true(strncmp(rest, "_bucket{", 8) == 0 || strncmp(rest, "_sum{", 5) == 0 ||
                    strncmp(rest, "_count{", 7) == 0);
    else
        assert_int_equal(len, strlen(family));
    const char *value = skip_labels(line + len);
    assert_int_equal(*value, ' ');
    char *end;
    double number = strtod(value + 1, &end);
    assert_true(end > value + 1 && *end == '\0' && number >= 0);
}

/* Each family has its head once, HELP before TYPE, then all its samples in one group, and none is there twice. */
static void check_page(const struct page *page)
{
    char families[FAMILY_MAX][80], type[16] = "";
    size_t count = 0;
    for (size_t i = 0; i < page->count; i++) {
        const char *line = page->lines[i];
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_true(count < FAMILY_MAX && i + 2 < page->count);
            assert_int_equal(sscanf(line, "# HELP %79s", families[count]), 1);
            for (size_t j = 0; j < count; j++)
                assert_string_not_equal(families[j], families[count]);
            assert_null(strchr(line, '\\'));
            char again[80];
            assert_int_equal(sscanf(page->lines[++i], "# TYPE %79s %15s", again, type), 2);
            assert_string_equal(again, families[count]);
            check_family(again, type);
            count++;
            continue;
        }
        assert_true(count > 0);
        check_sample(line, families[count - 1], type);
        size_t len = (size_t)(skip_labels(line + strcspn(line, "{ ")) - line);
        for (size_t j = i + 1; j < page->count; j++)
            assert_true(strncmp(line, page->lines[j], len) != 0 || page->lines[j][len] != ' ');
    }
}

/* Buckets never fall, the last one is +Inf and equal to _count, and bounds rise. */
static void check_histograms(const struct page *page)
{
    unsigned histograms = 0;
    double bound_before = -1, count_before = 0;
    for (size_t i = 0; i < page->count; i++) {
        const char *line = page->lines[i], *le = strstr(line, "le=\""), *value = strrchr(line, ' ');
        if (le != NULL && line[0] != '#') {
            double bound = strtod(le + 4, NULL), count = strtod(value, NULL);
            assert_true(bound > bound_before && count >= count_before);
            bound_before = bound;
            count_before = count;
        } else if (strstr(line, "_seconds_count{") != NULL) {
            assert_true(bound_before * 0 != 0); /* infinite */
            assert_true(strtod(value, NULL) == count_before);
            bound_before = -1;
            count_before = 0;
            histograms++;
        }
    }
    assert_int_equal(histograms, SL_STAGES + 1 + LOOPS);
}

static double value_of(const struct page *page, const char *sample)
{
    size_t len = strlen(sample);
    for (size_t i = 0; i < page->count; i++)
        if (strncmp(page->lines[i], sample, len) == 0 && page->lines[i][len] == ' ')
            return strtod(page->lines[i] + len, NULL);
    fail_msg("no %s", sample);
    return 0;
}

/* ---- cases ---- */

static void set_all(void *stats, size_t bytes, uint64_t value)
{
    struct sl_counter *counters = stats;
    for (size_t i = 0; i < bytes / sizeof *counters; i++)
        sl_counter_set(&counters[i], value);
}

/* Every counter of every loop. */
static struct sl_metrics *create_full(uint64_t value)
{
    struct sl_metrics *metrics = sl_metrics_create(LOOPS);
    for (unsigned i = 0; i < LOOPS; i++) {
        struct sl_loop_stats *loop = &metrics->loops[i];
        set_all(&loop->lag.turns, sizeof loop->lag.turns, value);
        sl_counter_set(&loop->lag.max_ns, value);
        set_all(&loop->uploads, sizeof loop->uploads, value);
        set_all(&loop->syncs, sizeof loop->syncs, value);
        set_all(&loop->http, sizeof loop->http, value);
        set_all(&loop->gauges, sizeof loop->gauges, value);
        atomic_store(&loop->engine, "threads");
    }
    return metrics;
}

static void put_nothing_counted_keeps_the_rules(void **state)
{
    struct sl_metrics *metrics = sl_metrics_create(LOOPS);
    struct page page = render(metrics);
    check_page(&page);
    check_histograms(&page);
    assert_true(value_of(&page, "sluice_uploads_started_total") == 0);
    assert_true(value_of(&page, "sluice_disk_free_bytes") == 1);
    assert_true(value_of(&page, "sluice_uploads_unfinished") == 2);
    free_page(&page);
    sl_metrics_destroy(metrics);
}

static void put_everything_counted_keeps_the_rules(void **state)
{
    struct sl_metrics *metrics = create_full(7);
    struct page page = render(metrics);
    check_page(&page);
    check_histograms(&page);
    assert_true(value_of(&page, "sluice_uploads_started_total") == 7 * LOOPS);
    assert_true(value_of(&page, "sluice_aborted_bytes_total") == 2 * 7 * LOOPS); /* of uploads and of others */
    assert_true(value_of(&page, "sluice_uploads_failed_total{reason=\"no-space\"}") == 7 * LOOPS);
    assert_true(value_of(&page, "sluice_engine_info{loop=\"2\",engine=\"threads\"}") == 1);
    assert_true(value_of(&page, "sluice_loop_lag_seconds_count{loop=\"1\"}") == 7 * (SL_HISTOGRAM_BOUNDS + 1));
    free_page(&page);
    sl_metrics_destroy(metrics);
}

/* It asserts by itself that the room was enough. */
static void put_the_largest_numbers_has_room(void **state)
{
    struct sl_metrics *metrics = create_full(UINT64_MAX / LOOPS);
    struct page page = render(metrics);
    assert_true(page.count > SL_ROUTES * SL_COUNTED_METHODS * SL_COUNTED_STATUSES);
    free_page(&page);
    sl_metrics_destroy(metrics);
}

static void count_request_finds_its_labels(void **state)
{
    struct sl_metrics *metrics = sl_metrics_create(LOOPS);
    struct sl_http_stats *stats = &metrics->loops[1].http;
    sl_metrics_count_request(stats, SL_ROUTE_FILE, SL_BYTES("PUT"), 201);
    sl_metrics_count_request(&metrics->loops[2].http, SL_ROUTE_FILE, SL_BYTES("PUT"), 201);
    sl_metrics_count_request(stats, SL_ROUTE_UPLOAD, SL_BYTES("PATCH"), 409);
    sl_metrics_count_request(stats, SL_ROUTE_NONE, SL_BYTES("-"), 400);
    sl_metrics_count_request(stats, SL_ROUTE_OTHER, SL_BYTES("BREW\"\n"), 418);
    sl_metrics_count_request(stats, SL_ROUTE_OTHER, SL_BYTES(""), 499);
    struct page page = render(metrics);
    check_page(&page);
    assert_true(value_of(&page, "sluice_requests_total{route=\"file\",method=\"PUT\",status=\"201\"}") == 2);
    assert_true(value_of(&page, "sluice_requests_total{route=\"upload\",method=\"PATCH\",status=\"409\"}") == 1);
    assert_true(value_of(&page, "sluice_requests_total{route=\"none\",method=\"other\",status=\"400\"}") == 1);
    assert_true(value_of(&page, "sluice_requests_total{route=\"other\",method=\"other\",status=\"other\"}") == 1);
    assert_true(value_of(&page, "sluice_requests_total{route=\"other\",method=\"other\",status=\"499\"}") == 1);
    free_page(&page);
    sl_metrics_destroy(metrics);
}

/* Every status of the table of errors has a label of its own. */
static void count_request_knows_the_status_of_each_error(void **state)
{
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++) {
        struct sl_metrics *metrics = sl_metrics_create(1);
        char sample[96];
        sl_metrics_count_request(&metrics->loops[0].http, SL_ROUTE_FILE, SL_BYTES("PUT"), sl_err_row(err)->status);
        snprintf(sample, sizeof sample, "sluice_requests_total{route=\"file\",method=\"PUT\",status=\"%d\"}",
                 sl_err_row(err)->status);
        struct page page = render(metrics);
        assert_true(value_of(&page, sample) == 1);
        free_page(&page);
        sl_metrics_destroy(metrics);
    }
}

static void put_times_are_seconds(void **state)
{
    struct sl_metrics *metrics = sl_metrics_create(LOOPS);
    sl_histogram_add(&metrics->loops[0].uploads.stages[SL_STAGE_COMMIT], 1500 * SL_MS);
    sl_histogram_add(&metrics->loops[2].uploads.stages[SL_STAGE_COMMIT], 1);
    sl_counter_set(&metrics->loops[1].lag.max_ns, 20 * SL_MS);
    struct page page = render(metrics);
    check_histograms(&page);
    assert_true(value_of(&page, "sluice_stage_duration_seconds_sum{stage=\"commit\"}") == 1.500000001);
    assert_true(value_of(&page, "sluice_stage_duration_seconds_bucket{stage=\"commit\",le=\"1\"}") == 1);
    assert_true(value_of(&page, "sluice_stage_duration_seconds_bucket{stage=\"commit\",le=\"2\"}") == 2);
    assert_true(value_of(&page, "sluice_loop_lag_max_seconds{loop=\"1\"}") == 0.02);
    free_page(&page);
    sl_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_nothing_counted_keeps_the_rules),
        cmocka_unit_test(put_everything_counted_keeps_the_rules),
        cmocka_unit_test(put_the_largest_numbers_has_room),
        cmocka_unit_test(count_request_finds_its_labels),
        cmocka_unit_test(count_request_knows_the_status_of_each_error),
        cmocka_unit_test(put_times_are_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
