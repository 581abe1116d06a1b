/* From fills to files: whatever the cuts, the files and their digests are those of the body; buffers are bounded, come
 * back in every case, and nobody waits for ever. */
#include "body_driver.h"
#include "fake_disk.h"
#include "sluice/base/clock.h"

#define KIB ((size_t)1024)
#define MIB ((size_t)1 << 20)

static enum test_engine engine;
static struct upload_case u;

static int setup(void **state)
{
    upload_case_open(&u, engine);
    body_admissions = 0;
    return 0;
}

static int setup_fake(void **state)
{
    engine = TEST_FAKE;
    return setup(state);
}

static int teardown(void **state)
{
    upload_case_close(&u);
    return 0;
}

static void expect_body(struct body body)
{
    static unsigned number;
    body.u = &u;
    body.number = ++number % 4; /* names are used again: files are replaced, and the folder stays small */
    body_start(&body);
    bodies_finish(&body, 1);
    assert_int_equal(body.decided, body.len);
}

/* ---- the same files, whatever the cuts ---- */

static void put_of_any_size_and_fill_is_whole(void **state)
{
    static const size_t sizes[] = {0,     1,       4095,        4096,        4097,        16383,
                                   16384, 16385,   20479,       65536,       256 * KIB,   MIB - 1,
                                   MIB,   MIB + 1, 3 * MIB + 7, 5 * MIB - 1, 5 * MIB + 1, 7 * MIB + 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct stretch put = {true, sizes[i]};
        for (enum body_fill fill = FILL_WHOLE; fill <= FILL_SMALL; fill++)
            for (int says_length = 0; says_length < 2; says_length++)
                if (fill < FILL_BYTES || sizes[i] <= 65536)
                    expect_body(
                        (struct body){.stretches = &put, .count = 1, .fill = fill, .says_length = says_length});
    }
}

/* Framing and files so that the end of the first file lies `delta` from the edge of a small buffer. */
static void forms_are_whole_with_every_cut_near_the_edge_of_a_small_buffer(void **state)
{
    for (int delta = -90; delta <= 90; delta++) {
        size_t len = (size_t)(16384 - 100 + delta);
        struct stretch form[] = {{false, 100}, {true, len}, {false, 60}, {true, 5000}, {false, 70},
                                 {true, 0},    {false, 60}, {true, 1},   {false, 8}};
        expect_body((struct body){.stretches = form,
                                  .count = sizeof form / sizeof form[0],
                                  .says_length = delta % 3 == 0,
                                  .fill = delta % 4 == 0 ? FILL_RANDOM : FILL_WHOLE,
                                  .undecided_max = delta % 2 == 0 ? 78 : 200});
    }
}

static void forms_are_whole_with_cuts_near_the_edge_of_a_large_buffer(void **state)
{
    for (int delta = -90; delta <= 90; delta += 9) {
        size_t len = 256 * KIB + 16 * KIB + 2 * MIB + (size_t)(4096 + delta);
        struct stretch form[] = {{true, len}, {false, 60},        {true, 20000},
                                 {false, 70}, {true, len - 5000}, {false, 8}};
        expect_body((struct body){.stretches = form,
                                  .count = sizeof form / sizeof form[0],
                                  .fill = delta % 2 == 0 ? FILL_RANDOM : FILL_WHOLE,
                                  .undecided_max = 78});
    }
}

#define TINY_FILES 1000

/* All of them come in what is left of one large buffer, and are drained from it through small ones. */
static void form_of_many_tiny_files_behind_a_large_one_is_whole(void **state)
{
    static struct stretch form[2 + 2 * TINY_FILES];
    static const size_t undecided[] = {0, 78, 5000};
    form[0] = (struct stretch){true, 3 * MIB + 123};
    form[1] = (struct stretch){false, 90};
    for (size_t i = 0; i < TINY_FILES; i++) {
        form[2 + 2 * i] = (struct stretch){true, (i * 37) % 400};
        form[3 + 2 * i] = (struct stretch){false, 50 + i % 90};
    }
    for (size_t i = 0; i < sizeof undecided / sizeof undecided[0]; i++)
        expect_body(
            (struct body){.stretches = form, .count = sizeof form / sizeof form[0], .undecided_max = undecided[i]});
}

