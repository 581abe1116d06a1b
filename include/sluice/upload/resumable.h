/* One resumable upload, as one request deals with it: opened or made, looked at, gone on with, finished, dropped. It
 * holds the claim on its id and everything it needs, and knows nothing of requests or dialects. Loop thread.
 *
 *   IDLE -> MAKING --------------> RECEIVING -> ENDING -> KEPT | DONE | FAILED
 *             |                      ^
 *             +-> KEPT (-> ENDING: join), ENDING: without a body
 *   IDLE -> OPENING -> OPEN -> PREPARING
 *                       +-> ENDING (finish, join, drop) -> KEPT | DONE | GONE | FAILED
 *   any but IDLE -> CLOSING -> CLOSED
 *
 * on_change runs, always in a later turn, when OPEN, RECEIVING, KEPT, DONE, GONE or FAILED is reached, and besides when
 * `is_wanted` turns true (somebody else asked for this upload: end the body and close soon), and when state.offset has
 * moved on and is durable while RECEIVING (for 104). Whatever was reached, sl_resumable_close gives all of it back;
 * in the middle of a body it first keeps what came, unless that is to be checked as a whole. */
#ifndef SLUICE_UPLOAD_RESUMABLE_H
#define SLUICE_UPLOAD_RESUMABLE_H

#include "sluice/store/upload_state.h"
#include "sluice/upload/pipeline.h"
#include "sluice/upload/uploads.h"

enum sl_resumable_phase {
    SL_RESUMABLE_IDLE,
    SL_RESUMABLE_MAKING,
    SL_RESUMABLE_OPENING,
    SL_RESUMABLE_OPEN,
    SL_RESUMABLE_PREPARING,
    SL_RESUMABLE_RECEIVING,
    SL_RESUMABLE_ENDING,
    SL_RESUMABLE_KEPT,
    SL_RESUMABLE_DONE,
    SL_RESUMABLE_GONE,
    SL_RESUMABLE_FAILED,
    SL_RESUMABLE_CLOSING,
    SL_RESUMABLE_CLOSED,
    SL_RESUMABLE_PHASES
};

/* What it is opened for. */
enum sl_resumable_purpose {
    SL_RESUMABLE_TO_GO_ON, /* or to be looked at */
    SL_RESUMABLE_TO_DROP,
};

struct sl_resumable;
typedef void (*sl_resumable_cb)(struct sl_resumable *resumable, void *ctx);

struct sl_resumable {
    /* for the owner */
    enum sl_resumable_phase phase;
    sl_err err; /* FAILED: why. SL_NOT_FOUND: no such upload, or not any more */
    bool is_wanted;
    struct sl_upload_state state; /* from OPEN or RECEIVING on; its offset is what may be acknowledged */
    struct sl_session session;    /* RECEIVING: where the pipeline puts its data. From DONE on: path, etag, digests,
                                     size, created_ns of the file (kind PARTIAL: none); of one that is OPEN and done
                                     already path and id alone. After a refusal of its name: as of a session */
    bool is_check_wrong;          /* after SL_DIGEST_MISMATCH: of this body alone, not of the whole */

    /* its own: fields are added here by upload/resumable.c */
    struct sl_resumable_work *work;
};

/* Makes a new one. resumable: zeroed, lent until CLOSED. state: copied, with all its texts; filled but for offset,
 * times, hash and is_done; its path by sl_session_name or the request. session.id: set already.
 * is_announced: its URL is told before its body is over (104): it is kept before RECEIVING is reached. Else it is kept
 * first when its body has ended, and a body that breaks leaves nothing.
 * is_bodyless: without RECEIVING; at once KEPT, or DONE if it is complete: of tus, its length is 0; of the draft,
 * is_last is set, and its length is 0 or not told. A FINAL one always is.
 * SL_TOO_LARGE, SL_TOO_MANY_UPLOADS, SL_HEAD_TOO_LARGE, SL_TOO_MANY_FILES: nothing was begun. Later, by FAILED, what
 * sl_session_open says, SL_NO_SPACE, and SL_UNSUPPORTED where nothing can be kept. */
