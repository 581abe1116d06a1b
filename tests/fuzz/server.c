#include "server.h"

#include "fake_disk.h"
#include "http/handler/resumable.h"
#include "inline_disk.h"
#include "sluice/base/clock.h"
#include "sluice/base/log.h"
#include "sluice/store/kept_walk.h"
#include "sluice/upload/reaper.h"
#include "sluice/upload/uploads.h"
#include "store/local/local.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define CALM_TURNS     3
#define EXPIRY_NS      (3600 * SL_SEC)
#define DONE_EXPIRY_NS (600 * SL_SEC)
#define UPLOADS_MAX    12
#define FILE_BYTES     600
#define FAULTS_MAX     16

struct h2_case fuzz_case;
struct fuzz_client fuzz_clients[FUZZ_CLIENTS];
void (*fuzz_on_stored)(struct sl_request *request, const char *bytes, size_t len);

static struct sl_reaper reaper;
static bool is_open, has_unnamed, has_direct, is_telling; /* fixed after open */
/* of one input */
static unsigned fds_before;
static uint64_t later_ns;
static unsigned ids, made, removals, clients_opened, armed;
static bool may_leave; /* temporary files */

void fuzz_must(bool holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

bool fuzz_may_arm(void)
{
    return armed++ < FAULTS_MAX;
}

/* Who cannot remove a temporary file may leave it. But a disk that says that there is nothing, and lies, is believed:
 * then a name stays that is told to be gone, and an upload without a state goes as one that was never counted. */
void fuzz_fail(enum sl_disk_kind kind, unsigned nth, int error)
{
    bool may_unlink = kind == SL_DISK_UNLINK || kind == FAKE_DISK_ANY;
    bool is_lie = error == ENOENT && (may_unlink || kind == SL_DISK_GETXATTR);
    may_leave |= may_unlink;
    fake_disk_fail(fuzz_case.h.u.disk, kind, nth, is_lie ? EIO : error);
}

/* ---- what the linker puts in the place of the program's own (CMakeLists.txt) ---- */

sl_err __wrap_sl_disk_threads_create(unsigned threads, struct sl_disk **disk_out);
void __wrap_sl_upload_id(char id_out[SL_UPLOAD_ID_BYTES]);
uint64_t __wrap_sl_clock_now_ns(void);
uint64_t __wrap_sl_clock_coarse_ns(void);
uint64_t __wrap_sl_clock_wall_ns(void);
void __wrap_sl_store_remove(struct sl_store *store, struct sl_store_removal *removal, const struct sl_path *path,
                            const struct sl_conditions *conditions, sl_store_removal_cb on_done, void *ctx);
void __wrap_sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                            const struct sl_meta_field *fields, size_t field_count);
struct sl_resumption *__wrap_sl_resumption_create(struct sl_request *request, const struct sl_dialect *dialect,
                                                  enum sl_resumption_purpose purpose);
struct sl_resumption *__real_sl_resumption_create(struct sl_request *request, const struct sl_dialect *dialect,
                                                  enum sl_resumption_purpose purpose);
uint64_t __real_sl_clock_now_ns(void);
uint64_t __real_sl_clock_wall_ns(void);
void __real_sl_store_remove(struct sl_store *store, struct sl_store_removal *removal, const struct sl_path *path,
                            const struct sl_conditions *conditions, sl_store_removal_cb on_done, void *ctx);
void __real_sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                            const struct sl_meta_field *fields, size_t field_count);

sl_err __wrap_sl_disk_threads_create(unsigned threads, struct sl_disk **disk_out)
{
    *disk_out = inline_disk_create();
    return SL_OK;
}

static void put_id(char id_out[SL_UPLOAD_ID_BYTES], char first, unsigned number)
{
    memset(id_out, 'a', SL_UPLOAD_ID_BYTES - 1);
    id_out[0] = first;
    id_out[SL_UPLOAD_ID_BYTES - 3] = (char)('a' + number / 26 % 26);
    id_out[SL_UPLOAD_ID_BYTES - 2] = (char)('a' + number % 26);
    id_out[SL_UPLOAD_ID_BYTES - 1] = '\0';
}

