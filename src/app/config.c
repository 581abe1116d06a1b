/* The configuration, from its four sources: the table's defaults, a YAML file, the environment, the options. Each
 * source is read whole over the one before, so the last word wins, and a mistake in any of them is told even where a
 * higher source would have hidden it. */
#include "sluice/app/config.h"
#include "options.h"
#include "sluice/mem/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRONMENT_PREFIX "SLUICE_"
#define FOR_TESTS_PREFIX   "SLUICE_TEST_"

enum word_kind {
    WORD_END,
    WORD_OPTION,
    WORD_CONFIG,
    WORD_HELP,
    WORD_VERSION,
    WORD_JSON,
    WORD_QUICK,
    WORD_URL,
    WORD_BAD
};

/* A walk over the command line. */
struct words {
    int argc;
    char *const *argv;
    int at;
    enum sl_command command;
    bool has_url;
};

struct word {
    const struct sl_option *option; /* of OPTION */
    const char *value;              /* of OPTION and CONFIG */
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The message about a word of the command line or a name of the environment: `sluice: WORD: COMPLAINT`. */
static struct sl_text *begin_message(struct sl_config_load *load, struct sl_bytes word)
{
    sl_text_printf(&load->message, "sluice: ");
    sl_config_put_quoted(&load->message, word);
    sl_text_printf(&load->message, ": ");
    return &load->message;
}

static enum word_kind refuse_word(struct sl_config_load *load, const char *word, bool is_command)
{
    sl_text_printf(begin_message(load, sl_bytes_of(word)), "%s",
                   is_command
                       ? "unknown command; write serve, uploads, doctor, health, or only options: see sluice --help"
                       : "no option takes this word; write --KEY VALUE or --KEY=VALUE: see sluice --help");
    return WORD_BAD;
}

/* The value behind '=' or in the next word. NULL: there is none, the message is written. */
static const char *take_value(struct sl_config_load *load, struct words *words, struct sl_bytes name,
                              const char *equals, const char *form)
{
    if (equals != NULL)
        return equals + 1;
    if (words->at < words->argc && !starts_with(words->argv[words->at], "--"))
        return words->argv[words->at++];
    sl_text_printf(begin_message(load, name), "needs a value; write %.*s %s", (int)name.len, name.base, form);
    return NULL;
}

static enum word_kind refuse_option(struct sl_config_load *load, struct sl_bytes full, struct sl_bytes name)
{
    struct sl_text *message = begin_message(load, full);
    sl_text_printf(message, "unknown option");
    sl_option_put_nearest(message, SL_SOURCE_OPTION, name);
    return WORD_BAD;
}

static enum word_kind take_flag(struct sl_config_load *load, const char *equals, struct sl_bytes name,
                                enum word_kind kind)
{
    if (equals == NULL)
        return kind;
    sl_text_printf(begin_message(load, name), "takes no value; write it alone");
    return WORD_BAD;
}

static enum word_kind take_json(struct sl_config_load *load, const char *equals, struct sl_bytes name,
                                const struct words *words)
{
    if (words->command == SL_COMMAND_UPLOADS || words->command == SL_COMMAND_DOCTOR)
        return take_flag(load, equals, name, WORD_JSON);
    sl_text_printf(begin_message(load, name),
                   "belongs to the list of uploads and to the doctor; write sluice uploads --json");
    return WORD_BAD;
}

static enum word_kind take_quick(struct sl_config_load *load, const char *equals, struct sl_bytes name,
                                 const struct words *words)
{
    if (words->command == SL_COMMAND_DOCTOR)
        return take_flag(load, equals, name, WORD_QUICK);
    sl_text_printf(begin_message(load, name), "belongs to the doctor; write sluice doctor --quick");
    return WORD_BAD;
}

/* Takes a command, which only the first word is. */
static void take_command(struct words *words)
{
    if (words->at != 1 || words->argc <= 1)
        return;
    static const char *const names[] = {
        [SL_COMMAND_SERVE] = "serve",
        [SL_COMMAND_UPLOADS] = "uploads",
        [SL_COMMAND_DOCTOR] = "doctor",
        [SL_COMMAND_HEALTH] = "health",
    };
    for (enum sl_command command = 0; command < sizeof names / sizeof names[0]; command++) {
        if (strcmp(words->argv[1], names[command]) != 0)
            continue;
        words->command = command;
        words->at++;
        return;
    }
}

/* The next thing the command line says. */
static enum word_kind next_word(struct sl_config_load *load, struct words *words, struct word *word_out)
{
    bool is_first = words->at == 1;
    take_command(words);
    is_first = is_first && words->at == 1;
    if (words->at >= words->argc)
        return WORD_END;
    const char *text = words->argv[words->at++];
    if (words->command == SL_COMMAND_HEALTH && !words->has_url && text[0] != '-') {
        words->has_url = true;
        word_out->value = text;
        return WORD_URL;
    }
    if (text[0] != '-' || text[1] == '\0')
        return refuse_word(load, text, is_first);

