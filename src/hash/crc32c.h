/* CRC-32C (Castagnoli; RFC 3720 appendix B.4), which OpenSSL does not have. Pure. Any thread. */
#ifndef SLUICE_HASH_CRC32C_H
#define SLUICE_HASH_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what gave `crc` followed by `data`; nothing yet is 0. */
uint32_t sl_crc32c(uint32_t crc, const void *data, size_t len);

/* The same by tables, for machines without the instruction. */
uint32_t sl_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
