/* Texts of strangers (names, paths) on lines that a terminal or a program reads. */
#ifndef SLUICE_SRC_APP_SHOW_H
#define SLUICE_SRC_APP_SHOW_H

#include "sluice/base/bytes.h"

#include <stdbool.h>
#include <stdio.h>

/* What could act on a terminal is shown as a question mark, or escaped in JSON (without the quotes around it). */
void sl_show_text(FILE *out, struct sl_bytes text, bool is_json);

#endif