    const char *equals = strchr(text, '=');
    struct sl_bytes full = {text, equals != NULL ? (size_t)(equals - text) : strlen(text)};
    if (sl_bytes_equal(full, SL_BYTES("-h")) || sl_bytes_equal(full, SL_BYTES("--help")))
        return take_flag(load, equals, full, WORD_HELP);
    if (sl_bytes_equal(full, SL_BYTES("--version")))
        return take_flag(load, equals, full, WORD_VERSION);
    if (sl_bytes_equal(full, SL_BYTES("--json")))
        return take_json(load, equals, full, words);
    if (sl_bytes_equal(full, SL_BYTES("--quick")))
        return take_quick(load, equals, full, words);
    if (sl_bytes_equal(full, SL_BYTES("-c")) || sl_bytes_equal(full, SL_BYTES("--config"))) {
        word_out->value = take_value(load, words, full, equals, "FILE");
        return word_out->value != NULL ? WORD_CONFIG : WORD_BAD;
    }
    if (!starts_with(text, "--"))
        return refuse_option(load, full, (struct sl_bytes){full.base + 1, full.len - 1});
    struct sl_bytes name = {full.base + 2, full.len - 2};
    word_out->option = sl_option_find(name);
    if (word_out->option == NULL)
        return refuse_option(load, full, name);
    word_out->value = take_value(load, words, full, equals, word_out->option->form);
    return word_out->value != NULL ? WORD_OPTION : WORD_BAD;
}

/* The first look at the command line: what is asked for, and the last file that is named. */
static enum sl_config_result survey_words(struct sl_config_load *load, struct words words, const char **file_out)
{
    struct word word;
    const char *url = "";
    bool is_json = false, is_quick = false;
    for (;;) {
        switch (next_word(load, &words, &word)) {
        case WORD_END:
            load->config->command = words.command;
            load->config->is_json = is_json;
            load->config->is_quick = is_quick;
            sl_config_keep_text(&load->config->health_url, sl_bytes_of(url));
            return SL_CONFIG_OK;
        case WORD_JSON: is_json = true; break;
        case WORD_QUICK: is_quick = true; break;
        case WORD_URL: url = word.value; break;
        case WORD_OPTION: break;
        case WORD_CONFIG: *file_out = word.value; break;
        case WORD_HELP: return SL_CONFIG_HELP;
        case WORD_VERSION: return SL_CONFIG_VERSION;
        case WORD_BAD: return SL_CONFIG_BAD;
        }
    }
}

/* The second look: only options are left to do something. */
static bool set_from_words(struct sl_config_load *load, struct words words)
{
    struct word word;
    enum word_kind kind;
    while ((kind = next_word(load, &words, &word)) != WORD_END) {
        assert(kind != WORD_HELP && kind != WORD_VERSION && kind != WORD_BAD);
        if (kind != WORD_OPTION)
            continue;
        struct sl_setting setting = {word.option, sl_bytes_of(word.value), {.kind = SL_SOURCE_OPTION}};
        if (!sl_config_set(load, &setting))
            return false;
    }
    return true;
}

/* Kubernetes gives each pod SLUICE_SERVICE_HOST, SLUICE_PORT=tcp://... and more for a Service named sluice. */
static bool is_from_kubernetes(const char *variable)
{
    const char *value = strchr(variable, '=') + 1;
    return strstr(variable, "_SERVICE_") != NULL || strstr(variable, "_PORT_") != NULL ||
           starts_with(value, "tcp://");
}

static bool refuse_variable(struct sl_config_load *load, const char *variable, struct sl_bytes name)
{
    struct sl_text *message = begin_message(load, name);
    sl_text_printf(message, "unknown environment variable");
    if (is_from_kubernetes(variable)) {
        sl_text_printf(message, ", as Kubernetes sets for a Service; set enableServiceLinks: false in the pod");
        return false;
    }
    size_t prefix = strlen(ENVIRONMENT_PREFIX);
    sl_option_put_nearest(message, SL_SOURCE_ENVIRONMENT, (struct sl_bytes){name.base + prefix, name.len - prefix});
    return false;
}

static const struct sl_option *find_variable(struct sl_bytes name)
{
    for (size_t i = 0; i < SL_OPTIONS; i++)
        if (sl_bytes_equal(name, sl_bytes_of(sl_options[i].environment)))
            return &sl_options[i];
    return NULL;
}

static bool set_from_environment(struct sl_config_load *load, char *const envp[])
{
    for (; *envp != NULL; envp++) {
        const char *equals = strchr(*envp, '=');
        if (equals == NULL || !starts_with(*envp, ENVIRONMENT_PREFIX) || starts_with(*envp, FOR_TESTS_PREFIX))
            continue;
        struct sl_bytes name = {*envp, (size_t)(equals - *envp)};
        if (sl_bytes_equal(name, SL_BYTES("SLUICE_CONFIG")))
            continue;
        const struct sl_option *option = find_variable(name);
        if (option == NULL)
            return refuse_variable(load, *envp, name);
        struct sl_setting setting = {option, sl_bytes_of(equals + 1), {.kind = SL_SOURCE_ENVIRONMENT}};
        if (!sl_config_set(load, &setting))
            return false;
    }
    return true;
}

static const char *file_of_environment(char *const envp[])
{
    const char *file = NULL;
    for (; *envp != NULL; envp++)
        if (starts_with(*envp, "SLUICE_CONFIG="))
            file = *envp + strlen("SLUICE_CONFIG=");
    return file;
}

static bool set_defaults(struct sl_config_load *load)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        struct sl_setting setting = {&sl_options[i], sl_bytes_of(sl_options[i].preset), {.kind = SL_SOURCE_DEFAULT}};
        if (!sl_config_set(load, &setting))
            return false;
    }
    return true;
}

