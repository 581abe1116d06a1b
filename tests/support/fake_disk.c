/* An engine of the same shape as the real ones: submit looks whether a fault is due, and hands on to the thread engine.
 * Ops that are over without it wait in `ended` for the next run, so that the contract holds: never inside the call. */
#include "fake_disk.h"

#include "disk/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define FAULTS_MAX 16

struct fault {
    enum sl_disk_kind kind;
    unsigned left; /* 1: strikes the next one; 0: free */
    int sys_errno; /* 0: a short call, or a late one */
    size_t bytes;
    unsigned turns; /* 0: at once */
};

struct fake {
    struct sl_disk base;
    struct sl_disk *inner; /* NULL: of an errand; what is started is done at once */
    struct fault faults[FAULTS_MAX];
    bool holds[SL_DISK_KINDS];
    unsigned started[SL_DISK_KINDS], data_syncs;
    unsigned held_count;
    struct sl_link held;
    struct sl_link ended;
    struct sl_disk_op *late; /* NULL: none is delayed */
    unsigned late_turns;
    fake_disk_cb before; /* NULL: nobody watches */
    void *ctx;
};

static struct sl_disk_op *op_of(struct sl_link *link)
{
    return SL_CONTAINER_OF(link, struct sl_disk_op, link);
}

static bool matches(enum sl_disk_kind wanted, enum sl_disk_kind kind)
{
    return wanted == FAKE_DISK_ANY || wanted == kind;
}

static void hand_on(struct fake *fake, struct sl_disk_op *op)
{
    if (fake->inner != NULL) {
        fake->inner->engine->submit(fake->inner, op);
        return;
    }
    sl_disk_execute(op);
    sl_list_append(&fake->ended, &op->link);
}

/* Has run() called. */
static void poke(struct fake *fake)
{
    uint64_t one = 1;
    if (fake->inner != NULL)
        (void)!write(fake->base.fd, &one, sizeof one);
}

static void fail(struct fake *fake, struct sl_disk_op *op, int sys_errno)
{
    if (op->kind == SL_DISK_CLOSE)
        sl_disk_execute(op);
    if (!sl_disk_advance(op, -sys_errno)) {
        hand_on(fake, op);
        return;
    }
    sl_list_append(&fake->ended, &op->link);
    poke(fake);
}

static void delay(struct fake *fake, struct sl_disk_op *op, unsigned turns)
{
    assert(fake->late == NULL);
    fake->late = op;
    fake->late_turns = turns;
    poke(fake);
}

static void end_delay(struct fake *fake)
{
    struct sl_disk_op *op = fake->late;
    if (op == NULL)
        return;
    if (fake->base.inflight > 1 && --fake->late_turns > 0) {
        poke(fake);
        return;
    }
    fake->late = NULL;
    hand_on(fake, op);
    if (fake->inner != NULL)
        fake->inner->engine->flush(fake->inner);
}

/* The short call is made here; the engine finds an op of which a part is done. */
static void shorten_copy(struct fake *fake, struct sl_disk_op *op, size_t bytes)
{
    uint64_t len = op->args.copy.bytes;
    if (len > 0) {
        op->args.copy.bytes = bytes < len ? bytes : len - 1;
        sl_disk_execute(op);
        op->args.copy.bytes = len;
        op->args.copy.is_by_hand = false;
        op->err = SL_OK;
        op->sys_errno = 0;
        op->result = 0;
    }
    hand_on(fake, op);
}

static void shorten_io(struct fake *fake, struct sl_disk_op *op, size_t bytes)
{
    size_t len = op->args.io.len;
    if (len > 0) {
        op->args.io.len = bytes < len ? bytes : len - 1;
        sl_disk_execute(op);
        op->args.io.len = len;
        op->err = SL_OK;
        op->sys_errno = 0;
        op->result = 0;
    }
    hand_on(fake, op);
}

