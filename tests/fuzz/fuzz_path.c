/* Any bytes as a path, a name and a query. What comes out of one door is welcome at the next: a decoded path passes the
 * check and survives encoding, a cleaned name is a segment and is clean. The first byte is the length names are cut
 * to. */
#include "sluice/decode/path.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

/* Promises of every accepted path, told without the code that is tested. */
static void require_safe(const struct sl_path *path)
{
    require(path->len > 0 && path->len <= SL_PATH_BYTES_MAX && path->len == strlen(path->text));
    require(path->text[0] != '/' && path->text[path->len - 1] != '/');
    require(strstr(path->text, "//") == NULL && strchr(path->text, '\\') == NULL);
    char framed[SL_PATH_BYTES_MAX + 3];
    struct sl_text text;
    sl_text_init(&text, framed, sizeof framed);
    sl_text_printf(&text, "/%s/", path->text);
    require(!text.full && strstr(framed, "/../") == NULL && strstr(framed, "/./") == NULL);
    for (size_t i = 0; i < path->len; i++)
        require((unsigned char)path->text[i] >= 0x20 && path->text[i] != 0x7f);
}

static void check_path(struct sl_bytes raw)
{
    static struct sl_path decoded, again;
    if (sl_path_check(raw, &decoded) == SL_OK)
        require_safe(&decoded);
    if (sl_path_decode(raw, &decoded) != SL_OK) {
        require(decoded.len == 0);
        return;
    }
    require_safe(&decoded);
    require(sl_path_check((struct sl_bytes){decoded.text, decoded.len}, &again) == SL_OK);
    require(strcmp(decoded.text, again.text) == 0);
    char encoded[3 * SL_PATH_BYTES_MAX + 1];
    struct sl_text text;
    sl_text_init(&text, encoded, sizeof encoded);
    sl_path_encode(&text, (struct sl_bytes){decoded.text, decoded.len});
    require(!text.full);
    require(sl_path_decode((struct sl_bytes){encoded, text.len}, &again) == SL_OK);
    require(strcmp(decoded.text, again.text) == 0);
}

static void check_name(struct sl_bytes name, size_t max)
{
    static struct sl_path path;
    char *clean = malloc(max + 1), *again = malloc(max + 1);
    size_t len = sl_name_clean(name, clean, max);
    require(len > 0 && len <= max && len == strlen(clean));
    require(sl_path_check((struct sl_bytes){clean, len}, &path) == SL_OK);
    require_safe(&path);
    require(strchr(clean, '/') == NULL && clean[0] != '.' && clean[0] != ' ');
    require(clean[len - 1] != '.' && clean[len - 1] != ' ');
    require(sl_name_clean((struct sl_bytes){clean, len}, again, max) == len && strcmp(clean, again) == 0);
    free(clean);
    free(again);
}

static void check_query(struct sl_bytes query, size_t room)
{
    char *out = malloc(room);
    size_t len;
    sl_err err = sl_query_find(query, "name", out, room, &len);
    require(err == SL_OK || err == SL_BAD_PATH);
    require(len < room && out[len] == '\0' && strlen(out) == len);
    require(err == SL_OK || len == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sl_bytes raw = {(const char *)data + 1, size - 1};
    check_path(raw);
    check_name(raw, data[0] < 4 ? 4 : data[0]);
    check_query(raw, (size_t)data[0] + 1);
    return 0;
}
