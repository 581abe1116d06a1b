/* On what terms an object gets its name, and what is told of the one that has it. */
#include "fake_disk.h"
#include "meta_case.h"

#include <errno.h>
#include <sys/stat.h>

static enum test_engine engine;
static struct store_case c;
static char old_etag[SL_ETAG_BYTES];

static int setup(void **state)
{
    store_case_open(&c, engine, (struct sl_store_options){.durability = SL_DURABILITY_FULL});
    return 0;
}

static int teardown(void **state)
{
    store_case_close(&c);
    return 0;
}

#define ANY       SL_BYTES("*")
#define OTHER_TAG SL_BYTES("\"another\"")
#define LONG_AGO  SL_BYTES("Sun, 06 Nov 1994 08:49:37 GMT")
#define IN_FUTURE SL_BYTES("Fri, 06 Nov 2155 08:49:37 GMT")
#define OLD_TAG   ((struct sl_bytes){NULL, 1}) /* to be replaced by what is there */

struct row {
    const char *what;
    struct sl_conditions conditions;
    sl_err error, rename, overwrite; /* what becomes of the commit under each rule */
};

static const struct row over_a_file[] = {
    {"none", {.if_match = {0}}, SL_EXISTS, SL_OK, SL_OK},
    {"INM *", {.if_none_match = ANY}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
    {"INM its", {.if_none_match = OLD_TAG}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
    {"INM other", {.if_none_match = OTHER_TAG}, SL_EXISTS, SL_OK, SL_OK},
    {"IM *", {.if_match = ANY}, SL_EXISTS, SL_OK, SL_OK},
    {"IM its", {.if_match = OLD_TAG}, SL_EXISTS, SL_OK, SL_OK},
    {"IM other", {.if_match = OTHER_TAG}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
    {"IUS long ago", {.if_unmodified_since = LONG_AGO}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
    {"IUS future", {.if_unmodified_since = IN_FUTURE}, SL_EXISTS, SL_OK, SL_OK},
    {"IMS", {.if_modified_since = IN_FUTURE}, SL_EXISTS, SL_OK, SL_OK},
};

static const struct row over_nothing[] = {
    {"none", {.if_match = {0}}, SL_OK, SL_OK, SL_OK},
    {"INM *", {.if_none_match = ANY}, SL_OK, SL_OK, SL_OK},
    {"INM other", {.if_none_match = OTHER_TAG}, SL_OK, SL_OK, SL_OK},
    {"IM *", {.if_match = ANY}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
    {"IM other", {.if_match = OTHER_TAG}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
    {"IUS", {.if_unmodified_since = LONG_AGO}, SL_OK, SL_OK, SL_OK},
};

/* A folder is no representation, but in the way. */
static const struct row over_a_folder[] = {
    {"none", {.if_match = {0}}, SL_EXISTS, SL_OK, SL_IS_A_DIRECTORY},
    {"INM *", {.if_none_match = ANY}, SL_EXISTS, SL_OK, SL_IS_A_DIRECTORY},
    {"IM *", {.if_match = ANY}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
};

static const struct row over_a_link[] = {
    {"none", {.if_match = {0}}, SL_EXISTS, SL_OK, SL_EXISTS},
    {"INM *", {.if_none_match = ANY}, SL_EXISTS, SL_OK, SL_EXISTS},
    {"IM *", {.if_match = ANY}, SL_PRECONDITION, SL_PRECONDITION, SL_PRECONDITION},
};

static void with_old_tag(struct sl_bytes *field)
{
    if (field->base == NULL && field->len == 1)
        *field = sl_bytes_of(old_etag);
}

#define NEW_SIZE ((size_t)4321)

static sl_err expect_row(const struct row *row, enum sl_conflict conflict, const char *path)
{
    sl_err expected = conflict == SL_CONFLICT_ERROR    ? row->error
                      : conflict == SL_CONFLICT_RENAME ? row->rename
                                                       : row->overwrite;
    struct sl_conditions conditions = row->conditions;
    with_old_tag(&conditions.if_match);
    with_old_tag(&conditions.if_none_match);
    struct meta_case m;
    c.terms =
        (struct sl_store_terms){.conditions = &conditions, .meta = meta_case_fill(&m, 1u << SL_HASH_SHA256, 'N')};
    unsigned fds = scratch_count_fds();
    sl_err err = store_put(&c, path, NEW_SIZE, conflict);
    c.terms = (struct sl_store_terms){0};
    if (err != expected)
        fail_msg("%s, %s, rule %d: %s", path, row->what, conflict, sl_err_row(err)->name);
    assert_int_equal(scratch_count_fds(), fds);
    assert_int_equal(scratch_count(&c.scratch, "uploads"), 0);
    return err;
}

static void expect_told(sl_err err, const char *etag)
{
    if (err == SL_OK) {
        store_expect(&c, c.path.text, NEW_SIZE);
        char got[SL_ETAG_BYTES], path[SL_PATH_BYTES_MAX + 1];
        snprintf(got, sizeof got, "%s", c.object.etag);
        snprintf(path, sizeof path, "%s", c.path.text);
        meta_case_expect_etag(&c, path, got);
    } else {
        assert_string_equal(c.object.etag, err == SL_EXISTS || err == SL_PRECONDITION ? etag : "");
    }
}

static void file_that_is_there_is_asked(void **state)
{
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        for (size_t i = 0; i < sizeof over_a_file / sizeof over_a_file[0]; i++) {
            for (enum sl_conflict conflict = SL_CONFLICT_ERROR; conflict <= SL_CONFLICT_OVERWRITE; conflict++) {
                meta_case_put(&c, "d/old.x", 100, 'O');
                snprintf(old_etag, sizeof old_etag, "%s", c.object.etag);
                sl_err err = expect_row(&over_a_file[i], conflict, "d/old.x");
                bool is_replaced = err == SL_OK && conflict == SL_CONFLICT_OVERWRITE;
                bool is_renamed = err == SL_OK && conflict == SL_CONFLICT_RENAME;
                if (err == SL_OK)
                    assert_int_equal(c.object.has_replaced, is_replaced);
                assert_int_equal(strcmp(c.path.text, "d/old.x") != 0, is_renamed);
                store_expect(&c, "d/old.x", is_replaced ? NEW_SIZE : 100);
                expect_told(err, old_etag);
            }
        }
    }
}

static void name_that_is_free_is_asked(void **state)
{
    for (int is_named = 0; is_named < 2; is_named++) {
        if (is_named)
            store_case_force_named(&c);
        for (size_t i = 0; i < sizeof over_nothing / sizeof over_nothing[0]; i++) {
            for (enum sl_conflict conflict = SL_CONFLICT_ERROR; conflict <= SL_CONFLICT_OVERWRITE; conflict++) {
                char path[32];
                snprintf(path, sizeof path, "%d/%zu-%d", is_named, i, conflict);
                sl_err err = expect_row(&over_nothing[i], conflict, path);
                assert_string_equal(c.path.text, path);
                assert_false(c.object.has_replaced);
                expect_told(err, "");
                if (err != SL_OK)
                    assert_int_equal(store_look(&c, path, &(uint64_t){0}), SL_NOT_FOUND);
            }
        }
    }
}

static void what_is_no_file_is_in_the_way(void **state)
{
    assert_int_equal(store_put(&c, "folder/x", 1, SL_CONFLICT_ERROR), SL_OK);
    assert_int_equal(symlink("folder/x", scratch_path(&c.scratch, "files/link")), 0);
    for (enum sl_conflict conflict = SL_CONFLICT_ERROR; conflict <= SL_CONFLICT_OVERWRITE; conflict++) {
        for (size_t i = 0; i < sizeof over_a_folder / sizeof over_a_folder[0]; i++) {
            if (expect_row(&over_a_folder[i], conflict, "folder") != SL_OK)
                assert_string_equal(c.object.etag, "");
        }
        for (size_t i = 0; i < sizeof over_a_link / sizeof over_a_link[0]; i++) {
            if (expect_row(&over_a_link[i], conflict, "link") != SL_OK)
                assert_string_equal(c.object.etag, "");
        }
    }
    store_expect(&c, "folder/x", 1);
    struct stat st;
    assert_int_equal(lstat(scratch_path(&c.scratch, "files/link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

/* Whom the link met is told also when there are no conditions; when that cannot be known, the answer is the same. */
static void look_after_a_refusal_is_best_effort(void **state)
{
    if (engine != TEST_FAKE)
        skip();
    static const enum sl_disk_kind kinds[] = {SL_DISK_OPEN, SL_DISK_STAT, SL_DISK_GETXATTR, SL_DISK_CLOSE};
    meta_case_put(&c, "old", 100, 'O');
    c.root->has_coarse_times = false; /* else one look more */
    struct meta_case m;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        c.terms.meta = meta_case_fill(&m, 1u << SL_HASH_SHA256, 'N');
        unsigned nth = kinds[i] == SL_DISK_OPEN ? 3 : 1; /* the temporary file, the folder, the holder */
        fake_disk_fail(c.disk, kinds[i], nth, EIO);
        assert_int_equal(store_put(&c, "old", 10, SL_CONFLICT_ERROR), SL_EXISTS);
        assert_int_equal(c.object.sys_errno, EEXIST);
        assert_true(kinds[i] == SL_DISK_CLOSE || !c.root->has_meta || c.object.etag[0] == '\0');
        fake_disk_disarm(c.disk);
    }
}

/* ---- races ---- */

/* Somebody who takes no turns makes the name between the look and the link: it is not replaced unasked. */
static void name_made_since_the_look_is_asked_again(void **state)
{
    if (engine != TEST_FAKE)
        skip();
    static const struct {
        struct sl_conditions conditions;
        sl_err expected;
    } rows[] = {{{.if_none_match = ANY}, SL_PRECONDITION},
                {{.if_none_match = OTHER_TAG}, SL_OK},
                {{.if_unmodified_since = LONG_AGO}, SL_PRECONDITION},
                {{.if_match = {0}}, SL_OK}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "files/new%zu", i);
        c.path = store_path(name + strlen("files/"));
        c.terms = (struct sl_store_terms){.conflict = SL_CONFLICT_OVERWRITE, .conditions = &rows[i].conditions};
        assert_int_equal(store_begin(&c, 0), SL_OK);
        fake_disk_hold(c.disk, SL_DISK_LINK);
        store_case_start(&c);
        sl_store_commit(&c.object, &c.path, 0, &c.terms, store_case_on_object, &c);
        c.is_inside = false;
        while (fake_disk_held(c.disk) == 0)
            store_case_turn(&c);
        scratch_put(&c.scratch, name, "theirs");
        fake_disk_release(c.disk);
        assert_int_equal(store_case_finish(&c), rows[i].expected);
        if (rows[i].expected == SL_OK) {
            assert_true(c.object.has_replaced);
            scratch_expect(&c.scratch, name, "", 0);
            continue;
        }
        scratch_expect(&c.scratch, name, "theirs", 6);
        assert_true(c.object.etag[0] == '"');
        store_abort(&c);
    }
}

/* It comes and goes as often as we look: an end all the same. */
static void name_that_comes_and_goes_is_looked_at_a_few_times(void **state)
{
    if (engine != TEST_FAKE)
        skip();
    assert_int_equal(store_begin(&c, 0), SL_OK);
    c.path = store_path("f");
    c.terms = (struct sl_store_terms){.conflict = SL_CONFLICT_OVERWRITE};
    fake_disk_hold(c.disk, SL_DISK_STAT);
    fake_disk_hold(c.disk, SL_DISK_LINK);
    unsigned links = fake_disk_started(c.disk, SL_DISK_LINK), looks = 0;
    c.calls = 0;
    sl_store_commit(&c.object, &c.path, 0, &c.terms, store_case_on_object, &c);
    while (c.calls == 0) {
        while (c.calls == 0 && fake_disk_held(c.disk) == 0)
            store_case_turn(&c);
        bool is_link = fake_disk_started(c.disk, SL_DISK_LINK) > links;
        links += is_link;
        looks += is_link;
        (void)unlink(scratch_path(&c.scratch, "files/f"));
        if (is_link)
            scratch_put(&c.scratch, "files/f", "theirs");
        if (fake_disk_held(c.disk) > 0)
            fake_disk_release_one(c.disk);
    }
    fake_disk_release(c.disk);
    store_case_drain(&c);
    assert_int_equal(c.err, SL_EXISTS);
    assert_in_range(looks, 2, 20);
    store_abort(&c);
}

#define RIVALS 8u

struct rival {
    struct sl_store *store;
    struct sl_store_object object;
    struct sl_store_removal removal;
    struct sl_path path;
    struct meta_case m;
    struct sl_store_terms terms;
    sl_err err;
};

static unsigned answered;

static void on_object(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct rival *rival = ctx;
    rival->err = err;
    answered++;
}

static void on_removal(struct sl_store_removal *removal, sl_err err, void *ctx)
{
    struct rival *rival = ctx;
    rival->err = err;
    answered++;
}

static void race_to_begin(struct rival rivals[RIVALS], struct sl_store *second)
{
    answered = 0;
    for (unsigned i = 0; i < RIVALS; i++) {
        rivals[i].store = i % 2 == 0 ? c.store : second;
        sl_store_begin(rivals[i].store, &rivals[i].object, 0, on_object, &rivals[i]);
    }
    store_case_count(&c, &answered, RIVALS);
}

static void race_to_commit(struct rival *rival, unsigned number, const struct sl_store_terms *terms)
{
    rival->path = store_path("d/prize");
    rival->terms = *terms;
    rival->terms.meta = meta_case_fill(&rival->m, 1u << SL_HASH_SHA256, (int)number + 1);
    sl_store_commit(&rival->object, &rival->path, 0, &rival->terms, on_object, rival);
}

/* Gives the objects of the losers back; returns the winner. */
static unsigned race_to_end(struct rival rivals[RIVALS], sl_err expected)
{
    unsigned winner = RIVALS, losers = 0;
    store_case_drain(&c);
    answered = 0;
    for (unsigned i = 0; i < RIVALS; i++) {
        if (rivals[i].err == SL_OK) {
            assert_int_equal(winner, RIVALS);
            winner = i;
            continue;
        }
        assert_int_equal(rivals[i].err, expected);
        losers++;
        sl_store_abort(&rivals[i].object, on_object, &rivals[i]);
    }
    store_case_count(&c, &answered, losers);
    assert_in_range(winner, 0, RIVALS - 1);
    return winner;
}

static void overwrites_that_want_the_same_old_one_have_one_winner(void **state)
{
    struct sl_store *second = sl_store_create(c.root, c.disk, &c.mailbox);
    static struct rival rivals[RIVALS];
    meta_case_put(&c, "d/prize", 10, 'O');
    struct sl_conditions conditions = {0};
    struct sl_store_terms terms = {.conflict = SL_CONFLICT_OVERWRITE, .conditions = &conditions};
    char etag[SL_ETAG_BYTES];
    for (unsigned round = 0; round < 20; round++) {
        snprintf(etag, sizeof etag, "%s", round == 0 ? c.object.etag : c.reader.etag);
        conditions.if_match = sl_bytes_of(etag);
        race_to_begin(rivals, second);
        answered = 0;
        for (unsigned i = 0; i < RIVALS; i++)
            race_to_commit(&rivals[i], round * RIVALS + i, &terms);
        store_case_count(&c, &answered, RIVALS);
        unsigned winner = race_to_end(rivals, SL_PRECONDITION);
        meta_case_expect_etag(&c, "d/prize", rivals[winner].object.etag);
        for (unsigned i = 0; i < RIVALS; i++)
            assert_string_equal(rivals[i].object.etag, rivals[winner].object.etag); /* losers are told of it */
    }
    sl_store_destroy(second);
}

static void names_that_must_be_new_have_one_maker(void **state)
{
    struct sl_store *second = sl_store_create(c.root, c.disk, &c.mailbox);
    static struct rival rivals[RIVALS];
    struct sl_conditions conditions = {.if_none_match = ANY};
    for (enum sl_conflict conflict = SL_CONFLICT_ERROR; conflict <= SL_CONFLICT_OVERWRITE; conflict++) {
        race_to_begin(rivals, second);
        answered = 0;
        for (unsigned i = 0; i < RIVALS; i++) { /* every third by the link alone, without a turn */
            struct sl_store_terms terms = {.conflict = i % 3 == 2 ? SL_CONFLICT_ERROR : conflict,
                                           .conditions = &conditions};
            race_to_commit(&rivals[i], i, &terms);
        }
        store_case_count(&c, &answered, RIVALS);
        unsigned winner = race_to_end(rivals, SL_PRECONDITION);
        meta_case_expect_etag(&c, "d/prize", rivals[winner].object.etag);
        assert_int_equal(store_remove(&c, "d/prize", NULL), SL_OK);
    }
    sl_store_destroy(second);
}

/* A removal and an overwrite that ask for the same old one: the file is the new one, or gone with the overwrite
 * refused. */
static void removal_and_overwrite_of_the_same_old_one_have_one_winner(void **state)
{
    static struct rival rivals[2];
    for (unsigned round = 0; round < 20; round++) {
        meta_case_put(&c, "d/prize", 10, 'O');
        char etag[SL_ETAG_BYTES];
        snprintf(etag, sizeof etag, "%s", c.object.etag);
        struct sl_conditions conditions = {.if_match = sl_bytes_of(etag)};
        struct sl_store_terms terms = {.conflict = SL_CONFLICT_OVERWRITE, .conditions = &conditions};
        answered = 0;
        sl_store_begin(c.store, &rivals[0].object, 0, on_object, &rivals[0]);
        store_case_count(&c, &answered, 1);
        answered = 0;
        rivals[1].path = store_path("d/prize");
        if (round % 2 == 0)
            race_to_commit(&rivals[0], round, &terms);
        sl_store_remove(c.store, &rivals[1].removal, &rivals[1].path, &conditions, on_removal, &rivals[1]);
        if (round % 2 == 1)
            race_to_commit(&rivals[0], round, &terms);
        store_case_count(&c, &answered, 2);
        if (rivals[0].err == SL_OK) {
            assert_int_equal(rivals[1].err, SL_PRECONDITION);
            assert_string_equal(rivals[1].removal.etag, rivals[0].object.etag);
            meta_case_expect_etag(&c, "d/prize", rivals[0].object.etag);
            continue;
        }
        assert_int_equal(rivals[0].err, SL_PRECONDITION);
        assert_string_equal(rivals[0].object.etag, "");
        assert_int_equal(rivals[1].err, SL_OK);
        assert_int_equal(store_look(&c, "d/prize", &(uint64_t){0}), SL_NOT_FOUND);
        answered = 0;
        sl_store_abort(&rivals[0].object, on_object, &rivals[0]);
        store_case_count(&c, &answered, 1);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        CASE(file_that_is_there_is_asked),
        CASE(name_that_is_free_is_asked),
        CASE(what_is_no_file_is_in_the_way),
        CASE(look_after_a_refusal_is_best_effort),
        CASE(name_made_since_the_look_is_asked_again),
        CASE(name_that_comes_and_goes_is_looked_at_a_few_times),
        CASE(overwrites_that_want_the_same_old_one_have_one_winner),
        CASE(names_that_must_be_new_have_one_maker),
        CASE(removal_and_overwrite_of_the_same_old_one_have_one_winner),
    };
    int failed = 0;
    for (engine = 0; engine < TEST_ENGINES; engine++)
        failed += cmocka_run_group_tests_name(test_engine_name(engine), cases, NULL, NULL);
    return failed;
}
