/* An object being written: begun as a file without a name, written by slabs, dropped if it comes to nothing. Naming
 * it is commit.c's. Loop thread.
 *
 * Space is taken ahead: all of it when the size is known, else in steps while the upload is bulky. That spares ext4 and
 * xfs the extending of the file at each write (13 % of the CPU of a large upload), and tells of a full disk early. */
#include "local.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ALLOCATE_MIN_BYTES ((uint64_t)64 << 10) /* below, an allocation costs more than it saves */
#define GROW_MIN_BYTES     ((uint64_t)64 << 20)
#define GROW_MAX_BYTES     ((uint64_t)1 << 30)

enum begin_step { BEGIN_OPEN, BEGIN_ALLOCATE, BEGIN_WRITE, BEGIN_CLOSE_FAILED, BEGIN_UNLINK_FAILED };

static void on_begin_step(struct sl_disk_op *op, void *ctx);

static bool is_enough(const struct sl_store *store, uint64_t free_bytes, uint64_t bytes)
{
    uint64_t min_free = store->root->options.min_free;
    return free_bytes >= min_free && bytes <= free_bytes - min_free;
}

bool sl_store_has_room(const struct sl_store *store, uint64_t bytes)
{
    return is_enough(store, sl_store_free_bytes(store), bytes);
}

/* Not to be promised to anybody else. false: so much is not free. */
static bool claim(struct sl_store *store, uint64_t bytes)
{
    uint64_t free_bytes = sl_store_free_bytes(store);
    do {
        if (!is_enough(store, free_bytes, bytes))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&store->root->free_bytes, &free_bytes, free_bytes - bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void begin_tell(struct sl_store_object *object)
{
    object->on_done(object, object->err, object->ctx);
}

static void begin_finish(struct sl_store_object *object, sl_err err)
{
    object->err = err;
    sl_local_come_home(object, begin_tell);
}

static void begin_fail(struct sl_store_object *object, sl_err err)
{
    object->err = err;
    object->step = BEGIN_CLOSE_FAILED;
    sl_disk_close(object->store->disk, &object->op, object->fd, on_begin_step, object);
}

static void begin_open(struct sl_store_object *object)
{
    struct sl_store_root *root = object->store->root;
    struct open_how how = {.flags = O_RDWR, .mode = 0666, .resolve = SL_LOCAL_RESOLVE};
    const char *path = ".";
    object->step = BEGIN_OPEN;
    if (root->has_unnamed) {
        how.flags |= O_TMPFILE;
    } else {
        how.flags |= O_CREAT | O_EXCL;
        path = object->temp;
    }
    sl_disk_open(object->store->disk, &object->op, root->uploads_fd, path, how, on_begin_step, object);
}

static void on_begin_opened(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err != SL_OK) {
        object->sys_errno = op->sys_errno;
        begin_finish(object, op->err);
        return;
    }
    object->fd = (int)op->result;
    object->is_named = !object->store->root->has_unnamed;
    snprintf(object->proc, sizeof object->proc, "/proc/self/fd/%d", object->fd);
    if (object->first.len > 0) {
        object->step = BEGIN_WRITE;
        object->end = object->first.len;
        sl_disk_write_lent(object->store->disk, &object->op, object->fd, object->first.base, object->first.len, 0,
                           on_begin_step, object);
        return;
    }
    if (object->expected == SL_STORE_SIZE_UNKNOWN || object->expected < ALLOCATE_MIN_BYTES) {
        begin_finish(object, SL_OK);
        return;
    }
    object->step = BEGIN_ALLOCATE;
    sl_disk_allocate(object->store->disk, &object->op, object->fd, object->expected, on_begin_step, object);
}

static void on_begin_allocated(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err == SL_OK) {
        object->allocated = object->expected;
        begin_finish(object, SL_OK);
    } else if (op->err == SL_UNSUPPORTED) { /* then the writes will tell */
        begin_finish(object, SL_OK);
    } else {
        object->sys_errno = op->sys_errno;
        begin_fail(object, op->err);
    }
}

static void on_begin_written(struct sl_store_object *object, const struct sl_disk_op *op)
{
    object->sys_errno = op->sys_errno;
    (op->err == SL_OK ? begin_finish : begin_fail)(object, op->err);
}

