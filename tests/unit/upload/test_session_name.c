/* Who gets a name and who does not: conditions and rules, early and at the end; and what is then known of the file. */
#include "keep_meta.h"
#include "session_case.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what has a name ---- */

static void on_read(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    *(sl_err *)ctx = err;
}

/* Opens and closes it again; what it told stays in `reader`. */
static sl_err look_at(const char *name, struct sl_store_reader *reader)
{
    struct sl_session named;
    sl_err err = SL_AGAIN, close_err = SL_AGAIN;
    upload_name(&named, name);
    sl_store_open(u.intake.store, reader, &named.path, on_read, &err);
    UPLOAD_UNTIL(&u, err != SL_AGAIN);
    if (err != SL_OK)
        return err;
    struct sl_meta meta = keep_meta(reader);
    sl_store_close(reader, on_read, &close_err);
    UPLOAD_UNTIL(&u, close_err != SL_AGAIN);
    reader->meta = meta;
    return SL_OK;
}

enum holder { NOBODY, A_FILE, A_FOLDER, A_FIFO, A_LINK, FILE_ABOVE };

static void put_holder(enum holder holder)
{
    switch (holder) {
    case NOBODY: return;
    case A_FILE: scratch_put(&u.scratch, "files/f", "old"); return;
    case A_FOLDER: assert_int_equal(mkdir(scratch_path(&u.scratch, "files/f"), 0700), 0); return;
    case A_FIFO: assert_int_equal(mkfifo(scratch_path(&u.scratch, "files/f"), 0600), 0); return;
    case A_LINK: assert_int_equal(symlink("nowhere", scratch_path(&u.scratch, "files/f")), 0); return;
    case FILE_ABOVE:
        scratch_put(&u.scratch, "files/f", "old");
        upload_name(&session, "f/g");
        return;
    }
}

static char holder_etag[SL_ETAG_BYTES];

/* A condition's text; "=" stands for the entity tag of the file there. */
static struct sl_bytes condition(const char *text)
{
    if (text == NULL)
        return (struct sl_bytes){0};
    return sl_bytes_of(strcmp(text, "=") == 0 ? holder_etag : text);
}

static void learn_etag(void)
{
    struct sl_store_reader *reader = malloc(sizeof *reader);
    assert_non_null(reader);
    holder_etag[0] = '\0';
    if (look_at("f", reader) == SL_OK)
        memcpy(holder_etag, reader->etag, sizeof holder_etag);
    free(reader);
}

/* ---- the rules ---- */

struct rule {
    enum sl_conflict conflict;
    const char *if_match, *if_none_match, *if_unmodified_since;
    enum holder holder;
    sl_err err;
    bool is_renamed;
};

#define ERROR     SL_CONFLICT_ERROR
#define RENAME    SL_CONFLICT_RENAME
#define OVERWRITE SL_CONFLICT_OVERWRITE
#define LONG_AGO  "Thu, 01 Jan 1970 00:00:09 GMT"
#define SOME_DAY  "Fri, 01 Jan 2100 00:00:00 GMT"

