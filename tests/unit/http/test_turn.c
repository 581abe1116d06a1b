#include "http/handler/turn.h"
#include "sluice/base/clock.h"
#include "sluice/mem/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define REGIONS    4
#define PLACES     (REGIONS * 8 / 2)
#define SMALLS     (REGIONS * 64 / 8)
#define ALL_PLACES (PLACES + SMALLS)
#define TURNS_MAX  64
#define SMALLS_ALL (REGIONS * 64)

static struct sl_slab_pool *pool;
static struct sl_intake intake;
static struct sl_http http;
static struct sl_turn turns[TURNS_MAX];
static unsigned served;
static struct sl_turn *last_served;

static int setup(void **state)
{
    pool = sl_slab_pool_create(REGIONS * SL_SLAB_REGION_BYTES);
    intake = (struct sl_intake){.slabs = pool};
    http = (struct sl_http){.intake = &intake};
    sl_list_init(&http.download_line);
    sl_list_init(&http.senders);
    memset(turns, 0, sizeof turns);
    served = 0;
    last_served = NULL;
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < TURNS_MAX; i++)
        sl_turn_end(&turns[i]);
    struct sl_slab_stats stats = sl_slab_pool_stats(pool);
    assert_int_equal(stats.slabs_in_use, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(http.download_slabs, 0);
    assert_int_equal(http.download_smalls, 0);
    assert_true(sl_list_is_empty(&http.senders));
    assert_true(sl_list_is_empty(&http.download_line));
    sl_slab_pool_destroy(pool);
    return 0;
}

static void on_turn(struct sl_turn *turn, void *ctx)
{
    assert_ptr_equal(ctx, &served);
    assert_non_null(turn->slab);
    served++;
    last_served = turn;
}

static void take(struct sl_turn *turn, bool is_large)
{
    sl_turn_take(turn, &http, is_large, on_turn, &served);
}

static void take_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        take(&turns[i], true);
}

static void take_large_is_served_at_once_with_a_medium_slab(void **state)
{
    take(&turns[0], true);
    assert_int_equal(served, 1);
    assert_int_equal(turns[0].slab->class, SL_SLAB_MEDIUM);
}

static void take_small_is_served_by_the_line_of_the_pool(void **state)
{
    take(&turns[0], false);
    assert_int_equal(served, 0);
    sl_slab_pool_run(pool);
    assert_int_equal(served, 1);
    assert_int_equal(turns[0].slab->class, SL_SLAB_SMALL);
}

static void take_large_without_a_medium_slab_waits_for_a_small_one(void **state)
{
    struct sl_slab *held[SMALLS_ALL];
    for (unsigned i = 0; i < SMALLS_ALL; i++)
        held[i] = sl_slab_try(pool, SL_SLAB_SMALL);
    take(&turns[0], true);
    sl_slab_pool_run(pool);
    assert_int_equal(served, 0);
    sl_slab_release(held[0]);
    sl_slab_pool_run(pool);
    assert_int_equal(served, 1);
    assert_int_equal(turns[0].slab->class, SL_SLAB_SMALL);
    for (unsigned i = 1; i < SMALLS_ALL; i++)
        sl_slab_release(held[i]);
}

static void take_beyond_the_large_places_gets_a_small_buffer(void **state)
{
    take_many(PLACES + 1);
    assert_int_equal(served, PLACES);
    assert_int_equal(http.download_slabs, PLACES);
    sl_slab_pool_run(pool);
    assert_int_equal(served, PLACES + 1);
    assert_int_equal(turns[PLACES].slab->class, SL_SLAB_SMALL);
    assert_int_equal(http.download_smalls, 1);
}

static void take_beyond_all_places_waits_in_order(void **state)
{
    take_many(ALL_PLACES + 2);
    sl_slab_pool_run(pool);
    assert_int_equal(served, ALL_PLACES);
    assert_int_equal(http.download_slabs + http.download_smalls, ALL_PLACES);
    sl_turn_end(&turns[3]);
    assert_int_equal(served, ALL_PLACES + 1);
    assert_ptr_equal(last_served, &turns[ALL_PLACES]);
    sl_turn_end(&turns[PLACES]);
    sl_slab_pool_run(pool);
    assert_ptr_equal(last_served, &turns[ALL_PLACES + 1]);
    assert_int_equal(http.download_slabs + http.download_smalls, ALL_PLACES);
}

static void end_in_line_leaves_it(void **state)
{
    take_many(ALL_PLACES + 2);
    sl_slab_pool_run(pool);
    sl_turn_end(&turns[ALL_PLACES]);
    sl_turn_end(&turns[ALL_PLACES]); /* idle now */
    sl_turn_end(&turns[0]);
    assert_ptr_equal(last_served, &turns[ALL_PLACES + 1]);
}

static void end_while_the_slab_is_awaited_passes_the_place_on(void **state)
{
    take_many(ALL_PLACES + 1);
    assert_int_equal(served, PLACES); /* small ones come with the next run of the pool */
    sl_turn_end(&turns[PLACES]);
    sl_slab_pool_run(pool);
    assert_ptr_equal(last_served, &turns[ALL_PLACES]);
    assert_int_equal(served, ALL_PLACES);
}

/* ---- readers that do not read ---- */

static struct sl_turn *cut_turn;

