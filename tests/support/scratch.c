#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned scratch_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    unsigned count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

void scratch_make(struct scratch *scratch)
{
    const char *tmp = getenv("TMPDIR");
    scratch->fds_before = scratch_count_fds();
    snprintf(scratch->path, sizeof scratch->path, "%s/sluice-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(scratch->path));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void scratch_remove(struct scratch *scratch)
{
    assert_int_equal(nftw(scratch->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    assert_int_equal(scratch_count_fds(), scratch->fds_before);
}

const char *scratch_path(const struct scratch *scratch, const char *name)
{
    static char path[2048];
    snprintf(path, sizeof path, "%s/%s", scratch->path, name);
    return path;
}

bool scratch_has(const struct scratch *scratch, const char *name)
{
    struct stat st;
    return lstat(scratch_path(scratch, name), &st) == 0;
}

unsigned scratch_count(const struct scratch *scratch, const char *name)
{
    DIR *dir = opendir(scratch_path(scratch, name));
    if (dir == NULL)
        return 0;
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

void scratch_put(const struct scratch *scratch, const char *name, const char *text)
{
    FILE *file = fopen(scratch_path(scratch, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void scratch_expect(const struct scratch *scratch, const char *name, const void *bytes, size_t len)
{
    struct stat st;
    assert_int_equal(stat(scratch_path(scratch, name), &st), 0);
    assert_int_equal(st.st_size, len);
    char *content = malloc(len + 1);
    assert_non_null(content);
    int fd = open(scratch_path(scratch, name), O_RDONLY | O_CLOEXEC);
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, content + at, len - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    close(fd);
    if (memcmp(content, bytes, len) != 0)
        fail_msg("%s is %zu bytes long as it should be, but holds other bytes", name, len);
    free(content);
}
