/* Any bytes as every field of tus and of the draft: refused, or told in spans of themselves and within bounds; what is
 * told of the pairs of one's metadata is found again by their keys. */
#include "sluice/base/base64.h"
#include "sluice/decode/resumable.h"
#include "sluice/decode/tus.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_lie_in(struct sl_bytes span, struct sl_bytes field)
{
    must(span.base >= field.base && span.base + span.len <= field.base + field.len);
}

static void must_be_visible(struct sl_bytes text)
{
    must(text.len > 0);
    for (size_t i = 0; i < text.len; i++)
        must(text.base[i] > ' ' && text.base[i] <= '~');
}

static void check_pair(struct sl_bytes field, struct sl_bytes key, struct sl_bytes value)
{
    static char name[SL_TUS_METADATA_BYTES_MAX + 1];
    must_be_visible(key);
    memcpy(name, key.base, key.len);
    name[key.len] = '\0';
    size_t room = value.len / 4 * 3, len = 0, found_len;
    char *bytes = malloc(room + 1), *found = malloc(room + 1);
    must(bytes != NULL && found != NULL && sl_base64_decode(value, bytes, room, &len));
    must(sl_tus_metadata_find(field, name, found, len, &found_len));
    must(found_len == len && memcmp(found, bytes, len) == 0);
    must(len == 0 || !sl_tus_metadata_find(field, name, found, len - 1, &found_len));
    free(bytes);
    free(found);
}

static void check_metadata(struct sl_bytes field)
{
    sl_err err = sl_tus_metadata_check(field);
    must(err == SL_OK || err == SL_BAD_FIELD || err == SL_HEAD_TOO_LARGE);
    if (err != SL_OK)
        return;
    must(field.len <= SL_TUS_METADATA_BYTES_MAX);
    struct sl_bytes rest = field, key, value;
    size_t count = 0;
    while (sl_tus_metadata_next(&rest, &key, &value)) {
        must_lie_in(key, field);
        must_lie_in(value, field);
        must_lie_in(rest, field);
        check_pair(field, key, value);
        must(++count <= SL_TUS_METADATA_PAIRS_MAX);
    }
}

static void check_checksum(struct sl_bytes field)
{
    unsigned char digest[64], fewer[64];
    struct sl_bytes algorithm;
    size_t len;
    if (sl_tus_checksum(field, &algorithm, digest, sizeof digest, &len) != SL_OK)
        return;
    must_lie_in(algorithm, field);
    must_be_visible(algorithm);
    must(len > 0 && len <= sizeof digest);
    must(sl_tus_checksum(field, &algorithm, fewer, len - 1, &len) == SL_BAD_FIELD);
}

static void check_url(struct sl_bytes url)
{
    struct sl_bytes id;
    if (!sl_tus_url_id(url, &id))
        return;
    must_lie_in(id, url);
    must(id.len > 0 && id.base >= url.base + 9 && memcmp(id.base - 9, "/uploads/", 9) == 0);
    must(memchr(id.base, '/', id.len) == NULL && memchr(id.base, '?', id.len) == NULL);
    must(memchr(id.base, '#', id.len) == NULL);
}

static void check_concat(struct sl_bytes field)
{
    enum sl_tus_concat concat;
    struct sl_bytes urls, url;
    if (sl_tus_concat(field, &concat, &urls) != SL_OK)
        return;
    size_t count = 0;
    while (sl_tus_concat_next(&urls, &url)) {
        must_lie_in(url, field);
        must_be_visible(url);
        check_url(url);
        count++;
    }
    must((concat == SL_TUS_CONCAT_FINAL) == (count > 0));
}

static void check_numbers(struct sl_bytes field)
{
    uint64_t value;
    char text[24];
    if (sl_tus_number(field, &value) == SL_OK) {
        must(value <= INT64_MAX);
        while (field.len > 1 && field.base[0] == '0')
            field.base++, field.len--;
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
        must(sl_bytes_equal(field, (struct sl_bytes){text, (size_t)len}));
    }
    bool is_number = sl_draft_number(field, &value);
    must(!is_number || value <= UINT64_C(999999999999999));
    unsigned version = sl_draft_version(field);
    must(version == 0 || (version >= 3 && version <= 8 && version != 4));
    must(version == 0 || (is_number && value == version));
}

static void check_complete(struct sl_bytes field)
{
    static const struct sl_bytes none = {NULL, 0};
    enum sl_draft_complete newer = sl_draft_complete(8, field, none), older = sl_draft_complete(3, none, field);
    must(newer == SL_DRAFT_NOT_SAID || newer == SL_DRAFT_COMPLETE || newer == SL_DRAFT_INCOMPLETE);
    must((newer == SL_DRAFT_COMPLETE) == (older == SL_DRAFT_INCOMPLETE));
    must((newer == SL_DRAFT_INCOMPLETE) == (older == SL_DRAFT_COMPLETE));
    must(sl_draft_complete(8, none, field) == SL_DRAFT_NOT_SAID);
    must(sl_draft_complete(3, field, none) == SL_DRAFT_NOT_SAID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + (size == 0));
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct sl_bytes field = {copy, size};
    check_metadata(field);
    check_checksum(field);
    check_concat(field);
    check_url(field);
    check_numbers(field);
    check_complete(field);
    free(copy);
    return 0;
}
