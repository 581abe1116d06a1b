/* Private to upload: what a session has digested, on the pool or, of little, in place. The whole file, and of a part
 * also the part alone. Loop thread. */
#ifndef SLUICE_UPLOAD_SESSION_DIGEST_H
#define SLUICE_UPLOAD_SESSION_DIGEST_H

#include "sluice/upload/session.h"

/* What is computed of the whole: what the server wants of every file, and what this one's sender wants checked. */
sl_hash_set sl_session_digests(const struct sl_session *session);

/* Digests a piece. Each job that is begun counts in piece->parts_inflight and ends in on_part (ctx: the piece). After
 * an error none was begun. */
SL_MUST_CHECK sl_err sl_session_digest_piece(struct sl_session *session, struct sl_piece *piece, bool is_last,
                                             sl_hash_cb on_part);

/* Saves what is digested so far, of a part's mark. Each job counts in session->lane_jobs and ends in on_saved (ctx:
 * the session). */
void sl_session_digest_mark(struct sl_session *session, sl_hash_cb on_saved);

/* All was fed: session->digests, or part->hash, is complete when no job is left. on_over: as on_saved. */
void sl_session_digest_end(struct sl_session *session, sl_hash_cb on_over);

/* Holds what was found against what was promised: SL_DIGEST_MISMATCH, with session->mismatch and ->digests. */
SL_MUST_CHECK sl_err sl_session_digest_judge(struct sl_session *session);

/* Gives the lanes back. */
void sl_session_digest_close(struct sl_session *session);

#endif
