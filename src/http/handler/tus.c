/* Resumable uploads as tus 1.0.0 says: POST makes one, HEAD tells of it, PATCH goes on with it, DELETE drops it. All
 * that a request says is read before its upload is looked for, so that a malformed one ends nobody else's. */
#include "tus.h"

#include "integrity.h"
#include "rules.h"
#include "sluice/base/clock.h"
#include "sluice/decode/disposition.h"
#include "sluice/decode/http_date.h"
#include "sluice/decode/media_type.h"
#include "sluice/decode/tus.h"

#include <assert.h>

#define ALGORITHMS "sha1,sha256,sha512,md5,crc32,crc32c"
#define EXTENSIONS                                                                                          \
    "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum,checksum-trailer," \
    "concatenation,concatenation-unfinished"

static const struct {
    const char *name;
    enum sl_hash_alg alg;
} checksums[] = {{"sha1", SL_HASH_SHA1}, {"sha256", SL_HASH_SHA256}, {"sha512", SL_HASH_SHA512},
                 {"md5", SL_HASH_MD5},   {"crc32", SL_HASH_CRC32},   {"crc32c", SL_HASH_CRC32C}};

bool sl_tus_is_asked(const struct sl_request *request)
{
    static const char *const names[] = {"upload-length", "upload-defer-length", "upload-concat", "upload-metadata",
                                        "upload-checksum"};
    if (request->is_tus)
        return true;
    if (sl_request_has_header(request, "upload-draft-interop-version"))
        return false; /* it is the draft that it tries to speak */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sl_request_has_header(request, names[i]))
            return true;
    return sl_tus_has_type(request);
}

bool sl_tus_has_type(const struct sl_request *request)
{
    return sl_request_has_type(request, SL_TUS_PIECE_TYPE);
}

void sl_tus_put_abilities(struct sl_request *request)
{
    const struct sl_intake *intake = request->http->intake;
    if (intake->uploads == NULL)
        return;
    request->is_tus = true;
    sl_reply_header(request, "tus-version", SL_BYTES(SL_TUS_PROTOCOL));
    sl_reply_header(request, "tus-extension", SL_BYTES(EXTENSIONS));
    sl_reply_header(request, "tus-checksum-algorithm", SL_BYTES(ALGORITHMS));
    if (intake->size_max != UINT64_MAX)
        sl_reply_number(request, "tus-max-size", intake->size_max);
}

/* ---- answers ---- */

static void put_expiry(struct sl_resumption *r)
{
    char date[SL_HTTP_DATE_BYTES];
    sl_http_date_format(sl_resumable_expires_ns(&r->resumable) / SL_SEC, date);
    sl_reply_header(r->request, "upload-expires", sl_bytes_of(date));
}

/* What a HEAD tells, so that who lost an answer can go on from any other. */
static void put_state(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    if (state->kind != SL_UPLOAD_FINAL ||
        state->is_done) /* before it is joined, nothing can be said of a final one */
        sl_reply_number(r->request, "upload-offset", state->offset);
    put_expiry(r);
    sl_resumption_put_file(r);
}

static void created(struct sl_resumption *r)
{
    sl_reply_header(r->request, "location", sl_resumption_url(r));
    put_state(r);
    sl_reply_empty(r->request, 201);
}

static void appended(struct sl_resumption *r)
{
    put_state(r);
    sl_reply_empty(r->request, 204);
}

static void done(struct sl_resumption *r)
{
    if (r->purpose == SL_RESUMPTION_MAKE)
        created(r);
    else
        appended(r);
}

/* To what is complete nothing can be added; nothing, that is. */
static bool replays(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    if (state->kind == SL_UPLOAD_FINAL || r->offset != state->offset || r->request->content_length != 0)
        return false;
    appended(r);
    return true;
}

