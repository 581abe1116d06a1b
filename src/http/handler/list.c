/* GET and HEAD of the base path: the names of stored files in the order of their bytes, a page at a time, as JSON that
 * is made while it is sent. Nothing of a folder is held but one batch of its names: it lies at the end of the buffer
 * whose beginning takes the text, and is gone when the buffer is given back after each piece; the next one goes on
 * behind the last name told. */
#include "../reply_json.h"
#include "handler.h"
#include "representation.h"
#include "sluice/base/clock.h"
#include "turn.h"

#include <assert.h>
#include <stdlib.h>

#define LIMIT_MAX 1000

struct list {
    h2o_generator_t generator;  /* first */
    struct sl_sink sink;        /* only to be told, before the answer begins, that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_http *http;
    struct sl_store_listing listing;
    struct sl_turn turn;
    struct sl_digest_wish wish;
    struct sl_bytes base_url; /* in the request's pool */
    uint64_t limit;           /* names still to be told */
    struct sl_path last;      /* the name told last */
    char *rest;               /* text that the last piece had no room for */
    size_t rest_len, rest_at;
    size_t len; /* of the piece being made */
    bool has_told, is_over, is_busy, has_answer;
};

/* ---- the end ---- */

/* Ends the list as soon as nothing is in flight. */
static void give_back(struct list *list)
{
    list->request = NULL;
    if (list->is_busy)
        return;
    sl_turn_end(&list->turn);
    free(list->rest);
    free(list);
}

static void on_disposed(void *memory)
{
    give_back(*(struct list **)memory);
}

