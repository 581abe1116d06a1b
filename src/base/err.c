#include "sluice/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

static const struct sl_err_row rows[SL_ERR_COUNT] = {
    [SL_OK] = {"OK", SL_CLASS_none, 200, "ok", "OK", ""},
#define SL_ERR(name, class, status, code, title, detail) \
    [SL_##name] = {#name, SL_CLASS_##class, status, code, title, detail},
#include "sluice/base/err.def"
#undef SL_ERR
};

const struct sl_err_row *sl_err_row(sl_err err)
{
    assert(err < SL_ERR_COUNT);
    return &rows[err];
}

static atomic_uint_fast64_t counts[SL_ERR_COUNT];

void sl_err_count(sl_err err)
{
    assert(err < SL_ERR_COUNT);
    atomic_fetch_add_explicit(&counts[err], 1, memory_order_relaxed);
}

uint64_t sl_err_counted(sl_err err)
{
    assert(err < SL_ERR_COUNT);
    return atomic_load_explicit(&counts[err], memory_order_relaxed);
}

sl_err sl_err_of_errno(int sys_errno)
{
    assert(sys_errno > 0);
    switch (sys_errno) {
    case ENOENT: return SL_NOT_FOUND;
    case EEXIST: return SL_EXISTS;
    case ENOTDIR: return SL_NOT_A_DIRECTORY;
    case EISDIR: return SL_IS_A_DIRECTORY;
    case ENOTEMPTY: return SL_IS_A_DIRECTORY;
    case ELOOP: return SL_OUTSIDE; /* RESOLVE_NO_SYMLINKS met one */
    case EXDEV: return SL_OUTSIDE; /* RESOLVE_BENEATH was left */
    case ENAMETOOLONG: return SL_NAME_TOO_LONG;
    case ENOSPC: return SL_NO_SPACE;
    case EFBIG: return SL_TOO_LARGE;
    case EDQUOT: return SL_QUOTA;
    case EROFS: return SL_READ_ONLY;
    case EACCES: return SL_DENIED;
    case EPERM: return SL_DENIED;
    case EMFILE: return SL_TOO_MANY_FILES;
    case ENFILE: return SL_TOO_MANY_FILES;
    case ENOMEM: return SL_NO_MEMORY;
    case EOPNOTSUPP: return SL_UNSUPPORTED;
    case ENOSYS: return SL_UNSUPPORTED;
    case EINVAL: return SL_UNSUPPORTED;
    case ECANCELED: return SL_CANCELLED;
    default: return SL_IO;
    }
}
