/* Dates as HTTP writes them. They are case-sensitive and have one space where one is due; the weekday must be one, but
 * not the one of that day: some senders cannot count, and what they mean is plain. */
#include "sluice/decode/http_date.h"

#include <assert.h>
#include <stdio.h>

#define DAY_S  UINT64_C(86400)
#define LATEST UINT64_C(253402300799) /* the end of 9999 */

static const char days[] = "Mon Tue Wed Thu Fri Sat Sun ";
static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
static const char *const long_days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

/* Of the proleptic Gregorian calendar, UTC. month, day: from 1. */
struct civil {
    unsigned year, month, day, hour, minute, second;
};

static bool read_imf(struct sl_bytes text, struct civil *civil_out);
static bool read_asctime(struct sl_bytes text, struct civil *civil_out);
static bool read_rfc850(struct sl_bytes text, uint64_t now_s, struct civil *civil_out);
static bool is_real(const struct civil *civil);
static uint64_t seconds_of(const struct civil *civil);
static struct civil civil_of(uint64_t seconds);

bool sl_http_date_parse(struct sl_bytes text, uint64_t now_s, uint64_t *seconds_out)
{
    struct civil civil = {0};
    if (!read_imf(text, &civil) && !read_asctime(text, &civil) && !read_rfc850(text, now_s, &civil))
        return false;
    if (!is_real(&civil))
        return false;
    *seconds_out = seconds_of(&civil);
    return true;
}

void sl_http_date_format(uint64_t seconds, char text_out[SL_HTTP_DATE_BYTES])
{
    if (seconds > LATEST)
        seconds = LATEST;
    struct civil c = civil_of(seconds);
    assert(is_real(&c));
    unsigned weekday = (unsigned)((seconds / DAY_S + 3) % 7); /* 1970 began on a Thursday */
    char text[64];
    int n = snprintf(text, sizeof text, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 4 * weekday, c.day,
                     months + 4 * (c.month - 1), c.year, c.hour, c.minute, c.second);
    assert(n == SL_HTTP_DATE_BYTES - 1);
    memcpy(text_out, text, (size_t)n + 1);
}

/* --- the grammar, RFC 9110 section 5.6.7 --- */

static bool take(struct sl_bytes *rest, const char *literal)
{
    size_t len = strlen(literal);
    if (rest->len < len || memcmp(rest->base, literal, len) != 0)
        return false;
    rest->base += len;
    rest->len -= len;
    return true;
}

static bool take_digits(struct sl_bytes *rest, size_t digits, unsigned *value_out)
{
    uint64_t value;
    if (rest->len < digits || !sl_bytes_to_u64((struct sl_bytes){rest->base, digits}, &value))
        return false;
    rest->base += digits;
    rest->len -= digits;
    *value_out = (unsigned)value;
    return true;
}

/* One of `names`, three letters and a space each; tells which, from 1. */
static bool take_name(struct sl_bytes *rest, struct sl_bytes names, unsigned *number_out)
{
    for (size_t at = 0; rest->len >= 3 && at < names.len; at += 4) {
        if (memcmp(rest->base, names.base + at, 3) != 0)
            continue;
        rest->base += 3;
        rest->len -= 3;
        *number_out = (unsigned)(at / 4) + 1;
        return true;
    }
    return false;
}