static const struct rule rules[] = {
    {ERROR, NULL, NULL, NULL, NOBODY, SL_OK, false},
    {ERROR, NULL, NULL, NULL, A_FILE, SL_EXISTS, false},
    {RENAME, NULL, NULL, NULL, A_FILE, SL_OK, true},
    {OVERWRITE, NULL, NULL, NULL, A_FILE, SL_OK, false},
    {ERROR, NULL, "*", NULL, NOBODY, SL_OK, false},
    {ERROR, NULL, "*", NULL, A_FILE, SL_PRECONDITION, false},
    {RENAME, NULL, "*", NULL, A_FILE, SL_PRECONDITION, false},
    {OVERWRITE, NULL, "*", NULL, A_FILE, SL_PRECONDITION, false},
    {OVERWRITE, NULL, "*", NULL, NOBODY, SL_OK, false},
    {RENAME, NULL, "*", NULL, NOBODY, SL_OK, false},
    {ERROR, "*", NULL, NULL, NOBODY, SL_PRECONDITION, false},
    {OVERWRITE, "*", NULL, NULL, NOBODY, SL_PRECONDITION, false},
    {OVERWRITE, "*", NULL, NULL, A_FILE, SL_OK, false},
    {OVERWRITE, "=", NULL, NULL, A_FILE, SL_OK, false},
    {OVERWRITE, "\"other\"", NULL, NULL, A_FILE, SL_PRECONDITION, false},
    {OVERWRITE, "\"other\"", NULL, NULL, NOBODY, SL_PRECONDITION, false},
    {OVERWRITE, NULL, "=", NULL, A_FILE, SL_PRECONDITION, false},
    {OVERWRITE, NULL, "\"other\"", NULL, A_FILE, SL_OK, false},
    {OVERWRITE, NULL, NULL, LONG_AGO, A_FILE, SL_PRECONDITION, false},
    {OVERWRITE, NULL, NULL, SOME_DAY, A_FILE, SL_OK, false},
    /* Conditions that are met open no way around the rule; those that are not come first. */
    {ERROR, "=", NULL, NULL, A_FILE, SL_EXISTS, false},
    {ERROR, "\"other\"", NULL, NULL, A_FILE, SL_PRECONDITION, false},
    {ERROR, NULL, "\"other\"", NULL, A_FILE, SL_EXISTS, false},
    {RENAME, "=", NULL, NULL, A_FILE, SL_OK, true},
    {RENAME, NULL, "\"other\"", NULL, A_FILE, SL_OK, true},
    {RENAME, "\"other\"", NULL, NULL, A_FILE, SL_PRECONDITION, false},
    /* Where no file is, nothing is that conditions could speak of. */
    {ERROR, NULL, NULL, NULL, A_FOLDER, SL_IS_A_DIRECTORY, false},
    {OVERWRITE, NULL, "*", NULL, A_FOLDER, SL_IS_A_DIRECTORY, false},
    {OVERWRITE, "*", NULL, NULL, A_FOLDER, SL_PRECONDITION, false},
    {RENAME, NULL, "*", NULL, A_FOLDER, SL_OK, true},
    {ERROR, NULL, NULL, NULL, A_FIFO, SL_EXISTS, false},
    {OVERWRITE, NULL, "*", NULL, A_FIFO, SL_EXISTS, false},
    {RENAME, NULL, "*", NULL, A_FIFO, SL_OK, true},
    {ERROR, NULL, NULL, NULL, A_LINK, SL_EXISTS, false},
    {OVERWRITE, NULL, "*", NULL, A_LINK, SL_EXISTS, false},
    {RENAME, NULL, "*", NULL, A_LINK, SL_OK, true},
    {ERROR, NULL, NULL, NULL, FILE_ABOVE, SL_NOT_A_DIRECTORY, false},
    {RENAME, NULL, "*", NULL, FILE_ABOVE, SL_NOT_A_DIRECTORY, false},
    {RENAME, "*", NULL, NULL, FILE_ABOVE, SL_PRECONDITION, false},
};
#define RULES (sizeof rules / sizeof rules[0])

static struct sl_conditions conditions_of(const struct rule *rule)
{
    return (struct sl_conditions){.if_match = condition(rule->if_match),
                                  .if_none_match = condition(rule->if_none_match),
                                  .if_unmodified_since = condition(rule->if_unmodified_since)};
}

static void expect_stored(const struct rule *rule)
{
    const char *name = rule->is_renamed ? "f-1" : "f";
    until(SL_SESSION_DONE);
    assert_string_equal(session.path.text, name);
    assert_int_equal(session.has_replaced, rule->holder == A_FILE && rule->conflict == OVERWRITE);
    upload_expect(&u, name, 0, 5000, &session.digests);
    if (rule->is_renamed && rule->holder == A_FILE)
        scratch_expect(&u.scratch, "files/f", "old", 3);
}

static void expect_refused(const struct rule *rule)
{
    bool is_told = rule->holder == A_FILE;
    leave_failed(rule->err);
    if (rule->err == SL_EXISTS || rule->err == SL_PRECONDITION)
        assert_string_equal(session.etag, is_told ? holder_etag : "");
    if (is_told)
        scratch_expect(&u.scratch, "files/f", "old", 3);
}

static void send_and_commit(void)
{
    feed_and_finish(5000);
    until(SL_SESSION_STAGED);
    upload_commit(&session);
}

