/* What is known of a resumable upload, and the form it is kept in (store/kept.h): records as of store/meta.h, unknown
 * ones skipped. Pure, any thread. */
#ifndef SLUICE_STORE_UPLOAD_STATE_H
#define SLUICE_STORE_UPLOAD_STATE_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/base/tally.h"
#include "sluice/decode/condition.h"
#include "sluice/decode/path.h"
#include "sluice/hash/hash.h"
#include "sluice/store/kept.h"

/* Numbers on disk: never given a second meaning. */
enum sl_upload_dialect { SL_UPLOAD_TUS = 1, SL_UPLOAD_DRAFT = 2 };
enum sl_upload_kind {
    SL_UPLOAD_WHOLE = 1,
    SL_UPLOAD_PARTIAL = 2, /* of tus: to be part of a final one, never a file by itself */
    SL_UPLOAD_FINAL = 3,   /* of tus: joined out of partial ones */
};

/* Spans: lent by whoever filled it in; of a decoded one they point into the encoded bytes. */
struct sl_upload_state {
    enum sl_upload_dialect dialect;
    enum sl_upload_kind kind;
    bool is_done;                    /* it has its name, or (PARTIAL) all of its bytes */
    bool is_joined;                  /* PARTIAL: it is part of a final one that is done */
    uint64_t offset;                 /* bytes that were acknowledged, or may be */
    uint64_t length;                 /* SL_STORE_SIZE_UNKNOWN: not told yet */
    uint64_t created_ns, touched_ns; /* wall clock; touched: as it was kept last */
    enum sl_conflict conflict;
    bool is_attachment;
    bool is_posted;                         /* by POST, under a name made here: what answers its end is JSON */
    struct sl_path path;                    /* the name it is to have, or has once it is done; empty: PARTIAL */
    struct sl_bytes name, type, request_id; /* as of sl_meta; name empty where `metadata` tells it */
    struct sl_bytes metadata;               /* Upload-Metadata as sent, for HEAD; valid, or empty */
    struct sl_bytes concat;                 /* FINAL: Upload-Concat as sent */
    struct sl_conditions conditions; /* of its name, judged when it gets it; any bytes, without if_modified_since
                                               and if_range, which ask nothing of one that writes */
    struct sl_digests promised;      /* what the whole is to digest to */
    sl_hash_set wanted;              /* digests that the answer to its end is to tell; 0: those there are */
    struct sl_hash_state hash;       /* of bytes [0, offset); len 0: none (nothing is digested) */
    bool has_owner;                  /* it counts for the address that made it, */
    struct sl_tally_key owner;       /* which is this */
};

/* SL_HEAD_TOO_LARGE: it does not fit. *len_out: bytes used of `out`. */
SL_MUST_CHECK sl_err sl_upload_state_encode(const struct sl_upload_state *state, char out[SL_STORE_STATE_BYTES_MAX],
                                            size_t *len_out);

/* Reads it; encoded may be any bytes and is lent as long as state_out is used. SL_BAD_FIELD: not ours. What it gives is
 * within bounds: path valid or empty, offset at most length, texts UTF-8 without control bytes, hash a valid state
 * of as many bytes as `offset`, or none. */
SL_MUST_CHECK sl_err sl_upload_state_decode(struct sl_bytes encoded, struct sl_upload_state *state_out);

#endif
