/* The threads that digest uploads while the disk writes them.
 *
 * A loop feeds jobs into a lane; the lane's strand holds them and stands in the run queue while it has any. A
 * thread takes a strand, digests its jobs one after the other and posts each to the lane's home mailbox. A strand in
 * a thread's hands is in no queue, so its jobs stay in order.
 *
 * The strand, and not the lane, is what threads hold: the owner may close the lane as soon as its last job has
 * arrived, while the thread that posted it still has to look whether more was fed. Closed strands wait in a free
 * list and serve the next lane: there are never more of them than lanes were open at a time, and
 * one for each thread. */
#include "digest.h"

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

struct sl_strand {
    struct sl_link link;     /* run queue or free list; pool's lock */
    struct sl_link jobs;     /* pool's lock */
    bool is_scheduled;       /* in the run queue or with a thread; pool's lock */
    bool is_closed;          /* the lane is gone; pool's lock */
    struct sl_digest digest; /* whoever runs the strand; the loop thread while it opens */
};

struct sl_hash_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct sl_link run_queue; /* under lock, as all that follows */
    struct sl_link free_strands;
    unsigned open_lanes;
    bool is_stopping;
    unsigned thread_count; /* fixed after create */
    pthread_t threads[];
};

/* --- threads --- */

static struct sl_strand *strand_of(struct sl_link *link)
{
    return SL_CONTAINER_OF(link, struct sl_strand, link);
}

static void digest_job(struct sl_digest *digest, struct sl_hash_job *job)
{
    if (job->data != NULL)
        sl_digest_update(digest, job->data, job->len);
    else if (job->state_out != NULL)
        sl_digest_save(digest, job->state_out);
    else
        sl_digest_end(digest, &job->lane->digests);
}

/* Entered and left with the lock held; digests and posts without it. What is fed meanwhile waits behind the other
 * strands. */
static void run_strand(struct sl_hash_pool *pool, struct sl_strand *strand)
{
    struct sl_link batch;
    sl_list_init(&batch);
    sl_list_move_all(&batch, &strand->jobs);
    pthread_mutex_unlock(&pool->lock);
    for (struct sl_link *link; (link = sl_list_shift(&batch)) != NULL;) {
        struct sl_hash_job *job = SL_CONTAINER_OF(link, struct sl_hash_job, link);
        digest_job(&strand->digest, job);
        sl_mailbox_post(job->lane->home, &job->mail); /* job and lane are the owner's again */
    }
    pthread_mutex_lock(&pool->lock);
    if (!sl_list_is_empty(&strand->jobs)) {
        sl_list_append(&pool->run_queue, &strand->link);
        return;
    }
    strand->is_scheduled = false;
    if (strand->is_closed)
        sl_list_append(&pool->free_strands, &strand->link);
}

static void *thread_main(void *arg)
{
    struct sl_hash_pool *pool = arg;
    struct sched_param param = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), THREAD_NICE);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct sl_link *link = sl_list_shift(&pool->run_queue);
        if (link != NULL)
            run_strand(pool, strand_of(link));
        else if (pool->is_stopping)
            break;
        else
            pthread_cond_wait(&pool->has_work, &pool->lock);
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
    assert(threads >= 1);
    struct sl_hash_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
    if (pool == NULL)
        abort();
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    sl_list_init(&pool->run_queue);
    sl_list_init(&pool->free_strands);
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
    assert(sl_list_is_empty(&pool->run_queue));
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
    strand->is_closed = false;
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
    if (err == SL_OK)
        sl_digest_begin(&lane->strand->digest, set);
    return err;
}

sl_err sl_hash_lane_resume(struct sl_hash_lane *lane, struct sl_hash_pool *pool, const struct sl_hash_state *state,
                           struct sl_mailbox *home)
{
    sl_err err = open_lane(lane, pool, home);
    if (err != SL_OK)
        return err;
    err = sl_digest_resume(&lane->strand->digest, state);
    assert(err == SL_OK && lane->strand->digest.set != 0);
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
        sl_list_append(&pool->run_queue, &strand->link);
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
