/* What the uploads of one loop are counted by. The loop's thread counts, any thread reads.
 *
 * An upload here is one file on its way in by one request: a PUT, each file of a form, each request that makes a
 * resumable upload or brings more of it. It begins once there was nothing to refuse in its head, and ends in one of
 * three ways: started = stored + kept + failed + in_flight.
 * The bytes of its body come into buffers, and leave them in one of three ways:
 * received = written + framing + aborted + buffered. */
#ifndef SLUICE_UPLOAD_STATS_H
#define SLUICE_UPLOAD_STATS_H

#include "sluice/base/err.h"
#include "sluice/base/stats.h"

/* Where the time of an upload goes. Of each upload: QUEUE, OPEN, RECEIVE, FLUSH, COMMIT, one behind the other; of each
 * piece of it: WRITE and HASH, beside each other, and beside RECEIVE. What digests so small that they are made in place
 * take, and the parsing of forms, is no stage: that is the loop's own time. */
enum sl_stage {
    SL_STAGE_QUEUE,   /* for its first buffer */
    SL_STAGE_OPEN,    /* the name is looked up, space is taken */
    SL_STAGE_RECEIVE, /* until the last byte of its data has come */
    SL_STAGE_WRITE,   /* a piece, until the disk has it */
    SL_STAGE_HASH,    /* a piece, until it is digested, its time in the queue too */
    SL_STAGE_FLUSH,   /* behind the last byte: until all is written and digested */
    SL_STAGE_COMMIT,  /* synced and named */
    SL_STAGES
};

/* What one upload took of each stage. WRITE and HASH: as long as at least one of its pieces was there. */
struct sl_upload_times {
    uint64_t ns[SL_STAGES];
};

struct sl_upload_stats {
    struct sl_counter started, in_flight;
    struct sl_counter stored; /* has its name */
    struct sl_counter kept;   /* of a resumable one: what came is kept, to be gone on with */
    struct sl_counter failed[SL_ERR_COUNT];
    struct sl_counter written_bytes;  /* data of files that the disk took */
    struct sl_counter framing_bytes;  /* what forms have beside the data of their files, text fields too */
    struct sl_counter aborted_bytes;  /* came, and were dropped */
    struct sl_counter buffered_bytes; /* are in buffers now */
    struct sl_histogram stages[SL_STAGES];
};

#endif
