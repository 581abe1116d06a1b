/* The fields of the resumable upload draft, by version: what counts, and what is as if it were not there. */
#include "sluice/decode/resumable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct sl_bytes field(const char *text)
{
    return text == NULL ? (struct sl_bytes){NULL, 0} : sl_bytes_of(text);
}

static void version_table(void **state)
{
    static const struct {
        const char *field;
        unsigned version;
    } rows[] = {
        {"3", 3},
        {"5", 5},
        {"6", 6},
        {"7", 7},
        {"8", 8},
        {" 8 ", 8},
        {"08", 8},
        {"8;a", 8},
        {NULL, 0},
        {"", 0},
        {"0", 0},
        {"1", 0},
        {"2", 0},
        {"4", 0},
        {"9", 0},
        {"80", 0},
        {"4294967304", 0},
        {"-8", 0},
        {"8.0", 0},
        {"?1", 0},
        {"\"8\"", 0},
        {"8, 8", 0},
        {"v8", 0},
        {"8\t", 0},
        {"8 8", 0},
        {"@8", 0},
        {"(8)", 0},
        {"8;", 0},
        {"99999999999999999999", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (sl_draft_version(field(rows[i].field)) != rows[i].version)
            fail_msg("row %zu: %s", i, rows[i].field);
}

#define NOT_SAID   SL_DRAFT_NOT_SAID
#define COMPLETE   SL_DRAFT_COMPLETE
#define INCOMPLETE SL_DRAFT_INCOMPLETE

static void complete_table(void **state)
{
    static const struct {
        unsigned version;
        const char *complete, *incomplete;
        enum sl_draft_complete expected;
    } rows[] = {
        {8, "?1", NULL, COMPLETE},
        {8, "?0", NULL, INCOMPLETE},
        {8, " ?0 ", NULL, INCOMPLETE},
        {8, "?1;reason=\"x\"", NULL, COMPLETE},
        {5, "?1", NULL, COMPLETE},
        {6, "?0", "", INCOMPLETE},
        {7, "?1", "?1", COMPLETE},
        {0, "?1", NULL, COMPLETE}, /* no version was told */
        {0, "?0", NULL, INCOMPLETE},
        {3, NULL, "?1", INCOMPLETE},
        {3, NULL, "?0", COMPLETE},
        {3, "?1", "?1", INCOMPLETE},
        /* of another version */
        {3, "?1", NULL, NOT_SAID},
        {8, NULL, "?0", NOT_SAID},
        {0, NULL, "?0", NOT_SAID},
        /* of another type */
        {8, NULL, NULL, NOT_SAID},
        {8, "", NULL, NOT_SAID},
        {8, "1", NULL, NOT_SAID},
        {8, "0", NULL, NOT_SAID},
        {8, "true", NULL, NOT_SAID},
        {8, "?2", NULL, NOT_SAID},
        {8, "?", NULL, NOT_SAID},
        {8, "?10", NULL, NOT_SAID},
        {8, "?1, ?1", NULL, NOT_SAID},
        {8, "(?1)", NULL, NOT_SAID},
        {8, "\"?1\"", NULL, NOT_SAID},
        {3, NULL, "1", NOT_SAID},
        {3, NULL, "", NOT_SAID},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (sl_draft_complete(rows[i].version, field(rows[i].complete), field(rows[i].incomplete)) !=
            rows[i].expected)
            fail_msg("row %zu: version %u, %s, %s", i, rows[i].version, rows[i].complete, rows[i].incomplete);
}

static void number_table(void **state)
{
    static const struct {
        const char *field;
        bool is_number;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"007", true, 7},
        {" 5 ", true, 5},
        {"5;a=1", true, 5},
        {"999999999999999", true, UINT64_C(999999999999999)},
        {"1000000000000000", false, 0},
        {"9223372036854775807", false, 0},
        {NULL, false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"1.0", false, 0},
        {"1.", false, 0},
        {"?1", false, 0},
        {"\"5\"", false, 0},
        {"@5", false, 0},
        {"5, 5", false, 0},
        {"+5", false, 0},
        {"5x", false, 0},
        {"\t5", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 0;
        if (sl_draft_number(field(rows[i].field), &value) != rows[i].is_number || value != rows[i].value)
            fail_msg("row %zu: %s", i, rows[i].field);
    }
}

/* Nothing is read behind the end, and what fits when it is cut is of its kind. */
static void any_field_cut_anywhere_is_read_to_its_end(void **state)
{
    static const char *const fields[] = {"999999999999999;a=\"b\"", "?1;a", "-12", "  8  ", ":YQ==:", "8;a=?1;b"};
    for (size_t i = 0; i < COUNT(fields); i++) {
        for (size_t len = 0; len <= strlen(fields[i]); len++) {
            char *copy = malloc(len + (len == 0));
            assert_non_null(copy);
            memcpy(copy, fields[i], len);
            struct sl_bytes cut = {copy, len};
            uint64_t value;
            bool is_number = sl_draft_number(cut, &value), is_version = sl_draft_version(cut) != 0;
            bool is_said = sl_draft_complete(8, cut, field(NULL)) != NOT_SAID;
            assert_int_equal(is_said, sl_draft_complete(3, field(NULL), cut) != NOT_SAID);
            assert_false(is_said && (is_number || is_version));
            assert_true(is_number || !is_version);
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_table),
        cmocka_unit_test(complete_table),
        cmocka_unit_test(number_table),
        cmocka_unit_test(any_field_cut_anywhere_is_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
