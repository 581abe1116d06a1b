/* `sluice uploads`: the unfinished uploads below a root, and partial ones that are part of nothing yet, read from disk;
 * nobody need serve it. */
#ifndef SLUICE_APP_LIST_UPLOADS_H
#define SLUICE_APP_LIST_UPLOADS_H

#include "sluice/app/config.h"
#include "sluice/upload/uploads.h"

/* One line each (is_json: one object each, in an array), in no order. What is among them and has no readable state is
 * told as such. root, expiry, out: lent for the call. SL_NOT_FOUND: there is no such root, or nobody ever uploaded to
 * it. SL_IO: it could not be written. */
SL_MUST_CHECK sl_err sl_list_uploads(const char *root, const struct sl_uploads_options *expiry, bool is_json,
                                     FILE *out);

#endif
