#include "sluice/base/log.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TIME_LEN   24
#define LEN(array) (sizeof(array) / sizeof *(array))

/* --- write(2) of this program, which can fail on order --- */

struct fault {
    int error; /* 0: write at most `limit` bytes */
    size_t limit;
};

static struct {
    atomic_int fd; /* -1: no faults */
    const struct fault *faults;
    size_t count;
    size_t next;     /* log thread */
    bool is_lasting; /* the last fault goes on for ever */
    int tried_fd;    /* eventfd, raised after each faulty or faultless write to fd */
    int move_to;     /* the log thread: where the log is to go behind the next write; -1: nowhere */
} order = {.fd = -1, .move_to = -1};

static ssize_t write_as_ordered(int fd, const void *base, size_t len)
{
    size_t i = order.next;
    if (i < order.count)
        order.next += i + 1 < order.count || !order.is_lasting;
    else
        return syscall(SYS_write, fd, base, len);
    if (order.faults[i].error != 0) {
        errno = order.faults[i].error;
        return -1;
    }
    return syscall(SYS_write, fd, base, len < order.faults[i].limit ? len : order.faults[i].limit);
}

ssize_t write(int fd, const void *base, size_t len)
{
    if (fd != order.fd)
        return syscall(SYS_write, fd, base, len);
    ssize_t n = write_as_ordered(fd, base, len);
    int error = errno;
    uint64_t one = 1;
    if (order.move_to >= 0)
        sl_log_move(order.move_to);
    order.move_to = -1;
    (void)syscall(SYS_write, order.tried_fd, &one, sizeof one);
    errno = error;
    return n;
}

static void order_faults(int fd, const struct fault *faults, size_t count, bool is_lasting)
{
    order.faults = faults;
    order.count = count;
    order.next = 0;
    order.is_lasting = is_lasting;
    order.tried_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(order.tried_fd >= 0);
    order.fd = fd;
}

static void end_faults(void)
{
    order.fd = -1;
    close(order.tried_fd);
}

/* Waits for a write to the faulty fd; 0 when none came in time. */
static uint64_t writes_tried(int timeout_ms)
{
    uint64_t count = 0;
    struct pollfd p = {.fd = order.tried_fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) == 1)
        assert_int_equal(read(order.tried_fd, &count, sizeof count), sizeof count);
    return count;
}

/* --- what the log wrote --- */

static int open_memory(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* All of the file as a text; closes it. To be freed. */
static char *take_text(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
    close(fd);
    return text;
}

static void assert_is_time(const char *text)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i < TIME_LEN; i++) {
        if (shape[i] == 'd')
            assert_in_range(text[i], '0', '9');
        else
            assert_int_equal(text[i], shape[i]);
    }
}

/* The one line that `access` gives, without its time and what stands before it. To be freed. */
static char *access_line(enum sl_log_format format, const struct sl_log_access *access)
{
    int fd = open_memory();
    sl_log_start(format, fd);
    sl_log_access(access);
    sl_log_stop();
    char *text = take_text(fd);
    size_t before = format == SL_LOG_JSON ? strlen("{\"time\":\"") : 0;
    if (format == SL_LOG_JSON)
        assert_memory_equal(text, "{\"time\":\"", before);
    assert_is_time(text + before);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    memmove(text, text + before + TIME_LEN, strlen(text) - before - TIME_LEN + 1);
    return text;
}

static void assert_access_line(enum sl_log_format format, const struct sl_log_access *access, const char *expected)
{
    char *line = access_line(format, access);
    assert_string_equal(line, expected);
    free(line);
}

/* --- the shape of lines --- */

static struct sl_log_access whole_access(void)
{
    return (struct sl_log_access){
        .remote = SL_BYTES("127.0.0.1"),
        .method = SL_BYTES("PUT"),
        .target = SL_BYTES("/files/x"),
        .protocol = SL_BYTES("HTTP/1.1"),
        .status = 201,
        .bytes_in = 1048576,
        .bytes_out = 42,
        .duration_ns = 12345678,
        .request_id = SL_BYTES("abc"),
        .user_agent = SL_BYTES("curl/7.88.1"),
    };
}

