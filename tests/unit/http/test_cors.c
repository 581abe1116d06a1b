/* Which origins a list lets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/cors.h"

struct row {
    const char *origins, *origin;
    bool is_in;
};

static const struct row rows[] = {
    {"", "https://a", false},
    {"", "", false},
    {"*", "", false},
    {"*", "https://a", true},
    {"*", "null", true},
    {"https://a", "https://a", true},
    {"https://a", "", false},
    {"https://a", "null", false},
    {"https://a", "*", false},
    {"https://a", "https://b", false},
    {"https://a", "http://a", false},
    {"https://a", "https://a:8443", false},
    {"https://a:8443", "https://a", false},
    {"https://a", "https://a/", false},
    {"https://a", "https://A", false}, /* browsers write it in lower case; who does not is no browser */
    {"https://a", "https://ab", false},
    {"https://ab", "https://a", false},
    {"https://a.example", "https://evil.a.example", false},
    {"https://a.example", "https://a.example.evil", false},
    {"https://a https://b http://c", "https://a", true},
    {"https://a https://b http://c", "https://b", true},
    {"https://a https://b http://c", "http://c", true},
    {"https://a https://b http://c", "https://a https://b", false},
    {"https://a https://b http://c", " ", false},
    {"https://a https://b http://c", "a", false},
    {"https://a https://b http://c", "https://c", false},
};

static void cors_has_tells_for_each_list_and_origin(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (sl_cors_has(sl_bytes_of(rows[i].origins), sl_bytes_of(rows[i].origin)) != rows[i].is_in)
            fail_msg("\"%s\" in \"%s\"", rows[i].origin, rows[i].origins);
}

static void cors_has_no_header_is_in_no_list(void **state)
{
    (void)state;
    assert_false(sl_cors_has(SL_BYTES("*"), (struct sl_bytes){0}));
    assert_false(sl_cors_has(SL_BYTES("https://a"), (struct sl_bytes){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cors_has_tells_for_each_list_and_origin),
        cmocka_unit_test(cors_has_no_header_is_in_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
