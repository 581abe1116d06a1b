/* Who the client is, as proxies tell it: what they may be believed, and what a client can write itself. */
#include "sluice/decode/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* 10.0.0.0/8 and fd00::/8 are ours. */
static struct sl_trusted ours(void)
{
    struct sl_trusted trusted = {.count = 2};
    assert_true(sl_network_read(SL_BYTES("10.0.0.0/8"), &trusted.at[0]));
    assert_true(sl_network_read(SL_BYTES("fd00::/8"), &trusted.at[1]));
    return trusted;
}

/* In memory that ends where it must. */
static struct sl_bytes copy_of(const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    char *copy = text != NULL ? malloc(len + (len == 0)) : NULL;
    if (len > 0)
        memcpy(copy, text, len);
    return (struct sl_bytes){copy, len};
}

struct told {
    const char *forwarded, *x_for, *x_proto, *x_host;
    const char *client; /* "ADDRESS SCHEME HOST", - for what is not told */
};

static void assert_told(const struct told *told)
{
    struct sl_trusted trusted = ours();
    struct sl_forwarded fields = {copy_of(told->forwarded), copy_of(told->x_for), copy_of(told->x_proto),
                                  copy_of(told->x_host)};
    struct sl_client client;
    char address[SL_ADDRESS_TEXT_BYTES] = "-", shown[512];
    sl_forwarded_read(&fields, &trusted, &client);
    if (client.has_address)
        sl_address_write(&client.address, address);
    snprintf(shown, sizeof shown, "%s %s %.*s", address,
             !client.has_scheme ? "-"
             : client.is_secure ? "https"
                                : "http",
             client.host.len > 0 ? (int)client.host.len : 1, client.host.len > 0 ? client.host.base : "-");
    if (strcmp(shown, told->client) != 0)
        fail_msg("%s | %s | %s | %s: %s, not %s", told->forwarded, told->x_for, told->x_proto, told->x_host, shown,
                 told->client);
    free((char *)fields.forwarded.base);
    free((char *)fields.x_for.base);
    free((char *)fields.x_proto.base);
    free((char *)fields.x_host.base);
}

#define ASSERT_TOLD(cases)                    \
    for (size_t i = 0; i < COUNT(cases); i++) \
    assert_told(&(cases)[i])

static void x_for_the_rightmost_that_is_not_ours_counts(void **state)
{
    static const struct told cases[] = {
        {NULL, NULL, NULL, NULL, "- - -"},
        {NULL, "", NULL, NULL, "- - -"},
        {NULL, " , ,", NULL, NULL, "- - -"},
        {NULL, "192.0.2.1", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "\t192.0.2.1 ", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "2001:db8::1", NULL, NULL, "2001:db8::1 - -"},
        {NULL, "::ffff:192.0.2.1", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "192.0.2.1:4711", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "[2001:db8::1]:4711", NULL, NULL, "2001:db8::1 - -"},
        {NULL, "[2001:db8::1]", NULL, NULL, "2001:db8::1 - -"},
        /* what the client wrote stands to the left, and is not looked at */
        {NULL, "127.0.0.1, 192.0.2.1", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "10.0.0.1, 192.0.2.1", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "\",\"\\, 192.0.2.1", NULL, NULL, "192.0.2.1 - -"},
        /* several of ours in a row */
        {NULL, "8.8.8.8, 192.0.2.1, 10.0.0.7", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "8.8.8.8, 192.0.2.1, fd00::1,,10.0.0.7,", NULL, NULL, "192.0.2.1 - -"},
        {NULL, "10.0.0.5, 10.0.0.6", NULL, NULL, "10.0.0.5 - -"},
        /* who told what nobody understands is the last of whom is known */
        {NULL, "8.8.8.8, unknown", NULL, NULL, "- - -"},
        {NULL, "8.8.8.8, unknown, 10.0.0.6", NULL, NULL, "10.0.0.6 - -"},
        {NULL, "192.0.2.256", NULL, NULL, "- - -"},
        {NULL, "[192.0.2.1]", NULL, NULL, "- - -"},
        {NULL, "[2001:db8::1", NULL, NULL, "- - -"},
        {NULL, "2001:db8::1]", NULL, NULL, "- - -"},
        {NULL, "[2001:db8::1]x", NULL, NULL, "- - -"},
        {NULL, "[]", NULL, NULL, "- - -"},
        {NULL, "[", NULL, NULL, "- - -"},
    };
    ASSERT_TOLD(cases);
}

