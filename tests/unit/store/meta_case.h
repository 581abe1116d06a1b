/* Metadata and conditions for tests of the store. */
#ifndef SLUICE_TESTS_META_CASE_H
#define SLUICE_TESTS_META_CASE_H

#include "store_case.h"

#include <sys/xattr.h>

struct meta_case {
    struct sl_meta meta;
    char encoded[SL_META_BYTES_MAX];
};

/* Digests of the algorithms in `set`, each byte of which is `byte`; the entity tag hangs on it. */
static inline struct sl_room meta_case_fill(struct meta_case *m, sl_hash_set set, int byte)
{
    bool has_fields;
    *m = (struct meta_case){.meta = {.name = SL_BYTES("original name.txt"), .type = SL_BYTES("text/plain")}};
    m->meta.digests.set = set;
    memset(m->meta.digests.value, byte, sizeof m->meta.digests.value);
    return (struct sl_room){m->encoded, sl_meta_encode(&m->meta, m->encoded, &has_fields)};
}

/* Puts a file of `len` bytes whose SHA-256 is said to be of `byte`s, overwriting. Its entity tag: c->object.etag. */
static inline void meta_case_put(struct store_case *c, const char *path, size_t len, int byte)
{
    struct meta_case m;
    struct sl_store_terms terms = c->terms;
    c->terms = (struct sl_store_terms){.meta = meta_case_fill(&m, 1u << SL_HASH_SHA256, byte)};
    assert_int_equal(store_put(c, path, len, SL_CONFLICT_OVERWRITE), SL_OK);
    c->terms = terms;
}

/* What open tells of the name, in c->reader. */
static inline void meta_case_expect_etag(struct store_case *c, const char *path, const char *etag)
{
    uint64_t size;
    assert_int_equal(store_look(c, path, &size), SL_OK);
    assert_string_equal(c->reader.etag, etag);
}

#endif
