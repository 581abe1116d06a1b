/* What jansson is given to keep its values in. */
#include "http/reply_json.h"
#include "sluice/base/sanitizers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#define PIECES 100
#define BYTES  500 /* of one: all together they are more than a room */

static json_malloc_t take;
static json_free_t give;

static int setup(void **state)
{
    sl_json_room_open();
    json_get_alloc_funcs(&take, &give);
    return 0;
}

static int teardown(void **state)
{
    sl_json_room_close();
    return 0;
}

static void pieces_are_each_their_own_whether_they_fit_or_not(void **state)
{
    char *pieces[PIECES], expected[BYTES];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PIECES; i++) {
            pieces[i] = take(BYTES - i);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)i, BYTES - i);
        }
        for (unsigned i = 0; i < PIECES; i++) {
            unsigned other = (i * 37) % PIECES; /* in no order */
            memset(expected, (int)other, BYTES - other);
            assert_memory_equal(pieces[other], expected, BYTES - other);
            give(pieces[other]);
        }
    }
}

static void room_is_empty_again_when_the_last_piece_is_back(void **state)
{
#ifdef SL_HAS_ASAN
    skip();
#endif
    char *first = take(100), *second = take(1);
    give(first);
    char *third = take(100);
    assert_ptr_not_equal(third, first); /* the second is still there */
    give(second);
    give(third);
    assert_ptr_equal(take(100), first);
    give(first);
    char *whole = take((size_t)16 << 10), *none_left = take(1);
    assert_ptr_equal(whole, first);
    give(whole);
    give(none_left);
}

static void more_than_any_room_has_is_had_all_the_same(void **state)
{
    char *large = take(1 << 20);
    memset(large, 1, 1 << 20);
    give(large);
    give(NULL);
}

static void *use_without_a_room(void *arg)
{
    json_t *json = json_pack("{s:[i,i,s]}", "name", 1, 2, "three");
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    bool is_right = strcmp(text, "{\"name\":[1,2,\"three\"]}") == 0;
    give(text);
    return is_right ? arg : NULL;
}

static void thread_without_a_room_has_the_c_library(void **state)
{
    pthread_t thread;
    void *result;
    char *ours = take(10);
    assert_int_equal(pthread_create(&thread, NULL, use_without_a_room, ours), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, ours);
    give(ours);
}

static void text_is_whole_wherever_it_lies(void **state)
{
    char bytes[64], name[200];
    struct sl_room few = {bytes, sizeof bytes};
    for (size_t len = 1; len < sizeof name; len++) {
        memset(name, 'x', len);
        struct sl_bytes text = sl_json_write(json_pack("[s%]", name, len), few);
        assert_int_equal(text.len, len + 4);
        assert_true((text.base == bytes) == (text.len < sizeof bytes));
        assert_memory_equal(text.base, "[\"", 2);
        assert_memory_equal(text.base + 2, name, len);
        assert_memory_equal(text.base + 2 + len, "\"]\n", 3);
        sl_json_forget(text, few);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_are_each_their_own_whether_they_fit_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(room_is_empty_again_when_the_last_piece_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_any_room_has_is_had_all_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(thread_without_a_room_has_the_c_library, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_whole_wherever_it_lies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
