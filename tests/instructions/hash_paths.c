/* Digests. What OpenSSL does with the bytes is its own, and other code on each processor: it is not counted, and what
 * lies around it is. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "paths.h"

#include "hash/digest.h"
#include "hash/strand.h"

#include <string.h>

#define DATA_BYTES   65536
#define SMALL_BYTES  4096
#define LANES        8
#define PIECE_BYTES  ((size_t)(DATA_BYTES / LANES))
#define BLOCKS_MAX   16 /* so that each piece takes several runs */
#define SHA256_ALONE (1u << SL_HASH_SHA256)

static char data[DATA_BYTES];
static struct sl_digests digests;

static void fill(void)
{
    path_fill(data, sizeof data);
    digests = (struct sl_digests){0};
}

static void expect_digest_of(const struct sl_digests *found, const char *bytes, size_t len)
{
    unsigned char expected[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)bytes, len, expected);
    must(found->set == SHA256_ALONE && memcmp(found->value[SL_HASH_SHA256], expected, sizeof expected) == 0);
}

/* ---- one stream ---- */

static void digest_now(void)
{
    sl_hash_now(SHA256_ALONE, data, SMALL_BYTES, &digests);
}

/* As an upload does that comes in small requests. */
static void digest_in_pieces(void)
{
    struct sl_hash_state state;
    sl_hash_state_begin(&state, SHA256_ALONE);
    for (size_t at = 0; at < SMALL_BYTES; at += 1000)
        sl_hash_state_update(&state, data + at, SMALL_BYTES - at < 1000 ? SMALL_BYTES - at : 1000);
    sl_hash_state_end(&state, &digests);
}

static void check_digest(void)
{
    expect_digest_of(&digests, data, SMALL_BYTES);
}

/* ---- many streams ---- */

static struct sl_mailbox home;
static struct sl_hash_lane lanes[LANES];
static struct sl_strand strands[LANES];
static struct sl_hash_job jobs[LANES][2];
static unsigned jobs_done;

static void on_arrival(struct sl_mail *mail)
{
    jobs_done++;
}

static void add_job(unsigned lane, unsigned job, const void *bytes, size_t len)
{
    jobs[lane][job] =
        (struct sl_hash_job){.mail.on_arrival = on_arrival, .lane = &lanes[lane], .data = bytes, .len = len};
    sl_list_append(&strands[lane].taken, &jobs[lane][job].link);
}

/* Each lane has a piece of the data, of a length of its own, and its end. */
static size_t piece_len(unsigned lane)
{
    return PIECE_BYTES - lane * 100;
}

static void feed_strands(void)
{
    fill();
    if (home.fd == 0)
        must(sl_mailbox_init(&home) == SL_OK);
    jobs_done = 0;
    for (unsigned i = 0; i < LANES; i++) {
        lanes[i] = (struct sl_hash_lane){.home = &home, .strand = &strands[i]};
        strands[i] = (struct sl_strand){.is_sharing = true};
        sl_list_init(&strands[i].jobs);
        sl_list_init(&strands[i].taken);
        sl_digest_begin(&strands[i].digest, SHA256_ALONE);
        add_job(i, 0, data + i * PIECE_BYTES, piece_len(i));
        add_job(i, 1, NULL, 0);
    }
}

static bool is_any_left(void)
{
    for (unsigned i = 0; i < LANES; i++)
        if (!sl_list_is_empty(&strands[i].taken))
            return true;
    return false;
}

static void run_strands(const struct sl_sha256_kernel *kernel)
{
    struct sl_strand *group[LANES];
    for (unsigned i = 0; i < LANES; i++)
        group[i] = &strands[i];
    while (is_any_left())
        sl_strands_run(group, LANES, kernel, BLOCKS_MAX);
}

static void schedule_nothing(uint32_t *const words[], const unsigned char *const pieces[], size_t blocks)
{
}

static void run_strands_without_rounds(void)
{
    static const struct sl_sha256_kernel kernel = {"none", LANES, 1, schedule_nothing};
    run_strands(&kernel);
}

static void run_strands_by_avx2(void)
{
    static const struct sl_sha256_kernel kernel = {"avx2", LANES, 1, sl_sha256_run_avx2};
    run_strands(&kernel);
}

static void check_schedule(void)
{
    sl_mailbox_run(&home);
    must(jobs_done == 2 * LANES);
    for (unsigned i = 0; i < LANES; i++)
        must(strands[i].digest.digested == piece_len(i));
}

static void check_digests(void)
{
    check_schedule();
    for (unsigned i = 0; i < LANES; i++)
        expect_digest_of(&lanes[i].digests, data + i * PIECE_BYTES, piece_len(i));
}

const struct path hash_paths[] = {
    {"hash-now", "digests 4 KiB in place, without OpenSSL's part", fill, digest_now, check_digest, NULL},
    {"hash-pieces", "digests 4 KiB in 5 pieces, its state kept between them", fill, digest_in_pieces, check_digest,
     NULL},
    {"lanes", "schedules 8 streams, 61 KiB together, over lanes that do nothing", feed_strands,
     run_strands_without_rounds, check_schedule, NULL},
    {"lanes-avx2", "digests the same by the lanes of AVX2", feed_strands, run_strands_by_avx2, check_digests,
     path_needs_avx2},
    {0}};
