/* Makes of one template what tells about the options elsewhere than in --help: manual pages and completions. All of it
 * comes from the table (src/app/options.def) and, for what each key means, from config/sluice.yaml, so that no name,
 * default or bound can be told in two ways. It runs while sluice is built, and is not installed.
 *
 *   describe TEMPLATE sluice.yaml > OUTPUT        each @word@ in the template is replaced */
#include "options.h"

#include "sluice/hash/hash.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

/* Never given back: the program ends soon. */
static char *yaml, *template;

static _Noreturn void give_up(const char *what, const char *which)
{
    fprintf(stderr, "describe: %s: %s\n", what, which);
    exit(EXIT_FAILURE);
}

static char *read_file(const char *path)
{
    char *text = calloc(1, FILE_BYTES_MAX);
    FILE *file = fopen(path, "re");
    if (text == NULL || file == NULL)
        give_up("cannot read", path);
    if (fread(text, 1, FILE_BYTES_MAX, file) == FILE_BYTES_MAX)
        give_up("too large", path);
    fclose(file);
    return text;
}

/* ---- values that can be listed ---- */

/* "auto" of "N|auto" is to be written as it stands, "N" is not. */
static bool is_literal(struct sl_bytes word)
{
    for (size_t i = 0; i < word.len; i++)
        if (!islower((unsigned char)word.base[i]) && word.base[i] != '_')
            return false;
    return word.len > 0;
}

/* Takes the next literal word of a form from *at on. false: there is none. */
static bool take_literal(const char **at, struct sl_bytes *word_out)
{
    while (**at != '\0') {
        *word_out = (struct sl_bytes){*at, strcspn(*at, "|")};
        *at += word_out->len + ((*at)[word_out->len] == '|');
        if (is_literal(*word_out))
            return true;
    }
    return false;
}

static bool has_words(const struct sl_option *option)
{
    const char *at = option->form;
    struct sl_bytes word;
    return option->kind == SL_KIND_DIGESTS || take_literal(&at, &word);
}

/* What may be its value, parted by blanks. */
static void put_words(const struct sl_option *option)
{
    const char *at = option->form, *blank = "";
    struct sl_bytes word;
    for (enum sl_hash_alg alg = 0; option->kind == SL_KIND_DIGESTS && alg < SL_HASH_ALGS; alg++, blank = " ")
        printf("%s%s", blank, sl_hash_name(alg));
    for (; take_literal(&at, &word); blank = " ")
        printf("%s%.*s", blank, (int)word.len, word.base);
}

/* ---- completions ---- */

static void put_bash_options(void)
{
    for (size_t i = 0; i < SL_OPTIONS; i++)
        printf("%s--%s", i == 0 ? "" : i % 5 == 0 ? "\n            " : " ", sl_options[i].name);
}

static void put_bash_values(void)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        const struct sl_option *option = &sl_options[i];
        if (has_words(option)) {
            printf("        --%s) words='", option->name);
            put_words(option);
            puts("' ;;");
        } else if (option->kind == SL_KIND_FILES || option->kind == SL_KIND_DIRECTORY || option->kind == SL_KIND_USER)
            printf("        --%s) action=%s ;;\n", option->name,
                   option->kind == SL_KIND_FILES  ? "file"
                   : option->kind == SL_KIND_USER ? "user"
                                                  : "directory");
    }
}

/* In single quotes of a shell, where zsh would take [ ] and : for its own. */
static void put_quoted(const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\'", stdout);
        else if (strchr(special, *text) != NULL)
            putchar('\\');
        putchar(*text);
    }
}

static void put_zsh_options(void)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        const struct sl_option *option = &sl_options[i];
        printf("        '%s--%s=[", sl_option_is_list(option) ? "*" : "", option->name);
        put_quoted(option->help, "[]:\\");
        fputs("]:", stdout);
        put_quoted(option->form, "[]:\\");
        putchar(':');
        if (has_words(option)) {
            putchar('(');
            put_words(option);
            putchar(')');
        } else if (option->kind == SL_KIND_FILES)
            fputs("_files", stdout);
        else if (option->kind == SL_KIND_DIRECTORY)
            fputs("_directories", stdout);
        else if (option->kind == SL_KIND_USER)
            fputs("_users", stdout);
        puts("'");
    }
}

