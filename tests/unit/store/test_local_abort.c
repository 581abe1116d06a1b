/* Aborting empties the file first, so that its space is back; but never one that may be seen under its final name. */
#include "fake_disk.h"
#include "store_case.h"

#include <errno.h>
#include <sys/stat.h>

#define SIZE ((size_t)100000)

static struct store_case c;

static int setup(void **state)
{
    store_case_open(&c, TEST_FAKE, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

static void abort_before_the_name_empties_the_file(void **state)
{
    assert_int_equal(store_begin(&c, SIZE), SL_OK);
    assert_int_equal(store_write(&c, 0, SIZE), SL_OK);
    int watcher = dup(c.object.fd);
    store_abort(&c);
    struct stat st;
    assert_int_equal(fstat(watcher, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(st.st_blocks, 0);
    close(watcher);
}

static void abort_goes_on_when_the_file_cannot_be_emptied(void **state)
{
    store_case_force_named(&c);
    unsigned fds = scratch_count_fds();
    assert_int_equal(store_begin(&c, SIZE), SL_OK);
    fake_disk_fail(c.disk, SL_DISK_TRUNCATE, 1, EIO);
    store_abort(&c);
    assert_int_equal(scratch_count_fds(), fds);
}

/* The folder's sync fails and, as on a file system that turned read-only, the name cannot be taken away again. It is
 * absent or whole all the same. */
static void abort_of_what_kept_its_name_leaves_it_whole(void **state)
{
    static const enum sl_conflict conflicts[] = {SL_CONFLICT_ERROR, SL_CONFLICT_OVERWRITE};
    for (int is_named = 0; is_named < 2; is_named++)
        for (size_t i = 0; i < 2; i++) {
            char path[16];
            snprintf(path, sizeof path, "%d-%zu", is_named, i);
            c.root->has_unnamed = !is_named;
            fake_disk_fail(c.disk, SL_DISK_SYNC, 2, EIO);
            fake_disk_fail(c.disk, SL_DISK_UNLINK, is_named ? 2 : 1, EROFS);
            assert_int_equal(store_put(&c, path, SIZE, conflicts[i]), SL_IO);
            store_expect(&c, path, SIZE);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(abort_before_the_name_empties_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(abort_goes_on_when_the_file_cannot_be_emptied, setup, teardown),
        cmocka_unit_test_setup_teardown(abort_of_what_kept_its_name_leaves_it_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
