/* Private to hash, for tests: the pool as on a processor of which this kernel is the best. */
#ifndef SLUICE_HASH_POOL_H
#define SLUICE_HASH_POOL_H

#include "sha256_lanes.h"
#include "sluice/hash/hash.h"

/* As sl_hash_pool_create. kernel: lent while the pool lives; NULL: OpenSSL alone. */
struct sl_hash_pool *sl_hash_pool_create_with(unsigned threads, const struct sl_sha256_kernel *kernel);

#endif