static void form_of_framing_alone_passes(void **state)
{
    struct stretch form[] = {{false, 3 * MIB + 5}, {true, 10}, {false, 100000}};
    for (enum body_fill fill = FILL_WHOLE; fill <= FILL_RANDOM; fill++)
        expect_body((struct body){.stretches = form, .count = 3, .fill = fill, .undecided_max = 78});
}

static void forms_by_chance_are_whole(void **state)
{
    for (unsigned seed = 0; seed < 40; seed++) {
        struct body dice = {.random = seed + 1};
        struct stretch form[12];
        for (size_t i = 0; i < 12; i++) {
            uint32_t max = body_random(&dice, 6) == 0 ? 2 * MIB : 40000;
            form[i] = (struct stretch){i % 2 == 1, body_random(&dice, i % 2 == 1 ? max : 300)};
        }
        expect_body((struct body){.stretches = form,
                                  .count = 12,
                                  .says_length = seed % 3 == 0,
                                  .fill = seed % 2 == 0 ? FILL_WHOLE : FILL_RANDOM,
                                  .undecided_max = body_random(&dice, 4000)});
    }
}

/* ---- many at once ---- */

#define BODIES 20

static void fill_rows(struct body *bodies, const struct stretch *put, const struct stretch *form, size_t form_count)
{
    for (unsigned i = 0; i < BODIES; i++) {
        bool is_put = i % 2 == 0;
        bodies[i] = (struct body){.u = &u,
                                  .number = i,
                                  .stretches = is_put ? put : form,
                                  .count = is_put ? 1 : form_count,
                                  .fill = i % 3 == 0 ? FILL_RANDOM : FILL_WHOLE,
                                  .undecided_max = is_put ? 0 : 78};
    }
}

static void twenty_bodies_share_two_mebibytes(void **state)
{
    static struct body bodies[BODIES];
    static const struct stretch put[] = {{true, 3 * MIB + 5}};
    static const struct stretch form[] = {{false, 100}, {true, 700000},  {false, 80}, {true, 10},
                                          {false, 80},  {true, 1500000}, {false, 60}};
    fill_rows(bodies, put, form, sizeof form / sizeof form[0]);
    for (size_t i = 0; i < BODIES; i++)
        body_start(&bodies[i]);
    bodies_finish(bodies, BODIES);
}

#define SMALL_SLABS 128

static unsigned take_small(struct sl_slab **slabs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if ((slabs[i] = sl_slab_try(u.pool, SL_SLAB_SMALL)) == NULL)
            return i;
    return count;
}

/* Buffers for three only: the others wait, and come in their order. */
static void bodies_are_admitted_in_their_order(void **state)
{
    static struct body bodies[BODIES];
    static const struct stretch put[] = {{true, 300000}};
    static const struct stretch form[] = {{false, 100}, {true, 70000}, {false, 80}, {true, 10}, {false, 60}};
    struct sl_slab *taken[SMALL_SLABS];
    assert_int_equal(take_small(taken, SMALL_SLABS - 3), SMALL_SLABS - 3);
    fill_rows(bodies, put, form, sizeof form / sizeof form[0]);
    for (size_t i = 0; i < BODIES; i++)
        body_start(&bodies[i]);
    upload_turn(&u, 0);
    assert_int_equal(body_admissions, 3);
    assert_int_equal(sl_slab_pool_stats(u.pool).waiting, BODIES - 3);
    bodies_finish(bodies, BODIES);
    for (unsigned i = 0; i < BODIES; i++)
        assert_int_equal(bodies[i].admitted_as, i + 1);
    for (unsigned i = 0; i < SMALL_SLABS - 3; i++)
        sl_slab_release(taken[i]);
}

