/* The root of a local store: what it makes, what it removes, whom it leaves alone. */
#include "sluice/store/examine.h"
#include "store/local/local.h"
#include "store_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scratch scratch;

static int setup(void **state)
{
    scratch_make(&scratch);
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(&scratch);
    return 0;
}

static sl_err open_at(const char *name, struct sl_store_root **root_out, char *message, size_t room)
{
    char path[256];
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, name));
    struct sl_store_options options = {.root = path, .durability = SL_DURABILITY_FULL, .is_direct = true};
    return sl_store_root_open(&options, root_out, message, room);
}

static struct sl_store_root *open_root(void)
{
    char message[256];
    struct sl_store_root *root;
    assert_int_equal(open_at("root", &root, message, sizeof message), SL_OK);
    return root;
}

static void open_makes_missing_folders(void **state)
{
    char message[256];
    struct sl_store_root *root;
    assert_int_equal(open_at("a/b/c", &root, message, sizeof message), SL_OK);
    assert_true(scratch_has(&scratch, "a/b/c/files"));
    assert_int_equal(scratch_count(&scratch, "a/b/c/uploads"), 0);
    struct stat st;
    assert_int_equal(stat(scratch_path(&scratch, "a/b/c/uploads"), &st), 0);
    assert_int_equal(st.st_mode & 077, 0); /* private */
    assert_true(strlen(sl_store_root_summary(root)) > 0);
    sl_store_root_close(root);
}

static void open_refused_names_cause_and_cure_and_holds_nothing(void **state)
{
    static const char *const names[] = {"file", "file/below", "files-is-a-file", "linked"};
    scratch_put(&scratch, "file", "");
    assert_int_equal(mkdir(scratch_path(&scratch, "files-is-a-file"), 0700), 0);
    scratch_put(&scratch, "files-is-a-file/files", "");
    assert_int_equal(mkdir(scratch_path(&scratch, "linked"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(&scratch, "elsewhere"), 0700), 0);
    assert_int_equal(symlink("../elsewhere", scratch_path(&scratch, "linked/uploads")), 0);
    unsigned fds = scratch_count_fds();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char message[256] = "";
        struct sl_store_root *root;
        assert_int_not_equal(open_at(names[i], &root, message, sizeof message), SL_OK);
        assert_non_null(strstr(message, "root: cannot"));
        assert_non_null(strstr(message, "--root"));
        assert_non_null(strstr(message, names[i]));
        assert_int_equal(scratch_count_fds(), fds);
    }
    assert_int_equal(scratch_count(&scratch, "elsewhere"), 0);
}

static void explain_says_what_to_do_and_names_no_path_cut_short(void **state)
{
    struct sl_store_refusal why;
    char longest[PATH_MAX];
    sl_store_explain(EROFS, "/data", "/data/files", &why);
    assert_non_null(strstr(why.cure, "-v NAME:/data)"));
    assert_string_equal(why.reason, "");
    sl_store_explain(ENOSPC, "/data", "/data", &why);
    assert_non_null(strstr(why.cure, "make room"));
    sl_store_explain(ENOTDIR, "/data", "/data", &why);
    assert_string_equal(why.cure, "choose another folder with --root DIR");
    for (size_t len = 150; len < 170; len++) {
        snprintf(longest, sizeof longest, "%s", scratch_path(&scratch, ""));
        size_t begin = strlen(longest);
        memset(longest + begin, 'a', len - begin);
        longest[len] = '\0';
        sl_store_explain(EACCES, longest, longest, &why); /* of a folder that would be made in one of ours */
        assert_non_null(strstr(why.reason, "by its mode"));
        sl_store_explain(EROFS, longest, longest, &why);
        assert_non_null(strstr(why.cure, len <= 160 ? longest : "NAME:DIR)"));
    }
}

static void leftovers_go_at_the_next_open(void **state)
{
    sl_store_root_close(open_root());
    scratch_put(&scratch, "root/uploads/tmp-1-2", "crashed");
    scratch_put(&scratch, "root/uploads/kept", "an upload in progress is no leftover");
    sl_store_root_close(open_root());
    assert_false(scratch_has(&scratch, "root/uploads/tmp-1-2"));
    assert_true(scratch_has(&scratch, "root/uploads/kept"));
}

