#include "representation.h"

#include "sluice/base/base64.h"
#include "sluice/base/clock.h"
#include "sluice/decode/disposition.h"
#include "sluice/decode/http_date.h"
#include "sluice/decode/media_type.h"
#include "sluice/decode/structured.h"
#include "sluice/http/http.h"

#include <assert.h>

#define UNKNOWN_TYPE SL_BYTES("application/octet-stream")

/* ---- the media type ---- */

/* What h2o's table is too old, or too short, to know. */
static const struct {
    const char *extension, *type;
} more_types[] = {
    {"aac", "audio/aac"},        {"avif", "image/avif"},      {"bz2", "application/x-bzip2"},
    {"flac", "audio/flac"},      {"gz", "application/gzip"},  {"heic", "image/heic"},
    {"log", "text/plain"},       {"mjs", "text/javascript"},  {"mkv", "video/x-matroska"},
    {"oga", "audio/ogg"},        {"ogv", "video/ogg"},        {"tar", "application/x-tar"},
    {"tgz", "application/gzip"}, {"vtt", "text/vtt"},         {"wasm", "application/wasm"},
    {"wav", "audio/wav"},        {"xz", "application/x-xz"},  {"yaml", "application/yaml"},
    {"yml", "application/yaml"}, {"zst", "application/zstd"},
};

/* A type that says no more than that these are bytes. */
static bool says_nothing(struct sl_bytes type)
{
    const char *semicolon = type.len == 0 ? NULL : memchr(type.base, ';', type.len);
    struct sl_bytes essence =
        sl_bytes_trim((struct sl_bytes){type.base, semicolon == NULL ? type.len : (size_t)(semicolon - type.base)});
    return essence.len == 0 || sl_bytes_equal_nocase(essence, UNKNOWN_TYPE) ||
           sl_bytes_equal_nocase(essence, SL_BYTES("application/x-www-form-urlencoded"));
}

static struct sl_bytes last_segment(struct sl_bytes path)
{
    const char *slash = path.len == 0 ? NULL : memrchr(path.base, '/', path.len);
    if (slash == NULL)
        return path;
    size_t skip = (size_t)(slash - path.base) + 1;
    return (struct sl_bytes){path.base + skip, path.len - skip};
}

static struct sl_bytes type_by_extension(struct sl_request *request, struct sl_bytes name)
{
    struct sl_bytes leaf = last_segment(name);
    const char *dot = leaf.len == 0 ? NULL : memrchr(leaf.base, '.', leaf.len);
    if (dot == NULL || dot == leaf.base)
        return UNKNOWN_TYPE;
    struct sl_bytes extension = {dot + 1, leaf.len - (size_t)(dot + 1 - leaf.base)};
    for (size_t i = 0; i < sizeof more_types / sizeof more_types[0]; i++)
        if (sl_bytes_equal_nocase(extension, sl_bytes_of(more_types[i].extension)))
            return sl_bytes_of(more_types[i].type);
    h2o_mimemap_type_t *found = h2o_mimemap_get_type_by_extension(request->http->config.mimemap,
                                                                  h2o_iovec_init(extension.base, extension.len));
    if (found->type != H2O_MIMEMAP_TYPE_MIMETYPE)
        return UNKNOWN_TYPE;
    return (struct sl_bytes){found->data.mimetype.base, found->data.mimetype.len};
}

struct sl_bytes sl_media_type_of(struct sl_request *request, struct sl_bytes stored, struct sl_bytes name)
{
    if (!says_nothing(stored) && sl_media_type_is_valid(stored))
        return stored;
    return type_by_extension(request, name);
}

static struct sl_bytes name_of(const struct sl_store_reader *reader, const struct sl_path *path)
{
    return reader->meta.name.len > 0 ? reader->meta.name : last_segment((struct sl_bytes){path->text, path->len});
}

struct sl_bytes sl_representation_type(struct sl_request *request, const struct sl_store_reader *reader,
                                       const struct sl_path *path)
{
    return sl_media_type_of(request, reader->meta.type, name_of(reader, path));
}

/* ---- digests ---- */

