/* An engine without threads: sl_disk_run() executes what was begun before it, in order, and completes it. Nothing that
 * happens depends on the clock or on other CPUs, and nothing waits, so it is for inputs by the thousand. */
#ifndef SLUICE_TESTS_INLINE_DISK_H
#define SLUICE_TESTS_INLINE_DISK_H

#include "sluice/disk/disk.h"

/* Aborts on failure. Yours. */
struct sl_disk *inline_disk_create(void);

#endif