static void on_begin_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    switch ((enum begin_step)object->step) {
    case BEGIN_OPEN: on_begin_opened(object, op); return;
    case BEGIN_ALLOCATE: on_begin_allocated(object, op); return;
    case BEGIN_WRITE: on_begin_written(object, op); return;
    case BEGIN_CLOSE_FAILED:
        if (object->is_named) {
            object->step = BEGIN_UNLINK_FAILED;
            sl_disk_unlink(object->store->disk, &object->op, object->store->root->uploads_fd, object->temp, false,
                           on_begin_step, object);
            return;
        }
        begin_finish(object, object->err);
        return;
    case BEGIN_UNLINK_FAILED: begin_finish(object, object->err); return;
    }
}

static uint64_t bytes_to_claim(const struct sl_store_object *object)
{
    return object->expected == SL_STORE_SIZE_UNKNOWN ? object->first.len : object->expected;
}

static void begin_if_room(struct sl_store_object *object)
{
    object->claimed = bytes_to_claim(object);
    if (!claim(object->store, object->claimed)) {
        begin_finish(object, SL_NO_SPACE);
        return;
    }
    if (object->first.base != NULL)
        sl_local_go_away(object, begin_open);
    else
        begin_open(object);
}

static void on_begin_looked(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    if (op->err == SL_OK)
        sl_local_set_free(object->store, &object->look.statfs);
    begin_if_room(object);
}

static void begin(struct sl_store *store, struct sl_store_object *object, uint64_t expected, struct sl_bytes first,
                  sl_store_cb on_done, void *ctx)
{
    /* Unique among the loops, and by the random run among the processes that share the root: their pids may be the
     * same, for in a container everybody is number 1. */
    static atomic_uint_fast64_t counter;
    uint64_t now_ns = sl_clock_wall_ns();
    *object = (struct sl_store_object){.store = store,
                                       .expected = expected,
                                       .first = first,
                                       .on_done = on_done,
                                       .ctx = ctx,
                                       .begun_ns = now_ns - SL_LOCAL_TICK_NS,
                                       .clock_gap_ns = now_ns - sl_clock_now_ns(),
                                       .fd = -1};
    snprintf(object->temp, sizeof object->temp, SL_LOCAL_TEMP_PREFIX "%016" PRIx64 "-%" PRIxFAST64, store->root->run,
             atomic_fetch_add(&counter, 1));
    /* What was free a moment ago may be more now, for a broken upload gives back what it took: nobody is refused
     * without a fresh look. */
    if (sl_store_has_room(store, bytes_to_claim(object)))
        begin_if_room(object);
    else
        sl_disk_statfs(store->disk, &object->op, store->root->files_fd, &object->look.statfs, on_begin_looked,
                       object);
}

void sl_store_begin(struct sl_store *store, struct sl_store_object *object, uint64_t expected, sl_store_cb on_done,
                    void *ctx)
{
    begin(store, object, expected, (struct sl_bytes){0}, on_done, ctx);
}

void sl_store_begin_with(struct sl_store *store, struct sl_store_object *object, uint64_t expected,
                         struct sl_bytes first, sl_store_cb on_done, void *ctx)
{
    assert(first.base != NULL && first.len <= expected);
    begin(store, object, expected, first, on_done, ctx);
}

/* ---- the size it will have ---- */

enum expect_step { EXPECT_LOOK, EXPECT_LOOK_AT_ROOM, EXPECT_ALLOCATE, EXPECT_CUT };

static void on_expect_step(struct sl_disk_op *op, void *ctx);

static void expect_finish(struct sl_store_object *object, sl_err err)
{
    if (err == SL_OK)
        object->expected = object->wanted;
    object->on_done(object, err, object->ctx);
}

static void expect_allocate(struct sl_store_object *object)
{
    if (!claim(object->store, object->missing)) {
        expect_finish(object, SL_NO_SPACE);
        return;
    }
    if (object->wanted == SL_STORE_SIZE_UNKNOWN || object->wanted < ALLOCATE_MIN_BYTES) {
        expect_finish(object, SL_OK);
        return;
    }
    object->step = EXPECT_ALLOCATE;
    sl_disk_allocate(object->store->disk, &object->op, object->fd, object->wanted, on_expect_step, object);
}

