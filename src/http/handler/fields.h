/* Private to http/handler: the text fields of a form, copied out of its body. They belong to the request and go with
 * it, when its answer is out; until then they count against what all forms of the loop may hold. */
#ifndef SLUICE_HTTP_HANDLER_FIELDS_H
#define SLUICE_HTTP_HANDLER_FIELDS_H

#include "sluice/http/reply.h"

#define SL_FIELDS_LOOP_BYTES_MAX ((size_t)4 << 20) /* of all forms of a loop that are not answered yet */

struct sl_fields;

/* Lives as long as the request. */
struct sl_fields *sl_fields_create(struct sl_request *request);

/* A field begins; its value follows in any number of pieces. name, piece: lent for the call.
 * SL_FORM_LIMIT: too much text in this form. SL_BUSY: in all forms together. */
SL_MUST_CHECK sl_err sl_fields_begin(struct sl_fields *fields, struct sl_bytes name);
SL_MUST_CHECK sl_err sl_fields_add(struct sl_fields *fields, struct sl_bytes piece);

/* All of them, in the order they came, in the request's pool. */
const struct sl_meta_field *sl_fields_list(const struct sl_fields *fields, size_t *count_out);

#endif
