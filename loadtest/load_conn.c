/* The state machine of a connection. Nothing here calls back into a start: a request that has ended puts its
 * connection on run->ready, and the loop begins the next one in its own turn. */
#include "load_conn.h"

#include "load_run.h"

#include "sluice/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SENDS_PER_TURN  4             /* of one connection, before the others have theirs */
#define SLICE_NS        (SL_SEC / 10) /* a slow client sends ten times a second */
#define READ_BYTES      (64u << 10)
#define READ_SLICE_NS   (SL_SEC / 100) /* who downloads at a rate reads a hundred times a second */
#define EXPECT_LIMIT_NS SL_SEC         /* then the body goes without a 100, as curl does */

static void pump(struct sl_load_conn *conn, struct sl_load_run *run);

void sl_load_conn_init(struct sl_load_conn *conn, struct sl_load_run *run)
{
    *conn = (struct sl_load_conn){.fd = -1};
    sl_list_append(&run->ready, &conn->link);
}

static void watch(struct sl_load_conn *conn, struct sl_load_run *run, uint32_t interest)
{
    if (conn->interest == interest)
        return;
    struct epoll_event event = {.events = interest, .data.ptr = conn};
    if (epoll_ctl(run->epoll_fd, conn->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, conn->fd, &event) != 0)
        abort();
    conn->interest = interest;
}

static void close_socket(struct sl_load_conn *conn, struct sl_load_run *run)
{
    if (conn->fd < 0)
        return;
    if (conn->state == SL_LOAD_CONN_CONNECTING)
        run->connecting--;
    else
        run->stats.up--;
    close(conn->fd);
    conn->fd = -1;
    conn->interest = 0;
}

/* The request is over, and counted. */
static void end_request(struct sl_load_conn *conn, struct sl_load_run *run, bool keep)
{
    assert(conn->state != SL_LOAD_CONN_READY && run->active > 0);
    run->active--;
    if (run->options->method == SL_LOAD_GET)
        run->stats.bytes += conn->reply.body_bytes;
    sl_load_wheel_remove(&run->wheel, &conn->timer);
    sl_link_unlink(&conn->link);
    if (!keep)
        close_socket(conn, run);
    conn->state = SL_LOAD_CONN_READY;
    sl_list_append(&run->ready, &conn->link);
}

static void fail(struct sl_load_conn *conn, struct sl_load_run *run, enum sl_load_error error)
{
    if (conn->was_cut)
        run->stats.aborted++;
    else
        run->stats.errors[error]++;
    end_request(conn, run, false);
}

/* The first answer of two has told where the body goes. */
static bool is_created(const struct sl_load_conn *conn, const struct sl_load_run *run)
{
    return sl_load_cursor_waits(conn->cursor, &run->shape) && conn->reply.status == 201 && !conn->reply.closes &&
           conn->reply.location[0] != '\0';
}

static void go_on_with_body(struct sl_load_conn *conn, struct sl_load_run *run)
{
    run->stats.statuses[conn->reply.status]++;
    memcpy(conn->target, conn->reply.location, sizeof conn->target);
    conn->cursor.target = conn->target;
    sl_load_reply_reset(&conn->reply);
    conn->body_started_ns = sl_clock_now_ns();
    pump(conn, run);
}

/* The answer is whole. */
static void settle(struct sl_load_conn *conn, struct sl_load_run *run)
{
    if (is_created(conn, run))
        return go_on_with_body(conn, run);
    bool is_sent = sl_load_cursor_is_at_end(conn->cursor, &run->shape);
    int status = conn->reply.status;
    sl_load_histogram_add(&run->stats.latency, sl_clock_now_ns() - conn->started_ns);
    run->stats.statuses[status]++;
    if (conn->was_cut)
        run->stats.aborted++;
    else if (status >= 200 && status < 300 && !sl_load_cursor_waits(conn->cursor, &run->shape))
        run->stats.ok++;
    else
        run->stats.errors[SL_LOAD_ERROR_STATUS]++;
    end_request(conn, run, is_sent && !conn->was_cut && !conn->reply.closes);
}

