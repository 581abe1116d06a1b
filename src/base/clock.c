#include "sluice/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * SL_SEC + (uint64_t)t.tv_nsec;
}

uint64_t sl_clock_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t sl_clock_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t sl_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t sl_clock_onward_ns(void)
{
    static _Thread_local uint64_t told_ns, told_at_ns;
    uint64_t wall_ns = read_clock(CLOCK_REALTIME), now_ns = read_clock(CLOCK_MONOTONIC);
    told_ns = wall_ns >= told_ns ? wall_ns : told_ns + (now_ns - told_at_ns) / 2;
    told_at_ns = now_ns;
    return told_ns;
}

void sl_clock_rfc3339(uint64_t wall_ns, char text_out[SL_CLOCK_RFC3339_BYTES])
{
    time_t seconds = (time_t)(wall_ns / SL_SEC);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ns % SL_SEC / SL_MS));
    snprintf(text_out, SL_CLOCK_RFC3339_BYTES, "%.24s", text);
}
