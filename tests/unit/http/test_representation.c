#include "http/handler/representation.h"
#include "http_case.h"

#define SHA256 (1u << SL_HASH_SHA256)
#define SHA512 (1u << SL_HASH_SHA512)
#define MD5    (1u << SL_HASH_MD5)

static struct http_case h;
static struct exchange x;

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

static void begin(const char *const *headers)
{
    x = (struct exchange){0};
    exchange_begin(&x, &h, "GET", headers);
}

static void media_type_of_a_name_or_a_sender_is_the_one_that_says_something(void **state)
{
    static const struct {
        const char *stored, *name, *type;
    } rows[] = {
        {"", "a.png", "image/png"},
        {"", "a.PNG", "image/png"},
        {"", "a.avif", "image/avif"},
        {"", "b.png/a.Avif", "image/avif"},
        {"", "a", "application/octet-stream"},
        {"", "a.", "application/octet-stream"},
        {"", ".png", "application/octet-stream"},
        {"", "dir.png/a", "application/octet-stream"},
        {"", "", "application/octet-stream"},
        {"", "a.tar.gz", "application/gzip"},
        {"", "a.html", "text/html"},
        {"image/gif", "a.png", "image/gif"},
        {"Text/X-Made-Up; charset=\"utf-8\"", "a.png", "Text/X-Made-Up; charset=\"utf-8\""},
        {"application/octet-stream", "a.png", "image/png"},
        {"Application/Octet-Stream ; x=y", "a.png", "image/png"},
        {"application/x-www-form-urlencoded", "a.png", "image/png"},
        {"application/x-www-form-urlencoded", "a", "application/octet-stream"},
        {"text", "a.png", "image/png"},
        {"text/html\r\nX: y", "a.png", "image/png"},
        {"text/\xffhtml", "a.png", "image/png"},
    };
    begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_bytes type = sl_media_type_of(&x.request, sl_bytes_of(rows[i].stored), sl_bytes_of(rows[i].name));
        if (!sl_bytes_equal(type, sl_bytes_of(rows[i].type)))
            fail_msg("'%s' of '%s' is %.*s", rows[i].stored, rows[i].name, (int)type.len, type.base);
    }
    exchange_end(&x);
}

