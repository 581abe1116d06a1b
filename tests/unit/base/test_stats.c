/* Counters that others read while they change, and the buckets of a histogram. */
#include "sluice/base/stats.h"

#include "sluice/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>

#define ADDITIONS 1000000u

static void counter_goes_up_and_down(void **state)
{
    struct sl_counter counter = {0};
    (void)state;
    sl_counter_add(&counter, 5);
    sl_counter_sub(&counter, 2);
    assert_int_equal(sl_counter_read(&counter), 3);
    sl_counter_set(&counter, UINT64_MAX);
    assert_true(sl_counter_read(&counter) == UINT64_MAX);
}

static void *count(void *arg)
{
    for (unsigned i = 0; i < ADDITIONS; i++)
        sl_counter_add(arg, 1);
    return NULL;
}

/* Whatever a reader sees was there once, and it never sees less than before. (And TSan has nothing to say.) */
static void counter_read_by_another_thread_never_goes_back(void **state)
{
    struct sl_counter counter = {0};
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, count, &counter), 0);
    for (uint64_t before = 0, now = 0; now < ADDITIONS; before = now) {
        now = sl_counter_read(&counter);
        assert_true(now >= before);
    }
    pthread_join(thread, NULL);
    assert_int_equal(sl_counter_read(&counter), ADDITIONS);
}

static unsigned bucket_of(uint64_t ns)
{
    struct sl_histogram histogram = {0};
    unsigned found = SL_HISTOGRAM_BOUNDS + 1;
    sl_histogram_add(&histogram, ns);
    assert_true(sl_counter_read(&histogram.sum_ns) == ns);
    for (unsigned i = 0; i <= SL_HISTOGRAM_BOUNDS; i++) {
        uint64_t n = sl_counter_read(&histogram.counts[i]);
        assert_true(n == 0 || (n == 1 && found > SL_HISTOGRAM_BOUNDS));
        found = n == 1 ? i : found;
    }
    return found;
}

/* A bound belongs to what is below it, as Prometheus has it ("le"). */
static void histogram_add_at_each_bound(void **state)
{
    (void)state;
    assert_int_equal(bucket_of(0), 0);
    for (unsigned i = 0; i < SL_HISTOGRAM_BOUNDS; i++) {
        assert_int_equal(bucket_of(sl_histogram_bound_ns(i)), i);
        assert_int_equal(bucket_of(sl_histogram_bound_ns(i) + 1), i + 1);
    }
    assert_int_equal(bucket_of(UINT64_MAX), SL_HISTOGRAM_BOUNDS);
}

/* The bounds that the load test holds the loop against are among them, so that it need not guess. */
static void histogram_bounds_are_1_2_5(void **state)
{
    bool has_2ms = false, has_20ms = false;
    (void)state;
    for (unsigned i = 0; i < SL_HISTOGRAM_BOUNDS; i++) {
        uint64_t bound = sl_histogram_bound_ns(i), first = bound;
        while (first >= 10)
            first /= 10;
        assert_true(first == 1 || first == 2 || first == 5);
        assert_true(i == 0 ||
                    (bound > sl_histogram_bound_ns(i - 1) && 2 * bound <= 5 * sl_histogram_bound_ns(i - 1)));
        has_2ms |= bound == 2 * SL_MS;
        has_20ms |= bound == 20 * SL_MS;
    }
    assert_true(has_2ms && has_20ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counter_goes_up_and_down),
        cmocka_unit_test(counter_read_by_another_thread_never_goes_back),
        cmocka_unit_test(histogram_add_at_each_bound),
        cmocka_unit_test(histogram_bounds_are_1_2_5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
