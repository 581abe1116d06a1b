/* Objects that are kept: ROOT/uploads/ID, a name like another of the same file, and the state as an attribute of it.
 * The order is the promise:
 *
 *   for the first time   state, sync the file, name it, sync the folder
 *   again                sync the bytes, state, sync the file
 *
 * so that a state never tells of bytes that are not there, and both are durable when it is answered. What a process
 * that was killed left of such an order is synced before anybody is told of it.
 *
 * Several processes may serve one root (a restart overlaps): who goes on with a file holds a lock on it (flock), from
 * its open or before it gets its id until it is closed; who meets the lock is refused. Loop thread. */
#include "local.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#define ID_LEN (SL_STORE_ID_BYTES - 1)

bool sl_store_is_id(struct sl_bytes text)
{
    if (text.len != ID_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!(text.base[i] >= 'a' && text.base[i] <= 'z') && !(text.base[i] >= '2' && text.base[i] <= '7'))
            return false;
    return true;
}

struct sl_bytes sl_kept_state(struct sl_bytes value, const char *id)
{
    if (value.len < ID_LEN || memcmp(value.base, id, ID_LEN) != 0)
        return (struct sl_bytes){NULL, 0};
    return (struct sl_bytes){value.base + ID_LEN, value.len - ID_LEN};
}

static char *make_room(struct sl_store_object *object)
{
    assert(object->room == NULL);
    object->room = malloc(SL_STATE_ATTRIBUTE_BYTES_MAX);
    if (object->room == NULL)
        abort();
    return object->room;
}

void sl_kept_forget_value(struct sl_store_object *object)
{
    free(object->room);
    object->room = NULL;
}

void sl_kept_write(struct sl_store_object *object, const char *id, struct sl_bytes state, sl_disk_cb on_done)
{
    assert(state.len <= SL_STORE_STATE_BYTES_MAX);
    char *value = make_room(object);
    memcpy(value, id, ID_LEN);
    if (state.len > 0)
        memcpy(value + ID_LEN, state.base, state.len);
    sl_disk_setxattr(object->store->disk, &object->op, object->fd, SL_STATE_ATTRIBUTE, value, ID_LEN + state.len,
                     on_done, object);
}

/* The temporary name of one that replaces another: of the id, so that it is found after a crash. */
static void set_temp(struct sl_store_object *object, const char *id)
{
    snprintf(object->temp, sizeof object->temp, SL_LOCAL_TEMP_PREFIX "%s", id);
}

void sl_kept_set_id(struct sl_store_object *object, const char *id)
{
    object->kept = id;
    object->is_named = false;
    set_temp(object, id);
}

/* Of an open file, so no disk is asked. Where the file system has no locks there is one process. false: somebody else
 * has it. */
static bool lock(struct sl_store_object *object)
{
    if (object->is_locked)
        return true;
    object->is_locked = flock(object->fd, LOCK_EX | LOCK_NB) == 0;
    return object->is_locked || errno != EWOULDBLOCK;
}

void sl_local_close(struct sl_store_object *object, sl_disk_cb on_done)
{
    if (object->is_locked)
        (void)flock(object->fd, LOCK_UN);
    object->is_locked = false;
    sl_disk_close(object->store->disk, &object->op, object->fd, on_done, object);
}

static void start(struct sl_store_object *object, sl_store_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && sl_disk_op_is_idle(&object->op));
    object->on_done = on_done;
    object->ctx = ctx;
    object->err = SL_OK;
}

static bool is_id(const char *id)
{
    return sl_store_is_id(sl_bytes_of(id));
}

/* ---- keeping ---- */

enum keep_step { KEEP_REFUSE, KEEP_SYNC_BYTES, KEEP_STATE, KEEP_SYNC, KEEP_NAME };

static void keep_run(struct sl_store_object *object, enum keep_step step);

static enum sl_durability durability_of(const struct sl_store_object *object)
{
    return object->store->root->options.durability;
}

static void keep_finish(struct sl_store_object *object, sl_err err, int sys_errno)
{
    if (err != SL_OK)
        object->sys_errno = sys_errno;
    object->on_done(object, err, object->ctx);
}

