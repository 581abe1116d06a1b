/* /healthz and not /readyz where nobody says otherwise: who restarts what is not healthy should not do so because a
 * disk is full. A small client of our own and not libcurl: that would bring some twenty libraries into every process
 * that serves, and into the image, for one line to be sent and one to be read. */
#include "sluice/app/health.h"

#include "show.h"
#include "sluice/net/ask.h"

#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 4
#define TIMEOUT_MS    4000u /* Docker gives a check 30 s, Kubernetes one of its own */
#define TARGET        "/healthz"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    } name;
    socklen_t bytes;
};

struct asked {
    struct address at[ADDRESSES_MAX]; /* one behind the other, until one is there: localhost is ::1 and 127.0.0.1 */
    size_t count;
    bool is_tls;
    char host[300], target[512];
    char url[1024]; /* for the line */
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- whom ---- */

/* Who listens on all addresses is asked on the loopback. */
static bool take_listener(const struct sl_listen *listen, struct asked *asked, const char **why_out)
{
    struct address *address = &asked->at[asked->count++];
    memcpy(&address->name, &listen->address, listen->address_bytes);
    address->bytes = listen->address_bytes;
    asked->is_tls = listen->is_tls;
    uint16_t port = 1;
    if (listen->kind == SL_LISTEN_ALL) {
        port = listen->address.in6.sin6_port;
        address->name.in =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        address->bytes = sizeof address->name.in;
    } else if (listen->kind == SL_LISTEN_IPV4) {
        port = listen->address.in.sin_port;
        if (listen->address.in.sin_addr.s_addr == htonl(INADDR_ANY))
            address->name.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (listen->kind == SL_LISTEN_IPV6) {
        port = listen->address.in6.sin6_port;
        if (IN6_IS_ADDR_UNSPECIFIED(&listen->address.in6.sin6_addr))
            address->name.in6.sin6_addr = in6addr_loopback;
    }
    snprintf(asked->host, sizeof asked->host, "localhost");
    snprintf(asked->target, sizeof asked->target, TARGET);
    snprintf(asked->url, sizeof asked->url, "%s, " TARGET, listen->text);
    *why_out = "its port is any free one: name the URL";
    return port != 0;
}

static bool take_unix(const char *path, struct asked *asked, const char **why_out)
{
    *why_out = "the path of the socket is too long, or empty";
    struct address *address = &asked->at[asked->count++];
    if (path[0] == '\0' || strlen(path) >= sizeof address->name.un.sun_path)
        return false;
    address->name.un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->name.un.sun_path, path, strlen(path));
    address->bytes = sizeof address->name.un;
    snprintf(asked->host, sizeof asked->host, "localhost");
    snprintf(asked->target, sizeof asked->target, TARGET);
    return true;
}

static bool resolve(const char *name, const char *port, struct asked *asked)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(name, port, &hints, &found) != 0)
        return false;
    for (struct addrinfo *each = found; each != NULL && asked->count < ADDRESSES_MAX; each = each->ai_next) {
        struct address *address = &asked->at[asked->count++];
        memcpy(&address->name, each->ai_addr, each->ai_addrlen);
        address->bytes = each->ai_addrlen;
    }
    freeaddrinfo(found);
    return asked->count > 0;
}

/* http://HOST[:PORT][/TARGET], of HOST an IPv6 address in brackets. */
static bool take_url(const char *url, struct asked *asked, const char **why_out)
{
    char name[256];
    asked->is_tls = starts_with(url, "https://");
    *why_out = "write http://HOST:PORT, https://HOST:PORT or unix:PATH";
    if (!asked->is_tls && !starts_with(url, "http://"))
        return false;
    const char *host = strchr(url, ':') + 3;
    size_t host_len = strcspn(host, "/?#");
    const char *target = host + host_len;
    bool is_bare = *target != '/' || target[1] == '\0';
    if (host_len == 0 || host_len >= sizeof asked->host || strlen(target) >= sizeof asked->target ||
        strpbrk(url, " \r\n\t") != NULL)
        return false;
    snprintf(asked->host, sizeof asked->host, "%.*s", (int)host_len, host);
    snprintf(asked->target, sizeof asked->target, "%s", is_bare ? TARGET : target);
    const char *bracket = host[0] == '[' ? strchr(asked->host, ']') : NULL;
    const char *colon = strchr(bracket != NULL ? bracket : asked->host, ':');
    const char *begin = bracket != NULL ? asked->host + 1 : asked->host;
    const char *end = bracket != NULL ? bracket : colon != NULL ? colon : asked->host + host_len;
    if ((size_t)(end - begin) >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(end - begin), begin);
    *why_out = "there is no such host or port";
    return resolve(name, colon != NULL ? colon + 1 : asked->is_tls ? "443" : "80", asked);
}

/* Where no URL is given: what is asked for is at the operator's own address, if there is one. */
static const struct sl_listen *own_listener(const struct sl_config *config)
{
    return config->admin_listeners.count > 0 ? &config->admin_listeners.at[0] : &config->listeners.at[0];
}

static bool find_asked(const struct sl_config *config, struct asked *asked, const char **why_out)
{
    const char *url = config->health_url;
    if (url[0] == '\0')
        return take_listener(own_listener(config), asked, why_out);
    snprintf(asked->url, sizeof asked->url, "%s", url);
    if (starts_with(url, "unix:"))
        return take_unix(url + strlen("unix:"), asked, why_out);
    return take_url(url, asked, why_out);
}

/* ---- what came of it ---- */

static bool tell(FILE *out, bool is_well, const struct asked *asked, const char *words)
{
    fputs(is_well ? "healthy: " : "unhealthy: ", out);
    sl_show_text(out, sl_bytes_of(asked->url), false);
    fprintf(out, ": %s\n", words);
    return is_well;
}

bool sl_health_check(const struct sl_config *config, FILE *out)
{
    struct asked asked = {0};
    char words[256];
    const char *why;
    int status = 0;
    if (!find_asked(config, &asked, &why))
        return tell(out, false, &asked, why);
    sl_err err = SL_NOT_FOUND;
    for (size_t i = 0; i < asked.count && err != SL_OK; i++) {
        struct sl_ask ask = {.address = &asked.at[i].name.any,
                             .address_bytes = asked.at[i].bytes,
                             .is_tls = asked.is_tls,
                             .host = asked.host,
                             .target = asked.target,
                             .timeout_ms = TIMEOUT_MS};
        err = sl_ask(&ask, &status, words, sizeof words);
    }
    if (err != SL_OK)
        return tell(out, false, &asked, words);
    snprintf(words, sizeof words, "%d", status);
    return tell(out, status == 200, &asked, words);
}