static void looked(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    struct sl_request *request = r->request;
    put_state(r);
    sl_reply_header(request, "cache-control", SL_BYTES("no-store"));
    if (state->length != SL_STORE_SIZE_UNKNOWN)
        sl_reply_number(request, "upload-length", state->length);
    else if (state->kind != SL_UPLOAD_FINAL)
        sl_reply_header(request, "upload-defer-length", SL_BYTES("1"));
    if (state->metadata.len > 0)
        sl_reply_header(request, "upload-metadata", state->metadata);
    if (state->kind == SL_UPLOAD_PARTIAL)
        sl_reply_header(request, "upload-concat", SL_BYTES("partial"));
    else if (state->kind == SL_UPLOAD_FINAL)
        sl_reply_header(request, "upload-concat", state->concat);
    sl_reply_empty(request, 200); /* old browsers take 204 for nothing at all */
}

static void dropped(struct sl_resumption *r)
{
    sl_reply_empty(r->request, 204);
}

/* 409 is for clients of tus that the offset is another: they ask for it and send again, for ever. */
static void refused(struct sl_resumption *r, sl_err err)
{
    struct sl_request *request = r->request;
    if (err == SL_DIGEST_MISMATCH && r->resumable.is_check_wrong)
        err = SL_CHECKSUM_MISMATCH;
    if (err == SL_UPLOAD_DONE && r->resumable.state.kind == SL_UPLOAD_FINAL)
        r->detail = "A final upload is made of its parts, and nothing else can be added to it.";
    if (err == SL_EXISTS)
        r->status = 403;
    if (err == SL_TUS_VERSION)
        sl_reply_header(request, "tus-version", SL_BYTES(SL_TUS_PROTOCOL));
    if (err == SL_OFFSET)
        sl_reply_number(request, "upload-offset", r->resumable.state.offset);
    if (err == SL_PATCH_TYPE)
        sl_resumption_put_patch_types(request);
    if (r->purpose == SL_RESUMPTION_APPEND && r->is_known && err != SL_UPLOAD_GONE)
        put_expiry(r);
    if (r->purpose == SL_RESUMPTION_LOOK)
        sl_reply_header(request, "cache-control", SL_BYTES("no-store"));
    sl_resumption_problem(r, err, NULL);
}

/* An upload of the draft ends where its client says; of one that goes on by tus, its length says it. */
static sl_err check(struct sl_resumption *r)
{
    r->is_last_by_length = r->resumable.state.dialect == SL_UPLOAD_DRAFT;
    return SL_OK;
}

static const struct sl_dialect dialect = {.check = check,
                                          .created = created,
                                          .appended = appended,
                                          .done = done,
                                          .replays = replays,
                                          .looked = looked,
                                          .dropped = dropped,
                                          .refused = refused};

/* ---- checksums ---- */

/* "sha1 base64", added to what is promised already. */
static sl_err parse_checksum(struct sl_bytes field, struct sl_digests *promised)
{
    unsigned char digest[SL_HASH_BYTES_MAX];
    struct sl_bytes name;
    size_t len;
    if (sl_tus_checksum(field, &name, digest, sizeof digest, &len) != SL_OK)
        return SL_BAD_DIGEST;
    for (size_t i = 0; i < sizeof checksums / sizeof checksums[0]; i++) {
        enum sl_hash_alg alg = checksums[i].alg;
        if (!sl_bytes_equal(name, sl_bytes_of(checksums[i].name)))
            continue;
        if (len != sl_hash_bytes(alg))
            return SL_BAD_DIGEST;
        if ((promised->set & 1u << alg) && memcmp(promised->value[alg], digest, len) != 0)
            return SL_BAD_DIGEST; /* the bytes cannot be both */
        promised->set |= 1u << alg;
        memcpy(promised->value[alg], digest, len);
        return SL_OK;
    }
    return SL_DIGEST_UNSUPPORTED;
}

static sl_err read_trailer(struct sl_resumption *r, struct sl_digests *promised)
{
    struct sl_bytes field;
    sl_err err = sl_request_trailer(r->request, "upload-checksum", &field);
    if (err == SL_HEAD_TOO_LARGE)
        r->detail = "All trailers together may take 2 KiB.";
    if (err != SL_OK)
        return err;
    return field.base == NULL ? SL_BAD_DIGEST : parse_checksum(field, promised);
}

