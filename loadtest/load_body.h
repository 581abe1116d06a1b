/* The bytes of a file. They depend on seed and size only, look random, repeat with an odd period (so that no two
 * slabs of a server hold the same bytes, and swapped slabs show in the digest), and are shared by all connections. */
#ifndef SLUICE_LOADTEST_LOAD_BODY_H
#define SLUICE_LOADTEST_LOAD_BODY_H

#include "sluice/base/bytes.h"

#include <stdint.h>

#define SL_LOAD_SEND_MAX    (1u << 20)
#define SL_LOAD_SHA256_TEXT 65

struct sl_load_body {
    char *bytes; /* one period and SL_LOAD_SEND_MAX of the next, so that a slice is always one piece */
    uint64_t size;
    uint64_t start;
};

/* Scatters the bits of `x`: the source of everything pseudo-random here. */
uint64_t sl_load_mix(uint64_t x);

void sl_load_body_init(struct sl_load_body *body, uint64_t seed, uint64_t size);
void sl_load_body_dispose(struct sl_load_body *body);

/* Bytes from `offset` on: at most len_max, at most SL_LOAD_SEND_MAX, at most to the end. Lives as long as the body. */
struct sl_bytes sl_load_body_slice(const struct sl_load_body *body, uint64_t offset, uint64_t len_max);

/* The digest that a server should tell, in lower-case hex. */
void sl_load_body_sha256(const struct sl_load_body *body, char hex_out[SL_LOAD_SHA256_TEXT]);

#endif
