/* What a confined process can and cannot reach. Each case is a process of its own, for there is no way back. */
#include "sluice/app/confine.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNSUPPORTED = 77 };

static struct scratch top;
static char store[80], readable[80], sockets[80], logs[80], outside[80];

/* Only in the child: cmocka's asserts would go on as the parent. */
#define EXPECT(what)                                                                     \
    do {                                                                                 \
        if (!(what)) {                                                                   \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #what, errno); \
            _exit(1);                                                                    \
        }                                                                                \
    } while (0)

static void make_folder(const char *name, char path[80])
{
    char file[32];
    snprintf(path, 80, "%s", scratch_path(&top, name));
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(file, sizeof file, "%s/there", name);
    scratch_put(&top, file, "x");
}

static int setup(void **state)
{
    scratch_make(&top);
    make_folder("store", store);
    make_folder("readable", readable);
    make_folder("sockets", sockets);
    make_folder("logs", logs);
    make_folder("outside", outside);
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(&top);
    return 0;
}

static void confine(void)
{
    const struct sl_place places[] = {
        {store, SL_PLACE_STORE}, {readable, SL_PLACE_READ}, {sockets, SL_PLACE_SOCKET}, {logs, SL_PLACE_LOG}};
    char words[160];
    sl_err err = sl_confine(places, sizeof places / sizeof places[0], words, sizeof words);
    if (err == SL_UNSUPPORTED)
        _exit(UNSUPPORTED);
    EXPECT(err == SL_OK);
    EXPECT(strncmp(words, "by Landlock", 11) == 0);
}

static void in_a_child(void (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == UNSUPPORTED)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool is_refused(const char *folder, const char *name, int flags)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    bool is_so = fd < 0 && errno == EACCES;
    if (fd >= 0)
        close(fd);
    return is_so;
}

/* All that the store does. */
static void store_works(void)
{
    confine();
    int dir = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT(dir >= 0);
    EXPECT(mkdirat(dir, "uploads", 0700) == 0 && mkdirat(dir, "files", 0700) == 0);
    int fd = openat(dir, "uploads", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    EXPECT(fd >= 0);
    EXPECT(fallocate(fd, 0, 0, 8192) == 0 && pwrite(fd, "hello", 5, 0) == 5 && ftruncate(fd, 5) == 0);
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    EXPECT(linkat(AT_FDCWD, self, dir, "files/a", AT_SYMLINK_FOLLOW) == 0);
    EXPECT(linkat(AT_FDCWD, self, dir, "uploads/id", AT_SYMLINK_FOLLOW) == 0);
    EXPECT(renameat(dir, "uploads/id", dir, "files/b") == 0);
    EXPECT(fsync(fd) == 0 && fsync(dir) == 0);
    EXPECT(unlinkat(dir, "files/b", 0) == 0);
    int again = openat(dir, "files/a", O_RDONLY | O_CLOEXEC);
    char bytes[8];
    EXPECT(again >= 0 && read(again, bytes, sizeof bytes) == 5);
    EXPECT(unlinkat(dir, "uploads", AT_REMOVEDIR) == 0);
}

static void *look_outside(void *arg)
{
    *(bool *)arg = is_refused(outside, "there", O_RDONLY);
    return NULL;
}

static void nothing_else_does(void)
{
    char from[160], to[160];
    int before = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    confine();
    EXPECT(is_refused("/etc", "passwd", O_RDONLY));
    EXPECT(is_refused(outside, "there", O_RDONLY) && is_refused(outside, "there", O_WRONLY));
    EXPECT(is_refused(outside, "new", O_CREAT | O_WRONLY));
    EXPECT(openat(before, "there", O_RDONLY | O_CLOEXEC) < 0 &&
           errno == EACCES); /* a folder that is open is no door */
    snprintf(from, sizeof from, "%s/there", store);
    snprintf(to, sizeof to, "%s/stolen", outside);
    EXPECT(link(from, to) != 0 && rename(from, to) != 0 && symlink("/etc/passwd", from) != 0);
    snprintf(to, sizeof to, "%s/link", store);
    EXPECT(symlink("/etc/passwd", to) != 0 && errno == EACCES);
    EXPECT(execl("/bin/true", "true", (char *)NULL) != 0 && errno == EACCES);
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    pthread_t thread;
    bool is_so = false;
    EXPECT(pthread_create(&thread, NULL, look_outside, &is_so) == 0 && pthread_join(thread, NULL) == 0);
    EXPECT(is_so);
}

static void places_give_what_they_say(void)
{
    char path[160];
    confine();
    EXPECT(!is_refused(readable, "there", O_RDONLY));
    EXPECT(is_refused(readable, "there", O_WRONLY) && is_refused(readable, "new", O_CREAT | O_WRONLY));
    EXPECT(is_refused(sockets, "there", O_RDONLY) && is_refused(sockets, "new", O_CREAT | O_WRONLY));
    snprintf(path, sizeof path, "%s/there", sockets);
    EXPECT(unlink(path) == 0);
    EXPECT(!is_refused(logs, "there", O_WRONLY | O_APPEND) &&
           !is_refused(logs, "new", O_CREAT | O_WRONLY | O_APPEND));
    EXPECT(is_refused(logs, "there", O_RDONLY));
    snprintf(path, sizeof path, "%s/there", logs);
    EXPECT(unlink(path) != 0 && errno == EACCES);
}

static void refuse_a_place_that_is_not_there(void)
{
    const struct sl_place places[] = {{"/no/such/place", SL_PLACE_STORE}};
    char words[160];
    sl_err err = sl_confine(places, 1, words, sizeof words);
    if (err == SL_UNSUPPORTED)
        _exit(UNSUPPORTED);
    EXPECT(err == SL_NOT_FOUND);
    EXPECT(strncmp(words, "no: ", 4) == 0);
    EXPECT(!is_refused("/etc", "passwd", O_RDONLY));
}

/* As the folder of a key that only root may read, where it serves as somebody else. */
static void confine_but_for_what_is_out_of_reach(void)
{
    const struct sl_place places[] = {{"/no/such/place", SL_PLACE_READ}, {store, SL_PLACE_STORE}};
    char words[160];
    sl_err err = sl_confine(places, 2, words, sizeof words);
    if (err == SL_UNSUPPORTED)
        _exit(UNSUPPORTED);
    EXPECT(err == SL_OK);
    EXPECT(is_refused("/etc", "passwd", O_RDONLY));
}

static void confined_store_does_all_it_did(void **state)
{
    in_a_child(store_works);
}

static void confined_reaches_nothing_else(void **state)
{
    in_a_child(nothing_else_does);
}

static void confined_by_use_of_the_place(void **state)
{
    in_a_child(places_give_what_they_say);
}

static void place_out_of_reach_confines_all_the_same(void **state)
{
    in_a_child(confine_but_for_what_is_out_of_reach);
}

static void refused_place_closes_nothing(void **state)
{
    in_a_child(refuse_a_place_that_is_not_there);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(confined_store_does_all_it_did), CASE(confined_reaches_nothing_else),
        CASE(confined_by_use_of_the_place),   CASE(place_out_of_reach_confines_all_the_same),
        CASE(refused_place_closes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