/* What this body digests to, by all the fields that tell it: each is to be right. `promised`: what others told. */
static sl_err take_checksums(struct sl_resumption *r, struct sl_digests *promised)
{
    struct sl_request *request = r->request;
    bool is_final = r->plan != NULL && r->plan->kind == SL_UPLOAD_FINAL;
    bool has_checksum = sl_request_has_header(request, "upload-checksum");
    struct sl_bytes trailers = sl_request_header_list(request, "trailer");
    bool has_trailer = h2o_contains_token(trailers.base, trailers.len, H2O_STRLIT("upload-checksum"), ',');
    if (is_final && (promised->set != 0 || has_checksum || has_trailer)) {
        r->detail = "A final upload has no body of its own to be checked. Repr-Digest tells the digest of the whole.";
        return SL_DIGEST_UNSUPPORTED;
    }
    sl_err err = has_checksum ? parse_checksum(sl_request_header_list(request, "upload-checksum"), promised) : SL_OK;
    if (err == SL_OK && promised->set != 0) {
        struct sl_digests *kept = h2o_mem_alloc_pool(&request->h2o.pool, sizeof *kept);
        *kept = *promised;
        r->promised = kept;
    }
    if (err == SL_OK && has_trailer) {
        sl_request_want_trailers(request);
        r->read_trailer = read_trailer;
    }
    return err;
}

/* ---- what a request says ---- */

static sl_err check_version(struct sl_request *request)
{
    request->is_tus = true; /* also if it said no version */
    bool is_right = sl_bytes_equal(sl_request_header_list(request, "tus-resumable"), SL_BYTES(SL_TUS_PROTOCOL));
    return is_right ? SL_OK : SL_TUS_VERSION;
}

/* *is_deferred_out: it is said to be told later. */
static sl_err take_length(struct sl_resumption *r, bool *is_deferred_out)
{
    struct sl_bytes length = sl_request_header_list(r->request, "upload-length"),
                    deferred = sl_request_header_list(r->request, "upload-defer-length");
    *is_deferred_out = deferred.base != NULL;
    if (*is_deferred_out && (length.base != NULL || !sl_bytes_equal(deferred, SL_BYTES("1"))))
        return SL_BAD_FIELD;
    return length.base == NULL ? SL_OK : sl_tus_number(length, &r->length);
}

static void finish_text(char *text, size_t *len)
{
    while (*len > 0 && (text[*len - 1] == ' ' || text[*len - 1] == '\0'))
        --*len;
}

/* A value of the metadata, in the request's pool; empty: there is none. */
static struct sl_bytes find_metadata(struct sl_resumption *r, const char *key, const char *other_key)
{
    struct sl_bytes field = r->plan->metadata;
    char *value = h2o_mem_alloc_pool(&r->request->h2o.pool, SL_TUS_METADATA_BYTES_MAX);
    size_t len = 0;
    if (!sl_tus_metadata_find(field, key, value, SL_TUS_METADATA_BYTES_MAX, &len) || len == 0)
        if (!sl_tus_metadata_find(field, other_key, value, SL_TUS_METADATA_BYTES_MAX, &len))
            len = 0;
    finish_text(value, &len);
    return (struct sl_bytes){value, len};
}

static sl_err take_metadata(struct sl_resumption *r)
{
    struct sl_upload_state *plan = r->plan;
    struct sl_bytes field = sl_bytes_trim(sl_request_header_list(r->request, "upload-metadata"));
    sl_err err = sl_tus_metadata_check(field);
    if (err != SL_OK)
        return err == SL_HEAD_TOO_LARGE ? SL_UPLOAD_FIELDS : err;
    plan->metadata = field;
    plan->type = sl_type_to_keep(r->request, find_metadata(r, "filetype", "type"));
    return plan->kind == SL_UPLOAD_PARTIAL ? SL_OK : sl_resumption_name(r, find_metadata(r, "filename", "name"));
}

