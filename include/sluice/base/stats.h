/* What a loop counts for whoever wants to know. One thread changes a number, any thread reads it: no lock and no atomic
 * addition. Who reads several that belong together may see one of them a moment before the other. Zeroed is empty. */
#ifndef SLUICE_BASE_STATS_H
#define SLUICE_BASE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* A sum, or how many there are now. */
struct sl_counter {
    _Atomic uint64_t value;
};

static inline uint64_t sl_counter_read(const struct sl_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* Its own thread. */
static inline void sl_counter_set(struct sl_counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static inline void sl_counter_add(struct sl_counter *counter, uint64_t n)
{
    sl_counter_set(counter, sl_counter_read(counter) + n);
}

static inline void sl_counter_sub(struct sl_counter *counter, uint64_t n)
{
    sl_counter_set(counter, sl_counter_read(counter) - n);
}

/* How long things took: how many fell between two bounds. Bounds are 1, 2 and 5 of each power of ten from 10 us to 100
 * s, so what a bucket tells is right within a factor of 2.5, wherever it lies. */
#define SL_HISTOGRAM_BOUNDS 22

struct sl_histogram {
    struct sl_counter counts[SL_HISTOGRAM_BOUNDS + 1]; /* the last: above all bounds */
    struct sl_counter sum_ns;
};

/* The largest time that counts[i] counts, i < SL_HISTOGRAM_BOUNDS. */
uint64_t sl_histogram_bound_ns(unsigned i);

/* Its own thread. */
void sl_histogram_add(struct sl_histogram *histogram, uint64_t ns);

#endif
