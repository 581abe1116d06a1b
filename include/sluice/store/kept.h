/* Objects that outlive their request: unfinished uploads, and finished ones for a while. Each has an id, and a state:
 * bytes that only their owner understands, which change in one step and never say more than is on disk. local/ keeps
 * both in one file, ROOT/uploads/ID, the state as an attribute of it. Loop thread; as in store.h, starting cannot fail,
 * callbacks run once, in a later turn, and there is one control operation at a time for each object.
 *
 * Only where the file system keeps attributes (sl_store_root_has_meta); else sl_store_keep says SL_UNSUPPORTED. */
#ifndef SLUICE_STORE_KEPT_H
#define SLUICE_STORE_KEPT_H

#include "sluice/store/store.h"

#define SL_STORE_STATE_BYTES_MAX 2304 /* beside a file's metadata in the one block that ext4 grants */
#define SL_STORE_ID_BYTES        27   /* 26 characters of a-z and 2-7, and NUL; nothing else is ever looked up */

/* Is it one? Any bytes. Pure, any thread. */
bool sl_store_is_id(struct sl_bytes text);

/* Keeps a begun object under `id`, with `state`, as durable as the store was opened for: first the bytes whose writes
 * were over when this was called, then the state. Again at any time, with the same id and another state; writes may be
 * in flight meanwhile, their bytes are not promised. After an error what was kept before is still kept, or, where only
 * the last sync failed, `state` is.
 * id: lent until the object is idle again. state: lent until on_done. */
void sl_store_keep(struct sl_store_object *object, const char *id, struct sl_bytes state, sl_store_cb on_done,
                   void *ctx);

/* Opens what is kept under `id`, to go on with it or to look at it. object: need not be zeroed. id: lent until it is
 * idle again. state_out: room for SL_STORE_STATE_BYTES_MAX, lent until on_done; object->state_len bytes of it, any
 * bytes, 0 where there are none. Then as after sl_store_begin with an unknown size: write, keep, commit, abort,
 * release. object->size: of the file, which may hold more than was promised. object->is_linked: a commit of it went
 * through before, though its owner may not know; it is not to be written to.
 * At most one goes on with it at a time, over all processes that serve the root. SL_BUSY: another process does.
 * SL_NOT_FOUND: nothing of this id. After an error there is nothing to abort. */
void sl_store_resume(struct sl_store *store, struct sl_store_object *object, const char *id, char *state_out,
                     sl_store_cb on_done, void *ctx);

/* The same to read it only, beside anybody who goes on with it: changes nothing, and nothing but sl_store_read_back,
 * sl_store_copy out of it and sl_store_release may follow. object->is_linked is not told, and what the state says may
 * not be durable yet. */
void sl_store_look(struct sl_store *store, struct sl_store_object *object, const char *id, char *state_out,
                   sl_store_cb on_done, void *ctx);

/* Of a resumed one: only its first `bytes` were promised. What lies behind them, be it space that a process took ahead
 * before it was killed, is given back by sl_store_release, if it is not written anew. Not for one that is finished;
 * with object->is_linked nothing happens. At once. */
void sl_store_set_end(struct sl_store_object *object, uint64_t bytes);

/* Sets how much space is taken ahead for: the size it will have, or SL_STORE_SIZE_UNKNOWN. No write may be in flight.
 * SL_NO_SPACE: it would not fit, or less than min_free would be left, and nothing changed. */
void sl_store_expect(struct sl_store_object *object, uint64_t size, sl_store_cb on_done, void *ctx);

/* Reads up to `len` bytes at `offset`, a multiple of a block, into slab->base. slab: FILLING, shared until on_done.
 * write: lent until on_done; *bytes_out: how many came. */
void sl_store_read_back(struct sl_store_object *object, struct sl_store_write *write, struct sl_slab *slab,
                        size_t len, uint64_t offset, size_t *bytes_out, sl_store_write_cb on_done, void *ctx);

/* Appends `bytes` of `from` at its `from_offset` to `object` at `offset`, without passing through sluice where the file
 * system can. Ask for at most SL_STORE_COPY_BYTES at a time. Both are lent until on_done, and nothing else is done to
 * `object`; copies out of `from` may run beside each other. SL_IO: `from` is shorter. */
#define SL_STORE_COPY_BYTES ((uint64_t)64 << 20)
void sl_store_copy(struct sl_store_object *object, struct sl_store_object *from, uint64_t from_offset,
                   uint64_t offset, uint64_t bytes, sl_store_cb on_done, void *ctx);

/* Closes it; it stays as it was kept last, but for space that was taken ahead. No write may be in flight. Always
 * SL_OK. */
void sl_store_release(struct sl_store_object *object, sl_store_cb on_done, void *ctx);

/* sl_store_abort of a kept object drops it, as durably as the store was opened for, and its id is free: a finished one
 * keeps its name and its bytes. Where that fails (a disk that fails, or became read-only) object->kept is not NULL, and
 * object->sys_errno tells why; with object->is_id_away nobody finds it any more, unless a crash brings it back. Here
 * the same, not waiting for disks: after a crash it may be back, to expire again. */
void sl_store_expire(struct sl_store_object *object, sl_store_cb on_done, void *ctx);

/* ---- all of them ---- */

struct sl_store_kept_listing;
typedef void (*sl_store_kept_cb)(struct sl_store_kept_listing *listing, sl_err err, void *ctx);

struct sl_store_kept_entry {
    const char *id; /* lent until the next fetch */
    struct sl_bytes state;
    uint64_t size, modified_ns; /* of the file */
};

/* Zeroed: from the beginning. In the order of ids; what comes and goes meanwhile may be told or not. */
struct sl_store_kept_listing {
    bool is_end; /* behind this batch there are no more */
    /* the store's */
    struct sl_store *store;
    sl_store_kept_cb on_done;
    void *ctx;
    struct sl_disk_op op;
    struct sl_disk_list list;
    char after[SL_DISK_NAME_BYTES_MAX + 2], entry_id[SL_STORE_ID_BYTES];
    char *room;
    size_t used, next;
};

/* Fetches the next batch. room: aligned to 8, at least SL_STORE_LIST_BYTES_MIN, lent until the batch was walked. */
void sl_store_list_kept(struct sl_store *store, struct sl_store_kept_listing *listing, char *room, size_t len,
                        sl_store_kept_cb on_done, void *ctx);

/* The next of the batch; false: fetch another, or is_end. */
bool sl_store_kept_next(struct sl_store_kept_listing *listing, struct sl_store_kept_entry *entry_out);

/* Opens a kept object for reading, as sl_store_open does by its name among the finished ones. id: lent until
 * on_done. */
void sl_store_open_kept(struct sl_store *store, struct sl_store_reader *reader, const char *id,
                        sl_store_reader_cb on_done, void *ctx);

#endif
