/* The table of options in memory, and the search for a name in it. */
#include "options.h"

#include <assert.h>
#include <string.h>

#define NAME_BYTES_MAX 64

const struct sl_option sl_options[SL_OPTIONS] = {
#define SL_OPTION(member, kind, name, environment, form, preset, least, most, help) \
    [SL_OPTION_##member] = {                                                        \
        SL_KIND_##kind, name, environment, form, preset, least, most, help, offsetof(struct sl_config, member)},
#include "options.def"
#undef SL_OPTION
};

const struct sl_option *sl_option_find(struct sl_bytes name)
{
    for (size_t i = 0; i < SL_OPTIONS; i++)
        if (sl_bytes_equal(name, sl_bytes_of(sl_options[i].name)))
            return &sl_options[i];
    return NULL;
}

bool sl_option_is_list(const struct sl_option *option)
{
    return option->kind == SL_KIND_LISTEN || option->kind == SL_KIND_FILES || option->kind == SL_KIND_NETWORKS ||
           option->kind == SL_KIND_ORIGINS || option->kind == SL_KIND_DIGESTS;
}

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, row by row. Both names have at most NAME_BYTES_MAX bytes. */
static size_t distance_of(struct sl_bytes a, struct sl_bytes b)
{
    size_t row[NAME_BYTES_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = diagonal + (a.base[i - 1] != b.base[j - 1]);
            diagonal = row[j];
            row[j] = least_of(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[b.len];
}

struct nearest {
    const char *name;
    size_t distance;
};

static void consider(struct nearest *nearest, struct sl_bytes name, const char *known)
{
    assert(strlen(known) <= NAME_BYTES_MAX);
    size_t distance = distance_of(name, sl_bytes_of(known));
    /* Half a name of wrong letters is another name. */
    if (distance < nearest->distance && distance * 2 <= strlen(known))
        *nearest = (struct nearest){known, distance};
}

void sl_option_put_nearest(struct sl_text *text, enum sl_source_kind where, struct sl_bytes name)
{
    assert(where != SL_SOURCE_DEFAULT);
    const bool is_environment = where == SL_SOURCE_ENVIRONMENT, is_option = where == SL_SOURCE_OPTION;
    struct nearest nearest = {NULL, SIZE_MAX};
    for (size_t i = 0; i < SL_OPTIONS && name.len <= NAME_BYTES_MAX; i++)
        consider(&nearest, name, is_environment ? sl_options[i].environment + strlen("SLUICE_") : sl_options[i].name);
    static const char *const only_options[] = {"config", "help", "version", "json"};
    for (size_t i = 0; i < sizeof only_options / sizeof only_options[0] && is_option && name.len <= NAME_BYTES_MAX;
         i++)
        consider(&nearest, name, only_options[i]);
    if (is_environment && name.len <= NAME_BYTES_MAX)
        consider(&nearest, name, "CONFIG");

    if (nearest.name != NULL)
        sl_text_printf(text, "; did you mean %s%s?",
                       is_environment ? "SLUICE_"
                       : is_option    ? "--"
                                      : "",
                       nearest.name);
    else
        sl_text_printf(text, "; remove it, or see sluice --help for the known names");
}
