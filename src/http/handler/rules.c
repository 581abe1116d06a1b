#include "rules.h"

#include "representation.h"
#include "sluice/decode/disposition.h"
#include "sluice/http/http.h"

#include <stdlib.h>

sl_err sl_rule_of_conflict(const struct sl_request *request, enum sl_conflict *conflict_out)
{
    static const struct {
        const char *word;
        enum sl_conflict conflict;
    } rules[] = {{"error", SL_CONFLICT_ERROR}, {"rename", SL_CONFLICT_RENAME}, {"overwrite", SL_CONFLICT_OVERWRITE}};
    enum sl_conflict servers = request->http->intake->conflict;
    char word[16];
    size_t len;
    if (sl_query_find(request->query, "conflict", word, sizeof word, &len) != SL_OK)
        return SL_BAD_QUERY;
    if (len == 0) {
        *conflict_out = servers;
        return SL_OK;
    }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strcmp(word, rules[i].word) != 0)
            continue;
        *conflict_out = rules[i].conflict;
        bool is_allowed = rules[i].conflict != SL_CONFLICT_OVERWRITE || servers == SL_CONFLICT_OVERWRITE;
        return is_allowed ? SL_OK : SL_CONFLICT_RULE;
    }
    return SL_BAD_QUERY;
}

/* Copies `field` to *room, which goes on behind it. One that was not sent stays so. */
static struct sl_bytes keep(char **room, struct sl_bytes field)
{
    if (field.base == NULL)
        return field;
    char *copy = *room;
    memcpy(copy, field.base, field.len);
    *room += field.len;
    return (struct sl_bytes){copy, field.len};
}

struct sl_conditions *sl_rule_of_conditions(struct sl_request *request)
{
    struct sl_conditions sent = sl_request_conditions(request);
    if (!sl_conditions_are_set(&sent))
        return NULL;
    size_t len =
        sent.if_match.len + sent.if_none_match.len + sent.if_modified_since.len + sent.if_unmodified_since.len;
    struct sl_conditions *kept = malloc(sizeof *kept + len);
    if (kept == NULL)
        abort();
    char *room = (char *)(kept + 1);
    *kept = (struct sl_conditions){.if_match = keep(&room, sent.if_match),
                                   .if_none_match = keep(&room, sent.if_none_match),
                                   .if_modified_since = keep(&room, sent.if_modified_since),
                                   .if_unmodified_since = keep(&room, sent.if_unmodified_since)};
    return kept;
}

bool sl_rule_is_form(const struct sl_request *request)
{
    return sl_request_has_type(request, "multipart/form-data");
}

bool sl_rule_is_small(const struct sl_request *request)
{
    return request->content_length < sl_slab_class_bytes(SL_SLAB_MEDIUM) && !request->has_expect;
}

static struct sl_bytes keep_text(struct sl_request *request, const char *text)
{
    h2o_iovec_t copy = h2o_strdup(&request->h2o.pool, text, SIZE_MAX);
    return (struct sl_bytes){copy.base, copy.len};
}

sl_err sl_rule_of_disposition(struct sl_request *request, bool *is_attachment_out, struct sl_bytes *filename_out)
{
    struct sl_bytes value = sl_request_header(request, "content-disposition");
    struct sl_disposition disposition;
    *is_attachment_out = false;
    *filename_out = (struct sl_bytes){0};
    if (value.len == 0)
        return SL_OK;
    sl_err err = sl_disposition_parse(value, &disposition);
    if (err != SL_OK)
        return err;
    *is_attachment_out = sl_bytes_equal_nocase(disposition.type, SL_BYTES("attachment"));
    if (disposition.has_filename)
        *filename_out = keep_text(request, disposition.filename);
    return SL_OK;
}

sl_err sl_rule_of_name(struct sl_request *request, struct sl_bytes *filename)
{
    char name[SL_DISPOSITION_FILENAME_MAX + 1];
    size_t len;
    sl_err err = sl_query_find(request->query, "name", name, sizeof name, &len);
    if (err == SL_OK && len > 0)
        *filename = keep_text(request, name);
    return err;
}

struct sl_bytes sl_type_to_keep(struct sl_request *request, struct sl_bytes sent)
{
    struct sl_bytes type = sl_media_type_of(request, sent, (struct sl_bytes){0});
    return type.base == sent.base ? sent : (struct sl_bytes){0}; /* else it is what would be said of any file */
}

struct sl_bytes sl_path_leaf(const struct sl_path *path)
{
    const char *slash = strrchr(path->text, '/');
    return sl_bytes_of(slash == NULL ? path->text : slash + 1);
}

struct sl_digests *sl_promise_keep(const struct sl_digests *promised)
{
    if (promised->set == 0)
        return NULL;
    struct sl_digests *kept = malloc(sizeof *kept);
    if (kept == NULL)
        abort();
    *kept = *promised;
    return kept;
}