/* Where it fails the name stays, for an abort to take it away: it may or may not survive. */
static void on_uploads_synced(struct sl_dirsync_waiter *waiter, sl_err err)
{
    struct sl_store_object *object = SL_CONTAINER_OF(waiter, struct sl_store_object, dirsync);
    sl_local_sync_ended(object);
    object->is_id_sure = err == SL_OK;
    keep_finish(object, err, waiter->sys_errno);
}

void sl_kept_sync_uploads(struct sl_store_object *object,
                          void (*on_synced)(struct sl_dirsync_waiter *waiter, sl_err err))
{
    /* A folder that no path below files/ has. */
    static const struct sl_path uploads = {.len = sizeof "//uploads" - 1, .text = "//uploads"};
    object->dirsync.dir_fd = object->store->root->uploads_fd;
    sl_local_sync_begun(object);
    sl_dirsync_wait(object->store, &uploads, &object->dirsync, on_synced);
}

static void sync_uploads(struct sl_store_object *object)
{
    if (object->is_id_sure || durability_of(object) != SL_DURABILITY_FULL) {
        object->is_id_sure = true;
        keep_finish(object, SL_OK, 0);
        return;
    }
    sl_kept_sync_uploads(object, on_uploads_synced);
}

static void keep_name(struct sl_store_object *object)
{
    if (object->kept != NULL)
        sync_uploads(object);
    else
        keep_run(object, KEEP_NAME);
}

/* What was durable before the state was written need not be so again where only the bytes are promised. */
static void on_state_written(struct sl_store_object *object)
{
    bool is_synced = object->kept != NULL && durability_of(object) == SL_DURABILITY_DATA;
    if (durability_of(object) == SL_DURABILITY_NONE || is_synced)
        keep_name(object);
    else
        keep_run(object, KEEP_SYNC);
}

static void on_keep_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    enum keep_step step = (enum keep_step)object->step;
    sl_kept_forget_value(object);
    if (op->err != SL_OK) {
        keep_finish(object, op->err, op->sys_errno);
        return;
    }
    switch (step) {
    case KEEP_REFUSE: keep_finish(object, object->err, 0); return;
    case KEEP_SYNC_BYTES:
        sl_local_sync_ended(object);
        keep_run(object, KEEP_STATE);
        return;
    case KEEP_STATE:
        object->has_kept_state = true;
        on_state_written(object);
        return;
    case KEEP_SYNC:
        sl_local_sync_ended(object);
        keep_name(object);
        return;
    case KEEP_NAME:
        sl_kept_set_id(object, object->keep_id);
        sync_uploads(object);
        return;
    }
}

static void keep_run(struct sl_store_object *object, enum keep_step step)
{
    struct sl_disk *disk = object->store->disk;
    struct sl_disk_op *op = &object->op;
    int uploads_fd = object->store->root->uploads_fd;
    object->step = step;
    switch (step) {
    case KEEP_REFUSE: /* in a later turn, as everything */
        sl_disk_stat(disk, op, object->fd, "", &object->look.stat, on_keep_step, object);
        return;
    case KEEP_SYNC_BYTES:
        sl_local_sync_begun(object);
        sl_disk_sync(disk, op, object->fd, true, on_keep_step, object);
        return;
    case KEEP_STATE: sl_kept_write(object, object->keep_id, object->state, on_keep_step); return;
    case KEEP_SYNC:
        sl_local_sync_begun(object);
        sl_disk_sync(disk, op, object->fd, durability_of(object) == SL_DURABILITY_DATA, on_keep_step, object);
        return;
    case KEEP_NAME:
        if (object->is_named)
            sl_disk_rename(disk, op, uploads_fd, object->temp, uploads_fd, object->keep_id, 0, on_keep_step, object);
        else
            sl_disk_link(disk, op, AT_FDCWD, object->proc, uploads_fd, object->keep_id, AT_SYMLINK_FOLLOW,
                         on_keep_step, object);
        return;
    }
}

void sl_store_keep(struct sl_store_object *object, const char *id, struct sl_bytes state, sl_store_cb on_done,
                   void *ctx)
{
    assert(is_id(id) && (object->kept == NULL || strcmp(object->kept, id) == 0));
    start(object, on_done, ctx);
    object->keep_id = id;
    object->state = state;
    object->has_kept_state = false;
    object->err = !object->store->root->has_meta ? SL_UNSUPPORTED : lock(object) ? SL_OK : SL_BUSY;
    if (object->err != SL_OK)
        keep_run(object, KEEP_REFUSE);
    else if (object->kept != NULL && durability_of(object) != SL_DURABILITY_NONE)
        keep_run(object, KEEP_SYNC_BYTES);
    else
        keep_run(object, KEEP_STATE);
}

