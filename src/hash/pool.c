/* The threads that digest uploads while the disk writes them.
 *
 * A loop feeds jobs into a lane; the lane's strand holds them and stands in a queue while it has any. A thread takes a
 * strand, digests its jobs one after the other and posts each to the lane's home mailbox. A strand in a thread's hands
 * is in no queue, so its jobs stay in order.
 *
 * The strand, and not the lane, is what threads hold: the owner may close the lane as soon as its last job has
 * arrived, while the thread that posted it still has to look whether more was fed. Closed strands wait in a free
 * list and serve the next lane: there are never more of them than lanes were open at a time, and
 * as many for each thread as its vectors have lanes.
 *
 * Strands of SHA-256 alone have a queue of their own. Where many wait in it, a thread takes as many as its vectors have
 * lanes and goes on with all of them together, a stride at a time: who has no more bytes leaves, who waits comes in.
 * Nobody waits for company: as long as a thread is free it takes a single strand at once. Where none is, the processor
 * is what is short, strands queue up, and the vectors fill. */
#include "pool.h"

#include "strand.h"

#include "sluice/base/doing.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Loops come first: a busy loop delays everybody, a waiting digest only its upload. */
#define THREAD_NICE 10

/* Of each lane, until who waits is let in: some 50 to 100 us of all lanes together. */
#define STRIDE_BLOCKS ((size_t)16 * 1024 / SHA256_CBLOCK)
/* After so much of each lane strands of other algorithms have their turn, if there are any: a slab, as theirs are. */
#define TURN_STRIDES 64
/* Of a single strand, until the thread looks whether enough others wait to go on with them together. */
#define SLICE_BYTES ((size_t)64 * 1024)

struct sl_hash_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct sl_link single_queue; /* under lock, as all up to is_stopping */
    struct sl_link sharing_queue;
    unsigned sharing_waiting; /* in sharing_queue */
    unsigned spare_lanes;     /* of the groups that run now: so many that wait are let in soon */
    unsigned idle;            /* threads that wait for work, or were just woken for it */
    bool is_singles_turn;
    struct sl_link free_strands;
    unsigned open_lanes;
    bool is_stopping;
    const struct sl_sha256_kernel *kernel; /* fixed after create, as what follows; NULL: nobody shares */
    unsigned thread_count;
    pthread_t threads[];
};

/* --- queues; all with the lock held --- */

static struct sl_strand *strand_of(struct sl_link *link)
{
    return SL_CONTAINER_OF(link, struct sl_strand, link);
}

static void enqueue(struct sl_hash_pool *pool, struct sl_strand *strand)
{
    sl_list_append(strand->is_sharing ? &pool->sharing_queue : &pool->single_queue, &strand->link);
    pool->sharing_waiting += strand->is_sharing;
}

/* The oldest of a queue, with what was fed to it; NULL: none. */
static struct sl_strand *dequeue(struct sl_hash_pool *pool, struct sl_link *queue)
{
    struct sl_link *link = sl_list_shift(queue);
    if (link == NULL)
        return NULL;
    struct sl_strand *strand = strand_of(link);
    pool->sharing_waiting -= strand->is_sharing;
    sl_list_move_all(&strand->taken, &strand->jobs);
    return strand;
}

/* What is left, or was fed meanwhile, waits behind the other strands. */
static void release(struct sl_hash_pool *pool, struct sl_strand *strand)
{
    if (!sl_list_is_empty(&strand->taken) || !sl_list_is_empty(&strand->jobs)) {
        enqueue(pool, strand);
        return;
    }
    strand->is_scheduled = false;
    if (strand->is_closed)
        sl_list_append(&pool->free_strands, &strand->link);
}

/* Do enough wait, with `mine` more, for vectors to be cheaper? Those that a running group lets in do not count. */
static bool is_crowded(const struct sl_hash_pool *pool, unsigned mine)
{
    return pool->kernel != NULL && pool->sharing_waiting + mine >= pool->kernel->streams_min + pool->spare_lanes;
}

/* --- threads; entered and left with the lock held, digesting and posting without it --- */

static void run_single(struct sl_hash_pool *pool, struct sl_strand *strand)
{
    do {
        pthread_mutex_unlock(&pool->lock);
        sl_strand_run(strand, strand->is_sharing ? SLICE_BYTES : SIZE_MAX);
        pthread_mutex_lock(&pool->lock);
    } while (!sl_list_is_empty(&strand->taken) && !is_crowded(pool, 1));
    release(pool, strand);
}

static unsigned let_in(struct sl_hash_pool *pool, struct sl_strand *group[], unsigned count)
{
    while (count < pool->kernel->lanes && (group[count] = dequeue(pool, &pool->sharing_queue)) != NULL)
        count++;
    return count;
}

