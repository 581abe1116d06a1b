#include "record.h"

#include "sluice/base/utf8.h"

#include <assert.h>

/* Numbers on disk: never given a second meaning. */
static const uint8_t digest_numbers[SL_HASH_ALGS] = {
    [SL_HASH_SHA256] = 1, [SL_HASH_SHA512] = 2, [SL_HASH_SHA1] = 3,
    [SL_HASH_MD5] = 4,    [SL_HASH_CRC32C] = 5, [SL_HASH_CRC32] = 6,
};

char *sl_record_put_number(char *at, uint64_t value, unsigned bytes)
{
    assert(bytes == sizeof value || value >> 8 * bytes == 0);
    for (unsigned i = 0; i < bytes; i++)
        *at++ = (char)(value >> 8 * i & 0xff);
    return at;
}

char *sl_record_put_bytes(char *at, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(at, bytes, len);
    return at + len;
}

char *sl_record_put_head(char *at, unsigned tag, size_t len)
{
    assert(tag > 0 && tag <= UINT8_MAX);
    *at = (char)tag;
    return sl_record_put_number(at + 1, len, 2);
}

char *sl_record_put_text(char *at, unsigned tag, struct sl_bytes text)
{
    return text.len == 0 ? at : sl_record_put_bytes(sl_record_put_head(at, tag, text.len), text.base, text.len);
}

char *sl_record_put_digests(char *at, unsigned tag, const struct sl_digests *digests)
{
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++) {
        if ((digests->set & 1u << alg) == 0)
            continue;
        at = sl_record_put_head(at, tag, 1 + sl_hash_bytes(alg));
        *at++ = (char)digest_numbers[alg];
        at = sl_record_put_bytes(at, digests->value[alg], sl_hash_bytes(alg));
    }
    return at;
}

size_t sl_record_set_bytes(sl_hash_set set)
{
    size_t algorithms = 0;
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        algorithms += set >> alg & 1;
    return algorithms == 0 ? 0 : SL_RECORD_HEAD + algorithms;
}

char *sl_record_put_set(char *at, unsigned tag, sl_hash_set set)
{
    if (set == 0)
        return at;
    at = sl_record_put_head(at, tag, sl_record_set_bytes(set) - SL_RECORD_HEAD);
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        if (set & 1u << alg)
            *at++ = (char)digest_numbers[alg];
    return at;
}

uint64_t sl_record_number(const char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)at[i] << 8 * i;
    return value;
}

bool sl_record_take(struct sl_bytes *rest, unsigned *tag_out, struct sl_bytes *value_out)
{
    if (rest->len < SL_RECORD_HEAD)
        return false;
    size_t len = sl_record_number(rest->base + 1, 2);
    if (len > rest->len - SL_RECORD_HEAD)
        return false;
    *tag_out = (uint8_t)rest->base[0];
    *value_out = (struct sl_bytes){rest->base + SL_RECORD_HEAD, len};
    *rest = (struct sl_bytes){value_out->base + len, rest->len - SL_RECORD_HEAD - len};
    return true;
}

void sl_record_text(struct sl_bytes value, size_t max, struct sl_bytes *text_out)
{
    if (value.len <= max && sl_utf8_is_clean(value))
        *text_out = value;
}

void sl_record_digest(struct sl_bytes value, struct sl_digests *digests)
{
    if (value.len == 0)
        return;
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++) {
        if (digest_numbers[alg] != (uint8_t)value.base[0] || value.len != 1 + sl_hash_bytes(alg))
            continue;
        memcpy(digests->value[alg], value.base + 1, sl_hash_bytes(alg));
        digests->set |= 1u << alg;
    }
}

sl_hash_set sl_record_set(struct sl_bytes value)
{
    sl_hash_set set = 0;
    for (size_t i = 0; i < value.len; i++)
        for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
            if (digest_numbers[alg] == (uint8_t)value.base[i])
                set |= 1u << alg;
    return set;
}
