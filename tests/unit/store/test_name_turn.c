/* Turns for a name: one at a time, in order, over all loops; and what they are for, with loops on threads of their
 * own: no change is lost. */
#include "meta_case.h"

#include <pthread.h>

static struct scratch scratch;
static struct sl_store_root *root;

static int setup(void **state)
{
    char message[256];
    scratch_make(&scratch);
    struct sl_store_options options = {.root = scratch.path, .durability = SL_DURABILITY_NONE};
    assert_int_equal(sl_store_root_open(&options, &root, message, sizeof message), SL_OK);
    return 0;
}

static int teardown(void **state)
{
    sl_store_root_close(root); /* asserts that all turns came back */
    scratch_remove(&scratch);
    return 0;
}

/* ---- one thread, two loops ---- */

#define TAKERS 6u

struct taker {
    struct sl_name_turn turn;
    struct sl_path path;
    unsigned got; /* when its turn came; 0: not yet */
};

static unsigned turns_given;

static void on_turn(struct sl_name_turn *turn)
{
    struct taker *taker = SL_CONTAINER_OF(turn, struct taker, turn);
    assert_int_equal(taker->got, 0);
    taker->got = ++turns_given;
}

static void turns_come_later_in_order_and_one_at_a_time(void **state)
{
    struct sl_mailbox boxes[2];
    struct sl_store *stores[2];
    struct taker takers[TAKERS] = {0}, other = {.path = store_path("other")};
    turns_given = 0;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(sl_mailbox_init(&boxes[i]), SL_OK);
        stores[i] = sl_store_create(root, NULL, &boxes[i]);
    }
    for (unsigned i = 0; i < TAKERS; i++) {
        takers[i].path = store_path("d/name");
        sl_name_turn_take(stores[i % 2], &takers[i].turn, &takers[i].path, on_turn);
    }
    assert_int_equal(turns_given, 0); /* never inside the call */
    for (unsigned i = 0; i < TAKERS; i++) {
        assert_true(sl_mailbox_is_empty(&boxes[(i + 1) % 2])); /* nobody else has any */
        sl_mailbox_run(&boxes[i % 2]);
        assert_int_equal(takers[i].got, i + 1);
        if (i == 2) { /* another name does not wait */
            sl_name_turn_take(stores[1], &other.turn, &other.path, on_turn);
            sl_mailbox_run(&boxes[1]);
            assert_int_equal(other.got, 4);
            sl_name_turn_give(&other.turn);
            turns_given--;
        }
        sl_name_turn_give(&takers[i].turn);
        sl_name_turn_give(&takers[i].turn); /* an idle one is fine */
        assert_int_equal(turns_given, i + 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        sl_store_destroy(stores[i]);
        sl_mailbox_dispose(&boxes[i]);
    }
}

/* ---- a thread for each loop ---- */

#define THREADS 3u
#define NAMES   3u
#define ROUNDS  3000u

struct runner {
    struct sl_mailbox box;
    struct sl_store *store;
    struct taker takers[NAMES];
    unsigned done;
};

static unsigned guarded[NAMES]; /* by the turn of its name alone: a thread sanitizer sees when it is not */

static void on_runner_turn(struct sl_name_turn *turn);

static void take(struct runner *runner, unsigned name)
{
    struct taker *taker = &runner->takers[name];
    sl_name_turn_take(runner->store, &taker->turn, &taker->path, on_runner_turn);
}

static void on_runner_turn(struct sl_name_turn *turn)
{
    struct taker *taker = SL_CONTAINER_OF(turn, struct taker, turn);
    unsigned name = (unsigned)(taker->path.text[0] - 'a');
    struct runner *runner = SL_CONTAINER_OF(taker - name, struct runner, takers[0]);
    guarded[name]++;
    sl_name_turn_give(turn);
    runner->done++;
    if (++taker->got < ROUNDS)
        take(runner, name);
}

static void *run(void *arg)
{
    struct runner *runner = arg;
    for (unsigned i = 0; i < NAMES; i++)
        take(runner, i);
    while (runner->done < NAMES * ROUNDS) {
        struct pollfd watched = {.fd = runner->box.fd, .events = POLLIN};
        if (poll(&watched, 1, 10000) != 1)
            abort();
        sl_mailbox_run(&runner->box);
    }
    return NULL;
}

