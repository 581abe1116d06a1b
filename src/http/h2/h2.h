/* Private to http/h2: one HTTP/2 connection by libnghttp2, told in seven files: conn.c (its life, bytes out), receive.c
 * (bytes in), stream.c (requests in), body.c and held.c (their bodies), answer.c (answers out), budget.c (what a peer
 * may ask).
 *
 *   OPEN -> (NOTICED ->) GOING -> ENDING -> gone
 *
 * OPEN: requests come. NOTICED: we drain, and the peer knows, but requests may be under way that it sent before; they
 * are served. GOING: the last GOAWAY is said, new requests are refused, the others end. ENDING: nothing more is said;
 * what still comes is dropped for a while, lest a reset eat the last answers.
 *
 * Windows: the connection's is as large as it can be and given back as bytes come, so that one stream whose sink waits
 * cannot stop the others, which it may even wait for. Each stream's own window bounds what it may make us hold.
 *
 * nghttp2 calls back from inside mem_recv and mem_send. There nothing is sent and no connection is closed: what is
 * to be sent is submitted, and leaves with the flush that follows; who must close says so in `why_close`. */
#ifndef SLUICE_HTTP_H2_H2_H
#define SLUICE_HTTP_H2_H2_H

#include "../connection.h"

#include <nghttp2/nghttp2.h>

#define SL_H2_FRAME_HEAD_BYTES  9   /* RFC 9113 section 4.1 */
#define SL_H2_STREAMS_MAX       100 /* open at once */
#define SL_H2_HEAD_BYTES_MAX    16384
#define SL_H2_HEADERS_MAX       100
#define SL_H2_DECODED_BYTES_MAX ((size_t)256 << 10)  /* of a head: more, out of 9 frames, is a bomb */
#define SL_H2_STREAM_BYTES      ((size_t)6 << 10)    /* what a stream costs beside its head: ours, h2o's, nghttp2's */
#define SL_H2_HEADS_BYTES_MAX   ((uint64_t)32 << 20) /* of all streams of a loop; more are refused */
#define SL_H2_ANSWERS_BYTES_MAX ((uint64_t)16 << 20) /* likewise, beside files; then pages are short, or refused */
#define SL_H2_WINDOW_BYTES      ((int32_t)256 << 10) /* of a stream, to begin with */
#define SL_H2_WINDOW_BYTES_MAX  ((int32_t)16 << 20)  /* 1 Gbit/s over 100 ms asks for 12.5 MB */
#define SL_H2_GROWTH_BYTES_MAX  ((uint64_t)32 << 20) /* what all streams of a loop may have grown by */
/* What all streams of a loop may hold back: all growth, and 128 windows that did not grow. */
#define SL_H2_HELD_BYTES_MAX (SL_H2_GROWTH_BYTES_MAX + ((uint64_t)32 << 20))
#define SL_H2_GATHER_BYTES   ((size_t)32 << 10) /* to be written at once; who does not read keeps us holding them */
#define SL_H2_QUEUE_MAX      2000               /* frames of ours that wait to be written */
#define SL_H2_QUEUE_FREE     64u                /* of them, how many a connection may have whatever others have */
#define SL_H2_QUEUES_MAX     UINT64_C(32768)    /* of all connections of a loop; who adds to more is given up */
#define SL_H2_QUEUED_BYTES   256u               /* that such a frame costs */

/* What a peer may do without being of use (RFC 9113 section 10.5). Each costs a token; tokens come back with time, and
 * are earned by what is of use. */
#define SL_H2_EARNED_BY_REQUEST   4.0                /* that ends well: less than a reset costs */
#define SL_H2_EARNED_BY_BODY_BYTE (1.0 / (16 << 10)) /* clients ping beside an upload */
#define SL_H2_EARNED_BY_BYTE_SENT (1.0 / (1 << 10))  /* each KiB may bring a WINDOW_UPDATE */

struct sl_h2_budget {
    double tokens;
    uint64_t filled_ns;
};

/* Where in the frames the next byte lies. */
struct sl_h2_scan {
    unsigned char head[10]; /* of a frame, and the length of its padding if it is DATA with one */
    unsigned head_len;
    uint32_t skip;   /* of the preface, or of a frame's payload */
    bool has_begun;  /* a frame came */
    bool is_in_head; /* the last byte of a HEADERS, or of its last CONTINUATION, is still to come */
};

enum sl_h2_phase { SL_H2_OPEN, SL_H2_NOTICED, SL_H2_GOING, SL_H2_ENDING };

struct sl_h2 {
    struct sl_connection base; /* first */
    enum sl_h2_phase phase;
    nghttp2_session *session;
    struct sl_link streams, proceeding; /* all; those whose answer's last piece is used up */
    unsigned stream_count;
    h2o_timeout_entry_t flush_entry, head_timer, idle_timer;
    size_t queued; /* frames of ours that are counted as waiting */
    char *out;     /* gathered, or being written */
    size_t out_len, out_room, read_meanwhile;
    bool is_writing, is_receiving, was_idle, is_chatty;
    bool is_stuffed;  /* given up for too many frames that wait */
    sl_err why_close; /* SL_OK: stay */
    struct sl_h2_budget budget;
    struct sl_h2_scan scan;
    unsigned foretold; /* how many frames of a body are expected to follow alike */
};

/* Body bytes that came before there was room for them, in blocks. Zeroed: none. */
struct sl_h2_held {
    struct sl_h2_block *first, *last;
    size_t bytes;
};

