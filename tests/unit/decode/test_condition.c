/* Conditional requests: tables over RFC 9110 sections 8.8.3 and 13. */
#include "sluice/decode/condition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define MODIFIED UINT64_C(784111777) /* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define NOW      (MODIFIED + 1000)

#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME   "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct sl_validator file = {.exists = true, .etag = SL_BYTES("\"xyzzy\""), .modified_s = MODIFIED};
/* What is left over from before does not count. */
static const struct sl_validator nothing = {.exists = false, .etag = SL_BYTES("\"xyzzy\""), .modified_s = MODIFIED};

static struct sl_bytes field(const char *text)
{
    return text == NULL ? (struct sl_bytes){NULL, 0} : sl_bytes_of(text);
}

static void etag_list_has_table(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        struct sl_bytes etag;
        bool weakly, strongly;
    } cases[] = {
        /* section 13.1.2 */
        {"\"xyzzy\"", SL_BYTES("\"xyzzy\""), true, true},
        {"W/\"xyzzy\"", SL_BYTES("\"xyzzy\""), true, false},
        {"\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"", SL_BYTES("\"r2d2xxxx\""), true, true},
        {"W/\"xyzzy\", W/\"r2d2xxxx\", W/\"c3piozzzz\"", SL_BYTES("\"c3piozzzz\""), true, false},
        /* section 8.8.3.2 */
        {"W/\"1\"", SL_BYTES("\"2\""), false, false},
        {"W/\"1\", \"1\"", SL_BYTES("\"1\""), true, true},
        {"\"1\", W/\"1\"", SL_BYTES("\"1\""), true, true},
        /* what a tag may hold */
        {"\"a,b\"", SL_BYTES("\"a,b\""), true, true},
        {"\"a,b\"", SL_BYTES("\"a\""), false, false},
        {"\"a,\",\",b\"", SL_BYTES("\",b\""), true, true},
        {"\",\"", SL_BYTES("\",\""), true, true},
        {"\"*\"", SL_BYTES("\"*\""), true, true},
        {"\"\"", SL_BYTES("\"\""), true, true},
        {"\"a\\\"", SL_BYTES("\"a\\\""), true, true}, /* a backslash is a byte like others */
        {"\"W/\"", SL_BYTES("\"W/\""), true, true},
        {"\"gr\xc3\xbc\xc3\x9f\"", SL_BYTES("\"gr\xc3\xbc\xc3\x9f\""), true, true},
        {"\"A\"", SL_BYTES("\"a\""), false, false},
        {"\"a\"", SL_BYTES("\"aa\""), false, false},
        {"\"aa\"", SL_BYTES("\"a\""), false, false},
        {"\"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\"",
         SL_BYTES("\"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\""), true, true},
        /* lists: empty elements and blanks, section 5.6.1.2 */
        {",", SL_BYTES("\"a\""), false, false},
        {"", SL_BYTES("\"a\""), false, false},
        {" \t ", SL_BYTES("\"a\""), false, false},
        {",\"a\"", SL_BYTES("\"a\""), true, true},
        {"\"a\",", SL_BYTES("\"a\""), true, true},
        {" , ,,\t\"b\" ,, \t ,\"a\" , ", SL_BYTES("\"a\""), true, true},
        {"\"b\",\"a\"", SL_BYTES("\"a\""), true, true},
        {"\"b\"\t,\t\"a\"\t", SL_BYTES("\"a\""), true, true},
        /* no lists: they match nothing, not even what they hold */
        {"a", SL_BYTES("a"), false, false},
        {"a", SL_BYTES("\"a\""), false, false},
        {"'a'", SL_BYTES("'a'"), false, false},
        {"*", SL_BYTES("\"a\""), false, false},
        {"\"a\", *", SL_BYTES("\"a\""), false, false},
        {"*, \"a\"", SL_BYTES("\"a\""), false, false},
        {"\"a", SL_BYTES("\"a"), false, false},
        {"a\"", SL_BYTES("a\""), false, false},
        {"\"", SL_BYTES("\""), false, false},
        {"\"a\" \"b\"", SL_BYTES("\"a\""), false, false},
        {"\"a\"\"b\"", SL_BYTES("\"b\""), false, false},
        {"\"a\", b", SL_BYTES("\"a\""), false, false},
        {"b, \"a\"", SL_BYTES("\"a\""), false, false},
        {"\"a\"; q=1", SL_BYTES("\"a\""), false, false},
        {"\"a b\"", SL_BYTES("\"a b\""), false, false},
        {"\"a\tb\"", SL_BYTES("\"a\tb\""), false, false},
        {"\"a\x7f\"", SL_BYTES("\"a\x7f\""), false, false},
        {"\"a\x01\"", SL_BYTES("\"a\x01\""), false, false},
        {"w/\"a\"", SL_BYTES("\"a\""), false, false},
        {"W/ \"a\"", SL_BYTES("\"a\""), false, false},
        {"Wx\"a\"", SL_BYTES("\"a\""), false, false},
        {"W\"a\"", SL_BYTES("\"a\""), false, false},
        {"W/a", SL_BYTES("a"), false, false},
        {"W/", SL_BYTES("\"a\""), false, false},
        {"W", SL_BYTES("\"a\""), false, false},
        {"W/W/\"a\"", SL_BYTES("\"a\""), false, false},
        {"\"a\", \"b", SL_BYTES("\"a\""), false, false},
        {"\"a\";", SL_BYTES("\"a\""), false, false},
        {"\n\"a\"", SL_BYTES("\"a\""), false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sl_bytes list = sl_bytes_of(cases[i].list);
        char *copy = malloc(list.len + (list.len == 0)); /* ends where its memory ends */
        memcpy(copy, list.base, list.len);
        list.base = copy;
        if (sl_etag_list_has(list, cases[i].etag, false) != cases[i].weakly ||
            sl_etag_list_has(list, cases[i].etag, true) != cases[i].strongly)
            fail_msg("list: %s", cases[i].list);
        free(copy);
    }
    assert_false(sl_etag_list_has(SL_BYTES("\"a\0b\""), SL_BYTES("\"a\0b\""), false));
    assert_false(sl_etag_list_has((struct sl_bytes){NULL, 0}, SL_BYTES("\"a\""), false));
    assert_false(sl_etag_list_has(SL_BYTES("\"\""), (struct sl_bytes){NULL, 0}, false)); /* none is known */
}

