/* An intrusive, circular, doubly linked list. A link that is zeroed or unlinked is in no list. */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct sl_link {
    struct sl_link *next, *prev;
};

#define SL_CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void sl_list_init(struct sl_link *list)
{
    list->next = list->prev = list;
}

static inline bool sl_list_is_empty(const struct sl_link *list)
{
    return list->next == list;
}

static inline bool sl_link_is_linked(const struct sl_link *link)
{
    return link->next != NULL;
}

static inline void sl_list_append(struct sl_link *list, struct sl_link *link)
{
    assert(!sl_link_is_linked(link));
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void sl_list_prepend(struct sl_link *list, struct sl_link *link)
{
    sl_list_append(list->next, link);
}

/* Unlinking twice is allowed. */
static inline void sl_link_unlink(struct sl_link *link)
{
    if (!sl_link_is_linked(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* Takes the oldest link out, NULL when the list is empty. */
static inline struct sl_link *sl_list_shift(struct sl_link *list)
{
    struct sl_link *first = list->next;
    if (first == list)
        return NULL;
    sl_link_unlink(first);
    return first;
}

/* Moves all of `from` behind the end of `to`; `from` is empty afterwards. */
static inline void sl_list_move_all(struct sl_link *to, struct sl_link *from)
{
    if (sl_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    sl_list_init(from);
}

#endif
