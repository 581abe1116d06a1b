#include "said.h"

#include "hash/digest.h"

#include <strings.h>

#define HEAD_MAX   4096
#define BODIES_MAX 256

struct body {
    uint64_t len;
    uint8_t sha256[SL_HASH_BYTES_MAX];
};

struct speaker {
    char head[HEAD_MAX + 1];
    size_t head_len;
    bool is_in_body;
    uint64_t left, len; /* of the body */
    struct sl_digest digest;
};

static struct speaker speakers[FUZZ_CLIENTS];
static struct body bodies[BODIES_MAX];
static unsigned body_count;
static bool is_lost; /* what was said may be anything */

void said_begin(void)
{
    for (unsigned i = 0; i < FUZZ_CLIENTS; i++)
        said_is_closed(i);
    body_count = 0;
    is_lost = false;
}

void said_is_closed(unsigned client)
{
    struct speaker *speaker = &speakers[client % FUZZ_CLIENTS];
    speaker->head_len = 0;
    speaker->is_in_body = false;
}

void said_is_cut(unsigned client)
{
    is_lost = true;
}

static void end_body(struct speaker *speaker)
{
    struct sl_digests digests;
    sl_digest_end(&speaker->digest, &digests);
    speaker->is_in_body = false;
    if (body_count == BODIES_MAX) {
        is_lost = true;
        return;
    }
    bodies[body_count].len = speaker->len;
    memcpy(bodies[body_count].sha256, digests.value[SL_HASH_SHA256], sl_hash_bytes(SL_HASH_SHA256));
    body_count++;
}

static void begin_body(struct speaker *speaker, uint64_t len)
{
    speaker->head_len = 0;
    speaker->is_in_body = true;
    speaker->left = speaker->len = len;
    sl_digest_begin(&speaker->digest, 1u << SL_HASH_SHA256);
    if (len == 0)
        end_body(speaker);
}

/* Lines that end in CR LF and begin with no space; no Transfer-Encoding; at most one Content-Length, of digits. false:
 * it is not so plain. */
static bool read_head(const char *head, uint64_t *len_out)
{
    static const char length[] = "content-length:", coding[] = "transfer-encoding";
    bool has_length = false;
    *len_out = 0;
    for (const char *line = head, *end; strcmp(line, "\r\n") != 0; line = end + 1) {
        end = strchr(line, '\n');
        if (end == NULL || end <= line + 1 || end[-1] != '\r' || *line == ' ' || *line == '\t')
            return false;
        if (strncasecmp(line, coding, sizeof coding - 1) == 0)
            return false;
        if (strncasecmp(line, length, sizeof length - 1) != 0)
            continue;
        struct sl_bytes value = {line + sizeof length - 1, (size_t)(end - 1 - line) - (sizeof length - 1)};
        if (has_length || !sl_bytes_to_u64(sl_bytes_trim(value), len_out))
            return false;
        has_length = true;
    }
    return strstr(head, " HTTP/1.") != NULL;
}

static size_t say_head(struct speaker *speaker, const uint8_t *bytes)
{
    uint64_t len;
    if (speaker->head_len == HEAD_MAX || *bytes == '\0') {
        is_lost = true;
        return 1;
    }
    speaker->head[speaker->head_len++] = (char)*bytes;
    speaker->head[speaker->head_len] = '\0';
    bool is_over = speaker->head_len >= 4 && memcmp(speaker->head + speaker->head_len - 4, "\r\n\r\n", 4) == 0;
    if (!is_over)
        return 1;
    if (read_head(speaker->head, &len))
        begin_body(speaker, len);
    else
        is_lost = true;
    return 1;
}

static size_t say_body(struct speaker *speaker, const uint8_t *bytes, size_t len)
{
    if (len > speaker->left)
        len = (size_t)speaker->left;
    sl_digest_update(&speaker->digest, bytes, len);
    speaker->left -= len;
    if (speaker->left == 0)
        end_body(speaker);
    return len;
}

void said(unsigned client, const uint8_t *bytes, size_t len)
{
    struct speaker *speaker = &speakers[client % FUZZ_CLIENTS];
    while (len > 0 && !is_lost) {
        size_t n = speaker->is_in_body ? say_body(speaker, bytes, len) : say_head(speaker, bytes);
        bytes += n;
        len -= n;
    }
}

void said_check_stored(struct sl_request *request, const char *bytes, size_t len)
{
    struct sl_digests found;
    bool is_whole = sl_request_is_method(request, "PUT") || sl_request_is_method(request, "POST");
    if (is_lost || !is_whole || sl_request_has_type(request, "multipart/form-data"))
        return;
    sl_hash_now(1u << SL_HASH_SHA256, bytes, len, &found);
    for (unsigned i = 0; i < body_count; i++)
        if (bodies[i].len == len &&
            memcmp(bodies[i].sha256, found.value[SL_HASH_SHA256], sl_hash_bytes(SL_HASH_SHA256)) == 0)
            return;
    must(!"what is stored was sent");
}