static const struct sl_listen *find_secure(const struct sl_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (listeners->at[i].is_tls)
            return &listeners->at[i];
    return NULL;
}

/* What no single key can tell. */
static bool check_tls(struct sl_config_load *load)
{
    const struct sl_config *config = load->config;
    const struct sl_listen *secure = find_secure(&config->listeners);
    if (secure == NULL)
        secure = find_secure(&config->admin_listeners);
    size_t certs = config->tls_certs.count, keys = config->tls_keys.count;
    if (certs != keys)
        sl_text_printf(&load->message, "sluice: tls-key: there are %zu beside %zu of tls-cert; give each its own",
                       keys, certs);
    else if (secure != NULL && certs == 0)
        sl_text_printf(&load->message, "sluice: %s: %s needs a certificate; name it with tls-cert and tls-key",
                       secure == find_secure(&config->listeners) ? "listen" : "admin-listen", secure->text);
    else if (secure == NULL && certs > 0)
        sl_text_printf(&load->message, "sluice: tls-cert: no address uses it; %s",
                       config->listeners.at[0].inherited_fd > 0
                           ? "name the socket of one tls, as FileDescriptorName=tls in its unit does"
                           : "mark one, e.g. --listen \"0.0.0.0:8443 tls\"");
    else
        return true;
    return false;
}

void sl_config_fit_loops(struct sl_config *config)
{
    uint64_t most = config->buffer_memory_bytes / SL_SLAB_POOL_BYTES_MIN;
    if (config->loops > most)
        config->loops = (unsigned)most;
}

enum sl_config_result sl_config_load(int argc, char *const argv[], char *const envp[], struct sl_config *config_out,
                                     char *message_out, size_t room)
{
    assert(argc >= 0 && envp != NULL);
    *config_out = (struct sl_config){0};
    struct sl_config_load load = {.config = config_out};
    sl_text_init(&load.message, message_out, room);
    const struct words words = {argc, argv, 1, SL_COMMAND_SERVE, false};

    const char *file = file_of_environment(envp);
    enum sl_config_result result = survey_words(&load, words, &file);
    if (result != SL_CONFIG_OK)
        return result;
    if (set_defaults(&load) && (file == NULL || sl_config_read_yaml(&load, file)) &&
        set_from_environment(&load, envp) && set_from_words(&load, words) &&
        (config_out->command != SL_COMMAND_SERVE || sl_config_take_inherited(&load, envp)) && check_tls(&load))
        return SL_CONFIG_OK;
    sl_config_dispose(config_out);
    return SL_CONFIG_BAD;
}

void sl_config_dispose(struct sl_config *config)
{
    if (config == NULL)
        return;
    sl_config_drop_files(&config->tls_certs);
    sl_config_drop_files(&config->tls_keys);
    free(config->root);
    free(config->health_url);
    free(config->user);
    free(config->public_url);
    free(config->base_path);
    free(config->cors_origins);
    free(config->name_template);
    free(config->log_file);
    *config = (struct sl_config){0};
}
