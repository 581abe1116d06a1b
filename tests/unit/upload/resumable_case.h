/* Resumable uploads over an intake of one loop: requests one after the other or beside each other, fed by hand. */
#ifndef SLUICE_TESTS_RESUMABLE_CASE_H
#define SLUICE_TESTS_RESUMABLE_CASE_H

#include "fake_disk.h"
#include "sluice/base/clock.h"
#include "sluice/store/kept_walk.h"
#include "sluice/upload/resumable.h"
#include "upload_case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define KIB            ((size_t)1024)
#define MIB            ((size_t)1 << 20)
#define UNKNOWN        SL_STORE_SIZE_UNKNOWN
#define BYTES_MAX      (UINT64_C(1) << 50)
#define EXPIRY_NS      (3600 * SL_SEC)
#define DONE_EXPIRY_NS (60 * SL_SEC)

static enum test_engine engine = TEST_FAKE;
static struct upload_case u;

/* One request. */
struct exchange {
    struct sl_resumable resumable;
    struct sl_pipeline pipeline;
    bool has_pipeline, is_ready, is_pipeline_closed;
    unsigned changes, wanted;
    uint64_t sent; /* bytes of the test body that went into it last */
    uint64_t told; /* the offset as it was told last while RECEIVING */
};

static inline void open_uploads(uint64_t count_max, uint64_t bytes_max)
{
    struct sl_uploads_options options = {
        .expiry_ns = EXPIRY_NS, .done_expiry_ns = DONE_EXPIRY_NS, .count_max = count_max, .bytes_max = bytes_max};
    u.intake.uploads = sl_uploads_create(&options);
}

static inline int setup(void **state)
{
    upload_case_open(&u, engine);
    if (!sl_store_root_has_meta(u.root))
        skip();
    open_uploads(100, BYTES_MAX);
    return 0;
}

static inline int setup_fake(void **state)
{
    engine = TEST_FAKE;
    return setup(state);
}

/* Removes what is kept: cases tell by themselves what is to be there. */
static inline int teardown(void **state)
{
    DIR *dir = opendir(scratch_path(&u.scratch, "uploads"));
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (sl_store_is_id(sl_bytes_of(entry->d_name)))
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
    closedir(dir);
    assert_int_equal(u.intake.resumables, 0);
    sl_uploads_destroy(u.intake.uploads);
    upload_case_close(&u);
    return 0;
}

static inline unsigned kept(void)
{
    return scratch_count(&u.scratch, "uploads");
}

static inline unsigned unfinished(void)
{
    return (unsigned)sl_uploads_unfinished(u.intake.uploads);
}

/* That so many bytes are counted of those that are unfinished. */
static inline void expect_counted(uint64_t bytes)
{
    assert_int_equal(sl_uploads_admit(u.intake.uploads, BYTES_MAX - bytes, NULL), SL_OK);
    sl_uploads_dismiss(u.intake.uploads, BYTES_MAX - bytes, NULL);
    assert_int_equal(sl_uploads_admit(u.intake.uploads, BYTES_MAX - bytes + 1, NULL), SL_TOO_MANY_UPLOADS);
}

static inline void count_entry(const struct sl_store_kept_entry *entry, void *ctx)
{
    struct sl_upload_state state;
    if (sl_upload_state_decode(entry->state, &state) == SL_OK && !sl_uploads_is_over(&state))
        ++*(unsigned *)ctx;
}

/* As many as another start would count. */
static inline unsigned unfinished_on_disk(void)
{
    unsigned count = 0;
    assert_int_equal(sl_store_walk_kept(u.scratch.path, count_entry, &count), SL_OK);
    return count;
}

