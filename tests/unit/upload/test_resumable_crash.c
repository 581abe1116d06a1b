/* What is found after a crash: checkpoints, bytes without a name, a name that the state does not know of, a saved
 * digest that nobody can read. A crash is a close whose last words do not reach the disk. */
#include "resumable_case.h"

#include <sys/stat.h>

static struct exchange x;

static void crash(void)
{
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 1, EIO);
    give_back(&x);
    fake_disk_disarm(u.disk);
}

/* Lets all that is under way come to an end. */
static void rest(void)
{
    while (sl_disk_inflight(u.disk) > 0 || x.pipeline.inflight > 0)
        (void)upload_turn(&u, UPLOAD_PATIENCE_MS);
    upload_settle(&u);
}

static void receive(const char *id, uint64_t end, size_t fill_max)
{
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    assert_true(send_to(&x, end, fill_max));
}

/* ---- checkpoints ---- */

static void checkpoints_are_what_a_crash_leaves(void **state)
{
    static const uint64_t starts[] = {0, 1, 4096, 5000, 100001};
    u.intake.checkpoint_bytes = 100000;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        char path[40];
        snprintf(path, sizeof path, "f%zu", i);
        struct sl_upload_state whole = new_state(path, 5 * MIB);
        const char *id = create(&whole);
        assert_int_equal(append(&x, id, starts[i], SIZE_MAX, false), SL_RESUMABLE_KEPT);
        give_back(&x);
        receive(id, 4 * MIB + 1, 50000);
        rest();
        assert_true(x.told >= starts[i] + 100000); /* more, as the disk is fast */
        uint64_t told = x.told;
        crash();
        assert_int_equal(offset_of(id), told);
        append(&x, id, 5 * MIB, SIZE_MAX, false);
        expect_done(&x, path, 5 * MIB);
        give_back(&x);
    }
}

static void checkpoint_of_an_announced_new_one_is_left(void **state)
{
    u.intake.checkpoint_bytes = 100000;
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_announced = true}), SL_OK);
    REACH(&x, RECEIVING);
    begin_body(&x);
    assert_true(send_to(&x, 400000, SIZE_MAX));
    rest();
    assert_true(x.told >= 100000);
    uint64_t told = x.told;
    char id[SL_UPLOAD_ID_BYTES];
    memcpy(id, x.resumable.session.id, sizeof id);
    crash();
    assert_int_equal(offset_of(id), told);
    append(&x, id, 500000, SIZE_MAX, true);
    expect_done(&x, "f", 500000);
    give_back(&x);
}

/* Sends bytes of the upload up to `end`; then its first checkpoint is under way, for as long as it is held. */
static void reach_checkpoint(const char *id, uint64_t end)
{
    u.intake.checkpoint_bytes = 16384;
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    fake_disk_hold(u.disk, SL_DISK_SETXATTR);
    assert_true(send_to(&x, end, SIZE_MAX));
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
}

/* Pieces before the mark that are still on their way to the disk hold the checkpoint up. */
static void checkpoint_waits_for_the_bytes_before_it(void **state)
{
    u.intake.checkpoint_bytes = 16384;
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    unsigned kept_before = fake_disk_started(u.disk, SL_DISK_SETXATTR);
    fake_disk_hold(u.disk, SL_DISK_WRITE);
    assert_true(send_to(&x, 3 * 16384, SIZE_MAX));
    upload_settle(&u);
    assert_int_equal(fake_disk_started(u.disk, SL_DISK_SETXATTR), kept_before);
    fake_disk_release_one(u.disk);
    UPLOAD_UNTIL(&u, fake_disk_started(u.disk, SL_DISK_SETXATTR) == kept_before + 1);
    UPLOAD_UNTIL(&u, x.told == 16384);
    upload_settle(&u);
    assert_int_equal(x.told, 16384);
    fake_disk_release(u.disk);
    give_back(&x);
    assert_int_equal(offset_of(id), 3 * 16384);
}

