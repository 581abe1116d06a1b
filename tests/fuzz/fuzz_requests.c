/* Whatever clients say to a server, on four connections in any order, while its disk fails, is slow, takes part of what
 * it is given, and overtakes itself, and time passes: no promise of ours breaks, and in the end all is back (server.h).
 *
 * The input: two bytes of settings; then what is said, byte by byte, but for what stands behind 0xFF: a letter and its
 * arguments (do_step), one byte each. The mutator knows requests, lines and steps. */
#include "fake_disk.h"
#include "said.h"
#include "sluice/base/clock.h"

#define HEAD_BYTES   2
#define STEP         0xff
#define STEP_BYTES   5 /* with the letter and three arguments */
#define FILLER_BYTES 1024

enum {
    FREQUENT_MARKS = 1,
    SHORT_APPENDS = 2,
    SMALL_FILES = 4,
    NO_INTERIM = 8,
    EVERY_ORIGIN = 16,
    OTHER_NAMES = 32,
    LEAST_RATE = 64
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static void set_up(uint8_t first, uint8_t second)
{
    static const enum sl_conflict conflicts[] = {SL_CONFLICT_ERROR, SL_CONFLICT_RENAME, SL_CONFLICT_OVERWRITE};
    static const sl_hash_set digests[] = {1u << SL_HASH_SHA256, (1u << SL_HASH_ALGS) - 1, 0,
                                          1u << SL_HASH_SHA512 | 1u << SL_HASH_CRC32C};
    static const enum sl_durability durabilities[] = {SL_DURABILITY_FULL, SL_DURABILITY_DATA, SL_DURABILITY_NONE};
    struct sl_intake *intake = &fuzz_case.h.u.intake;
    struct sl_http_options *options = &fuzz_case.h.http->options;
    intake->conflict = conflicts[first % 3];
    intake->digests = digests[first / 3 % 4];
    fuzz_set_store(durabilities[first / 12 % 3], (first / 36 & 1) == 0, (first / 36 & 2) == 0);
    intake->checkpoint_bytes = second & FREQUENT_MARKS ? 1024 : 0;
    intake->size_max = second & SMALL_FILES ? 65536 : UINT64_MAX;
    intake->name_template = second & OTHER_NAMES ? "{yyyy}/{id}-{filename}" : "{filename}";
    options->max_append_bytes = second & SHORT_APPENDS ? 4096 : 0;
    options->is_interim_on = !(second & NO_INTERIM);
    options->cors_origins = second & EVERY_ORIGIN ? "*" : "http://a https://b:1";
    options->min_rate_bytes_s = second & LEAST_RATE ? 1000 : 0;
}

/* ---- what is done ---- */

/* All of it, as far as the server takes it. */
static void say(unsigned client, const uint8_t *bytes, size_t len)
{
    struct fuzz_client *c = fuzz_client(client);
    said(client, bytes, len);
    for (bool has_waited = false; len > 0;) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0 && has_waited) {
            said_is_cut(client);
            return;
        }
        has_waited = n <= 0;
        if (has_waited)
            fuzz_settle();
        bytes += has_waited ? 0 : n;
        len -= has_waited ? 0 : (size_t)n;
    }
}

static void say_filler(unsigned client, unsigned count)
{
    static uint8_t filler[FILLER_BYTES];
    memset(filler, 'x', sizeof filler);
    while (count-- > 0)
        say(client, filler, sizeof filler);
}

static enum sl_disk_kind kind_of(uint8_t byte)
{
    return byte % (SL_DISK_KINDS + 1); /* the last stands for any */
}

static void arm(uint8_t what, const uint8_t args[3])
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS, EMFILE, EINTR, ENOENT, EACCES, EXDEV, EEXIST, ENOMEM};
    static const enum sl_disk_kind movers[] = {SL_DISK_READ, SL_DISK_WRITE, SL_DISK_COPY};
    struct sl_disk *disk = fuzz_case.h.u.disk;
    enum sl_disk_kind kind = kind_of(args[0]);
    unsigned nth = args[1] % 32u + 1;
    int error = errors[args[2] % (sizeof errors / sizeof errors[0])];
    if (!fuzz_may_arm())
        return;
    if (what == 'f')
        fuzz_fail(kind, nth, error);
    else if (what == 'w')
        fake_disk_shorten(disk, movers[args[0] % 3], nth, args[2] * (size_t)16);
    else
        fake_disk_delay(disk, kind, nth, args[2] % 64u + 1);
}

static void pass_time(uint8_t how_long)
{
    static const uint64_t times[] = {0, 1, 11, 31, 61, 700, 3700, UINT64_C(86400) * 9};
    fuzz_later(times[how_long % 8] * SL_SEC);
}

