/* What every handler must stand: a client that goes at any moment, and a disk that fails at each of its operations. */
#ifndef SLUICE_TESTS_HANDLER_CASE_H
#define SLUICE_TESTS_HANDLER_CASE_H

#include "http_case.h"

#include <errno.h>

struct handler_case {
    struct http_case h;
    struct exchange x;
    void (*prepare)(struct handler_case *c); /* puts the files as they must be before the request; NULL: they stay */
    void (*begin)(struct handler_case *c);   /* begins the request in c->x, zeroed */
    unsigned fds;
};

static inline void handler_case_open(struct handler_case *c, enum test_engine engine)
{
    http_case_open(&c->h, engine);
    c->x = (struct exchange){0};
}

static inline void handler_case_close(struct handler_case *c)
{
    exchange_end(&c->x);
    http_case_close(&c->h);
}

static inline void handler_case_start(struct handler_case *c)
{
    exchange_end(&c->x);
    c->x = (struct exchange){0};
    if (c->prepare != NULL)
        c->prepare(c);
    c->fds = scratch_count_fds();
    c->begin(c);
}

static inline void handler_case_run(struct handler_case *c)
{
    handler_case_start(c);
    exchange_finish(&c->x, &c->h);
}

/* Ends the request, asserts that all comes back. */
static inline void handler_case_end(struct handler_case *c)
{
    exchange_end(&c->x);
    while (sl_disk_inflight(c->h.u.disk) > 0 || c->h.u.intake.files > 0)
        assert_true(upload_turn(&c->h.u, UPLOAD_PATIENCE_MS));
    assert_int_equal(c->h.http->download_slabs + c->h.http->download_smalls, 0);
    assert_int_equal(sl_slab_pool_stats(c->h.u.pool).slabs_in_use, 0);
    assert_int_equal(scratch_count_fds(), c->fds);
}

/* Ends the request after each number of steps, until it is answered by then. after: looks at the files; or NULL. */
static inline void handler_case_leave_at_each_step(struct handler_case *c, void (*after)(struct handler_case *c))
{
    for (unsigned steps = 0, is_last = false; !is_last; steps++) {
        assert_true(steps < EXCHANGE_STEPS_MAX);
        handler_case_start(c);
        for (unsigned i = 0; i < steps && !is_last; i++)
            is_last = !exchange_step(&c->x, &c->h);
        handler_case_end(c);
        if (after != NULL)
            after(c);
    }
}

/* Ends the request while its first operation of each kind is held up. At least `kinds` are used. */
static inline void handler_case_leave_while_the_disk_works(struct handler_case *c, unsigned kinds,
                                                           void (*after)(struct handler_case *c))
{
    unsigned held = 0;
    for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++) {
        fake_disk_hold(c->h.u.disk, kind);
        handler_case_start(c);
        while (fake_disk_held(c->h.u.disk) == 0 && exchange_step(&c->x, &c->h))
            ;
        held += fake_disk_held(c->h.u.disk) > 0;
        exchange_end(&c->x);
        fake_disk_release(c->h.u.disk);
        handler_case_end(c);
        if (after != NULL)
            after(c);
    }
    assert_true(held >= kinds);
}

/* Lets each operation of each kind fail once with sys_errno. check: looks at the answer, which is whole, and the files;
 * kind and nth tell what failed. How many did? */
static inline unsigned handler_case_fail_each(struct handler_case *c, int sys_errno,
                                              void (*check)(struct handler_case *c, enum sl_disk_kind kind,
                                                            unsigned nth))
{
    unsigned struck = 0;
    for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++) {
        bool has_struck = true;
        for (unsigned nth = 1; has_struck; nth++) {
            unsigned started = fake_disk_started(c->h.u.disk, kind);
            fake_disk_fail(c->h.u.disk, kind, nth, sys_errno);
            handler_case_run(c);
            has_struck = fake_disk_started(c->h.u.disk, kind) - started >= nth;
            fake_disk_disarm(c->h.u.disk);
            if (has_struck)
                check(c, kind, nth);
            handler_case_end(c);
            struck += has_struck;
        }
    }
    return struck;
}

/* The problem that was answered; not a piece of an answer. */
static inline void handler_case_expect_problem(struct handler_case *c, int status, sl_err err)
{
    assert_false(c->x.is_cut);
    assert_int_equal(c->x.request.h2o.res.status, status);
    assert_int_equal(c->x.request.err, err);
    exchange_expect_header(&c->x, "content-type", "application/problem+json");
}

#endif
