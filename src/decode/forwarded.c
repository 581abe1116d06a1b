#include "sluice/decode/forwarded.h"

#include "sluice/decode/target.h"
#include "token.h"

static bool is_trusted(const struct sl_trusted *trusted, const struct sl_address *address)
{
    for (size_t i = 0; i < trusted->count; i++)
        if (sl_network_holds(&trusted->at[i], address))
            return true;
    return false;
}

bool sl_trusted_has(const struct sl_trusted *trusted, struct sl_bytes peer)
{
    struct sl_address address;
    if (sl_address_read(peer, &address))
        return is_trusted(trusted, &address);
    return trusted->has_unix && sl_bytes_equal(peer, SL_BYTES("unix"));
}

/* --- lists, from their ends --- */

/* Is this byte, inside a quoted string, a quote that is part of it? */
static bool is_escaped(const char *base, size_t at)
{
    size_t backslashes = 0;
    while (backslashes < at && base[at - 1 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* Where the last element begins: behind a comma that is in no quoted string, as seen from the end. A quote that the
 * client opened and never closed lies before all that is seen. */
static size_t begin_of_last(struct sl_bytes list, bool has_quotes)
{
    bool is_quoted = false;
    size_t at = list.len;
    for (; at > 0; at--) {
        char c = list.base[at - 1];
        if (c == '"' && has_quotes && !(is_quoted && is_escaped(list.base, at - 1)))
            is_quoted = !is_quoted;
        else if (c == ',' && !is_quoted)
            break;
    }
    return at;
}

/* Takes the last element that is not empty off the list; false: there is none. */
static bool take_last(struct sl_bytes *list, bool has_quotes, struct sl_bytes *element_out)
{
    *element_out = (struct sl_bytes){0};
    while (list->len > 0 && element_out->len == 0) {
        size_t begin = begin_of_last(*list, has_quotes);
        *element_out = sl_bytes_trim((struct sl_bytes){list->base + begin, list->len - begin});
        list->len = begin > 0 ? begin - 1 : 0;
    }
    return element_out->len > 0;
}

/* The element told by the proxy `hop` before the last; if there are fewer, the first of all. */
static struct sl_bytes element_at(struct sl_bytes list, size_t hop)
{
    struct sl_bytes element = {0}, before;
    for (size_t i = 0; i <= hop && take_last(&list, false, &before); i++)
        element = before;
    return element;
}

/* --- one element --- */

/* node [ ":" port ] (RFC 7239 section 6): whatever the port. Of IPv6 the brackets may be missing if the port is. */
static bool read_node(struct sl_bytes node, struct sl_address *address_out)
{
    if (node.len > 0 && node.base[0] == '[') {
        const char *end = memchr(node.base, ']', node.len);
        size_t len = end != NULL ? (size_t)(end - node.base) : 0;
        bool is_at_end = end != NULL && (len + 1 == node.len || end[1] == ':');
        return is_at_end && memchr(node.base, ':', len) != NULL &&
               sl_address_read((struct sl_bytes){node.base + 1, len - 1}, address_out);
    }
    const char *colon = node.len > 0 ? memchr(node.base, ':', node.len) : NULL;
    return sl_address_read(node, address_out) ||
           (colon != NULL && sl_address_read((struct sl_bytes){node.base, (size_t)(colon - node.base)}, address_out));
}

struct pairs {
    struct sl_bytes node, proto, host; /* as sent, in quotes or not */
    bool is_malformed;
};

/* The bytes that a value takes: a token, or a quoted string. Addresses with colons are to be quoted, and often are
 * not. */
static size_t value_len(struct sl_bytes s)
{
    size_t len = 0;
    if (s.len > 0 && s.base[0] == '"') {
        for (len = 1; len < s.len && s.base[len] != '"'; len++)
            len += s.base[len] == '\\';
        return len < s.len ? len + 1 : 0; /* 0: it has no end */
    }
    while (len < s.len && s.base[len] != ';' && s.base[len] != '"')
        len++;
    return len;
}

static bool keep(struct sl_bytes *place, struct sl_bytes value)
{
    bool is_first = place->base == NULL;
    *place = value;
    return is_first;
}

/* One forwarded-pair off the front. false: it is none, or there twice. */
static bool take_pair(struct sl_bytes *rest, struct pairs *pairs)
{
    size_t name_len = 0;
    while (name_len < rest->len && sl_is_token_byte((unsigned char)rest->base[name_len]))
        name_len++;
    if (name_len == 0 || name_len == rest->len || rest->base[name_len] != '=')
        return false;
    struct sl_bytes name = {rest->base, name_len};
    struct sl_bytes value = {rest->base + name_len + 1, rest->len - name_len - 1};
    size_t len = value_len(value);
    *rest = sl_bytes_trim((struct sl_bytes){value.base + len, value.len - len});
    value = sl_bytes_trim((struct sl_bytes){value.base, len});
    if (value.len == 0 || (rest->len > 0 && rest->base[0] != ';'))
        return false;
    if (sl_bytes_equal_nocase(name, SL_BYTES("for")))
        return keep(&pairs->node, value);
    if (sl_bytes_equal_nocase(name, SL_BYTES("proto")))
        return keep(&pairs->proto, value);
    if (sl_bytes_equal_nocase(name, SL_BYTES("host")))
        return keep(&pairs->host, value);
    return true;
}

/* forwarded-element (section 4) */
static struct pairs read_pairs(struct sl_bytes element)
{
    struct pairs pairs = {.is_malformed = false};
    struct sl_bytes rest = element;
    while (rest.len > 0) {
        if (rest.base[0] == ';') {
            rest = sl_bytes_trim((struct sl_bytes){rest.base + 1, rest.len - 1});
            continue;
        }
        if (!take_pair(&rest, &pairs))
            return (struct pairs){.is_malformed = true};
    }
    return pairs;
}

/* What is between the quotes, if there are any. What needs an escape is neither an address nor a host. */
static struct sl_bytes unquoted(struct sl_bytes value)
{
    bool is_quoted = value.len >= 2 && value.base[0] == '"';
    return is_quoted ? (struct sl_bytes){value.base + 1, value.len - 2} : value;
}

static bool read_forwarded_node(struct sl_bytes element, struct sl_address *address_out)
{
    struct pairs pairs = read_pairs(element);
    return read_node(unquoted(pairs.node), address_out);
}

/* --- the way back --- */

struct chain {
    struct sl_bytes element; /* the last one looked at: of the client, as whom we trust saw it */
    size_t hop;              /* which of them it is, from the end */
    bool has_any, has_address;
    struct sl_address address;
};

static struct chain go_back(struct sl_bytes list, bool is_forwarded, const struct sl_trusted *trusted)
{
    struct chain chain = {.hop = 0};
    struct sl_bytes element;
    for (size_t hop = 0; hop < SL_FORWARDED_HOPS_MAX && take_last(&list, is_forwarded, &element); hop++) {
        chain.has_any = true;
        chain.element = element;
        chain.hop = hop;
        struct sl_address address;
        bool is_read = is_forwarded ? read_forwarded_node(element, &address) : read_node(element, &address);
        if (!is_read)
            break; /* who told it is the last of whom we know */
        chain.address = address;
        chain.has_address = true;
        if (!is_trusted(trusted, &address))
            break;
    }
    return chain;
}

/* Does it say anything of who the client is, be it that nobody knows? */
static bool tells_client(const struct chain *forwarded, const struct pairs *pairs)
{
    return forwarded->has_any && (forwarded->hop > 0 || pairs->is_malformed || pairs->node.base != NULL);
}

static bool do_differ(const struct chain *a, const struct chain *b)
{
    return a->has_address != b->has_address ||
           (a->has_address && memcmp(&a->address, &b->address, sizeof a->address) != 0);
}

static void take_scheme(struct sl_client *client, struct sl_bytes proto)
{
    bool is_secure = sl_bytes_equal_nocase(proto, SL_BYTES("https"));
    if (!is_secure && !sl_bytes_equal_nocase(proto, SL_BYTES("http")))
        return;
    client->has_scheme = true;
    client->is_secure = is_secure;
}

static void take_host(struct sl_client *client, struct sl_bytes host)
{
    if (sl_host_is_valid(host))
        client->host = host;
}

void sl_forwarded_read(const struct sl_forwarded *fields, const struct sl_trusted *trusted,
                       struct sl_client *client_out)
{
    *client_out = (struct sl_client){.has_address = false};
    struct chain forwarded = go_back(fields->forwarded, true, trusted), x = go_back(fields->x_for, false, trusted);
    struct pairs pairs = read_pairs(forwarded.element);
    bool has_told = tells_client(&forwarded, &pairs);
    if (has_told && x.has_any && do_differ(&forwarded, &x))
        return;
    const struct chain *chain = has_told ? &forwarded : &x;
    client_out->has_address = chain->has_address;
    client_out->address = chain->address;
    take_scheme(client_out, element_at(fields->x_proto, chain->hop));
    take_host(client_out, element_at(fields->x_host, chain->hop));
    take_scheme(client_out, unquoted(pairs.proto));
    take_host(client_out, unquoted(pairs.host));
}
