/* Private to upload: what the parts of a resumable upload know of each other.
 *
 *   resumable.c            the phases: making, opening, dropping, closing
 *   resumable_body.c       a request's body, from the offset to the end
 *   resumable_keep.c       the state: kept, and noted with the name
 *   resumable_redigest.c   bytes that are there already, digested once more
 *   resumable_join.c       partial ones into one
 *   resumable_parts.c      what becomes of them then
 *
 * Loop thread. */
#ifndef SLUICE_UPLOAD_RESUMABLE_WORK_H
#define SLUICE_UPLOAD_RESUMABLE_WORK_H

#include "sluice/upload/resumable.h"

typedef void (*sl_resumable_step)(struct sl_resumable *resumable, sl_err err);

struct sl_redigest;
struct sl_join;
struct sl_parts;

struct sl_resumable_work {
    struct sl_resumable *resumable; /* fixed */
    struct sl_intake *intake;
    sl_resumable_cb on_change;
    void *ctx;
    struct sl_session_part part;
    struct sl_claim claim;
    bool has_claim;
    enum sl_resumable_purpose purpose;       /* of the opening */
    bool is_announced, is_bodyless, is_last; /* of the plan */
    bool is_untold;                          /* made by this request, which has told nobody of it */
    bool is_kept;                            /* there is something under its id that is to stay */
    bool is_completing;                      /* the body under way is the last of it */
    bool was_named;                          /* by this opening */
    bool is_spoilt;                          /* it goes when it is closed */
    bool is_settled;                         /* nothing more is wanted of the session */
    bool has_place;                          /* among the unfinished ones */
    uint64_t counted;                        /* bytes of it */
    bool has_owner;                          /* it is counted for, */
    struct sl_tally_key owner;               /* who is this */
    struct sl_pipeline *pipeline;

    unsigned busy;               /* what will come back: nothing is given back before */
    sl_resumable_step on_stored; /* of the one operation on the object that may be under way; NULL: none */
    sl_resumable_step on_kept;   /* likewise */
    uint64_t keep_offset, keep_touched_ns;
    bool keep_is_done;
    struct sl_hash_state keep_hash;
    struct sl_mail later;
    sl_resumable_step on_later;
    sl_err later_err;

    struct sl_store_write read;
    size_t bytes_read;
    struct sl_redigest *redigest;
    struct sl_join *join;
    struct sl_parts *parts;

    char known[SL_STORE_STATE_BYTES_MAX];   /* where the texts of the state lie */
    char encoded[SL_STORE_STATE_BYTES_MAX]; /* what is being written */
};

/* ---- resumable.c ---- */

/* The only place where the phase changes. */
void sl_resumable_enter(struct sl_resumable *resumable, enum sl_resumable_phase next);
/* Enters a phase and tells; or, when it is to be closed, closes on. The last thing a step does. */
void sl_resumable_reach(struct sl_resumable *resumable, enum sl_resumable_phase next);
void sl_resumable_fail(struct sl_resumable *resumable, sl_err err);
/* Gives the next thing back, if nothing is under way. */
void sl_resumable_close_on(struct sl_resumable *resumable);
/* Runs `step` in a later turn. One at a time. */
void sl_resumable_later(struct sl_resumable *resumable, sl_resumable_step step, sl_err err);

/* After a step, which `err` tells of: false: it has failed now, or is to be closed, and that goes on. */
SL_MUST_CHECK bool sl_resumable_may_go_on(struct sl_resumable *resumable, sl_err err);

/* An operation on the object begins, ends in sl_resumable_on_stored (ctx: the resumable), and goes on with `step`. */
void sl_resumable_store(struct sl_resumable *resumable, sl_resumable_step step);
void sl_resumable_on_stored(struct sl_store_object *object, sl_err err, void *ctx);

/* ---- resumable_body.c ---- */

/* The session was flushed; also while closing. */
void sl_resumable_staged(struct sl_resumable *resumable);
/* on_mark of the session. */
void sl_resumable_on_mark(struct sl_session *session, void *ctx);
/* It is complete: its name. From OPENING and ENDING; nothing is in flight. A step: with an error it fails. */
void sl_resumable_complete(struct sl_resumable *resumable, sl_err err);
/* The same of bytes that are there, whose saved digest may not be what is wanted. */
void sl_resumable_complete_as_it_is(struct sl_resumable *resumable);
/* To be closed while RECEIVING: what came is kept, if it may be. */
void sl_resumable_break_off(struct sl_resumable *resumable);

/* ---- resumable_keep.c ---- */

/* SL_HEAD_TOO_LARGE: the state will not fit at some time. */
SL_MUST_CHECK sl_err sl_resumable_fits(const struct sl_upload_state *state);
/* Keeps what is there: `offset` bytes, of which `hash` tells. Then resumable->state tells so too. */
void sl_resumable_keep(struct sl_resumable *resumable, uint64_t offset, const struct sl_hash_state *hash,
                       sl_resumable_step step);
/* Gives the object its name, of session->size bytes. State: STAGED. */
void sl_resumable_name(struct sl_resumable *resumable);
/* It has it: the state tells so, here, and on disk if that could be written. */
void sl_resumable_named(struct sl_resumable *resumable);
void sl_resumable_count(struct sl_resumable *resumable);
void sl_resumable_dismiss(struct sl_resumable *resumable);
/* What is to be digested of an upload like this. */
sl_hash_set sl_resumable_digests(const struct sl_intake *intake, const struct sl_upload_state *state);
/* Is the saved digest all that is needed? Else it was saved by another sluice, or with other options, or not at all. */
bool sl_resumable_has_digests(const struct sl_resumable *resumable);

/* ---- resumable_redigest.c ---- */

/* Digests bytes [0, bytes) of the object for what is wanted of it, which must be something, off the loop; then
 * work->part.hash tells of them. Nothing else is done to the object meanwhile. With a pipeline it is its buffer that is
 * used: whoever holds one must not wait for another. */
void sl_resumable_redigest(struct sl_resumable *resumable, uint64_t bytes, sl_resumable_step step);
/* To be closed while it waits for a buffer: it waits no more, and ends in a later turn. false: it did not wait. */
bool sl_resumable_stop_waiting(struct sl_resumable *resumable);

/* ---- resumable_join.c ---- */

/* SL_NOT_FOUND: it is no URL of an upload. */
SL_MUST_CHECK sl_err sl_resumable_part_id(struct sl_bytes url, char id_out[SL_STORE_ID_BYTES]);

/* ---- resumable_parts.c ---- */

/* It was joined and is done: its parts are over too, and are noted to be so. What cannot be noted is left alone, to
 * expire later. Then `step`, with SL_OK. */
void sl_resumable_end_parts(struct sl_resumable *resumable, sl_resumable_step step);

#endif
