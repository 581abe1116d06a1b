/* Claims work as the turns for names do (store/local/name_turn.c), and besides tell the holder that it is waited for.
 * All mail is posted under the lock, so that a holder that was just made hears that it is one before it hears that
 * it is wanted. */
#include "sluice/upload/uploads.h"

#include "sluice/base/clock.h"
#include "sluice/store/kept_walk.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256u

/* Of those that are not over. */
struct counts {
    uint64_t count, bytes;
    struct sl_tally owners; /* zeroed: they have no limit */
};

struct sl_uploads {
    struct sl_uploads_options options; /* fixed after create */
    pthread_mutex_t lock;
    /* under lock */
    struct sl_link buckets[BUCKETS]; /* of holders; who waits is in the holder's list */
    struct counts counts;
    uint64_t claims;     /* held or waited for: whoever changes what is counted has one, or is about to */
    uint64_t touched_ns; /* steady clock: when somebody began or ended to deal with one */
};

static void counts_init(struct counts *counts, const struct sl_uploads_options *options)
{
    *counts = (struct counts){0};
    if (options->each_max > 0)
        sl_tally_init(&counts->owners, 0);
}

struct sl_uploads *sl_uploads_create(const struct sl_uploads_options *options)
{
    assert(options->done_expiry_ns <= options->expiry_ns);
    struct sl_uploads *uploads = calloc(1, sizeof *uploads);
    if (uploads == NULL)
        abort();
    uploads->options = *options;
    counts_init(&uploads->counts, options);
    pthread_mutex_init(&uploads->lock, NULL);
    for (unsigned i = 0; i < BUCKETS; i++)
        sl_list_init(&uploads->buckets[i]);
    return uploads;
}

