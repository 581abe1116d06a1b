/* What a loop tells of its turns: what was done in them counts, what was waited for does not. How much there is in one,
 * and how it ends. */
#include "net_case.h"
#include "sluice/base/clock.h"
#include "sluice/net/loop.h"

#include <sys/eventfd.h>
#include <sys/time.h>

#define KEPT_NS (30 * SL_MS)

static h2o_loop_t *loop;
static struct sl_lag lag;
static struct sl_watch watch;
static int event;
static unsigned runs;
static uint64_t keep_ns;

/* Busy for so long, as a handler that computes would be. */
static void on_event(void *ctx)
{
    uint64_t value, end_ns = sl_clock_now_ns() + keep_ns;
    assert_ptr_equal(ctx, &watch);
    assert_int_equal(read(event, &value, sizeof value), sizeof value);
    runs++;
    while (sl_clock_now_ns() < end_ns)
        ;
}

static int setup(void **state)
{
    memset(&lag, 0, sizeof lag);
    runs = 0;
    event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(sl_watch_start(&watch, loop, event, on_event, &watch), SL_OK);
    sl_loop_measure(&lag);
    return 0;
}

static int teardown(void **state)
{
    sl_loop_measure(NULL);
    sl_watch_stop(&watch);
    close(event);
    net_settle(loop);
    return 0;
}

/* How many turns took more than ns, one of the bounds. */
static uint64_t above(uint64_t ns)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= SL_HISTOGRAM_BOUNDS; i++)
        if (i == SL_HISTOGRAM_BOUNDS || sl_histogram_bound_ns(i) > ns)
            count += sl_counter_read(&lag.turns.counts[i]);
    return count;
}

static uint64_t all_turns(void)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= SL_HISTOGRAM_BOUNDS; i++)
        count += sl_counter_read(&lag.turns.counts[i]);
    return count;
}

static void turn_with_an_event(void)
{
    uint64_t one = 1;
    unsigned before = runs;
    assert_int_equal(write(event, &one, sizeof one), sizeof one);
    while (runs == before)
        sl_loop_turn(loop, 1000);
    sl_loop_turn(loop, 0); /* a turn ends when the next one asks for events */
}

static void turn_that_is_kept_is_counted_with_all_it_took(void **state)
{
    keep_ns = KEPT_NS;
    turn_with_an_event();
    assert_int_equal(runs, 1);
    assert_in_range(above(20 * SL_MS), 1, all_turns());
    assert_true(sl_counter_read(&lag.max_ns) >= KEPT_NS);
    assert_true(sl_counter_read(&lag.turns.sum_ns) >= KEPT_NS);
}

/* The clock is another than ours, so only a little less. */
static void waiting_is_no_lag(void **state)
{
    uint64_t begun_ns = sl_clock_now_ns();
    while (sl_clock_now_ns() - begun_ns < 100 * SL_MS)
        sl_loop_turn(loop, 20);
    sl_loop_turn(loop, 0);
    assert_in_range(all_turns(), 1, 1000);
    assert_true(sl_counter_read(&lag.turns.sum_ns) < sl_clock_now_ns() - begun_ns - 50 * SL_MS);
}

static void turns_that_nobody_measures_count_nowhere(void **state)
{
    keep_ns = 0;
    turn_with_an_event();
    uint64_t turns = all_turns();
    assert_in_range(turns, 1, 1000);
    sl_loop_measure(NULL);
    turn_with_an_event();
    assert_int_equal(all_turns(), turns);
}

/* ---- many events at once ---- */

#define CROWD 300 /* more than h2o asks for at a time */

static struct member {
    struct sl_watch watch;
    int event;
    unsigned runs;
} crowd[CROWD];

static unsigned crowd_runs;

/* Stays ready, as a socket does of which more is to be read. */
static void on_member(void *ctx)
{
    ((struct member *)ctx)->runs++;
    crowd_runs++;
}

static void ready_ones_have_few_places_in_a_turn_and_all_of_them_have_one_soon(void **state)
{
    unsigned turns = 0;
    for (struct member *member = crowd; member < crowd + CROWD; member++) {
        *member = (struct member){.event = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};
        assert_int_equal(sl_watch_start(&member->watch, loop, member->event, on_member, member), SL_OK);
    }
    for (crowd_runs = 0; crowd_runs < 4 * CROWD; turns++) {
        unsigned before = crowd_runs;
        sl_loop_turn(loop, 1000);
        assert_in_range(crowd_runs - before, 1, 32);
    }
    assert_in_range(turns, 4 * CROWD / 32, 4 * CROWD / 16);
    for (struct member *member = crowd; member < crowd + CROWD; member++) {
        assert_in_range(member->runs, 3, 5);
        sl_watch_stop(&member->watch);
        close(member->event);
    }
    net_settle(loop);
}

/* ---- what ends a turn ---- */

static struct sl_loop_finish finish;
static unsigned finishes, runs_before_finish, told;
static h2o_socket_t *written; /* NULL: nobody is written to */