/* Feeds all of `input` to the reply; what follows a whole answer was not asked for, and is BAD. */
static enum sl_load_reply_event read_input(struct sl_load_conn *conn, const char *input, size_t len)
{
    enum sl_load_reply_event event = SL_LOAD_REPLY_MORE;
    for (size_t used = 0, step; used < len; used += step) {
        if (event == SL_LOAD_REPLY_DONE)
            return SL_LOAD_REPLY_BAD;
        event = sl_load_reply_feed(&conn->reply, input + used, len - used, &step);
        if (event == SL_LOAD_REPLY_BAD)
            return event;
        if (event == SL_LOAD_REPLY_CONTINUE)
            conn->may_send_body = true;
    }
    return event;
}

/* How many bytes of the answer may be read now. */
static uint64_t reading_allowance(const struct sl_load_conn *conn, const struct sl_load_run *run)
{
    uint64_t rate = run->options->rate;
    if (rate == 0 || run->options->method != SL_LOAD_GET)
        return UINT64_MAX;
    uint64_t slices = (sl_clock_now_ns() - conn->body_started_ns) / READ_SLICE_NS;
    uint64_t may = (slices + 1) * rate / (SL_SEC / READ_SLICE_NS);
    return may > conn->reply.body_bytes ? may - conn->reply.body_bytes : 0;
}

/* Does not read until there is allowance again: the server sees a full socket. */
static void rest(struct sl_load_conn *conn, struct sl_load_run *run)
{
    conn->state = SL_LOAD_CONN_RESTING;
    watch(conn, run, EPOLLRDHUP);
    sl_load_wheel_add(&run->wheel, &conn->timer, sl_clock_now_ns() + READ_SLICE_NS);
}

/* Reads what there is of the answer, as far as the rate allows. */
static void receive(struct sl_load_conn *conn, struct sl_load_run *run)
{
    for (;;) {
        /* A large download is dropped in the kernel: its bytes are never copied, so the generator stays cheap. */
        uint64_t may = reading_allowance(conn, run);
        if (may == 0)
            return rest(conn, run);
        uint64_t drop = sl_load_reply_droppable(&conn->reply);
        bool is_dropping = drop >= READ_BYTES;
        size_t room = !is_dropping ? READ_BYTES : drop < sizeof run->input ? drop : sizeof run->input;
        if (may < room)
            room = may;
        ssize_t n = recv(conn->fd, run->input, room, MSG_DONTWAIT | (is_dropping ? MSG_TRUNC : 0));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            return fail(conn, run, SL_LOAD_ERROR_RESET);
        if (n == 0) {
            if (sl_load_reply_ends_with_close(&conn->reply))
                return settle(conn, run);
            return fail(conn, run, SL_LOAD_ERROR_CLOSED);
        }
        enum sl_load_reply_event event =
            is_dropping ? sl_load_reply_dropped(&conn->reply, (uint64_t)n) : read_input(conn, run->input, (size_t)n);
        if (event == SL_LOAD_REPLY_DONE)
            return settle(conn, run);
        if (event == SL_LOAD_REPLY_BAD)
            return fail(conn, run, SL_LOAD_ERROR_BAD_REPLY);
        if (conn->state == SL_LOAD_CONN_EXPECTING && conn->may_send_body)
            return pump(conn, run);
    }
}

/* The server may have answered and closed while we were sending: its answer counts, not the broken pipe. */
static void on_send_error(struct sl_load_conn *conn, struct sl_load_run *run)
{
    conn->state = SL_LOAD_CONN_REPLYING;
    receive(conn, run);
    if (conn->state == SL_LOAD_CONN_REPLYING)
        fail(conn, run, SL_LOAD_ERROR_RESET);
}

