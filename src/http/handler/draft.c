#include "draft.h"

#include "handler.h"
#include "integrity.h"
#include "representation.h"
#include "rules.h"

#include "sluice/base/clock.h"
#include "sluice/decode/resumable.h"

#include <inttypes.h>
#include <stdlib.h>

#define PROBLEM           "https://iana.org/assignments/http-problem-types#"
#define SF_INTEGER_MAX    UINT64_C(999999999999999) /* RFC 9651 section 3.3.1 */
#define PROGRESS_MAX      3 /* some proxies and clients break off after five interim answers (golang/go's net/http) */
#define PROGRESS_STEP_MIN ((uint64_t)32 << 20)

static const struct sl_dialect dialect;

static const struct sl_http_options *options_of(const struct sl_request *request)
{
    return &request->http->options;
}

/* ---- what the request says ---- */

static unsigned version_of(struct sl_request *request)
{
    return sl_draft_version(sl_request_header_list(request, "upload-draft-interop-version"));
}

static enum sl_draft_complete complete_of(struct sl_request *request)
{
    return sl_draft_complete(version_of(request), sl_request_header_list(request, "upload-complete"),
                             sl_request_header_list(request, "upload-incomplete"));
}

/* Where uploads cannot be kept, one that comes whole is an ordinary one (section 4.2.2: the field is ignored), and any
 * other is refused. */
bool sl_draft_is_creation(struct sl_request *request)
{
    enum sl_draft_complete complete = complete_of(request);
    return complete == SL_DRAFT_INCOMPLETE ||
           (complete == SL_DRAFT_COMPLETE && request->http->intake->uploads != NULL);
}

/* tus-js-client, which speaks 5 and 6, counts on an upload to be complete when it has its length, as with tusd: pieces
 * of a file it never marks as the last. Who asks for the end after that gets the answer again. */
static bool is_last_by_length(const struct sl_resumption *r, uint64_t length)
{
    uint64_t body = r->request->content_length;
    bool is_so = r->version == 5 || r->version == 6;
    return is_so && body != SL_LENGTH_UNKNOWN && body > 0 && length >= body && length - body == r->offset;
}

/* The length of the whole is told by Upload-Length, and by the end of the last piece: if by both, alike. */
static sl_err read_length(struct sl_resumption *r)
{
    struct sl_bytes field = sl_request_header_list(r->request, "upload-length");
    uint64_t body = r->request->content_length;
    bool has_length = sl_draft_number(field, &r->length);
    if (has_length && is_last_by_length(r, r->length))
        r->is_last = true;
    if (!r->is_last || body == SL_LENGTH_UNKNOWN || body > SF_INTEGER_MAX)
        return SL_OK;
    uint64_t length = r->offset + body;
    if (has_length && length != r->length)
        return SL_LENGTH;
    r->length = length;
    return SL_OK;
}

static struct sl_resumption *begin(struct sl_request *request, enum sl_resumption_purpose purpose)
{
    struct sl_resumption *r = sl_resumption_create(request, &dialect, purpose);
    uint64_t append_max = options_of(request)->max_append_bytes;
    r->version = version_of(request);
    r->is_last = complete_of(request) == SL_DRAFT_COMPLETE;
    if (append_max != 0)
        r->body_max = append_max;
    return r;
}

/* ---- what the answers say ---- */

static void put_complete(struct sl_resumption *r, bool is_complete)
{
    if (r->version == 3)
        sl_reply_header(r->request, "upload-incomplete", is_complete ? SL_BYTES("?0") : SL_BYTES("?1"));
    else
        sl_reply_header(r->request, "upload-complete", is_complete ? SL_BYTES("?1") : SL_BYTES("?0"));
}

static void put_version(struct sl_resumption *r)
{
    if (r->version != 0)
        sl_reply_number(r->request, "upload-draft-interop-version", r->version);
}