static void put_fish_options(void)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        const struct sl_option *option = &sl_options[i];
        printf("complete -c sluice -n __sluice_takes_options -l %s -%s", option->name,
               option->kind == SL_KIND_FILES ? "r -F" : "x");
        if (has_words(option)) {
            fputs(" -a '", stdout);
            put_words(option);
            putchar('\'');
        } else if (option->kind == SL_KIND_DIRECTORY)
            fputs(" -a '(__fish_complete_directories)'", stdout);
        else if (option->kind == SL_KIND_USER)
            fputs(" -a '(__fish_complete_users)'", stdout);
        fputs(" -d '", stdout);
        for (const char *at = option->help; *at != '\0'; at++)
            printf(*at == '\'' || *at == '\\' ? "\\%c" : "%c", *at);
        puts("'");
    }
}

/* ---- manual pages ---- */

/* As it is: - is a minus that can be copied, and nothing is a request or an escape. */
static void put_roff(struct sl_bytes text)
{
    bool is_bold = false;
    if (text.len > 0 && (text.base[0] == '.' || text.base[0] == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < text.len; i++) {
        switch (text.base[i]) {
        case '\\': fputs("\\e", stdout); break;
        case '-': fputs("\\-", stdout); break;
        case '\'': fputs("\\(aq", stdout); break;
        case '~': fputs("\\(ti", stdout); break;
        case '^': fputs("\\(ha", stdout); break;
        case '"': fputs("\\(dq", stdout); break;
        case '`': /* around what is to be typed */
            is_bold = !is_bold;
            fputs(is_bold ? "\\fB" : "\\fR", stdout);
            break;
        default: putchar(text.base[i]);
        }
    }
}

static void put_roff_text(const char *text)
{
    put_roff(sl_bytes_of(text));
}

static void put_default(const struct sl_option *option)
{
    if (option->preset[0] == '\0')
        return;
    fputs(", by default \\fB", stdout);
    put_roff_text(option->preset);
    fputs("\\fR", stdout);
}

static void put_man_options(void)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        const struct sl_option *option = &sl_options[i];
        fputs(".TP\n\\fB\\-\\-", stdout);
        put_roff_text(option->name);
        fputs("\\fR ", stdout);
        put_roff_text(option->form);
        printf("\n%s", option->help[0] == '.' ? "\\&" : "");
        putchar(toupper((unsigned char)option->help[0]));
        put_roff_text(option->help + 1);
        fputs(".\n.br\nEnvironment \\fB", stdout);
        put_roff_text(option->environment);
        fputs("\\fR", stdout);
        put_default(option);
        puts(".");
    }
}

static bool has_bounds(const struct sl_option *option)
{
    return option->kind == SL_KIND_NUMBER || option->kind == SL_KIND_CORES ||
           (option->kind == SL_KIND_SIZE && option->least > 0);
}

/* What is to be known of a key beside its prose. */
static void put_key_facts(const struct sl_option *option)
{
    fputs(".br\nOption \\fB\\-\\-", stdout);
    put_roff_text(option->name);
    fputs("\\fR, environment \\fB", stdout);
    put_roff_text(option->environment);
    fputs("\\fR", stdout);
    if (has_bounds(option))
        printf(", from %" PRIu64 " to %" PRIu64, option->least, option->most);
    put_default(option);
    puts(sl_option_is_list(option) ? ". It may be a list." : ".");
}

static bool begins_with(struct sl_bytes line, const char *word)
{
    return line.len > strlen(word) && memcmp(line.base, word, strlen(word)) == 0;
}

/* Lines are filled, but for costs and examples, which begin or are one of their own. */
static void put_prose(struct sl_bytes line)
{
    bool is_example = begins_with(line, "e.g. ");
    if (is_example || begins_with(line, "Cost: "))
        puts(".br");
    put_roff(line);
    puts(is_example ? "\n.br" : "");
}