static void access_whole_gives_exact_line(void **state)
{
    struct sl_log_access access = whole_access();
    assert_access_line(
        SL_LOG_TEXT, &access,
        " 127.0.0.1 \"PUT /files/x HTTP/1.1\" 201 in=1048576 out=42 12.3ms id=abc ua=\"curl/7.88.1\"\n");
    assert_access_line(SL_LOG_JSON, &access,
                       "\",\"remote\":\"127.0.0.1\",\"method\":\"PUT\",\"target\":\"/files/x\","
                       "\"protocol\":\"HTTP/1.1\",\"status\":201,\"bytes_in\":1048576,\"bytes_out\":42,"
                       "\"duration_ms\":12.3,\"request_id\":\"abc\",\"user_agent\":\"curl/7.88.1\"}\n");
}

static void access_with_error_gives_its_code(void **state)
{
    struct sl_log_access access = whole_access();
    access.status = 507;
    access.error_code = SL_BYTES("no-space");
    assert_access_line(SL_LOG_TEXT, &access,
                       " 127.0.0.1 \"PUT /files/x HTTP/1.1\" 507 in=1048576 out=42 12.3ms id=abc error=no-space "
                       "ua=\"curl/7.88.1\"\n");
    assert_access_line(SL_LOG_JSON, &access,
                       "\",\"remote\":\"127.0.0.1\",\"method\":\"PUT\",\"target\":\"/files/x\","
                       "\"protocol\":\"HTTP/1.1\",\"status\":507,\"bytes_in\":1048576,\"bytes_out\":42,"
                       "\"duration_ms\":12.3,\"request_id\":\"abc\",\"error\":\"no-space\","
                       "\"user_agent\":\"curl/7.88.1\"}\n");
}

static void access_with_uploads_tells_of_them(void **state)
{
    struct sl_log_access access = whole_access();
    access.route = SL_BYTES("file");
    access.upload_id = SL_BYTES("ddomxm5442e4b5vxj24homcsys");
    access.digest = SL_BYTES("sha-256:98ea6e4f");
    access.files = 2;
    access.stages[0] = (struct sl_log_stage){"queue", 0};
    access.stages[1] = (struct sl_log_stage){"write", 12345999};
    access.stages[2] = (struct sl_log_stage){"sync", 1000};
    assert_access_line(SL_LOG_TEXT, &access,
                       " 127.0.0.1 \"PUT /files/x HTTP/1.1\" 201 in=1048576 out=42 12.3ms id=abc "
                       "upload=ddomxm5442e4b5vxj24homcsys files=2 digest=sha-256:98ea6e4f write=12.345ms "
                       "sync=0.001ms ua=\"curl/7.88.1\"\n");
    assert_access_line(SL_LOG_JSON, &access,
                       "\",\"remote\":\"127.0.0.1\",\"method\":\"PUT\",\"target\":\"/files/x\","
                       "\"protocol\":\"HTTP/1.1\",\"route\":\"file\",\"status\":201,\"bytes_in\":1048576,"
                       "\"bytes_out\":42,\"duration_ms\":12.3,\"request_id\":\"abc\","
                       "\"upload_id\":\"ddomxm5442e4b5vxj24homcsys\",\"files\":2,\"digest\":\"sha-256:98ea6e4f\","
                       "\"write_ms\":12.345,\"sync_ms\":0.001,\"user_agent\":\"curl/7.88.1\"}\n");
}

static void access_empty_fields_give_dashes_or_nothing(void **state)
{
    struct sl_log_access access = {.status = 400};
    assert_access_line(SL_LOG_TEXT, &access, " - \"- - -\" 400 in=0 out=0 0.0ms id=- ua=\"-\"\n");
    assert_access_line(SL_LOG_JSON, &access,
                       "\",\"status\":400,\"bytes_in\":0,\"bytes_out\":0,\"duration_ms\":0.0}\n");
}