/* What the file has already is not asked for again. */
static void on_expect_looked(struct sl_store_object *object)
{
    const struct statx *stat = &object->look.stat;
    uint64_t there = stat->stx_blocks * 512, wanted = object->wanted;
    object->size = stat->stx_size;
    object->missing = wanted == SL_STORE_SIZE_UNKNOWN || there >= wanted ? 0 : wanted - there;
    if (object->missing == 0 && object->size >= wanted) {
        expect_finish(object, SL_OK);
    } else if (sl_store_has_room(object->store, object->missing)) {
        expect_allocate(object);
    } else {
        object->step = EXPECT_LOOK_AT_ROOM;
        sl_disk_statfs(object->store->disk, &object->op, object->store->root->files_fd, &object->look.statfs,
                       on_expect_step, object);
    }
}

/* A failed allocation may have left the file longer, and some of it taken. */
static void on_expect_allocated(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err == SL_OK && object->allocated < object->wanted)
        object->allocated = object->wanted;
    if (op->err == SL_OK || op->err == SL_UNSUPPORTED) {
        expect_finish(object, SL_OK);
        return;
    }
    object->err = op->err;
    object->sys_errno = op->sys_errno;
    object->step = EXPECT_CUT;
    sl_disk_truncate(object->store->disk, &object->op, object->fd, object->size, on_expect_step, object);
}

static void on_expect_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    switch ((enum expect_step)object->step) {
    case EXPECT_LOOK:
        object->sys_errno = op->sys_errno;
        if (op->err == SL_OK)
            on_expect_looked(object);
        else
            expect_finish(object, op->err);
        return;
    case EXPECT_LOOK_AT_ROOM:
        if (op->err == SL_OK)
            sl_local_set_free(object->store, &object->look.statfs);
        expect_allocate(object);
        return;
    case EXPECT_ALLOCATE: on_expect_allocated(object, op); return;
    case EXPECT_CUT:
        if (op->err != SL_OK)
            object->allocated = UINT64_MAX; /* then it is cut at the end */
        expect_finish(object, object->err);
        return;
    }
}

static void expect_start(struct sl_store_object *object)
{
    object->step = EXPECT_LOOK;
    sl_disk_stat(object->store->disk, &object->op, object->fd, "", &object->look.stat, on_expect_step, object);
}

void sl_store_expect(struct sl_store_object *object, uint64_t size, sl_store_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && sl_disk_op_is_idle(&object->op));
    object->wanted = size;
    object->on_done = on_done;
    object->ctx = ctx;
    sl_local_when_grown(object, expect_start);
}

/* ---- writing ---- */

static void on_grown(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    object->is_grow_running = false;
    atomic_fetch_sub_explicit(&object->store->root->writing_bytes, object->growing, memory_order_relaxed);
    if (op->err != SL_OK)
        object->claimed = object->end;
    /* A failed one may have left the file longer all the same: no further step, and a cut at the end. */
    object->allocated = op->err == SL_OK ? op->args.allocate.bytes : UINT64_MAX;
    if (object->grow_waiter != NULL) {
        void (*resume)(struct sl_store_object *) = object->grow_waiter;
        object->grow_waiter = NULL;
        resume(object);
    }
}

/* As much again as is there: few steps, for each waits for the direct writes in flight. */
static uint64_t grow_step(uint64_t end)
{
    return end < GROW_MIN_BYTES ? GROW_MIN_BYTES : end > GROW_MAX_BYTES ? GROW_MAX_BYTES : end;
}

/* Takes the next step of space while the current one is being filled. A failure is no news: the write that finds no
 * room will say so. */
static void grow_ahead(struct sl_store_object *object, uint64_t end)
{
    uint64_t step = grow_step(end);
    if (!object->is_bulk || object->is_grow_running || object->expected != SL_STORE_SIZE_UNKNOWN ||
        object->allocated >= end + step / 4 || !claim(object->store, step))
        return;
    atomic_fetch_add_explicit(&object->store->root->writing_bytes, step, memory_order_relaxed);
    object->growing = step;
    object->claimed = end + step;
    object->is_grow_running = true;
    sl_disk_allocate(object->store->disk, &object->grow_op, object->fd, end + step, on_grown, object);
}

