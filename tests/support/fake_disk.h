/* A disk that fails when it is told to. It is an sl_disk like any other (sl_disk_destroy() ends it) in front of the
 * thread engine: what no fault is armed for really happens. Loop thread. */
#ifndef SLUICE_TESTS_FAKE_DISK_H
#define SLUICE_TESTS_FAKE_DISK_H

#include "sluice/disk/disk.h"

#define FAKE_DISK_ANY SL_DISK_KINDS /* in the place of a kind: every kind */

/* Aborts on failure. Yours. */
struct sl_disk *fake_disk_create(void);

/* The nth operation of `kind` from now, 1 being the next, ends with sys_errno and does not reach the disk; only a
 * CLOSE closes its fd all the same. EINTR is taken as the engines take it. A held operation counts when it is let go.
 * Each fault strikes once; up to 16 are armed. */
void fake_disk_fail(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, int sys_errno);

/* The first call of the nth READ or WRITE from now moves `bytes` bytes only, at most all but one; the engine has to
 * go on from there. */
void fake_disk_shorten(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, size_t bytes);

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

#endif
