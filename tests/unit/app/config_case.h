/* One load of the configuration from words, environment and a file in memory. */
#ifndef SLUICE_TESTS_CONFIG_CASE_H
#define SLUICE_TESTS_CONFIG_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/options.h"
#include "sluice/app/config.h"

#define WORDS_MAX 32

struct config_case {
    struct sl_config config;
    char message[SL_CONFIG_MESSAGE_BYTES];
    char path[32]; /* of the file in memory */
};

/* A file that holds `text`; its path is in c->path until the fd is closed. */
static inline int config_case_file(struct config_case *c, const char *text, size_t len)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    snprintf(c->path, sizeof c->path, "/proc/self/fd/%d", fd);
    return fd;
}

/* words: without argv[0], ended by NULL; environment: "NAME=VALUE", ended by NULL; yaml: NULL for no file. */
static inline enum sl_config_result config_case_load(struct config_case *c, const char *const *words,
                                                     const char *const *environment, const char *yaml)
{
    static const char *const nothing[] = {NULL};
    const char *argv[WORDS_MAX + 1] = {"sluice"};
    char *const *envp = (char *const *)(environment != NULL ? environment : nothing);
    int argc = 1, fd = -1;
    for (; words != NULL && *words != NULL; words++) {
        assert_true(argc < WORDS_MAX - 2);
        argv[argc++] = *words;
    }
    memset(c, 0, sizeof *c);
    if (yaml != NULL) {
        fd = config_case_file(c, yaml, strlen(yaml));
        argv[argc++] = "-c";
        argv[argc++] = c->path;
    }
    enum sl_config_result result =
        sl_config_load(argc, (char *const *)argv, envp, &c->config, c->message, sizeof c->message);
    if (fd >= 0)
        close(fd);
    /* The promises of every outcome. */
    static const struct sl_config zero;
    if (result != SL_CONFIG_OK)
        assert_memory_equal(&c->config, &zero, sizeof zero);
    assert_int_equal(result == SL_CONFIG_BAD, c->message[0] != '\0');
    assert_null(strchr(c->message, '\n'));
    return result;
}

/* The member of `option` as one text, to compare. */
static inline void config_case_show(const struct sl_config *config, const struct sl_option *option, char *out,
                                    size_t room)
{
    const void *member = (const char *)config + option->offset;
    struct sl_text text;
    sl_text_init(&text, out, room);
    switch (option->kind) {
    case SL_KIND_LISTEN:
        for (size_t i = 0; i < ((const struct sl_listeners *)member)->count; i++)
            sl_text_printf(&text, "%s%s", i > 0 ? "," : "", ((const struct sl_listeners *)member)->at[i].text);
        break;
    case SL_KIND_FILES:
        for (size_t i = 0; i < ((const struct sl_files *)member)->count; i++)
            sl_text_printf(&text, "%s%s", i > 0 ? "," : "", ((const struct sl_files *)member)->at[i]);
        break;
    case SL_KIND_NETWORKS: {
        const struct sl_trusted *trusted = member;
        for (size_t i = 0; i < trusted->count; i++) {
            char address[SL_ADDRESS_TEXT_BYTES];
            sl_address_write(&trusted->at[i].address, address);
            sl_text_printf(&text, "%s%s/%u", i > 0 ? " " : "", address, trusted->at[i].bits);
        }
        sl_text_printf(&text, "%s", trusted->has_unix ? "+unix" : "");
        break;
    }
    case SL_KIND_FILE:
    case SL_KIND_DIRECTORY:
    case SL_KIND_USER:
    case SL_KIND_URL:
    case SL_KIND_BASE_PATH:
    case SL_KIND_ORIGINS:
    case SL_KIND_TEMPLATE: sl_text_printf(&text, "%s", *(char *const *)member); break;
    case SL_KIND_SIZE: sl_text_printf(&text, "%llu", (unsigned long long)*(const uint64_t *)member); break;
    case SL_KIND_DIGESTS:
    case SL_KIND_WORD:
    case SL_KIND_NUMBER:
    case SL_KIND_CORES: sl_text_printf(&text, "%u", *(const unsigned *)member); break;
    }
    assert_false(text.full);
}

static inline void config_case_assert_same(const struct sl_config *a, const struct sl_config *b)
{
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        char of_a[1024], of_b[1024];
        config_case_show(a, &sl_options[i], of_a, sizeof of_a);
        config_case_show(b, &sl_options[i], of_b, sizeof of_b);
        assert_string_equal(of_a, of_b);
    }
}

static inline void config_case_assert_mentions(const char *text, const char *needle)
{
    if (strstr(text, needle) == NULL)
        fail_msg("\"%s\" does not mention \"%s\"", text, needle);
}

#endif
