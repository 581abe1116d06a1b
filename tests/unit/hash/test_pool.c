#include "sluice/hash/hash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define ALL_ALGS   ((sl_hash_set)((1u << SL_HASH_ALGS) - 1))
#define JOBS_MAX   10001
#define DATA_BYTES (3u * 1024 * 1024)

static unsigned char data[DATA_BYTES];
static uint32_t random_state = 1;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Counts what OpenSSL allocates. */
static atomic_uint openssl_mallocs;

static void *counting_malloc(size_t len, const char *file, int line)
{
    atomic_fetch_add(&openssl_mallocs, 1);
    return malloc(len);
}

static void *counting_realloc(void *old, size_t len, const char *file, int line)
{
    atomic_fetch_add(&openssl_mallocs, 1);
    return realloc(old, len);
}

static void counting_free(void *old, const char *file, int line)
{
    free(old);
}

/* One upload: a lane, its jobs in the order of feeding, and what came back. */
struct upload {
    struct sl_hash_lane lane;
    struct sl_hash_job *jobs;
    size_t fed, done;
    bool is_ended;
    bool is_calling; /* a call of the pool is on the stack */
    pthread_t owner;
};

static void on_job_done(struct sl_hash_job *job, void *ctx)
{
    struct upload *u = ctx;
    assert_false(u->is_calling);
    assert_true(pthread_equal(pthread_self(), u->owner));
    assert_ptr_equal(job, &u->jobs[u->done]); /* in the order of feeding */
    assert_null(job->on_done);                /* idle again */
    u->done++;
    if (job->data == NULL && job->state_out == NULL)
        u->is_ended = true;
}

static void upload_open(struct upload *u, struct sl_hash_pool *pool, sl_hash_set set, struct sl_mailbox *box)
{
    *u = (struct upload){.owner = pthread_self(), .jobs = calloc(JOBS_MAX, sizeof *u->jobs)};
    assert_non_null(u->jobs);
    assert_int_equal(sl_hash_lane_open(&u->lane, pool, set, box), SL_OK);
}

static void upload_feed(struct upload *u, const void *base, size_t len)
{
    u->is_calling = true;
    sl_hash_lane_feed(&u->lane, &u->jobs[u->fed++], base, len, on_job_done, u);
    u->is_calling = false;
}

static void upload_save(struct upload *u, struct sl_hash_state *state_out)
{
    u->is_calling = true;
    sl_hash_lane_save(&u->lane, &u->jobs[u->fed++], state_out, on_job_done, u);
    u->is_calling = false;
}

static void upload_finish(struct upload *u)
{
    u->is_calling = true;
    sl_hash_lane_finish(&u->lane, &u->jobs[u->fed++], on_job_done, u);
    u->is_calling = false;
}

static void upload_close(struct upload *u)
{
    assert_int_equal(u->lane.inflight, 0);
    sl_hash_lane_close(&u->lane);
    free(u->jobs);
    u->jobs = NULL;
}

static void run_one_turn(struct sl_mailbox *box)
{
    struct pollfd p = {.fd = box->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60 * 1000), 1);
    sl_mailbox_run(box);
}

static void run_until_arrived(struct sl_mailbox *box, struct upload *u)
{
    while (u->done < u->fed)
        run_one_turn(box);
}

static void assert_digests_of(const struct upload *u, const void *base, size_t len)
{
    struct sl_digests expected;
    assert_true(u->is_ended);
    sl_hash_now(u->lane.digests.set, base, len, &expected);
    assert_memory_equal(&u->lane.digests, &expected, sizeof expected);
}

