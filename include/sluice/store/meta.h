/* What is kept about a stored object beside its bytes, and the form it has on disk: one attribute, small enough
 * for the one block ext4 grants, and for a plain upload (digest and time alone) small enough to lie inside the
 * inode. Pure, any thread.
 *
 * The form: a byte 1 (the version), then records of tag, length (2 bytes, little-endian) and value. Unknown tags are
 * skipped, so that an older sluice reads what a newer one wrote. */
#ifndef SLUICE_STORE_META_H
#define SLUICE_STORE_META_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"
#include "sluice/hash/hash.h"

#define SL_META_BYTES_MAX 3584

struct sl_meta_field {
    struct sl_bytes name, value;
};

/* Spans: lent, by whoever filled it in; of a decoded one they point into the encoded bytes. */
struct sl_meta {
    uint64_t begun_ns,
        created_ns;             /* wall clock, as its first byte came and as its name was given; also the proof that
                                      the digests are of these bytes: the file was written to between them */
    struct sl_bytes name;       /* original name; empty: as the path says */
    struct sl_bytes type;       /* media type; empty: unknown */
    struct sl_bytes request_id; /* the sender's X-Request-Id; empty: none */
    bool is_attachment;         /* the sender wants it saved, not shown */
    struct sl_digests digests;
    /* to encode: */
    const struct sl_meta_field *fields; /* text fields of the form */
    size_t field_count;
    /* decoded: walk with sl_meta_next_field */
    struct sl_bytes field_records;
};

/* Writes the form into out; returns its length. If all of it does not fit, the text fields are left out, all of them,
 * and *has_fields_out tells. Names above 1023, types above 255, ids above 128 bytes are the caller's bug. */
size_t sl_meta_encode(const struct sl_meta *meta, char out[SL_META_BYTES_MAX], bool *has_fields_out);

/* How many bytes of an encoded form come before its text fields: cut there, it is one without them. */
size_t sl_meta_len_without_fields(const char *encoded, size_t len);

/* Sets the times of an encoded form. */
void sl_meta_set_times(char *encoded, size_t len, uint64_t begun_ns, uint64_t created_ns);

/* Reads it. encoded: lent as long as meta_out is used; it may be anything. SL_BAD_FIELD: not ours, and *meta_out
 * is empty. Name, type and request_id come within their limits, as UTF-8 without control bytes, or not at all;
 * fields hold any bytes. */
SL_MUST_CHECK sl_err sl_meta_decode(struct sl_bytes encoded, struct sl_meta *meta_out);

/* Takes the next field off meta->field_records of a decoded one; false: no more. */
bool sl_meta_next_field(struct sl_meta *meta, struct sl_meta_field *field_out);

#endif
