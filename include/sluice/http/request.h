/* A request with a streamed body, whatever protocol it came by. h2o's request comes first, so that h2o handlers get
 * &request->h2o and we cast back. Loop thread.
 *
 * The body flows into a sink that owns the buffers: reserve, fill, commit. A sink without room returns an empty
 * reservation, which stops the socket; sl_body_resume starts it again, never synchronously. Exactly one of two things
 * happens to a sink that was attached: the handler begins a response, or abort is called, and then the request is gone
 * for ever (also between finish and the response). */
#ifndef SLUICE_HTTP_REQUEST_H
#define SLUICE_HTTP_REQUEST_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/decode/condition.h"

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

#define SL_LENGTH_UNKNOWN UINT64_MAX

struct sl_http;
struct sl_request;
struct sl_sink;

/* A sink whose body is never started (sl_body_start) is only told that the request is gone: abort is all it needs. */
struct sl_sink_ops {
    /* Where the next body bytes go. len 0: no room now; the sink calls sl_body_resume when there is. The room is lent
     * until the next call of the sink. */
    struct sl_room (*reserve)(struct sl_sink *sink);
    /* n > 0 bytes lie at the start of the last reservation. */
    void (*commit)(struct sl_sink *sink, size_t n);
    /* The whole body was delivered. The sink now owes one response, at once or later. */
    void (*finish)(struct sl_sink *sink);
    /* The request is gone or its body broken. Forget it; no response is wanted from the sink. */
    void (*abort)(struct sl_sink *sink, sl_err why);
    /* A commit of less than the reservation leaves the rest of it room, untouched and at its place, for as long as the
     * sink is attached: more bytes of the body may lie there already. */
    bool is_steady;
    /* What came of a body that breaks off is kept, and the client can go on behind it: then it is not told that its
     * request failed, but cut, as the network does it. It asks again; of a 4xx it would not. */
    bool keeps;
};

struct sl_sink {
    const struct sl_sink_ops *ops;
};

/* A header of an interim response. */
struct sl_interim_field {
    struct sl_bytes name, value; /* the name in lower case */
};

struct sl_brought; /* access.c */

struct sl_body_ops {
    void (*start)(struct sl_request *request);
    void (*resume)(struct sl_request *request);
    void (*cut)(struct sl_request *request);
    void (*interim)(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count);
    bool (*hold)(struct sl_request *request, size_t bytes); /* sl_request_hold; NULL: always */
};

struct sl_request {
    h2o_req_t h2o; /* first */
    struct sl_http *http;
    const struct sl_body_ops *body_ops; /* of the protocol */
    unsigned route;                     /* enum sl_route, for the count */
    uint64_t content_length;            /* SL_LENGTH_UNKNOWN: chunked */
    uint64_t body_received;
    uint64_t begun_ns;
    struct sl_sink *sink;
    h2o_timeout_entry_t resume_entry;
    struct sl_bytes host; /* as the client sent it, to us or to a proxy we trust; empty if HTTP/1.0 sent none */
    struct sl_bytes path, query; /* of the target, raw; without '?' */
    struct sl_bytes id;          /* the client's X-Request-Id or one of ours; in the pool */
    bool has_own_id;             /* it is the client's */
    struct sl_bytes peer;        /* the client's address, or "unix" */
    struct sl_brought *brought;  /* for the log, in the pool; NULL: no file */
    void (*on_sent)(void *ctx);  /* for the handler that set it: what it gave is out; once, NULL: nobody asks */
    void *on_sent_ctx;
    struct sl_text trailers; /* "name: value" lines, if they are wanted */
    sl_err err;              /* the problem it was answered with, for the log */
    bool is_body_complete, is_response_started;
    bool has_expect; /* the sender waits for a word before it sends the body */
    bool is_head;    /* HEAD: no body in the answer */
    bool is_tus;     /* each answer tells the version of tus */
    bool is_admin;   /* it came by a connection for the operator */
};

static inline struct sl_request *sl_request_of(h2o_req_t *h2o)
{
    return (struct sl_request *)h2o;
}

