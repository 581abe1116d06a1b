/* Private to http: what a page of another origin may do here (CORS, the Fetch standard section 3.3). */
#ifndef SLUICE_HTTP_CORS_H
#define SLUICE_HTTP_CORS_H

#include "sluice/http/request.h"

/* Does the list (origins parted by spaces, or "*") hold `origin`, as a browser writes it? Pure. */
bool sl_cors_has(struct sl_bytes origins, struct sl_bytes origin);

/* Adds to the response, before it begins, what the request's Origin is entitled to; of a preflight also what may be
 * asked. Nothing where no origin is configured. */
void sl_cors_put_headers(struct sl_request *request);

#endif
