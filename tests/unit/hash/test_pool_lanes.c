/* How the pool shares vectors. Its kernel here is a stand-in that works anywhere, counts, and can be held up; the
 * random schedules run the real ones too. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "hash/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHA256_ALONE (1u << SL_HASH_SHA256)
#define MD5_ALONE    (1u << SL_HASH_MD5)
#define DATA_BYTES   ((size_t)4 * 1024 * 1024)
#define LANES        4
#define JOBS_MAX     64

static unsigned char data[DATA_BYTES];
static uint32_t random_state = 1;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* ---- the stand-in: lanes one after the other ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool is_gated;       /* each run waits for a permit */
    unsigned permits;    /* so many may go on */
    unsigned begun;      /* runs */
    unsigned busy[4096]; /* lanes of each that held a stream */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

/* Idle lanes are given the data of the first. */
static unsigned count_busy(const unsigned char *const blocks[])
{
    unsigned busy = 1;
    for (unsigned lane = 1; lane < LANES; lane++)
        busy += blocks[lane] != blocks[0];
    return busy;
}

static void run_stand_in(uint32_t *const words[], const unsigned char *const blocks[], size_t count)
{
    pthread_mutex_lock(&gate.lock);
    if (gate.begun < sizeof gate.busy / sizeof *gate.busy)
        gate.busy[gate.begun] = count_busy(blocks);
    gate.begun++;
    pthread_cond_broadcast(&gate.moved);
    while (gate.is_gated && gate.permits == 0)
        pthread_cond_wait(&gate.moved, &gate.lock);
    gate.permits -= gate.is_gated;
    pthread_mutex_unlock(&gate.lock);
    for (unsigned lane = 0; lane < LANES; lane++) {
        SHA256_CTX ctx = {.md_len = SHA256_DIGEST_LENGTH};
        memcpy(ctx.h, words[lane], sizeof ctx.h);
        for (size_t i = 0; i < count; i++)
            SHA256_Transform(&ctx, blocks[lane] + i * SHA256_CBLOCK);
        memcpy(words[lane], ctx.h, sizeof ctx.h);
    }
}

static const struct sl_sha256_kernel stand_in = {"stand-in", LANES, 2, run_stand_in};

static void gate_reset(bool is_gated)
{
    pthread_mutex_lock(&gate.lock);
    gate.is_gated = is_gated;
    gate.permits = gate.begun = 0;
    pthread_mutex_unlock(&gate.lock);
}

static void gate_permit(unsigned runs)
{
    pthread_mutex_lock(&gate.lock);
    gate.permits += runs;
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_open(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.is_gated = false;
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.lock);
}

/* How many lanes hold a stream in run number `run` (the first is 0), once it has begun. */
static unsigned gate_await(unsigned run)
{
    struct timespec patience;
    clock_gettime(CLOCK_REALTIME, &patience);
    patience.tv_sec += 60;
    pthread_mutex_lock(&gate.lock);
    while (gate.begun <= run)
        assert_int_equal(pthread_cond_timedwait(&gate.moved, &gate.lock, &patience), 0);
    unsigned busy = gate.busy[run];
    pthread_mutex_unlock(&gate.lock);
    return busy;
}

/* The pool may have begun with those who came first; the others join when it goes on. */
static void gate_await_full(void)
{
    unsigned run = 0;
    while (gate_await(run) < LANES) {
        assert_in_range(run, 0, 9);
        gate_permit(1);
        run++;
    }
}

/* ---- uploads ---- */

struct upload {
    struct sl_hash_lane lane;
    struct sl_hash_job jobs[JOBS_MAX];
    unsigned fed, done;
    size_t start, at; /* [start, at) of data was fed */
    struct sl_hash_state saved;
    size_t saved_at;
    bool has_saved;
    unsigned finished_as; /* 1: it was the first to end */
};

static unsigned ends;

