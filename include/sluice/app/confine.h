/* Takes from the process what it does not need, once everything is open: what an attacker who got in could reach is
 * what is served anyway. */
#ifndef SLUICE_APP_CONFINE_H
#define SLUICE_APP_CONFINE_H

#include "sluice/app/config.h"
#include "sluice/base/err.h"

#include <stddef.h>

enum sl_place_use {
    SL_PLACE_STORE,  /* a folder: its files are made, read, written, linked, removed */
    SL_PLACE_READ,   /* a folder: its files are read */
    SL_PLACE_SOCKET, /* a folder: a socket in it is removed in the end */
    SL_PLACE_LOG     /* a folder: files in it are made and written, and neither read nor cut */
};

struct sl_place {
    const char *path;
    enum sl_place_use use;
};

/* Of the Landlock that would be used; 0: there is none, or none that would do. */
long sl_confine_version(void);

/* From now on the calling thread, and those it makes later, gain no privileges by execve(2) and reach of all file
 * systems only `places` (lent for the call), by Landlock; what is open stays open. words_out: what came of it, for the
 * start block. SL_UNSUPPORTED: this kernel cannot, or not so that files could still be linked from folder to folder.
 * Another error: the kernel's word for a place or for the whole. In each such case no place is closed. */
SL_MUST_CHECK sl_err sl_confine(const struct sl_place *places, size_t count, char *words_out, size_t room);

/* The same, to what the program needs that `config` (lent for the call) describes: its root, the folders of its
 * certificates and of its log, which it opens again when it is told to, and of its sockets. */
SL_MUST_CHECK sl_err sl_confine_to_config(const struct sl_config *config, char *words_out, size_t room);

#endif
