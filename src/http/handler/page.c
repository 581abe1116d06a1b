/* The pages for people. index.html is compiled in; the page after a form without JavaScript is made from its query, and
 * everything in it is escaped. */
#include "handler.h"

#include <assert.h>
#include <inttypes.h>

extern const unsigned char sl_page_index[];
extern const size_t sl_page_index_bytes;

#define PAGE_POLICY                                                                                                  \
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; " \
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
#define DONE_POLICY \
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
/* The target of /done, which must pass our own limit on targets (8192). Files beyond it are only counted. */
#define DONE_TARGET_BYTES_MAX ((size_t)6144)

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

/* A path as the value of a query: all but unreserved bytes and '/' as %XX; above all '&', which sl_path_encode
 * keeps. */
static void put_query_value(struct sl_text *text, struct sl_bytes path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.base[i];
        if (c != '\0' && strchr(plain, c) != NULL)
            sl_text_put(text, (struct sl_bytes){path.base + i, 1});
        else
            sl_text_printf(text, "%%%02X", c);
    }
}

/* "/done?file=a/b&file=c&more=7" */
void sl_reply_to_done_page(struct sl_request *request, const struct sl_stored *stored, size_t count)
{
    struct sl_bytes home = sl_bytes_of(request->http->options.public_url);
    size_t room = home.len + DONE_TARGET_BYTES_MAX + 64, shown = 0;
    struct sl_text location;
    sl_text_init(&location, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&location, home);
    sl_text_put(&location, SL_BYTES("/done?"));
    for (; shown < count; shown++) {
        const struct sl_path *path = &stored[shown].session->path;
        if (location.len - home.len + 3 * path->len > DONE_TARGET_BYTES_MAX)
            break;
        sl_text_put(&location, shown == 0 ? SL_BYTES("file=") : SL_BYTES("&file="));
        put_query_value(&location, (struct sl_bytes){path->text, path->len});
    }
    if (shown < count)
        sl_text_printf(&location, "&more=%zu", count - shown);
    assert(!location.full && shown > 0);
    sl_reply_header(request, "location", (struct sl_bytes){location.base, location.len});
    sl_reply_empty(request, 303);
}

static void put_html(struct sl_request *request, struct sl_text *text, struct sl_bytes raw)
{
    h2o_iovec_t escaped = h2o_htmlescape(&request->h2o.pool, raw.base, raw.len);
    sl_text_put(text, (struct sl_bytes){escaped.base, escaped.len});
}

/* One line of the list. false: not a path of ours, and left out. */
static bool put_file(struct sl_request *request, struct sl_text *text, struct sl_bytes raw)
{
    struct sl_path path;
    if (sl_path_decode(raw, &path) != SL_OK)
        return false;
    sl_text_put(text, SL_BYTES("<li><a href=\""));
    put_html(request, text, sl_reply_url(request, &path));
    sl_text_put(text, SL_BYTES("\">"));
    put_html(request, text, (struct sl_bytes){path.text, path.len});
    sl_text_put(text, SL_BYTES("</a></li>\n"));
    return true;
}

static const char done_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>Stored</title>\n<style>\n"
    ":root{color-scheme:light dark;--page:#f4f6f8;--card:#fff;--text:#17202a;--good:#17743a;--accent:#0b63ce}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#12161a;--card:#1b2127;--text:#e8edf2;--good:#7ad69b;"
    "--accent:#7db7ff}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);max-width:42rem;margin:0 auto;"
    "padding:clamp(1rem,6vh,4rem) 1rem}\n"
    "ul{list-style:none;padding:0;display:grid;gap:.5rem}\n"
    "li{padding:.75rem 1rem;background:var(--card);box-shadow:inset 4px 0 var(--good);border-radius:10px;"
    "overflow-wrap:anywhere}\n"
    "a{color:var(--accent)}\n</style>\n<h1>Stored</h1>\n<ul>\n";
static const char done_tail[] = "</ul>\n<p><a href=\"./\">Upload more</a></p>\n</html>\n";

/* The value of `pair` if its key is `key`, which ends in '='; else an empty span. */
static struct sl_bytes value_if(struct sl_bytes pair, struct sl_bytes key)
{
    if (pair.len <= key.len || memcmp(pair.base, key.base, key.len) != 0)
        return (struct sl_bytes){0};
    return (struct sl_bytes){pair.base + key.len, pair.len - key.len};
}

/* Takes "key=value" off the front of the query. */
static struct sl_bytes shift_pair(struct sl_bytes *query)
{
    const char *end = memchr(query->base, '&', query->len);
    struct sl_bytes pair = {query->base, end == NULL ? query->len : (size_t)(end - query->base)};
    size_t used = end == NULL ? pair.len : pair.len + 1;
    *query = (struct sl_bytes){query->base + used, query->len - used};
    return pair;
}

/* The most that the page can take: each byte of the query may become six when escaped, twice (link and text), beside
 * the host in each link. */
static size_t done_page_room(const struct sl_request *request)
{
    size_t files = 1, host = request->host.len + strlen(request->http->options.public_url) +
                             strlen(request->http->options.base_path);
    for (size_t i = 0; i < request->query.len; i++)
        files += request->query.base[i] == '&';
    return sizeof done_head + sizeof done_tail + 24 * request->query.len + files * (6 * host + 256);
}

void sl_handle_done_page(struct sl_request *request)
{
    size_t room = done_page_room(request), files = 0;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&text, SL_BYTES(done_head));
    struct sl_bytes query = request->query;
    uint64_t more = 0;
    while (query.len > 0) {
        struct sl_bytes pair = shift_pair(&query), file = value_if(pair, SL_BYTES("file="));
        if (file.len > 0)
            files += put_file(request, &text, file);
        else
            (void)sl_bytes_to_u64(value_if(pair, SL_BYTES("more=")), &more);
    }
    if (files == 0) { /* nobody was sent here by us */
        sl_reply_problem(request, SL_NOT_FOUND, NULL);
        return;
    }
    if (more > 0)
        sl_text_printf(&text, "<li>and %" PRIu64 " more</li>\n", more);
    sl_text_put(&text, SL_BYTES(done_tail));
    assert(!text.full);
    reply_page(request, DONE_POLICY, (struct sl_bytes){text.base, text.len});
}
