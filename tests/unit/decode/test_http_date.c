/* Dates of HTTP in their three forms; what breaks the grammar or the calendar is no date. */
#include "sluice/decode/http_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define IN_2026 UINT64_C(1795230245) /* 2026-11-21T03:04:05Z */
#define LATEST  UINT64_C(253402300799)

static bool parse(struct sl_bytes text, uint64_t now_s, uint64_t *seconds_out)
{
    char *copy = malloc(text.len + (text.len == 0)); /* ends where its memory ends */
    if (text.len > 0)
        memcpy(copy, text.base, text.len);
    bool is_date = sl_http_date_parse((struct sl_bytes){copy, text.len}, now_s, seconds_out);
    free(copy);
    return is_date;
}

static void parse_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;
    } cases[] = {
        /* RFC 9110 section 5.6.7: one moment in three forms */
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Tue, 15 Nov 1994 12:45:26 GMT", 784903526},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"Sun Nov 06 08:49:37 1994", 784111777},
        /* ends of things */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu Jan  1 00:00:01 1970", 1},
        {"Thursday, 01-Jan-04 00:00:00 GMT", 1072915200},
        {"Fri, 31 Dec 9999 23:59:59 GMT", LATEST},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199},
        {"Sun, 28 Feb 2100 12:00:00 GMT", 4107499200},
        {"Mon, 01 Mar 2100 00:00:00 GMT", 4107542400},
        {"Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
        {"Sun, 07 Feb 2106 06:28:16 GMT", 4294967296},
        /* a leap second is the first of the next day */
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Sat Dec 31 23:59:60 2016", 1483228800},
        /* another day of the week is told, the same day is meant */
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Wednesday, 06-Nov-94 08:49:37 GMT", 784111777},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t seconds = 77;
        if (!parse(sl_bytes_of(cases[i].text), IN_2026, &seconds))
            fail_msg("refused: %s", cases[i].text);
        assert_int_equal(seconds, cases[i].seconds);
    }
}

static void parse_what_is_no_date_is_refused_and_touches_nothing(void **state)
{
    (void)state;
    static const struct sl_bytes cases[] = {
        SL_BYTES(""),
        SL_BYTES("0"),
        SL_BYTES("784111777"),
        SL_BYTES("yesterday"),
        SL_BYTES("1994-11-06T08:49:37Z"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 UTC"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 +0000"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 gmt"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT "),
        SL_BYTES(" Sun, 06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT; length=5"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT\0"),
        SL_BYTES("sun, 06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("SUN, 06 NOV 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 nov 1994 08:49:37 GMT"),
        SL_BYTES("Xxx, 06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Xxx 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 ov  1994 08:49:37 GMT"),
        SL_BYTES("un ,, 06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun 06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun,06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun,  06 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 6 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06-Nov-1994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 94 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 8:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08:49 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08.49.37 GMT"),
        SL_BYTES("Sun, 06 Nov +994 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 -8:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08: 9:37 GMT"),
        SL_BYTES("Sun, 06 Nov 19994 08:49:37 GMT"),
        /* the calendar */
        SL_BYTES("Sun, 00 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 31 Nov 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 32 Dec 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 29 Feb 1994 08:49:37 GMT"),
        SL_BYTES("Sun, 29 Feb 2100 08:49:37 GMT"),
        SL_BYTES("Sun, 30 Feb 2000 08:49:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 24:00:00 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08:60:37 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 08:49:60 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 23:58:60 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 22:59:60 GMT"),
        SL_BYTES("Sun, 06 Nov 1994 23:59:61 GMT"),
        SL_BYTES("Wed, 31 Dec 1969 23:59:59 GMT"),
        SL_BYTES("Fri, 31 Dec 0000 00:00:00 GMT"),
        SL_BYTES("Wed Dec 31 23:59:59 1969"),
        /* RFC 850 */
        SL_BYTES("Sun, 06-Nov-94 08:49:37 GMT"),
        SL_BYTES("Sunday 06-Nov-94 08:49:37 GMT"),
        SL_BYTES("Sunday, 6-Nov-94 08:49:37 GMT"),
        SL_BYTES("Sunday, 06-Nov-1994 08:49:37 GMT"),
        SL_BYTES("Sunday, 06-Nov-94 08:49:37"),
        SL_BYTES("Sunday, 06 Nov 94 08:49:37 GMT"),
        SL_BYTES("Sunday, 06-Nov-94 08:49:37 GMT+1"),
        SL_BYTES("Sunday, 00-Nov-94 08:49:37 GMT"),
        SL_BYTES("Funday, 06-Nov-94 08:49:37 GMT"),
        /* asctime */
        SL_BYTES("Sun Nov 6 08:49:37 1994"),
        SL_BYTES("Sun Nov   6 08:49:37 1994"),
        SL_BYTES("Sun Nov  6 08:49:37 94"),
        SL_BYTES("Sun Nov  6 08:49:37 1994\n"),
        SL_BYTES("Sun Nov  6 08:49:37 1994 GMT"),
        SL_BYTES("Sun Nov  16 08:49:37 1994"),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t seconds = 77;
        if (parse(cases[i], IN_2026, &seconds))
            fail_msg("taken: %s", cases[i].base);
        assert_int_equal(seconds, 77);
    }
}

static void parse_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char *const whole[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < COUNT(whole); i++)
        for (size_t len = 0; len < strlen(whole[i]); len++) {
            uint64_t seconds;
            assert_false(parse((struct sl_bytes){whole[i], len}, IN_2026, &seconds));
        }
}

/* RFC 9110 section 5.6.7: more than 50 years ahead means the past. */
static void parse_two_digits_of_a_year_fifty_years_settle_the_century(void **state)
{
    (void)state;
    static const struct {
        const char *now, *text, *meant; /* meant NULL: before 1970 */
    } cases[] = {
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 21-Nov-26 03:04:05 GMT", "Sat, 21 Nov 2026 03:04:05 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 21-Nov-76 03:04:05 GMT", "Sat, 21 Nov 2076 03:04:05 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 21-Nov-76 03:04:06 GMT", "Sun, 21 Nov 1976 03:04:06 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 01-Jan-76 00:00:00 GMT", "Wed, 01 Jan 2076 00:00:00 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 31-Dec-77 00:00:00 GMT", "Sat, 31 Dec 1977 00:00:00 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 31-Dec-69 00:00:00 GMT", "Tue, 31 Dec 2069 00:00:00 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 31-Dec-99 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT"},
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 01-Jan-00 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"Fri, 31 Dec 1999 23:59:59 GMT", "Saturday, 01-Jan-00 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"Thu, 31 Dec 2099 23:59:59 GMT", "Friday, 01-Jan-00 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"Thu, 29 Feb 2024 00:00:00 GMT", "Sunday, 01-Mar-74 00:00:00 GMT", "Thu, 01 Mar 2074 00:00:00 GMT"},
        {"Thu, 29 Feb 2024 00:00:00 GMT", "Sunday, 01-Mar-74 00:00:01 GMT", "Fri, 01 Mar 1974 00:00:01 GMT"},
        {"Fri, 01 Jan 2010 00:00:00 GMT", "Tuesday, 06-Jan-69 00:00:00 GMT", NULL},
        {"Thu, 01 Jan 1970 00:00:00 GMT", "Tuesday, 02-Jan-20 00:00:00 GMT", NULL},
        /* the twenty-ninth is of the year that is meant, not of the one first thought of */
        {"Sat, 21 Nov 2026 03:04:05 GMT", "Saturday, 29-Feb-00 00:00:00 GMT", "Tue, 29 Feb 2000 00:00:00 GMT"},
        {"Tue, 21 Nov 2090 03:04:05 GMT", "Saturday, 29-Feb-00 00:00:00 GMT", NULL}, /* 2100 has none */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t now = 0, seconds = 77, meant = 77;
        assert_true(parse(sl_bytes_of(cases[i].now), 0, &now));
        bool is_date = parse(sl_bytes_of(cases[i].text), now, &seconds);
        if (cases[i].meant != NULL)
            assert_true(parse(sl_bytes_of(cases[i].meant), 0, &meant));
        if (is_date != (cases[i].meant != NULL) || seconds != meant)
            fail_msg("%s, read on %s", cases[i].text, cases[i].now);
    }
    uint64_t seconds;
    assert_true(parse(SL_BYTES("Friday, 31-Dec-99 23:59:59 GMT"), UINT64_MAX, &seconds));
}

