/* A store over a scratch folder, for tests: what is asynchronous is run to its end, with a look that each callback
 * came once and never inside the call that led to it. */
#ifndef SLUICE_TESTS_STORE_CASE_H
#define SLUICE_TESTS_STORE_CASE_H

#include "disk_loop.h"
#include "keep_meta.h"
#include "scratch.h"
#include "store/local/local.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STORE_CASE_POOL_BYTES ((size_t)4 << 20)

struct store_case {
    struct scratch scratch;
    enum test_engine engine;
    struct sl_store_options options;
    struct sl_slab_pool *pool;
    struct sl_disk *disk;
    struct sl_mailbox mailbox;
    struct sl_store_root *root;
    struct sl_store *store;

    struct sl_store_object object; /* the one of the helpers below */
    struct sl_store_terms terms;   /* of store_commit, but for the rule */
    struct sl_store_reader reader; /* of store_look, closed */
    struct sl_store_removal removal;
    struct sl_path path;
    unsigned calls;
    bool is_inside; /* a start: no callback may run */
    sl_err err;
};

static inline void store_case_open_root(struct store_case *c, struct sl_store_options options)
{
    char message[256];
    options.root = c->scratch.path;
    c->options = options;
    assert_int_equal(sl_store_root_open(&options, &c->root, message, sizeof message), SL_OK);
    c->store = sl_store_create(c->root, c->disk, &c->mailbox);
}

static inline void store_case_close_root(struct store_case *c)
{
    sl_store_destroy(c->store);
    sl_store_root_close(c->root);
}

/* options: durability, min_free and is_direct; the root is the scratch folder. */
static inline void store_case_open(struct store_case *c, enum test_engine engine, struct sl_store_options options)
{
    *c = (struct store_case){.engine = engine};
    scratch_make(&c->scratch);
    c->pool = sl_slab_pool_create(STORE_CASE_POOL_BYTES);
    c->disk = test_engine_make(engine, c->pool);
    if (c->disk == NULL) {
        sl_slab_pool_destroy(c->pool);
        scratch_remove(&c->scratch);
        skip();
    }
    assert_int_equal(sl_mailbox_init(&c->mailbox), SL_OK);
    store_case_open_root(c, options);
    if (!c->root->has_meta)
        print_message("no user attributes here: skipped\n");
}

/* Asserts that operations, slabs and fds have come back and that uploads/ is empty. */
static inline void store_case_close(struct store_case *c)
{
    assert_int_equal(sl_disk_inflight(c->disk), 0);
    assert_int_equal(sl_slab_pool_stats(c->pool).slabs_in_use, 0);
    assert_int_equal(scratch_count(&c->scratch, "uploads"), 0);
    store_case_close_root(c);
    sl_mailbox_dispose(&c->mailbox);
    sl_disk_destroy(c->disk);
    sl_slab_pool_destroy(c->pool);
    scratch_remove(&c->scratch);
}

/* Closes root and store and opens them again, with other options: a restart. */
static inline void store_case_reopen(struct store_case *c, struct sl_store_options options)
{
    store_case_close_root(c);
    store_case_open_root(c, options);
}

/* Named temporary files, as on a file system that has no others. */
static inline void store_case_force_named(struct store_case *c)
{
    c->root->has_unnamed = false;
}

static inline struct sl_path store_path(const char *text)
{
    struct sl_path path = {.len = strlen(text)};
    assert_true(path.len <= SL_PATH_BYTES_MAX);
    memcpy(path.text, text, path.len + 1);
    return path;
}

/* ---- turns of the loop ---- */

/* One turn of a loop that has a disk and a mailbox; something must be on its way. Ten seconds without it are a
 * failure. */
static inline void store_case_turn_of(struct sl_disk *disk, struct sl_mailbox *mailbox)
{
    sl_disk_flush(disk);
    struct pollfd watched[] = {{.fd = sl_disk_fd(disk), .events = POLLIN}, {.fd = mailbox->fd, .events = POLLIN}};
    if (poll(watched, 2, 10000) == 0) {
        fprintf(stderr, "store_case: nothing came in ten seconds, %u in flight\n", sl_disk_inflight(disk));
        abort();
    }
    sl_disk_run(disk);
    sl_mailbox_run(mailbox);
}

static inline void store_case_turn(struct store_case *c)
{
    store_case_turn_of(c->disk, &c->mailbox);
}

/* Turns until *counter has reached `target`. */
static inline void store_case_count(struct store_case *c, const unsigned *counter, unsigned target)
{
    while (*counter < target)
        store_case_turn(c);
}

/* Turns until nothing is in flight or in the mail. */
static inline void store_case_drain(struct store_case *c)
{
    while (sl_disk_inflight(c->disk) > 0 || !sl_mailbox_is_empty(&c->mailbox))
        store_case_turn(c);
}

/* ---- one operation ---- */

static inline void store_case_start(struct store_case *c)
{
    c->calls = 0;
    c->is_inside = true;
}

/* Turns until all is over: a callback too many would still come. */
static inline sl_err store_case_finish(struct store_case *c)
{
    c->is_inside = false;
    store_case_count(c, &c->calls, 1);
    store_case_drain(c);
    assert_int_equal(c->calls, 1);
    return c->err;
}

