/* Uploads over one connection of any dialect: HTTP/1.1 one behind the other, HTTP/2 many at once. Beside the epoll
 * engine of load_run, which speaks plain HTTP/1.1 on thousands of connections, this is what TLS and HTTP/2 need. */
#ifndef SLUICE_LOADTEST_LOAD_TALK_H
#define SLUICE_LOADTEST_LOAD_TALK_H

#include "load_request.h"
#include "load_stats.h"
#include "load_wire.h"

/* What the wire asks of a dialect. It counts into `stats` what ends well or badly while it lives. */
struct sl_load_talk {
    const struct sl_load_talk_ops *ops;
    const struct sl_load_shape *shape; /* lent until destroyed */
    struct sl_load_stats *stats;       /* the same */
    uint64_t issued, ended;            /* requests */
};

struct sl_load_talk_ops {
    struct sl_bytes (*pending)(struct sl_load_talk *talk);              /* what is to be sent; empty: nothing now */
    void (*sent)(struct sl_load_talk *talk, size_t len);                /* of pending, so much has left */
    bool (*received)(struct sl_load_talk *talk, struct sl_bytes bytes); /* false: it makes no sense, or nothing more
                                                                         * can be said on this connection */
    void (*destroy)(struct sl_load_talk *talk);
};

struct sl_load_talk *sl_load_talk_create_h1(const struct sl_load_shape *shape, struct sl_load_stats *stats);
struct sl_load_talk *sl_load_talk_create_h2(const struct sl_load_shape *shape, struct sl_load_stats *stats);

/* The answer of a request is whole. */
void sl_load_talk_settle(struct sl_load_talk *talk, int status, uint64_t started_ns);

/* Talks until all requests have ended, the connection has, or it is `end_ns`; counts what is left then. Destroys. */
void sl_load_talk_run(struct sl_load_talk *talk, struct sl_load_wire *wire, uint64_t end_ns);

/* Does what the options say, over one connection of their dialect. */
void sl_load_talk_all(const struct sl_load_options *options, const struct sl_load_body *body,
                      struct sl_load_stats *stats_out);

#endif
