/* Private to http/handler: buffers for what goes out. Those who send from buffers of the pool hold at most half of it
 * together, and who finds no place waits in line; so readers that do not read keep no upload waiting. Loop thread. */
#ifndef SLUICE_HTTP_HANDLER_TURN_H
#define SLUICE_HTTP_HANDLER_TURN_H

#include "sluice/http/http.h"

struct sl_turn;
typedef void (*sl_turn_cb)(struct sl_turn *turn, void *ctx);

/* Embedded by its owner; zeroed when idle. */
struct sl_turn {
    struct sl_slab *slab; /* ours from on_turn until sl_turn_end; FILLING */
    struct sl_http *http;
    struct sl_link place; /* in http->download_line */
    struct sl_slab_waiter waiter;
    sl_turn_cb on_turn;
    void *ctx;
    bool has_place, is_large;
};

/* Waits for a buffer: MEDIUM if `is_large` and one is to be had, else SMALL. on_turn runs once, perhaps before this
 * returns. */
void sl_turn_take(struct sl_turn *turn, struct sl_http *http, bool is_large, sl_turn_cb on_turn, void *ctx);

/* Takes a MEDIUM buffer if that makes nobody wait: to read ahead. */
bool sl_turn_try(struct sl_turn *turn, struct sl_http *http);

/* Gives buffer and place back, or leaves the line; who is first in line goes on. An idle turn is fine. */
void sl_turn_end(struct sl_turn *turn);

#endif