/* Whether a link is in the way, only the naming can tell: a rename goes around it. */
static bool is_refused_early(const struct rule *rule)
{
    bool is_looked_at = rule->conflict == SL_CONFLICT_ERROR || rule->if_match != NULL ||
                        rule->if_none_match != NULL || rule->if_unmodified_since != NULL;
    bool is_judged = rule->holder != A_LINK;
    return rule->err == SL_PRECONDITION || (rule->err != SL_OK && is_looked_at && is_judged);
}

static void name_is_judged_before_the_body(void **state)
{
    for (size_t i = 0; i < RULES; i++) {
        setup(NULL);
        put_holder(rules[i].holder);
        learn_etag();
        struct sl_conditions conditions = conditions_of(&rules[i]);
        struct sl_session_plan plan = {.conflict = rules[i].conflict, .conditions = &conditions};
        enum sl_session_state reached = begin_plan(plan);
        bool is_early = is_refused_early(&rules[i]);
        if (reached != (is_early ? SL_SESSION_FAILED : SL_SESSION_RECEIVING))
            fail_msg("rule %zu: state %d, %s", i, reached, sl_err_row(session.err)->name);
        if (is_early)
            assert_int_equal(changes, 1);
        else
            send_and_commit();
        if (rules[i].err == SL_OK)
            expect_stored(&rules[i]);
        else
            expect_refused(&rules[i]);
        teardown(NULL);
    }
}

/* What was seen early has changed since: the name is decided when it is given. */
static void judge_late(const struct rule *rule)
{
    bool was_a_file = rule->if_match != NULL; /* so that the early look passes */
    struct rule early = *rule;
    if (was_a_file) {
        scratch_put(&u.scratch, "files/f", "older");
        early.if_match = "*";
    }
    struct sl_conditions conditions = conditions_of(&early);
    struct sl_session_plan plan = {.conflict = rule->conflict, .conditions = &conditions};
    assert_int_equal(begin_plan(plan), SL_SESSION_RECEIVING);
    if (was_a_file)
        assert_int_equal(unlink(scratch_path(&u.scratch, "files/f")), 0);
    put_holder(rule->holder);
    learn_etag();
    conditions = conditions_of(rule);
    send_and_commit();
    if (rule->err == SL_OK)
        expect_stored(rule);
    else
        expect_refused(rule);
}

/* What was seen early has changed since: the name is decided when it is given. */
static void name_is_judged_again_as_it_is_given(void **state)
{
    for (size_t i = 0; i < RULES; i++) {
        struct rule rule = rules[i];
        if (rule.holder == FILE_ABOVE || (rule.if_match != NULL && rule.conflict == ERROR))
            continue; /* the first makes other names of the path, the second is refused early */
        if (rule.err == SL_IS_A_DIRECTORY && rule.conflict == ERROR)
            rule.err = SL_EXISTS; /* all that a link says */
        setup(NULL);
        judge_late(&rule);
        teardown(NULL);
    }
}

/* The early look is a kindness: if it fails, the upload goes on, and the end decides. */
static void look_that_fails_hinders_nothing(void **state)
{
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_GETXATTR};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        setup(NULL);
        scratch_put(&u.scratch, "files/f", "old");
        learn_etag();
        fake_disk_fail(u.disk, kinds[i], 1, EIO);
        assert_int_equal(begin_plan((struct sl_session_plan){.conflict = ERROR}), SL_SESSION_RECEIVING);
        feed_and_finish(10);
        until(SL_SESSION_STAGED);
        upload_commit(&session);
        leave_failed(SL_EXISTS);
        assert_string_equal(session.etag, holder_etag);
        teardown(NULL);
    }
}

