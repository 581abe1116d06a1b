/* A small reader of HTTP/1.1 answers (RFC 9112 section 4 and 6). It trusts its own server more than a real client
 * may: trailers are skipped, unknown fields too. */
#include "load_reply.h"

#include "sluice/base/bytes.h"

#include <assert.h>
#include <stdlib.h>

void sl_load_reply_reset(struct sl_load_reply *reply)
{
    *reply = (struct sl_load_reply){0};
}

/* Collects a line over as many feeds as it takes. true: reply->line holds it, without its end. */
static bool take_line(struct sl_load_reply *reply, const char *bytes, size_t len, size_t *used)
{
    while (*used < len) {
        char c = bytes[(*used)++];
        if (c == '\n')
            return true;
        if (c != '\r' && reply->line_len < SL_LOAD_LINE_MAX)
            reply->line[reply->line_len++] = c;
    }
    return false;
}

static bool read_status(struct sl_load_reply *reply)
{
    const char *line = reply->line;
    uint64_t status;
    if (reply->line_len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    if (!sl_bytes_to_u64((struct sl_bytes){line + 9, 3}, &status) || status < 100 || status > 599)
        return false;
    reply->status = (int)status;
    reply->closes = line[7] == '0';
    return true;
}

/* The path of a URL (or what is one already), if there is room for it and it can stand in a request line. */
static void read_location(struct sl_load_reply *reply, struct sl_bytes value)
{
    const char *end = value.base + value.len, *path = value.base;
    if (value.len > 7 && (memcmp(path, "http://", 7) == 0 || memcmp(path, "https:/", 7) == 0))
        path = memchr(path + 8, '/', value.len - 8);
    if (path == NULL || path == end || *path != '/' || end - path >= SL_LOAD_LOCATION_MAX)
        return;
    for (const char *c = path; c < end; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return;
    memcpy(reply->location, path, (size_t)(end - path));
    reply->location[end - path] = '\0';
}

static bool read_field(struct sl_load_reply *reply)
{
    const char *colon = memchr(reply->line, ':', reply->line_len);
    if (colon == NULL)
        return false;
    struct sl_bytes name = {reply->line, (size_t)(colon - reply->line)};
    struct sl_bytes value = sl_bytes_trim((struct sl_bytes){colon + 1, reply->line_len - name.len - 1});
    if (sl_bytes_equal_nocase(name, SL_BYTES("content-length"))) {
        reply->has_length = true;
        return sl_bytes_to_u64(value, &reply->left);
    }
    if (sl_bytes_equal_nocase(name, SL_BYTES("location")))
        read_location(reply, value);
    if (sl_bytes_equal_nocase(name, SL_BYTES("transfer-encoding")))
        reply->chunked = sl_bytes_equal_nocase(value, SL_BYTES("chunked"));
    if (sl_bytes_equal_nocase(name, SL_BYTES("connection")) && sl_bytes_equal_nocase(value, SL_BYTES("close")))
        reply->closes = true;
    return true;
}

/* The empty line behind the fields: what follows? RFC 9112 section 6.3. */
static enum sl_load_reply_event end_head(struct sl_load_reply *reply)
{
    if (reply->status < 200) {
        bool is_continue = reply->status == 100;
        sl_load_reply_reset(reply);
        return is_continue ? SL_LOAD_REPLY_CONTINUE : SL_LOAD_REPLY_MORE;
    }
    if (reply->status == 204 || reply->status == 304 || (!reply->chunked && reply->has_length && reply->left == 0)) {
        reply->state = SL_LOAD_REPLY_OVER;
        return SL_LOAD_REPLY_DONE;
    }
    reply->state = reply->chunked      ? SL_LOAD_REPLY_CHUNK_SIZE
                   : reply->has_length ? SL_LOAD_REPLY_COUNTED
                                       : SL_LOAD_REPLY_TO_CLOSE;
    reply->closes |= reply->state == SL_LOAD_REPLY_TO_CLOSE;
    return SL_LOAD_REPLY_MORE;
}

static bool read_chunk_size(struct sl_load_reply *reply)
{
    char text[17] = "";
    size_t digits = 0;
    while (digits < reply->line_len && digits < 16 && strchr("0123456789abcdefABCDEF", reply->line[digits]) != NULL)
        digits++;
    memcpy(text, reply->line, digits);
    reply->left = strtoull(text, NULL, 16);
    reply->state = reply->left > 0 ? SL_LOAD_REPLY_CHUNK : SL_LOAD_REPLY_TRAILER;
    return digits > 0;
}

/* A whole line has come. */
static enum sl_load_reply_event on_line(struct sl_load_reply *reply)
{
    enum sl_load_reply_event event = SL_LOAD_REPLY_MORE;
    bool is_empty = reply->line_len == 0, good = true;
    switch (reply->state) {
    case SL_LOAD_REPLY_STATUS:
        good = read_status(reply);
        reply->state = SL_LOAD_REPLY_FIELDS;
        break;
    case SL_LOAD_REPLY_FIELDS:
        if (is_empty)
            event = end_head(reply);
        else
            good = read_field(reply);
        break;
    case SL_LOAD_REPLY_CHUNK_SIZE: good = read_chunk_size(reply); break;
    case SL_LOAD_REPLY_CHUNK_END:
        good = is_empty;
        reply->state = SL_LOAD_REPLY_CHUNK_SIZE;
        break;
    case SL_LOAD_REPLY_TRAILER:
        if (is_empty) {
            reply->state = SL_LOAD_REPLY_OVER;
            event = SL_LOAD_REPLY_DONE;
        }
        break;
    case SL_LOAD_REPLY_COUNTED:
    case SL_LOAD_REPLY_TO_CLOSE:
    case SL_LOAD_REPLY_CHUNK:
    case SL_LOAD_REPLY_OVER: abort(); /* not made of lines */
    }
    reply->line_len = 0;
    return good ? event : SL_LOAD_REPLY_BAD;
}

uint64_t sl_load_reply_droppable(const struct sl_load_reply *reply)
{
    switch (reply->state) {
    case SL_LOAD_REPLY_COUNTED: return reply->left;
    case SL_LOAD_REPLY_CHUNK: return reply->left;
    case SL_LOAD_REPLY_TO_CLOSE: return UINT64_MAX;
    case SL_LOAD_REPLY_STATUS:
    case SL_LOAD_REPLY_FIELDS:
    case SL_LOAD_REPLY_CHUNK_SIZE:
    case SL_LOAD_REPLY_CHUNK_END:
    case SL_LOAD_REPLY_TRAILER:
    case SL_LOAD_REPLY_OVER: return 0;
    }
    return 0;
}

enum sl_load_reply_event sl_load_reply_dropped(struct sl_load_reply *reply, uint64_t bytes)
{
    assert(bytes <= sl_load_reply_droppable(reply));
    reply->body_bytes += bytes;
    if (reply->state == SL_LOAD_REPLY_TO_CLOSE)
        return SL_LOAD_REPLY_MORE;
    reply->left -= bytes;
    if (reply->left > 0)
        return SL_LOAD_REPLY_MORE;
    bool is_over = reply->state == SL_LOAD_REPLY_COUNTED;
    reply->state = is_over ? SL_LOAD_REPLY_OVER : SL_LOAD_REPLY_CHUNK_END;
    return is_over ? SL_LOAD_REPLY_DONE : SL_LOAD_REPLY_MORE;
}

enum sl_load_reply_event sl_load_reply_feed(struct sl_load_reply *reply, const char *bytes, size_t len,
                                            size_t *used_out)
{
    enum sl_load_reply_event event = SL_LOAD_REPLY_MORE;
    *used_out = 0;
    assert(reply->state != SL_LOAD_REPLY_OVER);
    while (*used_out < len && event == SL_LOAD_REPLY_MORE) {
        uint64_t drop = sl_load_reply_droppable(reply);
        if (drop > 0) {
            uint64_t step = drop < len - *used_out ? drop : len - *used_out;
            *used_out += step;
            event = sl_load_reply_dropped(reply, step);
        } else if (take_line(reply, bytes, len, used_out)) {
            event = on_line(reply);
        }
    }
    return event;
}

bool sl_load_reply_ends_with_close(const struct sl_load_reply *reply)
{
    return reply->state == SL_LOAD_REPLY_TO_CLOSE;
}
