/* The command line of sl_load. The only addresses it takes are loopback ones: a load generator pointed at somebody
 * else's machine by a typing mistake is an attack. */
#include "load_options.h"

#include "sluice/base/bytes.h"
#include "sluice/base/clock.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: sl_load --target HOST:PORT [options]       loads an HTTP server on this machine, prints one JSON object\n"
    "       sl_load --print-sha256 --size SIZE         prints the SHA-256 of a file of that size\n"
    "       sl_load --hash-only SIZE                   times SHA-256 alone\n"
    "\n"
    "  --method put|chunked|multipart|post|get|tus|tus-create|tus-abandon\n"
    "                         put; tus is a POST and a PATCH, counted as one; tus-abandon sends half of an upload\n"
    "  --dialect h1|h1-tls|h2c|h2-tls            h1; the others: put over one connection as fast as it goes\n"
    "  --streams N            of HTTP/2 at once, 1\n"
    "  --size SIZE            of one file, 1Mi; sizes take k, M, G, T, Ki, Mi, Gi, Ti\n"
    "  --files N              in one multipart request, 1\n"
    "  --connections N        1\n"
    "  --requests N           in all; one a connection or stream\n"
    "  --rate SIZE            bytes a second and connection; no limit\n"
    "  --path PREFIX          /files/; put appends a unique name, post ?name=, tus has it in its metadata,\n"
    "                         get takes it as it is\n"
    "  --run-id TEXT          part of each name; from time and process\n"
    "  --seed N               of the bytes, 1\n"
    "  --probe PATH           GET it beside the load on a connection of its own\n"
    "  --probe-interval MS    10\n"
    "  --abort-after SIZE|random   break off after so many bytes of the body\n"
    "  --abort reset|half-close    how; reset\n"
    "  --expect               send Expect: 100-continue\n"
    "  --hold                 no connection gets beyond its first bytes until all are up\n"
    "  --duration SECONDS     stop then whatever happens, 300\n"
    "exit: 0 all requests got their 2xx or were broken off as asked, 1 some did not, 2 usage\n";

static bool complain(const char *what, const char *value)
{
    fprintf(stderr, "sl_load: %s: '%s' (see --help)\n", what, value);
    return false;
}

static bool read_count(const char *text, uint64_t least, uint64_t most, uint64_t *value_out)
{
    return sl_bytes_to_u64(sl_bytes_of(text), value_out) && *value_out >= least && *value_out <= most;
}

bool sl_load_size_read(const char *text, uint64_t *size_out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"", 1},
                 {"k", 1000},
                 {"M", 1000000},
                 {"G", 1000000000},
                 {"T", 1000000000000},
                 {"Ki", 1ull << 10},
                 {"Mi", 1ull << 20},
                 {"Gi", 1ull << 30},
                 {"Ti", 1ull << 40}};
    size_t digits = strspn(text, "0123456789");
    uint64_t number;
    if (!sl_bytes_to_u64((struct sl_bytes){text, digits}, &number))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text + digits, units[i].unit) == 0)
            return !__builtin_mul_overflow(number, units[i].factor, size_out);
    return false;
}

/* HOST:PORT, where HOST is localhost, 127.x.y.z or [::1]. */
static bool read_target(struct sl_load_options *options, const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    char host[64];
    if (colon == NULL || (size_t)(colon - text) >= sizeof host || !read_count(colon + 1, 1, 65535, &port))
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    options->host = text;
    if (strcmp(host, "[::1]") == 0) {
        options->target.v6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};
        options->target_bytes = sizeof options->target.v6;
        return true;
    }
    options->target.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    options->target_bytes = sizeof options->target.v4;
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &options->target.v4.sin_addr) != 1)
        return false;
    return ntohl(options->target.v4.sin_addr.s_addr) >> 24 == 127;
}

