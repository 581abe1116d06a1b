/* What is told about uploads: what was stored, and why one was refused. */
#include "handler/representation.h"
#include "reply_json.h"

#include "sluice/base/base64.h"
#include "sluice/base/clock.h"
#include "sluice/decode/disposition.h"

#include <assert.h>

static json_t *base64_json(const uint8_t *value, enum sl_hash_alg alg)
{
    char text[SL_BASE64_LEN(SL_HASH_BYTES_MAX)];
    return json_stringn(text, sl_base64_encode(text, value, sl_hash_bytes(alg)));
}

/* ---- refused ---- */

void sl_json_put_mismatch(json_t *json, const struct sl_session *session, const struct sl_digests *promised)
{
    enum sl_hash_alg alg = session->mismatch;
    assert(promised != NULL && (promised->set & (1u << alg)) != 0 && (session->digests.set & (1u << alg)) != 0);
    json_object_set_new(json, "algorithm", json_string(sl_hash_name(alg)));
    json_object_set_new(json, "expected-digest", base64_json(promised->value[alg], alg));
    json_object_set_new(json, "actual-digest", base64_json(session->digests.value[alg], alg));
}

void sl_reply_problem_upload(struct sl_request *request, const struct sl_session *session,
                             const struct sl_digests *promised, const struct sl_stored *stored, size_t count)
{
    json_t *json = sl_problem_begin(request, session->err, NULL), *urls = json_array();
    if (session->err == SL_DIGEST_MISMATCH)
        sl_json_put_mismatch(json, session, promised);
    for (size_t i = 0; i < count; i++)
        if (stored[i].session->state == SL_SESSION_DONE)
            json_array_append_new(urls, sl_json_text(sl_reply_url(request, &stored[i].session->path)));
    if (json_array_size(urls) > 0)
        json_object_set(json, "stored", urls);
    json_decref(urls);
    bool is_about_another = session->err == SL_EXISTS || session->err == SL_PRECONDITION;
    if (is_about_another && session->etag[0] != '\0')
        sl_reply_header(request, "etag", sl_bytes_of(session->etag));
    sl_problem_send(request, session->err, json);
}

/* ---- stored ---- */

json_t *sl_json_digests(const struct sl_digest_wish *wish, const struct sl_digests *digests)
{
    json_t *json = json_object();
    sl_hash_set wanted = sl_wanted_digests(wish, digests);
    assert((wanted & ~digests->set) == 0);
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        if (wanted & (1u << alg))
            json_object_set_new(json, sl_hash_name(alg), base64_json(digests->value[alg], alg));
    return json;
}

static json_t *file_json(struct sl_request *request, const struct sl_digest_wish *wish,
                         const struct sl_stored *stored)
{
    const struct sl_session *session = stored->session;
    json_t *json = json_object();
    json_object_set_new(json, "url", sl_json_text(sl_reply_url(request, &session->path)));
    json_object_set_new(json, "id", json_string(session->id));
    json_object_set_new(json, "name", sl_json_text(stored->filename));
    json_object_set_new(json, "size", json_integer((json_int_t)session->size));
    json_object_set_new(json, "type", sl_json_text(stored->type));
    if (session->digests.set & (1u << SL_HASH_SHA256)) {
        char hex[65];
        h2o_hex_encode(hex, session->digests.value[SL_HASH_SHA256], 32);
        json_object_set_new(json, "sha256", json_stringn(hex, 64));
    }
    json_object_set_new(json, "digest", sl_json_digests(wish, &session->digests));
    sl_json_set_time(json, "created", session->created_ns);
    return json;
}

void sl_json_set_time(json_t *json, const char *name, uint64_t wall_ns)
{
    char text[SL_CLOCK_RFC3339_BYTES];
    sl_clock_rfc3339(wall_ns, text);
    json_object_set_new(json, name, json_string(text));
}

void sl_json_add_field(json_t *fields, const struct sl_meta_field *field)
{
    json_t *values = json_object_getn(fields, field->name.base, field->name.len);
    if (values == NULL) {
        values = json_array();
        if (json_object_setn_new(fields, field->name.base, field->name.len, values) != 0)
            return; /* and the array is gone */
    }
    json_array_append_new(values, sl_json_text(field->value));
}

static json_t *fields_json(const struct sl_meta_field *fields, size_t count)
{
    json_t *json = json_object();
    for (size_t i = 0; i < count; i++)
        sl_json_add_field(json, &fields[i]);
    return json;
}

static bool are_fields_kept(const struct sl_stored *stored, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!stored[i].session->has_kept_fields)
            return false;
    return true;
}

static json_t *stored_json(struct sl_request *request, const struct sl_stored *stored, size_t count,
                           const struct sl_meta_field *fields, size_t field_count)
{
    struct sl_digest_wish wish = sl_digest_wish_of(request);
    json_t *json = json_object(), *files = json_array();
    json_object_set_new(json, "success", json_true());
    for (size_t i = 0; i < count; i++) {
        json_t *file = file_json(request, &wish, &stored[i]);
        if (i == 0)
            json_object_update(json, file); /* the top level mirrors the first file */
        if (stored[i].field.len > 0)
            json_object_set_new(file, "field", sl_json_text(stored[i].field));
        json_array_append_new(files, file);
    }
    json_object_set_new(json, "files", files);
    json_object_set_new(json, "fields", fields_json(fields, field_count));
    if (field_count > 0 && !are_fields_kept(stored, count))
        json_object_set_new(json, "fields_stored", json_false());
    return json;
}

/* Each URL on a line of its own. */
static struct sl_bytes stored_lines(struct sl_request *request, const struct sl_stored *stored, size_t count)
{
    size_t room = 1;
    for (size_t i = 0; i < count; i++)
        room += sl_reply_url(request, &stored[i].session->path).len + 1;
    struct sl_text lines;
    sl_text_init(&lines, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    for (size_t i = 0; i < count; i++) {
        sl_text_put(&lines, sl_reply_url(request, &stored[i].session->path));
        sl_text_put(&lines, SL_BYTES("\n"));
    }
    assert(!lines.full);
    return (struct sl_bytes){lines.base, lines.len};
}

void sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                     const struct sl_meta_field *fields, size_t field_count)
{
    assert(count > 0);
    const struct sl_session *first = stored[0].session;
    int status = count == 1 && first->has_replaced ? 200 : 201;
    if (count == 1) {
        sl_reply_header(request, "location", sl_reply_url(request, &first->path));
        if (first->etag[0] != '\0')
            sl_reply_header(request, "etag", sl_bytes_of(first->etag));
    }
    if (is_json)
        sl_reply_json(request, status, "application/json", stored_json(request, stored, count, fields, field_count));
    else
        sl_reply_text(request, status, "text/plain; charset=utf-8", stored_lines(request, stored, count));
}
