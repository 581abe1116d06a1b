/* A request body as a handler sees it: bytes come in fills of any size, a decoder looks at the window and says what
 * they are, files are opened, staged and committed on the way. Bodies are written as a row of stretches:
 * framing, file, framing, file ... The decoder is slow of understanding, as that of multipart is: the last bytes of a
 * window stay undecided while more may come. */
#ifndef SLUICE_TESTS_BODY_DRIVER_H
#define SLUICE_TESTS_BODY_DRIVER_H

#include "upload_case.h"

#define BODY_FILLS_A_PUMP 8 /* then others have their turn */

struct stretch {
    bool is_file;
    size_t len;
};

enum body_fill { FILL_WHOLE, FILL_RANDOM, FILL_BYTES, FILL_SMALL }; /* the room; 1 to room; 1; 1 to 100 */

struct body {
    /* the caller's */
    struct upload_case *u;
    const struct stretch *stretches;
    size_t count;
    enum body_fill fill;
    size_t undecided_max;
    bool says_length;  /* the length of the body is told at the start; if it is short its files are made late */
    unsigned number;   /* names, and where in the test bytes the body begins */
    uint64_t pause_at; /* bytes come up to here; UINT64_MAX: all */

    /* the driver's */
    struct sl_pipeline pipeline;
    struct sl_session session;
    uint64_t begins_at, len, filled, decided;
    size_t at;         /* the stretch under way */
    size_t in_stretch; /* bytes of it that are decided */
    bool has_session, is_receiving, is_ready, is_body_over, is_closing, is_over;
    unsigned rooms; /* on_room calls */
    unsigned admitted_as;
    uint32_t random;
};

static unsigned body_admissions;

static inline uint32_t body_random(struct body *body, uint32_t below)
{
    body->random = body->random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)body->random * below) >> 32);
}

static inline void body_on_room(struct sl_pipeline *pipeline, void *ctx)
{
    struct body *body = ctx;
    if (body->rooms++ == 0)
        body->admitted_as = ++body_admissions;
    body->is_ready = true;
}

static inline void body_on_closed(struct sl_pipeline *pipeline, void *ctx)
{
    struct body *body = ctx;
    assert_false(body->is_over);
    body->is_over = true;
}

static inline void body_path(const struct body *body, char path_out[40])
{
    snprintf(path_out, 40, "b%u/f%zu", body->number, body->at);
}

/* `body` has the caller's part filled in and the rest zeroed. */
static inline void body_start(struct body *body)
{
    body->begins_at = (uint64_t)body->number * 7919;
    body->random = body->number * 2654435761u + 1;
    if (body->pause_at == 0)
        body->pause_at = UINT64_MAX;
    for (size_t i = 0; i < body->count; i++)
        body->len += body->stretches[i].len;
    sl_pipeline_admit(&body->pipeline, &body->u->intake, body->says_length ? body->len : SL_STORE_SIZE_UNKNOWN,
                      body_on_room, body);
    assert_int_equal(body->rooms, 0);
}

/* ---- files ---- */

static inline void body_next_stretch(struct body *body)
{
    body->at++;
    body->in_stretch = 0;
}

static inline void body_on_change(struct sl_session *session, void *ctx)
{
    struct body *body = ctx;
    char path[40];
    switch (session->state) {
    case SL_SESSION_RECEIVING:
        sl_pipeline_begin_file(&body->pipeline, session);
        body->is_receiving = true;
        break;
    case SL_SESSION_STAGED: upload_commit(session); return;
    case SL_SESSION_DONE:
        body_path(body, path);
        assert_string_equal(session->path.text, path);
        upload_expect(body->u, path, body->begins_at + body->decided - body->stretches[body->at].len,
                      body->stretches[body->at].len, &session->digests);
        body->has_session = false;
        body_next_stretch(body);
        break;
    default:
        fail_msg("body %u: session in state %d, %s", body->number, session->state, sl_err_row(session->err)->name);
    }
    body->is_ready = true;
}

static inline void body_open_file(struct body *body)
{
    char path[40];
    body_path(body, path);
    upload_name(&body->session, path);
    body->has_session = true;
    body->is_receiving = false;
    struct sl_session_plan plan = {.expected =
                                       body->says_length && body->count == 1 ? body->len : SL_STORE_SIZE_UNKNOWN,
                                   .conflict = SL_CONFLICT_OVERWRITE,
                                   .is_small = body->pipeline.is_short};
    assert_int_equal(sl_session_open(&body->session, &body->u->intake, &plan, body_on_change, body), SL_OK);
    if (body->session.state == SL_SESSION_RECEIVING)
        body_on_change(&body->session, body);
}

/* ---- decoding ---- */