/* Takes in all that comes up to `pause_at`, and waits until nothing is in flight. */
static void fill_up_to(struct body *body, uint64_t pause_at)
{
    body->pause_at = pause_at;
    body->is_ready = body->rooms > 0;
    while (body->filled < pause_at || body->is_ready || body->pipeline.inflight > 0)
        bodies_turn(body, 1);
}

/* Starts, and stops when the current buffer is a large one that holds `in_slab` bytes. */
static void fill_large(struct body *body, size_t in_slab)
{
    body_start(body);
    uint64_t at = 0;
    do /* a busy machine may be too slow to earn it at once */
        fill_up_to(body, at += 256 * KIB);
    while (body->pipeline.current->class != SL_SLAB_LARGE && at < 8 * MIB);
    fill_up_to(body, at + in_slab);
    assert_int_equal(body->pipeline.current->class, SL_SLAB_LARGE);
    assert_int_equal(body->pipeline.fill, in_slab);
}

/* A fast upload must not take each large buffer again before those in line are looked at. */
static void waiting_bodies_come_before_more_large_buffers(void **state)
{
    u.intake.digests = 0; /* a piece is over with its write */
    static struct body bodies[2];
    static const struct stretch big[] = {{true, 48 * MIB}}, small[] = {{true, 1000}};
    struct sl_slab *taken[SMALL_SLABS];
    bodies[0] = (struct body){.u = &u, .number = 0, .stretches = big, .count = 1};
    bodies[1] = (struct body){.u = &u, .number = 1, .stretches = small, .count = 1};
    fill_large(&bodies[0], 5000);
    unsigned count = take_small(taken, SMALL_SLABS);
    body_start(&bodies[1]);
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    bodies[0].pause_at = UINT64_MAX;
    bodies[0].is_ready = true;
    UPLOAD_UNTIL(&u, (body_run(&bodies[0]), fake_disk_held(u.disk) == 2)); /* the large one and the reserved one */
    assert_int_equal(bodies[1].rooms, 0);

    fake_disk_release_one(u.disk);
    UPLOAD_UNTIL(&u, bodies[0].pipeline.inflight == 1); /* now a region is free */
    body_run(&bodies[0]);
    upload_turn(&u, 0);
    assert_int_equal(bodies[1].rooms, 1);
    fake_disk_release(u.disk);
    bodies_finish(bodies, 2);
    while (count > 0)
        sl_slab_release(taken[--count]);
}

/* ---- back-pressure ---- */

static bool is_idle(const struct body *body)
{
    return !body->is_ready && sl_disk_inflight(u.disk) == fake_disk_held(u.disk);
}

static void run_until_nothing_moves(struct body *body)
{
    while (!is_idle(body) || upload_turn(&u, 20))
        body_run(body);
}

static void held_writes_stop_the_room_and_let_go_on(void **state)
{
    static const struct stretch put[] = {{true, 4 * MIB}};
    struct body body = {.u = &u, .stretches = put, .count = 1};
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    body_start(&body);
    while (!body.pipeline.is_starved || body.filled == 0) {
        body_run(&body);
        upload_turn(&u, 0);
    }
    run_until_nothing_moves(&body);
    assert_int_equal(fake_disk_held(u.disk), 4); /* small buffers */
    assert_int_equal(body.filled, 4 * 16384);
    assert_int_equal(sl_pipeline_room(&body.pipeline).len, 0);
    assert_int_equal(sl_slab_pool_stats(u.pool).slabs_in_use, 4);

    unsigned rooms = body.rooms;
    fake_disk_release_one(u.disk);
    UPLOAD_UNTIL(&u, body.rooms == rooms + 1);
    run_until_nothing_moves(&body);
    assert_int_equal(body.filled, 5 * 16384);
    fake_disk_release(u.disk);
    bodies_finish(&body, 1);
}

