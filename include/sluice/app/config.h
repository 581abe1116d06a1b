/* The configuration of the program: what was asked for, checked and typed. Read once at start, by one thread; nobody
 * changes it afterwards. src/app/options.def is the table behind options, environment, YAML keys and help.
 * It opens no socket and no directory, and only looks at a socket that it inherits: whether the root can be written or
 * an address bound is found out later. */
#ifndef SLUICE_APP_CONFIG_H
#define SLUICE_APP_CONFIG_H

#include "sluice/base/err.h"
#include "sluice/base/log.h"
#include "sluice/decode/forwarded.h"
#include "sluice/disk/disk.h"
#include "sluice/hash/hash.h"
#include "sluice/net/tls.h"
#include "sluice/store/store.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SL_LISTEN_MAX        16
#define SL_LISTEN_TEXT_BYTES 128

/* ALL: every address of the machine. `in6` then holds [::] for a socket of both families; where there is no IPv6,
 * bind 0.0.0.0 and the same port. */
enum sl_listen_kind { SL_LISTEN_ALL, SL_LISTEN_IPV4, SL_LISTEN_IPV6, SL_LISTEN_UNIX };

struct sl_listen {
    enum sl_listen_kind kind;
    bool is_tls;
    int inherited_fd; /* it listens already, and its address is here only to be told; 0: it is to be opened */
    socklen_t address_bytes;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } address;
    char text[SL_LISTEN_TEXT_BYTES]; /* as it was written; of an inherited one its number and name */
};

struct sl_listeners {
    struct sl_listen at[SL_LISTEN_MAX];
    size_t count; /* of `listeners` at least 1 after a load */
};

#define SL_FILES_MAX SL_TLS_PAIRS_MAX

struct sl_files {
    char *at[SL_FILES_MAX];
    size_t count;
};

enum sl_direct { SL_DIRECT_AUTO, SL_DIRECT_OFF };
enum sl_confine_choice { SL_CONFINE_AUTO, SL_CONFINE_OFF };
enum sl_interim { SL_INTERIM_AUTO, SL_INTERIM_ON, SL_INTERIM_OFF };

/* What the program is to do: the first word, if it is none of the options. */
enum sl_command { SL_COMMAND_SERVE, SL_COMMAND_UPLOADS, SL_COMMAND_DOCTOR, SL_COMMAND_HEALTH };

/* The strings belong to the config. */
struct sl_config {
    enum sl_command command;
    bool is_json;     /* --json: what UPLOADS and DOCTOR print is for programs */
    bool is_quick;    /* --quick: DOCTOR does not try how fast it is */
    char *health_url; /* of HEALTH: what to ask; "": the first address of `listeners` */
    struct sl_listeners listeners;
    struct sl_listeners admin_listeners; /* none: what is for the operator is served by all */
    struct sl_files tls_certs, tls_keys; /* as many of both; at least one if a listener is_tls, else none */
    char *root;
    struct sl_trusted trusted_proxies;
    char *public_url;   /* without a '/' at the end; "": made from the request's Host */
    char *base_path;    /* with '/' at both ends */
    char *cors_origins; /* as browsers write them, parted by spaces; "*": all; "": none */
    enum sl_disk_choice engine;
    enum sl_durability durability;
    sl_hash_set digests;
    enum sl_conflict conflict;
    char *name_template;
    uint64_t max_size_bytes; /* 0: no limit */
    uint64_t min_free_bytes;
    unsigned upload_expiry_s;
    unsigned max_uploads;
    unsigned max_uploads_per_address; /* of them; 0: no limit of its own */
    uint64_t max_upload_bytes;        /* 0: no limit */
    uint64_t max_append_bytes;        /* likewise */
    enum sl_interim interim;
    enum sl_direct direct;
    enum sl_confine_choice confine;
    char *user; /* whom to become: "NAME" or "NAME:GROUP", names or numbers; "": nobody else */
    unsigned loops;
    unsigned hash_threads;
    uint64_t buffer_memory_bytes;
    enum sl_log_format log_format;
    char *log_file; /* "": stderr */
    unsigned shutdown_timeout_s;
    unsigned head_timeout_s;
    unsigned body_timeout_s;
    unsigned idle_timeout_s;
    unsigned write_timeout_s;
    uint64_t min_rate_bytes_s; /* 0: off */
    unsigned max_connections;
    unsigned max_connections_per_address; /* 0: no limit of its own */
};

enum sl_config_result {
    SL_CONFIG_OK = 0,
    SL_CONFIG_HELP,    /* --help was asked for */
    SL_CONFIG_VERSION, /* --version was asked for */
    SL_CONFIG_BAD      /* message_out says what is wrong */
};

#define SL_CONFIG_MESSAGE_BYTES 2048

/* Reads options, SLUICE_* environment and the YAML file they name; what comes first in this list wins, the default
 * comes last. Prints nothing. Aborts when there is no memory.
 * To serve, sockets that the process was started with (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: sd_listen_fds(3)) take
 * the place of the addresses to listen on, wherever these come from; they stay the caller's.
 * argv, envp (NULL-terminated): lent until return. message_out: `room` > 0 bytes of the caller's,
 * SL_CONFIG_MESSAGE_BYTES hold every message; one line without a newline, "" unless the result is SL_CONFIG_BAD.
 * SL_CONFIG_OK: *config_out is yours. Else: it is all zero and there is nothing to dispose. */
SL_MUST_CHECK enum sl_config_result sl_config_load(int argc, char *const argv[], char *const envp[],
                                                   struct sl_config *config_out, char *message_out, size_t room);

/* As many loops as buffer_memory_bytes is enough for, one a core of a large machine included. */
void sl_config_fit_loops(struct sl_config *config);

/* Gives the strings back. All-zero, NULL and disposed are fine. */
void sl_config_dispose(struct sl_config *config);

/* Writes what --help prints. */
void sl_config_help(FILE *out);

#endif
