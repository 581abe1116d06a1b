/* One run: what its connections share. One thread, one epoll, nothing in it blocks. */
#ifndef SLUICE_LOADTEST_LOAD_RUN_H
#define SLUICE_LOADTEST_LOAD_RUN_H

#include "load_options.h"
#include "load_request.h"
#include "load_stats.h"
#include "load_wheel.h"

#include "sluice/base/list.h"

struct sl_load_conn;

struct sl_load_run {
    /* fixed after init */
    const struct sl_load_options *options;
    struct sl_load_shape shape;
    int epoll_fd;
    /* changing */
    struct sl_load_stats stats;
    struct sl_load_wheel wheel;
    struct sl_link ready; /* connections between two requests */
    struct sl_link held;  /* connections waiting until all are up */
    uint64_t issued;      /* requests begun; also the next one's number */
    unsigned active;      /* requests begun and not ended */
    unsigned connecting;
    unsigned tried; /* connections whose first connect has ended, well or not */
    struct sl_load_batch batch;
    char input[1 << 20]; /* of a dropped body the kernel writes nothing here */
};

/* Does what the options say. false: the machine did not let us begin; a line on stderr says why. */
bool sl_load_run_all(const struct sl_load_options *options, const struct sl_load_body *body,
                     struct sl_load_stats *stats_out);

#endif
