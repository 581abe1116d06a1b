/* Makes log lines, as text or JSON; log_writer.c brings them to the fd. On the caller's thread and stack.
 *
 * Bytes from outside can neither end a line nor forge a field: each field is escaped and has its own room, so a line
 * stays well-formed when something is cut, and the whole fits SL_LOG_LINE_BYTES. */
#include "sluice/base/log.h"

#include "log_writer.h"
#include "sluice/base/clock.h"
#include "sluice/base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* Room for each field once it is escaped. Together with the longest numbers and the JSON keys (about 700 bytes)
 * they fit a line. */
#define MESSAGE_ROOM    3840
#define TARGET_ROOM     2048
#define USER_AGENT_ROOM 512
#define REQUEST_ID_ROOM 128
#define ERROR_CODE_ROOM 64
#define REMOTE_ROOM     128
#define METHOD_ROOM     32
#define PROTOCOL_ROOM   32
#define ROUTE_ROOM      32
#define UPLOAD_ID_ROOM  64
#define DIGEST_ROOM     160 /* the longest is SHA-512 in hex */

static const struct {
    const char *text, *json;
} level_names[] = {
    [SL_LOG_ERROR] = {"ERROR", "error"},
    [SL_LOG_WARN] = {"WARN", "warn"},
    [SL_LOG_INFO] = {"INFO", "info"},
    [SL_LOG_DEBUG] = {"DEBUG", "debug"},
};

static atomic_int line_format = SL_LOG_TEXT;

/* --- escaping --- */

enum quoting { QUOTED, WORD, JSON }; /* a WORD holds no space either, for it stands bare */

static bool is_ordinary(unsigned char c, enum quoting quoting)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && (c != ' ' || quoting != WORD);
}

static void put_json_rune(struct sl_text *text, struct sl_bytes piece, uint32_t rune)
{
    bool is_hidden = sl_utf8_is_control(rune) || sl_utf8_is_deceptive(rune);
    if (rune == '"' || rune == '\\')
        sl_text_printf(text, "\\%c", (char)rune);
    else if (is_hidden && rune <= 0xffff)
        sl_text_printf(text, "\\u%04x", (unsigned)rune);
    else if (is_hidden) /* as UTF-16 has it (RFC 8259 section 7) */
        sl_text_printf(text, "\\u%04x\\u%04x", 0xd7c0u + (unsigned)(rune >> 10), 0xdc00u + (unsigned)(rune & 0x3ff));
    else
        sl_text_put(text, piece);
}

/* Puts what the first character of `s` looks like in the log; returns how many bytes it takes in s. */
static size_t put_character(struct sl_text *text, struct sl_bytes s, enum quoting quoting)
{
    uint32_t rune;
    size_t n = sl_utf8_sequence((const unsigned char *)s.base, s.len, &rune);
    struct sl_bytes piece = {s.base, n > 0 ? n : 1};
    if (quoting == JSON && n == 0)
        sl_text_put(text, SL_BYTES("\xef\xbf\xbd")); /* U+FFFD */
    else if (quoting == JSON)
        put_json_rune(text, piece, rune);
    else if (quoting == WORD && s.base[0] == ' ')
        sl_text_put(text, SL_BYTES("\\x20"));
    else
        sl_text_put_escaped(text, piece);
    return piece.len;
}

/* How many bytes at the front of `s` stand for themselves. */
static size_t ordinary_len(struct sl_bytes s, enum quoting quoting)
{
    size_t len = 0;
    while (len < s.len && is_ordinary((unsigned char)s.base[len], quoting))
        len++;
    return len;
}

/* Puts `s` escaped in at most `room` bytes; what is cut leaves "..." and never half a character. */
static void put_field(struct sl_text *line, struct sl_bytes s, size_t room, enum quoting quoting)
{
    const struct sl_bytes dots = SL_BYTES("...");
    size_t end = line->len + room - dots.len; /* of what is not dots */
    assert(room > dots.len && end + dots.len < line->room);
    while (s.len > 0) {
        char unit[32];
        struct sl_text text;
        size_t taken = ordinary_len(s, quoting), left = end - line->len;
        bool is_cut = taken > left;
        if (taken > 0) {
            sl_text_put(line, (struct sl_bytes){s.base, is_cut ? left : taken});
        } else {
            sl_text_init(&text, unit, sizeof unit);
            taken = put_character(&text, s, quoting);
            is_cut = text.len > left;
            sl_text_put(line, (struct sl_bytes){unit, is_cut ? 0 : text.len});
        }
        if (is_cut) {
            sl_text_put(line, dots);
            return;
        }
        s.base += taken;
        s.len -= taken;
    }
}

