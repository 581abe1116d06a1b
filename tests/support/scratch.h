/* A folder of its own for one test case, and what is asked about the files in it. Teardown sees that no fd was left. */
#ifndef SLUICE_TESTS_SCRATCH_H
#define SLUICE_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scratch {
    char path[64];
    unsigned fds_before;
};

/* File descriptors this process has open. */
unsigned scratch_count_fds(void);

/* Makes an empty folder below TMPDIR, or /tmp. */
void scratch_make(struct scratch *scratch);

/* Removes the folder with all in it; asserts that as many fds are open as before scratch_make. */
void scratch_remove(struct scratch *scratch);

/* "<folder>/<name>"; lives until the next call. */
const char *scratch_path(const struct scratch *scratch, const char *name);

/* true: there is something of that name, be it a dangling link. */
bool scratch_has(const struct scratch *scratch, const char *name);

/* Entries of the folder `name`, those that begin with '.' left out; 0 if there is none. */
unsigned scratch_count(const struct scratch *scratch, const char *name);

/* Makes a file that holds `text`. */
void scratch_put(const struct scratch *scratch, const char *name, const char *text);

/* Asserts that the file is `len` bytes long and holds those. */
void scratch_expect(const struct scratch *scratch, const char *name, const void *bytes, size_t len);

#endif
