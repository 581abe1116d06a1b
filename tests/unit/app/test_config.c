/* The configuration as a whole: which source wins, what the command line and the environment may say, and the messages
 * about what they may not. */
#include "config_case.h"

#include <ctype.h>
#include <netinet/in.h>

/* A value for each source of one key, and how the config shows it: [0] default, [1] file, [2] environment, [3]
 * option. */
struct precedence_row {
    const char *name;
    const char *value[4];
    const char *shown[4];
};

static const struct precedence_row precedence[] = {
    {"listen", {0, ":1", "[::1]:2", "unix:/s"}, {"127.0.0.1:8080", ":1", "[::1]:2", "unix:/s"}},
    {"admin-listen", {0, ":1", "[::1]:2", "unix:/s"}, {"", ":1", "[::1]:2", "unix:/s"}},
    {"tls-cert", {0, "/f", "/e", "/o"}, {"/preset", "/f", "/e", "/o"}},
    {"tls-key", {0, "/f", "/e", "/o"}, {"/preset", "/f", "/e", "/o"}},
    {"root", {0, "/f", "/e", "/o"}, {"./data", "/f", "/e", "/o"}},
    {"trusted-proxy", {0, "10.0.0.0/8", "unix", "::1,1.2.3.4"}, {"", "10.0.0.0/104", "+unix", "::1/128 1.2.3.4/128"}},
    {"public-url", {0, "http://f", "http://e", "http://o/"}, {"", "http://f", "http://e", "http://o"}},
    {"base-path", {0, "/f/", "/e/", "/o/"}, {"/files/", "/f/", "/e/", "/o/"}},
    {"cors-origin", {0, "https://f", "*", "https://o,http://p"}, {"", "https://f", "*", "https://o http://p"}},
    {"engine", {0, "io_uring", "auto", "threads"}, {"0", "1", "0", "2"}},
    {"durability", {0, "data", "full", "none"}, {"0", "1", "0", "2"}},
    {"digest", {0, "sha-512", "sha-256,md5", "none"}, {"1", "2", "9", "0"}},
    {"conflict", {0, "rename", "error", "overwrite"}, {"0", "1", "0", "2"}},
    {"name", {0, "f/{id}", "e/{id}", "o/{id}"}, {"{yyyy}/{mm}/{dd}/{id}-{filename}", "f/{id}", "e/{id}", "o/{id}"}},
    {"max-size", {0, "1", "2k", "3Mi"}, {"0", "1", "2000", "3145728"}},
    {"min-free", {0, "1", "2k", "0"}, {"268435456", "1", "2000", "0"}},
    {"upload-expiry", {0, "1", "2", "3"}, {"604800", "1", "2", "3"}},
    {"max-uploads", {0, "1", "2", "3"}, {"10000", "1", "2", "3"}},
    {"max-uploads-per-address", {0, "1", "2", "3"}, {"0", "1", "2", "3"}},
    {"max-upload-bytes", {0, "1", "2k", "3Mi"}, {"0", "1", "2000", "3145728"}},
    {"max-append-size", {0, "1", "2k", "3Mi"}, {"0", "1", "2000", "3145728"}},
    {"interim", {0, "off", "auto", "on"}, {"0", "2", "0", "1"}},
    {"direct", {0, "off", "auto", "off"}, {"0", "1", "0", "1"}},
    {"user", {0, "a", "1:2", "b-c:d.e"}, {"", "a", "1:2", "b-c:d.e"}},
    {"confine", {0, "off", "auto", "off"}, {"0", "1", "0", "1"}},
    {"loops", {0, "101", "102", "103"}, {NULL, "101", "102", "103"}},
    {"hash-threads", {0, "101", "102", "103"}, {NULL, "101", "102", "103"}},
    {"buffer-memory", {0, "4Mi", "5M", "1Gi"}, {"134217728", "4194304", "5000000", "1073741824"}},
    {"max-connections", {0, "1", "2", "3"}, {"10000", "1", "2", "3"}},
    {"max-connections-per-address", {0, "1", "2", "3"}, {"0", "1", "2", "3"}},
    {"shutdown-timeout", {0, "0", "2", "3"}, {"10", "0", "2", "3"}},
    {"head-timeout", {0, "1", "2", "3"}, {"10", "1", "2", "3"}},
    {"body-timeout", {0, "1", "2", "3"}, {"60", "1", "2", "3"}},
    {"idle-timeout", {0, "1", "2", "3"}, {"60", "1", "2", "3"}},
    {"write-timeout", {0, "1", "2", "3"}, {"60", "1", "2", "3"}},
    {"min-rate", {0, "1", "2k", "0"}, {"100", "1", "2000", "0"}},
    {"log-format", {0, "json", "text", "json"}, {"0", "1", "0", "1"}},
    {"log-file", {0, "/f", "/e,2", "/o"}, {"", "/f", "/e,2", "/o"}},
};
#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* sources: bit s stands for source s. */
static void check_precedence(const struct precedence_row *row, const struct sl_option *option, unsigned sources)
{
    char yaml[256], variable[256], word[256], shown[256];
    snprintf(yaml, sizeof yaml, "%s: \"%s\"\n", row->name, row->value[1]);
    snprintf(variable, sizeof variable, "%s=%s", option->environment, row->value[2]);
    snprintf(word, sizeof word, "--%s=%s", row->name, row->value[3]);
    const char *environment[] = {sources & 4 ? variable : NULL, NULL};
    const char *words[5] = {NULL};
    size_t count = 0;
    if (sources & 8)
        words[count++] = word;
    if (strcmp(row->name, "tls-cert") == 0 || strcmp(row->name, "tls-key") == 0) { /* none stands alone */
        bool is_cert = strcmp(row->name, "tls-cert") == 0;
        words[count++] = "--listen=:1 tls";
        words[count++] = is_cert ? "--tls-key=/k" : "--tls-cert=/c";
        if (sources == 0)
            words[count++] = is_cert ? "--tls-cert=/preset" : "--tls-key=/preset";
    }

    struct config_case c;
    assert_int_equal(config_case_load(&c, words, environment, sources & 2 ? yaml : NULL), SL_CONFIG_OK);
    unsigned winner = sources & 8 ? 3 : sources & 4 ? 2 : sources & 2 ? 1 : 0;
    config_case_show(&c.config, option, shown, sizeof shown);
    if (row->shown[winner] != NULL)
        assert_string_equal(shown, row->shown[winner]);
    else
        assert_in_range(strtoul(shown, NULL, 10), 1, sysconf(_SC_NPROCESSORS_CONF));
    sl_config_dispose(&c.config);
}

