#include "sluice/mem/slab.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define REGIONS         4
#define SMALL_A_REGION  64
#define MEDIUM_A_REGION 8

static int setup(void **state)
{
    *state = sl_slab_pool_create(REGIONS * SL_SLAB_REGION_BYTES);
    return 0;
}

/* What every case must give back. */
static int teardown(void **state)
{
    struct sl_slab_stats stats = sl_slab_pool_stats(*state);
    assert_int_equal(stats.slabs_in_use, 0);
    assert_int_equal(stats.regions_free, stats.regions);
    assert_int_equal(stats.waiting, 0);
    sl_slab_pool_destroy(*state);
    return 0;
}

static void assert_stats(struct sl_slab_pool *pool, unsigned regions_free, unsigned in_use, unsigned waiting)
{
    struct sl_slab_stats stats = sl_slab_pool_stats(pool);
    assert_int_equal(stats.regions, REGIONS);
    assert_int_equal(stats.regions_free, regions_free);
    assert_int_equal(stats.slabs_in_use, in_use);
    assert_int_equal(stats.waiting, waiting);
}

/* Takes slabs of `class` until there are no more. */
static unsigned take_all(struct sl_slab_pool *pool, enum sl_slab_class class, struct sl_slab **slabs_out,
                         unsigned room)
{
    unsigned count = 0;
    for (struct sl_slab *slab; (slab = sl_slab_try(pool, class)) != NULL;) {
        assert_true(count < room);
        slabs_out[count++] = slab;
    }
    return count;
}

static void release_all(struct sl_slab **slabs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sl_slab_release(slabs[i]);
}

