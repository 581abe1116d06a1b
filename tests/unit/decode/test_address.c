/* Addresses and networks as text, and which lie in which. */
#include "sluice/decode/address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void read_tells_each_address_in_one_form(void **state)
{
    static const struct {
        const char *text, *written; /* NULL: it is none */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:201", "192.0.2.1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:0db8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
        {"1234:5678:9abc:def0:1234:5678:9abc:def0", "1234:5678:9abc:def0:1234:5678:9abc:def0"},
        {"", NULL},
        {" 192.0.2.1", NULL},
        {"192.0.2.1 ", NULL},
        {"192.0.2", NULL},
        {"192.0.2.256", NULL},
        {"192.0.2.01", NULL},
        {"3221225985", NULL},
        {"192.0.2.1:80", NULL},
        {"[::1]", NULL},
        {"fe80::1%eth0", NULL},
        {"unix", NULL},
        {"1234:5678:9abc:def0:1234:5678:9abc:def0:1234:5678:9abc:def0", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sl_address address;
        char written[SL_ADDRESS_TEXT_BYTES];
        bool is_read = sl_address_read(sl_bytes_of(cases[i].text), &address);
        assert_int_equal(is_read, cases[i].written != NULL);
        if (!is_read)
            continue;
        sl_address_write(&address, written);
        assert_string_equal(written, cases[i].written);
    }
    struct sl_address address;
    assert_false(sl_address_read(SL_BYTES("192.0.2.1\0"), &address));
}

static void network_holds_what_begins_as_it_does(void **state)
{
    static const struct {
        const char *network, *address;
        bool holds;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.0.0.0/8", "a00::", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "192.0.2.1", false},
        {"::ffff:0:0/96", "192.0.2.1", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1/128", "::1", true},
        {"::1/128", "::2", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sl_network network;
        struct sl_address address;
        assert_true(sl_network_read(sl_bytes_of(cases[i].network), &network));
        assert_true(sl_address_read(sl_bytes_of(cases[i].address), &address));
        if (sl_network_holds(&network, &address) != cases[i].holds)
            fail_msg("%s in %s", cases[i].address, cases[i].network);
    }
}

static void network_that_is_none_is_refused(void **state)
{
    static const char *const cases[] = {
        "",           "/8",          "10.0.0.0/", "10.0.0.0/33",   "10.0.0.0/-1",    "10.0.0.0/0x8",  "10.0.0.0/8/8",
        "10.0.0.1/8", "10.0.0.0/8 ", "::/129",    "2001:db8::/16", "192.0.2.129/25", "10.0.0.0/0008",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sl_network network;
        if (sl_network_read(sl_bytes_of(cases[i]), &network))
            fail_msg("%s was taken", cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_tells_each_address_in_one_form),
        cmocka_unit_test(network_holds_what_begins_as_it_does),
        cmocka_unit_test(network_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