static void never_more_pieces_in_flight_than_the_limit(void **state)
{
    static const struct stretch put[] = {{true, 24 * MIB}};
    struct body body = {.u = &u, .stretches = put, .count = 1};
    body_start(&body);
    while (!body.is_over) {
        bodies_turn(&body, 1);
        assert_true(body.pipeline.inflight <= SL_PIPELINE_PIECES_MAX);
        assert_true(body.pipeline.large_held <= 2);
    }
}

/* ---- large buffers: earned, and given back ---- */

static void stall(struct body *body)
{
    sl_pipeline_yield_if_stalled(&body->pipeline, body->pipeline.touched_ns + 2 * SL_SEC + 1);
}

static void go_on(struct body *body)
{
    body->pause_at = UINT64_MAX;
    body->is_ready = true;
    bodies_finish(body, 1);
}

static void stalled_upload_gives_its_large_buffer_back(void **state)
{
    static const size_t fills[] = {1, 4095, 4096, 5000, 100000, 1048575};
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
        static const struct stretch put[] = {{true, 3 * MIB}};
        struct body body = {.u = &u, .number = (unsigned)i, .stretches = put, .count = 1};
        fill_large(&body, fills[i]);
        assert_true(body.pipeline.is_bulk);
        sl_pipeline_yield_if_stalled(&body.pipeline, body.pipeline.touched_ns + SL_SEC); /* not yet */
        assert_int_equal(body.pipeline.large_held, 1);
        stall(&body);
        UPLOAD_UNTIL(&u, body.pipeline.inflight == 0);
        assert_false(body.pipeline.is_bulk);
        assert_int_equal(body.pipeline.large_held, 0);
        assert_int_equal(u.intake.bulk_pipelines, 0);
        assert_int_equal(sl_slab_pool_stats(u.pool).slabs_in_use, 1); /* the reserved one */
        go_on(&body);
    }
}

/* As above, by the tick; and an upload that holds none is not walked over each second. */
static void tick_looks_at_nobody_but_who_holds_a_large_buffer(void **state)
{
    static const struct stretch put[] = {{true, 3 * MIB}};
    struct body small = {.u = &u, .number = 1, .stretches = put, .count = 1, .pause_at = 5000};
    struct body large = {.u = &u, .stretches = put, .count = 1};
    body_start(&small);
    fill_up_to(&small, 5000);
    assert_true(sl_list_is_empty(&u.intake.roomy_pipelines));
    fill_large(&large, 5000);
    assert_ptr_equal(u.intake.roomy_pipelines.next, &large.pipeline.link);
    assert_ptr_equal(u.intake.roomy_pipelines.prev, &large.pipeline.link);
    sl_intake_tick(&u.intake);
    assert_int_equal(large.pipeline.large_held, 1);
    large.pipeline.touched_ns -= 2 * SL_SEC + 1;
    sl_intake_tick(&u.intake);
    UPLOAD_UNTIL(&u, large.pipeline.inflight == 0);
    assert_int_equal(large.pipeline.large_held, 0);
    sl_intake_tick(&u.intake);
    assert_true(sl_list_is_empty(&u.intake.roomy_pipelines));
    go_on(&small);
    go_on(&large);
}

/* ---- medium buffers: for bodies that fit into one ---- */

static const struct stretch short_put[] = {{true, 65536}};

/* Who was given it reads into it, for longer than a stalled upload may keep one. */
static void buffer_that_is_lent_is_not_moved(void **state)
{
    struct body body = {.u = &u, .stretches = short_put, .count = 1, .says_length = true};
    body_start(&body);
    UPLOAD_UNTIL(&u, body.rooms > 0);
    struct sl_slab *lent = sl_pipeline_prime(&body.pipeline, 0);
    assert_int_equal(lent->class, SL_SLAB_MEDIUM);
    sl_pipeline_yield_if_stalled(&body.pipeline, body.pipeline.taken_ns + 3 * SL_SEC);
    assert_ptr_equal(body.pipeline.current, lent);
    assert_int_equal(lent->state, SL_SLAB_FILLING);
    bodies_finish(&body, 1);
    assert_int_equal(u.intake.medium_held, 0);
}