struct sl_h2_stream {
    struct sl_request request;
    struct sl_h2 *conn;
    int32_t id;
    struct sl_link link, proceed_link;
    h2o_timeout_entry_t timer;
    /* in */
    size_t head_bytes, head_count;
    size_t head_room, answer_bytes; /* of what a loop has for heads, and for answers */
    sl_err err;                     /* of the head; answered when it is over */
    struct sl_bytes authority, host;
    struct sl_h2_held held; /* came, but the sink had no room */
    bool has_held;          /* since its window was last looked at: its sink is slower than the path */
    bool is_end_seen, is_started, is_finished, expects_continue;
    int32_t window;
    uint64_t consumed, dropped;
    uint64_t waiting_since_ns, waited_ns;
    /* out */
    h2o_ostream_t final;
    h2o_iovec_t *pieces;
    size_t piece_count, piece_at, piece_room;
    size_t unproven; /* bytes taken since the peer last showed that it reads */
    h2o_send_state_t state;
    bool is_head_sent, is_ended, is_asked; /* asked: the generator, for the next piece */
};

static inline struct sl_h2_stream *sl_h2_stream_of(struct sl_request *request)
{
    return SL_CONTAINER_OF(request, struct sl_h2_stream, request);
}

/* conn.c */
/* Counts the frames of ours that wait now. Are they too many? */
bool sl_h2_count_queue(struct sl_h2 *conn);
void sl_h2_flush_later(struct sl_h2 *conn);
/* Has it no stream from now on? Pings are not use. */
void sl_h2_set_idle(struct sl_h2 *conn, bool is_idle);
/* Somebody may take bytes again, or nobody wants them. */
void sl_h2_read_on(struct sl_h2 *conn);
/* Says GOAWAY with this reason, and closes when it is out. What nghttp2 has said already is not said again. */
void sl_h2_give_up(struct sl_h2 *conn, uint32_t code, sl_err why);

/* receive.c */
/* Gives nghttp2 what came, unless the connection is given up, which it may be then. How many frames began in it. */
size_t sl_h2_take_in(struct sl_h2 *conn, const char *bytes, size_t len);
/* Reads once, and takes it in. room: as sl_h2_body_next told. *used_out: what it is to cost, SIZE_MAX if there is no
 * more. */
enum sl_read sl_h2_receive(struct sl_h2 *conn, struct sl_room room, size_t *used_out);

/* stream.c: callbacks of nghttp2 */
int sl_h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int sl_h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                    const uint8_t *value, size_t value_len, uint8_t flags, void *user);
int sl_h2_on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int sl_h2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user);
/* Drops a stream of a connection that is being closed, or that nghttp2 has closed. */
void sl_h2_stream_destroy(struct sl_h2_stream *stream, sl_err why);
void sl_h2_stream_set_timer(struct sl_h2_stream *stream, h2o_timeout_t *timeout, h2o_timeout_cb on_timeout);
/* Resets it and drops it at once. Never from inside a callback of nghttp2 or of its request. */
void sl_h2_stream_reset(struct sl_h2_stream *stream, uint32_t code);
/* Answers with the problem `err`, or resets the stream if an answer has begun. */
void sl_h2_stream_fail(struct sl_h2_stream *stream, sl_err err);

/* body.c */
extern const struct sl_body_ops sl_h2_body_ops;
int sl_h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len, void *user);
/* Where the next bytes of the connection are to be put, if they are a body's that has room; of length 0: anywhere.
 * More room than the frame has bytes is for those that follow it. false: they are of a body that has none, and nobody
 * else can want what lies behind: sl_h2_read_on follows. */
bool sl_h2_body_next(struct sl_h2 *conn, struct sl_room *room_out);
/* The last byte of the request came. */
void sl_h2_body_ended(struct sl_h2_stream *stream);
/* The answer is out and the request is not over: what still comes is dropped, within limits. */
void sl_h2_drop_rest(struct sl_h2_stream *stream);

/* held.c */
void sl_h2_held_put(struct sl_http *http, struct sl_h2_held *held, const char *bytes, size_t len);
/* The first of them; empty: none. */
struct sl_bytes sl_h2_held_front(const struct sl_h2_held *held);
/* Drops n bytes of the front. */
void sl_h2_held_use(struct sl_http *http, struct sl_h2_held *held, size_t n);
void sl_h2_held_dispose(struct sl_http *http, struct sl_h2_held *held);

/* answer.c */
bool sl_h2_hold(struct sl_request *request, size_t bytes);
void sl_h2_init_answer(struct sl_h2_stream *stream);
int sl_h2_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user);
void sl_h2_send_interim(struct sl_request *request, int status, const struct sl_interim_field *fields, size_t count);

/* budget.c */
void sl_h2_budget_init(struct sl_h2_budget *budget);
void sl_h2_budget_earn(struct sl_h2_budget *budget, double tokens);
/* Looks at the frames in what came, also those that nghttp2 will not tell of. false: the peer asks too much of us.
 * *frames_out: how many begin in it. */
bool sl_h2_budget_scan(struct sl_h2 *conn, const char *bytes, size_t len, size_t *frames_out);
/* The stream of which the next bytes are a body, in a large frame without padding; 0: they are something else. */
int32_t sl_h2_scan_body(const struct sl_h2_scan *scan);
/* How long the payload of the next frame will be, if the body that sl_h2_scan_body found goes on as before; 0: this
 * frame is its last. */
uint32_t sl_h2_scan_foretell(const struct sl_h2_scan *scan);
/* A stream was reset by us. Because of what the peer did, it costs as much as a reset by the peer. */
bool sl_h2_budget_reset(struct sl_h2_budget *budget, uint32_t code);

#endif