static void checkpoint_under_way_at_the_end_is_waited_for(void **state)
{
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        char path[40];
        snprintf(path, sizeof path, "f%d", is_closed);
        struct sl_upload_state whole = new_state(path, MIB);
        const char *id = create(&whole);
        reach_checkpoint(id, MIB);
        if (is_closed)
            sl_resumable_close(&x.resumable);
        else
            sl_resumable_end(&x.resumable, false);
        upload_settle(&u);
        assert_int_equal(fake_disk_held(u.disk), 1);
        fake_disk_release(u.disk);
        if (!is_closed) {
            REACH(&x, DONE);
            expect_done(&x, path, MIB);
            give_back(&x);
            continue;
        }
        REACH(&x, CLOSED);
        close_pipeline(&x);
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_true(x.resumable.state.is_done);
        give_back(&x);
    }
}

static void checkpoint_that_fails_ends_the_body(void **state)
{
    u.intake.checkpoint_bytes = 16384;
    struct sl_upload_state whole = new_state("f", 2 * MIB);
    const char *id = create(&whole);
    open_id(&x, id);
    REACH(&x, OPEN);
    begin_body(&x);
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 2, EIO);
    (void)send_to(&x, 2 * MIB - 1, 20000);
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_IO);
    assert_true(x.told > 0);
    uint64_t told = x.told;
    give_back(&x);
    assert_int_equal(offset_of(id), told);
    append(&x, id, 2 * MIB, SIZE_MAX, false);
    expect_done(&x, "f", 2 * MIB);
    give_back(&x);
}

/* All bytes are there by then, but nothing of them is known to the disk. */
static void checkpoint_that_fails_behind_the_end_fails_it_and_the_offset_stays(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    reach_checkpoint(id, MIB);
    sl_resumable_end(&x.resumable, false);
    UPLOAD_UNTIL(&u, x.resumable.session.state == SL_SESSION_STAGED);
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 1, EIO);
    fake_disk_release(u.disk);
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_IO);
    give_back(&x);
    assert_int_equal(offset_of(id), 5000);
    append(&x, id, MIB, SIZE_MAX, false);
    expect_done(&x, "f", MIB);
    give_back(&x);
}

/* The client went while the checkpoint and bytes behind it are under way. */
static void checkpoint_under_way_when_its_client_goes_ends_first(void **state)
{
    for (int fails = 0; fails < 2; fails++) {
        char path[40];
        snprintf(path, sizeof path, "f%d", fails);
        struct sl_upload_state whole = new_state(path, MIB);
        const char *id = create(&whole);
        reach_checkpoint(id, 16384);
        fake_disk_hold(u.disk, SL_DISK_WRITE);
        assert_true(send_to(&x, 40000, SIZE_MAX));
        sl_resumable_close(&x.resumable);
        UPLOAD_UNTIL(&u, fake_disk_held(u.disk) > 1);
        if (fails)
            fake_disk_fail(u.disk, SL_DISK_SETXATTR, 1, EIO);
        fake_disk_release_one(u.disk); /* the checkpoint */
        upload_settle(&u);
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_CLOSING);
        fake_disk_release(u.disk);
        REACH(&x, CLOSED);
        close_pipeline(&x);
        assert_int_equal(u.intake.files, 0);
        assert_int_equal(offset_of(id), fails ? 0 : 40000);
        append(&x, id, MIB, SIZE_MAX, false);
        expect_done(&x, path, MIB);
        give_back(&x);
    }
}