/* Of a final one: every URL is to be one of ours; whether there is such an upload is seen when they are joined. */
static sl_err check_parts(struct sl_bytes urls)
{
    struct sl_bytes url, id;
    while (sl_tus_concat_next(&urls, &url))
        if (!sl_tus_url_id(url, &id))
            return SL_UPLOAD_GONE;
    return SL_OK;
}

static sl_err take_kind(struct sl_resumption *r)
{
    struct sl_upload_state *plan = r->plan;
    struct sl_bytes field = sl_request_header_list(r->request, "upload-concat"), urls;
    enum sl_tus_concat concat;
    if (field.base == NULL)
        return SL_OK;
    sl_err err = sl_tus_concat(field, &concat, &urls);
    if (err != SL_OK)
        return err;
    plan->kind = concat == SL_TUS_CONCAT_FINAL ? SL_UPLOAD_FINAL : SL_UPLOAD_PARTIAL;
    if (plan->kind == SL_UPLOAD_PARTIAL)
        return SL_OK;
    plan->concat = field;
    return check_parts(urls);
}

static sl_err check_shape(struct sl_resumption *r, bool is_deferred)
{
    bool has_length = r->length != SL_STORE_SIZE_UNKNOWN || is_deferred;
    bool is_final = r->plan->kind == SL_UPLOAD_FINAL;
    if (!is_final && !has_length)
        r->detail = "Upload-Length is missing, or Upload-Defer-Length: 1 if it is to be told later.";
    else if (is_final && (has_length || r->request->content_length != 0))
        r->detail = "A final upload has the length and the bytes of its parts, and none of its own.";
    else
        return SL_OK;
    return SL_BAD_FIELD;
}

static sl_err read_creation(struct sl_resumption *r)
{
    bool is_deferred = false;
    struct sl_upload_state *plan;
    struct sl_digests piece;
    sl_err err = check_version(r->request);
    if (err == SL_OK)
        err = sl_resumption_plan(r, &plan);
    if (err == SL_OK) {
        plan->dialect = SL_UPLOAD_TUS;
        err = take_kind(r);
    }
    if (err == SL_OK)
        err = take_length(r, &is_deferred);
    if (err == SL_OK)
        err = check_shape(r, is_deferred);
    if (err == SL_OK && r->request->content_length != 0 && !sl_tus_has_type(r->request))
        err = SL_PATCH_TYPE;
    if (err == SL_OK)
        err = take_metadata(r);
    if (err == SL_OK)
        err = sl_integrity_of_piece(r->request, &plan->promised, &piece);
    return err == SL_OK ? take_checksums(r, &piece) : err;
}

void sl_handle_tus_create(struct sl_request *request)
{
    struct sl_resumption *r = sl_resumption_create(request, &dialect, SL_RESUMPTION_MAKE);
    sl_err err = read_creation(r);
    if (err == SL_OK)
        sl_resumption_make(r, false);
    else
        sl_resumption_refuse(r, err);
}

/* By RFC 9530 every digest of a PATCH is of what it carries. */
static sl_err read_append(struct sl_resumption *r)
{
    struct sl_bytes offset = sl_request_header_list(r->request, "upload-offset");
    struct sl_digests piece;
    bool is_deferred;
    if (!sl_tus_has_type(r->request))
        return SL_PATCH_TYPE;
    if (offset.base == NULL)
        r->detail = "Upload-Offset is missing: it tells where in the upload this body begins.";
    sl_err err = sl_tus_number(offset, &r->offset);
    if (err == SL_OK)
        err = take_length(r, &is_deferred);
    if (err == SL_OK)
        err = sl_integrity_of_request(r->request, &piece);
    return err == SL_OK ? take_checksums(r, &piece) : err;
}

void sl_handle_tus_upload(struct sl_request *request, struct sl_bytes id, enum sl_resumption_purpose purpose)
{
    struct sl_resumption *r = sl_resumption_create(request, &dialect, purpose);
    sl_err err = check_version(request);
    if (err == SL_OK && purpose == SL_RESUMPTION_APPEND)
        err = read_append(r);
    if (err == SL_OK)
        sl_resumption_open(r, id);
    else
        sl_resumption_refuse(r, err);
}
