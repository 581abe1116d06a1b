/* The parsers. */
#include "paths.h"

#include "sluice/decode/chunked.h"
#include "sluice/decode/h1_head.h"
#include "sluice/decode/multipart.h"
#include "sluice/decode/structured.h"
#include "sluice/decode/tus.h"

#include <string.h>

/* ---- HTTP/1 heads ---- */

/* Where a text lies decides how the C library searches it: these lie where no other code moves them. */
#define ALIGNED __attribute__((aligned(64)))

static const char head_of_curl[] ALIGNED = "PUT /photo.jpg HTTP/1.1\r\n"
                                           "Host: localhost:8080\r\n"
                                           "User-Agent: curl/7.88.1\r\n"
                                           "Accept: */*\r\n"
                                           "Content-Length: 4096\r\n\r\n";

static const char head_of_browser[] ALIGNED =
    "POST /files/?name=holiday%20in%20May.jpg&conflict=rename HTTP/1.1\r\n"
    "Host: uploads.example.org\r\n"
    "Connection: keep-alive\r\n"
    "Content-Length: 3145728\r\n"
    "sec-ch-ua: \"Chromium\";v=\"120\", \"Not?A_Brand\";v=\"8\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Safari/537.36\r\n"
    "Content-Type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW\r\n"
    "Accept: application/json\r\n"
    "Origin: https://uploads.example.org\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Referer: https://uploads.example.org/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n\r\n";

static struct sl_h1_head head;

static void parse_head_of_curl(void)
{
    struct sl_h1_scan scan = {0};
    must(sl_h1_head_parse(&head, &scan, head_of_curl, sizeof head_of_curl - 1) == SL_OK);
}

static void check_head_of_curl(void)
{
    must(head.header_count == 4 && head.content_length == 4096 && head.bytes == sizeof head_of_curl - 1);
}

static void parse_head_of_browser(void)
{
    struct sl_h1_scan scan = {0};
    must(sl_h1_head_parse(&head, &scan, head_of_browser, sizeof head_of_browser - 1) == SL_OK);
}

static void drip_head_of_browser(void)
{
    struct sl_h1_scan scan = {0};
    sl_err err = SL_AGAIN;
    for (size_t len = 1; err == SL_AGAIN && len < sizeof head_of_browser; len++)
        err = sl_h1_head_parse(&head, &scan, head_of_browser, len);
    must(err == SL_OK);
}

static void check_head_of_browser(void)
{
    must(head.header_count == 16 && head.content_length == 3145728 && head.bytes == sizeof head_of_browser - 1);
}

/* ---- bodies ---- */

#define BODY_BYTES       65536
#define LARGE_CHUNK      4096
#define SMALL_CHUNK      16
#define SMALL_BODY_BYTES 4096

static char body[2 * BODY_BYTES] ALIGNED;
static size_t body_len, data_len;

