/* Walking all names in order, folder by folder, a batch at a time. Loop thread.
 *
 * Names are ordered by the bytes of the whole path. A directory listed with '/' behind its folders is in that order,
 * and what lies in a folder belongs where the folder stands; so it is a walk in depth. A batch goes over folders: it is
 * a row of disk entries, in which a folder means "down into it" and an entry without a name "up again". It grows from
 * the start of the caller's room. When a folder is met, the rest of the directory it was met in moves to the end of the
 * room, to go on with after the folder: without that, a directory of many folders would be read again for each of them.
 *
 *   | file, down, file, file, up, file | free: the next directory | rest of a/b | rest of a | rest of the top |
 *
 * Between batches nothing is kept but a place, and what is at that place may be gone by then. A batch ends after some
 * directories without files even if it is empty, so that whoever asked can think again. */
#include "local.h"

#include <assert.h>
#include <fcntl.h>

/* What is left of a directory, in front of its entries. */
struct rest {
    size_t folder_len;
    size_t bytes; /* of the entries */
    bool has_more;
};

#define MARK_BYTES     ((offsetof(struct sl_disk_entry, text) + 7) / 8 * 8)
#define LIST_BYTES_MIN SL_DISK_ENTRY_BYTES_MAX(SL_META_BYTES_MAX)
#define READS_MAX      64 /* of directories in a batch, and one more for each file that was found */

enum listing_step { LISTING_NOTHING, LISTING_OPEN, LISTING_LIST, LISTING_CLOSE };

static void on_step(struct sl_disk_op *op, void *ctx);
static void go_on(struct sl_store_listing *listing);

/* ---- places ---- */

static char *leaf_of(struct sl_store_place *place)
{
    return place->text + place->folder_len + 1;
}

static void set_leaf(struct sl_store_place *place, const char *name, size_t len)
{
    char *leaf = leaf_of(place);
    assert(place->folder_len + 1 + len < sizeof place->text);
    memcpy(leaf, name, len);
    leaf[len] = '\0';
}

/* name: of a folder in this one, with its '/'; it may lie in the place itself. */
static void go_down(struct sl_store_place *place, const char *name, size_t len)
{
    assert(len > 1 && name[len - 1] == '/');
    size_t at = place->folder_len > 0 ? place->folder_len + 1 : 0;
    memmove(place->text + at, name, len);
    if (at > 0)
        place->text[at - 1] = '/';
    place->folder_len = at + len - 1;
    place->text[place->folder_len] = '\0';
    place->text[place->folder_len + 1] = '\0';
}

/* Behind the folder, in the one that it lies in. */
static void go_up(struct sl_store_place *place)
{
    assert(place->folder_len > 0);
    const char *slash = memrchr(place->text, '/', place->folder_len);
    size_t name_len = place->folder_len - (slash == NULL ? 0 : (size_t)(slash - place->text) + 1);
    char *name = place->text + place->folder_len - name_len;
    name[name_len] = '/';
    if (slash == NULL) { /* the topmost folder has no name: its NUL needs a byte in front */
        memmove(name + 1, name, name_len + 1);
        name++;
    }
    name[-1] = '\0';
    name[name_len + 1] = '\0';
    place->folder_len = (size_t)(name - 1 - place->text);
}

/* The path of `name` in the folder of `place`; false: no URL can say it. */
static bool make_path(const struct sl_store_place *place, const char *name, size_t len, struct sl_path *path_out)
{
    char text[SL_PATH_BYTES_MAX];
    size_t folder = place->folder_len > 0 ? place->folder_len + 1 : 0;
    if (folder + len > sizeof text)
        return false;
    memcpy(text, place->text, folder);
    if (folder > 0)
        text[folder - 1] = '/';
    memcpy(text + folder, name, len);
    return sl_path_check((struct sl_bytes){text, folder + len}, path_out) == SL_OK;
}

/* ---- the row of entries ---- */

static struct sl_disk_entry *entry_at(const struct sl_store_listing *listing, size_t at)
{
    return (struct sl_disk_entry *)(listing->room + at);
}

/* Nothing of this batch is worth telling so far: what was passed over need not be gone over again. */
static void forget_row(struct sl_store_listing *listing)
{
    assert(listing->files == 0);
    listing->at = listing->here;
    listing->used = 0;
}

/* Moves the entry at `from` to the end of the row. */
static void append(struct sl_store_listing *listing, size_t from)
{
    uint32_t bytes = entry_at(listing, from)->bytes;
    assert(listing->used <= from);
    memmove(listing->room + listing->used, listing->room + from, bytes);
    listing->used += bytes;
}

