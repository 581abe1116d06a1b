/* The state of a resumable upload, as it is kept: with each stretch, at checkpoints, and with the name. */
#include "resumable_work.h"

#include "sluice/base/clock.h"
#include "sluice/base/utf8.h"
#include "sluice/decode/tus.h"

#include <assert.h>

#define NAME_BYTES_MAX 1023
#define HASH_REST_MAX  127 /* what a saved digest may grow by: less than a block */

sl_hash_set sl_resumable_digests(const struct sl_intake *intake, const struct sl_upload_state *state)
{
    sl_hash_set promised = state->promised.set;
    return state->kind == SL_UPLOAD_PARTIAL ? promised : intake->digests | promised;
}

bool sl_resumable_has_digests(const struct sl_resumable *resumable)
{
    const struct sl_hash_state *hash = &resumable->work->part.hash;
    sl_hash_set set = 0;
    uint64_t digested;
    if (hash->len == 0 || sl_hash_state_check(hash, &set, &digested) != SL_OK)
        return sl_resumable_digests(resumable->work->intake, &resumable->state) == 0;
    return (resumable->state.promised.set & ~set) == 0;
}

sl_err sl_resumable_fits(const struct sl_upload_state *state)
{
    char room[SL_STORE_STATE_BYTES_MAX];
    struct sl_upload_state largest = *state;
    size_t len;
    if (largest.length == SL_STORE_SIZE_UNKNOWN)
        largest.length = largest.offset;
    if (largest.hash.len > 0)
        largest.hash.len += HASH_REST_MAX;
    if (largest.hash.len > SL_HASH_STATE_BYTES_MAX)
        largest.hash.len = SL_HASH_STATE_BYTES_MAX;
    return sl_upload_state_encode(&largest, room, &len);
}

/* ---- its place among the unfinished ones ---- */

void sl_resumable_count(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    uint64_t bytes = sl_uploads_bytes_of(&resumable->state);
    if (!work->has_place || bytes <= work->counted)
        return;
    sl_uploads_count(work->intake->uploads, 0, bytes - work->counted);
    work->counted = bytes;
}

void sl_resumable_dismiss(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    if (work->has_place)
        sl_uploads_dismiss(work->intake->uploads, work->counted, work->has_owner ? &work->owner : NULL);
    work->has_place = false;
}

/* ---- kept ---- */

static void on_kept(struct sl_resumable *resumable, sl_err err)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_upload_state *state = &resumable->state;
    sl_resumable_step step = work->on_kept;
    work->on_kept = NULL;
    if (err == SL_OK) {
        work->is_kept = true;
        work->part.stays = !work->is_spoilt;
        state->offset = work->keep_offset;
        state->touched_ns = work->keep_touched_ns;
        state->hash = work->keep_hash;
        state->is_done = work->keep_is_done;
        sl_resumable_count(resumable);
        if (sl_uploads_is_over(state))
            sl_resumable_dismiss(resumable);
    }
    step(resumable, err);
}

/* A digest that was not wanted when it was made may be too long for its state: it can be made again. */
static sl_err encode_with_or_without_hash(struct sl_resumable_work *work, struct sl_upload_state *state,
                                          size_t *len_out)
{
    sl_err err = sl_upload_state_encode(state, work->encoded, len_out);
    if (err == SL_OK || state->hash.len == 0)
        return err;
    state->hash.len = work->keep_hash.len = 0;
    return sl_upload_state_encode(state, work->encoded, len_out);
}

void sl_resumable_keep(struct sl_resumable *resumable, uint64_t offset, const struct sl_hash_state *hash,
                       sl_resumable_step step)
{
    struct sl_resumable_work *work = resumable->work;
    struct sl_upload_state state = resumable->state;
    size_t len;
    state.offset = work->keep_offset = offset;
    state.touched_ns = work->keep_touched_ns = sl_clock_wall_ns();
    state.hash = work->keep_hash = *hash;
    /* A partial one has nothing else to become. */
    state.is_done = work->keep_is_done = state.kind == SL_UPLOAD_PARTIAL && offset == state.length;
    assert(work->on_kept == NULL);
    work->on_kept = step;
    sl_err err = encode_with_or_without_hash(work, &state, &len);
    if (err != SL_OK) {
        sl_resumable_later(resumable, on_kept, err);
        return;
    }
    sl_resumable_store(resumable, on_kept);
    sl_store_keep(&resumable->session.object, resumable->session.id, (struct sl_bytes){work->encoded, len},
                  sl_resumable_on_stored, resumable);
}

/* ---- named ---- */

/* What is known of it once it has its name: what is needed only to go on is dropped. */
static void make_done(const struct sl_resumable *resumable, const struct sl_path *path,
                      struct sl_upload_state *state_out)
{
    *state_out = resumable->state;
    state_out->is_done = true;
    state_out->offset = state_out->length = resumable->session.size;
    state_out->touched_ns = sl_clock_wall_ns();
    state_out->hash.len = 0;
    state_out->conditions = (struct sl_conditions){0};
    state_out->has_owner = false;
    state_out->path = *path;
}

static struct sl_bytes done_state(const struct sl_path *path, void *ctx)
{
    struct sl_resumable *resumable = ctx;
    struct sl_upload_state state;
    size_t len;
    make_done(resumable, path, &state);
    if (sl_upload_state_encode(&state, resumable->work->encoded, &len) != SL_OK) {
        /* A name that became longer by a number: the number is not worth failing for. */
        state.path = resumable->state.path;
        if (sl_upload_state_encode(&state, resumable->work->encoded, &len) != SL_OK)
            len = 0;
    }
    return (struct sl_bytes){resumable->work->encoded, len};
}

/* The name that the sender gave it, as it stands in what it told. */
static struct sl_bytes original_name(const struct sl_upload_state *state, char room[NAME_BYTES_MAX])
{
    size_t len = 0;
    if (state->name.len > 0 || state->metadata.len == 0)
        return state->name;
    if (!sl_tus_metadata_find(state->metadata, "filename", room, NAME_BYTES_MAX, &len) &&
        !sl_tus_metadata_find(state->metadata, "name", room, NAME_BYTES_MAX, &len))
        return (struct sl_bytes){0};
    struct sl_bytes name = {room, len};
    return sl_utf8_is_clean(name) ? name : (struct sl_bytes){0};
}

void sl_resumable_name(struct sl_resumable *resumable)
{
    struct sl_resumable_work *work = resumable->work;
    const struct sl_upload_state *state = &resumable->state;
    char room[NAME_BYTES_MAX];
    struct sl_meta about = {.name = original_name(state, room),
                            .type = state->type,
                            .request_id = state->request_id,
                            .is_attachment = state->is_attachment};
    /* Nobody was told of the id of one that came in one piece by the draft's rules. */
    bool is_unknown = state->dialect == SL_UPLOAD_DRAFT && !work->is_kept;
    work->part.keep_id = is_unknown ? NULL : resumable->session.id;
    work->part.state_of = done_state;
    sl_session_commit(&resumable->session, &about);
}

void sl_resumable_named(struct sl_resumable *resumable)
{
    const struct sl_store_object *object = &resumable->session.object;
    struct sl_upload_state done;
    make_done(resumable, &resumable->session.path, &done);
    resumable->state = done;
    resumable->work->is_kept = true;
    if (object->kept == NULL || object->has_kept_state)
        sl_resumable_dismiss(resumable); /* else whoever reads it next still takes it for unfinished */
}
