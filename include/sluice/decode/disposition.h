/* Content-Disposition (RFC 6266, RFC 7578 section 4.2) and the parameters of Content-Type, as browsers and curl really
 * send them. Pure: decoded text goes into the caller's struct. */
#ifndef SLUICE_DECODE_DISPOSITION_H
#define SLUICE_DECODE_DISPOSITION_H

#include "sluice/base/bytes.h"
#include "sluice/base/err.h"

#define SL_DISPOSITION_NAME_MAX     255
#define SL_DISPOSITION_FILENAME_MAX 1023

struct sl_disposition {
    struct sl_bytes type; /* "form-data", "attachment", ...: points into the input */
    bool has_name, has_filename;
    size_t name_len, filename_len;
    char name[SL_DISPOSITION_NAME_MAX + 1];         /* valid UTF-8, NUL-terminated */
    char filename[SL_DISPOSITION_FILENAME_MAX + 1]; /* as the sender meant it: UTF-8, never trusted as a path */
};

/* Takes quoted strings with backslash escapes (curl --form-escape) and with %22 %0D %0A (browsers, curl >= 7.81; only
 * these three are unescaped, since RFC 7578 senders send other percents as they are), raw UTF-8 or, if it is not valid
 * UTF-8, Latin-1; filename* (RFC 8187, UTF-8 or ISO-8859-1) wins over filename. A backslash before a byte that is not
 * '"' or '\\' stays (old Windows paths).
 * SL_BAD_TYPE: malformed, a parameter twice, bad percent in filename*, NUL in a name, or a text over its limit. */
SL_MUST_CHECK sl_err sl_disposition_parse(struct sl_bytes value, struct sl_disposition *disposition_out);

/* Finds parameter `name` of a field value like `multipart/form-data; boundary="x"` and copies it, unquoted, into
 * `out` (`room` bytes, NUL included). *len_out 0 and SL_OK: it is not there.
 * SL_BAD_TYPE: malformed, twice, or longer than the room. */
SL_MUST_CHECK sl_err sl_parameter_find(struct sl_bytes value, const char *name, char *out, size_t room,
                                       size_t *len_out);

/* Puts a Content-Disposition for a download (RFC 6266): "inline" or "attachment", filename in ASCII (what is not
 * becomes '_'; quotes, backslashes and percents too) and, when that loses something, filename* (RFC 8187). Control
 * characters and bytes that are no UTF-8 are '_' in both. Whatever `filename` holds, the value is one line of visible
 * ASCII and spaces. An empty filename is left out. */
void sl_disposition_put(struct sl_text *text, bool is_attachment, struct sl_bytes filename);

#endif
