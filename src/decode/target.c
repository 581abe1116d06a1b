#include "sluice/decode/target.h"

#include "token.h"

bool sl_target_is_valid(struct sl_bytes target)
{
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.base[i];
        if (c <= 0x20 || c == 0x7f || c == '#')
            return false;
    }
    return target.len > 0;
}

/* The bytes of one; whether they name an address is for whoever resolves it. */
static bool is_ipv6(struct sl_bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (sl_hex_digit((unsigned char)s.base[i]) < 0 && s.base[i] != ':' && s.base[i] != '.')
            return false;
    return s.len > 1;
}

bool sl_host_is_valid(struct sl_bytes host)
{
    size_t i = 0;
    if (host.len > SL_HOST_BYTES_MAX)
        return false;
    if (host.len > 0 && host.base[0] == '[') {
        const char *end = memchr(host.base, ']', host.len);
        if (end == NULL || !is_ipv6((struct sl_bytes){host.base + 1, (size_t)(end - host.base) - 1}))
            return false;
        i = (size_t)(end + 1 - host.base);
    } else {
        while (i < host.len && sl_is_unreserved_byte((unsigned char)host.base[i]))
            i++;
    }
    if (i == 0 || i == host.len)
        return i > 0;
    uint64_t port;
    return host.base[i] == ':' && sl_bytes_to_u64((struct sl_bytes){host.base + i + 1, host.len - i - 1}, &port) &&
           port <= 65535;
}
