/* GET /errors: the table of errors for people. The type of every problem points to one of its rows. */
#include "handler.h"
#include "page.h"

#include <assert.h>

static const char page_top[] = SL_PAGE_TOP("Errors") //
    "ul{margin-bottom:2.5rem}\n"
    "li:target{--state:var(--accent)}\n"
    "h2{font-size:1.125rem;margin:0}\n"
    "h2+p{margin:0 0 .75rem;color:var(--soft)}\n"
    "h3{font-size:1rem;margin:0}\n"
    "h3 span{color:var(--soft);font-weight:400}\n"
    "code{font-size:.875rem}\n"
    "</style>\n<h1>Errors</h1>\n"
    "<p>A request that is refused is answered with <code>application/problem+json</code> (RFC 9457). Its "
    "<code>code</code> is one of these and stays what it is; <code>type</code> leads here.</p>\n";
static const char page_end[] = "</html>\n";

struct chapter {
    enum sl_err_class class;
    const char *heading, *text;
};

static const struct chapter chapters[] = {
    {SL_CLASS_client, "The request", "Sent again as it is, it will be refused again."},
    {SL_CLASS_limit, "A limit", "There is too much of something, or something takes too long."},
    {SL_CLASS_storage, "The storage", "The disk below cannot take it; whoever runs the server can help."},
    {SL_CLASS_bug, "Our mistake", "Nobody else can help."},
    {SL_CLASS_gone, "Nobody is there", "Never sent: there is nobody left to read it. These stand in the log."},
};

static void put_row(struct sl_request *request, struct sl_text *text, const struct sl_err_row *row)
{
    sl_text_printf(text, "<li id=\"%s\"><h3>", row->code);
    sl_page_put_escaped(request, text, sl_bytes_of(row->title));
    sl_text_printf(text, " <span>%d</span></h3><a href=\"#%s\"><code>%s</code></a><p>", row->status, row->code,
                   row->code);
    sl_page_put_escaped(request, text, sl_bytes_of(row->detail));
    sl_text_put(text, SL_BYTES("</p></li>\n"));
}

static void put_chapter(struct sl_request *request, struct sl_text *text, const struct chapter *chapter)
{
    sl_text_printf(text, "<h2>%s</h2>\n<p>%s</p>\n<ul>\n", chapter->heading, chapter->text);
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++)
        if (sl_err_row(err)->class == chapter->class)
            put_row(request, text, sl_err_row(err));
    sl_text_put(text, SL_BYTES("</ul>\n"));
}

void sl_handle_errors_page(struct sl_request *request)
{
    size_t room = sizeof page_top + sizeof page_end + sizeof chapters / sizeof chapters[0] * 512;
    for (sl_err err = SL_OK + 1; err < SL_ERR_COUNT; err++) {
        const struct sl_err_row *row = sl_err_row(err);
        room += 128 + 3 * strlen(row->code) + 6 * (strlen(row->title) + strlen(row->detail));
    }
    if (!sl_request_hold(request, room)) {
        sl_reply_problem(request, SL_BUSY, NULL);
        return;
    }
    struct sl_text text;
    sl_text_init(&text, h2o_mem_alloc_pool(&request->h2o.pool, room), room);
    sl_text_put(&text, SL_BYTES(page_top));
    for (size_t i = 0; i < sizeof chapters / sizeof chapters[0]; i++)
        put_chapter(request, &text, &chapters[i]);
    sl_text_put(&text, SL_BYTES(page_end));
    assert(!text.full);
    sl_page_reply(request, SL_PAGE_STILL_POLICY, (struct sl_bytes){text.base, text.len});
}