static void short_body_goes_to_the_disk_as_one_piece(void **state)
{
    struct body body = {.u = &u, .stretches = short_put, .count = 1, .says_length = true};
    unsigned writes = fake_disk_started(u.disk, SL_DISK_WRITE);
    body_start(&body);
    bodies_finish(&body, 1);
    assert_int_equal(fake_disk_started(u.disk, SL_DISK_WRITE), writes + 1);
    assert_int_equal(u.intake.medium_held, 0);
}

/* Also while others come in the same turn: each has its small one before any of them tries for more. */
static void short_bodies_share_a_part_of_the_buffers(void **state)
{
    static struct body bodies[BODIES];
    for (unsigned i = 0; i < BODIES; i++) {
        bodies[i] = (struct body){
            .u = &u, .number = i, .stretches = short_put, .count = 1, .says_length = true, .pause_at = 5000};
        body_start(&bodies[i]);
    }
    while (bodies[BODIES - 1].filled < 5000)
        bodies_turn(bodies, BODIES);
    assert_int_equal(u.intake.medium_held, 4); /* a quarter of two MiB */
    assert_int_equal(sl_slab_pool_stats(u.pool).slabs_in_use, BODIES + 4);
    for (unsigned i = 0; i < BODIES; i++) {
        bodies[i].pause_at = UINT64_MAX;
        bodies[i].is_ready = true;
    }
    bodies_finish(bodies, BODIES);
    assert_int_equal(u.intake.medium_held, 0);
}

/* However it trickles, and whether its file is there yet or not when the rest comes. */
static void slow_short_upload_gives_its_medium_buffer_back(void **state)
{
    static const size_t fills[] = {1, 4095, 4096, 5000, 20000, 40000, 65535};
    for (size_t i = 0; i < 2 * (sizeof fills / sizeof fills[0]); i++) {
        struct body body = {.u = &u,
                            .number = (unsigned)i % 4,
                            .stretches = short_put,
                            .count = 1,
                            .says_length = true,
                            .pause_at = fills[i / 2]};
        body_start(&body);
        while (body.filled < fills[i / 2] || body.is_ready)
            bodies_turn(&body, 1);
        sl_pipeline_yield_if_stalled(&body.pipeline, body.pipeline.taken_ns + SL_SEC); /* not yet */
        assert_int_equal(u.intake.medium_held, 1);
        assert_int_equal(sl_disk_inflight(u.disk), 0);
        if (i % 2 == 0)
            fake_disk_hold(u.disk, SL_DISK_OPEN);
        sl_pipeline_yield_if_stalled(&body.pipeline, body.pipeline.taken_ns + 2 * SL_SEC + 1);
        if (i % 2 == 1) {
            UPLOAD_UNTIL(&u, body.pipeline.inflight == 0);
            assert_int_equal(u.intake.medium_held, 0);
            go_on(&body);
            continue;
        }
        body.pause_at = UINT64_MAX;
        body.is_ready = true;
        run_until_nothing_moves(&body);
        fake_disk_release(u.disk);
        bodies_finish(&body, 1);
        assert_int_equal(u.intake.medium_held, 0);
    }
}

/* One that dawdles over what stands before its file has nothing to seal yet. */
static void slow_framing_gives_its_medium_buffer_back(void **state)
{
    static const struct stretch form[] = {{false, 30000}, {true, 30000}, {false, 60}};
    struct body body = {
        .u = &u, .stretches = form, .count = 3, .says_length = true, .undecided_max = 78, .pause_at = 20000};
    body_start(&body);
    while (body.filled < 20000 || body.is_ready)
        bodies_turn(&body, 1);
    assert_int_equal(u.intake.medium_held, 1);
    sl_pipeline_yield_if_stalled(&body.pipeline, body.pipeline.taken_ns + 2 * SL_SEC + 1);
    assert_int_equal(u.intake.medium_held, 0);
    go_on(&body);
}

