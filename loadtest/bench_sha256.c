/* What a core digests with SHA-256, by how many uploads there are at once: `bench_sha256 [MiB]`.
 *
 * Two tables, in MB per second of CPU time. The first is of the vectors alone: each kernel of this processor beside
 * OpenSSL, which takes one stream after the other, in jobs of 1 MiB and of 4 KiB; from how many streams on a kernel is
 * used is decided with it (OPENSSL_ia32cap=":~0x20000000" shows OpenSSL without SHA-NI). The second is of a pool with
 * one thread, which chooses itself, everything counted: lanes, jobs, mailbox. Without arguments it is small, so that a
 * test can run it; all digests are checked against OpenSSL. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "hash/pool.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAMS_MAX  16
#define SLAB_BYTES   ((size_t)1 << 20)
#define SMALL_BYTES  ((size_t)4096)
#define STRIDE       256
#define INFLIGHT_MAX 2
#define MIB_DEFAULT  1
#define MIB_MAX      (1 << 16)

static unsigned char *slabs; /* one a stream */
static unsigned char expected[STREAMS_MAX][SHA256_DIGEST_LENGTH];

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned char *slab_of(unsigned stream)
{
    return slabs + stream * SLAB_BYTES;
}

static void require(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "bench_sha256: %s\n", what);
    exit(1);
}

static void expect_digests(unsigned streams, size_t jobs, size_t len)
{
    for (unsigned i = 0; i < streams; i++) {
        SHA256_CTX ctx;
        SHA256_Init(&ctx);
        for (size_t job = 0; job < jobs; job++)
            SHA256_Update(&ctx, slab_of(i), len);
        SHA256_Final(expected[i], &ctx);
    }
}

static double mb_per_s(unsigned streams, size_t jobs, size_t len, double seconds)
{
    return (double)streams * (double)jobs * (double)len / seconds / 1e6;
}

/* Each stream gets `jobs` times the start of its slab. kernel NULL: OpenSSL. */
static double measure_kernel(const struct sl_sha256_kernel *kernel, unsigned count, size_t jobs, size_t len)
{
    SHA256_CTX ctx[STREAMS_MAX];
    struct sl_sha256_stream streams[STREAMS_MAX];
    for (unsigned i = 0; i < count; i++)
        SHA256_Init(&ctx[i]);
    double start = cpu_seconds();
    for (size_t job = 0; job < jobs; job++) {
        for (unsigned i = 0; i < count && kernel == NULL; i++)
            SHA256_Update(&ctx[i], slab_of(i), len);
        for (unsigned i = 0; i < count; i++)
            streams[i] = (struct sl_sha256_stream){&ctx[i], slab_of(i), len};
        while (kernel != NULL && streams[0].len > 0)
            sl_sha256_advance(kernel, streams, count, STRIDE);
    }
    double seconds = cpu_seconds() - start;
    for (unsigned i = 0; i < count; i++) {
        unsigned char found[SHA256_DIGEST_LENGTH];
        SHA256_Final(found, &ctx[i]);
        require(memcmp(found, expected[i], sizeof found) == 0, "a kernel's digest is wrong");
    }
    return mb_per_s(count, jobs, len, seconds);
}

/* An upload through the pool. */
struct upload {
    struct sl_hash_lane lane;
    struct sl_hash_job jobs[INFLIGHT_MAX];
    size_t left, len;
    unsigned index;
    bool is_over;
};

static void feed(struct upload *upload, struct sl_hash_job *job);

static void on_fed(struct sl_hash_job *job, void *ctx)
{
    feed(ctx, job);
}

static void on_end(struct sl_hash_job *job, void *ctx)
{
    struct upload *upload = ctx;
    upload->is_over = true;
}

static void feed(struct upload *upload, struct sl_hash_job *job)
{
    if (upload->left-- > 0) {
        sl_hash_lane_feed(&upload->lane, job, slab_of(upload->index), upload->len, on_fed, upload);
        return;
    }
    upload->left = 0;
    if (!upload->lane.is_finished)
        sl_hash_lane_finish(&upload->lane, job, on_end, upload);
}

