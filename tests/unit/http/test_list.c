/* The list when the disk fails, before the answer began and behind it, and when its client goes. */
#include "handler_case.h"
#include "http/handler/handler.h"

#include <sys/stat.h>

#define FILES    250u        /* enough for several pieces and several batches */
#define NO_CHUNK "\r\n1\r\n" /* what h2o ends a chunked body with that is cut */

static struct handler_case c;
static char *whole;
static size_t whole_len;

static void begin(struct handler_case *d)
{
    exchange_begin(&d->x, &d->h, "GET", NULL);
    sl_handle_list(&d->x.request);
}

static void put_files(unsigned count)
{
    char name[260];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "files/%c%0*u", 'a' + (int)(i % 2), 230, i);
        scratch_put(&c.h.u.scratch, name, "x");
    }
    assert_int_equal(mkdir(scratch_path(&c.h.u.scratch, "files/b"), 0777), 0);
    scratch_put(&c.h.u.scratch, "files/b/inside", "x");
}

static int setup_count(unsigned count)
{
    handler_case_open(&c, TEST_FAKE);
    c.begin = begin;
    put_files(count);
    handler_case_run(&c);
    assert_int_equal(c.x.request.h2o.res.status, 200);
    assert_false(c.x.is_cut);
    assert_non_null(memmem(c.x.body, c.x.len, "\"b/inside\"", 10));
    whole_len = c.x.len;
    whole = malloc(whole_len);
    memcpy(whole, c.x.body, whole_len);
    handler_case_end(&c);
    return 0;
}

static int setup(void **state)
{
    return setup_count(3);
}

static int setup_many(void **state)
{
    return setup_count(FILES);
}

static int teardown(void **state)
{
    handler_case_close(&c);
    free(whole);
    return 0;
}

static unsigned refused, cut;

/* Nobody may take a part of the list for all of it. */
static void check_failure(struct handler_case *d, enum sl_disk_kind kind, unsigned nth)
{
    assert_true(d->x.is_over);
    if (d->x.is_cut) {
        assert_int_equal(d->x.request.h2o.res.status, 200);
        assert_int_equal(d->x.request.err, SL_IO);
        size_t len = d->x.len - strlen(NO_CHUNK);
        assert_true(len < whole_len);
        assert_memory_equal(d->x.body, whole, len);
        assert_memory_equal(d->x.body + len, NO_CHUNK, strlen(NO_CHUNK));
        cut++;
    } else if (d->x.request.h2o.res.status == 200) {
        assert_int_equal(d->x.len, whole_len);
        assert_memory_equal(d->x.body, whole, whole_len);
    } else {
        handler_case_expect_problem(d, 500, SL_IO);
        refused++;
    }
}

static void list_on_a_disk_that_fails_is_500_or_cut_but_never_short(void **state)
{
    refused = cut = 0;
    assert_true(handler_case_fail_each(&c, EIO, check_failure) > 3);
    if (whole_len < 10000)
        assert_true(refused > 1);
    else
        assert_true(refused > 0 && cut > 1);
}

static void list_whose_client_goes_gives_all_back(void **state)
{
    handler_case_leave_at_each_step(&c, NULL);
    handler_case_leave_while_the_disk_works(&c, 2, NULL);
}

int main(void)
{
#define CASE(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
    const struct CMUnitTest cases[] = {
        CASE(list_on_a_disk_that_fails_is_500_or_cut_but_never_short, setup),
        CASE(list_on_a_disk_that_fails_is_500_or_cut_but_never_short, setup_many),
        CASE(list_whose_client_goes_gives_all_back, setup),
        CASE(list_whose_client_goes_gives_all_back, setup_many),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
