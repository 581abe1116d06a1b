/* The YAML file: the shapes that are taken, the oddities that are refused with their line, and config/sluice.yaml. */
#include "config_case.h"

#include <ctype.h>

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

struct good_row {
    const char *yaml, *root;
    size_t listeners;
};

static const struct good_row good_files[] = {
    {"", "./data", 1},
    {"\n\n# nothing\n", "./data", 1},
    {"---\n", "./data", 1},
    {"{}\n", "./data", 1},
    {"---\nroot: /a\n...\n", "/a", 1},
    {"%YAML 1.1\n---\nroot: /a\n", "/a", 1},
    {"\xef\xbb\xbfroot: /a\n", "/a", 1},
    {"root: /a # why\r\nloops: 2\r\n", "/a", 1},
    {"root:\t/a\n", "/a", 1},
    {"root: 'it''s'\n", "it's", 1},
    {"root: \"\\x41\"\n", "A", 1},
    {"root: >-\n  two\n  words\n", "two words", 1},
    {"{root: /a, loops: 2}", "/a", 1},
    {"? root\n: /a\n", "/a", 1},
    {"\"root\": /a", "/a", 1},
    {"root: 0x10\n", "0x10", 1},
    {"listen: :8080\n", "./data", 1},
    {"listen: :1, :2\n", "./data", 2},
    {"listen:\n- :1\n- '[::1]:2'\n- unix:/s\n", "./data", 3},
    {"listen: [127.0.0.1:1, \":2\"]\n", "./data", 2},
};

static void read_good_file_sets_its_keys(void **state)
{
    for (size_t i = 0; i < ROWS(good_files); i++) {
        struct config_case c;
        if (config_case_load(&c, NULL, NULL, good_files[i].yaml) != SL_CONFIG_OK)
            fail_msg("%s: %s", good_files[i].yaml, c.message);
        assert_string_equal(c.config.root, good_files[i].root);
        assert_int_equal(c.config.listeners.count, good_files[i].listeners);
        sl_config_dispose(&c.config);
    }
}

/* `where` follows the file's path in the message. */
struct bad_row {
    const char *yaml, *where, *mentions[2];
};

