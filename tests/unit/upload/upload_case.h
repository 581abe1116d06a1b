/* An intake over a scratch folder and a disk, and the turns of its loop, for tests of the upload floor. */
#ifndef SLUICE_TESTS_UPLOAD_CASE_H
#define SLUICE_TESTS_UPLOAD_CASE_H

#include "scratch.h"
#include "sluice/upload/pipeline.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLOAD_PATIENCE_MS 60000
#define SHA256_ONLY        (1u << SL_HASH_SHA256)

struct upload_case {
    struct scratch scratch;
    struct sl_slab_pool *pool; /* 2 MiB: the least there is */
    struct sl_disk *disk;
    struct sl_store_root *root;
    struct sl_mailbox mailbox;
    struct sl_intake intake;
};

static inline void upload_case_open(struct upload_case *u, enum test_engine engine)
{
    char message[256];
    scratch_make(&u->scratch);
    u->pool = sl_slab_pool_create(0);
    u->disk = test_engine_make(engine, u->pool);
    if (u->disk == NULL) {
        sl_slab_pool_destroy(u->pool);
        scratch_remove(&u->scratch);
        skip();
    }
    struct sl_store_options options = {.root = u->scratch.path, .durability = SL_DURABILITY_NONE, .is_direct = true};
    assert_int_equal(sl_store_root_open(&options, &u->root, message, sizeof message), SL_OK);
    if (!sl_store_root_has_meta(u->root))
        print_message("no user attributes here: skipped\n");
    assert_int_equal(sl_mailbox_init(&u->mailbox), SL_OK);
    u->intake = (struct sl_intake){.slabs = u->pool,
                                   .store = sl_store_create(u->root, u->disk, &u->mailbox),
                                   .hash_pool = sl_hash_pool_create(2),
                                   .mailbox = &u->mailbox,
                                   .digests = SHA256_ONLY,
                                   .conflict = SL_CONFLICT_ERROR,
                                   .name_template = "{filename}",
                                   .size_max = UINT64_MAX,
                                   .files_max = 1000};
    sl_intake_init(&u->intake);
}

/* Nobody is under way any more: what began has ended in one of the ways that are counted, and so have its bytes. */
static inline void upload_expect_sums(const struct sl_upload_stats *stats)
{
    uint64_t ended = sl_counter_read(&stats->stored) + sl_counter_read(&stats->kept);
    for (sl_err err = SL_OK; err < SL_ERR_COUNT; err++)
        ended += sl_counter_read(&stats->failed[err]);
    assert_int_equal(sl_counter_read(&stats->started), ended);
    assert_int_equal(sl_counter_read(&stats->in_flight), 0);
    assert_int_equal(sl_counter_read(&stats->buffered_bytes), 0);
    assert_int_equal(sl_counter_read(&stats->failed[SL_OK]), 0);
}

/* Asserts that files, slabs, operations, fds and temporary files have come back. */
static inline void upload_case_close(struct upload_case *u)
{
    upload_expect_sums(u->intake.stats);
    assert_int_equal(u->intake.files, 0);
    assert_int_equal(u->intake.bulk_pipelines, 0);
    assert_int_equal(sl_slab_pool_stats(u->pool).slabs_in_use, 0);
    assert_int_equal(sl_slab_pool_stats(u->pool).waiting, 0);
    assert_int_equal(sl_disk_inflight(u->disk), 0);
    assert_int_equal(scratch_count(&u->scratch, "uploads"), 0);
    sl_intake_dispose(&u->intake);
    sl_hash_pool_destroy(u->intake.hash_pool);
    sl_store_destroy(u->intake.store);
    sl_mailbox_dispose(&u->mailbox);
    sl_disk_destroy(u->disk);
    sl_store_root_close(u->root);
    sl_slab_pool_destroy(u->pool);
    scratch_remove(&u->scratch);
}

/* One turn; waits at most patience_ms for something to happen. false: nothing did. */
static inline bool upload_turn(struct upload_case *u, int patience_ms)
{
    sl_disk_flush(u->disk);
    struct pollfd watched[] = {{.fd = sl_disk_fd(u->disk), .events = POLLIN},
                               {.fd = u->mailbox.fd, .events = POLLIN}};
    unsigned waiting = sl_slab_pool_stats(u->pool).waiting;
    sl_slab_pool_run(u->pool);
    bool was_served = sl_slab_pool_stats(u->pool).waiting != waiting;
    bool has_events = poll(watched, 2, was_served ? 0 : patience_ms) > 0;
    sl_disk_run(u->disk);
    sl_mailbox_run(&u->mailbox);
    return was_served || has_events;
}

/* Turns until `condition` holds; events that do not come fail the test. */
#define UPLOAD_UNTIL(u, condition)                 \
    while (!(condition))                           \
        if (!upload_turn((u), UPLOAD_PATIENCE_MS)) \
    fail_msg("%s:%d: never: " #condition, __FILE__, __LINE__)

/* Turns while something comes at once, and then some: for asserting that something does not happen. */
static inline void upload_settle(struct upload_case *u)
{
    while (upload_turn(u, 50))
        ;
}

static inline void upload_name(struct sl_session *session, const char *path)
{
    *session = (struct sl_session){.path.len = strlen(path)};
    memcpy(session->path.text, path, strlen(path) + 1);
}

/* Commits a file of which nothing is to be known. */
static inline void upload_commit(struct sl_session *session)
{
    sl_session_commit(session, &(struct sl_meta){0});
}

/* Byte `i` of every test body. */
static inline char upload_byte(uint64_t i)
{
    return (char)((i * UINT64_C(2654435761)) >> 13);
}

static inline void upload_fill(char *into, uint64_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        into[i] = upload_byte(from + i);
}

/* Asserts that files/<path> holds `len` bytes of the test body from `from` on, and that the digests are theirs. */
static inline void upload_expect(struct upload_case *u, const char *path, uint64_t from, size_t len,
                                 const struct sl_digests *digests)
{
    char name[SL_PATH_BYTES_MAX + 8], *bytes = malloc(len + 1);
    assert_non_null(bytes);
    upload_fill(bytes, from, len);
    snprintf(name, sizeof name, "files/%s", path);
    scratch_expect(&u->scratch, name, bytes, len);
    struct sl_digests expected = {0};
    if (u->intake.digests != 0)
        sl_hash_now(u->intake.digests, bytes, len, &expected);
    assert_int_equal(digests->set, expected.set);
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        if (expected.set & (1u << alg))
            assert_memory_equal(digests->value[alg], expected.value[alg], sl_hash_bytes(alg));
    free(bytes);
}

#endif
