/* Digests told by headers. Whatever a sender tells is checked or refused: it would be worse to be believed to have
 * checked. */
#include "integrity.h"

#include "sluice/base/base64.h"
#include "sluice/decode/structured.h"

#include <h2o.h>

#define AMZ_PREFIX          SL_BYTES("x-amz-checksum-")
#define AMZ_CONTENT_HEX_LEN 64

/* The names of x-amz-checksum-* that are known to be used; of a part only named headers are kept. */
const char *const sl_integrity_headers[] = {"content-digest",
                                            "repr-digest",
                                            "content-md5",
                                            "x-file-hash",
                                            "x-file-hash-function",
                                            "x-amz-checksum-sha256",
                                            "x-amz-checksum-sha1",
                                            "x-amz-checksum-crc32c",
                                            "x-amz-checksum-crc32",
                                            "x-amz-checksum-crc64nvme",
                                            "x-amz-content-sha256",
                                            "digest",
                                            NULL};

/* A digest of the right length: 64 bytes, and one more to see that it is too long. */
struct told {
    uint8_t value[SL_HASH_BYTES_MAX + 1];
    size_t len;
};

static sl_err promise(struct sl_digests *promised, enum sl_hash_alg alg, const struct told *told)
{
    if (told->len != sl_hash_bytes(alg))
        return SL_BAD_DIGEST;
    if ((promised->set & (1u << alg)) && memcmp(promised->value[alg], told->value, told->len) != 0)
        return SL_BAD_DIGEST; /* the bytes cannot be both */
    promised->set |= 1u << alg;
    memcpy(promised->value[alg], told->value, told->len);
    return SL_OK;
}

static sl_err promise_base64(struct sl_digests *promised, enum sl_hash_alg alg, struct sl_bytes text)
{
    struct told told;
    if (!sl_base64_decode(text, told.value, sizeof told.value, &told.len))
        return SL_BAD_DIGEST;
    return promise(promised, alg, &told);
}

/* ---- Content-Digest, Repr-Digest ---- */

/* The padding of a byte sequence may be missing (RFC 9651 section 4.2.7). */
static sl_err promise_sequence(struct sl_digests *promised, enum sl_hash_alg alg, struct sl_bytes text)
{
    char padded[SL_BASE64_LEN(SL_HASH_BYTES_MAX)];
    if (text.len == 0 || text.len > sizeof padded)
        return SL_BAD_DIGEST;
    memcpy(padded, text.base, text.len);
    while (text.len % 4 != 0)
        padded[text.len++] = '=';
    return promise_base64(promised, alg, (struct sl_bytes){padded, text.len});
}

/* One line of a dictionary. Counts its members and those that are known. An algorithm told twice is to be told alike,
 * though a dictionary's last member would count: nobody who tells two means one of them. */
static sl_err parse_dictionary(struct sl_bytes value, struct sl_digests *promised, size_t *members, size_t *known)
{
    struct sl_sf_dictionary dictionary;
    struct sl_bytes key;
    struct sl_sf_item item;
    if (sl_sf_dictionary(value, &dictionary) != SL_OK)
        return SL_BAD_DIGEST;
    while (sl_sf_next(&dictionary, &key, &item)) {
        enum sl_hash_alg alg;
        ++*members;
        if (item.kind != SL_SF_BYTES)
            return SL_BAD_DIGEST;
        if (!sl_hash_find(key, &alg))
            continue;
        ++*known;
        sl_err err = promise_sequence(promised, alg, item.text);
        if (err != SL_OK)
            return err;
    }
    return SL_OK;
}

static sl_err parse_digest_field(const struct sl_header_line *lines, size_t count, struct sl_bytes name,
                                 struct sl_digests *promised)
{
    size_t members = 0, known = 0;
    bool is_there = false;
    for (size_t i = 0; i < count; i++) {
        if (!sl_bytes_equal(lines[i].name, name))
            continue;
        is_there = true;
        sl_err err = parse_dictionary(lines[i].value, promised, &members, &known);
        if (err != SL_OK)
            return err;
    }
    if (is_there && members == 0)
        return SL_BAD_DIGEST; /* the header of a script whose digest came out empty */
    return members > 0 && known == 0 ? SL_DIGEST_UNSUPPORTED : SL_OK;
}

/* ---- X-File-Hash ---- */

static sl_err promise_hex(struct sl_digests *promised, enum sl_hash_alg alg, struct sl_bytes text)
{
    struct told told = {.len = text.len / 2};
    if (text.len % 2 != 0 || told.len > SL_HASH_BYTES_MAX)
        return SL_BAD_DIGEST;
    if (h2o_hex_decode(told.value, text.base, text.len) != 0)
        return SL_BAD_DIGEST;
    return promise(promised, alg, &told);
}