static const struct bad_row bad_files[] = {
    {"root: /a\nroot: /b\n", ":2: ", {"root is there already, in line 1", "remove one"}},
    {"root: /a\n\"root\": /a\n", ":2: ", {"root is there already", "remove one"}},
    {"rot: /a\n", ":1)", {"sluice: rot: unknown key", "did you mean root?"}},
    {"\n\nmax_size: 1\n", ":3)", {"sluice: max_size: unknown key", "did you mean max-size?"}},
    {"tls-certs: /c\n", ":1)", {"sluice: tls-certs: unknown key", "did you mean tls-cert?"}},
    {"config: /c\n", ":1)", {"sluice: config: unknown key", "did you mean"}},
    {"? ''\n: x\n", ":1)", {"sluice: : unknown key", "sluice --help"}},
    {"\"a\\nb\": x\n", ":1)", {"a\\x0ab: unknown key", "sluice --help"}},
    {"<<: {root: /a}\n", ":1)", {"<<: unknown key", "sluice --help"}},
    {"root: {a: b}\n", ":1: ", {"root is a map", "write root: VALUE (DIR)"}},
    {"root:\n  deep:\n    deeper: x\n", ":2: ", {"root is a map", "write root: VALUE"}},
    {"name: {yyyy}/{id}\n", ":1: ", {"name is a map", "in quotes if it begins with {"}},
    {"root: [/a]\n", ":1: ", {"root is a list", "write root: VALUE"}},
    {"listen: []\n", ":1: ", {"listen is an empty list", "or a list of such values"}},
    {"digest: []\n", ":1: ", {"digest is an empty list", "(LIST|none)"}},
    {"cors-origin: []\n", ":1: ", {"cors-origin is an empty list", "(LIST|none)"}},
    {"cors-origin: *\n", ":1: ", {"not YAML", "quote"}},
    {"cors-origin: [https://a, b]\n", ":1)", {"cors-origin: \"b\"", "without a path"}},
    {"digest: [md5, [sha]]\n", ":1: ", {"digest is a list of lists or maps", "or a list"}},
    {"listen:\n- :1\n- a: b\n", ":3: ", {"listen is a list of lists or maps", "or a list"}},
    {"listen: {a: b}\n", ":1: ", {"listen is a map", "or a list"}},
    {"[root]: /a\n", ":1: ", {"a key is a list or a map", "write KEY: VALUE"}},
    {"- root\n", ":1: ", {"not a map of keys", "KEY: VALUE"}},
    {"root\n", ":1: ", {"not a map of keys", "KEY: VALUE"}},
    {"root=/a\n", ":1: ", {"not a map of keys", "KEY: VALUE"}},
    {"root: &r /a\n", ":1: ", {"an anchor (&)", "in quotes"}},
    {"&m\nroot: /a\n", ":1: ", {"an anchor (&)", "in quotes"}},
    {"listen: &l [':1']\n", ":1: ", {"an anchor (&)", "in quotes"}},
    {"listen: *:8080\n", ":1: ", {"*", "quote"}},
    {"root: *r\n", ":1: ", {"an alias (*)", "in quotes"}},
    {"root: !!str /a\n", ":1: ", {"a tag (!)", "in quotes"}},
    {"root: !x /a\n", ":1: ", {"a tag (!)", "in quotes"}},
    {"root: /a\n---\nroot: /b\n", ":2: ", {"a second document", "remove the ---"}},
    {"\troot: /a\n", ":1: ", {"not YAML", "indent with spaces"}},
    {"listen:\n\t- :1\n", ":2: ", {"not YAML", "indent with spaces"}},
    {"root: /a\n  loops: 1\n", ":2: ", {"not YAML", "KEY: VALUE"}},
    {"root: \"/a\nloops: 1\n", ":", {"not YAML", "quote"}},
    {"root: 'a\n", ":", {"not YAML", "quote"}},
    {"listen: [::1]:80\n", ":1: ", {"not YAML", "quote"}},
    {"listen: [':1'\n", ":", {"not YAML", "quote"}},
    {"root: @x\n", ":1: ", {"not YAML", "quote"}},
    {"root: /a\n\nloops: \xff\n", ":3: ", {"not UTF-8", "write it as UTF-8"}},
    {"\xff\xfer\0o", ":1: ", {"not UTF-8", "write it as UTF-8"}},
    {"root: caf\xe9\n", ":1: ", {"not UTF-8", "write it as UTF-8"}},
    {"loops: 1\nroot: \x01\n", ":2: ", {"not UTF-8", "without control bytes"}},
    {"root: ~\n", ":1)", {"root: \"~\"", "write the whole path"}},
    {"root:\n", ":1)", {"root: \"\"", "name a directory"}},
    {"root: \"a\\0b\"\n", ":1)", {"root: \"a\\x00b\"", "NUL"}},
    {"loops: 1\nmax-size: 12Q\n", ":2)", {"max-size: \"12Q\"", "128Mi"}},
    {"max-size: 1_000\n", ":1)", {"max-size: \"1_000\"", "128Mi"}},
    {"direct: false\n", ":1)", {"direct: \"false\"", "write auto or off"}},
    {"listen:\n- :1\n- :2\n- :x\n", ":4)", {"listen: \":x\"", "[::1]:8080"}},
    {"digest: [md5, none]\n", ":1)", {"digest: \"none\"", "write none alone"}},
};

static void read_bad_file_names_file_line_and_cure(void **state)
{
    for (size_t i = 0; i < ROWS(bad_files); i++) {
        struct config_case c;
        char where[64];
        if (config_case_load(&c, NULL, NULL, bad_files[i].yaml) != SL_CONFIG_BAD)
            fail_msg("taken: %s", bad_files[i].yaml);
        snprintf(where, sizeof where, "%s%s", c.path, bad_files[i].where);
        config_case_assert_mentions(c.message, where);
        for (size_t m = 0; m < 2; m++)
            config_case_assert_mentions(c.message, bad_files[i].mentions[m]);
    }
}

static const size_t mebibyte = (size_t)1 << 20;

/* `head`, then comments up to `len` bytes; to be freed. */
static char *padded_file(const char *head, size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, '#', len);
    for (size_t i = 99; i < len; i += 100)
        text[i] = '\n';
    memcpy(text, head, strlen(head));
    text[len] = '\0';
    return text;
}

static void read_file_of_one_mebibyte_is_read_and_above_refused(void **state)
{
    struct config_case c;
    char *text = padded_file("root: /big\n", mebibyte);
    assert_int_equal(config_case_load(&c, NULL, NULL, text), SL_CONFIG_OK);
    assert_string_equal(c.config.root, "/big");
    sl_config_dispose(&c.config);
    free(text);
    text = padded_file("root: /big\n", mebibyte + 1);
    assert_int_equal(config_case_load(&c, NULL, NULL, text), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, "larger than 1 MiB");
    config_case_assert_mentions(c.message, "name a readable YAML file");
    free(text);
}

