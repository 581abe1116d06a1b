/* Names on these lines come from clients, and a terminal or a program is to read them: what could act on a terminal
 * is shown as a question mark, or escaped in JSON. Nothing is gathered, so that a million uploads take no memory. */
#include "sluice/app/list_uploads.h"

#include "show.h"
#include "sluice/base/clock.h"
#include "sluice/store/kept_walk.h"

#include <inttypes.h>
#include <string.h>

#define TIME_BYTES 21 /* "2026-11-21T03:04:05Z" */

struct list {
    FILE *out;
    const struct sl_uploads_options *expiry;
    bool is_json;
    uint64_t count;
};

/* To the second. */
static const char *time_of(uint64_t wall_ns, char room[TIME_BYTES])
{
    char text[SL_CLOCK_RFC3339_BYTES];
    sl_clock_rfc3339(wall_ns, text);
    snprintf(room, TIME_BYTES, "%.19sZ", text);
    return room;
}

static const char *kind_of(const struct sl_upload_state *state)
{
    switch (state->kind) {
    case SL_UPLOAD_WHOLE: return "whole";
    case SL_UPLOAD_PARTIAL: return "partial";
    case SL_UPLOAD_FINAL: return "final";
    }
    return "";
}

static struct sl_bytes path_of(const struct sl_upload_state *state)
{
    return (struct sl_bytes){state->path.text, state->path.len};
}

/* ---- for people ---- */

static void put_head(const struct list *list)
{
    fprintf(list->out, "%-26s %15s %15s  %-20s  %-20s  %-20s  %s\n", "ID", "OFFSET", "LENGTH", "CREATED", "TOUCHED",
            "EXPIRES", "FILE");
}

static void put_line(struct list *list, const char *id, const struct sl_upload_state *state)
{
    char length[24] = "-", created[TIME_BYTES], touched[TIME_BYTES], expires[TIME_BYTES];
    if (state->length != SL_STORE_SIZE_UNKNOWN)
        snprintf(length, sizeof length, "%" PRIu64, state->length);
    fprintf(list->out, "%-26s %15" PRIu64 " %15s  %s  %s  %s  ", id, state->offset, length,
            time_of(state->created_ns, created), time_of(state->touched_ns, touched),
            time_of(sl_uploads_expires_ns(list->expiry, state), expires));
    if (state->path.len > 0)
        sl_show_text(list->out, path_of(state), false);
    else
        fprintf(list->out, "(%s)", kind_of(state));
    fputc('\n', list->out);
}

static void put_unreadable_line(const struct list *list, const struct sl_store_kept_entry *entry)
{
    char modified[TIME_BYTES];
    fprintf(list->out, "%-26s %15s %15" PRIu64 "  %-20s  %s  %-20s  (no readable state)\n", entry->id, "-",
            entry->size, "-", time_of(entry->modified_ns, modified), "-");
}

/* ---- for programs ---- */

static void put_time(const struct list *list, const char *key, uint64_t wall_ns)
{
    char text[TIME_BYTES];
    fprintf(list->out, ", \"%s\": \"%s\"", key, time_of(wall_ns, text));
}

static void put_string(struct list *list, const char *key, struct sl_bytes text)
{
    fprintf(list->out, ", \"%s\": ", key);
    if (text.len == 0) {
        fputs("null", list->out);
        return;
    }
    fputc('"', list->out);
    sl_show_text(list->out, text, true);
    fputc('"', list->out);
}

static void put_object(struct list *list, const struct sl_store_kept_entry *entry,
                       const struct sl_upload_state *state)
{
    fprintf(list->out, "%s {\"id\": \"%s\", \"size_on_disk\": %" PRIu64, list->count > 0 ? ",\n" : "", entry->id,
            entry->size);
    if (state == NULL) {
        fputs(", \"readable\": false", list->out);
        put_time(list, "touched", entry->modified_ns);
        fputc('}', list->out);
        return;
    }
    fprintf(list->out, ", \"readable\": true, \"dialect\": \"%s\", \"kind\": \"%s\", \"offset\": %" PRIu64,
            state->dialect == SL_UPLOAD_TUS ? "tus" : "draft", kind_of(state), state->offset);
    if (state->length != SL_STORE_SIZE_UNKNOWN)
        fprintf(list->out, ", \"length\": %" PRIu64, state->length);
    else
        fputs(", \"length\": null", list->out);
    put_time(list, "created", state->created_ns);
    put_time(list, "touched", state->touched_ns);
    put_time(list, "expires", sl_uploads_expires_ns(list->expiry, state));
    put_string(list, "path", path_of(state));
    put_string(list, "name", state->name);
    fputc('}', list->out);
}

static void begin(const struct list *list)
{
    if (list->is_json)
        fputs("[\n", list->out);
    else
        put_head(list);
}

static void on_entry(const struct sl_store_kept_entry *entry, void *ctx)
{
    struct list *list = ctx;
    struct sl_upload_state state;
    bool is_readable = sl_upload_state_decode(entry->state, &state) == SL_OK;
    if (is_readable && sl_uploads_is_over(&state))
        return;
    if (list->count == 0)
        begin(list);
    if (list->is_json)
        put_object(list, entry, is_readable ? &state : NULL);
    else if (is_readable)
        put_line(list, entry->id, &state);
    else
        put_unreadable_line(list, entry);
    list->count++;
}

sl_err sl_list_uploads(const char *root, const struct sl_uploads_options *expiry, bool is_json, FILE *out)
{
    struct list list = {.out = out, .expiry = expiry, .is_json = is_json};
    sl_err err = sl_store_walk_kept(root, on_entry, &list);
    if (err != SL_OK)
        return err;
    if (list.count == 0)
        begin(&list);
    if (is_json)
        fprintf(out, "%s]\n", list.count > 0 ? "\n" : "");
    return fflush(out) != 0 || ferror(out) ? SL_IO : SL_OK;
}
