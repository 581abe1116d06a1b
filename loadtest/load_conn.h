/* One connection: sends a request piece by piece, reads its answer, is given the next one.
 *
 *   READY -> CONNECTING -> SENDING <-> { BLOCKED, SLEEPING, HELD, EXPECTING } -> REPLYING -> READY
 *
 * An answer may come in any state behind CONNECTING; a request that fails or is broken off leads to READY too. */
#ifndef SLUICE_LOADTEST_LOAD_CONN_H
#define SLUICE_LOADTEST_LOAD_CONN_H

#include "load_reply.h"
#include "load_request.h"
#include "load_wheel.h"

struct sl_load_run;

enum sl_load_conn_state {
    SL_LOAD_CONN_READY,
    SL_LOAD_CONN_CONNECTING,
    SL_LOAD_CONN_SENDING,
    SL_LOAD_CONN_BLOCKED,   /* the socket is full */
    SL_LOAD_CONN_SLEEPING,  /* --rate */
    SL_LOAD_CONN_HELD,      /* --hold */
    SL_LOAD_CONN_EXPECTING, /* --expect: the server has not said 100 */
    SL_LOAD_CONN_REPLYING,
    SL_LOAD_CONN_RESTING /* --rate of a download */
};

struct sl_load_conn {
    struct sl_link link; /* in run->ready or run->held */
    struct sl_load_timer timer;
    enum sl_load_conn_state state;
    int fd;            /* -1: none */
    uint32_t interest; /* what epoll was told */
    bool was_tried, may_send_body, was_cut;
    uint64_t number;
    struct sl_load_cursor cursor;
    uint64_t body_sent; /* behind the head, framing included */
    uint64_t cut_at;    /* body_sent at which we break off; UINT64_MAX: never */
    uint64_t started_ns, body_started_ns;
    struct sl_load_reply reply;
    char target[SL_LOAD_LOCATION_MAX]; /* tus: where the body goes */
};

void sl_load_conn_init(struct sl_load_conn *conn, struct sl_load_run *run);

/* READY, and in no list. Begins the next request. */
void sl_load_conn_start(struct sl_load_conn *conn, struct sl_load_run *run);

void sl_load_conn_on_events(struct sl_load_conn *conn, struct sl_load_run *run, uint32_t events);
void sl_load_conn_on_timer(struct sl_load_conn *conn, struct sl_load_run *run);

/* HELD, and in no list: all are up. */
void sl_load_conn_release(struct sl_load_conn *conn, struct sl_load_run *run);

/* The run is over: a request still going counts as unfinished. */
void sl_load_conn_stop(struct sl_load_conn *conn, struct sl_load_run *run);

#endif
