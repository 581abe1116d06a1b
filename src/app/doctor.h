/* Private to the doctor, told in four files: doctor.c (what is looked at, in what order), doctor_machine.c (kernel,
 * engine, limits), doctor_store.c (the root, speed), doctor_report.c (how it is told). */
#ifndef SLUICE_SRC_APP_DOCTOR_H
#define SLUICE_SRC_APP_DOCTOR_H

#include "sluice/app/budget.h"
#include "sluice/app/doctor.h"
#include "sluice/disk/disk.h"
#include "sluice/store/examine.h"

enum sl_level { SL_LEVEL_OK, SL_LEVEL_NOTE, SL_LEVEL_PROBLEM };

struct sl_doctor {
    const struct sl_config *config;
    FILE *out;
    unsigned findings, problems;
    struct sl_budget budget;
    struct sl_slab_pool *slabs;
    struct sl_disk *disk; /* NULL: there is no engine */
    struct sl_store_facts facts;
};

/* doctor_machine.c */
void sl_doctor_look_at_machine(struct sl_doctor *doctor);
void sl_doctor_look_at_limits(struct sl_doctor *doctor);

/* doctor_store.c */
void sl_doctor_look_at_root(struct sl_doctor *doctor);
void sl_doctor_try_speed(struct sl_doctor *doctor);

/* doctor_report.c */
void sl_doctor_begin(struct sl_doctor *doctor);
/* cure: NULL, there is none to be named. */
void sl_doctor_say(struct sl_doctor *doctor, enum sl_level level, const char *what, const char *cure,
                   const char *words, ...) __attribute__((format(printf, 5, 6)));
/* words that may end in "; cure: ...", as the floors below give theirs. */
void sl_doctor_say_reason(struct sl_doctor *doctor, enum sl_level level, const char *what, const char *reason);
/* What it may take at most, and the end. */
void sl_doctor_end(struct sl_doctor *doctor);

/* "1.5 GiB"; room: 16 bytes. */
const char *sl_doctor_bytes(uint64_t bytes, char room[16]);

#endif
