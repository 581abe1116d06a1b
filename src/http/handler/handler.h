/* Private to http/handler: what the routes call, one function a kind of request. Each answers, now or later. */
#ifndef SLUICE_HTTP_HANDLER_HANDLER_H
#define SLUICE_HTTP_HANDLER_HANDLER_H

#include "sluice/http/access.h"
#include "sluice/http/http.h"
#include "sluice/http/reply.h"

/* PUT: the body becomes the file `path`. */
void sl_handle_put(struct sl_request *request, const struct sl_path *path);

/* POST: multipart/form-data, or the body itself under a name the server makes. */
void sl_handle_post(struct sl_request *request);
void sl_handle_form(struct sl_request *request);

/* GET, HEAD of a file. */
void sl_handle_get(struct sl_request *request, const struct sl_path *path);

/* The same of what the finished upload `id` has become, by its id; `path` was its name. Both: lent for the call. */
void sl_handle_get_kept(struct sl_request *request, const char *id, const struct sl_path *path);

/* DELETE of a file. */
void sl_handle_delete(struct sl_request *request, const struct sl_path *path);

/* GET of an upload by a request that speaks no dialect: the file, once it is complete. id: any bytes, lent for the
 * call. */

/* GET, HEAD of the base path: the names, a page at a time. */
void sl_handle_list(struct sl_request *request);

/* GET /errors: the table of errors, which every problem points into; /metrics; /readyz. */
void sl_handle_errors_page(struct sl_request *request);
void sl_handle_metrics(struct sl_request *request);
void sl_handle_ready(struct sl_request *request);

/* GET /, and the page a browser is sent to after it posted the form without JavaScript. */
void sl_handle_page(struct sl_request *request);
void sl_handle_done_page(struct sl_request *request);

/* Sends a browser to the page that lists what it stored. */
void sl_reply_to_done_page(struct sl_request *request, const struct sl_stored *stored, size_t count);

#endif
