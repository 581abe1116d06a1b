/* Every disk operation of whole exchanges fails once, by number: whatever is answered, everything comes back, the
 * offset never tells of what is not there, and the upload can be gone on with. */
#include "resumable_case.h"

#define LEN (600 * KIB + 77)

static struct exchange x;

static bool settle_failed(void)
{
    bool has_failed = x.resumable.phase == SL_RESUMABLE_FAILED;
    give_back(&x);
    return has_failed;
}

/* Creates, sends a part, sends the rest. false: something failed on the way, and `*acked_out` was acknowledged. */
static bool exchange(char id_out[SL_UPLOAD_ID_BYTES], uint64_t *acked_out, bool *has_id_out)
{
    struct sl_upload_state whole = new_state("f", LEN);
    *acked_out = 0;
    *has_id_out = false;
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = &whole, .is_bodyless = true}), SL_OK);
    memcpy(id_out, x.resumable.session.id, SL_UPLOAD_ID_BYTES);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    if (settle_failed())
        return false;
    *has_id_out = true;
    static const uint64_t cuts[] = {70001, LEN};
    for (size_t i = 0; i < 2; i++) {
        open_id(&x, id_out);
        UPLOAD_UNTIL(&u, x.resumable.phase == SL_RESUMABLE_OPEN || x.resumable.phase == SL_RESUMABLE_FAILED);
        if (x.resumable.phase == SL_RESUMABLE_FAILED)
            return !settle_failed();
        assert_int_equal(x.resumable.state.offset, *acked_out);
        admit(&x);
        sl_resumable_receive(&x.resumable, &x.pipeline);
        UPLOAD_UNTIL(&u, x.resumable.phase == SL_RESUMABLE_RECEIVING || x.resumable.phase == SL_RESUMABLE_FAILED);
        x.sent = x.told = *acked_out;
        if (send_to(&x, cuts[i], SIZE_MAX) && x.resumable.phase != SL_RESUMABLE_FAILED)
            end_body(&x, false);
        if (x.resumable.phase != SL_RESUMABLE_FAILED)
            *acked_out = cuts[i];
        else if (x.told > *acked_out)
            *acked_out = x.told;
        if (settle_failed())
            return false;
    }
    return true;
}

/* What is there is what was acknowledged, and the rest can follow. */
static void expect_sound(const char *id, uint64_t acked)
{
    open_id(&x, id);
    UPLOAD_UNTIL(&u, x.resumable.phase == SL_RESUMABLE_OPEN);
    bool is_done = x.resumable.state.is_done;
    uint64_t offset = x.resumable.state.offset;
    give_back(&x);
    assert_true(offset >= acked);
    if (!is_done) {
        append(&x, id, LEN, SIZE_MAX, false);
        expect_done(&x, "f", LEN);
        give_back(&x);
    }
    struct sl_digests digests = {0};
    char *bytes = malloc(LEN);
    upload_fill(bytes, 0, LEN);
    sl_hash_now(SHA256_ONLY, bytes, LEN, &digests);
    free(bytes);
    upload_expect(&u, "f", 0, LEN, &digests);
}

static void operation_that_fails_once_costs_nothing_that_was_acknowledged(void **state)
{
    for (unsigned nth = 1;; nth++) {
        char id[SL_UPLOAD_ID_BYTES];
        uint64_t acked;
        bool has_id;
        setup(NULL);
        u.intake.checkpoint_bytes = 128 * KIB;
        fake_disk_fail(u.disk, FAKE_DISK_ANY, nth, nth % 2 ? EIO : ENOSPC);
        bool is_whole = exchange(id, &acked, &has_id);
        fake_disk_disarm(u.disk);
        unsigned started = 0;
        for (unsigned kind = 0; kind < SL_DISK_KINDS; kind++)
            started += fake_disk_started(u.disk, kind);
        if (has_id)
            expect_sound(id, acked);
        assert_int_equal(unfinished(), 0);
        teardown(NULL);
        if (is_whole && nth > started)
            return;
        assert_true(nth < 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operation_that_fails_once_costs_nothing_that_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
