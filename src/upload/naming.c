/* Names that the server chooses: the id of an upload and the path its template makes. Loop thread. */
#include "sluice/base/clock.h"
#include "sluice/upload/session.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

void sl_upload_id(char id_out[SL_UPLOAD_ID_BYTES])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[SL_UPLOAD_ID_BYTES - 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        abort();
    for (size_t i = 0; i < sizeof random; i++)
        id_out[i] = alphabet[random[i] & 31];
    id_out[sizeof random] = '\0';
}

/* What stands between the braces; false: no such word. */
static bool put_word(struct sl_text *text, struct sl_bytes word, const struct sl_session *session,
                     const char *filename)
{
    time_t seconds = (time_t)(session->created_ns / SL_SEC);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    if (sl_bytes_equal(word, SL_BYTES("yyyy")))
        sl_text_printf(text, "%04d", tm.tm_year + 1900);
    else if (sl_bytes_equal(word, SL_BYTES("mm")))
        sl_text_printf(text, "%02d", tm.tm_mon + 1);
    else if (sl_bytes_equal(word, SL_BYTES("dd")))
        sl_text_printf(text, "%02d", tm.tm_mday);
    else if (sl_bytes_equal(word, SL_BYTES("id")))
        sl_text_put(text, sl_bytes_of(session->id));
    else if (sl_bytes_equal(word, SL_BYTES("filename")))
        sl_text_put(text, sl_bytes_of(filename));
    else
        return false;
    return true;
}

sl_err sl_session_name(struct sl_session *session, struct sl_intake *intake, struct sl_bytes filename)
{
    /* Room for an id and a few words beside the name in one segment. */
    char clean[SL_SEGMENT_BYTES_MAX + 1];
    sl_name_clean(filename, clean, SL_SEGMENT_BYTES_MAX - 64);
    char room[SL_PATH_BYTES_MAX + 1];
    struct sl_text text;
    sl_text_init(&text, room, sizeof room);
    for (const char *at = intake->name_template; *at != '\0';) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (close != NULL && put_word(&text, (struct sl_bytes){at + 1, (size_t)(close - at - 1)}, session, clean)) {
            at = close + 1;
        } else {
            sl_text_put(&text, (struct sl_bytes){at, 1});
            at++;
        }
    }
    if (text.full)
        return SL_BAD_PATH;
    return sl_path_check((struct sl_bytes){text.base, text.len}, &session->path);
}
