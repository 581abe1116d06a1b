/* A look at a place that may be served or not, beside whoever serves it: by blocking calls, with files that are gone
 * when it is over. Should it be killed in between, a name of its own stays, "tmp-...", of a file of 4 KiB at most. */
#include "sluice/store/examine.h"

#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TRIED_BYTES 4096 /* a block of every file system */

static int open_folder(int dir_fd, const char *name)
{
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The folder of a path; "." and "/" are their own. */
static void cut_leaf(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(path, 2, ".");
    else
        slash[slash == path] = '\0';
}

/* The innermost folder that is there. -1 with errno: it may not be opened. */
static int find_place(const char *root, struct sl_store_facts *facts)
{
    char path[PATH_MAX];
    snprintf(facts->where, sizeof facts->where, "%s", root);
    snprintf(path, sizeof path, "%.*s/uploads", (int)sizeof path - 16, root);
    int fd = open_folder(AT_FDCWD, root);
    facts->has_root = fd >= 0;
    while (fd < 0 && errno == ENOENT && strcmp(facts->where, ".") != 0 && strcmp(facts->where, "/") != 0) {
        cut_leaf(facts->where);
        fd = open_folder(AT_FDCWD, facts->where);
    }
    int uploads_fd = facts->has_root ? open_folder(fd, "uploads") : -1;
    if (uploads_fd < 0 && (!facts->has_root || errno == ENOENT))
        return fd;
    int sys_errno = errno;
    close(fd);
    if (uploads_fd >= 0 && strlen(path) < sizeof facts->where)
        memcpy(facts->where, path, strlen(path) + 1);
    errno = sys_errno;
    return uploads_fd;
}

static void look_at_room(int fd, struct sl_store_facts *facts)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) != 0)
        return;
    facts->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    facts->bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    facts->free_inodes = fs.f_favail;
    facts->inodes = fs.f_files;
}

static void fail(struct sl_store_facts *facts, int sys_errno)
{
    facts->err = sl_err_of_errno(sys_errno);
    facts->sys_errno = sys_errno;
}

struct names {
    char plain[48], moved[48];
};

static void make_names(struct names *names)
{
    uint64_t now_ns = sl_clock_wall_ns();
    snprintf(names->plain, sizeof names->plain, SL_LOCAL_TEMP_PREFIX "look-%" PRIx64, now_ns);
    snprintf(names->moved, sizeof names->moved, SL_LOCAL_TEMP_PREFIX "look-%" PRIx64 "-moved", now_ns);
}

/* A file under names->plain. -1 with errno: not even that. */
static int make_file(int dir_fd, const struct names *names, struct sl_store_facts *facts)
{
    int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    facts->has_unnamed = sl_local_links_unnamed(fd, dir_fd, names->plain);
    if (facts->has_unnamed)
        return fd;
    if (fd >= 0)
        close(fd);
    return openat(dir_fd, names->plain, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static bool can_reflink(int dir_fd, int from_fd)
{
    int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool can = fd >= 0 && ioctl(fd, FICLONE, from_fd) == 0;
    if (fd >= 0)
        close(fd);
    return can;
}

static void try_file(int dir_fd, int fd, const struct names *names, struct sl_store_facts *facts)
{
    char bytes[TRIED_BYTES];
    memset(bytes, 'x', sizeof bytes);
    facts->has_allocate = fallocate(fd, 0, 0, sizeof bytes) == 0;
    ssize_t n = pwrite(fd, bytes, sizeof bytes, 0);
    if (n != (ssize_t)sizeof bytes)
        fail(facts, n < 0 ? errno : ENOSPC);
    facts->has_meta = sl_local_keeps_attributes(fd);
    facts->has_direct = fcntl(fd, F_SETFL, O_DIRECT) == 0;
    facts->has_reflink = can_reflink(dir_fd, fd);
    facts->has_noreplace = renameat2(dir_fd, names->plain, dir_fd, names->moved, RENAME_NOREPLACE) == 0;
}

/* Where there is a folder for files, it is to be written, too. */
static void look_at_files(const char *root, struct sl_store_facts *facts)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/files", (int)sizeof path - 16, root);
    if (facts->err != SL_OK || faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0 || errno == ENOENT)
        return;
    fail(facts, errno);
    if (strlen(path) < sizeof facts->where)
        memcpy(facts->where, path, strlen(path) + 1);
}

void sl_store_examine(const char *root, struct sl_store_facts *facts_out)
{
    struct names names;
    *facts_out = (struct sl_store_facts){.file_system = ""};
    int dir_fd = find_place(root, facts_out);
    if (dir_fd < 0) {
        fail(facts_out, errno);
        return;
    }
    facts_out->file_system = sl_local_file_system_name(dir_fd);
    look_at_room(dir_fd, facts_out);
    make_names(&names);
    int fd = make_file(dir_fd, &names, facts_out);
    if (fd < 0) {
        fail(facts_out, errno);
    } else {
        try_file(dir_fd, fd, &names, facts_out);
        (void)unlinkat(dir_fd, names.plain, 0);
        (void)unlinkat(dir_fd, names.moved, 0);
        close(fd);
        look_at_files(root, facts_out);
    }
    close(dir_fd);
}
