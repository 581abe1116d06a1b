#include "sha256_lanes.h"

#ifdef __x86_64__
#include "sha256_rounds.h"

#include <immintrin.h>

/* This file's own instructions, whatever the rest of the program is built for. */
#define TARGET __attribute__((target("avx512f,avx512bw")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES  16

typedef __m512i vec;

/* A ternary operation by its truth table: bit (x << 2 | y << 1 | z) is the result for x, y, z. */
#define XOR3     0x96
#define CHOOSE   0xca
#define MAJORITY 0xe8

/* Macros, since some of these want their constants as they stand. */
#define add(x, y)         _mm512_add_epi32(x, y)
#define ror(x, n)         _mm512_ror_epi32(x, n)
#define shr(x, n)         _mm512_srli_epi32(x, n)
#define xor3(x, y, z)     _mm512_ternarylogic_epi32(x, y, z, XOR3)
#define choose(e, f, g)   _mm512_ternarylogic_epi32(e, f, g, CHOOSE)
#define majority(a, b, c) _mm512_ternarylogic_epi32(a, b, c, MAJORITY)
#define spread(word)      _mm512_set1_epi32((int)(word))

/* Word after word, lowest byte first. */
INLINE vec load_block(const unsigned char *data)
{
    const vec swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
    return _mm512_shuffle_epi8(_mm512_loadu_si512(data), swap);
}

/* Four lanes' blocks: quarter q of out[j] is word 4q + j of each of the four. */
INLINE void transpose_4(const unsigned char *const data[4], size_t offset, vec out[4])
{
    vec r0 = load_block(data[0] + offset), r1 = load_block(data[1] + offset);
    vec r2 = load_block(data[2] + offset), r3 = load_block(data[3] + offset);
    vec low01 = _mm512_unpacklo_epi32(r0, r1), high01 = _mm512_unpackhi_epi32(r0, r1);
    vec low23 = _mm512_unpacklo_epi32(r2, r3), high23 = _mm512_unpackhi_epi32(r2, r3);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* Words j, 4 + j, 8 + j and 12 + j of all lanes, from the quarters of four times four lanes. */
INLINE void gather_quarters(vec w[LANES], unsigned j, vec lanes0, vec lanes4, vec lanes8, vec lanes12)
{
    vec even_a = _mm512_shuffle_i32x4(lanes0, lanes4, 0x88), odd_a = _mm512_shuffle_i32x4(lanes0, lanes4, 0xdd);
    vec even_b = _mm512_shuffle_i32x4(lanes8, lanes12, 0x88), odd_b = _mm512_shuffle_i32x4(lanes8, lanes12, 0xdd);
    w[j] = _mm512_shuffle_i32x4(even_a, even_b, 0x88);
    w[4 + j] = _mm512_shuffle_i32x4(odd_a, odd_b, 0x88);
    w[8 + j] = _mm512_shuffle_i32x4(even_a, even_b, 0xdd);
    w[12 + j] = _mm512_shuffle_i32x4(odd_a, odd_b, 0xdd);
}

INLINE void load_words(const unsigned char *const data[LANES], size_t offset, vec w[16])
{
    vec lanes0[4], lanes4[4], lanes8[4], lanes12[4];
    transpose_4(data, offset, lanes0);
    transpose_4(data + 4, offset, lanes4);
    transpose_4(data + 8, offset, lanes8);
    transpose_4(data + 12, offset, lanes12);
    gather_quarters(w, 0, lanes0[0], lanes4[0], lanes8[0], lanes12[0]);
    gather_quarters(w, 1, lanes0[1], lanes4[1], lanes8[1], lanes12[1]);
    gather_quarters(w, 2, lanes0[2], lanes4[2], lanes8[2], lanes12[2]);
    gather_quarters(w, 3, lanes0[3], lanes4[3], lanes8[3], lanes12[3]);
}

TARGET void sl_sha256_run_avx512(uint32_t *const words[], const unsigned char *const data[], size_t blocks)
{
    uint32_t turned[SL_SHA256_WORDS][LANES] __attribute__((aligned(64)));
    sl_sha256_turn(turned[0], words, LANES);
    for (size_t offset = 0; offset < blocks * SHA256_CBLOCK; offset += SHA256_CBLOCK) {
        vec s[SL_SHA256_WORDS], w[16];
        load_words(data, offset, w);
        for (unsigned i = 0; i < SL_SHA256_WORDS; i++)
            s[i] = _mm512_load_si512(turned[i]);
        SL_SHA256_COMPRESS(s, w);
        for (unsigned i = 0; i < SL_SHA256_WORDS; i++)
            _mm512_store_si512(turned[i], add(_mm512_load_si512(turned[i]), s[i]));
    }
    sl_sha256_turn_back(words, turned[0], LANES);
}

#endif
