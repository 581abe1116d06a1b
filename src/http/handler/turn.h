/* Private to http/handler: buffers for what goes out. Those who send from buffers of the pool hold at most half of it
 * in MEDIUM buffers and an eighth in SMALL ones, and who finds no place waits in line; so readers that do not read keep
 * no upload waiting. Nor each other: who is served no MEDIUM buffer gets a SMALL one, and while somebody waits, a
 * reader that takes nothing for seconds is given up. Loop thread. */
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
    bool has_place, has_small_place, is_large;
    struct sl_link sending;     /* in http->senders */
    struct sl_request *request; /* whose answer is being sent from it */
    uint64_t since_ns;
};

/* Waits for a buffer: MEDIUM if `is_large` and one is to be had, else SMALL. on_turn runs once, perhaps before this
 * returns. */
void sl_turn_take(struct sl_turn *turn, struct sl_http *http, bool is_large, sl_turn_cb on_turn, void *ctx);

/* Are so many of the MEDIUM buffers held that a newcomer should get a SMALL one? */
bool sl_turns_are_many(const struct sl_http *http);

/* Takes a MEDIUM buffer if that makes nobody wait: to read ahead. */
bool sl_turn_try(struct sl_turn *turn, struct sl_http *http);

/* The buffer is being sent, as part of this request's answer, until sl_turn_end. */
void sl_turn_send(struct sl_turn *turn, struct sl_request *request);

/* Gives buffer and place back, or leaves the line; who is first in line goes on. An idle turn is fine. */
void sl_turn_end(struct sl_turn *turn);

/* Once a turn of the loop, and once a second: gives up some of the readers that others wait for. */
void sl_turns_run(struct sl_http *http);

#endif
