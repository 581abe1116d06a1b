#include "fields.h"

#include "sluice/http/http.h"

#include <stdlib.h>

#define FORM_TEXT_BYTES_MAX ((size_t)64 << 10) /* names and values of one form; a JSON answer may be six times that */

struct entry {
    size_t name_at, name_len, value_len; /* the value follows the name */
};

struct sl_fields {
    struct sl_request *request;
    char *text;
    size_t text_len, text_room;
    struct entry *entries;
    size_t count, room;
};

static void on_request_gone(void *memory)
{
    struct sl_fields *fields = memory;
    fields->request->http->text_bytes -= fields->text_room;
    free(fields->text);
    free(fields->entries);
}

struct sl_fields *sl_fields_create(struct sl_request *request)
{
    struct sl_fields *fields = h2o_mem_alloc_shared(&request->h2o.pool, sizeof *fields, on_request_gone);
    *fields = (struct sl_fields){.request = request};
    return fields;
}

static sl_err make_room(struct sl_fields *fields, size_t len)
{
    if (len <= fields->text_room - fields->text_len)
        return SL_OK;
    if (len > FORM_TEXT_BYTES_MAX - fields->text_len)
        return SL_FORM_LIMIT;
    size_t room = fields->text_room > 0 ? fields->text_room : 256;
    while (room < fields->text_len + len)
        room *= 2;
    size_t more = room - fields->text_room;
    if (fields->request->http->text_bytes + more > SL_FIELDS_LOOP_BYTES_MAX)
        return SL_BUSY;
    char *text = realloc(fields->text, room);
    if (text == NULL)
        abort();
    fields->request->http->text_bytes += more;
    fields->text = text;
    fields->text_room = room;
    return SL_OK;
}

static sl_err put(struct sl_fields *fields, struct sl_bytes piece)
{
    sl_err err = make_room(fields, piece.len);
    if (err != SL_OK || piece.len == 0)
        return err;
    memcpy(fields->text + fields->text_len, piece.base, piece.len);
    fields->text_len += piece.len;
    return SL_OK;
}

/* Their number needs no limit here: a form's parts have one. */
sl_err sl_fields_begin(struct sl_fields *fields, struct sl_bytes name)
{
    if (fields->count == fields->room) {
        size_t room = fields->room > 0 ? 2 * fields->room : 8;
        struct entry *entries = realloc(fields->entries, room * sizeof *entries);
        if (entries == NULL)
            abort();
        fields->entries = entries;
        fields->room = room;
    }
    fields->entries[fields->count++] = (struct entry){.name_at = fields->text_len, .name_len = name.len};
    return put(fields, name);
}

sl_err sl_fields_add(struct sl_fields *fields, struct sl_bytes piece)
{
    fields->entries[fields->count - 1].value_len += piece.len;
    return put(fields, piece);
}

const struct sl_meta_field *sl_fields_list(const struct sl_fields *fields, size_t *count_out)
{
    struct sl_meta_field *list = h2o_mem_alloc_pool(&fields->request->h2o.pool, (fields->count + 1) * sizeof *list);
    for (size_t i = 0; i < fields->count; i++) {
        const struct entry *entry = &fields->entries[i];
        const char *name = fields->text + entry->name_at;
        list[i] = (struct sl_meta_field){.name = {name, entry->name_len},
                                         .value = {name + entry->name_len, entry->value_len}};
    }
    *count_out = fields->count;
    return list;
}