static void pool_create_rounds_down_to_regions_and_up_to_two(void **state)
{
    static const struct {
        size_t bytes;
        unsigned regions;
    } rows[] = {
        {0, 2},
        {SL_SLAB_REGION_BYTES, 2},
        {3 * SL_SLAB_REGION_BYTES - 1, 2},
        {3 * SL_SLAB_REGION_BYTES, 3},
        {5 * SL_SLAB_REGION_BYTES + 1, 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_slab_pool *pool = sl_slab_pool_create(rows[i].bytes);
        struct sl_slab *slabs[5];
        unsigned regions = 0;
        char *base = sl_slab_pool_memory(pool, &regions);
        assert_int_equal(regions, rows[i].regions);
        assert_int_equal((uintptr_t)base % SL_SLAB_BLOCK_BYTES, 0);
        for (unsigned region = 0; region < regions; region++) { /* all of it can be written */
            struct sl_slab *slab = sl_slab_try(pool, SL_SLAB_LARGE);
            memset(slab->base, 1, slab->bytes);
            slabs[region] = slab;
        }
        for (unsigned region = 0; region < regions; region++)
            sl_slab_release(slabs[region]);
        assert_int_equal(sl_slab_pool_stats(pool).regions_free, rows[i].regions);
        sl_slab_pool_destroy(pool);
    }
    sl_slab_pool_destroy(NULL);
}

static void class_bytes_are_as_promised(void **state)
{
    assert_int_equal(sl_slab_class_bytes(SL_SLAB_SMALL), 16384);
    assert_int_equal(sl_slab_class_bytes(SL_SLAB_MEDIUM), 131072);
    assert_int_equal(sl_slab_class_bytes(SL_SLAB_LARGE), 1048576);
}

static void try_until_exhausted_hands_out_every_byte_once(void **state)
{
    struct sl_slab_pool *pool = *state;
    static const unsigned expected[] = {REGIONS * SMALL_A_REGION, REGIONS * MEDIUM_A_REGION, REGIONS};
    struct sl_slab *slabs[REGIONS * SMALL_A_REGION + 1];
    unsigned regions;
    char *memory = sl_slab_pool_memory(pool, &regions);
    for (unsigned class = 0; class < SL_SLAB_CLASSES; class ++) {
        size_t bytes = sl_slab_class_bytes(class);
        unsigned count = take_all(pool, class, slabs, sizeof slabs / sizeof slabs[0]);
        assert_int_equal(count, expected[class]);
        assert_stats(pool, 0, count, 0);
        bool is_taken[REGIONS * SMALL_A_REGION] = {false};
        for (unsigned i = 0; i < count; i++) {
            struct sl_slab *slab = slabs[i];
            assert_ptr_equal(slab->pool, pool);
            assert_int_equal(slab->class, class);
            assert_int_equal(slab->bytes, bytes);
            assert_int_equal(slab->state, SL_SLAB_FILLING);
            assert_int_equal(slab->references, 1);
            size_t offset = (size_t)(slab->base - memory);
            assert_int_equal(offset % bytes, 0);
            assert_int_equal(offset / SL_SLAB_REGION_BYTES, slab->region);
            assert_true(offset / bytes < count);
            assert_false(is_taken[offset / bytes]);
            is_taken[offset / bytes] = true;
        }
        release_all(slabs, count);
        assert_stats(pool, REGIONS, 0, 0);
    }
}

static void release_last_piece_makes_the_region_whole_for_another_class(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct sl_slab *small[SMALL_A_REGION], *large[REGIONS + 1];
    for (unsigned i = 0; i < SMALL_A_REGION; i++)
        small[i] = sl_slab_try(pool, SL_SLAB_SMALL);
    assert_stats(pool, REGIONS - 1, SMALL_A_REGION, 0);
    assert_int_equal(small[0]->region, small[SMALL_A_REGION - 1]->region);

    assert_int_equal(take_all(pool, SL_SLAB_LARGE, large, REGIONS), REGIONS - 1);
    release_all(small, SMALL_A_REGION - 1);
    assert_null(sl_slab_try(pool, SL_SLAB_LARGE));
    assert_null(sl_slab_try(pool, SL_SLAB_MEDIUM));
    struct sl_slab *again = sl_slab_try(pool, SL_SLAB_SMALL);
    assert_non_null(again);
    sl_slab_release(again);
    sl_slab_release(small[SMALL_A_REGION - 1]);

    large[REGIONS - 1] = sl_slab_try(pool, SL_SLAB_LARGE);
    assert_non_null(large[REGIONS - 1]);
    assert_null(sl_slab_try(pool, SL_SLAB_SMALL));
    release_all(large, REGIONS);
}

static void try_fills_cut_regions_before_cutting_more(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct sl_slab *slabs[3] = {sl_slab_try(pool, SL_SLAB_MEDIUM), sl_slab_try(pool, SL_SLAB_SMALL),
                                sl_slab_try(pool, SL_SLAB_MEDIUM)};
    assert_int_equal(slabs[0]->region, slabs[2]->region);
    assert_int_not_equal(slabs[0]->region, slabs[1]->region);
    assert_stats(pool, REGIONS - 2, 3, 0);
    release_all(slabs, 3);
}

static void slab_goes_through_its_states_and_back(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct sl_slab *slab = sl_slab_try(pool, SL_SLAB_SMALL);
    assert_int_equal(slab->state, SL_SLAB_FILLING);
    sl_slab_seal(slab);
    assert_int_equal(slab->state, SL_SLAB_SEALED);
    sl_slab_reopen(slab);
    assert_int_equal(slab->state, SL_SLAB_FILLING);
    sl_slab_seal(slab);
    sl_slab_acquire(slab);
    sl_slab_acquire(slab);
    assert_int_equal(slab->references, 3);
    sl_slab_release(slab);
    sl_slab_release(slab);
    assert_int_equal(slab->state, SL_SLAB_SEALED);
    assert_stats(pool, REGIONS - 1, 1, 0);
    sl_slab_release(slab);
    assert_stats(pool, REGIONS, 0, 0);
}

static void slab_bytes_survive_the_use_of_its_neighbours(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct sl_slab *slabs[REGIONS * SMALL_A_REGION + 1];
    unsigned count = take_all(pool, SL_SLAB_SMALL, slabs, sizeof slabs / sizeof slabs[0]);
    for (unsigned i = 0; i < count; i++)
        memset(slabs[i]->base, (int)(i % 251), slabs[i]->bytes);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal((unsigned char)slabs[i]->base[0], i % 251);
        assert_int_equal((unsigned char)slabs[i]->base[slabs[i]->bytes - 1], i % 251);
    }
    release_all(slabs, count);
}

/* ---- the line ---- */

