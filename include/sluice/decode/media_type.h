/* Media types (RFC 9110 section 8.3.1) as files carry them. Pure. */
#ifndef SLUICE_DECODE_MEDIA_TYPE_H
#define SLUICE_DECODE_MEDIA_TYPE_H

#include "sluice/base/bytes.h"

#define SL_MEDIA_TYPE_BYTES_MAX 255

/* type "/" subtype and well-formed parameters, visible ASCII and spaces only, at most SL_MEDIA_TYPE_BYTES_MAX. */
bool sl_media_type_is_valid(struct sl_bytes type);

/* May a browser show it in place? True only of types that run no script whatever they contain: raster images, audio,
 * video, plain text, JSON. What is not named here is for saving: HTML, SVG, XML, PDF and all that is yet to be
 * invented. */
bool sl_media_type_is_inert(struct sl_bytes type);

#endif
