/* SHA-256 of several streams at once: one stream in each 32-bit lane of the vector registers. A step of the registers
 * costs the same however many lanes hold something, so few streams are OpenSSL's, which takes them one by one.
 *
 * A stream is an OpenSSL SHA256_CTX and bytes that follow: it may change between lanes and OpenSSL as it likes. Pure:
 * no thread, no memory of its own. */
#ifndef SLUICE_HASH_SHA256_LANES_H
#define SLUICE_HASH_SHA256_LANES_H

#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_SHA256_LANES_MAX   16
#define SL_SHA256_WORDS       8
#define SL_SHA256_KERNELS_MAX 2

struct sl_sha256_stream {
    SHA256_CTX *ctx;
    const unsigned char *data;
    size_t len;
};

/* Adds `blocks` > 0 blocks to the words of every lane. words, data: as many as there are lanes, none NULL; the words
 * are no two lanes' (the data may be). Only on a processor that has the instructions. */
typedef void (*sl_sha256_run)(uint32_t *const words[], const unsigned char *const data[], size_t blocks);

struct sl_sha256_kernel {
    const char *name;
    unsigned lanes;       /* up to SL_SHA256_LANES_MAX */
    unsigned streams_min; /* with fewer OpenSSL is cheaper */
    sl_sha256_run run;
};

/* What is best here; NULL: OpenSSL, always. Any thread. */
const struct sl_sha256_kernel *sl_sha256_best(void);

/* All that this processor has the instructions for, the best first; their number. For tests. */
unsigned sl_sha256_kernels(const struct sl_sha256_kernel *kernels_out[SL_SHA256_KERNELS_MAX]);

/* Digests the start of what each of 1 to kernel->lanes streams holds, and moves data and len behind it: afterwards a
 * stream is at its end, or all that were longer went on by blocks_max blocks. */
void sl_sha256_advance(const struct sl_sha256_kernel *kernel, struct sl_sha256_stream *streams, unsigned count,
                       size_t blocks_max);

/* The kernels; elsewhere than on x86-64 there are none. */
void sl_sha256_run_avx2(uint32_t *const words[], const unsigned char *const data[], size_t blocks);
void sl_sha256_run_avx512(uint32_t *const words[], const unsigned char *const data[], size_t blocks);

#endif
