/* Any bytes as the query of GET /files/: refused, or answered with just the names that the same query picks out of a
 * list of them all, in order, and with where to go on. Links a whole server (server.h). */
#include "server.h"

#include "sluice/decode/path.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#define ANSWER_BYTES ((size_t)64 << 10)
#define QUERY_MAX    4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In the order of their bytes. "f" is there in every case. */
static const char *const names[] = {"a b", "a+", "a-b/x", "a.txt", "a/b", "a/b0", "a/c/d", "b/a", "f", "\xc3\xa9"};
#define NAMES (sizeof names / sizeof names[0])

static void lay_files(void)
{
    static const char *const folders[] = {"files/a-b", "files/a", "files/a/c", "files/b"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        must(mkdir(scratch_path(&fuzz_case.h.u.scratch, folders[i]), 0700) == 0);
    for (size_t i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof name, "files/%s", names[i]);
        int fd = open(scratch_path(&fuzz_case.h.u.scratch, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        must(fd >= 0);
        close(fd);
    }
}

/* The answer of a connection that closes behind it, in static memory. */
static const char *ask(const uint8_t *query, size_t len)
{
    static char answer[ANSWER_BYTES];
    static const char head[] = "GET /files/?", tail[] = " HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    struct fuzz_client *client = fuzz_client(0);
    client->is_reading = false;
    must(fuzz_say(client, (const uint8_t *)head, sizeof head - 1));
    must(fuzz_say(client, query, len));
    must(fuzz_say(client, (const uint8_t *)tail, sizeof tail - 1));
    fuzz_settle();
    ssize_t n = recv(client->fd, answer, sizeof answer - 1, 0);
    must(n > 0 && (size_t)n < sizeof answer - 1);
    answer[n] = '\0';
    return answer;
}

struct wish {
    char prefix[SL_PATH_BYTES_MAX + 1], after[SL_PATH_BYTES_MAX + 1], limit[24];
    uint64_t limit_max;
};

/* false: it is to be refused. */
static bool read_wish(struct sl_bytes query, struct wish *wish)
{
    size_t prefix_len, after_len, limit_len;
    if (sl_query_find(query, "prefix", wish->prefix, sizeof wish->prefix, &prefix_len) != SL_OK ||
        sl_query_find(query, "after", wish->after, sizeof wish->after, &after_len) != SL_OK ||
        sl_query_find(query, "limit", wish->limit, sizeof wish->limit, &limit_len) != SL_OK)
        return false;
    wish->limit_max = 1000;
    if (limit_len == 0)
        return true;
    bool is_number = sl_bytes_to_u64((struct sl_bytes){wish->limit, limit_len}, &wish->limit_max);
    return is_number && wish->limit_max >= 1 && wish->limit_max <= 1000;
}

static bool is_wanted(const struct wish *wish, const char *name)
{
    return strncmp(name, wish->prefix, strlen(wish->prefix)) == 0 && strcmp(name, wish->after) > 0;
}

static void check_list(const struct wish *wish, const char *body)
{
    json_t *json = json_loads(body, 0, NULL), *files = json_object_get(json, "files");
    const char *next = json_string_value(json_object_get(json, "next")), *last = NULL;
    size_t told = 0;
    must(json != NULL && json_is_array(files) && json_array_size(files) <= wish->limit_max);
    bool is_more = false;
    for (size_t i = 0; i < NAMES; i++) {
        if (!is_wanted(wish, names[i]))
            continue;
        is_more = told == wish->limit_max;
        if (is_more)
            break;
        const char *name = json_string_value(json_object_get(json_array_get(files, told), "name"));
        must(name != NULL && strcmp(name, names[i]) == 0);
        last = names[i];
        told++;
    }
    must(told == json_array_size(files));
    must(is_more ? next != NULL && strcmp(next, last) == 0 : next == NULL);
    json_decref(json);
}

static bool is_of_a_target(const uint8_t *query, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (query[i] <= ' ' || query[i] >= 0x7f || query[i] == '#')
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wish wish;
    if (size > QUERY_MAX)
        return 0;
    fuzz_server_begin();
    lay_files();
    const char *answer = ask(data, size);
    struct sl_bytes query = {(const char *)data, size};
    bool is_listed = strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
    if (!is_listed)
        must(strncmp(answer, "HTTP/1.1 400 ", 13) == 0);
    if (is_of_a_target(data, size))
        must(is_listed == read_wish(query, &wish));
    if (is_listed && is_of_a_target(data, size))
        check_list(&wish, strstr(answer, "\r\n\r\n") + 4);
    fuzz_server_end();
    return 0;
}
