/* A page of a directory, in the order of names, which is not the order that the kernel tells them in. The directory
 * is read once, and of its names only the smallest are kept that could fit into the page; then these are looked at, one
 * by one. So memory is a small multiple of the page, however many names there are. A thread that may block. */
#include "engine.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define READ_BYTES ((size_t)32 << 10)

struct candidate {
    uint32_t at; /* in names */
    uint16_t len;
    bool is_folder;
};

struct sieve {
    struct sl_disk_list *list;
    int fd;
    struct candidate *all;
    size_t count;
    char *names;                                 /* each with a NUL behind it */
    size_t names_used, entry_bytes;              /* of all that are in the sieve */
    char first_lost[SL_DISK_NAME_BYTES_MAX + 2]; /* where list->has_more: it and all behind it are of no interest */
    char *read_buffer;
};

static size_t entry_bytes(size_t name_len, size_t value_len)
{
    return (offsetof(struct sl_disk_entry, text) + name_len + value_len + 7) / 8 * 8;
}

/* Twice what fits, so that to sort what came and to drop half of it is not often needed. */
static size_t sieve_bytes(const struct sl_disk_list *list)
{
    return 2 * list->room;
}

/* ---- names ---- */

static int by_name(const void *a, const void *b, void *names)
{
    const struct candidate *left = a, *right = b;
    return strcmp((char *)names + left->at, (char *)names + right->at);
}

/* Keeps the smallest that fit into the page, sorted. */
static void sift(struct sieve *sieve)
{
    struct sl_disk_list *list = sieve->list;
    qsort_r(sieve->all, sieve->count, sizeof *sieve->all, by_name, sieve->names);
    size_t kept = 0, bytes = 0, used = 0;
    for (; kept < sieve->count; kept++) {
        struct candidate *candidate = &sieve->all[kept];
        size_t more = entry_bytes(candidate->len, 0);
        if (bytes + more > list->room) {
            list->has_more = true;
            memcpy(sieve->first_lost, sieve->names + candidate->at, candidate->len + 1);
            break;
        }
        bytes += more;
        memcpy(list->out + used, sieve->names + candidate->at, candidate->len + 1); /* the page is still empty */
        candidate->at = (uint32_t)used;
        used += candidate->len + 1;
    }
    memcpy(sieve->names, list->out, used);
    sieve->count = kept;
    sieve->names_used = used;
    sieve->entry_bytes = bytes;
}

static bool is_wanted(const struct sieve *sieve, const char *name)
{
    const struct sl_disk_list *list = sieve->list;
    if (strncmp(name, list->prefix, strlen(list->prefix)) != 0 || strcmp(name, list->after) <= 0)
        return false;
    return !list->has_more || strcmp(name, sieve->first_lost) < 0;
}

static void put(struct sieve *sieve, const char *name, size_t len, bool is_folder)
{
    char full[SL_DISK_NAME_BYTES_MAX + 2];
    memcpy(full, name, len);
    if (is_folder)
        full[len++] = '/';
    full[len] = '\0';
    if (!is_wanted(sieve, full))
        return;
    if (sieve->entry_bytes + entry_bytes(len, 0) > sieve_bytes(sieve->list)) {
        sift(sieve);
        if (!is_wanted(sieve, full))
            return;
    }
    sieve->all[sieve->count++] =
        (struct candidate){.at = (uint32_t)sieve->names_used, .len = (uint16_t)len, .is_folder = is_folder};
    memcpy(sieve->names + sieve->names_used, full, len + 1);
    sieve->names_used += len + 1;
    sieve->entry_bytes += entry_bytes(len, 0);
}

/* What an entry is; DT_UNKNOWN: not to be found out, or gone. */
static unsigned char type_of(const struct sieve *sieve, const struct dirent64 *dirent)
{
    if (dirent->d_type != DT_UNKNOWN)
        return dirent->d_type;
    struct stat st;
    if (fstatat(sieve->fd, dirent->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return DT_UNKNOWN;
    return (unsigned char)IFTODT(st.st_mode);
}

static void take(struct sieve *sieve, const struct dirent64 *dirent)
{
    const char *name = dirent->d_name;
    size_t len = strlen(name);
    if (len > SL_DISK_NAME_BYTES_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    unsigned char type = type_of(sieve, dirent);
    if (type == DT_REG || type == DT_DIR)
        put(sieve, name, len, type == DT_DIR);
}

static int read_names(struct sieve *sieve)
{
    ssize_t n;
    while ((n = getdents64(sieve->fd, sieve->read_buffer, READ_BYTES)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *dirent = (const struct dirent64 *)(sieve->read_buffer + at);
            take(sieve, dirent);
            at += dirent->d_reclen;
        }
    }
    return (int)n;
}

/* ---- entries ---- */

enum look { LOOK_DONE, LOOK_GONE, LOOK_NO_ROOM, LOOK_FAILED };

/* What is wrong with us and not with a file: it would be wrong with the next one too. */
static bool is_ours(int sys_errno)
{
    return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOMEM || sys_errno == EINTR;
}

/* Gone, or something else by now. */
static bool is_gone(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ESTALE:
    case ELOOP:
    case ENXIO:
    case ENODEV: return true;
    default: return false;
    }
}

static enum look look_at_inode(int dir_fd, const char *name, struct sl_disk_entry *entry)
{
    struct statx st;
    if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS, &st) != 0)
        return is_ours(errno) ? LOOK_FAILED : LOOK_GONE;
    if (entry->is_folder ? !S_ISDIR(st.stx_mode) : !S_ISREG(st.stx_mode))
        return LOOK_GONE;
    entry->size = st.stx_size;
    entry->modified_ns = (uint64_t)st.stx_mtime.tv_sec * UINT64_C(1000000000) + st.stx_mtime.tv_nsec;
    entry->inode = st.stx_ino;
    return LOOK_DONE;
}

