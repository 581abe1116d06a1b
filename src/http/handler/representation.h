/* Private to http/handler: what the headers say about a stored file, and which part of it is asked for. */
#ifndef SLUICE_HTTP_HANDLER_REPRESENTATION_H
#define SLUICE_HTTP_HANDLER_REPRESENTATION_H

#include "sluice/http/reply.h"
#include "sluice/store/store.h"

/* The media type of a file: `stored` if it is one, else by the extension of `name`, else application/octet-stream.
 * What curl says of any body (application/x-www-form-urlencoded) and application/octet-stream say nothing. Static, or
 * lent as `stored` is. */
struct sl_bytes sl_media_type_of(struct sl_request *request, struct sl_bytes stored, struct sl_bytes name);

/* That of what a reader opened as `path`. Lent as the reader is. */
struct sl_bytes sl_representation_type(struct sl_request *request, const struct sl_store_reader *reader,
                                       const struct sl_path *path);

/* Adds ETag, Last-Modified, Accept-Ranges, Cache-Control, Repr-Digest (by Want-Repr-Digest), Content-Type,
 * Content-Disposition, X-Content-Type-Options, Content-Security-Policy. Of a 304 only those it may carry.
 * content_type: if it is not the file's own, as of a multipart/byteranges; else empty. */
void sl_representation_headers(struct sl_request *request, const struct sl_store_reader *reader,
                               const struct sl_path *path, int status, struct sl_bytes content_type);

/* What Want-Repr-Digest says; read once a request, for it may be long and be asked of a thousand files. */
struct sl_digest_wish {
    bool is_any;                     /* not sent, or malformed */
    int8_t preference[SL_HASH_ALGS]; /* 0 to 10, -1: not named */
};
struct sl_digest_wish sl_digest_wish_of(struct sl_request *request);

/* Of the digests that are there, those the request wants told: by Want-Repr-Digest (RFC 9530 section 4), all without
 * one, or when it is malformed. With one: those it prefers most among what is there; if nothing it names is there,
 * whatever it does not refuse (0). */
sl_hash_set sl_wanted_digests(const struct sl_digest_wish *wish, const struct sl_digests *digests);

/* Adds Repr-Digest with those, if there are any. */
void sl_reply_repr_digest(struct sl_request *request, const struct sl_digests *digests);

#endif
