/* Turns to change what stands under a name: looking at it and then changing it must be one step against everybody
 * of this process, on whatever loop. In the order of asking; whoever gets the turn learns it by mail to its own
 * loop. Names that exist nowhere need no turn: the file system lets only one link win. Any loop's thread. */
#include "local.h"

#include <assert.h>

static struct sl_link *bucket_of(struct sl_store_root *root, const struct sl_path *path)
{
    uint32_t hash = 2166136261u; /* FNV-1a; who aims at one bucket makes its list longer, nothing worse */
    for (size_t i = 0; i < path->len; i++)
        hash = (hash ^ (uint8_t)path->text[i]) * 16777619u;
    return &root->turns[hash % SL_NAME_TURN_BUCKETS];
}

static bool is_same(const struct sl_path *a, const struct sl_path *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static struct sl_name_turn *find_holder(const struct sl_link *bucket, const struct sl_path *path)
{
    for (struct sl_link *link = bucket->next; link != bucket; link = link->next) {
        struct sl_name_turn *turn = SL_CONTAINER_OF(link, struct sl_name_turn, link);
        if (is_same(turn->path, path))
            return turn;
    }
    return NULL;
}

static void on_granted(struct sl_mail *mail)
{
    struct sl_name_turn *turn = SL_CONTAINER_OF(mail, struct sl_name_turn, mail);
    turn->on_turn(turn);
}

void sl_name_turn_take(struct sl_store *store, struct sl_name_turn *turn, const struct sl_path *path,
                       void (*on_turn)(struct sl_name_turn *turn))
{
    assert(turn->store == NULL);
    *turn = (struct sl_name_turn){.store = store, .path = path, .on_turn = on_turn};
    turn->mail.on_arrival = on_granted;
    sl_list_init(&turn->waiters);
    store->turns++;
    struct sl_store_root *root = store->root;
    struct sl_link *bucket = bucket_of(root, path);
    pthread_mutex_lock(&root->turns_lock);
    struct sl_name_turn *holder = find_holder(bucket, path);
    sl_list_append(holder != NULL ? &holder->waiters : bucket, &turn->link);
    pthread_mutex_unlock(&root->turns_lock);
    if (holder == NULL)
        sl_mailbox_post(store->home, &turn->mail);
}

void sl_name_turn_give(struct sl_name_turn *turn)
{
    struct sl_store *store = turn->store;
    if (store == NULL)
        return;
    struct sl_store_root *root = store->root;
    struct sl_link *bucket = bucket_of(root, turn->path);
    pthread_mutex_lock(&root->turns_lock);
    assert(find_holder(bucket, turn->path) == turn);
    sl_link_unlink(&turn->link);
    struct sl_name_turn *next = NULL;
    struct sl_link *first = sl_list_shift(&turn->waiters);
    if (first != NULL) {
        next = SL_CONTAINER_OF(first, struct sl_name_turn, link);
        sl_list_move_all(&next->waiters, &turn->waiters);
        sl_list_append(bucket, &next->link);
    }
    pthread_mutex_unlock(&root->turns_lock);
    if (next != NULL) /* it cannot go away before it has its mail */
        sl_mailbox_post(next->store->home, &next->mail);
    assert(store->turns > 0);
    store->turns--;
    turn->store = NULL;
}
