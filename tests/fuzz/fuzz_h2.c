/* Whatever a client sends, cut as the input says: no promise of ours breaks, and when the connection is gone all it had
 * is back: buffers, files, operations, windows, held bytes. A whole server behind a socket pair: routes, handlers,
 * uploads, a disk. Timers are over when the input says so, never by the clock.
 *
 * The input: what is special (flags), eight lengths to cut at, eight things to do behind each; then what is sent. */
#include "fake_disk.h"
#include "server.h"
#include "sluice/base/clock.h"

#define PIECES     8
#define HEAD_BYTES (1 + 2 * PIECES)
#define PREFACE    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FRAME_HEAD ((size_t)9)

enum { SAYS_PREFACE = 1, READS_NOTHING = 2, HALF_CLOSES = 4, DRAINS = 8, CLOSES_ALL = 16 };

/* Behind the timers' numbers. */
enum { HOLDS = 6, RELEASES, SOON, MUCH_LATER, FAULTS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static size_t piece_of(uint8_t code, size_t left)
{
    size_t len = code == 0 ? left : code < 128 ? code : (size_t)(code - 127) * 64;
    return len < left ? len : left;
}

/* Of the disk: one of the next operations of each kind, or any, fails, for one of two reasons, or is late, or short. */
static void arm(uint8_t code)
{
    struct sl_disk *disk = fuzz_case.h.u.disk;
    enum sl_disk_kind kind = code % (SL_DISK_KINDS + 1);
    unsigned nth = code / (SL_DISK_KINDS + 1) % 4 + 1, what = code / (SL_DISK_KINDS + 1) / 4;
    if (!fuzz_may_arm())
        return;
    if (what < 2)
        fuzz_fail(kind, nth, what == 0 ? EIO : ENOSPC);
    else if (kind == SL_DISK_READ || kind == SL_DISK_WRITE || kind == SL_DISK_COPY)
        fake_disk_shorten(disk, kind, nth, code % 8);
    else
        fake_disk_delay(disk, kind, nth, 20);
}

static void act(uint8_t code)
{
    if (code == UINT8_MAX)
        return; /* what follows comes at once */
    fuzz_settle();
    switch (code) {
    case HOLDS: fake_disk_hold(fuzz_case.h.u.disk, FAKE_DISK_ANY); break;
    case RELEASES: fake_disk_release(fuzz_case.h.u.disk); break;
    case SOON: fuzz_later(31 * SL_SEC); break;
    case MUCH_LATER: fuzz_later(7200 * SL_SEC); break;
    default:
        if (code >= FAULTS)
            arm(code - FAULTS);
        else if (code > 0 && code <= FUZZ_TIMERS)
            fuzz_expire(code - 1u);
        break;
    }
    if (code > 0 && code < FAULTS)
        fuzz_settle();
}

static void leave(struct fuzz_client *client, uint8_t flags)
{
    if (flags & DRAINS)
        sl_http_drain(fuzz_case.h.http);
    if (flags & HALF_CLOSES)
        fuzz_half_close(client);
    if (flags & (DRAINS | HALF_CLOSES))
        fuzz_settle();
    if (flags & CLOSES_ALL)
        sl_http_close_all(fuzz_case.h.http);
    fuzz_close(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = PREFACE "\0\0\0\4\0\0\0\0\0";
    if (size < HEAD_BYTES)
        return 0;
    fuzz_server_begin();
    fuzz_case.h.http->options.is_interim_on = true;
    const uint8_t *lengths = data + 1, *acts = lengths + PIECES, *bytes = data + HEAD_BYTES;
    size_t left = size - HEAD_BYTES;
    struct fuzz_client *client = fuzz_client(0);
    client->is_reading = !(data[0] & READS_NOTHING);
    bool is_open = !(data[0] & SAYS_PREFACE) || fuzz_say(client, preface, sizeof preface - 1);
    for (unsigned i = 0; is_open && left > 0; i = (i + 1) % PIECES) {
        size_t len = piece_of(lengths[i], left);
        is_open = fuzz_say(client, bytes, len);
        bytes += len;
        left -= len;
        act(acts[i]);
    }
    fuzz_settle();
    leave(client, data[0]);
    fuzz_server_end();
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
