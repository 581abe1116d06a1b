/* Turns the text of one value into a member of struct sl_config, by the kind of its option. Knows nothing about where
 * values come from but what a message must tell. Places (addresses, URLs, paths) are in config_place.c. */
#include "options.h"

#include <assert.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>

#define VALUE_BYTES_MAX  4096
#define QUOTED_BYTES_MAX 200
#define USER_BYTES_MAX   63

/* A WORD's index in its form is stored as the enum's value. */
_Static_assert(SL_DISK_AUTO == 0 && SL_DISK_IO_URING == 1 && SL_DISK_THREADS == 2, "order of engine's words");
_Static_assert(SL_DURABILITY_FULL == 0 && SL_DURABILITY_DATA == 1 && SL_DURABILITY_NONE == 2, "durability's words");
_Static_assert(SL_CONFLICT_ERROR == 0 && SL_CONFLICT_RENAME == 1 && SL_CONFLICT_OVERWRITE == 2, "conflict's words");
_Static_assert(SL_DIRECT_AUTO == 0 && SL_DIRECT_OFF == 1, "order of direct's words");
_Static_assert(SL_CONFINE_AUTO == 0 && SL_CONFINE_OFF == 1, "order of confine's words");
_Static_assert(SL_INTERIM_AUTO == 0 && SL_INTERIM_ON == 1 && SL_INTERIM_OFF == 2, "order of interim's words");
_Static_assert(SL_LOG_TEXT == 0 && SL_LOG_JSON == 1, "order of log-format's words");
_Static_assert(sizeof(enum sl_disk_choice) == sizeof(unsigned), "enums are stored as unsigned");

static bool set_one(struct sl_config_load *load, const struct sl_setting *setting, bool is_first);

bool sl_config_set(struct sl_config_load *load, const struct sl_setting *setting)
{
    const struct sl_option *option = setting->option;
    enum sl_source_kind *set_by = &load->set_by[option - sl_options];
    assert(*set_by <= setting->source.kind);
    bool is_first = *set_by != setting->source.kind;
    *set_by = setting->source.kind;

    if (setting->value.len > VALUE_BYTES_MAX)
        return sl_config_refuse(load, setting, "is too long; write at most %d bytes", VALUE_BYTES_MAX);
    if (memchr(setting->value.base, '\0', setting->value.len) != NULL)
        return sl_config_refuse(load, setting, "holds a NUL byte; write %s", option->form);
    if (!sl_option_is_list(option))
        return set_one(load, setting, is_first);

    struct sl_setting item = *setting;
    const char *at = setting->value.base, *end = at + setting->value.len;
    for (;; is_first = false) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        item.value = sl_bytes_trim((struct sl_bytes){at, (size_t)((comma != NULL ? comma : end) - at)});
        if (!set_one(load, &item, is_first))
            return false;
        if (comma == NULL)
            return true;
        at = comma + 1;
    }
}

void sl_config_keep_text(char **member, struct sl_bytes value)
{
    char *copy = strndup(value.base, value.len);
    if (copy == NULL)
        abort();
    free(*member);
    *member = copy;
}

void sl_config_drop_files(struct sl_files *files)
{
    while (files->count > 0)
        free(files->at[--files->count]);
}

bool sl_config_is_whole_path(struct sl_config_load *load, const struct sl_setting *setting)
{
    return setting->value.base[0] != '~' || /* in YAML a lone ~ means nothing at all */
           sl_config_refuse(load, setting, "begins with ~, which only a shell knows; write the whole path");
}

static bool set_directory(struct sl_config_load *load, const struct sl_setting *setting, char **member)
{
    if (setting->value.len == 0)
        return sl_config_refuse(load, setting, "is empty; name a directory, e.g. %s", setting->option->preset);
    if (!sl_config_is_whole_path(load, setting))
        return false;
    sl_config_keep_text(member, setting->value);
    return true;
}

/* Whether it can be written is found out when it is opened. */
static bool set_file(struct sl_config_load *load, const struct sl_setting *setting, char **member)
{
    if (setting->value.len > 0 && !sl_config_is_whole_path(load, setting))
        return false;
    if (setting->value.len > 0 && setting->value.base[setting->value.len - 1] == '/')
        return sl_config_refuse(load, setting, "is a directory; name a file, e.g. /var/log/sluice/sluice.log");
    sl_config_keep_text(member, setting->value);
    return true;
}

