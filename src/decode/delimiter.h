/* Private to decode: where a multipart delimiter might begin. */
#ifndef SLUICE_DECODE_DELIMITER_H
#define SLUICE_DECODE_DELIMITER_H

#include <stddef.h>

/* The first place in [from, end) with a CR, any byte, and a '-': every delimiter, CRLF "--" boundary, begins so, and
 * hardly anything else does. `end` if there is none. bytes[end + 1] must still be readable. Any thread. */
size_t sl_delimiter_candidate(const char *bytes, size_t from, size_t end);

#endif
