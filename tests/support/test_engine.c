#include "test_engine.h"

#include "fake_disk.h"

#include <stdio.h>

const char *test_engine_name(enum test_engine engine)
{
    static const char *const names[TEST_ENGINES] = {"io_uring", "threads", "fake"};
    return names[engine];
}

struct sl_disk *test_engine_make(enum test_engine engine, struct sl_slab_pool *pool)
{
    if (engine == TEST_FAKE)
        return fake_disk_create();
    char reason[256];
    struct sl_disk *disk;
    enum sl_disk_choice choice = engine == TEST_IO_URING ? SL_DISK_IO_URING : SL_DISK_THREADS;
    if (sl_disk_create(choice, pool, &disk, reason, sizeof reason) != SL_OK)
        fprintf(stderr, "%s: skipped\n", reason);
    return disk;
}