/* Every fault that waits for this kind comes one nearer. At most one strikes. */
static struct fault due_fault(struct fake *fake, enum sl_disk_kind kind)
{
    struct fault due = {0};
    for (unsigned i = 0; i < FAULTS_MAX; i++) {
        struct fault *fault = &fake->faults[i];
        if (fault->left == 0 || !matches(fault->kind, kind))
            continue;
        if (fault->left == 1 && due.left == 0)
            due = *fault;
        fault->left--;
    }
    return due;
}

static void go_on(struct fake *fake, struct sl_disk_op *op)
{
    if (fake->before != NULL)
        fake->before(&fake->base, op->kind, fake->ctx);
    struct fault fault = due_fault(fake, op->kind);
    if (fault.left == 0 || (fault.turns > 0 && fake->late != NULL))
        hand_on(fake, op);
    else if (fault.turns > 0)
        delay(fake, op, fault.turns);
    else if (fault.sys_errno != 0)
        fail(fake, op, fault.sys_errno);
    else if (op->kind == SL_DISK_COPY)
        shorten_copy(fake, op, fault.bytes);
    else
        shorten_io(fake, op, fault.bytes);
}

struct errand {
    const struct fake *home;
    void (*run)(struct sl_disk *here, void *ctx);
    void *ctx;
};

static const struct sl_disk_engine engine;

/* On a thread of the engine. Who watches is asked there, too, and breaks what is done there. */
static void run_errand(struct sl_disk *here, void *ctx)
{
    struct errand *errand = ctx;
    struct fake fake = {
        .base = {.engine = &engine, .fd = -1}, .before = errand->home->before, .ctx = errand->home->ctx};
    (void)here;
    sl_list_init(&fake.held);
    sl_list_init(&fake.ended);
    errand->run(&fake.base, errand->ctx);
    while (sl_disk_inflight(&fake.base) > 0)
        sl_disk_run(&fake.base);
    free(errand);
}

static void send_errand(struct fake *fake, struct sl_disk_op *op)
{
    struct errand *errand = malloc(sizeof *errand);
    if (errand == NULL)
        abort();
    *errand = (struct errand){fake, op->args.errand.run, op->args.errand.ctx};
    op->args.errand.run = run_errand;
    op->args.errand.ctx = errand;
    hand_on(fake, op);
}

static void fake_submit(struct sl_disk *disk, struct sl_disk_op *op)
{
    struct fake *fake = (struct fake *)disk;
    if (op->kind == SL_DISK_ERRAND) {
        send_errand(fake, op);
        return;
    }
    fake->started[op->kind]++;
    fake->data_syncs += op->kind == SL_DISK_SYNC && op->args.sync.data_only;
    if (fake->holds[op->kind]) {
        sl_list_append(&fake->held, &op->link);
        fake->held_count++;
        return;
    }
    go_on(fake, op);
}

static void fake_flush(struct sl_disk *disk)
{
    struct fake *fake = (struct fake *)disk;
    if (fake->inner != NULL)
        fake->inner->engine->flush(fake->inner);
}

static void fake_run(struct sl_disk *disk)
{
    struct fake *fake = (struct fake *)disk;
    struct sl_link ended;
    sl_list_init(&ended);
    sl_list_move_all(&ended, &fake->ended);
    if (fake->inner != NULL)
        fake->inner->engine->run(fake->inner);
    for (struct sl_link *link; (link = sl_list_shift(&ended)) != NULL;)
        sl_disk_complete(op_of(link));
    end_delay(fake);
}

static void fake_destroy(struct sl_disk *disk)
{
    struct fake *fake = (struct fake *)disk;
    assert(sl_list_is_empty(&fake->held) && sl_list_is_empty(&fake->ended) && fake->late == NULL);
    sl_disk_destroy(fake->inner);
    free(fake);
}

static const struct sl_disk_engine engine = {
    .name = "fake",
    .submit = fake_submit,
    .flush = fake_flush,
    .run = fake_run,
    .destroy = fake_destroy,
};

