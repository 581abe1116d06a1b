/* The engine for where io_uring is not: a few threads that execute operations with blocking calls, oldest first.
 *
 *   submit (loop) -> queue -> execute (worker) -> done -> mail -> run (loop) -> on_done
 *
 * An op is in one place at a time and its hand-over is under the lock, so its fields need none. The same engine helps
 * a ring with what its kernel cannot do.
 *
 * Most operations wait for the disk, and the more wait together the better. Errands hardly wait: they are work for a
 * processor, and waking a thread for each would cost as much again. So few threads do them, one errand behind the
 * other, and tell of some of them together. */
#include "engine.h"

#include "sluice/base/mailbox.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>

#define ERRANDS_MAX 1 /* that run at a time */
#define UNTOLD_MAX  8 /* errands that are done and not told of while others are being done */

struct threads {
    struct sl_disk base;
    struct sl_mailbox mailbox; /* workers post, the loop runs */
    struct sl_mail mail;       /* tells that something is in `done` */
    unsigned started;          /* fixed after create */
    pthread_t ids[SL_DISK_THREAD_COUNT];

    pthread_mutex_t lock;
    pthread_cond_t has_work;
    /* under lock */
    struct sl_link queue, errands; /* errands wait in their own line */
    struct sl_link done;
    unsigned errands_running, untold;
    bool is_called; /* somebody was woken for an errand and has taken none yet */
    bool is_told;   /* the mail is under way */
    bool is_closing;

    struct sl_link arrived; /* loop thread: over, and not told yet */
};

static struct sl_disk_op *op_of(struct sl_link *link)
{
    return SL_CONTAINER_OF(link, struct sl_disk_op, link);
}

static void hand_back(struct threads *threads, struct sl_disk_op *op);

/* What has lain in the page cache is copied here and now: two changes of thread would cost more than the copy. */
static bool is_read_at_once(struct sl_disk_op *op)
{
    if (op->kind != SL_DISK_READ || op->args.io.is_cold || op->args.io.len == op->args.io.done)
        return false;
    struct iovec room = {op->args.io.base + op->args.io.done, op->args.io.len - op->args.io.done};
    ssize_t n = preadv2(op->args.io.fd, &room, 1, (off_t)(op->args.io.offset + op->args.io.done), RWF_NOWAIT);
    return n == (ssize_t)room.iov_len && sl_disk_advance(op, n);
}

static void threads_submit(struct sl_disk *disk, struct sl_disk_op *op)
{
    struct threads *threads = (struct threads *)disk;
    if (is_read_at_once(op)) {
        hand_back(threads, op);
        return;
    }
    bool is_errand = op->kind == SL_DISK_ERRAND;
    pthread_mutex_lock(&threads->lock);
    assert(!threads->is_closing);
    sl_list_append(is_errand ? &threads->errands : &threads->queue, &op->link);
    bool is_waking = !is_errand || (threads->errands_running < ERRANDS_MAX && !threads->is_called);
    threads->is_called |= is_errand && is_waking;
    pthread_mutex_unlock(&threads->lock);
    if (is_waking)
        pthread_cond_signal(&threads->has_work);
}

/* Submitting hands over at once. */
static void threads_flush(struct sl_disk *disk)
{
}

/* With the lock held. NULL: nothing may be done now. Errands go first, for only so many are done at a time; behind
 * thousands of reads they would never have a turn. */
static struct sl_link *take(struct threads *threads)
{
    bool is_errand_due = !sl_list_is_empty(&threads->errands) && threads->errands_running < ERRANDS_MAX;
    if (!is_errand_due)
        return sl_list_shift(&threads->queue);
    if (!sl_list_is_empty(&threads->queue))
        pthread_cond_signal(&threads->has_work); /* for somebody else: this may take its time */
    threads->errands_running++;
    threads->is_called = false;
    return sl_list_shift(&threads->errands);
}

/* NULL: the engine closes. */
static struct sl_disk_op *wait_for_op(struct threads *threads)
{
    pthread_mutex_lock(&threads->lock);
    struct sl_link *link;
    while ((link = take(threads)) == NULL && !threads->is_closing)
        pthread_cond_wait(&threads->has_work, &threads->lock);
    pthread_mutex_unlock(&threads->lock);
    return link == NULL ? NULL : op_of(link);
}