/* --- lines --- */

static void put_literal(struct sl_text *line, const char *literal)
{
    sl_text_put(line, sl_bytes_of(literal));
}

static void put_time(struct sl_text *line)
{
    char now[SL_CLOCK_RFC3339_BYTES];
    sl_clock_rfc3339(sl_clock_wall_ns(), now);
    put_literal(line, now);
}

/* Milliseconds with one decimal, rounded. */
static void put_duration_ms(struct sl_text *line, uint64_t ns)
{
    uint64_t tenths = ns / (SL_MS / 10) + (ns % (SL_MS / 10) >= SL_MS / 20);
    sl_text_printf(line, "%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
}

/* printf(3) would take longer over the stages than all else does over the line. */
static void put_digits(struct sl_text *line, uint64_t number, unsigned least)
{
    char digits[20];
    size_t at = sizeof digits;
    for (; number > 0 || least > 0; number /= 10, least -= least > 0)
        digits[--at] = (char)('0' + number % 10);
    sl_text_put(line, (struct sl_bytes){digits + at, sizeof digits - at});
}

/* With three decimals, cut: a stage may be short. */
static void put_stage_ms(struct sl_text *line, uint64_t ns)
{
    put_digits(line, ns / SL_MS, 1);
    put_literal(line, ".");
    put_digits(line, ns % SL_MS / 1000, 3);
}

static void put_message(struct sl_text *line, enum sl_log_level level, struct sl_bytes message)
{
    if (atomic_load(&line_format) == SL_LOG_JSON) {
        put_literal(line, "{\"time\":\"");
        put_time(line);
        sl_text_printf(line, "\",\"level\":\"%s\",\"message\":\"", level_names[level].json);
        put_field(line, message, MESSAGE_ROOM, JSON);
        put_literal(line, "\"}\n");
    } else {
        put_time(line);
        sl_text_printf(line, " %s ", level_names[level].text);
        put_field(line, message, MESSAGE_ROOM, QUOTED);
        put_literal(line, "\n");
    }
}

static void put_word(struct sl_text *line, struct sl_bytes word, size_t room)
{
    put_field(line, word.len > 0 ? word : SL_BYTES("-"), room, WORD);
}

/* Empty fields are left out. */
static void put_text_member(struct sl_text *line, const char *key, struct sl_bytes value, size_t room)
{
    if (value.len == 0)
        return;
    sl_text_printf(line, " %s=", key);
    put_word(line, value, room);
}

/* Each that took any time, as before NAME between MILLISECONDS after. */
static void put_stages(struct sl_text *line, const struct sl_log_access *a, const char *before, const char *between,
                       const char *after)
{
    for (size_t i = 0; i < SL_LOG_STAGES && a->stages[i].name != NULL; i++) {
        if (a->stages[i].ns == 0)
            continue;
        put_literal(line, before);
        put_literal(line, a->stages[i].name);
        put_literal(line, between);
        put_stage_ms(line, a->stages[i].ns);
        put_literal(line, after);
    }
}

static void put_text_upload(struct sl_text *line, const struct sl_log_access *a)
{
    put_text_member(line, "upload", a->upload_id, UPLOAD_ID_ROOM);
    if (a->files > 1)
        sl_text_printf(line, " files=%u", a->files);
    put_text_member(line, "digest", a->digest, DIGEST_ROOM);
    put_stages(line, a, " ", "=", "ms");
}

static void put_access_text(struct sl_text *line, const struct sl_log_access *a)
{
    put_time(line);
    put_literal(line, " ");
    put_word(line, a->remote, REMOTE_ROOM);
    put_literal(line, " \"");
    put_word(line, a->method, METHOD_ROOM);
    put_literal(line, " ");
    put_word(line, a->target, TARGET_ROOM);
    put_literal(line, " ");
    put_word(line, a->protocol, PROTOCOL_ROOM);
    sl_text_printf(line, "\" %d in=%" PRIu64 " out=%" PRIu64 " ", a->status, a->bytes_in, a->bytes_out);
    put_duration_ms(line, a->duration_ns);
    put_literal(line, "ms id=");
    put_word(line, a->request_id, REQUEST_ID_ROOM);
    put_text_member(line, "error", a->error_code, ERROR_CODE_ROOM);
    put_text_upload(line, a);
    put_literal(line, " ua=\"");
    put_field(line, a->user_agent.len > 0 ? a->user_agent : SL_BYTES("-"), USER_AGENT_ROOM, QUOTED);
    put_literal(line, "\"\n");
}

static void put_json_member(struct sl_text *line, const char *key, struct sl_bytes value, size_t room)
{
    if (value.len == 0)
        return;
    sl_text_printf(line, ",\"%s\":\"", key);
    put_field(line, value, room, JSON);
    put_literal(line, "\"");
}

static void put_json_upload(struct sl_text *line, const struct sl_log_access *a)
{
    put_json_member(line, "upload_id", a->upload_id, UPLOAD_ID_ROOM);
    if (a->files > 1)
        sl_text_printf(line, ",\"files\":%u", a->files);
    put_json_member(line, "digest", a->digest, DIGEST_ROOM);
    put_stages(line, a, ",\"", "_ms\":", "");
}

static void put_access_json(struct sl_text *line, const struct sl_log_access *a)
{
    put_literal(line, "{\"time\":\"");
    put_time(line);
    put_literal(line, "\"");
    put_json_member(line, "remote", a->remote, REMOTE_ROOM);
    put_json_member(line, "method", a->method, METHOD_ROOM);
    put_json_member(line, "target", a->target, TARGET_ROOM);
    put_json_member(line, "protocol", a->protocol, PROTOCOL_ROOM);
    put_json_member(line, "route", a->route, ROUTE_ROOM);
    sl_text_printf(line,
                   ",\"status\":%d,\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"duration_ms\":", a->status,
                   a->bytes_in, a->bytes_out);
    put_duration_ms(line, a->duration_ns);
    put_json_member(line, "request_id", a->request_id, REQUEST_ID_ROOM);
    put_json_member(line, "error", a->error_code, ERROR_CODE_ROOM);
    put_json_upload(line, a);
    put_json_member(line, "user_agent", a->user_agent, USER_AGENT_ROOM);
    put_literal(line, "}\n");
}

static void write_line(const struct sl_text *line)
{
    assert(!line->full); /* the rooms add up */
    sl_log_writer_put((struct sl_bytes){line->base, line->len});
}

void sl_log(enum sl_log_level level, const char *format, ...)
{
    char message[SL_LOG_LINE_BYTES], buffer[SL_LOG_LINE_BYTES + 1];
    struct sl_text line;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    sl_text_init(&line, buffer, sizeof buffer);
    put_message(&line, level, (struct sl_bytes){message, len});
    write_line(&line);
}

void sl_log_access(const struct sl_log_access *access)
{
    char buffer[SL_LOG_LINE_BYTES + 1];
    struct sl_text line;
    sl_text_init(&line, buffer, sizeof buffer);
    if (atomic_load(&line_format) == SL_LOG_JSON)
        put_access_json(&line, access);
    else
        put_access_text(&line, access);
    write_line(&line);
}

/* --- start and stop --- */

static void put_lost(struct sl_text *line, uint64_t lines)
{
    char message[128];
    int n = snprintf(message, sizeof message,
                     "the log was too slow, or could not be written: %" PRIu64 " lines were lost", lines);
    put_message(line, SL_LOG_WARN, (struct sl_bytes){message, (size_t)n});
}

int sl_log_open(const char *path, int *fd_out)
{
    /* A pipe that nobody reads would keep us waiting here. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (fd < 0)
        return errno;
    *fd_out = fd;
    return 0;
}

void sl_log_move(int to)
{
    sl_log_writer_move(to);
}

void sl_log_start(enum sl_log_format format, int fd)
{
    atomic_store(&line_format, format);
    sl_log_writer_start(fd, put_lost);
}

void sl_log_stop(void)
{
    sl_log_writer_stop();
    atomic_store(&line_format, SL_LOG_TEXT);
}