static void leftovers_stay_while_another_serves_the_root(void **state)
{
    struct sl_store_root *first = open_root();
    scratch_put(&scratch, "root/uploads/tmp-1-2", "the first one's");
    struct sl_store_root *second = open_root();
    assert_true(scratch_has(&scratch, "root/uploads/tmp-1-2"));
    sl_store_root_close(first);
    struct sl_store_root *third = open_root(); /* the second holds the lock as well */
    assert_true(scratch_has(&scratch, "root/uploads/tmp-1-2"));
    sl_store_root_close(second);
    sl_store_root_close(third);
    sl_store_root_close(open_root());
    assert_false(scratch_has(&scratch, "root/uploads/tmp-1-2"));
}

/* A restart overlaps, and the one before does not end well. */
static void clean_removes_what_others_left_when_they_have_gone(void **state)
{
    static const char id[] = "root/uploads/tmp-abcdefghijklmnopqrstuvwx23",
                      taken[] = "root/uploads/tmp-23456723456723456723456723";
    char own[64];
    struct sl_store_root *first = open_root();
    assert_true(sl_store_root_clean(first)); /* nobody else was there */
    struct sl_store_root *second = open_root();
    snprintf(own, sizeof own, "root/uploads/tmp-%016llx-7", (unsigned long long)second->run);
    scratch_put(&scratch, own, "the second one's");
    scratch_put(&scratch, "root/uploads/tmp-0123456789abcdef-0", "of one that was killed");
    scratch_put(&scratch, id, "likewise");
    scratch_put(&scratch, taken, "of an upload that somebody goes on with");
    int held = open(scratch_path(&scratch, taken), O_RDONLY);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_false(sl_store_root_clean(second));
    assert_int_equal(scratch_count(&scratch, "root/uploads"), 4);
    sl_store_root_close(first);
    struct sl_store_root *third = open_root(); /* the second has tried, and holds its lock still */
    assert_int_equal(scratch_count(&scratch, "root/uploads"), 4);
    assert_false(sl_store_root_clean(second));
    sl_store_root_close(third);
    assert_true(sl_store_root_clean(second));
    assert_true(scratch_has(&scratch, own));
    assert_true(scratch_has(&scratch, taken));
    assert_int_equal(scratch_count(&scratch, "root/uploads"), 2);
    scratch_put(&scratch, id, "once more");
    assert_true(sl_store_root_clean(second)); /* was done */
    assert_true(scratch_has(&scratch, id));
    close(held);
    sl_store_root_close(second);
    sl_store_root_close(open_root());
    assert_int_equal(scratch_count(&scratch, "root/uploads"), 0);
}

/* What another one's probe, or a crash in the middle of it, left there says nothing about the file system. */
static void probe_is_not_misled_by_what_lies_there(void **state)
{
    struct sl_store_root *first = open_root();
    scratch_put(&scratch, "root/uploads/tmp-probe", "");
    struct sl_store_root *second = open_root();
    assert_int_equal(second->has_unnamed, first->has_unnamed);
    sl_store_root_close(second);
    sl_store_root_close(first);
}

/* Two containers that share a root both have pid 1. */
static void temp_names_of_two_servers_differ(void **state)
{
    struct sl_store_root *first = open_root(), *second = open_root();
    assert_true(first->run != second->run);
    sl_store_root_close(second);
    sl_store_root_close(first);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(open_makes_missing_folders),
        CASE(open_refused_names_cause_and_cure_and_holds_nothing),
        CASE(explain_says_what_to_do_and_names_no_path_cut_short),
        CASE(leftovers_go_at_the_next_open),
        CASE(leftovers_stay_while_another_serves_the_root),
        CASE(clean_removes_what_others_left_when_they_have_gone),
        CASE(probe_is_not_misled_by_what_lies_there),
        CASE(temp_names_of_two_servers_differ),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
