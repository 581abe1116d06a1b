/* What stands behind disk.h. disk.c fills an operation and hands it to an engine; the engine gets it done and gives
 * it back through sl_disk_complete(). Two engines live here; tests put a third in the same place.
 *
 * An engine owns an op from submit until sl_disk_complete() and may use op->link meanwhile. It completes ops only in
 * its run(), each exactly once, and few of them at a time. Loop thread, unless it says otherwise. */
#ifndef SLUICE_SRC_DISK_ENGINE_H
#define SLUICE_SRC_DISK_ENGINE_H

#include "sluice/base/bytes.h"
#include "sluice/base/clock.h"
#include "sluice/disk/disk.h"

struct sl_disk_engine {
    const char *name;
    bool has_errands;
    void (*submit)(struct sl_disk *disk, struct sl_disk_op *op);
    void (*flush)(struct sl_disk *disk);
    void (*run)(struct sl_disk *disk);
    void (*destroy)(struct sl_disk *disk);
};

/* Operations of a kind of which only so much may be with the engine: the others wait. */
struct sl_disk_turns {
    size_t taken;
    struct sl_link waiting; /* zeroed until there is one */
};

/* The first member of each engine. */
struct sl_disk {
    const struct sl_disk_engine *engine; /* fixed after create */
    int fd;                              /* readable when run() has something to do; fixed after create */
    /* kept by disk.c */
    unsigned inflight;
    struct sl_disk_turns lists, copies, locks, reads;
    struct sl_histogram *syncs; /* NULL: nobody wants to know how long they take */
};

/* So many are completed in a run, and fewer where on_done has much to do: of a thousand that end together the others
 * have the next turns, lest they keep the loop from all else. */
#define SL_DISK_RUN_MAX 256
#define SL_DISK_RUN_NS  (SL_MS / 2)

/* Completes the first ops of the list, and sees to it that run() is called again for the rest. From run(). */
void sl_disk_complete_some(struct sl_disk *disk, struct sl_link *done);

/* Threads of an engine; of one that helps a ring, too: cold reads wait there for the disk. */
#define SL_DISK_THREAD_COUNT 8

/* SL_TOO_MANY_FILES: no eventfd. SL_NO_MEMORY: no threads. *disk_out is yours. */
SL_MUST_CHECK sl_err sl_disk_threads_create(unsigned threads, struct sl_disk **disk_out);

/* As sl_disk_create(). SL_UNSUPPORTED: there is no io_uring here. `why` gets the words for the log in every case. */
SL_MUST_CHECK sl_err sl_disk_uring_create(struct sl_slab_pool *pool, struct sl_disk **disk_out, struct sl_text *why);

/* Runs op to its end with blocking system calls. Any thread that owns op. */
void sl_disk_execute(struct sl_disk_op *op);

/* Does what sl_disk_list() asks for, blocking: the bytes in list->out, or -1 and errno. Any thread that owns the op. */
int64_t sl_disk_list_now(int dir_fd, struct sl_disk_list *list);

/* Does what sl_disk_errand() asks for; 0. Any thread that owns the op. */
int64_t sl_disk_errand_now(void (*run)(struct sl_disk *here, void *ctx), void *ctx);

/* Takes in what one system call said about op: its result, or -errno. true: op is over and its outcome is set.
 * false: call again for what is left. Any thread that owns op. */
bool sl_disk_advance(struct sl_disk_op *op, int64_t res);

/* Gives back op's slab and runs on_done. op is idle from then on. */
void sl_disk_complete(struct sl_disk_op *op);

#endif
