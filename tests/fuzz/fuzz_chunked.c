/* Any bytes as a chunked body. The first byte of the input says in which steps the rest arrives. However they do, the
 * data, the end and the rest are the same; and every byte is either data or framing. */
#include "sluice/decode/chunked.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    sl_err err;
    bool is_done;
    size_t used, data_len;
    char *data;
};

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

static struct outcome decode_in_steps(const char *in, size_t len, size_t step)
{
    struct sl_chunked chunked = {0};
    struct outcome outcome = {.data = malloc(len)};
    while (outcome.err == SL_OK && !outcome.is_done && outcome.used < len) {
        size_t now = len - outcome.used < step ? len - outcome.used : step;
        char *buf = malloc(now); /* it ends where the bytes end */
        memcpy(buf, in + outcome.used, now);
        size_t data, used;
        outcome.err = sl_chunked_decode(&chunked, buf, now, &data, &used, &outcome.is_done);
        require(data <= used && used <= now);
        require(used == now || outcome.is_done || outcome.err != SL_OK);
        require(memcmp(buf + used, in + outcome.used + used, now - used) == 0);
        memcpy(outcome.data + outcome.data_len, buf, data);
        outcome.data_len += data;
        outcome.used += used;
        free(buf);
    }
    require(outcome.data_len + chunked.framing_bytes == outcome.used);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *in = (const char *)data + 1;
    struct outcome whole = decode_in_steps(in, size - 1, size - 1);
    struct outcome stepped = decode_in_steps(in, size - 1, (size_t)data[0] + 1);
    require(whole.err == stepped.err && whole.is_done == stepped.is_done && whole.used == stepped.used);
    require(whole.data_len == stepped.data_len && memcmp(whole.data, stepped.data, whole.data_len) == 0);
    free(whole.data);
    free(stepped.data);
    return 0;
}
