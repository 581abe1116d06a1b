/* One file on its way in: the state machine from "begin" to "its name is durable". Bytes reach it through a pipeline;
 * it knows nothing of requests. Loop thread.
 *
 *   IDLE -> CHECKING -> OPENING -> RECEIVING -> FLUSHING -> STAGED -> COMMITTING -> DONE
 *              |           |          |            |          |           |
 *              +-----------+----------+--- FAILED -+----------+-----------+
 *                                        |
 *   (anything but IDLE, DONE) -> LEAVING -> GONE
 *
 * A session of a part (struct sl_session_part) may be resumed, IDLE -> OPENING, and its owner may keep the object while
 * it is RECEIVING or STAGED.
 *
 * on_change runs when RECEIVING, STAGED, DONE, FAILED or GONE is reached, always in a later turn than the call that led
 * there. Every way to stop ends in session_leave -> GONE or in DONE, and both give back the same: the file, the lane,
 * the place. */
#ifndef SLUICE_UPLOAD_SESSION_H
#define SLUICE_UPLOAD_SESSION_H

#include "sluice/upload/intake.h"

enum sl_session_state {
    SL_SESSION_IDLE,
    SL_SESSION_CHECKING,
    SL_SESSION_OPENING,
    SL_SESSION_RECEIVING,
    SL_SESSION_FLUSHING,
    SL_SESSION_STAGED,
    SL_SESSION_COMMITTING,
    SL_SESSION_DONE,
    SL_SESSION_FAILED,
    SL_SESSION_LEAVING,
    SL_SESSION_GONE,
    SL_SESSION_STATES
};

struct sl_session;
typedef void (*sl_session_cb)(struct sl_session *session, void *ctx);

#define SL_UPLOAD_ID_BYTES 27 /* 26 characters of base32, 130 random bits, and NUL */

/* One stretch of a file that may come in several: the session goes on where the last one ended, and may end by being
 * kept (store/kept.h) instead of named. Such a session need not have a path. */
struct sl_session_part {
    /* for the owner; of a new object before it is opened, else before sl_session_go_on */
    uint64_t offset;           /* where it begins: so many bytes are there */
    struct sl_hash_state hash; /* of the bytes before; when STAGED with is_more or saves_hash, of all. What it digests
                                  is what is computed; len 0: nothing */
    uint64_t limit;            /* bytes above are SL_LENGTH; SL_STORE_SIZE_UNKNOWN: no limit */
    bool is_more;              /* until the finish: the file does not end here, so its digests go on */
    bool saves_hash;           /* likewise: it ends here, but it may be kept all the same */
    bool stays;                /* left, the object stays as it was kept last */
    sl_hash_set check_set;     /* before the first byte: algorithms of `check` */
    struct sl_digests check;   /* until the finish: the stretch alone is to digest to this */
    bool is_check_wrong;       /* after SL_DIGEST_MISMATCH: of this, not of the whole */
    const char *keep_id;       /* for the commit: as in struct sl_store_terms; state_of gets the owner's ctx */
    struct sl_bytes state;
    struct sl_bytes (*state_of)(const struct sl_path *path, void *ctx);

    /* A mark: once as many bytes have come, and all of those are written and digested, on_mark runs. */
    uint64_t mark_at; /* UINT64_MAX: none */
    sl_session_cb on_mark;
    uint64_t marked; /* in on_mark: bytes that are there */
    struct sl_hash_state marked_hash;

    /* the session's */
    sl_hash_set set;
    size_t known; /* bytes at the front of the next piece that were digested before */
    struct sl_hash_lane check_lane;
    struct sl_hash_job check_end, mark_job, save_job;
    struct sl_digests check_found;
    bool has_check_lane, is_marking, is_mark_hashing;
    unsigned before_mark; /* pieces in flight that were fed before the mark */
};

/* What an upload is to become. */
struct sl_session_plan {
    uint64_t expected; /* bytes, or SL_STORE_SIZE_UNKNOWN */
    enum sl_conflict conflict;
    const struct sl_conditions *conditions; /* lent until the session is over; NULL: none */
    const struct sl_digests *promised;      /* what the sender says the bytes digest to; likewise */
    struct sl_session_part *part;           /* likewise; NULL: the file comes in one piece, and is named */
    bool is_small;                          /* all of it comes at once, or nearly; without a part */
};

struct sl_session {
    /* for the owner */
    enum sl_session_state state;
    sl_err err;                /* FAILED: why, the first reason */
    uint64_t size;             /* bytes accepted; the file's size once STAGED */
    struct sl_digests digests; /* from STAGED on, and after SL_DIGEST_MISMATCH: of the bytes that came */
    enum sl_hash_alg mismatch; /* after SL_DIGEST_MISMATCH: the first that is not what was promised */
    struct sl_path path;       /* the name asked for; the one it got from DONE on */
    /* DONE: of this file. After SL_EXISTS, SL_PRECONDITION: of what has the name, "" if that is not known. */
    char etag[SL_ETAG_BYTES];
    bool has_replaced;    /* from DONE on */
    bool has_kept_fields; /* from DONE on: the text fields are stored with it, if there are any */
    uint64_t created_ns;  /* wall clock: begun; from DONE on: named */
    char id[SL_UPLOAD_ID_BYTES];
    struct sl_upload_times times; /* so far */
    sl_err why; /* set by the owner before it leaves one that did not fail: why, for the count. SL_OK: SL_CANCELLED */

