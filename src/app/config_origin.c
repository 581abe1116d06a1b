/* The origins whose pages may use the server. They are kept as browsers write them (RFC 6454 section 6.2, the URL
 * standard), so that a request's Origin can be compared byte by byte. */
#include "options.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ORIGIN_BYTES_MAX 512
#define CURE             "write SCHEME://HOST or SCHEME://HOST:PORT without a path, e.g. https://app.example.org"

struct origin {
    struct sl_bytes scheme, host, port; /* port: empty if there is none */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_made_of(struct sl_bytes s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.base[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return s.len > 0;
}

/* Splits; what the pieces hold is checked afterwards. The value holds no NUL. */
static bool split(struct sl_bytes value, struct origin *origin_out)
{
    const char *mark = memmem(value.base, value.len, "://", 3), *end = value.base + value.len;
    if (mark == NULL)
        return false;
    origin_out->scheme = (struct sl_bytes){value.base, (size_t)(mark - value.base)};
    const char *host = mark + 3, *from = host;
    if (host < end && *host == '[') { /* the colons of an IPv6 address are its own */
        from = memchr(host, ']', (size_t)(end - host));
        if (from == NULL)
            return false;
    }
    const char *colon = memchr(from, ':', (size_t)(end - from));
    origin_out->host = (struct sl_bytes){host, (size_t)((colon != NULL ? colon : end) - host)};
    origin_out->port = colon == NULL ? (struct sl_bytes){0} : (struct sl_bytes){colon + 1, (size_t)(end - colon) - 1};
    return colon == NULL || origin_out->port.len > 0;
}

static void put_lower(struct sl_text *text, struct sl_bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.base[i] >= 'A' && s.base[i] <= 'Z' ? (char)(s.base[i] - 'A' + 'a') : s.base[i];
        sl_text_put(text, (struct sl_bytes){&c, 1});
    }
}

/* A name (of international ones the ASCII form), an IPv4 address, or an IPv6 address in brackets. */
static bool put_host(struct sl_text *text, struct sl_bytes host)
{
    if (host.len == 0 || host.base[0] != '[') {
        put_lower(text, host);
        return is_made_of(host, "-._");
    }
    char address[INET6_ADDRSTRLEN];
    struct in6_addr in6;
    if (host.base[host.len - 1] != ']' || host.len - 2 >= sizeof address)
        return false;
    memcpy(address, host.base + 1, host.len - 2);
    address[host.len - 2] = '\0';
    if (inet_pton(AF_INET6, address, &in6) != 1)
        return false;
    sl_text_printf(text, "[%s]", inet_ntop(AF_INET6, &in6, address, sizeof address));
    return true;
}

/* Browsers leave the port out where the scheme implies it. */
static bool put_port(struct sl_text *text, struct sl_bytes scheme, struct sl_bytes digits)
{
    uint64_t port;
    if (digits.len == 0)
        return true;
    if (!sl_bytes_to_u64(digits, &port) || port == 0 || port > UINT16_MAX)
        return false;
    bool is_implied = (port == 80 && sl_bytes_equal_nocase(scheme, SL_BYTES("http"))) ||
                      (port == 443 && sl_bytes_equal_nocase(scheme, SL_BYTES("https")));
    if (!is_implied)
        sl_text_printf(text, ":%u", (unsigned)port);
    return true;
}

static bool put_origin(struct sl_text *text, struct sl_bytes value)
{
    struct origin origin;
    if (!split(value, &origin) || !is_made_of(origin.scheme, "+-.") || !is_letter(origin.scheme.base[0]))
        return false;
    put_lower(text, origin.scheme);
    sl_text_put(text, SL_BYTES("://"));
    return put_host(text, origin.host) && put_port(text, origin.scheme, origin.port) && !text->full;
}

static bool has_origin(const char *list, struct sl_bytes origin)
{
    for (const char *space; *list != '\0'; list = *space != '\0' ? space + 1 : space) {
        space = strchrnul(list, ' ');
        if (sl_bytes_equal((struct sl_bytes){list, (size_t)(space - list)}, origin))
            return true;
    }
    return false;
}

static void append(char **member, struct sl_bytes origin)
{
    if (has_origin(*member, origin))
        return;
    size_t room = strlen(*member) + origin.len + 2;
    struct sl_text list;
    char *base = malloc(room);
    if (base == NULL)
        abort();
    sl_text_init(&list, base, room);
    sl_text_printf(&list, "%s%s", *member, **member != '\0' ? " " : "");
    sl_text_put(&list, origin);
    assert(!list.full);
    free(*member);
    *member = base;
}

/* "none" and "*" stand alone. */
static bool set_alone(struct sl_config_load *load, const struct sl_setting *setting, char **member, bool is_first)
{
    bool is_none = sl_bytes_equal(setting->value, SL_BYTES("none"));
    if (!is_first)
        return sl_config_refuse(load, setting, "cannot stand beside others; write %s alone, or leave it out",
                                is_none ? "none" : "*");
    sl_config_keep_text(member, is_none ? SL_BYTES("") : setting->value);
    return true;
}

bool sl_config_add_origin(struct sl_config_load *load, const struct sl_setting *setting, char **member, bool is_first)
{
    struct sl_bytes value = setting->value;
    if (sl_bytes_equal(value, SL_BYTES("none")) || sl_bytes_equal(value, SL_BYTES("*")))
        return set_alone(load, setting, member, is_first);
    if (is_first)
        sl_config_keep_text(member, SL_BYTES(""));
    else if (**member == '\0' || strcmp(*member, "*") == 0)
        return sl_config_refuse(load, setting, "cannot stand beside %s; write one of the two",
                                **member == '\0' ? "none" : "*");
    if (sl_bytes_equal(value, SL_BYTES("null")))
        return sl_config_refuse(load, setting,
                                "is what every sandboxed page and local file calls itself; " CURE ", or * for all");
    char room[ORIGIN_BYTES_MAX];
    struct sl_text origin;
    sl_text_init(&origin, room, sizeof room);
    if (!put_origin(&origin, value))
        return sl_config_refuse(load, setting, "is not an origin; " CURE ", * for all, or none");
    append(member, (struct sl_bytes){origin.base, origin.len});
    return true;
}