/* Counts `bytes` that the answer will hold until its client has taken it, in any case. false: of such there are more
 * now than there are to be. One of HTTP/1 holds its connection, and so is counted with that. */
static inline bool sl_request_hold(struct sl_request *request, size_t bytes)
{
    return request->body_ops->hold == NULL || request->body_ops->hold(request, bytes);
}

/* The value of a header by its lower-case name; empty if it is not there. */
struct sl_bytes sl_request_header(const struct sl_request *request, const char *name);

/* All its lines, joined by ", " (RFC 9110 section 5.3); in the request's pool if there are several. base NULL: it is
 * not there. */
struct sl_bytes sl_request_header_list(struct sl_request *request, const char *name);

/* The fields of a conditional request. */
struct sl_conditions sl_request_conditions(struct sl_request *request);

/* Is there such a header at all? */
bool sl_request_has_header(const struct sl_request *request, const char *name);

bool sl_request_is_method(const struct sl_request *request, const char *method);

/* Is Content-Type this one, with whatever parameters? */
bool sl_request_has_type(const struct sl_request *request, const char *type);

/* Attaches the sink: from now on it is told when the request goes. Once a request. sink: lent until its response
 * begins, abort, or sl_body_discard. */
void sl_body_attach(struct sl_request *request, struct sl_sink *sink);

/* Lets the body flow into the attached sink; sends 100 Continue if the client waits for it. May deliver bytes, and
 * finish, before it returns. Once a request. */
void sl_body_start(struct sl_request *request);

/* There is room again. Idempotent; never calls back before it returns. */
void sl_body_resume(struct sl_request *request);

/* Detaches the sink, which may then be freed; what is still to come is dropped within limits. For answering before the
 * body is over. */
void sl_body_discard(struct sl_request *request);

/* Breaks off an answer that its reader does not take; never from inside a callback of this request. The request is gone
 * when it returns, or soon. */
void sl_request_cut(struct sl_request *request);

/* Sends an interim response (RFC 9110 section 15.2), 100 or 104, before the final one and in the order of
 * the calls; once an answer has begun, and to HTTP/1.0, it is left out. fields: lent for the call. */
void sl_request_interim(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count);

/* Keeps the trailers of the body. By the handler, before it returns. */
#define SL_TRAILERS_BYTES_MAX 2048
void sl_request_want_trailers(struct sl_request *request);

/* The value of a trailer by its name, once the body is over; base NULL: it did not come. In the request's pool.
 * SL_HEAD_TOO_LARGE: there were more than are kept. SL_BAD_FIELD: it came twice. */
SL_MUST_CHECK sl_err sl_request_trailer(const struct sl_request *request, const char *name,
                                        struct sl_bytes *value_out);

/* ---- for the protocols ---- */

/* Splits the target, takes or makes the request id, clears what belongs to one request, and finds out who its client
 * is. Headers, scheme and host must be set. peer: lent, it outlives the request. is_trusted: it is a proxy that we
 * believe. */
void sl_request_begin(struct sl_request *request, struct sl_http *http, const char *peer, bool is_trusted);

/* Tells the sink, if one still waits, that the request is gone. */
void sl_request_abort(struct sl_request *request, sl_err why);

/* Its body broke off by `err`, or came too slowly: is it to be cut, without an answer? Then this counts it. */
bool sl_request_is_cut_by(struct sl_request *request, sl_err err);

/* Tells the handler, if it asked, that what it gave is out and its memory may go. By HTTP/2: all of the answer. */
void sl_request_sent(struct sl_request *request);

/* A trailer came; dropped if nobody wants any. Both are copied. */
void sl_request_add_trailer(struct sl_request *request, struct sl_bytes name, struct sl_bytes value);

/* n bytes of its body came, be they for the sink or for nobody; before the sink hears of them. */
void sl_request_took(struct sl_request *request, size_t n);
/* n bytes of it came, and nobody wants them. */
void sl_request_dropped(struct sl_request *request, size_t n);

/* It is over: one line for the access log, and it is counted. Before h2o_dispose_request. */
void sl_request_log(struct sl_request *request, uint64_t now_ns);

#endif
