/* The log: one line a thing that happened, as text or JSON, from any thread.
 *
 * Logging never waits: a line goes into a bounded buffer and a thread of the log's own writes it. When the reader of
 * the log is too slow, or its disk is full, lines are lost, and once it has caught up a line tells how many.
 * Only http and app log; lower floors return what they have to say. */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

#include <stdint.h>

/* A line is never longer, with its newline. What is too long for its field is cut and ends in "...". */
#define SL_LOG_LINE_BYTES 4096
/* Lines that wait for the reader of the log: about two thousand requests. */
#define SL_LOG_BUFFER_BYTES (256 * 1024)
/* At stop, a reader that takes nothing for so long is given up. */
#define SL_LOG_STALL_MS 1000

enum sl_log_format { SL_LOG_TEXT, SL_LOG_JSON };
enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARN, SL_LOG_INFO, SL_LOG_DEBUG };

/* Opens a file to log to, for appending, and makes it if it is not there; never waits. *fd_out is yours. Errors are
 * those of open(2), as an errno; 0: none. */
SL_MUST_CHECK int sl_log_open(const char *path, int *fd_out);

/* Starts the log's thread. fd: lent until stop. Aborts when there is no thread: start-up only. Before it and after
 * stop, lines go straight to stderr, as text, and may block. */
void sl_log_start(enum sl_log_format format, int fd);

/* Writes what is buffered and ends the thread. The fd is not closed. Not started is fine. */
void sl_log_stop(void);

/* From some line on the log goes to the file of `to` (taken), and that before is let go: the fd of sl_log_start leads
 * to the new one then. No line is lost by it, and none is torn. Any thread, while the log is started; the last of
 * several calls counts. */
void sl_log_move(int to);

/* Any thread. The whole message is escaped (sl_text_put_escaped, or as a JSON string), so it may hold bytes from
 * outside; it needs no newline. */
void sl_log(enum sl_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How long something took. The name is ours, at most 12 letters. */
struct sl_log_stage {
    const char *name;
    uint64_t ns; /* 0: it is not told */
};
#define SL_LOG_STAGES 8

/* A request and how it ended. All spans are lent for the call and may hold anything; empty means "none". */
struct sl_log_access {
    struct sl_bytes remote;
    struct sl_bytes method;
    struct sl_bytes target;
    struct sl_bytes protocol;
    int status;
    uint64_t bytes_in; /* of the bodies */
    uint64_t bytes_out;
    uint64_t duration_ns;
    struct sl_bytes request_id;
    struct sl_bytes error_code; /* sl_err_row()->code */
    struct sl_bytes user_agent;
    struct sl_bytes route; /* told to machines only */
    /* of what it brought */
    struct sl_bytes upload_id;
    struct sl_bytes digest;
    unsigned files;                            /* told from 2 on */
    struct sl_log_stage stages[SL_LOG_STAGES]; /* a name of NULL ends them */
};

/* Any thread. */
void sl_log_access(const struct sl_log_access *access);

#endif
