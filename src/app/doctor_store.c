/* The root: may it be written, what can its file system do, is there room; and how fast bytes are written and digested.
 */
#include "doctor.h"

#include "sluice/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRY_NS        SL_SEC
#define TRY_BYTES_MAX ((uint64_t)1 << 30)
#define HASHED_BYTES  ((size_t)1 << 20)
#define INODES_FEW    1000

static void say_unwritable(struct sl_doctor *doctor)
{
    const struct sl_store_facts *facts = &doctor->facts;
    struct sl_store_refusal why;
    sl_store_explain(facts->sys_errno, doctor->config->root, facts->where, &why);
    bool has_no_inode = facts->err == SL_NO_SPACE && facts->inodes > 0 && facts->free_inodes == 0;
    sl_doctor_say(doctor, SL_LEVEL_PROBLEM, "root", has_no_inode ? "remove files: there is no inode left" : why.cure,
                  "%s cannot be written: %s%s%s", facts->where, strerrordesc_np(facts->sys_errno),
                  why.reason[0] != '\0' ? ": " : "", why.reason);
}

static void look_at_file_system(struct sl_doctor *doctor)
{
    const struct sl_store_facts *facts = &doctor->facts;
    const struct {
        bool is_there;
        const char *what, *cure, *words;
    } rows[] = {
        {facts->has_unnamed, "O_TMPFILE", "ext4 or xfs; it works all the same",
         "no unnamed files: uploads are written under a name and removed after a crash"},
        {facts->has_direct || doctor->config->direct == SL_DIRECT_OFF, "O_DIRECT",
         "ext4, xfs or btrfs on a disk of its own",
         "no O_DIRECT: large uploads go through the page cache and take more CPU"},
        {facts->has_meta, "attributes", "a file system with user attributes (ext4, xfs, btrfs, Linux 6.6's tmpfs)",
         "no user attributes: types, names and digests are forgotten, uploads cannot be resumed"},
        {facts->has_noreplace, "noreplace", "ext4, xfs or btrfs; it works all the same",
         "no RENAME_NOREPLACE: a link takes its place"},
        {facts->has_allocate, "fallocate", "ext4, xfs or btrfs",
         "no fallocate: a disk that fills up is noticed in the middle of an upload"},
    };
    char has[128] = "", *at = has;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].is_there)
            at += snprintf(at, sizeof has - (size_t)(at - has), ", %s", rows[i].what);
    sl_doctor_say(doctor, SL_LEVEL_OK, "file system", NULL, "%s%s%s", facts->file_system, has,
                  facts->has_reflink ? ", reflinks" : "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!rows[i].is_there)
            sl_doctor_say(doctor, SL_LEVEL_NOTE, rows[i].what, rows[i].cure, "%s: %s", facts->file_system,
                          rows[i].words);
    if (strcmp(facts->file_system, "tmpfs") == 0)
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "tmpfs", "a folder on a disk with --root DIR",
                      "this is memory: nothing survives the machine, whatever durability says");
}

static void look_at_room(struct sl_doctor *doctor)
{
    const struct sl_store_facts *facts = &doctor->facts;
    uint64_t min_free = doctor->config->min_free_bytes;
    char free_text[16], all[16], kept[16];
    sl_doctor_bytes(facts->free_bytes, free_text);
    sl_doctor_bytes(min_free, kept);
    if (facts->free_bytes <= min_free)
        sl_doctor_say(doctor, SL_LEVEL_PROBLEM, "room", "make room, or lower min-free",
                      "%s free, and min-free keeps %s: every upload would be 507", free_text, kept);
    else
        sl_doctor_say(doctor, SL_LEVEL_OK, "room", NULL, "%s free of %s, min-free keeps %s", free_text,
                      sl_doctor_bytes(facts->bytes, all), kept);
    if (facts->inodes > 0 && facts->free_inodes < INODES_FEW)
        sl_doctor_say(doctor, facts->free_inodes == 0 ? SL_LEVEL_PROBLEM : SL_LEVEL_NOTE, "inodes",
                      "remove files, or make the file system with more inodes",
                      "%" PRIu64 " of %" PRIu64 " are free, each file takes one", facts->free_inodes, facts->inodes);
}