/* Whether there is such a user is found out when it is to be become. */
static bool set_user(struct sl_config_load *load, const struct sl_setting *setting, char **member)
{
    const char *at = setting->value.base, *end = at + setting->value.len;
    const char *colon = memchr(at, ':', setting->value.len);
    bool is_whole = setting->value.len == 0 || (*at != ':' && end[-1] != ':');
    for (; is_whole && at < end; at++)
        is_whole = at == colon || (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                   (*at >= 'A' && *at <= 'Z') || strchr("._-", *at) != NULL;
    if (!is_whole || setting->value.len > USER_BYTES_MAX)
        return sl_config_refuse(load, setting, "is no user; write a name or a number, and :GROUP behind it or not");
    sl_config_keep_text(member, setting->value);
    return true;
}

/* "auto|io_uring|threads" -> "auto, io_uring or threads" */
static bool refuse_word(struct sl_config_load *load, const struct sl_setting *setting)
{
    char room[128];
    struct sl_text choice;
    sl_text_init(&choice, room, sizeof room);
    for (const char *at = setting->option->form, *bar; at != NULL; at = bar != NULL ? bar + 1 : NULL) {
        bar = strchr(at, '|');
        bool is_last_but_one = bar != NULL && strchr(bar + 1, '|') == NULL;
        sl_text_put(&choice, bar != NULL ? (struct sl_bytes){at, (size_t)(bar - at)} : sl_bytes_of(at));
        sl_text_put(&choice, sl_bytes_of(is_last_but_one ? " or " : bar != NULL ? ", " : ""));
    }
    return sl_config_refuse(load, setting, "is not known; write %s", choice.base);
}

static bool set_word(struct sl_config_load *load, const struct sl_setting *setting, unsigned *member)
{
    unsigned index = 0;
    for (const char *at = setting->option->form, *bar; at != NULL; at = bar != NULL ? bar + 1 : NULL, index++) {
        bar = strchr(at, '|');
        size_t len = bar != NULL ? (size_t)(bar - at) : strlen(at);
        if (sl_bytes_equal(setting->value, (struct sl_bytes){at, len})) {
            *member = index;
            return true;
        }
    }
    return refuse_word(load, setting);
}

static bool add_digest(struct sl_config_load *load, const struct sl_setting *setting, sl_hash_set *member,
                       bool is_first)
{
    if (is_first)
        *member = 0;
    if (sl_bytes_equal(setting->value, SL_BYTES("none"))) {
        if (!is_first)
            return sl_config_refuse(load, setting, "cannot stand beside others; write none alone, or leave it out");
        return true;
    }
    if (!is_first && *member == 0)
        return sl_config_refuse(load, setting, "cannot stand beside none; write one of the two");
    enum sl_hash_alg alg;
    if (!sl_hash_find(setting->value, &alg)) {
        char room[128];
        struct sl_text known;
        sl_text_init(&known, room, sizeof room);
        for (alg = 0; alg < SL_HASH_ALGS; alg++)
            sl_text_printf(&known, "%s, ", sl_hash_name(alg));
        return sl_config_refuse(load, setting, "is not a digest; write some of %sor none", known.base);
    }
    *member |= 1u << alg;
    return true;
}

struct unit {
    const char *suffix;
    uint64_t bytes;
};

/* refuse_size takes the last that divides its number. */
static const struct unit units[] = {
    {"", 1},
    {"k", 1000},
    {"M", 1000 * 1000},
    {"G", 1000 * 1000 * 1000},
    {"T", UINT64_C(1000) * 1000 * 1000 * 1000},
    {"Ki", 1 << 10},
    {"Mi", 1 << 20},
    {"Gi", 1 << 30},
    {"Ti", UINT64_C(1) << 40},
};
#define UNITS (sizeof units / sizeof units[0])

enum size_outcome { SIZE_READ, SIZE_MALFORMED, SIZE_OVERFLOW };

static enum size_outcome read_size(struct sl_bytes value, uint64_t *bytes_out)
{
    size_t digits = 0;
    while (digits < value.len && value.base[digits] >= '0' && value.base[digits] <= '9')
        digits++;
    struct sl_bytes suffix = {value.base + digits, value.len - digits};
    size_t unit = 0;
    while (unit < UNITS && !sl_bytes_equal(suffix, sl_bytes_of(units[unit].suffix)))
        unit++;
    if (digits == 0 || unit == UNITS)
        return SIZE_MALFORMED;
    uint64_t count;
    if (!sl_bytes_to_u64((struct sl_bytes){value.base, digits}, &count) ||
        __builtin_mul_overflow(count, units[unit].bytes, bytes_out))
        return SIZE_OVERFLOW;
    return SIZE_READ;
}

static bool refuse_size(struct sl_config_load *load, const struct sl_setting *setting, const char *what,
                        uint64_t bound)
{
    size_t unit = UNITS - 1;
    while (bound % units[unit].bytes != 0 || bound < units[unit].bytes)
        unit--;
    return sl_config_refuse(load, setting, "is too %s; write at %s %llu%s", what,
                            bound == setting->option->most ? "most" : "least",
                            (unsigned long long)(bound / units[unit].bytes), units[unit].suffix);
}

static bool set_size(struct sl_config_load *load, const struct sl_setting *setting, uint64_t *member)
{
    const struct sl_option *option = setting->option;
    uint64_t bytes = 0;
    switch (read_size(setting->value, &bytes)) {
    case SIZE_MALFORMED:
        return sl_config_refuse(load, setting,
                                "is not a size; write a number with k, M, G, T, Ki, Mi, Gi or Ti, e.g. 128Mi");
    case SIZE_OVERFLOW: return refuse_size(load, setting, "large", option->most);
    case SIZE_READ: break;
    }
    if (bytes > option->most)
        return refuse_size(load, setting, "large", option->most);
    if (bytes < option->least)
        return refuse_size(load, setting, "small", option->least);
    *member = bytes;
    return true;
}

static bool read_number(const struct sl_setting *setting, unsigned *member)
{
    uint64_t number;
    if (!sl_bytes_to_u64(setting->value, &number) || number < setting->option->least ||
        number > setting->option->most)
        return false;
    *member = (unsigned)number;
    return true;
}

static bool set_number(struct sl_config_load *load, const struct sl_setting *setting, unsigned *member)
{
    const struct sl_option *option = setting->option;
    return read_number(setting, member) ||
           sl_config_refuse(load, setting, "is not a number it can be; write a number from %llu to %llu%s",
                            (unsigned long long)option->least, (unsigned long long)option->most,
                            strcmp(option->form, "SECONDS") == 0 ? ", in seconds" : "");
}

/* The cores this process may run on: a container's cpuset counts, not the machine. */
static unsigned count_cores(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&cores);
}