static void forwarded_the_rightmost_that_is_not_ours_counts(void **state)
{
    static const struct told cases[] = {
        /* section 4 */
        {"for=\"_gazonk\"", NULL, NULL, NULL, "- - -"},
        {"For=\"[2001:db8:cafe::17]:4711\"", NULL, NULL, NULL, "2001:db8:cafe::17 - -"},
        {"for=192.0.2.60;proto=http;by=203.0.113.43", NULL, NULL, NULL, "192.0.2.60 http -"},
        {"for=192.0.2.43, for=198.51.100.17", NULL, NULL, NULL, "198.51.100.17 - -"},
        /* ours in a row: what the first of them tells of the client counts */
        {"for=192.0.2.1;proto=https;host=a.example, for=10.0.0.1;proto=http;host=b", NULL, NULL, NULL,
         "192.0.2.1 https a.example"},
        {"for=8.8.8.8;proto=https;host=evil, for=192.0.2.1", NULL, NULL, NULL, "192.0.2.1 - -"},
        {"for=\"192.0.2.1:80\" ; proto=\"https\" ;host=\"a.example:8443\"", NULL, NULL, NULL,
         "192.0.2.1 https a.example:8443"},
        {"for=192.0.2.1:80", NULL, NULL, NULL, "192.0.2.1 - -"},
        {"proto=https;host=a.example", NULL, NULL, NULL, "- https a.example"},
        {";;for=192.0.2.1;;", NULL, NULL, NULL, "192.0.2.1 - -"},
        {"ext=\"a,b;c\\\"\";for=192.0.2.1", NULL, NULL, NULL, "192.0.2.1 - -"},
        {"for=192.0.2.1;ext=\"a,for=8.8.8.8\\\\\"", NULL, NULL, NULL, "192.0.2.1 - -"},
        /* a quote that the client never closed, and one that it never opened */
        {"for=\"8.8.8.8, for=192.0.2.1", NULL, NULL, NULL, "192.0.2.1 - -"},
        {"for=8.8.8.8\", for=192.0.2.1", NULL, NULL, NULL, "192.0.2.1 - -"},
        {"for=8.8.8.8;x=\", for=192.0.2.1;host=\"a\"", NULL, NULL, NULL, "192.0.2.1 - a"},
        {"for=\"\\, for=\"192.0.2.1\"", NULL, NULL, NULL, "192.0.2.1 - -"},
        /* what is malformed tells nothing */
        {"for", NULL, NULL, NULL, "- - -"},
        {"for=", NULL, NULL, NULL, "- - -"},
        {"=192.0.2.1", NULL, NULL, NULL, "- - -"},
        {"for = 192.0.2.1", NULL, NULL, NULL, "- - -"},
        {"for=192.0.2.1;for=192.0.2.2", NULL, NULL, NULL, "- - -"},
        {"for=192.0.2.1;proto=https;x", NULL, NULL, NULL, "- - -"},
        {"for=\"192.0.2.1", NULL, NULL, NULL, "- - -"},
        {"for=\"192.0.2.1\"x;proto=https", NULL, NULL, NULL, "- - -"},
        {"for=192.0.2.1;proto=https, for=unknown", NULL, NULL, NULL, "- - -"},
        {"for=192.0.2.1;proto=gopher;host=\"a b\"", NULL, NULL, NULL, "192.0.2.1 - -"},
    };
    ASSERT_TOLD(cases);
}