/* The body ends right behind the stall, without a byte more, while the disk still holds everything back. */
static void stall_with_all_buffers_in_flight_loses_nothing(void **state)
{
    for (int has_more = 0; has_more < 2; has_more++) {
        struct stretch put[] = {{true, 16 * MIB}};
        struct body body = {.u = &u, .stretches = put, .count = 1};
        fill_large(&body, 5000);
        struct sl_slab *taken[SMALL_SLABS];
        unsigned count = take_small(taken, SMALL_SLABS);
        fake_disk_hold(u.disk, SL_DISK_WRITE);
        /* The reserved buffer goes into flight, so that there is none for what the large one leaves behind. */
        struct sl_slab *reserved = body.pipeline.reserved;
        sl_slab_acquire(reserved);
        stall(&body);
        if (!has_more) {
            put[0].len = (size_t)body.filled; /* the sender says: that was all */
            body.len = body.filled;
            body.in_stretch = put[0].len;
        }
        sl_slab_release(reserved);
        fake_disk_release(u.disk);
        while (count > 0)
            sl_slab_release(taken[--count]);
        body.is_ready = true;
        go_on(&body);
    }
}

/* ---- close ---- */

static void on_left(struct sl_session *session, void *ctx)
{
}

/* As a request that dies: pipeline and session are given up in the same moment. */
static void abandon(struct body *body)
{
    if (body->has_session) {
        body->session.on_change = on_left;
        sl_session_leave(&body->session);
    }
    sl_pipeline_close(&body->pipeline, body_on_closed, body);
    assert_false(body->is_over);
    if (engine == TEST_FAKE)
        fake_disk_release(u.disk);
    UPLOAD_UNTIL(&u, body->is_over && (!body->has_session || sl_session_is_over(&body->session)));
    upload_settle(&u);
}

static const struct stretch some_put[] = {{true, 16 * MIB}};
static const struct stretch some_form[] = {{true, 3 * MIB}, {false, 100000}, {true, 10}};

static void close_while_waiting_leaves_the_line(void **state)
{
    struct sl_slab *taken[SMALL_SLABS];
    assert_int_equal(take_small(taken, SMALL_SLABS), SMALL_SLABS);
    struct body body = {.u = &u, .stretches = some_put, .count = 1};
    body_start(&body);
    upload_turn(&u, 0);
    assert_int_equal(sl_slab_pool_stats(u.pool).waiting, 1);
    abandon(&body);
    assert_int_equal(sl_slab_pool_stats(u.pool).waiting, 0);
    assert_int_equal(body.rooms, 0);
    for (unsigned i = 0; i < SMALL_SLABS; i++)
        sl_slab_release(taken[i]);
}

static void close_right_after_admission_gives_back(void **state)
{
    struct body body = {.u = &u, .stretches = some_put, .count = 1};
    body_start(&body);
    abandon(&body);
    body = (struct body){.u = &u, .stretches = some_put, .count = 1};
    body_start(&body);
    UPLOAD_UNTIL(&u, body.rooms == 1);
    abandon(&body);
    assert_int_equal(body.rooms, 1);
}

static void close_with_a_filled_buffer_gives_back(void **state)
{
    static const uint64_t stops[] = {1, 4096, 16383, 16384, 20000};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        struct body body = {.u = &u, .stretches = some_put, .count = 1, .pause_at = stops[i], .undecided_max = 78};
        body_start(&body);
        while (body.filled < stops[i])
            bodies_turn(&body, 1);
        abandon(&body);
    }
}

static void close_with_a_large_buffer_gives_back(void **state)
{
    struct body body = {.u = &u, .stretches = some_put, .count = 1};
    fill_large(&body, 100000);
    abandon(&body);
}