static bool find_function(struct sl_bytes name, enum sl_hash_alg *alg_out)
{
    static const struct {
        const char *name;
        enum sl_hash_alg alg;
    } names[] = {
        {"sha256", SL_HASH_SHA256}, {"sha512", SL_HASH_SHA512}, {"sha1", SL_HASH_SHA1}, {"sha-1", SL_HASH_SHA1}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (sl_bytes_equal_nocase(name, sl_bytes_of(names[i].name))) {
            *alg_out = names[i].alg;
            return true;
        }
    }
    return sl_hash_find(name, alg_out);
}

/* The function is told apart from the hash, and counts for every one of them. */
static sl_err parse_file_hash(const struct sl_header_line *lines, size_t count, struct sl_digests *promised)
{
    enum sl_hash_alg alg = SL_HASH_SHA256, other;
    bool is_known = true, has_function = false;
    for (size_t i = 0; i < count; i++) {
        if (!sl_bytes_equal(lines[i].name, SL_BYTES("x-file-hash-function")))
            continue;
        bool is_found = find_function(sl_bytes_trim(lines[i].value), &other);
        if (has_function && (!is_found || !is_known || other != alg))
            return SL_BAD_DIGEST;
        has_function = true;
        is_known = is_found;
        alg = is_found ? other : alg;
    }
    for (size_t i = 0; i < count; i++) {
        if (!sl_bytes_equal(lines[i].name, SL_BYTES("x-file-hash")))
            continue;
        if (!is_known)
            return SL_DIGEST_UNSUPPORTED;
        sl_err err = promise_hex(promised, alg, sl_bytes_trim(lines[i].value));
        if (err != SL_OK)
            return err;
    }
    return SL_OK;
}

/* ---- the rest, a line at a time ---- */

static bool is_amz(struct sl_bytes name)
{
    return name.len > AMZ_PREFIX.len && memcmp(name.base, AMZ_PREFIX.base, AMZ_PREFIX.len) == 0;
}

/* What else begins like that and is no checksum. */
static bool is_amz_word(struct sl_bytes rest)
{
    return sl_bytes_equal(rest, SL_BYTES("type")) || sl_bytes_equal(rest, SL_BYTES("algorithm")) ||
           sl_bytes_equal(rest, SL_BYTES("mode"));
}

static sl_err parse_amz(const struct sl_header_line *line, struct sl_digests *promised)
{
    static const struct {
        const char *name;
        enum sl_hash_alg alg;
    } names[] = {
        {"sha256", SL_HASH_SHA256}, {"sha1", SL_HASH_SHA1}, {"crc32c", SL_HASH_CRC32C}, {"crc32", SL_HASH_CRC32}};
    struct sl_bytes rest = {line->name.base + AMZ_PREFIX.len, line->name.len - AMZ_PREFIX.len};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sl_bytes_equal(rest, sl_bytes_of(names[i].name)))
            return promise_base64(promised, names[i].alg, sl_bytes_trim(line->value));
    return is_amz_word(rest) ? SL_OK : SL_DIGEST_UNSUPPORTED;
}

/* In hex, or a word that says that the digest comes otherwise or not at all ("UNSIGNED-PAYLOAD"). */
static sl_err parse_amz_content(struct sl_bytes value, struct sl_digests *promised)
{
    value = sl_bytes_trim(value);
    return value.len == AMZ_CONTENT_HEX_LEN ? promise_hex(promised, SL_HASH_SHA256, value) : SL_OK;
}

/* "SHA-256=base64, MD5=base64" (RFC 3230), which RFC 9530 has replaced and many still send. */
static sl_err parse_old_digest(struct sl_bytes value, struct sl_digests *promised)
{
    bool is_known = false;
    if (sl_bytes_trim(value).len == 0)
        return SL_BAD_DIGEST;
    while (value.len > 0) {
        const char *comma = memchr(value.base, ',', value.len);
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.base);
        struct sl_bytes one = sl_bytes_trim((struct sl_bytes){value.base, len});
        const char *equals = one.len == 0 ? NULL : memchr(one.base, '=', one.len);
        if (equals == NULL)
            return SL_BAD_DIGEST;
        size_t name_len = (size_t)(equals - one.base);
        enum sl_hash_alg alg;
        if (sl_hash_find((struct sl_bytes){one.base, name_len}, &alg)) {
            struct sl_bytes text = {equals + 1, one.len - name_len - 1};
            sl_err err = promise_base64(promised, alg, text);
            if (err != SL_OK)
                return err;
            is_known = true;
        }
        size_t used = comma == NULL ? value.len : len + 1;
        value = (struct sl_bytes){value.base + used, value.len - used};
    }
    return is_known ? SL_OK : SL_DIGEST_UNSUPPORTED;
}

static sl_err parse_line(const struct sl_header_line *line, struct sl_digests *promised)
{
    if (sl_bytes_equal(line->name, SL_BYTES("content-md5")))
        return promise_base64(promised, SL_HASH_MD5, sl_bytes_trim(line->value));
    if (sl_bytes_equal(line->name, SL_BYTES("x-amz-content-sha256")))
        return parse_amz_content(line->value, promised);
    if (sl_bytes_equal(line->name, SL_BYTES("digest")))
        return parse_old_digest(line->value, promised);
    return is_amz(line->name) ? parse_amz(line, promised) : SL_OK;
}

