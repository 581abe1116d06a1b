/* The body buffers of one loop. See slab.h for the idea; here is the bookkeeping: whole regions in one list, free
 * pieces of each class in another, and a count per region that tells when its pieces make a whole again. */
#include "sluice/mem/slab.h"

#include "sluice/base/sanitizers.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef SL_HAS_ASAN /* whoever touches a slab that is not his is caught in the act */
#include <sanitizer/asan_interface.h>
#define POISON(base, bytes)   ASAN_POISON_MEMORY_REGION((base), (bytes))
#define UNPOISON(base, bytes) ASAN_UNPOISON_MEMORY_REGION((base), (bytes))
#else
#define POISON(base, bytes)   ((void)0)
#define UNPOISON(base, bytes) ((void)0)
#endif

#define PIECES_MAX (SL_SLAB_REGION_BYTES / (16u << 10))

struct region {
    struct sl_link link; /* in `whole` while nobody uses any of it */
    unsigned pieces_used;
    struct sl_slab pieces[PIECES_MAX];
};

struct sl_slab_pool {
    char *memory; /* fixed after create */
    void *mapping;
    size_t mapping_bytes;
    unsigned region_count;
    struct region *regions;

    struct sl_link whole; /* loop thread */
    struct sl_link pieces[SL_SLAB_CLASSES];
    struct sl_link waiters, served; /* served: have a slab, and are told this turn */
    unsigned whole_count, in_use, waiting;
};

size_t sl_slab_class_bytes(enum sl_slab_class class)
{
    static const size_t bytes[SL_SLAB_CLASSES] = {
        [SL_SLAB_SMALL] = 16u << 10, [SL_SLAB_MEDIUM] = 128u << 10, [SL_SLAB_LARGE] = SL_SLAB_REGION_BYTES};
    assert(class < SL_SLAB_CLASSES);
    return bytes[class];
}

/* Huge pages make pinning and copying cheaper; their alignment costs at most one page of address space. */
static void map_memory(struct sl_slab_pool *pool)
{
    const size_t huge = (size_t)2 << 20;
    size_t bytes = pool->region_count * SL_SLAB_REGION_BYTES;
    pool->mapping_bytes = bytes + huge;
    pool->mapping = mmap(NULL, pool->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool->mapping == MAP_FAILED)
        abort();
    pool->memory = (char *)(((uintptr_t)pool->mapping + huge - 1) & ~(huge - 1));
    (void)madvise(pool->memory, bytes, MADV_HUGEPAGE);
    /* Touched now, so that the promise of --buffer-memory is kept or broken at start, not under load. */
    for (size_t at = 0; at < bytes; at += SL_SLAB_BLOCK_BYTES)
        pool->memory[at] = 0;
    POISON(pool->memory, bytes);
}

struct sl_slab_pool *sl_slab_pool_create(size_t bytes)
{
    struct sl_slab_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        abort();
    if (bytes < SL_SLAB_POOL_BYTES_MIN)
        bytes = SL_SLAB_POOL_BYTES_MIN;
    pool->region_count = (unsigned)(bytes / SL_SLAB_REGION_BYTES);
    pool->regions = calloc(pool->region_count, sizeof *pool->regions);
    if (pool->regions == NULL)
        abort();
    map_memory(pool);
    sl_list_init(&pool->whole);
    sl_list_init(&pool->waiters);
    sl_list_init(&pool->served);
    for (unsigned class = 0; class < SL_SLAB_CLASSES; class ++)
        sl_list_init(&pool->pieces[class]);
    for (unsigned i = 0; i < pool->region_count; i++)
        sl_list_append(&pool->whole, &pool->regions[i].link);
    pool->whole_count = pool->region_count;
    return pool;
}

void sl_slab_pool_destroy(struct sl_slab_pool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->in_use == 0 && pool->whole_count == pool->region_count);
    UNPOISON(pool->memory, pool->region_count * SL_SLAB_REGION_BYTES);
    munmap(pool->mapping, pool->mapping_bytes);
    free(pool->regions);
    free(pool);
}

char *sl_slab_pool_memory(struct sl_slab_pool *pool, unsigned *regions_out)
{
    *regions_out = pool->region_count;
    return pool->memory;
}

unsigned sl_slab_pool_capacity(const struct sl_slab_pool *pool, enum sl_slab_class class)
{
    return pool->region_count * (unsigned)(SL_SLAB_REGION_BYTES / sl_slab_class_bytes(class));
}

/* Cuts a whole region into pieces of `class`. false: there is none. */
static bool cut_region(struct sl_slab_pool *pool, enum sl_slab_class class)
{
    struct sl_link *link = sl_list_shift(&pool->whole);
    if (link == NULL)
        return false;
    pool->whole_count--;
    struct region *region = SL_CONTAINER_OF(link, struct region, link);
    unsigned index = (unsigned)(region - pool->regions);
    size_t bytes = sl_slab_class_bytes(class);
    for (size_t i = 0; i < SL_SLAB_REGION_BYTES / bytes; i++) {
        struct sl_slab *slab = &region->pieces[i];
        *slab = (struct sl_slab){.pool = pool,
                                 .base = pool->memory + index * SL_SLAB_REGION_BYTES + i * bytes,
                                 .bytes = bytes,
                                 .region = index,
                                 .class = class};
        sl_list_append(&pool->pieces[class], &slab->link);
    }
    return true;
}

