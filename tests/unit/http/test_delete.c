/* DELETE: what is answered when the disk fails, and that a removal once begun ends without its client. */
#include "handler_case.h"
#include "http/handler/handler.h"

static struct handler_case c;

static void prepare(struct handler_case *d)
{
    scratch_put(&d->h.u.scratch, "files/f", "old");
}

static void begin(struct handler_case *d)
{
    static const struct sl_path path = {.len = 1, .text = "f"};
    exchange_begin(&d->x, &d->h, "DELETE", NULL);
    sl_handle_delete(&d->x.request, &path);
}

static int setup(void **state)
{
    handler_case_open(&c, TEST_FAKE);
    c.prepare = prepare;
    c.begin = begin;
    return 0;
}

static int teardown(void **state)
{
    handler_case_close(&c);
    return 0;
}

static bool is_there(void)
{
    return scratch_has(&c.h.u.scratch, "files/f");
}

static void delete_is_204_and_the_file_is_gone(void **state)
{
    handler_case_run(&c);
    assert_int_equal(c.x.request.h2o.res.status, 204);
    assert_false(is_there());
    handler_case_end(&c);
}

/* Only after the name is gone can its going fail to be durable. */
static void check_failure(struct handler_case *d, enum sl_disk_kind kind, unsigned nth)
{
    if (kind == SL_DISK_CLOSE) {
        assert_int_equal(d->x.request.h2o.res.status, 204);
        assert_false(is_there());
        return;
    }
    handler_case_expect_problem(d, 500, SL_IO);
    if (kind != SL_DISK_SYNC)
        scratch_expect(&d->h.u.scratch, "files/f", "old", 3);
}

static void delete_on_a_disk_that_fails_is_500_and_the_file_stays(void **state)
{
    assert_in_range(handler_case_fail_each(&c, EIO, check_failure), 4, 20);
}

static void expect_gone(struct handler_case *d)
{
    assert_false(is_there());
}

static void delete_goes_on_when_its_client_has_left(void **state)
{
    handler_case_leave_at_each_step(&c, expect_gone);
    handler_case_leave_while_the_disk_works(&c, 3, expect_gone);
}

static void delete_without_a_descriptor_to_spare_is_503(void **state)
{
    c.h.u.intake.files_max = 0;
    handler_case_run(&c);
    handler_case_expect_problem(&c, 503, SL_TOO_MANY_FILES);
    assert_true(is_there());
    handler_case_end(&c);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(delete_is_204_and_the_file_is_gone),
        CASE(delete_on_a_disk_that_fails_is_500_and_the_file_stays),
        CASE(delete_goes_on_when_its_client_has_left),
        CASE(delete_without_a_descriptor_to_spare_is_503),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
