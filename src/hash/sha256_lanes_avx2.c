#include "sha256_lanes.h"

#ifdef __x86_64__
#include "sha256_rounds.h"

#include <immintrin.h>

/* This file's own instructions, whatever the rest of the program is built for. */
#define TARGET __attribute__((target("avx2")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES  8

typedef __m256i vec;

#define add(x, y)    _mm256_add_epi32(x, y)
#define shr(x, n)    _mm256_srli_epi32(x, n)
#define ror(x, n)    _mm256_or_si256(_mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - (n)))
#define spread(word) _mm256_set1_epi32((int)(word))

INLINE vec xor3(vec x, vec y, vec z)
{
    return _mm256_xor_si256(_mm256_xor_si256(x, y), z);
}

INLINE vec choose(vec e, vec f, vec g)
{
    return _mm256_xor_si256(_mm256_and_si256(_mm256_xor_si256(f, g), e), g);
}

INLINE vec majority(vec a, vec b, vec c)
{
    return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(_mm256_or_si256(a, b), c));
}

/* Half a block, word after word, lowest byte first. */
INLINE vec load_half(const unsigned char *data)
{
    const vec swap = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
    return _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)data), swap);
}

/* Half a block of four lanes: half h of out[j] is word 4h + j of each of the four. */
INLINE void transpose_4(const unsigned char *const data[4], size_t offset, vec out[4])
{
    vec r0 = load_half(data[0] + offset), r1 = load_half(data[1] + offset);
    vec r2 = load_half(data[2] + offset), r3 = load_half(data[3] + offset);
    vec low01 = _mm256_unpacklo_epi32(r0, r1), high01 = _mm256_unpackhi_epi32(r0, r1);
    vec low23 = _mm256_unpacklo_epi32(r2, r3), high23 = _mm256_unpackhi_epi32(r2, r3);
    out[0] = _mm256_unpacklo_epi64(low01, low23);
    out[1] = _mm256_unpackhi_epi64(low01, low23);
    out[2] = _mm256_unpacklo_epi64(high01, high23);
    out[3] = _mm256_unpackhi_epi64(high01, high23);
}

INLINE void load_half_words(const unsigned char *const data[LANES], size_t offset, vec w[8])
{
    vec lanes0[4], lanes4[4];
    transpose_4(data, offset, lanes0);
    transpose_4(data + 4, offset, lanes4);
    for (unsigned j = 0; j < 4; j++) {
        w[j] = _mm256_permute2x128_si256(lanes0[j], lanes4[j], 0x20);
        w[4 + j] = _mm256_permute2x128_si256(lanes0[j], lanes4[j], 0x31);
    }
}

TARGET void sl_sha256_run_avx2(uint32_t *const words[], const unsigned char *const data[], size_t blocks)
{
    uint32_t turned[SL_SHA256_WORDS][LANES] __attribute__((aligned(32)));
    sl_sha256_turn(turned[0], words, LANES);
    for (size_t offset = 0; offset < blocks * SHA256_CBLOCK; offset += SHA256_CBLOCK) {
        vec s[SL_SHA256_WORDS], w[16];
        load_half_words(data, offset, w);
        load_half_words(data, offset + SHA256_CBLOCK / 2, w + 8);
        for (unsigned i = 0; i < SL_SHA256_WORDS; i++)
            s[i] = _mm256_load_si256((const __m256i *)turned[i]);
        SL_SHA256_COMPRESS(s, w);
        for (unsigned i = 0; i < SL_SHA256_WORDS; i++) {
            vec *word = (vec *)turned[i];
            _mm256_store_si256(word, add(_mm256_load_si256(word), s[i]));
        }
    }
    sl_sha256_turn_back(words, turned[0], LANES);
}

#endif
