/* HTTP/1.1 on a wire: one request behind the other. */
#include "load_reply.h"
#include "load_talk.h"

#include "sluice/base/clock.h"

#include <stdlib.h>

struct talk_h1 {
    struct sl_load_talk base; /* first */
    struct sl_load_cursor cursor;
    struct sl_load_reply reply;
    uint64_t started_ns;
    struct sl_load_batch batch;
};

static void begin(struct talk_h1 *talk)
{
    talk->cursor = (struct sl_load_cursor){0};
    sl_load_reply_reset(&talk->reply);
    talk->started_ns = sl_clock_now_ns();
    talk->base.issued++;
}

/* One piece of what could leave: TLS has no use for more. */
static struct sl_bytes pending(struct sl_load_talk *base)
{
    struct talk_h1 *talk = (struct talk_h1 *)base;
    if (sl_load_cursor_is_at_end(talk->cursor, base->shape))
        return (struct sl_bytes){"", 0};
    sl_load_batch_fill(&talk->batch, base->shape, base->issued - 1, talk->cursor, UINT64_MAX);
    return (struct sl_bytes){talk->batch.iov[0].iov_base, talk->batch.iov[0].iov_len};
}

static void sent(struct sl_load_talk *base, size_t len)
{
    struct talk_h1 *talk = (struct talk_h1 *)base;
    base->stats->bytes += sl_load_batch_sent(&talk->batch, &talk->cursor, len);
}

static bool received(struct sl_load_talk *base, struct sl_bytes bytes)
{
    struct talk_h1 *talk = (struct talk_h1 *)base;
    size_t used;
    enum sl_load_reply_event event = sl_load_reply_feed(&talk->reply, bytes.base, bytes.len, &used);
    if (event == SL_LOAD_REPLY_CONTINUE || event == SL_LOAD_REPLY_MORE)
        return true;
    if (event == SL_LOAD_REPLY_BAD || used < bytes.len)
        return false;
    bool can_go_on = sl_load_cursor_is_at_end(talk->cursor, base->shape) && !talk->reply.closes;
    sl_load_talk_settle(base, talk->reply.status, talk->started_ns);
    if (base->issued == base->shape->options->requests)
        return true;
    begin(talk);
    return can_go_on;
}

static void destroy(struct sl_load_talk *base)
{
    free(base);
}

struct sl_load_talk *sl_load_talk_create_h1(const struct sl_load_shape *shape, struct sl_load_stats *stats)
{
    static const struct sl_load_talk_ops ops = {pending, sent, received, destroy};
    struct talk_h1 *talk = calloc(1, sizeof *talk);
    if (talk == NULL)
        abort();
    talk->base = (struct sl_load_talk){.ops = &ops, .shape = shape, .stats = stats};
    begin(talk);
    return &talk->base;
}
