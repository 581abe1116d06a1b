/* The program: reads its configuration, starts the workers, waits for a signal, drains. */
#include "sluice/app/budget.h"
#include "sluice/app/config.h"
#include "sluice/app/confine.h"
#include "sluice/app/doctor.h"
#include "sluice/app/health.h"
#include "sluice/app/list_uploads.h"
#include "sluice/app/notify.h"
#include "sluice/app/privileges.h"
#include "sluice/app/worker.h"
#include "sluice/base/clock.h"
#include "sluice/base/log.h"
#include "sluice/hash/hash.h"
#include "sluice/net/listener.h"
#include "sluice/net/peers.h"
#include "sluice/upload/uploads.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define ABORT_MS 10000u /* what is cut off may take so long to be given back, which is up to the disk */

#define LOOK_MS 1000 /* whether the one before us has gone */

#define DONE_EXPIRY_S 3600u /* a client that lost the last answer asks again by then */

enum { EXIT_UNWELL = 1, EXIT_STUCK = 1, EXIT_BAD_CONFIG = 2, EXIT_BAD_START = 3, EXIT_CUT_OFF = 4 };

/* Which one a path stood for; zero: none of ours. */
struct file {
    dev_t dev;
    ino_t ino;
};

struct program {
    struct sl_config config;
    struct sl_store_root *root;
    struct sl_hash_pool *hash_pool;
    struct sl_uploads *uploads;
    struct sl_peers *peers; /* NULL: an address may have as many connections as there are */
    struct sl_tls *tls;     /* NULL: no listener is TLS */
    struct sl_notify notify;
    int log_fd;
    bool is_counted; /* what is unfinished, and nobody else serves the root that could change it */
    struct sl_metrics *metrics;
    char confined[160];
    char user[384]; /* "": not worth a word */
    struct sl_worker **workers;
    unsigned worker_count;
    struct sl_budget budget;
    char urls[2 * SL_LISTEN_MAX][192]; /* of the listeners, then of the admin listeners */
    struct file sockets[2 * SL_LISTEN_MAX];
    char engine_reason[512];
};

static int say_and_fail(const char *message, int status)
{
    fprintf(stderr, "sluice: %s\n", message);
    return status;
}

/* ---- start ---- */

/* false: message_out tells why. *tls_out is yours. */
static bool load_tls(const struct sl_config *config, struct sl_tls **tls_out, char *message_out, size_t room)
{
    struct sl_tls_pair pairs[SL_FILES_MAX];
    for (size_t i = 0; i < config->tls_certs.count; i++)
        pairs[i] = (struct sl_tls_pair){.cert_file = config->tls_certs.at[i], .key_file = config->tls_keys.at[i]};
    return sl_tls_create(pairs, config->tls_certs.count, true, tls_out, message_out, room) == SL_OK;
}

/* "http://..." becomes "https://..."; there is room. */
static void tell_secure(char *url)
{
    if (strncmp(url, "http:", 5) == 0) {
        memmove(url + 5, url + 4, strlen(url + 4) + 1);
        url[4] = 's';
    }
}

static struct file file_at(const char *url)
{
    struct stat stat;
    bool is_there = strncmp(url, "unix:", 5) == 0 && lstat(url + 5, &stat) == 0;
    return is_there ? (struct file){stat.st_dev, stat.st_ino} : (struct file){0};
}

static sl_err open_listener(const struct sl_listen *listen, unsigned loops, int *fds_out, char *url_out, size_t room)
{
    if (listen->inherited_fd > 0)
        return sl_listener_adopt(listen->inherited_fd, loops, fds_out, url_out, room);
    return sl_listener_open(&listen->address.any, listen->address_bytes, loops, fds_out, url_out, room);
}

/* first: the place of the first of them among all. */
static bool open_listeners(struct program *program, const struct sl_listeners *listeners, size_t first,
                           struct sl_worker_options *options)
{
    unsigned loops = program->config.loops;
    int *fds = calloc(loops, sizeof *fds);
    if (fds == NULL)
        abort();
    for (size_t i = 0; i < listeners->count; i++) {
        const struct sl_listen *listen = &listeners->at[i];
        char *url = program->urls[first + i];
        sl_err err = open_listener(listen, loops, fds, url, sizeof *program->urls - 1);
        if (err != SL_OK) {
            say_and_fail(url, 0);
            url[0] = '\0';
            free(fds);
            return false;
        }
        if (listen->inherited_fd == 0)
            program->sockets[first + i] = file_at(url);
        if (listen->is_tls)
            tell_secure(url);
        for (unsigned loop = 0; loop < loops; loop++)
            options[loop].listen_fds[first + i] = fds[loop];
    }
    free(fds);
    return true;
}

