/* The shared bytes of all uploads: made once, then only read. */
#include "load_body.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define PERIOD ((1u << 20) + 4093)

uint64_t sl_load_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

void sl_load_body_init(struct sl_load_body *body, uint64_t seed, uint64_t size)
{
    *body = (struct sl_load_body){.size = size, .start = sl_load_mix(size) % PERIOD};
    body->bytes = malloc(PERIOD + SL_LOAD_SEND_MAX);
    if (body->bytes == NULL)
        abort();
    uint64_t word = 0;
    for (size_t i = 0; i < PERIOD; i++, word >>= 8) {
        if (i % sizeof word == 0)
            word = sl_load_mix(seed + i * 0x100000001b3);
        body->bytes[i] = (char)word;
    }
    memcpy(body->bytes + PERIOD, body->bytes, SL_LOAD_SEND_MAX);
}

void sl_load_body_dispose(struct sl_load_body *body)
{
    free(body->bytes);
    body->bytes = NULL;
}

struct sl_bytes sl_load_body_slice(const struct sl_load_body *body, uint64_t offset, uint64_t len_max)
{
    assert(offset <= body->size);
    uint64_t len = body->size - offset;
    if (len > len_max)
        len = len_max;
    if (len > SL_LOAD_SEND_MAX)
        len = SL_LOAD_SEND_MAX;
    return (struct sl_bytes){body->bytes + (body->start + offset) % PERIOD, len};
}

void sl_load_body_sha256(const struct sl_load_body *body, char hex_out[SL_LOAD_SHA256_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        abort();
    for (uint64_t offset = 0; offset < body->size;) {
        struct sl_bytes slice = sl_load_body_slice(body, offset, UINT64_MAX);
        if (EVP_DigestUpdate(context, slice.base, slice.len) != 1)
            abort();
        offset += slice.len;
    }
    if (EVP_DigestFinal_ex(context, digest, &digest_bytes) != 1)
        abort();
    EVP_MD_CTX_free(context);
    assert(2 * digest_bytes + 1 == SL_LOAD_SHA256_TEXT);
    for (unsigned i = 0; i < digest_bytes; i++)
        snprintf(hex_out + 2 * (size_t)i, 3, "%02x", digest[i]);
}
