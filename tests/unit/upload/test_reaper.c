/* The reaper: what has expired goes, whatever it is; everything else stays; a few at a time. */
#include "fake_disk.h"
#include "sluice/upload/reaper.h"
#include "store/local/local.h"
#include "upload_case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define EXPIRY_NS      (100 * SL_SEC)
#define DONE_EXPIRY_NS (10 * SL_SEC)
#define REST_NS        (DONE_EXPIRY_NS / 10)
#define MANY           10000u

static struct upload_case u;
static struct sl_reaper reaper;
static uint64_t now_ns; /* of the reaper's steady clock */

static void open_case(enum test_engine engine)
{
    static const struct sl_uploads_options options = {
        .expiry_ns = EXPIRY_NS, .done_expiry_ns = DONE_EXPIRY_NS, .count_max = 5, .bytes_max = UINT64_MAX};
    upload_case_open(&u, engine);
    if (!sl_store_root_has_meta(u.root)) {
        upload_case_close(&u);
        skip();
    }
    u.intake.uploads = sl_uploads_create(&options);
    sl_reaper_init(&reaper, &u.intake);
    now_ns = SL_SEC;
}

static int setup_fake(void **state)
{
    open_case(TEST_FAKE);
    return 0;
}

static int setup_threads(void **state)
{
    open_case(TEST_THREADS);
    return 0;
}

