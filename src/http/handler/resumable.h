/* Private to http/handler: the part of a resumable upload that tus and the IETF draft have in common. One sl_resumption
 * is one request that deals with one upload: it owns sink, buffers and sl_resumable, and asks its dialect for what
 * differs: whether a request may go on, and every answer. Loop thread.
 *
 *   make -> [body] -> created | done | refused
 *   open -> looked | dropped | check -> [body] -> appended | done | refused
 *
 * A request that breaks, or is taken over by another one, keeps what came. The resumption outlives its request until
 * everything it holds came home. */
#ifndef SLUICE_HTTP_HANDLER_RESUMABLE_H
#define SLUICE_HTTP_HANDLER_RESUMABLE_H

#include "sluice/http/http.h"
#include "sluice/http/reply.h"
#include "sluice/upload/resumable.h"

#define SL_UPLOADS_PATH "/uploads/" /* and the id */

struct sl_resumption;

/* What a dialect says. Each but `check`, `announced` and `progressed` answers the request, once and at once, by
 * sl_reply_*; the resumption is given back behind it. r->resumable and r->request are there in all of them. */
struct sl_dialect {
    /* OPEN: may this request go on with it? Looks at r->resumable.state, and may still set r->length, r->is_last and
     * r->body_max. Not asked of offset and length, which are held against each other next, nor of an upload that is
     * complete. NULL: it may. */
    sl_err (*check)(struct sl_resumption *r);
    /* A new one that was made as `is_announced` is kept, and its body begins: a 104 may be sent. NULL: no. */
    void (*announced)(struct sl_resumption *r);
    /* resumable.state.offset has moved on and may be told by a 104. NULL: no. */
    void (*progressed)(struct sl_resumption *r);
    /* Made, and not complete yet. */
    void (*created)(struct sl_resumption *r);
    /* Gone on with, and not complete yet. */
    void (*appended)(struct sl_resumption *r);
    /* Complete, by this request, be its purpose to make or to append. */
    void (*done)(struct sl_resumption *r);
    /* An append to what is complete already: answers, or else (false) it is refused with SL_UPLOAD_DONE. NULL: always.
     * r->resumable.session tells of the file as after DONE. */
    bool (*replays)(struct sl_resumption *r);
    /* Asked for by HEAD or GET. Of a complete one r->resumable.session tells of the file as after DONE. */
    void (*looked)(struct sl_resumption *r);
    /* It is gone. */
    void (*dropped)(struct sl_resumption *r);
    /* err: why; mostly sl_resumption_problem is all. SL_OFFSET: r->resumable.state.offset is the right one. With
     * is_known the upload is there, and its state may be told. */
    void (*refused)(struct sl_resumption *r, sl_err err);
};

enum sl_resumption_purpose { SL_RESUMPTION_MAKE, SL_RESUMPTION_APPEND, SL_RESUMPTION_LOOK, SL_RESUMPTION_DROP };

struct sl_resumption {
    /* for the dialect */
    struct sl_request *request; /* NULL: answered, or gone */
    const struct sl_dialect *dialect;
    enum sl_resumption_purpose purpose;
    struct sl_resumable resumable;
    char id[SL_UPLOAD_ID_BYTES];
    bool is_known;                     /* opened, made or gone on with: resumable.state is filled */
    uint64_t offset;                   /* APPEND: where the request says that its body begins */
    uint64_t length;                   /* of the whole, as the request tells; SL_STORE_SIZE_UNKNOWN: it does not */
    bool is_last;                      /* the end of this body is the end of the upload */
    bool is_last_by_length;            /* it is, if the upload has its length then */
    uint64_t body_max;                 /* bytes this body may have, else SL_TOO_LARGE; UINT64_MAX: any number */
    const struct sl_digests *promised; /* of this body alone; in the request's pool. NULL: none */
    /* More of it follows in a trailer; NULL: no. Adds it. SL_BAD_DIGEST if it is not there after all. */
    sl_err (*read_trailer)(struct sl_resumption *r, struct sl_digests *promised);
    const char *detail; /* what a problem tells; NULL: what it always does */
    int status;         /* with which a problem is answered; 0: with its own */
    bool is_json;       /* how a complete one is to be told, where that is asked */
    unsigned version;   /* the draft's */
    unsigned interims;  /* told so far; this is the dialect's alone */

