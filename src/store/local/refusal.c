/* Why a root cannot be written, in the words of who can change it: whose it is, who we are, and what to do. */
#include "sluice/store/examine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX     256
#define SHOWN_PATH_MAX 160 /* a longer one stays out of commands: cut short it would be another */

#define ELSEWHERE "choose another folder with --root DIR"

/* The innermost folder of a path that is there; "." and "/" always are. false: one above may not be entered. */
static bool find_there(char *path, struct stat *stat_out)
{
    while (stat(path, stat_out) != 0) {
        char *slash = strrchr(path, '/');
        if (errno == EACCES || strcmp(path, ".") == 0 || strcmp(path, "/") == 0)
            return false;
        if (slash == NULL)
            memcpy(path, ".", 2);
        else
            slash[slash == path] = '\0';
    }
    return true;
}

static bool is_in_group(gid_t group)
{
    gid_t groups[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return group == getegid();
}

/* By owner and mode alone: root, too, may be without the capabilities that stand above them. */
static bool may_write(const struct stat *stat)
{
    unsigned shift = stat->st_uid == geteuid() ? 6 : is_in_group(stat->st_gid) ? 3 : 0;
    return (stat->st_mode >> shift & 7) == 7;
}

static void show(const char *path, char shown[SHOWN_PATH_MAX + 1])
{
    size_t len = strlen(path);
    snprintf(shown, SHOWN_PATH_MAX + 1, "%.*s", SHOWN_PATH_MAX, len <= SHOWN_PATH_MAX ? path : "DIR");
}

static void explain_denied(const char *root, const char *where, struct sl_store_refusal *out)
{
    char there[PATH_MAX];
    unsigned user = geteuid(), group = getegid();
    struct stat stat, root_stat;
    snprintf(there, sizeof there, "%s", where);
    char shown[SHOWN_PATH_MAX + 1];
    show(root, shown);
    if (!find_there(there, &stat)) {
        snprintf(out->reason, sizeof out->reason, "this is user %u:%u, who may not enter a folder above it", user,
                 group);
        snprintf(out->cure, sizeof out->cure, "let them enter it (chmod +x), or " ELSEWHERE);
        return;
    }
    bool has_root = lstat(root, &root_stat) == 0;
    const char *whose = strcmp(there, where) == 0 ? "it" : "the folder above";
    if (may_write(&stat)) {
        snprintf(out->reason, sizeof out->reason, "user %u:%u may by its mode, but something else forbids it", user,
                 group);
        snprintf(out->cure, sizeof out->cure, "under SELinux mount a container's volume with :Z, or " ELSEWHERE);
        return;
    }
    snprintf(out->reason, sizeof out->reason, "%s is of user %u:%u (mode %04o), and this is user %u:%u", whose,
             stat.st_uid, stat.st_gid, stat.st_mode & 07777u, user, group);
    if (!has_root)
        snprintf(out->cure, sizeof out->cure, "install -d -o %u -g %u %s as root, or " ELSEWHERE, user, group, shown);
    else if (stat.st_uid == user)
        snprintf(out->cure, sizeof out->cure, "chmod -R u+rwX %s, or " ELSEWHERE, shown);
    else
        snprintf(out->cure, sizeof out->cure,
                 "chown -R %u:%u %s (of a container: what is mounted there), run as its user (of a container: "
                 "--user %u:%u), or " ELSEWHERE,
                 user, group, shown, stat.st_uid, stat.st_gid);
}

void sl_store_explain(int sys_errno, const char *root, const char *where, struct sl_store_refusal *out)
{
    char shown[SHOWN_PATH_MAX + 1];
    *out = (struct sl_store_refusal){.reason = ""};
    switch (sys_errno) {
    case EACCES:
    case EPERM: explain_denied(root, where, out); return;
    case EROFS:
        show(root, shown);
        snprintf(out->cure, sizeof out->cure,
                 "mount it for writing (a container with a read-only root wants a volume there: -v NAME:%s), "
                 "or " ELSEWHERE,
                 shown);
        return;
    case ENOSPC:
    case EDQUOT: snprintf(out->cure, sizeof out->cure, "make room, or " ELSEWHERE); return;
    default: snprintf(out->cure, sizeof out->cure, ELSEWHERE);
    }
}