static void scheme_and_host_are_those_the_same_proxy_told(void **state)
{
    static const struct told cases[] = {
        {NULL, "192.0.2.1", "https", "a.example", "192.0.2.1 https a.example"},
        {NULL, NULL, "HTTPS", "a.example:8443", "- https a.example:8443"},
        {NULL, "192.0.2.1, 10.0.0.1", "https, http", "a.example, b.example", "192.0.2.1 https a.example"},
        {NULL, "192.0.2.1", "https, http", "evil, b.example", "192.0.2.1 http b.example"},
        {NULL, "192.0.2.1, 10.0.0.1", "https", "a.example", "192.0.2.1 https a.example"},
        {NULL, "192.0.2.1", "ftp", "a/b", "192.0.2.1 - -"},
        {NULL, "192.0.2.1", "", "a@b", "192.0.2.1 - -"},
        {"for=192.0.2.1;host=f.example", "192.0.2.1", "https", "x.example", "192.0.2.1 https f.example"},
        {"for=192.0.2.1;proto=http", NULL, "https", NULL, "192.0.2.1 http -"},
    };
    ASSERT_TOLD(cases);
}

static void two_that_differ_are_both_not_believed(void **state)
{
    static const struct told cases[] = {
        {"for=8.8.8.8", "192.0.2.1", "https", "a", "- - -"},
        {"for=8.8.8.8", "10.0.0.1", NULL, NULL, "- - -"},
        {"for=unknown;proto=https", "192.0.2.1", NULL, NULL, "- - -"},
        {"for=192.0.2.1", "unknown", NULL, NULL, "- - -"},
        {"garbage", "192.0.2.1", NULL, NULL, "- - -"},
        {"for=192.0.2.1", "192.0.2.1", "https", "a", "192.0.2.1 https a"},
        {"for=8.8.8.8, for=192.0.2.1", "9.9.9.9, 192.0.2.1", NULL, NULL, "192.0.2.1 - -"},
        {"proto=https", "192.0.2.1", NULL, NULL, "192.0.2.1 https -"}, /* of the client it says nothing */
    };
    ASSERT_TOLD(cases);
}

static void a_list_without_end_is_not_walked(void **state)
{
    enum { HOPS = 2000, ROOM = HOPS * 10 + 64 };
    struct sl_text list;
    sl_text_init(&list, malloc(ROOM), ROOM);
    sl_text_printf(&list, "192.0.2.1");
    for (unsigned i = 0; i < HOPS; i++)
        sl_text_printf(&list, ",10.0.0.%u", i % 10);
    struct sl_trusted trusted = ours();
    struct sl_forwarded fields = {.x_for = {list.base, list.len}};
    struct sl_client client;
    char address[SL_ADDRESS_TEXT_BYTES];
    sl_forwarded_read(&fields, &trusted, &client);
    assert_true(client.has_address);
    sl_address_write(&client.address, address);
    assert_string_equal(address, "10.0.0.8"); /* the 32nd from the end */
    free(list.base);
}

static void trusted_are_networks_and_unix_if_it_is_said(void **state)
{
    struct sl_trusted trusted = ours();
    assert_true(sl_trusted_has(&trusted, SL_BYTES("10.1.2.3")));
    assert_true(sl_trusted_has(&trusted, SL_BYTES("fd12::1")));
    assert_false(sl_trusted_has(&trusted, SL_BYTES("127.0.0.1")));
    assert_false(sl_trusted_has(&trusted, SL_BYTES("unix")));
    assert_false(sl_trusted_has(&trusted, SL_BYTES("unknown")));
    trusted.has_unix = true;
    assert_true(sl_trusted_has(&trusted, SL_BYTES("unix")));
    assert_false(sl_trusted_has(&trusted, SL_BYTES("unknown")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x_for_the_rightmost_that_is_not_ours_counts),
        cmocka_unit_test(forwarded_the_rightmost_that_is_not_ours_counts),
        cmocka_unit_test(scheme_and_host_are_those_the_same_proxy_told),
        cmocka_unit_test(two_that_differ_are_both_not_believed),
        cmocka_unit_test(a_list_without_end_is_not_walked),
        cmocka_unit_test(trusted_are_networks_and_unix_if_it_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