/* A process that is killed leaves space that it had taken ahead. */
static void space_taken_ahead_is_given_back(void **state)
{
    struct sl_upload_state whole = new_state("f", 2 * MIB);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    char name[64];
    snprintf(name, sizeof name, "uploads/%s", id);
    for (int is_gone_on_with = 0; is_gone_on_with < 2; is_gone_on_with++) {
        assert_int_equal(truncate(scratch_path(&u.scratch, name), 2 * MIB), 0);
        uint64_t end = is_gone_on_with ? 70001 : 5000;
        if (is_gone_on_with)
            append(&x, id, end, SIZE_MAX, false);
        else
            open_id(&x, id);
        UPLOAD_UNTIL(&u, x.resumable.phase == SL_RESUMABLE_OPEN || is_at_end(&x));
        give_back(&x);
        struct stat stat_of;
        assert_int_equal(stat(scratch_path(&u.scratch, name), &stat_of), 0);
        assert_int_equal(stat_of.st_size, end);
    }
    append(&x, id, 2 * MIB, SIZE_MAX, false);
    expect_done(&x, "f", 2 * MIB);
    give_back(&x);
}

/* ---- complete, but without its name ---- */

/* All bytes are kept, as a checkpoint or a body that broke off behind its last byte leaves them. */
static void leave_complete(const char *id, uint64_t end)
{
    receive(id, end, SIZE_MAX);
    give_back(&x);
}

static void complete_without_a_name_gets_it_when_opened(void **state)
{
    static const size_t lens[] = {1, 4096, 5000, MIB + 1};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        char path[40];
        snprintf(path, sizeof path, "f%zu", i);
        struct sl_upload_state whole = new_state(path, lens[i]);
        const char *id = create(&whole);
        leave_complete(id, lens[i]);
        assert_int_equal(scratch_count(&u.scratch, "files"), i);
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_int_equal(x.changes, 1);
        assert_true(x.resumable.state.is_done);
        assert_int_equal(x.resumable.state.offset, lens[i]);
        assert_int_equal(unfinished(), 0);
        struct sl_digests digests = {0};
        char *bytes = malloc(lens[i]);
        upload_fill(bytes, 0, lens[i]);
        sl_hash_now(SHA256_ONLY, bytes, lens[i], &digests);
        free(bytes);
        upload_expect(&u, path, 0, lens[i], &digests);
        give_back(&x);
    }
}

static void complete_whose_name_is_taken_says_so_and_stays(void **state)
{
    struct sl_upload_state whole = new_state("f", 5000);
    const char *id = create(&whole);
    leave_complete(id, 5000);
    scratch_put(&u.scratch, "files/f", "other");
    for (int i = 0; i < 2; i++) {
        open_id(&x, id);
        REACH(&x, FAILED);
        assert_int_equal(x.resumable.err, SL_EXISTS);
        give_back(&x);
        assert_int_equal(unfinished(), 1);
    }
    assert_int_equal(unlink(scratch_path(&u.scratch, "files/f")), 0);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_true(x.resumable.state.is_done);
    give_back(&x);
}

/* ---- named, but the state does not say so ---- */

static void named_without_a_note_is_found_to_be_done(void **state)
{
    for (int is_renamed = 0; is_renamed < 2; is_renamed++) {
        char path[40], name[48];
        snprintf(path, sizeof path, "g%d.txt", is_renamed);
        snprintf(name, sizeof name, "files/%s", path);
        struct sl_upload_state whole = new_state(path, 5000);
        whole.conflict = SL_CONFLICT_RENAME;
        if (is_renamed)
            scratch_put(&u.scratch, name, "other");
        const char *id = create(&whole);
        receive(id, 5000, SIZE_MAX);
        fake_disk_fail(u.disk, SL_DISK_SETXATTR, 2, EIO); /* the first is what is known of the file */
        end_body(&x, false);
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_DONE);
        char got[SL_PATH_BYTES_MAX + 1];
        snprintf(got, sizeof got, "%s", x.resumable.session.path.text);
        give_back(&x);
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_int_equal(x.changes, 1);
        assert_true(x.resumable.state.is_done);
        assert_int_equal(x.resumable.state.offset, 5000);
        assert_int_equal(x.resumable.state.length, 5000);
        assert_string_equal(x.resumable.state.path.text, got);
        assert_int_equal(strcmp(got, path) == 0, !is_renamed);
        give_back(&x);
    }
    assert_int_equal(scratch_count(&u.scratch, "files"), 3);
}

