/* Private to http/handler: what the pages for people share. Their text is made here, so everything in it is escaped. */
#ifndef SLUICE_HTTP_HANDLER_PAGE_H
#define SLUICE_HTTP_HANDLER_PAGE_H

#include "sluice/http/reply.h"

/* For pages that only show something. */
#define SL_PAGE_STILL_POLICY \
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

/* The beginning of such a page, up to the rules that are its own and "</style>\n". title: a literal. */
#define SL_PAGE_TOP(title)                                                                                            \
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"                                                 \
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>" title "</title>\n<style>\n"    \
    ":root{color-scheme:light dark;--page:#f4f6f8;--card:#fff;--text:#17202a;--soft:#5b6772;--good:#17743a;"          \
    "--bad:#b3261e;--accent:#0b63ce}\n"                                                                               \
    "@media(prefers-color-scheme:dark){:root{--page:#12161a;--card:#1b2127;--text:#e8edf2;--soft:#9aa7b3;"            \
    "--good:#7ad69b;--bad:#ff9d94;--accent:#7db7ff}}\n"                                                               \
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);max-width:42rem;margin:0 auto;" \
    "padding:clamp(1rem,6vh,4rem) 1rem}\n"                                                                            \
    "h1{font-size:1.75rem;line-height:1.2;margin:0 0 1rem}\n"                                                         \
    "ul{list-style:none;margin:0;padding:0;display:grid;gap:.5rem}\n"                                                 \
    "li{padding:.75rem 1rem;background:var(--card);box-shadow:inset 4px 0 var(--state);border-radius:10px;"           \
    "overflow-wrap:anywhere}\n"                                                                                       \
    "li p{margin:.15rem 0 0;font-size:.875rem}\n"                                                                     \
    "a{color:var(--accent)}\n:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\n"

/* 200. */
void sl_page_reply(struct sl_request *request, const char *policy, struct sl_bytes body);

/* Puts `raw` as text or as the value of an attribute in double quotes: at most six times as long. */
void sl_page_put_escaped(struct sl_request *request, struct sl_text *text, struct sl_bytes raw);

#endif
