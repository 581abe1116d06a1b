/* Private to http/handler: resumable uploads as tus 1.0.0 says. */
#ifndef SLUICE_HTTP_HANDLER_TUS_H
#define SLUICE_HTTP_HANDLER_TUS_H

#include "resumable.h"

/* Does a POST that makes no upload of the draft speak tus, in whatever version, or try to? */
bool sl_tus_is_asked(const struct sl_request *request);

/* Is its body of the media type that tus gives to parts of an upload? */
bool sl_tus_has_type(const struct sl_request *request);

/* POST: a new one. */
void sl_handle_tus_create(struct sl_request *request);

/* Of the upload `id` (any bytes, lent for the call): appends to it, tells of it, drops it. */
void sl_handle_tus_upload(struct sl_request *request, struct sl_bytes id, enum sl_resumption_purpose purpose);

/* Adds what the server can, for OPTIONS. */
void sl_tus_put_abilities(struct sl_request *request);

#endif