struct guest {
    struct sl_slab_waiter waiter;
    struct sl_slab *slab;
    unsigned order; /* in which it was served; 0: not yet */
    unsigned *served;
};

static void on_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct guest *guest = ctx;
    assert_ptr_equal(waiter, &guest->waiter);
    assert_int_equal(guest->order, 0);
    assert_int_equal(slab->class, SL_SLAB_SMALL);
    assert_int_equal(slab->state, SL_SLAB_FILLING);
    assert_int_equal(slab->references, 1);
    guest->slab = slab;
    guest->order = ++*guest->served;
}

static void queue_up(struct sl_slab_pool *pool, struct guest *guests, unsigned count, unsigned *served)
{
    for (unsigned i = 0; i < count; i++) {
        guests[i] = (struct guest){.served = served};
        sl_slab_wait(pool, &guests[i].waiter, on_slab, &guests[i]);
    }
}

static void wait_with_slabs_free_is_served_by_run_not_inside_the_call(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct guest guest;
    unsigned served = 0;
    assert_false(sl_slab_pool_is_due(pool));
    queue_up(pool, &guest, 1, &served);
    assert_int_equal(served, 0);
    assert_stats(pool, REGIONS, 0, 1);
    assert_true(sl_slab_pool_is_due(pool));
    sl_slab_pool_run(pool);
    assert_false(sl_slab_pool_is_due(pool));
    assert_int_equal(served, 1);
    assert_stats(pool, REGIONS - 1, 1, 0);
    sl_slab_pool_run(pool);
    assert_int_equal(served, 1);
    sl_slab_release(guest.slab);
}

static void wait_in_line_is_served_in_order_as_slabs_come_back(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct sl_slab *slabs[REGIONS * SMALL_A_REGION + 1];
    unsigned count = take_all(pool, SL_SLAB_SMALL, slabs, sizeof slabs / sizeof slabs[0]);
    struct guest guests[5];
    unsigned served = 0;
    queue_up(pool, guests, 5, &served);
    sl_slab_pool_run(pool);
    assert_int_equal(served, 0);

    assert_false(sl_slab_pool_is_due(pool));
    sl_slab_release(slabs[--count]);
    sl_slab_release(slabs[--count]);
    assert_int_equal(served, 0); /* a release never calls back */
    assert_true(sl_slab_pool_is_due(pool));
    sl_slab_pool_run(pool);
    assert_int_equal(served, 2);
    assert_false(sl_slab_pool_is_due(pool));
    assert_stats(pool, 0, REGIONS * SMALL_A_REGION, 3);
    release_all(slabs, count);
    sl_slab_pool_run(pool);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(guests[i].order, i + 1);
        sl_slab_release(guests[i].slab);
    }
}

static void cancel_in_line_lets_the_others_move_up(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct guest guests[4];
    unsigned served = 0;
    queue_up(pool, guests, 4, &served);
    sl_slab_cancel(&guests[0].waiter);
    sl_slab_cancel(&guests[2].waiter);
    sl_slab_cancel(&guests[2].waiter);
    assert_stats(pool, REGIONS, 0, 2);
    sl_slab_pool_run(pool);
    static const unsigned orders[] = {0, 1, 0, 2};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(guests[i].order, orders[i]);
        if (guests[i].slab != NULL)
            sl_slab_release(guests[i].slab);
    }
    struct sl_slab_waiter idle = {0};
    sl_slab_cancel(&idle);
    sl_slab_cancel(&guests[1].waiter);
}

static void wait_again_after_cancel_stands_at_the_end(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct guest guests[2];
    unsigned served = 0;
    queue_up(pool, guests, 2, &served);
    sl_slab_cancel(&guests[0].waiter);
    sl_slab_wait(pool, &guests[0].waiter, on_slab, &guests[0]);
    sl_slab_pool_run(pool);
    assert_int_equal(guests[1].order, 1);
    assert_int_equal(guests[0].order, 2);
    sl_slab_release(guests[0].slab);
    sl_slab_release(guests[1].slab);
}

