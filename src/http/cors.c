#include "cors.h"

#include "sluice/http/http.h"
#include "sluice/http/reply.h"

#define METHODS       "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define MAX_AGE       "86400" /* seconds; browsers cap it at two hours or a day */
#define TUS_FIELDS    "Tus-Resumable, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Defer-Length, Upload-Concat"
#define DRAFT_FIELDS  "Upload-Complete, Upload-Incomplete, Upload-Draft-Interop-Version"
#define DIGEST_FIELDS "Repr-Digest, Content-Digest, Want-Repr-Digest"

/* What a page may read beyond the few names that every page may. */
static const char exposed[] =
    "Allow, Location, Content-Location, ETag, X-Request-Id, Content-Disposition, Content-Range, Accept-Ranges, "
    "Retry-After, " DIGEST_FIELDS ", " TUS_FIELDS ", Upload-Expires, Tus-Version, Tus-Max-Size, Tus-Extension, "
    "Tus-Checksum-Algorithm, " DRAFT_FIELDS ", Upload-Limit, Accept-Patch";

/* What a page may send: all that is understood here, and what clients add by themselves. */
static const char allowed[] =
    "Accept, Authorization, Cache-Control, Content-Disposition, Content-Type, Content-Range, Range, If-Match, "
    "If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range, Prefer, X-Requested-With, "
    "X-HTTP-Method-Override, X-Request-Id, " DIGEST_FIELDS ", Want-Content-Digest, Content-MD5, X-File-Hash, "
    "X-File-Hash-Function, X-Amz-Checksum-Sha256, X-Amz-Checksum-Sha1, X-Amz-Checksum-Crc32c, "
    "X-Amz-Checksum-Crc32, " TUS_FIELDS ", Upload-Checksum, " DRAFT_FIELDS;

static bool is_every_one(struct sl_bytes origins)
{
    return sl_bytes_equal(origins, SL_BYTES("*"));
}

bool sl_cors_has(struct sl_bytes origins, struct sl_bytes origin)
{
    if (origin.len == 0)
        return false;
    if (is_every_one(origins))
        return true;
    while (origins.len > 0) {
        const char *space = memchr(origins.base, ' ', origins.len);
        size_t len = space == NULL ? origins.len : (size_t)(space - origins.base);
        if (sl_bytes_equal((struct sl_bytes){origins.base, len}, origin))
            return true;
        size_t used = space == NULL ? len : len + 1;
        origins = (struct sl_bytes){origins.base + used, origins.len - used};
    }
    return false;
}

static bool is_preflight(const struct sl_request *request)
{
    return sl_request_is_method(request, "OPTIONS") &&
           sl_request_has_header(request, "access-control-request-method");
}

void sl_cors_put_headers(struct sl_request *request)
{
    struct sl_bytes origins = sl_bytes_of(request->http->options.cors_origins);
    if (origins.len == 0)
        return;
    sl_reply_header(request, "vary", SL_BYTES("Origin")); /* also where there is none: caches keep the two apart */
    struct sl_bytes origin = sl_request_header(request, "origin");
    if (!sl_cors_has(origins, origin))
        return;
    /* No Access-Control-Allow-Credentials: nothing here is granted by a cookie. */
    sl_reply_header(request, "access-control-allow-origin", is_every_one(origins) ? origins : origin);
    if (!is_preflight(request)) {
        sl_reply_header(request, "access-control-expose-headers", SL_BYTES(exposed));
        return;
    }
    sl_reply_header(request, "access-control-allow-methods", SL_BYTES(METHODS));
    sl_reply_header(request, "access-control-allow-headers", SL_BYTES(allowed));
    sl_reply_header(request, "access-control-max-age", SL_BYTES(MAX_AGE));
}
