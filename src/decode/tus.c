/* The fields of tus 1.0.0, between the header lines of a request and the uploads they speak of. Pure, any thread. The
 * protocol's text gives no grammar, so what clients send is read strictly but for spaces around a comma, which a proxy
 * that joins lines puts there. It knows no algorithm and no upload, nor what a length means. */
#include "sluice/decode/tus.h"

#include "sluice/base/base64.h"
#include "token.h"

#include <assert.h>

static struct sl_bytes trim_spaces(struct sl_bytes s)
{
    while (s.len > 0 && s.base[0] == ' ')
        s.base++, s.len--;
    while (s.len > 0 && s.base[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* What stands before the next `separator`, which goes with it; false: there is none, and all of `rest` goes. */
static bool take_until(struct sl_bytes *rest, char separator, struct sl_bytes *piece_out)
{
    const char *end = rest->len > 0 ? memchr(rest->base, separator, rest->len) : NULL;
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->base);
    size_t used = end == NULL ? len : len + 1;
    *piece_out = (struct sl_bytes){rest->base, len};
    *rest = (struct sl_bytes){used > 0 ? rest->base + used : rest->base, rest->len - used};
    return end != NULL;
}

static bool is_visible(struct sl_bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.base[i] <= ' ' || s.base[i] > '~')
            return false;
    return true;
}

/* --- Upload-Metadata --- */

/* key [ " " [ base64 ] ] */
static void split_pair(struct sl_bytes pair, struct sl_bytes *key_out, struct sl_bytes *value_out)
{
    *value_out = trim_spaces(pair);
    (void)take_until(value_out, ' ', key_out);
}

static bool is_base64(struct sl_bytes value)
{
    char bytes[SL_TUS_METADATA_BYTES_MAX];
    size_t len;
    return sl_base64_decode(value, bytes, sizeof bytes, &len);
}

static bool is_among(struct sl_bytes key, const struct sl_bytes *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sl_bytes_equal(key, keys[i]))
            return true;
    return false;
}

sl_err sl_tus_metadata_check(struct sl_bytes field)
{
    if (field.len > SL_TUS_METADATA_BYTES_MAX)
        return SL_HEAD_TOO_LARGE;
    struct sl_bytes rest = field, keys[SL_TUS_METADATA_PAIRS_MAX], pair, key, value;
    if (trim_spaces(field).len == 0)
        return SL_OK;
    size_t count = 0;
    bool has_more;
    do {
        has_more = take_until(&rest, ',', &pair);
        split_pair(pair, &key, &value);
        if (key.len == 0 || !is_visible(key) || !is_base64(value) || is_among(key, keys, count))
            return SL_BAD_FIELD;
        if (count == SL_TUS_METADATA_PAIRS_MAX)
            return SL_HEAD_TOO_LARGE;
        keys[count++] = key;
    } while (has_more);
    return SL_OK;
}

bool sl_tus_metadata_next(struct sl_bytes *rest, struct sl_bytes *key_out, struct sl_bytes *value_out)
{
    if (trim_spaces(*rest).len == 0)
        return false;
    struct sl_bytes pair;
    (void)take_until(rest, ',', &pair);
    split_pair(pair, key_out, value_out);
    assert(key_out->len > 0); /* sl_tus_metadata_check looked at all of them */
    return true;
}

bool sl_tus_metadata_find(struct sl_bytes field, const char *key, char *out, size_t room, size_t *len_out)
{
    struct sl_bytes rest = field, found, value;
    while (sl_tus_metadata_next(&rest, &found, &value))
        if (sl_bytes_equal(found, sl_bytes_of(key)))
            return sl_base64_decode(value, out, room, len_out);
    return false;
}

/* --- Upload-Checksum --- */

sl_err sl_tus_checksum(struct sl_bytes field, struct sl_bytes *algorithm_out, unsigned char *digest_out, size_t room,
                       size_t *digest_len_out)
{
    struct sl_bytes rest = trim_spaces(field);
    if (!take_until(&rest, ' ', algorithm_out) || algorithm_out->len == 0)
        return SL_BAD_FIELD;
    for (size_t i = 0; i < algorithm_out->len; i++)
        if (!sl_is_token_byte((unsigned char)algorithm_out->base[i]))
            return SL_BAD_FIELD;
    return sl_base64_decode(rest, digest_out, room, digest_len_out) ? SL_OK : SL_BAD_FIELD;
}

/* --- Upload-Concat --- */

sl_err sl_tus_concat(struct sl_bytes field, enum sl_tus_concat *concat_out, struct sl_bytes *urls_out)
{
    *concat_out = SL_TUS_CONCAT_PARTIAL;
    *urls_out = (struct sl_bytes){NULL, 0};
    struct sl_bytes rest = trim_spaces(field), word, urls, url;
    bool has_more = take_until(&rest, ';', &word);
    if (!has_more)
        return sl_bytes_equal(word, SL_BYTES("partial")) ? SL_OK : SL_BAD_FIELD;
    *concat_out = SL_TUS_CONCAT_FINAL;
    *urls_out = urls = trim_spaces(rest);
    if (!sl_bytes_equal(word, SL_BYTES("final")) || urls.len == 0)
        return SL_BAD_FIELD;
    while (sl_tus_concat_next(&urls, &url))
        if (!is_visible(url))
            return SL_BAD_FIELD;
    return SL_OK;
}

bool sl_tus_concat_next(struct sl_bytes *urls, struct sl_bytes *url_out)
{
    *urls = trim_spaces(*urls);
    if (urls->len == 0)
        return false;
    (void)take_until(urls, ' ', url_out);
    return true;
}

/* The path of a URL that is absolute, begins with two slashes, or is a path alone (RFC 3986 section 4.1). */
static struct sl_bytes path_of(struct sl_bytes url)
{
    struct sl_bytes path, query, authority;
    (void)take_until(&url, '#', &path);
    query = path;
    (void)take_until(&query, '?', &path);
    const char *slashes = path.len > 1 ? memmem(path.base, path.len, "//", 2) : NULL;
    if (slashes == NULL || (slashes != path.base && slashes[-1] != ':'))
        return path;
    size_t used = (size_t)(slashes - path.base) + 2;
    path = (struct sl_bytes){slashes + 2, path.len - used};
    if (!take_until(&path, '/', &authority))
        return path;
    return (struct sl_bytes){path.base - 1, path.len + 1};
}

bool sl_tus_url_id(struct sl_bytes url, struct sl_bytes *id_out)
{
    static const struct sl_bytes folder = {"/uploads/", sizeof "/uploads/" - 1};
    struct sl_bytes path = path_of(url);
    const char *slash = path.len > 0 ? memrchr(path.base, '/', path.len) : NULL;
    if (slash == NULL)
        return false;
    size_t before = (size_t)(slash - path.base) + 1;
    *id_out = (struct sl_bytes){slash + 1, path.len - before};
    return id_out->len > 0 && before >= folder.len &&
           sl_bytes_equal((struct sl_bytes){slash + 1 - folder.len, folder.len}, folder);
}

/* --- Upload-Length, Upload-Offset --- */

sl_err sl_tus_number(struct sl_bytes field, uint64_t *value_out)
{
    uint64_t value;
    if (!sl_bytes_to_u64(field, &value) || value > INT64_MAX)
        return SL_BAD_FIELD;
    *value_out = value;
    return SL_OK;
}