    /* the session's */
    struct sl_intake *intake;
    sl_session_cb on_change;
    void *ctx;
    struct sl_session_plan plan;
    struct sl_store_reader *look; /* CHECKING */
    struct sl_store_object object;
    struct sl_store_terms terms; /* COMMITTING; its metadata is ours */
    char short_meta[128];        /* and here, if it is short */
    struct sl_hash_lane lane;
    struct sl_hash_job lane_end;
    struct sl_mail later;
    bool has_lane, has_file, wants_to_leave;
    bool is_late;            /* its file is made with its first piece, */
    bool is_beginning;       /* now, */
    struct sl_link waiting;  /* and here are the pieces that came meanwhile */
    bool is_counted;         /* among the uploads of the intake's stats */
    uint64_t entered_ns;     /* its state; is_counted */
    uint8_t epoch;           /* marks so far */
    unsigned inflight;       /* pieces being written or hashed */
    struct sl_session_span { /* while there are such pieces */
        unsigned pieces;
        uint64_t from_ns;
    } writing, hashing;
    unsigned lane_jobs;       /* in flight that are no pieces */
    uint64_t written, hashed; /* bytes, for the sum at the end */
};

/* Makes a fresh id, not to be guessed. Any thread; aborts if the kernel has no randomness. */
void sl_upload_id(char id_out[SL_UPLOAD_ID_BYTES]);

/* Fills session->path by the template of the intake, a cleaned `filename` and session->id. The session must be IDLE
 * and have its id and created_ns. SL_BAD_PATH: the template gives no valid path. */
SL_MUST_CHECK sl_err sl_session_name(struct sl_session *session, struct sl_intake *intake, struct sl_bytes filename);

/* Begins. session: zeroed but for id, path and created_ns, lent until DONE or GONE. plan: copied. Then RECEIVING or
 * FAILED: where conditions are set, and with conflict ERROR, what has the name is looked at early, so that SL_EXISTS
 * and SL_PRECONDITION are told before the body is sent; they are decided again with the name. With If-None-Match: * an
 * existing name is SL_PRECONDITION whatever the conflict rule.
 * A small one that finds room is RECEIVING already when this returns, and on_change is not called for that: its file is
 * made with its first piece, and what is known of its name is told with the naming.
 * SL_TOO_LARGE, SL_TOO_MANY_FILES: nothing was begun. */
SL_MUST_CHECK sl_err sl_session_open(struct sl_session *session, struct sl_intake *intake,
                                     const struct sl_session_plan *plan, sl_session_cb on_change, void *ctx);

/* Begins with what is kept under `id` (lent until the session is over). plan: with a part. state_out: as in
 * sl_store_resume; session->object then tells the rest. Then RECEIVING or FAILED; nothing is fed before
 * sl_session_go_on. SL_TOO_MANY_FILES: nothing was begun. */
SL_MUST_CHECK sl_err sl_session_resume(struct sl_session *session, struct sl_intake *intake,
                                       const struct sl_session_plan *plan, const char *id, char *state_out,
                                       sl_session_cb on_change, void *ctx);

/* One that was resumed is to receive a body: from now on it counts as an upload, as others do from their opening. */
void sl_session_count(struct sl_session *session);

/* From RECEIVING of a resumed one: plan.part and the path are filled in now. */
void sl_session_go_on(struct sl_session *session);

/* The owner met something that ends the session: FAILED in a later turn. RECEIVING and FLUSHING; else ignored. */
void sl_session_break(struct sl_session *session, sl_err err);

/* The last byte was given: flush, and hold the digests against what was promised (SL_DIGEST_MISMATCH). Then STAGED or
 * FAILED. State: RECEIVING, or FAILED, which was told already (ignored). */
void sl_session_finish(struct sl_session *session);

/* Gives the file its name, and what is to be known about it; not with part->is_more. about: lent for the call; its
 * digests and time are filled in here. State: STAGED. Then DONE or FAILED. */
void sl_session_commit(struct sl_session *session, const struct sl_meta *about);

/* Drops everything as soon as nothing is in flight. Then GONE; no other on_change comes before. An idle session, and
 * one that is DONE or GONE already, is fine and gives no call. */
void sl_session_leave(struct sl_session *session);

/* true: no callback is to come and the memory is the owner's. */
bool sl_session_is_over(const struct sl_session *session);

/* ---- for the pipeline ---- */

/* A sealed piece of data at the session's end: bytes [0, len) of the slab at file offset session->size (before). */
struct sl_piece;
typedef void (*sl_piece_cb)(struct sl_piece *piece, void *ctx);
struct sl_piece {
    struct sl_store_write write;
    struct sl_hash_job job, check_job;
    struct sl_session *session;
    struct sl_slab *slab;
    size_t len, known; /* known: bytes at its front that were digested before */
    uint64_t offset, fed_ns;
    bool is_written;
    uint8_t epoch;           /* marks made before it */
    unsigned parts_inflight; /* 0: idle */
    struct sl_link link;     /* in intake->idle_pieces, or session->waiting */
    sl_piece_cb on_done;
    void *ctx;
};

/* Writes and hashes the piece. slab: SEALED; references are held until both are done with it. piece: lent until
 * on_done, which runs once, in a later turn, whatever became of it. len > 0, a multiple of a block but for the last.
 * In any state but RECEIVING the bytes are dropped and `false` is returned: on_done will not run. */
bool sl_session_feed(struct sl_session *session, struct sl_piece *piece, struct sl_slab *slab, size_t len,
                     bool is_last, sl_piece_cb on_done, void *ctx);

/* A hint passed on to the store: what follows is much and comes fast. */
void sl_session_set_bulk(struct sl_session *session, bool is_bulk);

#endif
