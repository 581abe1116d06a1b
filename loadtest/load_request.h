/* A request on the wire, as a row of pieces: text that is rendered when it is needed, and slices of the shared body.
 * A connection keeps a number and a cursor, no buffer: this is why ten thousand of them are small. */
#ifndef SLUICE_LOADTEST_LOAD_REQUEST_H
#define SLUICE_LOADTEST_LOAD_REQUEST_H

#include "load_body.h"
#include "load_options.h"

#include <stdbool.h>
#include <sys/uio.h>

#define SL_LOAD_TEXT_MAX     1024
#define SL_LOAD_BATCH_PIECES 40 /* 1 MiB of 64 KiB chunks is 32 pieces */
#define SL_LOAD_CHUNK_BYTES  (64u << 10)

/* What all requests of a run have in common; fixed after init. */
struct sl_load_shape {
    const struct sl_load_options *options; /* lent */
    const struct sl_load_body *body;       /* lent */
    uint64_t pieces;
    unsigned heads;          /* how many of them are heads: 2 with tus */
    uint64_t content_length; /* of multipart too: all names have one length */
};

struct sl_load_cursor {
    uint64_t piece;
    uint64_t offset;    /* bytes of that piece that are sent */
    const char *target; /* tus: the path that the first answer told; NULL: it is to come */
};

/* What the next sendmsg takes. One serves all connections, since it is filled and sent in one go. */
struct sl_load_batch {
    struct iovec iov[SL_LOAD_BATCH_PIECES];
    uint64_t piece_left[SL_LOAD_BATCH_PIECES]; /* to the end of the piece; iov may take less */
    unsigned count, heads;
    char text[SL_LOAD_BATCH_PIECES][SL_LOAD_TEXT_MAX];
};

/* What request `number` asks for: its own name, where the method has one. */
void sl_load_put_path(struct sl_text *text, const struct sl_load_options *options, uint64_t number);

void sl_load_shape_init(struct sl_load_shape *shape, const struct sl_load_options *options,
                        const struct sl_load_body *body);

/* Fills the batch with what follows the cursor of request `number`: the head always, of the rest at most
 * `body_limit` bytes. count 0: the limit is 0 and the head is sent. The cursor neither ends nor waits. */
void sl_load_batch_fill(struct sl_load_batch *batch, const struct sl_load_shape *shape, uint64_t number,
                        struct sl_load_cursor cursor, uint64_t body_limit);

/* Moves the cursor over `sent` bytes of the batch; returns how many of them lie behind the head. */
uint64_t sl_load_batch_sent(const struct sl_load_batch *batch, struct sl_load_cursor *cursor, uint64_t sent);

static inline bool sl_load_cursor_is_at_end(struct sl_load_cursor cursor, const struct sl_load_shape *shape)
{
    return cursor.piece == shape->pieces;
}

/* All is sent that can be before the first of two answers. */
static inline bool sl_load_cursor_waits(struct sl_load_cursor cursor, const struct sl_load_shape *shape)
{
    return shape->heads == 2 && cursor.piece == 1 && cursor.target == NULL;
}

#endif
