/* sl_load: a load generator for sluice and for the baseline beside it. One process, one thread (and one for the
 * probe), loopback only. */
#include "load_body.h"
#include "load_options.h"
#include "load_run.h"
#include "load_stats.h"
#include "load_talk.h"

#include "sluice/base/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static int print_sha256(const struct sl_load_body *body)
{
    char hex[SL_LOAD_SHA256_TEXT];
    uint64_t start = sl_clock_now_ns();
    sl_load_body_sha256(body, hex);
    double seconds = (double)(sl_clock_now_ns() - start) / SL_SEC;
    printf("{\"sha256\": \"%s\", \"size\": %" PRIu64 ", \"seconds\": %.6f, \"mb_per_s\": %.1f}\n", hex, body->size,
           seconds, (double)body->size / 1e6 / seconds);
    return 0;
}

static int load(const struct sl_load_options *options, const struct sl_load_body *body)
{
    static struct sl_load_stats stats;
    if (options->dialect != SL_LOAD_H1)
        sl_load_talk_all(options, body, &stats);
    else if (!sl_load_run_all(options, body, &stats))
        return 2;
    sl_load_stats_print(&stats, options, stdout);
    return sl_load_stats_failures(&stats) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sl_load_options options;
    struct sl_load_body body;
    signal(SIGPIPE, SIG_IGN);
    if (!sl_load_options_read(&options, argc, argv))
        return 2;
    sl_load_body_init(&body, options.seed, options.size);
    int status = options.task == SL_LOAD_TASK_LOAD ? load(&options, &body) : print_sha256(&body);
    sl_load_body_dispose(&body);
    return status;
}