/* Those that have nothing left, or all. How many stay. */
static unsigned let_out(struct sl_hash_pool *pool, struct sl_strand *group[], unsigned count, bool is_over)
{
    unsigned staying = 0;
    for (unsigned i = 0; i < count; i++) {
        if (is_over || sl_list_is_empty(&group[i]->taken))
            release(pool, group[i]);
        else
            group[staying++] = group[i];
    }
    return staying;
}

/* A thread of its own is faster than a lane: those that have nothing to do get one strand each. How many stay. */
static unsigned give_away(struct sl_hash_pool *pool, struct sl_strand *group[], unsigned count)
{
    for (unsigned i = 0; i < pool->idle && count > 0; i++) {
        if (pool->sharing_waiting <= i)
            release(pool, group[--count]);
        pthread_cond_signal(&pool->has_work);
    }
    return count;
}

static void run_group(struct sl_hash_pool *pool)
{
    struct sl_strand *group[SL_SHA256_LANES_MAX];
    unsigned count = let_in(pool, group, 0);
    for (unsigned stride = 0; count >= pool->kernel->streams_min; stride++) {
        if (stride >= TURN_STRIDES && !sl_list_is_empty(&pool->single_queue))
            break;
        unsigned spare_lanes = pool->kernel->lanes - count;
        pool->spare_lanes += spare_lanes;
        pthread_mutex_unlock(&pool->lock);
        sl_strands_run(group, count, pool->kernel, STRIDE_BLOCKS);
        pthread_mutex_lock(&pool->lock);
        pool->spare_lanes -= spare_lanes;
        count = let_out(pool, group, count, false);
        count = pool->idle > 0 ? give_away(pool, group, count) : let_in(pool, group, count);
    }
    if (count > 1)
        pthread_cond_broadcast(&pool->has_work); /* others may take what is too few for a group */
    (void)let_out(pool, group, count, true);
}

/* false: nothing waits. The queues have turns. */
static bool run_next(struct sl_hash_pool *pool)
{
    bool has_singles = !sl_list_is_empty(&pool->single_queue);
    if (!has_singles && pool->sharing_waiting == 0)
        return false;
    bool is_single = has_singles && (pool->is_singles_turn || pool->sharing_waiting == 0);
    pool->is_singles_turn = !is_single;
    if (!is_single && is_crowded(pool, 0))
        run_group(pool);
    else
        run_single(pool, dequeue(pool, is_single ? &pool->single_queue : &pool->sharing_queue));
    return true;
}

static void *thread_main(void *arg)
{
    struct sl_hash_pool *pool = arg;
    struct sched_param param = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), THREAD_NICE);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        if (run_next(pool))
            continue;
        if (pool->is_stopping)
            break;
        pool->idle++;
        pthread_cond_wait(&pool->has_work, &pool->lock);
        pool->idle--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals belong to the main thread, so threads start with all of them blocked. */