static bool start_workers(struct program *program, struct sl_worker_options *options)
{
    unsigned loops = program->config.loops;
    unsigned each_max = program->config.max_connections_per_address;
    bool has_meta = sl_store_root_has_meta(program->root);
    if (each_max > 0)
        program->peers = sl_peers_create(each_max, program->budget.connections);
    program->metrics = sl_metrics_create(loops);
    program->workers = calloc(loops, sizeof *program->workers);
    if (program->workers == NULL)
        abort();
    for (unsigned i = 0; i < loops; i++) {
        options[i].config = &program->config;
        options[i].peers = program->peers;
        options[i].root = program->root;
        options[i].hash_pool = program->hash_pool;
        options[i].uploads = has_meta ? program->uploads : NULL;
        options[i].is_reaping = has_meta && i == 0;
        options[i].tls = program->tls;
        options[i].connections_max = program->budget.connections_max;
        options[i].files_max = program->budget.files_max;
        options[i].metrics = program->metrics;
        options[i].loop = i;
        sl_err err =
            sl_worker_start(&options[i], &program->workers[i], program->engine_reason, sizeof program->engine_reason);
        if (err != SL_OK) {
            say_and_fail(program->engine_reason, 0);
            return false;
        }
        program->worker_count++;
    }
    return true;
}

/* It is told how it went: who has no Landlock is to be served as well. */
static void confine(struct program *program)
{
    sl_forbid_privileges();
    if (program->config.confine == SL_CONFINE_OFF)
        snprintf(program->confined, sizeof program->confined, "no: as configured");
    else
        (void)!sl_confine_to_config(&program->config, program->confined, sizeof program->confined);
}

static struct sl_uploads_options uploads_options(const struct sl_config *config)
{
    unsigned done_s = config->upload_expiry_s < DONE_EXPIRY_S ? config->upload_expiry_s : DONE_EXPIRY_S;
    return (struct sl_uploads_options){.expiry_ns = config->upload_expiry_s * SL_SEC,
                                       .done_expiry_ns = done_s * SL_SEC,
                                       .count_max = config->max_uploads,
                                       .each_max = config->max_uploads_per_address,
                                       .bytes_max =
                                           config->max_upload_bytes == 0 ? UINT64_MAX : config->max_upload_bytes};
}

/* By whoever will open it again. false: message_out tells why. */
static bool open_log(struct program *program, char *message_out, size_t room)
{
    const char *path = program->config.log_file;
    program->log_fd = STDERR_FILENO;
    int failed = path[0] != '\0' ? sl_log_open(path, &program->log_fd) : 0;
    if (failed != 0)
        snprintf(message_out, room,
                 "log-file: cannot write %.256s: %s; name one in a folder that this user may write, or leave it out: "
                 "the log goes to stderr then",
                 path, strerror(failed));
    return failed == 0;
}

/* What a reload will not find: the files were read by root. */
static const char *find_unreadable(const struct sl_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (access(files->at[i], R_OK) != 0)
            return files->at[i];
    return NULL;
}

static sl_err become(struct program *program, char *message_out, size_t room)
{
    const struct sl_config *config = &program->config;
    sl_err err = sl_become(config->user, program->user, sizeof program->user);
    if (err != SL_OK) {
        snprintf(message_out, room, "%s", program->user);
        return err;
    }
    const char *unreadable = find_unreadable(&config->tls_keys);
    if (unreadable == NULL)
        unreadable = find_unreadable(&config->tls_certs);
    size_t len = strlen(program->user);
    if (unreadable != NULL && config->user[0] != '\0')
        snprintf(program->user + len, sizeof program->user - len,
                 ", who may not read %.200s: SIGHUP cannot reload certificates", unreadable);
    return SL_OK;
}