static void try_never_overtakes_the_line(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct guest guest;
    unsigned served = 0;
    queue_up(pool, &guest, 1, &served);
    for (enum sl_slab_class class = 0; class < SL_SLAB_CLASSES; class ++)
        assert_null(sl_slab_try(pool, class));
    sl_slab_pool_run(pool);
    for (enum sl_slab_class class = 0; class < SL_SLAB_CLASSES; class ++) {
        struct sl_slab *mine = sl_slab_try(pool, class);
        assert_non_null(mine);
        sl_slab_release(mine);
    }
    sl_slab_release(guest.slab);
}

struct hand_over {
    struct sl_slab_waiter waiter;
    struct sl_slab_waiter *leaves; /* cancelled from the callback */
    unsigned calls;
};

static void on_slab_cancel_next(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct hand_over *self = ctx;
    self->calls++;
    if (self->leaves != NULL)
        sl_slab_cancel(self->leaves);
    sl_slab_release(slab);
}

static void cancel_from_a_callback_takes_the_next_out_of_the_line(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct hand_over second = {0}, third = {0}, first = {.leaves = &second.waiter};
    sl_slab_wait(pool, &first.waiter, on_slab_cancel_next, &first);
    sl_slab_wait(pool, &second.waiter, on_slab_cancel_next, &second);
    sl_slab_wait(pool, &third.waiter, on_slab_cancel_next, &third);
    sl_slab_pool_run(pool);
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 0);
    assert_int_equal(third.calls, 1);
}

static void on_slab_try_more(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct sl_slab *more = sl_slab_try(slab->pool, SL_SLAB_MEDIUM);
    *(unsigned *)ctx += more != NULL;
    if (more != NULL)
        sl_slab_release(more);
    sl_slab_release(slab);
}

/* Nobody is left in the line who could be overtaken. */
static void each_of_those_served_at_once_may_try_for_more(void **state)
{
    struct sl_slab_pool *pool = *state;
    struct sl_slab_waiter waiters[3] = {0};
    unsigned had_more = 0;
    for (unsigned i = 0; i < 3; i++)
        sl_slab_wait(pool, &waiters[i], on_slab_try_more, &had_more);
    sl_slab_pool_run(pool);
    assert_int_equal(had_more, 3);
}

/* Random takes and releases; the counts must agree at each step and all must come back. */
static void random_use_of_all_classes_loses_nothing(void **state)
{
    enum { HELD_MAX = 100, STEPS = 20000 };
    struct sl_slab_pool *pool = *state;
    struct sl_slab *held[HELD_MAX];
    unsigned count = 0, seed = 1;
    for (unsigned i = 0; i < STEPS; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned dice = seed >> 16;
        if (dice % 2 == 0 && count < HELD_MAX) {
            struct sl_slab *slab = sl_slab_try(pool, dice / 2 % SL_SLAB_CLASSES);
            if (slab != NULL)
                held[count++] = slab;
        } else if (count > 0) {
            unsigned out = dice / 2 % count;
            sl_slab_release(held[out]);
            held[out] = held[--count];
        }
        bool is_used[REGIONS] = {false};
        unsigned regions_free = REGIONS;
        for (unsigned j = 0; j < count; j++) {
            regions_free -= !is_used[held[j]->region];
            is_used[held[j]->region] = true;
        }
        assert_stats(pool, regions_free, count, 0);
    }
    release_all(held, count);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest cases[] = {
        cmocka_unit_test(pool_create_rounds_down_to_regions_and_up_to_two),
        cmocka_unit_test(class_bytes_are_as_promised),
        CASE(try_until_exhausted_hands_out_every_byte_once),
        CASE(release_last_piece_makes_the_region_whole_for_another_class),
        CASE(try_fills_cut_regions_before_cutting_more),
        CASE(slab_goes_through_its_states_and_back),
        CASE(slab_bytes_survive_the_use_of_its_neighbours),
        CASE(wait_with_slabs_free_is_served_by_run_not_inside_the_call),
        CASE(wait_in_line_is_served_in_order_as_slabs_come_back),
        CASE(cancel_in_line_lets_the_others_move_up),
        CASE(wait_again_after_cancel_stands_at_the_end),
        CASE(try_never_overtakes_the_line),
        CASE(cancel_from_a_callback_takes_the_next_out_of_the_line),
        CASE(each_of_those_served_at_once_may_try_for_more),
        CASE(random_use_of_all_classes_loses_nothing),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
