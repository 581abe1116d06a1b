#include "doctor.h"

#include "sluice/app/privileges.h"
#include "sluice/base/log.h"
#include "sluice/net/tls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void look_at_certificates(struct sl_doctor *doctor)
{
    const struct sl_config *config = doctor->config;
    struct sl_tls_pair pairs[SL_FILES_MAX];
    struct sl_tls *tls;
    char message[512];
    if (config->tls_certs.count == 0)
        return;
    for (size_t i = 0; i < config->tls_certs.count; i++)
        pairs[i] = (struct sl_tls_pair){.cert_file = config->tls_certs.at[i], .key_file = config->tls_keys.at[i]};
    if (sl_tls_create(pairs, config->tls_certs.count, true, &tls, message, sizeof message) == SL_OK)
        sl_doctor_say(doctor, SL_LEVEL_OK, "certificates", NULL, "%zu", config->tls_certs.count);
    else
        sl_doctor_say(doctor, SL_LEVEL_PROBLEM, "certificates", "name files that this user may read", "%s", message);
    sl_tls_release(tls);
}

/* Bound and let go. A unix socket is only looked for when it is opened. */
static int try_address(const struct sl_listen *listen)
{
    int fd = socket(listen->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int failed = bind(fd, &listen->address.any, listen->address_bytes) == 0 ? 0 : errno;
    close(fd);
    return failed;
}

static void look_at_addresses(struct sl_doctor *doctor, const char *what, const struct sl_listeners *listeners)
{
    char cure[64];
    snprintf(cure, sizeof cure, "name an address of this machine with --%s", what);
    for (size_t i = 0; i < listeners->count; i++) {
        const struct sl_listen *listen = &listeners->at[i];
        int failed = listen->kind == SL_LISTEN_UNIX ? 0 : try_address(listen);
        if (failed == 0 || (failed == EAFNOSUPPORT && listen->kind == SL_LISTEN_ALL))
            sl_doctor_say(doctor, SL_LEVEL_OK, what, NULL, "%s", listen->text);
        else if (failed == EADDRINUSE)
            sl_doctor_say(doctor, SL_LEVEL_NOTE, what, "none, if that is the sluice you have running",
                          "%s is taken: somebody listens there", listen->text);
        else
            sl_doctor_say(doctor, SL_LEVEL_PROBLEM, what,
                          failed == EACCES ? "take a port from 1024 on, or give it CAP_NET_BIND_SERVICE" : cure,
                          "%s: %s", listen->text, strerrordesc_np(failed));
    }
}

/* From here on what is found holds for whom it will be. */
static void become(struct sl_doctor *doctor)
{
    char words[256];
    if (sl_become(doctor->config->user, words, sizeof words) != SL_OK)
        sl_doctor_say_reason(doctor, SL_LEVEL_PROBLEM, "user", words);
}

/* Opened as it would be, so one that is not there is made; that one is taken away again. */
static void look_at_log(struct sl_doctor *doctor)
{
    const char *path = doctor->config->log_file;
    if (path[0] == '\0')
        return;
    bool is_there = access(path, F_OK) == 0;
    int fd, failed = sl_log_open(path, &fd);
    if (failed != 0) {
        sl_doctor_say(doctor, SL_LEVEL_PROBLEM, "log-file",
                      "name a file in a folder that this user may write, or none: the log goes to stderr then",
                      "%s cannot be written: %s", path, strerrordesc_np(failed));
        return;
    }
    close(fd);
    if (!is_there)
        (void)unlink(path);
    sl_doctor_say(doctor, SL_LEVEL_OK, "log-file", NULL, "%s%s", path, is_there ? "" : ", which will be made");
}

bool sl_doctor_run(const struct sl_config *config, FILE *out)
{
    struct sl_doctor doctor = {.config = config, .out = out};
    sl_budget_make(config, sl_budget_raise_fds(), &doctor.budget);
    sl_doctor_begin(&doctor);
    look_at_addresses(&doctor, "listen", &config->listeners);
    look_at_addresses(&doctor, "admin-listen", &config->admin_listeners);
    look_at_certificates(&doctor);
    become(&doctor);
    sl_doctor_look_at_machine(&doctor);
    sl_doctor_look_at_limits(&doctor);
    look_at_log(&doctor);
    sl_doctor_look_at_root(&doctor);
    if (!config->is_quick)
        sl_doctor_try_speed(&doctor);
    sl_doctor_end(&doctor);
    sl_disk_destroy(doctor.disk);
    sl_slab_pool_destroy(doctor.slabs);
    return doctor.problems == 0;
}
