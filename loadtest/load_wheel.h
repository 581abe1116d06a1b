/* Timers of many slow connections: adding, removing and firing cost the same whatever their number. Coarse (5 ms). */
#ifndef SLUICE_LOADTEST_LOAD_WHEEL_H
#define SLUICE_LOADTEST_LOAD_WHEEL_H

#include "sluice/base/list.h"

#include <stdint.h>

#define SL_LOAD_WHEEL_SLOTS 1024 /* 5 seconds a turn; what is due later stays for another */

struct sl_load_timer {
    struct sl_link link;
    uint64_t due_tick;
};

struct sl_load_wheel {
    struct sl_link slots[SL_LOAD_WHEEL_SLOTS];
    uint64_t tick; /* all timers up to here have fired */
    unsigned count;
};

void sl_load_wheel_init(struct sl_load_wheel *wheel, uint64_t now_ns);

/* timer: lent until it fires or is removed. Fires at due_ns or up to a tick later. */
void sl_load_wheel_add(struct sl_load_wheel *wheel, struct sl_load_timer *timer, uint64_t due_ns);

/* A timer that is not set is fine. */
void sl_load_wheel_remove(struct sl_load_wheel *wheel, struct sl_load_timer *timer);

/* Moves the timers due at now_ns to the end of `due` (linked by their link; the caller unlinks). */
void sl_load_wheel_turn(struct sl_load_wheel *wheel, uint64_t now_ns, struct sl_link *due);

/* When to look again; UINT64_MAX when no timer is set. */
uint64_t sl_load_wheel_next_ns(const struct sl_load_wheel *wheel);

#endif
