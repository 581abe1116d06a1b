/* Why there is no seccomp filter of our own beside it: what an attacker in this process would use is what it needs
 * itself. The kernel's largest surface here is io_uring, whose operations pass by every filter: it sees
 * io_uring_enter(2) and not what is in the ring. What a filter could take away is decided by libraries that we do not
 * choose the calls of (libc's threads and allocator, OpenSSL, liburing), so that an update of one of them would kill a
 * running server, and with it uploads. Containers and systemd (SystemCallFilter=) put theirs around the whole, made by
 * who knows the machine; it is inherited, and kept, for no_new_privs is set whatever `confine` says. What
 * we take away is what a filter cannot: files (Landlock), and the way back to privileges.
 *
 * Landlock (Documentation/userspace-api/landlock.rst of Linux), by its system calls: libc has no functions for it. A
 * right that the running kernel does not know must not be named, so the set follows its version. */
#include "sluice/app/confine.h"

#include "sluice/app/privileges.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not in the headers of Linux 6.1. */
#define ACCESS_TRUNCATE  (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15)

#define VERSION_MIN       2 /* the first one that lets a file be linked into another folder */
#define VERSION_TRUNCATE  3
#define VERSION_IOCTL_DEV 5

#define ACCESS_OF_VERSION_MIN ((LANDLOCK_ACCESS_FS_REFER << 1) - 1)
#define ACCESS_STORE                                                                              \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER | ACCESS_TRUNCATE)

static uint64_t known_access(long version)
{
    uint64_t access = ACCESS_OF_VERSION_MIN;
    if (version >= VERSION_TRUNCATE)
        access |= ACCESS_TRUNCATE;
    if (version >= VERSION_IOCTL_DEV)
        access |= ACCESS_IOCTL_DEV;
    return access;
}

static uint64_t access_of(enum sl_place_use use)
{
    switch (use) {
    case SL_PLACE_STORE: return ACCESS_STORE;
    case SL_PLACE_READ: return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    case SL_PLACE_SOCKET: return LANDLOCK_ACCESS_FS_REMOVE_FILE;
    case SL_PLACE_LOG: return LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;
    }
    return 0;
}

static int add_place(int ruleset, const struct sl_place *place, uint64_t known)
{
    int fd = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    struct landlock_path_beneath_attr rule = {.allowed_access = access_of(place->use) & known, .parent_fd = fd};
    int failed = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 ? errno : 0;
    close(fd);
    return failed;
}

/* 0, or an errno. */
static int restrict_to(int ruleset, const struct sl_place *places, size_t count, uint64_t known)
{
    for (size_t i = 0; i < count; i++) {
        int failed = add_place(ruleset, &places[i], known);
        bool is_out_of_reach = failed == EACCES || failed == ENOENT; /* to our user, with or without a rule */
        if (failed != 0 && (places[i].use == SL_PLACE_STORE || !is_out_of_reach))
            return failed;
    }
    return syscall(SYS_landlock_restrict_self, ruleset, 0) != 0 ? errno : 0;
}

static sl_err refused(int sys_errno, char *words_out, size_t room)
{
    snprintf(words_out, room, "no: Landlock says %s", strerrordesc_np(sys_errno));
    return sl_err_of_errno(sys_errno);
}

long sl_confine_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < VERSION_MIN ? 0 : version;
}

sl_err sl_confine(const struct sl_place *places, size_t count, char *words_out, size_t room)
{
    sl_forbid_privileges(); /* Landlock asks for it */
    long version = sl_confine_version();
    if (version == 0) {
        snprintf(words_out, room,
                 "no: this kernel has no Landlock that lets files be linked (Linux 5.19 has), or it is forbidden");
        return SL_UNSUPPORTED;
    }
    uint64_t known = known_access(version);
    struct landlock_ruleset_attr attr = {.handled_access_fs = known};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (ruleset < 0)
        return refused(errno, words_out, room);
    int failed = restrict_to(ruleset, places, count, known);
    close(ruleset);
    if (failed != 0)
        return refused(failed, words_out, room);
    snprintf(words_out, room, "by Landlock to what is served%s",
             version >= VERSION_TRUNCATE ? "" : ", but for truncation");
    return SL_OK;
}

/* ---- what the program needs ---- */

#define PLACES_MAX (1 + 4 * SL_FILES_MAX + 2 * SL_LISTEN_MAX + 2)

struct places {
    struct sl_place at[PLACES_MAX];
    size_t count;
};

static void add(struct places *places, char *path, enum sl_place_use use)
{
    assert(places->count < PLACES_MAX);
    if (path != NULL)
        places->at[places->count++] = (struct sl_place){path, use};
}

/* The folder that a file is in; NULL: the path leads nowhere. Yours. */
static char *folder_of(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL)
        abort();
    char *slash = strrchr(copy, '/');
    if (slash == NULL)
        memcpy(copy, ".", 2); /* a name has at least one byte */
    else
        slash[slash == copy] = '\0';
    return copy;
}

static char *real_folder_of(const char *path)
{
    char real[PATH_MAX];
    return realpath(path, real) != NULL ? folder_of(real) : NULL;
}

/* Such a file is often a link into another folder, and is replaced by renaming. */
static void add_file(struct places *places, const char *path, enum sl_place_use use)
{
    add(places, folder_of(path), use);
    add(places, real_folder_of(path), use);
}

static void add_files(struct places *places, const struct sl_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        add_file(places, files->at[i], SL_PLACE_READ);
}

static void add_sockets(struct places *places, const struct sl_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (listeners->at[i].kind == SL_LISTEN_UNIX && listeners->at[i].inherited_fd == 0)
            add(places, folder_of(listeners->at[i].address.un.sun_path), SL_PLACE_SOCKET);
}

sl_err sl_confine_to_config(const struct sl_config *config, char *words_out, size_t room)
{
    struct places places = {0};
    add(&places, strdup(config->root), SL_PLACE_STORE);
    add_files(&places, &config->tls_certs);
    add_files(&places, &config->tls_keys);
    if (config->log_file[0] != '\0')
        add_file(&places, config->log_file, SL_PLACE_LOG);
    add_sockets(&places, &config->listeners);
    add_sockets(&places, &config->admin_listeners);
    sl_err err = sl_confine(places.at, places.count, words_out, room);
    for (size_t i = 0; i < places.count; i++)
        free((char *)places.at[i].path);
    return err;
}
