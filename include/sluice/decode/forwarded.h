/* What proxies tell of the client behind them: Forwarded (RFC 7239), and X-Forwarded-For, -Proto and -Host, which are
 * older and said by more. Pure: spans point into the input.
 *
 * Each proxy tells of who spoke to it, behind what it was told; the client may have begun the list with whatever it
 * likes. So a list is read from its end, as far back as those reach whom we trust: what one of them tells counts, and
 * the first who is not one of them is the client. Nothing before that is so much as parsed. */
#ifndef SLUICE_DECODE_FORWARDED_H
#define SLUICE_DECODE_FORWARDED_H

#include "sluice/decode/address.h"

#define SL_TRUSTED_MAX        64
#define SL_FORWARDED_HOPS_MAX 32 /* proxies in a row that are looked at */

/* Whom we believe. */
struct sl_trusted {
    struct sl_network at[SL_TRUSTED_MAX];
    size_t count;
    bool has_unix; /* whoever comes by a unix socket, too */
};

/* peer: an address, or "unix". */
bool sl_trusted_has(const struct sl_trusted *trusted, struct sl_bytes peer);

/* Of each field all its lines, joined by ", "; base NULL: it is not there. */
struct sl_forwarded {
    struct sl_bytes forwarded, x_for, x_proto, x_host;
};

/* What is known of the client. */
struct sl_client {
    struct sl_address address;
    bool has_address; /* else no more is known than who the peer is */
    bool has_scheme, is_secure;
    struct sl_bytes host; /* a valid one, with its port if it has one; empty: none was told */
};

/* fields: of a request whose peer is trusted. A value that is malformed tells nothing, and neither do Forwarded and
 * X-Forwarded-For that differ: a proxy adds to one of them and passes the other on as the client sent it, and which is
 * which cannot be known. */
void sl_forwarded_read(const struct sl_forwarded *fields, const struct sl_trusted *trusted,
                       struct sl_client *client_out);

#endif
