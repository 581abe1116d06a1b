#include "disk_loop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_MS 10000

void disk_loop_turn(struct sl_disk *disk)
{
    sl_disk_flush(disk);
    struct pollfd watched = {.fd = sl_disk_fd(disk), .events = POLLIN};
    if (poll(&watched, 1, PATIENCE_MS) == 0) {
        fprintf(stderr, "disk_loop: no completion in %d ms, %u in flight\n", PATIENCE_MS, sl_disk_inflight(disk));
        abort();
    }
    sl_disk_run(disk);
}

void disk_loop_op(struct sl_disk *disk, const struct sl_disk_op *op)
{
    while (!sl_disk_op_is_idle(op))
        disk_loop_turn(disk);
}

void disk_loop_count(struct sl_disk *disk, const unsigned *counter, unsigned target)
{
    while (*counter < target)
        disk_loop_turn(disk);
}

void disk_loop_drain(struct sl_disk *disk)
{
    while (sl_disk_inflight(disk) > 0)
        disk_loop_turn(disk);
}

void disk_loop_on_done(struct sl_disk_op *op, void *ctx)
{
    ++*(unsigned *)ctx;
}
