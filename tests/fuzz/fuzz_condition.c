/* Any bytes as the fields of a conditional request, a line each: If-Match, If-None-Match, If-Modified-Since,
 * If-Unmodified-Since, If-Range, and the ETag of the file. The first byte tells which of them are sent, whether it is a
 * read and whether the file exists; the next eight are its age and the clock. Each line is a date and a list of entity
 * tags as well. */
#include "sluice/decode/condition.h"
#include "sluice/decode/http_date.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LATEST UINT64_C(253402300799) /* the end of 9999 */

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

static void check_seconds(uint64_t seconds)
{
    char text[SL_HTTP_DATE_BYTES];
    uint64_t again;
    sl_http_date_format(seconds, text);
    require(strlen(text) == SL_HTTP_DATE_BYTES - 1);
    require(sl_http_date_parse(sl_bytes_of(text), 0, &again) && again == (seconds < LATEST ? seconds : LATEST));
}

static void check_date(struct sl_bytes text, uint64_t now_s)
{
    uint64_t seconds = UINT64_MAX;
    if (!sl_http_date_parse(text, now_s, &seconds)) {
        require(seconds == UINT64_MAX);
        return;
    }
    require(text.len >= 24 && text.len <= 33);
    require(seconds <= LATEST + 1); /* its leap second */
    check_seconds(seconds);
}

static void check_list(struct sl_bytes list, struct sl_bytes etag)
{
    bool is_strong = sl_etag_list_has(list, etag, true);
    bool is_weak = sl_etag_list_has(list, etag, false);
    require(is_weak || !is_strong);
    if (!is_weak)
        return;
    require(memmem(list.base, list.len, etag.base, etag.len) != NULL);
    /* A list stays one, and keeps what it has, with more of them; it is none with a word that is no tag. */
    size_t room = 2 * list.len + 64;
    char *copy = malloc(room);
    struct sl_text text;
    sl_text_init(&text, copy, room);
    sl_text_put(&text, SL_BYTES("W/\"\" ,\t"));
    sl_text_put(&text, list);
    sl_text_put(&text, SL_BYTES(",, "));
    sl_text_put(&text, list);
    require(!text.full);
    require(sl_etag_list_has((struct sl_bytes){text.base, text.len}, etag, true) == is_strong);
    require(sl_etag_list_has((struct sl_bytes){text.base, text.len}, etag, false));
    sl_text_put(&text, SL_BYTES(",x"));
    require(!sl_etag_list_has((struct sl_bytes){text.base, text.len}, etag, false));
    free(copy);
}

static void check_verdict(const struct sl_conditions *c, const struct sl_validator *now, bool is_read, uint64_t now_s)
{
    enum sl_verdict verdict = sl_conditions_check(c, now, is_read, now_s);
    require(verdict == SL_VERDICT_GO || verdict == SL_VERDICT_FAILED || verdict == SL_VERDICT_NOT_MODIFIED);
    require(verdict == SL_VERDICT_GO || sl_conditions_are_set(c));
    require(verdict != SL_VERDICT_NOT_MODIFIED || (is_read && now->exists));
    if (!now->exists)
        require((verdict == SL_VERDICT_FAILED) == (c->if_match.base != NULL));
    /* What a read may find unchanged, a write does not fail by a date; what fails a read fails a write. */
    enum sl_verdict write = sl_conditions_check(c, now, false, now_s);
    require(write != SL_VERDICT_NOT_MODIFIED);
    if (verdict == SL_VERDICT_NOT_MODIFIED)
        require((write == SL_VERDICT_FAILED) == (c->if_none_match.base != NULL));
    else
        require(write == verdict);

    bool holds = sl_if_range_holds(c->if_range, now, now_s);
    require(holds || c->if_range.base != NULL);
    require(!holds || c->if_range.base == NULL || now->exists);
}

/* The next line, in memory that ends where it ends. base NULL unless is_sent. */
static struct sl_bytes take_line(struct sl_bytes *rest, bool is_sent)
{
    const char *end = rest->len > 0 ? memchr(rest->base, '\n', rest->len) : NULL;
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->base);
    char *copy = malloc(len + (len == 0));
    if (len > 0)
        memcpy(copy, rest->base, len);
    size_t used = end == NULL ? len : len + 1;
    rest->base += used;
    rest->len -= used;
    if (is_sent)
        return (struct sl_bytes){copy, len};
    free(copy);
    return (struct sl_bytes){NULL, 0};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 9)
        return 0;
    uint32_t modified, later;
    memcpy(&modified, data + 1, sizeof modified);
    memcpy(&later, data + 5, sizeof later);
    uint64_t now_s = (uint64_t)modified + later;
    struct sl_bytes rest = {(const char *)data + 9, size - 9}, lines[6];
    for (unsigned i = 0; i < 6; i++)
        lines[i] = take_line(&rest, i == 5 || (data[0] >> i & 1));
    struct sl_conditions conditions = {lines[0], lines[1], lines[2], lines[3], lines[4]};
    bool exists = data[0] >> 5 & 1, is_read = data[0] >> 6 & 1;
    struct sl_validator now = {exists, exists ? lines[5] : (struct sl_bytes){NULL, 0}, exists ? modified : 0};

    check_verdict(&conditions, &now, is_read, now_s);
    check_seconds(now_s);
    check_seconds(now_s << 7);
    for (unsigned i = 0; i < 6; i++) {
        check_date(lines[i], now_s);
        check_list(lines[i], lines[5]);
    }
    for (unsigned i = 0; i < 6; i++)
        free((void *)(uintptr_t)lines[i].base);
    return 0;
}
