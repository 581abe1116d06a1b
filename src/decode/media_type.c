/* Media types as senders name them: between a stored file and the headers it is sent with. Pure, any thread. It knows
 * what a browser does with a type, not what is in the file. */
#include "sluice/decode/media_type.h"

#include "token.h"

/* Parameters do not change what runs. */
static const char *const inert[] = {
    "application/json", "audio/aac",        "audio/flac",      "audio/mp3",
    "audio/mp4",        "audio/mpeg",       "audio/ogg",       "audio/opus",
    "audio/wav",        "audio/wave",       "audio/webm",      "audio/x-flac",
    "audio/x-m4a",      "audio/x-wav",      "image/apng",      "image/avif",
    "image/bmp",        "image/gif",        "image/heic",      "image/heif",
    "image/jpeg",       "image/jpg",        "image/jxl",       "image/png",
    "image/tiff",       "image/webp",       "image/x-icon",    "image/vnd.microsoft.icon",
    "text/plain",       "video/3gpp",       "video/3gpp2",     "video/mp4",
    "video/mpeg",       "video/ogg",        "video/quicktime", "video/webm",
    "video/x-m4v",      "video/x-matroska",
};

/* Bytes of the token at `at`. */
static size_t token_len(struct sl_bytes s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && sl_is_token_byte((unsigned char)s.base[at + n]))
        n++;
    return n;
}

/* Bytes of the quoted string at `at`, with its quotes; 0: it does not end. */
static size_t quoted_len(struct sl_bytes s, size_t at)
{
    for (size_t i = at + 1; i < s.len; i++) {
        if (s.base[i] == '"')
            return i + 1 - at;
        if (s.base[i] == '\\')
            i++;
    }
    return 0;
}

static bool is_printable(struct sl_bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.base[i] < ' ' || s.base[i] > '~')
            return false;
    return true;
}

static size_t behind_spaces(struct sl_bytes s, size_t at)
{
    while (at < s.len && s.base[at] == ' ')
        at++;
    return at;
}

/* Behind the type and subtype that `s` begins with; 0: it does not. */
static size_t behind_essence(struct sl_bytes s)
{
    size_t slash = token_len(s, 0);
    if (slash == 0 || slash == s.len || s.base[slash] != '/')
        return 0;
    size_t n = token_len(s, slash + 1);
    return n > 0 ? slash + 1 + n : 0;
}

/* Behind parameter-name "=" parameter-value at `at`; 0: there is none. */
static size_t behind_parameter(struct sl_bytes s, size_t at)
{
    size_t equals = at + token_len(s, at);
    if (equals == at || equals == s.len || s.base[equals] != '=')
        return 0;
    size_t value = equals + 1;
    size_t n = value < s.len && s.base[value] == '"' ? quoted_len(s, value) : token_len(s, value);
    return n > 0 ? value + n : 0;
}

/* *( OWS ";" OWS [ parameter ] ) (RFC 9110 section 5.6.6) behind the type. */
bool sl_media_type_is_valid(struct sl_bytes type)
{
    if (type.len > SL_MEDIA_TYPE_BYTES_MAX || !is_printable(type))
        return false;
    size_t at = behind_essence(type);
    if (at == 0)
        return false;
    while (at < type.len) {
        at = behind_spaces(type, at);
        if (at == type.len || type.base[at] != ';')
            return false;
        at = behind_spaces(type, at + 1);
        if (at == type.len || type.base[at] == ';')
            continue;
        at = behind_parameter(type, at);
        if (at == 0)
            return false;
    }
    return true;
}

/* A comma can only stand inside quotes here, but browsers split Content-Type at commas and may take what is behind the
 * last for the type (Fetch, "extract a MIME type"): none is worth the risk. */
bool sl_media_type_is_inert(struct sl_bytes type)
{
    if (!sl_media_type_is_valid(type) || memchr(type.base, ',', type.len) != NULL)
        return false;
    struct sl_bytes essence = {type.base, behind_essence(type)};
    for (size_t i = 0; i < sizeof inert / sizeof inert[0]; i++)
        if (sl_bytes_equal_nocase(essence, sl_bytes_of(inert[i])))
            return true;
    return false;
}
