/* What clients said to a server, read by another reader than the server's, which knows only plain requests: so that
 * what is stored can be held against what was sent. */
#ifndef SLUICE_TESTS_FUZZ_SAID_H
#define SLUICE_TESTS_FUZZ_SAID_H

#include "server.h"

/* Nobody has said anything. */
void said_begin(void);

/* A client said this, in a connection of its own number until it is closed. */
void said(unsigned client, const uint8_t *bytes, size_t len);
void said_is_cut(unsigned client);
void said_is_closed(unsigned client);

/* What a whole request body became, for fuzz_on_stored. It must be one that was sent; if somebody said what is not
 * understood here, it may be anything. */
void said_check_stored(struct sl_request *request, const char *bytes, size_t len);

#endif
