/* The only way between threads: a queue into one loop. Posting hands the mail over completely; the loop's thread
 * runs it in a later turn. A mailbox is a completion source: the worker watches its fd and calls run. */
#ifndef SLUICE_BASE_MAILBOX_H
#define SLUICE_BASE_MAILBOX_H

#include "sluice/base/err.h"
#include "sluice/base/list.h"

#include <pthread.h>
#include <stdbool.h>

struct sl_mail;
typedef void (*sl_mail_cb)(struct sl_mail *mail);

/* Embedded in what travels; the mailbox links it, never frees it. */
struct sl_mail {
    struct sl_link link;
    sl_mail_cb on_arrival; /* runs on the mailbox's thread; the mail is free to be posted again */
};

struct sl_mailbox {
    int fd; /* eventfd; fixed after init */
    pthread_mutex_t lock;
    struct sl_link queue; /* under lock */
};

/* SL_TOO_MANY_FILES when there is no eventfd; then nothing needs disposing. */
SL_MUST_CHECK sl_err sl_mailbox_init(struct sl_mailbox *box);

/* The queue must be empty and no thread may post any more. */
void sl_mailbox_dispose(struct sl_mailbox *box);

/* Any thread. mail: taken until on_arrival starts; on_arrival is set by the caller before. Cannot fail. */
void sl_mailbox_post(struct sl_mailbox *box, struct sl_mail *mail);

/* Any thread. false may be old news by the time it is read, unless nobody posts any more. */
bool sl_mailbox_is_empty(struct sl_mailbox *box);

/* So much of it is run at a time: thousands that arrive together would keep the loop from all else. */
#define SL_MAILBOX_RUN_MAX 64

/* Owner's thread. Runs what had arrived when it was called, the oldest SL_MAILBOX_RUN_MAX of it; the others, and what
 * arrives meanwhile, wait for the next turn. */
void sl_mailbox_run(struct sl_mailbox *box);

#endif
