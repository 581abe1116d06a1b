/* Body buffers: page-aligned, all made at start, never more than asked for. One pool a loop; loop thread only.
 *
 * The memory is a row of 1 MiB regions. A region is handed out whole (LARGE) or, when smaller buffers are wanted,
 * cut into equal pieces of one class; when the last piece comes back the region is whole again. So neither many
 * slow clients nor few fast ones need a partition chosen in advance.
 *
 *   FREE -> FILLING (one owner writes) -> SEALED (bytes never change; disk and hash hold references) -> FREE */
#ifndef SLUICE_MEM_SLAB_H
#define SLUICE_MEM_SLAB_H

#include "sluice/base/err.h"
#include "sluice/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_SLAB_REGION_BYTES   ((size_t)1 << 20)
#define SL_SLAB_POOL_BYTES_MIN (2 * SL_SLAB_REGION_BYTES)
#define SL_SLAB_BLOCK_BYTES    ((size_t)4096) /* what O_DIRECT wants offsets and lengths to be multiples of */

enum sl_slab_class { SL_SLAB_SMALL, SL_SLAB_MEDIUM, SL_SLAB_LARGE, SL_SLAB_CLASSES };

/* 16 KiB, 128 KiB, 1 MiB */
size_t sl_slab_class_bytes(enum sl_slab_class class);

enum sl_slab_state { SL_SLAB_FREE, SL_SLAB_FILLING, SL_SLAB_SEALED };

struct sl_slab {
    struct sl_slab_pool *pool; /* fixed after init */
    char *base;                /* page aligned */
    size_t bytes;              /* capacity */
    unsigned region;           /* which region it lies in: the index of the registered buffer */
    enum sl_slab_class class;
    enum sl_slab_state state;
    unsigned references;
    struct sl_link link; /* the pool's, while FREE */
};

struct sl_slab_pool;

/* Maps `bytes` rounded down to whole regions, at least SL_SLAB_POOL_BYTES_MIN. Aborts when the memory is not there:
 * start-up only. */
struct sl_slab_pool *sl_slab_pool_create(size_t bytes);

/* Every slab must be back. NULL is fine. */
void sl_slab_pool_destroy(struct sl_slab_pool *pool);

/* The mapping, for registering with a ring: `*regions_out` regions of SL_SLAB_REGION_BYTES from the returned base. */
char *sl_slab_pool_memory(struct sl_slab_pool *pool, unsigned *regions_out);

/* How many slabs of a class all of the memory makes. */
unsigned sl_slab_pool_capacity(const struct sl_slab_pool *pool, enum sl_slab_class class);

/* A FILLING slab with one reference, yours; NULL when there is none or when others wait in line.
 * Never waits. */
struct sl_slab *sl_slab_try(struct sl_slab_pool *pool, enum sl_slab_class class);

/* A place in the line for a SMALL slab. Embedded by its owner; zeroed when idle. */
struct sl_slab_waiter;
typedef void (*sl_slab_cb)(struct sl_slab_waiter *waiter, struct sl_slab *slab, void *ctx);
struct sl_slab_waiter {
    struct sl_link link;
    struct sl_slab_pool *pool;
    struct sl_slab *slab; /* found, and not told yet */
    sl_slab_cb on_slab;
    void *ctx;
};

/* Asks for one SMALL slab, first come first served. on_slab runs once, from sl_slab_pool_run, with a FILLING slab
 * that is the waiter's own. waiter: lent until then or until sl_slab_cancel. */
void sl_slab_wait(struct sl_slab_pool *pool, struct sl_slab_waiter *waiter, sl_slab_cb on_slab, void *ctx);

/* Leaves the line; on_slab will not run. An idle waiter is fine. */
void sl_slab_cancel(struct sl_slab_waiter *waiter);

/* Serves the line while slabs last. Called by the worker as each turn ends, so that no release ever calls back. */
void sl_slab_pool_run(struct sl_slab_pool *pool);

/* Would sl_slab_pool_run serve anybody? */
bool sl_slab_pool_is_due(const struct sl_slab_pool *pool);

/* FILLING -> SEALED: from now on nobody writes. */
void sl_slab_seal(struct sl_slab *slab);

/* SEALED -> FILLING, for the holder of the only reference. */
void sl_slab_reopen(struct sl_slab *slab);

void sl_slab_acquire(struct sl_slab *slab);

/* Drops one reference; the last one makes the slab FREE. */
void sl_slab_release(struct sl_slab *slab);

struct sl_slab_stats {
    unsigned regions;
    unsigned regions_free; /* whole regions */
    unsigned slabs_in_use; /* of any class */
    unsigned waiting;      /* places taken in the line */
};
struct sl_slab_stats sl_slab_pool_stats(const struct sl_slab_pool *pool);

#endif
