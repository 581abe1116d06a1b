/* Structured fields: between the header lines of a request and whoever looks for a digest or an offset in them. Pure,
 * any thread. The functions follow the parsing algorithms of RFC 9651 section 4.2 one by one. It keeps no values: what
 * the caller does not ask for is checked and dropped. It does not decode strings or base64, nor join field lines. */
#include "sluice/decode/structured.h"

#include <assert.h>

#include "sluice/base/utf8.h"
#include "token.h"

#define INTEGER_DIGITS_MAX  15
#define WHOLE_DIGITS_MAX    12 /* of a decimal, before its dot */
#define FRACTION_DIGITS_MAX 3

static bool read_member(struct sl_bytes *rest, struct sl_bytes *key_out, struct sl_sf_item *item_out);
static bool read_key(struct sl_bytes *rest, struct sl_bytes *key_out);
static bool read_bare_item(struct sl_bytes *rest, struct sl_sf_item *item_out);
static bool skip_inner_list(struct sl_bytes *rest);
static bool skip_parameters(struct sl_bytes *rest);

static void drop(struct sl_bytes *s, size_t n)
{
    assert(n <= s->len);
    s->base += n;
    s->len -= n;
}

static bool begins_with(struct sl_bytes s, char c)
{
    return s.len > 0 && s.base[0] == c;
}

static bool skip(struct sl_bytes *s, char c)
{
    if (!begins_with(*s, c))
        return false;
    drop(s, 1);
    return true;
}

static void skip_spaces(struct sl_bytes *s)
{
    while (skip(s, ' '))
        ;
}

/* OWS: between members of a dictionary, where field lines may have been joined, and nowhere else. */
static void skip_blanks(struct sl_bytes *s)
{
    while (skip(s, ' ') || skip(s, '\t'))
        ;
}

/* What of `before` was read until only `rest` was left. */
static struct sl_bytes read_of(struct sl_bytes before, struct sl_bytes rest)
{
    return (struct sl_bytes){before.base, before.len - rest.len};
}

sl_err sl_sf_item(struct sl_bytes value, struct sl_sf_item *item_out)
{
    *item_out = (struct sl_sf_item){0};
    struct sl_bytes rest = value;
    skip_spaces(&rest);
    if (!read_bare_item(&rest, item_out) || !skip_parameters(&rest))
        return SL_BAD_FIELD;
    skip_spaces(&rest);
    return rest.len == 0 ? SL_OK : SL_BAD_FIELD;
}

sl_err sl_sf_dictionary(struct sl_bytes value, struct sl_sf_dictionary *dictionary_out)
{
    *dictionary_out = (struct sl_sf_dictionary){0};
    struct sl_bytes rest = value;
    skip_spaces(&rest);
    struct sl_bytes members = rest;
    while (rest.len > 0) {
        struct sl_bytes key;
        struct sl_sf_item item;
        if (!read_member(&rest, &key, &item))
            return SL_BAD_FIELD;
    }
    dictionary_out->rest = members;
    return SL_OK;
}

bool sl_sf_next(struct sl_sf_dictionary *dictionary, struct sl_bytes *key_out, struct sl_sf_item *item_out)
{
    if (dictionary->rest.len == 0)
        return false;
    bool is_member = read_member(&dictionary->rest, key_out, item_out);
    assert(is_member); /* sl_sf_dictionary looked at all of them */
    return is_member;
}

/* --- dictionaries (section 4.2.2) --- */

/* A comma, if more follows; none at the end. */
static bool skip_comma(struct sl_bytes *rest)
{
    skip_blanks(rest);
    if (rest->len == 0)
        return true;
    if (!skip(rest, ','))
        return false;
    skip_blanks(rest);
    return rest->len > 0;
}

