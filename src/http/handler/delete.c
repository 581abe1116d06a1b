/* DELETE: the name goes, durably; who downloads the file goes on. Once begun, the removal does not wait for its
 * request: when the client goes, it ends all the same. */
#include "handler.h"
#include "rules.h"

#include <assert.h>
#include <stdlib.h>

struct deletion {
    struct sl_sink sink;        /* only to be told that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_intake *intake;
    struct sl_store_removal removal;
    struct sl_path path;
    struct sl_conditions *conditions;
};

static void on_removed(struct sl_store_removal *removal, sl_err err, void *ctx)
{
    struct deletion *deletion = ctx;
    struct sl_request *request = deletion->request;
    assert(deletion->intake->files > 0);
    deletion->intake->files--;
    if (request != NULL && err == SL_PRECONDITION && removal->etag[0] != '\0')
        sl_reply_header(request, "etag", sl_bytes_of(removal->etag));
    free(deletion->conditions);
    free(deletion);
    if (request == NULL)
        return;
    if (err == SL_OK)
        sl_reply_empty(request, 204);
    else
        sl_reply_problem(request, err, NULL);
}

static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    SL_CONTAINER_OF(sink, struct deletion, sink)->request = NULL;
}

static const struct sl_sink_ops sink_ops = {.abort = on_abort};

/* The request may die before the removal is over, so nothing is lent to it by the request. */
static struct deletion *create_deletion(struct sl_request *request, const struct sl_path *path)
{
    struct deletion *deletion = calloc(1, sizeof *deletion);
    if (deletion == NULL)
        abort();
    deletion->conditions = sl_rule_of_conditions(request);
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
    sl_store_remove(intake->store, &deletion->removal, &deletion->path, deletion->conditions, on_removed, deletion);
}
