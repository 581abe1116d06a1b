/* The way of finished lines to the log's fd. log.c makes the lines. */
#ifndef SLUICE_BASE_LOG_WRITER_H
#define SLUICE_BASE_LOG_WRITER_H

#include "sluice/base/bytes.h"

#include <stdint.h>

/* Puts a whole line that tells that `lines` lines were lost. Log thread. */
typedef void (*sl_log_lost_cb)(struct sl_text *line, uint64_t lines);

void sl_log_writer_start(int fd, sl_log_lost_cb put_lost);
void sl_log_writer_stop(void);

/* sl_log_move. */
void sl_log_writer_move(int to);

/* Any thread. line: one line with its newline, at most SL_LOG_LINE_BYTES; copied. */
void sl_log_writer_put(struct sl_bytes line);

#endif