static bool read_dialect(const char *text, enum sl_load_dialect *dialect_out)
{
    static const char *const names[] = {
        [SL_LOAD_H1] = "h1", [SL_LOAD_H1_TLS] = "h1-tls", [SL_LOAD_H2C] = "h2c", [SL_LOAD_H2_TLS] = "h2-tls"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *dialect_out = (enum sl_load_dialect)i;
            return true;
        }
    return false;
}

static bool read_method(const char *text, enum sl_load_method *method_out)
{
    static const char *const names[] = {
        [SL_LOAD_PUT] = "put",
        [SL_LOAD_CHUNKED] = "chunked",
        [SL_LOAD_MULTIPART] = "multipart",
        [SL_LOAD_POST] = "post",
        [SL_LOAD_GET] = "get",
        [SL_LOAD_TUS] = "tus",
        [SL_LOAD_TUS_CREATE] = "tus-create",
        [SL_LOAD_TUS_ABANDON] = "tus-abandon",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *method_out = (enum sl_load_method)i;
            return true;
        }
    return false;
}

/* A path or an id goes into a request line and a quoted string as it stands: no blank, no control byte, no quote. */
static bool is_plain(const char *text, size_t most)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '"')
            return false;
    return len > 0 && len <= most;
}

enum {
    METHOD = 1,
    DIALECT,
    STREAMS,
    SIZE,
    FILES,
    CONNECTIONS,
    REQUESTS,
    RATE,
    PATH,
    RUN_ID,
    SEED,
    PROBE,
    PROBE_INTERVAL,
    ABORT_AFTER,
    ABORT,
    EXPECT,
    HOLD,
    DURATION,
    TARGET,
    PRINT_SHA256,
    HASH_ONLY,
    HELP
};

static const struct option table[] = {
    {"target", required_argument, NULL, TARGET},
    {"method", required_argument, NULL, METHOD},
    {"dialect", required_argument, NULL, DIALECT},
    {"streams", required_argument, NULL, STREAMS},
    {"size", required_argument, NULL, SIZE},
    {"files", required_argument, NULL, FILES},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"requests", required_argument, NULL, REQUESTS},
    {"rate", required_argument, NULL, RATE},
    {"path", required_argument, NULL, PATH},
    {"run-id", required_argument, NULL, RUN_ID},
    {"seed", required_argument, NULL, SEED},
    {"probe", required_argument, NULL, PROBE},
    {"probe-interval", required_argument, NULL, PROBE_INTERVAL},
    {"abort-after", required_argument, NULL, ABORT_AFTER},
    {"abort", required_argument, NULL, ABORT},
    {"expect", no_argument, NULL, EXPECT},
    {"hold", no_argument, NULL, HOLD},
    {"duration", required_argument, NULL, DURATION},
    {"print-sha256", no_argument, NULL, PRINT_SHA256},
    {"hash-only", required_argument, NULL, HASH_ONLY},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static bool read_abort_after(struct sl_load_options *o, const char *text)
{
    if (o->cut == SL_LOAD_CUT_NEVER)
        o->cut = SL_LOAD_CUT_RESET;
    o->cut_at_random = strcmp(text, "random") == 0;
    return o->cut_at_random || sl_load_size_read(text, &o->cut_after_bytes);
}

static bool read_abort(struct sl_load_options *o, const char *text)
{
    o->cut = strcmp(text, "half-close") == 0 ? SL_LOAD_CUT_HALF_CLOSE : SL_LOAD_CUT_RESET;
    return o->cut == SL_LOAD_CUT_HALF_CLOSE || strcmp(text, "reset") == 0;
}

