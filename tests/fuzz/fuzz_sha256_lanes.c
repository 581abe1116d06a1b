/* Any schedule of streams over the lanes of vectors. The input is a list of steps, two bytes each: a piece for a
 * stream, or one kernel going on with all streams that have one. In the end each digest is OpenSSL's. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "hash/sha256_lanes.h"

#include <stdlib.h>
#include <string.h>

#define STREAMS         SL_SHA256_LANES_MAX
#define STEPS_BYTES_MAX 512 /* more find nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct source {
    SHA256_CTX ctx, reference;
    unsigned char *piece; /* it ends where its bytes end */
    struct sl_sha256_stream stream;
} sources[STREAMS];

static void give_piece(struct source *source, size_t len, unsigned char seed)
{
    if (source->stream.len > 0)
        return;
    free(source->piece);
    source->piece = malloc(len);
    if (source->piece == NULL)
        abort();
    for (size_t i = 0; i < len; i++)
        source->piece[i] = (unsigned char)(seed = (unsigned char)(seed * 5 + 17));
    SHA256_Update(&source->reference, source->piece, len);
    source->stream = (struct sl_sha256_stream){&source->ctx, source->piece, len};
}

/* false: there was nothing to do. */
static bool advance(const struct sl_sha256_kernel *kernel, size_t blocks_max)
{
    struct sl_sha256_stream streams[STREAMS];
    unsigned owners[STREAMS], count = 0;
    for (unsigned i = 0; i < STREAMS && count < kernel->lanes; i++) {
        if (sources[i].stream.len == 0)
            continue;
        owners[count] = i;
        streams[count++] = sources[i].stream;
    }
    if (count == 0)
        return false;
    sl_sha256_advance(kernel, streams, count, blocks_max);
    for (unsigned i = 0; i < count; i++)
        sources[owners[i]].stream = streams[i];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sl_sha256_kernel *kernels[SL_SHA256_KERNELS_MAX];
    unsigned kernel_count = sl_sha256_kernels(kernels);
    if (kernel_count == 0)
        return 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        sources[i] = (struct source){0};
        SHA256_Init(&sources[i].ctx);
        sources[i].reference = sources[i].ctx;
    }
    if (size > STEPS_BYTES_MAX)
        size = STEPS_BYTES_MAX;
    for (; size >= 2; data += 2, size -= 2) {
        if (data[0] < 128)
            give_piece(&sources[data[0] % STREAMS], 1 + (size_t)data[1] * (1 + data[0] / STREAMS), data[0]);
        else
            (void)advance(kernels[data[0] % kernel_count], 1 + data[1]);
    }
    while (advance(kernels[0], SIZE_MAX))
        continue;
    for (unsigned i = 0; i < STREAMS; i++) {
        unsigned char found[SHA256_DIGEST_LENGTH], expected[SHA256_DIGEST_LENGTH];
        SHA256_Final(found, &sources[i].ctx);
        SHA256_Final(expected, &sources[i].reference);
        if (memcmp(found, expected, sizeof found) != 0)
            abort();
        free(sources[i].piece);
    }
    return 0;
}
