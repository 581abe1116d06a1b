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

#define TIMEOUT_MS 4000u /* Docker gives a check 30 s, Kubernetes one of its own */
#define TARGET     "/healthz"

struct asked {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    } address;
    socklen_t address_bytes;
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
    memcpy(&asked->address, &listen->address, listen->address_bytes);
    asked->address_bytes = listen->address_bytes;
    asked->is_tls = listen->is_tls;
    uint16_t port = 1;
    if (listen->kind == SL_LISTEN_ALL) {
        port = listen->address.in6.sin6_port;
        asked->address.in =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        asked->address_bytes = sizeof asked->address.in;
    } else if (listen->kind == SL_LISTEN_IPV4) {
        port = listen->address.in.sin_port;
        if (listen->address.in.sin_addr.s_addr == htonl(INADDR_ANY))
            asked->address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (listen->kind == SL_LISTEN_IPV6) {
        port = listen->address.in6.sin6_port;
        if (IN6_IS_ADDR_UNSPECIFIED(&listen->address.in6.sin6_addr))
            asked->address.in6.sin6_addr = in6addr_loopback;
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
    if (path[0] == '\0' || strlen(path) >= sizeof asked->address.un.sun_path)
        return false;
    asked->address.un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(asked->address.un.sun_path, path, strlen(path));
    asked->address_bytes = sizeof asked->address.un;
    snprintf(asked->host, sizeof asked->host, "localhost");
    snprintf(asked->target, sizeof asked->target, TARGET);
    return true;
}

static bool resolve(const char *name, const char *port, struct asked *asked)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(name, port, &hints, &found) != 0)
        return false;
    memcpy(&asked->address, found->ai_addr, found->ai_addrlen);
    asked->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
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

static bool find_asked(const struct sl_config *config, struct asked *asked, const char **why_out)
{
    const char *url = config->health_url;
    if (url[0] == '\0')
        return take_listener(&config->listeners.at[0], asked, why_out);
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
    struct sl_ask ask = {.address = &asked.address.any,
                         .address_bytes = asked.address_bytes,
                         .is_tls = asked.is_tls,
                         .host = asked.host,
                         .target = asked.target,
                         .timeout_ms = TIMEOUT_MS};
    if (sl_ask(&ask, &status, words, sizeof words) != SL_OK)
        return tell(out, false, &asked, words);
    snprintf(words, sizeof words, "%d", status);
    return tell(out, status == 200, &asked, words);
}
