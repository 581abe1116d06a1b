/* Private to http: what is counted, in words; the log uses the same. */
#ifndef SLUICE_HTTP_METRICS_LABELS_H
#define SLUICE_HTTP_METRICS_LABELS_H

#include "sluice/http/metrics.h"

extern const char *const sl_route_names[SL_ROUTES];
extern const char *const sl_method_names[SL_COUNTED_METHODS];
extern const char *const sl_stage_names[SL_STAGES]; /* in the order of their beginnings */
extern const int sl_statuses[SL_COUNTED_STATUSES - 1];

#endif
