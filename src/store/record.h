/* The form in which the store keeps what it knows beside a file's bytes, shared by store/meta.h and
 * store/upload_state.h: records of tag, length (2 bytes, little-endian) and value. Pure, any thread. */
#ifndef SLUICE_STORE_RECORD_H
#define SLUICE_STORE_RECORD_H

#include "sluice/base/bytes.h"
#include "sluice/hash/hash.h"

#define SL_RECORD_HEAD       3
#define SL_RECORD_NAME_MAX   1023
#define SL_RECORD_TYPE_MAX   255
#define SL_RECORD_ID_MAX     128
#define SL_RECORD_NUMBER_LEN 8

/* Records are put at `at`, where its caller has seen to the room; what is returned stands behind them. */
char *sl_record_put_number(char *at, uint64_t value, unsigned bytes);
char *sl_record_put_bytes(char *at, const void *bytes, size_t len);
char *sl_record_put_head(char *at, unsigned tag, size_t len);
/* None, where it is empty. */
char *sl_record_put_text(char *at, unsigned tag, struct sl_bytes text);
/* One record each. */
char *sl_record_put_digests(char *at, unsigned tag, const struct sl_digests *digests);

/* None, where it is empty; else one, of a byte for each algorithm. */
char *sl_record_put_set(char *at, unsigned tag, sl_hash_set set);
size_t sl_record_set_bytes(sl_hash_set set);

uint64_t sl_record_number(const char *at, unsigned bytes);

/* Takes the first record off `rest`; false: there is none, or it is cut off. */
bool sl_record_take(struct sl_bytes *rest, unsigned *tag_out, struct sl_bytes *value_out);

/* The value as a text fit for headers and pages, for an attribute may be anybody's: UTF-8 without control bytes, of at
 * most `max` bytes. Else *text_out stays. */
void sl_record_text(struct sl_bytes value, size_t max, struct sl_bytes *text_out);

/* Adds a digest; one of an algorithm unknown here, or of a wrong length, is not added. */
void sl_record_digest(struct sl_bytes value, struct sl_digests *digests);

/* The algorithms of a set, without those that are unknown here. */
sl_hash_set sl_record_set(struct sl_bytes value);

#endif
