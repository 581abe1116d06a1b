/* One value at a time: what each kind takes, what it refuses, and that the message names key, source and cure. */
#include "config_case.h"

#include <arpa/inet.h>

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

struct good_row {
    const char *word, *shown;
};

static const struct good_row good_values[] = {
    {"--max-size=0", "0"},
    {"--max-size=007", "7"},
    {"--max-size=3k", "3000"},
    {"--max-size=3M", "3000000"},
    {"--max-size=3G", "3000000000"},
    {"--max-size=3T", "3000000000000"},
    {"--max-size=3Ki", "3072"},
    {"--max-size=3Mi", "3145728"},
    {"--max-size=3Gi", "3221225472"},
    {"--max-size=3Ti", "3298534883328"},
    {"--max-size=9223372036854775807", "9223372036854775807"},
    {"--max-size=8388607Ti", "9223370937343148032"},
    {"--buffer-memory=4194304", "4194304"},
    {"--buffer-memory=16Ti", "17592186044416"},
    {"--loops=1", "1"},
    {"--loops=1024", "1024"},
    {"--max-connections=1000000", "1000000"},
    {"--body-timeout=86400", "86400"},
    {"--digest=SHA-256", "1"},
    {"--digest=sha-256,sha-256", "1"},
    {"--digest= sha ,\tcrc32c ", "20"},
    {"--public-url=", ""},
    {"--public-url=https://h", "https://h"},
    {"--public-url=http://[::1]:8080/up//", "http://[::1]:8080/up"},
    {"--public-url=https://h/a%20b/", "https://h/a%20b"},
    {"--base-path=/a/", "/a/"},
    {"--base-path=/a-b/c.d/~_/", "/a-b/c.d/~_/"},
    {"--base-path=/uploads2/", "/uploads2/"},
    {"--base-path=/files/uploads/", "/files/uploads/"},
    {"--cors-origin=none", ""},
    {"--cors-origin=*", "*"},
    {"--cors-origin=https://app.example.org", "https://app.example.org"},
    {"--cors-origin=https://a, http://localhost:3000 ,https://b", "https://a http://localhost:3000 https://b"},
    {"--cors-origin=https://a,https://a,HTTPS://A:443", "https://a"},
    {"--cors-origin=HTTPS://App.Example.ORG", "https://app.example.org"},
    {"--cors-origin=http://h:80,https://h:443", "http://h https://h"},
    {"--cors-origin=http://h:443,https://h:080", "http://h:443 https://h:80"},
    {"--cors-origin=https://h:65535", "https://h:65535"},
    {"--cors-origin=http://[::1]:3000,https://[2001:DB8:0:0::1]", "http://[::1]:3000 https://[2001:db8::1]"},
    {"--cors-origin=http://127.0.0.1:8080", "http://127.0.0.1:8080"},
    {"--cors-origin=capacitor://localhost,moz-extension://0a-1b", "capacitor://localhost moz-extension://0a-1b"},
    {"--cors-origin=https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
    {"--root=/", "/"},
    {"--root=data,with,commas", "data,with,commas"},
    {"--name={id}", "{id}"},
    {"--name=plain", "plain"},
    {"--name=ä/{filename}{filename}.bak", "ä/{filename}{filename}.bak"},
    {"--listen=0.0.0.0:0", "0.0.0.0:0"},
    {"--listen=:0,:0", ":0,:0"},
    {"--listen=[::]:65535", "[::]:65535"},
    {"--listen=unix:relative", "unix:relative"},
    {"--listen=unix:127.0.0.1:80", "unix:127.0.0.1:80"},
    {"--admin-listen=", ""},
    {"--admin-listen=:1,unix:/run/admin", ":1,unix:/run/admin"},
};

static const struct sl_option *option_of(const char *word)
{
    const char *equals = strchr(word, '=');
    return sl_option_find((struct sl_bytes){word + 2, (size_t)(equals - word) - 2});
}

static void set_good_value_is_kept(void **state)
{
    for (size_t i = 0; i < ROWS(good_values); i++) {
        const char *words[] = {good_values[i].word, NULL};
        char shown[256];
        struct config_case c;
        if (config_case_load(&c, words, NULL, NULL) != SL_CONFIG_OK)
            fail_msg("%s: %s", good_values[i].word, c.message);
        config_case_show(&c.config, option_of(good_values[i].word), shown, sizeof shown);
        assert_string_equal(shown, good_values[i].shown);
        sl_config_dispose(&c.config);
    }
}

/* The cure each bad value must be told. */
#define SIZE_CURE   "write a number with k, M, G, T, Ki, Mi, Gi or Ti, e.g. 128Mi"
#define ORIGIN_CURE "write SCHEME://HOST or SCHEME://HOST:PORT without a path, e.g. https://app.example.org"
#define LISTEN_CURE "write 127.0.0.1:8080, [::1]:8080, :8080 for all addresses, or unix:/run/sluice.sock"
#define URL_CURE    "e.g. https://files.example.org, or nothing"
#define PATH_CURE   "write letters, digits and -._~ between slashes, e.g. /files/"
#define NAME_CURE   "write {yyyy}, {mm}, {dd}, {id} and {filename}"
#define SAFE_CURE   "write one without a slash at the ends"
#define DIGEST_CURE "write some of sha-256, sha-512, sha, md5, crc32c, crc32, or none"

struct bad_row {
    const char *word, *cure;
};

static const struct bad_row bad_values[] = {
    {"--max-size=", SIZE_CURE},
    {"--max-size=12Q", SIZE_CURE},
    {"--max-size=k", SIZE_CURE},
    {"--max-size=-1", SIZE_CURE},
    {"--max-size=+1", SIZE_CURE},
    {"--max-size= 1", SIZE_CURE},
    {"--max-size=1 M", SIZE_CURE},
    {"--max-size=1.5G", SIZE_CURE},
    {"--max-size=1K", SIZE_CURE},
    {"--max-size=1m", SIZE_CURE},
    {"--max-size=1Mib", SIZE_CURE},
    {"--max-size=1MB", SIZE_CURE},
    {"--max-size=0x10", SIZE_CURE},
    {"--max-size=1,5", SIZE_CURE},
    {"--max-size=none", SIZE_CURE},
    {"--max-size=9223372036854775808", "too large; write at most 9223372036854775807"},
    {"--max-size=18446744073709551616", "too large; write at most 9223372036854775807"},
    {"--max-size=16777216Ti", "too large; write at most 9223372036854775807"},
    {"--max-size=8388608Ti", "too large; write at most 9223372036854775807"},
    {"--min-free=99999999999999999999T", "too large; write at most"},
    {"--min-rate=fast", SIZE_CURE},
    {"--buffer-memory=4194303", "too small; write at least 4Mi"},
    {"--buffer-memory=0", "too small; write at least 4Mi"},
    {"--buffer-memory=17Ti", "too large; write at most 16Ti"},
    {"--loops=0", "write auto or a number from 1 to 1024"},
    {"--loops=1025", "write auto or a number from 1 to 1024"},
    {"--loops=", "write auto or a number from 1 to 1024"},
    {"--hash-threads=Auto", "write auto or a number from 1 to 1024"},
    {"--max-connections-per-address=-1", "write a number from 0 to 1000000"},
    {"--max-connections=0", "write a number from 1 to 1000000"},
    {"--max-connections=1k", "write a number from 1 to 1000000"},
    {"--max-connections=4294967297", "write a number from 1 to 1000000"},
    {"--idle-timeout=0", "write a number from 1 to 86400, in seconds"},
    {"--write-timeout=0", "write a number from 1 to 86400, in seconds"},
    {"--shutdown-timeout=86401", "write a number from 0 to 86400, in seconds"},
    {"--head-timeout=0", "write a number from 1 to 86400, in seconds"},
    {"--head-timeout=10s", "write a number from 1 to 86400, in seconds"},
    {"--body-timeout=86401", "write a number from 1 to 86400, in seconds"},
    {"--upload-expiry=0", "write a number from 1 to 315360000, in seconds"},
    {"--upload-expiry=7d", "write a number from 1 to 315360000, in seconds"},
    {"--max-uploads=0", "write a number from 1 to 100000000"},
    {"--max-uploads=10k", "write a number from 1 to 100000000"},
    {"--max-uploads-per-address=-1", "write a number from 0 to 100000000"},
    {"--max-upload-bytes=all", SIZE_CURE},
    {"--max-append-size=9223372036854775808", "too large; write at most 9223372036854775807"},
    {"--interim=yes", "write auto, on or off"},
    {"--engine=uring", "write auto, io_uring or threads"},
    {"--engine=", "write auto, io_uring or threads"},
    {"--engine=auto|io_uring", "write auto, io_uring or threads"},
    {"--durability=FULL", "write full, data or none"},
    {"--conflict=err", "write error, rename or overwrite"},
    {"--direct=on", "write auto or off"},
    {"--confine=on", "write auto or off"},
    {"--user=a b", "write a name or a number"},
    {"--user=:g", "write a name or a number"},
    {"--user=a:", "write a name or a number"},
    {"--user=a:b:c", "write a name or a number"},
    {"--user=/etc", "write a name or a number"},
    {"--user=a123456789a123456789a123456789a123456789a123456789a123456789abcd", "write a name or a number"},
    {"--trusted-proxy=localhost", "is neither an address nor a network"},
    {"--trusted-proxy=10.0.0.1/8", "whose further bits are 0"},
    {"--trusted-proxy=10.0.0.0/33", "is neither an address nor a network"},
    {"--trusted-proxy=127.0.0.1:80", "is neither an address nor a network"},
    {"--trusted-proxy=[::1]", "is neither an address nor a network"},
    {"--trusted-proxy=unix:", "is neither an address nor a network"},
    {"--log-format=xml", "write text or json"},
    {"--log-file=~/log", "write the whole path"},
    {"--log-file=/var/log/", "is a directory; name a file"},
    {"--digest=", DIGEST_CURE},
    {"--digest=sha256", DIGEST_CURE},
    {"--digest=md5,", DIGEST_CURE},
    {"--digest=md5,,sha", DIGEST_CURE},
    {"--digest=none,md5", "write one of the two"},
    {"--digest=md5,none", "write none alone"},
    {"--digest=none,none", "write none alone"},
    {"--cors-origin=", "is not an origin; " ORIGIN_CURE ", * for all, or none"},
    {"--cors-origin=https://a,", ORIGIN_CURE},
    {"--cors-origin=app.example.org", ORIGIN_CURE},
    {"--cors-origin=//app.example.org", ORIGIN_CURE},
    {"--cors-origin=://h", ORIGIN_CURE},
    {"--cors-origin=1a://h", ORIGIN_CURE},
    {"--cors-origin=ht tp://h", ORIGIN_CURE},
    {"--cors-origin=https://", ORIGIN_CURE},
    {"--cors-origin=https:///p", ORIGIN_CURE},
    {"--cors-origin=https://h/", ORIGIN_CURE},
    {"--cors-origin=https://h/p", ORIGIN_CURE},
    {"--cors-origin=https://h?q", ORIGIN_CURE},
    {"--cors-origin=https://h#f", ORIGIN_CURE},
    {"--cors-origin=https://user@h", ORIGIN_CURE},
    {"--cors-origin=https://*.example.org", ORIGIN_CURE},
    {"--cors-origin=https://h i", ORIGIN_CURE},
    {"--cors-origin=https://h https://i", ORIGIN_CURE},
    {"--cors-origin=https://h\r\nX: y", ORIGIN_CURE},
    {"--cors-origin=https://b\xc3\xbc"
     "cher.example",
     ORIGIN_CURE},
    {"--cors-origin=https://h:", ORIGIN_CURE},
    {"--cors-origin=https://:80", ORIGIN_CURE},
    {"--cors-origin=https://h:0", ORIGIN_CURE},
    {"--cors-origin=https://h:65536", ORIGIN_CURE},
    {"--cors-origin=https://h:80:80", ORIGIN_CURE},
    {"--cors-origin=https://::1", ORIGIN_CURE},
    {"--cors-origin=https://[::1", ORIGIN_CURE},
    {"--cors-origin=https://[]", ORIGIN_CURE},
    {"--cors-origin=https://[127.0.0.1]", ORIGIN_CURE},
    {"--cors-origin=https://[::1]x", ORIGIN_CURE},
    {"--cors-origin=https://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", ORIGIN_CURE},
    {"--cors-origin=null", "is what every sandboxed page"},
    {"--cors-origin=*,https://h", "cannot stand beside *; write one of the two"},
    {"--cors-origin=https://h,*", "write * alone"},
    {"--cors-origin=none,https://h", "cannot stand beside none; write one of the two"},
    {"--cors-origin=https://h,none", "write none alone"},
    {"--cors-origin=*,*", "write * alone"},
    {"--root=", "name a directory, e.g. ./data"},
    {"--root=~/data", "write the whole path"},
    {"--public-url=files.example.org", URL_CURE},
    {"--public-url=ftp://h", URL_CURE},
    {"--public-url=http://", URL_CURE},
    {"--public-url=http:///p", URL_CURE},
    {"--public-url=http://:80", URL_CURE},
    {"--public-url=http://user@h", URL_CURE},
    {"--public-url=http://h?q", URL_CURE},
    {"--public-url=http://h/#f", URL_CURE},
    {"--public-url=http://h/a b", URL_CURE},
    {"--public-url=http://h/\r\nX: y", URL_CURE},
    {"--public-url=http://h/\xc3\xa4", URL_CURE},
    {"--base-path=", PATH_CURE},
    {"--base-path=/", PATH_CURE},
    {"--base-path=//", PATH_CURE},
    {"--base-path=files/", PATH_CURE},
    {"--base-path=/files", PATH_CURE},
    {"--base-path=/a//b/", PATH_CURE},
    {"--base-path=/../", PATH_CURE},
    {"--base-path=/a/./b/", PATH_CURE},
    {"--base-path=/a b/", PATH_CURE},
    {"--base-path=/%41/", PATH_CURE},
    {"--base-path=/uploads/", "is a path of the server itself; write another, e.g. /files/"},
    {"--base-path=/errors/", "is a path of the server itself; write another, e.g. /files/"},
    {"--base-path=/done/", "is a path of the server itself; write another, e.g. /files/"},
    {"--base-path=/metrics/x/", "is a path of the server itself; write another, e.g. /files/"},
    {"--name=", SAFE_CURE},
    {"--name=/{id}", SAFE_CURE},
    {"--name={id}/", SAFE_CURE},
    {"--name=a//{id}", SAFE_CURE},
    {"--name=../{id}", SAFE_CURE},
    {"--name={id}/..", SAFE_CURE},
    {"--name=.", SAFE_CURE},
    {"--name=a\\{id}", SAFE_CURE},
    {"--name=a\n{id}", SAFE_CURE},
    {"--name=\xff{id}", SAFE_CURE},
    {"--name={user}/{id}", "has an unknown {user}; " NAME_CURE},
    {"--name={ID}", "has an unknown {ID}; " NAME_CURE},
    {"--name={}", "has an unknown {}; " NAME_CURE},
    {"--name={{id}}", "has an unknown {{id}; " NAME_CURE},
    {"--name={a\x01}", "has an unknown {a\\x01}; " NAME_CURE},
    {"--name={id", NAME_CURE},
    {"--name=id}", NAME_CURE},
    {"--name={id}}", NAME_CURE},
    {"--listen=", LISTEN_CURE},
    {"--tls-cert=~/cert.pem", "write the whole path"},
    {"--tls-key=k,~/key.pem", "write the whole path"},
    {"--listen=8080", LISTEN_CURE},
    {"--listen=:80tls", LISTEN_CURE},
    {"--listen=tls", LISTEN_CURE},
    {"--listen=:80 ssl", LISTEN_CURE},
    {"--listen=:80                                                                                          "
     "                                                       tls",
     LISTEN_CURE},
    {"--listen=:", LISTEN_CURE},
    {"--listen=:65536", LISTEN_CURE},
    {"--listen=:000080", LISTEN_CURE},
    {"--listen=:-1", LISTEN_CURE},
    {"--listen=:http", LISTEN_CURE},
    {"--listen=localhost:80", LISTEN_CURE},
    {"--listen=256.0.0.1:80", LISTEN_CURE},
    {"--listen=127.1:80", LISTEN_CURE},
    {"--listen=::1:80", LISTEN_CURE},
    {"--listen=[::1]", LISTEN_CURE},
    {"--listen=[::1:80", LISTEN_CURE},
    {"--listen=[]:80", LISTEN_CURE},
    {"--listen=[127.0.0.1]:80", LISTEN_CURE},
    {"--listen=[0000:0000:0000:0000:0000:0000:0000:0000:0000]:80", LISTEN_CURE},
    {"--listen=127.0.0.1:80 ,", LISTEN_CURE},
    {"--listen=http://127.0.0.1:80", LISTEN_CURE},
    {"--listen=unix:", LISTEN_CURE},
    {"--listen=:80,:80", "is there twice; remove one"},
    {"--admin-listen=8080", LISTEN_CURE},
    {"--admin-listen=:80,:80", "is there twice; remove one"},
    {"--listen=[::1]:80,[0:0::1]:80", "is there twice; remove one"},
    {"--listen=unix:a,unix:a", "is there twice; remove one"},
    {"--listen=:1,:2,:3,:4,:5,:6,:7,:8,:9,:10,:11,:12,:13,:14,:15,:16,:17", "write at most 16"},
};

static void set_bad_value_names_key_source_and_cure(void **state)
{
    bool has_bad[SL_OPTIONS] = {false};
    for (size_t i = 0; i < ROWS(bad_values); i++) {
        const struct sl_option *option = option_of(bad_values[i].word);
        const char *words[] = {bad_values[i].word, NULL};
        char expected[128];
        struct config_case c;
        if (config_case_load(&c, words, NULL, NULL) != SL_CONFIG_BAD)
            fail_msg("%s is taken", bad_values[i].word);
        snprintf(expected, sizeof expected, "sluice: %s: \"", option->name);
        assert_ptr_equal(strstr(c.message, expected), c.message);
        snprintf(expected, sizeof expected, "\" (from --%s) ", option->name);
        config_case_assert_mentions(c.message, expected);
        config_case_assert_mentions(c.message, bad_values[i].cure);
        has_bad[option - sl_options] = true;
    }
    for (size_t i = 0; i < SL_OPTIONS; i++)
        if (!has_bad[i])
            fail_msg("no bad value is tried for %s", sl_options[i].name);
}

static void set_bad_value_message_is_exact(void **state)
{
    static const char *const words[] = {"--buffer-memory", "12Q", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_BAD);
    assert_string_equal(c.message, "sluice: buffer-memory: \"12Q\" (from --buffer-memory) is not a size; write a "
                                   "number with k, M, G, T, Ki, Mi, Gi or Ti, e.g. 128Mi");
}

/* Escaping makes four bytes of one: the cure must fit behind the worst value from the worst file. */
static void set_long_ugly_value_leaves_room_for_the_cure(void **state)
{
    char word[SL_CONFIG_MESSAGE_BYTES * 2] = "--loops=", *digits = word + strlen(word);
    memset(digits, '\x01', 3000);
    const char *words[] = {word, NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, "\\x01...\" (from --loops)");
    config_case_assert_mentions(c.message, "write auto or a number from 1 to 1024");
}

static void set_value_at_the_length_limit_is_kept_and_above_refused(void **state)
{
    static char word[8192] = "--root=";
    const size_t prefix = strlen(word);
    const char *words[] = {word, NULL};
    struct config_case c;
    memset(word + prefix, 'r', 4096);
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_OK);
    assert_int_equal(strlen(c.config.root), 4096);
    sl_config_dispose(&c.config);
    word[prefix + 4096] = 'r';
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, "root: ");
    config_case_assert_mentions(c.message, "write at most 4096 bytes");
}

