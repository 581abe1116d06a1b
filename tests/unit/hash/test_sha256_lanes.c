/* Every kernel that this processor can run, held against OpenSSL. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "hash/sha256_lanes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DATA_BYTES ((size_t)256 * 1024)

static unsigned char data[DATA_BYTES];
static uint32_t random_state = 1;
static const struct sl_sha256_kernel *kernels[SL_SHA256_KERNELS_MAX];
static unsigned kernel_count;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Of most sizes few: a byte, a block, a slab. */
static size_t random_len(size_t max)
{
    size_t len = next_random() % ((size_t)1 << next_random() % 18);
    return len < max ? len : max;
}

static void assert_is_digest_of(SHA256_CTX *ctx, const void *base, size_t len)
{
    unsigned char found[SHA256_DIGEST_LENGTH], expected[SHA256_DIGEST_LENGTH];
    SHA256_Final(found, ctx);
    SHA256(base, len, expected);
    assert_memory_equal(found, expected, sizeof found);
}

/* What a lane digests in a random schedule: [start, end) of data, of which [start, at) was given to its stream. */
struct message {
    SHA256_CTX ctx;
    size_t start, at, end;
};

static void message_begin(struct message *m)
{
    SHA256_Init(&m->ctx);
    m->start = m->at = next_random() % (DATA_BYTES / 2);
    m->end = m->start + random_len(DATA_BYTES / 2);
}

/* The next piece of it lies in memory of its own, which ends where the piece ends; NULL: it is over. */
static unsigned char *message_next_piece(struct message *m, struct sl_sha256_stream *stream)
{
    size_t len = random_len(m->end - m->at);
    if (m->at == m->end)
        return NULL;
    len = len == 0 ? 1 : len;
    unsigned char *piece = malloc(len);
    assert_non_null(piece);
    memcpy(piece, data + m->at, len);
    m->at += len;
    *stream = (struct sl_sha256_stream){&m->ctx, piece, len};
    return piece;
}

/* Goes on with some streams: by a kernel, or by OpenSSL, between which a digest may change at any byte. */
static void go_on(struct sl_sha256_stream *streams, unsigned count)
{
    unsigned which = next_random() % (kernel_count + 1);
    if (which < kernel_count) {
        if (count > kernels[which]->lanes)
            count = kernels[which]->lanes;
        sl_sha256_advance(kernels[which], streams, count, 1 + next_random() % 300);
        return;
    }
    size_t len = random_len(streams->len);
    SHA256_Update(streams->ctx, streams->data, len);
    streams->data += len;
    streams->len -= len;
}

static void advance_random_schedules_digests_equal_openssl(void **state)
{
    for (unsigned round = 0; round < 80; round++) {
        unsigned lanes = 1 + next_random() % SL_SHA256_LANES_MAX, messages_left = 40, used = lanes;
        struct message messages[SL_SHA256_LANES_MAX];
        struct sl_sha256_stream streams[SL_SHA256_LANES_MAX];
        unsigned char *pieces[SL_SHA256_LANES_MAX] = {NULL};
        for (unsigned i = 0; i < lanes; i++) {
            message_begin(&messages[i]);
            streams[i] = (struct sl_sha256_stream){&messages[i].ctx, data, 0};
        }
        while (used > 0) {
            for (unsigned i = 0; i < used; i++) {
                if (streams[i].len > 0)
                    continue;
                free(pieces[i]);
                pieces[i] = message_next_piece(&messages[i], &streams[i]);
                if (pieces[i] != NULL)
                    continue;
                assert_is_digest_of(&messages[i].ctx, data + messages[i].start, messages[i].end - messages[i].start);
                if (messages_left-- > lanes) {
                    message_begin(&messages[i]);
                } else { /* the last one takes its place, and looks after its own piece again */
                    used--;
                    messages[i] = messages[used];
                    streams[i] = streams[used];
                    pieces[i] = pieces[used];
                    streams[i].ctx = &messages[i].ctx;
                }
                i--;
            }
            if (used > 0)
                go_on(streams, 1 + next_random() % used);
        }
    }
}

/* Messages of every length that ends differently, as many together as there are lanes. */
static void advance_small_messages_digests_equal_openssl(void **state)
{
    for (unsigned k = 0; k < kernel_count; k++) {
        for (size_t first = 0; first < 1100; first += kernels[k]->lanes) {
            SHA256_CTX ctx[SL_SHA256_LANES_MAX];
            struct sl_sha256_stream streams[SL_SHA256_LANES_MAX];
            size_t left = 0;
            for (unsigned i = 0; i < kernels[k]->lanes; i++) {
                SHA256_Init(&ctx[i]);
                streams[i] = (struct sl_sha256_stream){&ctx[i], data + i * 999, first + i};
            }
            do {
                sl_sha256_advance(kernels[k], streams, kernels[k]->lanes, SIZE_MAX);
                left = 0;
                for (unsigned i = 0; i < kernels[k]->lanes; i++)
                    left += streams[i].len;
            } while (left > 0);
            for (unsigned i = 0; i < kernels[k]->lanes; i++)
                assert_is_digest_of(&ctx[i], data + i * 999, first + i);
        }
    }
}

