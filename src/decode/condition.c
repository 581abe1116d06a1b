/* Decides conditional requests. A date that cannot be read is as if it had not been sent; entity tags that cannot be
 * read match nothing, so an If-Match fails and an If-None-Match holds. */
#include "sluice/decode/condition.h"

#include <assert.h>

#include "sluice/decode/http_date.h"

struct entity_tag {
    struct sl_bytes opaque; /* with its quotes */
    bool is_weak;
};

static bool is_sent(struct sl_bytes field)
{
    return field.base != NULL;
}

bool sl_conditions_are_set(const struct sl_conditions *conditions)
{
    return is_sent(conditions->if_match) || is_sent(conditions->if_none_match) ||
           is_sent(conditions->if_modified_since) || is_sent(conditions->if_unmodified_since);
}

/* --- entity tags: #( [ "W/" ] DQUOTE *etagc DQUOTE ), RFC 9110 section 8.8.3 --- */

static bool is_etag_byte(unsigned char c)
{
    return c > 0x20 && c != '"' && c != 0x7f;
}

static void drop(struct sl_bytes *s, size_t n)
{
    assert(n <= s->len);
    s->base += n;
    s->len -= n;
}

static void drop_blanks(struct sl_bytes *s)
{
    while (s->len > 0 && (s->base[0] == ' ' || s->base[0] == '\t'))
        drop(s, 1);
}

static bool take_etag(struct sl_bytes *rest, struct entity_tag *tag_out)
{
    tag_out->is_weak = rest->len >= 2 && rest->base[0] == 'W' && rest->base[1] == '/';
    if (tag_out->is_weak)
        drop(rest, 2);
    if (rest->len == 0 || rest->base[0] != '"')
        return false;
    size_t n = 1;
    while (n < rest->len && is_etag_byte((unsigned char)rest->base[n]))
        n++;
    if (n == rest->len || rest->base[n] != '"')
        return false;
    tag_out->opaque = (struct sl_bytes){rest->base, n + 1};
    drop(rest, n + 1);
    return true;
}

/* Reads to the end even if the tag was found: what breaks later was no list before. Empty elements are allowed (section
 * 5.6.1.2). */
bool sl_etag_list_has(struct sl_bytes list, struct sl_bytes etag, bool is_strong)
{
    bool is_found = false, is_due = false; /* a comma is due */
    for (drop_blanks(&list); list.len > 0; drop_blanks(&list)) {
        if (list.base[0] == ',') {
            drop(&list, 1);
            is_due = false;
            continue;
        }
        struct entity_tag tag;
        if (is_due || !take_etag(&list, &tag))
            return false;
        is_found |= sl_bytes_equal(tag.opaque, etag) && !(is_strong && tag.is_weak);
        is_due = true;
    }
    return is_found;
}

/* --- the verdict --- */

static bool names_current(struct sl_bytes field, const struct sl_validator *now, bool is_strong)
{
    if (!now->exists)
        return false;
    return sl_bytes_equal(sl_bytes_trim(field), SL_BYTES("*")) || sl_etag_list_has(field, now->etag, is_strong);
}

/* Is there a date to compare with? Without a representation there is no modification either. */
static bool read_date(struct sl_bytes field, const struct sl_validator *now, uint64_t now_s, uint64_t *seconds_out)
{
    return is_sent(field) && now->exists && sl_http_date_parse(sl_bytes_trim(field), now_s, seconds_out);
}

enum sl_verdict sl_conditions_check(const struct sl_conditions *conditions, const struct sl_validator *now,
                                    bool is_read, uint64_t now_s)
{
    const struct sl_conditions *c = conditions;
    uint64_t date;
    if (is_sent(c->if_match)) {
        if (!names_current(c->if_match, now, true))
            return SL_VERDICT_FAILED;
    } else if (read_date(c->if_unmodified_since, now, now_s, &date) && now->modified_s > date) {
        return SL_VERDICT_FAILED;
    }
    if (is_sent(c->if_none_match)) {
        if (names_current(c->if_none_match, now, false))
            return is_read ? SL_VERDICT_NOT_MODIFIED : SL_VERDICT_FAILED;
    } else if (is_read && read_date(c->if_modified_since, now, now_s, &date) && now->modified_s <= date) {
        return SL_VERDICT_NOT_MODIFIED;
    }
    return SL_VERDICT_GO;
}

bool sl_if_range_holds(struct sl_bytes if_range, const struct sl_validator *now, uint64_t now_s)
{
    if (!is_sent(if_range))
        return true;
    struct sl_bytes field = sl_bytes_trim(if_range);
    struct entity_tag tag;
    uint64_t date;
    if (now->exists && take_etag(&field, &tag))
        return field.len == 0 && !tag.is_weak && sl_bytes_equal(tag.opaque, now->etag);
    /* Within its second the file may have changed twice (section 8.8.2.2). */
    return read_date(if_range, now, now_s, &date) && date == now->modified_s && now_s > date && now_s - date > 1;
}