static void refuse(struct list *list, sl_err err)
{
    struct sl_request *request = list->request;
    if (list->has_answer) { /* half a list must not look like a whole one */
        h2o_iovec_t nothing = {0};
        request->err = err;
        sl_turn_end(&list->turn);
        h2o_send(&request->h2o, &nothing, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    give_back(list);
    sl_reply_problem(request, err, NULL);
}

/* ---- the answer ---- */

static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o);

static bool is_last_piece(const struct list *list)
{
    return list->is_over && list->rest == NULL;
}

/* The length is told where it is known: when all fits into the first piece. */
static void begin_answer(struct list *list)
{
    sl_reply_header(list->request, "content-type", SL_BYTES("application/json"));
    sl_reply_header(list->request, "x-content-type-options", SL_BYTES("nosniff"));
    sl_reply_header(list->request, "cache-control", SL_BYTES("no-cache"));
    struct list **owner = h2o_mem_alloc_shared(&list->request->h2o.pool, sizeof *owner, on_disposed);
    *owner = list;
    list->has_answer = true;
    list->generator = (h2o_generator_t){.proceed = on_proceed};
    sl_reply_begin(list->request, 200, is_last_piece(list) ? list->len : SIZE_MAX, &list->generator);
}

/* What a GET would begin with; its length nobody knows yet. */
static void answer_head(struct list *list)
{
    h2o_iovec_t nothing = {0};
    begin_answer(list);
    h2o_send(&list->request->h2o, &nothing, 0, H2O_SEND_STATE_FINAL);
}

static void send_piece(struct list *list)
{
    if (!list->has_answer)
        begin_answer(list);
    h2o_iovec_t piece = {list->turn.slab->base, list->len};
    bool is_last = is_last_piece(list);
    sl_turn_send(&list->turn, list->request);
    h2o_send(&list->request->h2o, &piece, 1, is_last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

/* ---- the text ---- */

/* A name takes about three times as much room as text than it does as an entry. */
static size_t text_room(const struct list *list)
{
    size_t bytes = list->turn.slab->bytes, batch = bytes / 4;
    return bytes - (batch < SL_STORE_LIST_BYTES_MIN ? SL_STORE_LIST_BYTES_MIN : batch);
}

/* As much of what is left over as there is room for. */
static void put_rest(struct list *list)
{
    size_t room = text_room(list) - list->len, left = list->rest_len - list->rest_at;
    size_t n = left < room ? left : room;
    if (list->rest == NULL)
        return;
    memcpy(list->turn.slab->base + list->len, list->rest + list->rest_at, n);
    list->len += n;
    list->rest_at += n;
    if (list->rest_at < list->rest_len)
        return;
    free(list->rest);
    list->rest = NULL;
    list->rest_len = list->rest_at = 0;
}

/* text: taken. */
static void put_text(struct list *list, char *text)
{
    if (text == NULL)
        abort(); /* out of memory: what we give to jansson is UTF-8 */
    assert(list->rest == NULL);
    list->rest = text;
    list->rest_len = strlen(text);
    put_rest(list);
}

static void set_text(json_t *json, const char *name, struct sl_bytes text)
{
    if (text.len > 0)
        json_object_set_new(json, name, sl_json_text(text));
}

/* What only some files have. */
static void set_extras(json_t *json, struct sl_meta *meta)
{
    struct sl_meta_field field;
    if (meta->created_ns != 0)
        sl_json_set_time(json, "created", meta->created_ns);
    set_text(json, "filename", meta->name);
    set_text(json, "request-id", meta->request_id);
    json_t *fields = json_object();
    while (sl_meta_next_field(meta, &field))
        sl_json_add_field(fields, &field);
    if (json_object_size(fields) > 0)
        json_object_set(json, "fields", fields);
    json_decref(fields);
}

/* Not in the request's pool, which would keep a thousand of them. */
static json_t *url_json(struct list *list, struct sl_bytes path)
{
    char *room = malloc(list->base_url.len + 3 * path.len + 1);
    if (room == NULL)
        abort();
    struct sl_text text;
    sl_text_init(&text, room, list->base_url.len + 3 * path.len + 1);
    sl_text_put(&text, list->base_url);
    sl_path_encode(&text, path);
    assert(!text.full);
    json_t *json = sl_json_text((struct sl_bytes){text.base, text.len});
    free(room);
    return json;
}

static void put_entry(struct list *list, struct sl_store_entry *entry)
{
    struct sl_request *request = list->request;
    struct sl_bytes path = {entry->path->text, entry->path->len}, etag = sl_bytes_of(entry->etag);
    struct sl_bytes name = entry->meta.name.len > 0 ? entry->meta.name : path;
    json_t *json = json_object();
    json_object_set_new(json, "name", sl_json_text(path));
    json_object_set_new(json, "url", url_json(list, path));
    json_object_set_new(json, "size", json_integer((json_int_t)entry->size));
    sl_json_set_time(json, "modified", entry->modified_ns);
    json_object_set_new(json, "etag", sl_json_text((struct sl_bytes){etag.base + 1, etag.len - 2}));
    json_object_set_new(json, "type", sl_json_text(sl_media_type_of(request, entry->meta.type, name)));
    json_object_set_new(json, "digest", sl_json_digests(&list->wish, &entry->meta.digests));
    set_extras(json, &entry->meta);
    char bytes[SL_JSON_USUAL_BYTES], *item;
    struct sl_room room = {bytes, sizeof bytes};
    struct sl_bytes text = sl_json_write(json, room);
    if (asprintf(&item, "%s%.*s", list->has_told ? ",\n" : "", (int)text.len, text.base) < 0)
        abort();
    sl_json_forget(text, room);
    list->has_told = true;
    list->last = *entry->path;
    put_text(list, item);
}

/* is_all: there are no names behind the last one. */
static void put_end(struct list *list, bool is_all)
{
    json_t *next = is_all ? json_null() : sl_json_text((struct sl_bytes){list->last.text, list->last.len});
    json_t *json = json_pack("{so}", "next", next);
    char bytes[SL_JSON_USUAL_BYTES], *end;
    struct sl_room room = {bytes, sizeof bytes};
    struct sl_bytes text = sl_json_write(json, room);
    /* ...],"next":"name"} */
    if (asprintf(&end, "],\n%.*s\n", (int)text.len - 1, text.base + 1) < 0)
        abort();
    sl_json_forget(text, room);
    list->is_over = true;
    put_text(list, end);
}

/* ---- a piece ---- */

static void fetch(struct list *list);

static bool is_full(const struct list *list)
{
    return list->rest != NULL || list->len == text_room(list);
}

static void tell_batch(struct list *list)
{
    struct sl_store_entry entry;
    bool is_more = false;
    while (!is_full(list) && (is_more = sl_store_listing_next(&list->listing, &entry)) && list->limit > 0) {
        put_entry(list, &entry);
        list->limit--;
    }
    if (is_full(list))
        send_piece(list);
    else if (!is_more && !list->listing.is_end)
        fetch(list);
    else {
        put_end(list, !is_more);
        send_piece(list);
    }
}

static void on_batch(struct sl_store_listing *listing, sl_err err, void *ctx)
{
    struct list *list = ctx;
    (void)listing;
    list->is_busy = false;
    if (list->request == NULL)
        give_back(list);
    else if (err != SL_OK)
        refuse(list, err);
    else
        tell_batch(list);
}

static void fetch(struct list *list)
{
    struct sl_slab *slab = list->turn.slab;
    size_t at = text_room(list);
    list->is_busy = true;
    sl_store_list(&list->listing, slab->base + at, slab->bytes - at, on_batch, list);
}

static void on_turn(struct sl_turn *turn, void *ctx)
{
    struct list *list = ctx;
    (void)turn;
    list->len = 0;
    if (!list->has_answer)
        put_text(list, strdup("{\"files\":["));
    put_rest(list);
    if (list->is_over || is_full(list))
        send_piece(list);
    else
        fetch(list);
}

static void take_turn(struct list *list)
{
    sl_turn_take(&list->turn, list->http, true, on_turn, list);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
    struct list *list = (struct list *)generator;
    (void)h2o;
    sl_turn_end(&list->turn);
    take_turn(list);
}

/* ---- the beginning ---- */

static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    give_back(SL_CONTAINER_OF(sink, struct list, sink));
}

static const struct sl_sink_ops sink_ops = {.abort = on_abort};

static sl_err read_limit(struct sl_request *request, uint64_t *limit_out)
{
    char text[24];
    size_t len;
    *limit_out = LIMIT_MAX;
    if (sl_query_find(request->query, "limit", text, sizeof text, &len) != SL_OK)
        return SL_BAD_QUERY;
    if (len == 0)
        return SL_OK;
    bool is_number = sl_bytes_to_u64((struct sl_bytes){text, len}, limit_out);
    return is_number && *limit_out >= 1 && *limit_out <= LIMIT_MAX ? SL_OK : SL_BAD_QUERY;
}

static sl_err begin(struct list *list)
{
    struct sl_request *request = list->request;
    char prefix[SL_PATH_BYTES_MAX + 1], after[SL_PATH_BYTES_MAX + 1];
    size_t prefix_len, after_len;
    if (read_limit(request, &list->limit) != SL_OK ||
        sl_query_find(request->query, "prefix", prefix, sizeof prefix, &prefix_len) != SL_OK ||
        sl_query_find(request->query, "after", after, sizeof after, &after_len) != SL_OK)
        return SL_BAD_QUERY;
    return sl_store_listing_init(&list->listing, request->http->intake->store, (struct sl_bytes){prefix, prefix_len},
                                 (struct sl_bytes){after, after_len});
}

void sl_handle_list(struct sl_request *request)
{
    struct list *list = calloc(1, sizeof *list);
    if (list == NULL)
        abort();
    list->request = request;
    list->http = request->http;
    list->sink.ops = &sink_ops;
    sl_err err = begin(list);
    if (err != SL_OK) {
        free(list);
        sl_reply_problem(request, err, "prefix and after are names, limit is 1 to 1000; each at most once.");
        return;
    }
    static const struct sl_path nothing;
    list->base_url = sl_reply_url(request, &nothing);
    list->wish = sl_digest_wish_of(request);
    sl_body_attach(request, &list->sink);
    if (request->is_head)
        answer_head(list);
    else
        take_turn(list);
}