static double measure_pool(unsigned count, size_t jobs, size_t len)
{
    struct upload uploads[STREAMS_MAX] = {0};
    struct sl_mailbox box;
    require(sl_mailbox_init(&box) == SL_OK, "no eventfd");
    struct sl_hash_pool *pool = sl_hash_pool_create(1);
    double start = cpu_seconds();
    for (unsigned i = 0; i < count; i++) {
        uploads[i].index = i;
        uploads[i].left = jobs;
        uploads[i].len = len;
        require(sl_hash_lane_open(&uploads[i].lane, pool, 1u << SL_HASH_SHA256, &box) == SL_OK, "no memory");
        for (unsigned j = 0; j < INFLIGHT_MAX && j < jobs; j++)
            feed(&uploads[i], &uploads[i].jobs[j]);
    }
    for (unsigned i = 0; i < count; i++) {
        while (!uploads[i].is_over || uploads[i].lane.inflight > 0) {
            (void)poll(&(struct pollfd){.fd = box.fd, .events = POLLIN}, 1, -1);
            sl_mailbox_run(&box);
        }
        require(memcmp(uploads[i].lane.digests.value[SL_HASH_SHA256], expected[i], SHA256_DIGEST_LENGTH) == 0,
                "the pool's digest is wrong");
        sl_hash_lane_close(&uploads[i].lane);
    }
    double seconds = cpu_seconds() - start;
    sl_hash_pool_destroy(pool);
    sl_mailbox_dispose(&box);
    return mb_per_s(count, jobs, len, seconds);
}

static void print_kernels(size_t jobs, size_t len)
{
    const struct sl_sha256_kernel *kernels[SL_SHA256_KERNELS_MAX];
    unsigned kernel_count = sl_sha256_kernels(kernels);
    printf("%-24s%10s", len == SLAB_BYTES ? "alone, jobs of 1 MiB" : "alone, jobs of 4 KiB", "openssl");
    for (unsigned k = 0; k < kernel_count; k++)
        printf("%10s", kernels[k]->name);
    for (unsigned count = 1; count <= STREAMS_MAX; count *= 2) {
        expect_digests(count, jobs, len);
        printf("\n%16u streams%10.0f", count, measure_kernel(NULL, count, jobs, len));
        for (unsigned k = 0; k < kernel_count; k++)
            if (count <= kernels[k]->lanes)
                printf("%10.0f", measure_kernel(kernels[k], count, jobs, len));
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : MIB_DEFAULT;
    if (mib < 1 || mib > MIB_MAX) {
        fprintf(stderr, "usage: bench_sha256 [MiB of each stream]\n");
        return 2;
    }
    slabs = aligned_alloc(4096, STREAMS_MAX * SLAB_BYTES);
    require(slabs != NULL, "no memory");
    uint64_t x = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < STREAMS_MAX * SLAB_BYTES; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        slabs[i] = (unsigned char)(x >> 56);
    }
    const struct sl_sha256_kernel *best = sl_sha256_best();
    printf("MB a CPU second; the pool shares %s, from %u streams on\n", best != NULL ? best->name : "nothing",
           best != NULL ? best->streams_min : 0);
    print_kernels((size_t)mib, SLAB_BYTES);
    print_kernels((size_t)mib * SLAB_BYTES / SMALL_BYTES, SMALL_BYTES);
    printf("%-24s%10s%10s\n", "pool of one thread", "1 MiB", "4 KiB");
    for (unsigned count = 1; count <= STREAMS_MAX; count *= 2) {
        expect_digests(count, (size_t)mib, SLAB_BYTES);
        printf("%16u streams%10.0f", count, measure_pool(count, (size_t)mib, SLAB_BYTES));
        size_t small_jobs = (size_t)mib * SLAB_BYTES / SMALL_BYTES;
        expect_digests(count, small_jobs, SMALL_BYTES);
        printf("%10.0f\n", measure_pool(count, small_jobs, SMALL_BYTES));
    }
    free(slabs);
    return 0;
}
