#include "h2.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCK_BYTES      ((size_t)16 << 10) /* a frame, mostly */
#define SPARE_BLOCKS_MAX 64

struct sl_h2_block {
    struct sl_h2_block *next;
    size_t at, end; /* used up to, filled up to */
    char bytes[BLOCK_BYTES];
};

/* The loop keeps some: giving them back to the system and getting fresh pages cost more than all else of an upload. */
static struct sl_h2_block *take_block(struct sl_http *http)
{
    struct sl_h2_block *block = http->h2_spare;
    if (block != NULL) {
        http->h2_spare = block->next;
        http->h2_spare_count--;
        return block;
    }
    block = malloc(sizeof *block);
    if (block == NULL)
        abort();
    return block;
}

static void keep_block(struct sl_http *http, struct sl_h2_block *block)
{
    if (http->h2_spare_count == SPARE_BLOCKS_MAX) {
        free(block);
        return;
    }
    block->next = http->h2_spare;
    http->h2_spare = block;
    http->h2_spare_count++;
}

void sl_h2_held_free_spare(struct sl_http *http)
{
    for (struct sl_h2_block *block; (block = http->h2_spare) != NULL;) {
        http->h2_spare = block->next;
        free(block);
    }
}

static struct sl_h2_block *add_block(struct sl_http *http, struct sl_h2_held *held)
{
    struct sl_h2_block *block = take_block(http);
    block->next = NULL;
    block->at = block->end = 0;
    if (held->last != NULL)
        held->last->next = block;
    else
        held->first = block;
    held->last = block;
    return block;
}

void sl_h2_held_put(struct sl_http *http, struct sl_h2_held *held, const char *bytes, size_t len)
{
    held->bytes += len;
    while (len > 0) {
        struct sl_h2_block *block = held->last;
        if (block == NULL || block->end == BLOCK_BYTES)
            block = add_block(http, held);
        size_t n = len < BLOCK_BYTES - block->end ? len : BLOCK_BYTES - block->end;
        memcpy(block->bytes + block->end, bytes, n);
        block->end += n;
        bytes += n;
        len -= n;
    }
}

struct sl_bytes sl_h2_held_front(const struct sl_h2_held *held)
{
    const struct sl_h2_block *block = held->first;
    if (block == NULL)
        return (struct sl_bytes){0};
    return (struct sl_bytes){block->bytes + block->at, block->end - block->at};
}

static void drop_first(struct sl_http *http, struct sl_h2_held *held)
{
    struct sl_h2_block *block = held->first;
    held->first = block->next;
    if (held->first == NULL)
        held->last = NULL;
    keep_block(http, block);
}

void sl_h2_held_use(struct sl_http *http, struct sl_h2_held *held, size_t n)
{
    assert(n <= held->bytes);
    held->bytes -= n;
    while (n > 0) {
        struct sl_h2_block *block = held->first;
        size_t part = n < block->end - block->at ? n : block->end - block->at;
        block->at += part;
        n -= part;
        if (block->at == block->end)
            drop_first(http, held);
    }
}

void sl_h2_held_dispose(struct sl_http *http, struct sl_h2_held *held)
{
    sl_h2_held_use(http, held, held->bytes);
}
