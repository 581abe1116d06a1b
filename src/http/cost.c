#include "sluice/http/cost.h"

#include "h2/h2.h"
#include "handler/fields.h"

#define READ_BUFFER_BYTES ((uint64_t)256 << 10) /* received bytes of HTTP/2, for the length of a call */
#define ESCAPED_TIMES     6                     /* "\u0000" for a byte */

uint64_t sl_http_h2_bytes(void)
{
    return SL_H2_HEADS_BYTES_MAX + SL_H2_ANSWERS_BYTES_MAX + SL_H2_HELD_BYTES_MAX +
           SL_H2_QUEUES_MAX * SL_H2_QUEUED_BYTES + READ_BUFFER_BYTES;
}

uint64_t sl_http_form_bytes(void)
{
    return SL_FIELDS_LOOP_BYTES_MAX * (1 + ESCAPED_TIMES);
}