static void wanted_digests_of_a_field_are_those_it_prefers(void **state)
{
    static const struct {
        const char *field;
        sl_hash_set have, wanted;
    } rows[] = {
        {NULL, SHA256 | MD5, SHA256 | MD5},
        {"", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=1", SHA256 | MD5, SHA256},
        {"sha-256=1, md5=10", SHA256 | MD5, MD5},
        {"sha-256=3, md5=3", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=0", SHA256 | MD5, MD5},
        {"sha-256=0, md5=0", SHA256 | MD5, 0},
        {"sha-256=1, md5=0", SHA256 | MD5, SHA256},
        /* the one it likes is not there: what it does not refuse */
        {"sha-512=10, sha-256=1", SHA256 | MD5, SHA256},
        {"sha-512=10", SHA256 | MD5, SHA256 | MD5},
        {"sha-512=10, md5=0", SHA256 | MD5, SHA256},
        {"blake3=10", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=1, sha-256=0", SHA256 | MD5, MD5},
        {"sha-256=5;x=y", SHA256 | MD5, SHA256},
        /* malformed: all */
        {"sha-256", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=1.5", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=11", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=-1", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=1, md5=yes", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=1,", SHA256 | MD5, SHA256 | MD5},
        {"\x01", SHA256 | MD5, SHA256 | MD5},
        {"sha-256=1", 0, 0},
        {"sha-512=1, sha-256=1", SHA256 | SHA512 | MD5, SHA256 | SHA512},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *headers[] = {"want-repr-digest", rows[i].field, NULL};
        begin(rows[i].field == NULL ? NULL : headers);
        struct sl_digests digests = {.set = rows[i].have};
        struct sl_digest_wish wish = sl_digest_wish_of(&x.request);
        sl_hash_set wanted = sl_wanted_digests(&wish, &digests);
        if (wanted != rows[i].wanted)
            fail_msg("row %zu, '%s': %x", i, rows[i].field, wanted);
        exchange_end(&x);
    }
}

static void wanted_digests_of_two_lines_are_those_of_both(void **state)
{
    static const char *const headers[] = {"want-repr-digest", "sha-256=1", "want-repr-digest", "md5=2", NULL};
    begin(headers);
    struct sl_digests digests = {.set = SHA256 | MD5};
    struct sl_digest_wish wish = sl_digest_wish_of(&x.request);
    assert_int_equal(sl_wanted_digests(&wish, &digests), MD5);
    exchange_end(&x);
}

static void fill_reader(struct sl_store_reader *reader, struct sl_path *path)
{
    *reader = (struct sl_store_reader){.size = 5, .modified_ns = UINT64_C(784111777999999999), .etag = "\"e\""};
    *path = (struct sl_path){.len = 7, .text = "dir/a.b"};
}

static void headers_of_a_file_nothing_is_known_of_are_safe(void **state)
{
    struct sl_store_reader reader;
    struct sl_path path;
    fill_reader(&reader, &path);
    begin(NULL);
    sl_representation_headers(&x.request, &reader, &path, 200, (struct sl_bytes){0});
    exchange_expect_header(&x, "etag", "\"e\"");
    exchange_expect_header(&x, "last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    exchange_expect_header(&x, "accept-ranges", "bytes");
    exchange_expect_header(&x, "cache-control", "no-cache");
    exchange_expect_header(&x, "content-type", "application/octet-stream");
    exchange_expect_header(&x, "content-disposition", "attachment; filename=\"a.b\"");
    exchange_expect_header(&x, "x-content-type-options", "nosniff");
    exchange_expect_header(
        &x, "content-security-policy",
        "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'");
    assert_null(exchange_header(&x, "repr-digest"));
    exchange_end(&x);
}

static void headers_of_a_file_with_metadata_tell_it(void **state)
{
    struct sl_store_reader reader;
    struct sl_path path;
    fill_reader(&reader, &path);
    reader.meta.name = SL_BYTES("B\xc3\xa4r\r\n\".png");
    reader.meta.type = SL_BYTES("application/octet-stream");
    sl_hash_now(SHA256 | 1u << SL_HASH_CRC32C, "hello", 5, &reader.meta.digests);
    begin(NULL);
    sl_representation_headers(&x.request, &reader, &path, 206, (struct sl_bytes){0});
    exchange_expect_header(&x, "content-type", "image/png");
    const char *disposition = exchange_header(&x, "content-disposition");
    assert_int_equal(strncmp(disposition, "inline; filename=", 17), 0);
    assert_null(strpbrk(disposition, "\r\n"));
    assert_non_null(strstr(disposition, "filename*=UTF-8''B%C3%A4r"));
    exchange_expect_header(&x, "repr-digest",
                           "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:, crc32c=:mnG7TA==:");
    exchange_end(&x);
}

static void headers_of_what_the_sender_wants_saved_say_attachment(void **state)
{
    struct sl_store_reader reader;
    struct sl_path path;
    fill_reader(&reader, &path);
    reader.meta.type = SL_BYTES("image/png");
    reader.meta.is_attachment = true;
    begin(NULL);
    sl_representation_headers(&x.request, &reader, &path, 200, (struct sl_bytes){0});
    exchange_expect_header(&x, "content-disposition", "attachment; filename=\"a.b\"");
    exchange_end(&x);
}

static void headers_of_another_content_type_keep_the_disposition_of_the_file(void **state)
{
    struct sl_store_reader reader;
    struct sl_path path;
    fill_reader(&reader, &path);
    reader.meta.type = SL_BYTES("image/png");
    begin(NULL);
    sl_representation_headers(&x.request, &reader, &path, 206, SL_BYTES("multipart/byteranges; boundary=x"));
    exchange_expect_header(&x, "content-type", "multipart/byteranges; boundary=x");
    exchange_expect_header(&x, "content-disposition", "inline; filename=\"a.b\"");
    exchange_end(&x);
}

static void headers_of_304_are_those_it_may_carry(void **state)
{
    struct sl_store_reader reader;
    struct sl_path path;
    fill_reader(&reader, &path);
    begin(NULL);
    sl_representation_headers(&x.request, &reader, &path, 304, (struct sl_bytes){0});
    assert_int_equal(x.request.h2o.res.headers.size, 3);
    exchange_expect_header(&x, "etag", "\"e\"");
    exchange_expect_header(&x, "last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    exchange_expect_header(&x, "cache-control", "no-cache");
    exchange_end(&x);
}

static void last_modified_of_a_file_from_the_future_is_now(void **state)
{
    struct sl_store_reader reader;
    struct sl_path path;
    fill_reader(&reader, &path);
    reader.modified_ns = UINT64_MAX;
    begin(NULL);
    sl_representation_headers(&x.request, &reader, &path, 200, (struct sl_bytes){0});
    assert_null(strstr(exchange_header(&x, "last-modified"), " 2554 "));
    exchange_end(&x);
}

/* Only what is named counts: a form that takes anything is answered as before. */
static void accepts_what_is_named_and_not_refused(void **state)
{
    static const struct {
        const char *accept;
        bool is_accepted;
    } rows[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"text/*", false},
        {"text/html", true},
        {"Text/HTML", true},
        {"text/htmlx", false},
        {"xtext/html", false},
        {"application/json, text/html", true},
        {"application/json,\ttext/html ,*/*;q=0.8", true},
        {"text/html;level=1", true},
        {"text/html;q=1", true},
        {"text/html;q=0.001", true},
        {"text/html;q=0.100;level=1", true},
        {"text/html;q=0", false},
        {"text/html; q=0.000", false},
        {"text/html; Q=0", false},
        {"text/html;q=0;level=1", false},
        {"text/html;q=0, */*", false},
        {"application/json;q=0, text/html", true},
        {"text/html;eq=0", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const headers[] = {"accept", rows[i].accept, NULL};
        begin(rows[i].accept == NULL ? NULL : headers);
        if (sl_request_accepts(&x.request, "text/html") != rows[i].is_accepted)
            fail_msg("Accept: %s", rows[i].accept);
        exchange_end(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(media_type_of_a_name_or_a_sender_is_the_one_that_says_something, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(wanted_digests_of_a_field_are_those_it_prefers, setup, teardown),
        cmocka_unit_test_setup_teardown(wanted_digests_of_two_lines_are_those_of_both, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_of_a_file_nothing_is_known_of_are_safe, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_of_a_file_with_metadata_tell_it, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_of_what_the_sender_wants_saved_say_attachment, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_of_another_content_type_keep_the_disposition_of_the_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(headers_of_304_are_those_it_may_carry, setup, teardown),
        cmocka_unit_test_setup_teardown(last_modified_of_a_file_from_the_future_is_now, setup, teardown),
        cmocka_unit_test_setup_teardown(accepts_what_is_named_and_not_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
