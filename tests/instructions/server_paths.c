/* Whole requests, from the socket to the file and back: HTTP, uploads and store of one loop, whose disk and digests
 * need no thread. The client is the other end of a socket pair. */
#include "paths.h"

#include "../unit/http/h2_case.h"
#include "inline_disk.h"
#include "sluice/base/clock.h"
#include "store/local/local.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/syscall.h>

#define SMALL_BYTES  4096
#define LARGE_BYTES  ((size_t)1 << 20)
#define PIECE_BYTES  16384 /* what a socket pair always takes at once */
#define ANSWER_BYTES 4096
#define TURNS_MAX    100
#define WALL_S       UINT64_C(1800000000)
#define BOUNDARY     "------------------------d74496d66958873e"

static struct h2_case server;
static bool is_open;
static int client;
static unsigned requests, ids;
static char request[LARGE_BYTES + 4096], answer[ANSWER_BYTES];
static size_t request_len, head_len;

/* ---- what the linker puts in the place of the program's own (CMakeLists.txt) ---- */

sl_err __wrap_sl_disk_threads_create(unsigned threads, struct sl_disk **disk_out);
void __wrap_sl_upload_id(char id_out[SL_UPLOAD_ID_BYTES]);
void __wrap_sl_log_writer_put(struct sl_bytes line);
uint64_t __wrap_sl_clock_now_ns(void);
uint64_t __wrap_sl_clock_coarse_ns(void);
uint64_t __wrap_sl_clock_wall_ns(void);
uint64_t __wrap_sl_clock_onward_ns(void);
long __wrap_syscall(long number, ...);

sl_err __wrap_sl_disk_threads_create(unsigned threads, struct sl_disk **disk_out)
{
    *disk_out = inline_disk_create();
    return SL_OK;
}

void __wrap_sl_upload_id(char id_out[SL_UPLOAD_ID_BYTES])
{
    memset(id_out, 'a', SL_UPLOAD_ID_BYTES - 1);
    id_out[SL_UPLOAD_ID_BYTES - 3] = (char)('a' + ids / 26 % 26);
    id_out[SL_UPLOAD_ID_BYTES - 2] = (char)('a' + ids % 26);
    id_out[SL_UPLOAD_ID_BYTES - 1] = '\0';
    ids++;
}

/* Lines of the log are made, and read by nobody. */
void __wrap_sl_log_writer_put(struct sl_bytes line)
{
}

uint64_t __wrap_sl_clock_now_ns(void)
{
    return 1000 * SL_SEC;
}

uint64_t __wrap_sl_clock_coarse_ns(void)
{
    return 1000 * SL_SEC;
}

uint64_t __wrap_sl_clock_wall_ns(void)
{
    return WALL_S * SL_SEC;
}

/* Of a new second h2o makes a new Date. */
uint64_t __wrap_sl_clock_onward_ns(void)
{
    return WALL_S * SL_SEC;
}

/* Debian 12's valgrind knows no openat2(2). What else is called by number need not be there. */
long __wrap_syscall(long number, ...)
{
    long fd = -1;
    va_list args;
    va_start(args, number);
    errno = ENOSYS;
    if (number == SYS_openat2) {
        int dir_fd = va_arg(args, int);
        const char *path = va_arg(args, const char *);
        const struct open_how *how = va_arg(args, const struct open_how *);
        fd = openat(dir_fd, path, (int)how->flags, (mode_t)how->mode);
    }
    va_end(args);
    return fd;
}

/* ---- the server ---- */

static const char *open_server(void)
{
    if (!is_open) {
        h2_case_open(&server, TEST_THREADS);
        client = h2_case_connect(&server);
        is_open = true;
    }
    struct sl_store_root *root = server.h.u.root;
    root->has_direct = false; /* of one way, wherever it runs */
    if (!root->has_unnamed)
        return "the file system has no unnamed files";
    return root->has_meta ? NULL : "the file system has no user attributes";
}

void server_paths_end(void)
{
    if (!is_open)
        return;
    close(client);
    h2_case_close(&server);
}

/* ---- requests ---- */

static void add(const char *text)
{
    memcpy(request + request_len, text, strlen(text));
    request_len += strlen(text);
}

static void add_bytes(size_t len)
{
    path_fill(request + request_len, len);
    request_len += len;
}

/* Begins another request, to a name that was not there before. */
static void begin(const char *head)
{
    request_len = (size_t)snprintf(request, sizeof request, head, requests++);
    head_len = request_len;
    memset(answer, 0, sizeof answer);
}

static void lay_small_put(void)
{
    begin("PUT /files/small-%04u HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
          "Content-Length: 4096\r\n\r\n");
    add_bytes(SMALL_BYTES);
}

static void lay_large_put(void)
{
    begin("PUT /files/large-%04u HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
          "Content-Length: 1048576\r\n\r\n");
    add_bytes(LARGE_BYTES);
}

static void lay_form(void)
{
    static char form[SMALL_BYTES + 1024];
    requests++;
    request_len = 0;
    add("--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nfrom the holidays\r\n"
        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"");
    request_len += (size_t)snprintf(request + request_len, 16, "photo-%04u", requests);
    add("\"\r\nContent-Type: image/jpeg\r\n\r\n");
    add_bytes(SMALL_BYTES);
    add("\r\n--" BOUNDARY "--\r\n");
    size_t form_len = request_len;
    must(form_len <= sizeof form);
    memcpy(form, request, form_len);
    request_len = (size_t)snprintf(request, sizeof request,
                                   "POST / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\n"
                                   "Accept: */*\r\nContent-Length: %zu\r\n"
                                   "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n\r\n",
                                   form_len);
    memcpy(request + request_len, form, form_len);
    request_len += form_len;
    head_len = request_len - form_len;
    memset(answer, 0, sizeof answer);
}

/* Turns until something is answered. */
static void hear(void)
{
    ssize_t n = -1;
    for (unsigned turns = 0; n < 0; turns++) {
        must(turns < TURNS_MAX);
        h2_case_turn(&server, 0);
        n = recv(client, answer, sizeof answer - 1, MSG_DONTWAIT);
    }
    must(n > 0);
}

static void say_at_once(void)
{
    must(send(client, request, request_len, MSG_NOSIGNAL) == (ssize_t)request_len);
    hear();
}

/* Each piece is taken before the next one is sent, as from a network that is slower than we are. */
static void say_in_pieces(void)
{
    for (size_t at = 0; at < request_len; at += PIECE_BYTES) {
        size_t len = request_len - at < PIECE_BYTES ? request_len - at : PIECE_BYTES;
        must(send(client, request + at, len, MSG_NOSIGNAL) == (ssize_t)len);
        h2_case_turn(&server, 0);
    }
    hear();
}

static void check_created(void)
{
    must(strncmp(answer, "HTTP/1.1 201 ", 13) == 0);
    must(strstr(answer, "\r\n\r\n") != NULL);
}

const struct path server_paths[] = {
    {"put-4k", "stores a PUT of 4 KiB with its SHA-256", lay_small_put, say_at_once, check_created, open_server},
    {"put-1m", "stores a PUT of 1 MiB that comes in 65 pieces", lay_large_put, say_in_pieces, check_created,
     open_server},
    {"form-4k", "stores a form of a text and a file of 4 KiB", lay_form, say_at_once, check_created, open_server},
    {0}};
