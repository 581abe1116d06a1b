/* Kept objects for tests of the store: as store_case.h, of store/kept.h. */
#ifndef SLUICE_TESTS_KEPT_CASE_H
#define SLUICE_TESTS_KEPT_CASE_H

#include "meta_case.h"

#define KEPT_ID    "abcdefghijklmnopqrstuvwx27"
#define KEPT_OTHER "zyxwvutsrqponmlkjihgfedc22"

struct kept_case {
    char state[SL_STORE_STATE_BYTES_MAX + 1]; /* of kept_resume; NUL behind it */
    struct meta_case m;
};

static inline const char *kept_path(const struct store_case *c, const char *id)
{
    char name[64];
    snprintf(name, sizeof name, "uploads/%s", id);
    return scratch_path(&c->scratch, name);
}

static inline bool kept_has(const struct store_case *c, const char *id)
{
    return access(kept_path(c, id), F_OK) == 0;
}

static inline sl_err kept_keep(struct store_case *c, const char *id, const char *state)
{
    store_case_start(c);
    sl_store_keep(&c->object, id, sl_bytes_of(state), store_case_on_object, c);
    return store_case_finish(c);
}

static inline void kept_release(struct store_case *c)
{
    store_case_start(c);
    sl_store_release(&c->object, store_case_on_object, c);
    assert_int_equal(store_case_finish(c), SL_OK);
}

static inline sl_err kept_resume(struct store_case *c, struct kept_case *k, const char *id)
{
    memset(&c->object, 0xa5, sizeof c->object);
    memset(k->state, '?', sizeof k->state);
    store_case_start(c);
    sl_store_resume(c->store, &c->object, id, k->state, store_case_on_object, c);
    sl_err err = store_case_finish(c);
    k->state[err == SL_OK ? c->object.state_len : 0] = '\0';
    return err;
}

/* As kept_resume, to be read only. */
static inline sl_err kept_open_to_read(struct store_case *c, struct kept_case *k, const char *id)
{
    store_case_start(c);
    sl_store_look(c->store, &c->object, id, k->state, store_case_on_object, c);
    sl_err err = store_case_finish(c);
    k->state[err == SL_OK ? c->object.state_len : 0] = '\0';
    return err;
}

/* Asserts that there is such a state of this id, and leaves the object open. */
static inline void kept_expect_state(struct store_case *c, struct kept_case *k, const char *id, const char *state)
{
    assert_int_equal(kept_resume(c, k, id), SL_OK);
    assert_string_equal(k->state, state);
}

/* begin, write the pattern, keep, release. */
static inline void kept_make(struct store_case *c, const char *id, size_t len, const char *state)
{
    assert_int_equal(store_begin(c, SL_STORE_SIZE_UNKNOWN), SL_OK);
    assert_int_equal(store_write(c, 0, len), SL_OK);
    assert_int_equal(kept_keep(c, id, state), SL_OK);
    kept_release(c);
}

static inline sl_err kept_expect(struct store_case *c, uint64_t size)
{
    store_case_start(c);
    sl_store_expect(&c->object, size, store_case_on_object, c);
    return store_case_finish(c);
}

/* Asserts that at `offset` are `len` bytes of the pattern, and no more if it ends there. */
static inline void kept_expect_back(struct store_case *c, uint64_t offset, size_t asked, size_t len)
{
    struct sl_slab *slab = sl_slab_try(c->pool, SL_SLAB_LARGE);
    struct sl_store_write write;
    size_t bytes = 12345;
    char *pattern = malloc(len + 1);
    assert_non_null(slab);
    assert_non_null(pattern);
    store_pattern(pattern, offset, len);
    store_case_start(c);
    sl_store_read_back(&c->object, &write, slab, asked, offset, &bytes, store_case_on_write, c);
    assert_int_equal(store_case_finish(c), SL_OK);
    assert_int_equal(bytes, len);
    assert_memory_equal(slab->base, pattern, len);
    free(pattern);
    sl_slab_release(slab);
}

/* Commits c->object with a digest of `byte`s, kept under `id` (or NULL) with `state`. */
static inline sl_err kept_commit(struct store_case *c, struct kept_case *k, const char *path, uint64_t size,
                                 enum sl_conflict conflict, const char *id, const char *state)
{
    c->terms = (struct sl_store_terms){.meta = meta_case_fill(&k->m, 1u << SL_HASH_SHA256, 'K'), .keep_id = id};
    if (state != NULL)
        c->terms.state = sl_bytes_of(state);
    sl_err err = store_commit(c, path, size, conflict);
    c->terms = (struct sl_store_terms){0};
    return err;
}

/* Opens what is kept and closes it; into c->reader. */
static inline sl_err kept_look(struct store_case *c, const char *id)
{
    memset(&c->reader, 0xa5, sizeof c->reader);
    store_case_start(c);
    sl_store_open_kept(c->store, &c->reader, id, store_case_on_reader, c);
    sl_err err = store_case_finish(c);
    if (err != SL_OK)
        return err;
    store_case_start(c);
    sl_store_close(&c->reader, store_case_on_reader, c);
    return store_case_finish(c);
}

/* Drops what is kept under the id. */
static inline void kept_drop(struct store_case *c, struct kept_case *k, const char *id)
{
    assert_int_equal(kept_resume(c, k, id), SL_OK);
    store_abort(c);
    assert_null(c->object.kept);
    assert_false(kept_has(c, id));
}

/* Another name for it, below the scratch folder. */
static inline void kept_link(const struct store_case *c, const char *id, const char *name)
{
    char from[256];
    snprintf(from, sizeof from, "%s", kept_path(c, id));
    assert_int_equal(link(from, scratch_path(&c->scratch, name)), 0);
}

/* Do the two names stand for one file? */
static inline bool kept_is_same(const struct store_case *c, const char *id, const char *path)
{
    struct stat a, b;
    char name[SL_PATH_BYTES_MAX + 8];
    snprintf(name, sizeof name, "files/%s", path);
    return stat(kept_path(c, id), &a) == 0 && stat(scratch_path(&c->scratch, name), &b) == 0 && a.st_ino == b.st_ino;
}

#endif