/* ---- going on ---- */

enum resume_step {
    RESUME_OPEN,
    RESUME_LOCK, /* where somebody has it: a process that was killed may still do */
    RESUME_LOOK,
    RESUME_DROP_TEMP,
    RESUME_LOOK_AGAIN,
    RESUME_LOOK_FOR_COMMIT,
    RESUME_SYNC,
    RESUME_STATE,
    RESUME_CLOSE_FAILED
};

static void resume_run(struct sl_store_object *object, enum resume_step step);

static void resume_refuse(struct sl_store_object *object, sl_err err, int sys_errno)
{
    object->err = err;
    object->sys_errno = sys_errno;
    resume_run(object, RESUME_CLOSE_FAILED);
}

/* Locked before it is looked at: what is found then stays so. */
static void on_resume_opened(struct sl_store_object *object, const struct sl_disk_op *op)
{
    if (op->err != SL_OK) {
        keep_finish(object, sl_local_absent_or(op->err), op->sys_errno);
        return;
    }
    object->fd = (int)op->result;
    snprintf(object->proc, sizeof object->proc, "/proc/self/fd/%d", object->fd);
    if (object->is_only_read || lock(object))
        resume_run(object, RESUME_LOOK);
    else
        resume_run(object, RESUME_LOCK);
}

/* A finished one was synced before it got its name, and its last state is not promised. */
static void resume_known(struct sl_store_object *object, bool is_linked)
{
    bool is_sure = object->is_only_read || is_linked || durability_of(object) == SL_DURABILITY_NONE;
    object->is_linked = is_linked;
    resume_run(object, is_sure ? RESUME_STATE : RESUME_SYNC);
}

/* What was written before this object's time is older than it, and on the file's own clock. */
static void take_in_file(struct sl_store_object *object)
{
    const struct statx *stat = &object->look.stat;
    uint64_t modified_ns = sl_local_modified_ns(stat);
    if (modified_ns < object->begun_ns)
        object->begun_ns = modified_ns;
    object->size = object->allocated = object->end = object->claimed = stat->stx_size;
    object->inode = stat->stx_ino;
    object->major = stat->stx_dev_major;
    object->minor = stat->stx_dev_minor;
    if (stat->stx_nlink > 1 && !object->is_only_read)
        resume_run(object, RESUME_LOOK_FOR_COMMIT);
    else
        resume_known(object, false);
}

/* A second name may be a temporary one, of a commit that a crash has interrupted. */
static void on_resume_look(struct sl_store_object *object)
{
    const struct statx *stat = &object->look.stat;
    if (!S_ISREG(stat->stx_mode) || stat->stx_nlink == 0)
        resume_refuse(object, SL_NOT_FOUND, 0);
    else if (stat->stx_nlink > 1 && !object->is_only_read)
        resume_run(object, RESUME_DROP_TEMP);
    else
        take_in_file(object);
}

/* A second name may be a backup's, too: a commit describes the file before it links it. */
static void on_commit_looked_for(struct sl_store_object *object, const struct sl_disk_op *op)
{
    sl_kept_forget_value(object);
    if (op->err == SL_OK || op->err == SL_TOO_LARGE)
        resume_known(object, true);
    else if (op->err == SL_NOT_FOUND || op->err == SL_UNSUPPORTED)
        resume_known(object, false);
    else
        resume_refuse(object, op->err, op->sys_errno);
}

static void on_state_read(struct sl_store_object *object, const struct sl_disk_op *op)
{
    bool is_absent = op->err == SL_NOT_FOUND || op->err == SL_TOO_LARGE || op->err == SL_UNSUPPORTED;
    struct sl_bytes state = {NULL, 0};
    if (op->err == SL_OK)
        state = sl_kept_state((struct sl_bytes){object->room, (size_t)op->result}, object->kept);
    object->state_len = state.len;
    if (state.len > 0)
        memcpy(object->state_out, state.base, state.len);
    sl_kept_forget_value(object);
    if (op->err == SL_OK || is_absent)
        keep_finish(object, SL_OK, 0);
    else
        resume_refuse(object, op->err, op->sys_errno);
}

