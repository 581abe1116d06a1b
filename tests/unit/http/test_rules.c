#include "http/handler/rules.h"
#include "http_case.h"

static struct http_case h;

static int setup(void **state)
{
    http_case_open(&h, TEST_THREADS);
    return 0;
}

static int teardown(void **state)
{
    http_case_close(&h);
    return 0;
}

static void conflict_rule_is_the_servers_unless_asked_for_another(void **state)
{
    static const struct {
        enum sl_conflict servers;
        const char *query;
        sl_err err;
        enum sl_conflict conflict;
    } rows[] = {
        {SL_CONFLICT_ERROR, "", SL_OK, SL_CONFLICT_ERROR},
        {SL_CONFLICT_RENAME, "", SL_OK, SL_CONFLICT_RENAME},
        {SL_CONFLICT_OVERWRITE, "name=overwrite&x", SL_OK, SL_CONFLICT_OVERWRITE},
        {SL_CONFLICT_OVERWRITE, "conflict=", SL_OK, SL_CONFLICT_OVERWRITE},
        {SL_CONFLICT_OVERWRITE, "conflict=error", SL_OK, SL_CONFLICT_ERROR},
        {SL_CONFLICT_OVERWRITE, "a=b&conflict=rename", SL_OK, SL_CONFLICT_RENAME},
        {SL_CONFLICT_OVERWRITE, "conflict=overwrite", SL_OK, SL_CONFLICT_OVERWRITE},
        {SL_CONFLICT_ERROR, "conflict=rename", SL_OK, SL_CONFLICT_RENAME},
        {SL_CONFLICT_ERROR, "conflict=r%65name", SL_OK, SL_CONFLICT_RENAME},
        {SL_CONFLICT_ERROR, "conflict=overwrite", SL_CONFLICT_RULE, 0},
        {SL_CONFLICT_RENAME, "conflict=overwrite", SL_CONFLICT_RULE, 0},
        {SL_CONFLICT_ERROR, "conflict=Error", SL_BAD_QUERY, 0},
        {SL_CONFLICT_ERROR, "conflict=replace", SL_BAD_QUERY, 0},
        {SL_CONFLICT_ERROR, "conflict=error&conflict=error", SL_BAD_QUERY, 0},
        {SL_CONFLICT_ERROR, "conflict=%zz", SL_BAD_QUERY, 0},
        {SL_CONFLICT_ERROR, "conflict=error%00", SL_BAD_QUERY, 0},
        {SL_CONFLICT_ERROR, "conflict=overwriteoverwriteoverwrite", SL_BAD_QUERY, 0},
    };
    struct exchange x = {0};
    exchange_begin(&x, &h, "PUT", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum sl_conflict conflict;
        h.u.intake.conflict = rows[i].servers;
        x.request.query = sl_bytes_of(rows[i].query);
        assert_int_equal(sl_rule_of_conflict(&x.request, &conflict), rows[i].err);
        if (rows[i].err == SL_OK)
            assert_int_equal(conflict, rows[i].conflict);
    }
    exchange_end(&x);
}

static void conditions_outlive_the_request(void **state)
{
    static const char *const headers[] = {"if-none-match",
                                          "\"a\"",
                                          "if-none-match",
                                          "\"b\"",
                                          "if-unmodified-since",
                                          "Thu, 01 Jan 1970 00:00:09 GMT",
                                          "if-match",
                                          "",
                                          NULL};
    struct exchange x = {0};
    exchange_begin(&x, &h, "PUT", headers);
    struct sl_conditions *kept = sl_rule_of_conditions(&x.request);
    exchange_end(&x);
    assert_non_null(kept);
    assert_true(sl_bytes_equal(kept->if_none_match, SL_BYTES("\"a\", \"b\"")));
    assert_true(sl_bytes_equal(kept->if_unmodified_since, SL_BYTES("Thu, 01 Jan 1970 00:00:09 GMT")));
    assert_true(kept->if_match.base != NULL && kept->if_match.len == 0); /* sent, and nothing matches it */
    assert_null(kept->if_modified_since.base);
    assert_null(kept->if_range.base);
    free(kept);
}

static void no_conditions_take_no_memory(void **state)
{
    static const char *const headers[] = {"if-range", "\"a\"", "range", "bytes=0-", NULL};
    struct exchange x = {0};
    exchange_begin(&x, &h, "PUT", headers);
    assert_null(sl_rule_of_conditions(&x.request));
    exchange_end(&x);
}

static void only_a_type_that_says_something_is_kept(void **state)
{
    static const struct {
        const char *sent;
        bool is_kept;
    } rows[] = {
        {"", false},
        {"text/plain", true},
        {"image/svg+xml; charset=utf-8", true},
        {"application/octet-stream", false},
        {"application/x-www-form-urlencoded", false},
        {"nonsense", false},
        {"text/html\"", false},
    };
    struct exchange x = {0};
    exchange_begin(&x, &h, "PUT", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char sent[64]; /* as it would come: no literal, which linkers merge with others */
        snprintf(sent, sizeof sent, "%s", rows[i].sent);
        struct sl_bytes kept = sl_type_to_keep(&x.request, sl_bytes_of(sent));
        assert_true(sl_bytes_equal(kept, sl_bytes_of(rows[i].is_kept ? rows[i].sent : "")));
    }
    assert_int_equal(sl_type_to_keep(&x.request, (struct sl_bytes){0}).len, 0);
    exchange_end(&x);
}

static void leaf_is_the_last_segment(void **state)
{
    static const char *const rows[][2] = {{"a", "a"}, {"a/b.txt", "b.txt"}, {"a/b/c", "c"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_session named;
        upload_name(&named, rows[i][0]);
        assert_true(sl_bytes_equal(sl_path_leaf(&named.path), sl_bytes_of(rows[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(conflict_rule_is_the_servers_unless_asked_for_another),
        cmocka_unit_test(conditions_outlive_the_request),
        cmocka_unit_test(no_conditions_take_no_memory),
        cmocka_unit_test(only_a_type_that_says_something_is_kept),
        cmocka_unit_test(leaf_is_the_last_segment),
    };
    return cmocka_run_group_tests(cases, setup, teardown);
}
