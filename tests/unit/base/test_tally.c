/* Counts by key against a plain count, in a table so small that neighbours meet all the time, and as it grows. */
#include "sluice/base/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#define KEYS 50u

static struct sl_tally_key key_of(unsigned who)
{
    return (struct sl_tally_key){.high = who % 3, .low = who};
}

static void expect_counts(const struct sl_tally *tally, const unsigned counts[KEYS])
{
    size_t used = 0;
    for (unsigned who = 0; who < KEYS; who++) {
        struct sl_tally_key key = key_of(who);
        assert_int_equal(sl_tally_count(tally, &key), counts[who]);
        used += counts[who] > 0;
    }
    assert_int_equal(tally->used, used);
}

/* keys_max: from one that grows at once to one that never does. */
static void counts_are_those_of_a_plain_array(void **state)
{
    static const size_t rooms[] = {0, 1, 7, KEYS, 1000};
    unsigned seed = 7;
    for (size_t room = 0; room < sizeof rooms / sizeof rooms[0]; room++) {
        struct sl_tally tally;
        unsigned counts[KEYS] = {0};
        sl_tally_init(&tally, rooms[room]);
        for (unsigned i = 0; i < 20000; i++) {
            unsigned who = (unsigned)rand_r(&seed) % KEYS;
            struct sl_tally_key key = key_of(who);
            if (rand_r(&seed) % 2) {
                sl_tally_add(&tally, &key);
                counts[who]++;
            } else {
                assert_int_equal(sl_tally_drop(&tally, &key), counts[who] > 0);
                counts[who] -= counts[who] > 0;
            }
            if (i % 100 == 0)
                expect_counts(&tally, counts);
        }
        expect_counts(&tally, counts);
        sl_tally_dispose(&tally);
    }
}

static void zero_is_a_key_like_others(void **state)
{
    struct sl_tally tally;
    struct sl_tally_key zero = {0};
    sl_tally_init(&tally, 1);
    assert_int_equal(sl_tally_count(&tally, &zero), 0);
    assert_false(sl_tally_drop(&tally, &zero));
    sl_tally_add(&tally, &zero);
    assert_int_equal(sl_tally_count(&tally, &zero), 1);
    assert_true(sl_tally_drop(&tally, &zero));
    assert_int_equal(tally.used, 0);
    sl_tally_dispose(&tally);
    sl_tally_dispose(&tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_a_plain_array),
        cmocka_unit_test(zero_is_a_key_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