static void append_up(struct sl_store_listing *listing)
{
    assert(listing->rest - listing->used >= MARK_BYTES);
    struct sl_disk_entry *mark = entry_at(listing, listing->used);
    mark->bytes = MARK_BYTES;
    mark->name_len = 0;
    mark->is_folder = true;
    listing->used += MARK_BYTES;
}

/* ---- rests of directories ---- */

/* Keeps what lies from `from` to `to` for later. What came fresh from the disk gets half of what is free at most, so
 * that there is room for the folder that comes first; the end of it can be read again. What was kept before stays where
 * it is. */
static void push_rest(struct sl_store_listing *listing, size_t from, size_t to, bool has_more)
{
    struct rest rest = {.folder_len = listing->here.folder_len, .bytes = to - from, .has_more = has_more};
    bool is_in_place = to == listing->rest && from - listing->used >= sizeof rest;
    size_t room = (listing->rest - listing->used) / 2;
    if (!is_in_place && rest.bytes + sizeof rest > room) {
        size_t fits = 0;
        while (fits < rest.bytes && fits + entry_at(listing, from + fits)->bytes + sizeof rest <= room)
            fits += entry_at(listing, from + fits)->bytes;
        rest.bytes = fits;
        rest.has_more = true;
    }
    if (rest.bytes == 0 && rest.has_more)
        return; /* it is to be read again in any case */
    memmove(listing->room + listing->rest - rest.bytes, listing->room + from, rest.bytes);
    listing->rest -= rest.bytes + sizeof rest;
    memcpy(listing->room + listing->rest, &rest, sizeof rest);
}

/* ---- the walk ---- */

static void finish(struct sl_store_listing *listing, sl_err err)
{
    if (err != SL_OK) {
        listing->used = listing->files = 0;
        listing->here = listing->at;
        listing->is_end = false;
    }
    if (listing->files == 0) /* the next batch goes on from here whether this one is walked or not */
        forget_row(listing);
    listing->on_done(listing, err == SL_NOT_FOUND ? SL_IO : err, listing->ctx); /* files/ itself is gone */
}

/* The leaf of `here` is a folder: enters it, and leaves the rest of the directory for later. */
static void enter(struct sl_store_listing *listing, size_t from, size_t to, bool has_more)
{
    const struct sl_disk_entry *entry = entry_at(listing, from);
    size_t behind = from + entry->bytes;
    char name[SL_SEGMENT_BYTES_MAX + 1];
    size_t len = entry->name_len;
    memcpy(name, entry->text, len);
    append(listing, from);
    push_rest(listing, behind, to, has_more);
    go_down(&listing->here, name, len);
    if (listing->files == 0)
        forget_row(listing);
}

/* Takes the entries from `from` to `to`, which lie in order in the folder of `here`, into the row, up to the first
 * folder. last: where has_more, the name to go on behind; NULL: that of the last entry. true: the folder is done, there
 * is nothing more in it. */
static bool take(struct sl_store_listing *listing, size_t from, size_t to, bool has_more, const char *last)
{
    struct sl_path path;
    while (from < to) {
        const struct sl_disk_entry *entry = entry_at(listing, from);
        size_t name_len = entry->name_len, bytes = entry->bytes;
        set_leaf(&listing->here, entry->text, name_len);
        if (!make_path(&listing->here, entry->text, name_len - entry->is_folder, &path)) {
            from += bytes;
        } else if (entry->is_folder) {
            enter(listing, from, to, has_more);
            return false;
        } else {
            append(listing, from);
            listing->files++;
            from += bytes;
        }
    }
    if (has_more && last != NULL)
        set_leaf(&listing->here, last, strlen(last));
    return !has_more;
}

/* Goes on with what is left of the folder of `here`, where that was kept. true: it is done. */
static bool take_rest(struct sl_store_listing *listing)
{
    struct rest rest;
    if (listing->rest == listing->room_len)
        return false;
    memcpy(&rest, listing->room + listing->rest, sizeof rest);
    assert(rest.folder_len <= listing->here.folder_len);
    if (rest.folder_len < listing->here.folder_len)
        return false;
    size_t from = listing->rest + sizeof rest;
    listing->rest = from + rest.bytes;
    return take(listing, from, from + rest.bytes, rest.has_more, NULL);
}

/* Out of a folder that is done. false: it was the last one. */
static bool leave(struct sl_store_listing *listing)
{
    if (listing->here.folder_len == listing->prefix_folder_len)
        return false;
    go_up(&listing->here);
    if (listing->files == 0)
        forget_row(listing);
    else
        append_up(listing);
    return true;
}