/* The reader of the early look is given back wherever it is when nobody wants to know any more. */
static void leave_while_looking_gives_the_reader_back(void **state)
{
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_GETXATTR, SL_DISK_CLOSE};
    for (int has_file = 0; has_file < 2; has_file++) {
        for (size_t i = 0; i < (has_file ? 4 : 1); i++) {
            for (int is_failing = 0; is_failing < 2; is_failing++) {
                setup(NULL);
                if (has_file)
                    scratch_put(&u.scratch, "files/f", "old");
                fake_disk_hold(u.disk, kinds[i]);
                assert_int_equal(start(SL_STORE_SIZE_UNKNOWN, ERROR), SL_OK);
                UPLOAD_UNTIL(&u, fake_disk_held(u.disk) == 1);
                assert_int_equal(session.state, SL_SESSION_CHECKING);
                sl_session_leave(&session);
                if (is_failing)
                    fake_disk_fail(u.disk, kinds[i], 1, EIO);
                upload_settle(&u);
                assert_int_equal(changes, 0);
                fake_disk_release(u.disk);
                until(SL_SESSION_GONE);
                assert_int_equal(changes, 1);
                assert_null(session.look);
                teardown(NULL);
            }
        }
    }
}

/* ---- each operation fails once ---- */

/* An upload with all there is: a file that is looked at, conditions, a promise, metadata. SL_OK, or why it failed. */
static sl_err upload_all(sl_hash_set told)
{
    static struct sl_digests promised;
    static struct sl_conditions conditions;
    char bytes[5000];
    upload_fill(bytes, 0, sizeof bytes);
    sl_hash_now(told, bytes, sizeof bytes, &promised);
    conditions = (struct sl_conditions){.if_match = SL_BYTES("*")};
    struct sl_meta about = {.name = SL_BYTES("n"), .type = SL_BYTES("text/plain")};
    struct sl_session_plan plan = {.conflict = OVERWRITE, .conditions = &conditions, .promised = &promised};
    if (begin_plan(plan) == SL_SESSION_RECEIVING) {
        feed_and_finish(sizeof bytes);
        UPLOAD_UNTIL(&u, session.state == SL_SESSION_STAGED || session.state == SL_SESSION_FAILED);
    }
    if (session.state == SL_SESSION_STAGED) {
        sl_session_commit(&session, &about);
        UPLOAD_UNTIL(&u, session.state == SL_SESSION_DONE || session.state == SL_SESSION_FAILED);
    }
    return session.state == SL_SESSION_DONE ? SL_OK : session.err;
}

static void every_operation_that_fails_gives_everything_back(void **state)
{
    bool has_struck = true;
    for (unsigned nth = 1; has_struck; nth++) {
        setup(NULL);
        scratch_put(&u.scratch, "files/f", "old");
        unsigned before = 0, started = 0;
        for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++)
            before += fake_disk_started(u.disk, kind);
        fake_disk_fail(u.disk, FAKE_DISK_ANY, nth, EIO);
        u.intake.digests = SHA256_ONLY;
        sl_err err = upload_all(SHA256_ONLY);
        for (enum sl_disk_kind kind = 0; kind < SL_DISK_KINDS; kind++)
            started += fake_disk_started(u.disk, kind);
        has_struck = started - before >= nth;
        assert_true(has_struck || err == SL_OK);
        if (err != SL_OK) {
            assert_int_equal(err, SL_IO);
            leave_failed(SL_IO);
        }
        fake_disk_disarm(u.disk);
        upload_settle(&u);
        if (err == SL_OK)
            upload_expect(&u, "f", 0, 5000, &session.digests);
        else
            scratch_expect(&u.scratch, "files/f", "old", 3);
        teardown(NULL);
        assert_true(nth < 100);
    }
}

/* ---- what is known of it ---- */

static struct sl_store_reader known;

static void store_with(const struct sl_meta *about)
{
    stage(5000);
    uint64_t begun_ns = session.created_ns;
    sl_session_commit(&session, about);
    until(SL_SESSION_DONE);
    assert_int_equal(look_at("f", &known), SL_OK);
    assert_string_equal(known.etag, session.etag);
    assert_true(session.created_ns > begun_ns);
}

static void skip_without_attributes(void)
{
    if (sl_store_root_has_meta(u.root))
        return;
    teardown(NULL);
    skip();
}

static void expect_text(struct sl_bytes text, const char *expected)
{
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.base, expected, text.len);
}

