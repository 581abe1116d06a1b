/* What the access log tells of a request beside its head and its answer. Loop thread. */
#ifndef SLUICE_HTTP_ACCESS_H
#define SLUICE_HTTP_ACCESS_H

#include "sluice/http/request.h"
#include "sluice/upload/session.h"

/* The request brought this file, or some of it. Its line will tell the id and a digest of the first one added, and what
 * all of them took together. Before it is answered, or in its sink's abort; id, session: lent for the call. */
void sl_access_add(struct sl_request *request, const char *id, const struct sl_session *session);

#endif
