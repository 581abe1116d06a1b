/* The page after a form without JavaScript: what was stored, as it is now. The names are in its query; each file is
 * opened and closed, one after the other, so what the page tells is what is there. The look outlives the request while
 * it is under way. */
#include "handler.h"
#include "page.h"
#include "rules.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define FILES_MAX ((size_t)200) /* that are looked up for one page; the others are only counted */
/* The target of /done, which must pass our own limit on targets (8192). Files beyond it are only counted. */
#define TARGET_BYTES_MAX ((size_t)6144)

/* ---- the way there ---- */

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
    size_t room = home.len + TARGET_BYTES_MAX + 64, shown = 0;
    struct sl_text location;
    sl_text_init(&location, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&location, home);
    sl_text_put(&location, SL_BYTES("/done?"));
    for (; shown < count && shown < FILES_MAX; shown++) {
        const struct sl_path *path = &stored[shown].session->path;
        if (location.len - home.len + 3 * path->len > TARGET_BYTES_MAX)
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

/* ---- the page ---- */

struct done {
    struct sl_sink sink;        /* only to be told that the request is gone */
    struct sl_request *request; /* NULL: it is gone */
    struct sl_store *store;
    struct sl_store_reader reader;
    struct sl_path path;   /* the file looked up now */
    struct sl_bytes query; /* what is left of it */
    struct sl_bytes items[FILES_MAX];
    size_t count;
    uint64_t more;
    bool is_full; /* it may hold no more names: the rest is counted */
};

static const char page_top[] =
    SL_PAGE_TOP("Stored") "li{--state:var(--good)}\nli:has(.gone){--state:var(--bad)}\n.gone{color:var(--bad)}\n"
                          "li a{unicode-bidi:isolate}\nli p{color:var(--soft)}\n"
                          "code{font-size:.75rem;color:var(--soft)}\n"
                          "</style>\n<h1>Stored</h1>\n<ul>\n";
static const char page_end[] = "</ul>\n<p><a href=\"./\">Upload more</a></p>\n</html>\n";

static void reply(struct done *done)
{
    struct sl_request *request = done->request;
    size_t room = sizeof page_top + sizeof page_end + 64;
    for (size_t i = 0; i < done->count; i++)
        room += done->items[i].len;
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&text, SL_BYTES(page_top));
    for (size_t i = 0; i < done->count; i++)
        sl_text_put(&text, done->items[i]);
    if (done->more > 0)
        sl_text_printf(&text, "<li>and %" PRIu64 " more</li>\n", done->more);
    sl_text_put(&text, SL_BYTES(page_end));
    assert(!text.full);
    bool is_empty = done->count == 0; /* nobody was sent here by us */
    free(done);
    if (is_empty)
        sl_reply_problem(request, SL_NOT_FOUND, NULL);
    else
        sl_page_reply(request, SL_PAGE_STILL_POLICY, (struct sl_bytes){text.base, text.len});
}

/* "1.5 MiB, 1572864 bytes" */
static void put_size(struct sl_text *text, uint64_t size)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)size / 1024;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    if (size >= 1024)
        sl_text_printf(text, "%.*f %s, ", value < 100 ? 1 : 0, value, units[unit]);
    sl_text_printf(text, "%" PRIu64 " byte%s", size, size == 1 ? "" : "s");
}

/* SHA-256 if it is known, else the first that is. */
static void put_digest(struct sl_text *text, const struct sl_digests *digests)
{
    for (unsigned alg = 0; alg < SL_HASH_ALGS; alg++) {
        if (!(digests->set & (1u << alg)))
            continue;
        char hex[2 * SL_HASH_BYTES_MAX + 1];
        h2o_hex_encode(hex, digests->value[alg], sl_hash_bytes(alg));
        sl_text_printf(text, "<code>%s %.*s</code>", alg == SL_HASH_SHA256 ? "sha256" : sl_hash_name(alg),
                       (int)(2 * sl_hash_bytes(alg)), hex);
        return;
    }
}

/* One file of the list; found or not, as `err` says. */
static void add_item(struct done *done, sl_err err)
{
    struct sl_request *request = done->request;
    const struct sl_meta *meta = &done->reader.meta;
    struct sl_bytes url = sl_reply_url(request, &done->path);
    struct sl_bytes name = err == SL_OK && meta->name.len > 0 ? meta->name : sl_path_leaf(&done->path);
    size_t room = 6 * (url.len + name.len) + 2 * SL_HASH_BYTES_MAX + 256;
    done->is_full = !sl_request_hold(request, 2 * room); /* once more in the page */
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&text, SL_BYTES("<li><a href=\""));
    sl_page_put_escaped(request, &text, url);
    sl_text_put(&text, SL_BYTES("\">"));
    sl_page_put_escaped(request, &text, name);
    sl_text_put(&text, SL_BYTES("</a>"));
    if (err == SL_OK) {
        sl_text_put(&text, SL_BYTES("<p>"));
        put_size(&text, done->reader.size);
        sl_text_put(&text, SL_BYTES("</p>"));
        put_digest(&text, &meta->digests);
    } else {
        sl_text_put(&text, SL_BYTES("<p class=\"gone\">"));
        sl_text_put(&text, err == SL_NOT_FOUND ? SL_BYTES("It is not there.") : sl_bytes_of(sl_err_row(err)->title));
        sl_text_put(&text, SL_BYTES("</p>"));
    }
    sl_text_put(&text, SL_BYTES("</li>\n"));
    assert(!text.full);
    done->items[done->count++] = (struct sl_bytes){text.base, text.len};
}

/* ---- looking ---- */

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

/* The next name that is a path of ours; what is none is left out. */
static bool next_path(struct done *done)
{
    while (done->query.len > 0) {
        struct sl_bytes pair = shift_pair(&done->query), file = value_if(pair, SL_BYTES("file="));
        uint64_t more;
        if (sl_bytes_to_u64(value_if(pair, SL_BYTES("more=")), &more) && more < UINT32_MAX)
            done->more += more;
        if (file.len == 0 || sl_path_decode(file, &done->path) != SL_OK)
            continue;
        if (done->count < FILES_MAX && !done->is_full)
            return true;
        done->more++;
    }
    return false;
}

static void look_on(struct done *done);

static void on_closed(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct done *done = ctx;
    (void)reader;
    (void)err; /* nothing was written */
    if (done->request == NULL)
        free(done);
    else
        look_on(done);
}

static void on_open(struct sl_store_reader *reader, sl_err err, void *ctx)
{
    struct done *done = ctx;
    if (done->request != NULL)
        add_item(done, err);
    if (err == SL_OK)
        sl_store_close(reader, on_closed, done);
    else
        on_closed(reader, err, done);
}

static void look_on(struct done *done)
{
    if (next_path(done))
        sl_store_open(done->store, &done->reader, &done->path, on_open, done);
    else
        reply(done);
}

/* Something is in flight, or the answer would have begun; its callback ends the look. */
static void on_abort(struct sl_sink *sink, sl_err why)
{
    (void)why;
    SL_CONTAINER_OF(sink, struct done, sink)->request = NULL;
}

static const struct sl_sink_ops sink_ops = {.abort = on_abort};

void sl_handle_done_page(struct sl_request *request)
{
    struct done *done = calloc(1, sizeof *done);
    if (done == NULL)
        abort();
    done->sink.ops = &sink_ops;
    done->request = request;
    done->store = request->http->intake->store;
    done->query = request->query;
    sl_body_attach(request, &done->sink);
    look_on(done);
}