static void turns_of_many_threads_exclude_each_other(void **state)
{
    static struct runner runners[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(sl_mailbox_init(&runners[i].box), SL_OK);
        runners[i].store = sl_store_create(root, NULL, &runners[i].box);
        for (unsigned j = 0; j < NAMES; j++)
            runners[i].takers[j].path = store_path((const char[]){(char)('a' + j), '\0'});
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < NAMES; i++)
        assert_int_equal(guarded[i], THREADS * ROUNDS);
    for (unsigned i = 0; i < THREADS; i++) {
        sl_store_destroy(runners[i].store);
        sl_mailbox_dispose(&runners[i].box);
    }
}

/* ---- compare and swap over HTTP's terms ---- */

#define WRITERS 2u
#define TRIES   150u

/* A loop that reads the file's number (its digest) and tries to put the next one in its place, with If-Match. */
struct writer {
    struct sl_disk *disk;
    struct sl_mailbox box;
    struct sl_store *store;
    struct sl_store_reader reader;
    struct sl_store_object object;
    struct sl_path path;
    bool is_done;
    sl_err err;
    unsigned wins;
    pthread_t thread;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void on_reader(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct writer *writer = ctx;
    writer->is_done = true;
    writer->err = err;
}

static void on_object(struct sl_store_object *object, sl_err err, void *ctx)
{
    struct writer *writer = ctx;
    writer->is_done = true;
    writer->err = err;
}

static sl_err finish(struct writer *writer)
{
    while (!writer->is_done)
        store_case_turn_of(writer->disk, &writer->box);
    writer->is_done = false;
    return writer->err;
}

static struct sl_room numbered(struct meta_case *m, uint32_t number)
{
    bool has_fields;
    *m = (struct meta_case){.meta.digests.set = 1u << SL_HASH_SHA256};
    memcpy(m->meta.digests.value[SL_HASH_SHA256], &number, sizeof number);
    return (struct sl_room){m->encoded, sl_meta_encode(&m->meta, m->encoded, &has_fields)};
}

static uint32_t read_number(struct writer *writer)
{
    uint32_t number;
    sl_store_open(writer->store, &writer->reader, &writer->path, on_reader, writer);
    must(finish(writer) == SL_OK);
    sl_store_close(&writer->reader, on_reader, writer);
    must(finish(writer) == SL_OK);
    memcpy(&number, writer->reader.meta.digests.value[SL_HASH_SHA256], sizeof number);
    return number;
}

static sl_err write_number(struct writer *writer, uint32_t number, const struct sl_conditions *conditions)
{
    struct meta_case m;
    struct sl_store_terms terms = {
        .conflict = SL_CONFLICT_OVERWRITE, .conditions = conditions, .meta = numbered(&m, number)};
    sl_store_begin(writer->store, &writer->object, 0, on_object, writer);
    must(finish(writer) == SL_OK);
    sl_store_commit(&writer->object, &writer->path, 0, &terms, on_object, writer);
    sl_err err = finish(writer);
    if (err != SL_OK) {
        sl_store_abort(&writer->object, on_object, writer);
        must(finish(writer) == SL_OK);
    }
    return err;
}

static void *write_many(void *arg)
{
    struct writer *writer = arg;
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t number = read_number(writer);
        struct sl_conditions conditions = {.if_match = sl_bytes_of(writer->reader.etag)};
        sl_err err = write_number(writer, number + 1, &conditions);
        must(err == SL_OK || err == SL_PRECONDITION);
        writer->wins += err == SL_OK;
    }
    return NULL;
}

static void changes_with_if_match_are_never_lost(void **state)
{
    if (!root->has_meta)
        skip();
    static struct writer writers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.disk = test_engine_make(TEST_THREADS, NULL), .path = store_path("d/counter")};
        assert_non_null(writers[i].disk);
        assert_int_equal(sl_mailbox_init(&writers[i].box), SL_OK);
        writers[i].store = sl_store_create(root, writers[i].disk, &writers[i].box);
    }
    assert_int_equal(write_number(&writers[0], 1000, NULL), SL_OK);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    unsigned wins = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        wins += writers[i].wins;
    }
    assert_int_equal(read_number(&writers[0]), 1000 + wins);
    assert_in_range(wins, TRIES, WRITERS * TRIES); /* whoever loses, another has won */
    for (unsigned i = 0; i < WRITERS; i++) {
        sl_store_destroy(writers[i].store);
        sl_mailbox_dispose(&writers[i].box);
        sl_disk_destroy(writers[i].disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turns_come_later_in_order_and_one_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(turns_of_many_threads_exclude_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_with_if_match_are_never_lost, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
