/* Private to http: memory that is kept for the next one who needs as much, so that a small request costs no allocation
 * once the server is warm. Each kind of room has its own store in struct sl_http. Loop thread. */
#ifndef SLUICE_HTTP_ROOMS_H
#define SLUICE_HTTP_ROOMS_H

#include <h2o/memory.h>

/* At most `kept` of them lie idle. */
void sl_rooms_init(h2o_mem_recycle_t *rooms, size_t kept);

/* A room of `bytes`, which is always the same for a kind; yours until sl_room_give. Aborts when memory is out. */
void *sl_room_take(h2o_mem_recycle_t *rooms, size_t bytes);
void sl_room_give(h2o_mem_recycle_t *rooms, void *room);

/* Frees what is kept. */
void sl_rooms_free(h2o_mem_recycle_t *rooms);

#endif
