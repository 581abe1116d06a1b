/* Private to http. */
#ifndef SLUICE_HTTP_ROUTES_H
#define SLUICE_HTTP_ROUTES_H

#include <h2o.h>

/* Makes every request of the host ours. */
void sl_routes_register(h2o_hostconf_t *host);

#endif
