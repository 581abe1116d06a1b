/* Bytes from the transport to nghttp2. A body's are received where they belong, in its sink's room. Its frames are
 * mostly of one size and follow each other: so heads are foretold, and one system call receives many frames, their
 * payloads side by side and their heads aside. nghttp2 still gets each byte in its order. A head that came otherwise is
 * seen before anything is taken in, and what lies behind it is first moved out of the sink's room, which may go. */
#include "h2.h"

#include <stdlib.h>
#include <sys/uio.h>

#define FRAME_COST_BYTES  ((size_t)512) /* what a frame takes of a wake-up's budget beside its bytes */
#define READ_BYTES        ((size_t)128 << 10)
#define CHATTY_READ_BYTES ((size_t)16 << 10) /* of who sends mostly frames */
#define FORETOLD_MAX      15u
#define PAYLOAD_BYTES_MAX 16384u /* RFC 9113 section 6.5.2: we ask for no larger frames */

/* The rest of a payload, and then in turn: a head, and the payload that it is foretold to have. A head comes last. */
struct plan {
    struct iovec pieces[2 * FORETOLD_MAX + 2];
    size_t count;
    char foretold[SL_H2_FRAME_HEAD_BYTES];
    char heads[FORETOLD_MAX + 1][SL_H2_FRAME_HEAD_BYTES];
};

/* One a loop, made when it is first needed: as thread-local memory every thread of the process would pay for it. */
#define BUFFER_BYTES (FORETOLD_MAX * (PAYLOAD_BYTES_MAX + SL_H2_FRAME_HEAD_BYTES))
_Static_assert(BUFFER_BYTES >= READ_BYTES, "what is not planned comes here, too");

static char *buffer_of(struct sl_h2 *conn)
{
    struct sl_http *http = conn->base.http;
    if (http->h2_buffer == NULL)
        http->h2_buffer = malloc(BUFFER_BYTES);
    if (http->h2_buffer == NULL)
        abort();
    return http->h2_buffer;
}

static void feed(struct sl_h2 *conn, const char *bytes, size_t len)
{
    conn->is_receiving = true;
    ssize_t n = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes, len);
    conn->is_receiving = false;
    conn->is_stuffed = sl_h2_count_queue(conn);
    if (n == NGHTTP2_ERR_FLOODED || n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS || conn->is_stuffed)
        sl_h2_give_up(conn, NGHTTP2_ENHANCE_YOUR_CALM, SL_FLOOD);
    else if (n < 0)
        sl_h2_give_up(conn, NGHTTP2_PROTOCOL_ERROR, SL_BAD_FRAMING);
}

size_t sl_h2_take_in(struct sl_h2 *conn, const char *bytes, size_t len)
{
    size_t frames = 0;
    if (len == 0 || conn->why_close != SL_OK)
        return 0;
    if (sl_h2_budget_scan(conn, bytes, len, &frames))
        feed(conn, bytes, len);
    else
        sl_h2_give_up(conn, NGHTTP2_ENHANCE_YOUR_CALM, SL_FLOOD);
    return frames;
}

/* ---- foretelling ---- */

static void plan_add(struct plan *plan, char *base, size_t len)
{
    plan->pieces[plan->count++] = (struct iovec){base, len};
}

static void make_plan(struct plan *plan, const struct sl_h2 *conn, struct sl_room room)
{
    size_t rest = conn->scan.skip < room.len ? conn->scan.skip : room.len, payload = sl_h2_scan_foretell(&conn->scan);
    memcpy(plan->foretold, conn->scan.head, sizeof plan->foretold);
    plan->count = 0;
    plan_add(plan, room.base, rest);
    plan_add(plan, plan->heads[0], SL_H2_FRAME_HEAD_BYTES);
    if (rest < conn->scan.skip || payload == 0 || payload > PAYLOAD_BYTES_MAX)
        return;
    size_t at = rest;
    for (unsigned i = 1; i <= conn->foretold && room.len - at >= payload; i++) {
        plan_add(plan, room.base + at, payload);
        plan_add(plan, plan->heads[i], SL_H2_FRAME_HEAD_BYTES);
        at += payload;
    }
}

static bool is_head(size_t piece)
{
    return piece % 2 == 1;
}

