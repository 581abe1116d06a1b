/* How descriptors are dealt out, and that the sum of memory is that of its terms. */
#include "sluice/app/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define MIB ((uint64_t)1 << 20)

static struct sl_config config_of(unsigned loops, unsigned connections)
{
    return (struct sl_config){.loops = loops,
                              .hash_threads = 2,
                              .digests = 1u << SL_HASH_SHA256,
                              .buffer_memory_bytes = 16 * MIB,
                              .max_uploads = 100,
                              .max_connections = connections};
}

static const struct sl_budget_term *find(const struct sl_budget *budget, const char *name)
{
    for (size_t i = 0; i < budget->memory_terms; i++)
        if (strcmp(budget->memory[i].name, name) == 0)
            return &budget->memory[i];
    return NULL;
}

static void descriptors_are_dealt_out(void **state)
{
    static const struct {
        unsigned loops, wanted;
        uint64_t limit;
        unsigned connections_max, files_max; /* of a loop */
        bool has_fds;
    } rows[] = {
        {1, 100, 364, 100, 150, true},
        {1, 100, 363, 100, 147, false}, /* one is missing where each connection stores a file */
        {2, 101, 128 + 306, 51, 75, true},
        {1, 10, 1000000, 10, 8192, true},
        {2, 10000, 20000, 5000, 3702, false},
        {4, 1000000, 20000, 2961, 1479, false},
        {8, 10000, 100, 9, 3, false}, /* not even for the loops */
        {1, 1, 0, 1, 9, false},
        {1, 1000000, UINT64_MAX, 1000000, 8192, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_config config = config_of(rows[i].loops, rows[i].wanted);
        struct sl_budget budget;
        sl_budget_make(&config, rows[i].limit, &budget);
        if (budget.connections_max != rows[i].connections_max || budget.files_max != rows[i].files_max ||
            sl_budget_has_fds(&budget) != rows[i].has_fds)
            fail_msg("row %zu: %u, %u, %d", i, budget.connections_max, budget.files_max, sl_budget_has_fds(&budget));
        uint64_t sum = 0;
        for (size_t term = 0; term < budget.fds_terms; term++)
            sum += budget.fds[term].count * budget.fds[term].each;
        assert_true(sum == budget.fds_wanted);
    }
}

static void memory_is_the_sum_of_its_terms(void **state)
{
    struct sl_config config = config_of(2, 1000);
    struct sl_budget budget;
    sl_budget_make(&config, 100000, &budget);
    uint64_t sum = 0;
    for (size_t i = 0; i < budget.memory_terms; i++) {
        const struct sl_budget_term *term = &budget.memory[i];
        assert_true(term->count > 0 && term->each > 0 && strlen(term->why) > 5);
        sum += term->count * term->each;
    }
    assert_true(sum == budget.memory_bytes);
    const struct sl_budget_term *buffers = find(&budget, "buffers");
    assert_non_null(buffers);
    assert_true(buffers->count * buffers->each == 16 * MIB);
    assert_int_equal(find(&budget, "connections")->count, 1000);
    assert_null(find(&budget, "TLS"));
    assert_null(find(&budget, "addresses"));
}

static void what_is_not_configured_is_no_term_and_what_is_is_one(void **state)
{
    struct sl_config config = config_of(1, 1000), more = config;
    struct sl_budget budget, larger;
    more.tls_certs.count = 1;
    more.max_connections_per_address = more.max_uploads_per_address = 1;
    more.loops = 32;
    sl_config_fit_loops(&more);
    assert_int_equal(more.loops, 8); /* each has two regions, and all together no more than was asked for */
    sl_budget_make(&config, 100000, &budget);
    sl_budget_make(&more, 100000, &larger);
    assert_non_null(find(&larger, "TLS"));
    assert_true(find(&larger, "buffers")->each == 2 * MIB);
    assert_int_equal(find(&larger, "addresses")->count, larger.connections + 100);
}

static void too_few_descriptors_are_told_with_the_cure(void **state)
{
    struct sl_config config = config_of(1, 1000);
    struct sl_budget budget;
    char words[320];
    sl_budget_make(&config, 1024, &budget);
    sl_budget_put_fds(&budget, &config, words, sizeof words);
    assert_non_null(
        strstr(words, "1024 are enough for 576 of the 1000 connections of max-connections, and 288 uploads"));
    assert_non_null(strstr(words, "raise the hard limit to 3064"));
    assert_true(strlen(words) < sizeof words - 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_dealt_out),
        cmocka_unit_test(memory_is_the_sum_of_its_terms),
        cmocka_unit_test(what_is_not_configured_is_no_term_and_what_is_is_one),
        cmocka_unit_test(too_few_descriptors_are_told_with_the_cure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
