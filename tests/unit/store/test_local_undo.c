/* A name that is taken back because its folder could not be synced is taken from nobody else: others may have been
 * given it since, and told so. Two loops, the first of which has its syncs held. */
#include "fake_disk.h"
#include "meta_case.h"

#include <errno.h>

static struct store_case c;
static struct sl_disk *second_disk;
static struct sl_mailbox second_box;
static struct sl_store *second;

static int setup(void **state)
{
    store_case_open(&c, TEST_FAKE, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    second_disk = fake_disk_create();
    assert_int_equal(sl_mailbox_init(&second_box), SL_OK);
    second = sl_store_create(c.root, second_disk, &second_box);
    assert_int_equal(store_put(&c, "d/old", 0, SL_CONFLICT_ERROR), SL_OK); /* the folder is there */
    return 0;
}

static int teardown(void **state)
{
    sl_store_destroy(second);
    sl_mailbox_dispose(&second_box);
    sl_disk_destroy(second_disk);
    store_case_close(&c);
    return 0;
}

/* ---- the second loop ---- */

struct answer {
    sl_err err;
    unsigned calls;
};

static void on_object(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct answer *answer = ctx;
    answer->err = err;
    answer->calls++;
}

static void on_removal(struct sl_store_removal *removal, sl_err err, void *ctx)
{
    on_object(NULL, err, ctx);
}

static void second_expect_ok(struct answer *answer)
{
    while (answer->calls == 0)
        store_case_turn_of(second_disk, &second_box);
    assert_int_equal(answer->calls, 1);
    assert_int_equal(answer->err, SL_OK);
    *answer = (struct answer){0};
}

static char second_etag[SL_ETAG_BYTES];

static void second_put(const char *name, enum sl_conflict conflict)
{
    struct sl_store_object object;
    struct sl_path path = store_path(name);
    struct meta_case m;
    struct sl_store_terms terms = {.conflict = conflict, .meta = meta_case_fill(&m, 1u << SL_HASH_SHA256, 'B')};
    struct answer answer = {0};
    sl_store_begin(second, &object, 0, on_object, &answer);
    second_expect_ok(&answer);
    sl_store_commit(&object, &path, 0, &terms, on_object, &answer);
    second_expect_ok(&answer);
    assert_string_equal(path.text, name);
    snprintf(second_etag, sizeof second_etag, "%s", object.etag);
}

static void second_remove(const char *name)
{
    struct sl_store_removal removal;
    struct sl_path path = store_path(name);
    struct answer answer = {0};
    sl_store_remove(second, &removal, &path, NULL, on_removal, &answer);
    second_expect_ok(&answer);
}

/* ---- the first ---- */

/* Turns until only what is held is on its way: for syncs of the file and, linked, of its folder. */
static void settle(void)
{
    while (sl_disk_inflight(c.disk) > fake_disk_held(c.disk) || !sl_mailbox_is_empty(&c.mailbox))
        store_case_turn(&c);
}

static void link_and_hold(const char *name, enum sl_conflict conflict)
{
    assert_int_equal(store_begin(&c, 0), SL_OK);
    fake_disk_hold(c.disk, SL_DISK_SYNC);
    c.path = store_path(name);
    c.terms = (struct sl_store_terms){.conflict = conflict};
    c.calls = 0;
    sl_store_commit(&c.object, &c.path, 0, &c.terms, store_case_on_object, &c);
    settle();
    fake_disk_release_one(c.disk);
    settle();
    assert_int_equal(fake_disk_held(c.disk), 1);
    assert_int_equal(scratch_count(&c.scratch, "files/d"), 2);
    assert_int_equal(c.calls, 0);
}

/* The name asked for is in the path again. */
static void fail_the_folder(const char *name)
{
    fake_disk_fail(c.disk, SL_DISK_SYNC, 1, EIO);
    fake_disk_release(c.disk);
    assert_int_equal(store_case_finish(&c), SL_IO);
    assert_int_equal(c.object.sys_errno, EIO);
    assert_string_equal(c.path.text, name);
    store_abort(&c);
}

struct row {
    const char *asked, *got;
    enum sl_conflict conflict;
};

static const struct row rows[] = {
    {"d/f", "d/f", SL_CONFLICT_ERROR}, {"d/f", "d/f", SL_CONFLICT_RENAME}, {"d/old", "d/old-1", SL_CONFLICT_RENAME}};
#define ROWS (sizeof rows / sizeof rows[0])

static void name_is_taken_back(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        link_and_hold(rows[i].asked, rows[i].conflict);
        fail_the_folder(rows[i].asked);
        assert_int_equal(store_look(&c, rows[i].got, &(uint64_t){0}), SL_NOT_FOUND);
        assert_int_equal(scratch_count(&c.scratch, "files/d"), 1);
    }
    link_and_hold("d/f", SL_CONFLICT_OVERWRITE); /* of nothing */
    fail_the_folder("d/f");
    assert_int_equal(scratch_count(&c.scratch, "files/d"), 1);
}

