/* Partial uploads joined into a final one. */
#include "resumable_case.h"

static struct exchange x, y;

/* Bytes [from, to) of the test body, up to `end` of them sent. */
static void make_part(char id_out[SL_UPLOAD_ID_BYTES], uint64_t from, uint64_t to, uint64_t end)
{
    struct sl_upload_state part = new_state("", to - from);
    part.kind = SL_UPLOAD_PARTIAL;
    memcpy(id_out, create(&part), SL_UPLOAD_ID_BYTES);
    open_id(&x, id_out);
    REACH(&x, OPEN);
    if (end > from) {
        begin_body(&x);
        for (uint64_t sent = from; sent < end;) {
            struct sl_room room = sl_pipeline_room(&x.pipeline);
            size_t n = room.len < end - sent ? room.len : (size_t)(end - sent);
            upload_fill(room.base, sent, n);
            if (n > 0) {
                sl_pipeline_filled(&x.pipeline, n);
                sl_pipeline_accept(&x.pipeline, n);
            }
            sent += n;
            (void)upload_turn(&u, n > 0 ? 0 : UPLOAD_PATIENCE_MS);
        }
        end_body(&x, false);
        assert_int_equal(x.resumable.phase, end == to ? SL_RESUMABLE_DONE : SL_RESUMABLE_KEPT);
    }
    give_back(&x);
}

static char concat[1024];

static struct sl_upload_state final_of(const char *path, char (*ids)[SL_UPLOAD_ID_BYTES], size_t count)
{
    struct sl_upload_state final = new_state(path, UNKNOWN);
    size_t len = (size_t)snprintf(concat, sizeof concat, "final;");
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(concat + len, sizeof concat - len, "%s%s/uploads/%s", i > 0 ? " " : "",
                                i % 2 ? "http://example.org:80" : "", ids[i]);
    final.kind = SL_UPLOAD_FINAL;
    final.concat = (struct sl_bytes){concat, len};
    return final;
}

static void make_final(struct exchange *f, const struct sl_upload_state *final)
{
    assert_int_equal(make(f, (struct sl_resumable_plan){.state = final, .is_bodyless = true}), SL_OK);
    REACH(f, KEPT);
    sl_resumable_join(&f->resumable);
    assert_int_equal(f->resumable.phase, SL_RESUMABLE_ENDING);
    UPLOAD_UNTIL(&u, is_at_end(f));
}

static void parts_of_any_size_are_one_file(void **state)
{
    static const uint64_t rows[][4] = {{0, 4096, 8192, 12288},
                                       {0, 1, 2, 3},
                                       {0, 0, 5000, 5000},
                                       {0, 4095, 4097, 20000},
                                       {0, MIB + 1, 2 * MIB, 5 * MIB + 3},
                                       {0, 16384, 16384 + 5, 70001}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char ids[3][SL_UPLOAD_ID_BYTES], path[40];
        snprintf(path, sizeof path, "f%zu", i);
        for (size_t p = 0; p < 3; p++)
            make_part(ids[p], rows[i][p], rows[i][p + 1], rows[i][p + 1]);
        struct sl_upload_state final = final_of(path, ids, 3);
        make_final(&x, &final);
        expect_done(&x, path, rows[i][3]);
        give_back(&x);
        assert_int_equal(unfinished(), 0);
        expect_counted(0);
        assert_int_equal(kept(), (i + 1) * 4); /* the parts stay */
    }
}

static void part_may_be_there_twice(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    memcpy(ids[1], ids[0], sizeof ids[1]);
    struct sl_upload_state final = final_of("f", ids, 2);
    make_final(&x, &final);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_DONE);
    assert_int_equal(x.resumable.session.size, 10000);
    give_back(&x);
}

