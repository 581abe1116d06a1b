/* GET /: the page, compiled in. And what the other pages share. */
#include "page.h"

#include "handler.h"

extern const unsigned char sl_page_index[];
extern const size_t sl_page_index_bytes;

#define INDEX_POLICY                                                                                                 \
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; " \
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

void sl_page_reply(struct sl_request *request, const char *policy, struct sl_bytes body)
{
    sl_reply_header(request, "content-security-policy", sl_bytes_of(policy));
    sl_reply_header(request, "referrer-policy", SL_BYTES("no-referrer"));
    sl_reply_lent(request, 200, "text/html; charset=utf-8", body);
}

void sl_page_put_escaped(struct sl_request *request, struct sl_text *text, struct sl_bytes raw)
{
    h2o_iovec_t escaped = h2o_htmlescape(&request->h2o.pool, raw.base, raw.len);
    sl_text_put(text, (struct sl_bytes){escaped.base, escaped.len});
}

void sl_handle_page(struct sl_request *request)
{
    sl_page_reply(request, INDEX_POLICY, (struct sl_bytes){(const char *)sl_page_index, sl_page_index_bytes});
}
