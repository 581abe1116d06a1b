/* Answers. Loop thread. Each of these begins and ends the response of a request; what they are given is copied. */
#ifndef SLUICE_HTTP_REPLY_H
#define SLUICE_HTTP_REPLY_H

#include "sluice/http/request.h"
#include "sluice/upload/session.h"

/* application/problem+json (RFC 9457): type (where the error is explained), title, status, detail, code, request-id.
 * detail: a sentence for people; NULL: the table's. Counted. Detaches a sink that is still attached. */
void sl_reply_problem(struct sl_request *request, sl_err err, const char *detail);

/* The same, when an upload was refused: with the ETag of the file that has the name, or with "algorithm",
 * "expected-digest" and "actual-digest" (base64) when bytes and promise differ, as session->err tells. promised: what
 * the session was given. `stored` among the members: the URLs of files of the same form that were stored before. */
struct sl_stored {
    const struct sl_session *session;
    struct sl_bytes field, filename, type; /* as the form named them; empty if not */
};
void sl_reply_problem_upload(struct sl_request *request, const struct sl_session *session,
                             const struct sl_digests *promised, const struct sl_stored *stored, size_t count);

/* Begins an answer that `generator` (lent until its request goes) goes on with; headers were added before. length:
 * SIZE_MAX if it is not known, or not to be told. Detaches a sink that is still attached. */
void sl_reply_begin(struct sl_request *request, int status, size_t length, h2o_generator_t *generator);

/* An answer of one type. body: lent until the request is gone, as what lies in its pool is; that is to be held
 * (sl_request_hold) by whoever made it. */
void sl_reply_lent(struct sl_request *request, int status, const char *type, struct sl_bytes body);
/* The same; body: copied. */
void sl_reply_text(struct sl_request *request, int status, const char *type, struct sl_bytes body);

/* An answer without a body. */
void sl_reply_empty(struct sl_request *request, int status);

/* What was stored: 201 (200 if it replaced another) with Location and ETag when it is one file; the URL as a line, or
 * JSON, as `is_json` says. Of its digests JSON tells those the request's Want-Repr-Digest wants, all without one.
 * fields: the form's text; "fields_stored": false tells that they were too long to be kept with the file. */
void sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                     const struct sl_meta_field *fields, size_t field_count);

/* Adds a header to the response; both are copied. Before the response begins. */
void sl_reply_header(struct sl_request *request, const char *name, struct sl_bytes value);

/* The absolute URL of a stored path, in the request's pool. */
struct sl_bytes sl_reply_url(struct sl_request *request, const struct sl_path *path);

/* The absolute URL of one of the server's own pages: "/errors". In the request's pool. */
struct sl_bytes sl_reply_page_url(struct sl_request *request, const char *page);

/* Which of two types does the Accept header want? true: `type` is named in it, and not with q=0. A header that is
 * missing or says only wildcards names nothing. */
bool sl_request_accepts(struct sl_request *request, const char *type);

#endif
