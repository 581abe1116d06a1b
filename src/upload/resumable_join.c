/* Partial uploads made into one: each is looked at first, for nothing is done before all of them have all their bytes;
 * then they are copied one behind the other, and what became of them is digested.
 *
 * A partial one that has all its bytes changes no more, so it is read without a claim, and whoever still deals with it
 * is not disturbed. If it is dropped while it is copied, its bytes are there until it is closed; before that it is one
 * that is not there. */
#include "resumable_work.h"

#include "sluice/decode/tus.h"

#include <assert.h>
#include <stdlib.h>

struct sl_join {
    struct sl_resumable *resumable;
    struct sl_bytes urls; /* still to come, of this round */
    bool is_copying;      /* the second round */
    bool is_unfinished;   /* some have not all their bytes, */
    bool is_known;        /* but all know how many that will be */
    sl_err err;
    uint64_t total, at;    /* bytes of all; bytes copied */
    uint64_t part_at, len; /* of the one that is open */
    struct sl_store_object part;
    char id[SL_STORE_ID_BYTES];
    char known[SL_STORE_STATE_BYTES_MAX];
};

static void next(struct sl_join *join);

static void over(struct sl_join *join)
{
    struct sl_resumable *resumable = join->resumable;
    sl_err err = join->err;
    resumable->work->join = NULL;
    resumable->work->busy--;
    free(join);
    if (err != SL_OK) {
        sl_resumable_fail(resumable, err);
        return;
    }
    resumable->work->is_untold = false; /* it will be */
    sl_resumable_reach(resumable, SL_RESUMABLE_KEPT);
}

static void on_part_closed(struct sl_store_object *part, sl_err err, void *ctx)
{
    struct sl_join *join = ctx;
    (void)part;
    (void)err;
    join->resumable->work->intake->files--;
    if (join->err != SL_OK)
        over(join);
    else
        next(join);
}

static void close_part(struct sl_join *join)
{
    sl_store_release(&join->part, on_part_closed, join);
}

/* ---- copying ---- */

static void on_copied(struct sl_store_object *object, sl_err err, void *ctx);

static void copy_on(struct sl_join *join)
{
    struct sl_resumable *resumable = join->resumable;
    uint64_t left = join->len - join->part_at;
    if (resumable->phase == SL_RESUMABLE_CLOSING && join->err == SL_OK)
        join->err = SL_CANCELLED;
    if (left == 0 || join->err != SL_OK) {
        close_part(join);
        return;
    }
    if (left > SL_STORE_COPY_BYTES)
        left = SL_STORE_COPY_BYTES;
    sl_store_copy(&resumable->session.object, &join->part, join->part_at, join->at, left, on_copied, join);
    join->part_at += left;
    join->at += left;
}

static void on_copied(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_join *join = ctx;
    (void)object;
    join->err = err;
    copy_on(join);
}

/* ---- the rounds ---- */

static void finish(struct sl_join *join)
{
    struct sl_resumable *resumable = join->resumable;
    struct sl_resumable_work *work = resumable->work;
    work->part.offset = join->at;
    work->part.hash.len = 0;
    work->join = NULL;
    work->busy--;
    free(join);
    sl_resumable_complete_as_it_is(resumable);
}

static void on_space(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_join *join = ctx;
    (void)object;
    join->err = err;
    if (err != SL_OK)
        over(join);
    else
        next(join);
}

static bool begin_round(struct sl_join *join)
{
    enum sl_tus_concat concat;
    struct sl_bytes field = join->resumable->state.concat;
    return sl_tus_concat(field, &concat, &join->urls) == SL_OK && concat == SL_TUS_CONCAT_FINAL;
}

static void begin_copying(struct sl_join *join)
{
    struct sl_resumable *resumable = join->resumable;
    struct sl_resumable_work *work = resumable->work;
    (void)begin_round(join);
    join->is_copying = true;
    if (join->total > work->intake->size_max) {
        join->err = SL_TOO_LARGE;
        over(join);
        return;
    }
    resumable->state.length = work->part.limit = join->total;
    sl_store_expect(&resumable->session.object, join->total, on_space, join);
}