static void put_limit(struct sl_text *text, const char *key, uint64_t value)
{
    if (text->len > 0)
        sl_text_put(text, SL_BYTES(", "));
    sl_text_printf(text, "%s=%" PRIu64, key, value < SF_INTEGER_MAX ? value : SF_INTEGER_MAX);
}

#define LIMITS_BYTES 128

static struct sl_bytes limits_of(const struct sl_request *request, char room[LIMITS_BYTES], const char *age_key,
                                 uint64_t age_s)
{
    uint64_t size_max = request->http->intake->size_max, append_max = options_of(request)->max_append_bytes;
    struct sl_text text;
    sl_text_init(&text, room, LIMITS_BYTES);
    if (size_max != UINT64_MAX)
        put_limit(&text, "max-size", size_max);
    if (append_max != 0)
        put_limit(&text, "max-append-size", append_max);
    if (age_key != NULL)
        put_limit(&text, age_key, age_s);
    if (text.len == 0) /* no limits are a limit, too: an empty field would be none (section 4.1.4) */
        put_limit(&text, "min-size", 0);
    return (struct sl_bytes){text.base, text.len};
}

/* Of this upload, if it is there already. Version 6 had another word for its age, and those before had no limits. */
static struct sl_bytes limits_now(struct sl_resumption *r, char room[LIMITS_BYTES], bool is_there)
{
    if (!is_there)
        return limits_of(r->request, room, NULL, 0);
    uint64_t now = sl_clock_wall_ns(), expires = sl_resumable_expires_ns(&r->resumable);
    return limits_of(r->request, room, r->version == 6 ? "expires" : "max-age",
                     expires > now ? (expires - now) / SL_SEC : 0);
}

static bool knows_limits(const struct sl_resumption *r)
{
    return r->version == 0 || r->version >= 6;
}

static void put_limits(struct sl_resumption *r)
{
    char room[LIMITS_BYTES];
    if (knows_limits(r))
        sl_reply_header(r->request, "upload-limit", limits_now(r, room, r->is_known));
}

void sl_draft_put_limits(struct sl_request *request)
{
    char room[LIMITS_BYTES];
    if (request->http->intake->uploads == NULL)
        return;
    sl_reply_header(request, "upload-limit", limits_of(request, room, NULL, 0));
    sl_resumption_put_patch_types(request);
}

/* ---- interim answers ---- */

/* nginx, as many are installed, takes a 104 for the answer itself (nginx/nginx#1427); it and its like can be known by
 * what they add. One that was told to add nothing still ends each connection to us with its request. */