void __wrap_sl_upload_id(char id_out[SL_UPLOAD_ID_BYTES])
{
    put_id(id_out, 'b', ids++);
}

/* "aaa...ab" is the second upload that an input wants to make, so that it can name it. */
struct sl_resumption *__wrap_sl_resumption_create(struct sl_request *request, const struct sl_dialect *dialect,
                                                  enum sl_resumption_purpose purpose)
{
    struct sl_resumption *r = __real_sl_resumption_create(request, dialect, purpose);
    if (purpose == SL_RESUMPTION_MAKE)
        put_id(r->id, 'a', made++);
    return r;
}

uint64_t __wrap_sl_clock_now_ns(void)
{
    return __real_sl_clock_now_ns() + later_ns;
}

uint64_t __wrap_sl_clock_coarse_ns(void)
{
    return __real_sl_clock_now_ns() + later_ns;
}

uint64_t __wrap_sl_clock_wall_ns(void)
{
    return __real_sl_clock_wall_ns() + later_ns;
}

void __wrap_sl_store_remove(struct sl_store *store, struct sl_store_removal *removal, const struct sl_path *path,
                            const struct sl_conditions *conditions, sl_store_removal_cb on_done, void *ctx)
{
    removals++;
    __real_sl_store_remove(store, removal, path, conditions, on_done, ctx);
}

/* ---- files ---- */

static char *read_whole(const char *path, size_t *len_out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    must(fstat(fd, &st) == 0);
    char *bytes = malloc((size_t)st.st_size + 1);
    must(bytes != NULL && read(fd, bytes, (size_t)st.st_size) == st.st_size);
    close(fd);
    *len_out = (size_t)st.st_size;
    return bytes;
}

static bool digests_agree(const struct sl_digests *told, const struct sl_digests *found)
{
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++)
        if ((told->set & 1u << alg) && memcmp(told->value[alg], found->value[alg], sl_hash_bytes(alg)) != 0)
            return false;
    return true;
}

/* What is told as stored is there, with its bytes: unless somebody else may have changed it since. */
static void check_stored(struct sl_request *request, const struct sl_session *session)
{
    char name[SL_PATH_BYTES_MAX + 8];
    size_t len = 0;
    bool may_change = removals > 0 || (fuzz_case.h.u.intake.conflict == SL_CONFLICT_OVERWRITE && clients_opened > 1);
    snprintf(name, sizeof name, "files/%s", session->path.text);
    char *bytes = read_whole(scratch_path(&fuzz_case.h.u.scratch, name), &len);
    must(bytes != NULL || may_change);
    if (bytes != NULL && !may_change) {
        struct sl_digests found = {0};
        must(len == session->size);
        if (session->digests.set != 0)
            sl_hash_now(session->digests.set, bytes, len, &found);
        must(digests_agree(&session->digests, &found));
        if (fuzz_on_stored != NULL)
            fuzz_on_stored(request, bytes, len);
    }
    free(bytes);
}

void __wrap_sl_reply_stored(struct sl_request *request, bool is_json, const struct sl_stored *stored, size_t count,
                            const struct sl_meta_field *fields, size_t field_count)
{
    for (size_t i = 0; i < count; i++)
        check_stored(request, stored[i].session);
    __real_sl_reply_stored(request, is_json, stored, count, fields, field_count);
}

/* A name stands for all the bytes that were digested on their way. */
static int check_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
    char encoded[SL_META_BYTES_MAX];
    struct sl_meta meta;
    if (type != FTW_F)
        return 0;
    ssize_t n = getxattr(path, "user.sluice", encoded, sizeof encoded);
    if (n < 0 || sl_meta_decode((struct sl_bytes){encoded, (size_t)n}, &meta) != SL_OK || meta.digests.set == 0)
        return 0;
    struct sl_digests found = {0};
    size_t len;
    char *bytes = read_whole(path, &len);
    must(bytes != NULL);
    sl_hash_now(meta.digests.set, bytes, len, &found);
    must(digests_agree(&meta.digests, &found));
    free(bytes);
    return 0;
}

