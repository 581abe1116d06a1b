/* How fast the multipart decoder goes through file data: `bench_multipart [MiB [boundary]]`.
 *
 * One form with one file of pseudo-random bytes, decoded in windows of 1 MiB, as the slabs of the upload path are. The
 * windows lie in one piece of memory that a large cache holds, as bytes that have just been received do, and are enough
 * that the processor cannot learn their branches by heart. Without arguments it is small, so that a test can run it.
 * The count of data bytes is checked and printed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sluice/decode/multipart.h"

#define WINDOW_BYTES   ((size_t)1 << 20)
#define WINDOWS        16
#define MIB_DEFAULT    16
#define MIB_MAX        (1 << 20)
#define BOUNDARY_CURL  "------------------------d74496d66958873e"
#define PART_HEAD_TAIL "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"random.bin\"\r\n\r\n"

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fill_random(char *bytes, size_t len)
{
    uint64_t x = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < len; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, sizeof x);
    }
}

/* Decodes all of the window but what must wait; returns how many bytes of it were data. */
static uint64_t decode(struct sl_multipart *multipart, const char *window, size_t len)
{
    uint64_t data = 0;
    for (;;) {
        enum sl_multipart_event event;
        size_t bytes;
        if (sl_multipart_next(multipart, window, len, &event, &bytes) != SL_OK) {
            fprintf(stderr, "bench_multipart: the form was refused\n");
            exit(1);
        }
        if (event == SL_MULTIPART_MORE)
            return data;
        if (event == SL_MULTIPART_DATA)
            data += bytes;
        window += bytes;
        len -= bytes;
    }
}

int main(int argc, char **argv)
{
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : MIB_DEFAULT;
    const char *boundary = argc > 2 ? argv[2] : BOUNDARY_CURL;
    char type[256], head[256];
    snprintf(type, sizeof type, "multipart/form-data; boundary=\"%s\"", boundary);
    int head_len = snprintf(head, sizeof head, "--%s" PART_HEAD_TAIL, boundary);
    struct sl_multipart multipart;
    if (mib < 1 || mib > MIB_MAX || sl_multipart_init(&multipart, sl_bytes_of(type), 1) != SL_OK) {
        fprintf(stderr, "usage: bench_multipart [MiB [boundary]]\n");
        return 2;
    }
    char *windows = malloc(WINDOWS * WINDOW_BYTES);
    if (windows == NULL)
        return 1;
    fill_random(windows, WINDOWS * WINDOW_BYTES);
    uint64_t data = decode(&multipart, head, (size_t)head_len);

    double start = cpu_seconds();
    for (long i = 0; i < mib; i++)
        data += decode(&multipart, windows + (size_t)i % WINDOWS * WINDOW_BYTES, WINDOW_BYTES);
    double seconds = cpu_seconds() - start;

    printf("%ld MiB, boundary of %zu: %.0f MB/s, %.4f CPU s/GiB, %" PRIu64 " data bytes\n", mib, strlen(boundary),
           (double)data / seconds / 1e6, seconds * 1024 / (double)mib, data);
    free(windows);
    uint64_t sent = (uint64_t)mib << 20;
    return data <= sent && sent - data < (uint64_t)mib * multipart.delimiter_len ? 0 : 1;
}
