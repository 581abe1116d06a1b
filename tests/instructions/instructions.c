/* Runs each path some times and has callgrind write down what each time took, in a file of its own: count.py reads
 * them. Without callgrind it only does the work, and sees that it is done.
 *
 * The process has one thread, its clock stands still, and what it draws by lot is counted up: it takes the same way
 * each time, on any machine. */
#include "paths.h"

#include <gnu/libc-version.h>
#include <stdint.h>
#include <string.h>
#include <valgrind/callgrind.h>

#define WARM_UPS 3
#define TIMES    5

void path_fill(char *into, size_t len)
{
    uint32_t x = 0x9e3779b9;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        into[i] = (char)(x >> 24);
    }
}

/* Callgrind's switches stand here alone, so that nothing else is between them. */
static void run_once(const struct path *path, bool is_counted)
{
    if (path->ready != NULL)
        path->ready();
    if (is_counted)
        CALLGRIND_TOGGLE_COLLECT;
    path->once();
    if (is_counted) {
        CALLGRIND_TOGGLE_COLLECT;
        CALLGRIND_DUMP_STATS_AT(path->name);
    }
    if (path->check != NULL)
        path->check();
}

static void run(const struct path *path)
{
    const char *why_not = path->why_not != NULL ? path->why_not() : NULL;
    if (why_not != NULL) {
        printf("left-out %s %s\n", path->name, why_not);
        return;
    }
    printf("path %s %s\n", path->name, path->what);
    for (unsigned i = 0; i < WARM_UPS; i++)
        run_once(path, false);
    for (unsigned i = 0; i < TIMES; i++)
        run_once(path, true);
}

int main(int argc, char **argv)
{
    static const struct path *const tables[] = {decode_paths, hash_paths, server_paths};
    printf("source %s\ncompiler gcc-%s\nlibc %s\n", SOURCE_DIR, __VERSION__, gnu_get_libc_version());
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct path *path = tables[i]; path->name != NULL; path++)
            run(path);
    server_paths_end();
    return 0;
}
