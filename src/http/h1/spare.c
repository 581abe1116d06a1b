/* Bytes read ahead: a head that is not whole yet, or what came behind it. They move to a room of another size as their
 * number changes, for thousands may wait with a few bytes of a body behind their heads. */
#include "../rooms.h"
#include "h1.h"

#include <assert.h>
#include <stdlib.h>

#define FEW_BYTES ((size_t)1024)

/* Of a few bytes just so many; else of two sizes, which are used again. */
static size_t room_for(size_t len)
{
    return len <= FEW_BYTES ? len : len <= SL_H1_SHORT_BYTES ? SL_H1_SHORT_BYTES : SL_H1_SPARE_BYTES;
}

static h2o_mem_recycle_t *rooms_of(struct sl_h1 *conn, size_t room)
{
    struct sl_http *http = conn->base.http;
    return room == SL_H1_SPARE_BYTES ? &http->head_rooms : room == SL_H1_SHORT_BYTES ? &http->short_rooms : NULL;
}

void sl_h1_drop_spare(struct sl_h1 *conn)
{
    h2o_mem_recycle_t *rooms = rooms_of(conn, conn->spare_room);
    if (rooms != NULL)
        sl_room_give(rooms, conn->spare);
    else
        free(conn->spare);
    conn->spare = NULL;
    conn->spare_len = conn->spare_room = 0;
}

void sl_h1_size_spare(struct sl_h1 *conn, size_t len)
{
    size_t room = room_for(len), spare_len = conn->spare_len;
    assert(len >= spare_len && len > 0 && len <= SL_H1_SPARE_BYTES);
    if (room == conn->spare_room)
        return;
    h2o_mem_recycle_t *rooms = rooms_of(conn, room);
    char *spare = rooms != NULL ? sl_room_take(rooms, room) : h2o_mem_alloc(room);
    if (spare_len > 0)
        memcpy(spare, conn->spare, spare_len);
    sl_h1_drop_spare(conn);
    conn->spare = spare;
    conn->spare_len = spare_len;
    conn->spare_room = room;
}

void sl_h1_keep_spare(struct sl_h1 *conn, const char *bytes, size_t len)
{
    assert(conn->spare == NULL);
    if (len > SL_H1_SPARE_BYTES) {
        conn->request.h2o.http1_is_persistent = 0;
        return;
    }
    sl_h1_size_spare(conn, len);
    memcpy(conn->spare, bytes, len);
    conn->spare_len = len;
}

void sl_h1_use_spare(struct sl_h1 *conn, size_t len)
{
    assert(len <= conn->spare_len);
    conn->spare_len -= len;
    if (conn->spare_len > 0)
        memmove(conn->spare, conn->spare + len, conn->spare_len);
    else
        sl_h1_drop_spare(conn);
}
