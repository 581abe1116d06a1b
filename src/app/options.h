/* The table of options, and what the readers of the configuration share. Start-up, one thread. */
#ifndef SLUICE_SRC_APP_OPTIONS_H
#define SLUICE_SRC_APP_OPTIONS_H

#include "sluice/app/config.h"
#include "sluice/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sl_option_kind {
    SL_KIND_LISTEN,
    SL_KIND_FILES,
    SL_KIND_FILE,
    SL_KIND_DIRECTORY,
    SL_KIND_NETWORKS,
    SL_KIND_URL,
    SL_KIND_BASE_PATH,
    SL_KIND_ORIGINS,
    SL_KIND_WORD,
    SL_KIND_DIGESTS,
    SL_KIND_TEMPLATE,
    SL_KIND_SIZE,
    SL_KIND_NUMBER,
    SL_KIND_CORES,
    SL_KIND_USER
};

enum sl_option_id {
#define SL_OPTION(member, ...) SL_OPTION_##member,
#include "options.def"
#undef SL_OPTION
    SL_OPTIONS
};

struct sl_option {
    enum sl_option_kind kind;
    const char *name;
    const char *environment;
    const char *form;
    const char *preset; /* the default */
    uint64_t least, most;
    const char *help;
    size_t offset; /* of the member in struct sl_config */
};

extern const struct sl_option sl_options[SL_OPTIONS];

/* NULL: no such option. The name is without "--". */
const struct sl_option *sl_option_find(struct sl_bytes name);

/* LISTEN, FILES, NETWORKS, ORIGINS and DIGESTS take several values. */
bool sl_option_is_list(const struct sl_option *option);

/* In the order of precedence, lowest first; 0 is "not set yet". */
enum sl_source_kind { SL_SOURCE_DEFAULT = 1, SL_SOURCE_FILE, SL_SOURCE_ENVIRONMENT, SL_SOURCE_OPTION };

/* Puts "; did you mean X?" with the known name nearest to `name`, or where to find the names. where: FILE,
 * ENVIRONMENT or OPTION. name: without "--" and "SLUICE_". */
void sl_option_put_nearest(struct sl_text *text, enum sl_source_kind where, struct sl_bytes name);

struct sl_source {
    enum sl_source_kind kind;
    const char *file; /* FILE only: its path, lent, and a line counted from 1 */
    size_t line;
};

/* One value on its way into the config; everything is lent. */
struct sl_setting {
    const struct sl_option *option;
    struct sl_bytes value;
    struct sl_source source;
};

struct sl_config_load {
    struct sl_config *config;
    struct sl_text message;
    enum sl_source_kind set_by[SL_OPTIONS];
};

/* Checks the value and puts it into the config. A list replaces the list of a lower source and adds to that of the
 * same one. Sources come lowest first. false: load->message says why. */
bool sl_config_set(struct sl_config_load *load, const struct sl_setting *setting);

/* The six kinds that name places (config_place.c); each works like sl_config_set on its member. */
bool sl_config_add_listener(struct sl_config_load *load, const struct sl_setting *setting,
                            struct sl_listeners *listeners);
bool sl_config_add_file(struct sl_config_load *load, const struct sl_setting *setting, struct sl_files *files);
bool sl_config_add_network(struct sl_config_load *load, const struct sl_setting *setting, struct sl_trusted *trusted);
bool sl_config_set_url(struct sl_config_load *load, const struct sl_setting *setting, char **member);
bool sl_config_set_base_path(struct sl_config_load *load, const struct sl_setting *setting, char **member);
bool sl_config_set_template(struct sl_config_load *load, const struct sl_setting *setting, char **member);

/* Sockets that the environment tells of take the place of the listeners (inherited.c). envp: lent for the call. false:
 * load->message says why. */
bool sl_config_take_inherited(struct sl_config_load *load, char *const envp[]);

/* ORIGINS (config_origin.c). is_first: the list of a lower source ends. */
bool sl_config_add_origin(struct sl_config_load *load, const struct sl_setting *setting, char **member,
                          bool is_first);

/* Replaces *member by a copy of value, which holds no NUL. Aborts when there is no memory. */
void sl_config_keep_text(char **member, struct sl_bytes value);

/* false: a value that is not empty begins with ~; load->message says so. */
bool sl_config_is_whole_path(struct sl_config_load *load, const struct sl_setting *setting);

/* Empties the list. */
void sl_config_drop_files(struct sl_files *files);

/* Reads the YAML file at `path`. false: load->message says why. */
bool sl_config_read_yaml(struct sl_config_load *load, const char *path);

/* Writes the message `sluice: KEY: "VALUE" (from SOURCE) COMPLAINT`; the complaint ends with the cure.
 * Always false, so that a check can return it. */
bool sl_config_refuse(struct sl_config_load *load, const struct sl_setting *setting, const char *complaint, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts at most 200 bytes of `piece`, escaped, so that what follows it is seen. */
void sl_config_put_quoted(struct sl_text *text, struct sl_bytes piece);

#endif
