/* The root of a local store, opened once at start: the only place in store/ that may block. */
#include "local.h"

#include "sluice/store/examine.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PROBE_META_BYTES 200 /* what is known about a file with a name and a type */

/* leaf: of the root, or "" for the root itself. */
static sl_err refuse(struct sl_store_root *root, int sys_errno, const char *what, const char *path, const char *leaf,
                     char *message, size_t room)
{
    char where[PATH_MAX];
    struct sl_store_refusal why;
    snprintf(where, sizeof where, "%.*s%s%s", (int)sizeof where - 16, path, leaf[0] != '\0' ? "/" : "", leaf);
    sl_store_explain(sys_errno, path, where, &why);
    snprintf(message, room, "root: cannot %s %s: %s%s%s; %s", what, where, strerror(sys_errno),
             why.reason[0] != '\0' ? ": " : "", why.reason, why.cure);
    sl_store_root_close(root);
    return sl_err_of_errno(sys_errno);
}

/* Every missing folder on the way, as mkdir -p does. 0, or the errno of the last one. */
static int make_folders(const char *path)
{
    char copy[PATH_MAX];
    int sys_errno = 0;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST && sys_errno == 0)
            sys_errno = errno;
        *slash = '/';
    }
    if (mkdir(copy, 0777) == 0 || errno == EEXIST)
        return 0;
    return sys_errno != 0 ? sys_errno : errno;
}