static void do_step(unsigned *client, uint8_t what, const uint8_t args[3])
{
    struct sl_disk *disk = fuzz_case.h.u.disk;
    switch (what) {
    case 'c': *client = args[0]; return;
    case 'x':
        fuzz_close(fuzz_client(*client));
        said_is_closed(*client);
        return;
    case 'h': fuzz_half_close(fuzz_client(*client)); return;
    case 'q': fuzz_client(*client)->is_reading = args[0] & 1; return;
    case 't': fuzz_settle(); return;
    case 's':
        for (unsigned turns = args[0] % 8u + 1; turns > 0; turns--)
            fuzz_turn();
        return;
    case 'e': fuzz_expire(args[0]); return;
    case 'j': pass_time(args[0]); return;
    case 'f':
    case 'w':
    case 'd': arm(what, args); return;
    case 'o': fake_disk_hold(disk, kind_of(args[0])); return;
    case 'r':
        if (fake_disk_held(disk) > 0)
            fake_disk_release_one(disk);
        return;
    case 'R': fake_disk_release(disk); return;
    case 'b': say_filler(*client, args[0] + 1u); return;
    case 'D':
        sl_http_drain(fuzz_case.h.http);
        fuzz_turn(); /* whoever it was written to is told before he is closed */
        return;
    case 'X': sl_http_close_all(fuzz_case.h.http); return;
    default: return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned client = 0;
    if (size < HEAD_BYTES)
        return 0;
    fuzz_server_begin();
    said_begin();
    fuzz_on_stored = said_check_stored;
    set_up(data[0], data[1]);
    for (size_t at = HEAD_BYTES; at < size;) {
        const uint8_t *step = memchr(data + at, STEP, size - at);
        size_t len = step == NULL ? size - at : (size_t)(step - data) - at;
        say(client, data + at, len);
        at += len;
        if (at + STEP_BYTES > size)
            break;
        do_step(&client, data[at + 1], data + at + 2);
        at += STEP_BYTES;
    }
    fuzz_settle();
    fuzz_server_end();
    return 0;
}

/* ---- mutations that know what a request is ---- */

#define HOST    "Host: t\r\n"
#define LENGTH  "Content-Length: "
#define TUS     HOST "Tus-Resumable: 1.0.0\r\n"
#define OFFSET  "Content-Type: application/offset+octet-stream\r\n"
#define DRAFT   HOST "Upload-Draft-Interop-Version: 8\r\n"
#define DRAFT_6 HOST "Upload-Draft-Interop-Version: 6\r\n"
#define PARTIAL "Content-Type: application/partial-upload\r\n"
#define UPLOAD  "/uploads/aaaaaaaaaaaaaaaaaaaaaaaaa"
#define FORM    "Content-Type: multipart/form-data; boundary=b\r\n"
#define FIELD   "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n"
#define FILE_OF "--b\r\nContent-Disposition: form-data; name=f; filename="

static const char *const requests[] = {
    "PUT /files/n HTTP/1.1\r\n" HOST LENGTH "5\r\n\r\nhello",
    "PUT /files/d/n?conflict=rename HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT /files/f?conflict=overwrite HTTP/1.1\r\n" HOST "If-Match: *\r\n" LENGTH "5\r\n\r\nhello",
    "PUT /files/p HTTP/1.1\r\n" HOST "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n" LENGTH "5\r\n\r\nhello",
    "PUT /files/e HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Type: text/plain\r\n" LENGTH "0\r\n\r\n",
    "POST /files/?name=r HTTP/1.1\r\n" HOST LENGTH "5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Accept: text/html\r\n" FORM LENGTH "114\r\n\r\n" FIELD FILE_OF
    "g\r\n\r\nhey\r\n--b--",
    "GET /files/f HTTP/1.1\r\n" HOST "Range: bytes=1-4,7-8\r\n\r\n",
    "GET /files/n HTTP/1.1\r\n" HOST "Want-Repr-Digest: sha-512=3\r\nIf-None-Match: *\r\n\r\n",
    "HEAD /files/f HTTP/1.1\r\n" HOST "\r\n",
    "DELETE /files/f HTTP/1.1\r\n" HOST "\r\n",
    "GET /files/?limit=2&after=a&prefix=d HTTP/1.1\r\n" HOST "\r\n",
    "OPTIONS /files/ HTTP/1.1\r\n" HOST "Origin: http://a\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
    "GET /metrics HTTP/1.1\r\n" HOST "\r\n",
    "POST /files/ HTTP/1.1\r\n" TUS "Upload-Length: 10\r\nUpload-Metadata: filename dA==\r\n" LENGTH "0\r\n\r\n",
    "POST /files/ HTTP/1.1\r\n" TUS "Upload-Length: 10\r\n" OFFSET LENGTH "5\r\n\r\nhello",
    "POST /files/ HTTP/1.1\r\n" TUS "Upload-Defer-Length: 1\r\n" LENGTH "0\r\n\r\n",
    "POST /files/ HTTP/1.1\r\n" TUS "Upload-Concat: partial\r\nUpload-Length: 5\r\n" OFFSET LENGTH "5\r\n\r\nhello",
    "POST /files/ HTTP/1.1\r\n" TUS "Upload-Concat: final;" UPLOAD "a " UPLOAD "b\r\n" LENGTH "0\r\n\r\n",
    "PATCH " UPLOAD "a HTTP/1.1\r\n" TUS "Upload-Offset: 0\r\n" OFFSET LENGTH "5\r\n\r\nhello",
    "PATCH " UPLOAD "a HTTP/1.1\r\n" TUS "Upload-Offset: 5\r\n" OFFSET LENGTH "5\r\n\r\nworld",
    "PATCH " UPLOAD "a HTTP/1.1\r\n" TUS "Upload-Offset: 0\r\nUpload-Length: 9\r\n" OFFSET
    "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    "PATCH " UPLOAD "a HTTP/1.1\r\n" TUS
    "Upload-Offset: 0\r\nUpload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=\r\n" OFFSET LENGTH "5\r\n\r\nhello",
    "PATCH " UPLOAD "a HTTP/1.1\r\n" TUS "Upload-Offset: 0\r\nTrailer: Upload-Checksum\r\n" OFFSET
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nUpload-Checksum: md5 XUFAKrxLKna5cZ2REBfFkg==\r\n\r\n",
    "HEAD " UPLOAD "a HTTP/1.1\r\n" TUS "\r\n",
    "DELETE " UPLOAD "a HTTP/1.1\r\n" TUS "\r\n",
    "GET " UPLOAD "a HTTP/1.1\r\n" HOST "\r\n",
    "PUT /files/n HTTP/1.1\r\n" DRAFT "Upload-Complete: ?0\r\n" LENGTH "5\r\n\r\nhello",
    "POST /files/ HTTP/1.1\r\n" DRAFT "Upload-Complete: ?1\r\n" LENGTH "5\r\n\r\nhello",
    "PATCH " UPLOAD "a HTTP/1.1\r\n" DRAFT "Upload-Complete: ?1\r\nUpload-Offset: 5\r\n" PARTIAL LENGTH
    "5\r\n\r\nworld",
    "PUT /files/q HTTP/1.1\r\n" DRAFT_6 "Upload-Complete: ?0\r\nUpload-Length: 10\r\n" LENGTH "5\r\n\r\nhello",
    "HEAD " UPLOAD "a HTTP/1.1\r\n" DRAFT "\r\n",
    "DELETE " UPLOAD "a HTTP/1.1\r\n" DRAFT "\r\n",
};

static const char letters[] = "cccxhqtttsssejjfffwddorRbDX";

/* Room for `len` more bytes at `at`; false: there is none. */
static bool make_room(uint8_t *data, size_t *size, size_t max_size, size_t at, size_t len)
{
    if (*size + len > max_size)
        return false;
    memmove(data + at + len, data + at, *size - at);
    *size += len;
    return true;
}

/* Where a line or a step begins, or the end. */
static size_t pick_place(const uint8_t *data, size_t size, unsigned dice)
{
    size_t at = HEAD_BYTES + dice % (size - HEAD_BYTES + 1);
    while (at < size && at > HEAD_BYTES && data[at - 1] != '\n' && data[at] != STEP)
        at++;
    return at;
}

/* Bytes of the line, or the step, at `at`. */
static size_t line_bytes(const uint8_t *data, size_t size, size_t at)
{
    if (at < size && data[at] == STEP)
        return size - at < STEP_BYTES ? size - at : STEP_BYTES;
    size_t len = 0;
    while (at + len < size && data[at + len] != STEP)
        if (data[at + len++] == '\n')
            break;
    return len;
}

static size_t insert(uint8_t *data, size_t size, size_t max_size, size_t at, const void *bytes, size_t len)
{
    if (make_room(data, &size, max_size, at, len))
        memcpy(data + at, bytes, len);
    return size;
}

static size_t insert_step(uint8_t *data, size_t size, size_t max_size, size_t at, unsigned dice)
{
    const uint8_t step[STEP_BYTES] = {STEP, (uint8_t)letters[dice % (sizeof letters - 1)], (uint8_t)(dice >> 6),
                                      (uint8_t)((dice >> 14) % 16), (uint8_t)(dice >> 18)};
    return insert(data, size, max_size, at, step, sizeof step);
}

/* A line goes, comes twice, or changes by itself. */
static size_t change_line(uint8_t *data, size_t size, size_t max_size, size_t at, unsigned what)
{
    uint8_t line[4096];
    size_t len = line_bytes(data, size, at), now;
    if (len == 0 || len > sizeof line / 2)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(line, data + at, len);
    if (what == 0)
        return insert(data, size, max_size, at, line, len);
    memmove(data + at, data + at + len, size - at - len);
    size -= len;
    now = what == 1 ? 0 : LLVMFuzzerMutate(line, len, sizeof line);
    return insert(data, size, max_size, at, line, now);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    unsigned what = seed % 16, dice = seed >> 4;
    if (size < HEAD_BYTES || what < 4)
        return LLVMFuzzerMutate(data, size, max_size);
    size_t at = pick_place(data, size, dice);
    dice = dice * 2654435761u >> 4;
    if (what < 7) {
        const char *request = requests[dice % (sizeof requests / sizeof requests[0])];
        return insert(data, size, max_size, at, request, strlen(request));
    }
    if (what < 11)
        return insert_step(data, size, max_size, at, dice);
    return change_line(data, size, max_size, at, what < 12 ? 0 : what < 14 ? 1 : 2);
}