static void cut(struct sl_load_conn *conn, struct sl_load_run *run)
{
    conn->was_cut = true;
    if (run->options->cut == SL_LOAD_CUT_HALF_CLOSE) {
        shutdown(conn->fd, SHUT_WR);
        conn->state = SL_LOAD_CONN_REPLYING;
        watch(conn, run, EPOLLIN);
        return;
    }
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fail(conn, run, SL_LOAD_ERROR_RESET);
}

static bool is_held(const struct sl_load_conn *conn, const struct sl_load_run *run)
{
    return run->options->hold && run->tried < run->options->connections;
}

/* How many bytes of the body may go now. */
static uint64_t allowance(const struct sl_load_conn *conn, const struct sl_load_run *run)
{
    if (!conn->may_send_body)
        return 0;
    uint64_t may = UINT64_MAX;
    uint64_t rate = run->options->rate;
    if (rate > 0) {
        /* In whole slices: a steady trickle of single bytes would cost a system call each. */
        uint64_t slices = is_held(conn, run) ? 0 : (sl_clock_now_ns() - conn->body_started_ns) / SLICE_NS;
        may = (slices + 1) * rate / (SL_SEC / SLICE_NS);
    } else if (is_held(conn, run)) {
        may = 1;
    }
    if (may > conn->cut_at)
        may = conn->cut_at;
    return may > conn->body_sent ? may - conn->body_sent : 0;
}

/* The head is sent and allowance() says nothing more may go: until when? */
static void wait_for_allowance(struct sl_load_conn *conn, struct sl_load_run *run)
{
    watch(conn, run, EPOLLIN);
    if (!conn->may_send_body) {
        conn->state = SL_LOAD_CONN_EXPECTING;
        sl_load_wheel_add(&run->wheel, &conn->timer, sl_clock_now_ns() + EXPECT_LIMIT_NS);
    } else if (is_held(conn, run)) {
        conn->state = SL_LOAD_CONN_HELD;
        sl_list_append(&run->held, &conn->link);
    } else {
        conn->state = SL_LOAD_CONN_SLEEPING;
        sl_load_wheel_add(&run->wheel, &conn->timer, sl_clock_now_ns() + SLICE_NS);
    }
}

/* Sends as much as rate, limits and socket allow. */
static void pump(struct sl_load_conn *conn, struct sl_load_run *run)
{
    sl_load_wheel_remove(&run->wheel, &conn->timer);
    conn->state = SL_LOAD_CONN_SENDING;
    for (unsigned i = 0; i < SENDS_PER_TURN; i++) {
        if (sl_load_cursor_is_at_end(conn->cursor, &run->shape) || sl_load_cursor_waits(conn->cursor, &run->shape)) {
            conn->state = SL_LOAD_CONN_REPLYING;
            return watch(conn, run, EPOLLIN);
        }
        if (conn->body_sent >= conn->cut_at)
            return cut(conn, run);
        sl_load_batch_fill(&run->batch, &run->shape, conn->number, conn->cursor, allowance(conn, run));
        if (run->batch.count == 0)
            return wait_for_allowance(conn, run);
        struct msghdr message = {.msg_iov = run->batch.iov, .msg_iovlen = run->batch.count};
        ssize_t n = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return on_send_error(conn, run);
        uint64_t body = sl_load_batch_sent(&run->batch, &conn->cursor, (uint64_t)n);
        conn->body_sent += body;
        run->stats.bytes += body;
    }
    conn->state = SL_LOAD_CONN_BLOCKED;
    watch(conn, run, EPOLLIN | EPOLLOUT);
}

/* Counts the end of the first connect for --hold. */
static void note_tried(struct sl_load_conn *conn, struct sl_load_run *run)
{
    if (!conn->was_tried)
        run->tried++;
    conn->was_tried = true;
}