static int remove_below(const char *path, const struct stat *st, int type, struct FTW *where)
{
    bool stays = where->level == 0 || strcmp(path + where->base, ".lock") == 0;
    return stays ? 0 : remove(path);
}

static void empty_folder(const char *name)
{
    must(nftw(scratch_path(&fuzz_case.h.u.scratch, name), remove_below, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void lay_files(void)
{
    char text[FILE_BYTES];
    memset(text, 'x', sizeof text);
    int fd = open(scratch_path(&fuzz_case.h.u.scratch, "files/f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, text, sizeof text) == sizeof text);
    close(fd);
}

static void check_leftovers(void)
{
    DIR *dir = opendir(scratch_path(&fuzz_case.h.u.scratch, "uploads"));
    must(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        must(entry->d_name[0] == '.' || sl_store_is_id(sl_bytes_of(entry->d_name)));
    closedir(dir);
}

/* What is kept of an upload does not say more than is there, and its digest is of just these bytes. */
static void check_kept(const struct sl_store_kept_entry *entry, const struct sl_upload_state *state)
{
    char name[SL_STORE_ID_BYTES + 16];
    struct sl_hash_state found;
    sl_hash_set set;
    uint64_t digested;
    size_t len;
    must(state->offset <= entry->size);
    if (state->hash.len == 0)
        return;
    must(sl_hash_state_check(&state->hash, &set, &digested) == SL_OK && digested == state->offset);
    snprintf(name, sizeof name, "uploads/%s", entry->id);
    char *bytes = read_whole(scratch_path(&fuzz_case.h.u.scratch, name), &len);
    must(bytes != NULL && state->offset <= len);
    sl_hash_state_begin(&found, set);
    sl_hash_state_update(&found, bytes, (size_t)state->offset);
    must(found.len == state->hash.len && memcmp(found.bytes, state->hash.bytes, found.len) == 0);
    free(bytes);
}

static void count_entry(const struct sl_store_kept_entry *entry, void *ctx)
{
    struct sl_upload_state state;
    must(sl_upload_state_decode(entry->state, &state) == SL_OK);
    check_kept(entry, &state);
    if (!sl_uploads_is_over(&state))
        ++*(uint64_t *)ctx;
}

/* As many are counted as another start would count. */
static void check_count(void)
{
    uint64_t count = 0;
    must(sl_store_walk_kept(fuzz_case.h.u.scratch.path, count_entry, &count) == SL_OK);
    if (is_telling)
        fprintf(stderr, "\n%u counted, %u on disk\n", (unsigned)sl_uploads_unfinished(fuzz_case.h.u.intake.uploads),
                (unsigned)count);
    must(sl_uploads_unfinished(fuzz_case.h.u.intake.uploads) == count);
}

/* ---- the server ---- */

static void tell_operation(struct sl_disk *disk, enum sl_disk_kind kind, void *ctx)
{
    static const char *const names[SL_DISK_KINDS] = {
        [SL_DISK_OPEN] = "open",         [SL_DISK_CLOSE] = "close",
        [SL_DISK_ALLOCATE] = "allocate", [SL_DISK_TRUNCATE] = "truncate",
        [SL_DISK_WRITE] = "write",       [SL_DISK_READ] = "read",
        [SL_DISK_PREFETCH] = "prefetch", [SL_DISK_COPY] = "copy",
        [SL_DISK_SYNC] = "sync",         [SL_DISK_LINK] = "link",
        [SL_DISK_RENAME] = "rename",     [SL_DISK_UNLINK] = "unlink",
        [SL_DISK_MKDIR] = "mkdir",       [SL_DISK_SETXATTR] = "setxattr",
        [SL_DISK_GETXATTR] = "getxattr", [SL_DISK_REMOVEXATTR] = "removexattr",
        [SL_DISK_LOCK] = "lock",         [SL_DISK_STAT] = "stat",
        [SL_DISK_STATFS] = "statfs",     [SL_DISK_LIST] = "list"};
    fprintf(stderr, "[%s] ", names[kind]);
}

static int remove_all(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static void on_exit_of_fuzzer(void)
{
    (void)nftw(fuzz_case.h.u.scratch.path, remove_all, 8, FTW_DEPTH | FTW_PHYS);
}

static void open_once(void)
{
    if (is_open)
        return;
    is_open = true;
    must(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    sl_log_start(SL_LOG_JSON, open("/dev/null", O_WRONLY | O_CLOEXEC));
    /* In memory, where that can be: it is not the disk that is looked at. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    h2_case_open(&fuzz_case, TEST_FAKE);
    is_telling = getenv("FUZZ_TELL") != NULL;
    if (is_telling)
        fake_disk_watch(fuzz_case.h.u.disk, tell_operation, NULL);
    must(atexit(on_exit_of_fuzzer) == 0);
    has_unnamed = fuzz_case.h.u.root->has_unnamed;
    has_direct = fuzz_case.h.u.root->has_direct;
}

void fuzz_set_store(enum sl_durability durability, bool is_unnamed, bool is_direct)
{
    struct sl_store_root *root = fuzz_case.h.u.root;
    root->options.durability = durability;
    root->has_unnamed = has_unnamed && is_unnamed;
    root->has_direct = has_direct && is_direct;
}

void fuzz_server_begin(void)
{
    static const struct sl_uploads_options options = {.expiry_ns = EXPIRY_NS,
                                                      .done_expiry_ns = DONE_EXPIRY_NS,
                                                      .count_max = UPLOADS_MAX,
                                                      .bytes_max = UINT64_C(1) << 40};
    static const struct sl_trusted everybody = {.has_unix = true}; /* who comes by a socket pair is of unix */
    open_once();
    fuzz_case.h.http->options.trusted = &everybody;
    for (unsigned i = 0; i < FUZZ_CLIENTS; i++)
        fuzz_clients[i] = (struct fuzz_client){.fd = -1};
    later_ns = 0;
    ids = made = removals = clients_opened = armed = 0;
    may_leave = false;
    fuzz_set_store(SL_DURABILITY_FULL, true, true);
    struct sl_intake *intake = &fuzz_case.h.u.intake;
    if (sl_store_root_has_meta(fuzz_case.h.u.root)) {
        intake->uploads = sl_uploads_create(&options);
        sl_reaper_init(&reaper, intake);
    }
    lay_files();
    fds_before = scratch_count_fds(); /* libFuzzer may have opened some since the last one */
}

static void end_uploads(void)
{
    struct sl_intake *intake = &fuzz_case.h.u.intake;
    must(intake->resumables == 0);
    if (intake->uploads == NULL)
        return;
    check_count();
    sl_reaper_dispose(&reaper);
    sl_uploads_destroy(intake->uploads);
    intake->uploads = NULL;
}

/* Whatever happened, the next upload works. */
static void upload_another(void)
{
    static const char request[] = "PUT /files/what-comes-next HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nok";
    char answer[4096] = "";
    struct fuzz_client *client = fuzz_client(0);
    client->is_reading = false;
    must(fuzz_say(client, (const uint8_t *)request, sizeof request - 1));
    fuzz_settle();
    must(recv(client->fd, answer, sizeof answer - 1, 0) > 0);
    must(strncmp(answer, "HTTP/1.1 201 ", 13) == 0);
    fuzz_close(client);
}

static void close_clients(void)
{
    for (unsigned i = 0; i < FUZZ_CLIENTS; i++)
        fuzz_close(&fuzz_clients[i]);
}

void fuzz_server_end(void)
{
    struct sl_disk *disk = fuzz_case.h.u.disk;
    close_clients();
    fake_disk_release(disk);
    fake_disk_disarm(disk);
    fuzz_settle();
    if (fuzz_case.h.u.intake.uploads != NULL)
        sl_reaper_stop(&reaper);
    fuzz_case.h.http->is_draining = false;
    fuzz_on_stored = NULL;
    upload_another();
    h2_case_come_home(&fuzz_case);
    fuzz_settle();
    end_uploads();
    must(nftw(scratch_path(&fuzz_case.h.u.scratch, "files"), check_file, 8, FTW_PHYS) == 0);
    if (!may_leave)
        check_leftovers();
    must(scratch_count_fds() == fds_before);
    empty_folder("files");
    empty_folder("uploads");
}

/* ---- turns ---- */

static bool read_from(struct fuzz_client *client)
{
    static char answer[1 << 16];
    ssize_t n = recv(client->fd, answer, sizeof answer, 0);
    if (n > 0 && is_telling) {
        fprintf(stderr, "\n<%d> ", (int)(client - fuzz_clients));
        (void)fwrite(answer, 1, (size_t)n, stderr);
    }
    return n > 0;
}

static bool read_answers(void)
{
    bool has_read = false;
    for (struct fuzz_client *c = fuzz_clients; c < fuzz_clients + FUZZ_CLIENTS; c++)
        if (c->fd >= 0 && c->is_reading)
            has_read |= read_from(c);
    return has_read;
}

void fuzz_turn(void)
{
    h2_case_turn(&fuzz_case, 0);
}

/* What no turn moves: held operations, and of each kind that is done one at a time, those that wait behind them. */
void fuzz_settle(void)
{
    struct sl_disk *disk = fuzz_case.h.u.disk;
    for (int calm = 0; calm < CALM_TURNS; calm++) {
        unsigned started = fake_disk_started(disk, FAKE_DISK_ANY), inflight = sl_disk_inflight(disk);
        fuzz_turn();
        bool has_moved = !sl_mailbox_is_empty(&fuzz_case.h.u.mailbox) || inflight != sl_disk_inflight(disk) ||
                         started != fake_disk_started(disk, FAKE_DISK_ANY) ||
                         (sl_disk_inflight(disk) > 0 && fake_disk_held(disk) == 0);
        if (read_answers() || has_moved)
            calm = -1;
    }
}

void fuzz_expire(unsigned timer)
{
    struct sl_http *http = fuzz_case.h.http;
    h2o_timeout_t *const timeouts[FUZZ_TIMERS] = {&http->head_timeout, &http->body_timeout, &http->write_timeout,
                                                  &http->linger_timeout, &http->keep_alive_timeout};
    h2_case_expire(&fuzz_case, timeouts[timer % FUZZ_TIMERS]);
}

void fuzz_later(uint64_t ns)
{
    later_ns += ns;
    sl_store_tick(fuzz_case.h.u.intake.store);
    sl_intake_tick(&fuzz_case.h.u.intake);
    if (fuzz_case.h.u.intake.uploads != NULL)
        sl_reaper_tick(&reaper, sl_clock_now_ns());
}

/* ---- clients ---- */

struct fuzz_client *fuzz_client(unsigned client)
{
    struct fuzz_client *c = &fuzz_clients[client % FUZZ_CLIENTS];
    if (c->fd < 0) {
        *c = (struct fuzz_client){.fd = h2_case_connect(&fuzz_case), .is_reading = true};
        clients_opened++;
    }
    return c;
}

bool fuzz_say(struct fuzz_client *client, const uint8_t *bytes, size_t len)
{
    return len == 0 || send(client->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

void fuzz_half_close(struct fuzz_client *client)
{
    must(shutdown(client->fd, SHUT_WR) == 0 || errno == ENOTCONN);
}

void fuzz_close(struct fuzz_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}
