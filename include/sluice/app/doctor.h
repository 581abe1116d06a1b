/* `sluice doctor`: whether this machine, this account and this configuration will do, and what would make it better.
 * Nobody need serve, and nobody is disturbed who does; what is written to try things is removed. Start-up, blocking. */
#ifndef SLUICE_APP_DOCTOR_H
#define SLUICE_APP_DOCTOR_H

#include "sluice/app/config.h"

/* One line a finding: ok, note or problem, what it is, and the cure; then what it may take at most. config: lent for
 * the call; its is_json: one object instead; its is_quick: without trying how fast it is, which takes a second each.
 * true: it could serve. */
bool sl_doctor_run(const struct sl_config *config, FILE *out);

#endif