/* Its number is known to whoever comes later. */
static void renamed_is_told_by_its_new_name(void **state)
{
    scratch_put(&u.scratch, "files/f", "other");
    struct sl_upload_state whole = new_state("f", 5000);
    whole.conflict = SL_CONFLICT_RENAME;
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_DONE);
    assert_string_equal(x.resumable.state.path.text, "f-1");
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_string_equal(x.resumable.state.path.text, "f-1");
    give_back(&x);
}

/* ---- what is on disk is not as it was left ---- */

static void overstate(struct sl_upload_state *state)
{
    state->offset++;
    state->hash.len = 0;
}

static void digest_that_is_lost_is_made_again(void **state)
{
    static const uint64_t cuts[] = {0, 1, 4096, 70001, MIB + 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        for (int has_body = 0; has_body < 2; has_body++) {
            char path[40];
            snprintf(path, sizeof path, "f%zu-%d", i, has_body);
            struct sl_upload_state whole = new_state(path, UNKNOWN);
            const char *id = create(&whole);
            assert_int_equal(append(&x, id, cuts[i], SIZE_MAX, false), SL_RESUMABLE_KEPT);
            give_back(&x);
            restate(id, forget_hash);
            if (has_body) {
                append(&x, id, 2 * MIB, SIZE_MAX, true);
                expect_done(&x, path, 2 * MIB);
            } else {
                open_id(&x, id);
                REACH(&x, OPEN);
                end_body(&x, true);
                expect_done(&x, path, cuts[i]);
            }
            give_back(&x);
        }
    }
}

static void digest_that_is_lost_of_a_complete_one_is_made_again(void **state)
{
    struct sl_upload_state whole = new_state("f", MIB + 1);
    const char *id = create(&whole);
    leave_complete(id, MIB + 1);
    restate(id, forget_hash);
    open_id(&x, id);
    REACH(&x, OPEN);
    assert_true(x.resumable.state.is_done);
    give_back(&x);
}

static void close_while_a_digest_is_made_again(void **state)
{
    struct sl_upload_state whole = new_state("f", 2 * MIB);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, MIB + 1, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    restate(id, forget_hash);
    open_id(&x, id);
    REACH(&x, OPEN);
    admit(&x);
    fake_disk_hold(u.disk, SL_DISK_READ);
    sl_resumable_receive(&x.resumable, &x.pipeline);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
    sl_resumable_close(&x.resumable);
    fake_disk_release(u.disk);
    REACH(&x, CLOSED);
    close_pipeline(&x);
    assert_int_equal(offset_of(id), MIB + 1);
}

static void state_that_tells_of_more_than_is_there_is_no_upload(void **state)
{
    struct sl_upload_state whole = new_state("f", UNKNOWN);
    const char *id = create(&whole);
    assert_int_equal(append(&x, id, 5000, SIZE_MAX, false), SL_RESUMABLE_KEPT);
    give_back(&x);
    restate(id, overstate);
    expect_absent(id);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(checkpoints_are_what_a_crash_leaves),
        CASE(checkpoint_of_an_announced_new_one_is_left),
        CASE(checkpoint_waits_for_the_bytes_before_it),
        CASE(checkpoint_under_way_at_the_end_is_waited_for),
        CASE(checkpoint_that_fails_ends_the_body),
        CASE(checkpoint_that_fails_behind_the_end_fails_it_and_the_offset_stays),
        CASE(checkpoint_under_way_when_its_client_goes_ends_first),
        CASE(space_taken_ahead_is_given_back),
        CASE(complete_without_a_name_gets_it_when_opened),
        CASE(complete_whose_name_is_taken_says_so_and_stays),
        CASE(named_without_a_note_is_found_to_be_done),
        CASE(renamed_is_told_by_its_new_name),
        CASE(digest_that_is_lost_is_made_again),
        CASE(digest_that_is_lost_of_a_complete_one_is_made_again),
        CASE(close_while_a_digest_is_made_again),
        CASE(state_that_tells_of_more_than_is_there_is_no_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
