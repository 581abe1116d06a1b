/* What is counted: paths of the program, each with a small input of its own. */
#ifndef SLUICE_TESTS_INSTRUCTIONS_PATHS_H
#define SLUICE_TESTS_INSTRUCTIONS_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct path {
    const char *name, *what;      /* what is done once */
    void (*ready)(void);          /* before each time, not counted; NULL: nothing */
    void (*once)(void);           /* counted; it does the same each time */
    void (*check)(void);          /* behind each time, not counted: the work was done; NULL: once sees to it */
    const char *(*why_not)(void); /* a reason not to count it on this machine, or NULL; NULL: there never is one */
};

/* Each ends with a path without a name. */
extern const struct path decode_paths[], hash_paths[], server_paths[];

/* Ends what server_paths began. */
void server_paths_end(void);

/* Ends the program and tells, if it does not hold: work that is not done costs nothing. */
#define must(holds) ((holds) ? (void)0 : path_failed(#holds, __FILE__, __LINE__))
_Noreturn static inline void path_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    exit(1);
}

/* A reason on a processor without AVX2. */
static inline const char *path_needs_avx2(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return NULL;
#endif
    return "the processor has no AVX2";
}

/* Bytes that look random and are the same everywhere. */
void path_fill(char *into, size_t len);

#endif