static bool read_member(struct sl_bytes *rest, struct sl_bytes *key_out, struct sl_sf_item *item_out)
{
    *item_out = (struct sl_sf_item){.kind = SL_SF_BOOLEAN, .integer = 1};
    if (!read_key(rest, key_out))
        return false;
    item_out->text = (struct sl_bytes){rest->base, 0};
    if (skip(rest, '=')) {
        struct sl_bytes before = *rest;
        if (begins_with(*rest, '(')) {
            if (!skip_inner_list(rest))
                return false;
            *item_out = (struct sl_sf_item){.kind = SL_SF_INNER_LIST, .text = read_of(before, *rest)};
        } else if (!read_bare_item(rest, item_out))
            return false;
    }
    return skip_parameters(rest) && skip_comma(rest);
}

/* --- what dictionaries are made of (sections 4.2.1.2, 4.2.3.2, 4.2.3.3) --- */

/* An inner list holds items with parameters, no further list. */
static bool skip_inner_list(struct sl_bytes *rest)
{
    if (!skip(rest, '('))
        return false;
    for (;;) {
        skip_spaces(rest);
        if (skip(rest, ')'))
            return true;
        struct sl_sf_item item;
        if (!read_bare_item(rest, &item) || !skip_parameters(rest))
            return false;
        if (!begins_with(*rest, ' ') && !begins_with(*rest, ')'))
            return false;
    }
}

static bool skip_parameters(struct sl_bytes *rest)
{
    while (skip(rest, ';')) {
        skip_spaces(rest);
        struct sl_bytes key;
        struct sl_sf_item item;
        if (!read_key(rest, &key))
            return false;
        if (skip(rest, '=') && !read_bare_item(rest, &item))
            return false;
    }
    return true;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return is_lower((char)(c | 0x20));
}

static bool is_key_byte(char c)
{
    return is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}

static bool read_key(struct sl_bytes *rest, struct sl_bytes *key_out)
{
    if (rest->len == 0 || !(is_lower(rest->base[0]) || rest->base[0] == '*'))
        return false;
    size_t n = 1;
    while (n < rest->len && is_key_byte(rest->base[n]))
        n++;
    *key_out = (struct sl_bytes){rest->base, n};
    drop(rest, n);
    return true;
}

/* --- bare items (sections 4.2.3.1, 4.2.4 to 4.2.10) --- */

/* Appends digits to *number; one more than `max` is enough to know that there are too many. */
static size_t read_digits(struct sl_bytes *rest, size_t max, int64_t *number)
{
    size_t n = 0;
    for (; n <= max && rest->len > 0 && is_digit(rest->base[0]); n++) {
        *number = *number * 10 + (rest->base[0] - '0');
        drop(rest, 1);
    }
    return n;
}

static bool read_number(struct sl_bytes *rest, struct sl_sf_item *item)
{
    bool is_negative = skip(rest, '-');
    int64_t number = 0;
    size_t digits = read_digits(rest, INTEGER_DIGITS_MAX, &number);
    if (digits == 0 || digits > INTEGER_DIGITS_MAX)
        return false;
    item->kind = SL_SF_INTEGER;
    if (skip(rest, '.')) {
        if (digits > WHOLE_DIGITS_MAX) /* before more are appended: what follows would not fit */
            return false;
        item->kind = SL_SF_DECIMAL;
        size_t fraction = read_digits(rest, FRACTION_DIGITS_MAX, &number);
        if (fraction == 0 || fraction > FRACTION_DIGITS_MAX)
            return false;
        for (; fraction < FRACTION_DIGITS_MAX; fraction++)
            number *= 10;
    }
    item->integer = is_negative ? -number : number;
    return true;
}

static bool is_string_byte(char c)
{
    return c >= ' ' && c <= '~';
}

static bool read_string(struct sl_bytes *rest, struct sl_sf_item *item)
{
    drop(rest, 1);
    struct sl_bytes before = *rest;
    while (rest->len > 0 && is_string_byte(rest->base[0])) {
        struct sl_bytes text = read_of(before, *rest);
        if (skip(rest, '"')) {
            item->kind = SL_SF_STRING;
            item->text = text;
            return true;
        }
        if (skip(rest, '\\') && !begins_with(*rest, '"') && !begins_with(*rest, '\\'))
            return false;
        drop(rest, 1);
    }
    return false;
}

