#include "sluice/app/privileges.h"

#include "sluice/base/bytes.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct identity {
    char name[64];
    uid_t uid;
    gid_t gid;
    bool is_known; /* by name: it has groups of its own */
};

/* (uid_t)-1 means "leave it" to the kernel. */
static bool read_number(const char *text, unsigned *number_out)
{
    uint64_t number;
    if (!sl_bytes_to_u64(sl_bytes_of(text), &number) || number >= UINT_MAX)
        return false;
    *number_out = (unsigned)number;
    return true;
}

static sl_err find_group(const char *group, struct identity *who, char *words_out, size_t room)
{
    const struct group *found = getgrnam(group);
    if (found != NULL)
        who->gid = found->gr_gid;
    else if (!read_number(group, &who->gid)) {
        snprintf(words_out, room, "user: there is no group %s; name one of /etc/group, or a number", group);
        return SL_NOT_FOUND;
    }
    return SL_OK;
}

static sl_err find_user(const char *user, struct identity *who, char *words_out, size_t room)
{
    size_t len = strcspn(user, ":");
    snprintf(who->name, sizeof who->name, "%.*s", (int)len, user);
    const struct passwd *found = getpwnam(who->name);
    if (found != NULL) {
        who->uid = found->pw_uid;
        who->gid = found->pw_gid;
        who->is_known = true;
    } else if (!read_number(who->name, &who->uid)) {
        snprintf(words_out, room, "user: there is no user %s; name one of /etc/passwd, or a number", who->name);
        return SL_NOT_FOUND;
    } else if (user[len] == '\0') {
        snprintf(words_out, room, "user: nobody knows the group of %s; write %s:GROUP", who->name, who->name);
        return SL_NOT_FOUND;
    }
    return user[len] == ':' ? find_group(user + len + 1, who, words_out, room) : SL_OK;
}

static bool is_already(const struct identity *who)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;
    return getresuid(&real, &effective, &saved) == 0 && getresgid(&real_group, &effective_group, &saved_group) == 0 &&
           real == who->uid && effective == who->uid && saved == who->uid && real_group == who->gid &&
           effective_group == who->gid && saved_group == who->gid;
}

/* Groups first: who is not root any more cannot change them. What cannot be taken back is looked at once more. */
static bool change_to(const struct identity *who)
{
    int failed = who->is_known ? initgroups(who->name, who->gid) : setgroups(0, NULL);
    return failed == 0 && setresgid(who->gid, who->gid, who->gid) == 0 &&
           setresuid(who->uid, who->uid, who->uid) == 0 && is_already(who) && (who->uid == 0 || setuid(0) != 0);
}

sl_err sl_become(const char *user, char *words_out, size_t room)
{
    struct identity who = {0};
    words_out[0] = '\0';
    if (user[0] == '\0') {
        if (geteuid() == 0)
            snprintf(words_out, room, "root, whom no permission stops; name another with --user, or start it as one");
        return SL_OK;
    }
    sl_err err = find_user(user, &who, words_out, room);
    if (err != SL_OK)
        return err;
    if (!is_already(&who) && !change_to(&who)) {
        err = sl_err_of_errno(errno);
        snprintf(words_out, room, "user: cannot become %s: %s; only root can", user, strerror(errno));
        return err == SL_OK ? SL_BUG : err;
    }
    snprintf(words_out, room, "%s (uid %u, gid %u)", who.name, who.uid, who.gid);
    return SL_OK;
}

void sl_forbid_privileges(void)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* Linux has had it since 3.5 */
}
