/* Listening sockets that the process was started with, by the protocol of systemd (sd_listen_fds(3)), which every
 * supervisor can speak: LISTEN_FDS of them, from descriptor 3 on, if LISTEN_PID says that they are meant for us, with a
 * name for each in LISTEN_FDNAMES. Who holds them goes on holding them while one sluice ends and another begins, so no
 * connection is refused meanwhile. They are only looked at here. */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD  3
#define UNIT_CURE "; start sluice by a socket unit, or unset LISTEN_PID for `listen` to count"

struct told {
    struct sl_bytes pid, fds, names; /* base NULL: not told */
};

static void take_variable(const char *variable, const char *name, struct sl_bytes *value_out)
{
    size_t len = strlen(name);
    if (strncmp(variable, name, len) == 0 && variable[len] == '=')
        *value_out = sl_bytes_of(variable + len + 1);
}

static struct told read_environment(char *const envp[])
{
    struct told told = {.pid = {NULL, 0}};
    for (; *envp != NULL; envp++) {
        take_variable(*envp, "LISTEN_PID", &told.pid);
        take_variable(*envp, "LISTEN_FDS", &told.fds);
        take_variable(*envp, "LISTEN_FDNAMES", &told.names);
    }
    return told;
}

static bool refuse_variable(struct sl_config_load *load, const char *name, struct sl_bytes value,
                            const char *complaint)
{
    sl_text_printf(&load->message, "sluice: %s: \"", name);
    sl_config_put_quoted(&load->message, value);
    sl_text_printf(&load->message, "\" %s" UNIT_CURE, complaint);
    return false;
}

static bool refuse_socket(struct sl_config_load *load, int fd, const char *complaint)
{
    sl_text_printf(&load->message, "sluice: LISTEN_FDS: descriptor %d %s", fd, complaint);
    return false;
}

/* "a:b::c", a name for each; without names nobody has one. false: there are more or fewer. */
static bool split_names(struct sl_bytes names, uint64_t count, struct sl_bytes *names_out)
{
    if (names.base == NULL) {
        memset(names_out, 0, count * sizeof *names_out);
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        const char *colon = memchr(names.base, ':', names.len);
        if ((colon == NULL) != (i == count - 1))
            return false;
        names_out[i] = (struct sl_bytes){names.base, colon != NULL ? (size_t)(colon - names.base) : names.len};
        if (colon != NULL)
            names = (struct sl_bytes){colon + 1, names.len - names_out[i].len - 1};
    }
    return true;
}

/* ---- one socket ---- */

static int ask_socket(int fd, int what)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, what, &value, &len) == 0 ? value : -1;
}

static bool check_socket(struct sl_config_load *load, int fd, enum sl_listen_kind *kind_out)
{
    int family = ask_socket(fd, SO_DOMAIN);
    if (family < 0)
        return refuse_socket(load, fd,
                             errno == EBADF ? "is not open; let LISTEN_FDS count only sockets that are passed on"
                                            : "is not a socket; pass on listening sockets alone, from 3 on");
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return refuse_socket(load, fd, "is of a family that is not served; pass on TCP or unix sockets");
    if (ask_socket(fd, SO_TYPE) != SOCK_STREAM)
        return refuse_socket(load, fd, "takes no connections; write ListenStream= in its unit");
    if (ask_socket(fd, SO_ACCEPTCONN) != 1)
        return refuse_socket(load, fd, "does not listen; write Accept=no in its unit, or call listen(2) on it");
    *kind_out = family == AF_INET ? SL_LISTEN_IPV4 : family == AF_INET6 ? SL_LISTEN_IPV6 : SL_LISTEN_UNIX;
    return true;
}

/* The names that mean something; any other is a socket of `listen`, in plain. */
static const struct {
    struct sl_bytes name;
    bool is_admin, is_tls;
} kinds[] = {{{"tls", 3}, false, true}, {{"admin", 5}, true, false}, {{"admin-tls", 9}, true, true}};

/* The first of its kind takes the place of the addresses that were configured. */
static struct sl_listeners *list_for(struct sl_config *config, bool is_admin)
{
    struct sl_listeners *listeners = is_admin ? &config->admin_listeners : &config->listeners;
    if (listeners->count > 0 && listeners->at[0].inherited_fd == 0)
        listeners->count = 0;
    return listeners;
}

static bool add_socket(struct sl_config_load *load, int fd, struct sl_bytes name)
{
    struct sl_listen listen = {.inherited_fd = fd};
    bool is_admin = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (sl_bytes_equal(name, kinds[i].name)) {
            is_admin = kinds[i].is_admin;
            listen.is_tls = kinds[i].is_tls;
        }
    listen.address_bytes = sizeof listen.address;
    if (!check_socket(load, fd, &listen.kind))
        return false;
    if (getsockname(fd, &listen.address.any, &listen.address_bytes) != 0)
        return refuse_socket(load, fd, "has no address; pass on another");
    snprintf(listen.text, sizeof listen.text, "inherited socket %d%s", fd,
             !listen.is_tls ? ""
             : is_admin     ? ", named admin-tls,"
                            : ", named tls,");
    struct sl_listeners *listeners = list_for(load->config, is_admin);
    listeners->at[listeners->count++] = listen;
    return true;
}

bool sl_config_take_inherited(struct sl_config_load *load, char *const envp[])
{
    struct told told = read_environment(envp);
    struct sl_bytes names[SL_LISTEN_MAX];
    uint64_t pid, count;
    if (told.pid.base == NULL || told.fds.base == NULL)
        return true;
    if (!sl_bytes_to_u64(told.pid, &pid))
        return refuse_variable(load, "LISTEN_PID", told.pid, "is not the id of a process");
    if (pid != (uint64_t)getpid())
        return true; /* meant for another, whose environment we were given */
    if (!sl_bytes_to_u64(told.fds, &count) || count < 1 || count > SL_LISTEN_MAX)
        return refuse_variable(load, "LISTEN_FDS", told.fds, "is not a number of sockets from 1 to 16");
    if (!split_names(told.names, count, names))
        return refuse_variable(load, "LISTEN_FDNAMES", told.names, "does not name each socket once, with : between");
    for (uint64_t i = 0; i < count; i++)
        if (!add_socket(load, FIRST_FD + (int)i, names[i]))
            return false;
    return true;
}

_Static_assert(SL_LISTEN_MAX == 16, "as the message says");