static void load_each_key_from_each_set_of_sources_takes_the_highest(void **state)
{
    assert_int_equal(ROWS(precedence), SL_OPTIONS);
    for (size_t i = 0; i < ROWS(precedence); i++) {
        const struct sl_option *option = sl_option_find(sl_bytes_of(precedence[i].name));
        assert_non_null(option);
        for (unsigned sources = 0; sources < 16; sources += 2)
            check_precedence(&precedence[i], option, sources);
    }
}

static void table_each_row_follows_the_naming_rules(void **state)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        char expected[64] = "SLUICE_";
        for (const char *c = sl_options[i].name; *c != '\0'; c++)
            expected[7 + (c - sl_options[i].name)] = (char)(*c == '-' ? '_' : toupper(*c));
        assert_string_equal(sl_options[i].environment, expected);
        assert_true(strlen(sl_options[i].help) > 10);
        assert_ptr_equal(sl_option_find(sl_bytes_of(sl_options[i].name)), &sl_options[i]);
    }
}

static void load_list_in_one_source_adds_up(void **state)
{
    static const char *const words[] = {"--listen",         ":0", "--listen=unix:/s, 127.0.0.1:9", "--digest", "md5",
                                        "--digest=sha-512", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, NULL, "listen: [':1', ':2']\ndigest:\n- crc32c\n"), SL_CONFIG_OK);
    assert_int_equal(c.config.listeners.count, 3);
    assert_string_equal(c.config.listeners.at[0].text, ":0");
    assert_string_equal(c.config.listeners.at[1].text, "unix:/s");
    assert_string_equal(c.config.listeners.at[2].text, "127.0.0.1:9");
    assert_int_equal(c.config.digests, 1u << SL_HASH_MD5 | 1u << SL_HASH_SHA512);
    sl_config_dispose(&c.config);
}

