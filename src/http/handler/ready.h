/* Private to http: what one loop knows of whether it can store. Loop thread. */
#ifndef SLUICE_HTTP_HANDLER_READY_H
#define SLUICE_HTTP_HANDLER_READY_H

#include "sluice/http/http.h"

/* http: lent until destroy; its context is there. Aborts when memory is out. */
struct sl_ready *sl_ready_create(struct sl_http *http);
/* Nobody may wait, and no operation be under way. */
void sl_ready_destroy(struct sl_ready *ready);

#endif