static void final_of_unfinished_parts_waits_and_is_joined_later(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES], id[SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 5000, 12000, 7000);
    struct sl_upload_state final = final_of("f", ids, 2);
    make_final(&x, &final);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_KEPT);
    assert_int_equal(x.resumable.state.length, 12000);
    assert_int_equal(x.resumable.state.offset, 0);
    memcpy(id, x.resumable.session.id, sizeof id);
    give_back(&x);
    open_id(&x, ids[1]);
    REACH(&x, OPEN);
    begin_body(&x);
    struct sl_room room = sl_pipeline_room(&x.pipeline);
    upload_fill(room.base, 7000, 5000);
    sl_pipeline_filled(&x.pipeline, 5000);
    sl_pipeline_accept(&x.pipeline, 5000);
    end_body(&x, false);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_DONE);
    give_back(&x);
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_join(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    expect_done(&x, "f", 12000);
    give_back(&x);
}

/* Whoever sends a part is not disturbed by who wants it joined. */
static void join_does_not_take_a_part_over(void **state)
{
    char ids[1][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 1000);
    open_id(&y, ids[0]);
    REACH(&y, OPEN);
    struct sl_upload_state final = final_of("f", ids, 1);
    make_final(&x, &final);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_KEPT);
    leave(&x);
    assert_false(y.resumable.is_wanted);
    give_back(&y);
}

static void final_of_what_is_no_part_fails_and_leaves_nothing(void **state)
{
    char ids[3][SL_UPLOAD_ID_BYTES];
    struct sl_upload_state whole = new_state("g", 5000);
    make_part(ids[0], 0, 5000, 5000);
    memcpy(ids[1], create(&whole), sizeof ids[1]);
    memcpy(ids[2], "abcdefghijklmnopqrstuvwxyz", sizeof ids[2]);
    for (size_t i = 1; i < 3; i++) {
        char pair[2][SL_UPLOAD_ID_BYTES];
        memcpy(pair[0], ids[0], sizeof pair[0]);
        memcpy(pair[1], ids[i], sizeof pair[1]);
        struct sl_upload_state final = final_of("f", pair, 2);
        make_final(&x, &final);
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
        assert_int_equal(x.resumable.err, SL_NOT_FOUND);
        give_back(&x);
        assert_int_equal(kept(), 2);
        assert_int_equal(unfinished(), 2);
    }
}

static void expect_refused(const struct sl_upload_state *final, sl_err err)
{
    unsigned before = kept(), unfinished_before = unfinished();
    make_final(&x, final);
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
    assert_int_equal(x.resumable.err, err);
    give_back(&x);
    assert_int_equal(kept(), before);
    assert_int_equal(unfinished(), unfinished_before);
}

static void final_that_would_be_too_large_fails(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 0, 5000, 5000);
    u.intake.size_max = 9999;
    struct sl_upload_state final = final_of("f", ids, 2);
    expect_refused(&final, SL_TOO_LARGE);
}

/* Nobody needs to send a byte to say so. */
static void final_of_more_bytes_than_a_file_can_have_fails(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    sl_uploads_destroy(u.intake.uploads);
    open_uploads(100, UINT64_MAX);
    for (int i = 0; i < 2; i++) {
        struct sl_upload_state part = new_state("", i == 0 ? INT64_MAX : 1);
        part.kind = SL_UPLOAD_PARTIAL;
        memcpy(ids[i], create(&part), sizeof ids[i]);
    }
    struct sl_upload_state final = final_of("f", ids, 2);
    expect_refused(&final, SL_TOO_LARGE);
}

static void final_without_a_descriptor_for_its_parts_fails(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 5000, 9000, 9000);
    u.intake.files_max = 1;
    struct sl_upload_state final = final_of("f", ids, 2);
    expect_refused(&final, SL_TOO_MANY_FILES);
    u.intake.files_max = 2;
    make_final(&x, &final);
    expect_done(&x, "f", 9000);
    give_back(&x);
}

static void make_unfinished(struct sl_upload_state *state)
{
    state->is_done = false;
    state->offset--;
}

static void make_longer(struct sl_upload_state *state)
{
    state->offset = state->length = state->length + 1;
}

