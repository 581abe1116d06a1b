/* Wires the floors for one loop and turns it. The order of a turn is the whole schedule:
 *
 *   wait for events, run them -> serve the line for buffers -> take some from who does not read, and serve again ->
 *   tell who was written to -> (h2o's run ends) hand what was started to the kernel -> again */
#include "sluice/app/worker.h"

#include "sluice/base/clock.h"
#include "sluice/base/doing.h"
#include "sluice/base/log.h"
#include "sluice/http/http.h"
#include "sluice/net/listener.h"
#include "sluice/net/loop.h"
#include "sluice/upload/reaper.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS  1000
#define SLICE_NS UINT64_C(200000)

#define ADMIN_SPARE 16u /* connections above the limit: whoever looks why it is reached needs one */

/* Behind each listening socket: what its connections speak. */
struct door {
    struct sl_worker *worker;
    struct sl_listener *listener; /* NULL: closed */
    bool is_tls, is_admin;
};

struct sl_worker {
    struct sl_worker_options options; /* fixed after start */
    pthread_t thread;
    /* loop thread */
    h2o_loop_t *loop;
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
    struct sl_loop_finish finish;
    struct sl_mailbox mailbox;
    struct sl_slab_pool *slabs;
    struct sl_disk *disk;
    struct sl_loop_stats *stats;
    struct sl_store *store;
    struct sl_intake intake;
    struct sl_reaper reaper; /* zeroed where another one reaps */
    struct sl_http *http;
    struct sl_watch disk_watch, mailbox_watch;
    struct door doors[2 * SL_LISTEN_MAX];
    size_t door_count;
    bool is_draining, is_ending;
    /* from the main thread */
    struct sl_mail drain_mail, end_mail;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the two below */
    bool is_start_known, is_drained, is_over;
    struct sl_tls *tls;
    bool is_gone; /* the thread reads no more mail */
    sl_err start_err;
    char *reason;
    size_t reason_room;
};

/* ---- connections ---- */

static bool is_full_for(const struct door *door)
{
    const struct sl_worker *worker = door->worker;
    unsigned spare = door->is_admin ? ADMIN_SPARE : 0;
    return worker->http->connection_count >= worker->options.connections_max + spare;
}

static void pause_full_doors(struct sl_worker *worker)
{
    for (size_t i = 0; i < worker->door_count; i++)
        if (worker->doors[i].listener != NULL && is_full_for(&worker->doors[i]))
            sl_listener_pause(worker->doors[i].listener);
}

/* The one of now, yours to release. */
static struct sl_tls *take_tls(struct sl_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    struct sl_tls *tls = sl_tls_acquire(worker->tls);
    pthread_mutex_unlock(&worker->lock);
    return tls;
}

void sl_worker_set_tls(struct sl_worker *worker, struct sl_tls *tls)
{
    pthread_mutex_lock(&worker->lock);
    struct sl_tls *old = worker->tls;
    worker->tls = sl_tls_acquire(tls);
    pthread_mutex_unlock(&worker->lock);
    sl_tls_release(old);
}

static void on_accept(h2o_socket_t *socket, void *ctx)
{
    struct door *door = ctx;
    struct sl_worker *worker = door->worker;
    struct sl_tls *tls = door->is_tls ? take_tls(worker) : NULL;
    if (door->is_admin)
        sl_http_accept_admin(worker->http, socket, tls);
    else
        sl_http_accept(worker->http, socket, tls);
    sl_tls_release(tls);
    pause_full_doors(worker);
}

static void on_connection_closed(void *ctx)
{
    struct sl_worker *worker = ctx;
    for (size_t i = 0; i < worker->door_count; i++)
        if (worker->doors[i].listener != NULL && !is_full_for(&worker->doors[i]))
            sl_listener_resume(worker->doors[i].listener);
}

/* ---- completion sources ---- */

static void on_disk(void *ctx)
{
    struct sl_worker *worker = ctx;
    sl_disk_run(worker->disk);
}

static void on_mail(void *ctx)
{
    struct sl_worker *worker = ctx;
    sl_mailbox_run(&worker->mailbox);
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct sl_worker *worker = SL_CONTAINER_OF(entry, struct sl_worker, tick);
    const char *before = sl_doing("the tick");
    sl_store_tick(worker->store);
    sl_intake_tick(&worker->intake);
    if (worker->options.is_reaping && !worker->is_draining)
        sl_reaper_tick(&worker->reaper, sl_clock_now_ns());
    (void)sl_doing(before);
    h2o_timeout_link(worker->loop, &worker->tick_timeout, &worker->tick);
}

