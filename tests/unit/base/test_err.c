/* The table of errors: what each row promises to those who read it, and the counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "sluice/base/err.h"

static bool is_code(const char *code)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    return strspn(code, "abcdefghijklmnopqrstuvwxyz-") == strlen(code) && strchr(letters, code[0]) != NULL &&
           code[0] != '\0' && code[strlen(code) - 1] != '-';
}

static void table_each_row_is_fit_to_be_told(void **state)
{
    (void)state;
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++) {
        const struct sl_err_row *row = sl_err_row(err);
        size_t len = strlen(row->detail);
        if (!is_code(row->code))
            fail_msg("%s: its code is the name of an anchor and of a label: %s", row->name, row->code);
        if (row->title[0] == '\0' || row->title[strlen(row->title) - 1] == '.')
            fail_msg("%s: a title is no sentence", row->name);
        if (len == 0 || row->detail[len - 1] != '.' || strstr(row->detail, "  ") != NULL)
            fail_msg("%s: a detail is made of sentences", row->name);
        if (row->status < 400 || row->status > 599)
            fail_msg("%s: %d is not the status of an error", row->name, row->status);
        if (row->class == SL_CLASS_none)
            fail_msg("%s has no class", row->name);
        if (row->class == SL_CLASS_client && row->status >= 500 && row->status != 501 && row->status != 505)
            fail_msg("%s: %d blames the server", row->name, row->status);
        if ((row->class == SL_CLASS_storage || row->class == SL_CLASS_bug) && row->status < 500)
            fail_msg("%s: %d blames the client", row->name, row->status);
    }
}

static void table_no_code_is_there_twice(void **state)
{
    (void)state;
    for (sl_err a = SL_OK + 1; a < SL_ERR_COUNT; a++)
        for (sl_err b = a + 1; b < SL_ERR_COUNT; b++)
            if (strcmp(sl_err_row(a)->code, sl_err_row(b)->code) == 0)
                fail_msg("%s and %s have one code", sl_err_row(a)->name, sl_err_row(b)->name);
}

static void row_of_ok_is_200(void **state)
{
    (void)state;
    assert_int_equal(sl_err_row(SL_OK)->status, 200);
    assert_int_equal(sl_err_row(SL_OK)->class, SL_CLASS_none);
}

#define THREADS 4
#define TURNS   10000

static void *count_some(void *arg)
{
    for (unsigned i = 0; i < TURNS; i++)
        sl_err_count(SL_EXISTS);
    return arg;
}

static void count_by_several_threads_adds_up_and_touches_no_other(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    assert_int_equal(sl_err_counted(SL_EXISTS), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_some, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sl_err_counted(SL_EXISTS), THREADS * TURNS);
    for (sl_err err = SL_OK; err < SL_ERR_COUNT; err++)
        if (err != SL_EXISTS)
            assert_int_equal(sl_err_counted(err), 0);
}

struct errno_row {
    int sys_errno;
    sl_err err;
};

static const struct errno_row errnos[] = {
    {ENOSPC, SL_NO_SPACE},
    {EDQUOT, SL_QUOTA},
    {EROFS, SL_READ_ONLY},
    {EIO, SL_IO},
    {EACCES, SL_DENIED},
    {EPERM, SL_DENIED},
    {EEXIST, SL_EXISTS},
    {ENOENT, SL_NOT_FOUND},
    {ENOTDIR, SL_NOT_A_DIRECTORY},
    {EISDIR, SL_IS_A_DIRECTORY},
    {ENAMETOOLONG, SL_NAME_TOO_LONG},
    {EMFILE, SL_TOO_MANY_FILES},
    {ENFILE, SL_TOO_MANY_FILES},
    {ENOMEM, SL_NO_MEMORY},
    {12345, SL_IO},
};

static void of_errno_gives_its_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errnos / sizeof errnos[0]; i++)
        if (sl_err_of_errno(errnos[i].sys_errno) != errnos[i].err)
            fail_msg("errno %d is %s", errnos[i].sys_errno, sl_err_row(sl_err_of_errno(errnos[i].sys_errno))->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_each_row_is_fit_to_be_told),
        cmocka_unit_test(table_no_code_is_there_twice),
        cmocka_unit_test(row_of_ok_is_200),
        cmocka_unit_test(count_by_several_threads_adds_up_and_touches_no_other),
        cmocka_unit_test(of_errno_gives_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