static void load_option_twice_takes_the_last(void **state)
{
    static const char *const words[] = {"serve", "--root", "/a", "--root=/b", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_OK);
    assert_string_equal(c.config.root, "/b");
    sl_config_dispose(&c.config);
}

static void load_command_is_the_first_word_and_json_is_its_own(void **state)
{
    static const char *const serve[] = {"serve", NULL}, *const list[] = {"uploads", "--root=/r", NULL},
                             *const json[] = {"uploads", "--json", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, serve, NULL, NULL), SL_CONFIG_OK);
    assert_true(c.config.command == SL_COMMAND_SERVE && !c.config.is_json);
    sl_config_dispose(&c.config);
    assert_int_equal(config_case_load(&c, list, NULL, NULL), SL_CONFIG_OK);
    assert_true(c.config.command == SL_COMMAND_UPLOADS && !c.config.is_json);
    assert_string_equal(c.config.root, "/r");
    sl_config_dispose(&c.config);
    assert_int_equal(config_case_load(&c, json, NULL, NULL), SL_CONFIG_OK);
    assert_true(c.config.command == SL_COMMAND_UPLOADS && c.config.is_json);
    sl_config_dispose(&c.config);
}

static void load_doctor_and_health_have_words_of_their_own(void **state)
{
    static const char *const doctor[] = {"doctor", "--quick", "--json", NULL},
                             *const health[] = {"health", "unix:/s", NULL}, *const plain[] = {"health", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, doctor, NULL, NULL), SL_CONFIG_OK);
    assert_true(c.config.command == SL_COMMAND_DOCTOR && c.config.is_json && c.config.is_quick);
    sl_config_dispose(&c.config);
    assert_int_equal(config_case_load(&c, health, NULL, NULL), SL_CONFIG_OK);
    assert_true(c.config.command == SL_COMMAND_HEALTH && !c.config.is_json);
    assert_string_equal(c.config.health_url, "unix:/s");
    sl_config_dispose(&c.config);
    assert_int_equal(config_case_load(&c, plain, NULL, NULL), SL_CONFIG_OK);
    assert_string_equal(c.config.health_url, "");
    sl_config_dispose(&c.config);
}

struct words_row {
    const char *words[5];
    enum sl_config_result result;
    const char *mentions[3];
};

