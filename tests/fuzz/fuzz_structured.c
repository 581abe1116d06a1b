/* Any field is refused or told in spans of itself; a dictionary is refused before a member is told. What is accepted is
 * accepted again where it must be: an item as the value of a member, a member's value as an item. */
#include <stdlib.h>
#include <string.h>

#include "sluice/decode/structured.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_lie_in(struct sl_bytes span, struct sl_bytes value)
{
    must(span.base >= value.base && span.base + span.len <= value.base + value.len);
}

static void check_span(const struct sl_sf_item *item, struct sl_bytes value)
{
    must_lie_in(item->text, value);
    for (size_t i = 0; i < item->text.len; i++)
        must((item->text.base[i] >= ' ' && item->text.base[i] <= '~'));
    int64_t size = item->integer < 0 ? -item->integer : item->integer;
    must(size <= 999999999999999);
    switch (item->kind) {
    case SL_SF_INTEGER:
    case SL_SF_DECIMAL:
    case SL_SF_DATE: return;
    case SL_SF_BOOLEAN: must(item->integer == 0 || item->integer == 1); return;
    case SL_SF_STRING:
    case SL_SF_TOKEN:
    case SL_SF_BYTES:
    case SL_SF_DISPLAY_STRING:
    case SL_SF_INNER_LIST: must(item->integer == 0); return;
    }
    must(false);
}

/* What stands for the item in the field: with quotes and colons. */
static struct sl_bytes as_sent(const struct sl_sf_item *item)
{
    bool has_ends = item->kind == SL_SF_STRING || item->kind == SL_SF_BYTES;
    return has_ends ? (struct sl_bytes){item->text.base - 1, item->text.len + 2} : item->text;
}

static void check_again(const struct sl_sf_item *item)
{
    struct sl_sf_item again;
    must(sl_sf_item(as_sent(item), &again) == SL_OK);
    must(again.kind == item->kind && again.integer == item->integer && sl_bytes_equal(again.text, item->text));
}

static void check_item(struct sl_bytes value)
{
    struct sl_sf_item item, member;
    sl_err err = sl_sf_item(value, &item);
    must(err == SL_OK || err == SL_BAD_FIELD);
    if (err != SL_OK)
        return;
    check_span(&item, value);
    must(item.kind != SL_SF_INNER_LIST);
    check_again(&item);

    struct sl_bytes sent = as_sent(&item);
    char *copy = malloc(sent.len + 2);
    must(copy != NULL);
    memcpy(copy, "k=", 2);
    memcpy(copy + 2, sent.base, sent.len);
    struct sl_sf_dictionary dictionary;
    struct sl_bytes key;
    must(sl_sf_dictionary((struct sl_bytes){copy, sent.len + 2}, &dictionary) == SL_OK);
    must(sl_sf_next(&dictionary, &key, &member));
    must(sl_bytes_equal(key, SL_BYTES("k")) && sl_bytes_equal(member.text, item.text));
    must(member.kind == item.kind && member.integer == item.integer);
    must(!sl_sf_next(&dictionary, &key, &member));
    free(copy);
}

static void check_dictionary(struct sl_bytes value)
{
    struct sl_sf_dictionary dictionary;
    struct sl_sf_item item;
    struct sl_bytes key;
    sl_err err = sl_sf_dictionary(value, &dictionary);
    must(err == SL_OK || err == SL_BAD_FIELD);
    if (err != SL_OK) {
        must(!sl_sf_next(&dictionary, &key, &item));
        return;
    }
    size_t left = value.len + 1;
    while (sl_sf_next(&dictionary, &key, &item)) {
        must_lie_in(key, value);
        must(key.len > 0 && dictionary.rest.len < left);
        left = dictionary.rest.len;
        check_span(&item, value);
        if (item.kind == SL_SF_INNER_LIST)
            must(item.text.len >= 2 && item.text.base[0] == '(' && item.text.base[item.text.len - 1] == ')');
        else if (item.text.len > 0 || item.kind != SL_SF_BOOLEAN)
            check_again(&item);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + (size == 0));
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    check_item((struct sl_bytes){copy, size});
    check_dictionary((struct sl_bytes){copy, size});
    free(copy);
    return 0;
}
