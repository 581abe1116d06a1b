#include "sluice/base/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

sl_err sl_mailbox_init(struct sl_mailbox *box)
{
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (box->fd < 0)
        return sl_err_of_errno(errno);
    pthread_mutex_init(&box->lock, NULL);
    sl_list_init(&box->queue);
    return SL_OK;
}

void sl_mailbox_dispose(struct sl_mailbox *box)
{
    assert(sl_list_is_empty(&box->queue));
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
}

static void wake(const struct sl_mailbox *box)
{
    uint64_t one = 1;
    /* The counter cannot be full: it is raised only when the queue was empty, or once a run. */
    (void)!write(box->fd, &one, sizeof one);
}

void sl_mailbox_post(struct sl_mailbox *box, struct sl_mail *mail)
{
    assert(mail->on_arrival != NULL);
    pthread_mutex_lock(&box->lock);
    bool was_empty = sl_list_is_empty(&box->queue);
    sl_list_append(&box->queue, &mail->link);
    pthread_mutex_unlock(&box->lock);
    if (was_empty)
        wake(box);
}

bool sl_mailbox_is_empty(struct sl_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    bool is_empty = sl_list_is_empty(&box->queue);
    pthread_mutex_unlock(&box->lock);
    return is_empty;
}

/* Takes the oldest out of the queue. true: that was not all. */
static bool take(struct sl_mailbox *box, struct sl_link *taken)
{
    pthread_mutex_lock(&box->lock);
    for (unsigned i = 0; i < SL_MAILBOX_RUN_MAX; i++) {
        struct sl_link *link = sl_list_shift(&box->queue);
        if (link == NULL)
            break;
        sl_list_append(taken, link);
    }
    bool has_more = !sl_list_is_empty(&box->queue);
    pthread_mutex_unlock(&box->lock);
    return has_more;
}

void sl_mailbox_run(struct sl_mailbox *box)
{
    uint64_t count;
    (void)!read(box->fd, &count, sizeof count);
    struct sl_link taken;
    sl_list_init(&taken);
    if (take(box, &taken))
        wake(box);
    for (struct sl_link *link; (link = sl_list_shift(&taken)) != NULL;) {
        struct sl_mail *mail = SL_CONTAINER_OF(link, struct sl_mail, link);
        mail->on_arrival(mail);
    }
}
