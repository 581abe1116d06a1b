/* The header fields of the resumable upload draft (draft-ietf-httpbis-resumable-upload), by the version of the client.
 * All are structured fields: one of a wrong type is as if it were not there (section 4, RFC 9651 section 1.1). Pure. */
#ifndef SLUICE_DECODE_RESUMABLE_H
#define SLUICE_DECODE_RESUMABLE_H

#include "sluice/base/bytes.h"

/* Upload-Draft-Interop-Version. Known here: 3, 5, 6, 7, 8. 0: none, or none that is known. */
unsigned sl_draft_version(struct sl_bytes field);

enum sl_draft_complete { SL_DRAFT_NOT_SAID, SL_DRAFT_INCOMPLETE, SL_DRAFT_COMPLETE };

/* Upload-Complete, of versions 4 and later, and Upload-Incomplete, of 3, which says the opposite. Either may be
 * empty. */
enum sl_draft_complete sl_draft_complete(unsigned version, struct sl_bytes complete, struct sl_bytes incomplete);

/* Upload-Offset, Upload-Length: an Integer that is not negative. false: it is none. */
bool sl_draft_number(struct sl_bytes field, uint64_t *value_out);

#endif