static int open_root(struct program *program)
{
    const struct sl_config *config = &program->config;
    struct sl_store_options store = {.root = config->root,
                                     .durability = config->durability,
                                     .min_free = config->min_free_bytes,
                                     .is_direct = config->direct == SL_DIRECT_AUTO};
    char message[1280];
    if (sl_store_root_open(&store, &program->root, message, sizeof message) != SL_OK)
        return say_and_fail(message, EXIT_BAD_START);
    struct sl_uploads_options uploads = uploads_options(config);
    program->uploads = sl_uploads_create(&uploads);
    program->is_counted = sl_store_root_clean(program->root); /* now, if nobody else serves it */
    if (sl_uploads_count_root(program->uploads, config->root) != SL_OK)
        return say_and_fail("root: its folder uploads cannot be read", EXIT_BAD_START);
    return 0;
}

/* Addresses and keys may take root. The root is opened by whoever is to write it, so that what is found out of it holds
 * for them. */
static int prepare(struct program *program, struct sl_worker_options *options)
{
    const struct sl_config *config = &program->config;
    char message[512];
    if (config->tls_certs.count > 0 && !load_tls(config, &program->tls, message, sizeof message))
        return say_and_fail(message, EXIT_BAD_START);
    sl_budget_make(config, sl_budget_raise_fds(), &program->budget);
    sl_budget_make_room_for_fds(&program->budget);
    sl_disk_look_at_kernel();
    if (!open_listeners(program, &config->listeners, 0, options) ||
        !open_listeners(program, &config->admin_listeners, config->listeners.count, options))
        return EXIT_BAD_START;
    if (become(program, message, sizeof message) != SL_OK || !open_log(program, message, sizeof message))
        return say_and_fail(message, EXIT_BAD_START);
    return open_root(program);
}

/* But not one that we were given, and none that another sluice has put in the place of ours since we drain. */
static void remove_sockets(const struct program *program)
{
    for (size_t i = 0; i < sizeof program->sockets / sizeof program->sockets[0]; i++) {
        struct file now = file_at(program->urls[i]);
        if (now.ino != 0 && now.ino == program->sockets[i].ino && now.dev == program->sockets[i].dev)
            (void)unlink(program->urls[i] + 5);
    }
}

static int start(struct program *program)
{
    const struct sl_config *config = &program->config;
    struct sl_worker_options *options = calloc(config->loops, sizeof *options);
    if (options == NULL)
        abort();
    int status = prepare(program, options);
    if (status == 0) {
        confine(program);                                               /* before any thread, so that all are */
        program->hash_pool = sl_hash_pool_create(config->hash_threads); /* senders may want digests where we do not */
        status = start_workers(program, options) ? 0 : EXIT_BAD_START;
    }
    if (status != 0)
        remove_sockets(program);
    free(options);
    return status;
}

/* Only where it is worth a word. */
static void say_fds(const struct program *program)
{
    char words[320];
    if (sl_budget_has_fds(&program->budget))
        return;
    sl_budget_put_fds(&program->budget, &program->config, words, sizeof words);
    printf("  %-11s %s\n", "descriptors", words);
}

static void say_what_to_try(const struct program *program)
{
    const char *url = program->urls[0];
    bool is_tls = program->config.listeners.at[0].is_tls;
    if (strncmp(url, "unix:@", 6) == 0)
        printf("  %-11s curl --abstract-unix-socket %s -T FILE %s://localhost/\n", "try", url + 6,
               is_tls ? "https" : "http");
    else if (strncmp(url, "unix:", 5) == 0)
        printf("  %-11s curl --unix-socket %s -T FILE %s://localhost/\n", "try", url + 5, is_tls ? "https" : "http");
    else
        printf("  %-11s curl -T FILE %s/\n", "try", url);
}

static void say_listeners(const char *what, const struct sl_listeners *listeners, const char (*urls)[192])
{
    for (size_t i = 0; i < listeners->count; i++)
        printf("  %-11s %s%s\n", i == 0 ? what : "", urls[i],
               listeners->at[i].is_tls && strncmp(urls[i], "unix:", 5) == 0 ? " (TLS)" : "");
}

