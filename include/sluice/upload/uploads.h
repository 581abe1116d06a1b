/* What all loops share about the uploads of a root that may be interrupted: who works on which of them now, how many
 * there are, and for how long they are kept. One for the process. */
#ifndef SLUICE_UPLOAD_UPLOADS_H
#define SLUICE_UPLOAD_UPLOADS_H

#include "sluice/base/list.h"
#include "sluice/base/mailbox.h"
#include "sluice/store/kept.h"
#include "sluice/store/upload_state.h"

struct sl_uploads;

struct sl_uploads_options {
    uint64_t expiry_ns;      /* an upload that nobody touched for so long goes */
    uint64_t done_expiry_ns; /* so does the id of one that is over, not its file; at most expiry_ns */
    uint64_t count_max;      /* at a time, of those that are not over */
    uint64_t bytes_max;      /* that they hold or may come to hold; UINT64_MAX: no limit */
    uint64_t each_max;       /* of count_max, of one owner; 0: no limit of its own, and nobody is written down */
};

/* Aborts when memory is out: start-up only. */
struct sl_uploads *sl_uploads_create(const struct sl_uploads_options *options);
/* No claim may be held. NULL is fine. */
void sl_uploads_destroy(struct sl_uploads *uploads);
const struct sl_uploads_options *sl_uploads_options(const struct sl_uploads *uploads);

/* Is nothing more to come of it? A partial one that has all its bytes is still to be part of a final one. */
bool sl_uploads_is_over(const struct sl_upload_state *state);

/* When it goes if nobody touches it: wall clock. */
uint64_t sl_uploads_expires_ns(const struct sl_uploads_options *options, const struct sl_upload_state *state);

/* ---- how many ---- any thread
 *
 * An upload counts as long as its state on disk, whoever reads it, does not say that it is over: by its length, or by
 * its offset while its length is not known. It counts for its owner, too, who stands in that state: another start finds
 * the same. owner: lent for the call; NULL: nobody, as of one made while there was no such limit. */

/* Takes a place for one of `bytes` (SL_STORE_SIZE_UNKNOWN counts as none). SL_TOO_MANY_UPLOADS,
 * SL_TOO_MANY_UPLOADS_OF_PEER: there is none, and nothing was taken. */
SL_MUST_CHECK sl_err sl_uploads_admit(struct sl_uploads *uploads, uint64_t bytes, const struct sl_tally_key *owner);
/* One that was there at start, or that admit said yes to, has become so much larger: never refused. */
void sl_uploads_count(struct sl_uploads *uploads, unsigned count, uint64_t bytes);
/* It is over or gone. */
void sl_uploads_dismiss(struct sl_uploads *uploads, uint64_t bytes, const struct sl_tally_key *owner);
uint64_t sl_uploads_unfinished(const struct sl_uploads *uploads);
/* Counts what is kept below `root`. At start, before anybody asks for a place; blocking. As sl_store_walk_kept. */
SL_MUST_CHECK sl_err sl_uploads_count_root(struct sl_uploads *uploads, const char *root);
/* Counts anew, for what another process that served the root has done to them since. SL_BUSY: nothing was changed, for
 * they did not rest meanwhile and for a second before; ask again. Any thread; blocking. */
SL_MUST_CHECK sl_err sl_uploads_recount_root(struct sl_uploads *uploads, const char *root);
/* The bytes that one counts for, */
uint64_t sl_uploads_bytes_of(const struct sl_upload_state *state);
/* and whom it counts for; lent as the state is. */
const struct sl_tally_key *sl_uploads_owner_of(const struct sl_upload_state *state);

/* ---- who ---- */

/* The right to look at and change one upload: one holder at a time over all loops, in the order of asking. A holder
 * that somebody waits for is told, and lets go soon: a new request ends the one that was left hanging. */
struct sl_claim;
typedef void (*sl_claim_cb)(struct sl_claim *claim);
struct sl_claim {
    struct sl_link link, waiters;
    struct sl_mail mine, wanted;
    struct sl_uploads *uploads; /* NULL: idle */
    struct sl_mailbox *home;
    char id[SL_STORE_ID_BYTES];
    sl_claim_cb on_mine, on_wanted, on_given;
    bool is_wanted_posted, is_wanted_told, is_given;
};

/* claim: idle (zeroed), lent until on_given. home: the loop's. on_mine: once, in a later turn. on_wanted (NULL: not
 * to be told): at most once, after on_mine and before sl_claim_give; in a later turn. Loop thread. */
void sl_claim_take(struct sl_uploads *uploads, struct sl_claim *claim, const char *id, struct sl_mailbox *home,
                   sl_claim_cb on_mine, sl_claim_cb on_wanted);

/* The same where nobody holds it: at once, without on_mine, and nobody is told that it is wanted. false: somebody
 * holds it, and nothing was taken. For the reaper, which wants to disturb nobody. */
SL_MUST_CHECK bool sl_claim_try(struct sl_uploads *uploads, struct sl_claim *claim, const char *id,
                                struct sl_mailbox *home);

/* Lets go. on_given: once, in a later turn: the claim is idle and its memory the owner's. Of a holder only. */
void sl_claim_give(struct sl_claim *claim, sl_claim_cb on_given);

#endif
