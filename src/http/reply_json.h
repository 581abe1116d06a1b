/* Private to http: answers made of JSON. */
#ifndef SLUICE_HTTP_REPLY_JSON_H
#define SLUICE_HTTP_REPLY_JSON_H

#include "sluice/http/reply.h"

#include <jansson.h>

/* A room for the values of this thread, until it is closed: the thread has no value then, nor has another any of its.
 * Aborts when memory is out. */
void sl_json_room_open(void);
void sl_json_room_close(void);

/* A string; what is not UTF-8 is told as such. Yours. */
json_t *sl_json_text(struct sl_bytes text);

struct sl_digest_wish;

/* {"sha-256": base64, ...}: those that are wanted. Yours. */
json_t *sl_json_digests(const struct sl_digest_wish *wish, const struct sl_digests *digests);

/* Adds algorithm, expected-digest and actual-digest of a session that ended with SL_DIGEST_MISMATCH. */
void sl_json_put_mismatch(json_t *json, const struct sl_session *session, const struct sl_digests *promised);

/* Sets a member to the time, as RFC 3339 has it. */
void sl_json_set_time(json_t *json, const char *name, uint64_t wall_ns);

/* Adds a text field to {"name": ["value", ...], ...}; one whose name is not UTF-8 is left out. */
void sl_json_add_field(json_t *fields, const struct sl_meta_field *field);

/* The text of json, which is in `room` if it fits there; to be forgotten when it was used. The byte behind it is a
 * newline, with which a terminal is happier. json: taken. */
#define SL_JSON_USUAL_BYTES 4096
struct sl_bytes sl_json_write(json_t *json, struct sl_room room);
void sl_json_forget(struct sl_bytes text, struct sl_room room);

/* Answers with it. json: taken. */
void sl_reply_json(struct sl_request *request, int status, const char *type, json_t *json);

/* A problem in two steps, for more members in between. The object is yours; sl_problem_send takes it. _as: with
 * another status than the error has elsewhere. */
json_t *sl_problem_begin(struct sl_request *request, sl_err err, const char *detail);
void sl_problem_send(struct sl_request *request, sl_err err, json_t *json);
void sl_problem_send_as(struct sl_request *request, sl_err err, int status, json_t *json);

#endif
