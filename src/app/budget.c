/* Every connection takes one descriptor; so does each upload, and now and then a folder on the way to its name; so does
 * each download. Connections have what max-connections says, but leave two of five to files; of these uploads may take
 * three of four. What is left is for what is short-lived: it keeps downloads and commits going when the others are
 * full. */
#include "sluice/app/budget.h"

#include "sluice/http/cost.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define FDS_A_LOOP       64u   /* listeners, event loop, ring, wake-ups, logs */
#define FDS_MIN          15u   /* there is no serving with less */
#define FILES_A_LOOP_MAX 8192u /* each takes SL_HTTP_UPLOAD_BYTES beside its buffers */

#define FDS_ROOM_MAX (UINT64_C(1) << 20) /* 8 MiB of the kernel */

#define PROGRAM_BYTES ((uint64_t)24 << 20)  /* code, libraries, and what malloc keeps between uses */
#define LOOP_BYTES    ((uint64_t)2 << 20)   /* event loop, ring, eight threads for the disk; the reaper's room */
#define HASHER_BYTES  ((uint64_t)128 << 10) /* the stack of a thread, as far as it is touched */
#define PEER_BYTES    ((uint64_t)96)        /* two to four places of a table at most half full */

static void add_to(struct sl_budget_term *terms, size_t *count, struct sl_budget_term term)
{
    assert(*count < SL_BUDGET_TERMS_MAX);
    terms[(*count)++] = term;
}

static void deal_fds(const struct sl_config *config, uint64_t limit, struct sl_budget *budget)
{
    unsigned loops = config->loops, wanted = (config->max_connections + loops - 1) / loops;
    uint64_t fixed = (uint64_t)FDS_A_LOOP * loops;
    uint64_t each = limit > fixed ? (limit - fixed) / loops : 0;
    if (each < FDS_MIN)
        each = FDS_MIN;
    budget->connections_max = wanted < each / 5 * 3 ? wanted : (unsigned)(each / 5 * 3);
    uint64_t files = (each - budget->connections_max) / 4 * 3;
    budget->files_max = files < FILES_A_LOOP_MAX ? (unsigned)files : FILES_A_LOOP_MAX;
    budget->connections = budget->connections_max * loops;
    budget->fds_limit = limit;
    budget->fds_wanted = fixed + 3 * (uint64_t)wanted * loops;
    const struct sl_budget_term terms[] = {
        {"loops", loops, FDS_A_LOOP, "listeners, event loop, ring, wake-ups, logs"},
        {"connections", (uint64_t)wanted * loops, 1, "max-connections"},
        {"uploads", (uint64_t)wanted * loops, 1, "as many files being written as connections"},
        {"reserve", (uint64_t)wanted * loops, 1, "files being read, folders on the way to a name"},
    };
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++)
        add_to(budget->fds, &budget->fds_terms, terms[i]);
}

static uint64_t buffer_bytes_of_loop(const struct sl_config *config)
{
    return config->buffer_memory_bytes / config->loops / SL_SLAB_REGION_BYTES * SL_SLAB_REGION_BYTES;
}

static bool has_tls(const struct sl_config *config)
{
    return config->tls_certs.count > 0;
}

static void sum_memory(const struct sl_config *config, struct sl_budget *budget)
{
    unsigned loops = config->loops;
    uint64_t peers = config->max_connections_per_address > 0 ? budget->connections : 0;
    uint64_t owners = config->max_uploads_per_address > 0 ? config->max_uploads : 0;
    const struct sl_budget_term terms[] = {
        {"program", 1, PROGRAM_BYTES, "code, libraries, what malloc keeps between uses"},
        {"buffers", loops, buffer_bytes_of_loop(config), "buffer-memory, dealt out to the loops in whole MiB"},
        {"loops", loops, LOOP_BYTES, "event loop, ring, threads for the disk"},
        {"hash threads", config->hash_threads, HASHER_BYTES, "their stacks"},
        {"connections", budget->connections, SL_HTTP_CONNECTION_BYTES, "max-connections, each with a whole head"},
        {"TLS", has_tls(config) ? budget->connections : 0, SL_HTTP_TLS_BYTES, "a handshake, records in part"},
        {"uploads", (uint64_t)budget->files_max * loops, SL_HTTP_UPLOAD_BYTES, "as many as there are files for"},
        {"HTTP/2", loops, sl_http_h2_bytes(), "heads, answers, held bodies and unwritten frames of a loop"},
        {"forms", loops, sl_http_form_bytes(), "text fields, and the answers that tell them"},
        {"addresses", peers + owners, PEER_BYTES, "the counts of max-...-per-address"},
    };
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        if (terms[i].count == 0)
            continue;
        add_to(budget->memory, &budget->memory_terms, terms[i]);
        budget->memory_bytes += terms[i].count * terms[i].each;
    }
}

void sl_budget_make(const struct sl_config *config, uint64_t fds_limit, struct sl_budget *budget_out)
{
    *budget_out = (struct sl_budget){0};
    deal_fds(config, fds_limit, budget_out);
    sum_memory(config, budget_out);
}

bool sl_budget_has_fds(const struct sl_budget *budget)
{
    return budget->fds_wanted <= budget->fds_limit;
}

void sl_budget_put_fds(const struct sl_budget *budget, const struct sl_config *config, char *words_out, size_t room)
{
    snprintf(
        words_out, room,
        "%" PRIu64
        " are enough for %u of the %u connections of max-connections, and %u uploads at once; raise the hard limit"
        " to %" PRIu64 " (LimitNOFILE=, --ulimit nofile, ulimit -Hn), or set max-connections lower",
        budget->fds_limit, budget->connections, config->max_connections, budget->files_max * config->loops,
        budget->fds_wanted);
}

uint64_t sl_budget_raise_fds(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

void sl_budget_make_room_for_fds(const struct sl_budget *budget)
{
    uint64_t count = budget->fds_wanted < budget->fds_limit ? budget->fds_wanted : budget->fds_limit;
    if (count > FDS_ROOM_MAX)
        count = FDS_ROOM_MAX;
    int any = eventfd(0, EFD_CLOEXEC);
    int last = fcntl(any, F_DUPFD_CLOEXEC, (int)count - 1); /* the room stays when it is closed */
    if (last >= 0)
        close(last);
    if (any >= 0)
        close(any);
}
