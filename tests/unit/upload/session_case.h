/* One session over the fake disk, fed by hand, for tests of its state machine. */
#ifndef SLUICE_TESTS_SESSION_CASE_H
#define SLUICE_TESTS_SESSION_CASE_H

#include "fake_disk.h"
#include "upload_case.h"

#define PIECES_MAX 8

static struct upload_case u;
static struct sl_session session;
static unsigned changes;
static struct sl_piece pieces[PIECES_MAX];
static unsigned piece_count, pieces_done;

static inline int setup(void **state)
{
    upload_case_open(&u, TEST_FAKE);
    u.intake.digests = 0; /* the cases about digests set their own */
    changes = piece_count = pieces_done = 0;
    memset(pieces, 0, sizeof pieces);
    upload_name(&session, "f");
    return 0;
}

static inline int teardown(void **state)
{
    assert_int_equal(pieces_done, piece_count);
    upload_case_close(&u);
    return 0;
}

static inline void on_change(struct sl_session *changed, void *ctx)
{
    assert_ptr_equal(changed, &session);
    changes++;
}

static inline sl_err start_plan(struct sl_session_plan plan)
{
    sl_err err = sl_session_open(&session, &u.intake, &plan, on_change, NULL);
    assert_int_equal(changes, 0);
    return err;
}

static inline sl_err start(uint64_t expected, enum sl_conflict conflict)
{
    return start_plan((struct sl_session_plan){.expected = expected, .conflict = conflict});
}

/* Waits for the first word; RECEIVING or FAILED. */
static inline enum sl_session_state begin_plan(struct sl_session_plan plan)
{
    plan.expected = SL_STORE_SIZE_UNKNOWN;
    assert_int_equal(start_plan(plan), SL_OK);
    UPLOAD_UNTIL(&u, changes > 0);
    return session.state;
}

static inline void open_for(enum sl_conflict conflict)
{
    assert_int_equal(begin_plan((struct sl_session_plan){.conflict = conflict}), SL_SESSION_RECEIVING);
}

static inline void on_piece(struct sl_piece *piece, void *ctx)
{
    sl_slab_release(piece->slab);
    pieces_done++;
}

static inline bool feed(size_t len, bool is_last)
{
    struct sl_slab *slab = sl_slab_try(u.pool, len <= 16384 ? SL_SLAB_SMALL : SL_SLAB_LARGE);
    assert_non_null(slab);
    upload_fill(slab->base, session.size, len);
    sl_slab_seal(slab);
    assert_true(piece_count < PIECES_MAX);
    if (sl_session_feed(&session, &pieces[piece_count], slab, len, is_last, on_piece, NULL)) {
        piece_count++;
        return true;
    }
    sl_slab_release(slab);
    return false;
}

static inline void until(enum sl_session_state state)
{
    UPLOAD_UNTIL(&u, session.state == state);
}

static inline void feed_and_finish(size_t len)
{
    if (len > 0)
        assert_true(feed(len, true));
    sl_session_finish(&session);
}

static inline void stage(size_t len)
{
    open_for(SL_CONFLICT_ERROR);
    feed_and_finish(len);
    until(SL_SESSION_STAGED);
}

static inline void leave_failed(sl_err err)
{
    until(SL_SESSION_FAILED);
    assert_int_equal(session.err, err);
    unsigned before = changes;
    sl_session_leave(&session);
    until(SL_SESSION_GONE);
    assert_int_equal(changes, before + 1);
    assert_int_equal(session.err, err);
}

#endif
