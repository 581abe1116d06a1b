#include "session_digest.h"

#include <assert.h>

sl_hash_set sl_session_digests(const struct sl_session *session)
{
    const struct sl_digests *promised = session->plan.promised;
    if (session->plan.part != NULL)
        return session->plan.part->set;
    return session->intake->digests | (promised != NULL ? promised->set : 0);
}

static sl_err open_lane(struct sl_session *session)
{
    struct sl_intake *intake = session->intake;
    struct sl_session_part *part = session->plan.part;
    sl_err err = part != NULL ? sl_hash_lane_resume(&session->lane, intake->hash_pool, &part->hash, intake->mailbox)
                              : sl_hash_lane_open(&session->lane, intake->hash_pool, sl_session_digests(session),
                                                  intake->mailbox);
    session->has_lane = err == SL_OK;
    return err;
}

static sl_err open_check_lane(struct sl_session *session)
{
    struct sl_session_part *part = session->plan.part;
    sl_err err =
        sl_hash_lane_open(&part->check_lane, session->intake->hash_pool, part->check_set, session->intake->mailbox);
    part->has_check_lane = err == SL_OK;
    return err;
}

/* A body that is over with its first piece is digested here and now: the hop to the pool would cost more. */
static void digest_now(struct sl_session *session, const char *data, size_t len)
{
    struct sl_session_part *part = session->plan.part;
    sl_hash_set set = sl_session_digests(session);
    if (set != 0)
        session->hashed += len;
    if (set != 0 && part != NULL)
        sl_hash_state_update(&part->hash, data, len);
    else if (set != 0)
        sl_hash_now(set, data, len, &session->digests);
    if (part != NULL && part->check_set != 0)
        sl_hash_now(part->check_set, data, len, &part->check_found);
}

sl_err sl_session_digest_piece(struct sl_session *session, struct sl_piece *piece, bool is_last, sl_hash_cb on_part)
{
    struct sl_session_part *part = session->plan.part;
    const char *data = piece->slab->base + piece->known;
    size_t len = piece->len - piece->known;
    bool wants_check = part != NULL && part->check_set != 0, wants_lane = sl_session_digests(session) != 0;
    bool has_lane = session->has_lane || (part != NULL && part->has_check_lane);
    if (len == 0)
        return SL_OK;
    if (!has_lane && is_last && len <= sl_slab_class_bytes(SL_SLAB_SMALL)) {
        digest_now(session, data, len);
        return SL_OK;
    }
    sl_err err = wants_lane && !session->has_lane ? open_lane(session) : SL_OK;
    if (err == SL_OK && wants_check && !part->has_check_lane)
        err = open_check_lane(session);
    if (err != SL_OK)
        return err;
    if (wants_lane) {
        piece->parts_inflight++;
        sl_hash_lane_feed(&session->lane, &piece->job, data, len, on_part, piece);
    }
    if (wants_check) {
        piece->parts_inflight++;
        sl_hash_lane_feed(&part->check_lane, &piece->check_job, data, len, on_part, piece);
    }
    return SL_OK;
}

void sl_session_digest_mark(struct sl_session *session, sl_hash_cb on_saved)
{
    struct sl_session_part *part = session->plan.part;
    part->marked_hash = part->hash;
    if (!session->has_lane)
        return;
    session->lane_jobs++;
    part->is_mark_hashing = true;
    sl_hash_lane_save(&session->lane, &part->mark_job, &part->marked_hash, on_saved, session);
}

static void end_whole(struct sl_session *session, sl_hash_cb on_over)
{
    struct sl_session_part *part = session->plan.part;
    bool is_more = part != NULL && part->is_more;
    if (session->has_lane && part != NULL && part->saves_hash && !is_more) {
        session->lane_jobs++;
        sl_hash_lane_save(&session->lane, &part->save_job, &part->hash, on_over, session);
    }
    if (session->has_lane) {
        session->lane_jobs++;
        if (is_more)
            sl_hash_lane_save(&session->lane, &session->lane_end, &part->hash, on_over, session);
        else
            sl_hash_lane_finish(&session->lane, &session->lane_end, on_over, session);
    } else if (part != NULL && part->set != 0 && !is_more) {
        sl_hash_state_end(&part->hash, &session->digests);
    }
}

void sl_session_digest_end(struct sl_session *session, sl_hash_cb on_over)
{
    struct sl_session_part *part = session->plan.part;
    end_whole(session, on_over);
    if (part != NULL && part->has_check_lane) {
        session->lane_jobs++;
        sl_hash_lane_finish(&part->check_lane, &part->check_end, on_over, session);
    } else if (part != NULL && part->check_set != 0 && part->check_found.set == 0) {
        sl_hash_now(part->check_set, "", 0, &part->check_found);
    } else if (part == NULL && session->size == 0 && sl_session_digests(session) != 0) {
        sl_hash_now(sl_session_digests(session), "", 0, &session->digests);
    }
}

static sl_err compare(struct sl_session *session, const struct sl_digests *promised, const struct sl_digests *found)
{
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++) {
        if (!(promised->set & (1u << alg)))
            continue;
        assert(found->set & (1u << alg));
        if (memcmp(promised->value[alg], found->value[alg], sl_hash_bytes(alg)) != 0) {
            session->mismatch = alg;
            return SL_DIGEST_MISMATCH;
        }
    }
    return SL_OK;
}

sl_err sl_session_digest_judge(struct sl_session *session)
{
    struct sl_session_part *part = session->plan.part;
    if (session->has_lane && !(part != NULL && part->is_more))
        session->digests = session->lane.digests;
    if (part != NULL && part->has_check_lane)
        part->check_found = part->check_lane.digests;
    if (part != NULL && compare(session, &part->check, &part->check_found) != SL_OK) {
        part->is_check_wrong = true;
        session->digests = part->check_found;
        return SL_DIGEST_MISMATCH;
    }
    bool is_whole = session->plan.promised != NULL && !(part != NULL && part->is_more);
    return is_whole ? compare(session, session->plan.promised, &session->digests) : SL_OK;
}

void sl_session_digest_close(struct sl_session *session)
{
    if (session->has_lane)
        sl_hash_lane_close(&session->lane);
    session->has_lane = false;
    if (session->plan.part != NULL)
        sl_hash_lane_close(&session->plan.part->check_lane);
}
