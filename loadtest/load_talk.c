#include "load_talk.h"

#include "sluice/base/clock.h"

void sl_load_talk_settle(struct sl_load_talk *talk, int status, uint64_t started_ns)
{
    sl_load_histogram_add(&talk->stats->latency, sl_clock_now_ns() - started_ns);
    talk->stats->statuses[status]++;
    if (status >= 200 && status < 300)
        talk->stats->ok++;
    else
        talk->stats->errors[SL_LOAD_ERROR_STATUS]++;
    talk->ended++;
}

/* Sends and receives what can be now. false: the connection is gone. */
static bool move(struct sl_load_talk *talk, struct sl_load_wire *wire, bool *is_sending_out, bool *has_moved_out)
{
    static char input[64 << 10];
    struct sl_bytes bytes = talk->ops->pending(talk);
    int64_t sent = bytes.len > 0 ? sl_load_wire_send(wire, bytes) : 0;
    if (sent > 0)
        talk->ops->sent(talk, (size_t)sent);
    /* A server that has answered and closed breaks our sending: its answer counts. */
    int64_t got = sl_load_wire_receive(wire, input, sizeof input);
    if (got > 0 && !talk->ops->received(talk, (struct sl_bytes){input, (size_t)got}))
        return false;
    *is_sending_out = bytes.len > 0;
    *has_moved_out = sent > 0 || got > 0;
    return got >= 0 && (sent >= 0 || got > 0);
}

void sl_load_talk_run(struct sl_load_talk *talk, struct sl_load_wire *wire, uint64_t end_ns)
{
    uint64_t requests = talk->shape->options->requests;
    enum sl_load_error why = SL_LOAD_ERROR_UNFINISHED;
    for (uint64_t now; talk->ended < requests && (now = sl_clock_now_ns()) < end_ns;) {
        bool is_sending, has_moved;
        if (!move(talk, wire, &is_sending, &has_moved)) {
            why = SL_LOAD_ERROR_CLOSED;
            break;
        }
        if (!has_moved)
            sl_load_wire_wait(wire, is_sending, end_ns - now);
    }
    talk->stats->errors[why] += requests - talk->ended;
    talk->ops->destroy(talk);
}

void sl_load_talk_all(const struct sl_load_options *options, const struct sl_load_body *body,
                      struct sl_load_stats *stats_out)
{
    bool is_h2 = options->dialect == SL_LOAD_H2C || options->dialect == SL_LOAD_H2_TLS;
    bool is_tls = options->dialect == SL_LOAD_H1_TLS || options->dialect == SL_LOAD_H2_TLS;
    struct sl_load_shape shape;
    struct sl_load_wire wire;
    uint64_t start = sl_clock_now_ns();
    *stats_out = (struct sl_load_stats){0};
    sl_load_shape_init(&shape, options, body);
    if (sl_load_wire_open(&wire, &options->target.any, options->target_bytes,
                          !is_tls ? NULL
                          : is_h2 ? "h2"
                                  : "http/1.1")) {
        stats_out->connects = stats_out->up_max = 1;
        sl_load_talk_run(is_h2 ? sl_load_talk_create_h2(&shape, stats_out)
                               : sl_load_talk_create_h1(&shape, stats_out),
                         &wire, start + options->duration_s * SL_SEC);
        sl_load_wire_close(&wire);
    } else {
        stats_out->errors[SL_LOAD_ERROR_CONNECT] = options->requests;
    }
    stats_out->elapsed_ns = sl_clock_now_ns() - start;
}