static void on_told(h2o_socket_t *socket, const char *err)
{
    assert_null(err);
    told++;
}

static void on_finish(void *ctx)
{
    h2o_iovec_t byte = {"x", 1};
    assert_ptr_equal(ctx, &finish);
    finishes++;
    runs_before_finish = runs;
    if (written != NULL)
        h2o_socket_write(written, &byte, 1, on_told);
}

static int setup_finish(void **state)
{
    keep_ns = finishes = told = 0;
    written = NULL;
    (void)setup(state);
    sl_loop_finish_start(&finish, loop, on_finish, &finish);
    return 0;
}

static int teardown_finish(void **state)
{
    sl_loop_finish_stop(&finish);
    return teardown(state);
}

static void each_turn_ends_once_behind_what_happened(void **state)
{
    uint64_t one = 1;
    for (unsigned turn = 1; turn <= 3; turn++) {
        assert_int_equal(write(event, &one, sizeof one), sizeof one);
        sl_loop_turn(loop, 1000);
        assert_int_equal(finishes, turn);
        assert_int_equal(runs_before_finish, turn);
    }
    sl_loop_turn(loop, 0); /* nothing happens */
    assert_int_equal(finishes, 4);
}

static void more_to_finish_waits_for_nothing(void **state)
{
    sl_loop_turn(loop, 0);
    uint64_t begun_ns = sl_clock_now_ns();
    sl_loop_finish_soon(&finish);
    sl_loop_finish_soon(&finish);
    sl_loop_turn(loop, 60000);
    assert_in_range(sl_clock_now_ns() - begun_ns, 0, 30 * SL_SEC);
    assert_int_equal(finishes, 2);
}

static unsigned looks; /* at the clock of the wall, until it is set; 0: it was */
static time_t set_by_s;

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    int result = __real_clock_gettime(id, now);
    if (id != CLOCK_REALTIME)
        return result;
    if (looks > 0 && --looks == 0)
        set_by_s = -3600;
    now->tv_sec += set_by_s;
    return result;
}

/* Before a turn waits, while it does, behind it. */
static void clock_that_is_set_back_keeps_no_turn_from_its_end(void **state)
{
    for (unsigned at = 1; at <= 4; at++) {
        sl_loop_turn(loop, 0);
        unsigned before = finishes;
        looks = at;
        for (unsigned turn = 1; turn <= 4; turn++) {
            sl_loop_turn(loop, 0);
            assert_int_equal(finishes, before + turn);
        }
        assert_int_equal(set_by_s, -3600);
        set_by_s = 0;
    }
}

static uint64_t h2o_clock_ms(void)
{
    struct timeval now;
    assert_int_equal(gettimeofday(&now, NULL), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

static void clock_that_is_set_back_is_told_half_as_fast(void **state)
{
    struct timespec wait = {.tv_nsec = 20 * SL_MS};
    uint64_t begun_ms = h2o_clock_ms(), begun_ns = sl_clock_now_ns();
    set_by_s = -3600;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t before_ms = h2o_clock_ms();
        nanosleep(&wait, NULL);
        assert_in_range(h2o_clock_ms(), before_ms + 9, UINT64_MAX);
    }
    uint64_t took_ms = (sl_clock_now_ns() - begun_ns) / SL_MS;
    assert_in_range(h2o_clock_ms() - begun_ms, took_ms / 2 - 2, took_ms / 2 + 20);
    set_by_s = 3600; /* it has caught up, and more */
    assert_in_range(h2o_clock_ms() - begun_ms, 3600 * 1000, 3700 * 1000);
    set_by_s = 0;
}

/* Nobody is left in h2o's list when the turn is over, so that who is closed then is in none. */
static void who_is_written_to_at_the_end_is_told_in_the_same_turn(void **state)
{
    int fds[2];
    net_tcp_pair(fds);
    written = h2o_evloop_socket_create(loop, fds[1], H2O_SOCKET_FLAG_DONT_READ);
    sl_loop_turn(loop, 0);
    assert_int_equal(told, 1);
    h2o_socket_close(written);
    written = NULL;
    sl_loop_turn(loop, 0);
    close(fds[0]);
}

int main(void)
{
#define FINISH(name) cmocka_unit_test_setup_teardown(name, setup_finish, teardown_finish)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turn_that_is_kept_is_counted_with_all_it_took, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_is_no_lag, setup, teardown),
        cmocka_unit_test_setup_teardown(turns_that_nobody_measures_count_nowhere, setup, teardown),
        cmocka_unit_test(ready_ones_have_few_places_in_a_turn_and_all_of_them_have_one_soon),
        FINISH(each_turn_ends_once_behind_what_happened),
        FINISH(more_to_finish_waits_for_nothing),
        FINISH(clock_that_is_set_back_keeps_no_turn_from_its_end),
        cmocka_unit_test(clock_that_is_set_back_is_told_half_as_fast),
        FINISH(who_is_written_to_at_the_end_is_told_in_the_same_turn),
    };
    loop = h2o_evloop_create();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
