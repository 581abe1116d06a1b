#include "doctor.h"

#include "show.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 1024

static const char *const level_names[] = {"ok", "note", "problem"};

const char *sl_doctor_bytes(uint64_t bytes, char room[16])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    snprintf(room, 16, "%.*f %s", value < 10 && unit > 0 ? 1 : 0, value, units[unit]);
    return room;
}

static bool is_json(const struct sl_doctor *doctor)
{
    return doctor->config->is_json;
}

static void put_string(const struct sl_doctor *doctor, const char *key, const char *text)
{
    fprintf(doctor->out, ", \"%s\": ", key);
    if (text == NULL) {
        fputs("null", doctor->out);
        return;
    }
    fputc('"', doctor->out);
    sl_show_text(doctor->out, sl_bytes_of(text), true);
    fputc('"', doctor->out);
}

void sl_doctor_begin(struct sl_doctor *doctor)
{
    if (is_json(doctor))
        fputs("{\"findings\": [\n", doctor->out);
}

static void put(struct sl_doctor *doctor, enum sl_level level, const char *what, const char *cure, const char *words)
{
    if (is_json(doctor)) {
        fprintf(doctor->out, "%s {\"level\": \"%s\"", doctor->findings > 0 ? ",\n" : "", level_names[level]);
        put_string(doctor, "what", what);
        put_string(doctor, "words", words);
        put_string(doctor, "cure", cure);
        fputc('}', doctor->out);
    } else {
        fprintf(doctor->out, "%-8s %-12s ", level_names[level], what);
        sl_show_text(doctor->out, sl_bytes_of(words), false);
        if (cure != NULL)
            fprintf(doctor->out, "; cure: %s", cure);
        fputc('\n', doctor->out);
    }
    doctor->findings++;
    doctor->problems += level == SL_LEVEL_PROBLEM;
    fflush(doctor->out);
}

void sl_doctor_say(struct sl_doctor *doctor, enum sl_level level, const char *what, const char *cure,
                   const char *words, ...)
{
    char text[WORDS_MAX];
    va_list args;
    va_start(args, words);
    vsnprintf(text, sizeof text, words, args);
    va_end(args);
    put(doctor, level, what, cure, text);
}

void sl_doctor_say_reason(struct sl_doctor *doctor, enum sl_level level, const char *what, const char *reason)
{
    static const char mark[] = "; cure: ";
    char text[WORDS_MAX];
    snprintf(text, sizeof text, "%s", reason);
    char *cure = strstr(text, mark);
    if (cure != NULL)
        *cure = '\0';
    put(doctor, level, what, cure != NULL ? cure + strlen(mark) : NULL, text);
}

/* ---- what it may take ---- */

static void put_terms(const struct sl_doctor *doctor, const struct sl_budget_term *terms, size_t count, bool is_bytes)
{
    char each[16], product[16];
    for (size_t i = 0; i < count; i++) {
        const struct sl_budget_term *term = &terms[i];
        if (is_json(doctor)) {
            fprintf(doctor->out, "%s  {\"count\": %" PRIu64 ", \"each\": %" PRIu64, i > 0 ? ",\n" : "", term->count,
                    term->each);
            put_string(doctor, "name", term->name);
            put_string(doctor, "why", term->why);
            fputc('}', doctor->out);
        } else if (is_bytes) {
            fprintf(doctor->out, "  %10s  %-12s %" PRIu64 " x %s: %s\n",
                    sl_doctor_bytes(term->count * term->each, product), term->name, term->count,
                    sl_doctor_bytes(term->each, each), term->why);
        } else {
            fprintf(doctor->out, "  %10" PRIu64 "  %-12s %s\n", term->count * term->each, term->name, term->why);
        }
    }
}

void sl_doctor_end(struct sl_doctor *doctor)
{
    const struct sl_budget *budget = &doctor->budget;
    char sum[16];
    if (is_json(doctor))
        fprintf(doctor->out, "],\n \"memory\": {\"bytes\": %" PRIu64 ", \"terms\": [\n", budget->memory_bytes);
    else
        fprintf(doctor->out, "\nmemory, at most %s:\n", sl_doctor_bytes(budget->memory_bytes, sum));
    put_terms(doctor, budget->memory, budget->memory_terms, true);
    if (is_json(doctor))
        fprintf(doctor->out,
                "]},\n \"descriptors\": {\"wanted\": %" PRIu64 ", \"limit\": %" PRIu64 ", \"connections\": %u,"
                " \"terms\": [\n",
                budget->fds_wanted, budget->fds_limit, budget->connections);
    else
        fprintf(doctor->out, "\ndescriptors, wanted %" PRIu64 " of %" PRIu64 ":\n", budget->fds_wanted,
                budget->fds_limit);
    put_terms(doctor, budget->fds, budget->fds_terms, false);
    if (is_json(doctor))
        fprintf(doctor->out, "]},\n \"serves\": %s}\n", doctor->problems == 0 ? "true" : "false");
    else
        fprintf(doctor->out, "\n%s\n", doctor->problems == 0 ? "sluice can serve here" : "sluice cannot serve here");
    fflush(doctor->out);
}