/* The folder of `here` is done. Climbs as far as folders are done, then reads the next one. */
static void climb(struct sl_store_listing *listing)
{
    do {
        if (listing->files > 0 && listing->rest - listing->used < MARK_BYTES) {
            go_on(listing); /* which finds no room */
            return;
        }
        if (!leave(listing)) {
            listing->is_end = true;
            finish(listing, SL_OK);
            return;
        }
    } while (take_rest(listing));
    go_on(listing);
}

static struct open_how folder_how(void)
{
    return (struct open_how){.flags = O_RDONLY | O_DIRECTORY, .resolve = SL_LOCAL_RESOLVE};
}

/* Reads on in the folder of `here`, behind its leaf, if there is room and not too much was read. */
static void go_on(struct sl_store_listing *listing)
{
    bool is_full = listing->rest - listing->used < LIST_BYTES_MIN && listing->files > 0;
    if (is_full || listing->reads == READS_MAX + listing->files) {
        finish(listing, SL_OK);
        return;
    }
    listing->reads++;
    if (listing->rest - listing->used < LIST_BYTES_MIN)
        listing->rest = listing->room_len; /* the rests fill it; they are read again when it is their turn */
    assert(listing->rest - listing->used >= LIST_BYTES_MIN);
    listing->step = LISTING_OPEN;
    const char *folder = listing->here.folder_len == 0 ? "." : listing->here.text;
    sl_disk_open(listing->store->disk, &listing->op, listing->store->root->files_fd, folder, folder_how(), on_step,
                 listing);
}

/* A folder that vanished, or became something else, or was planted, has no names. But the topmost one must be there. */
static bool is_passed_over(const struct sl_store_listing *listing, sl_err err)
{
    return listing->here.folder_len > 0 &&
           (err == SL_NOT_FOUND || err == SL_NOT_A_DIRECTORY || err == SL_OUTSIDE || err == SL_NAME_TOO_LONG);
}

static void on_opened(struct sl_store_listing *listing, const struct sl_disk_op *op)
{
    if (op->err != SL_OK) {
        bool is_none_of_ours = op->err == SL_DENIED && listing->here.folder_len > 0;
        if (is_none_of_ours || is_passed_over(listing, op->err))
            climb(listing);
        else
            finish(listing, op->err);
        return;
    }
    bool is_at_prefix = listing->here.folder_len == listing->prefix_folder_len;
    size_t skip = listing->prefix_folder_len > 0 ? listing->prefix_folder_len + 1 : 0;
    listing->dir_fd = (int)op->result;
    listing->list = (struct sl_disk_list){.prefix = is_at_prefix ? listing->prefix.text + skip : "",
                                          .after = leaf_of(&listing->here),
                                          .out = listing->room + listing->used,
                                          .room = listing->rest - listing->used};
    if (listing->store->root->has_meta) {
        listing->list.attribute = SL_LOCAL_META;
        listing->list.value_max = SL_META_BYTES_MAX;
    }
    listing->step = LISTING_LIST;
    sl_disk_list(listing->store->disk, &listing->op, listing->dir_fd, &listing->list, on_step, listing);
}

static void on_listed(struct sl_store_listing *listing, const struct sl_disk_op *op)
{
    listing->err = op->err;
    listing->listed = (size_t)op->result;
    listing->step = LISTING_CLOSE;
    sl_disk_close(listing->store->disk, &listing->op, listing->dir_fd, on_step, listing);
}

static void on_closed(struct sl_store_listing *listing)
{
    sl_err err = listing->err;
    if (err != SL_OK && !is_passed_over(listing, err)) {
        finish(listing, err);
        return;
    }
    size_t end = listing->used + listing->listed;
    if (err != SL_OK || take(listing, listing->used, end, listing->list.has_more, listing->list.last))
        climb(listing);
    else
        go_on(listing);
}

static void on_step(struct sl_disk_op *op, void *ctx)
{
    struct sl_store_listing *listing = ctx;
    switch ((enum listing_step)listing->step) {
    case LISTING_NOTHING: finish(listing, SL_OK); return;
    case LISTING_OPEN: on_opened(listing, op); return;
    case LISTING_LIST: on_listed(listing, op); return;
    case LISTING_CLOSE: on_closed(listing); return;
    }
}