static void put(const void *bytes, size_t len)
{
    must(len <= sizeof body - body_len);
    memcpy(body + body_len, bytes, len);
    body_len += len;
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

/* Decoding it in place uses it up. */
static void lay_chunks(size_t chunk, size_t len)
{
    static char data[BODY_BYTES];
    char line[16];
    path_fill(data, len);
    body_len = 0;
    snprintf(line, sizeof line, "%zx\r\n", chunk);
    for (size_t at = 0; at < len; at += chunk) {
        put_text(line);
        put(data + at, chunk);
        put_text("\r\n");
    }
    put_text("0\r\n\r\n");
}

static void lay_large_chunks(void)
{
    lay_chunks(LARGE_CHUNK, BODY_BYTES);
}

static void lay_small_chunks(void)
{
    lay_chunks(SMALL_CHUNK, SMALL_BODY_BYTES);
}

static void decode_chunks(void)
{
    struct sl_chunked chunked = {0};
    size_t used;
    bool is_done;
    must(sl_chunked_decode(&chunked, body, body_len, &data_len, &used, &is_done) == SL_OK);
    must(is_done && used == body_len);
}

static void check_large_chunks(void)
{
    must(data_len == BODY_BYTES);
}

static void check_small_chunks(void)
{
    must(data_len == SMALL_BODY_BYTES);
}

#define BOUNDARY "------------------------d74496d66958873e"

static unsigned parts;

static void lay_form(void)
{
    static char data[BODY_BYTES];
    path_fill(data, sizeof data);
    body_len = 0;
    put_text("--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nfrom the holidays\r\n");
    put_text("--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"photo.jpg\"\r\n"
             "Content-Type: image/jpeg\r\n\r\n");
    put(data, sizeof data);
    put_text("\r\n--" BOUNDARY "--\r\n");
}

static void decode_form(void)
{
    struct sl_multipart multipart;
    enum sl_multipart_event event = SL_MULTIPART_MORE;
    must(sl_multipart_init(&multipart, SL_BYTES("multipart/form-data; boundary=" BOUNDARY), 1000) == SL_OK);
    data_len = parts = 0;
    for (size_t at = 0, bytes; event != SL_MULTIPART_END; at += bytes) {
        must(sl_multipart_next(&multipart, body + at, body_len - at, &event, &bytes) == SL_OK);
        must(event != SL_MULTIPART_MORE);
        parts += event == SL_MULTIPART_PART;
        data_len += event == SL_MULTIPART_DATA ? bytes : 0;
    }
}

static void check_form(void)
{
    must(parts == 2 && data_len == BODY_BYTES + strlen("from the holidays"));
}

/* ---- fields ---- */

static unsigned members;

static void walk_dictionary(void)
{
    static const char field[] ALIGNED =
        "sha-256=:mOpuTyFvL7S2n/+bOkSEyHwzqJ4HtYV1vUFd6VzR3pU=:, unixsum=30637;q=0.5, "
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/"
        "WkppmM44T3qg==:;a=\"b\\\"c\\\"\"";
    struct sl_sf_dictionary dictionary;
    struct sl_bytes key;
    struct sl_sf_item item;
    must(sl_sf_dictionary(sl_bytes_of(field), &dictionary) == SL_OK);
    for (members = 0; sl_sf_next(&dictionary, &key, &item);)
        members++;
    must(members == 3);
}

static void read_tus_fields(void)
{
    const struct sl_bytes metadata = SL_BYTES("relativePath bnVsbA==,name aG9saWRheSBpbiBNYXkuanBn,"
                                              "type aW1hZ2UvanBlZw==,filetype aW1hZ2UvanBlZw==,"
                                              "filename aG9saWRheSBpbiBNYXkuanBn,is_confidential");
    char name[256];
    unsigned char digest[64];
    struct sl_bytes algorithm, urls, url;
    enum sl_tus_concat concat;
    size_t len;
    uint64_t offset;
    must(sl_tus_metadata_check(metadata) == SL_OK);
    must(sl_tus_metadata_find(metadata, "filename", name, sizeof name, &len) && len == 18);
    must(sl_tus_checksum(SL_BYTES("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="), &algorithm, digest, sizeof digest, &len) ==
         SL_OK);
    must(sl_tus_concat(SL_BYTES("final;/uploads/aaaaaaaaaaaaaaaaaaaaaaaaa /uploads/aaaaaaaaaaaaaaaaaaaaaaaab"),
                       &concat, &urls) == SL_OK);
    for (members = 0; sl_tus_concat_next(&urls, &url);)
        members++;
    must(sl_tus_number(SL_BYTES("1073741824"), &offset) == SL_OK);
    must(members == 2 && len == 20 && offset == 1073741824);
}

const struct path decode_paths[] = {
    {"h1-head", "parses a head of curl, 4 fields", NULL, parse_head_of_curl, check_head_of_curl, NULL},
    {"h1-head-browser", "parses a head of a browser, 16 fields", NULL, parse_head_of_browser, check_head_of_browser,
     NULL},
    {"h1-head-drip", "the same, of which a byte comes at a time", NULL, drip_head_of_browser, check_head_of_browser,
     NULL},
    {"chunked", "decodes 64 KiB in chunks of 4 KiB", lay_large_chunks, decode_chunks, check_large_chunks, NULL},
    {"chunked-small", "decodes 4 KiB in chunks of 16 bytes", lay_small_chunks, decode_chunks, check_small_chunks,
     NULL},
    {"multipart", "decodes a form of a text and a file of 64 KiB", lay_form, decode_form, check_form,
     path_needs_avx2},
    {"structured", "walks a dictionary of 3 digests", NULL, walk_dictionary, NULL, NULL},
    {"tus", "reads metadata of 6 pairs, a checksum, a concatenation and an offset", NULL, read_tus_fields, NULL,
     NULL},
    {0}};