static bool is_proxied(const struct sl_request *request)
{
    static const char *const signs[] = {"via", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (sl_request_has_header(request, signs[i]))
            return true;
    return !request->h2o.http1_is_persistent;
}

static bool wants_interim(const struct sl_resumption *r)
{
    const struct sl_http_options *options = options_of(r->request);
    return r->version != 0 && options->is_interim_on && (options->is_interim_proxied || !is_proxied(r->request));
}

/* 104: what the URL is, and that it can be gone on with there. */
static void tell_url(struct sl_resumption *r)
{
    char version[] = {(char)('0' + r->version), '\0'}, room[LIMITS_BYTES];
    struct sl_interim_field fields[] = {{SL_BYTES("upload-draft-interop-version"), sl_bytes_of(version)},
                                        {SL_BYTES("location"), sl_resumption_url(r)},
                                        {SL_BYTES("upload-limit"), limits_now(r, room, true)}};
    sl_request_interim(r->request, 104, fields, knows_limits(r) ? 3 : 2);
}

/* After an eighth of what is to come, and then at three and at seven; of a length nobody knows, by steps that double,
 * too. */
static uint64_t next_progress(const struct sl_resumption *r)
{
    uint64_t from = r->purpose == SL_RESUMPTION_MAKE ? 0 : r->offset, length = r->resumable.state.length;
    uint64_t step = length == SL_STORE_SIZE_UNKNOWN ? 0 : (length - from) / 8;
    if (step < PROGRESS_STEP_MIN)
        step = PROGRESS_STEP_MIN;
    return from + step * ((2u << r->interims) - 1);
}

/* 104: how much of it needs not be sent again. Version 3 had no such answer. */
static void tell_progress(struct sl_resumption *r)
{
    uint64_t offset = r->resumable.state.offset;
    if (!wants_interim(r) || r->version == 3 || r->interims == PROGRESS_MAX || offset < next_progress(r))
        return;
    char version[] = {(char)('0' + r->version), '\0'}, digits[24];
    struct sl_text text;
    sl_text_init(&text, digits, sizeof digits);
    sl_text_printf(&text, "%" PRIu64, offset);
    struct sl_interim_field fields[] = {{SL_BYTES("upload-draft-interop-version"), sl_bytes_of(version)},
                                        {SL_BYTES("upload-offset"), {text.base, text.len}}};
    sl_request_interim(r->request, 104, fields, 2);
    r->interims++;
}

/* ---- final answers ---- */

/* What each of them has that tells of an upload which is there. */
static void put_state(struct sl_resumption *r, bool is_complete)
{
    put_version(r);
    put_complete(r, is_complete);
    sl_reply_number(r->request, "upload-offset", r->resumable.state.offset);
    put_limits(r);
}

static void reply_created(struct sl_resumption *r)
{
    put_state(r, false);
    sl_reply_header(r->request, "location", sl_resumption_url(r));
    sl_reply_empty(r->request, 201);
}

/* The first versions ask for 201 here. */
static void reply_appended(struct sl_resumption *r)
{
    put_state(r, false);
    sl_reply_empty(r->request, r->version == 3 || r->version == 5 ? 201 : 204);
}

/* Of what Content-Location names (RFC 9530 section 3.1); those that this request wants, or else the first one. */
static void put_digests(struct sl_resumption *r)
{
    struct sl_digests digests = r->resumable.session.digests;
    sl_hash_set wanted = r->resumable.state.wanted;
    if (wanted != 0 && !sl_request_has_header(r->request, "want-repr-digest"))
        digests.set &= wanted;
    sl_reply_repr_digest(r->request, &digests);
}

/* As the first request would have been answered, had it had all of it. */
static void reply_done(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    put_state(r, true);
    if (state->kind == SL_UPLOAD_PARTIAL) {
        sl_reply_empty(r->request, 204);
        return;
    }
    sl_reply_header(r->request, "content-location", sl_reply_url(r->request, &r->resumable.session.path));
    put_digests(r);
    r->is_json = state->is_posted ? !sl_request_accepts(r->request, "text/plain")
                                  : sl_request_accepts(r->request, "application/json");
    sl_resumption_reply_stored(r);
}

/* Who names no version may know nothing of uploads: it gets a complete one as any other file. */
static void reply_looked(struct sl_resumption *r)
{
    const struct sl_upload_state *state = &r->resumable.state;
    bool has_file = state->is_done && state->kind != SL_UPLOAD_PARTIAL;
    put_state(r, state->is_done);
    if (state->length != SL_STORE_SIZE_UNKNOWN)
        sl_reply_number(r->request, "upload-length", state->length);
    sl_reply_header(r->request, "cache-control", SL_BYTES("no-store"));
    if (has_file && r->version == 0) {
        sl_resumption_reply_file(r);
        return;
    }
    if (has_file) {
        sl_resumption_put_file(r);
        put_digests(r);
    }
    sl_reply_empty(r->request, 204);
}

static void reply_dropped(struct sl_resumption *r)
{
    put_version(r);
    sl_reply_empty(r->request, 204);
}

/* Is it what became of the whole that is refused, and not how it is sent? Then there is nothing to resume. */
static bool is_about_whole(const struct sl_resumption *r, sl_err err)
{
    switch (err) {
    case SL_EXISTS:
    case SL_PRECONDITION:
    case SL_NOT_A_DIRECTORY:
    case SL_IS_A_DIRECTORY:
    case SL_NAME_TOO_LONG:
    case SL_OUTSIDE: return r->is_last;
    case SL_DIGEST_MISMATCH: return r->is_last && !r->resumable.is_check_wrong;
    default: return false;
    }
}

/* The types came with versions 6 and 7, and to others they are as good as any. */
static const char *type_of(const struct sl_resumption *r, sl_err err)
{
    if (err == SL_OFFSET)
        return PROBLEM "mismatching-upload-offset";
    if (err != SL_LENGTH)
        return NULL;
    bool is_complete = r->is_known && r->resumable.state.is_done;
    bool has_old_type = r->version == 6 || r->version == 7;
    return is_complete && has_old_type ? PROBLEM "completed-upload" : PROBLEM "inconsistent-upload-length";
}

static void reply_refused(struct sl_resumption *r, sl_err err)
{
    put_version(r);
    put_complete(r, is_about_whole(r, err));
    if (r->purpose == SL_RESUMPTION_LOOK)
        sl_reply_header(r->request, "cache-control", SL_BYTES("no-store"));
    if (err == SL_OFFSET)
        sl_reply_number(r->request, "upload-offset", r->resumable.state.offset);
    if (err == SL_TOO_LARGE)
        put_limits(r);
    if (err == SL_PATCH_TYPE)
        sl_resumption_put_patch_types(r->request);
    sl_resumption_problem(r, err, type_of(r, err));
}

static sl_err check(struct sl_resumption *r)
{
    if (r->resumable.state.length != SL_STORE_SIZE_UNKNOWN && is_last_by_length(r, r->resumable.state.length))
        r->is_last = true;
    return SL_OK;
}

/* To one that is complete nothing can be added. But who did not get the answer to its last piece may ask for it by
 * one more that is empty. */
static bool replay(struct sl_resumption *r)
{
    if (r->offset != r->resumable.state.offset)
        reply_refused(r, SL_OFFSET);
    else if (r->request->content_length != 0)
        reply_refused(r, SL_LENGTH);
    else
        reply_done(r);
    return true;
}

static const struct sl_dialect dialect = {.check = check,
                                          .announced = tell_url,
                                          .progressed = tell_progress,
                                          .created = reply_created,
                                          .appended = reply_appended,
                                          .done = reply_done,
                                          .replays = replay,
                                          .looked = reply_looked,
                                          .dropped = reply_dropped,
                                          .refused = reply_refused};

/* ---- creation ---- */

static void promise_piece(struct sl_resumption *r, const struct sl_digests *piece)
{
    if (piece->set == 0)
        return;
    struct sl_digests *kept = h2o_mem_alloc_pool(&r->request->h2o.pool, sizeof *kept);
    *kept = *piece;
    r->promised = kept;
}

/* Repr-Digest is of the whole; if all of it comes now, so is every other. */
static sl_err read_digests(struct sl_resumption *r, struct sl_digests *whole_out)
{
    struct sl_digests piece;
    if (r->is_last)
        return sl_integrity_of_request(r->request, whole_out);
    sl_err err = sl_integrity_of_piece(r->request, whole_out, &piece);
    if (err == SL_OK)
        promise_piece(r, &piece);
    return err;
}

/* What Want-Repr-Digest asks of the whole, whenever it is there. 0: nothing. */
static sl_hash_set wish_of(const struct sl_resumption *r, const struct sl_digests *promised)
{
    struct sl_digest_wish wish = sl_digest_wish_of(r->request);
    struct sl_digests to_come = {.set = r->request->http->intake->digests | promised->set};
    return wish.is_any ? 0 : sl_wanted_digests(&wish, &to_come);
}

/* All but the path. */
static sl_err read_creation(struct sl_resumption *r)
{
    struct sl_upload_state *plan;
    sl_err err = sl_resumption_plan(r, &plan);
    if (err == SL_OK && sl_request_has_header(r->request, "content-range"))
        err = SL_RANGE_UPLOAD;
    if (err != SL_OK)
        return err;
    plan->dialect = SL_UPLOAD_DRAFT;
    plan->type = sl_type_to_keep(r->request, sl_request_header(r->request, "content-type"));
    err = read_length(r);
    if (err == SL_OK)
        err = sl_rule_of_disposition(r->request, &plan->is_attachment, &plan->name);
    if (err == SL_OK)
        err = read_digests(r, &plan->promised);
    if (err == SL_OK)
        plan->wanted = wish_of(r, &plan->promised);
    return err;
}

static void make(struct sl_resumption *r, sl_err err)
{
    if (err == SL_OK)
        sl_resumption_make(r, wants_interim(r));
    else
        sl_resumption_refuse(r, err);
}

/* What is asked of a name holds until it is given, which may be many requests later. */
static struct sl_conditions conditions_of(struct sl_request *request)
{
    struct sl_conditions conditions = sl_request_conditions(request);
    conditions.if_modified_since = conditions.if_range = (struct sl_bytes){0};
    return conditions;
}

void sl_handle_draft_put(struct sl_request *request, const struct sl_path *path)
{
    struct sl_resumption *r = begin(request, SL_RESUMPTION_MAKE);
    sl_err err = read_creation(r);
    if (err == SL_OK) {
        r->plan->path = *path;
        r->plan->conditions = conditions_of(request);
    }
    make(r, err);
}

/* A form whose end comes later could only be read then. One that is whole is an ordinary one. */
void sl_handle_draft_post(struct sl_request *request)
{
    if (sl_rule_is_form(request)) {
        if (complete_of(request) == SL_DRAFT_COMPLETE)
            sl_handle_form(request);
        else
            sl_reply_problem(request, SL_BAD_FORM, "A form cannot be sent in pieces, but the file itself can.");
        return;
    }
    struct sl_resumption *r = begin(request, SL_RESUMPTION_MAKE);
    sl_err err = read_creation(r);
    if (err == SL_OK)
        err = sl_rule_of_name(request, &r->plan->name);
    if (err == SL_OK)
        err = sl_resumption_name(r, r->plan->name);
    if (err == SL_OK)
        r->plan->is_posted = true;
    make(r, err);
}

/* ---- an upload that is there ---- */

/* By RFC 9530 every digest of a PATCH is of what it carries. Version 3 demands Upload-Incomplete only while more
 * follows. */
static sl_err read_append(struct sl_resumption *r)
{
    struct sl_digests piece;
    bool has_type = r->version == 3 || r->version == 5 || sl_request_has_type(r->request, SL_PARTIAL_TYPE);
    bool is_said = complete_of(r->request) != SL_DRAFT_NOT_SAID;
    if (!has_type)
        return SL_PATCH_TYPE;
    if (!is_said && r->version == 3)
        r->is_last = is_said = true;
    if (!is_said || !sl_draft_number(sl_request_header_list(r->request, "upload-offset"), &r->offset))
        return SL_BAD_FIELD;
    sl_err err = read_length(r);
    if (err == SL_OK)
        err = sl_integrity_of_request(r->request, &piece);
    if (err == SL_OK)
        promise_piece(r, &piece);
    return err;
}

void sl_handle_draft_upload(struct sl_request *request, struct sl_bytes id, enum sl_resumption_purpose purpose)
{
    struct sl_resumption *r = begin(request, purpose);
    sl_err err = purpose == SL_RESUMPTION_APPEND ? read_append(r) : SL_OK;
    if (err == SL_OK)
        sl_resumption_open(r, id);
    else
        sl_resumption_refuse(r, err);
}
