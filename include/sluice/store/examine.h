/* What a place for a root is good for, found out for whoever wants to know before, or beside, serving it: nothing stays
 * behind, and no root is made. Blocking, any thread. */
#ifndef SLUICE_STORE_EXAMINE_H
#define SLUICE_STORE_EXAMINE_H

#include "sluice/base/err.h"
#include "sluice/disk/disk.h"
#include "sluice/store/store.h"

#include <limits.h>

struct sl_store_facts {
    char where[PATH_MAX]; /* the folder that was tried: uploads/ of the root, the root, or what is to hold it */
    bool has_root;        /* it is there already */
    const char *file_system;
    sl_err
        err; /* SL_OK: it can be written. SL_READ_ONLY, SL_DENIED, SL_NO_SPACE, ...: what kept a file from being made;
                   what follows, but for room, is not known then */
    int sys_errno;
    bool has_unnamed, has_direct, has_noreplace, has_meta, has_allocate, has_reflink;
    uint64_t free_bytes, bytes, free_inodes, inodes; /* inodes 0: this file system does not count them */
};

/* root: as of sl_store_options, lent for the call. Another error than facts_out->err is never: what is not to be had is
 * told as such. */
void sl_store_examine(const char *root, struct sl_store_facts *facts_out);

/* In words for one line: "reason; cure". */
struct sl_store_refusal {
    char reason[320]; /* whose the folder is and who we are; "": what the errno says is all there is to say */
    char cure[512];
};

/* sys_errno: why `where`, which is `root` or a folder in it, cannot be made, opened or written; both are lent for the
 * call. Looks at them as the user we are now. */
void sl_store_explain(int sys_errno, const char *root, const char *where, struct sl_store_refusal *out);

struct sl_store_speed {
    uint64_t bulk_bytes, bulk_ns; /* written through the engine, the last sync counted in */
    uint64_t smalls, small_ns;    /* files of 4 KiB, one after the other, each made and synced as the store does */
};

/* Writes into facts->where for about as long as `ns` each way, at most `bytes_max`, to files without a name or with one
 * that is removed. facts, disk, slabs (of the disk): lent for the call; the disk is idle before and after. durability,
 * is_direct: as of sl_store_options. On failure what came before it is told. */
SL_MUST_CHECK sl_err sl_store_measure(const struct sl_store_facts *facts, enum sl_durability durability,
                                      bool is_direct, uint64_t ns, uint64_t bytes_max, struct sl_disk *disk,
                                      struct sl_slab_pool *slabs, struct sl_store_speed *speed_out);

#endif