    /* its own */
    struct sl_sink sink;
    struct sl_intake *intake;
    struct sl_pipeline pipeline;
    struct sl_upload_state *plan; /* MAKE, until it is made */
    struct sl_store_reader *file; /* of a complete one, while it is looked at */
    uint64_t body_received;
    sl_err late_err; /* met inside a callback of the body: told in the next turn */
    struct sl_mail later;
    bool is_announced, has_body, has_begun, has_resumable, has_pipeline, is_receiving, is_later_posted, is_closing;
    bool has_lost_file;                                       /* its name is gone, or is another file's */
    void (*on_closed)(struct sl_request *request, void *ctx); /* of sl_resumption_hand_over */
    void *on_closed_ctx;
};

/* A resumption for this request, with nothing in it: length unknown, body_max without limit, an id of its own. It ends
 * by sl_resumption_make, _open or _refuse, of which exactly one is called, with what it needs filled in. */
struct sl_resumption *sl_resumption_create(struct sl_request *request, const struct sl_dialect *dialect,
                                           enum sl_resumption_purpose purpose);

/* The state of what is to be made, zeroed but for kind (WHOLE), length (unknown), request_id, and conflict as the query
 * says. Fill in the rest: dialect, path...; r->length counts for its length. Its texts live as long as the request.
 * SL_BAD_QUERY, SL_CONFLICT_RULE. Lives as long as r. */
SL_MUST_CHECK sl_err sl_resumption_plan(struct sl_resumption *r, struct sl_upload_state **plan_out);

/* Gives the plan the name that the server's template makes, as of a raw POST; with an id that is not the upload's. */
SL_MUST_CHECK sl_err sl_resumption_name(struct sl_resumption *r, struct sl_bytes filename);

/* Makes what the plan says, with the body the request has. is_announced: its URL is told by `announced` before the body
 * is over. Then created, done or refused. */
void sl_resumption_make(struct sl_resumption *r, bool is_announced);

/* Opens upload `id` (any bytes, lent for the call) and does with it what the purpose says. */
void sl_resumption_open(struct sl_resumption *r, struct sl_bytes id);

/* Answers by dialect->refused, of one that was not begun. */
void sl_resumption_refuse(struct sl_resumption *r, sl_err err);

/* From `looked`: gives everything back, and then on_closed goes on with the request, which is not answered yet; not if
 * it goes meanwhile. */
void sl_resumption_hand_over(struct sl_resumption *r, void (*on_closed)(struct sl_request *request, void *ctx),
                             void *ctx);

/* ---- for the answers ---- */

/* Adds what belongs to the file and answers with it, or, to HEAD, as if; `r` is closed first, so that a slow reader
 * keeps nobody from the upload. From `looked`, of one that has a file. */
void sl_resumption_reply_file(struct sl_resumption *r);

/* What a piece is sent as, by the draft and by tus. */
#define SL_PARTIAL_TYPE   "application/partial-upload"
#define SL_TUS_PIECE_TYPE "application/offset+octet-stream"

/* Adds Accept-Patch (RFC 5789 sections 2.2 and 3.1). */
void sl_resumption_put_patch_types(struct sl_request *request);

/* The URL of this upload, in the request's pool. */
struct sl_bytes sl_resumption_url(struct sl_resumption *r);

/* Adds a header with a number. */
void sl_reply_number(struct sl_request *request, const char *name, uint64_t value);

/* Adds Content-Location and ETag of the file, where the upload is complete and has one. */
void sl_resumption_put_file(struct sl_resumption *r);

/* The problem, with the members that belong to it: expected-offset and provided-offset, the digests of a mismatch.
 * type: of the problem; NULL: where the error is explained here. Headers were added before. */
void sl_resumption_problem(struct sl_resumption *r, sl_err err, const char *type);

/* What was stored, as the answer to a PUT or POST tells it, by r->is_json. Of one that has a file. */
void sl_resumption_reply_stored(struct sl_resumption *r);

#endif
