/* Private to http/h1: one HTTP/1.1 connection, told in four files: conn.c (life, heads, what comes next), spare.c
 * (bytes read ahead), body.c (the body on its way in), answer.c (the answer on its way out).
 *
 *   HEAD -> BODY -> ANSWER -> HEAD ... -> LINGER -> gone
 *
 * HEAD: reading a request head. BODY: a handler has the request and its body may flow. ANSWER: the answer is being
 * written, and nothing is read. DRAIN: the answer is out, a short rest of the body is read and dropped so that
 * the connection can be kept. LINGER: nothing more is said; what still comes is dropped for a while, lest a reset eat
 * the answer. */
#ifndef SLUICE_HTTP_H1_H1_H
#define SLUICE_HTTP_H1_H1_H

#include "../connection.h"
#include "sluice/decode/chunked.h"
#include "sluice/decode/h1_head.h"

#define SL_H1_SPARE_BYTES (SL_H1_HEAD_BYTES_MAX) /* bytes read beyond what was wanted */
#define SL_H1_SHORT_BYTES ((size_t)4096)         /* a room for fewer of them */

#define SL_H1_PIECES 8 /* of an answer at a time: mostly a head, a chunk's frame and what is in it */

enum sl_h1_phase { SL_H1_HEAD, SL_H1_BODY, SL_H1_ANSWER, SL_H1_DRAIN, SL_H1_LINGER };

struct sl_h1 {
    struct sl_connection base; /* first */
    enum sl_h1_phase phase;

    char *spare; /* bytes not yet used; NULL: none */
    size_t spare_len, spare_room;
    struct sl_h1_scan scan;

    struct sl_chunked chunked;
    uint64_t left; /* body bytes still to come, if not chunked */
    bool is_chunked, expects_continue, has_peer_ended, is_paused;
    bool is_head_timed;                   /* a byte of the head has come */
    bool is_blank_skipped;                /* an empty line before the head, if there was one */
    bool has_served;                      /* a whole head has come */
    uint64_t waiting_since_ns, waited_ns; /* for the minimum rate: only waiting for the client counts */

    h2o_ostream_t final;
    h2o_iovec_t *pieces; /* being written; of the request's pool, for all of its answer */
    size_t piece_room;
    uint64_t counted_bytes; /* of the answer's body, by the metrics */
    bool is_read;           /* it is known to be */
    bool is_interim_inflight, is_head_sent, is_broken_off;
    h2o_iovec_t interim; /* to be written behind the one that is being written */
    struct {             /* an answer that is ready meanwhile */
        h2o_iovec_t *pieces;
        size_t count;
        h2o_send_state_t state;
        bool is_set;
    } held;
    struct sl_request request;
};

/* conn.c */
void sl_h1_close(struct sl_h1 *conn, sl_err why);
/* An answer before the body was read: is the rest of it cheap enough to be read, so that the connection can be kept? */
bool sl_h1_can_drain(const struct sl_h1 *conn);
/* The answer is out: next request, drain, linger or close. */
void sl_h1_after_answer(struct sl_h1 *conn);
/* Answers with the problem `err` and closes; the sink, if any, is aborted. Closes at once if an answer had begun. */
void sl_h1_fail(struct sl_h1 *conn, sl_err err);

/* spare.c */
/* Makes room for `len` bytes, no fewer than are there and at most SL_H1_SPARE_BYTES. */
void sl_h1_size_spare(struct sl_h1 *conn, size_t len);
/* Keeps `len` bytes that belong to the next request; too many make this request the last one. */
void sl_h1_keep_spare(struct sl_h1 *conn, const char *bytes, size_t len);
/* The first `len` were used. */
void sl_h1_use_spare(struct sl_h1 *conn, size_t len);
void sl_h1_drop_spare(struct sl_h1 *conn);

/* body.c */
extern const struct sl_body_ops sl_h1_body_ops;
/* Drops a short rest of the body, then on to the next request. */
void sl_h1_drain_body(struct sl_h1 *conn);
void sl_h1_linger(struct sl_h1 *conn);

/* answer.c */
void sl_h1_init_answer(struct sl_h1 *conn);
void sl_h1_send_interim(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count);

#endif
