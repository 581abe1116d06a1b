/* The buffer between those who log and the fd they log to, and the thread that empties it.
 *
 * Callers copy their line into a ring under a short lock. The thread writes from the ring without the lock: what is
 * queued does not move. When the ring is full lines are lost from then on until it has been written out; then one
 * line tells how many, and lines are taken again. So the gap stands where it was, and a reader that is slow for long
 * sees few such lines. An fd that fails costs the lines that were queued and one attempt a new line, never a spin. */
#include "log_writer.h"

#include "sluice/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t has_news; /* for the thread: a line, a loss, or the end */
    bool is_running;         /* under lock, as all that follows */
    bool is_stopping;
    size_t head; /* the oldest byte of the ring */
    size_t queued_bytes;
    uint64_t lost_lines; /* and not yet told */
    int next_fd;         /* whose file takes the place of fd's; -1: none */
    int fd;              /* fixed while running */
    sl_log_lost_cb put_lost;
    pthread_t thread;
    bool is_mid_line; /* log thread: what was written last does not end in a newline */
    char ring[SL_LOG_BUFFER_BYTES];
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .has_news = PTHREAD_COND_INITIALIZER, .next_fd = -1};

/* --- callers --- */

static void copy_in(struct sl_bytes line)
{
    size_t tail = (w.head + w.queued_bytes) % sizeof w.ring;
    size_t to_end = sizeof w.ring - tail;
    size_t first = line.len < to_end ? line.len : to_end;
    memcpy(w.ring + tail, line.base, first);
    memcpy(w.ring, line.base + first, line.len - first);
    w.queued_bytes += line.len;
}

void sl_log_writer_put(struct sl_bytes line)
{
    assert(line.len > 0 && line.len <= SL_LOG_LINE_BYTES && line.base[line.len - 1] == '\n');
    pthread_mutex_lock(&w.lock);
    bool is_running = w.is_running;
    if (is_running) {
        if (w.lost_lines == 0 && line.len <= sizeof w.ring - w.queued_bytes)
            copy_in(line);
        else
            w.lost_lines++;
        pthread_cond_signal(&w.has_news);
    }
    pthread_mutex_unlock(&w.lock);
    if (!is_running)
        (void)!write(STDERR_FILENO, line.base, line.len);
}

void sl_log_writer_move(int to)
{
    pthread_mutex_lock(&w.lock);
    assert(w.is_running && to >= 0);
    int before = w.next_fd;
    w.next_fd = to;
    pthread_cond_signal(&w.has_news);
    pthread_mutex_unlock(&w.lock);
    if (before >= 0)
        close(before);
}

/* --- the log's thread --- */

static bool is_stopping(void)
{
    pthread_mutex_lock(&w.lock);
    bool answer = w.is_stopping;
    pthread_mutex_unlock(&w.lock);
    return answer;
}

/* Waits as long as it takes, but not for a reader that is stuck while we want to end. */
static bool wait_writable(void)
{
    struct pollfd p = {.fd = w.fd, .events = POLLOUT};
    for (;;) {
        int n = poll(&p, 1, SL_LOG_STALL_MS);
        if (n > 0)
            return true; /* or broken: write will say so */
        if (n < 0 && errno != EINTR)
            return false;
        if (n == 0 && is_stopping())
            return false;
    }
}

/* Writes some bytes, at least one. false: the fd is dead or stuck. A pipe that is writable takes PIPE_BUF bytes
 * without blocking, and so the thread can always be ended. */
static bool write_some(const char *base, size_t len, size_t *written_out)
{
    for (;;) {
        if (!wait_writable())
            return false;
        ssize_t n = write(w.fd, base, len < PIPE_BUF ? len : PIPE_BUF);
        if (n > 0) {
            w.is_mid_line = base[n - 1] != '\n';
            *written_out = (size_t)n;
            return true;
        }
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return false;
    }
}