void sl_doctor_look_at_root(struct sl_doctor *doctor)
{
    struct sl_store_facts *facts = &doctor->facts;
    sl_store_examine(doctor->config->root, facts);
    if (facts->err != SL_OK) {
        say_unwritable(doctor);
    } else {
        sl_doctor_say(doctor, SL_LEVEL_OK, "root", NULL, "%s%s", doctor->config->root,
                      facts->has_root ? "" : ", which will be made");
        look_at_file_system(doctor);
    }
    if (facts->bytes > 0)
        look_at_room(doctor);
}

/* ---- speed ---- */

static void try_disk(struct sl_doctor *doctor)
{
    static const char *const durability[] = {"full", "data", "none"};
    const struct sl_config *config = doctor->config;
    const struct sl_store_facts *facts = &doctor->facts;
    struct sl_store_speed speed;
    uint64_t room = facts->free_bytes > config->min_free_bytes ? facts->free_bytes - config->min_free_bytes : 0;
    if (facts->err != SL_OK || doctor->disk == NULL || room < 2 * SL_SLAB_REGION_BYTES) {
        sl_doctor_say(doctor, SL_LEVEL_NOTE, "write speed", NULL, "not tried: nothing can be written");
        return;
    }
    sl_err err =
        sl_store_measure(facts, config->durability, config->direct == SL_DIRECT_AUTO, TRY_NS,
                         room / 2 < TRY_BYTES_MAX ? room / 2 : TRY_BYTES_MAX, doctor->disk, doctor->slabs, &speed);
    if (speed.bulk_ns > 0)
        sl_doctor_say(doctor, SL_LEVEL_OK, "write speed", NULL,
                      "%.0f MB/s: one file of %" PRIu64 " MiB by %s, durability %s",
                      (double)speed.bulk_bytes / 1e6 / ((double)speed.bulk_ns / 1e9), speed.bulk_bytes >> 20,
                      sl_disk_engine_name(doctor->disk), durability[config->durability]);
    if (speed.small_ns > 0)
        sl_doctor_say(doctor, SL_LEVEL_OK, "small files", NULL, "%.0f a second, one after the other, durability %s",
                      (double)speed.smalls / ((double)speed.small_ns / 1e9), durability[config->durability]);
    if (err != SL_OK)
        sl_doctor_say(doctor, SL_LEVEL_PROBLEM, "write speed", "look at the log of the kernel (dmesg)",
                      "it failed: %s", sl_err_row(err)->title);
}

static void try_digest(struct sl_doctor *doctor, enum sl_hash_alg alg, const char *bytes)
{
    uint64_t begun_ns = sl_clock_now_ns(), now_ns = begun_ns, rounds = 0;
    for (; now_ns - begun_ns < TRY_NS; now_ns = sl_clock_now_ns(), rounds++) {
        struct sl_digests digests;
        sl_hash_now(1u << alg, bytes, HASHED_BYTES, &digests);
    }
    sl_doctor_say(doctor, SL_LEVEL_OK, "digest speed", NULL, "%.0f MB/s: %s, one stream",
                  (double)(rounds * HASHED_BYTES) / 1e6 / ((double)(now_ns - begun_ns) / 1e9), sl_hash_name(alg));
}

void sl_doctor_try_speed(struct sl_doctor *doctor)
{
    char *bytes = calloc(1, HASHED_BYTES);
    if (bytes == NULL)
        abort();
    try_disk(doctor);
    for (enum sl_hash_alg alg = 0; alg < SL_HASH_ALGS; alg++)
        if (doctor->config->digests & 1u << alg)
            try_digest(doctor, alg, bytes);
    free(bytes);
}