static void access_duration_is_rounded_to_tenths(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } durations[] = {
        {0, " 0.0ms "},
        {49999, " 0.0ms "},
        {50000, " 0.1ms "},
        {949999, " 0.9ms "},
        {950000, " 1.0ms "},
        {1000000, " 1.0ms "},
        {3600000000000, " 3600000.0ms "},
        {UINT64_MAX, " 18446744073709.6ms "},
    };
    for (size_t i = 0; i < LEN(durations); i++) {
        struct sl_log_access access = {.duration_ns = durations[i].ns};
        char *line = access_line(SL_LOG_TEXT, &access);
        assert_non_null(strstr(line, durations[i].text));
        free(line);
    }
}

static void log_each_level_gives_exact_line(void **state)
{
    int text_fd = open_memory(), json_fd = open_memory();
    const int fds[] = {[SL_LOG_TEXT] = text_fd, [SL_LOG_JSON] = json_fd};
    for (int format = SL_LOG_TEXT; format <= SL_LOG_JSON; format++) {
        sl_log_start((enum sl_log_format)format, fds[format]);
        sl_log(SL_LOG_ERROR, "disk %s", "gone");
        sl_log(SL_LOG_WARN, "%d left", 3);
        sl_log(SL_LOG_INFO, "up");
        sl_log(SL_LOG_DEBUG, "%s", "");
        sl_log_stop();
    }
    static const char *const expected[][4] = {
        {" ERROR disk gone\n", " WARN 3 left\n", " INFO up\n", " DEBUG \n"},
        {"\",\"level\":\"error\",\"message\":\"disk gone\"}\n", "\",\"level\":\"warn\",\"message\":\"3 left\"}\n",
         "\",\"level\":\"info\",\"message\":\"up\"}\n", "\",\"level\":\"debug\",\"message\":\"\"}\n"},
    };
    for (int format = SL_LOG_TEXT; format <= SL_LOG_JSON; format++) {
        char *text = take_text(fds[format]), *at = text;
        for (int i = 0; i < 4; i++) {
            if (format == SL_LOG_JSON) {
                assert_memory_equal(at, "{\"time\":\"", 9);
                at += 9;
            }
            assert_is_time(at);
            at += TIME_LEN;
            assert_memory_equal(at, expected[format][i], strlen(expected[format][i]));
            at += strlen(expected[format][i]);
        }
        assert_string_equal(at, "");
        free(text);
    }
}

/* --- what comes from outside --- */