static void what_is_known_is_stored_with_the_file(void **state)
{
    const struct sl_meta_field fields[] = {{SL_BYTES("comment"), SL_BYTES("hello")},
                                           {SL_BYTES("comment"), SL_BYTES("")},
                                           {SL_BYTES("\xc3\xa4"), SL_BYTES("\x01 any")}};
    setup(NULL);
    skip_without_attributes();
    u.intake.digests = SHA256_ONLY | 1u << SL_HASH_CRC32C;
    char name[] = "an original name.txt", type[] = "text/plain; charset=utf-8", id[] = "id-1";
    struct sl_meta about = {.name = sl_bytes_of(name),
                            .type = sl_bytes_of(type),
                            .request_id = sl_bytes_of(id),
                            .is_attachment = true,
                            .digests = {.set = 1u << SL_HASH_MD5}, /* not for the caller to say */
                            .created_ns = 1,
                            .fields = fields,
                            .field_count = 3};
    store_with(&about);
    expect_text(known.meta.name, "an original name.txt");
    expect_text(known.meta.type, "text/plain; charset=utf-8");
    expect_text(known.meta.request_id, "id-1");
    assert_true(known.meta.is_attachment);
    assert_int_equal(known.meta.created_ns, session.created_ns);
    upload_expect(&u, "f", 0, 5000, &known.meta.digests);
    for (size_t i = 0; i < 3; i++) {
        struct sl_meta_field field;
        assert_true(sl_meta_next_field(&known.meta, &field));
        assert_true(sl_bytes_equal(field.name, fields[i].name) && sl_bytes_equal(field.value, fields[i].value));
    }
    assert_true(session.has_kept_fields);
    assert_int_equal(about.digests.set, 1u << SL_HASH_MD5);
    teardown(NULL);
}

/* The spans end with the call: the attribute is made of a copy. */
static void what_is_told_is_copied_in_the_call(void **state)
{
    setup(NULL);
    skip_without_attributes();
    char *name = strdup("gone");
    stage(10);
    struct sl_meta about = {.name = sl_bytes_of(name)};
    fake_disk_hold(u.disk, SL_DISK_SETXATTR);
    sl_session_commit(&session, &about);
    memset(name, 'x', 4);
    free(name);
    memset(&about, 0xff, sizeof about);
    fake_disk_release(u.disk);
    until(SL_SESSION_DONE);
    assert_int_equal(look_at("f", &known), SL_OK);
    expect_text(known.meta.name, "gone");
    assert_true(session.has_kept_fields); /* there are none */
    teardown(NULL);
}

/* ext4 answers so where its blocks are small. */
static void text_that_the_disk_does_not_take_is_told_to_be_left_out(void **state)
{
    setup(NULL);
    skip_without_attributes();
    struct sl_meta_field field = {SL_BYTES("a"), SL_BYTES("b")};
    fake_disk_fail(u.disk, SL_DISK_SETXATTR, 1, ENOSPC);
    store_with(&(struct sl_meta){.name = SL_BYTES("n"), .fields = &field, .field_count = 1});
    assert_false(session.has_kept_fields);
    expect_text(known.meta.name, "n");
    teardown(NULL);
}

static void text_that_is_too_long_is_told_to_be_left_out(void **state)
{
    static char value[SL_META_BYTES_MAX];
    memset(value, 'v', sizeof value);
    setup(NULL);
    skip_without_attributes();
    struct sl_meta_field field = {SL_BYTES("long"), {value, sizeof value}};
    store_with(&(struct sl_meta){.name = SL_BYTES("n"), .fields = &field, .field_count = 1});
    assert_false(session.has_kept_fields);
    assert_false(sl_meta_next_field(&known.meta, &field));
    expect_text(known.meta.name, "n");
    teardown(NULL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(name_is_judged_before_the_body),
        cmocka_unit_test(name_is_judged_again_as_it_is_given),
        cmocka_unit_test(look_that_fails_hinders_nothing),
        cmocka_unit_test(leave_while_looking_gives_the_reader_back),
        cmocka_unit_test(every_operation_that_fails_gives_everything_back),
        cmocka_unit_test(what_is_known_is_stored_with_the_file),
        cmocka_unit_test(what_is_told_is_copied_in_the_call),
        cmocka_unit_test(text_that_the_disk_does_not_take_is_told_to_be_left_out),
        cmocka_unit_test(text_that_is_too_long_is_told_to_be_left_out),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