static void say_started(const struct program *program)
{
    static const char *const durability[] = {"full: a 2xx survives power loss",
                                             "data: a 2xx's bytes survive power loss",
                                             "none: a 2xx survives a crash of sluice, not of the machine"};
    const struct sl_config *config = &program->config;
    char root[PATH_MAX];
    printf("sluice %s\n", SLUICE_VERSION);
    say_listeners("listening", &config->listeners, program->urls);
    if (config->listeners.at[0].inherited_fd > 0)
        printf("  %-11s %zu of whoever started it (LISTEN_FDS), in the place of `listen`\n", "sockets",
               config->listeners.count);
    say_listeners("admin", &config->admin_listeners, &program->urls[config->listeners.count]);
    printf("  %-11s %s (%s)\n", "root", realpath(config->root, root) != NULL ? root : config->root,
           sl_store_root_summary(program->root));
    if (!sl_store_root_has_meta(program->root))
        printf("  %-11s %s\n", "metadata",
               "none: this file system keeps no user attributes; types, names, digests and fields are forgotten,\n"
               "              and uploads cannot be resumed");
    printf("  %-11s %s\n", "engine", program->engine_reason);
    printf("  %-11s %s\n", "durability", durability[config->durability]);
    printf("  %-11s %s\n", "confined", program->confined);
    if (config->log_file[0] != '\0')
        printf("  %-11s %s\n", "log", config->log_file);
    if (program->user[0] != '\0')
        printf("  %-11s %s\n", "user", program->user);
    say_fds(program);
    say_what_to_try(program);
    fflush(stdout);
}

/* ---- the other commands ---- */

static int list_uploads(struct sl_config *config)
{
    struct sl_uploads_options options = uploads_options(config);
    char message[256];
    sl_err err = sl_list_uploads(config->root, &options, config->is_json, stdout);
    if (err != SL_OK)
        snprintf(message, sizeof message,
                 "root: cannot list %.128s/uploads (%s); name the folder that sluice serves with --root DIR",
                 config->root, sl_err_row(err)->title);
    sl_config_dispose(config);
    return err == SL_OK ? 0 : say_and_fail(message, EXIT_BAD_START);
}

static int run_command(struct sl_config *config)
{
    if (config->command == SL_COMMAND_UPLOADS)
        return list_uploads(config);
    signal(SIGPIPE, SIG_IGN);
    bool is_well =
        config->command == SL_COMMAND_DOCTOR ? sl_doctor_run(config, stdout) : sl_health_check(config, stdout);
    sl_config_dispose(config);
    return is_well ? 0 : EXIT_UNWELL;
}

/* ---- signals and the end ---- */

static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of one upload, not the end of the program */
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Who asks a second time does not want to wait. */
static void end_on_next_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void reopen_log(const struct program *program)
{
    const char *path = program->config.log_file;
    int fd, failed = sl_log_open(path, &fd);
    if (failed != 0) {
        sl_log(SL_LOG_ERROR, "log-file: %.256s cannot be opened again (%s); lines go on to where they went", path,
               strerror(failed));
        return;
    }
    sl_log_move(fd);
    sl_log(SL_LOG_INFO, "log opened anew");
}

/* What serves now goes on serving if the new files are not good. */
static void reload_tls(struct program *program)
{
    char message[512];
    struct sl_tls *tls;
    if (!load_tls(&program->config, &tls, message, sizeof message)) {
        sl_log(SL_LOG_ERROR, "certificates not reloaded, the old ones stay: %s%s%s", message,
               program->config.user[0] != '\0' ? "; they are read as user " : "", program->config.user);
        return;
    }
    sl_tls_release(program->tls);
    program->tls = tls;
    for (unsigned i = 0; i < program->worker_count; i++)
        sl_worker_set_tls(program->workers[i], tls);
    sl_log(SL_LOG_INFO, "certificates reloaded");
}

/* SIGHUP */
static void reload(struct program *program)
{
    bool has_log = program->config.log_file[0] != '\0';
    if (has_log)
        reopen_log(program);
    if (program->tls != NULL)
        reload_tls(program);
    if (!has_log && program->tls == NULL)
        sl_log(SL_LOG_INFO, "SIGHUP: there is no log file to open anew, and there are no certificates to reload");
}

/* true: nothing is left to do of what a restart leaves that overlaps: the one before has gone, its temporary files are
 * removed, and the uploads that it went on with are counted as they are now. */
static bool has_root_alone(struct program *program)
{
    if (program->is_counted)
        return true;
    if (!sl_store_root_clean(program->root))
        return false;
    program->is_counted = sl_uploads_recount_root(program->uploads, program->config.root) != SL_BUSY;
    return program->is_counted;
}

static void read_signal(struct program *program, int fd, struct signalfd_siginfo *info_out)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    do
        while (!has_root_alone(program) && poll(&poll_fd, 1, LOOK_MS) <= 0)
            ;
    while (read(fd, info_out, sizeof *info_out) != (ssize_t)sizeof *info_out);
}