static void cut(struct sl_request *request)
{
    cut_turn = SL_CONTAINER_OF(http.senders.next, struct sl_turn, sending);
    for (unsigned i = 0; i < TURNS_MAX; i++)
        if (turns[i].request == request && turns[i].slab != NULL) {
            cut_turn = &turns[i];
            sl_turn_end(&turns[i]);
            return;
        }
}

static const struct sl_body_ops ops = {.cut = cut};

static void sender_is_given_up_only_when_somebody_waits_and_it_took_nothing_for_long(void **state)
{
    static struct sl_request slow = {.body_ops = &ops}, fresh = {.body_ops = &ops};
    cut_turn = NULL;
    take_many(ALL_PLACES);
    sl_slab_pool_run(pool);
    sl_turn_send(&turns[5], &slow);
    sl_turn_send(&turns[6], &fresh);
    turns[5].since_ns -= 6 * SL_SEC;
    sl_turns_run(&http);
    assert_null(cut_turn); /* it keeps nobody waiting */
    take(&turns[ALL_PLACES], true);
    take(&turns[ALL_PLACES + 1], true);
    sl_turns_run(&http);
    assert_ptr_equal(cut_turn, &turns[5]);
    assert_ptr_equal(last_served, &turns[ALL_PLACES]);
    cut_turn = NULL;
    sl_turns_run(&http);
    assert_null(cut_turn); /* the other one has only begun */
}

static void on_upload_slab(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx)
{
    struct sl_slab **got = ctx;
    *got = slab;
}

static void sender_is_given_up_for_an_upload_that_waits_for_a_buffer(void **state)
{
    static struct sl_request slow = {.body_ops = &ops};
    struct sl_slab *held[SMALLS_ALL];
    struct sl_slab_waiter upload = {0};
    struct sl_slab *got = NULL;
    unsigned count = 0;
    cut_turn = NULL;
    take(&turns[0], true);
    while ((held[count] = sl_slab_try(pool, SL_SLAB_SMALL)) != NULL)
        count++;
    sl_turn_send(&turns[0], &slow);
    turns[0].since_ns -= 6 * SL_SEC;
    sl_turns_run(&http);
    assert_null(cut_turn);
    sl_slab_wait(pool, &upload, on_upload_slab, &got);
    sl_turns_run(&http);
    assert_ptr_equal(cut_turn, &turns[0]);
    sl_slab_pool_run(pool);
    assert_non_null(got);
    sl_slab_release(got);
    while (count > 0)
        sl_slab_release(held[--count]);
}

/* Each closes a connection: all of them in one turn would keep the loop from all else. */
static void senders_are_given_up_a_few_a_turn(void **state)
{
    static struct sl_request requests[ALL_PLACES];
    enum { WAITING = TURNS_MAX - ALL_PLACES };
    take_many(TURNS_MAX);
    sl_slab_pool_run(pool);
    for (unsigned i = 0; i < ALL_PLACES; i++) {
        requests[i].body_ops = &ops;
        sl_turn_send(&turns[i], &requests[i]);
        turns[i].since_ns -= 6 * SL_SEC;
    }
    unsigned before = served, rounds = 0;
    for (; served - before < WAITING; rounds++) {
        unsigned last = served;
        sl_turns_run(&http);
        sl_slab_pool_run(pool);
        assert_in_range(served - last, 1, WAITING / 2);
    }
    assert_in_range(rounds, 2, WAITING);
    cut_turn = NULL;
    sl_turns_run(&http);
    assert_null(cut_turn); /* nobody waits any more */
}

static void try_takes_no_more_than_half_of_the_places(void **state)
{
    for (unsigned i = 0; i < PLACES / 2; i++) {
        assert_true(sl_turn_try(&turns[i], &http));
        assert_int_equal(turns[i].slab->class, SL_SLAB_MEDIUM);
    }
    assert_false(sl_turn_try(&turns[PLACES], &http));
    take(&turns[PLACES], true);
    assert_int_equal(served, 1);
    assert_int_equal(http.download_slabs, PLACES / 2 + 1);
}

static void try_while_somebody_waits_for_a_slab_takes_none(void **state)
{
    take(&turns[0], false);
    assert_false(sl_turn_try(&turns[1], &http));
    assert_int_equal(http.download_smalls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(take_large_is_served_at_once_with_a_medium_slab, setup, teardown),
        cmocka_unit_test_setup_teardown(take_small_is_served_by_the_line_of_the_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(take_large_without_a_medium_slab_waits_for_a_small_one, setup, teardown),
        cmocka_unit_test_setup_teardown(take_beyond_the_large_places_gets_a_small_buffer, setup, teardown),
        cmocka_unit_test_setup_teardown(take_beyond_all_places_waits_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(sender_is_given_up_only_when_somebody_waits_and_it_took_nothing_for_long,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(sender_is_given_up_for_an_upload_that_waits_for_a_buffer, setup, teardown),
        cmocka_unit_test_setup_teardown(senders_are_given_up_a_few_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(end_in_line_leaves_it, setup, teardown),
        cmocka_unit_test_setup_teardown(end_while_the_slab_is_awaited_passes_the_place_on, setup, teardown),
        cmocka_unit_test_setup_teardown(try_takes_no_more_than_half_of_the_places, setup, teardown),
        cmocka_unit_test_setup_teardown(try_while_somebody_waits_for_a_slab_takes_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
