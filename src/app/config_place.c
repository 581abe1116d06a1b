/* The values that name places: addresses to listen on, networks, the public URL, the path of the resource and the
 * template of names. They are only read here; whether an address can be bound is found out when it is bound. */
#include "options.h"
#include "sluice/decode/path.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LISTEN_CURE \
    "write 127.0.0.1:8080, [::1]:8080, :8080 for all addresses, or unix:/run/sluice.sock, and tls behind it for HTTPS"

/* Cuts `prefix` off the front; false: it is not there. */
static bool take_prefix(struct sl_bytes *s, const char *prefix)
{
    size_t len = strlen(prefix);
    if (s->len < len || memcmp(s->base, prefix, len) != 0)
        return false;
    s->base += len;
    s->len -= len;
    return true;
}

/* unix:PATH, the prefix already gone. */
static bool read_unix(struct sl_bytes path, struct sl_listen *listen)
{
    struct sockaddr_un *un = &listen->address.un;
    if (path.len == 0 || path.len >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.base, path.len);
    listen->kind = SL_LISTEN_UNIX;
    listen->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return true;
}

static bool read_ipv6(const char *host, uint16_t port, struct sl_listen *listen)
{
    struct sockaddr_in6 *in6 = &listen->address.in6;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    listen->address_bytes = sizeof *in6;
    return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
}

static bool read_ipv4(const char *host, uint16_t port, struct sl_listen *listen)
{
    struct sockaddr_in *in = &listen->address.in;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    listen->address_bytes = sizeof *in;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

/* ADDR:PORT, where ADDR is empty, an IPv4 address or an IPv6 address in brackets. Names are not looked up. */
static bool read_inet(struct sl_bytes value, struct sl_listen *listen)
{
    const char *colon = memrchr(value.base, ':', value.len);
    if (colon == NULL)
        return false;
    struct sl_bytes host = {value.base, (size_t)(colon - value.base)};
    struct sl_bytes digits = {colon + 1, value.len - host.len - 1};
    uint64_t port;
    if (digits.len > strlen("65535") || !sl_bytes_to_u64(digits, &port) || port > UINT16_MAX)
        return false;

    char text[INET6_ADDRSTRLEN];
    bool is_bracketed = host.len >= 2 && host.base[0] == '[' && host.base[host.len - 1] == ']';
    if (is_bracketed)
        host = (struct sl_bytes){host.base + 1, host.len - 2};
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.base, host.len);
    text[host.len] = '\0';

    if (is_bracketed) {
        listen->kind = SL_LISTEN_IPV6;
        return read_ipv6(text, (uint16_t)port, listen);
    }
    if (host.len == 0) {
        listen->kind = SL_LISTEN_ALL;
        return read_ipv6("::", (uint16_t)port, listen);
    }
    listen->kind = SL_LISTEN_IPV4;
    return read_ipv4(text, (uint16_t)port, listen);
}

/* Port 0 asks the kernel for a port, each time another. */
static bool has_port_zero(const struct sl_listen *listen)
{
    switch (listen->kind) {
    case SL_LISTEN_ALL:
    case SL_LISTEN_IPV6: return listen->address.in6.sin6_port == 0;
    case SL_LISTEN_IPV4: return listen->address.in.sin_port == 0;
    case SL_LISTEN_UNIX: return false;
    }
    __builtin_unreachable();
}

/* "ADDR:PORT tls" */
static bool take_tls(struct sl_bytes *place)
{
    static const char mark[] = " tls";
    size_t len = sizeof mark - 1;
    if (place->len < len || memcmp(place->base + place->len - len, mark, len) != 0)
        return false;
    *place = sl_bytes_trim((struct sl_bytes){place->base, place->len - len});
    return true;
}

