/* A disk that fails when it is told to. It is an sl_disk like any other (sl_disk_destroy() ends it) in front of a real
 * one: what no fault is armed for really happens. Loop thread. */
#ifndef SLUICE_TESTS_FAKE_DISK_H
#define SLUICE_TESTS_FAKE_DISK_H

#include "sluice/disk/disk.h"

#define FAKE_DISK_ANY SL_DISK_KINDS /* in the place of a kind: every kind */

/* In front of the thread engine. Aborts on failure. Yours. */
struct sl_disk *fake_disk_create(void);

/* In front of `inner`, which it takes. */
struct sl_disk *fake_disk_create_over(struct sl_disk *inner);

/* It takes errands, as the engines do; by itself it does not, so that steps are seen one by one. What is done on one is
 * watched and broken by whoever watches (fake_disk_watch, called on a thread of the engine then, with the errand's own
 * disk), and neither held nor counted. */
void fake_disk_have_errands(struct sl_disk *disk);

/* From now on runs before each operation, also before one that is held and let go; it may arm a fault for it. ctx:
 * lent. */
typedef void (*fake_disk_cb)(struct sl_disk *disk, enum sl_disk_kind kind, void *ctx);
void fake_disk_watch(struct sl_disk *disk, fake_disk_cb before, void *ctx);

/* The nth operation of `kind` from now, 1 being the next, ends with sys_errno and does not reach the disk; only a
 * CLOSE closes its fd all the same. EINTR, and what tells that there is no copy_file_range(2), are taken as the engines
 * take them. A held operation counts when it is let go. Each fault strikes once; up to 16 are armed. */
void fake_disk_fail(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, int sys_errno);

/* The first call of the nth READ, WRITE or COPY from now moves `bytes` bytes only, at most all but one; the engine has
 * to go on from there. */
void fake_disk_shorten(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, size_t bytes);

/* The nth operation of `kind` from now reaches the disk only when it is the only one under way, or `turns` > 0 calls of
 * sl_disk_run() are over: what is begun after it may end before it. One at a time is delayed; sl_disk_run() is asked
 * for as long as one is. */
void fake_disk_delay(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, unsigned turns);

/* Forgets all faults that have not struck. */
void fake_disk_disarm(struct sl_disk *disk);

/* From now on operations of `kind` are started but go nowhere. */
void fake_disk_hold(struct sl_disk *disk, enum sl_disk_kind kind);

/* Operations being held. */
unsigned fake_disk_held(const struct sl_disk *disk);

/* Lets go of the oldest held one. */
void fake_disk_release_one(struct sl_disk *disk);

/* Lets go of all and holds no more. */
void fake_disk_release(struct sl_disk *disk);

/* Operations of `kind` started since create. */
unsigned fake_disk_started(const struct sl_disk *disk, enum sl_disk_kind kind);

/* SYNCs among them that were of the data only. */
unsigned fake_disk_started_data_syncs(const struct sl_disk *disk);

#endif