static void on_job_done(struct sl_hash_job *job, void *ctx)
{
    struct upload *u = ctx;
    assert_ptr_equal(job, &u->jobs[u->done]); /* in the order of feeding */
    u->done++;
    if (job->data == NULL && job->state_out == NULL)
        u->finished_as = ++ends;
}

static void upload_open(struct upload *u, struct sl_hash_pool *pool, sl_hash_set set, struct sl_mailbox *box)
{
    *u = (struct upload){.start = next_random() % 1000};
    u->at = u->start;
    assert_int_equal(sl_hash_lane_open(&u->lane, pool, set, box), SL_OK);
}

static void upload_feed(struct upload *u, size_t len)
{
    sl_hash_lane_feed(&u->lane, &u->jobs[u->fed++], data + u->at, len, on_job_done, u);
    u->at += len;
}

static void upload_finish(struct upload *u)
{
    sl_hash_lane_finish(&u->lane, &u->jobs[u->fed++], on_job_done, u);
}

static void run_until_done(struct sl_mailbox *box, const struct upload *u)
{
    while (u->done < u->fed) {
        struct pollfd p = {.fd = box->fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 60 * 1000), 1);
        sl_mailbox_run(box);
    }
}

static void assert_digests(const struct upload *u)
{
    struct sl_digests expected;
    sl_hash_now(u->lane.digests.set, data + u->start, u->at - u->start, &expected);
    assert_memory_equal(&u->lane.digests, &expected, sizeof expected);
}

static void upload_close(struct upload *u, struct sl_mailbox *box)
{
    run_until_done(box, u);
    if (u->lane.is_finished)
        assert_digests(u);
    sl_hash_lane_close(&u->lane);
}

/* One thread, so that what it does next is known. */
struct fixture {
    struct sl_hash_pool *pool;
    struct sl_mailbox box;
};

static int set_up(void **state)
{
    static struct fixture f;
    assert_int_equal(sl_mailbox_init(&f.box), SL_OK);
    f.pool = sl_hash_pool_create_with(1, &stand_in);
    *state = &f;
    ends = 0;
    gate_reset(true);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sl_hash_pool_destroy(f->pool);
    sl_mailbox_dispose(&f->box);
    return 0;
}

/* Opens uploads and feeds a block and then `len` bytes to each, so that the thread finds all of them: as long as it
 * cannot post, it ends no more than one block. */
static void begin_together(struct fixture *f, struct upload uploads[], unsigned count, size_t len)
{
    pthread_mutex_lock(&f->box.lock);
    for (unsigned i = 0; i < count; i++) {
        upload_open(&uploads[i], f->pool, SHA256_ALONE, &f->box);
        upload_feed(&uploads[i], SHA256_CBLOCK);
        upload_feed(&uploads[i], len);
    }
    pthread_mutex_unlock(&f->box.lock);
}

static void feed_single_stream_never_waits_and_shares_nothing(void **state)
{
    struct fixture *f = *state;
    struct upload u;
    upload_open(&u, f->pool, SHA256_ALONE, &f->box);
    upload_feed(&u, 1000 * 1000);
    upload_feed(&u, 100);
    upload_finish(&u);
    upload_close(&u, &f->box); /* the gate is shut: it would wait there */
    assert_int_equal(gate.begun, 0);
}