static const struct words_row command_lines[] = {
    {{NULL}, SL_CONFIG_OK, {0}},
    {{"serve"}, SL_CONFIG_OK, {0}},
    {{"--help"}, SL_CONFIG_HELP, {0}},
    {{"-h"}, SL_CONFIG_HELP, {0}},
    {{"serve", "--help"}, SL_CONFIG_HELP, {0}},
    {{"--loops", "junk", "--help"}, SL_CONFIG_HELP, {0}},
    {{"-c", "/nonexistent", "--version"}, SL_CONFIG_VERSION, {0}},
    {{"--version"}, SL_CONFIG_VERSION, {0}},
    {{"uploads"}, SL_CONFIG_OK, {0}},
    {{"uploads", "--json", "--root=/r"}, SL_CONFIG_OK, {0}},
    {{"uploads", "--help"}, SL_CONFIG_HELP, {0}},
    {{"uploads", "--json=1"}, SL_CONFIG_BAD, {"--json", "takes no value", "alone"}},
    {{"uploads", "serve"}, SL_CONFIG_BAD, {"serve", "no option takes this word"}},
    {{"--json"}, SL_CONFIG_BAD, {"--json", "sluice uploads --json"}},
    {{"serve", "--json"}, SL_CONFIG_BAD, {"--json", "sluice uploads --json"}},
    {{"serve", "uploads"}, SL_CONFIG_BAD, {"uploads", "no option takes this word"}},
    {{"--loops", "1", "uploads"}, SL_CONFIG_BAD, {"uploads", "no option takes this word"}},
    {{"doctor"}, SL_CONFIG_OK, {0}},
    {{"doctor", "--json", "--quick", "--root=/r"}, SL_CONFIG_OK, {0}},
    {{"doctor", "--quick=1"}, SL_CONFIG_BAD, {"--quick", "takes no value", "alone"}},
    {{"--quick"}, SL_CONFIG_BAD, {"--quick", "sluice doctor --quick"}},
    {{"uploads", "--quick"}, SL_CONFIG_BAD, {"--quick", "sluice doctor --quick"}},
    {{"doctor", "doctor"}, SL_CONFIG_BAD, {"doctor", "no option takes this word"}},
    {{"health"}, SL_CONFIG_OK, {0}},
    {{"health", "http://a/", "--listen=:1"}, SL_CONFIG_OK, {0}},
    {{"health", "http://a/", "http://b/"}, SL_CONFIG_BAD, {"http://b/", "no option takes this word"}},
    {{"health", "--json"}, SL_CONFIG_BAD, {"--json", "sluice uploads --json"}},
    {{"doktor"}, SL_CONFIG_BAD, {"doktor", "unknown command", "serve, uploads, doctor, health"}},
    {{""}, SL_CONFIG_BAD, {"unknown command"}},
    {{"-"}, SL_CONFIG_BAD, {"unknown command"}},
    {{"serve", "serve"}, SL_CONFIG_BAD, {"serve", "--KEY VALUE"}},
    {{"--root", "/a", "b"}, SL_CONFIG_BAD, {"b", "no option takes this word"}},
    {{"--root"}, SL_CONFIG_BAD, {"--root", "needs a value", "--root DIR"}},
    {{"--root", "--loops=1"}, SL_CONFIG_BAD, {"--root", "needs a value", "--root DIR"}},
    {{"-c"}, SL_CONFIG_BAD, {"-c", "needs a value", "-c FILE"}},
    {{"--help=yes"}, SL_CONFIG_BAD, {"--help", "takes no value", "alone"}},
    {{"--version="}, SL_CONFIG_BAD, {"--version", "takes no value", "alone"}},
    {{"--max-sice", "1"}, SL_CONFIG_BAD, {"--max-sice: unknown option", "did you mean --max-size?"}},
    {{"--max_size=1"}, SL_CONFIG_BAD, {"--max_size: unknown option", "did you mean --max-size?"}},
    {{"--cofnig", "x"}, SL_CONFIG_BAD, {"--cofnig", "did you mean --config?"}},
    {{"--hepl"}, SL_CONFIG_BAD, {"--hepl", "did you mean --help?"}},
    {{"-root", "x"}, SL_CONFIG_BAD, {"-root", "did you mean --root?"}},
    {{"--"}, SL_CONFIG_BAD, {"--: unknown option", "sluice --help"}},
    {{"-x"}, SL_CONFIG_BAD, {"-x: unknown option", "sluice --help"}},
    {{"--tls-cert", "x"}, SL_CONFIG_BAD, {"tls-key: there are 0 beside 1", "give each its own"}},
    {{"--tls-cert=x", "--tls-key=y"}, SL_CONFIG_BAD, {"tls-cert: no address uses it", "8443 tls"}},
    {{"--listen=:1 tls"}, SL_CONFIG_BAD, {"listen: :1 tls needs a certificate", "tls-cert and tls-key"}},
    {{"--admin-listen=:1 tls"}, SL_CONFIG_BAD, {":1 tls needs a certificate", "tls-cert and tls-key"}},
    {{"--listen=:1 tls", "--tls-cert=x", "--tls-key=y,z"}, SL_CONFIG_BAD, {"there are 2 beside 1"}},
    {{"--listen=:1 tls", "--tls-cert=x,~/y", "--tls-key=y,z"}, SL_CONFIG_BAD, {"~", "write the whole path"}},
    {{"--listen=:1 tls", "--tls-cert=", "--tls-key=y"}, SL_CONFIG_BAD, {"there are 1 beside 0"}},
    {{"--two\nlines"}, SL_CONFIG_BAD, {"--two\\x0alines: unknown option"}},
    {{"-c", "/nonexistent/x.yaml"}, SL_CONFIG_BAD, {"config", "/nonexistent/x.yaml", "No such file"}},
    {{"--config=/"}, SL_CONFIG_BAD, {"config", "\"/\"", "directory"}},
    {{"--config="}, SL_CONFIG_BAD, {"config", "\"\"", "-c or SLUICE_CONFIG"}},
};

