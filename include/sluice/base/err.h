/* The one error type. err.def is the table; everything here is read from it. Any thread, nothing fails. */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

#include <stdint.h>

typedef enum sl_err {
    SL_OK = 0,
#define SL_ERR(name, class, status, code, title, detail) SL_##name,
#include "sluice/base/err.def"
#undef SL_ERR
    SL_ERR_COUNT,
    SL_AGAIN /* not an error and never an answer: more input is needed */
} sl_err;

enum sl_err_class { SL_CLASS_none, SL_CLASS_client, SL_CLASS_limit, SL_CLASS_storage, SL_CLASS_gone, SL_CLASS_bug };

struct sl_err_row {
    const char *name;
    enum sl_err_class class;
    int status;
    const char *code;   /* stable, part of the interface */
    const char *title;  /* for people */
    const char *detail; /* a sentence or two: the cause, and the cure where there is one */
};

/* The row of `err`, static. SL_OK has status 200. */
const struct sl_err_row *sl_err_row(sl_err err);

/* Counts an answer with this problem; for the whole process, since its start. */
void sl_err_count(sl_err err);
uint64_t sl_err_counted(sl_err err);

/* What a failed system call means to us. `sys_errno` > 0. Unknown values are SL_IO. */
sl_err sl_err_of_errno(int sys_errno);

#define SL_MUST_CHECK __attribute__((warn_unused_result))

#endif