static void feed_other_algorithms_share_nothing(void **state)
{
    static const sl_hash_set sets[] = {MD5_ALONE, SHA256_ALONE | MD5_ALONE, 1u << SL_HASH_CRC32C,
                                       1u << SL_HASH_SHA512};
    struct fixture *f = *state;
    struct upload uploads[4];
    for (unsigned i = 0; i < 4; i++) {
        upload_open(&uploads[i], f->pool, sets[i], &f->box);
        upload_feed(&uploads[i], 500 * 1000);
        upload_finish(&uploads[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        upload_close(&uploads[i], &f->box);
    assert_int_equal(gate.begun, 0);
}

static void feed_several_streams_fill_the_lanes(void **state)
{
    struct fixture *f = *state;
    struct upload uploads[LANES + 2];
    begin_together(f, uploads, LANES + 2, 100 * 1000);
    gate_await_full();
    gate_open();
    for (unsigned i = 0; i < LANES + 2; i++) {
        upload_finish(&uploads[i]);
        upload_close(&uploads[i], &f->box);
    }
}

/* Does the pool's only thread sleep? */
static bool is_thread_asleep(void)
{
    bool is_asleep = false;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "", state = '?';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *stat = fopen(path, "re");
        if (stat == NULL)
            continue;
        if (fscanf(stat, "%*d (%31[^)]) %c", name, &state) == 2 && strcmp(name, "sl-hash-0") == 0)
            is_asleep = state == 'S';
        fclose(stat);
    }
    closedir(tasks);
    return is_asleep;
}

static void await_thread_asleep(void)
{
    while (!is_thread_asleep())
        sched_yield();
}

/* The long one is with the thread when the other comes: a mailbox holds it up, where its first block cannot be
 * posted. */
static void expect_group_of_two(struct fixture *f, struct sl_mailbox *ahead_box, struct sl_mailbox *long_box)
{
    struct upload ahead, first, second;
    gate_reset(false);
    pthread_mutex_lock(&long_box->lock);
    pthread_mutex_lock(&ahead_box->lock);
    upload_open(&ahead, f->pool, SHA256_ALONE, ahead_box);
    upload_feed(&ahead, 1);
    await_thread_asleep();
    upload_open(&first, f->pool, SHA256_ALONE, long_box);
    upload_feed(&first, SHA256_CBLOCK);
    upload_feed(&first, 1000 * 1000);
    pthread_mutex_unlock(&ahead_box->lock);
    run_until_done(ahead_box, &ahead);
    await_thread_asleep();
    upload_open(&second, f->pool, SHA256_ALONE, &f->box);
    upload_feed(&second, 1000 * 1000);
    pthread_mutex_unlock(&long_box->lock);
    run_until_done(long_box, &first);
    run_until_done(&f->box, &second);
    assert_true(gate.begun > 30); /* strides of 16 KiB */
    upload_finish(&first);
    upload_finish(&second);
    upload_close(&ahead, ahead_box);
    upload_close(&first, long_box);
    upload_close(&second, &f->box);
}

static void feed_behind_a_long_single_stream_makes_a_group_of_them(void **state)
{
    struct fixture *f = *state;
    struct sl_mailbox ahead_box, long_box;
    assert_int_equal(sl_mailbox_init(&ahead_box), SL_OK);
    assert_int_equal(sl_mailbox_init(&long_box), SL_OK);
    expect_group_of_two(f, &ahead_box, &long_box);
    sl_mailbox_dispose(&ahead_box);
    sl_mailbox_dispose(&long_box);
}

/* Who comes while others run is let in at the next stride, and does not wait for their end. */
static void feed_while_others_run_joins_them(void **state)
{
    struct fixture *f = *state;
    struct upload uploads[2], small;
    begin_together(f, uploads, 2, 1000 * 1000);
    assert_int_equal(gate_await(0), 2);
    upload_open(&small, f->pool, SHA256_ALONE, &f->box);
    upload_feed(&small, 100);
    upload_feed(&small, 28 + 64 * 10); /* the 28 fill its second block */
    upload_finish(&small);
    gate_permit(8); /* the others need 60 */
    assert_int_equal(gate_await(1), 3);
    upload_close(&small, &f->box);
    assert_true(small.lane.pool == NULL && small.finished_as == 1);
    assert_true(uploads[0].done < 2 && uploads[1].done < 2);
    gate_open();
    for (unsigned i = 0; i < 2; i++) {
        upload_finish(&uploads[i]);
        upload_close(&uploads[i], &f->box);
    }
}

/* With more to do than can be done, every queue has its turn. */
static void feed_other_algorithm_behind_a_full_group_has_its_turn(void **state)
{
    struct fixture *f = *state;
    struct upload late, uploads[LANES];
    begin_together(f, uploads, LANES, 3 * 1024 * 1024);
    gate_await_full();
    for (unsigned i = 0; i < LANES; i++)
        upload_finish(&uploads[i]);
    upload_open(&late, f->pool, MD5_ALONE, &f->box);
    upload_feed(&late, 1000);
    upload_finish(&late);
    gate_open();
    for (unsigned i = 0; i < LANES; i++)
        upload_close(&uploads[i], &f->box);
    upload_close(&late, &f->box);
    assert_int_equal(late.finished_as, 1);
}

/* ---- random schedules ---- */

/* An upload that was cut is gone on with from its saved state, in another lane. */
static void upload_reopen(struct upload *u, struct sl_hash_pool *pool, struct sl_mailbox *box)
{
    run_until_done(box, u);
    sl_hash_lane_close(&u->lane); /* what was fed behind the save is lost */
    assert_int_equal(sl_hash_lane_resume(&u->lane, pool, &u->saved, box), SL_OK);
    u->at = u->saved_at;
    u->fed = u->done = 0;
}

static void upload_go_on(struct upload *u, struct sl_hash_pool *pool, struct sl_mailbox *box)
{
    unsigned what = next_random() % 12;
    size_t len = 1 + next_random() % (1u << next_random() % 19);
    if (u->fed == JOBS_MAX - 1 || what == 0 || len > DATA_BYTES - u->at) {
        upload_finish(u);
    } else if (what == 1) {
        run_until_done(box, u); /* the state is lent while it is being saved */
        u->fed = u->done = 0;
        u->saved_at = u->at;
        u->has_saved = true;
        sl_hash_lane_save(&u->lane, &u->jobs[u->fed++], &u->saved, on_job_done, u);
    } else if (what == 2 && u->has_saved) {
        upload_reopen(u, pool, box);
    } else {
        upload_feed(u, len);
    }
}

static void run_random_schedule(unsigned threads, const struct sl_sha256_kernel *kernel, unsigned count)
{
    struct sl_mailbox box;
    struct upload *uploads = calloc(count, sizeof *uploads);
    assert_non_null(uploads);
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    struct sl_hash_pool *pool = sl_hash_pool_create_with(threads, kernel);
    for (unsigned i = 0; i < count; i++)
        upload_open(&uploads[i], pool, i % 8 == 7 ? MD5_ALONE | SHA256_ALONE : SHA256_ALONE, &box);
    for (unsigned i = 0; i < count * 12; i++) {
        struct upload *u = &uploads[next_random() % count];
        if (!u->lane.is_finished)
            upload_go_on(u, pool, &box);
    }
    for (unsigned i = 0; i < count; i++) {
        if (!uploads[i].lane.is_finished && i % 5 > 0) /* the fifth is cancelled: closed without a digest */
            upload_finish(&uploads[i]);
        upload_close(&uploads[i], &box);
    }
    sl_hash_pool_destroy(pool);
    sl_mailbox_dispose(&box);
    free(uploads);
}

static void schedules_random_digests_equal_openssl(void **state)
{
    static const unsigned counts[] = {1, 2, 5, 16, 40};
    const struct sl_sha256_kernel *kernels[SL_SHA256_KERNELS_MAX + 2] = {NULL, &stand_in};
    unsigned kernel_count = 2 + sl_sha256_kernels(kernels + 2);
    gate_reset(false);
    for (unsigned k = 0; k < kernel_count; k++)
        for (unsigned c = 0; c < sizeof counts / sizeof *counts; c++)
            for (unsigned threads = 1; threads <= 3; threads += 2)
                run_random_schedule(threads, kernels[k], counts[c]);
    assert_true(gate.begun > 0);
}

int main(void)
{
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)next_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(feed_single_stream_never_waits_and_shares_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_other_algorithms_share_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_several_streams_fill_the_lanes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_while_others_run_joins_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_other_algorithm_behind_a_full_group_has_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feed_behind_a_long_single_stream_makes_a_group_of_them, set_up, tear_down),
        cmocka_unit_test(schedules_random_digests_equal_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
