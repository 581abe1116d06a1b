/* Partial uploads that have become part of a final one. Each is noted to be over, one after the other, so that it goes
 * as soon as the id of a finished one does. The final one is there already: whatever fails costs space for a while, and
 * nothing else. Whoever deals with a part is not disturbed. */
#include "resumable_work.h"

#include "sluice/base/clock.h"
#include "sluice/decode/tus.h"

#include <assert.h>
#include <stdlib.h>

struct sl_parts {
    struct sl_resumable *resumable;
    sl_resumable_step step;
    struct sl_bytes urls; /* still to come */
    struct sl_claim claim;
    struct sl_store_object object;
    uint64_t counted; /* bytes of the one under way */
    bool has_owner;   /* which counts for, */
    struct sl_tally_key owner;
    char id[SL_STORE_ID_BYTES];
    char known[SL_STORE_STATE_BYTES_MAX], encoded[SL_STORE_STATE_BYTES_MAX];
};

static void next(struct sl_parts *parts);

static void over(struct sl_parts *parts)
{
    struct sl_resumable *resumable = parts->resumable;
    sl_resumable_step step = parts->step;
    resumable->work->parts = NULL;
    resumable->work->busy--;
    free(parts);
    step(resumable, SL_OK);
}

static void on_given(struct sl_claim *claim)
{
    next(SL_CONTAINER_OF(claim, struct sl_parts, claim));
}

static void on_closed(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_parts *parts = ctx;
    (void)object;
    (void)err;
    parts->resumable->work->intake->files--;
    sl_claim_give(&parts->claim, on_given);
}

static void on_noted(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_parts *parts = ctx;
    if (err == SL_OK ||
        object->has_kept_state) /* what is read next is what counts, also if a loss of power changes it */
        sl_uploads_dismiss(parts->resumable->work->intake->uploads, parts->counted,
                           parts->has_owner ? &parts->owner : NULL);
    sl_store_release(object, on_closed, parts);
}

/* The state as it is to be; false: it is to stay as it is. */
static bool end_state(struct sl_parts *parts, struct sl_bytes known, size_t *len_out)
{
    struct sl_upload_state state;
    if (sl_upload_state_decode(known, &state) != SL_OK || state.kind != SL_UPLOAD_PARTIAL || !state.is_done ||
        state.is_joined)
        return false;
    parts->counted = sl_uploads_bytes_of(&state);
    parts->has_owner = state.has_owner;
    parts->owner = state.owner;
    state.is_joined = true;
    state.has_owner = false;
    state.touched_ns = sl_clock_wall_ns();
    return sl_upload_state_encode(&state, parts->encoded, len_out) == SL_OK;
}

static void on_open(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct sl_parts *parts = ctx;
    struct sl_bytes known = {parts->known, object->state_len};
    size_t len;
    if (err != SL_OK)
        on_closed(object, err, parts);
    else if (end_state(parts, known, &len))
        sl_store_keep(object, parts->id, (struct sl_bytes){parts->encoded, len}, on_noted, parts);
    else
        sl_store_release(object, on_closed, parts);
}

/* Takes the next one that nobody deals with; false: there is none. */
static bool take_next(struct sl_parts *parts)
{
    struct sl_intake *intake = parts->resumable->work->intake;
    struct sl_bytes url;
    while (sl_tus_concat_next(&parts->urls, &url)) {
        parts->claim = (struct sl_claim){0};
        if (sl_resumable_part_id(url, parts->id) == SL_OK &&
            sl_claim_try(intake->uploads, &parts->claim, parts->id, intake->mailbox))
            return true;
    }
    return false;
}

static void next(struct sl_parts *parts)
{
    struct sl_resumable *resumable = parts->resumable;
    struct sl_intake *intake = resumable->work->intake;
    bool may_go_on = resumable->phase != SL_RESUMABLE_CLOSING && intake->files < intake->files_max;
    if (!may_go_on || !take_next(parts)) {
        over(parts);
        return;
    }
    intake->files++;
    sl_store_resume(intake->store, &parts->object, parts->id, parts->known, on_open, parts);
}

void sl_resumable_end_parts(struct sl_resumable *resumable, sl_resumable_step step)
{
    enum sl_tus_concat concat;
    struct sl_parts *parts = calloc(1, sizeof *parts);
    if (parts == NULL)
        abort();
    assert(resumable->work->parts == NULL);
    parts->resumable = resumable;
    parts->step = step;
    if (sl_tus_concat(resumable->state.concat, &concat, &parts->urls) != SL_OK)
        parts->urls.len = 0;
    resumable->work->parts = parts;
    resumable->work->busy++;
    next(parts);
}
