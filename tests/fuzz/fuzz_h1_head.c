/* Any bytes as the head of a request. The first byte of the input says in which steps the rest arrives. However they
 * do, the answer is the same; and an accepted head keeps what its header promises. */
#include "sluice/decode/h1_head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

static void require_inside(struct sl_bytes span, const char *buf, size_t len)
{
    require(span.len == 0 || (span.base >= buf && span.base + span.len <= buf + len));
}

/* No byte that could end a line or a log entry. */
static void require_no_control(struct sl_bytes span)
{
    for (size_t i = 0; i < span.len; i++)
        require(span.base[i] == '\t' || ((unsigned char)span.base[i] >= 0x20 && span.base[i] != 0x7f));
}

static void check_head(const struct sl_h1_head *head, const char *buf, size_t len)
{
    require(head->bytes <= len && head->bytes <= SL_H1_HEAD_BYTES_MAX);
    require(memcmp(buf + head->bytes - 4, "\r\n\r\n", 4) == 0);
    require_inside(head->method, buf, head->bytes);
    require_inside(head->host, buf, head->bytes);
    require(head->method.len > 0 && head->target.len > 0 && head->target.len <= SL_TARGET_BYTES_MAX);
    require(head->target.base[0] == '/' || sl_bytes_equal(head->target, SL_BYTES("*")));
    require(head->minor_version <= 1);
    require(head->host.len > 0 || head->minor_version == 0);
    require(!(head->has_length && head->is_chunked));
    require(head->content_length <= INT64_MAX && (head->has_length || head->content_length == 0));
    require(head->header_count <= SL_H1_HEADERS_MAX);
    require_no_control(head->target);
    for (size_t i = 0; i < head->header_count; i++) {
        require_inside(head->headers[i].name, buf, head->bytes);
        require_inside(head->headers[i].value, buf, head->bytes);
        require_no_control(head->headers[i].name);
        require_no_control(head->headers[i].value);
        require(head->headers[i].name.len > 0);
    }
}

static sl_err parse_in_steps(struct sl_h1_head *head, const char *buf, size_t len, size_t step)
{
    struct sl_h1_scan scan = {0};
    sl_err err = SL_AGAIN;
    for (size_t now = 0; err == SL_AGAIN && now < len;) {
        now = len - now < step ? len : now + step;
        char *copy = malloc(now); /* it ends where the bytes end, and moves at each step */
        memcpy(copy, buf, now);
        err = sl_h1_head_parse(head, &scan, copy, now);
        if (err == SL_OK) {
            check_head(head, copy, now);
            /* read again where it stays, so that the spans outlive this copy */
            scan = (struct sl_h1_scan){0};
            require(sl_h1_head_parse(head, &scan, buf, now) == SL_OK);
        }
        free(copy);
    }
    return err;
}

static void require_same(const struct sl_h1_head *a, const struct sl_h1_head *b)
{
    require(a->bytes == b->bytes && a->header_count == b->header_count && a->minor_version == b->minor_version);
    require(sl_bytes_equal(a->method, b->method) && sl_bytes_equal(a->target, b->target));
    require(sl_bytes_equal(a->host, b->host) && a->content_length == b->content_length);
    require(a->has_length == b->has_length && a->is_chunked == b->is_chunked);
    require(a->is_persistent == b->is_persistent && a->expects_continue == b->expects_continue);
    for (size_t i = 0; i < a->header_count; i++)
        require(sl_bytes_equal(a->headers[i].name, b->headers[i].name) &&
                sl_bytes_equal(a->headers[i].value, b->headers[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sl_h1_head whole, stepped;
    if (size < 2)
        return 0;
    const char *buf = (const char *)data + 1;
    size_t len = size - 1, step = (size_t)data[0] + 1;
    sl_err err = parse_in_steps(&whole, buf, len, len);
    require(parse_in_steps(&stepped, buf, len, step) == err);
    if (err == SL_OK)
        require_same(&whole, &stepped);
    return 0;
}