sl_err sl_integrity_parse(const struct sl_header_line *lines, size_t count, struct sl_digests *promised_out)
{
    promised_out->set = 0;
    sl_err err = parse_digest_field(lines, count, SL_BYTES("content-digest"), promised_out);
    if (err == SL_OK)
        err = parse_digest_field(lines, count, SL_BYTES("repr-digest"), promised_out);
    if (err == SL_OK)
        err = parse_file_hash(lines, count, promised_out);
    for (size_t i = 0; i < count && err == SL_OK; i++)
        err = parse_line(&lines[i], promised_out);
    return err;
}

/* ---- where they come from ---- */

static bool is_of_concern(struct sl_bytes name)
{
    for (const char *const *known = sl_integrity_headers; *known != NULL; known++)
        if (sl_bytes_equal_nocase(name, sl_bytes_of(*known)))
            return true;
    return is_amz(name);
}

/* A digest that is to follow the body: trailers are not looked at, so it would not be checked. */
static bool is_told_in_trailer(struct sl_request *request)
{
    struct sl_bytes list = sl_request_header_list(request, "trailer");
    while (list.len > 0) {
        const char *comma = memchr(list.base, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.base);
        if (is_of_concern(sl_bytes_trim((struct sl_bytes){list.base, len})))
            return true;
        size_t used = comma == NULL ? list.len : len + 1;
        list = (struct sl_bytes){list.base + used, list.len - used};
    }
    return false;
}

static struct sl_bytes name_of(const h2o_header_t *header)
{
    return (struct sl_bytes){header->name->base, header->name->len};
}

static bool is_of_all(struct sl_bytes name)
{
    (void)name;
    return true;
}

static bool is_of_whole(struct sl_bytes name)
{
    static const char *const names[] = {"repr-digest", "x-file-hash", "x-file-hash-function", "digest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sl_bytes_equal_nocase(name, sl_bytes_of(names[i])))
            return true;
    return false;
}

static bool is_of_piece(struct sl_bytes name)
{
    return !is_of_whole(name);
}

/* Those of the headers that `belongs` says yes to. */
static sl_err parse_headers(struct sl_request *request, bool (*belongs)(struct sl_bytes name),
                            struct sl_digests *promised_out)
{
    const h2o_headers_t *headers = &request->h2o.headers;
    struct sl_header_line *lines = NULL;
    size_t count = 0;
    promised_out->set = 0;
    if (is_told_in_trailer(request))
        return SL_DIGEST_UNSUPPORTED;
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_header_t *header = &headers->entries[i];
        if (!is_of_concern(name_of(header)) || !belongs(name_of(header)))
            continue;
        if (lines == NULL) /* most requests have none */
            lines = h2o_mem_alloc_pool(&request->h2o.pool, (headers->size - i) * sizeof *lines);
        lines[count++] = (struct sl_header_line){name_of(header), {header->value.base, header->value.len}};
    }
    return sl_integrity_parse(lines, count, promised_out);
}

sl_err sl_integrity_of_request(struct sl_request *request, struct sl_digests *promised_out)
{
    return parse_headers(request, is_of_all, promised_out);
}

sl_err sl_integrity_of_piece(struct sl_request *request, struct sl_digests *whole_out, struct sl_digests *piece_out)
{
    sl_err err = parse_headers(request, is_of_whole, whole_out);
    return err == SL_OK ? parse_headers(request, is_of_piece, piece_out) : err;
}

bool sl_integrity_is_told(const struct sl_request *request)
{
    const h2o_headers_t *headers = &request->h2o.headers;
    for (size_t i = 0; i < headers->size; i++) {
        struct sl_bytes name = name_of(&headers->entries[i]);
        if (!is_of_concern(name))
            continue;
        bool is_word =
            is_amz(name) && is_amz_word((struct sl_bytes){name.base + AMZ_PREFIX.len, name.len - AMZ_PREFIX.len});
        bool is_amz_content = sl_bytes_equal(name, SL_BYTES("x-amz-content-sha256"));
        is_word |= is_amz_content && headers->entries[i].value.len != AMZ_CONTENT_HEX_LEN;
        if (!is_word && !sl_bytes_equal(name, SL_BYTES("x-file-hash-function")))
            return true;
    }
    return false;
}

sl_err sl_integrity_of_part(const struct sl_part *part, struct sl_digests *promised_out)
{
    struct sl_header_line lines[SL_MULTIPART_KEPT_MAX];
    for (size_t i = 0; i < part->kept_count; i++) {
        const struct sl_part_header *kept = &part->kept[i];
        lines[i] = (struct sl_header_line){sl_bytes_of(sl_integrity_headers[kept->name]),
                                           {part->kept_text + kept->at, kept->len}};
    }
    return sl_integrity_parse(lines, part->kept_count, promised_out);
}
