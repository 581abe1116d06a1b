#include "sluice/app/notify.h"

#include "sluice/base/clock.h"
#include "sluice/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define STATE_BYTES 64
#define PATIENCE_S  5 /* with who is told and does not listen */

bool sl_notify_init(struct sl_notify *notify, const char *value)
{
    *notify = (struct sl_notify){.address_bytes = 0};
    size_t len = value != NULL ? strlen(value) : 0;
    if (len == 0)
        return true;
    if ((value[0] != '/' && value[0] != '@') || len < 2 || len >= sizeof notify->address.sun_path)
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, value, len);
    if (value[0] == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (value[0] == '/'));
    return true;
}

/* Opened anew each time: who listens may have been started again since. */
static void send_state(const struct sl_notify *notify, const char *state)
{
    if (notify->address_bytes == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    bool is_sent = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
                   sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
                          notify->address_bytes) >= 0;
    if (!is_sent)
        sl_log(SL_LOG_WARN, "NOTIFY_SOCKET: nobody heard %.*s: %s", (int)strcspn(state, "\n"), state,
               strerror(errno));
    if (fd >= 0)
        close(fd);
}

void sl_notify_ready(const struct sl_notify *notify)
{
    send_state(notify, "READY=1");
}

/* The moment lets it tell this reload from one before (Type=notify-reload). */
void sl_notify_reloading(const struct sl_notify *notify)
{
    char state[STATE_BYTES];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, sl_clock_now_ns() / 1000);
    send_state(notify, state);
}

void sl_notify_stopping(const struct sl_notify *notify)
{
    send_state(notify, "STOPPING=1");
}