static void set_template_at_the_path_limit_is_kept_and_above_refused(void **state)
{
    char word[512] = "--name=";
    const char *words[] = {word, NULL};
    struct config_case c;
    memset(word + strlen("--name="), 'n', 255);
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_OK);
    sl_config_dispose(&c.config);
    word[strlen("--name=") + 255] = 'n';
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, SAFE_CURE);
}

static void set_listen_gives_addresses_to_bind(void **state)
{
    static const char *const words[] = {"--listen=:8080,127.0.0.1:81,[::1]:82,unix:/run/s.sock", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_OK);
    const struct sl_listen *at = c.config.listeners.at;
    assert_int_equal(c.config.listeners.count, 4);

    assert_int_equal(at[0].kind, SL_LISTEN_ALL);
    assert_int_equal(at[0].address.any.sa_family, AF_INET6);
    assert_int_equal(ntohs(at[0].address.in6.sin6_port), 8080);
    assert_memory_equal(&at[0].address.in6.sin6_addr, &in6addr_any, sizeof in6addr_any);
    assert_int_equal(at[0].address_bytes, sizeof(struct sockaddr_in6));

    assert_int_equal(at[1].kind, SL_LISTEN_IPV4);
    assert_int_equal(at[1].address.any.sa_family, AF_INET);
    assert_int_equal(ntohs(at[1].address.in.sin_port), 81);
    assert_int_equal(ntohl(at[1].address.in.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(at[1].address_bytes, sizeof(struct sockaddr_in));

    assert_int_equal(at[2].kind, SL_LISTEN_IPV6);
    assert_int_equal(ntohs(at[2].address.in6.sin6_port), 82);
    assert_memory_equal(&at[2].address.in6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);

    assert_int_equal(at[3].kind, SL_LISTEN_UNIX);
    assert_int_equal(at[3].address.any.sa_family, AF_UNIX);
    assert_string_equal(at[3].address.un.sun_path, "/run/s.sock");
    assert_int_equal(at[3].address_bytes, offsetof(struct sockaddr_un, sun_path) + sizeof "/run/s.sock");
    sl_config_dispose(&c.config);
}

static void set_listen_tls_marks_the_address(void **state)
{
    static const char *const words[] = {"--listen=:8080,127.0.0.1:81   tls,unix:/run/s.sock tls", "--tls-cert=/a,/b",
                                        "--tls-key=/c,/d", NULL};
    struct config_case c;
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_OK);
    const struct sl_listen *at = c.config.listeners.at;
    assert_int_equal(c.config.listeners.count, 3);
    assert_false(at[0].is_tls);
    assert_true(at[1].is_tls);
    assert_int_equal(ntohs(at[1].address.in.sin_port), 81);
    assert_true(at[2].is_tls);
    assert_string_equal(at[2].address.un.sun_path, "/run/s.sock");
    assert_int_equal(c.config.tls_certs.count, 2);
    assert_string_equal(c.config.tls_keys.at[1], "/d");
    sl_config_dispose(&c.config);
}

static void set_listen_unix_path_at_the_limit_is_kept_and_above_refused(void **state)
{
    char word[256] = "--listen=unix:";
    const size_t prefix = strlen(word), most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    const char *words[] = {word, NULL};
    struct config_case c;
    memset(word + prefix, 'u', most);
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_OK);
    assert_string_equal(c.config.listeners.at[0].text, word + strlen("--listen="));
    sl_config_dispose(&c.config);
    word[prefix + most] = 'u';
    assert_int_equal(config_case_load(&c, words, NULL, NULL), SL_CONFIG_BAD);
    config_case_assert_mentions(c.message, LISTEN_CURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_good_value_is_kept),
        cmocka_unit_test(set_bad_value_names_key_source_and_cure),
        cmocka_unit_test(set_bad_value_message_is_exact),
        cmocka_unit_test(set_long_ugly_value_leaves_room_for_the_cure),
        cmocka_unit_test(set_value_at_the_length_limit_is_kept_and_above_refused),
        cmocka_unit_test(set_template_at_the_path_limit_is_kept_and_above_refused),
        cmocka_unit_test(set_listen_gives_addresses_to_bind),
        cmocka_unit_test(set_listen_tls_marks_the_address),
        cmocka_unit_test(set_listen_unix_path_at_the_limit_is_kept_and_above_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