bool sl_config_add_listener(struct sl_config_load *load, const struct sl_setting *setting,
                            struct sl_listeners *listeners)
{
    struct sl_bytes value = setting->value, place = value;
    struct sl_listen listen = {.is_tls = take_tls(&place)};
    struct sl_bytes rest = place;
    if (value.len == 0 && setting->option->preset[0] == '\0')
        return true; /* none */
    bool is_good = take_prefix(&rest, "unix:") ? read_unix(rest, &listen) : read_inet(place, &listen);
    if (!is_good || value.len >= sizeof listen.text)
        return sl_config_refuse(load, setting, "is not an address; " LISTEN_CURE);
    for (size_t i = 0; i < listeners->count; i++)
        if (memcmp(&listeners->at[i].address, &listen.address, sizeof listen.address) == 0 && !has_port_zero(&listen))
            return sl_config_refuse(load, setting, "is there twice; remove one");
    if (listeners->count == SL_LISTEN_MAX)
        return sl_config_refuse(load, setting, "is one address too many; write at most %d", SL_LISTEN_MAX);
    memcpy(listen.text, value.base, value.len);
    listeners->at[listeners->count++] = listen;
    return true;
}

bool sl_config_add_file(struct sl_config_load *load, const struct sl_setting *setting, struct sl_files *files)
{
    if (setting->value.len == 0)
        return true; /* none */
    if (!sl_config_is_whole_path(load, setting))
        return false;
    if (files->count == SL_FILES_MAX)
        return sl_config_refuse(load, setting, "is one file too many; write at most %d", SL_FILES_MAX);
    char **slot = &files->at[files->count++];
    *slot = NULL;
    sl_config_keep_text(slot, setting->value);
    return true;
}

bool sl_config_add_network(struct sl_config_load *load, const struct sl_setting *setting, struct sl_trusted *trusted)
{
    struct sl_network network;
    if (setting->value.len == 0)
        return true; /* none */
    if (sl_bytes_equal(setting->value, SL_BYTES("unix"))) {
        trusted->has_unix = true;
        return true;
    }
    if (!sl_network_read(setting->value, &network))
        return sl_config_refuse(load, setting,
                                "is neither an address nor a network whose further bits are 0; write 127.0.0.1, "
                                "10.0.0.0/8, fd00::/8, or unix for whoever comes by a unix socket");
    if (trusted->count == SL_TRUSTED_MAX)
        return sl_config_refuse(load, setting, "is one network too many; write at most %d", SL_TRUSTED_MAX);
    trusted->at[trusted->count++] = network;
    return true;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* Unreserved bytes of RFC 3986 section 2.3 and those in `more`. */
static bool holds_only(struct sl_bytes s, const char *more)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_unreserved(s.base[i]) && (s.base[i] == '\0' || strchr(more, s.base[i]) == NULL))
            return false;
    return true;
}

/* The host of an authority, with the port if there is one: no user, no empty host. */
static bool is_authority(struct sl_bytes authority)
{
    return authority.len > 0 && authority.base[0] != ':' && holds_only(authority, ":[]");
}

bool sl_config_set_url(struct sl_config_load *load, const struct sl_setting *setting, char **member)
{
    struct sl_bytes url = setting->value, rest = url;
    if (url.len > 0) {
        bool has_scheme = take_prefix(&rest, "https://") || take_prefix(&rest, "http://");
        const char *slash = memchr(rest.base, '/', rest.len);
        struct sl_bytes authority = {rest.base, slash != NULL ? (size_t)(slash - rest.base) : rest.len};
        struct sl_bytes path = {rest.base + authority.len, rest.len - authority.len};
        if (!has_scheme || !is_authority(authority) || !holds_only(path, "/%!$&'()*+,;=:@"))
            return sl_config_refuse(load, setting,
                                    "is not a URL to begin links with; write one without query, e.g. "
                                    "https://files.example.org, or nothing to take it from Host");
    }
    /* base-path brings its own slash. */
    while (url.len > 0 && url.base[url.len - 1] == '/')
        url.len--;
    sl_config_keep_text(member, url);
    return true;
}

/* The first segments that the server needs for itself. */
static bool is_taken_by_server(struct sl_bytes path)
{
    static const char *const taken[] = {"uploads", "healthz", "readyz", "metrics", "errors", "done"};
    const char *slash = memchr(path.base, '/', path.len);
    struct sl_bytes first = {path.base, slash != NULL ? (size_t)(slash - path.base) : path.len};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (sl_bytes_equal(first, sl_bytes_of(taken[i])))
            return true;
    return false;
}

