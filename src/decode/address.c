#include "sluice/decode/address.h"

#include <arpa/inet.h>
#include <assert.h>

#define MAPPED_BYTES 12 /* what is before the address of IPv4 */

static const uint8_t mapped[MAPPED_BYTES] = {[10] = 0xff, [11] = 0xff};

static bool is_ipv4(const struct sl_address *address)
{
    return memcmp(address->bytes, mapped, MAPPED_BYTES) == 0;
}

bool sl_address_read(struct sl_bytes text, struct sl_address *address_out)
{
    char copy[INET6_ADDRSTRLEN];
    struct sl_address address;
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.base, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    memcpy(address.bytes, mapped, MAPPED_BYTES);
    if (inet_pton(AF_INET, copy, address.bytes + MAPPED_BYTES) != 1 && inet_pton(AF_INET6, copy, address.bytes) != 1)
        return false;
    *address_out = address;
    return true;
}

void sl_address_write(const struct sl_address *address, char text_out[SL_ADDRESS_TEXT_BYTES])
{
    _Static_assert(SL_ADDRESS_TEXT_BYTES >= INET6_ADDRSTRLEN, "the longest");
    const char *text = is_ipv4(address)
                           ? inet_ntop(AF_INET, address->bytes + MAPPED_BYTES, text_out, SL_ADDRESS_TEXT_BYTES)
                           : inet_ntop(AF_INET6, address->bytes, text_out, SL_ADDRESS_TEXT_BYTES);
    assert(text != NULL); /* there is room */
    (void)text;
}

bool sl_network_holds(const struct sl_network *network, const struct sl_address *address)
{
    size_t whole = network->bits / 8;
    unsigned mask = 0xff00u >> network->bits % 8 & 0xff; /* of the byte behind them */
    assert(network->bits <= 128);
    if (network->bits < 8 * MAPPED_BYTES && is_ipv4(address))
        return false; /* ::/0 is all of IPv6 */
    return memcmp(network->address.bytes, address->bytes, whole) == 0 &&
           (mask == 0 || (address->bytes[whole] & mask) == network->address.bytes[whole]);
}

static bool has_bits_behind(const struct sl_network *network)
{
    bool has = network->bits % 8 != 0 && (network->address.bytes[network->bits / 8] & 0xff >> network->bits % 8) != 0;
    for (size_t i = (network->bits + 7) / 8; i < sizeof network->address.bytes; i++)
        has |= network->address.bytes[i] != 0;
    return has;
}

bool sl_network_read(struct sl_bytes text, struct sl_network *network_out)
{
    const char *slash = text.len > 0 ? memchr(text.base, '/', text.len) : NULL;
    struct sl_bytes address = {text.base, slash != NULL ? (size_t)(slash - text.base) : text.len};
    struct sl_network network;
    if (!sl_address_read(address, &network.address))
        return false;
    /* "::ffff:10.0.0.0/104" is written as IPv6, and so are its bits. */
    bool has_colon = memchr(address.base, ':', address.len) != NULL;
    unsigned before = has_colon ? 0 : 8 * MAPPED_BYTES;
    uint64_t bits = 128 - before;
    struct sl_bytes digits = {address.base + address.len + 1, text.len - address.len - 1};
    if (slash != NULL && (digits.len > 3 || !sl_bytes_to_u64(digits, &bits) || bits > 128 - before))
        return false;
    network.bits = before + (unsigned)bits;
    if (has_bits_behind(&network))
        return false;
    *network_out = network;
    return true;
}