/* By hand, or by a file system that lost something: what was counted is not what is there. */
static void part_that_is_another_when_it_is_copied_is_not_there(void **state)
{
    void (*const changes[])(struct sl_upload_state *) = {make_unfinished, make_longer};
    for (size_t i = 0; i < 2; i++) {
        char ids[2][SL_UPLOAD_ID_BYTES], name[64];
        make_part(ids[0], 0, 50000, 50000);
        make_part(ids[1], 50000, 90000, 90000);
        struct sl_upload_state final = final_of("f", ids, 2);
        assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
        REACH(&x, KEPT);
        fake_disk_hold(u.disk, SL_DISK_COPY);
        sl_resumable_join(&x.resumable);
        UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1); /* of the first */
        restate(ids[1], changes[i]);
        snprintf(name, sizeof name, "uploads/%s", ids[1]);
        assert_int_equal(truncate(scratch_path(&u.scratch, name), 40001), 0);
        fake_disk_release(u.disk);
        UPLOAD_UNTIL(&u, is_at_end(&x));
        assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
        assert_int_equal(x.resumable.err, SL_NOT_FOUND);
        give_back(&x);
        assert_false(scratch_has(&u.scratch, "files/f"));
    }
}

static void final_whose_name_is_taken_is_told_so(void **state)
{
    char ids[1][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    struct sl_upload_state final = final_of("f", ids, 1);
    scratch_put(&u.scratch, "files/f", "other");
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_EXISTS);
    give_back(&x);
    assert_int_equal(kept(), 1);
}

/* Nobody knows its id: it was never answered. */
static void final_refused_after_its_parts_were_copied_leaves_nothing(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 5000, 9000, 9000);
    for (int i = 0; i < 3; i++) {
        struct sl_upload_state final = final_of("f", ids, 2);
        if (i == 0) {
            final.promised.set = SHA256_ONLY;
        } else if (i == 1) {
            fake_disk_fail(u.disk, SL_DISK_COPY, 2, ENOSPC);
        } else {
            fake_disk_hold(u.disk, SL_DISK_COPY); /* somebody else gets the name meanwhile */
        }
        assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
        REACH(&x, KEPT);
        sl_resumable_join(&x.resumable);
        if (i == 2) {
            UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
            scratch_put(&u.scratch, "files/f", "other");
            fake_disk_release(u.disk);
        }
        REACH(&x, FAILED);
        assert_int_equal(x.resumable.err, i == 0 ? SL_DIGEST_MISMATCH : i == 1 ? SL_NO_SPACE : SL_EXISTS);
        give_back(&x);
        assert_int_equal(kept(), 2);
        assert_int_equal(unfinished(), 2);
        expect_counted(9000);
    }
}

/* One that waited for its parts was told of: it stays, and counts for what its state says. */
static void final_that_was_told_stays_when_it_is_refused(void **state)
{
    char ids[1][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    struct sl_upload_state final = final_of("f", ids, 1);
    const char *id = create(&final);
    expect_counted(5000);
    scratch_put(&u.scratch, "files/f", "other");
    open_id(&x, id);
    REACH(&x, OPEN);
    sl_resumable_join(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    assert_int_equal(x.resumable.err, SL_EXISTS);
    give_back(&x);
    assert_int_equal(unfinished(), 2);
    expect_counted(5000);
    drop(id);
    assert_int_equal(unfinished(), 1);
    expect_counted(5000);
}

/* ---- what becomes of the parts ---- */

static bool part_is_over(const char *id)
{
    struct exchange part;
    open_id(&part, id);
    REACH(&part, OPEN);
    assert_true(part.resumable.state.is_done);
    uint64_t expires_ns = sl_resumable_expires_ns(&part.resumable), now_ns = sl_clock_wall_ns();
    bool is_over = part.resumable.state.is_joined;
    assert_true(expires_ns > now_ns + (is_over ? 0 : DONE_EXPIRY_NS));
    assert_true(expires_ns <= now_ns + (is_over ? DONE_EXPIRY_NS : EXPIRY_NS));
    leave(&part);
    return is_over;
}

static void parts_of_what_is_done_are_over(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 5000, 9000, 9000);
    assert_false(part_is_over(ids[0]));
    assert_int_equal(unfinished(), 2);
    for (int i = 0; i < 2; i++) { /* and may be joined once more */
        struct sl_upload_state final = final_of(i == 0 ? "f" : "g", ids, 2);
        make_final(&x, &final);
        expect_done(&x, i == 0 ? "f" : "g", 9000);
        give_back(&x);
        assert_int_equal(unfinished(), 0);
        expect_counted(0);
        assert_true(part_is_over(ids[0]) && part_is_over(ids[1]));
        assert_int_equal(unfinished_on_disk(), 0);
    }
    drop(ids[0]);
    assert_int_equal(unfinished(), 0);
}

/* What somebody deals with, what is gone, and what cannot be written, is left as it is. */
static void part_that_cannot_be_noted_goes_on_counting(void **state)
{
    char ids[3][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 5000, 9000, 9000);
    make_part(ids[2], 9000, 9500, 9500);
    open_id(&y, ids[1]);
    REACH(&y, OPEN);
    struct sl_upload_state final = final_of("f", ids, 3);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
    REACH(&x, KEPT);
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 3, EIO); /* behind those of the file, and of its state */
    sl_resumable_join(&x.resumable);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    expect_done(&x, "f", 9500);
    leave(&x);
    assert_false(y.resumable.is_wanted);
    give_back(&y);
    assert_int_equal(unfinished(), 2);
    expect_counted(9000);
    assert_false(part_is_over(ids[0]) || part_is_over(ids[1]));
    assert_true(part_is_over(ids[2]));
}

