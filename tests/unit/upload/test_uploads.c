/* Claims: one holder at a time over all loops, in order, who hears once that it is waited for; and the count of what
 * is unfinished. */
#include "sluice/upload/uploads.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID    "abcdefghijklmnopqrstuvwx23"
#define OTHER "23456723456723456723456723"

static const struct sl_uploads_options options = {
    .expiry_ns = 10, .done_expiry_ns = 5, .count_max = 3, .bytes_max = 1000};
static struct sl_uploads *uploads;
static struct sl_mailbox boxes[2];

static int setup(void **state)
{
    uploads = sl_uploads_create(&options);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sl_mailbox_init(&boxes[i]), SL_OK);
    return 0;
}

static int teardown(void **state)
{
    sl_uploads_destroy(uploads); /* asserts that all claims came back */
    for (unsigned i = 0; i < 2; i++)
        sl_mailbox_dispose(&boxes[i]);
    return 0;
}

/* ---- how many ---- */

static void admit_stops_at_the_last_place(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sl_uploads_admit(uploads, 1, NULL), SL_OK);
    assert_int_equal(sl_uploads_admit(uploads, 1, NULL), SL_TOO_MANY_UPLOADS);
    assert_int_equal(sl_uploads_unfinished(uploads), 3);
    sl_uploads_dismiss(uploads, 1, NULL);
    assert_int_equal(sl_uploads_unfinished(uploads), 2);
    assert_int_equal(sl_uploads_admit(uploads, 1, NULL), SL_OK);
}

static void admit_stops_at_the_last_byte(void **state)
{
    assert_int_equal(sl_uploads_admit(uploads, 600, NULL), SL_OK);
    assert_int_equal(sl_uploads_admit(uploads, 401, NULL), SL_TOO_MANY_UPLOADS); /* takes nothing */
    assert_int_equal(sl_uploads_admit(uploads, UINT64_MAX - 1, NULL), SL_TOO_MANY_UPLOADS);
    assert_int_equal(sl_uploads_admit(uploads, 400, NULL), SL_OK);
    assert_int_equal(sl_uploads_admit(uploads, SL_STORE_SIZE_UNKNOWN, NULL), SL_OK); /* counts when it is known */
    sl_uploads_count(uploads, 0, 250);
    sl_uploads_dismiss(uploads, 400, NULL);
    assert_int_equal(sl_uploads_admit(uploads, 151, NULL), SL_TOO_MANY_UPLOADS);
    assert_int_equal(sl_uploads_admit(uploads, 150, NULL), SL_OK);
}

static void count_is_never_refused_and_never_wraps(void **state)
{
    sl_uploads_count(uploads, 5, 5000);
    assert_int_equal(sl_uploads_unfinished(uploads), 5);
    assert_int_equal(sl_uploads_admit(uploads, 0, NULL), SL_TOO_MANY_UPLOADS);
    sl_uploads_count(uploads, 1, UINT64_MAX - 1);
    for (unsigned i = 0; i < 7; i++) /* one more than there are */
        sl_uploads_dismiss(uploads, 6000, NULL);
    assert_int_equal(sl_uploads_unfinished(uploads), 0);
    sl_uploads_dismiss(uploads, UINT64_MAX - 1, NULL);
    assert_int_equal(sl_uploads_admit(uploads, 1000, NULL), SL_OK);
}