struct sl_digest_wish sl_digest_wish_of(struct sl_request *request)
{
    static const struct sl_digest_wish any = {.is_any = true};
    struct sl_bytes field = sl_request_header_list(request, "want-repr-digest"), key;
    struct sl_digest_wish wish = {.is_any = false};
    struct sl_sf_dictionary wanted;
    struct sl_sf_item item;
    if (field.base == NULL || sl_sf_dictionary(field, &wanted) != SL_OK)
        return any;
    memset(wish.preference, -1, sizeof wish.preference);
    while (sl_sf_next(&wanted, &key, &item)) {
        enum sl_hash_alg alg;
        if (item.kind != SL_SF_INTEGER || item.integer < 0 || item.integer > 10)
            return any;
        if (sl_hash_find(key, &alg))
            wish.preference[alg] = (int8_t)item.integer; /* of a key that comes twice, the last counts */
    }
    return wish;
}

sl_hash_set sl_wanted_digests(const struct sl_digest_wish *wish, const struct sl_digests *digests)
{
    sl_hash_set chosen = 0;
    int8_t best = 0;
    if (wish->is_any)
        return digests->set;
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        if ((digests->set & 1u << alg) != 0 && wish->preference[alg] > best)
            best = wish->preference[alg];
    if (best == 0)
        best = -1; /* nothing it likes is there: then what it has no opinion on */
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        if (wish->preference[alg] == best)
            chosen |= 1u << alg;
    return chosen & digests->set;
}

void sl_reply_repr_digest(struct sl_request *request, const struct sl_digests *digests)
{
    char room[SL_HASH_ALGS * (16 + SL_BASE64_LEN(SL_HASH_BYTES_MAX))], encoded[SL_BASE64_LEN(SL_HASH_BYTES_MAX)];
    struct sl_digest_wish wish = sl_digest_wish_of(request);
    sl_hash_set wanted = sl_wanted_digests(&wish, digests);
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++) {
        if ((wanted & 1u << alg) == 0)
            continue;
        size_t len = sl_base64_encode(encoded, digests->value[alg], sl_hash_bytes(alg));
        sl_text_printf(&text, "%s%s=:%.*s:", text.len > 0 ? ", " : "", sl_hash_name(alg), (int)len, encoded);
    }
    assert(!text.full);
    if (text.len > 0)
        sl_reply_header(request, "repr-digest", (struct sl_bytes){text.base, text.len});
}

/* ---- all of them ---- */

static void add_last_modified(struct sl_request *request, uint64_t modified_ns)
{
    char text[SL_HTTP_DATE_BYTES];
    uint64_t now_ns = sl_clock_wall_ns(); /* never later than the answer (RFC 9110 section 8.8.2.1) */
    sl_http_date_format((modified_ns < now_ns ? modified_ns : now_ns) / SL_SEC, text);
    sl_reply_header(request, "last-modified", sl_bytes_of(text));
}

static void add_disposition(struct sl_request *request, const struct sl_store_reader *reader,
                            const struct sl_path *path)
{
    struct sl_bytes name = name_of(reader, path);
    bool is_attachment =
        reader->meta.is_attachment || !sl_media_type_is_inert(sl_representation_type(request, reader, path));
    size_t room = 64 + 4 * name.len; /* once as it is, once each byte as %XX */
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_disposition_put(&text, is_attachment, name);
    assert(!text.full);
    sl_reply_header(request, "content-disposition", (struct sl_bytes){text.base, text.len});
}

void sl_representation_headers(struct sl_request *request, const struct sl_store_reader *reader,
                               const struct sl_path *path, int status, struct sl_bytes content_type)
{
    sl_reply_header(request, "etag", sl_bytes_of(reader->etag));
    add_last_modified(request, reader->modified_ns);
    /* A name may be overwritten: ask whether it was, each time. */
    sl_reply_header(request, "cache-control", SL_BYTES("no-cache"));
    if (status == 304)
        return;
    sl_reply_header(request, "accept-ranges", SL_BYTES("bytes"));
    sl_reply_repr_digest(request, &reader->meta.digests);
    if (content_type.len == 0)
        content_type = sl_representation_type(request, reader, path);
    sl_reply_header(request, "content-type", content_type);
    add_disposition(request, reader, path);
    sl_reply_header(request, "x-content-type-options", SL_BYTES("nosniff"));
    /* Whatever was uploaded, it runs nothing and reaches nothing; the browser's own viewers may still show it. */
    sl_reply_header(
        request, "content-security-policy",
        SL_BYTES("sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"));
}
