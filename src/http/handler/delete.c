/* DELETE: the name goes, durably; who downloads the file goes on. Once begun, the removal does not wait for its
 * request: when the client goes, it ends all the same. */
#include "handler.h"

#include <assert.h>
#include <stdlib.h>

struct deletion {
    struct sl_sink sink;        /* only to be told that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_intake *intake;
    struct sl_store_removal removal;
    struct sl_path path;
    struct sl_conditions conditions; /* point into text */
    char text[];
};

static void on_removed(struct sl_store_removal *removal, sl_err err, void *ctx)
{
    struct deletion *deletion = ctx;
    struct sl_request *request = deletion->request;
    assert(deletion->intake->files > 0);
    deletion->intake->files--;
    if (request != NULL && err == SL_PRECONDITION && removal->etag[0] != '\0')
        sl_reply_header(request, "etag", sl_bytes_of(removal->etag));
    free(deletion);
    if (request == NULL)
        return;
    if (err == SL_OK)
        sl_reply_empty(request, 204);
    else
        sl_reply_problem(request, err, NULL);
}

static struct sl_room no_room(struct sl_sink *sink)
{
    (void)sink;
    return (struct sl_room){0};
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    SL_CONTAINER_OF(sink, struct deletion, sink)->request = NULL;
}

static const struct sl_sink_ops sink_ops = {.reserve = no_room, .abort = on_abort};

/* Copies a field of the request behind those that are there; one that was not sent stays so. */
static struct sl_bytes keep(char **at, struct sl_bytes field)
{
    if (field.base == NULL)
        return field;
    struct sl_bytes kept = {*at, field.len};
    memcpy(*at, field.base, field.len);
    *at += field.len;
    return kept;
}

/* The request may die before the removal is over, so nothing is lent to it by the request. */
static struct deletion *create_deletion(struct sl_request *request, const struct sl_path *path)
{
    struct sl_conditions sent = sl_request_conditions(request);
    size_t room = sent.if_match.len + sent.if_none_match.len + sent.if_modified_since.len +
                  sent.if_unmodified_since.len + sent.if_range.len;
    struct deletion *deletion = calloc(1, sizeof *deletion + room + 1);
    if (deletion == NULL)
        abort();
    char *at = deletion->text;
    deletion->conditions = (struct sl_conditions){.if_match = keep(&at, sent.if_match),
                                                  .if_none_match = keep(&at, sent.if_none_match),
                                                  .if_modified_since = keep(&at, sent.if_modified_since),
                                                  .if_unmodified_since = keep(&at, sent.if_unmodified_since),
                                                  .if_range = keep(&at, sent.if_range)};
    assert(at == deletion->text + room);
    deletion->path = *path;
    deletion->request = request;
    deletion->intake = request->http->intake;
    deletion->sink.ops = &sink_ops;
    return deletion;
}

void sl_handle_delete(struct sl_request *request, const struct sl_path *path)
{
    struct sl_intake *intake = request->http->intake;
    if (intake->files >= intake->files_max) {
        sl_reply_problem(request, SL_TOO_MANY_FILES, NULL);
        return;
    }
    intake->files++; /* it holds descriptors as an upload does, and the loop must not end before it */
    struct deletion *deletion = create_deletion(request, path);
    sl_body_attach(request, &deletion->sink);
    sl_store_remove(intake->store, &deletion->removal, &deletion->path, &deletion->conditions, on_removed, deletion);
}
