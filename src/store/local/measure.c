/* How fast a place takes bytes: by the engine that is to serve it, with the operations that an upload is made of. The
 * engine is driven here as a loop would do it. */
#include "sluice/store/examine.h"

#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define WRITES_MAX  8 /* in flight, as a pipeline has them */
#define SMALL_BYTES 4096

struct measure {
    struct sl_disk *disk;
    struct sl_slab_pool *slabs;
    const struct sl_store_facts *facts;
    enum sl_durability durability;
    int dir_fd;
    char name[48], proc[32];
    sl_err err; /* the first one */
};

struct write {
    struct sl_disk_op op;
    struct sl_slab *slab;
};

static void on_done(struct sl_disk_op *op, void *ctx)
{
    struct measure *measure = ctx;
    if (measure->err == SL_OK)
        measure->err = op->err;
}

/* Until at most so many are in flight. */
static void run_until(struct measure *measure, unsigned inflight_max)
{
    for (sl_disk_flush(measure->disk); sl_disk_inflight(measure->disk) > inflight_max; sl_disk_flush(measure->disk)) {
        struct pollfd poll_fd = {.fd = sl_disk_fd(measure->disk), .events = POLLIN};
        if (poll(&poll_fd, 1, -1) >= 0 || errno == EINTR)
            sl_disk_run(measure->disk);
    }
}

/* What op came to; -1: it failed. */
static int64_t finish(struct measure *measure, const struct sl_disk_op *op)
{
    run_until(measure, 0);
    return op->err == SL_OK ? op->result : -1;
}

static void sync_file(struct measure *measure, struct sl_disk_op *op, int fd)
{
    if (measure->durability == SL_DURABILITY_NONE || measure->err != SL_OK)
        return;
    sl_disk_sync(measure->disk, op, fd, measure->durability == SL_DURABILITY_DATA, on_done, measure);
    run_until(measure, 0);
}

/* -1: measure->err says why. */
static int open_file(struct measure *measure, struct sl_disk_op *op)
{
    bool is_unnamed = measure->facts->has_unnamed;
    struct open_how how = {.flags = O_RDWR | (is_unnamed ? O_TMPFILE : O_CREAT | O_EXCL), .mode = 0600};
    sl_disk_open(measure->disk, op, measure->dir_fd, is_unnamed ? "." : measure->name, how, on_done, measure);
    return (int)finish(measure, op);
}

static void close_file(struct measure *measure, struct sl_disk_op *op, int fd)
{
    if (!measure->facts->has_unnamed)
        (void)unlinkat(measure->dir_fd, measure->name, 0);
    sl_disk_close(measure->disk, op, fd, on_done, measure);
    run_until(measure, 0);
}

static struct sl_slab *filled_slab(struct measure *measure, enum sl_slab_class class)
{
    struct sl_slab *slab = sl_slab_try(measure->slabs, class);
    if (slab == NULL)
        return NULL;
    for (size_t at = 0; at < slab->bytes; at += 256) /* getrandom(2) gives so many at once; no zeros to be packed */
        (void)!getrandom(slab->base + at, 256, 0);
    sl_slab_seal(slab);
    return slab;
}

/* ---- much ---- */

/* The next one that is idle; all are of one kind. */
static struct write *idle_write(struct write *writes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (sl_disk_op_is_idle(&writes[i].op))
            return &writes[i];
    return NULL;
}

/* As much as there is time and room for: how many bytes. */
static uint64_t write_much(struct measure *measure, int fd, struct write *writes, unsigned count, uint64_t end_ns,
                           uint64_t bytes_max)
{
    uint64_t offset = 0;
    while (measure->err == SL_OK && offset + SL_SLAB_REGION_BYTES <= bytes_max && sl_clock_now_ns() < end_ns) {
        struct write *write = idle_write(writes, count);
        if (write == NULL) {
            run_until(measure, count - 1);
            continue;
        }
        sl_disk_write(measure->disk, &write->op, fd, write->slab, 0, SL_SLAB_REGION_BYTES, offset, on_done, measure);
        offset += SL_SLAB_REGION_BYTES;
    }
    run_until(measure, 0);
    return offset;
}