static bool read_token(struct sl_bytes *rest, struct sl_sf_item *item)
{
    size_t n = 1;
    while (n < rest->len &&
           (sl_is_token_byte((unsigned char)rest->base[n]) || rest->base[n] == ':' || rest->base[n] == '/'))
        n++;
    item->kind = SL_SF_TOKEN;
    drop(rest, n);
    return true;
}

static bool is_base64_byte(char c)
{
    return is_alpha(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}

static bool read_bytes(struct sl_bytes *rest, struct sl_sf_item *item)
{
    drop(rest, 1);
    size_t n = 0;
    while (n < rest->len && is_base64_byte(rest->base[n]))
        n++;
    item->kind = SL_SF_BYTES;
    item->text = (struct sl_bytes){rest->base, n};
    drop(rest, n);
    return skip(rest, ':');
}

static bool read_boolean(struct sl_bytes *rest, struct sl_sf_item *item)
{
    drop(rest, 1);
    item->kind = SL_SF_BOOLEAN;
    item->integer = skip(rest, '1');
    return item->integer == 1 || skip(rest, '0');
}

static bool read_date(struct sl_bytes *rest, struct sl_sf_item *item)
{
    drop(rest, 1);
    if (!read_number(rest, item) || item->kind != SL_SF_INTEGER)
        return false;
    item->kind = SL_SF_DATE;
    return true;
}

/* One byte of a display string, plain or as a percent and two digits, which must be small. */
static bool read_display_byte(struct sl_bytes *rest, unsigned char *byte_out)
{
    *byte_out = (unsigned char)rest->base[0];
    if (!skip(rest, '%')) {
        drop(rest, 1);
        return true;
    }
    int value = 0;
    for (size_t i = 0; i < 2; i++) {
        if (rest->len == 0 || (rest->base[0] >= 'A' && rest->base[0] <= 'F'))
            return false;
        int digit = sl_hex_digit((unsigned char)rest->base[0]);
        if (digit < 0)
            return false;
        value = value << 4 | digit;
        drop(rest, 1);
    }
    *byte_out = (unsigned char)value;
    return true;
}

/* What its bytes stand for must be UTF-8: they are gathered until they are a character. */
static bool read_display_string(struct sl_bytes *rest, struct sl_sf_item *item)
{
    drop(rest, 1);
    if (!skip(rest, '"'))
        return false;
    unsigned char sequence[4];
    size_t len = 0;
    uint32_t rune;
    while (rest->len > 0 && is_string_byte(rest->base[0])) {
        if (skip(rest, '"')) {
            item->kind = SL_SF_DISPLAY_STRING;
            return len == 0;
        }
        if (len == sizeof sequence || !read_display_byte(rest, &sequence[len]))
            return false;
        len = sl_utf8_sequence(sequence, len + 1, &rune) > 0 ? 0 : len + 1;
    }
    return false;
}

static bool read_bare_item(struct sl_bytes *rest, struct sl_sf_item *item_out)
{
    *item_out = (struct sl_sf_item){0};
    if (rest->len == 0)
        return false;
    struct sl_bytes before = *rest;
    char first = rest->base[0];
    bool is_read;
    if (first == '-' || is_digit(first))
        is_read = read_number(rest, item_out);
    else if (first == '"')
        is_read = read_string(rest, item_out);
    else if (first == '*' || is_alpha(first))
        is_read = read_token(rest, item_out);
    else if (first == ':')
        is_read = read_bytes(rest, item_out);
    else if (first == '?')
        is_read = read_boolean(rest, item_out);
    else if (first == '@')
        is_read = read_date(rest, item_out);
    else if (first == '%')
        is_read = read_display_string(rest, item_out);
    else
        return false;
    if (item_out->kind != SL_SF_STRING && item_out->kind != SL_SF_BYTES)
        item_out->text = read_of(before, *rest);
    return is_read;
}