static void are_set_any_field_counts_but_if_range(void **state)
{
    (void)state;
    struct sl_bytes sent = SL_BYTES("");
    assert_false(sl_conditions_are_set(&(struct sl_conditions){0}));
    assert_false(sl_conditions_are_set(&(struct sl_conditions){.if_range = sent}));
    assert_true(sl_conditions_are_set(&(struct sl_conditions){.if_match = sent}));
    assert_true(sl_conditions_are_set(&(struct sl_conditions){.if_none_match = sent}));
    assert_true(sl_conditions_are_set(&(struct sl_conditions){.if_modified_since = sent}));
    assert_true(sl_conditions_are_set(&(struct sl_conditions){.if_unmodified_since = sent}));
}

#define GO     SL_VERDICT_GO
#define CACHED SL_VERDICT_NOT_MODIFIED
#define FAILED SL_VERDICT_FAILED

struct check {
    const char *if_match, *if_unmodified_since, *if_none_match, *if_modified_since;
    enum sl_verdict read, write; /* of a file that exists */
    enum sl_verdict absent;      /* reading or writing one that does not */
};

static void assert_checked(const struct check *check, size_t row)
{
    struct sl_conditions conditions = {
        .if_match = field(check->if_match),
        .if_none_match = field(check->if_none_match),
        .if_modified_since = field(check->if_modified_since),
        .if_unmodified_since = field(check->if_unmodified_since),
    };
    if (sl_conditions_check(&conditions, &file, true, NOW) != check->read)
        fail_msg("row %zu: read", row);
    if (sl_conditions_check(&conditions, &file, false, NOW) != check->write)
        fail_msg("row %zu: write", row);
    if (sl_conditions_check(&conditions, &nothing, true, NOW) != check->absent ||
        sl_conditions_check(&conditions, &nothing, false, NOW) != check->absent)
        fail_msg("row %zu: absent", row);
}