/* How many pieces hold what they were meant for, if n bytes came. *left_out: bytes that lie in the others, behind a
 * head that came otherwise. */
static size_t check_plan(const struct plan *plan, size_t n, size_t *left_out, bool *is_wrong_out)
{
    size_t i = 0;
    *is_wrong_out = false;
    while (i < plan->count && n > 0 && !*is_wrong_out) {
        const struct iovec *piece = &plan->pieces[i];
        size_t len = n < piece->iov_len ? n : piece->iov_len;
        bool is_whole_head = is_head(i) && len == SL_H2_FRAME_HEAD_BYTES;
        *is_wrong_out = is_whole_head && memcmp(piece->iov_base, plan->foretold, SL_H2_FRAME_HEAD_BYTES) != 0;
        n -= len;
        i++;
    }
    *left_out = n;
    return i;
}

/* Who is right may be bold: streams that take turns on a connection are told apart by the first look. */
static void learn(struct sl_h2 *conn, bool is_wrong, bool is_all_right)
{
    if (is_wrong)
        conn->foretold = 0;
    else if (is_all_right && conn->foretold < FORETOLD_MAX)
        conn->foretold = 2 * conn->foretold + 1;
}

static void set_aside(const struct plan *plan, size_t piece, size_t left, char *buffer)
{
    for (size_t at = 0; left > 0; piece++) {
        size_t len = left < plan->pieces[piece].iov_len ? left : plan->pieces[piece].iov_len;
        memcpy(buffer + at, plan->pieces[piece].iov_base, len);
        at += len;
        left -= len;
    }
}

static size_t take_in_plan(struct sl_h2 *conn, const struct plan *plan, size_t n)
{
    char *buffer = buffer_of(conn);
    bool is_wrong;
    size_t left, frames = 0, right = check_plan(plan, n, &left, &is_wrong);
    set_aside(plan, right, left, buffer);
    learn(conn, is_wrong, right == plan->count);
    n -= left;
    for (size_t i = 0; i < right; i++) {
        size_t len = n < plan->pieces[i].iov_len ? n : plan->pieces[i].iov_len;
        frames += sl_h2_take_in(conn, plan->pieces[i].iov_base, len);
        n -= len;
    }
    return frames + sl_h2_take_in(conn, buffer, left);
}

/* ---- reading ---- */

/* *is_all_out: it was all there is for now. */
static enum sl_read receive_body(struct sl_h2 *conn, struct sl_room room, size_t *n_out, size_t *frames_out,
                                 bool *is_all_out)
{
    struct plan plan;
    make_plan(&plan, conn, room);
    enum sl_read read = sl_transport_read_pieces(conn->base.transport, plan.pieces, plan.count, n_out);
    if (read != SL_READ_BYTES)
        return read;
    /* Of TLS, an end may lie just behind what was placed, and only the next read tells. */
    size_t at = 0;
    for (size_t i = 0; i < plan.count && at < *n_out; i++)
        at += plan.pieces[i].iov_len;
    *is_all_out = at > *n_out;
    *frames_out = take_in_plan(conn, &plan, *n_out);
    return read;
}

static enum sl_read receive_any(struct sl_h2 *conn, size_t *n_out, size_t *frames_out, bool *is_all_out)
{
    char *buffer = buffer_of(conn);
    size_t len = conn->is_chatty ? CHATTY_READ_BYTES : READ_BYTES;
    enum sl_read read = sl_transport_read(conn->base.transport, buffer, len, n_out);
    if (read != SL_READ_BYTES)
        return read;
    *is_all_out = *n_out < len;
    *frames_out = sl_h2_take_in(conn, buffer, *n_out);
    return read;
}

enum sl_read sl_h2_receive(struct sl_h2 *conn, struct sl_room room, size_t *used_out)
{
    size_t n, frames;
    bool is_all;
    enum sl_read read =
        room.len > 0 ? receive_body(conn, room, &n, &frames, &is_all) : receive_any(conn, &n, &frames, &is_all);
    if (read != SL_READ_BYTES)
        return read;
    conn->is_chatty = frames * FRAME_COST_BYTES > n;
    conn->read_meanwhile += conn->is_writing ? n : 0;
    *used_out = is_all ? SIZE_MAX : n + frames * FRAME_COST_BYTES;
    return read;
}