/* Until one that ends the program. */
static void wait_for_signal(struct program *program, int fd)
{
    struct signalfd_siginfo info;
    for (;;) {
        read_signal(program, fd, &info);
        if (info.ssi_signo != SIGHUP)
            break;
        sl_notify_reloading(&program->notify);
        reload(program);
        sl_notify_ready(&program->notify);
    }
    sl_log(SL_LOG_INFO, "stopping on signal %u: finishing what is in flight, for at most %u s", info.ssi_signo,
           program->config.shutdown_timeout_s);
    sl_notify_stopping(&program->notify);
}

/* Waits for all of them, one deadline for them together. How many did not make it? */
static unsigned wait_for_all(struct program *program, bool (*wait)(struct sl_worker *worker, unsigned wait_ms),
                             unsigned ms)
{
    uint64_t end_ns = sl_clock_now_ns() + ms * SL_MS;
    unsigned missing = 0;
    for (unsigned i = 0; i < program->worker_count; i++) {
        uint64_t now_ns = sl_clock_now_ns();
        unsigned left_ms = now_ns < end_ns ? (unsigned)((end_ns - now_ns) / SL_MS) : 0;
        missing += !wait(program->workers[i], left_ms);
    }
    return missing;
}

/* The exit code. EXIT_STUCK: something did not come home, and is left to the kernel. */
static int stop_workers(struct program *program)
{
    for (unsigned i = 0; i < program->worker_count; i++)
        sl_worker_drain(program->workers[i]);
    int status = 0;
    if (wait_for_all(program, sl_worker_wait_drained, program->config.shutdown_timeout_s * 1000) > 0) {
        sl_log(SL_LOG_WARN, "aborting the uploads that are still in flight");
        status = EXIT_CUT_OFF;
    }
    for (unsigned i = 0; i < program->worker_count; i++)
        sl_worker_end(program->workers[i]);
    if (wait_for_all(program, sl_worker_join, ABORT_MS) > 0) {
        sl_log(SL_LOG_ERROR, "the disk does not answer; leaving all the same");
        status = EXIT_STUCK;
    }
    return status;
}

/* Where to tell how it goes. What was meant for this process alone is not for anybody that it might start. */
static void take_notify_socket(struct program *program)
{
    const char *value = getenv("NOTIFY_SOCKET");
    if (!sl_notify_init(&program->notify, value))
        sl_log(SL_LOG_WARN, "NOTIFY_SOCKET: %s is neither /PATH nor @NAME; nobody is told how it goes", value);
    static const char *const ours[] = {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)unsetenv(ours[i]);
}

static void dispose(struct program *program)
{
    sl_hash_pool_destroy(program->hash_pool);
    for (unsigned i = 0; i < program->worker_count; i++)
        sl_worker_destroy(program->workers[i]);
    free(program->workers);
    sl_uploads_destroy(program->uploads);
    sl_metrics_destroy(program->metrics);
    sl_peers_destroy(program->peers);
    sl_tls_release(program->tls);
    sl_store_root_close(program->root);
    sl_config_dispose(&program->config);
}

int main(int argc, char *argv[], char *envp[])
{
    static struct program program;
    char message[SL_CONFIG_MESSAGE_BYTES];
    switch (sl_config_load(argc, argv, envp, &program.config, message, sizeof message)) {
    case SL_CONFIG_HELP: sl_config_help(stdout); return 0;
    case SL_CONFIG_VERSION: printf("sluice %s\n", SLUICE_VERSION); return 0;
    case SL_CONFIG_BAD: fprintf(stderr, "%s\n", message); return EXIT_BAD_CONFIG;
    case SL_CONFIG_OK: break;
    }
    sl_config_fit_loops(&program.config);
    if (program.config.command != SL_COMMAND_SERVE)
        return run_command(&program.config);
    int signal_fd = block_signals(); /* before any thread, so that all inherit the mask */
    int status = start(&program);
    if (status != 0)
        return status;
    sl_log_start(program.config.log_format, program.log_fd);
    take_notify_socket(&program);
    say_started(&program);
    sl_notify_ready(&program.notify);
    wait_for_signal(&program, signal_fd);
    end_on_next_signal();
    status = stop_workers(&program);
    remove_sockets(&program);
    sl_log_stop();
    if (program.log_fd != STDERR_FILENO)
        close(program.log_fd);
    if (status != EXIT_STUCK)
        dispose(&program);
    close(signal_fd);
    return status;
}
