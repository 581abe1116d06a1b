/* Private to http: what the counters of requests are called. */
#ifndef SLUICE_HTTP_METRICS_LABELS_H
#define SLUICE_HTTP_METRICS_LABELS_H

#include "sluice/http/metrics.h"

extern const char *const sl_route_names[SL_ROUTES];
extern const char *const sl_method_names[SL_COUNTED_METHODS];
extern const int sl_statuses[SL_COUNTED_STATUSES - 1];

#endif
