/* One answer of the server, read byte by byte as it comes and not kept: the status, whether the connection lives
 * on, and where an upload goes on are all that is wanted. Pure; the bytes of the body are counted and dropped. */
#ifndef SLUICE_LOADTEST_LOAD_REPLY_H
#define SLUICE_LOADTEST_LOAD_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_LOAD_LINE_MAX     120 /* longer lines are cut: none that we look at is */
#define SL_LOAD_LOCATION_MAX 96

enum sl_load_reply_state {
    SL_LOAD_REPLY_STATUS,
    SL_LOAD_REPLY_FIELDS,
    SL_LOAD_REPLY_COUNTED, /* body with Content-Length */
    SL_LOAD_REPLY_TO_CLOSE,
    SL_LOAD_REPLY_CHUNK_SIZE,
    SL_LOAD_REPLY_CHUNK,
    SL_LOAD_REPLY_CHUNK_END,
    SL_LOAD_REPLY_TRAILER,
    SL_LOAD_REPLY_OVER
};

enum sl_load_reply_event {
    SL_LOAD_REPLY_MORE,
    SL_LOAD_REPLY_CONTINUE, /* 100: the answer itself is still to come */
    SL_LOAD_REPLY_DONE,
    SL_LOAD_REPLY_BAD
};

struct sl_load_reply {
    enum sl_load_reply_state state;
    int status;
    bool has_length, chunked, closes;
    uint64_t left; /* of the body or the chunk */
    uint64_t body_bytes;
    char location[SL_LOAD_LOCATION_MAX]; /* the path in Location; "": none, or a longer one */
    uint8_t line_len;
    char line[SL_LOAD_LINE_MAX];
};

/* All zero is a fresh one. */
void sl_load_reply_reset(struct sl_load_reply *reply);

/* Reads from `bytes`, stops behind the answer (or behind a 100); *used_out says where. */
enum sl_load_reply_event sl_load_reply_feed(struct sl_load_reply *reply, const char *bytes, size_t len,
                                            size_t *used_out);

/* How many bytes may be thrown away in the socket, unseen. */
uint64_t sl_load_reply_droppable(const struct sl_load_reply *reply);
enum sl_load_reply_event sl_load_reply_dropped(struct sl_load_reply *reply, uint64_t bytes);

/* The server has closed: true if the answer was one that ends so. */
bool sl_load_reply_ends_with_close(const struct sl_load_reply *reply);

#endif