static void load_command_line_gives_its_result_and_message(void **state)
{
    for (size_t i = 0; i < ROWS(command_lines); i++) {
        const struct words_row *row = &command_lines[i];
        struct config_case c;
        assert_int_equal(config_case_load(&c, row->words, NULL, NULL), row->result);
        for (size_t m = 0; m < 3 && row->mentions[m] != NULL; m++)
            config_case_assert_mentions(c.message, row->mentions[m]);
        sl_config_dispose(&c.config);
    }
}

struct variable_row {
    const char *variable;
    const char *mentions[2]; /* none: it is fine */
};

static const struct variable_row variables[] = {
    {"PATH=/bin", {0}},
    {"SLUICE=1", {0}},
    {"SLUICE_TEST_FAULTS=7", {0}},
    {"SLUICE_ROOT", {0}}, /* not an assignment */
    {"SLUICE_PUBLIC_URL=", {0}},
    {"SLUICE_MAXSIZE=1", {"SLUICE_MAXSIZE: unknown", "did you mean SLUICE_MAX_SIZE?"}},
    {"SLUICE_CONFG=x", {"SLUICE_CONFG: unknown", "did you mean SLUICE_CONFIG?"}},
    {"SLUICE_=x", {"SLUICE_: unknown", "sluice --help"}},
    {"SLUICE_TLS_CERTS=x", {"SLUICE_TLS_CERTS: unknown", "did you mean SLUICE_TLS_CERT?"}},
    {"SLUICE_PORT=tcp://10.0.0.1:80", {"SLUICE_PORT: unknown", "enableServiceLinks: false"}},
    {"SLUICE_SERVICE_HOST=10.0.0.1", {"SLUICE_SERVICE_HOST: unknown", "enableServiceLinks: false"}},
    {"SLUICE_MAX_SIZE=", {"max-size: \"\" (from SLUICE_MAX_SIZE)", "128Mi"}},
    {"SLUICE_CONFIG=/nonexistent", {"config: cannot read \"/nonexistent\"", "SLUICE_CONFIG"}},
};

static void load_variable_is_fine_or_gets_its_message(void **state)
{
    for (size_t i = 0; i < ROWS(variables); i++) {
        const char *environment[] = {variables[i].variable, NULL};
        struct config_case c;
        bool is_fine = variables[i].mentions[0] == NULL;
        assert_int_equal(config_case_load(&c, NULL, environment, NULL), is_fine ? SL_CONFIG_OK : SL_CONFIG_BAD);
        for (size_t m = 0; m < 2 && !is_fine; m++)
            config_case_assert_mentions(c.message, variables[i].mentions[m]);
        sl_config_dispose(&c.config);
    }
}

