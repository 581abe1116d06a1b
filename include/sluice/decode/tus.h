/* The header fields of tus 1.0.0. Pure: spans point into the input, which may be any bytes. */
#ifndef SLUICE_DECODE_TUS_H
#define SLUICE_DECODE_TUS_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

#define SL_TUS_PROTOCOL "1.0.0"

/* ---- Upload-Metadata: "key base64,key2 base64,flag" ---- */

#define SL_TUS_METADATA_BYTES_MAX 1536 /* of the field, so that it can be kept */
#define SL_TUS_METADATA_PAIRS_MAX 32

/* Checks the whole field: keys of printable ASCII without space and comma, none empty, none twice; values base64 with
 * its padding, or none. SL_BAD_FIELD. SL_HEAD_TOO_LARGE: over a bound. Empty is fine. */
SL_MUST_CHECK sl_err sl_tus_metadata_check(struct sl_bytes field);

/* Finds `key` in a checked field and decodes its value into `out`; *len_out bytes, any bytes. false: there is no such
 * key, or its value does not fit into `room`. */
bool sl_tus_metadata_find(struct sl_bytes field, const char *key, char *out, size_t room, size_t *len_out);

/* The next pair of a checked field, taken off *rest; the value still base64. false: there is none. */
bool sl_tus_metadata_next(struct sl_bytes *rest, struct sl_bytes *key_out, struct sl_bytes *value_out);

/* ---- Upload-Checksum: "sha1 base64" ---- */

/* algorithm_out: the name as sent. SL_BAD_FIELD: malformed; the digest is at most `room` bytes. */
SL_MUST_CHECK sl_err sl_tus_checksum(struct sl_bytes field, struct sl_bytes *algorithm_out, unsigned char *digest_out,
                                     size_t room, size_t *digest_len_out);

/* ---- Upload-Concat: "partial", or "final;/files/a /files/b" ---- */

enum sl_tus_concat { SL_TUS_CONCAT_PARTIAL, SL_TUS_CONCAT_FINAL };

/* *urls_out: of FINAL, the rest behind the semicolon; at least one. SL_BAD_FIELD. */
SL_MUST_CHECK sl_err sl_tus_concat(struct sl_bytes field, enum sl_tus_concat *concat_out, struct sl_bytes *urls_out);

/* The next URL, absolute or relative, taken off *urls; false: there is none. */
bool sl_tus_concat_next(struct sl_bytes *urls, struct sl_bytes *url_out);

/* The id in the URL of an upload: its last segment, which stands behind "/uploads/"; a query or fragment is no part of
 * it. false: it is not such a URL. */
bool sl_tus_url_id(struct sl_bytes url, struct sl_bytes *id_out);

/* ---- Upload-Length, Upload-Offset ---- */

/* Digits only, at most INT64_MAX. SL_BAD_FIELD. */
SL_MUST_CHECK sl_err sl_tus_number(struct sl_bytes field, uint64_t *value_out);

#endif