static void each_owner_has_its_own_limit(void **state)
{
    struct sl_uploads_options few = options;
    few.each_max = 2;
    few.count_max = 4;
    struct sl_uploads *some = sl_uploads_create(&few);
    const struct sl_tally_key one = {1, 2}, other = {2, 1};
    assert_int_equal(sl_uploads_admit(some, 1, &one), SL_OK);
    assert_int_equal(sl_uploads_admit(some, 1, &one), SL_OK);
    assert_int_equal(sl_uploads_admit(some, 1, &one), SL_TOO_MANY_UPLOADS_OF_PEER);
    assert_int_equal(sl_uploads_unfinished(some), 2);
    assert_int_equal(sl_uploads_admit(some, 1, &other), SL_OK);
    assert_int_equal(sl_uploads_admit(some, 1, NULL), SL_OK);
    assert_int_equal(sl_uploads_admit(some, 1, &other), SL_TOO_MANY_UPLOADS);
    assert_int_equal(sl_uploads_admit(some, 1, &one), SL_TOO_MANY_UPLOADS_OF_PEER);
    sl_uploads_dismiss(some, 1, NULL);
    assert_int_equal(sl_uploads_admit(some, 1, &one), SL_TOO_MANY_UPLOADS_OF_PEER);
    sl_uploads_dismiss(some, 1, &one);
    assert_int_equal(sl_uploads_admit(some, 2000, &one), SL_TOO_MANY_UPLOADS); /* takes nothing of the owner's */
    assert_int_equal(sl_uploads_admit(some, 1, &one), SL_OK);
    for (unsigned i = 0; i < 3; i++) /* one more than there are */
        sl_uploads_dismiss(some, 1, &one);
    sl_uploads_destroy(some);
}

static void without_a_limit_no_owner_is_counted(void **state)
{
    const struct sl_tally_key one = {1, 2};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sl_uploads_admit(uploads, 1, &one), SL_OK);
    sl_uploads_dismiss(uploads, 1, &one);
    assert_int_equal(sl_uploads_unfinished(uploads), 2);
}

/* ---- who: one thread, two loops ---- */

struct taker {
    struct sl_claim claim;
    unsigned got, wanted, given; /* when; 0: not yet */
    bool gives_when_wanted;
};

static unsigned events;

static void on_given(struct sl_claim *claim)
{
    struct taker *taker = SL_CONTAINER_OF(claim, struct taker, claim);
    assert_int_equal(taker->given, 0);
    assert_null(claim->uploads); /* idle */
    taker->given = ++events;
    memset(claim, 0xdb, sizeof *claim); /* nobody looks at it any more */
}

static void on_mine(struct sl_claim *claim)
{
    struct taker *taker = SL_CONTAINER_OF(claim, struct taker, claim);
    assert_int_equal(taker->got, 0);
    taker->got = ++events;
}

static void on_wanted(struct sl_claim *claim)
{
    struct taker *taker = SL_CONTAINER_OF(claim, struct taker, claim);
    assert_true(taker->got > 0 && taker->wanted == 0);
    taker->wanted = ++events;
    if (taker->gives_when_wanted)
        sl_claim_give(claim, on_given);
}

static void take(struct taker *taker, unsigned box)
{
    sl_claim_take(uploads, &taker->claim, ID, &boxes[box], on_mine, on_wanted);
}

static void claims_come_later_in_order_and_one_at_a_time(void **state)
{
    enum { TAKERS = 6 };
    struct taker takers[TAKERS] = {0}, other = {0};
    events = 0;
    for (unsigned i = 0; i < TAKERS; i++)
        take(&takers[i], i % 2);
    assert_int_equal(events, 0); /* never inside the call */
    for (unsigned i = 0; i < TAKERS; i++) {
        events = 0;
        assert_true(sl_mailbox_is_empty(&boxes[(i + 1) % 2])); /* nobody else has any */
        sl_mailbox_run(&boxes[i % 2]);
        assert_int_equal(takers[i].got, 1);
        assert_int_equal(takers[i].wanted, i == TAKERS - 1 ? 0 : 2);
        if (i == 2) { /* another upload does not wait */
            sl_claim_take(uploads, &other.claim, OTHER, &boxes[1], on_mine, on_wanted);
            sl_mailbox_run(&boxes[1]);
            assert_int_equal(other.got, 3);
            sl_claim_give(&other.claim, on_given);
            sl_mailbox_run(&boxes[1]);
            assert_int_equal(other.given, 4);
        }
        sl_claim_give(&takers[i].claim, on_given);
        assert_int_equal(takers[i].given, 0);
        if (i + 1 < TAKERS)
            assert_int_equal(takers[i + 1].got, 0);
        sl_mailbox_run(&boxes[i % 2]);
        assert_int_not_equal(takers[i].given, 0);
    }
}

