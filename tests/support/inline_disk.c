#include "inline_disk.h"

#include "disk/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct inline_disk {
    struct sl_disk base;
    struct sl_link begun;
};

static struct sl_disk_op *op_of(struct sl_link *link)
{
    return SL_CONTAINER_OF(link, struct sl_disk_op, link);
}

static void submit(struct sl_disk *disk, struct sl_disk_op *op)
{
    struct inline_disk *self = (struct inline_disk *)disk;
    uint64_t one = 1;
    sl_list_append(&self->begun, &op->link);
    (void)!write(disk->fd, &one, sizeof one);
}

static void flush(struct sl_disk *disk)
{
}

static void run(struct sl_disk *disk)
{
    struct inline_disk *self = (struct inline_disk *)disk;
    uint64_t count;
    (void)!read(disk->fd, &count, sizeof count);
    struct sl_link now, done;
    sl_list_init(&now);
    sl_list_init(&done);
    sl_list_move_all(&now, &self->begun);
    for (struct sl_link *link; (link = sl_list_shift(&now)) != NULL;) {
        sl_disk_execute(op_of(link));
        sl_list_append(&done, link);
    }
    for (struct sl_link *link; (link = sl_list_shift(&done)) != NULL;)
        sl_disk_complete(op_of(link));
}

static void destroy(struct sl_disk *disk)
{
    struct inline_disk *self = (struct inline_disk *)disk;
    assert(sl_list_is_empty(&self->begun));
    close(disk->fd);
    free(self);
}

static const struct sl_disk_engine engine = {
    .name = "inline", .submit = submit, .flush = flush, .run = run, .destroy = destroy};

struct sl_disk *inline_disk_create(void)
{
    struct inline_disk *self = calloc(1, sizeof *self);
    if (self == NULL)
        abort();
    self->base = (struct sl_disk){.engine = &engine, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (self->base.fd < 0)
        abort();
    sl_list_init(&self->begun);
    return &self->base;
}
