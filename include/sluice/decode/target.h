/* What a request is aimed at, whatever protocol it came by. Pure. */
#ifndef SLUICE_DECODE_TARGET_H
#define SLUICE_DECODE_TARGET_H

#include "sluice/base/bytes.h"

#define SL_TARGET_BYTES_MAX 8192
#define SL_HOST_BYTES_MAX   261 /* a DNS name of 253, brackets, ":65535"; it is repeated in every URL we tell */

/* No space, no control byte, no fragment; not empty. URIs are ASCII, but people type others and clients pass them on;
 * the path decoder wants UTF-8 of them. */
bool sl_target_is_valid(struct sl_bytes target);

/* uri-host [ ":" port ] (RFC 9110 section 7.2), narrowed to what names a server: the value ends up in links. */
bool sl_host_is_valid(struct sl_bytes host);

#endif