static void on_finish(void *ctx)
{
    struct sl_worker *worker = ctx;
    sl_http_run(worker->http);
}

/* ---- the end ---- */

static void close_doors(struct sl_worker *worker, bool is_admin)
{
    for (size_t i = 0; i < worker->door_count; i++) {
        struct door *door = &worker->doors[i];
        if (door->is_admin != is_admin || door->listener == NULL)
            continue;
        sl_listener_close(door->listener);
        door->listener = NULL;
    }
}

/* The operator's doors stay open to the end, that of the last worker: there is told how far it is. */
static void drain(struct sl_worker *worker)
{
    if (worker->is_draining)
        return;
    worker->is_draining = true;
    close_doors(worker, false);
    sl_reaper_stop(&worker->reaper);
    sl_http_drain(worker->http);
}

static void on_drain(struct sl_mail *mail)
{
    drain(SL_CONTAINER_OF(mail, struct sl_worker, drain_mail));
}

static void on_end(struct sl_mail *mail)
{
    struct sl_worker *worker = SL_CONTAINER_OF(mail, struct sl_worker, end_mail);
    drain(worker);
    close_doors(worker, true);
    sl_http_close_all(worker->http);
    worker->is_ending = true;
}

/* A thread that has ended reads no mail. */
static void post_if_there(struct sl_worker *worker, struct sl_mail *mail)
{
    pthread_mutex_lock(&worker->lock);
    if (!worker->is_gone)
        sl_mailbox_post(&worker->mailbox, mail);
    pthread_mutex_unlock(&worker->lock);
}

void sl_worker_drain(struct sl_worker *worker)
{
    post_if_there(worker, &worker->drain_mail);
}

void sl_worker_end(struct sl_worker *worker)
{
    post_if_there(worker, &worker->end_mail);
}

/* Drained, and everything has come home: connections, buffers, files, operations. */
static bool is_idle(const struct sl_worker *worker)
{
    return worker->is_draining && worker->http->connection_count == 0 && worker->intake.files == 0 &&
           worker->intake.resumables == 0 && sl_reaper_is_idle(&worker->reaper) &&
           sl_slab_pool_stats(worker->slabs).slabs_in_use == 0 && sl_disk_inflight(worker->disk) == 0;
}

/* Idle, told so, and released; and the mail that tells of what came home has been read, too. */
static bool may_leave(struct sl_worker *worker)
{
    if (!is_idle(worker))
        return false;
    pthread_mutex_lock(&worker->lock);
    worker->is_drained = true;
    pthread_cond_signal(&worker->changed);
    worker->is_gone = worker->is_ending && sl_mailbox_is_empty(&worker->mailbox);
    pthread_mutex_unlock(&worker->lock);
    return worker->is_gone;
}

/* ---- the thread ---- */

/* Asks the scheduler for short slices: a loop works in bursts and wants its turn soon, not long. Linux 6.12 and later
 * know it for ordinary threads; elsewhere nothing changes. */