static bool set_cores(struct sl_config_load *load, const struct sl_setting *setting, unsigned *member)
{
    const struct sl_option *option = setting->option;
    if (sl_bytes_equal(setting->value, SL_BYTES("auto"))) {
        *member = count_cores();
        return true;
    }
    return read_number(setting, member) ||
           sl_config_refuse(load, setting, "is not a number it can be; write auto or a number from %llu to %llu",
                            (unsigned long long)option->least, (unsigned long long)option->most);
}

static bool set_one(struct sl_config_load *load, const struct sl_setting *setting, bool is_first)
{
    void *member = (char *)load->config + setting->option->offset;
    switch (setting->option->kind) {
    case SL_KIND_LISTEN:
        if (is_first)
            ((struct sl_listeners *)member)->count = 0;
        return sl_config_add_listener(load, setting, member);
    case SL_KIND_FILES:
        if (is_first)
            sl_config_drop_files(member);
        return sl_config_add_file(load, setting, member);
    case SL_KIND_FILE: return set_file(load, setting, member);
    case SL_KIND_DIRECTORY: return set_directory(load, setting, member);
    case SL_KIND_NETWORKS:
        if (is_first)
            *(struct sl_trusted *)member = (struct sl_trusted){.count = 0};
        return sl_config_add_network(load, setting, member);
    case SL_KIND_URL: return sl_config_set_url(load, setting, member);
    case SL_KIND_BASE_PATH: return sl_config_set_base_path(load, setting, member);
    case SL_KIND_ORIGINS: return sl_config_add_origin(load, setting, member, is_first);
    case SL_KIND_WORD: return set_word(load, setting, member);
    case SL_KIND_DIGESTS: return add_digest(load, setting, member, is_first);
    case SL_KIND_TEMPLATE: return sl_config_set_template(load, setting, member);
    case SL_KIND_SIZE: return set_size(load, setting, member);
    case SL_KIND_NUMBER: return set_number(load, setting, member);
    case SL_KIND_CORES: return set_cores(load, setting, member);
    case SL_KIND_USER: return set_user(load, setting, member);
    }
    __builtin_unreachable();
}

void sl_config_put_quoted(struct sl_text *text, struct sl_bytes piece)
{
    bool is_cut = piece.len > QUOTED_BYTES_MAX;
    if (is_cut)
        piece.len = QUOTED_BYTES_MAX;
    sl_text_put_escaped(text, piece);
    if (is_cut)
        sl_text_put(text, SL_BYTES("..."));
}

static void put_source(struct sl_text *text, const struct sl_setting *setting)
{
    switch (setting->source.kind) {
    case SL_SOURCE_DEFAULT: sl_text_printf(text, "the default"); return;
    case SL_SOURCE_FILE:
        sl_config_put_quoted(text, sl_bytes_of(setting->source.file));
        sl_text_printf(text, ":%zu", setting->source.line);
        return;
    case SL_SOURCE_ENVIRONMENT: sl_text_printf(text, "%s", setting->option->environment); return;
    case SL_SOURCE_OPTION: sl_text_printf(text, "--%s", setting->option->name); return;
    }
}

bool sl_config_refuse(struct sl_config_load *load, const struct sl_setting *setting, const char *complaint, ...)
{
    char words[512];
    va_list args;
    va_start(args, complaint);
    vsnprintf(words, sizeof words, complaint, args);
    va_end(args);

    struct sl_text *message = &load->message;
    sl_text_printf(message, "sluice: %s: \"", setting->option->name);
    sl_config_put_quoted(message, setting->value);
    sl_text_printf(message, "\" (from ");
    put_source(message, setting);
    sl_text_printf(message, ") %s", words);
    return false;
}
