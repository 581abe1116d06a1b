/* The page after a form: what it tells of many files, of odd queries, of a disk that fails; and a client that goes. */
#include "handler_case.h"
#include "http/handler/handler.h"
#include "sluice/base/bytes.h"

#include <unistd.h>

#define LOOKED_UP_MAX 200

static struct handler_case c;
static const char *query;
static size_t hold_max;

static void begin(struct handler_case *d)
{
    d->x.hold_max = hold_max;
    exchange_begin(&d->x, &d->h, "GET", NULL);
    d->x.request.query = sl_bytes_of(query);
    sl_handle_done_page(&d->x.request);
}

static int setup(void **state)
{
    handler_case_open(&c, TEST_FAKE);
    c.begin = begin;
    query = "file=f&file=g";
    hold_max = 0;
    scratch_put(&c.h.u.scratch, "files/f", "five!");
    scratch_put(&c.h.u.scratch, "files/g", "x");
    assert_int_equal(truncate(scratch_path(&c.h.u.scratch, "files/g"), 3 << 19), 0);
    return 0;
}

static int teardown(void **state)
{
    handler_case_close(&c);
    return 0;
}

static unsigned count_of(const char *text)
{
    unsigned count = 0;
    const char *at = c.x.body, *end = c.x.body + c.x.len;
    for (; (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL; at++)
        count++;
    return count;
}

static void expect_page(void)
{
    assert_int_equal(c.x.request.h2o.res.status, 200);
    assert_false(c.x.is_cut);
    assert_int_equal(count_of("</html>"), 1);
}

static void page_tells_names_sizes_and_what_is_gone(void **state)
{
    query = "file=f&file=gone&file=g";
    handler_case_run(&c);
    expect_page();
    assert_int_equal(count_of("<p>5 bytes</p>"), 1);
    assert_int_equal(count_of("<p>1.5 MiB, 1572864 bytes</p>"), 1);
    assert_int_equal(count_of("It is not there."), 1);
    assert_int_equal(count_of("<li>"), 3);
}

static void page_looks_up_200_files_and_counts_the_others(void **state)
{
    static const char odd[] = "more=7&more=x&nothing&file=&file=..%2Ff&more=99999999999", one[] = "&file=f";
    char text[sizeof odd + (LOOKED_UP_MAX + 3) * sizeof one];
    int len = snprintf(text, sizeof text, "%s", odd);
    for (unsigned i = 0; i < LOOKED_UP_MAX + 3; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "%s", one);
    query = text;
    handler_case_run(&c);
    expect_page();
    assert_int_equal(count_of("<p>5 bytes</p>"), LOOKED_UP_MAX);
    assert_int_equal(count_of("<li>and 10 more</li>"), 1);
}

/* Who asks for many and reads none is to hold no more than others leave. */
static void page_for_which_there_is_no_memory_counts_the_others(void **state)
{
    query = "file=f&file=g&file=f&more=2";
    hold_max = 1;
    handler_case_run(&c);
    expect_page();
    assert_int_equal(count_of("<p>5 bytes</p>"), 1);
    assert_int_equal(count_of("<li>and 4 more</li>"), 1);
}

static void page_of_no_file_is_404(void **state)
{
    static const char *const queries[] = {"", "&", "more=3", "file=..", "File=f", "file"};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        query = queries[i];
        handler_case_run(&c);
        handler_case_expect_problem(&c, 404, SL_NOT_FOUND);
        handler_case_end(&c);
    }
}

/* It is not said to be gone where nobody knows. */
static void check_failure(struct handler_case *d, enum sl_disk_kind kind, unsigned nth)
{
    expect_page();
    assert_int_equal(count_of("It is not there."), 0);
    assert_int_equal(count_of("<p class=\"gone\">"), kind == SL_DISK_CLOSE ? 0 : 1);
    assert_int_equal(count_of("<li>"), 2);
}

static void page_on_a_disk_that_fails_says_so_of_that_file(void **state)
{
    assert_in_range(handler_case_fail_each(&c, EIO, check_failure), 4, 10);
}

static void page_whose_client_goes_gives_all_back(void **state)
{
    handler_case_leave_at_each_step(&c, NULL);
    handler_case_leave_while_the_disk_works(&c, 4, NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(page_tells_names_sizes_and_what_is_gone),
        CASE(page_looks_up_200_files_and_counts_the_others),
        CASE(page_for_which_there_is_no_memory_counts_the_others),
        CASE(page_of_no_file_is_404),
        CASE(page_on_a_disk_that_fails_says_so_of_that_file),
        CASE(page_whose_client_goes_gives_all_back),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