void sl_uploads_destroy(struct sl_uploads *uploads)
{
    if (uploads == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        assert(sl_list_is_empty(&uploads->buckets[i]));
    pthread_mutex_destroy(&uploads->lock);
    sl_tally_dispose(&uploads->counts.owners);
    free(uploads);
}

const struct sl_uploads_options *sl_uploads_options(const struct sl_uploads *uploads)
{
    return &uploads->options;
}

/* What lies on disk may say anything. */
static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool sl_uploads_is_over(const struct sl_upload_state *state)
{
    return state->is_done && (state->kind != SL_UPLOAD_PARTIAL || state->is_joined);
}

uint64_t sl_uploads_expires_ns(const struct sl_uploads_options *options, const struct sl_upload_state *state)
{
    return sum_of(state->touched_ns, sl_uploads_is_over(state) ? options->done_expiry_ns : options->expiry_ns);
}

/* ---- how many ---- */

static uint64_t known(uint64_t bytes)
{
    return bytes == SL_STORE_SIZE_UNKNOWN ? 0 : bytes;
}

static bool has_owners(const struct sl_uploads_options *options, const struct sl_tally_key *owner)
{
    return options->each_max > 0 && owner != NULL;
}

static void add(struct counts *counts, const struct sl_uploads_options *options, uint64_t bytes,
                const struct sl_tally_key *owner)
{
    counts->count++;
    counts->bytes = sum_of(counts->bytes, known(bytes));
    if (has_owners(options, owner))
        sl_tally_add(&counts->owners, owner);
}

/* Under the lock. */
static sl_err find_place(const struct sl_uploads *uploads, uint64_t bytes, const struct sl_tally_key *owner)
{
    const struct sl_uploads_options *options = &uploads->options;
    const struct counts *counts = &uploads->counts;
    if (has_owners(options, owner) && sl_tally_count(&counts->owners, owner) >= options->each_max)
        return SL_TOO_MANY_UPLOADS_OF_PEER;
    bool has_place = counts->count < options->count_max && sum_of(counts->bytes, known(bytes)) <= options->bytes_max;
    return has_place ? SL_OK : SL_TOO_MANY_UPLOADS;
}

sl_err sl_uploads_admit(struct sl_uploads *uploads, uint64_t bytes, const struct sl_tally_key *owner)
{
    pthread_mutex_lock(&uploads->lock);
    sl_err err = find_place(uploads, bytes, owner);
    if (err == SL_OK) {
        add(&uploads->counts, &uploads->options, bytes, owner);
        uploads->touched_ns = sl_clock_now_ns();
    }
    pthread_mutex_unlock(&uploads->lock);
    return err;
}

void sl_uploads_count(struct sl_uploads *uploads, unsigned count, uint64_t bytes)
{
    pthread_mutex_lock(&uploads->lock);
    uploads->counts.count += count;
    uploads->counts.bytes = sum_of(uploads->counts.bytes, known(bytes));
    pthread_mutex_unlock(&uploads->lock);
}

/* Whatever was put by hand among the uploads of a running server was never counted. */
void sl_uploads_dismiss(struct sl_uploads *uploads, uint64_t bytes, const struct sl_tally_key *owner)
{
    pthread_mutex_lock(&uploads->lock);
    struct counts *counts = &uploads->counts;
    uploads->touched_ns = sl_clock_now_ns();
    counts->count -= counts->count > 0;
    counts->bytes -= known(bytes) < counts->bytes ? known(bytes) : counts->bytes;
    if (has_owners(&uploads->options, owner))
        (void)sl_tally_drop(&counts->owners, owner);
    pthread_mutex_unlock(&uploads->lock);
}

uint64_t sl_uploads_unfinished(const struct sl_uploads *uploads)
{
    struct sl_uploads *locked = (struct sl_uploads *)uploads; /* only its lock changes */
    pthread_mutex_lock(&locked->lock);
    uint64_t count = locked->counts.count;
    pthread_mutex_unlock(&locked->lock);
    return count;
}

uint64_t sl_uploads_bytes_of(const struct sl_upload_state *state)
{
    return state->length == SL_STORE_SIZE_UNKNOWN ? state->offset : state->length;
}

const struct sl_tally_key *sl_uploads_owner_of(const struct sl_upload_state *state)
{
    return state->has_owner ? &state->owner : NULL;
}

struct walk {
    struct counts counts;
    const struct sl_uploads_options *options;
};

static void on_kept(const struct sl_store_kept_entry *entry, void *ctx)
{
    struct walk *walk = ctx;
    struct sl_upload_state state;
    if (sl_upload_state_decode(entry->state, &state) == SL_OK && !sl_uploads_is_over(&state))
        add(&walk->counts, walk->options, sl_uploads_bytes_of(&state), sl_uploads_owner_of(&state));
}

/* counts: taken. */
static void take_counts(struct sl_uploads *uploads, struct counts *counts)
{
    sl_tally_dispose(&uploads->counts.owners);
    uploads->counts = *counts;
}

sl_err sl_uploads_count_root(struct sl_uploads *uploads, const char *root)
{
    struct walk walk = {.options = &uploads->options};
    counts_init(&walk.counts, walk.options);
    sl_err err = sl_store_walk_kept(root, on_kept, &walk);
    take_counts(uploads, &walk.counts);
    return err;
}

/* Under the lock. */
static bool is_at_rest(const struct sl_uploads *uploads, uint64_t since_ns)
{
    return uploads->claims == 0 && uploads->touched_ns <= since_ns;
}

/* One that nobody deals with is as its state says, and is counted so. A second is plenty for who was let in by admit
 * and takes its claim next. */
sl_err sl_uploads_recount_root(struct sl_uploads *uploads, const char *root)
{
    struct walk walk = {.options = &uploads->options};
    uint64_t since_ns = sl_clock_now_ns() - SL_SEC;
    pthread_mutex_lock(&uploads->lock);
    bool is_quiet = is_at_rest(uploads, since_ns);
    pthread_mutex_unlock(&uploads->lock);
    if (!is_quiet)
        return SL_BUSY;
    counts_init(&walk.counts, walk.options);
    sl_err err = sl_store_walk_kept(root, on_kept, &walk);
    pthread_mutex_lock(&uploads->lock);
    is_quiet = is_at_rest(uploads, since_ns);
    if (err == SL_OK && is_quiet)
        take_counts(uploads, &walk.counts);
    else
        sl_tally_dispose(&walk.counts.owners);
    pthread_mutex_unlock(&uploads->lock);
    return err != SL_OK ? err : is_quiet ? SL_OK : SL_BUSY;
}

/* ---- who ---- */

static struct sl_link *bucket_of(struct sl_uploads *uploads, const char *id)
{
    uint32_t hash = 2166136261u; /* FNV-1a; who aims at one bucket makes its list longer, nothing worse */
    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * 16777619u;
    return &uploads->buckets[hash % BUCKETS];
}

/* Under the lock. */
static struct sl_claim *find_holder(const struct sl_link *bucket, const char *id)
{
    for (struct sl_link *link = bucket->next; link != bucket; link = link->next) {
        struct sl_claim *claim = SL_CONTAINER_OF(link, struct sl_claim, link);
        if (strcmp(claim->id, id) == 0)
            return claim;
    }
    return NULL;
}

/* Under the lock. */
static void tell_wanted(struct sl_claim *holder)
{
    if (holder->is_wanted_posted || holder->on_wanted == NULL)
        return;
    holder->is_wanted_posted = true;
    sl_mailbox_post(holder->home, &holder->wanted);
}

static void finish(struct sl_claim *claim)
{
    claim->uploads = NULL;
    claim->on_given(claim);
}

static void on_mine_mail(struct sl_mail *mail)
{
    struct sl_claim *claim = SL_CONTAINER_OF(mail, struct sl_claim, mine);
    claim->on_mine(claim);
}

static void on_given_mail(struct sl_mail *mail)
{
    finish(SL_CONTAINER_OF(mail, struct sl_claim, mine));
}

static void on_wanted_mail(struct sl_mail *mail)
{
    struct sl_claim *claim = SL_CONTAINER_OF(mail, struct sl_claim, wanted);
    claim->is_wanted_told = true;
    if (claim->is_given)
        finish(claim);
    else
        claim->on_wanted(claim);
}

static void fill(struct sl_claim *claim, struct sl_uploads *uploads, const char *id, struct sl_mailbox *home)
{
    assert(claim->uploads == NULL && strlen(id) < sizeof claim->id);
    *claim = (struct sl_claim){.uploads = uploads, .home = home};
    memcpy(claim->id, id, strlen(id) + 1);
    claim->mine.on_arrival = on_mine_mail;
    claim->wanted.on_arrival = on_wanted_mail;
    sl_list_init(&claim->waiters);
}

/* Under the lock, as one comes or goes. */
static void count_claim(struct sl_uploads *uploads, bool is_coming)
{
    assert(is_coming || uploads->claims > 0);
    uploads->claims = is_coming ? uploads->claims + 1 : uploads->claims - 1;
    uploads->touched_ns = sl_clock_now_ns();
}

void sl_claim_take(struct sl_uploads *uploads, struct sl_claim *claim, const char *id, struct sl_mailbox *home,
                   sl_claim_cb on_mine, sl_claim_cb on_wanted)
{
    fill(claim, uploads, id, home);
    claim->on_mine = on_mine;
    claim->on_wanted = on_wanted;
    struct sl_link *bucket = bucket_of(uploads, id);
    pthread_mutex_lock(&uploads->lock);
    count_claim(uploads, true);
    struct sl_claim *holder = find_holder(bucket, id);
    if (holder != NULL) {
        sl_list_append(&holder->waiters, &claim->link);
        tell_wanted(holder);
    } else {
        sl_list_append(bucket, &claim->link);
        sl_mailbox_post(home, &claim->mine);
    }
    pthread_mutex_unlock(&uploads->lock);
}

bool sl_claim_try(struct sl_uploads *uploads, struct sl_claim *claim, const char *id, struct sl_mailbox *home)
{
    fill(claim, uploads, id, home);
    struct sl_link *bucket = bucket_of(uploads, id);
    pthread_mutex_lock(&uploads->lock);
    bool is_free = find_holder(bucket, id) == NULL;
    if (is_free) {
        count_claim(uploads, true);
        sl_list_append(bucket, &claim->link);
    }
    pthread_mutex_unlock(&uploads->lock);
    if (!is_free)
        claim->uploads = NULL;
    return is_free;
}

/* Under the lock. The first in line becomes the holder; the others wait for it now. */
static void pass_on(struct sl_link *bucket, struct sl_claim *claim)
{
    struct sl_link *first = sl_list_shift(&claim->waiters);
    if (first == NULL)
        return;
    struct sl_claim *next = SL_CONTAINER_OF(first, struct sl_claim, link);
    sl_list_move_all(&next->waiters, &claim->waiters);
    sl_list_append(bucket, &next->link);
    sl_mailbox_post(next->home, &next->mine);
    if (!sl_list_is_empty(&next->waiters))
        tell_wanted(next);
}

void sl_claim_give(struct sl_claim *claim, sl_claim_cb on_given)
{
    struct sl_uploads *uploads = claim->uploads;
    struct sl_link *bucket = bucket_of(uploads, claim->id);
    claim->on_given = on_given;
    claim->is_given = true;
    pthread_mutex_lock(&uploads->lock);
    assert(find_holder(bucket, claim->id) == claim);
    sl_link_unlink(&claim->link);
    pass_on(bucket, claim);
    count_claim(uploads, false);
    bool has_mail = claim->is_wanted_posted && !claim->is_wanted_told;
    pthread_mutex_unlock(&uploads->lock);
    if (has_mail) /* its arrival ends the claim */
        return;
    claim->mine.on_arrival = on_given_mail;
    sl_mailbox_post(claim->home, &claim->mine);
}