static void close_with_pieces_in_flight_waits_for_them(void **state)
{
    struct body body = {.u = &u, .stretches = some_put, .count = 1};
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    body_start(&body);
    while (body.pipeline.inflight < 4)
        bodies_turn(&body, 1);
    unsigned rooms = body.rooms;
    sl_pipeline_close(&body.pipeline, body_on_closed, &body);
    assert_int_equal(sl_pipeline_room(&body.pipeline).len, 0);
    upload_settle(&u);
    assert_false(body.is_over);
    fake_disk_release(u.disk);
    UPLOAD_UNTIL(&u, body.is_over);
    assert_int_equal(body.rooms, rooms);
    assert_int_equal(sl_slab_pool_stats(u.pool).slabs_in_use, 0);
    body.session.on_change = on_left;
    sl_session_leave(&body.session);
    UPLOAD_UNTIL(&u, sl_session_is_over(&body.session));
}

/* After the large file there is much left over in its last buffer, which is carried through small ones. */
static void close_with_a_carry_pending_gives_back(void **state)
{
    struct body body = {.u = &u, .stretches = some_form, .count = 3, .undecided_max = 78};
    body_start(&body);
    while (body.pipeline.carry == NULL || body.at == 0)
        bodies_turn(&body, 1);
    abandon(&body);
}

/* The owner may have let the session go, memory and all, before the pipeline is closed. */
static void close_does_not_touch_the_session(void **state)
{
    struct body body = {.u = &u, .stretches = some_put, .count = 1};
    fill_large(&body, 100000);
    body.session.on_change = on_left;
    sl_session_leave(&body.session);
    UPLOAD_UNTIL(&u, sl_session_is_over(&body.session));
    memset(&body.session, 0xff, sizeof body.session);
    body.session.state = SL_SESSION_RECEIVING; /* as the next one in the same memory would be */
    struct sl_session before = body.session;
    body.has_session = false;
    sl_pipeline_close(&body.pipeline, body_on_closed, &body);
    assert_memory_equal(&before, &body.session, sizeof before);
    UPLOAD_UNTIL(&u, body.is_over);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FAKE(name) cmocka_unit_test_setup_teardown(name, setup_fake, teardown)
    const struct CMUnitTest each[] = {
        EACH(put_of_any_size_and_fill_is_whole),
        EACH(forms_are_whole_with_every_cut_near_the_edge_of_a_small_buffer),
        EACH(forms_are_whole_with_cuts_near_the_edge_of_a_large_buffer),
        EACH(form_of_many_tiny_files_behind_a_large_one_is_whole),
        EACH(form_of_framing_alone_passes),
        EACH(forms_by_chance_are_whole),
        EACH(twenty_bodies_share_two_mebibytes),
        EACH(never_more_pieces_in_flight_than_the_limit),
    };
    const struct CMUnitTest faked[] = {
        FAKE(bodies_are_admitted_in_their_order),
        FAKE(waiting_bodies_come_before_more_large_buffers),
        FAKE(held_writes_stop_the_room_and_let_go_on),
        FAKE(stalled_upload_gives_its_large_buffer_back),
        FAKE(tick_looks_at_nobody_but_who_holds_a_large_buffer),
        FAKE(buffer_that_is_lent_is_not_moved),
        FAKE(short_body_goes_to_the_disk_as_one_piece),
        FAKE(short_bodies_share_a_part_of_the_buffers),
        FAKE(slow_short_upload_gives_its_medium_buffer_back),
        FAKE(slow_framing_gives_its_medium_buffer_back),
        FAKE(stall_with_all_buffers_in_flight_loses_nothing),
        FAKE(close_while_waiting_leaves_the_line),
        FAKE(close_right_after_admission_gives_back),
        FAKE(close_with_a_filled_buffer_gives_back),
        FAKE(close_with_a_large_buffer_gives_back),
        FAKE(close_with_pieces_in_flight_waits_for_them),
        FAKE(close_with_a_carry_pending_gives_back),
        FAKE(close_does_not_touch_the_session),
    };
    int failed = 0;
    for (engine = TEST_IO_URING; engine <= TEST_THREADS; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), each, NULL, NULL);
    return failed + cmocka_run_group_tests_name("fake", faked, NULL, NULL);
}
