/* Small readers of single fields, each given all of the input: media types, origins, and the digests that a sender
 * tells. They refuse, or what they tell holds however else it is said. Links sl_http. */
#include "http/cors.h"
#include "http/handler/integrity.h"
#include "sluice/base/base64.h"
#include "sluice/decode/media_type.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define LINES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- media types ---- */

static bool has_word(struct sl_bytes text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++)
        if (strncasecmp(text.base + i, word, len) == 0)
            return true;
    return false;
}

static struct sl_bytes essence_of(struct sl_bytes type)
{
    const char *end = memchr(type.base, ';', type.len);
    return (struct sl_bytes){type.base, end == NULL ? type.len : (size_t)(end - type.base)};
}

/* Nothing that may run is shown in place, whatever stands around it. */
static void check_media_type(struct sl_bytes type)
{
    static const char *const active[] = {"html", "xml", "svg", "script", "pdf", "multipart", "flash", "wasm", "css"};
    bool is_valid = sl_media_type_is_valid(type), is_inert = sl_media_type_is_inert(type);
    must(is_valid || !is_inert);
    if (is_valid) {
        must(type.len > 2 && type.len <= SL_MEDIA_TYPE_BYTES_MAX && memchr(type.base, '/', type.len) != NULL);
        for (size_t i = 0; i < type.len; i++)
            must(type.base[i] >= ' ' && type.base[i] <= '~');
    }
    for (size_t i = 0; is_inert && i < sizeof active / sizeof active[0]; i++)
        must(!has_word(essence_of(type), active[i]));
    must(!is_inert || memchr(type.base, ',', type.len) == NULL);
}

/* ---- origins: the list up to the first line break, the origin behind it ---- */

static bool is_listed(struct sl_bytes origins, struct sl_bytes origin)
{
    if (sl_bytes_equal(origins, SL_BYTES("*")))
        return true;
    for (size_t i = 0; i + origin.len <= origins.len; i++) {
        bool begins = i == 0 || origins.base[i - 1] == ' ';
        bool ends = i + origin.len == origins.len || origins.base[i + origin.len] == ' ';
        if (begins && ends && memcmp(origins.base + i, origin.base, origin.len) == 0)
            return memchr(origin.base, ' ', origin.len) == NULL;
    }
    return false;
}

static void check_origins(struct sl_bytes text)
{
    const char *cut = memchr(text.base, '\n', text.len);
    if (cut == NULL)
        return;
    struct sl_bytes origins = {text.base, (size_t)(cut - text.base)};
    struct sl_bytes origin = {cut + 1, text.len - origins.len - 1};
    must(sl_cors_has(origins, origin) == (origin.len > 0 && is_listed(origins, origin)));
}

/* ---- digests: a header a line ---- */

static size_t cut_lines(char *text, size_t size, struct sl_header_line lines[LINES_MAX])
{
    size_t count = 0;
    for (char *end = text + size; text < end && count < LINES_MAX;) {
        char *line_end = memchr(text, '\n', (size_t)(end - text));
        size_t len = (size_t)((line_end == NULL ? end : line_end) - text);
        char *colon = memchr(text, ':', len);
        if (colon != NULL) {
            size_t name_len = (size_t)(colon - text);
            for (size_t i = 0; i < name_len; i++)
                text[i] = (char)tolower((unsigned char)text[i]);
            lines[count++] = (struct sl_header_line){{text, name_len}, {colon + 1, len - name_len - 1}};
        }
        text += len + (line_end != NULL);
    }
    return count;
}

static void must_agree(const struct sl_digests *a, const struct sl_digests *b)
{
    must(a->set == b->set);
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        must((a->set & 1u << alg) == 0 || memcmp(a->value[alg], b->value[alg], sl_hash_bytes(alg)) == 0);
}

/* Said in the one form that RFC 9530 knows, they are the same. */
static void say_again(const struct sl_digests *told)
{
    char room[SL_HASH_ALGS * 128];
    struct sl_digests again;
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++) {
        char value[SL_BASE64_LEN(SL_HASH_BYTES_MAX)];
        if ((told->set & 1u << alg) == 0)
            continue;
        size_t len = sl_base64_encode(value, told->value[alg], sl_hash_bytes(alg));
        sl_text_printf(&text, "%s%s=:%.*s:", text.len > 0 ? ", " : "", sl_hash_name(alg), (int)len, value);
    }
    struct sl_header_line line = {SL_BYTES("content-digest"), {text.base, text.len}};
    must(!text.full && sl_integrity_parse(&line, 1, &again) == SL_OK);
    must_agree(told, &again);
}

/* The order of headers says nothing. */
static void check_digests(char *text, size_t size)
{
    struct sl_header_line lines[LINES_MAX], turned[LINES_MAX];
    struct sl_digests told, other;
    size_t count = cut_lines(text, size, lines);
    for (size_t i = 0; i < count; i++)
        turned[i] = lines[count - 1 - i];
    sl_err err = sl_integrity_parse(lines, count, &told), again = sl_integrity_parse(turned, count, &other);
    must(err == SL_OK || err == SL_BAD_DIGEST || err == SL_DIGEST_UNSUPPORTED);
    must((err == SL_OK) == (again == SL_OK));
    if (err != SL_OK)
        return;
    must(told.set >> SL_HASH_ALGS == 0);
    must_agree(&told, &other);
    if (told.set != 0)
        say_again(&told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + (size == 0));
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct sl_bytes text = {copy, size};
    check_media_type(text);
    check_origins(text);
    check_digests(copy, size);
    free(copy);
    return 0;
}