static int open_folder(int dir_fd, const char *name, mode_t mode)
{
    if (mkdirat(dir_fd, name, mode) != 0 && errno != EEXIST)
        return -1;
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* What was made just now is durable before the first upload relies on it. Of folders above the parent only their
 * makers know; where this may not be done, the file system's journal has to do. */
static void sync_folder(int dir_fd, const char *path)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

/* One named by an id belongs to whoever has the upload, by its lock. */
static void remove_unless_locked(const struct sl_store_root *root, const char *name)
{
    int fd = openat(root->uploads_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(root->uploads_fd, name, 0);
    close(fd);
}

static void remove_if_left(const struct sl_store_root *root, const char *name)
{
    char own[40];
    size_t prefix_len = strlen(SL_LOCAL_TEMP_PREFIX);
    int own_len = snprintf(own, sizeof own, SL_LOCAL_TEMP_PREFIX "%016" PRIx64 "-", root->run);
    if (strncmp(name, SL_LOCAL_TEMP_PREFIX, prefix_len) != 0 || strncmp(name, own, (size_t)own_len) == 0)
        return;
    if (sl_store_is_id(sl_bytes_of(name + prefix_len)))
        remove_unless_locked(root, name);
    else
        (void)unlinkat(root->uploads_fd, name, 0);
}

/* Temporary files belong to nobody when nobody else serves this root. */
static void remove_leftovers(const struct sl_store_root *root)
{
    int fd = openat(root->uploads_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        remove_if_left(root, entry->d_name);
    closedir(dir);
}

/* Several processes may serve one root (a restart overlaps): each holds the lock shared, and only one that finds
 * itself alone may clean. Whoever tries for it alone is without it for a moment (flock(2): a change is no single step),
 * so nobody may take it then: that is what the lock on the folder is for. It is held for no longer than a cleaning. */
static void lock_and_clean(struct sl_store_root *root)
{
    root->is_alone = flock(root->lock_fd, LOCK_EX | LOCK_NB) == 0;
    if (root->is_alone)
        remove_leftovers(root);
    (void)flock(root->lock_fd, LOCK_SH);
    (void)flock(root->uploads_fd, LOCK_UN);
}

bool sl_store_root_clean(struct sl_store_root *root)
{
    if (!root->is_alone && flock(root->uploads_fd, LOCK_EX | LOCK_NB) == 0)
        lock_and_clean(root);
    return root->is_alone;
}

/* A disk that is full, or fails, does not tell what it could keep: files that have attributes must stay known by
 * them. */
bool sl_local_keeps_attributes(int fd)
{
    static const char value[PROBE_META_BYTES] = {0};
    return fsetxattr(fd, SL_LOCAL_META, value, sizeof value, 0) == 0 || errno == ENOSPC || errno == EDQUOT ||
           errno == EIO;
}

/* btrfs logged nothing of such a file, and its name without its bytes, before Linux 6.16 and what it was taken back to:
 * after a loss of power it was there and empty. It may lie below an overlay, too. */
static bool syncs_unnamed(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type != BTRFS_SUPER_MAGIC && fs.f_type != OVERLAYFS_SUPER_MAGIC;
}

bool sl_local_links_unnamed(int fd, int dir_fd, const char *name)
{
    char proc[32];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    return fd >= 0 && syncs_unnamed(fd) && linkat(AT_FDCWD, proc, dir_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

/* Not known is as good as coarse. */
static bool has_coarse_times(int fd)
{
    struct stat stat;
    uint64_t before_ns = sl_clock_wall_ns();
    if (pwrite(fd, "", 1, 0) != 1 || fstat(fd, &stat) != 0)
        return true;
    uint64_t modified_ns = (uint64_t)stat.st_mtim.tv_sec * SL_SEC + (uint64_t)stat.st_mtim.tv_nsec;
    return sl_local_is_time_coarse(before_ns, modified_ns, sl_clock_wall_ns());
}

/* Tries what the file system can do, with a file that vanishes. false: not even a plain file can be made. */
static bool probe(struct sl_store_root *root)
{
    int fd = openat(root->uploads_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    char name[40];
    snprintf(name, sizeof name, SL_LOCAL_TEMP_PREFIX "%016" PRIx64 "-probe", root->run);
    root->has_unnamed = sl_local_links_unnamed(fd, root->uploads_fd, name);
    if (fd < 0)
        fd = openat(root->uploads_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return false;
    root->has_meta = sl_local_keeps_attributes(fd);
    root->has_coarse_times = has_coarse_times(fd);
    root->has_direct = root->options.is_direct && fcntl(fd, F_SETFL, O_DIRECT) == 0;
    (void)unlinkat(root->uploads_fd, name, 0);
    close(fd);
    return true;
}

const char *sl_local_file_system_name(int fd)
{
    static const struct {
        long magic;
        const char *name;
    } known[] = {{EXT4_SUPER_MAGIC, "ext4"}, {XFS_SUPER_MAGIC, "xfs"},   {BTRFS_SUPER_MAGIC, "btrfs"},
                 {TMPFS_MAGIC, "tmpfs"},     {NFS_SUPER_MAGIC, "nfs"},   {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
                 {FUSE_SUPER_MAGIC, "fuse"}, {F2FS_SUPER_MAGIC, "f2fs"}, {0x2fc12fc1, "zfs"}};
    struct statfs fs;
    if (fstatfs(fd, &fs) == 0)
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if ((long)fs.f_type == known[i].magic)
                return known[i].name;
    return "file system of unknown type";
}

static void summarize(struct sl_store_root *root)
{
    snprintf(root->summary, sizeof root->summary, "%s, %s temporary files, %s%s",
             sl_local_file_system_name(root->files_fd), root->has_unnamed ? "unnamed" : "named",
             root->has_direct          ? "large uploads bypass the page cache"
             : root->options.is_direct ? "no O_DIRECT here"
                                       : "page cache",
             root->has_meta ? "" : ", no extended attributes: types and digests of files are not kept");
}

static struct sl_store_root *root_new(const struct sl_store_options *options)
{
    struct sl_store_root *root = calloc(1, sizeof *root);
    if (root == NULL)
        abort();
    *root = (struct sl_store_root){.options = *options, .files_fd = -1, .uploads_fd = -1, .lock_fd = -1};
    root->options.root = NULL;
    pthread_mutex_init(&root->turns_lock, NULL);
    for (size_t i = 0; i < SL_NAME_TURN_BUCKETS; i++)
        sl_list_init(&root->turns[i]);
    if (getrandom(&root->run, sizeof root->run, 0) != (ssize_t)sizeof root->run)
        abort();
    return root;
}

/* NULL, or with errno the name of the one that cannot be made, opened or written. Nothing is written into files/ before
 * the first upload is done, which is late to find out: it may be of another user, of before. */
static const char *open_folders(struct sl_store_root *root, int root_fd)
{
    root->files_fd = open_folder(root_fd, "files", 0777);
    if (root->files_fd < 0 || faccessat(root_fd, "files", W_OK | X_OK, AT_EACCESS) != 0)
        return "files";
    root->uploads_fd = open_folder(root_fd, "uploads", 0700);
    return root->uploads_fd < 0 ? "uploads" : NULL;
}

sl_err sl_store_root_open(const struct sl_store_options *options, struct sl_store_root **root_out, char *message_out,
                          size_t room)
{
    struct sl_store_root *root = root_new(options);
    const char *path = options->root;
    int sys_errno = make_folders(path);
    int root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 && errno == ENOENT && sys_errno != 0)
        return refuse(root, sys_errno, "make", path, "", message_out, room);
    if (root_fd < 0)
        return refuse(root, errno, "open", path, "", message_out, room);
    const char *leaf = open_folders(root, root_fd);
    sys_errno = errno;
    sync_folder(root_fd, ".");
    sync_folder(root_fd, "..");
    bool is_there = leaf != NULL && faccessat(root_fd, leaf, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    close(root_fd);
    if (leaf != NULL)
        return is_there ? refuse(root, sys_errno, "write into", path, leaf, message_out, room)
                        : refuse(root, sys_errno, "make folders in", path, "", message_out, room);
    /* Not for writing: a file system can be made read-only while we serve. */
    root->lock_fd = openat(root->uploads_fd, ".lock", O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (root->lock_fd < 0)
        return refuse(root, errno, "write into", path, "uploads", message_out, room);
    (void)flock(root->uploads_fd, LOCK_EX);
    lock_and_clean(root);
    if (!probe(root))
        return refuse(root, errno, "write into", path, "uploads", message_out, room);
    summarize(root);
    *root_out = root;
    return SL_OK;
}

void sl_store_root_close(struct sl_store_root *root)
{
    if (root == NULL)
        return;
    for (size_t i = 0; i < SL_NAME_TURN_BUCKETS; i++)
        assert(sl_list_is_empty(&root->turns[i]));
    pthread_mutex_destroy(&root->turns_lock);
    int fds[] = {root->files_fd, root->uploads_fd, root->lock_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(root);
}

const char *sl_store_root_summary(const struct sl_store_root *root)
{
    return root->summary;
}

bool sl_store_root_has_meta(const struct sl_store_root *root)
{
    return root->has_meta;
}

/* ---- one loop's view ---- */

void sl_local_set_free(struct sl_store *store, const struct statfs *fs)
{
    struct sl_store_root *root = store->root;
    uint64_t bytes = (uint64_t)fs->f_bavail * (uint64_t)fs->f_bsize;
    uint64_t writing = atomic_load_explicit(&root->writing_bytes, memory_order_relaxed);
    atomic_store_explicit(&root->free_bytes, writing < bytes ? bytes - writing : 0, memory_order_relaxed);
}

static void on_statfs(struct sl_disk_op *op, void *ctx)
{
    struct sl_store *store = ctx;
    if (op->err == SL_OK)
        sl_local_set_free(store, &store->statfs);
}

struct sl_store *sl_store_create(struct sl_store_root *root, struct sl_disk *disk, struct sl_mailbox *home)
{
    struct sl_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->root = root;
    store->disk = disk;
    store->home = home;
    sl_list_init(&store->dirsyncs);
    struct statfs fs;
    if (fstatfs(root->files_fd, &fs) == 0)
        sl_local_set_free(store, &fs);
    return store;
}

void sl_store_destroy(struct sl_store *store)
{
    if (store == NULL)
        return;
    assert(sl_list_is_empty(&store->dirsyncs) && sl_disk_op_is_idle(&store->statfs_op));
    assert(store->turns == 0);
    free(store);
}

uint64_t sl_store_free_bytes(const struct sl_store *store)
{
    return atomic_load_explicit(&store->root->free_bytes, memory_order_relaxed);
}

void sl_store_tick(struct sl_store *store)
{
    if (sl_disk_op_is_idle(&store->statfs_op))
        sl_disk_statfs(store->disk, &store->statfs_op, store->root->files_fd, &store->statfs, on_statfs, store);
}