static void ask_for_short_slices(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes = {.size = sizeof attributes, .policy = SCHED_OTHER, .runtime_ns = SLICE_NS};
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* As long as for any first request, but leaving most of the time to stop to what is in flight. */
static uint64_t notice_timeout_ms(const struct sl_config *config)
{
    uint64_t part_ms = config->shutdown_timeout_s * UINT64_C(1000) / 5,
             head_ms = config->head_timeout_s * UINT64_C(1000);
    return part_ms < head_ms ? part_ms : head_ms;
}

static sl_err build(struct sl_worker *worker)
{
    const struct sl_config *config = worker->options.config;
    sl_err err = sl_mailbox_init(&worker->mailbox);
    if (err != SL_OK)
        return err;
    worker->loop = h2o_evloop_create();
    worker->slabs = sl_slab_pool_create(config->buffer_memory_bytes / config->loops);
    err = sl_disk_create(config->engine, worker->slabs, &worker->disk, worker->reason, worker->reason_room);
    if (err != SL_OK)
        return err;
    sl_disk_measure_syncs(worker->disk, &worker->stats->syncs);
    atomic_store_explicit(&worker->stats->engine, sl_disk_engine_name(worker->disk), memory_order_release);
    worker->store = sl_store_create(worker->options.root, worker->disk, &worker->mailbox);
    worker->intake = (struct sl_intake){.slabs = worker->slabs,
                                        .store = worker->store,
                                        .uploads = worker->options.uploads,
                                        .hash_pool = worker->options.hash_pool,
                                        .mailbox = &worker->mailbox,
                                        .digests = config->digests,
                                        .conflict = config->conflict,
                                        .name_template = config->name_template,
                                        .size_max = config->max_size_bytes == 0 ? UINT64_MAX : config->max_size_bytes,
                                        .files_max = worker->options.files_max,
                                        .stats = &worker->stats->uploads};
    sl_intake_init(&worker->intake);
    if (worker->options.is_reaping)
        sl_reaper_init(&worker->reaper, &worker->intake);
    struct sl_http_options http = {.base_path = config->base_path,
                                   .public_url = config->public_url,
                                   .cors_origins = config->cors_origins,
                                   .head_timeout_ms = config->head_timeout_s * UINT64_C(1000),
                                   .body_timeout_ms = config->body_timeout_s * UINT64_C(1000),
                                   .idle_timeout_ms = config->idle_timeout_s * UINT64_C(1000),
                                   .write_timeout_ms = config->write_timeout_s * UINT64_C(1000),
                                   .notice_timeout_ms = notice_timeout_ms(config),
                                   .peers = worker->options.peers,
                                   .trusted = &config->trusted_proxies,
                                   .min_rate_bytes_s = config->min_rate_bytes_s,
                                   .max_append_bytes = config->max_append_bytes,
                                   .is_interim_on = config->interim != SL_INTERIM_OFF,
                                   .is_interim_proxied = config->interim == SL_INTERIM_ON,
                                   .metrics = worker->options.metrics,
                                   .loop = worker->options.loop,
                                   .has_admin = config->admin_listeners.count > 0};
    worker->http = sl_http_create(worker->loop, &worker->intake, &http, on_connection_closed, worker);
    worker->disk_watch.name = "disk completions";
    worker->mailbox_watch.name = "mail";
    err = sl_watch_start(&worker->disk_watch, worker->loop, sl_disk_fd(worker->disk), on_disk, worker);
    if (err == SL_OK)
        err = sl_watch_start(&worker->mailbox_watch, worker->loop, worker->mailbox.fd, on_mail, worker);
    return err;
}

static void open_doors(struct sl_worker *worker)
{
    const struct sl_listeners *listeners = &worker->options.config->listeners,
                              *admin_listeners = &worker->options.config->admin_listeners;
    worker->door_count = listeners->count + admin_listeners->count;
    for (size_t i = 0; i < worker->door_count; i++) {
        struct door *door = &worker->doors[i];
        door->worker = worker;
        door->is_admin = i >= listeners->count;
        door->is_tls = (door->is_admin ? &admin_listeners->at[i - listeners->count] : &listeners->at[i])->is_tls;
        door->listener = sl_listener_start(worker->loop, worker->options.listen_fds[i], on_accept, door);
    }
    h2o_timeout_init(worker->loop, &worker->tick_timeout, TICK_MS);
    worker->tick.cb = on_tick;
    h2o_timeout_link(worker->loop, &worker->tick_timeout, &worker->tick);
    sl_loop_finish_start(&worker->finish, worker->loop, on_finish, worker);
}

static void tell_start(struct sl_worker *worker, sl_err err)
{
    pthread_mutex_lock(&worker->lock);
    worker->start_err = err;
    worker->is_start_known = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

/* From top to bottom, as the floors are. */
static void tear_down(struct sl_worker *worker)
{
    sl_loop_finish_stop(&worker->finish);
    h2o_timeout_unlink(&worker->tick);
    h2o_timeout_dispose(worker->loop, &worker->tick_timeout);
    sl_watch_stop(&worker->disk_watch);
    sl_watch_stop(&worker->mailbox_watch);
    sl_http_destroy(worker->http);
    sl_reaper_dispose(&worker->reaper);
    sl_intake_dispose(&worker->intake);
    sl_store_destroy(worker->store);
    sl_disk_destroy(worker->disk);
    sl_slab_pool_destroy(worker->slabs);
    h2o_evloop_destroy(worker->loop);
}

/* As it is when the loop begins to wait, for those who ask on other loops. */
static void publish(struct sl_worker *worker)
{
    struct sl_loop_gauges *gauges = &worker->stats->gauges;
    struct sl_slab_stats slabs = sl_slab_pool_stats(worker->slabs);
    sl_counter_set(&gauges->connections, worker->http->connection_count);
    sl_counter_set(&gauges->disk_operations, sl_disk_inflight(worker->disk));
    sl_counter_set(&gauges->buffer_bytes, slabs.regions * SL_SLAB_REGION_BYTES);
    sl_counter_set(&gauges->buffer_free_bytes, slabs.regions_free * SL_SLAB_REGION_BYTES);
    sl_counter_set(&gauges->buffers_in_use, slabs.slabs_in_use);
    sl_counter_set(&gauges->buffer_waiters, slabs.waiting);
}

/* Behind what the loop runs: no socket may be touched here. */
static void leave_turn(struct sl_worker *worker)
{
    const char *before = sl_doing("handing over to the disk");
    sl_disk_flush(worker->disk);
    (void)sl_doing(before);
    if (sl_slab_pool_is_due(worker->slabs)) /* buffers were given out, then some came back, or somebody came */
        sl_loop_finish_soon(&worker->finish);
    publish(worker);
}

static void serve(struct sl_worker *worker)
{
    pthread_setname_np(pthread_self(), "sl-loop");
    ask_for_short_slices();
    sl_err err = build(worker);
    if (err == SL_OK)
        open_doors(worker);
    tell_start(worker, err);
    if (err != SL_OK)
        return; /* the process is about to end */
    publish(worker);
    sl_loop_measure(&worker->stats->lag);
    while (!may_leave(worker)) {
        sl_loop_turn(worker->loop, TICK_MS);
        leave_turn(worker);
    }
    sl_loop_measure(NULL);
    tear_down(worker);
}

static void *run(void *arg)
{
    struct sl_worker *worker = arg;
    serve(worker);
    pthread_mutex_lock(&worker->lock);
    worker->is_over = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static void init_changed(pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

sl_err sl_worker_start(const struct sl_worker_options *options, struct sl_worker **worker_out, char *reason_out,
                       size_t room)
{
    struct sl_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        abort();
    worker->options = *options;
    worker->stats = &options->metrics->loops[options->loop];
    worker->reason = reason_out;
    worker->reason_room = room;
    worker->drain_mail.on_arrival = on_drain;
    worker->end_mail.on_arrival = on_end;
    pthread_mutex_init(&worker->lock, NULL);
    init_changed(&worker->changed);
    worker->tls = sl_tls_acquire(options->tls);
    snprintf(reason_out, room, "the loop could not be set up");
    if (pthread_create(&worker->thread, NULL, run, worker) != 0)
        abort();
    pthread_mutex_lock(&worker->lock);
    while (!worker->is_start_known)
        pthread_cond_wait(&worker->changed, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
    *worker_out = worker;
    return worker->start_err;
}

/* Of the clock that nobody sets: --shutdown-timeout is to hold also then. */
static struct timespec ms_from_now(unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

/* what: a member of the worker, under its lock. */
static bool wait_for(struct sl_worker *worker, const bool *what, unsigned wait_ms)
{
    struct timespec until = ms_from_now(wait_ms);
    int ended = 0;
    pthread_mutex_lock(&worker->lock);
    while (!*what && ended == 0)
        ended = pthread_cond_timedwait(&worker->changed, &worker->lock, &until);
    bool is_so = *what;
    pthread_mutex_unlock(&worker->lock);
    return is_so;
}

bool sl_worker_wait_drained(struct sl_worker *worker, unsigned wait_ms)
{
    return wait_for(worker, &worker->is_drained, wait_ms);
}

bool sl_worker_join(struct sl_worker *worker, unsigned wait_ms)
{
    return wait_for(worker, &worker->is_over, wait_ms) && pthread_join(worker->thread, NULL) == 0;
}

void sl_worker_destroy(struct sl_worker *worker)
{
    sl_mailbox_dispose(&worker->mailbox);
    sl_tls_release(worker->tls);
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->changed);
    free(worker);
}