/* Of a length that nobody told, what is written is claimed as it comes. */
static bool claim_up_to(struct sl_store_write *write, uint64_t end)
{
    struct sl_store_object *object = write->object;
    if (object->expected != SL_STORE_SIZE_UNKNOWN || end <= object->claimed)
        return true;
    uint64_t bytes = end - object->claimed;
    if (!claim(object->store, bytes))
        return false;
    object->claimed = end;
    write->claimed = bytes;
    atomic_fetch_add_explicit(&object->store->root->writing_bytes, bytes, memory_order_relaxed);
    return true;
}

static void on_written(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_write *write = ctx;
    atomic_fetch_sub_explicit(&write->object->store->root->writing_bytes, write->claimed, memory_order_relaxed);
    if (op->err != SL_OK)
        write->object->sys_errno = op->sys_errno;
    write->on_done(write, op->err, write->ctx);
}

/* A write for which there was no room when somebody looked last. */
struct late_write {
    struct sl_store_write *write;
    struct sl_slab *slab;
    size_t from, len;
    uint64_t offset;
    struct statfs statfs;
};

static void on_room_looked_at(struct sl_disk_op *op, void *ctx)
{
    struct late_write late = *(struct late_write *)ctx;
    struct sl_store_write *write = late.write;
    struct sl_store_object *object = write->object;
    free(ctx);
    if (op->err == SL_OK)
        sl_local_set_free(object->store, &late.statfs);
    bool has_room = claim_up_to(write, late.offset + late.len);
    if (has_room)
        sl_disk_write(object->store->disk, &write->op, object->fd, late.slab, late.from, late.len, late.offset,
                      on_written, write);
    sl_slab_release(late.slab); /* before anybody is told, as of any write */
    if (!has_room)
        write->on_done(write, SL_NO_SPACE, write->ctx);
}

/* What was free a moment ago may be more now: here, too, nobody is refused without a fresh look. */
static void write_late(struct sl_store_write *write, struct sl_slab *slab, size_t from, size_t len, uint64_t offset)
{
    struct sl_store *store = write->object->store;
    struct late_write *late = malloc(sizeof *late);
    if (late == NULL)
        abort();
    *late = (struct late_write){.write = write, .slab = slab, .from = from, .len = len, .offset = offset};
    sl_slab_acquire(slab);
    sl_disk_statfs(store->disk, &write->op, store->root->files_fd, &late->statfs, on_room_looked_at, late);
}

void sl_store_write(struct sl_store_object *object, struct sl_store_write *write, struct sl_slab *slab, size_t from,
                    size_t len, uint64_t offset, bool is_tail, sl_store_write_cb on_done, void *ctx)
{
    assert(from % SL_SLAB_BLOCK_BYTES == 0 && offset % SL_SLAB_BLOCK_BYTES == 0);
    assert(is_tail || len % SL_SLAB_BLOCK_BYTES == 0);
    *write = (struct sl_store_write){.object = object, .on_done = on_done, .ctx = ctx};
    if (object->end < offset + len)
        object->end = offset + len;
    grow_ahead(object, offset + len);
    if (claim_up_to(write, offset + len))
        sl_disk_write(object->store->disk, &write->op, object->fd, slab, from, len, offset, on_written, write);
    else
        write_late(write, slab, from, len, offset);
}

void sl_store_set_bulk(struct sl_store_object *object, bool is_bulk)
{
    if (object->is_bulk == is_bulk)
        return;
    object->is_bulk = is_bulk;
    /* Only a flag of the open file is changed; no disk is asked. Refused, the page cache serves. */
    if (object->store->root->has_direct)
        (void)fcntl(object->fd, F_SETFL, is_bulk ? O_DIRECT : 0);
}

/* ---- dropping ---- */

/* Emptied before it is closed: the kernel may report a close and drop the file a moment later, but when an abort is
 * done the space is back, so that whoever comes next finds it. One that is kept loses its id before its bytes, lest a
 * crash leave a state that tells of bytes that are gone; and its bytes only if it has no other name. One that was
 * resumed may have been finished, and replaced at its name since, while somebody still reads it: the last to close it
 * gives its space back. */
enum abort_step { ABORT_DROP_ID, ABORT_FORGET, ABORT_LOOK, ABORT_EMPTY, ABORT_CLOSE, ABORT_UNLINK };

