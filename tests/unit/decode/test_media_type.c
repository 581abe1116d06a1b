/* Media types: what is well-formed, and what a browser may show. */
#include "sluice/decode/media_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* NULs and all. */
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static const struct {
    struct sl_bytes type;
    bool is_valid, is_inert;
} types[] = {
    {TEXT("image/png"), true, true},
    {TEXT("IMAGE/Png"), true, true},
    {TEXT("image/jpeg; x=y"), true, true},
    {TEXT("image/webp"), true, true},
    {TEXT("video/mp4"), true, true},
    {TEXT("video/mp4; codecs=\"avc1.42E01E\""), true, true},
    {TEXT("audio/mpeg"), true, true},
    {TEXT("text/plain"), true, true},
    {TEXT("text/plain;charset=UTF-8"), true, true},
    {TEXT("text/plain ; charset=\"utf-8\" ;; a=b ; "), true, true},
    {TEXT("Application/JSON"), true, true},

    {TEXT("text/html"), true, false},
    {TEXT("Text/HTML; charset=utf-8"), true, false},
    {TEXT("application/xhtml+xml"), true, false},
    {TEXT("image/svg+xml"), true, false},
    {TEXT("image/svg"), true, false},
    {TEXT("text/xml"), true, false},
    {TEXT("application/xml"), true, false},
    {TEXT("application/rss+xml"), true, false},
    {TEXT("application/pdf"), true, false},
    {TEXT("text/javascript"), true, false},
    {TEXT("text/css"), true, false},
    {TEXT("text/cache-manifest"), true, false},
    {TEXT("text/vtt"), true, false},
    {TEXT("application/wasm"), true, false},
    {TEXT("application/x-shockwave-flash"), true, false},
    {TEXT("application/octet-stream"), true, false},
    {TEXT("application/json+x"), true, false},
    {TEXT("application/ld+json"), true, false},
    {TEXT("multipart/x-mixed-replace; boundary=x"), true, false},
    {TEXT("message/rfc822"), true, false},
    {TEXT("video/x-ms-asf"), true, false},
    {TEXT("image/vnd.to-be-invented"), true, false},
    {TEXT("image/*"), true, false},
    {TEXT("*/*"), true, false},
    {TEXT("!#$%&'*+-.^_`|~/0"), true, false},
    {TEXT("text/plainx"), true, false},
    {TEXT("text/plai"), true, false},
    {TEXT("text/plain;a=\",text/html\""), true, false},
    {TEXT("text/plain;a=\"\\\",text/html;b=\""), true, false},
    {TEXT("text/plain;a=\"\""), true, true},
    {TEXT("text/plain;a=\"\\\"\\\\;\""), true, true},
    {TEXT("text/plain;a=b;a=c"), true, true},

    {TEXT(""), false, false},
    {TEXT(" "), false, false},
    {TEXT("text"), false, false},
    {TEXT("text/"), false, false},
    {TEXT("/plain"), false, false},
    {TEXT("/"), false, false},
    {TEXT("text/plain/x"), false, false},
    {TEXT("text /plain"), false, false},
    {TEXT("text/ plain"), false, false},
    {TEXT(" text/plain"), false, false},
    {TEXT("text/plain "), false, false},
    {TEXT("text/plain x"), false, false},
    {TEXT("text/plain, text/html"), false, false},
    {TEXT("text/plain;,text/html"), false, false},
    {TEXT("text/plain;a=b,text/html"), false, false},
    {TEXT("text/plain; a"), false, false},
    {TEXT("text/plain; a="), false, false},
    {TEXT("text/plain; a=;"), false, false},
    {TEXT("text/plain; =b"), false, false},
    {TEXT("text/plain; a =b"), false, false},
    {TEXT("text/plain; a= b"), false, false},
    {TEXT("text/plain; a=b c"), false, false},
    {TEXT("text/plain; a=\""), false, false},
    {TEXT("text/plain; a=\"b"), false, false},
    {TEXT("text/plain; a=\"b\\"), false, false},
    {TEXT("text/plain; a=\"b\\\""), false, false},
    {TEXT("text/plain; a=\"b\"c"), false, false},
    {TEXT("text/plain; a=b\"c\""), false, false},
    {TEXT("text/plain;\tcharset=utf-8"), false, false},
    {TEXT("text/plain; a=\"\t\""), false, false},
    {TEXT("text/plain\r\nX: y"), false, false},
    {TEXT("text/plain; a=\"\r\nX: y\""), false, false},
    {TEXT("text/plain\n"), false, false},
    {TEXT("text/plain\0"), false, false},
    {TEXT("text\0/plain"), false, false},
    {TEXT("text/plain; a=\"\0\""), false, false},
    {TEXT("text/plain; a=\"\x7f\""), false, false},
    {TEXT("text/pl\xc3\xa4in"), false, false},
    {TEXT("text/plain; a=\"\xc3\xa4\""), false, false},
    {TEXT("text/plain; a=\"\xe2\x80\xae\""), false, false},
    {TEXT("\xff/\xfe"), false, false},
    {TEXT("text/html<script>"), false, false},
};

/* On a heap copy of exactly its size, so that a sanitizer sees a look beyond it. */
static void check(struct sl_bytes type, bool is_valid, bool is_inert)
{
    char *copy = malloc(type.len + (type.len == 0));
    assert_non_null(copy);
    memcpy(copy, type.base, type.len);
    struct sl_bytes exact = {copy, type.len};
    if (sl_media_type_is_valid(exact) != is_valid)
        fail_msg("%s: %s", type.base, is_valid ? "refused" : "taken");
    if (sl_media_type_is_inert(exact) != is_inert)
        fail_msg("%s: %s", type.base, is_inert ? "not inert" : "inert");
    free(copy);
}

static void types_are_judged(void **state)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        check(types[i].type, types[i].is_valid, types[i].is_inert);
    assert_false(sl_media_type_is_valid((struct sl_bytes){NULL, 0}));
    assert_false(sl_media_type_is_inert((struct sl_bytes){NULL, 0}));
}

static void types_cut_anywhere_never_read_beyond(void **state)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (size_t len = 0; len < types[i].type.len; len++) {
            char *copy = malloc(len + (len == 0));
            assert_non_null(copy);
            memcpy(copy, types[i].type.base, len);
            struct sl_bytes cut = {copy, len};
            assert_true(sl_media_type_is_valid(cut) || !sl_media_type_is_inert(cut));
            free(copy);
        }
}

static void is_valid_type_of_255_bytes_fits_and_one_more_does_not(void **state)
{
    char type[SL_MEDIA_TYPE_BYTES_MAX + 1];
    memset(type, 'x', sizeof type);
    memcpy(type, "text/plain;a=", 13);
    check((struct sl_bytes){type, SL_MEDIA_TYPE_BYTES_MAX}, true, true);
    assert_false(sl_media_type_is_valid((struct sl_bytes){type, sizeof type}));
    assert_false(sl_media_type_is_inert((struct sl_bytes){type, sizeof type}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_judged),
        cmocka_unit_test(types_cut_anywhere_never_read_beyond),
        cmocka_unit_test(is_valid_type_of_255_bytes_fits_and_one_more_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
