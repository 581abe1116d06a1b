/* The program on a disk that fails: linked like sluice, but each engine stands behind a fake disk, and a file that a
 * test maps, too, says which operation is to fail. Without SLUICE_TEST_FAULTS in its environment it is sluice.
 *
 * The test writes the words and `left` last; we count down to the one that strikes. Every loop takes part, and every
 * errand. */
#include "fake_disk.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct faults {
    _Atomic uint32_t left;      /* 1: the next one of `kinds` strikes; 0: none will */
    _Atomic uint32_t sys_errno; /* 0: its first call is a short one, of `bytes` */
    _Atomic uint32_t kinds;     /* bit i: kind i */
    _Atomic uint32_t bytes;
    _Atomic uint32_t struck;   /* the kind of the last that did, and 1 */
    _Atomic uint32_t every;    /* not 0: all of `kinds` fail until it is 0 again */
    _Atomic uint32_t turns;    /* not 0: it does not fail, but is so late */
    _Atomic uint32_t seen[32]; /* of each kind */
};

_Static_assert(SL_DISK_KINDS <= 32, "one bit each");

sl_err __real_sl_disk_create(enum sl_disk_choice choice, struct sl_slab_pool *pool, struct sl_disk **disk_out,
                             char *reason_out, size_t reason_room);
sl_err __wrap_sl_disk_create(enum sl_disk_choice choice, struct sl_slab_pool *pool, struct sl_disk **disk_out,
                             char *reason_out, size_t reason_room);

static struct faults *faults; /* NULL: nothing fails */

/* Before main(), which gives up the right to open it. */
__attribute__((constructor)) static void map_faults(void)
{
    const char *path = getenv("SLUICE_TEST_FAULTS");
    if (path == NULL)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        perror("SLUICE_TEST_FAULTS");
        _exit(1);
    }
    close(fd);
    faults = map;
}

static bool takes_last(void)
{
    uint32_t left = atomic_load(&faults->left);
    while (left > 0 && !atomic_compare_exchange_weak(&faults->left, &left, left - 1)) {
    }
    return left == 1;
}

static void before(struct sl_disk *disk, enum sl_disk_kind kind, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&faults->seen[kind], 1);
    if ((atomic_load(&faults->kinds) >> kind & 1) == 0)
        return;
    if (atomic_load(&faults->every) == 0 && !takes_last())
        return;
    atomic_store(&faults->struck, kind + 1);
    int sys_errno = (int)atomic_load(&faults->sys_errno);
    unsigned turns = atomic_load(&faults->turns);
    if (turns != 0)
        fake_disk_delay(disk, kind, 1, turns);
    else if (sys_errno != 0)
        fake_disk_fail(disk, kind, 1, sys_errno);
    else if (kind == SL_DISK_READ || kind == SL_DISK_WRITE || kind == SL_DISK_COPY)
        fake_disk_shorten(disk, kind, 1, atomic_load(&faults->bytes));
}

sl_err __wrap_sl_disk_create(enum sl_disk_choice choice, struct sl_slab_pool *pool, struct sl_disk **disk_out,
                             char *reason_out, size_t reason_room)
{
    sl_err err = __real_sl_disk_create(choice, pool, disk_out, reason_out, reason_room);
    if (err != SL_OK || faults == NULL)
        return err;
    *disk_out = fake_disk_create_over(*disk_out);
    fake_disk_have_errands(*disk_out);
    fake_disk_watch(*disk_out, before, NULL);
    return SL_OK;
}