void sl_store_list(struct sl_store_listing *listing, char *room, size_t len, sl_store_listing_cb on_done, void *ctx)
{
    assert((uintptr_t)room % _Alignof(struct sl_disk_entry) == 0 && len >= SL_STORE_LIST_BYTES_MIN);
    bool is_over = listing->is_end && listing->next == listing->used;
    listing->on_done = on_done;
    listing->ctx = ctx;
    listing->room = room;
    listing->room_len = listing->rest = len / 8 * 8;
    listing->used = listing->next = listing->files = listing->reads = 0;
    listing->here = listing->at;
    listing->is_end = is_over;
    if (is_over) { /* what it looks at does not matter: it is for the callback's sake */
        listing->step = LISTING_NOTHING;
        sl_disk_stat(listing->store->disk, &listing->op, listing->store->root->files_fd, "", (struct statx *)room,
                     on_step, listing);
        return;
    }
    go_on(listing);
}

bool sl_store_listing_next(struct sl_store_listing *listing, struct sl_store_entry *entry_out)
{
    while (listing->next < listing->used) {
        const struct sl_disk_entry *entry = entry_at(listing, listing->next);
        listing->next += entry->bytes;
        if (entry->is_folder && entry->name_len > 0) {
            go_down(&listing->at, entry->text, entry->name_len);
        } else if (entry->is_folder) {
            go_up(&listing->at);
        } else {
            struct sl_bytes value = {entry->text + entry->name_len, entry->value_len};
            set_leaf(&listing->at, entry->text, entry->name_len);
            bool is_path = make_path(&listing->at, entry->text, entry->name_len, &listing->path);
            assert(is_path);
            (void)is_path;
            entry_out->path = &listing->path;
            entry_out->size = entry->size;
            entry_out->modified_ns = entry->modified_ns;
            sl_local_identify(value, entry->size, entry->modified_ns, entry->inode, &entry_out->meta,
                              entry_out->etag);
            return true;
        }
    }
    listing->at = listing->here;
    return false;
}

/* ---- the beginning ---- */

/* The place of a text that need not be a path: the folder is as much of it as could be one. What follows is a leaf to
 * compare with, whatever it is, for no name begins with it. */
static void set_place(struct sl_store_place *place, struct sl_bytes text)
{
    struct sl_path segment;
    size_t folder_len = 0;
    for (size_t at = 0; at < text.len;) {
        const char *slash = memchr(text.base + at, '/', text.len - at);
        size_t end = slash == NULL ? text.len : (size_t)(slash - text.base);
        if (slash == NULL || sl_path_check((struct sl_bytes){text.base + at, end - at}, &segment) != SL_OK)
            break;
        folder_len = end;
        at = end + 1;
    }
    size_t leaf_at = folder_len > 0 ? folder_len + 1 : 0;
    memcpy(place->text, text.base, folder_len);
    place->text[folder_len] = '\0';
    place->folder_len = folder_len;
    set_leaf(place, text.base + leaf_at, text.len - leaf_at);
}

/* Can there be names that begin so? */
static bool is_prefix(struct sl_bytes text)
{
    struct sl_path folder;
    const char *slash = memrchr(text.base, '/', text.len);
    if (memchr(text.base, '\0', text.len) != NULL)
        return false;
    return slash == NULL ||
           sl_path_check((struct sl_bytes){text.base, (size_t)(slash - text.base)}, &folder) == SL_OK;
}

sl_err sl_store_listing_init(struct sl_store_listing *listing, struct sl_store *store, struct sl_bytes prefix,
                             struct sl_bytes after)
{
    if (prefix.len > SL_PATH_BYTES_MAX || after.len > SL_PATH_BYTES_MAX)
        return SL_BAD_PATH;
    if (prefix.len == 0)
        prefix = SL_BYTES("");
    if (after.len == 0)
        after = SL_BYTES("");
    listing->store = store;
    memcpy(listing->prefix.text, prefix.base, prefix.len);
    listing->prefix.len = prefix.len;
    listing->prefix_folder_len = sl_local_folder_len(&listing->prefix);
    const char *nul = memchr(after.base, '\0', after.len);
    if (nul != NULL) /* no name lies between the text up to here and all of it */
        after.len = (size_t)(nul - after.base);
    size_t shorter = after.len < prefix.len ? after.len : prefix.len;
    int order = memcmp(after.base, prefix.base, shorter);
    listing->is_end = !is_prefix(prefix) || order > 0;
    if (order == 0 && after.len >= prefix.len)
        set_place(&listing->at, after);
    else /* it comes before all of them */
        set_place(&listing->at, (struct sl_bytes){prefix.base, prefix.len - strlen(sl_local_leaf(&listing->prefix))});
    listing->here = listing->at;
    return SL_OK;
}
