/* The line of a request in the access log, and what of it only the handlers know. */
#include "sluice/http/access.h"

#include "metrics_labels.h"

#include "sluice/base/log.h"
#include "sluice/http/http.h"

#include <assert.h>

#define STATUS_NONE 499 /* there was no answer */

#define DIGEST_BYTES (sizeof "sha-256:" + 2 * SL_HASH_BYTES_MAX)

struct sl_brought {
    char id[SL_UPLOAD_ID_BYTES]; /* of the first */
    unsigned files;
    struct sl_upload_times times; /* of all of them, summed up */
    uint64_t synced_ns;           /* likewise */
    char digest[DIGEST_BYTES];    /* "sha-256:HEX" of the first */
    size_t digest_len;            /* 0: there is none */
};

/* One is enough to find the file by: that of the first algorithm there is. */
static void put_digest(struct sl_brought *brought, const struct sl_digests *digests)
{
    enum sl_hash_alg alg = 0;
    while (alg < SL_HASH_ALGS && (digests->set & (1u << alg)) == 0)
        alg++;
    if (alg == SL_HASH_ALGS)
        return;
    char hex[2 * SL_HASH_BYTES_MAX + 1];
    struct sl_text text;
    h2o_hex_encode(hex, digests->value[alg], sl_hash_bytes(alg));
    sl_text_init(&text, brought->digest, sizeof brought->digest);
    sl_text_put(&text, sl_bytes_of(sl_hash_name(alg)));
    sl_text_put(&text, SL_BYTES(":"));
    sl_text_put(&text, (struct sl_bytes){hex, 2 * sl_hash_bytes(alg)});
    assert(!text.full);
    brought->digest_len = text.len;
}

void sl_access_add(struct sl_request *request, const char *id, const struct sl_session *session)
{
    struct sl_brought *brought = request->brought;
    if (brought == NULL) {
        brought = request->brought = h2o_mem_alloc_pool(&request->h2o.pool, sizeof *brought);
        *brought = (struct sl_brought){.files = 0};
        memcpy(brought->id, id, strnlen(id, sizeof brought->id - 1)); /* the rest is zero */
        put_digest(brought, &session->digests);
    }
    brought->files++;
    for (size_t i = 0; i < SL_STAGES; i++)
        brought->times.ns[i] += session->times.ns[i];
    brought->synced_ns += session->object.synced_ns;
}

/* What it was taken for comes first: "DELETE(POST)". */
static struct sl_bytes method_to_log(struct sl_request *request)
{
    h2o_req_t *h2o = &request->h2o;
    h2o_iovec_t sent = h2o->input.method, method = h2o->method;
    if (method.base == NULL || h2o_memis(method.base, method.len, sent.base, sent.len))
        return (struct sl_bytes){sent.base, sent.len};
    h2o_iovec_t both =
        h2o_concat(&h2o->pool, method, h2o_iovec_init(H2O_STRLIT("(")), sent, h2o_iovec_init(H2O_STRLIT(")")));
    return (struct sl_bytes){both.base, both.len};
}

/* One for each line; they are told in this order, which is that of their beginnings. */
static void put_stages(const struct sl_brought *brought, struct sl_log_stage stages_out[SL_LOG_STAGES])
{
    _Static_assert(SL_STAGES < SL_LOG_STAGES, "and one for the syncs");
    for (size_t i = 0; i < SL_STAGES; i++)
        stages_out[i] = (struct sl_log_stage){sl_stage_names[i], brought->times.ns[i]};
    stages_out[SL_STAGES] = (struct sl_log_stage){"sync", brought->synced_ns};
}

void sl_request_log(struct sl_request *request, uint64_t now_ns)
{
    const h2o_req_t *h2o = &request->h2o;
    int status = request->is_response_started ? h2o->res.status : STATUS_NONE;
    sl_metrics_count_request(request->http->stats, request->route,
                             (struct sl_bytes){h2o->method.base, h2o->method.len}, status);
    char protocol[] = "HTTP/1.1";
    protocol[5] = (char)('0' + (h2o->version >> 8));
    protocol[7] = (char)('0' + (h2o->version & 0xff));
    struct sl_log_access line = {
        .remote = request->peer,
        .method = method_to_log(request),
        .target = {h2o->input.path.base, h2o->input.path.len},
        .protocol = sl_bytes_of(protocol),
        .status = status,
        .bytes_in = request->body_received,
        .bytes_out = h2o->bytes_sent,
        .duration_ns = now_ns - request->begun_ns,
        .request_id = request->id,
        .error_code = request->err == SL_OK ? (struct sl_bytes){0} : sl_bytes_of(sl_err_row(request->err)->code),
        .user_agent = sl_request_header(request, "user-agent"),
        .route = sl_bytes_of(sl_route_names[request->route]),
    };
    const struct sl_brought *brought = request->brought;
    if (brought != NULL) {
        line.upload_id = sl_bytes_of(brought->id);
        line.digest = (struct sl_bytes){brought->digest, brought->digest_len};
        line.files = brought->files;
        put_stages(brought, line.stages);
    }
    sl_log_access(&line);
}