static void feed_many_lanes_digests_equal_hash_now(void **state)
{
    static const struct {
        unsigned lanes, threads;
    } cases[] = {{1, 1}, {7, 1}, {64, 1}, {1, 3}, {7, 3}, {64, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sl_mailbox box;
        struct upload uploads[64];
        size_t starts[64], ends[64], at[64];
        unsigned lanes = cases[c].lanes, open = lanes;
        assert_int_equal(sl_mailbox_init(&box), SL_OK);
        struct sl_hash_pool *pool = sl_hash_pool_create(cases[c].threads);
        for (unsigned i = 0; i < lanes; i++) {
            starts[i] = at[i] = next_random() % (DATA_BYTES / 2);
            ends[i] = starts[i] + next_random() % (DATA_BYTES / 8);
            /* Sets rotate, so several algorithms go in one pass and strands change their set. */
            upload_open(&uploads[i], pool, i % ALL_ALGS + 1, &box);
        }
        while (open > 0) {
            unsigned i = next_random() % lanes;
            if (uploads[i].lane.is_finished)
                continue;
            size_t len = 1 + next_random() % (64 * 1024);
            if (len > ends[i] - at[i])
                len = ends[i] - at[i];
            if (len > 0) {
                upload_feed(&uploads[i], data + at[i], len);
                at[i] += len;
            } else {
                upload_finish(&uploads[i]);
                open--;
            }
        }
        for (unsigned i = 0; i < lanes; i++) {
            run_until_arrived(&box, &uploads[i]);
            assert_digests_of(&uploads[i], data + starts[i], ends[i] - starts[i]);
            upload_close(&uploads[i]);
        }
        sl_hash_pool_destroy(pool);
        sl_mailbox_dispose(&box);
    }
}

/* Each test below has a pool of 3 threads and a mailbox. */
struct fixture {
    struct sl_hash_pool *pool;
    struct sl_mailbox box;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(sl_mailbox_init(&f->box), SL_OK);
    f->pool = sl_hash_pool_create(3);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sl_hash_pool_destroy(f->pool);
    sl_mailbox_dispose(&f->box);
    free(f);
    return 0;
}

static void finish_nothing_fed_gives_digest_of_nothing(void **state)
{
    struct fixture *f = *state;
    struct upload u;
    upload_open(&u, f->pool, ALL_ALGS, &f->box);
    upload_finish(&u);
    run_until_arrived(&f->box, &u);
    assert_digests_of(&u, "", 0);
    upload_close(&u);
}

static void feed_ten_thousand_small_jobs_arrive_in_order(void **state)
{
    struct fixture *f = *state;
    struct upload u;
    size_t at = 0;
    upload_open(&u, f->pool, ALL_ALGS, &f->box);
    for (int i = 0; i < 10000; i++) {
        size_t len = 1 + next_random() % 100;
        upload_feed(&u, data + at, len);
        at += len;
        if (i % 1000 == 999)
            run_one_turn(&f->box);
    }
    upload_finish(&u);
    assert_int_equal(u.fed, 10001);
    run_until_arrived(&f->box, &u);
    assert_int_equal(u.done, 10001);
    assert_digests_of(&u, data, at);
    upload_close(&u);
}

static void feed_one_job_reused_byte_by_byte_gives_digest(void **state)
{
    struct fixture *f = *state;
    struct upload u;
    upload_open(&u, f->pool, ALL_ALGS, &f->box);
    for (size_t i = 0; i < 300; i++) {
        u.fed = u.done = 0;
        upload_feed(&u, data + i, 1);
        run_until_arrived(&f->box, &u);
    }
    u.fed = u.done = 0;
    upload_finish(&u);
    run_until_arrived(&f->box, &u);
    assert_digests_of(&u, data, 300);
    upload_close(&u);
}

static void close_without_finish_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++) {
        struct upload u;
        upload_open(&u, f->pool, ALL_ALGS, &f->box);
        for (int fed = 0; fed < i % 3; fed++)
            upload_feed(&u, data, 1000);
        run_until_arrived(&f->box, &u);
        upload_close(&u);
        sl_hash_lane_close(&u.lane); /* a closed lane is fine */
    }
    /* What was left unfinished does not show in the next digest. */
    struct upload u;
    upload_open(&u, f->pool, ALL_ALGS, &f->box);
    upload_feed(&u, data, 10);
    upload_finish(&u);
    run_until_arrived(&f->box, &u);
    assert_digests_of(&u, data, 10);
    upload_close(&u);
    struct sl_hash_lane zeroed = {0};
    sl_hash_lane_close(&zeroed);
}