static void wanted_is_told_once_however_many_wait(void **state)
{
    struct taker takers[3] = {0};
    take(&takers[0], 0);
    sl_mailbox_run(&boxes[0]);
    assert_int_equal(takers[0].wanted, 0);
    take(&takers[1], 1);
    assert_int_equal(takers[0].wanted, 0); /* not inside the call of another */
    sl_mailbox_run(&boxes[0]);
    assert_int_not_equal(takers[0].wanted, 0);
    take(&takers[2], 0);
    assert_true(sl_mailbox_is_empty(&boxes[0]));
    for (unsigned i = 0; i < 3; i++) {
        sl_claim_give(&takers[i].claim, on_given);
        for (unsigned j = 0; j < 2; j++)
            sl_mailbox_run(&boxes[j]);
        assert_int_not_equal(takers[i].given, 0);
    }
}

static void give_in_wanted_is_fine(void **state)
{
    struct taker first = {.gives_when_wanted = true}, second = {0};
    take(&first, 0);
    take(&second, 1);
    sl_mailbox_run(&boxes[0]);
    assert_int_not_equal(first.wanted, 0);
    assert_int_equal(first.given, 0);
    sl_mailbox_run(&boxes[0]);
    sl_mailbox_run(&boxes[1]);
    assert_int_not_equal(first.given, 0);
    assert_int_not_equal(second.got, 0);
    sl_claim_give(&second.claim, on_given);
    sl_mailbox_run(&boxes[1]);
}

static void give_while_wanted_is_under_way_tells_it_no_more(void **state)
{
    struct taker first = {0}, second = {0};
    take(&first, 0);
    sl_mailbox_run(&boxes[0]);
    take(&second, 1); /* its mail lies in box 0 now */
    sl_claim_give(&first.claim, on_given);
    assert_int_equal(first.given, 0);
    sl_mailbox_run(&boxes[1]); /* who waited need not wait for that */
    assert_int_not_equal(second.got, 0);
    assert_int_equal(first.given, 0);
    sl_mailbox_run(&boxes[0]);
    assert_int_not_equal(first.given, 0);
    assert_int_equal(first.wanted, 0);
    assert_true(sl_mailbox_is_empty(&boxes[0]));
    sl_claim_give(&second.claim, on_given);
    sl_mailbox_run(&boxes[1]);
    assert_int_not_equal(second.given, 0);
}

static void try_takes_only_what_nobody_holds(void **state)
{
    struct taker reaper = {0}, client = {0};
    assert_true(sl_claim_try(uploads, &reaper.claim, ID, &boxes[0]));
    take(&client, 1);
    assert_true(sl_mailbox_is_empty(&boxes[0])); /* it is not told */
    sl_claim_give(&reaper.claim, on_given);
    sl_mailbox_run(&boxes[1]);
    sl_mailbox_run(&boxes[0]);
    assert_int_not_equal(client.got, 0);
    assert_int_not_equal(reaper.given, 0);

    reaper = (struct taker){0};
    assert_false(sl_claim_try(uploads, &reaper.claim, ID, &boxes[0]));
    assert_null(reaper.claim.uploads);
    assert_true(sl_mailbox_is_empty(&boxes[1])); /* it disturbs nobody */
    sl_claim_give(&client.claim, on_given);
    sl_mailbox_run(&boxes[1]);
    assert_true(sl_claim_try(uploads, &reaper.claim, ID, &boxes[0]));
    sl_claim_give(&reaper.claim, on_given);
    sl_mailbox_run(&boxes[0]);
}