static void on_abort_step(struct sl_disk_op *op, void *ctx);

static void abort_finish(struct sl_store_object *object)
{
    object->fd = -1;
    object->on_done(object, SL_OK, object->ctx);
}

static void abort_close(struct sl_store_object *object)
{
    object->step = ABORT_CLOSE;
    sl_local_close(object, on_abort_step);
}

static void abort_unlink(struct sl_store_object *object)
{
    object->step = ABORT_UNLINK;
    sl_disk_unlink(object->store->disk, &object->op, object->store->root->uploads_fd, object->temp, false,
                   on_abort_step, object);
}

static void abort_empty(struct sl_store_object *object)
{
    object->step = ABORT_EMPTY;
    sl_disk_truncate(object->store->disk, &object->op, object->fd, 0, on_abort_step, object);
}

/* The state of an upload is of no use to a finished file, and may take a block of its own. */
static void abort_forget(struct sl_store_object *object)
{
    object->step = ABORT_FORGET;
    sl_disk_removexattr(object->store->disk, &object->op, object->fd, SL_STATE_ATTRIBUTE, on_abort_step, object);
}

static void abort_look(struct sl_store_object *object)
{
    if (object->is_linked && object->kept == NULL) {
        abort_forget(object);
        return;
    }
    if (object->is_resumed || object->is_exposed) {
        abort_close(object);
        return;
    }
    object->step = ABORT_LOOK;
    sl_disk_stat(object->store->disk, &object->op, object->fd, "", &object->look.stat, on_abort_step, object);
}

/* Where it failed the id is away now, and may be back after a crash. */
static void on_abort_synced(struct sl_dirsync_waiter *waiter, sl_err err)
{
    struct sl_store_object *object = SL_CONTAINER_OF(waiter, struct sl_store_object, dirsync);
    if (err == SL_OK)
        object->kept = NULL;
    else
        object->sys_errno = waiter->sys_errno;
    abort_look(object);
}

static void on_abort_id_dropped(struct sl_store_object *object, const struct sl_disk_op *op)
{
    bool needs_sync = object->store->root->options.durability == SL_DURABILITY_FULL && !object->is_expired;
    if (op->err != SL_OK && op->err != SL_NOT_FOUND) {
        object->sys_errno = op->sys_errno;
        abort_close(object);
        return;
    }
    object->is_id_away = true;
    if (needs_sync) {
        sl_kept_sync_uploads(object, on_abort_synced);
    } else {
        object->kept = NULL;
        abort_look(object);
    }
}

/* Whatever fails, the rest is tried all the same. */
static void on_abort_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    switch ((enum abort_step)object->step) {
    case ABORT_DROP_ID: on_abort_id_dropped(object, op); return;
    case ABORT_FORGET: abort_close(object); return;
    case ABORT_LOOK:
        if (op->err == SL_OK && object->look.stat.stx_nlink == 0)
            abort_empty(object);
        else
            abort_close(object);
        return;
    case ABORT_EMPTY: abort_close(object); return;
    case ABORT_CLOSE:
        if (object->is_named)
            abort_unlink(object);
        else
            abort_finish(object);
        return;
    case ABORT_UNLINK: abort_finish(object); return;
    }
}

static void abort_start(struct sl_store_object *object)
{
    if (object->kept == NULL) {
        (object->is_exposed ? abort_close : abort_empty)(object);
        return;
    }
    object->step = ABORT_DROP_ID;
    sl_disk_unlink(object->store->disk, &object->op, object->store->root->uploads_fd, object->kept, false,
                   on_abort_step, object);
}

void sl_store_abort(struct sl_store_object *object, sl_store_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && sl_disk_op_is_idle(&object->op) && !object->is_only_read);
    object->on_done = on_done;
    object->ctx = ctx;
    sl_local_when_grown(object, abort_start);
}

void sl_store_expire(struct sl_store_object *object, sl_store_cb on_done, void *ctx)
{
    assert(object->kept != NULL);
    object->is_expired = true;
    sl_store_abort(object, on_done, ctx);
}

void sl_local_when_grown(struct sl_store_object *object, void (*go_on)(struct sl_store_object *object))
{
    if (object->is_grow_running)
        object->grow_waiter = go_on;
    else
        go_on(object);
}
