/* The walk over all that is kept: told once each, and a folder that cannot be read to its end is no shorter one. */
#include "sluice/store/kept_walk.h"

#include "kept_case.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>

static struct store_case c;
static unsigned told, reads_left = UINT_MAX;
static uint64_t bytes;

/* In the place of the C library's: after so many entries the disk fails. */
struct dirent *readdir(DIR *dir)
{
    struct dirent *(*next)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
    if (reads_left == 0) {
        errno = EIO;
        return NULL;
    }
    reads_left--;
    return next(dir);
}

static int setup(void **state)
{
    store_case_open(&c, TEST_THREADS, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    if (!c.root->has_meta) {
        store_case_close(&c);
        skip();
    }
    told = 0;
    bytes = 0;
    return 0;
}

static int teardown(void **state)
{
    reads_left = UINT_MAX;
    store_case_close(&c);
    return 0;
}

static void on_entry(const struct sl_store_kept_entry *entry, void *ctx)
{
    told++;
    bytes += entry->size;
    if (entry->state.len > 0)
        assert_memory_equal(entry->state.base, "state", 5);
    errno = EBADF; /* of the owner's */
}

static void walk_tells_each_that_is_kept(void **state)
{
    kept_make(&c, KEPT_ID, 1000, "state");
    kept_make(&c, KEPT_OTHER, 200, "state");
    scratch_put(&c.scratch, "uploads/other", "not ours");
    assert_int_equal(sl_store_walk_kept(c.scratch.path, on_entry, NULL), SL_OK);
    assert_int_equal(told, 2);
    assert_int_equal(bytes, 1200);
    assert_int_equal(sl_store_walk_kept("/nowhere/at/all", on_entry, NULL), SL_NOT_FOUND);
    assert_int_equal(unlink(kept_path(&c, KEPT_ID)), 0);
    assert_int_equal(unlink(kept_path(&c, KEPT_OTHER)), 0);
    assert_int_equal(unlink(kept_path(&c, "other")), 0);
}

static void walk_that_cannot_read_on_tells_so(void **state)
{
    kept_make(&c, KEPT_ID, 1000, "state");
    for (unsigned n = 0; n < 4; n++) {
        reads_left = n;
        assert_int_equal(sl_store_walk_kept(c.scratch.path, on_entry, NULL), SL_IO);
    }
    assert_int_equal(unlink(kept_path(&c, KEPT_ID)), 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test_setup_teardown(walk_tells_each_that_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(walk_that_cannot_read_on_tells_so, setup, teardown),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