/* A lane that goes on from `from`, is fed what is left of `len` bytes and ends with the digests of all. */
static void expect_resumed(struct fixture *f, const struct sl_hash_state *from, size_t len)
{
    struct upload u = {.owner = pthread_self(), .jobs = calloc(2, sizeof *u.jobs)};
    sl_hash_set set;
    uint64_t digested;
    assert_int_equal(sl_hash_state_check(from, &set, &digested), SL_OK);
    assert_int_equal(sl_hash_lane_resume(&u.lane, f->pool, from, &f->box), SL_OK);
    if (digested < len)
        upload_feed(&u, data + digested, len - digested);
    upload_finish(&u);
    run_until_arrived(&f->box, &u);
    assert_digests_of(&u, data, len);
    upload_close(&u);
}

#define SAVES 40

/* Nothing waits for a save: more is fed behind it at once, by bytes and by MiB. */
static void save_while_more_is_fed_holds_what_was_before(void **state)
{
    struct fixture *f = *state;
    struct upload u;
    static struct sl_hash_state states[SAVES];
    size_t digested[SAVES], at = 0;
    upload_open(&u, f->pool, ALL_ALGS, &f->box);
    for (unsigned i = 0; i < SAVES; i++) {
        size_t len = i % 4 == 0 ? 0 : 1 + next_random() % (i % 4 == 1 ? 200 : 100 * 1000);
        if (len > 0)
            upload_feed(&u, data + at, len);
        at += len;
        digested[i] = at;
        upload_save(&u, &states[i]);
    }
    upload_feed(&u, data + at, 12345);
    upload_finish(&u);
    run_until_arrived(&f->box, &u);
    assert_digests_of(&u, data, at + 12345);
    upload_close(&u);
    for (unsigned i = 0; i < SAVES; i++) {
        sl_hash_set set;
        uint64_t bytes;
        assert_int_equal(sl_hash_state_check(&states[i], &set, &bytes), SL_OK);
        assert_int_equal(set, ALL_ALGS);
        assert_int_equal(bytes, digested[i]);
        expect_resumed(f, &states[i], at + 12345);
    }
}

/* As an upload that is cut again and again: each lane lives for one stretch. */
static void resume_chain_of_lanes_ends_as_one(void **state)
{
    struct fixture *f = *state;
    struct sl_hash_state saved;
    sl_hash_state_begin(&saved, 1u << SL_HASH_SHA256 | 1u << SL_HASH_MD5);
    for (size_t at = 0, len; at < 100 * 1000; at += len) {
        struct upload u = {.owner = pthread_self(), .jobs = calloc(2, sizeof *u.jobs)};
        len = next_random() % 3000;
        assert_int_equal(sl_hash_lane_resume(&u.lane, f->pool, &saved, &f->box), SL_OK);
        if (len > 0)
            upload_feed(&u, data + at, len);
        upload_save(&u, &saved);
        run_until_arrived(&f->box, &u);
        assert_false(u.is_ended);
        upload_close(&u);
        expect_resumed(f, &saved, at + len);
        expect_resumed(f, &saved, at + len + 1);
    }
}

static void run_small_uploads(struct sl_hash_pool *pool, struct sl_mailbox *box, int count)
{
    for (int i = 0; i < count; i++) {
        struct sl_hash_job jobs[2] = {0};
        struct upload u = {.owner = pthread_self(), .jobs = jobs};
        assert_int_equal(sl_hash_lane_open(&u.lane, pool, ALL_ALGS, box), SL_OK);
        upload_feed(&u, data + i, 100);
        upload_finish(&u);
        run_until_arrived(box, &u);
        assert_true(u.is_ended);
        sl_hash_lane_close(&u.lane);
    }
}

static void open_allocates_nothing_of_openssl(void **state)
{
    struct sl_mailbox box;
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    struct sl_hash_pool *pool = sl_hash_pool_create(1);
    unsigned before = atomic_load(&openssl_mallocs);
    run_small_uploads(pool, &box, 1000);
    assert_int_equal(atomic_load(&openssl_mallocs), before);
    sl_hash_pool_destroy(pool);
    sl_mailbox_dispose(&box);
}

#define LOOPS 4

