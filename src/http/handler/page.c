/* The pages for people. index.html is compiled in; the page after a form without JavaScript is made from its query, and
 * everything in it is escaped. */
#include "handler.h"

#include <assert.h>

extern const unsigned char sl_page_index[];
extern const size_t sl_page_index_bytes;

#define PAGE_POLICY                                                                                                  \
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; " \
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
#define DONE_POLICY \
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
#define DONE_FILES_MAX 100 /* on one page; a Location header has its limits too */

static void reply_page(struct sl_request *request, const char *policy, struct sl_bytes body)
{
    sl_reply_header(request, "content-security-policy", sl_bytes_of(policy));
    sl_reply_header(request, "referrer-policy", SL_BYTES("no-referrer"));
    sl_reply_text(request, 200, "text/html; charset=utf-8", body);
}

void sl_handle_page(struct sl_request *request)
{
    reply_page(request, PAGE_POLICY, (struct sl_bytes){(const char *)sl_page_index, sl_page_index_bytes});
}

/* ---- after a form ---- */

/* "/done?file=a/b&file=c" */
void sl_reply_to_done_page(struct sl_request *request, const struct sl_stored *stored, size_t count)
{
    size_t room = strlen(request->http->options.public_url) + 16,
           shown = count < DONE_FILES_MAX ? count : DONE_FILES_MAX;
    for (size_t i = 0; i < shown; i++)
        room += 3 * stored[i].session->path.len + 8;
    struct sl_text location;
    sl_text_init(&location, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&location, sl_bytes_of(request->http->options.public_url));
    sl_text_put(&location, SL_BYTES("/done?"));
    for (size_t i = 0; i < shown; i++) {
        const struct sl_path *path = &stored[i].session->path;
        h2o_iovec_t escaped = h2o_uri_escape(&request->h2o.pool, path->text, path->len, "/");
        sl_text_printf(&location, "%sfile=%.*s", i == 0 ? "" : "&", (int)escaped.len, escaped.base);
    }
    assert(!location.full);
    sl_reply_header(request, "location", (struct sl_bytes){location.base, location.len});
    sl_reply_empty(request, 303);
}

static void put_html(struct sl_request *request, struct sl_text *text, struct sl_bytes raw)
{
    h2o_iovec_t escaped = h2o_htmlescape(&request->h2o.pool, raw.base, raw.len);
    sl_text_put(text, (struct sl_bytes){escaped.base, escaped.len});
}

/* One line of the list; what is not a path of ours is left out. */
static void put_file(struct sl_request *request, struct sl_text *text, struct sl_bytes raw)
{
    struct sl_path path;
    if (sl_path_decode(raw, &path) != SL_OK)
        return;
    sl_text_put(text, SL_BYTES("<li><a href=\""));
    put_html(request, text, sl_reply_url(request, &path));
    sl_text_put(text, SL_BYTES("\">"));
    put_html(request, text, (struct sl_bytes){path.text, path.len});
    sl_text_put(text, SL_BYTES("</a></li>\n"));
}

static const char done_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width,initial-scale=1\"><title>Stored</title>\n"
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color-scheme:light "
    "dark}li{margin:.4rem 0;overflow-wrap:anywhere}</style>\n<h1>Stored</h1>\n<ul>\n";
static const char done_tail[] = "</ul>\n<p><a href=\"/\">Upload more</a></p>\n</html>\n";

void sl_handle_done_page(struct sl_request *request)
{
    /* Each byte of the query may become six when escaped, twice (link and text), beside the host. */
    size_t files = 1, host = request->h2o.input.authority.len + strlen(request->http->options.public_url);
    for (size_t i = 0; i < request->query.len; i++)
        files += request->query.base[i] == '&';
    size_t room = sizeof done_head + sizeof done_tail + 24 * request->query.len + files * (6 * host + 256);
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&text, SL_BYTES(done_head));
    struct sl_bytes rest = request->query;
    while (rest.len > 0) {
        const char *end = memchr(rest.base, '&', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.base);
        if (len > 5 && memcmp(rest.base, "file=", 5) == 0)
            put_file(request, &text, (struct sl_bytes){rest.base + 5, len - 5});
        size_t used = end == NULL ? len : len + 1;
        rest.base += used;
        rest.len -= used;
    }
    sl_text_put(&text, SL_BYTES(done_tail));
    reply_page(request, DONE_POLICY, (struct sl_bytes){text.base, text.len});
}