static void open_socket(struct sl_load_conn *conn, struct sl_load_run *run)
{
    const struct sl_load_options *options = run->options;
    int one = 1;
    conn->state = SL_LOAD_CONN_CONNECTING;
    conn->fd = socket(options->target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        note_tried(conn, run);
        return fail(conn, run, SL_LOAD_ERROR_CONNECT);
    }
    run->connecting++;
    run->stats.connects++;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(conn->fd, &options->target.any, options->target_bytes) != 0 && errno != EINPROGRESS) {
        note_tried(conn, run);
        return fail(conn, run, SL_LOAD_ERROR_CONNECT);
    }
    watch(conn, run, EPOLLOUT);
}

void sl_load_conn_start(struct sl_load_conn *conn, struct sl_load_run *run)
{
    assert(conn->state == SL_LOAD_CONN_READY && !sl_link_is_linked(&conn->link));
    const struct sl_load_options *options = run->options;
    run->active++;
    conn->number = run->issued++;
    conn->cursor = (struct sl_load_cursor){0};
    conn->body_sent = 0;
    conn->may_send_body = !options->expect || options->method == SL_LOAD_GET;
    conn->was_cut = false;
    conn->cut_at = UINT64_MAX;
    if (options->cut != SL_LOAD_CUT_NEVER)
        conn->cut_at = options->cut_at_random
                           ? sl_load_mix(options->seed ^ sl_load_mix(conn->number)) % (options->size + 1)
                           : options->cut_after_bytes;
    conn->started_ns = conn->body_started_ns = sl_clock_now_ns();
    sl_load_reply_reset(&conn->reply);
    if (conn->fd < 0)
        open_socket(conn, run);
    else
        pump(conn, run);
}

static void on_connected(struct sl_load_conn *conn, struct sl_load_run *run)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    note_tried(conn, run);
    if (error != 0)
        return fail(conn, run, SL_LOAD_ERROR_CONNECT);
    run->connecting--;
    conn->state = SL_LOAD_CONN_SENDING;
    if (++run->stats.up > run->stats.up_max)
        run->stats.up_max = run->stats.up;
    conn->body_started_ns = sl_clock_now_ns();
    pump(conn, run);
}

void sl_load_conn_on_events(struct sl_load_conn *conn, struct sl_load_run *run, uint32_t events)
{
    if (conn->state == SL_LOAD_CONN_CONNECTING)
        return on_connected(conn, run);
    if (conn->state == SL_LOAD_CONN_RESTING)
        return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(conn, run);
    if (conn->state == SL_LOAD_CONN_BLOCKED && (events & EPOLLOUT))
        pump(conn, run);
}

void sl_load_conn_on_timer(struct sl_load_conn *conn, struct sl_load_run *run)
{
    if (conn->state == SL_LOAD_CONN_RESTING) {
        conn->state = SL_LOAD_CONN_REPLYING;
        watch(conn, run, EPOLLIN);
        return receive(conn, run);
    }
    assert(conn->state == SL_LOAD_CONN_SLEEPING || conn->state == SL_LOAD_CONN_EXPECTING);
    conn->may_send_body = true;
    pump(conn, run);
}

void sl_load_conn_release(struct sl_load_conn *conn, struct sl_load_run *run)
{
    assert(conn->state == SL_LOAD_CONN_HELD && !sl_link_is_linked(&conn->link));
    conn->body_started_ns = sl_clock_now_ns();
    if (run->options->rate == 0)
        return pump(conn, run);
    /* Slow clients do not march in step: each begins at its own moment of the first slice. */
    conn->state = SL_LOAD_CONN_SLEEPING;
    sl_load_wheel_add(&run->wheel, &conn->timer, conn->body_started_ns + sl_load_mix(conn->number) % SLICE_NS);
}

void sl_load_conn_stop(struct sl_load_conn *conn, struct sl_load_run *run)
{
    if (conn->state != SL_LOAD_CONN_READY)
        fail(conn, run, SL_LOAD_ERROR_UNFINISHED);
    close_socket(conn, run);
}
