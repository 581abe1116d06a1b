/* Checksums of uploads. An upload has one lane: what is fed to it is digested in order, in one pass for all its
 * algorithms, by whichever pool thread is free. A lane is not a thread, and a job is not a call: where many lanes of
 * SHA-256 alone wait, a thread takes several at once, each into a lane of the processor's vectors.
 *
 * Pool: one for all loops. Lanes and jobs belong to a loop; callbacks run there, through the loop's mailbox.
 * Digesting cannot fail once a lane is open; its result lies in the lane. */
#ifndef SLUICE_HASH_HASH_H
#define SLUICE_HASH_HASH_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/base/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sl_hash_alg {
    SL_HASH_SHA256,
    SL_HASH_SHA512,
    SL_HASH_SHA1,
    SL_HASH_MD5,
    SL_HASH_CRC32C,
    SL_HASH_CRC32, /* of zlib, Ethernet and tus */
    SL_HASH_ALGS
};
#define SL_HASH_BYTES_MAX 64

/* A set of algorithms: bit i stands for algorithm i. 0 is "none". */
typedef unsigned sl_hash_set;

/* The name in digest fields (RFC 9530 and its registry): "sha-256" "sha-512" "sha" "md5" "crc32c"; and "crc32", which
 * is tus's. Static. */
const char *sl_hash_name(enum sl_hash_alg alg);
size_t sl_hash_bytes(enum sl_hash_alg alg);
/* false: no such name. Compares without case. */
bool sl_hash_find(struct sl_bytes name, enum sl_hash_alg *alg_out);

/* The digests of one upload; only those in `set` hold something. */
struct sl_digests {
    sl_hash_set set;
    uint8_t value[SL_HASH_ALGS][SL_HASH_BYTES_MAX];
};

struct sl_hash_pool;
struct sl_hash_job;
struct sl_hash_lane;
typedef void (*sl_hash_cb)(struct sl_hash_job *job, void *ctx);

/* Starts `threads` >= 1 threads, at lower priority than the loops (SCHED_BATCH and nice). Aborts on failure:
 * start-up only. */
struct sl_hash_pool *sl_hash_pool_create(unsigned threads);

/* Joins the threads. Every lane must be closed. NULL is fine. */
void sl_hash_pool_destroy(struct sl_hash_pool *pool);

/* A piece of work, embedded by its owner; idle when on_done is NULL. */
struct sl_hash_job {
    struct sl_mail mail;
    struct sl_link link;
    struct sl_hash_lane *lane;
    const void *data; /* NULL: this job saves or ends the lane */
    size_t len;
    struct sl_hash_state *state_out; /* NULL, without data: it ends it */
    sl_hash_cb on_done;
    void *ctx;
};

struct sl_hash_lane {
    struct sl_hash_pool *pool; /* fixed while open; NULL: closed */
    struct sl_mailbox *home;
    struct sl_strand *strand; /* the pool's side of the lane */
    unsigned inflight;        /* loop thread */
    bool is_finished;
    struct sl_digests digests; /* valid after the ending job's on_done */
};

/* Opens a lane for the algorithms in `set` (not empty). pool, home: lent until close.
 * SL_NO_MEMORY: nothing was taken. */
SL_MUST_CHECK sl_err sl_hash_lane_open(struct sl_hash_lane *lane, struct sl_hash_pool *pool, sl_hash_set set,
                                       struct sl_mailbox *home);

/* Digests `len` > 0 bytes after all that was fed before. job, data: lent until on_done, which runs once, in a later
 * turn, in the order of feeding. */
void sl_hash_lane_feed(struct sl_hash_lane *lane, struct sl_hash_job *job, const void *data, size_t len,
                       sl_hash_cb on_done, void *ctx);

/* Ends the lane: at on_done lane->digests is complete. Nothing may be fed afterwards. */
void sl_hash_lane_finish(struct sl_hash_lane *lane, struct sl_hash_job *job, sl_hash_cb on_done, void *ctx);

/* Gives the lane back. No job may be in flight. A zeroed or closed lane is fine. */
void sl_hash_lane_close(struct sl_hash_lane *lane);

/* ---- a digest that is interrupted ---- */

#define SL_HASH_STATE_BYTES_MAX 320

/* What a lane has digested so far, in a form that can be kept on disk and gone on with by any later sluice of the same
 * form; it tells its algorithms itself. Plain bytes: copied as one likes. */
struct sl_hash_state {
    size_t len;
    uint8_t bytes[SL_HASH_STATE_BYTES_MAX];
};

/* Of nothing yet, for the algorithms in `set` (may be empty). Any thread. */
void sl_hash_state_begin(struct sl_hash_state *state, sl_hash_set set);

/* Its algorithms; *digested_out: bytes so far. SL_BAD_FIELD: the bytes, which may be any, are no such state. */
SL_MUST_CHECK sl_err sl_hash_state_check(const struct sl_hash_state *state, sl_hash_set *set_out,
                                         uint64_t *digested_out);

/* Goes on in place: for bodies so small that the hop to the pool would cost more. state: valid. Any thread. */
void sl_hash_state_update(struct sl_hash_state *state, const void *data, size_t len);

/* The digests of all of it; the state stays as it is. state: valid. Any thread. */
void sl_hash_state_end(const struct sl_hash_state *state, struct sl_digests *digests_out);

/* Opens a lane that goes on from `state` (valid, of a set that is not empty; lent for the call). As sl_hash_lane_open
 * else. */
SL_MUST_CHECK sl_err sl_hash_lane_resume(struct sl_hash_lane *lane, struct sl_hash_pool *pool,
                                         const struct sl_hash_state *state, struct sl_mailbox *home);

/* Puts into state_out what was digested of all that was fed before this call, not of what is fed behind it. job,
 * state_out: lent until on_done, which runs once, in a later turn, in the order of feeding. */
void sl_hash_lane_save(struct sl_hash_lane *lane, struct sl_hash_job *job, struct sl_hash_state *state_out,
                       sl_hash_cb on_done, void *ctx);

/* Digests a whole small body in place: cheaper than a hop to the pool up to a few KB. Any thread. */
void sl_hash_now(sl_hash_set set, const void *data, size_t len, struct sl_digests *digests_out);

#endif
