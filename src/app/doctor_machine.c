/* Kernel, privileges, engine, limits: what /proc and a few calls tell. */
#include "doctor.h"

#include "sluice/app/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CAP_IPC_LOCK_BIT 14
#define POOL_BYTES_MAX   ((uint64_t)64 << 20)

static bool has_openat2(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
    bool is_there = fd >= 0 || (errno != ENOSYS && errno != EPERM);
    if (fd >= 0)
        close((int)fd);
    return is_there;
}

static void look_at_kernel(struct sl_doctor *doctor)
{
    struct utsname name;
    if (uname(&name) != 0)
        return;
    if (has_openat2())
        sl_doctor_say(doctor, SL_LEVEL_OK, "kernel", NULL, "%s %s", name.sysname, name.release);
    else
        sl_doctor_say(doctor, SL_LEVEL_PROBLEM, "kernel",
                      "Linux 5.6 or later, and a seccomp profile that allows openat2",
                      "%s %s without openat2, by which paths are kept below the root", name.sysname, name.release);
}

/* The text behind "KEY:\t" in /proc/self/status. "": it is not there. */
static const char *status_of(const char *key, char *room, size_t bytes)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    size_t len = strlen(key);
    room[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, len) == 0 && line[len] == ':')
            snprintf(room, bytes, "%.*s", (int)strcspn(line + len + 1 + strspn(line + len + 1, " \t"), "\n"),
                     line + len + 1 + strspn(line + len + 1, " \t"));
    if (file != NULL)
        (void)fclose(file);
    return room;
}

static void look_at_seccomp(struct sl_doctor *doctor)
{
    char mode[16];
    bool is_filtered = strcmp(status_of("Seccomp", mode, sizeof mode), "2") == 0;
    sl_doctor_say(doctor, SL_LEVEL_OK, "seccomp", NULL,
                  is_filtered ? "a filter, as of a container: what it takes away is told below" : "no filter");
}

static void look_at_user(struct sl_doctor *doctor)
{
    if (geteuid() != 0)
        sl_doctor_say(doctor, SL_LEVEL_OK, "user", NULL, "uid %u, gid %u", geteuid(), getegid());
    else
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "user", "--user NAME, or start it as another",
                      "root, whom no permission stops");
}

static void look_at_landlock(struct sl_doctor *doctor)
{
    long version = sl_confine_version();
    if (doctor->config->confine == SL_CONFINE_OFF)
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "landlock", "leave confine at auto", "off, as configured");
    else if (version > 0)
        sl_doctor_say(doctor, SL_LEVEL_OK, "landlock", NULL, "version %ld: it will reach only what is served",
                      version);
    else
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "landlock", "Linux 5.19 or later with landlock in its list of lsm=",
                      "none that would do, or it is forbidden: it will reach what its user may");
}

/* With as much memory as one loop will have, within reason: it is touched. */
static void look_at_engine(struct sl_doctor *doctor)
{
    const struct sl_config *config = doctor->config;
    char reason[512];
    uint64_t bytes = config->buffer_memory_bytes / config->loops;
    doctor->slabs = sl_slab_pool_create(bytes < POOL_BYTES_MAX ? bytes : POOL_BYTES_MAX);
    if (sl_disk_create(config->engine, doctor->slabs, &doctor->disk, reason, sizeof reason) != SL_OK)
        sl_doctor_say_reason(doctor, SL_LEVEL_PROBLEM, "engine", reason);
    else /* whatever there is a cure for is worth a note */
        sl_doctor_say_reason(doctor, strstr(reason, "; cure: ") == NULL ? SL_LEVEL_OK : SL_LEVEL_NOTE, "engine",
                             reason);
}

void sl_doctor_look_at_machine(struct sl_doctor *doctor)
{
    look_at_kernel(doctor);
    look_at_user(doctor);
    look_at_seccomp(doctor);
    look_at_engine(doctor);
    look_at_landlock(doctor);
}

/* ---- limits ---- */

static bool may_lock_all(void)
{
    char mask[32];
    return strtoull(status_of("CapEff", mask, sizeof mask), NULL, 16) & UINT64_C(1) << CAP_IPC_LOCK_BIT;
}

/* What is registered with rings counts against it, of all processes of the user together. */
static void look_at_memlock(struct sl_doctor *doctor)
{
    struct rlimit limit;
    char is[16], wanted[16];
    uint64_t bytes = doctor->config->buffer_memory_bytes;
    if (doctor->disk == NULL || strcmp(sl_disk_engine_name(doctor->disk), "io_uring") != 0 ||
        getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY || may_lock_all())
        sl_doctor_say(doctor, SL_LEVEL_OK, "memlock", NULL, "no limit");
    else if (limit.rlim_cur >= bytes)
        sl_doctor_say(doctor, SL_LEVEL_OK, "memlock", NULL, "%s, %s for buffers", sl_doctor_bytes(limit.rlim_cur, is),
                      sl_doctor_bytes(bytes, wanted));
    else
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "memlock",
                      "LimitMEMLOCK=infinity, --ulimit memlock=-1, or less buffer-memory",
                      "%s, too little to register %s of buffers: each write takes more CPU",
                      sl_doctor_bytes(limit.rlim_cur, is), sl_doctor_bytes(bytes, wanted));
}

static void look_at_descriptors(struct sl_doctor *doctor)
{
    const struct sl_budget *budget = &doctor->budget;
    char words[320];
    if (sl_budget_has_fds(budget)) {
        sl_doctor_say(doctor, SL_LEVEL_OK, "descriptors", NULL, "%" PRIu64 ", %" PRIu64 " wanted", budget->fds_limit,
                      budget->fds_wanted);
        return;
    }
    sl_budget_put_fds(budget, doctor->config, words, sizeof words);
    char *cure = strstr(words, "; ");
    if (cure != NULL)
        *cure = '\0';
    sl_doctor_say(doctor, SL_LEVEL_NOTE, "descriptors", cure != NULL ? cure + 2 : NULL, "%s", words);
}

/* The least that this process, its control groups included, may take; 0: not known. */
static uint64_t memory_limit(void)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    uint64_t of_group;
    if (file == NULL)
        return limit;
    if (fscanf(file, "%" SCNu64, &of_group) == 1 && of_group < limit)
        limit = of_group;
    (void)fclose(file);
    return limit;
}

static void look_at_memory(struct sl_doctor *doctor)
{
    uint64_t limit = memory_limit(), bytes = doctor->budget.memory_bytes;
    char is[16], sum[16];
    sl_doctor_bytes(limit, is);
    sl_doctor_bytes(bytes, sum);
    if (bytes <= limit)
        sl_doctor_say(doctor, SL_LEVEL_OK, "memory", NULL, "%s, of which it may take %s at most", is, sum);
    else
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "memory", "more memory, or less of max-connections and buffer-memory",
                      "%s, of which it may take %s at the very worst: see the sum below", is, sum);
}

void sl_doctor_look_at_limits(struct sl_doctor *doctor)
{
    look_at_memlock(doctor);
    look_at_descriptors(doctor);
    look_at_memory(doctor);
}
