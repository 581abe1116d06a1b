/* Whom the program is: root only for what takes root, which is over before anybody is served. */
#ifndef SLUICE_APP_PRIVILEGES_H
#define SLUICE_APP_PRIVILEGES_H

#include "sluice/base/err.h"

#include <stddef.h>

/* Becomes `user`: NAME or NAME:GROUP, each a name or a number, for good, with the groups that the user database knows
 * of. "": stays who it is. Before any thread is made. words_out, `room` bytes: for the start block; "" if there is
 * nothing to say. SL_NOT_FOUND, SL_DENIED, ...: words_out tells why in one line, with the cure, and nobody may be
 * served. */
SL_MUST_CHECK sl_err sl_become(const char *user, char *words_out, size_t room);

/* From now on nobody in this process gains privileges by execve(2). */
void sl_forbid_privileges(void);

#endif
