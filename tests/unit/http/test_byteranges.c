#include "http/handler/byteranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BOUNDARY "abcdefghijklmnopqrstuvwxyz"

/* All texts of `parts`, with "<LEN>" where the bytes of a part go. *length_out: of text and bytes. */
static void put_all(const struct sl_byteranges *parts, struct sl_text *all, uint64_t *length_out)
{
    *length_out = 0;
    for (size_t i = 0; i <= parts->count; i++) {
        size_t before = all->len;
        sl_byteranges_put(parts, i, all);
        *length_out += all->len - before;
        if (i == parts->count)
            break;
        *length_out += parts->ranges[i].len;
        sl_text_printf(all, "<%llu>", (unsigned long long)parts->ranges[i].len);
    }
    assert_false(all->full);
}

static void put_of_two_parts_is_the_text_of_the_rfc(void **state)
{
    static const struct sl_range ranges[] = {{500, 500}, {7000, 1000}};
    struct sl_byteranges parts = {ranges, 2, 8000, SL_BYTES("application/pdf"), BOUNDARY};
    char room[1024];
    struct sl_text all;
    uint64_t length;
    sl_text_init(&all, room, sizeof room);
    put_all(&parts, &all, &length);
    assert_string_equal(room, "--" BOUNDARY "\r\nContent-Type: application/pdf\r\n"
                              "Content-Range: bytes 500-999/8000\r\n\r\n<500>"
                              "\r\n--" BOUNDARY "\r\nContent-Type: application/pdf\r\n"
                              "Content-Range: bytes 7000-7999/8000\r\n\r\n<1000>"
                              "\r\n--" BOUNDARY "--\r\n");
    assert_int_equal(length, sl_byteranges_length(&parts));
}

static void length_of_any_parts_is_that_of_what_is_put(void **state)
{
    char type[SL_MEDIA_TYPE_BYTES_MAX];
    memset(type, 't', sizeof type);
    for (size_t count = 1; count <= SL_RANGES_MAX; count++) {
        for (unsigned shift = 6; shift <= 60; shift += 6) {
            uint64_t size = (uint64_t)1 << shift;
            struct sl_range ranges[SL_RANGES_MAX];
            for (size_t i = 0; i < count; i++)
                ranges[i] = (struct sl_range){size / SL_RANGES_MAX * i, i % 3 == 0 ? 1 : size / SL_RANGES_MAX - 1};
            ranges[count - 1].len = size - ranges[count - 1].first;
            struct sl_byteranges parts = {ranges, count, size, {type, count * 15}, BOUNDARY};
            char room[(SL_RANGES_MAX + 1) * (SL_BYTERANGES_TEXT_BYTES + 24)];
            struct sl_text all;
            uint64_t length;
            sl_text_init(&all, room, sizeof room);
            put_all(&parts, &all, &length);
            assert_int_equal(length, sl_byteranges_length(&parts));
        }
    }
}

static void put_with_the_longest_of_everything_fits_its_room(void **state)
{
    char type[SL_MEDIA_TYPE_BYTES_MAX], room[SL_BYTERANGES_TEXT_BYTES];
    memset(type, 't', sizeof type);
    struct sl_range range = {UINT64_MAX - 2, 2};
    struct sl_byteranges parts = {&range, 1, UINT64_MAX, {type, sizeof type}, BOUNDARY};
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_byteranges_put(&parts, 0, &text);
    assert_false(text.full);
    assert_non_null(strstr(room, "bytes 18446744073709551613-18446744073709551614/18446744073709551615\r\n\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_of_two_parts_is_the_text_of_the_rfc),
        cmocka_unit_test(length_of_any_parts_is_that_of_what_is_put),
        cmocka_unit_test(put_with_the_longest_of_everything_fits_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
