/* Which work keeps a loop: a name for each piece of it, for the report on a turn that took too long. Only in builds
 * that are made to tell (SLUICE_TELL_SLOW_TURNS); of others nothing of this is left. Each thread for itself.
 *
 *     const char *before = sl_doing("reading");
 *     transport->on_readable(transport->owner);
 *     sl_doing(before);
 *
 * What nobody names is called "timers and the loop itself". */
#ifndef SLUICE_BASE_DOING_H
#define SLUICE_BASE_DOING_H

#include <stdint.h>

#ifdef SLUICE_TELL_SLOW_TURNS

/* From now on it is at `what`, static. What it was at before. */
const char *sl_doing(const char *what);

/* A turn begins. */
void sl_doing_begin_turn(void);

/* It is over. What it was at for longest at a stretch, static, and how long that was; how much of the whole turn it
 * had the CPU; how often it gave it up because it had to wait for something, which a loop never should, and how often
 * it was taken from it. */
struct sl_doing_report {
    const char *what;
    uint64_t what_ns, turn_ns, cpu_ns;
    long waits, preemptions;
};
struct sl_doing_report sl_doing_end_turn(void);

#else

static inline const char *sl_doing(const char *what)
{
    return what;
}

#endif
#endif
