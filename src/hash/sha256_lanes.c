/* OpenSSL 3 would have its EVP used: see digest.c. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sha256_lanes.h"

#include "sha256_rounds.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

const uint32_t sl_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

void sl_sha256_turn(uint32_t *turned, uint32_t *const words[], unsigned lanes)
{
    for (unsigned lane = 0; lane < lanes; lane++)
        for (unsigned i = 0; i < SL_SHA256_WORDS; i++)
            turned[i * lanes + lane] = words[lane][i];
}

void sl_sha256_turn_back(uint32_t *const words[], const uint32_t *turned, unsigned lanes)
{
    for (unsigned lane = 0; lane < lanes; lane++)
        for (unsigned i = 0; i < SL_SHA256_WORDS; i++)
            words[lane][i] = turned[i * lanes + lane];
}

/* ---- a step of all streams ---- */

/* A block that was begun is filled, and what is less than one behind the whole blocks is kept: both OpenSSL's. */
static void update(struct sl_sha256_stream *stream, size_t len)
{
    SHA256_Update(stream->ctx, stream->data, len);
    stream->data += len;
    stream->len -= len;
}

static void fill_begun_block(struct sl_sha256_stream *stream)
{
    if (stream->ctx->num > 0) {
        size_t missing = SHA256_CBLOCK - stream->ctx->num;
        update(stream, missing < stream->len ? missing : stream->len);
    }
}

/* `blocks` were added to the words. */
static void skip_blocks(struct sl_sha256_stream *stream, size_t blocks)
{
    SHA256_CTX *ctx = stream->ctx;
    uint64_t bits = ((uint64_t)ctx->Nh << 32 | ctx->Nl) + (uint64_t)blocks * SHA256_CBLOCK * 8;
    ctx->Nl = (SHA_LONG)bits;
    ctx->Nh = (SHA_LONG)(bits >> 32);
    stream->data += blocks * SHA256_CBLOCK;
    stream->len -= blocks * SHA256_CBLOCK;
}

/* Lanes that hold no stream go over the data of one that does, into words that nobody wants. */
static void run_lanes(const struct sl_sha256_kernel *kernel, struct sl_sha256_stream *const busy[], unsigned count,
                      size_t blocks)
{
    uint32_t *words[SL_SHA256_LANES_MAX], unwanted[SL_SHA256_LANES_MAX][SL_SHA256_WORDS] = {{0}};
    const unsigned char *data[SL_SHA256_LANES_MAX];
    for (unsigned lane = 0; lane < kernel->lanes; lane++) {
        words[lane] = lane < count ? busy[lane]->ctx->h : unwanted[lane];
        data[lane] = busy[lane < count ? lane : 0]->data;
    }
    kernel->run(words, data, blocks);
    for (unsigned lane = 0; lane < count; lane++)
        skip_blocks(busy[lane], blocks);
}

void sl_sha256_advance(const struct sl_sha256_kernel *kernel, struct sl_sha256_stream *streams, unsigned count,
                       size_t blocks_max)
{
    struct sl_sha256_stream *busy[SL_SHA256_LANES_MAX];
    unsigned busy_count = 0;
    size_t blocks = blocks_max;
    assert(count >= 1 && count <= kernel->lanes && blocks_max > 0);
    for (struct sl_sha256_stream *stream = streams; stream < streams + count; stream++) {
        fill_begun_block(stream);
        size_t whole = stream->len / SHA256_CBLOCK;
        if (whole == 0)
            continue;
        busy[busy_count++] = stream;
        blocks = whole < blocks ? whole : blocks;
    }
    if (busy_count > 0)
        run_lanes(kernel, busy, busy_count, blocks);
    for (struct sl_sha256_stream *stream = streams; stream < streams + count; stream++)
        if (stream->len > 0 && stream->len < SHA256_CBLOCK)
            update(stream, stream->len);
}

/* ---- which kernel ---- */

#ifdef __x86_64__

/* From how many streams on a kernel is worth it: its lanes, divided by how many times OpenSSL's speed all of them
 * together have, rounded up, and one more where processors differ. Measured with bench_sha256 on a Zen 5:
 *
 *   16 lanes of AVX-512   8 x OpenSSL's one stream with AVX2, 3 x that with SHA-NI
 *   8 lanes of AVX2       2.4 x that with AVX2; less than that with SHA-NI
 *
 * SHA-NI takes 2 cycles a byte everywhere, as it waits for its own results. 16 lanes take 0.6 on a Zen 5, and about 1
 * where but two units (or halves of four) serve 512 bits, which makes 8 streams. */
static const struct sl_sha256_kernel avx512 = {"avx512", 16, 3, sl_sha256_run_avx512},
                                     avx512_beside_sha_ni = {"avx512", 16, 8, sl_sha256_run_avx512},
                                     avx2 = {"avx2", 8, 4, sl_sha256_run_avx2};

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Asked of OpenSSL, since it can be told (OPENSSL_ia32cap) to use less than there is. Its answer is
 * "OPENSSL_ia32cap=0x...:0x...", the second number that of CPUID's leaf 7: EBX in its lower half, where bit 29 is
 * SHA. */
static bool openssl_has_sha_ni(void)
{
    const char *settings = OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS);
    const char *leaf7 = settings != NULL ? strchr(settings, ':') : NULL;
    return leaf7 != NULL && (strtoull(leaf7 + 1, NULL, 16) >> 29 & 1) != 0;
}

const struct sl_sha256_kernel *sl_sha256_best(void)
{
    bool has_sha_ni = openssl_has_sha_ni();
    if (has_avx512())
        return has_sha_ni ? &avx512_beside_sha_ni : &avx512;
    return has_avx2() && !has_sha_ni ? &avx2 : NULL;
}

unsigned sl_sha256_kernels(const struct sl_sha256_kernel *kernels_out[SL_SHA256_KERNELS_MAX])
{
    unsigned count = 0;
    if (has_avx512())
        kernels_out[count++] = &avx512;
    if (has_avx2())
        kernels_out[count++] = &avx2;
    return count;
}

#else

const struct sl_sha256_kernel *sl_sha256_best(void)
{
    return NULL;
}

unsigned sl_sha256_kernels(const struct sl_sha256_kernel *kernels_out[SL_SHA256_KERNELS_MAX])
{
    return 0;
}

#endif
