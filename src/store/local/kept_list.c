/* All that is kept, in batches, by the ids in uploads/. Loop thread. */
#include "local.h"

#include <assert.h>

static void on_kept_listed(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_kept_listing *listing = ctx;
    listing->used = op->err == SL_OK ? (size_t)op->result : 0;
    listing->next = 0;
    listing->is_end = op->err == SL_OK && !listing->list.has_more;
    if (op->err == SL_OK)
        memcpy(listing->after, listing->list.last, sizeof listing->after);
    listing->on_done(listing, op->err, listing->ctx);
}

void sl_store_list_kept(struct sl_store *store, struct sl_store_kept_listing *listing, char *room, size_t len,
                        sl_store_kept_cb on_done, void *ctx)
{
    assert(len >= SL_STORE_LIST_BYTES_MIN && sl_disk_op_is_idle(&listing->op));
    listing->store = store;
    listing->on_done = on_done;
    listing->ctx = ctx;
    listing->room = room;
    listing->list = (struct sl_disk_list){.prefix = "",
                                          .after = listing->after,
                                          .attribute = SL_STATE_ATTRIBUTE,
                                          .value_max = SL_STATE_ATTRIBUTE_BYTES_MAX,
                                          .out = room,
                                          .room = len};
    sl_disk_list(store->disk, &listing->op, store->root->uploads_fd, &listing->list, on_kept_listed, listing);
}

_Static_assert(SL_DISK_ENTRY_BYTES_MAX(SL_STATE_ATTRIBUTE_BYTES_MAX) <= SL_STORE_LIST_BYTES_MIN, "one fits at least");

bool sl_store_kept_next(struct sl_store_kept_listing *listing, struct sl_store_kept_entry *entry_out)
{
    while (listing->next < listing->used) {
        const struct sl_disk_entry *entry = (const struct sl_disk_entry *)(listing->room + listing->next);
        listing->next += entry->bytes;
        if (entry->is_folder || !sl_store_is_id((struct sl_bytes){entry->text, entry->name_len}))
            continue; /* a temporary file, a lock */
        memcpy(listing->entry_id, entry->text, entry->name_len);
        listing->entry_id[entry->name_len] = '\0';
        struct sl_bytes value = {entry->text + entry->name_len, entry->value_len};
        *entry_out = (struct sl_store_kept_entry){.id = listing->entry_id,
                                                  .state = sl_kept_state(value, listing->entry_id),
                                                  .size = entry->size,
                                                  .modified_ns = entry->modified_ns};
        return true;
    }
    return false;
}
