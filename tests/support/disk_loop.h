/* The turns of a loop around a disk, for tests that have no loop: flush, wait for the fd, run. Waits for events, never
 * for time; a test whose event does not come within ten seconds fails. */
#ifndef SLUICE_TESTS_DISK_LOOP_H
#define SLUICE_TESTS_DISK_LOOP_H

#include "sluice/disk/disk.h"

/* One turn. Something must be in flight that will end by itself. */
void disk_loop_turn(struct sl_disk *disk);

/* Turns until `op` is idle. */
void disk_loop_op(struct sl_disk *disk, const struct sl_disk_op *op);

/* Turns until *counter has reached `target`. */
void disk_loop_count(struct sl_disk *disk, const unsigned *counter, unsigned target);

/* Turns until nothing is in flight. */
void disk_loop_drain(struct sl_disk *disk);

/* An on_done that counts: ctx is an unsigned. */
void disk_loop_on_done(struct sl_disk_op *op, void *ctx);

#endif
