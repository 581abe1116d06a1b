/* What sl_load was asked to do. Read once at start, fixed afterwards. */
#ifndef SLUICE_LOADTEST_LOAD_OPTIONS_H
#define SLUICE_LOADTEST_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SL_LOAD_PATH_MAX   512
#define SL_LOAD_RUN_ID_MAX 32

enum sl_load_method {
    SL_LOAD_PUT,
    SL_LOAD_CHUNKED,
    SL_LOAD_MULTIPART,
    SL_LOAD_POST,
    SL_LOAD_GET,
    SL_LOAD_TUS,        /* POST that creates, then one PATCH to where its answer says */
    SL_LOAD_TUS_CREATE, /* creation-with-upload: all in the POST */
    SL_LOAD_TUS_ABANDON /* likewise the half of an upload whose rest never comes */
};
enum sl_load_dialect { SL_LOAD_H1, SL_LOAD_H1_TLS, SL_LOAD_H2C, SL_LOAD_H2_TLS };
enum sl_load_cut { SL_LOAD_CUT_NEVER, SL_LOAD_CUT_RESET, SL_LOAD_CUT_HALF_CLOSE };
enum sl_load_task { SL_LOAD_TASK_LOAD, SL_LOAD_TASK_PRINT_SHA256, SL_LOAD_TASK_HASH };

struct sl_load_options {
    enum sl_load_task task;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } target;
    socklen_t target_bytes;
    const char *host; /* as given: the Host field */
    enum sl_load_method method;
    enum sl_load_dialect dialect;
    unsigned streams; /* at once, on one connection of HTTP/2 */
    uint64_t size;    /* of one file */
    unsigned files;
    unsigned connections;
    uint64_t requests;
    uint64_t rate; /* bytes a second and connection, 0: as fast as it goes */
    const char *path;
    char run_id[SL_LOAD_RUN_ID_MAX + 1];
    uint64_t seed;
    const char *probe_path; /* NULL: no probe */
    unsigned probe_interval_ms;
    enum sl_load_cut cut;
    bool cut_at_random;
    uint64_t cut_after_bytes;
    bool expect;
    bool hold;
    unsigned duration_s;
};

/* "16Ki" is 16384, "16k" 16000. */
bool sl_load_size_read(const char *text, uint64_t *size_out);

/* Reads the command line. Strings stay those of argv. false: one line on stderr has said what is wrong. --help prints
 * to stdout and exits. */
bool sl_load_options_read(struct sl_load_options *options, int argc, char **argv);

#endif