static struct sl_slab *take_piece(struct sl_slab_pool *pool, enum sl_slab_class class)
{
    struct sl_link *link = sl_list_shift(&pool->pieces[class]);
    if (link == NULL && cut_region(pool, class))
        link = sl_list_shift(&pool->pieces[class]);
    if (link == NULL)
        return NULL;
    struct sl_slab *slab = SL_CONTAINER_OF(link, struct sl_slab, link);
    assert(slab->state == SL_SLAB_FREE && slab->references == 0);
    slab->state = SL_SLAB_FILLING;
    slab->references = 1;
    UNPOISON(slab->base, slab->bytes);
    pool->regions[slab->region].pieces_used++;
    pool->in_use++;
    return slab;
}

struct sl_slab *sl_slab_try(struct sl_slab_pool *pool, enum sl_slab_class class)
{
    if (!sl_list_is_empty(&pool->waiters)) /* what is free is theirs, as soon as the line is served */
        return NULL;
    return take_piece(pool, class);
}

void sl_slab_wait(struct sl_slab_pool *pool, struct sl_slab_waiter *waiter, sl_slab_cb on_slab, void *ctx)
{
    waiter->pool = pool;
    waiter->on_slab = on_slab;
    waiter->ctx = ctx;
    sl_list_append(&pool->waiters, &waiter->link);
    pool->waiting++;
}

void sl_slab_cancel(struct sl_slab_waiter *waiter)
{
    if (!sl_link_is_linked(&waiter->link))
        return;
    sl_link_unlink(&waiter->link);
    if (waiter->slab != NULL) {
        sl_slab_release(waiter->slab);
        waiter->slab = NULL;
    } else {
        waiter->pool->waiting--;
    }
}

/* true: somebody found one. */
static bool serve_line(struct sl_slab_pool *pool)
{
    while (!sl_list_is_empty(&pool->waiters)) {
        struct sl_slab_waiter *waiter = SL_CONTAINER_OF(pool->waiters.next, struct sl_slab_waiter, link);
        waiter->slab = take_piece(pool, SL_SLAB_SMALL);
        if (waiter->slab == NULL)
            break;
        sl_link_unlink(&waiter->link);
        sl_list_append(&pool->served, &waiter->link);
        pool->waiting--;
    }
    return !sl_list_is_empty(&pool->served);
}

/* All find theirs before the first is told: who is told may try for more, and has it if nobody is left in the line. */
void sl_slab_pool_run(struct sl_slab_pool *pool)
{
    while (serve_line(pool)) {
        for (struct sl_link *link; (link = sl_list_shift(&pool->served)) != NULL;) {
            struct sl_slab_waiter *waiter = SL_CONTAINER_OF(link, struct sl_slab_waiter, link);
            struct sl_slab *slab = waiter->slab;
            waiter->slab = NULL;
            waiter->on_slab(waiter, slab, waiter->ctx);
        }
    }
}

bool sl_slab_pool_is_due(const struct sl_slab_pool *pool)
{
    bool has_any = !sl_list_is_empty(&pool->pieces[SL_SLAB_SMALL]) || !sl_list_is_empty(&pool->whole);
    return has_any && !sl_list_is_empty(&pool->waiters);
}

void sl_slab_seal(struct sl_slab *slab)
{
    assert(slab->state == SL_SLAB_FILLING);
    slab->state = SL_SLAB_SEALED;
}

void sl_slab_reopen(struct sl_slab *slab)
{
    assert(slab->state == SL_SLAB_SEALED && slab->references == 1);
    slab->state = SL_SLAB_FILLING;
}

void sl_slab_acquire(struct sl_slab *slab)
{
    assert(slab->state != SL_SLAB_FREE && slab->references > 0);
    slab->references++;
}

/* The last piece is back: the region is whole again, whatever it was cut into. */
static void rejoin(struct sl_slab_pool *pool, struct region *region, enum sl_slab_class class)
{
    for (size_t i = 0; i < SL_SLAB_REGION_BYTES / sl_slab_class_bytes(class); i++)
        sl_link_unlink(&region->pieces[i].link);
    sl_list_prepend(&pool->whole, &region->link);
    pool->whole_count++;
}

void sl_slab_release(struct sl_slab *slab)
{
    assert(slab->state != SL_SLAB_FREE && slab->references > 0);
    if (--slab->references > 0)
        return;
    struct sl_slab_pool *pool = slab->pool;
    struct region *region = &pool->regions[slab->region];
    slab->state = SL_SLAB_FREE;
    POISON(slab->base, slab->bytes);
    assert(region->pieces_used > 0);
    region->pieces_used--;
    pool->in_use--;
    /* To the front: what was used last is what the caches still hold. */
    sl_list_prepend(&pool->pieces[slab->class], &slab->link);
    if (region->pieces_used == 0)
        rejoin(pool, region, slab->class);
}

struct sl_slab_stats sl_slab_pool_stats(const struct sl_slab_pool *pool)
{
    return (struct sl_slab_stats){.regions = pool->region_count,
                                  .regions_free = pool->whole_count,
                                  .slabs_in_use = pool->in_use,
                                  .waiting = pool->waiting};
}
