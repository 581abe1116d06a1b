/* The folder of kept objects, read from its beginning to its end in the order of the file system. */
#include "sluice/store/kept_walk.h"
#include "local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

/* false: no regular file, or gone. The state is put into `room` of SL_STATE_ATTRIBUTE_BYTES_MAX bytes. */
static bool look_at(int dir_fd, const char *id, char *room, struct sl_store_kept_entry *entry_out)
{
    struct statx stat;
    int fd = openat(dir_fd, id, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_file = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) == 0 && S_ISREG(stat.stx_mode);
    ssize_t len = is_file ? fgetxattr(fd, SL_STATE_ATTRIBUTE, room, SL_STATE_ATTRIBUTE_BYTES_MAX) : -1;
    close(fd);
    if (!is_file)
        return false;
    struct sl_bytes value = {room, len > 0 ? (size_t)len : 0};
    *entry_out = (struct sl_store_kept_entry){.id = id,
                                              .state = sl_kept_state(value, id),
                                              .size = stat.stx_size,
                                              .modified_ns = sl_local_modified_ns(&stat)};
    return true;
}

sl_err sl_store_walk_kept(const char *root, sl_store_kept_walk_cb on_entry, void *ctx)
{
    int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = root_fd < 0 ? -1 : openat(root_fd, "uploads", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int sys_errno = errno;
    if (root_fd >= 0)
        close(root_fd);
    if (fd < 0)
        return sl_err_of_errno(sys_errno);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return SL_NO_MEMORY;
    }
    for (struct dirent *found; errno = 0, (found = readdir(dir)) != NULL;) {
        char room[SL_STATE_ATTRIBUTE_BYTES_MAX];
        struct sl_store_kept_entry entry;
        if (sl_store_is_id(sl_bytes_of(found->d_name)) && look_at(fd, found->d_name, room, &entry))
            on_entry(&entry, ctx);
    }
    sys_errno = errno;
    closedir(dir);
    return sys_errno == 0 ? SL_OK : sl_err_of_errno(sys_errno);
}
