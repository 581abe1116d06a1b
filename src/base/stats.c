#include "sluice/base/stats.h"

#include "sluice/base/clock.h"

#include <assert.h>

#define US UINT64_C(1000)

static const uint64_t bounds_ns[SL_HISTOGRAM_BOUNDS] = {
    10 * US,    20 * US,    50 * US,     100 * US,    200 * US,    500 * US,     1 * SL_MS,   2 * SL_MS,
    5 * SL_MS,  10 * SL_MS, 20 * SL_MS,  50 * SL_MS,  100 * SL_MS, 200 * SL_MS,  500 * SL_MS, 1 * SL_SEC,
    2 * SL_SEC, 5 * SL_SEC, 10 * SL_SEC, 20 * SL_SEC, 50 * SL_SEC, 100 * SL_SEC,
};

uint64_t sl_histogram_bound_ns(unsigned i)
{
    assert(i < SL_HISTOGRAM_BOUNDS);
    return bounds_ns[i];
}

void sl_histogram_add(struct sl_histogram *histogram, uint64_t ns)
{
    unsigned at = 0;
    while (at < SL_HISTOGRAM_BOUNDS && ns > bounds_ns[at]) /* most are short */
        at++;
    sl_counter_add(&histogram->counts[at], 1);
    sl_counter_add(&histogram->sum_ns, ns);
}