/* One MiB that never ends what it began is refused at once, not after a walk into the depth. */
static void read_file_of_brackets_is_refused(void **state)
{
    static const char *const openings[] = {"[", "{", "- ", "? ", "'", "\"", "&", "!", "a: "};
    char *text = malloc(mebibyte + 1);
    assert_non_null(text);
    for (size_t i = 0; i < ROWS(openings); i++) {
        size_t len = 0, piece = strlen(openings[i]);
        for (; len + piece <= mebibyte; len += piece)
            memcpy(text + len, openings[i], piece);
        text[len] = '\0';
        struct config_case c;
        assert_int_equal(config_case_load(&c, NULL, NULL, text), SL_CONFIG_BAD);
    }
    free(text);
}

static void read_file_cut_at_every_byte_never_gives_half_a_config(void **state)
{
    static const char whole[] =
        "# c\nlisten: [\":1\", ':2']\nname: \"a/{id}\"\ndigest:\n- md5\nmax-size: 1Gi\nroot: >-\n  x y\n";
    for (size_t len = 0; len < sizeof whole; len++) {
        char cut[sizeof whole];
        memcpy(cut, whole, len);
        cut[len] = '\0';
        struct config_case c;
        enum sl_config_result result = config_case_load(&c, NULL, NULL, cut);
        assert_true(result == SL_CONFIG_OK || result == SL_CONFIG_BAD);
        if (result == SL_CONFIG_OK)
            assert_true(c.config.root != NULL && c.config.listeners.count > 0 && c.config.loops > 0);
        sl_config_dispose(&c.config);
    }
}

/* config/sluice.yaml, beside this file's tree; to be freed. */
static char *shipped_file(void)
{
    static const char here[] = "tests/unit/app/test_config_yaml.c";
    char path[4096];
    const size_t tree = strlen(__FILE__) - strlen(here);
    assert_string_equal(&__FILE__[tree], here);
    snprintf(path, sizeof path, "%.*sconfig/sluice.yaml", (int)tree, __FILE__);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = calloc(1, mebibyte);
    assert_non_null(text);
    assert_in_range(fread(text, 1, mebibyte - 1, file), 1, mebibyte - 2);
    fclose(file);
    return text;
}

/* Settings stand behind a '#' without a space; prose behind '#' and a space. */
static void uncomment_settings(char *text)
{
    for (char *at = text; at != NULL; at = strchr(at, '\n'), at = at != NULL ? at + 1 : NULL)
        if (at[0] == '#' && islower((unsigned char)at[1]))
            at[0] = ' ';
}

static void shipped_file_equals_the_defaults(void **state)
{
    struct config_case defaults, shipped, uncommented;
    char *text = shipped_file();
    assert_int_equal(config_case_load(&defaults, NULL, NULL, NULL), SL_CONFIG_OK);
    assert_int_equal(config_case_load(&shipped, NULL, NULL, text), SL_CONFIG_OK);
    uncomment_settings(text);
    if (config_case_load(&uncommented, NULL, NULL, text) != SL_CONFIG_OK)
        fail_msg("%s", uncommented.message);
    config_case_assert_same(&defaults.config, &shipped.config);
    config_case_assert_same(&defaults.config, &uncommented.config);
    free(text);
    sl_config_dispose(&defaults.config);
    sl_config_dispose(&shipped.config);
    sl_config_dispose(&uncommented.config);
}

static void shipped_file_shows_each_key_once_behind_its_prose(void **state)
{
    char *text = shipped_file();
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n#%s: ", sl_options[i].name);
        const char *at = strstr(text, line);
        if (at == NULL)
            fail_msg("config/sluice.yaml does not show %s", sl_options[i].name);
        assert_null(strstr(at + 1, line));
        const char *above = at;
        while (above > text && above[-1] != '\n')
            above--;
        assert_memory_equal(above, "# ", 2);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_good_file_sets_its_keys),
        cmocka_unit_test(read_bad_file_names_file_line_and_cure),
        cmocka_unit_test(read_file_of_one_mebibyte_is_read_and_above_refused),
        cmocka_unit_test(read_file_of_brackets_is_refused),
        cmocka_unit_test(read_file_cut_at_every_byte_never_gives_half_a_config),
        cmocka_unit_test(shipped_file_equals_the_defaults),
        cmocka_unit_test(shipped_file_shows_each_key_once_behind_its_prose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