struct sl_resumable_plan {
    const struct sl_upload_state *state;
    bool is_announced, is_bodyless, is_last;
};
SL_MUST_CHECK sl_err sl_resumable_make(struct sl_resumable *resumable, struct sl_intake *intake,
                                       const struct sl_resumable_plan *plan, sl_resumable_cb on_change, void *ctx);

/* Takes over the upload `id` (copied): whoever deals with it now is told to end, and this waits. Then OPEN or FAILED. A
 * whole one of tus that has all its bytes and no name yet, because a crash came between, gets it first, unless it is
 * opened to be dropped: then sl_resumable_drop is all that may follow. */
void sl_resumable_open(struct sl_resumable *resumable, struct sl_intake *intake, const char *id,
                       enum sl_resumable_purpose purpose, sl_resumable_cb on_change, void *ctx);

/* From OPEN: gets ready for a body that goes on at state.offset. pipeline: admitted, empty, and not filled before
 * RECEIVING; lent until KEPT, DONE, FAILED or CLOSED: what lies before the offset in its block is put into it. Then
 * RECEIVING or FAILED. */
void sl_resumable_receive(struct sl_resumable *resumable, struct sl_pipeline *pipeline);
/* From RECEIVING of a new one, before its first byte: the same. At once. */
void sl_resumable_attach(struct sl_resumable *resumable, struct sl_pipeline *pipeline);

/* The length has become known: at any time before the end. SL_LENGTH: it is not what was told before, or less than has
 * come. SL_TOO_LARGE. */
SL_MUST_CHECK sl_err sl_resumable_set_length(struct sl_resumable *resumable, uint64_t length);

/* This body alone is to digest to `promised` (copied): nothing of it counts until it does. Before its first byte; or,
 * its algorithms alone announced by `set`, with the digest told by a second call before the end (of a trailer). */
void sl_resumable_check(struct sl_resumable *resumable, sl_hash_set set, const struct sl_digests *promised);

/* The body is over, or (from OPEN) there is none. is_last: no more will come, the upload is complete; else one of tus
 * is if it has its length. Then KEPT, DONE or FAILED; after FAILED the offset is where it was kept last. Where it is
 * FAILED already nothing happens: that was told.
 * SL_LENGTH by FAILED: it is_last, and its length is another; or more came, at any time before: then one of the draft
 * is dropped as it is closed. */
void sl_resumable_end(struct sl_resumable *resumable, bool is_last);

/* From OPEN: one of the draft is no more, and goes when it is closed; nothing happens to others. By itself so does one
 * that more came of than it was to have, and one that all came of whose name, or whose digest, was refused for good. */
void sl_resumable_spoil(struct sl_resumable *resumable);

/* Of a FINAL one from KEPT, as it was just made, or again later from OPEN: joins the partial ones that state.concat
 * tells, if all of them have all their bytes, and they are over then. Then DONE, KEPT (some have not; state.length
 * tells of all, if that is known) or FAILED: SL_NOT_FOUND (one is not there, or is no partial one), SL_TOO_LARGE,
 * SL_NO_SPACE, SL_TOO_MANY_FILES, what the disk says, SL_DIGEST_MISMATCH, and what its name is refused for. One just
 * made is dropped then. */
void sl_resumable_join(struct sl_resumable *resumable);

/* From OPEN: drops it. A finished one keeps its file. Then GONE, or FAILED if it is still there. */
void sl_resumable_drop(struct sl_resumable *resumable);

/* Gives everything back; then CLOSED, the last on_change, by which the memory is the owner's. In any phase but IDLE,
 * once. */
void sl_resumable_close(struct sl_resumable *resumable);

/* When it will be gone if nobody touches it: wall clock. Before CLOSED. */
uint64_t sl_resumable_expires_ns(const struct sl_resumable *resumable);

#endif