static inline void body_check_window(const struct body *body, struct sl_bytes window)
{
    assert_true(body->decided + window.len <= body->filled);
    for (size_t i = 0; i<window.len; i += window.len> 4096 ? 509 : 1)
        if (window.base[i] != upload_byte(body->begins_at + body->decided + i))
            fail_msg("body %u: wrong byte at %llu", body->number, (unsigned long long)(body->decided + i));
}

/* How much of the window may be decided on: the last bytes may turn out to be something else. */
static inline size_t body_decidable(const struct body *body, size_t window_len)
{
    bool is_all = body->decided + window_len == body->len;
    size_t kept = is_all ? 0 : body->undecided_max;
    size_t left = body->stretches[body->at].len - body->in_stretch;
    if (left + kept <= window_len)
        return left;
    return window_len > kept ? window_len - kept : 0;
}

/* One step. false: nothing can be said now. */
static inline bool body_decide_once(struct body *body)
{
    if (body->at == body->count)
        return false;
    const struct stretch *stretch = &body->stretches[body->at];
    struct sl_bytes window = sl_pipeline_window(&body->pipeline);
    if (stretch->is_file && !body->has_session && body->in_stretch == 0) {
        body_open_file(body);
        return body->is_receiving;
    }
    if (stretch->is_file && !body->is_receiving)
        return false;
    if (body->in_stretch == stretch->len) {
        if (!stretch->is_file) {
            body_next_stretch(body);
            return true;
        }
        body->is_receiving = false; /* DONE goes on */
        sl_pipeline_end_file(&body->pipeline);
        return false;
    }
    if (window.base == NULL)
        return false;
    body_check_window(body, window);
    size_t n = body_decidable(body, window.len);
    if (n == 0)
        return false;
    if (stretch->is_file)
        sl_pipeline_accept(&body->pipeline, n);
    else
        sl_pipeline_skip(&body->pipeline, n);
    body->in_stretch += n;
    body->decided += n;
    return true;
}

static inline bool body_is_waiting_for_file(const struct body *body)
{
    return body->has_session && !body->is_receiving;
}

/* ---- filling ---- */

static inline size_t body_fill_len(struct body *body, size_t room)
{
    uint64_t end = body->pause_at < body->len ? body->pause_at : body->len;
    size_t n = room;
    switch (body->fill) {
    case FILL_WHOLE: break;
    case FILL_RANDOM: n = 1 + body_random(body, (uint32_t)room); break;
    case FILL_BYTES: n = 1; break;
    case FILL_SMALL: n = 1 + body_random(body, room < 100 ? (uint32_t)room : 100); break;
    }
    return n < end - body->filled ? n : (size_t)(end - body->filled);
}

/* What a handler does when it is told that there may be room. true: it would go on if others had not to have their
 * turn. */
static inline bool body_pump(struct body *body)
{
    for (unsigned fills = 0; fills < BODY_FILLS_A_PUMP; fills++) {
        struct sl_room room;
        size_t undecided;
        do { /* a new buffer may bring along bytes that were carried over: they come first */
            while (body_decide_once(body))
                ;
            if (body_is_waiting_for_file(body))
                return false;
            if (body->at == body->count) {
                body->is_body_over = true;
                return false;
            }
            undecided = sl_pipeline_window(&body->pipeline).len;
            room = sl_pipeline_room(&body->pipeline);
        } while (sl_pipeline_window(&body->pipeline).len != undecided && !body->pipeline.is_starved);
        if (room.len == 0) {
            assert_true(body->pipeline.is_starved);
            return false;
        }
        size_t n = body_fill_len(body, room.len);
        if (n == 0)
            return false; /* nothing comes now */
        upload_fill(room.base, body->begins_at + body->filled, n);
        sl_pipeline_filled(&body->pipeline, n);
        body->filled += n;
    }
    return true;
}

static inline void body_run(struct body *body)
{
    if (!body->is_ready || body->is_closing)
        return;
    body->is_ready = false;
    body->is_ready = body_pump(body);
    if (!body->is_body_over)
        return;
    body->is_closing = true;
    sl_pipeline_close(&body->pipeline, body_on_closed, body);
}

/* One turn of all bodies. It waits only if none of them had anything to do. */
static inline void bodies_turn(struct body *bodies, size_t count)
{
    bool has_run = false;
    for (size_t i = 0; i < count; i++) {
        has_run |= bodies[i].is_ready && !bodies[i].is_closing;
        body_run(&bodies[i]);
    }
    if (!upload_turn(bodies[0].u, has_run ? 0 : UPLOAD_PATIENCE_MS) && !has_run)
        fail_msg("bodies wait, and nothing comes");
}

static inline bool bodies_are_over(const struct body *bodies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!bodies[i].is_over)
            return false;
    return true;
}

static inline void bodies_finish(struct body *bodies, size_t count)
{
    while (!bodies_are_over(bodies, count))
        bodies_turn(bodies, count);
}

#endif