static bool read_one(struct sl_load_options *o, int key, const char *text)
{
    uint64_t n = 0;
    bool good = true;
    switch (key) {
    case TARGET: return read_target(o, text);
    case METHOD: return read_method(text, &o->method);
    case DIALECT: return read_dialect(text, &o->dialect);
    case STREAMS: good = read_count(text, 1, 10000, &n), o->streams = (unsigned)n; return good;
    case SIZE: return sl_load_size_read(text, &o->size);
    case FILES: good = read_count(text, 1, 99999, &n), o->files = (unsigned)n; return good;
    case CONNECTIONS: good = read_count(text, 1, 100000, &n), o->connections = (unsigned)n; return good;
    case REQUESTS: return read_count(text, 1, UINT32_MAX, &o->requests);
    case RATE: return sl_load_size_read(text, &o->rate) && o->rate > 0 && o->rate <= 1ull << 32;
    case PATH: o->path = text; return is_plain(text, SL_LOAD_PATH_MAX) && text[0] == '/';
    case RUN_ID: snprintf(o->run_id, sizeof o->run_id, "%s", text); return is_plain(text, SL_LOAD_RUN_ID_MAX);
    case SEED: return read_count(text, 0, UINT64_MAX, &o->seed);
    case PROBE: o->probe_path = text; return is_plain(text, SL_LOAD_PATH_MAX) && text[0] == '/';
    case PROBE_INTERVAL: good = read_count(text, 1, 60000, &n), o->probe_interval_ms = (unsigned)n; return good;
    case ABORT_AFTER: return read_abort_after(o, text);
    case ABORT: return read_abort(o, text);
    case EXPECT: o->expect = true; return true;
    case HOLD: o->hold = true; return true;
    case DURATION: good = read_count(text, 1, 86400, &n), o->duration_s = (unsigned)n; return good;
    case PRINT_SHA256: o->task = SL_LOAD_TASK_PRINT_SHA256; return true;
    case HASH_ONLY: o->task = SL_LOAD_TASK_HASH; return sl_load_size_read(text, &o->size);
    case HELP: fputs(help, stdout); exit(0);
    default: return false;
    }
}

/* Of the dialects beside plain HTTP/1.1 only uploads at full speed are wanted. */
static bool fits_dialect(const struct sl_load_options *o)
{
    bool is_h2 = o->dialect == SL_LOAD_H2C || o->dialect == SL_LOAD_H2_TLS;
    bool is_simple = o->method == SL_LOAD_PUT && o->connections == 1 && o->rate == 0 && o->probe_path == NULL &&
                     o->cut == SL_LOAD_CUT_NEVER && !o->expect && !o->hold;
    return (o->dialect == SL_LOAD_H1 || is_simple) && (is_h2 || o->streams == 1);
}

bool sl_load_options_read(struct sl_load_options *o, int argc, char **argv)
{
    *o = (struct sl_load_options){.size = 1 << 20,
                                  .files = 1,
                                  .connections = 1,
                                  .streams = 1,
                                  .path = "/files/",
                                  .seed = 1,
                                  .probe_interval_ms = 10,
                                  .duration_s = 300};
    snprintf(o->run_id, sizeof o->run_id, "%x-%x", (unsigned)(sl_clock_wall_ns() / SL_SEC), (unsigned)getpid());
    int key, which;
    while ((key = getopt_long(argc, argv, "", table, &which)) != -1) {
        if (key == '?')
            return false; /* getopt has said why */
        if (!read_one(o, key, optarg))
            return complain(table[which].name, optarg != NULL ? optarg : "");
    }
    if (optind < argc)
        return complain("unexpected argument", argv[optind]);
    if (o->task == SL_LOAD_TASK_LOAD && o->target_bytes == 0)
        return complain("--target is missing", "");
    if (o->cut != SL_LOAD_CUT_NEVER && !o->cut_at_random && o->cut_after_bytes == 0)
        return complain("--abort needs --abort-after", "");
    if (o->method == SL_LOAD_TUS && o->expect)
        return complain("--expect does not go with --method", "tus");
    if (!fits_dialect(o))
        return complain("--dialect or --streams does not go with the other options", "");
    if (o->size == 0)
        o->expect = false; /* there is no body to wait with */
    if (o->requests == 0)
        o->requests = (uint64_t)o->connections * o->streams;
    return true;
}
