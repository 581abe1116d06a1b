#include "sluice/net/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static void on_watch_readable(h2o_socket_t *socket, const char *err)
{
    struct sl_watch *watch = socket->data;
    (void)err;
    watch->on_readable(watch->ctx);
}

sl_err sl_watch_start(struct sl_watch *watch, h2o_loop_t *loop, int fd, void (*on_readable)(void *ctx), void *ctx)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* h2o closes what it watches */
    if (own < 0)
        return sl_err_of_errno(errno);
    watch->socket = h2o_evloop_socket_create(loop, own, H2O_SOCKET_FLAG_DONT_READ);
    watch->socket->data = watch;
    watch->on_readable = on_readable;
    watch->ctx = ctx;
    h2o_socket_read_start(watch->socket, on_watch_readable);
    return SL_OK;
}

void sl_watch_stop(struct sl_watch *watch)
{
    if (watch->socket == NULL)
        return;
    h2o_socket_read_stop(watch->socket);
    h2o_socket_close(watch->socket);
    watch->socket = NULL;
}

void sl_loop_turn(h2o_loop_t *loop, int32_t max_wait_ms)
{
    /* io_uring and signals both interrupt epoll_wait, which h2o reports as failure. Anything else is a broken loop. */
    if (h2o_evloop_run(loop, max_wait_ms) != 0 && errno != EINTR)
        abort();
}