/* room: what is left of the page. It may be less than a value may take; then it is the page that is too small, and
 * the next one will tell whether it was the value that is too long. */
static enum look look_at_value(const struct sl_disk_list *list, int fd, struct sl_disk_entry *entry, size_t room)
{
    char *value = entry->text + entry->name_len;
    size_t max = room < list->value_max ? room : list->value_max;
    char none[1]; /* a size of 0 would ask for the length alone */
    ssize_t n = fgetxattr(fd, list->attribute, max > 0 ? value : none, max > 0 ? max : 1);
    if (n >= 0 && (size_t)n <= max) {
        entry->value_len = (uint16_t)n;
        return LOOK_DONE;
    }
    if (n >= 0 || errno == ERANGE)
        return max < list->value_max ? LOOK_NO_ROOM : LOOK_DONE;
    return is_ours(errno) ? LOOK_FAILED : LOOK_DONE;
}

/* Through one fd, so that what is said of inode and value is said of the same file, whoever replaces it meanwhile. */
static enum look look_at_file(const struct sieve *sieve, const char *name, struct sl_disk_entry *entry, size_t room)
{
    int fd = openat(sieve->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && is_ours(errno))
        return LOOK_FAILED;
    if (fd < 0) /* where it is there: not for us to read, or damaged */
        return is_gone(errno) ? LOOK_GONE : look_at_inode(sieve->fd, name, entry);
    enum look look = look_at_inode(fd, "", entry);
    if (look == LOOK_DONE)
        look = look_at_value(sieve->list, fd, entry, room);
    int sys_errno = errno;
    close(fd);
    errno = sys_errno;
    return look;
}

/* The entry of a candidate at the start of `room` bytes, where it is known to fit without its value. */
static enum look make_entry(const struct sieve *sieve, const struct candidate *candidate, char *out, size_t room)
{
    struct sl_disk_entry *entry = (struct sl_disk_entry *)out;
    char *name = sieve->names + candidate->at;
    *entry = (struct sl_disk_entry){.name_len = candidate->len, .is_folder = candidate->is_folder};
    memcpy(entry->text, name, candidate->len);
    size_t used = offsetof(struct sl_disk_entry, text) + candidate->len;
    if (candidate->is_folder)
        name[candidate->len - 1] = '\0'; /* "name/" would follow a symbolic link */
    enum look look = candidate->is_folder || sieve->list->attribute == NULL
                         ? look_at_inode(sieve->fd, name, entry)
                         : look_at_file(sieve, name, entry, room - used);
    entry->bytes = (uint32_t)entry_bytes(entry->name_len, entry->value_len);
    return look;
}

static int64_t fill_page(const struct sieve *sieve)
{
    struct sl_disk_list *list = sieve->list;
    size_t room = list->room / 8 * 8, used = 0;
    for (size_t i = 0; i < sieve->count; i++) {
        const struct sl_disk_entry *entry = (struct sl_disk_entry *)(list->out + used);
        enum look look = LOOK_NO_ROOM;
        if (entry_bytes(sieve->all[i].len, 0) <= room - used)
            look = make_entry(sieve, &sieve->all[i], list->out + used, room - used);
        if (look == LOOK_FAILED)
            return -1;
        if (look == LOOK_NO_ROOM) {
            assert(used > 0);
            list->has_more = true;
            break;
        }
        memcpy(list->last, entry->text, entry->name_len);
        list->last[entry->name_len] = '\0';
        if (look == LOOK_DONE)
            used += entry->bytes;
    }
    return (int64_t)used;
}

/* ---- the page ---- */

static int64_t make_page(struct sieve *sieve)
{
    if (read_names(sieve) != 0)
        return -1;
    sift(sieve);
    return fill_page(sieve);
}

int64_t sl_disk_list_now(int dir_fd, struct sl_disk_list *list)
{
    struct sieve sieve = {.list = list};
    size_t bytes = sieve_bytes(list);
    assert(bytes <= UINT32_MAX && list->value_max <= UINT16_MAX);
    list->has_more = false;
    list->last[0] = '\0';
    /* A description of its own: others may be reading the same directory through dir_fd. */
    sieve.fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sieve.fd < 0) /* EACCES: it may be read, but nothing in it may be looked up, not even itself */
        return errno == EACCES ? 0 : -1;
    sieve.all = malloc(bytes / entry_bytes(1, 0) * sizeof *sieve.all);
    sieve.names = malloc(bytes);
    sieve.read_buffer = malloc(READ_BYTES);
    int64_t result = -1;
    if (sieve.all != NULL && sieve.names != NULL && sieve.read_buffer != NULL)
        result = make_page(&sieve);
    int sys_errno = errno; /* of malloc: ENOMEM */
    free(sieve.all);
    free(sieve.names);
    free(sieve.read_buffer);
    close(sieve.fd);
    errno = sys_errno;
    return result;
}
