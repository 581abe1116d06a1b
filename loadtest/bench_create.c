/* What the file system alone takes for a small upload: `bench_create [FILES [THREADS [DIR]]]`.
 *
 * Each way makes FILES files of 4 KiB with names of their own in one folder below DIR, by plain system calls from
 * THREADS threads, and removes them. It is the floor under sluice's own numbers: no network, no digest, no event loop.
 *
 *   temp      create under a temporary name, write, rename: what most servers do
 *   unnamed   O_TMPFILE, write, linkat: nothing is left behind by a crash
 *   +meta     and an attribute with a digest and a time, as sluice keeps them
 *   +folder   and the folder opened by its path for each: all that sluice does at `durability: none`
 *   +sync     and fsync of file and folder: `durability: full`, where nobody shares a sync
 *
 * Removing a file costs the next one that is made, for a minute: compare runs on a fresh file system. Without arguments
 * it is small, so that a test can run it. It ends with 77 where the file system has no unnamed files or attributes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define FILES_DEFAULT   200
#define THREADS_DEFAULT 1
#define THREADS_MAX     64
#define FILE_BYTES      4096
#define META_BYTES      56 /* of a plain upload: times, SHA-256 */

struct way {
    const char *name;
    bool is_unnamed, has_meta, has_folder, is_synced;
};

static const struct way ways[] = {
    {.name = "temp"},
    {.name = "temp+meta", .has_meta = true},
    {.name = "unnamed", .is_unnamed = true},
    {.name = "unnamed+meta", .is_unnamed = true, .has_meta = true},
    {.name = "unnamed+meta+folder", .is_unnamed = true, .has_meta = true, .has_folder = true},
    {.name = "unnamed+meta+folder+sync", .is_unnamed = true, .has_meta = true, .has_folder = true, .is_synced = true},
};

#define WAYS (sizeof ways / sizeof ways[0])

struct maker {
    pthread_t id;
    const struct way *way;
    int dir_fd;
    unsigned first, count;
};

static void die(const char *what)
{
    bool is_missing = errno == EOPNOTSUPP || errno == ENOSYS;
    fprintf(stderr, "bench_create: %s: %s\n", what, strerror(errno));
    exit(is_missing ? 77 : 1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int open_folder(int dir_fd)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir_fd, ".", &how, sizeof how);
    if (fd < 0)
        die("openat2");
    return fd;
}

static int open_file(const struct maker *maker, const char *temp)
{
    int fd = maker->way->is_unnamed ? openat(maker->dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0666)
                                    : openat(maker->dir_fd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        die("open");
    return fd;
}

static void give_name(const struct maker *maker, int fd, const char *temp, const char *name)
{
    char proc[32];
    int folder_fd = maker->way->has_folder ? open_folder(maker->dir_fd) : maker->dir_fd;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    int rc = maker->way->is_unnamed ? linkat(AT_FDCWD, proc, folder_fd, name, AT_SYMLINK_FOLLOW)
                                    : (int)syscall(SYS_renameat2, maker->dir_fd, temp, folder_fd, name, 0);
    if (rc != 0)
        die("link");
    if (maker->way->is_synced && fsync(folder_fd) != 0)
        die("fsync of the folder");
    if (folder_fd != maker->dir_fd)
        close(folder_fd);
}

static void make_file(const struct maker *maker, unsigned number)
{
    static const char body[FILE_BYTES] = {1}, meta[META_BYTES] = {1};
    char temp[32], name[32];
    snprintf(temp, sizeof temp, "tmp-%u", number);
    snprintf(name, sizeof name, "file-%u.bin", number);
    int fd = open_file(maker, temp);
    if (pwrite(fd, body, sizeof body, 0) != sizeof body)
        die("write");
    if (maker->way->has_meta && fsetxattr(fd, "user.sluice", meta, sizeof meta, 0) != 0)
        die("fsetxattr");
    if (maker->way->is_synced && fsync(fd) != 0)
        die("fsync");
    give_name(maker, fd, temp, name);
    close(fd);
}

static void *make_files(void *arg)
{
    const struct maker *maker = arg;
    for (unsigned i = 0; i < maker->count; i++)
        make_file(maker, maker->first + i);
    return NULL;
}

/* Behind all ways: ext4 steps over inodes that were just freed, one by one, when it looks for a free one. */
static void remove_files(int dir_fd, unsigned files)
{
    char name[32];
    for (unsigned i = 0; i < files; i++) {
        snprintf(name, sizeof name, "file-%u.bin", i);
        if (unlinkat(dir_fd, name, 0) != 0)
            die("unlink");
    }
}

static void run(const struct way *way, int dir_fd, unsigned files, unsigned threads)
{
    struct maker makers[THREADS_MAX];
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double begun = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < threads; i++) {
        makers[i] = (struct maker){
            .way = way,
            .dir_fd = dir_fd,
            .first = (unsigned)((unsigned long)files * i / threads),
            .count = (unsigned)((unsigned long)files * (i + 1) / threads - (unsigned long)files * i / threads)};
        if (pthread_create(&makers[i].id, NULL, make_files, &makers[i]) != 0)
            die("thread");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(makers[i].id, NULL);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    begun = seconds(CLOCK_MONOTONIC) - begun;
    getrusage(RUSAGE_SELF, &after);
    printf("%-25s %2u threads %8.0f files/s %7.1f CPU us a file %6.2f waits a file\n", way->name, threads,
           files / begun, cpu * 1e6 / files, (double)(after.ru_nvcsw - before.ru_nvcsw) / files);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned long files = argc > 1 ? strtoul(argv[1], NULL, 10) : FILES_DEFAULT,
                  threads = argc > 2 ? strtoul(argv[2], NULL, 10) : THREADS_DEFAULT;
    char path[4096];
    snprintf(path, sizeof path, "%s/bench_create-XXXXXX", argc > 3 ? argv[3] : ".");
    if (files < 1 || files > 10000000 || threads < 1 || threads > THREADS_MAX || argc > 4) {
        fprintf(stderr, "usage: bench_create [FILES [THREADS [DIR]]]\n");
        return 2;
    }
    if (mkdtemp(path) == NULL)
        die(path);
    int root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir_fds[WAYS];
    for (size_t i = 0; i < WAYS; i++) {
        if (mkdirat(root_fd, ways[i].name, 0777) != 0)
            die(ways[i].name);
        dir_fds[i] = openat(root_fd, ways[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fds[i] < 0)
            die(ways[i].name);
        run(&ways[i], dir_fds[i], (unsigned)files, (unsigned)threads);
    }
    for (size_t i = 0; i < WAYS; i++) {
        remove_files(dir_fds[i], (unsigned)files);
        (void)unlinkat(root_fd, ways[i].name, AT_REMOVEDIR);
    }
    return rmdir(path) == 0 ? 0 : 1;
}
