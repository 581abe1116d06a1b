#include "crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *s, size_t len)
{
    uint64_t state = ~crc;
    for (; len >= 8; s += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, s, sizeof word);
        state = _mm_crc32_u64(state, word);
    }
    for (; len > 0; s++, len--)
        state = _mm_crc32_u8((uint32_t)state, *s);
    return ~(uint32_t)state;
}
#endif

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, data, len);
#endif
    return sl_crc32c_portable(crc, data, len);
}

/* tables[n][b]: what byte b does to the state once n more bytes have passed ("slicing by 8"). */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    const uint32_t polynomial = 0x82f63b78; /* 0x1edc6f41, lowest bit first */
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t state = b;
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? polynomial : 0);
        tables[0][b] = state;
    }
    for (int n = 1; n < 8; n++)
        for (int b = 0; b < 256; b++)
            tables[n][b] = tables[n - 1][b] >> 8 ^ tables[0][tables[n - 1][b] & 0xff];
}

uint32_t sl_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *s = data;
    uint32_t state = ~crc;
    pthread_once(&tables_once, make_tables);
    for (; len >= 8; s += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, s, sizeof word);
        word = le64toh(word) ^ state;
        state = 0;
        for (int i = 0; i < 8; i++)
            state ^= tables[7 - i][word >> 8 * i & 0xff];
    }
    for (; len > 0; s++, len--)
        state = state >> 8 ^ tables[0][(state ^ *s) & 0xff];
    return ~state;
}
