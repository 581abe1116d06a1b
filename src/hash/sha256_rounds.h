/* The rounds of SHA-256 (FIPS 180-4, 6.2.2) for vectors of any width, in the words of whoever expands them:
 *
 *   add(x, y)  ror(x, n)  shr(x, n)  xor3(x, y, z)  choose(e, f, g)  majority(a, b, c)  spread(word)
 *
 * All indices are constants, so that everything may lie in registers. */
#ifndef SLUICE_HASH_SHA256_ROUNDS_H
#define SLUICE_HASH_SHA256_ROUNDS_H

#include <stdint.h>

extern const uint32_t sl_sha256_k[64];

/* As vectors have them: word i of each of `lanes` lanes beside the others, from turned[i * lanes] on; and back. */
void sl_sha256_turn(uint32_t *turned, uint32_t *const words[], unsigned lanes);
void sl_sha256_turn_back(uint32_t *const words[], const uint32_t *turned, unsigned lanes);

/* The next a is left in h, the next e in d. The order of the sums is one of time: the next round waits for e, and finds
 * it three operations after this e. kw: the round's constant and word. */
#define SL_SHA256_ROUND(a, b, c, d, e, f, g, h, kw)                                      \
    do {                                                                                 \
        h = add(add(h, kw), choose(e, f, g));                                            \
        d = add(add(d, h), xor3(ror(e, 6), ror(e, 11), ror(e, 25)));                     \
        h = add(add(add(h, majority(a, b, c)), xor3(ror(e, 6), ror(e, 11), ror(e, 25))), \
                xor3(ror(a, 2), ror(a, 13), ror(a, 22)));                                \
    } while (0)

/* Word t + 16 from the words t, t + 1, t + 9 and t + 14. */
#define SL_SHA256_WORD(w0, w1, w9, w14) \
    add(add(w0, w9), add(xor3(ror(w1, 7), ror(w1, 18), shr(w1, 3)), xor3(ror(w14, 17), ror(w14, 19), shr(w14, 10))))

/* s[8] are the working variables: none is moved, in round t variable number j (a is 0) lies in s[(j - t) % 8]. w[16] is
 * the schedule: word t lies in w[t % 16], where word t + 16 replaces it as soon as it was used. */
#define SL_SHA256_VAR(s, t, j) ((s)[(16 - (t) + (j)) % 8])
#define SL_SHA256_STEP(s, w, k, t, schedules)                                                                \
    do {                                                                                                     \
        SL_SHA256_ROUND(SL_SHA256_VAR(s, t, 0), SL_SHA256_VAR(s, t, 1), SL_SHA256_VAR(s, t, 2),              \
                        SL_SHA256_VAR(s, t, 3), SL_SHA256_VAR(s, t, 4), SL_SHA256_VAR(s, t, 5),              \
                        SL_SHA256_VAR(s, t, 6), SL_SHA256_VAR(s, t, 7), add(spread((k)[t]), (w)[t]));        \
        if (schedules)                                                                                       \
            (w)[t] = SL_SHA256_WORD((w)[t], (w)[((t) + 1) % 16], (w)[((t) + 9) % 16], (w)[((t) + 14) % 16]); \
    } while (0)

#define SL_SHA256_STEPS_4(s, w, k, t, schedules)     \
    do {                                             \
        SL_SHA256_STEP(s, w, k, (t) + 0, schedules); \
        SL_SHA256_STEP(s, w, k, (t) + 1, schedules); \
        SL_SHA256_STEP(s, w, k, (t) + 2, schedules); \
        SL_SHA256_STEP(s, w, k, (t) + 3, schedules); \
    } while (0)

/* Sixteen rounds. k: their constants. schedules: whether the words of the next sixteen are made; constant. */
#define SL_SHA256_STEPS_16(s, w, k, schedules)     \
    do {                                           \
        SL_SHA256_STEPS_4(s, w, k, 0, schedules);  \
        SL_SHA256_STEPS_4(s, w, k, 4, schedules);  \
        SL_SHA256_STEPS_4(s, w, k, 8, schedules);  \
        SL_SHA256_STEPS_4(s, w, k, 12, schedules); \
    } while (0)

/* All rounds of a block. */
#define SL_SHA256_COMPRESS(s, w)                \
    do {                                        \
        const uint32_t *k_ = sl_sha256_k;       \
        for (; k_ < sl_sha256_k + 48; k_ += 16) \
            SL_SHA256_STEPS_16(s, w, k_, 1);    \
        SL_SHA256_STEPS_16(s, w, k_, 0);        \
    } while (0)

#endif
