/* Any bytes as a configuration. The input is cut at its NUL bytes: the first piece is the YAML file, those that begin
 * with SLUICE_ are the environment, the rest is the command line. Whatever they say, a load ends in a whole config or
 * in one clean line, and twice the same. Links sl_app. */
#include "sluice/app/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECES_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

/* The file in memory, made anew for each input. */
static const char *write_file(const char *text)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("config", MFD_CLOEXEC);
        require(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    require(ftruncate(fd, 0) == 0);
    require(pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
    return path;
}

static void check_message(const char *message)
{
    require(strncmp(message, "sluice: ", strlen("sluice: ")) == 0);
    require(strlen(message) < SL_CONFIG_MESSAGE_BYTES - 1);
    for (const char *c = message; *c != '\0'; c++)
        require((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_config(const struct sl_config *config)
{
    require(config->listeners.count >= 1 && config->listeners.count <= SL_LISTEN_MAX);
    for (size_t i = 0; i < config->listeners.count; i++)
        require(config->listeners.at[i].address_bytes <= sizeof config->listeners.at[i].address);
    require(config->root[0] != '\0' && config->name_template[0] != '\0');
    size_t base_len = strlen(config->base_path), url_len = strlen(config->public_url);
    require(base_len > 2 && config->base_path[0] == '/' && config->base_path[base_len - 1] == '/');
    require(url_len == 0 || (strncmp(config->public_url, "http", 4) == 0 && config->public_url[url_len - 1] != '/'));
    require(config->digests >> SL_HASH_ALGS == 0);
    for (const char *c = config->cors_origins; *c != '\0'; c++)
        require((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f);
    require(config->engine <= SL_DISK_THREADS && config->durability <= SL_DURABILITY_NONE);
    require(config->conflict <= SL_CONFLICT_OVERWRITE && config->direct <= SL_DIRECT_OFF);
    require(config->confine <= SL_CONFINE_OFF);
    require(config->log_format <= SL_LOG_JSON && config->interim <= SL_INTERIM_OFF);
    require(config->upload_expiry_s >= 1 && config->max_uploads >= 1);
    require(config->max_upload_bytes <= INT64_MAX && config->max_append_bytes <= INT64_MAX);
    require(config->max_size_bytes <= INT64_MAX && config->min_free_bytes <= INT64_MAX);
    require(config->buffer_memory_bytes >= 4 << 20);
    require(config->loops >= 1 && config->hash_threads >= 1 && config->max_connections >= 1);
    require(config->head_timeout_s >= 1 && config->body_timeout_s >= 1);
}

static enum sl_config_result load(int argc, char *argv[], char *envp[], char message[SL_CONFIG_MESSAGE_BYTES])
{
    struct sl_config config;
    static const struct sl_config zero;
    enum sl_config_result result = sl_config_load(argc, argv, envp, &config, message, SL_CONFIG_MESSAGE_BYTES);
    if (result == SL_CONFIG_OK)
        check_config(&config);
    else
        require(memcmp(&config, &zero, sizeof zero) == 0);
    if (result == SL_CONFIG_BAD)
        check_message(message);
    else
        require(message[0] == '\0');
    sl_config_dispose(&config);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *input = malloc(size + 1);
    require(input != NULL);
    memcpy(input, data, size);
    input[size] = '\0';

    char *argv[PIECES_MAX + 4] = {"sluice"}, *envp[PIECES_MAX + 1];
    int argc = 1, variables = 0;
    size_t at = strlen(input) + 1;
    for (int piece = 0; piece < PIECES_MAX && at <= size; piece++, at += strlen(input + at) + 1) {
        bool is_variable = strncmp(input + at, "SLUICE_", strlen("SLUICE_")) == 0;
        if (is_variable)
            envp[variables++] = input + at;
        else
            argv[argc++] = input + at;
    }
    envp[variables] = NULL;
    /* The last -c counts, so that no other file is ever read. */
    char option[64];
    snprintf(option, sizeof option, "--config=%s", write_file(input));
    argv[argc++] = option;
    argv[argc] = NULL;

    char first[SL_CONFIG_MESSAGE_BYTES], second[SL_CONFIG_MESSAGE_BYTES];
    require(load(argc, argv, envp, first) == load(argc, argv, envp, second));
    require(strcmp(first, second) == 0);
    free(input);
    return 0;
}
