/* Whatever a client sends, cut as the input says: no promise of ours breaks, and when the connection is gone all it had
 * is back: buffers, files, operations, windows, held bytes. A whole server behind a socket pair: routes, handlers,
 * uploads, a disk. Timers are over when the input says so, never by the clock.
 *
 * The input: what is special (flags), eight lengths to cut at, eight things to do behind each; then what is sent. */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>

#include "../unit/http/h2_case.h"
#include "sluice/base/log.h"

#define PIECES     8
#define HEAD_BYTES (1 + 2 * PIECES)
#define CALM_TURNS 3
#define PREFACE    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FRAME_HEAD ((size_t)9)

enum { SAYS_PREFACE = 1, READS_NOTHING = 2, HALF_CLOSES = 4, DRAINS = 8, CLOSES_ALL = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static struct h2_case c;

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- the server, one for all inputs; each finds the same files ---- */

static int remove_below(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return where->level == 0 ? 0 : remove(path);
}

static void lay_files(void)
{
    char text[600];
    memset(text, 'x', sizeof text);
    must(nftw(scratch_path(&c.h.u.scratch, "files"), remove_below, 8, FTW_DEPTH | FTW_PHYS) == 0);
    int fd = open(scratch_path(&c.h.u.scratch, "files/f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, text, sizeof text) == sizeof text);
    close(fd);
}

static int remove_all(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static void on_exit_of_fuzzer(void)
{
    (void)nftw(c.h.u.scratch.path, remove_all, 8, FTW_DEPTH | FTW_PHYS);
}

static void open_once(void)
{
    if (c.h.http != NULL)
        return;
    must(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    sl_log_start(SL_LOG_JSON, open("/dev/null", O_WRONLY | O_CLOEXEC));
    h2_case_open(&c, TEST_FAKE);
    c.h.u.intake.digests = 0; /* whose threads would make each run another */
    must(atexit(on_exit_of_fuzzer) == 0);
}

/* ---- the client ---- */

static bool read_answers(int fd)
{
    static char waste[1 << 16];
    ssize_t n = recv(fd, waste, sizeof waste, 0);
    return n > 0;
}

static void turn_until_quiet(int fd, bool reads)
{
    for (int calm = 0; calm < CALM_TURNS; calm++) {
        unsigned started = fake_disk_started(c.h.u.disk, FAKE_DISK_ANY);
        h2_case_turn(&c, sl_disk_inflight(c.h.u.disk) > 0 ? 10 : 0);
        bool has_moved = sl_disk_inflight(c.h.u.disk) > 0 || !sl_mailbox_is_empty(&c.h.u.mailbox) ||
                         started != fake_disk_started(c.h.u.disk, FAKE_DISK_ANY);
        if ((reads && read_answers(fd)) || has_moved)
            calm = -1;
    }
}

/* false: it is not taken, now or ever. */
static bool say(int fd, const uint8_t *bytes, size_t len)
{
    return len == 0 || send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static size_t piece_of(uint8_t code, size_t left)
{
    size_t len = code == 0 ? left : code < 128 ? code : (size_t)(code - 127) * 64;
    return len < left ? len : left;
}

static void act(int fd, uint8_t code, bool reads)
{
    struct sl_http *http = c.h.http;
    h2o_timeout_t *const timeouts[] = {&http->head_timeout, &http->body_timeout, &http->write_timeout,
                                       &http->linger_timeout, &http->keep_alive_timeout};
    if (code == UINT8_MAX)
        return; /* what follows comes at once */
    turn_until_quiet(fd, reads);
    if (code == 0 || code > sizeof timeouts / sizeof timeouts[0])
        return;
    h2_case_expire(&c, timeouts[code - 1]);
    turn_until_quiet(fd, reads);
}

static void leave(int fd, uint8_t flags)
{
    if (flags & DRAINS)
        sl_http_drain(c.h.http);
    if (flags & HALF_CLOSES)
        must(shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN);
    if (flags & (DRAINS | HALF_CLOSES))
        turn_until_quiet(fd, !(flags & READS_NOTHING));
    if (flags & CLOSES_ALL)
        sl_http_close_all(c.h.http);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = PREFACE "\0\0\0\4\0\0\0\0\0";
    if (size < HEAD_BYTES)
        return 0;
    open_once();
    lay_files();
    const uint8_t *lengths = data + 1, *acts = lengths + PIECES, *bytes = data + HEAD_BYTES;
    size_t left = size - HEAD_BYTES;
    bool reads = !(data[0] & READS_NOTHING);
    int fd = h2_case_connect(&c);
    bool is_open = !(data[0] & SAYS_PREFACE) || say(fd, preface, sizeof preface - 1);
    for (unsigned i = 0; is_open && left > 0; i = (i + 1) % PIECES) {
        size_t len = piece_of(lengths[i], left);
        is_open = say(fd, bytes, len);
        bytes += len;
        left -= len;
        act(fd, acts[i], reads);
    }
    turn_until_quiet(fd, reads);
    leave(fd, data[0]);
    h2_case_come_home(&c);
    c.h.http->is_draining = false;
    must(scratch_count(&c.h.u.scratch, "uploads") == 0);
    return 0;
}

/* ---- mutations that keep frames whole ---- */

static size_t frame_bytes(const uint8_t *frame, size_t left)
{
    if (left < FRAME_HEAD)
        return 0;
    size_t len = FRAME_HEAD + ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]);
    return len <= left ? len : 0;
}

static void put_length(uint8_t *frame, size_t len)
{
    frame[0] = (uint8_t)(len >> 16);
    frame[1] = (uint8_t)(len >> 8);
    frame[2] = (uint8_t)len;
}

/* Where one of the frames begins, the end of them being one of the places. */
static size_t pick_frame(const uint8_t *data, size_t size, unsigned dice)
{
    size_t starts[64], count = 0, at = HEAD_BYTES;
    if (size >= at + sizeof PREFACE - 1 && memcmp(data + at, PREFACE, sizeof PREFACE - 1) == 0)
        at += sizeof PREFACE - 1;
    for (size_t len; count < 63 && (len = frame_bytes(data + at, size - at)) > 0; at += len)
        starts[count++] = at;
    starts[count++] = at;
    return starts[dice % count];
}

static size_t insert_frame(uint8_t *data, size_t size, size_t max_size, size_t at, unsigned dice)
{
    static const struct {
        uint8_t type, flags, bytes;
    } kinds[] = {{0, 0, 5}, {0, 1, 5}, {0, 1, 0}, {0, 9, 7}, {1, 5, 0}, {2, 0, 5}, {3, 0, 4},  {4, 0, 6},
                 {4, 1, 0}, {6, 0, 8}, {7, 0, 8}, {8, 0, 4}, {9, 4, 1}, {9, 0, 1}, {10, 0, 4}, {1, 4, 0}};
    unsigned kind = dice % 16;
    size_t len = FRAME_HEAD + kinds[kind].bytes;
    if (size + len > max_size)
        return size;
    memmove(data + at + len, data + at, size - at);
    memset(data + at, 0, len);
    put_length(data + at, kinds[kind].bytes);
    data[at + 3] = kinds[kind].type;
    data[at + 4] = kinds[kind].flags;
    data[at + 8] = (uint8_t)((dice >> 4) % 8);
    if (kinds[kind].bytes > 0)
        data[at + len - 1] = (uint8_t)(dice >> 8);
    return size + len;
}

static size_t mutate_payload(uint8_t *data, size_t size, size_t max_size, size_t at, size_t len)
{
    uint8_t payload[4096];
    size_t old = len - FRAME_HEAD, room = max_size - (size - old);
    if (old > sizeof payload || room == 0)
        return size;
    memcpy(payload, data + at + FRAME_HEAD, old);
    size_t now = LLVMFuzzerMutate(payload, old, room < sizeof payload ? room : sizeof payload);
    memmove(data + at + FRAME_HEAD + now, data + at + len, size - at - len);
    memcpy(data + at + FRAME_HEAD, payload, now);
    put_length(data + at, now);
    return size - old + now;
}

static size_t double_frame(uint8_t *data, size_t size, size_t max_size, size_t at, size_t len)
{
    if (size + len > max_size)
        return size;
    memmove(data + at + len, data + at, size - at);
    return size + len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    unsigned what = seed % 8, dice = seed >> 3;
    size_t at = size > HEAD_BYTES ? pick_frame(data, size, dice) : 0, len = 0;
    if (at == 0 || what < 2)
        return LLVMFuzzerMutate(data, size, max_size);
    if (at < size)
        len = frame_bytes(data + at, size - at);
    if (what == 2 || len == 0)
        return insert_frame(data, size, max_size, at, dice >> 6);
    if (what < 5)
        return mutate_payload(data, size, max_size, at, len);
    if (what == 5)
        return double_frame(data, size, max_size, at, len);
    if (what == 6) { /* gone */
        memmove(data + at, data + at + len, size - at - len);
        return size - len;
    }
    (void)LLVMFuzzerMutate(data + at + 3, FRAME_HEAD - 3, FRAME_HEAD - 3); /* kind, flags, stream */
    return size;
}
