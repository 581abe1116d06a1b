/* Addresses and networks of IP, as text. Pure. */
#ifndef SLUICE_DECODE_ADDRESS_H
#define SLUICE_DECODE_ADDRESS_H

#include "sluice/base/bytes.h"

/* One of IPv4 is told as IPv6 maps it, ::ffff:192.0.2.1: so an address has one form, whatever socket it came by. */
struct sl_address {
    uint8_t bytes[16];
};

#define SL_ADDRESS_TEXT_BYTES 46

/* "192.0.2.1", "2001:db8::1"; no brackets, no port, no zone. false: it is none, and *address_out is untouched. */
bool sl_address_read(struct sl_bytes text, struct sl_address *address_out);

/* As inet_ntop(3) writes it, one of IPv4 as such. */
void sl_address_write(const struct sl_address *address, char text_out[SL_ADDRESS_TEXT_BYTES]);

struct sl_network {
    struct sl_address address; /* bits behind the first `bits` are 0 */
    unsigned bits;             /* of 128: an IPv4 /8 is 104 */
};

/* "10.0.0.0/8", "2001:db8::/32", or one address. false: it is none, or has bits behind its own. */
bool sl_network_read(struct sl_bytes text, struct sl_network *network_out);

bool sl_network_holds(const struct sl_network *network, const struct sl_address *address);

#endif
