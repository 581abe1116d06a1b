/* A whole server of one loop for fuzz targets: routes, handlers, uploads that can be gone on with, and a disk that
 * fails when told to; behind it no threads, no waiting and no clock but the one that an input sets, so that an input
 * does the same each time. Clients are socket pairs. Every input finds the same files, and must leave nothing else
 * behind: fuzz_server_end() looks. With FUZZ_TELL set, operations of the disk and answers are told on stderr. */
#ifndef SLUICE_TESTS_FUZZ_SERVER_H
#define SLUICE_TESTS_FUZZ_SERVER_H

#include "../unit/http/h2_case.h"

#define FUZZ_CLIENTS 4
#define FUZZ_TIMERS  5

struct fuzz_client {
    int fd; /* -1: there is none */
    bool is_reading;
};

extern struct h2_case fuzz_case;
extern struct fuzz_client fuzz_clients[FUZZ_CLIENTS];

/* NULL, or asked of each file that is told to be stored, before it is told. */
extern void (*fuzz_on_stored)(struct sl_request *request, const char *bytes, size_t len);

/* Tells, and aborts, if it does not hold. */
#define must(holds) fuzz_must((holds), #holds, __FILE__, __LINE__)
void fuzz_must(bool holds, const char *what, const char *file, int line);

/* Before and behind each input. end: connections are closed, faults forgotten; then another upload must work, all that
 * was lent come home, no temporary file be left, and each stored file be whole. */
void fuzz_server_begin(void);
void fuzz_server_end(void);

/* For this input: what a 2xx means, and what the file system can do, if it can. */
void fuzz_set_store(enum sl_durability durability, bool is_unnamed, bool is_direct);

/* client: opened if it is not. false: not taken, now or ever. */
struct fuzz_client *fuzz_client(unsigned client);
bool fuzz_say(struct fuzz_client *client, const uint8_t *bytes, size_t len);
void fuzz_half_close(struct fuzz_client *client);
void fuzz_close(struct fuzz_client *client);

/* Until nothing happens any more by itself. What is held on the disk stays there. */
void fuzz_settle(void);
void fuzz_turn(void);

/* As if everybody who waits for it had waited long enough. */
void fuzz_expire(unsigned timer);

/* What a worker does each second, so much later than before. */
void fuzz_later(uint64_t ns);

/* Another fault of the disk may be armed: not too many an input. */
bool fuzz_may_arm(void);

/* As fake_disk_fail. */
void fuzz_fail(enum sl_disk_kind kind, unsigned nth, int error);

#endif
