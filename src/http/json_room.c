/* Memory for jansson, which asks for a piece for each value and each member: what one answer needs fits into the room
 * of its loop, which is empty again when the last piece has come back. What does not fit, and what threads without a
 * room ask for, is the C library's. */
#include "reply_json.h"

#include "sluice/base/sanitizers.h"

#include <assert.h>
#include <h2o/memory.h>
#include <pthread.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

#define ROOM_BYTES ((size_t)16 << 10) /* a receipt of one file needs 5 KiB */

struct room {
    alignas(max_align_t) char bytes[ROOM_BYTES];
    size_t used, pieces;
};

static _Thread_local struct room *room;

static void *take(size_t bytes)
{
    if (room == NULL || bytes == 0 || bytes > ROOM_BYTES - room->used)
        return malloc(bytes);
    void *piece = room->bytes + room->used;
    room->used += (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    room->pieces++;
    return piece;
}

static void give(void *piece)
{
    char *byte = piece;
    if (room == NULL || byte < room->bytes || byte >= room->bytes + ROOM_BYTES) {
        free(piece);
        return;
    }
    if (--room->pieces == 0)
        room->used = 0;
}

static void use_rooms(void)
{
    json_set_alloc_funcs(take, give);
}

void sl_json_room_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    assert(room == NULL);
    (void)pthread_once(&once, use_rooms);
#ifndef SL_HAS_ASAN /* it is to see each piece */
    room = h2o_mem_alloc(sizeof *room);
    room->used = room->pieces = 0;
#endif
}

void sl_json_room_close(void)
{
    assert(room == NULL || room->pieces == 0);
    free(room);
    room = NULL;
}