static void load_file_of_environment_is_read_unless_an_option_names_another(void **state)
{
    struct config_case file, c;
    int fd = config_case_file(&file, "root: /env\n", strlen("root: /env\n"));
    char variable[64];
    snprintf(variable, sizeof variable, "SLUICE_CONFIG=%s", file.path);
    const char *environment[] = {variable, NULL};
    assert_int_equal(config_case_load(&c, NULL, environment, NULL), SL_CONFIG_OK);
    assert_string_equal(c.config.root, "/env");
    sl_config_dispose(&c.config);
    assert_int_equal(config_case_load(&c, NULL, environment, "loops: 1"), SL_CONFIG_OK);
    assert_string_equal(c.config.root, "./data");
    sl_config_dispose(&c.config);
    close(fd);
}

static void load_bad_value_is_told_although_a_higher_source_hides_it(void **state)
{
    static const char *const words[] = {"--loops=2", NULL};
    static const char *const environment[] = {"SLUICE_LOOPS=x", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, environment, NULL), SL_CONFIG_BAD);
    assert_string_equal(c.message, "sluice: loops: \"x\" (from SLUICE_LOOPS) is not a number it can be; "
                                   "write auto or a number from 1 to 1024");
}

static void load_message_without_room_is_cut(void **state)
{
    char *argv[] = {"sluice", "--loops=x", NULL}, *envp[] = {NULL};
    struct sl_config config;
    char message[8];
    assert_int_equal(sl_config_load(2, argv, envp, &config, message, sizeof message), SL_CONFIG_BAD);
    assert_string_equal(message, "sluice:");
}

static void load_without_any_word_gives_the_defaults(void **state)
{
    char *argv[] = {NULL}, *envp[] = {NULL};
    struct sl_config config;
    char message[64];
    assert_int_equal(sl_config_load(0, argv, envp, &config, message, sizeof message), SL_CONFIG_OK);
    assert_int_equal(config.max_connections, 10000);
    sl_config_dispose(&config);
    sl_config_dispose(&config);
    sl_config_dispose(NULL);
}

static void help_mentions_each_option_with_its_default(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    sl_config_help(out);
    fclose(out);
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "\n  --%s %s", sl_options[i].name, sl_options[i].form);
        const char *line = strstr(text, expected);
        if (line == NULL)
            fail_msg("help lacks %s", expected);
        snprintf(expected, sizeof expected, "%s (%s)\n", sl_options[i].help, sl_options[i].preset);
        if (sl_options[i].preset[0] != '\0')
            config_case_assert_mentions(line, expected);
    }
    static const char *const others[] = {"-c, --config FILE", "-h, --help", "--version", "SLUICE_", "serve"};
    for (size_t i = 0; i < ROWS(others); i++)
        config_case_assert_mentions(text, others[i]);
    size_t column = 0;
    for (size_t i = 0; i < len; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 100);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_each_key_from_each_set_of_sources_takes_the_highest),
        cmocka_unit_test(table_each_row_follows_the_naming_rules),
        cmocka_unit_test(load_list_in_one_source_adds_up),
        cmocka_unit_test(load_option_twice_takes_the_last),
        cmocka_unit_test(load_command_is_the_first_word_and_json_is_its_own),
        cmocka_unit_test(load_doctor_and_health_have_words_of_their_own),
        cmocka_unit_test(load_command_line_gives_its_result_and_message),
        cmocka_unit_test(load_variable_is_fine_or_gets_its_message),
        cmocka_unit_test(load_file_of_environment_is_read_unless_an_option_names_another),
        cmocka_unit_test(load_bad_value_is_told_although_a_higher_source_hides_it),
        cmocka_unit_test(load_message_without_room_is_cut),
        cmocka_unit_test(load_without_any_word_gives_the_defaults),
        cmocka_unit_test(help_mentions_each_option_with_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