/* "#key: value": its name; base NULL: another line. */
static struct sl_bytes key_of(struct sl_bytes line)
{
    if (line.len < 2 || line.base[0] != '#' || !islower((unsigned char)line.base[1]))
        return (struct sl_bytes){NULL, 0};
    const char *colon = memchr(line.base, ':', line.len);
    if (colon == NULL)
        give_up("a line of the file is neither prose nor a key", line.base);
    return (struct sl_bytes){line.base + 1, (size_t)(colon - line.base) - 1};
}

static const char *next_line(const char *at, struct sl_bytes *line_out)
{
    *line_out = (struct sl_bytes){at, strcspn(at, "\n")};
    at += line_out->len;
    return *at == '\n' ? at + 1 : at;
}

/* `prose`: where the comment begins that ends with the line of the key. */
static void put_key(const char *prose, struct sl_bytes key)
{
    const struct sl_option *option = sl_option_find(key);
    struct sl_bytes line;
    if (option == NULL)
        give_up("the file tells of a key that there is not", key.base);
    fputs(".TP\n\\fB", stdout);
    put_roff(key);
    fputs(":\\fR ", stdout);
    put_roff_text(option->form);
    putchar('\n');
    for (const char *at = next_line(prose, &line); line.base != key.base - 1; at = next_line(at, &line))
        put_prose((struct sl_bytes){line.base + 2, line.len - 2});
    put_key_facts(option);
}

/* Of "# ---- limits ----" the word. */
static bool put_section(struct sl_bytes line)
{
    static const char begin[] = "# ---- ", end[] = " ----";
    if (line.len < sizeof begin + sizeof end || !begins_with(line, begin))
        return false;
    fputs(".SS ", stdout);
    put_roff((struct sl_bytes){line.base + sizeof begin - 1, line.len - (sizeof begin - 1) - (sizeof end - 1)});
    putchar('\n');
    return true;
}

static void put_man_keys(void)
{
    const char *prose = NULL;
    struct sl_bytes line;
    size_t keys = 0;
    for (const char *at = yaml, *next; *at != '\0'; at = next) {
        next = next_line(at, &line);
        struct sl_bytes key = key_of(line);
        if (key.base != NULL) {
            if (prose == NULL)
                give_up("the file tells nothing of a key", key.base);
            put_key(prose, key);
            keys++;
        }
        if (key.base != NULL || line.len == 0 || put_section(line))
            prose = NULL;
        else if (prose == NULL)
            prose = line.base;
    }
    if (keys != SL_OPTIONS)
        give_up("the file tells of more or fewer keys than there are", "sluice.yaml");
}

/* ---- the template ---- */

static void put_version(void)
{
    fputs(SLUICE_VERSION, stdout);
}

static const struct {
    const char *word;
    void (*put)(void);
    bool is_lines; /* it ends with a newline, and that of the template goes */
} makers[] = {
    {"version", put_version, false},          {"man-options", put_man_options, true},
    {"man-keys", put_man_keys, true},         {"bash-options", put_bash_options, false},
    {"bash-values", put_bash_values, true},   {"zsh-options", put_zsh_options, true},
    {"fish-options", put_fish_options, true},
};

/* Where the template goes on; NULL: it is only an @. */
static const char *put_word(const char *at)
{
    assert(*at == '@');
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        size_t len = strlen(makers[i].word);
        if (strncmp(at + 1, makers[i].word, len) != 0 || at[1 + len] != '@')
            continue;
        makers[i].put();
        at += len + 2;
        return makers[i].is_lines && *at == '\n' ? at + 1 : at;
    }
    return NULL;
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        give_up("needs", "TEMPLATE sluice.yaml");
    template = read_file(argv[1]);
    yaml = read_file(argv[2]);
    for (const char *at = template; *at != '\0';) {
        const char *behind = *at == '@' ? put_word(at) : NULL;
        if (behind == NULL)
            putchar(*at);
        at = behind != NULL ? behind : at + 1;
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
