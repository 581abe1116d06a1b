/* HTTP dates (RFC 9110 section 5.6.7): the IMF-fixdate and the two obsolete forms. Pure. */
#ifndef SLUICE_DECODE_HTTP_DATE_H
#define SLUICE_DECODE_HTTP_DATE_H

#include "sluice/base/bytes.h"

/* Seconds since 1970. false: not a date, or before 1970; *seconds_out is then untouched. now_s: settles the century of
 * the two-digit years of RFC 850. */
bool sl_http_date_parse(struct sl_bytes text, uint64_t now_s, uint64_t *seconds_out);

/* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL. What lies behind the year 9999 is told as its end. */
#define SL_HTTP_DATE_BYTES 30
void sl_http_date_format(uint64_t seconds, char text_out[SL_HTTP_DATE_BYTES]);

#endif
