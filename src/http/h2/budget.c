/* Floods: Rapid Reset (CVE-2023-44487), MadeYouReset (2025-8671), CONTINUATION (2024-28182), and SETTINGS, PING,
 * PRIORITY, WINDOW_UPDATE and empty DATA frames without end (2019-9511 to 9518). All are frames that cost us work and
 * carry nothing; so they are counted alike, whoever's reset it is, against an allowance that honest clients do not come
 * near. nghttp2 says nothing of frames that it ignores: their heads are read here. */
#include "h2.h"

#include "sluice/base/clock.h"

#define TOKENS_MAX   2000.0
#define TOKENS_A_SEC 200.0
#define SMALL_BYTES  1024 /* of DATA: a larger frame costs its sender more than us */
#define LARGE_BYTES  4096 /* of DATA: worth a system call of its own */
#define RESET_COST   5.0  /* 400 resets at once, 40 a second */

void sl_h2_budget_init(struct sl_h2_budget *budget)
{
    budget->tokens = TOKENS_MAX;
    budget->filled_ns = sl_clock_now_ns();
}

void sl_h2_budget_earn(struct sl_h2_budget *budget, double tokens)
{
    budget->tokens = budget->tokens + tokens < TOKENS_MAX ? budget->tokens + tokens : TOKENS_MAX;
}

static bool spend(struct sl_h2_budget *budget, double cost)
{
    if (budget->tokens < cost) {
        uint64_t now_ns = sl_clock_now_ns();
        sl_h2_budget_earn(budget, TOKENS_A_SEC * (double)(now_ns - budget->filled_ns) / (double)SL_SEC);
        budget->filled_ns = now_ns;
    }
    if (budget->tokens < cost)
        return false;
    budget->tokens -= cost;
    return true;
}

/* Frames of a stream that is over: nghttp2 reads over them, but a head must be decoded all the same. */
static bool is_stale(struct sl_h2 *conn, int32_t id)
{
    return id <= nghttp2_session_get_last_proc_stream_id(conn->session) &&
           nghttp2_session_get_stream_user_data(conn->session, id) == NULL;
}

static uint32_t length_of(const unsigned char *head)
{
    return (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
}

static int32_t id_of(const unsigned char *head)
{
    return (int32_t)(((uint32_t)head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]);
}

static bool is_padded_data(const unsigned char *head)
{
    return head[3] == NGHTTP2_DATA && (head[4] & NGHTTP2_FLAG_PADDED) && length_of(head) > 0;
}

static bool is_of_head(const unsigned char *head)
{
    return head[3] == NGHTTP2_HEADERS || head[3] == NGHTTP2_CONTINUATION;
}

static bool ends_head(const unsigned char *head)
{
    return head[4] & NGHTTP2_FLAG_END_HEADERS;
}

/* data: bytes of the payload that are no padding. */
static double cost_of(struct sl_h2 *conn, uint32_t data, uint8_t type, uint8_t flags, int32_t id)
{
    switch (type) {
    case NGHTTP2_DATA:
        if (data == 0)
            return (flags & NGHTTP2_FLAG_END_STREAM) && !is_stale(conn, id) ? 0 : 1;
        return data < SMALL_BYTES && is_stale(conn, id) ? 1 : 0;
    case NGHTTP2_HEADERS: /* of open streams there are only so many, and each end is counted */
        return is_stale(conn, id) ? RESET_COST : 0;
    case NGHTTP2_RST_STREAM: return RESET_COST;
    default: return 1; /* also kinds that nobody knows */
    }
}

static bool spend_frame(struct sl_h2 *conn)
{
    const unsigned char *head = conn->scan.head;
    uint32_t len = length_of(head), data = len;
    conn->scan.skip = len;
    conn->scan.has_begun = true;
    conn->scan.is_in_head = is_of_head(head) && (len > 0 || !ends_head(head));
    if (is_padded_data(head)) {
        conn->scan.skip--; /* the length of the padding is read already */
        data = len > 1u + head[9] ? len - 1 - head[9] : 0;
    }
    double cost = cost_of(conn, data, head[3], head[4], id_of(head));
    return cost == 0 || spend(&conn->budget, cost);
}

bool sl_h2_budget_scan(struct sl_h2 *conn, const char *bytes, size_t len, size_t *frames_out)
{
    struct sl_h2_scan *scan = &conn->scan;
    *frames_out = 0;
    for (size_t at = 0; at < len;) {
        if (scan->skip > 0) {
            uint32_t n = len - at < scan->skip ? (uint32_t)(len - at) : scan->skip;
            scan->skip -= n;
            at += n;
            scan->is_in_head &= scan->skip > 0 || !ends_head(scan->head);
            continue;
        }
        scan->head[scan->head_len++] = (unsigned char)bytes[at++];
        if (scan->head_len < SL_H2_FRAME_HEAD_BYTES ||
            (scan->head_len == SL_H2_FRAME_HEAD_BYTES && is_padded_data(scan->head)))
            continue;
        scan->head_len = 0;
        ++*frames_out;
        if (!spend_frame(conn))
            return false;
    }
    return true;
}

int32_t sl_h2_scan_body(const struct sl_h2_scan *scan)
{
    const unsigned char *head = scan->head;
    bool is_body = scan->skip > 0 && head[3] == NGHTTP2_DATA && !(head[4] & NGHTTP2_FLAG_PADDED);
    return is_body && length_of(head) >= LARGE_BYTES ? id_of(head) : 0;
}

uint32_t sl_h2_scan_foretell(const struct sl_h2_scan *scan)
{
    return (scan->head[4] & NGHTTP2_FLAG_END_STREAM) ? 0 : length_of(scan->head);
}

/* Who was refused because others fill the loop is to ask again; only the work of it is counted. */
bool sl_h2_budget_reset(struct sl_h2_budget *budget, uint32_t code)
{
    return code == NGHTTP2_NO_ERROR || spend(budget, code == NGHTTP2_REFUSED_STREAM ? 1 : RESET_COST);
}