static const struct hostile {
    struct sl_bytes raw;
    const char *text, *json;
} hostiles[] = {
    {SL_BYTES("a\r\n2026 INFO forged"), "a\\x0d\\x0a2026 INFO forged", "a\\u000d\\u000a2026 INFO forged"},
    {SL_BYTES("q\" id=\"x\\"), "q\\x22 id=\\x22x\\x5c", "q\\\" id=\\\"x\\\\"},
    {SL_BYTES("\x1b[31mred\x7f\t"), "\\x1b[31mred\\x7f\\x09", "\\u001b[31mred\\u007f\\u0009"},
    {SL_BYTES("nul\0end"), "nul\\x00end", "nul\\u0000end"},
    {SL_BYTES("\xff\xc0\xaf|"), "\\xff\\xc0\\xaf|", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"},
    {SL_BYTES("cut \xe2\x82"), "cut \\xe2\\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
    {SL_BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {SL_BYTES("x\xe2\x80\xaegpj.exe"), "x\\xe2\\x80\\xaegpj.exe", "x\\u202egpj.exe"},
    {SL_BYTES("tag\xf3\xa0\x81\x81"), "tag\\xf3\\xa0\\x81\\x81", "tag\\udb40\\udc41"},
    {SL_BYTES("\xc2\x9b"), "\\xc2\\x9b", "\\u009b"},
    {SL_BYTES("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
     "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"},
};

static void access_hostile_user_agent_is_escaped(void **state)
{
    for (size_t i = 0; i < LEN(hostiles); i++) {
        struct sl_log_access access = {.user_agent = hostiles[i].raw};
        char expected[256];
        snprintf(expected, sizeof expected, " - \"- - -\" 0 in=0 out=0 0.0ms id=- ua=\"%s\"\n", hostiles[i].text);
        assert_access_line(SL_LOG_TEXT, &access, expected);
        snprintf(expected, sizeof expected,
                 "\",\"status\":0,\"bytes_in\":0,\"bytes_out\":0,\"duration_ms\":0.0,\"user_agent\":\"%s\"}\n",
                 hostiles[i].json);
        assert_access_line(SL_LOG_JSON, &access, expected);
    }
}

static void access_space_in_bare_field_cannot_forge_another(void **state)
{
    const struct sl_bytes forged = SL_BYTES("a in=9\n");
    struct sl_log_access access = {.remote = forged,
                                   .method = forged,
                                   .target = forged,
                                   .protocol = forged,
                                   .request_id = forged,
                                   .error_code = forged,
                                   .user_agent = forged,
                                   .upload_id = forged,
                                   .digest = forged};
    assert_access_line(SL_LOG_TEXT, &access,
                       " a\\x20in=9\\x0a \"a\\x20in=9\\x0a a\\x20in=9\\x0a a\\x20in=9\\x0a\" 0 in=0 out=0 0.0ms "
                       "id=a\\x20in=9\\x0a error=a\\x20in=9\\x0a upload=a\\x20in=9\\x0a "
                       "digest=a\\x20in=9\\x0a ua=\"a in=9\\x0a\"\n");
}

static void log_hostile_message_stays_one_line(void **state)
{
    int fd = open_memory();
    sl_log_start(SL_LOG_TEXT, fd);
    sl_log(SL_LOG_WARN, "name %s", "x\ny\x1b\"");
    sl_log_stop();
    char *text = take_text(fd);
    assert_string_equal(text + TIME_LEN, " WARN name x\\x0ay\\x1b\\x22\n");
    free(text);
}

/* --- long lines --- */

static void access_fields_too_long_are_cut_between_characters(void **state)
{
    /* One character over and over, in each field: what it looks like must never be cut in two. */
    static const struct {
        struct sl_bytes raw;
        const char *text, *json;
    } characters[] = {
        {SL_BYTES("a"), "a", "a"},
        {SL_BYTES("\n"), "\\x0a", "\\u000a"},
        {SL_BYTES("\xc3\xbc"), "\xc3\xbc", "\xc3\xbc"},
        {SL_BYTES("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {SL_BYTES("\xff"), "\\xff", "\xef\xbf\xbd"},
    };
    static char raw[20000];
    for (size_t i = 0; i < LEN(characters); i++) {
        size_t unit = characters[i].raw.len;
        for (size_t at = 0; at < sizeof raw; at++)
            raw[at] = characters[i].raw.base[at % unit];
        const struct sl_bytes huge = {raw, sizeof raw / unit * unit};
        struct sl_log_access access = {huge, huge, huge, huge, -2147483647, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                       huge, huge, huge, huge, huge,        huge,       UINT_MAX,   {{0}}};
        for (size_t stage = 0; stage < SL_LOG_STAGES; stage++)
            access.stages[stage] = (struct sl_log_stage){"twelve bytes", UINT64_MAX};
        for (int format = SL_LOG_TEXT; format <= SL_LOG_JSON; format++) {
            char *line = access_line((enum sl_log_format)format, &access);
            const char *shown = format == SL_LOG_JSON ? characters[i].json : characters[i].text;
            const char *at = line;
            const int fields = format == SL_LOG_JSON ? 10 : 9;
            int cuts = 0;
            assert_true(strlen(line) + TIME_LEN + 9 <= SL_LOG_LINE_BYTES);
            while ((at = strstr(at, shown)) != NULL && cuts < fields) {
                while (strncmp(at, shown, strlen(shown)) == 0)
                    at += strlen(shown);
                if (strncmp(at, "...", 3) == 0) {
                    assert_non_null(strchr(" \"", at[3]));
                    cuts++;
                }
            }
            assert_int_equal(cuts, fields);
            assert_string_equal(line + strlen(line) - 5 - (format == SL_LOG_JSON),
                                format == SL_LOG_JSON ? "...\"}\n" : "...\"\n");
            free(line);
        }
    }
}

static void log_message_too_long_is_cut(void **state)
{
    static char raw[10000];
    memset(raw, 'm', sizeof raw - 1);
    for (int format = SL_LOG_TEXT; format <= SL_LOG_JSON; format++) {
        int fd = open_memory();
        sl_log_start((enum sl_log_format)format, fd);
        sl_log(SL_LOG_INFO, "%s", raw);
        sl_log(SL_LOG_INFO, "%.3000s", raw);
        sl_log_stop();
        char *text = take_text(fd), *second = strchr(text, '\n') + 1;
        size_t around =
            strlen(format == SL_LOG_JSON ? "{\"time\":\"\",\"level\":\"info\",\"message\":\"\"}\n" : " INFO \n");
        assert_int_equal(second - text, TIME_LEN + around + 3840);
        assert_memory_equal(second - (format == SL_LOG_JSON ? 6 : 4), format == SL_LOG_JSON ? "...\"}\n" : "...\n",
                            format == SL_LOG_JSON ? 6 : 4);
        assert_null(strstr(second, "..."));
        assert_in_range(strlen(second), 3000, 3100);
        free(text);
    }
}

/* --- readers that are slow, stuck or dead --- */

/* Counts in `text` the lines "line N", N rising, and the lines told as lost. */
struct tally {
    unsigned kept, last;
    uint64_t lost;
};

static void tally_text(struct tally *tally, char *text)
{
    char *save;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        unsigned n;
        uint64_t lost;
        if (strlen(line) < TIME_LEN)
            continue;
        if (sscanf(line + TIME_LEN, " INFO line %u", &n) == 1) {
            assert_true(tally->kept == 0 || n > tally->last);
            tally->last = n;
            tally->kept++;
        } else if (sscanf(line + TIME_LEN, " WARN the log was too slow, or could not be written: %lu lines were lost",
                          &lost) == 1) {
            assert_true(lost > 0);
            tally->lost += lost;
        }
    }
}

struct reader {
    int fd;
    char *text;
    size_t len;
};

static void *read_to_end(void *arg)
{
    struct reader *r = arg;
    ssize_t n;
    while ((n = read(r->fd, r->text + r->len, 64 * 1024)) > 0)
        r->len += (size_t)n;
    r->text[r->len] = '\0';
    return NULL;
}

static void log_nobody_reads_never_blocks_and_counts_the_lost(void **state)
{
    int ends[2];
    const unsigned lines = 20000;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sl_log_start(SL_LOG_TEXT, ends[1]);
    for (unsigned i = 0; i < lines; i++)
        sl_log(SL_LOG_INFO, "line %u", i); /* would wait for ever: this thread is the reader, later */
    struct reader reader = {.fd = ends[0], .text = malloc(4 * 1024 * 1024)};
    pthread_t thread;
    assert_non_null(reader.text);
    assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
    sl_log_stop();
    close(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[0]);
    struct tally tally = {0};
    tally_text(&tally, reader.text);
    assert_true(tally.kept >= SL_LOG_BUFFER_BYTES / 64);
    assert_true(tally.lost > 0);
    assert_int_equal(tally.last, tally.kept - 1); /* the gap is one, and at the end */
    assert_int_equal(tally.kept + tally.lost, lines);
    free(reader.text);
}

static void log_reader_comes_back_lines_are_taken_again(void **state)
{
    int ends[2];
    unsigned line = 0;
    static char text[8 * 1024 * 1024];
    size_t len = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sl_log_start(SL_LOG_TEXT, ends[1]);
    for (; line < 20000; line++)
        sl_log(SL_LOG_INFO, "line %u", line);
    char *told = NULL;
    while (told == NULL || strstr(told, "INFO") == NULL) {
        struct pollfd p = {.fd = ends[0], .events = POLLIN};
        if (told != NULL)
            sl_log(SL_LOG_INFO, "line %u", line++);
        if (poll(&p, 1, told != NULL ? 1 : 60 * 1000) == 1)
            len += (size_t)read(ends[0], text + len, 64 * 1024);
        if (told == NULL)
            told = strstr(text, "were lost");
    }
    struct reader reader = {.fd = ends[0], .text = text, .len = len};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
    sl_log_stop();
    close(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[0]);
    struct tally tally = {0};
    tally_text(&tally, text);
    assert_true(tally.last >= 20000);
    assert_int_equal(tally.kept + tally.lost, line);
}

static void stop_reader_is_stuck_returns(void **state)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sl_log_start(SL_LOG_TEXT, ends[1]);
    for (unsigned i = 0; i < 10000; i++)
        sl_log(SL_LOG_INFO, "line %u", i);
    sl_log_stop();
    close(ends[0]);
    close(ends[1]);
}

static void log_reader_is_gone_does_not_kill_or_hang(void **state)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    sl_log_start(SL_LOG_TEXT, ends[1]); /* SIGPIPE would end the test */
    for (unsigned i = 0; i < 10000; i++)
        sl_log(SL_LOG_INFO, "line %u", i);
    sl_log_stop();
    close(ends[1]);
}

static void log_fd_fails_is_tried_once_a_line(void **state)
{
    static const struct fault broken[] = {{.error = EIO}};
    int fd = open_memory();
    order_faults(fd, broken, LEN(broken), true);
    sl_log_start(SL_LOG_TEXT, fd);
    sl_log(SL_LOG_INFO, "line 0");
    assert_int_equal(writes_tried(60 * 1000), 1);
    assert_int_equal(writes_tried(50), 0); /* no spin */
    sl_log_stop();
    assert_true(writes_tried(0) <= 1);
    end_faults();
    char *text = take_text(fd);
    assert_string_equal(text, "");
    free(text);
}

static void log_fd_fails_mid_line_then_recovers_tells_the_lost(void **state)
{
    static const struct fault hiccup[] = {{.limit = 10}, {.error = ENOSPC}};
    int fd = open_memory();
    unsigned lines = 0;
    order_faults(fd, hiccup, LEN(hiccup), false);
    sl_log_start(SL_LOG_TEXT, fd);
    sl_log(SL_LOG_INFO, "line %u", lines++);
    for (uint64_t tried = 0; tried < 2;)
        tried += writes_tried(60 * 1000);
    do /* a line that comes before the thread waits again wakes nobody */
        sl_log(SL_LOG_INFO, "line %u", lines++);
    while (writes_tried(1) == 0);
    sl_log_stop();
    end_faults();
    char *text = take_text(fd);
    assert_int_equal(text[10], '\n'); /* the torn line is ended */
    assert_is_time(text + 11);
    struct tally tally = {0};
    tally_text(&tally, text);
    assert_true(tally.lost >= 2);
    assert_int_equal(tally.kept + tally.lost, lines);
    free(text);
}

static void log_interrupted_and_short_writes_lose_nothing(void **state)
{
    static const struct fault hiccups[] = {{.error = EINTR},  {.limit = 1}, {.error = EAGAIN}, {.limit = 30},
                                           {.error = EINTR},  {.limit = 1}, {.limit = 7},      {.error = EAGAIN},
                                           {.error = EAGAIN}, {.limit = 11}};
    int fd = open_memory();
    order_faults(fd, hiccups, LEN(hiccups), false);
    sl_log_start(SL_LOG_TEXT, fd);
    for (unsigned i = 0; i < 20; i++)
        sl_log(SL_LOG_INFO, "line %u", i);
    sl_log_stop();
    assert_int_equal(order.next, LEN(hiccups));
    end_faults();
    char *text = take_text(fd), *at = text;
    for (unsigned i = 0; i < 20; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, " INFO line %u\n", i);
        assert_is_time(at);
        assert_memory_equal(at + TIME_LEN, expected, strlen(expected));
        at += TIME_LEN + strlen(expected);
    }
    assert_string_equal(at, "");
    free(text);
}

/* --- threads, start and stop --- */

#define THREADS      8
#define THREAD_LINES 500 /* all together less than the buffer: none may be lost */

static void *log_lines(void *arg)
{
    for (unsigned i = 0; i < THREAD_LINES; i++)
        sl_log(SL_LOG_INFO, "thread %u line %u", *(unsigned *)arg, i);
    return NULL;
}

/* --- moving on to another file --- */

static int copy_of(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    assert_true(copy >= 0);
    return copy;
}

static void wait_until_written(int fd)
{
    struct stat st = {0};
    while (fstat(fd, &st) == 0 && st.st_size == 0)
        sched_yield();
}

static void move_goes_on_in_the_new_file_and_loses_nothing(void **state)
{
    enum { LINES = 20000, FILES = 20 };
    int fd = open_memory(), files[FILES] = {copy_of(fd)};
    sl_log_start(SL_LOG_TEXT, fd);
    for (unsigned i = 0; i < LINES; i++) {
        unsigned file = i / (LINES / FILES);
        bool is_first = i % (LINES / FILES) == 0;
        if (is_first && file > 0) {
            int next = open_memory();
            files[file] = copy_of(next);
            sl_log_move(next);
        }
        sl_log(SL_LOG_INFO, "line %u", i);
        if (is_first)
            wait_until_written(files[file]);
    }
    sl_log_stop();
    close(fd);
    struct tally tally = {0};
    for (unsigned i = 0; i < FILES; i++) {
        char *text = take_text(files[i]);
        size_t len = strlen(text);
        assert_true(len > 0 && text[len - 1] == '\n'); /* no line is torn */
        tally_text(&tally, text);
        free(text);
    }
    assert_int_equal(tally.kept + tally.lost, LINES);
}

static void move_mid_line_ends_the_line_where_it_began(void **state)
{
    static const struct fault piecemeal[] = {{.limit = 10}, {.limit = 10}};
    int fd = open_memory(), old = copy_of(fd), next = open_memory(), new = copy_of(next);
    order_faults(fd, piecemeal, LEN(piecemeal), false);
    order.move_to = next; /* behind the first ten bytes */
    sl_log_start(SL_LOG_TEXT, fd);
    sl_log(SL_LOG_INFO, "line 0");
    while (writes_tried(60 * 1000) < 1)
        ;
    sl_log(SL_LOG_INFO, "line 1");
    sl_log_stop();
    end_faults();
    char *before = take_text(old), *after = take_text(new);
    assert_is_time(before);
    assert_string_equal(before + TIME_LEN, " INFO line 0\n");
    assert_is_time(after);
    assert_string_equal(after + TIME_LEN, " INFO line 1\n");
    free(before);
    free(after);
    close(fd);
}

static void move_away_from_a_full_disk_goes_on(void **state)
{
    static const struct fault full[] = {{.error = ENOSPC}};
    int fd = open_memory(), next = open_memory(), new = copy_of(next);
    order_faults(fd, full, LEN(full), true);
    sl_log_start(SL_LOG_TEXT, fd);
    sl_log(SL_LOG_INFO, "line 0");
    while (writes_tried(60 * 1000) == 0)
        ;
    end_faults();
    sl_log_move(next);
    sl_log(SL_LOG_INFO, "line 1");
    sl_log_stop();
    char *text = take_text(new);
    struct tally tally = {0};
    tally_text(&tally, text);
    assert_int_equal(tally.kept + tally.lost, 2);
    assert_in_range(tally.lost, 1, 2); /* the second came while the first was being lost, or did not */
    free(text);
    close(fd);
}

static void log_from_many_threads_each_line_is_whole_and_in_order(void **state)
{
    int fd = open_memory();
    pthread_t threads[THREADS];
    unsigned numbers[THREADS], next[THREADS] = {0};
    sl_log_start(SL_LOG_TEXT, fd);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sl_log_stop();
    char *text = take_text(fd), *save;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        unsigned thread, n;
        char rest;
        assert_is_time(line);
        assert_int_equal(sscanf(line + TIME_LEN, " INFO thread %u line %u%c", &thread, &n, &rest), 2);
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(n, next[thread]++);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(next[i], THREAD_LINES);
    free(text);
}

static void stop_full_buffer_is_all_written(void **state)
{
    int fd = open_memory();
    const unsigned lines = SL_LOG_BUFFER_BYTES / 64;
    sl_log_start(SL_LOG_TEXT, fd);
    for (unsigned i = 0; i < lines; i++)
        sl_log(SL_LOG_INFO, "line %u", i);
    sl_log_stop();
    char *text = take_text(fd);
    struct tally tally = {0};
    tally_text(&tally, text);
    assert_int_equal(tally.kept, lines);
    assert_int_equal(tally.lost, 0);
    free(text);
}

static void log_not_started_goes_to_stderr_as_text(void **state)
{
    int kept = dup(STDERR_FILENO), fd = open_memory(), log_fd = open_memory();
    assert_true(kept >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    sl_log_stop(); /* not started is fine */
    sl_log(SL_LOG_ERROR, "before\n");
    sl_log_start(SL_LOG_JSON, log_fd);
    sl_log(SL_LOG_INFO, "while");
    sl_log_stop();
    sl_log(SL_LOG_INFO, "after");
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    char *text = take_text(fd), *second = strchr(text, '\n') + 1;
    assert_memory_equal(text + TIME_LEN, " ERROR before\\x0a\n", strlen(" ERROR before\\x0a\n"));
    assert_string_equal(second + TIME_LEN, " INFO after\n");
    free(text);
    text = take_text(log_fd);
    assert_non_null(strstr(text, "\"message\":\"while\"}\n"));
    assert_null(strstr(text, "before"));
    assert_null(strstr(text, "after"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access_whole_gives_exact_line),
        cmocka_unit_test(access_with_error_gives_its_code),
        cmocka_unit_test(access_with_uploads_tells_of_them),
        cmocka_unit_test(access_empty_fields_give_dashes_or_nothing),
        cmocka_unit_test(access_duration_is_rounded_to_tenths),
        cmocka_unit_test(log_each_level_gives_exact_line),
        cmocka_unit_test(access_hostile_user_agent_is_escaped),
        cmocka_unit_test(access_space_in_bare_field_cannot_forge_another),
        cmocka_unit_test(log_hostile_message_stays_one_line),
        cmocka_unit_test(access_fields_too_long_are_cut_between_characters),
        cmocka_unit_test(log_message_too_long_is_cut),
        cmocka_unit_test(log_nobody_reads_never_blocks_and_counts_the_lost),
        cmocka_unit_test(log_reader_comes_back_lines_are_taken_again),
        cmocka_unit_test(stop_reader_is_stuck_returns),
        cmocka_unit_test(log_reader_is_gone_does_not_kill_or_hang),
        cmocka_unit_test(log_fd_fails_is_tried_once_a_line),
        cmocka_unit_test(log_fd_fails_mid_line_then_recovers_tells_the_lost),
        cmocka_unit_test(log_interrupted_and_short_writes_lose_nothing),
        cmocka_unit_test(move_goes_on_in_the_new_file_and_loses_nothing),
        cmocka_unit_test(move_mid_line_ends_the_line_where_it_began),
        cmocka_unit_test(move_away_from_a_full_disk_goes_on),
        cmocka_unit_test(log_from_many_threads_each_line_is_whole_and_in_order),
        cmocka_unit_test(stop_full_buffer_is_all_written),
        cmocka_unit_test(log_not_started_goes_to_stderr_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
