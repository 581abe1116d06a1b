/* A hashed timing wheel with one level. */
#include "load_wheel.h"

#include "sluice/base/clock.h"

#define TICK_NS (5 * SL_MS)

void sl_load_wheel_init(struct sl_load_wheel *wheel, uint64_t now_ns)
{
    for (unsigned i = 0; i < SL_LOAD_WHEEL_SLOTS; i++)
        sl_list_init(&wheel->slots[i]);
    wheel->tick = now_ns / TICK_NS;
    wheel->count = 0;
}

void sl_load_wheel_add(struct sl_load_wheel *wheel, struct sl_load_timer *timer, uint64_t due_ns)
{
    timer->due_tick = (due_ns + TICK_NS - 1) / TICK_NS;
    if (timer->due_tick <= wheel->tick)
        timer->due_tick = wheel->tick + 1;
    sl_list_append(&wheel->slots[timer->due_tick % SL_LOAD_WHEEL_SLOTS], &timer->link);
    wheel->count++;
}

void sl_load_wheel_remove(struct sl_load_wheel *wheel, struct sl_load_timer *timer)
{
    if (!sl_link_is_linked(&timer->link))
        return;
    sl_link_unlink(&timer->link);
    wheel->count--;
}

static void empty_slot(struct sl_load_wheel *wheel, struct sl_link *slot, uint64_t now_tick, struct sl_link *due)
{
    struct sl_link all;
    sl_list_init(&all);
    sl_list_move_all(&all, slot);
    for (struct sl_link *link; (link = sl_list_shift(&all)) != NULL;) {
        bool is_due = SL_CONTAINER_OF(link, struct sl_load_timer, link)->due_tick <= now_tick;
        sl_list_append(is_due ? due : slot, link);
        wheel->count -= is_due;
    }
}

void sl_load_wheel_turn(struct sl_load_wheel *wheel, uint64_t now_ns, struct sl_link *due)
{
    uint64_t now_tick = now_ns / TICK_NS;
    if (now_tick <= wheel->tick)
        return;
    uint64_t steps = now_tick - wheel->tick;
    if (steps > SL_LOAD_WHEEL_SLOTS)
        steps = SL_LOAD_WHEEL_SLOTS; /* once round sees each slot */
    for (uint64_t i = 1; i <= steps; i++)
        empty_slot(wheel, &wheel->slots[(wheel->tick + i) % SL_LOAD_WHEEL_SLOTS], now_tick, due);
    wheel->tick = now_tick;
}

uint64_t sl_load_wheel_next_ns(const struct sl_load_wheel *wheel)
{
    return wheel->count > 0 ? (wheel->tick + 1) * TICK_NS : UINT64_MAX;
}