/* The C library keeps the same calendar. */
static void assert_format_is_right(uint64_t seconds)
{
    char text[SL_HTTP_DATE_BYTES], expected[64], *exact = malloc(SL_HTTP_DATE_BYTES);
    sl_http_date_format(seconds, exact);
    memcpy(text, exact, sizeof text);
    free(exact);
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    assert_int_equal(strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm), SL_HTTP_DATE_BYTES - 1);
    assert_string_equal(text, expected);
    uint64_t again = 77;
    assert_true(parse(sl_bytes_of(text), IN_2026, &again));
    assert_int_equal(again, seconds);
}

static void format_is_what_the_c_library_writes_and_is_parsed_again(void **state)
{
    (void)state;
    static const uint64_t cases[] = {0,         1,          59,         60,         3599,       3600,
                                     86399,     86400,      784111777,  951782399,  951782400,  951868799,
                                     951868800, IN_2026,    LATEST,     LATEST - 1, 4102444799, 4102444800,
                                     68169600,  4107542399, 4107542400, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_format_is_right(cases[i]);
    for (uint64_t seconds = 0; seconds <= 200 * UINT64_C(31557600); seconds += 86399) /* each day, at another time */
        assert_format_is_right(seconds);
    for (uint64_t seconds = 12345; seconds <= LATEST; seconds += UINT64_C(7654321))
        assert_format_is_right(seconds);
}

static void format_behind_the_last_year_is_its_end(void **state)
{
    (void)state;
    static const uint64_t cases[] = {LATEST, LATEST + 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[SL_HTTP_DATE_BYTES];
        sl_http_date_format(cases[i], text);
        assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_table),
        cmocka_unit_test(parse_what_is_no_date_is_refused_and_touches_nothing),
        cmocka_unit_test(parse_cut_anywhere_is_refused),
        cmocka_unit_test(parse_two_digits_of_a_year_fifty_years_settle_the_century),
        cmocka_unit_test(format_is_what_the_c_library_writes_and_is_parsed_again),
        cmocka_unit_test(format_behind_the_last_year_is_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