/* ---- who: a thread for each loop ---- */

#define THREADS 3u
#define IDS     3u
#define EACH    2u /* claims that one loop has on each */
#define ROUNDS  2000u

struct runner {
    struct sl_mailbox box;
    struct runner_claim {
        struct sl_claim claim;
        struct runner *runner;
        unsigned id, rounds;
        bool is_mine, is_wanted;
    } claims[EACH * IDS];
    unsigned done;
};

static unsigned guarded[IDS]; /* by the claim alone: a thread sanitizer sees when it is not */

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void runner_take(struct runner_claim *mine);

static void on_runner_given(struct sl_claim *claim)
{
    struct runner_claim *mine = SL_CONTAINER_OF(claim, struct runner_claim, claim);
    must(!mine->is_mine && claim->uploads == NULL);
    if (++mine->rounds < ROUNDS)
        runner_take(mine);
    else
        mine->runner->done++;
}

static void runner_give(struct runner_claim *mine)
{
    mine->is_mine = false;
    guarded[mine->id]++;
    sl_claim_give(&mine->claim, on_runner_given);
}

/* At first it holds on every other time until somebody wants it, at least the other one of this loop; in the last
 * rounds nobody may be left to want it. */
static void on_runner_mine(struct sl_claim *claim)
{
    struct runner_claim *mine = SL_CONTAINER_OF(claim, struct runner_claim, claim);
    must(!mine->is_mine);
    mine->is_mine = true;
    guarded[mine->id]++;
    if (mine->rounds % 2 == 0 || mine->rounds > ROUNDS / 4)
        runner_give(mine);
}

static void on_runner_wanted(struct sl_claim *claim)
{
    struct runner_claim *mine = SL_CONTAINER_OF(claim, struct runner_claim, claim);
    must(mine->is_mine && !mine->is_wanted);
    mine->is_wanted = true;
    runner_give(mine);
}

static void runner_take(struct runner_claim *mine)
{
    char id[SL_STORE_ID_BYTES] = ID;
    id[0] = (char)('a' + mine->id);
    mine->is_wanted = false;
    sl_claim_take(uploads, &mine->claim, id, &mine->runner->box, on_runner_mine, on_runner_wanted);
}

static void *run(void *arg)
{
    struct runner *runner = arg;
    for (unsigned i = 0; i < EACH * IDS; i++) {
        runner->claims[i] = (struct runner_claim){.runner = runner, .id = i % IDS};
        runner_take(&runner->claims[i]);
    }
    while (runner->done < EACH * IDS) {
        struct pollfd watched = {.fd = runner->box.fd, .events = POLLIN};
        must(poll(&watched, 1, 10000) == 1);
        sl_mailbox_run(&runner->box);
    }
    return NULL;
}

static void claims_of_many_threads_exclude_each_other(void **state)
{
    static struct runner runners[THREADS];
    pthread_t threads[THREADS];
    memset(guarded, 0, sizeof guarded);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(sl_mailbox_init(&runners[i].box), SL_OK);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < IDS; i++)
        assert_int_equal(guarded[i], 2 * EACH * THREADS * ROUNDS);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_true(sl_mailbox_is_empty(&runners[i].box));
        sl_mailbox_dispose(&runners[i].box);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(admit_stops_at_the_last_place, setup, teardown),
        cmocka_unit_test_setup_teardown(admit_stops_at_the_last_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(count_is_never_refused_and_never_wraps, setup, teardown),
        cmocka_unit_test(each_owner_has_its_own_limit),
        cmocka_unit_test_setup_teardown(without_a_limit_no_owner_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_come_later_in_order_and_one_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(wanted_is_told_once_however_many_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(give_in_wanted_is_fine, setup, teardown),
        cmocka_unit_test_setup_teardown(give_while_wanted_is_under_way_tells_it_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(try_takes_only_what_nobody_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_of_many_threads_exclude_each_other, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