static void round_over(struct sl_join *join)
{
    if (join->is_copying) {
        finish(join);
    } else if (join->is_unfinished) {
        if (join->is_known) /* told by HEAD; it may yet change, if a part is dropped */
            join->resumable->state.length = join->total;
        over(join);
    } else {
        begin_copying(join);
    }
}

/* Has it all its bytes, and is it what it should be? */
static void judge_part(struct sl_join *join)
{
    struct sl_upload_state state;
    struct sl_bytes encoded = {join->known, join->part.state_len};
    sl_err err = sl_upload_state_decode(encoded, &state);
    bool is_known = err == SL_OK && state.length != SL_STORE_SIZE_UNKNOWN;
    if (err != SL_OK || state.kind != SL_UPLOAD_PARTIAL || state.offset > join->part.size)
        join->err = SL_NOT_FOUND;
    else if (is_known && INT64_MAX - join->total < state.length)
        join->err = SL_TOO_LARGE;
    join->is_known &= is_known;
    join->is_unfinished |= state.offset != state.length;
    join->len = is_known ? state.length : 0;
    join->part_at = 0;
}

static void on_part_open(struct sl_store_object *part, sl_err err, void *ctx)
{
    struct sl_join *join = ctx;
    (void)part;
    if (err != SL_OK) {
        join->resumable->work->intake->files--;
        join->err = err;
        over(join);
        return;
    }
    judge_part(join);
    if (join->is_copying && (join->is_unfinished || join->len > join->total - join->at))
        join->err = SL_NOT_FOUND; /* somebody changed them by hand */
    if (join->err != SL_OK) {
        close_part(join);
    } else if (join->is_copying) {
        copy_on(join);
    } else {
        join->total += join->len;
        close_part(join);
    }
}

sl_err sl_resumable_part_id(struct sl_bytes url, char id_out[SL_STORE_ID_BYTES])
{
    struct sl_bytes id;
    if (!sl_tus_url_id(url, &id) || !sl_store_is_id(id))
        return SL_NOT_FOUND;
    memcpy(id_out, id.base, id.len);
    id_out[id.len] = '\0';
    return SL_OK;
}

static void next(struct sl_join *join)
{
    struct sl_resumable *resumable = join->resumable;
    struct sl_intake *intake = resumable->work->intake;
    struct sl_bytes url;
    if (resumable->phase == SL_RESUMABLE_CLOSING) {
        join->err = SL_CANCELLED;
        over(join);
        return;
    }
    if (!sl_tus_concat_next(&join->urls, &url)) {
        round_over(join);
        return;
    }
    join->err = sl_resumable_part_id(url, join->id);
    if (join->err == SL_OK && intake->files >= intake->files_max)
        join->err = SL_TOO_MANY_FILES;
    if (join->err != SL_OK) {
        over(join);
        return;
    }
    intake->files++;
    sl_store_look(intake->store, &join->part, join->id, join->known, on_part_open, join);
}

static void on_begin(struct sl_resumable *resumable, sl_err err)
{
    struct sl_join *join = resumable->work->join;
    (void)err;
    if (begin_round(join)) {
        next(join);
        return;
    }
    join->err = SL_NOT_FOUND;
    over(join);
}

void sl_resumable_join(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    assert(resumable->state.kind == SL_UPLOAD_FINAL && !resumable->state.is_done && work->join == NULL);
    assert(resumable->session.state == SL_SESSION_RECEIVING);
    sl_resumable_enter(resumable, SL_RESUMABLE_ENDING);
    struct sl_join *join = work->join = calloc(1, sizeof *join);
    if (join == NULL)
        abort();
    join->resumable = resumable;
    join->is_known = true;
    work->busy++;
    sl_resumable_later(resumable, on_begin, SL_OK);
}