/* hour ":" minute ":" second */
static bool take_time(struct sl_bytes *rest, struct civil *civil_out)
{
    return take_digits(rest, 2, &civil_out->hour) && take(rest, ":") && take_digits(rest, 2, &civil_out->minute) &&
           take(rest, ":") && take_digits(rest, 2, &civil_out->second);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_imf(struct sl_bytes text, struct civil *civil_out)
{
    unsigned weekday;
    return take_name(&text, SL_BYTES(days), &weekday) && take(&text, ", ") &&
           take_digits(&text, 2, &civil_out->day) && take(&text, " ") &&
           take_name(&text, SL_BYTES(months), &civil_out->month) && take(&text, " ") &&
           take_digits(&text, 4, &civil_out->year) && take(&text, " ") && take_time(&text, civil_out) &&
           take(&text, " GMT") && text.len == 0;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool read_asctime(struct sl_bytes text, struct civil *civil_out)
{
    unsigned weekday;
    return take_name(&text, SL_BYTES(days), &weekday) && take(&text, " ") &&
           take_name(&text, SL_BYTES(months), &civil_out->month) && take(&text, " ") &&
           take_digits(&text, take(&text, " ") ? 1 : 2, &civil_out->day) && take(&text, " ") &&
           take_time(&text, civil_out) && take(&text, " ") && take_digits(&text, 4, &civil_out->year) &&
           text.len == 0;
}

static bool take_long_day(struct sl_bytes *rest)
{
    for (size_t i = 0; i < sizeof long_days / sizeof long_days[0]; i++)
        if (take(rest, long_days[i]))
            return true;
    return false;
}

/* "A timestamp that appears to be more than 50 years in the future" means the past: the year is the latest one with
 * these last two digits that is not. */
static void settle_century(struct civil *civil, uint64_t now_s)
{
    struct civil limit = civil_of(now_s > LATEST ? LATEST : now_s);
    limit.year += 50;
    civil->year += limit.year - limit.year % 100;
    if (seconds_of(civil) > seconds_of(&limit))
        civil->year -= 100;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool read_rfc850(struct sl_bytes text, uint64_t now_s, struct civil *civil_out)
{
    if (!take_long_day(&text) || !take(&text, ", ") || !take_digits(&text, 2, &civil_out->day) || !take(&text, "-") ||
        !take_name(&text, SL_BYTES(months), &civil_out->month) || !take(&text, "-") ||
        !take_digits(&text, 2, &civil_out->year) || !take(&text, " ") || !take_time(&text, civil_out) ||
        !take(&text, " GMT") || text.len > 0)
        return false;
    settle_century(civil_out, now_s);
    return true;
}

/* --- the calendar --- */

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in(unsigned month, unsigned year)
{
    static const unsigned char usual[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return usual[month - 1] + (month == 2 && is_leap(year));
}

/* A leap second is the last of its day; it becomes the first of the next. */
static bool is_real(const struct civil *c)
{
    bool is_leap_second = c->second == 60 && c->minute == 59 && c->hour == 23;
    return c->year >= 1970 && c->day >= 1 && c->day <= days_in(c->month, c->year) && c->hour < 24 && c->minute < 60 &&
           (c->second < 60 || is_leap_second);
}

/* How many days of [0001-01-01, year-01-01) there are. */
static uint64_t days_before(unsigned year)
{
    uint64_t past = year - 1;
    return past * 365 + past / 4 - past / 100 + past / 400;
}

static uint64_t seconds_of(const struct civil *c)
{
    uint64_t day = days_before(c->year) - days_before(1970) + c->day - 1;
    for (unsigned month = 1; month < c->month; month++)
        day += days_in(month, c->year);
    return day * DAY_S + c->hour * UINT64_C(3600) + c->minute * UINT64_C(60) + c->second;
}

static struct civil civil_of(uint64_t seconds)
{
    assert(seconds <= LATEST);
    uint64_t day = seconds / DAY_S;
    unsigned of_day = (unsigned)(seconds % DAY_S);
    struct civil c = {.month = 1, .hour = of_day / 3600, .minute = of_day / 60 % 60, .second = of_day % 60};
    c.year = 1970 + (unsigned)(day / 366); /* never too late; the loop below adds what leap days were too many */
    while (days_before(c.year + 1) - days_before(1970) <= day)
        c.year++;
    day -= days_before(c.year) - days_before(1970);
    while (day >= days_in(c.month, c.year))
        day -= days_in(c.month++, c.year);
    c.day = (unsigned)day + 1;
    return c;
}
