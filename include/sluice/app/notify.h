/* Tells whoever supervises the process how it is doing, by the protocol of systemd (sd_notify(3)): a datagram of lines
 * VARIABLE=VALUE to the unix socket that NOTIFY_SOCKET names. The main thread. */
#ifndef SLUICE_APP_NOTIFY_H
#define SLUICE_APP_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Zeroed: nobody wants to be told. */
struct sl_notify {
    struct sockaddr_un address;
    socklen_t address_bytes;
};

/* value: of NOTIFY_SOCKET, a path or, behind '@', a name without a file; lent for the call; NULL or "": nobody wants to
 * be told. false: it is neither, and nobody is told. */
bool sl_notify_init(struct sl_notify *notify, const char *value);

/* It serves now. */
void sl_notify_ready(const struct sl_notify *notify);
/* It begins to read again what it is configured by; sl_notify_ready follows, whatever comes of it. */
void sl_notify_reloading(const struct sl_notify *notify);
/* It takes no more connections, and ends when what is in flight has ended. */
void sl_notify_stopping(const struct sl_notify *notify);

#endif
