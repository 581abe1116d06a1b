#include "sluice/base/doing.h"

#ifdef SLUICE_TELL_SLOW_TURNS

#include "sluice/base/clock.h"

#include <sys/resource.h>
#include <time.h>

static const char unnamed[] = "timers and the loop itself";

static _Thread_local struct {
    const char *what;
    uint64_t since_ns, begun_ns, begun_cpu_ns;
    struct rusage begun_usage;
    struct sl_doing_report report;
} now = {.what = unnamed};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SL_SEC + (uint64_t)t.tv_nsec;
}

const char *sl_doing(const char *what)
{
    const char *before = now.what;
    uint64_t at_ns = sl_clock_now_ns(), took_ns = at_ns - now.since_ns;
    if (took_ns > now.report.what_ns) {
        now.report.what = before;
        now.report.what_ns = took_ns;
    }
    now.what = what;
    now.since_ns = at_ns;
    return before;
}

void sl_doing_begin_turn(void)
{
    now.report = (struct sl_doing_report){.what = unnamed};
    now.what = unnamed;
    now.since_ns = now.begun_ns = sl_clock_now_ns();
    now.begun_cpu_ns = cpu_ns();
    (void)getrusage(RUSAGE_THREAD, &now.begun_usage);
}

struct sl_doing_report sl_doing_end_turn(void)
{
    (void)sl_doing(unnamed);
    now.report.turn_ns = now.since_ns - now.begun_ns;
    now.report.cpu_ns = cpu_ns() - now.begun_cpu_ns;
    struct rusage usage;
    (void)getrusage(RUSAGE_THREAD, &usage);
    now.report.waits = usage.ru_nvcsw - now.begun_usage.ru_nvcsw;
    now.report.preemptions = usage.ru_nivcsw - now.begun_usage.ru_nivcsw;
    return now.report;
}

#endif