/* Whole lines are queued, so all that is left goes. Lock held. */
static void lose_queued(void)
{
    for (; w.queued_bytes > 0; w.queued_bytes--) {
        w.lost_lines += w.ring[w.head] == '\n';
        w.head = (w.head + 1) % sizeof w.ring;
    }
}

/* What was begun is ended where it was. */
static bool may_move(void)
{
    return w.next_fd >= 0 && (!w.is_mid_line || w.queued_bytes == 0);
}

/* The number stays, so whoever lent it need not know. Lock held. */
static void move(void)
{
    (void)dup3(w.next_fd, w.fd, O_CLOEXEC); /* fails for no file that is open */
    close(w.next_fd);
    w.next_fd = -1;
    w.is_mid_line = false;
}

/* Entered and left with the lock held, as the next one; writes without it. */
static bool write_queued(void)
{
    size_t to_end = sizeof w.ring - w.head;
    const char *base = w.ring + w.head;
    size_t len = w.queued_bytes < to_end ? w.queued_bytes : to_end;
    const char *end = w.next_fd >= 0 ? memchr(base, '\n', len) : NULL;
    if (end != NULL) /* the rest of the line, before we move */
        len = (size_t)(end - base) + 1;
    size_t written = 0;
    pthread_mutex_unlock(&w.lock);
    bool is_written = write_some(base, len, &written);
    pthread_mutex_lock(&w.lock);
    w.head = (w.head + written) % sizeof w.ring;
    w.queued_bytes -= written;
    if (!is_written)
        lose_queued();
    return is_written;
}

static bool write_lost(void)
{
    char line[SL_LOG_LINE_BYTES + 1];
    struct sl_text text;
    uint64_t lines = w.lost_lines;
    pthread_mutex_unlock(&w.lock);
    sl_text_init(&text, line, sizeof line);
    if (w.is_mid_line)
        sl_text_put(&text, SL_BYTES("\n"));
    w.put_lost(&text, lines);
    bool is_written = true;
    for (size_t at = 0, n = 0; is_written && at < text.len; at += n)
        is_written = write_some(line + at, text.len - at, &n);
    pthread_mutex_lock(&w.lock);
    if (is_written)
        w.lost_lines -= lines;
    return is_written;
}

static void *log_main(void *arg)
{
    bool is_failing = false; /* then the next attempt waits for the next line */
    pthread_mutex_lock(&w.lock);
    for (;;) {
        if (may_move()) {
            move();
            is_failing = false;
        } else if (!is_failing && w.queued_bytes > 0) {
            is_failing = !write_queued();
        } else if (!is_failing && w.lost_lines > 0) {
            is_failing = !write_lost();
        } else if (w.is_stopping) {
            break;
        } else {
            pthread_cond_wait(&w.has_news, &w.lock);
            is_failing = false;
        }
    }
    w.is_running = false;
    assert(w.next_fd < 0);
    pthread_mutex_unlock(&w.lock);
    return NULL;
}

void sl_log_writer_start(int fd, sl_log_lost_cb put_lost)
{
    sigset_t all, before;
    assert(!w.is_running);
    w.is_stopping = false;
    w.head = w.queued_bytes = 0;
    w.lost_lines = 0;
    w.is_mid_line = false;
    w.fd = fd;
    w.put_lost = put_lost;
    /* No signal is for this thread; a pipe that broke must not raise one either. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w.thread, NULL, log_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        fprintf(stderr, "sluice: cannot start the log: %s\n", strerror(error));
        abort();
    }
    (void)pthread_setname_np(w.thread, "sl-log");
    pthread_mutex_lock(&w.lock);
    w.is_running = true;
    pthread_mutex_unlock(&w.lock);
}

void sl_log_writer_stop(void)
{
    pthread_mutex_lock(&w.lock);
    bool was_running = w.is_running;
    w.is_stopping = true;
    pthread_cond_signal(&w.has_news);
    pthread_mutex_unlock(&w.lock);
    if (was_running)
        pthread_join(w.thread, NULL);
}