static void remove_kept(void)
{
    DIR *dir = opendir(scratch_path(&u.scratch, "uploads"));
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

static int teardown(void **state)
{
    sl_reaper_stop(&reaper);
    UPLOAD_UNTIL(&u, sl_reaper_is_idle(&reaper));
    sl_reaper_dispose(&reaper);
    remove_kept();
    sl_uploads_destroy(u.intake.uploads); /* asserts that all claims came back */
    upload_case_close(&u);
    return 0;
}

/* ---- what is kept ---- */

/* The id of number `number`; in their order. */
static const char *id_of(unsigned number)
{
    static char id[SL_STORE_ID_BYTES];
    memset(id, 'a', sizeof id - 1);
    for (size_t i = sizeof id - 1; i-- > 0 && number > 0; number /= 26)
        id[i] = (char)('a' + number % 26);
    return id;
}

static const char *name_of(unsigned number)
{
    static char name[SL_STORE_ID_BYTES + 8];
    snprintf(name, sizeof name, "uploads/%s", id_of(number));
    return name;
}

static bool is_kept(unsigned number)
{
    return scratch_has(&u.scratch, name_of(number));
}

static void set_value(int fd, unsigned number, struct sl_bytes state)
{
    char value[SL_STATE_ATTRIBUTE_BYTES_MAX];
    memcpy(value, id_of(number), SL_STORE_ID_BYTES - 1);
    memcpy(value + SL_STORE_ID_BYTES - 1, state.base, state.len);
    assert_int_equal(fsetxattr(fd, SL_STATE_ATTRIBUTE, value, SL_STORE_ID_BYTES - 1 + state.len, 0), 0);
}

/* Of 4096 bytes that came, touched `age_ns` ago; as others keep it. */
static struct sl_upload_state state_of(uint64_t age_ns)
{
    uint64_t wall_ns = sl_clock_wall_ns();
    return (struct sl_upload_state){.dialect = SL_UPLOAD_TUS,
                                    .kind = SL_UPLOAD_WHOLE,
                                    .offset = 4096,
                                    .length = 10000,
                                    .created_ns = wall_ns - age_ns,
                                    .touched_ns = wall_ns - age_ns,
                                    .path = {.len = 1, .text = "f"}};
}

static void set_state(int fd, unsigned number, const struct sl_upload_state *state)
{
    char encoded[SL_STORE_STATE_BYTES_MAX];
    size_t len;
    assert_int_equal(sl_upload_state_encode(state, encoded, &len), SL_OK);
    set_value(fd, number, (struct sl_bytes){encoded, len});
}

/* state: NULL for none. The file's own time is `age_ns` ago. */
static void keep(unsigned number, const struct sl_upload_state *state, uint64_t age_ns)
{
    static const char bytes[4096];
    uint64_t at_ns = sl_clock_wall_ns() - age_ns;
    struct timespec times[2];
    times[0] = times[1] = (struct timespec){.tv_sec = (time_t)(at_ns / SL_SEC), .tv_nsec = (long)(at_ns % SL_SEC)};
    int fd = open(scratch_path(&u.scratch, name_of(number)), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    if (state != NULL)
        set_state(fd, number, state);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void keep_unfinished(unsigned number, uint64_t age_ns)
{
    struct sl_upload_state state = state_of(age_ns);
    keep(number, &state, 0);
}

static void count_root(void)
{
    assert_int_equal(sl_uploads_count_root(u.intake.uploads, u.scratch.path), SL_OK);
}

static uint64_t unfinished(void)
{
    return sl_uploads_unfinished(u.intake.uploads);
}

/* ---- walks ---- */

static bool is_walk_over(void)
{
    return sl_reaper_is_idle(&reaper) && !reaper.has_batch && reaper.listing.is_end;
}

/* A whole walk, after the rest behind the last one. */
static void walk(void)
{
    now_ns += REST_NS;
    sl_reaper_tick(&reaper, now_ns);
    if (!reaper.is_walking || is_walk_over()) { /* that tick has ended the last one */
        now_ns += REST_NS;
        sl_reaper_tick(&reaper, now_ns);
    }
    assert_true(reaper.is_fetching);
    while (!is_walk_over()) {
        assert_true(upload_turn(&u, UPLOAD_PATIENCE_MS));
        if (sl_reaper_is_idle(&reaper) && !reaper.has_batch && !reaper.listing.is_end)
            sl_reaper_tick(&reaper, now_ns);
    }
}

struct row {
    const char *what;
    enum sl_upload_kind kind;
    bool is_done, is_joined, has_no_state, goes;
    uint64_t age_s; /* since it was touched; without a state, of the file */
};

static const struct row rows[] = {
    {"unfinished, young", SL_UPLOAD_WHOLE, .age_s = 90},
    {"unfinished, old", SL_UPLOAD_WHOLE, .age_s = 101, .goes = true},
    {"unfinished, of another time", SL_UPLOAD_FINAL, .age_s = 1000000000, .goes = true},
    {"done, young", SL_UPLOAD_WHOLE, .is_done = true, .age_s = 5},
    {"done, old", SL_UPLOAD_WHOLE, .is_done = true, .age_s = 11, .goes = true},
    {"partial, done, young", SL_UPLOAD_PARTIAL, .is_done = true, .age_s = 90},
    {"partial, done, old", SL_UPLOAD_PARTIAL, .is_done = true, .age_s = 101, .goes = true},
    {"partial, joined, young", SL_UPLOAD_PARTIAL, .is_done = true, .is_joined = true, .age_s = 5},
    {"partial, joined, old", SL_UPLOAD_PARTIAL, .is_done = true, .is_joined = true, .age_s = 11, .goes = true},
    {"no state, young", .has_no_state = true, .age_s = 90},
    {"no state, old", .has_no_state = true, .age_s = 101, .goes = true},
};
#define ROWS (sizeof rows / sizeof rows[0])

static void keep_row(unsigned number)
{
    const struct row *row = &rows[number];
    struct sl_upload_state state = state_of(row->age_s * SL_SEC);
    state.kind = row->kind;
    state.is_done = row->is_done;
    state.is_joined = row->is_joined;
    if (row->kind == SL_UPLOAD_PARTIAL)
        state.path = (struct sl_path){0};
    if (row->is_done)
        state.offset = state.length = 4096;
    keep(number, row->has_no_state ? NULL : &state, row->has_no_state ? row->age_s * SL_SEC : 0);
}

static void walk_drops_what_has_expired_and_nothing_else(void **state)
{
    for (unsigned i = 0; i < ROWS; i++)
        keep_row(i);
    char file[256];
    snprintf(file, sizeof file, "%s", scratch_path(&u.scratch, "files/f"));
    assert_int_equal(link(scratch_path(&u.scratch, name_of(4)), file), 0); /* "done, old" has its name */
    scratch_put(&u.scratch, "uploads/tmp-x", "not ours");
    count_root();
    assert_int_equal(unfinished(), 5);
    walk();
    for (unsigned i = 0; i < ROWS; i++)
        if (is_kept(i) == rows[i].goes)
            fail_msg("%s: it %s", rows[i].what, rows[i].goes ? "stayed" : "went");
    assert_int_equal(unfinished(), 2);
    assert_true(scratch_has(&u.scratch, "uploads/tmp-x"));
    static const char bytes[4096];
    scratch_expect(&u.scratch, "files/f", bytes, sizeof bytes);
}

static void count_root_adds_up_what_may_come(void **state)
{
    struct sl_upload_state deferred = state_of(0), huge = state_of(0), done = state_of(0);
    deferred.length = SL_STORE_SIZE_UNKNOWN;
    huge.length = UINT64_MAX - 1;
    done.is_done = true;
    done.offset = done.length = 4096;
    assert_int_equal(sl_uploads_bytes_of(&deferred), 4096);
    assert_int_equal(sl_uploads_bytes_of(&huge), UINT64_MAX - 1);
    keep(0, &deferred, 0);
    keep(1, &huge, 0);
    keep(2, &done, 0);
    keep(3, NULL, 0);
    keep_unfinished(4, 0);
    count_root();
    assert_int_equal(unfinished(), 3);
    assert_int_equal(sl_uploads_admit(u.intake.uploads, 0, NULL), SL_OK);
    assert_int_equal(sl_uploads_count_root(u.intake.uploads, "/nonexistent"), SL_NOT_FOUND);
}

static void on_given(struct sl_claim *claim)
{
}

static void claimed_one_is_left_alone(void **state)
{
    keep_unfinished(0, 2 * EXPIRY_NS);
    keep_unfinished(1, 2 * EXPIRY_NS);
    count_root();
    struct sl_claim claim = {0};
    assert_true(sl_claim_try(u.intake.uploads, &claim, id_of(0), &u.mailbox));
    walk();
    assert_true(is_kept(0));
    assert_false(is_kept(1));
    assert_int_equal(unfinished(), 1);
    sl_claim_give(&claim, on_given);
    UPLOAD_UNTIL(&u, claim.uploads == NULL);
    walk();
    assert_false(is_kept(0));
    assert_int_equal(unfinished(), 0);
}

/* Slots are few: what waits in the batch is touched meanwhile. */
static void touched_since_the_batch_stays(void **state)
{
    enum { COUNT = SL_REAPER_SLOTS + 2 };
    for (unsigned i = 0; i < COUNT; i++)
        keep_unfinished(i, 2 * EXPIRY_NS);
    sl_reaper_tick(&reaper, now_ns);
    UPLOAD_UNTIL(&u, !reaper.is_fetching);
    assert_true(reaper.has_batch);
    for (unsigned i = SL_REAPER_SLOTS; i < COUNT; i++)
        keep_unfinished(i, 0);
    UPLOAD_UNTIL(&u, is_walk_over());
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(is_kept(i), i >= SL_REAPER_SLOTS);
    walk();
    assert_int_equal(scratch_count(&u.scratch, "uploads"), 2);
}

static void walks_rest_between_them(void **state)
{
    walk();
    sl_reaper_tick(&reaper, now_ns); /* ends it */
    assert_false(reaper.is_fetching);
    sl_reaper_tick(&reaper, now_ns + REST_NS - 1);
    assert_false(reaper.is_fetching);
    sl_reaper_tick(&reaper, now_ns + REST_NS);
    assert_true(reaper.is_fetching);
    sl_reaper_tick(&reaper, now_ns + 2 * REST_NS); /* one at a time */
    UPLOAD_UNTIL(&u, is_walk_over());
}

static void failed_list_ends_the_walk_and_another_does_better(void **state)
{
    keep_unfinished(0, 2 * EXPIRY_NS);
    fake_disk_fail(u.disk, SL_DISK_LIST, 1, EIO);
    walk();
    assert_true(is_kept(0));
    walk();
    assert_false(is_kept(0));
}

static void what_cannot_be_dropped_stays_and_counts(void **state)
{
    keep_unfinished(0, 2 * EXPIRY_NS);
    count_root();
    fake_disk_fail(u.disk, SL_DISK_UNLINK, 1, EROFS);
    walk();
    assert_true(is_kept(0));
    assert_int_equal(unfinished(), 1);
    fake_disk_fail(u.disk, SL_DISK_OPEN, 1, EMFILE);
    walk();
    assert_true(is_kept(0));
    walk();
    assert_false(is_kept(0));
    assert_int_equal(unfinished(), 0);
}

static void stop_in_a_batch_begins_nothing_new(void **state)
{
    for (unsigned i = 0; i < 3 * SL_REAPER_SLOTS; i++)
        keep_unfinished(i, 2 * EXPIRY_NS);
    sl_reaper_tick(&reaper, now_ns);
    UPLOAD_UNTIL(&u, !reaper.is_fetching);
    assert_false(sl_reaper_is_idle(&reaper));
    sl_reaper_stop(&reaper);
    UPLOAD_UNTIL(&u, sl_reaper_is_idle(&reaper));
    sl_reaper_tick(&reaper, now_ns + 10 * REST_NS);
    assert_true(sl_reaper_is_idle(&reaper));
    assert_int_equal(scratch_count(&u.scratch, "uploads"), 2 * SL_REAPER_SLOTS);
}

static void stop_in_a_fetch_drops_nothing(void **state)
{
    keep_unfinished(0, 2 * EXPIRY_NS);
    sl_reaper_tick(&reaper, now_ns);
    assert_false(sl_reaper_is_idle(&reaper));
    sl_reaper_stop(&reaper);
    UPLOAD_UNTIL(&u, sl_reaper_is_idle(&reaper));
    assert_true(is_kept(0));
}

/* A few at a time, so that the disk has time for others, and one batch behind the other. */
static void ten_thousand_go_a_few_at_a_time(void **state)
{
    for (unsigned i = 0; i < MANY; i++)
        keep_unfinished(i, 2 * EXPIRY_NS);
    keep_unfinished(MANY, 0);
    count_root();
    assert_int_equal(unfinished(), MANY + 1);
    unsigned ticks = 0;
    do {
        if (sl_reaper_is_idle(&reaper) && !reaper.has_batch) {
            sl_reaper_tick(&reaper, now_ns);
            ticks++;
        }
        assert_true(upload_turn(&u, UPLOAD_PATIENCE_MS));
        assert_in_range(sl_disk_inflight(u.disk), 0, SL_REAPER_SLOTS);
    } while (!is_walk_over());
    assert_int_equal(scratch_count(&u.scratch, "uploads"), 1);
    assert_int_equal(unfinished(), 1);
    assert_int_equal(reaper.dropped, MANY);
    assert_int_equal(ticks, 1);
}

/* Where nothing is to be dropped there is time. */
static void ten_thousand_that_stay_are_looked_at_a_batch_a_tick(void **state)
{
    for (unsigned i = 0; i < MANY; i++)
        keep_unfinished(i, 0);
    unsigned ticks = 0;
    do {
        if (sl_reaper_is_idle(&reaper) && !reaper.has_batch) {
            sl_reaper_tick(&reaper, now_ns);
            ticks++;
        }
        assert_true(upload_turn(&u, UPLOAD_PATIENCE_MS));
    } while (!is_walk_over());
    assert_int_equal(scratch_count(&u.scratch, "uploads"), MANY);
    assert_true(ticks > 5);
}

/* Another process made some, and ended others. */
static void recount_waits_until_they_rest(void **state)
{
    struct sl_uploads *uploads = u.intake.uploads;
    keep_unfinished(0, 0);
    keep_unfinished(1, 0);
    sl_uploads_count(uploads, 7, 70000);
    struct sl_claim claim = {0};
    assert_true(sl_claim_try(uploads, &claim, id_of(0), &u.mailbox));
    assert_int_equal(sl_uploads_recount_root(uploads, u.scratch.path), SL_BUSY);
    sl_claim_give(&claim, on_given);
    UPLOAD_UNTIL(&u, claim.uploads == NULL);
    assert_int_equal(sl_uploads_recount_root(uploads, u.scratch.path), SL_BUSY); /* just now somebody did */
    assert_int_equal(unfinished(), 7);
    uint64_t end_ns = sl_clock_now_ns() + 10 * SL_SEC;
    sl_err err;
    do
        err = sl_uploads_recount_root(uploads, u.scratch.path);
    while (err == SL_BUSY && sl_clock_now_ns() < end_ns);
    assert_int_equal(err, SL_OK);
    assert_int_equal(unfinished(), 2);
    assert_int_equal(sl_uploads_recount_root(uploads, "/nonexistent"), SL_NOT_FOUND);
    assert_int_equal(unfinished(), 2);
    assert_int_equal(sl_uploads_admit(uploads, 1, NULL), SL_OK);
    assert_int_equal(sl_uploads_recount_root(uploads, u.scratch.path), SL_BUSY); /* its claim comes next */
}

int main(void)
{
#define CASE(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(walk_drops_what_has_expired_and_nothing_else, setup_fake),
        CASE(count_root_adds_up_what_may_come, setup_fake),
        CASE(recount_waits_until_they_rest, setup_fake),
        CASE(claimed_one_is_left_alone, setup_fake),
        CASE(touched_since_the_batch_stays, setup_fake),
        CASE(walks_rest_between_them, setup_fake),
        CASE(failed_list_ends_the_walk_and_another_does_better, setup_fake),
        CASE(what_cannot_be_dropped_stays_and_counts, setup_fake),
        CASE(stop_in_a_batch_begins_nothing_new, setup_fake),
        CASE(stop_in_a_fetch_drops_nothing, setup_fake),
        CASE(walk_drops_what_has_expired_and_nothing_else, setup_threads),
        CASE(ten_thousand_go_a_few_at_a_time, setup_threads),
        CASE(ten_thousand_that_stay_are_looked_at_a_batch_a_tick, setup_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