struct loop {
    struct sl_hash_pool *pool;
    size_t start;
    uint32_t fed_bytes;
    struct sl_digests digests;
};

/* A loop of its own, with its own mailbox: nothing but the pool is shared. */
static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    struct sl_mailbox box;
    struct upload u;
    if (sl_mailbox_init(&box) != SL_OK)
        abort();
    for (int round = 0; round < 20; round++) {
        upload_open(&u, loop->pool, ALL_ALGS, &box);
        for (size_t at = 0; at < loop->fed_bytes; at += 4096)
            upload_feed(&u, data + loop->start + at, 4096);
        upload_finish(&u);
        run_until_arrived(&box, &u);
        loop->digests = u.lane.digests;
        upload_close(&u);
    }
    run_small_uploads(loop->pool, &box, 50);
    return NULL;
}

static void feed_from_several_loops_each_gets_its_own(void **state)
{
    struct sl_hash_pool *pool = sl_hash_pool_create(3);
    pthread_t threads[LOOPS];
    struct loop loops[LOOPS];
    for (size_t i = 0; i < LOOPS; i++) {
        loops[i] = (struct loop){.pool = pool, .start = i * 1000, .fed_bytes = (uint32_t)(i + 1) * 16384};
        assert_int_equal(pthread_create(&threads[i], NULL, loop_main, &loops[i]), 0);
    }
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sl_hash_pool_destroy(pool);
    for (size_t i = 0; i < LOOPS; i++) {
        struct sl_digests expected;
        sl_hash_now(ALL_ALGS, data + loops[i].start, loops[i].fed_bytes, &expected);
        assert_memory_equal(&loops[i].digests, &expected, sizeof expected);
    }
}

/* The youngest thread of this process that the kernel knows as `wanted`; 0: none. */
static pid_t find_thread(const char *wanted)
{
    pid_t found = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *comm = fopen(path, "re");
        if (comm == NULL)
            continue;
        (void)!fgets(name, sizeof name, comm); /* fails when the thread is just ending */
        fclose(comm);
        name[strcspn(name, "\n")] = '\0';
        if (strcmp(name, wanted) == 0)
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    closedir(tasks);
    return found;
}

static void pool_create_three_threads_all_are_named(void **state)
{
    assert_true(find_thread("sl-hash-0") > 0);
    assert_true(find_thread("sl-hash-1") > 0);
    assert_true(find_thread("sl-hash-2") > 0);
    assert_int_equal(find_thread("sl-hash-3"), 0);
}

static void pool_create_thread_that_worked_is_batch_and_nice(void **state)
{
    struct sl_mailbox box;
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    struct sl_hash_pool *pool = sl_hash_pool_create(1);
    run_small_uploads(pool, &box, 1);
    pid_t thread = find_thread("sl-hash-0");
    assert_true(thread > 0);
    assert_int_equal(sched_getscheduler(thread), SCHED_BATCH);
    assert_true(getpriority(PRIO_PROCESS, (id_t)thread) >= 10);
    sl_hash_pool_destroy(pool);
    sl_mailbox_dispose(&box);
}

static void pool_destroy_null_or_unused_returns(void **state)
{
    sl_hash_pool_destroy(NULL);
    sl_hash_pool_destroy(sl_hash_pool_create(3));
}

int main(void)
{
    if (!CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free))
        return 1;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)next_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feed_many_lanes_digests_equal_hash_now),
        cmocka_unit_test_setup_teardown(finish_nothing_fed_gives_digest_of_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_ten_thousand_small_jobs_arrive_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_one_job_reused_byte_by_byte_gives_digest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_without_finish_leaves_nothing_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(save_while_more_is_fed_holds_what_was_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resume_chain_of_lanes_ends_as_one, set_up, tear_down),
        cmocka_unit_test(open_allocates_nothing_of_openssl),
        cmocka_unit_test(feed_from_several_loops_each_gets_its_own),
        cmocka_unit_test_setup_teardown(pool_create_three_threads_all_are_named, set_up, tear_down),
        cmocka_unit_test(pool_create_thread_that_worked_is_batch_and_nice),
        cmocka_unit_test(pool_destroy_null_or_unused_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
