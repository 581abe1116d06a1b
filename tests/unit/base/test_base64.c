/* Base64 there and back: the vectors of RFC 4648, every byte in every place, and what is not strict. */
#include "sluice/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    struct sl_bytes plain, text;
} pairs[] = {
    /* RFC 4648 section 10 */
    {SL_BYTES(""), SL_BYTES("")},
    {SL_BYTES("f"), SL_BYTES("Zg==")},
    {SL_BYTES("fo"), SL_BYTES("Zm8=")},
    {SL_BYTES("foo"), SL_BYTES("Zm9v")},
    {SL_BYTES("foob"), SL_BYTES("Zm9vYg==")},
    {SL_BYTES("fooba"), SL_BYTES("Zm9vYmE=")},
    {SL_BYTES("foobar"), SL_BYTES("Zm9vYmFy")},
    /* all of the alphabet */
    {SL_BYTES("\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96\x9b\x71\xd7\x9f"
              "\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf"),
     SL_BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")},
    {SL_BYTES("\xff\xff\xff\xff"), SL_BYTES("/////w==")},
};

static void encode_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        size_t len = SL_BASE64_LEN(pairs[i].plain.len);
        assert_int_equal(len, pairs[i].text.len);
        char *out = malloc(len + 1); /* one more: no NUL is written */
        out[len] = '#';
        assert_int_equal(sl_base64_encode(out, pairs[i].plain.base, pairs[i].plain.len), len);
        assert_memory_equal(out, pairs[i].text.base, len);
        assert_int_equal(out[len], '#');
        free(out);
    }
}

static void decode_table_into_just_enough_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        size_t len = 99, room = pairs[i].plain.len;
        char *out = malloc(room + (room == 0));
        assert_true(sl_base64_decode(pairs[i].text, out, room, &len));
        assert_int_equal(len, room);
        assert_memory_equal(out, pairs[i].plain.base, room);
        if (room > 0)
            assert_false(sl_base64_decode(pairs[i].text, out, room - 1, &len));
        free(out);
    }
    size_t len = 99;
    assert_true(sl_base64_decode((struct sl_bytes){NULL, 0}, NULL, 0, &len));
    assert_int_equal(len, 0);
}

static void decode_what_is_not_strict_is_refused(void **state)
{
    (void)state;
    static const struct sl_bytes cases[] = {
        SL_BYTES("Z"),
        SL_BYTES("Zg"),
        SL_BYTES("Zg="),
        SL_BYTES("Zm8"),
        SL_BYTES("Zm9vY"),
        SL_BYTES("Zg==="),
        SL_BYTES("Z==="),
        SL_BYTES("===="),
        SL_BYTES("A==="),
        SL_BYTES("AAAAA==="),
        SL_BYTES("="),
        SL_BYTES("=="),
        SL_BYTES("Zg=g"),
        SL_BYTES("Z=g="),
        SL_BYTES("=Zg="),
        SL_BYTES("Zg==Zg"),
        SL_BYTES("Zg==Zg=="),
        SL_BYTES("Zm9v===="),
        SL_BYTES("Zh=="),
        SL_BYTES("Zm9="),
        SL_BYTES("Z/=="),
        SL_BYTES("////"
                 "//9="),
        SL_BYTES("Zm9v\n"),
        SL_BYTES(" Zm9"),
        SL_BYTES("Zm 9"),
        SL_BYTES("Zm9 "),
        SL_BYTES("Zm\r\n"),
        SL_BYTES("Zm-_"),
        SL_BYTES("Zm9\0"),
        SL_BYTES("Zm9\xff"),
        SL_BYTES("Zm9@"),
        SL_BYTES("Zm9["),
        SL_BYTES("Zm9`"),
        SL_BYTES("Zm9{"),
        SL_BYTES("Zm9:"),
        SL_BYTES("Zm9."),
        SL_BYTES("Zm9,"),
        SL_BYTES(":Zg==:"),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[16];
        size_t len;
        char *text = malloc(cases[i].len); /* ends where its memory ends */
        memcpy(text, cases[i].base, cases[i].len);
        if (sl_base64_decode((struct sl_bytes){text, cases[i].len}, out, sizeof out, &len))
            fail_msg("taken: %s", cases[i].base);
        free(text);
    }
}

/* Of all texts of four characters that differ from "Zg==" in the second place, one in sixteen is taken. */
static void decode_unused_bits_must_be_zero(void **state)
{
    (void)state;
    unsigned taken = 0;
    for (int c = 0; c < 256; c++) {
        char text[] = {'Z', (char)c, '=', '='}, out[3];
        size_t len;
        taken += sl_base64_decode((struct sl_bytes){text, 4}, out, sizeof out, &len);
    }
    assert_int_equal(taken, 4);
    taken = 0;
    for (int c = 0; c < 256; c++) {
        char text[] = {'Z', 'm', (char)c, '='}, out[3];
        size_t len;
        taken += sl_base64_decode((struct sl_bytes){text, 4}, out, sizeof out, &len);
    }
    assert_int_equal(taken, 16);
}

static void every_byte_in_every_place_comes_back(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 70; len++)
        for (unsigned c = 0; c < 256; c++) {
            unsigned char plain[70], again[70];
            char text[SL_BASE64_LEN(70)];
            for (size_t i = 0; i < len; i++)
                plain[i] = (unsigned char)(c + i * 37);
            size_t n = sl_base64_encode(text, plain, len), again_len = 99;
            assert_true(sl_base64_decode((struct sl_bytes){text, n}, again, len, &again_len));
            assert_int_equal(again_len, len);
            assert_memory_equal(plain, again, len);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_table),
        cmocka_unit_test(decode_table_into_just_enough_room),
        cmocka_unit_test(decode_what_is_not_strict_is_refused),
        cmocka_unit_test(decode_unused_bits_must_be_zero),
        cmocka_unit_test(every_byte_in_every_place_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
