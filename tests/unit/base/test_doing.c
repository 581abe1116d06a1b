/* The report on a turn names what it was at for longest. Of builds that do not tell, nothing is left but a name that is
 * handed back. */
#include "sluice/base/doing.h"

#include "sluice/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#ifdef SLUICE_TELL_SLOW_TURNS

static void compute(uint64_t ns)
{
    uint64_t end_ns = sl_clock_now_ns() + ns;
    while (sl_clock_now_ns() < end_ns)
        ;
}

/* Between two names the machine may run others for longer than any stretch of ours: then once more. */
static void report_names_the_longest_stretch(void **state)
{
    struct sl_doing_report report = {.what = ""};
    for (unsigned i = 0; i < 50 && strcmp(report.what, "hashing") != 0; i++) {
        sl_doing_begin_turn();
        const char *before = sl_doing("reading");
        compute(SL_MS);
        const char *reading = sl_doing("hashing");
        assert_string_equal(reading, "reading");
        compute(20 * SL_MS);
        (void)sl_doing(reading);
        compute(SL_MS);
        (void)sl_doing(before);
        report = sl_doing_end_turn();
    }
    assert_string_equal(report.what, "hashing");
    assert_true(report.what_ns >= 20 * SL_MS && report.turn_ns >= report.what_ns + 2 * SL_MS);
    /* Two clocks, read one behind the other. */
    assert_true(report.cpu_ns > 0 && report.cpu_ns <= report.turn_ns + SL_MS);
}

static void report_tells_of_waiting(void **state)
{
    sl_doing_begin_turn();
    const char *before = sl_doing("waiting");
    usleep(30000);
    (void)sl_doing(before);
    struct sl_doing_report report = sl_doing_end_turn();
    assert_string_equal(report.what, "waiting");
    assert_true(report.waits >= 1);
    assert_true(report.cpu_ns < report.turn_ns);
}

static void each_turn_begins_anew(void **state)
{
    sl_doing_begin_turn();
    struct sl_doing_report report = sl_doing_end_turn();
    assert_string_equal(report.what, "timers and the loop itself");
    assert_true(report.what_ns <= report.turn_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_names_the_longest_stretch),
        cmocka_unit_test(report_tells_of_waiting),
        cmocka_unit_test(each_turn_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void doing_does_nothing(void **state)
{
    assert_string_equal(sl_doing("reading"), "reading");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doing_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