static inline void store_case_on_object(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct store_case *c = ctx;
    assert_ptr_equal(object, &c->object);
    assert_false(c->is_inside);
    c->calls++;
    c->err = err;
}

static inline void store_case_on_write(struct sl_store_write *write, sl_err err, void *ctx)
{
    struct store_case *c = ctx;
    assert_false(c->is_inside);
    c->calls++;
    c->err = err;
}

static inline void store_case_on_reader(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct store_case *c = ctx;
    assert_false(c->is_inside);
    c->calls++;
    c->err = err;
}

static inline void store_case_on_removal(struct sl_store_removal *removal, sl_err err, void *ctx)
{
    struct store_case *c = ctx;
    assert_ptr_equal(removal, &c->removal);
    assert_false(c->is_inside);
    c->calls++;
    c->err = err;
}

static inline sl_err store_begin(struct store_case *c, uint64_t expected)
{
    store_case_start(c);
    sl_store_begin(c->store, &c->object, expected, store_case_on_object, c);
    return store_case_finish(c);
}

/* The pattern. */
static inline void store_pattern(char *into, uint64_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        into[i] = (char)(((offset + i) * UINT64_C(2654435761)) >> 13);
}

static inline sl_err store_case_write_slab(struct store_case *c, uint64_t offset, size_t len)
{
    struct sl_slab *slab = sl_slab_try(c->pool, SL_SLAB_LARGE);
    assert_non_null(slab);
    store_pattern(slab->base, offset, len);
    sl_slab_seal(slab);
    bool is_tail = len % SL_SLAB_BLOCK_BYTES != 0;
    if (is_tail)
        sl_store_set_bulk(&c->object, false);
    struct sl_store_write write;
    store_case_start(c);
    sl_store_write(&c->object, &write, slab, 0, len, offset, is_tail, store_case_on_write, c);
    sl_err err = store_case_finish(c);
    sl_slab_release(slab);
    return err;
}

/* `len` bytes of a pattern that depends on the offset, slab by slab. */
static inline sl_err store_write(struct store_case *c, uint64_t offset, size_t len)
{
    sl_err err = SL_OK;
    while (len > 0 && err == SL_OK) {
        size_t n = len < SL_SLAB_REGION_BYTES ? len : SL_SLAB_REGION_BYTES;
        err = store_case_write_slab(c, offset, n);
        offset += n;
        len -= n;
    }
    return err;
}

/* On c->terms, but for the rule. The name, in c->path: also that which it got. */
static inline sl_err store_commit(struct store_case *c, const char *path, uint64_t size, enum sl_conflict conflict)
{
    c->path = store_path(path);
    c->terms.conflict = conflict;
    store_case_start(c);
    sl_store_commit(&c->object, &c->path, size, &c->terms, store_case_on_object, c);
    return store_case_finish(c);
}

static inline void store_abort(struct store_case *c)
{
    store_case_start(c);
    sl_store_abort(&c->object, store_case_on_object, c);
    assert_int_equal(store_case_finish(c), SL_OK);
}

/* begin, write, commit, and abort what failed. */
static inline sl_err store_put(struct store_case *c, const char *path, size_t len, enum sl_conflict conflict)
{
    sl_err err = store_begin(c, len);
    if (err != SL_OK)
        return err;
    err = store_write(c, 0, len);
    if (err == SL_OK)
        err = store_commit(c, path, len, conflict);
    if (err != SL_OK)
        store_abort(c);
    return err;
}

/* Opens c->reader and closes it; SL_OK: *size_out. */
static inline sl_err store_look(struct store_case *c, const char *path, uint64_t *size_out)
{
    c->path = store_path(path);
    memset(&c->reader, 0xa5, sizeof c->reader);
    store_case_start(c);
    sl_store_open(c->store, &c->reader, &c->path, store_case_on_reader, c);
    sl_err err = store_case_finish(c);
    if (err != SL_OK)
        return err;
    *size_out = c->reader.size;
    struct sl_meta meta = keep_meta(&c->reader);
    store_case_start(c);
    sl_store_close(&c->reader, store_case_on_reader, c);
    err = store_case_finish(c);
    c->reader.meta = meta;
    return err;
}

/* Into c->removal. */
static inline sl_err store_remove(struct store_case *c, const char *path, const struct sl_conditions *conditions)
{
    c->path = store_path(path);
    memset(&c->removal, 0xa5, sizeof c->removal);
    store_case_start(c);
    sl_store_remove(c->store, &c->removal, &c->path, conditions, store_case_on_removal, c);
    return store_case_finish(c);
}

/* Asserts that files/<path> holds the first `len` bytes of the pattern. */
static inline void store_expect(struct store_case *c, const char *path, size_t len)
{
    char *bytes = malloc(len + 1), name[SL_PATH_BYTES_MAX + 8];
    assert_non_null(bytes);
    store_pattern(bytes, 0, len);
    snprintf(name, sizeof name, "files/%s", path);
    scratch_expect(&c->scratch, name, bytes, len);
    free(bytes);
}

#endif