static void part_that_is_dropped_meanwhile_is_not_there_unless_it_is_being_copied(void **state)
{
    for (size_t dropped = 0; dropped < 2; dropped++) {
        char ids[2][SL_UPLOAD_ID_BYTES], path[8];
        snprintf(path, sizeof path, "f%zu", dropped);
        make_part(ids[0], 0, 50000, 50000);
        make_part(ids[1], 50000, 90000, 90000);
        struct sl_upload_state final = final_of(path, ids, 2);
        assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
        REACH(&x, KEPT);
        fake_disk_hold(u.disk, SL_DISK_COPY);
        sl_resumable_join(&x.resumable);
        UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1); /* of the first */
        open_id_to(&y, ids[dropped], SL_RESUMABLE_TO_DROP);
        REACH(&y, OPEN);
        sl_resumable_drop(&y.resumable);
        REACH(&y, GONE);
        leave(&y);
        fake_disk_release(u.disk);
        UPLOAD_UNTIL(&u, is_at_end(&x));
        if (dropped == 0) {
            expect_done(&x, path, 90000);
        } else {
            assert_int_equal(x.resumable.phase, SL_RESUMABLE_FAILED);
            assert_int_equal(x.resumable.err, SL_NOT_FOUND);
        }
        give_back(&x);
        assert_int_equal(unfinished(), unfinished_on_disk());
    }
}

static void close_while_joining_gives_everything_back(void **state)
{
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN, SL_DISK_GETXATTR, SL_DISK_COPY, SL_DISK_READ,
                                              SL_DISK_LINK};
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 70000, 70000);
    make_part(ids[1], 70000, 100000, 100000);
    struct sl_upload_state final = final_of("f", ids, 2);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char id[SL_UPLOAD_ID_BYTES];
        memcpy(id, create(&final), sizeof id);
        open_id(&x, id);
        REACH(&x, OPEN);
        fake_disk_hold(u.disk, kinds[i]);
        sl_resumable_join(&x.resumable);
        UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
        sl_resumable_close(&x.resumable);
        fake_disk_release(u.disk);
        REACH(&x, CLOSED);
        assert_int_equal(u.intake.files, 0);
        open_id(&x, id);
        REACH(&x, OPEN);
        assert_int_equal(x.resumable.state.is_done, kinds[i] == SL_DISK_LINK); /* too late */
        if (!x.resumable.state.is_done)
            sl_resumable_drop(&x.resumable);
        UPLOAD_UNTIL(&u, x.resumable.state.is_done || is_at_end(&x));
        give_back(&x);
    }
    assert_true(scratch_has(&u.scratch, "files/f"));
}

