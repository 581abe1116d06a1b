#include "rooms.h"

#include "sluice/base/sanitizers.h"

#include <stdlib.h>

void sl_rooms_init(h2o_mem_recycle_t *rooms, size_t kept)
{
#ifdef SL_HAS_ASAN /* whoever uses what he gave back is caught in the act */
    kept = 0;
#endif
    *rooms = (h2o_mem_recycle_t){.max = kept};
}

void *sl_room_take(h2o_mem_recycle_t *rooms, size_t bytes)
{
    return h2o_mem_alloc_recycle(rooms, bytes);
}

void sl_room_give(h2o_mem_recycle_t *rooms, void *room)
{
    h2o_mem_free_recycle(rooms, room);
}

void sl_rooms_free(h2o_mem_recycle_t *rooms)
{
    while (rooms->cnt > 0)
        free(sl_room_take(rooms, 0)); /* one that is there, whatever its size */
}
