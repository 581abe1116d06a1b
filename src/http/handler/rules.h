/* Private to http/handler: what a request that stores something asks for beside its bytes. */
#ifndef SLUICE_HTTP_HANDLER_RULES_H
#define SLUICE_HTTP_HANDLER_RULES_H

#include "sluice/http/request.h"
#include "sluice/upload/session.h"

/* What to do about a name that exists: ?conflict=, else as the server is told. SL_BAD_QUERY: no such rule.
 * SL_CONFLICT_RULE: overwriting is not for the request to ask. */
SL_MUST_CHECK sl_err sl_rule_of_conflict(const struct sl_request *request, enum sl_conflict *conflict_out);

/* The request's conditions in memory of their own, yours, for free(): an upload may outlive its request. NULL: none
 * are set. */
struct sl_conditions *sl_rule_of_conditions(struct sl_request *request);

/* Is the body multipart/form-data? */
bool sl_rule_is_form(const struct sl_request *request);

/* Is the body so small that nearly all of it is there at once, and sent without waiting for a word? */
bool sl_rule_is_small(const struct sl_request *request);

/* What Content-Disposition says of a body that is a file. *filename_out: in the request's pool; empty: none. */
SL_MUST_CHECK sl_err sl_rule_of_disposition(struct sl_request *request, bool *is_attachment_out,
                                            struct sl_bytes *filename_out);

/* The name of a raw POST: ?name= wins over what *filename holds already. */
SL_MUST_CHECK sl_err sl_rule_of_name(struct sl_request *request, struct sl_bytes *filename);

/* The media type that is worth keeping: the sender's if it is valid and says something, else empty. Lent as `sent`
 * is. */
struct sl_bytes sl_type_to_keep(struct sl_request *request, struct sl_bytes sent);

/* The last segment of a path; lent as it is. */
struct sl_bytes sl_path_leaf(const struct sl_path *path);

/* A copy of `promised` that is yours, for free(). NULL: nothing is promised. */
struct sl_digests *sl_promise_keep(const struct sl_digests *promised);

#endif