static void start_threads(struct sl_hash_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        char name[20];
        int error = pthread_create(&pool->threads[i], NULL, thread_main, pool);
        if (error != 0) {
            errno = error;
            perror("sluice: cannot start a hash thread");
            abort();
        }
        snprintf(name, sizeof name, "sl-hash-%u", i);
        (void)pthread_setname_np(pool->threads[i], name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct sl_hash_pool *sl_hash_pool_create(unsigned threads)
{
    return sl_hash_pool_create_with(threads, sl_sha256_best());
}

struct sl_hash_pool *sl_hash_pool_create_with(unsigned threads, const struct sl_sha256_kernel *kernel)
{
    assert(threads >= 1);
    struct sl_hash_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
    if (pool == NULL)
        abort();
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    sl_list_init(&pool->single_queue);
    sl_list_init(&pool->sharing_queue);
    sl_list_init(&pool->free_strands);
    pool->kernel = kernel;
    pool->thread_count = threads;
    start_threads(pool);
    return pool;
}

void sl_hash_pool_destroy(struct sl_hash_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    assert(pool->open_lanes == 0);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    assert(sl_list_is_empty(&pool->single_queue) && sl_list_is_empty(&pool->sharing_queue));
    for (struct sl_link *link; (link = sl_list_shift(&pool->free_strands)) != NULL;)
        free(strand_of(link));
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* --- lanes, on their loop's thread --- */

static struct sl_strand *take_strand(struct sl_hash_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct sl_link *link = sl_list_shift(&pool->free_strands);
    pthread_mutex_unlock(&pool->lock);
    struct sl_strand *strand = link != NULL ? strand_of(link) : calloc(1, sizeof *strand);
    if (strand == NULL)
        return NULL;
    sl_list_init(&strand->jobs);
    sl_list_init(&strand->taken);
    strand->is_closed = false;
    strand->at = 0;
    return strand;
}

/* A thread that still holds the strand puts it on the free list itself. */
static void give_strand(struct sl_hash_pool *pool, struct sl_strand *strand)
{
    assert(sl_list_is_empty(&strand->jobs));
    strand->is_closed = true;
    if (!strand->is_scheduled)
        sl_list_append(&pool->free_strands, &strand->link);
}

/* Its digest was begun. */
static void choose_queue(struct sl_strand *strand, const struct sl_hash_pool *pool)
{
    strand->is_sharing = pool->kernel != NULL && strand->digest.set == 1u << SL_HASH_SHA256;
}

/* A lane whose digest is not begun yet. */
static sl_err open_lane(struct sl_hash_lane *lane, struct sl_hash_pool *pool, struct sl_mailbox *home)
{
    *lane = (struct sl_hash_lane){0};
    struct sl_strand *strand = take_strand(pool);
    if (strand == NULL)
        return SL_NO_MEMORY;
    pthread_mutex_lock(&pool->lock);
    pool->open_lanes++;
    pthread_mutex_unlock(&pool->lock);
    *lane = (struct sl_hash_lane){.pool = pool, .home = home, .strand = strand};
    return SL_OK;
}

sl_err sl_hash_lane_open(struct sl_hash_lane *lane, struct sl_hash_pool *pool, sl_hash_set set,
                         struct sl_mailbox *home)
{
    assert(set != 0);
    sl_err err = open_lane(lane, pool, home);
    if (err != SL_OK)
        return err;
    sl_digest_begin(&lane->strand->digest, set);
    choose_queue(lane->strand, pool);
    return SL_OK;
}

sl_err sl_hash_lane_resume(struct sl_hash_lane *lane, struct sl_hash_pool *pool, const struct sl_hash_state *state,
                           struct sl_mailbox *home)
{
    sl_err err = open_lane(lane, pool, home);
    if (err != SL_OK)
        return err;
    err = sl_digest_resume(&lane->strand->digest, state);
    assert(err == SL_OK && lane->strand->digest.set != 0);
    choose_queue(lane->strand, pool);
    return err;
}

static void on_job_arrival(struct sl_mail *mail)
{
    struct sl_hash_job *job = SL_CONTAINER_OF(mail, struct sl_hash_job, mail);
    sl_hash_cb on_done = job->on_done;
    assert(job->lane->inflight > 0);
    job->lane->inflight--;
    job->on_done = NULL;
    const char *before = sl_doing("hash completions");
    on_done(job, job->ctx);
    (void)sl_doing(before);
}

/* `job` is filled but for what every job has alike. */
static void put_job(struct sl_hash_lane *lane, struct sl_hash_job *job, sl_hash_cb on_done, void *ctx)
{
    struct sl_hash_pool *pool = lane->pool;
    struct sl_strand *strand = lane->strand;
    assert(pool != NULL && !lane->is_finished);
    assert(on_done != NULL && !sl_link_is_linked(&job->link));
    job->mail.on_arrival = on_job_arrival;
    job->lane = lane;
    job->on_done = on_done;
    job->ctx = ctx;
    lane->inflight++;
    pthread_mutex_lock(&pool->lock);
    bool is_waking = !strand->is_scheduled;
    sl_list_append(&strand->jobs, &job->link);
    if (is_waking) {
        strand->is_scheduled = true;
        enqueue(pool, strand);
    }
    pthread_mutex_unlock(&pool->lock);
    if (is_waking)
        pthread_cond_signal(&pool->has_work);
}

void sl_hash_lane_feed(struct sl_hash_lane *lane, struct sl_hash_job *job, const void *data, size_t len,
                       sl_hash_cb on_done, void *ctx)
{
    assert(job->on_done == NULL);
    assert(data != NULL && len > 0);
    job->data = data;
    job->len = len;
    job->state_out = NULL;
    put_job(lane, job, on_done, ctx);
}

void sl_hash_lane_finish(struct sl_hash_lane *lane, struct sl_hash_job *job, sl_hash_cb on_done, void *ctx)
{
    assert(job->on_done == NULL);
    job->data = NULL;
    job->len = 0;
    job->state_out = NULL;
    put_job(lane, job, on_done, ctx);
    lane->is_finished = true;
}

void sl_hash_lane_save(struct sl_hash_lane *lane, struct sl_hash_job *job, struct sl_hash_state *state_out,
                       sl_hash_cb on_done, void *ctx)
{
    assert(job->on_done == NULL);
    assert(state_out != NULL);
    job->data = NULL;
    job->len = 0;
    job->state_out = state_out;
    put_job(lane, job, on_done, ctx);
}

void sl_hash_lane_close(struct sl_hash_lane *lane)
{
    struct sl_hash_pool *pool = lane->pool;
    if (pool == NULL)
        return;
    assert(lane->inflight == 0);
    pthread_mutex_lock(&pool->lock);
    assert(pool->open_lanes > 0);
    pool->open_lanes--;
    give_strand(pool, lane->strand);
    pthread_mutex_unlock(&pool->lock);
    lane->pool = NULL;
    lane->home = NULL;
    lane->strand = NULL;
}