bool sl_config_set_base_path(struct sl_config_load *load, const struct sl_setting *setting, char **member)
{
    struct sl_bytes path = setting->value;
    struct sl_path checked;
    bool has_slashes = path.len > 2 && path.base[0] == '/' && path.base[path.len - 1] == '/';
    struct sl_bytes inner = has_slashes ? (struct sl_bytes){path.base + 1, path.len - 2} : path;
    if (!has_slashes || !holds_only(inner, "/") || sl_path_check(inner, &checked) != SL_OK)
        return sl_config_refuse(load, setting,
                                "is not a base path; write letters, digits and -._~ between slashes, e.g. /files/");
    if (is_taken_by_server(inner))
        return sl_config_refuse(load, setting, "is a path of the server itself; write another, e.g. /files/");
    sl_config_keep_text(member, path);
    return true;
}

struct placeholder {
    const char *name;
    const char *sample;
};

/* Samples are as long as what will stand there; a file's name is cut to the room that is left. */
static const struct placeholder placeholders[] = {
    {"yyyy", "2026"}, {"mm", "11"}, {"dd", "21"}, {"id", "0123456789abcdef0123456789abcdef"}, {"filename", "f.x"},
};

static const char *sample_of(struct sl_bytes name)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof placeholders[0]; i++)
        if (sl_bytes_equal(name, sl_bytes_of(placeholders[i].name)))
            return placeholders[i].sample;
    return NULL;
}

/* Renders the template with samples. false: a brace is alone or *unknown_out is not a placeholder. */
static bool render_sample(struct sl_bytes rest, struct sl_text *sample, struct sl_bytes *unknown_out)
{
    *unknown_out = (struct sl_bytes){NULL, 0};
    while (rest.len > 0) {
        size_t plain = 0;
        while (plain < rest.len && rest.base[plain] != '{' && rest.base[plain] != '}')
            plain++;
        sl_text_put(sample, (struct sl_bytes){rest.base, plain});
        rest = (struct sl_bytes){rest.base + plain, rest.len - plain};
        if (rest.len == 0)
            return true;
        const char *close = memchr(rest.base, '}', rest.len);
        if (rest.base[0] == '}' || close == NULL)
            return false;
        struct sl_bytes name = {rest.base + 1, (size_t)(close - rest.base) - 1};
        const char *value = sample_of(name);
        if (value == NULL) {
            *unknown_out = name;
            return false;
        }
        sl_text_put(sample, sl_bytes_of(value));
        rest = (struct sl_bytes){close + 1, rest.len - name.len - 2};
    }
    return true;
}

#define PLACEHOLDERS "{yyyy}, {mm}, {dd}, {id} and {filename}"

bool sl_config_set_template(struct sl_config_load *load, const struct sl_setting *setting, char **member)
{
    char room[SL_PATH_BYTES_MAX + 2];
    struct sl_text sample;
    sl_text_init(&sample, room, sizeof room);
    struct sl_bytes unknown;
    if (!render_sample(setting->value, &sample, &unknown)) {
        if (unknown.base == NULL)
            return sl_config_refuse(load, setting, "has a brace without its pair; write " PLACEHOLDERS);
        char quoted[128];
        struct sl_text name;
        sl_text_init(&name, quoted, sizeof quoted);
        sl_text_put_escaped(&name, unknown);
        return sl_config_refuse(load, setting, "has an unknown {%s}; write " PLACEHOLDERS, name.base);
    }
    struct sl_path checked;
    if (sl_path_check((struct sl_bytes){sample.base, sample.len}, &checked) != SL_OK)
        return sl_config_refuse(load, setting,
                                "does not make a relative path; write one without a slash at the ends, \"..\", "
                                "backslash or control bytes, e.g. %s",
                                setting->option->preset);
    sl_config_keep_text(member, setting->value);
    return true;
}
