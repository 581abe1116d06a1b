/* The proof that the others can fail: a planted fault behind four bytes that the dictionary holds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 4 && memcmp(data, "SLUI", 4) == 0)
        abort();
    return 0;
}