/* The contract: blocks_max blocks each, or one stream at its end. */
static void advance_blocks_max_ends_the_step(void **state)
{
    for (unsigned k = 0; k < kernel_count; k++) {
        SHA256_CTX ctx[3];
        struct sl_sha256_stream streams[3];
        for (unsigned i = 0; i < 3; i++) {
            SHA256_Init(&ctx[i]);
            SHA256_Update(&ctx[i], data, i); /* the last two begin within a block */
            streams[i] = (struct sl_sha256_stream){&ctx[i], data + i, 10 * SHA256_CBLOCK - i};
        }
        sl_sha256_advance(kernels[k], streams, 3, 4);
        assert_int_equal(streams[0].len, 6 * SHA256_CBLOCK);
        assert_int_equal(streams[1].len, 5 * SHA256_CBLOCK);
        assert_int_equal(streams[2].len, 5 * SHA256_CBLOCK);
        sl_sha256_advance(kernels[k], streams, 3, 100);
        assert_int_equal(streams[0].len, SHA256_CBLOCK);
        assert_int_equal(streams[1].len, 0);
        assert_int_equal(streams[2].len, 0);
        sl_sha256_advance(kernels[k], streams, 1, 100);
        for (unsigned i = 0; i < 3; i++)
            assert_is_digest_of(&ctx[i], data, (size_t)10 * SHA256_CBLOCK);
    }
}

/* The count of bits takes two words. */
static void advance_behind_half_a_gib_counts_on(void **state)
{
    for (unsigned k = 0; k < kernel_count; k++) {
        SHA256_CTX lane, reference;
        SHA256_Init(&lane);
        lane.Nl = UINT32_MAX - 1023; /* two blocks before it overflows */
        reference = lane;
        struct sl_sha256_stream stream = {&lane, data, 100 * SHA256_CBLOCK};
        sl_sha256_advance(kernels[k], &stream, 1, 100);
        SHA256_Update(&reference, data, 100 * SHA256_CBLOCK);
        assert_int_equal(lane.Nh, 1);
        assert_int_equal(lane.Nl, reference.Nl);
        assert_int_equal(lane.Nh, reference.Nh);
        assert_memory_equal(lane.h, reference.h, sizeof lane.h);
    }
}

/* Each lane's blocks end where its memory ends. */
static void run_blocks_at_the_end_of_memory_reads_no_further(void **state)
{
    enum { PAGE = 4096 };
    unsigned char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    assert_int_equal(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
    memcpy(page, data, PAGE);
    for (unsigned k = 0; k < kernel_count; k++) {
        SHA256_CTX ctx[SL_SHA256_LANES_MAX], reference;
        uint32_t *words[SL_SHA256_LANES_MAX];
        const unsigned char *blocks[SL_SHA256_LANES_MAX];
        for (unsigned i = 0; i < kernels[k]->lanes; i++) {
            SHA256_Init(&ctx[i]);
            words[i] = ctx[i].h;
            blocks[i] = page + PAGE - 3 * SHA256_CBLOCK;
        }
        kernels[k]->run(words, blocks, 3);
        SHA256_Init(&reference);
        SHA256_Update(&reference, blocks[0], 3 * SHA256_CBLOCK);
        for (unsigned i = 0; i < kernels[k]->lanes; i++)
            assert_memory_equal(ctx[i].h, reference.h, sizeof reference.h);
    }
    munmap(page, 2 * PAGE);
}

static void best_is_one_that_runs_here(void **state)
{
    const struct sl_sha256_kernel *best = sl_sha256_best();
    if (best == NULL)
        return;
    assert_true(best->streams_min >= 2 && best->streams_min <= best->lanes && best->lanes <= SL_SHA256_LANES_MAX);
    assert_ptr_equal(best->run, kernels[0]->run);
    assert_ptr_equal(best, sl_sha256_best());
}

int main(void)
{
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)next_random();
    kernel_count = sl_sha256_kernels(kernels);
    for (unsigned k = 0; k < kernel_count; k++)
        print_message("kernel %s\n", kernels[k]->name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(advance_random_schedules_digests_equal_openssl),
        cmocka_unit_test(advance_small_messages_digests_equal_openssl),
        cmocka_unit_test(advance_blocks_max_ends_the_step),
        cmocka_unit_test(advance_behind_half_a_gib_counts_on),
        cmocka_unit_test(run_blocks_at_the_end_of_memory_reads_no_further),
        cmocka_unit_test(best_is_one_that_runs_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