static const struct sl_disk_engine errand_engine = {
    .name = "fake",
    .has_errands = true,
    .submit = fake_submit,
    .flush = fake_flush,
    .run = fake_run,
    .destroy = fake_destroy,
};

struct sl_disk *fake_disk_create_over(struct sl_disk *inner)
{
    struct fake *fake = calloc(1, sizeof *fake);
    if (fake == NULL)
        abort();
    fake->inner = inner;
    fake->base.engine = &engine;
    fake->base.fd = inner->fd;
    sl_list_init(&fake->held);
    sl_list_init(&fake->ended);
    return &fake->base;
}

struct sl_disk *fake_disk_create(void)
{
    struct sl_disk *inner;
    if (sl_disk_threads_create(SL_DISK_THREAD_COUNT, &inner) != SL_OK)
        abort();
    return fake_disk_create_over(inner);
}

void fake_disk_have_errands(struct sl_disk *disk)
{
    disk->engine = &errand_engine;
}

void fake_disk_watch(struct sl_disk *disk, fake_disk_cb before, void *ctx)
{
    struct fake *fake = (struct fake *)disk;
    fake->before = before;
    fake->ctx = ctx;
}

static void arm(struct sl_disk *disk, struct fault fault)
{
    struct fake *fake = (struct fake *)disk;
    assert(fault.left > 0);
    for (unsigned i = 0; i < FAULTS_MAX; i++) {
        if (fake->faults[i].left == 0) {
            fake->faults[i] = fault;
            return;
        }
    }
    abort();
}

void fake_disk_fail(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, int sys_errno)
{
    assert(sys_errno > 0);
    arm(disk, (struct fault){.kind = kind, .left = nth, .sys_errno = sys_errno});
}

void fake_disk_shorten(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, size_t bytes)
{
    assert(kind == SL_DISK_READ || kind == SL_DISK_WRITE || kind == SL_DISK_COPY);
    arm(disk, (struct fault){.kind = kind, .left = nth, .bytes = bytes});
}

void fake_disk_delay(struct sl_disk *disk, enum sl_disk_kind kind, unsigned nth, unsigned turns)
{
    assert(turns > 0);
    arm(disk, (struct fault){.kind = kind, .left = nth, .turns = turns});
}

void fake_disk_disarm(struct sl_disk *disk)
{
    struct fake *fake = (struct fake *)disk;
    for (unsigned i = 0; i < FAULTS_MAX; i++)
        fake->faults[i].left = 0;
}

void fake_disk_hold(struct sl_disk *disk, enum sl_disk_kind kind)
{
    struct fake *fake = (struct fake *)disk;
    for (unsigned i = 0; i < SL_DISK_KINDS; i++)
        fake->holds[i] |= matches(kind, i);
}

unsigned fake_disk_held(const struct sl_disk *disk)
{
    return ((const struct fake *)disk)->held_count;
}

void fake_disk_release_one(struct sl_disk *disk)
{
    struct fake *fake = (struct fake *)disk;
    assert(fake->held_count > 0);
    fake->held_count--;
    go_on(fake, op_of(sl_list_shift(&fake->held)));
}

void fake_disk_release(struct sl_disk *disk)
{
    struct fake *fake = (struct fake *)disk;
    for (unsigned i = 0; i < SL_DISK_KINDS; i++)
        fake->holds[i] = false;
    while (fake->held_count > 0)
        fake_disk_release_one(disk);
}

unsigned fake_disk_started(const struct sl_disk *disk, enum sl_disk_kind kind)
{
    const struct fake *fake = (const struct fake *)disk;
    unsigned sum = 0;
    for (unsigned i = 0; i < SL_DISK_KINDS; i++)
        sum += matches(kind, i) ? fake->started[i] : 0;
    return sum;
}

unsigned fake_disk_started_data_syncs(const struct sl_disk *disk)
{
    return ((const struct fake *)disk)->data_syncs;
}