/* With the lock held: is the loop to be told now? Who does the next errand tells of this one, too. */
static bool is_to_be_told(struct threads *threads, const struct sl_disk_op *op)
{
    if (op->kind == SL_DISK_ERRAND) {
        threads->errands_running--;
        if (!sl_list_is_empty(&threads->errands) && ++threads->untold < UNTOLD_MAX)
            return false;
    }
    threads->untold = 0;
    return !threads->is_told;
}

static void hand_back(struct threads *threads, struct sl_disk_op *op)
{
    pthread_mutex_lock(&threads->lock);
    sl_list_append(&threads->done, &op->link);
    bool is_telling = is_to_be_told(threads, op);
    threads->is_told |= is_telling;
    pthread_mutex_unlock(&threads->lock);
    if (is_telling)
        sl_mailbox_post(&threads->mailbox, &threads->mail);
}

static void *work(void *arg)
{
    struct threads *threads = arg;
    /* Work on the disk wants throughput: a wake-up here need not take the CPU from a loop. */
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){0});
    for (struct sl_disk_op *op; (op = wait_for_op(threads)) != NULL;) {
        sl_disk_execute(op);
        hand_back(threads, op);
    }
    return NULL;
}

static void on_arrival(struct sl_mail *mail)
{
    struct threads *threads = SL_CONTAINER_OF(mail, struct threads, mail);
    pthread_mutex_lock(&threads->lock);
    sl_list_move_all(&threads->arrived, &threads->done);
    threads->is_told = false;
    pthread_mutex_unlock(&threads->lock);
}

static void threads_run(struct sl_disk *disk)
{
    struct threads *threads = (struct threads *)disk;
    sl_mailbox_run(&threads->mailbox);
    sl_disk_complete_some(disk, &threads->arrived);
}

static void threads_destroy(struct sl_disk *disk)
{
    struct threads *threads = (struct threads *)disk;
    pthread_mutex_lock(&threads->lock);
    assert(sl_list_is_empty(&threads->queue) && sl_list_is_empty(&threads->errands));
    assert(sl_list_is_empty(&threads->done) && sl_list_is_empty(&threads->arrived));
    threads->is_closing = true;
    pthread_mutex_unlock(&threads->lock);
    pthread_cond_broadcast(&threads->has_work);
    for (unsigned i = 0; i < threads->started; i++)
        pthread_join(threads->ids[i], NULL);
    sl_mailbox_dispose(&threads->mailbox);
    pthread_cond_destroy(&threads->has_work);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

static const struct sl_disk_engine engine = {
    .name = "threads",
    .has_errands = true,
    .submit = threads_submit,
    .flush = threads_flush,
    .run = threads_run,
    .destroy = threads_destroy,
};

/* Signals are the loops' business. */
static bool start_threads(struct threads *threads, unsigned count)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (threads->started < count && pthread_create(&threads->ids[threads->started], NULL, work, threads) == 0)
        threads->started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return threads->started == count;
}

sl_err sl_disk_threads_create(unsigned count, struct sl_disk **disk_out)
{
    assert(count >= 1 && count <= SL_DISK_THREAD_COUNT);
    struct threads *threads = calloc(1, sizeof *threads);
    if (threads == NULL)
        abort();
    sl_err err = sl_mailbox_init(&threads->mailbox);
    if (err != SL_OK) {
        free(threads);
        return err;
    }
    threads->base.engine = &engine;
    threads->base.fd = threads->mailbox.fd;
    threads->mail.on_arrival = on_arrival;
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->has_work, NULL);
    sl_list_init(&threads->queue);
    sl_list_init(&threads->errands);
    sl_list_init(&threads->done);
    sl_list_init(&threads->arrived);
    if (!start_threads(threads, count)) {
        threads_destroy(&threads->base);
        return SL_NO_MEMORY;
    }
    *disk_out = &threads->base;
    return SL_OK;
}