/* Changes the state that is kept. */
static inline void restate(const char *id, void (*change)(struct sl_upload_state *state))
{
    char name[192], value[4096], encoded[SL_STORE_STATE_BYTES_MAX];
    snprintf(name, sizeof name, "uploads/%s", id);
    int fd = open(scratch_path(&u.scratch, name), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = fgetxattr(fd, "user.sluice.upload", value, sizeof value);
    assert_true(n > SL_STORE_ID_BYTES - 1);
    struct sl_upload_state state;
    size_t head = SL_STORE_ID_BYTES - 1, len; /* the store puts the id before it */
    assert_int_equal(sl_upload_state_decode((struct sl_bytes){value + head, (size_t)n - head}, &state), SL_OK);
    change(&state);
    assert_int_equal(sl_upload_state_encode(&state, encoded, &len), SL_OK);
    memcpy(value + head, encoded, len);
    assert_int_equal(fsetxattr(fd, "user.sluice.upload", value, head + len, 0), 0);
    close(fd);
}

static inline void forget_hash(struct sl_upload_state *state)
{
    state->hash.len = 0;
}

/* ---- one request ---- */

static inline void on_change(struct sl_resumable *resumable, void *ctx)
{
    struct exchange *x = ctx;
    assert_ptr_equal(resumable, &x->resumable);
    x->changes++;
    if (resumable->is_wanted)
        x->wanted++;
    if (resumable->phase == SL_RESUMABLE_RECEIVING) {
        assert_true(resumable->state.offset >= x->told);
        x->told = resumable->state.offset;
    }
}

static inline struct sl_upload_state new_state(const char *path, uint64_t length)
{
    struct sl_upload_state state = {.dialect = SL_UPLOAD_TUS,
                                    .kind = SL_UPLOAD_WHOLE,
                                    .length = length,
                                    .conflict = SL_CONFLICT_ERROR,
                                    .path.len = strlen(path)};
    memcpy(state.path.text, path, strlen(path) + 1);
    return state;
}

static inline sl_err make(struct exchange *x, struct sl_resumable_plan plan)
{
    *x = (struct exchange){0};
    sl_upload_id(x->resumable.session.id);
    sl_err err = sl_resumable_make(&x->resumable, &u.intake, &plan, on_change, x);
    assert_int_equal(x->changes, 0);
    return err;
}

#define REACH(x, p) UPLOAD_UNTIL(&u, (x)->resumable.phase == SL_RESUMABLE_##p)

static inline void open_id_to(struct exchange *x, const char *id, enum sl_resumable_purpose purpose)
{
    char copy[192];
    snprintf(copy, sizeof copy, "%s", id); /* it may be x's own of before */
    *x = (struct exchange){0};
    sl_resumable_open(&x->resumable, &u.intake, copy, purpose, on_change, x);
    assert_int_equal(x->changes, 0);
}

static inline void open_id(struct exchange *x, const char *id)
{
    open_id_to(x, id, SL_RESUMABLE_TO_GO_ON);
}

static inline void on_room(struct sl_pipeline *pipeline, void *ctx)
{
    ((struct exchange *)ctx)->is_ready = true;
}

static inline void admit(struct exchange *x)
{
    sl_pipeline_admit(&x->pipeline, &u.intake, UNKNOWN, on_room, x);
    x->has_pipeline = true;
    UPLOAD_UNTIL(&u, x->is_ready);
}

/* From OPEN or RECEIVING (of a new one): ready for a body. */
static inline void begin_body(struct exchange *x)
{
    admit(x);
    if (x->resumable.phase == SL_RESUMABLE_RECEIVING) {
        sl_resumable_attach(&x->resumable, &x->pipeline);
    } else {
        sl_resumable_receive(&x->resumable, &x->pipeline);
        assert_int_equal(x->resumable.phase, SL_RESUMABLE_PREPARING);
        REACH(x, RECEIVING);
    }
    x->sent = x->told = x->resumable.state.offset;
}

/* Sends test bytes up to `end`, at most fill_max at a time; false: it failed on the way. */
static inline bool send_to(struct exchange *x, uint64_t end, size_t fill_max)
{
    while (x->sent < end) {
        if (x->resumable.phase == SL_RESUMABLE_FAILED)
            return false;
        struct sl_room room = sl_pipeline_room(&x->pipeline);
        if (room.len == 0) {
            x->is_ready = false;
            UPLOAD_UNTIL(&u, x->is_ready || x->resumable.phase == SL_RESUMABLE_FAILED);
            continue;
        }
        size_t n = room.len < fill_max ? room.len : fill_max;
        if (n > end - x->sent)
            n = (size_t)(end - x->sent);
        upload_fill(room.base, x->sent, n);
        sl_pipeline_filled(&x->pipeline, n);
        sl_pipeline_accept(&x->pipeline, n);
        x->sent += n;
        (void)upload_turn(&u, 0);
    }
    return true;
}

static inline bool is_at_end(const struct exchange *x)
{
    enum sl_resumable_phase phase = x->resumable.phase;
    return phase == SL_RESUMABLE_KEPT || phase == SL_RESUMABLE_DONE || phase == SL_RESUMABLE_FAILED ||
           phase == SL_RESUMABLE_GONE;
}

static inline void end_body(struct exchange *x, bool is_last)
{
    sl_resumable_end(&x->resumable, is_last);
    assert_int_equal(x->resumable.phase, SL_RESUMABLE_ENDING);
    UPLOAD_UNTIL(&u, is_at_end(x));
}

static inline void on_pipeline_closed(struct sl_pipeline *pipeline, void *ctx)
{
    ((struct exchange *)ctx)->is_pipeline_closed = true;
}

static inline void close_pipeline(struct exchange *x)
{
    if (!x->has_pipeline)
        return;
    x->has_pipeline = false;
    sl_pipeline_close(&x->pipeline, on_pipeline_closed, x);
    UPLOAD_UNTIL(&u, x->is_pipeline_closed);
}

/* The request is over, at whatever point. */
static inline void leave(struct exchange *x)
{
    unsigned before = x->changes;
    sl_resumable_close(&x->resumable);
    assert_int_equal(x->changes, before);
    REACH(x, CLOSED);
    assert_int_equal(x->changes, before + 1);
    close_pipeline(x);
}

/* The only one there is. */
static inline void give_back(struct exchange *x)
{
    leave(x);
    assert_int_equal(u.intake.files, 0);
    assert_int_equal(u.intake.resumables, 0);
}

/* ---- whole exchanges ---- */

/* A new one without a body; its id. */
static inline const char *create(const struct sl_upload_state *state)
{
    static char id[SL_UPLOAD_ID_BYTES];
    struct exchange x;
    assert_int_equal(make(&x, (struct sl_resumable_plan){.state = state, .is_bodyless = true}), SL_OK);
    UPLOAD_UNTIL(&u, is_at_end(&x));
    assert_int_equal(x.resumable.phase,
                     state->length == 0 && state->kind != SL_UPLOAD_FINAL ? SL_RESUMABLE_DONE : SL_RESUMABLE_KEPT);
    memcpy(id, x.resumable.session.id, sizeof id);
    give_back(&x);
    return id;
}

/* Bytes [offset, end) of the test body are appended; what came of it. */
static inline enum sl_resumable_phase append(struct exchange *x, const char *id, uint64_t end, size_t fill_max,
                                             bool is_last)
{
    open_id(x, id);
    UPLOAD_UNTIL(&u, x->resumable.phase == SL_RESUMABLE_OPEN || x->resumable.phase == SL_RESUMABLE_FAILED);
    assert_int_equal(x->resumable.phase, SL_RESUMABLE_OPEN);
    begin_body(x);
    if (send_to(x, end, fill_max))
        end_body(x, is_last);
    return x->resumable.phase;
}

static inline uint64_t offset_of(const char *id)
{
    struct exchange x;
    open_id(&x, id);
    REACH(&x, OPEN);
    uint64_t offset = x.resumable.state.offset;
    give_back(&x);
    return offset;
}

static inline void drop(const char *id)
{
    struct exchange x;
    open_id_to(&x, id, SL_RESUMABLE_TO_DROP);
    REACH(&x, OPEN);
    sl_resumable_drop(&x.resumable);
    REACH(&x, GONE);
    give_back(&x);
}

/* Nothing of this id. */
static inline void expect_absent(const char *id)
{
    struct exchange x;
    open_id(&x, id);
    REACH(&x, FAILED);
    assert_int_equal(x.resumable.err, SL_NOT_FOUND);
    give_back(&x);
}

/* DONE, and the file is bytes [0, len) of the test body, under its path and under its id. */
static inline void expect_done(struct exchange *x, const char *path, size_t len)
{
    assert_int_equal(x->resumable.phase, SL_RESUMABLE_DONE);
    assert_string_equal(x->resumable.session.path.text, path);
    assert_int_equal(x->resumable.session.size, len);
    assert_true(x->resumable.state.is_done);
    assert_int_equal(x->resumable.state.offset, len);
    assert_int_equal(x->resumable.state.length, len);
    upload_expect(&u, path, 0, len, &x->resumable.session.digests);
}

#endif