static void on_resume_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    enum resume_step step = (enum resume_step)object->step;
    if (op->err != SL_OK &&
        (step == RESUME_LOCK || step == RESUME_LOOK || step == RESUME_LOOK_AGAIN || step == RESUME_SYNC)) {
        resume_refuse(object, op->err, op->sys_errno);
        return;
    }
    switch (step) {
    case RESUME_OPEN: on_resume_opened(object, op); return;
    case RESUME_LOCK:
        object->is_locked = true;
        resume_run(object, RESUME_LOOK);
        return;
    case RESUME_LOOK: on_resume_look(object); return;
    case RESUME_DROP_TEMP:
        if (op->err == SL_OK)
            resume_run(object, RESUME_LOOK_AGAIN);
        else
            take_in_file(object);
        return;
    case RESUME_LOOK_AGAIN: take_in_file(object); return;
    case RESUME_LOOK_FOR_COMMIT: on_commit_looked_for(object, op); return;
    case RESUME_SYNC: resume_run(object, RESUME_STATE); return;
    case RESUME_STATE: on_state_read(object, op); return;
    case RESUME_CLOSE_FAILED:
        object->fd = -1;
        object->on_done(object, object->err, object->ctx);
        return;
    }
}

static void resume_run(struct sl_store_object *object, enum resume_step step)
{
    struct sl_disk *disk = object->store->disk;
    struct sl_disk_op *op = &object->op;
    int uploads_fd = object->store->root->uploads_fd, fd = object->fd;
    object->step = step;
    switch (step) {
    case RESUME_OPEN: {
        uint64_t flags = object->is_only_read ? O_RDONLY | O_NONBLOCK : O_RDWR;
        struct open_how how = {.flags = flags | O_NOCTTY, .resolve = SL_LOCAL_RESOLVE};
        sl_disk_open(disk, op, uploads_fd, object->kept, how, on_resume_step, object);
        return;
    }
    case RESUME_LOCK: sl_disk_lock(disk, op, fd, on_resume_step, object); return;
    case RESUME_LOOK:
    case RESUME_LOOK_AGAIN: sl_disk_stat(disk, op, fd, "", &object->look.stat, on_resume_step, object); return;
    case RESUME_DROP_TEMP: sl_disk_unlink(disk, op, uploads_fd, object->temp, false, on_resume_step, object); return;
    case RESUME_LOOK_FOR_COMMIT: /* only whether it is there */
        sl_disk_getxattr(disk, op, fd, SL_LOCAL_META, make_room(object), SL_STATE_ATTRIBUTE_BYTES_MAX, on_resume_step,
                         object);
        return;
    case RESUME_SYNC:
        sl_disk_sync(disk, op, fd, durability_of(object) == SL_DURABILITY_DATA, on_resume_step, object);
        return;
    case RESUME_STATE:
        sl_disk_getxattr(disk, op, fd, SL_STATE_ATTRIBUTE, make_room(object), SL_STATE_ATTRIBUTE_BYTES_MAX,
                         on_resume_step, object);
        return;
    case RESUME_CLOSE_FAILED: sl_local_close(object, on_resume_step); return;
    }
}

static void open_kept(struct sl_store *store, struct sl_store_object *object, const char *id, bool is_only_read,
                      char *state_out, sl_store_cb on_done, void *ctx)
{
    assert(is_id(id));
    uint64_t now_ns = sl_clock_wall_ns();
    *object = (struct sl_store_object){.store = store,
                                       .expected = SL_STORE_SIZE_UNKNOWN,
                                       .on_done = on_done,
                                       .ctx = ctx,
                                       .begun_ns = now_ns - SL_LOCAL_TICK_NS,
                                       .clock_gap_ns = now_ns - sl_clock_now_ns(),
                                       .is_resumed = true,
                                       .is_only_read = is_only_read,
                                       .state_out = state_out,
                                       .fd = -1};
    sl_kept_set_id(object, id);
    resume_run(object, RESUME_OPEN);
}

void sl_store_resume(struct sl_store *store, struct sl_store_object *object, const char *id, char *state_out,
                     sl_store_cb on_done, void *ctx)
{
    open_kept(store, object, id, false, state_out, on_done, ctx);
}

void sl_store_look(struct sl_store *store, struct sl_store_object *object, const char *id, char *state_out,
                   sl_store_cb on_done, void *ctx)
{
    open_kept(store, object, id, true, state_out, on_done, ctx);
}

