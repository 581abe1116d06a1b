/* The engines a suite is held against, by number. */
#ifndef SLUICE_TESTS_TEST_ENGINE_H
#define SLUICE_TESTS_TEST_ENGINE_H

#include "sluice/disk/disk.h"

enum test_engine { TEST_IO_URING, TEST_THREADS, TEST_FAKE, TEST_ENGINES };
const char *test_engine_name(enum test_engine engine);

/* NULL: not to be had here (a kernel that forbids io_uring). */
struct sl_disk *test_engine_make(enum test_engine engine, struct sl_slab_pool *pool);

#endif