static void check_one_field_table(void **state)
{
    (void)state;
    static const struct check checks[] = {
        {NULL, NULL, NULL, NULL, GO, GO, GO},
        /* If-Match: strong comparison, section 13.1.1 */
        {"*", NULL, NULL, NULL, GO, GO, FAILED},
        {" * ", NULL, NULL, NULL, GO, GO, FAILED},
        {"\"xyzzy\"", NULL, NULL, NULL, GO, GO, FAILED},
        {"\"a\",, \"xyzzy\"", NULL, NULL, NULL, GO, GO, FAILED},
        {"W/\"xyzzy\"", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        {"\"a\"", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        {"", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        {"xyzzy", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        {"**", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        {"\"*\"", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        {"\"xyzzy\" x", NULL, NULL, NULL, FAILED, FAILED, FAILED},
        /* If-Unmodified-Since, section 13.1.4 */
        {NULL, BEFORE, NULL, NULL, FAILED, FAILED, GO},
        {NULL, SAME, NULL, NULL, GO, GO, GO},
        {NULL, AFTER, NULL, NULL, GO, GO, GO},
        {NULL, " " BEFORE "\t", NULL, NULL, FAILED, FAILED, GO},
        {NULL, "Sunday, 06-Nov-94 08:49:36 GMT", NULL, NULL, FAILED, FAILED, GO},
        {NULL, "Sun Nov  6 08:49:36 1994", NULL, NULL, FAILED, FAILED, GO},
        {NULL, "Sun Nov 6 08:49:36 1994", NULL, NULL, GO, GO, GO},
        {NULL, "yesterday", NULL, NULL, GO, GO, GO},
        {NULL, "", NULL, NULL, GO, GO, GO},
        {NULL, BEFORE ", " BEFORE, NULL, NULL, GO, GO, GO},
        /* If-None-Match: weak comparison, section 13.1.2 */
        {NULL, NULL, "*", NULL, CACHED, FAILED, GO},
        {NULL, NULL, "\t*", NULL, CACHED, FAILED, GO},
        {NULL, NULL, "\"xyzzy\"", NULL, CACHED, FAILED, GO},
        {NULL, NULL, "W/\"xyzzy\"", NULL, CACHED, FAILED, GO},
        {NULL, NULL, "\"a\", W/\"xyzzy\" ,", NULL, CACHED, FAILED, GO},
        {NULL, NULL, "\"a\"", NULL, GO, GO, GO},
        {NULL, NULL, "", NULL, GO, GO, GO},
        {NULL, NULL, "xyzzy", NULL, GO, GO, GO},
        {NULL, NULL, "\"xyzzy", NULL, GO, GO, GO},
        /* If-Modified-Since: of reads only, section 13.1.3 */
        {NULL, NULL, NULL, BEFORE, GO, GO, GO},
        {NULL, NULL, NULL, SAME, CACHED, GO, GO},
        {NULL, NULL, NULL, AFTER, CACHED, GO, GO},
        {NULL, NULL, NULL, " " SAME " ", CACHED, GO, GO},
        {NULL, NULL, NULL, "Sunday, 06-Nov-94 08:49:37 GMT", CACHED, GO, GO},
        {NULL, NULL, NULL, "Fri, 31 Dec 9999 23:59:59 GMT", CACHED, GO, GO},
        {NULL, NULL, NULL, "now", GO, GO, GO},
        {NULL, NULL, NULL, SAME "; length=5", GO, GO, GO},
        {NULL, NULL, NULL, SAME ", " SAME, GO, GO, GO},
    };
    for (size_t i = 0; i < COUNT(checks); i++)
        assert_checked(&checks[i], i);
}

/* Section 13.2.2: an entity tag hides the date of its kind; what is met leads to the next step. */
static void check_precedence_table(void **state)
{
    (void)state;
    static const struct check checks[] = {
        {"\"xyzzy\"", BEFORE, NULL, NULL, GO, GO, FAILED},
        {"\"a\"", AFTER, NULL, NULL, FAILED, FAILED, FAILED},
        {"", AFTER, NULL, NULL, FAILED, FAILED, FAILED},
        {NULL, NULL, "\"a\"", AFTER, GO, GO, GO},
        {NULL, NULL, "", AFTER, GO, GO, GO},
        {NULL, NULL, "\"xyzzy\"", BEFORE, CACHED, FAILED, GO},
        {"\"xyzzy\"", NULL, "\"xyzzy\"", NULL, CACHED, FAILED, FAILED},
        {"\"a\"", NULL, "\"xyzzy\"", NULL, FAILED, FAILED, FAILED},
        {"\"xyzzy\"", NULL, "\"a\"", NULL, GO, GO, FAILED},
        {"*", NULL, "*", NULL, CACHED, FAILED, FAILED},
        {"\"xyzzy\"", NULL, NULL, SAME, CACHED, GO, FAILED},
        {"\"a\"", NULL, NULL, SAME, FAILED, FAILED, FAILED},
        {NULL, SAME, "\"xyzzy\"", NULL, CACHED, FAILED, GO},
        {NULL, BEFORE, "\"xyzzy\"", NULL, FAILED, FAILED, GO},
        {NULL, SAME, NULL, SAME, CACHED, GO, GO},
        {NULL, BEFORE, NULL, SAME, FAILED, FAILED, GO},
        {NULL, "never", NULL, SAME, CACHED, GO, GO},
        {NULL, SAME, NULL, "never", GO, GO, GO},
        {"*", BEFORE, "\"a\"", AFTER, GO, GO, FAILED},
    };
    for (size_t i = 0; i < COUNT(checks); i++)
        assert_checked(&checks[i], i);
}

/* A date of two digits is read against the clock: 2094 or 1994. */
static void check_two_digit_year_is_read_against_now(void **state)
{
    (void)state;
    struct sl_conditions conditions = {.if_unmodified_since = SL_BYTES("Sunday, 06-Nov-90 08:49:37 GMT")};
    uint64_t in_2060 = NOW + UINT64_C(66) * 31557600;
    assert_int_equal(sl_conditions_check(&conditions, &file, false, NOW), FAILED);
    assert_int_equal(sl_conditions_check(&conditions, &file, false, in_2060), GO);
}

static void check_without_an_etag_only_a_star_matches(void **state)
{
    (void)state;
    struct sl_validator untagged = {.exists = true, .modified_s = MODIFIED};
    struct sl_conditions conditions = {.if_match = SL_BYTES("\"\"")};
    assert_int_equal(sl_conditions_check(&conditions, &untagged, false, NOW), FAILED);
    conditions.if_match = SL_BYTES("*");
    assert_int_equal(sl_conditions_check(&conditions, &untagged, false, NOW), GO);
}

static void if_range_table(void **state)
{
    (void)state;
    static const struct {
        const char *if_range;
        uint64_t now_s;
        bool holds;
    } cases[] = {
        {NULL, NOW, true},
        {"", NOW, false},
        {"\"xyzzy\"", NOW, true},
        {" \"xyzzy\"\t", NOW, true},
        {"\"xyzzy\"", 0, true},
        {"W/\"xyzzy\"", NOW, false},
        {"\"a\"", NOW, false},
        {"xyzzy", NOW, false},
        {"*", NOW, false},
        {"\"xyzzy\",", NOW, false},
        {"\"a\", \"xyzzy\"", NOW, false},
        {"\"xyzzy\", \"a\"", NOW, false},
        {"\"xyzzy", NOW, false},
        {SAME, NOW, true},
        {" " SAME " ", NOW, true},
        {"Sunday, 06-Nov-94 08:49:37 GMT", NOW, true},
        {"Sun Nov  6 08:49:37 1994", NOW, true},
        {BEFORE, NOW, false},
        {AFTER, NOW, false},
        {SAME ", " SAME, NOW, false},
        {"never", NOW, false},
        {SAME, MODIFIED + 2, true},
        {SAME, MODIFIED + 1, false}, /* may be as young as a nanosecond */
        {SAME, MODIFIED, false},
        {SAME, MODIFIED - 1, false}, /* the clock went back */
        {SAME, 0, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (sl_if_range_holds(field(cases[i].if_range), &file, cases[i].now_s) != cases[i].holds)
            fail_msg("row %zu: %s", i, cases[i].if_range);
        if (sl_if_range_holds(field(cases[i].if_range), &nothing, cases[i].now_s) != (cases[i].if_range == NULL))
            fail_msg("row %zu, absent: %s", i, cases[i].if_range);
    }
    struct sl_validator epoch = {.exists = true, .etag = SL_BYTES("\"xyzzy\"")};
    assert_true(sl_if_range_holds(SL_BYTES("Thu, 01 Jan 1970 00:00:00 GMT"), &epoch, NOW));
    assert_false(sl_if_range_holds(SL_BYTES("Wed, 31 Dec 1969 23:59:59 GMT"), &epoch, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etag_list_has_table),
        cmocka_unit_test(are_set_any_field_counts_but_if_range),
        cmocka_unit_test(check_one_field_table),
        cmocka_unit_test(check_precedence_table),
        cmocka_unit_test(check_two_digit_year_is_read_against_now),
        cmocka_unit_test(check_without_an_etag_only_a_star_matches),
        cmocka_unit_test(if_range_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
