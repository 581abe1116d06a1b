/* Answers. Loop thread. Each of these begins and ends the response of a request; what they are given is copied. */
#ifndef SLUICE_HTTP_REPLY_H
#define SLUICE_HTTP_REPLY_H

#include "sluice/http/request.h"
#include "sluice/upload/session.h"

/* application/problem+json (RFC 9457): type, title, status, detail, code, request-id. detail: one sentence for
 * people, or NULL. Detaches a sink that is still attached. */
void sl_reply_problem(struct sl_request *request, sl_err err, const char *detail);

/* The same, with `stored` among the members: the URLs of files that were stored before another one failed. */
struct sl_stored {
    const struct sl_session *session;
    struct sl_bytes field, filename, type; /* as the form named them; empty if not */
};
void sl_reply_problem_stored(struct sl_request *request, sl_err err, const char *detail,
                             const struct sl_stored *stored, size_t count);

/* A short answer of one type. */
void sl_reply_text(struct sl_request *request, int status, const char *type, struct sl_bytes body);

/* An answer without a body. */
void sl_reply_empty(struct sl_request *request, int status);

/* What was stored: 201 (200 if it replaced another) with Location when it is one file; the URL as a line, or JSON, as
 * `is_json` says. fields: name, value, name, value ...; `field_count` pairs of text fields. */
struct sl_field {
    struct sl_bytes name, value;
};
void sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                     const struct sl_field *fields, size_t field_count);

/* Adds a header to the response; both are copied. Before the response begins. */
void sl_reply_header(struct sl_request *request, const char *name, struct sl_bytes value);

/* The absolute URL of a stored path, in the request's pool. */
struct sl_bytes sl_reply_url(struct sl_request *request, const struct sl_path *path);

/* Which of two types does the Accept header want? true: `type` is named in it. A header that is missing or says only
 * wildcards names nothing. */
bool sl_request_accepts(const struct sl_request *request, const char *type);

#endif