void sl_store_set_end(struct sl_store_object *object, uint64_t bytes)
{
    assert(object->is_resumed && !object->is_only_read && sl_disk_op_is_idle(&object->op));
    if (bytes < object->end && !object->is_linked)
        object->end = bytes;
}

static void on_read_back(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_write *write = ctx;
    size_t bytes = op->err == SL_OK ? (size_t)op->result : 0;
    if (op->err != SL_OK)
        write->object->sys_errno = op->sys_errno;
    *write->bytes_out = bytes < write->len ? bytes : write->len;
    write->on_done(write, op->err, write->ctx);
}

void sl_store_read_back(struct sl_store_object *object, struct sl_store_write *write, struct sl_slab *slab,
                        size_t len, uint64_t offset, size_t *bytes_out, sl_store_write_cb on_done, void *ctx)
{
    assert(object->fd >= 0 && offset % SL_SLAB_BLOCK_BYTES == 0);
    *write =
        (struct sl_store_write){.object = object, .on_done = on_done, .ctx = ctx, .bytes_out = bytes_out, .len = len};
    size_t whole = (len + SL_SLAB_BLOCK_BYTES - 1) / SL_SLAB_BLOCK_BYTES * SL_SLAB_BLOCK_BYTES;
    sl_disk_read(object->store->disk, &write->op, object->fd, slab, whole, offset, on_read_back, write);
}

static void on_copied(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    if (op->err != SL_OK)
        keep_finish(object, op->err, op->sys_errno);
    else
        keep_finish(object, (uint64_t)op->result < op->args.copy.bytes ? SL_IO : SL_OK, EIO);
}

void sl_store_copy(struct sl_store_object *object, struct sl_store_object *from, uint64_t from_offset,
                   uint64_t offset, uint64_t bytes, sl_store_cb on_done, void *ctx)
{
    assert(from != object && from->fd >= 0 && bytes <= SL_STORE_COPY_BYTES);
    start(object, on_done, ctx);
    sl_store_set_bulk(object, false);
    if (object->end < offset + bytes)
        object->end = offset + bytes;
    sl_disk_copy(object->store->disk, &object->op, from->fd, from_offset, object->fd, offset, bytes, on_copied,
                 object);
}

/* ---- letting go ---- */

enum release_step { RELEASE_DROP_TEMP, RELEASE_CUT, RELEASE_CLOSE };

static void release_run(struct sl_store_object *object, enum release_step step);

/* What was taken ahead of bytes that may never come is given back. */
static void release_cut(struct sl_store_object *object)
{
    bool is_ahead = object->allocated > object->end;
    release_run(object, is_ahead && !object->is_linked && !object->is_exposed ? RELEASE_CUT : RELEASE_CLOSE);
}

static void on_release_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_object *object = ctx;
    (void)op; /* whatever fails, the rest is tried all the same */
    switch ((enum release_step)object->step) {
    case RELEASE_DROP_TEMP: release_cut(object); return;
    case RELEASE_CUT: release_run(object, RELEASE_CLOSE); return;
    case RELEASE_CLOSE:
        object->fd = -1;
        object->kept = NULL;
        object->on_done(object, SL_OK, object->ctx);
        return;
    }
}

static void release_run(struct sl_store_object *object, enum release_step step)
{
    struct sl_disk *disk = object->store->disk;
    struct sl_disk_op *op = &object->op;
    int uploads_fd = object->store->root->uploads_fd;
    object->step = step;
    switch (step) {
    case RELEASE_DROP_TEMP:
        sl_disk_unlink(disk, op, uploads_fd, object->temp, false, on_release_step, object);
        return;
    case RELEASE_CUT: sl_disk_truncate(disk, op, object->fd, object->end, on_release_step, object); return;
    case RELEASE_CLOSE: sl_local_close(object, on_release_step); return;
    }
}

static void release_start(struct sl_store_object *object)
{
    if (object->is_named)
        release_run(object, RELEASE_DROP_TEMP);
    else
        release_cut(object);
}

void sl_store_release(struct sl_store_object *object, sl_store_cb on_done, void *ctx)
{
    assert(object->kept != NULL);
    start(object, on_done, ctx);
    sl_local_when_grown(object, release_start);
}