static void name_overwritten_since_stays(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        link_and_hold(rows[i].asked, rows[i].conflict);
        second_put(rows[i].got, SL_CONFLICT_OVERWRITE);
        fail_the_folder(rows[i].asked);
        meta_case_expect_etag(&c, rows[i].got, second_etag);
        second_remove(rows[i].got);
    }
}

static void name_removed_and_made_since_stays(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        link_and_hold(rows[i].asked, rows[i].conflict);
        second_remove(rows[i].got);
        second_put(rows[i].got, SL_CONFLICT_ERROR);
        fail_the_folder(rows[i].asked);
        meta_case_expect_etag(&c, rows[i].got, second_etag);
        second_remove(rows[i].got);
    }
}

/* Who cannot tell whose the name is leaves it. */
static void look_that_fails_takes_nothing(void **state)
{
    for (unsigned nth = 1; nth <= 2; nth++) {
        link_and_hold("d/f", SL_CONFLICT_ERROR);
        second_put("d/f", SL_CONFLICT_OVERWRITE);
        fake_disk_fail(c.disk, SL_DISK_STAT, nth, EIO);
        fail_the_folder("d/f");
        fake_disk_disarm(c.disk);
        meta_case_expect_etag(&c, "d/f", second_etag);
        second_remove("d/f");
    }
}

/* The second asks for its turn before the first takes its name back, and is let in after. */
static void overwrite_that_waits_is_not_taken_back(void **state)
{
    struct sl_store_object object;
    struct sl_path path = store_path("d/f");
    struct sl_store_terms terms = {.conflict = SL_CONFLICT_OVERWRITE};
    struct answer answer = {0};
    sl_store_begin(second, &object, 0, on_object, &answer);
    second_expect_ok(&answer);
    link_and_hold("d/f", SL_CONFLICT_ERROR);
    fake_disk_hold(c.disk, SL_DISK_STAT);
    fake_disk_fail(c.disk, SL_DISK_SYNC, 1, EIO);
    fake_disk_release_one(c.disk);
    settle();
    assert_int_equal(fake_disk_held(c.disk), 1); /* it has its turn and looks */
    sl_store_commit(&object, &path, 0, &terms, on_object, &answer);
    while (sl_disk_inflight(second_disk) > 0)
        store_case_turn_of(second_disk, &second_box);
    assert_int_equal(answer.calls, 0);
    fake_disk_release(c.disk);
    assert_int_equal(store_case_finish(&c), SL_IO);
    second_expect_ok(&answer);
    assert_false(object.has_replaced);
    store_abort(&c);
    meta_case_expect_etag(&c, "d/f", object.etag);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(name_is_taken_back),
        CASE(name_overwritten_since_stays),
        CASE(name_removed_and_made_since_stays),
        CASE(look_that_fails_takes_nothing),
        CASE(overwrite_that_waits_is_not_taken_back),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