static void measure_bulk(struct measure *measure, bool is_direct, uint64_t ns, uint64_t bytes_max,
                         struct sl_store_speed *speed)
{
    struct write writes[WRITES_MAX] = {0};
    struct sl_disk_op op = {0};
    unsigned count = 0;
    int fd = open_file(measure, &op);
    if (fd < 0)
        return;
    if (!measure->facts->has_unnamed)
        (void)unlinkat(measure->dir_fd, measure->name,
                       0); /* it may become large, and somebody may end us meanwhile */
    if (is_direct && measure->facts->has_direct)
        (void)fcntl(fd, F_SETFL, O_DIRECT);
    while (count < WRITES_MAX && (writes[count].slab = filled_slab(measure, SL_SLAB_LARGE)) != NULL)
        count++;
    uint64_t begun_ns = sl_clock_now_ns(), bytes = 0;
    if (count > 0)
        bytes = write_much(measure, fd, writes, count, begun_ns + ns, bytes_max);
    sync_file(measure, &op, fd);
    if (measure->err == SL_OK) {
        speed->bulk_bytes = bytes;
        speed->bulk_ns = sl_clock_now_ns() - begun_ns;
    }
    for (unsigned i = 0; i < count; i++)
        sl_slab_release(writes[i].slab);
    close_file(measure, &op, fd);
}

/* ---- many ---- */

/* As a small upload: a file, its bytes, its name, each as durable as is wanted. */
static void write_small(struct measure *measure, struct sl_slab *slab)
{
    struct sl_disk_op op = {0};
    int fd = open_file(measure, &op);
    if (fd < 0)
        return;
    sl_disk_write(measure->disk, &op, fd, slab, 0, SMALL_BYTES, 0, on_done, measure);
    run_until(measure, 0);
    sync_file(measure, &op, fd);
    if (measure->facts->has_unnamed && measure->err == SL_OK) {
        snprintf(measure->proc, sizeof measure->proc, "/proc/self/fd/%d", fd);
        sl_disk_link(measure->disk, &op, AT_FDCWD, measure->proc, measure->dir_fd, measure->name, AT_SYMLINK_FOLLOW,
                     on_done, measure);
        run_until(measure, 0);
    }
    if (measure->durability == SL_DURABILITY_FULL)
        sync_file(measure, &op, measure->dir_fd);
    (void)unlinkat(measure->dir_fd, measure->name, 0);
    close_file(measure, &op, fd);
}

static void measure_small(struct measure *measure, uint64_t ns, struct sl_store_speed *speed)
{
    struct sl_slab *slab = filled_slab(measure, SL_SLAB_SMALL);
    if (slab == NULL)
        return;
    uint64_t begun_ns = sl_clock_now_ns(), now_ns = begun_ns;
    while (measure->err == SL_OK && now_ns - begun_ns < ns) {
        write_small(measure, slab);
        now_ns = sl_clock_now_ns();
        speed->smalls += measure->err == SL_OK;
        speed->small_ns = now_ns - begun_ns;
    }
    sl_slab_release(slab);
}

sl_err sl_store_measure(const struct sl_store_facts *facts, enum sl_durability durability, bool is_direct,
                        uint64_t ns, uint64_t bytes_max, struct sl_disk *disk, struct sl_slab_pool *slabs,
                        struct sl_store_speed *speed_out)
{
    struct measure measure = {.disk = disk, .slabs = slabs, .facts = facts, .durability = durability};
    *speed_out = (struct sl_store_speed){0};
    snprintf(measure.name, sizeof measure.name, SL_LOCAL_TEMP_PREFIX "speed-%" PRIx64, sl_clock_wall_ns());
    measure.dir_fd = open(facts->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (measure.dir_fd < 0)
        return sl_err_of_errno(errno);
    if (bytes_max >= SL_SLAB_REGION_BYTES)
        measure_bulk(&measure, is_direct, ns, bytes_max, speed_out);
    if (measure.err == SL_OK && bytes_max >= SMALL_BYTES)
        measure_small(&measure, ns, speed_out);
    close(measure.dir_fd);
    return measure.err;
}
