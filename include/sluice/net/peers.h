/* How many connections each address has, over all loops, and whether that is enough. An address of IPv6 stands for its
 * /64, which is what one customer gets; unix sockets are of nobody, and not counted. Any thread. */
#ifndef SLUICE_NET_PEERS_H
#define SLUICE_NET_PEERS_H

#include "sluice/base/bytes.h"
#include "sluice/base/tally.h"

#include <stdbool.h>
#include <sys/socket.h>

struct sl_peers;

/* The key by which an address, written as inet_ntop(3) does, is counted. false: it is none (a unix socket). */
bool sl_peer_key_of_text(struct sl_bytes text, struct sl_tally_key *key_out);

/* Who was counted: kept by the connection. Zeroed: nobody. */
struct sl_peer {
    struct sl_tally_key key;
    bool is_counted;
};

/* each_max: connections of one address. all_max: of all together, which whoever enters keeps to. Yours. Aborts when
 * memory is out. */
struct sl_peers *sl_peers_create(unsigned each_max, unsigned all_max);

/* Nobody may be counted. NULL is fine. */
void sl_peers_destroy(struct sl_peers *peers);

/* false: this address has as many as it may. */
bool sl_peers_enter(struct sl_peers *peers, const struct sockaddr *address, struct sl_peer *peer_out);
void sl_peers_leave(struct sl_peers *peers, struct sl_peer *peer);

#endif
