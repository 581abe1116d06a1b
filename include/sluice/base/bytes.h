/* Spans of memory that somebody else owns, and a growing text in memory the caller owns. */
#ifndef SLUICE_BASE_BYTES_H
#define SLUICE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed span: valid as long as its owner says. base may be NULL only if len is 0. Not NUL-terminated. */
struct sl_bytes {
    const char *base;
    size_t len;
};

/* Writable room that somebody else owns; len 0 means none. */
struct sl_room {
    char *base;
    size_t len;
};

#define SL_BYTES(literal) ((struct sl_bytes){(literal), sizeof(literal) - 1})

static inline struct sl_bytes sl_bytes_of(const char *text)
{
    return (struct sl_bytes){text, strlen(text)};
}

static inline bool sl_bytes_equal(struct sl_bytes a, struct sl_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* ASCII only, as HTTP tokens compare (RFC 9110 section 5.1). Any thread. */
bool sl_bytes_equal_nocase(struct sl_bytes a, struct sl_bytes b);

/* The span without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3). */
struct sl_bytes sl_bytes_trim(struct sl_bytes s);

/* Digits only, no sign, no space. false: not a number, or above UINT64_MAX; *value_out is then untouched. */
bool sl_bytes_to_u64(struct sl_bytes s, uint64_t *value_out);

/* A text that is built piece by piece in `room` bytes the caller owns. Too much sets `full` and drops the rest;
 * the text stays NUL-terminated. */
struct sl_text {
    char *base;
    size_t len;
    size_t room;
    bool full;
};

void sl_text_init(struct sl_text *text, char *base, size_t room);
void sl_text_put(struct sl_text *text, struct sl_bytes piece);
void sl_text_printf(struct sl_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts `piece` so that a log line or a quoted string stays one: control bytes, DEL, '"', '\\' and invalid or
 * direction-changing UTF-8 become \xNN. */
void sl_text_put_escaped(struct sl_text *text, struct sl_bytes piece);

#endif