static void close_while_parts_are_noted_gives_everything_back(void **state)
{
    char ids[2][SL_UPLOAD_ID_BYTES];
    make_part(ids[0], 0, 5000, 5000);
    make_part(ids[1], 5000, 9000, 9000);
    struct sl_upload_state final = final_of("f", ids, 2);
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
    REACH(&x, KEPT);
    fake_disk_hold(u.disk, SL_DISK_LINK);
    sl_resumable_join(&x.resumable);
    UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
    unsigned states = fake_disk_started(u.disk, SL_DISK_SETXATTR);
    fake_disk_hold(u.disk, SL_DISK_SETXATTR);
    fake_disk_release_one(u.disk); /* it gets its name, */
    UPLOAD_UNTIL(&u, fake_disk_started(u.disk, SL_DISK_SETXATTR) == states + 1);
    fake_disk_release_one(u.disk);                                               /* it is noted to have it, */
    UPLOAD_UNTIL(&u, fake_disk_started(u.disk, SL_DISK_SETXATTR) == states + 2); /* and so is the first part */
    assert_int_equal(x.resumable.phase, SL_RESUMABLE_ENDING);
    sl_resumable_close(&x.resumable);
    fake_disk_release(u.disk);
    REACH(&x, CLOSED);
    assert_int_equal(u.intake.files, 0);
    assert_true(scratch_has(&u.scratch, "files/f"));
    assert_int_equal(unfinished(), 1);
    assert_int_equal(unfinished_on_disk(), 1);
    assert_true(part_is_over(ids[0]));
    assert_false(part_is_over(ids[1]));
}

static void operation_that_fails_once_while_joining_changes_no_count(void **state)
{
    bool is_whole = false;
    for (unsigned nth = 1; !is_whole; nth++) {
        assert_true(nth < 200);
        setup(NULL);
        char ids[2][SL_UPLOAD_ID_BYTES];
        make_part(ids[0], 0, 5000, 5000);
        make_part(ids[1], 5000, 9000, 9000);
        struct sl_upload_state final = final_of("f", ids, 2);
        assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &final, .is_bodyless = true}), SL_OK);
        REACH(&x, KEPT);
        fake_disk_fail(u.disk, FAKE_DISK_ANY, nth, nth % 2 ? EIO : ENOSPC);
        sl_resumable_join(&x.resumable);
        UPLOAD_UNTIL(&u, is_at_end(&x));
        bool is_done = x.resumable.phase == SL_RESUMABLE_DONE;
        give_back(&x);
        fake_disk_disarm(u.disk);
        assert_int_equal(scratch_has(&u.scratch, "files/f"), is_done);
        assert_int_equal(unfinished(), unfinished_on_disk());
        is_whole = is_done && nth > 80; /* as many are more than there are */
        teardown(NULL);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int setup_uring(void **state)
{
    engine = TEST_IO_URING;
    return setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(parts_of_any_size_are_one_file),
        CASE(part_may_be_there_twice),
        CASE(final_of_unfinished_parts_waits_and_is_joined_later),
        CASE(join_does_not_take_a_part_over),
        CASE(final_of_what_is_no_part_fails_and_leaves_nothing),
        CASE(final_that_would_be_too_large_fails),
        CASE(final_of_more_bytes_than_a_file_can_have_fails),
        CASE(final_without_a_descriptor_for_its_parts_fails),
        CASE(part_that_is_another_when_it_is_copied_is_not_there),
        CASE(final_whose_name_is_taken_is_told_so),
        CASE(final_refused_after_its_parts_were_copied_leaves_nothing),
        CASE(final_that_was_told_stays_when_it_is_refused),
        CASE(parts_of_what_is_done_are_over),
        CASE(part_that_cannot_be_noted_goes_on_counting),
        CASE(part_that_is_dropped_meanwhile_is_not_there_unless_it_is_being_copied),
        CASE(close_while_joining_gives_everything_back),
        CASE(close_while_parts_are_noted_gives_everything_back),
        cmocka_unit_test(operation_that_fails_once_while_joining_changes_no_count),
        cmocka_unit_test_setup_teardown(parts_of_any_size_are_one_file, setup_uring, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
