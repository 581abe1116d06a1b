/* Private to http/handler: resumable uploads as the IETF draft says (draft-ietf-httpbis-resumable-upload), in the
 * words of the version that the client speaks: interop 3, 5, 6, 7 and 8, and that of none, which is to be the RFC. */
#ifndef SLUICE_HTTP_HANDLER_DRAFT_H
#define SLUICE_HTTP_HANDLER_DRAFT_H

#include "resumable.h"

/* Does the request ask for a resumable upload, by Upload-Complete or what came before it? */
bool sl_draft_is_creation(struct sl_request *request);

/* PUT and POST of such a request: the body, all of it or its beginning, of what becomes the file `path`, or one whose
 * name is made here. */
void sl_handle_draft_put(struct sl_request *request, const struct sl_path *path);
void sl_handle_draft_post(struct sl_request *request);

/* Of the upload `id` (any bytes): appends to it (PATCH), tells of it, drops it. */
void sl_handle_draft_upload(struct sl_request *request, struct sl_bytes id, enum sl_resumption_purpose purpose);

/* Adds Upload-Limit and Accept-Patch, for OPTIONS. */
void sl_draft_put_limits(struct sl_request *request);

#endif
