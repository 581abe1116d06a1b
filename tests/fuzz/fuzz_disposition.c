/* Any value is refused or gives names that are valid UTF-8 within their limits; the boundary of a form is found or
 * refused by the same grammar. Any name is put into one line, and a good one comes back from it. */
#include <stdlib.h>
#include <string.h>

#include "sluice/base/utf8.h"
#include "sluice/decode/disposition.h"
#include "sluice/decode/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(const char *text, size_t len, size_t max)
{
    must(len <= max && strlen(text) == len);
    uint32_t rune;
    for (size_t at = 0, n; at < len; at += n) {
        n = sl_utf8_sequence((const unsigned char *)text + at, len - at, &rune);
        must(n > 0);
    }
}

static void check_disposition(struct sl_bytes value)
{
    struct sl_disposition d;
    sl_err err = sl_disposition_parse(value, &d);
    must(err == SL_OK || err == SL_BAD_TYPE);
    if (err != SL_OK)
        return;
    must(d.type.len > 0 && d.type.base >= value.base && d.type.base + d.type.len <= value.base + value.len);
    check_text(d.name, d.name_len, SL_DISPOSITION_NAME_MAX);
    check_text(d.filename, d.filename_len, SL_DISPOSITION_FILENAME_MAX);
    must(d.has_name || d.name_len == 0);
    must(d.has_filename || d.filename_len == 0);
}

static void check_boundary(struct sl_bytes value)
{
    char out[SL_MULTIPART_BOUNDARY_MAX + 1];
    size_t len;
    sl_err err = sl_parameter_find(value, "boundary", out, sizeof out, &len);
    must(err == SL_OK || err == SL_BAD_TYPE);
    struct sl_multipart multipart;
    if (sl_multipart_init(&multipart, value, 1) != SL_OK)
        return;
    must(err == SL_OK && len > 0 && multipart.delimiter_len == len + 4);
    must(memcmp(multipart.delimiter + 4, out, len) == 0);
}

static bool is_good_name(struct sl_bytes name)
{
    uint32_t rune;
    for (size_t at = 0, n; at < name.len; at += n) {
        n = sl_utf8_sequence((const unsigned char *)name.base + at, name.len - at, &rune);
        if (n == 0 || rune < 0x20 || (rune >= 0x7f && rune < 0xa0))
            return false;
    }
    return true;
}

static void check_put(struct sl_bytes name)
{
    if (name.len > SL_DISPOSITION_FILENAME_MAX)
        name.len = SL_DISPOSITION_FILENAME_MAX;
    static char room[4 * SL_DISPOSITION_FILENAME_MAX + 64];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    sl_disposition_put(&text, true, name);
    must(!text.full);
    for (size_t i = 0; i < text.len; i++)
        must(room[i] >= ' ' && room[i] <= '~');
    static struct sl_disposition d;
    must(sl_disposition_parse((struct sl_bytes){room, text.len}, &d) == SL_OK);
    must(d.has_filename == (name.len > 0) && d.filename_len <= name.len);
    must(is_good_name((struct sl_bytes){d.filename, d.filename_len}));
    if (is_good_name(name))
        must(sl_bytes_equal((struct sl_bytes){d.filename, d.filename_len}, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + (size == 0));
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    check_disposition((struct sl_bytes){copy, size});
    check_boundary((struct sl_bytes){copy, size});
    check_put((struct sl_bytes){copy, size});
    free(copy);
    return 0;
}
