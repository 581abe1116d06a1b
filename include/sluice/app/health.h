/* `sluice health [URL]`: whether a server answers, for HEALTHCHECK and the like. Blocking, a few seconds at most. */
#ifndef SLUICE_APP_HEALTH_H
#define SLUICE_APP_HEALTH_H

#include "sluice/app/config.h"

/* Asks config->health_url, or /healthz at the first address of `listeners`: where sluice runs with this configuration.
 * One line of what came of it goes to `out`. true: it answered 200. */
bool sl_health_check(const struct sl_config *config, FILE *out);

#endif
