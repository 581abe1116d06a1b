/* Time, in nanoseconds. Any thread. */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

#define SL_MS  UINT64_C(1000000)
#define SL_SEC UINT64_C(1000000000)

/* Never goes back; for durations. */
uint64_t sl_clock_now_ns(void);

/* The same clock as of its last tick, some milliseconds ago: a fraction of the cost, for what is asked with each piece
 * of a body. Of now_ns and this one, the later call may tell the earlier time. */
uint64_t sl_clock_coarse_ns(void);

/* Since 1970, UTC; may jump. For names and log lines. */
uint64_t sl_clock_wall_ns(void);

/* The same, and to its thread never an earlier time than before: where the wall's clock was set back, this one goes
 * half as fast until that has caught up. For timers. */
uint64_t sl_clock_onward_ns(void);

/* "2026-11-21T03:04:05.678Z" */
#define SL_CLOCK_RFC3339_BYTES 25
void sl_clock_rfc3339(uint64_t wall_ns, char text_out[SL_CLOCK_RFC3339_BYTES]);

#endif
