/* The buffers of one request's body: it offers room for the socket to fill, shows what came as a window, and turns
 * what is declared to be file data into aligned pieces for the session that is set. One copy at most: only what lies
 * undecided behind the end of a piece is moved to the front of the next buffer. Loop thread.
 *
 * Bounds. Each admitted pipeline owns one SMALL slab until it is released, so it can always go on: whoever waits holds
 * nothing that others wait for. Uploads begin small, in the page cache; one that proves fast gets LARGE slabs, a fair
 * share of them, and gives them back when it stalls. A short one has a MEDIUM one for two seconds, if few do. */
#ifndef SLUICE_UPLOAD_PIPELINE_H
#define SLUICE_UPLOAD_PIPELINE_H

#include "sluice/upload/session.h"

#define SL_PIPELINE_PIECES_MAX 8 /* in flight: depth 8 is where this design's writes stop gaining */

struct sl_pipeline;
typedef void (*sl_pipeline_cb)(struct sl_pipeline *pipeline, void *ctx);

struct sl_pipeline {
    struct sl_intake *intake; /* fixed after admit */
    sl_pipeline_cb on_room;
    void *ctx;
    struct sl_link link; /* in intake->roomy_pipelines */

    struct sl_slab_waiter waiter;
    struct sl_slab *reserved; /* ours until release; in use while others refer to it or it is `current` */
    struct sl_slab *current;  /* FILLING, or NULL */
    size_t accepted;          /* bytes [0, accepted) are data of the session */
    size_t start, fill;       /* the window: [start, fill) is not decided yet; start >= accepted */
    struct sl_slab *carry;    /* sealed, but [carry_from, carry_to) is still to be moved to the next buffer */
    size_t carry_from, carry_to, carry_accepted; /* the first carry_accepted of them are data already */
    struct sl_session *session;                  /* where accepted bytes go, or NULL */

    unsigned inflight, large_held;
    bool is_bulk, is_starved, is_closing;
    bool is_lent;                   /* `current`, to who primes it, until a file begins */
    bool is_short;                  /* it would fit into a MEDIUM slab, and has not been slow */
    struct sl_mail later;           /* on_closed */
    uint64_t epoch_ns, epoch_bytes; /* the measure of speed */
    uint64_t touched_ns, taken_ns;  /* filled last; took `current` */
    uint64_t admitted_ns;           /* asked to be */
    uint64_t queued_ns;             /* how long it waited for that, until a file is told */
    uint64_t held_bytes;            /* that came and are not sealed */
    size_t primed;                  /* of the first block: bytes that did not come */
    uint64_t remaining;             /* body bytes still to come, SL_STORE_SIZE_UNKNOWN if not known */
};

/* Waits in line for the reserved slab. pipeline: zeroed, lent until sl_pipeline_close's on_closed. on_room: called, in
 * later turns, whenever room may be had again after sl_pipeline_room had none; the first time, when admitted. */
void sl_pipeline_admit(struct sl_pipeline *pipeline, struct sl_intake *intake, uint64_t body_bytes,
                       sl_pipeline_cb on_room, void *ctx);

/* Where the next bytes may be put; len 0: none now. Then either the buffer is full of bytes carried over that the
 * window shows, and they are to be decided on first; or pipeline->is_starved is set and on_room will be called. */
struct sl_room sl_pipeline_room(struct sl_pipeline *pipeline);

/* n bytes were put at the start of the last room. */
void sl_pipeline_filled(struct sl_pipeline *pipeline, size_t n);

/* Bytes that came and are not decided yet; valid until the next call. Bytes that had to be carried over reappear here
 * as the next buffer is taken, so look again after sl_pipeline_room. */
struct sl_bytes sl_pipeline_window(const struct sl_pipeline *pipeline);

/* The first n bytes of the window are nobody's. No data may be accepted and unsealed. */
void sl_pipeline_skip(struct sl_pipeline *pipeline, size_t n);

/* The data of the file begins with n bytes, less than a block, that the caller knows: it puts them at the start of the
 * slab returned before sl_pipeline_begin_file; until then the slab stays. The pipeline is admitted and empty, and is
 * not filled before either. */
struct sl_slab *sl_pipeline_prime(struct sl_pipeline *pipeline, size_t n);

/* From here on data belongs to `session` (RECEIVING); what is in the window moves to the front. */
void sl_pipeline_begin_file(struct sl_pipeline *pipeline, struct sl_session *session);

/* The first n bytes of the window are data of the session. Full buffers go their way. */
void sl_pipeline_accept(struct sl_pipeline *pipeline, size_t n);

/* How many bytes of the session's data wait to be sealed. */
size_t sl_pipeline_unsealed(const struct sl_pipeline *pipeline);

/* The session's data ends here: the rest is sealed and sl_session_finish called. */
void sl_pipeline_end_file(struct sl_pipeline *pipeline);

/* Gives everything back as soon as nothing is in flight; then on_closed, in a later turn. on_room will not run any
 * more. Sessions are not touched. */
void sl_pipeline_close(struct sl_pipeline *pipeline, sl_pipeline_cb on_closed, void *ctx);

/* For the tick: a pipeline that got nothing for two seconds gives its large slab back, and a short one that is not over
 * within two its medium slab. One without is no longer looked at. */
void sl_pipeline_yield_if_stalled(struct sl_pipeline *pipeline, uint64_t now_ns);

#endif
